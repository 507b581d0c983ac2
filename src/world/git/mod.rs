//! Git: reading and writing the repository's objects and refs.
//!
//! Reading, hashing, committing and reverting go through libgit2 and the object database; whatever must respect hooks or
//! leases (pushing) goes through the `git` command. Nothing here touches the user's index or files, except
//! [`worktree`], which advances them only where they are exactly what the old commit says.

pub mod claims;
mod commit;
pub mod exchange;
mod history;
mod index;
mod join;
mod log;
mod refs;
pub mod remote;
mod tree;
mod walk;
pub mod worktree;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
pub use commit::{Identity, RevertError, difference};
pub use history::{Revision, reverted_by};
pub use join::Joined;
pub use log::{LOG_REF, LogError};
pub use refs::{MoveError, NOTES_REF};
pub use tree::TreeFile;
pub use walk::Before;

use crate::model::CommitId;
use crate::world::host::Host;

/// Why a folder cannot be taken care of.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("`{0}` is not in a git repository")]
    NotARepository(PathBuf),
    #[error("`{0}` is a bare repository; Fractal needs a clone with a work tree")]
    Bare(PathBuf),
    #[error("the repository has no commit yet")]
    Unborn,
    #[error("HEAD is detached, so there is no branch to land on; set `base` in fractal.toml")]
    Detached,
    #[error("the base branch `{0}` does not exist")]
    NoSuchBase(String),
    #[error("`{0}` belongs to another user")]
    Foreign(PathBuf),
    #[error("`{0}` has a format that Fractal cannot read: {1}")]
    Format(PathBuf, String),
    #[error("git: {0}")]
    Git(#[from] git2::Error),
}

/// An open repository with a work tree.
pub struct Repo {
    inner: git2::Repository,
    root: PathBuf,
    /// Trees that were read, by their ids: what they hold never changes.
    folders: RefCell<HashMap<git2::Oid, Arc<tree::Folder>>>,
    /// The simulated machine it is on, if it is on one.
    host: Option<Arc<dyn Host>>,
}

impl Repo {
    /// Opens the repository that `path` lies in.
    ///
    /// # Errors
    /// See [`OpenError`]; a repository without commits opens, and [`Repo::base`] refuses it.
    pub fn open(path: &Path) -> Result<Repo, OpenError> {
        Repo::open_on(path, None)
    }

    /// The same on a simulated machine.
    ///
    /// # Errors
    /// As [`Repo::open`].
    pub fn open_on(path: &Path, host: Option<Arc<dyn Host>>) -> Result<Repo, OpenError> {
        let refused = |error: git2::Error| match (error.code(), error.class()) {
            (git2::ErrorCode::NotFound, _) => OpenError::NotARepository(path.to_path_buf()),
            (git2::ErrorCode::Owner, _) => OpenError::Foreign(path.to_path_buf()),
            (_, git2::ErrorClass::Repository) => OpenError::Format(path.to_path_buf(), error.message().to_string()),
            _ => OpenError::Git(error),
        };
        let inner = git2::Repository::discover(path).map_err(refused)?;
        let root = inner.workdir().map(Path::to_path_buf).ok_or_else(|| OpenError::Bare(inner.path().to_path_buf()))?;
        let root = root.canonicalize().unwrap_or(root);
        if let Some(host) = &host {
            host.objects().give(&inner)?;
        }
        Ok(Repo { inner, root, folders: RefCell::default(), host })
    }

    /// Sends every object written from now on to memory: what a dry run builds leaves no trace.
    ///
    /// # Errors
    /// When libgit2 refuses the back end.
    pub fn keep_objects_in_memory(&self) -> Result<()> {
        // On a simulated machine nothing else happens.
        if self.host.is_some() {
            return Ok(());
        }
        self.inner.odb()?.add_new_mempack_backend(1_000)?;
        Ok(())
    }

    pub(in crate::world) fn host(&self) -> Option<&Arc<dyn Host>> {
        self.host.as_ref()
    }

    /// The root of the work tree, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of ours in the repository's common git directory: lock and execution store.
    pub fn state_dir(&self) -> PathBuf {
        self.inner.commondir().join("fractal")
    }

    /// Whether history was cut off when cloning.
    pub fn is_shallow(&self) -> bool {
        self.inner.is_shallow()
    }

    /// The name of the branch to land on: `configured`, or the one that is checked out.
    ///
    /// # Errors
    /// [`OpenError::Unborn`], [`OpenError::Detached`], [`OpenError::NoSuchBase`].
    pub fn base(&self, configured: &str) -> Result<String, OpenError> {
        let name = if configured.is_empty() {
            let head = match self.inner.head() {
                Ok(head) => head,
                Err(error) if error.code() == git2::ErrorCode::UnbornBranch => return Err(OpenError::Unborn),
                Err(error) => return Err(OpenError::Git(error)),
            };
            if !head.is_branch() {
                return Err(OpenError::Detached);
            }
            String::from_utf8_lossy(head.shorthand_bytes()).into_owned()
        } else {
            configured.to_string()
        };
        match self.inner.find_branch(&name, git2::BranchType::Local) {
            Ok(_) => Ok(name),
            Err(_) if self.inner.is_empty().unwrap_or(false) => Err(OpenError::Unborn),
            Err(_) => Err(OpenError::NoSuchBase(name)),
        }
    }

    /// The commit that is checked out, on a branch or detached.
    ///
    /// # Errors
    /// [`OpenError::Unborn`] when there is none yet.
    pub fn head(&self) -> Result<CommitId, OpenError> {
        match self.inner.head().and_then(|head| head.peel_to_commit()) {
            Ok(commit) => Ok(id_of(commit.id())),
            Err(error) if error.code() == git2::ErrorCode::UnbornBranch => Err(OpenError::Unborn),
            Err(error) => Err(OpenError::Git(error)),
        }
    }

    fn oid(&self, commit: &CommitId) -> Result<git2::Oid> {
        git2::Oid::from_str(commit.as_str()).with_context(|| format!("`{commit}` is not an object id"))
    }

    fn commit(&self, commit: &CommitId) -> Result<git2::Commit<'_>> {
        self.inner.find_commit(self.oid(commit)?).with_context(|| format!("commit `{commit}` is not in the repository"))
    }
}

fn id_of(oid: git2::Oid) -> CommitId {
    CommitId(oid.to_string())
}
