//! A revert on a forge: a branch with the inverse, a proposal of its own, and the same way to the base as everything else. Bounded by the
//! ladder of outs (`src/engine/revert.rs`) before it begins; after that only facts keep it waiting.

use anyhow::Result;

use super::actions::Acted;
use super::cycle::Cycle;
use super::forum::REVERT;
use super::improvement::{Improvement, Undoing};
use super::stage::Stage;
use crate::deploy::{self, Landing};
use crate::model::{ActionKind, Approver, CommitId, End, Event, ImprovementId, Made, Way};
use crate::world::Word;
use crate::world::forge::{State, Verdict};
use crate::world::git::RevertError;

impl Cycle<'_, '_> {
    /// Puts a commit that reverts `reverts` on a branch of its own.
    pub(super) fn propose_revert(
        &mut self,
        id: &ImprovementId,
        facts: Vec<Event>,
        (commit, reverts): (CommitId, CommitId),
        by: Approver,
    ) -> Result<()> {
        let improvement = self.journal.get(id)?;
        let Some((branch, _)) = &improvement.branch else { return Ok(()) };
        let branch = format!("{branch}{REVERT}");
        let left = improvement.undoing.as_ref().filter(|undoing| undoing.branch == branch).map(|undoing| undoing.commit.clone());
        // A forge may remove branches that have landed.
        let expect = self.view().repo.resolve(&format!("refs/heads/{branch}"))?.and(left);
        let kind = ActionKind::ProposeRevert { branch, expect, commit, reverts };
        match self.journal.act(id, facts, kind, by)? {
            Acted::Done => self.land_revert(id),
            Acted::Planned => Ok(()),
            Acted::Waits(why) => self.waits(id, format!("the revert waits: {why}")),
            Acted::Stale(why) | Acted::Failed(why) => {
                self.end(id, End::Stuck { reason: format!("the branch of its revert could not be made: {why}") })
            }
        }
    }

    /// Goes on with a revert that was begun.
    pub(super) fn land_revert(&mut self, id: &ImprovementId) -> Result<()> {
        let improvement = self.journal.get(id)?;
        let (Stage::Reverting, Some(undoing)) = (improvement.stage, improvement.undoing.clone()) else { return Ok(()) };
        let tip = self.tip()?;
        if self.view().repo.parent(&undoing.commit)?.as_ref() != Some(&tip) {
            return self.rebuild_revert(id, &undoing, &tip);
        }
        let Some(number) = self.opened_revert(id, &undoing)? else { return Ok(()) };
        let Some(facts) = self.facts(id, number)? else { return Ok(()) };
        match facts.proposal.state {
            State::Open => {}
            // What people did is noticed at the beginning of the next cycle.
            State::Closed { .. } | State::Landed { .. } => {
                return self.waits(id, format!("#{number}, which reverts it, is over; the next cycle notes that"));
            }
        }
        let landing = self.landing(id, &facts)?;
        let (verdict, line) = match &landing {
            Landing::Refuse(reason) => (Verdict::Skipped, reason.as_str()),
            other => (Verdict::Passed, other.reason().unwrap_or("it lands now")),
        };
        self.report_check(id, &facts, verdict, line, format!("Reverts {}.", undoing.reverts))?;
        match landing {
            Landing::Now(way) => self.merge_revert(id, number, &undoing, (Some(way), tip)),
            Landing::Push => self.merge_revert(id, number, &undoing, (None, tip)),
            Landing::WhenReady(_) if facts.proposal.automatic.is_some() => {
                self.waits(id, format!("#{number} reverts it when the forge's rules allow"))
            }
            Landing::WhenReady(way) => {
                let (title, text) = self.message_of_revert(&undoing, number, way)?;
                let (base, commit) = (self.view().base.clone(), undoing.commit.clone());
                let kind = ActionKind::MergeWhenReady { number, base, commit, way, title, text };
                let by = Approver::Policy("only the forge's own rules keep the revert from landing".into());
                match self.journal.act(id, Vec::new(), kind, by)? {
                    Acted::Done | Acted::Planned => self.waits(id, format!("#{number} reverts it when the forge's rules allow")),
                    Acted::Waits(why) | Acted::Stale(why) | Acted::Failed(why) => self.waits(id, format!("#{number}: {why}")),
                }
            }
            Landing::Wait(reason) | Landing::Refuse(reason) => self.waits(id, format!("#{number}, which reverts it: {reason}")),
        }
    }

    /// The base has moved: the inverse is made anew on it.
    fn rebuild_revert(&mut self, id: &ImprovementId, undoing: &Undoing, tip: &CommitId) -> Result<()> {
        if !self.view().repo.contains(tip, &undoing.reverts)? {
            return self.waits(id, "it is no longer in the base's history; the next cycle notes that".into());
        }
        let undo = match deploy::undo(self.view(), &undoing.reverts, tip) {
            Ok(undo) => undo,
            Err(RevertError::Git(error)) => return Err(error),
            Err(RevertError::Conflict(paths)) => return self.stuck_at(id, undoing, &paths.join("`, `")),
            Err(RevertError::Name(path)) => return self.stuck_at(id, undoing, &path),
        };
        let message = self.view().repo.message(&undoing.commit)?;
        let commit = self.journal.write_commit(tip, &undo, &message)?;
        let by = Approver::Policy("the base moved under its revert".into());
        let branch = undoing.branch.clone();
        let (expect, reverts) = (Some(undoing.commit.clone()), undoing.reverts.clone());
        match self.journal.act(id, Vec::new(), ActionKind::ProposeRevert { branch, expect, commit, reverts }, by)? {
            Acted::Done => self.waits(id, "its revert was made anew, because the base moved".into()),
            Acted::Planned => Ok(()),
            Acted::Waits(why) | Acted::Stale(why) | Acted::Failed(why) => self.waits(id, format!("the revert waits: {why}")),
        }
    }

