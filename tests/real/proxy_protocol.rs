//! The PROXY protocol with nginx, which reads it, and HAProxy, which reads and writes it.

use std::net::SocketAddr;
use std::process::Command;

use lb_tests::port::Port;
use lb_tests::wire::request;
use lb_tests::{Lbd, Process, Wire, eventually, nginx};
use tempfile::TempDir;

/// A frontend before one server that is sent PROXY headers.
fn sending(mode: &str, version: &str, server: SocketAddr) -> String {
    format!(
        "[frontend.web]\nmode = \"{mode}\"\nbind = [{{ address = \"127.0.0.1:0\" }}]\ndefault_backend = \"app\"\n\n\
         [backend.app]\nmode = \"{mode}\"\nhealth = {{ interval = \"100ms\" }}\n\
         servers = [{{ name = \"s\", address = \"{server}\", send_proxy = \"{version}\" }}]\n"
    )
}

const WAYS: [(&str, &str); 4] = [("http", "v1"), ("http", "v2"), ("tcp", "v1"), ("tcp", "v2")];

#[test]
#[ignore = "needs nginx"]
fn nginx_reads_what_lbd_sends() {
    let folder = TempDir::with_prefix("nginx-").expect("a folder can be made");
    let (plain, port) = (Port::new(), Port::new());
    let http = format!(
        "  server {{\n    listen {};\n    listen {} proxy_protocol;\n    \
         location = /healthz {{ return 200; }}\n    location = / {{\n      \
         return 200 \"$proxy_protocol_addr:$proxy_protocol_port \
         $proxy_protocol_server_addr:$proxy_protocol_server_port\";\n    }}\n  }}\n",
        plain.addr(),
        port.addr()
    );
    nginx::configure(folder.path(), &http).expect("the folder is ours");
    let mut command = Command::new("nginx");
    nginx::arguments(&mut command, folder.path());
    let mut process = Process::spawn(command);
    nginx::wait_until_it_answers(&mut process, plain.addr())
        .unwrap_or_else(|e| panic!("nginx: {e}"));
    for (mode, version) in WAYS {
        let lbd = Lbd::start(sending(mode, version, port.addr()));
        lbd.wait_until_healthy("app/s");
        let mut clients = [(); 3].map(|()| Wire::connect(lbd.addr()));
        for _ in 0..3 {
            for wire in &mut clients {
                let told = wire.send(request("GET", "/")).response().text();
                let expected = format!("{} {}", wire.local_addr(), lbd.addr());
                assert_eq!(told, expected, "{mode} {version}");
            }
        }
    }
}

/// HAProxy with these sections.
fn haproxy(folder: &TempDir, sections: &str) -> Process {
    let file = folder.path().join("haproxy.cfg");
    let text = format!(
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n\n{sections}"
    );
    std::fs::write(&file, text).expect("the folder is ours");
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(file);
    Process::spawn(command)
}

/// The section of one that tells whose connection it was told of.
fn telling(at: SocketAddr) -> String {
    format!(
        "frontend tell\n  bind {at} accept-proxy\n  http-request return status 200 content-type text/plain \
         lf-string \"%[src]:%[src_port] %[dst]:%[dst_port] %[fc_pp_unique_id]\"\n"
    )
}

#[test]
#[ignore = "needs haproxy"]
fn haproxy_reads_what_lbd_sends() {
    let folder = TempDir::with_prefix("haproxy-").expect("a folder can be made");
    let port = Port::new();
    let _process = haproxy(&folder, &telling(port.addr()));
    eventually("it listens", || Wire::try_connect(port.addr()).map(drop));
    for (mode, version) in WAYS {
        let lbd = Lbd::start(sending(mode, version, port.addr()));
        lbd.wait_until_healthy("app/s");
        let mut wire = Wire::connect(lbd.addr());
        for _ in 0..2 {
            let told = wire.send(request("GET", "/")).response().text();
            let expected = format!("{} {}", wire.local_addr(), lbd.addr());
            assert_eq!(told.trim_end(), expected, "{mode} {version}");
        }
    }
}

#[test]
#[ignore = "needs haproxy"]
fn lbd_reads_what_haproxy_sends_and_loses_none_of_it() {
    let folder = TempDir::with_prefix("haproxy-").expect("a folder can be made");
    let (back, bind) = (Port::new(), Port::new());
    let fronts = [Port::new(), Port::new()];
    let versions = [
        "send-proxy",
        "send-proxy-v2 proxy-v2-options crc32c,unique-id",
    ];
    let front = |(port, version): (&Port, &str)| {
        let (name, at, to) = (port.addr().port(), port.addr(), bind.addr());
        format!(
            "listen front{name}\n  bind {at}\n  mode tcp\n  unique-id-format it-is-%cp\n  server lbd {to} {version}\n\n"
        )
    };
    let sections: String = fronts.iter().zip(versions).map(front).collect();
    let _process = haproxy(&folder, &format!("{sections}{}", telling(back.addr())));
    eventually("it listens", || {
        Wire::try_connect(fronts[0].addr()).map(drop)
    });
    for mode in ["tcp", "http"] {
        let listening = format!(
            "{{ address = \"{}\", proxy_protocol = [\"127.0.0.0/8\"] }}",
            bind.addr()
        );
        let config =
            sending(mode, "v2", back.addr()).replace("{ address = \"127.0.0.1:0\" }", &listening);
        let mut lbd = Lbd::start(config);
        lbd.wait_until_healthy("app/s");
        for (port, id) in [(&fronts[0], false), (&fronts[1], true)] {
            let mut wire = Wire::connect(port.addr());
            let from = wire.local_addr();
            let told = wire.send(request("GET", "/")).response().text();
            let id = if id {
                format!("it-is-{}", from.port())
            } else {
                String::new()
            };
            let expected = format!("{from} {} {id}", port.addr());
            assert_eq!(told.trim_end(), expected.trim_end(), "{mode}");
        }
        let bare = Wire::connect(bind.addr())
            .send(request("GET", "/"))
            .try_response("GET");
        assert!(bare.is_err(), "{bare:?}");
        assert_eq!(lbd.stop(), Some(0));
    }
}
