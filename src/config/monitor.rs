//! `[monitor]`: how a landed improvement is watched.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a landed improvement is watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MonitorConfig {
    /// A watch ends after so many runs of the new version.
    pub executions: u64,
    /// A watch ends after so many days.
    pub days: u32,
    /// A watch that ends with fewer runs is inconclusive.
    pub minimum_executions: u64,
    /// Failing inputs that are run on both versions when there is an alarm.
    pub replay_inputs: usize,
    /// Times each of them is run on each version (five when there are fewer than three).
    pub replay_runs: u32,
    /// Revert confirmed regressions. Without it they wait for a person; `revert = false` says so for one tool.
    pub revert: bool,
    /// What landed longer ago is not reverted without a person.
    pub revert_days: u32,
    /// Reverts of one tool within 24 hours; further ones wait for a person.
    pub reverts_per_day: u32,
    /// The same for all tools together: when more than this goes wrong, something else is wrong.
    pub reverts_per_day_all: u32,
}

pub(super) fn defaults() -> MonitorConfig {
    MonitorConfig {
        executions: 2000,
        days: 30,
        minimum_executions: 10,
        replay_inputs: 20,
        replay_runs: 4,
        revert: true,
        revert_days: 30,
        reverts_per_day: 1,
        reverts_per_day_all: 3,
    }
}
