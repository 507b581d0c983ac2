//! Refs: every move is a compare-and-swap, and can be probed afterwards.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;

use super::commit::signature;
use super::{Identity, Repo, id_of};
use crate::model::CommitId;
use crate::world::host::Moment;
use crate::world::process::{self, Spawn};

/// Where outcomes are noted: `git log --notes=fractal`.
pub const NOTES_REF: &str = "refs/notes/fractal";
/// While this ref exists nothing outward is done.
pub const PAUSE_REF: &str = "refs/fractal/paused";

const PUSH_TIME: Duration = Duration::from_secs(300);
/// The lock of a ref is held for milliseconds: one that does not change for so long was left by a process that was killed.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Why a ref did not move.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    #[error("`{name}` is no longer at {expected}")]
    Lost { name: String, expected: String },
    /// Another process of git is writing it, or was killed.
    #[error("`{lock}` exists: git is writing that ref, or was killed")]
    Locked { lock: String },
    #[error(transparent)]
    Git(#[from] anyhow::Error),
}

impl Repo {
    /// The commit that a ref points to; `None` when it does not exist.
    ///
    /// # Errors
    /// When the ref does not lead to a commit.
    pub fn resolve(&self, name: &str) -> Result<Option<CommitId>> {
        match self.inner.find_reference(name) {
            Ok(reference) => {
                let commit = reference.peel_to_commit().with_context(|| format!("`{name}` does not lead to a commit"))?;
                Ok(Some(id_of(commit.id())))
            }
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading `{name}`")),
        }
    }

