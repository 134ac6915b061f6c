//! `[admin]` by TLS: what is shown, to whom, and that nobody holds it up.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use lb_proto::password::Hash;
use lb_proto::request::ReloadCerts;
use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::eventually::LIMIT;
use lb_tests::tls::Client;
use lb_tests::wire::request;
use lb_tests::{Authority, Issued, Lbd, Origin, Process, Setup, Wire, lbctl, wire};
use socket2::{Domain, Socket, Type};

/// As many connections as `[admin]` serves at once.
const PLACES: usize = 64;

struct Secured {
    authority: Authority,
    shown: Issued,
    origin: Origin,
    lbd: Lbd,
}

impl Secured {
    /// `tls` is what the bind has beside its `certs`, `lines` what `[admin]` has beside its bind.
    fn start(tls: &str, lines: &str) -> Self {
        let (authority, origin) = (Authority::new(), Origin::start("a"));
        let setup = Setup::new("");
        let certs = setup.folder().join("certs");
        fs::create_dir(&certs).expect("the folder is ours");
        let shown = authority.issue(&["lb.test"]);
        shown.write(&certs, "lb.test.pem");
        let config = config(&certs, tls, lines, &origin);
        Self {
            authority,
            shown,
            origin,
            lbd: setup.config(config).start(),
        }
    }

    fn certs(&self) -> PathBuf {
        self.lbd.folder().join("certs")
    }

    fn client(&self) -> Client {
        Client::new(&self.authority, "lb.test")
    }

    /// What speaks in the clear there speaks TLS to `[admin]`.
    fn plain(&self) -> SocketAddr {
        self.client().before(self.lbd.admin())
    }

    #[track_caller]
    fn fingerprint(&self) -> String {
        let client = self.client().without_resumption();
        let leaf = client.shake(self.lbd.admin()).expect("it is shown one");
        lb_proto::pem::fingerprint(&leaf.leaf.expect("a session of its own"))
    }
}

fn config(certs: &Path, tls: &str, lines: &str, origin: &Origin) -> String {
    let app = app(NO_CHECK, [origin]);
    format!(
        "[admin]\nbind = {{ address = \"127.0.0.1:0\", tls = {{ certs = [{certs:?}], {tls} }} }}\n{lines}\n{app}"
    )
}

fn get(target: &str, host: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n")
}

#[test]
fn every_page_is_served_as_in_the_clear() {
    let secured = Secured::start("", "actions = true");
    let admin = secured.lbd.admin();
    let offering = secured.client().alpn(&["h2", "http/1.1"]);
    let shaken = offering.shake(admin).expect("a handshake");
    assert_eq!(shaken.alpn.as_deref(), Some("http/1.1"));
    assert_eq!(
        lb_proto::pem::fingerprint(&shaken.leaf.expect("a first session")),
        secured.shown.fingerprint()
    );

    let plain = secured.plain();
    let mut wire = Wire::connect(plain);
    wire.send(request("GET", "/healthz"));
    assert_eq!(wire.response().text(), "ok\n");
    for (target, host, status) in [
        ("/", "localhost:9", 200),
        ("/metrics", "evil.example", 200),
        ("/api/v1/status", &admin.to_string(), 200),
        ("/api/v1/status", "evil.example", 421),
        ("/healthz", "localhost", 200),
    ] {
        wire.send(get(target, host));
        assert_eq!(wire.response().status, status, "{target} of {host}");
    }
    wire.send(get("/api/v1/events", "localhost"));
    assert_eq!(wire.head().expect("a stream").status, 200);
    let begun = wire.chunk().expect("it has begun");
    assert!(begun.starts_with(b": what happens from now on"));
}

/// A page in the clear, of whoever is on the way, is another site.
#[test]
fn changes_are_asked_for_by_pages_that_came_by_tls() {
    let secured = Secured::start("", "actions = true");
    let token = fs::read_to_string(secured.lbd.folder().join("state/admin.token"));
    let token = token.expect("there is a token");
    let post = |origin: &str| {
        let body = "{\"admin\":\"drain\"}";
        let head = format!(
            "POST /api/v1/servers/app/a/state HTTP/1.1\r\nhost: localhost:8404\r\norigin: {origin}\r\n\
             content-type: application/json\r\nx-lbd-token: {}\r\ncontent-length: {}\r\n\r\n{body}",
            token.trim(),
            body.len()
        );
        wire::ask(secured.plain(), head).status
    };
    assert_eq!(post("http://localhost:8404"), 403);
    assert_eq!(post("https://localhost:8404"), 200);
}

