//! `cargo gate`: what must hold before a change is taken. Stops at the first step that fails.

use std::process::{Command, ExitCode};

/// What a step is called, and cargo's arguments.
const STEPS: [(&str, &[&str]); 4] = [
    ("formatting", &["fmt", "--all", "--check"]),
    (
        "lints",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ],
    ),
    ("tests", &["test", "--workspace"]),
    (
        "documentation",
        &[
            "doc",
            "--workspace",
            "--no-deps",
            "--document-private-items",
            "--quiet",
        ],
    ),
];

fn main() -> ExitCode {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    for (name, arguments) in STEPS {
        say(&format!("gate: {name}: cargo {}", arguments.join(" ")));
        let status = Command::new(&cargo)
            .args(arguments)
            .env("RUSTDOCFLAGS", "-D warnings")
            .status();
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => {
                say(&format!("gate: {name} failed ({status})"));
                return ExitCode::FAILURE;
            }
            Err(error) => {
                say(&format!("gate: {name}: cannot run cargo: {error}"));
                return ExitCode::FAILURE;
            }
        }
    }
    say("gate: open");
    ExitCode::SUCCESS
}

#[expect(clippy::print_stderr, reason = "talk goes to standard error")]
fn say(text: &str) {
    eprintln!("{text}");
}
