//! The way of a request: open its account, find its route, pick a server, forward, answer.

use std::borrow::Cow;
use std::future::Future;
use std::net::IpAddr;
use std::rc::Rc;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::ext::ReasonPhrase;
use lb_proto::config::Mode;

use super::account::Account;
use super::balance;
use super::body::Answer;
use super::client::Client;
use super::client_address::client_address;
use super::decode::Head;
use super::fault::Fault;
use super::forward::{Arrived, Outgoing, forward};
use super::headers::{self, Length, Origin};
use super::https_redirect;
use super::reply;
use super::request_body::RequestBody;
use super::request_id;
use super::route::{Routes, Subject, Target, redirect_target};
use super::session_cookie;
use super::span;
use super::sticky::Visit;
use super::thread::Place;
use super::upgrade::Upgrade;
use super::view::View;
use crate::state::Server;

/// The connection's frontend is gone: it is closed.
#[derive(Debug, thiserror::Error)]
#[error("the frontend of this connection is gone")]
pub(super) struct Gone;

/// Answers one request. The account is opened, and the way found, before anything is awaited.
pub(super) fn serve(
    client: Rc<Client>,
    mut request: Request<RequestBody>,
) -> impl Future<Output = Result<Response<Answer>, Gone>> {
    let place = client.thread.place(client.listener);
    let place = place.filter(|place| place.mode() == Mode::Http);
    let asked = place.map(|place| {
        let frontend = &place.view.snapshot.frontends[place.frontend];
        request_id::ensure(request.headers_mut());
        let traces = place.view.snapshot.traces.as_ref();
        let span = traces
            .and_then(|traces| span::begin(traces.config.sample, &client, &place, &mut request));
        client.begin_exchange(&request, frontend.config.timeouts);
        let view = place.view.clone();
        let account = Account::open(&client, view, place.frontend, &request, span);
        let (version, accept) = (request.version(), request.headers().get(ACCEPT).cloned());
        let way = route(&client, &place, request);
        (
            Asked {
                version,
                accept,
                view: place.view,
                way,
            },
            account,
        )
    });
    async move {
        let (asked, account) = asked.ok_or(Gone)?;
        Ok(answer(&client, asked, account).await)
    }
}

/// A request whose way is known.
struct Asked {
    version: Version,
    accept: Option<HeaderValue>,
    view: Rc<View>,
    way: Result<Way, Fault>,
}

/// Where a request goes.
enum Way {
    Forward {
        backend: usize,
        outgoing: Box<Outgoing>,
        cookie: Visit,
    },
    Answer(Box<Response<Bytes>>),
}

async fn answer(client: &Rc<Client>, asked: Asked, mut account: Box<Account>) -> Response<Answer> {
    let accept = asked.accept.as_ref();
    let mut response = match asked.way {
        Ok(Way::Answer(response)) => {
            account.answers(response.status());
            own(*response, client, account)
        }
        Ok(Way::Forward {
            backend,
            outgoing,
            cookie,
        }) => {
            account.routed(backend);
            account.cookie = cookie;
            match forward(client, &asked.view, backend, outgoing, &mut account).await {
                Ok(arrived) => pass_on(arrived, asked.version, client, account),
                Err(fault) => failed(fault, accept, client, account),
            }
        }
        Err(fault) => failed(fault, accept, client, account),
    };
    // Asked only now: a stop or a reload may have come while the server worked. A connection of HTTP/2
    // says so itself.
    if asked.version != Version::HTTP_2 && client.thread.is_leaving(client.listener, &asked.view) {
        is_last(&mut response, asked.version);
    }
    response
}

/// Nothing follows this response on the client's connection. `version`: the request's; hyper would tell
/// a client of 1.0 the opposite, but in a response of that version.
fn is_last(response: &mut Response<Answer>, version: Version) {
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    *response.version_mut() = version;
}

/// Who a redirect leads to: the host asked for or, where that is empty (RFC 9110, 7.2), ourselves.
fn named<'a>(client: &Client, authority: &'a str) -> Cow<'a, str> {
    match headers::host_of(authority) {
        "" => client.local().to_string().into(),
        _ => authority.into(),
    }
}

