//! Holds the rules of `lbd/ARCHITECTURE.md` against the source: who may know whom, what stays
//! pure, how large a file may be.

use std::fs;
use std::path::Path;

use lb_tests::programs::workspace;

/// Lines of code, tests aside, beyond which a file wants splitting.
const MAX_LINES: usize = 400;

/// A Rust file of the workspace.
struct Source {
    /// From the top of the repository.
    path: String,
    /// Without what stands under `#[cfg(test)]`, comments left in.
    lines: Vec<String>,
}

impl Source {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("a listed file can be read");
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let tests = lines.windows(2).position(|two| {
            two[0] == "#[cfg(test)]" && two[1].starts_with("mod ") && two[1].ends_with('{')
        });
        Self {
            path: path
                .strip_prefix(workspace())
                .expect("a listed file is in the workspace")
                .display()
                .to_string(),
            lines: lines[..tests.unwrap_or(lines.len())].to_vec(),
        }
    }

    /// Where the code, comments aside, has `word` as a whole word: `path:line: the line`.
    fn mentions(&self, word: &str) -> Vec<String> {
        self.lines
            .iter()
            .enumerate()
            .filter(|(_, line)| !line.trim_start().starts_with("//") && has_word(line, word))
            .map(|(at, line)| format!("{}:{}: {}", self.path, at + 1, line.trim()))
            .collect()
    }
}

/// A word that ends in a sign, as `hyper::` does, needs no boundary there.
fn has_word(line: &str, word: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    let meets = |outer: Option<char>, edge: Option<char>| {
        outer.is_some_and(inside) && edge.is_some_and(inside)
    };
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !meets(before, word.chars().next()) && !meets(after, word.chars().next_back())
    })
}

/// Every Rust file below `folder`, itself from the top of the repository.
fn sources(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![workspace().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)
            .expect("a folder of the workspace")
            .flatten()
        {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(Source::read(&path));
            }
        }
    }
    found
}

fn all_sources() -> Vec<Source> {
    ["lb-proto", "lbd", "lbctl", "tests"]
        .into_iter()
        .flat_map(sources)
        .collect()
}

/// Panics with all that was found, unless that is nothing.
#[track_caller]
fn none(rule: &str, found: &[String]) {
    assert!(found.is_empty(), "{rule}\n{}", found.join("\n"));
}

/// `word` stands only in files whose path starts with one of `allowed`.
#[track_caller]
fn only_in(word: &str, folders: &[&str], allowed: &[&str]) {
    let found: Vec<String> = folders
        .iter()
        .flat_map(|folder| sources(folder))
        .filter(|source| !allowed.iter().any(|path| source.path.starts_with(path)))
        .flat_map(|source| source.mentions(word))
        .collect();
    none(&format!("{word} stops at {allowed:?}"), &found);
}

const PROGRAMS: [&str; 3] = ["lb-proto/src", "lbd/src", "lbctl/src"];

/// Rule 1.
#[test]
fn the_daemon_and_the_tool_know_only_what_they_say_to_each_other() {
    let dependencies = |package: &str| -> Vec<String> {
        let manifest = workspace().join(package).join("Cargo.toml");
        let manifest = fs::read_to_string(manifest).expect("every package has a manifest");
        manifest
            .lines()
            .skip_while(|line| !line.contains("dependencies]"))
            .filter_map(|line| line.split(['.', ' ', '=']).next())
            .map(str::to_owned)
            .collect()
    };
    for (package, stranger) in [
        ("lbd", "lbctl"),
        ("lbctl", "lbd"),
        ("lb-proto", "lbd"),
        ("lb-proto", "lbctl"),
    ] {
        let known = dependencies(package);
        assert!(
            !known.iter().any(|name| name == stranger),
            "{package} depends on {stranger}"
        );
    }
    for package in ["lbd", "lbctl"] {
        assert!(
            dependencies(package).iter().any(|name| name == "lb-proto"),
            "{package}"
        );
    }
}

/// Rule 2.
#[test]
fn the_planes_meet_in_state_alone() {
    const PARTS: [&str; 5] = ["data", "control", "health", "admin", "demo"];
    let mut found = Vec::new();
    for source in sources("lbd/src") {
        let own = source
            .path
            .trim_start_matches("lbd/src/")
            .split(['/', '.'])
            .next();
        let own = own.unwrap_or_default();
        // The one that wires them, and the one that declares them.
        if ["app", "main"].contains(&own) {
            continue;
        }
        for part in PARTS.into_iter().filter(|part| *part != own) {
            found.extend(source.mentions(&format!("crate::{part}")));
        }
    }
    none(
        "data, control, health and admin know state, and only app.rs knows them",
        &found,
    );
}

/// Rule 3.
#[test]
fn libraries_stop_where_they_belong() {
    let hyper = [
        "lbd/src/data/",
        "lbd/src/admin/http.rs",
        "lbd/src/health/probe_http.rs",
        "lbd/src/demo/",
        "lbd/src/traces/post.rs",
    ];
    for word in ["hyper", "hyper_util"] {
        only_in(&format!("{word}::"), &PROGRAMS, &hyper);
    }
    only_in(
        "h2::",
        &PROGRAMS,
        &["lbd/src/data/", "lbd/src/health/probe_http2.rs"],
    );
    let arguments = [
        "lbd/src/cli.rs",
        "lbd/src/main.rs",
        "lbctl/src/args.rs",
        "lbctl/src/args/",
        "lbctl/src/complete.rs",
        "lbctl/src/main.rs",
        "lbctl/src/man.rs",
        "lbctl/src/run.rs",
    ];
    for word in ["clap", "clap_complete", "clap_mangen"] {
        only_in(&format!("{word}::"), &PROGRAMS, &arguments);
    }
    for word in ["opentelemetry_proto::", "prost::"] {
        only_in(word, &PROGRAMS, &["lbd/src/traces/otlp.rs"]);
    }
    only_in("hickory_resolver::", &PROGRAMS, &["lbd/src/dns/lookup.rs"]);
    only_in("toml::", &PROGRAMS, &["lb-proto/src/config"]);
    only_in(
        "rustls::",
        &PROGRAMS,
        &[
            "lbd/src/tls",
            "lbd/src/data/connect.rs",
            "lbd/src/state/certs",
            "lb-proto/src/pem",
            "lb-proto/src/tls",
            "lbctl/src/cmd/cert/handshake.rs",
            "lbctl/src/cmd/doctor/tls.rs",
        ],
    );
}

