//! Executions in, with the parts of rollups that they add, in the caller's transaction.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::pin::pin;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::names::{GENERATION, Names, Numbers};
use super::sums::{self, Sums};
use super::table::{BULK, Executions, Table as _, plain, uuid};
use crate::model::{Mark, NewExecution, Outcome, hour_of};
use crate::world::store::row::{Bits, Row, bits, ended, id_bits, outcome_number};
use crate::world::store::{Ingested, StoreError};

/// Rows of one statement, and bytes of content in one.
const STATEMENT: usize = 5_000;
/// Rows that are made at once for a copy.
const COPIED: usize = 256;
const CONTENT: usize = 16 << 20;

/// An execution of a batch, and its place in the table.
struct Entry<'a> {
    id: Bits,
    numbers: Numbers,
    has_content: bool,
    new: &'a NewExecution,
}

/// The hour in which an execution ended.
pub(super) fn hour(id: &Bits) -> i32 {
    i32::try_from(hour_of(ended(id))).unwrap_or(i32::MAX)
}

/// Stores what is not there yet; `None` when the names are outdated. `local` executions are remembered as unsent, if anybody asked
/// for that.
pub(super) async fn ingest(
    client: &Client,
    names: &mut Names,
    batch: &[NewExecution],
    numbers: &[Numbers],
    local: bool,
) -> Result<Option<Ingested>, StoreError> {
    let state = State::read(client).await?;
    if !names.is_of(state.generation) {
        names.clear();
        return Ok(None);
    }
    let forgotten = state.forgotten(client, batch).await?;
    let mut ingested = Ingested::default();
    let mut entries = Vec::with_capacity(batch.len());
    for (new, numbers) in batch.iter().zip(numbers) {
        let id = id_bits(&new.execution.id)?;
        if forgotten.holds(&id, &new.execution.tool) {
            ingested.forgotten += 1;
            continue;
        }
        let has_content = [&new.stdin, &new.stdout, &new.stderr, &new.expected].iter().any(|content| content.is_some());
        entries.push(Entry { id, numbers: *numbers, has_content, new });
    }
    // In the order of the table, so that neighbours are written together and nobody waits for us in a circle. What is in the batch
    // twice counts as known the second time.
    entries.sort_by_key(|entry| (entry.numbers.series, entry.id));
    let (entries, twice) = without_duplicates(entries);
    let (known, mut sums) = insert(client, &entries).await?;
    ingested.known = (known.len() + twice.len()) as u64;
    ingested.new = (entries.len() - known.len()) as u64;
    let fresh = || entries.iter().enumerate().filter(|(at, _)| !known.contains(at)).map(|(_, entry)| entry);
    sums.write(client).await?;
    keep_contents(client, fresh().filter(|entry| entry.has_content)).await?;
    if local && state.tracked {
        let (series, ids): (Vec<i32>, Vec<Uuid>) = fresh().map(|entry| (entry.numbers.series, uuid(&entry.id))).unzip();
        remember_unsent(client, &series, &ids).await?;
    }
    for Entry { id, numbers, new, .. } in known.iter().map(|at| &entries[*at]).chain(&twice) {
        if let Some(said) = &new.execution.mark {
            mark(client, names, (numbers.series, id), said, new.expected.as_deref(), local).await?;
        }
    }
    tell_news(client, names, &sums).await?;
    if batch.len() < BULK {
        sums.compact_some(client).await?;
    }
    Ok(Some(ingested))
}

fn without_duplicates(entries: Vec<Entry<'_>>) -> (Vec<Entry<'_>>, Vec<Entry<'_>>) {
    let (mut once, mut twice): (Vec<Entry<'_>>, Vec<Entry<'_>>) = (Vec::with_capacity(entries.len()), Vec::new());
    for entry in entries {
        match once.last().is_some_and(|last| (last.numbers.series, last.id) == (entry.numbers.series, entry.id)) {
            true => twice.push(entry),
            false => once.push(entry),
        }
    }
    (once, twice)
}

