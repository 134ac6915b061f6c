//! A running `lbd`, in a folder of its own.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use lb_proto::client::Client;
use lb_proto::error::ErrorReply;
use lb_proto::request;
use lb_proto::state::State;
use lb_proto::status::{ServerStatus, Status};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::eventually::{eventually, is};
use crate::lbctl::{self, Output};
use crate::origin::Origin;
use crate::programs;

/// A daemon that was started and has not been seen to end. What it said is shown when a test fails;
/// it is killed when the test is over.
#[derive(Debug)]
pub struct Lbd {
    setup: Setup,
    child: Child,
    stdout: Transcript,
    stderr: Transcript,
}

/// How to start one.
#[derive(Debug)]
pub struct Setup {
    folder: TempDir,
    config: String,
    global: String,
    env: Vec<(String, String)>,
}

/// A daemon that did not start.
#[derive(Debug)]
pub struct Refused {
    pub code: Option<i32>,
    pub stderr: String,
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
        let text = format!(
            "[global]\nsocket = {:?}\nstate_dir = {:?}\n{}\n{}",
            self.socket(),
            self.folder().join("state"),
            self.global,
            self.config
        );
        std::fs::write(self.config_file(), text).expect("the folder is ours");
    }

    /// Starts a daemon and waits until it answers.
    #[track_caller]
    pub fn start(self) -> Lbd {
        self.try_start()
            .unwrap_or_else(|refused| panic!("lbd does not start: {refused:#?}"))
    }

    /// # Errors
    /// When the daemon ends before it answers.
    pub fn try_start(self) -> Result<Lbd, Refused> {
        self.write();
        Lbd::spawn(self).answering()
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
    pub fn spawn(setup: Setup) -> Self {
        let mut child = setup
            .command()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("lbd can be run");
        Self {
            stdout: Transcript::of(child.stdout.take()),
            stderr: Transcript::of(child.stderr.take()),
            setup,
            child,
        }
    }

    fn answering(mut self) -> Result<Self, Refused> {
        let code = eventually("lbd answers, or ends", || {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Ok(Some(status.code()));
            }
            match self.try_status() {
                Ok(_) => Ok(None),
                Err(e) => Err(format!("{e}; it says:\n{}", self.stderr.so_far())),
            }
        });
        match code {
            None => Ok(self),
            Some(code) => Err(Refused {
                code,
                stderr: self.stderr.whole(),
            }),
        }
    }

    /// Starts a daemon in the place of one that has ended, in the same folder.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.child = {
            let mut child = self
                .setup
                .command()
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("lbd can be run");
            self.stdout = Transcript::of(child.stdout.take());
            self.stderr = Transcript::of(child.stderr.take());
            child
        };
        eventually("lbd answers again", || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("lbd ended: {status}\n{}", self.stderr.whole());
            }
            self.try_status().map(|_| ())
        });
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
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

    /// What it said so far, on its standard error.
    pub fn log(&self) -> String {
        self.stderr.so_far()
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
            is(seen.health, lb_proto::state::Health::Up).map_err(|e| format!("{e}; {seen:?}"))
        });
    }

    /// Replaces the file; [`Self::reload`] makes it count.
    pub fn rewrite(&mut self, config: impl Into<String>) {
        self.setup.config = config.into();
        self.setup.write();
    }

    /// `lbctl reload`.
    #[track_caller]
    pub fn reload(&self) -> Output {
        self.lbctl(["reload"])
    }

    /// Runs `lbctl ARGS` to its end.
    #[track_caller]
    pub fn lbctl<const N: usize>(&self, args: [&str; N]) -> Output {
        lbctl::run(lbctl::command(&self.socket(), args))
    }

    /// Starts `lbctl ARGS`.
    #[track_caller]
    pub fn lbctl_in_background<const N: usize>(&self, args: [&str; N]) -> lbctl::Running {
        lbctl::spawn(lbctl::command(&self.socket(), args))
    }

    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Asks it to stop, and gives its exit code when it has.
    #[track_caller]
    pub fn stop(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// Waits until it has ended.
    #[track_caller]
    pub fn ended(&mut self) -> Option<i32> {
        eventually("lbd ends", || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status.code()),
            other => Err(format!("{other:?}; it says:\n{}", self.stderr.so_far())),
        })
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills it as the kernel does when memory is short.
    pub fn kill9(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Lbd {
    fn drop(&mut self) {
        self.kill9();
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "a failed test shows it")]
            {
                eprintln!("--- lbd said:\n{}---", self.stderr.whole());
            }
        }
    }
}

/// A configuration whose frontend `web` sends everything to the backend `app`, which has these
/// servers under their names and `lines`.
pub fn app<'o>(lines: &str, origins: impl IntoIterator<Item = &'o Origin>) -> String {
    app_at(
        lines,
        origins
            .into_iter()
            .map(|origin| (origin.name(), origin.addr())),
    )
}

/// [`app`], with servers that are not of the harness.
pub fn app_at<'s>(lines: &str, servers: impl IntoIterator<Item = (&'s str, SocketAddr)>) -> String {
    let servers: String = servers
        .into_iter()
        .map(|(name, address)| format!("  {{ name = \"{name}\", address = \"{address}\" }},\n"))
        .collect();
    format!(
        "[frontend.web]\nbind = [\"127.0.0.1:0\"]\ndefault_backend = \"app\"\n\n\
         [backend.app]\n{lines}\nservers = [\n{servers}]\n"
    )
}

/// A health check that speaks often, for [`app`].
pub const QUICK_CHECK: &str = "health = { type = \"http\", path = \"/healthz\", \
     interval = \"50ms\", timeout = \"5s\", rise = 2, fall = 2 }";

/// No health check, for [`app`].
pub const NO_CHECK: &str = "health = false";

/// What a program says, collected while it runs.
#[derive(Debug)]
struct Transcript {
    text: Arc<Mutex<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Transcript {
    fn of(from: Option<impl Read + Send + 'static>) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let into = Arc::clone(&text);
        let thread = from.map(|from| {
            std::thread::spawn(move || {
                let mut lines = BufReader::new(from);
                let mut line = Vec::new();
                while lines.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                    into.lock()
                        .expect("nobody panics while appending")
                        .push_str(&String::from_utf8_lossy(&line));
                    line.clear();
                }
            })
        });
        Self { text, thread }
    }

    fn so_far(&self) -> String {
        self.text
            .lock()
            .expect("nobody panics while appending")
            .clone()
    }

    /// Everything; the program must have ended.
    fn whole(&mut self) -> String {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.so_far()
    }
}
