//! Scratch checkouts: a tool's files in a folder of their own, brought back to what they should be before every run.
//!
//! Writing a repository's files anew for each of thousands of runs would cost more than the runs. A checkout is therefore used
//! again: before a run every file is looked at (not read), and what is not exactly as it was written is written again. The time
//! of last change (`ctime`) tells: a program cannot set it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

/// Bytes that are read of a file that a run has written.
const READ_MOST: u64 = 64 << 20;

/// One file of a scratch checkout.
#[derive(Clone, Debug)]
pub struct ScratchFile {
    /// Repository-relative; need not be UTF-8.
    pub path: Vec<u8>,
    /// As git has it.
    pub mode: u32,
    pub content: Arc<Vec<u8>>,
}

impl ScratchFile {
    /// A file that is not executable.
    pub fn plain(path: &str, content: impl Into<Vec<u8>>) -> Self {
        ScratchFile { path: path.as_bytes().to_vec(), mode: 0o100644, content: Arc::new(content.into()) }
    }
}

/// A folder that goes away with the value. `root` holds the files; HOME and TMPDIR lie beside it.
#[derive(Debug)]
pub struct Scratch {
    /// Removes the folder when dropped.
    _dir: tempfile::TempDir,
    base: PathBuf,
    root: PathBuf,
    written: BTreeMap<Vec<u8>, Written>,
}

/// A file as we left it.
#[derive(Debug)]
struct Written {
    content: Arc<Vec<u8>>,
    mode: u32,
    stamp: Stamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Stamp { inode: metadata.ino(), size: metadata.size(), changed: (metadata.ctime(), metadata.ctime_nsec()) }
    }
}

impl Scratch {
    /// An empty checkout in a new temporary folder.
    pub(super) fn new(prefix: &str) -> Result<Scratch> {
        let dir = tempfile::Builder::new().prefix(prefix).tempdir().context("making a scratch folder")?;
        let base = dir.path().canonicalize()?;
        let root = base.join("root");
        for folder in [&root, &base.join("home"), &base.join("tmp")] {
            fs::create_dir(folder)?;
        }
        Ok(Scratch { _dir: dir, base, root, written: BTreeMap::new() })
    }

    /// The root of the checkout.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder around the root, with HOME and TMPDIR.
    pub(super) fn base(&self) -> &Path {
        &self.base
    }

    /// A file that a run has written; `path` is below the folder around the root, or relative to the root. Whatever a run has put in its
    /// place, nothing else is opened: no link is followed, and a pipe is not waited for.
    ///
    /// # Errors
    /// When it is not there, is no file, or lies elsewhere.
    pub fn open(&self, path: impl AsRef<Path>) -> io::Result<fs::File> {
        let path = self.root.join(path);
        let inner = path.strip_prefix(&self.base).map_err(|_| io::ErrorKind::InvalidInput)?;
        let base = fs::File::open(&self.base)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let file = fs::File::from(openat2(base, inner, flags, Mode::empty(), resolve)?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }

    /// The bytes of such a file, up to 64 MiB.
    ///
    /// # Errors
    /// As [`Scratch::open`].
    pub fn read(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open(path)?.take(READ_MOST).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Its text; nothing when it is not there or no text.
    pub fn text(&self, path: impl AsRef<Path>) -> String {
        self.read(path).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// What is new below the root or not as we left it, and what is gone: paths from the root.
    pub(in crate::world) fn changes(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let (mut wrote, mut seen) = (BTreeSet::new(), BTreeSet::new());
        let mut open = vec![self.root.clone()];
        while let Some(entries) = open.pop().map(fs::read_dir) {
            for entry in entries.into_iter().flatten().flatten() {
                let Ok(metadata) = entry.metadata() else { continue };
                if metadata.is_dir() {
                    open.push(entry.path());
                    continue;
                }
                let place = entry.path();
                let path = place.strip_prefix(&self.root).unwrap_or(&place).as_os_str().as_bytes().to_vec();
                if self.written.get(&path).is_none_or(|written| written.stamp != Stamp::of(&metadata)) {
                    wrote.insert(String::from_utf8_lossy(&path).into_owned());
                }
                seen.insert(path);
            }
        }
        let gone = self.written.keys().filter(|path| !seen.contains(*path));
        (wrote, gone.map(|path| String::from_utf8_lossy(path).into_owned()).collect())
    }

    /// Makes the checkout hold exactly `files`, whatever a run did to it.
    ///
    /// # Errors
    /// When something cannot be read, written or removed; the checkout should be thrown away then.
    pub(super) fn bring_to(&mut self, files: &[ScratchFile]) -> Result<()> {
        for folder in ["home", "tmp"] {
            let folder = self.base.join(folder);
            if !folder.symlink_metadata()?.is_dir() || fs::read_dir(&folder)?.next().is_some() {
                remove(&folder)?;
                fs::create_dir(&folder)?;
            }
        }
        let wanted: BTreeMap<&[u8], &ScratchFile> = files.iter().map(|file| (file.path.as_slice(), file)).collect();
        let mut good: Vec<Vec<u8>> = Vec::with_capacity(files.len());
        ensure!(self.root.symlink_metadata()?.is_dir(), "the root is no folder any more");
        self.sweep(&self.root, b"", &wanted, &mut good)?;
        good.sort_unstable();
        self.written.retain(|path, _| wanted.contains_key(path.as_slice()));
        for file in files.iter().filter(|file| good.binary_search(&file.path).is_err()) {
            let shown = String::from_utf8_lossy(&file.path).into_owned();
            self.write(file).with_context(|| format!("writing `{shown}`"))?;
        }
        Ok(())
    }

    /// Removes what is not wanted below `folder` and collects what is as it should be.
    fn sweep(&self, folder: &Path, prefix: &[u8], wanted: &BTreeMap<&[u8], &ScratchFile>, good: &mut Vec<Vec<u8>>) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let mut path = prefix.to_vec();
            path.extend_from_slice(entry.file_name().as_bytes());
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                path.push(b'/');
                let needed = wanted.range(path.as_slice()..).next().is_some_and(|(first, _)| first.starts_with(&path));
                match needed {
                    true => self.sweep(&entry.path(), &path, wanted, good)?,
                    false => remove(&entry.path())?,
                }
                continue;
            }
            let same = wanted.get(path.as_slice()).zip(self.written.get(&path)).is_some_and(|(file, written)| {
                Arc::ptr_eq(&file.content, &written.content) && file.mode == written.mode && Stamp::of(&metadata) == written.stamp
            });
            if same { good.push(path) } else { fs::remove_file(entry.path())? }
        }
        Ok(())
    }

