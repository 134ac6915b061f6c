//! nginx, as an origin or as a proxy to compare with: one process, nothing outside its folder.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::Process;
use crate::wire::{Wire, request};

/// Writes a configuration whose `http` section holds `http`, for [`arguments`].
///
/// # Errors
/// When the folder cannot be written to.
pub fn configure(folder: &Path, http: &str) -> io::Result<()> {
    let at = folder.display();
    // Without a master, the process that was started is the one that serves, and the one to kill.
    let text = format!(
        "daemon off;\nmaster_process off;\npid {at}/pid;\nerror_log stderr crit;\n\
         worker_rlimit_nofile 32768;\nevents {{ worker_connections 16384; }}\n\
         http {{\n  access_log off;\n  keepalive_timeout 600s;\n  keepalive_requests 1000000000;\n  \
         client_max_body_size 0;\n  client_body_temp_path {at}/body;\n  proxy_temp_path {at}/proxy;\n  \
         fastcgi_temp_path {at}/fastcgi;\n  uwsgi_temp_path {at}/uwsgi;\n  scgi_temp_path {at}/scgi;\n\
         {http}}}\n"
    );
    fs::write(folder.join("nginx.conf"), text)
}

/// Adds to `nginx` what makes it read the configuration in `folder`.
pub fn arguments<'c>(command: &'c mut Command, folder: &Path) -> &'c mut Command {
    command
        .args(["-e", "stderr", "-p"])
        .arg(folder)
        .arg("-c")
        .arg(folder.join("nginx.conf"))
}

/// Waits until a GET for `/healthz` at `addr` is answered with 200.
///
/// # Errors
/// What was seen last, when the process ended or nothing was answered for long.
pub fn wait_until_it_answers(
    process: &mut Process,
    addr: std::net::SocketAddr,
) -> Result<(), String> {
    const LIMIT: Duration = Duration::from_secs(60);
    let started = Instant::now();
    loop {
        let answer = Wire::try_connect(addr)
            .map_err(|e| e.to_string())
            .and_then(|mut wire| {
                wire.send(request("GET", "/healthz"))
                    .try_response("GET")
                    .map_err(|e| e.to_string())
            });
        let seen = match answer {
            Ok(response) if response.status == 200 => return Ok(()),
            Ok(response) => format!("status {}", response.status),
            Err(e) => e,
        };
        if !process.is_running() {
            return Err(format!("it does not start: {:#?}", process.wait_in_place()));
        }
        if started.elapsed() > LIMIT {
            return Err(format!("{addr} does not answer: {seen}"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
