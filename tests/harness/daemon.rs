//! A running `lbd`, in a folder of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lb_proto::client::Client;
use lb_proto::error::ErrorReply;
use lb_proto::request;
use lb_proto::state::{Health, State};
use lb_proto::status::{ServerStatus, Status};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::config::patient;
pub use crate::config::{NO_CHECK, QUICK_CHECK, app, app_at};
use crate::eventually::{eventually, is};
use crate::process::{Output, Process};
use crate::{lbctl, programs};

/// A daemon that was started and has not been seen to end. What it said is shown when a test fails;
/// it is killed when the test is over.
#[derive(Debug)]
pub struct Lbd {
    setup: Setup,
    process: Process,
}

/// How to start one.
#[derive(Debug)]
pub struct Setup {
    folder: TempDir,
    config: String,
    global: String,
    env: Vec<(String, String)>,
}

impl Setup {
    /// `config` is the file without `[global]`, which is written for it: two data threads, socket
    /// and state in the daemon's folder.
    pub fn new(config: impl Into<String>) -> Self {
        Self {
            folder: TempDir::with_prefix("lbd-").expect("a temporary folder can be made"),
            config: config.into(),
            global: "threads = 2\nshutdown_timeout = \"30s\"\n".into(),
            env: Vec::new(),
        }
    }

    /// Lines of `[global]`, instead of the two threads and the default shutdown timeout.
    pub fn global(mut self, lines: &str) -> Self {
        self.global = format!("{lines}\n");
        self
    }

    /// Replaces the file, as [`Self::new`] took it.
    pub fn config(mut self, config: impl Into<String>) -> Self {
        self.config = config.into();
        self
    }

    /// Runs `lbctl validate` on it.
    #[track_caller]
    pub fn validate(&self) -> Output {
        self.write();
        let mut command = lbctl::command(&self.socket(), ["validate"]);
        command.arg(self.config_file());
        Process::run(command)
    }

    pub fn env(mut self, key: &str, value: impl Into<String>) -> Self {
        self.env.push((key.to_owned(), value.into()));
        self
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("lbd.sock")
    }

    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("lbd.toml")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the file as it stands.
    pub fn write(&self) {
        let global = format!(
            "[global]\nsocket = {:?}\nstate_dir = {:?}\n{}",
            self.socket(),
            self.folder().join("state"),
            self.global,
        );
        let text = patient(&global, &self.config);
        std::fs::write(self.config_file(), text).expect("the folder is ours");
    }

    /// Starts a daemon and waits until it answers.
    #[track_caller]
    pub fn start(self) -> Lbd {
        self.try_start()
            .unwrap_or_else(|refused| panic!("lbd does not start: {refused:#?}"))
    }

    /// [`Self::start`], with the daemon's standard output going elsewhere.
    #[track_caller]
    pub fn start_into(self, stdout: Stdio) -> Lbd {
        self.write();
        let mut lbd = Lbd {
            process: Process::spawn_into(self.command(), stdout),
            setup: self,
        };
        if let Err(refused) = lbd.answers() {
            panic!("lbd does not start: {refused:#?}");
        }
        lbd
    }

    /// # Errors
    /// When the daemon ends before it answers.
    #[track_caller]
    pub fn try_start(self) -> Result<Lbd, Output> {
        self.write();
        let mut lbd = Lbd::spawn(self);
        lbd.answers().map(|()| lbd)
    }

    /// The command `lbd` with this setup's file and environment.
    pub fn command(&self) -> Command {
        let mut command = Command::new(programs::lbd());
        command
            .arg("--config")
            .arg(self.config_file())
            .env_remove("NOTIFY_SOCKET")
            .envs(self.env.iter().map(|(key, value)| (key, value)));
        command
    }
}

impl Lbd {
    /// Starts one with this configuration ([`Setup::new`]) and waits until it answers.
    #[track_caller]
    pub fn start(config: impl Into<String>) -> Self {
        Setup::new(config).start()
    }

    /// Starts one without waiting for it.
    #[track_caller]
    pub fn spawn(setup: Setup) -> Self {
        Self {
            process: Process::spawn(setup.command()),
            setup,
        }
    }

