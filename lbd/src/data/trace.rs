//! What the access log and a span will tell of a request or a connection, collected on its way: stamps, counts, and
//! how it ended. There is none while nothing is logged and nothing traced.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::{HeaderValue, Request, StatusCode, Version};

use super::fault::Fault;
use super::journal::Journal;
use super::outcome::Outcome;
use super::request_id::REQUEST_ID;
use crate::access_log::{
    BAD_REQUEST, Cause, CookieFlags, Counts, Kind, Line, Phase, Termination, Timers, push_request,
};
use crate::state::{Ahead, Backend, Frontend, Snapshot};
use crate::traces::Span;

/// What a request can still ask of its client's connection when that is gone.
#[derive(Debug)]
pub(super) struct Flow {
    peer: SocketAddr,
    /// Bytes sent to the client so far.
    written: Cell<u64>,
    /// When the head began that is coming in, where it did not come whole.
    head_began: Cell<Option<Instant>>,
    /// Why the connection is about to be cut in the middle of a request.
    cut: Cell<Option<Cause>>,
    /// What was wrong with the bytes that came in the middle of a request.
    refused: Cell<Option<Fault>>,
}

impl Flow {
    pub(super) fn new(peer: SocketAddr) -> Rc<Self> {
        Rc::new(Self {
            peer,
            written: Cell::new(0),
            head_began: Cell::new(None),
            cut: Cell::new(None),
            refused: Cell::new(None),
        })
    }

    pub(super) fn written(&self) -> u64 {
        self.written.get()
    }

    pub(super) fn wrote(&self, n: u64) {
        self.written.set(self.written.get() + n);
    }

    pub(super) fn head_began(&self, at: Instant) {
        self.head_began.set(Some(at));
    }

    pub(super) fn will_be_cut(&self, by: Cause) {
        self.cut.set(Some(by));
    }

    pub(super) fn will_be_refused(&self, fault: Fault) {
        self.refused.set(Some(fault));
    }

    pub(super) fn refused(&self) -> Option<Fault> {
        self.refused.get()
    }
}

/// What was asked for.
#[derive(Debug)]
struct Asked {
    /// The request line, escaped.
    line: Vec<u8>,
    id: Option<HeaderValue>,
}

#[derive(Debug)]
pub(super) struct Trace {
    /// `None`: it is a connection in mode tcp.
    request: Option<Asked>,
    began: Instant,
    pub(super) backend: Option<usize>,
    server: Option<usize>,
    /// How long it waited for a server; `None`: it got none.
    queued: Option<Duration>,
    /// Since when it waits.
    waiting: Option<Instant>,
    connecting: Option<Instant>,
    connected: Option<Instant>,
    /// How long the last connect took.
    connect: Option<Duration>,
    answered: Option<Instant>,
    retries: u32,
    redispatched: bool,
    server_queue: u64,
    backend_queue: u64,
    /// What it is at.
    phase: Phase,
    /// The first thing that went wrong, if anything did.
    end: Option<Termination>,
    /// `None`: it is not one of those that are traced.
    pub(super) span: Option<Box<Span>>,
}

impl Trace {
    /// A request whose head is whole.
    pub(super) fn of_request<B>(
        outcome: &Outcome,
        request: &Request<B>,
        span: Option<Box<Span>>,
    ) -> Self {
        let mut line = Vec::with_capacity(128);
        push_request_line(&mut line, request);
        let id = request.headers().get(REQUEST_ID).cloned();
        Self {
            span,
            ..Self::begin(outcome, Some(Asked { line, id }))
        }
    }

    /// A connection in mode tcp.
    pub(super) fn of_connection(outcome: &Outcome) -> Self {
        Self::begin(outcome, None)
    }

