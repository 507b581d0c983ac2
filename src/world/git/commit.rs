//! Commits and reverts, built in the object database: no index, no work tree, no checkout.

use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::{Repo, id_of};
use crate::model::{CommitId, FileEdit, Patch};

/// Who a commit is by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub name: String,
    pub email: String,
}

/// Why a commit cannot be reverted by us.
#[derive(Debug, thiserror::Error)]
pub enum RevertError {
    /// Later changes touch the same lines: a person decides.
    #[error("later changes conflict in {}", .0.join(", "))]
    Conflict(Vec<String>),
    /// It changes a file whose name we cannot write down: a person decides.
    #[error("the name of `{0}` is not UTF-8")]
    Name(String),
    #[error(transparent)]
    Git(#[from] anyhow::Error),
}

impl Repo {
    /// Makes a repository in an empty folder, with the files of `patch` in one commit on the branch `main`. Its work tree stays empty.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn begin(folder: &Path, patch: &Patch, message: &str, by: &Identity, at: Timestamp) -> Result<(Repo, CommitId)> {
        let mut options = git2::RepositoryInitOptions::new();
        options.no_reinit(true).external_template(false).initial_head("main");
        let inner = git2::Repository::init_opts(folder, &options).context("making a repository")?;
        let nothing = inner.treebuilder(None)?.write()?;
        let mut update = git2::build::TreeUpdateBuilder::new();
        for (path, edit) in &patch.edits {
            let FileEdit::Write(content) = edit else { continue };
            update.upsert(path.as_str(), inner.blob(content)?, git2::FileMode::Blob);
        }
        let tree = update.create_updated(&inner, &inner.find_tree(nothing)?)?;
        let signature = signature(by, at)?;
        let commit = inner.commit(Some("HEAD"), &signature, &signature, message, &inner.find_tree(tree)?, &[])?;
        Ok((Repo::open(folder)?, id_of(commit)))
    }

    /// Writes a commit on `parent` with the patch's edits and returns its id. The cost follows the number of edits. No ref moves.
    ///
    /// # Errors
    /// When the parent cannot be read or an object cannot be written.
    pub fn write_commit(
        &self,
        parent: &CommitId,
        patch: &Patch,
        message: &str,
        by: &Identity,
        at: Timestamp,
    ) -> Result<CommitId> {
        let parent = self.commit(parent)?;
        let base = parent.tree()?;
        let mut update = git2::build::TreeUpdateBuilder::new();
        for (path, edit) in &patch.edits {
            match edit {
                FileEdit::Write(content) => {
                    let mode = match base.get_path(path.as_ref()) {
                        Ok(entry) if entry.filemode() == 0o100755 => git2::FileMode::BlobExecutable,
                        _ => git2::FileMode::Blob,
                    };
                    update.upsert(path.as_str(), self.inner.blob(content)?, mode);
                }
                FileEdit::Delete => {
                    update.remove(path.as_str());
                }
            }
        }
        let tree = self.inner.find_tree(update.create_updated(&self.inner, &base)?)?;
        let signature = signature(by, at)?;
        let oid = self.inner.commit(None, &signature, &signature, message, &tree, &[&parent])?;
        Ok(id_of(oid))
    }

    /// What must be written on `onto` to undo `commit` below `paths` (everywhere when there are none), as a three-way merge.
    ///
    /// # Errors
    /// [`RevertError::Conflict`] with the paths when later changes touch the same lines, [`RevertError::Name`] for a file whose
    /// name is not UTF-8.
    pub fn inverse_of(&self, commit: &CommitId, onto: &CommitId, paths: &[String]) -> Result<Patch, RevertError> {
        let (commit, onto) = (self.commit(commit)?, self.commit(onto)?);
        let mainline = u32::from(commit.parent_count() > 1);
        let mut index =
            self.inner.revert_commit(&commit, &onto, mainline, None).with_context(|| format!("reverting {}", commit.id()))?;
        if index.has_conflicts() {
            return Err(RevertError::Conflict(conflicting_paths(&index)));
        }
        let oid = index.write_tree_to(&self.inner).context("writing the reverted tree")?;
        let tree = self.inner.find_tree(oid).context("reading the reverted tree")?;
        let before = onto.tree().context("reading the tree")?;
        self.difference(&before, &tree, paths)
    }

