//! Each cycle begins here: what a killed run left open is finished, and what people did is noticed. What git says wins over the log.

use std::collections::{BTreeSet, HashMap};

use anyhow::Result;

use super::actions::{Acted, Journal};
use super::cycle::Cycle;
use super::improvement::{self, Landed, Undone};
use super::progress::Progress;
use super::stage::Stage;
use crate::model::{Action, ActionKind, CommitId, End, Event, ImprovementId, Observation};
use crate::world::git::{Repo, reverted_by};

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
        let (all, done) = match notice(cycle, id, &news) {
            Ok(all) => (all, Ok(())),
            Err(error) => (true, Err(error)),
        };
        noticed_all &= cycle.stepped(id, done)? && all;
    }
    // What another loop was to write down is looked for again, and so is what came while we looked.
    if noticed_all { cycle.journal.remember_seen(&news.tip) } else { Ok(()) }
}

/// What the base got since people's doings were last looked for.
struct News {
    tip: CommitId,
    reverts: Reverts,
    /// Improvement → the commits that carry its trailer, oldest first.
    carried: HashMap<String, Vec<CommitId>>,
    /// Commits of ours on the base: their news is no news.
    own: BTreeSet<CommitId>,
    /// Of what landed or is proposed, what was looked for on the base.
    asked: BTreeSet<CommitId>,
    /// Of these, what the base has.
    kept: BTreeSet<CommitId>,
    /// The base is where it was.
    stands: bool,
}

impl News {
    fn since_last_time(journal: &Journal<'_>, tip: &CommitId) -> Result<News> {
        let seen = journal.view.repo.resolve(crate::world::SEEN_REF).unwrap_or(None);
        let mut news = News {
            tip: tip.clone(),
            reverts: Reverts::default(),
            carried: HashMap::new(),
            own: BTreeSet::new(),
            asked: BTreeSet::new(),
            kept: BTreeSet::new(),
            stands: seen.as_ref() == Some(tip),
        };
        for improvement in journal.improvements.values() {
            // One that we could not land is news when somebody else lands it.
            let ours = improvement.actions.values().filter(|(_, progress)| *progress != improvement::Progress::Failed);
            for (action, _) in ours {
                if let ActionKind::Land { commit, .. } | ActionKind::Revert { commit, .. } = &action.kind {
                    news.own.insert(commit.clone());
                }
            }
            news.own.extend(improvement.made.iter().cloned());
            let landed = improvement.landed.iter().flat_map(|landed| landed.restored_by.iter().chain([&landed.commit]));
            let undone = improvement.undone.iter().flat_map(|undone| undone.by.iter().chain([&undone.landed.commit]));
            news.asked.extend(landed.chain(undone).cloned());
            if !news.stands {
                news.asked.extend(improvement.branch.as_ref().map(|(_, commit)| commit.clone()));
            }
        }
        if journal.improvements.is_empty() {
            return Ok(news);
        }
        news.kept = journal.view.repo.contained(tip, news.asked.iter().cloned())?;
        let mut messages = journal.view.repo.messages_between(seen.as_ref(), tip)?;
        messages.retain(|(commit, _)| !news.own.contains(commit));
        for (commit, message) in messages.iter().rev() {
            let reverted = reverted_by(message);
            for id in message.lines().filter_map(|line| line.strip_prefix("Fractal-Id: ")).map(str::trim) {
                let carried = news.carried.entry(id.to_string()).or_default();
                let carriers = journal.improvements.get(&ImprovementId(id.into())).map(|one| &one.carriers);
                // What takes an improvement back may name it, and carries it not. An improvement may take back something else.
                let takes_back = |one: &CommitId| carried.contains(one) || carriers.is_some_and(|known| known.contains(one));
                if !reverted.iter().any(takes_back) {
                    carried.push(commit.clone());
                }
            }
        }
        news.reverts = Reverts::among(&journal.view.repo, &messages)?;
        Ok(news)
    }

    /// The commit that took what landed off the base: its revert, or that of the commit that had brought it back. One of what carried it
    /// before counts when it came after what carries it now.
    fn undoing(&self, repo: &Repo, landed: &Landed) -> Result<Option<CommitId>> {
        let by = self.reverts.of(&landed.commit).or_else(|| self.reverts.of(landed.restored_by.as_ref()?));
        if by.is_some() {
            return Ok(by.cloned());
        }
        for by in landed.besides.iter().filter_map(|commit| self.reverts.of(commit)) {
            if repo.contains(by, &landed.commit)? {
                return Ok(Some(by.clone()));
            }
        }
        Ok(None)
    }

