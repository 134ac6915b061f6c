//! What Prometheus makes of `/metrics`.

use std::io::Write;
use std::process::{Command, Stdio};

use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::wire::get;
use lb_tests::{Authority, Lbd, Origin};

#[test]
#[ignore = "needs promtool"]
fn promtool_finds_nothing_wrong() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("a \"strange\" \\ name.pem");
    let pem = Authority::new().issue(&["lb1.example"]).together();
    std::fs::write(&file, pem).expect("the folder is ours");
    let origin = Origin::start("a");
    let app = app(NO_CHECK, [&origin]);
    let secure = format!(
        "[frontend.secure]\ndefault_backend = \"app\"\n\
         bind = [{{ address = \"127.0.0.1:0\", tls = {{ certs = [{file:?}] }} }}]\n"
    );
    let lbd = Lbd::start(format!("[admin]\nbind = \"127.0.0.1:0\"\n{app}{secure}"));
    assert_eq!(get(lbd.addr(), "/").status, 200);
    let metrics = get(lbd.admin(), "/metrics").body;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics", "--extended"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is there");
    let mut stdin = promtool.stdin.take().expect("it is piped");
    stdin.write_all(&metrics).expect("promtool reads");
    drop(stdin);
    let output = promtool.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        told.contains("lbd_certificate_not_after_timestamp_seconds"),
        "{told}"
    );
}
