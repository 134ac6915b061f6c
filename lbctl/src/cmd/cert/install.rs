//! `cert install`: what Certbot renewed goes where lbd reads it.

use std::path::{Path, PathBuf};

use lb_proto::client::Client;
use lb_proto::error::ErrorReply;
use lb_proto::pem;
use lb_proto::status::Status;
use serde_json::json;

use super::assemble::{Assembled, assemble};
use super::source::Source;
use super::{config, failed, places, running, wrong_usage};
use crate::args::cert::Install;
use crate::error::Error;
use crate::ui::Ui;

/// Who serves a certificate once it is in its file.
enum Served {
    /// Nobody runs: lbd does from its next start.
    AtTheNextStart,
    /// A daemon that has read what was there before.
    NotYet { pid: u32 },
}

pub(super) fn run(
    args: &Install,
    ui: &Ui,
    connect: impl Fn() -> Result<Client, ErrorReply>,
) -> Result<(), Error> {
    let lineage = lineage(args)?;
    let name = file_name(args, lineage)?;
    let daemon = running(connect)?;
    let status = daemon.as_ref().map(|(_, status)| status);
    let file = match &args.certs {
        Some(folder) => folder.join(name),
        None => places::pick(
            &places::of_config(&config(args.config.as_deref(), status))?,
            &name,
        )?,
    };
    let source = Source::of_lineage(lineage);
    let mut assembled = assemble(&source, &file, args.names.allow_fewer_names)?;
    assembled.warnings.extend(rivals(&assembled));
    assembled.tell(ui);
    match served(status) {
        Served::AtTheNextStart => {
            ui.say("no daemon is running: lbd serves it from its next start");
            ui.json_if_asked(|| {
                let mut document = assembled.json();
                document["served"] = json!([]);
                document
            })
        }
        Served::NotYet { pid } => Err(failed(
            format!(
                "{} is installed, but the running lbd (pid {pid}) serves what it has read before",
                file.display()
            ),
            "sudo lbctl reload makes it read its certificates again",
        )
        .into()),
    }
}

fn served(daemon: Option<&Status>) -> Served {
    daemon.map_or(Served::AtTheNextStart, |status| Served::NotYet {
        pid: status.daemon.pid,
    })
}

fn lineage(args: &Install) -> Result<&Path, ErrorReply> {
    let given = args.lineage.as_deref();
    given
        .filter(|lineage| !lineage.is_empty())
        .map(Path::new)
        .ok_or_else(|| {
            wrong_usage(
                "no lineage is named",
                "Certbot tells its hooks in RENEWED_LINEAGE; by hand: --lineage /etc/letsencrypt/live/NAME",
            )
        })
}

/// The lineage's name unless another is given.
fn file_name(args: &Install, lineage: &Path) -> Result<PathBuf, ErrorReply> {
    let own = || lineage.file_name().and_then(|name| name.to_str());
    let name = args.name.as_deref().or_else(own).ok_or_else(|| {
        wrong_usage(
            format!("{} has no name to call the file by", lineage.display()),
            "say one: --name example.com",
        )
    })?;
    let name = name.strip_suffix(".pem").unwrap_or(name);
    if name.is_empty() || name.starts_with('.') || name.contains('/') {
        return Err(wrong_usage(
            format!("a file cannot be called {name:?}"),
            "say a plain name that begins with no dot: --name example.com",
        ));
    }
    Ok(format!("{name}.pem").into())
}

/// Other files of the folder that are for the same names: lbd may serve one of them instead, up to
/// its expiry.
fn rivals(assembled: &Assembled) -> Vec<String> {
    let folder = assembled.file().parent().unwrap_or(Path::new("."));
    let files = pem::list(folder).unwrap_or_default().files;
    let others = files.iter().filter(|file| *file != assembled.file());
    let read = others.filter_map(|file| pem::File::read(file).ok());
    read.filter_map(|other| {
        let names = &other.bundle.leaf.names;
        let shared = names
            .iter()
            .find(|name| assembled.leaf().names.contains(name))?;
        Some(format!(
            "{} is for {shared} too: remove it, or --name it to have it replaced",
            other.path.display()
        ))
    })
    .collect()
}
