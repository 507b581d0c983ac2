//! Each cycle begins here: what a killed run left open is finished, and what people did is noticed. What git says wins over the log.

use std::collections::{BTreeSet, HashMap};

use anyhow::Result;

use super::actions::{Acted, Journal};
use super::cycle::Cycle;
use super::improvement;
use super::progress::Progress;
use super::stage::Stage;
use crate::model::{Action, ActionKind, CommitId, End, Event, ImprovementId, Observation};
use crate::world::git::reverted_by;

/// See the module.
pub(super) fn reconcile(cycle: &mut Cycle<'_, '_>) -> Result<()> {
    let ids: Vec<ImprovementId> = cycle.journal.improvements.keys().cloned().collect();
    for id in &ids {
        let done = finish(cycle, id);
        cycle.stepped(id, done)?;
    }
    let news = News::since_last_time(cycle.journal, &cycle.tip()?)?;
    let mut noticed_all = true;
    for id in &ids {
        let done = notice(cycle, id, &news);
        noticed_all &= cycle.stepped(id, done)?;
    }
    // What another loop was to write down is looked for again, and so is what came while we looked.
    if noticed_all { cycle.journal.remember_seen(&news.tip) } else { Ok(()) }
}

/// What the base got since people's doings were last looked for.
struct News {
    tip: CommitId,
    /// Reverted commit → the commit that says so.
    reverts: HashMap<CommitId, CommitId>,
    /// Improvement → a commit that carries its trailer.
    carried: HashMap<String, CommitId>,
    /// Commits of ours on the base: their news is no news.
    own: BTreeSet<CommitId>,
    /// Of what landed, the commits that the base has.
    kept: BTreeSet<CommitId>,
    /// The base is where it was.
    stands: bool,
}

impl News {
    fn since_last_time(journal: &Journal<'_>, tip: &CommitId) -> Result<News> {
        let mut news = News {
            tip: tip.clone(),
            reverts: HashMap::new(),
            carried: HashMap::new(),
            own: BTreeSet::new(),
            kept: BTreeSet::new(),
            stands: false,
        };
        for improvement in journal.improvements.values() {
            // One that we could not land is news when somebody else lands it.
            let ours = improvement.actions.values().filter(|(_, progress)| *progress != improvement::Progress::Failed);
            for (action, _) in ours {
                if let ActionKind::Land { commit, .. } | ActionKind::Revert { commit, .. } = &action.kind {
                    news.own.insert(commit.clone());
                }
            }
            // What a forge made of ours.
            news.own.extend(improvement.carriers.iter().cloned());
            news.own.extend(improvement.done_revert());
        }
        if journal.improvements.is_empty() {
            return Ok(news);
        }
        let seen = journal.view.repo.resolve(crate::world::SEEN_REF).unwrap_or(None);
        news.stands = seen.as_ref() == Some(tip);
        let landed = journal.improvements.values().filter_map(|improvement| improvement.landed.as_ref());
        news.kept = journal.view.repo.contained(tip, landed.map(|landed| landed.commit.clone()))?;
        for (commit, message) in journal.view.repo.messages_between(seen.as_ref(), tip)? {
            if news.own.contains(&commit) {
                continue;
            }
            for reverted in reverted_by(&message) {
                // Who reverts a merge reverts what it brought.
                for brought in journal.view.repo.merged_by(&reverted)? {
                    news.reverts.insert(brought, commit.clone());
                }
                news.reverts.insert(reverted, commit.clone());
            }
            let trailers = message.lines().filter_map(|line| line.strip_prefix("Fractal-Id: "));
            for id in trailers.filter(|_| reverted_by(&message).is_empty()) {
                news.carried.insert(id.trim().to_string(), commit.clone());
            }
        }
        Ok(news)
    }
}

/// Whether a person has reverted `commit` since people's doings were last looked for.
///
/// # Errors
/// When history cannot be read.
pub(super) fn was_reverted_meanwhile(journal: &Journal<'_>, tip: &CommitId, commit: &CommitId) -> Result<bool> {
    Ok(News::since_last_time(journal, tip)?.reverts.contains_key(commit))
}

/// Carries out what was intended, and writes down what a kill kept from being written.
fn finish(cycle: &mut Cycle<'_, '_>, id: &ImprovementId) -> Result<()> {
    // A retry that fails again is for the next cycle.
    if let Some(action) = cycle.journal.get(id)?.unfinished().cloned() {
        let acted = match branch_was_taken(cycle, id, &action)? {
            true => cycle.journal.abandon(id, &action, "the branch is no longer where we put it")?,
            false => cycle.journal.carry_out(id, &action)?,
        };
        let what = match acted {
            Acted::Done | Acted::Planned => format!("finished what was left open: {action}"),
            Acted::Waits(why) | Acted::Stale(why) | Acted::Failed(why) => format!("left open: {action}: {why}"),
        };
        cycle.reconciled(id, what)?;
    }
    let improvement = cycle.journal.get(id)?;
    if improvement.stage == Stage::Reverting
        && let Some(by) = improvement.done_revert()
    {
        cycle.end(id, End::Reverted { by })?;
    }
    let improvement = cycle.journal.get(id)?;
    if improvement.stage == Stage::Accepted
        && improvement.unfinished().is_none()
        && let Some(kind) = improvement.branch_action().cloned()
    {
        // It could not be put where it belongs: now it can, or what keeps it is said.
        cycle.put_branch(id, Vec::new(), kind)?;
    }
    cycle.report_outcome(id)?;
    cycle.note_outcome(id)
}

