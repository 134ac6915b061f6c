//! Asks a server what lbd's health check asks it, once, and keeps what came back.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use lb_proto::config::{CheckKind, ProxyVersion};
use lb_proto::os_error::in_words;
use lb_proto::status::CheckResult;

use super::tls::{Tls, Unshaken};

/// As the daemon calls itself: some applications answer monitors by their name.
const USER_AGENT: &str = concat!("lbd/", env!("CARGO_PKG_VERSION"));

/// The largest head that is read, as of a check.
const MOST_HEAD: usize = 16 * 1024;

/// Of the body, enough to tell one page from another.
const MOST_BODY: usize = 512;

/// For the body after the head. Some servers do not close though they are asked to.
const BODY_PATIENCE: Duration = Duration::from_millis(500);

/// A server, and how it is spoken to.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) send_proxy: Option<ProxyVersion>,
    pub(super) tls: Option<Tls>,
    /// The Host where the check names none.
    pub(super) host: String,
}

/// What one question came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) result: CheckResult,
    pub(super) status: Option<u16>,
    /// One sentence about it.
    pub(super) detail: String,
    /// The first line of the answer, where it has to be seen, and a little of its body.
    pub(super) came_back: Vec<String>,
}

impl Seen {
    fn new(result: CheckResult, detail: impl Into<String>) -> Self {
        Self {
            result,
            status: None,
            detail: detail.into(),
            came_back: Vec::new(),
        }
    }
}

pub(super) trait Stream: Read + Write {
    /// Waits no longer than until then.
    fn hurry(&mut self, deadline: Instant);
}

/// A connection that waits for nothing beyond its deadline.
#[derive(Debug)]
pub(super) struct Bounded {
    tcp: TcpStream,
    deadline: Instant,
}

impl Bounded {
    fn connect(address: SocketAddr, deadline: Instant) -> io::Result<Self> {
        let tcp = TcpStream::connect_timeout(&address, left(deadline)?)?;
        Ok(Self { tcp, deadline })
    }

    pub(super) fn is_late(&self) -> bool {
        left(self.deadline).is_err()
    }
}

impl Stream for Bounded {
    fn hurry(&mut self, deadline: Instant) {
        self.deadline = self.deadline.min(deadline);
    }
}

impl Read for Bounded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.tcp.set_read_timeout(Some(left(self.deadline)?))?;
        self.tcp.read(into)
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tcp.set_write_timeout(Some(left(self.deadline)?))?;
        self.tcp.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(ErrorKind::TimedOut.into()),
        false => Ok(left),
    }
}

/// Whether an error says that the time is over; a read that waited in vain says so in its own way.
fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

/// Asks once, all of it within `timeout`.
pub(super) fn ask(target: &Target, kind: &CheckKind, timeout: Duration) -> Seen {
    let late = |what: &str| format!("{what} within {timeout:?}");
    let deadline = Instant::now() + timeout;
    let connected = Bounded::connect(target.address, deadline).and_then(|mut tcp| {
        if let Some(version) = target.send_proxy {
            tcp.write_all(version.about_nobody())?;
        }
        Ok(tcp)
    });
    let tcp = match connected {
        Ok(tcp) => tcp,
        Err(error) if is_late(&error) => {
            return Seen::new(CheckResult::L4TOUT, late("no connection"));
        }
        Err(error) => return Seen::new(CheckResult::L4CON, in_words(&error)),
    };
    let (reached, mut stream): (_, Box<dyn Stream>) = match &target.tls {
        None => (CheckResult::L4OK, Box::new(tcp)),
        Some(tls) => match tls.shake_hands(tcp) {
            Ok(stream) => (CheckResult::L6OK, stream),
            Err(Unshaken { late: true, .. }) => {
                let what = late("the TLS handshake did not end");
                return Seen::new(CheckResult::L6TOUT, what);
            }
            Err(Unshaken { why, .. }) => {
                return Seen::new(CheckResult::L6RSP, format!("no TLS: {why}"));
            }
        },
    };
    let CheckKind::Http {
        method, path, host, ..
    } = kind
    else {
        return Seen::new(reached, "connected");
    };
    let what = format!("{method} {path}");
    let host = host.as_deref().unwrap_or(&target.host);
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: {USER_AGENT}\r\nconnection: close\r\n\r\n"
    );
    let sent = stream
        .write_all(request.as_bytes())
        .and_then(|()| stream.flush());
    match sent.and_then(|()| receive(&mut *stream)) {
        Ok(bytes) => judge(&what, &bytes, kind),
        Err(error) if is_late(&error) => {
            Seen::new(CheckResult::L7TOUT, late(&format!("{what} got no answer")))
        }
        Err(error) => {
            let why = in_words(&error);
            Seen::new(
                CheckResult::L7RSP,
                format!("{what} got no valid answer: {why}"),
            )
        }
    }
}

