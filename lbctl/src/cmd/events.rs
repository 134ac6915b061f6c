//! `events`: what happened lately, and what happens.

use std::time::Duration;

use jiff::Timestamp;
use lb_proto::client::{Client, Events as Stream};
use lb_proto::error::ErrorReply;
use lb_proto::event::Event;
use lb_proto::request::Events as Call;

use crate::args::events::{Events, Since};
use crate::error::Error;
use crate::ui::{Ui, events};

/// Between two looks whether the daemon is still there; it tells by itself.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

pub(crate) fn run(
    args: &Events,
    ui: &Ui,
    connect: impl Fn() -> Result<Client, ErrorReply>,
) -> Result<(), Error> {
    let since = args.since.map(|since| match since {
        Since::Time(time) => time,
        Since::Ago(ago) => Timestamp::now()
            .saturating_sub(ago)
            .unwrap_or(Timestamp::MIN),
    });
    let since = since.map(|since| since.to_string());
    // Subscribed before the look, so that nothing falls between the two.
    let stream = match args.no_follow {
        true => None,
        false => Some(connect()?.watch()?),
    };
    let lately = connect()?.call(&Call {
        since,
        audit: args.audit,
    })?;
    for event in &lately.events {
        show(ui, args, event)?;
    }
    match stream {
        Some(stream) => follow(ui, args, stream, lately.events),
        None => Ok(()),
    }
}

fn follow(ui: &Ui, args: &Events, mut stream: Stream, shown: Vec<Event>) -> Result<(), Error> {
    // What happened between the two questions comes as an answer to both, and first.
    let mut shown = shown;
    loop {
        let Some(event) = stream.next(PATIENCE)? else {
            continue;
        };
        if shown.contains(&event) {
            continue;
        }
        if is_wanted(args, &event) {
            shown = Vec::new();
        }
        if let Event::Missed { events } = event {
            ui.warn(&format!(
                "{events} events came faster than they could be shown"
            ));
        }
        show(ui, args, &event)?;
    }
}

fn is_wanted(args: &Events, event: &Event) -> bool {
    matches!(event, Event::Audit(_)) == args.audit
}

fn show(ui: &Ui, args: &Events, event: &Event) -> Result<(), Error> {
    if !is_wanted(args, event) {
        return Ok(());
    }
    match ui.wants_json() {
        true => ui.json(event),
        false => ui.data(&events::line(event, &ui.canvas()).unwrap_or_default()),
    }
}
