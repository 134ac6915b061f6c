//! A rolling maintenance without the doing: whose turn comes, whether enough others serve, and what is
//! said of one that stopped.

use std::time::Duration;

use lb_proto::document::rolling::Skipped;
use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::name::{BackendName, ServerName};
use lb_proto::rolling::{Phase, Rolling};
use lb_proto::state::{Admin, State};
use lb_proto::status::{BackendStatus, ServerStatus};

use crate::duration;
use crate::ui::words;

/// The servers of a backend, by what becomes of them; each list in the configuration's order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) done: Vec<ServerName>,
    /// The first is the one that a resumed maintenance stopped at, if it stopped at one.
    pub(crate) todo: Vec<ServerName>,
    pub(crate) skipped: Vec<Skipped>,
}

impl Plan {
    /// `chosen`: those that are to have their turn.
    pub(crate) fn new(backend: &BackendStatus, chosen: &[ServerName]) -> Self {
        let mut plan = Self {
            done: Vec::new(),
            todo: Vec::new(),
            skipped: Vec::new(),
        };
        let is_chosen = |server: &&ServerStatus| chosen.contains(&server.name);
        for server in backend.servers.iter().filter(is_chosen) {
            plan.add(server);
        }
        plan
    }

    /// What is left of one that stopped. Servers that a reload took away since are left out.
    pub(crate) fn resumed(backend: &BackendStatus, stopped: &Rolling) -> Self {
        let mut plan = Self::new(backend, &[]);
        for turn in &stopped.turns {
            let mut known = backend.servers.iter();
            let Some(server) = known.find(|known| known.name == turn.server) else {
                continue;
            };
            match turn.phase {
                Phase::Done => plan.done.push(turn.server.clone()),
                Phase::ToDo => plan.add(server),
                Phase::Drain | Phase::Maint | Phase::Return => {
                    plan.todo.insert(0, turn.server.clone());
                }
            }
        }
        plan
    }

    pub(crate) fn leaves_out(&self, server: &ServerName) -> bool {
        self.skipped.iter().any(|skipped| skipped.server == *server)
    }

    /// Somebody took it out since.
    pub(crate) fn leave_out(&mut self, skipped: Skipped) {
        self.todo.retain(|server| *server != skipped.server);
        self.skipped.push(skipped);
    }

    fn add(&mut self, server: &ServerStatus) {
        match server.admin {
            Admin::Ready => self.todo.push(server.name.clone()),
            admin => self.skipped.push(Skipped {
                server: server.name.clone(),
                admin,
            }),
        }
    }
}

/// What serves while a server is out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Others {
    pub(crate) up: Vec<ServerName>,
    pub(crate) of: usize,
    /// By weight, of what the backend has when all of it is up; backups aside.
    pub(crate) percent: u64,
}

impl Others {
    pub(crate) fn than(server: &ServerName, backend: &BackendStatus) -> Self {
        let others = || backend.servers.iter().filter(|other| other.name != *server);
        let weight = |server: &&ServerStatus| u64::from(server.weight);
        let active = |server: &&ServerStatus| !server.backup;
        let whole: u64 = backend
            .servers
            .iter()
            .filter(active)
            .map(|s| weight(&s))
            .sum();
        let rest: u64 = others()
            .filter(active)
            .filter(serves)
            .map(|s| weight(&s))
            .sum();
        Self {
            up: others().filter(serves).map(|s| s.name.clone()).collect(),
            of: others().count(),
            percent: (rest * 100).checked_div(whole).unwrap_or(0),
        }
    }

    /// `2 of 2 other servers are up, 66 % of the capacity`
    pub(crate) fn words(&self) -> String {
        let servers = if self.of == 1 {
            "server is"
        } else {
            "servers are"
        };
        let (up, of, percent) = (self.up.len(), self.of, self.percent);
        format!("{up} of {of} other {servers} up, {percent} % of the capacity")
    }

    /// The first of them that is no longer up.
    pub(crate) fn missing<'a>(&self, backend: &'a BackendStatus) -> Option<&'a ServerStatus> {
        let mut servers = backend.servers.iter();
        servers.find(|now| self.up.contains(&now.name) && now.state == State::Down)
    }
}

fn serves(server: &&ServerStatus) -> bool {
    server.state.takes_new_sessions() && server.weight > 0 && server.ejected.is_none()
}

/// The address of a server as the configuration has it: where a host name leads may change with nobody reloading.
pub(crate) fn configured(server: &ServerStatus) -> String {
    let port = server.address.rsplit(':').next().unwrap_or_default();
    let host = server.host.as_ref();
    host.map_or_else(
        || server.address.clone(),
        |host| format!("{}:{port}", host.name),
    )
}

/// Why it stopped.
#[derive(Debug)]
pub(crate) enum Why {
    TooFewOthers {
        others: Others,
        wanted: usize,
    },
    SessionsLeft {
        sessions: u64,
        waited: Duration,
    },
    /// In a sentence: "CMD exited with 3".
    Hook(String),
    NotBack {
        why: String,
        waited: Duration,
    },
    OtherDown {
        server: ServerName,
        why: String,
    },
    /// A reload gave the server another address: what was maintained is not what is there now.
    Moved {
        from: String,
        to: String,
    },
    /// Somebody else set the server whose turn it is.
    Overruled(Admin),
    Interrupted,
    /// The daemon's refusal, or that it is gone.
    Refused(ErrorReply),
}

