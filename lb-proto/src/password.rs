//! Passwords as argon2id hashes (RFC 9106) in the PHC string format: made, judged and compared.

use std::fmt;
use std::str::FromStr;

use argon2::{ARGON2ID_IDENT, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier};

/// What one comparison may cost: whoever wants more than that of a login wants it of every guess.
const MOST_MEMORY_KIB: u32 = 256 * 1024;
const MOST_PASSES: u32 = 16;
const MOST_LANES: u32 = 16;

/// A sentence or two. A longer one is a file, given by mistake.
pub const MAX_PASSWORD: usize = 1024;

/// What a password is known by, and not told by.
#[derive(Clone, PartialEq, Eq)]
pub struct Hash(PasswordHash);

/// Why a text is no hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoHash {
    #[error("this is no argon2id hash")]
    Other,
    #[error("to compare with this hash takes more than {} MiB, {MOST_PASSES} passes or {MOST_LANES} lanes", MOST_MEMORY_KIB / 1024)]
    TooDear,
}

/// Why a password is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPassword {
    #[error("the password is empty")]
    Empty,
    #[error("the password is longer than {MAX_PASSWORD} bytes")]
    TooLong,
    #[error("the password has control characters")]
    Control,
    #[error("the password cannot be hashed")]
    Unhashable,
}

impl Hash {
    /// With a salt of its own, and what argon2's authors hold to be enough (19 MiB, 2 passes).
    ///
    /// # Errors
    /// Where nobody could log in with it.
    pub fn of(password: &str) -> Result<Self, BadPassword> {
        match password {
            "" => Err(BadPassword::Empty),
            long if long.len() > MAX_PASSWORD => Err(BadPassword::TooLong),
            steers if steers.contains(char::is_control) => Err(BadPassword::Control),
            password => Argon2::default()
                .hash_password(password.as_bytes())
                .map(Self)
                .map_err(|_| BadPassword::Unhashable),
        }
    }

    /// What a comparison takes, to be set against that of other hashes.
    pub fn cost(&self) -> u64 {
        Params::try_from(&self.0).map_or(0, |params| {
            u64::from(params.m_cost()) * u64::from(params.t_cost())
        })
    }

    /// Whether it is this password's. Takes some 50 ms of a CPU, and the memory that the hash names.
    pub fn fits(&self, password: &str) -> bool {
        let verified = Argon2::default().verify_password(password.as_bytes(), &self.0);
        password.len() <= MAX_PASSWORD && verified.is_ok()
    }
}

impl FromStr for Hash {
    type Err = NoHash;
    fn from_str(text: &str) -> Result<Self, NoHash> {
        let hash = PasswordHash::new(text).map_err(|_| NoHash::Other)?;
        let params = Params::try_from(&hash).map_err(|_| NoHash::Other)?;
        if hash.algorithm != ARGON2ID_IDENT || hash.salt.is_none() || hash.hash.is_none() {
            return Err(NoHash::Other);
        }
        let dear = params.m_cost() > MOST_MEMORY_KIB
            || params.t_cost() > MOST_PASSES
            || params.p_cost() > MOST_LANES;
        match dear {
            true => Err(NoHash::TooDear),
            false => Ok(Self(hash)),
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Not for logs.
impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_fits_its_password_alone_and_is_read_again() {
        let hash = Hash::of("correct horse").unwrap();
        assert!(hash.fits("correct horse"));
        for other in ["", "correct hors", "correct horse ", "Correct horse"] {
            assert!(!hash.fits(other), "{other}");
        }
        let text = hash.to_string();
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_eq!(text.parse(), Ok(hash.clone()));
        assert_ne!(Hash::of("correct horse").unwrap(), hash, "the same salt");
        assert!(!format!("{hash:?}").contains('$'));
    }

    #[test]
    fn other_texts_are_no_hashes() {
        let good = Hash::of("x").unwrap().to_string();
        for bad in [
            "",
            "secret",
            "$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe",
            &good.replace("argon2id", "argon2i"),
            &good[..good.rfind('$').unwrap()],
            &good.replace("m=19456", "m=1"),
        ] {
            assert_eq!(bad.parse::<Hash>(), Err(NoHash::Other), "{bad}");
        }
        for (cheap, dear) in [("m=19456", "m=4194304"), ("t=2", "t=999"), ("p=1", "p=64")] {
            let dear = good.replace(cheap, dear);
            assert_eq!(dear.parse::<Hash>(), Err(NoHash::TooDear), "{dear}");
        }
    }

    #[test]
    fn what_nobody_can_log_in_with_is_refused() {
        assert_eq!(Hash::of(""), Err(BadPassword::Empty));
        assert_eq!(Hash::of(&"a".repeat(1025)), Err(BadPassword::TooLong));
        assert_eq!(Hash::of("a\nb"), Err(BadPassword::Control));
    }
}
