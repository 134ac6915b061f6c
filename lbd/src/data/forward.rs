//! A request's way to a server and its answer's way back, tried again where that is safe.

use std::rc::Rc;
use std::time::Duration;

use http::request::Parts;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use lb_proto::config;

use super::account::Account;
use super::body::Upload;
use super::conn::Client;
use super::connect::Upstream;
use super::fault::Fault;
use super::headers;
use super::lease::Lease;
use super::view::View;
use super::watch::{Awaiting, Expired};
use crate::state::Who;

/// How long to wait before asking the same server again, as HAProxy does (manual, `retries`).
const TURN_AROUND: Duration = Duration::from_secs(1);

/// A request ready to be sent to a server, and to be sent again while that is safe.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Gone once it was sent with no way to send it again.
    head: Option<Parts>,
    /// `None`: the request has no body.
    body: Option<Incoming>,
    idempotent: bool,
}

impl Outgoing {
    pub(super) fn new(request: Request<Incoming>) -> Self {
        let (head, body) = request.into_parts();
        Self {
            idempotent: headers::is_idempotent(&head.method),
            head: Some(head),
            body: Some(body).filter(|body| !body.is_end_stream()),
        }
    }

    /// The request to send now. Only one without a body can be sent again after it was sent; the
    /// copy that is kept for that is cheap, for header values are shared.
    fn take(&mut self, client: &Rc<Client>, silence: Duration) -> Option<Request<Upload>> {
        let upload = Upload::new(self.body.take(), client.clone(), silence);
        let head = match self.idempotent && upload.is_end_stream() {
            true => self.head.clone(),
            false => self.head.take(),
        };
        head.map(|head| Request::from_parts(head, upload))
    }

    /// Takes back a request that was never sent.
    fn put_back(&mut self, request: Request<Upload>) {
        let (head, upload) = request.into_parts();
        self.head = Some(head);
        self.body = upload.into_incoming();
    }

    fn can_be_sent(&self) -> bool {
        self.head.is_some()
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
    pub(super) response: Response<Incoming>,
    pub(super) upstream: Upstream,
    /// How long the server may be silent.
    pub(super) timeout: Duration,
}

/// Sends a request to a server of the backend. The account holds the session meanwhile, and on
/// success keeps it.
pub(super) async fn forward(
    client: &Rc<Client>,
    view: &Rc<View>,
    backend: usize,
    mut outgoing: Box<Outgoing>,
    account: &mut Account,
) -> Result<Arrived, Fault> {
    let config = &view.snapshot.backends[backend].config;
    let mut tried: Vec<usize> = Vec::new();
    let mut last = Fault::NoServer;
    let mut connections = Use::Kept;
    loop {
        if connections == Use::Kept {
            account.lease = None;
            let wanted = account.cookie.wanted();
            account.lease = lease(client, view, backend, &tried, config.redispatch, wanted);
            account
                .cookie
                .on(account.lease.as_ref().map(Lease::position));
        }
        let Some(lease) = &account.lease else {
            return Err(last);
        };
        let server = lease.position();
        if connections == Use::Kept && tried.contains(&server) {
            pause(client, config.timeouts.connect).await;
        }
        match attempt(
            client,
            account,
            lease,
            &mut outgoing,
            config.timeouts,
            connections,
        )
        .await
        {
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
fn lease(
    client: &Client,
    view: &Rc<View>,
    backend: usize,
    tried: &[usize],
    redispatch: bool,
    wanted: Option<usize>,
) -> Option<Lease> {
    let on = |server| {
        let who = match wanted == Some(server) {
            true => Who::Returning,
            false => Who::Anybody,
        };
        Lease::on(&client.thread, view, backend, server, who)
    };
    let take = || Lease::take(&client.thread, view, backend, tried);
    match (tried.last(), wanted) {
        (Some(same), _) if !redispatch => on(*same),
        (None, Some(wanted)) => on(wanted).or_else(take),
        _ => take(),
    }
}

async fn pause(client: &Client, connect_timeout: Duration) {
    let pause = TURN_AROUND.min(connect_timeout);
    client.watch.expect(Awaiting::Connect, pause * 4);
    tokio::time::sleep(pause).await;
}

async fn attempt(
    client: &Rc<Client>,
    account: &Account,
    lease: &Lease,
    outgoing: &mut Outgoing,
    timeouts: config::ServerTimeouts,
    connections: Use,
) -> Result<Arrived, Failure> {
    let kept = match connections {
        Use::Kept => client
            .thread
            .reuse(lease.server(), lease.address(), !outgoing.idempotent),
        Use::Fresh => None,
    };
    let was_kept = kept.is_some();
    let mut upstream = match kept {
        Some(upstream) => upstream,
        None => connect(client, lease, timeouts.connect)
            .await
            .map_err(|fault| {
                account.connect_error();
                Failure {
                    fault,
                    again: true,
                    stale: false,
                }
            })?,
    };
    let Some(request) = outgoing.take(client, timeouts.server) else {
        return Err(Failure::last(Fault::BadResponse));
    };
    let received = upstream.received();
    client.watch.expect(Awaiting::Server, timeouts.server);
    let mut error = match client.watch.bound(upstream.send(request)).await {
        Ok(Ok(response)) => {
            return Ok(Arrived {
                response,
                upstream,
                timeout: timeouts.server,
            });
        }
        Ok(Err(error)) => error,
        Err(expired @ Expired(awaiting)) => {
            if awaiting != Awaiting::Client {
                account.response_error();
            }
            return Err(Failure::last(expired.into()));
        }
    };
    if client.upload_is_broken() {
        return Err(Failure::last(Fault::BadBody));
    }
    let unsent = error.take_message();
    let silent = unsent.is_some() || upstream.received() == received;
    if let Some(request) = unsent {
        outgoing.put_back(request);
    }
    let again = silent && outgoing.can_be_sent();
    let stale = was_kept && again;
    if !stale {
        account.response_error();
    }
    Err(Failure {
        fault: Fault::BadResponse,
        again,
        stale,
    })
}

async fn connect(client: &Client, lease: &Lease, timeout: Duration) -> Result<Upstream, Fault> {
    client.watch.expect(Awaiting::Connect, timeout);
    match client
        .watch
        .bound(Upstream::open(lease, client.thread.id))
        .await
    {
        Ok(Ok(upstream)) => Ok(upstream),
        Ok(Err(_)) => Err(Fault::ConnectFailed),
        Err(_) => Err(Fault::ConnectTimedOut),
    }
}
