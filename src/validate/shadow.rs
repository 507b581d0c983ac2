//! Shadow and synthetic runs: old and new side by side on inputs that nobody has recorded. Nobody knows the right answers; only
//! differences count, and they are listed, each with its smallest input.

use super::answers::{Turn, turn};
use super::baseline::Baseline;
use super::inputs;
use super::minimise::minimise;
use super::replay::difference;
use super::trial::{Found, Pair, Trial};
use crate::config::NewAnswers;
use crate::model::{Exit, Failure, Outcome, Recording, Seen, Tool, ToolInput};
use crate::world::bench::{Bench, Run};

/// Runs that one input may cost to become smaller, and inputs that are made smaller.
const SMALLER_TRIES: usize = 24;
const SMALLER: usize = 2;

/// Recorded inputs with one thing changed.
pub(super) fn varied(trial: &Trial<'_, '_>) -> Found {
    side_by_side(trial, of_recorded(trial), "recorded inputs with one thing changed", true)
}

/// New inputs of the recorded shapes.
pub(super) fn synthetic(trial: &Trial<'_, '_>) -> Found {
    side_by_side(trial, of_shapes(trial), "new inputs of the recorded shapes", false)
}

fn of_recorded(trial: &Trial<'_, '_>) -> Vec<ToolInput> {
    let gate = trial.gate;
    let limit = gate.view.config.validate.shadow_inputs;
    inputs::varied(&gate.evidence.inputs(), &gate.seed, limit).into_iter().map(|(_, input)| input).collect()
}

fn of_shapes(trial: &Trial<'_, '_>) -> Vec<ToolInput> {
    let gate = trial.gate;
    inputs::synthetic(&gate.evidence.inputs(), &gate.seed, gate.view.config.validate.synthetic_inputs)
}

/// `near` are inputs like the ones that failed: of them at least one must be repaired where any still fails. That some do is what a tool
/// does with input that makes no sense.
fn side_by_side(trial: &Trial<'_, '_>, inputs: Vec<ToolInput>, what: &str, near: bool) -> Found {
    if let Err(why) = &trial.gate.plan.varied {
        return Found::skipped(why.clone());
    }
    if inputs.is_empty() {
        return Found::skipped(format!("no {what} can be made"));
    }
    let (pair, incident) = (&trial.pair, &trial.gate.incident);
    let seen: Vec<(usize, Seen)> = pair
        .bench
        .each(&inputs, |input| look(pair, incident, input), |seen| matches!(seen, Seen::Broken(_)))
        .into_iter()
        .enumerate()
        .filter_map(|(at, seen)| Some((at, seen?)))
        .collect();
    let count = |wanted: fn(&Seen) -> bool| seen.iter().filter(|(_, seen)| wanted(seen)).count();
    let (agree, repaired) = (count(|seen| *seen == Seen::Agrees), count(|seen| *seen == Seen::Repaired));
    let told = |found: &[&(usize, Seen)]| -> Vec<String> {
        found.iter().enumerate().map(|(nth, (at, seen))| tell(pair, incident, &inputs[*at], seen, nth < SMALLER)).collect()
    };
    let broken: Vec<&(usize, Seen)> = seen.iter().filter(|(_, seen)| matches!(seen, Seen::Broken(_))).collect();
    if !broken.is_empty() {
        let lines = told(&broken);
        return Found::failed(lines[0].clone()).listing(lines);
    }
    // Where answers were wrong, other answers are what is wanted; whether they are right is told by those that are known.
    let was_wrong = |other: &&Recording| other.execution.failure.as_ref().is_some_and(Failure::is_wrong_output);
    let are_wanted = trial.gate.investigation.failure.is_wrong_output()
        || trial.gate.evidence.others.iter().filter(was_wrong).any(|other| turn(pair, other) == Turn::Right);
    let (wanted, mut doubtful): (Vec<_>, Vec<_>) =
        seen.iter().filter(|(_, seen)| matches!(seen, Seen::Differs(_))).partition(|_| are_wanted);
    let failing: Vec<&(usize, Seen)> = seen.iter().filter(|(_, seen)| *seen == Seen::StillFails).collect();
    let mut summary = format!("of {} {what}, {agree} are answered as before and {repaired} no longer fail", seen.len());
    if !wanted.is_empty() {
        summary.push_str(&format!(", {} are answered in another way than the wrong one", wanted.len()));
    }
    match near && repaired + wanted.len() == 0 {
        true => doubtful.extend(failing),
        false if !failing.is_empty() => summary.push_str(&format!(", {} still fail", failing.len())),
        false => {}
    }
    if !doubtful.is_empty() {
        let lines = told(&doubtful);
        return Found::weak(format!("{summary}; {} differ or still fail: {}", doubtful.len(), lines[0])).listing(lines);
    }
    if !wanted.is_empty() && trial.gate.view.config.validate.new_answers == NewAnswers::Review {
        return Found::weak(format!("{summary}; nobody has said whether those are right")).listing(told(&wanted));
    }
    match agree + repaired {
        0 => Found::skipped(format!("the untouched version answers none of {} {what} steadily", seen.len())),
        _ => Found::passed(summary).listing(told(&wanted)),
    }
}

fn look(pair: &Pair<'_, '_>, incident: &[Failure], input: &ToolInput) -> Seen {
    let old = pair.old.of(input);
    if !old.steady {
        return Seen::Nothing;
    }
    let new = pair.run(input);
    let agrees = |run: &Run| old.expected.as_ref().is_some_and(|expected| expected.agrees(&run.stdout));
    compare(&old.run, &new, agrees(&new), incident, difference)
}

