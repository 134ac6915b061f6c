//! `lbctl cert install` under a running daemon: clients are shown the new certificate, or all is as it
//! was and Certbot hears of it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::os::unix::process::CommandExt;
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
use socket2::{Domain, Protocol, Socket, Type};

/// A daemon that shows what is in its folder `certs`, and the authority that issued it.
struct Live {
    authority: Authority,
    lbd: Lbd,
    _origin: Origin,
}

impl Live {
    /// `binds` is written into the configuration, `CERTS` for the folder. Each of the files holds a certificate for the name of the file.
    fn start(binds: &str, mode: &str, files: &[&str]) -> Self {
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

    fn simple(files: &[&str]) -> Self {
        Self::start(
            "{ address = \"127.0.0.1:0\", tls = { CERTS } }",
            "http",
            files,
        )
    }

    fn certs(&self) -> PathBuf {
        self.lbd.folder().join("certs")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.certs().join(format!("{name}.pem"))
    }

    /// A lineage called `name` with a new certificate.
    fn renew(&self, name: &str, names: &[&str]) -> Issued {
        let issued = self.authority.issue(names);
        issued.write_lineage(&self.lineage(name));
        issued
    }

    fn lineage(&self, name: &str) -> PathBuf {
        self.lbd.folder().join("live").join(name)
    }

    fn command(&self, lineage: &str, args: &[&str]) -> Command {
        let mut command = lbctl::command(&self.lbd.socket(), ["cert", "install"]);
        command
            .env("RENEWED_LINEAGE", self.lineage(lineage))
            .args(args);
        command
    }

    #[track_caller]
    fn install(&self, lineage: &str, args: &[&str]) -> Output {
        Process::run(self.command(lineage, args))
    }

    fn shown(&self, name: &str) -> CertificateDer<'static> {
        let client = Client::new(&self.authority, name).without_resumption();
        let leaf = client.shake(self.lbd.addr()).expect("it is shown one").leaf;
        leaf.expect("a session of its own")
    }

    /// The bind's fingerprint as the daemon has it.
    fn known(&self, file: &Path) -> Option<String> {
        let certificates = self.lbd.status().certificates;
        let file = file.display().to_string();
        let found = certificates.into_iter().find(|known| known.file == file);
        found.map(|known| known.fingerprint)
    }

