//! Answers a shell that asks what may come next: flags from clap, names from the running daemon.
//!
//! Completing must never disturb: a daemon that is gone, slow or not ours to talk to is silence.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::CommandFactory;
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::{CompleteEnv, Shells};
use lb_proto::request::Status;
use lb_proto::status::Status as StatusReply;

use crate::args::{Cli, Shell};
use crate::connect;
use crate::hosts::HOSTS;

/// Set by the registration script when it calls us.
const VARIABLE: &str = "LBCTL_COMPLETE";

/// A keystroke that takes longer than this feels broken.
const PATIENCE: Duration = Duration::from_millis(300);

/// Answers a completion request if this process is one.
pub(crate) fn answer_shell() -> bool {
    let directory = std::env::current_dir().ok();
    let answered = CompleteEnv::with_factory(Cli::command)
        .var(VARIABLE)
        .bin("lbctl")
        .completer("lbctl")
        .try_complete(std::env::args_os(), directory.as_deref());
    // A shell we do not know gets no candidates rather than a message in the middle of its line.
    answered.unwrap_or(true)
}

/// The script that makes `shell` ask us: it names `lbctl`, found on the PATH of its user, so that
/// it is the same wherever it was made.
///
/// # Errors
/// Only where a write to memory fails.
pub(crate) fn registration(shell: Shell) -> std::io::Result<String> {
    let mut script = Vec::new();
    if let Some(completer) = Shells::builtins().completer(shell.name()) {
        completer.write_registration(VARIABLE, "lbctl", "lbctl", "lbctl", &mut script)?;
    }
    let script = String::from_utf8_lossy(&script);
    let script = match shell {
        Shell::Zsh => script.replace(ZSH_REGISTERS, ZSH_COMPLETES),
        Shell::Bash => script
            .replace(BASH_WORDS, BASH_WHOLE_WORDS)
            .replace(BASH_END, BASH_REST_OF_ANSWERS),
        _ => script.into_owned(),
    };
    Ok(format!("{}\n", script.trim()))
}

/// Clap's script for zsh only registers its completer. Autoloaded from `fpath`, the script is what zsh
/// calls at the first Tab, which would come to nothing.
const ZSH_REGISTERS: &str = "\ncompdef _clap_dynamic_completer_lbctl lbctl\n";
const ZSH_COMPLETES: &str = "
if [[ $funcstack[1] == _lbctl ]]; then
    _clap_dynamic_completer_lbctl \"$@\"
else
    compdef _clap_dynamic_completer_lbctl lbctl
fi
";

/// Bash parts words at `:` and `=`, which stand in names, addresses and flags. What belongs together is
/// put together for us, and of our answers bash gets what comes after the part that it has.
const BASH_WORDS: &str = r#"
    local words=("${COMP_WORDS[@]}")
    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
        words[COMP_CWORD]="$2"
    fi
