//! What a strategy may be told of a verdict, so that it can do better: nothing that is held out, and nothing that was made from it.

use super::Gate;
use crate::model::{Candidate, Check, CheckStatus, Exit, Verdict, ending, plain_line};

/// Inputs that are told.
const INPUTS: usize = 4;
/// Bytes of a suite's output: its end.
const SUITE: usize = 2000;

impl Gate<'_> {
    /// What was found wrong with a candidate, for whoever proposed it.
    pub fn told(&self, candidate: &Candidate, verdict: &Verdict) -> String {
        let failed = verdict.checks.iter().filter(|check| check.status == CheckStatus::Failed);
        let told: Vec<String> = failed.map(|check| self.told_of(candidate, check)).collect();
        if told.is_empty() {
            "Nothing was found wrong, and it was not taken: the evidence does not suffice.".into()
        } else {
            told.join("\n")
        }
    }

    fn told_of(&self, candidate: &Candidate, check: &Check) -> String {
        match check.name.as_str() {
            "incident" => self.still_failing(candidate),
            "suite" => self.suite_says(candidate),
            "regression test" => "A regression test made from one of the failing inputs does not pass.".into(),
            // Of the patch alone, or of the seen half.
            "policy" | "parse" | "callers" | "cost" | "replay" => {
                let listed = check.listed.iter().map(|line| format!("\n- {line}")).collect::<String>();
                format!("{}: {}{listed}", check.name, check.detail)
            }
            "held-out replay" => {
                "Inputs that succeeded before, and that you were not shown, now fail or are answered differently.".into()
            }
            name => format!("It did not pass the check `{name}`, on inputs that you were not shown."),
        }
    }

    fn still_failing(&self, candidate: &Candidate) -> String {
        let bench = self.bench().with(&candidate.patch);
        let mut told = Vec::new();
        for recording in self.shown().failing {
            let run = bench.replay(recording);
            if run.solves(recording) {
                continue;
            }
            let wanted = recording.expected.as_ref().map(|expected| {
                let (is, wanted) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(expected));
                format!("; it prints `{}` and should print `{}`", plain_line(&is, 200), plain_line(&wanted, 200))
            });
            let failure = run.failure.map(|failure| format!("{}: {}", failure.class, failure.message)).unwrap_or_default();
            told.push(format!("- `{}` ends with {} {failure}{}", recording.shown(120), run.exit, wanted.unwrap_or_default()));
            if told.len() == INPUTS {
                break;
            }
        }
        match told.is_empty() {
            true => "The failing inputs that you were shown succeed now, but others of the same kind, which you were not shown, still fail.".into(),
            false => format!("These inputs still fail:\n{}", told.join("\n")),
        }
    }

    fn suite_says(&self, candidate: &Candidate) -> String {
        let run = self.bench().with(&candidate.patch).suite().filter(|run| run.exit != Exit::Code(0));
        let said = run.map(|run| [run.stdout, run.stderr].concat()).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        format!("The tool's own tests fail:\n{}", ending(&said, SUITE))
    }
}
