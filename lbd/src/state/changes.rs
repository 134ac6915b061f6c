//! Changes of a server's state: written, told to data threads, logged and streamed in one place.

use std::net::SocketAddr;
use std::time::Instant;

use lb_proto::event::Event;
use lb_proto::reply::Change;
use lb_proto::state::{Admin, Health, State};
use tracing::{info, warn};

use super::ejection::Term;
use super::quota::LogLine;
use super::{Server, Shared};

/// The time now as events and status carry it: RFC 3339, UTC, milliseconds.
pub(crate) fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

/// The time now in seconds since 1970, as certificates have it.
pub(crate) fn unix_now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// What the operator wants of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wish {
    admin: Admin,
    moves_sticky: bool,
}

impl Wish {
    fn of(server: &Server) -> Self {
        Self {
            admin: server.admin(),
            moves_sticky: server.moves_sticky(),
        }
    }
}

impl Shared {
    /// Sets what the operator wants of a server. Leaving maint starts its health over, and going
    /// back to ready lets its cookie count again.
    ///
    /// `reason` says who asked, as in "by uid 0, pid 4711".
    pub(crate) fn set_admin(&self, server: &Server, admin: Admin, reason: &str) {
        let moves_sticky = admin != Admin::Ready && server.moves_sticky();
        self.set(server, admin, moves_sticky, reason);
    }

    /// Drains a server; `moves_sticky` says whether clients that its cookie names go elsewhere, too.
    pub(crate) fn drain(&self, server: &Server, moves_sticky: bool, reason: &str) {
        self.set(server, Admin::Drain, moves_sticky, reason);
    }

    fn set(&self, server: &Server, admin: Admin, moves_sticky: bool, reason: &str) {
        let was = server.admin();
        let leaves_maint = was == Admin::Maint && admin != Admin::Maint;
        let health = if leaves_maint {
            self.fresh_health(server)
        } else {
            server.health()
        };
        let wish = Wish {
            admin,
            moves_sticky,
        };
        let what = match moves_sticky && admin == Admin::Drain {
            true => "drain, sticky clients are moved,",
            false => admin.as_str(),
        };
        let reason = format!("{what} {reason}");
        if admin != Admin::Maint {
            server.set_killed(false);
        }
        // Before the state is written, which ends it silently.
        self.readmit(server, &reason);
        self.write(server, wish, health, &reason, LogLine::Operator);
        if (was == Admin::Maint) != (admin == Admin::Maint) {
            server.past.begin_checks();
            server.check_wake.notify_one();
        }
    }

    /// Sets what checks say of a server. One that flaps is not logged at every turn.
    pub(crate) fn set_health(&self, server: &Server, health: Health, reason: &str) {
        if health == server.health() {
            return;
        }
        let log = server.log_quota();
        self.write(server, Wish::of(server), health, reason, log);
    }

    /// Gives a server no new sessions until then, for it fails too often.
    pub(super) fn eject(&self, server: &Server, until: Instant, reason: &str) {
        server.ejection.begin(Term {
            until,
            reason: reason.to_owned(),
        });
        self.share_out(server);
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
        self.share_out(server);
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

    /// A server's host name leads elsewhere now: as a reload that changes its address.
    pub(crate) fn relocate(&self, server: &Server, address: SocketAddr, host: &str) {
        let before = server.location.address();
        self.readmit(server, "its address has changed");
        server.location.set(Some(address));
        server.forget_connections();
        server.past.forget_checks();
        let reason = match before {
            Some(before) => format!("{host} leads to {address} now, no longer to {before}"),
            None => format!("{host} leads to {address}"),
        };
        info!(server = %server.id, reason, "server moved");
        let health = match server.admin() {
            Admin::Maint => server.health(),
            _ => self.fresh_health(server),
        };
        if health == server.health() {
            self.emit_server(server, server.state(), &reason);
        } else {
            self.write(server, Wish::of(server), health, &reason, LogLine::None);
        }
        server.check_wake.notify_one();
        self.nudge();
    }

    /// A server's host name cannot be looked up: it stays where it is.
    pub(crate) fn lookup_failed(&self, server: &Server, host: &str, detail: &str) {
        if server.location.set_trouble(detail, Instant::now()) {
            return;
        }
        let stays = match server.location.address() {
            Some(address) => format!("it stays at {address}"),
            None => "it is down until the name leads somewhere".to_owned(),
        };
        let reason = format!("{host} cannot be looked up, {detail}: {stays}");
        warn!(server = %server.id, reason, "server's name does not resolve");
        self.emit_server(server, server.state(), &reason);
    }

    /// It could be looked up.
    pub(crate) fn lookup_works(&self, server: &Server) {
        if server.location.end_trouble() {
            info!(server = %server.id, "server's name resolves again");
            self.emit_server(server, server.state(), "its name resolves again");
        }
    }

    /// What health starts over with: `down` until checks succeed, unless it would leave its
    /// backend without any server.
    fn fresh_health(&self, server: &Server) -> Health {
        let snapshot = self.snapshot();
        let Some(backend) = snapshot.backend(&server.id.backend) else {
            return Health::Unchecked;
        };
        if server.location.address().is_none() {
            return Health::Down;
        }
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

    /// Gives the servers of its backend their shares anew.
    fn share_out(&self, server: &Server) {
        if let Some(backend) = self.snapshot().backend(&server.id.backend) {
            backend.share_out_after(server);
        }
    }

    fn write(&self, server: &Server, wish: Wish, health: Health, reason: &str, line: LogLine) {
        if (wish, health) == (Wish::of(server), server.health()) {
            return;
        }
        let Wish {
            admin,
            moves_sticky,
        } = wish;
        server.set_moves_sticky(moves_sticky);
        let (was, state) = server.write(admin, health);
        log(server, was, state, reason, line);
        self.share_out(server);
        if was != state {
            self.nudge();
        }
        self.emit_server(server, was, reason);
    }

    pub(super) fn emit_weight(&self, server: &Server, was: u16, weight: u16, reason: &str) {
        let (at, state) = (now(), server.state());
        server.past.remember(Change {
            at: at.clone(),
            was: state,
            state,
            reason: format!("weight {was} -> {weight}, {reason}"),
        });
        self.emit(Event::Weight {
            at,
            server: server.id.clone(),
            was,
            weight,
            reason: reason.to_owned(),
        });
    }

    fn emit_server(&self, server: &Server, was: State, reason: &str) {
        let (admin, health) = (server.admin(), server.health());
        let (at, state) = (now(), State::of(admin, health));
        server.past.remember(Change {
            at: at.clone(),
            was,
            state,
            reason: reason.to_owned(),
        });
        self.emit(Event::Server {
            at,
            server: server.id.clone(),
            was,
            state,
            admin,
            health,
            move_sticky: server.moves_sticky(),
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
