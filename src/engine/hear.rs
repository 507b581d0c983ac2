//! What people say to us on a forge. A comment is recorded with what follows from it in one append, so that it is heard once; before that
//! it gets a sign that it was seen, and afterwards one that says how it went.

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};

use super::cycle::{Cycle, decision};
use super::stage::Stage;
use crate::deploy::{self, Addressed, Command, Decision, HOLD_LABEL};
use crate::model::{End, Event, ImprovementId, Observation};
use crate::world::Word;
use crate::world::forge::{Comment, Level, Reaction, Shared};

/// Comments that are older than this when they are first seen are no news.
const AGE_MAX: SignedDuration = SignedDuration::from_hours(24 * 30);

/// The forge's clock may be so much behind ours.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(15);

/// What follows from a command.
struct Reply {
    facts: Vec<Event>,
    /// A comment, where there is something to say.
    text: Option<String>,
    /// How it went.
    done: bool,
    /// Everything stops once this is answered.
    pauses: bool,
}

impl Reply {
    fn of(fact: Observation) -> Reply {
        Reply { facts: vec![Event::Observed { what: fact }], ..Reply::silent() }
    }

    fn silent() -> Reply {
        Reply { facts: Vec::new(), text: None, done: true, pauses: false }
    }

    fn saying(text: String) -> Reply {
        Reply { text: Some(text), ..Reply::silent() }
    }

    fn refused(text: &str) -> Reply {
        Reply { text: Some(text.to_string()), done: false, ..Reply::silent() }
    }
}

impl Cycle<'_, '_> {
    /// Hears what was said since the last time.
    pub(super) fn hear(&mut self) -> Result<()> {
        let Some(forge) = self.view().forge.clone() else { return Ok(()) };
        let proposed = |improvement: &&super::Improvement| improvement.proposal.is_some() || improvement.undoing.is_some();
        if !self.journal.improvements.values().any(|improvement| proposed(&improvement)) || self.journal.is_dry_run() {
            return Ok(());
        }
        let comments = match forge.comments(None, Some(self.heard_until())) {
            Ok(comments) => comments,
            Err(why) => {
                tracing::warn!("what people say could not be read: {why}");
                return Ok(());
            }
        };
        for comment in comments.iter().filter(|comment| !comment.bot && comment.key.is_none()) {
            let about = self.journal.improvements.values().find(|improvement| {
                let own = improvement.proposal.as_ref().is_some_and(|known| known.number == comment.on);
                let undoing = improvement.undoing.as_ref().and_then(|undoing| undoing.proposal.as_ref());
                own || undoing.is_some_and(|known| known.number == comment.on)
            });
            let Some(improvement) = about.filter(|improvement| !improvement.heard.contains(&comment.id)) else { continue };
            let id = improvement.id.clone();
            let done = self.hear_one(&id, &forge, comment);
            self.stepped(&id, done)?;
        }
        Ok(())
    }

    /// The newest comment that is known; those of the same second are asked for again.
    fn heard_until(&self) -> Timestamp {
        let records = self.journal.improvements.values().flat_map(|improvement| &improvement.records);
        let said = records.filter_map(|record| match &record.event {
            Event::Observed { what: Observation::Said { at, .. } } => Some(*at),
            _ => None,
        });
        let opened = self.journal.improvements.values().filter_map(|one| one.proposal.as_ref()).map(|known| known.at).min();
        let oldest = self.view().clock.now().saturating_sub(AGE_MAX).unwrap_or_default();
        // The forge has a clock of its own.
        let opened = opened.and_then(|at| at.checked_sub(CLOCK_SKEW).ok());
        said.max().or(opened).unwrap_or(oldest).max(oldest)
    }

    fn hear_one(&mut self, id: &ImprovementId, forge: &Shared, comment: &Comment) -> Result<()> {
        let said = |command: Option<String>| Event::Observed {
            what: Observation::Said { comment: comment.id, by: comment.author.clone(), at: comment.updated, command },
        };
        let command = match deploy::addressed(&comment.text) {
            Addressed::No => return self.journal.append(id, vec![said(None)]),
            Addressed::Command(command) => Some(command),
            Addressed::Unknown => None,
        };
        let level = match forge.level(&comment.author) {
            Ok(level) => level,
            Err(why) => return self.waits(id, format!("what {} may do here is not known: {why}", comment.author)),
        };
        self.journal.say(id, &Word::React { comment: comment.id, reaction: Reaction::Seen })?;
        let reply = match command {
            _ if level < Level::Write => Reply::refused("Only people who may write to this repository can say that."),
            None => Reply::refused(&format!("That is no command.\n\n{}", deploy::help())),
            Some(command) => self.obey(id, command, comment)?,
        };
        let mut facts = vec![said(command.map(|command| command.to_string()))];
        facts.extend(reply.facts);
        self.journal.append(id, facts)?;
        if let Some(text) = reply.text {
            // A second answer takes the place of the first.
            let key = if reply.done { "answer" } else { "refused" };
            self.journal.say(id, &Word::Say { number: comment.on, key: key.into(), text })?;
        }
        let reaction = if reply.done { Reaction::Done } else { Reaction::Confused };
        self.journal.say(id, &Word::React { comment: comment.id, reaction })?;
        if reply.pauses {
            // What the forge is to land by itself would land in spite of the switch; what is claimed is given back: afterwards nothing is.
            self.take_back_others(None)?;
            self.journal.leave()?;
            let why = format!("{} said so in a comment", comment.author);
            self.show_board(Some((&why, None)))?;
            self.journal.pause(&why)?;
        }
        if self.journal.get(id)?.stage == Stage::Closed {
            self.ended(id)?;
        }
        Ok(())
    }

