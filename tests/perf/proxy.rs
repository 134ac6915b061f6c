//! The proxies under comparison, configured to do the same work.

use std::fmt;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use lb_tests::port::Port;
use lb_tests::{Process, nginx, programs};
use tempfile::TempDir;

use crate::Bench;
use crate::configuration::{self, log};
use crate::machine::pinned;
use crate::scenario::{Entry, Service};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Lbd,
    Haproxy,
    Nginx,
}

/// How many backends of how many servers a configuration has; the first one takes the requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) backends: usize,
    pub(crate) servers: usize,
    /// Between two checks of a server, in seconds.
    pub(crate) interval: u64,
    /// Whether each request has a line in a file.
    pub(crate) logs: bool,
    pub(crate) service: Service,
    pub(crate) entry: Entry,
}

pub(crate) const USUAL: Size = Size {
    backends: 1,
    servers: 3,
    interval: 2,
    logs: false,
    service: Service::Http,
    entry: Entry::Clear,
};

/// One that runs, pinned; killed when dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    process: Process,
    port: Port,
    folder: TempDir,
    /// From the start of the process to its first answer.
    pub(crate) started_in: Duration,
}

impl Proxy {
    /// Starts one that does what `size` says.
    pub(crate) fn start(kind: Kind, bench: &Bench, size: Size) -> Result<Self, String> {
        let folder = TempDir::with_prefix("perf-proxy-").map_err(|e| e.to_string())?;
        let port = Port::new();
        if let Some(key) = size.entry.key() {
            bench.certificates.write(key, folder.path());
        }
        let text = configuration::of(kind, port.addr(), &bench.origin, folder.path(), size);
        let config = folder.path().join("config");
        if kind == Kind::Nginx {
            nginx::configure(folder.path(), &text).map_err(|e| e.to_string())?;
        } else {
            fs::write(&config, text).map_err(|e| e.to_string())?;
        }
        let mut command = pinned(bench.cpus.proxy, &kind.program());
        match kind {
            Kind::Lbd => command.arg("--config").arg(&config),
            Kind::Haproxy => command.args(["-db", "-f"]).arg(&config),
            Kind::Nginx => nginx::arguments(&mut command, folder.path()),
        };
        let started = Instant::now();
        // HAProxy knows no log files: its standard output is one.
        let stdout = match kind == Kind::Haproxy && size.logs {
            true => Stdio::from(File::create(log(folder.path())).map_err(|e| e.to_string())?),
            false => Stdio::piped(),
        };
        let mut process = Process::spawn_into(command, stdout);
        match size.entry {
            Entry::Clear => nginx::wait_until_it_answers(&mut process, port.addr())?,
            _ => wait_until_it_listens(&mut process, port.addr())?,
        }
        Ok(Self {
            process,
            port,
            folder,
            started_in: started.elapsed(),
        })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(crate) fn folder(&self) -> &TempDir {
        &self.folder
    }
}

/// For those that say nothing in the clear.
fn wait_until_it_listens(process: &mut Process, addr: SocketAddr) -> Result<(), String> {
    const LIMIT: Duration = Duration::from_secs(60);
    let started = Instant::now();
    while let Err(error) = TcpStream::connect(addr) {
        if !process.is_running() {
            return Err(format!("it does not start: {:#?}", process.wait_in_place()));
        }
        if started.elapsed() > LIMIT {
            return Err(format!("nobody listens at {addr}: {error}"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

impl Kind {
    fn program(self) -> String {
        match self {
            Self::Lbd => programs::lbd().display().to_string(),
            Self::Haproxy => "haproxy".into(),
            Self::Nginx => "nginx".into(),
        }
    }

    /// What it says of itself.
    pub(crate) fn version(self) -> Result<String, String> {
        let flag = if self == Self::Lbd { "--version" } else { "-v" };
        let output = Command::new(self.program())
            .arg(flag)
            .output()
            .map_err(|e| format!("cannot run {self}: {e}"))?;
        // nginx says it on standard error.
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        Ok(said.lines().next().unwrap_or_default().to_owned())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lbd => "lbd",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
        })
    }
}

impl FromStr for Kind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Lbd, Self::Haproxy, Self::Nginx]
            .into_iter()
            .find(|kind| kind.to_string() == text)
            .ok_or(format!("there is no proxy {text:?}: lbd, haproxy or nginx"))
    }
}
