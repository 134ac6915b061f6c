//! A request as it goes to a server (RFC 9112). Pure.

use std::io::{IoSlice, Write};

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::decode::Head;
use super::headers::may_trail;
use super::own_fields::RequestHead;

/// What is to be written next: a head or a chunk's size line, data, and what ends it.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    front: Vec<u8>,
    data: Bytes,
    tail: &'static [u8],
    /// Bytes of `front` that are written.
    written: usize,
}

/// How a request's body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Sized,
    Chunked,
}

const LAST_CHUNK: &[u8] = b"0\r\n";

impl Outbox {
    /// `buffer` is one to be used again; what it holds is lost.
    pub(super) fn new(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self {
            front: buffer,
            ..Self::default()
        }
    }

    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.front
    }

    /// Adds what a connection begins with, before its first request.
    pub(super) fn introduction(&mut self, bytes: &[u8]) {
        self.front.extend_from_slice(bytes);
    }

    /// Adds a request's head.
    pub(super) fn head(&mut self, head: &RequestHead) {
        let out = &mut self.front;
        let RequestHead { parts, own } = head;
        out.extend_from_slice(parts.method.as_str().as_bytes());
        out.push(b' ');
        let target = parts
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        out.extend_from_slice(target.as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        own.write(out);
        fields(out, &parts.headers);
        out.extend_from_slice(b"\r\n");
    }

    /// Adds a piece of the body; `last`: nothing follows it.
    ///
    /// Only where the box [takes data](Self::takes_data).
    pub(super) fn data(&mut self, framing: Framing, data: Bytes, last: bool) {
        if framing == Framing::Chunked && !data.is_empty() {
            // Writing to a vector does not fail.
            let _ = write!(self.front, "{:x}\r\n", data.len());
            self.tail = if last { b"\r\n0\r\n\r\n" } else { b"\r\n" };
        } else if framing == Framing::Chunked && last {
            self.end(framing);
        }
        self.data = data;
    }

    /// Adds the end of the body.
    pub(super) fn end(&mut self, framing: Framing) {
        if framing == Framing::Chunked {
            self.front.extend_from_slice(LAST_CHUNK);
            self.front.extend_from_slice(b"\r\n");
        }
    }

    /// Adds the end of the body, with trailers where its framing has room for them.
    pub(super) fn trailers(&mut self, framing: Framing, trailers: &HeaderMap) {
        if framing == Framing::Chunked {
            self.front.extend_from_slice(LAST_CHUNK);
            let trailers = trailers.iter().filter(|(name, _)| may_trail(name));
            fields(&mut self.front, trailers);
            self.front.extend_from_slice(b"\r\n");
        }
    }

    /// Whether there is room for a piece of the body.
    pub(super) fn takes_data(&self) -> bool {
        self.data.is_empty() && self.tail.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.written == self.front.len() && self.data.is_empty() && self.tail.is_empty()
    }

    /// What to write, the pieces that are not empty first.
    pub(super) fn slices(&self) -> ([IoSlice<'_>; 3], usize) {
        let mut slices = [IoSlice::new(&[]); 3];
        let mut n = 0;
        for piece in [&self.front[self.written..], &self.data, self.tail] {
            if !piece.is_empty() {
                slices[n] = IoSlice::new(piece);
                n += 1;
            }
        }
        (slices, n)
    }

    /// Takes note of what was written of it.
    pub(super) fn advance(&mut self, mut n: usize) {
        let front = n.min(self.front.len() - self.written);
        self.written += front;
        n -= front;
        let data = n.min(self.data.len());
        self.data.advance(data);
        self.tail = &self.tail[n - data..];
        if self.is_empty() {
            self.front.clear();
            self.written = 0;
            self.data = Bytes::new();
        }
    }
}

fn fields<'h>(
    out: &mut Vec<u8>,
    headers: impl IntoIterator<Item = (&'h HeaderName, &'h HeaderValue)>,
) {
    for (name, value) in headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Adds an informational response as it goes to a client (RFC 9110, 15.2).
pub(super) fn informational(out: &mut Vec<u8>, head: &Head) {
    let reason = head.reason.as_deref();
    let usual = || {
        head.status
            .canonical_reason()
            .unwrap_or_default()
            .as_bytes()
    };
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(head.status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason.unwrap_or_else(usual));
    out.extend_from_slice(b"\r\n");
    fields(out, &head.headers);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::super::own_fields::OwnFields;

    use super::*;

    /// Empties the box, writing `step` bytes at a time.
    fn written(outbox: &mut Outbox, step: usize) -> String {
        let mut all = Vec::new();
        while !outbox.is_empty() {
            let (slices, n) = outbox.slices();
            let bytes: Vec<u8> = slices[..n].iter().flat_map(|s| s.iter().copied()).collect();
            let n = step.min(bytes.len());
            all.extend_from_slice(&bytes[..n]);
            outbox.advance(n);
        }
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn a_head_and_its_chunks_go_out_however_they_are_written() {
        let request = http::Request::post("/a?b")
            .header("Host", "x")
            .body(())
            .unwrap();
        let head = RequestHead {
            parts: request.into_parts().0,
            own: OwnFields::default(),
        };
        for step in 1..80 {
            let mut outbox = Outbox::new(Vec::new());
            outbox.head(&head);
            outbox.data(Framing::Chunked, Bytes::from_static(b"hello"), false);
            let first = written(&mut outbox, step);
            assert_eq!(first, "POST /a?b HTTP/1.1\r\nhost: x\r\n\r\n5\r\nhello\r\n");
            outbox.data(Framing::Chunked, Bytes::from_static(b"again"), true);
            assert_eq!(written(&mut outbox, step), "5\r\nagain\r\n0\r\n\r\n");
        }
    }

    #[test]
    fn trailers_follow_the_last_chunk() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("1"));
        let mut outbox = Outbox::new(Vec::new());
        outbox.trailers(Framing::Chunked, &trailers);
        assert_eq!(written(&mut outbox, 3), "0\r\nx-sum: 1\r\n\r\n");
        outbox.trailers(Framing::Sized, &trailers);
        assert!(outbox.is_empty());
    }
}