/// Inserts what is not there yet. Which ones were, and the sums of those that were not.
async fn insert(client: &Client, entries: &[Entry<'_>]) -> Result<(HashSet<usize>, Sums), StoreError> {
    if entries.len() >= BULK {
        // Mostly all of it is new.
        client.batch_execute("savepoint bulk").await?;
        match copy(client, entries).await {
            Ok(sums) => {
                client.batch_execute("release savepoint bulk").await?;
                return Ok((HashSet::new(), sums));
            }
            Err(StoreError::Postgres(error)) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                client.batch_execute("rollback to savepoint bulk").await?;
            }
            Err(error) => return Err(error),
        }
    }
    let (mut known, mut sums) = (HashSet::new(), Sums::default());
    for (chunk, part) in entries.chunks(STATEMENT).enumerate() {
        let columns = columns(part, None)?;
        let rows = columns.insert(client, "on conflict do nothing returning series, id").await?;
        let new: HashSet<(i32, Uuid)> =
            rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, StoreError>>()?;
        for (at, entry) in part.iter().enumerate() {
            match new.contains(&(entry.numbers.series, uuid(&entry.id))) {
                true => add(&mut sums, entry, &Row::of(&entry.new.execution)?),
                false => drop(known.insert(chunk * STATEMENT + at)),
            }
        }
    }
    Ok((known, sums))
}

/// Copies all of it, and adds it up while the server works.
async fn copy(client: &Client, entries: &[Entry<'_>]) -> Result<Sums, StoreError> {
    let mut sums = Sums::default();
    let mut copy = pin!(Executions::begin_copy(client).await?);
    for part in entries.chunks(COPIED) {
        columns(part, Some(&mut sums))?.send(copy.as_mut()).await?;
    }
    copy.finish().await?;
    Ok(sums)
}

fn add(sums: &mut Sums, Entry { id, numbers, .. }: &Entry<'_>, row: &Row) {
    let fingerprint = numbers.failure.map(|(fingerprint, _)| i64::from(fingerprint));
    sums.add(numbers.series, hour(id), numbers.class, &row.as_run(fingerprint));
}

/// The columns of executions, which are added to `sums` on the way.
fn columns(entries: &[Entry<'_>], mut sums: Option<&mut Sums>) -> Result<Executions, StoreError> {
    let mut columns = Executions::default();
    for entry in entries {
        let Entry { id, numbers, new, .. } = entry;
        let row = Row::of(&new.execution)?;
        if let Some(sums) = &mut sums {
            add(sums, entry, &row);
        }
        let input = &new.execution.input;
        let digest = |bits: &Option<Bits>| bits.as_ref().map(uuid);
        columns.began.push(new.execution.at.as_millisecond());
        columns.duration.push(row.duration);
        columns.exit.push(row.exit);
        columns.series.push(numbers.series);
        columns.caller.push(numbers.caller);
        columns.fingerprint.push(numbers.failure.map(|(fingerprint, _)| fingerprint));
        columns.failure.push(numbers.failure.map(|(_, failure)| failure));
        columns.outcome.push(row.outcome);
        columns.marked.push(row.marked);
        columns.id.push(uuid(id));
        columns.input.push(digest(&row.input));
        columns.stdin.push(input.stdin.as_ref().and_then(|blob| bits(&blob.0)).as_ref().map(uuid));
        columns.stdout.push(digest(&row.stdout));
        columns.stderr.push(digest(&row.stderr));
        columns.expected.push(digest(&row.expected));
        columns.exit_note.push(row.exit_note.as_deref().map(plain));
        columns.given.push(match input.withheld {
            None => Some(serde_json::to_string(input)?),
            Some(_) => None,
        });
    }
    Ok(columns)
}

// ---- contents ----

/// Keeps the bytes of executions, or moves their last hour on.
async fn keep_contents<'a>(client: &Client, entries: impl Iterator<Item = &'a Entry<'a>>) -> Result<(), StoreError> {
    let mut contents: BTreeMap<(i32, Bits), (i32, &[u8])> = BTreeMap::new();
    for Entry { id: of, numbers, new, .. } in entries {
        let execution = &new.execution;
        let expected = execution.mark.as_ref().and_then(|mark| mark.expected.as_ref());
        let streams = [
            (execution.input.stdin.as_ref(), &new.stdin),
            (execution.stdout.as_ref(), &new.stdout),
            (execution.stderr.as_ref(), &new.stderr),
            (expected, &new.expected),
        ];
        for (id, content) in streams {
            if let (Some(id), Some(content)) = (id.and_then(|id| bits(&id.0)), content) {
                let kept = contents.entry((numbers.series, id)).or_insert((hour(of), content));
                kept.0 = kept.0.max(hour(of));
            }
        }
    }
    let (mut part, mut bytes) = (Vec::new(), 0);
    for (place, (hour, content)) in contents {
        bytes += content.len();
        part.push((place, hour, content));
        if bytes > CONTENT || part.len() >= STATEMENT {
            keep_blobs(client, &part).await?;
            (part, bytes) = (Vec::new(), 0);
        }
    }
    keep_blobs(client, &part).await
}

/// One content: series and digest, hour, bytes.
type Blob<'a> = ((i32, Bits), i32, &'a [u8]);

