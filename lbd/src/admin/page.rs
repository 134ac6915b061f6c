//! Which page is which: from the head of a request to the whole answer.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use tokio::task::spawn_blocking;

use super::Site;
use super::action::{self, Of};
use super::host::{self, is_ours};
use super::http::Upload;
use super::metrics::{self, Format, Reloads};
use super::response::{JSON, Refusal, text, whole};
use super::visitor::Visitor;

/// No page has a longer name.
const MAX_TARGET: usize = 2048;

/// A request, but for its body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) head: &'a Parts,
    /// Whose connection it came on.
    pub(super) from: IpAddr,
}

/// Whom a page is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page<'a> {
    Health,
    Metrics,
    Status,
    /// The state of a server, to be set.
    State(Of<'a>),
}

impl<'a> Page<'a> {
    fn at(path: &'a str) -> Option<Self> {
        match path {
            "/healthz" => Some(Self::Health),
            "/metrics" => Some(Self::Metrics),
            "/api/v1/status" => Some(Self::Status),
            _ => Of::path(path).map(Self::State),
        }
    }

    /// Programs ask for it by whatever name they know, and there is nothing in it that a foreign page could use.
    fn is_for_anybody(self) -> bool {
        matches!(self, Self::Health | Self::Metrics)
    }

    fn methods(self) -> &'static [Method] {
        match self {
            Self::State(_) => &[Method::POST],
            _ => &[Method::GET, Method::HEAD],
        }
    }
}

pub(super) async fn answer(asked: Asked<'_>, upload: Upload, site: &Arc<Site>) -> Response<Bytes> {
    let page = Page::at(asked.head.uri.path());
    let answered = try_answer(page, asked, upload, site).await;
    answered.unwrap_or_else(|refusal| match page {
        Some(Page::State(_)) => refusal.in_json(),
        _ => refusal.in_text(),
    })
}

async fn try_answer(
    page: Option<Page<'_>>,
    asked: Asked<'_>,
    upload: Upload,
    site: &Arc<Site>,
) -> Result<Response<Bytes>, Refusal> {
    let head = asked.head;
    let target = head.uri.path_and_query();
    if target.is_some_and(|target| target.as_str().len() > MAX_TARGET) {
        let message = "no page has such a long name";
        return Err(Refusal::new(StatusCode::URI_TOO_LONG, message));
    }
    if !page.is_some_and(Page::is_for_anybody) {
        refuse_strangers(head, site)?;
    }
    let page = page.ok_or_else(|| {
        Refusal::new(StatusCode::NOT_FOUND, "there is no such page here")
            .hint("/healthz, /metrics, /api/v1/status")
    })?;
    if !page.methods().contains(&head.method) {
        return Err(other_method(page));
    }
    let visitor = Visitor::of(asked, site);
    match page {
        Page::Health if site.shared.is_stopping() => {
            Ok(text(StatusCode::SERVICE_UNAVAILABLE, "stopping"))
        }
        Page::Health => Ok(text(StatusCode::OK, "ok")),
        Page::Metrics => metrics(head, site).await,
        Page::Status => status(site).await,
        Page::State(of) => action::answer(of, asked, upload, &visitor, site).await,
    }
}

/// A page is not shown to whoever asks by another's name.
fn refuse_strangers(head: &Parts, site: &Site) -> Result<(), Refusal> {
    let Some(host) = host::of(head) else {
        let message = "a request has one Host header";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, message));
    };
    let allowed = site.admin().map(|admin| admin.config.allowed_hosts);
    if is_ours(host, site.listener.address, &allowed.unwrap_or_default()) {
        return Ok(());
    }
    let message = format!("lbd is not known by the name {host:?}");
    let hint = "use localhost or the address of [admin] bind, or list the name in [admin] \
                allowed_hosts";
    Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, message).hint(hint))
}

fn other_method(page: Page<'_>) -> Refusal {
    let methods: Vec<_> = page.methods().iter().map(Method::as_str).collect();
    let message = match page {
        Page::State(_) => "this page can only be posted to",
        _ => "this page can only be read",
    };
    let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message).hint(methods.join(" or "));
    match HeaderValue::from_str(&methods.join(", ")) {
        Ok(methods) => refusal.header(ALLOW, methods),
        Err(_) => refusal,
    }
}

async fn metrics(head: &Parts, site: &Arc<Site>) -> Result<Response<Bytes>, Refusal> {
    let accept = head.headers.get_all(ACCEPT).iter();
    let format = Format::wanted(accept.filter_map(|value| value.to_str().ok()));
    let reloads = Reloads {
        last: (site.knows.last_reload)(),
        trial: (site.knows.trial)(),
    };
    let _turn = site.scrapes.lock().await;
    let shared = site.shared.clone();
    let written = spawn_blocking(move || metrics::write(&shared, &reloads, format));
    let text = written.await.map_err(|_| unwritten("metrics"))?;
    Ok(whole(StatusCode::OK, format.content_type(), text))
}

/// A bug, which the log tells of.
fn unwritten(what: &str) -> Refusal {
    let message = format!("the {what} cannot be written");
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message).hint("see the log")
}

/// What `lbctl status --json` prints.
async fn status(site: &Site) -> Result<Response<Bytes>, Refusal> {
    let status = (site.knows.status)().await?;
    // That of thousands of servers takes a while.
    match spawn_blocking(move || serde_json::to_vec(&status)).await {
        Ok(Ok(mut json)) => {
            json.push(b'\n');
            Ok(whole(StatusCode::OK, JSON, json))
        }
        _ => Err(unwritten("status")),
    }
}
