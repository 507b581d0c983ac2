//! One bounded pass over everything that is open: reconcile, watch, land, then detect and improve. It finishes before it starts.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

use super::actions::{Acted, Journal};
use super::ahead::{Ahead, Found, told};
use super::forum::Seen;
use super::improvement::Improvement;
use super::maintenance;
use super::news::News;
use super::offer::learned;
use super::progress::{CycleReport, Progress};
use super::reconcile::{branch_is_a_persons, reconcile};
use super::search::{Next, Shortlist, Wanted};
use super::stage::Stage;
use super::stages::Stages;
use super::{rollout, shadow};
use crate::deploy::{self, Decision, Facts, Proposal};
use crate::model::{
    ActionKind, Approver, Asking, AttemptSummary, Candidate, Character, CommitId, Conclusion, Cost, End, Event, ImprovementId,
    Investigation, Observation, Opportunity, Rival, Tool, Verdict,
};
use crate::prioritize;
use crate::validate::Judged;
use crate::world::View;
use crate::world::bench::BenchError;
use crate::world::catalog::{Catalog, catalog};
use crate::world::git::MoveError;
use crate::world::pause::pauses;

/// Times one proposal is rebuilt in one cycle because the base moved under it.
const REBUILDS_MAX: u32 = 2;

/// The state of one pass.
pub(super) struct Cycle<'v, 'j> {
    pub(super) journal: &'j mut Journal<'v>,
    pub(super) stages: &'j dyn Stages,
    pub(super) tools: Catalog,
    pub(super) report: CycleReport,
    /// What was looked into ahead of its turn.
    pub(super) ahead: Ahead,
    /// What was accepted in this cycle, should it have to be rebuilt.
    pub(super) shortlists: BTreeMap<ImprovementId, Shortlist>,
    /// What the forge shows.
    pub(super) seen: Seen,
}

/// Runs one pass.
///
/// # Errors
/// When the repository, the log or the store cannot be read or written. Everything done so far is in the log.
pub(super) fn run(journal: &mut Journal<'_>, stages: &dyn Stages) -> Result<CycleReport> {
    let view = journal.view;
    journal.begin()?;
    stages.begun(view)?;
    let tip = view.repo.tip(&view.base)?;
    let dry_run = journal.is_dry_run();
    journal.tell(Progress::CycleStarted { base: view.base.clone(), commit: tip.short().to_string(), dry_run });
    for pause in pauses(&view.repo) {
        journal.tell(Progress::Paused { lift: pause.how_to_lift(), reason: pause.reason });
    }
    let tools = catalog(&view.repo, &view.config, &tip)?;
    let (report, ahead, shortlists) = (CycleReport::default(), Ahead::default(), BTreeMap::new());
    let seen = if view.forge.is_some() { Seen::NotYet } else { Seen::Git };
    let mut cycle = Cycle { journal, stages, tools, report, ahead, shortlists, seen };
    cycle.journal.drain()?;
    cycle.journal.sync()?;
    cycle.journal.collect()?;
    cycle.hear()?;
    cycle.note_feedback()?;
    cycle.take_back_all()?;
    reconcile(&mut cycle)?;
    cycle.watch_all()?;
    cycle.stop_rollouts()?;
    cycle.land_all()?;
    cycle.improve_all()?;
    cycle.close_what_is_over()?;
    cycle.show_board(None)?;
    cycle.publish_rollouts()?;
    maintenance::maintain(cycle.journal)?;
    let Cycle { mut report, journal, .. } = cycle;
    report.actions = journal.actions_done;
    journal.count(1, report.tools_analysed, 0)?;
    journal.publish_log()?;
    journal.tell(Progress::CycleEnded { report: report.clone() });
    Ok(report)
}