/// What the version on `new` does with the input of a recorded run of the version on `old`. Where the recorded answer is not given again,
/// `old` is run too: what changed in the world since, or varies by itself, is not blamed on `new`. Nothing that was recorded or printed is
/// in what is returned.
pub fn beside_live(old: Bench<'_>, new: &Bench<'_>, tool: &Tool, incident: &[Failure], recorded: &Recording) -> Seen {
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
    compare(&old.run, &run, agrees, incident, place)
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

/// `incident` are the incident's failures; `differs` tells two answers apart. What ended in a trace was not meant to: when it ends in another
/// way now, that is no difference that anybody relies on. What was refused without one was.
fn compare(old: &Run, new: &Run, agrees: bool, incident: &[Failure], differs: fn(&[u8], &[u8]) -> String) -> Seen {
    let class = |run: &Run| run.failure.as_ref().map(|failure| failure.class.clone()).unwrap_or_default();
    let is_incident = |run: &Run| run.failure.as_ref().is_some_and(|now| incident.iter().any(|failure| failure.is_like(now)));
    let was_refused = |run: &Run| run.failure.as_ref().is_some_and(|failure| failure.frames.is_empty());
    let known = incident.iter().any(|failure| failure.class == class(old));
    match (old.outcome, new.outcome) {
        (Outcome::Error, _) | (_, Outcome::Error) => Seen::Nothing,
        (Outcome::Success, Outcome::Success) if agrees => Seen::Agrees,
        (Outcome::Success, Outcome::Success) => Seen::Differs(differs(&old.stdout, &new.stdout)),
        (Outcome::Success, Outcome::Failure) => Seen::Broken(format!("succeeded before and now ends with {}", new.exit)),
        (Outcome::Failure, Outcome::Success) if known => Seen::Repaired,
        (Outcome::Failure, Outcome::Failure) if is_incident(old) && is_incident(new) => Seen::StillFails,
        (Outcome::Failure, Outcome::Success) if was_refused(old) => {
            Seen::Differs(format!("was refused with {} and now succeeds", class(old)))
        }
        (Outcome::Failure, Outcome::Failure) if was_refused(old) && !was_refused(new) => {
            Seen::Differs(format!("was refused with {} and now fails with {}", class(old), class(new)))
        }
        (Outcome::Failure, _) => Seen::Agrees,
    }
}

/// One line on an input, with the smallest one that is answered like it.
fn tell(pair: &Pair<'_, '_>, incident: &[Failure], input: &ToolInput, seen: &Seen, smaller: bool) -> String {
    let is_alike = |other: &ToolInput| std::mem::discriminant(&look(pair, incident, other)) == std::mem::discriminant(seen);
    let tries = if smaller { SMALLER_TRIES } else { 0 };
    let input = minimise(input, tries, is_alike).input;
    format!("`{}` {}", input.shown(60), look(pair, incident, &input).told())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(exit: i32, stdout: &str, stderr: &str) -> Run {
        let failure = (exit != 0).then(|| crate::lang::failure(&Exit::Code(exit), stderr.as_bytes(), "/checkout"));
        let outcome = if exit == 0 { Outcome::Success } else { Outcome::Failure };
        let none = std::time::Duration::ZERO;
        let (stdout, stderr) = (stdout.into(), stderr.into());
        Run { exit: Exit::Code(exit), outcome, failure, stdout, stderr, duration: none, cpu: none, memory: None }
    }

    fn crash(class: &str, message: &str) -> Run {
        let trace = "Traceback (most recent call last):\n  File \"/checkout/a.py\", line 3, in f\n    x\n";
        ended(1, "", &format!("{trace}{class}: {message}\n"))
    }

    #[test]
    fn what_was_refused_must_stay_refused_and_what_crashed_need_not_crash() {
        let incident = [crash("ValueError", "bad day 31").failure.expect("failed")];
        let seen = |old: &Run, new: &Run| compare(old, new, old.stdout == new.stdout, &incident, place);
        let (good, other, refused) = (ended(0, "a\n", ""), ended(0, "b\n", ""), ended(2, "", "usage: f DAY\n"));
        let (like, unlike) = (crash("ValueError", "bad day 32"), crash("ValueError", "no day at all"));
        assert_eq!(seen(&good, &good), Seen::Agrees);
        assert!(matches!(seen(&good, &other), Seen::Differs(_)) && matches!(seen(&good, &like), Seen::Broken(_)));
        assert_eq!(seen(&like, &good), Seen::Repaired);
        assert_eq!((seen(&like, &like), seen(&like, &refused)), (Seen::StillFails, Seen::Agrees));
        assert_eq!((seen(&unlike, &unlike), seen(&crash("KeyError", "x"), &good)), (Seen::Agrees, Seen::Agrees));
        assert!(matches!(seen(&refused, &good), Seen::Differs(_)) && matches!(seen(&refused, &like), Seen::Differs(_)));
        assert_eq!(seen(&refused, &refused), Seen::Agrees);
    }

    #[test]
    fn where_answers_differ_is_told_without_what_they_say() {
        let told = |old: &str, new: &str| place(old.as_bytes(), new.as_bytes());
        assert_eq!(told("a\nb\n", "a\nc\n"), "line 2 of the answer differs");
        assert_eq!(told("a\nb\nc\n", "a\n"), "the answer ends after line 1, 2 too early");
        assert_eq!(told("a\n", "a\nb\n"), "the answer goes on after line 1, for 1 more");
        assert_eq!(told("a\n", "a"), "only the line ends of the answer differ");
    }
}
