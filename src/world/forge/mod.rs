//! Where proposals are looked at, discussed and landed: the trait, its plain data, and errors told apart by what a caller does about
//! them. Nothing in here is any one forge's.
//!
//! A proposal is a branch of the repository that asks to be landed on a base branch. Whatever changes something is sent once: when it
//! is not known whether it happened, the forge is asked, and when that does not tell, the error is [`ForgeError::Unclear`].
//! Deliberately not here: when to do what, texts for people, pushes.

pub mod ci;
pub mod github;
mod needs;
mod shared;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
pub use needs::{Need, needs};
pub use shared::Shared;

use self::ci::{Artifact, CiRun};
use crate::config::{ForgeConfig, ForgeKind};
use crate::model::CommitId;
use crate::model::Sign;
pub use crate::model::Way;
use crate::world::clock::Clock;

/// A place with proposals. All of it blocks; reads are tried again within limits, writes are not.
pub trait Forge: Send {
    /// For people: `github.com/ana/tools`.
    fn place(&self) -> String;

    /// Who we are there, and what the token may do.
    ///
    /// # Errors
    /// See [`ForgeError`]; so below.
    fn access(&self) -> Result<Access, ForgeError>;

    /// What landing on a base branch demands, and the ways in which it may be done.
    fn rules(&self, base: &str) -> Result<Rules, ForgeError>;

    /// Open proposals onto a base branch from branches of this repository, newest first. Whether they can be landed is not asked.
    fn proposals(&self, base: &str) -> Result<Vec<Proposal>, ForgeError>;

    /// A proposal as it is now.
    fn proposal(&self, number: u64) -> Result<Proposal, ForgeError>;

    /// The newest proposal from exactly this branch of this repository, whatever became of it.
    fn proposal_from(&self, branch: &str) -> Result<Option<Proposal>, ForgeError>;

    /// Opens a proposal; one that is open from this branch already is given back as it is.
    fn open(&self, draft: &Draft) -> Result<Proposal, ForgeError>;

    /// Changes title, text or draft state; what is `None` stays.
    fn update(&self, number: u64, change: &Change) -> Result<Proposal, ForgeError>;

    /// Closes a proposal without landing it. One that is closed stays so.
    fn close(&self, number: u64) -> Result<(), ForgeError>;

    /// Lands a proposal whose head is `head` and nothing else. The commit on the base.
    fn merge(&self, number: u64, head: &CommitId, way: Way, message: &Message) -> Result<CommitId, ForgeError>;

    /// Has the forge land it as soon as its own rules allow, in its queue where the base has one.
    fn merge_when_ready(&self, number: u64, head: &CommitId, way: Way, message: &Message) -> Result<Later, ForgeError>;

    /// What [`Forge::merge_when_ready`] asked for is not wanted any more.
    fn merge_not(&self, number: u64) -> Result<(), ForgeError>;

    /// What checks say of a commit: the newest of each name.
    fn checks(&self, commit: &CommitId) -> Result<Vec<Check>, ForgeError>;

    /// Says something of a commit as a check of ours; the one of that name is replaced.
    fn report(&self, commit: &CommitId, report: &Report) -> Result<(), ForgeError>;

    /// Comments on one proposal, or on all; those that changed since a time, or all. Oldest change first.
    fn comments(&self, on: Option<u64>, since: Option<Timestamp>) -> Result<Vec<Comment>, ForgeError>;

    /// Says something on a proposal. What we said under this key before is replaced.
    fn say(&self, number: u64, key: &str, text: &str) -> Result<Comment, ForgeError>;

    /// Answers a comment by a sign.
    fn react(&self, comment: u64, reaction: Reaction) -> Result<(), ForgeError>;

    /// How many signs there are under a proposal, and under each comment of ours on it.
    fn signs(&self, _on: u64) -> Result<Vec<Signs>, ForgeError> {
        Ok(Vec::new())
    }

    /// Which people put which sign under a proposal, or under a comment on it: the first so many, without programs.
    fn signed(&self, _on: u64, _comment: Option<u64>) -> Result<BTreeSet<(String, Sign)>, ForgeError> {
        Ok(BTreeSet::new())
    }

    /// What people judged, oldest first.
    fn reviews(&self, number: u64) -> Result<Vec<Review>, ForgeError>;

