//! `cert`: certificate files, from those of the authority to those that lbd reads.

mod assemble;
mod report;
mod slot;
mod source;

use lb_proto::error::{ErrorCode, ErrorReply};

use crate::args::cert::{Cert, CertVerb};
use crate::error::Error;
use crate::ui::Ui;

pub(crate) fn run(args: &Cert, ui: &Ui) -> Result<(), Error> {
    match &args.verb {
        CertVerb::Assemble(args) => assemble::run(args, ui),
    }
}

fn failed(message: String, hint: impl Into<String>) -> ErrorReply {
    ErrorReply::new(ErrorCode::Failed, message).hint(hint)
}
