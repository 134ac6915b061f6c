//! `cert list`: certificate files, and how long they are good for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anstyle::AnsiColor;
use lb_proto::client::Client;
use lb_proto::config::staple;
use lb_proto::document::cert::{self, Held};
use lb_proto::error::ErrorReply;
use lb_proto::pem::{self, File, FileError};
use lb_proto::status::{CertificateStatus, Status};

use super::{failed, of_config, places, report, running, whole};
use crate::args::cert::List;
use crate::error::Error;
use crate::ui::grid::{self, Column, Field, Worth};
use crate::ui::{Ui, expiry};

const COLUMNS: [Column; 7] = [
    Column::text("FILE", Worth::Always),
    Column::text("NAMES", Worth::Shrink(20)),
    Column::text("ISSUER", Worth::Drop(1)),
    Column::text("LEFT", Worth::Always),
    Column::text("UNTIL", Worth::Drop(3)),
    Column::text("FINGERPRINT", Worth::Drop(2)),
    Column::text(SERVED, Worth::Drop(4)),
];

/// Shown where there is a daemon to ask.
const SERVED: &str = "SERVED AT";

pub(super) fn run(
    args: &List,
    ui: &Ui,
    connect: impl Fn() -> Result<Client, ErrorReply>,
) -> Result<(), Error> {
    let now = report::now();
    let named = !args.certs.is_empty() || args.config.is_some();
    let daemon = daemon(named, ui, of_config(args.config.as_deref(), connect))?;
    let places = match args.certs.is_empty() {
        true => places::of(args.config.as_deref(), daemon.as_ref())?,
        false => args.certs.clone(),
    };
    let mut paths = Vec::new();
    for place in places {
        paths.extend(listed(&place)?);
    }
    let known = daemon.as_ref().map(Known::of);
    let files: Vec<Listed<'_>> = paths
        .iter()
        .map(|path| Listed::new(path, known.as_ref()))
        .collect();
    if ui.wants_json() {
        return ui.json(&cert::Listed {
            certificates: files.iter().map(|file| file.document(now)).collect(),
        });
    }
    show(ui, &files, daemon.is_some(), now)?;
    for file in &files {
        file.warn(ui, now);
    }
    if let (false, Some(known)) = (named, known) {
        known.warn_of_gone(ui, &paths);
    }
    Ok(())
}

