//! Which page is which: from the head of a request to the whole answer.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, Version};
use tokio::task::spawn_blocking;

use super::Site;
use super::host::is_ours;
use super::metrics::{self, Format, Reloads};

/// No page has a longer name.
const MAX_TARGET: usize = 2048;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// Whom a page is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    Health,
    Metrics,
    Status,
}

impl Page {
    fn at(path: &str) -> Option<Self> {
        match path {
            "/healthz" => Some(Self::Health),
            "/metrics" => Some(Self::Metrics),
            "/api/v1/status" => Some(Self::Status),
            _ => None,
        }
    }

    /// Programs ask for it by whatever name they know, and there is nothing in it that a foreign page could use.
    fn is_for_anybody(self) -> bool {
        matches!(self, Self::Health | Self::Metrics)
    }
}

pub(super) async fn answer(head: &Parts, site: &Arc<Site>) -> Response<Bytes> {
    if head
        .uri
        .path_and_query()
        .is_some_and(|target| target.as_str().len() > MAX_TARGET)
    {
        return text(StatusCode::URI_TOO_LONG, "no page has such a long name");
    }
    let page = Page::at(head.uri.path());
    if !page.is_some_and(Page::is_for_anybody)
        && let Some(refusal) = stranger(head, site)
    {
        return refusal;
    }
    let Some(page) = page else {
        return text(
            StatusCode::NOT_FOUND,
            "there is no such page here: /healthz, /metrics, /api/v1/status",
        );
    };
    if !matches!(head.method, Method::GET | Method::HEAD) {
        let mut refusal = text(
            StatusCode::METHOD_NOT_ALLOWED,
            "this page can only be read: GET or HEAD",
        );
        let methods = HeaderValue::from_static("GET, HEAD");
        refusal.headers_mut().insert(ALLOW, methods);
        return refusal;
    }
    match page {
        Page::Health if site.shared.is_stopping() => {
            text(StatusCode::SERVICE_UNAVAILABLE, "stopping")
        }
        Page::Health => text(StatusCode::OK, "ok"),
        Page::Metrics => metrics(head, site).await,
        Page::Status => status(site).await,
    }
}

/// Why a page is not shown to whoever asks by such a name.
fn stranger(head: &Parts, site: &Site) -> Option<Response<Bytes>> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok(),
        (None, _) if head.version < Version::HTTP_11 => Some(""),
        _ => None,
    };
    let Some(host) = host else {
        let sentence = "a request has one Host header";
        return Some(text(StatusCode::BAD_REQUEST, sentence));
    };
    // The target's own counts, where it has one (RFC 9112, 3.2.2).
    let authority = head.uri.authority();
    let host = authority.map_or(host, |authority| authority.as_str());
    let allowed = site.admin().map(|admin| admin.config.allowed_hosts);
    if is_ours(host, site.listener.address, &allowed.unwrap_or_default()) {
        return None;
    }
    let sentence = format!(
        "lbd is not known by the name {host:?}: use localhost or the address of [admin] bind, or \
         list the name in [admin] allowed_hosts"
    );
    Some(text(StatusCode::MISDIRECTED_REQUEST, &sentence))
}

async fn metrics(head: &Parts, site: &Arc<Site>) -> Response<Bytes> {
    let accept = head.headers.get_all(ACCEPT).iter();
    let format = Format::wanted(accept.filter_map(|value| value.to_str().ok()));
    let reloads = Reloads {
        last: (site.knows.last_reload)(),
        trial: (site.knows.trial)(),
    };
    let _turn = site.scrapes.lock().await;
    let shared = site.shared.clone();
    let written = spawn_blocking(move || metrics::write(&shared, &reloads, format));
    match written.await {
        Ok(text) => whole(StatusCode::OK, format.content_type(), text),
        Err(_) => unwritten("metrics"),
    }
}

/// A bug, which the log tells of.
fn unwritten(what: &str) -> Response<Bytes> {
    let sentence = format!("the {what} cannot be written; see the log");
    text(StatusCode::INTERNAL_SERVER_ERROR, &sentence)
}

/// What `lbctl status --json` prints.
async fn status(site: &Site) -> Response<Bytes> {
    let status = match (site.knows.status)().await {
        Ok(status) => status,
        Err(error) => return text(StatusCode::INTERNAL_SERVER_ERROR, &error.message),
    };
    // That of thousands of servers takes a while.
    let written = spawn_blocking(move || serde_json::to_vec(&status)).await;
    match written {
        Ok(Ok(mut json)) => {
            json.push(b'\n');
            whole(StatusCode::OK, JSON, json)
        }
        _ => unwritten("status"),
    }
}

/// A sentence for whoever reads it.
fn text(status: StatusCode, sentence: &str) -> Response<Bytes> {
    whole(status, TEXT, format!("{sentence}\n"))
}

/// Nothing here is worth keeping, and nothing is to be taken for something else.
fn whole(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
