//! A certificate's whole life with real parts: Certbot gets it from an ACME server through lbd, lbctl
//! installs it, clients are shown it, and it is renewed under them.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use lb_proto::request::ReloadCerts;
use lb_tests::daemon::NO_CHECK;
use lb_tests::port::Port;
use lb_tests::{Lbd, Process, Setup, eventually, programs};

use crate::app_servers::{node, server};
use crate::openssl;
use crate::pebble::Pebble;
use crate::program::Program;

/// Challenges are files of a folder that a web server has; for shop.test certbot serves its own.
fn config(app: &Port, webroot: &Port, standalone: &Port) -> String {
    let [app, webroot, standalone] = [app, webroot, standalone].map(|port| port.addr());
    format!(
        "[frontend.web]\nbind = [\"127.0.0.1:0\"]\ndefault_backend = \"app\"\n\n\
         [[frontend.web.routes]]\nhost = \"shop.test\"\npath = \"/.well-known/acme-challenge/\"\n\
         plain = true\nbackend = \"standalone\"\n\n\
         [[frontend.web.routes]]\npath = \"/.well-known/acme-challenge/\"\n\
         plain = true\nbackend = \"webroot\"\n\n\
         [backend.app]\n{NO_CHECK}\nservers = [{{ name = \"a\", address = \"{app}\" }}]\n\n\
         [backend.webroot]\n{NO_CHECK}\nservers = [{{ name = \"www\", address = \"{webroot}\" }}]\n\n\
         [backend.standalone]\n{NO_CHECK}\nservers = [{{ name = \"certbot\", address = \"{standalone}\" }}]\n"
    )
}

fn file_server(folder: &Path) -> Program {
    Program::start(|port| {
        let mut command = Command::new("python3");
        command
            .args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"])
            .arg(folder)
            .arg(port.addr().port().to_string());
        command
    })
}

/// A WebSocket through lbd, and how many messages came back so far.
struct Socket(Process);

impl Socket {
    fn open(lbd: &Lbd, name: &str, authorities: &Path) -> Self {
        let mut command = node("websocket.js");
        command
            .args(["hold", &format!("wss://{}/", lbd.addr_of("tls")), name])
            .env("NODE_EXTRA_CA_CERTS", authorities);
        let socket = Self(Process::spawn(command));
        socket.goes_on();
        socket
    }

    /// Waits for another message to have come back.
    #[track_caller]
    fn goes_on(&self) {
        let count = || self.0.stdout.so_far().lines().count();
        let before = count();
        eventually("the WebSocket echoes", || {
            let said = || self.0.stderr.so_far();
            (count() > before + 1).then_some(()).ok_or_else(said)
        });
    }
}

fn hook_folder(pebble: &Pebble) -> PathBuf {
    pebble.letsencrypt().join("renewal-hooks/deploy")
}

#[test]
#[ignore = "needs certbot, pebble, openssl, curl, python3, node and npm packages"]
fn a_certificate_is_issued_installed_and_renewed_under_its_clients() {
    let app = server("websocket.js", &["server", "PORT"]);
    let setup = Setup::new("");
    let (webroot, certs) = (setup.folder().join("www"), setup.folder().join("certs"));
    for folder in [&webroot, &certs] {
        fs::create_dir(folder).expect("the folder is ours");
    }
    let files = file_server(&webroot);
    let standalone = Port::new();
    let mut lbd = setup
        .config(config(&app.port, &files.port, &standalone))
        .start();
    let pebble = Pebble::start(lbd.addr());
    pebble
        .knows("example.com")
        .knows("www.example.com")
        .knows("shop.test");
    let socket = lbd.socket();

    // The first certificate, by webroot, before there is any TLS: installed by hand.
    let webroot = webroot.to_str().expect("it is text");
    let names = ["-d", "example.com", "-d", "www.example.com"];
    let first = ["certonly", "--webroot", "-w", webroot];
    pebble
        .certbot(&socket, &[&first[..], &names].concat())
        .exits(0);
    let lineage = pebble.lineage("example.com");
    let [lineage, certs] = [&lineage, &certs].map(|path| path.to_str().expect("it is text"));
    lbd.lbctl(["cert", "install", "--lineage", lineage, "--certs", certs])
        .exits(0)
        .says("has no bind with TLS");
    lbd.rewrite_with(|config| {
        let plain = "[frontend.web]\nbind = [\"127.0.0.1:0\"]\n";
        let redirecting = "[frontend.web]\nbind = [\"127.0.0.1:0\"]\nhttps_redirect = true\n";
        let tls = format!(
            "[frontend.tls]\nbind = [{{ address = \"127.0.0.1:0\", tls = {{ certs = [\"{certs}\"] }} }}]\n\
             default_backend = \"app\"\n\n"
        );
        tls + &config.replace(plain, redirecting)
    });
    lbd.reload().exits(0);
    let root = pebble.root();
    let shown = |name: &str| openssl::fingerprint(lbd.addr_of("tls"), name, &root);
    let installed = |name: &str| {
        let file = Path::new(certs).join(format!("{name}.pem"));
        let metadata = fs::metadata(&file).expect("it is installed");
        assert_eq!(metadata.mode() & 0o7777, 0o600);
        let file = lb_proto::pem::File::read(&file).expect("lbd can use it");
        file.bundle.leaf.fingerprint
    };
    let one = shown("example.com");
    assert_eq!(one, installed("example.com"));
    let talk = Socket::open(&lbd, "example.com", &root);

    // Renewed through the redirecting frontend, by the link that is a hook for every lineage.
    let hooks = hook_folder(&pebble);
    fs::create_dir_all(&hooks).expect("certbot has made its folder");
    symlink(programs::lbctl(), hooks.join("lbctl")).expect("a link can be made");
    let renew = ["renew", "--force-renewal", "--no-random-sleep-on-renew"];
    let said = pebble.certbot(&socket, &renew).exits(0);
    said.says("read back for 2 names");
    let two = shown("www.example.com");
    assert_ne!(two, one);
    assert_eq!(two, installed("example.com"));
    assert_eq!(shown("example.com"), two);
    talk.goes_on();

    // A second one, by certbot's own server, with the other kind of hook, which runs at once.
    let port = standalone.addr().port().to_string();
    let mut second = vec!["certonly", "--standalone", "--http-01-port", &port];
    second.extend(["--http-01-address", "127.0.0.1", "-d", "shop.test"]);
    second.extend(["--deploy-hook", "lbctl cert install"]);
    pebble.certbot(&socket, &second).exits(0);
    let shop = shown("shop.test");
    assert_eq!(shop, installed("shop.test"));
    pebble.certbot(&socket, &renew).exits(0);
    assert_ne!(shown("shop.test"), shop);
    assert_eq!(shown("shop.test"), installed("shop.test"));
    assert_ne!(shown("example.com"), two);
    talk.goes_on();

    // What lbd cannot show is put back, and Certbot says so.
    let three = shown("example.com");
    fs::copy(
        Path::new(certs).join("example.com.pem"),
        Path::new(certs).join("a.pem"),
    )
    .expect("the folder is ours");
    let all = ReloadCerts::default();
    lbd.client().call(&all).expect("it reads them");
    let said = pebble.certbot(
        &socket,
        &[&renew[..], &["--cert-name", "example.com"]].concat(),
    );
    said.says("a.pem comes first for")
        .says("the file before it is back");
    assert_eq!(shown("example.com"), three);
    assert_eq!(installed("example.com"), three);
    talk.goes_on();
    assert_eq!(lbd.status().daemon.config.generation, 2);
}