/// A head, and what comes of the body soon after.
fn receive(stream: &mut dyn Stream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    let mut has_head = false;
    while bytes.len() < MOST_HEAD {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Once there is something, what is missing of it does not matter.
            Err(_) if !bytes.is_empty() => return Ok(bytes),
            Err(error) => return Err(error),
        }
        if let Some(head) = end_of_head(&bytes) {
            let body = bytes.len() - head;
            if body >= MOST_BODY || length(&bytes[..head]).is_some_and(|whole| body >= whole) {
                return Ok(bytes);
            }
            if !std::mem::replace(&mut has_head, true) {
                stream.hurry(Instant::now() + BODY_PATIENCE);
            }
        }
    }
    Ok(bytes)
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    let at = bytes.windows(END.len()).position(|window| window == END)?;
    Some(at + END.len())
}

/// What a head says of the length of its body.
fn length(head: &[u8]) -> Option<usize> {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut response = httparse::Response::new(&mut fields);
    response.parse(head).ok()?;
    let length = field(&response, "content-length")?;
    std::str::from_utf8(length).ok()?.trim().parse().ok()
}

fn field<'b>(response: &httparse::Response<'_, 'b>, name: &str) -> Option<&'b [u8]> {
    let mut fields = response.headers.iter();
    let found = fields.find(|field| field.name.eq_ignore_ascii_case(name));
    found.map(|field| field.value)
}

/// What the bytes are, by what the check expects. `what` was asked.
fn judge(what: &str, bytes: &[u8], kind: &CheckKind) -> Seen {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut response = httparse::Response::new(&mut fields);
    let parsed = response.parse(bytes);
    let (Ok(httparse::Status::Complete(head)), Some(status)) = (parsed, response.code) else {
        let why = match bytes {
            [] => "it closed the connection",
            _ => "what came is no HTTP",
        };
        let detail = format!("{what} got no valid answer: {why}");
        let mut seen = Seen::new(CheckResult::L7RSP, detail);
        seen.came_back.extend(excerpt(bytes));
        return seen;
    };
    let mut detail = format!("{what} answered {status}");
    let good = kind.expects(status);
    if !good {
        detail = format!("{detail}, expected {}", kind.expected());
    }
    let mut came_back: Vec<String> = bytes
        .split(|b| *b == b'\n')
        .next()
        .and_then(excerpt)
        .into_iter()
        .collect();
    if let Some(to) = field(&response, "location").and_then(excerpt) {
        came_back.push(format!("location: {to}"));
    }
    let chunked = field(&response, "transfer-encoding").is_some();
    let mut body = &bytes[head..];
    if chunked {
        // The length of the first chunk stands before it.
        let end = body.iter().position(|b| *b == b'\n').map_or(0, |at| at + 1);
        body = &body[end..];
    }
    came_back.extend(excerpt(body));
    Seen {
        result: if good {
            CheckResult::L7OK
        } else {
            CheckResult::L7STS
        },
        status: Some(status),
        detail,
        came_back,
    }
}

