//! Whether a proposal gets a larger share of the live runs, waits, or is stopped: a pure function of what became of the runs so far.

use std::collections::BTreeSet;

use crate::config::RolloutConfig;
use crate::model::{Arm, ArmRun, Counts, ExecutionId, Fingerprint, Outcome, RolloutEvidence, RolloutStep};
use crate::stats::concurrent::{DOUBT, Failures, STOP, against};

/// What follows from the runs so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// From now on this share, in per cent; at 100 it lands.
    Share(u8),
    Wait(String),
    Stop(String),
    /// It waited for too long: a person decides.
    Ask(String),
}

impl Next {
    /// What has waited for `days` asks a person when that is `days_max`.
    pub fn within(self, days: i64, days_max: u32) -> Next {
        match self {
            Next::Wait(reason) if days >= i64::from(days_max) => {
                Next::Ask(format!("it is not through its rollout after {days} days (`[monitor] days`): {reason}"))
            }
            Next::Wait(reason) => Next::Wait(format!(
                "{reason}; a person is asked after {days_max} days (`[monitor] days`), now it is day {}",
                days + 1
            )),
            next => next,
        }
    }
}

/// Counts. `incident` are the kinds of failure that the proposal is to repair, `marked` the runs that somebody said were wrong.
///
/// The e-value is the mean of two: of failures of all kinds, and of all but the incident. The first would not see what is broken instead
/// where the old version fails often; the second not that the incident became worse. A mean of e-values is an e-value. Of runs that are
/// drawn together only the first failure counts: the others follow from it.
pub fn evidence(runs: &[ArmRun], incident: &[Fingerprint], marked: &BTreeSet<ExecutionId>) -> RolloutEvidence {
    let mut evidence = RolloutEvidence::default();
    let (mut all, mut other) = (Tally::default(), Tally::default());
    let mut seen = BTreeSet::new();
    for run in runs.iter().filter(|run| run.outcome != Outcome::Error && seen.insert(&run.execution)) {
        let failed = run.outcome == Outcome::Failure || marked.contains(&run.execution);
        let step = match evidence.steps.iter().position(|step| step.percent == run.percent) {
            Some(at) => &mut evidence.steps[at],
            None => {
                evidence.steps.push(RolloutStep { percent: run.percent, ..RolloutStep::default() });
                let last = evidence.steps.len() - 1;
                &mut evidence.steps[last]
            }
        };
        let counts: &mut Counts = if run.arm == Arm::New { &mut step.new } else { &mut step.old };
        counts.runs += 1;
        counts.failures += u64::from(failed);
        if failed {
            all.add(run);
            if run.failure.as_ref().is_none_or(|failure| !incident.contains(failure)) {
                other.add(run);
            }
        }
    }
    evidence.steps.sort_by_key(|step| step.percent);
    evidence.e = against(&all.failures) / 2.0 + against(&other.failures) / 2.0;
    evidence
}

#[derive(Default)]
struct Tally<'r> {
    failures: Vec<Failures>,
    units: BTreeSet<&'r str>,
}

impl<'r> Tally<'r> {
    fn add(&mut self, run: &'r ArmRun) {
        if run.unit.as_deref().is_some_and(|unit| !self.units.insert(unit)) {
            return;
        }
        let share = f64::from(run.percent) / 100.0;
        let (new, old) = if run.arm == Arm::New { (1, 0) } else { (0, 1) };
        match self.failures.iter_mut().find(|failures| failures.share == share) {
            Some(failures) => (failures.new, failures.old) = (failures.new + new, failures.old + old),
            None => self.failures.push(Failures { share, new, old }),
        }
    }
}

