//! The least of many numbers that threads change all the time, without a lock.
//!
//! A tree over the numbers: each node holds the least of what is under it, so finding and changing
//! take as many steps as the tree is high. Whoever changes a number then brings the nodes above it
//! up to date, each until what it wrote is what it reads: so a node is right as soon as nobody is at
//! work on it. While numbers only grow, a node is never above the truth, and a number that is found
//! at or below the root's is a least one.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

/// The nodes; the numbers themselves stay with their owner, who is asked for the one at a position.
/// Nobody's number is `u64::MAX`.
#[derive(Debug)]
pub(crate) struct Least {
    /// The node `n` is above `2n` and `2n + 1`; the root is 1. From `nodes.len()` on stand for the
    /// numbers.
    nodes: Box<[AtomicU64]>,
}

impl Least {
    /// Over so many numbers; the tree is right after [`Least::renew`].
    pub(crate) fn new(numbers: usize) -> Self {
        let width = numbers.next_power_of_two().max(2);
        let nodes = (0..width).map(|_| AtomicU64::new(u64::MAX));
        Self {
            nodes: nodes.collect(),
        }
    }

    /// Brings the whole tree up to date.
    pub(crate) fn renew(&self, number: impl Fn(usize) -> u64) {
        for node in (1..self.nodes.len()).rev() {
            self.settle(node, &number);
        }
    }

    /// Says that a number grew.
    pub(crate) fn grew(&self, at: usize, number: impl Fn(usize) -> u64) {
        let mut node = (self.nodes.len() + at) / 2;
        // Where the least stays the same, so it does above.
        while node > 0 && self.settle(node, &number) {
            node /= 2;
        }
    }

    /// Says that a number changed in any way.
    pub(crate) fn changed(&self, at: usize, number: impl Fn(usize) -> u64) {
        let mut node = (self.nodes.len() + at) / 2;
        while node > 0 {
            self.settle(node, &number);
            node /= 2;
        }
    }

    /// The first position from `from` on, and then from the beginning, whose number is a least one;
    /// and what its number may be at most to be one. `None`: all are `u64::MAX`.
    pub(crate) fn find(&self, from: usize, number: impl Fn(usize) -> u64) -> Option<(usize, u64)> {
        loop {
            let least = self.nodes[1].load(SeqCst);
            if least == u64::MAX {
                return None;
            }
            let under = self.next_node(from, least, &number).unwrap_or(1);
            let at = self.descend(under, least, &number);
            if number(at) <= least {
                return Some((at, least));
            }
            // A node above it is behind.
            self.changed(at, &number);
        }
    }

    /// The first node that begins at or after a position and has a number of `most` or less.
    fn next_node(&self, from: usize, most: u64, number: impl Fn(usize) -> u64) -> Option<usize> {
        if from >= self.nodes.len() {
            return None;
        }
        let mut node = self.nodes.len() + from;
        while self.value(node, &number) > most {
            while node % 2 == 1 {
                node /= 2;
            }
            if node == 0 {
                return None;
            }
            node += 1;
        }
        Some(node)
    }

    /// The first position under a node whose number is `most` or less; the last one, if none is.
    fn descend(&self, mut node: usize, most: u64, number: impl Fn(usize) -> u64) -> usize {
        while node < self.nodes.len() {
            node *= 2;
            if self.value(node, &number) > most {
                node += 1;
            }
        }
        node - self.nodes.len()
    }

    fn value(&self, node: usize, number: impl Fn(usize) -> u64) -> u64 {
        match self.nodes.get(node) {
            Some(node) => node.load(SeqCst),
            None => number(node - self.nodes.len()),
        }
    }

    /// Writes what a node should be until it is. True: it was something else.
    fn settle(&self, node: usize, number: impl Fn(usize) -> u64) -> bool {
        let mut wrote = false;
        loop {
            let is = self.nodes[node].load(SeqCst);
            let should = self
                .value(2 * node, &number)
                .min(self.value(2 * node + 1, &number));
            if is == should {
                return wrote;
            }
            wrote = true;
            let _ = self.nodes[node].compare_exchange(is, should, SeqCst, SeqCst);
        }
    }
}
