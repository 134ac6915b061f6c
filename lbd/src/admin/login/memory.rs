//! Logins that were good a while ago, so that a scrape each second does not cost a hash each. By a keyed hash of who
//! logged in, with what, and of what it was compared with: whom a reload changes is forgotten by that.

use std::cell::LazyCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::rand::SystemRandom;
use lb_proto::config::User;

use super::basic::Claim;

/// How long a login is remembered. Each one is compared anew after it.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);

/// More users than this hardly log in within that time.
const MOST: usize = 256;

pub(super) struct Memory {
    /// `None`: there is no randomness, and nobody is remembered. Made for the first login: it takes a tenth of a
    /// second to gather.
    key: LazyCell<Option<hmac::Key>>,
    good: HashMap<Vec<u8>, Instant>,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self {
            key: LazyCell::new(|| hmac::Key::generate(HMAC_SHA256, &SystemRandom::new()).ok()),
            good: HashMap::new(),
        }
    }

    pub(super) fn knows(&self, claim: &Claim, user: &User, now: Instant) -> bool {
        let tag = self.tag(claim, user);
        let until = tag.and_then(|tag| self.good.get(&tag));
        until.is_some_and(|until| now < *until)
    }

    pub(super) fn remember(&mut self, claim: &Claim, user: &User, now: Instant) {
        let Some(tag) = self.tag(claim, user) else {
            return;
        };
        self.good.retain(|_, until| now < *until);
        if self.good.len() >= MOST {
            self.good.clear();
        }
        self.good.insert(tag, now + REMEMBERED);
    }

    fn tag(&self, claim: &Claim, user: &User) -> Option<Vec<u8>> {
        let hash = user.password_hash.to_string();
        let mut all = Vec::new();
        for part in [&user.name, &claim.password, &hash] {
            all.extend_from_slice(&(part.len() as u64).to_be_bytes());
            all.extend_from_slice(part.as_bytes());
        }
        let tag = hmac::sign(self.key.as_ref()?, &all);
        Some(tag.as_ref().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use lb_proto::config::Role;
    use lb_proto::password::Hash;

    use super::*;

    fn user(name: &str, password: &str) -> User {
        User {
            name: name.to_owned(),
            password_hash: Hash::of(password).unwrap(),
            role: Role::Viewer,
        }
    }

    fn claim(name: &str, password: &str) -> Claim {
        Claim {
            name: name.to_owned(),
            password: password.to_owned(),
        }
    }

    #[test]
    fn a_login_is_remembered_for_a_while_and_for_nobody_else() {
        let (mut memory, now) = (Memory::new(), Instant::now());
        let (ops, good) = (user("ops", "secret"), claim("ops", "secret"));
        assert!(!memory.knows(&good, &ops, now));
        memory.remember(&good, &ops, now);
        assert!(memory.knows(&good, &ops, now));
        assert!(!memory.knows(&claim("ops", "secret2"), &ops, now));
        let anew = user("ops", "secret");
        assert!(
            !memory.knows(&good, &anew, now),
            "a reload changed the hash"
        );
        assert!(!memory.knows(&good, &ops, now + REMEMBERED));
    }

    #[test]
    fn it_is_bounded() {
        let (mut memory, now) = (Memory::new(), Instant::now());
        let ops = user("ops", "secret");
        for n in 0..1000 {
            memory.remember(&claim("ops", &n.to_string()), &ops, now);
        }
        assert!(memory.good.len() <= MOST);
    }
}
