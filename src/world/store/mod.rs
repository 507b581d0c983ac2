//! The execution store: what was run, with what, and how it ended. Data, not decisions.

mod postgres;
pub mod row;
mod sqlite;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
pub use postgres::PostgresStore;
use serde::{Deserialize, Serialize};
pub use sqlite::SqliteStore;

use super::claims::Claims;
use super::git::Repo;
use crate::config::Config;
use crate::model::{
    BlobId, Counts, Execution, ExecutionId, Failure, Fingerprint, Hints, NewExecution, Outcome, Recording, Sketch, Version,
};

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the execution store `{path}` has format {found}, this version of Fractal reads up to {known}")]
    Newer { path: String, found: i64, known: i64 },
    #[error("the execution store `{path}` is damaged: {why}")]
    Damaged { path: String, why: String },
    #[error(
        "`{0}` is no address of an execution store; write `postgres://USER@HOST/DATABASE`, or nothing for a file in the git directory"
    )]
    Address(String),
    #[error("the execution store `{address}`: {why}")]
    Unusable { address: String, why: String },
    #[error("the execution store `{address}` cannot be reached: {why}")]
    Away { address: String, why: String },
    #[error("the execution store: others changed it each time we tried")]
    Busy,
    #[error("no execution `{0}` is recorded")]
    NoSuchExecution(String),
    #[error("`{0}` is the beginning of several executions' ids; write more of it")]
    Ambiguous(String),
    #[error("the execution store: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the execution store: {}", postgres::chain(.0))]
    Postgres(#[from] tokio_postgres::Error),
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
    /// Were removed on somebody's wish before, and stay away.
    pub forgotten: u64,
}

impl std::ops::AddAssign for Ingested {
    fn add_assign(&mut self, other: Self) {
        self.new += other.new;
        self.known += other.known;
        self.forgotten += other.forgotten;
    }
}

/// Runs of one version of one tool. From rollups: `since` is rounded down to the hour.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionSummary {
    pub tool: String,
    pub version: Version,
    /// Without errors of the environment.
    pub counts: Counts,
    /// When the first and the last of them ended.
    pub first: Timestamp,
    pub last: Timestamp,
}

impl VersionSummary {
    /// Adds the runs of another time.
    fn add(&mut self, other: &VersionSummary) {
        self.counts.runs += other.counts.runs;
        self.counts.failures += other.counts.failures;
        (self.first, self.last) = (self.first.min(other.first), self.last.max(other.last));
    }
}

/// Failures of one kind of one version. From rollups.
#[derive(Clone, Debug, PartialEq)]
pub struct FailureSummary {
    /// The newest failure of the kind.
    pub failure: Failure,
    pub failures: u64,
    pub recent: u64,
    pub distinct_inputs: u64,
    pub last: Timestamp,
}

/// The runs of one version of one tool by one class of caller within one hour.
#[derive(Clone, Debug, PartialEq)]
pub struct HourSummary {
    /// Hours since the Unix epoch.
    pub hour: i64,
    /// See [`row::caller_class`].
    pub caller: String,
    pub counts: Counts,
    pub errors: u64,
    /// Failures, consecutive ones with one fingerprint counted once.
    pub episodes: u64,
    /// Whether `episodes` is right; [`Store::settle`] makes it so.
    pub settled: bool,
    /// See `Rollup`.
    pub log_sum: i64,
    pub log_squares: i64,
    pub durations: Sketch,
    /// When its first and its last run that counts ended, with the fingerprint if it failed.
    pub first: (Timestamp, Option<Fingerprint>),
    pub last: (Timestamp, Option<Fingerprint>),
}

/// The failures of one version on one input.
#[derive(Clone, Debug, PartialEq)]
pub struct FailingInput {
    pub fingerprint: Fingerprint,
    /// The input's digest; empty when nothing is known of it.
    pub input: String,
    pub failures: u64,
    pub newest: ExecutionId,
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

/// Which executions to read; newest first by when they ended.
#[derive(Clone, Debug, Default)]
pub struct Query<'a> {
    /// Of one tool, or of all.
    pub tool: Option<&'a str>,
    pub version: Option<&'a Version>,
    pub which: Which<'a>,
    pub caller: Option<&'a str>,
    /// Started then or later.
    pub since: Timestamp,
    /// Ended before.
    pub until: Option<Timestamp>,
    /// With a smaller identity: the next page after this one.
    pub before: Option<&'a ExecutionId>,
    /// With a greater identity: what came after this one.
    pub after: Option<&'a ExecutionId>,
    pub limit: usize,
}

/// See [`Query`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which<'a> {
    #[default]
    All,
    /// Everything but errors of the environment.
    Counted,
    Only(Outcome),
    FailuresLike(&'a str),
}

/// A tool with news, and which news it were.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dirty {
    pub tool: String,
    /// Grows with each piece of news.
    pub news: i64,
}

/// How long executions are kept, and how much of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Retention {
    /// Runs that ended before are removed.
    pub before: Timestamp,
    /// Instead of `before`, for single tools.
    pub before_of: BTreeMap<String, Timestamp>,
    /// Room for everything, in bytes; the oldest goes first.
    pub bytes: Option<u64>,
    /// The same for single tools.
    pub bytes_of: BTreeMap<String, u64>,
}

