//! What comes on a stream of HTTP/2. Whoever takes it has room for it, and so the peer is given room for more
//! (RFC 9113, 6.9).
//!
//! Where it cannot be passed on, it is taken from h2 all the same, and no room is given: h2 holds each frame by itself,
//! at a cost beside which small ones are nothing, and ends the connection with all its streams where they are many.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::{Error, RecvStream};
use http::HeaderMap;

/// Pieces below this are joined: as h2 counts them.
const SMALL: usize = 256;

#[derive(Debug)]
pub(super) struct Inflow {
    stream: RecvStream,
    ahead: Ahead,
}

/// Pieces that wait.
#[derive(Debug, Default)]
struct Ahead {
    whole: VecDeque<Bytes>,
    /// Small pieces that came after those.
    joined: BytesMut,
}

impl Inflow {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self {
            stream,
            ahead: Ahead::default(),
        }
    }

    /// The next piece of data, never empty; `None`: there is no more.
    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            let data = match self.ahead.take() {
                Some(data) => data,
                None => match ready!(self.stream.poll_data(cx)).transpose()? {
                    Some(data) => data,
                    None => return Poll::Ready(None),
                },
            };
            self.stream.flow_control().release_capacity(data.len())?;
            if !data.is_empty() {
                return Poll::Ready(Some(Ok(data)));
            }
        }
    }

    /// What comes after the data.
    pub(super) fn poll_trailers(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<HeaderMap>, Error>> {
        self.stream.poll_trailers(cx)
    }

    /// Takes what has come while there is no room for it. What went wrong, whoever asks for the next piece hears.
    pub(super) fn poll_ahead(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(Ok(data))) = self.stream.poll_data(cx) {
            self.ahead.push(data);
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.ahead.is_empty() && self.stream.is_end_stream()
    }
}

impl Ahead {
    fn push(&mut self, data: Bytes) {
        if data.len() < SMALL {
            self.joined.extend_from_slice(&data);
            return;
        }
        self.whole.extend(joined(&mut self.joined));
        self.whole.push_back(data);
    }

    /// The next piece, in the order in which they came.
    fn take(&mut self) -> Option<Bytes> {
        let whole = self.whole.pop_front();
        whole.or_else(|| joined(&mut self.joined))
    }

    fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.joined.is_empty()
    }
}

fn joined(pieces: &mut BytesMut) -> Option<Bytes> {
    (!pieces.is_empty()).then(|| std::mem::take(pieces).freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_are_joined_and_all_stay_in_order() {
        let (long, longer) = (vec![b'l'; SMALL], vec![b'm'; 5 * SMALL]);
        let mut ahead = Ahead::default();
        for piece in [b"a", &b"b"[..], &long, &longer, b"", b"c", b"d"] {
            ahead.push(Bytes::copy_from_slice(piece));
        }
        for piece in [b"ab", &long[..], &longer, b"cd"] {
            assert!(!ahead.is_empty());
            assert_eq!(ahead.take().unwrap(), piece);
        }
        assert!(ahead.is_empty());
        assert_eq!(ahead.take(), None);
    }
}
