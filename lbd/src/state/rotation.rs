//! A backend's servers in rotation: what each gets of new sessions, and who waits for one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_proto::config::{self, Balance};
use lb_proto::name::ServerName;
use lb_proto::reply::{Because, Share};

use super::queue::{QueueFull, Waiting, Wants};
use super::ring::Ring;
use super::share::{Standing, because, next_step, shares};
use super::{Backend, Server};

impl Backend {
    /// Gives every server its share of new sessions as it stands, and tells the data threads.
    pub(super) fn share_out(&self, now: Instant) {
        let standings = self.standings(now);
        let mut changed = false;
        for (at, share) in shares(&standings).into_iter().enumerate() {
            changed |= self.servers[at].set_share(share, self.most(at, &standings[at]));
        }
        if changed {
            self.pool.changed();
        }
        self.settle_queue();
    }

    fn standings(&self, now: Instant) -> Vec<Standing> {
        let all = 0..self.servers.len();
        all.map(|at| self.standing(at, now)).collect()
    }

    /// What a server gets of new sessions, and why.
    pub(crate) fn share_of(&self, server: &ServerName, now: Instant) -> Share {
        let standings = self.standings(now);
        let all = shares(&standings);
        let whole: u64 = all.iter().map(|share| u64::from(*share)).sum();
        let at = self.position(server);
        let part = at.map_or(0, |at| all[at]);
        Share {
            percent: f64::from(part) * 100.0 / whole.max(1) as f64,
            because: at.map_or(Because::NotUp, |at| because(&standings, at)),
        }
    }

    /// [`Backend::share_out`] after the state of one server has changed.
    pub(super) fn share_out_after(&self, server: &Server) {
        let now = Instant::now();
        let position = self.position(&server.id.server);
        let Some(at) = position.filter(|at| self.servers[*at].uid == server.uid) else {
            return;
        };
        let backups = self.config.servers.iter().any(|server| server.backup);
        if backups || self.config.outlier.is_some() {
            return self.share_out(now);
        }
        let standing = self.standing(at, now);
        if server.set_share(shares(&[standing])[0], self.most(at, &standing)) {
            self.pool.changed();
        }
        self.settle_queue();
    }

    /// After weights were set: keys belong to servers by them, too.
    pub(super) fn weigh_anew(&self, now: Instant) {
        let ring = self.ring.load_full().map(|ring| self.weighed(ring));
        self.ring.store(ring);
        self.share_out(now);
    }

    /// The ring of the weights that count now, which may be this one.
    fn weighed(&self, ring: Arc<Ring>) -> Arc<Ring> {
        let servers = weights(&self.config, &self.servers);
        match ring.is_of(&servers) {
            true => ring,
            false => Arc::new(Ring::new(servers)),
        }
    }

    /// How many sessions a server may have at once; the limit grows with a slow start, too.
    fn most(&self, at: usize, standing: &Standing) -> u64 {
        let limit = self.config.servers[at].max_connections;
        limit.map_or(u64::MAX, |limit| standing.part_of(limit).into())
    }

    /// Lets those who wait have what room there is now, or look again.
    fn settle_queue(&self) {
        if self.pool.queue.is_empty() {
            return;
        }
        self.servers.iter().for_each(Server::offer);
        self.pool.queue.revise();
    }

    /// Queues for what is wanted, where `ticket` belongs or at the end.
    ///
    /// # Errors
    /// Where as many wait as may.
    pub(crate) fn wait(&self, ticket: Option<u64>, wants: Wants) -> Result<Waiting<'_>, QueueFull> {
        let most = self.config.queue_max as usize;
        let (waiting, look) = self.pool.queue.join(ticket, wants.clone(), most)?;
        // A session may have ended before it could be seen that somebody waits.
        match wants {
            Wants::Server { server, .. } => server.offer(),
            Wants::Any { .. } if look => {
                let servers = self.servers.iter();
                servers
                    .filter(|server| server.load.cost() < u64::MAX)
                    .for_each(Server::offer);
            }
            Wants::Any { .. } => {}
        }
        Ok(waiting)
    }

    fn standing(&self, at: usize, now: Instant) -> Standing {
        let (server, config) = (&self.servers[at], &self.config.servers[at]);
        Standing {
            up: server.state().takes_new_sessions(),
            ejected: server.ejection.is_on(),
            weight: server.overrides.weight_over(config.weight),
            backup: config.backup,
            start: start(server, config, now),
        }
    }

    /// How long until a server that starts slowly gets more; `None`: none is starting.
    pub(super) fn next_step(&self, now: Instant) -> Option<Duration> {
        let servers = self.servers.iter().zip(&self.config.servers);
        servers
            .filter_map(|(server, config)| start(server, config, now))
            .filter_map(|(risen, whole)| next_step(risen, whole))
            .min()
    }

    /// From now on its servers are picked as this configuration says.
    pub(super) fn begin(&self) {
        let by_load = self.config.balance == Balance::LeastConn;
        self.pool.rank(by_load.then_some(self.servers.as_slice()));
        self.share_out(Instant::now());
    }
}

/// The names and weights that a ring is made of.
pub(super) fn weights(config: &config::Backend, servers: &[Arc<Server>]) -> Vec<(String, u16)> {
    let each = config.servers.iter().zip(servers);
    each.map(|(config, server)| {
        let weight = server.overrides.weight_over(config.weight);
        (config.name.to_string(), weight)
    })
    .collect()
}

/// How long a server has been up again, of the time that its start takes.
fn start(server: &Server, config: &config::Server, now: Instant) -> Option<(Duration, Duration)> {
    let whole = config.slow_start?;
    let risen = server.risen(now)?;
    (risen < whole).then_some((risen, whole))
}
