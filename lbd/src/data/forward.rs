//! A request's way to a server and its answer's way back, tried again where that is safe.

use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderValue, Method, Request};
use http_body::Body;
use lb_proto::config::Protocol;
use tokio::time::Instant;

use super::account::Account;
use super::client::Client;
use super::connect::{Destination, Upstream};
use super::decode::Head;
use super::exchange::http2::NotBegun;
use super::exchange::{Exchange, Failed, http1, http2};
use super::fault::Fault;
use super::headers;
use super::lease::{Lease, Missed};
use super::own_fields::{OwnFields, RequestHead};
use super::queue;
use super::request_body::RequestBody;
use super::trunk::{self, Slot};
use super::view::View;
use super::watch::{Awaiting, Expired};
use crate::state::Who;

/// How long to wait before asking the same server again, as HAProxy does (manual, `retries`).
pub(super) const TURN_AROUND: Duration = Duration::from_secs(1);

/// A request ready to be sent to a server, and to be sent again while that is safe.
#[derive(Debug)]
pub(super) struct Outgoing {
    head: RequestHead,
    /// `None`: the request has no body, or it was given away.
    body: Option<RequestBody>,
    has_body: bool,
    idempotent: bool,
    /// A kept connection that the server had closed was replaced: that is done once.
    replaced: bool,
    /// The client asks for another protocol (RFC 9110, 7.8).
    pub(super) upgrades: bool,
    /// What its server is picked by, if it is by a key.
    key: Option<u64>,
    /// Of which types the client takes an answer of ours, as it said (RFC 9110, 12.5.1).
    pub(super) accept: Option<HeaderValue>,
}

impl Outgoing {
    pub(super) fn new(
        request: Request<RequestBody>,
        own: OwnFields,
        upgrades: bool,
        key: Option<u64>,
        accept: Option<HeaderValue>,
    ) -> Self {
        let (parts, body) = request.into_parts();
        let body = Some(body).filter(|body| !body.is_end_stream());
        Self {
            idempotent: headers::is_idempotent(&parts.method) && !upgrades,
            head: RequestHead { parts, own },
            has_body: body.is_some(),
            body,
            replaced: false,
            upgrades,
            key,
            accept,
        }
    }

    fn is_to_head(&self) -> bool {
        self.head.parts.method == Method::HEAD
    }

    /// Whether it is whole: its body, if it has one, was not given away.
    fn is_whole(&self) -> bool {
        self.body.is_some() == self.has_body
    }
}

/// Why an attempt failed.
#[derive(Debug, Clone, Copy)]
struct Failure {
    fault: Fault,
    /// The request can be sent again.
    again: bool,
    /// The server closed a connection that it had kept: says nothing about the server.
    stale: bool,
}

impl Failure {
    fn of_connect(account: &Account, fault: Fault) -> Self {
        if fault != Fault::Killed {
            account.connect_error();
        }
        Self {
            fault,
            again: true,
            stale: false,
        }
    }

    fn last(fault: Fault) -> Self {
        Self {
            fault,
            again: false,
            stale: false,
        }
    }
}

/// A response whose head has arrived.
pub(super) struct Arrived {
    pub(super) head: Head,
    pub(super) exchange: Exchange,
    /// The client asked for another protocol.
    pub(super) upgrades: bool,
}

/// Sends a request to a server of the backend. The account holds the session meanwhile, and on
/// success keeps it.
pub(super) async fn forward(
    client: &Rc<Client>,
    view: &Rc<View>,
    backend: usize,
    outgoing: &mut Outgoing,
    account: &mut Account,
) -> Result<Arrived, Fault> {
    let config = &view.snapshot.backends[backend].config;
    let mut tried: Vec<usize> = Vec::new();
    let mut last = Fault::NoServer;
    let mut connections = Use::Kept;
    loop {
        if connections == Use::Kept {
            account.lease = None;
            client.has_session(None);
            let wanted = account.cookie.wanted();
            let look = || look(client, view, backend, outgoing.key, &tried, wanted);
            let waits = |ahead| account.waits(ahead);
            let (thread, watch) = (&client.thread, &client.watch);
            let leased = queue::lease(thread, watch, view, backend, look, waits).await;
            account.lease = match leased {
                Ok(lease) => Some(lease),
                Err(Fault::NoServer) => None,
                Err(fault) => return Err(fault),
            };
            account.picked();
            client.has_session(account.lease.as_ref());
        }
        let Some(lease) = &account.lease else {
            return Err(last);
        };
        let server = lease.position();
        if connections == Use::Kept && tried.contains(&server) {
            pause(client, config.timeouts.connect).await;
        }
        match attempt(client, account, lease, outgoing, connections).await {
            Ok(arrived) => return Ok(arrived),
            Err(Failure { stale: true, .. }) => connections = Use::Fresh,
            Err(Failure {
                fault, again: true, ..
            }) if tried.len() < config.retries as usize => {
                connections = Use::Kept;
                last = fault;
                tried.push(server);
            }
            Err(failure) => return Err(failure.fault),
        }
    }
}

