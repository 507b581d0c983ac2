//! Replay: recorded good runs must stay good and give the same answer.

use std::sync::Arc;

use super::baseline::Old;
use super::trial::{Found, Trial};
use crate::config::ValidateConfig;
use crate::model::{Comparison, Outcome, Recording, plain_line};
use crate::world::bench::Run;

/// What became of one recorded good input.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Agrees(Comparison),
    Differs(String),
    Fails(String),
    /// The untouched version does not succeed any more, so it says nothing about a patch.
    Unusable,
}

pub(super) fn check(trial: &Trial<'_, '_>, held_out: bool) -> Found {
    let gate = trial.gate;
    let config = &gate.view.config.validate;
    let chosen: Vec<&Recording> =
        gate.evidence.good.iter().filter(|recording| recording.execution.input.is_held_out() == held_out).collect();
    let pair = &trial.pair;
    let ask = |recording: &&Recording| {
        let input = recording.given();
        answer(&pair.old.of(&input), || pair.run(&input), &recording.shown(60))
    };
    let is_enough = |answer: &Answer| matches!(answer, Answer::Fails(_)) && config.new_failures == 0;
    let answers: Vec<Answer> = pair.bench.each(&chosen, ask, is_enough).into_iter().flatten().collect();
    // Both halves count for whether there is enough to go by.
    let all = gate.evidence.good.len();
    judge(&answers, all, held_out, config)
}

fn answer(old: &Arc<Old>, run: impl FnOnce() -> Arc<Run>, shown: &str) -> Answer {
    let Some(expected) = &old.expected else { return Answer::Unusable };
    let new = run();
    if new.outcome != Outcome::Success {
        return Answer::Fails(format!("`{shown}` succeeded before and now ends with {}", new.exit));
    }
    match expected.agrees(&new.stdout) {
        true => Answer::Agrees(expected.comparison()),
        false => Answer::Differs(format!("`{shown}` gives another output: {}", difference(expected.first(), &new.stdout))),
    }
}

/// The thresholds of the configuration on what was seen.
fn judge(answers: &[Answer], all: usize, held_out: bool, config: &ValidateConfig) -> Found {
    let usable: Vec<&Answer> = answers.iter().filter(|answer| **answer != Answer::Unusable).collect();
    if usable.is_empty() {
        return Found::skipped(format!(
            "none of {} recorded good inputs can be repeated on the untouched version",
            answers.len()
        ));
    }
    let failing: Vec<&String> = usable.iter().filter_map(|a| if let Answer::Fails(how) = a { Some(how) } else { None }).collect();
    let differing: Vec<&String> =
        usable.iter().filter_map(|a| if let Answer::Differs(how) = a { Some(how) } else { None }).collect();
    let listed = || failing.iter().chain(&differing).map(|how| how.to_string()).collect::<Vec<_>>();
    if let Some(first) = failing.get(config.new_failures) {
        return Found::failed(first.to_string()).listing(listed());
    }
    let agreeing = usable.len() - failing.len() - differing.len();
    let share = agreeing as f64 / usable.len() as f64;
    if let Some(first) = failing.first().or(differing.first()) {
        return match share < config.agreement {
            true => Found::failed(format!("{first} ({agreeing} of {} agree)", usable.len())).listing(listed()),
            false => Found::weak(format!("{agreeing} of {} distinct good inputs agree; {first}", usable.len())).listing(listed()),
        };
    }
    let mut detail = counted(&usable);
    let unusable = answers.len() - usable.len();
    if unusable > 0 {
        detail.push_str(&format!("; {unusable} could not be repeated on the untouched version"));
    }
    match all < config.good_inputs && !held_out {
        true => {
            Found::weak(format!("{detail}; fewer than {} are little to go by (`[validate] good_inputs`)", config.good_inputs))
        }
        false => Found::passed(detail),
    }
}

/// "40 distinct good inputs give the same output, 2 give output of the same form".
fn counted(usable: &[&Answer]) -> String {
    let mut parts = Vec::new();
    for comparison in Comparison::ALL {
        let count = usable.iter().filter(|answer| ***answer == Answer::Agrees(comparison)).count();
        match (count, parts.is_empty()) {
            (0, _) => {}
            (_, true) => parts.push(format!("{count} distinct good inputs give {}", comparison.words())),
            (_, false) => parts.push(format!("{count} give {}", comparison.words())),
        }
    }
    parts.join(", ")
}

/// Where two outputs begin to differ, for people.
pub(super) fn difference(old: &[u8], new: &[u8]) -> String {
    let (old, new) = (String::from_utf8_lossy(old), String::from_utf8_lossy(new));
    let (mut old_lines, mut new_lines) = (old.lines(), new.lines());
    let mut line = 0;
    loop {
        line += 1;
        return match (old_lines.next(), new_lines.next()) {
            (Some(one), Some(other)) if one == other => continue,
            (Some(one), Some(other)) => {
                format!("line {line} was `{}` and is `{}`", plain_line(one, 60), plain_line(other, 60))
            }
            (Some(one), None) => format!("line {line}, `{}`, is gone", plain_line(one, 60)),
            (None, Some(other)) => format!("line {line}, `{}`, is new", plain_line(other, 60)),
            (None, None) => "only the line ends differ".to_string(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::model::CheckStatus;

    fn status(agree: usize, differ: usize, fail: usize, all: usize) -> CheckStatus {
        let mut answers = vec![Answer::Agrees(Comparison::Exact); agree];
        answers.extend(vec![Answer::Differs("x".into()); differ]);
        answers.extend(vec![Answer::Fails("y".into()); fail]);
        judge(&answers, all, false, &Config::default().validate).named("replay").status
    }

    #[test]
    fn one_new_failure_fails_and_few_differences_ask_a_person() {
        assert_eq!(status(50, 0, 0, 50), CheckStatus::Passed);
        assert_eq!(status(99, 0, 1, 100), CheckStatus::Failed);
        assert_eq!(status(19, 1, 0, 20), CheckStatus::Weak);
        assert_eq!(status(18, 1, 0, 19), CheckStatus::Failed);
        assert_eq!(status(0, 0, 0, 0), CheckStatus::Skipped);
        assert_eq!(status(4, 0, 0, 4), CheckStatus::Weak);
    }

    #[test]
    fn the_first_difference_is_named() {
        assert_eq!(difference(b"a\nb\n", b"a\nc\n"), "line 2 was `b` and is `c`");
        assert_eq!(difference(b"a\n", b"a\nc\n"), "line 2, `c`, is new");
        assert_eq!(difference(b"a\nb", b"a\n"), "line 2, `b`, is gone");
        assert_eq!(difference(b"a", b"a\n"), "only the line ends differ");
    }
}
