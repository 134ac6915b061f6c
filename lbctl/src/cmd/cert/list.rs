//! `cert list`: certificate files, and how long they are good for.

use std::path::{Path, PathBuf};

use anstyle::AnsiColor;
use lb_proto::client::Client;
use lb_proto::error::ErrorReply;
use lb_proto::pem::{self, File, FileError, Leaf, Validity};
use serde_json::{Value, json};

use super::{config, failed, places, report, running};
use crate::args::cert::List;
use crate::error::Error;
use crate::ui::Ui;
use crate::ui::grid::{self, Column, Field, Worth};

const COLUMNS: [Column; 6] = [
    Column::text("FILE", Worth::Always),
    Column::text("NAMES", Worth::Shrink(20)),
    Column::text("ISSUER", Worth::Drop(1)),
    Column::text("LEFT", Worth::Always),
    Column::text("UNTIL", Worth::Drop(3)),
    Column::text("FINGERPRINT", Worth::Drop(2)),
];

pub(super) fn run(
    args: &List,
    ui: &Ui,
    connect: impl Fn() -> Result<Client, ErrorReply>,
) -> Result<(), Error> {
    let now = report::now();
    let mut files = Vec::new();
    for place in places(args, connect)? {
        files.extend(listed(&place)?);
    }
    let read: Vec<Result<File, FileError>> = files.iter().map(|file| File::read(file)).collect();
    if ui.wants_json() {
        let told = files.iter().zip(&read);
        let told: Vec<Value> = told.map(|(path, file)| json(path, file, now)).collect();
        return ui.json(&json!({ "certificates": told }));
    }
    let good: Vec<&File> = read.iter().flatten().collect();
    if !good.is_empty() {
        let rows: Vec<Vec<Field>> = good.iter().map(|file| row(file, now)).collect();
        ui.data(&grid::render(&COLUMNS, &rows, &ui.canvas()))?;
    }
    if files.is_empty() {
        ui.say("there are no certificates");
    }
    for error in read.iter().filter_map(|file| file.as_ref().err()) {
        ui.warn(&format!("{error}: {}", error.remedy()));
    }
    for (file, mode) in good
        .iter()
        .filter_map(|file| Some((file, file.open_to_all?)))
    {
        let file = file.path.display();
        ui.warn(&format!(
            "everybody may read the key in {file} (mode {mode:04o}): chmod 0600 {file}"
        ));
    }
    Ok(())
}

fn places(
    args: &List,
    connect: impl Fn() -> Result<Client, ErrorReply>,
) -> Result<Vec<PathBuf>, ErrorReply> {
    if !args.certs.is_empty() {
        return Ok(args.certs.clone());
    }
    if args.config.is_some() {
        return places::of_config(&config(args.config.as_deref(), None));
    }
    let daemon = running(connect)?;
    places::of_config(&config(None, daemon.as_ref().map(|(_, status)| status)))
}

fn listed(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let listing = pem::list(path).map_err(|error| {
        failed(
            format!("cannot read {}: {error}", path.display()),
            "name a PEM file, or a folder of them that you may read",
        )
    })?;
    Ok(listing.files)
}

fn row(file: &File, now: i64) -> Vec<Field> {
    /// Of the fingerprint; JSON has the whole.
    const SHOWN: usize = 16;
    let leaf = &file.bundle.leaf;
    let fingerprint = leaf.fingerprint.get(..SHOWN).unwrap_or(&leaf.fingerprint);
    vec![
        file.path.display().into(),
        pem::in_short(&leaf.names).into(),
        leaf.issuer.as_str().into(),
        left(leaf, now),
        report::until(leaf).into(),
        fingerprint.into(),
    ]
}

/// Certbot renews when 30 days are left: fewer mean that it has not, and with less than a week
/// somebody has to look.
fn left(leaf: &Leaf, now: i64) -> Field {
    let (text, color) = match leaf.validity(now) {
        Validity::Days(left) => (
            report::days(left),
            match left {
                ..7 => AnsiColor::Red,
                7..30 => AnsiColor::Yellow,
                30.. => AnsiColor::Green,
            },
        ),
        Validity::Expired(_) | Validity::NotYet => (report::left(leaf, now), AnsiColor::Red),
    };
    Field {
        text,
        color: Some(color),
    }
}

fn json(path: &Path, file: &Result<File, FileError>, now: i64) -> Value {
    let mut document = match file {
        Ok(file) => report::certificate(&file.bundle.leaf, now),
        Err(error) => json!({ "error": error.to_string(), "hint": error.remedy() }),
    };
    document["file"] = json!(path);
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_coloured_by_how_little_it_is() {
        const DAY: i64 = 24 * 60 * 60;
        let leaf = Leaf {
            names: vec!["a.test".to_owned()],
            not_before: 0,
            not_after: 100 * DAY,
            fingerprint: String::new(),
            issuer: String::new(),
        };
        for (days, text, color) in [
            (-1, "not valid yet", AnsiColor::Red),
            (70, "30 days", AnsiColor::Green),
            (71, "29 days", AnsiColor::Yellow),
            (93, "7 days", AnsiColor::Yellow),
            (94, "6 days", AnsiColor::Red),
            (99, "1 day", AnsiColor::Red),
            (102, "expired 2 days ago", AnsiColor::Red),
        ] {
            let field = left(&leaf, days * DAY);
            assert_eq!((&*field.text, field.color), (text, Some(color)), "{days}");
        }
    }
}
