//! Executions in, with the rollups that they change, in the caller's transaction.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::HashMap;
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use crate::model::{Failure, Mark, NewExecution, Outcome, Rollup, RollupRun, Sketch, hour_begins, hour_of};
use crate::world::store::row::{Bits, Row, bits, caller_class, ended, first_id, outcome_of};
use crate::world::store::{Ingested, StoreError};

/// Which rollup: series, hour, caller.
pub(super) type Key = (i64, i64, i64);

/// The numbers of what repeats, as far as they were looked up. Valid while nobody removes any: see `Names::renew`.
#[derive(Default)]
pub(super) struct Names {
    generation: Option<String>,
    series: HashMap<String, HashMap<String, (i64, bool)>>,
    callers: HashMap<String, (i64, i64)>,
    fingerprints: HashMap<String, i64>,
    failures: HashMap<Bits, i64>,
    /// Inputs and outputs that are there with this hour or a later one.
    kept: HashMap<(i64, Bits), i64>,
}

/// More look-ups are not remembered.
const REMEMBERED: usize = 200_000;

impl Names {
    /// Forgets everything when somebody has removed names since.
    pub(super) fn renew(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let mut statement = connection.prepare_cached("select value from keepsake where name = 'generation'")?;
        let generation: Option<String> = statement.query_row([], |row| row.get(0)).optional()?;
        if generation != self.generation || self.kept.len() > REMEMBERED || self.failures.len() + self.callers.len() > REMEMBERED
        {
            *self = Names { generation, ..Names::default() };
        }
        Ok(())
    }

    fn series(&mut self, connection: &Connection, tool: &str, version: &str) -> Result<(i64, bool), StoreError> {
        if let Some(known) = self.series.get(tool).and_then(|versions| versions.get(version)) {
            return Ok(*known);
        }
        connection.prepare_cached("insert or ignore into series (tool, version) values (?1, ?2)")?.execute([tool, version])?;
        let mut statement = connection.prepare_cached("select id, failed from series where tool = ?1 and version = ?2")?;
        let found = statement.query_row([tool, version], |row| Ok((row.get(0)?, row.get(1)?)))?;
        self.series.entry(tool.to_string()).or_default().insert(version.to_string(), found);
        Ok(found)
    }

    /// The numbers of a caller and of its class.
    fn caller(&mut self, connection: &Connection, name: &str) -> Result<(i64, i64), StoreError> {
        if let Some(known) = self.callers.get(name) {
            return Ok(*known);
        }
        let class = caller_class(name);
        let of_class = number(connection, "caller", &class)?;
        let own = if class == name { of_class } else { number(connection, "caller", name)? };
        if own != of_class {
            connection.prepare_cached("update caller set class = ?2 where id = ?1")?.execute([own, of_class])?;
        }
        self.callers.insert(name.to_string(), (own, of_class));
        Ok((own, of_class))
    }

    fn fingerprint(&mut self, connection: &Connection, name: &str) -> Result<i64, StoreError> {
        if let Some(known) = self.fingerprints.get(name) {
            return Ok(*known);
        }
        let found = number(connection, "fingerprint", name)?;
        self.fingerprints.insert(name.to_string(), found);
        Ok(found)
    }

    /// The numbers of a failure's fingerprint and of the failure itself.
    fn failure(&mut self, connection: &Connection, failure: &Failure) -> Result<(i64, i64), StoreError> {
        let fingerprint = self.fingerprint(connection, failure.fingerprint.as_str())?;
        let body = serde_json::to_string(failure)?;
        let mut digest = [0; 16];
        digest.copy_from_slice(&blake3::hash(body.as_bytes()).as_bytes()[..16]);
        if let Some(known) = self.failures.get(&digest) {
            return Ok((fingerprint, *known));
        }
        connection
            .prepare_cached("insert or ignore into failure (digest, fingerprint, body) values (?1, ?2, ?3)")?
            .execute(params![digest, fingerprint, body])?;
        let found = connection
            .prepare_cached("select id from failure where digest = ?1")?
            .query_row([digest], |row| row.get::<_, i64>(0))?;
        self.failures.insert(digest, found);
        Ok((fingerprint, found))
    }
}