    /// Whether the base has a commit.
    fn has(&self, repo: &Repo, commit: &CommitId) -> Result<bool> {
        match self.asked.contains(commit) {
            true => Ok(self.kept.contains(commit)),
            false => repo.contains(&self.tip, commit),
        }
    }

    /// Whether the base has a commit and nothing that reverts it, whenever that came.
    fn has_effect(&self, repo: &Repo, commit: &CommitId) -> Result<bool> {
        Ok(self.has(repo, commit)?
            && Reverts::among(repo, &repo.messages_between(Some(commit), &self.tip)?)?.of(commit).is_none())
    }
}

/// Reverted commit → the commits that say so, oldest first.
#[derive(Default)]
struct Reverts(HashMap<CommitId, Vec<CommitId>>);

impl Reverts {
    /// `messages` are newest first.
    fn among(repo: &Repo, messages: &[(CommitId, String)]) -> Result<Reverts> {
        let mut reverts = Reverts::default();
        for (commit, message) in messages.iter().rev() {
            for reverted in reverted_by(message) {
                // Who reverts a merge reverts what it brought.
                let brought = repo.merged_by(&reverted)?;
                for reverted in brought.into_iter().chain([reverted]) {
                    reverts.0.entry(reverted).or_default().push(commit.clone());
                }
            }
        }
        Ok(reverts)
    }

    /// The commit that reverts `commit`, unless it was reverted itself.
    fn of(&self, commit: &CommitId) -> Option<&CommitId> {
        // A message cannot name a commit that comes after it, so this ends.
        self.0.get(commit)?.iter().find(|revert| self.of(revert).is_none())
    }
}

/// Whether a person has reverted `commit` since people's doings were last looked for.
///
/// # Errors
/// When history cannot be read.
pub(super) fn was_reverted_meanwhile(journal: &Journal<'_>, tip: &CommitId, commit: &CommitId) -> Result<bool> {
    Ok(News::since_last_time(journal, tip)?.reverts.of(commit).is_some())
}

