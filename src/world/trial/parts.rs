//! Tests of one subject that are run in different ways, and some of the tests of a subject: both as trials like any other.

use std::time::Duration;

use anyhow::Result;

use super::Trials;
use crate::model::{TestRun, Triaged};

/// Some tests, by their numbers among all, in the order in which `trials` has them.
pub(super) struct Part {
    pub(super) trials: Box<dyn Trials>,
    pub(super) numbers: Vec<usize>,
}

impl Part {
    /// The part's own numbers of those tests in `order` that it has.
    fn own(&self, order: &[usize]) -> Vec<usize> {
        order.iter().filter_map(|test| self.numbers.iter().position(|number| number == test)).collect()
    }

    fn told(&self, verdict: Triaged) -> Triaged {
        let number = |own: usize| self.numbers.get(own).copied().unwrap_or(own);
        match verdict {
            Triaged::Passed => Triaged::Passed,
            Triaged::Failed { test } => Triaged::Failed { test: number(test) },
            Triaged::TimedOut { test } => Triaged::TimedOut { test: number(test) },
        }
    }
}

/// All tests, each in one of the parts. Candidates meet the parts one after the other, so the fastest should come first.
pub(super) struct Parts(pub(super) Vec<Part>);

impl Parts {
    /// Runs of the tests in `order` by what each part says of its own.
    fn gather(
        &mut self,
        order: &[usize],
        mut run: impl FnMut(&mut Part, &[usize]) -> Result<Vec<TestRun>>,
    ) -> Result<Vec<TestRun>> {
        let mut found: Vec<(usize, TestRun)> = Vec::with_capacity(order.len());
        for part in &mut self.0 {
            let own = part.own(order);
            if !own.is_empty() {
                let numbers: Vec<usize> = own.iter().map(|at| part.numbers[*at]).collect();
                found.extend(numbers.into_iter().zip(run(part, &own)?));
            }
        }
        found.sort_by_key(|(number, _)| order.iter().position(|test| test == number));
        Ok(found.into_iter().map(|(_, run)| run).collect())
    }
}

impl Trials for Parts {
    fn cover(&mut self, source: &str) -> Result<Vec<TestRun>> {
        let order: Vec<usize> = (0..self.0.iter().map(|part| part.numbers.len()).sum()).collect();
        self.gather(&order, |part, _| part.trials.cover(source))
    }

    fn triage(&mut self, candidates: &[String], order: &[usize]) -> Result<Vec<Triaged>> {
        let mut verdicts = vec![Triaged::Passed; candidates.len()];
        for part in &mut self.0 {
            let own = part.own(order);
            let left: Vec<usize> = (0..verdicts.len()).filter(|at| verdicts[*at] == Triaged::Passed).collect();
            if own.is_empty() || left.is_empty() {
                continue;
            }
            let sources: Vec<String> = left.iter().map(|at| candidates[*at].clone()).collect();
            for (at, verdict) in left.into_iter().zip(part.trials.triage(&sources, &own)?) {
                verdicts[at] = part.told(verdict);
            }
        }
        Ok(verdicts)
    }

    fn confirm(&mut self, source: &str, order: &[usize]) -> Result<Vec<TestRun>> {
        self.gather(order, |part, own| part.trials.confirm(source, own))
    }

    fn programs(&self) -> Vec<String> {
        self.0.iter().flat_map(|part| part.trials.programs()).collect()
    }

    fn probe(&mut self, source: &str, program: &str) -> Result<Option<String>> {
        match self.0.first_mut() {
            Some(part) => part.trials.probe(source, program),
            None => Ok(None),
        }
    }

