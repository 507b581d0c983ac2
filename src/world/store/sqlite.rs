//! Executions in one SQLite file in the repository's git directory. Many recorders write at once: WAL, and a busy time-out.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{FailureSummary, LoopCounters, Query, Store, StoreError, VersionSummary, Which};
use crate::model::{
    BlobId, Counts, Execution, ExecutionId, Exit, Failure, Input, Mark, NewExecution, Outcome, Recording, Version,
};

/// The newest schema this program knows; older ones are brought forward when opened.
const FORMAT: i64 = 1;
const BUSY: Duration = Duration::from_secs(20);

const SCHEMA: &str = "
create table execution (
  id text primary key, tool text not null, version text not null, at integer not null, duration integer not null,
  input text not null, input_digest text not null, exit text not null, outcome text not null,
  fingerprint text, failure text, stdout text, stderr text, caller text not null, marked integer not null default 0, expected text
) without rowid;
create index execution_by_tool on execution (tool, version, outcome, at);
create index execution_by_time on execution (at);
create table blob (id text primary key, content blob not null) without rowid;
create table counter (name text primary key, value integer not null) without rowid;
";

const COLUMNS: &str = "id, tool, version, at, duration, input, exit, outcome, failure, stdout, stderr, caller, marked, expected";

/// See the module.
pub struct SqliteStore {
    connection: Connection,
    path: PathBuf,
}

impl SqliteStore {
    /// Opens the store, making or migrating it first.
    ///
    /// # Errors
    /// [`StoreError::Newer`] when a newer Fractal made it; nothing is changed then.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        let mut store = SqliteStore { connection, path: path.to_path_buf() };
        store.migrate().map_err(|error| error.of(path))?;
        store.connection.pragma_update(None, "synchronous", "normal")?;
        Ok(store)
    }

    /// Opens the store for reading; `None` when nothing was ever recorded.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn open_to_read(path: &Path) -> Result<Option<Self>, StoreError> {
        if !path.is_file() {
            return Ok(None);
        }
        let connection = Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "query_only", true)?;
        let store = SqliteStore { connection, path: path.to_path_buf() };
        match store.format().map_err(|error| error.of(path))? {
            FORMAT => Ok(Some(store)),
            found if found > FORMAT => Err(store.newer(found)),
            _ => Ok(None),
        }
    }

    /// A store in memory: empty, and gone with the value.
    ///
    /// # Errors
    /// When SQLite has no memory.
    pub fn in_memory() -> Result<Self, StoreError> {
        let mut store = SqliteStore { connection: Connection::open_in_memory()?, path: PathBuf::from(":memory:") };
        store.migrate()?;
        Ok(store)
    }

    fn format(&self) -> Result<i64, StoreError> {
        Ok(self.connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
    }

    fn newer(&self, found: i64) -> StoreError {
        StoreError::Newer { path: self.path.display().to_string(), found, known: FORMAT }
    }

    fn migrate(&mut self) -> Result<(), StoreError> {
        match self.format()? {
            FORMAT => return Ok(()),
            found if found > FORMAT => return Err(self.newer(found)),
            _ => {}
        }
        self.connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
        let transaction = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        // Another process may have been faster.
        let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if found == 0 {
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "user_version", FORMAT)?;
        }
        Ok(transaction.commit()?)
    }

    fn blob(&self, id: Option<&BlobId>) -> Result<Vec<u8>, StoreError> {
        let Some(id) = id else { return Ok(Vec::new()) };
        let content =
            self.connection.query_row("select content from blob where id = ?1", [&id.0], |row| row.get(0)).optional()?;
        Ok(content.unwrap_or_default())
    }
}

