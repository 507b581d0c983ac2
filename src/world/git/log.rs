//! The decision log: `refs/fractal/log`, one file of JSON lines per improvement.
//!
//! The tree holds `format` (the version of the layout) and `improvements/<id>.jsonl`. Appending rewrites one file and moves the
//! ref by compare-and-swap; a lost race is retried on the new tip when nobody touched the same improvement.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::commit::signature;
use super::{Identity, MoveError, Repo, id_of};
use crate::model::{CommitId, ImprovementId, Record};

/// The ref of the log.
pub const LOG_REF: &str = "refs/fractal/log";
const FORMAT: &str = "fractal log 1\n";
pub(super) const RETRIES: usize = 32;

/// Why the log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Somebody else wrote the ref, or a newer Fractal.
    #[error("`{LOG_REF}` is not a log of this version of Fractal: {0}")]
    Foreign(String),
    #[error("`{LOG_REF}`: {file} line {line}: {why}")]
    Damaged { file: String, line: usize, why: String },
    /// Another loop wrote to the same improvement.
    #[error("another loop wrote to improvement {0} at the same time")]
    Raced(ImprovementId),
    #[error("{0:#}")]
    Git(anyhow::Error),
}

impl From<anyhow::Error> for LogError {
    fn from(error: anyhow::Error) -> Self {
        LogError::Git(error)
    }
}

impl From<git2::Error> for LogError {
    fn from(error: git2::Error) -> Self {
        LogError::Git(error.into())
    }
}

impl Repo {
    /// All improvements with their records, in the order written.
    ///
    /// # Errors
    /// [`LogError::Foreign`] and [`LogError::Damaged`] name what is wrong; nothing is changed.
    pub fn read_log(&self) -> Result<BTreeMap<ImprovementId, Vec<Record>>, LogError> {
        let Some(tree) = self.log_tree()?.map(|(_, tree)| tree) else { return Ok(BTreeMap::new()) };
        let mut all = BTreeMap::new();
        let Ok(folder) = tree.get_path("improvements".as_ref()) else { return Ok(all) };
        for entry in &self.inner.find_tree(folder.id())? {
            let file = String::from_utf8_lossy(entry.name_bytes()).into_owned();
            let Some(id) = file.strip_suffix(".jsonl") else {
                return Err(LogError::Foreign(format!("it holds `improvements/{file}`")));
            };
            let blob = self.inner.find_blob(entry.id());
            let blob =
                blob.map_err(|error| LogError::Foreign(format!("`improvements/{file}` is no file: {}", error.message())))?;
            all.insert(ImprovementId(id.to_string()), parse(&file, blob.content())?);
        }
        Ok(all)
    }

    /// The records of one improvement.
    ///
    /// # Errors
    /// As [`Repo::read_log`].
    pub fn read_improvement(&self, id: &ImprovementId) -> Result<Vec<Record>, LogError> {
        let file = format!("improvements/{id}.jsonl");
        let Some((_, tree)) = self.log_tree()? else { return Ok(Vec::new()) };
        match tree.get_path(file.as_ref()) {
            Ok(entry) => parse(&file, self.inner.find_blob(entry.id())?.content()),
            Err(_) => Ok(Vec::new()),
        }
    }

    /// The tip of the log: unchanged tip, unchanged log.
    ///
    /// # Errors
    /// When the ref is not a commit.
    pub fn log_tip(&self) -> Result<Option<CommitId>, LogError> {
        self.resolve(LOG_REF).map_err(|error| LogError::Foreign(format!("{error:#}")))
    }

