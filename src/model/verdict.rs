//! What the gate says of a candidate, with the table of evidence.

use serde::{Deserialize, Serialize};

/// How one check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    Passed,
    Failed,
    /// Not applicable; the detail says why. Never silently.
    Skipped,
}

/// One step of the gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// `policy`, `parse`, `incident`, `regression test`, `suite`, `replay`, `held-out replay`.
    pub name: String,
    pub status: CheckStatus,
    pub detail: String,
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
    pub checks: Vec<Check>,
}

impl Verdict {
    /// Accepted, and nothing less.
    pub fn accepted(&self) -> bool {
        self.judgement == Judgement::Accepted
    }

    /// Why a person should look although the gate accepted: no regression test, or no good run to compare with.
    pub fn weakness(&self) -> Option<String> {
        let needed = |check: &&Check| matches!(check.name.as_str(), "regression test" | "replay");
        let skipped = self.checks.iter().filter(needed).find(|check| check.status == CheckStatus::Skipped)?;
        Some(format!("{} was skipped: {}", skipped.name, skipped.detail))
    }
}
