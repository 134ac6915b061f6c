//! Pebble, an ACME server, and certbot as its client, in a folder of their own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use lb_tests::port::Port;
use lb_tests::process::Output;
use lb_tests::{Authority, Dns, Process};
use tempfile::TempDir;

use crate::program::Program;

pub(crate) struct Pebble {
    folder: TempDir,
    program: Program,
    management: Port,
    dns: Dns,
}

impl Pebble {
    /// It looks for challenges at the port of `http`, whatever the name.
    pub(crate) fn start(http: SocketAddr) -> Self {
        let folder = TempDir::with_prefix("pebble-").expect("a folder can be made");
        let authority = Authority::new();
        let own = authority.issue(&["127.0.0.1"]);
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("the folder is ours");
            path
        };
        file("root.pem", &authority.root());
        let (certificate, key) = (file("own.pem", &own.fullchain), file("own.key", &own.key));
        let dns = Dns::new();
        let (management, dns_at, port) = (Port::new(), dns.addr(), http.port());
        let manage = management.addr();
        let program = Program::start(|acme| {
            let acme = acme.addr();
            let config = format!(
                "{{\"pebble\": {{\"listenAddress\": \"{acme}\", \"managementListenAddress\": \"{manage}\", \
                 \"certificate\": {certificate:?}, \"privateKey\": {key:?}, \"httpPort\": {port}, \
                 \"tlsPort\": {port}, \"certificateValidityPeriod\": 7776000}}}}"
            );
            let mut command = Command::new("pebble");
            command
                .arg("-config")
                .arg(file("pebble.json", &config))
                .args(["-strict", "-dnsserver", &dns_at.to_string()])
                .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "0")])
                .env("PEBBLE_AUTHZREUSE", "0");
            command
        });
        Self {
            folder,
            program,
            management,
            dns,
        }
    }

    /// From now on this name leads to lbd.
    pub(crate) fn knows(&self, name: &str) -> &Self {
        self.dns.set(name, 1, ["127.0.0.1"]);
        self
    }

    /// The root of what it issues, as a file.
    pub(crate) fn root(&self) -> PathBuf {
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--fail", "--cacert"])
            .arg(self.folder.path().join("root.pem"))
            .arg(format!("https://{}/roots/0", self.management.addr()));
        let root = Process::run(command).exits(0).stdout;
        let path = self.folder.path().join("issued.pem");
        fs::write(&path, root).expect("the folder is ours");
        path
    }

    /// Certbot's folder, its `/etc/letsencrypt`.
    pub(crate) fn letsencrypt(&self) -> PathBuf {
        self.folder.path().join("letsencrypt")
    }

    pub(crate) fn lineage(&self, name: &str) -> PathBuf {
        self.letsencrypt().join("live").join(name)
    }

    /// Runs `certbot ARGS`, with `lbctl` on its path for the daemon at `socket`.
    #[track_caller]
    pub(crate) fn certbot(&self, socket: &Path, args: &[&str]) -> Output {
        let file = |name: &str| self.folder.path().join(name);
        let mut command = Command::new("certbot");
        command
            .args(args)
            .args([
                "--non-interactive",
                "--agree-tos",
                "--register-unsafely-without-email",
            ])
            .arg("--server")
            .arg(format!("https://{}/dir", self.program.port.addr()))
            .arg("--config-dir")
            .arg(self.letsencrypt())
            .arg("--work-dir")
            .arg(file("work"))
            .arg("--logs-dir")
            .arg(file("logs"))
            .env("REQUESTS_CA_BUNDLE", file("root.pem"))
            .env("LBCTL_SOCKET", socket)
            .env("PATH", crate::program::path_with_ours());
        Process::run(command)
    }
}
