//! A reason to act on a tool.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{CommitId, Counts, Failure, ImprovementId, Version};

/// What made us look. One opportunity can have several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "signal", rename_all = "snake_case")]
pub enum Signal {
    /// Fewer runs than the threshold succeed.
    LowSuccess { rate: f64, threshold: f64 },
    /// At least so many failures within so many hours.
    RecentFailures { failures: u64, hours: u64 },
    /// The version fails more than the one before it; `log_bayes_factor` is the natural logarithm.
    Regression { before: Counts, after: Counts, log_bayes_factor: f64, since: Option<CommitId> },
    /// More failures within so many hours than the runs before let expect; `p` is the probability of as many.
    Burst { failures: u64, runs: u64, hours: u64, expected: f64, p: f64 },
    /// The version fails more than it did itself until then; `log_evidence` is the natural logarithm.
    Drift { before: Counts, after: Counts, since: Timestamp, log_evidence: f64 },
    /// The success rate falls, and will with this probability lie below the threshold after so many hours.
    Forecast { now: f64, then: f64, threshold: f64, hours: u64, probability: f64 },
    /// Runs take longer than those of the version before; durations at a quantile, in milliseconds.
    Slower { quantile: f64, before: f64, after: f64, log_bayes_factor: f64, since: CommitId },
}

/// How urgent: high under a success rate of 0.5, medium under the threshold, else low.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    Low,
    Medium,
    High,
}

/// One failure that is worth an investigation: of one tool, or the same of several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opportunity {
    pub id: ImprovementId,
    pub tool: String,
    pub version: Version,
    /// All runs of this version.
    pub counts: Counts,
    /// The failure that this is about; made up where nothing fails.
    pub failure: Failure,
    /// Runs that failed this way. Without any there is nothing to run again and nothing to repair.
    pub failures: u64,
    pub distinct_inputs: u64,
    pub signals: Vec<Signal>,
    pub priority: Priority,
    /// Runs per week times the share of runs that this failure costs: runs that a repair would save each week.
    pub score: f64,
    pub last_seen: Timestamp,
    /// Where several tools have the same failure and the same repair: what each would be by itself, the first of them first. The rest of
    /// this is the first one's, but for the identity, which is all of theirs. Empty for one tool.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub each: Vec<Opportunity>,
}

impl Opportunity {
    /// One for each tool.
    pub fn members(&self) -> impl Iterator<Item = &Opportunity> {
        let alone = self.each.is_empty().then_some(self);
        alone.into_iter().chain(&self.each)
    }
}
