//! A certificate file put in place under a running daemon: it reads it, clients are shown it, or
//! everything is as it was.

use std::path::Path;

use lb_proto::client::Client;
use lb_proto::document::cert;
use lb_proto::error::ErrorReply;
use lb_proto::pem::Bundle;
use lb_proto::reply::{self, Shown};
use lb_proto::request::ReloadCerts;
use lb_proto::status::Status;

use super::assemble::Assembly;
use super::read_back::{self, Bind};
use super::{failed, whole};
use crate::ui::Ui;

/// Who shows a certificate that is in its file.
#[derive(Debug)]
pub(super) enum Served {
    /// Nobody runs.
    AtTheNextStart,
    /// The daemon has no bind where clients speak TLS.
    AtTheNextReload { pid: u32 },
    Now {
        binds: Vec<Bind>,
        warnings: Vec<String>,
    },
}

impl Served {
    pub(super) fn later(daemon: Option<Status>) -> Self {
        daemon.map_or(Self::AtTheNextStart, |status| Self::AtTheNextReload {
            pid: status.daemon.pid,
        })
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        let Self::Now { binds, warnings } = self else {
            return Vec::new();
        };
        let unseen = binds.iter().filter_map(|bind| {
            let why = bind.unseen.as_ref()?;
            Some(format!(
                "what {} shows could not be read back: {why}",
                bind.name()
            ))
        });
        unseen.chain(warnings.iter().cloned()).collect()
    }

    pub(super) fn tell(&self, ui: &Ui) {
        match self {
            Self::AtTheNextStart => {
                ui.say("no daemon is running: lbd serves it from its next start");
            }
            Self::AtTheNextReload { pid } => ui.say(&format!(
                "the running lbd (pid {pid}) has no bind with TLS: it serves it once its configuration has one and is reloaded"
            )),
            Self::Now { binds, .. } => {
                for bind in binds.iter().filter(|bind| bind.unseen.is_none()) {
                    ui.say(&format!("{} shows it, read back {}", bind.name(), bind.seen()));
                }
            }
        }
    }

    /// Those that show it now.
    pub(super) fn binds(&self) -> Vec<cert::Served> {
        match self {
            Self::Now { binds, .. } => binds.iter().map(Bind::document).collect(),
            Self::AtTheNextStart | Self::AtTheNextReload { .. } => Vec::new(),
        }
    }
}

/// Puts the file in place and sees it served.
///
/// # Errors
/// Where anything fails; file and daemon are as before then, or the message says how they are.
pub(super) fn install(
    assembly: &mut Assembly,
    mut daemon: Client,
    connect: impl Fn() -> Result<Client, ErrorReply>,
) -> Result<Served, ErrorReply> {
    let kept = assembly.slot().keep()?;
    let tried = assembly.put().and_then(|()| served(assembly, &mut daemon));
    let Err(error) = tried else {
        return tried;
    };
    let ErrorReply { message, hint, .. } = error;
    let after = match kept.put_back() {
        Ok(now) => {
            // The connection may be what broke.
            let again = connect().and_then(|mut daemon| daemon.call(&reads(assembly)));
            match again {
                Ok(_) => format!("{now}, and lbd shows what it did before"),
                Err(error) => format!("{now}, but lbd could not be told: {error}"),
            }
        }
        Err(error) => format!(
            "the file before it could not be put back: {error}; it is in the same folder as .lbctl-kept.old"
        ),
    };
    let hint = hint.map_or_else(|| after.clone(), |hint| format!("{hint}; {after}"));
    Err(failed(message, hint))
}

/// The daemon reads this file alone: another one that is new or changed is none of our business, and
/// could not be taken back.
fn reads(assembly: &Assembly) -> ReloadCerts {
    let file = std::path::absolute(assembly.file());
    ReloadCerts {
        file: Some(file.unwrap_or_else(|_| assembly.file().to_owned())),
    }
}

fn served(assembly: &Assembly, daemon: &mut Client) -> Result<Served, ErrorReply> {
    let read = daemon.call(&reads(assembly))?;
    let wanted = shown(assembly.file(), assembly.bundle(), &read)?;
    let binds = read_back::all(assembly.bundle(), &wanted, &read.shown)?;
    let unusable = read
        .unusable
        .iter()
        .map(|file| format!("{}: {}", file.message, file.hint));
    Ok(Served::Now {
        binds,
        warnings: unusable.chain(read.warnings.iter().cloned()).collect(),
    })
}

/// Where the daemon says that it shows the file.
///
/// # Errors
/// Where it does not.
fn shown<'a>(
    file: &Path,
    bundle: &Bundle,
    read: &'a reply::ReloadCerts,
) -> Result<Vec<&'a Shown>, ErrorReply> {
    let path = file.display();
    let here = whole(file);
    let ours = |other: &str| whole(Path::new(other)) == here;
    if let Some(unusable) = read.unusable.iter().find(|unusable| ours(&unusable.file)) {
        return Err(failed(format!("lbd: {}", unusable.message), &unusable.hint));
    }
    let all: Vec<&Shown> = read
        .shown
        .iter()
        .filter(|shown| ours(&shown.file))
        .collect();
    let folder = here.parent().unwrap_or(Path::new("/"));
    let of_folder = |unusable: &&reply::UnusableFile| whole(Path::new(&unusable.file)) == folder;
    if let Some(unusable) = read.unusable.iter().find(of_folder) {
        return Err(failed(format!("lbd: {}", unusable.message), &unusable.hint));
    }
    if all.is_empty() {
        return Err(failed(
            format!("the running lbd does not read {path}"),
            "name a folder that it reads with --certs; for one that its configuration is to name, lbctl cert assemble writes the file and lbctl reload has it read",
        ));
    }
    if let Some(other) = all
        .iter()
        .find(|shown| shown.fingerprint != bundle.leaf.fingerprint)
    {
        return Err(failed(
            format!(
                "lbd has read {path}, and found another certificate in it (SHA-256 {}) than the new one ({})",
                other.fingerprint, bundle.leaf.fingerprint
            ),
            "does something else write the file?",
        ));
    }
    let asked_for = |shown: &&&Shown| shown.default || !shown.names.is_empty();
    let wanted: Vec<&Shown> = all.iter().filter(asked_for).copied().collect();
    match wanted.is_empty() {
        true => Err(hidden(file, bundle, &all, &read.shown)),
        false => Ok(wanted),
    }
}

/// Another file comes first for all of its names.
fn hidden(file: &Path, bundle: &Bundle, all: &[&Shown], shown: &[Shown]) -> ErrorReply {
    let same_bind = |other: &&Shown| all.iter().any(|ours| ours.bind == other.bind);
    let first = shown.iter().filter(same_bind).find_map(|other| {
        let names = &bundle.leaf.names;
        let name = names.iter().find(|name| other.names.contains(name))?;
        Some((&other.file, name))
    });
    let path = file.display();
    match first {
        Some((other, name)) => failed(
            format!("lbd has read {path} and shows it to nobody: {other} comes first for {name}"),
            "remove that file, or replace it: --name is what to call the new one",
        ),
        None => failed(
            format!("lbd has read {path} and shows it to nobody: it has no name to ask for"),
            "have a certificate issued for a name; one for an address is shown where it is the first of `certs`",
        ),
    }
}
