//! Answers: whether anybody has said what the failing inputs should answer. That an input no longer fails is no sign that its answer is
//! right. Where the right answer to an input that fails otherwise is known, a patch may leave it as it is, but not answer it wrongly anew.

use super::Gate;
use super::trial::{Found, Pair, Trial};
use crate::model::{Outcome, Recording, Trust};

/// Right answers that must be known of inputs that failed, where so many failed.
const ENOUGH: usize = 2;

pub(super) fn check(trial: &Trial<'_, '_>) -> Found {
    let gate = trial.gate;
    let incident = &gate.evidence.incident;
    let (pair, others) = (&trial.pair, &gate.evidence.others);
    let judged = pair.bench.each(others, |other| turn(pair, other), |turn| *turn == Turn::Wrong);
    let wrong = judged.iter().position(|turn| *turn == Some(Turn::Wrong));
    if let Some(other) = wrong.and_then(|at| others.get(at)) {
        return Found::failed(format!(
            "`{}` is answered in another way, and still not as somebody said that it should",
            other.shown(60)
        ));
    }
    let said: Vec<_> = said(gate).collect();
    let held_out = said.iter().filter(|recording| recording.execution.input.is_held_out()).count();
    if are_enough(gate) {
        return Found::passed(format!(
            "of {} failing inputs the right answers of {} are known ({held_out} of them held out), and given",
            incident.len(),
            said.len()
        ));
    }
    if gate.suite_is_red() {
        return Found::passed("the tool's own tests, which fail without the patch, say what is right");
    }
    let (strategy, trust) = (trial.candidate.strategy.as_str(), trial.candidate.trust);
    // A search finds a way around every refusal, and which one was meant it cannot know.
    if strategy == "template" && trust != Trust::Land && gate.investigation.failure.is_refusal() {
        return Found::failed(
            "the tool says no, and nobody has said what it should answer instead (`fractal mark --expect` does); to stop it from \
             saying no is no repair",
        );
    }
    // These are known, edit by edit, for what they do where nothing was answered before: they refuse, skip or take back.
    match strategy == "revert" || (strategy == "template" && trust == Trust::Land) {
        true => Found::passed(
            "nobody has said what the failing inputs should answer; this kind of change is trusted where nothing was answered",
        ),
        false => Found::weak("nobody has said what the failing inputs should answer (`fractal mark --expect` does)"),
    }
}

/// Failing inputs of which somebody has said what their answer is.
fn said<'g>(gate: &'g Gate<'_>) -> impl Iterator<Item = &'g Recording> {
    gate.evidence.incident.iter().filter(|recording| recording.expected.is_some())
}

fn are_enough(gate: &Gate<'_>) -> bool {
    let said = said(gate).count();
    said > 0 && said >= ENOUGH.min(gate.evidence.incident.len())
}

/// Whether somebody has said what the failing inputs should answer, by marks or by tests.
pub(super) fn are_known(gate: &Gate<'_>) -> bool {
    are_enough(gate) || gate.suite_is_red()
}

/// What a patch makes of an input that fails otherwise than the incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It has the right answer now.
    Right,
    /// It fails, or is answered, as before.
    Same,
    /// It has another answer, and not the right one.
    Wrong,
}

/// See [`Turn`].
pub(super) fn turn(pair: &Pair<'_, '_>, other: &Recording) -> Turn {
    let (input, old) = (other.given(), pair.old.of(&other.given()));
    let new = pair.run(&input);
    if new.solves(other) {
        return Turn::Right;
    }
    let is_news = new.outcome == Outcome::Success && (old.run.outcome != Outcome::Success || old.run.stdout != new.stdout);
    match old.steady && is_news {
        true => Turn::Wrong,
        false => Turn::Same,
    }
}
