//! A server's response as it stands on the wire (RFC 9112): its head, and its body piece by piece.
//! Pure.

use bytes::{Buf, Bytes};
use http::header::{CONNECTION, CONTENT_LENGTH, TRAILER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use httparse::{EMPTY_HEADER, Header, ParserConfig, Response, Status};
use memchr::memchr;

use super::headers::has_option;

/// The longest response head or trailer section taken, in bytes.
pub(super) const MAX_HEAD: usize = 64 * 1024;

/// The most fields of a response head or trailer section taken.
pub(super) const MAX_FIELDS: usize = 128;

/// The longest chunk extension taken, in bytes; nobody has a use for any (RFC 9112, 7.1.1).
const MAX_EXTENSION: u32 = 4096;

/// What came is no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed response")]
pub(super) struct Malformed;

#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) version: Version,
    /// Where it is not the one that the status code usually has.
    pub(super) reason: Option<Bytes>,
    pub(super) headers: HeaderMap,
}

impl Head {
    /// Whether another response follows (RFC 9110, 15.2); 101 is the last of its connection.
    pub(super) fn is_informational(&self) -> bool {
        is_informational(self.status)
    }

    /// What its fields take, in bytes.
    pub(super) fn size(&self) -> usize {
        let field = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
        self.headers.iter().map(field).sum()
    }

    /// How its body is framed (RFC 9112, 6.3). `to_head`: it answers a HEAD request.
    ///
    /// A coding beside `chunked` would be lost on the way, and a length that is no plain number is
    /// read differently by others: neither is passed on.
    pub(super) fn body(&self, to_head: bool) -> Result<Body, Malformed> {
        let mut codings = self.headers.get_all(TRANSFER_ENCODING).iter();
        let mut lengths = self.headers.get_all(CONTENT_LENGTH).iter();
        let framed = match (codings.next(), lengths.next()) {
            (None, None) => Body::UntilClose,
            (None, Some(length)) => Body::sized(plain_number(length.as_bytes())?),
            (Some(coding), _) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
                Body::Chunked(Chunks::default())
            }
            (Some(_), _) => return Err(Malformed),
        };
        if codings.next().is_some() || lengths.next().is_some() {
            return Err(Malformed);
        }
        let bodiless = matches!(
            self.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
        Ok(if to_head || bodiless {
            Body::Ended
        } else {
            framed
        })
    }

    /// Whether the server keeps the connection open after this response (RFC 9112, 9.3).
    pub(super) fn keeps_connection(&self) -> bool {
        let says = |option| has_option(&self.headers, CONNECTION, option);
        let lasts = match self.version {
            Version::HTTP_10 => {
                says(b"keep-alive") && !self.headers.contains_key(TRANSFER_ENCODING)
            }
            _ => true,
        };
        lasts && !says(b"close")
    }
}