/// Finds the route, and prepares the request for a server where it leads to one.
fn route(client: &Client, place: &Place, mut request: Request<RequestBody>) -> Result<Way, Fault> {
    admit(client, place, request.headers())?;
    if request.method() == Method::CONNECT {
        return Err(Fault::Connect);
    }
    let authority = headers::authority(request.version(), request.uri(), request.headers())
        .map_err(|_| Fault::Malformed)?;
    if request.uri().path() == "*" && request.method() != Method::OPTIONS {
        return Err(Fault::Malformed);
    }
    let host = match authority {
        Some(host) => host,
        None => HeaderValue::try_from(client.local().to_string()).map_err(|_| Fault::Malformed)?,
    };
    let host_text = host.to_str().map_err(|_| Fault::Malformed)?;
    let uri = request.uri();
    let subject = Subject {
        host: headers::host_of(host_text),
        path: uri.path(),
        method: request.method(),
        headers: request.headers(),
    };
    let insecure = redirects_to_https(client, place, request.headers());
    let routes = match &insecure {
        Some((_, plain)) => *plain,
        None => &place.view.routes[place.frontend],
    };
    let target = match (routes.find(subject), insecure) {
        (Some(target), _) => target,
        (None, None) => return Err(Fault::NoRoute),
        (None, Some((status, _))) => {
            let frontend = &place.view.snapshot.frontends[place.frontend];
            let to =
                https_redirect::location(&named(client, host_text), frontend.https_port(), uri);
            let answer = reply::redirect(status_code(status), &to);
            return answer
                .map(|answer| Way::Answer(answer.into()))
                .ok_or(Fault::Malformed);
        }
    };
    let backend = match target {
        Target::Backend(backend) => backend,
        Target::Redirect { to, status } => {
            let to = redirect_target(&to, &named(client, host_text), uri.path(), uri.query());
            let answer = reply::redirect(status_code(status), &to);
            return answer
                .map(|answer| Way::Answer(answer.into()))
                .ok_or(Fault::Malformed);
        }
        Target::Respond { status } => {
            let accept = request.headers().get(ACCEPT);
            return Ok(Way::Answer(
                reply::respond(status_code(status), accept).into(),
            ));
        }
    };
    // By what the client sent: the server's request may have other headers.
    let key = balance::key(
        &place.view.snapshot.backends[backend].config.balance,
        client.peer.ip(),
        uri.path(),
        request.headers(),
    );
    let upgrades = prepare(client, place, &mut request, &host);
    let edits = &place.view.edits[backend];
    let sticky = edits.sticky.as_ref();
    let mut cookie = sticky.map_or(Visit::NONE, |sticky| sticky.take(request.headers_mut()));
    if cookie.wanted().is_some() {
        cookie.by(address(client, place, request.headers()), request.headers());
    }
    edits.request.apply(request.headers_mut());
    Ok(Way::Forward {
        backend,
        outgoing: Box::new(Outgoing::new(request, upgrades, key)),
        cookie,
    })
}

/// With what status a request is sent to where there is TLS, if it came without and that is wanted,
/// and the routes that come before that.
fn redirects_to_https<'p>(
    client: &Client,
    place: &'p Place,
    headers: &HeaderMap,
) -> Option<(u16, &'p Routes)> {
    let plain = place.view.plain[place.frontend].as_ref()?;
    let frontend = &place.view.snapshot.frontends[place.frontend].config;
    let status = frontend.https_redirect?;
    let vouched_for = || {
        let peer = client.peer.ip().to_canonical();
        https_redirect::vouched_for(peer, &frontend.trusted_proxies, headers)
    };
    (client.scheme != "https" && !vouched_for()).then_some((status, plain))
}

/// Whether the frontend serves this client now.
fn admit(client: &Client, place: &Place, headers: &HeaderMap) -> Result<(), Fault> {
    let frontend = &place.view.snapshot.frontends[place.frontend];
    let Some(gate) = &frontend.gate else {
        return Ok(());
    };
    Ok(gate.admit(address(client, place, headers))?)
}

fn address(client: &Client, place: &Place, headers: &HeaderMap) -> IpAddr {
    let frontend = &place.view.snapshot.frontends[place.frontend];
    client_address(client.peer.ip(), &frontend.config.trusted_proxies, headers)
}