    /// What follows from a command of somebody who may write here.
    fn obey(&mut self, id: &ImprovementId, command: Command, comment: &Comment) -> Result<Reply> {
        let (by, on) = (comment.author.clone(), comment.on);
        let stage = self.journal.get(id)?.stage;
        Ok(match (command, stage) {
            (Command::Help, _) => Reply::saying(deploy::help()),
            (Command::Why, _) => Reply::saying(self.why(id)?),
            (Command::Hold, _) => {
                let labels = [HOLD_LABEL.to_string()].into();
                self.journal.say(id, &Word::Label { number: on, labels })?;
                Reply::silent()
            }
            (Command::Unhold, _) => {
                self.journal.say(id, &Word::Unlabel { number: on, label: HOLD_LABEL.into() })?;
                Reply::silent()
            }
            (Command::Pause, _) => Reply { pauses: true, ..Reply::silent() },
            (Command::Resume, _) => {
                self.journal.resume()?;
                Reply::silent()
            }
            // Who approves has seen what is there now.
            (Command::Approve | Command::Merge, Stage::Proposed)
                if self.journal.get(id)?.shown_since.is_some_and(|since| comment.updated < since) =>
            {
                Reply::refused(
                    "Since you said that, another change took the place of the one that was here. Look at it, and say it again.",
                )
            }
            (Command::Approve | Command::Merge, Stage::Proposed) => Reply::of(Observation::Approved { by }),
            (Command::Revert, Stage::Watching | Stage::Kept | Stage::Inconclusive | Stage::Stuck)
                if self.journal.get(id)?.landed.is_some() =>
            {
                Reply::of(Observation::RevertRequested { by })
            }
            (Command::Ignore, Stage::Proposed) => {
                let reason = format!("{by} does not want it");
                Reply { facts: vec![Event::Ended { how: End::Closed { reason } }], ..Reply::silent() }
            }
            (Command::Rebase, Stage::Proposed) => {
                let tip = self.tip()?;
                Reply::of(Observation::BaseMoved { to: tip })
            }
            (Command::Retry, Stage::Proposed) => {
                // What it has is refused, and it begins anew on the base as it is.
                let reason = format!("{by} wants another repair");
                let detected = self.journal.get(id)?.opportunity.clone();
                let mut facts = vec![Event::Ended { how: End::Closed { reason } }];
                facts.extend(detected.map(|opportunity| Event::Detected { opportunity }));
                Reply { facts, ..Reply::silent() }
            }
            (command, stage) => Reply::refused(&format!("`{command}` does not fit: the improvement is {stage}.")),
        })
    }

    /// What the forge's facts say to a proposal now, if they can be read.
    fn what_the_forge_says(&mut self, id: &ImprovementId) -> Result<Option<String>> {
        let improvement = self.journal.get(id)?;
        let Some(number) =
            improvement.proposal.as_ref().filter(|_| improvement.stage == Stage::Proposed).map(|known| known.number)
        else {
            return Ok(None);
        };
        let Some(facts) = self.facts(id, number)? else { return Ok(None) };
        let landing = self.landing(id, &facts)?;
        Ok(Some(match landing.reason() {
            Some(reason) => format!("the gate accepted it, and what it waits for is here: {reason}"),
            None => "the gate accepted it, and nothing keeps it from landing".to_string(),
        }))
    }

    fn why(&mut self, id: &ImprovementId) -> Result<String> {
        let facts = self.what_the_forge_says(id)?;
        let improvement = self.journal.known(id);
        let reason = match improvement.stage {
            Stage::Proposed => match decision(self.view(), &improvement, &self.tip()?)? {
                Decision::Wait(reason) => reason,
                Decision::Rebuild => "the base has moved, so it is built and validated anew".to_string(),
                Decision::Merge => facts.unwrap_or_else(|| {
                    "the gate accepted it; the check `fractal/gate` says what the forge's facts keep waiting".to_string()
                }),
            },
            stage => improvement.end_reason.clone().unwrap_or_else(|| format!("it is {stage}")),
        };
        Ok(format!("{} (`fractal show {}` tells more)", deploy::shown(&reason), id.short()))
    }
}
