//! A/B: several candidates on the same inputs, in pairs. One that is worse than another is given up as soon as that is certain, so that
//! the inputs are spent on those between which nothing is decided yet.

use super::Gate;
use super::inputs;
use super::trial::Found;
use crate::config::NewAnswers;
use crate::model::{Candidate, Comparison, Outcome, ToolInput, plain_line};
use crate::stats;
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
    let worse: Vec<String> = (0..candidates.len()).filter(|at| race.out[*at]).map(|at| named(candidates[at])).collect();
    let names = if worse.is_empty() { String::new() } else { format!(" ({})", worse.join(", ")) };
    let detail = format!(
        "{rivals} other candidate{} tried on {used} inputs, {} given up as worse{names}, {} inputs answered in different ways",
        if rivals == 1 { "" } else { "s" },
        worse.len(),
        apart.len()
    );
    // Where somebody has said what is right, the checks before this one tell them apart.
    let is_open = gate.view.config.validate.new_answers == NewAnswers::Review && !super::answers::are_known(gate);
    let found = match is_open && !apart.is_empty() {
        true => Found::weak(format!("{detail}; nobody has said which of them is right (`fractal mark --expect` does)")),
        false => Found::passed(detail),
    };
    (best, found.listing(apart))
}

fn named(candidate: &Candidate) -> String {
    format!("{} `{}`", candidate.strategy, plain_line(&candidate.source, 60))
}

/// Who beat whom how often.
struct Race {
    wins: Vec<Vec<u64>>,
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
                    let (wins, losses) = (self.wins[*one][*other], self.wins[*other][*one]);
                    if stats::log_evidence(wins, losses) >= CERTAIN.ln() {
                        self.out[*other] = true;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
