//! `lbctl cert install` under a running daemon: clients are shown the new certificate, whatever the bind.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use lb_tests::daemon::NO_CHECK;
use lb_tests::process::Output;
use lb_tests::tls::Client;
use lb_tests::wire::request;
use lb_tests::{
    Authority, Issued, Lbd, Origin, Process, Setup, Wire, eventually, is, lbctl, programs,
};
use rustls::pki_types::CertificateDer;

/// A daemon that shows what is in its folder `certs`, and the authority that issued it.
pub(crate) struct Live {
    pub(crate) authority: Authority,
    pub(crate) lbd: Lbd,
    _origin: Origin,
}

impl Live {
    /// `binds` is written into the configuration, `CERTS` for the folder. Each of the files holds a certificate for the name of the file.
    pub(crate) fn start(binds: &str, mode: &str, files: &[&str]) -> Self {
        let authority = Authority::new();
        let origin = Origin::start("a");
        let setup = Setup::new("");
        let certs = setup.folder().join("certs");
        fs::create_dir(&certs).expect("the folder is ours");
        for name in files {
            authority
                .issue(&[name])
                .write(&certs, &format!("{name}.pem"));
        }
        let binds = binds.replace("CERTS", &format!("certs = [{certs:?}]"));
        let server = origin.addr();
        let config = format!(
            "[frontend.web]\nmode = \"{mode}\"\nbind = [{binds}]\ndefault_backend = \"app\"\n\n\
             [backend.app]\nmode = \"{mode}\"\n{NO_CHECK}\nservers = [{{ name = \"a\", address = \"{server}\" }}]\n"
        );
        Self {
            authority,
            lbd: setup.config(config).start(),
            _origin: origin,
        }
    }

    pub(crate) fn simple(files: &[&str]) -> Self {
        Self::start(
            "{ address = \"127.0.0.1:0\", tls = { CERTS } }",
            "http",
            files,
        )
    }

    pub(crate) fn certs(&self) -> PathBuf {
        self.lbd.folder().join("certs")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.certs().join(format!("{name}.pem"))
    }

    /// A lineage called `name` with a new certificate.
    pub(crate) fn renew(&self, name: &str, names: &[&str]) -> Issued {
        let issued = self.authority.issue(names);
        issued.write_lineage(&self.lineage(name));
        issued
    }

    fn lineage(&self, name: &str) -> PathBuf {
        self.lbd.folder().join("live").join(name)
    }

    pub(crate) fn command(&self, lineage: &str, args: &[&str]) -> Command {
        let mut command = lbctl::command(&self.lbd.socket(), ["cert", "install"]);
        command
            .env("RENEWED_LINEAGE", self.lineage(lineage))
            .args(args);
        command
    }

    #[track_caller]
    pub(crate) fn install(&self, lineage: &str, args: &[&str]) -> Output {
        Process::run(self.command(lineage, args))
    }

    fn shown(&self, name: &str) -> CertificateDer<'static> {
        let client = Client::new(&self.authority, name).without_resumption();
        let leaf = client.shake(self.lbd.addr()).expect("it is shown one").leaf;
        leaf.expect("a session of its own")
    }

    /// The bind's fingerprint as the daemon has it.
    pub(crate) fn known(&self, file: &Path) -> Option<String> {
        let certificates = self.lbd.status().certificates;
        let file = file.display().to_string();
        let found = certificates.into_iter().find(|known| known.file == file);
        found.map(|known| known.fingerprint)
    }

    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.certs()).expect("it can be listed");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("it is there").file_name().into_string())
            .collect::<Result<_, _>>()
            .expect("names are text");
        names.sort();
        names
    }
}

fn leaf(issued: &Issued) -> CertificateDer<'static> {
    issued.chain().swap_remove(0)
}

#[test]
fn a_renewed_certificate_is_shown_and_read_back() {
    let live = Live::simple(&["example.com"]);
    let client = Client::new(&live.authority, "example.com");
    let mut open = Wire::connect(client.before(live.lbd.addr()));
    assert_eq!(open.send(request("GET", "/")).response().status, 200);
    let new = live.renew("example.com", &["example.com", "*.example.com"]);
    let said = live.install("example.com", &[]).exits(0);
    assert_eq!(said.stdout, "");
    said.says("(web) shows it, read back for 2 names");
    assert_eq!(live.shown("example.com"), leaf(&new));
    assert_eq!(live.shown("www.example.com"), leaf(&new));
    assert_eq!(open.send(request("GET", "/")).response().status, 200);
    assert_eq!(live.files(), ["example.com.pem"]);

    let newer = live.renew("example.com", &["example.com", "*.example.com"]);
    let json = live.install("example.com", &["--json"]).exits(0).json();
    assert_eq!(json["fingerprint"], newer.fingerprint());
    let served = &json["served"][0];
    assert_eq!(served["bind"], live.lbd.addr().to_string());
    assert_eq!(
        served["names"],
        serde_json::json!(["example.com", "*.example.com"])
    );
    assert_eq!(served["read_back"], true);
}