"#;
const BASH_WHOLE_WORDS: &str = r#"
    local words=() line="${COMP_LINE:0:COMP_POINT}" rest part head="" at
    for ((at = 0; at <= COMP_CWORD; at++)); do
        rest="${line#"${line%%[![:space:]]*}"}"
        part="${COMP_WORDS[at]}"
        if ((at == COMP_CWORD)); then
            part="$rest"
        fi
        if ((at > 0)) && [[ -n "$part" && "$rest" == "$line" ]]; then
            head="${words[${#words[@]} - 1]}${part%"$2"}"
            words[${#words[@]} - 1]+="$part"
        else
            head=""
            words+=("$part")
        fi
        line="${rest#"$part"}"
    done
    _CLAP_COMPLETE_INDEX=$((${#words[@]} - 1))
"#;
const BASH_END: &str = "
        compopt -o nospace
    fi
}
";
const BASH_REST_OF_ANSWERS: &str = r#"
        compopt -o nospace
    fi
    if [[ -n "$head" && -n "${COMPREPLY-}" ]]; then
        COMPREPLY=("${COMPREPLY[@]#"$head"}")
    fi
}
"#;

/// Every `BACKEND/SERVER` that starts with `typed`.
pub(crate) fn servers(typed: &OsStr) -> Vec<CompletionCandidate> {
    candidates(
        typed,
        Offer {
            backends: false,
            servers: true,
        },
    )
}

/// Every `BACKEND` that starts with `typed`.
pub(crate) fn backends(typed: &OsStr) -> Vec<CompletionCandidate> {
    candidates(
        typed,
        Offer {
            backends: true,
            servers: false,
        },
    )
}

/// Every `BACKEND` and `BACKEND/SERVER` that starts with `typed`.
pub(crate) fn backends_and_servers(typed: &OsStr) -> Vec<CompletionCandidate> {
    candidates(
        typed,
        Offer {
            backends: true,
            servers: true,
        },
    )
}

#[derive(Debug, Clone, Copy)]
struct Offer {
    backends: bool,
    servers: bool,
}

fn candidates(typed: &OsStr, of: Offer) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    let Some(status) = ask_daemon(backend_of(&typed)) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut offer = |name: String, help: String| {
        if name.starts_with(typed.as_ref()) {
            found.push(CompletionCandidate::new(name).help(Some(help.into())));
        }
    };
    for backend in &status.backends {
        if of.backends {
            let help = format!("backend of {} servers", backend.servers.len());
            offer(backend.name.to_string(), help);
        }
        let servers = backend.servers.iter().filter(|_| of.servers);
        for server in servers {
            let name = format!("{}/{}", backend.name, server.name);
            let help = format!("{}, {} sessions", server.state, server.sessions);
            offer(name, help);
        }
    }
    found
}

/// The one whose servers are meant: no others are told of.
fn backend_of(typed: &str) -> Option<String> {
    let (backend, _) = typed.split_once('/')?;
    Some(backend.to_owned())
}

/// The daemon of this machine is not the one that is meant, and the way to another takes longer than a
/// keystroke may.
fn names_hosts(words: impl IntoIterator<Item = String>) -> bool {
    let mut words = words.into_iter();
    words.any(|word| word == "--host" || word.starts_with("--host="))
}

/// `of`: no backend but this one. The whole conversation is on a thread of its own, so that not even a daemon that accepts and
/// then says nothing holds the shell up.
fn ask_daemon(of: Option<String>) -> Option<StatusReply> {
    if names_hosts(std::env::args()) || std::env::var_os(HOSTS).is_some_and(|at| !at.is_empty()) {
        return None;
    }
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let daemon = connect::at_within(&socket(), PATIENCE);
        let status = daemon.and_then(|mut daemon| daemon.call(&Status { of }));
        // Nobody listens any more when patience ran out.
        let _ = tell.send(status.ok());
    });
    told.recv_timeout(PATIENCE).ok().flatten()
}

/// The `--socket` of the line being typed, which clap does not tell completers.
fn socket() -> PathBuf {
    socket_of(std::env::args().collect())
        .or_else(|| {
            let named = std::env::var_os("LBCTL_SOCKET").filter(|named| !named.is_empty());
            named.map(PathBuf::from)
        })
        .unwrap_or_else(|| lb_proto::DEFAULT_SOCKET.into())
}

fn socket_of(words: Vec<String>) -> Option<PathBuf> {
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == "--socket" {
            return words.next().map(PathBuf::from);
        }
        if let Some(path) = word.strip_prefix("--socket=") {
            return Some(path.into());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status of ten thousand servers takes longer than a keystroke may.
    #[test]
    fn one_backend_is_asked_for_where_it_is_named() {
        assert_eq!(backend_of("b7/"), Some("b7".to_owned()));
        assert_eq!(backend_of("b7/web"), Some("b7".to_owned()));
        assert_eq!(backend_of("b7"), None);
    }

    #[test]
    fn the_socket_of_a_half_typed_line_is_used() {
        let of = |line: &str| socket_of(line.split(' ').map(str::to_owned).collect());
        assert_eq!(of("lbctl --socket /a drain"), Some("/a".into()));
        assert_eq!(of("lbctl drain --socket=/b"), Some("/b".into()));
        assert_eq!(of("lbctl drain --socket"), None);
        assert_eq!(of("lbctl drain"), None);
    }
}