impl Store for SqliteStore {
    fn record(&mut self, new: &NewExecution) -> Result<(), StoreError> {
        let execution = &new.execution;
        let transaction = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        for bytes in [&new.stdin, &new.stdout, &new.stderr].into_iter().flatten() {
            keep_blob(&transaction, bytes)?;
        }
        transaction.prepare_cached(
            "insert or ignore into execution (id, tool, version, at, duration, input, input_digest, exit, outcome, fingerprint, failure,
             stdout, stderr, caller) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .execute(params![
            execution.id.0,
            execution.tool,
            execution.version.0,
            execution.at.as_millisecond(),
            execution.duration.as_micros() as i64,
            serde_json::to_string(&execution.input)?,
            execution.input.digest(),
            serde_json::to_string(&execution.exit)?,
            outcome_text(execution.outcome),
            execution.failure.as_ref().map(|failure| failure.fingerprint.as_str()),
            execution.failure.as_ref().map(serde_json::to_string).transpose()?,
            execution.stdout.as_ref().map(|blob| &blob.0),
            execution.stderr.as_ref().map(|blob| &blob.0),
            execution.caller,
        ])?;
        Ok(transaction.commit()?)
    }

    fn mark_bad(&mut self, id: &ExecutionId, expected: Option<&[u8]>) -> Result<(), StoreError> {
        let failure = Failure::wrong_output();
        let transaction = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let blob = expected.map(|bytes| keep_blob(&transaction, bytes)).transpose()?;
        let changed = transaction.execute(
            "update execution set marked = 1, expected = ?2, outcome = 'failure', fingerprint = ?3, failure = ?4 where id = ?1",
            params![id.0, blob.map(|blob| blob.0), failure.fingerprint.as_str(), serde_json::to_string(&failure)?],
        )?;
        transaction.commit()?;
        if changed == 0 { Err(StoreError::NoSuchExecution(id.0.clone())) } else { Ok(()) }
    }

    fn find(&self, prefix: &str) -> Result<Execution, StoreError> {
        if prefix.is_empty() {
            return Err(StoreError::NoSuchExecution(String::new()));
        }
        // Ids sort by time, so a range over the primary key finds a prefix.
        let sql = format!("select {COLUMNS} from execution where id >= ?1 and id < ?1 || '~' order by id limit 2");
        let mut statement = self.connection.prepare(&sql)?;
        let mut found = statement.query_and_then([prefix], execution)?.collect::<Result<Vec<_>, _>>()?;
        match (found.len(), found.pop()) {
            (1, Some(execution)) => Ok(execution),
            (0, _) => Err(StoreError::NoSuchExecution(prefix.to_string())),
            _ => Err(StoreError::Ambiguous(prefix.to_string())),
        }
    }

