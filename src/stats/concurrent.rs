//! Two versions that serve live runs at the same time, drawn at random: whether the new one fails more.
//!
//! Owns the e-process over failures, and as tests the exact computation of how often it stops a version that is no worse. Deliberately
//! does not draw, count or decide.
//!
//! Nothing has to be known of the rates, and they may change all the time (an outage, a new kind of input): given that a run failed, it
//! was the new version's with the probability of being drawn to it, whenever that was, as long as the versions fail alike.

use super::ln_beta;

/// An e-value at which a rollout is stopped. By Ville's inequality a version that fails no more than the other one is stopped with
/// probability at most 1/100, however often one looks.
pub const STOP: f64 = 100.0;

/// An e-value at which a rollout does not go on, but waits for more runs.
pub const DOUBT: f64 = 20.0;

/// Larger values are not told apart: they are numbers that can be written down.
const LARGEST: f64 = 1e300;

/// Failures while the new version had one share of the runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Failures {
    /// Of the new version, between 0 and 1.
    pub share: f64,
    pub new: u64,
    pub old: u64,
}

/// Natural logarithm of the e-value against "the new version fails as often as the old one".
///
/// For each share ρ with f1 failures of the new and f0 of the old version: B(½+f1, ½+f0) / B(½, ½) / (ρ^f1·(1−ρ)^f0), the likelihood of
/// the order of the failures mixed over all chances of the new version by Jeffreys' prior, against chance ρ; the product over the
/// shares. Each factor is a martingale with mean 1 given the past, whatever made the share change, so their product is an e-process at
/// any stopping time. Source: M. Lindon, A. Malek, "Anytime-valid inference for multinomial count data" (NeurIPS 2022, arXiv
/// 2011.03567), for two categories. It grows as well when the new version fails less: see [`against`].
///
/// A share of 0 or 1 has no comparison in it and counts as 1 (0 here).
pub fn log_e_value(all: &[Failures]) -> f64 {
    let compared = all.iter().filter(|failures| failures.share > 0.0 && failures.share < 1.0);
    let one = |Failures { share, new, old }: &Failures| {
        let (new, old) = (*new as f64, *old as f64);
        ln_beta(0.5 + new, 0.5 + old) - ln_beta(0.5, 0.5) - new * share.ln() - old * (-share).ln_1p()
    };
    compared.map(one).sum()
}

