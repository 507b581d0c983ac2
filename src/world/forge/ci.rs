//! What a forge runs by itself, as plain data: runs of workflows, their jobs, and files that they leave behind. All of it is told by the
//! forge and by whoever wrote the workflow, so it is text from outside.

use jiff::Timestamp;

/// A run of a workflow, or one job of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CiRun {
    /// Which kind of forge it was, its host, and the repository there: with the numbers below they name the run.
    pub place: [String; 3],
    pub run: u64,
    pub attempt: u64,
    /// None: the whole run.
    pub job: Option<Job>,
    /// What the workflow calls itself.
    pub workflow: Option<String>,
    /// The file that it is written in.
    pub file: Option<String>,
    /// Of the workflow, where it has no name that can be used.
    pub number: Option<u64>,
    /// What was checked out.
    pub commit: String,
    pub branch: Option<String>,
    /// What it was started by.
    pub event: Option<String>,
    pub ending: Ending,
    /// The first step of a job that failed.
    pub failed_step: Option<String>,
    pub started: Timestamp,
    pub ended: Timestamp,
    /// When it came into being, which attempts do not change.
    pub created: Timestamp,
    /// The commit is one of a branch of this repository, and not of somebody's copy.
    pub from_here: bool,
}

impl CiRun {
    /// Whether the configuration means this workflow: by its name, by its file's, or by that file's path.
    pub fn is_called(&self, name: &str) -> bool {
        let file = self.file.as_deref().map(|file| file.split('@').next().unwrap_or_default());
        let last = file.and_then(|file| file.rsplit('/').next());
        [self.workflow.as_deref(), file, last].into_iter().flatten().any(|known| !known.is_empty() && known == name)
    }
}

/// Which job of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub number: u64,
    pub name: Option<String>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    Success,
    Failure,
    TimedOut,
    /// A person or a newer run ended it.
    Cancelled,
    /// The forge could not even begin.
    NotStarted,
    /// It goes on. The forge's word for how.
    Unfinished(String),
    /// It ended in a way that says nothing. The forge's word for it.
    Void(String),
}

/// A packed file that a run left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Those that come later have greater ones.
    pub number: u64,
    /// Packed, in bytes.
    pub size: u64,
    /// What the run had checked out, if that is told.
    pub commit: Option<String>,
    /// As in [`CiRun::from_here`].
    pub from_here: bool,
}
