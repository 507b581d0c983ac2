//! Several opportunities of different tools are looked into at the same time, ahead of their turns (`[engine] parallel`).
//!
//! Nothing is claimed, recorded or written here. What is found waits for its turn, and each turn is as it would be without: the tool is
//! claimed, facts are recorded in the order of the backlog, and what lands was validated on the base as it is then. Killed anywhere, the
//! next cycle looks again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use super::cycle::Cycle;
use super::improvement::Improvement;
use super::offer::learned;
use super::progress::{Progress, describe_investigation};
use super::search::{Next, Shortlist, Wanted};
use super::stages::{Stages, Work};
use crate::improve::Learned;
use crate::model::{CommitId, Conclusion, ImprovementId, Investigation, Opportunity, Tool};
use crate::validate::Reading;
use crate::world::View;
use crate::world::bench::BenchError;

/// What was looked into ahead of its turn. `None`: it could not be, and its turn says why.
#[derive(Default)]
pub(super) struct Ahead(BTreeMap<ImprovementId, Option<Found>>);

/// What came of one opportunity.
pub(super) struct Found {
    /// The records of the improvement that were known: with more of them, something else would be found.
    records: usize,
    pub(super) tool: Tool,
    pub(super) investigation: Investigation,
    /// What came of its candidates, in order; empty when no patch can help.
    pub(super) came: Vec<Next>,
}

impl Found {
    /// What to begin with on another base, if a candidate was accepted.
    pub(super) fn shortlist(&self) -> Option<&Shortlist> {
        match self.came.last()? {
            Next::Judged { judged, shortlist, .. } if judged.verdict.accepted() => Some(shortlist),
            Next::Judged { .. } | Next::Over { .. } => None,
        }
    }
}

impl Ahead {
    /// Whether it was told that this was detected.
    pub(super) fn told(&self, id: &ImprovementId) -> bool {
        self.0.contains_key(id)
    }

    /// What was found, if nothing has been recorded since.
    pub(super) fn take(&mut self, id: &ImprovementId, records: usize) -> Option<Found> {
        self.0.get_mut(id)?.take().filter(|found| found.records == records)
    }
}

/// An investigation as it is told.
pub(super) fn told(id: &ImprovementId, tool: &Tool, investigation: &Investigation) -> Progress {
    Progress::Investigated {
        id: id.clone(),
        tool: tool.name.clone(),
        conclusion: investigation.conclusion.word(),
        summary: describe_investigation(investigation),
        investigation: Box::new(investigation.clone()),
    }
}

/// One opportunity, and what is known.
struct Look<'a> {
    tool: Tool,
    opportunity: &'a Opportunity,
    improvement: Improvement,
    learned: &'a Learned,
    tip: &'a CommitId,
    tell: &'a (dyn Fn(Progress) + Sync),
}