    fn files(&self) -> Vec<String> {
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
fn what_the_daemon_does_not_read_is_removed_again() {
    let live = Live::simple(&["example.com"]);
    live.renew("example.com", &["example.com"]);
    let other = live.lbd.folder().join("other");
    fs::create_dir(&other).expect("a folder can be made");
    let other = other.to_str().expect("it is text");
    live.install("example.com", &["--certs", other])
        .exits(1)
        .says("the running lbd does not read")
        .says("it is removed again, and lbd shows what it did before");
    assert!(!Path::new(other).join("example.com.pem").exists());
}

#[test]
fn what_another_file_hides_is_put_back() {
    let live = Live::simple(&["a", "example.com"]);
    let before = fs::read(live.file("example.com")).expect("it is there");
    live.authority
        .issue(&["example.com"])
        .write(&live.certs(), "a.pem");
    live.renew("example.com", &["example.com"]);
    let said = live.install("example.com", &[]).exits(1);
    said.says("a.pem comes first for example.com")
        .says("the file before it is back");
    assert_eq!(
        fs::read(live.file("example.com")).expect("it is there"),
        before
    );
    assert_eq!(live.files(), ["a.pem", "example.com.pem"]);
}

#[test]
fn another_file_of_no_use_is_a_warning() {
    let live = Live::simple(&["example.com"]);
    fs::write(live.file("notes"), "to do").expect("the folder is ours");
    let new = live.renew("example.com", &["example.com"]);
    let said = live.install("example.com", &[]).exits(0);
    said.says("notes.pem cannot be used");
    assert_eq!(live.shown("example.com"), leaf(&new));
}

/// A listener of its own at 127.0.0.1, where the bind is every address: clients that come that way
/// meet it and not lbd.
fn imposter(bind: SocketAddr) -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a socket");
    socket.set_reuse_address(true).expect("an option");
    socket.set_reuse_port(true).expect("an option");
    let here: SocketAddr = (Ipv4Addr::LOCALHOST, bind.port()).into();
    socket
        .bind(&here.into())
        .expect("lbd shares its port with its user");
    socket.listen(16).expect("it is bound");
    socket.into()
}

#[test]
fn what_clients_are_not_shown_is_put_back_with_its_owner_and_mode() {
    let live = Live::start(
        "{ address = \"*:0\", tls = { CERTS } }",
        "http",
        &["example.com"],
    );
    let file = live.file("example.com");
    let before = (
        fs::metadata(&file).expect("it is there").ino(),
        live.known(&file),
    );
    let new = live.renew("example.com", &["example.com"]);
    let closing = imposter(live.lbd.addr());
    let closer = closing.try_clone().expect("there are descriptors");
    std::thread::spawn(move || while closer.accept().is_ok() {});
    live.install("example.com", &[])
        .exits(1)
        .says("shows no certificate")
        .says("the file before it is back, and lbd shows what it did before");
    let after = (
        fs::metadata(&file).expect("it is there").ino(),
        live.known(&file),
    );
    assert_eq!(after, before);
    assert_eq!(live.files(), ["example.com.pem"]);
    rustix::net::shutdown(&closing, rustix::net::Shutdown::Both).expect("it listens");
    drop(closing);
    eventually("lbd is reached again", || {
        live.install("example.com", &[])
            .code
            .filter(|code| *code == 0)
            .ok_or("not yet")
    });
    assert_eq!(live.known(&file), Some(new.fingerprint()));
}

/// The whole new file is there, and the next run does what is left to do.
#[test]
fn one_that_is_killed_while_it_reads_back_leaves_no_half() {
    let live = Live::start(
        "{ address = \"*:0\", tls = { CERTS } }",
        "http",
        &["example.com"],
    );
    let file = live.file("example.com");
    let new = live.renew("example.com", &["example.com"]);
    let silent = imposter(live.lbd.addr());
    let mut killed = Process::spawn(live.command("example.com", &[]));
    let asking = silent.accept().expect("it asks what is shown");
    killed.kill();
    drop((asking, silent));
    let installed = lb_proto::pem::File::read(&file).expect("it is whole");
    assert_eq!(installed.bundle.leaf.fingerprint, new.fingerprint());
    assert_eq!(live.known(&file), Some(new.fingerprint()));
    eventually("lbd is reached again", || {
        live.install("example.com", &[])
            .code
            .filter(|code| *code == 0)
            .ok_or("not yet")
    });
    assert_eq!(live.files(), ["example.com.pem"]);
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

/// As root installs and lbd's user reads.
#[test]
fn an_unprivileged_daemon_shows_what_root_installs() {
    const USER: u32 = 12_345;
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let authority = Authority::new();
    let setup = Setup::new("");
    let folder = setup.folder().to_owned();
    let certs = folder.join("certs");
    fs::create_dir(&certs).expect("the folder is ours");
    let first = authority
        .issue(&["example.com"])
        .write(&certs, "example.com.pem");
    let bind = format!("{{ address = \"127.0.0.1:0\", tls = {{ certs = [{certs:?}] }} }}");
    let setup = setup.config(format!(
        "[frontend.web]\nbind = [{bind}]\nroutes = [{{ respond = {{ status = 404 }} }}]\n"
    ));
    setup.write();
    let program = folder.join("lbd");
    fs::copy(programs::lbd(), &program).expect("there is room");
    for owned in [&folder, &certs, &first] {
        chown(owned, Some(USER), Some(USER)).expect("root may give it away");
    }
    let mut command = Command::new(&program);
    command
        .arg("--config")
        .arg(setup.config_file())
        .uid(USER)
        .gid(USER);
    let mut lbd = Process::spawn(command);
    let install = |lineage: &str| {
        let issued = authority.issue(&[lineage]);
        issued.write_lineage(&folder.join("live").join(lineage));
        let mut command = lbctl::command(&setup.socket(), ["cert", "install", "--lineage"]);
        command.arg(folder.join("live").join(lineage));
        Process::run(command)
    };
    eventually("lbd answers", || {
        assert!(lbd.is_running(), "{}", lbd.stderr.so_far());
        lb_proto::client::Client::connect(&setup.socket()).map(drop)
    });
    for lineage in ["example.com", "new.test"] {
        install(lineage).exits(0).says("read back for 1 name");
        let metadata = fs::metadata(certs.join(format!("{lineage}.pem"))).expect("it is there");
        assert_eq!((metadata.uid(), metadata.mode() & 0o7777), (USER, 0o600));
    }

    // In a folder of root's it can read none, and the one that it shows is put back.
    chown(&first, Some(0), Some(0)).expect("it is root's");
    let before = fs::metadata(&first).expect("it is there").ino();
    let said = install("example.com").exits(1);
    said.says("Permission denied")
        .says("let lbd's user read it")
        .says("the file before it is back");
    assert_eq!(fs::metadata(&first).expect("it is there").ino(), before);
}

#[test]
fn a_daemon_that_dies_meanwhile_is_told_of_and_the_old_file_is_back() {
    let mut live = Live::start(
        "{ address = \"*:0\", tls = { CERTS } }",
        "http",
        &["example.com"],
    );
    let before = fs::read(live.file("example.com")).expect("it is there");
    live.renew("example.com", &["example.com"]);
    let silent = imposter(live.lbd.addr());
    let running = Process::spawn(live.command("example.com", &[]));
    let asking = silent.accept().expect("it asks what is shown");
    live.lbd.kill9();
    drop((asking, silent));
    running
        .wait()
        .exits(1)
        .says("the file before it is back, but lbd could not be told: no daemon listens");
    assert_eq!(
        fs::read(live.file("example.com")).expect("it is there"),
        before
    );
    live.lbd.start_again();
}
