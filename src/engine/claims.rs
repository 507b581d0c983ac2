//! What this loop takes on, so that no other loop works on the same at the same time; what others work on is left to them.
//!
//! A tool is claimed when the first fact about it is to be recorded, or before something expensive is begun, and given back when the
//! step is over. What others recorded meanwhile is read then: a step that was decided on older facts is given up, and the next cycle
//! decides anew.

use std::cmp::Reverse;

use anyhow::Result;
use jiff::Timestamp;

use super::actions::Journal;
use super::ahead::Found;
use super::cycle::Cycle;
use super::group::Group;
use super::improvement::Improvement;
use super::progress::{Progress, describe_opportunity};
use super::stage::Stage;
use super::stages::Unanswered;
use crate::model::{Event, ImprovementId, Opportunity};
use crate::world::Elsewhere;
use crate::world::forge::ForgeError;
use crate::world::git::LogError;

/// What is claimed instead of a tool where improvements can be of several.
const WHOLE: &str = "whole-repository";

impl Journal<'_> {
    /// Brings here what others did; see [`crate::world`].
    pub(super) fn begin(&mut self) -> Result<()> {
        if let Some(effects) = &self.effects {
            effects.begin(self.view.clock.now())?;
        }
        self.absorb()
    }

    /// Claims a tool, or fails with [`Elsewhere`]. Afterwards everything that others recorded about it is known.
    pub(super) fn hold(&mut self, tool: &str) -> Result<()> {
        // What repairs several tools at once is not to be told apart from what others do with one of them.
        let work = if self.view.config.engine.group > 1 { WHOLE } else { tool };
        if let Some(effects) = &self.effects {
            effects.hold(work, self.view.clock.now())?;
        }
        self.absorb()
    }

    /// Gives back what is claimed, after the log was published.
    pub(super) fn leave(&mut self) -> Result<()> {
        if let Some(effects) = &self.effects {
            effects.leave(self.view.clock.now())?;
        }
        self.absorb()
    }

    /// Looks again at what others did.
    pub(super) fn look_again(&mut self) -> Result<()> {
        if let Some(effects) = &self.effects {
            effects.meet(self.view.clock.now())?;
        }
        self.absorb()
    }

    /// Lets other machines see the log; a remote that cannot be reached now gets it after the next cycle.
    pub(super) fn publish_log(&mut self) -> Result<()> {
        if let Some(effects) = self.effects.as_ref().filter(|effects| !effects.holds_back())
            && let Err(error) = effects.publish_log(self.view.clock.now())
        {
            tracing::warn!("the log was not pushed: {error:#}");
        }
        self.absorb()
    }

    /// The same although a switch was set just now: what led to it is to be known wherever the switch is.
    pub(super) fn publish_last_word(&mut self) -> Result<()> {
        if let Some(Err(error)) = self.effects.as_ref().map(|effects| effects.publish_log(self.view.clock.now())) {
            tracing::warn!("why everything stops was not pushed: {error:#}");
        }
        self.absorb()
    }

    /// Folds anew what got records from elsewhere.
    pub(super) fn absorb(&mut self) -> Result<()> {
        let changed = self.effects.as_ref().map(|effects| effects.news()).unwrap_or_default();
        changed.iter().try_for_each(|id| self.reload(id))
    }

    fn reload(&mut self, id: &ImprovementId) -> Result<()> {
        let records = self.view.repo.read_improvement(id)?;
        let folded = Improvement::fold(id.clone(), records)
            .map_err(|error| LogError::Foreign(format!("improvements/{id}.jsonl: {error}")))?;
        self.improvements.insert(id.clone(), folded);
        Ok(())
    }
}

/// Why a step is another loop's, or the forge's to make possible; `None` for any other failure.
fn elsewhere(error: &anyhow::Error) -> Option<String> {
    let raced = matches!(error.downcast_ref::<LogError>(), Some(LogError::Raced(_)));
    let of_forge = error.downcast_ref::<ForgeError>().is_some();
    (raced || of_forge || error.downcast_ref::<Elsewhere>().is_some()).then(|| format!("{error:#}"))
}

