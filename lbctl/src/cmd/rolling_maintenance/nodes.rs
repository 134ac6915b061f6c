//! The daemons that a maintenance is of: one, or the nodes of a pair, which are led through it in step.

use std::iter;
use std::thread;
use std::time::Instant;

use lb_proto::call::Call;
use lb_proto::client::Client;
use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::name::{BackendName, ServerName};
use lb_proto::request::{RollingBegin, RollingEnd, Status};
use lb_proto::rolling::Rolling;
use lb_proto::state::{Admin, Health, State};
use lb_proto::status::{BackendStatus, By, ServerStatus};

use super::A_MOMENT;
use crate::rolling::configured;
use crate::servers;

/// One of them.
#[derive(Debug)]
pub(crate) struct Node {
    /// What it is called, where there are several.
    pub(crate) label: Option<String>,
    pub(crate) daemon: Client,
}

/// All of them. The first one's record of the maintenance is the one that is gone by.
#[derive(Debug)]
pub(crate) struct Nodes {
    first: Node,
    rest: Vec<Node>,
    /// As whom they know us, and who left the server at which a resumed one stopped.
    us: Vec<By>,
}

impl Node {
    fn call<C: Call>(&mut self, call: &C) -> Result<C::Reply, ErrorReply> {
        let label = &self.label;
        self.daemon.call(call).map_err(|error| at(label, error))
    }

    fn look(&mut self, name: &BackendName) -> Result<BackendStatus, ErrorReply> {
        let of = Some(name.to_string());
        let status = self.call(&Status { of })?;
        let mut backends = status.backends.into_iter();
        let found = backends.find(|backend| backend.name == *name);
        found.ok_or_else(|| at(&self.label, servers::removed(name.as_str())))
    }

    /// Takes it up here. One that does not lead begins where the others are, if it never heard of it, or
    /// heard of its end before we were killed.
    fn begin(
        &mut self,
        call: &RollingBegin,
        leads: bool,
        us: &mut Vec<By>,
    ) -> Result<Rolling, ErrorReply> {
        let stopped = self.look(&call.backend)?.rolling;
        let resume = call.resume && (leads || stopped.is_some());
        let call = RollingBegin {
            resume,
            ..call.clone()
        };
        // Somebody who is at it may have left already, which the daemon hears a moment later.
        let until = Instant::now() + A_MOMENT;
        let begun = loop {
            match self.call(&call) {
                Err(error) if error.code == ErrorCode::Busy && Instant::now() < until => {
                    thread::sleep(A_MOMENT / 10);
                }
                begun => break begun?,
            }
        };
        let before = stopped.filter(|_| resume).map(|stopped| stopped.by);
        us.extend(before);
        us.push(begun.by.clone());
        Ok(begun)
    }
}

fn at(label: &Option<String>, error: ErrorReply) -> ErrorReply {
    match label {
        Some(label) => ErrorReply {
            message: format!("{label}: {}", error.message),
            ..error
        },
        None => error,
    }
}

impl Nodes {
    /// Where there is no other.
    pub(crate) fn alone(daemon: Client) -> Self {
        let label = None;
        Self::of(Node { label, daemon }, Vec::new())
    }

    pub(crate) fn of(first: Node, rest: Vec<Node>) -> Self {
        Self {
            first,
            rest,
            us: Vec::new(),
        }
    }

    /// The first one.
    pub(super) fn lead(&mut self) -> &mut Client {
        &mut self.first.daemon
    }

    pub(super) fn us(&self) -> &[By] {
        &self.us
    }

    /// Calls each; their answers, in their order.
    ///
    /// # Errors
    /// The first that there is: those after it were not called.
    pub(super) fn call<C: Call>(&mut self, call: &C) -> Result<Vec<C::Reply>, ErrorReply> {
        let all = iter::once(&mut self.first).chain(&mut self.rest);
        all.map(|node| node.call(call)).collect()
    }

    /// A backend as it is on all of them together.
    pub(super) fn look(&mut self, name: &BackendName) -> Result<BackendStatus, ErrorReply> {
        let mut whole = self.first.look(name)?;
        for node in &mut self.rest {
            let other = node.look(name)?;
            add(&mut whole, &other, &self.us).map_err(|error| at(&node.label, error))?;
        }
        Ok(whole)
    }

