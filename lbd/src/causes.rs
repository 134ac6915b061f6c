//! An error in words, with its causes: what happened is often only said there.

use std::error::Error;
use std::iter::successors;

/// The error, its cause, the cause of that.
pub(crate) fn causes(error: &dyn Error) -> Vec<String> {
    let all = successors(Some(error), |&error| error.source());
    all.map(ToString::to_string).collect()
}

/// All of them in one line.
pub(crate) fn in_full(error: &dyn Error) -> String {
    causes(error).join(": ")
}
