//! nginx as an origin that can be killed and started again on the same port.

use std::net::SocketAddr;
use std::process::Command;

use lb_tests::daemon::app_at;
use lb_tests::port::Port;
use lb_tests::{Process, nginx};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub(crate) struct Nginx {
    name: &'static str,
    port: Port,
    folder: TempDir,
    process: Process,
}

impl Nginx {
    pub(crate) fn start(name: &'static str) -> Self {
        let port = Port::new();
        let folder = TempDir::with_prefix("nginx-").expect("a folder can be made");
        let (at, root) = (port.addr(), folder.path().display());
        let http = format!(
            "  server {{\n    listen {at};\n    root {root};\n    add_header x-origin {name};\n    \
             location = / {{ return 200 \"{name}\\n\"; }}\n    \
             location = /healthz {{ return 200 \"ok\\n\"; }}\n    \
             location /dav/ {{ dav_methods PUT; create_full_put_path on; }}\n  }}\n"
        );
        nginx::configure(folder.path(), &http).expect("the folder is ours");
        let process = run(&folder, at);
        Self {
            name,
            port,
            folder,
            process,
        }
    }

    pub(crate) fn start_all() -> [Self; 3] {
        ["a", "b", "c"].map(Self::start)
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    pub(crate) fn start_again(&mut self) {
        self.process = run(&self.folder, self.port.addr());
    }

    /// What a shell runs to restart it as an operator would: it stops, and one that is a child of nobody here
    /// starts in its place, whose pid is written down.
    pub(crate) fn restart_command(&self) -> String {
        let (pid, folder) = (self.process.pid(), self.folder.path().display());
        // It has ended when it is gone, or waits for us to hear of it.
        format!(
            "kill {pid}; while grep -q 'State:.[^Z]' /proc/{pid}/status; do sleep 0.02; done; \
             nginx -e stderr -p {folder} -c {folder}/nginx.conf & echo $! > {folder}/new.pid"
        )
    }

    /// Puts a file where it is served.
    pub(crate) fn serve(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.folder.path().join(name), bytes).expect("the folder is ours");
    }

    /// A file that was uploaded.
    pub(crate) fn uploaded(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.folder.path().join("dav").join(name)).ok()
    }
}

/// Ends what [`Nginx::restart_command`] started.
impl Drop for Nginx {
    fn drop(&mut self) {
        let new = std::fs::read_to_string(self.folder.path().join("new.pid")).unwrap_or_default();
        let new = new.trim().parse().ok().and_then(Pid::from_raw);
        if let Some(new) = new {
            let _ = kill_process(new, Signal::KILL);
        }
    }
}

/// The configuration that balances over them, with these lines for the backend.
pub(crate) fn balanced(lines: &str, origins: &[Nginx]) -> String {
    app_at(
        lines,
        origins
            .iter()
            .map(|origin| (origin.name, origin.port.addr())),
    )
}

fn run(folder: &TempDir, at: SocketAddr) -> Process {
    let mut command = Command::new("nginx");
    nginx::arguments(&mut command, folder.path());
    let mut process = Process::spawn(command);
    nginx::wait_until_it_answers(&mut process, at).unwrap_or_else(|e| panic!("nginx: {e}"));
    process
}
