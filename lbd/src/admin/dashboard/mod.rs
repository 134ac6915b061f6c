//! The dashboard: one page that tells how everything is, and what of it changes while it is looked at.
//!
//! `view` makes texts of the status, of the last minutes and of what happened lately; `html` is the page, `live` the
//! updates. Whatever the texts hold, they are shown as text: `html` escapes, and `page.js` writes no markup.

mod attention;
mod html;
mod live;
mod rows;
mod server;
mod spark;
mod tables;
#[cfg(test)]
mod tests;
mod told;
mod view;
mod words;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use lb_proto::error::{ErrorCode, ErrorReply};
use tokio::task::spawn_blocking;

use self::live::Shown;
use self::view::{Seen, View};
use self::words::Clock;
use super::visitor::Visitor;
use super::{Site, token};

pub(super) use self::live::{Live, run, stream};

/// The whole page as it is now, for this one; `refresh` is how often it is loaded again without JavaScript.
pub(super) async fn page(
    site: &Arc<Site>,
    visitor: &Visitor,
    refresh: Duration,
) -> Result<String, ErrorReply> {
    let shown = look(site).await?;
    let token = site.token_for(visitor).await;
    let written =
        spawn_blocking(move || html::page(&shown.view, &shown.layout, refresh, token.as_deref()));
    written.await.map_err(|_| unwritten())
}

/// Makes a view, one at a time: each takes a while where there are thousands of servers.
async fn look(site: &Arc<Site>) -> Result<Shown, ErrorReply> {
    let _turn = site.views.lock().await;
    let status = (site.knows.status)().await?;
    // Pages of another token are loaded again, too.
    let acts = site.admin().is_some_and(|admin| admin.config.actions);
    let token = match acts {
        true => token::of_page(site.token.value().await, None),
        false => String::new(),
    };
    let site = site.clone();
    let made = spawn_blocking(move || {
        let events = site.shared.recent(None);
        let clock = Clock {
            now: Timestamp::now(),
            zone: TimeZone::system(),
        };
        let view = View::of(&Seen {
            status: &status,
            history: &site.history.read(),
            events: &events,
            clock: &clock,
            host: &site.host,
            stopping: site.shared.is_stopping(),
        });
        let layout = layout(&view, &token);
        Shown { view, layout }
    });
    made.await.map_err(|_| unwritten())
}

/// A name for which rows there are, in which order, and for what pages carry beside them.
fn layout(view: &View, token: &str) -> String {
    let mut hasher = DefaultHasher::new();
    for row in view.rows() {
        row.key.hash(&mut hasher);
    }
    lb_proto::VERSION.hash(&mut hasher);
    token.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// A bug, which the log tells of.
fn unwritten() -> ErrorReply {
    ErrorReply::new(ErrorCode::Failed, "the page cannot be written; see the log")
}
