//! Whom a frontend serves, and how often: its `allow`, `deny` and `rate_limit`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_proto::config;

use super::networks::Networks;
use super::rate::{Rate, TooOften};

#[derive(Debug, Clone)]
pub(crate) struct Gate {
    /// `None`: everybody is.
    allow: Option<Networks>,
    deny: Networks,
    /// Outlives the configuration as long as that does not change the limit.
    rate: Option<Arc<Rate>>,
}

/// Why a client is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// By its address.
    Denied,
    /// It asked too often, and may ask again after this time.
    TooOften(Duration),
}

impl Gate {
    /// `None` where everybody is served. `before` is the same frontend as it runs now.
    pub(super) fn new(
        config: &config::Frontend,
        before: Option<(&config::Frontend, Option<&Self>)>,
    ) -> Option<Self> {
        let limit = config.rate_limit;
        if config.allow.is_none() && config.deny.is_empty() && limit.is_none() {
            return None;
        }
        let kept = before
            .filter(|(old, _)| old.rate_limit == limit)
            .and_then(|(_, gate)| gate?.rate.clone());
        Some(Self {
            allow: config.allow.as_deref().map(Networks::new),
            deny: Networks::new(&config.deny),
            rate: kept.or_else(|| limit.map(|limit| Arc::new(Rate::new(limit, Instant::now())))),
        })
    }

    /// Whether this client is served now; counts it if so.
    pub(crate) fn admit(&self, client: IpAddr) -> Result<(), Refusal> {
        let client = client.to_canonical();
        let allowed = self.allow.as_ref().is_none_or(|nets| nets.contain(client));
        if !allowed || self.deny.contain(client) {
            return Err(Refusal::Denied);
        }
        match &self.rate {
            Some(rate) => rate
                .take(client, Instant::now())
                .map_err(|TooOften(wait)| Refusal::TooOften(wait)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Shared;

    fn config(lines: &str) -> String {
        format!(
            "[frontend.web]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"app\"\n{lines}\n\
             [backend.app]\nservers = [{{ name = \"a\", address = \"127.0.0.1:1\" }}]\n"
        )
    }

    fn admit(shared: &Shared, client: &str) -> Result<(), Refusal> {
        let snapshot = shared.snapshot();
        let gate = snapshot.frontends[0].gate.as_ref();
        gate.map_or(Ok(()), |gate| gate.admit(client.parse().unwrap()))
    }

    #[test]
    fn deny_wins_over_allow() {
        let shared = Shared::of(&config(
            "allow = [\"10.0.0.0/8\", \"192.0.2.7\"]\ndeny = [\"10.6.6.0/24\"]",
        ));
        assert_eq!(admit(&shared, "10.1.2.3"), Ok(()));
        assert_eq!(admit(&shared, "::ffff:192.0.2.7"), Ok(()));
        assert_eq!(admit(&shared, "10.6.6.6"), Err(Refusal::Denied));
        assert_eq!(admit(&shared, "192.0.2.8"), Err(Refusal::Denied));
        assert_eq!(admit(&shared, "2001:db8::1"), Err(Refusal::Denied));
        shared.load(&config("deny = [\"10.0.0.0/8\"]"));
        assert_eq!(admit(&shared, "10.1.2.3"), Err(Refusal::Denied));
        assert_eq!(admit(&shared, "2001:db8::1"), Ok(()));
    }

    #[test]
    fn a_frontend_for_everybody_has_no_gate() {
        let shared = Shared::of(&config(""));
        assert!(shared.snapshot().frontends[0].gate.is_none());
    }

    #[test]
    fn the_rate_outlives_a_reload_that_leaves_it_alone() {
        let limited = "rate_limit = { requests = 1, per = \"1h\" }";
        let shared = Shared::of(&config(limited));
        assert_eq!(admit(&shared, "10.0.0.1"), Ok(()));
        shared.load(&config(&format!("{limited}\ndeny = [\"10.0.0.2\"]")));
        assert!(matches!(
            admit(&shared, "10.0.0.1"),
            Err(Refusal::TooOften(_))
        ));
        shared.load(&config("rate_limit = { requests = 1, per = \"2h\" }"));
        assert_eq!(admit(&shared, "10.0.0.1"), Ok(()));
    }

    #[test]
    fn who_is_denied_uses_up_nothing() {
        let shared = Shared::of(&config(
            "deny = [\"10.0.0.1\"]\nrate_limit = { requests = 1, per = \"1h\" }",
        ));
        assert_eq!(admit(&shared, "10.0.0.1"), Err(Refusal::Denied));
        shared.load(&config("rate_limit = { requests = 1, per = \"1h\" }"));
        assert_eq!(admit(&shared, "10.0.0.1"), Ok(()));
    }
}
