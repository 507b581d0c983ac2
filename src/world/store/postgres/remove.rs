//! What goes: by age, by room, on somebody's wish. Rollups go, or are folded again, with the executions behind them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use regex::bytes::Regex;
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::connection::Param;
use super::lock::{Lock, atomically};
use super::table::uuid;
use super::write::hour;
use super::{read, sums};
use crate::model::{Execution, ExecutionId, hour_begins, hour_of};
use crate::world::store::row::{Bits, bits, first_id};
use crate::world::store::{Forget, Forgotten, ForgottenRange, Retention, StoreError};

/// Bytes of an execution beside its content, with its share of keys and rollups: what the benchmark measures.
const ROW_BYTES: i64 = 215;
/// The hour in an identity.
const HOUR_OF_ID: &str = "(('x' || translate(left(id::text, 13), '-', ''))::bit(48)::bigint / 3600000)::integer";
/// Executions, and contents, that are looked at in one statement.
const PAGE: usize = 10_000;
const BLOBS: i64 = 64;

/// Removes whole hours that are over. Returns how many executions went.
///
/// Each series goes in a transaction of its own: others write in between.
pub(super) async fn prune(client: &Client, retention: &Retention) -> Result<u64, StoreError> {
    let mut gone = 0;
    let all = every_series(client).await?;
    let before = |tool: &str| {
        let before = retention.before_of.get(tool).unwrap_or(&retention.before);
        i32::try_from(hour_of(before.as_millisecond())).unwrap_or(0)
    };
    let too_old: Vec<(i32, i32)> = all.iter().map(|(series, tool)| (*series, before(tool))).collect();
    for (series, hour) in with_older(client, &too_old).await? {
        gone += remove_hours(client, series, hour).await?;
    }
    for (tool, bytes) in &retention.bytes_of {
        let own: Vec<i32> = all.iter().filter(|(_, of)| of == tool).map(|(series, _)| *series).collect();
        gone += shrink(client, &own, *bytes).await?;
    }
    if let Some(bytes) = retention.bytes {
        let every: Vec<i32> = all.iter().map(|(series, _)| *series).collect();
        gone += shrink(client, &every, bytes).await?;
    }
    if gone > 0 {
        atomically(client, Lock::Alone, async |client| remove_unused_names(client).await).await?;
    }
    Ok(gone)
}

