//! History: which commits made which versions of a tool, and what was reverted.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use anyhow::Result;
use jiff::Timestamp;

use super::walk::COMMITS_MAX;
use super::{Repo, id_of};
use crate::model::{CommitId, Version};

/// A commit at which a tool had a version that its first parent did not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    pub commit: CommitId,
    pub version: Version,
    pub summary: String,
    pub author: String,
    pub at: Timestamp,
}

impl Repo {
    /// The versions of a tool along the first parents of `from`, newest first, each with the commit that made it; at most `limit`.
    ///
    /// # Errors
    /// When history cannot be read.
    pub fn revisions(&self, from: &CommitId, paths: &[String], limit: usize) -> Result<Vec<Revision>> {
        self.revisions_until(from, paths, |revisions| revisions.len() >= limit)
    }

    /// The same, until all of these versions are found: those that people only read about are not worth a longer walk.
    ///
    /// # Errors
    /// When history cannot be read.
    pub fn revisions_of(&self, from: &CommitId, paths: &[String], mut wanted: BTreeSet<Version>) -> Result<Vec<Revision>> {
        let mut looked_at = 0;
        self.revisions_until(from, paths, |revisions| {
            for revision in &revisions[looked_at..] {
                wanted.remove(&revision.version);
            }
            looked_at = revisions.len();
            wanted.is_empty()
        })
    }

    /// The commits that changed these paths after `since` had them, along the first parents of `from`, newest first.
    ///
    /// # Errors
    /// When history cannot be read.
    pub fn revisions_after(&self, since: &CommitId, from: &CommitId, paths: &[String]) -> Result<Vec<Revision>> {
        let known = self.version_at(since, paths)?;
        let is_known = |revision: &Revision| Some(&revision.version) == known.as_ref();
        let mut revisions = self.revisions_until(from, paths, |revisions| revisions.iter().any(is_known))?;
        let end = revisions.iter().position(is_known);
        revisions.truncate(end.unwrap_or(revisions.len()));
        Ok(revisions)
    }

    fn revisions_until(
        &self,
        from: &CommitId,
        paths: &[String],
        mut enough: impl FnMut(&[Revision]) -> bool,
    ) -> Result<Vec<Revision>> {
        let mut revisions: Vec<Revision> = Vec::new();
        let mut commit = self.commit(from)?;
        let mut version = self.version_at(from, paths)?;
        for _ in 0..COMMITS_MAX {
            let parent = commit.parent(0).ok();
            let before = match &parent {
                Some(parent) => self.version_at(&id_of(parent.id()), paths)?,
                None => None,
            };
            if let Some(version) = version.filter(|version| before.as_ref() != Some(version)) {
                revisions.push(Revision {
                    commit: id_of(commit.id()),
                    version,
                    summary: String::from_utf8_lossy(commit.summary_bytes().unwrap_or_default()).into_owned(),
                    author: String::from_utf8_lossy(commit.author().name_bytes()).into_owned(),
                    at: Timestamp::from_second(commit.time().seconds()).unwrap_or(Timestamp::UNIX_EPOCH),
                });
            }
            match parent {
                Some(parent) if !enough(&revisions) => (commit, version) = (parent, before),
                _ => break,
            }
        }
        Ok(revisions)
    }

    /// The paths whose files differ between two commits; `None` when the first commit is not known here.
    ///
    /// # Errors
    /// When the second commit cannot be read.
    pub fn changed_paths(&self, before: &CommitId, after: &CommitId) -> Result<Option<Vec<String>>> {
        let Ok(before) = self.commit(before) else { return Ok(None) };
        let trees = (before.tree()?, self.commit(after)?.tree()?);
        let diff = self.inner.diff_tree_to_tree(Some(&trees.0), Some(&trees.1), None)?;
        let paths = diff.deltas().flat_map(|delta| [delta.old_file().path_bytes(), delta.new_file().path_bytes()]);
        let mut paths: Vec<String> = paths.flatten().map(|path| String::from_utf8_lossy(path).into_owned()).collect();
        paths.sort();
        paths.dedup();
        Ok(Some(paths))
    }

