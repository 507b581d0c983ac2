//! What a forge lands by itself because we asked it to, and whether what landed is what was tested. Where it is not, everything stops until a
//! person has looked, and everybody is told: on the proposal, on the board, in the log, by the exit code.

use anyhow::Result;

use super::actions::Acted;
use super::cycle::Cycle;
use super::improvement::Improvement;
use super::progress::Progress;
use super::stage::Stage;
use crate::deploy;
use crate::model::{ActionKind, Approver, CommitId, End, Event, ImprovementId, Made};
use crate::world::Word;
use crate::world::forge::{Proposal, State};
use crate::world::pause::pauses;

/// Something that landed and is not what was tested.
pub(super) struct Fault {
    pub tested: CommitId,
    pub landed: CommitId,
    /// One line.
    pub reason: String,
}

impl Fault {
    fn new(tested: &CommitId, landed: &CommitId, what: &str) -> Fault {
        let (old, new) = (tested.short(), landed.short());
        let reason =
            format!("The forge landed {new}, {what} {old}, which was tested: compare them, put the base right, then resume");
        Fault { tested: tested.clone(), landed: landed.clone(), reason }
    }
}

/// Whether a proposal of ours is asked to land by itself by our own wish; a person's wish is theirs.
pub(super) fn lands_by_our_wish(proposal: &Proposal) -> bool {
    proposal.automatic.as_ref() == Some(&proposal.author)
}

impl Improvement {
    /// Whether this proposal shows what is to land still.
    fn still_shows(&self, proposal: &Proposal) -> bool {
        match self.stage {
            Stage::Proposed => self.put.contains(&proposal.head),
            Stage::Reverting => self.undoing.as_ref().is_some_and(|undoing| undoing.commit == proposal.head),
            // What is being made anew takes its place.
            Stage::Detected | Stage::Investigated | Stage::Accepted | Stage::Landing => true,
            _ => false,
        }
    }

    fn has_proposal(&self, number: u64) -> bool {
        let undoing = self.undoing.as_ref().and_then(|undoing| undoing.proposal.as_ref());
        self.proposal.iter().chain(undoing).any(|known| known.number == number)
    }

    /// What the forge made of a commit when we had it land that, for as long as it is the newest landing: what was tested, and what is on
    /// the base.
    fn landed_as(&self) -> Option<(CommitId, CommitId)> {
        let landed = &self.landed.as_ref()?.commit;
        self.records.iter().rev().find_map(|record| match &record.event {
            Event::Done { key, made: Made::Commit { commit: made } } => {
                match self.actions.get(key).map(|(action, _)| &action.kind) {
                    Some(ActionKind::Merge { commit, reverts: None, .. }) if landed == commit || landed == made => {
                        Some((commit.clone(), made.clone()))
                    }
                    _ => None,
                }
            }
            _ => None,
        })
    }
}

impl Cycle<'_, '_> {
    /// Takes back that the forge lands something by itself, wherever a person has pushed to it, or nothing more is to come of it.
    pub(super) fn take_back_all(&mut self) -> Result<()> {
        if !self.journal.improvements.values().any(|one| one.proposal.is_some() || one.undoing.is_some()) {
            return Ok(());
        }
        let Ok(Some(forum)) = self.forum() else { return Ok(()) };
        let asked: Vec<Proposal> = forum.open.iter().filter(|open| lands_by_our_wish(open)).cloned().collect();
        for proposal in asked {
            let about = self.journal.improvements.values().find(|one| one.has_proposal(proposal.number));
            let over = about.filter(|one| !one.still_shows(&proposal) && one.may_be_taken_back());
            let Some(id) = over.map(|one| one.id.clone()) else { continue };
            let done = self.take_back(&id, &proposal);
            self.stepped(&id, done)?;
        }
        Ok(())
    }

    /// Takes back that the forge lands a proposal by itself; who pushed to it is told.
    pub(super) fn take_back(&mut self, id: &ImprovementId, proposal: &Proposal) -> Result<()> {
        let number = proposal.number;
        let kind = ActionKind::MergeNot { number, head: proposal.head.clone() };
        let by = Approver::Policy("what the forge lands by itself is what was tested".into());
        match self.journal.act(id, Vec::new(), kind, by)? {
            Acted::Done => {
                self.forget_wish(number);
                let known = self.journal.get(id)?;
                let ours = known.put.contains(&proposal.head)
                    || known.undoing.as_ref().is_some_and(|undoing| undoing.commit == proposal.head);
                if !ours {
                    let text = format!(
                        "Somebody else pushed {} to this branch, so it is theirs now, and it no longer lands by itself. Whoever wants that \
                         all the same turns on auto-merge here.",
                        proposal.head.short()
                    );
                    self.journal.say(id, &Word::Say { number, key: "theirs".into(), text })?;
                }
                Ok(())
            }
            Acted::Planned => Ok(()),
            Acted::Waits(why) | Acted::Stale(why) | Acted::Failed(why) => {
                self.waits(id, format!("#{number} may still land by itself: {why}"))
            }
        }
    }