/// What to remove for good. Everything that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct Forget {
    pub tool: Option<String>,
    /// Ended then or later.
    pub since: Option<Timestamp>,
    /// Ended before.
    pub until: Option<Timestamp>,
    /// Found in the arguments, standard input, output or error, or in a message.
    pub pattern: Option<regex::bytes::Regex>,
    /// These and no others.
    pub ids: Option<BTreeSet<ExecutionId>>,
}

/// Opens the store that the configuration names, to write to it.
///
/// # Errors
/// When it cannot be reached, or a newer Fractal made it.
pub fn open(repo: &Repo, config: &Config) -> Result<Box<dyn Store>, StoreError> {
    match address(config) {
        address if address.is_empty() => Ok(Box::new(SqliteStore::open(&path(repo))?)),
        address if is_postgres(&address) => Ok(Box::new(PostgresStore::open(&address)?)),
        address => Err(StoreError::Address(shown(&address))),
    }
}

/// The same for somebody who cannot wait long for others: `fractal exec`.
///
/// # Errors
/// As [`open`], also when the store is busy.
pub fn open_briefly(repo: &Repo, config: &Config) -> Result<Box<dyn Store>, StoreError> {
    opening(repo, config)()
}

/// [`open_briefly`], to be called elsewhere.
pub fn opening(repo: &Repo, config: &Config) -> impl FnOnce() -> Result<Box<dyn Store>, StoreError> + Send + use<> {
    let (address, path) = (address(config), path(repo));
    move || match address {
        address if address.is_empty() => Ok(Box::new(SqliteStore::open_briefly(&path)?)),
        address if is_postgres(&address) => Ok(Box::new(PostgresStore::open_briefly(&address)?)),
        address => Err(StoreError::Address(shown(&address))),
    }
}

/// Opens the store that the configuration names, to read it; an empty one when nothing was ever recorded.
///
/// # Errors
/// As [`open`].
pub fn open_to_read(repo: &Repo, config: &Config) -> Result<Box<dyn Store>, StoreError> {
    match address(config) {
        address if address.is_empty() => match SqliteStore::open_to_read(&path(repo))? {
            Some(store) => Ok(Box::new(store)),
            None => Ok(Box::new(SqliteStore::in_memory()?)),
        },
        address if is_postgres(&address) => match PostgresStore::open_to_read(&address)? {
            Some(store) => Ok(Box::new(store)),
            None => Ok(Box::new(SqliteStore::in_memory()?)),
        },
        address => Err(StoreError::Address(shown(&address))),
    }
}

/// Where executions are kept when no server is configured.
pub fn path(repo: &Repo) -> std::path::PathBuf {
    repo.state_dir().join("executions.db")
}

/// The environment goes before the file.
fn address(config: &Config) -> String {
    super::files::variable("FRACTAL_STORE").unwrap_or_else(|| config.store.clone())
}

fn is_postgres(address: &str) -> bool {
    address.starts_with("postgres://") || address.starts_with("postgresql://")
}

/// An address without the password that somebody may have written into it.
fn shown(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.chars().take(80).collect() };
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}://{}", rest.split('?').next().unwrap_or_default())
}

/// What was forgotten, and stays away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    pub ids: BTreeSet<ExecutionId>,
    pub ranges: BTreeSet<ForgottenRange>,
}

/// Everything of a tool, or of all, that ended within a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForgottenRange {
    pub tool: Option<String>,
    /// Ended then or later, in Unix milliseconds.
    pub since: i64,
    /// Ended before.
    pub until: i64,
}

