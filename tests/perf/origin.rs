//! nginx as the origin: one process on three ports, everything from memory.

use std::fs;
use std::net::SocketAddr;

use lb_tests::Process;
use lb_tests::port::Port;
use tempfile::TempDir;

use crate::machine::{Cpus, pinned};
use crate::proxy::wait_until_it_answers;

#[derive(Debug)]
pub(crate) struct Origin {
    ports: [Port; 3],
    _process: Process,
    _folder: TempDir,
}

impl Origin {
    pub(crate) fn start(cpus: Cpus) -> Result<Self, String> {
        let folder = TempDir::with_prefix("perf-origin-").map_err(|e| e.to_string())?;
        for (name, size) in [("upload", 0), ("64k", 64 * 1024), ("10m", 10 * 1024 * 1024)] {
            fs::write(folder.path().join(name), vec![b'x'; size]).map_err(|e| e.to_string())?;
        }
        let ports = [Port::new(), Port::new(), Port::new()];
        let config = folder.path().join("nginx.conf");
        fs::write(&config, configuration(&folder, &ports)).map_err(|e| e.to_string())?;
        let mut command = pinned(cpus.load, "nginx");
        command.arg("-c").arg(&config).arg("-p").arg(folder.path());
        command.args(["-e", "stderr"]);
        let mut origin = Self {
            _process: Process::spawn(command),
            ports,
            _folder: folder,
        };
        let addr = origin.addrs()[0];
        wait_until_it_answers(&mut origin._process, addr)?;
        Ok(origin)
    }

    pub(crate) fn addrs(&self) -> [SocketAddr; 3] {
        self.ports.each_ref().map(Port::addr)
    }
}

fn configuration(folder: &TempDir, ports: &[Port]) -> String {
    let listens: String = ports
        .iter()
        .map(|port| format!("    listen {} backlog=4096;\n", port.addr()))
        .collect();
    let small = "x".repeat(128);
    let folder = folder.path().display();
    format!(
        r#"
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr crit;
worker_rlimit_nofile 32768;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  open_file_cache max=16;
  client_body_temp_path {folder}/body;
  client_max_body_size 0;
  client_body_buffer_size 2m;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
{listens}
    root {folder};
    location = /small {{ return 200 "{small}"; }}
    location = /healthz {{ return 200 "ok"; }}
    # `return` alone would answer before the body came; a mirror has it read first.
    location = /upload {{ mirror /read; error_page 405 =200 @read; }}
    location = /read {{ internal; return 204; }}
    location @read {{ return 200 "ok"; }}
  }}
}}
"#
    )
}
