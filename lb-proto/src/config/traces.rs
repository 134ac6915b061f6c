//! Where spans of requests go, and of how many.

use std::fmt;

use super::{Address, ServerTls};

#[derive(Debug, Clone, PartialEq)]
pub struct Traces {
    pub otlp: Url,
    /// `Some` where the URL is one of https.
    pub tls: Option<ServerTls>,
    /// Of the requests that come without a trace.
    pub sample: Share,
    pub service_name: String,
}

/// Where OTLP is taken by HTTP: a base, without the `/v1/traces` that is asked for beneath it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    pub secure: bool,
    pub address: Address,
    /// Host and port as written, for the Host field.
    pub authority: String,
    /// Without a slash at its end.
    pub path: String,
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
}

/// From none to all.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Share(pub(super) f64);

impl Share {
    /// Whether a number that chance made, each as likely as any other, is in it.
    pub fn takes(self, chance: u64) -> bool {
        // 2^64 as a float: what is below the share of it. The cast keeps to the bounds of u64.
        self.0 >= 1.0 || chance < (self.0 * 18_446_744_073_709_551_616.0) as u64
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_takes_as_much_as_it_says() {
        for chance in [0, 1, u64::MAX / 2, u64::MAX] {
            assert!(!Share(0.0).takes(chance) && Share(1.0).takes(chance));
        }
        let half = Share(0.5);
        assert!(half.takes(u64::MAX / 2) && !half.takes(u64::MAX / 2 + 1));
        assert!(Share(0.01).takes(u64::MAX / 101) && !Share(0.01).takes(u64::MAX / 99));
    }
}