/// The number of a name, made when it has none.
fn number(connection: &Connection, table: &str, name: &str) -> Result<i64, StoreError> {
    connection.prepare_cached(&format!("insert or ignore into {table} (name) values (?1)"))?.execute([name])?;
    let mut statement = connection.prepare_cached(&format!("select id from {table} where name = ?1"))?;
    Ok(statement.query_row([name], |row| row.get(0))?)
}

/// An execution with the numbers of its names.
struct Place {
    /// In the batch.
    at: usize,
    row: Row,
    caller: i64,
    class: i64,
    /// Of the fingerprint and of the failure.
    failure: Option<(i64, i64)>,
    has_content: bool,
}

/// Stores what is not there yet. `local` executions are remembered as unsent, if anybody asked for that.
pub(super) fn ingest(
    connection: &Connection,
    names: &mut Names,
    batch: &[NewExecution],
    local: bool,
) -> Result<Ingested, StoreError> {
    names.renew(connection)?;
    let forgotten = Forgotten::read(connection)?;
    let mut ingested = Ingested::default();
    let (mut places, mut order) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
    for (at, new) in batch.iter().enumerate() {
        let row = Row::of(&new.execution)?;
        if forgotten.holds(connection, &row.id, &new.execution.tool)? {
            ingested.forgotten += 1;
            continue;
        }
        let (series, _) = names.series(connection, &new.execution.tool, &new.execution.version.0)?;
        order.push((series, row.id, places.len()));
        places.push(names.place(connection, at, row, new)?);
    }
    // In the order of the table: neighbours are written together, and rollups are folded in order.
    order.sort_unstable();
    let mut insert = Insert::prepare(connection)?;
    let unsent = local && is_tracked(connection)?;
    let (mut hours, mut marks) = (Hours::of(connection)?, Vec::new());
    for (series, id, at) in order {
        let place = &places[at];
        let new = &batch[place.at];
        if !insert.execution(series, place)? {
            ingested.known += 1;
            if place.row.marked {
                marks.push((series, id, new));
            }
            continue;
        }
        ingested.new += 1;
        let hour = hour_of(ended(&id));
        if place.has_content {
            keep_content(connection, names, series, hour, new)?;
        }
        let fingerprint = place.failure.map(|(fingerprint, _)| fingerprint);
        hours.add((series, hour), place.class, &place.row.as_run(fingerprint))?;
        hours.ran(series, place.at, fingerprint.is_some());
        if unsent {
            remember_unsent(connection, series, &id)?;
        }
    }
    hours.write()?;
    let ran = std::mem::take(&mut hours.series);
    drop((insert, hours));
    tell_news(connection, names, &ran, batch)?;
    for (series, id, new) in marks {
        let content = new.expected.as_deref();
        mark(connection, names, (series, &id), new.execution.mark.as_ref(), content, local)?;
    }
    Ok(ingested)
}

impl Names {
    fn place(&mut self, connection: &Connection, at: usize, row: Row, new: &NewExecution) -> Result<Place, StoreError> {
        let (caller, class) = self.caller(connection, &new.execution.caller)?;
        let failure = new.execution.failure.as_ref().map(|failure| self.failure(connection, failure)).transpose()?;
        let streams = [&new.stdin, &new.stdout, &new.stderr, &new.expected];
        let has_content = new.execution.input.withheld.is_none() || streams.iter().any(|stream| stream.is_some());
        Ok(Place { at, row, caller, class, failure, has_content })
    }
}

/// The rollups of the hour that is being folded: executions come in the order of series and time.
struct Hours<'c> {
    statements: RollupStatements<'c>,
    /// Series and hour.
    open: (i64, i64),
    by_class: Vec<(i64, Rollup)>,
    /// The series that ran, each with the place of one of its runs in the batch and whether any failed.
    series: Vec<(i64, usize, bool)>,
}

