//! What is asked of the store. Sums come from rollups; executions are reached through their series, newest first, never by a scan.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::write::{day_begins, day_of};
use crate::model::{Counts, Execution, ExecutionId, Failure, Fingerprint, Sketch, Version, hour_of};
use crate::world::store::row::{Bits, Names, Row, ended, first_id, outcome_number, range_of_prefix, timestamp};
use crate::world::store::{FailingInput, FailureSummary, HourSummary, LoopCounters, Query, StoreError, VersionSummary, Which};

/// Everything of an execution, with what the dictionaries say.
const COLUMNS: &str =
    "e.id, e.lag, e.duration, e.input, e.exit, e.exit_note, e.outcome, e.stdout, e.stderr, e.marked, e.expected,
 s.tool, s.version, c.name, f.body, i.content";
const JOINED: &str = "execution e join series s on s.id = e.series join caller c on c.id = e.caller
 left join failure f on f.id = e.failure left join input i on i.series = e.series and i.id = e.input";

fn execution(row: &rusqlite::Row<'_>) -> Result<Execution, StoreError> {
    let columns = Row {
        id: row.get(0)?,
        lag: row.get(1)?,
        duration: row.get(2)?,
        input: row.get(3)?,
        exit: row.get(4)?,
        exit_note: row.get(5)?,
        outcome: row.get(6)?,
        stdout: row.get(7)?,
        stderr: row.get(8)?,
        marked: row.get(9)?,
        expected: row.get(10)?,
    };
    let names =
        Names { tool: row.get(11)?, version: row.get(12)?, caller: row.get(13)?, failure: row.get(14)?, input: row.get(15)? };
    columns.execution(names)
}

/// The number of a tool's version.
pub(super) fn series(connection: &Connection, tool: &str, version: &Version) -> Result<Option<i64>, StoreError> {
    let mut statement = connection.prepare_cached("select id from series where tool = ?1 and version = ?2")?;
    Ok(statement.query_row([tool, &version.0], |row| row.get(0)).optional()?)
}

