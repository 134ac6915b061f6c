//! Answers as they are taken: bit by bit, each with a time for it.
//!
//! Whoever sends asks for a piece when there is room for it, so that a client that reads nothing comes to its deadline.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{BoxStream, Stream, StreamExt, unfold};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::sleep;

use super::due::Due;

/// To ask for the next one after an answer: longer than most scrape intervals.
pub(super) const NEXT: Duration = Duration::from_secs(75);

/// A larger answer is sent in such pieces.
pub(super) const PIECE: usize = 32 * 1024;

/// To take one of those, and where others wait for the place.
const TAKE: Duration = Duration::from_secs(10);
const TAKE_CROWDED: Duration = Duration::from_secs(5);

/// How often something is sent on a stream where nothing happens, so that both ends see that the other lives.
pub(super) const AWAKE: Duration = Duration::from_secs(15);

/// What the reader of a stream takes no notice of.
const NOTHING: &[u8] = b":\n\n";

/// How long the client of a stream may leave what it was sent unread, or unacknowledged.
pub(super) const UNREAD: Duration = Duration::from_secs(45);

/// A large answer.
pub(super) fn pieces(
    bytes: Bytes,
    held: Option<OwnedSemaphorePermit>,
    deadline: watch::Sender<Due>,
) -> impl Stream<Item = Bytes> + Send {
    let sending = Sending {
        deadline,
        _held: held,
    };
    unfold((bytes, sending), |(mut rest, sending)| async move {
        let next = rest.split_to(rest.len().min(PIECE));
        if next.is_empty() {
            return None;
        }
        let due = Due::from_slow(TAKE, TAKE_CROWDED);
        sending.deadline.send_replace(due);
        Some((next, (rest, sending)))
    })
}

/// That a large answer is under way, until it is dropped.
struct Sending {
    deadline: watch::Sender<Due>,
    _held: Option<OwnedSemaphorePermit>,
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.deadline.send_replace(Due::from_client(NEXT));
    }
}

/// The pieces of a stream, until the site is closed.
pub(super) fn awake(
    pieces: BoxStream<'static, Bytes>,
    deadline: watch::Sender<Due>,
    ends: watch::Receiver<()>,
) -> impl Stream<Item = Bytes> + Send {
    unfold(
        (pieces, deadline, ends),
        |(mut pieces, deadline, mut ends)| async move {
            deadline.send_replace(Due::from_reader(UNREAD));
            let piece = tokio::select! {
                piece = pieces.next() => piece?,
                () = sleep(AWAKE) => Bytes::from_static(NOTHING),
                _ = ends.changed() => return None,
            };
            Some((piece, (pieces, deadline, ends)))
        },
    )
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;

    use tokio::sync::Semaphore;
    use tokio::time::{Instant, advance};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_large_answer_is_held_until_it_is_taken_and_each_piece_has_its_time() {
        let room = Arc::new(Semaphore::new(1));
        let held = room.clone().try_acquire_owned().ok();
        let (deadline, due) = watch::channel(Due::from_us(NEXT));
        let begun = Instant::now();
        let mut sent = 0;
        let mut taking = Box::pin(pieces(vec![0; 3 * PIECE - 1].into(), held, deadline));
        while sent < 3 * PIECE - 1 {
            advance(TAKE / 2).await;
            sent += taking.next().await.unwrap().len();
            assert_eq!(
                (due.borrow().at, room.available_permits()),
                (Instant::now() + TAKE, 0)
            );
        }
        assert_eq!(pin!(taking.next()).await, None);
        drop(taking);
        assert_eq!(room.available_permits(), 1);
        assert_eq!(due.borrow().at, begun + 3 * TAKE / 2 + NEXT);
    }
}
