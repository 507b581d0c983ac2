//! Shadow and synthetic runs: old and new side by side on inputs that nobody has recorded. Nobody knows the right answers; only
//! differences count, and they are listed, each with its smallest input.

use super::inputs;
use super::minimise::minimise;
use super::replay::difference;
use super::trial::{Found, Pair, Trial};
use crate::model::{Outcome, ToolInput};
use crate::world::bench::Run;

/// Runs that one input may cost to become smaller, and inputs that are made smaller.
const SMALLER_TRIES: usize = 24;
const SMALLER: usize = 2;

/// What the new version does with an input, beside the old one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Agrees,
    /// The old one failed like the incident, and the new one answers.
    Repaired,
    /// Both fail like the incident.
    StillFails,
    /// Both answer, and not the same, or fail in different ways.
    Differs(String),
    /// The old one answered, and the new one fails.
    Broken(String),
    /// The old one does not end the same way twice.
    Nothing,
}

/// Recorded inputs with one thing changed.
pub(super) fn varied(trial: &Trial<'_, '_>) -> Found {
    let gate = trial.gate;
    let recorded: Vec<ToolInput> = gate.evidence.inputs();
    let limit = gate.view.config.validate.shadow_inputs;
    let varied = inputs::varied(&recorded, &gate.seed, limit).into_iter().map(|(_, input)| input).collect();
    side_by_side(trial, varied, "recorded inputs with one thing changed")
}

/// New inputs of the recorded shapes.
pub(super) fn synthetic(trial: &Trial<'_, '_>) -> Found {
    let gate = trial.gate;
    let limit = gate.view.config.validate.synthetic_inputs;
    let made = inputs::synthetic(&gate.evidence.inputs(), &gate.seed, limit);
    side_by_side(trial, made, "new inputs of the recorded shapes")
}

fn side_by_side(trial: &Trial<'_, '_>, inputs: Vec<ToolInput>, what: &str) -> Found {
    if let Err(why) = &trial.gate.plan.varied {
        return Found::skipped(why.clone());
    }
    if inputs.is_empty() {
        return Found::skipped(format!("no {what} can be made"));
    }
    let (pair, classes) = (&trial.pair, &trial.gate.classes);
    let seen: Vec<(usize, Seen)> = pair
        .bench
        .each(&inputs, |input| look(pair, classes, input), |seen| matches!(seen, Seen::Broken(_)))
        .into_iter()
        .enumerate()
        .filter_map(|(at, seen)| Some((at, seen?)))
        .collect();
    let count = |wanted: fn(&Seen) -> bool| seen.iter().filter(|(_, seen)| wanted(seen)).count();
    let (agree, repaired) = (count(|seen| *seen == Seen::Agrees), count(|seen| *seen == Seen::Repaired));
    let told = |found: &[&(usize, Seen)]| -> Vec<String> {
        found.iter().enumerate().map(|(nth, (at, seen))| tell(pair, classes, &inputs[*at], seen, nth < SMALLER)).collect()
    };
    let broken: Vec<&(usize, Seen)> = seen.iter().filter(|(_, seen)| matches!(seen, Seen::Broken(_))).collect();
    if !broken.is_empty() {
        let lines = told(&broken);
        return Found::failed(lines[0].clone()).listing(lines);
    }
    let doubtful: Vec<&(usize, Seen)> =
        seen.iter().filter(|(_, seen)| matches!(seen, Seen::Differs(_) | Seen::StillFails)).collect();
    let summary = format!("of {} {what}, {agree} are answered as before and {repaired} no longer fail", seen.len());
    if !doubtful.is_empty() {
        let lines = told(&doubtful);
        return Found::weak(format!("{summary}; {} differ or still fail: {}", doubtful.len(), lines[0])).listing(lines);
    }
    match agree + repaired {
        0 => Found::skipped(format!("the untouched version answers none of {} {what} steadily", seen.len())),
        _ => Found::passed(summary),
    }
}

fn look(pair: &Pair<'_, '_>, classes: &[String], input: &ToolInput) -> Seen {
    let old = pair.old.of(input);
    if !old.steady {
        return Seen::Nothing;
    }
    let new = pair.run(input);
    let agrees = |run: &Run| old.expected.as_ref().is_some_and(|expected| expected.agrees(&run.stdout));
    compare(&old.run, &new, agrees(&new), classes)
}

/// `classes` are those of the incident's failures.
fn compare(old: &Run, new: &Run, agrees: bool, classes: &[String]) -> Seen {
    let class = |run: &Run| run.failure.as_ref().map(|failure| failure.class.clone()).unwrap_or_default();
    match (old.outcome, new.outcome) {
        (Outcome::Error, _) | (_, Outcome::Error) => Seen::Nothing,
        (Outcome::Success, Outcome::Success) if agrees => Seen::Agrees,
        (Outcome::Success, Outcome::Success) => Seen::Differs(difference(&old.stdout, &new.stdout)),
        (Outcome::Success, Outcome::Failure) => Seen::Broken(format!("succeeded before and now ends with {}", new.exit)),
        (Outcome::Failure, after) => match (classes.contains(&class(old)), after) {
            (true, Outcome::Success) => Seen::Repaired,
            (true, _) if class(old) == class(new) => Seen::StillFails,
            (_, Outcome::Success) => Seen::Differs(format!("failed with {} and now succeeds", class(old))),
            (_, _) if class(old) == class(new) => Seen::Agrees,
            (_, _) => Seen::Differs(format!("failed with {} and now with {}", class(old), class(new))),
        },
    }
}

/// One line on an input, with the smallest one that is answered like it.
fn tell(pair: &Pair<'_, '_>, classes: &[String], input: &ToolInput, seen: &Seen, smaller: bool) -> String {
    let is_alike = |other: &ToolInput| std::mem::discriminant(&look(pair, classes, other)) == std::mem::discriminant(seen);
    let tries = if smaller { SMALLER_TRIES } else { 0 };
    let input = minimise(input, tries, is_alike).input;
    match look(pair, classes, &input) {
        Seen::Differs(how) | Seen::Broken(how) => format!("`{}` {how}", input.shown(60)),
        _ => format!("`{}` still fails like the incident", input.shown(60)),
    }
}
