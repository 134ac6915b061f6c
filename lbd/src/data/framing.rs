//! Where one request ends and the next begins (RFC 9112, 6). Pure.
//!
//! hyper reads heads and bodies; this only follows along on the raw bytes, so that hyper is given
//! one message at a time and so that what hyper hides is seen: a head with both framings. What it
//! cannot follow it calls opaque and leaves to hyper, which refuses it.

use memchr::memchr;

/// The longest request head taken, in bytes; HAProxy's `tune.bufsize` has the same default.
pub(super) const MAX_HEAD: usize = 16 * 1024;

/// The longest request target taken, in bytes (RFC 9110, 4.1 asks for at least 8000).
pub(super) const MAX_TARGET: usize = 12 * 1024;

/// Why a head is refused before hyper sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadHead {
    /// A length that is none, or a `Transfer-Encoding` other than `chunked` alone: what is under it
    /// could not be passed on.
    BadFraming,
    /// Both `Content-Length` and `Transfer-Encoding` (RFC 9112, 6.1).
    BothFramings,
    HeadTooLarge,
    TargetTooLong,
}

/// Follows the requests of one connection.
#[derive(Debug, Default)]
pub(super) struct Framing {
    state: State,
    /// Bytes of this head so far.
    head: usize,
    /// A line that did not come whole.
    partial: Vec<u8>,
    lines: u32,
    length: Length,
    encoding: Encoding,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Between,
    Head,
    /// Bytes of the body still to come.
    Sized(u64),
    Chunked(Chunk),
    /// No longer followed: hyper refuses this message.
    Opaque,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunk {
    Size(u64),
    /// The rest of the size line.
    Extension(u64),
    /// Bytes of data and its line end still to come.
    Data(u64),
    /// A trailer line, and whether it is empty so far.
    Trailer {
        empty: bool,
    },
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Length {
    #[default]
    None,
    Bytes(u64),
    Bad,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    #[default]
    None,
    Chunked,
    Other,
}

impl Framing {
    /// Takes bytes as they were received; returns how many of them belong to the message that was
    /// begun. The rest belongs to the next one: give it back when the answer to this one is out.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<usize, BadHead> {
        let mut taken = 0;
        while taken < bytes.len() {
            let rest = &bytes[taken..];
            let before = self.state;
            taken += match before {
                State::Between if matches!(rest[0], b'\r' | b'\n') => 1,
                State::Between => {
                    self.begin_head();
                    0
                }
                State::Head => self.line(rest)?,
                State::Sized(left) => {
                    let n = left.min(rest.len() as u64);
                    self.state = if n == left {
                        State::Between
                    } else {
                        State::Sized(left - n)
                    };
                    n as usize
                }
                State::Chunked(chunk) => self.chunk(chunk, rest),
                State::Opaque => rest.len(),
            };
            if self.state == State::Between && before != State::Between {
                return Ok(taken);
            }
        }
        Ok(taken)
    }

    /// Whether no message has begun, or the last one was taken whole.
    pub(super) fn is_between(&self) -> bool {
        self.state == State::Between
    }

    /// Whether a head has begun and is not whole yet.
    pub(super) fn in_head(&self) -> bool {
        self.state == State::Head
    }

    fn begin_head(&mut self) {
        self.state = State::Head;
        self.head = 0;
        self.lines = 0;
        self.partial.clear();
        self.length = Length::None;
        self.encoding = Encoding::None;
    }

    /// Takes the rest of a line of the head, or what there is of it.
    fn line(&mut self, bytes: &[u8]) -> Result<usize, BadHead> {
        let end = memchr(b'\n', bytes);
        let n = end.map_or(bytes.len(), |at| at + 1);
        self.head += n;
        if self.lines == 0 && self.partial.len() + n > MAX_TARGET {
            return Err(BadHead::TargetTooLong);
        }
        if self.head > MAX_HEAD {
            return Err(BadHead::HeadTooLarge);
        }
        if end.is_none() {
            self.partial.extend_from_slice(bytes);
            return Ok(n);
        }
        if self.partial.is_empty() {
            self.whole_line(&bytes[..n - 1])?;
        } else {
            let mut line = std::mem::take(&mut self.partial);
            line.extend_from_slice(&bytes[..n - 1]);
            self.whole_line(&line)?;
        }
        self.lines += 1;
        Ok(n)
    }

    fn whole_line(&mut self, line: &[u8]) -> Result<(), BadHead> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(first) = line.first() else {
            return self.end_of_head();
        };
        // Two letters tell whether a line matters, which spares nearly all of them a closer look.
        if matches!(first, b'c' | b'C') {
            if let Some(value) = field(line, b"content-length") {
                self.see_length(value);
            }
        } else if matches!(first, b't' | b'T')
            && let Some(value) = field(line, b"transfer-encoding")
        {
            self.encoding = match value.eq_ignore_ascii_case(b"chunked") {
                true if self.encoding == Encoding::None => Encoding::Chunked,
                _ => Encoding::Other,
            };
        }
        Ok(())
    }