impl<'c> Hours<'c> {
    fn of(connection: &'c Connection) -> Result<Self, StoreError> {
        let statements = RollupStatements::prepare(connection)?;
        Ok(Hours { statements, open: (0, 0), by_class: Vec::new(), series: Vec::new() })
    }

    fn add(&mut self, hour: (i64, i64), class: i64, run: &RollupRun) -> Result<(), StoreError> {
        if hour != self.open {
            self.write()?;
            self.open = hour;
        }
        let at = self.by_class.iter().position(|(known, _)| *known == class).unwrap_or_else(|| {
            self.by_class.push((class, Rollup::default()));
            self.by_class.len() - 1
        });
        self.by_class[at].1.add(run);
        Ok(())
    }

    fn ran(&mut self, series: i64, at: usize, failed: bool) {
        match self.series.last_mut() {
            Some((last, _, any)) if *last == series => *any |= failed,
            _ => self.series.push((series, at, failed)),
        }
    }

    fn write(&mut self) -> Result<(), StoreError> {
        let (series, hour) = self.open;
        if !self.by_class.is_empty() {
            self.statements.add_to_day(series, hour, &self.by_class)?;
        }
        self.by_class.drain(..).try_for_each(|(class, rollup)| self.statements.add((series, hour, class), rollup))
    }
}

struct Insert<'c>(CachedStatement<'c>);

impl<'c> Insert<'c> {
    fn prepare(connection: &'c Connection) -> Result<Self, StoreError> {
        Ok(Insert(connection.prepare_cached(
            "insert or ignore into execution values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        )?))
    }

    /// Whether it was not there yet.
    fn execution(&mut self, series: i64, place: &Place) -> Result<bool, StoreError> {
        let Place { row, failure, caller, .. } = place;
        let written = self.0.execute(params![
            series,
            row.id.as_slice(),
            row.lag,
            row.duration,
            row.input.as_ref().map(Bits::as_slice),
            row.exit,
            row.exit_note,
            row.outcome,
            failure.map(|(fingerprint, _)| fingerprint),
            failure.map(|(_, failure)| failure),
            row.stdout.as_ref().map(Bits::as_slice),
            row.stderr.as_ref().map(Bits::as_slice),
            caller,
            row.marked,
            row.expected.as_ref().map(Bits::as_slice),
        ])?;
        Ok(written == 1)
    }
}

/// Keeps the input and the bytes of an execution, or moves their last hour on.
fn keep_content(
    connection: &Connection,
    names: &mut Names,
    series: i64,
    hour: i64,
    new: &NewExecution,
) -> Result<(), StoreError> {
    let input = &new.execution.input;
    if input.withheld.is_none()
        && let Some(id) = bits(&input.digest())
        && names.is_later((series, id), hour)
    {
        connection
            .prepare_cached(
                "insert into input values (?1, ?2, ?3, ?4) on conflict do update set hour = excluded.hour where hour < excluded.hour",
            )?
            .execute(params![series, id.as_slice(), hour, serde_json::to_string(input)?])?;
    }
    let execution = &new.execution;
    let expected = execution.mark.as_ref().and_then(|mark| mark.expected.as_ref());
    let streams = [
        (execution.input.stdin.as_ref(), &new.stdin),
        (execution.stdout.as_ref(), &new.stdout),
        (execution.stderr.as_ref(), &new.stderr),
        (expected, &new.expected),
    ];
    for (id, content) in streams {
        if let (Some(id), Some(content)) = (id.and_then(|id| bits(&id.0)), content)
            && names.is_later((series, id), hour)
        {
            keep_blob(connection, series, &id, hour, content)?;
        }
    }
    Ok(())
}

impl Names {
    fn is_later(&mut self, key: (i64, Bits), hour: i64) -> bool {
        let known = self.kept.entry(key).or_insert(i64::MIN);
        let later = hour > *known;
        *known = hour.max(*known);
        later
    }
}

fn keep_blob(connection: &Connection, series: i64, id: &Bits, hour: i64, content: &[u8]) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "insert into blob values (?1, ?2, ?3, ?4) on conflict do update set hour = excluded.hour where hour < excluded.hour",
        )?
        .execute(params![series, id.as_slice(), hour, content])?;
    Ok(())
}

// ---- rollups ----

struct RollupStatements<'c> {
    insert: CachedStatement<'c>,
    read: CachedStatement<'c>,
    day: CachedStatement<'c>,
    replace: CachedStatement<'c>,
    failing: CachedStatement<'c>,
}