/// Keeps executions.
///
/// Whatever is written is written in one transaction together with the rollups that it changes. Delivering executions again, or
/// in another order, gives the same rollups: the execution's identity decides what is new.
pub trait Store: Send {
    /// Stores executions, all or none; those that are already there are left as they are, except that a mark is added.
    fn record_all(&mut self, batch: &[NewExecution]) -> Result<Ingested, StoreError>;
    /// Stores an execution; one that is already there is left as it is.
    fn record(&mut self, new: &NewExecution) -> Result<(), StoreError> {
        self.record_all(std::slice::from_ref(new)).map(|_| ())
    }
    /// Says that a run's answer was wrong; `expected` is what standard output should have been.
    fn mark_bad(&mut self, id: &ExecutionId, expected: Option<&[u8]>) -> Result<(), StoreError>;
    /// The execution whose id begins with `prefix`.
    fn find(&self, prefix: &str) -> Result<Execution, StoreError>;
    /// Every version that ran since, of these tools or of all.
    fn versions(&self, tools: Option<&[String]>, since: Timestamp) -> Result<Vec<VersionSummary>, StoreError>;
    /// The kinds of failure of one version since, most frequent first.
    fn failures(
        &self,
        tool: &str,
        version: &Version,
        since: Timestamp,
        recent: Timestamp,
    ) -> Result<Vec<FailureSummary>, StoreError>;
    /// The hours of one version since, oldest first.
    fn hours(&self, tool: &str, version: &Version, since: Timestamp) -> Result<Vec<HourSummary>, StoreError>;
    /// The failing inputs of one version since.
    fn failing_inputs(&self, tool: &str, version: &Version, since: Timestamp) -> Result<Vec<FailingInput>, StoreError>;
    /// One execution of a version; `None` when it is gone.
    fn execution(&self, tool: &str, version: &Version, id: &ExecutionId) -> Result<Option<Execution>, StoreError>;
    /// Executions without their bytes.
    fn executions(&self, query: &Query<'_>) -> Result<Vec<Execution>, StoreError>;
    /// An execution with its bytes.
    fn load(&self, execution: Execution) -> Result<Recording, StoreError>;
    /// What the tool wrote to standard error; empty when that is not kept.
    fn stderr(&self, execution: &Execution) -> Result<Vec<u8>, StoreError>;
    /// An execution with everything that is kept of it, as it was stored.
    fn whole(&self, execution: Execution) -> Result<NewExecution, StoreError> {
        let stderr = self.stderr(&execution)?;
        let Recording { execution, stdin, stdout, expected } = self.load(execution)?;
        // No bytes may be no content, or content that is not kept: the digest tells.
        let kept = |id: Option<&BlobId>, bytes: Vec<u8>| {
            id.filter(|id| !bytes.is_empty() || **id == BlobId::of(b"")).is_some().then_some(bytes)
        };
        let expected_id = execution.mark.as_ref().and_then(|mark| mark.expected.as_ref());
        Ok(NewExecution {
            stdin: kept(execution.input.stdin.as_ref(), stdin),
            stdout: kept(execution.stdout.as_ref(), stdout),
            stderr: kept(execution.stderr.as_ref(), stderr),
            expected: kept(expected_id, expected.unwrap_or_default()),
            execution,
        })
    }
    /// Tools with news: a failure, or any run of a version that has failed before.
    fn dirty(&self) -> Result<Vec<Dirty>, StoreError>;
    /// Says that these news were looked at, in which state of the world, and which tools are to be looked at again all the same. What
    /// came in the meantime stays news.
    fn looked(&mut self, seen: &[Dirty], state: &str, again: &[String]) -> Result<(), StoreError>;
    /// The state of the world of the last look.
    fn looked_in(&self) -> Result<Option<String>, StoreError>;
    /// Folds the hours of these tools again whose episodes are not right.
    fn settle(&mut self, tools: &[String]) -> Result<u64, StoreError>;
    /// Adds up what the loop did.
    fn count(&mut self, cycles: u64, tools: u64, maintenance: u64, at: Timestamp) -> Result<(), StoreError>;
    /// What the loop did so far.
    fn counters(&self) -> Result<LoopCounters, StoreError>;
    /// Removes what need not be kept, hour by hour, oldest first; returns how many executions went.
    fn prune(&mut self, retention: &Retention) -> Result<u64, StoreError>;
    /// Removes executions for good, with everything that is only theirs; they stay away when they are delivered again.
    fn forget(&mut self, what: &Forget) -> Result<Vec<ExecutionId>, StoreError>;
    /// What [`Store::forget`] would remove now, each with its tool; oldest first within a tool and version.
    fn matching(&self, what: &Forget) -> Result<Vec<(String, ExecutionId)>, StoreError>;
    /// What was forgotten so far.
    fn forgotten(&self) -> Result<Forgotten, StoreError>;
    /// Executions of this machine that others have not been sent, oldest first. The first call begins to keep track.
    fn unsent(&mut self, limit: usize) -> Result<Vec<NewExecution>, StoreError>;
    /// Says that they were sent.
    fn sent(&mut self, ids: &[ExecutionId]) -> Result<(), StoreError>;
    /// Stores what another writer's segment holds, and that it was read, in one transaction. They are not sent on.
    fn receive(&mut self, segment: &str, batch: &[NewExecution]) -> Result<Ingested, StoreError>;
    /// Whether a segment was read.
    fn is_received(&self, segment: &str) -> Result<bool, StoreError>;
    /// Forgets which segments were read, except for these: the others are nowhere any more.
    fn keep_received(&mut self, segments: &BTreeSet<String>) -> Result<(), StoreError>;
    /// Keeps what somebody else's description says of a tool, instead of what it said before.
    fn set_hints(&mut self, tool: &str, hints: &Hints) -> Result<(), StoreError>;
    /// What is said of which tool.
    fn hints(&self) -> Result<BTreeMap<String, Hints>, StoreError>;
    /// How far a source of executions was read, in words of its own that were kept last.
    fn bookmark(&self, source: &str) -> Result<Option<String>, StoreError>;
    /// Keeps how far a source was read.
    fn set_bookmark(&mut self, source: &str, place: &str) -> Result<(), StoreError>;
    /// Executions, and the room they take in bytes.
    fn size(&self) -> Result<(u64, u64), StoreError>;
    /// Where several loops claim tools, when the store is for many machines.
    fn claims(&self) -> Option<&dyn Claims> {
        None
    }
    /// Whether nothing was ever recorded.
    fn is_empty(&self) -> Result<bool, StoreError>;
}
