//! What each record changes in what is known of an improvement.

use jiff::Timestamp;

use super::improvement::{Improvement, Landed, OnForge, Progress, Rollout, Undoing, Undone, is_open};
use super::stage::{IllegalEvent, Stage, next};
use crate::model::{
    Action, ActionKey, ActionKind, AttemptSummary, CommitId, End, Event, Finding, ImprovementId, Made, Observation, Record, Way,
};

impl Improvement {
    /// Folds the records of one improvement.
    ///
    /// # Errors
    /// [`IllegalEvent`] when a record cannot follow on the ones before.
    pub fn fold(id: ImprovementId, records: Vec<Record>) -> Result<Self, IllegalEvent> {
        let mut improvement = Improvement::new(id);
        for record in records {
            improvement.apply(record)?;
        }
        Ok(improvement)
    }

    /// Applies one more record.
    ///
    /// # Errors
    /// [`IllegalEvent`]; the improvement is unchanged then.
    pub fn apply(&mut self, record: Record) -> Result<(), IllegalEvent> {
        let before = self.stage;
        self.stage = next(before, &record.event)?;
        if moves_on(&record.event) {
            self.leave_open_actions();
        }
        match &record.event {
            Event::Detected { opportunity } => {
                self.opportunity = Some(opportunity.clone());
                // What has landed is another round's.
                self.proposal = self.proposal.take().filter(|_| self.landed.is_none());
                self.rollout = None;
                self.left_at = None;
                self.begin_round();
            }
            Event::Investigated { investigation } => {
                self.end_reason = investigation.conclusion.why_not().map(str::to_string);
                self.investigation = Some(investigation.clone());
            }
            Event::Judged { attempt, verdict } => {
                if verdict.accepted() {
                    // An approval is for the change that the person saw, on whatever base.
                    self.approved_by = self.approved_by.take().filter(|_| self.approved_change == Some(attempt.change()));
                    self.accepted = Some((attempt.clone(), verdict.clone()));
                } else {
                    self.refused.insert(attempt.patch.clone());
                }
            }
            // What it cost is summed up when somebody asks.
            Event::Asked { .. } => {}
            Event::NoCandidate { reason, .. } => self.end_reason = Some(reason.clone()),
            Event::Intended { action } => {
                self.actions.insert(action.key.clone(), (action.clone(), Progress::Intended));
                if let ActionKind::PutBranch { branch, commit, .. } = &action.kind {
                    self.branch = Some((branch.clone(), commit.clone()));
                    self.branched_from = self.investigation.as_ref().map(|investigation| investigation.commit.clone());
                }
            }
            Event::Approved { key, .. } => self.progress(key, Progress::Approved),
            Event::Started { key } => self.progress(key, Progress::Started),
            Event::Done { key, made } => self.done(&key.clone(), made, record.at),
            Event::Failed { key, .. } => self.progress(key, Progress::Failed),
            Event::Observed { what } => self.observe(what, before == Stage::Reverted, record.at),
            Event::Analysed { analysis, tool } => {
                let tool = tool.clone().unwrap_or_else(|| self.tool().to_string());
                if matches!(analysis.finding, Finding::FalseAlarm { .. }) {
                    let inputs = analysis.replays.iter().map(|replay| replay.input.clone());
                    self.struck.entry(tool.clone()).or_default().extend(inputs);
                }
                self.analysis = Some(analysis.clone());
                self.analyses.insert(tool, analysis.clone());
            }
            Event::RolledOut { version, percent, .. } => {
                let same = self.rollout.as_ref().filter(|rollout| rollout.version == *version);
                let since = same.map_or(record.at, |rollout| rollout.since);
                self.rollout = Some(Rollout { version: version.clone(), percent: *percent, since });
            }
            Event::Ended { how } => self.end(how),
        }
        self.records.push(record);
        Ok(())
    }

    fn begin_round(&mut self) {
        self.investigation = None;
        self.accepted = None;
        self.landed = None;
        self.analysis = None;
        self.analyses.clear();
        self.struck.clear();
        self.approved_by = None;
        self.revert_wanted_by = None;
        self.end_reason = None;
    }

