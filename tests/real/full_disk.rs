//! Certificates on a disk that is full: a small file system of the test's own, in a mount namespace.

use std::fs;
use std::process::Command;

use lb_tests::{Authority, Process, programs};

/// Fills the disk but for less than a page, so that not even the new file's first byte fits; then
/// shows what is left.
const SCRIPT: &str = r#"
set -eu
mount -t tmpfs -o size=64k tmpfs "$DISK"
"$LBCTL" cert assemble --lineage "$LIVE/old" --out "$DISK/site.pem"
before=$(sha256sum < "$DISK/site.pem")
dd if=/dev/zero of="$DISK/filler" bs=1k count=64 2> "$LIVE/dd" || true
status=0
"$LBCTL" cert assemble --lineage "$LIVE/new" --out "$DISK/site.pem" || status=$?
test "$before" = "$(sha256sum < "$DISK/site.pem")"
ls -A "$DISK"
exit "$status"
"#;

#[test]
#[ignore = "needs unshare"]
fn a_full_disk_leaves_the_old_certificate() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (live, disk) = (folder.path().join("live"), folder.path().join("disk"));
    let authority = Authority::new();
    for name in ["old", "new"] {
        authority
            .issue(&["example.com"])
            .write_lineage(&live.join(name));
    }
    fs::create_dir(&disk).expect("a folder can be made");
    let mut command = Command::new("unshare");
    command
        .args(["--map-root-user", "--mount", "sh", "-c", SCRIPT])
        .env("LBCTL", programs::lbctl())
        .env("LIVE", &live)
        .env("DISK", &disk);
    let output = Process::run(command).exits(1);
    let said = output.says("No space left on device");
    assert!(
        said.stderr.contains("the file before it is still there"),
        "{said:#?}"
    );
    assert_eq!(said.stdout, "filler\nsite.pem\n");
}

/// The daemon goes on with what it shows, and the file is the one that it read.
const LIVE: &str = r#"
set -eu
mount -t tmpfs -o size=64k tmpfs "$DISK"
"$LBCTL" cert assemble --lineage "$LIVE/old" --out "$DISK/site.pem"
cat > "$LIVE/lbd.toml" <<END
[global]
socket = "$LIVE/lbd.sock"
state_dir = "$LIVE/state"
[frontend.web]
bind = { address = "127.0.0.1:0", tls = { certs = "$DISK" } }
routes = [{ respond = { status = 404 } }]
END
"$LBD" --config "$LIVE/lbd.toml" 2> "$LIVE/log" & daemon=$!
export LBCTL_SOCKET="$LIVE/lbd.sock"
until "$LBCTL" status > "$LIVE/status" 2>&1; do sleep 0.05; done
dd if=/dev/zero of="$DISK/filler" bs=1k count=64 2> "$LIVE/dd" || true
status=0
"$LBCTL" cert install --lineage "$LIVE/new" --name site || status=$?
"$LBCTL" cert list --json
ls -A "$DISK"
kill "$daemon"
exit "$status"
"#;

#[test]
#[ignore = "needs unshare"]
fn a_full_disk_under_a_running_daemon_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (live, disk) = (folder.path().join("live"), folder.path().join("disk"));
    let authority = Authority::new();
    let [old, new] = ["old", "new"].map(|name| {
        let issued = authority.issue(&["example.com"]);
        issued.write_lineage(&live.join(name));
        issued.fingerprint()
    });
    fs::create_dir(&disk).expect("a folder can be made");
    let mut command = Command::new("unshare");
    command
        .args(["--map-root-user", "--mount", "sh", "-c", LIVE])
        .envs([("LBD", programs::lbd()), ("LBCTL", programs::lbctl())])
        .envs([("LIVE", &live), ("DISK", &disk)]);
    let said = Process::run(command)
        .exits(1)
        .says("No space left on device")
        .says("the file before it is back, and lbd shows what it did before");
    let (list, names) = said.stdout.split_once('\n').expect("a list, then names");
    let list: serde_json::Value = serde_json::from_str(list).expect("it is JSON");
    assert_eq!(list["certificates"][0]["fingerprint"], old.as_str());
    assert_ne!(list["certificates"][0]["served"], serde_json::json!([]));
    assert_eq!(names, "filler\nsite.pem\n");
    assert_ne!(old, new);
}

/// A drain on a disk that is full is made, and said not to outlive a restart; when there is space
/// again, it does.
const STATE: &str = r#"
set -eu
mount -t tmpfs -o size=64k tmpfs "$DISK"
cat > "$LIVE/lbd.toml" <<END
[global]
socket = "$LIVE/lbd.sock"
state_dir = "$DISK/state"
[frontend.web]
bind = "127.0.0.1:0"
default_backend = "app"
[backend.app]
health = false
servers = [
  { name = "a", address = "127.0.0.1:1" },
  { name = "b", address = "127.0.0.1:1" },
]
END
start() {
  "$LBD" --config "$LIVE/lbd.toml" 2>> "$LIVE/log" & daemon=$!
  until "$LBCTL" status > "$LIVE/status" 2>&1; do sleep 0.05; done
}
export LBCTL_SOCKET="$LIVE/lbd.sock"
start
"$LBCTL" maint app/b
dd if=/dev/zero of="$DISK/filler" bs=1k count=64 2> "$LIVE/dd" || true
"$LBCTL" drain app/a --reason "kernel update"
"$LBCTL" status
kill -9 "$daemon"; wait "$daemon" || true
start
"$LBCTL" status --json
rm "$DISK/filler"
"$LBCTL" drain app/a
kill -9 "$daemon"; wait "$daemon" || true
start
"$LBCTL" status --json
kill "$daemon"
"#;

#[test]
#[ignore = "needs unshare"]
fn a_full_disk_refuses_no_drain_and_loses_nothing_that_was_kept() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (live, disk) = (folder.path().join("live"), folder.path().join("disk"));
    for path in [&live, &disk] {
        fs::create_dir(path).expect("a folder can be made");
    }
    let mut command = Command::new("unshare");
    command
        .args(["--map-root-user", "--mount", "sh", "-c", STATE])
        .envs([("LBD", programs::lbd()), ("LBCTL", programs::lbctl())])
        .envs([("LIVE", &live), ("DISK", &disk)]);
    let said = Process::run(command)
        .exits(0)
        .says("app/a is drain, but a restart of lbd would forget it: cannot write")
        .says("a restart would forget what was set by hand: cannot write");
    assert!(said.stdout.contains("no space left on device"), "{said:#?}");
    let admins: Vec<[String; 2]> = said
        .stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .map(|status| {
            [0, 1].map(|n| {
                let admin = &status["backends"][0]["servers"][n]["admin"];
                admin.as_str().expect("it has one").to_owned()
            })
        })
        .collect();
    assert_eq!(admins, [["ready", "maint"], ["drain", "maint"]]);
}
