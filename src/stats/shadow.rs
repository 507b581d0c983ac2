//! Shadow runs: two versions on the same live inputs, looked at after every pair.

use super::special::{ln_beta, ln_beta_inc};

/// Evidence at which one version is worse: two equal ones are told apart wrongly in at most one of a hundred cases. Nine pairs
/// without one to the contrary reach it.
pub const SHADOW_CERTAIN: f64 = 100.0;

/// Natural logarithm of how much likelier `wins` against `losses` are when the winner is better than when it is chance. Only pairs
/// with different outcomes count.
///
/// The mixture over p from ½ to 1 of pʷ(1−p)ˡ against 2^−(w+l): ln(2^(w+l+1) · B(w+1, l+1) · I_½(l+1, w+1)). A test martingale, so
/// one may look after every pair: under chance it ever reaches c with probability at most 1/c (Ville's inequality). Source:
/// G. Shafer, V. Vovk, "Game-Theoretic Foundations for Probability and Finance" (2019), chapter 2.
pub fn log_evidence(wins: u64, losses: u64) -> f64 {
    let (w, l) = (wins as f64, losses as f64);
    (w + l + 1.0) * std::f64::consts::LN_2 + ln_beta(w + 1.0, l + 1.0) + ln_beta_inc(l + 1.0, w + 1.0, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wins_alone_have_the_value_of_the_integral() {
        for wins in 0..40 {
            let exact = (2f64.powi(wins + 1) - 1.0) / f64::from(wins + 1);
            assert!((log_evidence(u64::from(wins.unsigned_abs()), 0) - exact.ln()).abs() < 1e-12, "{wins}");
        }
        assert!(log_evidence(9, 0) >= SHADOW_CERTAIN.ln() && log_evidence(8, 0) < SHADOW_CERTAIN.ln());
        assert!(log_evidence(5, 5) < 0.0 && log_evidence(0, 3) < 0.0);
        assert!(log_evidence(1_000_000_000, 1_000_000_000).is_finite() && log_evidence(0, 1_000_000_000) < -18.0);
    }

    /// The wealth of a martingale does not change on the average: E(w, l) = ½·E(w+1, l) + ½·E(w, l+1).
    #[test]
    fn under_chance_the_evidence_stays_the_same_on_the_average() {
        for (wins, losses) in [(0, 0), (3, 1), (1, 7), (40, 33), (900, 1000)] {
            let e = |w, l| log_evidence(w, l).exp();
            let next = 0.5 * (e(wins + 1, losses) + e(wins, losses + 1));
            assert!((next / e(wins, losses) - 1.0).abs() < 1e-9, "{wins} {losses}");
        }
    }

    /// Exactly, over all histories of 2,000 pairs with different outcomes.
    #[test]
    fn equal_versions_are_told_apart_wrongly_as_rarely_as_the_evidence_says() {
        for certain in [20.0, SHADOW_CERTAIN] {
            // More losses never help, so after n pairs a fewest number of wins is what is needed.
            let (mut states, mut fewest, mut wrong) = (vec![1.0f64], 0u64, 0.0);
            for n in 1..=1000u64 {
                while fewest <= n && log_evidence(fewest, n - fewest) < certain.ln() {
                    fewest += 1;
                }
                let mut next = vec![0.0; states.len() + 1];
                for (wins, chance) in states.iter().enumerate() {
                    next[wins] += chance / 2.0;
                    next[wins + 1] += chance / 2.0;
                }
                wrong += next.drain((fewest as usize).min(next.len())..).sum::<f64>();
                states = next;
            }
            assert!((0.2 / certain..=1.0 / certain).contains(&wrong), "{wrong} at {certain}");
        }
    }
}
