//! Executions in one SQLite file in the repository's git directory. Many recorders write at once: WAL, and a busy time-out.

mod exchange;
mod read;
mod remove;
mod schema;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::trace::{TraceEvent, TraceEventCodes};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use self::schema::FORMAT;
use self::write::Names;
use super::row::id_bits;
use super::{
    Dirty, FailingInput, FailureSummary, Forget, Forgotten, HourSummary, Ingested, LoopCounters, Query, Retention, Store,
    StoreError, VersionSummary,
};
use crate::model::{BlobId, Execution, ExecutionId, Hints, Mark, NewExecution, Recording, Version};

const BUSY: Duration = Duration::from_secs(20);
const BRIEFLY: Duration = Duration::from_secs(3);

/// See the module.
pub struct SqliteStore {
    connection: Connection,
    names: Names,
    path: PathBuf,
}

impl SqliteStore {
    /// Opens the store, making or migrating it first.
    ///
    /// # Errors
    /// [`StoreError::Newer`] when a newer Fractal made it; nothing is changed then.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_within(path, BUSY)
    }

    /// The same, but gives up early when others write.
    ///
    /// # Errors
    /// As [`SqliteStore::open`], and when it is busy.
    pub fn open_briefly(path: &Path) -> Result<Self, StoreError> {
        Self::open_within(path, BRIEFLY)
    }

    fn open_within(path: &Path, patience: Duration) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let connection = Connection::open(path)?;
        connection.busy_timeout(patience)?;
        Self::ready(connection, path).map_err(|error| error.of(path))
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
        let mut store = SqliteStore { connection, names: Names::default(), path: path.to_path_buf() };
        tell_statements(&store.connection);
        match store.format().map_err(|error| error.of(path))? {
            0 => return Ok(None),
            FORMAT => {}
            _ => store = Self::ready(store.connection, path).map_err(|error| error.of(path))?,
        }
        store.connection.pragma_update(None, "query_only", true)?;
        Ok(Some(store))
    }

    /// A store in memory: empty, and gone with the value.
    ///
    /// # Errors
    /// When SQLite has no memory.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::ready(Connection::open_in_memory()?, Path::new(":memory:"))
    }

    fn ready(mut connection: Connection, path: &Path) -> Result<Self, StoreError> {
        tell_statements(&connection);
        connection.set_prepared_statement_cache_capacity(64);
        schema::migrate(&mut connection, |found| StoreError::Newer { path: path.display().to_string(), found, known: FORMAT })?;
        connection.pragma_update(None, "synchronous", "normal")?;
        // In KiB, and only as far as it is needed: a big batch touches pages all over the file.
        connection.pragma_update(None, "cache_size", -65_536)?;
        Ok(SqliteStore { connection, names: Names::default(), path: path.to_path_buf() })
    }

    fn format(&self) -> Result<i64, StoreError> {
        Ok(self.connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
    }

    /// Runs `work` in one transaction. When it fails, nothing has happened.
    fn atomically<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>, &mut Names) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = work(&transaction, &mut self.names).and_then(|done| Ok(transaction.commit().map(|()| done)?));
        if done.is_err() {
            // What was looked up may have been rolled back.
            self.names = Names::default();
        }
        done.map_err(|error| error.of(&self.path))
    }

    fn series_of(&self, execution: &Execution) -> Result<Option<i64>, StoreError> {
        read::series(&self.connection, &execution.tool, &execution.version)
    }

    fn bytes_of(&self, execution: &Execution, blob: Option<&BlobId>) -> Result<Vec<u8>, StoreError> {
        read::blob(&self.connection, self.series_of(execution)?, blob.map(|blob| blob.0.as_str()))
    }
}

/// `FRACTAL_LOG=trace` shows every statement, without values.
fn tell_statements(connection: &Connection) {
    if tracing::enabled!(target: "fractal::sql", tracing::Level::TRACE) {
        connection.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(tell));
    }
}

fn tell(event: TraceEvent<'_>) {
    if let TraceEvent::Stmt(statement, _) = event {
        let sql = statement.sql();
        tracing::trace!(target: "fractal::sql", "{}", sql.split_whitespace().collect::<Vec<_>>().join(" "));
    }
}

impl Store for SqliteStore {
    fn record_all(&mut self, batch: &[NewExecution]) -> Result<Ingested, StoreError> {
        self.atomically(|transaction, names| write::ingest(transaction, names, batch, true))
    }

    fn mark_bad(&mut self, id: &ExecutionId, expected: Option<&[u8]>) -> Result<(), StoreError> {
        self.atomically(|transaction, names| {
            let (series, bits) = read::place(transaction, &id.0)?;
            let mark = Mark { expected: expected.map(BlobId::of) };
            write::mark(transaction, names, (series, &bits), Some(&mark), expected, true)
        })
    }

    fn find(&self, prefix: &str) -> Result<Execution, StoreError> {
        read::find(&self.connection, prefix)
    }

    fn versions(&self, tools: Option<&[String]>, since: Timestamp) -> Result<Vec<VersionSummary>, StoreError> {
        read::versions(&self.connection, tools, since)
    }

