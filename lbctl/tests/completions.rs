//! The scripts in `completions/` are what `lbctl completions` prints.

use std::path::Path;
use std::process::Command;

const SCRIPTS: [(&str, &str); 5] = [
    ("bash", "lbctl.bash"),
    ("zsh", "_lbctl"),
    ("fish", "lbctl.fish"),
    ("elvish", "lbctl.elv"),
    ("powershell", "_lbctl.ps1"),
];

#[test]
fn the_checked_in_scripts_are_fresh() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../completions");
    for (shell, file) in SCRIPTS {
        let output = Command::new(env!("CARGO_BIN_EXE_lbctl"))
            .args(["completions", shell])
            .output()
            .expect("lbctl runs");
        assert!(output.status.success(), "completions {shell}: {output:?}");
        let printed = String::from_utf8(output.stdout).expect("the script is text");
        let checked_in = std::fs::read_to_string(folder.join(file)).unwrap_or_default();
        assert_eq!(
            printed, checked_in,
            "completions/{file} is stale; refresh it with\n  \
             cargo run -p lbctl -- completions {shell} > completions/{file}\n"
        );
        assert!(
            !printed.contains(env!("CARGO_BIN_EXE_lbctl")),
            "{file} must find lbctl on the PATH of whoever loads it"
        );
    }
}
