//! The execution store: what was run, with what, and how it ended. Data, not decisions.

mod sqlite;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
pub use sqlite::SqliteStore;

use crate::model::{Counts, Execution, ExecutionId, Failure, NewExecution, Recording, Version};

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the execution store `{path}` has format {found}, this version of Fractal reads up to {known}")]
    Newer { path: String, found: i64, known: i64 },
    #[error("the execution store `{path}` is damaged: {why}")]
    Damaged { path: String, why: String },
    #[error("no execution `{0}` is recorded")]
    NoSuchExecution(String),
    #[error("`{0}` is the beginning of several executions' ids; write more of it")]
    Ambiguous(String),
    #[error("the execution store: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the execution store: {0}")]
    Io(#[from] std::io::Error),
    #[error("the execution store holds something unreadable: {0}")]
    Json(#[from] serde_json::Error),
}

impl StoreError {
    /// Whether the file is not, or no longer, what SQLite wrote.
    pub fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match self {
            StoreError::Damaged { .. } => true,
            StoreError::Sqlite(error) => matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)),
            _ => false,
        }
    }

    /// Names the file when it is damaged.
    fn of(self, path: &std::path::Path) -> StoreError {
        if !self.is_damage() {
            return self;
        }
        let why = if let StoreError::Sqlite(error) = &self { error.to_string() } else { String::new() };
        StoreError::Damaged { path: path.display().to_string(), why }
    }
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingested {
    pub new: u64,
    /// Were there already.
    pub known: u64,
}

/// Runs of one version of one tool.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionSummary {
    pub tool: String,
    pub version: Version,
    /// Without errors of the environment.
    pub counts: Counts,
    pub first: Timestamp,
    pub last: Timestamp,
}

/// Failures of one kind of one version.
#[derive(Clone, Debug, PartialEq)]
pub struct FailureSummary {
    /// The newest failure of the kind.
    pub failure: Failure,
    pub failures: u64,
    pub recent: u64,
    pub distinct_inputs: u64,
    pub last: Timestamp,
}

/// What a cycle or a maintenance run did, for `status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoopCounters {
    pub cycles_completed: u64,
    pub tools_analysed: u64,
    pub maintenance_runs: u64,
    pub last_check: Option<Timestamp>,
    pub last_maintenance: Option<Timestamp>,
}

/// Which executions to read; newest first.
#[derive(Clone, Debug)]
pub struct Query<'a> {
    pub tool: &'a str,
    pub version: Option<&'a Version>,
    /// Successes, or failures of the fingerprint, or all failures.
    pub which: Which<'a>,
    pub since: Timestamp,
    pub limit: usize,
}

/// See [`Query`].
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    Successes,
    Failures,
    FailuresLike(&'a str),
    /// Everything but errors of the environment.
    Counted,
}

/// Keeps executions.
pub trait Store: Send {
    /// Stores an execution; one that is already there is left as it is.
    fn record(&mut self, new: &NewExecution) -> Result<(), StoreError>;
    /// Stores executions, all or none; those that are already there are left as they are.
    fn record_all(&mut self, batch: &[NewExecution]) -> Result<Ingested, StoreError> {
        for new in batch {
            self.record(new)?;
        }
        Ok(Ingested { new: batch.len() as u64, known: 0 })
    }
    /// Says that a run's answer was wrong; `expected` is what standard output should have been.
    fn mark_bad(&mut self, id: &ExecutionId, expected: Option<&[u8]>) -> Result<(), StoreError>;
    /// The execution whose id begins with `prefix`.
    fn find(&self, prefix: &str) -> Result<Execution, StoreError>;
    /// Every version of every tool that ran since.
    fn versions(&self, since: Timestamp) -> Result<Vec<VersionSummary>, StoreError>;
    /// The kinds of failure of one version since, most frequent first.
    fn failures(
        &self,
        tool: &str,
        version: &Version,
        since: Timestamp,
        recent: Timestamp,
    ) -> Result<Vec<FailureSummary>, StoreError>;
    /// Executions without their bytes.
    fn executions(&self, query: &Query<'_>) -> Result<Vec<Execution>, StoreError>;
    /// An execution with its bytes.
    fn load(&self, execution: Execution) -> Result<Recording, StoreError>;
    /// Adds up what the loop did.
    fn count(&mut self, cycles: u64, tools: u64, maintenance: u64, at: Timestamp) -> Result<(), StoreError>;
    /// What the loop did so far.
    fn counters(&self) -> Result<LoopCounters, StoreError>;
    /// Removes executions that started before, and bytes that nothing needs any more; returns how many executions went.
    fn prune(&mut self, before: Timestamp) -> Result<u64, StoreError>;
}
