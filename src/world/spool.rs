//! A folder of small files that wait: written whole or not at all, read in the order of their names, removed one by one.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::git::Repo;

/// See the module.
pub struct Spool {
    folder: PathBuf,
}

const WAITING: &str = "json";

impl Spool {
    /// Of a repository; nothing is made yet.
    pub fn of(repo: &Repo) -> Self {
        Spool { folder: repo.state_dir().join("spool") }
    }

    /// Where it is, for people.
    pub fn folder(&self) -> String {
        self.folder.display().to_string()
    }

    /// Adds a file. It is there with all of its content, or not there.
    ///
    /// # Errors
    /// When it cannot be written, or what waits would take more than `limit` bytes.
    pub fn put(&self, name: &str, content: &[u8], limit: u64) -> Result<()> {
        fs::create_dir_all(&self.folder).with_context(|| format!("making `{}`", self.folder.display()))?;
        let waiting = self.size()?;
        ensure!(
            waiting + content.len() as u64 <= limit,
            "the runs that wait in `{}` take {} MiB already (`[record] spool_mib`)",
            self.folder.display(),
            waiting >> 20
        );
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(content)?;
        file.persist(self.folder.join(format!("{name}.{WAITING}"))).map_err(|error| error.error)?;
        Ok(())
    }

    fn size(&self) -> Result<u64> {
        let sizes = fs::read_dir(&self.folder)?.map(|entry| Ok(entry?.metadata().map_or(0, |metadata| metadata.len())));
        sizes.sum()
    }

    /// The names of what waits, in order.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn names(&self) -> Result<Vec<String>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| format!("reading `{}`", self.folder.display())),
        };
        let own = |path: PathBuf| {
            Some(path.file_stem()?.to_str()?.to_string()).filter(|_| path.extension().is_some_and(|e| e == WAITING))
        };
        let mut names: Vec<String> = entries.flatten().filter_map(|entry| own(entry.path())).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// The content of a file; `None` when another process was faster.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading `{}`", path.display())),
        }
    }

    /// Removes a file; one that is gone is fine.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, name: &str) -> Result<()> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Puts a file aside that nobody can read, for a person to look at.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub fn set_aside(&self, name: &str) -> Result<()> {
        Ok(fs::rename(self.path(name), self.folder.join(format!("{name}.unreadable")))?)
    }

    /// Removes every file whose content is to go among those that do not wait: put aside, or left half written by a killed process.
    ///
    /// # Errors
    /// When the folder cannot be read, or a file cannot be removed.
    pub fn remove_where(&self, goes: impl Fn(&[u8]) -> bool) -> Result<()> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Ok(()) };
        for path in entries.flatten().map(|entry| entry.path()) {
            let waits = path.extension().is_some_and(|extension| extension == WAITING);
            if !waits && fs::read(&path).is_ok_and(|content| goes(&content)) {
                fs::remove_file(&path).with_context(|| format!("removing `{}`", path.display()))?;
            }
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.{WAITING}"))
    }
}
