//! The mutation check: a patch whose lines can be changed without anybody noticing is not shown to be right by what was run.
//!
//! And an input that the patched lines decide about, and that is still not answered as somebody said, shows that they are not right yet.

use super::answers::{Turn, turn};
use super::trial::{Found, Pair, Trial};
use crate::lang::{self, Mutant};
use crate::model::{Exit, FileEdit, Outcome, Patch, Recording, ToolInput};
use crate::world::bench::{Bench, Run};

/// Inputs of each kind on which a mutant is tried.
const INCIDENT: usize = 12;
const GOOD: usize = 12;

pub(super) fn check(trial: &Trial<'_, '_>) -> Found {
    let config = &trial.gate.view.config.validate;
    let mutants = mutants(trial, config.mutants);
    if config.mutants == 0 {
        return Found::skipped("switched off (`[validate] mutants = 0`)");
    }
    if mutants.is_empty() {
        return Found::skipped("no patched line is left that could be changed by a small mistake");
    }
    let inputs = inputs(trial);
    let (pair, patch, test) = (&trial.pair, &trial.candidate.patch, trial.test.as_ref());
    let mutated =
        |(path, mutant): &(String, Mutant)| patch.clone().and(Patch::write(path.as_str(), mutant.source.clone().into_bytes()));
    let is_noticed = |mutant: &(String, Mutant)| is_noticed(pair, &mutated(mutant), test, &inputs);
    let noticed: Vec<Option<bool>> = pair.bench.each(&mutants, is_noticed, |_| false);
    let lived: Vec<String> = mutants
        .iter()
        .zip(&noticed)
        .filter(|(_, noticed)| **noticed != Some(true))
        .map(|((path, mutant), _)| format!("{path}:{}: {} and nothing noticed", mutant.line, mutant.what))
        .collect();
    let seen = mutants.len() - lived.len();
    let detail = format!("{seen} of {} small mistakes in the patched lines are noticed", mutants.len());
    let found = match (seen as f64) < config.mutants_noticed * mutants.len() as f64 {
        true => Found::weak(format!("only {detail}: {}", lived.first().cloned().unwrap_or_default())),
        false => match still_wrong(trial, mutants.iter().map(mutated)) {
            Some(other) => Found::weak(format!(
                "the patched lines decide about `{}` too, which is still not answered as somebody said that it should",
                other.shown(60)
            )),
            None => Found::passed(detail),
        },
    };
    found.listing(lived)
}

/// Mutants with their files, as many of each file in turn.
fn mutants(trial: &Trial<'_, '_>, limit: usize) -> Vec<(String, Mutant)> {
    let edits = &trial.candidate.patch.edits;
    let share = limit.div_ceil(edits.len().max(1));
    let mut found = Vec::new();
    for (path, edit) in edits {
        let FileEdit::Write(content) = edit else { continue };
        let Ok(after) = std::str::from_utf8(content) else { continue };
        let before = trial.gate.view.repo.file_at(&trial.gate.commit, path).ok().flatten().unwrap_or_default();
        let lines = lang::new_lines(&String::from_utf8_lossy(&before), after);
        let mutants = lang::mutants(lang::detect(path, content), after, &lines, share);
        found.extend(mutants.into_iter().map(|mutant| (path.clone(), mutant)));
    }
    found.truncate(limit);
    found
}

/// Incident inputs first: they run through the patched lines.
fn inputs(trial: &Trial<'_, '_>) -> Vec<ToolInput> {
    let evidence = &trial.gate.evidence;
    let incident = evidence.incident.iter().take(INCIDENT);
    let good = evidence.good.iter().filter(|recording| trial.gate.baseline.of(&recording.given()).is_exact()).take(GOOD);
    incident.chain(good).map(Recording::given).collect()
}

/// A mutant is a patch over the candidate's.
fn is_noticed(pair: &Pair<'_, '_>, mutated: &Patch, test: Option<&Patch>, inputs: &[ToolInput]) -> bool {
    let bench = pair.old.bench.with(mutated);
    if inputs.iter().any(|input| differs(&pair.run(input), &bench.run(input, &[]))) {
        return true;
    }
    let with_test = match test {
        Some(test) => pair.old.bench.with(&mutated.clone().and(test.clone())),
        None => bench,
    };
    with_test.suite().is_some_and(|run| run.exit != Exit::Code(0))
}

fn differs(right: &Run, run: &Run) -> bool {
    run.outcome != right.outcome || (run.outcome == Outcome::Success && run.stdout != right.stdout)
}

/// An input that fails otherwise than the incident, still does, and with which a change of the patched lines makes a difference.
fn still_wrong<'t>(trial: &'t Trial<'_, '_>, mutated: impl Iterator<Item = Patch>) -> Option<&'t Recording> {
    let pair = &trial.pair;
    let still: Vec<&Recording> =
        trial.gate.evidence.others.iter().filter(|other| turn(pair, other) == Turn::Same).take(INCIDENT).collect();
    let benches: Vec<Bench<'_>> = match still.is_empty() {
        true => Vec::new(),
        false => mutated.map(|patch| pair.old.bench.with(&patch)).collect(),
    };
    let decided = |other: &Recording| {
        let (input, right) = (other.given(), pair.run(&other.given()));
        benches.iter().any(|bench| differs(&right, &bench.run(&input, &[])))
    };
    still.into_iter().find(|other| decided(other))
}
