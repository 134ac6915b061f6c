//! `lbctl cert assemble`: what it writes, whose that is, what it refuses, and what is left when it
//! fails half-way.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use lb_proto::pem::{Bundle, File};
use lb_tests::{Authority, Issued, Process, lbctl};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

/// Larger than what [`limited`] lets a process write.
const MANY_NAMES: usize = 400;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder can be made"))
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("it can be listed");
        let mut names: Vec<String> = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

/// `lbctl cert assemble --lineage … --out …`
fn assemble(lineage: &Path, out: &Path) -> Command {
    let mut command = lbctl::bare();
    command.args(["cert", "assemble", "--lineage"]).arg(lineage);
    command.arg("--out").arg(out);
    command
}

/// The command, with files limited to 4 KiB: writing more fails half-way, as on a full disk, or,
/// unless the signal is ignored, kills.
fn limited(command: &Command, killed: bool) -> Command {
    let ignore = if killed { "" } else { "trap '' XFSZ; " };
    // Whoever runs the tests may ignore it.
    let mut shell = Command::new("env");
    shell.args(["--default-signal=XFSZ", "bash"]);
    // In blocks of 1 KiB.
    shell.args(["-c", &format!("{ignore}ulimit -f 4; exec \"$@\""), "bash"]);
    shell.arg(command.get_program()).args(command.get_args());
    shell
}

fn many_names() -> Vec<String> {
    (0..MANY_NAMES)
        .map(|n| format!("host{n}.example.com"))
        .collect()
}

fn issue(authority: &Authority, names: &[String]) -> Issued {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    authority.issue(&names)
}

#[test]
fn one_file_comes_of_a_lineage_for_its_owner_alone() {
    let (folder, out) = (Folder::new(), Folder::new());
    let authority = Authority::new();
    let issued = authority.issue(&["example.com", "*.example.com"]);
    let lineage = issued.write_lineage(&folder.join("example.com"));
    let pem = out.join("example.com.pem");
    let mut command = assemble(&lineage, &pem);
    command.arg("--json");
    let said = Process::run(command).exits(0);
    let file = File::read(&pem).expect("lbd can use it");
    let json = said.json();
    assert_eq!(json["fingerprint"], file.bundle.leaf.fingerprint.as_str());
    assert_eq!(json["names"][1], "*.example.com");
    assert_eq!(json["certificates"], 2);
    assert_eq!(json["days_left"], 89);
    assert_eq!(
        file.bundle.chain,
        Bundle::read(issued.together().as_bytes())
            .expect("it is good")
            .chain
    );
    let metadata = fs::metadata(&pem).expect("it is there");
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    assert_eq!(out.names(), ["example.com.pem"]);
}

#[test]
fn the_chain_is_put_in_order_and_the_root_left_out() {
    let folder = Folder::new();
    let authority = Authority::new();
    let issued = authority.issue(&["example.com"]);
    let intermediate = issued.fullchain.replace(&issued.leaf, "");
    let (chain, key) = (folder.join("chain.crt"), folder.join("site.key"));
    let mixed = [
        &*authority.root(),
        "by hand\r\n",
        &intermediate,
        &issued.leaf,
    ]
    .concat();
    fs::write(&chain, mixed).expect("a file can be written");
    fs::write(&key, issued.key.replace('\n', "\r\n").trim_end()).expect("a file can be written");
    let pem = folder.join("site.pem");
    let mut command = lbctl::bare();
    command.args(["cert", "assemble", "--fullchain"]).arg(chain);
    command.arg("--privkey").arg(key).arg("--out").arg(&pem);
    Process::run(command).exits(0);
    let text = fs::read_to_string(&pem).expect("it is there");
    assert_eq!(text, issued.together());
}