/// The e-value as far as it speaks against the new version: 0 unless that has more than its share of the failures.
///
/// It is never above the e-value, so the bound at [`STOP`] holds for it. Within one share it only grows with the failures of the new
/// version, so one that fails less than the other is stopped less often still.
pub fn against(all: &[Failures]) -> f64 {
    let of_the_new: u64 = all.iter().map(|failures| failures.new).sum();
    let expected: f64 = all.iter().map(|failures| failures.share * (failures.new + failures.old) as f64).sum();
    if of_the_new as f64 > expected { log_e_value(all).exp().min(LARGEST) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(share: f64, new: u64, old: u64) -> [Failures; 1] {
        [Failures { share, new, old }]
    }

    #[test]
    fn values_computed_by_hand_come_out() {
        // B(2.5, 0.5)/B(0.5, 0.5) = 3/8; B(1.5, 0.5)/B(0.5, 0.5) = 1/2; B(1.5, 1.5)/B(0.5, 0.5) = 1/8.
        assert!((log_e_value(&one(0.05, 2, 0)).exp() - 0.375 / 0.0025).abs() < 1e-9);
        assert!((log_e_value(&one(0.25, 0, 1)).exp() - 0.5 / 0.75).abs() < 1e-12);
        assert!((log_e_value(&one(0.5, 1, 1)).exp() - 0.125 / 0.25).abs() < 1e-12);
        let both = [Failures { share: 0.05, new: 2, old: 0 }, Failures { share: 0.5, new: 1, old: 1 }];
        assert!((log_e_value(&both) - (150_f64.ln() + 0.5_f64.ln())).abs() < 1e-9);
        assert_eq!((log_e_value(&[]), log_e_value(&one(1.0, 7, 0)), log_e_value(&one(0.0, 0, 7))), (0.0, 0.0, 0.0));
    }

    #[test]
    fn what_speaks_for_the_new_version_never_speaks_against_it() {
        assert!(log_e_value(&one(0.5, 0, 60)) > 30.0);
        assert_eq!(against(&one(0.5, 0, 60)), 0.0);
        assert_eq!(against(&one(0.5, 30, 30)), 0.0);
        assert!(against(&one(0.5, 60, 0)) > 1e12);
        assert!(log_e_value(&one(0.5, 500_000_000, 500_000_000)).is_finite() && against(&one(0.05, 1_000_000, 0)).is_finite());
    }

    /// Each further failure is the new version's with probability `share`. The probability that the rule ever stops within so many
    /// failures, exactly, by dynamic programming over how many were the new version's.
    fn stops(share: f64, chance: f64, failures: u64) -> f64 {
        let (mut states, mut stopped) = (vec![1.0], 0.0);
        for n in 1..=failures {
            let mut next = vec![0.0; states.len() + 1];
            for (new, probability) in states.iter().enumerate() {
                next[new] += probability * (1.0 - chance);
                next[new + 1] += probability * chance;
            }
            for (new, probability) in next.iter_mut().enumerate() {
                let new = new as u64;
                if *probability > 0.0 && against(&one(share, new, n - new)) >= STOP {
                    stopped += *probability;
                    *probability = 0.0;
                }
            }
            // Nothing above the lowest state that stops is ever reached again.
            while next.last() == Some(&0.0) {
                next.pop();
            }
            states = next;
        }
        stopped
    }

    #[test]
    fn a_version_that_fails_alike_is_stopped_in_less_than_one_of_a_hundred_rollouts() {
        let mut worst = 0.0;
        for share in [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9] {
            let rate = stops(share, share, 600);
            assert!(rate <= 0.01, "{rate} at {share}");
            worst = f64::max(worst, rate);
            // One that fails half as often is stopped less often still.
            assert!(stops(share, share / (2.0 - share), 600) <= rate);
        }
        // Far less would mean that the test computes something else.
        assert!(worst > 0.002, "{worst}");
    }

    #[test]
    fn a_version_that_fails_much_more_is_stopped_within_a_few_failures() {
        // It fails in half of its runs, the other one in one of twenty: at a share of 25 %, 77 % of the failures are its own.
        let chance = 0.25 * 0.5 / (0.25 * 0.5 + 0.75 * 0.05);
        assert!(stops(0.25, chance, 12) > 0.7 && stops(0.25, chance, 25) > 0.9, "{}", stops(0.25, chance, 25));
        // It always fails, and nothing else does: after the second failure at 5 %, after the fifth at 25 %.
        assert_eq!((stops(0.05, 1.0, 1), stops(0.05, 1.0, 2)), (0.0, 1.0));
        assert_eq!((stops(0.25, 1.0, 4), stops(0.25, 1.0, 5)), (0.0, 1.0));
    }

    /// SplitMix64 (Steele, Lea, Flood 2014), as a number between 0 and 1.
    fn random(seed: &mut u64) -> f64 {
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as f64 / u64::MAX as f64
    }

    /// The share rises when it suits the evidence, and the rate of failures jumps in outages: neither makes it stop more often.
    #[test]
    fn shares_that_follow_from_what_was_seen_and_outages_keep_the_bound() {
        let (mut seed, mut stopped) = (7, 0);
        for _ in 0..4000 {
            let mut steps = [Failures { share: 0.05, new: 0, old: 0 }, Failures { share: 0.25, new: 0, old: 0 }];
            let (mut at, mut runs) = (0, 0);
            for run in 0..1500 {
                let rate = if run % 400 < 30 { 0.9 } else { 0.03 };
                let is_new = random(&mut seed) < steps[at].share;
                runs += u64::from(is_new);
                if random(&mut seed) < rate {
                    if is_new {
                        steps[at].new += 1
                    } else {
                        steps[at].old += 1
                    }
                    if against(&steps) >= STOP {
                        stopped += 1;
                        break;
                    }
                }
                if at == 0 && runs >= 20 && against(&steps) < DOUBT {
                    at = 1;
                }
            }
        }
        // At most 1 % is promised: 40, and with three standard deviations of chance 59.
        assert!(stopped <= 59, "{stopped} of 4000");
    }
}