    fn versions(&self, since: Timestamp) -> Result<Vec<VersionSummary>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "select tool, version, count(*), sum(outcome = 'failure'), min(at), max(at) from execution
             where at >= ?1 and outcome != 'error' group by tool, version order by tool, max(at)",
        )?;
        let rows = statement.query_and_then([since.as_millisecond()], |row| {
            Ok(VersionSummary {
                tool: row.get(0)?,
                version: Version(row.get(1)?),
                counts: Counts { runs: row.get(2)?, failures: row.get(3)? },
                first: timestamp(row.get(4)?),
                last: timestamp(row.get(5)?),
            })
        })?;
        rows.collect()
    }

    fn failures(
        &self,
        tool: &str,
        version: &Version,
        since: Timestamp,
        recent: Timestamp,
    ) -> Result<Vec<FailureSummary>, StoreError> {
        // SQLite gives the bare column `failure` from the row that has max(at).
        let mut statement = self.connection.prepare_cached(
            "select failure, count(*), sum(at >= ?4), count(distinct input_digest), max(at) from execution
             where tool = ?1 and version = ?2 and outcome = 'failure' and at >= ?3 group by fingerprint
             order by count(*) desc, fingerprint",
        )?;
        let arguments = params![tool, version.0, since.as_millisecond(), recent.as_millisecond()];
        let rows = statement.query_and_then(arguments, |row| {
            Ok(FailureSummary {
                failure: serde_json::from_str(&row.get::<_, String>(0)?)?,
                failures: row.get(1)?,
                recent: row.get(2)?,
                distinct_inputs: row.get(3)?,
                last: timestamp(row.get(4)?),
            })
        })?;
        rows.collect()
    }

    fn executions(&self, query: &Query<'_>) -> Result<Vec<Execution>, StoreError> {
        let condition = match query.which {
            Which::Successes => "outcome = 'success' and ?5 = ''",
            Which::Failures => "outcome = 'failure' and ?5 = ''",
            Which::FailuresLike(_) => "outcome = 'failure' and fingerprint = ?5",
            Which::Counted => "outcome != 'error' and ?5 = ''",
        };
        let fingerprint = if let Which::FailuresLike(fingerprint) = query.which { fingerprint } else { "" };
        let sql = format!(
            "select {COLUMNS} from execution where tool = ?1 and (?2 is null or version = ?2) and at >= ?3 and {condition}
             order by at desc, id desc limit ?4"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let version = query.version.map(|version| &version.0);
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
        let arguments = params![query.tool, version, query.since.as_millisecond(), limit, fingerprint];
        statement.query_and_then(arguments, execution)?.collect()
    }

    fn load(&self, execution: Execution) -> Result<Recording, StoreError> {
        let expected = execution.mark.as_ref().and_then(|mark| mark.expected.as_ref());
        Ok(Recording {
            stdin: self.blob(execution.input.stdin.as_ref())?,
            stdout: self.blob(execution.stdout.as_ref())?,
            expected: expected.map(|blob| self.blob(Some(blob))).transpose()?,
            execution,
        })
    }

    fn count(&mut self, cycles: u64, tools: u64, maintenance: u64, at: Timestamp) -> Result<(), StoreError> {
        let transaction = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        {
            let mut add = transaction
                .prepare("insert into counter values (?1, ?2) on conflict (name) do update set value = value + excluded.value")?;
            for (name, value) in [("cycles", cycles), ("tools", tools), ("maintenance", maintenance)] {
                add.execute(params![name, i64::try_from(value).unwrap_or(i64::MAX)])?;
            }
            let mut set = transaction
                .prepare("insert into counter values (?1, ?2) on conflict (name) do update set value = excluded.value")?;
            for (name, happened) in [("last_check", cycles), ("last_maintenance", maintenance)] {
                if happened > 0 {
                    set.execute(params![name, at.as_millisecond()])?;
                }
            }
        }
        Ok(transaction.commit()?)
    }

    fn counters(&self) -> Result<LoopCounters, StoreError> {
        let get = |name: &str| -> Result<Option<i64>, StoreError> {
            Ok(self.connection.query_row("select value from counter where name = ?1", [name], |row| row.get(0)).optional()?)
        };
        let number =
            |name: &str| -> Result<u64, StoreError> { Ok(get(name)?.and_then(|value| u64::try_from(value).ok()).unwrap_or(0)) };
        Ok(LoopCounters {
            cycles_completed: number("cycles")?,
            tools_analysed: number("tools")?,
            maintenance_runs: number("maintenance")?,
            last_check: get("last_check")?.map(timestamp),
            last_maintenance: get("last_maintenance")?.map(timestamp),
        })
    }

    fn prune(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        let transaction = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let gone = transaction.execute("delete from execution where at < ?1", [before.as_millisecond()])?;
        if gone > 0 {
            transaction.execute(
                "delete from blob where id not in (select stdout from execution where stdout is not null
                 union select stderr from execution where stderr is not null
                 union select expected from execution where expected is not null
                 union select json_extract(input, '$.stdin') from execution where json_extract(input, '$.stdin') is not null)",
                [],
            )?;
        }
        transaction.commit()?;
        Ok(gone as u64)
    }
}

