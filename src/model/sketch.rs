//! Durations as a sketch: how many lay where, to one per cent, in a form that adds up.

use std::time::Duration;

/// Relative error of a quantile.
pub const SKETCH_ERROR: f64 = 0.01;

/// How many durations fell into each of the buckets (γ^(i−1), γ^i] microseconds with γ = (1+α)/(1−α), α = [`SKETCH_ERROR`].
///
/// Source: C. Masson, J. E. Rim, H. K. Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees",
/// PVLDB 12 (2019), without its collapsing of buckets: there are at most 1,300 between a microsecond and a week. Merging adds bucket
/// by bucket, so the sketch of all runs does not depend on the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    /// In their order. Thousands of sketches are read at a time, so a list and no tree.
    buckets: Vec<(u16, u64)>,
}

/// ln γ = 2·artanh α.
fn ln_gamma() -> f64 {
    2.0 * SKETCH_ERROR.atanh()
}

impl Sketch {
    /// Adds one duration; less than a microsecond counts as one.
    pub fn add(&mut self, duration: Duration) {
        let bucket = bucket(duration);
        match self.buckets.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(at) => self.buckets[at].1 += 1,
            Err(at) => self.buckets.insert(at, (bucket, 1)),
        }
    }

    /// Adds all of another sketch.
    pub fn merge(&mut self, other: &Sketch) {
        let mut merged: Vec<(u16, u64)> = Vec::with_capacity(self.buckets.len() + other.buckets.len());
        let (mut own, mut theirs) = (self.buckets.iter().peekable(), other.buckets.iter().peekable());
        while let Some((bucket, count)) = match (own.peek(), theirs.peek()) {
            (Some(a), Some(b)) if a.0 <= b.0 => own.next(),
            (Some(_), None) => own.next(),
            _ => theirs.next(),
        } {
            match merged.last_mut().filter(|last| last.0 == *bucket) {
                Some(last) => last.1 += count,
                None => merged.push((*bucket, *count)),
            }
        }
        self.buckets = merged;
    }

    /// Durations in it.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// The duration below which a share `q` of all lies, within [`SKETCH_ERROR`]; `None` without any.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let last = self.count().checked_sub(1)?;
        let rank = (q.clamp(0.0, 1.0) * last as f64).floor() as u64;
        let mut below = 0;
        let found = self.buckets.iter().find(|(_, count)| {
            below += count;
            below > rank
        });
        found.map(|(bucket, _)| middle(*bucket))
    }

    /// Their mean, within [`SKETCH_ERROR`]; `None` without any.
    pub fn mean(&self) -> Option<Duration> {
        let sum: f64 = self.buckets().map(|(middle, count)| middle.as_secs_f64() * count as f64).sum();
        (self.count() > 0).then(|| Duration::from_secs_f64(sum / self.count() as f64))
    }

    /// How many were longer than a duration, within [`SKETCH_ERROR`] of it.
    pub fn above(&self, duration: Duration) -> u64 {
        let bucket = bucket(duration);
        self.buckets.iter().rev().take_while(|(longer, _)| *longer > bucket).map(|(_, count)| count).sum()
    }

    /// Without so many of the shortest.
    pub fn without_shortest(&self, count: u64) -> Sketch {
        Sketch { buckets: without(self.buckets.iter(), count) }
    }

    /// Without so many of the longest.
    pub fn without_longest(&self, count: u64) -> Sketch {
        let mut buckets = without(self.buckets.iter().rev(), count);
        buckets.reverse();
        Sketch { buckets }
    }

    /// Its buckets, each with the duration in its middle.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        self.buckets.iter().map(|(bucket, count)| (middle(*bucket), *count))
    }

    /// As bytes: for each bucket the distance to the one before, then the count, both as little-endian base-128 numbers.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(3 * self.buckets.len());
        let mut before = 0;
        for (bucket, count) in &self.buckets {
            put(&mut bytes, u64::from(bucket - before));
            put(&mut bytes, *count);
            before = *bucket;
        }
        bytes
    }

    /// From bytes; what is no sketch is `None`.
    pub fn decode(mut bytes: &[u8]) -> Option<Sketch> {
        let (mut sketch, mut at) = (Sketch { buckets: Vec::with_capacity(bytes.len() / 2) }, 0u16);
        while !bytes.is_empty() {
            let apart = u16::try_from(take(&mut bytes)?).ok()?;
            let count = take(&mut bytes)?;
            at = at.checked_add(apart)?;
            match sketch.buckets.last_mut().filter(|_| apart == 0) {
                Some(last) => last.1 = last.1.checked_add(count)?,
                None => sketch.buckets.push((at, count)),
            }
        }
        Some(sketch)
    }
}