/// Certbot calls the links in renewal-hooks/deploy without any argument.
#[test]
fn a_link_to_it_is_a_hook() {
    let live = Live::simple(&["example.com"]);
    let new = live.renew("example.com", &["example.com"]);
    let hooks = live.lbd.folder().join("renewal-hooks/deploy");
    fs::create_dir_all(&hooks).expect("a folder can be made");
    let link = hooks.join("lbd");
    symlink(programs::lbctl(), &link).expect("a link can be made");
    let mut command = Command::new(&link);
    command.env("LBCTL_SOCKET", live.lbd.socket());
    command.env("RENEWED_LINEAGE", live.lineage("example.com"));
    Process::run(command).exits(0).says("read back for 1 name");
    assert_eq!(live.shown("example.com"), leaf(&new));
}

#[test]
fn a_new_lineage_is_a_new_file() {
    let live = Live::simple(&["example.com"]);
    let shop = live.renew("shop.test", &["shop.test"]);
    live.install("shop.test", &[]).exits(0);
    assert_eq!(live.shown("shop.test"), leaf(&shop));
    assert_ne!(live.shown("example.com"), leaf(&shop));
    assert_eq!(live.files(), ["example.com.pem", "shop.test.pem"]);
}

#[test]
fn keys_of_two_kinds_for_a_name_are_each_read_back() {
    let live = Live::simple(&["example.com"]);
    let rsa = live.authority.issue_rsa(&["example.com"]);
    rsa.write_lineage(&live.lineage("rsa"));
    live.install("rsa", &[])
        .exits(0)
        .says("read back for 1 name");
    assert_eq!(live.known(&live.file("rsa")), Some(rsa.fingerprint()));
    let ecdsa = live.renew("example.com", &["example.com"]);
    let said = live.install("example.com", &[]).exits(0);
    assert!(!said.stderr.contains("warning"), "{said:#?}");
    assert_eq!(live.shown("example.com"), leaf(&ecdsa));
}

#[test]
fn every_kind_of_bind_is_read_back_and_what_cannot_be_is_told() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let ca = folder.path().join("clients.crt");
    fs::write(&ca, Authority::new().root()).expect("the folder is ours");
    let binds = format!(
        "{{ address = \"127.0.0.1:0\", tls = {{ CERTS, client_ca = {ca:?} }} }}, \
         {{ address = \"*:0\", tls = {{ CERTS, strict_sni = true, min_version = \"1.3\" }} }}, \
         {{ address = \"[::]:0\", tls = {{ CERTS }}, proxy_protocol = [\"::1\"] }}, \
         {{ address = \"*:0\", tls = {{ CERTS }}, proxy_protocol = [\"192.0.2.0/24\", \"127.0.0.0/8\"] }}, \
         {{ address = \"127.0.0.1:0\", tls = {{ CERTS }}, proxy_protocol = [\"192.0.2.0/24\"] }}"
    );
    let live = Live::start(&binds, "http", &["example.com"]);
    live.renew("example.com", &["example.com"]);
    let json = live.install("example.com", &["--json"]).exits(0).json();
    let served = json["served"].as_array().expect("a list");
    let read: Vec<_> = served
        .iter()
        .map(|bind| bind["read_back"] == true)
        .collect();
    assert_eq!(read.iter().filter(|read| **read).count(), 4, "{json:#}");
    assert_eq!(read.len(), 5);
    live.install("example.com", &[])
        .exits(0)
        .says("could not be read back: only 192.0.2.0/24 may connect to it");
}

#[test]
fn behind_mode_tcp_no_server_hears_of_it() {
    let bind = "{ address = \"127.0.0.1:0\", tls = { CERTS } }";
    let live = Live::start(bind, "tcp", &["example.com"]);
    live.renew("example.com", &["example.com"]);
    live.install("example.com", &[]).exits(0);
    eventually("the connection is over", || {
        is(live.lbd.status().frontends[0].connections, 0)
    });
    assert_eq!(live.lbd.server("app/a").sessions_total, 0);
}

#[test]
fn another_file_of_no_use_is_no_business_of_it() {
    let live = Live::simple(&["example.com"]);
    fs::write(live.file("notes"), "to do").expect("the folder is ours");
    let new = live.renew("example.com", &["example.com"]);
    live.install("example.com", &[]).exits(0);
    assert_eq!(live.shown("example.com"), leaf(&new));
}

#[test]
fn several_at_once_all_arrive() {
    const MANY: usize = 6;
    let live = Live::simple(&["example.com"]);
    let issued: Vec<Issued> = (0..MANY)
        .map(|n| live.renew(&format!("{n}.test"), &[&format!("{n}.test")]))
        .collect();
    let newest = live.renew("example.com", &["example.com"]);
    let lineages = (0..MANY).map(|n| format!("{n}.test"));
    let lineages = lineages.chain(["example.com".to_owned(), "example.com".to_owned()]);
    let running: Vec<Process> = lineages
        .map(|lineage| Process::spawn(live.command(&lineage, &[])))
        .collect();
    for process in running {
        process.wait().exits(0);
    }
    for (n, issued) in issued.iter().enumerate() {
        assert_eq!(live.shown(&format!("{n}.test")), leaf(issued));
    }
    assert_eq!(live.shown("example.com"), leaf(&newest));
    assert_eq!(live.files().len(), MANY + 1);
}
