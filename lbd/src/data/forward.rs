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

/// How long to wait before asking the same server again, as HAProxy does (manual, `retries`).
const TURN_AROUND: Duration = Duration::from_secs(1);

/// A request ready to be sent, and what is needed to send it once more.
struct Outgoing {
    parts: Parts,
    /// `None`: the request has no body.
    body: Option<Incoming>,
    idempotent: bool,
}

/// Why an attempt failed, and the request where it can be sent again.
struct Failure {
    fault: Fault,
    again: Option<Outgoing>,
    /// The server closed a connection that it had kept: says nothing about the server.
    stale: bool,
}

/// A response whose head has arrived.
pub(super) struct Arrived {
    pub(super) response: Response<Incoming>,
    pub(super) upstream: Upstream,
    /// How long the server may be silent.
    pub(super) timeout: Duration,
}

/// Sends a request, prepared for the server, to a server of the backend. The account holds the
/// session meanwhile, and on success keeps it.
pub(super) async fn forward(
    client: &Rc<Client>,
    view: &Rc<View>,
    backend: usize,
    request: Request<Incoming>,
    account: &mut Account,
) -> Result<Arrived, Fault> {
    let config = &view.snapshot.backends[backend].config;
    let (parts, body) = request.into_parts();
    let idempotent = headers::is_idempotent(&parts.method);
    let body = Some(body).filter(|body| !body.is_end_stream());
    let mut outgoing = Outgoing {
        parts,
        body,
        idempotent,
    };
    let mut tried: Vec<usize> = Vec::new();
    let mut last = Fault::NoServer;
    loop {
        account.lease = None;
        account.lease = lease(client, view, backend, &tried, config.redispatch);
        let Some(server) = account.lease.as_ref().map(Lease::position) else {
            return Err(last);
        };
        if tried.contains(&server) {
            pause(client, config.timeouts.connect).await;
        }
        let mut attempted = attempt(client, account, outgoing, config.timeouts, Use::Kept).await;
        if let Err(Failure {
            again: Some(again),
            stale: true,
            ..
        }) = attempted
        {
            attempted = attempt(client, account, again, config.timeouts, Use::Fresh).await;
        }
        match attempted {
            Ok(arrived) => return Ok(arrived),
            Err(Failure {
                again: Some(again),
                fault,
                ..
            }) if tried.len() < config.retries as usize => {
                last = fault;
                outgoing = again;
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

/// The server for the next attempt: another one where there is one, the same one if `redispatch`
/// forbids that.
fn lease(
    client: &Client,
    view: &Rc<View>,
    backend: usize,
    tried: &[usize],
    redispatch: bool,
) -> Option<Lease> {
    match tried.last() {
        Some(same) if !redispatch => Lease::on(&client.thread, view, backend, *same),
        _ => Lease::take(&client.thread, view, backend, tried),
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
    outgoing: Outgoing,
    timeouts: config::ServerTimeouts,
    connections: Use,
) -> Result<Arrived, Failure> {
    let Some(lease) = &account.lease else {
        return Err(Failure {
            fault: Fault::NoServer,
            again: None,
            stale: false,
        });
    };
    let kept = match connections {
        Use::Kept => client
            .thread
            .reuse(lease.server(), lease.address(), !outgoing.idempotent),
        Use::Fresh => None,
    };
    let was_kept = kept.is_some();
    let mut upstream = match kept {
        Some(upstream) => upstream,
        None => match connect(client, lease, timeouts.connect).await {
            Ok(upstream) => upstream,
            Err(fault) => {
                account.connect_error();
                return Err(Failure {
                    fault,
                    again: Some(outgoing),
                    stale: false,
                });
            }
        },
    };
    let Outgoing {
        parts,
        body,
        idempotent,
    } = outgoing;
    // Only a request without a body can be sent again after it was sent; the copy is cheap, for
    // header values are shared.
    let copy = (idempotent && body.is_none()).then(|| parts.clone());
    let received = upstream.received();
    let upload = Upload::new(body, client.clone(), timeouts.server);
    client.watch.expect(Awaiting::Server, timeouts.server);
    let sent = client
        .watch
        .bound(upstream.send(Request::from_parts(parts, upload)))
        .await;
    let mut error = match sent {
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
            return Err(Failure {
                fault: expired.into(),
                again: None,
                stale: false,
            });
        }
    };
    if client.upload_is_broken() {
        return Err(Failure {
            fault: Fault::BadBody,
            again: None,
            stale: false,
        });
    }
    let unsent = error.take_message().map(|request| {
        let (parts, upload) = request.into_parts();
        Outgoing {
            parts,
            body: upload.into_incoming(),
            idempotent,
        }
    });
    let silent = upstream.received() == received;
    let resend = copy.filter(|_| silent).map(|parts| Outgoing {
        parts,
        body: None,
        idempotent,
    });
    let again = unsent.or(resend);
    let stale = was_kept && again.is_some();
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