    fn stuck_at(&mut self, id: &ImprovementId, undoing: &Undoing, paths: &str) -> Result<()> {
        let commit = undoing.reverts.short();
        let reason = format!("it should be reverted, but `{paths}` changed since; revert {commit} by hand");
        self.end(id, End::Stuck { reason })
    }

    /// The open proposal of a revert, opened if need be. Each names the other.
    fn opened_revert(&mut self, id: &ImprovementId, undoing: &Undoing) -> Result<Option<u64>> {
        if let Some(known) = &undoing.proposal {
            return Ok(Some(known.number));
        }
        let message = self.view().repo.message(&undoing.commit)?;
        let improvement = self.journal.get(id)?;
        let reverted = improvement.proposal.as_ref().map(|known| known.number);
        let (title, text) = deploy::revert_request(id, &message, reverted)?;
        let (branch, commit, base) = (undoing.branch.clone(), undoing.commit.clone(), self.view().base.clone());
        let kind = ActionKind::Open { branch, commit, base, title, text, draft: false };
        match self.journal.act(id, Vec::new(), kind, Approver::Policy("a revert goes the way of everything else".into()))? {
            Acted::Done => {}
            Acted::Planned => return Ok(None),
            Acted::Waits(why) | Acted::Stale(why) | Acted::Failed(why) => {
                return self.waits(id, format!("the revert waits: {why}")).map(|()| None);
            }
        }
        let known = self.journal.get(id)?.undoing.as_ref().and_then(|undoing| undoing.proposal.clone());
        if let (Some(revert), Some(number)) = (&known, reverted) {
            let text = format!("#{} reverts this.", revert.number);
            self.journal.say(id, &Word::Say { number, key: "reverted".into(), text })?;
        }
        Ok(known.map(|known| known.number))
    }

    fn message_of_revert(&self, undoing: &Undoing, number: u64, way: Way) -> Result<(String, String)> {
        let message = self.view().repo.message(&undoing.commit)?;
        let (subject, text) = message.split_once('\n').unwrap_or((&message, ""));
        Ok(match way {
            Way::Merge => (format!("Merge #{number}: {subject}"), String::new()),
            Way::Squash | Way::Rebase => (subject.to_string(), text.trim().to_string()),
        })
    }

    fn merge_revert(
        &mut self,
        id: &ImprovementId,
        number: u64,
        undoing: &Undoing,
        (way, tip): (Option<Way>, CommitId),
    ) -> Result<()> {
        let (base, commit, reverts) = (self.view().base.clone(), undoing.commit.clone(), undoing.reverts.clone());
        let kind = match way {
            Some(way) => {
                let (title, text) = self.message_of_revert(undoing, number, way)?;
                ActionKind::Merge { number, base, expect: tip, commit, way, title, text, reverts: Some(reverts) }
            }
            None => ActionKind::Revert { base, expect: tip, commit, reverts },
        };
        match self.journal.act(id, Vec::new(), kind, Approver::Policy("the checks accepted the revert".into()))? {
            Acted::Done => {
                self.report.reverted += 1;
                let by = self.journal.get(id)?.done_revert().unwrap_or_else(|| undoing.commit.clone());
                self.is_reverted(id, by)
            }
            Acted::Planned => Ok(()),
            Acted::Waits(why) | Acted::Stale(why) | Acted::Failed(why) => self.waits(id, format!("the revert waits: {why}")),
        }
    }
}

impl Cycle<'_, '_> {
    /// Ends what was reverted, if what the forge landed for that is what was asked for.
    pub(super) fn is_reverted(&mut self, id: &ImprovementId, by: CommitId) -> Result<()> {
        if let Some((inverse, landed)) = self.journal.get(id)?.reverted_as()
            && let Some(fault) = self.difference(&inverse, &landed)?
        {
            return self.stop(id, Vec::new(), &fault);
        }
        self.end(id, End::Reverted { by })
    }
}

impl Improvement {
    /// What the forge made of the newest revert that we had it land: the inverse, and what is on the base.
    fn reverted_as(&self) -> Option<(CommitId, CommitId)> {
        self.records.iter().rev().find_map(|record| match &record.event {
            Event::Done { key, made: Made::Commit { commit: made } } => {
                match self.actions.get(key).map(|(action, _)| &action.kind) {
                    Some(ActionKind::Merge { commit, reverts: Some(_), .. }) => Some((commit.clone(), made.clone())),
                    _ => None,
                }
            }
            _ => None,
        })
    }

    /// The commit on the base by which we reverted what landed, if that happened. It may have been reverted and brought back before: the
    /// newest counts.
    pub(super) fn done_revert(&self) -> Option<CommitId> {
        let landed = self.landed.as_ref()?;
        let newest = self.records.iter().rev().find_map(|record| match &record.event {
            Event::Intended { action } => match &action.kind {
                ActionKind::Revert { commit, reverts, .. } if *reverts == landed.commit => Some((&action.key, commit, None)),
                ActionKind::Merge { commit, way, reverts: Some(reverts), .. } if *reverts == landed.commit => {
                    Some((&action.key, commit, Some(*way)))
                }
                _ => None,
            },
            _ => None,
        });
        let (key, commit, way) = newest?;
        let made = self.records.iter().rev().find_map(|record| match &record.event {
            Event::Done { key: of, made } if of == key => Some(made),
            _ => None,
        })?;
        match made {
            // A merge commit has the inverse below it.
            Made::Commit { commit } if way != Some(Way::Merge) => Some(commit.clone()),
            _ => Some(commit.clone()),
        }
    }
}
