//! A request's account: opened with its head, closed when its last byte was passed on or somebody
//! gave up. Whatever happens to the request, dropping the account closes it once.

use std::rc::Rc;

use super::lease::Lease;
use super::sticky::Visit;
use super::thread::Thread;
use super::view::View;
use crate::state::{FrontendTally, add};

#[derive(Debug)]
pub(super) struct Account {
    thread: Rc<Thread>,
    view: Rc<View>,
    frontend: usize,
    /// The session that is part of it, once a server was picked.
    pub(super) lease: Option<Lease>,
    /// What a stickiness cookie did for it.
    pub(super) cookie: Visit,
}

impl Account {
    pub(super) fn open(thread: Rc<Thread>, view: Rc<View>, frontend: usize) -> Self {
        let account = Self {
            thread,
            view,
            frontend,
            lease: None,
            cookie: Visit::NONE,
        };
        add(&account.tally().requests_total, 1);
        add(&account.tally().sessions, 1);
        account
    }

    /// Another server was leased, or none: notes whether the cookie led there.
    pub(super) fn returned(&mut self) {
        let lease = self.lease.as_ref();
        let client = self.cookie.on(lease.map(Lease::position));
        if let (Some(lease), Some(client)) = (lease, client) {
            lease.server().saw_returning(client);
        }
    }

    /// A connect to the leased server failed.
    pub(super) fn connect_error(&self) {
        if let Some(lease) = &self.lease {
            add(&lease.server().tally(self.thread.id).connect_errors, 1);
            lease.failed(&self.thread);
        }
    }

    /// The leased server's response was bad, cut or late.
    pub(super) fn response_error(&self) {
        if let Some(lease) = &self.lease {
            add(&lease.server().tally(self.thread.id).response_errors, 1);
            lease.failed(&self.thread);
        }
    }

    /// The leased server answered that it cannot.
    pub(super) fn server_error(&self) {
        if let Some(lease) = &self.lease {
            lease.failed(&self.thread);
        }
    }

    fn tally(&self) -> &FrontendTally {
        self.view.snapshot.frontends[self.frontend]
            .record
            .tallies
            .of(self.thread.id)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        add(&self.tally().sessions, 1u64.wrapping_neg());
    }
}
