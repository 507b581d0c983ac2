//! The exchange: a small bare repository of our own beside the executions, through which segments go to a remote and come from it.
//!
//! Its own, so that the user's repository holds none of it: what is forgotten can be removed for good, and nothing that others push
//! can get into anybody's checkout. It uses the user's settings for the remote (address, credentials, proxy), and none of the user's
//! hooks. What segments mean is not known here.
//!
//! | ref | what it is |
//! |---|---|
//! | `refs/outbox` | what we publish, as it is here |
//! | `refs/mirror/<remote>/<writer>` | what a writer has published at a remote, as we last saw it; our own too |

mod remote;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use jiff::Timestamp;

use super::commit::signature;
use super::{Identity, Repo};
use crate::model::Exit;

/// Where writers publish at a remote.
pub const EXECUTIONS: &str = "refs/fractal/executions/";
const OUTBOX: &str = "refs/outbox";
const FORMAT: &str = "fractal executions 1\n";
/// Bytes of a listing of segments.
const LISTING_MAX: usize = 4 << 20;
/// Commits that we offered to a remote and still know.
const OFFERED_MAX: usize = 64;
/// A lock that has not changed for so long was left by a process that was killed.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Why nothing could be exchanged.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// Another process exchanges right now.
    #[error("another process is exchanging executions")]
    Busy,
    /// The remote was not reached, or did not do what it was asked. Nothing is lost.
    #[error("{0}")]
    Remote(String),
    /// The remote has changed since it was looked at.
    #[error("`{0}` is being changed by others")]
    Moved(String),
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

/// What a writer has published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// The commit; empty when there is none yet.
    pub commit: String,
    /// By the writer's clock.
    pub at: Timestamp,
    pub files: Vec<SegmentFile>,
    /// The file of what was forgotten, when it is not too large.
    pub forgotten: Option<String>,
}

/// An entry of a writer's listing. Nothing of it is checked but that it is a plain file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFile {
    pub name: String,
    pub object: String,
    pub size: u64,
}

/// See the module. One process at a time has it.
pub struct Exchange {
    inner: git2::Repository,
    folder: PathBuf,
    root: PathBuf,
    settings: Vec<(OsString, OsString)>,
    patience: Duration,
    _lock: File,
}

impl Exchange {
    /// Whether anything was ever exchanged here.
    pub fn exists(repo: &Repo) -> bool {
        folder(repo).is_dir()
    }

    /// Opens it, making it first; waits as long as `patience` for another process, and for each answer of a remote.
    ///
    /// # Errors
    /// [`ExchangeError::Busy`], or when it cannot be made.
    pub fn open(repo: &Repo, patience: Duration) -> Result<Exchange, ExchangeError> {
        let lock = lock(&repo.state_dir(), patience)?;
        let folder = folder(repo);
        if !folder.is_dir() {
            make(&folder).with_context(|| format!("making `{}`", folder.display()))?;
        }
        release_left_locks(&folder)?;
        let inner = git2::Repository::open_bare(&folder).with_context(|| format!("opening `{}`", folder.display()))?;
        let settings = remote::settings_of(repo)?;
        let exchange = Exchange { inner, folder, root: repo.root().to_path_buf(), settings, patience, _lock: lock };
        if let Err(why) = exchange.outbox() {
            // A disk that failed, or a machine that lost power. What is at remotes stays there, under the old name.
            tracing::warn!("what was to be published is damaged ({why:#}); this clone begins anew, under a new name");
            exchange.remove(OUTBOX)?;
            exchange.new_writer()?;
        }
        Ok(exchange)
    }

    // ---- who we are ----

