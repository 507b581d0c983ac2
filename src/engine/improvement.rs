//! One improvement: its records, and everything folded from them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::stage::Stage;
use crate::model::{
    Action, ActionKey, ActionKind, Analysis, Asking, AttemptSummary, CommitId, Cost, End, Event, Finding, ImprovementId,
    Investigation, Opportunity, PatchId, Record, Sign, TextPart, Verdict, Version,
};
use crate::world::shadow::Waiting;

/// How far an action got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Intended,
    Approved,
    Started,
    Done,
    Failed,
}

/// What the log says about one improvement.
#[derive(Clone, Debug)]
pub struct Improvement {
    pub id: ImprovementId,
    pub stage: Stage,
    pub records: Vec<Record>,
    /// The newest detection.
    pub opportunity: Option<Opportunity>,
    /// Of the current round.
    pub investigation: Option<Investigation>,
    /// The accepted candidate of the current round.
    pub accepted: Option<(AttemptSummary, Verdict)>,
    /// Patches that are never proposed again.
    pub refused: BTreeSet<PatchId>,
    /// Changes that a person turned down or that were reverted, see [`AttemptSummary::change`]: not proposed on any version.
    pub turned_down: BTreeSet<String>,
    pub actions: BTreeMap<ActionKey, (Action, Progress)>,
    /// Our branch with the commit we put there.
    pub branch: Option<(String, CommitId)>,
    /// Where we last left the branch in this round: a person who finds it elsewhere, or nowhere, was there.
    pub left_at: Option<CommitId>,
    /// The attempt that stands there.
    pub shown: Option<AttemptSummary>,
    /// Since when its change stands there, on whatever base.
    pub shown_since: Option<Timestamp>,
    /// Every commit that the branch was at by our doing.
    pub put: BTreeSet<CommitId>,
    /// The base on which that commit was validated.
    pub branched_from: Option<CommitId>,
    /// Commits that a forge made of ours.
    pub made: BTreeSet<CommitId>,
    /// Commits that carried it on the base at some time.
    pub carriers: BTreeSet<CommitId>,
    /// The commit that carries the improvement, once it is on the base, and the base before it.
    pub landed: Option<Landed>,
    /// What was taken off the base last, in whatever round: a person may bring it back.
    pub undone: Option<Undone>,
    /// Inputs that false alarms proved innocent, by tool.
    pub struck: BTreeMap<String, BTreeSet<String>>,
    /// The newest.
    pub analysis: Option<Analysis>,
    /// The newest of each tool.
    pub analyses: BTreeMap<String, Analysis>,
    /// Where it repairs several tools: patches and changes of each by itself that are not proposed again.
    pub refused_parts: BTreeSet<(ImprovementId, PatchId)>,
    /// See `refused_parts`.
    pub turned_down_parts: BTreeSet<(ImprovementId, String)>,
    /// The newest proposal of it on the forge that was not closed.
    pub proposal: Option<OnForge>,
    /// The newest proposal to revert it.
    pub undoing: Option<Undoing>,
    /// Comments on it that were read.
    pub heard: BTreeSet<u64>,
    /// Signs that people have under its proposals, and under comments of ours there: the proposal, the comment, who.
    pub signs: BTreeSet<(u64, Option<u64>, String, Sign)>,
    /// What somebody else changed in texts of its proposals: the digest of what stands there since.
    pub edited: BTreeMap<(u64, TextPart), String>,
    /// How far live runs get it before it lands.
    pub rollout: Option<Rollout>,
    /// Was reverted once: never again without a person.
    pub reverted_before: bool,
    /// A person allowed the current proposal to land.
    pub approved_by: Option<String>,
    /// What they allowed, see [`AttemptSummary::change`].
    pub approved_change: Option<String>,
    /// A person asked for a revert that has not happened yet.
    pub revert_wanted_by: Option<String>,
    pub end_reason: Option<String>,
}

/// A proposal on the forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnForge {
    pub number: u64,
    pub url: String,
    pub at: Timestamp,
}

