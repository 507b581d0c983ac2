//! Identities. Each is a newtype over text, so that a commit id can never be passed where a version is meant.

use std::fmt;

use jiff::Timestamp;
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
    /// One recorded execution: a UUID whose first 48 bits are when the run ended, in Unix milliseconds (versions 7 and 8), so
    /// identities sort by time. Equal identity, same execution: delivering it again changes nothing.
    ExecutionId
);
text_id!(
    /// One improvement: the first 32 hexadecimal digits of `blake3(tool, fingerprint)`, or of blake3 over such identities.
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

    /// The identity of the work on several failures at once, whatever their order.
    pub fn of_all<'a>(ids: impl Iterator<Item = &'a ImprovementId>) -> Self {
        let mut parts: Vec<&[u8]> = ids.map(|id| id.0.as_bytes()).collect();
        parts.sort_unstable();
        parts.push(b"together");
        ImprovementId(digest(&parts))
    }
}

impl ExecutionId {
    /// A fresh identity of a run that ended then: a UUID of version 7 with these random bits. Their first twelve give way to the fraction
    /// of the millisecond (RFC 9562, section 6.2, method 3), so the runs of one machine sort as they ended.
    pub fn fresh(ended: Timestamp, mut random: [u8; 10]) -> Self {
        let fraction = ended.as_nanosecond().rem_euclid(1_000_000) * 4096 / 1_000_000;
        random[..2].copy_from_slice(&u16::try_from(fraction).unwrap_or(0).to_be_bytes());
        Self::of(ended, random, 7)
    }

    /// The identity of a run that ended then and that its source names with `parts`: a UUID of version 8, the same each time.
    pub fn derived(ended: Timestamp, parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let mut bits = [0; 10];
        bits.copy_from_slice(&hasher.finalize().as_bytes()[..10]);
        Self::of(ended, bits, 8)
    }

    /// The identity before all of runs that ended then or later.
    pub fn first_of(ended: Timestamp) -> Self {
        let milliseconds = u64::try_from(ended.as_millisecond()).unwrap_or(0);
        Self::from_bytes((u128::from(milliseconds) << 80).to_be_bytes())
    }

    fn of(ended: Timestamp, rest: [u8; 10], version: u8) -> Self {
        let milliseconds = u64::try_from(ended.as_millisecond()).unwrap_or(0);
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&milliseconds.to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&rest);
        bytes[6] = (bytes[6] & 0x0f) | (version << 4);
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self::from_bytes(bytes)
    }

    /// The identity with these bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        ExecutionId(uuid::Uuid::from_bytes(bytes).hyphenated().to_string())
    }

    /// Its 16 bytes; `None` when the text is no UUID.
    pub fn bytes(&self) -> Option<[u8; 16]> {
        uuid::Uuid::try_parse(&self.0).ok().map(uuid::Uuid::into_bytes)
    }

    /// What of it does not follow from when the run ended.
    pub fn drawn(&self) -> [u8; 8] {
        let mut drawn = [0; 8];
        drawn.copy_from_slice(&self.bytes().unwrap_or_default()[8..]);
        drawn
    }

    /// When the run ended, to the millisecond.
    pub fn ended(&self) -> Timestamp {
        let bytes = self.bytes().unwrap_or_default();
        let milliseconds = bytes[..6].iter().fold(0i64, |sum, byte| sum << 8 | i64::from(*byte));
        Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// The first 32 hexadecimal digits of blake3 over length-prefixed parts (so `["ab","c"]` and `["a","bc"]` differ).
pub(crate) fn digest(parts: &[&[u8]]) -> String {
    // In one piece: for so few bytes that takes half as long as one by one.
    let mut whole = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        whole.extend_from_slice(&(part.len() as u64).to_le_bytes());
        whole.extend_from_slice(part);
    }
    blake3::hash(&whole).to_hex()[..32].to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_execution_tells_when_it_ended_and_later_ones_sort_later() {
        let at = |milliseconds| Timestamp::from_millisecond(milliseconds).expect("valid");
        let early = ExecutionId::fresh(at(1_700_000_000_123), [0xff; 10]);
        let late = ExecutionId::derived(at(1_700_000_000_124), &[b"ci", b"17"]);
        assert!(early < late);
        assert_eq!((early.ended(), late.ended()), (at(1_700_000_000_123), at(1_700_000_000_124)));
        assert_eq!(ExecutionId::from_bytes(late.bytes().expect("a UUID")), late);
        assert_eq!(late, ExecutionId::derived(at(1_700_000_000_124), &[b"ci", b"17"]));
        assert_ne!(late, ExecutionId::derived(at(1_700_000_000_124), &[b"ci1", b"7"]));
        assert_eq!((&early.0[14..15], &late.0[14..15]), ("7", "8"));
        assert_eq!(ExecutionId::fresh(at(0), [0xff; 10]).drawn(), early.drawn());
        let within = |nanoseconds: i128| {
            let ended = Timestamp::from_nanosecond(1_700_000_000_123_000_000 + nanoseconds).expect("valid");
            ExecutionId::fresh(ended, [if nanoseconds == 0 { 0xff } else { 0 }; 10])
        };
        assert!(within(0) < within(250) && within(250) < within(999_999));
        assert_eq!(within(999_999).ended(), early.ended());
    }
}