    fn failures(
        &self,
        tool: &str,
        version: &Version,
        since: Timestamp,
        recent: Timestamp,
    ) -> Result<Vec<FailureSummary>, StoreError> {
        match read::series(&self.connection, tool, version)? {
            Some(series) => read::failures(&self.connection, series, since, recent),
            None => Ok(Vec::new()),
        }
    }

    fn hours(&self, tool: &str, version: &Version, since: Timestamp) -> Result<Vec<HourSummary>, StoreError> {
        match read::series(&self.connection, tool, version)? {
            Some(series) => read::hours(&self.connection, series, since),
            None => Ok(Vec::new()),
        }
    }

    fn failing_inputs(&self, tool: &str, version: &Version, since: Timestamp) -> Result<Vec<FailingInput>, StoreError> {
        match read::series(&self.connection, tool, version)? {
            Some(series) => read::failing_inputs(&self.connection, series, since),
            None => Ok(Vec::new()),
        }
    }

    fn execution(&self, tool: &str, version: &Version, id: &ExecutionId) -> Result<Option<Execution>, StoreError> {
        match read::series(&self.connection, tool, version)? {
            Some(series) => read::one(&self.connection, series, &id_bits(id)?),
            None => Ok(None),
        }
    }

    fn executions(&self, query: &Query<'_>) -> Result<Vec<Execution>, StoreError> {
        read::executions(&self.connection, query)
    }

    fn load(&self, execution: Execution) -> Result<Recording, StoreError> {
        let expected = execution.mark.as_ref().and_then(|mark| mark.expected.as_ref());
        Ok(Recording {
            stdin: self.bytes_of(&execution, execution.input.stdin.as_ref())?,
            stdout: self.bytes_of(&execution, execution.stdout.as_ref())?,
            expected: expected.map(|blob| self.bytes_of(&execution, Some(blob))).transpose()?,
            execution,
        })
    }

    fn stderr(&self, execution: &Execution) -> Result<Vec<u8>, StoreError> {
        self.bytes_of(execution, execution.stderr.as_ref())
    }

