//! JSON schemas of what `lbctl --json` prints. They are checked in, in `lb-proto/schemas/`.
//!
//! One that goes on prints a document a line.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

use crate::document::servers::{Drained, Maintained, Readied, Servers, Weighed};
use crate::document::{self, cert, doctor, rolling};
use crate::{event, reply, status};

/// What any command prints that failed.
pub const ERROR: &str = "error";

/// What is printed of each of several nodes.
pub const HOST: &str = "host";

/// Each by its name: the words of the command, with hyphens between them.
pub fn all() -> Vec<(&'static str, Schema)> {
    let mut all = vec![
        (ERROR, of::<document::Failure>()),
        (HOST, of::<document::OfHost<serde_json::Value>>()),
        ("validate", of::<document::Validated>()),
        ("status", of::<status::Status>()),
        ("drain", of::<Servers<Drained>>()),
        ("ready", of::<Servers<Readied>>()),
        ("maint", of::<Servers<Maintained>>()),
        ("weight", of::<Servers<Weighed>>()),
        ("rolling-maintenance", of::<rolling::Event>()),
        ("plan", of::<reply::Plan>()),
        ("reload", of::<reply::Reload>()),
        ("confirm", of::<reply::Confirm>()),
        ("rollback", of::<document::RolledBack>()),
        ("cert-assemble", of::<cert::Assembled>()),
        ("cert-install", of::<cert::Installed>()),
        ("cert-list", of::<cert::Listed>()),
        ("explain", of::<document::Explained>()),
        ("doctor", of::<doctor::Report>()),
        ("events", of::<event::Event>()),
        ("completions", of::<document::Completions>()),
        ("man", of::<document::Man>()),
        ("hash-password", of::<document::HashPassword>()),
    ];
    for (name, schema) in &mut all {
        let title = match *name {
            ERROR => "lbctl … --json, failed".to_owned(),
            HOST => "lbctl --host … --host … --json".to_owned(),
            name => format!("lbctl {} --json", name.replacen("cert-", "cert ", 1)),
        };
        schema.insert("title".to_owned(), title.into());
    }
    all
}

/// As it is written, which is stricter than what is read: old daemons leave fields out.
fn of<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<T>()
}
