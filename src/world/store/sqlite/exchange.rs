//! What the exchange of executions asks of the store beside executions: what would be forgotten, what was, which segments were read.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::Connection;

use super::{read, remove};
use crate::model::ExecutionId;
use crate::world::store::row::Bits;
use crate::world::store::{Forget, Forgotten, ForgottenRange, StoreError};

pub(super) fn matching(connection: &Connection, what: &Forget) -> Result<Vec<(String, ExecutionId)>, StoreError> {
    let since = what.since.map_or(0, Timestamp::as_millisecond);
    let until = what.until.map_or(i64::MAX, Timestamp::as_millisecond);
    let mut found = Vec::new();
    let mut tool_of = connection.prepare_cached("select tool from series where id = ?1")?;
    for series in read::all_series(connection, what.tool.as_deref(), None)? {
        let tool: String = tool_of.query_row([series], |row| row.get(0))?;
        let ids = remove::candidates(connection, series, since, until, what)?;
        found.extend(ids.into_iter().map(|id| (tool.clone(), ExecutionId::from_bytes(id))));
    }
    Ok(found)
}

pub(super) fn forgotten(connection: &Connection) -> Result<Forgotten, StoreError> {
    let mut ids = connection.prepare_cached("select id from forgotten")?;
    let ids = ids.query_map([], |row| row.get::<_, Bits>(0))?.map(|id| Ok(ExecutionId::from_bytes(id?)));
    let mut ranges = connection.prepare_cached("select tool, since, until from forgotten_range")?;
    let ranges = ranges.query_map([], |row| Ok(ForgottenRange { tool: row.get(0)?, since: row.get(1)?, until: row.get(2)? }))?;
    Ok(Forgotten { ids: ids.collect::<Result<_, StoreError>>()?, ranges: ranges.collect::<Result<_, _>>()? })
}

pub(super) fn keep_received(connection: &Connection, segments: &BTreeSet<String>) -> Result<(), StoreError> {
    let mut known = connection.prepare_cached("select segment from received")?;
    let known = known.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    let mut remove = connection.prepare_cached("delete from received where segment = ?1")?;
    for gone in known.iter().filter(|segment| !segments.contains(*segment)) {
        remove.execute([gone])?;
    }
    Ok(())
}
