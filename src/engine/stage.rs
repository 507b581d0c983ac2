//! Where an improvement stands, as a fold over its events. One exhaustive function, used at run time and for recovery.

use std::fmt;

use serde::Serialize;

use crate::model::{Action, ActionKind, Conclusion, End, Event, Observation};

/// Where an improvement stands. Never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// No event yet.
    New,
    Detected,
    /// Found improvable; candidates are next.
    Investigated,
    /// No patch can help, the investigation says why.
    Declined,
    /// No strategy had a candidate that passed the gate.
    Unsolved,
    /// A candidate was accepted; its branch is next.
    Accepted,
    /// The branch exists and waits for landing.
    Proposed,
    Landing,
    Watching,
    Reverting,
    Kept,
    Reverted,
    Inconclusive,
    /// A person is needed.
    Stuck,
    /// A person took it over or turned it down.
    Closed,
}

impl Stage {
    /// Nothing more happens by itself, until the failure is detected on another version.
    pub fn is_end(self) -> bool {
        use Stage::{Closed, Declined, Inconclusive, Kept, Reverted, Stuck, Unsolved};
        matches!(self, Declined | Unsolved | Kept | Reverted | Inconclusive | Stuck | Closed)
    }

    /// The stage for people.
    pub fn word(self) -> &'static str {
        match self {
            Stage::New => "new",
            Stage::Detected => "detected",
            Stage::Investigated => "investigated",
            Stage::Declined => "declined",
            Stage::Unsolved => "unsolved",
            Stage::Accepted => "accepted",
            Stage::Proposed => "proposed",
            Stage::Landing => "landing",
            Stage::Watching => "watching",
            Stage::Reverting => "reverting",
            Stage::Kept => "kept",
            Stage::Reverted => "reverted",
            Stage::Inconclusive => "inconclusive",
            Stage::Stuck => "stuck",
            Stage::Closed => "closed",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// An event that cannot happen in a stage: the log was written by something else, or there is a bug.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{event}` cannot follow on stage `{stage}`")]
pub struct IllegalEvent {
    pub stage: Stage,
    pub event: &'static str,
}

/// The stage after `event`.
///
/// # Errors
/// [`IllegalEvent`] when the event cannot happen in this stage.
pub fn next(stage: Stage, event: &Event) -> Result<Stage, IllegalEvent> {
    let illegal = || IllegalEvent { stage, event: event.name() };
    match (stage, event) {
        // A failure that comes back on another version begins a new round; a moved base begins it early.
        (Stage::New, Event::Detected { .. }) => Ok(Stage::Detected),
        (ended, Event::Detected { .. }) if ended.is_end() => Ok(Stage::Detected),
        (Stage::Detected, Event::Investigated { investigation }) => Ok(match investigation.conclusion {
            Conclusion::Improvable => Stage::Investigated,
            _ => Stage::Declined,
        }),
        // What was paid for is counted, whatever became of it meanwhile.
        (stage, Event::Asked { .. }) if stage != Stage::New => Ok(stage),
        (Stage::Investigated, Event::Judged { verdict, .. }) if verdict.accepted() => Ok(Stage::Accepted),
        (Stage::Investigated, Event::Judged { .. }) => Ok(Stage::Investigated),
        (Stage::Investigated, Event::NoCandidate { .. }) => Ok(Stage::Unsolved),
        (stage, Event::Intended { action }) => intended(stage, action).ok_or_else(illegal),
        (stage, Event::Approved { .. } | Event::Started { .. }) if stage != Stage::New => Ok(stage),
        (Stage::Accepted, Event::Done { .. }) => Ok(Stage::Proposed),
        (Stage::Landing, Event::Done { .. }) => Ok(Stage::Watching),
        // The end follows with its reason; notes are written after an end.
        (Stage::Reverting, Event::Done { .. }) => Ok(Stage::Reverting),
        (ended, Event::Done { .. } | Event::Failed { .. }) if ended.is_end() => Ok(ended),
        // What is done on a forge beside it leaves it where it is.
        (Stage::Proposed | Stage::Watching, Event::Done { .. } | Event::Failed { .. }) => Ok(stage),
        // What failed is tried again from the stage before, or an end follows that says why not.
        (Stage::Accepted, Event::Failed { .. }) => Ok(Stage::Accepted),
        (Stage::Landing, Event::Failed { .. }) => Ok(Stage::Proposed),
        (Stage::Reverting, Event::Failed { .. }) => Ok(Stage::Watching),
        (Stage::Watching, Event::Analysed { .. }) => Ok(Stage::Watching),
        // It stays a proposal, whatever its share of the live runs.
        (Stage::Proposed, Event::RolledOut { .. }) => Ok(Stage::Proposed),
        (stage, Event::Observed { what }) => observed(stage, what).ok_or_else(illegal),
        (stage, Event::Ended { how }) => ended(stage, how).ok_or_else(illegal),
        _ => Err(illegal()),
    }
}

fn intended(stage: Stage, action: &Action) -> Option<Stage> {
    match (&action.kind, stage) {
        (ActionKind::PutBranch { .. }, Stage::Accepted) => Some(Stage::Accepted),
        (ActionKind::Land { .. }, Stage::Proposed) => Some(Stage::Landing),
        (ActionKind::Revert { .. }, Stage::Watching | Stage::Reverting | Stage::Kept | Stage::Inconclusive | Stage::Stuck) => {
            Some(Stage::Reverting)
        }
        (ActionKind::Note { .. }, stage) if stage.is_end() => Some(stage),
        (ActionKind::Open { .. } | ActionKind::MergeWhenReady { .. }, Stage::Proposed | Stage::Reverting) => Some(stage),
        (ActionKind::Merge { reverts: None, .. }, Stage::Proposed) => Some(Stage::Landing),
        (ActionKind::Merge { reverts: Some(_), .. }, Stage::Reverting) => Some(stage),
        (
            ActionKind::ProposeRevert { .. },
            Stage::Watching | Stage::Reverting | Stage::Kept | Stage::Inconclusive | Stage::Stuck,
        ) => Some(Stage::Reverting),
        (ActionKind::Close { .. }, stage) if stage.is_end() || stage == Stage::Proposed => Some(stage),
        (ActionKind::MergeNot { .. }, Stage::Proposed | Stage::Watching | Stage::Reverting) => Some(stage),
        (ActionKind::MergeNot { .. }, stage) if stage.is_end() => Some(stage),
        (ActionKind::Report { .. }, stage) if stage.is_end() || stage == Stage::Watching => Some(stage),
        _ => None,
    }
}

fn observed(stage: Stage, what: &Observation) -> Option<Stage> {
    match (what, stage) {
        // A person may merge an earlier attempt whatever became of the work since, and what was reverted or landed before once more. Each
        // time a watch begins.
        (Observation::Merged { .. } | Observation::Restored { .. }, stage) if stage != Stage::New => Some(Stage::Watching),
        (
            Observation::Reverted { .. } | Observation::Gone { .. },
            Stage::Watching | Stage::Reverting | Stage::Kept | Stage::Inconclusive | Stage::Stuck,
        ) => Some(Stage::Reverted),
        (Observation::BaseMoved { .. }, Stage::Investigated | Stage::Accepted | Stage::Proposed | Stage::Landing) => {
            Some(Stage::Detected)
        }
        (Observation::BranchTaken { .. } | Observation::BranchDeleted, Stage::Accepted | Stage::Proposed | Stage::Landing) => {
            Some(stage)
        }
        (Observation::Closed { .. }, Stage::Proposed | Stage::Landing | Stage::Reverting) => Some(stage),
        (
            Observation::Approved { .. }
            | Observation::RevertRequested { .. }
            | Observation::Said { .. }
            | Observation::Reviewed { .. }
            | Observation::Signed { .. }
            | Observation::Edited { .. },
            stage,
        ) if stage != Stage::New => Some(stage),
        _ => None,
    }
}

fn ended(stage: Stage, how: &End) -> Option<Stage> {
    match (how, stage) {
        (End::Kept, Stage::Watching) => Some(Stage::Kept),
        (End::Inconclusive { .. }, Stage::Watching) => Some(Stage::Inconclusive),
        (End::Reverted { .. }, Stage::Reverting) => Some(Stage::Reverted),
        (End::Stuck { .. }, stage) if !stage.is_end() && stage != Stage::New => Some(Stage::Stuck),
        (End::Closed { .. }, Stage::Accepted | Stage::Proposed | Stage::Landing | Stage::Detected | Stage::Investigated) => {
            Some(Stage::Closed)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ActionKey, CommitId, Made};

    const ALL: [Stage; 15] = [
        Stage::New,
        Stage::Detected,
        Stage::Investigated,
        Stage::Declined,
        Stage::Unsolved,
        Stage::Accepted,
        Stage::Proposed,
        Stage::Landing,
        Stage::Watching,
        Stage::Reverting,
        Stage::Kept,
        Stage::Reverted,
        Stage::Inconclusive,
        Stage::Stuck,
        Stage::Closed,
    ];

    fn commit() -> CommitId {
        CommitId("c".into())
    }

    #[test]
    fn nothing_lands_that_was_not_proposed_first() {
        let land =
            Event::Intended { action: Action::new(ActionKind::Land { base: "main".into(), expect: commit(), commit: commit() }) };
        let allowed: Vec<Stage> = ALL.into_iter().filter(|stage| next(*stage, &land).is_ok()).collect();
        assert_eq!(allowed, [Stage::Proposed]);
    }

    #[test]
    fn a_revert_is_never_reverted() {
        let kind = ActionKind::Revert { base: "main".into(), expect: commit(), commit: commit(), reverts: commit() };
        let revert = Event::Intended { action: Action::new(kind) };
        // While it is under way it is tried again.
        for stage in [Stage::Reverted, Stage::Closed, Stage::Proposed] {
            assert!(next(stage, &revert).is_err(), "{stage}");
        }
    }

    #[test]
    fn whatever_a_person_merges_is_watched_and_only_what_was_ever_begun() {
        let merged = Observation::Merged { commit: commit() };
        for what in [merged, Observation::Restored { commit: commit(), by: commit() }] {
            let merged = Event::Observed { what };
            for stage in ALL.into_iter().filter(|stage| *stage != Stage::New) {
                assert_eq!(next(stage, &merged), Ok(Stage::Watching), "{stage}");
            }
            assert!(next(Stage::New, &merged).is_err());
        }
    }

    #[test]
    fn every_open_stage_can_end_with_a_person_being_needed() {
        let stuck = Event::Ended { how: End::Stuck { reason: "x".into() } };
        for stage in ALL.into_iter().filter(|stage| !stage.is_end() && *stage != Stage::New) {
            assert_eq!(next(stage, &stuck), Ok(Stage::Stuck));
        }
    }

    #[test]
    fn an_action_that_was_done_moves_on_and_one_that_failed_goes_back() {
        let key = ActionKey("k".into());
        let (done, failed) = (Event::Done { key: key.clone(), made: Made::AsSaid }, Event::Failed { key, error: "x".into() });
        assert_eq!(next(Stage::Landing, &done), Ok(Stage::Watching));
        assert_eq!(next(Stage::Landing, &failed), Ok(Stage::Proposed));
        assert_eq!(next(Stage::Reverting, &failed), Ok(Stage::Watching));
        assert_eq!(next(Stage::Kept, &done), Ok(Stage::Kept));
        assert!(next(Stage::Detected, &done).is_err());
    }
}
