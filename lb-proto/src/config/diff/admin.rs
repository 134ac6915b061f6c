//! `[admin]`: all of it counts at once.

use super::words::{Words, joined};
use super::{Differ, frontend};
use crate::config::{Admin, User};
use crate::plan::{Change, Effect, Kind, Section};

pub(super) fn compare(old: &Option<Admin>, new: &Option<Admin>, changes: &mut Vec<Change>) {
    let mut at = Differ::new(Section::Admin, "", changes);
    match (old, new) {
        (None, None) => {}
        (None, Some(new)) => at.added(summary(new), Effect::Listens),
        (Some(old), None) => at.removed(summary(old), Effect::AtOnce),
        (Some(old), Some(new)) => {
            let Admin {
                bind,
                tls,
                refresh,
                allowed_hosts,
                actions,
                users,
                place: _,
            } = old;
            at.key("bind", bind, &new.bind, Effect::Listens);
            frontend::differ_in_bind_tls(&mut at, tls, &new.tls);
            at.key("refresh", refresh, &new.refresh, Effect::NewRequests);
            at.list(
                "allowed_hosts",
                allowed_hosts,
                &new.allowed_hosts,
                Effect::NewRequests,
            );
            at.key("actions", actions, &new.actions, Effect::NewRequests);
            differ_in_users(&mut at, users, &new.users);
        }
    }
}

fn summary(admin: &Admin) -> String {
    let tls = admin.tls.as_ref().map(|_| "TLS".to_owned());
    joined([admin.bind.words(), tls])
}

/// By their names. What a hash is, is not told.
fn differ_in_users(at: &mut Differ<'_>, old: &[User], new: &[User]) {
    let effect = Effect::NewRequests;
    let before = at.changes.len();
    let named = |users: &'_ [User], name: &str| users.iter().position(|user| user.name == name);
    let told = |user: &User| Some(format!("{} ({})", user.name, user.role.as_str()));
    for gone in old.iter().filter(|old| named(new, &old.name).is_none()) {
        at.tell(Kind::Removed, Some("users"), (told(gone), None), effect);
    }
    for user in new {
        let User {
            name,
            password_hash,
            role,
        } = user;
        let Some(old) = named(old, name).map(|at| &old[at]) else {
            at.tell(Kind::Added, Some("users"), (None, told(user)), effect);
            continue;
        };
        if old.password_hash != *password_hash {
            let key = format!("users.{name}.password_hash");
            at.tell(Kind::Changed, Some(&key), (None, None), effect);
        }
        at.key(&format!("users.{name}.role"), &old.role, role, effect);
    }
    if at.changes.len() == before && old != new {
        at.reordered("users", Effect::Shown);
    }
}
