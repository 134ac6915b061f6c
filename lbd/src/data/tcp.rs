//! A connection in mode tcp: pick a server, connect, pass on both ways until the end.

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

use super::account::Account;
use super::balance;
use super::client::Client;
use super::connect::Destination;
use super::fault::Fault;
use super::forward::TURN_AROUND;
use super::lease::Lease;
use super::queue;
use super::socket::Socket;
use super::thread::Place;
use super::tunnel::{Channel, End, Tunnel};
use super::view::View;
use super::watch::{Look, Watch};
use crate::access_log::Cause;
use crate::state::{ThreadId, Who};

/// Serves a connection until it ends.
pub(super) async fn serve(stream: Socket, client: Rc<Client>) {
    let Some(place) = client.thread.place(client.listener) else {
        return;
    };
    client.note_local(stream.tcp());
    let mut account = Account::of_connection(&client, place.view.clone(), place.frontend);
    let server = tokio::select! {
        biased;
        server = reach_server(&client, &place, &mut account) => server,
        () = broke(stream.tcp()) => return account.cut(Cause::Client),
        () = client.killed() => return account.cut(Cause::Killed),
    };
    let (server, from_client) = match server {
        Ok(reached) => reached,
        Err(fault) => return account.failed(fault),
    };
    let Some(lease) = &account.lease else {
        return;
    };
    let _ = stream.tcp().set_nodelay(true);
    account.relays();
    let meter = client.meter(lease.server());
    let channel = Channel::Socket(stream);
    let tunnel = Tunnel {
        client: &channel,
        server: &server,
        from_client,
        from_server: Bytes::new(),
        silence: client.tunnel_silence(&lease.backend().config).even(),
    };
    let end = tokio::select! {
        biased;
        () = client.killed() => End::KILLED,
        end = tunnel.relay(&client.thread.tunnels, &meter) => end,
    };
    account.tunnelled(end.termination(), meter.server_bytes());
    drop(account);
    end.tell(channel, server).await;
}

/// Waits until the client's connection fails. A client that ended what it sends is still there: it
/// may wait for a server that speaks first.
async fn broke(stream: &TcpStream) {
    let _ = stream.ready(Interest::ERROR).await;
}

/// Connects to a server of the backend, to another one if it must be. What the server is to be sent
/// first comes with it.
async fn reach_server(
    client: &Rc<Client>,
    place: &Place,
    account: &mut Account,
) -> Result<(Channel, Bytes), Fault> {
    let view = &place.view;
    let frontend = &view.snapshot.frontends[place.frontend];
    if let Some(gate) = &frontend.gate {
        gate.admit(client.peer.ip())?;
    }
    let backend = frontend.config.default_backend.as_ref();
    let backend = backend.and_then(|name| view.snapshot.backend_position(name));
    let backend = backend.ok_or(Fault::NoRoute)?;
    account.routed(backend);
    let config = &view.snapshot.backends[backend].config;
    let mut tried = Vec::new();
    let mut last = Fault::NoServer;
    loop {
        account.lease = None;
        client.has_session(None);
        account.lease = match lease(client, view, backend, &tried, account).await {
            Ok(lease) => Some(lease),
            Err(Fault::NoServer) => None,
            Err(fault) => return Err(fault),
        };
        account.picked();
        client.has_session(account.lease.as_ref());
        let Some(lease) = &account.lease else {
            return Err(last);
        };
        let server = lease.position();
        if tried.contains(&server) {
            sleep(TURN_AROUND.min(config.timeouts.connect)).await;
        }
        account.connecting();
        let introduction = client.introduction(lease.config());
        match connect(
            client.thread.id,
            lease,
            introduction,
            config.timeouts.connect,
        )
        .await
        {
            Ok((server, first)) => {
                account.connected();
                return Ok((Channel::Socket(server), first));
            }
            Err(fault) => last = fault,
        }
        account.connect_error();
        if tried.len() >= config.retries as usize {
            return Err(last);
        }
        tried.push(server);
    }
}

/// A session on a server, waited for if need be.
async fn lease(
    client: &Client,
    view: &Rc<View>,
    backend: usize,
    tried: &[usize],
    account: &Account,
) -> Result<Lease, Fault> {
    let thread = &client.thread;
    let config = &view.snapshot.backends[backend].config;
    let key = balance::key(&config.balance, client.peer.ip(), "", &HeaderMap::new());
    let look = || match tried.last().filter(|_| !config.redispatch) {
        Some(same) => Lease::on(thread, view, backend, *same, Who::Anybody),
        None => Lease::take(thread, view, backend, key, tried),
    };
    let waits = |ahead| account.waits(ahead);
    let watch = &client.watch;
    watched(
        watch,
        queue::lease(thread, watch, view, backend, look, waits),
    )
    .await
}

async fn connect(
    thread: ThreadId,
    lease: &Lease,
    introduction: Option<Vec<u8>>,
    patience: Duration,
) -> Result<(Socket, Bytes), Fault> {
    let mut introduction = introduction.unwrap_or_default();
    let to = Destination::of(lease);
    match timeout(patience, to.open(thread, &mut introduction)).await {
        Ok(Ok(stream)) => Ok((stream, introduction.into())),
        Ok(Err(_)) => Err(Fault::ConnectFailed),
        Err(_) => Err(Fault::ConnectTimedOut),
    }
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
            if watch.is_sooner() {
                timer.as_mut().reset(watch.next_look(Instant::now()));
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
