//! Rollups as parts that add up: written by whoever adds executions, merged by whoever reads, folded again where their order is lost.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::connection::Param;
use super::table::{BULK, Failing, Rollups, uuid};
use super::write::Entry;
use crate::model::{Rollup, RollupRun, Sketch, hour_begins};
use crate::world::store::StoreError;
use crate::world::store::row::{first_id, outcome_of};

/// Which rollup: series, hour, class of caller.
pub(super) type Key = (i32, i32, i32);

/// One key in so many is replaced by its sum when something is added to it.
const COMPACTED: u8 = 32;
/// At most so many hours in one batch.
const COMPACTIONS: usize = 8;

/// What a batch adds.
#[derive(Default)]
pub(super) struct Sums(BTreeMap<Key, Rollup>);

impl Sums {
    pub fn add(&mut self, entry: &Entry<'_>) {
        let fingerprint = entry.numbers.failure.map(|(fingerprint, _)| i64::from(fingerprint));
        let key = (entry.numbers.series, entry.hour, entry.numbers.class);
        self.0.entry(key).or_default().add(&entry.row.as_run(fingerprint));
    }

    /// Every series that ran, in order.
    pub fn series(&self) -> Vec<i32> {
        self.0.keys().map(|(series, ..)| *series).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Every series that failed, in order.
    pub fn failed_series(&self) -> Vec<i32> {
        let failed = self.0.iter().filter(|(_, rollup)| rollup.failures > 0);
        failed.map(|((series, ..), _)| *series).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Writes them as parts.
    pub async fn write(&self, client: &Client) -> Result<(), StoreError> {
        let (mut rollups, mut failing) = (Rollups::default(), Failing::default());
        for (key, rollup) in &self.0 {
            rollups.push(*key, rollup);
            failing.push(*key, rollup);
        }
        match self.0.len() {
            0 => return Ok(()),
            few if few < BULK => drop(rollups.insert(client, "").await?),
            _ => rollups.copy(client, |_| ()).await?,
        }
        match failing.series.len() {
            0 => {}
            few if few < BULK => drop(failing.insert(client, "").await?),
            _ => failing.copy(client, |_| ()).await?,
        }
        Ok(())
    }

    /// Replaces the parts of some of these hours by their sums. Which ones is left to chance, which is in the identities.
    pub async fn compact_some(&self, client: &Client) -> Result<(), StoreError> {
        let chosen = |rollup: &Rollup| rollup.ends.is_some_and(|((id, _), _)| id[15] % COMPACTED == 0);
        let hours: BTreeSet<(i32, i32)> =
            self.0.iter().filter(|(_, rollup)| chosen(rollup)).map(|((series, hour, _), _)| (*series, *hour)).collect();
        for (series, hour) in hours.into_iter().take(COMPACTIONS) {
            compact(client, series, hour).await?;
        }
        Ok(())
    }
}

impl Rollups {
    fn push(&mut self, (series, hour, caller): Key, rollup: &Rollup) {
        let small = |number: u64| i32::try_from(number).unwrap_or(i32::MAX);
        let (first, last) = rollup.ends.unzip();
        let print = |fingerprint: Option<i64>| fingerprint.and_then(|number| i32::try_from(number).ok());
        self.log_sum.push(rollup.log_sum);
        self.log_squares.push(rollup.log_squares);
        self.series.push(series);
        self.hour.push(hour);
        self.caller.push(caller);
        self.runs.push(small(rollup.runs));
        self.failures.push(small(rollup.failures));
        self.errors.push(small(rollup.errors));
        self.episodes.push(small(rollup.episodes));
        self.first_fingerprint.push(first.and_then(|(_, fingerprint)| print(fingerprint)));
        self.last_fingerprint.push(last.and_then(|(_, fingerprint)| print(fingerprint)));
        self.settled.push(rollup.settled);
        self.first.push(first.map(|(id, _)| uuid(&id)));
        self.last.push(last.map(|(id, _)| uuid(&id)));
        self.sketch.push(rollup.sketch.encode());
    }
}

impl Failing {
    fn push(&mut self, (series, hour, _): Key, rollup: &Rollup) {
        for ((fingerprint, input), failing) in &rollup.failing {
            self.series.push(series);
            self.hour.push(hour);
            self.fingerprint.push(i32::try_from(*fingerprint).unwrap_or(i32::MAX));
            self.failures.push(i32::try_from(failing.failures).unwrap_or(i32::MAX));
            self.newest.push(uuid(&failing.newest));
            self.input.push(input.as_ref().map(uuid));
        }
    }
}

/// The columns of [`part`].
pub(super) const PART: &str = "series, hour, caller, runs, failures, errors, episodes, settled, log_sum, log_squares, first, \
                               first_fingerprint, last, last_fingerprint, sketch";

/// A part as it was written, without its failing inputs.
fn part(row: &Row) -> Result<(Key, Rollup), StoreError> {
    let number = |column: usize| -> Result<u64, StoreError> { Ok(u64::try_from(row.try_get::<_, i32>(column)?).unwrap_or(0)) };
    let end = |column: usize| -> Result<_, StoreError> {
        let id: Option<Uuid> = row.try_get(column)?;
        let fingerprint: Option<i32> = row.try_get(column + 1)?;
        Ok(id.map(|id| (*id.as_bytes(), fingerprint.map(i64::from))))
    };
    let rollup = Rollup {
        runs: number(3)?,
        failures: number(4)?,
        errors: number(5)?,
        episodes: number(6)?,
        settled: row.try_get(7)?,
        log_sum: row.try_get(8)?,
        log_squares: row.try_get(9)?,
        ends: end(10)?.zip(end(12)?),
        sketch: Sketch::decode(row.try_get(14)?).unwrap_or_default(),
        failing: BTreeMap::new(),
    };
    Ok(((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?), rollup))
}

/// Adds parts up in the order of time: runs that came in another order than they ended are in order again, if nothing else was
/// added to them before.
pub(super) fn add_up(rows: &[Row]) -> Result<BTreeMap<Key, Rollup>, StoreError> {
    let mut parts = rows.iter().map(part).collect::<Result<Vec<_>, _>>()?;
    parts.sort_by_key(|(key, rollup)| (*key, rollup.ends.map(|((id, _), _)| id)));
    let mut sums: BTreeMap<Key, Rollup> = BTreeMap::new();
    for (key, rollup) in parts {
        sums.entry(key).or_default().merge(&rollup);
    }
    Ok(sums)
}

/// Replaces the parts of an hour by their sums, except those that somebody else is replacing.
async fn compact(client: &Client, series: i32, hour: i32) -> Result<(), StoreError> {
    let place: [Param<'_>; 2] = [(&series, Type::INT4), (&hour, Type::INT4)];
    let sql = format!(
        "delete from rollup where ctid = any (array (
           select ctid from rollup where series = $1 and hour = $2 for update skip locked)) returning {PART}"
    );
    let rows = client.query_typed(&sql, &place).await?;
    let mut rollups = Rollups::default();
    add_up(&rows)?.iter().for_each(|(key, rollup)| rollups.push(*key, rollup));
    rollups.insert(client, "").await?;
    let sql = "with gone as (delete from failing where ctid = any (array (
                 select ctid from failing where series = $1 and hour = $2 for update skip locked)) returning *)
               insert into failing (series, hour, fingerprint, failures, newest, input)
                 select series, hour, fingerprint, sum(failures), max(newest::text collate \"C\")::uuid, input from gone
                 group by series, hour, fingerprint, input";
    client.execute_typed(sql, &place).await?;
    Ok(())
}

