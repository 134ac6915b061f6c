//! A blocking client of the control socket.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::retry_on_intr;
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_peercred};
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::PROTOCOL;
use crate::call::Call;
use crate::error::{ErrorCode, ErrorReply};
use crate::event::Event;
use crate::frame::{Line, Lines};
use crate::reply::{Answer, AnswerLine, Greeting};
use crate::request::{RequestLine, Watch};

/// How long the daemon may take to answer. It answers from memory; a reload of a large file is
/// the slowest call.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a line may take. A status of thousands of servers takes well below a second.
const LINE_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest answer read, in bytes. The bound of [`crate::frame::MAX_LINE`] guards the daemon
/// from its clients; the status of a few thousand servers is longer than that.
const MAX_ANSWER: usize = 64 << 20;

const HANGS: &str = "see in its log what it did last; kill -CONT wakes one that was stopped";

/// A connection to the daemon, one call at a time.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    lines: Lines,
    greeting: Greeting,
    last_id: u64,
}

impl Client {
    /// Connects and reads the greeting.
    ///
    /// # Errors
    /// `no_daemon` where nobody listens at `socket`, `not_allowed` where its mode forbids us,
    /// `failed` where what listens speaks another protocol, `timed_out` where it takes nobody in or
    /// says nothing.
    pub fn connect(socket: &Path) -> Result<Self, ErrorReply> {
        Self::connect_within(socket, REPLY_TIMEOUT)
    }