/// What is there with this hour or a later one is not even locked: many write the same "ok".
async fn keep_blobs(client: &Client, blobs: &[Blob<'_>]) -> Result<(), StoreError> {
    if blobs.is_empty() {
        return Ok(());
    }
    let series: Vec<i32> = blobs.iter().map(|((series, _), ..)| *series).collect();
    let ids: Vec<Uuid> = blobs.iter().map(|((_, id), ..)| uuid(id)).collect();
    let hours: Vec<i32> = blobs.iter().map(|(_, hour, _)| *hour).collect();
    let contents: Vec<&[u8]> = blobs.iter().map(|(.., content)| *content).collect();
    let sql =
        "insert into blob (series, id, hour, content) select w.* from unnest($1, $2, $3, $4) as w (series, id, hour, content)
               where not exists (select 1 from blob b where b.series = w.series and b.id = w.id and b.hour >= w.hour)
               order by w.series, w.id on conflict (series, id) do update set hour = greatest(blob.hour, excluded.hour)";
    let parameters: [super::connection::Param<'_>; 4] =
        [(&series, Type::INT4_ARRAY), (&ids, Type::UUID_ARRAY), (&hours, Type::INT4_ARRAY), (&contents, Type::BYTEA_ARRAY)];
    client.execute_typed(sql, &parameters).await?;
    Ok(())
}

// ---- news ----

/// A tool has news when a run failed, or when it ran in a version that has failed before.
async fn tell_news(client: &Client, names: &mut Names, sums: &Sums) -> Result<(), StoreError> {
    let all: Vec<i32> = sums.series.keys().copied().collect();
    let failed: Vec<i32> = sums.series.iter().filter(|(_, failed)| **failed).map(|(series, _)| *series).collect();
    let failed = names.now_failed(failed);
    if !failed.is_empty() {
        set_failed(client, &failed).await?;
    }
    if !all.is_empty() {
        let sql = "select distinct tool from series where id = any($1) and failed";
        let rows = client.query_typed(sql, &[(&all, Type::INT4_ARRAY)]).await?;
        let tools: Vec<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        has_news(client, &tools).await?;
    }
    Ok(())
}

async fn set_failed(client: &Client, series: &[i32]) -> Result<(), StoreError> {
    // Locked in order; a version that is known to fail is not locked at all.
    let sql = "update series set failed = true where id in (
                 select id from series where id = any($1) and not failed order by id for update)";
    client.execute_typed(sql, &[(&series, Type::INT4_ARRAY)]).await?;
    Ok(())
}

/// Each piece of news has a number of its own, so that a look never takes away what it has not seen.
pub(super) async fn has_news(client: &Client, tools: &[String]) -> Result<(), StoreError> {
    if tools.is_empty() {
        return Ok(());
    }
    let sql = "insert into dirty (tool, news) select tool, nextval('news') from (
                 select distinct tool from unnest($1) as w (tool) order by tool) as w
               on conflict (tool) do update set news = excluded.news";
    client.execute_typed(sql, &[(&tools, Type::TEXT_ARRAY)]).await?;
    Ok(())
}

// ---- marks ----