    fn see_length(&mut self, value: &[u8]) {
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let parsed = std::str::from_utf8(value)
            .ok()
            .filter(|_| digits)
            .and_then(|v| v.parse().ok());
        let parsed = parsed.filter(|n: &u64| *n <= i64::MAX as u64);
        self.length = match (parsed, self.length) {
            (Some(n), Length::None) => Length::Bytes(n),
            (Some(n), Length::Bytes(before)) if n == before => Length::Bytes(n),
            _ => Length::Bad,
        };
    }

    fn end_of_head(&mut self) -> Result<(), BadHead> {
        self.state = match (self.length, self.encoding) {
            (Length::None | Length::Bytes(0), Encoding::None) => State::Between,
            (Length::Bytes(n), Encoding::None) => State::Sized(n),
            (Length::None, Encoding::Chunked) => State::Chunked(Chunk::Size(0)),
            (Length::Bad, Encoding::None) | (Length::None, Encoding::Other) => {
                return Err(BadHead::BadFraming);
            }
            (_, Encoding::Chunked | Encoding::Other) => return Err(BadHead::BothFramings),
        };
        Ok(())
    }

    /// Takes what it can of a chunked body (RFC 9112, 7.1).
    fn chunk(&mut self, chunk: Chunk, bytes: &[u8]) -> usize {
        let byte = bytes[0];
        let (next, taken) = match (chunk, byte) {
            (Chunk::Extension(size), b'\n') => (after_size(size), 1),
            (Chunk::Size(size), b'\r' | b';' | b' ' | b'\t') => {
                (State::Chunked(Chunk::Extension(size)), 1)
            }
            (Chunk::Size(size), _) => match (byte as char).to_digit(16) {
                Some(digit) if size >> 60 == 0 => {
                    let size = size << 4 | u64::from(digit);
                    (State::Chunked(Chunk::Size(size)), 1)
                }
                _ => (State::Opaque, 1),
            },
            (Chunk::Extension(size), _) => (State::Chunked(Chunk::Extension(size)), 1),
            (Chunk::Data(left), _) => {
                let n = left.min(bytes.len() as u64);
                let next = if n == left {
                    Chunk::Size(0)
                } else {
                    Chunk::Data(left - n)
                };
                (State::Chunked(next), n as usize)
            }
            (Chunk::Trailer { empty: true }, b'\n') => (State::Between, 1),
            (Chunk::Trailer { .. }, b'\n') => (State::Chunked(Chunk::Trailer { empty: true }), 1),
            (Chunk::Trailer { empty: true }, b'\r') => (State::Chunked(chunk), 1),
            (Chunk::Trailer { .. }, _) => (State::Chunked(Chunk::Trailer { empty: false }), 1),
        };
        self.state = next;
        taken
    }
}

