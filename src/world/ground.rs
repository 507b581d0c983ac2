//! The ground of a simulation: one repository with its refs on disk, as in life, and its objects in memory, shared by all who work on it.
//! And what people do to it with git, of which nothing is asked or recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use jiff::Timestamp;
use tempfile::TempDir;

use crate::model::CommitId;

/// The objects that all repositories of one simulation share.
#[derive(Clone)]
pub struct Objects(Arc<git2::Odb<'static>>);

impl Objects {
    fn new() -> Result<Objects> {
        let odb = git2::Odb::new()?;
        odb.add_new_mempack_backend(1_000)?;
        Ok(Objects(Arc::new(odb)))
    }

    /// Gives them to a repository instead of its own.
    ///
    /// # Errors
    /// When libgit2 refuses.
    pub(super) fn give(&self, repository: &git2::Repository) -> Result<(), git2::Error> {
        repository.set_odb(&self.0)
    }
}

/// A repository in a temporary folder.
pub struct Ground {
    folder: TempDir,
    repo: git2::Repository,
    objects: Objects,
}

/// What to write in a commit: paths with their content, `None` to remove.
pub type Edits = BTreeMap<String, Option<Vec<u8>>>;

impl Ground {
    /// A repository with one commit of these files, by `who`, on `main` and on `desk`; `head` is checked out.
    ///
    /// # Errors
    /// When the temporary folder cannot be written.
    pub fn new(files: &Edits, head: &str, who: &str, at: Timestamp) -> Result<Ground> {
        // Small, many, and soon gone: in memory where there is a place for that.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
        let mut options = git2::RepositoryInitOptions::new();
        options.external_template(false).initial_head(head);
        let repo = git2::Repository::init_opts(folder.path(), &options)?;
        let objects = Objects::new()?;
        objects.give(&repo)?;
        let ground = Ground { folder, repo, objects };
        let first = ground.commit(&[], files, "begin", who, at)?;
        for branch in ["refs/heads/main", "refs/heads/desk"] {
            ground.repo.reference(branch, oid(&first)?, true, "")?;
        }
        ground.repo.checkout_head(Some(git2::build::CheckoutBuilder::new().force()))?;
        Ok(ground)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Its objects.
    pub fn objects(&self) -> Objects {
        self.objects.clone()
    }

    /// The commit that a ref points to.
    pub fn resolve(&self, name: &str) -> Option<CommitId> {
        let reference = self.repo.find_reference(name).ok()?;
        reference.peel_to_commit().ok().map(|commit| id(commit.id()))
    }

    /// All branches with their commits.
    ///
    /// # Errors
    /// When the refs cannot be read.
    pub fn branches(&self) -> Result<BTreeMap<String, CommitId>> {
        let mut found = BTreeMap::new();
        for reference in self.repo.references_glob("refs/heads/*")? {
            let reference = reference?;
            if let Some(target) = reference.target() {
                found.insert(String::from_utf8_lossy(reference.name_bytes()).into_owned(), id(target));
            }
        }
        Ok(found)
    }

    /// Puts a ref where a person wants it, whatever it was; the files follow when it is checked out. `None` removes it.
    ///
    /// # Errors
    /// When the ref or a file cannot be written.
    pub fn put(&self, name: &str, to: Option<&CommitId>) -> Result<()> {
        match to {
            Some(to) => drop(self.repo.reference(name, oid(to)?, true, "")?),
            None => {
                if let Ok(mut reference) = self.repo.find_reference(name) {
                    reference.delete()?;
                }
            }
        }
        let head = self.repo.find_reference("HEAD")?;
        if head.symbolic_target_bytes() == Some(name.as_bytes()) {
            self.tidy()?;
        }
        Ok(())
    }

    /// The files as the commit that is checked out has them.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn tidy(&self) -> Result<()> {
        Ok(self.repo.checkout_head(Some(git2::build::CheckoutBuilder::new().force().remove_untracked(true)))?)
    }

    /// Somebody is at work on a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn disturb(&self, path: &str, content: &str) -> Result<()> {
        Ok(std::fs::write(self.folder.path().join(path), content)?)
    }

    /// Pauses all loops, as `fractal pause` does, or lets them go on.
    ///
    /// # Errors
    /// When the ref cannot be written.
    pub fn pause(&self, paused: bool) -> Result<()> {
        let name = super::pause::PAUSE_REF;
        if paused {
            let blob = self.repo.blob(b"a person")?;
            self.repo.reference(name, blob, true, "")?;
            return Ok(());
        }
        match self.repo.find_reference(name) {
            Ok(mut reference) => Ok(reference.delete()?),
            Err(_) => Ok(()),
        }
    }

    /// Writes a commit with these edits over the first parent's files.
    ///
    /// # Errors
    /// When a parent is not there.
    pub fn commit(&self, parents: &[&CommitId], edits: &Edits, message: &str, who: &str, at: Timestamp) -> Result<CommitId> {
        let parents = parents.iter().map(|parent| Ok(self.repo.find_commit(oid(parent)?)?)).collect::<Result<Vec<_>>>()?;
        let base = match parents.first() {
            Some(parent) => parent.tree()?,
            None => self.repo.find_tree(self.repo.treebuilder(None)?.write()?)?,
        };
        let tree = self.repo.find_tree(self.edited(&base, edits)?)?;
        let signature = git2::Signature::new(who, "person@localhost", &git2::Time::new(at.as_second(), 0))?;
        let parents: Vec<&git2::Commit<'_>> = parents.iter().collect();
        Ok(id(self.repo.commit(None, &signature, &signature, message, &tree, &parents)?))
    }

    fn edited(&self, base: &git2::Tree<'_>, edits: &Edits) -> Result<git2::Oid> {
        let mut update = git2::build::TreeUpdateBuilder::new();
        for (path, content) in edits {
            match content {
                Some(content) => drop(update.upsert(path.as_str(), self.repo.blob(content)?, git2::FileMode::Blob)),
                None if base.get_path(path.as_ref()).is_ok() => drop(update.remove(path.as_str())),
                None => {}
            }
        }
        Ok(update.create_updated(&self.repo, base)?)
    }

    /// What a commit changes in its first parent's files.
    ///
    /// # Errors
    /// When it is not there.
    pub fn changes(&self, commit: &CommitId) -> Result<Edits> {
        let commit = self.repo.find_commit(oid(commit)?)?;
        let before = commit.parent(0).ok().map(|parent| parent.tree()).transpose()?;
        self.between(before.as_ref(), &commit.tree()?)
    }

    fn between(&self, before: Option<&git2::Tree<'_>>, after: &git2::Tree<'_>) -> Result<Edits> {
        let diff = self.repo.diff_tree_to_tree(before, Some(after), None)?;
        let mut edits = Edits::new();
        for delta in diff.deltas() {
            let file = if delta.status() == git2::Delta::Deleted { delta.old_file() } else { delta.new_file() };
            let path = String::from_utf8_lossy(file.path_bytes().context("a file without a path")?).into_owned();
            let content = match delta.status() {
                git2::Delta::Deleted => None,
                _ => Some(self.repo.find_blob(file.id())?.content().to_vec()),
            };
            edits.insert(path, content);
        }
        Ok(edits)
    }

    /// What would merge `theirs` into `ours`; `None` when they conflict.
    ///
    /// # Errors
    /// When a commit is not there.
    pub fn merged(&self, ours: &CommitId, theirs: &CommitId) -> Result<Option<Edits>> {
        let (ours, theirs) = (self.repo.find_commit(oid(ours)?)?, self.repo.find_commit(oid(theirs)?)?);
        self.written(&ours, self.repo.merge_commits(&ours, &theirs, None)?)
    }

    /// What would undo `commit` on `tip`; `None` when later changes conflict.
    ///
    /// # Errors
    /// When a commit is not there.
    pub fn undone(&self, commit: &CommitId, tip: &CommitId) -> Result<Option<Edits>> {
        let (commit, tip) = (self.repo.find_commit(oid(commit)?)?, self.repo.find_commit(oid(tip)?)?);
        let mainline = u32::from(commit.parent_count() > 1);
        self.written(&tip, self.repo.revert_commit(&commit, &tip, mainline, None)?)
    }

    /// What would do what `commit` does, again on `tip`; `None` when they conflict.
    ///
    /// # Errors
    /// When a commit is not there.
    pub fn picked(&self, commit: &CommitId, tip: &CommitId) -> Result<Option<Edits>> {
        let (commit, tip) = (self.repo.find_commit(oid(commit)?)?, self.repo.find_commit(oid(tip)?)?);
        let mainline = u32::from(commit.parent_count() > 1);
        self.written(&tip, self.repo.cherrypick_commit(&commit, &tip, mainline, None)?)
    }

    fn written(&self, onto: &git2::Commit<'_>, mut index: git2::Index) -> Result<Option<Edits>> {
        if index.has_conflicts() {
            return Ok(None);
        }
        let tree = self.repo.find_tree(index.write_tree_to(&self.repo)?)?;
        Ok(Some(self.between(Some(&onto.tree()?), &tree)?))
    }

    /// A file as a commit has it.
    pub fn file(&self, commit: &CommitId, path: &str) -> Option<Vec<u8>> {
        let tree = self.repo.find_commit(oid(commit).ok()?).ok()?.tree().ok()?;
        let entry = tree.get_path(path.as_ref()).ok()?;
        Some(self.repo.find_blob(entry.id()).ok()?.content().to_vec())
    }

    /// The parents of a commit.
    pub fn parents(&self, commit: &CommitId) -> Vec<CommitId> {
        let found = oid(commit).and_then(|oid| Ok(self.repo.find_commit(oid)?));
        found.map(|commit| commit.parent_ids().map(id).collect()).unwrap_or_default()
    }

    /// The message of a commit.
    pub fn message(&self, commit: &CommitId) -> String {
        let found = oid(commit).and_then(|oid| Ok(self.repo.find_commit(oid)?));
        found.map(|commit| String::from_utf8_lossy(commit.message_bytes()).into_owned()).unwrap_or_default()
    }

    /// Everything that these commits contain.
    ///
    /// # Errors
    /// When history cannot be read.
    pub fn ancestors<'c>(&self, tips: impl IntoIterator<Item = &'c CommitId>) -> Result<BTreeSet<CommitId>> {
        let mut walk = self.repo.revwalk()?;
        for tip in tips {
            walk.push(oid(tip)?)?;
        }
        walk.map(|found| Ok(id(found?))).collect()
    }
}

fn oid(commit: &CommitId) -> Result<git2::Oid> {
    Ok(git2::Oid::from_str(commit.as_str())?)
}

fn id(oid: git2::Oid) -> CommitId {
    CommitId(oid.to_string())
}