fn keep_blob(connection: &Connection, bytes: &[u8]) -> Result<BlobId, StoreError> {
    let id = BlobId::of(bytes);
    connection.prepare_cached("insert or ignore into blob values (?1, ?2)")?.execute(params![id.0, bytes])?;
    Ok(id)
}

fn execution(row: &Row<'_>) -> Result<Execution, StoreError> {
    let json = |column: usize| row.get::<_, String>(column);
    let failure: Option<String> = row.get(8)?;
    let blob =
        |column: usize| -> Result<Option<BlobId>, rusqlite::Error> { Ok(row.get::<_, Option<String>>(column)?.map(BlobId)) };
    let input: Input = serde_json::from_str(&json(5)?)?;
    let exit: Exit = serde_json::from_str(&json(6)?)?;
    Ok(Execution {
        id: ExecutionId(row.get(0)?),
        tool: row.get(1)?,
        version: Version(row.get(2)?),
        at: timestamp(row.get(3)?),
        duration: Duration::from_micros(u64::try_from(row.get::<_, i64>(4)?).unwrap_or(0)),
        input,
        exit,
        outcome: outcome(&json(7)?),
        failure: failure.map(|text| serde_json::from_str(&text)).transpose()?,
        stdout: blob(9)?,
        stderr: blob(10)?,
        caller: row.get(11)?,
        mark: row.get::<_, bool>(12)?.then_some(Mark { expected: blob(13)? }),
    })
}

fn timestamp(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn outcome_text(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "success",
        Outcome::Failure => "failure",
        Outcome::Error => "error",
    }
}

