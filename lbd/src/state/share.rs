//! What each server of a backend gets of new sessions: by its state, its weight, whether it is a
//! backup, and how long it has been up.

use std::time::Duration;

use lb_proto::reply::Because;

use super::load::STEPS;

/// What is known of one server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    /// It takes sessions that nothing ties to it.
    pub(super) up: bool,
    pub(super) ejected: bool,
    pub(super) weight: u16,
    pub(super) backup: bool,
    /// Up again for so long, of what its start takes; `None`: its start is over.
    pub(super) start: Option<(Duration, Duration)>,
}

impl Standing {
    /// How much of `whole` it has by its start, one at least.
    pub(super) fn part_of(&self, whole: u32) -> u32 {
        let steps = self
            .start
            .map_or(STEPS, |(risen, start)| step(risen, start));
        let part = u64::from(whole) * u64::from(steps) / u64::from(STEPS);
        part.max(1) as u32
    }
}

/// The shares, in the order given. A backup gets one only where no other server does, and only the
/// first such (HAProxy configuration manual, `backup`); one that is ejected only where nobody else
/// is left.
pub(super) fn shares(servers: &[Standing]) -> Vec<u32> {
    let usable = |server: &Standing| server.up && server.weight > 0;
    let rank = |server: &Standing| (server.ejected, server.backup);
    let best = servers.iter().filter(|s| usable(s)).map(rank).min();
    let gets = |server: &Standing| usable(server) && Some(rank(server)) == best;
    let first = servers.iter().position(gets);
    let share = |(at, server): (usize, &Standing)| {
        if !gets(server) || server.backup && Some(at) != first {
            return 0;
        }
        let steps = server.start.map(|(risen, whole)| step(risen, whole));
        u32::from(server.weight) * steps.unwrap_or(STEPS)
    };
    servers.iter().enumerate().map(share).collect()
}

/// Why the server at `at` gets what [`shares`] gives it.
pub(super) fn because(servers: &[Standing], at: usize) -> Because {
    let (all, server) = (shares(servers), &servers[at]);
    let gets = all[at] > 0;
    let starts = server
        .start
        .is_some_and(|(risen, whole)| step(risen, whole) < STEPS);
    let mut takers = servers.iter().zip(&all).filter(|(_, share)| **share > 0);
    match server {
        _ if !server.up => Because::NotUp,
        _ if server.weight == 0 => Because::Weightless,
        _ if gets && server.ejected => Because::LastResort,
        _ if gets && server.backup => Because::StandsIn,
        _ if gets && starts => Because::SlowStart,
        _ if gets => Because::Weight,
        _ if server.ejected => Because::Ejected,
        _ if takers.any(|(other, _)| other.backup) => Because::AnotherBackup,
        _ => Because::Spare,
    }
}

/// How many of [`STEPS`] a start has made, from 1 on.
fn step(risen: Duration, whole: Duration) -> u32 {
    let part = risen.as_secs_f64() / whole.as_secs_f64();
    ((part * f64::from(STEPS)) as u32).clamp(1, STEPS)
}

/// When a start makes its next step, from now; `None`: it is over.
pub(super) fn next_step(risen: Duration, whole: Duration) -> Option<Duration> {
    let next = whole.mul_f64(f64::from(step(risen, whole) + 1) / f64::from(STEPS));
    // A moment later, so that the step is surely made by then.
    let pause = next.saturating_sub(risen) + Duration::from_millis(1);
    (risen < whole).then_some(pause)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: Standing = Standing {
        up: true,
        ejected: false,
        weight: 1,
        backup: false,
        start: None,
    };

    #[test]
    fn backups_wait_until_no_other_server_is_up_and_then_the_first_takes_all() {
        let down = Standing { up: false, ..UP };
        let empty = Standing { weight: 0, ..UP };
        let backup = Standing { backup: true, ..UP };
        let lost = Standing {
            up: false,
            ..backup
        };
        assert_eq!(shares(&[backup, UP, backup]), [0, 16, 0]);
        assert_eq!(shares(&[down, backup, backup]), [0, 16, 0]);
        assert_eq!(shares(&[down, lost, backup]), [0, 0, 16]);
        assert_eq!(shares(&[empty, backup]), [0, 16]);
        assert_eq!(shares(&[down, lost]), [0, 0]);
    }

    #[test]
    fn every_share_has_a_reason() {
        let backup = Standing { backup: true, ..UP };
        let down = Standing { up: false, ..UP };
        let empty = Standing { weight: 0, ..UP };
        let ejected = Standing {
            ejected: true,
            ..UP
        };
        let start = |secs| Standing {
            start: Some((Duration::from_secs(secs), Duration::from_secs(32))),
            ..UP
        };
        let of = |servers: &[Standing]| -> Vec<Because> {
            (0..servers.len()).map(|at| because(servers, at)).collect()
        };
        use Because::*;
        let all = of(&[UP, start(4), start(40), empty, down, ejected, backup]);
        let reasons = [Weight, SlowStart, Weight, Weightless, NotUp, Ejected, Spare];
        assert_eq!(all, reasons);
        assert_eq!(
            of(&[down, backup, backup]),
            [NotUp, StandsIn, AnotherBackup]
        );
        assert_eq!(of(&[ejected, down]), [LastResort, NotUp]);
    }

    #[test]
    fn an_ejected_server_is_the_last_choice_and_better_than_none() {
        let ejected = Standing {
            ejected: true,
            ..UP
        };
        let backup = Standing { backup: true, ..UP };
        let down = Standing { up: false, ..UP };
        assert_eq!(shares(&[ejected, UP, backup]), [0, 16, 0]);
        assert_eq!(shares(&[ejected, down, backup]), [0, 0, 16]);
        assert_eq!(shares(&[ejected, down]), [16, 0]);
    }

    #[test]
    fn a_share_grows_to_the_whole_weight_in_steps() {
        let whole = Duration::from_secs(32);
        let share = |s| {
            let start = Some((Duration::from_secs(s), whole));
            shares(&[Standing {
                weight: 3,
                start,
                ..UP
            }])[0]
        };
        let (first, last) = (share(0), share(32));
        assert_eq!((first, share(16), last, share(99)), (3, 24, 48, 48));
        assert!((0..32).all(|s| share(s) <= share(s + 1)));
    }

    #[test]
    fn every_step_is_waited_for_and_the_last_ends_it() {
        for whole in [Duration::from_millis(1), Duration::from_secs(30)] {
            let (mut risen, mut steps) = (Duration::ZERO, 0);
            while let Some(pause) = next_step(risen, whole) {
                let before = step(risen, whole);
                risen += pause;
                assert!(step(risen, whole) > before || risen >= whole);
                steps += 1;
            }
            assert_eq!(step(risen, whole), STEPS);
            assert!(steps <= STEPS);
        }
    }
}
