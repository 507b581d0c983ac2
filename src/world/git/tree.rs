//! Files as commits have them, and the version of a tool.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use anyhow::{Context, Result};

use super::Repo;
use crate::model::{CommitId, Version};

/// One file of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeFile {
    /// Repository-relative; need not be UTF-8.
    pub path: Vec<u8>,
    /// As git has it: `0o100644`, `0o100755`, `0o120000` (symlink), `0o160000` (submodule).
    pub mode: u32,
    pub oid: git2::Oid,
}

/// The entries of one tree by name.
pub(super) type Folder = BTreeMap<Vec<u8>, Entry>;

#[derive(Clone, Copy)]
pub(super) struct Entry {
    mode: u32,
    oid: git2::Oid,
    is_tree: bool,
}

/// Listings with more entries together are read again.
const ENTRIES_KEPT: usize = 200_000;

impl TreeFile {
    /// The path when it is UTF-8.
    pub fn utf8(&self) -> Option<&str> {
        std::str::from_utf8(&self.path).ok()
    }
}

impl Repo {
    /// The files below `paths` at `commit` in tree order; all files when `paths` is empty. A path that is not there gives nothing.
    ///
    /// # Errors
    /// When the commit or a tree cannot be read.
    pub fn files_at(&self, commit: &CommitId, paths: &[String]) -> Result<Vec<TreeFile>> {
        let root = self.folder(self.commit(commit)?.tree_id())?;
        let mut files = Vec::new();
        if paths.is_empty() {
            self.collect(&root, b"", &mut files)?;
        }
        for path in paths {
            let path = path.trim_end_matches('/');
            match self.entry(&root, path)? {
                None => continue,
                Some(entry) if entry.is_tree => self.collect(&*self.folder(entry.oid)?, path.as_bytes(), &mut files)?,
                Some(entry) => files.push(TreeFile { path: path.into(), mode: entry.mode, oid: entry.oid }),
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files.dedup_by(|a, b| a.path == b.path);
        Ok(files)
    }

    /// What lies at a path below a folder.
    fn entry(&self, root: &Arc<Folder>, path: &str) -> Result<Option<Entry>> {
        let mut folder = root.clone();
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            let Some(entry) = folder.get(part.as_bytes()).copied() else { return Ok(None) };
            if parts.peek().is_none() {
                return Ok(Some(entry));
            }
            if !entry.is_tree {
                return Ok(None);
            }
            folder = self.folder(entry.oid)?;
        }
        Ok(None)
    }

    fn collect(&self, folder: &Folder, prefix: &[u8], files: &mut Vec<TreeFile>) -> Result<()> {
        for (name, entry) in folder {
            let mut path = prefix.to_vec();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            match entry.is_tree {
                true => self.collect(&*self.folder(entry.oid)?, &path, files)?,
                false => files.push(TreeFile { path, mode: entry.mode, oid: entry.oid }),
            }
        }
        Ok(())
    }

    /// The listing of a tree, kept: a cycle asks for the same few folders again and again, and libgit2 does not remember big ones.
    fn folder(&self, tree: git2::Oid) -> Result<Arc<Folder>> {
        if let Some(known) = self.folders.borrow().get(&tree) {
            return Ok(known.clone());
        }
        let listing = self.inner.find_tree(tree)?;
        let entry = |entry: &git2::TreeEntry<'_>| Entry {
            mode: entry.filemode() as u32,
            oid: entry.id(),
            is_tree: entry.kind() == Some(git2::ObjectType::Tree),
        };
        let folder: Arc<Folder> = Arc::new(listing.iter().map(|e| (e.name_bytes().to_vec(), entry(&e))).collect());
        let mut folders = self.folders.borrow_mut();
        if folders.values().map(|folder| folder.len() + 1).sum::<usize>() > ENTRIES_KEPT {
            folders.clear();
        }
        folders.insert(tree, folder.clone());
        Ok(folder)
    }

    /// The bytes of a blob.
    ///
    /// # Errors
    /// When it is not in the repository.
    pub fn blob(&self, oid: git2::Oid) -> Result<Vec<u8>> {
        Ok(self.inner.find_blob(oid).with_context(|| format!("blob `{oid}` is not in the repository"))?.content().to_vec())
    }

    /// The bytes of one file at a commit; `None` when it is not there.
    ///
    /// # Errors
    /// When the commit or the blob cannot be read.
    pub fn file_at(&self, commit: &CommitId, path: &str) -> Result<Option<Vec<u8>>> {
        self.files_at(commit, &[path.to_string()])?
            .iter()
            .find(|file| file.path == path.as_bytes())
            .map(|file| self.blob(file.oid))
            .transpose()
    }

    /// The version of a tool with these paths at `commit`; `None` when none of them is there.
    ///
    /// # Errors
    /// When the commit cannot be read.
    pub fn version_at(&self, commit: &CommitId, paths: &[String]) -> Result<Option<Version>> {
        version_of(&self.files_at(commit, paths)?)
    }

    /// The version of the files as they lie in the work tree, which is what runs. Equal to [`Repo::version_at`] when they are
    /// as committed. Only files whose size or time differ from the index are read.
    ///
    /// # Errors
    /// When the index or a file cannot be read.
    pub fn version_in_work_tree(&self, paths: &[String]) -> Result<Option<Version>> {
        let index = self.inner.index()?;
        let mut files = Vec::new();
        for path in paths {
            let own = path.trim_end_matches('/').as_bytes();
            let below =
                |candidate: &[u8]| candidate == own || (candidate.starts_with(own) && candidate.get(own.len()) == Some(&b'/'));
            let mut tracked = false;
            for entry in index.iter().filter(|entry| below(&entry.path)) {
                tracked = true;
                if let Some(oid) = self.oid_in_work_tree(&entry)? {
                    files.push(TreeFile { path: entry.path.clone(), mode: entry.mode, oid });
                }
            }
            let file = self.root().join(path);
            if !tracked && file.is_file() {
                let oid = git2::Oid::hash_file(git2::ObjectType::Blob, &file)?;
                files.push(TreeFile { path: own.to_vec(), mode: 0o100644, oid });
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        version_of(&files)
    }

    fn oid_in_work_tree(&self, entry: &git2::IndexEntry) -> Result<Option<git2::Oid>> {
        use std::os::unix::fs::MetadataExt;
        let path = self.root().join(std::ffi::OsStr::from_bytes(&entry.path));
        let Ok(metadata) = path.symlink_metadata() else { return Ok(None) };
        let unchanged = metadata.size() as u32 == entry.file_size
            && metadata.mtime() as i32 == entry.mtime.seconds()
            && metadata.mtime_nsec() as u32 == entry.mtime.nanoseconds();
        if unchanged || !metadata.is_file() {
            return Ok(Some(entry.id));
        }
        Ok(Some(git2::Oid::hash_file(git2::ObjectType::Blob, &path)?))
    }
}

/// The git object id of what `git ls-tree -r -z` prints for the files.
fn version_of(files: &[TreeFile]) -> Result<Option<Version>> {
    if files.is_empty() {
        return Ok(None);
    }
    let mut listing = Vec::new();
    for file in files {
        let kind = if file.mode == 0o160000 { "commit" } else { "blob" };
        listing.extend_from_slice(format!("{:06o} {kind} {}\t", file.mode, file.oid).as_bytes());
        listing.extend_from_slice(&file.path);
        listing.push(0);
    }
    Ok(Some(Version(git2::Oid::hash_object(git2::ObjectType::Blob, &listing)?.to_string())))
}