    fn begin(outcome: &Outcome, request: Option<Asked>) -> Self {
        let head_began = outcome.flow.head_began.take();
        Self {
            request,
            began: head_began.unwrap_or(outcome.asked),
            backend: None,
            server: None,
            queued: None,
            waiting: None,
            connecting: None,
            connected: None,
            connect: None,
            answered: None,
            retries: 0,
            redispatched: false,
            server_queue: 0,
            backend_queue: 0,
            phase: Phase::Request,
            end: None,
            span: None,
        }
    }

    /// It is for this backend.
    pub(super) fn routed(&mut self, backend: usize) {
        self.backend = Some(backend);
        self.phase = Phase::Queue;
    }

    /// It waits in the backend's queue, so many before it for the same server or for any.
    pub(super) fn waits(&mut self, ahead: Ahead) {
        self.phase = Phase::Queue;
        if self.waiting.is_none() {
            self.waiting = Some(Instant::now());
            self.server_queue = ahead.for_server;
            self.backend_queue = ahead.for_any;
        }
    }

    /// How long it has waited.
    fn time_queued(&self, now: Instant) -> Option<Duration> {
        let waiting = self
            .waiting
            .map(|began| now.saturating_duration_since(began));
        match (self.queued, waiting) {
            (queued, Some(waiting)) => Some(queued.unwrap_or_default() + waiting),
            (queued, None) => queued,
        }
    }

    /// It has a session on this server, not for the first time if it is tried again.
    pub(super) fn picked(&mut self, server: usize) {
        if let Some(before) = self.server.replace(server) {
            self.retries += 1;
            self.redispatched |= before != server;
        }
        if self.waiting.is_some() {
            self.queued = self.time_queued(Instant::now());
            self.waiting = None;
        }
        self.queued.get_or_insert(Duration::ZERO);
        self.connect = None;
        self.phase = Phase::Connect;
    }

    /// A connection to the server is being made.
    pub(super) fn connecting(&mut self) {
        self.connecting = Some(Instant::now());
    }

    /// There is a connection to the server, be it one that was kept.
    pub(super) fn connected(&mut self, now: Instant) {
        self.phase = Phase::Head;
        let connecting = self.connecting.take();
        let took = connecting.map(|began| now.saturating_duration_since(began));
        self.connect = Some(took.unwrap_or_default());
        self.connected = Some(now);
    }

    /// The head of the server's response has come.
    pub(super) fn answered(&mut self, now: Instant) {
        self.answered = Some(now);
        self.phase = Phase::Data;
    }

    /// There is nothing to wait for but bytes.
    pub(super) fn relays(&mut self) {
        self.phase = Phase::Data;
    }

    /// lbd answers itself.
    pub(super) fn answers(&mut self, end: Termination) {
        self.end.get_or_insert(end);
    }

