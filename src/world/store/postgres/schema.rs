//! The tables, in a schema of their own, and how they come to be.

use tokio_postgres::Client;

use super::lock::{self, Lock};
use crate::world::store::StoreError;

/// The newest schema this program knows.
pub(super) const FORMAT: i32 = 1;

/// As in SQLite, executions of one tool and version (a series) lie together in the order in which they ended. What differs:
///
/// - Rollups are *parts* that add up. A writer only adds parts, so hundreds of them never wait for each other nor
///   overwrite anything; whoever reads adds up, and now and then a writer replaces the parts of a day by their sum. A part of a rollup
///   is a day of a series: its sums, and its hours by caller in `hours` (see `pack.rs`). `open`: added since the day was settled.
/// - The input is kept with each execution. It is short, and so there is nothing to look up or to lock.
/// - Names are found by a digest (`key`), because they come from outside and an index takes no long ones.
const TABLES: &str = "
create table series (id integer generated always as identity primary key, key uuid not null unique, tool text not null, version text not null,
  failed boolean not null default false);
create index series_tool on series (tool);
create table caller (id integer generated always as identity primary key, key uuid not null unique, name text not null, class integer);
create table fingerprint (id integer generated always as identity primary key, key uuid not null unique, name text not null);
create table failure (id integer generated always as identity primary key, key uuid not null unique, body text not null,
  fingerprint integer not null);
create table execution (
  began bigint not null, duration bigint not null, exit bigint not null, series integer not null, caller integer not null,
  fingerprint integer, failure integer, outcome smallint not null, marked boolean not null, id uuid not null, input uuid, stdin uuid,
  stdout uuid, stderr uuid, expected uuid, exit_note text, given text, primary key (series, id)
);
create index execution_failed on execution (series, fingerprint, id) where fingerprint is not null;
create table blob (series integer not null, id uuid not null, hour integer not null, content bytea not null, primary key (series, id));
create table rollup (
  series integer not null, day integer not null, runs integer not null, failures integer not null, errors integer not null,
  open boolean not null, first uuid, last uuid, hours bytea not null
);
create index rollup_day on rollup (series, day);
create sequence news;
create table dirty (tool text primary key, news bigint not null);
create table counter (name text primary key, value bigint not null);
create table keepsake (name text primary key, value text not null);
create table forgotten (id uuid primary key);
create table forgotten_range (tool text, since bigint not null, until bigint not null);
create table unsent (id uuid not null, series integer not null, primary key (id, series));
create table received (segment text primary key);
create table format (version integer not null);
insert into format values (1);
";

/// The version of the tables; 0 when there are none.
pub(super) async fn format(client: &Client) -> Result<i32, StoreError> {
    // Read from the catalogue: what PostgreSQL remembers of names (`to_regclass`) may be older than the lock that we waited for.
    let sql = "select exists (select 1 from pg_class c join pg_namespace n on n.oid = c.relnamespace
               where n.nspname = 'fractal' and c.relname = 'format')";
    if !client.query_typed_one(sql, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    Ok(client.query_typed_one("select max(version) from fractal.format", &[]).await?.try_get(0)?)
}

/// Makes the tables, or brings those of an earlier version forward.
///
/// # Errors
/// When a newer Fractal made them; nothing is changed then.
pub(super) async fn migrate(client: &Client, newer: impl Fn(i64) -> StoreError) -> Result<(), StoreError> {
    match format(client).await? {
        FORMAT => return Ok(()),
        found if found > FORMAT => return Err(newer(found.into())),
        _ => {}
    }
    lock::atomically(client, Lock::Alone, async |client| {
        // Another process may have been faster.
        if format(client).await? == 0 {
            client.batch_execute("create schema if not exists fractal").await?;
            client.batch_execute(TABLES).await?;
        }
        Ok(())
    })
    .await
}
