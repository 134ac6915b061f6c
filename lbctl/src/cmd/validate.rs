//! `validate`: reads a configuration file as lbd would, with no daemon in sight.

use lb_proto::config::{self, LoadError};
use lb_proto::document::Validated;
use lb_proto::error::{ErrorCode, ErrorReply};

use crate::args::Validate;
use crate::error::Error;
use crate::ui::Ui;

pub(crate) fn run(args: &Validate, ui: &Ui) -> Result<(), Error> {
    let file = args.file.display();
    let config::Loaded {
        config, warnings, ..
    } = match config::load(&args.file) {
        Ok(loaded) => loaded,
        Err(error) => return Err(refusal(error, &file.to_string()).into()),
    };
    let summary = config::summary(&config);
    if !ui.wants_json() {
        ui.warn_of_file(&warnings);
        return ui.data(&format!("{file} is valid: {summary}\n"));
    }
    ui.json(&Validated {
        backends: config.backends.len(),
        file: file.to_string(),
        frontends: config.frontends.len(),
        servers: config.backends.iter().map(|b| b.servers.len()).sum(),
        summary,
        valid: true,
        warnings,
    })
}

/// A file that cannot be read is not an invalid one: nothing is known of it.
pub(super) fn refusal(error: LoadError, file: &str) -> ErrorReply {
    match error {
        LoadError::Unreadable { path, source } => ErrorReply::new(
            ErrorCode::Failed,
            format!("cannot read {}: {source}", path.display()),
        ),
        LoadError::Invalid(problems) => {
            let count = match problems.len() {
                1 => "1 problem".to_owned(),
                many => format!("{many} problems"),
            };
            let mut reply = ErrorReply::new(
                ErrorCode::InvalidConfig,
                format!("{file} is invalid: {count}"),
            );
            reply.problems = problems;
            reply
        }
    }
}
