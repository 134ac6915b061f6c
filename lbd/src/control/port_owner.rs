//! Why an address cannot be listened on: who holds the port, as far as we may see it, and what to do.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use rustix::io::Errno;

use crate::state::BindError;

/// A process that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owner {
    name: String,
    pid: u32,
}

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
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    let inodes: Vec<u64> = tables
        .iter()
        .flatten()
        .flat_map(|table| listeners(table, address))
        .collect();
    let sockets: Vec<String> = inodes.iter().map(|i| format!("socket:[{i}]")).collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(|pid| holds(*pid, &sockets))
        .map(|pid| Owner {
            name: name(pid),
            pid,
        })
}

/// Whether a process has one of these sockets open.
fn holds(pid: u32, sockets: &[String]) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    files
        .flatten()
        .filter_map(|file| fs::read_link(file.path()).ok())
        .any(|target| sockets.iter().any(|socket| target == Path::new(socket)))
}

fn name(pid: u32) -> String {
    match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => name.trim_end().to_owned(),
        Err(_) => "a process".to_owned(),
    }
}

/// The inodes of listening sockets that stand in the way of `wanted`, from a table in the format of
/// proc_net_tcp (Linux, Documentation/networking/proc_net_tcp.rst).
fn listeners(table: &str, wanted: SocketAddr) -> Vec<u64> {
    const LISTEN: &str = "0A";
    let rows = table.lines().skip(1);
    rows.filter_map(|row| {
        let fields: Vec<&str> = row.split_ascii_whitespace().collect();
        let listens = *fields.get(3)? == LISTEN;
        let address = parse_address(fields.get(1)?)?;
        let inode = fields.get(9)?.parse().ok()?;
        (listens && collide(address, wanted)).then_some(inode)
    })
    .collect()
}

fn collide(held: SocketAddr, wanted: SocketAddr) -> bool {
    held.port() == wanted.port()
        && (held.ip() == wanted.ip() || held.ip().is_unspecified() || wanted.ip().is_unspecified())
}

/// `0100007F:1F90`: words in the machine's byte order, then the port.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words: Vec<u32> = (0..ip.len() / 8)
        .map(|i| u32::from_str_radix(ip.get(i * 8..i * 8 + 8)?, 16).ok())
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let ip = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::TcpListener;

    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn the_table_of_the_kernel_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n   1: 0100007F:1F90 0100007F:C000 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0\n   2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0\n";
        let at = |address: &str| listeners(table, address.parse().unwrap());
        assert_eq!(at("127.0.0.1:8080"), [4711]);
        assert_eq!(at("0.0.0.0:8080"), [4711]);
        assert_eq!(at("10.0.0.1:80"), [4713]);
        assert_eq!(at("10.0.0.1:8080"), [0; 0]);
        assert_eq!(
            parse_address("00000000000000000000000001000000:0050"),
            Some("[::1]:80".parse().unwrap())
        );
    }

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
