//! `status`: how everything is, once or as it changes.

use std::time::{Duration, Instant};

use lb_proto::client::{Client, Events};
use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::exit::Exit;
use lb_proto::request::Status;
use lb_proto::status::{Overrides, Status as StatusReply};

use crate::args::status::{self as args, Sort};
use crate::arrange;
use crate::error::Error;
use crate::servers;
use crate::ui::{Ui, report};

/// Counters have no events: this is how old they may be.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Events come in bunches (a backend going down); one picture after the bunch is enough.
const SETTLE: Duration = Duration::from_millis(20);

pub(crate) fn run(
    args: &args::Status,
    ui: &Ui,
    connect: impl Fn() -> Result<Client, ErrorReply>,
) -> Result<(), Error> {
    let question = Question {
        call: Status {
            of: args.of.clone(),
        },
        args,
        sort: args.sort.unwrap_or(match ui.wants_json() {
            true => Sort::Config,
            false => Sort::Attention,
        }),
    };
    let mut daemon = connect()?;
    if !args.watch {
        let status = ask(&mut daemon, &question)?;
        return show(ui, &question, &status);
    }
    // Subscribed before the first look, so that no change falls between the two.
    let events = connect()?.watch()?;
    watch(ui, &question, &mut daemon, events)
}

/// What is asked, and how the answer is to be shown.
struct Question<'a> {
    call: Status,
    args: &'a args::Status,
    sort: Sort,
}

fn watch(
    ui: &Ui,
    question: &Question<'_>,
    daemon: &mut Client,
    mut events: Events,
) -> Result<(), Error> {
    let redraws = ui.redraws();
    if redraws {
        ui.make_room()?;
    }
    let mut shown: Option<StatusReply> = None;
    loop {
        let status = ask(daemon, question)?;
        let mut kept = status.clone();
        arrange::keep(&mut kept, &question.args.state);
        let news = shown.as_ref().is_none_or(|before| differs(before, &kept));
        if redraws {
            ui.redraw(&text(ui, question, &status))?;
        } else if news {
            separate(ui, shown.is_some())?;
            show(ui, question, &status)?;
        }
        if news {
            shown = Some(kept);
        }
        wait_for_news(&mut events)?;
    }
}

/// Until something happened, or the counters are due. A nudge never shortens the time to the next
/// picture below [`SETTLE`].
fn wait_for_news(events: &mut Events) -> Result<(), ErrorReply> {
    let due = Instant::now() + BETWEEN_LOOKS;
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if events.next(left)?.is_some() {
            break;
        }
        if left.is_zero() {
            return Ok(());
        }
    }
    let settled = Instant::now() + SETTLE;
    while let Some(left) = settled.checked_duration_since(Instant::now()) {
        events.next(left)?;
    }
    Ok(())
}

/// Asks the daemon; a name it does not know is answered with the one that may have been meant.
fn ask(daemon: &mut Client, question: &Question<'_>) -> Result<StatusReply, ErrorReply> {
    let error = match daemon.call(&question.call) {
        Ok(mut status) => {
            arrange::sort(&mut status, question.sort);
            return Ok(status);
        }
        Err(error) => error,
    };
    let Some(name) = &question.call.of else {
        return Err(error);
    };
    let wrong_name = error.code.exit() == Exit::NoSuchName || error.code == ErrorCode::BadRequest;
    if !wrong_name {
        return Err(error);
    }
    let everything = daemon.call(&Status::default())?;
    Err(servers::unknown(&everything, name))
}

fn show(ui: &Ui, question: &Question<'_>, status: &StatusReply) -> Result<(), Error> {
    if ui.wants_json() {
        let mut kept = status.clone();
        arrange::keep(&mut kept, &question.args.state);
        return ui.json(&kept);
    }
    let text = text(ui, question, status);
    if text.is_empty() {
        ui.say("no server is in such a state");
    }
    ui.data(&text)
}

fn text(ui: &Ui, question: &Question<'_>, status: &StatusReply) -> String {
    let canvas = ui.canvas();
    let only = &question.args.state;
    match &question.call.of {
        None if !only.is_empty() => report::backends(status, only, &canvas),
        None => report::everything(status, &canvas),
        Some(name) if name.contains('/') => report::server(status, &canvas),
        Some(_) => report::backends(status, only, &canvas),
    }
}

fn separate(ui: &Ui, again: bool) -> Result<(), Error> {
    if again && !ui.wants_json() {
        return ui.data("\n");
    }
    Ok(())
}

/// Whether anything but time has passed. A check that found the same again is no news.
fn differs(before: &StatusReply, now: &StatusReply) -> bool {
    timeless(before.clone()) != timeless(now.clone())
}

fn timeless(mut status: StatusReply) -> StatusReply {
    status.daemon.uptime_s = 0;
    if let Some(trial) = &mut status.daemon.config.trial {
        trial.confirm_left_s = None;
        trial.watched_left_s = None;
    }
    for server in status.backends.iter_mut().flat_map(|b| &mut b.servers) {
        server.changed_s = 0;
        if let Some(host) = &mut server.host {
            host.failing_s = host.failing_s.map(|_| 0);
        }
        if let Some(ejected) = &mut server.ejected {
            ejected.left_s = 0;
        }
        if let Some(check) = &mut server.last_check {
            check.at.clear();
            check.latency_ms = 0.0;
        }
        let Overrides { admin, weight } = &mut server.overrides;
        for set in [admin, weight].into_iter().flatten() {
            set.age_s = 0;
            set.left_s = set.left_s.map(|_| 0);
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::sample;

    #[test]
    fn time_that_passes_is_no_news() {
        let before = sample::status();
        let mut now = before.clone();
        now.daemon.uptime_s += 1;
        now.backends[0].servers[0].changed_s += 1;
        if let Some(check) = &mut now.backends[0].servers[0].last_check {
            check.at = "2026-11-23T20:31:13Z".to_owned();
            check.latency_ms = 9.0;
        }
        assert!(!differs(&before, &now));
        now.backends[0].servers[0].sessions += 1;
        assert!(differs(&before, &now));
    }
}
