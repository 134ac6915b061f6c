//! Changes of a server's state: written, told to data threads, logged and streamed in one place.

use std::time::Instant;

use lb_proto::event::Event;
use lb_proto::state::{Admin, Health, State};
use tracing::{info, warn};

use super::ejection::Term;
use super::quota::LogLine;
use super::{Server, Shared};

/// The time now as events and status carry it: RFC 3339, UTC, milliseconds.
pub(crate) fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

impl Shared {
    /// Sets what the operator wants of a server. Leaving maint starts its health over.
    ///
    /// `reason` says who asked, as in "by uid 0, pid 4711".
    pub(crate) fn set_admin(&self, server: &Server, admin: Admin, reason: &str) {
        let was = server.admin();
        let leaves_maint = was == Admin::Maint && admin != Admin::Maint;
        let health = if leaves_maint {
            self.fresh_health(server)
        } else {
            server.health()
        };
        let log = LogLine::Operator;
        // Before the state is written, which ends it silently.
        self.readmit(server, &format!("{admin} {reason}"));
        self.write(server, admin, health, &format!("{admin} {reason}"), log);
        if (was == Admin::Maint) != (admin == Admin::Maint) {
            server.check_wake.notify_one();
        }
    }

    /// Sets what checks say of a server. One that flaps is not logged at every turn.
    pub(crate) fn set_health(&self, server: &Server, health: Health, reason: &str) {
        if health == server.health() {
            return;
        }
        let log = server.log_quota();
        self.write(server, server.admin(), health, reason, log);
    }

    /// Gives a server no new sessions until then, for it fails too often.
    pub(super) fn eject(&self, server: &Server, until: Instant, reason: &str) {
        server.ejection.begin(Term {
            until,
            reason: reason.to_owned(),
        });
        server.pool_changed();
        if server.log_quota() != LogLine::None {
            let time = until.saturating_duration_since(Instant::now());
            let seconds = time.as_millis().div_ceil(1000);
            warn!(server = %server.id, reason, seconds, "server ejected");
        }
        self.emit_server(server, server.state(), &format!("ejected: {reason}"));
    }

    /// Lets a server back, if it is ejected.
    pub(super) fn readmit(&self, server: &Server, reason: &str) {
        if !server.ejection.end() {
            return;
        }
        server.pool_changed();
        if server.log_quota() != LogLine::None {
            info!(server = %server.id, reason, "server no longer ejected");
        }
        self.emit_server(
            server,
            server.state(),
            &format!("no longer ejected: {reason}"),
        );
        // Another one may be ejected in its place.
        self.report_suspect();
    }

    /// What health starts over with: `down` until checks succeed, unless it would leave its
    /// backend without any server.
    fn fresh_health(&self, server: &Server) -> Health {
        let snapshot = self.snapshot();
        let Some(backend) = snapshot.backend(&server.id.backend) else {
            return Health::Unchecked;
        };
        let checked = backend.checks(&server.id.server).is_some();
        let others = backend
            .servers
            .iter()
            .filter(|other| other.uid != server.uid);
        if checked && others.into_iter().any(|other| other.state() == State::Up) {
            Health::Down
        } else {
            Health::Unchecked
        }
    }

    fn write(&self, server: &Server, admin: Admin, health: Health, reason: &str, line: LogLine) {
        if (admin, health) == (server.admin(), server.health()) {
            return;
        }
        let (was, state) = server.write(admin, health);
        log(server, was, state, reason, line);
        if was != state {
            self.nudge();
        }
        self.emit_server(server, was, reason);
    }

    fn emit_server(&self, server: &Server, was: State, reason: &str) {
        let (admin, health) = (server.admin(), server.health());
        self.emit(Event::Server {
            at: now(),
            server: server.id.clone(),
            was,
            state: State::of(admin, health),
            admin,
            health,
            ejected: server.ejection.is_on(),
            reason: reason.to_owned(),
        });
    }
}

fn log(server: &Server, was: State, state: State, reason: &str, line: LogLine) {
    let server = &server.id;
    match (line, state) {
        (LogLine::None, _) => {}
        (LogLine::Whole { unlogged: 1.. } | LogLine::Last, _) => {
            let flapping = line.flapping();
            warn!(%server, %was, %state, reason, flapping, "server changed");
        }
        (LogLine::Operator, _) => info!(%server, %was, %state, reason, "server changed"),
        (_, State::Down) => warn!(%server, %was, %state, reason, "server changed"),
        _ => info!(%server, %was, %state, reason, "server changed"),
    }
}
