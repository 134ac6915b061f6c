//! A request as a line: HAProxy's `httplog` and `tcplog` (configuration manual, 8.2), or JSON. Pure.

use std::net::IpAddr;
use std::time::Duration;

use lb_proto::config::{AccessLog, LogFormat};

use super::dates::Dates;
use super::termination::{CookieFlags, Termination};

/// What stands for a request line that never came whole.
pub(crate) const BAD_REQUEST: &[u8] = b"<BADREQ>";

/// What stands for the server of a request that never had one.
const NO_SERVER: &str = "<NOSRV>";

/// Bytes of a request line that are logged; HAProxy's `tune.http.logurilen` has the same default.
const MAX_REQUEST: usize = 1024;

/// Bytes of an id that are logged.
const MAX_ID: usize = 128;

/// Everything that is told of a request, or of a connection in mode tcp.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    /// When its first byte came, in milliseconds since 1970.
    pub(crate) began: i64,
    /// The same of now.
    pub(crate) now: i64,
    pub(crate) client_ip: IpAddr,
    pub(crate) client_port: u16,
    pub(crate) frontend: &'a str,
    /// `None`: it was for no backend; HAProxy then names the frontend.
    pub(crate) backend: Option<&'a str>,
    pub(crate) server: Option<&'a str>,
    pub(crate) timers: Timers,
    /// To the client, heads included.
    pub(crate) bytes: u64,
    pub(crate) termination: Termination,
    pub(crate) counts: Counts,
    pub(crate) kind: Kind<'a>,
}

/// What it was.
#[derive(Debug)]
pub(crate) enum Kind<'a> {
    Http {
        /// As [`push_request`] made it.
        request: &'a [u8],
        /// Its `X-Request-Id`; `None` where no head came.
        id: Option<&'a [u8]>,
        /// `None`: the client was sent none.
        status: Option<u16>,
        cookies: CookieFlags,
    },
    /// A connection in mode tcp.
    Tcp,
}

/// How long each part took; `None`: it never came to that, or never ended.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Timers {
    /// Until the request's head was whole: TR.
    pub(crate) request: Option<Duration>,
    /// In queues: Tw.
    pub(crate) queue: Option<Duration>,
    /// To connect to the server: Tc.
    pub(crate) connect: Option<Duration>,
    /// Until the head of the server's response: Tr.
    pub(crate) response: Option<Duration>,
    /// From the first byte of the request to the last of the response: Ta; Tt of a connection.
    pub(crate) whole: Duration,
}

/// What ran at the same time, itself included, and what it took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Connections of the process, and of the frontend.
    pub(crate) process: u64,
    pub(crate) frontend: u64,
    /// Requests of the backend, and sessions of the server.
    pub(crate) backend: u64,
    pub(crate) server: u64,
    pub(crate) retries: u32,
    /// A retry went to another server.
    pub(crate) redispatched: bool,
    /// Requests that were before it in the server's queue, and in the backend's.
    pub(crate) server_queue: u64,
    pub(crate) backend_queue: u64,
}