/// As root installs and lbd's user reads; who is nobody special can only keep what is his.
#[test]
fn a_file_belongs_to_whom_the_one_before_it_did_or_else_its_folder() {
    let is_root = rustix::process::geteuid().is_root();
    let (own, group) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    let (folders, others) = match is_root {
        true => ((12_345, 12_346), (12_347, 12_348)),
        false => ((own, group), (own, group)),
    };
    let folder = Folder::new();
    let authority = Authority::new();
    let lineage = authority
        .issue(&["a.test"])
        .write_lineage(&folder.join("a.test"));
    let certs = folder.join("certs");
    fs::create_dir(&certs).expect("a folder can be made");
    chown(&certs, Some(folders.0), Some(folders.1)).expect("it may be given");
    let pem = certs.join("a.test.pem");
    let owner = || {
        let metadata = fs::metadata(&pem).expect("it is there");
        ((metadata.uid(), metadata.gid()), metadata.mode() & 0o7777)
    };
    Process::run(assemble(&lineage, &pem)).exits(0);
    assert_eq!(owner(), (folders, 0o600));
    chown(&pem, Some(others.0), Some(others.1)).expect("it may be given");
    Process::run(assemble(&lineage, &pem)).exits(0);
    assert_eq!(owner(), (others, 0o600));
}

#[test]
fn a_certificate_for_fewer_names_must_be_allowed() {
    let folder = Folder::new();
    let authority = Authority::new();
    let pem = folder.join("site.pem");
    let lineage = |names: &[&str]| authority.issue(names).write_lineage(&folder.join("live"));
    Process::run(assemble(
        &lineage(&["a.test", "www.a.test", "b.test"]),
        &pem,
    ))
    .exits(0);
    let first = fs::read(&pem).expect("it is there");
    let fewer = lineage(&["a.test", "*.a.test"]);
    let refused = Process::run(assemble(&fewer, &pem))
        .exits(1)
        .says("--allow-fewer-names");
    assert!(
        refused.stderr.contains("site.pem is for b.test, and"),
        "{refused:#?}"
    );
    assert_eq!(fs::read(&pem).expect("it is there"), first);
    let mut command = assemble(&fewer, &pem);
    command.arg("--allow-fewer-names");
    Process::run(command).exits(0).says("no longer for b.test");
    // More names, and the same, need no leave.
    Process::run(assemble(&lineage(&["a.test", "*.a.test", "c.test"]), &pem)).exits(0);
}

#[test]
fn what_is_no_certificate_is_not_replaced_by_one() {
    let folder = Folder::new();
    let lineage = Authority::new()
        .issue(&["a.test"])
        .write_lineage(&folder.join("live"));
    let toml = folder.join("lbd.toml");
    fs::write(&toml, "[global]\n").expect("a file can be written");
    Process::run(assemble(&lineage, &toml))
        .exits(1)
        .says("its names cannot be read");
    assert_eq!(
        fs::read_to_string(&toml).expect("it is there"),
        "[global]\n"
    );
    let empty = folder.join("empty.pem");
    fs::write(&empty, "").expect("a file can be written");
    Process::run(assemble(&lineage, &empty)).exits(0);
}

#[test]
fn what_cannot_be_served_is_refused() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let folder = Folder::new();
    let authority = Authority::new();
    let now = SystemTime::now();
    let good = authority.issue(&["a.test"]);
    let expired = authority.issue_for(&["a.test"], now - 90 * DAY, now - 3 * DAY / 2);
    let early = authority.issue_for(&["a.test"], now + DAY, now + 90 * DAY);
    let other_key = Issued {
        key: authority.issue(&["a.test"]).key,
        ..good.clone()
    };
    let encrypted = Issued {
        key: good.key.replace("PRIVATE", "ENCRYPTED PRIVATE"),
        ..good.clone()
    };
    let namesake = Issued {
        fullchain: good.leaf.clone()
            + Authority::new()
                .issue(&["a.test"])
                .fullchain
                .split_inclusive("-----END CERTIFICATE-----\n")
                .nth(1)
                .expect("there is an intermediate"),
        ..good.clone()
    };
    let cut = Issued {
        fullchain: good.fullchain[..300].to_owned(),
        ..good.clone()
    };
    let pem = folder.join("a.test.pem");
    for (issued, said) in [
        (expired, "expired 1 day ago"),
        (early, "is not valid yet"),
        (
            Authority::out_of_date().issue(&["a.test"]),
            "the certificate of its issuer, Test Issuer, in",
        ),
        (
            namesake,
            "the certificate for Test Issuer in it has the name of the issuer, but signed nothing",
        ),
        (other_key, "belongs to no certificate"),
        (
            encrypted,
            "privkey.pem cannot be used: its private key is encrypted",
        ),
        (cut, "fullchain.pem cannot be used: it is no PEM"),
    ] {
        let lineage = issued.write_lineage(&folder.join("live"));
        Process::run(assemble(&lineage, &pem)).exits(1).says(said);
        assert_eq!(folder.names(), ["live"]);
    }
}