    /// Takes it up everywhere, or nowhere; the first one's record.
    pub(super) fn begin(&mut self, call: &RollingBegin) -> Result<Rolling, ErrorReply> {
        let rolling = self.first.begin(call, true, &mut self.us)?;
        for at in 0..self.rest.len() {
            let Err(error) = self.rest[at].begin(call, false, &mut self.us) else {
                continue;
            };
            if !call.resume {
                let backend = call.backend.clone();
                let end = RollingEnd { backend };
                let begun = iter::once(&mut self.first).chain(&mut self.rest[..at]);
                // Nothing has happened yet: where this fails, it is resumed or begun anew.
                begun.for_each(|node| drop(node.call(&end)));
            }
            return Err(error);
        }
        Ok(rolling)
    }

    /// It is over. The first one hears of it last: as long as that knows of it, it can be gone on with.
    pub(super) fn finish(&mut self, backend: &BackendName) -> Result<(), ErrorReply> {
        let backend = backend.clone();
        let end = RollingEnd { backend };
        for node in &mut self.rest {
            node.call(&end)?;
        }
        self.first.call(&end).map(drop)
    }
}

/// Whether a server is out because of this maintenance: who set it last is at it.
pub(super) fn set_by(us: &[By], server: &ServerStatus) -> bool {
    let set = server.overrides.admin.as_ref();
    set.is_some_and(|set| us.contains(&set.by))
}

/// Makes of a backend what whoever leads two nodes has to see: sessions of both, the worse health, and of
/// admin states the one that is less ours.
fn add(whole: &mut BackendStatus, other: &BackendStatus, us: &[By]) -> Result<(), ErrorReply> {
    let has = |backend: &BackendStatus, server: &ServerStatus| {
        backend.servers.iter().any(|one| one.name == server.name)
    };
    if let Some(more) = other.servers.iter().find(|server| !has(whole, server)) {
        return Err(differ(
            "only here is there a server",
            &whole.name,
            &more.name,
        ));
    }
    let name = &whole.name;
    for server in &mut whole.servers {
        let same = other.servers.iter().find(|one| one.name == server.name);
        let same = same.ok_or_else(|| differ("here is no server", name, &server.name))?;
        let (here, first) = (configured(same), configured(server));
        if here != first {
            return Err(elsewhere(name, &server.name, &here, &first));
        }
        add_server(server, same, us);
    }
    Ok(())
}

fn add_server(server: &mut ServerStatus, same: &ServerStatus, us: &[By]) {
    if strangeness(same, us) > strangeness(server, us) {
        server.admin = same.admin;
        server.overrides = same.overrides.clone();
    }
    if sickness(same.health) > sickness(server.health) {
        server.health = same.health;
        server.last_check.clone_from(&same.last_check);
    }
    server.state = State::of(server.admin, server.health);
    server.sessions += same.sessions;
    if server.ejected.is_none() {
        server.ejected.clone_from(&same.ejected);
    }
}

const SAME: &str = "give the nodes the same configuration, and begin again";

fn differ(what: &str, backend: &BackendName, server: &ServerName) -> ErrorReply {
    let message = format!("{what} {backend}/{server}");
    ErrorReply::new(ErrorCode::NoSuchServer, message).hint(SAME)
}

/// CMD would be at work on one while the other takes clients.
fn elsewhere(backend: &BackendName, server: &ServerName, here: &str, first: &str) -> ErrorReply {
    let message = format!("here {backend}/{server} is at {here}, on the first node at {first}");
    ErrorReply::new(ErrorCode::Failed, message).hint(SAME)
}

/// How little a server is as this maintenance set it.
fn strangeness(server: &ServerStatus, us: &[By]) -> u8 {
    match server.admin {
        Admin::Ready => 1,
        _ if set_by(us, server) => 0,
        _ => 2,
    }
}

fn sickness(health: Health) -> u8 {
    match health {
        Health::Up => 0,
        Health::Unchecked => 1,
        Health::Down => 2,
    }
}

