//! nginx as a server of HTTP/2, which closes its connections every so many requests.

use std::process::Command;

use lb_tests::daemon::{NO_CHECK, app_at};
use lb_tests::pattern::pattern;
use lb_tests::port::Port;
use lb_tests::wire::{get, request, upload};
use lb_tests::{Lbd, Load, Process, Wire, nginx};
use tempfile::TempDir;

#[test]
#[ignore = "needs nginx"]
fn connections_that_nginx_closes_cost_no_request() {
    let (port, plain) = (Port::new(), Port::new());
    let folder = TempDir::with_prefix("nginx-").expect("a folder can be made");
    let root = folder.path().display();
    let http = format!(
        "  server {{\n    listen {} http2;\n    root {root};\n    keepalive_requests 50;\n    \
         location = / {{ return 200 \"a\\n\"; }}\n    \
         location /dav/ {{ dav_methods PUT; create_full_put_path on; }}\n  }}\n  \
         server {{\n    listen {};\n    location = /healthz {{ return 200 \"ok\\n\"; }}\n  }}\n",
        port.addr(),
        plain.addr()
    );
    nginx::configure(folder.path(), &http).expect("the folder is ours");
    let body: Vec<u8> = pattern(3_000_000);
    std::fs::write(folder.path().join("file"), &body).expect("the folder is ours");
    let mut command = Command::new("nginx");
    nginx::arguments(&mut command, folder.path());
    let mut process = Process::spawn(command);
    let answers = nginx::wait_until_it_answers(&mut process, plain.addr());
    answers.unwrap_or_else(|e| panic!("nginx: {e}"));

    let lines = format!("protocol = \"h2\"\n{NO_CHECK}\nretries = 0");
    let lbd = Lbd::start(app_at(&lines, [("a", port.addr())]));
    let load = Load::on(lbd.addr()).clients(8).start();
    for n in 0..20 {
        load.go_on_for(200);
        assert_eq!(get(lbd.addr(), "/file").body, body);
        let mut wire = Wire::connect(lbd.addr());
        let target = format!("/dav/{n}");
        assert_eq!(
            wire.send(upload("PUT", &target, &body)).response().status,
            201
        );
        let head = wire.send(request("HEAD", "/file")).response_to_head();
        assert_eq!(head.header("content-length"), Some("3000000"));
        let stored = std::fs::read(folder.path().join("dav").join(n.to_string()));
        assert!(stored.is_ok_and(|stored| stored == body));
    }
    load.stop().assert_clean();
    let errors = lbd.server("app/a").errors;
    assert_eq!((errors.connect, errors.response), (0, 0));
}
