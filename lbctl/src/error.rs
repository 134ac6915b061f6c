//! Why a command did not do what it was asked to.

use std::io;

use lb_proto::document::Unfinished;
use lb_proto::error::ErrorReply;
use lb_proto::exit::Exit;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The daemon's refusal, or a refusal of our own in the same form.
    #[error(transparent)]
    Reply(#[from] ErrorReply),
    /// A wait that did not reach its end.
    #[error("{error}")]
    Wait {
        error: ErrorReply,
        servers: Box<Unfinished>,
    },
    /// What was printed is that something is wrong.
    #[error("something is wrong")]
    Told,
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),
}

impl Error {
    /// Whether nobody reads us any more (`lbctl status | head -1`), which is no failure.
    pub(crate) fn reader_left(&self) -> bool {
        matches!(self, Self::Output(e) if e.kind() == io::ErrorKind::BrokenPipe)
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Reply(error) | Self::Wait { error, .. } => error.code.exit(),
            Self::Output(_) if self.reader_left() => Exit::Done,
            Self::Told | Self::Output(_) => Exit::Failed,
        }
    }
}
