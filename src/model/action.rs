//! Intended writes to the outside.

use serde::{Deserialize, Serialize};

use super::id::digest;
use super::{ActionKey, CommitId};

/// What an action does. Each kind can be probed: whether it has already happened is visible outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum ActionKind {
    /// Put `branch` at `commit`; it must be at `expect`, an earlier attempt of ours, or not exist.
    PutBranch { branch: String, expect: Option<CommitId>, commit: CommitId },
    /// Move `base` from `expect` to `commit`, which contains it.
    Land { base: String, expect: CommitId, commit: CommitId },
    /// Move `base` from `expect` to `commit`, which reverts `reverts`.
    Revert { base: String, expect: CommitId, commit: CommitId, reverts: CommitId },
    /// Write the outcome as a git note on `commit`.
    Note { commit: CommitId, text: String },
    /// Ask on the forge that `branch`, which is at `commit`, be landed on `base`.
    Open { branch: String, commit: CommitId, base: String, title: String, text: String, draft: bool },
    /// Have the forge land proposal `number`, whose head is `commit`, on `base`, which is at `expect`. `reverts`: what it undoes, if it does.
    Merge {
        number: u64,
        base: String,
        expect: CommitId,
        commit: CommitId,
        way: Way,
        title: String,
        text: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reverts: Option<CommitId>,
    },
    /// Have the forge land proposal `number`, whose head is `commit`, as soon as its own rules allow.
    MergeWhenReady { number: u64, base: String, commit: CommitId, way: Way, title: String, text: String },
    /// Take back that the forge is to land proposal `number`, whose head is `head` by now, by itself.
    MergeNot { number: u64, head: CommitId },
    /// Close proposal `number` without landing it, and say why.
    Close { number: u64, reason: String },
    /// Put `branch` at `commit`, which reverts `reverts`; it must be at `expect`, or not exist.
    ProposeRevert { branch: String, expect: Option<CommitId>, commit: CommitId, reverts: CommitId },
    /// Say what became of `commit` as a check of ours on the forge.
    Report { commit: CommitId, name: String, verdict: ReportVerdict, title: String, text: String },
}

/// How a proposal is landed on a forge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// A commit with both as parents.
    Merge,
    /// One commit of everything.
    Squash,
    /// Its commits one by one on top of the base.
    Rebase,
}

/// What a check of ours says on a forge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportVerdict {
    Pending,
    Passed,
    Failed,
    /// Neither good nor bad.
    Neutral,
}

/// What an action made that nobody knew before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "made", rename_all = "snake_case")]
pub enum Made {
    /// What the action says, and nothing else.
    #[default]
    AsSaid,
    /// A proposal on the forge.
    Proposal { number: u64, url: String },
    /// The commit on the base that the forge made.
    Commit { commit: CommitId },
}

impl Made {
    /// Whether there is nothing to tell.
    pub fn is_as_said(&self) -> bool {
        *self == Made::AsSaid
    }
}

/// One intended write with the key that makes doing it twice the same as once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    pub key: ActionKey,
    #[serde(flatten)]
    pub kind: ActionKind,
}

impl Action {
    /// The key is derived from the whole content.
    pub fn new(kind: ActionKind) -> Self {
        let text = serde_json::to_string(&kind).unwrap_or_default();
        Action { key: ActionKey(digest(&[text.as_bytes()])), kind }
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.kind {
            ActionKind::PutBranch { branch, commit, .. } => write!(f, "put branch {branch} at {}", commit.short()),
            ActionKind::Land { base, expect, commit } => {
                write!(f, "land {} on {base} (now {})", commit.short(), expect.short())
            }
            ActionKind::Revert { base, commit, reverts, .. } => {
                write!(f, "revert {} on {base} with {}", reverts.short(), commit.short())
            }
            ActionKind::Note { commit, .. } => write!(f, "write a note on {}", commit.short()),
            ActionKind::Open { branch, base, .. } => write!(f, "open a proposal from {branch} onto {base}"),
            ActionKind::Merge { number, base, commit, reverts: None, .. } => {
                write!(f, "land #{number} ({}) on {base}", commit.short())
            }
            ActionKind::Merge { number, base, reverts: Some(reverts), .. } => {
                write!(f, "revert {} on {base} by landing #{number}", reverts.short())
            }
            ActionKind::MergeWhenReady { number, base, .. } => write!(f, "have #{number} landed on {base} when it is ready"),
            ActionKind::MergeNot { number, .. } => write!(f, "have #{number} not landed by itself any more"),
            ActionKind::Close { number, .. } => write!(f, "close #{number}"),
            ActionKind::ProposeRevert { branch, commit, reverts, .. } => {
                write!(f, "put branch {branch} at {}, which reverts {}", commit.short(), reverts.short())
            }
            ActionKind::Report { commit, name, title, .. } => write!(f, "report {name} on {}: {title}", commit.short()),
        }
    }
}