/// A branch that reverts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undoing {
    pub branch: String,
    pub commit: CommitId,
    pub reverts: CommitId,
    pub proposal: Option<OnForge>,
}

/// The newest step of a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    pub version: Version,
    pub percent: u8,
    /// When its first step began.
    pub since: Timestamp,
}

/// An improvement on the base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landed {
    pub commit: CommitId,
    pub before: CommitId,
    pub at: Timestamp,
    /// The commit with which a person took back its revert.
    pub restored_by: Option<CommitId>,
    /// Commits that carried it there before, and still do.
    pub besides: BTreeSet<CommitId>,
}

/// An improvement that is no longer on the base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    pub landed: Landed,
    /// The revert; none when history was written anew without the commit.
    pub by: Option<CommitId>,
}

impl Landed {
    pub(super) fn new(commit: CommitId, before: CommitId, at: Timestamp) -> Self {
        Landed { commit, before, at, restored_by: None, besides: BTreeSet::new() }
    }
}

impl Improvement {
    /// An improvement without any record.
    pub fn new(id: ImprovementId) -> Self {
        Improvement {
            id,
            stage: Stage::New,
            records: Vec::new(),
            opportunity: None,
            investigation: None,
            accepted: None,
            refused: BTreeSet::new(),
            turned_down: BTreeSet::new(),
            actions: BTreeMap::new(),
            branch: None,
            left_at: None,
            shown: None,
            shown_since: None,
            put: BTreeSet::new(),
            branched_from: None,
            made: BTreeSet::new(),
            carriers: BTreeSet::new(),
            landed: None,
            undone: None,
            struck: BTreeMap::new(),
            analysis: None,
            analyses: BTreeMap::new(),
            refused_parts: BTreeSet::new(),
            turned_down_parts: BTreeSet::new(),
            proposal: None,
            undoing: None,
            heard: BTreeSet::new(),
            signs: BTreeSet::new(),
            edited: BTreeMap::new(),
            rollout: None,
            reverted_before: false,
            approved_by: None,
            approved_change: None,
            revert_wanted_by: None,
            end_reason: None,
        }
    }

    /// Inputs of the last alarm about a tool, if it did not decide and more of them are awaited.
    pub fn undecided(&self, tool: &str) -> usize {
        let waiting = self.analyses.get(tool).filter(|analysis| matches!(analysis.finding, Finding::Waiting { .. }));
        waiting.map_or(0, |analysis| analysis.replays.len())
    }

    /// The tool it is about, the first of several.
    pub fn tool(&self) -> &str {
        self.opportunity.as_ref().map_or("?", |opportunity| &opportunity.tool)
    }

    /// What it is about, one for each tool.
    pub fn members(&self) -> impl Iterator<Item = &Opportunity> {
        self.opportunity.iter().flat_map(Opportunity::members)
    }

    /// Whether it repairs several tools.
    pub fn is_group(&self) -> bool {
        self.opportunity.as_ref().is_some_and(|opportunity| !opportunity.each.is_empty())
    }

    /// Whether it ended before anything was proposed.
    pub fn was_given_up(&self) -> bool {
        let closed = self.stage == Stage::Closed && self.accepted.is_none();
        closed || matches!(self.stage, Stage::Declined | Stage::Unsolved)
    }

    /// Whether this tool is one that it is about.
    pub fn is_about(&self, tool: &str) -> bool {
        self.members().any(|member| member.tool == tool)
    }

    /// The tools that it is about, for people.
    pub fn tools(&self) -> String {
        match self.members().map(|member| member.tool.as_str()).collect::<Vec<_>>() {
            tools if tools.is_empty() => "?".to_string(),
            tools => tools.join(", "),
        }
    }

    /// Who was asked since it was detected last, oldest first.
    pub fn asked(&self) -> impl Iterator<Item = &Asking> {
        let from = self.records.iter().rposition(|record| matches!(record.event, Event::Detected { .. })).unwrap_or(0);
        self.records[from..].iter().filter_map(|record| match &record.event {
            Event::Asked { asking } => Some(asking),
            _ => None,
        })
    }

