//! One server's turn: drain, maint, its maintenance, ready, healthy.

use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::{Duration, Instant};

use lb_proto::error::ErrorCode;
use lb_proto::name::{ServerId, ServerName};
use lb_proto::reason::Reason;
use lb_proto::request::{RollingStep, SetState};
use lb_proto::rolling::{Hook as Process, Phase};
use lb_proto::state::Admin;
use lb_proto::status::{BackendStatus, ServerStatus};

use super::hook::{Hook, judge};
use super::nodes::{Nodes, set_by};
use super::process;
use super::tell::Teller;
use crate::args::rolling::{OnTimeout, RollingMaintenance};
use crate::interrupt::Interrupt;
use crate::rolling::{Others, Why, configured};
use crate::servers;
use crate::ui::progress::Step;
use crate::ui::words;
use crate::wait::{self, BETWEEN_LOOKS, Verdict, Wait};

/// What every turn is taken with.
pub(super) struct Turns<'a> {
    pub(super) args: &'a RollingMaintenance,
    pub(super) nodes: Nodes,
    pub(super) interrupt: &'a Interrupt,
    pub(super) reason: Option<Reason>,
    /// It was told that a restart of lbd would forget all this.
    pub(super) warned: bool,
    pub(super) teller: Teller<'a>,
    /// What maintains a server; otherwise somebody at the terminal does.
    pub(super) hook: Option<Hook<'a>>,
}

/// How a turn ended that did not stop.
#[derive(Debug)]
pub(super) enum Taken {
    Done,
    /// Somebody took it out before its turn came: it stays as it is.
    Somebodys(Admin),
}

/// It stopped at a server.
#[derive(Debug)]
pub(super) struct Stop {
    pub(super) why: Why,
    pub(super) phase: Phase,
    /// What the server is left in, as far as that is known.
    pub(super) left: Option<Admin>,
}

/// The server whose turn it is.
struct Turn {
    id: ServerId,
    at: usize,
    /// Where it was configured to be when its turn began.
    address: Option<String>,
    phase: Phase,
    others: Others,
}

