//! The latest events, in words. Pure.

use lb_proto::audit::{Audit, Outcome};
use lb_proto::event::Event;
use lb_proto::state::State;

use super::view::Cells;
use super::words::{Clock, who};

const MOST: usize = 30;

/// Latest first. What was asked for and done is told by what it changed.
pub(super) fn list(events: &[Event], clock: &Clock) -> Vec<Cells> {
    let told = events.iter().rev().filter_map(|event| cells(event, clock));
    told.take(MOST).collect()
}

fn cells(event: &Event, clock: &Clock) -> Option<Cells> {
    let (look, what, text) = match event {
        Event::Server {
            server,
            was,
            state,
            ejected,
            reason,
            ..
        } => {
            let look = match state {
                State::Up if *ejected => "ejected",
                state => state.as_str(),
            };
            let change = match was == state {
                true => String::new(),
                false => format!("{was} → {state}: "),
            };
            (look, server.to_string(), format!("{change}{reason}"))
        }
        Event::Weight {
            server,
            was,
            weight,
            reason,
            ..
        } => (
            "note",
            server.to_string(),
            format!("weight {was} → {weight}, {reason}"),
        ),
        Event::Config {
            generation, reason, ..
        } => (
            "note",
            "configuration".to_owned(),
            format!("generation {generation}: {reason}"),
        ),
        Event::Audit(record) if record.outcome != Outcome::Done => {
            let on = record.on.clone();
            (
                "warn",
                on.unwrap_or_else(|| "lbd".to_owned()),
                refused(record),
            )
        }
        Event::Audit(_) | Event::Missed { .. } => return None,
    };
    let at = event.at().unwrap_or_default();
    let cells = Cells::default()
        .with("look", look)
        .with("icon", format!("#i-{look}"))
        .with("at", at)
        .with("clock", clock.time(at))
        .with("what", what)
        .with("text", text);
    Some(cells)
}

fn refused(record: &Audit) -> String {
    let error = record.error.as_deref().unwrap_or_default();
    let outcome = record.outcome.as_str();
    format!("{} by {} {outcome}: {error}", record.what, who(&record.by))
}
