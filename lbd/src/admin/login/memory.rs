//! Claims that were compared a while ago, so that neither a scrape each second nor one with an old password costs a
//! hash each. By a keyed hash of who claimed what, and of what it was compared with: what a reload changes is
//! forgotten by that.

use std::cell::LazyCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::rand::SystemRandom;
use lb_proto::config::User;

use super::basic::Claim;

/// A claim, as it is remembered.
pub(super) type Tag = [u8; 32];

/// How long after it was last shown. Each one is compared anew after it.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// More users than this hardly log in within that time.
const MOST_GOOD: usize = 256;

/// What guesses push out is shown more rarely than they come.
const MOST_WRONG: usize = 4096;

/// How often the log tells of one that is wrong and comes again and again.
const TOLD: Duration = Duration::from_secs(15 * 60);

pub(super) struct Memory {
    /// `None`: there is no randomness, and nothing is remembered. Made for the first login: it takes a tenth of a
    /// second to gather.
    key: LazyCell<Option<hmac::Key>>,
    good: HashMap<Tag, Shown>,
    wrong: HashMap<Tag, Shown>,
}

struct Shown {
    last: Instant,
    told: Instant,
}

/// What is remembered of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recalled {
    Good,
    Wrong { tell: bool },
}

impl Memory {
    pub(super) fn new() -> Self {
        Self {
            key: LazyCell::new(|| hmac::Key::generate(HMAC_SHA256, &SystemRandom::new()).ok()),
            good: HashMap::new(),
            wrong: HashMap::new(),
        }
    }

    /// Goes on to remember it.
    pub(super) fn recall(&mut self, tag: &Tag, now: Instant) -> Option<Recalled> {
        let is_good = self.good.contains_key(tag);
        let shown = match is_good {
            true => self.good.get_mut(tag),
            false => self.wrong.get_mut(tag),
        };
        let shown = shown.filter(|shown| shown.is_remembered(now))?;
        shown.last = now;
        let tell = now.saturating_duration_since(shown.told) >= TOLD;
        if tell {
            shown.told = now;
        }
        Some(match is_good {
            true => Recalled::Good,
            false => Recalled::Wrong { tell },
        })
    }

    pub(super) fn remember(&mut self, tag: Tag, is_good: bool, now: Instant) {
        let (shown, most) = match is_good {
            true => (&mut self.good, MOST_GOOD),
            false => (&mut self.wrong, MOST_WRONG),
        };
        if shown.len() >= most {
            shown.retain(|_, shown| shown.is_remembered(now));
        }
        if shown.len() >= most {
            let oldest = shown.iter().min_by_key(|(_, shown)| shown.last);
            if let Some(oldest) = oldest.map(|(tag, _)| *tag) {
                shown.remove(&oldest);
            }
        }
        let last = now;
        shown.insert(tag, Shown { last, told: now });
    }

    /// `user` has that name; where nobody has, `compared` stands in.
    pub(super) fn tag(
        &self,
        claim: &Claim,
        user: Option<&User>,
        compared: Option<&User>,
    ) -> Option<Tag> {
        let hash = compared.map(|user| user.password_hash.to_string());
        let is_users = if user.is_some() { "user" } else { "" };
        let hash = hash.unwrap_or_default();
        let mut all = Vec::new();
        for part in [is_users, &claim.name, &claim.password, &hash] {
            all.extend_from_slice(&(part.len() as u64).to_be_bytes());
            all.extend_from_slice(part.as_bytes());
        }
        let tag = hmac::sign(self.key.as_ref()?, &all);
        tag.as_ref().try_into().ok()
    }
}

impl Shown {
    fn is_remembered(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) < REMEMBERED
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
    fn a_claim_is_another_with_anything_else_in_it() {
        let memory = Memory::new();
        let (ops, anew) = (user("ops", "secret"), user("ops", "secret"));
        let tag = |claim: &Claim, user: &User| memory.tag(claim, Some(user), Some(user)).unwrap();
        let good = claim("ops", "secret");
        let known = tag(&good, &ops);
        assert_eq!(tag(&claim("ops", "secret"), &ops), known);
        assert_ne!(tag(&claim("ops", "secret2"), &ops), known);
        assert_ne!(tag(&claim("opss", "ecret"), &ops), known);
        assert_ne!(tag(&good, &anew), known, "a reload changed the hash");
        let nobodys = memory.tag(&good, None, Some(&ops)).unwrap();
        assert_ne!(nobodys, known, "a reload gave the hash to this name");
        let elsewhere = Memory::new();
        assert_ne!(elsewhere.tag(&good, Some(&ops), Some(&ops)).unwrap(), known);
    }

    #[test]
    fn what_is_used_is_remembered_and_what_is_not_is_not() {
        let (mut memory, start) = (Memory::new(), Instant::now());
        let (good, wrong) = ([1; 32], [2; 32]);
        assert_eq!(memory.recall(&good, start), None);
        memory.remember(good, true, start);
        memory.remember(wrong, false, start);
        let mut now = start;
        for _ in 0..3 {
            now += REMEMBERED / 2;
            assert_eq!(memory.recall(&good, now), Some(Recalled::Good));
            let tell = Some(Recalled::Wrong { tell: true });
            assert_eq!(memory.recall(&wrong, now), tell);
            let silent = Some(Recalled::Wrong { tell: false });
            assert_eq!(memory.recall(&wrong, now), silent);
        }
        now += REMEMBERED;
        assert_eq!(memory.recall(&good, now), None);
        assert_eq!(memory.recall(&wrong, now), None);
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_used() {
        let (mut memory, start) = (Memory::new(), Instant::now());
        let (good, wrong) = ([255; 32], [254; 32]);
        memory.remember(good, true, start);
        memory.remember(wrong, false, start);
        for n in 0..10_000u32 {
            let mut tag = Tag::default();
            tag[..4].copy_from_slice(&n.to_be_bytes());
            let now = start + n * Duration::from_millis(1);
            memory.remember(tag, n % 2 == 0, now);
            if n % 200 == 0 {
                assert_eq!(memory.recall(&good, now), Some(Recalled::Good));
                assert!(memory.recall(&wrong, now).is_some());
            }
        }
        let (good, wrong) = (memory.good.len(), memory.wrong.len());
        assert_eq!((good, wrong), (MOST_GOOD, MOST_WRONG));
    }
}
