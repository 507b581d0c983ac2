//! The mutation check: a patch whose lines can be changed without anybody noticing is not shown to be right by what was run.

use super::trial::{Found, Pair, Trial};
use crate::lang::{self, Mutant};
use crate::model::{Exit, FileEdit, Outcome, Patch, ToolInput};

/// Inputs of each kind on which a mutant is tried.
const INCIDENT: usize = 4;
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
    let (pair, patch) = (&trial.pair, &trial.candidate.patch);
    let test = trial.test.as_ref();
    let is_noticed = |(path, mutant): &(String, Mutant)| {
        let mutated = patch.clone().and(Patch::write(path.as_str(), mutant.source.clone().into_bytes()));
        is_noticed(pair, &mutated, test, &inputs)
    };
    let noticed: Vec<Option<bool>> = pair.bench.each(&mutants, is_noticed, |_| false);
    let lived: Vec<String> = mutants
        .iter()
        .zip(&noticed)
        .filter(|(_, noticed)| **noticed != Some(true))
        .map(|((path, mutant), _)| format!("{path}:{}: {} and nothing noticed", mutant.line, mutant.what))
        .collect();
    let seen = mutants.len() - lived.len();
    let detail = format!("{seen} of {} small mistakes in the patched lines are noticed", mutants.len());
    match (seen as f64) < config.mutants_noticed * mutants.len() as f64 {
        true => Found::weak(format!("only {detail}: {}", lived.first().cloned().unwrap_or_default())).listing(lived),
        false => Found::passed(detail).listing(lived),
    }
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
    incident.chain(good).map(|recording| recording.given()).collect()
}

/// A mutant is a patch over the candidate's.
fn is_noticed(pair: &Pair<'_, '_>, mutated: &Patch, test: Option<&Patch>, inputs: &[ToolInput]) -> bool {
    let bench = pair.old.bench.with(mutated);
    let differs = |input: &ToolInput| {
        let (right, run) = (pair.run(input), bench.run(input, &[]));
        run.outcome != right.outcome || (run.outcome == Outcome::Success && run.stdout != right.stdout)
    };
    if inputs.iter().any(differs) {
        return true;
    }
    let with_test = match test {
        Some(test) => pair.old.bench.with(&mutated.clone().and(test.clone())),
        None => bench,
    };
    with_test.suite().is_some_and(|run| run.exit != Exit::Code(0))
}
