//! The same command on several nodes, each over a tunnel of its own: an lbctl for each, all at once.
//!
//! Nothing is begun anywhere before all of them can be reached.

mod folder;
mod tunnel;
mod url;

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use lb_proto::client::Client;
use lb_proto::document::OfHost;
use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::exit::Exit;
use serde_json::value::RawValue;

use self::folder::Folder;
use self::tunnel::Tunnel;
use crate::args::{self, Cli};
use crate::cmd::rolling_maintenance::{self, Nodes};
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::ui::Ui;

pub(crate) use self::url::Url;

/// Where the nodes are named once for all commands, with commas between them.
pub(crate) const HOSTS: &str = "LBCTL_HOSTS";

/// Tells an lbctl which words of its command line were taken from it.
pub(crate) const VIA: &str = "LBCTL_VIA";

/// The nodes that the command line names, or else the environment, each once.
///
/// # Errors
/// `usage` where that names none.
pub(crate) fn named(cli: &Cli) -> Result<Vec<Url>, ErrorReply> {
    if !cli.globals.hosts.is_empty() {
        return Ok(each_once(cli.globals.hosts.iter().cloned()));
    }
    // A shell that starts asks for these whatever it exports.
    if matches!(
        cli.command,
        args::Command::Completions(_) | args::Command::Man(_) | args::Command::HashPassword(_)
    ) {
        return Ok(Vec::new());
    }
    let named = std::env::var(HOSTS).unwrap_or_default();
    listed(&named).map_err(|why| ErrorReply::new(ErrorCode::Usage, format!("{HOSTS}: {why}")))
}

/// The nodes of a variable. An empty one names none; one that has something in it is meant to.
fn listed(named: &str) -> Result<Vec<Url>, String> {
    let words = named.split([',', ' ']).filter(|word| !word.is_empty());
    let urls: Vec<Url> = words.map(str::parse).collect::<Result<_, _>>()?;
    match urls.is_empty() && !named.is_empty() {
        true => Err("it is set and names no host; write ssh://HOST, or unset it".to_owned()),
        false => Ok(each_once(urls)),
    }
}

fn each_once(urls: impl IntoIterator<Item = Url>) -> Vec<Url> {
    let mut once = Vec::new();
    for url in urls {
        if !once.contains(&url) {
            once.push(url);
        }
    }
    once
}

/// Runs the command on each node; the exit code is the first that is not 0, in their order.
///
/// # Errors
/// Where the command is none for other machines, or one of them cannot be reached: nothing was begun.
pub(crate) fn run(cli: &Cli, urls: &[Url], ui: &Ui) -> Result<Exit, Error> {
    check(&cli.command)?;
    let labels = url::labels(urls);
    let folder = Folder::make().map_err(|error| failed("make a folder for sockets", &error))?;
    let asks = io::stdin().is_terminal() && io::stderr().is_terminal();
    let mut tunnels = Vec::with_capacity(urls.len());
    for (at, (url, label)) in urls.iter().zip(&labels).enumerate() {
        let local = folder.path().join(format!("{at}.sock"));
        let mut tunnel = Tunnel::begin(url, label, local, &cli.globals.socket, asks)?;
        // Two that ask for a password at once would both be misunderstood.
        if asks {
            tunnel.opened()?;
        }
        tunnels.push(tunnel);
    }
    for tunnel in &mut tunnels {
        tunnel.opened()?;
    }
    let alone = urls.len() == 1;
    if let args::Command::RollingMaintenance(args) = &cli.command
        && !alone
    {
        // One maintenance of all of them: a server is maintained once.
        let all = || in_step(&tunnels, &labels);
        return rolling_maintenance::run(args, ui, all).map(|()| Exit::Done);
    }
    // The children say what Ctrl-C leaves behind. One that has the terminal to itself hears of it there.
    let has_terminal = alone && is_at_terminal();
    let _interrupt = match has_terminal {
        true => Some(Interrupt::catch()?),
        false => {
            let passed_on = folder.passes_on_interrupts();
            passed_on.map_err(|error| failed("listen for Ctrl-C", &error))?;
            None
        }
    };
    let mut nodes = Vec::with_capacity(urls.len());
    for (tunnel, label) in tunnels.iter().zip(&labels) {
        let child = start(tunnel, alone, has_terminal)
            .map_err(|error| failed("start lbctl anew", &error))?;
        folder.heeds(&child);
        nodes.push(Node::new(child, label, *ui));
    }
    let nodes = nodes.into_iter();
    let ended: Vec<Option<i32>> = nodes.map(|node| node.wait(&folder)).collect();
    for (label, code) in labels.iter().zip(&ended) {
        if !alone && *code != Some(0) {
            let code = code.map_or_else(|| "a signal".to_owned(), |code| code.to_string());
            ui.say(&format!("{label}: ended with {code}"));
        }
    }
    let failed = ended.into_iter().find(|code| *code != Some(0));
    Ok(failed.map_or(Exit::Done, |code| Exit::of(code.unwrap_or(1))))
}

fn in_step(tunnels: &[Tunnel], labels: &[String]) -> Result<Nodes, ErrorReply> {
    let mut nodes = Vec::with_capacity(tunnels.len());
    for (tunnel, label) in tunnels.iter().zip(labels) {
        nodes.push(rolling_maintenance::Node {
            label: Some(label.clone()),
            daemon: Client::connect(&tunnel.socket)?,
        });
    }
    let first = nodes.remove(0);
    Ok(Nodes::of(first, nodes))
}