    fn since_investigated(&self) -> impl Iterator<Item = &Event> {
        let records = self.records.iter().rev().map(|record| &record.event);
        records.take_while(|event| !matches!(event, Event::Investigated { .. }))
    }

    /// How many candidates of each strategy came to the gate since it was investigated last.
    pub(super) fn visits(&self) -> BTreeMap<String, usize> {
        let mut visits = BTreeMap::new();
        for event in self.since_investigated() {
            if let Event::Judged { attempt, .. } = event {
                *visits.entry(attempt.strategy.clone()).or_default() += 1;
            }
        }
        visits
    }

    /// Whether a model was asked since it was investigated last.
    pub fn was_asked(&self) -> bool {
        self.since_investigated().any(|event| matches!(event, Event::Asked { asking } if asking.strategy == "model"))
    }

    /// Whether an agent was run since it was investigated last, and all that came of it was judged.
    pub fn was_run(&self) -> bool {
        let ran = |event: &Event| match event {
            Event::Asked { asking } => asking.strategy == "agent" && !asking.outcome.starts_with("proposes"),
            Event::Judged { attempt, .. } => attempt.strategy == "agent",
            _ => false,
        };
        self.since_investigated().any(ran)
    }

    /// What that cost.
    pub fn cost(&self) -> Cost {
        self.asked().map(|asking| asking.cost).sum()
    }

    /// What live runs are repeated on while it waits on its branch: one tool's.
    pub fn waiting(&self) -> Option<Waiting> {
        let (attempt, _) = self.accepted.as_ref().filter(|_| self.stage == Stage::Proposed && !self.is_group())?;
        Some(Waiting { tool: self.tool().to_string(), id: self.id.clone(), patch: attempt.patch.clone() })
    }

    /// The version on which the failure was detected.
    pub fn version(&self) -> Option<&Version> {
        self.opportunity.as_ref().map(|opportunity| &opportunity.version)
    }

    /// An action that was begun and of which nobody knows how it ended, or that was intended and never begun.
    pub fn unfinished(&self) -> Option<&Action> {
        self.all_unfinished().next()
    }

    /// All of them.
    pub fn all_unfinished(&self) -> impl Iterator<Item = &Action> {
        self.actions.values().filter(|(_, progress)| is_open(*progress)).map(|(action, _)| action)
    }

    /// Whether this needs not be intended: it is done, or will be.
    pub(super) fn is_settled(&self, kind: &ActionKind) -> bool {
        let known = self.actions.get(&Action::new(kind.clone()).key);
        known.is_some_and(|(_, progress)| *progress == Progress::Done || is_open(*progress))
    }

    /// The action that puts our branch where it belongs, as it was last intended.
    pub fn branch_action(&self) -> Option<&ActionKind> {
        let (branch, commit) = self.branch.as_ref()?;
        let ours = |kind: &&ActionKind| matches!(kind, ActionKind::PutBranch { branch: name, commit: at, .. } if name == branch && at == commit);
        self.actions.values().map(|(action, _)| &action.kind).find(ours)
    }

    /// Whether the forge was to land it by itself, by our wish: we asked for that, and it was not taken back in time.
    pub fn asked_to_merge(&self) -> bool {
        let newest = self.records.iter().rev().find_map(|record| match &record.event {
            Event::Done { key, .. } => match self.actions.get(key).map(|(action, _)| &action.kind) {
                Some(ActionKind::MergeWhenReady { .. }) => Some(true),
                Some(ActionKind::MergeNot { .. }) => Some(false),
                _ => None,
            },
            _ => None,
        });
        newest == Some(true)
    }

    /// Reverts done by us, with their times.
    pub fn reverts(&self) -> impl Iterator<Item = Timestamp> + '_ {
        self.records
            .iter()
            .filter(|record| matches!(record.event, Event::Ended { how: End::Reverted { .. } }))
            .map(|record| record.at)
    }
}