impl Line<'_> {
    /// Appends the line, with its line end.
    pub(crate) fn write(&self, config: &AccessLog, dates: &mut Dates, into: &mut Vec<u8>) {
        match config.format {
            LogFormat::Text => self.text(config.request_id, dates, into),
            LogFormat::Json => self.json(dates, into),
        }
        into.push(b'\n');
    }

    /// `with_id`: the id of a request is written as HAProxy writes captured header fields (8.8).
    fn text(&self, with_id: bool, dates: &mut Dates, into: &mut Vec<u8>) {
        let Timers {
            request,
            queue,
            connect,
            response,
            whole,
        } = self.timers;
        let counts = &self.counts;
        into.extend_from_slice(dates.syslog(self.now));
        push_ip(into, self.client_ip);
        into.push(b':');
        push_number(into, self.client_port);
        into.extend_from_slice(b" [");
        into.extend_from_slice(dates.accept(self.began));
        push_milliseconds(into, self.began);
        into.extend_from_slice(b"] ");
        into.extend_from_slice(self.frontend.as_bytes());
        into.push(b' ');
        into.extend_from_slice(self.backend.unwrap_or(self.frontend).as_bytes());
        into.push(b'/');
        into.extend_from_slice(self.server.unwrap_or(NO_SERVER).as_bytes());
        into.push(b' ');
        match &self.kind {
            Kind::Http { status, .. } => {
                push_timers(into, &[request, queue, connect, response, Some(whole)]);
                into.push(b' ');
                push_number(into, status.map_or(-1, i32::from));
            }
            Kind::Tcp => push_timers(into, &[queue, connect, Some(whole)]),
        }
        into.push(b' ');
        push_number(into, self.bytes);
        match &self.kind {
            Kind::Http { cookies, .. } => {
                into.extend_from_slice(b" - - ");
                into.extend_from_slice(&self.termination.letters());
                into.extend_from_slice(&cookies.0);
            }
            Kind::Tcp => {
                into.push(b' ');
                into.extend_from_slice(&self.termination.letters());
            }
        }
        for (before, count) in [
            (b' ', counts.process),
            (b'/', counts.frontend),
            (b'/', counts.backend),
            (b'/', counts.server),
        ] {
            into.push(before);
            push_number(into, count);
        }
        into.extend_from_slice(if counts.redispatched { b"/+" } else { b"/" });
        push_number(into, counts.retries);
        into.push(b' ');
        push_number(into, counts.server_queue);
        into.push(b'/');
        push_number(into, counts.backend_queue);
        if let Kind::Http { request, id, .. } = &self.kind {
            if with_id {
                into.extend_from_slice(b" {");
                push_id(into, id.unwrap_or_default());
                into.push(b'}');
            }
            into.extend_from_slice(b" \"");
            into.extend_from_slice(request);
            into.push(b'"');
        }
    }

    /// Names, ids and the client's address hold nothing that JSON escapes, and of a request line only the
    /// backslash is left.
    fn json(&self, dates: &mut Dates, into: &mut Vec<u8>) {
        let mut object = Object { into, first: true };
        object.name("request_date");
        object.into.push(b'"');
        object.into.extend_from_slice(dates.iso(self.began));
        push_milliseconds(object.into, self.began);
        object.into.extend_from_slice(b"Z\"");
        object.name("client_ip");
        object.into.push(b'"');
        push_ip(object.into, self.client_ip);
        object.into.push(b'"');
        object.number("client_port", self.client_port);
        object.text("frontend_name", self.frontend.as_bytes());
        let backend = self.backend.unwrap_or(self.frontend);
        object.text("backend_name", backend.as_bytes());
        object.text("server_name", self.server.unwrap_or(NO_SERVER).as_bytes());
        let timers = &self.timers;
        let whole = in_milliseconds(Some(timers.whole));
        match &self.kind {
            Kind::Http { status, .. } => {
                object.number("time_request", in_milliseconds(timers.request));
                object.number("time_queue", in_milliseconds(timers.queue));
                object.number("time_connect", in_milliseconds(timers.connect));
                object.number("time_response", in_milliseconds(timers.response));
                object.number("time_active", whole);
                object.number("status_code", status.map_or(-1, i32::from));
            }
            Kind::Tcp => {
                object.number("time_queue", in_milliseconds(timers.queue));
                object.number("time_connect", in_milliseconds(timers.connect));
                object.number("time_total", whole);
            }
        }
        object.number("bytes_read", self.bytes);
        let ends = self.termination.letters();
        match &self.kind {
            Kind::Http { cookies, .. } => {
                object.text("captured_request_cookie", b"-");
                object.text("captured_response_cookie", b"-");
                object.text("termination_state", &[ends, cookies.0].concat());
            }
            Kind::Tcp => object.text("termination_state", &ends),
        }
        let counts = &self.counts;
        object.number("actconn", counts.process);
        object.number("feconn", counts.frontend);
        object.number("beconn", counts.backend);
        object.number("srv_conn", counts.server);
        object.number("retries", counts.retries);
        object.flag("redispatched", counts.redispatched);
        object.number("srv_queue", counts.server_queue);
        object.number("backend_queue", counts.backend_queue);
        if let Kind::Http { request, id, .. } = &self.kind {
            object.text("http_request", request);
            object.name("request_id");
            object.into.push(b'"');
            push_id(object.into, id.unwrap_or_default());
            object.into.push(b'"');
        }
        into.push(b'}');
    }
}