    /// Appends records to an improvement that has `known` records so far.
    ///
    /// # Errors
    /// [`LogError::Raced`] when the improvement has other records by now.
    pub fn append_log(
        &self,
        id: &ImprovementId,
        known: usize,
        records: &[Record],
        by: &Identity,
        at: Timestamp,
    ) -> Result<(), LogError> {
        let file = format!("improvements/{id}.jsonl");
        for _ in 0..RETRIES {
            let tip = self.log_tree()?;
            let mut content = match tip.as_ref().and_then(|(_, tree)| tree.get_path(file.as_ref()).ok()) {
                Some(entry) => self.inner.find_blob(entry.id())?.content().to_vec(),
                None => Vec::new(),
            };
            if content.iter().filter(|byte| **byte == b'\n').count() != known {
                return Err(LogError::Raced(id.clone()));
            }
            for record in records {
                serde_json::to_writer(&mut content, record).context("writing a record")?;
                content.push(b'\n');
            }
            let commit = self.log_commit(tip.as_ref(), &file, &content, &describe(id, records), by, at)?;
            let expect = tip.as_ref().map(|(commit, _)| commit);
            match self.move_ref(LOG_REF, expect, &commit, "fractal: append") {
                Ok(()) => return Ok(()),
                Err(MoveError::Lost { .. }) => {}
                Err(MoveError::Git(error)) => return Err(LogError::Git(error)),
                Err(error @ MoveError::Locked { .. }) => return Err(LogError::Git(error.into())),
            }
        }
        Err(LogError::Raced(id.clone()))
    }

    fn log_commit(
        &self,
        tip: Option<&(CommitId, git2::Tree<'_>)>,
        file: &str,
        content: &[u8],
        message: &str,
        by: &Identity,
        at: Timestamp,
    ) -> Result<CommitId, LogError> {
        let empty = self.inner.find_tree(self.inner.treebuilder(None)?.write()?)?;
        let mut update = git2::build::TreeUpdateBuilder::new();
        update.upsert("format", self.inner.blob(FORMAT.as_bytes())?, git2::FileMode::Blob);
        update.upsert(file, self.inner.blob(content)?, git2::FileMode::Blob);
        let base = tip.map_or(&empty, |(_, tree)| tree);
        let tree = self.inner.find_tree(update.create_updated(&self.inner, base)?)?;
        let signature = signature(by, at)?;
        let parent = tip.map(|(commit, _)| self.commit(commit)).transpose()?;
        let parents: Vec<&git2::Commit<'_>> = parent.iter().collect();
        Ok(id_of(self.inner.commit(None, &signature, &signature, message, &tree, &parents)?))
    }

    fn log_tree(&self) -> Result<Option<(CommitId, git2::Tree<'_>)>, LogError> {
        let Some(tip) = self.log_tip()? else { return Ok(None) };
        let tree = self.log_tree_of(&tip)?;
        Ok(Some((tip, tree)))
    }

    pub(super) fn log_tree_of(&self, tip: &CommitId) -> Result<git2::Tree<'_>, LogError> {
        let tree = self.commit(tip)?.tree()?;
        let format = tree.get_path("format".as_ref()).ok().and_then(|entry| self.inner.find_blob(entry.id()).ok());
        match format {
            Some(blob) if blob.content() == FORMAT.as_bytes() => Ok(tree),
            Some(blob) => Err(LogError::Foreign(format!(
                "its format is `{}`, this version reads `{}`",
                String::from_utf8_lossy(blob.content()).trim().chars().take(60).collect::<String>(),
                FORMAT.trim()
            ))),
            None => Err(LogError::Foreign(format!("commit {} has no `format` file", tip.short()))),
        }
    }
}

pub(super) fn parse(file: &str, content: &[u8]) -> Result<Vec<Record>, LogError> {
    content
        .split(|byte| *byte == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| {
            serde_json::from_slice(line).map_err(|error| LogError::Damaged {
                file: file.to_string(),
                line: number + 1,
                why: error.to_string(),
            })
        })
        .collect()
}

fn describe(id: &ImprovementId, records: &[Record]) -> String {
    let names: Vec<&str> = records.iter().map(|record| record.event.name()).collect();
    format!("{}: {}\n", id.short(), names.join(", "))
}
