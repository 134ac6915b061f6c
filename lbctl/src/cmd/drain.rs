//! `drain`: no new sessions, then waits until the running ones have finished.

use std::time::Duration;

use lb_proto::client::Client;
use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::name::ServerId;
use lb_proto::request::Status;
use lb_proto::state::Admin;
use serde_json::{Value, json};

use crate::args::{Drain, OnTimeout};
use crate::duration;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::servers;
use crate::ui::progress::{Progress, Step};
use crate::ui::{Ui, words};
use crate::wait::{self, Awaited, Verdict};

pub(crate) fn run(args: &Drain, ui: &Ui, daemon: &mut Client) -> Result<(), Error> {
    let status = daemon.call(&Status::default())?;
    let ids = servers::find(&status, &args.servers)?;
    ui.warn_left_alone(&servers::left_alone(&status, &ids));

    let interrupt = Interrupt::catch()?;
    let set = servers::set_all(daemon, &ids, Admin::Drain)?;
    let mut awaited = Awaited::each(ids, set);
    if args.no_wait {
        for server in &awaited {
            ui.say(&without_waiting(server));
        }
        return ui.json_if_asked(|| json!({ "servers": report(&awaited) }));
    }

    wait_for_all(args.timeout, ui, daemon, &mut awaited, &interrupt)?;
    if args.on_timeout == OnTimeout::Maint {
        maint_the_expired(ui, daemon, &mut awaited)?;
    }
    match failure(&awaited, &interrupt) {
        Some(error) => Err(Error::Wait {
            error,
            servers: report(&awaited),
        }),
        None => ui.json_if_asked(|| json!({ "servers": report(&awaited) })),
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
    let mut progress = Progress::new(ui, awaited.iter().map(|server| &server.id), patience);
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
                    text: format!("{left} of {} left", words::sessions(most[at])),
                    done: Some((most[at] - left, most[at])),
                    waited: server.waited,
                },
            ),
            Verdict::Overruled(_) | Verdict::Expired => progress.end(at, None),
        }
    });
    waited.map_err(|error| lost(error, awaited))
}

fn without_waiting(server: &Awaited) -> String {
    match server.now.sessions {
        0 => format!("{} is drained: no sessions are running", server.id),
        left => format!(
            "{} takes no new sessions; {} to finish",
            server.id,
            words::sessions(left)
        ),
    }
}

fn drained(server: &Awaited) -> String {
    let id = &server.id;
    if server.waited < wait::AT_ONCE {
        return format!("{id} is drained: no sessions are running");
    }
    let waited = duration::words(server.waited);
    format!("{id} is drained: no sessions left after {waited}")
}

/// What `--on-timeout maint` asks for: sessions that would not end may finish in maint.
fn maint_the_expired(
    ui: &Ui,
    daemon: &mut Client,
    awaited: &mut [Awaited],
) -> Result<(), ErrorReply> {
    for server in awaited {
        if server.verdict != Verdict::Expired {
            continue;
        }
        let set = servers::set_all(daemon, std::slice::from_ref(&server.id), Admin::Maint)?;
        if let Some(set) = set.into_iter().next() {
            server.now = set.server;
        }
        server.verdict = Verdict::Done;
        ui.warn(&format!(
            "{} still has {} after {}; it is in maint now, where they may finish",
            server.id,
            words::sessions(server.now.sessions),
            duration::words(server.waited)
        ));
    }
    Ok(())
}

/// Why the drain as a whole failed, if it did: what somebody else did outweighs what took long.
fn failure(awaited: &[Awaited], interrupt: &Interrupt) -> Option<ErrorReply> {
    let overruled = awaited
        .iter()
        .find(|server| matches!(server.verdict, Verdict::Overruled(_)));
    if let Some(server) = overruled {
        let error = ErrorReply::new(
            ErrorCode::Failed,
            format!(
                "{} was set {} by someone else while it drained",
                server.id, server.now.admin
            ),
        );
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
                format!("{} after {waited}; {stays} drained", left.join(", ")),
            )
            .hint(format!(
                "drain again to wait on, or give up on them: lbctl maint {}",
                ids(&expired)
            )),
        );
    }
    if interrupt.pressed() && !of(awaited, Verdict::Waiting).is_empty() {
        return Some(
            ErrorReply::new(
                ErrorCode::Interrupted,
                format!("stopped waiting; {}", still_waiting(awaited)),
            )
            .hint(format!(
                "back into rotation: lbctl ready {}",
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
                "{} stays drained with {} left",
                server.id,
                words::sessions(server.now.sessions)
            )
        })
        .collect();
    each.join(", ")
}

/// A daemon that went away keeps the operator's word in its state folder, or may not.
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

fn report(awaited: &[Awaited]) -> Value {
    awaited
        .iter()
        .map(|server| {
            json!({
                "server": server.id,
                "was": server.was,
                "admin": server.now.admin,
                "sessions": server.now.sessions,
                "waited_s": server.waited_s(),
                "drained": server.now.admin != Admin::Ready && server.now.sessions == 0,
            })
        })
        .collect()
}
