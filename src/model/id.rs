//! Identities. Each is a newtype over text, so that a commit id can never be passed where a version is meant.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The identity as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The first eight characters: enough for people, never used as a key.
            pub fn short(&self) -> &str {
                self.0.get(..8).unwrap_or(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A git commit, as 40 hexadecimal digits.
    CommitId
);
text_id!(
    /// The version of a tool: the git object id of the listing of its paths, that is what
    /// `git ls-tree -r -z --full-tree COMMIT PATHS | git hash-object --stdin` prints. Equal content, equal version: a revert brings
    /// the old version back, with its history of executions.
    Version
);
text_id!(
    /// One recorded execution: a UUID of version 7, so identities sort by time.
    ExecutionId
);
text_id!(
    /// One improvement: the first 32 hexadecimal digits of `blake3(tool, fingerprint)`.
    ImprovementId
);
text_id!(
    /// One patch, whoever proposed it: the first 32 hexadecimal digits of blake3 over its edits.
    PatchId
);
text_id!(
    /// One outward act, derived from what it does, so doing it twice has the same key.
    ActionKey
);

impl ImprovementId {
    /// The identity of the work on one failure of one tool. A later failure with the same fingerprint is the same work.
    pub fn of(tool: &str, fingerprint: &super::Fingerprint) -> Self {
        ImprovementId(digest(&[tool.as_bytes(), fingerprint.as_str().as_bytes()]))
    }
}

/// The first 32 hexadecimal digits of blake3 over length-prefixed parts (so `["ab","c"]` and `["a","bc"]` differ).
pub(crate) fn digest(parts: &[&[u8]]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().to_hex()[..32].to_string()
}
