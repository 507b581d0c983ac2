//! Claims: which of several loops works on a tool now. Made, prolonged and taken over by compare-and-swap, and they expire.
//!
//! A claim is for a tool and not for one improvement, because two improvements of one tool at once could not be told apart
//! afterwards. Whoever made it knows its token, and every change of a claim changes the token: a loop whose claim somebody took over
//! notices when it changes the claim itself, which it does together with each outward act. Clocks only decide how soon a claim that
//! nobody prolongs is taken over, never whether two loops may act.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::config::LEASE_MAX;

/// That a loop works on a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The tool.
    pub work: String,
    /// Who, for people.
    pub holder: String,
    pub since: Timestamp,
    pub until: Timestamp,
    /// Who knows it may change the claim.
    #[serde(skip)]
    pub token: String,
}

impl Claim {
    /// Whether anybody may take it over. One that is to last longer than any can comes from a clock that is wrong.
    pub fn is_over(&self, terms: &Terms) -> bool {
        let tolerance = signed(terms.skew);
        let last = |at: Timestamp, time: SignedDuration| at.saturating_add(time).unwrap_or(Timestamp::MAX);
        last(self.until, tolerance) <= terms.now || self.until > last(terms.now, signed(LEASE_MAX) + tolerance)
    }

    /// Whether it is time to prolong it: when less than half is left.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        let whole = self.until.duration_since(self.since);
        self.until.duration_since(now) * 2 < whole
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the loop of {} works on `{}`, until {} at least", self.holder, self.work, self.until.strftime("%H:%M:%S UTC"))
    }
}

/// On which terms a claim is made or prolonged.
#[derive(Clone, Debug)]
pub struct Terms {
    pub holder: String,
    pub now: Timestamp,
    pub lease: Duration,
    /// By how much clocks may differ.
    pub skew: Duration,
}

impl Terms {
    /// When a claim that is made now ends.
    pub fn until(&self) -> Timestamp {
        self.now.saturating_add(signed(self.lease)).unwrap_or(Timestamp::MAX)
    }
}

pub(super) fn signed(time: Duration) -> SignedDuration {
    SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX)
}

/// What became of the wish to have a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    Ours(Claim),
    Theirs(Claim),
}

/// Why a step of the work is left to another loop; nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum Elsewhere {
    #[error("{0}")]
    Held(Claim),
    #[error("another loop has taken over the work on `{0}`")]
    Lost(String),
}

/// Writes down a token before anything can be there under it: a run that is killed in between can give it back.
pub type Intend<'a> = &'a dyn Fn(&str) -> anyhow::Result<()>;

/// Where claims are kept. Every implementation passes the suite in `tests/it/claims.rs`.
pub trait Claims {
    /// Makes a claim when there is none, or the one that there is is over.
    ///
    /// # Errors
    /// When the place cannot be reached or refuses.
    fn take(&self, work: &str, terms: &Terms, intend: Intend<'_>) -> anyhow::Result<Taken>;
    /// Prolongs a claim of ours; `None` when it is no longer ours.
    ///
    /// # Errors
    /// As [`Claims::take`].
    fn renew(&self, claim: &Claim, terms: &Terms, intend: Intend<'_>) -> anyhow::Result<Option<Claim>>;
    /// Ends a claim of ours; one that is no longer ours stays as it is.
    ///
    /// # Errors
    /// As [`Claims::take`].
    fn release(&self, work: &str, token: &str) -> anyhow::Result<()>;
    /// Every claim that there is, over or not.
    ///
    /// # Errors
    /// As [`Claims::take`].
    fn all(&self) -> anyhow::Result<Vec<Claim>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("valid")
    }

    fn over(until: i64, now: i64, skew: u64) -> bool {
        let claim = Claim { work: "w".into(), holder: "h".into(), since: at(0), until: at(until), token: String::new() };
        let (lease, skew) = (Duration::from_secs(100), Duration::from_secs(skew));
        claim.is_over(&Terms { holder: "h".into(), now: at(now), lease, skew })
    }

    #[test]
    fn a_claim_is_over_when_its_time_and_the_tolerance_for_clocks_have_passed() {
        assert!(!over(100, 99, 0) && over(100, 100, 0));
        assert!(!over(100, 129, 30) && over(100, 130, 30));
    }

    #[test]
    fn a_claim_from_a_clock_that_is_years_ahead_does_not_keep_a_tool_for_years() {
        let day = 24 * 3600;
        assert!(!over(day, 0, 0) && over(day + 1, 0, 0));
        assert!(!over(day + 60, 0, 60) && over(day + 61, 0, 60));
    }

    #[test]
    fn a_claim_is_prolonged_when_less_than_half_of_it_is_left() {
        let claim = Claim { work: "w".into(), holder: "h".into(), since: at(0), until: at(100), token: String::new() };
        assert!(!claim.is_stale(at(50)) && claim.is_stale(at(51)) && claim.is_stale(at(500)));
    }
}
