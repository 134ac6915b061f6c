//! `cert`: certificate files, from those of the authority to those that lbd reads.

mod assemble;
mod handshake;
mod install;
mod kept;
mod list;
mod live;
mod places;
mod reach;
mod read_back;
mod report;
mod slot;
mod source;

use std::path::{Path, PathBuf};

use lb_proto::client::Client;
use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::request;
use lb_proto::status::Status;

use crate::args::cert::{Cert, CertVerb};
use crate::connect;
use crate::error::Error;
use crate::ui::Ui;

pub(crate) fn run(
    args: &Cert,
    ui: &Ui,
    connect: impl Fn() -> Result<Client, ErrorReply>,
) -> Result<(), Error> {
    match &args.verb {
        CertVerb::Assemble(args) => assemble::run(args, ui),
        CertVerb::Install(args) => install::run(args, ui, connect),
        CertVerb::List(args) => list::run(args, ui, connect),
    }
}

/// Where nobody listens at the socket, the daemon of the configuration that is named: Certbot's timer
/// does not know of LBCTL_SOCKET.
fn of_config(
    config: Option<&Path>,
    connect: impl Fn() -> Result<Client, ErrorReply>,
) -> impl Fn() -> Result<Client, ErrorReply> {
    move || connect::or_of(connect(), || config)
}

/// The running daemon. One that we may not talk to is not one that does not run.
fn running(
    connect: impl Fn() -> Result<Client, ErrorReply>,
) -> Result<Option<(Client, Status)>, ErrorReply> {
    let mut daemon = match connect() {
        Ok(daemon) => daemon,
        Err(error) if error.code == ErrorCode::NoDaemon => return Ok(None),
        Err(error) => return Err(error),
    };
    let status = daemon.call(&request::Status::default())?;
    Ok(Some((daemon, status)))
}

/// The path that a file has whichever way one comes to it: the daemon may know it by another.
fn whole(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn failed(message: String, hint: impl Into<String>) -> ErrorReply {
    ErrorReply::new(ErrorCode::Failed, message).hint(hint)
}

fn wrong_usage(message: impl Into<String>, hint: impl Into<String>) -> ErrorReply {
    ErrorReply::new(ErrorCode::Usage, message).hint(hint)
}
