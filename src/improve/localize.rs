//! Where the fault is likely to be, from how the tests did and which lines they ran.
//!
//! Owns the Ochiai score (Abreu, Zoeteweij, van Gemund: "On the Accuracy of Spectrum-based Fault Localization", 2007) and how places in
//! traces join it. What a suspicious line means for its neighbours is in `suspicion.rs`.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Failure, Location, TestRun};

/// A trace points at where it was noticed, which need not be where it is wrong: so much of the highest score.
const TRACE: f64 = 0.95;
/// Each frame further out counts so much of the one before it.
const OUTER: f64 = 0.7;

/// The suspicious lines of `path`, most suspicious first; the highest score is 1. `runs` are of the untouched source;
/// `known` are places that somebody else has found.
pub(super) fn locate(path: &str, runs: &[TestRun], known: &[Location]) -> Vec<Location> {
    let mut scores = ochiai(runs);
    let top = scores.values().copied().fold(0.0, f64::max);
    let scale = if top > 0.0 { 1.0 / top } else { 1.0 };
    scores.values_mut().for_each(|score| *score *= scale);
    for failure in runs.iter().filter_map(|run| run.failure.as_ref()) {
        let mut score = TRACE;
        for frame in failure.frames.iter().filter(|frame| frame.path == path) {
            let known = scores.entry(frame.line).or_default();
            *known = known.max(score);
            score *= OUTER;
        }
    }
    for place in known.iter().filter(|place| place.path == path) {
        let score = scores.entry(place.line).or_default();
        *score = score.max(place.suspicion * TRACE);
    }
    let location = |(line, suspicion)| Location { path: path.to_string(), line, function: None, suspicion };
    let mut found: Vec<Location> = scores.into_iter().filter(|(_, score)| *score > 0.0).map(location).collect();
    found.sort_by(|a, b| b.suspicion.total_cmp(&a.suspicion).then(a.line.cmp(&b.line)));
    found
}

/// `ef / sqrt((ef + nf) · (ef + ep))` for every line that ran: `ef` failing tests that ran it, `nf` that did not, `ep` passing ones
/// that ran it.
fn ochiai(runs: &[TestRun]) -> BTreeMap<u32, f64> {
    // A test whose lines are not known tells nothing of any.
    let known: Vec<&TestRun> = runs.iter().filter(|run| !run.lines.is_empty()).collect();
    let failing = known.iter().filter(|run| !run.passed()).count();
    let lines: BTreeSet<u32> = known.iter().flat_map(|run| run.lines.iter().copied()).collect();
    let score = |line: u32| {
        let ran = |passed: bool| known.iter().filter(|run| run.passed() == passed && run.lines.contains(&line)).count();
        let (ef, ep) = (ran(false) as f64, ran(true) as f64);
        if ef == 0.0 { 0.0 } else { ef / (failing as f64 * (ef + ep)).sqrt() }
    };
    lines.into_iter().map(|line| (line, score(line))).collect()
}

/// The failure that says most: a failing assertion of a test only says that the answer was wrong.
pub(super) fn telling(runs: &[TestRun]) -> Option<&Failure> {
    let mut failures = runs.iter().filter_map(|run| run.failure.as_ref());
    let first = failures.clone().next();
    failures.find(|failure| !failure.class.contains("Assert") && !failure.class.starts_with("exit ")).or(first)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::TestOutcome;

    fn run(passed: bool, lines: &[u32]) -> TestRun {
        let outcome = if passed { TestOutcome::Passed } else { TestOutcome::Failed };
        TestRun { outcome, failure: None, cpu: Duration::ZERO, lines: lines.iter().copied().collect() }
    }

    #[test]
    fn lines_that_only_failing_tests_run_are_most_suspicious() {
        let runs = [run(true, &[1, 2, 4]), run(true, &[1, 2]), run(false, &[1, 3, 4])];
        let found = locate("a.py", &runs, &[]);
        let lines: Vec<u32> = found.iter().map(|location| location.line).collect();
        assert_eq!(lines, [3, 4, 1]);
        // ef 1, nf 0, ep 1: 1 / sqrt(1 · 2).
        assert!((found[0].suspicion - 1.0).abs() < 1e-12 && (found[1].suspicion - 0.5_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn with_failing_tests_alone_every_line_they_ran_is_suspicious() {
        let found = locate("a.py", &[run(false, &[2, 3]), run(false, &[3])], &[]);
        assert_eq!(found.iter().map(|location| location.line).collect::<Vec<_>>(), [3, 2]);
        assert!(locate("a.py", &[run(false, &[])], &[]).is_empty());
    }

    #[test]
    fn without_lines_the_known_places_of_the_file_are_suspicious() {
        let place = |path: &str, line| Location { path: path.into(), line, function: None, suspicion: 1.0 };
        let found = locate("a.py", &[run(false, &[])], &[place("a.py", 7), place("b.py", 9)]);
        assert_eq!(found.iter().map(|location| location.line).collect::<Vec<_>>(), [7]);
    }
}