/// The numbers of all versions of a tool, or of everything.
pub(super) fn all_series(connection: &Connection, tool: Option<&str>, version: Option<&Version>) -> Result<Vec<i64>, StoreError> {
    let which = if tool.is_some() { "tool = ?1" } else { "?1 is null" };
    let sql = format!("select id from series where {which} and (?2 is null or version = ?2) order by id");
    let version = version.map(|version| version.0.as_str());
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_map(params![tool, version], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// One execution; `None` when it is gone.
pub(super) fn one(connection: &Connection, series: i64, id: &Bits) -> Result<Option<Execution>, StoreError> {
    let sql = format!("select {COLUMNS} from {JOINED} where e.series = ?1 and e.id = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query_and_then(params![series, id.as_slice()], execution)?;
    found.next().transpose()
}

/// The series and the identity of the execution whose identity begins so.
pub(super) fn place(connection: &Connection, prefix: &str) -> Result<(i64, Bits), StoreError> {
    let gone = || StoreError::NoSuchExecution(prefix.chars().take(80).collect());
    let (from, to) = range_of_prefix(prefix).ok_or_else(gone)?;
    let mut statement =
        connection.prepare_cached("select id from execution where series = ?1 and id between ?2 and ?3 limit 2")?;
    let mut found = Vec::new();
    for series in all_series(connection, None, None)? {
        let ids = statement.query_map(params![series, from.as_slice(), to.as_slice()], |row| row.get(0))?;
        found.extend(ids.collect::<Result<Vec<Bits>, _>>()?.into_iter().map(|id| (series, id)));
        if found.len() > 1 {
            return Err(StoreError::Ambiguous(prefix.to_string()));
        }
    }
    found.pop().ok_or_else(gone)
}

pub(super) fn find(connection: &Connection, prefix: &str) -> Result<Execution, StoreError> {
    let (series, id) = place(connection, prefix)?;
    one(connection, series, &id)?.ok_or_else(|| StoreError::NoSuchExecution(prefix.to_string()))
}

pub(super) fn versions(
    connection: &Connection,
    tools: Option<&[String]>,
    since: Timestamp,
) -> Result<Vec<VersionSummary>, StoreError> {
    let hour = hour_of(since.as_millisecond());
    let Some(tools) = tools else { return versions_of(connection, None, hour) };
    let each = tools.iter().map(|tool| versions_of(connection, Some(tool), hour)).collect::<Result<Vec<_>, _>>()?;
    Ok(each.into_iter().flatten().collect())
}

/// The versions of one tool or of all since an hour: from the rest of its day, and from the days after it.
fn versions_of(connection: &Connection, tool: Option<&str>, hour: i64) -> Result<Vec<VersionSummary>, StoreError> {
    let which = if tool.is_some() { "s.tool = ?1" } else { "?1 is null" };
    let next_day = day_of(hour) + 1;
    let mut found: BTreeMap<i64, VersionSummary> = BTreeMap::new();
    for (sums, when, from) in [("day", "r.day >= ?2 and ?3 = ?3", next_day), ("rollup", "r.hour >= ?2 and r.hour < ?3", hour)] {
        let mut statement = connection.prepare_cached(&format!(
            "select s.id, s.tool, s.version, sum(r.runs), sum(r.failures), min(r.first), max(r.last)
             from series s join {sums} r on r.series = s.id where {which} and {when} group by s.id having sum(r.runs) > 0"
        ))?;
        let mut rows = statement.query(params![tool, from, day_begins(next_day)])?;
        while let Some(row) = rows.next()? {
            let (first, last): (Bits, Bits) = (row.get(5)?, row.get(6)?);
            let summary = VersionSummary {
                tool: row.get(1)?,
                version: Version(row.get(2)?),
                counts: Counts { runs: row.get(3)?, failures: row.get(4)? },
                first: timestamp(ended(&first)),
                last: timestamp(ended(&last)),
            };
            let known = found.entry(row.get(0)?);
            known.and_modify(|known| known.add(&summary)).or_insert(summary);
        }
    }
    let mut found: Vec<VersionSummary> = found.into_values().collect();
    found.sort_by(|a, b| (&a.tool, a.last).cmp(&(&b.tool, b.last)));
    Ok(found)
}

pub(super) fn failures(
    connection: &Connection,
    series: i64,
    since: Timestamp,
    recent: Timestamp,
) -> Result<Vec<FailureSummary>, StoreError> {
    let mut statement = connection.prepare_cached(
        "select sum(failures), sum(case when hour >= ?3 then failures else 0 end), count(distinct nullif(input, x'')), max(newest)
         from failing where series = ?1 and hour >= ?2 group by fingerprint order by sum(failures) desc, fingerprint",
    )?;
    let hours = (hour_of(since.as_millisecond()), hour_of(recent.as_millisecond()));
    let sums: Vec<(u64, u64, u64, Bits)> = statement
        .query_map(params![series, hours.0, hours.1], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect::<Result<_, _>>()?;
    let mut newest = connection
        .prepare_cached("select f.body from execution e join failure f on f.id = e.failure where e.series = ?1 and e.id = ?2")?;
    let mut summaries = Vec::new();
    for (failures, recent, distinct_inputs, id) in sums {
        let body: Option<String> = newest.query_row(params![series, id.as_slice()], |row| row.get(0)).optional()?;
        let Some(body) = body else { continue };
        summaries.push(FailureSummary {
            failure: serde_json::from_str::<Failure>(&body)?,
            failures,
            recent,
            distinct_inputs,
            last: timestamp(ended(&id)),
        });
    }
    Ok(summaries)
}

pub(super) fn hours(connection: &Connection, series: i64, since: Timestamp) -> Result<Vec<HourSummary>, StoreError> {
    let mut statement = connection.prepare_cached(
        "select r.hour, c.name, r.runs, r.failures, r.errors, r.episodes, r.settled, r.log_sum, r.log_squares, r.sketch, r.first, a.name,
         r.last, z.name from rollup r join caller c on c.id = r.caller left join fingerprint a on a.id = r.first_fingerprint
         left join fingerprint z on z.id = r.last_fingerprint where r.series = ?1 and r.hour >= ?2 order by r.hour, r.caller",
    )?;
    let rows = statement.query_and_then(params![series, hour_of(since.as_millisecond())], |row| {
        let end = |column: usize| -> Result<_, StoreError> {
            let id: Option<Bits> = row.get(column)?;
            let fingerprint: Option<String> = row.get(column + 1)?;
            Ok((timestamp(id.map_or(0, |id| ended(&id))), fingerprint.map(Fingerprint::known)))
        };
        Ok(HourSummary {
            hour: row.get(0)?,
            caller: row.get(1)?,
            counts: Counts { runs: row.get(2)?, failures: row.get(3)? },
            errors: row.get(4)?,
            episodes: row.get(5)?,
            settled: row.get(6)?,
            log_sum: row.get(7)?,
            log_squares: row.get(8)?,
            durations: Sketch::decode(row.get_ref(9)?.as_blob().map_err(rusqlite::Error::from)?).unwrap_or_default(),
            first: end(10)?,
            last: end(12)?,
        })
    })?;
    rows.collect()
}

pub(super) fn failing_inputs(connection: &Connection, series: i64, since: Timestamp) -> Result<Vec<FailingInput>, StoreError> {
    let mut statement = connection.prepare_cached(
        "select p.name, g.input, sum(g.failures), max(g.newest) from failing g join fingerprint p on p.id = g.fingerprint
         where g.series = ?1 and g.hour >= ?2 group by g.fingerprint, g.input order by max(g.newest) desc",
    )?;
    let rows = statement.query_and_then(params![series, hour_of(since.as_millisecond())], |row| {
        let input: Vec<u8> = row.get(1)?;
        Ok(FailingInput {
            fingerprint: Fingerprint::known(row.get(0)?),
            input: Bits::try_from(input).map(|bits| crate::world::store::row::hex(&bits)).unwrap_or_default(),
            failures: row.get(2)?,
            newest: ExecutionId::from_bytes(row.get(3)?),
        })
    })?;
    rows.collect()
}

pub(super) fn executions(connection: &Connection, query: &Query<'_>) -> Result<Vec<Execution>, StoreError> {
    let mut found: Vec<Execution> = Vec::new();
    // Newer versions first: of an older one, nothing below what was found is read.
    for series in all_series(connection, query.tool, query.version)?.into_iter().rev() {
        let floor = found.get(query.limit.wrapping_sub(1)).and_then(|oldest| oldest.id.bytes());
        found.extend(of_series(connection, series, query, floor)?);
        // The newest of all series: more than the limit is never kept.
        found.sort_by(|a, b| b.id.cmp(&a.id));
        found.truncate(query.limit);
    }
    Ok(found)
}

fn of_series(connection: &Connection, series: i64, query: &Query<'_>, floor: Option<Bits>) -> Result<Vec<Execution>, StoreError> {
    let (condition, wanted) = match query.which {
        Which::All => ("?5 = ?5", String::new()),
        Which::Counted => ("e.outcome != 2 and ?5 = ?5", String::new()),
        Which::Only(outcome) => ("e.outcome = ?5 + 0", outcome_number(outcome).to_string()),
        Which::FailuresLike(fingerprint) => {
            ("e.fingerprint = (select id from fingerprint where name = ?5)", fingerprint.to_string())
        }
    };
    let index = if condition.starts_with("e.fingerprint") { "indexed by execution_failed" } else { "" };
    let sql = format!(
        "select {COLUMNS} from {joined} where e.series = ?1 and e.id >= ?2 and e.id < ?3 and (?4 is null or c.name = ?4) and {condition}
         order by e.id desc",
        joined = JOINED.replacen("execution e", &format!("execution e {index}"), 1)
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let since = query.since.as_millisecond();
    let bits = |id: Option<&ExecutionId>| id.and_then(ExecutionId::bytes);
    let to = query.until.map_or([0xff; 16], |until| first_id(until.as_millisecond()));
    let to = bits(query.before).map_or(to, |before| to.min(before));
    // Whatever started since has ended since.
    let from = first_id(since).max(bits(query.after).map_or([0; 16], next)).max(floor.unwrap_or_default());
    let arguments = params![series, from.as_slice(), to.as_slice(), query.caller, wanted];
    let rows = statement.query_and_then(arguments, execution)?;
    let rows = rows.filter(|row| !row.as_ref().is_ok_and(|row| row.at.as_millisecond() < since));
    // Rows are read one by one in the order of the key: no more than these.
    rows.take(query.limit).collect()
}

/// The identity right after another.
fn next(id: Bits) -> Bits {
    u128::from_be_bytes(id).saturating_add(1).to_be_bytes()
}

/// The content behind a digest; empty when it is not kept.
pub(super) fn blob(connection: &Connection, series: Option<i64>, id: Option<&str>) -> Result<Vec<u8>, StoreError> {
    let (Some(series), Some(id)) = (series, id.and_then(crate::world::store::row::bits)) else { return Ok(Vec::new()) };
    let mut statement = connection.prepare_cached("select content from blob where series = ?1 and id = ?2")?;
    Ok(statement.query_row(params![series, id.as_slice()], |row| row.get(0)).optional()?.unwrap_or_default())
}

pub(super) fn counters(connection: &Connection) -> Result<LoopCounters, StoreError> {
    let get = |name: &str| -> Result<Option<i64>, StoreError> {
        Ok(connection.query_row("select value from counter where name = ?1", [name], |row| row.get(0)).optional()?)
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