    fn write(&mut self, file: &ScratchFile) -> Result<()> {
        if let Some(path) = place(&self.root, file)? {
            let stamp = Stamp::of(&path.symlink_metadata()?);
            self.written.insert(file.path.clone(), Written { content: file.content.clone(), mode: file.mode, stamp });
        }
        Ok(())
    }
}

/// Writes a file of a checkout below `root`, and says where; `None` for what has no content of its own here: a submodule, and a link
/// that leads outside.
///
/// # Errors
/// When its path leads outside, or it cannot be written.
pub(in crate::world) fn place(root: &Path, file: &ScratchFile) -> Result<Option<PathBuf>> {
    let relative = Path::new(std::ffi::OsStr::from_bytes(&file.path));
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    ensure!(plain, "the path leads outside of the checkout");
    let path = root.join(relative);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match file.mode {
        0o120000 => {
            // A link that leads outside would show the user's files to a candidate.
            let target = Path::new(std::ffi::OsStr::from_bytes(&file.content));
            if !target.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
                return Ok(None);
            }
            std::os::unix::fs::symlink(target, &path)?;
        }
        0o160000 => {
            fs::create_dir_all(&path)?;
            return Ok(None);
        }
        mode => {
            fs::write(&path, file.content.as_slice())?;
            let mode = if mode == 0o100755 { 0o755 } else { 0o644 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        }
    }
    Ok(Some(path))
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.symlink_metadata()?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.with_context(|| format!("removing `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: &str) -> ScratchFile {
        ScratchFile { path: path.into(), mode: 0o100644, content: Arc::new(content.as_bytes().to_vec()) }
    }

    #[test]
    fn whatever_a_run_did_the_next_one_finds_the_files_as_they_should_be() {
        let files = [file("a.txt", "a"), file("d/b.txt", "b"), file("d/e/c.txt", "c")];
        let mut scratch = Scratch::new("fractal-test-").expect("a folder");
        scratch.bring_to(&files).expect("writes");
        let root = scratch.root().to_path_buf();
        fs::write(root.join("a.txt"), "x").expect("changes a file in place");
        fs::remove_file(root.join("d/b.txt")).expect("removes a file");
        std::os::unix::fs::symlink("/etc/passwd", root.join("d/b.txt")).expect("puts a link in its place");
        fs::remove_dir_all(root.join("d/e")).expect("removes a folder");
        std::os::unix::fs::symlink("/tmp", root.join("d/e")).expect("puts a link in its place");
        fs::create_dir(root.join("new")).expect("makes a folder");
        fs::write(scratch.base().join("home/.x"), "y").expect("writes into HOME");
        scratch.bring_to(&files).expect("restores");
        assert_eq!(fs::read_to_string(root.join("a.txt")).expect("reads"), "a");
        assert_eq!(fs::read_to_string(root.join("d/b.txt")).expect("reads"), "b");
        assert_eq!(fs::read_to_string(root.join("d/e/c.txt")).expect("reads"), "c");
        assert!(!root.join("new").exists() && !scratch.base().join("home/.x").exists());
        assert!(root.join("d/e").symlink_metadata().expect("there").is_dir());
    }

    #[test]
    fn another_version_of_a_file_replaces_the_first_and_the_rest_stays_untouched() {
        let (a, b) = (file("a", "1"), file("b", "2"));
        let mut scratch = Scratch::new("fractal-test-").expect("a folder");
        scratch.bring_to(&[a, b.clone()]).expect("writes");
        let before = Stamp::of(&scratch.root().join("b").metadata().expect("there"));
        scratch.bring_to(&[file("a", "3"), b]).expect("writes");
        assert_eq!(fs::read_to_string(scratch.root().join("a")).expect("reads"), "3");
        assert_eq!(Stamp::of(&scratch.root().join("b").metadata().expect("there")), before);
    }
}
