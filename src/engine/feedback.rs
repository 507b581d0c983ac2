//! What people let us know without commanding anything: signs under proposals and under what we said on them, and changes of our texts. Each
//! change is recorded once, a sign that is taken away as well. Nothing is decided by it: it is counted by strategy and template, beside what
//! reviews, closing, taking over and reverting say.
//!
//! It is looked for while a proposal is open or what landed by it is watched. Changed texts stand in the list of proposals, which a cycle reads
//! anyway; signs cost a request for each such proposal, which an unchanged answer makes free, and who put them is asked only when their
//! number is not the one that is known.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use super::cycle::Cycle;
use super::improvement::Improvement;
use super::stage::Stage;
use super::status::History;
use crate::deploy;
use crate::model::{ActionKind, Event, ImprovementId, Made, Observation, Sign, TextPart};
use crate::world::forge::{ForgeError, Proposal, Shared};

impl Cycle<'_, '_> {
    /// Notes what people let us know since the last time.
    pub(super) fn note_feedback(&mut self) -> Result<()> {
        let Some(forge) = self.view().forge.clone().filter(|_| !self.journal.is_dry_run()) else { return Ok(()) };
        for id in self.in_stage(&[Stage::Proposed, Stage::Landing, Stage::Watching, Stage::Reverting]) {
            let done = self.note_feedback_on(&id, &forge);
            self.stepped(&id, done)?;
        }
        Ok(())
    }

    fn note_feedback_on(&mut self, id: &ImprovementId, forge: &Shared) -> Result<()> {
        let numbers = self.journal.get(id)?.proposals();
        if numbers.is_empty() {
            return Ok(());
        }
        let open: Vec<Proposal> = match self.forum() {
            Ok(Some(forum)) => forum.open.iter().filter(|open| numbers.contains(&open.number)).cloned().collect(),
            _ => Vec::new(),
        };
        let improvement = self.journal.get(id)?;
        let mut news: Vec<Observation> = open.iter().flat_map(|open| edits(improvement, open)).collect();
        for number in numbers {
            match signs(improvement, forge, number) {
                Ok(changed) => news.extend(changed),
                Err(why) => tracing::warn!("signs under #{number} could not be read: {why}"),
            }
        }
        self.journal.append(id, news.into_iter().map(|what| Event::Observed { what }).collect())
    }
}

impl Improvement {
    /// Numbers of its proposal, and of the one that reverts it.
    fn proposals(&self) -> Vec<u64> {
        let undoing = self.undoing.as_ref().and_then(|undoing| undoing.proposal.as_ref());
        self.proposal.iter().chain(undoing).map(|known| known.number).collect()
    }

    /// The title with which we opened a proposal.
    fn title_of(&self, number: u64) -> Option<&str> {
        self.records.iter().rev().find_map(|record| match &record.event {
            Event::Done { key, made: Made::Proposal { number: made, .. } } if *made == number => {
                match &self.actions.get(key)?.0.kind {
                    ActionKind::Open { title, .. } => Some(title.as_str()),
                    _ => None,
                }
            }
            _ => None,
        })
    }
}

/// What somebody else changed in the texts of an open proposal and is not known yet.
fn edits(improvement: &Improvement, open: &Proposal) -> Vec<Observation> {
    let number = open.number;
    let known = |part| improvement.edited.get(&(number, part)).cloned();
    let deploy::Changed { inside, outside } = deploy::changed(&open.text);
    let title =
        improvement.title_of(number).map(|ours| (TextPart::Title, deploy::digest_of(&open.title), deploy::digest_of(ours)));
    let around = Some((TextPart::Outside, outside, deploy::digest_of("")));
    let within = inside.map(|now| (TextPart::Inside, now, String::new()));
    let all = [title, within, around].into_iter().flatten();
    let changed = all.filter(|(part, now, ours)| known(*part).as_ref().unwrap_or(ours) != now);
    changed.map(|(part, digest, _)| Observation::Edited { number, part, digest }).collect()
}