impl Why {
    pub(crate) fn words(&self) -> String {
        match self {
            Self::TooFewOthers { others, wanted } => {
                format!("{}, and --min-up wants {wanted}", others.words())
            }
            Self::SessionsLeft { sessions, waited } => format!(
                "still {} after {}",
                words::sessions(*sessions),
                duration::words(*waited)
            ),
            Self::Hook(end) => end.clone(),
            Self::NotBack { why, waited } => {
                format!("{why} {} after it was made ready", duration::words(*waited))
            }
            Self::OtherDown { server, why } => format!("{server} went down meanwhile, {why}"),
            Self::Moved { from, to } => {
                format!("a reload moved it from {from} to {to} meanwhile")
            }
            Self::Overruled(admin) => format!("someone else set it to {admin}"),
            Self::Interrupted => "interrupted".to_owned(),
            Self::Refused(error) => error.message.clone(),
        }
    }
}

/// Where it stopped, and how it goes on.
#[derive(Debug)]
pub(crate) struct Stopped<'a> {
    pub(crate) backend: &'a BackendName,
    pub(crate) server: &'a ServerName,
    pub(crate) why: &'a Why,
    /// What the server is left in, as far as that is known.
    pub(crate) left: Option<Admin>,
    /// The command line that goes on.
    pub(crate) resume: &'a str,
    /// What other command lines to the same daemon begin with.
    pub(crate) lbctl: &'a str,
}

impl Stopped<'_> {
    pub(crate) fn error(&self) -> ErrorReply {
        let id = format!("{}/{}", self.backend, self.server);
        let stays = match self.left {
            Some(Admin::Ready) => format!("{id} is ready"),
            Some(admin) => format!("{id} stays in {admin}"),
            None if matches!(self.why, Why::Refused(error) if error.code == ErrorCode::NoSuchServer) => {
                "nobody is sent there".to_owned()
            }
            None => format!("{id} is as it was when lbd was last heard of"),
        };
        let message = format!("stopped at {id}: {}; {stays}", self.why.words());
        let mut hint = format!("go on with: {}", self.resume);
        let is_ours = !matches!(self.why, Why::Overruled(_));
        if is_ours && self.left.is_some_and(|admin| admin != Admin::Ready) {
            hint = format!("{hint}; or put it back: {} ready {id}", self.lbctl);
        }
        ErrorReply::new(ErrorCode::StoppedPartWay, message).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::sample;

    fn backend(servers: &[(&str, Admin)]) -> BackendStatus {
        let server = |(name, admin): &(&str, Admin)| ServerStatus {
            admin: *admin,
            state: State::of(*admin, lb_proto::state::Health::Up),
            ..sample::server(name)
        };
        BackendStatus {
            servers: servers.iter().map(server).collect(),
            ..sample::status().backends.remove(0)
        }
    }

    fn names(names: &[&str]) -> Vec<ServerName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn a_server_that_is_out_already_is_somebodys() {
        let backend = backend(&[
            ("a", Admin::Ready),
            ("b", Admin::Drain),
            ("c", Admin::Maint),
            ("d", Admin::Ready),
        ]);
        let plan = Plan::new(&backend, &names(&["d", "c", "b", "a"]));
        assert_eq!(plan.todo, names(&["a", "d"]));
        let skipped: Vec<_> = plan
            .skipped
            .iter()
            .map(|s| (s.server.as_str(), s.admin))
            .collect();
        assert_eq!(skipped, [("b", Admin::Drain), ("c", Admin::Maint)]);
        assert_eq!(Plan::new(&backend, &names(&["d"])).todo, names(&["d"]));
    }

    #[test]
    fn what_is_resumed_begins_with_the_server_at_which_it_stopped() {
        let backend = backend(&[
            ("a", Admin::Ready),
            ("b", Admin::Maint),
            ("c", Admin::Ready),
            ("d", Admin::Drain),
        ]);
        let turn = |(server, phase): (&str, Phase)| lb_proto::rolling::Turn {
            server: server.parse().unwrap(),
            phase,
        };
        let turns = [
            ("a", Phase::Done),
            ("b", Phase::Maint),
            ("c", Phase::ToDo),
            ("d", Phase::ToDo),
            ("gone", Phase::ToDo),
        ];
        let stopped = Rolling {
            since: String::new(),
            by: lb_proto::status::By::default(),
            running: false,
            turns: turns.map(turn).to_vec(),
            hook: None,
        };
        let plan = Plan::resumed(&backend, &stopped);
        assert_eq!((plan.done, plan.todo), (names(&["a"]), names(&["b", "c"])));
        assert_eq!(plan.skipped[0].server.as_str(), "d");
    }

    #[test]
    fn the_others_are_those_that_serve_and_capacity_goes_by_weight() {
        let mut backend = backend(&[
            ("a", Admin::Ready),
            ("b", Admin::Ready),
            ("c", Admin::Drain),
            ("spare", Admin::Ready),
        ]);
        backend.servers[1].weight = 2;
        backend.servers[3].backup = true;
        let others = Others::than(&backend.servers[0].name, &backend);
        assert_eq!(
            others,
            Others {
                up: names(&["b", "spare"]),
                of: 3,
                percent: 50
            }
        );
        assert!(others.missing(&backend).is_none());
        backend.servers[1].state = State::Down;
        assert_eq!(others.missing(&backend).unwrap().name.as_str(), "b");
    }

    #[test]
    fn a_stop_says_what_is_left_and_how_to_go_on() {
        let stopped = Stopped {
            backend: &"app".parse().unwrap(),
            server: &"web02".parse().unwrap(),
            why: &Why::Hook("CMD exited with 3".to_owned()),
            left: Some(Admin::Maint),
            resume: "lbctl rolling app --resume",
            lbctl: "lbctl",
        };
        let error = stopped.error();
        assert_eq!(
            error.message,
            "stopped at app/web02: CMD exited with 3; app/web02 stays in maint"
        );
        assert_eq!(
            error.hint.as_deref(),
            Some("go on with: lbctl rolling app --resume; or put it back: lbctl ready app/web02")
        );
    }
}
