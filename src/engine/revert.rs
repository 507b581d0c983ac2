//! Undoing what landed: the facts that the ladder of outs asks for (`src/deploy/outs.rs`), the inverse commit, and what is said where a
//! person has to decide.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};

use super::actions::Acted;
use super::cycle::Cycle;
use super::improvement::{Improvement, Landed};
use super::reconcile::was_reverted_meanwhile;
use crate::deploy::{self, Dependant, RevertFacts};
use crate::model::{ActionKind, Analysis, Approver, CommitId, End, Event, ImprovementId, Opportunity, Patch, Recording, Tool};
use crate::world::View;
use crate::world::bench::{Bench, BenchError};
use crate::world::git::RevertError;

/// Confirmed inputs that are run on the base with the inverse.
const REPAIRED_INPUTS: usize = 3;

impl Cycle<'_, '_> {
    /// Reverts a landed improvement, or says what keeps it from being reverted. `found` is about one tool of it.
    pub(super) fn revert(&mut self, id: &ImprovementId, why: &str, found: Option<(&str, Analysis)>, by: Approver) -> Result<()> {
        let improvement = self.journal.get(id)?;
        let (Some(landed), Some(opportunity)) = (improvement.landed.clone(), improvement.opportunity.clone()) else {
            return Ok(());
        };
        let tip = self.tip()?;
        if !self.view().repo.contains(&tip, &landed.commit)? {
            return self.waits(id, "it is no longer in the base's history; the next cycle notes that".into());
        }
        if was_reverted_meanwhile(self.journal, &tip, &landed.commit)? {
            return self.waits(id, "a person was faster to revert it; the next cycle notes that".into());
        }
        let undo = match deploy::undo(self.view(), &landed.commit, &tip) {
            Ok(undo) => Ok(undo),
            Err(RevertError::Git(error)) => return Err(error),
            Err(RevertError::Conflict(paths)) => Err(paths.join("`, `")),
            Err(RevertError::Name(path)) => Err(path),
        };
        let by_person = matches!(by, Approver::Person(_));
        let out = self.out(&landed, &opportunity, found.as_ref().filter(|_| !by_person), &tip, &undo)?;
        let is_open = !self.journal.get(id)?.stage.is_end();
        let named = |tool: &str| Some(tool.to_string()).filter(|_| !opportunity.each.is_empty());
        let facts = found.iter().map(|(tool, analysis)| Event::Analysed { analysis: analysis.clone(), tool: named(tool) });
        let facts: Vec<Event> = facts.collect();
        let undo = match (undo, out) {
            (Ok(undo), None) => undo,
            (_, out) => {
                if is_open {
                    self.journal.append(id, facts)?;
                }
                let out = out.unwrap_or_default();
                let reason = match by_person {
                    true => format!("it should be reverted, but {out}; revert {} by hand", landed.commit.short()),
                    false => format!("it should be reverted, but {out}; `fractal revert {}` reverts it", id.short()),
                };
                return if is_open { self.end(id, End::Stuck { reason }) } else { self.waits(id, reason) };
            }
        };
        let message = self.view().repo.message(&landed.commit)?;
        let subject = message.lines().next().unwrap_or_default();
        let message =
            deploy::revert_message(&landed.commit, subject, &opportunity, why, found.as_ref().map(|(_, analysis)| analysis))?;
        let commit = self.journal.write_commit(&tip, &undo, &message)?;
        if self.has_forge() {
            let facts = if is_open { facts } else { Vec::new() };
            return self.propose_revert(id, facts, (commit, landed.commit), by);
        }
        let kind =
            ActionKind::Revert { base: self.view().base.clone(), expect: tip, commit: commit.clone(), reverts: landed.commit };
        let facts = if is_open { facts } else { Vec::new() };
        match self.journal.act(id, facts, kind, by)? {
            Acted::Done | Acted::Planned => {
                self.report.reverted += 1;
                self.end(id, End::Reverted { by: commit })
            }
            Acted::Waits(why) | Acted::Stale(why) => self.waits(id, format!("the revert waits: {why}")),
            Acted::Failed(why) => self.end(id, End::Stuck { reason: format!("the revert failed: {why}") }),
        }
    }

