//! TCP sockets of this machine and who has them open, as far as one may look (proc(5)).

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// A socket of the kernel's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Socket {
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub listens: bool,
    inode: u64,
}

/// A process that has a socket open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub name: String,
    pub pid: u32,
}

impl Socket {
    /// Whether it listens where `wanted` would, or covers it.
    pub fn stands_in_the_way_of(&self, wanted: SocketAddr) -> bool {
        let held = self.local;
        let same =
            held.ip() == wanted.ip() || held.ip().is_unspecified() || wanted.ip().is_unspecified();
        self.listens && held.port() == wanted.port() && same
    }
}

/// Every TCP socket, IPv4 and IPv6.
pub fn all() -> Vec<Socket> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    tables
        .iter()
        .flatten()
        .flat_map(|table| parse(table))
        .collect()
}

/// Where to come, from this machine, to who listens at `ip`: every address is this machine's own as
/// well.
pub fn nearest(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

/// Who has one of these open. `None`: nobody into whose processes we may look.
///
/// Of several it is the one that is there longest: whoever it began has the socket from it, be it
/// for the moment until it becomes another program.
pub fn owner(sockets: &[Socket]) -> Option<Owner> {
    if sockets.is_empty() {
        return None;
    }
    let links = sockets
        .iter()
        .map(|socket| format!("socket:[{}]", socket.inode));
    let links: Vec<String> = links.collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let holders = processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| holds(*pid, &links));
    let pid = first_begun(holders, began)?;
    Some(Owner {
        name: process_name(pid),
        pid,
    })
}

/// One that has ended meanwhile is none of them.
fn first_begun(pids: impl Iterator<Item = u32>, began: impl Fn(u32) -> Option<u64>) -> Option<u32> {
    let all = pids.filter_map(|pid| Some((began(pid)?, pid)));
    all.min().map(|(_, pid)| pid)
}

/// When a process began, in the kernel's ticks; `None`: it has ended.
fn began(pid: u32) -> Option<u64> {
    start_time(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The 22nd field of proc_pid_stat(5). The second is the name, in parentheses, and may hold anything.
fn start_time(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

fn holds(pid: u32, sockets: &[String]) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    files
        .flatten()
        .filter_map(|file| fs::read_link(file.path()).ok())
        .any(|target| sockets.iter().any(|socket| target == Path::new(socket)))
}

/// What a process is called.
pub fn process_name(pid: u32) -> String {
    match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => name.trim_end().to_owned(),
        Err(_) => "a process".to_owned(),
    }
}

/// A table in the format of proc_net_tcp (Linux, Documentation/networking/proc_net_tcp.rst).
fn parse(table: &str) -> Vec<Socket> {
    const LISTEN: &str = "0A";
    let rows = table.lines().skip(1);
    rows.filter_map(|row| {
        let fields: Vec<&str> = row.split_ascii_whitespace().collect();
        Some(Socket {
            local: address(fields.get(1)?)?,
            remote: address(fields.get(2)?)?,
            listens: *fields.get(3)? == LISTEN,
            inode: fields.get(9)?.parse().ok()?,
        })
    })
    .collect()
}

/// `0100007F:1F90`: words in the machine's byte order, then the port.
fn address(text: &str) -> Option<SocketAddr> {
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
    use std::net::{TcpListener, TcpStream};
    use std::process::{Command, Stdio};

    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn the_table_of_the_kernel_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n   1: 0100007F:1F90 0100007F:C000 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0\n   2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0\n";
        let sockets = parse(table);
        let at = |wanted: &str| -> Vec<u64> {
            let wanted = wanted.parse().unwrap();
            let held = sockets.iter().filter(|s| s.stands_in_the_way_of(wanted));
            held.map(|socket| socket.inode).collect()
        };
        assert_eq!(at("127.0.0.1:8080"), [4711]);
        assert_eq!(at("0.0.0.0:8080"), [4711]);
        assert_eq!(at("10.0.0.1:80"), [4713]);
        assert_eq!(at("10.0.0.1:8080"), [0; 0]);
        assert_eq!(sockets[1].remote, "127.0.0.1:49152".parse().unwrap());
        assert_eq!(
            address("00000000000000000000000001000000:0050"),
            Some("[::1]:80".parse().unwrap())
        );
        let long = "B80D0120000000000000000001000000:01BB";
        assert_eq!(address(long), Some("[2001:db8::1]:443".parse().unwrap()));
        assert_eq!(address("0100007F"), None);
        assert_eq!(address("01:zz"), None);
    }

    #[test]
    fn of_those_who_have_a_socket_the_first_is_the_owner() {
        let stat = "4711 (a ) 1 R) S 1 4711 4711 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 815 1 2";
        assert_eq!(start_time(stat), Some(815));
        assert_eq!(start_time("4711 (a) S 1"), None);
        let ours = began(std::process::id()).unwrap();
        let mut cat = Command::new("cat");
        let mut cat = cat.stdin(Stdio::piped()).spawn().unwrap();
        assert!(began(cat.id()).unwrap() >= ours);
        cat.kill().unwrap();
        cat.wait().unwrap();
        assert_eq!(began(cat.id()), None);
        // Pids begin anew where they have come to their end.
        let began = |pid| [None, Some(50), Some(20)][pid as usize];
        assert_eq!(first_begun([0, 1, 2].into_iter(), began), Some(2));
        assert_eq!(first_begun([0].into_iter(), began), None);
    }

    #[test]
    fn both_ends_of_a_connection_are_there_and_owned_by_whom_they_belong_to() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let ours = TcpStream::connect(at).unwrap();
        let sockets = all();
        let client = ours.local_addr().unwrap();
        assert!(sockets.iter().any(|s| (s.local, s.remote) == (client, at)));
        let listens: Vec<Socket> = sockets
            .into_iter()
            .filter(|socket| socket.stands_in_the_way_of(at))
            .collect();
        assert_eq!(listens.len(), 1);
        assert_eq!(owner(&listens).unwrap().pid, std::process::id());
        assert_eq!(owner(&[]), None);
    }
}
