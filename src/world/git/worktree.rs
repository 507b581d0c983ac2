//! The user's work tree: never touched, except to follow the base branch when it is checked out and clean.

use anyhow::{Context, Result};

use super::Repo;
use crate::model::CommitId;
use crate::world::fault;

/// What the user's work tree has to do with a move of the base branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkTree {
    /// Another branch, or none, is checked out: only the ref moves.
    Elsewhere,
    /// The base is checked out and clean: it follows.
    CleanOnBase,
    /// The base is checked out and changed, or in the middle of a merge: we wait.
    Busy(String),
}

impl Repo {
    /// What the work trees of this repository have to do with `base`.
    ///
    /// # Errors
    /// When the status cannot be read.
    pub fn work_tree(&self, base: &str) -> Result<WorkTree> {
        let name = format!("refs/heads/{base}");
        for worktree in self.inner.worktrees()?.iter().flatten().flatten() {
            let opened = self.inner.find_worktree(worktree).and_then(|found| git2::Repository::open_from_worktree(&found));
            let Ok(linked) = opened else { continue };
            let here = linked.workdir().and_then(|dir| dir.canonicalize().ok()).is_some_and(|dir| dir == self.root());
            if !here && head_name(&linked).as_deref() == Some(&name) {
                return Ok(WorkTree::Busy(format!("`{base}` is checked out in the linked work tree `{worktree}`")));
            }
        }
        if self.inner.is_worktree()
            && let Ok(main) = git2::Repository::open(self.inner.commondir())
            && main.workdir().is_some()
            && head_name(&main).as_deref() == Some(&name)
        {
            return Ok(WorkTree::Busy(format!("`{base}` is checked out in the main work tree")));
        }
        if head_name(&self.inner).as_deref() != Some(&name) {
            return Ok(WorkTree::Elsewhere);
        }
        let index_lock = self.inner.path().join("index.lock");
        if index_lock.exists() {
            let lock = index_lock.display();
            return Ok(WorkTree::Busy(format!(
                "`{base}` is checked out and git is at work there, or was killed: `{lock}` exists"
            )));
        }
        if self.inner.state() != git2::RepositoryState::Clean {
            return Ok(WorkTree::Busy(
                format!("`{base}` is checked out in the middle of a {:?}", self.inner.state()).to_lowercase(),
            ));
        }
        if self.inner.path().join("index.lock").exists() {
            let why = "another git process is at work on it, or was killed: `index.lock` exists in the git directory";
            return Ok(WorkTree::Busy(format!("`{base}` is checked out, and {why}")));
        }
        let mut options = git2::StatusOptions::new();
        options.include_untracked(false).include_ignored(false).exclude_submodules(true);
        let statuses = self.inner.statuses(Some(&mut options))?;
        match statuses.iter().next() {
            None => Ok(WorkTree::CleanOnBase),
            Some(entry) => Ok(WorkTree::Busy(format!(
                "`{base}` is checked out with uncommitted changes ({}{})",
                String::from_utf8_lossy(entry.path_bytes()),
                if statuses.len() > 1 { format!(" and {} more", statuses.len() - 1) } else { String::new() }
            ))),
        }
    }

    /// Whether the files between two commits lie in the work tree as one of the two has them, so that [`Repo::follow`] loses
    /// nothing. The answer names the first path that does not.
    ///
    /// # Errors
    /// When a tree or file cannot be read.
    pub fn can_follow(&self, old: &CommitId, new: &CommitId) -> Result<Option<String>> {
        for path in self.paths_between(old, new)? {
            if self.differs_in_work_tree(old, &path)? && self.differs_in_work_tree(new, &path)? {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// Brings the files that differ between `old` and `new`, and their index entries, to `new`. Repeating it is harmless; a
    /// run that was killed in the middle is finished by it.
    ///
    /// # Errors
    /// When a file was changed meanwhile (nothing is overwritten), or cannot be written.
    pub fn follow(&self, old: &CommitId, new: &CommitId) -> Result<()> {
        if let Some(path) = self.can_follow(old, new)? {
            anyhow::bail!("`{path}` was changed in the work tree");
        }
        let paths = self.paths_between(old, new)?;
        if paths.is_empty() {
            return Ok(());
        }
        let target = self.commit(new)?;
        let tree = target.tree()?;
        let (kept, gone): (Vec<&String>, Vec<&String>) = paths.iter().partition(|path| tree.get_path(path.as_ref()).is_ok());
        let mut options = git2::build::CheckoutBuilder::new();
        options.force().remove_untracked(false).disable_pathspec_match(true).update_index(false).refresh(false);
        for path in &kept {
            options.path(path.as_str());
        }
        if !kept.is_empty() {
            self.inner.checkout_tree(target.as_object(), Some(&mut options)).context("updating the work tree")?;
        }
        for path in gone {
            self.remove_from_work_tree(path)?;
        }
        fault::point("the files of the work tree followed");
        self.write_index(&tree, &paths)?;
        fault::point("the index followed");
        Ok(())
    }

    /// Removes a file, and its folders as far as nothing else is in them, as git does.
    fn remove_from_work_tree(&self, path: &str) -> Result<()> {
        let file = self.root().join(path);
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing `{path}`"));
            }
            _ => {}
        }
        let folders = file.ancestors().skip(1).take_while(|folder| *folder != self.root());
        let _emptied = folders.take_while(|folder| std::fs::remove_dir(folder).is_ok()).count();
        Ok(())
    }

    fn paths_between(&self, old: &CommitId, new: &CommitId) -> Result<Vec<String>> {
        let (old, new) = (self.commit(old)?.tree()?, self.commit(new)?.tree()?);
        let diff = self.inner.diff_tree_to_tree(Some(&old), Some(&new), None)?;
        diff.deltas()
            .map(|delta| {
                let bytes = delta.new_file().path_bytes().or(delta.old_file().path_bytes()).unwrap_or_default();
                String::from_utf8(bytes.to_vec()).context("a changed path is not UTF-8")
            })
            .collect()
    }

    fn differs_in_work_tree(&self, commit: &CommitId, path: &str) -> Result<bool> {
        let tree = self.commit(commit)?.tree()?;
        let mut options = git2::DiffOptions::new();
        options.pathspec(path).disable_pathspec_match(true).include_untracked(true).recurse_untracked_dirs(true);
        // An ignored file is somebody's, too.
        options.include_ignored(true).recurse_ignored_dirs(true);
        let diff = self.inner.diff_tree_to_workdir(Some(&tree), Some(&mut options))?;
        Ok(diff.deltas().len() > 0)
    }
}

fn head_name(repo: &git2::Repository) -> Option<String> {
    let head = repo.find_reference("HEAD").ok()?;
    head.symbolic_target_bytes().map(|name| String::from_utf8_lossy(name).into_owned())
}

impl Repo {
    /// Whether the user's own work tree has `branch` checked out.
    pub fn checks_out(&self, branch: &str) -> bool {
        head_name(&self.inner).is_some_and(|name| name == format!("refs/heads/{branch}"))
    }
}