/// The running daemon's status. Where it is only to say what is served, a list without that is better
/// than none.
fn daemon(
    named: bool,
    ui: &Ui,
    connect: impl Fn() -> Result<Client, ErrorReply>,
) -> Result<Option<Status>, ErrorReply> {
    match running(connect) {
        Ok(daemon) => Ok(daemon.map(|(_, status)| status)),
        Err(error) if named => {
            ui.warn(&format!("what is served cannot be told: {error}"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn show(ui: &Ui, files: &[Listed<'_>], asked: bool, now: i64) -> Result<(), Error> {
    let columns: Vec<Column> = COLUMNS
        .into_iter()
        .filter(|column| asked || column.title != SERVED)
        .collect();
    let rows: Vec<Vec<Field>> = files.iter().filter_map(|file| file.row(now)).collect();
    if !rows.is_empty() {
        ui.data(&grid::render(&columns, &rows, &ui.canvas()))?;
    }
    if files.is_empty() {
        ui.say("there are no certificates");
    }
    Ok(())
}

/// What a daemon knows of files, by their whole paths.
struct Known<'a>(BTreeMap<PathBuf, &'a CertificateStatus>);

impl<'a> Known<'a> {
    fn of(status: &'a Status) -> Self {
        let certificates = status.certificates.iter();
        Self(
            certificates
                .map(|known| (whole(Path::new(&known.file)), known))
                .collect(),
        )
    }

    /// Tells of files that are no longer there, but served.
    fn warn_of_gone(&self, ui: &Ui, paths: &[PathBuf]) {
        let there: BTreeSet<PathBuf> = paths.iter().map(|path| whole(path)).collect();
        for (_, gone) in self.0.iter().filter(|(path, _)| !there.contains(*path)) {
            ui.warn(&format!(
                "lbd serves {}, which is no longer there, until it is reloaded",
                gone.file
            ));
        }
    }
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

/// A file, and what the daemon makes of it.
struct Listed<'a> {
    path: &'a Path,
    read: Result<File, FileError>,
    served: Option<Served>,
}

/// What a daemon says of a file.
enum Served {
    No,
    At(Vec<String>),
    /// What it held before.
    Other(String),
}

impl Served {
    fn new(path: &Path, file: &File, known: &Known<'_>) -> Self {
        match known.0.get(&whole(path)) {
            Some(known) if known.fingerprint != file.bundle.leaf.fingerprint => {
                Self::Other(known.fingerprint.clone())
            }
            Some(known) if !known.binds.is_empty() => Self::At(known.binds.clone()),
            _ => Self::No,
        }
    }

    fn field(&self) -> Field {
        match self {
            Self::No => "nowhere".into(),
            Self::At(binds) => binds.join(" ").into(),
            Self::Other(_) => Field {
                text: "no, an older one".to_owned(),
                color: Some(AnsiColor::Red),
            },
        }
    }
}

impl<'a> Listed<'a> {
    fn new(path: &'a Path, known: Option<&Known<'_>>) -> Self {
        let read = File::read(path);
        let served = known.and_then(|known| {
            let file = read.as_ref().ok()?;
            Some(Served::new(path, file, known))
        });
        Self { path, read, served }
    }

    /// `None`: it is of no use.
    fn row(&self, now: i64) -> Option<Vec<Field>> {
        /// Of the fingerprint; JSON has the whole.
        const SHOWN: usize = 16;
        let leaf = &self.read.as_ref().ok()?.bundle.leaf;
        let fingerprint = leaf.fingerprint.get(..SHOWN).unwrap_or(&leaf.fingerprint);
        let fields: [Field; 6] = [
            self.path.display().into(),
            pem::in_short(&leaf.names).into(),
            leaf.issuer.as_str().into(),
            expiry::left(leaf.validity(now)),
            report::until(leaf).into(),
            fingerprint.into(),
        ];
        let served = self.served.iter().map(Served::field);
        Some(fields.into_iter().chain(served).collect())
    }

    fn document(&self, now: i64) -> cert::File {
        let (served, served_fingerprint) = match &self.served {
            None => (None, None),
            Some(Served::No) => (Some(Vec::new()), None),
            Some(Served::At(binds)) => (Some(binds.clone()), None),
            Some(Served::Other(fingerprint)) => (Some(Vec::new()), Some(fingerprint.clone())),
        };
        cert::File {
            held: match &self.read {
                Ok(file) => Held::Certificate(report::certificate(&file.bundle.leaf, now)),
                Err(error) => Held::Unusable {
                    error: error.to_string(),
                    hint: error.remedy().to_owned(),
                },
            },
            file: self.path.display().to_string(),
            ocsp_next_update: self.read.as_ref().ok().and_then(report::ocsp_next_update),
            served,
            served_fingerprint,
        }
    }

    fn warn(&self, ui: &Ui, now: i64) {
        let path = self.path.display();
        match &self.read {
            Err(error) => ui.warn(&format!("{error}: {}", error.remedy())),
            Ok(file) => {
                if let Some(fault) = staple(file, now) {
                    ui.warn(&format!("{}: {}", fault.message, fault.remedy));
                }
                if let Some(mode) = file.open_to_all {
                    ui.warn(&format!(
                        "everybody may read the key in {path} (mode {mode:04o}): chmod 0600 {path}"
                    ));
                }
            }
        }
        if let Some(Served::Other(_)) = self.served {
            ui.warn(&format!(
                "lbd serves what {path} held before: lbctl reload has it read again"
            ));
        }
    }
}
