//! `[validate]`: what the gate demands.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Profile, Span};

/// What a candidate must pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ValidateConfig {
    /// Distinct recorded good inputs that are run again on the old and the new version, where there are so many.
    pub replays: usize,
    /// With fewer distinct good inputs a person decides.
    pub good_inputs: usize,
    /// Good inputs that may fail on the new version.
    pub new_failures: usize,
    /// Share of the good inputs that must be answered as before. Where only some answers differ, a person decides.
    pub agreement: f64,
    /// Times each incident input must succeed.
    pub incident_runs: u32,
    /// Times that incident and good inputs are run to see whether the answer stays the same.
    pub stable_runs: u32,
    /// Recorded inputs with one thing changed that are run on the old and the new version. 0: none.
    pub shadow_inputs: usize,
    /// New inputs of the recorded shapes that are run on the old and the new version. 0: none.
    pub synthetic_inputs: usize,
    /// Share of a tool's live runs that are repeated on the version that waits on a branch. It is done when a run has ended and is
    /// recorded, in the background, with the lowest priority, one at a time, and only for tools whose recorded runs may be repeated. 0:
    /// none.
    pub live_shadow: f64,
    /// What becomes of a patch against wrong answers that also changes answers to inputs of which nobody said what is right: `land` or
    /// `review`. Whoever declares an answer wrong wants others changed too, and most patches that repair the cause do; whether those
    /// are right nobody has checked. The same of a patch where other candidates do as well and answer in other ways, such as a default of
    /// 0 and one of nothing. The profile `production` starts from `review`.
    pub new_answers: NewAnswers,
    /// Small wrong changes of the patched lines that are tried, to see whether the evidence would notice. 0: none.
    pub mutants: usize,
    /// Share of them that must be noticed; with fewer a person decides.
    pub mutants_noticed: f64,
    /// A patch with which runs need so many times the processor time is not accepted. From half of that on a person decides.
    pub slower: f64,
    /// The same for memory.
    pub larger: f64,
    /// Shortest time limit of a trial run. A longer one follows from the recorded durations: five times the longest.
    pub time_floor: Span,
    /// Time limit of a test suite.
    pub suite_time: Span,
    /// Lines a patch may change.
    pub patch_lines: usize,
    /// What to do with recorded runs of a tool whose `effects` nobody has declared: `refuse`, `observe` or `run`.
    pub unknown_effects: UnknownEffects,
    /// Files that a scratch checkout may hold.
    pub checkout_files: usize,
    /// Size of a scratch checkout in MiB.
    pub checkout_mib: u64,
    /// Memory that a trial run may use, in MiB.
    pub memory_mib: u64,
    /// Environment variables that trial runs see besides `PATH` and `LANG`. Everything else is cleared.
    pub environment: Vec<String>,
}

/// What becomes of a patch that also changes answers of which nobody said what is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NewAnswers {
    /// It may land when everything else allows it.
    Land,
    /// A person decides.
    Review,
}

/// What to do with recorded runs of a tool whose `effects` nobody has declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnknownEffects {
    /// Never run them again; the investigation asks for a declaration.
    Refuse,
    /// Repeat a few of them in the sandbox and see what they do. Where they touch neither the network nor anything outside of their
    /// checkout, and delete nothing, the others are run again too.
    Observe,
    /// Run them again as if `effects = "files"`.
    Run,
}

pub(super) fn defaults(profile: Profile) -> ValidateConfig {
    ValidateConfig {
        replays: 50,
        good_inputs: 5,
        new_failures: 0,
        agreement: 0.95,
        stable_runs: 5,
        shadow_inputs: 40,
        synthetic_inputs: 40,
        live_shadow: 1.0,
        new_answers: if profile == Profile::Production { NewAnswers::Review } else { NewAnswers::Land },
        mutants: 12,
        mutants_noticed: 0.5,
        slower: 4.0,
        larger: 4.0,
        incident_runs: 3,
        time_floor: Span::seconds(5),
        suite_time: Span::seconds(300),
        patch_lines: 40,
        unknown_effects: UnknownEffects::Refuse,
        checkout_files: 5_000,
        checkout_mib: 64,
        memory_mib: 2_048,
        environment: Vec::new(),
    }
}
