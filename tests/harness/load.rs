//! Load on keep-alive connections, and an account of what came of every request.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::eventually::eventually;
use crate::wire::{Response, Wire, request};

/// What load to make; [`Load::start`] makes it.
#[derive(Debug, Clone)]
pub struct Load {
    addr: SocketAddr,
    clients: usize,
    target: String,
    fresh: bool,
}

/// What came of the requests so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Whole responses with status 200.
    pub ok: u64,
    /// Everything else, by what happened.
    pub failures: BTreeMap<String, u64>,
    /// Of those in `ok`, which origin answered.
    pub by_origin: BTreeMap<String, u64>,
}

/// Load that goes on until it is stopped.
#[derive(Debug)]
pub struct Running {
    stopping: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    tally: Arc<Mutex<Tally>>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// GET requests for `/` of four clients, each on a connection that it keeps.
    pub fn on(addr: SocketAddr) -> Self {
        Self {
            addr,
            clients: 4,
            target: "/".into(),
            fresh: false,
        }
    }

    pub fn clients(mut self, clients: usize) -> Self {
        self.clients = clients;
        self
    }

    pub fn target(mut self, target: &str) -> Self {
        target.clone_into(&mut self.target);
        self
    }

    /// A new connection for every request.
    pub fn fresh_connections(mut self) -> Self {
        self.fresh = true;
        self
    }

    pub fn start(self) -> Running {
        let stopping = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let tally = Arc::new(Mutex::new(Tally::default()));
        let clients = (0..self.clients)
            .map(|_| {
                let load = self.clone();
                let (stopping, done) = (Arc::clone(&stopping), Arc::clone(&done));
                let tally = Arc::clone(&tally);
                std::thread::spawn(move || {
                    let mut wire = None;
                    while !stopping.load(Ordering::Relaxed) {
                        let outcome = load.once(&mut wire);
                        tally
                            .lock()
                            .expect("nobody panics while counting")
                            .count(outcome);
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        Running {
            stopping,
            done,
            tally,
            clients,
        }
    }

    /// One request, on the connection there is or a new one; the connection is kept where the
    /// response lets it be.
    fn once(&self, wire: &mut Option<Wire>) -> Result<Response, String> {
        let mut on = match wire.take() {
            Some(kept) => kept,
            None => Wire::try_connect(self.addr).map_err(|e| format!("connect: {e}"))?,
        };
        on.try_send(request("GET", &self.target))
            .map_err(|e| format!("send: {e}"))?;
        let response = on.try_response("GET").map_err(|e| e.to_string())?;
        if let Some(end) = response.cut {
            return Err(format!("body cut by {end:?}"));
        }
        if response.keeps_alive() && !self.fresh {
            *wire = Some(on);
        }
        if response.status == 200 {
            Ok(response)
        } else {
            Err(format!("status {}: {}", response.status, response.text()))
        }
    }
}

impl Tally {
    fn count(&mut self, outcome: Result<Response, String>) {
        match outcome {
            Ok(response) => {
                self.ok += 1;
                let origin = response.origin().unwrap_or("nobody").to_owned();
                *self.by_origin.entry(origin).or_default() += 1;
            }
            Err(reason) => *self.failures.entry(reason).or_default() += 1,
        }
    }

    /// How many `origin` answered.
    pub fn of(&self, origin: &str) -> u64 {
        self.by_origin.get(origin).copied().unwrap_or(0)
    }

    /// Panics unless every request succeeded, and at least one was made.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.failures.is_empty(), "requests failed: {self:?}");
        assert!(self.ok > 0, "no request was made");
    }
}

impl Running {
    pub fn tally(&self) -> Tally {
        self.tally
            .lock()
            .expect("nobody panics while counting")
            .clone()
    }

    /// Waits until this many more requests are done, so that what was changed before has been under
    /// load.
    #[track_caller]
    pub fn go_on_for(&self, requests: u64) {
        let wanted = self.done.load(Ordering::Relaxed) + requests;
        eventually("the load goes on", || {
            let done = self.done.load(Ordering::Relaxed);
            if done >= wanted {
                Ok(())
            } else {
                Err(format!("{done} of {wanted} requests done"))
            }
        });
    }

    /// Lets the requests in flight finish and gives the account.
    pub fn stop(mut self) -> Tally {
        self.finish();
        self.tally()
    }

    fn finish(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            let ended = client.join();
            assert!(
                ended.is_ok() || std::thread::panicking(),
                "a client of the load panicked"
            );
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Origin;

    #[test]
    fn it_counts_successes_by_origin_and_failures_by_reason() {
        let mut origin = Origin::start("a");
        let load = Load::on(origin.addr()).start();
        load.go_on_for(100);
        let tally = load.tally();
        tally.assert_clean();
        assert_eq!(tally.of("a"), tally.ok);
        origin.kill();
        load.go_on_for(10);
        let tally = load.stop();
        assert!(tally.failures.keys().any(|why| why.starts_with("connect")));
    }
}