/// What follows a chunk's size line: its data with the line end, or the trailers.
fn after_size(size: u64) -> State {
    match size {
        0 => State::Chunked(Chunk::Trailer { empty: true }),
        _ => size
            .checked_add(2)
            .map_or(State::Opaque, |n| State::Chunked(Chunk::Data(n))),
    }
}

/// The value of a header line if its name is `name` (given in lower case).
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = line.split_at_checked(name.len())?;
    let value = rest.strip_prefix(b":")?;
    head.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds a stream in pieces of `step` bytes, as often as messages end; returns where they end.
    fn ends(stream: &[u8], step: usize) -> Result<Vec<usize>, BadHead> {
        let mut framing = Framing::default();
        let (mut at, mut ends) = (0, Vec::new());
        while at < stream.len() {
            let piece = &stream[at..stream.len().min(at + step)];
            let was_between = framing.is_between();
            at += framing.feed(piece)?;
            if framing.is_between() && !(was_between && piece == b"\r\n") {
                ends.push(at);
            }
        }
        Ok(ends)
    }

    #[test]
    fn messages_are_told_apart_however_they_arrive() {
        let get = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".as_slice();
        let sized = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello".as_slice();
        let chunked = b"POST / HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n\
            5;x=y\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nx: y\r\n\r\n"
            .as_slice();
        let stream = [get, sized, chunked, get].concat();
        let mut at = 0;
        let expected: Vec<_> = [get, sized, chunked, get]
            .iter()
            .map(|m| {
                at += m.len();
                at
            })
            .collect();
        for step in 1..stream.len() {
            assert_eq!(
                ends(&stream, step).unwrap(),
                expected,
                "in pieces of {step}"
            );
        }
    }

    #[test]
    fn both_framings_are_seen_in_either_order_and_split_anywhere() {
        for head in [
            "POST / HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\nContent-Length: x\r\n\r\n",
        ] {
            for step in 1..head.len() {
                assert_eq!(ends(head.as_bytes(), step), Err(BadHead::BothFramings));
            }
        }
    }

    #[test]
    fn codings_beside_chunked_are_refused() {
        for coding in [
            "gzip",
            "gzip, chunked",
            "chunked\r\ntransfer-encoding: chunked",
        ] {
            let head = format!("POST / HTTP/1.1\r\ntransfer-encoding: {coding}\r\n\r\n");
            assert_eq!(ends(head.as_bytes(), 7), Err(BadHead::BadFraming));
        }
    }

    #[test]
    fn lengths_that_are_none_are_refused() {
        for length in [
            "+5",
            "5, 5",
            "5\r\ncontent-length: 6",
            "18446744073709551615",
            "",
        ] {
            let head = format!("POST / HTTP/1.1\r\ncontent-length: {length}\r\n\r\n");
            assert_eq!(
                ends(head.as_bytes(), 7),
                Err(BadHead::BadFraming),
                "{length}"
            );
        }
    }

    #[test]
    fn what_hyper_refuses_is_left_to_it() {
        for head in [
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1ffffffffffffffff\r\n",
        ] {
            let mut framing = Framing::default();
            framing.feed(head.as_bytes()).unwrap();
            assert_eq!(framing.state, State::Opaque, "{head}");
        }
    }

    #[test]
    fn heads_and_targets_are_bounded() {
        let target = format!("GET /{} HTTP/1.1\r\n", "a".repeat(MAX_TARGET));
        assert_eq!(ends(target.as_bytes(), 1000), Err(BadHead::TargetTooLong));
        let header = format!("GET / HTTP/1.1\r\na: {}", "a".repeat(MAX_HEAD));
        assert_eq!(ends(header.as_bytes(), 1000), Err(BadHead::HeadTooLarge));
    }

    #[test]
    fn empty_lines_before_a_request_begin_nothing() {
        let mut framing = Framing::default();
        assert_eq!(framing.feed(b"\r\n\r\n"), Ok(4));
        assert!(framing.is_between());
    }
}
