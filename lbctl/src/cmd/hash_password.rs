//! `hash-password`: a hash for `[[admin.users]]` of a password that is typed, or comes by standard input.

use std::io::{self, BufRead, IsTerminal, Read};

use lb_proto::document;
use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::os_error::in_words;
use lb_proto::password::{Hash, MAX_PASSWORD};

use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::ui::Ui;

pub(crate) fn run(ui: &Ui) -> Result<(), Error> {
    let password = match io::stdin().is_terminal() {
        true => typed(ui)?,
        false => piped()?,
    };
    let hash = Hash::of(&password).map_err(|error| {
        ErrorReply::new(ErrorCode::Failed, error.to_string())
            .hint("type a line of plain text, or pipe one: lbctl hash-password < FILE")
    })?;
    if !ui.wants_json() {
        return ui.data(&format!("{hash}\n"));
    }
    ui.json(&document::HashPassword {
        password_hash: hash.to_string(),
    })
}

/// Twice, for nobody sees what is mistyped.
fn typed(ui: &Ui) -> Result<String, Error> {
    let interrupt = Interrupt::catch_every_end()?;
    let ask = |prompt| -> Result<String, Error> {
        let line = ui.secret(prompt, &interrupt).map_err(cannot)?;
        let interrupted = || ErrorReply::new(ErrorCode::Interrupted, "interrupted");
        text(line.ok_or_else(interrupted)?)
    };
    let password = ask("Password")?;
    match password.is_empty() || ask("The same again")? == password {
        true => Ok(password),
        false => {
            let error = ErrorReply::new(ErrorCode::Failed, "the two passwords differ");
            Err(error.hint("try again").into())
        }
    }
}

/// The first line of standard input.
fn piped() -> Result<String, Error> {
    let mut line = Vec::new();
    let mut input = io::stdin().lock().take(MAX_PASSWORD as u64 + 2);
    input.read_until(b'\n', &mut line).map_err(cannot)?;
    text(line)
}

fn text(mut line: Vec<u8>) -> Result<String, Error> {
    if line.ends_with(b"\n") {
        line.pop();
    }
    if line.ends_with(b"\r") {
        line.pop();
    }
    String::from_utf8(line).map_err(|_| {
        let error = ErrorReply::new(ErrorCode::Failed, "the password is no text in UTF-8");
        error.hint("browsers send passwords in UTF-8").into()
    })
}

fn cannot(error: io::Error) -> ErrorReply {
    let message = format!("cannot read the password: {}", in_words(&error));
    ErrorReply::new(ErrorCode::Failed, message).hint("pipe it: lbctl hash-password < FILE")
}
