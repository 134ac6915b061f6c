//! `random` (HAProxy configuration manual, `balance`): of two servers drawn by weight, the one that
//! is less loaded. Ten processes that pick like that spread better than ten that pick the least.

use super::round_robin::Rotation;
use crate::state::Load;

pub(super) fn pick<'l>(
    rotation: &Rotation,
    random: u64,
    load: impl Fn(usize) -> &'l Load,
    may: impl Fn(usize) -> bool,
) -> Option<usize> {
    let (a, b) = rotation.two(random)?;
    match (may(a), may(b)) {
        (true, true) if load(b).cost() < load(a).cost() => Some(b),
        (true, _) => Some(a),
        (false, true) => Some(b),
        (false, false) => rotation.from(random).find(|at| may(*at)),
    }
}