    /// Nobody carries out any more what was intended before something else was decided: it would not fit.
    fn leave_open_actions(&mut self) {
        for (_, progress) in self.actions.values_mut().filter(|(_, progress)| is_open(*progress)) {
            *progress = Progress::Failed;
        }
    }

    fn progress(&mut self, key: &ActionKey, progress: Progress) {
        if let Some((_, known)) = self.actions.get_mut(key) {
            *known = progress;
        }
    }

    fn done(&mut self, key: &ActionKey, made: &Made, at: Timestamp) {
        self.progress(key, Progress::Done);
        let Some(kind) = self.actions.get(key).map(|(action, _)| action.kind.clone()) else { return };
        if let Made::Commit { commit } = made {
            self.made.insert(commit.clone());
        }
        match &kind {
            ActionKind::Land { expect, commit, .. } => {
                self.carriers.insert(commit.clone());
                self.landed = Some(Landed::new(commit.clone(), expect.clone(), at));
            }
            ActionKind::PutBranch { commit, .. } => {
                self.put.insert(commit.clone());
                self.left_at = Some(commit.clone());
                let before = self.shown.take().map(|attempt| attempt.change());
                self.shown = self.accepted.as_ref().map(|(attempt, _)| attempt.clone());
                let same = before.is_some() && before == self.shown.as_ref().map(AttemptSummary::change);
                self.shown_since = self.shown_since.filter(|_| same).or(Some(at));
            }
            ActionKind::Merge { expect, commit, way, reverts: None, .. } => {
                let made = match made {
                    Made::Commit { commit } => Some(commit),
                    Made::AsSaid | Made::Proposal { .. } => None,
                };
                self.carriers.extend([commit].into_iter().chain(made).cloned());
                // A merge commit has the validated commit below it.
                let commit = made.filter(|_| *way != Way::Merge).unwrap_or(commit).clone();
                self.landed = Some(Landed::new(commit, expect.clone(), at));
            }
            ActionKind::ProposeRevert { branch, commit, reverts, .. } => {
                let proposal = self.undoing.take().filter(|known| known.branch == *branch).and_then(|known| known.proposal);
                let (branch, commit, reverts) = (branch.clone(), commit.clone(), reverts.clone());
                self.undoing = Some(Undoing { branch, commit, reverts, proposal });
            }
            ActionKind::Open { branch, .. } => self.opened(branch, made, at),
            ActionKind::Close { number, .. } => self.closed(*number),
            ActionKind::Revert { .. }
            | ActionKind::Note { .. }
            | ActionKind::Merge { .. }
            | ActionKind::MergeWhenReady { .. }
            | ActionKind::MergeNot { .. }
            | ActionKind::Report { .. } => {}
        }
    }

    fn opened(&mut self, branch: &str, made: &Made, at: Timestamp) {
        let Made::Proposal { number, url } = made else { return };
        let proposal = Some(OnForge { number: *number, url: url.clone(), at });
        match self.undoing.as_mut().filter(|undoing| undoing.branch == branch) {
            Some(undoing) => undoing.proposal = proposal,
            None => self.proposal = proposal,
        }
    }

    fn closed(&mut self, number: u64) {
        self.proposal = self.proposal.take().filter(|proposal| proposal.number != number);
        if let Some(undoing) = &mut self.undoing {
            undoing.proposal = undoing.proposal.take().filter(|proposal| proposal.number != number);
        }
    }

