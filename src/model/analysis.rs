//! What a watch found.

use serde::{Deserialize, Serialize};

use super::ExecutionId;

/// Runs and failures of one version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub runs: u64,
    pub failures: u64,
}

impl Counts {
    /// Share of successes; 1 without any run.
    pub fn success_rate(&self) -> f64 {
        if self.runs == 0 { 1.0 } else { self.successes() as f64 / self.runs as f64 }
    }

    /// Runs that did not fail.
    pub fn successes(&self) -> u64 {
        self.runs.saturating_sub(self.failures)
    }
}

/// One failing input, run on both versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairedReplay {
    pub execution: ExecutionId,
    pub input: String,
    pub shown: String,
    pub runs_each: u32,
    pub old_failures: u32,
    pub new_failures: u32,
}

/// What an analysis concluded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// Not enough news.
    Waiting { needed: u64 },
    /// The new version fails where the old one passes: revert. `p` is the combined p-value of the paired replay.
    Regression { p: f64 },
    /// An alarm that the paired replay did not confirm; the inputs are struck off.
    FalseAlarm { reason: String },
    /// An alarm that nobody could confirm: a person is needed.
    Unconfirmed { reason: String },
    /// The watch ended well.
    Good,
    /// The watch ended without enough runs to say anything.
    Inconclusive { reason: String },
}

/// The judged comparison of the version before an improvement with the one after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// The version before, without the failures that the improvement is about.
    pub before: Counts,
    /// The version after, episodes collapsed.
    pub after: Counts,
    /// Natural logarithm of the Bayes factor for "it got worse".
    pub log_bayes_factor: f64,
    pub replays: Vec<PairedReplay>,
    #[serde(flatten)]
    pub finding: Finding,
}
