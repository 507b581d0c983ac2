//! What is asked of the store. Sums come from rollups; executions are reached through their series, newest first, never by a scan.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row as Answer};
use uuid::Uuid;

use super::connection::Param;
use super::names::key;
use super::pack::{DAY, Hours};
use super::sums::{self, day_of};
use super::table::{plain, uuid};
use crate::model::{
    BlobId, Counts, Execution, ExecutionId, Failing, Failure, Fingerprint, NewExecution, Recording, Rollup, Version, hour_of,
};
use crate::world::store::row::{Bits, Names, Row, bits, ended, first_id, hex, outcome_number, range_of_prefix, timestamp};
use crate::world::store::{FailingInput, FailureSummary, HourSummary, LoopCounters, Query, StoreError, VersionSummary, Which};

/// Everything of an execution, with what the dictionaries say.
const COLUMNS: &str =
    "e.id, e.began, e.duration, e.input, e.exit, e.exit_note, e.outcome, e.stdout, e.stderr, e.marked, e.expected,
 s.tool, s.version, c.name, f.body, e.given, e.series";
const JOINED: &str = "join series s on s.id = e.series join caller c on c.id = e.caller left join failure f on f.id = e.failure";

fn execution(row: &Answer) -> Result<Execution, StoreError> {
    let digest =
        |column: usize| -> Result<Option<Bits>, StoreError> { Ok(row.try_get::<_, Option<Uuid>>(column)?.map(Uuid::into_bytes)) };
    let columns = Row {
        id: row.try_get::<_, Uuid>(0)?.into_bytes(),
        // When it began is a column of its own here.
        lag: 0,
        duration: row.try_get(2)?,
        input: digest(3)?,
        exit: row.try_get(4)?,
        exit_note: row.try_get(5)?,
        outcome: row.try_get(6)?,
        stdout: digest(7)?,
        stderr: digest(8)?,
        marked: row.try_get(9)?,
        expected: digest(10)?,
    };
    let names = Names {
        tool: row.try_get(11)?,
        version: row.try_get(12)?,
        caller: row.try_get(13)?,
        failure: row.try_get(14)?,
        input: row.try_get(15)?,
    };
    Ok(Execution { at: timestamp(row.try_get(1)?), ..columns.execution(names)? })
}

fn number(row: &Answer, column: usize) -> Result<u64, StoreError> {
    Ok(u64::try_from(row.try_get::<_, i64>(column)?).unwrap_or(0))
}

fn hour(since: Timestamp) -> i32 {
    i32::try_from(hour_of(since.as_millisecond())).unwrap_or(0)
}

