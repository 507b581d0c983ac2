//! Executions in a PostgreSQL database: for many machines at once, several loops and hundreds of recorders.
//!
//! One database is one repository's; everything is in its schema `fractal`. SQL is below, each subject in a file of its own; the
//! figures mean what they mean in SQLite, which the conformance suite (`tests/it/store.rs`) holds both to.

mod address;
mod claims;
mod connection;
mod lock;
mod names;
mod pack;
mod read;
mod remove;
mod schema;
mod sums;
mod table;
mod tls;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use self::address::Place;
pub(super) use self::connection::chain;
use self::connection::{Again, BRIEF, LONG, Link, Param, Patience};
use self::lock::{Lock, atomically};
use self::names::Names;
use self::schema::FORMAT;
use self::table::{plain, uuid};
use self::write::State;
use super::row::id_bits;
use super::{
    Dirty, FailingInput, FailureSummary, Forget, Forgotten, HourSummary, Ingested, LoopCounters, Query, Retention, Store,
    StoreError, VersionSummary,
};
use crate::model::{BlobId, Execution, ExecutionId, Hints, Mark, NewExecution, Recording, Version};
use crate::world::claims::Claims;

/// How often we begin again because somebody has removed names in the meantime.
const ROUNDS: usize = 10;

/// See the module.
pub struct PostgresStore {
    link: Link,
    names: Names,
}

impl PostgresStore {
    /// Opens the store at an address, making or migrating it first.
    ///
    /// # Errors
    /// [`StoreError::Away`] when it cannot be reached, [`StoreError::Newer`] when a newer Fractal made it; nothing is changed then.
    pub fn open(address: &str) -> Result<Self, StoreError> {
        Self::open_within(address, LONG)
    }

    /// The same, but gives up early.
    ///
    /// # Errors
    /// As [`PostgresStore::open`].
    pub fn open_briefly(address: &str) -> Result<Self, StoreError> {
        Self::open_within(address, BRIEF)
    }

    fn open_within(address: &str, patience: Patience) -> Result<Self, StoreError> {
        let link = Link::new(Place::parse(address)?, patience, false);
        let newer = Self::newer(&link);
        link.run(Again::Harmless, async |client| schema::migrate(client, &newer).await)?;
        Ok(PostgresStore { link, names: Names::default() })
    }

    /// Opens the store for reading; `None` when nothing was ever recorded. Nothing is made, so that a reader needs no more rights than
    /// to read.
    ///
    /// # Errors
    /// As [`PostgresStore::open`].
    pub fn open_to_read(address: &str) -> Result<Option<Self>, StoreError> {
        let link = Link::new(Place::parse(address)?, LONG, true);
        match link.run(Again::Harmless, async |client| schema::format(client).await)? {
            0 => return Ok(None),
            FORMAT => {}
            found if found > FORMAT => return Err(Self::newer(&link)(found.into())),
            _ => drop(Self::open(address)?),
        }
        Ok(Some(PostgresStore { link, names: Names::default() }))
    }

    fn newer(link: &Link) -> impl Fn(i64) -> StoreError + Send + Sync + use<> {
        let path = link.shown().to_string();
        move |found| StoreError::Newer { path: path.clone(), found, known: FORMAT.into() }
    }

    /// Does `work` in one transaction, with the names of a batch.
    fn add(
        &mut self,
        batch: &[NewExecution],
        local: bool,
        then: impl AsyncFn(&Client) -> Result<(), StoreError> + Sync,
    ) -> Result<Ingested, StoreError> {
        let names = &mut self.names;
        // To mark what is there already is to count its hour again.
        let lock = if batch.iter().any(|new| new.execution.mark.is_some()) { Lock::Alone } else { Lock::Shared };
        self.link.run(Again::Harmless, async |client| {
            for _ in 0..ROUNDS {
                let numbers = names.prepare(client, batch).await?;
                let done = atomically(client, lock, async |client| {
                    let ingested = write::ingest(client, names, batch, &numbers, local).await?;
                    if ingested.is_some() {
                        then(client).await?;
                    }
                    Ok(ingested)
                });
                match done.await {
                    Ok(Some(ingested)) => return Ok(ingested),
                    Ok(None) => {}
                    Err(error) => {
                        names.clear();
                        return Err(error);
                    }
                }
            }
            Err(StoreError::Busy)
        })
    }

