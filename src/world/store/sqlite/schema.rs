//! The tables, and how those of earlier versions become them.

use std::time::Duration;

use rusqlite::{Connection, Row, Transaction};

use super::write::{self, Names};
use crate::model::{BlobId, Execution, ExecutionId, Exit, Input, Mark, NewExecution, Version};
use crate::world::store::StoreError;
use crate::world::store::row::{outcome_of, timestamp};

/// The newest schema this program knows; older ones are brought forward when opened.
pub(super) const FORMAT: i64 = 2;

/// Executions of one tool and version (a series) lie together in the order in which they ended, so that the newest are read without
/// any further index, and an execution costs little more than its digests. Rollups are kept by class of caller: names that differ
/// only in numbers (`ci-run-17`) are one class; a class is a caller without one. Days are the sums of their hours. What repeats is written once: callers, fingerprints,
/// failures, and within a series inputs and outputs, each with the last hour in which a run had it, after which it may go.
pub(super) const TABLES: &str = "
create table series (id integer primary key, tool text not null, version text not null, failed integer not null default 0, unique (tool, version));
create table caller (id integer primary key, name text not null unique, class integer);
create table fingerprint (id integer primary key, name text not null unique);
create table failure (id integer primary key, digest blob not null unique, fingerprint integer not null, body text not null);
create table execution (
  series integer not null, id blob not null, lag integer not null, duration integer not null, input blob, exit integer not null,
  exit_note text, outcome integer not null, fingerprint integer, failure integer, stdout blob, stderr blob, caller integer not null,
  marked integer not null default 0, expected blob, primary key (series, id)
) without rowid;
create index execution_failed on execution (series, fingerprint, id) where fingerprint is not null;
create table input (series integer not null, id blob not null, hour integer not null, content text not null, primary key (series, id)) without rowid;
create table blob (series integer not null, id blob not null, hour integer not null, content blob not null, primary key (series, id)) without rowid;
create table rollup (
  series integer not null, hour integer not null, caller integer not null, runs integer not null, failures integer not null,
  errors integer not null, episodes integer not null, settled integer not null, log_sum integer not null, log_squares integer not null,
  first blob, first_fingerprint integer, last blob, last_fingerprint integer, sketch blob not null, primary key (series, hour, caller)
) without rowid;
create index rollup_unsettled on rollup (series, hour) where settled = 0;
create table day (
  series integer not null, day integer not null, runs integer not null, failures integer not null, first blob, last blob,
  primary key (series, day)
) without rowid;
create table failing (
  series integer not null, hour integer not null, caller integer not null, fingerprint integer not null, input blob not null,
  failures integer not null, newest blob not null, primary key (series, hour, caller, fingerprint, input)
) without rowid;
create table dirty (tool text primary key, news integer not null) without rowid;
create table counter (name text primary key, value integer not null) without rowid;
create table keepsake (name text primary key, value text not null) without rowid;
create table forgotten (id blob primary key) without rowid;
create table forgotten_range (tool text, since integer not null, until integer not null);
create table unsent (series integer not null, id blob not null, primary key (id, series)) without rowid;
create table received (segment text primary key) without rowid;
";

/// Makes the tables, or brings those of an earlier version forward.
///
/// # Errors
/// When the file cannot be written; nothing is changed then.
pub(super) fn migrate(connection: &mut Connection, newer: impl Fn(i64) -> StoreError) -> Result<(), StoreError> {
    let format = |connection: &Connection| connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
    match format(connection)? {
        FORMAT => return Ok(()),
        found if found > FORMAT => return Err(newer(found)),
        0 => connection.pragma_update(None, "auto_vacuum", "incremental")?,
        _ => {}
    }
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    let found = format(&transaction)?;
    if found < FORMAT {
        if found == 1 {
            for table in ["execution", "blob", "counter"] {
                transaction.execute_batch(&format!("alter table {table} rename to old_{table}"))?;
            }
        }
        transaction.execute_batch(TABLES)?;
        if found == 1 {
            from_first(&transaction)?;
        }
        transaction.pragma_update(None, "user_version", FORMAT)?;
    }
    Ok(transaction.commit()?)
}

/// Format 1 had a row of text for each execution, and no rollups.
fn from_first(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    const BATCH: usize = 10_000;
    let columns = "id, tool, version, at, duration, input, exit, outcome, failure, stdout, stderr, caller, marked, expected";
    let mut statement = transaction.prepare(&format!("select {columns} from old_execution order by id"))?;
    let mut rows = statement.query([])?;
    let mut names = Names::default();
    let mut batch = Vec::new();
    while let Some(row) = rows.next()? {
        batch.push(first_execution(transaction, row)?);
        if batch.len() == BATCH {
            write::ingest(transaction, &mut names, &std::mem::take(&mut batch), false)?;
        }
    }
    write::ingest(transaction, &mut names, &batch, false)?;
    drop(rows);
    drop(statement);
    transaction.execute_batch(
        "insert into counter select name, value from old_counter; drop table old_execution; drop table old_blob; drop table old_counter",
    )?;
    Ok(())
}

fn first_execution(transaction: &Transaction<'_>, row: &Row<'_>) -> Result<NewExecution, StoreError> {
    let text = |column: usize| row.get::<_, String>(column);
    // Blobs were named with twice as many digits.
    let short = |mut blob: BlobId| {
        blob.0.truncate(32);
        blob
    };
    let blob = |column: usize| -> Result<(Option<BlobId>, Option<Vec<u8>>), StoreError> {
        let long: Option<String> = row.get(column)?;
        let content = long.as_ref().map(|id| first_blob(transaction, id)).transpose()?.flatten();
        Ok((long.map(BlobId).map(short), content))
    };
    let mut input: Input = serde_json::from_str(&text(5)?)?;
    let stdin = input.stdin.as_ref().map(|id| first_blob(transaction, &id.0)).transpose()?.flatten();
    input.stdin = input.stdin.map(short);
    let ((stdout_id, stdout), (stderr_id, stderr), (expected_id, expected)) = (blob(9)?, blob(10)?, blob(13)?);
    let exit: Exit = serde_json::from_str(&text(6)?)?;
    let failure: Option<String> = row.get(8)?;
    let outcome = ["success", "failure"].iter().position(|word| text(7).is_ok_and(|text| text == *word)).unwrap_or(2);
    let execution = Execution {
        id: ExecutionId(text(0)?),
        tool: text(1)?,
        version: Version(text(2)?),
        at: timestamp(row.get(3)?),
        duration: Duration::from_micros(u64::try_from(row.get::<_, i64>(4)?).unwrap_or(0)),
        input,
        exit,
        outcome: outcome_of(i16::try_from(outcome).unwrap_or(2)),
        failure: failure.map(|json| serde_json::from_str(&json)).transpose()?,
        stdout: stdout_id,
        stderr: stderr_id,
        caller: text(11)?,
        mark: row.get::<_, bool>(12)?.then_some(Mark { expected: expected_id }),
    };
    Ok(NewExecution { execution, stdin, stdout, stderr, expected })
}

fn first_blob(transaction: &Transaction<'_>, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
    use rusqlite::OptionalExtension;
    let mut statement = transaction.prepare_cached("select content from old_blob where id = ?1")?;
    Ok(statement.query_row([id], |row| row.get(0)).optional()?)
}
