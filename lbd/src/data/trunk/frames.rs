//! Follows the frames that a server sends, by their heads alone (RFC 9113, 4.1), and hides from h2 those of
//! content that have none: it ends a connection, with the requests of others on it, at the 101st in all.
//! Pure.
//!
//! Such a frame is given a kind that h2 does not know, and so ignores, where it lies: nothing is moved. Those
//! with nothing but padding go to h2 as they are: they count for the window.

use std::io;
use std::mem::take;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::io::ReadBuf;

/// Of a frame's head: the length, the kind and the flags. A stream's number follows.
const KNOWN: usize = 5;
const STREAM: usize = 4;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;
const PADDED: u8 = 8;

/// What came of a head when it depends on the flags whether the frame is hidden.
const MAY_BE_EMPTY: [u8; 4] = [0, 0, 0, DATA];

/// A kind that is none (RFC 9113, 11.2, and those registered since).
const NO_KIND: u8 = 0xff;

/// Empty frames that may come in a second, beyond one for each that carries something of an answer: they
/// take less than a hundredth of a thread's time. h2 sees what is beyond that, and ends the connection.
const MOST: u32 = 20_000;
const A_WHILE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Frames {
    /// Of a frame, from its stream's number on, still to come.
    left: usize,
    head: [u8; KNOWN],
    known: usize,
    /// The last byte of [`MAY_BE_EMPTY`] is held back, for it may have to be another.
    waits: bool,
    /// Empty frames since `since` that none with something made up for.
    empty: u32,
    since: Instant,
}

