//! Rollouts: a proposal that may land gets a share of the live runs first, step by step, and what becomes of them decides whether it does.
//!
//! Owns both sides: which version a run of `fractal exec` gets, and what a cycle does with the runs so far. What follows from counts is
//! `src/deploy/rollout.rs`; the files between the two sides are `src/world/rollout.rs`.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use jiff::{SignedDuration, Timestamp};

use super::cycle::{Cycle, decision};
use super::improvement::{Improvement, Rollout};
use super::progress::Progress;
use super::stage::Stage;
use crate::config::{Config, Sticky};
use crate::deploy::{self, Decision, Next};
use crate::model::{
    Arm, ArmRun, End, Event, ExecutionId, Fingerprint, ImprovementId, Outcome, RolloutEvidence, SideEffects, Tool, lot,
};
use crate::record::{self, Instead, Recorded, Start};
use crate::world::clock::Clock;
use crate::world::git::Repo;
use crate::world::rollout::{self, Record, Share};
use crate::world::store::{Query, Which};
use crate::world::{View, files, pin, versions};

/// Runs are drawn for so long after the last cycle.
const UNATTENDED: SignedDuration = SignedDuration::from_hours(48);
/// Failing runs of a version that are looked through for marks.
const MARKS_MAX: usize = 10_000;

// ---- the side of a run ----

/// Which version a run gets.
#[derive(Debug)]
pub struct Choice {
    pub start: Start,
    part: Option<Part>,
    /// What whoever started the run should know.
    pub said: Option<String>,
}

/// A run that was drawn.
#[derive(Debug)]
struct Part {
    share: Share,
    arm: Arm,
    unit: Option<String>,
    record: Record,
}

/// Chooses the version that runs now: the pinned one, the proposed one if the run is drawn to it, else that of the work tree. Whatever goes
/// wrong here, the run is what it would be without us.
pub fn choose(repo: &Repo, config: &Config, tool: &Tool, clock: &Clock) -> Choice {
    let mut choice = Choice { start: Start { random: files::random(), own: None, instead: None }, part: None, said: None };
    match pinned(repo, config, tool) {
        Ok(None) => choice.part = draw(repo, config, tool, clock, &mut choice.start),
        Ok(instead) => choice.start.instead = instead,
        Err(error) => {
            choice.said =
                Some(format!("the pinned version of `{}` cannot run, so that of the work tree does: {error:#}", tool.name));
        }
    }
    choice
}

fn pinned(repo: &Repo, config: &Config, tool: &Tool) -> Result<Option<Instead>> {
    let Some(pin) = pin::of(repo, &tool.name)? else { return Ok(None) };
    if let Some(why) = tool.stays_put() {
        bail!("{why}");
    }
    let version = repo.version_at(&pin.commit, &tool.paths)?;
    let version = version.with_context(|| format!("its files are not in commit {}", pin.commit.short()))?;
    Ok(Some(Instead { held: versions::make(repo, config, tool, &pin.commit)?, version }))
}

/// `None` when the run has no part in a rollout. Nothing of that may follow from the version that it would be drawn to.
fn draw(repo: &Repo, config: &Config, tool: &Tool, clock: &Clock, start: &mut Start) -> Option<Part> {
    let share = rollout::share(repo, &tool.name)?;
    let attended =
        clock.now() < share.until && !config.deploy.rollout.canary.is_empty() && crate::world::pause::paused(repo).is_none();
    if !attended || why_not(tool).is_some() || repo.head().ok()? != share.base {
        return None;
    }
    start.own = Some(repo.version_in_work_tree(&tool.paths).ok()??);
    let needs = || Some(repo.version_in_work_tree(&tool.needs).ok()? == repo.version_at(&share.base, &tool.needs).ok()?);
    if start.own.as_ref() != Some(&share.old) || !tool.needs.is_empty() && !needs()? {
        return None;
    }
    let (held, record) = (versions::find(repo, tool, &share.commit)?, Record::open(repo, &share)?);
    let (salt, caller) = (share.salt(), record::caller());
    let (drawn, unit) = match share.sticky {
        Sticky::None => (lot(&salt, &ExecutionId::fresh(Timestamp::UNIX_EPOCH, start.random).drawn()), None),
        Sticky::Caller => {
            let drawn = lot(&salt, caller.as_bytes());
            // Not its name, which may tell of people.
            (drawn, Some(format!("{drawn:.15}")))
        }
    };
    let arm = if drawn * 100.0 < f64::from(share.percent) { Arm::New } else { Arm::Old };
    if arm == Arm::New {
        start.instead = Some(Instead { held, version: share.version.clone() });
    }
    Some(Part { share, arm, unit, record })
}

impl Choice {
    /// Whether another version than that of the work tree was chosen.
    pub fn is_other(&self) -> bool {
        self.start.instead.is_some()
    }

