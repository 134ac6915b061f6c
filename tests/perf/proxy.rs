//! The proxies under comparison, configured to do the same work.

use std::fmt;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use lb_tests::port::Port;
use lb_tests::{Process, nginx, programs};
use tempfile::TempDir;

use crate::machine::{Cpus, pinned};
use crate::origin::Origin;
use crate::scenario::Service;

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
}

pub(crate) const USUAL: Size = Size {
    backends: 1,
    servers: 3,
    interval: 2,
    logs: false,
    service: Service::Http,
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
    pub(crate) fn start(kind: Kind, origin: &Origin, cpus: Cpus) -> Result<Self, String> {
        Self::start_sized(kind, origin, cpus, USUAL)
    }

    /// One that is started so that it does what `size` says.
    pub(crate) fn start_sized(
        kind: Kind,
        origin: &Origin,
        cpus: Cpus,
        size: Size,
    ) -> Result<Self, String> {
        let folder = TempDir::with_prefix("perf-proxy-").map_err(|e| e.to_string())?;
        let port = Port::new();
        let text = kind.configuration(&port, origin, &folder, size);
        let config = folder.path().join("config");
        if kind == Kind::Nginx {
            nginx::configure(folder.path(), &text).map_err(|e| e.to_string())?;
        } else {
            fs::write(&config, text).map_err(|e| e.to_string())?;
        }
        let mut command = pinned(cpus.proxy, &kind.program());
        match kind {
            Kind::Lbd => command.arg("--config").arg(&config),
            Kind::Haproxy => command.args(["-db", "-f"]).arg(&config),
            Kind::Nginx => nginx::arguments(&mut command, folder.path()),
        };
        let started = Instant::now();
        // HAProxy knows no log files: its standard output is one.
        let stdout = match kind == Kind::Haproxy && size.logs {
            true => Stdio::from(File::create(log(&folder)).map_err(|e| e.to_string())?),
            false => Stdio::piped(),
        };
        let mut process = Process::spawn_into(command, stdout);
        nginx::wait_until_it_answers(&mut process, port.addr())?;
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

/// Where a proxy logs to.
fn log(folder: &TempDir) -> PathBuf {
    folder.path().join("access.log")
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

    fn configuration(self, port: &Port, origin: &Origin, folder: &TempDir, size: Size) -> String {
        let log = log(folder);
        let (addr, folder) = (port.addr(), folder.path().display());
        let origins = origin.addrs(size.service);
        let tcp = size.service.is_tcp();
        let interval = size.interval;
        let servers = |line: &dyn Fn(usize, SocketAddr) -> String| -> String {
            (0..size.servers)
                .map(|n| line(n, origins[n % origins.len()]))
                .collect()
        };
        let backends = |backend: &dyn Fn(usize) -> String| -> String {
            (0..size.backends).map(backend).collect()
        };
        match self {
            Self::Lbd => {
                let mode = if tcp { "mode = \"tcp\"" } else { "" };
                let servers =
                    servers(&|n, to| format!("  {{ name = \"o{n}\", address = \"{to}\" }},\n"));
                let backends = backends(&|n| {
                    format!(
                        "[backend.app{n}]\n{mode}\nhealth = {{ type = \"http\", path = \"/healthz\", \
                         expect = \"200\", interval = \"{interval}s\" }}\nservers = [\n{servers}]\n"
                    )
                });
                let log = match size.logs {
                    true => format!("access_log = {{ path = {log:?} }}"),
                    false => String::new(),
                };
                format!(
                    r#"
[global]
{log}
threads = 1
max_connections = 11000
socket = "{folder}/lbd.sock"
state_dir = "{folder}/state"
[defaults.timeouts]
keep_alive = "10m"
[frontend.web]
{mode}
bind = ["{addr}"]
default_backend = "app0"
{backends}"#
                )
            }
            Self::Haproxy => {
                let servers =
                    servers(&|n, to| format!("  server o{n} {to} check inter {interval}s\n"));
                let backends = backends(&|n| {
                    format!(
                        "backend app{n}\n  balance roundrobin\n  option httpchk GET /healthz\n  \
                         http-check expect status 200\n{servers}"
                    )
                });
                let log = match size.logs {
                    true => "log stdout format raw local0 info",
                    false => "",
                };
                let (mode, log_format, headers) = match size.service {
                    Service::Tcp => ("tcp\n  option splice-auto", "tcplog", ""),
                    Service::TcpSpliced => ("tcp\n  option splice-response", "tcplog", ""),
                    Service::Http | Service::WebSocket => (
                        "http\n  option forwardfor\n  http-reuse always",
                        "httplog",
                        HAPROXY_HEADERS,
                    ),
                };
                let lines = match size.logs {
                    true => format!("log global\n  option {log_format}"),
                    false => String::new(),
                };
                format!(
                    r#"
global
  {log}
  nbthread 1
  maxconn 11000
  no strict-limits
  stats socket {folder}/haproxy.sock
defaults
  {lines}
  mode {mode}
  timeout client 30s
  timeout server 30s
  timeout connect 5s
  timeout http-request 10s
  timeout http-keep-alive 10m
  timeout tunnel 1h
frontend web
  bind {addr}
{headers}
  default_backend app0
{backends}"#
                )
            }
            Self::Nginx => {
                let servers = servers(&|_, to| format!("    server {to};\n"));
                let backends = backends(&|n| {
                    format!(
                        "  upstream app{n} {{\n{servers}    keepalive 1024;\n    \
                         keepalive_requests 1000000000;\n    keepalive_timeout 600s;\n  }}\n"
                    )
                });
                let upgrade = match size.service {
                    Service::WebSocket => {
                        "proxy_set_header Connection upgrade; proxy_set_header Upgrade $http_upgrade;"
                    }
                    _ => "proxy_set_header Connection \"\";",
                };
                let log = match size.logs {
                    true => format!(
                        "access_log {} combined buffer=32k flush=100ms;",
                        log.display()
                    ),
                    false => String::new(),
                };
                format!(
                    r#"{backends}
  server {{
    {log}
    listen {addr} backlog=4096;
    location / {{
      proxy_pass http://app0;
      proxy_http_version 1.1;
      proxy_request_buffering off;
      proxy_max_temp_file_size 0;
      {upgrade}
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Port $server_port;
    }}
  }}
"#
                )
            }
        }
    }
}

/// Those that HAProxy sets beside `option forwardfor`.
const HAPROXY_HEADERS: &str = "  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Port %[dst_port]";

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
