//! Rollups as parts that add up: written by whoever adds executions, merged by whoever reads, folded again where their order is lost.
//!
//! A part holds what one batch added to one day of one series.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Error, ErrorKind};

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row as Answer};
use uuid::Uuid;

use super::connection::Param;
use super::pack::{DAY, Hours, pack, unpack};
use super::table::{Rollups, Table as _, uuid};
use crate::model::{Rollup, RollupRun, hour_begins};
use crate::world::store::StoreError;
use crate::world::store::row::{first_id, outcome_of};

/// A series and a day, counted since the Unix epoch.
pub(super) type Day = (i32, i32);

/// One in so many parts makes its writer replace all parts of its day by their sum.
const COMPACTED: u8 = 32;
/// At most so many days in one batch.
const COMPACTIONS: usize = 8;
/// Days that are settled in one transaction.
const SETTLED: usize = 2_000;

/// The day of an hour.
pub(super) fn day_of(hour: i32) -> i32 {
    hour.div_euclid(DAY)
}

/// What a batch adds. Executions come in the order of series and time.
#[derive(Default)]
pub(super) struct Sums {
    day: Day,
    hours: Hours,
    rollups: Rollups,
    /// Each series that ran, and whether it failed.
    pub series: BTreeMap<i32, bool>,
    /// Days whose parts are to be replaced by their sum.
    chosen: BTreeSet<Day>,
}

impl Sums {
    pub fn add(&mut self, series: i32, hour: i32, caller: i32, run: &RollupRun) {
        let day = (series, day_of(hour));
        if day != self.day {
            self.close();
            self.day = day;
        }
        self.hours.entry((hour, caller)).or_default().add(run);
    }

    /// Makes a part of what was added to a day.
    fn close(&mut self) {
        let hours = std::mem::take(&mut self.hours);
        if hours.is_empty() {
            return;
        }
        let first = self.rollups.add(self.day, &hours, true);
        *self.series.entry(self.day.0).or_default() |= hours.values().any(|rollup| rollup.failures > 0);
        if first.is_some_and(|first| first.as_bytes()[15] % COMPACTED == 0) && self.chosen.len() < COMPACTIONS {
            self.chosen.insert(self.day);
        }
    }

    /// Writes the parts.
    pub async fn write(&mut self, client: &Client) -> Result<(), StoreError> {
        self.close();
        self.rollups.write(client).await
    }

    /// Replaces the parts of some days by their sums. Which ones is left to chance, which is in the identities.
    pub async fn compact_some(&self, client: &Client) -> Result<(), StoreError> {
        for day in &self.chosen {
            compact(client, *day).await?;
        }
        Ok(())
    }
}

fn small(number: u64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

impl Rollups {
    /// A part; its first run.
    fn add(&mut self, (series, day): Day, hours: &Hours, open: bool) -> Option<Uuid> {
        let sum = |of: fn(&Rollup) -> u64| small(hours.values().map(of).sum());
        let ends = || hours.values().filter_map(|rollup| rollup.ends);
        let first = ends().map(|((id, _), _)| id).min().as_ref().map(uuid);
        self.series.push(series);
        self.day.push(day);
        self.runs.push(sum(|rollup| rollup.runs));
        self.failures.push(sum(|rollup| rollup.failures));
        self.errors.push(sum(|rollup| rollup.errors));
        self.open.push(open);
        self.first.push(first);
        self.last.push(ends().map(|(_, (id, _))| id).max().as_ref().map(uuid));
        self.hours.push(pack(hours));
        first
    }
}

/// Adds parts (series, day, hours) up, in the order of time: runs that came in another order than they ended are in order again, if
/// nothing else was added to them before.
pub(super) fn add_up(rows: &[Answer]) -> Result<BTreeMap<Day, Hours>, StoreError> {
    let mut parts = Vec::new();
    for row in rows {
        let day: Day = (row.try_get(0)?, row.try_get(1)?);
        let unreadable = || Error::new(ErrorKind::InvalidData, "a rollup cannot be read");
        let hours = unpack(day.1, row.try_get(2)?).ok_or_else(unreadable)?;
        parts.extend(hours.into_iter().map(|(key, rollup)| (day, key, rollup)));
    }
    parts.sort_by_key(|(day, key, rollup)| (*day, *key, rollup.ends.map(|((id, _), _)| id)));
    let mut days: BTreeMap<Day, Hours> = BTreeMap::new();
    for (day, key, rollup) in parts {
        days.entry(day).or_default().entry(key).or_default().merge(&rollup);
    }
    Ok(days)
}

/// Replaces the parts of a day by their sum, except those that somebody else is replacing.
async fn compact(client: &Client, (series, day): Day) -> Result<(), StoreError> {
    let place: [Param<'_>; 2] = [(&series, Type::INT4), (&day, Type::INT4)];
    let sql = "delete from rollup where ctid = any (array (
                 select ctid from rollup where series = $1 and day = $2 for update skip locked)) returning series, day, hours";
    let mut rollups = Rollups::default();
    for (day, hours) in add_up(&client.query_typed(sql, &place).await?)? {
        rollups.add(day, &hours, true);
    }
    rollups.write(client).await
}

