//! A/B: several candidates on the same inputs, in pairs. One that is worse than another is given up as soon as that is certain, so that
//! the inputs are spent on those between which nothing is decided yet.

use super::Gate;
use super::inputs;
use super::trial::Found;
use crate::model::{Candidate, Comparison, Outcome, ToolInput};
use crate::world::bench::{Bench, Run};

/// Inputs on which candidates are compared at most.
const INPUTS: usize = 40;
/// Times as likely as chance: the loser of a pair is then given up. At most one in twenty of equal pairs is told apart wrongly, however
/// often one looks (Ville's inequality).
const CERTAIN: f64 = 20.0;

/// Which of `candidates`, all of which passed the quick trial, does best; the first one when none is better. With what was seen.
pub(super) fn compare(gate: &Gate<'_>, candidates: &[&Candidate]) -> (usize, Found) {
    if candidates.len() < 2 {
        return (0, Found::skipped("no other candidate came this far"));
    }
    let recorded = gate.evidence.inputs();
    let varied = match gate.plan.varied {
        Ok(()) => inputs::varied(&recorded, &gate.seed, INPUTS).into_iter().map(|(_, input)| input).collect(),
        Err(_) => Vec::new(),
    };
    let inputs: Vec<ToolInput> = recorded.into_iter().take(INPUTS / 2).chain(varied).take(INPUTS).collect();
    let benches: Vec<Bench<'_>> = candidates.iter().map(|candidate| gate.bench().with(&candidate.patch)).collect();
    let mut race = Race::new(candidates.len());
    let mut apart: Vec<String> = Vec::new();
    let mut used = 0;
    for input in &inputs {
        let living = race.living();
        if living.len() < 2 {
            break;
        }
        used += 1;
        let runs: Vec<Option<Run>> = gate.bench().each(&living, |at| benches[*at].run(input, &[]), |_| false);
        let old = gate.baseline.of(input);
        let expected = old.expected.as_ref();
        let good = |run: &Run| run.outcome == Outcome::Success && expected.is_none_or(|expected| expected.agrees(&run.stdout));
        let scores: Vec<(usize, bool)> =
            living.iter().zip(&runs).filter_map(|(at, run)| Some((*at, good(run.as_ref()?)))).collect();
        race.look(&scores);
        let exact = gate.tool.compare == Comparison::Exact;
        let answers: Vec<&Run> = runs.iter().flatten().collect();
        if exact && answers.windows(2).any(|pair| pair[0].outcome == pair[1].outcome && pair[0].stdout != pair[1].stdout) {
            apart.push(format!("`{}` is answered in different ways", input.shown(60)));
        }
    }
    let best = race.living().first().copied().unwrap_or(0);
    let rivals = candidates.len() - 1;
    let given_up = candidates.len() - race.living().len();
    let detail = format!(
        "{rivals} other candidate{} tried on {used} inputs, {given_up} given up as worse, {} inputs answered in different ways",
        if rivals == 1 { "" } else { "s" },
        apart.len()
    );
    (best, Found::passed(detail).listing(apart))
}

/// Who beat whom how often.
struct Race {
    wins: Vec<Vec<u32>>,
    out: Vec<bool>,
}

impl Race {
    fn new(count: usize) -> Race {
        Race { wins: vec![vec![0; count]; count], out: vec![false; count] }
    }

    /// In the order in which they came: the first one is preferred.
    fn living(&self) -> Vec<usize> {
        (0..self.out.len()).filter(|at| !self.out[*at]).collect()
    }

    /// One input, and who did well on it. Pairs that did alike say nothing.
    fn look(&mut self, scores: &[(usize, bool)]) {
        for (one, good) in scores {
            for (other, also) in scores {
                if *good && !also {
                    self.wins[*one][*other] += 1;
                    if evidence(self.wins[*one][*other], self.wins[*other][*one]) >= CERTAIN {
                        self.out[*other] = true;
                    }
                }
            }
        }
    }
}

/// How much likelier so many wins and losses are when one is better than when it is chance: the mixture over p from 1/2 to 1 of
/// p^w (1-p)^l against 2^-(w+l). A test martingale, so that it may be looked at after every pair (Shafer, Vovk: Game-Theoretic
/// Foundations for Probability and Finance, 2019, chapter 2).
fn evidence(wins: u32, losses: u32) -> f64 {
    // Simpson's rule on 64 pieces is exact enough for polynomials of the degrees that come up here.
    const PIECES: u32 = 64;
    let likelihood = |p: f64| {
        let log = f64::from(wins) * (2.0 * p).ln() + f64::from(losses) * (2.0 * (1.0 - p)).max(1e-300).ln();
        if losses > 0 && p >= 1.0 { 0.0 } else { log.exp() }
    };
    let sum: f64 = (0..=PIECES)
        .map(|piece| {
            let weight = match piece {
                0 | PIECES => 1.0,
                piece if piece % 2 == 1 => 4.0,
                _ => 2.0,
            };
            weight * likelihood(0.5 + 0.5 * f64::from(piece) / f64::from(PIECES))
        })
        .sum();
    sum / (3.0 * f64::from(PIECES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_that_of_the_formula() {
        // For wins alone the integral is (2^(w+1) - 1) / (w + 1).
        for wins in 0..12_u32 {
            let exact = (2_f64.powi(i32::try_from(wins).expect("small") + 1) - 1.0) / f64::from(wins + 1);
            assert!((evidence(wins, 0) / exact - 1.0).abs() < 1e-5, "{wins}");
        }
        assert!(evidence(5, 5) < 1.0 && evidence(0, 3) < 1.0);
    }

    #[test]
    fn equal_candidates_are_rarely_told_apart_however_long_one_looks() {
        // Exactly, over all histories of 60 discordant pairs: the chance to ever cross the line.
        let mut chances = vec![(0_u32, 0_u32, 1.0_f64)];
        let mut crossed = 0.0;
        for _ in 0..60 {
            let mut next: std::collections::BTreeMap<(u32, u32), f64> = std::collections::BTreeMap::new();
            for (wins, losses, chance) in chances {
                for state in [(wins + 1, losses), (wins, losses + 1)] {
                    match evidence(state.0, state.1) >= CERTAIN {
                        true => crossed += chance / 2.0,
                        false => *next.entry(state).or_default() += chance / 2.0,
                    }
                }
            }
            chances = next.into_iter().map(|((wins, losses), chance)| (wins, losses, chance)).collect();
        }
        assert!(crossed <= 0.05 && crossed > 0.001, "{crossed}");
    }

    #[test]
    fn a_worse_candidate_is_given_up_and_the_first_of_equals_stays() {
        let mut race = Race::new(3);
        for _ in 0..12 {
            race.look(&[(0, false), (1, true), (2, true)]);
        }
        assert_eq!(race.living(), [1, 2]);
        race.look(&[(1, true), (2, true)]);
        assert_eq!(race.living(), [1, 2]);
    }
}
