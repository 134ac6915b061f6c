//! nginx as the origin, one process on three ports, everything from memory; and one that echoes.

use std::fs;
use std::net::SocketAddr;

use lb_tests::port::Port;
use lb_tests::{Process, nginx};
use tempfile::TempDir;

use crate::echo;
use crate::machine::{Cpus, pinned};
use crate::scenario::Service;

#[derive(Debug)]
pub(crate) struct Origin {
    ports: [Port; 3],
    echo: [SocketAddr; 3],
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
        nginx::configure(folder.path(), &configuration(&folder, &ports))
            .map_err(|e| e.to_string())?;
        let mut command = pinned(cpus.load, "nginx");
        nginx::arguments(&mut command, folder.path());
        let mut origin = Self {
            _process: Process::spawn(command),
            ports,
            echo: echo::serve()?,
            _folder: folder,
        };
        let addr = origin.addrs(Service::Http)[0];
        nginx::wait_until_it_answers(&mut origin._process, addr)?;
        Ok(origin)
    }

    pub(crate) fn addrs(&self, service: Service) -> [SocketAddr; 3] {
        match service {
            Service::WebSocket => self.echo,
            _ => self.ports.each_ref().map(Port::addr),
        }
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
        r#"  sendfile on;
  tcp_nopush on;
  open_file_cache max=16;
  client_body_buffer_size 2m;
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
"#
    )
}
