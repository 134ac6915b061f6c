//! The exit codes of `lbctl`, and of `lbd` before it runs.

/// Why a command ended. The numbers are fixed: scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    /// Failed, or the daemon refused.
    Failed = 1,
    /// Wrong usage.
    Usage = 2,
    /// The configuration is invalid.
    InvalidConfig = 3,
    /// No daemon at the socket.
    NoDaemon = 4,
    /// Not allowed to use the socket.
    NotAllowed = 5,
    /// No such frontend, backend or server.
    NoSuchName = 6,
    /// The wait timed out.
    TimedOut = 7,
    /// Rolling maintenance stopped part-way.
    StoppedPartWay = 8,
    /// Ctrl-C: what a shell gives a command that SIGINT ended.
    Interrupted = 130,
}

impl Exit {
    /// The one with this number; `Failed` for one that is none.
    pub fn of(code: i32) -> Self {
        let known = [
            Self::Done,
            Self::Usage,
            Self::InvalidConfig,
            Self::NoDaemon,
            Self::NotAllowed,
            Self::NoSuchName,
            Self::TimedOut,
            Self::StoppedPartWay,
            Self::Interrupted,
        ];
        let is = |exit: &Self| *exit as i32 == code;
        known.into_iter().find(is).unwrap_or(Self::Failed)
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