    /// [`Self::connect`], for who waits no longer than `patience` for the greeting, and for each answer
    /// after it.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub fn connect_within(socket: &Path, patience: Duration) -> Result<Self, ErrorReply> {
        let stream = connect(socket, patience).map_err(|e| connect_error(socket, &e))?;
        stream
            .set_read_timeout(Some(patience))
            .map_err(|e| broken(&e))?;
        stream
            .set_write_timeout(Some(patience))
            .map_err(|e| broken(&e))?;
        let mut client = Self {
            stream,
            lines: Lines::up_to(MAX_ANSWER),
            greeting: Greeting {
                lbd: String::new(),
                protocol: 0,
            },
            last_id: 0,
        };
        let line = client
            .read_line()
            .map_err(|e| silent(socket, &client.stream, e))?;
        client.greeting = serde_json::from_slice(&line).map_err(|e| {
            ErrorReply::new(
                ErrorCode::Failed,
                format!("what listens at {} is not lbd: {e}", socket.display()),
            )
        })?;
        if client.greeting.protocol != PROTOCOL {
            return Err(ErrorReply::new(
                ErrorCode::Failed,
                format!(
                    "lbd {} speaks protocol {}, not {PROTOCOL}",
                    client.greeting.lbd, client.greeting.protocol
                ),
            )
            .hint("use the lbctl of the version of lbd"));
        }
        Ok(client)
    }

    /// What the daemon said first.
    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// Makes a call and waits for its reply.
    ///
    /// # Errors
    /// What the daemon answered, or `failed` where the connection broke.
    pub fn call<C: Call>(&mut self, call: &C) -> Result<C::Reply, ErrorReply> {
        let id = self.send(call)?;
        loop {
            let answer = self.read_answer()?;
            if answer.id.is_some_and(|of| of != id) {
                continue;
            }
            return match answer.answer {
                Answer::Ok(value) => serde_json::from_value(value).map_err(|e| {
                    ErrorReply::new(
                        ErrorCode::Failed,
                        format!("the daemon's answer to {:?} does not read: {e}", C::NAME),
                    )
                    .hint("lbd and lbctl may be of different versions")
                }),
                Answer::Error(error) => Err(error),
                Answer::Event(_) => continue,
            };
        }
    }

    /// Turns this connection into a stream of events.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn watch(mut self) -> Result<Events, ErrorReply> {
        self.call(&Watch {})?;
        Ok(Events { client: self })
    }

    fn send<C: Call>(&mut self, call: &C) -> Result<u64, ErrorReply> {
        self.last_id += 1;
        let args = serde_json::to_value(call).map_err(|e| broken(&e.into()))?;
        let line = RequestLine {
            id: self.last_id,
            call: C::NAME.to_owned(),
            args,
        };
        let mut bytes = serde_json::to_vec(&line).map_err(|e| broken(&e.into()))?;
        bytes.push(b'\n');
        self.stream.write_all(&bytes).map_err(|e| broken(&e))?;
        Ok(self.last_id)
    }

    fn read_answer(&mut self) -> Result<AnswerLine, ErrorReply> {
        loop {
            let line = self.read_line()?;
            match serde_json::from_slice(&line) {
                Ok(answer) => return Ok(answer),
                // Of a kind that a later version knows.
                Err(_) if serde_json::from_slice::<SomeEvent>(&line).is_ok() => {}
                Err(e) => {
                    let message = format!("the daemon sent a line that does not read: {e}");
                    return Err(ErrorReply::new(ErrorCode::Failed, message));
                }
            }
        }
    }

    fn read_line(&mut self) -> Result<Vec<u8>, ErrorReply> {
        let mut buffer = [0; 16 * 1024];
        // Each read has its own deadline; who sends a byte now and then gets past that.
        let begun = Instant::now();
        loop {
            if begun.elapsed() > LINE_TIMEOUT {
                return Err(broken(&io::ErrorKind::TimedOut.into()));
            }
            match self.lines.next_line() {
                Some(Line::Whole(line)) => return Ok(line),
                Some(Line::TooLong) => {
                    return Err(ErrorReply::new(
                        ErrorCode::Failed,
                        "the daemon's answer is too long",
                    ));
                }
                None => {}
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(gone()),
                Ok(n) => self.lines.push(&buffer[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(broken(&e)),
            }
        }
    }
}

/// An event, whatever it tells.
#[derive(Deserialize)]
struct SomeEvent {
    #[serde(rename = "event")]
    _event: IgnoredAny,
}

/// The events of [`Client::watch`].
#[derive(Debug)]
pub struct Events {
    client: Client,
}

impl Events {
    /// The next event, or `None` when none came within `patience`.
    ///
    /// # Errors
    /// `no_daemon` when the daemon went away.
    pub fn next(&mut self, patience: Duration) -> Result<Option<Event>, ErrorReply> {
        let patience = patience.max(Duration::from_millis(1));
        self.client
            .stream
            .set_read_timeout(Some(patience))
            .map_err(|e| broken(&e))?;
        match self.client.read_answer() {
            Ok(AnswerLine {
                answer: Answer::Event(event),
                ..
            }) => Ok(Some(event)),
            Ok(_) => Ok(None),
            Err(e) if e.code == ErrorCode::TimedOut => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// Who is stopped takes nobody in, and lets a client wait for that: not longer than `patience`.
fn connect(socket: &Path, patience: Duration) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(socket)?;
    let flags = SocketFlags::CLOEXEC;
    let made = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // Of a Unix socket it bounds connect(2), too.
    set_socket_timeout(&made, Timeout::Send, Some(patience))?;
    retry_on_intr(|| net::connect(&made, &address))?;
    Ok(made.into())
}

/// Somebody listens there, and hung up without a word or says none: that is not nobody.
fn silent(socket: &Path, stream: &UnixStream, error: ErrorReply) -> ErrorReply {
    let socket = socket.display();
    match error.code {
        ErrorCode::NoDaemon => ErrorReply::new(
            ErrorCode::Failed,
            format!("what listens at {socket} hung up without a word"),
        )
        .hint("lbd may be stopping, or have too many clients at once: try again"),
        ErrorCode::TimedOut => {
            let pid = socket_peercred(stream).ok().map(|peer| peer.pid);
            let who = pid.map_or_else(|| "lbd".to_owned(), |pid| format!("lbd (pid {pid})"));
            ErrorReply::new(
                ErrorCode::TimedOut,
                format!("{who} does not answer at {socket}: it hangs or is stopped"),
            )
            .hint(HANGS)
        }
        _ => error,
    }
}

fn connect_error(socket: &Path, error: &io::Error) -> ErrorReply {
    // What is no socket refuses as one does at which nobody listens.
    let is_other = fs::metadata(socket).is_ok_and(|found| !found.file_type().is_socket());
    let socket = socket.display();
    match error.kind() {
        io::ErrorKind::ConnectionRefused if is_other => ErrorReply::new(
            ErrorCode::NoDaemon,
            format!("no daemon: {socket} is no socket"),
        )
        .hint("--socket or LBCTL_SOCKET names the control socket of lbd"),
        io::ErrorKind::PermissionDenied => ErrorReply::new(
            ErrorCode::NotAllowed,
            format!("not allowed to use the control socket {socket}"),
        )
        .hint("run it with sudo, or join the group that socket_group names"),
        io::ErrorKind::NotFound => ErrorReply::new(
            ErrorCode::NoDaemon,
            format!("no daemon: there is no socket {socket}"),
        )
        .hint("is lbd running? --socket or LBCTL_SOCKET names another socket"),
        io::ErrorKind::ConnectionRefused => ErrorReply::new(
            ErrorCode::NoDaemon,
            format!("no daemon listens at {socket}"),
        )
        .hint("lbd left its socket behind when it died; start it again"),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ErrorReply::new(
            ErrorCode::TimedOut,
            format!("lbd does not take us in at {socket}: it hangs or is stopped"),
        )
        .hint(HANGS),
        _ => ErrorReply::new(
            ErrorCode::NoDaemon,
            format!("cannot connect to {socket}: {error}"),
        ),
    }
}

fn broken(error: &io::Error) -> ErrorReply {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            ErrorReply::new(ErrorCode::TimedOut, "the daemon did not answer in time")
        }
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => gone(),
        _ => ErrorReply::new(
            ErrorCode::NoDaemon,
            format!("the control connection broke: {error}"),
        ),
    }
}

fn gone() -> ErrorReply {
    ErrorReply::new(
        ErrorCode::NoDaemon,
        "the daemon closed the control connection",
    )
    .hint("it may be stopping; see its log")
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use rustix::net::{bind, listen, socket};

    use crate::request;

    use super::*;

    /// Additions are no other protocol.
    #[test]
    fn what_a_later_daemon_says_besides_is_no_trouble() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lbd.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let daemon = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for line in [
                r#"{"lbd":"9.9.0","protocol":1,"new":[]}"#,
                r#"{"id":1,"ok":{"watching":true,"new":{}}}"#,
                r#"{"id":1,"event":{"type":"brand_new","at":7}}"#,
                r#"{"id":1,"event":{"type":"missed","events":7,"new":1}}"#,
                r#"{"id":1,"error":{"code":"brand_new","message":"so it is"}}"#,
                r#"{"id":2,"ok":{"events":[{"type":"brand_new"},{"type":"missed","events":1}]}}"#,
            ] {
                stream.write_all(format!("{line}\n").as_bytes()).unwrap();
            }
            stream
        });
        let mut events = Client::connect(&path).unwrap().watch().unwrap();
        let event = events.next(REPLY_TIMEOUT).unwrap();
        assert_eq!(event, Some(Event::Missed { events: 7 }));
        let line = events.client.read_answer().unwrap();
        let Answer::Error(error) = line.answer else {
            panic!("{line:?}");
        };
        assert_eq!(error, ErrorReply::new(ErrorCode::Failed, "so it is"));
        let kept = events.client.call(&request::Events::default()).unwrap();
        assert_eq!(kept.events, [Event::Missed { events: 1 }]);
        drop(daemon.join().unwrap());
    }

    #[test]
    fn one_whose_queue_of_clients_is_full_is_not_waited_for_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lbd.sock");
        let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        listen(&listener, 0).unwrap();
        let _first = UnixStream::connect(&path).unwrap();
        let error = Client::connect_within(&path, Duration::from_millis(200)).unwrap_err();
        assert_eq!(error.code, ErrorCode::TimedOut);
        assert!(error.message.contains("hangs or is stopped"), "{error:?}");
    }
}
