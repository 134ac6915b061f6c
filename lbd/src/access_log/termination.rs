//! How a request ended, in HAProxy's letters (configuration manual, 8.5).

/// The first letter: who ended it before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The client broke it off.
    Client,
    /// The client was silent for too long.
    ClientTimeout,
    /// The server refused, broke off, or answered with what is no answer.
    Server,
    /// The server was silent for too long, or the wait for one was too long.
    ServerTimeout,
    /// An operator closed it.
    Killed,
    /// lbd refused it.
    Proxy,
    /// lbd answered it itself, as it is configured to.
    Local,
}

/// The second letter: what it was at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Request,
    Queue,
    Connect,
    /// Waiting for the head of the server's response.
    Head,
    Data,
}

/// Both; `None`: it ran its course.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Termination(pub(crate) Option<(Cause, Phase)>);

/// The third and the fourth letter: what the client's stickiness cookie said, and what was done
/// about it (8.5 as well).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CookieFlags(pub(crate) [u8; 2]);

impl Termination {
    pub(crate) const NORMAL: Self = Self(None);

    pub(crate) const fn at(cause: Cause, phase: Phase) -> Self {
        Self(Some((cause, phase)))
    }

    pub(crate) fn letters(self) -> [u8; 2] {
        let Some((cause, phase)) = self.0 else {
            return *b"--";
        };
        let cause = match cause {
            Cause::Client => b'C',
            Cause::ClientTimeout => b'c',
            Cause::Server => b'S',
            Cause::ServerTimeout => b's',
            Cause::Killed => b'K',
            Cause::Proxy => b'P',
            Cause::Local => b'L',
        };
        let phase = match phase {
            Phase::Request => b'R',
            Phase::Queue => b'Q',
            Phase::Connect => b'C',
            Phase::Head => b'H',
            Phase::Data => b'D',
        };
        [cause, phase]
    }
}

#[cfg(test)]
impl std::fmt::Display for CookieFlags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl Default for CookieFlags {
    fn default() -> Self {
        Self(*b"--")
    }
}
