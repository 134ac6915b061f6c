//! Which things of two lists are the same thing, by what they are called.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Two lists, matched.
pub(super) struct Matched<'a, T> {
    /// Those of the old alone, with their positions there.
    pub(super) gone: Vec<(usize, &'a T)>,
    /// Those of the new, in its order, each with its like in the old.
    pub(super) present: Vec<Present<'a, T>>,
}

pub(super) struct Present<'a, T> {
    /// With its position.
    pub(super) old: Option<(usize, &'a T)>,
    pub(super) new: &'a T,
    /// It stands elsewhere among those that both have.
    pub(super) moved: bool,
}

impl<T> Matched<'_, T> {
    pub(super) fn is_reordered(&self) -> bool {
        self.present.iter().any(|one| one.moved)
    }
}

/// Several of the same key are matched in their order.
pub(super) fn matched<'a, T, K: Eq + Hash>(
    old: &'a [T],
    new: &'a [T],
    key: impl Fn(&'a T) -> K,
) -> Matched<'a, T> {
    let mut known: HashMap<K, VecDeque<usize>> = HashMap::new();
    for (at, one) in old.iter().enumerate() {
        known.entry(key(one)).or_default().push_back(at);
    }
    let mut present: Vec<Present<'a, T>> = new
        .iter()
        .map(|new| {
            let at = known.get_mut(&key(new)).and_then(VecDeque::pop_front);
            let old = at.map(|at| (at, &old[at]));
            let moved = false;
            Present { old, new, moved }
        })
        .collect();
    let mut gone: Vec<usize> = known.into_values().flatten().collect();
    gone.sort_unstable();
    mark_moved(&mut present);
    Matched {
        gone: gone.into_iter().map(|at| (at, &old[at])).collect(),
        present,
    }
}

/// As many as can stay where they are, in the order that they had: the longest rising row of their
/// old positions. The others have moved.
fn mark_moved<T>(present: &mut [Present<'_, T>]) {
    let positions: Vec<(usize, usize)> = present
        .iter()
        .enumerate()
        .filter_map(|(at, one)| Some((at, one.old?.0)))
        .collect();
    // By length: the end of the row with the lowest position, as an index of `positions`.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(positions.len());
    for (i, (_, position)) in positions.iter().enumerate() {
        let length = ends.partition_point(|end| positions[*end].1 < *position);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        match ends.get_mut(length) {
            Some(end) => *end = i,
            None => ends.push(i),
        }
    }
    for (at, _) in &positions {
        present[*at].moved = true;
    }
    let mut stays = ends.last().copied();
    while let Some(i) = stays {
        present[positions[i].0].moved = false;
        stays = before[i];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is gone, what is new, what has moved.
    fn told(old: &str, new: &str) -> [String; 3] {
        let (old, new): (Vec<char>, Vec<char>) = (old.chars().collect(), new.chars().collect());
        let all = matched(&old, &new, |c| *c);
        let of = |which: fn(&&Present<'_, char>) -> bool| {
            let found = all.present.iter().filter(which);
            found.map(|one| *one.new).collect()
        };
        [
            all.gone.iter().map(|(_, c)| **c).collect(),
            of(|one| one.old.is_none()),
            of(|one| one.moved),
        ]
    }

    #[test]
    fn as_few_as_possible_have_moved() {
        assert_eq!(told("abc", "abc"), ["", "", ""]);
        assert_eq!(told("abc", "ac"), ["b", "", ""]);
        assert_eq!(told("abc", "abdc"), ["", "d", ""]);
        assert_eq!(told("abcde", "eabcd"), ["", "", "e"]);
        assert_eq!(told("abcde", "bcdea"), ["", "", "a"]);
        assert_eq!(told("abc", "cxa"), ["b", "x", "c"]);
        assert_eq!(told("aab", "baa"), ["", "", "b"]);
        assert_eq!(told("aa", "aaa"), ["", "a", ""]);
        assert_eq!(told("", ""), ["", "", ""]);
    }
}