    /// Notes what became of a run that was drawn. When its failure is one too many no further run is drawn, without waiting for a cycle.
    pub fn ended(self, repo: &Repo, config: &Config, recorded: &Recorded) {
        let Some(Part { share, arm, unit, record }) = self.part else { return };
        let run = ArmRun {
            execution: recorded.id.clone(),
            percent: share.percent,
            arm,
            outcome: recorded.outcome,
            failure: recorded.failure.clone(),
            unit,
        };
        let noted = record.note(&run).is_ok();
        if noted && arm == Arm::New && recorded.outcome == Outcome::Failure {
            let runs = rollout::runs(repo, &share.tool, &share.id, &share.version);
            let evidence = deploy::evidence(&runs, &share.incident, &BTreeSet::new());
            if matches!(deploy::next(&config.deploy.rollout, Some(share.percent), &evidence), Next::Stop(_)) {
                let _ = rollout::withdraw(repo, &share.tool);
            }
        }
    }
}

/// Why no version but that of the work tree may serve live runs of a tool by itself.
fn why_not(tool: &Tool) -> Option<&'static str> {
    let elsewhere = "what it writes may depend on where it lies (`effects` is not \"none\")";
    tool.stays_put().or((tool.effects != SideEffects::None).then_some(elsewhere))
}

// ---- the side of a cycle ----

/// A proposal that is rolled out, or is to be.
struct Case {
    share: Share,
    /// The step that it is in.
    running: Option<Rollout>,
    evidence: RolloutEvidence,
    next: Next,
}

/// `None` when it lands without a rollout, or has been through it.
fn look(view: &View, tool: &Tool, improvement: &Improvement) -> Result<Option<Case>> {
    let config = &view.config.deploy.rollout;
    let wanted = improvement.stage == Stage::Proposed && improvement.approved_by.is_none() && !config.canary.is_empty();
    let (Some((_, commit)), Some(investigation)) = (&improvement.branch, &improvement.investigation) else { return Ok(None) };
    if !wanted || why_not(tool).is_some() {
        return Ok(None);
    }
    let (old, new) = (view.repo.version_at(&investigation.commit, &tool.paths)?, view.repo.version_at(commit, &tool.paths)?);
    let (Some(old), Some(version)) = (old, new) else { return Ok(None) };
    let running = improvement.rollout.clone().filter(|rollout| rollout.version == version);
    if old == version || running.as_ref().is_some_and(|rollout| rollout.percent == 100) {
        return Ok(None);
    }
    let incident = incident(improvement);
    let mut evidence = RolloutEvidence::default();
    if let Some(running) = &running {
        let runs = rollout::runs(&view.repo, &tool.name, &improvement.id, &version);
        let mut marked = BTreeSet::new();
        for version in [&old, &version] {
            let which = Which::Only(Outcome::Failure);
            let query = Query {
                tool: Some(&tool.name),
                version: Some(version),
                which,
                since: running.since,
                limit: MARKS_MAX,
                ..Query::default()
            };
            marked.extend(view.store.executions(&query)?.into_iter().filter(|run| run.mark.is_some()).map(|run| run.id));
        }
        evidence = deploy::evidence(&runs, &incident, &marked);
    }
    let percent = running.as_ref().map(|running| running.percent);
    let since = running.as_ref().map(|running| view.clock.now().duration_since(running.since));
    let days = since.unwrap_or_default().as_hours() / 24;
    let next = deploy::next(config, percent, &evidence).within(days, view.config.monitor.days);
    let share = Share {
        tool: tool.name.clone(),
        id: improvement.id.clone(),
        base: investigation.commit.clone(),
        old,
        commit: commit.clone(),
        version,
        percent: percent.unwrap_or(0),
        sticky: config.sticky,
        incident,
        until: view.clock.now().saturating_add(UNATTENDED.max(SignedDuration::try_from(view.config.engine.interval.0 * 3)?))?,
    };
    Ok(Some(Case { share, running, evidence, next }))
}

fn incident(improvement: &Improvement) -> Vec<Fingerprint> {
    let investigated = improvement.investigation.as_ref().map(|investigation| &investigation.failure);
    let detected = improvement.opportunity.as_ref().map(|opportunity| &opportunity.failure);
    let mut kinds: Vec<Fingerprint> =
        investigated.into_iter().chain(detected).map(|failure| failure.fingerprint.clone()).collect();
    kinds.dedup();
    kinds
}

/// What is said of a landing for which live runs were wanted, where the tool cannot have them.
pub(super) fn without(config: &Config, tool: &Tool, improvement: &Improvement) -> String {
    let wanted = !config.deploy.rollout.canary.is_empty() && improvement.approved_by.is_none();
    why_not(tool).filter(|_| wanted).map_or_else(String::new, |why| format!("; without a canary, because {why}"))
}

