//! The judge: from the checks of a candidate to how far it may go. Pure, and a table: what each check, ended so, still allows.
//!
//! The level is the lowest that any check allows, and what the kind of candidate allows. So no check can make up for another one, and
//! a check that fails never raises the level.

use crate::model::{Check, CheckStatus, Judgement, Level, Trust, Verdict};

/// The checks of the gate, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Policy,
    Parse,
    Incident,
    Answers,
    RegressionTest,
    Suite,
    Callers,
    Replay,
    HeldOut,
    Stability,
    Cost,
    Shadow,
    Synthetic,
    Mutation,
    Rivals,
}

impl Step {
    /// All of them, in the order in which they run.
    pub const ALL: [Step; 15] = [
        Step::Policy,
        Step::Parse,
        Step::Incident,
        Step::Answers,
        Step::RegressionTest,
        Step::Suite,
        Step::Callers,
        Step::Replay,
        Step::HeldOut,
        Step::Stability,
        Step::Cost,
        Step::Shadow,
        Step::Synthetic,
        Step::Mutation,
        Step::Rivals,
    ];

    /// As the verdict calls it.
    pub fn name(self) -> &'static str {
        match self {
            Step::Policy => "policy",
            Step::Parse => "parse",
            Step::Incident => "incident",
            Step::Answers => "answers",
            Step::RegressionTest => "regression test",
            Step::Suite => "suite",
            Step::Callers => "callers",
            Step::Replay => "replay",
            Step::HeldOut => "held-out replay",
            Step::Stability => "stability",
            Step::Cost => "cost",
            Step::Shadow => "shadow",
            Step::Synthetic => "synthetic",
            Step::Mutation => "mutation",
            Step::Rivals => "rivals",
        }
    }

    fn of(check: &Check) -> Option<Step> {
        Step::ALL.into_iter().find(|step| step.name() == check.name)
    }

    /// The highest level that a check which ended so allows.
    fn allows(self, status: CheckStatus) -> Level {
        use CheckStatus::{Failed, Passed, Skipped, Weak};
        match (self, status) {
            (_, Passed) => Level::Land,
            // What may not be written, or cannot be run, is nothing that a person should be asked about.
            (Step::Policy | Step::Parse, Failed | Skipped) => Level::Abstain,
            // Whether anybody would notice the patch is no sign that it is wrong.
            (Step::Mutation | Step::Rivals, Failed) => Level::Review,
            (_, Failed) => Level::Draft,
            (_, Weak) => Level::Review,
            // Without these there is no evidence to speak of.
            (Step::Incident | Step::Answers | Step::RegressionTest | Step::Replay | Step::Stability, Skipped) => Level::Review,
            (_, Skipped) => Level::Land,
        }
    }
}

/// The verdict on a candidate of this kind. `plan` says which checks the tool's traits allowed.
pub fn judge(checks: Vec<Check>, trust: Trust, plan: String) -> Verdict {
    let kind = match trust {
        Trust::Land => Level::Land,
        Trust::Review => Level::Review,
        Trust::Diagnosis => Level::Draft,
    };
    // A check that nobody knows allows nothing: it comes from a gate that is not this one.
    let allowed = |check: &Check| Step::of(check).map_or(Level::Abstain, |step| step.allows(check.status));
    let ran = |step: &Step| checks.iter().any(|check| Step::of(check) == Some(*step));
    // What did not run is as good as skipped. After a failure that goes without saying.
    let missing = Step::ALL.into_iter().filter(|step| !ran(step)).map(|step| (step.allows(CheckStatus::Skipped), step));
    let missing: Vec<(Level, Step)> = missing.filter(|(level, _)| *level < Level::Land).collect();
    let has_failed = checks.iter().any(|check| check.status == CheckStatus::Failed);
    let said_missing =
        missing.iter().filter(|_| !has_failed).map(|(level, step)| (*level, format!("{} was not run", step.name())));
    let mut doubts: Vec<(Level, String)> = checks
        .iter()
        .map(|check| (allowed(check), check))
        .filter(|(level, _)| *level < Level::Land)
        .map(|(level, check)| (level, format!("{}: {}", said(check), check.detail)))
        .chain(said_missing)
        .collect();
    if kind < Level::Land {
        doubts.push((kind, "this kind of change is for review".to_string()));
    }
    doubts.sort_by_key(|(level, _)| *level);
    let least = missing.iter().map(|(level, _)| *level).min().unwrap_or(Level::Land);
    let level = doubts.first().map_or(Level::Land, |(level, _)| *level).min(least);
    let judgement = match checks.iter().find(|check| check.status == CheckStatus::Failed && allowed(check) < Level::Review) {
        Some(failed) => Judgement::Rejected { reason: format!("{}: {}", failed.name, failed.detail) },
        None if level < Level::Review => {
            Judgement::Inconclusive { reason: doubts.first().map_or_else(String::new, |d| d.1.clone()) }
        }
        None => Judgement::Accepted,
    };
    Verdict { judgement, level, doubts: doubts.into_iter().map(|(_, doubt)| doubt).collect(), plan, checks }
}