    fn read<T: Send>(&self, work: impl AsyncFn(&Client) -> Result<T, StoreError> + Sync) -> Result<T, StoreError> {
        self.link.run(Again::Harmless, async |client| work(client).await)
    }

    /// Reads of one version of a tool; the default when it never ran.
    fn of_version<T: Default + Send>(
        &self,
        tool: &str,
        version: &Version,
        work: impl AsyncFn(&Client, i32) -> Result<T, StoreError> + Sync,
    ) -> Result<T, StoreError> {
        self.read(async |client| match read::series(client, tool, version).await? {
            Some(series) => work(client, series).await,
            None => Ok(T::default()),
        })
    }

    fn alone<T: Send>(&self, again: Again, work: impl AsyncFn(&Client) -> Result<T, StoreError> + Sync) -> Result<T, StoreError> {
        self.link.run(again, async |client| atomically(client, Lock::Alone, &work).await)
    }

    fn shared<T: Send>(
        &self,
        again: Again,
        work: impl AsyncFn(&Client) -> Result<T, StoreError> + Sync,
    ) -> Result<T, StoreError> {
        self.link.run(again, async |client| atomically(client, Lock::Shared, &work).await)
    }
}

impl Store for PostgresStore {
    fn record_all(&mut self, batch: &[NewExecution]) -> Result<Ingested, StoreError> {
        self.add(batch, true, async |_| Ok(()))
    }

    fn mark_bad(&mut self, id: &ExecutionId, expected: Option<&[u8]>) -> Result<(), StoreError> {
        let names = &mut self.names;
        let mark = Mark { expected: expected.map(BlobId::of) };
        self.link.run(Again::Harmless, async |client| {
            for _ in 0..ROUNDS {
                names.prepare_mark(client).await?;
                let marked = atomically(client, Lock::Alone, async |client| {
                    if !names.is_of(State::read(client).await?.generation) {
                        return Ok(false);
                    }
                    let (series, bits) = read::place(client, &id.0).await?;
                    write::mark(client, names, (series, &bits), &mark, expected, true).await?;
                    Ok(true)
                });
                if marked.await? {
                    return Ok(());
                }
                names.clear();
            }
            Err(StoreError::Busy)
        })
    }

    fn find(&self, prefix: &str) -> Result<Execution, StoreError> {
        self.read(async |client| read::find(client, prefix).await)
    }

    fn versions(&self, tools: Option<&[String]>, since: Timestamp) -> Result<Vec<VersionSummary>, StoreError> {
        self.read(async |client| read::versions(client, tools, since).await)
    }

    fn failures(
        &self,
        tool: &str,
        version: &Version,
        since: Timestamp,
        recent: Timestamp,
    ) -> Result<Vec<FailureSummary>, StoreError> {
        self.of_version(tool, version, async |client, series| read::failures(client, series, since, recent).await)
    }

    fn hours(&self, tool: &str, version: &Version, since: Timestamp) -> Result<Vec<HourSummary>, StoreError> {
        self.of_version(tool, version, async |client, series| read::hours(client, series, since).await)
    }

    fn failing_inputs(&self, tool: &str, version: &Version, since: Timestamp) -> Result<Vec<FailingInput>, StoreError> {
        self.of_version(tool, version, async |client, series| read::failing_inputs(client, series, since).await)
    }

    fn execution(&self, tool: &str, version: &Version, id: &ExecutionId) -> Result<Option<Execution>, StoreError> {
        let id = id_bits(id)?;
        self.of_version(tool, version, async |client, series| read::one(client, series, &id).await)
    }

    fn executions(&self, query: &Query<'_>) -> Result<Vec<Execution>, StoreError> {
        self.read(async |client| read::executions(client, query).await)
    }

    fn load(&self, execution: Execution) -> Result<Recording, StoreError> {
        self.read(async |client| read::load(client, execution.clone()).await)
    }

    fn stderr(&self, execution: &Execution) -> Result<Vec<u8>, StoreError> {
        let [stderr] = self.read(async |client| read::contents(client, execution, [execution.stderr.as_ref()]).await)?;
        Ok(stderr.unwrap_or_default())
    }

