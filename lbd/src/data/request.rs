//! The way of a request: open its account, find its route, pick a server, forward, answer.

use std::borrow::Cow;
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
use super::headers::{self, Length};
use super::https_redirect;
use super::own_fields::OwnFields;
use super::reply;
use super::request_body::RequestBody;
use super::request_id;
use super::route::{Routes, Subject, Target, redirect_target};
use super::session_cookie;
use super::span;
use super::sticky::Visit;
use super::thread::Place;
use super::upgrade::Upgrade;
use crate::state::Server;

/// The connection's frontend is gone: it is closed.
#[derive(Debug, thiserror::Error)]
#[error("the frontend of this connection is gone")]
pub(super) struct Gone;

/// A request whose account is open, and whose way is known.
pub(super) struct Begun {
    way: Way,
    account: Box<Account>,
}

/// Where a request goes. Small, for a stream carries it along.
enum Way {
    Forward {
        backend: usize,
        outgoing: Box<Outgoing>,
    },
    Answer(Box<Response<Bytes>>),
    Fail(Fault, Box<Response<Bytes>>),
}

/// Opens a request's account and finds its way, before anything is awaited.
pub(super) fn begin(client: &Rc<Client>, mut request: Request<RequestBody>) -> Result<Begun, Gone> {
    let place = client.thread.place(client.listener);
    let place = place.filter(|place| place.mode() == Mode::Http);
    let place = place.ok_or(Gone)?;
    let frontend = &place.view.snapshot.frontends[place.frontend];
    request_id::ensure(request.headers_mut());
    let traces = place.view.snapshot.traces.as_ref();
    let span =
        traces.and_then(|traces| span::begin(traces.config.sample, client, &place, &mut request));
    client.begin_exchange(&request, frontend.config.timeouts);
    let view = place.view.clone();
    let mut account = Account::open(client, view, place.frontend, &request, span);
    let accept = request.headers().get(ACCEPT).cloned();
    let way = match route(client, &place, &mut request) {
        Ok(Found::Backend {
            backend,
            key,
            own,
            upgrades,
            cookie,
        }) => {
            account.cookie = cookie;
            let outgoing = Outgoing::new(request, own, upgrades, key, accept);
            Way::Forward {
                backend,
                outgoing: Box::new(outgoing),
            }
        }
        Ok(Found::Answer(response)) => Way::Answer(Box::new(response)),
        Err(fault) => Way::Fail(fault, Box::new(reply::fault(fault, accept.as_ref()))),
    };
    Ok(Begun { way, account })
}

impl Begun {
    pub(super) async fn answer(self, client: &Rc<Client>) -> Response<Answer> {
        let mut account = self.account;
        let view = account.view().clone();
        let mut response = match self.way {
            Way::Answer(response) => {
                account.answers(response.status());
                own(*response, client, account)
            }
            Way::Forward {
                backend,
                mut outgoing,
            } => {
                account.routed(backend);
                match forward(client, &view, backend, &mut outgoing, &mut account).await {
                    Ok(arrived) => pass_on(arrived, client, account),
                    Err(fault) => {
                        let page = reply::fault(fault, outgoing.accept.as_ref());
                        failed(fault, page, client, account)
                    }
                }
            }
            Way::Fail(fault, page) => failed(fault, *page, client, account),
        };
        // Asked only now: a stop or a reload may have come while the server worked. A connection of
        // HTTP/2 says so itself.
        let version = client.version();
        if version != Version::HTTP_2 && client.thread.is_leaving(client.listener, &view) {
            is_last(&mut response, version);
        }
        response
    }
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

/// What was found for a request.
enum Found {
    Backend {
        backend: usize,
        /// What its server is picked by, if it is by a key.
        key: Option<u64>,
        own: OwnFields,
        /// The client asks for another protocol.
        upgrades: bool,
        cookie: Visit,
    },
    Answer(Response<Bytes>),
}

/// Finds the route, and prepares the request for a server where it leads to one.
fn route(
    client: &Client,
    place: &Place,
    request: &mut Request<RequestBody>,
) -> Result<Found, Fault> {
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
            return answer.map(Found::Answer).ok_or(Fault::Malformed);
        }
    };
    let backend = match target {
        Target::Backend(backend) => backend,
        Target::Redirect { to, status } => {
            let to = redirect_target(&to, &named(client, host_text), uri.path(), uri.query());
            let answer = reply::redirect(status_code(status), &to);
            return answer.map(Found::Answer).ok_or(Fault::Malformed);
        }
        Target::Respond { status } => {
            let accept = request.headers().get(ACCEPT);
            return Ok(Found::Answer(reply::respond(status_code(status), accept)));
        }
    };
    // By what the client sent: the server's request may have other headers.
    let key = balance::key(
        &place.view.snapshot.backends[backend].config.balance,
        client.peer.ip(),
        uri.path(),
        request.headers(),
    );
    let (mut own, upgrades) = prepare(client, place, request, host);
    let edits = &place.view.edits[backend];
    let sticky = edits.sticky.as_ref();
    let mut cookie = sticky.map_or(Visit::NONE, |sticky| sticky.take(request.headers_mut()));
    if cookie.wanted().is_some() {
        cookie.by(address(client, place, request.headers()), request.headers());
    }
    if !edits.request.is_empty() {
        own.join(request.headers_mut());
        edits.request.apply(request.headers_mut());
    }
    Ok(Found::Backend {
        backend,
        key,
        own,
        upgrades,
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
    (client.origin.scheme != "https" && !vouched_for()).then_some((status, plain))
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
    host: HeaderValue,
) -> (OwnFields, bool) {
    let body = request.body();
    let length = match body.size_hint().exact() {
        _ if body.is_end_stream() => Length::None,
        Some(n) => Length::Bytes(n),
        None => Length::Unknown,
    };
    let version = request.version();
    let fields = request.headers_mut();
    let upgrades = headers::prepare_request(fields, version, length);
    let frontend = &place.view.snapshot.frontends[place.frontend];
    let trusted = &frontend.config.trusted_proxies;
    let own = OwnFields::new(fields, host, &client.origin, trusted);
    if request.uri().authority().is_some() {
        *request.uri_mut() = headers::origin_form(request.uri());
    }
    *request.version_mut() = Version::HTTP_11;
    // What hyper keeps there is about the client's connection.
    request.extensions_mut().clear();
    (own, upgrades)
}

/// Turns a server's response into the one for the client.
fn pass_on(arrived: Arrived, client: &Rc<Client>, mut account: Box<Account>) -> Response<Answer> {
    let version = client.version();
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
        let page = reply::fault(Fault::BadResponse, None);
        return failed(Fault::BadResponse, page, client, account);
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
    page: Response<Bytes>,
    client: &Rc<Client>,
    account: Box<Account>,
) -> Response<Answer> {
    account.failed(fault);
    own(page, client, account)
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
