//! Connects to a server: the whole of a TCP check, the beginning of every other.

use std::io::{self, ErrorKind};

use lb_proto::status::CheckResult;
use rustix::io::Errno;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{NotProbed, Seen, Target};
use lb_proto::os_error::in_words;

/// Connects. The inner error is the server's, the outer one ours.
pub(super) async fn connect(target: &Target<'_>) -> Result<Result<TcpStream, Seen>, NotProbed> {
    let error = match open(target).await {
        Ok(stream) => return Ok(Ok(stream)),
        Err(error) => error,
    };
    if is_ours(&error) {
        return Err(NotProbed {
            address: target.address,
            source: error,
        });
    }
    let result = match error.kind() {
        ErrorKind::TimedOut => CheckResult::L4TOUT,
        _ => CheckResult::L4CON,
    };
    Ok(Err(Seen::new(result, in_words(&error))))
}

/// A connection that has said what every connection to this server begins with.
async fn open(target: &Target<'_>) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(target.address).await?;
    if let Some(version) = target.send_proxy {
        stream.write_all(version.about_nobody()).await?;
    }
    Ok(stream)
}

/// Whether an error of `connect` tells of a want on this machine.
fn is_ours(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::ADDRNOTAVAIL)
    )
}