/// The number of a tool's version.
pub(super) async fn series(client: &Client, tool: &str, version: &Version) -> Result<Option<i32>, StoreError> {
    let key = key(&[tool, version.as_str()]);
    let row = client.query_typed_opt("select id from series where key = $1", &[(&key, Type::UUID)]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// One execution; `None` when it is gone.
pub(super) async fn one(client: &Client, series: i32, id: &Bits) -> Result<Option<Execution>, StoreError> {
    let sql = format!("select {COLUMNS} from execution e {JOINED} where e.series = $1 and e.id = $2");
    let row = client.query_typed_opt(&sql, &[(&series, Type::INT4), (&uuid(id), Type::UUID)]).await?;
    row.as_ref().map(execution).transpose()
}

/// Executions of a series from one identity on and before another, in their order.
pub(super) async fn page(
    client: &Client,
    series: i32,
    from: &Bits,
    to: &Bits,
    limit: usize,
) -> Result<Vec<Execution>, StoreError> {
    let sql = format!(
        "select {COLUMNS} from execution e {JOINED} where e.series = $1 and e.id >= $2 and e.id < $3 order by e.id limit $4"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (from, to) = (uuid(from), uuid(to));
    let parameters: [Param<'_>; 4] = [(&series, Type::INT4), (&from, Type::UUID), (&to, Type::UUID), (&limit, Type::INT8)];
    client.query_typed(&sql, &parameters).await?.iter().map(execution).collect()
}

/// The series and the identity of the execution whose identity begins so.
pub(super) async fn place(client: &Client, prefix: &str) -> Result<(i32, Bits), StoreError> {
    let gone = || StoreError::NoSuchExecution(prefix.chars().take(80).collect());
    let (from, to) = range_of_prefix(prefix).ok_or_else(gone)?;
    let sql = "select e.series, e.id from series s cross join lateral (
                 select series, id from execution where series = s.id and id between $1 and $2 limit 2) e limit 2";
    let rows = client.query_typed(sql, &[(&uuid(&from), Type::UUID), (&uuid(&to), Type::UUID)]).await?;
    match rows.as_slice() {
        [] => Err(gone()),
        [only] => Ok((only.try_get(0)?, only.try_get::<_, Uuid>(1)?.into_bytes())),
        _ => Err(StoreError::Ambiguous(prefix.to_string())),
    }
}

pub(super) async fn find(client: &Client, prefix: &str) -> Result<Execution, StoreError> {
    let (series, id) = place(client, prefix).await?;
    one(client, series, &id).await?.ok_or_else(|| StoreError::NoSuchExecution(prefix.to_string()))
}

pub(super) async fn versions(
    client: &Client,
    tools: Option<&[String]>,
    since: Timestamp,
) -> Result<Vec<VersionSummary>, StoreError> {
    let since = hour(since);
    // Whole days are sums already; of the day in which the hour is, its hours are added up here.
    let split = i32::from(since.rem_euclid(DAY) > 0);
    let begin = day_of(since) + split;
    let sql = "select s.tool, s.version, sum(r.runs), sum(r.failures), min(r.first::text collate \"C\")::uuid,
                 max(r.last::text collate \"C\")::uuid
               from series s join rollup r on r.series = s.id where ($1::text[] is null or s.tool = any($1)) and r.day >= $2
               group by s.id having sum(r.runs) > 0";
    let mut sums: BTreeMap<(String, String), VersionSummary> = BTreeMap::new();
    let mut add = |summary: VersionSummary| {
        let place = (summary.tool.clone(), summary.version.0.clone());
        sums.entry(place).and_modify(|sum| sum.add(&summary)).or_insert(summary);
    };
    for row in client.query_typed(sql, &[(&tools, Type::TEXT_ARRAY), (&begin, Type::INT4)]).await? {
        let counts = Counts { runs: number(&row, 2)?, failures: number(&row, 3)? };
        let (first, last): (Uuid, Uuid) = (row.try_get(4)?, row.try_get(5)?);
        add(summary(row.try_get(0)?, row.try_get(1)?, counts, first.as_bytes(), last.as_bytes()));
    }
    if split > 0 {
        let sql = "select r.series, r.day, r.hours, s.tool, s.version from series s join rollup r on r.series = s.id
                   where ($1::text[] is null or s.tool = any($1)) and r.day = $2";
        for row in client.query_typed(sql, &[(&tools, Type::TEXT_ARRAY), (&day_of(since), Type::INT4)]).await? {
            let of_day = sums::add_up(std::slice::from_ref(&row))?.into_values().flatten();
            for (_, rollup) in of_day.filter(|((hour, _), _)| *hour >= since) {
                let counts = Counts { runs: rollup.runs, failures: rollup.failures };
                if let Some(((first, _), (last, _))) = rollup.ends {
                    add(summary(row.try_get(3)?, row.try_get(4)?, counts, &first, &last));
                }
            }
        }
    }
    let place = |tool: &String| tools.and_then(|tools| tools.iter().position(|wanted| wanted == tool));
    let mut sums: Vec<VersionSummary> = sums.into_values().collect();
    sums.sort_by(|a, b| (place(&a.tool), &a.tool, a.last).cmp(&(place(&b.tool), &b.tool, b.last)));
    Ok(sums)
}

fn summary(tool: String, version: String, counts: Counts, first: &Bits, last: &Bits) -> VersionSummary {
    let (first, last) = (timestamp(ended(first)), timestamp(ended(last)));
    VersionSummary { tool, version: Version(version), counts, first, last }
}

pub(super) async fn failures(
    client: &Client,
    series: i32,
    since: Timestamp,
    recent: Timestamp,
) -> Result<Vec<FailureSummary>, StoreError> {
    #[derive(Default)]
    struct Kind {
        failures: u64,
        recent: u64,
        inputs: BTreeSet<Bits>,
        newest: Bits,
    }
    let (mut kinds, recent) = (BTreeMap::<i64, Kind>::new(), hour(recent));
    for ((hour, _), rollup) in hours_since(client, series, hour(since)).await? {
        for ((fingerprint, input), failing) in rollup.failing {
            let kind = kinds.entry(fingerprint).or_default();
            kind.failures += failing.failures;
            kind.recent += if hour >= recent { failing.failures } else { 0 };
            kind.inputs.extend(input);
            kind.newest = kind.newest.max(failing.newest);
        }
    }
    let newest: Vec<Uuid> = kinds.values().map(|kind| uuid(&kind.newest)).collect();
    let sql = "select e.id, f.body from execution e join failure f on f.id = e.failure where e.series = $1 and e.id = any($2)";
    let rows = client.query_typed(sql, &[(&series, Type::INT4), (&newest, Type::UUID_ARRAY)]).await?;
    let bodies = rows.iter().map(|row| Ok((row.try_get(0)?, serde_json::from_str(row.try_get(1)?)?)));
    let bodies = bodies.collect::<Result<HashMap<Uuid, Failure>, StoreError>>()?;
    let summary = |kind: Kind| {
        let failure = bodies.get(&uuid(&kind.newest))?.clone();
        let (distinct_inputs, last) = (kind.inputs.len() as u64, timestamp(ended(&kind.newest)));
        Some(FailureSummary { failure, failures: kind.failures, recent: kind.recent, distinct_inputs, last })
    };
    let mut summaries: Vec<FailureSummary> = kinds.into_values().filter_map(summary).collect();
    summaries.sort_by_key(|summary| std::cmp::Reverse(summary.failures));
    Ok(summaries)
}

/// The hours of a series from one on.
async fn hours_since(client: &Client, series: i32, since: i32) -> Result<Hours, StoreError> {
    let sql = "select series, day, hours from rollup where series = $1 and day >= $2";
    let rows = client.query_typed(sql, &[(&series, Type::INT4), (&day_of(since), Type::INT4)]).await?;
    let mut hours: Hours = sums::add_up(&rows)?.into_values().flatten().collect();
    hours.retain(|(hour, _), _| *hour >= since);
    Ok(hours)
}

pub(super) async fn hours(client: &Client, series: i32, since: Timestamp) -> Result<Vec<HourSummary>, StoreError> {
    let sums = hours_since(client, series, hour(since)).await?;
    let callers: Vec<i32> = sums.keys().map(|(_, caller)| *caller).collect();
    let ends = || sums.values().filter_map(|rollup| rollup.ends).flat_map(|(first, last)| [first.1, last.1]);
    let prints: Vec<i32> = ends().flatten().filter_map(|print| i32::try_from(print).ok()).collect();
    let (callers, prints) = (texts(client, "caller", &callers).await?, texts(client, "fingerprint", &prints).await?);
    let end = |end: Option<(Bits, Option<i64>)>| {
        let print = end.and_then(|(_, print)| i32::try_from(print?).ok()).and_then(|print| prints.get(&print));
        (timestamp(end.map_or(0, |(id, _)| ended(&id))), print.cloned().map(Fingerprint::known))
    };
    let summary = |((hour, caller), rollup): ((i32, i32), Rollup)| {
        let (first, last) = rollup.ends.unzip();
        HourSummary {
            hour: hour.into(),
            caller: callers.get(&caller).cloned().unwrap_or_default(),
            counts: Counts { runs: rollup.runs, failures: rollup.failures },
            errors: rollup.errors,
            episodes: rollup.episodes,
            settled: rollup.settled,
            log_sum: rollup.log_sum,
            log_squares: rollup.log_squares,
            durations: rollup.sketch,
            first: end(first),
            last: end(last),
        }
    };
    Ok(sums.into_iter().map(summary).collect())
}

/// The names behind numbers.
async fn texts(client: &Client, table: &str, numbers: &[i32]) -> Result<HashMap<i32, String>, StoreError> {
    let sql = format!("select id, name from {table} where id = any($1)");
    let rows = client.query_typed(&sql, &[(&numbers, Type::INT4_ARRAY)]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

pub(super) async fn failing_inputs(client: &Client, series: i32, since: Timestamp) -> Result<Vec<FailingInput>, StoreError> {
    let mut sums = Rollup::default();
    for rollup in hours_since(client, series, hour(since)).await?.into_values() {
        sums.merge(&Rollup { failing: rollup.failing, ..Rollup::default() });
    }
    let prints: Vec<i32> = sums.failing.keys().filter_map(|(print, _)| i32::try_from(*print).ok()).collect();
    let prints = texts(client, "fingerprint", &prints).await?;
    let failing = |((print, input), failing): ((i64, Option<Bits>), Failing)| {
        Some(FailingInput {
            fingerprint: Fingerprint::known(prints.get(&i32::try_from(print).ok()?)?.clone()),
            input: input.as_ref().map(hex).unwrap_or_default(),
            failures: failing.failures,
            newest: ExecutionId::from_bytes(failing.newest),
        })
    };
    let mut inputs: Vec<FailingInput> = sums.failing.into_iter().filter_map(failing).collect();
    inputs.sort_by(|a, b| b.newest.cmp(&a.newest));
    Ok(inputs)
}

pub(super) async fn executions(client: &Client, query: &Query<'_>) -> Result<Vec<Execution>, StoreError> {
    let (condition, outcome, print) = match query.which {
        Which::All => ("true", 0, None),
        Which::Counted => ("x.outcome <> 2", 0, None),
        Which::Only(outcome) => ("x.outcome = $8", outcome_number(outcome), None),
        Which::FailuresLike(print) => ("x.fingerprint = (select id from fingerprint where key = $9)", 0, Some(key(&[print]))),
    };
    let sql = format!(
        "select {COLUMNS} from series w cross join lateral (
           select * from execution x where x.series = w.id and x.id >= $3 and x.id < $4 and x.began >= $5
             and ($6::uuid is null or x.caller = (select id from caller where key = $6)) and {condition}
           order by x.id desc limit $7) e {JOINED}
         where ($1::text is null or w.tool = $1) and ($2::text is null or w.version = $2) order by e.id desc limit $7"
    );
    let since = query.since.as_millisecond();
    // Whatever started since has ended since.
    let from = first_id(since).max(query.after.and_then(ExecutionId::bytes).map_or([0; 16], |id| next(&id)));
    let to = query.until.map_or([0xff; 16], |until| first_id(until.as_millisecond()));
    let to = to.min(query.before.and_then(ExecutionId::bytes).unwrap_or([0xff; 16]));
    let (from, to) = (uuid(&from), uuid(&to));
    let version = query.version.map(|version| plain(version.as_str()));
    let caller = query.caller.map(|caller| key(&[caller]));
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let parameters: [Param<'_>; 9] = [
        (&query.tool, Type::TEXT),
        (&version, Type::TEXT),
        (&from, Type::UUID),
        (&to, Type::UUID),
        (&since, Type::INT8),
        (&caller, Type::UUID),
        (&limit, Type::INT8),
        (&outcome, Type::INT2),
        (&print, Type::UUID),
    ];
    client.query_typed(&sql, &parameters).await?.iter().map(execution).collect()
}

/// The identity after one.
pub(super) fn next(id: &Bits) -> Bits {
    u128::from_be_bytes(*id).saturating_add(1).to_be_bytes()
}

/// The contents behind digests, in their order; `None` where none is kept.
pub(super) async fn contents<const N: usize>(
    client: &Client,
    execution: &Execution,
    blobs: [Option<&BlobId>; N],
) -> Result<[Option<Vec<u8>>; N], StoreError> {
    let wanted = blobs.map(|blob| blob.and_then(|blob| bits(&blob.0)).as_ref().map(uuid));
    let mut found: [Option<Vec<u8>>; N] = std::array::from_fn(|_| None);
    let ids: Vec<Uuid> = wanted.iter().flatten().copied().collect();
    if ids.is_empty() {
        return Ok(found);
    }
    let sql = "select b.id, b.content from blob b join series s on s.id = b.series where s.key = $1 and b.id = any($2)";
    let series = key(&[&execution.tool, execution.version.as_str()]);
    for row in client.query_typed(sql, &[(&series, Type::UUID), (&ids, Type::UUID_ARRAY)]).await? {
        let id: Uuid = row.try_get(0)?;
        for (wanted, content) in wanted.iter().zip(&mut found) {
            if *wanted == Some(id) {
                *content = Some(row.try_get(1)?);
            }
        }
    }
    Ok(found)
}

/// An execution with its bytes.
pub(super) async fn load(client: &Client, execution: Execution) -> Result<Recording, StoreError> {
    let expected = execution.mark.as_ref().and_then(|mark| mark.expected.as_ref());
    let is_expected = expected.is_some();
    let blobs = [execution.input.stdin.as_ref(), execution.stdout.as_ref(), expected];
    let [stdin, stdout, expected] = contents(client, &execution, blobs).await?.map(Option::unwrap_or_default);
    Ok(Recording { stdin, stdout, expected: is_expected.then_some(expected), execution })
}

/// Executions that were not sent, oldest first, with their bytes.
pub(super) async fn unsent(client: &Client, limit: usize) -> Result<Vec<NewExecution>, StoreError> {
    let sql = format!(
        "select {COLUMNS} from (select series, id from unsent order by id limit $1) u
         join execution e on e.series = u.series and e.id = u.id {JOINED} order by e.id"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut unsent = Vec::new();
    for row in client.query_typed(&sql, &[(&limit, Type::INT8)]).await? {
        let execution = execution(&row)?;
        let expected = execution.mark.as_ref().and_then(|mark| mark.expected.as_ref());
        let blobs = [execution.input.stdin.as_ref(), execution.stdout.as_ref(), execution.stderr.as_ref(), expected];
        let [stdin, stdout, stderr, expected] = contents(client, &execution, blobs).await?;
        unsent.push(NewExecution { execution, stdin, stdout, stderr, expected });
    }
    Ok(unsent)
}

pub(super) async fn counters(client: &Client) -> Result<LoopCounters, StoreError> {
    let rows = client.query_typed("select name, value from counter", &[]).await?;
    let all: BTreeMap<String, i64> =
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, StoreError>>()?;
    let number = |name: &str| all.get(name).and_then(|value| u64::try_from(*value).ok()).unwrap_or(0);
    Ok(LoopCounters {
        cycles_completed: number("cycles"),
        tools_analysed: number("tools"),
        maintenance_runs: number("maintenance"),
        last_check: all.get("last_check").copied().map(timestamp),
        last_maintenance: all.get("last_maintenance").copied().map(timestamp),
    })
}