#[cfg(test)]
mod tests {
    use lb_proto::status::{Override, Overrides};

    use super::*;
    use crate::ui::sample;

    fn by(pid: i32) -> By {
        By {
            pid: Some(pid),
            ..By::default()
        }
    }

    /// A server set to `admin` by somebody.
    fn server(admin: Admin, pid: i32, health: Health) -> ServerStatus {
        let set = Override {
            at: String::new(),
            age_s: 0,
            by: by(pid),
            reason: None,
            until: None,
            left_s: None,
            then: None,
        };
        ServerStatus {
            admin,
            health,
            state: State::of(admin, health),
            sessions: 2,
            overrides: Overrides {
                admin: (admin != Admin::Ready).then_some(set),
                weight: None,
            },
            ..sample::server("a")
        }
    }

    fn backend(servers: impl IntoIterator<Item = ServerStatus>) -> BackendStatus {
        BackendStatus {
            servers: servers.into_iter().collect(),
            ..sample::status().backends.remove(0)
        }
    }

    const OURS: i32 = 1;
    const OTHERS: i32 = 2;

    fn both(one: ServerStatus, other: ServerStatus) -> ServerStatus {
        let mut whole = backend([one]);
        add(&mut whole, &backend([other]), &[by(OURS)]).unwrap();
        whole.servers.remove(0)
    }

    #[test]
    fn sessions_are_those_of_all_and_health_is_the_worst() {
        for (one, other, worst) in [
            (Health::Up, Health::Up, Health::Up),
            (Health::Up, Health::Down, Health::Down),
            (Health::Down, Health::Unchecked, Health::Down),
            (Health::Up, Health::Unchecked, Health::Unchecked),
        ] {
            let seen = both(
                server(Admin::Ready, OURS, one),
                server(Admin::Ready, OURS, other),
            );
            assert_eq!((seen.health, seen.sessions), (worst, 4));
            assert_eq!(seen.state, State::of(Admin::Ready, worst));
        }
    }

    /// In either order: somebody's before all, then whoever takes clients, then what we set.
    #[test]
    fn of_admin_states_the_strangest_counts() {
        let of = |(admin, pid)| server(admin, pid, Health::Up);
        for (one, other, counts) in [
            (
                (Admin::Maint, OURS),
                (Admin::Maint, OURS),
                (Admin::Maint, true),
            ),
            (
                (Admin::Maint, OURS),
                (Admin::Ready, OTHERS),
                (Admin::Ready, false),
            ),
            (
                (Admin::Maint, OURS),
                (Admin::Drain, OTHERS),
                (Admin::Drain, false),
            ),
            (
                (Admin::Ready, OURS),
                (Admin::Maint, OTHERS),
                (Admin::Maint, false),
            ),
        ] {
            for seen in [both(of(one), of(other)), both(of(other), of(one))] {
                assert_eq!((seen.admin, set_by(&[by(OURS)], &seen)), counts);
            }
        }
    }

    #[test]
    fn nodes_that_send_to_other_addresses_are_no_pair() {
        let here = server(Admin::Ready, OURS, Health::Up);
        let there = ServerStatus {
            address: "10.9.9.9:80".to_owned(),
            ..here.clone()
        };
        let said = format!(
            "here app/a is at 10.9.9.9:80, on the first node at {}",
            here.address
        );
        let error = add(&mut backend([here]), &backend([there]), &[]).unwrap_err();
        assert_eq!(error.message, said);
    }

    #[test]
    fn nodes_with_other_servers_are_no_pair() {
        let a = || server(Admin::Ready, OURS, Health::Up);
        let b = || ServerStatus {
            name: "b".parse().unwrap(),
            ..a()
        };
        for (one, other, said) in [
            (
                backend([a(), b()]),
                backend([a()]),
                "here is no server app/b",
            ),
            (
                backend([a()]),
                backend([a(), b()]),
                "only here is there a server app/b",
            ),
        ] {
            let mut whole = one;
            let error = add(&mut whole, &other, &[]).unwrap_err();
            assert_eq!(error.message, said);
        }
    }
}