    fn dirty(&self) -> Result<Vec<Dirty>, StoreError> {
        self.read(async |client| {
            let rows = client.query_typed("select tool, news from dirty order by tool collate \"C\"", &[]).await?;
            rows.iter().map(|row| Ok(Dirty { tool: row.try_get(0)?, news: row.try_get(1)? })).collect()
        })
    }

    fn looked(&mut self, seen: &[Dirty], state: &str, again: &[String]) -> Result<(), StoreError> {
        if seen.is_empty() && again.is_empty() && self.looked_in()?.as_deref() == Some(state) {
            return Ok(());
        }
        let (tools, news): (Vec<&str>, Vec<i64>) = seen.iter().map(|dirty| (dirty.tool.as_str(), dirty.news)).unzip();
        self.shared(Again::Harmless, async |client| {
            let sql = "delete from dirty d using unnest($1, $2) as w (tool, news) where d.tool = w.tool and d.news = w.news";
            client.execute_typed(sql, &[(&tools, Type::TEXT_ARRAY), (&news, Type::INT8_ARRAY)]).await?;
            write::has_news(client, again).await?;
            keep(client, "looked", state).await
        })
    }

    fn looked_in(&self) -> Result<Option<String>, StoreError> {
        self.read(async |client| {
            let row = client.query_typed_opt("select value from keepsake where name = 'looked'", &[]).await?;
            Ok(row.map(|row| row.try_get(0)).transpose()?)
        })
    }

    fn settle(&mut self, tools: &[String]) -> Result<u64, StoreError> {
        let mut folded = 0;
        for days in self.read(async |client| sums::open_days(client, tools).await)? {
            folded += self.alone(Again::Harmless, async |client| sums::settle(client, &days).await)?;
        }
        Ok(folded)
    }

    fn count(&mut self, cycles: u64, tools: u64, maintenance: u64, at: Timestamp) -> Result<(), StoreError> {
        let happened = |times: u64| if times > 0 { at.as_millisecond() } else { i64::MIN };
        let added = [cycles, tools, maintenance].map(|value| i64::try_from(value).unwrap_or(i64::MAX));
        let last = [happened(cycles), happened(maintenance)];
        self.shared(Again::Never, async |client| {
            let sql = "insert into counter values ('cycles', $1), ('maintenance', $2), ('tools', $3)
                       on conflict (name) do update set value = counter.value + excluded.value";
            let [cycles, tools, maintenance] = &added;
            client.execute_typed(sql, &[(cycles, Type::INT8), (maintenance, Type::INT8), (tools, Type::INT8)]).await?;
            let sql = "insert into counter select * from (values ('last_check', $1::bigint), ('last_maintenance', $2)) as w (name, value)
                       where value > -9223372036854775808 on conflict (name) do update set value = excluded.value";
            client.execute_typed(sql, &[(&last[0], Type::INT8), (&last[1], Type::INT8)]).await?;
            Ok(())
        })
    }

    fn counters(&self) -> Result<LoopCounters, StoreError> {
        self.read(read::counters)
    }

    fn prune(&mut self, retention: &Retention) -> Result<u64, StoreError> {
        self.link.run(Again::Harmless, async |client| remove::prune(client, retention).await)
    }

    fn forget(&mut self, what: &Forget) -> Result<Vec<ExecutionId>, StoreError> {
        let gone = self.alone(Again::Never, async |client| remove::forget(client, what).await)?;
        if let Err(error) = self.read(remove::clean) {
            tracing::warn!("what is forgotten is gone, but its room is not free yet: {error}");
        }
        Ok(gone)
    }

    fn matching(&self, what: &Forget) -> Result<Vec<(String, ExecutionId)>, StoreError> {
        self.read(async |client| remove::matching(client, what).await)
    }

    fn forgotten(&self) -> Result<Forgotten, StoreError> {
        self.read(remove::forgotten)
    }

    fn unsent(&mut self, limit: usize) -> Result<Vec<NewExecution>, StoreError> {
        if !self.read(async |client| Ok(State::read(client).await?.tracked))? {
            self.alone(Again::Harmless, async |client| {
                let sql = "insert into unsent (series, id) select series, id from execution on conflict do nothing";
                client.batch_execute(sql).await?;
                keep(client, "unsent", "1").await
            })?;
        }
        self.read(async |client| read::unsent(client, limit).await)
    }

