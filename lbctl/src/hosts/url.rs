//! How a node is named: `ssh://[USER@]HOST[:PORT][/SOCKET]`. Pure.

use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where another daemon is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    /// As ssh takes it: `ssh://USER@HOST:PORT`.
    pub(super) destination: String,
    /// HOST alone.
    pub(super) host: String,
    /// The daemon's socket there, where it is not the usual one.
    pub(super) socket: Option<PathBuf>,
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("{why}; write ssh://[USER@]HOST[:PORT][/SOCKET]"));
        let Some(rest) = text.strip_prefix("ssh://") else {
            return wrong("a host is reached by ssh");
        };
        let (authority, socket) = match rest.find('/') {
            Some(at) => (&rest[..at], Some(&rest[at..])),
            None => (rest, None),
        };
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        let (host, port) = match place
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
        {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => place
                .split_once(':')
                .map_or((place, None), |(host, port)| (host, Some(port))),
        };
        // What ssh would take for an option, or a shell of its configuration for more than a name.
        let plain = |text: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:%".contains(c);
            !text.is_empty() && !text.starts_with('-') && text.chars().all(fits)
        };
        if !plain(host) || user.is_some_and(|user| !plain(user)) {
            return wrong(&format!("{authority:?} names no host"));
        }
        if port.is_some_and(|port| port.parse::<NonZeroU16>().is_err()) {
            return wrong(&format!("{:?} is no port", port.unwrap_or_default()));
        }
        Ok(Self {
            destination: format!("ssh://{authority}"),
            host: host.to_owned(),
            socket: socket.filter(|path| *path != "/").map(PathBuf::from),
        })
    }
}

/// What the nodes are called in what is printed: their hosts, and where two have the same, all of it.
pub(super) fn labels(urls: &[Url]) -> Vec<String> {
    let alike = |host: &String| urls.iter().filter(|url| url.host == *host).count() > 1;
    urls.iter()
        .map(|url| match alike(&url.host) {
            true => url.whole(),
            false => url.host.clone(),
        })
        .collect()
}

impl Url {
    fn whole(&self) -> String {
        let socket = self.socket.as_deref().unwrap_or(Path::new(""));
        format!("{}{}", self.destination, socket.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, String, Option<PathBuf>) {
        let url: Url = text.parse().unwrap();
        (url.destination, url.host, url.socket)
    }

    #[test]
    fn a_node_has_a_host_and_may_have_more() {
        let of = |destination: &str, host: &str, socket: Option<&str>| {
            (
                destination.to_owned(),
                host.to_owned(),
                socket.map(PathBuf::from),
            )
        };
        assert_eq!(read("ssh://lb1"), of("ssh://lb1", "lb1", None));
        assert_eq!(read("ssh://lb1/"), of("ssh://lb1", "lb1", None));
        assert_eq!(
            read("ssh://ops@10.0.0.1:2222/run/lbd/b.sock"),
            of(
                "ssh://ops@10.0.0.1:2222",
                "10.0.0.1",
                Some("/run/lbd/b.sock")
            )
        );
        assert_eq!(
            read("ssh://[fd00::1]:22"),
            of("ssh://[fd00::1]:22", "fd00::1", None)
        );
    }

    #[test]
    fn what_is_no_node_is_told_how_to_write_one() {
        for bad in [
            "lb1",
            "",
            "ssh://",
            "ssh://-oProxyCommand=x",
            "ssh://a b",
            "ssh://lb1:x",
            "ssh://lb1:0",
            "ssh://@h",
        ] {
            let told = bad.parse::<Url>().unwrap_err();
            assert!(
                told.ends_with("write ssh://[USER@]HOST[:PORT][/SOCKET]"),
                "{told}"
            );
        }
    }

    #[test]
    fn two_nodes_on_a_host_are_told_apart() {
        let urls = ["ssh://a/x", "ssh://a/y", "ssh://b"].map(|url| url.parse().unwrap());
        assert_eq!(labels(&urls), ["ssh://a/x", "ssh://a/y", "b"]);
    }
}