#[test]
fn a_pipe_is_refused_and_never_waited_for() {
    let folder = Folder::new();
    let live = folder.join("live");
    let issued = Authority::new().issue(&["a.test"]);
    let pem = folder.join("a.test.pem");
    for name in ["fullchain.pem", "privkey.pem"] {
        let lineage = issued.write_lineage(&live);
        let pipe = lineage.join(name);
        fs::remove_file(&pipe).expect("it is there");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).expect("the folder is ours");
        Process::run(assemble(&lineage, &pem))
            .exits(1)
            .says(&format!("{name}: it is no regular file"))
            .says("write what comes out of it to one first");
        assert_eq!(folder.names(), ["live"]);
        fs::remove_file(&pipe).expect("it is there");
    }
}

#[test]
fn a_disk_that_is_full_half_way_leaves_the_old_file() {
    let folder = Folder::new();
    let authority = Authority::new();
    let lineage = authority
        .issue(&["host0.example.com"])
        .write_lineage(&folder.join("live"));
    let pem = folder.join("site.pem");
    Process::run(assemble(&lineage, &pem)).exits(0);
    let before = fs::read(&pem).expect("it is there");
    let lineage = issue(&authority, &many_names()).write_lineage(&folder.join("live"));
    let full = Process::run(limited(&assemble(&lineage, &pem), false));
    full.exits(1).says("the file before it is still there");
    assert_eq!(fs::read(&pem).expect("it is there"), before);
    assert_eq!(folder.names(), ["live", "site.pem"]);
    // There is room again.
    Process::run(assemble(&lineage, &pem)).exits(0);
    assert!(fs::read(&pem).expect("it is there").len() > 4096);
}

#[test]
fn a_run_that_is_killed_half_way_leaves_the_old_file_and_the_next_cleans_up() {
    let folder = Folder::new();
    let authority = Authority::new();
    let lineage = authority
        .issue(&["host0.example.com"])
        .write_lineage(&folder.join("live"));
    let pem = folder.join("site.pem");
    Process::run(assemble(&lineage, &pem)).exits(0);
    let before = fs::read(&pem).expect("it is there");
    let lineage = issue(&authority, &many_names()).write_lineage(&folder.join("live"));
    let killed = Process::run(limited(&assemble(&lineage, &pem), true));
    assert_eq!(killed.code, None, "{killed:#?}");
    assert_eq!(fs::read(&pem).expect("it is there"), before);
    assert_eq!(folder.names().len(), 3, "it left something");
    Process::run(assemble(&lineage, &pem)).exits(0);
    assert_eq!(folder.names(), ["live", "site.pem"]);
}

#[test]
fn two_at_once_both_write_a_whole_file() {
    let (folder, out) = (Folder::new(), Folder::new());
    let authority = Authority::new();
    let pem = out.join("site.pem");
    let lineages = ["one", "two", "three", "four"].map(|name| {
        let issued = issue(&authority, &many_names());
        (issued.write_lineage(&folder.join(name)), issued.together())
    });
    let running = lineages
        .each_ref()
        .map(|(lineage, _)| Process::spawn(assemble(lineage, &pem)));
    for process in running {
        process.wait().exits(0);
    }
    let text = fs::read_to_string(&pem).expect("it is there");
    assert!(lineages.iter().any(|(_, whole)| *whole == text));
    assert_eq!(out.names(), ["site.pem"]);
}
