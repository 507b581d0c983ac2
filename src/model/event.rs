//! Events: the facts that the log keeps, one JSON line each. Stages are folded from them, never stored.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::digest;
use super::{
    Action, ActionKey, Analysis, Asking, Candidate, CommitId, Cost, ImprovementId, Investigation, Made, Opportunity, PatchId,
    RolloutEvidence, Sign, TextPart, Trust, Verdict, Version,
};

/// One line of an improvement's file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub at: Timestamp,
    #[serde(flatten)]
    pub event: Event,
}

/// What is remembered of a candidate: enough to show it, and never to propose it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptSummary {
    pub patch: PatchId,
    pub strategy: String,
    pub source: String,
    pub title: String,
    pub trust: Trust,
    /// Unified diff of the tool's files, cut at a limit.
    pub diff: String,
    /// Candidates looked at before this one was chosen.
    pub tried: u64,
    /// What asking others about this failure had cost when it was chosen; `None` when nobody was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// What a model wrote of it for people: words without figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prose: Option<String>,
    /// What it was compared with, where other strategies were asked too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<Rival>,
    /// What it does to each tool, where it repairs several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

/// A candidate that was put beside the one that was chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rival {
    pub strategy: String,
    pub source: String,
    pub title: String,
    pub patch: PatchId,
}

impl Rival {
    /// This one.
    pub fn of(candidate: &Candidate) -> Rival {
        let Candidate { strategy, source, title, patch, .. } = candidate;
        Rival { strategy: strategy.clone(), source: source.clone(), title: title.clone(), patch: patch.id() }
    }
}

/// What a patch of several tools does to one of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The improvement that it would be by itself.
    pub id: ImprovementId,
    pub patch: PatchId,
    /// See [`AttemptSummary::change`].
    pub change: String,
}

impl AttemptSummary {
    /// Identity of the change whatever surrounds it: the added and removed lines by file, so that it is known again on another
    /// version of the tool.
    pub fn change(&self) -> String {
        let changed: Vec<&[u8]> = self.diff.lines().filter(|line| line.starts_with(['+', '-'])).map(str::as_bytes).collect();
        digest(&changed)
    }
}

/// Who allowed an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Approver {
    /// The configuration's rules; the text names the rule.
    Policy(String),
    Person(String),
}

/// What somebody else did to our work, as seen in git.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "observation", rename_all = "snake_case")]
pub enum Observation {
    /// The proposed commit is on the base, and we did not put it there.
    Merged { commit: CommitId },
    /// A person took back, with `by`, the revert of a commit that had landed: it is there again.
    Restored { commit: CommitId, by: CommitId },
    /// A person reverted the landed commit.
    Reverted { by: CommitId },
    /// The landed commit is no longer in the base's history, whose tip is `tip`.
    Gone { tip: CommitId },
    /// A person committed on the branch: it is theirs now.
    BranchTaken { head: CommitId },
    /// A person deleted the branch.
    BranchDeleted,
    /// The base moved past what the proposal was validated on.
    BaseMoved { to: CommitId },
    /// A person allowed landing although policy waits.
    Approved { by: String },
    /// A person asked for the landed commit to be reverted.
    RevertRequested { by: String },
    /// A person closed the proposal on the forge without landing it.
    Closed { number: u64 },
    /// Somebody said something on the proposal. What it asks for is recorded beside it.
    Said {
        comment: u64,
        by: String,
        at: Timestamp,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        command: Option<String>,
    },
    /// A person judged the proposal.
    Reviewed { by: String, opinion: String, at: Timestamp },
    /// A person put a sign under the proposal, or under a comment of ours there; or took it away again.
    Signed {
        number: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comment: Option<u64>,
        by: String,
        sign: Sign,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        taken_back: bool,
    },
    /// Somebody else than we changed a text of the proposal; `digest` is of what stands there since.
    Edited { number: u64, part: TextPart, digest: String },
}

impl fmt::Display for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Observation::Merged { commit } => write!(f, "it is on the base as {}", commit.short()),
            Observation::Restored { commit, by } => {
                write!(f, "{} took back the revert of {}", by.short(), commit.short())
            }
            Observation::Reverted { by } => write!(f, "a person reverted it in {}", by.short()),
            Observation::Gone { tip } => write!(f, "it is no longer in the history of {}", tip.short()),
            Observation::BranchTaken { head } => write!(f, "a person committed {} on its branch", head.short()),
            Observation::BranchDeleted => f.write_str("a person deleted its branch"),
            Observation::BaseMoved { to } => write!(f, "the base moved to {}", to.short()),
            Observation::Approved { by } => write!(f, "{by} allowed it to land"),
            Observation::RevertRequested { by } => write!(f, "{by} wants it reverted"),
            Observation::Closed { number } => write!(f, "a person closed #{number}"),
            Observation::Said { by, command: Some(command), .. } => write!(f, "{by} said `/fractal {command}`"),
            Observation::Said { by, command: None, .. } => write!(f, "{by} said something"),
            Observation::Reviewed { by, opinion, .. } => write!(f, "{by} looked at it: {opinion}"),
            Observation::Signed { number, comment, by, sign, taken_back } => {
                let verb = if *taken_back { "took away" } else { "put" };
                let place = if comment.is_some() { "a comment of ours on " } else { "" };
                write!(f, "{by} {verb} {sign} under {place}#{number}")
            }
            Observation::Edited { number, part, .. } => write!(f, "somebody changed {part} of #{number}"),
        }
    }
}