    /// Starts a daemon in the place of one that has ended, in the same folder.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.process = Process::spawn(self.setup.command());
        if let Err(refused) = self.answers() {
            panic!("lbd does not start again: {refused:#?}");
        }
    }

    /// Waits until it answers.
    #[track_caller]
    fn answers(&mut self) -> Result<(), Output> {
        eventually("lbd answers, or ends", || {
            if !self.process.is_running() {
                return Ok(Err(self.process.wait_in_place()));
            }
            match self.try_status() {
                Ok(_) => Ok(Ok(())),
                Err(e) => Err(format!("{e}; it says:\n{}", self.log())),
            }
        })
    }

    /// The command that starts it again.
    pub fn command(&self) -> Command {
        self.setup.command()
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub fn socket(&self) -> PathBuf {
        self.setup.socket()
    }

    pub fn folder(&self) -> &Path {
        self.setup.folder()
    }

    pub fn config_file(&self) -> PathBuf {
        self.setup.config_file()
    }

    /// Waits until it has said this on its standard error.
    #[track_caller]
    pub fn wait_for_log(&self, what: &str) {
        eventually(&format!("the log says {what:?}"), || {
            let log = self.log();
            log.contains(what).then_some(()).ok_or(log)
        });
    }

    /// What it said so far, on its standard error.
    pub fn log(&self) -> String {
        self.process.stderr.so_far()
    }

    /// What it wrote so far to its standard output.
    pub fn stdout(&self) -> String {
        self.process.stdout.so_far()
    }

    /// A connection to its control socket.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(&self.socket())
            .unwrap_or_else(|e| panic!("the control socket refuses: {e}\n{}", self.log()))
    }

    #[track_caller]
    pub fn status(&self) -> Status {
        self.try_status()
            .unwrap_or_else(|e| panic!("no status: {e}\n{}", self.log()))
    }

    /// # Errors
    /// What the socket or the daemon answered instead.
    pub fn try_status(&self) -> Result<Status, ErrorReply> {
        Client::connect(&self.socket())?.call(&request::Status::default())
    }

    /// The status of one server, `BACKEND/SERVER`.
    #[track_caller]
    pub fn server(&self, id: &str) -> ServerStatus {
        let (backend, server) = id.split_once('/').expect("a server is BACKEND/SERVER");
        self.status()
            .backends
            .into_iter()
            .filter(|known| known.name.as_str() == backend)
            .flat_map(|known| known.servers)
            .find(|known| known.name.as_str() == server)
            .unwrap_or_else(|| panic!("status names no server {id}"))
    }

    /// Where the frontend named `name` listens first.
    #[track_caller]
    pub fn addr_of(&self, name: &str) -> SocketAddr {
        let status = self.status();
        let frontend = status
            .frontends
            .iter()
            .find(|frontend| frontend.name.as_str() == name)
            .unwrap_or_else(|| panic!("status names no frontend {name}: {status:#?}"));
        frontend.binds[0]
            .parse()
            .unwrap_or_else(|e| panic!("{:?} is no address: {e}", frontend.binds))
    }

    /// Where the frontend `web` listens.
    #[track_caller]
    pub fn addr(&self) -> SocketAddr {
        self.addr_of("web")
    }

    /// Where `[admin]` is served.
    #[track_caller]
    pub fn admin(&self) -> SocketAddr {
        let admin = self.status().daemon.admin.expect("[admin] is served");
        admin.bind.parse().expect("a bind is an address")
    }

    /// Waits until a server is in this state.
    #[track_caller]
    pub fn wait_for_state(&self, server: &str, state: State) {
        eventually(&format!("{server} is {state}"), || {
            let seen = self.server(server);
            is(seen.state, state).map_err(|e| format!("{e}; {seen:?}"))
        });
    }

    /// Waits until a check of this server has spoken and found it up.
    #[track_caller]
    pub fn wait_until_healthy(&self, server: &str) {
        eventually(&format!("{server} is healthy"), || {
            let seen = self.server(server);
            is(seen.health, Health::Up).map_err(|e| format!("{e}; {seen:?}"))
        });
    }

    /// Replaces the lines of `[global]` ([`Setup::global`]); [`Self::reload`] makes them count.
    pub fn rewrite_global(&mut self, lines: &str) {
        self.setup.global = format!("{lines}\n");
        self.setup.write();
    }

    /// Replaces the file; [`Self::reload`] makes it count.
    pub fn rewrite(&mut self, config: impl Into<String>) {
        self.setup.config = config.into();
        self.setup.write();
    }

    /// Changes the file; [`Self::reload`] makes it count.
    pub fn rewrite_with(&mut self, change: impl FnOnce(String) -> String) {
        let config = std::mem::take(&mut self.setup.config);
        self.rewrite(change(config));
    }

    /// `lbctl reload`.
    #[track_caller]
    pub fn reload(&self) -> Output {
        self.lbctl(["reload"])
    }

    /// Runs `lbctl ARGS` to its end.
    #[track_caller]
    pub fn lbctl<const N: usize>(&self, args: [&str; N]) -> Output {
        Process::run(lbctl::command(&self.socket(), args))
    }

    /// Starts `lbctl ARGS`.
    #[track_caller]
    pub fn lbctl_in_background<const N: usize>(&self, args: [&str; N]) -> Process {
        Process::spawn(lbctl::command(&self.socket(), args))
    }

    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Asks it to stop, and gives its exit code when it has.
    #[track_caller]
    pub fn stop(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.process.wait_in_place().code
    }

    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Kills it as the kernel does when memory is short.
    pub fn kill9(&mut self) {
        self.process.kill();
    }
}

impl Drop for Lbd {
    fn drop(&mut self) {
        self.kill9();
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "a failed test shows it")]
            {
                eprintln!("--- lbd said:\n{}---", self.process.stderr.whole());
            }
        }
    }
}