/// Turns the client's request into the one for a server; true: it asks for another protocol.
fn prepare(
    client: &Client,
    place: &Place,
    request: &mut Request<RequestBody>,
    host: &HeaderValue,
) -> bool {
    let body = request.body();
    let length = match body.size_hint().exact() {
        _ if body.is_end_stream() => Length::None,
        Some(n) => Length::Bytes(n),
        None => Length::Unknown,
    };
    let origin = Origin {
        ip: client.peer.ip().to_canonical(),
        address: &client.address,
        port: &client.port,
        scheme: &client.scheme,
        trusted: &place.view.snapshot.frontends[place.frontend]
            .config
            .trusted_proxies,
    };
    let version = request.version();
    let upgrades = headers::prepare_request(request.headers_mut(), version, host, length, origin);
    if request.uri().authority().is_some() {
        *request.uri_mut() = headers::origin_form(request.uri());
    }
    *request.version_mut() = Version::HTTP_11;
    // What hyper keeps there is about the client's connection.
    request.extensions_mut().clear();
    upgrades
}

/// Turns a server's response into the one for the client.
fn pass_on(
    arrived: Arrived,
    version: Version,
    client: &Rc<Client>,
    mut account: Box<Account>,
) -> Response<Answer> {
    let Arrived {
        head,
        exchange,
        upgrades,
    } = arrived;
    let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
    account.answered(match switches && version == Version::HTTP_2 {
        // How a stream is told (RFC 8441, 5).
        true => StatusCode::OK,
        false => head.status,
    });
    if head.status.is_server_error() {
        account.server_error();
    }
    // By HTTP/2 any success would say that there is a tunnel (RFC 8441, 5).
    let misleads = upgrades && version == Version::HTTP_2 && head.status.is_success();
    if switches && !upgrades || misleads {
        account.response_error();
        return failed(Fault::BadResponse, None, client, account);
    }
    let Head {
        status,
        reason,
        mut headers,
        ..
    } = head;
    let names_protocol = switches || status == StatusCode::UPGRADE_REQUIRED;
    let names_protocol = names_protocol && version != Version::HTTP_2;
    headers::prepare_response(&mut headers, status, names_protocol);
    if let Some(lease) = &account.lease {
        let edits = lease.edits();
        edits.response.apply(&mut headers);
        match &edits.sticky {
            Some(sticky) => sticky.give(&mut headers, lease.position(), &mut account.cookie),
            None => look_for_session(lease.server(), &headers),
        }
    }
    let unframed = version == Version::HTTP_10 && exchange.left().is_none();
    if unframed {
        client.answer_is_unframed();
    }
    let closes = unframed || exchange.awaits_client();
    let answer = match switches {
        true => {
            client.switch(Upgrade::new(exchange, account));
            Answer::tunnel(client.clone())
        }
        false => Answer::from_server(exchange, client.clone(), account),
    };
    let mut response = Response::new(answer);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    if closes && !switches && version != Version::HTTP_2 {
        is_last(&mut response, version);
    }
    if let Some(reason) = reason.and_then(|reason| ReasonPhrase::try_from(reason).ok()) {
        response.extensions_mut().insert(reason);
    }
    response
}

/// Keeps that a server has sessions of its own, where nothing ties clients to it.
fn look_for_session(server: &Server, headers: &HeaderMap) {
    let known = &server.session_cookie;
    if !known.is_known()
        && let Some(name) = session_cookie::find(headers)
    {
        known.saw(name);
    }
}

/// An answer that says what went wrong.
fn failed(
    fault: Fault,
    accept: Option<&HeaderValue>,
    client: &Rc<Client>,
    account: Box<Account>,
) -> Response<Answer> {
    account.failed(fault);
    own(reply::fault(fault, accept), client, account)
}

/// An answer of our own.
fn own(
    response: Response<Bytes>,
    client: &Rc<Client>,
    mut account: Box<Account>,
) -> Response<Answer> {
    account.lease = None;
    client.has_session(None);
    response.map(|bytes| Answer::own(bytes, client.clone(), account))
}

fn status_code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
