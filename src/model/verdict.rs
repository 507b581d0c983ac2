//! What the gate says of a candidate, with the table of evidence.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How one check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    Passed,
    /// Nothing is shown to be wrong, but a person should look; the detail says at what.
    Weak,
    Failed,
    /// Not applicable; the detail says why. Never silently.
    Skipped,
}

impl fmt::Display for CheckStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            CheckStatus::Passed => "passed",
            CheckStatus::Weak => "weak",
            CheckStatus::Failed => "failed",
            CheckStatus::Skipped => "skipped",
        })
    }
}

/// One step of the gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// `policy`, `parse`, `incident`, …: see `validate::judge`.
    pub name: String,
    pub status: CheckStatus,
    pub detail: String,
    /// What else there is to see, a line each: differences with their inputs, places.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listed: Vec<String>,
}

/// How far a candidate may go on the evidence. The order is the order of trust.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing is shown to anybody but in the log.
    Abstain,
    /// The cause and what evidence there is, without a commit.
    Draft,
    /// A commit on a branch; a person lands it. Also what is assumed of verdicts that were written before there were levels.
    #[default]
    Review,
    /// May land without a person.
    Land,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Level::Abstain => "abstain",
            Level::Draft => "draft",
            Level::Review => "review",
            Level::Land => "land",
        })
    }
}

/// The gate's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "judgement", rename_all = "snake_case")]
pub enum Judgement {
    Accepted,
    Rejected { reason: String },
    Inconclusive { reason: String },
}

/// The gate's answer and every check behind it, in the order they ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    #[serde(flatten)]
    pub judgement: Judgement,
    #[serde(default)]
    pub level: Level,
    /// What keeps it from a higher level, most serious first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
    /// Which checks the tool's traits allow, and why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub plan: String,
    pub checks: Vec<Check>,
}

impl Verdict {
    /// Accepted, and nothing less.
    pub fn accepted(&self) -> bool {
        self.judgement == Judgement::Accepted
    }

    /// Why a person decides although the gate accepted; `None` when it may land.
    pub fn weakness(&self) -> Option<String> {
        let first = || self.doubts.first().cloned().unwrap_or_else(|| "the evidence was judged by an older version".into());
        (self.level < Level::Land).then(first)
    }
}
