//! Stability: the same input gives the same answer again and again, with other hash seeds and with the surroundings of a person's
//! shell, so that nothing lands that is right only sometimes or only here.

use super::trial::{Found, Pair, Trial};
use crate::model::{Comparison, Outcome, Recording, ToolInput, plain_line};

/// Inputs of each kind that are run again.
const INPUTS: usize = 6;

/// What a run sees besides the sandbox's own variables: nothing, then what shells, schedulers and build machines set. All of them are
/// harmless to a tool that does not look for them.
const SURROUNDINGS: [&[(&str, &str)]; 5] = [
    &[],
    &[("PYTHONHASHSEED", "1"), ("USER", "alice"), ("LOGNAME", "alice"), ("SHELL", "/bin/bash"), ("TERM", "xterm-256color")],
    &[("PYTHONHASHSEED", "2"), ("CI", "true"), ("GITHUB_ACTIONS", "true"), ("RUNNER_OS", "Linux")],
    &[("PYTHONHASHSEED", "3"), ("HOSTNAME", "web-1"), ("DEBUG", ""), ("PRODUCTION", "1"), ("ENVIRONMENT", "production")],
    &[("PYTHONHASHSEED", "4"), ("USER", "root"), ("DISPLAY", ":0"), ("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22")],
];

pub(super) fn check(trial: &Trial<'_, '_>) -> Found {
    let gate = trial.gate;
    let runs = gate.view.config.validate.stable_runs.max(2) as usize;
    let incident = gate.evidence.incident.iter().take(INPUTS);
    // Of good inputs those that the untouched version always answers with the same bytes.
    let good: Vec<&Recording> =
        gate.evidence.good.iter().filter(|recording| gate.baseline.of(&recording.given()).is_exact()).take(INPUTS).collect();
    // Where the tool itself varies, its answers to the incident may too.
    let varies = gate.tool.compare != Comparison::Exact
        || gate.evidence.good.iter().take(INPUTS).any(|recording| !gate.baseline.of(&recording.given()).is_exact());
    let inputs: Vec<(ToolInput, bool)> = incident
        .map(|recording| (recording.given(), !varies))
        .chain(good.iter().map(|recording| (recording.given(), true)))
        .collect();
    if inputs.is_empty() {
        return Found::skipped("there is no input to repeat");
    }
    let pair = &trial.pair;
    let repeated = |(input, exact): &(ToolInput, bool)| repeat(pair, input, *exact, runs);
    let answers = pair.bench.each(&inputs, repeated, Option::is_some);
    match answers.into_iter().flatten().flatten().next() {
        Some(how) => Found::failed(how),
        None => Found::passed(format!(
            "{} inputs give the same answer in {runs} of {runs} runs in different surroundings",
            inputs.len()
        )),
    }
}

/// What varies in the answers to one input, if anything does.
fn repeat(pair: &Pair<'_, '_>, input: &ToolInput, exact: bool, runs: usize) -> Option<String> {
    let first = pair.run(input);
    for surroundings in (0..runs).map(|run| SURROUNDINGS[run % SURROUNDINGS.len()]) {
        let again = pair.bench.run(input, surroundings);
        // A good input is answered by the untouched version too: what its surroundings change there is nothing new.
        let excused = || pair.old.bench.run(input, surroundings).stdout != pair.old.of(input).run.stdout;
        if again.outcome != first.outcome {
            let how = if again.outcome == Outcome::Success { "once succeeds" } else { "does not always succeed" };
            return Some(format!("`{}` {how}{}", input.shown(60), with(surroundings)));
        }
        if exact && again.stdout != first.stdout && !excused() {
            let how = super::replay::difference(&first.stdout, &again.stdout);
            return Some(format!("`{}` is not answered the same every time: {how}{}", input.shown(60), with(surroundings)));
        }
    }
    None
}

fn with(surroundings: &[(&str, &str)]) -> String {
    let names: Vec<&str> = surroundings.iter().map(|(name, _)| *name).collect();
    if names.is_empty() { String::new() } else { plain_line(&format!(" (with {} set)", names.join(", ")), 120) }
}
