//! The nouns of the loop, and nothing else: plain data with the rules that need no outside world.
//!
//! Every other module speaks in these types. Nothing here reads a clock, a file, a process or a repository;
//! a value that came from outside (recorded output, a path in a trace) is carried, never acted on.

mod action;
mod analysis;
mod asking;
mod candidate;
mod chance;
mod event;
mod execution;
mod failure;
mod feedback;
mod hints;
mod id;
mod investigation;
mod opportunity;
mod rollout;
mod rollup;
mod shadow;
mod sketch;
mod tool;
mod traits;
mod trial;
mod verdict;

pub use action::{Action, ActionKind, Made, ReportVerdict, Way};
pub use analysis::{Analysis, Counts, Finding, PairedReplay};
pub use asking::{Asking, Cost};
pub use candidate::{Candidate, FileEdit, Patch, Trust};
pub use chance::SplitMix;
pub use event::{Approver, AttemptSummary, End, Event, Observation, Part, Record, Rival};
pub use execution::{Arg, BlobId, CaptureLevel, Execution, Exit, Input, MASK, Mark, NewExecution, Outcome, Recording, ToolInput};
pub use failure::{Failure, Fingerprint, Frame, beginning, ending, plain_line, steers};
pub use feedback::{Sign, TextPart};
pub use hints::Hints;
pub(crate) use id::digest;
pub use id::{ActionKey, CommitId, ExecutionId, ImprovementId, PatchId, Version};
pub use investigation::{Conclusion, Culprit, Investigation, Location, Reproduction, SuiteRun};
pub use opportunity::{Opportunity, Priority, Signal};
pub use rollout::{Arm, ArmRun, RolloutEvidence, RolloutStep, lot};
pub use rollup::{Failing, Rollup, RollupRun, hour_begins, hour_of};
pub use shadow::{Seen, ShadowCounts, ShadowRun};
pub use sketch::{SKETCH_ERROR, Sketch};
pub use tool::{
    Comparison, JsonPredicate, Language, Origin, SideEffects, StdinUse, SuccessRule, Tool, ToolNameError, check_tool_name,
    clean_tool_name,
};
pub use traits::{Character, Traits};
pub use trial::{Answer, Test, TestBody, TestOutcome, TestRun, ToolRun, Triaged};
pub use verdict::{Check, CheckStatus, Judgement, Level, Verdict};