/// What follows. `percent` is the share now: `None` before the first step. One may look as often as one likes.
pub fn next(config: &RolloutConfig, percent: Option<u8>, evidence: &RolloutEvidence) -> Next {
    if evidence.e >= STOP {
        return Next::Stop(format!("its live runs fail more than those of the version beside it: {evidence}"));
    }
    let Some(percent) = percent else { return Next::Share(config.canary.first().copied().unwrap_or(100)) };
    let runs = evidence.at(percent).new.runs;
    if runs < config.runs {
        let so_far = if evidence.steps.is_empty() { String::new() } else { format!("; {evidence}") };
        return Next::Wait(format!("canary at {percent} %: {runs} of {} runs so far (`[deploy.rollout]`){so_far}", config.runs));
    }
    if evidence.e >= DOUBT {
        return Next::Wait(format!("canary at {percent} %, held because it may fail more: {evidence}"));
    }
    Next::Share(config.canary.iter().copied().find(|step| *step > percent).unwrap_or(100))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sticky;

    fn config() -> RolloutConfig {
        RolloutConfig { canary: vec![5, 25, 100], runs: 3, sticky: Sticky::None }
    }

    /// So many runs, the first ones of which fail in this way.
    fn runs(arm: Arm, percent: u8, runs: u32, failures: u32, kind: &str) -> Vec<ArmRun> {
        let run = |number: u32| ArmRun {
            execution: ExecutionId(format!("{arm:?} {percent} {kind} {number}")),
            percent,
            arm,
            outcome: if number < failures { Outcome::Failure } else { Outcome::Success },
            failure: (number < failures).then(|| Fingerprint::known(kind.into())),
            unit: None,
        };
        (0..runs).map(run).collect()
    }

    fn shown(runs: &[ArmRun]) -> RolloutEvidence {
        evidence(runs, &[Fingerprint::known("incident".into())], &BTreeSet::new())
    }

    #[test]
    fn steps_follow_one_another_when_enough_runs_of_each_do_not_look_worse() {
        let none = shown(&[]);
        assert_eq!(next(&config(), None, &none), Next::Share(5));
        assert!(matches!(next(&config(), Some(5), &none), Next::Wait(why) if why.contains("0 of 3 runs")));
        let mut all = [runs(Arm::New, 5, 3, 0, ""), runs(Arm::Old, 5, 60, 20, "incident")].concat();
        assert_eq!(next(&config(), Some(5), &shown(&all)), Next::Share(25));
        assert!(matches!(next(&config(), Some(25), &shown(&all)), Next::Wait(why) if why.contains("canary at 25 %: 0 of 3")));
        all.extend(runs(Arm::New, 25, 3, 1, "other"));
        assert_eq!(next(&config(), Some(25), &shown(&all)), Next::Share(100), "{}", shown(&all));
    }

    #[test]
    fn one_that_fails_more_is_stopped_whatever_else_it_repairs_and_one_that_may_waits() {
        // The old version fails in every third run, the new one never like that, but otherwise.
        let old = runs(Arm::Old, 5, 60, 20, "incident");
        let broken = shown(&[old.clone(), runs(Arm::New, 5, 5, 3, "other")].concat());
        assert!(matches!(next(&config(), Some(5), &broken), Next::Stop(why) if why.contains("5 %: 3 of 5 runs failed")));
        let doubtful = shown(&[old.clone(), runs(Arm::New, 5, 5, 2, "other")].concat());
        assert!(matches!(next(&config(), Some(5), &doubtful), Next::Wait(why) if why.contains("held")), "{doubtful}");
        // The incident itself became worse.
        let worse = shown(&[runs(Arm::Old, 25, 60, 2, "incident"), runs(Arm::New, 25, 20, 12, "incident")].concat());
        assert!(matches!(next(&config(), Some(25), &worse), Next::Stop(_)), "{worse}");
    }

    #[test]
    fn what_waits_says_for_how_long_and_asks_a_person_then_and_what_need_not_wait_goes_on() {
        let waits = || next(&config(), Some(5), &shown(&[]));
        assert!(
            matches!(waits().within(29, 30), Next::Wait(why) if why.contains("0 of 3 runs") && why.contains("after 30 days"))
        );
        assert!(matches!(waits().within(30, 30), Next::Ask(why) if why.contains("after 30 days") && why.contains("0 of 3 runs")));
        assert_eq!(Next::Share(25).within(99, 30), Next::Share(25));
        assert_eq!(Next::Stop("x".into()).within(99, 30), Next::Stop("x".into()));
    }

    #[test]
    fn a_run_counts_once_errors_never_marked_runs_as_failures_and_drawn_units_only_with_their_first() {
        let mut new = runs(Arm::New, 5, 4, 0, "");
        new.push(ArmRun { outcome: Outcome::Error, execution: ExecutionId("error".into()), ..new[0].clone() });
        let twice = [new.clone(), new.clone()].concat();
        assert_eq!(shown(&twice).at(5).new, Counts { runs: 4, failures: 0 });
        let marked = new[..3].iter().map(|run| run.execution.clone()).collect();
        let bad = evidence(&new, &[], &marked);
        assert_eq!(bad.at(5).new, Counts { runs: 4, failures: 3 });
        assert!(bad.e >= STOP, "{bad}");
        let one_caller: Vec<ArmRun> =
            runs(Arm::New, 5, 9, 9, "x").into_iter().map(|run| ArmRun { unit: Some("cron".into()), ..run }).collect();
        let evidence = shown(&one_caller);
        assert!((evidence.e - 10.0).abs() < 1e-9 && evidence.at(5).new.failures == 9, "{evidence}");
    }
}
