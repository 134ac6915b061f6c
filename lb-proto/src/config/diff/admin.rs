//! `[admin]`: all of it counts at once.

use super::Differ;
use crate::config::Admin;
use crate::plan::{Change, Effect, Section};

pub(super) fn compare(old: &Option<Admin>, new: &Option<Admin>, changes: &mut Vec<Change>) {
    let mut at = Differ::new(Section::Admin, "", changes);
    match (old, new) {
        (None, None) => {}
        (None, Some(new)) => at.added(new.bind.to_string(), Effect::Listens),
        (Some(old), None) => at.removed(old.bind.to_string(), Effect::AtOnce),
        (Some(old), Some(new)) => {
            let Admin {
                bind,
                refresh,
                allowed_hosts,
                actions,
            } = old;
            at.key("bind", bind, &new.bind, Effect::Listens);
            at.key("refresh", refresh, &new.refresh, Effect::NewRequests);
            at.list(
                "allowed_hosts",
                allowed_hosts,
                &new.allowed_hosts,
                Effect::NewRequests,
            );
            at.key("actions", actions, &new.actions, Effect::NewRequests);
        }
    }
}
