//! Which sockets this thread accepts on: those of the snapshot, no others.

use std::collections::HashMap;
use std::rc::Rc;

use tracing::error;

use super::accept::Acceptor;
use super::thread::Thread;

#[derive(Debug, Default)]
pub(super) struct Listening {
    /// By listener uid.
    acceptors: HashMap<u64, Acceptor>,
}

impl Listening {
    /// Starts accepting on listeners that are new in the snapshot, stops on those that are gone.
    pub(super) async fn follow(&mut self, thread: &Rc<Thread>) {
        let view = thread.view();
        let listeners = || view.snapshot.frontends.iter().flat_map(|f| &f.listeners);
        for listener in listeners() {
            let Some(socket) = listener.take_socket(thread.id) else {
                continue;
            };
            match Acceptor::start(thread.clone(), listener.clone(), socket) {
                Ok(acceptor) => {
                    self.acceptors.insert(listener.uid, acceptor);
                }
                Err(error) => error!(%error, address = %listener.address, "cannot accept on it"),
            }
        }
        let gone = self
            .acceptors
            .extract_if(|uid, _| view.frontend_of(*uid).is_none());
        for (_, acceptor) in gone.collect::<Vec<_>>() {
            acceptor.stop().await;
        }
    }

    pub(super) async fn stop(self) {
        for (_, acceptor) in self.acceptors {
            acceptor.stop().await;
        }
    }
}
