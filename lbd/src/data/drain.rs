//! Whether a peer that takes bytes slowly takes any: a socket with a large buffer becomes writable
//! only after much of it was taken, and until then its peer is not silent.

use std::ffi::c_int;
use std::io;
use std::os::fd::AsFd;

use rustix::ioctl::{Getter, ioctl};
use tokio::net::TcpStream;

use super::watch::Watch;

/// `SIOCOUTQ` (tcp(7)): bytes in the send queue that the peer has not acknowledged.
const OUTQ: u32 = 0x5411;

/// What is in a send queue, looked at once a look of the connection's [`Watch`].
#[derive(Debug, Default)]
pub(super) struct Drain {
    /// When it was looked at last.
    looks: Option<u32>,
    left: c_int,
}

impl Drain {
    /// For a socket that takes nothing now: whether its peer has taken something since this was last
    /// asked.
    pub(super) fn goes_on(&mut self, tcp: &TcpStream, watch: &Watch) -> bool {
        let looks = Some(watch.looks());
        if looks == std::mem::replace(&mut self.looks, looks) {
            return false;
        }
        let left = unacknowledged(tcp).unwrap_or_default();
        left < std::mem::replace(&mut self.left, left)
    }
}

#[allow(
    unsafe_code,
    reason = "the ioctl has no safe wrapper; the kernel writes an int, as is said here"
)]
fn unacknowledged(tcp: impl AsFd) -> io::Result<c_int> {
    // SAFETY: SIOCOUTQ writes an int, and nothing else, where the argument points.
    let bytes = unsafe { ioctl(tcp, Getter::<OUTQ, c_int>::new()) };
    Ok(bytes?)
}