    /// What somebody may do here; [`Level::None`] for strangers.
    fn level(&self, person: &str) -> Result<Level, ForgeError>;

    /// Puts labels on a proposal; they are made where the forge does not know them.
    fn label(&self, number: u64, labels: &BTreeSet<String>) -> Result<(), ForgeError>;

    /// Takes a label off a proposal, if it is there.
    fn unlabel(&self, number: u64, label: &str) -> Result<(), ForgeError>;

    /// The board of that key: a text of ours where everybody sees it, found by a mark in it and by our being its author. Forges without a
    /// place for one have none.
    fn board(&self, _key: &str) -> Result<Option<Board>, ForgeError> {
        Ok(None)
    }

    /// Says something on the board, which is made when there is none. One that somebody has closed is left alone: `None`.
    fn post(&self, _key: &str, _title: &str, _text: &str) -> Result<Option<Board>, ForgeError> {
        Ok(None)
    }

    /// Where a branch is.
    fn branch(&self, name: &str) -> Result<Option<CommitId>, ForgeError>;

    /// Has the forge make a commit of files on top of another one, in its own name where it signs such commits. No branch moves.
    fn commit(&self, parent: &CommitId, files: &Files, message: &str) -> Result<CommitId, ForgeError>;

    /// Moves a branch that is where `from` says; `None`: absent.
    fn move_branch(&self, name: &str, from: Option<&CommitId>, to: Option<&CommitId>) -> Result<(), ForgeError>;

    /// Runs of what the forge runs by itself that came into being at about this time or later, finished or not: the newest so many, oldest
    /// first. A forge that runs nothing has none, and so below.
    fn runs(&self, _since: Timestamp) -> Result<Vec<CiRun>, ForgeError> {
        Ok(Vec::new())
    }

    /// The jobs of a run's attempt.
    fn jobs(&self, _run: &CiRun) -> Result<Vec<CiRun>, ForgeError> {
        Ok(Vec::new())
    }

    /// What runs left behind under a name and is still there, from after a number on; the newest so many, oldest first.
    fn artifacts(&self, _name: &str, _after: u64) -> Result<Vec<Artifact>, ForgeError> {
        Ok(Vec::new())
    }

    /// The packed bytes of an artifact. Bounded: what is larger is refused.
    fn content(&self, artifact: &Artifact) -> Result<Vec<u8>, ForgeError> {
        Err(ForgeError::Gone(format!("artifact {}", artifact.number)))
    }
}

/// The forge of a configuration; none where git alone is one. Nothing is asked yet.
///
/// # Errors
/// When a setting or a token is missing.
pub fn open(config: &ForgeConfig, clock: Clock) -> Result<Option<Box<dyn Forge>>, ForgeError> {
    match config.kind {
        ForgeKind::Local => Ok(None),
        ForgeKind::GitHub => Ok(Some(Box::new(github::GitHub::open(config, clock)?))),
    }
}

/// Files of a commit by path; `None`: removed.
pub type Files = BTreeMap<String, Option<File>>;

/// A file of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub content: Vec<u8>,
    /// A program.
    pub executable: bool,
}

/// Why a forge did not do something, by what the caller does about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForgeError {
    /// It understood and will not: asking again is of no use until something else has changed.
    #[error("refused: {0}")]
    Refused(String),
    /// It is not there, or not for us.
    #[error("not there: {0}")]
    Gone(String),
    /// Something is not where the caller saw it: look again, decide again.
    #[error("has moved: {0}")]
    Moved(String),
    /// Nothing has happened, and nothing will before then.
    #[error("no more requests until {until}: {why}")]
    Limited { until: Timestamp, why: String },
    /// Nothing has happened: another time.
    #[error("not reached: {0}")]
    Unreachable(String),
    /// The token may not. A person has to do something.
    #[error("not permitted: {0}")]
    NotPermitted(String),
    /// It may or may not have happened: ask before doing it again.
    #[error("it is not known whether it happened: {0}")]
    Unclear(String),
    /// What is asked for here is wrong: configuration, a key, a name.
    #[error("{0}")]
    Setup(String),
}

/// Whether something may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum May {
    Yes,
    No,
    /// Only trying tells.
    Unknown,
}

