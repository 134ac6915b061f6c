//! A client that sends what it is told, byte for byte, and sees how a connection ends.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use crate::eventually::LIMIT;

/// A connection to a server.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    pending: Vec<u8>,
}

/// How a connection ended, seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Eof,
    Reset,
    /// It did not: nothing came for [`LIMIT`].
    Silence,
}

/// A response as it came.
#[derive(Debug, Clone)]
pub struct Response {
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: String,
    pub status: u16,
    /// In the order they came, names as they were written.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// How the connection ended where that cut the body short.
    pub cut: Option<End>,
}

/// Why there is no response.
#[derive(Debug, Clone)]
pub struct NoResponse {
    pub end: End,
    /// What came before the end.
    pub bytes: Vec<u8>,
}

impl Wire {
    #[track_caller]
    pub fn connect(addr: SocketAddr) -> Self {
        Self::try_connect(addr).unwrap_or_else(|e| panic!("cannot connect to {addr}: {e}"))
    }

    /// # Errors
    /// When nobody listens there.
    pub fn try_connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, LIMIT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        Ok(Self {
            stream,
            pending: Vec::new(),
        })
    }

    /// Sends all of it; what a server that closed early does not take is lost.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.try_send(bytes);
        self
    }

    /// # Errors
    /// When the server closed, or took nothing for [`LIMIT`].
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// The response to a request that was sent.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        self.try_response("GET")
            .unwrap_or_else(|e| panic!("no response: {e}"))
    }

    /// The response to a HEAD request, which has no body whatever its length says.
    #[track_caller]
    pub fn response_to_head(&mut self) -> Response {
        self.try_response("HEAD")
            .unwrap_or_else(|e| panic!("no response: {e}"))
    }

    /// The response to a request with `method`, framed as RFC 9112, 6.3 says; 1xx are skipped but
    /// for 101.
    ///
    /// # Errors
    /// When the connection ends before a whole head came.
    pub fn try_response(&mut self, method: &str) -> Result<Response, NoResponse> {
        loop {
            let mut response = self.head()?;
            if matches!(response.status, 100..=199) && response.status != 101 {
                continue;
            }
            self.read_body(method, &mut response);
            return Ok(response);
        }
    }

    /// One response head, be it an interim one; its body is left to be read.
    ///
    /// # Errors
    /// When the connection ends before a whole head came.
    pub fn head(&mut self) -> Result<Response, NoResponse> {
        let end = loop {
            if let Some(at) = find(&self.pending, b"\r\n\r\n") {
                break at + 4;
            }
            if let Err(end) = self.read() {
                return Err(NoResponse {
                    end,
                    bytes: std::mem::take(&mut self.pending),
                });
            }
        };
        let head: Vec<u8> = self.pending.drain(..end).collect();
        parse_head(&head).ok_or(NoResponse {
            end: End::Eof,
            bytes: head,
        })
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// How the connection ended before they came.
    pub fn bytes(&mut self, n: usize) -> Result<Vec<u8>, End> {
        while self.pending.len() < n {
            self.read()?;
        }
        Ok(self.pending.drain(..n).collect())
    }

    /// The next chunk of a chunked body, whole; the last one is empty.
    ///
    /// # Errors
    /// How the connection ended before it came.
    pub fn chunk(&mut self) -> Result<Vec<u8>, End> {
        let line = loop {
            if let Some(at) = find(&self.pending, b"\r\n") {
                break self.bytes(at + 2)?;
            }
            self.read()?;
        };
        let size = String::from_utf8_lossy(&line);
        let size = size.trim().split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size, 16)
            .unwrap_or_else(|_| panic!("not a chunk's size: {:?}", String::from_utf8_lossy(&line)));
        let chunk = self.bytes(size)?;
        self.bytes(2)?;
        Ok(chunk)
    }

    /// Everything that comes until the connection ends, and how it ended.
    pub fn rest(&mut self) -> (Vec<u8>, End) {
        let end = loop {
            if let Err(end) = self.read() {
                break end;
            }
        };
        (std::mem::take(&mut self.pending), end)
    }

    /// Ends our direction; the other stays open.
    pub fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Closes with a reset, as a client that is killed.
    pub fn abort(self) {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// The same connection, to send on while this one reads.
    pub fn another(&self) -> Self {
        let stream = self.stream.try_clone();
        Self {
            stream: stream.expect("there are descriptors"),
            pending: Vec::new(),
        }
    }

    /// The address the server sees.
    pub fn local_addr(&self) -> SocketAddr {
        self.stream
            .local_addr()
            .expect("a connected socket has an address")
    }

    fn read_body(&mut self, method: &str, response: &mut Response) {
        if method == "HEAD" || matches!(response.status, 101 | 204 | 304) {
            return;
        }
        let body = if response.has("transfer-encoding", "chunked") {
            self.chunks(&mut response.body)
        } else if let Some(length) = response.header("content-length") {
            let length = length.parse().expect("a length is a number");
            self.bytes(length)
                .map(|body| response.body = body)
                .inspect_err(|_| response.body = std::mem::take(&mut self.pending))
        } else {
            let (body, end) = self.rest();
            response.body = body;
            if end == End::Eof { Ok(()) } else { Err(end) }
        };
        response.cut = body.err();
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> Result<(), End> {
        loop {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                return Ok(());
            }
            body.extend_from_slice(&chunk);
        }
    }

    fn read(&mut self) -> Result<(), End> {
        let mut buffer = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(End::Eof),
                Ok(n) => {
                    self.pending.extend_from_slice(&buffer[..n]);
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(how_it_ended(&e)),
            }
        }
    }
}

