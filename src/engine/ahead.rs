//! Several opportunities of different tools are looked into at the same time, ahead of their turns (`[engine] parallel`), or because they
//! may be repaired together (`[engine] group`).
//!
//! Nothing is claimed, recorded or written here. What is found waits for its turn, and each turn is as it would be without: the tool is
//! claimed, facts are recorded in the order of the backlog, and what lands was validated on the base as it is then. Killed anywhere, the
//! next cycle looks again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use super::cycle::Cycle;
use super::group::Group;
use super::improvement::Improvement;
use super::offer::learned;
use super::progress::{Progress, describe_investigation};
use super::search::{Next, Shortlist, Wanted};
use super::stages::{Stages, Work};
use crate::improve::{Learned, Till};
use crate::model::{Asking, Candidate, Character, CommitId, Conclusion, ImprovementId, Investigation, Opportunity, Rival, Tool};
use crate::validate::{Judged, Reading};
use crate::world::View;
use crate::world::bench::BenchError;

/// What was looked into ahead of its turn.
#[derive(Default)]
pub(super) struct Ahead {
    /// `None`: it could not be, and its turn says why.
    found: BTreeMap<ImprovementId, Option<Found>>,
    /// What several of them are together, by the one of them whose turn is first.
    pub(super) groups: BTreeMap<ImprovementId, Group>,
    /// Why they were left out of one.
    pub(super) left_out: BTreeMap<ImprovementId, String>,
}

/// What came of one opportunity.
pub(super) struct Found {
    /// The records of the improvement that were known: with more of them, something else would be found.
    pub(super) records: usize,
    pub(super) tool: Tool,
    pub(super) character: Character,
    pub(super) investigation: Investigation,
    /// What came of its candidates, in order; empty when no patch can help.
    pub(super) came: Vec<Next>,
}

impl Found {
    /// The candidate that the gate accepted, what it said, and how many had been looked at.
    pub(super) fn accepted(&self) -> Option<(&Candidate, &Judged, u64)> {
        match self.came.last()? {
            Next::Judged { candidate, judged, tried, .. } if judged.verdict.accepted() => Some((candidate, judged, *tried)),
            Next::Judged { .. } | Next::Over { .. } | Next::Later { .. } | Next::Asked(_) => None,
        }
    }

    /// What it was compared with.
    pub(super) fn beside(&self) -> &[Rival] {
        match self.came.last() {
            Some(Next::Judged { beside, .. }) => beside,
            _ => &[],
        }
    }

    /// Who was asked for it: that is paid for, whatever becomes of it.
    pub(super) fn asked(&self) -> impl Iterator<Item = &Asking> {
        self.came.iter().filter_map(|next| match next {
            Next::Asked(asking) => Some(asking),
            Next::Judged { .. } | Next::Over { .. } | Next::Later { .. } => None,
        })
    }

    /// Candidates that were looked at.
    pub(super) fn tried(&self) -> u64 {
        match self.came.last() {
            Some(Next::Judged { tried, .. } | Next::Over { tried, .. }) => *tried,
            Some(Next::Asked(_) | Next::Later { .. }) | None => 0,
        }
    }

    /// Why there is no patch, where there is none.
    pub(super) fn why_not(&self) -> &str {
        match self.came.last() {
            Some(Next::Over { reason, .. } | Next::Later { reason }) => reason,
            _ => self.investigation.conclusion.why_not().unwrap_or_default(),
        }
    }

    /// What to begin with on another base, if a candidate was accepted.
    pub(super) fn shortlist(&self) -> Option<&Shortlist> {
        match self.came.last()? {
            Next::Judged { judged, shortlist, .. } if judged.verdict.accepted() => Some(shortlist),
            Next::Judged { .. } | Next::Over { .. } | Next::Later { .. } | Next::Asked(_) => None,
        }
    }
}

impl Ahead {
    /// Whether it was told that this was detected.
    pub(super) fn told(&self, id: &ImprovementId) -> bool {
        self.found.contains_key(id)
    }

    /// Keeps what was found until its turn.
    pub(super) fn keep(&mut self, id: &ImprovementId, found: Option<Found>) {
        self.found.insert(id.clone(), found);
    }

    /// What was found, whatever has been recorded since.
    pub(super) fn found(&mut self, id: &ImprovementId) -> Option<&mut Option<Found>> {
        self.found.get_mut(id)
    }

