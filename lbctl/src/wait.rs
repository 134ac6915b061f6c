//! Waiting for servers to get where they were sent.
//!
//! The level decides, never an event: each look at a server is judged by itself, so that a change
//! that came and went between two looks, or before the first, cannot be missed or believed.

use std::thread;
use std::time::{Duration, Instant};

use lb_proto::client::Client;
use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::name::ServerId;
use lb_proto::reply::SetState as WasSet;
use lb_proto::state::{Admin, Health, State};
use lb_proto::status::ServerStatus;

use crate::interrupt::Interrupt;
use crate::servers;

/// Short enough that a script loses nothing by waiting, long enough to cost the daemon nothing.
pub(crate) const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// A server that was there by the first look was not waited for.
pub(crate) const AT_ONCE: Duration = BETWEEN_LOOKS;

/// What one look at a server says of the wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Waiting,
    Done,
    /// Somebody else set another admin state meanwhile.
    Overruled(Admin),
    Expired,
}

/// Judges a drain: over when no session is left. Maint set meanwhile changes nothing about that;
/// ready does, for then sessions come anew.
pub(crate) fn drained(now: &ServerStatus, waited: Duration, patience: Duration) -> Verdict {
    if now.admin == Admin::Ready {
        return Verdict::Overruled(now.admin);
    }
    if now.sessions == 0 {
        return Verdict::Done;
    }
    running_or_expired(waited, patience)
}

/// Judges a return to rotation: over when checks that were made since vouch for the server, or at
/// once where none are configured. `unchecked` takes traffic too, but nobody has vouched yet.
pub(crate) fn healthy(now: &ServerStatus, waited: Duration, patience: Duration) -> Verdict {
    if now.admin != Admin::Ready {
        return Verdict::Overruled(now.admin);
    }
    if now.state == State::Up && (now.health == Health::Up || !now.check) {
        return Verdict::Done;
    }
    running_or_expired(waited, patience)
}

fn running_or_expired(waited: Duration, patience: Duration) -> Verdict {
    if waited >= patience {
        return Verdict::Expired;
    }
    Verdict::Waiting
}

/// How long it has been since the first look was answered: how long that took is the machine's to say,
/// and no part of the wait. So whatever is there by then was there at once, and no wait is over before
/// somebody has looked.
#[derive(Debug, Default)]
pub(crate) struct Wait {
    began: Option<Instant>,
}

impl Wait {
    pub(crate) fn at(&mut self, now: Instant) -> Duration {
        now.saturating_duration_since(*self.began.get_or_insert(now))
    }
}

/// A server waited for.
#[derive(Debug)]
pub(crate) struct Awaited {
    pub(crate) id: ServerId,
    /// What the operator wanted of it before this command.
    pub(crate) was: Admin,
    /// Why a restart of lbd would forget what it was set to.
    pub(crate) not_kept: Option<String>,
    /// As of the last look.
    pub(crate) now: ServerStatus,
    /// From the command to the last look.
    pub(crate) waited: Duration,
    pub(crate) verdict: Verdict,
}

impl Awaited {
    pub(crate) fn each(ids: Vec<ServerId>, set: Vec<WasSet>) -> Vec<Self> {
        ids.into_iter()
            .zip(set)
            .map(|(id, set)| Self {
                id,
                was: set.was,
                not_kept: set.not_kept,
                now: set.server,
                waited: Duration::ZERO,
                verdict: Verdict::Waiting,
            })
            .collect()
    }

    /// As the command's own record of how long it took, in tenths of a second.
    pub(crate) fn waited_s(&self) -> f64 {
        (self.waited.as_secs_f64() * 10.0).round() / 10.0
    }
}