    fn observe(&mut self, what: &Observation, was_undone: bool, at: Timestamp) {
        match what {
            Observation::Merged { commit } => {
                let before = self.branched_from.clone().unwrap_or_else(|| commit.clone());
                let mut landed = Landed::new(commit.clone(), before, at);
                if let Some(earlier) = self.landed.take().filter(|_| !was_undone) {
                    landed.besides = earlier.besides;
                    landed.besides.insert(earlier.commit);
                    landed.besides.remove(commit);
                }
                self.land_anew(landed);
            }
            Observation::Restored { commit, by } => {
                let before =
                    self.undone.take().filter(|undone| undone.landed.commit == *commit).map(|undone| undone.landed.before);
                let before = before.or_else(|| self.branched_from.clone()).unwrap_or_else(|| commit.clone());
                self.carriers.insert(by.clone());
                self.land_anew(Landed { restored_by: Some(by.clone()), ..Landed::new(commit.clone(), before, at) });
            }
            Observation::Reverted { by } => {
                self.is_undone(Some(by.clone()));
                self.refuse_current();
                self.end_reason = Some(format!("a person reverted it in {}", by.short()));
            }
            Observation::Gone { .. } => {
                self.is_undone(None);
                self.refuse_current();
                self.end_reason = Some("it is no longer in the history of the base".to_string());
            }
            Observation::BaseMoved { .. } => {
                let approved = self.approved_by.take();
                self.begin_round();
                self.approved_by = approved;
            }
            Observation::Approved { by } => {
                self.approved_by = Some(by.clone());
                self.approved_change = self.accepted.as_ref().map(|(attempt, _)| attempt.change());
            }
            Observation::RevertRequested { by } => self.revert_wanted_by = Some(by.clone()),
            Observation::Closed { number } => self.closed(*number),
            Observation::Said { comment, .. } => drop(self.heard.insert(*comment)),
            Observation::Signed { number, comment, by, sign, taken_back } => {
                let sign = (*number, *comment, by.clone(), *sign);
                let _ = if *taken_back { self.signs.remove(&sign) } else { self.signs.insert(sign) };
            }
            Observation::Edited { number, part, digest } => {
                self.edited.insert((*number, *part), digest.clone());
            }
            Observation::BranchTaken { .. } | Observation::BranchDeleted | Observation::Reviewed { .. } => {}
        }
    }

    fn end(&mut self, how: &End) {
        match how {
            End::Reverted { by } => {
                self.is_undone(Some(by.clone()));
                self.end_reason = Some(match self.revert_wanted_by.take() {
                    Some(person) => format!("{person} asked for it"),
                    None => "inputs that the version before answers failed on it".to_string(),
                });
                self.refuse_current();
            }
            End::Closed { reason } => {
                self.refuse_accepted();
                self.end_reason = Some(reason.clone());
            }
            End::Inconclusive { reason } => self.end_reason = Some(reason.clone()),
            // A person who asked for a revert is told why not, and may ask again.
            End::Stuck { reason } => (self.end_reason, self.revert_wanted_by) = (Some(reason.clone()), None),
            End::Kept => (self.end_reason, self.shown) = (None, None),
        }
    }

    fn is_undone(&mut self, by: Option<CommitId>) {
        self.undone = self.landed.clone().map(|landed| Undone { landed, by });
    }

    /// Somebody else put it on the base: what was found about an earlier landing counts no more.
    fn land_anew(&mut self, landed: Landed) {
        self.carriers.insert(landed.commit.clone());
        self.analysis = None;
        self.analyses.clear();
        self.struck.clear();
        self.end_reason = None;
        self.undone = None;
        // Its outcome is noted once more, even if it is the same.
        let is_note = |action: &Action| matches!(&action.kind, ActionKind::Note { commit, .. } if *commit == landed.commit);
        self.actions.retain(|_, (action, _)| !is_note(action));
        self.landed = Some(landed);
    }

    fn refuse_current(&mut self) {
        self.reverted_before = true;
        self.revert_wanted_by = None;
        self.refuse_accepted();
    }

    /// Also what people saw on the branch: the next attempt may have been accepted and not be there yet.
    fn refuse_accepted(&mut self) {
        for attempt in self.accepted.as_ref().map(|(attempt, _)| attempt).into_iter().chain(&self.shown) {
            self.refused.insert(attempt.patch.clone());
            self.turned_down.insert(attempt.change());
            self.refused_parts.extend(attempt.parts.iter().map(|part| (part.id.clone(), part.patch.clone())));
            self.turned_down_parts.extend(attempt.parts.iter().map(|part| (part.id.clone(), part.change.clone())));
        }
    }
}

/// Whether what was intended before is out of date after this.
fn moves_on(event: &Event) -> bool {
    match event {
        Event::Detected { .. } | Event::Ended { .. } => true,
        Event::Observed { what } => matches!(
            what,
            Observation::Merged { .. }
                | Observation::Restored { .. }
                | Observation::Reverted { .. }
                | Observation::Gone { .. }
                | Observation::BaseMoved { .. }
        ),
        _ => false,
    }
}
