//! `drain`: no new sessions, then waits until the running ones have finished.

use std::time::Duration;

use lb_proto::client::Client;
use lb_proto::document::Unfinished;
use lb_proto::document::servers::{Drained, Servers};
use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::name::ServerId;
use lb_proto::request::Status;
use lb_proto::state::Admin;
use lb_proto::status::ServerStatus;

use crate::args::{Drain, OnTimeout};
use crate::duration;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::servers::{self, Wanted};
use crate::there;
use crate::ui::progress::{Progress, Step};
use crate::ui::{Ui, words};
use crate::wait::{self, Awaited, Verdict};

pub(crate) fn run(args: &Drain, ui: &Ui, daemon: &mut Client) -> Result<(), Error> {
    let status = daemon.call(&Status::default())?;
    let ids = servers::find(&status, &args.servers)?;
    ui.warn_left_alone(&servers::left_alone(&status, &ids));

    let interrupt = Interrupt::catch()?;
    let wanted = Wanted {
        move_sticky: args.move_sticky,
        lasts: args.lasts,
        ..Wanted::new(Admin::Drain, args.why.reason.clone())
    };
    let set = servers::set_all(daemon, ui, &ids, &wanted)?;
    let mut awaited = Awaited::each(ids, set);
    if args.no_wait {
        for server in &awaited {
            ui.say(&without_waiting(server));
        }
        warn_of_returning(ui, &awaited);
        return ui.json_if_asked(|| report(&awaited));
    }

    wait_for_all(args.timeout, ui, daemon, &mut awaited, &interrupt)?;
    if args.on_timeout == OnTimeout::Maint {
        maint_the_expired(ui, daemon, &mut awaited, &wanted)?;
    }
    warn_of_returning(ui, &awaited);
    match failure(&awaited, args.lasts, interrupt.pressed()) {
        Some(error) => Err(Error::Wait {
            error,
            servers: Box::new(Unfinished::Drain(report(&awaited).servers)),
        }),
        None => ui.json_if_asked(|| report(&awaited)),
    }
}

fn wait_for_all(
    patience: Duration,
    ui: &Ui,
    daemon: &mut Client,
    awaited: &mut [Awaited],
    interrupt: &Interrupt,
) -> Result<(), ErrorReply> {
    let mut most: Vec<u64> = awaited.iter().map(|server| server.now.sessions).collect();
    let mut progress = Progress::new(ui, awaited.iter().map(|server| &server.id));
    let judge = |now: &_, waited| wait::drained(now, waited, patience);
    let waited = wait::until(daemon, awaited, judge, interrupt, |at, server| {
        let left = server.now.sessions;
        // Sticky clients may still come: the bar's whole grows with them.
        most[at] = most[at].max(left);
        match server.verdict {
            Verdict::Done => progress.end(at, Some(&drained(server))),
            Verdict::Waiting => progress.show(
                at,
                &Step {
                    text: step(server, most[at]),
                    done: Some((most[at] - left, most[at])),
                    waited: server.waited,
                    until: patience,
                },
            ),
            Verdict::Overruled(_) | Verdict::Expired => progress.end(at, None),
        }
    });
    waited.map_err(|error| lost(error, awaited))
}

/// `3 of 12 sessions left, 41 sticky clients still come`
fn step(server: &Awaited, most: u64) -> String {
    let left = server.now.sessions;
    let text = format!("{left} of {} left", words::sessions(most));
    match returning(&server.now) {
        Some(clients) => format!("{text}, {} still come", words::sticky_clients(clients)),
        None => text,
    }
}

/// The clients that may begin new sessions on a drained server, for their cookie names it.
fn returning(server: &ServerStatus) -> Option<u64> {
    let may_come = server.admin == Admin::Drain && !server.move_sticky;
    server
        .sticky_clients
        .filter(|clients| *clients > 0 && may_come)
}

/// Says why sessions may begin again though there were none a moment ago.
fn warn_of_returning(ui: &Ui, awaited: &[Awaited]) {
    for server in awaited {
        if let Some(clients) = returning(&server.now) {
            ui.warn(&comes_again(&server.id, clients));
        }
    }
}

fn comes_again(id: &ServerId, clients: u64) -> String {
    let them = if clients == 1 { "it" } else { "them" };
    let lbctl = there::lbctl();
    format!(
        "{} came to {id} in the last minute, and sessions may begin again: \
         `{lbctl} drain --move-sticky {id}` sends {them} elsewhere, `{lbctl} maint {id}` everybody",
        words::sticky_clients(clients)
    )
}

fn without_waiting(server: &Awaited) -> String {
    let (id, until) = (&server.id, words::until(&server.now));
    match server.now.sessions {
        0 => format!("{id} is drained{until}: no sessions are running"),
        left => format!(
            "{id} takes no new sessions{until}; {} to finish",
            words::sessions(left)
        ),
    }
}

