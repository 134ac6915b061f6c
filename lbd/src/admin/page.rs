//! Which page is which: from the head of a request to the whole answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, ETAG, IF_NONE_MATCH, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::action::{self, Of};
use super::assets::{self, Asset};
use super::host::{self, Bound, is_ours};
use super::http::Upload;
use super::metrics::{self, Format, Reloads};
use super::response::{Body, JSON, Refusal, text, whole};
use super::visitor::Visitor;
use super::{Site, dashboard, events};

/// No page has a longer name.
const MAX_TARGET: usize = 2048;

const HTML: &str = "text/html; charset=utf-8";
const EVENTS: &str = "text/event-stream";

/// For names that never mean anything else; for the browser alone: others may have to log in.
const FOR_EVER: &str = "private, max-age=31536000, immutable";

/// In seconds, where all streams are taken, or all large answers.
const LATER: u64 = 5;

/// How long a large answer waits for those before it.
const LARGE_WAITS: Duration = Duration::from_secs(15);

/// Whose connection a request came on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    /// By TLS.
    pub(super) secure: bool,
}

/// A request, but for its body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) head: &'a Parts,
    pub(super) peer: Peer,
}

/// Whom a page is for.
#[derive(Debug, Clone, Copy)]
enum Page<'a> {
    Health,
    Inner(Inner),
    /// The state of a server, to be set.
    State(Of<'a>),
}

/// What is for those who log in, where anybody has to.
#[derive(Debug, Clone, Copy)]
enum Inner {
    Dashboard,
    /// What the dashboard is told of changes.
    Live,
    Asset(&'static Asset),
    Metrics,
    Status,
    Events,
}

impl<'a> Page<'a> {
    fn at(path: &'a str) -> Option<Self> {
        match path {
            "/healthz" => Some(Self::Health),
            path => match Inner::at(path) {
                Some(page) => Some(Self::Inner(page)),
                None => Of::path(path).map(Self::State),
            },
        }
    }

    /// Programs ask for it by whatever name they know, and there is nothing in it that a foreign page could use.
    fn is_for_any_name(self) -> bool {
        matches!(self, Self::Health | Self::Inner(Inner::Metrics))
    }

    fn is_a_change(self) -> bool {
        matches!(self, Self::State(_))
    }

    fn methods(self) -> &'static [Method] {
        match self.is_a_change() {
            true => &[Method::POST],
            false => &[Method::GET, Method::HEAD],
        }
    }
}

impl Inner {
    fn at(path: &str) -> Option<Self> {
        match path {
            "/" => Some(Self::Dashboard),
            "/live" => Some(Self::Live),
            "/metrics" => Some(Self::Metrics),
            "/api/v1/status" => Some(Self::Status),
            "/api/v1/events" => Some(Self::Events),
            path => assets::at(path).map(Self::Asset),
        }
    }
}

pub(super) async fn answer(
    asked: Asked<'_>,
    upload: &mut Upload,
    site: &Arc<Site>,
) -> Response<Body> {
    let page = Page::at(asked.head.uri.path());
    let answered = try_answer(page, asked, upload, site).await;
    answered.unwrap_or_else(|refusal| match page.is_some_and(Page::is_a_change) {
        true => refusal.in_json(),
        false => refusal.in_text(),
    })
}

async fn try_answer(
    page: Option<Page<'_>>,
    asked: Asked<'_>,
    upload: &mut Upload,
    site: &Arc<Site>,
) -> Result<Response<Body>, Refusal> {
    let head = asked.head;
    let target = head.uri.path_and_query();
    if target.is_some_and(|target| target.as_str().len() > MAX_TARGET) {
        let message = "no page has such a long name";
        return Err(Refusal::new(StatusCode::URI_TOO_LONG, message));
    }
    if !page.is_some_and(Page::is_for_any_name) {
        refuse_strangers(asked, site)?;
    }
    let page = page.ok_or_else(|| {
        Refusal::new(StatusCode::NOT_FOUND, "there is no such page here")
            .hint("/, /healthz, /metrics, /api/v1/status, /api/v1/events")
    })?;
    if !page.methods().contains(&head.method) {
        return Err(other_method(page));
    }
    match page {
        Page::Health => Ok(health(site)),
        Page::Inner(page) => {
            let visitor = Visitor::of(asked, site).await?;
            inner(page, head, &visitor, site).await
        }
        Page::State(of) => action::answer(of, asked, upload, site).await,
    }
}