/// What a proposal that may land waits for, and what live runs showed; `None` when it is not rolled out.
pub(super) fn told(view: &View, tool: &Tool, improvement: &Improvement) -> Result<Option<(String, RolloutEvidence)>> {
    let told = |Case { next, evidence, .. }: Case| {
        let so_far = if evidence.steps.is_empty() { String::new() } else { format!("; so far {evidence}") };
        let reason = match next {
            Next::Wait(reason) => reason,
            Next::Stop(reason) => format!("is stopped in the next cycle: {reason}"),
            Next::Ask(reason) => format!("is given to a person in the next cycle: {reason}"),
            Next::Share(percent) if percent < 100 => format!("gets {percent} % of the live runs from the next cycle on{so_far}"),
            Next::Share(_) => format!("lands in the next cycle{so_far}"),
        };
        (reason, evidence)
    };
    Ok(look(view, tool, improvement)?.map(told))
}

impl Cycle<'_, '_> {
    fn case(&self, id: &ImprovementId) -> Result<Option<Case>> {
        let improvement = self.journal.get(id)?;
        self.tools.get(improvement.tool()).map_or(Ok(None), |tool| look(self.view(), tool, improvement))
    }

    /// Stops rollouts whose live runs say so, whatever else the proposals wait for.
    pub(super) fn stop_rollouts(&mut self) -> Result<()> {
        for id in self.in_stage(&[Stage::Proposed]) {
            if let Some(Case { share, evidence, next: Next::Stop(reason), .. }) = self.case(&id)? {
                self.tell_rollout(&id, 0, &evidence)?;
                let stopped = Event::RolledOut { version: share.version, percent: 0, evidence };
                self.journal.append(&id, vec![stopped, Event::Ended { how: End::Closed { reason } }])?;
                self.ended(&id)?;
            }
        }
        Ok(())
    }

    /// Whether live runs keep a proposal from landing now. Begins the next step when it is time.
    pub(super) fn rolls_out(&mut self, id: &ImprovementId) -> Result<bool> {
        let Some(case) = self.case(id)? else { return Ok(false) };
        match case.next {
            Next::Share(percent) => {
                if crate::world::pause::paused(&self.view().repo).is_some() {
                    self.waits(id, "paused; `fractal resume` goes on".to_string())?;
                    return Ok(true);
                }
                self.tell_rollout(id, percent, &case.evidence)?;
                let (version, evidence) = (case.share.version, case.evidence);
                self.journal.append(id, vec![Event::RolledOut { version, percent, evidence }])?;
                if percent < 100 {
                    self.waits(id, format!("{percent} % of the live runs get it now"))?;
                }
                Ok(percent < 100)
            }
            Next::Ask(reason) => {
                self.give_up_rollout(id, case.share, case.evidence, &reason)?;
                Ok(true)
            }
            // The next cycle stops it.
            Next::Wait(reason) | Next::Stop(reason) => {
                self.waits(id, reason)?;
                Ok(true)
            }
        }
    }

    /// No run is drawn any more, and the branch stays for people.
    fn give_up_rollout(&mut self, id: &ImprovementId, share: Share, evidence: RolloutEvidence, reason: &str) -> Result<()> {
        let branch = self.journal.get(id)?.branch.clone().map(|(name, _)| name).unwrap_or_default();
        self.tell_rollout(id, 0, &evidence)?;
        self.journal.append(id, vec![Event::RolledOut { version: share.version, percent: 0, evidence }])?;
        self.end(id, End::Stuck { reason: format!("{reason}; merge `{branch}` if you want it all the same") })
    }

    fn tell_rollout(&self, id: &ImprovementId, percent: u8, evidence: &RolloutEvidence) -> Result<()> {
        let tool = self.journal.get(id)?.tool().to_string();
        self.journal.tell(Progress::RolledOut { id: id.clone(), tool, percent, evidence: evidence.clone() });
        Ok(())
    }

    /// Lets live runs be drawn for what is being rolled out: only while it may land.
    pub(super) fn publish_rollouts(&mut self) -> Result<()> {
        let open = |known: &&Improvement| known.rollout.is_some() && known.landed.is_none() && !known.stage.is_end();
        let all: Vec<ImprovementId> =
            self.journal.improvements.values().filter(open).map(|improvement| improvement.id.clone()).collect();
        let (tip, mut kept) = (self.tip()?, Vec::new());
        for id in all {
            let share = self.case(&id)?.filter(|case| case.running.is_some()).map(|case| case.share);
            let improvement = self.journal.get(&id)?;
            let tool = self.tools.get(improvement.tool());
            let may_land = matches!(decision(self.view(), &self.journal.known(&id), &tip)?, Decision::Merge);
            let mut rollout = rollout::Rollout { tool: improvement.tool().to_string(), id: id.clone(), share: None };
            if let (Some(share), Some(tool), true, false) = (share, tool, may_land, self.journal.is_dry_run()) {
                match versions::make(&self.view().repo, &self.view().config, tool, &share.commit) {
                    Ok(_) => rollout.share = Some(share),
                    Err(error) => self.waits(&id, format!("live runs cannot get it: {error}"))?,
                }
            }
            kept.push(rollout);
        }
        self.journal.keep_rollouts(&kept)
    }
}