impl<'c> RollupStatements<'c> {
    fn prepare(connection: &'c Connection) -> Result<Self, StoreError> {
        let values = "into rollup values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
        Ok(RollupStatements {
            insert: connection.prepare_cached(&format!("insert or ignore {values}"))?,
            replace: connection.prepare_cached(&format!("replace {values}"))?,
            read: connection.prepare_cached(
                "select runs, failures, errors, episodes, settled, log_sum, log_squares, first, first_fingerprint, last,
                 last_fingerprint, sketch from rollup where series = ?1 and hour = ?2 and caller = ?3",
            )?,
            day: connection.prepare_cached(
                "insert into day values (?1, ?2, ?3, ?4, ?5, ?6) on conflict do update set runs = runs + excluded.runs,
                 failures = failures + excluded.failures,
                 first = min(coalesce(first, excluded.first), coalesce(excluded.first, first)),
                 last = max(coalesce(last, excluded.last), coalesce(excluded.last, last))",
            )?,
            failing: connection.prepare_cached(
                "insert into failing values (?1, ?2, ?3, ?4, ?5, ?6, ?7) on conflict do update
                 set failures = failures + excluded.failures, newest = max(newest, excluded.newest)",
            )?,
        })
    }

    /// Adds a rollup to the one that is there.
    fn add(&mut self, key: Key, rollup: Rollup) -> Result<(), StoreError> {
        for ((fingerprint, input), failing) in &rollup.failing {
            let input = input.as_ref().map_or(&[][..], |input| &input[..]);
            let failures = i64::try_from(failing.failures).unwrap_or(i64::MAX);
            let newest = failing.newest.as_slice();
            self.failing.execute(params![key.0, key.1, key.2, fingerprint, input, failures, newest])?;
        }
        if write_rollup(&mut self.insert, key, &rollup)? == 0 {
            let mut total = self.read(key)?;
            total.merge(&rollup);
            write_rollup(&mut self.replace, key, &total)?;
        }
        Ok(())
    }

    /// Adds the runs of all callers in an hour to its day.
    fn add_to_day(&mut self, series: i64, hour: i64, runs: &[(i64, Rollup)]) -> Result<(), StoreError> {
        let sum = |of: fn(&Rollup) -> u64| runs.iter().map(|(_, rollup)| of(rollup)).sum::<u64>();
        let ends = runs.iter().filter_map(|(_, rollup)| rollup.ends);
        let (first, last): (Vec<Bits>, Vec<Bits>) = ends.map(|((first, _), (last, _))| (first, last)).unzip();
        let (first, last) = (first.iter().min().map(Bits::as_slice), last.iter().max().map(Bits::as_slice));
        let (runs, failures) = (sum(|rollup| rollup.runs), sum(|rollup| rollup.failures));
        self.day.execute(params![series, day_of(hour), runs, failures, first, last])?;
        Ok(())
    }

    /// The rollup that is there, without its failures by input.
    fn read(&mut self, key: Key) -> Result<Rollup, StoreError> {
        Ok(self.read.query_row(params![key.0, key.1, key.2], |row| {
            let end = |column: usize| -> rusqlite::Result<_> {
                let id: Option<Bits> = row.get(column)?;
                id.map(|id| row.get(column + 1).map(|fingerprint| (id, fingerprint))).transpose()
            };
            Ok(Rollup {
                runs: row.get(0)?,
                failures: row.get(1)?,
                errors: row.get(2)?,
                episodes: row.get(3)?,
                settled: row.get(4)?,
                log_sum: row.get(5)?,
                log_squares: row.get(6)?,
                ends: end(7)?.zip(end(9)?),
                sketch: Sketch::decode(row.get_ref(11)?.as_blob()?).unwrap_or_default(),
                failing: BTreeMap::new(),
            })
        })?)
    }
}

