//! What OpenSSL's responses say, and that none of them, however damaged, makes it panic.

use std::collections::HashMap;
use std::sync::LazyLock;

use ::pem::parse_many;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// By the label in `samples.pem`.
static SAMPLES: LazyLock<HashMap<String, Vec<u8>>> = LazyLock::new(|| {
    let samples = parse_many(include_bytes!("samples.pem")).unwrap();
    let samples = samples.into_iter();
    samples
        .map(|one| (one.tag().to_owned(), one.into_contents()))
        .collect()
});

/// 2026-11-28 07:48:11 UTC.
const MADE: i64 = 1_795_852_091;
const DAY: i64 = 24 * 60 * 60;

fn read(response: &[u8]) -> Result<Ocsp, OcspUnfit> {
    let leaf = CertificateDer::from_slice(&SAMPLES["CERTIFICATE"]);
    Ocsp::read(response.to_vec(), &leaf)
}

#[test]
fn what_an_authority_says_is_understood() {
    for (name, days, revoked) in [
        ("GOOD", 7 * DAY, false),
        ("REVOKED", 7 * DAY, true),
        ("BOTH", 90 * 60, false),
    ] {
        let said = read(&SAMPLES[name]).unwrap();
        let period = Period {
            this_update: MADE,
            next_update: MADE + days,
        };
        assert_eq!((said.period, said.revoked), (period, revoked), "{name}");
        assert_eq!(said.response, SAMPLES[name], "{name}");
    }
}

#[test]
fn what_says_nothing_that_clients_may_be_shown_is_told_by_its_reason() {
    const TRY_LATER: &[u8] = &[0x30, 3, 0x0a, 1, 3];
    let good = &SAMPLES["GOOD"];
    let followed = [good, &b"\n"[..]].concat();
    for (response, unfit) in [
        (&SAMPLES["OTHER"][..], OcspUnfit::OfAnother),
        (&SAMPLES["UNKNOWN"], OcspUnfit::Unknown),
        (&SAMPLES["ENDLESS"], OcspUnfit::Endless),
        (TRY_LATER, OcspUnfit::Failed),
        (&SAMPLES["CERTIFICATE"], OcspUnfit::Malformed),
        (&followed, OcspUnfit::Malformed),
        (b"", OcspUnfit::Malformed),
    ] {
        assert_eq!(read(response), Err(unfit));
    }
}

#[test]
fn it_holds_up_to_its_end_and_no_longer() {
    let period = read(&SAMPLES["GOOD"]).unwrap().period;
    let end = MADE + 7 * DAY;
    let holds = |now| period.holds(now);
    assert!([MADE, end - 1, end].into_iter().all(holds));
    assert!(![MADE - DAY, end + 1, end + DAY].into_iter().any(holds));
    assert_eq!(period.validity(end + 1), Validity::Expired(0));
    assert_eq!(period.validity(MADE - DAY), Validity::NotYet);
}

#[test]
fn a_moment_is_written_as_lbctl_does() {
    assert_eq!(moment(MADE), "2026-11-28 07:48:11 UTC");
    assert_eq!(moment(951_782_399), "2000-02-28 23:59:59 UTC");
}

#[test]
fn the_clock_of_the_authority_may_be_a_little_ahead() {
    let period = read(&SAMPLES["GOOD"]).unwrap().period;
    assert!(period.holds(MADE - 300));
    assert!(!period.holds(MADE - 301));
}

#[test]
fn no_part_of_one_and_none_with_another_bit_makes_it_panic() {
    for whole in SAMPLES.values() {
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), Err(OcspUnfit::Malformed));
        }
        let mut damaged = whole.clone();
        for bit in 0..whole.len() * 8 {
            damaged[bit / 8] ^= 1 << (bit % 8);
            let _ = read(&damaged);
            damaged[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        noise in proptest::collection::vec(any::<u8>(), 0..300),
        at in any::<Index>(),
        length in 0_usize..40,
    ) {
        let _ = read(&noise);
        for whole in SAMPLES.values() {
            let at = at.index(whole.len());
            let end = whole.len().min(at + length);
            let mut damaged = whole.clone();
            damaged.splice(at..end, noise.iter().copied());
            let _ = read(&damaged);
        }
    }
}
