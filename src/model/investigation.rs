//! The evidence for one opportunity.

use serde::{Deserialize, Serialize};

use super::{CommitId, ExecutionId, Failure};

/// One failing input, run again on the untouched version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reproduction {
    pub execution: ExecutionId,
    /// Digest of the input.
    pub input: String,
    /// The input for people.
    pub shown: String,
    pub failed: u32,
    pub runs: u32,
}

/// A suspicious place, most suspicious first in an investigation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Location {
    pub path: String,
    /// 1-based.
    pub line: u32,
    pub function: Option<String>,
    /// Between 0 and 1.
    pub suspicion: f64,
}

/// The commit that made the failing inputs fail, found by running them on the versions before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Culprit {
    pub commit: CommitId,
    pub summary: String,
    pub author: String,
    /// Versions that were run to find it.
    pub versions_tried: u32,
}

/// One run of the tool's own tests on the untouched version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuiteRun {
    pub passed: bool,
    /// The last meaningful line of what it printed.
    pub summary: String,
    pub milliseconds: u64,
}

/// Whether a patch of this tool can help, and why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "conclusion", rename_all = "snake_case")]
pub enum Conclusion {
    Improvable,
    /// What is missing or refused lies outside the tool.
    Environment {
        reason: String,
    },
    /// The tool refuses how it was called, or was not given what it asks for, and no version before did otherwise.
    Misuse {
        reason: String,
    },
    /// The same input sometimes fails and sometimes does not.
    Flaky {
        reason: String,
    },
    NotReproducible {
        reason: String,
    },
    /// We may not or cannot run it again.
    NotRunnable {
        reason: String,
    },
    /// Something is worse, but no run fails, so that no patch could be judged.
    NoFailure {
        reason: String,
    },
}

impl Conclusion {
    /// Why there will be no patch; `None` when there may be one.
    pub fn why_not(&self) -> Option<&str> {
        match self {
            Conclusion::Improvable => None,
            Conclusion::Environment { reason }
            | Conclusion::Misuse { reason }
            | Conclusion::Flaky { reason }
            | Conclusion::NotReproducible { reason }
            | Conclusion::NotRunnable { reason }
            | Conclusion::NoFailure { reason } => Some(reason),
        }
    }

    /// One word for tables.
    pub fn word(&self) -> &'static str {
        match self {
            Conclusion::Improvable => "improvable",
            Conclusion::Environment { .. } => "environment",
            Conclusion::Misuse { .. } => "misuse",
            Conclusion::Flaky { .. } => "flaky",
            Conclusion::NotReproducible { .. } => "not reproducible",
            Conclusion::NotRunnable { .. } => "not runnable",
            Conclusion::NoFailure { .. } => "no failure",
        }
    }
}

/// What was found out about an opportunity. Everything in it was run and seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Investigation {
    /// The commit whose untouched files were run.
    pub commit: CommitId,
    pub failure: Failure,
    pub reproductions: Vec<Reproduction>,
    pub locations: Vec<Location>,
    pub culprit: Option<Culprit>,
    pub suite: Option<SuiteRun>,
    /// Observations for people, such as "no validation of `b` before line 12".
    pub remarks: Vec<String>,
    /// Of the other tools, where the opportunity has several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Investigation>,
    #[serde(flatten)]
    pub conclusion: Conclusion,
}
