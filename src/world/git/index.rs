//! The user's index: written only for the paths that follow the base, under git's own lock, and so that a kill in the middle can
//! be told from somebody else's lock.
//!
//! The lock, `index.lock`, is made as a second link to a file of ours: whoever finds it later compares the two. Must be called by
//! the holder of the loop's lock only.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::Repo;

impl Repo {
    fn in_git_dir(&self, name: &str) -> PathBuf {
        self.inner.path().join(name)
    }

    /// Removes the lock on the index if a run of ours that was killed left it. Anybody else's stays.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn release_left_index_lock(&self) -> Result<()> {
        let (own, lock) = (self.in_git_dir("fractal-index"), self.in_git_dir("index.lock"));
        let Ok(ours) = own.symlink_metadata() else { return Ok(()) };
        let same = |other: fs::Metadata| (other.dev(), other.ino()) == (ours.dev(), ours.ino());
        if lock.symlink_metadata().is_ok_and(same) {
            fs::remove_file(&lock).context("removing our lock on the index")?;
        }
        fs::remove_file(&own).context("removing the mark of our lock on the index")
    }

    /// Makes the index say of `paths` what `tree` has.
    ///
    /// # Errors
    /// When somebody else holds the lock of the index, or a file cannot be written; the index is unchanged then.
    pub(super) fn write_index(&self, tree: &git2::Tree<'_>, paths: &[String]) -> Result<()> {
        self.release_left_index_lock()?;
        let (own, lock) = (self.in_git_dir("fractal-index"), self.in_git_dir("index.lock"));
        fs::write(&own, b"").context("making the mark of our lock on the index")?;
        if let Err(error) = fs::hard_link(&own, &lock) {
            let _ = fs::remove_file(&own);
            match error.kind() {
                ErrorKind::AlreadyExists => bail!("another git process is at work: `index.lock` exists in the git directory"),
                _ => return Err(error).context("locking the index"),
            }
        }
        // The lock becomes the index; what was not written goes with the lock.
        let written = self.new_index(tree, paths).and_then(|bytes| {
            fs::write(&lock, bytes)?;
            Ok(fs::rename(&lock, self.in_git_dir("index"))?)
        });
        self.release_left_index_lock()?;
        written.context("writing the index")
    }

    /// The bytes of the index with `paths` as `tree` has them.
    fn new_index(&self, tree: &git2::Tree<'_>, paths: &[String]) -> Result<Vec<u8>> {
        let draft = self.in_git_dir("fractal-index.new");
        // A killed run may have left its draft, and libgit2's lock on it. Only the holder of the loop's lock comes here.
        for left in [&draft, &self.in_git_dir("fractal-index.new.lock")] {
            match fs::remove_file(left) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        match fs::copy(self.in_git_dir("index"), &draft) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let mut index = git2::Index::open(&draft)?;
        for path in paths {
            match tree.get_path(path.as_ref()) {
                Ok(entry) => index.add(&self.index_entry(path, &entry)?)?,
                Err(_) if index.get_path(path.as_ref(), 0).is_some() => index.remove(path.as_ref(), 0)?,
                Err(_) => {}
            }
        }
        index.write()?;
        let bytes = fs::read(&draft)?;
        fs::remove_file(&draft)?;
        Ok(bytes)
    }

    fn index_entry(&self, path: &str, entry: &git2::TreeEntry<'_>) -> Result<git2::IndexEntry> {
        let file = self.root().join(path).symlink_metadata()?;
        let time = |seconds: i64, nanoseconds: i64| git2::IndexTime::new(seconds as i32, nanoseconds as u32);
        Ok(git2::IndexEntry {
            ctime: time(file.ctime(), file.ctime_nsec()),
            mtime: time(file.mtime(), file.mtime_nsec()),
            dev: file.dev() as u32,
            ino: file.ino() as u32,
            mode: entry.filemode() as u32,
            uid: file.uid(),
            gid: file.gid(),
            file_size: file.size() as u32,
            id: entry.id(),
            flags: 0,
            flags_extended: 0,
            path: path.as_bytes().to_vec(),
        })
    }
}
