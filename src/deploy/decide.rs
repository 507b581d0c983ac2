//! Whether a proposal may land: a pure function of facts read just before.

use crate::model::ShadowCounts;
use crate::world::git::worktree::WorkTree;

/// What the decision sees.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// `revert` of a person's commit is treated apart.
    pub strategy: &'a str,
    /// `[deploy] land`.
    pub may_land: bool,
    /// `[deploy] land_reverts`.
    pub may_land_reverts: bool,
    /// An earlier attempt of this improvement was reverted.
    pub reverted_before: bool,
    /// What keeps the verdict below the level at which it may land, if anything does.
    pub weak: Option<&'a str>,
    /// What live runs showed beside it.
    pub shadow: &'a ShadowCounts,
    /// `[deploy] shadow_runs`.
    pub shadow_runs: u64,
    /// A person allowed it.
    pub approved: bool,
    /// The base is still what the candidate was validated on.
    pub base_unmoved: bool,
    pub work_tree: &'a WorkTree,
    pub id: &'a str,
}

/// What to do with a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Merge,
    /// Rebuild on the new base and validate again.
    Rebuild,
    Wait(String),
}

/// The decision. A person's approval lifts what is a matter of trust, never what is a matter of fact.
pub fn decide(facts: &Facts<'_>) -> Decision {
    let approve = format!("`fractal approve {}` lands it", facts.id.get(..8).unwrap_or(facts.id));
    let wait = |reason: &str| Decision::Wait(format!("{reason}; {approve}"));
    if !facts.approved {
        if !facts.may_land {
            return wait("landing is switched off (`[deploy] land = false`)");
        }
        if facts.reverted_before {
            return wait("an earlier attempt was reverted, so a person decides");
        }
        if facts.strategy == "revert" && !facts.may_land_reverts {
            return wait("it undoes a person's commit, so a person decides (`[deploy] land_reverts`)");
        }
        if facts.shadow.doubt.is_some() {
            return wait(&format!("a person decides, because of live runs beside it: {}", facts.shadow));
        }
        if let Some(weak) = facts.weak {
            return wait(&format!("a person decides, because {weak}"));
        }
    }
    if !facts.base_unmoved {
        return Decision::Rebuild;
    }
    // Live runs are of the base as it is.
    let (so_far, wanted) = (facts.shadow.good(), facts.shadow_runs);
    if !facts.approved && so_far < wanted {
        return wait(&format!("{so_far} of {wanted} live runs beside it agree so far (`[deploy] shadow_runs`)"));
    }
    match facts.work_tree {
        WorkTree::Busy(why) => Decision::Wait(format!("{why}; it lands when that is done")),
        WorkTree::Elsewhere | WorkTree::CleanOnBase => Decision::Merge,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ExecutionId, Seen, ShadowRun};

    fn runs(seen: &[Seen]) -> ShadowCounts {
        let run = |seen: &Seen| ShadowRun {
            execution: ExecutionId(String::new()),
            at: jiff::Timestamp::UNIX_EPOCH,
            seen: seen.clone(),
        };
        ShadowCounts::of(&seen.iter().map(run).collect::<Vec<_>>())
    }

    fn facts<'a>(work_tree: &'a WorkTree, shadow: &'a ShadowCounts) -> Facts<'a> {
        Facts {
            strategy: "template",
            may_land: true,
            may_land_reverts: false,
            reverted_before: false,
            weak: None,
            shadow,
            shadow_runs: 0,
            approved: false,
            base_unmoved: true,
            work_tree,
            id: "0123456789",
        }
    }

    #[test]
    fn an_accepted_trusted_candidate_on_an_unmoved_base_lands() {
        let none = ShadowCounts::default();
        assert_eq!(decide(&facts(&WorkTree::Elsewhere, &none)), Decision::Merge);
        assert_eq!(decide(&facts(&WorkTree::CleanOnBase, &none)), Decision::Merge);
        let agree = runs(&[Seen::Agrees, Seen::Repaired, Seen::StillFails, Seen::Nothing]);
        assert_eq!(decide(&Facts { shadow_runs: 2, ..facts(&WorkTree::Elsewhere, &agree) }), Decision::Merge);
    }

    #[test]
    fn every_doubt_waits_for_a_person_and_an_approval_lifts_it() {
        let elsewhere = WorkTree::Elsewhere;
        let [none, differs, broken] =
            [&[][..], &[Seen::Differs("x".into())], &[Seen::Agrees, Seen::Broken("x".into())]].map(runs);
        let base = facts(&elsewhere, &none);
        let doubts = [
            Facts { strategy: "revert", ..base.clone() },
            Facts { may_land: false, ..base.clone() },
            Facts { reverted_before: true, ..base.clone() },
            Facts { weak: Some("x"), ..base.clone() },
            Facts { shadow: &differs, ..base.clone() },
            Facts { shadow: &broken, shadow_runs: 1, ..base.clone() },
            Facts { shadow_runs: 1, ..base.clone() },
        ];
        for doubt in doubts {
            assert!(matches!(decide(&doubt), Decision::Wait(why) if why.contains("fractal approve 01234567")));
            assert_eq!(decide(&Facts { approved: true, ..doubt }), Decision::Merge);
        }
    }

    #[test]
    fn an_approval_never_lifts_a_fact() {
        let (busy, none) = (WorkTree::Busy("dirty".into()), ShadowCounts::default());
        assert!(matches!(decide(&Facts { approved: true, ..facts(&busy, &none) }), Decision::Wait(_)));
        let elsewhere = WorkTree::Elsewhere;
        assert_eq!(decide(&Facts { approved: true, base_unmoved: false, ..facts(&elsewhere, &none) }), Decision::Rebuild);
    }
}