/// How an improvement ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum End {
    Kept,
    Reverted {
        by: CommitId,
    },
    /// The watch ended without enough runs.
    Inconclusive {
        reason: String,
    },
    /// A person is needed.
    Stuck {
        reason: String,
    },
    /// A person closed it.
    Closed {
        reason: String,
    },
}

/// One fact about an improvement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    Detected {
        opportunity: Opportunity,
    },
    Investigated {
        investigation: Investigation,
    },
    /// A model was asked, or an agent was run.
    Asked {
        asking: Asking,
    },
    /// A candidate went through the gate.
    Judged {
        attempt: AttemptSummary,
        verdict: Verdict,
    },
    /// Nothing that any strategy proposed came through.
    NoCandidate {
        tried: u64,
        reason: String,
    },
    Intended {
        action: Action,
    },
    Approved {
        key: ActionKey,
        by: Approver,
    },
    Started {
        key: ActionKey,
    },
    Done {
        key: ActionKey,
        #[serde(default, skip_serializing_if = "Made::is_as_said")]
        made: Made,
    },
    Failed {
        key: ActionKey,
        error: String,
    },
    Observed {
        what: Observation,
    },
    Analysed {
        analysis: Analysis,
        /// Which of several tools it is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tool: Option<String>,
    },
    /// From now on so many per cent of the live runs get the proposed version: 100 when it lands, 0 when it is stopped.
    RolledOut {
        version: Version,
        percent: u8,
        /// Of the steps before.
        evidence: RolloutEvidence,
    },
    Ended {
        how: End,
    },
}

impl Event {
    /// Whether it says what a person wants: that counts whoever worked on the improvement meanwhile.
    pub fn is_wish(&self) -> bool {
        matches!(self, Event::Observed { what: Observation::Approved { .. } | Observation::RevertRequested { .. } })
    }

    /// The event's name as written in the log.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Detected { .. } => "detected",
            Event::Investigated { .. } => "investigated",
            Event::Asked { .. } => "asked",
            Event::Judged { .. } => "judged",
            Event::NoCandidate { .. } => "no_candidate",
            Event::Intended { .. } => "intended",
            Event::Approved { .. } => "approved",
            Event::Started { .. } => "started",
            Event::Done { .. } => "done",
            Event::Failed { .. } => "failed",
            Event::Observed { .. } => "observed",
            Event::Analysed { .. } => "analysed",
            Event::RolledOut { .. } => "rolled_out",
            Event::Ended { .. } => "ended",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written before an improvement could be of several tools.
    const OLD: [&str; 3] = [
        r#"{"at":"2026-01-02T03:04:05Z","event":"detected","opportunity":{"id":"i","tool":"t","version":"v","counts":{"runs":9,"failures":3},"failure":{"fingerprint":"f1-00","class":"c","message":"m","frames":[]},"failures":3,"distinct_inputs":3,"signals":[],"priority":"medium","score":1.0,"last_seen":"2026-01-02T03:04:05Z"}}"#,
        r#"{"at":"2026-01-02T03:04:05Z","event":"investigated","investigation":{"commit":"k","failure":{"fingerprint":"f1-00","class":"c","message":"m","frames":[]},"reproductions":[],"locations":[],"culprit":null,"suite":null,"remarks":[],"conclusion":"improvable"}}"#,
        r#"{"at":"2026-01-02T03:04:05Z","event":"analysed","analysis":{"before":{"runs":9,"failures":3},"after":{"runs":9,"failures":0},"log_bayes_factor":0.0,"replays":[],"finding":"good"}}"#,
    ];

    /// Written before anybody else was asked for patches, and what is written of that.
    const ASKED: [&str; 2] = [
        r#"{"at":"2026-01-02T03:04:05Z","event":"judged","attempt":{"patch":"p","strategy":"template","source":"s","title":"t","trust":"land","diff":"d","tried":1},"verdict":{"judgement":"accepted","level":"land","checks":[]}}"#,
        r#"{"at":"2026-01-02T03:04:05Z","event":"asked","asking":{"strategy":"model","by":"m","prompt":"repair-1","question":"q","cost":{"attempts":1,"input_tokens":2,"output_tokens":3,"micro_usd":4,"milliseconds":5},"outcome":"abstains"}}"#,
    ];

    #[test]
    fn what_was_recorded_before_others_were_asked_reads_and_is_written_as_ever() {
        for line in ASKED {
            let record: Record = serde_json::from_str(line).expect("reads");
            assert_eq!(serde_json::to_string(&record).expect("is written"), line);
        }
    }

    #[test]
    fn what_was_recorded_of_one_tool_reads_and_is_written_as_ever() {
        for line in OLD {
            let record: Record = serde_json::from_str(line).expect("reads");
            assert_eq!(serde_json::to_string(&record).expect("is written"), line);
        }
    }
}
