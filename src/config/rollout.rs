//! `[deploy.rollout]`: how live runs get a proposal before it lands.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Live runs through `fractal exec` get a proposal step by step before it lands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RolloutConfig {
    /// Steps in per cent of a tool's live runs, such as `[5, 25, 100]`: so many get the proposed version, the others the version of the
    /// work tree. At 100 it lands. Only for tools with `effects = "none"`, and only while what is checked out is what the proposal
    /// was validated on. Empty: a proposal lands without.
    pub canary: Vec<u8>,
    /// Runs of the proposed version in each step before the next one; more while they look worse.
    pub runs: u64,
    /// What stays with one version: `none`, each run is drawn by itself, or `caller`, all runs with one `FRACTAL_CALLER`;
    /// all without one are one caller.
    pub sticky: Sticky,
}

/// What stays with one version during a rollout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sticky {
    /// Nothing: each run is drawn by itself.
    #[default]
    None,
    /// All runs with one `FRACTAL_CALLER`.
    Caller,
}

pub(super) fn defaults() -> RolloutConfig {
    RolloutConfig { canary: Vec::new(), runs: 20, sticky: Sticky::None }
}
