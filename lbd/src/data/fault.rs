//! Why a request was not answered as asked: what the client is told is read from it.

use http::StatusCode;

use super::framing::BadHead;
use super::watch::{Awaiting, Expired};
use crate::access_log::{Cause, Phase, Termination};
use crate::state::{Reason, Refusal};

/// After so many seconds a client may find a server again: a few check intervals.
const SERVER_BACK_SECONDS: u32 = 5;

/// The contract's HTTP-behaviour table, a row a variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The head does not parse, or its Host is missing, repeated or malformed (RFC 9112, 3.2).
    Malformed,
    BothFramings,
    /// The body's framing broke.
    BadBody,
    HeadTooLarge,
    TargetTooLong,
    /// `CONNECT`: lbd is no forward proxy.
    Connect,
    HeadTooSlow,
    /// The client stopped sending its body.
    ClientSilent,
    NoRoute,
    /// The frontend does not serve this client's address.
    Denied,
    /// The client asked too often; seconds until it may ask again.
    TooOften(u32),
    /// No server of the backend takes sessions.
    NoServer,
    /// All servers are full, and so is the queue.
    QueueFull,
    /// No server had room in time.
    QueueTimedOut,
    ConnectFailed,
    ConnectTimedOut,
    /// The connection broke, or what came was no response.
    BadResponse,
    ServerSilent,
    /// An operator closed the session.
    Killed,
}

impl Fault {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Malformed | Self::BothFramings | Self::BadBody => StatusCode::BAD_REQUEST,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::Connect => StatusCode::METHOD_NOT_ALLOWED,
            Self::HeadTooSlow | Self::ClientSilent => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Denied => StatusCode::FORBIDDEN,
            Self::TooOften(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::NoServer
            | Self::QueueFull
            | Self::QueueTimedOut
            | Self::ConnectFailed
            | Self::ConnectTimedOut
            | Self::Killed => StatusCode::SERVICE_UNAVAILABLE,
            Self::BadResponse => StatusCode::BAD_GATEWAY,
            Self::ServerSilent => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// What it is counted as.
    pub(super) fn reason(self) -> Reason {
        match self {
            Self::Malformed | Self::BothFramings | Self::BadBody | Self::Connect => {
                Reason::Malformed
            }
            Self::HeadTooLarge | Self::TargetTooLong => Reason::TooLarge,
            Self::HeadTooSlow | Self::ClientSilent => Reason::TooSlow,
            Self::NoRoute => Reason::NoRoute,
            Self::Denied => Reason::Denied,
            Self::TooOften(_) => Reason::RateLimited,
            Self::NoServer => Reason::NoServer,
            Self::QueueFull => Reason::QueueFull,
            Self::QueueTimedOut => Reason::QueueTimeout,
            Self::ConnectFailed => Reason::ConnectFailed,
            Self::ConnectTimedOut => Reason::ConnectTimeout,
            Self::BadResponse => Reason::BadResponse,
            Self::ServerSilent => Reason::ServerTimeout,
            Self::Killed => Reason::Killed,
        }
    }

    /// How the access log has it, of a request that was at `phase`.
    pub(super) fn termination(self, phase: Phase) -> Termination {
        let (cause, phase) = match self {
            Self::Malformed
            | Self::BothFramings
            | Self::HeadTooLarge
            | Self::TargetTooLong
            | Self::Connect
            | Self::NoRoute
            | Self::Denied
            | Self::TooOften(_) => (Cause::Proxy, Phase::Request),
            Self::HeadTooSlow => (Cause::ClientTimeout, Phase::Request),
            Self::BadBody => (Cause::Client, phase),
            Self::ClientSilent => (Cause::ClientTimeout, phase),
            Self::NoServer | Self::ConnectFailed => (Cause::Server, Phase::Connect),
            Self::QueueFull | Self::QueueTimedOut => (Cause::ServerTimeout, Phase::Queue),
            Self::ConnectTimedOut => (Cause::ServerTimeout, Phase::Connect),
            Self::BadResponse => (Cause::Server, Phase::Head),
            Self::ServerSilent => (Cause::ServerTimeout, Phase::Head),
            Self::Killed => (Cause::Killed, phase),
        };
        Termination::at(cause, phase)
    }

    /// One sentence for the client. It names no server: that is the operator's business.
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::Malformed => "The request could not be understood.",
            Self::BothFramings => "The request has both Content-Length and Transfer-Encoding.",
            Self::BadBody => "The request's body was invalid or incomplete.",
            Self::HeadTooLarge => "The request's header fields are too large.",
            Self::TargetTooLong => "The request's target is too long.",
            Self::Connect => "CONNECT is not offered here.",
            Self::HeadTooSlow | Self::ClientSilent => "The request did not arrive in time.",
            Self::NoRoute => "Nothing is served here.",
            Self::Denied => "Requests from your address are not answered here.",
            Self::TooOften(_) => "Too many requests came from your address.",
            Self::NoServer
            | Self::QueueFull
            | Self::QueueTimedOut
            | Self::ConnectFailed
            | Self::ConnectTimedOut => "No server is available to answer this request.",
            Self::BadResponse => "The server's response was invalid or incomplete.",
            Self::ServerSilent => "The server did not answer in time.",
            Self::Killed => "The server was taken out of service before it answered.",
        }
    }

    /// Seconds after which the client may find what it asked for.
    pub(super) fn retry_after(self) -> Option<u32> {
        match self {
            Self::TooOften(seconds) => Some(seconds),
            _ if self.status() == StatusCode::SERVICE_UNAVAILABLE => Some(SERVER_BACK_SECONDS),
            _ => None,
        }
    }

    /// Whether the connection cannot be used for another request.
    pub(super) fn closes(self) -> bool {
        match self {
            Self::Malformed
            | Self::BothFramings
            | Self::BadBody
            | Self::HeadTooLarge
            | Self::TargetTooLong
            | Self::Connect
            | Self::HeadTooSlow
            | Self::ClientSilent => true,
            Self::NoRoute
            | Self::Denied
            | Self::TooOften(_)
            | Self::NoServer
            | Self::QueueFull
            | Self::QueueTimedOut
            | Self::ConnectFailed
            | Self::ConnectTimedOut
            | Self::BadResponse
            | Self::ServerSilent
            | Self::Killed => false,
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Denied => Self::Denied,
            Refusal::TooOften(wait) => {
                let seconds = wait.as_nanos().div_ceil(1_000_000_000).max(1);
                Self::TooOften(seconds.try_into().unwrap_or(u32::MAX))
            }
        }
    }
}

impl From<BadHead> for Fault {
    fn from(bad: BadHead) -> Self {
        match bad {
            BadHead::BadFraming => Self::Malformed,
            BadHead::BothFramings => Self::BothFramings,
            BadHead::HeadTooLarge => Self::HeadTooLarge,
            BadHead::TargetTooLong => Self::TargetTooLong,
        }
    }
}

impl From<Expired> for Fault {
    fn from(Expired(awaiting): Expired) -> Self {
        match awaiting {
            Awaiting::Request | Awaiting::Head => Self::HeadTooSlow,
            Awaiting::Client => Self::ClientSilent,
            Awaiting::Queue => Self::QueueTimedOut,
            Awaiting::Connect => Self::ConnectTimedOut,
            Awaiting::Server => Self::ServerSilent,
            Awaiting::Nobody => Self::Killed,
        }
    }
}
