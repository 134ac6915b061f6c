//! `cert assemble`: one PEM file of a chain and its key.

use std::path::Path;

use lb_proto::document::cert::Assembled;
use lb_proto::error::ErrorReply;
use lb_proto::pem::{self, Bundle, Leaf, PemError, in_short};

use super::failed;
use super::report;
use super::slot::Slot;
use super::source::Source;
use crate::args::cert::Assemble;
use crate::error::Error;
use crate::ui::Ui;

pub(super) fn run(args: &Assemble, ui: &Ui) -> Result<(), Error> {
    let source = Source::of(&args.source)?;
    let mut assembly = Assembly::prepare(&source, &args.out, args.names.allow_fewer_names)?;
    assembly.put()?;
    assembly.tell(ui);
    ui.json_if_asked(|| assembly.document())
}

/// A certificate and the file that it is for, which is ours alone for as long.
#[derive(Debug)]
pub(super) struct Assembly {
    slot: Slot,
    bundle: Bundle,
    lost: Vec<String>,
    /// What its user should know.
    pub(super) warnings: Vec<String>,
    now: i64,
}

impl Assembly {
    /// Checks everything, and changes nothing.
    pub(super) fn prepare(
        source: &Source,
        out: &Path,
        allow_fewer_names: bool,
    ) -> Result<Self, ErrorReply> {
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
        Ok(Self {
            slot,
            bundle,
            lost,
            warnings,
            now,
        })
    }

    /// Puts it into the file.
    pub(super) fn put(&mut self) -> Result<(), ErrorReply> {
        let warnings = self.slot.put(&pem::to_pem(&self.bundle))?;
        self.warnings.extend(warnings);
        Ok(())
    }

    pub(super) fn slot(&self) -> &Slot {
        &self.slot
    }

    pub(super) fn file(&self) -> &Path {
        self.slot.path()
    }

    pub(super) fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    pub(super) fn tell(&self, ui: &Ui) {
        for warning in &self.warnings {
            ui.warn(warning);
        }
        if !self.lost.is_empty() {
            ui.warn(&format!("no longer for {}", in_short(&self.lost)));
        }
        let leaf = &self.bundle.leaf;
        ui.say(&format!(
            "{}: {}, from {}, {} (until {})",
            self.file().display(),
            in_short(&leaf.names),
            leaf.issuer,
            report::left(leaf, self.now),
            report::until(leaf),
        ));
    }

    pub(super) fn document(&self) -> Assembled {
        Assembled {
            certificates: self.bundle.chain.len(),
            certificate: report::certificate(&self.bundle.leaf, self.now),
            file: self.file().display().to_string(),
            lost_names: self.lost.clone(),
            warnings: self.warnings.clone(),
        }
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
            in_short(&lost),
            in_short(&leaf.names),
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