impl Turns<'_> {
    /// The turn of a server, at place `at`.
    ///
    /// # Errors
    /// Why it stopped. The server is in maint then, unless its turn had not begun, or somebody else
    /// has it, or the daemon is gone.
    pub(super) fn take(&mut self, server: &ServerName, at: usize) -> Result<Taken, Stop> {
        let mut turn = Turn {
            id: ServerId::new(&self.args.backend, server),
            at,
            address: None,
            phase: Phase::ToDo,
            others: Others {
                up: Vec::new(),
                of: 0,
                percent: 0,
            },
        };
        self.go(&mut turn).map_err(|why| self.leave(&turn, why))
    }

    fn go(&mut self, turn: &mut Turn) -> Result<Taken, Why> {
        if turn.at > 0 {
            self.pause(turn)?;
        }
        let backend = self.look()?;
        let server = find(&backend, turn)?;
        turn.address = Some(configured(&server));
        if server.admin != Admin::Ready && !set_by(self.nodes.us(), &server) {
            return Ok(Taken::Somebodys(server.admin));
        }
        if server.admin != Admin::Ready {
            // Whoever resumes after us is to know it as ours.
            self.set(turn, server.admin)?;
        }
        turn.others = Others::than(&turn.id.server, &backend);
        if turn.others.up.len() < self.args.min_up {
            return Err(Why::TooFewOthers {
                others: turn.others.clone(),
                wanted: self.args.min_up,
            });
        }
        let started = Instant::now();
        if server.admin != Admin::Maint {
            self.enter(turn, Phase::Drain)?;
            self.set(turn, Admin::Drain)?;
            self.no_sessions(turn)?;
        }
        self.enter(turn, Phase::Maint)?;
        self.set(turn, Admin::Maint)?;
        self.no_sessions(turn)?;
        self.maintain(turn, &server.address)?;
        self.enter(turn, Phase::Return)?;
        self.set(turn, Admin::Ready)?;
        self.healthy(turn)?;
        self.enter(turn, Phase::Done)?;
        self.teller.done(turn.at, &turn.id, started.elapsed());
        Ok(Taken::Done)
    }

    /// What a stop leaves: a server whose maintenance may have half happened takes nobody.
    fn leave(&mut self, turn: &Turn, why: Why) -> Stop {
        let is_ours = !matches!(why, Why::Overruled(_) | Why::Refused(_));
        let begun = turn.phase != Phase::ToDo;
        if is_ours && begun {
            // It fails where the daemon is gone; then what is found below is nothing.
            let _ = self.set(turn, Admin::Maint);
        }
        let now = self.look().ok();
        let now = now.and_then(|backend| known(&backend, turn).cloned());
        Stop {
            why,
            phase: turn.phase,
            left: now.map(|server| server.admin),
        }
    }

    fn enter(&mut self, turn: &mut Turn, phase: Phase) -> Result<(), Why> {
        self.note(&turn.id, phase, None)?;
        turn.phase = phase;
        self.teller.phase(turn.at, &turn.id, phase, &turn.others);
        Ok(())
    }

    /// Has the daemon know how far this is, whatever becomes of us.
    fn note(&mut self, server: &ServerId, phase: Phase, hook: Option<Process>) -> Result<(), Why> {
        let step = RollingStep {
            server: server.clone(),
            phase,
            hook,
        };
        self.nodes.call(&step).map(drop).map_err(Why::Refused)
    }

    fn set(&mut self, turn: &Turn, admin: Admin) -> Result<(), Why> {
        let set = self.nodes.call(&SetState {
            server: turn.id.clone(),
            admin,
            was: None,
            move_sticky: None,
            reason: self.reason.clone(),
            for_s: None,
            kill: false,
        });
        let set = set.map_err(Why::Refused)?;
        if let Some(why) = set.into_iter().find_map(|set| set.not_kept)
            && !std::mem::replace(&mut self.warned, true)
        {
            self.teller.forgets(&why);
        }
        Ok(())
    }

    /// Until the server has no sessions. With `--on-timeout maint` those that it still has do not hold
    /// up anything once their time is over.
    fn no_sessions(&mut self, turn: &Turn) -> Result<(), Why> {
        let patience = self.args.drain_timeout;
        let wanted = match turn.phase {
            Phase::Drain => Admin::Drain,
            _ => Admin::Maint,
        };
        let mut most = 0;
        let us = self.nodes.us().to_vec();
        let judge = |now: &ServerStatus, waited| match now.admin == wanted && set_by(&us, now) {
            true => wait::drained(now, waited, patience),
            false => Verdict::Overruled(now.admin),
        };
        let (now, waited, verdict) = self.until(turn, judge, |teller, now, waited| {
            most = most.max(now.sessions);
            teller.sessions(turn.at, now, most, step(waited, patience));
        })?;
        match verdict {
            Verdict::Expired if self.args.on_timeout == OnTimeout::Abort => {
                Err(Why::SessionsLeft {
                    sessions: now.sessions,
                    waited,
                })
            }
            Verdict::Expired => {
                if turn.phase == Phase::Maint {
                    self.teller.cuts(&turn.id, now.sessions);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn maintain(&mut self, turn: &Turn, address: &str) -> Result<(), Why> {
        let mut wrong = None;
        match self.hook {
            Some(hook) => {
                let hook = hook.prepare(&turn.id, address).map_err(Why::Hook)?;
                self.note(&turn.id, turn.phase, process::note(hook.pid()))?;
                self.teller.maintains(turn.at, &turn.id);
                let (nodes, teller, args) = (&mut self.nodes, &self.teller, self.args);
                let mut warned = false;
                let ended = hook.run(
                    |from, line| teller.output(&turn.id, from, line),
                    || {
                        if self.interrupt.pressed() && !std::mem::replace(&mut warned, true) {
                            teller.waits_for_hook();
                        }
                        wrong = wrong.take().or_else(|| amiss(nodes, args, turn));
                    },
                );
                let ended = ended.map_err(Why::Hook)?;
                // What one that was ended by force had begun may be at work still.
                let noted = match ended.signal() {
                    None => self.note(&turn.id, turn.phase, None),
                    Some(_) => Ok(()),
                };
                judge(ended).map_err(Why::Hook)?;
                noted?;
            }
            None => {
                self.teller.ask(turn.at, &turn.id);
                loop {
                    match self.teller.answer(turn.at) {
                        _ if self.interrupt.pressed() => return Err(Why::Interrupted),
                        None => return Err(Why::Interrupted),
                        Some(true) => break,
                        Some(false) => {}
                    }
                    if let Some(why) = amiss(&mut self.nodes, self.args, turn) {
                        return Err(why);
                    }
                    thread::sleep(BETWEEN_LOOKS);
                }
                self.teller.answered();
            }
        }
        self.not_interrupted()?;
        // It may have happened since the last look.
        let wrong = wrong.or_else(|| amiss(&mut self.nodes, self.args, turn));
        wrong.map_or(Ok(()), Err)
    }

    fn healthy(&mut self, turn: &Turn) -> Result<(), Why> {
        let patience = self.args.health_timeout;
        let judge = |now: &ServerStatus, waited| wait::healthy(now, waited, patience);
        let (now, waited, verdict) = self.until(turn, judge, |teller, now, waited| {
            teller.health(turn.at, now, step(waited, patience));
        })?;
        match verdict {
            Verdict::Expired => Err(Why::NotBack {
                why: format!("its health is {}", words::health(&now)),
                waited,
            }),
            _ => Ok(()),
        }
    }

    /// Between two servers; who was up before is up still when it ends.
    fn pause(&mut self, turn: &Turn) -> Result<(), Why> {
        let until = Instant::now() + self.args.pause;
        self.teller.pauses(turn.at, self.args.pause);
        loop {
            self.not_interrupted()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(BETWEEN_LOOKS));
        }
    }

    /// Looks again and again until `judge` says other than waiting.
    fn until(
        &mut self,
        turn: &Turn,
        judge: impl Fn(&ServerStatus, Duration) -> Verdict,
        mut seen: impl FnMut(&mut Teller<'_>, &ServerStatus, Duration),
    ) -> Result<(ServerStatus, Duration, Verdict), Why> {
        let mut wait = Wait::default();
        loop {
            self.not_interrupted()?;
            let backend = self.look()?;
            let now = find(&backend, turn)?;
            let waited = wait.at(Instant::now());
            let verdict = judge(&now, waited);
            seen(&mut self.teller, &now, waited);
            match verdict {
                // A server that comes back makes good for another that is gone: it is not stopped.
                Verdict::Waiting if turn.phase == Phase::Return => {}
                Verdict::Waiting => down(&backend, turn).map_or(Ok(()), Err)?,
                Verdict::Overruled(admin) => return Err(Why::Overruled(admin)),
                Verdict::Done | Verdict::Expired => return Ok((now, waited, verdict)),
            }
            thread::sleep(BETWEEN_LOOKS);
        }
    }

    fn not_interrupted(&self) -> Result<(), Why> {
        match self.interrupt.pressed() {
            true => Err(Why::Interrupted),
            false => Ok(()),
        }
    }

    fn look(&mut self) -> Result<BackendStatus, Why> {
        self.nodes.look(&self.args.backend).map_err(Why::Refused)
    }
}

/// A look at a wait, its text yet to come.
fn step(waited: Duration, until: Duration) -> Step {
    Step {
        text: String::new(),
        done: None,
        waited,
        until,
    }
}

fn find(backend: &BackendStatus, turn: &Turn) -> Result<ServerStatus, Why> {
    let Some(server) = known(backend, turn) else {
        return Err(Why::Refused(servers::removed(&turn.id.to_string())));
    };
    let (to, from) = (configured(server), &turn.address);
    match from.as_ref().filter(|from| **from != to) {
        Some(from) => Err(Why::Moved {
            from: from.clone(),
            to,
        }),
        None => Ok(server.clone()),
    }
}

fn known<'a>(backend: &'a BackendStatus, turn: &Turn) -> Option<&'a ServerStatus> {
    let mut servers = backend.servers.iter();
    servers.find(|server| server.name == turn.id.server)
}

/// Whether another server went down while this one is out, or somebody else set or moved this one. A
/// daemon that does not answer, or knows it no more, is found out later.
fn amiss(nodes: &mut Nodes, args: &RollingMaintenance, turn: &Turn) -> Option<Why> {
    let backend = match nodes.look(&args.backend) {
        Ok(backend) => backend,
        // One of the nodes has it elsewhere by now.
        Err(error) if error.code == ErrorCode::Failed => return Some(Why::Refused(error)),
        Err(_) => return None,
    };
    let now = match find(&backend, turn) {
        Ok(now) => now,
        Err(Why::Refused(_)) => return None,
        Err(why) => return Some(why),
    };
    if now.admin != Admin::Maint || !set_by(nodes.us(), &now) {
        return Some(Why::Overruled(now.admin));
    }
    down(&backend, turn)
}

fn down(backend: &BackendStatus, turn: &Turn) -> Option<Why> {
    let server = turn.others.missing(backend)?;
    Some(Why::OtherDown {
        server: server.name.clone(),
        why: words::why(server),
    })
}
