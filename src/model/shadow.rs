//! What a run shows of a proposed version, beside the version that it would replace.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ExecutionId;

/// What the new version does with an input, beside the old one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", content = "how", rename_all = "snake_case")]
pub enum Seen {
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

impl Seen {
    /// For people.
    pub fn told(&self) -> &str {
        match self {
            Seen::Agrees => "agrees",
            Seen::Repaired => "failed and now succeeds",
            Seen::StillFails => "still fails like the incident",
            Seen::Differs(how) | Seen::Broken(how) => how,
            Seen::Nothing => "does not end in the sandbox as it did live",
        }
    }

    /// What speaks against the new version, if anything does.
    pub fn doubt(&self) -> Option<&str> {
        matches!(self, Seen::Differs(_) | Seen::Broken(_)).then(|| self.told())
    }
}

/// A live run that was repeated on the proposed version. It holds nothing that was recorded or printed: what is forgotten elsewhere
/// is not kept here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShadowRun {
    pub execution: ExecutionId,
    pub at: Timestamp,
    #[serde(flatten)]
    pub seen: Seen,
}

/// Live runs that were repeated on the proposed version, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ShadowCounts {
    pub runs: u64,
    pub agree: u64,
    pub repaired: u64,
    pub still_fail: u64,
    pub differ: u64,
    pub broken: u64,
    /// They could not be repeated in the sandbox, so they say nothing.
    pub nothing: u64,
    /// What the first run says that speaks against the new version.
    pub doubt: Option<String>,
}

impl ShadowCounts {
    /// Counts.
    pub fn of(runs: &[ShadowRun]) -> ShadowCounts {
        let count = |wanted: fn(&Seen) -> bool| runs.iter().filter(|run| wanted(&run.seen)).count() as u64;
        ShadowCounts {
            runs: runs.len() as u64,
            agree: count(|seen| *seen == Seen::Agrees),
            repaired: count(|seen| *seen == Seen::Repaired),
            still_fail: count(|seen| *seen == Seen::StillFails),
            differ: count(|seen| matches!(seen, Seen::Differs(_))),
            broken: count(|seen| matches!(seen, Seen::Broken(_))),
            nothing: count(|seen| *seen == Seen::Nothing),
            doubt: runs.iter().find_map(|run| run.seen.doubt()).map(str::to_string),
        }
    }

    /// Runs that speak for the new version.
    pub fn good(&self) -> u64 {
        self.agree + self.repaired
    }

    /// To be put behind something else; empty when there was no run.
    pub fn told(&self) -> String {
        if self.runs == 0 { String::new() } else { format!("; live shadow: {self}") }
    }
}

/// `37 runs, 36 agree, 1 differs: line 1 of the answer differs`
impl fmt::Display for ShadowCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.runs, "run", "runs"),
            (self.agree, "agrees", "agree"),
            (self.repaired, "no longer fails", "no longer fail"),
            (self.still_fail, "still fails", "still fail"),
            (self.differ, "differs", "differ"),
            (self.broken, "fails only now", "fail only now"),
            (self.nothing, "cannot be repeated", "cannot be repeated"),
        ];
        let told = parts.into_iter().filter(|(count, ..)| *count > 0);
        let told: Vec<String> =
            told.map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many })).collect();
        f.write_str(&told.join(", "))?;
        self.doubt.iter().try_for_each(|doubt| write!(f, ": {doubt}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_counted_and_told_in_one_line_and_survive_json() {
        let id = ExecutionId::derived(Timestamp::UNIX_EPOCH, &[]);
        let run = |seen: &Seen| ShadowRun { execution: id.clone(), at: Timestamp::UNIX_EPOCH, seen: seen.clone() };
        let seen = [Seen::Agrees, Seen::Nothing, Seen::Differs("line 1".into()), Seen::Agrees, Seen::Broken("exit 1".into())];
        let runs: Vec<ShadowRun> = seen.iter().map(run).collect();
        let counts = ShadowCounts::of(&runs);
        assert_eq!(counts.to_string(), "5 runs, 2 agree, 1 differs, 1 fails only now, 1 cannot be repeated: line 1");
        assert_eq!((counts.good(), ShadowCounts::of(&[]).told().as_str()), (2, ""));
        for run in runs {
            let json = serde_json::to_string(&run).expect("serialises");
            assert_eq!(serde_json::from_str::<ShadowRun>(&json).expect("parses"), run, "{json}");
        }
    }
}
