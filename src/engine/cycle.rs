//! One bounded pass over everything that is open: reconcile, watch, land, then detect and improve. It finishes before it starts.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

use super::actions::{Acted, Journal};
use super::ahead::{Ahead, Found, told};
use super::improvement::{self, Improvement};
use super::maintenance;
use super::news::News;
use super::offer::learned;
use super::progress::{CycleReport, Progress, describe_analysis};
use super::reconcile::{branch_is_a_persons, reconcile};
use super::search::{Next, Shortlist, Wanted};
use super::shadow;
use super::stage::Stage;
use super::stages::Stages;
use crate::deploy::{self, Decision, Facts};
use crate::model::{
    ActionKind, Approver, Candidate, Character, CommitId, Conclusion, End, Event, Finding, ImprovementId, Investigation,
    Observation, Opportunity, Tool,
};
use crate::monitor::Watch;
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
    shortlists: BTreeMap<ImprovementId, Shortlist>,
}

/// Runs one pass.
///
/// # Errors
/// When the repository, the log or the store cannot be read or written. Everything done so far is in the log.
pub(super) fn run(journal: &mut Journal<'_>, stages: &dyn Stages) -> Result<CycleReport> {
    let view = journal.view;
    journal.begin()?;
    let tip = view.repo.tip(&view.base)?;
    let dry_run = journal.is_dry_run();
    journal.tell(Progress::CycleStarted { base: view.base.clone(), commit: tip.short().to_string(), dry_run });
    for pause in pauses(&view.repo) {
        journal.tell(Progress::Paused { lift: pause.how_to_lift(), reason: pause.reason });
    }
    let tools = catalog(&view.repo, &view.config, &tip)?;
    let (report, ahead, shortlists) = (CycleReport::default(), Ahead::default(), BTreeMap::new());
    let mut cycle = Cycle { journal, stages, tools, report, ahead, shortlists };
    cycle.journal.drain()?;
    cycle.journal.sync()?;
    reconcile(&mut cycle)?;
    cycle.watch_all()?;
    cycle.stop_rollouts()?;
    cycle.land_all()?;
    cycle.improve_all()?;
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

    // ---- watch ----

    fn watch_all(&mut self) -> Result<()> {
        self.each(&[Stage::Watching, Stage::Kept, Stage::Inconclusive, Stage::Stuck], |cycle, id| {
            let Some(by) = cycle.journal.get(id)?.revert_wanted_by.clone() else { return Ok(()) };
            cycle.revert(id, &format!("{by} asked for it."), None, Approver::Person(by.clone()))
        })?;
        let watched = self.journal.improvements.values().filter(|improvement| improvement.stage == Stage::Watching);
        let tools: Vec<String> = watched.map(|improvement| improvement.tool().to_string()).collect();
        self.journal.settle(&tools)?;
        self.each(&[Stage::Watching], Self::watch)
    }

    fn watch(&mut self, id: &ImprovementId) -> Result<()> {
        let improvement = self.journal.get(id)?;
        let name = improvement.tool().to_string();
        let Some(tool) = self.tools.get(&name).cloned() else {
            return self.end(id, End::Inconclusive { reason: format!("the tool `{name}` is gone") });
        };
        let (Some(landed), Some(opportunity)) = (&improvement.landed, &improvement.opportunity) else { return Ok(()) };
        let watch = Watch {
            tool: &tool,
            before: &landed.before,
            after: &landed.commit,
            since: landed.at,
            incident: &opportunity.failure.fingerprint,
            struck: &improvement.struck,
            undecided: improvement.undecided(),
        };
        let analysis = self.stages.analyse(self.view(), &watch)?;
        let summary = describe_analysis(&analysis);
        if let (Finding::Waiting { needed }, []) = (&analysis.finding, &analysis.replays[..]) {
            let reason = format!("{summary}; the watch needs {needed} more runs");
            return self.waits(id, reason);
        }
        self.journal.tell(Progress::Analysed {
            id: id.clone(),
            tool: name,
            summary: summary.clone(),
            analysis: analysis.clone(),
        });
        let recorded = Event::Analysed { analysis: analysis.clone() };
        match &analysis.finding {
            Finding::Regression { .. } => {
                let why = "The tool got worse: inputs that it answered before fail now.";
                let by = Approver::Policy("a confirmed regression is reverted".into());
                self.revert(id, why, Some(analysis), by)
            }
            Finding::Good => {
                self.journal.append(id, vec![recorded])?;
                self.end(id, End::Kept)
            }
            Finding::Inconclusive { reason } => {
                self.journal.append(id, vec![recorded])?;
                self.end(id, End::Inconclusive { reason: reason.clone() })
            }
            Finding::Unconfirmed { reason } => {
                self.journal.append(id, vec![recorded])?;
                self.end(id, End::Stuck { reason: format!("{reason}; `fractal revert {}` reverts it", id.short()) })
            }
            Finding::FalseAlarm { .. } | Finding::Waiting { .. } => self.journal.append(id, vec![recorded]),
        }
    }

    // ---- land ----

    fn land_all(&mut self) -> Result<()> {
        self.each(&[Stage::Proposed], |cycle, id| cycle.land(id, 0))
    }

    fn land(&mut self, id: &ImprovementId, rebuilt: u32) -> Result<()> {
        let improvement = self.journal.get(id)?;
        let (Some((branch, commit)), Some(investigation), Stage::Proposed) =
            (improvement.branch.clone(), improvement.investigation.clone(), improvement.stage)
        else {
            return Ok(());
        };
        let (approved, shadow) = (improvement.approved_by.clone(), shadow::counts(self.view(), improvement));
        let tip = self.tip()?;
        match decision(self.view(), improvement, &tip)? {
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
                let policy = format!("the gate accepted it and it may land{}", shadow.told());
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
        self.journal.looked(&news, &left.into_iter().collect::<Vec<_>>())
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
    fn investigated(&mut self, id: &ImprovementId, investigation: Investigation) -> Result<bool> {
        self.report.investigated += 1;
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

    fn tell_rebuilding(&self, id: &ImprovementId, tip: &CommitId) -> Result<()> {
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
        let shortlist = match self.shortlists.get(id).cloned() {
            Some(shortlist) if shortlist.fits(view, &investigation.commit)? => Some(shortlist),
            _ => None,
        };
        let (investigation, learned, shortlist) = (&investigation, &learned, shortlist.as_ref());
        let wanted = Wanted { view, tool, character, opportunity, investigation, learned, shortlist, tell };
        let mut attempts = match self.stages.search(wanted) {
            Ok(attempts) => attempts,
            Err(BenchError::World(error)) => return Err(error),
            Err(error) => return self.unsolved(id, 0, error.to_string()),
        };
        loop {
            let next = attempts.next(self.journal.get(id)?)?;
            if self.came(id, tool, opportunity, next, rebuilt)? {
                return Ok(());
            }
        }
    }

    /// Records what came of a candidate, and lands one that was accepted. Whether the search is over.
    fn came(&mut self, id: &ImprovementId, tool: &Tool, opportunity: &Opportunity, next: Next, rebuilt: u32) -> Result<bool> {
        match next {
            Next::Over { tried, reason } => self.unsolved(id, tried, reason)?,
            Next::Judged { candidate, judged, tried, shortlist } => {
                let accepted = judged.verdict.accepted();
                self.judged(id, tool, opportunity, &candidate, *judged, tried)?;
                if !accepted {
                    return Ok(false);
                }
                self.shortlists.insert(id.clone(), shortlist);
                self.land(id, rebuilt)?;
            }
        }
        Ok(true)
    }

    fn unsolved(&mut self, id: &ImprovementId, tried: u64, reason: String) -> Result<()> {
        let tool = self.tool_of(id)?;
        self.journal.append(id, vec![Event::NoCandidate { tried, reason: reason.clone() }])?;
        self.journal.tell(Progress::Unsolved { id: id.clone(), tool, tried, reason });
        Ok(())
    }

    /// Records a verdict; an accepted candidate gets its commit and its branch.
    fn judged(
        &mut self,
        id: &ImprovementId,
        tool: &Tool,
        opportunity: &Opportunity,
        candidate: &Candidate,
        judged: Judged,
        tried: u64,
    ) -> Result<()> {
        let Judged { verdict, test } = judged;
        let investigation = self.journal.get(id)?.investigation.clone().context("a bug: a verdict without an investigation")?;
        let attempt = deploy::summarise(self.view(), &investigation.commit, candidate, tried)?;
        self.journal.tell(Progress::Judged {
            id: id.clone(),
            tool: tool.name.clone(),
            title: attempt.title.clone(),
            source: attempt.source.clone(),
            tried,
            verdict: verdict.clone(),
            diff: attempt.diff.clone(),
        });
        let event = Event::Judged { attempt: attempt.clone(), verdict: verdict.clone() };
        if !verdict.accepted() {
            return self.journal.append(id, vec![event]);
        }
        let accepted = (candidate, &attempt, &verdict, test);
        let proposal = deploy::propose(tool, opportunity, &investigation, accepted, self.view().clock.now())?;
        let commit = self.journal.write_commit(&proposal.parent, &proposal.patch, &proposal.message)?;
        let head = self.view().repo.resolve(&format!("refs/heads/{}", proposal.branch))?;
        let improvement = self.journal.get(id)?;
        // Where we left it, whether it is there or not: a person may have been faster while we worked.
        let expect = improvement.left_at.clone().or(head.filter(|head| improvement.put.contains(head)));
        let kind = ActionKind::PutBranch { branch: proposal.branch.clone(), expect, commit };
        self.put_branch(id, vec![event], kind)
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
        let action = crate::model::Action::new(kind.clone());
        if improvement.actions.get(&action.key).is_some_and(|(_, progress)| *progress == improvement::Progress::Done) {
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