fn drained(server: &Awaited) -> String {
    let (id, until) = (&server.id, words::until(&server.now));
    if server.waited < wait::AT_ONCE {
        return format!("{id} is drained{until}: no sessions are running");
    }
    let waited = duration::words(server.waited);
    format!("{id} is drained{until}: no sessions left after {waited}")
}

/// What `--on-timeout maint` asks for: sessions that would not end may finish in maint.
fn maint_the_expired(
    ui: &Ui,
    daemon: &mut Client,
    awaited: &mut [Awaited],
    drained: &Wanted,
) -> Result<(), ErrorReply> {
    for server in awaited {
        if server.verdict != Verdict::Expired {
            continue;
        }
        let wanted = Wanted {
            // What is left of it.
            lasts: drained
                .lasts
                .map(|lasts| lasts.saturating_sub(server.waited)),
            ..Wanted::new(Admin::Maint, drained.reason.clone())
        };
        let ids = std::slice::from_ref(&server.id);
        let set = servers::set_all(daemon, ui, ids, &wanted)?;
        if let Some(set) = set.into_iter().next() {
            server.now = set.server;
            server.not_kept = set.not_kept;
        }
        server.verdict = Verdict::Done;
        ui.warn(&format!(
            "{} still has {} after {}; it is in maint now{}, where they may finish",
            server.id,
            words::sessions(server.now.sessions),
            duration::words(server.waited),
            words::until(&server.now)
        ));
    }
    Ok(())
}

/// Why the drain as a whole failed, if it did: what somebody else did outweighs what took long.
fn failure(awaited: &[Awaited], lasts: Option<Duration>, interrupted: bool) -> Option<ErrorReply> {
    let overruled = awaited
        .iter()
        .find(|server| matches!(server.verdict, Verdict::Overruled(_)));
    if let Some(server) = overruled {
        let (id, admin) = (&server.id, server.now.admin);
        let message = match lasts.filter(|lasts| server.waited >= *lasts) {
            Some(lasts) => {
                let lasts = duration::words(lasts);
                format!("{id} is {admin} again: the {lasts} of --for were over while it drained")
            }
            None => format!("{id} was set {admin} by someone else while it drained"),
        };
        let error = ErrorReply::new(ErrorCode::Failed, message);
        return Some(match still_waiting(awaited) {
            rest if rest.is_empty() => error,
            rest => error.hint(format!("stopped waiting; {rest}")),
        });
    }
    let expired: Vec<&Awaited> = of(awaited, Verdict::Expired);
    if let Some(first) = expired.first() {
        let left: Vec<String> = expired
            .iter()
            .map(|server| {
                format!(
                    "{} still has {}",
                    server.id,
                    words::sessions(server.now.sessions)
                )
            })
            .collect();
        let stays = if expired.len() == 1 {
            "it stays"
        } else {
            "they stay"
        };
        let waited = duration::words(first.waited);
        return Some(
            ErrorReply::new(
                ErrorCode::TimedOut,
                format!(
                    "{} after {waited}; {stays} drained{}",
                    left.join(", "),
                    words::until(&first.now)
                ),
            )
            .hint(format!(
                "drain again to wait on, or give up on them: {} maint {}",
                there::lbctl(),
                ids(&expired)
            )),
        );
    }
    if interrupted && !of(awaited, Verdict::Waiting).is_empty() {
        return Some(
            ErrorReply::new(
                ErrorCode::Interrupted,
                format!("stopped waiting; {}", still_waiting(awaited)),
            )
            .hint(format!(
                "back into rotation: {} ready {}",
                there::lbctl(),
                ids(&of(awaited, Verdict::Waiting))
            )),
        );
    }
    None
}

/// `app/web02 stays drained with 3 sessions left`
fn still_waiting(awaited: &[Awaited]) -> String {
    let each: Vec<String> = of(awaited, Verdict::Waiting)
        .iter()
        .map(|server| {
            format!(
                "{} stays drained{} with {} left",
                server.id,
                words::until(&server.now),
                words::sessions(server.now.sessions)
            )
        })
        .collect();
    each.join(", ")
}

/// Says what was being waited for when the daemon went away.
fn lost(mut error: ErrorReply, awaited: &[Awaited]) -> ErrorReply {
    let waiting: Vec<ServerId> = of(awaited, Verdict::Waiting)
        .iter()
        .map(|server| server.id.clone())
        .collect();
    error.message = format!(
        "{} (while waiting for {})",
        error.message,
        servers::join(&waiting)
    );
    error
}

fn of(awaited: &[Awaited], verdict: Verdict) -> Vec<&Awaited> {
    awaited
        .iter()
        .filter(|server| server.verdict == verdict)
        .collect()
}

