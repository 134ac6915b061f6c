//! Pipes for splice(2): a thread's, lent to a flow while bytes are in them.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

/// How much a pipe is asked to hold; the system may grant less (`fs.pipe-user-pages-soft`).
const SIZE: usize = 256 * 1024;

/// Empty pipes kept for the next flow.
const KEPT: usize = 8;

/// Pipes lent at once, two descriptors each. Flows beyond them copy.
const LENT: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Pipes {
    empty: RefCell<Vec<Pipe>>,
    lent: Cell<usize>,
}

#[derive(Debug)]
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

/// A pipe on loan; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Lent<'a> {
    pipes: &'a Pipes,
    /// `Some` until it is dropped.
    pipe: Option<Pipe>,
    filled: usize,
}

impl Pipes {
    /// An empty pipe; `None` where the system or the bound grants no more.
    pub(super) fn lend(&self) -> Option<Lent<'_>> {
        if self.lent.get() >= LENT {
            return None;
        }
        let kept = self.empty.borrow_mut().pop();
        let pipe = kept.or_else(|| Pipe::open().ok())?;
        self.lent.set(self.lent.get() + 1);
        Some(Lent {
            pipes: self,
            pipe: Some(pipe),
            filled: 0,
        })
    }
}

#[cfg(test)]
impl Pipes {
    pub(super) fn lent(&self) -> usize {
        self.lent.get()
    }
}

impl Pipe {
    fn open() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // A smaller one carries as much, in more steps.
        let _ = fcntl_setpipe_size(&write, SIZE);
        Ok(Self { read, write })
    }
}

impl Lent<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Moves into it what a socket has.
    pub(super) fn fill(&mut self, from: impl AsFd) -> io::Result<usize> {
        let pipe = self.pipe.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        let n = splice(from, None, &pipe.write, None, SIZE, flags())?;
        self.filled += n;
        Ok(n)
    }

    /// Moves what it holds into a socket.
    pub(super) fn drain(&mut self, to: impl AsFd) -> io::Result<usize> {
        let pipe = self.pipe.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        let n = splice(&pipe.read, None, to, None, self.filled, flags())?;
        self.filled -= n;
        Ok(n)
    }

    /// Takes what it holds out by copying.
    pub(super) fn copy_out(mut self) -> io::Result<Vec<u8>> {
        let pipe = self.pipe.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut bytes = vec![0; self.filled];
        let mut n = 0;
        while n < bytes.len() {
            match rustix::io::read(&pipe.read, &mut bytes[n..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => n += more,
            }
        }
        self.filled = 0;
        Ok(bytes)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.pipes.lent.set(self.pipes.lent.get() - 1);
        let mut empty = self.pipes.empty.borrow_mut();
        if self.filled == 0 && empty.len() < KEPT {
            empty.extend(self.pipe.take());
        }
    }
}

fn flags() -> SpliceFlags {
    SpliceFlags::MOVE | SpliceFlags::NONBLOCK
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_pipe_with_bytes_left_in_it_is_never_lent_again() {
        let pipes = Pipes::default();
        let (mut writer, reader) = UnixStream::pair().unwrap();
        writer.write_all(b"old").unwrap();
        let mut lent = pipes.lend().unwrap();
        assert_eq!(lent.fill(&reader).unwrap(), 3);
        drop(lent);
        assert_eq!((pipes.lent.get(), pipes.empty.borrow().len()), (0, 0));
    }

    #[test]
    fn an_emptied_pipe_is_kept() {
        let pipes = Pipes::default();
        let (mut writer, reader) = UnixStream::pair().unwrap();
        let (into, mut out) = UnixStream::pair().unwrap();
        writer.write_all(b"through").unwrap();
        let mut lent = pipes.lend().unwrap();
        lent.fill(&reader).unwrap();
        lent.drain(&into).unwrap();
        drop(lent);
        let mut got = [0; 7];
        out.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"through");
        assert_eq!((pipes.lent.get(), pipes.empty.borrow().len()), (0, 1));
    }

    #[test]
    fn what_cannot_be_spliced_out_can_be_copied_out() {
        let pipes = Pipes::default();
        let (mut writer, reader) = UnixStream::pair().unwrap();
        writer.write_all(b"through").unwrap();
        let mut lent = pipes.lend().unwrap();
        lent.fill(&reader).unwrap();
        assert_eq!(lent.copy_out().unwrap(), b"through");
        assert_eq!(pipes.empty.borrow().len(), 1);
    }

    #[test]
    fn lending_is_bounded() {
        let pipes = Pipes::default();
        pipes.lent.set(LENT);
        assert!(pipes.lend().is_none());
        pipes.lent.set(0);
    }
}
