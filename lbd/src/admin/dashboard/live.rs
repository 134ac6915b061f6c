//! What of the page has changed, as browsers that have it are told by `/live`: an update a second at most.
//!
//! A view is made once for all that look, and only while somebody does. Each stream remembers what it has told, so
//! who reads slowly is told the difference to then, and nothing piles up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, unfold};
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, OwnedSemaphorePermit, watch};
use tokio::time::sleep;

use super::view::View;
use crate::admin::Site;

/// Between two updates where nothing happens but that figures change.
const PAUSE: Duration = Duration::from_secs(1);

/// How soon after something has happened: more of it may follow.
const SOON: Duration = Duration::from_millis(200);

/// How much longer the pause is than the making took, so that thousands of servers take no CPU for themselves.
const SHARE: u32 = 10;

/// How soon a browser comes again.
const RETRY: &str = "retry: 2000\n";

/// A view, and the name of its rows' order.
#[derive(Debug)]
pub(in crate::admin) struct Shown {
    pub(super) view: View,
    pub(super) layout: String,
}

/// The view that all streams tell of.
#[derive(Debug, Default)]
pub(in crate::admin) struct Live {
    latest: watch::Sender<Option<Arc<Shown>>>,
    wanted: Notify,
}

/// Keeps the view fresh while somebody looks, until it is dropped.
pub(in crate::admin) async fn run(site: &Arc<Site>) {
    let live = &site.live;
    loop {
        if live.latest.receiver_count() == 0 {
            live.latest.send_replace(None);
            live.wanted.notified().await;
        }
        // What happens while the view is made is told by the next.
        let mut events = site.shared.events();
        let begun = Instant::now();
        if let Ok(shown) = super::look(site).await {
            live.latest.send_replace(Some(Arc::new(shown)));
        }
        let cost = begun.elapsed() * SHARE;
        tokio::select! {
            () = sleep(PAUSE.max(cost)) => {}
            _ = events.recv() => sleep(SOON.max(cost)).await,
        }
    }
}

/// Updates for one browser; the first has everything. `place` is held as long as it lasts.
pub(in crate::admin) fn stream(
    site: &Site,
    place: OwnedSemaphorePermit,
) -> BoxStream<'static, Bytes> {
    let latest = site.live.latest.subscribe();
    site.live.wanted.notify_one();
    let told: Option<Arc<Shown>> = None;
    unfold(
        (latest, told, place),
        |(mut latest, told, place)| async move {
            let is_news = |shown: &Option<Arc<Shown>>| match (shown, &told) {
                (Some(shown), Some(told)) => !Arc::ptr_eq(shown, told),
                (shown, None) => shown.is_some(),
                (None, Some(_)) => false,
            };
            let shown = latest.wait_for(is_news).await.ok()?.clone()?;
            let update = message(told.as_deref(), &shown);
            Some((update, (latest, Some(shown), place)))
        },
    )
    .boxed()
}

/// A message for a browser that was told `before`; `None`: nothing of it yet.
fn message(before: Option<&Shown>, now: &Shown) -> Bytes {
    let mut rows = Map::new();
    // A page of another layout is loaded again.
    let before = before.filter(|before| before.layout == now.layout);
    let known = before.map(|before| before.view.rows());
    let mut known = known.into_iter().flatten();
    for row in now.view.rows() {
        let was = known.next().map(|row| &row.cells);
        let changed = object(row.cells.changed_since(was));
        if !changed.is_empty() {
            rows.insert(row.key.clone(), Value::Object(changed));
        }
    }
    let mut lists = Map::new();
    for (at, (name, lines)) in now.view.lists().into_iter().enumerate() {
        let was = before.map(|before| before.view.lists()[at].1);
        if was != Some(lines) {
            let lines = lines.iter().map(|line| Value::Object(object(line.iter())));
            lists.insert(name.to_owned(), lines.collect());
        }
    }
    let update = json!({ "layout": now.layout, "rows": rows, "lists": lists });
    let retry = if before.is_none() { RETRY } else { "" };
    // JSON has no line breaks, which would end it.
    Bytes::from(format!("{retry}data: {update}\n\n"))
}

fn object<'a>(cells: impl Iterator<Item = (&'static str, &'a str)>) -> Map<String, Value> {
    cells
        .map(|(name, text)| (name.to_owned(), text.into()))
        .collect()
}
