//! What goes: by age, by room, on somebody's wish. Rollups go, or are folded again, with the executions behind them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::{read, write};
use crate::model::{ExecutionId, hour_begins, hour_of};
use crate::world::store::row::{Bits, first_id};
use crate::world::store::{Forget, Retention, StoreError};

/// Bytes of an execution beside its content, with its share of rollups: what the benchmark measures.
const ROW_BYTES: u64 = 120;

/// Removes whole hours that are over. Returns how many executions went.
pub(super) fn prune(connection: &Connection, retention: &Retention) -> Result<u64, StoreError> {
    let mut gone = 0;
    for (series, tool) in tools(connection)? {
        let before = retention.before_of.get(&tool).unwrap_or(&retention.before);
        gone += remove_hours(connection, &[series], hour_of(before.as_millisecond()))?;
    }
    for (tool, bytes) in &retention.bytes_of {
        let own = read::all_series(connection, Some(tool), None)?;
        gone += shrink(connection, &own, *bytes)?;
    }
    if let Some(bytes) = retention.bytes {
        gone += shrink(connection, &read::all_series(connection, None, None)?, bytes)?;
    }
    if gone > 0 {
        remove_unused_names(connection)?;
    }
    Ok(gone)
}

fn tools(connection: &Connection) -> Result<Vec<(i64, String)>, StoreError> {
    let mut statement = connection.prepare("select id, tool from series")?;
    Ok(statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?)
}

/// Removes everything of these series that ended before an hour.
fn remove_hours(connection: &Connection, series: &[i64], hour: i64) -> Result<u64, StoreError> {
    let first = first_id(hour_begins(hour));
    let mut gone = 0;
    for series in series {
        gone += connection
            .prepare_cached("delete from execution where series = ?1 and id < ?2")?
            .execute(params![series, first.as_slice()])?;
        for table in ["rollup", "failing", "input", "blob"] {
            connection
                .prepare_cached(&format!("delete from {table} where series = ?1 and hour < ?2"))?
                .execute(params![series, hour])?;
        }
        connection.prepare_cached("delete from day where series = ?1 and day < ?2")?.execute([*series, write::day_of(hour)])?;
        write::sum_day_again(connection, *series, write::day_of(hour))?;
    }
    Ok(gone as u64)
}

/// Removes the oldest hours of these series until they take no more room than that.
fn shrink(connection: &Connection, series: &[i64], limit: u64) -> Result<u64, StoreError> {
    let mut by_hour = std::collections::BTreeMap::<i64, u64>::new();
    let runs = format!("select hour, sum(runs + errors) * {ROW_BYTES} from rollup where series = ?1 group by hour");
    let contents =
        ["input", "blob"].map(|table| format!("select hour, sum(length(content)) from {table} where series = ?1 group by hour"));
    for sql in [runs].iter().chain(&contents) {
        let mut statement = connection.prepare_cached(sql)?;
        for series in series {
            for row in statement.query_map([series], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, u64>(1)?)))? {
                let (hour, bytes) = row?;
                *by_hour.entry(hour).or_default() += bytes;
            }
        }
    }
    let mut room = limit;
    let too_old = by_hour.iter().rev().find(|(_, bytes)| match room.checked_sub(**bytes) {
        Some(left) => {
            room = left;
            false
        }
        None => true,
    });
    too_old.map_or(Ok(0), |(hour, _)| remove_hours(connection, series, hour + 1))
}

/// Removes versions without executions, and failures and names that nothing has any more.
fn remove_unused_names(connection: &Connection) -> Result<(), StoreError> {
    connection.execute_batch(
        "delete from series where not exists (select 1 from execution e where e.series = series.id);
         delete from dirty where tool not in (select tool from series);
         delete from failure where id not in (select failure from execution where fingerprint is not null);
         delete from fingerprint where id not in (select fingerprint from failure)
           and id not in (select fingerprint from failing);
         delete from caller where id not in (select caller from rollup) and id not in (select caller from execution);
         delete from unsent where not exists (select 1 from execution e where e.series = unsent.series and e.id = unsent.id);
         insert into keepsake values ('generation', '1')
           on conflict do update set value = cast(cast(value as integer) + 1 as text);",
    )?;
    Ok(())
}

// ---- on somebody's wish ----

