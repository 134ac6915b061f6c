//! `cert assemble`: one PEM file of a chain and its key.

use std::path::Path;

use lb_proto::error::ErrorReply;
use lb_proto::pem::{self, Bundle, Leaf, PemError};
use serde_json::{Value, json};

use super::failed;
use super::report;
use super::slot::Slot;
use super::source::Source;
use crate::args::cert::Assemble;
use crate::error::Error;
use crate::ui::Ui;

pub(super) fn run(args: &Assemble, ui: &Ui) -> Result<(), Error> {
    let source = Source::of(&args.source)?;
    let assembled = assemble(&source, &args.out, args.names.allow_fewer_names)?;
    assembled.tell(ui);
    ui.json_if_asked(|| assembled.json())
}

/// A certificate that was put into its file.
#[derive(Debug)]
pub(super) struct Assembled {
    slot: Slot,
    certificates: usize,
    leaf: Leaf,
    lost: Vec<String>,
    /// What its user should know.
    pub(super) warnings: Vec<String>,
    now: i64,
}

/// Checks everything, then puts it into the file.
pub(super) fn assemble(
    source: &Source,
    out: &Path,
    allow_fewer_names: bool,
) -> Result<Assembled, ErrorReply> {
    let now = report::now();
    let bundle = source.read(now)?;
    let slot = Slot::open(out)?;
    let lost = match allow_fewer_names {
        true => lost(&slot, &bundle.leaf).unwrap_or_default(),
        false => none_lost(&slot, &bundle.leaf)?,
    };
    let mut warnings = Vec::new();
    if bundle.is_alone() {
        warnings.push(format!(
            "{} holds no intermediate certificate: clients that do not know {} itself will refuse it",
            source.fullchain().display(),
            bundle.leaf.issuer,
        ));
    }
    warnings.extend(slot.put(&pem::to_pem(&bundle))?);
    Ok(Assembled {
        slot,
        certificates: bundle.chain.len(),
        leaf: bundle.leaf,
        lost,
        warnings,
        now,
    })
}

impl Assembled {
    pub(super) fn file(&self) -> &Path {
        self.slot.path()
    }

    pub(super) fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    pub(super) fn tell(&self, ui: &Ui) {
        for warning in &self.warnings {
            ui.warn(warning);
        }
        if !self.lost.is_empty() {
            ui.warn(&format!("no longer for {}", report::names(&self.lost)));
        }
        ui.say(&format!(
            "{}: {}, from {}, {} (until {})",
            self.file().display(),
            report::names(&self.leaf.names),
            self.leaf.issuer,
            report::left(&self.leaf, self.now),
            report::until(&self.leaf),
        ));
    }

    pub(super) fn json(&self) -> Value {
        let mut document = report::certificate(&self.leaf, self.now);
        document["file"] = json!(self.file());
        document["certificates"] = json!(self.certificates);
        document["lost_names"] = json!(self.lost);
        document["warnings"] = json!(self.warnings);
        document
    }
}

/// Refuses a certificate that is for less than the one it replaces.
fn none_lost(slot: &Slot, leaf: &Leaf) -> Result<Vec<String>, ErrorReply> {
    let file = slot.path().display();
    let lost = lost(slot, leaf).map_err(|error| {
        failed(
            format!("{file} is there already, and its names cannot be read: {error}"),
            "look whether it is the right file; --allow-fewer-names replaces it whatever it holds",
        )
    })?;
    if lost.is_empty() {
        return Ok(lost);
    }
    Err(failed(
        format!(
            "{file} is for {}, and the new certificate is not: it is for {}",
            report::names(&lost),
            report::names(&leaf.names),
        ),
        "renew it for all names (certbot certonly --expand), or say --allow-fewer-names",
    ))
}

/// The names of the certificate in the file that the new one is not for. An empty file has none.
fn lost(slot: &Slot, leaf: &Leaf) -> Result<Vec<String>, PemError> {
    let before = slot.before();
    if before.is_empty() {
        return Ok(Vec::new());
    }
    let before = Bundle::read(before)?;
    let lost = leaf.lacks(&before.leaf);
    Ok(lost.into_iter().map(str::to_owned).collect())
}
