//! Shadow and synthetic runs: old and new side by side on inputs that nobody has recorded. Nobody knows the right answers; only
//! differences count, and they are listed, each with its smallest input.

use super::baseline::Baseline;
use super::inputs;
use super::minimise::minimise;
use super::replay::difference;
use super::trial::{Found, Pair, Trial};
use crate::model::{Exit, Outcome, Recording, Seen, Tool, ToolInput};
use crate::world::bench::{Bench, Run};

/// Runs that one input may cost to become smaller, and inputs that are made smaller.
const SMALLER_TRIES: usize = 24;
const SMALLER: usize = 2;

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
    // Where answers were wrong, other answers are what is wanted; whether they are right is told by those that are known.
    let are_wanted = trial.gate.investigation.failure.is_wrong_output();
    let (wanted, doubtful): (Vec<_>, Vec<_>) = seen
        .iter()
        .filter(|(_, seen)| matches!(seen, Seen::Differs(_) | Seen::StillFails))
        .partition(|(_, seen)| are_wanted && matches!(seen, Seen::Differs(_)));
    let mut summary = format!("of {} {what}, {agree} are answered as before and {repaired} no longer fail", seen.len());
    if !wanted.is_empty() {
        summary.push_str(&format!(", {} are answered in another way than the wrong one", wanted.len()));
    }
    if !doubtful.is_empty() {
        let lines = told(&doubtful);
        return Found::weak(format!("{summary}; {} differ or still fail: {}", doubtful.len(), lines[0])).listing(lines);
    }
    match agree + repaired {
        0 => Found::skipped(format!("the untouched version answers none of {} {what} steadily", seen.len())),
        _ => Found::passed(summary).listing(told(&wanted)),
    }
}

fn look(pair: &Pair<'_, '_>, classes: &[String], input: &ToolInput) -> Seen {
    let old = pair.old.of(input);
    if !old.steady {
        return Seen::Nothing;
    }
    let new = pair.run(input);
    let agrees = |run: &Run| old.expected.as_ref().is_some_and(|expected| expected.agrees(&run.stdout));
    compare(&old.run, &new, agrees(&new), classes, difference)
}

/// What the version on `new` does with the input of a recorded run of the version on `old`. Where the recorded answer is not given again,
/// `old` is run too: what changed in the world since, or varies by itself, is not blamed on `new`. Nothing that was recorded or printed is
/// in what is returned.
pub fn beside_live(old: Bench<'_>, new: &Bench<'_>, tool: &Tool, classes: &[String], recorded: &Recording) -> Seen {
    let (input, outcome) = (recorded.given(), recorded.execution.outcome);
    let mut run = new.run(&input, &[]);
    if (outcome, run.outcome) == (Outcome::Success, Outcome::Success) && run.stdout == recorded.stdout {
        return Seen::Agrees;
    }
    let old = Baseline::new(old, tool.compare).of(&input);
    if !old.steady || old.run.outcome != outcome {
        return Seen::Nothing;
    }
    if run.exit == Exit::TimedOut && old.run.exit != Exit::TimedOut {
        // Whoever has the lowest priority may have waited for others.
        run = new.run(&input, &[]);
    }
    let agrees = old.expected.as_ref().is_some_and(|expected| expected.agrees(&run.stdout));
    compare(&old.run, &run, agrees, classes, place)
}

/// Where two answers begin to differ, without what they say.
fn place(old: &[u8], new: &[u8]) -> String {
    let lines = |answer| String::from_utf8_lossy(answer).lines().map(str::to_string).collect::<Vec<_>>();
    let (old, new) = (lines(old), lines(new));
    let same = old.iter().zip(&new).take_while(|(one, other)| one == other).count();
    match (old.len() - same, new.len() - same) {
        (0, 0) => "only the line ends of the answer differ".into(),
        (0, more) => format!("the answer goes on after line {same}, for {more} more"),
        (less, 0) => format!("the answer ends after line {same}, {less} too early"),
        _ => format!("line {} of the answer differs", same + 1),
    }
}

/// `classes` are those of the incident's failures; `differs` tells two answers apart.
fn compare(old: &Run, new: &Run, agrees: bool, classes: &[String], differs: fn(&[u8], &[u8]) -> String) -> Seen {
    let class = |run: &Run| run.failure.as_ref().map(|failure| failure.class.clone()).unwrap_or_default();
    match (old.outcome, new.outcome) {
        (Outcome::Error, _) | (_, Outcome::Error) => Seen::Nothing,
        (Outcome::Success, Outcome::Success) if agrees => Seen::Agrees,
        (Outcome::Success, Outcome::Success) => Seen::Differs(differs(&old.stdout, &new.stdout)),
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
    format!("`{}` {}", input.shown(60), look(pair, classes, &input).told())
}