impl Cycle<'_, '_> {
    /// Looks into the first of these opportunities together with those behind it that can be looked into at the same time, at most `room`
    /// of them.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub(super) fn look_ahead(&mut self, opportunities: &[&Opportunity], room: usize) -> Result<()> {
        let most = room.min(self.view().config.engine.parallel);
        let first = opportunities.first().is_some_and(|first| self.ahead.told(&first.id));
        let chosen = if first || most < 2 { Vec::new() } else { self.independent(opportunities, most)? };
        if chosen.len() < 2 {
            return Ok(());
        }
        chosen.iter().for_each(|(_, opportunity)| self.tell_detected(opportunity));
        let (view, stages, tip) = (self.view(), self.stages, self.tip()?);
        let learned = learned(self.journal.improvements.values());
        let (turn, listener) = (Mutex::new(()), self.journal.listener());
        let tell = |progress: Progress| {
            let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            listener(progress);
        };
        let found: Vec<Mutex<Option<Found>>> = chosen.iter().map(|_| Mutex::default()).collect();
        let mut works: Vec<Work<'_>> = Vec::new();
        for ((tool, opportunity), place) in chosen.iter().zip(&found) {
            let known = self.journal.improvements.get(&opportunity.id).cloned();
            let improvement = known.unwrap_or_else(|| Improvement::new(opportunity.id.clone()));
            let look = Look { tool: tool.clone(), opportunity, improvement, learned: &learned, tip: &tip, tell: &tell };
            match view.beside(chosen.len()) {
                Ok(own) => works.push(Box::new(move || match look.look(&own, stages) {
                    Ok(what) => *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(what),
                    Err(error) => tracing::warn!("`{}` was not looked into beside others: {error:#}", look.tool.name),
                })),
                Err(error) => tracing::warn!("`{}` cannot be looked into beside others: {error}", tool.name),
            }
        }
        stages.at_once(works);
        for ((_, opportunity), place) in chosen.iter().zip(found) {
            self.ahead.0.insert(opportunity.id.clone(), place.into_inner().unwrap_or_else(PoisonError::into_inner));
        }
        Ok(())
    }

    /// The first of these opportunities and those that follow on it, as far as none of their tools, and none that uses one of them, is
    /// another one's.
    fn independent<'o>(&self, opportunities: &[&'o Opportunity], most: usize) -> Result<Vec<(Tool, &'o Opportunity)>> {
        let mut chosen: Vec<(Tool, &Opportunity)> = Vec::new();
        for opportunity in opportunities.iter().filter(|one| self.is_news(one) && self.ahead_of(one).is_none()) {
            let Some(tool) = self.tools.get(&opportunity.tool) else { break };
            // A second one of a tool comes behind the first.
            if chosen.len() < most && chosen.iter().all(|(other, _)| other.name != tool.name) {
                chosen.push((tool.clone(), opportunity));
            }
        }
        if chosen.len() < 2 {
            return Ok(chosen);
        }
        let tip = self.tip()?;
        let readings: Vec<Reading<'_>> =
            self.tools.tools.iter().map(|tool| Reading::of(self.view(), tool, &tip)).collect::<Result<_>>()?;
        let mut ground: BTreeSet<&str> = BTreeSet::new();
        let mut free = 0;
        for (tool, _) in &chosen {
            let own = readings.iter().find(|reading| reading.tool().name == tool.name).map(Reading::paths).unwrap_or_default();
            let users = readings.iter().filter(|reading| reading.uses(&own)).map(|reading| reading.tool().name.as_str());
            let users: BTreeSet<&str> = users.chain([tool.name.as_str()]).collect();
            if !ground.is_disjoint(&users) {
                break;
            }
            ground.extend(users);
            free += 1;
        }
        chosen.truncate(free);
        Ok(chosen)
    }
}

impl Look<'_> {
    /// As a turn goes, without recording it.
    fn look(&self, view: &View, stages: &dyn Stages) -> Result<Found> {
        let Look { opportunity, tip, tell, .. } = self;
        let (id, mut improvement) = (&opportunity.id, self.improvement.clone());
        let character = stages.character(view, &self.tool, tip)?;
        let tool = Tool { effects: character.effects, ..self.tool.clone() };
        tell(Progress::Investigating { id: id.clone(), tool: tool.name.clone() });
        let investigation = stages.investigate(view, &tool, opportunity, tip)?;
        tell(told(id, &tool, &investigation));
        let mut found = Found { records: improvement.records.len(), tool, investigation, came: Vec::new() };
        if found.investigation.conclusion != Conclusion::Improvable {
            return Ok(found);
        }
        let wanted = Wanted {
            view,
            tool: &found.tool,
            character: &character,
            opportunity,
            investigation: &found.investigation,
            learned: self.learned,
            shortlist: None,
            tell: *tell,
        };
        let mut came = Vec::new();
        match stages.search(wanted) {
            Ok(mut attempts) => loop {
                let next = attempts.next(&improvement)?;
                if let Next::Judged { candidate, judged, .. } = &next
                    && !judged.verdict.accepted()
                {
                    improvement.refused.insert(candidate.patch.id());
                    came.push(next);
                    continue;
                }
                came.push(next);
                break;
            },
            Err(BenchError::World(error)) => return Err(error),
            Err(error) => came.push(Next::Over { tried: 0, reason: error.to_string() }),
        }
        found.came = came;
        Ok(found)
    }
}