/// Which connections an attempt may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// One that was kept, if there is one.
    Kept,
    Fresh,
}

/// The server for the next attempt: first the one that the client's cookie names; then another one
/// where there is one, the same one if `redispatch` forbids that.
fn look(
    client: &Client,
    view: &Rc<View>,
    backend: usize,
    key: Option<u64>,
    tried: &[usize],
    wanted: Option<usize>,
) -> Result<Lease, Missed> {
    let redispatch = view.snapshot.backends[backend].config.redispatch;
    let on = |server| {
        let who = match wanted == Some(server) {
            true => Who::Returning,
            false => Who::Anybody,
        };
        Lease::on(&client.thread, view, backend, server, who)
    };
    let take = || Lease::take(&client.thread, view, backend, key, tried);
    match (tried.last(), wanted) {
        (Some(same), _) if !redispatch => on(*same),
        (None, Some(wanted)) => match on(wanted) {
            Err(Missed::NoServer) => take(),
            found => found,
        },
        _ => take(),
    }
}

async fn pause(client: &Client, connect_timeout: Duration) {
    let pause = TURN_AROUND.min(connect_timeout);
    client
        .watch
        .expect_from(Instant::now(), Awaiting::Connect, pause * 4);
    tokio::time::sleep(pause).await;
}

async fn attempt(
    client: &Rc<Client>,
    account: &Account,
    lease: &Lease,
    outgoing: &mut Outgoing,
    connections: Use,
) -> Result<Arrived, Failure> {
    let (mut exchange, was_kept) = match lease.backend().config.protocol {
        Protocol::Http1 => begin_http1(client, account, lease, outgoing, connections).await?,
        Protocol::Http2 => match begin_http2(client, account, lease, outgoing)? {
            // One that breaks off a second time is counted.
            Some(begun) => (begun, connections == Use::Kept),
            None => {
                let opened = Box::pin(open_http2(client, account, lease, outgoing));
                (opened.await?, false)
            }
        },
    };
    let room = &mut outgoing.head.parts.headers;
    let awaited = poll_fn(|cx| exchange.poll_head(cx, room));
    let fault = match client.watch.bound(awaited).await {
        Ok(Ok(head)) => match exchange.expect_body(&head, outgoing.is_to_head()) {
            Ok(()) => {
                return Ok(Arrived {
                    head,
                    exchange,
                    upgrades: outgoing.upgrades,
                });
            }
            Err(_) => Fault::BadResponse,
        },
        // Who serves its connection drops us.
        Ok(Err(Failed::Client)) if client.leave_if_closed() => pending().await,
        Ok(Err(Failed::Client)) => return Err(Failure::last(Fault::BadBody)),
        Ok(Err(Failed::Server)) => Fault::BadResponse,
        Err(expired @ Expired(awaiting)) => {
            if !matches!(awaiting, Awaiting::Client | Awaiting::Nobody) {
                exchange.was_in_vain();
                account.response_error();
            }
            return Err(Failure::last(expired.into()));
        }
    };
    let safe = exchange.is_untouched() || exchange.is_silent() && outgoing.idempotent;
    let closed = was_kept && exchange.has_closed();
    outgoing.body = exchange.take_back();
    let again = safe && outgoing.is_whole();
    let stale = closed && again && !outgoing.replaced;
    if stale {
        outgoing.replaced = true;
    } else {
        account.response_error();
    }
    Err(Failure {
        fault,
        again,
        stale,
    })
}