fn write_rollup(statement: &mut CachedStatement<'_>, key: Key, rollup: &Rollup) -> Result<usize, StoreError> {
    let (first, last) = rollup.ends.unzip();
    Ok(statement.execute(params![
        key.0,
        key.1,
        key.2,
        rollup.runs,
        rollup.failures,
        rollup.errors,
        rollup.episodes,
        rollup.settled,
        rollup.log_sum,
        rollup.log_squares,
        first.as_ref().map(|(id, _)| id.as_slice()),
        first.and_then(|(_, fingerprint)| fingerprint),
        last.as_ref().map(|(id, _)| id.as_slice()),
        last.and_then(|(_, fingerprint)| fingerprint),
        rollup.sketch.encode(),
    ])?)
}

/// Folds an hour again from its executions, in order.
pub(super) fn fold_again(connection: &Connection, series: i64, hour: i64) -> Result<(), StoreError> {
    let mut rollups: BTreeMap<Key, Rollup> = BTreeMap::new();
    let mut statement = connection.prepare_cached(
        "select e.id, e.duration, e.outcome, e.fingerprint, e.input, coalesce(c.class, c.id) from execution e
         join caller c on c.id = e.caller where e.series = ?1 and e.id >= ?2 and e.id < ?3 order by e.id",
    )?;
    let (from, to) = (first_id(hour_begins(hour)), first_id(hour_begins(hour + 1)));
    let mut rows = statement.query(params![series, from.as_slice(), to.as_slice()])?;
    while let Some(row) = rows.next()? {
        let duration = std::time::Duration::from_micros(row.get(1)?);
        let run = RollupRun {
            id: row.get(0)?,
            duration,
            outcome: outcome_of(row.get(2)?),
            fingerprint: row.get(3)?,
            input: row.get(4)?,
        };
        rollups.entry((series, hour, row.get(5)?)).or_default().add(&run);
    }
    for table in ["rollup", "failing"] {
        connection.prepare_cached(&format!("delete from {table} where series = ?1 and hour = ?2"))?.execute([series, hour])?;
    }
    let mut statements = RollupStatements::prepare(connection)?;
    rollups.into_iter().try_for_each(|(key, rollup)| statements.add(key, rollup))?;
    sum_day_again(connection, series, day_of(hour))
}

/// Sums a day again from its hours.
pub(super) fn sum_day_again(connection: &Connection, series: i64, day: i64) -> Result<(), StoreError> {
    connection.prepare_cached("delete from day where series = ?1 and day = ?2")?.execute([series, day])?;
    connection
        .prepare_cached(
            "insert into day select series, ?2, sum(runs), sum(failures), min(first), max(last) from rollup
             where series = ?1 and hour >= ?3 and hour < ?4 group by series",
        )?
        .execute([series, day, day_begins(day), day_begins(day + 1)])?;
    Ok(())
}

/// Hours of a day.
const HOURS: i64 = 24;

/// The day of an hour, both counted since the Unix epoch.
pub(super) fn day_of(hour: i64) -> i64 {
    hour.div_euclid(HOURS)
}

/// The first hour of a day.
pub(super) fn day_begins(day: i64) -> i64 {
    day * HOURS
}

/// A tool has news when a run failed, or when it ran in a version that has failed before.
fn tell_news(
    connection: &Connection,
    names: &mut Names,
    ran: &[(i64, usize, bool)],
    batch: &[NewExecution],
) -> Result<(), StoreError> {
    let mut tools = BTreeSet::new();
    for (series, at, fails) in ran {
        let (tool, version) = (batch[*at].execution.tool.as_str(), batch[*at].execution.version.0.as_str());
        let (_, failed) = names.series(connection, tool, version)?;
        if *fails && !failed {
            set_failed(connection, *series)?;
            names.series.entry(tool.into()).or_default().insert(version.into(), (*series, true));
        }
        if *fails || failed {
            tools.insert(tool);
        }
    }
    tools.into_iter().try_for_each(|tool| has_news(connection, tool))
}