impl Response {
    /// The value of the first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Whether a header of this name lists `token`.
    pub fn has(&self, name: &str, token: &str) -> bool {
        self.headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .flat_map(|(_, value)| value.split(','))
            .any(|listed| listed.trim().eq_ignore_ascii_case(token))
    }

    /// Whether the connection takes another request (RFC 9112, 9.3).
    pub fn keeps_alive(&self) -> bool {
        if self.version == "HTTP/1.0" {
            self.has("connection", "keep-alive")
        } else {
            !self.has("connection", "close")
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The origin that answered, where one did.
    pub fn origin(&self) -> Option<&str> {
        self.header("x-origin")
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("not JSON: {e}\n{}", self.text()))
    }
}

impl fmt::Display for NoResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.end)?;
        if !self.bytes.is_empty() {
            write!(f, " after {:?}", String::from_utf8_lossy(&self.bytes))?;
        }
        Ok(())
    }
}

/// Sends `request` on a connection of its own and reads one response.
#[track_caller]
pub fn ask(addr: SocketAddr, request: impl AsRef<[u8]>) -> Response {
    Wire::connect(addr).send(request).response()
}

/// A plain GET on a connection of its own.
#[track_caller]
pub fn get(addr: SocketAddr, target: &str) -> Response {
    ask(addr, request("GET", target))
}

/// A request without a body, for [`Wire::send`].
pub fn request(method: &str, target: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nhost: test\r\n\r\n")
}

/// A request with a body and its length, for [`Wire::send`].
pub fn upload(method: &str, target: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut request =
        format!("{method} {target} HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n")
            .into_bytes();
    request.extend_from_slice(body);
    request
}

/// Where `mark` first stands in `bytes`.
pub fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}

pub(crate) fn how_it_ended(error: &io::Error) -> End {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => End::Silence,
        _ => End::Reset,
    }
}

fn parse_head(head: &[u8]) -> Option<Response> {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let (version, rest) = lines.next()?.split_once(' ')?;
    let status = rest.get(..3)?.parse().ok()?;
    let headers = lines
        .take_while(|line| !line.is_empty())
        .map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_owned(), value.trim().to_owned()))
        })
        .collect::<Option<_>>()?;
    Some(Response {
        version: version.to_owned(),
        status,
        headers,
        body: Vec::new(),
        cut: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::pattern;
    use crate::{Origin, RawOrigin, eventually, is, origin};

    #[test]
    fn bodies_are_read_by_their_framing() {
        let origin = Origin::start("a");
        let mut wire = Wire::connect(origin.addr());
        for target in ["/bytes?n=100000", "/bytes?n=100000&chunked"] {
            let response = wire.send(request("GET", target)).response();
            assert_eq!(response.status, 200);
            assert_eq!(response.origin(), Some("a"));
            assert!(response.body == pattern(100_000));
        }
        let head = wire
            .send(request("HEAD", "/bytes?n=100000"))
            .response_to_head();
        assert_eq!(head.header("content-length"), Some("100000"));
        let echo = wire.send(upload("POST", "/echo", b"hello")).response();
        assert_eq!(echo.json()["body_hash"], origin::hash(b"hello"));
        assert_eq!(origin.requests_of("GET", "/bytes"), 2);
        assert_eq!((origin.requests(), origin.connections()), (4, 1));
    }

    #[test]
    fn a_cut_body_and_a_missing_response_tell_how_it_ended() {
        let short = RawOrigin::answering("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
        let response = get(short.addr(), "/");
        assert_eq!(
            (response.text(), response.cut),
            ("half".into(), Some(End::Eof))
        );

        let reset = RawOrigin::start(|peer| {
            peer.head();
            peer.reset();
        });
        let mut wire = Wire::connect(reset.addr());
        let error = wire.send(request("GET", "/")).try_response("GET");
        assert_eq!(error.expect_err("it never answers").end, End::Reset);
    }

    #[test]
    fn a_killed_origin_refuses_and_comes_back() {
        let mut origin = Origin::start("a");
        let mut wire = Wire::connect(origin.addr());
        assert_eq!(wire.send(request("GET", "/")).response().text(), "a");
        origin.kill();
        assert!(wire.try_response("GET").is_err());
        assert!(Wire::try_connect(origin.addr()).is_err());
        origin.revive();
        assert_eq!(get(origin.addr(), "/").text(), "a");
        assert_eq!(origin.requests(), 2);
    }

    #[test]
    fn a_held_request_waits_for_its_release() {
        let origin = Origin::start("a");
        origin.hold("/held");
        let mut held = Wire::connect(origin.addr());
        held.send(request("GET", "/held"));
        eventually("the request is held", || is(origin.in_flight(), 1));
        assert_eq!(get(origin.addr(), "/").status, 200);
        assert_eq!(origin.in_flight(), 1);
        origin.release();
        assert_eq!(held.response().status, 200);
    }
}