fn outcome(text: &str) -> Outcome {
    match text {
        "success" => Outcome::Success,
        "failure" => Outcome::Failure,
        _ => Outcome::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Arg;

    fn run(tool: &str, argument: &str, at: i64, outcome: Outcome) -> NewExecution {
        let exit = if outcome == Outcome::Success { Exit::Code(0) } else { Exit::Code(1) };
        let failure = (outcome == Outcome::Failure).then(|| Failure::new(&exit, Some("KeyError".into()), "KeyError", vec![]));
        let stdin = format!("in {argument}").into_bytes();
        let execution = Execution {
            id: ExecutionId(format!("{tool}-{at}")),
            tool: tool.into(),
            version: Version("v1".into()),
            at: timestamp(at),
            duration: Duration::from_millis(3),
            input: Input {
                args: vec![Arg::from(argument)],
                stdin: Some(BlobId::of(&stdin)),
                cwd: None,
                truncated: false,
                withheld: None,
            },
            exit,
            outcome,
            failure,
            stdout: Some(BlobId::of(b"out")),
            stderr: None,
            caller: "test".into(),
            mark: None,
        };
        NewExecution { execution, stdin: Some(stdin), stdout: Some(b"out".to_vec()), stderr: None, expected: None }
    }

    fn everything(tool: &str) -> Query<'_> {
        Query { tool, version: None, which: Which::Counted, since: Timestamp::UNIX_EPOCH, limit: 100 }
    }

    #[test]
    fn what_is_recorded_comes_back_with_its_bytes_and_twice_is_once() {
        let mut store = SqliteStore::in_memory().expect("opens");
        let new = run("a", "x", 1_000, Outcome::Failure);
        store.record(&new).expect("records");
        store.record(&new).expect("is harmless");
        let found = store.executions(&everything("a")).expect("reads");
        assert_eq!(found, vec![new.execution.clone()]);
        let recording = store.load(found[0].clone()).expect("loads");
        assert_eq!((recording.stdin.as_slice(), recording.stdout.as_slice()), (b"in x".as_slice(), b"out".as_slice()));
    }

    #[test]
    fn counts_leave_out_errors_of_the_environment() {
        let mut store = SqliteStore::in_memory().expect("opens");
        for (at, outcome) in [(1, Outcome::Success), (2, Outcome::Failure), (3, Outcome::Error), (4, Outcome::Failure)] {
            store.record(&run("a", &at.to_string(), at, outcome)).expect("records");
        }
        let versions = store.versions(Timestamp::UNIX_EPOCH).expect("reads");
        assert_eq!(versions[0].counts, Counts { runs: 3, failures: 2 });
        let failures = store.failures("a", &Version("v1".into()), Timestamp::UNIX_EPOCH, timestamp(3)).expect("reads");
        assert_eq!((failures[0].failures, failures[0].recent, failures[0].distinct_inputs), (2, 1, 2));
    }

    #[test]
    fn a_marked_run_is_a_failure_with_its_expected_output() {
        let mut store = SqliteStore::in_memory().expect("opens");
        store.record(&run("a", "x", 1, Outcome::Success)).expect("records");
        store.mark_bad(&ExecutionId("a-1".into()), Some(b"right")).expect("marks");
        let found = store.find("a-").expect("finds");
        assert_eq!(
            (found.outcome, found.failure.as_ref().map(|failure| failure.class.as_str())),
            (Outcome::Failure, Some("wrong output"))
        );
        assert_eq!(store.load(found).expect("loads").expected.as_deref(), Some(b"right".as_slice()));
        assert!(matches!(store.mark_bad(&ExecutionId("z".into()), None), Err(StoreError::NoSuchExecution(_))));
    }

    #[test]
    fn an_ambiguous_beginning_of_an_id_is_refused() {
        let mut store = SqliteStore::in_memory().expect("opens");
        store.record(&run("a", "x", 1, Outcome::Success)).expect("records");
        store.record(&run("a", "x", 12, Outcome::Success)).expect("records");
        assert!(matches!(store.find("a-1"), Err(StoreError::Ambiguous(_))));
        assert!(store.find("a-12").is_ok());
        assert!(matches!(store.find("b"), Err(StoreError::NoSuchExecution(_))));
    }

    #[test]
    fn retention_removes_old_runs_and_only_the_bytes_that_nothing_needs() {
        let mut store = SqliteStore::in_memory().expect("opens");
        store.record(&run("a", "old", 1_000, Outcome::Success)).expect("records");
        store.record(&run("a", "new", 9_000, Outcome::Success)).expect("records");
        assert_eq!(store.prune(timestamp(5_000)).expect("prunes"), 1);
        let left = store.executions(&everything("a")).expect("reads");
        let recording = store.load(left[0].clone()).expect("loads");
        assert_eq!((recording.stdin.as_slice(), recording.stdout.as_slice()), (b"in new".as_slice(), b"out".as_slice()));
        let blobs: i64 = store.connection.query_row("select count(*) from blob", [], |row| row.get(0)).expect("counts");
        assert_eq!(blobs, 2);
    }

    #[test]
    fn a_store_of_a_newer_version_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("executions.db");
        drop(SqliteStore::open(&path).expect("makes it"));
        let raw = Connection::open(&path).expect("opens");
        raw.pragma_update(None, "user_version", FORMAT + 1).expect("pretends");
        drop(raw);
        let before = std::fs::read(&path).expect("reads");
        assert!(matches!(SqliteStore::open(&path), Err(StoreError::Newer { .. })));
        assert!(matches!(SqliteStore::open_to_read(&path), Err(StoreError::Newer { .. })));
        assert_eq!(std::fs::read(&path).expect("reads"), before);
    }

    #[test]
    fn the_loops_counters_add_up() {
        let mut store = SqliteStore::in_memory().expect("opens");
        store.count(1, 5, 0, timestamp(1_000)).expect("counts");
        store.count(1, 6, 1, timestamp(2_000)).expect("counts");
        let counters = store.counters().expect("reads");
        assert_eq!((counters.cycles_completed, counters.tools_analysed, counters.maintenance_runs), (2, 11, 1));
        assert_eq!((counters.last_check, counters.last_maintenance), (Some(timestamp(2_000)), Some(timestamp(2_000))));
    }
}
