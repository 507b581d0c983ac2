//! Refs: every move is a compare-and-swap, and can be probed afterwards.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;

use super::commit::signature;
use super::{Identity, Repo, id_of};
use crate::model::CommitId;
use crate::world::fault;
use crate::world::host::Moment;

/// Where outcomes are noted: `git log --notes=fractal`.
pub const NOTES_REF: &str = "refs/notes/fractal";
/// Where notes are put together.
const NOTES_DRAFT: &str = "refs/fractal/notes";
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
                fault::point(&format!("`{name}` moved"));
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

    /// Removes a branch of ours; not when it is checked out.
    ///
    /// # Errors
    /// When it is not below `refs/heads/fractal/`, or cannot be removed.
    pub fn remove_own_branch(&self, name: &str) -> Result<()> {
        let Some(branch) = name.strip_prefix("refs/heads/").filter(|branch| branch.starts_with("fractal/")) else {
            bail!("`{name}` is not ours to remove");
        };
        if self.checks_out(branch) {
            return Ok(());
        }
        Ok(self.inner.find_reference(name)?.delete()?)
    }

    /// Every ref whose name begins so, with the commit it leads to.
    ///
    /// # Errors
    /// When refs cannot be listed.
    pub fn refs_below(&self, beginning: &str) -> Result<BTreeMap<String, CommitId>> {
        let mut found = BTreeMap::new();
        for reference in self.inner.references_glob(&format!("{beginning}*"))?.flatten() {
            if let Some(oid) = reference.target() {
                found.insert(String::from_utf8_lossy(reference.name_bytes()).into_owned(), id_of(oid));
            }
        }
        Ok(found)
    }

    /// A blob that a ref leads to, as text; `None` when the ref does not exist.
    ///
    /// # Errors
    /// When the ref is there and does not lead to a blob.
    pub fn text_at(&self, name: &str) -> Result<Option<String>> {
        match self.inner.find_reference(name) {
            Ok(reference) => {
                let blob = reference.peel_to_blob().with_context(|| format!("`{name}` does not lead to a blob"))?;
                Ok(Some(String::from_utf8_lossy(blob.content()).trim().to_string()))
            }
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading `{name}`")),
        }
    }

    /// Lets a ref of ours lead to a blob with this text, so that plain git shows it (`git show REF`); its object id.
    ///
    /// # Errors
    /// When the ref is not below `refs/fractal/`, or cannot be written.
    pub fn set_text(&self, name: &str, text: &str) -> Result<CommitId> {
        if !name.starts_with("refs/fractal/") {
            bail!("`{name}` is not ours to write");
        }
        let blob = self.inner.blob(text.as_bytes())?;
        self.inner.reference(name, blob, true, "fractal")?;
        Ok(id_of(blob))
    }

    /// Our note on a commit.
    pub fn note_on(&self, commit: &CommitId) -> Option<String> {
        let note = self.inner.find_note(Some(NOTES_REF), self.oid(commit).ok()?).ok()?;
        Some(String::from_utf8_lossy(note.message_bytes()).into_owned())
    }

    /// Notes with our note on a commit over an earlier one: on top of what is here and of what the remote has. Nothing but a ref of ours
    /// leads to them yet.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn next_notes(
        &self,
        there: Option<&CommitId>,
        (commit, text): (&CommitId, &str),
        by: &Identity,
        at: Timestamp,
    ) -> Result<CommitId> {
        let signature = signature(by, at)?;
        let here = self.resolve(NOTES_REF)?;
        let base = match (&here, there) {
            (Some(here), Some(there)) if !self.contains(here, there)? => Some(there),
            (Some(here), _) => Some(here),
            (None, there) => there,
        };
        match base {
            Some(base) => drop(self.inner.reference(NOTES_DRAFT, self.oid(base)?, true, "fractal: notes")?),
            None => self.remove_own_ref(NOTES_DRAFT)?,
        }
        let write = |commit: git2::Oid, text: &str| {
            self.past_locks(NOTES_DRAFT, || self.inner.note(&signature, &signature, Some(NOTES_DRAFT), commit, text, true))
                .map(drop)
        };
        // What is only here, because it could not be pushed.
        if here.is_some() && base != here.as_ref() {
            for (_, annotated) in self.inner.notes(Some(NOTES_REF))?.flatten() {
                let note = self.inner.find_note(Some(NOTES_REF), annotated)?;
                if self.inner.find_note(Some(NOTES_DRAFT), annotated).is_err() {
                    write(annotated, &String::from_utf8_lossy(note.message_bytes()))?;
                }
            }
        }
        write(self.oid(commit)?, text)?;
        self.resolve(NOTES_DRAFT)?.context("the notes that were written are not there")
    }
}