impl Cycle<'_, '_> {
    /// A step of each improvement that is in one of these stages, least recently served first.
    pub(super) fn each(&mut self, wanted: &[Stage], step: fn(&mut Self, &ImprovementId) -> Result<()>) -> Result<()> {
        let mut chosen: Vec<(Option<Timestamp>, ImprovementId)> = Vec::new();
        for improvement in self.journal.improvements.values().filter(|improvement| wanted.contains(&improvement.stage)) {
            chosen.push((improvement.records.last().map(|record| record.at), improvement.id.clone()));
        }
        chosen.sort();
        for (_, id) in chosen {
            // Another step, or another loop, may have moved it on.
            if wanted.contains(&self.journal.get(&id)?.stage) {
                let done = step(self, &id);
                self.stepped(&id, done)?;
            }
        }
        Ok(())
    }

    /// Ends a step: what another loop works on is left to it, what was claimed is given back. Whether the step was ours.
    pub(super) fn stepped(&mut self, id: &ImprovementId, done: Result<()>) -> Result<bool> {
        let Err(error) = done else { return self.journal.leave().map(|()| true) };
        if let Some(Unanswered(why)) = error.downcast_ref() {
            self.journal.leave()?;
            // What was recorded until there stays.
            return if self.journal.improvements.contains_key(id) {
                self.waits(id, why.clone()).map(|()| true)
            } else {
                Ok(true)
            };
        }
        let why = elsewhere(&error);
        self.journal.leave()?;
        let Some(why) = why else { return Err(error) };
        self.journal.reload(id)?;
        if self.journal.get(id)?.stage == Stage::New {
            self.journal.improvements.remove(id);
        } else {
            self.waits(id, why)?;
        }
        Ok(false)
    }

    /// Goes on with what a killed run, or a moved base, left in the middle.
    pub(super) fn go_on(&mut self, id: &ImprovementId) -> Result<()> {
        let tool = self.tool_of(id)?;
        self.journal.hold(&tool)?;
        match self.journal.get(id)?.stage {
            Stage::Detected | Stage::Investigated => self.work_on(id, 0),
            _ => Ok(()),
        }
    }

    /// Works on as many opportunities as one cycle may, in a fair order.
    pub(super) fn take_on(&mut self, mut opportunities: Vec<&Opportunity>) -> Result<()> {
        self.order_fairly(&mut opportunities);
        let (mut taken, most) = (0, self.view().config.engine.opportunities_per_cycle);
        for (at, opportunity) in opportunities.iter().enumerate() {
            if !self.is_news(opportunity) || self.is_behind_another(opportunity) {
                continue;
            }
            if taken == most || self.journal.should_stop() {
                break;
            }
            self.look_ahead(&opportunities[at..], most - taken)?;
            let group = self.ahead.groups.get(&opportunity.id).and_then(Group::id);
            let id = group.unwrap_or_else(|| opportunity.id.clone());
            let done = self.take(opportunity);
            taken += usize::from(self.stepped(&id, done)?);
        }
        self.record_left(&opportunities)
    }

    fn take(&mut self, opportunity: &Opportunity) -> Result<()> {
        let held = self.journal.hold(&opportunity.tool);
        if let Err(error) = &held
            && let Some(reason) = elsewhere(error)
        {
            self.left(opportunity, reason);
        }
        held?;
        // Another loop may have done it since this one looked.
        if !self.is_news(opportunity) || self.is_behind_another(opportunity) {
            return Ok(());
        }
        if let Some(group) = self.ahead.groups.remove(&opportunity.id)
            && self.take_group(group)?
        {
            return Ok(());
        }
        self.report.opportunities += 1;
        let (id, known) = (&opportunity.id, self.journal.improvements.get(&opportunity.id));
        let records = known.map_or(0, |known| known.records.len());
        if !self.ahead.told(id) {
            self.tell_detected(opportunity);
        }
        self.journal.append(id, vec![Event::Detected { opportunity: opportunity.clone() }])?;
        match self.ahead.take(id) {
            Some(found) if found.records == records => self.go_on_from(id, found),
            other => {
                self.record_asked(id, other.iter())?;
                self.work_on(id, 0)
            }
        }
    }