#[test]
fn status_the_list_and_reload_certs_tell_where_it_is_shown() {
    let mut secured = Secured::start("", "");
    let (lbd, admin) = (&secured.lbd, secured.lbd.admin().to_string());
    let status = lbd.status();
    let tls = status.daemon.admin.expect("[admin] is served").tls;
    let tls = tls.expect("it speaks TLS");
    assert_eq!(
        (&tls.bind, &*tls.certs),
        (&admin, &[secured.certs().display().to_string()][..])
    );
    assert_eq!(status.certificates[0].binds, [&*admin]);
    let listed = lbd.lbctl(["cert", "list", "--json"]).exits(0).json();
    assert_eq!(
        listed["certificates"][0]["served"],
        serde_json::json!([admin])
    );

    let renewed = secured.authority.issue(&["lb.test"]);
    renewed.write(&secured.certs(), "lb.test.pem");
    let read = lbd
        .client()
        .call(&ReloadCerts::default())
        .expect("it reads them");
    let shown = &read.shown[0];
    assert!(read.changed && shown.admin);
    // Those who do not know of `admin` find a frontend here.
    assert_eq!(
        (shown.frontend.as_str(), shown.whose()),
        ("admin", "[admin]")
    );
    assert_eq!(secured.fingerprint(), renewed.fingerprint());

    let newer = secured.authority.issue(&["lb.test"]);
    newer.write(&secured.certs(), "lb.test.pem");
    lbd.reload().exits(0);
    assert_eq!(secured.fingerprint(), newer.fingerprint());

    // A reload takes TLS away, and the address stays.
    let mut open = Wire::connect(secured.plain());
    open.send(request("GET", "/healthz"));
    assert_eq!(open.response().status, 200);
    let app = app(NO_CHECK, [&secured.origin]);
    secured
        .lbd
        .rewrite(format!("[admin]\nbind = \"127.0.0.1:0\"\n{app}"));
    let said = secured.lbd.reload().exits(0);
    assert!(said.stdout.contains("tls"), "{said:#?}");
    assert_eq!(secured.lbd.admin().to_string(), admin);
    assert_eq!(wire::get(secured.lbd.admin(), "/healthz").status, 200);
    open.send(request("GET", "/healthz"));
    assert_eq!(open.response().status, 200);
}

#[test]
fn an_installed_certificate_is_read_back_there() {
    let secured = Secured::start("", "");
    let install = |args: &[&str]| {
        let renewed = secured.authority.issue(&["lb.test"]);
        let lineage = secured.lbd.folder().join("live/lb.test");
        renewed.write_lineage(&lineage);
        let mut command = lbctl::command(&secured.lbd.socket(), ["cert", "install"]);
        command.env("RENEWED_LINEAGE", lineage).args(args);
        (renewed, Process::run(command).exits(0))
    };
    let (renewed, said) = install(&[]);
    said.says("([admin]) shows it, read back for 1 name");
    assert_eq!(secured.fingerprint(), renewed.fingerprint());
    let (_, said) = install(&["--json"]);
    let served = &said.json()["served"][0];
    assert_eq!(served["frontend"], "[admin]");
    assert_eq!(served["read_back"], true);
}

