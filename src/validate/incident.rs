//! The incident: the inputs that failed must succeed, k of k times.

use super::trial::{Found, Trial};
use crate::model::Recording;

pub(super) fn check(trial: &Trial<'_, '_>) -> Found {
    let gate = trial.gate;
    let incident = &gate.evidence.incident;
    if incident.is_empty() {
        return match gate.suite_is_red() {
            true => Found::passed("no recorded input fails, but the tool's own tests do; they are demanded below"),
            false => Found::skipped("no recorded input that fails can be repeated"),
        };
    }
    let runs = gate.view.config.validate.incident_runs.max(1);
    // The first of the runs is kept: later checks look at its answer.
    let pair = &trial.pair;
    let solves = |recording: &Recording| {
        pair.run(&recording.given()).solves(recording) && (1..runs).all(|_| pair.bench.replay(recording).solves(recording))
    };
    let solved = pair.bench.each(incident, solves, |solved| !solved);
    let held_out = incident.iter().filter(|recording| recording.execution.input.is_held_out()).count();
    match solved.iter().position(|answer| *answer == Some(false)) {
        Some(at) => {
            let shown = incident.get(at).map(|recording| recording.shown(60)).unwrap_or_default();
            Found::failed(format!("`{shown}` still fails"))
        }
        None => Found::passed(format!(
            "{} failing inputs succeed in {runs} of {runs} runs each ({held_out} of them held out)",
            incident.len()
        )),
    }
}