/// Rule 4: what decides is told the time and the seeds, so that its tests need neither socket nor
/// sleep.
#[test]
fn what_decides_takes_no_socket_clock_or_random_source() {
    const PURE: &[&str] = &[
        "lbd/src/admin/host.rs",
        "lbd/src/admin/metrics/text.rs",
        "lbd/src/admin/login/basic.rs",
        "lbd/src/admin/login/throttle.rs",
        "lbd/src/admin/login/turns.rs",
        "lbd/src/admin/origin.rs",
        "lbd/src/admin/dashboard/attention.rs",
        "lbd/src/admin/dashboard/html.rs",
        "lbd/src/admin/dashboard/rows.rs",
        "lbd/src/admin/dashboard/server.rs",
        "lbd/src/admin/dashboard/spark.rs",
        "lbd/src/admin/dashboard/tables.rs",
        "lbd/src/admin/dashboard/told.rs",
        "lbd/src/admin/dashboard/view.rs",
        "lbd/src/admin/dashboard/words.rs",
        "lbd/src/data/route.rs",
        "lbd/src/data/headers.rs",
        "lbd/src/data/header_rules.rs",
        "lbd/src/data/client_address.rs",
        "lbd/src/state/networks.rs",
        "lbd/src/state/failures.rs",
        "lbd/src/data/sticky.rs",
        "lbd/src/data/cache_control.rs",
        "lbd/src/data/session_cookie.rs",
        "lbd/src/data/hex.rs",
        "lbd/src/data/traceparent.rs",
        "lbd/src/traces/otlp.rs",
        "lbd/src/data/balance/",
        "lbd/src/state/share.rs",
        "lbd/src/state/ring.rs",
        "lbd/src/health/verdict.rs",
        "lbd/src/control/persist/file.rs",
        "lbd/src/proxy_protocol/",
        "lbctl/src/arrange.rs",
        "lbctl/src/rolling.rs",
        "lbctl/src/cmd/doctor/firewall/",
        "lbctl/src/cmd/explain/next.rs",
        "lbctl/src/cmd/explain/report.rs",
        "lbctl/src/cmd/explain/sentence.rs",
        "lbctl/src/cmd/doctor/servers/",
        "lb-proto/src/frame.rs",
        "lb-proto/src/state.rs",
        "lb-proto/src/name.rs",
        "lb-proto/src/reason.rs",
        "lb-proto/src/config/check.rs",
        "lb-proto/src/config/diff/",
    ];
    const IMPURE: [&str; 12] = [
        "tokio",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "UnixStream",
        "Instant::now",
        "SystemTime::now",
        "Timestamp::now",
        "rand",
        "fastrand",
        "getrandom",
        "RandomState",
    ];
    let pure: Vec<Source> = PROGRAMS
        .into_iter()
        .flat_map(sources)
        .filter(|source| PURE.iter().any(|path| source.path.starts_with(path)))
        .collect();
    assert!(pure.len() >= 6, "the pure files have moved");
    let found: Vec<String> = pure
        .iter()
        .flat_map(|source| IMPURE.iter().flat_map(|word| source.mentions(word)))
        .collect();
    none("pure files take no socket, clock or random source", &found);
}

#[test]
fn files_are_short_enough_to_be_read() {
    let long: Vec<String> = all_sources()
        .iter()
        .filter(|source| source.lines.len() > MAX_LINES)
        .map(|source| format!("{}: {} lines", source.path, source.lines.len()))
        .collect();
    none(&format!("at most {MAX_LINES} lines of code"), &long);
}

#[test]
fn nothing_is_left_for_later_and_nothing_knows_its_machine() {
    // In two pieces each, so that this file does not find itself.
    let words = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["XX", "X"].concat(),
        ["todo", "!"].concat(),
        ["unimplemented", "!"].concat(),
        ["dbg", "!"].concat(),
    ];
    let folders = [
        ["/wo", "rk/"],
        ["/tmp/", "wt/"],
        ["/ro", "ot/"],
        ["/ho", "me/"],
    ]
    .map(|p| p.concat());
    let mut found = Vec::new();
    for source in all_sources() {
        for (at, line) in source.lines.iter().enumerate() {
            let left = words.iter().any(|word| line.contains(word.as_str()));
            let knows = folders.iter().any(|folder| line.contains(folder.as_str()));
            if left || knows {
                found.push(format!("{}:{}: {}", source.path, at + 1, line.trim()));
            }
        }
    }
    none(
        "no notes for later, no folders of somebody's machine",
        &found,
    );
}

#[test]
fn a_rule_that_is_broken_is_found() {
    let source = Source {
        path: "lbd/src/data/x.rs".into(),
        lines: ["// hyper::x", "use hyper::Body;", "let my_hyper = 1;"]
            .map(str::to_owned)
            .to_vec(),
    };
    assert_eq!(
        source.mentions("hyper::"),
        ["lbd/src/data/x.rs:2: use hyper::Body;"]
    );
    assert_eq!(source.mentions("hyper").len(), 1);
    assert!(!has_word("operand", "rand"));
}
