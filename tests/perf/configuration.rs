//! What each proxy is told, so that all do the same work.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::origin::Origin;
use crate::proxy::{Kind, Size};
use crate::scenario::{Entry, Service};

/// The configuration of a proxy that listens at `addr` and has `folder` for its files.
pub(crate) fn of(
    kind: Kind,
    addr: SocketAddr,
    origin: &Origin,
    folder: &Path,
    size: Size,
) -> String {
    let parts = Parts {
        addr,
        origins: origin.addrs(size.service),
        folder,
        size,
    };
    match kind {
        Kind::Lbd => parts.lbd(),
        Kind::Haproxy => parts.haproxy(),
        Kind::Nginx => parts.nginx(),
    }
}

/// Where a proxy logs to.
pub(crate) fn log(folder: &Path) -> PathBuf {
    folder.join("access.log")
}

/// Groups in the order in which the loads offer them, so that it is always the first. TLS 1.2 needs
/// the second for a key on P-256 (RFC 8422, 5.1.1).
const GROUPS: &str = "X25519:P-256";

struct Parts<'a> {
    addr: SocketAddr,
    origins: [SocketAddr; 3],
    folder: &'a Path,
    size: Size,
}

impl Parts<'_> {
    fn servers(&self, line: impl Fn(usize, SocketAddr) -> String) -> String {
        (0..self.size.servers)
            .map(|n| line(n, self.origins[n % self.origins.len()]))
            .collect()
    }

    fn backends(&self, backend: impl Fn(usize) -> String) -> String {
        (0..self.size.backends).map(backend).collect()
    }

    /// The file of the certificate and its key, under TLS.
    fn certificate(&self) -> Option<String> {
        let key = self.size.entry.key()?;
        Some(key.path(self.folder).display().to_string())
    }

    fn lbd(&self) -> String {
        let (addr, folder, interval) = (self.addr, self.folder.display(), self.size.interval);
        let mode = match self.size.service.is_tcp() {
            true => "mode = \"tcp\"",
            false => "",
        };
        let servers =
            self.servers(|n, to| format!("  {{ name = \"o{n}\", address = \"{to}\" }},\n"));
        let backends = self.backends(|n| {
            format!(
                "[backend.app{n}]\n{mode}\nhealth = {{ type = \"http\", path = \"/healthz\", \
                 expect = \"200\", interval = \"{interval}s\" }}\nservers = [\n{servers}]\n"
            )
        });
        let log = match self.size.logs {
            true => format!("access_log = {{ path = {:?} }}", log(self.folder)),
            false => String::new(),
        };
        let tls = self.certificate().map_or(String::new(), |path| {
            format!(", tls = {{ certs = [{path:?}] }}")
        });
        let h2c = match self.size.entry {
            Entry::H2c { .. } => ", h2c = true",
            _ => "",
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
bind = [{{ address = "{addr}"{tls}{h2c} }}]
default_backend = "app0"
{backends}"#
        )
    }

    fn haproxy(&self) -> String {
        let (addr, folder, interval) = (self.addr, self.folder.display(), self.size.interval);
        let servers = self.servers(|n, to| format!("  server o{n} {to} check inter {interval}s\n"));
        let backends = self.backends(|n| {
            format!(
                "backend app{n}\n  balance roundrobin\n  option httpchk GET /healthz\n  \
                 http-check expect status 200\n{servers}"
            )
        });
        let log = match self.size.logs {
            true => "log stdout format raw local0 info",
            false => "",
        };
        let proto = self.certificate().map_or("http", |_| "https");
        // Those that HAProxy sets beside `option forwardfor`.
        let headers = format!(
            "  http-request set-header X-Forwarded-Proto {proto}\n  \
             http-request set-header X-Forwarded-Host %[req.hdr(host)]\n  \
             http-request set-header X-Forwarded-Port %[dst_port]"
        );
        let (mode, log_format, headers) = match self.size.service {
            Service::Tcp => ("tcp\n  option splice-auto", "tcplog", String::new()),
            Service::TcpSpliced => ("tcp\n  option splice-response", "tcplog", String::new()),
            Service::Http | Service::WebSocket => (
                "http\n  option forwardfor\n  http-reuse always",
                "httplog",
                headers,
            ),
        };
        let lines = match self.size.logs {
            true => format!("log global\n  option {log_format}"),
            false => String::new(),
        };
        let tls = self.certificate().map_or(String::new(), |path| {
            format!(" ssl crt {path} curves {GROUPS} alpn h2,http/1.1")
        });
        let h2c = match self.size.entry {
            Entry::H2c { .. } => " proto h2",
            _ => "",
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
  bind {addr}{tls}{h2c}
{headers}
  default_backend app0
{backends}"#
        )
    }

    fn nginx(&self) -> String {
        let addr = self.addr;
        let servers = self.servers(|_, to| format!("    server {to};\n"));
        let backends = self.backends(|n| {
            format!(
                "  upstream app{n} {{\n{servers}    keepalive 1024;\n    \
                 keepalive_requests 1000000000;\n    keepalive_timeout 600s;\n  }}\n"
            )
        });
        let upgrade = match self.size.service {
            Service::WebSocket => {
                "proxy_set_header Connection upgrade; proxy_set_header Upgrade $http_upgrade;"
            }
            _ => "proxy_set_header Connection \"\";",
        };
        let log = match self.size.logs {
            true => format!(
                "access_log {} combined buffer=32k flush=100ms;",
                log(self.folder).display()
            ),
            false => String::new(),
        };
        let (ssl, certificate) = match self.certificate() {
            None => ("", String::new()),
            Some(path) => (
                " ssl",
                format!(
                    "ssl_certificate {path};\n    ssl_certificate_key {path};\n    \
                     ssl_protocols TLSv1.2 TLSv1.3;\n    ssl_ecdh_curve {GROUPS};"
                ),
            ),
        };
        let h2 = if self.size.entry.is_h2() {
            " http2"
        } else {
            ""
        };
        format!(
            r#"{backends}
  server {{
    {log}
    listen {addr} backlog=4096{ssl}{h2};
    {certificate}
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
