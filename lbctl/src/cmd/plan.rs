//! `plan`: what a reload would change, and which sessions it would touch. Changes nothing.

use std::path::Path;

use lb_proto::call::Call;
use lb_proto::client::Client;
use lb_proto::config;
use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::frame::MAX_LINE;
use lb_proto::reply;
use lb_proto::request::{Plan, RequestLine};

use crate::args::reload as args;
use crate::error::Error;
use crate::there;
use crate::ui::{Ui, changes};

pub(crate) fn run(args: &args::Plan, ui: &Ui, daemon: &mut Client) -> Result<(), Error> {
    let question = match &args.file {
        None => Plan::default(),
        Some(file) => of_file(file)?,
    };
    let plan = daemon.call(&question)?;
    for warning in &plan.warnings {
        ui.warn(warning);
    }
    for obstacle in &plan.obstacles {
        ui.warn(&format!("a reload would fail: {obstacle}"));
    }
    if !ui.wants_json() {
        ui.data(&changes::render(&plan.changes, &ui.canvas()))?;
    }
    ui.say(&in_short(&plan));
    ui.json_if_asked(|| &plan)
}

fn in_short(plan: &reply::Plan) -> String {
    let (file, generation) = (&plan.file, plan.generation);
    match (plan.changed, plan.changes.as_slice()) {
        (false, _) => format!("nothing would change: generation {generation} is the same ({file})"),
        (true, []) => format!(
            "nothing that is configured would change: the text alone is another than that of \
             generation {generation} ({file})"
        ),
        (true, all) => format!(
            "{}, compared with generation {generation}, which keeps running ({file})",
            changes::count(all)
        ),
    }
}

/// The file as whoever asks can read it; the daemon judges the text with its own eyes.
fn of_file(file: &Path) -> Result<Plan, ErrorReply> {
    let name = file.display();
    let bytes = config::bytes(file).map_err(|error| {
        ErrorReply::new(ErrorCode::Failed, format!("cannot read {name}: {error}"))
    })?;
    let text = String::from_utf8(bytes).map_err(|_| {
        ErrorReply::new(
            ErrorCode::InvalidConfig,
            format!("{name} is not UTF-8 text"),
        )
        .hint("save it as UTF-8; lbd reads no other encoding")
    })?;
    let plan = Plan {
        text: Some(text),
        file: Some(name.to_string()),
    };
    let line = RequestLine {
        id: u64::MAX,
        call: Plan::NAME.to_owned(),
        args: serde_json::to_value(&plan).unwrap_or_default(),
    };
    let length = serde_json::to_vec(&line).map_or(usize::MAX, |line| line.len());
    if length > MAX_LINE {
        return Err(ErrorReply::new(
            ErrorCode::Failed,
            format!("{name} is larger than the control socket takes, {MAX_LINE} bytes"),
        )
        .hint(format!(
            "put it in the place of the daemon's file and ask `{} plan` without a name",
            there::lbctl()
        )));
    }
    Ok(plan)
}
