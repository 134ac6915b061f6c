//! What the demo writes: its configuration and its guide.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::origin::Origin;

/// The configuration file.
pub(super) fn config(
    folder: &Path,
    bind: SocketAddr,
    admin: SocketAddr,
    origins: &[Origin],
) -> String {
    let servers: String = origins
        .iter()
        .map(|o| {
            format!(
                "  {{ name = {:?}, address = \"{}\" }},\n",
                o.name, o.address
            )
        })
        .collect();
    let path = |name: &str| toml_text(&folder.join(name));
    format!(
        r#"# The configuration of `lbd demo`. Edit it, then: lbctl reload

[global]
threads = 2
socket = {socket}        # lbctl talks to lbd here
state_dir = {state_dir}
shutdown_timeout = "10s"                # how long a stop waits for running requests
log = {{ level = "warn" }}                # "info" tells of every change

# The dashboard, with buttons that drain; /metrics and /healthz.
[admin]
bind = "{admin}"
actions = true

# Where clients connect.
[frontend.web]
bind = ["{bind}"]
default_backend = "app"

# The servers, and how to pick one. Try `weight = 3` on one of them.
[backend.app]
balance = "roundrobin"
# Each server is asked every second: two good answers bring it up, three bad ones take it down.
health = {{ type = "http", path = "/healthz", interval = "1s", timeout = "5s", rise = 2, fall = 3 }}
servers = [
{servers}]
"#,
        socket = path("lbd.sock"),
        state_dir = path("state"),
    )
}

/// A path as a TOML string: JSON's escapes are a subset of TOML's.
fn toml_text(path: &Path) -> String {
    serde_json::Value::from(path.to_string_lossy()).to_string()
}

/// What to try, each line as it can be pasted.
pub(super) fn guide(
    config: &Path,
    socket: &Path,
    frontend: SocketAddr,
    admin: SocketAddr,
    origins: &[Origin],
) -> String {
    let url = format!("http://{}", reachable(frontend));
    let direct = origins
        .first()
        .map(|o| o.address.to_string())
        .unwrap_or_default();
    let lbctl = lbctl_line();
    let (config, socket) = (config.display(), socket.display());
    let origins: String = origins
        .iter()
        .map(|o| format!(" {} at {}", o.name, o.address))
        .collect::<Vec<_>>()
        .join(",");
    format!(
        "\
lbd is ready at {url}, before three servers:{origins}.
Ctrl-C ends it and removes its folder.

In another terminal:
{lbctl}  export LBCTL_SOCKET={socket}

Requests take turns:
  while sleep 0.2; do curl -s {url}/; done
How everything is, and how it changes; in a browser: http://{admin}
  lbctl status
  lbctl status --watch
One server dies for 15 seconds, and no request fails:
  curl -X POST 'http://{direct}/fail?for=15'
One is alive but its health check fails:
  curl -X POST 'http://{direct}/sick?for=15'
Each answers a slow request; one is drained, and may finish its own first:
  for i in 1 2 3; do curl -s '{url}/slow?ms=8000' & done; sleep 1
  lbctl drain app/web01
  lbctl ready app/web01
Change something and reload; no connection notices:
  ${{EDITOR:-vi}} {config}
  lbctl reload
"
    )
}

/// Where a client on this machine reaches an address that may be unspecified.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// How to get at lbctl, where the shell would not find it by itself.
fn lbctl_line() -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join("lbctl").is_file()) {
        return String::new();
    }
    let beside = std::env::current_exe()
        .ok()
        .and_then(|exe| Some(exe.parent()?.to_owned()));
    let Some(beside) = beside else {
        return String::new();
    };
    let path = format!("  export PATH=\"{}:$PATH\"\n", beside.display());
    if beside.join("lbctl").is_file() {
        return path;
    }
    let profile = match beside.ends_with("release") {
        true => "--release ",
        false => "",
    };
    format!("  cargo build {profile}-p lbctl\n{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let origins = [Origin {
            name: "web01",
            address: "127.0.0.1:4711".parse().unwrap(),
        }];
        let bind = "127.0.0.1:8080".parse().unwrap();
        let admin = "127.0.0.1:8404".parse().unwrap();
        let path = folder.path().join("lbd.toml");
        std::fs::write(&path, config(folder.path(), bind, admin, &origins)).unwrap();
        let config = lb_proto::config::load(&path).unwrap().config;
        assert_eq!(config.global.socket, folder.path().join("lbd.sock"));
        assert_eq!(
            config.backends[0].servers[0].address.to_string(),
            origins[0].address.to_string()
        );
    }
}
