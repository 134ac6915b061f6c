//! Why an address cannot be listened on: who holds the port, as far as we may see it, and what to do.

use std::net::SocketAddr;

use lb_proto::sockets::{self, Owner};
use rustix::io::Errno;

use crate::state::BindError;

/// A failed bind as a message and a hint.
pub(crate) fn explain(error: &BindError) -> (String, Option<String>) {
    let address = error.address;
    let errno = error.source.raw_os_error().map(Errno::from_raw_os_error);
    match errno {
        Some(Errno::ADDRINUSE) => in_use(address),
        Some(Errno::ACCESS | Errno::PERM) => (
            format!("cannot listen on {address}: not allowed"),
            Some(
                "ports below 1024 need CAP_NET_BIND_SERVICE: the systemd unit grants it, else \
                 `setcap cap_net_bind_service=+ep` on lbd or sysctl \
                 net.ipv4.ip_unprivileged_port_start"
                    .to_owned(),
            ),
        ),
        Some(Errno::ADDRNOTAVAIL) => (
            format!("cannot listen on {address}: no interface has this address"),
            Some("`ip address` lists those of this machine".to_owned()),
        ),
        _ => (format!("{error}: {}", error.source), None),
    }
}

fn in_use(address: SocketAddr) -> (String, Option<String>) {
    let message = format!("cannot listen on {address}: address already in use");
    match owner(address) {
        Some(owner) if owner.pid == std::process::id() => (
            format!("{message}; held by this lbd (pid {})", owner.pid),
            Some("another bind of the configuration that runs covers it".to_owned()),
        ),
        Some(Owner { name, pid }) => (format!("{message}; held by {name} (pid {pid})"), None),
        None => {
            let port = address.port();
            let hint = format!("`ss -ltnp 'sport = :{port}'` as root tells which program holds it");
            (message, Some(hint))
        }
    }
}

/// Who listens where `address` would. `None` where we may not look into that process.
fn owner(address: SocketAddr) -> Option<Owner> {
    let all = sockets::all().into_iter();
    let held: Vec<_> = all.filter(|s| s.stands_in_the_way_of(address)).collect();
    sockets::owner(&held)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_holder_of_a_port_is_named() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let (message, _) = explain(&BindError {
            address: held.local_addr().unwrap(),
            source: io::Error::from_raw_os_error(Errno::ADDRINUSE.raw_os_error()),
        });
        let me = format!("held by this lbd (pid {})", std::process::id());
        assert!(message.ends_with(&me), "{message}");
    }
}
