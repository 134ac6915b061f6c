//! A task per host name, kept in step with the snapshot that runs.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use lb_proto::config;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Names;
use super::lookup::Answer;
use crate::state::{Server, Shared, Snapshot};

/// A name is not asked for more often, whatever its time to live: answers with none at all exist.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// Nor more seldom: who changes an address has not always lowered its time to live before.
const MOST_PAUSE: Duration = Duration::from_secs(5 * 60);

/// After the first failure in a row, and at most. It doubles in between.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(30);

/// Keeps servers where their names lead, until it is dropped.
pub(crate) async fn run(shared: Arc<Shared>, names: Arc<Names>) {
    let mut nudges = shared.phase();
    let mut running: Option<(Arc<Snapshot>, JoinSet<()>)> = None;
    loop {
        nudges.borrow_and_update();
        let snapshot = shared.snapshot();
        let same = running
            .as_ref()
            .is_some_and(|(of, _)| Arc::ptr_eq(of, &snapshot));
        if !same {
            // Every name is looked up after a reload: for some it is what the reload was for.
            let mut tasks = JoinSet::new();
            for host in snapshot.host_names() {
                tasks.spawn(follow(shared.clone(), names.clone(), host.to_owned()));
            }
            running = Some((snapshot, tasks));
        }
        if nudges.changed().await.is_err() {
            return;
        }
    }
}

/// Looks a name up for ever.
async fn follow(shared: Arc<Shared>, names: Arc<Names>, host: String) {
    let mut failures = 0;
    loop {
        let snapshot = shared.snapshot();
        let found = names.lookup.ask(&host, &snapshot.global.resolvers).await;
        let snapshot = shared.snapshot();
        let pause = match found {
            Ok(answer) => {
                failures = 0;
                for (server, config) in servers(&snapshot, &host) {
                    lead(&shared, server, config, &answer);
                }
                answer.valid.clamp(LEAST_PAUSE, MOST_PAUSE)
            }
            Err(error) => {
                let detail = error.to_string();
                for (server, _) in servers(&snapshot, &host) {
                    shared.lookup_failed(server, &host, &detail);
                }
                failures += 1;
                retry(failures)
            }
        };
        sleep(pause).await;
    }
}

/// Puts a server where its name leads. It stays where it is as long as that is among the answers,
/// which come in another order each time.
fn lead(shared: &Shared, server: &Server, config: &config::Server, answer: &Answer) {
    let now = server.location.address();
    let stays = |address: &IpAddr| now.is_some_and(|now| now.ip() == *address);
    if !answer.addresses.iter().any(stays) {
        let address = (answer.addresses[0], config.address.port()).into();
        shared.relocate(server, address, config.address.host().unwrap_or_default());
    }
    shared.lookup_works(server);
}

fn servers<'s>(
    snapshot: &'s Snapshot,
    host: &'s str,
) -> impl Iterator<Item = (&'s Server, &'s config::Server)> {
    let backends = snapshot.backends.iter();
    let servers = backends.flat_map(|b| b.servers.iter().zip(&b.config.servers));
    servers
        .map(|(server, config)| (&**server, config))
        .filter(move |(_, config)| config.address.host() == Some(host))
}

fn retry(failures: u32) -> Duration {
    let doubled = FIRST_RETRY.saturating_mul(1 << (failures - 1).min(16));
    doubled.min(LAST_RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_come_ever_later_up_to_a_bound() {
        let seconds: Vec<_> = (1..=8).map(|n| retry(n).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(retry(u32::MAX), LAST_RETRY);
    }
}
