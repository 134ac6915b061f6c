//! What a valid file says is what the program gets, defaults included.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lb_proto::config::{
    self, AccessLog, Action, Balance, CheckKind, Config, HeaderRules, HostPattern, LogFormat,
    LogLevel, LogPath, PathPattern, Piece, SameSite, Sticky,
};

fn read(text: &str) -> Config {
    match config::read("valid.toml", text) {
        Ok(config) => config,
        Err(problems) => panic!("{}", config::render(&problems, false)),
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn what_is_not_given_has_its_default() {
    let config = read(include_str!("cases/valid_smallest.toml"));
    let global = &config.global;
    assert_eq!((global.threads, global.max_connections), (None, None));
    assert_eq!(global.socket, Path::new("/run/lbd/lbd.sock"));
    assert_eq!((global.socket_mode, &global.socket_group), (0o660, &None));
    assert_eq!(global.state_dir, Path::new("/var/lib/lbd"));
    assert_eq!(global.shutdown_timeout, seconds(30));
    assert_eq!(global.log.level, LogLevel::Info);
    assert_eq!(global.log.format, LogFormat::Text);
    assert_eq!(global.access_log, None);
    assert_eq!(config.admin, None);

    let frontend = &config.frontends[0];
    let waits = frontend.timeouts;
    let expected = (seconds(10), seconds(30), seconds(60));
    assert_eq!((waits.request, waits.client, waits.keep_alive), expected);
    assert_eq!(
        config.backends[0].timeouts.tunnel_from(&waits),
        seconds(3600)
    );
    assert!(frontend.trusted_proxies.is_empty() && frontend.routes.is_empty());
    assert!(frontend.allow.is_none() && frontend.deny.is_empty() && frontend.rate_limit.is_none());
    assert_eq!(frontend.max_connections, None);

    let backend = &config.backends[0];
    assert_eq!((backend.retries, backend.redispatch), (3, true));
    assert_eq!(backend.timeouts.connect, seconds(5));
    assert_eq!(backend.timeouts.server, seconds(30));
    let check = backend.health.as_ref().expect("checks are on");
    assert_eq!(check.kind, CheckKind::Tcp);
    assert_eq!((check.interval, check.timeout), (seconds(2), seconds(2)));
    assert_eq!((check.rise, check.fall), (2, 3));
    assert_eq!(
        (backend.servers[0].weight, backend.servers[0].check),
        (1, true)
    );
    assert_eq!(backend.balance, Balance::RoundRobin);
    let server = &backend.servers[0];
    assert_eq!((server.backup, server.slow_start), (false, None));
    assert_eq!((server.max_connections, backend.queue_max), (None, 1000));
    assert_eq!(backend.timeouts.queue, seconds(5));
}

#[test]
fn what_is_given_is_kept() {
    let config = read(include_str!("cases/valid_contract.toml"));
    assert_eq!(config.global.threads, Some(2));
    assert_eq!(config.global.max_connections, Some(20_000));
    assert_eq!(config.global.socket_group.as_deref(), Some("lbd"));
    let access_log = AccessLog {
        path: LogPath::Stdout,
        format: LogFormat::Text,
        request_id: false,
    };
    assert_eq!(config.global.access_log, Some(access_log));

    let admin = config.admin.as_ref().expect("there is [admin]");
    assert_eq!(admin.bind.to_string(), "127.0.0.1:8404");
    assert_eq!(admin.refresh, seconds(2));
    assert_eq!(admin.allowed_hosts, ["lb1.example.com"]);
    assert!(admin.actions);

    let resolvers: Vec<_> = config
        .global
        .resolvers
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(resolvers, ["10.0.0.2:53", "127.0.0.1:5353", "[::1]:5353"]);

    let frontend = &config.frontends[0];
    let binds: Vec<_> = frontend
        .binds
        .iter()
        .map(|b| b.address.to_string())
        .collect();
    assert_eq!(binds, ["0.0.0.0:80", "0.0.0.0:8443", "[::]:80"]);
    let trusted: Vec<_> = frontend
        .trusted_proxies
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(trusted, ["10.0.0.0/8", "::1/128"]);
    let allowed: Vec<_> = frontend.allow.iter().flatten().collect();
    assert_eq!(
        allowed.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["10.0.0.0/8", "192.0.2.0/24"]
    );
    assert_eq!(frontend.deny.len(), 1);
    let limit = frontend.rate_limit.expect("it is given");
    assert_eq!((limit.requests, limit.per), (100, seconds(10)));
    // One overridden, the others as in [defaults].
    assert_eq!(frontend.timeouts.request, seconds(5));
    assert_eq!(frontend.timeouts.keep_alive, seconds(60));

    let backend = &config.backends[0];
    assert_eq!(backend.timeouts.server, seconds(60));
    let outlier = backend.outlier.expect("it is given");
    assert_eq!(
        (outlier.errors, outlier.window, outlier.eject),
        (10, seconds(10), seconds(30))
    );
    let tunnel = |backend: usize| {
        let waits = config.backends[backend].timeouts;
        waits.tunnel_from(&frontend.timeouts)
    };
    assert_eq!(
        (tunnel(0), tunnel(1)),
        (seconds(8 * 3600), seconds(2 * 3600))
    );
    let weights: Vec<_> = backend.servers.iter().map(|s| s.weight).collect();
    assert_eq!(weights, [1, 2, 1]);
    assert!(!backend.servers[2].check);
    let backups: Vec<_> = backend.servers.iter().map(|s| s.backup).collect();
    assert_eq!(backups, [false, false, true]);
    assert_eq!(backend.servers[1].slow_start, Some(seconds(30)));
    assert_eq!(backend.servers[1].max_connections, Some(100));
    assert_eq!(
        (backend.queue_max, backend.timeouts.queue),
        (50, seconds(3))
    );
    assert_eq!(config.backends[1].balance.to_string(), "header:x-user");
    let check = backend.health.as_ref().expect("checks are on");
    let kind = CheckKind::Http {
        method: "GET".to_owned(),
        path: "/healthz".to_owned(),
        host: Some("app.local".to_owned()),
        expect: vec![200..=200],
    };
    assert_eq!(check.kind, kind);
    assert!(config.backends[1].health.is_none());
}

#[test]
fn a_tunnel_s_silence_is_the_backend_s_word_then_the_frontend_s() {
    let tunnel = |text: &str, backend: usize| {
        let config = read(text);
        let backend = &config.backends[backend];
        backend.timeouts.tunnel_from(&config.frontends[0].timeouts)
    };
    let contract = include_str!("cases/valid_contract.toml");
    assert_eq!(tunnel(contract, 0), seconds(8 * 3600));
    assert_eq!(tunnel(contract, 1), seconds(2 * 3600));
    let smallest = include_str!("cases/valid_smallest.toml");
    assert_eq!(tunnel(smallest, 0), seconds(3600));
}

#[test]
fn routes_say_which_requests_and_what_becomes_of_them() {
    let config = read(include_str!("cases/valid_contract.toml"));
    let [api, old, secret] = &config.frontends[0].routes[..] else {
        panic!("three routes");
    };
    assert_eq!(
        api.host,
        Some(HostPattern::Exact("api.example.com".to_owned()))
    );
    assert_eq!(api.path, Some(PathPattern::Prefix("/v1/".to_owned())));
    assert_eq!(api.methods, ["GET"]);
    assert_eq!(api.headers, [("x-canary".to_owned(), "1".to_owned())]);
    assert!(matches!(&api.action, Action::Backend(name) if name.as_str() == "api"));
    assert_eq!(
        old.host,
        Some(HostPattern::Under(".old.example".to_owned()))
    );
    let to = vec![
        Piece::Text("https://new.example".to_owned()),
        Piece::Path,
        Piece::Query,
    ];
    assert_eq!(old.action, Action::Redirect { to, status: 301 });
    assert_eq!(secret.path, Some(PathPattern::Exact("/secret".to_owned())));
    assert_eq!(secret.action, Action::Respond { status: 403 });
}

#[test]
fn stickiness_has_the_defaults_of_a_session_cookie() {
    let config = read(include_str!("cases/valid_sticky.toml"));
    let [app, plain, shared] = &config.backends[..] else {
        panic!("three backends");
    };
    assert_eq!((&shared.sticky, shared.shares_sessions), (&None, true));
    let given = Sticky {
        cookie: "SRVID".to_owned(),
        secure: true,
        same_site: Some(SameSite::None),
        http_only: false,
        max_age: Some(seconds(30 * 86_400)),
        path: "/app".to_owned(),
        domain: Some("example.com".to_owned()),
    };
    assert_eq!(app.sticky, Some(given));
    let default = Sticky {
        cookie: "SRVID".to_owned(),
        secure: false,
        same_site: None,
        http_only: true,
        max_age: None,
        path: "/".to_owned(),
        domain: None,
    };
    assert_eq!(plain.sticky, Some(default));
    let cookies: Vec<_> = app.servers.iter().map(|s| s.cookie.as_str()).collect();
    assert_eq!(cookies, ["web01", "w2"]);
}

#[test]
fn header_rules_are_kept_with_names_in_lower_case() {
    let config = read(include_str!("cases/valid_sticky.toml"));
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let rules = HeaderRules {
        remove: vec!["x-debug".to_owned()],
        set: vec![pair("x-env", "prod"), pair("host", "app.local:8080")],
        add: vec![pair("x-tag", "a"), pair("x-tag", "b"), pair("x-one", "1")],
    };
    assert_eq!(config.backends[0].request_headers, rules);
    assert_eq!(config.backends[1].request_headers, HeaderRules::default());
}

#[test]
fn the_order_is_that_of_the_file() {
    let config = read(
        "[backend.zebra]\nservers = [{ name = 'b', address = '10.0.0.1:1' }, { name = 'a', address = '10.0.0.2:1' }]\n\
         [frontend.second]\nbind = ':0'\ndefault_backend = 'zebra'\n\
         [frontend.first]\nbind = ':0'\ndefault_backend = 'ape'\n\
         [[backend.ape.servers]]\nname = 'c'\naddress = '10.0.0.3:1'\n",
    );
    let backends: Vec<_> = config.backends.iter().map(|b| b.name.as_str()).collect();
    let frontends: Vec<_> = config.frontends.iter().map(|f| f.name.as_str()).collect();
    let servers: Vec<_> = config.backends[0]
        .servers
        .iter()
        .map(|s| s.name.as_str())
        .collect();
    assert_eq!(backends, ["zebra", "ape"]);
    assert_eq!(frontends, ["second", "first"]);
    assert_eq!(servers, ["b", "a"]);
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_change_nothing() {
    let text = include_str!("cases/valid_contract.toml");
    let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    assert_eq!(read(&windows), read(text));
    let problems = config::read("f", "\u{feff}[globl]\r\n").expect_err("a misspelt section");
    assert_eq!((problems[0].line, problems[0].column), (1, 2));
    assert_eq!(problems[0].source, "[globl]");
}

fn written(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lbd.toml");
    std::fs::write(&path, bytes).expect("the file can be written");
    (folder, path)
}

#[test]
fn a_file_is_loaded_with_its_text() {
    let text = include_str!("cases/valid_smallest.toml");
    let (_folder, path) = written(text.as_bytes());
    let loaded = config::load(&path).expect("a valid file");
    assert_eq!((loaded.config, loaded.text.as_str()), (read(text), text));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = config::load(Path::new("/nonexistent/lbd.toml")).expect_err("no such file");
    assert_eq!(error.to_string(), "cannot read /nonexistent/lbd.toml");
    let cause = std::error::Error::source(&error).expect("a cause");
    assert!(cause.to_string().contains("No such file"), "{cause}");
}

#[test]
fn a_file_that_is_no_text_is_told_where() {
    let (_folder, path) = written(b"[global]\nstate_dir = \"\xff\"\n");
    let config::LoadError::Invalid(problems) = config::load(&path).expect_err("no text") else {
        panic!("the file can be read");
    };
    assert_eq!(problems.len(), 1);
    assert_eq!((problems[0].line, problems[0].column), (2, 14));
    assert_eq!(problems[0].message, "the file is not UTF-8 text");
}

#[test]
fn the_tls_of_a_server_goes_key_by_key_before_its_backends() {
    let of = |backend: &str, server: &str| {
        let text = format!(
            "[frontend.web]\nbind = \"127.0.0.1:80\"\ndefault_backend = \"app\"\n\
             [backend.app]\n{backend}\n\
             servers = [{{ name = \"a\", address = \"a.test:443\"{server} }}]\n"
        );
        read(&text)
            .backends
            .swap_remove(0)
            .servers
            .swap_remove(0)
            .tls
    };
    assert_eq!(of("", ""), None);
    assert_eq!(of("", ", tls = false"), None);
    let plain = of("", ", tls = true").expect("it is on");
    assert_eq!((plain.verify, &plain.ca, &plain.sni), (true, &None, &None));
    assert_eq!((plain.cert, plain.alpn), (None, vec!["http/1.1".into()]));
    assert_eq!(of("tls = true", ""), of("", ", tls = {}"));
    assert_eq!(of("tls = {}", ", tls = false"), None);

    let backend = "tls = { ca = \"ca.pem\", sni = \"B.test\" }";
    let both = of(backend, ", tls = { sni = \"s.test\", cert = \"c.pem\" }").expect("it is on");
    assert_eq!(both.ca.expect("the backend's").path, Path::new("ca.pem"));
    assert_eq!(both.sni.as_deref(), Some("s.test"));
    assert_eq!(both.cert.expect("its own").path, Path::new("c.pem"));
    assert!(both.verify);
    let unverified = of(backend, ", tls = { verify = false }").expect("it is on");
    assert_eq!(
        (unverified.verify, unverified.sni.as_deref()),
        (false, Some("b.test"))
    );
    assert_eq!(of("tls = false", ", tls = true"), of("", ", tls = true"));
}
