//! The most trusted strategy: take the culprit back. The inverse patch is made by the caller, which can see history.

use super::{Case, Strategy};
use crate::model::{Candidate, Trust};

/// Proposes the inverse of the culprit commit.
pub(super) struct Revert;

impl Strategy for Revert {
    fn name(&self) -> &'static str {
        "revert"
    }

    /// At most one candidate. A revert takes back a person's work, so a person lands it.
    fn propose(&self, case: &Case<'_>) -> Vec<Candidate> {
        let (Some(patch), Some(culprit)) = (case.revert, &case.investigation.culprit) else { return Vec::new() };
        vec![Candidate {
            strategy: self.name().to_string(),
            source: culprit.commit.to_string(),
            title: format!("revert \"{}\"", culprit.summary),
            trust: Trust::Review,
            patch: patch.clone(),
            rank: 1.0,
        }]
    }
}