/// Takes all parts of some days away.
async fn take(client: &Client, days: &[Day]) -> Result<BTreeMap<Day, Hours>, StoreError> {
    let (series, days): (Vec<i32>, Vec<i32>) = days.iter().copied().unzip();
    let sql = "delete from rollup r using unnest($1, $2) as w (series, day) where r.series = w.series and r.day = w.day
               returning r.series, r.day, r.hours";
    add_up(&client.query_typed(sql, &[(&series, Type::INT4_ARRAY), (&days, Type::INT4_ARRAY)]).await?)
}

/// An hour, from its executions in order.
async fn fold(client: &Client, series: i32, hour: i32) -> Result<Hours, StoreError> {
    let (from, to) = (uuid(&first_id(hour_begins(hour.into()))), uuid(&first_id(hour_begins(i64::from(hour) + 1))));
    let sql = "select e.id, e.duration, e.outcome, e.fingerprint, e.input, coalesce(c.class, c.id) from execution e
               join caller c on c.id = e.caller where e.series = $1 and e.id >= $2 and e.id < $3 order by e.id";
    let mut hours = Hours::new();
    for row in client.query_typed(sql, &[(&series, Type::INT4), (&from, Type::UUID), (&to, Type::UUID)]).await? {
        let duration = u64::try_from(row.try_get::<_, i64>(1)?).unwrap_or(0);
        let run = RollupRun {
            id: row.try_get::<_, Uuid>(0)?.into_bytes(),
            duration: std::time::Duration::from_micros(duration),
            outcome: outcome_of(row.try_get(2)?),
            fingerprint: row.try_get::<_, Option<i32>>(3)?.map(i64::from),
            input: row.try_get::<_, Option<Uuid>>(4)?.map(Uuid::into_bytes),
        };
        hours.entry((hour, row.try_get(5)?)).or_default().add(&run);
    }
    Ok(hours)
}

/// Folds hours of a series again whose executions are not those any more that were added. Alone with the store.
pub(super) async fn fold_again(client: &Client, series: i32, hours: &BTreeSet<i32>) -> Result<(), StoreError> {
    let days: BTreeSet<Day> = hours.iter().map(|hour| (series, day_of(*hour))).collect();
    let days: Vec<Day> = days.into_iter().collect();
    let mut kept = take(client, &days).await?;
    let mut rollups = Rollups::default();
    for day in days {
        let mut of_day = kept.remove(&day).unwrap_or_default();
        of_day.retain(|(hour, _), _| !hours.contains(hour));
        for hour in hours.iter().filter(|hour| day_of(**hour) == day.1) {
            of_day.extend(fold(client, series, *hour).await?);
        }
        if !of_day.is_empty() {
            rollups.add(day, &of_day, true);
        }
    }
    rollups.write(client).await
}

/// Removes the hours before one from the rollups of a series. Alone with the store.
pub(super) async fn remove_before(client: &Client, series: i32, hour: i32) -> Result<(), StoreError> {
    let place: [Param<'_>; 2] = [(&series, Type::INT4), (&day_of(hour), Type::INT4)];
    client.execute_typed("delete from rollup where series = $1 and day < $2", &place).await?;
    let mut rollups = Rollups::default();
    for (day, mut hours) in take(client, &[(series, day_of(hour))]).await? {
        hours.retain(|(of, _), _| *of >= hour);
        if !hours.is_empty() {
            rollups.add(day, &hours, true);
        }
    }
    rollups.write(client).await
}

/// Days of these tools to which something was added since they were settled, in portions for one transaction each.
pub(super) async fn open_days(client: &Client, tools: &[String]) -> Result<Vec<Vec<Day>>, StoreError> {
    let sql = "select distinct r.series, r.day from series s join rollup r on r.series = s.id where s.tool = any($1) and r.open
               order by r.series, r.day";
    let rows = client.query_typed(sql, &[(&tools, Type::TEXT_ARRAY)]).await?;
    let days = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<Vec<Day>, StoreError>>()?;
    Ok(days.chunks(SETTLED).map(<[Day]>::to_vec).collect())
}

/// Replaces the parts of days by sums in which the episodes are right. Alone with the store, so that no part is missed. Returns how
/// many hours had to be folded again.
pub(super) async fn settle(client: &Client, days: &[Day]) -> Result<u64, StoreError> {
    let (mut rollups, mut folded) = (Rollups::default(), 0);
    for ((series, day), mut hours) in take(client, days).await? {
        let wrong: BTreeSet<i32> = hours.iter().filter(|(_, rollup)| !rollup.settled).map(|((hour, _), _)| *hour).collect();
        for hour in &wrong {
            hours.extend(fold(client, series, *hour).await?);
        }
        folded += wrong.len() as u64;
        rollups.add((series, day), &hours, false);
    }
    rollups.write(client).await?;
    Ok(folded)
}