    /// Our name among writers: random, and this clone's alone.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn writer(&self) -> Result<String> {
        match self.read("writer") {
            Some(name) if is_writer(name.trim()) => Ok(name.trim().to_string()),
            _ => self.new_writer(),
        }
    }

    /// Takes a new name, because somebody else has the old one.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn new_writer(&self) -> Result<String> {
        let name = uuid::Uuid::new_v4().simple().to_string();
        self.write("writer", &format!("{name}\n"))?;
        Ok(name)
    }

    /// Whether a commit was offered to a remote from here. If our name is at another one, somebody else has our name.
    pub fn was_offered(&self, commit: &str) -> bool {
        self.read("offered").is_some_and(|offered| offered.lines().any(|line| line == commit))
    }

    fn offer(&self, commit: &str) -> Result<()> {
        let before = self.read("offered").unwrap_or_default();
        let mut commits: Vec<&str> = before.lines().filter(|line| *line != commit).collect();
        commits.push(commit);
        let from = commits.len().saturating_sub(OFFERED_MAX);
        self.write("offered", &format!("{}\n", commits[from..].join("\n")))
    }

    fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.folder.join(name)).ok()
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(self.folder.join(name)).map_err(|error| error.error)?;
        Ok(())
    }

    // ---- what there is ----

    /// What we publish, as it is here.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn outbox(&self) -> Result<Published> {
        match self.inner.refname_to_id(OUTBOX) {
            Ok(oid) => self.published(oid),
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(Published::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// What each writer has published at a remote, as last fetched; or what is wrong with it.
    ///
    /// # Errors
    /// When the refs cannot be listed.
    pub fn mirror(&self, remote: &str) -> Result<BTreeMap<String, Result<Published>>> {
        let mut all = BTreeMap::new();
        for (writer, oid) in self.tips(remote)? {
            all.insert(writer, self.published(oid));
        }
        Ok(all)
    }

    /// Every segment that anything here leads to, ours and those of every writer at every remote: names by object id.
    ///
    /// # Errors
    /// When the refs cannot be listed.
    pub fn present(&self) -> Result<BTreeMap<String, String>> {
        let mut present = BTreeMap::new();
        for reference in self.inner.references()?.flatten() {
            if let Some(published) = reference.target().and_then(|oid| self.published(oid).ok()) {
                present.extend(published.files.into_iter().map(|file| (file.object, file.name)));
            }
        }
        Ok(present)
    }

    /// The remotes that we have published at, as they were named.
    pub fn remotes(&self) -> Vec<String> {
        self.read("remotes").unwrap_or_default().lines().map(str::to_string).collect()
    }

    fn tips(&self, remote: &str) -> Result<BTreeMap<String, git2::Oid>> {
        let prefix = mirror_of(remote);
        let mut tips = BTreeMap::new();
        for reference in self.inner.references_glob(&format!("{prefix}*"))?.flatten() {
            let name = String::from_utf8_lossy(reference.name_bytes()).into_owned();
            if let (Some(writer), Some(oid)) = (name.strip_prefix(&prefix), reference.target()) {
                tips.insert(writer.to_string(), oid);
            }
        }
        Ok(tips)
    }

    fn published(&self, oid: git2::Oid) -> Result<Published> {
        let commit = self.inner.find_commit(oid).map_err(|_| anyhow!("it is no commit"))?;
        let tree = self.tree(commit.tree_id())?;
        let small = |name: &str, limit: u64| {
            let entry = tree.get_name(name).filter(|entry| entry.filemode() == 0o100_644)?;
            let size = self.size_of(entry.id()).filter(|size| *size <= limit)?;
            let blob = self.inner.find_blob(entry.id()).ok().filter(|_| size <= limit)?;
            String::from_utf8(blob.content().to_vec()).ok()
        };
        match small("format", 1024) {
            Some(format) if format == FORMAT => {}
            Some(format) => {
                bail!(
                    "its format is `{}`, this version of Fractal reads `{}`",
                    crate::model::plain_line(&format, 60),
                    FORMAT.trim()
                )
            }
            None => bail!("it has no `format`"),
        }
        let mut files = Vec::new();
        if let Some(folder) = tree.get_name("segments") {
            for entry in &self.tree(folder.id())? {
                let name = String::from_utf8_lossy(entry.name_bytes()).into_owned();
                let size = self.size_of(entry.id()).filter(|_| entry.filemode() == 0o100_644);
                files.push(SegmentFile { name, object: entry.id().to_string(), size: size.unwrap_or(u64::MAX) });
            }
        }
        let at = Timestamp::from_second(commit.time().seconds()).unwrap_or(Timestamp::UNIX_EPOCH);
        let forgotten = match tree.get_name("forgotten") {
            Some(_) => small("forgotten", 64 << 20),
            None => Some(String::new()),
        };
        Ok(Published { commit: oid.to_string(), at, files, forgotten })
    }

    fn tree(&self, oid: git2::Oid) -> Result<git2::Tree<'_>> {
        let (size, kind) = self.inner.odb()?.read_header(oid)?;
        ensure!(kind == git2::ObjectType::Tree, "it has no listing of segments");
        ensure!(size <= LISTING_MAX, "its listing has {size} bytes, more than {LISTING_MAX}");
        Ok(self.inner.find_tree(oid)?)
    }

    fn size_of(&self, oid: git2::Oid) -> Option<u64> {
        let (size, kind) = self.inner.odb().ok()?.read_header(oid).ok()?;
        (kind == git2::ObjectType::Blob).then_some(size as u64)
    }

    /// The bytes of a segment.
    ///
    /// # Errors
    /// When it is not here.
    pub fn content(&self, object: &str) -> Result<Vec<u8>> {
        Ok(self.inner.find_blob(git2::Oid::from_str(object)?)?.content().to_vec())
    }

    /// Lets others be done with what they are changing.
    pub fn pause(&self, attempt: u32) {
        let spread = u64::from(uuid::Uuid::new_v4().as_bytes()[0]);
        std::thread::sleep(LOCK_PAUSE * attempt.min(10) + Duration::from_millis(spread));
    }

    // ---- what we publish ----

    /// Keeps a segment; nothing leads to it yet. Its object id.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, content: &[u8]) -> Result<String> {
        Ok(self.inner.blob(content)?.to_string())
    }

    /// Makes this the outbox: a commit without a parent, so that what is left out is gone. The commit's id.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn publish_here(&self, files: &[SegmentFile], forgotten: &str, by: &Identity, at: Timestamp) -> Result<String> {
        let mut segments = self.inner.treebuilder(None)?;
        for file in files {
            segments.insert(&file.name, git2::Oid::from_str(&file.object)?, 0o100_644)?;
        }
        let mut root = self.inner.treebuilder(None)?;
        root.insert("format", self.inner.blob(FORMAT.as_bytes())?, 0o100_644)?;
        root.insert("segments", segments.write()?, 0o040_000)?;
        if !forgotten.is_empty() {
            root.insert("forgotten", self.inner.blob(forgotten.as_bytes())?, 0o100_644)?;
        }
        let tree = self.inner.find_tree(root.write()?)?;
        let who = signature(by, at)?;
        let commit = self.inner.commit(None, &who, &who, "executions\n", &tree, &[])?;
        self.point(OUTBOX, commit)?;
        Ok(commit.to_string())
    }

    fn point(&self, name: &str, to: git2::Oid) -> Result<()> {
        self.inner.reference(name, to, true, "fractal")?;
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        match self.inner.find_reference(name) {
            Ok(mut reference) => Ok(reference.delete()?),
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    // ---- tidying up ----

    /// Throws away what is here of others: it is fetched again when it is needed.
    ///
    /// # Errors
    /// When a ref cannot be removed.
    pub fn drop_mirrors(&self) -> Result<()> {
        let names: Vec<String> = self
            .inner
            .references_glob("refs/mirror/*")?
            .flatten()
            .map(|reference| String::from_utf8_lossy(reference.name_bytes()).into_owned())
            .collect();
        names.iter().try_for_each(|name| self.remove(name))
    }

    /// Removes what nothing leads to: all of it, or once in a while.
    ///
    /// # Errors
    /// What git said.
    pub fn tidy(&self, all: bool) -> Result<()> {
        let mut arguments: Vec<String> = ["gc", "--quiet"].map(String::from).into();
        arguments.push(if all { "--prune=now" } else { "--auto" }.into());
        let finished = self.git(&arguments, Vec::new());
        ensure!(finished.exit == Exit::Code(0), "git gc: {}", remote::said(&finished));
        Ok(())
    }
}

fn folder(repo: &Repo) -> PathBuf {
    repo.state_dir().join("exchange.git")
}

/// Makes an empty one, whole or not at all.
fn make(folder: &Path) -> Result<()> {
    let draft = folder.with_extension("new");
    if draft.is_dir() {
        std::fs::remove_dir_all(&draft)?;
    }
    let mut config = git2::Repository::init_bare(&draft)?.config()?.open_level(git2::ConfigLevel::Local)?;
    // Segments are compressed already. Tidying up is done under our lock, and takes everything that nothing leads to.
    for (name, value) in [
        ("core.logAllRefUpdates", "false"),
        ("core.bigFileThreshold", "1k"),
        ("gc.auto", "2000"),
        ("gc.autoPackLimit", "40"),
        ("gc.autoDetach", "false"),
        ("gc.pruneExpire", "now"),
        ("gc.cruftPacks", "false"),
    ] {
        config.set_str(name, value)?;
    }
    Ok(std::fs::rename(draft, folder)?)
}

/// Removes the locks of refs that a process left that was killed. Nobody else of us is at work, but a `git` that a killed process had
/// started may be, for the milliseconds that it holds one.
fn release_left_locks(folder: &Path) -> Result<()> {
    let deadline = Instant::now() + 2 * LOCK_PATIENCE;
    loop {
        let locks = locks_below(folder, true);
        let held = |lock: &&PathBuf| {
            let since = lock.metadata().and_then(|lock| lock.modified()).ok().and_then(|at| at.elapsed().ok());
            since.is_some_and(|since| since < LOCK_PATIENCE)
        };
        if Instant::now() > deadline || !locks.iter().any(|lock| held(&lock)) {
            return locks.iter().try_for_each(|lock| match std::fs::remove_file(lock) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(error).with_context(|| format!("removing `{}`", lock.display()))
                }
                _ => Ok(()),
            });
        }
        std::thread::sleep(LOCK_PAUSE);
    }
}

fn locks_below(folder: &Path, is_top: bool) -> Vec<PathBuf> {
    let mut locks = Vec::new();
    for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            if !is_top || path.ends_with("refs") {
                locks.extend(locks_below(&path, false));
            }
        } else if path.extension().is_some_and(|extension| extension == "lock") {
            locks.push(path);
        }
    }
    locks
}

fn mirror_of(remote: &str) -> String {
    format!("refs/mirror/{}/", &blake3::hash(remote.as_bytes()).to_hex()[..16])
}

/// 32 lower-case hexadecimal digits.
fn is_writer(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn lock(state: &Path, patience: Duration) -> Result<File, ExchangeError> {
    let path = state.join("exchange.lock");
    let failed = |error: std::io::Error| anyhow!("the lock `{}`: {error}", path.display());
    std::fs::create_dir_all(state).map_err(failed)?;
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    let deadline = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => return Err(ExchangeError::Busy),
            Err(TryLockError::Error(error)) => return Err(failed(error).into()),
        }
    }
}