/// Marks an execution that is there as wrong, alone with the store. Of two marks the one with an expected output stays, and of two of
/// those the one whose digest is greater, so that the order in which they come does not matter. A `local` mark is to be sent to others.
pub(super) async fn mark(
    client: &Client,
    names: &Names,
    (series, id): (i32, &Bits),
    mark: &Mark,
    content: Option<&[u8]>,
    local: bool,
) -> Result<(), StoreError> {
    let expected = mark.expected.as_ref().and_then(|blob| bits(&blob.0)).as_ref().map(uuid);
    let place: [super::connection::Param<'_>; 2] = [(&series, Type::INT4), (&uuid(id), Type::UUID)];
    let sql =
        "select e.marked, e.expected, s.tool from execution e join series s on s.id = e.series where e.series = $1 and e.id = $2";
    let row = client.query_typed_one(sql, &place).await?;
    let (marked, known): (bool, Option<Uuid>) = (row.try_get(0)?, row.try_get(1)?);
    if marked && known >= expected {
        return Ok(());
    }
    let hour = hour(id);
    if let (Some(blob), Some(content)) = (&expected, content) {
        keep_blobs(client, &[((series, *blob.as_bytes()), hour, content)]).await?;
    }
    let (fingerprint, failure) = names.wrong_output()?;
    // One that failed by itself keeps its failure.
    let sql = "update execution set marked = true, expected = $3, outcome = $4,
                   fingerprint = case when outcome = $4 then fingerprint else $5 end,
                   failure = case when outcome = $4 then failure else $6 end
               where series = $1 and id = $2";
    let outcome = outcome_number(Outcome::Failure);
    let columns: [super::connection::Param<'_>; 4] =
        [(&expected, Type::UUID), (&outcome, Type::INT2), (&fingerprint, Type::INT4), (&failure, Type::INT4)];
    client.execute_typed(sql, &[place.as_slice(), &columns].concat()).await?;
    if local && State::read(client).await?.tracked {
        remember_unsent(client, &[series], &[uuid(id)]).await?;
    }
    set_failed(client, &[series]).await?;
    has_news(client, &[row.try_get(2)?]).await?;
    sums::fold_again(client, series, &BTreeSet::from([hour])).await
}

// ---- what was sent, what was forgotten ----

/// What a writer must know, in one look.
pub(super) struct State {
    pub generation: i64,
    /// Whether anybody asked which executions were not sent.
    pub tracked: bool,
    forgotten: bool,
}

/// What must stay away.
struct Forgotten {
    ids: BTreeSet<Uuid>,
    ranges: Vec<(Option<String>, i64, i64)>,
}

impl State {
    pub async fn read(client: &Client) -> Result<State, StoreError> {
        let sql = format!(
            "select ({GENERATION}), exists (select 1 from keepsake where name = 'unsent'),
             exists (select 1 from forgotten) or exists (select 1 from forgotten_range)"
        );
        let row = client.query_typed_one(&sql, &[]).await?;
        Ok(State { generation: row.try_get(0)?, tracked: row.try_get(1)?, forgotten: row.try_get(2)? })
    }

    async fn forgotten(&self, client: &Client, batch: &[NewExecution]) -> Result<Forgotten, StoreError> {
        let mut forgotten = Forgotten { ids: BTreeSet::new(), ranges: Vec::new() };
        if self.forgotten {
            let ids: Vec<Uuid> = batch.iter().filter_map(|new| new.execution.id.bytes()).map(|id| uuid(&id)).collect();
            let rows = client.query_typed("select id from forgotten where id = any($1)", &[(&ids, Type::UUID_ARRAY)]).await?;
            forgotten.ids = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
            for row in client.query_typed("select tool, since, until from forgotten_range", &[]).await? {
                forgotten.ranges.push((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
            }
        }
        Ok(forgotten)
    }
}

impl Forgotten {
    fn holds(&self, id: &Bits, tool: &str) -> bool {
        let at = ended(id);
        let applies = |(of, since, until): &(Option<String>, i64, i64)| {
            of.as_deref().is_none_or(|of| of == tool) && (*since..*until).contains(&at)
        };
        self.ids.contains(&uuid(id)) || self.ranges.iter().any(applies)
    }
}

async fn remember_unsent(client: &Client, series: &[i32], ids: &[Uuid]) -> Result<(), StoreError> {
    let sql = "insert into unsent (series, id) select * from unnest($1, $2) on conflict do nothing";
    client.execute_typed(sql, &[(&series, Type::INT4_ARRAY), (&ids, Type::UUID_ARRAY)]).await?;
    Ok(())
}
