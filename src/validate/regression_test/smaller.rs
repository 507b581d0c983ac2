//! The input of a generated test, made smaller: it still fails in the same way without the patch, and still succeeds with it.

use super::Asked;
use crate::model::{Exit, Language, Outcome, Recording, ToolInput};
use crate::validate::minimise::minimise;

/// Smaller inputs that are tried. Most cost one run; those that fail in the same way a second one, with the patch.
const TRIES: usize = 45;
/// The same for compiled tools: two versions in turn are two builds.
const TRIES_COMPILED: usize = 10;

/// A smaller input in the place of the recorded one.
pub(super) struct Smaller {
    pub recording: Recording,
    /// For the verdict.
    pub how: String,
}

/// `None` when nothing can be left out, or when what is demanded belongs to the recorded input and to no other.
pub(super) fn input(asked: &Asked<'_, '_>) -> Option<Smaller> {
    let recording = asked.recording;
    let failure = recording.execution.failure.as_ref()?;
    // Every try that hangs takes as long as a run may.
    if recording.expected.is_some() || recording.execution.mark.is_some() || failure.class == "time-out" {
        return None;
    }
    let whole = recording.given();
    let fails_alike = |input: &ToolInput| {
        let old = asked.old.run(input, &[]);
        old.outcome == Outcome::Failure && old.failure.is_some_and(|now| now.class == failure.class)
    };
    let succeeds = |input: &ToolInput| {
        let new = asked.new.run(input, &[]);
        new.outcome == Outcome::Success && matches!(new.exit, Exit::Code(_))
    };
    let tries = if asked.tool.language == Language::Rust { TRIES_COMPILED } else { TRIES };
    let found = minimise(&whole, tries, |input| fails_alike(input) && succeeds(input));
    if found.input == whole {
        return None;
    }
    let how = format!("its input made smaller, from {} to {} bytes in {} tries", whole.size(), found.input.size(), found.tries);
    let mut recording = recording.clone();
    recording.execution.input.args = found.input.args;
    recording.stdin = found.input.stdin;
    Some(Smaller { recording, how })
}