    /// Compares what landed by our doing with what was tested; in every cycle for as long as it is watched, because a kill may have come
    /// between the two.
    pub(super) fn check_landed(&mut self, id: &ImprovementId) -> Result<()> {
        let improvement = self.journal.get(id)?;
        let Some((tested, landed)) = improvement.landed_as().filter(|_| improvement.stage == Stage::Watching) else {
            return Ok(());
        };
        match self.difference(&tested, &landed)? {
            Some(fault) => self.stop(id, Vec::new(), &fault),
            None => Ok(()),
        }
    }

    /// The difference between what was tested and what is on the base, if there is any: on the same ground another tree, elsewhere a change
    /// of other files, or other contents of files that had not moved.
    pub(super) fn difference(&self, tested: &CommitId, landed: &CommitId) -> Result<Option<Fault>> {
        let repo = &self.view().repo;
        let (Some(ground), Some(base)) = (repo.parent(landed)?, repo.parent(tested)?) else { return Ok(None) };
        if landed == tested {
            return Ok(None);
        }
        let same = if repo.tree_of(&ground)? == repo.tree_of(&base)? {
            repo.tree_of(landed)? == repo.tree_of(tested)?
        } else {
            let (here, there) = (repo.changes(&base, tested)?, repo.changes(&ground, landed)?);
            here.len() == there.len()
                && here
                    .iter()
                    .zip(&there)
                    .all(|((path, [old, new]), (other, [ground, landed]))| path == other && (old != ground || new == landed))
        };
        Ok((!same).then(|| Fault::new(tested, landed, "which is not the change of")))
    }

    /// What the forge landed by itself, by our wish, compared with what was tested. `Err`: why that cannot be found out now.
    pub(super) fn landed_by_itself(&self, id: &ImprovementId) -> Result<Result<Option<Fault>, String>> {
        let improvement = self.journal.get(id)?;
        let (Some(forge), Some(known), Some((_, tested))) = (&self.view().forge, &improvement.proposal, &improvement.branch)
        else {
            return Ok(Ok(None));
        };
        let proposal = match forge.proposal(known.number) {
            Ok(proposal) => proposal,
            Err(why) => return Ok(Err(why.to_string())),
        };
        let State::Landed { commit: Some(landed), .. } = &proposal.state else { return Ok(Ok(None)) };
        if proposal.head != *tested {
            return Ok(Ok(Some(Fault::new(tested, landed, "in which somebody's push stands beside"))));
        }
        Ok(Ok(self.difference(tested, landed)?))
    }

    /// Stops everything, here and at the remote, and tells everybody what happened and what to do.
    pub(super) fn stop(&mut self, id: &ImprovementId, mut facts: Vec<Event>, fault: &Fault) -> Result<()> {
        self.report.faults += 1;
        let improvement = self.journal.get(id)?;
        let undoing = improvement.undoing.as_ref().filter(|_| improvement.stage == Stage::Reverting);
        let known = undoing.and_then(|undoing| undoing.proposal.as_ref()).or(improvement.proposal.as_ref());
        if let Some(number) = known.map(|known| known.number) {
            let text = deploy::fault(&fault.reason, &fault.tested, &fault.landed)?;
            self.journal.say(id, &Word::Say { number, key: "fault".into(), text })?;
        }
        // What else the forge is to land by itself would land in spite of the switch.
        self.take_back_others(Some(id))?;
        self.show_board(Some((&fault.reason, Some(id))))?;
        self.journal.leave()?;
        self.journal.pause(&fault.reason)?;
        for pause in pauses(&self.view().repo) {
            self.journal.tell(Progress::Paused { lift: pause.how_to_lift(), reason: pause.reason });
        }
        facts.push(Event::Ended { how: End::Stuck { reason: fault.reason.clone() } });
        self.journal.append(id, facts)?;
        self.ended(id)?;
        // The last word before silence: without it the next machine would find the same once more.
        self.journal.publish_last_word()
    }

    /// Takes back all wishes but that for one improvement, before a switch is set.
    pub(super) fn take_back_others(&mut self, id: Option<&ImprovementId>) -> Result<()> {
        let Ok(Some(forum)) = self.forum() else { return Ok(()) };
        let asked: Vec<Proposal> = forum.open.iter().filter(|open| lands_by_our_wish(open)).cloned().collect();
        for proposal in asked {
            let about = self.journal.improvements.values().find(|one| Some(&one.id) != id && one.has_proposal(proposal.number));
            let Some(other) = about.filter(|one| one.may_be_taken_back()).map(|one| one.id.clone()) else { continue };
            self.take_back(&other, &proposal)?;
        }
        Ok(())
    }
}

impl Improvement {
    fn may_be_taken_back(&self) -> bool {
        self.stage.is_end() || matches!(self.stage, Stage::Proposed | Stage::Watching | Stage::Reverting)
    }
}
