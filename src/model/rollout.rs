//! A rollout: while a proposal waits, live runs are drawn to one of two versions, and what became of them is counted.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::digest;
use super::{Counts, ExecutionId, Fingerprint, Outcome};

/// The version that a run was drawn to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arm {
    /// The one in the work tree.
    Old,
    /// The proposed one.
    New,
}

/// A live run that was drawn. It holds nothing that was recorded or printed: what is forgotten elsewhere is not kept here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmRun {
    pub execution: ExecutionId,
    /// The share of the new version then.
    pub percent: u8,
    pub arm: Arm,
    pub outcome: Outcome,
    /// The kind of failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Fingerprint>,
    /// What was drawn, where it was not the run alone: all with this stay with one version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// The runs of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutStep {
    pub percent: u8,
    /// Without errors of the environment.
    pub old: Counts,
    pub new: Counts,
}

/// What a rollout showed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RolloutEvidence {
    /// In the order of their shares.
    pub steps: Vec<RolloutStep>,
    /// How many times likelier the failures are if the new version fails more than if it does not, as far as they speak against it: an
    /// e-value, of failures of all kinds and of all kinds but the one that is to be repaired.
    pub e: f64,
}

impl RolloutEvidence {
    /// The runs at this share.
    pub fn at(&self, percent: u8) -> RolloutStep {
        let found = self.steps.iter().find(|step| step.percent == percent);
        found.copied().unwrap_or(RolloutStep { percent, ..RolloutStep::default() })
    }
}

/// `5 %: 1 of 20 runs failed, 31 of 380 beside it (E = 0.4)`
impl fmt::Display for RolloutEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            let RolloutStep { percent, old, new } = step;
            write!(f, "{percent} %: {} of {} runs failed, {} of {} beside it; ", new.failures, new.runs, old.failures, old.runs)?;
        }
        match self.e {
            e if e >= 1e6 => write!(f, "E = {e:.0e}"),
            e => write!(f, "E = {e:.1}"),
        }
    }
}

/// A number between 0 and 1 that follows from a text and from what is drawn, and from nothing else: below the share of the new version
/// it is drawn to that. Nobody can tune the draw, and who was drawn to the new version stays there when its share rises.
pub fn lot(salt: &str, what: &[u8]) -> f64 {
    let digits = digest(&[salt.as_bytes(), what]);
    // 52 bits: every one of them is exact.
    u64::from_str_radix(&digits[..13], 16).unwrap_or(0) as f64 / 2_f64.powi(52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_all_is_drawn_and_stays_when_the_share_rises() {
        let lots: Vec<f64> = (0..4000_u32).map(|number| lot("a", &number.to_le_bytes())).collect();
        let below = |share: f64| lots.iter().filter(|lot| **lot < share).count();
        assert!((150..250).contains(&below(0.05)) && (900..1100).contains(&below(0.25)), "{} {}", below(0.05), below(0.25));
        assert_eq!(below(1.0), 4000);
        let other = (0..4000_u32).filter(|number| lot("b", &number.to_le_bytes()) < 0.5 && lots[*number as usize] < 0.5).count();
        assert!((900..1100).contains(&other), "two rollouts draw independently: {other}");
    }

    #[test]
    fn a_run_survives_json_and_evidence_is_told_in_one_line() {
        let id = ExecutionId::derived(jiff::Timestamp::UNIX_EPOCH, &[]);
        let run = ArmRun { execution: id, percent: 5, arm: Arm::New, outcome: Outcome::Success, failure: None, unit: None };
        let json = serde_json::to_string(&run).expect("serialises");
        assert_eq!(serde_json::from_str::<ArmRun>(&json).expect("parses"), run, "{json}");
        let step = RolloutStep { percent: 5, old: Counts { runs: 380, failures: 31 }, new: Counts { runs: 20, failures: 1 } };
        let evidence = RolloutEvidence { steps: vec![step], e: 0.42 };
        assert_eq!(evidence.to_string(), "5 %: 1 of 20 runs failed, 31 of 380 beside it; E = 0.4");
        assert_eq!((evidence.at(5), evidence.at(25).new.runs), (step, 0));
    }
}