impl Frames {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            left: 0,
            head: [0; KNOWN],
            known: 0,
            waits: false,
            empty: 0,
            since: now,
        }
    }

    /// Reads on with `read`, for h2.
    pub(super) fn poll_read(
        &mut self,
        buf: &mut ReadBuf<'_>,
        now: impl Fn() -> Instant,
        mut read: impl FnMut(&mut ReadBuf<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        let start = buf.filled().len();
        loop {
            let waited = take(&mut self.waits);
            if waited {
                buf.put_slice(&[DATA]);
            }
            let before = buf.filled().len();
            let outcome = match buf.remaining() {
                0 => Poll::Ready(Ok(())),
                _ => read(buf),
            };
            if !matches!(outcome, Poll::Ready(Ok(()))) {
                buf.set_filled(start);
                self.waits = waited;
                return outcome;
            }
            let is_last = buf.filled().len() == before;
            self.came(&mut buf.filled_mut()[start..], &now);
            if is_last || self.head[..self.known] != MAY_BE_EMPTY {
                return outcome;
            }
            self.known -= 1;
            self.waits = true;
            buf.set_filled(buf.filled().len() - 1);
            // Nothing at all would say that the server is done.
            if buf.filled().len() > start {
                return outcome;
            }
        }
    }

    fn came(&mut self, bytes: &mut [u8], now: &impl Fn() -> Instant) {
        let mut at = 0;
        while at < bytes.len() {
            if self.left > 0 {
                let n = self.left.min(bytes.len() - at);
                self.left -= n;
                at += n;
                continue;
            }
            self.head[self.known] = bytes[at];
            self.known += 1;
            at += 1;
            if self.known == KNOWN {
                self.known = 0;
                // Where there was room for the kind alone, h2 has it.
                if self.is_hidden(now) && at > 1 {
                    bytes[at - 2] = NO_KIND;
                }
            }
        }
    }

    /// A frame's flags are known.
    fn is_hidden(&mut self, now: &impl Fn() -> Instant) -> bool {
        let [a, b, c, kind, flags] = self.head;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        self.left = STREAM + length;
        match kind {
            DATA if length == 0 && flags & (END_STREAM | PADDED) == 0 => self.is_spared(now),
            DATA | HEADERS => {
                self.empty = self.empty.saturating_sub(1);
                false
            }
            _ => false,
        }
    }

    /// One more empty frame: whether there may be as many.
    fn is_spared(&mut self, now: &impl Fn() -> Instant) -> bool {
        if self.empty == MOST {
            let now = now();
            if now.duration_since(self.since) < A_WHILE {
                return false;
            }
            self.since = now;
            self.empty = 0;
        }
        self.empty += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let mut frame = (payload as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, 1]);
        frame.resize(9 + payload, 0);
        frame
    }

    fn empty() -> Vec<u8> {
        frame(DATA, 0, 0)
    }

    /// What h2 gets of a stream of bytes that comes in `pieces`, the end last, with room for so many bytes at
    /// once.
    fn seen(frames: &mut Frames, now: Instant, pieces: &[&[u8]], room: usize) -> Vec<u8> {
        let mut pieces = pieces.iter().map(|piece| piece.to_vec());
        let mut ready: Vec<u8> = Vec::new();
        let mut seen = Vec::new();
        loop {
            let mut space = vec![1; room];
            let mut buf = ReadBuf::new(&mut space);
            buf.set_filled(room.min(3) - 1);
            let start = buf.filled().len();
            let polled = frames.poll_read(
                &mut buf,
                || now,
                |buf| {
                    if ready.is_empty() {
                        return match pieces.next() {
                            Some(piece) if !piece.is_empty() => {
                                ready = piece;
                                Poll::Pending
                            }
                            _ => Poll::Ready(Ok(())),
                        };
                    }
                    let n = ready.len().min(buf.remaining());
                    buf.put_slice(&ready[..n]);
                    ready.drain(..n);
                    Poll::Ready(Ok(()))
                },
            );
            let came = &buf.filled()[start..];
            match polled {
                Poll::Pending => assert!(came.is_empty()),
                Poll::Ready(Ok(())) if came.is_empty() => return seen,
                Poll::Ready(outcome) => {
                    outcome.unwrap();
                    seen.extend_from_slice(came);
                }
            }
        }
    }

    #[test]
    fn empty_frames_are_hidden_wherever_they_are_cut() {
        let others = [
            frame(4, 0, 12),
            frame(4, 1, 0),
            frame(HEADERS, 4, 3),
            frame(DATA, 0, 700),
            frame(DATA, 0, 5),
            frame(DATA, END_STREAM, 0),
            frame(DATA, PADDED, 0),
            frame(DATA, PADDED, 1),
            frame(6, 0, 8),
        ];
        let (mut sent, mut expected) = (empty(), frame(NO_KIND, 0, 0));
        for other in &others {
            for bytes in [&mut sent, &mut expected] {
                bytes.extend(other);
            }
            sent.extend(empty().repeat(2));
            expected.extend(frame(NO_KIND, 0, 0).repeat(2));
        }
        sent.extend(&MAY_BE_EMPTY);
        expected.extend(&MAY_BE_EMPTY);
        let now = Instant::now();
        for at in 0..sent.len() {
            let (left, right) = sent.split_at(at);
            let mut pieces = vec![right];
            if at > 0 {
                pieces.insert(0, left);
            }
            let seen = seen(&mut Frames::new(now), now, &pieces, 4096);
            assert!(seen == expected, "cut at {at}");
        }
        for step in 1..100 {
            let pieces: Vec<&[u8]> = sent.chunks(step).collect();
            for room in [4, 5, 9, 64] {
                let seen = seen(&mut Frames::new(now), now, &pieces, room);
                assert!(seen == expected, "in pieces of {step}, room for {room}");
            }
        }
    }

    #[test]
    fn with_room_for_one_byte_nothing_is_lost() {
        let sent = [empty(), frame(DATA, 0, 5), empty()].concat();
        let now = Instant::now();
        assert_eq!(seen(&mut Frames::new(now), now, &[&sent], 1), sent);
    }

    #[test]
    fn as_many_are_hidden_as_there_are_others_and_some_in_a_second() {
        let begun = Instant::now();
        let mut frames = Frames::new(begun);
        let mut hidden = |sent: Vec<u8>, after| {
            let seen = seen(&mut frames, begun + after, &[&sent], 4096);
            let kinds = seen.chunks(9).filter(|frame| frame[3] == NO_KIND);
            kinds.count()
        };
        let (soon, later) = (A_WHILE / 2, A_WHILE);
        let most = MOST as usize;
        let last = frame(DATA, END_STREAM, 0);
        let answers = [empty(), last.clone()].concat().repeat(2 * most);
        assert_eq!(hidden(answers, soon), 2 * most);
        assert_eq!(hidden(empty().repeat(most + 9), soon), most);
        assert_eq!(hidden([last, empty(), empty()].concat(), soon), 1);
        assert_eq!(hidden(frame(6, 0, 0).repeat(9), soon), 0);
        assert_eq!(hidden(empty(), soon), 0);
        assert_eq!(hidden(empty().repeat(most + 9), later), most);
    }
}
