//! Why there is no other configuration, in the words of a reply.

use lb_proto::config::LoadError;
use lb_proto::error::{ErrorCode, ErrorReply, Problem};

use crate::access_log::OpenError;
use crate::causes::in_full;
use crate::control::explain_bind;
use crate::service;
use crate::state::BuildError;

/// What was to be done beside the control thread was not: a bug, which the log tells of.
pub(super) fn unexpected(what: &str) -> ErrorReply {
    let message = format!("{what} failed unexpectedly; see the log");
    ErrorReply::new(ErrorCode::Failed, message)
}

pub(super) fn of_load(error: LoadError) -> ErrorReply {
    match error {
        LoadError::Unreadable { path, source } => ErrorReply::new(
            ErrorCode::Failed,
            format!("cannot read {}: {source}", path.display()),
        ),
        LoadError::Invalid(problems) => ErrorReply {
            problems: problems.clone(),
            ..ErrorReply::new(ErrorCode::InvalidConfig, in_short(&problems))
        },
    }
}

/// The first problem, and how many more there are.
fn in_short(problems: &[Problem]) -> String {
    let Some(first) = problems.first() else {
        return "the configuration is invalid".to_owned();
    };
    let Problem {
        file,
        line,
        column,
        message,
        ..
    } = first;
    let first = format!("{file}:{line}:{column}: {message}");
    match problems.len() - 1 {
        0 => first,
        more => format!("{first} (and {})", service::count(more, "more problem")),
    }
}

pub(super) fn of_open(error: &OpenError) -> ErrorReply {
    let why = std::error::Error::source(error).map_or_else(String::new, |e| format!(": {e}"));
    ErrorReply {
        hint: Some(error.hint().to_owned()),
        ..ErrorReply::new(ErrorCode::Failed, format!("{error}{why}"))
    }
}

pub(super) fn of_build(error: &BuildError) -> ErrorReply {
    match error {
        BuildError::Bind(error) => {
            let (message, hint) = explain_bind(error);
            ErrorReply {
                hint,
                ..ErrorReply::new(ErrorCode::Failed, message)
            }
        }
        BuildError::Tls { source, .. }
        | BuildError::ServerTls { source, .. }
        | BuildError::TracesTls { source, .. } => {
            ErrorReply::new(ErrorCode::Failed, format!("{error}: {}", in_full(source)))
        }
    }
}
