//! Versions of tools as folders made from git objects, so that a run of another version than the one in the work tree needs no checkout.
//!
//! They lie in our folder of the git directory, below the work tree's root: what a tool finds by looking upwards (`node_modules`) it
//! finds from there too. A folder is made beside its place and renamed, so it is there whole or not at all, whoever else makes it at
//! the same time and however they end. Who runs something in one holds a lock on it, and such a folder is not taken away.
//!
//! Deliberately not here: which version runs.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};

use super::bench::{self, BenchError};
use super::git::Repo;
use super::sandbox::place;
use crate::config::Config;
use crate::model::{CommitId, Tool};

/// What begins like this is being made, or taken away.
const UNFINISHED: &str = ".";
/// That a folder is used is written down only so often.
const USED_EVERY: Duration = Duration::from_secs(3600);

/// A version that is there, and stays there for as long as this value lives.
#[derive(Debug)]
pub struct Held {
    root: PathBuf,
    _lock: File,
}

impl Held {
    /// The folder that stands for the root of a checkout.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// The tool as `commit` has it, if it is there. Takes microseconds.
pub fn find(repo: &Repo, tool: &Tool, commit: &CommitId) -> Option<Held> {
    hold(folder(repo).join(name(tool, commit))).ok()
}

/// The same; it is made when it is not there.
///
/// # Errors
/// When the tool is not in the commit, is larger than a checkout may be, or cannot be written.
pub fn make(repo: &Repo, config: &Config, tool: &Tool, commit: &CommitId) -> Result<Held, BenchError> {
    if let Some(held) = find(repo, tool, commit) {
        return Ok(held);
    }
    let files = bench::checkout(repo, &config.validate, tool, commit)?;
    let (folder, name) = (folder(repo), name(tool, commit));
    let write = || {
        fs::create_dir_all(&folder)?;
        // While anybody has this lock nothing half made is taken away.
        let making = lock_file(&folder)?;
        making.lock_shared()?;
        let draft = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(&folder)?;
        for file in &files {
            if let Some(path) = place(draft.path(), file)?.filter(|path| !path.is_symlink()) {
                // What a run writes over its own program would be another version.
                let mode = if file.mode == 0o100755 { 0o555 } else { 0o444 };
                fs::set_permissions(&path, Permissions::from_mode(mode))?;
            }
        }
        settle(draft.path())?;
        match fs::rename(draft.path(), folder.join(&name)) {
            Ok(()) => drop(draft.keep()),
            // Somebody else was faster.
            Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {}
            Err(error) => return Err(error.into()),
        }
        hold(folder.join(&name))
    };
    let held: Result<Held> = write();
    let held = held.with_context(|| format!("keeping version {} of `{}` as a folder", commit.short(), tool.name))?;
    // With what was made last in use: it is not what goes.
    let _ = tidy(repo, config);
    Ok(held)
}

/// Removes what killed processes left half made, and the versions that were not used for longest where they take too much room. What is
/// in use stays.
///
/// # Errors
/// When the folder cannot be read.
pub fn tidy(repo: &Repo, config: &Config) -> Result<()> {
    let folder = folder(repo);
    if !folder.is_dir() {
        return Ok(());
    }
    if let Ok(lock) = lock_file(&folder)
        && lock.try_lock().is_ok()
    {
        for path in entries(&folder, true)? {
            let _ = fs::remove_dir_all(path);
        }
    }
    let mut all = Vec::new();
    for path in entries(&folder, false)? {
        let Ok(metadata) = path.symlink_metadata() else { continue };
        all.push((metadata.modified()?, size(&path), path));
    }
    all.sort();
    let mut total: u64 = all.iter().map(|(_, size, _)| size).sum();
    for (_, size, path) in all {
        if total <= config.deploy.versions_mib << 20 {
            break;
        }
        if take_away(&path).is_ok() {
            total = total.saturating_sub(size);
        }
    }
    Ok(())
}

fn folder(repo: &Repo) -> PathBuf {
    repo.state_dir().join("versions")
}

/// Named after everything that its content follows from.
fn name(tool: &Tool, commit: &CommitId) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(commit.as_str().as_bytes());
    for path in bench::wanted(tool) {
        hasher.update(b"\0").update(path.as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_string()
}

fn lock_file(folder: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).open(folder.join("lock"))
}

fn hold(root: PathBuf) -> Result<Held> {
    let dir = File::open(&root)?;
    dir.try_lock_shared()?;
    // It may have been taken away between the two.
    let (opened, there) = (dir.metadata()?, root.metadata()?);
    ensure!((opened.dev(), opened.ino()) == (there.dev(), there.ino()), "it was taken away");
    let now = SystemTime::now();
    if opened.modified().is_ok_and(|used| now.duration_since(used).unwrap_or_default() > USED_EVERY) {
        let _ = dir.set_modified(now);
    }
    Ok(Held { root, _lock: dir })
}

/// Removes a version that nobody uses. It is out of the way before it is removed file by file.
fn take_away(path: &Path) -> Result<()> {
    let dir = File::open(path)?;
    dir.try_lock()?;
    let parent = path.parent().context("a version has a folder around it")?;
    let away = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(parent)?;
    fs::rename(path, away.path().join("version"))?;
    Ok(away.close()?)
}

/// What is half made or half taken away, or else the versions.
fn entries(folder: &Path, unfinished: bool) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let begins = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(UNFINISHED);
    Ok(entries.filter(|entry| begins(entry) == unfinished).map(|entry| entry.path()).collect())
}

fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size(&entry.path()),
        // A small file takes a block.
        Ok(metadata) => metadata.len().max(4096),
        Err(_) => 0,
    };
    entries.map(of).sum()
}

/// Lets what was written reach the disk before its name does: an empty program after a power cut would end well and do nothing.
fn settle(folder: &Path) -> io::Result<()> {
    let dir = File::open(folder)?;
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(&dir)?;
    dir.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Language, Origin, Patch};
    use crate::world::git::Identity;

    fn repository(folder: &Path) -> (Repo, CommitId, Tool) {
        let by = Identity { name: "Ana".into(), email: "ana@localhost".into() };
        let files = Patch::write("tools/a.sh", b"echo one\n".to_vec()).and(Patch::write("b", vec![b'b'; 600 << 10]));
        let (repo, commit) = Repo::begin(folder, &files, "begin", &by, jiff::Timestamp::UNIX_EPOCH).expect("begins");
        let run = vec!["sh".into(), "tools/a.sh".into()];
        (repo, commit, Tool::known_by("a", vec!["tools/a.sh".into()], run, Language::Shell, Origin::Declared))
    }

    fn next(repo: &Repo, parent: &CommitId, text: &str) -> CommitId {
        let by = Identity { name: "Ana".into(), email: "ana@localhost".into() };
        let patch = Patch::write("tools/a.sh", text.as_bytes().to_vec());
        repo.write_commit(parent, &patch, "next", &by, jiff::Timestamp::UNIX_EPOCH).expect("writes")
    }

    #[test]
    fn a_version_is_made_once_and_holds_what_the_commit_holds() {
        let folder = tempfile::tempdir().expect("a folder");
        let (repo, commit, tool) = repository(folder.path());
        let config = Config::default();
        assert!(find(&repo, &tool, &commit).is_none());
        let held = make(&repo, &config, &tool, &commit).expect("is made");
        let script = held.root().join("tools/a.sh");
        assert_eq!(fs::read_to_string(&script).expect("reads"), "echo one\n");
        assert!(script.metadata().expect("is there").permissions().readonly());
        let inode = held.root().metadata().expect("is there").ino();
        let again = make(&repo, &config, &tool, &commit).expect("is there");
        assert_eq!(again.root().metadata().expect("is there").ino(), inode);
        let narrow = Tool { needs: vec!["tools/a.sh".into()], ..tool.clone() };
        assert!(!make(&repo, &config, &narrow, &commit).expect("is made").root().join("b").exists());
        let gone = Tool { paths: vec!["elsewhere".into()], needs: vec!["b".into()], ..tool };
        assert!(matches!(make(&repo, &config, &gone, &commit), Err(BenchError::Vanished(_))));
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first_and_what_is_in_use_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let (repo, first, tool) = repository(folder.path());
        let mut config = Config::default();
        config.deploy.versions_mib = 1;
        let second = next(&repo, &first, "echo two\n");
        let third = next(&repo, &second, "echo three\n");
        let held = make(&repo, &config, &tool, &first).expect("is made");
        let long_ago = SystemTime::now() - 10 * USED_EVERY;
        File::open(held.root()).and_then(|dir| dir.set_modified(long_ago)).expect("sets the time");
        drop(make(&repo, &config, &tool, &second).expect("is made"));
        // It is in use, and being looked for is a use: the other one goes.
        assert!(find(&repo, &tool, &first).is_some());
        drop(make(&repo, &config, &tool, &third).expect("is made"));
        let there = || [&first, &second, &third].map(|commit| super::folder(&repo).join(name(&tool, commit)).exists());
        assert_eq!(there(), [true, false, true]);
        drop(held);
        tidy(&repo, &config).expect("tidies");
        assert_eq!(there(), [false, false, true]);
        assert!(entries(&super::folder(&repo), true).expect("reads").is_empty());
    }

    #[test]
    fn what_a_kill_left_half_made_is_never_a_version_and_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let (repo, commit, tool) = repository(folder.path());
        let left = super::folder(&repo).join(".x7Kq");
        fs::create_dir_all(left.join("tools")).expect("makes a folder");
        let making = lock_file(&super::folder(&repo)).expect("opens");
        making.lock_shared().expect("locks");
        tidy(&repo, &Config::default()).expect("tidies");
        assert!(left.exists(), "somebody may be making it");
        drop(making);
        let held = make(&repo, &Config::default(), &tool, &commit).expect("is made");
        tidy(&repo, &Config::default()).expect("tidies");
        assert!(!left.exists() && held.root().exists());
    }
}
