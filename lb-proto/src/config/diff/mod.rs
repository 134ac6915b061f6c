//! What differs between two configurations, told as operators think of it: by the names of things,
//! with the values that come out after defaults, each with what it means for what runs.
//!
//! Pure. Every struct of the configuration is taken apart here without `..`: a key that is added to
//! one and not compared does not compile.

mod admin;
mod backend;
mod certificates;
mod frontend;
mod global;
mod matched;
mod routes;
mod server;
mod traces;
mod words;

pub use self::certificates::diff_certificates;

use std::collections::HashSet;
use std::hash::Hash;

use self::matched::matched;
use self::words::Words;
use super::Config;
use crate::plan::{Change, Effect, Kind, Part, Place, Section};

/// What `new` changes of `old`, in the order of the file. Empty only where the two are equal.
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    let Config {
        global,
        admin,
        traces,
        frontends,
        backends,
    } = old;
    let mut changes = Vec::new();
    global::compare(global, &new.global, &mut changes);
    admin::compare(admin, &new.admin, &mut changes);
    traces::compare(traces, &new.traces, &mut changes);
    frontend::compare(frontends, &new.frontends, &mut changes);
    backend::compare(backends, &new.backends, &mut changes);
    changes
}

/// Compares what one place of the configuration has.
struct Differ<'a> {
    place: Place,
    changes: &'a mut Vec<Change>,
}

impl<'a> Differ<'a> {
    fn new(section: Section, name: &str, changes: &'a mut Vec<Change>) -> Self {
        Self {
            place: Place {
                section,
                name: name.to_owned(),
                part: None,
            },
            changes,
        }
    }

    /// The same section's part.
    fn part(&mut self, part: Part) -> Differ<'_> {
        Differ {
            place: Place {
                part: Some(part),
                ..self.place.clone()
            },
            changes: &mut *self.changes,
        }
    }

    fn tell(
        &mut self,
        change: Kind,
        key: Option<&str>,
        (was, now): (Option<String>, Option<String>),
        effect: Effect,
    ) {
        self.changes.push(Change {
            change,
            place: self.place.clone(),
            key: key.map(str::to_owned),
            was,
            now,
            effect,
            sessions: None,
            connections: None,
        });
    }

    /// All of it is new.
    fn added(&mut self, now: String, effect: Effect) {
        self.tell(Kind::Added, None, (None, Some(now)), effect);
    }

    /// All of it is gone.
    fn removed(&mut self, was: String, effect: Effect) {
        self.tell(Kind::Removed, None, (Some(was), None), effect);
    }

    fn key<T: Words + PartialEq>(&mut self, key: &str, old: &T, new: &T, effect: Effect) {
        if old != new {
            self.tell(Kind::Changed, Some(key), (old.words(), new.words()), effect);
        }
    }

    /// A list whose order means nothing, an entry at a time.
    fn list<T>(&mut self, key: &str, old: &[T], new: &[T], effect: Effect)
    where
        T: Words + Eq + Hash + Clone,
    {
        let before = self.changes.len();
        let (had, has): (HashSet<_>, HashSet<_>) = (old.iter().collect(), new.iter().collect());
        for gone in old.iter().filter(|entry| !has.contains(entry)) {
            self.tell(Kind::Removed, Some(key), (gone.words(), None), effect);
        }
        for added in new.iter().filter(|entry| !had.contains(entry)) {
            self.tell(Kind::Added, Some(key), (None, added.words()), effect);
        }
        // The same in another order, or one of them twice.
        if self.changes.len() == before {
            self.key(key, &old.to_vec(), &new.to_vec(), effect);
        }
    }

    /// [`Self::list`], where being absent means something of its own.
    fn given_list<T>(
        &mut self,
        key: &str,
        old: &Option<Vec<T>>,
        new: &Option<Vec<T>>,
        effect: Effect,
    ) where
        T: Words + Eq + Hash + Clone,
    {
        match (old, new) {
            (Some(old), Some(new)) => self.list(key, old, new, effect),
            _ => self.key(key, old, new, effect),
        }
    }

    /// The same things in another order.
    fn reordered(&mut self, key: &str, effect: Effect) {
        self.tell(Kind::Moved, Some(key), (None, None), effect);
    }
}

#[cfg(test)]
mod tests;