#[test]
fn who_speaks_in_the_clear_is_hung_up_on() {
    let secured = Secured::start("", "");
    // More than is looked at before it is refused: an end, and no reset.
    for rest in [0, 100_000] {
        let mut tcp = TcpStream::connect(secured.lbd.admin()).expect("it listens");
        tcp.set_read_timeout(Some(LIMIT)).expect("a socket");
        let head = get("/healthz", "localhost") + &"x".repeat(rest);
        tcp.write_all(head.as_bytes()).expect("it is taken");
        let mut answer = Vec::new();
        tcp.read_to_end(&mut answer).expect("an end of it");
        // An alert at most (RFC 8446, 6), which has seven bytes.
        assert!(answer.len() <= 7, "{:?}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(wire::get(secured.plain(), "/healthz").status, 200);
}

#[test]
fn handshakes_that_come_to_no_end_keep_nobody_out() {
    let secured = Secured::start("", "");
    let admin = secured.lbd.admin();
    // The first bytes of a hello, and no more; or nothing.
    let begin_from = |from: [u8; 4], n: usize| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let from = SocketAddr::from((from, 0)).into();
        let connected = socket
            .bind(&from)
            .and_then(|()| socket.connect(&admin.into()));
        connected.expect("it listens");
        let mut tcp = TcpStream::from(socket);
        tcp.set_read_timeout(Some(LIMIT)).expect("a socket");
        if n.is_multiple_of(2) {
            tcp.write_all(b"\x16\x03\x01\x02\x00\x01").expect("sent");
        }
        tcp
    };
    let begin = |n| begin_from([127, 0, 0, 1], n);
    let mut slow: Vec<TcpStream> = (1..PLACES).map(begin).collect();
    // From elsewhere, where nobody else is: it has all the time that there is for a handshake.
    let mut alone = begin_from([127, 0, 0, 2], 0);
    slow.extend((0..=PLACES).map(begin));
    assert_eq!(wire::get(secured.plain(), "/healthz").status, 200);
    alone.set_nonblocking(true).expect("a socket");
    let waits = alone
        .read(&mut [0])
        .expect_err("others were answered before its time was over");
    assert_eq!(waits.kind(), ErrorKind::WouldBlock);
    for tcp in slow.iter_mut().take(4) {
        let ended = tcp.read_to_end(&mut Vec::new());
        ended.expect("it ends, for others wait");
    }
    drop(slow);
    let late = begin(0).read_to_end(&mut Vec::new());
    late.expect("it ends, for it is late");
}

#[test]
fn a_client_shows_a_certificate_where_one_is_asked_for() {
    let clients = Authority::new();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let ca = folder.path().join("clients.crt");
    fs::write(&ca, clients.root()).expect("the folder is ours");
    let secured = Secured::start(&format!("client_ca = {ca:?}"), "");
    let admin = secured.lbd.admin();
    assert!(secured.client().shake(admin).is_err());
    let stranger = Authority::new().issue(&["ops.test"]);
    assert!(secured.client().showing(&stranger).shake(admin).is_err());
    let ours = clients.issue(&["ops.test"]);
    let known = secured.client().showing(&ours);
    assert_eq!(wire::get(known.before(admin), "/healthz").status, 200);
    // Whoever installs one shows none, and is shown it all the same.
    let renewed = secured.authority.issue(&["lb.test"]);
    let lineage = secured.lbd.folder().join("live/lb.test");
    renewed.write_lineage(&lineage);
    let mut command = lbctl::command(&secured.lbd.socket(), ["cert", "install"]);
    command.env("RENEWED_LINEAGE", lineage);
    Process::run(command).exits(0).says("([admin]) shows it");
}

#[test]
fn passwords_in_the_clear_are_warned_of_where_others_can_reach_it() {
    let secured = Secured::start("", "");
    let hash = Hash::of("hunter2").expect("a password");
    let users =
        format!("[[admin.users]]\nname = \"ops\"\npassword_hash = \"{hash}\"\nrole = \"viewer\"\n");
    let certs = secured.certs();
    let warned = |bind: &str| {
        let app = app(NO_CHECK, [&secured.origin]);
        let file = secured.lbd.folder().join("other.toml");
        fs::write(&file, format!("[admin]\nbind = {bind}\n{users}{app}")).expect("ours");
        let said = secured
            .lbd
            .lbctl(["validate", &file.display().to_string()])
            .exits(0);
        said.stderr.contains("are sent in the clear")
    };
    assert!(warned("\"*:0\""));
    assert!(!warned("\"127.0.0.1:0\""));
    assert!(!warned(&format!(
        "{{ address = \"*:0\", tls = {{ certs = [{certs:?}] }} }}"
    )));
}
