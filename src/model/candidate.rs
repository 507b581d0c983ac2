//! One concrete patch, not believed yet.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PatchId;
use super::id::digest;

/// How far a candidate may go without a person. The order is the order of trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// Shown, never committed.
    Diagnosis,
    /// Committed on a branch; a person lands it.
    Review,
    /// May land when the gate accepts it.
    Land,
}

/// The whole new content of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileEdit {
    Write(Vec<u8>),
    Delete,
}

/// Files as they shall be, by repository-relative path. Modes are kept; new files are plain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    pub edits: BTreeMap<String, FileEdit>,
}

impl Patch {
    /// A patch that writes one file.
    pub fn write(path: impl Into<String>, content: Vec<u8>) -> Self {
        Patch { edits: BTreeMap::from([(path.into(), FileEdit::Write(content))]) }
    }

    /// Identity of the patch: equal results on equal paths are the same patch, whoever proposed it.
    pub fn id(&self) -> PatchId {
        let mut parts: Vec<&[u8]> = Vec::new();
        for (path, edit) in &self.edits {
            parts.push(path.as_bytes());
            match edit {
                FileEdit::Write(content) => parts.extend([b"write".as_slice(), content]),
                FileEdit::Delete => parts.push(b"delete"),
            }
        }
        PatchId(digest(&parts))
    }

    /// This patch and `other`'s edits over it.
    pub fn and(mut self, other: Patch) -> Self {
        self.edits.extend(other.edits);
        self
    }
}

/// One concrete patch with where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// `revert`, `template`, …
    pub strategy: String,
    /// The fix template, or the reverted commit.
    pub source: String,
    /// What it does, for a commit's subject: "refuse a zero divisor in `divide`".
    pub title: String,
    pub trust: Trust,
    pub patch: Patch,
    /// Candidates are tried in descending order of this: suspicion × weight of the template × size of the edit.
    pub rank: f64,
}
