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
    put_all(repo, config, std::slice::from_ref(new))
}

/// Lets executions wait on disk, many in one file: one file each would take longer than storing them.
///
/// # Errors
/// As [`put`]; some may wait then.
pub fn put_all(repo: &Repo, config: &Config, batch: &[NewExecution]) -> Result<()> {
    for runs in batch.chunks(BATCH) {
        let lines = runs.iter().map(|new| Line::of(new).text()).collect::<Result<Vec<_>, _>>()?;
        Spool::of(repo).put(&runs[0].execution.id.0, lines.join("\n").as_bytes(), config.record.spool_mib << 20)?;
    }
    Ok(())
}

/// Stores the runs that wait, the oldest first, until it has stored `limit` or a few more; returns how many. A kill in between costs
/// nothing: what was stored and not removed yet is known by its identity the next time.
///
/// # Errors
/// When the store cannot be written; the rest waits on.
pub fn drain(repo: &Repo, store: &mut dyn Store, limit: usize) -> Result<usize> {
    let spool = Spool::of(repo);
    let (mut batch, mut files, mut stored) = (Vec::new(), Vec::new(), 0);
    for name in spool.names()? {
        if let Some(content) = spool.read(&name)? {
            match runs(&content) {
                Some(runs) => {
                    batch.extend(runs);
                    files.push(name);
                }
                None => spool.set_aside(&name)?,
            }
        }
        if batch.len() >= BATCH || stored + batch.len() >= limit {
            stored += settle(&spool, store, &mut batch, &mut files)?;
        }
        if stored >= limit {
            return Ok(stored);
        }
    }
    Ok(stored + settle(&spool, store, &mut batch, &mut files)?)
}

/// Stores a batch and removes its files; how many runs it was.
fn settle(spool: &Spool, store: &mut dyn Store, batch: &mut Vec<NewExecution>, files: &mut Vec<String>) -> Result<usize> {
    if !batch.is_empty() {
        store.record_all(batch).context("storing runs that waited on disk")?;
    }
    files.drain(..).try_for_each(|name| spool.remove(&name))?;
    Ok(std::mem::take(batch).len())
}

/// The runs in a file, one a line; `None` when one of them is not readable.
fn runs(content: &[u8]) -> Option<Vec<NewExecution>> {
    let text = std::str::from_utf8(content).ok()?;
    text.lines().map(|line| Line::parse(line).ok().map(Line::restore)).collect()
}

/// Removes what is left in the spool after it was emptied and matches: nobody can read it otherwise.
///
/// # Errors
/// When a file cannot be removed.
pub fn forget(repo: &Repo, pattern: &regex::bytes::Regex) -> Result<()> {
    Spool::of(repo).remove_where(|content| pattern.is_match(content))
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
