//! The incident: the inputs that failed must succeed, k of k times. Those of the seen half have failed again on the untouched version; a
//! held-out one for which something is missing here, such as a file that it names, says nothing of a patch.

use super::trial::{Found, Trial};
use crate::model::{Failure, Recording};
use crate::world::bench::Run;

/// What a patch makes of a failing input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Solved,
    Fails,
    /// Both versions fail here, alike, and not as it failed where it was recorded.
    Elsewhere,
}

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
    let (pair, untouched) = (&trial.pair, gate.bench());
    let solves = |recording: &Recording| {
        let run = pair.run(&recording.given());
        if run.solves(recording) && (1..runs).all(|_| pair.bench.replay(recording).solves(recording)) {
            return Turn::Solved;
        }
        let is_elsewhere = || (0..runs).all(|_| fails_otherwise(&untouched.replay(recording), &run, recording));
        match recording.execution.input.is_held_out() && is_elsewhere() {
            true => Turn::Elsewhere,
            false => Turn::Fails,
        }
    };
    let turns = pair.bench.each(incident, solves, |turn| *turn == Turn::Fails);
    let of = |wanted: Turn| {
        let took = incident.iter().zip(&turns).filter(move |(_, turn)| **turn == Some(wanted));
        took.map(|(recording, _)| recording)
    };
    if let Some(recording) = of(Turn::Fails).next() {
        return Found::failed(format!("`{}` still fails", recording.shown(60)));
    }
    let count = of(Turn::Solved).count();
    if count == 0 {
        return Found::skipped("no recorded input fails here as it did where it was recorded");
    }
    let held_out = of(Turn::Solved).filter(|recording| recording.execution.input.is_held_out()).count();
    let left = match of(Turn::Elsewhere).count() {
        0 => String::new(),
        more => format!("; {more} more do not fail here as they did where they were recorded"),
    };
    Found::passed(format!("{count} failing inputs succeed in {runs} of {runs} runs each ({held_out} of them held out){left}"))
}

/// Whether both versions fail here in one way, and that is another than the recorded one.
fn fails_otherwise(untouched: &Run, patched: &Run, recording: &Recording) -> bool {
    let class = |failure: &Option<Failure>| failure.as_ref().map(|failure| failure.class.clone());
    let here = class(&untouched.failure);
    here.is_some() && here == class(&patched.failure) && here != class(&recording.execution.failure)
}