    /// What differs between two commits: by path, the object and the mode before and after; absent is the null object.
    ///
    /// # Errors
    /// When a commit cannot be read.
    pub fn changes(&self, before: &CommitId, after: &CommitId) -> Result<BTreeMap<String, [(String, i32); 2]>> {
        let trees = (self.commit(before)?.tree()?, self.commit(after)?.tree()?);
        let diff = self.inner.diff_tree_to_tree(Some(&trees.0), Some(&trees.1), None)?;
        let side = |file: git2::DiffFile<'_>| (file.id().to_string(), i32::from(file.mode()));
        let change = |delta: git2::DiffDelta<'_>| {
            let path = delta.new_file().path_bytes().or(delta.old_file().path_bytes()).unwrap_or_default();
            (String::from_utf8_lossy(path).into_owned(), [side(delta.old_file()), side(delta.new_file())])
        };
        Ok(diff.deltas().map(change).collect())
    }

    /// The first parent of a commit; `None` for a root (or where a shallow clone ends).
    ///
    /// # Errors
    /// When the commit cannot be read.
    pub fn parent(&self, commit: &CommitId) -> Result<Option<CommitId>> {
        Ok(self.commit(commit)?.parent_id(0).ok().map(id_of))
    }

    /// Whether `descendant` contains `ancestor` (or is it).
    ///
    /// # Errors
    /// When history cannot be read.
    pub fn contains(&self, descendant: &CommitId, ancestor: &CommitId) -> Result<bool> {
        let (descendant, ancestor) = (self.oid(descendant)?, self.oid(ancestor)?);
        if self.inner.find_commit(ancestor).is_err() {
            return Ok(false);
        }
        Ok(descendant == ancestor || self.inner.graph_descendant_of(descendant, ancestor)?)
    }

    /// Those of `wanted` that `from` contains: one walk through history for all of them, which ends with the last one.
    ///
    /// # Errors
    /// When history cannot be read.
    pub fn contained(&self, from: &CommitId, wanted: impl IntoIterator<Item = CommitId>) -> Result<BTreeSet<CommitId>> {
        let known = |id: &CommitId| self.oid(id).ok().filter(|oid| self.inner.find_commit(*oid).is_ok());
        let mut missing: HashSet<git2::Oid> = wanted.into_iter().filter_map(|id| known(&id)).collect();
        let mut found = BTreeSet::new();
        let mut walk = self.inner.revwalk()?;
        walk.push(self.oid(from)?)?;
        while !missing.is_empty() {
            let Some(oid) = walk.next().transpose()? else { break };
            if missing.remove(&oid) {
                found.insert(id_of(oid));
            }
        }
        Ok(found)
    }

    /// The commits that `until` has and `since` has not, newest first, with their full messages.
    ///
    /// # Errors
    /// When history cannot be read.
    pub fn messages_between(&self, since: Option<&CommitId>, until: &CommitId) -> Result<Vec<(CommitId, String)>> {
        let mut walk = self.inner.revwalk()?;
        walk.push(self.oid(until)?)?;
        if let Some(since) = since
            && self.inner.find_commit(self.oid(since)?).is_ok()
        {
            walk.hide(self.oid(since)?)?;
        }
        let mut found = Vec::new();
        for oid in walk.take(COMMITS_MAX) {
            let commit = self.inner.find_commit(oid?)?;
            found.push((id_of(commit.id()), String::from_utf8_lossy(commit.message_bytes()).into_owned()));
        }
        Ok(found)
    }

    /// The commits that a merge brought into its first parent, without itself; none when it is no merge or not there.
    ///
    /// # Errors
    /// When history cannot be read.
    pub fn merged_by(&self, merge: &CommitId) -> Result<Vec<CommitId>> {
        match self.inner.find_commit(self.oid(merge)?) {
            Ok(commit) if commit.parent_count() > 1 => {
                let first = id_of(commit.parent_id(0)?);
                let brought = self.messages_between(Some(&first), merge)?;
                Ok(brought.into_iter().map(|(commit, _)| commit).filter(|commit| commit != merge).collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The message of one commit.
    ///
    /// # Errors
    /// When the commit cannot be read.
    pub fn message(&self, commit: &CommitId) -> Result<String> {
        Ok(String::from_utf8_lossy(self.commit(commit)?.message_bytes()).into_owned())
    }

    /// The id of the tree of a commit: two commits with the same tree have the same files.
    ///
    /// # Errors
    /// When the commit cannot be read.
    pub fn tree_of(&self, commit: &CommitId) -> Result<String> {
        Ok(self.commit(commit)?.tree_id().to_string())
    }
}

/// The commits that a message says it reverts: the lines that `git revert` writes.
pub fn reverted_by(message: &str) -> HashSet<CommitId> {
    message
        .lines()
        .filter_map(|line| line.trim().strip_prefix("This reverts commit "))
        .map(|rest| rest.chars().take_while(char::is_ascii_hexdigit).collect::<String>())
        .filter(|id| id.len() == 40)
        .map(CommitId)
        .collect()
}
