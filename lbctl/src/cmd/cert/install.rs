//! `cert install`: what Certbot renewed goes where lbd reads it.

use std::path::{Path, PathBuf};

use lb_proto::client::Client;
use lb_proto::document::cert::Installed;
use lb_proto::error::ErrorReply;
use lb_proto::pem;

use super::assemble::Assembly;
use super::source::Source;
use super::{live, of_config, places, running, wrong_usage};
use crate::args::cert::Install;
use crate::error::Error;
use crate::ui::Ui;

pub(super) fn run(
    args: &Install,
    ui: &Ui,
    connect: impl Fn() -> Result<Client, ErrorReply>,
) -> Result<(), Error> {
    let connect = of_config(args.config.as_deref(), connect);
    let lineage = lineage(args)?;
    let name = file_name(args, lineage)?;
    let daemon = running(&connect)?;
    let file = match &args.certs {
        Some(folder) => folder.join(name),
        None => {
            let status = daemon.as_ref().map(|(_, status)| status);
            places::pick(&places::of(args.config.as_deref(), status)?, &name)?
        }
    };
    let source = Source::of_lineage(lineage);
    let mut assembly = Assembly::prepare(&source, &file, args.names.allow_fewer_names)?;
    let rivals = rivals(&assembly);
    assembly.warnings.extend(rivals);
    let served = match daemon {
        Some((daemon, status)) if places::speaks_tls(&status) => {
            live::install(&mut assembly, daemon, connect)?
        }
        daemon => {
            assembly.put()?;
            live::Served::later(daemon.map(|(_, status)| status))
        }
    };
    assembly.warnings.extend(served.warnings());
    assembly.tell(ui);
    served.tell(ui);
    ui.json_if_asked(|| Installed {
        assembled: assembly.document(),
        served: served.binds(),
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
    let odd = |c: char| c == '/' || c.is_control();
    if name.is_empty() || name.starts_with('.') || name.contains(odd) {
        return Err(wrong_usage(
            format!("a file cannot be called {name:?}"),
            "say a plain name that begins with no dot: --name example.com",
        ));
    }
    Ok(format!("{name}.pem").into())
}

/// Other files of the folder that are for the same names: lbd may show one of them instead, up to
/// its expiry.
fn rivals(assembly: &Assembly) -> Vec<String> {
    let folder = assembly.file().parent().unwrap_or(Path::new("."));
    let files = pem::list(folder).unwrap_or_default().files;
    let others = files.iter().filter(|file| *file != assembly.file());
    let read = others.filter_map(|file| pem::File::read(file).ok());
    let own = assembly.bundle();
    let alike = read.filter(|other| other.bundle.key.algorithm() == own.key.algorithm());
    alike
        .filter_map(|other| {
            let names = &other.bundle.leaf.names;
            let shared = names.iter().find(|name| own.leaf.names.contains(name))?;
            Some(format!(
                "{} is for {shared} too: remove it, or --name it to have it replaced",
                other.path.display()
            ))
        })
        .collect()
}
