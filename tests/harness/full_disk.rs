//! A disk that is full for one daemon: no file that it writes may grow.

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::daemon::Lbd;

/// As long as this lives, the daemon writes no byte to a file; pipes and sockets are as before.
#[derive(Debug)]
pub struct FullDisk {
    daemon: Option<Pid>,
    before: Rlimit,
}

impl FullDisk {
    #[track_caller]
    pub fn of(lbd: &Lbd) -> Self {
        let daemon = i32::try_from(lbd.pid()).ok().and_then(Pid::from_raw);
        let nothing = Rlimit {
            current: Some(0),
            maximum: None,
        };
        let before = prlimit(daemon, Resource::Fsize, nothing).expect("it is our child");
        Self { daemon, before }
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        // A daemon that is gone needs no more room.
        let _ = prlimit(self.daemon, Resource::Fsize, self.before);
    }
}
