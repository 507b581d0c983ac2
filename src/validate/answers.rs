//! Answers: whether anybody has said what the failing inputs should answer. That an input no longer fails is no sign that its answer is right.

use super::trial::{Found, Trial};

/// Strategies whose patches are known, edit by edit, for what they do where nothing was answered before: they refuse, skip or take back.
const KNOWN: [&str; 2] = ["template", "revert"];
/// Right answers that must be known of inputs that failed, where so many failed.
const ENOUGH: usize = 2;

pub(super) fn check(trial: &Trial<'_, '_>) -> Found {
    let gate = trial.gate;
    let incident = &gate.evidence.incident;
    let said: Vec<_> = incident.iter().filter(|recording| recording.expected.is_some()).collect();
    let held_out = said.iter().filter(|recording| recording.execution.input.is_held_out()).count();
    if said.len() >= ENOUGH.min(incident.len()) && !said.is_empty() {
        return Found::passed(format!(
            "of {} failing inputs the right answers of {} are known ({held_out} of them held out), and given",
            incident.len(),
            said.len()
        ));
    }
    if gate.suite_is_red() {
        return Found::passed("the tool's own tests, which fail without the patch, say what is right");
    }
    match KNOWN.contains(&trial.candidate.strategy.as_str()) {
        true => Found::passed(
            "nobody has said what the failing inputs should answer; this kind of change is trusted where nothing was answered",
        ),
        false => Found::weak("nobody has said what the failing inputs should answer (`fractal mark --expected` does)"),
    }
}
