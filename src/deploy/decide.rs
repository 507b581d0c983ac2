//! Whether a proposal may land: a pure function of facts read just before.

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
        if let Some(weak) = facts.weak {
            return wait(&format!("a person decides, because {weak}"));
        }
    }
    if !facts.base_unmoved {
        return Decision::Rebuild;
    }
    match facts.work_tree {
        WorkTree::Busy(why) => Decision::Wait(format!("{why}; it lands when that is done")),
        WorkTree::Elsewhere | WorkTree::CleanOnBase => Decision::Merge,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(work_tree: &WorkTree) -> Facts<'_> {
        Facts {
            strategy: "template",
            may_land: true,
            may_land_reverts: false,
            reverted_before: false,
            weak: None,
            approved: false,
            base_unmoved: true,
            work_tree,
            id: "0123456789",
        }
    }

    #[test]
    fn an_accepted_trusted_candidate_on_an_unmoved_base_lands() {
        assert_eq!(decide(&facts(&WorkTree::Elsewhere)), Decision::Merge);
        assert_eq!(decide(&facts(&WorkTree::CleanOnBase)), Decision::Merge);
    }

    #[test]
    fn every_doubt_waits_for_a_person_and_an_approval_lifts_it() {
        let elsewhere = WorkTree::Elsewhere;
        let base = facts(&elsewhere);
        let doubts = [
            Facts { strategy: "revert", ..base.clone() },
            Facts { may_land: false, ..base.clone() },
            Facts { reverted_before: true, ..base.clone() },
            Facts { weak: Some("x"), ..base.clone() },
        ];
        for doubt in doubts {
            assert!(matches!(decide(&doubt), Decision::Wait(why) if why.contains("fractal approve 01234567")));
            assert_eq!(decide(&Facts { approved: true, ..doubt }), Decision::Merge);
        }
    }

    #[test]
    fn an_approval_never_lifts_a_fact() {
        let busy = WorkTree::Busy("dirty".into());
        assert!(matches!(decide(&Facts { approved: true, ..facts(&busy) }), Decision::Wait(_)));
        let elsewhere = WorkTree::Elsewhere;
        assert_eq!(decide(&Facts { approved: true, base_unmoved: false, ..facts(&elsewhere) }), Decision::Rebuild);
    }
}