    /// What was found, whatever has been recorded since; nothing the next time.
    pub(super) fn take(&mut self, id: &ImprovementId) -> Option<Found> {
        self.found.get_mut(id)?.take()
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

/// One opportunity of one tool.
pub(super) type Chosen<'o> = (Tool, &'o Opportunity);

/// One opportunity, and what is known.
struct Look<'a> {
    tool: Tool,
    opportunity: &'a Opportunity,
    improvement: Improvement,
    learned: &'a Learned,
    till: &'a Till,
    shortlist: Option<Shortlist>,
    tip: &'a CommitId,
    tell: &'a (dyn Fn(Progress) + Sync),
    spends: bool,
}

impl Cycle<'_, '_> {
    /// Looks into the first of these opportunities together with those that can be looked into at the same time, at most `room` of them;
    /// or with those that may be repaired together with it.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub(super) fn look_ahead(&mut self, opportunities: &[&Opportunity], room: usize) -> Result<()> {
        let Some(first) = opportunities.first().filter(|first| !self.ahead.told(&first.id)) else { return Ok(()) };
        let alike = self.alike(first, opportunities)?;
        let chosen = match alike.len() {
            0 | 1 => self.next_ones(opportunities, room)?,
            _ => alike,
        };
        if chosen.len() < 2 {
            return Ok(());
        }
        chosen.iter().for_each(|(_, opportunity)| self.tell_detected(opportunity));
        let tip = self.tip()?;
        for ((tool, opportunity), found) in chosen.iter().zip(self.look_into(&chosen, &tip)?) {
            if let Err(error) = &found {
                tracing::warn!("`{}` was not looked into beside others: {error:#}", tool.name);
            }
            self.ahead.keep(&opportunity.id, found.ok());
        }
        self.form_groups(&chosen)
    }

    /// Looks into all of these, as many at a time as may be.
    ///
    /// # Errors
    /// When the repository cannot be read; what cannot be found out about one of them is in its place.
    pub(super) fn look_into(&self, chosen: &[Chosen<'_>], tip: &CommitId) -> Result<Vec<Result<Found>>> {
        let (learned, till) = (learned(self.journal.improvements.values()), self.journal.till());
        let (spends, turn, listener) = (!self.journal.is_dry_run(), Mutex::new(()), self.journal.listener());
        let tell = |progress: Progress| {
            let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            listener(progress);
        };
        let mut all = Vec::new();
        for some in chosen.chunks(self.view().config.engine.parallel) {
            let mut looks = Vec::new();
            for (tool, opportunity) in some {
                let id = &opportunity.id;
                let improvement = self.journal.known(id).into_owned();
                let (tool, shortlist) = (tool.clone(), self.shortlist(id, tip)?);
                looks.push(Look {
                    tool,
                    opportunity,
                    improvement,
                    learned: &learned,
                    till: &till,
                    shortlist,
                    tip,
                    tell: &tell,
                    spends,
                });
            }
            all.extend(at_once(self.view(), self.stages, &looks));
        }
        Ok(all)
    }

    /// The first of these opportunities and those that follow on it, as far as none of their tools, and none that uses one of them, is
    /// another one's.
    fn next_ones<'o>(&self, opportunities: &[&'o Opportunity], room: usize) -> Result<Vec<Chosen<'o>>> {
        let most = room.min(self.view().config.engine.parallel);
        if most < 2 {
            return Ok(Vec::new());
        }
        let chosen = self.of_different_tools(opportunities, most, |_| true);
        let apart = self.apart(&chosen)?;
        let free = apart.iter().take_while(|apart| **apart).count();
        Ok(chosen.into_iter().take(free).collect())
    }

    /// The first of these opportunities and others of the same pattern, as far as none of their tools, and none that uses one of them, is
    /// another one's.
    fn alike<'o>(&self, first: &Opportunity, opportunities: &[&'o Opportunity]) -> Result<Vec<Chosen<'o>>> {
        if !self.may_group() {
            return Ok(Vec::new());
        }
        let pattern = first.failure.pattern();
        let same = |other: &Opportunity| other.failures > 0 && other.failure.pattern() == pattern;
        let chosen = self.of_different_tools(opportunities, self.view().config.engine.group, same);
        let apart = self.apart(&chosen)?;
        Ok(chosen.into_iter().zip(apart).filter(|(_, apart)| *apart).map(|(chosen, _)| chosen).collect())
    }

    /// The first one of each tool that may be taken on.
    fn of_different_tools<'o>(
        &self,
        opportunities: &[&'o Opportunity],
        most: usize,
        wanted: impl Fn(&Opportunity) -> bool,
    ) -> Vec<Chosen<'o>> {
        let mut chosen: Vec<Chosen<'o>> = Vec::new();
        for opportunity in opportunities.iter().filter(|one| wanted(one) && self.is_news(one) && self.ahead_of(one).is_none()) {
            // A second one of a tool comes behind the first.
            if chosen.iter().all(|(other, _)| other.name != opportunity.tool)
                && let Some(tool) = self.tools.get(&opportunity.tool).filter(|_| !self.ahead.told(&opportunity.id))
            {
                chosen.push((tool.clone(), opportunity));
            }
        }
        chosen.truncate(most);
        chosen
    }

    /// Which of these have no tool, and none that uses theirs, in common with those before that have none either.
    fn apart(&self, chosen: &[Chosen<'_>]) -> Result<Vec<bool>> {
        if chosen.len() < 2 {
            return Ok(vec![true; chosen.len()]);
        }
        let tip = self.tip()?;
        let readings: Vec<Reading<'_>> =
            self.tools.tools.iter().map(|tool| Reading::of(self.view(), tool, &tip)).collect::<Result<_>>()?;
        let mut ground: BTreeSet<&str> = BTreeSet::new();
        let apart = chosen.iter().map(|(tool, _)| {
            let own = readings.iter().find(|reading| reading.tool().name == tool.name).map(Reading::paths).unwrap_or_default();
            let users = readings.iter().filter(|reading| reading.uses(&own)).map(|reading| reading.tool().name.as_str());
            let users: BTreeSet<&str> = users.chain([tool.name.as_str()]).collect();
            let is_apart = ground.is_disjoint(&users);
            if is_apart {
                ground.extend(users);
            }
            is_apart
        });
        Ok(apart.collect())
    }
}