    fn difference(&self, before: &git2::Tree<'_>, after: &git2::Tree<'_>, paths: &[String]) -> Result<Patch, RevertError> {
        let mut options = git2::DiffOptions::new();
        options.disable_pathspec_match(true);
        for path in paths {
            options.pathspec(path);
        }
        let diff = self.inner.diff_tree_to_tree(Some(before), Some(after), Some(&mut options)).context("comparing two trees")?;
        let mut patch = Patch::default();
        for delta in diff.deltas() {
            let file = if delta.status() == git2::Delta::Deleted { delta.old_file() } else { delta.new_file() };
            let bytes = file.path_bytes().context("a changed file has no path")?;
            let name = |_| RevertError::Name(String::from_utf8_lossy(bytes).into_owned());
            let path = std::str::from_utf8(bytes).map_err(name)?.to_string();
            let edit = match delta.status() {
                git2::Delta::Deleted => FileEdit::Delete,
                _ => FileEdit::Write(self.blob(file.id())?),
            };
            patch.edits.insert(path, edit);
        }
        Ok(patch)
    }

    /// The patch against `base` as a unified diff, at most `limit` bytes.
    ///
    /// # Errors
    /// When a file of the base cannot be read.
    pub fn unified_diff(&self, base: &CommitId, patch: &Patch, limit: usize) -> Result<String> {
        let mut text = String::new();
        for (path, edit) in &patch.edits {
            let old = self.file_at(base, path)?;
            let new: &[u8] = match edit {
                FileEdit::Write(content) => content,
                FileEdit::Delete => b"",
            };
            let path = std::path::Path::new(path);
            let old = old.unwrap_or_default();
            let mut diff = git2::Patch::from_buffers(&old, Some(path), new, Some(path), None)?;
            text.push_str(&String::from_utf8_lossy(&diff.to_buf()?));
        }
        Ok(cut(text, limit))
    }

    /// How the files below `paths` differ between two commits, as git prints it, at most `limit` bytes.
    ///
    /// # Errors
    /// When a commit cannot be read.
    pub fn diff_between(&self, before: &CommitId, after: &CommitId, paths: &[String], limit: usize) -> Result<String> {
        let mut options = git2::DiffOptions::new();
        options.disable_pathspec_match(true);
        for path in paths {
            options.pathspec(path);
        }
        let (before, after) = (self.commit(before)?.tree()?, self.commit(after)?.tree()?);
        let diff = self.inner.diff_tree_to_tree(Some(&before), Some(&after), Some(&mut options))?;
        let mut text = Vec::new();
        diff.print(git2::DiffFormat::Patch, |_, _, line| {
            if matches!(line.origin(), '+' | '-' | ' ') {
                text.push(line.origin() as u8);
            }
            text.extend_from_slice(line.content());
            true
        })?;
        Ok(cut(String::from_utf8_lossy(&text).into_owned(), limit))
    }

    /// Added and removed lines of a patch against `base`.
    ///
    /// # Errors
    /// When a file of the base cannot be read.
    pub fn changed_lines(&self, base: &CommitId, patch: &Patch) -> Result<usize> {
        let diff = self.unified_diff(base, patch, usize::MAX)?;
        let counts = |line: &&str| {
            (line.starts_with('+') && !line.starts_with("+++")) || (line.starts_with('-') && !line.starts_with("---"))
        };
        Ok(diff.lines().filter(counts).count())
    }
}

/// At most so many bytes of a diff.
fn cut(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        let end = (0..=limit).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push_str("\n… (cut)\n");
    }
    text
}

/// How two texts differ: hunks of lines that begin with `+`, `-` or a blank.
///
/// # Errors
/// When libgit2 has no memory.
pub fn difference(old: &[u8], new: &[u8]) -> Result<String> {
    let mut diff = git2::Patch::from_buffers(old, None, new, None, None)?;
    let text = String::from_utf8_lossy(&diff.to_buf()?).into_owned();
    // The lines above the first hunk name files.
    let hunks = text.lines().skip_while(|line| !line.starts_with("@@"));
    Ok(hunks.map(|line| format!("{line}\n")).collect())
}

fn conflicting_paths(index: &git2::Index) -> Vec<String> {
    let Ok(conflicts) = index.conflicts() else { return vec!["(unknown paths)".into()] };
    let mut paths: Vec<String> = conflicts
        .flatten()
        .filter_map(|conflict| conflict.our.or(conflict.their).or(conflict.ancestor))
        .map(|entry| String::from_utf8_lossy(&entry.path).into_owned())
        .collect();
    paths.sort();
    paths.dedup();
    paths
}

pub(super) fn signature(by: &Identity, at: Timestamp) -> Result<git2::Signature<'static>> {
    git2::Signature::new(&by.name, &by.email, &git2::Time::new(at.as_second(), 0))
        .with_context(|| format!("`{} <{}>` cannot sign a commit", by.name, by.email))
}