/// What is known of an improvement, with what became of the groups that its repair was in: what was refused or turned down there is not
/// proposed by itself either, and after a revert a person decides.
pub(super) fn known<'a>(all: &'a BTreeMap<ImprovementId, Improvement>, id: &ImprovementId) -> Cow<'a, Improvement> {
    let mut known = all.get(id).map_or_else(|| Cow::Owned(Improvement::new(id.clone())), Cow::Borrowed);
    let others = all.values().filter(|other| other.id != *id && other.is_group());
    for group in others.filter(|other| other.members().any(|member| member.id == *id)) {
        let own = known.to_mut();
        own.refused.extend(group.refused.iter().cloned());
        own.refused.extend(group.refused_parts.iter().filter(|(part, _)| part == id).map(|(_, patch)| patch.clone()));
        own.turned_down.extend(group.turned_down_parts.iter().filter(|(part, _)| part == id).map(|(_, change)| change.clone()));
        own.reverted_before |= group.reverted_before;
    }
    known
}

pub(super) fn is_open(progress: Progress) -> bool {
    matches!(progress, Progress::Intended | Progress::Approved | Progress::Started)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Observation;

    /// Found by simulation: what a pause had left open of one round was carried out in the next one.
    #[test]
    fn what_was_left_open_is_not_carried_out_after_something_else_was_decided() {
        let mut improvement = Improvement::new(ImprovementId("i".into()));
        let action = Action::new(ActionKind::Note { commit: CommitId("c".into()), text: "kept".into() });
        improvement.actions.insert(action.key.clone(), (action.clone(), Progress::Started));
        improvement.stage = Stage::Watching;
        assert_eq!(improvement.unfinished(), Some(&action));
        let event = Event::Observed { what: Observation::Gone { tip: CommitId("t".into()) } };
        improvement.apply(Record { at: Timestamp::UNIX_EPOCH, event }).expect("can follow");
        assert_eq!(improvement.unfinished(), None);
    }

    /// Found by simulation: an attempt that was replaced meanwhile could not be merged, and nobody watched it.
    #[test]
    fn an_earlier_attempt_that_a_person_merges_is_compared_with_its_own_base() {
        let mut improvement = Improvement::new(ImprovementId("i".into()));
        (improvement.stage, improvement.branched_from) = (Stage::Detected, Some(CommitId("base".into())));
        let merged = CommitId("merged".into());
        let event = Event::Observed { what: Observation::Merged { commit: merged.clone() } };
        improvement.apply(Record { at: Timestamp::UNIX_EPOCH, event }).expect("can follow");
        let landed = Landed::new(merged, CommitId("base".into()), Timestamp::UNIX_EPOCH);
        assert_eq!((improvement.stage, improvement.landed), (Stage::Watching, Some(landed)));
    }

    /// What a person saw on the branch when they took it is what they turned down, whatever was accepted since.
    #[test]
    fn what_stood_on_the_branch_is_turned_down_with_what_was_accepted_since() {
        let attempt = |name: &str| AttemptSummary {
            patch: PatchId(name.into()),
            strategy: "template".into(),
            source: "s".into(),
            title: name.into(),
            trust: crate::model::Trust::Land,
            diff: format!("+{name}\n"),
            tried: 1,
            cost: None,
            prose: None,
            beside: Vec::new(),
            parts: Vec::new(),
        };
        let (first, second) = (attempt("first"), attempt("second"));
        let verdict = Verdict {
            judgement: crate::model::Judgement::Accepted,
            level: crate::model::Level::Land,
            doubts: Vec::new(),
            plan: String::new(),
            checks: Vec::new(),
        };
        let mut improvement = Improvement::new(ImprovementId("i".into()));
        improvement.stage = Stage::Accepted;
        (improvement.shown, improvement.accepted) = (Some(first.clone()), Some((second.clone(), verdict)));
        let event = Event::Ended { how: End::Closed { reason: "a person committed on it".into() } };
        improvement.apply(Record { at: Timestamp::UNIX_EPOCH, event }).expect("can follow");
        assert_eq!(improvement.turned_down, BTreeSet::from([first.change(), second.change()]));
        assert_eq!(improvement.refused, BTreeSet::from([first.patch, second.patch]));
    }
}