/// Whether a person got hold of the branch between our intent to land it and now; `notice` says what follows.
fn branch_was_taken(cycle: &Cycle<'_, '_>, id: &ImprovementId, action: &Action) -> Result<bool> {
    let ActionKind::Land { base, commit, .. } = &action.kind else { return Ok(false) };
    let Some((branch, ours)) = &cycle.journal.get(id)?.branch else { return Ok(false) };
    let repo = &cycle.view().repo;
    let in_place = repo.resolve(&format!("refs/heads/{branch}"))?.as_ref() == Some(ours);
    Ok(!in_place && !repo.contains(&repo.tip(base)?, commit)?)
}

/// Closes an improvement whose branch is no longer where we left it.
pub(super) fn branch_is_a_persons(cycle: &mut Cycle<'_, '_>, id: &ImprovementId) -> Result<bool> {
    let improvement = cycle.journal.get(id)?;
    let (Some((branch, _)), Some(ours)) = (improvement.branch.clone(), &improvement.left_at) else { return Ok(false) };
    let (what, reason) = match cycle.view().repo.resolve(&format!("refs/heads/{branch}"))? {
        Some(head) if &head == ours => return Ok(false),
        Some(head) => (Observation::BranchTaken { head }, format!("a person committed on `{branch}`, so it is theirs now")),
        None => (Observation::BranchDeleted, format!("a person deleted `{branch}`; the patch is not proposed again")),
    };
    cycle.observe(id, what, reason.clone())?;
    cycle.end(id, End::Closed { reason })?;
    Ok(true)
}

/// What people did with one improvement.
fn notice(cycle: &mut Cycle<'_, '_>, id: &ImprovementId, news: &News) -> Result<()> {
    let improvement = cycle.journal.get(id)?;
    let repo = &cycle.view().repo;
    match improvement.stage {
        Stage::Detected
        | Stage::Investigated
        | Stage::Declined
        | Stage::Unsolved
        | Stage::Accepted
        | Stage::Proposed
        | Stage::Stuck
        | Stage::Closed
            if improvement.landed.is_none() =>
        {
            let Some((_, ours)) = improvement.branch.clone() else { return Ok(()) };
            if improvement.stage.is_end() && news.stands {
                return Ok(());
            }
            let carrier = match repo.contains(&news.tip, &ours)? {
                true => Some(ours.clone()),
                false => news.carried.get(id.as_str()).cloned(),
            };
            // What an earlier round landed is no news.
            let carrier = carrier.filter(|commit| !improvement.carriers.contains(commit));
            if let Some(commit) = carrier {
                let observation = Observation::Merged { commit: commit.clone() };
                let asked = improvement.asked_to_merge(&ours);
                let who = if asked { "the forge landed" } else { "a person merged" };
                cycle.observe(id, observation, format!("{who} it as {}", commit.short()))?;
                if asked {
                    cycle.check_landed(id, &ours)?;
                }
                // And may have reverted it since.
                return notice(cycle, id, news);
            }
            if improvement.stage != Stage::Proposed {
                return Ok(());
            }
            if cycle.notice_on_forge(id)? {
                return Ok(());
            }
            branch_is_a_persons(cycle, id).map(drop)
        }
        Stage::Watching | Stage::Reverting | Stage::Kept | Stage::Inconclusive | Stage::Stuck => {
            let Some(landed) = improvement.landed.clone() else { return Ok(()) };
            let undone = match news.reverts.get(&landed.commit) {
                Some(by) => {
                    let told = format!("a person reverted it in {}; it is not proposed again", by.short());
                    Some((Observation::Reverted { by: by.clone() }, told))
                }
                None if news.kept.contains(&landed.commit) || repo.contains(&news.tip, &landed.commit)? => None,
                None => Some((Observation::Gone { tip: news.tip.clone() }, "it is no longer in the base's history".to_string())),
            };
            if let Some((observation, told)) = undone {
                cycle.observe(id, observation, told)?;
                cycle.ended(id)?;
                cycle.report_outcome(id)?;
                return cycle.note_outcome(id);
            }
            cycle.notice_on_forge(id).map(drop)
        }
        _ => Ok(()),
    }
}

impl Cycle<'_, '_> {
    pub(super) fn observe(&mut self, id: &ImprovementId, what: Observation, told: String) -> Result<()> {
        self.journal.append(id, vec![Event::Observed { what }])?;
        self.reconciled(id, told)
    }

    fn reconciled(&mut self, id: &ImprovementId, what: String) -> Result<()> {
        let tool = self.journal.get(id)?.tool().to_string();
        self.journal.tell(Progress::Reconciled { id: id.clone(), tool, what });
        Ok(())
    }
}