/// Folds an hour again from its executions, in order. Alone with the store.
pub(super) async fn fold_again(client: &Client, series: i32, hour: i32) -> Result<(), StoreError> {
    let (from, to) = (uuid(&first_id(hour_begins(hour.into()))), uuid(&first_id(hour_begins(i64::from(hour) + 1))));
    let sql = "select e.id, e.duration, e.outcome, e.fingerprint, e.input, coalesce(c.class, c.id) from execution e
               join caller c on c.id = e.caller where e.series = $1 and e.id >= $2 and e.id < $3 order by e.id";
    let mut sums = Sums::default();
    for row in client.query_typed(sql, &[(&series, Type::INT4), (&from, Type::UUID), (&to, Type::UUID)]).await? {
        let duration = u64::try_from(row.try_get::<_, i64>(1)?).unwrap_or(0);
        let run = RollupRun {
            id: *row.try_get::<_, Uuid>(0)?.as_bytes(),
            duration: std::time::Duration::from_micros(duration),
            outcome: outcome_of(row.try_get(2)?),
            fingerprint: row.try_get::<_, Option<i32>>(3)?.map(i64::from),
            input: row.try_get::<_, Option<Uuid>>(4)?.map(|input| *input.as_bytes()),
        };
        sums.0.entry((series, hour, row.try_get(5)?)).or_default().add(&run);
    }
    for table in ["rollup", "failing"] {
        let sql = format!("delete from {table} where series = $1 and hour = $2");
        client.execute_typed(&sql, &[(&series, Type::INT4), (&hour, Type::INT4)]).await?;
    }
    sums.write(client).await
}

/// The hours of these tools whose parts do not add up to the right episodes.
pub(super) async fn unsettled(client: &Client, tools: &[String]) -> Result<BTreeSet<(i32, i32)>, StoreError> {
    let columns: Vec<String> = PART.split(", ").map(|column| format!("r.{}", column.trim())).collect();
    let sql = format!(
        "select {} from rollup r join (
           select r.series, r.hour, r.caller from series s join rollup r on r.series = s.id where s.tool = any($1)
           group by r.series, r.hour, r.caller having count(*) > 1 or not bool_and(r.settled)) as o
         on o.series = r.series and o.hour = r.hour and o.caller = r.caller",
        columns.join(", ")
    );
    let rows = client.query_typed(&sql, &[(&tools, Type::TEXT_ARRAY)]).await?;
    let open = add_up(&rows)?.into_iter().filter(|(_, rollup)| !rollup.settled);
    Ok(open.map(|((series, hour, _), _)| (series, hour)).collect())
}