/// Whether a command is one for other machines.
fn check(command: &args::Command) -> Result<(), ErrorReply> {
    use args::Command::{
        Cert, Completions, Confirm, Doctor, Drain, Events, Explain, HashPassword, Maint, Man, Plan,
        Ready, Reload, Rollback, RollingMaintenance, Status, Validate, Weight,
    };
    let refused = |message: &str, hint: &str| {
        Err(ErrorReply::new(ErrorCode::Usage, message.to_owned()).hint(hint))
    };
    match command {
        Status(_)
        | Drain(_)
        | Ready(_)
        | Maint(_)
        | Weight(_)
        | Plan(_)
        | Reload(_)
        | Confirm(_)
        | Rollback(_)
        | Explain(_)
        | Events(_)
        | RollingMaintenance(_) => Ok(()),
        Validate(_) | Cert(_) | Doctor(_) | Completions(_) | Man(_) | HashPassword(_) => refused(
            "this command is about the machine that it runs on, not about a daemon",
            "run it there: ssh HOST lbctl …",
        ),
    }
}

/// Whether Ctrl-C may be pressed where a child that has our streams would hear of it.
fn is_at_terminal() -> bool {
    io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal()
}

fn start(tunnel: &Tunnel, alone: bool, has_terminal: bool) -> io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(for_one(std::env::args_os().skip(1)))
        .env("LBCTL_SOCKET", &tunnel.socket)
        .env(VIA, &tunnel.via)
        .env_remove(HOSTS);
    if !has_terminal {
        command.process_group(0);
    }
    if !alone {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
    }
    command.spawn()
}

/// The command line without what says where: `--host` and `--socket`, with their values.
fn for_one(typed: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut typed = typed.peekable();
    while let Some(word) = typed.next() {
        if word == "--" {
            kept.push(word);
            kept.extend(typed);
            return kept;
        }
        let is = |flag: &str| word == flag;
        let begins = |flag: &str| word.as_encoded_bytes().starts_with(flag.as_bytes());
        if is("--host") || is("--socket") {
            typed.next();
        } else if !begins("--host=") && !begins("--socket=") {
            kept.push(word);
        }
    }
    kept
}

/// An lbctl at work for one node; what it says is passed on with its name.
struct Node {
    child: Child,
    talk: Vec<JoinHandle<()>>,
}

impl Node {
    fn new(mut child: Child, label: &str, ui: Ui) -> Self {
        let data = child.stdout.take().map(|pipe| {
            let label = label.to_owned();
            thread::spawn(move || lines(pipe, |line| pass_on(ui, &label, line)))
        });
        let talk = child.stderr.take().map(|pipe| {
            let label = label.to_owned();
            thread::spawn(move || lines(pipe, |line| ui.pass_on(&format!("{label}: {line}\n"))))
        });
        Self {
            child,
            talk: data.into_iter().chain(talk).collect(),
        }
    }

    fn wait(mut self, folder: &Folder) -> Option<i32> {
        let status = self.child.wait().ok();
        folder.forget(&self.child);
        for talk in self.talk {
            let _ = talk.join();
        }
        status.and_then(|status| status.code())
    }
}

fn lines(pipe: impl Read, mut each: impl FnMut(&str)) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    while matches!(pipe.read_until(b'\n', &mut line), Ok(1..)) {
        each(String::from_utf8_lossy(&line).trim_end_matches('\n'));
        line.clear();
    }
}

/// A line of data. A reader who has left is no reason to stop half-way.
fn pass_on(ui: Ui, label: &str, line: &str) {
    let _ = match serde_json::from_str::<&RawValue>(line) {
        Ok(document) if ui.wants_json() => ui.json(&OfHost {
            host: label.to_owned(),
            document,
        }),
        _ => ui.data(&format!("{label}: {line}\n")),
    };
}

fn failed(what: &str, error: &io::Error) -> ErrorReply {
    ErrorReply::new(ErrorCode::Failed, format!("cannot {what}: {error}"))
}

/// For an argument: a node's address.
pub(crate) fn read_url(text: &str) -> Result<Url, String> {
    text.parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_each_node_once_and_somebody() {
        let hosts = |named: &str| {
            let urls = listed(named)?.into_iter();
            Ok::<_, String>(urls.map(|url| url.host).collect::<Vec<_>>())
        };
        assert_eq!(hosts(""), Ok(vec![]));
        let twice = hosts("ssh://b,ssh://a ssh://b/, ");
        assert_eq!(twice, Ok(vec!["b".to_owned(), "a".to_owned()]));
        for nobody in [",", " ", ", ,"] {
            assert!(hosts(nobody).is_err(), "{nobody:?}");
        }
    }

    #[test]
    fn a_node_is_told_all_but_where_it_is() {
        let typed =
            "--host ssh://a drain --socket /x app/a --host=ssh://b --json --socket=/y -- --host";
        let kept = for_one(typed.split(' ').map(OsString::from));
        assert_eq!(
            kept,
            ["drain", "app/a", "--json", "--", "--host"].map(OsString::from)
        );
    }
}
