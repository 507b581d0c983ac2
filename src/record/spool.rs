//! Runs that wait on disk while the store is away, and how they get into it: in order, and exactly once.

use anyhow::{Context, Result};

use super::lines::Line;
use crate::config::Config;
use crate::model::NewExecution;
use crate::world::git::Repo;
use crate::world::spool::Spool;
use crate::world::store::{self, Store, StoreError};

/// Runs that are stored in one transaction.
const BATCH: usize = 500;

/// Lets an execution wait on disk. It is redacted already.
///
/// # Errors
/// When it cannot be written, or too much waits.
pub fn put(repo: &Repo, config: &Config, new: &NewExecution) -> Result<()> {
    let text = Line::of(new).text()?;
    Spool::of(repo).put(&new.execution.id.0, text.as_bytes(), config.record.spool_mib << 20)
}

/// Stores at most `limit` of the runs that wait, the oldest first; returns how many. A kill in between costs nothing: what was
/// stored and not removed yet is known by its identity the next time.
///
/// # Errors
/// When the store cannot be written; the rest waits on.
pub fn drain(repo: &Repo, store: &mut dyn Store, limit: usize) -> Result<usize> {
    let spool = Spool::of(repo);
    let names = spool.names()?;
    let mut stored = 0;
    for names in names[..names.len().min(limit)].chunks(BATCH) {
        let mut batch = Vec::new();
        for name in names {
            let Some(content) = spool.read(name)? else { continue };
            match std::str::from_utf8(&content).ok().and_then(|text| Line::parse(text).ok()) {
                Some(line) => batch.push(line.restore()),
                None => spool.set_aside(name)?,
            }
        }
        store.record_all(&batch).context("storing runs that waited on disk")?;
        names.iter().try_for_each(|name| spool.remove(name))?;
        stored += batch.len();
    }
    Ok(stored)
}

/// Opens the store to write to it, with what waited for it.
///
/// # Errors
/// When it cannot be opened or written.
pub fn open(repo: &Repo, config: &Config) -> Result<Box<dyn Store>, StoreError> {
    let mut store = store::open(repo, config)?;
    if let Err(error) = drain(repo, store.as_mut(), usize::MAX) {
        tracing::warn!("runs that waited on disk wait on: {error:#}");
    }
    Ok(store)
}
