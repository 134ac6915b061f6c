//! `events`: what happened lately, and who asked for what.

use jiff::Timestamp;
use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::event::Event;
use lb_proto::reply;
use lb_proto::request::Events;

use crate::control::Control;

/// Records in one answer: a few MiB.
const MOST: usize = 10_000;

pub(in crate::control) async fn run(
    call: &Events,
    control: &Control,
) -> Result<reply::Events, ErrorReply> {
    let since = call.since.as_deref().map(read).transpose()?;
    let events = match call.audit {
        true => {
            let records = control.audit.read(since, MOST).await;
            records.into_iter().map(Event::Audit).collect()
        }
        false => control.shared.recent(since),
    };
    Ok(reply::Events { events })
}

fn read(since: &str) -> Result<Timestamp, ErrorReply> {
    since.parse().map_err(|error| {
        let message = format!("since is no time of RFC 3339: {error}");
        ErrorReply::new(ErrorCode::BadRequest, message).hint("as in \"2026-11-27T18:30:00Z\"")
    })
}