pub(super) fn forget(connection: &Connection, what: &Forget) -> Result<Vec<ExecutionId>, StoreError> {
    let since = what.since.map_or(0, Timestamp::as_millisecond);
    let until = what.until.map_or(i64::MAX, Timestamp::as_millisecond);
    let mut gone = Vec::new();
    for series in read::all_series(connection, what.tool.as_deref(), None)? {
        let wanted = candidates(connection, series, since, until, what)?;
        if wanted.is_empty() {
            continue;
        }
        let mut remove = connection.prepare_cached("delete from execution where series = ?1 and id = ?2")?;
        for id in &wanted {
            remove.execute(params![series, id.as_slice()])?;
        }
        let hours: BTreeSet<i64> = wanted.iter().map(|id| hour_of(crate::world::store::row::ended(id))).collect();
        hours.iter().try_for_each(|hour| write::fold_again(connection, series, *hour))?;
        remove_unused_content(connection, series)?;
        gone.extend(wanted);
    }
    remember(connection, what, since, until, &gone)?;
    remove_unused_names(connection)?;
    Ok(gone.into_iter().map(ExecutionId::from_bytes).collect())
}

/// The executions of a series that the wish is about.
pub(super) fn candidates(
    connection: &Connection,
    series: i64,
    since: i64,
    until: i64,
    what: &Forget,
) -> Result<Vec<Bits>, StoreError> {
    let to = if until == i64::MAX { [0xff; 16] } else { first_id(until) };
    let mut statement =
        connection.prepare_cached("select id from execution where series = ?1 and id >= ?2 and id <= ?3 order by id")?;
    let ids = statement.query_map(params![series, first_id(since).as_slice(), to.as_slice()], |row| row.get(0))?;
    let mut wanted = Vec::new();
    for id in ids {
        let id: Bits = id?;
        let listed = what.ids.as_ref().is_none_or(|ids| ids.contains(&ExecutionId::from_bytes(id)));
        if listed && id < to && matches(connection, series, &id, what)? {
            wanted.push(id);
        }
    }
    Ok(wanted)
}

fn matches(connection: &Connection, series: i64, id: &Bits, what: &Forget) -> Result<bool, StoreError> {
    let Some(pattern) = &what.pattern else { return Ok(true) };
    let Some(execution) = read::one(connection, series, id)? else { return Ok(false) };
    let mark = execution.mark.as_ref().and_then(|mark| mark.expected.as_ref());
    let blobs = [execution.input.stdin.as_ref(), execution.stdout.as_ref(), execution.stderr.as_ref(), mark];
    for blob in blobs.into_iter().flatten() {
        if pattern.is_match(&read::blob(connection, Some(series), Some(&blob.0))?) {
            return Ok(true);
        }
    }
    let in_input = execution.input.args.iter().any(|arg| pattern.is_match(&arg.0));
    let said = execution
        .failure
        .as_ref()
        .is_some_and(|failure| pattern.is_match(failure.message.as_bytes()) || pattern.is_match(failure.class.as_bytes()));
    Ok(in_input || said || pattern.is_match(execution.exit.to_string().as_bytes()))
}

/// Inputs and outputs of a series that none of its executions has any more.
fn remove_unused_content(connection: &Connection, series: i64) -> Result<(), StoreError> {
    connection
        .prepare_cached("delete from input where series = ?1 and id not in (select input from execution where series = ?1 and input is not null)")?
        .execute([series])?;
    connection
        .prepare_cached(
            "delete from blob where series = ?1 and id not in (
               select stdout from execution where series = ?1 and stdout is not null
               union select stderr from execution where series = ?1 and stderr is not null
               union select expected from execution where series = ?1 and expected is not null
               union select unhex(substr(json_extract(content, '$.stdin'), 1, 32)) from input
                 where series = ?1 and json_extract(content, '$.stdin') is not null)",
        )?
        .execute([series])?;
    Ok(())
}

/// What was forgotten stays away: a range when nothing else was asked for, else each identity.
fn remember(connection: &Connection, what: &Forget, since: i64, until: i64, gone: &[Bits]) -> Result<(), StoreError> {
    if what.pattern.is_none() && what.ids.is_none() {
        connection.execute("insert into forgotten_range values (?1, ?2, ?3)", params![what.tool, since, until])?;
        return Ok(());
    }
    let mut statement = connection.prepare_cached("insert or ignore into forgotten values (?1)")?;
    let listed = what.ids.iter().flatten().filter_map(ExecutionId::bytes);
    for id in gone.iter().copied().chain(listed) {
        statement.execute([id.as_slice()])?;
    }
    Ok(())
}
