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
