//! A server that others wrote.

use std::process::Command;

use lb_tests::port::Port;
use lb_tests::{Process, Wire, eventually};

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
