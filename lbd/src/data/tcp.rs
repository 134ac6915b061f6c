//! A connection in mode tcp: pick a server, connect, pass on both ways until the end.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::debug;

use super::balance;
use super::client::Client;
use super::fault::Fault;
use super::forward::TURN_AROUND;
use super::lease::Lease;
use super::queue;
use super::thread::Place;
use super::tunnel::{Meter, Tunnel};
use super::watch::{Look, Watch};
use crate::access_log::{Cause, Phase, Termination};
use crate::state::{Who, add};

/// Serves a connection until it ends.
pub(super) async fn serve(stream: TcpStream, client: Rc<Client>) {
    let Some(place) = client.thread.place(client.listener) else {
        return;
    };
    let thread = client.thread.clone();
    let mut session = Session::open(client, place);
    let reached = tokio::select! {
        biased;
        reached = session.reach_server() => reached,
        () = left(&stream) => Err(None),
    };
    let server = match reached {
        Ok(server) => server,
        Err(fault) => return session.failed(fault),
    };
    let Some((tunnel, meter)) = session.tunnel(&stream, &server) else {
        return session.failed(Some(Fault::NoServer));
    };
    let end = tunnel.relay(&thread.tunnels, meter).await;
    session.over(end.termination());
    end.tell(stream, server).await;
}

/// Waits until the client is gone: with nothing said, or broken. One that ended what it sends after
/// some bytes waits for an answer to them.
async fn left(stream: &TcpStream) {
    if matches!(stream.peek(&mut [0]).await, Ok(1..)) {
        let _ = stream.ready(Interest::ERROR).await;
    }
}

/// A session, counted until it is dropped.
#[derive(Debug)]
struct Session {
    client: Rc<Client>,
    place: Place,
    lease: Option<Lease>,
    /// Once there is a server to count for.
    meter: Option<Meter>,
    phase: Cell<Phase>,
    /// `None`: it was cut, as at the end of a stop.
    end: Option<Termination>,
}

impl Session {
    fn open(client: Rc<Client>, place: Place) -> Self {
        add(&client.tally().requests_total, 1);
        add(&client.tally().sessions, 1);
        Self {
            client,
            place,
            lease: None,
            meter: None,
            phase: Cell::new(Phase::Request),
            end: None,
        }
    }

    /// Connects to a server of the backend, to another one if it must be. Without a fault the client
    /// would have left.
    async fn reach_server(&mut self) -> Result<TcpStream, Option<Fault>> {
        let view = self.place.view.clone();
        let frontend = &view.snapshot.frontends[self.place.frontend];
        if let Some(gate) = &frontend.gate {
            gate.admit(self.client.peer.ip()).map_err(Fault::from)?;
        }
        let backend = frontend.config.default_backend.as_ref();
        let backend = backend.and_then(|name| view.snapshot.backend_position(name));
        let backend = backend.ok_or(Fault::NoServer)?;
        let config = &view.snapshot.backends[backend].config;
        let mut tried = Vec::new();
        let mut last = Fault::NoServer;
        loop {
            self.lease = None;
            self.phase.set(Phase::Queue);
            let lease = match self.lease(backend, &tried, config.redispatch).await {
                Ok(lease) => self.lease.insert(lease),
                Err(Fault::NoServer) => return Err(Some(last)),
                Err(fault) => return Err(Some(fault)),
            };
            self.phase.set(Phase::Connect);
            let server = lease.position();
            if tried.contains(&server) {
                sleep(TURN_AROUND.min(config.timeouts.connect)).await;
            }
            match connect(&self.client, lease, config.timeouts.connect).await {
                Ok(stream) => return Ok(stream),
                Err(fault) if tried.len() >= config.retries as usize => return Err(Some(fault)),
                Err(fault) => last = fault,
            }
            tried.push(server);
        }
    }

    /// A session on a server, waited for if need be.
    async fn lease(
        &self,
        backend: usize,
        tried: &[usize],
        redispatch: bool,
    ) -> Result<Lease, Fault> {
        let (thread, view) = (&self.client.thread, &self.place.view);
        let by = &view.snapshot.backends[backend].config.balance;
        let key = balance::key(by, self.client.peer.ip(), "", &HeaderMap::new());
        let look = || match tried.last().filter(|_| !redispatch) {
            Some(same) => Lease::on(thread, view, backend, *same, Who::Anybody),
            None => Lease::take(thread, view, backend, key, tried),
        };
        let watch = &self.client.watch;
        let leased = queue::lease(thread, watch, view, backend, look, |_| {});
        watched(watch, leased).await
    }

    fn tunnel<'a>(
        &mut self,
        client: &'a TcpStream,
        server: &'a TcpStream,
    ) -> Option<(Tunnel<'a>, &Meter)> {
        let lease = self.lease.as_ref()?;
        let _ = client.set_nodelay(true);
        let tunnel = Tunnel {
            client,
            server,
            from_client: Bytes::new(),
            from_server: Bytes::new(),
            silence: self.client.tunnel_silence(&lease.backend().config).even(),
        };
        let meter = self.client.meter(lease.server());
        Some((tunnel, self.meter.insert(meter)))
    }

    /// No server was reached: for this reason, or because the client left.
    fn failed(self, fault: Option<Fault>) {
        let phase = self.phase.get();
        self.over(match fault {
            Some(fault) => fault.termination(phase),
            None => Termination::at(Cause::Client, phase),
        });
    }

    fn over(mut self, end: Termination) {
        self.end = Some(end);
    }
}

/// Every session ends here, whatever happened to it; all there is to tell of it is in `self`.
impl Drop for Session {
    fn drop(&mut self) {
        add(&self.client.tally().sessions, 1u64.wrapping_neg());
        debug!(
            peer = %self.client.peer,
            server = self.lease.as_ref().map(|l| l.server().id.to_string()),
            from_client = self.meter.as_ref().map(Meter::client_bytes),
            from_server = self.meter.as_ref().map(Meter::server_bytes),
            end = ?self.end,
            "session over"
        );
    }
}

async fn connect(client: &Client, lease: &Lease, patience: Duration) -> Result<TcpStream, Fault> {
    let fault = match timeout(patience, TcpStream::connect(lease.address())).await {
        Ok(Ok(stream)) => {
            // One that is broken already shows that when it is used.
            let _ = stream.set_nodelay(true);
            return Ok(stream);
        }
        Ok(Err(_)) => Fault::ConnectFailed,
        Err(_) => Fault::ConnectTimedOut,
    };
    let thread = &client.thread;
    add(&lease.server().tally(thread.id).connect_errors, 1);
    lease.failed(thread);
    Err(fault)
}

/// Looks at a deadline while somebody is bound by it.
async fn watched<T>(watch: &Watch, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut timer = pin!(sleep_until(watch.next_look(Instant::now())));
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                return Poll::Ready(value);
            }
            ready!(timer.as_mut().poll(cx));
            match watch.look(Instant::now()) {
                Look::Expired(_) => watch.expire(),
                Look::Quiet(next) | Look::Moving(next) => timer.as_mut().reset(next),
            }
        }
    })
    .await
}
