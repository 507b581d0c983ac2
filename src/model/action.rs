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
        }
    }
}