async fn every_series(client: &Client) -> Result<Vec<(i32, String)>, StoreError> {
    let rows = client.query_typed("select id, tool from series order by id", &[]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Those that have anything older than their hour.
async fn with_older(client: &Client, hours: &[(i32, i32)]) -> Result<Vec<(i32, i32)>, StoreError> {
    let (series, hours): (Vec<i32>, Vec<i32>) = hours.iter().copied().unzip();
    let first: Vec<Uuid> = hours.iter().map(|hour| uuid(&first_id(hour_begins((*hour).into())))).collect();
    let sql = "select w.series, w.hour from unnest($1, $2, $3) as w (series, hour, first)
               where exists (select 1 from execution e where e.series = w.series and e.id < w.first) order by w.series";
    let each: [Param<'_>; 3] = [(&series, Type::INT4_ARRAY), (&hours, Type::INT4_ARRAY), (&first, Type::UUID_ARRAY)];
    let rows = client.query_typed(sql, &each).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Removes everything of a series that ended before an hour.
async fn remove_hours(client: &Client, series: i32, hour: i32) -> Result<u64, StoreError> {
    let first = uuid(&first_id(hour_begins(hour.into())));
    atomically(client, Lock::Alone, async |client| {
        let place: [Param<'_>; 2] = [(&series, Type::INT4), (&first, Type::UUID)];
        let gone = client.execute_typed("delete from execution where series = $1 and id < $2", &place).await?;
        client.execute_typed("delete from unsent where series = $1 and id < $2", &place).await?;
        sums::remove_before(client, series, hour).await?;
        let place: [Param<'_>; 2] = [(&series, Type::INT4), (&hour, Type::INT4)];
        client.execute_typed("delete from blob where series = $1 and hour < $2", &place).await?;
        Ok(gone)
    })
    .await
}

/// Removes the oldest hours of these series until they take no more room than that.
async fn shrink(client: &Client, series: &[i32], limit: u64) -> Result<u64, StoreError> {
    let sql = format!(
        "select hour, sum(bytes)::bigint from (
           select {HOUR_OF_ID} as hour, {ROW_BYTES} + coalesce(octet_length(given), 0)::bigint as bytes
             from execution where series = any($1)
           union all select hour, octet_length(content)::bigint from blob where series = any($1)
         ) as each group by hour order by hour desc"
    );
    let mut room = limit;
    let mut too_old = None;
    for row in client.query_typed(&sql, &[(&series, Type::INT4_ARRAY)]).await? {
        let bytes = u64::try_from(row.try_get::<_, i64>(1)?).unwrap_or(0);
        match room.checked_sub(bytes) {
            Some(left) => room = left,
            None => {
                too_old = Some(row.try_get::<_, i32>(0)? + 1);
                break;
            }
        }
    }
    let Some(hour) = too_old else { return Ok(0) };
    let hours: Vec<(i32, i32)> = series.iter().map(|series| (*series, hour)).collect();
    let mut gone = 0;
    for (series, hour) in with_older(client, &hours).await? {
        gone += remove_hours(client, series, hour).await?;
    }
    Ok(gone)
}

/// Removes versions without executions, and failures and names that nothing has any more. Alone with the store: numbers that others
/// have looked up are outdated afterwards, which they see by the generation.
async fn remove_unused_names(client: &Client) -> Result<(), StoreError> {
    client
        .batch_execute(
            "delete from series s where not exists (select 1 from execution e where e.series = s.id);
             delete from dirty d where not exists (select 1 from series s where s.tool = d.tool);
             delete from failure where id not in (select failure from execution where fingerprint is not null and failure is not null);
             delete from fingerprint where id not in (select fingerprint from failure);
             delete from caller where id not in (select caller from execution)
               and id not in (select class from caller where class is not null and id in (select caller from execution));
             insert into counter values ('generation', 1) on conflict (name) do update set value = counter.value + 1",
        )
        .await?;
    Ok(())
}

// ---- on somebody's wish ----

/// Removes in one transaction. Returns the identities.
pub(super) async fn forget(client: &Client, what: &Forget) -> Result<Vec<ExecutionId>, StoreError> {
    let since = what.since.map_or(0, Timestamp::as_millisecond);
    let until = what.until.map_or(i64::MAX, Timestamp::as_millisecond);
    let mut gone: Vec<Bits> = Vec::new();
    for (series, tool) in every_series(client).await? {
        if what.tool.as_ref().is_some_and(|wanted| *wanted != tool) {
            continue;
        }
        let wanted = candidates(client, series, since, until, what).await?;
        if wanted.is_empty() {
            continue;
        }
        let ids: Vec<Uuid> = wanted.iter().map(uuid).collect();
        let place: [Param<'_>; 2] = [(&series, Type::INT4), (&ids, Type::UUID_ARRAY)];
        client.execute_typed("delete from execution where series = $1 and id = any($2)", &place).await?;
        client.execute_typed("delete from unsent where series = $1 and id = any($2)", &place).await?;
        sums::fold_again(client, series, &wanted.iter().map(hour).collect()).await?;
        remove_unused_contents(client, series).await?;
        gone.extend(wanted);
    }
    remember(client, what, since, until, &gone).await?;
    remove_unused_names(client).await?;
    Ok(gone.into_iter().map(ExecutionId::from_bytes).collect())
}

/// What [`forget`] would remove now.
pub(super) async fn matching(client: &Client, what: &Forget) -> Result<Vec<(String, ExecutionId)>, StoreError> {
    let since = what.since.map_or(0, Timestamp::as_millisecond);
    let until = what.until.map_or(i64::MAX, Timestamp::as_millisecond);
    let mut found = Vec::new();
    for (series, tool) in every_series(client).await? {
        if what.tool.as_ref().is_none_or(|wanted| *wanted == tool) {
            let ids = candidates(client, series, since, until, what).await?;
            found.extend(ids.into_iter().map(|id| (tool.clone(), ExecutionId::from_bytes(id))));
        }
    }
    Ok(found)
}

/// What was forgotten so far.
pub(super) async fn forgotten(client: &Client) -> Result<Forgotten, StoreError> {
    let ids = client.query_typed("select id from forgotten", &[]).await?;
    let ids = ids.iter().map(|row| Ok(ExecutionId::from_bytes(row.try_get::<_, Uuid>(0)?.into_bytes())));
    let ranges = client.query_typed("select tool, since, until from forgotten_range", &[]).await?;
    let range =
        |row: &tokio_postgres::Row| Ok(ForgottenRange { tool: row.try_get(0)?, since: row.try_get(1)?, until: row.try_get(2)? });
    Ok(Forgotten {
        ids: ids.collect::<Result<_, StoreError>>()?,
        ranges: ranges.iter().map(range).collect::<Result<_, StoreError>>()?,
    })
}

/// Gives the room of what is gone back, so that new rows are written over it.
pub(super) async fn clean(client: &Client) -> Result<(), StoreError> {
    Ok(client.batch_execute("vacuum execution, blob, failure, caller, rollup").await?)
}

/// The executions of a series that the wish is about.
async fn candidates(client: &Client, series: i32, since: i64, until: i64, what: &Forget) -> Result<Vec<Bits>, StoreError> {
    let to = if until == i64::MAX { [0xff; 16] } else { first_id(until) };
    let blobs = match &what.pattern {
        Some(pattern) => matching_blobs(client, series, pattern).await?,
        None => BTreeSet::new(),
    };
    let (mut from, mut wanted) = (first_id(since), Vec::new());
    loop {
        let page = read::page(client, series, &from, &to, PAGE).await?;
        for execution in &page {
            let listed = what.ids.as_ref().is_none_or(|ids| ids.contains(&execution.id));
            if listed && what.pattern.as_ref().is_none_or(|pattern| matches(execution, pattern, &blobs)) {
                wanted.extend(execution.id.bytes());
            }
        }
        match page.last().and_then(|last| last.id.bytes()).filter(|_| page.len() == PAGE) {
            Some(last) => from = read::next(&last),
            None => return Ok(wanted),
        }
    }
}

/// The contents of a series in which a pattern is found.
async fn matching_blobs(client: &Client, series: i32, pattern: &Regex) -> Result<BTreeSet<Bits>, StoreError> {
    let sql = "select id, content from blob where series = $1 and id >= $2 order by id limit $3";
    let (mut from, mut matching) = ([0; 16], BTreeSet::new());
    loop {
        let place: [Param<'_>; 3] = [(&series, Type::INT4), (&uuid(&from), Type::UUID), (&BLOBS, Type::INT8)];
        let rows = client.query_typed(sql, &place).await?;
        let Some(last) = rows.last() else { return Ok(matching) };
        from = read::next(last.try_get::<_, Uuid>(0)?.as_bytes());
        for row in &rows {
            if pattern.is_match(row.try_get(1)?) {
                matching.insert(row.try_get::<_, Uuid>(0)?.into_bytes());
            }
        }
    }
}

fn matches(execution: &Execution, pattern: &Regex, blobs: &BTreeSet<Bits>) -> bool {
    let mark = execution.mark.as_ref().and_then(|mark| mark.expected.as_ref());
    let streams = [execution.input.stdin.as_ref(), execution.stdout.as_ref(), execution.stderr.as_ref(), mark];
    let in_stream = streams.into_iter().flatten().filter_map(|blob| bits(&blob.0)).any(|blob| blobs.contains(&blob));
    let in_input = execution.input.args.iter().any(|arg| pattern.is_match(&arg.0));
    let said = execution
        .failure
        .as_ref()
        .is_some_and(|failure| pattern.is_match(failure.message.as_bytes()) || pattern.is_match(failure.class.as_bytes()));
    in_stream || in_input || said || pattern.is_match(execution.exit.to_string().as_bytes())
}

/// Contents of a series that none of its executions has any more.
async fn remove_unused_contents(client: &Client, series: i32) -> Result<(), StoreError> {
    let used: Vec<String> = ["stdin", "stdout", "stderr", "expected"]
        .map(|column| format!("select {column} from execution where series = $1 and {column} is not null"))
        .to_vec();
    let sql = format!("delete from blob where series = $1 and id not in ({})", used.join(" union "));
    client.execute_typed(&sql, &[(&series, Type::INT4)]).await?;
    Ok(())
}

/// What was forgotten stays away: a range when nothing else was asked for, else each identity.
async fn remember(client: &Client, what: &Forget, since: i64, until: i64, gone: &[Bits]) -> Result<(), StoreError> {
    if what.pattern.is_none() && what.ids.is_none() {
        let range: [Param<'_>; 3] = [(&what.tool, Type::TEXT), (&since, Type::INT8), (&until, Type::INT8)];
        client.execute_typed("insert into forgotten_range values ($1, $2, $3)", &range).await?;
        return Ok(());
    }
    let listed = what.ids.iter().flatten().filter_map(ExecutionId::bytes);
    let ids: Vec<Uuid> = gone.iter().copied().chain(listed).map(|id| uuid(&id)).collect();
    let sql = "insert into forgotten select * from unnest($1) on conflict do nothing";
    client.execute_typed(sql, &[(&ids, Type::UUID_ARRAY)]).await?;
    Ok(())
}
