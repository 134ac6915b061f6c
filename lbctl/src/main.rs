//! `lbctl`: what people and scripts hold to steer `lbd`.
//!
//! `args` says what can be asked, `run` leads each verb to its file under `cmd`, `wait` and
//! `servers` hold what several verbs share, and only `ui` prints.

mod args;
mod arrange;
mod cmd;
mod complete;
mod connect;
mod duration;
mod error;
mod hosts;
mod interrupt;
mod man;
mod rolling;
mod run;
mod servers;
mod there;
mod ui;
mod wait;

use std::process::ExitCode;

fn main() -> ExitCode {
    if complete::answer_shell() {
        return ExitCode::SUCCESS;
    }
    run::run().into()
}