/// Who we are, and what we may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Our name as an author of comments.
    pub me: String,
    pub push: May,
    pub propose: May,
    pub comment: May,
    /// Report checks with texts; else short statuses.
    pub report: May,
    /// What we push starts the repository's checks.
    pub starts_checks: May,
    /// Change what runs as a check: workflows.
    pub change_workflows: May,
    /// The forge signs what [`Forge::commit`] makes.
    pub signs: May,
}

/// What landing on a branch demands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Names of checks that must have passed.
    pub checks: BTreeSet<String>,
    /// A proposal must contain the newest commit of the base.
    pub up_to_date: bool,
    /// Approvals by people.
    pub approvals: u32,
    /// Commits must be signed.
    pub signed: bool,
    /// No merge commits.
    pub linear: bool,
    /// Proposals land through the forge's queue.
    pub queue: bool,
    /// In which ways it may be landed.
    pub ways: BTreeSet<Way>,
    /// The forge lands by itself what is ready, if asked.
    pub automatic: bool,
}

/// What a commit on the base says, where the way makes one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    pub title: String,
    pub text: String,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Later {
    /// The forge lands it when its rules allow.
    Automatic,
    /// It is in the forge's queue.
    Queued,
}

/// A branch that asks to be landed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    pub number: u64,
    pub branch: String,
    /// The branch is one of this repository; branches elsewhere may have gone.
    pub from_here: bool,
    pub base: String,
    pub head: CommitId,
    pub title: String,
    pub text: String,
    pub state: State,
    pub draft: bool,
    pub author: String,
    pub labels: BTreeSet<String>,
    pub landable: Landable,
    /// Who asked the forge to land it when it is ready, if anybody did.
    pub automatic: Option<String>,
    pub updated: Timestamp,
    /// For people.
    pub url: String,
}

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    /// Without landing.
    Closed {
        at: Timestamp,
    },
    Landed {
        at: Timestamp,
        commit: Option<CommitId>,
    },
}

/// Whether a proposal can be landed now, as the forge sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landable {
    Yes,
    /// It changes what the base has changed too.
    Conflicts,
    /// It lacks commits of the base that the rules demand.
    Behind,
    /// Checks or approvals that the rules demand are missing.
    Blocked,
    /// Not known yet.
    Unknown,
}

/// A proposal to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    pub branch: String,
    pub base: String,
    pub title: String,
    pub text: String,
    /// Not to be landed yet.
    pub draft: bool,
}

/// What of a proposal is to be different.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    pub title: Option<String>,
    pub text: Option<String>,
}

/// One check of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub name: String,
    /// Who reports it: names are unique within.
    pub source: String,
    pub verdict: Verdict,
    /// One line of what it says, where it says something.
    pub title: String,
}

/// What a check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Queued, running, waiting for a person.
    Pending,
    Passed,
    Failed,
    /// It decided that it has nothing to say.
    Skipped,
    /// Cancelled, out of date, never begun, or not known here: neither good nor bad.
    Void,
}

/// A check of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// `fractal/gate`
    pub name: String,
    pub verdict: Verdict,
    /// One line.
    pub title: String,
    /// Markdown; forges without texts for checks leave it out.
    pub text: String,
}

/// What somebody said on a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    pub id: u64,
    pub on: u64,
    pub author: String,
    /// A program wrote it.
    pub bot: bool,
    /// With the mark of a key.
    pub text: String,
    pub at: Timestamp,
    pub updated: Timestamp,
    /// What we said it under, when it is ours.
    pub key: Option<String>,
    /// Under it, by whomever.
    pub signs: BTreeMap<Sign, u64>,
}

/// Signs in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signs {
    /// `None`: under the proposal itself.
    pub comment: Option<u64>,
    pub counts: BTreeMap<Sign, u64>,
}

/// A text of ours where everybody sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Board {
    pub number: u64,
    /// Without its mark.
    pub text: String,
    /// Nobody has closed it.
    pub open: bool,
}

/// Signs as answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    Seen,
    Done,
    Confused,
}

/// What somebody judged of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    pub author: String,
    pub opinion: Opinion,
    pub text: String,
    /// What was judged.
    pub head: Option<CommitId>,
    pub at: Option<Timestamp>,
}

/// How a review ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opinion {
    Approved,
    ChangesWanted,
    Commented,
    /// Taken back.
    Dismissed,
}

/// What somebody may do in a repository, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    None,
    Read,
    Write,
    Admin,
}