async fn inner(
    page: Inner,
    head: &Parts,
    visitor: &Visitor,
    site: &Arc<Site>,
) -> Result<Response<Body>, Refusal> {
    match page {
        Inner::Metrics => large(site, metrics(head, site)).await,
        Inner::Status => large(site, status(site)).await,
        Inner::Dashboard => large(site, dashboard(visitor, site)).await,
        Inner::Asset(asset) => Ok(unchanging(head, asset)),
        Inner::Live => {
            let place = place(site)?;
            let pieces = dashboard::stream(site, place);
            Ok(stream(pieces.take_until(visitor.leaves(site)).boxed()))
        }
        Inner::Events => {
            let place = place(site)?;
            let pieces = events::stream(&site.shared, place);
            Ok(stream(pieces.take_until(visitor.leaves(site)).boxed()))
        }
    }
}

/// One whose size is that of the configuration: there are few at once, made or being taken.
async fn large(
    site: &Site,
    answer: impl Future<Output = Result<Response<Body>, Refusal>>,
) -> Result<Response<Body>, Refusal> {
    let held = timeout(LARGE_WAITS, site.large.clone().acquire_owned()).await;
    let Ok(Ok(held)) = held else {
        let message = "others read as many large answers as may be";
        let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message);
        return Err(refusal.hint("come again").header(RETRY_AFTER, LATER.into()));
    };
    Ok(answer.await?.map(|body| body.holding(held)))
}

fn health(site: &Site) -> Response<Body> {
    match site.shared.is_stopping() {
        true => text(StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        false => text(StatusCode::OK, "ok"),
    }
}

/// A page is not shown to whoever asks by another's name.
fn refuse_strangers(asked: Asked<'_>, site: &Site) -> Result<(), Refusal> {
    let Some(host) = host::of(asked.head) else {
        let message = "a request has one Host header";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, message));
    };
    let allowed = site.admin().map(|admin| admin.config.allowed_hosts);
    let bound = Bound {
        address: site.listener.address,
        secure: asked.peer.secure,
    };
    if is_ours(host, bound, &allowed.unwrap_or_default()) {
        return Ok(());
    }
    let message = format!("lbd is not known by the name {host:?}");
    let hint = "use localhost or the address of [admin] bind, or list the name in [admin] \
                allowed_hosts";
    Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, message).hint(hint))
}

fn other_method(page: Page<'_>) -> Refusal {
    let methods: Vec<_> = page.methods().iter().map(Method::as_str).collect();
    let message = match page.is_a_change() {
        true => "this page can only be posted to",
        false => "this page can only be read",
    };
    let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message).hint(methods.join(" or "));
    match HeaderValue::from_str(&methods.join(", ")) {
        Ok(methods) => refusal.header(ALLOW, methods),
        Err(_) => refusal,
    }
}

async fn metrics(head: &Parts, site: &Arc<Site>) -> Result<Response<Body>, Refusal> {
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
async fn status(site: &Site) -> Result<Response<Body>, Refusal> {
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

async fn dashboard(visitor: &Visitor, site: &Arc<Site>) -> Result<Response<Body>, Refusal> {
    let refresh = site.admin().map(|admin| admin.config.refresh);
    let html = dashboard::page(site, visitor, refresh.unwrap_or_default()).await?;
    Ok(whole(StatusCode::OK, HTML, html))
}

fn unchanging(head: &Parts, asset: &'static Asset) -> Response<Body> {
    let mut known = head.headers.get_all(IF_NONE_MATCH).iter();
    let mut response = match known.any(|tag| tag == asset.tag.as_str()) {
        true => whole(StatusCode::NOT_MODIFIED, asset.kind, ""),
        false => whole(StatusCode::OK, asset.kind, asset.text),
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(FOR_EVER));
    if let Ok(tag) = HeaderValue::from_str(&asset.tag) {
        headers.insert(ETAG, tag);
    }
    response
}

/// For one more stream, as long as it is held.
fn place(site: &Site) -> Result<OwnedSemaphorePermit, Refusal> {
    site.streams.clone().try_acquire_owned().map_err(|_| {
        let message = "as many read events as may";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message)
            .hint("close a dashboard, or come again")
            .header(RETRY_AFTER, LATER.into())
    })
}

/// What happens, for as long as somebody reads.
fn stream(pieces: BoxStream<'static, Bytes>) -> Response<Body> {
    let mut response = whole(StatusCode::OK, EVENTS, "");
    *response.body_mut() = Body::Stream(pieces);
    response
}
