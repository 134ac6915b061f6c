//! Who may steer lbd: the control socket, its owner and its mode.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::os_error::in_words;
use lb_proto::sockets::Owner;

use super::accounts;
use super::finding::Finding;
use super::scene::Scene;
use crate::there;

const CHECK: &str = "socket";

/// More of them are no help.
const SHOWN: usize = 5;

pub(super) fn check(scene: &Scene) -> Vec<Finding> {
    let found = fs::symlink_metadata(&scene.socket);
    match &scene.daemon {
        Ok(status) => reached(&scene.socket, found.as_ref().ok(), status.daemon.pid, scene),
        Err(error) => vec![out_of_reach(error, &found, &daemons(), scene)],
    }
}

/// The processes that are called lbd.
fn daemons() -> Vec<Owner> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let all = pids.map(|pid| Owner {
        name: lb_proto::sockets::process_name(pid),
        pid,
    });
    all.filter(|process| process.name == "lbd").collect()
}

/// `srw-rw---- root:lbd`, in words that need no ls(1).
fn access(found: &Metadata) -> String {
    let (owner, group) = (accounts::user(found.uid()), accounts::group(found.gid()));
    format!("{owner}:{group}, mode {:04o}", found.mode() & 0o7777)
}

fn reached(path: &Path, found: Option<&Metadata>, pid: u32, scene: &Scene) -> Vec<Finding> {
    const EVERYBODY: u32 = 0o002;
    let socket = path.display();
    let whose = found.map(access).unwrap_or_default();
    let what = format!("lbd (pid {pid}) answers at {socket} ({whose})");
    let mut findings = vec![Finding::fine(CHECK, what)];
    let Some(found) = found else {
        return findings;
    };
    if found.mode() & EVERYBODY != 0 {
        findings.push(
            Finding::warning(
                CHECK,
                format!("everybody on this machine may steer lbd: {whose}"),
            )
            .place(socket.to_string())
            .remedy("set socket_mode = \"0660\" and socket_group in [global], and restart lbd"),
        );
    }
    let wanted = scene.config().map(|config| &config.global);
    let group = wanted.and_then(|global| global.socket_group.as_deref());
    if let Some(group) = group.filter(|_| scene.is_the_daemons())
        && accounts::group(found.gid()) != *group
        && group.parse() != Ok(found.gid())
    {
        let what = format!("the socket belongs to {whose}, and socket_group is {group}");
        findings.push(
            Finding::warning(CHECK, what)
                .place(socket.to_string())
                .remedy("the group takes effect when lbd is restarted")
                .command("sudo systemctl restart lbd"),
        );
    }
    findings
}

fn out_of_reach(
    error: &ErrorReply,
    found: &io::Result<Metadata>,
    daemons: &[Owner],
    scene: &Scene,
) -> Finding {
    let socket = scene.socket.display();
    let finding = Finding::problem(CHECK, error.message.clone()).place(socket.to_string());
    if error.code == ErrorCode::NotAllowed {
        let me = accounts::user(rustix::process::geteuid().as_raw());
        let whose = found.as_ref().map_or_else(
            |_| "its folder lets only others in".to_owned(),
            |found| format!("it belongs to {}", access(found)),
        );
        return finding
            .why(format!("{whose}; you are {me}"))
            .remedy("use sudo, or join the group that [global] socket_group names")
            .command(there::as_root("doctor"));
    }
    if error.code == ErrorCode::TimedOut {
        return finding
            .remedy(
                "see in its log what it did last; kill -CONT wakes one that was stopped, and a \
                 restart helps where nothing else does",
            )
            .command("journalctl -u lbd -n 20; sudo systemctl restart lbd");
    }
    let is_socket = found.as_ref().is_ok_and(|f| f.file_type().is_socket());
    let configured = scene.config().map(|config| &config.global.socket);
    let elsewhere = configured.filter(|path| **path != scene.socket);
    let finding = match daemons {
        [] => finding.why("no process is called lbd"),
        some => some
            .iter()
            .take(SHOWN)
            .fold(finding, |finding, Owner { pid, .. }| {
                finding.why(format!("an lbd runs as pid {pid}, with another socket"))
            }),
    };
    let finding = match (found, elsewhere) {
        (_, Some(path)) => {
            let path = path.display();
            return finding
                .why(format!("the configuration has its socket at {path}"))
                .remedy("ask there; or start lbd, if it does not run")
                .command(format!("lbctl --socket {path} doctor"));
        }
        (Ok(_), _) if is_socket => finding.why("the socket was left behind by one that died"),
        (Ok(_), _) => finding.why("what is there is no socket"),
        (Err(error), _) => finding.why(in_words(error)),
    };
    finding
        .remedy("start lbd, and read in its log why it ended; --socket names another socket")
        .command("sudo systemctl start lbd; journalctl -u lbd -n 20")
}