/// Each on a thread and with a view of its own.
fn at_once(view: &View, stages: &dyn Stages, looks: &[Look<'_>]) -> Vec<Result<Found>> {
    let places: Vec<Mutex<Option<Result<Found>>>> = looks.iter().map(|_| Mutex::default()).collect();
    let mut works: Vec<Work<'_>> = Vec::new();
    for (look, place) in looks.iter().zip(&places) {
        let found = |what| *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(what);
        match view.beside(looks.len()) {
            Ok(own) => works.push(Box::new(move || found(look.look(&own, stages)))),
            Err(error) => found(Err(error.into())),
        }
    }
    stages.at_once(works);
    let answer = |place: Mutex<Option<Result<Found>>>| place.into_inner().unwrap_or_else(PoisonError::into_inner);
    places.into_iter().map(|place| answer(place).unwrap_or_else(|| Err(anyhow::anyhow!("it was not looked at")))).collect()
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
        let records = improvement.records.len();
        let mut found = Found { records, tool, character, investigation, came: Vec::new() };
        if found.investigation.conclusion != Conclusion::Improvable {
            return Ok(found);
        }
        let wanted = Wanted {
            view,
            tool: &found.tool,
            character: &found.character,
            opportunity,
            investigation: &found.investigation,
            learned: self.learned,
            till: self.till,
            shortlist: self.shortlist.as_ref(),
            tell: *tell,
            spends: self.spends,
        };
        let mut came = Vec::new();
        match stages.search(wanted) {
            Ok(mut attempts) => loop {
                let next = attempts.next(&improvement)?;
                let is_over = match &next {
                    Next::Judged { candidate, judged, .. } if !judged.verdict.accepted() => {
                        improvement.refused.insert(candidate.patch.id());
                        false
                    }
                    Next::Asked(_) => false,
                    Next::Judged { .. } | Next::Over { .. } | Next::Later { .. } => true,
                };
                came.push(next);
                if is_over {
                    break;
                }
            },
            Err(BenchError::World(error)) => return Err(error),
            Err(error) => came.push(Next::Over { tried: 0, reason: error.to_string() }),
        }
        found.came = came;
        Ok(found)
    }
}