    /// It cannot be finished.
    pub(super) fn cut(&mut self, by: Cause) {
        self.end.get_or_insert(Termination::at(by, self.phase));
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// The position of the last one that it had a session on.
    pub(super) fn server(&self) -> Option<usize> {
        self.server
    }

    pub(super) fn retries(&self) -> u32 {
        self.retries
    }

    /// It was a tunnel, which ended like this.
    pub(super) fn tunnelled(&mut self, end: Termination) {
        self.end.get_or_insert(end);
    }

    /// How it ended: the first thing that was noted, else what happened to the connection, else nothing.
    pub(super) fn end(&self, outcome: &Outcome) -> Termination {
        if let Some(end) = self.end {
            return end;
        }
        if outcome.is_complete() {
            return Termination::NORMAL;
        }
        if let Some(fault) = outcome.flow.refused() {
            return fault.termination(self.phase);
        }
        let by = outcome.flow.cut.get().unwrap_or(Cause::Client);
        Termination::at(by, self.phase)
    }

    /// Writes the line, if there is a log.
    pub(super) fn write(
        &self,
        outcome: &Outcome,
        cookies: CookieFlags,
        journal: &Journal,
        snapshot: &Snapshot,
        frontend: usize,
    ) {
        if !journal.is_on() {
            return;
        }
        let now = Instant::now();
        let since = |then: Instant| now.saturating_duration_since(then);
        let (peer, status) = (outcome.flow.peer, outcome.status());
        let response = self.answered.zip(self.connected);
        let frontend = &snapshot.frontends[frontend];
        let backend = self.backend.map(|backend| &snapshot.backends[backend]);
        let server = backend
            .zip(self.server)
            .map(|(backend, server)| (&backend.config.servers[server], &backend.servers[server]));
        let requests = |backend: &Backend| backend.pool.requests();
        journal.write(&Line {
            began: journal.date(self.began),
            now: journal.date(now),
            client_ip: peer.ip().to_canonical(),
            client_port: peer.port(),
            frontend: frontend.config.name.as_str(),
            backend: backend.map(|backend| backend.config.name.as_str()),
            server: server.map(|(config, _)| config.name.as_str()),
            timers: Timers {
                request: Some(outcome.asked.saturating_duration_since(self.began)),
                queue: self.time_queued(now),
                connect: self.connect,
                response: response.map(|(at, sent)| at.saturating_duration_since(sent)),
                whole: since(self.began),
            },
            bytes: outcome.bytes(),
            termination: self.end(outcome),
            counts: Counts {
                process: journal.connections(),
                frontend: frontend.record.limit.taken() as u64,
                backend: backend.map_or(0, requests),
                server: server.map_or(0, |(_, server)| server.sessions()),
                retries: self.retries,
                redispatched: self.redispatched,
                server_queue: self.server_queue,
                backend_queue: self.backend_queue,
            },
            kind: match &self.request {
                Some(Asked { line, id }) => Kind::Http {
                    request: line,
                    id: id.as_ref().map(HeaderValue::as_bytes),
                    status: status.map(|status| status.as_u16()),
                    cookies,
                },
                None => Kind::Tcp,
            },
        });
    }
}

/// Writes the line of a request whose head never came whole, or was none.
pub(super) fn write_bad_request(
    flow: &Flow,
    journal: &Journal,
    frontend: &Frontend,
    status: Option<StatusCode>,
    termination: Termination,
    bytes: u64,
) {
    let now = Instant::now();
    let began = flow.head_began.take().unwrap_or(now);
    journal.write(&Line {
        began: journal.date(began),
        now: journal.date(now),
        client_ip: flow.peer.ip().to_canonical(),
        client_port: flow.peer.port(),
        frontend: frontend.config.name.as_str(),
        backend: None,
        server: None,
        timers: Timers {
            whole: now.saturating_duration_since(began),
            ..Timers::default()
        },
        bytes,
        termination,
        counts: Counts {
            process: journal.connections(),
            frontend: frontend.record.limit.taken() as u64,
            ..Counts::default()
        },
        kind: Kind::Http {
            request: BAD_REQUEST,
            id: None,
            status: status.map(|status| status.as_u16()),
            cookies: CookieFlags::default(),
        },
    });
}

fn push_request_line<B>(into: &mut Vec<u8>, request: &Request<B>) {
    let uri = request.uri();
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    let version: &[u8] = match request.version() {
        Version::HTTP_10 => b" HTTP/1.0",
        Version::HTTP_2 => b" HTTP/2.0",
        _ => b" HTTP/1.1",
    };
    let method = request.method().as_str().as_bytes();
    let (scheme, separator, authority) = match (uri.scheme_str(), uri.authority()) {
        (Some(scheme), Some(authority)) => (scheme, "://", authority.as_str()),
        (None, Some(authority)) => ("", "", authority.as_str()),
        (_, None) => ("", "", ""),
    };
    let (scheme, separator, authority) = match path {
        "*" => ("", "", ""),
        _ => (scheme, separator, authority),
    };
    push_request(
        into,
        [
            method,
            b" ",
            scheme.as_bytes(),
            separator.as_bytes(),
            authority.as_bytes(),
            path.as_bytes(),
            version,
        ],
    );
}