impl<'v> Cycle<'v, '_> {
    pub(super) fn view(&self) -> &'v View {
        self.journal.view
    }

    pub(super) fn tip(&self) -> Result<CommitId> {
        self.view().repo.tip(&self.view().base)
    }

    pub(super) fn in_stage(&self, wanted: &[Stage]) -> Vec<ImprovementId> {
        let chosen = self.journal.improvements.values().filter(|improvement| wanted.contains(&improvement.stage));
        chosen.map(|improvement| improvement.id.clone()).collect()
    }

    pub(super) fn tool_of(&self, id: &ImprovementId) -> Result<String> {
        Ok(self.journal.get(id)?.tool().to_string())
    }

    // ---- land ----

    fn land_all(&mut self) -> Result<()> {
        self.each(&[Stage::Proposed], |cycle, id| cycle.land(id, 0))
    }

    pub(super) fn land(&mut self, id: &ImprovementId, rebuilt: u32) -> Result<()> {
        let improvement = self.journal.known(id);
        let (Some((branch, commit)), Some(investigation), Stage::Proposed) =
            (improvement.branch.clone(), improvement.investigation.clone(), improvement.stage)
        else {
            return Ok(());
        };
        let (approved, shadow) = (improvement.approved_by.clone(), shadow::counts(self.view(), &improvement));
        let tool = self.tools.get(improvement.tool());
        let without = tool.map(|tool| rollout::without(&self.view().config, tool, &improvement)).unwrap_or_default();
        let policy = format!("the gate accepted it and it may land{}{without}", shadow.told());
        let tip = self.tip()?;
        match decision(self.view(), &improvement, &tip)? {
            decision if self.has_forge() && decision != Decision::Rebuild => self.land_on_forge(id, decision, rebuilt),
            Decision::Wait(reason) => self.waits(id, format!("on `{branch}`: {reason}")),
            Decision::Rebuild if rebuilt < REBUILDS_MAX => {
                self.tell_rebuilding(id, &tip)?;
                self.journal.append(id, vec![Event::Observed { what: Observation::BaseMoved { to: tip } }])?;
                self.work_on(id, rebuilt + 1)
            }
            Decision::Rebuild => {
                self.waits(id, format!("`{}` moves faster than the candidate can be validated", self.view().base))
            }
            Decision::Merge if self.rolls_out(id)? => Ok(()),
            Decision::Merge => {
                let by = approved.map_or(Approver::Policy(policy), Approver::Person);
                let kind =
                    ActionKind::Land { base: self.view().base.clone(), expect: investigation.commit, commit: commit.clone() };
                match self.journal.act(id, Vec::new(), kind, by)? {
                    Acted::Done => {
                        self.report.landed += 1;
                        let tip = self.tip()?;
                        anyhow::ensure!(
                            self.view().repo.tree_of(&tip)? == self.view().repo.tree_of(&commit)?,
                            "`{}` is not the tree that was validated: somebody moved it at the same moment",
                            self.view().base
                        );
                        Ok(())
                    }
                    Acted::Planned => Ok(()),
                    Acted::Stale(_) if rebuilt < REBUILDS_MAX => {
                        self.journal.look_again()?;
                        self.land(id, rebuilt + 1)
                    }
                    Acted::Waits(why) | Acted::Stale(why) => self.waits(id, format!("landing waits: {why}")),
                    Acted::Failed(why) => self.end(id, End::Stuck { reason: format!("landing failed: {why}") }),
                }
            }
        }
    }

    // ---- detect and improve ----

    fn improve_all(&mut self) -> Result<()> {
        // What a killed run left in the middle comes first.
        self.each(&[Stage::Detected, Stage::Investigated], Self::go_on)?;
        let tip = self.tip()?;
        let news = News::read(self.view(), &self.tools, &tip)?;
        let names: Vec<String> = news.tools.iter().map(|tool| tool.name.clone()).collect();
        self.journal.settle(&names)?;
        let detected = self.stages.detect(self.view(), &news.tools, &tip)?;
        self.report.tools_analysed = detected.analysed;
        let ranked = prioritize::prioritize(detected.opportunities);
        self.take_on(ranked.iter().map(|ranked| &ranked.opportunity).collect())?;
        // What is left, for whatever reason, is looked at again.
        let left: BTreeSet<String> = ranked
            .iter()
            .map(|ranked| &ranked.opportunity)
            .filter(|opportunity| self.is_news(opportunity))
            .map(|opportunity| opportunity.tool.clone())
            .collect();
        let again: Vec<String> = left.into_iter().chain(self.given_up_together(&tip)?).collect();
        self.journal.looked(&news, &again)
    }

    /// Tools that are to be looked at by themselves since their group was given up.
    fn given_up_together(&self, tip: &CommitId) -> Result<BTreeSet<String>> {
        let mut tools = BTreeSet::new();
        let groups = self.journal.improvements.values().filter(|known| known.is_group() && known.was_given_up());
        for member in groups.flat_map(Improvement::members) {
            let Some(tool) = self.tools.get(&member.tool).filter(|_| self.is_news(member)) else { continue };
            if self.view().repo.version_at(tip, &tool.paths)?.as_ref() == Some(&member.version) {
                tools.insert(tool.name.clone());
            }
        }
        Ok(tools)
    }

    /// From detected (or investigated) to proposed and, if allowed, landed.
    pub(super) fn work_on(&mut self, id: &ImprovementId, rebuilt: u32) -> Result<()> {
        let tip = self.tip()?;
        let improvement = self.journal.get(id)?;
        let stale = improvement.investigation.as_ref().is_some_and(|investigation| investigation.commit != tip);
        if improvement.stage == Stage::Investigated && stale {
            self.journal.append(id, vec![Event::Observed { what: Observation::BaseMoved { to: tip.clone() } }])?;
        }
        let improvement = self.journal.get(id)?;
        let Some(opportunity) = improvement.opportunity.clone() else { return Ok(()) };
        if !opportunity.each.is_empty() {
            return self.work_on_group(id, rebuilt);
        }
        let Some(tool) = self.tools.get(&opportunity.tool).cloned() else {
            return self.end(id, End::Closed { reason: format!("the tool `{}` is gone", opportunity.tool) });
        };
        let character = self.stages.character(self.view(), &tool, &tip)?;
        let tool = Tool { effects: character.effects, ..tool };
        if improvement.stage == Stage::Detected {
            self.journal.tell(Progress::Investigating { id: id.clone(), tool: tool.name.clone() });
            let investigation = self.stages.investigate(self.view(), &tool, &opportunity, &tip)?;
            self.journal.tell(told(id, &tool, &investigation));
            if !self.investigated(id, investigation)? {
                return Ok(());
            }
        }
        self.search(id, (&tool, &character), &opportunity, rebuilt)
    }

    /// Records an investigation; whether there may be a patch.
    pub(super) fn investigated(&mut self, id: &ImprovementId, mut investigation: Investigation) -> Result<bool> {
        self.report.investigated += 1;
        investigation.remarks.extend(self.ahead.left_out.remove(id));
        let improvable = investigation.conclusion == Conclusion::Improvable;
        self.journal.append(id, vec![Event::Investigated { investigation }])?;
        if !improvable {
            self.report.declined += 1;
            self.ended(id)?;
        }
        Ok(improvable)
    }

    /// Goes on with what was found ahead of its turn. A repair for a base that has moved since only says where to begin.
    pub(super) fn go_on_from(&mut self, id: &ImprovementId, found: Found) -> Result<()> {
        let tip = self.tip()?;
        if let Some(shortlist) = found.shortlist().filter(|shortlist| shortlist.commit != tip) {
            self.shortlists.insert(id.clone(), shortlist.clone());
            self.tell_rebuilding(id, &tip)?;
            self.record_asked(id, std::iter::once(&found))?;
            return self.work_on(id, 0);
        }
        let Some(opportunity) = self.journal.get(id)?.opportunity.clone() else { return Ok(()) };
        let Found { tool, investigation, came, .. } = found;
        if !self.investigated(id, investigation)? {
            return Ok(());
        }
        for next in came {
            if self.came(id, &tool, &opportunity, next, 0)? {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn tell_rebuilding(&self, id: &ImprovementId, tip: &CommitId) -> Result<()> {
        let tool = self.tool_of(id)?;
        self.journal.tell(Progress::Rebuilding { id: id.clone(), tool, commit: tip.short().to_string() });
        Ok(())
    }

    /// Tries candidates until one passes the gate.
    fn search(
        &mut self,
        id: &ImprovementId,
        (tool, character): (&Tool, &Character),
        opportunity: &Opportunity,
        rebuilt: u32,
    ) -> Result<()> {
        let investigation = self.journal.get(id)?.investigation.clone().context("a bug: searching without an investigation")?;
        let learned = learned(self.journal.improvements.values());
        let (view, tell) = (self.view(), self.journal.listener());
        let shortlist = self.shortlist(id, &investigation.commit)?;
        let (investigation, learned, shortlist) = (&investigation, &learned, shortlist.as_ref());
        let spends = !self.journal.is_dry_run();
        let till = self.journal.till();
        let wanted = Wanted { view, tool, character, opportunity, investigation, learned, till: &till, shortlist, tell, spends };
        let mut attempts = match self.stages.search(wanted) {
            Ok(attempts) => attempts,
            Err(BenchError::World(error)) => return Err(error),
            Err(error) => return self.unsolved(id, 0, error.to_string()),
        };
        loop {
            let next = attempts.next(&self.journal.known(id))?;
            if self.came(id, tool, opportunity, next, rebuilt)? {
                return Ok(());
            }
        }
    }

    /// What was accepted in this cycle, if its files are the same on this base.
    pub(super) fn shortlist(&self, id: &ImprovementId, base: &CommitId) -> Result<Option<Shortlist>> {
        match self.shortlists.get(id) {
            Some(shortlist) if shortlist.fits(self.view(), base)? => Ok(Some(shortlist.clone())),
            _ => Ok(None),
        }
    }

    /// Records what came of a candidate, and lands one that was accepted. Whether the search is over.
    fn came(&mut self, id: &ImprovementId, tool: &Tool, opportunity: &Opportunity, next: Next, rebuilt: u32) -> Result<bool> {
        match next {
            Next::Over { tried, reason } => self.unsolved(id, tried, reason)?,
            Next::Later { reason } => self.waits(id, reason)?,
            Next::Asked(asking) => {
                self.journal.append(id, vec![Event::Asked { asking: asking.clone() }])?;
                self.journal.tell(Progress::Asked { id: id.clone(), tool: tool.name.clone(), asking });
                return Ok(false);
            }
            Next::Judged { candidate, judged, tried, shortlist, beside } => {
                let accepted = judged.verdict.accepted();
                self.judged(id, (tool, opportunity), (&candidate, beside), *judged, tried)?;
                if !accepted {
                    return Ok(false);
                }
                self.shortlists.insert(id.clone(), shortlist);
                self.land(id, rebuilt)?;
            }
        }
        Ok(true)
    }

    pub(super) fn unsolved(&mut self, id: &ImprovementId, tried: u64, reason: String) -> Result<()> {
        let tool = self.tool_of(id)?;
        self.journal.append(id, vec![Event::NoCandidate { tried, reason: reason.clone() }])?;
        self.journal.tell(Progress::Unsolved { id: id.clone(), tool, tried, reason });
        Ok(())
    }

    /// Records a verdict; an accepted candidate gets its commit and its branch.
    fn judged(
        &mut self,
        id: &ImprovementId,
        (tool, opportunity): (&Tool, &Opportunity),
        (candidate, beside): (&Candidate, Vec<Rival>),
        judged: Judged,
        tried: u64,
    ) -> Result<()> {
        let Judged { verdict, test, .. } = judged;
        let investigation = self.journal.get(id)?.investigation.clone().context("a bug: a verdict without an investigation")?;
        let mut attempt = deploy::summarise(self.view(), &investigation.commit, candidate, tried)?;
        let cost = self.journal.get(id)?.cost();
        attempt.beside = beside;
        attempt.cost = (cost != Cost::default()).then_some(cost);
        let asked: Vec<Asking> = self.journal.get(id)?.asked().cloned().collect();
        attempt.prose = asked.iter().rev().find(|asking| asking.is_prose()).and_then(|asking| asking.said.clone());
        self.tell_judged(id, &attempt, &verdict)?;
        let event = Event::Judged { attempt: attempt.clone(), verdict: verdict.clone() };
        if !verdict.accepted() {
            return self.journal.append(id, vec![event]);
        }
        let accepted = (candidate, &attempt, &verdict, test);
        let proposal = deploy::propose(tool, opportunity, &investigation, accepted, &asked, self.view().clock.now())?;
        self.propose(id, event, &proposal)
    }

    pub(super) fn tell_judged(&self, id: &ImprovementId, attempt: &AttemptSummary, verdict: &Verdict) -> Result<()> {
        self.journal.tell(Progress::Judged {
            id: id.clone(),
            tool: self.tool_of(id)?,
            title: attempt.title.clone(),
            source: attempt.source.clone(),
            tried: attempt.tried,
            verdict: verdict.clone(),
            diff: attempt.diff.clone(),
        });
        Ok(())
    }

    /// Records that a candidate was accepted, and puts its commit on its branch.
    pub(super) fn propose(&mut self, id: &ImprovementId, accepted: Event, proposal: &Proposal) -> Result<()> {
        let commit = self.journal.write_commit(&proposal.parent, &proposal.patch, &proposal.message)?;
        let head = self.view().repo.resolve(&format!("refs/heads/{}", proposal.branch))?;
        let improvement = self.journal.get(id)?;
        // Where we left it, whether it is there or not: a person may have been faster while we worked.
        let expect = improvement.left_at.clone().or(head.filter(|head| improvement.put.contains(head)));
        let kind = ActionKind::PutBranch { branch: proposal.branch.clone(), expect, commit };
        self.put_branch(id, vec![accepted], kind)
    }

    /// Makes the branch of an accepted candidate, or says what keeps it from being made.
    pub(super) fn put_branch(&mut self, id: &ImprovementId, facts: Vec<Event>, kind: ActionKind) -> Result<()> {
        match self.journal.act(id, facts, kind, Approver::Policy("the gate accepted it".into()))? {
            Acted::Done | Acted::Planned => {
                self.report.proposed += 1;
                Ok(())
            }
            Acted::Waits(why) => self.waits(id, why),
            Acted::Stale(_) if branch_is_a_persons(self, id)? => Ok(()),
            Acted::Stale(why) | Acted::Failed(why) => {
                self.end(id, End::Stuck { reason: format!("its branch could not be made: {why}") })
            }
        }
    }

    // ---- ends ----

    /// Ends an improvement, tells, and notes the outcome on its commit.
    pub(super) fn end(&mut self, id: &ImprovementId, how: End) -> Result<()> {
        if how == End::Kept {
            self.report.kept += 1;
        }
        self.journal.append(id, vec![Event::Ended { how }])?;
        self.ended(id)?;
        self.report_outcome(id)?;
        self.note_outcome(id)
    }

    pub(super) fn ended(&mut self, id: &ImprovementId) -> Result<()> {
        let improvement = self.journal.get(id)?;
        let reason = improvement.end_reason.clone().unwrap_or_default();
        let (tool, stage) = (improvement.tool().to_string(), improvement.stage);
        self.journal.tell(Progress::Ended { id: id.clone(), tool, stage, reason });
        Ok(())
    }

    /// Writes the outcome as a git note on the landed commit, once for each outcome.
    pub(super) fn note_outcome(&mut self, id: &ImprovementId) -> Result<()> {
        let improvement = self.journal.get(id)?;
        let noted = matches!(improvement.stage, Stage::Kept | Stage::Reverted | Stage::Inconclusive | Stage::Stuck);
        let (true, Some(landed), Some(opportunity)) = (noted, &improvement.landed, &improvement.opportunity) else {
            return Ok(());
        };
        let reason = improvement.end_reason.clone().unwrap_or_default();
        let text = deploy::note(improvement.stage.word(), &reason, opportunity, improvement.analysis.as_ref())?;
        let kind = ActionKind::Note { commit: landed.commit.clone(), text };
        if improvement.is_settled(&kind) {
            return Ok(());
        }
        match self.journal.act(id, Vec::new(), kind, Approver::Policy("outcomes are noted".into()))? {
            Acted::Done | Acted::Planned => Ok(()),
            Acted::Waits(why) | Acted::Stale(why) | Acted::Failed(why) => self.waits(id, format!("the note waits: {why}")),
        }
    }

    pub(super) fn waits(&mut self, id: &ImprovementId, reason: String) -> Result<()> {
        self.report.waiting += 1;
        let improvement = self.journal.get(id)?;
        let (tool, stage) = (improvement.tool().to_string(), improvement.stage);
        self.journal.tell(Progress::Waiting { id: id.clone(), tool, stage, reason });
        Ok(())
    }
}

/// Whether a proposal may land, from facts read now. Also what `fractal status` shows.
pub(super) fn decision(view: &View, improvement: &Improvement, tip: &CommitId) -> Result<Decision> {
    let (Some((attempt, verdict)), Some(investigation)) = (&improvement.accepted, &improvement.investigation) else {
        return Ok(Decision::Wait("nothing was accepted".into()));
    };
    let work_tree = view.repo.work_tree(&view.base)?;
    let weak = verdict.weakness();
    Ok(deploy::decide(&Facts {
        strategy: &attempt.strategy,
        may_land: view.config.deploy.land,
        may_land_reverts: view.config.deploy.land_reverts,
        reverted_before: improvement.reverted_before,
        weak: weak.as_deref(),
        shadow: &shadow::counts(view, improvement),
        shadow_runs: view.config.deploy.shadow_runs,
        approved: improvement.approved_by.is_some(),
        base_unmoved: &investigation.commit == tip,
        work_tree: &work_tree,
        id: improvement.id.as_str(),
    }))
}

// A lost race on a ref of ours is an error of this cycle only: the next one reads again.
impl From<MoveError> for super::CycleError {
    fn from(error: MoveError) -> Self {
        super::CycleError::Other(error.into())
    }
}