/// Takes `count` away from the first buckets.
fn without<'b>(buckets: impl Iterator<Item = &'b (u16, u64)>, mut count: u64) -> Vec<(u16, u64)> {
    let left = buckets.filter_map(|(bucket, held)| {
        let taken = count.min(*held);
        count -= taken;
        (*held > taken).then_some((*bucket, held - taken))
    });
    left.collect()
}

fn bucket(duration: Duration) -> u16 {
    let microseconds = (duration.as_nanos() as f64 / 1_000.0).max(1.0);
    (microseconds.ln() / ln_gamma()).ceil() as u16
}

/// 2·γ^i/(γ+1): no duration of the bucket is further than α from it.
fn middle(bucket: u16) -> Duration {
    let gamma = ln_gamma().exp();
    Duration::from_secs_f64(2.0 * (f64::from(bucket) * ln_gamma()).exp() / (gamma + 1.0) / 1e6)
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantiles_are_within_one_per_cent() {
        let mut sketch = Sketch::default();
        (1..=10_000u64).for_each(|i| sketch.add(Duration::from_micros(i * 37)));
        for q in [0.0, 0.1, 0.5, 0.9, 0.99, 1.0] {
            let exact = ((q * 9_999.0f64).floor() + 1.0) * 37.0;
            let found = sketch.quantile(q).expect("not empty").as_nanos() as f64 / 1_000.0;
            assert!((found - exact).abs() <= exact * SKETCH_ERROR * 1.001, "{q}: {found} for {exact}");
        }
        assert_eq!(sketch.above(Duration::from_secs(1)), 0);
        assert_eq!(Sketch::default().quantile(0.5), None);
    }

    #[test]
    fn the_shortest_or_the_longest_can_be_left_out() {
        let of = |durations: &[u64]| {
            durations.iter().fold(Sketch::default(), |mut sketch, millis| {
                sketch.add(Duration::from_millis(*millis));
                sketch
            })
        };
        let all = of(&[1, 1, 1, 50, 90, 90]);
        assert_eq!(all.without_shortest(4), of(&[90, 90]));
        assert_eq!(all.without_shortest(2), of(&[1, 50, 90, 90]));
        assert_eq!(all.without_longest(1), of(&[1, 1, 1, 50, 90]));
        assert_eq!((all.without_shortest(0), all.without_longest(9)), (all.clone(), Sketch::default()));
    }

    proptest! {
        #[test]
        fn a_sketch_survives_its_bytes_and_merging_is_adding(durations in prop::collection::vec(0u64..1 << 40, 0..60), split in 0usize..60) {
            let sketch = |durations: &[u64]| durations.iter().fold(Sketch::default(), |mut sketch, micros| {
                sketch.add(Duration::from_micros(*micros));
                sketch
            });
            let (left, right) = durations.split_at(split.min(durations.len()));
            let mut merged = sketch(right);
            merged.merge(&sketch(left));
            prop_assert_eq!(&merged, &sketch(&durations));
            prop_assert_eq!(Sketch::decode(&merged.encode()), Some(merged));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Sketch::decode(&bytes);
        }
    }
}
