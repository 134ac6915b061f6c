//! The programs under test, built as the running test was.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The built `lbd`.
pub fn lbd() -> &'static Path {
    &BUILT.lbd
}

/// The built `lbctl`.
pub fn lbctl() -> &'static Path {
    &BUILT.lbctl
}

/// The top of the repository.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests are a member of the workspace")
}

struct Programs {
    lbd: PathBuf,
    lbctl: PathBuf,
}

/// Built once per process: cargo does not build another package's programs for a test, and a stale
/// one would make a test say what is no longer true.
static BUILT: LazyLock<Programs> = LazyLock::new(|| {
    let here = Here::of_this_process();
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(workspace())
        .arg("build")
        .arg("--quiet")
        // The whole workspace, for its features: with `-p lbd` the dependencies that `cargo test
        // --workspace` has built would be built again with fewer.
        .args(["--workspace", "--bins"])
        .arg("--profile")
        .arg(&here.profile)
        .arg("--target-dir")
        .arg(&here.target)
        .status()
        .expect("cargo can be run");
    assert!(status.success(), "lbd and lbctl do not build: {status}");
    Programs {
        lbd: here.programs.join("lbd"),
        lbctl: here.programs.join("lbctl"),
    }
});

/// Where the running test was built to: `TARGET/PROFILE/deps/NAME-HASH`, or `TARGET/PROFILE/NAME`
/// for a program.
struct Here {
    target: PathBuf,
    programs: PathBuf,
    profile: String,
}

impl Here {
    fn of_this_process() -> Self {
        let exe = std::env::current_exe().expect("a process has an executable");
        let folder = exe.parent().expect("an executable is in a folder");
        let programs = if folder.ends_with("deps") {
            folder.parent().expect("deps is in the profile's folder")
        } else {
            folder
        };
        let profile = match programs.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        Self {
            target: programs
                .parent()
                .expect("the profile's folder is in the target folder")
                .to_owned(),
            programs: programs.to_owned(),
            profile: profile.to_owned(),
        }
    }
}
