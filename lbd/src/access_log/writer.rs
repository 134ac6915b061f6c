//! The thread that writes. It alone waits for disks and readers.
//!
//! A line is written whole: what a full disk cut off is completed when there is space again. Until
//! then batches wait in the queue, and once that is full, data threads count what is lost; the
//! writer itself gives a line up only for a sink that nobody wants any more.

use std::io::{self, ErrorKind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::sink::Output;
use super::{Batch, Sink, State};

/// How long a pipe is waited for before looking around, and a disk before it is tried again.
const LOOK: Duration = Duration::from_millis(200);

/// How long a sink that is stuck is waited for after a reload replaced it.
const GRACE: Duration = Duration::from_secs(1);

/// Between two warnings: a full disk is one event, not one a second.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(10);

struct Writer<'a> {
    state: &'a State,
    /// Lines whose loss was told.
    told: u64,
    next_warning: Instant,
    /// Since when nothing could be written.
    stuck_since: Option<Instant>,
}

/// Writes until it is told to finish and nothing is left.
pub(super) fn run(batches: &Receiver<Batch>, state: &State) {
    let mut writer = Writer {
        state,
        told: 0,
        next_warning: Instant::now(),
        stuck_since: None,
    };
    loop {
        match writer.next(batches) {
            Ok(batch) => writer.write(&batch),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        writer.tell_losses();
    }
}

impl Writer<'_> {
    fn next(&self, batches: &Receiver<Batch>) -> Result<Batch, RecvTimeoutError> {
        if let Ok(batch) = batches.try_recv() {
            return Ok(batch);
        }
        if self.state.finishing.load(Ordering::Acquire) {
            return batches
                .try_recv()
                .map_err(|_| RecvTimeoutError::Disconnected);
        }
        if self.untold() > 0 {
            return batches.recv_timeout(self.next_warning.duration_since(Instant::now()));
        }
        batches.recv().map_err(|_| RecvTimeoutError::Disconnected)
    }

    fn write(&mut self, batch: &Batch) {
        let sink = &*batch.sink;
        let mut output = sink.output();
        let mut written = 0;
        loop {
            if sink.is_to_be_reopened() && self.reopen(sink, &mut output) {
                written = line_start(&batch.bytes, written);
            }
            let rest = &batch.bytes[written..];
            if rest.is_empty() {
                return;
            }
            if output.abandoned {
                self.lose(rest);
                return;
            }
            match output.write(rest, LOOK) {
                Ok(n) => {
                    written += n;
                    self.stuck_since = None;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    let since = *self.stuck_since.get_or_insert_with(Instant::now);
                    if self.wait(sink, &mut output, &error) {
                        written = line_start(&batch.bytes, written);
                    }
                    output.abandoned = sink.is_retired() && since.elapsed() > GRACE;
                }
            }
        }
    }

    /// Opens the file by its name again; true: it did. What was open stays where it cannot.
    fn reopen(&self, sink: &Sink, output: &mut Output) -> bool {
        let path = &sink.config.path;
        match Output::open(path) {
            Ok(opened) => {
                *output = opened;
                info!(%path, "access log reopened");
                true
            }
            Err(error) => {
                error!(%path, %error, "cannot reopen the access log; the old file is written on");
                false
            }
        }
    }

    /// Nothing could be written just now. True: it is another file that is tried next.
    fn wait(&mut self, sink: &Sink, output: &mut Output, error: &io::Error) -> bool {
        self.tell_losses();
        // It was waited for already.
        if error.kind() == ErrorKind::WouldBlock {
            return false;
        }
        let path = &sink.config.path;
        if Instant::now() >= self.next_warning {
            self.next_warning = Instant::now() + BETWEEN_WARNINGS;
            let lost = self.lost();
            self.told = lost;
            warn!(%path, %error, lost, "cannot write the access log; requests go on");
        }
        thread::sleep(LOOK);
        // The reader of a FIFO has gone; another one may have come.
        if error.kind() == ErrorKind::BrokenPipe
            && let Ok(opened) = Output::open(path)
        {
            *output = opened;
            return true;
        }
        false
    }

    fn lose(&self, bytes: &[u8]) {
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.state.lost.fetch_add(lines, Ordering::Relaxed);
    }

    fn lost(&self) -> u64 {
        self.state.lost.load(Ordering::Relaxed)
    }

    fn untold(&self) -> u64 {
        self.lost() - self.told
    }

    fn tell_losses(&mut self) {
        let lines = self.untold();
        if lines > 0 && Instant::now() >= self.next_warning {
            self.next_warning = Instant::now() + BETWEEN_WARNINGS;
            self.told += lines;
            warn!(lines, lost = self.told, "access log lines were lost");
        }
    }
}

/// Where the line that `at` is in begins.
fn line_start(bytes: &[u8], at: usize) -> usize {
    let before = bytes[..at].iter().rposition(|byte| *byte == b'\n');
    before.map_or(0, |end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_begins_anew() {
        assert_eq!(line_start(b"one\ntwo\n", 0), 0);
        assert_eq!(line_start(b"one\ntwo\n", 2), 0);
        assert_eq!(line_start(b"one\ntwo\n", 4), 4);
        assert_eq!(line_start(b"one\ntwo\n", 6), 4);
    }
}
