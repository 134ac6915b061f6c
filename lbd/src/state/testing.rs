//! State for unit tests, from a configuration's text.

use std::sync::Arc;

use lb_proto::config::{self, Certificates};
use lb_proto::name::ServerId;

use super::{Addresses, Loaded, Remembered, Server, Shared, Snapshot};

impl Shared {
    /// Runs `text`, as at process start.
    pub(crate) fn of(text: &str) -> Arc<Self> {
        let snapshot = snapshot(text, None);
        Self::new(snapshot, Remembered::default(), 1, 100)
    }

    /// Swaps `text` in, as a reload does.
    pub(crate) fn load(&self, text: &str) {
        self.swap(text, false);
    }

    /// Swaps `text` in for as long as nothing is confirmed.
    pub(crate) fn load_on_trial(&self, text: &str) {
        self.swap(text, true);
    }

    fn swap(&self, text: &str, on_trial: bool) {
        let before = self.snapshot();
        let next = snapshot(text, Some(&before));
        self.settle(&next, &before, on_trial);
        self.publish(next, "by a test");
    }

    pub(crate) fn server(&self, id: &str) -> Arc<Server> {
        let id: ServerId = id.parse().unwrap();
        let snapshot = self.snapshot();
        snapshot
            .backend(&id.backend)
            .and_then(|backend| backend.server(&id.server))
            .unwrap()
            .clone()
    }
}

fn snapshot(text: &str, before: Option<&Snapshot>) -> Snapshot {
    let config = config::read("test.toml", text).unwrap();
    let loaded = Loaded {
        path: "/test.toml".to_owned(),
        generation: before.map_or(1, |b| b.loaded.generation + 1),
        at: super::now(),
        sha256: String::new(),
    };
    let certificates = Certificates::default();
    Snapshot::build(config, certificates, loaded, before, &Addresses::new(), 1).unwrap()
}