/// Begins a request on a connection of HTTP/1, and tells whether that is one that was kept.
async fn begin_http1(
    client: &Rc<Client>,
    account: &Account,
    lease: &Lease,
    outgoing: &mut Outgoing,
    connections: Use,
) -> Result<(Exchange, bool), Failure> {
    let kept = match connections {
        Use::Kept => client.reuse(lease, !outgoing.idempotent),
        Use::Fresh => None,
    };
    let was_kept = kept.is_some();
    let upstream = match kept {
        Some(upstream) => upstream,
        None => {
            account.connecting();
            // Apart: there is one for most requests, which need no room for this.
            let connected = Box::pin(connect(client, lease)).await;
            connected.map_err(|fault| Failure::of_connect(account, fault))?
        }
    };
    account.connected();
    let timeout = lease.backend().config.timeouts.server;
    client.watch.expect(Awaiting::Server, timeout);
    let exchange = http1::Exchange::new(
        client.clone(),
        upstream,
        &outgoing.head,
        outgoing.body.take(),
        timeout,
    );
    Ok((Exchange::Http1(Box::new(exchange)), was_kept))
}

/// Begins a request on a connection of HTTP/2 that is there, if one is.
fn begin_http2(
    client: &Rc<Client>,
    account: &Account,
    lease: &Lease,
    outgoing: &mut Outgoing,
) -> Result<Option<Exchange>, Failure> {
    while let Some(slot) = trunk::slot(client, lease) {
        match on_stream(client, account, lease, outgoing, slot) {
            Ok(exchange) => return Ok(Some(exchange)),
            // It takes no more, and is not found again.
            Err(NotBegun::Leaving) => {}
            Err(why @ NotBegun::NoTunnels) => return Err(why.failure(account, lease)),
        }
    }
    Ok(None)
}

/// Begins a request on a connection of HTTP/2 that is opened for it, and for others that wait.
async fn open_http2(
    client: &Rc<Client>,
    account: &Account,
    lease: &Lease,
    outgoing: &mut Outgoing,
) -> Result<Exchange, Failure> {
    account.connecting();
    let timeout = lease.backend().config.timeouts.connect;
    client
        .watch
        .expect_from(Instant::now(), Awaiting::Connect, timeout);
    let opened = client.watch.bound(trunk::wait(client, lease)).await;
    let slot = opened.unwrap_or_else(|expired| Err(not_connected(expired)));
    let slot = slot.map_err(|fault| Failure::of_connect(account, fault))?;
    let begun = on_stream(client, account, lease, outgoing, slot);
    begun.map_err(|why| why.failure(account, lease))
}

fn on_stream(
    client: &Rc<Client>,
    account: &Account,
    lease: &Lease,
    outgoing: &mut Outgoing,
    slot: Slot,
) -> Result<Exchange, NotBegun> {
    let timeout = lease.backend().config.timeouts.server;
    let (head, body, upgrades) = (&outgoing.head, &mut outgoing.body, outgoing.upgrades);
    let begun = http2::Exchange::begin(client.clone(), slot, head, body, timeout, upgrades);
    let exchange = begun?;
    account.connected();
    client.watch.expect(Awaiting::Server, timeout);
    Ok(Exchange::Http2(Box::new(exchange)))
}

impl NotBegun {
    fn failure(self, account: &Account, lease: &Lease) -> Failure {
        match self {
            Self::Leaving => Failure::of_connect(account, Fault::ConnectFailed),
            Self::NoTunnels => {
                account.response_error();
                Destination::of(lease)
                    .complain("an upgrade cannot go to the server", &self.to_string());
                Failure::last(Fault::BadResponse)
            }
        }
    }
}

async fn connect(client: &Client, lease: &Lease) -> Result<Box<Upstream>, Fault> {
    let timeout = lease.backend().config.timeouts.connect;
    client
        .watch
        .expect_from(Instant::now(), Awaiting::Connect, timeout);
    let introduction = client.introduction(lease.config());
    let opened = Upstream::open(lease, client.thread.id, introduction);
    let opened = client.watch.bound(opened).await.map_err(not_connected)?;
    opened.map_err(|_| Fault::ConnectFailed)
}

fn not_connected(Expired(awaiting): Expired) -> Fault {
    match awaiting {
        Awaiting::Nobody => Fault::Killed,
        _ => Fault::ConnectTimedOut,
    }
}
