//! What the daemon starts from: its file, unless that is a configuration which was to be confirmed
//! and was not. Then it is the one confirmed last, be the file as broken as it may.

use std::path::{Path, PathBuf};

use lb_proto::config::{self, LoadError, sha256};
use lb_proto::error::Problem;

use super::history::{Entry, History, Unconfirmed};
use super::reload::Kept;
use crate::causes::in_full;

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
    /// Of the file's bytes, hexadecimal. One that cannot be read counts as empty.
    file_sha256: String,
    /// Of the texts that were not confirmed before.
    refused: Vec<String>,
    /// What was confirmed last, where something after it was not.
    fallback: Option<Entry>,
    /// Whether that is what was loaded.
    is_fallback: bool,
}

impl Origin {
    /// Whether what was started from is kept already.
    pub(super) fn kept(self, text: &str, history: &History) -> Kept {
        match self.fallback.or_else(|| history.newest()) {
            Some(entry) if self.is_fallback || entry.text == text => Kept::As(entry.number),
            before => Kept::Not {
                before: before.map(|entry| entry.number),
            },
        }
    }

    /// What may run no more than before: the file among it, for that is still there. `None`: all may.
    pub(super) fn refused(&self) -> Option<Vec<String>> {
        self.is_fallback.then(|| {
            let mut sha256 = self.refused.clone();
            if !sha256.contains(&self.file_sha256) {
                sha256.push(self.file_sha256.clone());
            }
            sha256
        })
    }
}

/// Why there is nothing to start from.
#[derive(Debug)]
pub(crate) struct NoStart {
    pub(crate) error: LoadError,
    pub(crate) hint: Option<String>,
}

/// Reads the file and looks what was confirmed. Writes nothing. `default_dir` is where that is kept,
/// as far as the file says nothing else.
///
/// # Errors
/// Where the file cannot be read or is invalid, and no other one that was confirmed is to be had.
pub(crate) fn choose(path: &Path, default_dir: &Path) -> Result<Start, NoStart> {
    match config::load(path) {
        Ok(loaded) => Ok(of_usable(path, loaded)),
        Err(error) => of_unusable(path, default_dir, error),
    }
}

fn of_usable(path: &Path, loaded: config::Loaded) -> Start {
    let history = History::below(&loaded.config.global.state_dir);
    let mut start = Start {
        origin: Origin {
            file_sha256: sha256(&loaded.text),
            refused: Vec::new(),
            fallback: None,
            is_fallback: false,
        },
        loaded,
        warnings: Vec::new(),
    };
    let file = path.display();
    let unconfirmed = match history.unconfirmed() {
        Ok(Some(unconfirmed)) => unconfirmed,
        Ok(None) => return start,
        Err(error) => {
            let why = in_full(&error);
            start.warnings.push(format!(
                "whether {file} was confirmed is not known, it is started from: {why}"
            ));
            return start;
        }
    };
    let may_run = !unconfirmed.waiting && !unconfirmed.sha256.contains(&start.origin.file_sha256);
    let entry = match history.read(unconfirmed.fallback) {
        Ok(entry) => entry,
        Err(_) if may_run => return start,
        Err(error) => {
            start.warnings.push(no_fallback(path, &in_full(&error)));
            return start;
        }
    };
    if may_run || entry.text == start.loaded.text {
        start.origin.fallback = Some(entry);
        return start;
    }
    match config::judge(&path.to_string_lossy(), entry.text.clone()) {
        Ok(fallback) => {
            start.loaded = fallback;
            start.origin.is_fallback = true;
            start.origin.refused = unconfirmed.sha256;
            start.warnings.push(format!(
                "{file} was not confirmed: started from the configuration of {} instead; \
                 `lbctl plan` shows what differs, `lbctl reload` takes the file",
                entry.about.at
            ));
            start.origin.fallback = Some(entry);
        }
        Err(problems) => {
            let why = invalid_by_now(&problems);
            start.warnings.push(no_fallback(path, &why));
        }
    }
    start
}