fn said(check: &Check) -> String {
    match check.status {
        CheckStatus::Skipped => format!("{} was skipped", check.name),
        _ => check.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(step: Step, status: CheckStatus) -> Check {
        Check { name: step.name().into(), status, detail: "x".into(), listed: Vec::new() }
    }

    fn all_passed() -> Vec<Check> {
        Step::ALL.into_iter().map(|step| check(step, CheckStatus::Passed)).collect()
    }

    #[test]
    fn what_passes_everything_and_is_trusted_lands() {
        let verdict = judge(all_passed(), Trust::Land, String::new());
        assert_eq!((verdict.level, verdict.accepted(), verdict.weakness()), (Level::Land, true, None));
    }

    #[test]
    fn the_kind_of_candidate_is_a_limit_of_its_own() {
        let level = |trust| judge(all_passed(), trust, String::new()).level;
        assert_eq!((level(Trust::Review), level(Trust::Diagnosis)), (Level::Review, Level::Draft));
    }

    #[test]
    fn a_failed_check_rejects_and_a_weak_one_asks_a_person() {
        for step in Step::ALL {
            let of = |status| {
                let mut checks = all_passed();
                checks[step as usize] = check(step, status);
                judge(checks, Trust::Land, String::new())
            };
            let failed = of(CheckStatus::Failed);
            let only_weak = matches!(step, Step::Mutation | Step::Rivals);
            assert_eq!((failed.accepted(), failed.level <= Level::Review), (only_weak, true), "{step:?}");
            if !matches!(step, Step::Policy | Step::Parse) {
                let weak = of(CheckStatus::Weak);
                assert_eq!((weak.accepted(), weak.level), (true, Level::Review), "{step:?}");
                assert!(weak.weakness().is_some_and(|why| why.starts_with(step.name())));
            }
        }
    }

    #[test]
    fn nothing_lands_without_a_failing_input_a_test_and_something_to_compare_with() {
        for step in [Step::Incident, Step::Answers, Step::RegressionTest, Step::Replay, Step::Stability] {
            let mut checks = all_passed();
            checks[step as usize] = check(step, CheckStatus::Skipped);
            assert_eq!(judge(checks, Trust::Land, String::new()).level, Level::Review);
        }
    }

    #[test]
    fn what_did_not_run_counts_as_skipped() {
        assert_eq!(judge(Vec::new(), Trust::Land, String::new()).level, Level::Abstain);
        let without_replay: Vec<Check> = all_passed().into_iter().filter(|check| check.name != "replay").collect();
        let verdict = judge(without_replay, Trust::Land, String::new());
        assert_eq!((verdict.level, verdict.doubts), (Level::Review, vec!["replay was not run".to_string()]));
    }

    #[test]
    fn a_check_that_is_not_known_allows_nothing() {
        let mut checks = all_passed();
        checks.push(Check { name: "moon".into(), ..check(Step::Policy, CheckStatus::Passed) });
        assert_eq!(judge(checks, Trust::Land, String::new()).level, Level::Abstain);
    }

    fn statuses() -> impl Strategy<Value = Vec<(usize, u8)>> {
        prop::collection::vec((0..Step::ALL.len(), 0..4_u8), 0..20)
    }

    fn checks(from: &[(usize, u8)]) -> Vec<Check> {
        let status = |number| match number {
            0 => CheckStatus::Passed,
            1 => CheckStatus::Weak,
            2 => CheckStatus::Failed,
            _ => CheckStatus::Skipped,
        };
        from.iter().map(|(step, number)| check(Step::ALL[*step], status(*number))).collect()
    }

    proptest! {
        #[test]
        fn adding_a_failing_check_never_raises_the_level(from in statuses(), step in 0..Step::ALL.len(), at in 0..20_usize) {
            let before = judge(checks(&from), Trust::Land, String::new());
            let mut more = checks(&from);
            more.insert(at.min(from.len()), check(Step::ALL[step], CheckStatus::Failed));
            let after = judge(more, Trust::Land, String::new());
            prop_assert!(after.level <= before.level);
            prop_assert!(after.level < Level::Land);
            prop_assert!(before.accepted() || !after.accepted());
        }

        #[test]
        fn the_level_does_not_depend_on_the_order_of_the_checks(from in statuses()) {
            let mut other = from.clone();
            other.reverse();
            prop_assert_eq!(judge(checks(&from), Trust::Land, String::new()).level, judge(checks(&other), Trust::Land, String::new()).level);
        }
    }
}