fn ids(servers: &[&Awaited]) -> String {
    let names: Vec<String> = servers.iter().map(|server| server.id.to_string()).collect();
    names.join(" ")
}

fn report(awaited: &[Awaited]) -> Servers<Drained> {
    let each = awaited.iter().map(|server| Drained {
        admin: server.now.admin,
        drained: server.now.admin != Admin::Ready && server.now.sessions == 0,
        move_sticky: server.now.move_sticky,
        not_kept: server.not_kept.clone(),
        server: server.id.clone(),
        sessions: server.now.sessions,
        sticky_clients: server.now.sticky_clients,
        until: words::until_when(&server.now),
        waited_s: server.waited_s(),
        was: server.was,
    });
    Servers {
        servers: each.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::sample;

    fn awaited(id: &str, admin: Admin, sessions: u64, verdict: Verdict) -> Awaited {
        Awaited {
            id: id.parse().unwrap(),
            was: Admin::Ready,
            not_kept: None,
            now: ServerStatus {
                admin,
                sessions,
                ..sample::server("web01")
            },
            waited: Duration::from_secs(90),
            verdict,
        }
    }

    fn failed(servers: &[Awaited], interrupted: bool) -> (ErrorCode, String) {
        let error = failure(servers, None, interrupted).expect("it failed");
        (error.code, error.message)
    }

    #[test]
    fn a_drain_that_ended_did_not_fail_though_ctrl_c_came_late() {
        let servers = [awaited("app/web01", Admin::Drain, 0, Verdict::Done)];
        assert_eq!(failure(&servers, None, true), None);
    }

    #[test]
    fn a_timeout_says_what_is_left_and_that_the_drain_holds() {
        let servers = [
            awaited("app/web01", Admin::Drain, 3, Verdict::Expired),
            awaited("app/web02", Admin::Drain, 1, Verdict::Expired),
            awaited("app/web03", Admin::Drain, 0, Verdict::Done),
        ];
        assert_eq!(
            failed(&servers[..1], false),
            (
                ErrorCode::TimedOut,
                "app/web01 still has 3 sessions after 1m30s; it stays drained".to_owned()
            )
        );
        assert_eq!(
            failed(&servers, false).1,
            "app/web01 still has 3 sessions, app/web02 still has 1 session after 1m30s; \
             they stay drained"
        );
    }

    #[test]
    fn what_somebody_else_did_outweighs_a_timeout() {
        let servers = [
            awaited("app/web01", Admin::Drain, 3, Verdict::Expired),
            awaited(
                "app/web02",
                Admin::Ready,
                5,
                Verdict::Overruled(Admin::Ready),
            ),
        ];
        assert_eq!(
            failed(&servers, false),
            (
                ErrorCode::Failed,
                "app/web02 was set ready by someone else while it drained".to_owned()
            )
        );
        let error = failure(&servers, Some(Duration::from_secs(60)), false);
        assert_eq!(
            error.expect("it failed").message,
            "app/web02 is ready again: the 1m of --for were over while it drained"
        );
    }

    #[test]
    fn ctrl_c_leaves_the_server_drained_and_says_so() {
        let servers = [awaited("app/web01", Admin::Drain, 3, Verdict::Waiting)];
        assert_eq!(
            failed(&servers, true),
            (
                ErrorCode::Interrupted,
                "stopped waiting; app/web01 stays drained with 3 sessions left".to_owned()
            )
        );
    }

    #[test]
    fn sticky_clients_are_told_of_while_their_cookies_count() {
        let mut server = awaited("app/web01", Admin::Drain, 3, Verdict::Waiting);
        assert_eq!(step(&server, 12), "3 of 12 sessions left");
        server.now.sticky_clients = Some(0);
        assert_eq!(step(&server, 12), "3 of 12 sessions left");
        server.now.sticky_clients = Some(41);
        assert_eq!(
            step(&server, 12),
            "3 of 12 sessions left, 41 sticky clients still come"
        );
        server.now.move_sticky = true;
        assert_eq!(step(&server, 12), "3 of 12 sessions left");
        server.now.move_sticky = false;
        server.now.admin = Admin::Maint;
        assert_eq!(returning(&server.now), None);
    }

    #[test]
    fn the_report_is_what_scripts_know() {
        let servers = [awaited("app/web01", Admin::Drain, 0, Verdict::Done)];
        let expected = serde_json::json!({ "servers": [{
            "server": "app/web01", "was": "ready", "admin": "drain",
            "sessions": 0, "sticky_clients": null, "move_sticky": false, "waited_s": 90.0, "drained": true,
        }] });
        assert_eq!(serde_json::to_value(report(&servers)).unwrap(), expected);
    }
}