/// A JSON object as it is written.
struct Object<'a> {
    into: &'a mut Vec<u8>,
    first: bool,
}

impl Object<'_> {
    fn name(&mut self, name: &str) {
        let before: &[u8] = if self.first { b"{\"" } else { b",\"" };
        self.first = false;
        self.into.extend_from_slice(before);
        self.into.extend_from_slice(name.as_bytes());
        self.into.extend_from_slice(b"\":");
    }

    fn text(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        self.into.push(b'"');
        for piece in value.split_inclusive(|byte| *byte == b'\\') {
            self.into.extend_from_slice(piece);
            if piece.ends_with(b"\\") {
                self.into.push(b'\\');
            }
        }
        self.into.push(b'"');
    }

    fn number(&mut self, name: &str, value: impl itoa::Integer) {
        self.name(name);
        push_number(self.into, value);
    }

    fn flag(&mut self, name: &str, value: bool) {
        self.name(name);
        self.into
            .extend_from_slice(if value { b"true" } else { b"false" });
    }
}

/// Appends a request line, given in pieces, as HAProxy escapes it: what is not printable, `"` and
/// `#` as `#` and two digits. What is too long is cut.
pub(crate) fn push_request<'a>(into: &mut Vec<u8>, pieces: impl IntoIterator<Item = &'a [u8]>) {
    let mut left = MAX_REQUEST;
    for piece in pieces {
        let piece = &piece[..piece.len().min(left)];
        left -= piece.len();
        push_escaped(into, piece, is_plain);
    }
}

/// Appends an id as HAProxy escapes a captured field: the like, and `{`, `|` and `}`. The backslash
/// as well, so that JSON takes it as it is.
fn push_id(into: &mut Vec<u8>, id: &[u8]) {
    let id = &id[..id.len().min(MAX_ID)];
    push_escaped(into, id, |byte| is_plain(byte) && !br"{|}\".contains(&byte));
}

fn push_escaped(into: &mut Vec<u8>, text: &[u8], is_plain: impl Fn(u8) -> bool) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if text.iter().all(|byte| is_plain(*byte)) {
        into.extend_from_slice(text);
        return;
    }
    for &byte in text {
        if is_plain(byte) {
            into.push(byte);
        } else {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
            into.extend_from_slice(&[b'#', DIGITS[high], DIGITS[low]]);
        }
    }
}

fn is_plain(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'#'
}

fn push_ip(into: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            for (number, after) in [(a, "."), (b, "."), (c, "."), (d, "")] {
                push_number(into, number);
                into.extend_from_slice(after.as_bytes());
            }
        }
        IpAddr::V6(ip) => into.extend_from_slice(ip.to_string().as_bytes()),
    }
}

fn push_number(into: &mut Vec<u8>, number: impl itoa::Integer) {
    into.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// `.042`
fn push_milliseconds(into: &mut Vec<u8>, at: i64) {
    let milliseconds = at.rem_euclid(1000);
    let digit = |n: i64| b'0' + (n % 10) as u8;
    into.extend_from_slice(&[
        b'.',
        digit(milliseconds / 100),
        digit(milliseconds / 10),
        digit(milliseconds),
    ]);
}

fn push_timers(into: &mut Vec<u8>, timers: &[Option<Duration>]) {
    for (n, timer) in timers.iter().enumerate() {
        if n > 0 {
            into.push(b'/');
        }
        push_number(into, in_milliseconds(*timer));
    }
}

/// As HAProxy has it: -1 for what never came to an end.
fn in_milliseconds(timer: Option<Duration>) -> i64 {
    timer.map_or(-1, |timer| {
        i64::try_from(timer.as_millis()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