    fn is_reached(&mut self) -> Result<bool> {
        for part in &mut self.0 {
            if !part.trials.is_reached()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn cpu(&self) -> Duration {
        self.0.iter().map(|part| part.trials.cpu()).sum()
    }
}

/// Some of the tests of `trials`, renumbered from 0, with what is known of them already.
pub struct Chosen {
    part: Part,
    source: String,
    /// How the tests did on `source`.
    runs: Vec<TestRun>,
}

impl Chosen {
    /// The tests with these numbers; `runs` is how all tests did on `source`.
    pub fn new(trials: Box<dyn Trials>, numbers: Vec<usize>, source: &str, runs: &[TestRun]) -> Self {
        let runs = numbers.iter().filter_map(|number| runs.get(*number)).cloned().collect();
        Chosen { part: Part { trials, numbers }, source: source.to_string(), runs }
    }

    fn inner(&self, order: &[usize]) -> Vec<usize> {
        order.iter().filter_map(|test| self.part.numbers.get(*test)).copied().collect()
    }

    fn outer(&self, test: usize) -> usize {
        self.part.numbers.iter().position(|number| *number == test).unwrap_or(0)
    }
}

impl Trials for Chosen {
    fn cover(&mut self, source: &str) -> Result<Vec<TestRun>> {
        if source == self.source {
            return Ok(self.runs.clone());
        }
        let runs = self.part.trials.cover(source)?;
        Ok(self.part.numbers.iter().filter_map(|number| runs.get(*number)).cloned().collect())
    }

    fn triage(&mut self, candidates: &[String], order: &[usize]) -> Result<Vec<Triaged>> {
        let verdicts = self.part.trials.triage(candidates, &self.inner(order))?;
        let told = |verdict| match verdict {
            Triaged::Passed => Triaged::Passed,
            Triaged::Failed { test } => Triaged::Failed { test: self.outer(test) },
            Triaged::TimedOut { test } => Triaged::TimedOut { test: self.outer(test) },
        };
        Ok(verdicts.into_iter().map(told).collect())
    }

    fn confirm(&mut self, source: &str, order: &[usize]) -> Result<Vec<TestRun>> {
        let order = self.inner(order);
        self.part.trials.confirm(source, &order)
    }

    fn programs(&self) -> Vec<String> {
        self.part.trials.programs()
    }

    fn probe(&mut self, source: &str, program: &str) -> Result<Option<String>> {
        self.part.trials.probe(source, program)
    }

    fn is_reached(&mut self) -> Result<bool> {
        self.part.trials.is_reached()
    }

    fn batch(&self) -> usize {
        self.part.trials.batch()
    }

    fn cpu(&self) -> Duration {
        self.part.trials.cpu()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::model::TestOutcome;

    /// A test passes when the source has its letter; the letters of this part in their order.
    struct Letters(&'static str, Vec<String>);

    impl Letters {
        fn run(&mut self, source: &str, test: usize) -> TestRun {
            let letter = self.0.chars().nth(test).expect("is one of them");
            self.1.push(format!("{source}:{letter}"));
            let outcome = if source.contains(letter) { TestOutcome::Passed } else { TestOutcome::Failed };
            TestRun { outcome, failure: None, cpu: Duration::from_secs(1), lines: BTreeSet::new() }
        }
    }

    impl Trials for Letters {
        fn cover(&mut self, source: &str) -> Result<Vec<TestRun>> {
            Ok((0..self.0.len()).map(|test| self.run(source, test)).collect())
        }

        fn triage(&mut self, candidates: &[String], order: &[usize]) -> Result<Vec<Triaged>> {
            let first =
                |source: &String, letters: &mut Letters| order.iter().copied().find(|test| !letters.run(source, *test).passed());
            let verdicts =
                candidates.iter().map(|source| first(source, self).map_or(Triaged::Passed, |test| Triaged::Failed { test }));
            Ok(verdicts.collect())
        }

        fn confirm(&mut self, source: &str, order: &[usize]) -> Result<Vec<TestRun>> {
            Ok(order.iter().map(|test| self.run(source, *test)).collect())
        }

        fn is_reached(&mut self) -> Result<bool> {
            Ok(!self.0.contains('-'))
        }

        fn cpu(&self) -> Duration {
            Duration::from_secs(self.1.len() as u64)
        }
    }

    fn passed(runs: Vec<TestRun>) -> Vec<bool> {
        runs.iter().map(TestRun::passed).collect()
    }

    /// Tests `a b c d`, the even ones in one part and the odd ones in another.
    fn parts() -> Parts {
        let part =
            |letters, numbers: &[usize]| Part { trials: Box::new(Letters(letters, Vec::new())), numbers: numbers.to_vec() };
        Parts(vec![part("ac", &[0, 2]), part("bd", &[1, 3])])
    }

    #[test]
    fn tests_keep_their_numbers_whichever_part_runs_them() {
        let mut trials = parts();
        assert_eq!(passed(trials.cover("abd").expect("runs")), [true, true, false, true]);
        assert_eq!(passed(trials.confirm("abd", &[3, 2, 1]).expect("runs")), [true, false, true]);
        let sources = ["abcd", "abd", "acd", "x"].map(String::from);
        let failed = |test| Triaged::Failed { test };
        assert_eq!(trials.triage(&sources, &[3, 2, 1, 0]).expect("runs"), [Triaged::Passed, failed(2), failed(1), failed(2)]);
        assert_eq!(trials.triage(&sources[3..], &[1]).expect("runs"), [failed(1)]);
    }

    #[test]
    fn a_tool_is_reached_when_every_part_reaches_it() {
        let of = |letters| Part { trials: Box::new(Letters(letters, Vec::new())), numbers: vec![0] };
        let reached = |all: [&'static str; 2]| Parts(all.map(of).into()).is_reached().expect("runs");
        assert_eq!([reached(["a", "b"]), reached(["a", "-"]), reached(["-", "b"])], [true, false, false]);
    }

    #[test]
    fn what_one_part_refused_the_next_never_sees() {
        let mut trials = parts();
        trials.triage(&["bd".to_string()], &[0, 1]).expect("runs");
        assert_eq!((trials.0[0].trials.cpu().as_secs(), trials.0[1].trials.cpu().as_secs()), (1, 0));
    }

    #[test]
    fn chosen_tests_are_numbered_anew_and_what_is_known_is_not_run_again() {
        let mut all: Box<dyn Trials> = Box::new(parts());
        let runs = all.cover("ab").expect("runs");
        let before = all.cpu();
        let mut chosen = Chosen::new(all, vec![3, 1], "ab", &runs);
        assert_eq!(passed(chosen.cover("ab").expect("is known")), [false, true]);
        assert_eq!(chosen.cpu(), before);
        assert_eq!(passed(chosen.cover("d").expect("runs")), [true, false]);
        assert_eq!(passed(chosen.confirm("d", &[1, 0]).expect("runs")), [false, true]);
        assert_eq!(chosen.triage(&["d".to_string()], &[0, 1]).expect("runs"), [Triaged::Failed { test: 1 }]);
    }
}
