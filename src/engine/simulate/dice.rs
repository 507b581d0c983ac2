//! What a simulation draws.

use crate::model::SplitMix;

/// Numbers from a seed.
pub(super) struct Dice(SplitMix);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(SplitMix(seed))
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0.draw() % bound.max(1)
    }

    /// True so many times of a thousand.
    pub(super) fn permille(&mut self, share: u64) -> bool {
        self.below(1000) < share
    }

    /// One of several; `None` of none.
    pub(super) fn one<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len() as u64) as usize)
    }
}

/// A number below 100 that follows from what is hashed, and from nothing else.
pub(super) fn percent_of(parts: &[&str]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(first) % 100
}