/// Carries out what was intended, and writes down what a kill kept from being written.
fn finish(cycle: &mut Cycle<'_, '_>, id: &ImprovementId) -> Result<()> {
    // A retry that fails again is for the next cycle.
    let left: Vec<Action> = cycle.journal.get(id)?.all_unfinished().cloned().collect();
    for action in left {
        // One before it may have led elsewhere.
        if !cycle.journal.get(id)?.all_unfinished().any(|open| open.key == action.key) {
            continue;
        }
        let acted = match branch_was_taken(cycle, id, &action)? {
            true => cycle.journal.abandon(id, &action, "the branch is no longer where we put it")?,
            false => cycle.journal.carry_out(id, &action)?,
        };
        let what = match acted {
            Acted::Done | Acted::Planned => format!("finished what was left open: {action}"),
            Acted::Waits(why) => {
                cycle.waits(id, format!("{action}: {why}"))?;
                continue;
            }
            Acted::Stale(why) | Acted::Failed(why) => format!("left open: {action}: {why}"),
        };
        cycle.reconciled(id, what)?;
    }
    let improvement = cycle.journal.get(id)?;
    if improvement.stage == Stage::Reverting
        && let Some(by) = improvement.done_revert()
    {
        cycle.is_reverted(id, by)?;
    }
    let improvement = cycle.journal.get(id)?;
    if improvement.stage == Stage::Accepted
        && improvement.unfinished().is_none()
        && let Some(kind) = improvement.branch_action().cloned()
    {
        // It could not be put where it belongs: now it can, or what keeps it is said.
        cycle.put_branch(id, Vec::new(), kind)?;
    }
    cycle.check_landed(id)?;
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

/// What people did with one improvement. Whether all of that could be found out.
fn notice(cycle: &mut Cycle<'_, '_>, id: &ImprovementId, news: &News) -> Result<bool> {
    // Each time it finds a commit that it has not seen before, so this ends.
    while let Some((observation, told)) = brought(cycle, id, news)? {
        let by_itself = matches!(observation, Observation::Merged { .. }) && cycle.journal.get(id)?.asked_to_merge();
        match if by_itself { cycle.landed_by_itself(id)? } else { Ok(None) } {
            Ok(None) => cycle.observe(id, observation, told)?,
            Ok(Some(fault)) => {
                cycle.reconciled(id, told)?;
                cycle.stop(id, vec![Event::Observed { what: observation }], &fault)?;
                return Ok(true);
            }
            Err(why) => {
                cycle.waits(id, format!("it landed, and whether as it was tested is not known yet: {why}"))?;
                return Ok(false);
            }
        }
        // And may have reverted it since.
        taken_off(cycle, id, news)?;
    }
    taken_off(cycle, id, news)?;
    if !cycle.notice_on_forge(id)? && cycle.journal.get(id)?.stage == Stage::Proposed {
        branch_is_a_persons(cycle, id)?;
    }
    Ok(true)
}

/// What brought the improvement to the base, if a person did that.
fn brought(cycle: &Cycle<'_, '_>, id: &ImprovementId, news: &News) -> Result<Option<(Observation, String)>> {
    let improvement = cycle.journal.get(id)?;
    let repo = &cycle.view().repo;
    if matches!(improvement.stage, Stage::New | Stage::Landing) {
        return Ok(None);
    }
    if let Some(Undone { landed, by }) = &improvement.undone {
        let commit = landed.commit.clone();
        let is_there = by.as_ref().map_or(Ok(false), |by| news.has(repo, by))?;
        if let Some(by) = by.as_ref().filter(|_| is_there) {
            if let Some(by) = news.reverts.of(by).filter(|by| !improvement.carriers.contains(*by)) {
                let told = format!("a person took its revert back in {}, so it is watched again", by.short());
                return Ok(Some((Observation::Restored { commit, by: by.clone() }, told)));
            }
        } else if news.has_effect(repo, &commit)? {
            // The revert is gone, or what had come instead of the commit.
            let told = format!("{} stands in the base again, so it is watched again", commit.short());
            return Ok(Some((Observation::Merged { commit }, told)));
        }
    }
    let rests = improvement.stage.is_end() || improvement.landed.is_some();
    let Some((_, ours)) = improvement.branch.as_ref().filter(|_| !(rests && news.stands)) else { return Ok(None) };
    let whole = Some(ours).filter(|ours| !improvement.carriers.contains(ours));
    let whole = match whole {
        Some(ours) if news.has(repo, ours)? => Some(ours),
        _ => None,
    };
    // What an earlier round landed is no news.
    let parts = news.carried.get(id.as_str()).into_iter().flatten();
    let carrier = whole.or_else(|| parts.into_iter().find(|commit| !improvement.carriers.contains(*commit)));
    Ok(carrier.map(|commit: &CommitId| {
        let who = if improvement.asked_to_merge() { "the forge landed" } else { "a person merged" };
        (Observation::Merged { commit: commit.clone() }, format!("{who} it as {}", commit.short()))
    }))
}

/// What landed is on the base; where a person had taken its revert back, that is, or something else in its place.
fn is_there(repo: &Repo, news: &News, landed: &Landed) -> Result<bool> {
    match &landed.restored_by {
        Some(by) if !news.has(repo, by)? => news.has_effect(repo, &landed.commit),
        _ => news.has(repo, &landed.commit),
    }
}

/// Whether what landed was taken off the base.
fn taken_off(cycle: &mut Cycle<'_, '_>, id: &ImprovementId, news: &News) -> Result<()> {
    let improvement = cycle.journal.get(id)?;
    let on_base =
        [Stage::Watching, Stage::Reverting, Stage::Kept, Stage::Inconclusive, Stage::Stuck].contains(&improvement.stage);
    let Some(landed) = improvement.landed.clone().filter(|_| on_base) else { return Ok(()) };
    let repo = &cycle.view().repo;
    let (observation, told) = match news.undoing(repo, &landed)? {
        Some(by) => {
            let told = format!("a person reverted it in {}; it is not proposed again", by.short());
            (Observation::Reverted { by }, told)
        }
        None if is_there(repo, news, &landed)? => return Ok(()),
        None => (Observation::Gone { tip: news.tip.clone() }, "it is no longer in the base's history".to_string()),
    };
    cycle.observe(id, observation, told)?;
    cycle.ended(id)?;
    cycle.report_outcome(id)?;
    cycle.note_outcome(id)
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
