//! `/api/v1/events`: what happens, as server-sent events, in the words of the control socket's `watch`.
//!
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html>

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, unfold};
use lb_proto::event::Event;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::error::RecvError;
use tracing::warn;

use crate::state::Shared;

/// Sent first, so that whoever reads knows that it has begun; then how soon to come again.
const BEGINNING: &[u8] = b": what happens from now on\nretry: 2000\n\n";

/// Subscribed before it begins: what happens after its head was read is in it. `place` is held as long as it lasts.
pub(super) fn stream(shared: &Shared, place: OwnedSemaphorePermit) -> BoxStream<'static, Bytes> {
    let beginning = futures_util::stream::iter([Bytes::from_static(BEGINNING)]);
    let happening = unfold((shared.events(), place), |(mut events, place)| async move {
        let event = match events.recv().await {
            Ok(event) => event,
            Err(RecvError::Lagged(events)) => Event::Missed { events },
            Err(RecvError::Closed) => return None,
        };
        Some((message(&event), (events, place)))
    });
    beginning.chain(happening).boxed()
}

fn message(event: &Event) -> Bytes {
    let kind = match event {
        Event::Server { .. } => "server",
        Event::Weight { .. } => "weight",
        Event::Audit(_) => "audit",
        Event::Config { .. } => "config",
        Event::Missed { .. } => "missed",
    };
    let json = serde_json::to_string(event).unwrap_or_else(|error| {
        // No event has keys that are no strings.
        warn!(%error, "an event does not serialise");
        "null".to_owned()
    });
    // JSON has no line breaks, which would end it.
    Bytes::from(format!("event: {kind}\ndata: {json}\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_an_event_ends_it() {
        let event = Event::Config {
            at: "2026-11-27T12:00:00Z".to_owned(),
            generation: 2,
            reason: "a\n\ndata: \"b\"\r".to_owned(),
        };
        let message = String::from_utf8(message(&event).to_vec()).unwrap();
        let lines: Vec<&str> = message.split('\n').collect();
        assert_eq!((lines.len(), lines[0]), (4, "event: config"));
        let json = lines[1].strip_prefix("data: ").unwrap();
        assert_eq!(serde_json::from_str::<Event>(json).unwrap(), event);
        assert_eq!(lines[2..], ["", ""]);
    }
}