    /// Records who was asked for what is not used after all: it was paid for.
    pub(super) fn record_asked<'f>(&mut self, id: &ImprovementId, found: impl Iterator<Item = &'f Found>) -> Result<()> {
        let events: Vec<Event> = found.flat_map(Found::asked).map(|asking| Event::Asked { asking: asking.clone() }).collect();
        self.journal.append(id, events)
    }

    /// The same for what was looked into and had no turn, because the cycle is to stop, or because another loop was faster.
    fn record_left(&mut self, opportunities: &[&Opportunity]) -> Result<()> {
        let groups = std::mem::take(&mut self.ahead.groups);
        groups.into_values().for_each(|group| group.part(&mut self.ahead));
        for opportunity in opportunities {
            let id = &opportunity.id;
            let Some(found) = self.ahead.take(id).filter(|found| found.asked().next().is_some()) else { continue };
            let done = self.record_unused(opportunity, &found);
            self.stepped(id, done)?;
        }
        Ok(())
    }

    fn record_unused(&mut self, opportunity: &Opportunity, found: &Found) -> Result<()> {
        let id = &opportunity.id;
        self.journal.hold(&opportunity.tool)?;
        if !self.journal.improvements.contains_key(id) {
            let investigation = found.investigation.clone();
            self.journal
                .append(id, vec![Event::Detected { opportunity: opportunity.clone() }, Event::Investigated { investigation }])?;
        }
        self.record_asked(id, std::iter::once(found))
    }

    pub(super) fn tell_detected(&self, opportunity: &Opportunity) {
        self.journal.tell(Progress::Detected {
            id: opportunity.id.clone(),
            tool: opportunity.tool.clone(),
            priority: opportunity.priority,
            score: opportunity.score,
            summary: describe_opportunity(opportunity),
            opportunity: Box::new(opportunity.clone()),
        });
    }

    /// Within a priority the tool that was served longest ago comes first, and before it those that never were, in their order.
    fn order_fairly(&self, opportunities: &mut [&Opportunity]) {
        let served = |tool: &str| {
            let own = self.journal.improvements.values().filter(|improvement| improvement.is_about(tool));
            own.filter_map(|improvement| improvement.records.last()).map(|record| record.at).max()
        };
        opportunities.sort_by_cached_key(|opportunity| (Reverse(opportunity.priority), served(&opportunity.tool)));
    }

    /// Not worked on yet, or ended on another version.
    pub(super) fn is_news(&self, opportunity: &Opportunity) -> bool {
        let own = match self.journal.improvements.get(&opportunity.id) {
            None => true,
            Some(known) => known.stage.is_end() && known.version() != Some(&opportunity.version),
        };
        own && !self.journal.improvements.values().any(|known| known.is_group() && is_settled_by(opportunity, known))
    }

    /// Whether another improvement of the same tool is not finished: two at once could not be told apart afterwards.
    fn is_behind_another(&self, opportunity: &Opportunity) -> bool {
        let Some(other) = self.ahead_of(opportunity) else { return false };
        self.left(opportunity, format!("improvement {} of the same tool comes first", other.id.short()));
        true
    }

    /// An unfinished improvement of the same tool.
    pub(super) fn ahead_of(&self, opportunity: &Opportunity) -> Option<&Improvement> {
        let open = |stage: Stage| !stage.is_end() && stage != Stage::New;
        let mut others =
            self.journal.improvements.values().filter(|other| other.id != opportunity.id && other.is_about(&opportunity.tool));
        others.find(|other| open(other.stage))
    }

    fn left(&self, opportunity: &Opportunity, reason: String) {
        let (id, tool) = (opportunity.id.clone(), opportunity.tool.clone());
        self.journal.tell(Progress::Waiting { id, tool, stage: Stage::New, reason });
    }
}

/// Whether a group is about this, or was on this version: unless it was given up, so that each tool is looked at by itself.
fn is_settled_by(opportunity: &Opportunity, group: &Improvement) -> bool {
    let same = |member: &Opportunity| !group.stage.is_end() || (member.version == opportunity.version && !group.was_given_up());
    group.members().any(|member| member.id == opportunity.id && same(member))
}