/// A little of what came, in one line that no terminal minds.
fn excerpt(bytes: &[u8]) -> Option<String> {
    const SHOWN: usize = 160;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * SHOWN)]);
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let line = words.join(" ");
    let short: String = line.chars().take(SHOWN).collect();
    match (short.is_empty(), short.len() < line.len()) {
        (true, _) => None,
        (false, true) => Some(format!("{short}…")),
        (false, false) => Some(short),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn http(path: &str) -> CheckKind {
        CheckKind::Http {
            method: "GET".to_owned(),
            path: path.to_owned(),
            host: None,
            expect: vec![200..=200],
        }
    }

    fn target(address: SocketAddr) -> Target {
        Target {
            address,
            send_proxy: None,
            tls: None,
            host: "app.test".to_owned(),
        }
    }

    /// What is seen of a server that answers once with these bytes; `closes` or is silent then.
    fn seen(answer: &'static [u8], closes: bool) -> (Seen, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while end_of_head(&head).is_none() {
                let mut some = [0; 1024];
                match stream.read(&mut some).unwrap() {
                    0 => break,
                    n => head.extend_from_slice(&some[..n]),
                }
            }
            stream.write_all(answer).unwrap();
            if !closes {
                // Until the other side has seen enough.
                let _ = stream.read(&mut [0; 1]);
            }
            String::from_utf8(head).unwrap()
        });
        let seen = ask(&target(address), &http("/healthz"), PATIENCE);
        (seen, server.join().unwrap())
    }

    #[test]
    fn an_answer_is_kept_and_the_question_is_lbds() {
        let answer =
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 22\r\n\r\n<p>no such\npage</p>\x1b[31m";
        let (seen, asked) = seen(answer, false);
        assert_eq!((seen.result, seen.status), (CheckResult::L7STS, Some(404)));
        assert_eq!(seen.detail, "GET /healthz answered 404, expected 200");
        assert_eq!(
            seen.came_back,
            ["HTTP/1.1 404 Not Found", "<p>no such page</p> [31m"]
        );
        assert!(asked.starts_with("GET /healthz HTTP/1.1\r\nhost: app.test\r\nuser-agent: lbd/"));
    }

    #[test]
    fn a_server_that_never_closes_is_not_waited_for() {
        let began = Instant::now();
        let (seen, _) = seen(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
            false,
        );
        assert_eq!(seen.result, CheckResult::L7OK);
        assert_eq!(seen.came_back, ["HTTP/1.1 200 OK", "hello"]);
        assert!(began.elapsed() < PATIENCE, "it was waited for to the last");
    }

    #[test]
    fn what_is_no_http_is_shown() {
        let (garbage, _) = seen(b"220 mail.test ESMTP\r\n", true);
        assert_eq!(garbage.result, CheckResult::L7RSP);
        assert_eq!(garbage.came_back, ["220 mail.test ESMTP"]);
        let (nothing, _) = seen(b"", true);
        assert_eq!(
            nothing.detail,
            "GET /healthz got no valid answer: it closed the connection"
        );
        let (moved, _) = seen(
            b"HTTP/1.1 301 Moved\r\nlocation: https://app.test/\r\n\r\n",
            true,
        );
        assert_eq!(
            moved.came_back,
            ["HTTP/1.1 301 Moved", "location: https://app.test/"]
        );
    }

    #[test]
    fn silence_and_refusal_are_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let short = Duration::from_millis(50);
        let silent = ask(&target(address), &http("/"), short);
        assert_eq!(silent.result, CheckResult::L7TOUT);
        let connected = ask(&target(address), &CheckKind::Tcp, PATIENCE);
        assert_eq!(connected.result, CheckResult::L4OK);
        drop(listener);
        // A program that another test is starting may have it open for a moment.
        let deadline = Instant::now() + PATIENCE;
        let again = std::iter::from_fn(|| {
            (Instant::now() < deadline).then(|| ask(&target(address), &http("/"), PATIENCE))
        });
        let refused = again
            .into_iter()
            .find(|seen| seen.result == CheckResult::L4CON);
        let refused = refused.unwrap();
        assert_eq!(refused.detail, "connection refused");
    }
}
