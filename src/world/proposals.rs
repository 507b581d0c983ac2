//! What is done on a forge. Acts are asked about before they are done and, when nobody knows, afterwards; words may be said again, because
//! what was said under the same name is replaced.

use std::collections::BTreeSet;

use anyhow::Context as _;
use jiff::Timestamp;

use super::effects::{ActionError, Effects};
use super::fault;
use super::forge::{Change, Draft, Forge, ForgeError, Message, Proposal, Reaction, Report, State, Verdict};
use crate::model::{ActionKind, CommitId, Made, ReportVerdict};

/// Something that is said on a forge. Twice is the same as once.
#[derive(Clone, Debug)]
pub enum Word {
    /// Another title or text for a proposal.
    Text {
        number: u64,
        change: Change,
    },
    /// A check of ours.
    Report {
        commit: CommitId,
        report: Report,
    },
    /// A comment on a proposal: the one of that key.
    Say {
        number: u64,
        key: String,
        text: String,
    },
    /// A sign as an answer to a comment.
    React {
        comment: u64,
        reaction: Reaction,
    },
    Label {
        number: u64,
        labels: BTreeSet<String>,
    },
    Unlabel {
        number: u64,
        label: String,
    },
    /// The text of the board of that key; made when there is none, left alone while it is closed.
    Post {
        key: String,
        title: String,
        text: String,
    },
}

impl Effects {
    /// Says something on the forge, unless a switch is set. Whether it was said.
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub fn say(&self, word: &Word) -> Result<bool, ForgeError> {
        let Some(forge) = self.forge.as_ref().filter(|_| !self.holds_back()) else { return Ok(false) };
        let forge = forge.whole();
        match word {
            Word::Text { number, change } => forge.update(*number, change).map(drop),
            Word::Report { commit, report } => forge.report(commit, report),
            Word::Say { number, key, text } => forge.say(*number, key, text).map(drop),
            Word::React { comment, reaction } => forge.react(*comment, *reaction),
            Word::Label { number, labels } => forge.label(*number, labels),
            Word::Unlabel { number, label } => forge.unlabel(*number, label),
            Word::Post { key, title, text } => forge.post(key, title, text).map(drop),
        }?;
        fault::point("something was said on the forge");
        Ok(true)
    }

    fn on_forge<T>(&self, ask: impl FnOnce(&dyn Forge) -> Result<T, ForgeError>) -> anyhow::Result<T> {
        let forge = self.forge.as_ref().context("`[forge] kind` is `local` by now, and something on a forge was begun")?;
        Ok(ask(forge.whole().as_ref())?)
    }

    pub(super) fn probe_forge(&self, kind: &ActionKind) -> anyhow::Result<Option<Made>> {
        match kind {
            ActionKind::Open { branch, commit, .. } => {
                let newest = self.on_forge(|forge| forge.proposal_from(branch))?;
                // One that was closed at once was opened all the same.
                let ours = newest.filter(|one| one.state == State::Open || one.head == *commit);
                Ok(ours.map(|one| Made::Proposal { number: one.number, url: one.url }))
            }
            ActionKind::Merge { number, commit, .. } => self.landed(*number, commit),
            ActionKind::MergeWhenReady { number, commit, .. } => {
                let there = self.on_forge(|forge| forge.proposal(*number))?;
                let asked = there.automatic.is_some() || matches!(there.state, State::Landed { .. });
                Ok((asked && there.head == *commit).then_some(Made::AsSaid))
            }
            ActionKind::MergeNot { number, .. } => {
                let there = self.on_forge(|forge| forge.proposal(*number))?;
                // What has landed already cannot be kept from it.
                let is_over = matches!(there.state, State::Landed { .. });
                Ok((there.automatic.is_none() && !is_over).then_some(Made::AsSaid))
            }
            ActionKind::Close { number, .. } => {
                let there = self.on_forge(|forge| forge.proposal(*number))?;
                Ok((there.state != State::Open).then_some(Made::AsSaid))
            }
            // Said again, it is the same.
            _ => Ok(None),
        }
    }

    /// The commit on the base by which the forge landed this head, with the base brought here.
    fn landed(&self, number: u64, head: &CommitId) -> anyhow::Result<Option<Made>> {
        let there = self.on_forge(|forge| forge.proposal(number))?;
        let Proposal { state: State::Landed { commit, .. }, head: at, .. } = there else { return Ok(None) };
        if at != *head {
            return Ok(None);
        }
        self.meet_base()?;
        Ok(Some(commit.map_or(Made::AsSaid, |commit| Made::Commit { commit })))
    }

    pub(super) fn perform_on_forge(&self, kind: &ActionKind, at: Timestamp) -> Result<(), ActionError> {
        let Some(forge) = &self.forge else {
            return Err(ActionError::Failed(anyhow::anyhow!("`[forge] kind` is `local`, and this is for a forge")));
        };
        if let ActionKind::Merge { base, expect, commit, .. } = kind {
            self.may_advance(base, expect, commit)?;
        }
        self.vouch(at)?;
        let forge = forge.whole();
        match kind {
            ActionKind::Open { branch, base, title, text, draft, .. } => {
                let (branch, base, title, text) = (branch.clone(), base.clone(), title.clone(), text.clone());
                forge.open(&Draft { branch, base, title, text, draft: *draft })?;
            }
            ActionKind::Merge { number, commit, way, title, text, .. } => {
                forge.merge(*number, commit, *way, &Message { title: title.clone(), text: text.clone() })?;
            }
            ActionKind::MergeWhenReady { number, commit, way, title, text, .. } => {
                forge.merge_when_ready(*number, commit, *way, &Message { title: title.clone(), text: text.clone() })?;
            }
            ActionKind::MergeNot { number, .. } => {
                if matches!(forge.proposal(*number)?.state, State::Landed { .. }) {
                    return Err(ActionError::Stale(format!("#{number} has landed already")));
                }
                forge.merge_not(*number)?;
            }
            ActionKind::Close { number, reason } => {
                forge.say(*number, "closed", reason)?;
                forge.close(*number)?;
            }
            ActionKind::Report { commit, name, verdict, title, text } => {
                let (name, title, text) = (name.clone(), title.clone(), text.clone());
                forge.report(commit, &Report { name, verdict: verdict_of(*verdict), title, text })?;
            }
            _ => {}
        }
        fault::point("the forge did something");
        Ok(())
    }
}

fn verdict_of(verdict: ReportVerdict) -> Verdict {
    match verdict {
        ReportVerdict::Pending => Verdict::Pending,
        ReportVerdict::Passed => Verdict::Passed,
        ReportVerdict::Failed => Verdict::Failed,
        ReportVerdict::Neutral => Verdict::Skipped,
    }
}