    /// The commit that a person names: a branch, a tag, `HEAD~2`, the beginning of an id; `None` when it names none.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub fn commit_named(&self, name: &str) -> Result<Option<CommitId>> {
        match self.inner.revparse_single(name).and_then(|object| object.peel_to_commit()) {
            Ok(commit) => Ok(Some(id_of(commit.id()))),
            Err(error) if error.class() == git2::ErrorClass::Os => Err(error).with_context(|| format!("reading `{name}`")),
            Err(_) => Ok(None),
        }
    }

    /// The commit at the tip of a local branch.
    ///
    /// # Errors
    /// When there is no such branch.
    pub fn tip(&self, branch: &str) -> Result<CommitId> {
        self.resolve(&format!("refs/heads/{branch}"))?.with_context(|| format!("branch `{branch}` does not exist"))
    }

    /// Moves a ref from `expect` (`None`: it must not exist) to `to`.
    ///
    /// # Errors
    /// [`MoveError::Lost`] when it is not where it was expected.
    pub fn move_ref(&self, name: &str, expect: Option<&CommitId>, to: &CommitId, why: &str) -> Result<(), MoveError> {
        let lost = || MoveError::Lost {
            name: name.into(),
            expected: expect.map_or("(absent)".into(), |commit| commit.short().to_string()),
        };
        let new = self.oid(to)?;
        let expect = expect.map(|commit| self.oid(commit)).transpose()?;
        self.moment(Moment::Before(name));
        let moved = self.past_locks(name, || match expect {
            Some(expect) => self.inner.reference_matching(name, new, true, expect, why).map(drop),
            None => self.inner.reference(name, new, false, why).map(drop),
        });
        match moved {
            Ok(()) => {
                self.moment(Moment::After(name, Some(to)));
                Ok(())
            }
            Err(error) if error.code() == git2::ErrorCode::Locked => {
                Err(MoveError::Locked { lock: self.lock_of(name).display().to_string() })
            }
            Err(error)
                if matches!(error.code(), git2::ErrorCode::Modified | git2::ErrorCode::Exists | git2::ErrorCode::NotFound) =>
            {
                Err(lost())
            }
            Err(error) => Err(MoveError::Git(anyhow::Error::new(error).context(format!("moving `{name}`")))),
        }
    }

    fn moment(&self, moment: Moment<'_>) {
        if let Some(host) = &self.host {
            host.moment(moment);
        }
    }

    /// Tries to change a ref until nobody else is changing it. A lock that was left behind is removed from refs that only we
    /// write; a person's ref is a person's to unlock.
    fn past_locks<T>(&self, name: &str, change: impl Fn() -> Result<T, git2::Error>) -> Result<T, git2::Error> {
        let ours = ["refs/fractal/", "refs/heads/fractal/", NOTES_REF].iter().any(|own| name.starts_with(own));
        let lock = self.lock_of(name);
        let since = || std::fs::metadata(&lock).and_then(|lock| lock.modified()).ok();
        let (seen, deadline) = (since(), Instant::now() + LOCK_PATIENCE);
        loop {
            match change() {
                Err(error) if error.code() == git2::ErrorCode::Locked && Instant::now() < deadline => {
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(error) if error.code() == git2::ErrorCode::Locked && ours && seen.is_some() && seen == since() => {
                    let _ = std::fs::remove_file(&lock);
                    return change();
                }
                done => return done,
            }
        }
    }

    fn lock_of(&self, name: &str) -> std::path::PathBuf {
        self.inner.commondir().join(format!("{name}.lock"))
    }

    /// Removes a ref of ours; one that is not there is fine.
    ///
    /// # Errors
    /// When it is not below `refs/fractal/`, or cannot be removed.
    pub fn remove_own_ref(&self, name: &str) -> Result<()> {
        if !name.starts_with("refs/fractal/") {
            bail!("`{name}` is not ours to remove");
        }
        match self.inner.find_reference(name) {
            Ok(mut reference) => Ok(reference.delete()?),
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether somebody paused us.
    pub fn is_paused(&self) -> bool {
        self.inner.find_reference(PAUSE_REF).is_ok()
    }

    /// Pauses every outward act: a blob with the reason, so plain git shows why (`git show refs/fractal/paused`).
    ///
    /// # Errors
    /// When the ref cannot be written.
    pub fn pause(&self, reason: &str) -> Result<()> {
        let blob = self.inner.blob(reason.as_bytes())?;
        self.inner.reference(PAUSE_REF, blob, true, "fractal: pause")?;
        Ok(())
    }

    /// Why we are paused, if we are.
    pub fn pause_reason(&self) -> Option<String> {
        let reference = self.inner.find_reference(PAUSE_REF).ok()?;
        let blob = reference.peel_to_blob().ok()?;
        Some(String::from_utf8_lossy(blob.content()).trim().to_string())
    }

    /// Our note on a commit.
    pub fn note_on(&self, commit: &CommitId) -> Option<String> {
        let note = self.inner.find_note(Some(NOTES_REF), self.oid(commit).ok()?).ok()?;
        Some(String::from_utf8_lossy(note.message_bytes()).into_owned())
    }

    /// Writes our note on a commit over an earlier one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_note(&self, commit: &CommitId, text: &str, by: &Identity, at: Timestamp) -> Result<()> {
        let signature = signature(by, at)?;
        let commit = self.oid(commit)?;
        self.moment(Moment::Before(NOTES_REF));
        self.past_locks(NOTES_REF, || self.inner.note(&signature, &signature, Some(NOTES_REF), commit, text, true))?;
        self.moment(Moment::After(NOTES_REF, None));
        Ok(())
    }

    /// Pushes `commit` to `name` on a remote with the `git` command, so that hooks and the server's rules apply; the remote ref
    /// must be at `expect` (`None`: absent).
    ///
    /// # Errors
    /// What git said when the push was refused.
    pub fn push(&self, remote: &str, name: &str, expect: Option<&CommitId>, commit: &CommitId) -> Result<()> {
        if let Some(host) = &self.host {
            return host.push(remote, name, expect, commit);
        }
        let lease = format!("--force-with-lease={name}:{}", expect.map_or("", |commit| commit.as_str()));
        let refspec = format!("{commit}:{name}");
        self.git(&["push", "--porcelain", &lease, "--", remote, &refspec], PUSH_TIME)
            .with_context(|| format!("pushing `{name}` to `{remote}`"))?;
        Ok(())
    }

    /// Where a ref of a remote is now.
    ///
    /// # Errors
    /// When the remote cannot be asked.
    pub fn remote_ref(&self, remote: &str, name: &str) -> Result<Option<CommitId>> {
        if let Some(host) = &self.host {
            return host.remote_ref(remote, name);
        }
        let listing = self.git(&["ls-remote", "--", remote, name], PUSH_TIME)?;
        let line = listing.lines().find(|line| line.ends_with(&format!("\t{name}")));
        Ok(line.and_then(|line| line.split('\t').next()).map(|id| CommitId(id.to_string())))
    }

    fn git(&self, arguments: &[&str], limit: Duration) -> Result<String> {
        let mut argv: Vec<std::ffi::OsString> = vec!["git".into()];
        argv.extend(arguments.iter().map(std::ffi::OsString::from));
        let spawn = Spawn {
            env: vec![("GIT_TERMINAL_PROMPT".into(), "0".into())],
            clear_env: false,
            ..Spawn::new(argv, self.root(), limit)
        };
        let finished = process::run(&spawn);
        if finished.exit != crate::model::Exit::Code(0) {
            let said = String::from_utf8_lossy(&finished.stderr).trim().to_string();
            bail!("git {}: {}: {said}", arguments.first().unwrap_or(&""), finished.exit);
        }
        Ok(String::from_utf8_lossy(&finished.stdout).into_owned())
    }
}
