//! Paired replay: the same inputs run on both versions, as an exact test.

use super::special::ln_choose;

/// Combined p-value of the paired replays at or below which a regression is confirmed.
pub const CONFIRM_P: f64 = 0.001;

/// Combined p-value above which the replays acquit the new version: an input that happened to fail once more on it is no suspicion. In
/// seeded streams with outages that asks a person about 0.5 % instead of 5 % of the healthy versions, and finds no regression less.
pub const ACQUIT_P: f64 = 0.1;

/// One-sided exact p-value that the new version fails more, from `runs_each` runs of one input on both versions.
///
/// Given F failures in 2k runs, those of the new version are hypergeometric if the versions do not differ:
/// p = Σ_{i ≥ new} C(F, i)·C(2k−F, k−i) / C(2k, k) (Fisher's exact test, which for 0/1 outcomes is the exact permutation test).
/// 4 of 4 against 0 of 4 is 1/70. Failures above `runs_each` count as `runs_each`; without runs p is 1.
pub fn permutation_p(runs_each: u32, old_failures: u32, new_failures: u32) -> f64 {
    let (each, old, new) = (u64::from(runs_each), u64::from(old_failures.min(runs_each)), u64::from(new_failures.min(runs_each)));
    if new > old {
        hypergeometric_tail(each, old + new, new)
    } else {
        // The groups are equally large, so X and F − X have one distribution: P(X ≥ new) = P(X ≤ old).
        1.0 - hypergeometric_tail(each, old + new, old + 1)
    }
}

/// P(X ≥ from) for X failures among `each` of 2·`each` runs with `failures` failures; `from` lies above the mean, `failures` / 2.
fn hypergeometric_tail(each: u64, failures: u64, from: u64) -> f64 {
    let last = each.min(failures);
    if from > last {
        return 0.0;
    }
    let passes = 2 * each - failures;
    let mut term = (ln_choose(failures, from) + ln_choose(passes, each - from) - ln_choose(2 * each, each)).exp();
    let mut tail = term;
    // Above the mean the terms fall, ever faster: what no longer changes the sum ends it.
    for i in from..last {
        term *= (failures - i) as f64 / (i + 1) as f64;
        term *= (each - i) as f64 / (passes + i + 1 - each) as f64;
        tail += term;
        if term < tail * f64::EPSILON {
            break;
        }
    }
    tail.min(1.0)
}

/// P-value of paired replays, each as the runs of one input on either version and how many of them failed on the old and on the new
/// one: [`permutation_p`] of the inputs that fail more on the new version, combined; 1 without such an input.
pub fn replays_p(replays: impl Iterator<Item = (u32, u32, u32)>) -> f64 {
    let worse = replays.filter(|(_, old, new)| new > old);
    combine_fisher(&worse.map(|(each, old, new)| permutation_p(each, old, new)).collect::<Vec<_>>())
}

/// P-value of the product c of m independent p-values: c·Σ_{i<m} (−ln c)^i / i!. One for no p-value at all.
///
/// Source: R. A. Fisher, "Statistical Methods for Research Workers" (1932) §21.1: −2·ln c is χ² with 2m degrees of freedom; the
/// sum is its closed form. Exact for continuous p-values, conservative for discrete ones. Values outside 0..=1 are moved to the
/// nearer end; what is not a number counts as 1, no evidence.
pub fn combine_fisher(ps: &[f64]) -> f64 {
    let evidence: f64 = ps.iter().filter(|p| !p.is_nan()).map(|p| -p.clamp(0.0, 1.0).ln()).sum();
    if evidence <= 0.0 {
        return 1.0;
    }
    if evidence.is_infinite() {
        return 0.0;
    }
    // Term by term as logarithms: c alone underflows where the sum does not.
    let mut ln_term = -evidence;
    let mut combined = 0.0;
    for i in 1..=ps.len() {
        combined += ln_term.exp();
        ln_term += evidence.ln() - (i as f64).ln();
    }
    combined.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(got: f64, wanted: f64, relative: f64) {
        assert!((got - wanted).abs() <= relative * wanted.abs(), "got {got:e}, wanted {wanted:e}");
    }

    #[test]
    fn the_permutation_test_counts_arrangements() {
        assert_close(permutation_p(3, 0, 3), 1.0 / 20.0, 1e-12);
        assert_close(permutation_p(4, 0, 4), 1.0 / 70.0, 1e-12);
        assert_close(permutation_p(5, 0, 5), 1.0 / 252.0, 1e-12);
        assert_close(permutation_p(4, 1, 4), 5.0 / 70.0, 1e-12);
        assert_close(permutation_p(4, 1, 3), 17.0 / 70.0, 1e-12);
        assert_close(permutation_p(4, 2, 2), 53.0 / 70.0, 1e-12);
        assert_close(permutation_p(4, 3, 1), 69.0 / 70.0, 1e-12);
        for (each, old, new) in [(0, 0, 0), (4, 0, 0), (4, 4, 4), (4, 4, 0), (4, 9, 9)] {
            assert_eq!(permutation_p(each, old, new), 1.0);
        }
        let many = permutation_p(u32::MAX, u32::MAX / 2, u32::MAX / 2);
        assert!((0.5..0.501).contains(&many), "{many}");
    }

    #[test]
    fn two_clean_inputs_of_four_replays_do_not_confirm_but_three_do() {
        let clean = permutation_p(4, 0, 4);
        assert_close(combine_fisher(&[clean; 2]), (1.0 + 4900f64.ln()) / 4900.0, 1e-12);
        assert!(combine_fisher(&[clean; 2]) > CONFIRM_P);
        assert!(combine_fisher(&[clean; 3]) <= CONFIRM_P);
        assert!(combine_fisher(&[permutation_p(5, 0, 5); 2]) <= CONFIRM_P);
    }

    #[test]
    fn combining_p_values_is_total() {
        assert_eq!(combine_fisher(&[]), 1.0);
        assert_eq!(combine_fisher(&[1.0, 1.0, 7.0, f64::NAN]), 1.0);
        assert_eq!(combine_fisher(&[0.0, 1.0]), 0.0);
        assert_close(combine_fisher(&[0.03]), 0.03, 1e-12);
        // 2,000 values whose product underflows: the sum is about ½, since χ² with 2m degrees of freedom has mean 2m.
        let typical = combine_fisher(&[(-1f64).exp(); 2000]);
        assert!((0.49..0.51).contains(&typical), "{typical}");
    }
}