/// The file is of no use: it may have been on trial, or is what became of one that was.
fn of_unusable(path: &Path, default_dir: &Path, error: LoadError) -> Result<Start, NoStart> {
    let bytes = config::bytes(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let named = config::state_dir(&text);
    let is_known = named.is_some() || text.contains("[global]");
    let state_dir = named.unwrap_or_else(|| default_dir.to_owned());
    let history = History::below(&state_dir);
    let file_sha256 = sha256(&bytes);
    let unconfirmed = history.unconfirmed().ok().flatten();
    let unconfirmed = unconfirmed.filter(|one| one.waiting || one.sha256.contains(&file_sha256));
    let Some(unconfirmed) = unconfirmed else {
        let hint = (!is_known).then(|| {
            format!(
                "if a configuration was on trial, the one before it is kept in configs/ below its \
                 state_dir, which this file does not name; nothing is in {}. --config names another file",
                state_dir.display()
            )
        });
        return Err(NoStart { error, hint });
    };
    let (entry, loaded) = match confirmed(&history, &unconfirmed, path, state_dir) {
        Ok(found) => found,
        Err(why) => {
            let hint = format!(
                "it was not confirmed, and the configuration before it cannot be used either: {why}"
            );
            return Err(NoStart {
                error,
                hint: Some(hint),
            });
        }
    };
    let why = match &error {
        LoadError::Invalid(problems) => problems.first().map(|p| p.message.clone()),
        LoadError::Unreadable { source, .. } => Some(source.to_string()),
    };
    let warning = format!(
        "{} was not confirmed: started from the configuration of {} instead; the file cannot be \
         used: {}; put it right, and `lbctl reload` takes it",
        path.display(),
        entry.about.at,
        why.unwrap_or_default()
    );
    Ok(Start {
        loaded,
        warnings: vec![warning],
        origin: Origin {
            file_sha256,
            refused: unconfirmed.sha256,
            fallback: Some(entry),
            is_fallback: true,
        },
    })
}

/// What was confirmed before, of this very file: another daemon may keep its own there.
fn confirmed(
    history: &History,
    unconfirmed: &Unconfirmed,
    path: &Path,
    state_dir: PathBuf,
) -> Result<(Entry, config::Loaded), String> {
    let entry = history
        .read(unconfirmed.fallback)
        .map_err(|error| in_full(&error))?;
    let of = path.to_string_lossy();
    if entry.about.path != of {
        return Err(format!("it is of {}", entry.about.path));
    }
    let loaded =
        config::judge(&of, entry.text.clone()).map_err(|problems| invalid_by_now(&problems))?;
    if loaded.config.global.state_dir != state_dir {
        return Err(format!("{} is not its state_dir", state_dir.display()));
    }
    Ok((entry, loaded))
}

fn invalid_by_now(problems: &[Problem]) -> String {
    let first = problems.first().map(|p| p.message.as_str());
    format!("it is invalid by now: {}", first.unwrap_or_default())
}

fn no_fallback(path: &Path, why: &str) -> String {
    format!(
        "{} was not confirmed, and is started from all the same: \
         the configuration before it cannot be used, {why}",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::super::history::About;
    use super::*;
    use crate::state::now;

    /// A file that is gone, and a folder where another one of it was on trial.
    #[test]
    fn of_a_file_that_is_gone_what_was_confirmed_is_in_the_default_folder() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("state");
        let path = folder.path().join("lbd.toml");
        let text = format!(
            "[global]\nstate_dir = {dir:?}\n[frontend.web]\nbind = [\"127.0.0.1:0\"]\n\
             default_backend = \"app\"\n[backend.app]\n\
             servers = [{{ name = \"a\", address = \"127.0.0.1:1\" }}]\n"
        );
        let no_start = choose(&path, &dir).unwrap_err();
        let hint = no_start.hint.unwrap();
        assert!(hint.contains("if a configuration was on trial"), "{hint}");

        let history = History::below(&dir);
        let about = |of: &Path| About {
            before: None,
            at: now(),
            by: "uid 0".to_owned(),
            path: of.display().to_string(),
        };
        let wait = |fallback| {
            history.set_unconfirmed(Some(&Unconfirmed {
                sha256: vec!["ab".to_owned()],
                fallback,
                waiting: true,
            }))
        };
        wait(history.keep(about(Path::new("/another")), &text).unwrap()).unwrap();
        let hint = choose(&path, &dir).unwrap_err().hint.unwrap();
        assert!(hint.contains("it is of /another"), "{hint}");

        wait(history.keep(about(&path), &text).unwrap()).unwrap();
        let start = choose(&path, &dir).unwrap();
        assert_eq!(start.loaded.text, text);
        assert!(start.warnings[0].contains("was not confirmed"));
        // What was on trial is still refused, and it is as good at the next start.
        let sha256 = start.origin.refused().unwrap();
        assert_eq!(sha256, ["ab".to_owned(), config::sha256("")]);
        assert_eq!(start.origin.kept(&text, &history), Kept::As(2));
        let refused = Unconfirmed {
            sha256,
            fallback: 2,
            waiting: false,
        };
        history.set_unconfirmed(Some(&refused)).unwrap();
        assert_eq!(choose(&path, &dir).unwrap().loaded.text, text);
    }
}