fn set_failed(connection: &Connection, series: i64) -> Result<(), StoreError> {
    connection.prepare_cached("update series set failed = 1 where id = ?1")?.execute([series])?;
    Ok(())
}

pub(super) fn has_news(connection: &Connection, tool: &str) -> Result<(), StoreError> {
    connection.prepare_cached("insert into dirty values (?1, 1) on conflict do update set news = news + 1")?.execute([tool])?;
    Ok(())
}

// ---- marks ----

/// Marks an execution that is there as wrong. Of two marks the one with an expected output stays, and of two of those the one whose
/// digest is greater, so that the order in which they come does not matter. A `local` mark is to be sent to others.
pub(super) fn mark(
    connection: &Connection,
    names: &mut Names,
    (series, id): (i64, &Bits),
    mark: Option<&Mark>,
    content: Option<&[u8]>,
    local: bool,
) -> Result<(), StoreError> {
    let expected = mark.and_then(|mark| mark.expected.as_ref()).and_then(|blob| bits(&blob.0));
    let key = params![series, id.as_slice()];
    let (marked, known): (bool, Option<Bits>) = connection
        .prepare_cached("select marked, expected from execution where series = ?1 and id = ?2")?
        .query_row(key, |row| Ok((row.get(0)?, row.get(1)?)))?;
    if marked && known >= expected {
        return Ok(());
    }
    let hour = hour_of(ended(id));
    if let (Some(blob), Some(content)) = (&expected, content) {
        keep_blob(connection, series, blob, hour, content)?;
    }
    let (fingerprint, failure) = names.failure(connection, &Failure::wrong_output())?;
    // One that failed by itself keeps its failure.
    connection
        .prepare_cached(
            "update execution set marked = 1, expected = ?3, outcome = ?4,
                fingerprint = case when outcome = ?4 then fingerprint else ?5 end,
                failure = case when outcome = ?4 then failure else ?6 end
            where series = ?1 and id = ?2",
        )?
        .execute(params![
            series,
            id.as_slice(),
            expected.as_ref().map(Bits::as_slice),
            crate::world::store::row::outcome_number(Outcome::Failure),
            fingerprint,
            failure
        ])?;
    if local && is_tracked(connection)? {
        remember_unsent(connection, series, id)?;
    }
    set_failed(connection, series)?;
    let tool: String =
        connection.prepare_cached("select tool from series where id = ?1")?.query_row([series], |row| row.get(0))?;
    has_news(connection, &tool)?;
    fold_again(connection, series, hour)
}

// ---- what was sent, what was forgotten ----

/// Whether anybody asked which executions were not sent.
pub(super) fn is_tracked(connection: &Connection) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached("select 1 from keepsake where name = 'unsent'")?;
    Ok(statement.exists([])?)
}

fn remember_unsent(connection: &Connection, series: i64, id: &Bits) -> Result<(), StoreError> {
    connection.prepare_cached("insert or ignore into unsent values (?1, ?2)")?.execute(params![series, id.as_slice()])?;
    Ok(())
}

/// What must stay away.
struct Forgotten {
    ids: bool,
    ranges: Vec<(Option<String>, i64, i64)>,
}

impl Forgotten {
    fn read(connection: &Connection) -> Result<Self, StoreError> {
        let ids = connection.prepare_cached("select 1 from forgotten limit 1")?.exists([])?;
        let mut statement = connection.prepare_cached("select tool, since, until from forgotten_range")?;
        let ranges = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect::<Result<_, _>>()?;
        Ok(Forgotten { ids, ranges })
    }

    fn holds(&self, connection: &Connection, id: &Bits, tool: &str) -> Result<bool, StoreError> {
        let at = ended(id);
        let applies = |(of, since, until): &(Option<String>, i64, i64)| {
            of.as_deref().is_none_or(|of| of == tool) && (*since..*until).contains(&at)
        };
        if self.ranges.iter().any(applies) {
            return Ok(true);
        }
        Ok(self.ids && connection.prepare_cached("select 1 from forgotten where id = ?1")?.exists([id.as_slice()])?)
    }
}