    fn dirty(&self) -> Result<Vec<Dirty>, StoreError> {
        let mut statement = self.connection.prepare_cached("select tool, news from dirty order by tool")?;
        let rows = statement.query_map([], |row| Ok(Dirty { tool: row.get(0)?, news: row.get(1)? }))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn looked(&mut self, seen: &[Dirty], state: &str, again: &[String]) -> Result<(), StoreError> {
        if seen.is_empty() && again.is_empty() && self.looked_in()?.as_deref() == Some(state) {
            return Ok(());
        }
        self.atomically(|transaction, _| {
            let mut statement = transaction.prepare_cached("delete from dirty where tool = ?1 and news = ?2")?;
            for dirty in seen {
                statement.execute(params![dirty.tool, dirty.news])?;
            }
            again.iter().try_for_each(|tool| write::has_news(transaction, tool))?;
            transaction.prepare_cached("insert or replace into keepsake values ('looked', ?1)")?.execute([state])?;
            Ok(())
        })
    }

    fn looked_in(&self) -> Result<Option<String>, StoreError> {
        let mut statement = self.connection.prepare_cached("select value from keepsake where name = 'looked'")?;
        Ok(statement.query_row([], |row| row.get(0)).optional()?)
    }

    fn settle(&mut self, tools: &[String]) -> Result<u64, StoreError> {
        let sql = "select distinct r.series, r.hour from series s join rollup r indexed by rollup_unsettled on r.series = s.id
                   where s.tool = ?1 and r.settled = 0";
        let mut open: Vec<(i64, i64)> = Vec::new();
        {
            let mut statement = self.connection.prepare_cached(sql)?;
            for tool in tools {
                let rows = statement.query_map([tool], |row| Ok((row.get(0)?, row.get(1)?)))?;
                open.extend(rows.collect::<Result<Vec<_>, _>>()?);
            }
        }
        if open.is_empty() {
            return Ok(0);
        }
        self.atomically(|transaction, _| {
            open.iter().try_for_each(|(series, hour)| write::fold_again(transaction, *series, *hour))?;
            Ok(open.len() as u64)
        })
    }

    fn count(&mut self, cycles: u64, tools: u64, maintenance: u64, at: Timestamp) -> Result<(), StoreError> {
        self.atomically(|transaction, _| {
            let mut add = transaction
                .prepare_cached("insert into counter values (?1, ?2) on conflict do update set value = value + excluded.value")?;
            for (name, value) in [("cycles", cycles), ("tools", tools), ("maintenance", maintenance)] {
                add.execute(params![name, i64::try_from(value).unwrap_or(i64::MAX)])?;
            }
            let mut set = transaction
                .prepare_cached("insert into counter values (?1, ?2) on conflict do update set value = excluded.value")?;
            for (name, happened) in [("last_check", cycles), ("last_maintenance", maintenance)] {
                if happened > 0 {
                    set.execute(params![name, at.as_millisecond()])?;
                }
            }
            Ok(())
        })
    }

    fn counters(&self) -> Result<LoopCounters, StoreError> {
        read::counters(&self.connection)
    }

    fn prune(&mut self, retention: &Retention) -> Result<u64, StoreError> {
        let gone = self.atomically(|transaction, _| remove::prune(transaction, retention))?;
        if gone > 0 {
            self.connection.execute_batch("pragma incremental_vacuum")?;
        }
        Ok(gone)
    }

    fn forget(&mut self, what: &Forget) -> Result<Vec<ExecutionId>, StoreError> {
        // Not only unreachable: overwritten, in the file and in the log beside it.
        self.connection.pragma_update(None, "secure_delete", true)?;
        let gone = self.atomically(|transaction, _| remove::forget(transaction, what))?;
        self.connection.execute_batch("pragma incremental_vacuum")?;
        self.connection.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))?;
        Ok(gone)
    }

    fn matching(&self, what: &Forget) -> Result<Vec<(String, ExecutionId)>, StoreError> {
        exchange::matching(&self.connection, what)
    }

    fn forgotten(&self) -> Result<Forgotten, StoreError> {
        exchange::forgotten(&self.connection)
    }

    fn unsent(&mut self, limit: usize) -> Result<Vec<NewExecution>, StoreError> {
        if !write::is_tracked(&self.connection)? {
            self.atomically(|transaction, _| {
                Ok(transaction.execute_batch(
                    "insert or ignore into unsent select series, id from execution; insert or replace into keepsake values ('unsent', '1')",
                )?)
            })?;
        }
        let mut statement = self.connection.prepare_cached("select series, id from unsent order by id limit ?1")?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let places = statement.query_map([limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut unsent = Vec::new();
        for place in places {
            let (series, id) = place?;
            if let Some(execution) = read::one(&self.connection, series, &id)? {
                unsent.push(self.whole(execution)?);
            }
        }
        Ok(unsent)
    }

    fn sent(&mut self, ids: &[ExecutionId]) -> Result<(), StoreError> {
        self.atomically(|transaction, _| {
            let mut statement = transaction.prepare_cached("delete from unsent where id = ?1")?;
            ids.iter().try_for_each(|id| Ok(statement.execute([id_bits(id)?.as_slice()]).map(|_| ())?))
        })
    }

    fn receive(&mut self, segment: &str, batch: &[NewExecution]) -> Result<Ingested, StoreError> {
        self.atomically(|transaction, names| {
            let ingested = write::ingest(transaction, names, batch, false)?;
            transaction.prepare_cached("insert or ignore into received values (?1)")?.execute([segment])?;
            Ok(ingested)
        })
    }

    fn is_received(&self, segment: &str) -> Result<bool, StoreError> {
        Ok(self.connection.prepare_cached("select 1 from received where segment = ?1")?.exists([segment])?)
    }

    fn keep_received(&mut self, segments: &BTreeSet<String>) -> Result<(), StoreError> {
        self.atomically(|transaction, _| exchange::keep_received(transaction, segments))
    }

    fn set_hints(&mut self, tool: &str, hints: &Hints) -> Result<(), StoreError> {
        let json = serde_json::to_string(hints)?;
        self.atomically(|transaction, _| {
            let mut set = transaction.prepare_cached("insert or replace into keepsake values ('hints/' || ?1, ?2)")?;
            Ok(set.execute([tool, &json]).map(|_| ())?)
        })
    }

    fn hints(&self) -> Result<BTreeMap<String, Hints>, StoreError> {
        let mut statement =
            self.connection.prepare_cached("select substr(name, 7), value from keepsake where name glob 'hints/*'")?;
        let rows = statement.query_and_then([], |row| {
            let json: String = row.get(1)?;
            Ok::<_, StoreError>((row.get(0)?, serde_json::from_str(&json)?))
        })?;
        rows.collect()
    }

    fn bookmark(&self, source: &str) -> Result<Option<String>, StoreError> {
        let mut statement = self.connection.prepare_cached("select value from keepsake where name = 'bookmark/' || ?1")?;
        Ok(statement.query_row([source], |row| row.get(0)).optional()?)
    }

    fn set_bookmark(&mut self, source: &str, place: &str) -> Result<(), StoreError> {
        self.atomically(|transaction, _| {
            let mut set = transaction.prepare_cached("insert or replace into keepsake values ('bookmark/' || ?1, ?2)")?;
            Ok(set.execute([source, place]).map(|_| ())?)
        })
    }

    fn size(&self) -> Result<(u64, u64), StoreError> {
        let executions = self.connection.query_row("select coalesce(sum(runs + errors), 0) from rollup", [], |row| row.get(0))?;
        let pages =
            "select (page_count - freelist_count) * page_size from pragma_page_count, pragma_freelist_count, pragma_page_size";
        Ok((executions, self.connection.query_row(pages, [], |row| row.get(0))?))
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(!self.connection.prepare_cached("select 1 from series")?.exists([])?)
    }
}