/// Looks at every server until none is waited for any more, one was overruled, or Ctrl-C was
/// pressed; `seen` hears of every look.
///
/// # Errors
/// `no_daemon` when the daemon went away, `no_such_server` when a reload took a server away.
pub(crate) fn until(
    daemon: &mut Client,
    awaited: &mut [Awaited],
    judge: impl Fn(&ServerStatus, Duration) -> Verdict,
    interrupt: &Interrupt,
    mut seen: impl FnMut(usize, &Awaited),
) -> Result<(), ErrorReply> {
    let mut wait = Wait::default();
    while !interrupt.pressed() {
        for (at, server) in awaited.iter_mut().enumerate() {
            if server.verdict != Verdict::Waiting {
                continue;
            }
            server.now = servers::look(daemon, &server.id).map_err(|e| removed(server, e))?;
            server.waited = wait.at(Instant::now());
            server.verdict = judge(&server.now, server.waited);
            seen(at, server);
        }
        let overruled = awaited
            .iter()
            .any(|server| matches!(server.verdict, Verdict::Overruled(_)));
        let waiting = awaited
            .iter()
            .any(|server| server.verdict == Verdict::Waiting);
        if overruled || !waiting {
            return Ok(());
        }
        thread::sleep(BETWEEN_LOOKS);
    }
    Ok(())
}

/// A server that was there when the wait began and is unknown now was no slip of the operator's.
fn removed(server: &Awaited, error: ErrorReply) -> ErrorReply {
    if !matches!(
        error.code,
        ErrorCode::NoSuchServer | ErrorCode::NoSuchBackend
    ) {
        return error;
    }
    let message = format!(
        "{} was removed from the configuration while it was waited for",
        server.id
    );
    ErrorReply::new(error.code, message).hint(format!(
        "sessions that it still had go on until they end; {} at the last look",
        server.now.sessions
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::sample;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn server(admin: Admin, health: Health, sessions: u64) -> ServerStatus {
        ServerStatus {
            admin,
            health,
            state: State::of(admin, health),
            sessions,
            check: true,
            ..sample::server("web01")
        }
    }

    #[test]
    fn a_drain_ends_with_the_last_session_even_past_its_time() {
        let busy = server(Admin::Drain, Health::Up, 2);
        let idle = server(Admin::Drain, Health::Up, 0);
        assert_eq!(drained(&busy, Duration::ZERO, PATIENCE), Verdict::Waiting);
        assert_eq!(drained(&busy, PATIENCE, PATIENCE), Verdict::Expired);
        assert_eq!(drained(&idle, PATIENCE, PATIENCE), Verdict::Done);
    }

    #[test]
    fn a_wait_begins_with_the_first_look_however_late_that_is_answered() {
        let asked = Instant::now();
        let mut wait = Wait::default();
        let answered = asked + 10 * PATIENCE;
        assert_eq!(wait.at(answered), Duration::ZERO);
        assert_eq!(wait.at(answered + BETWEEN_LOOKS), BETWEEN_LOOKS);
        let busy = server(Admin::Drain, Health::Up, 1);
        assert_eq!(
            drained(&busy, Wait::default().at(answered), PATIENCE),
            Verdict::Waiting
        );
    }

    #[test]
    fn a_drain_taken_back_is_not_done_though_no_session_runs() {
        let taken_back = server(Admin::Ready, Health::Up, 0);
        let verdict = drained(&taken_back, Duration::ZERO, PATIENCE);
        assert_eq!(verdict, Verdict::Overruled(Admin::Ready));
        let to_maint = server(Admin::Maint, Health::Up, 0);
        assert_eq!(drained(&to_maint, Duration::ZERO, PATIENCE), Verdict::Done);
    }

    #[test]
    fn only_a_check_that_succeeded_or_none_at_all_makes_a_server_healthy() {
        let judge = |server: &ServerStatus| healthy(server, Duration::ZERO, PATIENCE);
        let unchecked = server(Admin::Ready, Health::Unchecked, 0);
        assert_eq!(judge(&unchecked), Verdict::Waiting);
        let never_checked = ServerStatus {
            check: false,
            ..unchecked
        };
        assert_eq!(judge(&never_checked), Verdict::Done);
        assert_eq!(judge(&server(Admin::Ready, Health::Up, 0)), Verdict::Done);
        assert_eq!(
            judge(&server(Admin::Ready, Health::Down, 0)),
            Verdict::Waiting
        );
        assert_eq!(
            judge(&server(Admin::Drain, Health::Up, 0)),
            Verdict::Overruled(Admin::Drain)
        );
    }
}
