//! What a reviewer is told of the newest candidate of an improvement, wherever it is read.

use anyhow::Result;

use super::improvement::Improvement;
use crate::deploy::{self, PullRequest};
use crate::model::{Event, ShadowCounts, Tool};
use crate::world::View;

/// What is told beside what the log says.
#[derive(Clone, Copy, Debug)]
pub struct Beside<'a> {
    /// `None` when the base has no such tool any more.
    pub tool: Option<&'a Tool>,
    /// Whether it lands without a person, or why not.
    pub policy: &'a str,
    /// What became of it, once something has, and the number of the proposal that took it back.
    pub outcome: Option<(&'a str, Option<u64>)>,
    pub shadow: Option<&'a ShadowCounts>,
    /// Those live runs that a person should see, a line each.
    pub notable: &'a [String],
    /// It is read where comments and labels are listened to.
    pub on_forge: bool,
}

/// The whole account; `None` when no candidate has been at the gate.
///
/// # Errors
/// When the repository cannot be read or the text cannot be rendered.
pub fn account(view: &View, improvement: &Improvement, beside: &Beside<'_>) -> Result<Option<PullRequest>> {
    let judged = improvement.records.iter().rev().find_map(|record| match &record.event {
        Event::Judged { attempt, verdict } => Some((attempt, verdict)),
        _ => None,
    });
    let (Some((attempt, verdict)), Some(opportunity), Some(investigation)) =
        (judged, &improvement.opportunity, &improvement.investigation)
    else {
        return Ok(None);
    };
    let commit = improvement.landed.as_ref().map(|landed| &landed.commit);
    let commit = commit.or_else(|| improvement.branch.as_ref().map(|(_, commit)| commit));
    let paths = match commit.map(|commit| (commit, view.repo.parent(commit))) {
        Some((commit, Ok(Some(parent)))) => view.repo.changed_paths(&parent, commit)?.unwrap_or_default(),
        _ => Vec::new(),
    };
    deploy::pull_request(&deploy::Account {
        tool: beside.tool,
        opportunity,
        investigation,
        attempt,
        verdict,
        commit: commit.map(|commit| (commit, paths.as_slice())),
        policy: beside.policy,
        outcome: beside.outcome,
        shadow: beside.shadow,
        beside: beside.notable,
        on_forge: beside.on_forge,
        config: &view.config,
    })
    .map(Some)
}