fn is_informational(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

fn plain_number(text: &[u8]) -> Result<u64, Malformed> {
    let digits = text.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(text).ok().filter(|_| digits);
    number.and_then(|n| n.parse().ok()).ok_or(Malformed)
}

/// Takes a head off what was received. `None`: it is not there whole yet, and `received` is as it
/// was. A final response takes the map of `spare` for its fields.
pub(super) fn head(received: &mut Bytes, spare: &mut HeaderMap) -> Result<Option<Head>, Malformed> {
    let mut fields = [const { std::mem::MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = Response::new(&mut []);
    let status = ParserConfig::default()
        .parse_response_with_uninit_headers(&mut parsed, received, &mut fields)
        .map_err(|_| Malformed)?;
    let len = match status {
        Status::Complete(len) if len <= MAX_HEAD => len,
        Status::Partial if received.len() < MAX_HEAD => return Ok(None),
        Status::Complete(_) | Status::Partial => return Err(Malformed),
    };
    let status = StatusCode::from_u16(parsed.code.unwrap_or_default()).map_err(|_| Malformed)?;
    let reason = parsed
        .reason
        .filter(|reason| !reason.is_empty() && Some(*reason) != status.canonical_reason())
        .map(|reason| received.slice_ref(reason.as_bytes()));
    let map = match is_informational(status) {
        true => HeaderMap::new(),
        false => std::mem::take(spare),
    };
    let head = Head {
        status,
        version: match parsed.version {
            Some(0) => Version::HTTP_10,
            _ => Version::HTTP_11,
        },
        reason,
        headers: header_map(map, parsed.headers, received)?,
    };
    received.advance(len);
    Ok(Some(head))
}

/// `headers` is a map to be used again; what it holds is lost.
fn header_map(
    mut headers: HeaderMap,
    fields: &[Header<'_>],
    bytes: &Bytes,
) -> Result<HeaderMap, Malformed> {
    headers.clear();
    headers.reserve(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Malformed)?;
        let value =
            HeaderValue::from_maybe_shared(bytes.slice_ref(field.value)).map_err(|_| Malformed)?;
        // A length that is repeated is one length (RFC 9110, 8.6).
        if name != CONTENT_LENGTH || headers.get(&name) != Some(&value) {
            headers.append(name, value);
        }
    }
    Ok(headers)
}

/// How the end of a body is told (RFC 9112, 6.3), and what of it is still to come.
#[derive(Debug)]
pub(super) enum Body {
    /// Bytes left.
    Sized(u64),
    Chunked(Chunks),
    /// Goes on until the server closes the connection.
    UntilClose,
    Ended,
}

/// What was taken off a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Body {
    fn sized(length: u64) -> Self {
        match length {
            0 => Self::Ended,
            _ => Self::Sized(length),
        }
    }

    /// Takes the next piece off what was received. `None`: more must be received first, or the body
    /// has ended.
    pub(super) fn next(&mut self, received: &mut Bytes) -> Result<Option<Piece>, Malformed> {
        match self {
            Self::Ended => Ok(None),
            _ if received.is_empty() => Ok(None),
            Self::UntilClose => Ok(Some(Piece::Data(std::mem::take(received)))),
            Self::Sized(left) => {
                let n = (*left).min(received.len() as u64);
                *left -= n;
                if *left == 0 {
                    *self = Self::Ended;
                }
                Ok(Some(Piece::Data(received.split_to(n as usize))))
            }
            Self::Chunked(chunks) => {
                let piece = chunks.next(received)?;
                if chunks.state == Chunk::Ended {
                    *self = Self::Ended;
                }
                Ok(piece)
            }
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self, Self::Ended)
    }

    /// Bytes to come, where that is known.
    pub(super) fn left(&self) -> Option<u64> {
        match self {
            Self::Ended => Some(0),
            Self::Sized(left) => Some(*left),
            Self::Chunked(_) | Self::UntilClose => None,
        }
    }
}

/// The state of a chunked body (RFC 9112, 7.1).
#[derive(Debug, Default)]
pub(super) struct Chunks {
    state: Chunk,
    trailers: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunk {
    /// The size so far, and its digits.
    Size(u64, u32),
    /// The rest of the size line, and its length so far.
    Extension(u64, u32),
    /// The line feed that ends the size line.
    SizeEnd(u64),
    /// Bytes of data left.
    Data(u64),
    DataCr,
    DataLf,
    Trailers,
    Ended,
}

impl Default for Chunk {
    fn default() -> Self {
        Self::Size(0, 0)
    }
}

impl Chunks {
    fn next(&mut self, received: &mut Bytes) -> Result<Option<Piece>, Malformed> {
        while !received.is_empty() {
            match self.state {
                Chunk::Ended => break,
                Chunk::Data(left) => {
                    let n = left.min(received.len() as u64);
                    self.state = match left - n {
                        0 => Chunk::DataCr,
                        left => Chunk::Data(left),
                    };
                    return Ok(Some(Piece::Data(received.split_to(n as usize))));
                }
                Chunk::Trailers => {
                    if let Some(trailers) = self.trailers(received)? {
                        self.state = Chunk::Ended;
                        let any = !trailers.is_empty();
                        return Ok(any.then_some(Piece::Trailers(trailers)));
                    }
                }
                _ => self.state = self.byte(received.get_u8())?,
            }
        }
        Ok(None)
    }

    /// Takes one byte between the data of two chunks.
    fn byte(&self, byte: u8) -> Result<Chunk, Malformed> {
        Ok(match (self.state, byte) {
            (Chunk::Size(size, digits), _) if byte.is_ascii_hexdigit() => {
                let digit = (byte as char).to_digit(16).ok_or(Malformed)?;
                if size >> 60 != 0 || digits > 16 {
                    return Err(Malformed);
                }
                Chunk::Size(size << 4 | u64::from(digit), digits + 1)
            }
            (Chunk::Size(_, 0), _) => return Err(Malformed),
            (Chunk::Size(size, _) | Chunk::Extension(size, _), b'\r') => Chunk::SizeEnd(size),
            (Chunk::Size(size, _), b';' | b' ' | b'\t') => Chunk::Extension(size, 0),
            (Chunk::Extension(size, len), _) if len < MAX_EXTENSION && byte != b'\n' => {
                Chunk::Extension(size, len + 1)
            }
            (Chunk::SizeEnd(0), b'\n') => Chunk::Trailers,
            (Chunk::SizeEnd(size), b'\n') => Chunk::Data(size),
            (Chunk::DataCr, b'\r') => Chunk::DataLf,
            (Chunk::DataLf, b'\n') => Chunk::Size(0, 0),
            _ => return Err(Malformed),
        })
    }

    /// Takes lines up to the empty one that ends the body.
    fn trailers(&mut self, received: &mut Bytes) -> Result<Option<HeaderMap>, Malformed> {
        let n = memchr(b'\n', received).map_or(received.len(), |at| at + 1);
        let line = received.split_to(n);
        let begins_line = self.trailers.is_empty() || self.trailers.ends_with(b"\n");
        self.trailers.extend_from_slice(&line);
        if self.trailers.len() > MAX_HEAD {
            return Err(Malformed);
        }
        let ended = match begins_line {
            true => *line == *b"\r\n",
            false => self.trailers.ends_with(b"\n\r\n") || *self.trailers == *b"\r\n",
        };
        if !ended {
            return Ok(None);
        }
        let bytes = Bytes::from(std::mem::take(&mut self.trailers));
        let mut fields = [EMPTY_HEADER; MAX_FIELDS];
        let parsed = httparse::parse_headers(&bytes, &mut fields).map_err(|_| Malformed)?;
        let Status::Complete((_, fields)) = parsed else {
            return Err(Malformed);
        };
        let mut trailers = header_map(HeaderMap::new(), fields, &bytes)?;
        // Never merged into the head (RFC 9110, 6.5.1).
        for framing in [CONTENT_LENGTH, TRANSFER_ENCODING, TRAILER] {
            trailers.remove(framing);
        }
        Ok(Some(trailers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes a body given in pieces of `step` bytes: its data, its trailers, and what follows it.
    fn decoded(
        mut body: Body,
        wire: &[u8],
        step: usize,
    ) -> Result<(Vec<u8>, usize, Vec<u8>), Malformed> {
        let (mut data, mut trailers, mut rest) = (Vec::new(), 0, Vec::new());
        for piece in wire.chunks(step) {
            let mut received = Bytes::copy_from_slice(piece);
            while let Some(piece) = body.next(&mut received)? {
                match piece {
                    Piece::Data(bytes) => data.extend_from_slice(&bytes),
                    Piece::Trailers(fields) => trailers += fields.len(),
                }
            }
            rest.extend_from_slice(&received);
        }
        assert!(body.has_ended(), "the body ends");
        Ok((data, trailers, rest))
    }

    #[test]
    fn bodies_decode_however_they_arrive() {
        let chunked = b"5;x=y\r\nhello\r\n0A\r\n0123456789\r\n0\r\nx-sum: 1\r\n\r\nrest";
        for step in 1..=chunked.len() {
            assert_eq!(
                decoded(Body::Chunked(Chunks::default()), chunked, step),
                Ok((b"hello0123456789".to_vec(), 1, b"rest".to_vec())),
                "in pieces of {step}"
            );
            assert_eq!(
                decoded(Body::Sized(5), b"hellorest", step),
                Ok((b"hello".to_vec(), 0, b"rest".to_vec())),
            );
        }
    }

    #[test]
    fn chunks_that_could_be_read_two_ways_are_refused() {
        for wire in [
            "5\nhello\r\n0\r\n\r\n",
            "\r\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "+5\r\nhello\r\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            "10000000000000000\r\nhello",
            "00000000000000000000005\r\nhello",
            "5;a\nb\r\nhello\r\n0\r\n\r\n",
            "0\r\nbad trailer\r\n\r\n",
        ] {
            let result = decoded(Body::Chunked(Chunks::default()), wire.as_bytes(), 3);
            assert_eq!(result, Err(Malformed), "{wire:?}");
        }
    }

    #[test]
    fn a_head_is_taken_whole_or_not_at_all() {
        let wire = b"HTTP/1.1 200 Fine\r\nX-A: b\r\ncontent-length: 2\r\n\r\nhi";
        let end = wire.len() - 2;
        for n in 0..wire.len() {
            let mut received = Bytes::copy_from_slice(&wire[..n]);
            let head = head(&mut received, &mut HeaderMap::new()).unwrap();
            assert_eq!(head.is_some(), n >= end, "{n} bytes");
            if let Some(head) = head {
                assert_eq!(head.reason.as_deref(), Some(&b"Fine"[..]));
                assert_eq!(head.headers["x-a"], "b");
            }
            assert_eq!(received.len(), if n >= end { n - end } else { n });
        }
    }

    #[test]
    fn a_connection_is_kept_where_nothing_says_close() {
        for (fields, by_1_0, by_1_1) in [
            ("", false, true),
            ("connection: keep-alive\r\n", true, true),
            ("connection: close\r\n", false, false),
            (
                "connection: keep-alive\r\nconnection: x, Close\r\n",
                false,
                false,
            ),
        ] {
            for (version, kept) in [("1.0", by_1_0), ("1.1", by_1_1)] {
                let mut wire = Bytes::from(format!("HTTP/{version} 200 OK\r\n{fields}\r\n"));
                let head = head(&mut wire, &mut HeaderMap::new()).unwrap().unwrap();
                assert_eq!(head.keeps_connection(), kept, "{version} {fields}");
            }
        }
    }

    fn framing(fields: &str, to_head: bool) -> Result<Option<u64>, Malformed> {
        let mut wire = Bytes::from(format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
        let head = head(&mut wire, &mut HeaderMap::new()).unwrap().unwrap();
        head.body(to_head).map(|body| body.left())
    }

    #[test]
    fn framing_that_others_may_read_differently_is_refused() {
        assert_eq!(framing("content-length: 5\r\n", false), Ok(Some(5)));
        assert_eq!(framing("content-length: 5\r\n", true), Ok(Some(0)));
        assert_eq!(framing("transfer-encoding: Chunked\r\n", false), Ok(None));
        let twice = "content-length: 5\r\ncontent-length: 5\r\n";
        assert_eq!(framing(twice, false), Ok(Some(5)));
        let both = "content-length: 5\r\ntransfer-encoding: chunked\r\n";
        assert_eq!(framing(both, false), Ok(None));
        for fields in [
            "content-length: +5\r\n",
            "content-length: 5, 5\r\n",
            "content-length: 5\r\ncontent-length: 6\r\n",
            "content-length: 99999999999999999999\r\n",
            "content-length:\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        ] {
            assert_eq!(framing(fields, false), Err(Malformed), "{fields:?}");
        }
    }

    #[test]
    fn heads_are_bounded() {
        let mut endless = Bytes::from(format!("HTTP/1.1 200 OK\r\na: {}", "a".repeat(MAX_HEAD)));
        assert_eq!(
            head(&mut endless, &mut HeaderMap::new()).err(),
            Some(Malformed)
        );
        let whole = format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "a".repeat(MAX_HEAD));
        let whole = head(&mut Bytes::from(whole), &mut HeaderMap::new());
        assert_eq!(whole.err(), Some(Malformed));
        let fields = "a: b\r\n".repeat(MAX_FIELDS + 1);
        let mut many = Bytes::from(format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
        assert_eq!(
            head(&mut many, &mut HeaderMap::new()).err(),
            Some(Malformed)
        );
    }
}
