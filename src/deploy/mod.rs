//! Deployment: what would be committed, whether it may land, and how it is undone. Intentions only; nothing is written here.
//!
//! One improvement is one commit on the current base: the patch, the regression test and the investigation notes.

mod board;
mod command;
mod decide;
mod landing;
mod markdown;
mod marks;
mod outs;
mod pull_request;
mod rollout;
mod text;

use anyhow::Result;
use jiff::Timestamp;

pub use self::board::{Board, Row};
pub use self::command::{Addressed, Command, addressed, help};
pub use self::decide::{Decision, Facts, decide};
pub use self::landing::{ForgeFacts, HOLD_LABEL, Landing, OWN_CHECKS, landing};
pub use self::markdown::{inert, shown};
pub use self::marks::{Changed, changed, digest_of, renewed};
pub use self::outs::{Dependant, RevertFacts, out};
pub use self::pull_request::{Account, PullRequest, pull_request};
pub use self::rollout::{Next, evidence, next};
pub use self::text::{fault, note, revert_message, revert_request, verdict};
use crate::model::{Asking, AttemptSummary, Candidate, CommitId, Investigation, Opportunity, Patch, Tool, Verdict};
use crate::world::View;
use crate::world::git::RevertError;

/// Bytes of a diff that are kept in the log.
const DIFF_MAX: usize = 16 * 1024;

/// A commit as it shall be.
#[derive(Debug)]
pub struct Proposal {
    pub branch: String,
    pub parent: CommitId,
    pub patch: Patch,
    pub message: String,
}

/// The branch of an improvement.
pub fn branch(opportunity: &Opportunity) -> String {
    format!("fractal/{}/{}", opportunity.tool, opportunity.id.short())
}

/// What the log remembers of a candidate.
///
/// # Errors
/// When a file of the base cannot be read.
pub fn summarise(view: &View, base: &CommitId, candidate: &Candidate, tried: u64) -> Result<AttemptSummary> {
    Ok(AttemptSummary {
        patch: candidate.patch.id(),
        strategy: candidate.strategy.clone(),
        source: candidate.source.clone(),
        title: candidate.title.clone(),
        trust: candidate.trust,
        diff: view.repo.unified_diff(base, &candidate.patch, DIFF_MAX)?,
        tried,
        cost: None,
        prose: None,
        beside: Vec::new(),
        parts: Vec::new(),
    })
}

/// The commit that carries an accepted candidate.
///
/// # Errors
/// When a text cannot be rendered.
pub fn propose(
    tool: &Tool,
    opportunity: &Opportunity,
    investigation: &Investigation,
    accepted: (&Candidate, &AttemptSummary, &Verdict, Option<Patch>),
    asked: &[Asking],
    now: Timestamp,
) -> Result<Proposal> {
    let (candidate, attempt, verdict, test) = accepted;
    let story = text::Story { tool, opportunity, investigation, attempt, verdict, test: test.as_ref(), asked, now };
    let notes = format!(".fractal/notes/{}-{}-{}.md", now.strftime("%Y-%m-%d"), tool.name, opportunity.id.short());
    let mut patch = candidate.patch.clone().and(Patch::write(notes, story.notes()?.into_bytes()));
    if let Some(test) = &test {
        patch = patch.and(test.clone());
    }
    Ok(Proposal { branch: branch(opportunity), parent: investigation.commit.clone(), patch, message: story.commit_message()? })
}

/// What is done to one tool of an improvement of several.
pub struct Part<'a> {
    pub tool: &'a Tool,
    pub opportunity: &'a Opportunity,
    pub investigation: &'a Investigation,
    pub candidate: &'a Candidate,
    pub attempt: &'a AttemptSummary,
    pub verdict: &'a Verdict,
    pub test: Option<&'a Patch>,
}

/// The one commit that carries the repairs of several tools, on `base`; `whole` is the opportunity with all of them, and `asked` is who was
/// asked for any of them.
///
/// # Errors
/// When a text cannot be rendered.
pub fn propose_together(
    whole: &Opportunity,
    parts: &[Part<'_>],
    attempt: &AttemptSummary,
    (base, asked): (&CommitId, &[Asking]),
    now: Timestamp,
) -> Result<Proposal> {
    let stories: Vec<text::Story<'_>> = parts
        .iter()
        .map(|part| text::Story {
            tool: part.tool,
            opportunity: part.opportunity,
            investigation: part.investigation,
            attempt: part.attempt,
            verdict: part.verdict,
            test: part.test,
            asked: &[],
            now,
        })
        .collect();
    let (message, told) = text::together(whole, &stories, attempt, asked)?;
    let notes = format!(".fractal/notes/{}-{}-{}.md", now.strftime("%Y-%m-%d"), whole.tool, whole.id.short());
    let mut patch = Patch::write(notes, told.into_bytes());
    for part in parts {
        patch = patch.and(part.candidate.patch.clone());
        if let Some(test) = part.test {
            patch = patch.and(test.clone());
        }
    }
    Ok(Proposal { branch: branch(whole), parent: base.clone(), patch, message })
}

/// What undoes a landed commit on the base as it is now.
///
/// # Errors
/// [`RevertError::Conflict`] when later changes touch the same lines, and [`RevertError::Name`]: a person decides.
pub fn undo(view: &View, landed: &CommitId, base: &CommitId) -> Result<Patch, RevertError> {
    view.repo.inverse_of(landed, base, &[])
}
