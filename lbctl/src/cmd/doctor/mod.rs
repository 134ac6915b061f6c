//! `doctor`: what is wrong on this machine, found by looking, with what to do about it.
//!
//! Each file is a check. It gives findings for what it looked at and for what it could not look at;
//! what decides is pure, and a thin shell around it looks. Nothing is changed.

mod accounts;
mod ask;
mod certificates;
mod clock;
mod configuration;
mod firewall;
mod kept;
mod limits;
mod names;
mod ports;
mod program;
mod report;
mod scene;
mod servers;
mod sessions;
mod socket;
mod tls;

use std::path::Path;
use std::time::Duration;

use lb_proto::document::doctor::{self as finding, Report, SCHEMA};

use self::finding::{Finding, Severity};
use self::scene::Scene;
use crate::args::Doctor;
use crate::connect;
use crate::error::Error;
use crate::ui::Ui;

/// For the daemon, which answers from memory: one that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) fn run(args: &Doctor, socket: &Path, ui: &Ui) -> Result<(), Error> {
    let connect = || connect::at_within(socket, PATIENCE);
    let scene = Scene::look(args.config.as_deref(), socket, connect);
    let mut findings = look(&scene);
    // Within a severity they stay in the order of the checks: what is needed for the rest comes first.
    findings.sort_by_key(|finding| finding.severity);
    let healthy = findings.iter().all(|f| f.severity != Severity::Problem);
    if ui.wants_json() {
        ui.json(&Report {
            schema: SCHEMA,
            healthy,
            daemon: scene.status().is_some(),
            config: scene.path.display().to_string(),
            findings,
        })?;
    } else {
        ui.data(&report::text(&findings, &ui.canvas()))?;
    }
    match healthy {
        true => Ok(()),
        false => Err(Error::Told),
    }
}

fn look(scene: &Scene) -> Vec<Finding> {
    [
        socket::check(scene),
        configuration::check(scene),
        ports::check(scene),
        firewall::check(scene),
        servers::check(scene),
        sessions::check(scene),
        names::check(scene),
        certificates::check(scene),
        limits::check(scene),
        kept::check(scene),
        clock::check(scene),
    ]
    .concat()
}