    fn sent(&mut self, ids: &[ExecutionId]) -> Result<(), StoreError> {
        let ids = ids.iter().map(|id| Ok(uuid(&id_bits(id)?))).collect::<Result<Vec<_>, StoreError>>()?;
        self.read(async |client| {
            client.execute_typed("delete from unsent where id = any($1)", &[(&ids, Type::UUID_ARRAY)]).await?;
            Ok(())
        })
    }

    fn receive(&mut self, segment: &str, batch: &[NewExecution]) -> Result<Ingested, StoreError> {
        let segment = plain(segment);
        self.add(batch, false, async |client| {
            client.execute_typed("insert into received values ($1) on conflict do nothing", &[(&segment, Type::TEXT)]).await?;
            Ok(())
        })
    }

    fn is_received(&self, segment: &str) -> Result<bool, StoreError> {
        let segment = plain(segment);
        self.read(async |client| {
            let sql = "select exists (select 1 from received where segment = $1)";
            Ok(client.query_typed_one(sql, &[(&segment, Type::TEXT)]).await?.try_get(0)?)
        })
    }

    fn keep_received(&mut self, segments: &BTreeSet<String>) -> Result<(), StoreError> {
        let segments: Vec<_> = segments.iter().map(|segment| plain(segment)).collect();
        self.read(async |client| {
            let sql = "delete from received where segment != all($1)";
            client.execute_typed(sql, &[(&segments, Type::TEXT_ARRAY)]).await?;
            Ok(())
        })
    }

    fn set_hints(&mut self, tool: &str, hints: &Hints) -> Result<(), StoreError> {
        let json = serde_json::to_string(hints)?;
        self.read(async |client| keep(client, &format!("hints/{tool}"), &json).await)
    }

    fn hints(&self) -> Result<BTreeMap<String, Hints>, StoreError> {
        self.read(async |client| {
            let sql = "select substr(name, 7), value from keepsake where name like 'hints/%'";
            let rows = client.query_typed(sql, &[]).await?;
            rows.iter().map(|row| Ok((row.try_get(0)?, serde_json::from_str(row.try_get(1)?)?))).collect()
        })
    }

    fn bookmark(&self, source: &str) -> Result<Option<String>, StoreError> {
        self.read(async |client| {
            let sql = "select value from keepsake where name = 'bookmark/' || $1";
            let row = client.query_typed_opt(sql, &[(&source, Type::TEXT)]).await?;
            Ok(row.map(|row| row.try_get(0)).transpose()?)
        })
    }

    fn set_bookmark(&mut self, source: &str, place: &str) -> Result<(), StoreError> {
        self.read(async |client| keep(client, &format!("bookmark/{source}"), place).await)
    }

    fn size(&self) -> Result<(u64, u64), StoreError> {
        self.read(async |client| {
            let sql = "select (select coalesce(sum(runs::bigint + errors), 0)::bigint from rollup),
                       (select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint from pg_class c
                        where c.relnamespace = 'fractal'::regnamespace and c.relkind = 'r')";
            let row = client.query_typed_one(sql, &[]).await?;
            let number = |column: usize| -> Result<u64, StoreError> { Ok(row.try_get::<_, i64>(column)?.unsigned_abs()) };
            Ok((number(0)?, number(1)?))
        })
    }

    fn claims(&self) -> Option<&dyn Claims> {
        Some(self)
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        self.read(async |client| {
            Ok(!client.query_typed_one("select exists (select 1 from series)", &[]).await?.try_get::<_, bool>(0)?)
        })
    }
}

/// Keeps a text under a name, instead of what was there.
async fn keep(client: &Client, name: &str, value: &str) -> Result<(), StoreError> {
    let sql = "insert into keepsake values ($1, $2) on conflict (name) do update set value = excluded.value";
    let parameters: [Param<'_>; 2] = [(&plain(name), Type::TEXT), (&plain(value), Type::TEXT)];
    client.execute_typed(sql, &parameters).await?;
    Ok(())
}
