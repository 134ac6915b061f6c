//! Words for what is counted by kind, as `/metrics` has them.

/// Why lbd answers a request itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Malformed,
    TooLarge,
    TooSlow,
    NoRoute,
    Denied,
    RateLimited,
    NoServer,
    QueueFull,
    QueueTimeout,
    ConnectFailed,
    ConnectTimeout,
    BadResponse,
    ServerTimeout,
    Killed,
}

impl Reason {
    /// In the order of the variants.
    pub(crate) const NAMES: [&str; 14] = [
        "malformed",
        "too_large",
        "too_slow",
        "no_route",
        "denied",
        "rate_limited",
        "no_server",
        "queue_full",
        "queue_timeout",
        "connect_failed",
        "connect_timeout",
        "bad_response",
        "server_timeout",
        "killed",
    ];
}

/// What became of a TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handshake {
    Full,
    /// With what both remembered of an earlier one.
    Resumed,
    Failed,
    /// It took too long, or nobody wanted it any more.
    Abandoned,
}

impl Handshake {
    /// In the order of the variants.
    pub(crate) const NAMES: [&str; 4] = ["full", "resumed", "failed", "abandoned"];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_name() {
        let name = |reason: Reason| Reason::NAMES[reason as usize];
        assert_eq!(name(Reason::Malformed), "malformed");
        assert_eq!(name(Reason::RateLimited), "rate_limited");
        assert_eq!(name(Reason::QueueTimeout), "queue_timeout");
        assert_eq!(name(Reason::Killed), "killed");
        let name = |handshake: Handshake| Handshake::NAMES[handshake as usize];
        assert_eq!(name(Handshake::Full), "full");
        assert_eq!(name(Handshake::Abandoned), "abandoned");
    }
}
