//! Host names as server addresses: looked up again and again, beside the requests.
//!
//! A name that leads elsewhere moves its server, as a reload with another address would. One that
//! cannot be looked up leaves its server where it was.

mod lookup;
mod schedule;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lb_proto::config::Config;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use self::lookup::Lookup;
use crate::state::{Addresses, Snapshot};

pub(crate) use schedule::run;

/// How long a start or a reload waits for names: what is not known by then is looked up later.
const PATIENCE: Duration = Duration::from_secs(3);

/// What looks names up; shared by the reload and the schedule.
#[derive(Debug)]
pub(crate) struct Names {
    lookup: Lookup,
}

impl Names {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            lookup: Lookup::new(),
        })
    }

    /// What the names of a configuration lead to. Those that run in `before` are where they are;
    /// the others are looked up, for a few seconds at most.
    pub(crate) async fn prepare(
        self: &Arc<Self>,
        config: &Config,
        before: Option<&Snapshot>,
    ) -> Addresses {
        let mut known = before.map_or_else(Addresses::new, Snapshot::addresses);
        let servers = config.backends.iter().flat_map(|b| &b.servers);
        let unknown: BTreeSet<&str> = servers
            .filter_map(|server| server.address.host())
            .filter(|host| !known.contains_key(*host))
            .collect();
        let mut lookups = JoinSet::new();
        for host in unknown {
            let (names, host) = (self.clone(), host.to_owned());
            let resolvers = config.global.resolvers.clone();
            lookups.spawn(async move {
                let found = names.lookup.ask(&host, &resolvers).await;
                (host, found)
            });
        }
        let deadline = Instant::now() + PATIENCE;
        while let Ok(Some(done)) = timeout_at(deadline, lookups.join_next()).await {
            match done {
                Ok((host, Ok(answer))) => {
                    known.insert(host, answer.addresses[0]);
                }
                Ok((name, Err(error))) => {
                    warn!(name, %error, "cannot look up the name of a server")
                }
                Err(_) => {}
            }
        }
        known
    }
}
