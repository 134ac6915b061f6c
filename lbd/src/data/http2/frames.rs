//! Follows the frames that a client sends, by their heads alone (RFC 9113, 4.1): h2 tells of a request
//! when its head is whole, and who never finishes one is to be noticed, too.

use std::cell::Cell;

use super::preface::PREFACE;

const FRAME_HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

#[derive(Debug)]
pub(super) struct Frames(Cell<Place>);

/// Frames that carry nothing of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Beside {
    /// What makes room for more of an answer (RFC 9113, 6.9).
    pub(super) updates: u64,
    pub(super) others: u64,
}

/// Where in the bytes of a client we are.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Of the preface or of a frame's payload, still to come.
    left: usize,
    /// What came of the next frame's head.
    head: [u8; FRAME_HEAD],
    known: usize,
    /// A request's head has begun and is not whole.
    in_head: bool,
    /// It is whole with the payload that is coming in.
    ends: bool,
    heads: u64,
    beside: Beside,
    contents: u32,
}

impl Default for Frames {
    fn default() -> Self {
        Self(Cell::new(Place {
            left: PREFACE.len(),
            head: [0; FRAME_HEAD],
            known: 0,
            in_head: false,
            ends: false,
            heads: 0,
            beside: Beside::default(),
            contents: 0,
        }))
    }
}

impl Frames {
    /// These came next.
    pub(super) fn came(&self, bytes: &[u8]) {
        let mut place = self.0.get();
        place.feed(bytes);
        self.0.set(place);
    }

    pub(super) fn in_head(&self) -> bool {
        self.0.get().in_head
    }

    /// Heads that came whole so far, trailers included.
    pub(super) fn heads(&self) -> u64 {
        self.0.get().heads
    }

    /// Those so far.
    pub(super) fn beside(&self) -> Beside {
        self.0.get().beside
    }

    /// Frames of content since the streams last had their turn.
    pub(super) fn contents(&self) -> u32 {
        self.0.get().contents
    }

    /// Streams have their turn.
    pub(super) fn are_taken(&self) {
        let place = self.0.get();
        self.0.set(Place {
            contents: 0,
            ..place
        });
    }
}

impl Place {
    fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let n = self.left.min(bytes.len());
                self.left -= n;
                bytes = &bytes[n..];
                self.payload_may_end();
                continue;
            }
            let n = (FRAME_HEAD - self.known).min(bytes.len());
            self.head[self.known..self.known + n].copy_from_slice(&bytes[..n]);
            self.known += n;
            bytes = &bytes[n..];
            if self.known == FRAME_HEAD {
                self.known = 0;
                self.frame();
            }
        }
    }

    /// A frame's head is known.
    fn frame(&mut self) {
        let [a, b, c, kind, flags, ..] = self.head;
        self.left = u32::from_be_bytes([0, a, b, c]) as usize;
        if kind == HEADERS || kind == CONTINUATION && self.in_head {
            self.in_head = true;
            self.ends = flags & END_HEADERS != 0;
            self.payload_may_end();
        } else if kind == DATA {
            self.contents = self.contents.saturating_add(1);
        } else if kind == WINDOW_UPDATE {
            self.beside.updates += 1;
        } else {
            self.beside.others += 1;
        }
    }

    fn payload_may_end(&mut self) {
        if self.left == 0 && self.ends {
            self.ends = false;
            self.in_head = false;
            self.heads += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let mut frame = (payload as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, 1]);
        frame.resize(FRAME_HEAD + payload, b'x');
        frame
    }

    #[test]
    fn a_head_is_followed_over_frames_wherever_they_are_cut() {
        const SETTINGS: u8 = 4;
        let parts = [
            (PREFACE.to_vec(), 0, false),
            (frame(SETTINGS, 0, 12), 0, false),
            (frame(HEADERS, 0, 20), 0, true),
            (frame(CONTINUATION, 0, 0), 0, true),
            (frame(CONTINUATION, END_HEADERS, 300), 1, false),
            (frame(DATA, END_HEADERS, 70_000), 1, false),
            (frame(WINDOW_UPDATE, 0, 4).repeat(2), 1, false),
            (frame(HEADERS, END_HEADERS | 1, 0), 2, false),
        ];
        for step in [1, 7, 1000, usize::MAX] {
            let frames = Frames::default();
            for (bytes, heads, in_head) in &parts {
                for piece in bytes.chunks(step.min(bytes.len())) {
                    frames.came(piece);
                }
                assert_eq!((frames.heads(), frames.in_head()), (*heads, *in_head));
            }
            let beside = Beside {
                updates: 2,
                others: 1,
            };
            assert_eq!((frames.beside(), frames.contents()), (beside, 1));
            frames.are_taken();
            assert_eq!((frames.beside(), frames.contents()), (beside, 0));
        }
        let frames = Frames::default();
        frames.came(PREFACE);
        frames.came(&frame(HEADERS, END_HEADERS, 20)[..15]);
        assert!(frames.in_head());
    }
}