    /// What keeps it from being reverted. `found` is what asks for it, when no person does.
    fn out(
        &self,
        landed: &Landed,
        opportunity: &Opportunity,
        found: Option<&(&str, Analysis)>,
        tip: &CommitId,
        undo: &Result<Patch, String>,
    ) -> Result<Option<String>> {
        let (view, name) = (self.view(), found.map_or(opportunity.tool.as_str(), |(tool, _)| *tool));
        let config = &view.config.monitor;
        let allowed = |name: &str| {
            let of_tool = view.config.tools.iter().find(|tool| tool.name == name).and_then(|tool| tool.revert);
            of_tool.unwrap_or(config.revert)
        };
        let mut facts = RevertFacts {
            by_person: found.is_none(),
            // It goes from all of them.
            allowed: opportunity.members().all(|member| allowed(&member.tool)),
            days: u32::try_from(view.clock.now().duration_since(landed.at).as_hours() / 24).unwrap_or(0),
            days_max: config.revert_days,
            of_tool: (self.reverts_today(|other| other.is_about(name)), config.reverts_per_day as usize),
            of_all: (self.reverts_today(|_| true), config.reverts_per_day_all as usize),
            conflict: undo.as_ref().err().map(String::as_str),
            dependants: &[],
            red_before: &[],
            not_repaired: &[],
        };
        // What is cheap to know comes first: the rest runs things.
        let early = deploy::out(&facts);
        let (Some((_, analysis)), Ok(undo), None) = (found, undo, &early) else { return Ok(early) };
        let dependants = self.dependants(landed, tip)?;
        let confirmed = self.confirmed(landed, name, analysis)?;
        let red_before = self.red_before(landed, name, &confirmed)?;
        let not_repaired = match self.tools.get(name).filter(|_| !confirmed.is_empty()) {
            Some(tool) if dependants.is_empty() && red_before.is_empty() => {
                self.stages.not_repaired(view, tool, tip, undo, &confirmed)?
            }
            _ => Vec::new(),
        };
        (facts.dependants, facts.red_before, facts.not_repaired) = (&dependants, &red_before, &not_repaired);
        Ok(deploy::out(&facts))
    }

    fn reverts_today(&self, meant: impl Fn(&Improvement) -> bool) -> usize {
        let day_ago = self.view().clock.now().saturating_sub(SignedDuration::from_hours(24)).unwrap_or_default();
        let meant = self.journal.improvements.values().filter(|improvement| meant(improvement));
        meant.flat_map(|improvement| improvement.reverts()).filter(|at| *at > day_ago).count()
    }

    /// Commits since that changed a file that the improvement changed too. Notes are nobody's ground.
    fn dependants(&self, landed: &Landed, tip: &CommitId) -> Result<Vec<Dependant>> {
        let repo = &self.view().repo;
        let Some(parent) = repo.parent(&landed.commit)? else { return Ok(Vec::new()) };
        let mut paths = repo.changed_paths(&parent, &landed.commit)?.unwrap_or_default();
        paths.retain(|path| !path.starts_with(".fractal/"));
        let mut dependants = Vec::new();
        for later in repo.revisions_after(&landed.commit, tip, &paths)? {
            let changed = match repo.parent(&later.commit)? {
                Some(parent) => repo.changed_paths(&parent, &later.commit)?.unwrap_or_default(),
                None => Vec::new(),
            };
            let changed: Vec<String> = changed.into_iter().filter(|path| paths.contains(path)).collect();
            let summary = crate::model::plain_line(&later.summary, 60);
            dependants.push(Dependant { commit: later.commit, summary, paths: changed });
        }
        Ok(dependants)
    }

    /// The recordings of the inputs that fail more than before.
    fn confirmed(&self, landed: &Landed, name: &str, analysis: &Analysis) -> Result<Vec<Recording>> {
        let (view, mut found) = (self.view(), Vec::new());
        let Some(tool) = self.tools.get(name) else { return Ok(found) };
        let Some(version) = view.repo.version_at(&landed.commit, &tool.paths)? else { return Ok(found) };
        for replay in analysis.replays.iter().filter(|replay| replay.new_failures > replay.old_failures) {
            if let Some(run) = view.store.execution(name, &version, &replay.execution)? {
                found.push(view.store.load(run)?);
            }
        }
        Ok(found)
    }

    /// Which of them failed on the version before as well, when they were recorded there. That it passes now says that it does not always.
    fn red_before(&self, landed: &Landed, name: &str, confirmed: &[Recording]) -> Result<Vec<String>> {
        let view = self.view();
        let Some(tool) = self.tools.get(name) else { return Ok(Vec::new()) };
        let Some(version) = view.repo.version_at(&landed.before, &tool.paths)? else { return Ok(Vec::new()) };
        let month = landed.at.saturating_sub(SignedDuration::from_hours(24 * 30)).unwrap_or(Timestamp::UNIX_EPOCH);
        let failed: BTreeSet<String> =
            view.store.failing_inputs(name, &version, month)?.into_iter().map(|failing| failing.input).collect();
        let red = confirmed.iter().filter(|recording| failed.contains(&recording.execution.input.digest()));
        Ok(red.map(|recording| recording.shown(40)).collect())
    }
}

/// Which of these recordings fail on the base with the inverse too: then what is there besides has broken them.
///
/// # Errors
/// When the repository cannot be read.
pub(super) fn not_repaired(
    view: &View,
    tool: &Tool,
    tip: &CommitId,
    undo: &Patch,
    confirmed: &[Recording],
) -> Result<Vec<String>> {
    let longest = confirmed.iter().map(|recording| recording.execution.duration).max().unwrap_or(Duration::ZERO);
    let bench = match Bench::at(view, tool, tip, longest) {
        Ok(bench) => bench.with(undo),
        Err(BenchError::World(error)) => return Err(error),
        // They were run on both versions a moment ago.
        Err(_) => return Ok(Vec::new()),
    };
    let chosen: Vec<&Recording> = confirmed.iter().take(REPAIRED_INPUTS).collect();
    let solved = bench.each(&chosen, |recording| bench.replay(recording).solves(recording), |_| false);
    let failing = chosen.iter().zip(solved).filter(|(_, solved)| *solved != Some(true));
    Ok(failing.map(|(recording, _)| recording.shown(40)).collect())
}
