//! Pins: a person says which version of a tool `fractal exec` runs here, whatever the work tree has.
//!
//! A small file in our folder of the git directory, because every run looks for it. A ref with the tool's name keeps git from removing
//! the commit, and says nothing else.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::git::Repo;
use crate::model::CommitId;

/// Who wants which version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    pub commit: CommitId,
    pub by: String,
    pub at: Timestamp,
}

/// The pin of a tool.
///
/// # Errors
/// When there is one that cannot be read.
pub fn of(repo: &Repo, tool: &str) -> Result<Option<Pin>> {
    match fs::read(path(repo, tool)) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text).with_context(|| format!("the pin of `{tool}`"))?)),
        // Where our folder is no folder nothing was ever pinned.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("the pin of `{tool}`")),
    }
}

/// Pins a tool.
///
/// # Errors
/// When it cannot be written.
pub fn set(repo: &Repo, tool: &str, pin: &Pin) -> Result<()> {
    repo.remove_own_ref(&keeper(tool))?;
    repo.move_ref(&keeper(tool), None, &pin.commit, "fractal: pin")?;
    put(&path(repo, tool), &serde_json::to_vec(pin)?).with_context(|| format!("the pin of `{tool}`"))
}

/// Ends a pin; whether there was one.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(repo: &Repo, tool: &str) -> Result<bool> {
    let was = match fs::remove_file(path(repo, tool)) {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(error).with_context(|| format!("the pin of `{tool}`")),
    };
    repo.remove_own_ref(&keeper(tool))?;
    Ok(was)
}

/// Writes a file of ours, whole or not at all.
pub(super) fn put(path: &Path, content: &[u8]) -> Result<()> {
    let folder = path.parent().context("a file has a folder")?;
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.persist(path)?;
    Ok(())
}

fn path(repo: &Repo, tool: &str) -> PathBuf {
    repo.state_dir().join("pins").join(format!("{tool}.json"))
}

fn keeper(tool: &str) -> String {
    format!("refs/fractal/pins/{tool}")
}