/// Signs that were put, or taken away, since the last time.
fn signs(improvement: &Improvement, forge: &Shared, number: u64) -> Result<Vec<Observation>, ForgeError> {
    let mut changed = Vec::new();
    for there in forge.signs(number)? {
        let comment = there.comment;
        let known = improvement.signs.iter().filter(|(on, under, ..)| *on == number && *under == comment);
        let known: Vec<(String, Sign)> = known.map(|(_, _, by, sign)| (by.clone(), *sign)).collect();
        let mut counts: BTreeMap<Sign, u64> = BTreeMap::new();
        known.iter().for_each(|(_, sign)| *counts.entry(*sign).or_default() += 1);
        if counts == there.counts {
            continue;
        }
        let now = forge.signed(number, comment)?;
        let told = |(by, sign): &(String, Sign), taken_back| Observation::Signed {
            number,
            comment,
            by: by.clone(),
            sign: *sign,
            taken_back,
        };
        changed.extend(known.iter().filter(|one| !now.contains(*one)).map(|one| told(one, true)));
        changed.extend(now.iter().filter(|one| !known.contains(one)).map(|one| told(one, false)));
    }
    Ok(changed)
}

/// What people let us know of the work of one strategy, or of one of its templates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FeedbackRow {
    pub strategy: String,
    /// The template, or who was asked.
    pub source: String,
    /// Signs that stand there now.
    pub signs: BTreeMap<Sign, u64>,
    /// Titles and texts that somebody changed.
    pub edited: u64,
    pub approved: u64,
    pub changes_wanted: u64,
    /// Commented without an opinion, or said something on it.
    pub commented: u64,
    /// Landed by a person.
    pub merged: u64,
    pub closed: u64,
    /// A person committed on the branch, or deleted it.
    pub taken_over: u64,
    pub reverted: u64,
}

impl FeedbackRow {
    fn is_empty(&self) -> bool {
        let FeedbackRow { strategy, source, .. } = self;
        *self == FeedbackRow { strategy: strategy.clone(), source: source.clone(), ..FeedbackRow::default() }
    }

    fn count(&mut self, what: &Observation) {
        match what {
            Observation::Edited { .. } => self.edited += 1,
            Observation::Reviewed { opinion, .. } if opinion == "approved" => self.approved += 1,
            Observation::Reviewed { opinion, .. } if opinion == "wants changes" => self.changes_wanted += 1,
            Observation::Reviewed { .. } | Observation::Said { command: None, .. } => self.commented += 1,
            Observation::Merged { .. } => self.merged += 1,
            Observation::Closed { .. } => self.closed += 1,
            Observation::BranchTaken { .. } | Observation::BranchDeleted => self.taken_over += 1,
            Observation::Reverted { .. } => self.reverted += 1,
            _ => {}
        }
    }
}

impl History {
    /// What people let us know, by strategy and template; those of which nobody said anything are left out.
    pub fn feedback(&self) -> Vec<FeedbackRow> {
        let mut rows = BTreeMap::new();
        self.improvements().into_iter().for_each(|improvement| collect(improvement, &mut rows));
        rows.into_values().filter(|row| !row.is_empty()).collect()
    }
}

/// A sign: under which proposal, under which comment there, whose, and which.
type Place<'a> = (u64, Option<u64>, &'a str, Sign);

type Rows = BTreeMap<(String, String), FeedbackRow>;

/// What is said counts for what was shown when it was said.
fn collect(improvement: &Improvement, rows: &mut Rows) {
    let mut shown = None;
    let mut signed: BTreeMap<Place<'_>, (String, String)> = BTreeMap::new();
    for record in &improvement.records {
        match &record.event {
            Event::Judged { attempt, verdict } if verdict.accepted() => {
                shown = Some((attempt.strategy.clone(), attempt.source.clone()));
            }
            Event::Observed { what: Observation::Signed { number, comment, by, sign, taken_back } } => {
                let place = (*number, *comment, by.as_str(), *sign);
                match (&shown, taken_back) {
                    (_, true) => drop(signed.remove(&place)),
                    (Some(shown), false) => drop(signed.insert(place, shown.clone())),
                    (None, false) => {}
                }
            }
            Event::Observed { what } => {
                if let Some((strategy, source)) = &shown {
                    row(rows, strategy, source).count(what);
                }
            }
            _ => {}
        }
    }
    for ((.., sign), (strategy, source)) in signed {
        *row(rows, &strategy, &source).signs.entry(sign).or_default() += 1;
    }
}

fn row<'a>(rows: &'a mut Rows, strategy: &str, source: &str) -> &'a mut FeedbackRow {
    let new = || FeedbackRow { strategy: strategy.into(), source: source.into(), ..FeedbackRow::default() };
    rows.entry((strategy.to_string(), source.to_string())).or_insert_with(new)
}
