//! A server that others wrote.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use lb_tests::port::Port;
use lb_tests::{Process, Wire, eventually, programs};

/// It listens on a port of its own, and ends with the test.
pub(crate) struct Program {
    pub(crate) port: Port,
    pub(crate) process: Process,
}

impl Program {
    pub(crate) fn start(command: impl FnOnce(&Port) -> Command) -> Self {
        let port = Port::new();
        let mut process = Process::spawn(command(&port));
        eventually("it listens", || {
            assert!(process.is_running(), "{}", process.stderr.so_far());
            Wire::try_connect(port.addr()).map(drop)
        });
        Self { port, process }
    }
}

/// The path on which programs are found, ours first.
pub(crate) fn path_with_ours() -> OsString {
    let ours = programs::lbctl().parent().map(Path::to_owned);
    let others = std::env::var_os("PATH").unwrap_or_default();
    let all = ours.into_iter().chain(std::env::split_paths(&others));
    std::env::join_paths(all).expect("no folder of ours has a colon")
}
