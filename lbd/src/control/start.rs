//! What the daemon starts from: its file, unless that is a configuration which was to be confirmed
//! and was not. Then it is the one confirmed last.

use std::path::Path;

use lb_proto::config::{self, LoadError, sha256};

use super::history::{About, Entry, History, HistoryError, Unconfirmed};
use super::reload::in_full;
use crate::state::now;

/// What was chosen, and why.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) loaded: config::Loaded,
    /// What is to be said of it, loudly.
    pub(crate) warnings: Vec<String>,
    pub(crate) origin: Origin,
}

/// Where it is from.
#[derive(Debug)]
pub(crate) struct Origin {
    /// Of the file's bytes, hexadecimal.
    file_sha256: String,
    /// What was confirmed last, where something after it was not.
    fallback: Option<Entry>,
    /// Whether that is what was loaded.
    is_fallback: bool,
}

impl Origin {
    /// Keeps what was started from, and what it means for the next start. Gives its number.
    pub(super) fn keep(
        self,
        text: &str,
        history: &History,
        path: String,
    ) -> Result<u64, HistoryError> {
        let before = self.fallback.or_else(|| history.newest());
        let number = match &before {
            Some(entry) if self.is_fallback || entry.text == text => entry.number,
            _ => {
                let about = About {
                    before: before.map(|entry| entry.number),
                    at: now(),
                    by: "the start".to_owned(),
                    path,
                };
                history.keep(about, text)?
            }
        };
        // The file is still there, and may run no more than before.
        let unconfirmed = self.is_fallback.then_some(Unconfirmed {
            sha256: vec![self.file_sha256],
            fallback: number,
            waiting: false,
        });
        history.set_unconfirmed(unconfirmed.as_ref())?;
        Ok(number)
    }
}

/// Reads the file and looks what was confirmed. Writes nothing.
///
/// # Errors
/// Where the file cannot be read or is invalid: then nobody knows where the others are.
pub(crate) fn choose(path: &Path) -> Result<Start, LoadError> {
    let loaded = config::load(path)?;
    let history = History::below(&loaded.config.global.state_dir);
    let mut start = Start {
        origin: Origin {
            file_sha256: sha256(&loaded.text),
            fallback: None,
            is_fallback: false,
        },
        loaded,
        warnings: Vec::new(),
    };
    let file = path.display();
    let unconfirmed = match history.unconfirmed() {
        Ok(Some(unconfirmed)) => unconfirmed,
        Ok(None) => return Ok(start),
        Err(error) => {
            let why = in_full(&error);
            start.warnings.push(format!(
                "whether {file} was confirmed is not known, it is started from: {why}"
            ));
            return Ok(start);
        }
    };
    let may_run = !unconfirmed.waiting && !unconfirmed.sha256.contains(&start.origin.file_sha256);
    let entry = match history.read(unconfirmed.fallback) {
        Ok(entry) => entry,
        Err(_) if may_run => return Ok(start),
        Err(error) => {
            start.warnings.push(no_fallback(path, &in_full(&error)));
            return Ok(start);
        }
    };
    if may_run || entry.text == start.loaded.text {
        start.origin.fallback = Some(entry);
        return Ok(start);
    }
    match config::judge(&path.to_string_lossy(), entry.text.clone()) {
        Ok(fallback) => {
            start.loaded = fallback;
            start.origin.is_fallback = true;
            start.warnings.push(format!(
                "{file} was not confirmed: started from the configuration of {} instead; \
                 `lbctl plan` shows what differs, `lbctl reload` takes the file",
                entry.about.at
            ));
            start.origin.fallback = Some(entry);
        }
        Err(problems) => {
            let first = problems.first().map(|p| p.message.as_str());
            let why = format!("it is invalid by now: {}", first.unwrap_or_default());
            start.warnings.push(no_fallback(path, &why));
        }
    }
    Ok(start)
}

fn no_fallback(path: &Path, why: &str) -> String {
    format!(
        "{} was not confirmed, and is started from all the same: \
         the configuration before it cannot be used, {why}",
        path.display()
    )
}
