//! Writes that others can see. Each of them can be probed: asked whether it has already happened.

use anyhow::Context;
use jiff::Timestamp;

use super::git::worktree::WorkTree;
use super::git::{Identity, LOG_REF, LogError, MoveError, NOTES_REF, Repo};
use super::rollout::Rollout;
use super::shadow::Waiting;
use super::store::{self, Dirty, Retention, Store, StoreError};
use super::{View, WorldError, rollout, shadow};
use crate::model::{Action, ActionKind, CommitId, ImprovementId, Patch, Record};

/// Why an action did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// Nothing happened; it may work later.
    #[error("{0}")]
    Wait(String),
    /// The world is not what the decision saw; nothing happened.
    #[error("{0}")]
    Stale(String),
    #[error("{0:#}")]
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for ActionError {
    fn from(error: anyhow::Error) -> Self {
        ActionError::Failed(error)
    }
}

impl From<MoveError> for ActionError {
    fn from(error: MoveError) -> Self {
        match error {
            MoveError::Lost { .. } => ActionError::Stale(error.to_string()),
            MoveError::Locked { .. } => ActionError::Wait(error.to_string()),
            MoveError::Git(error) => ActionError::Failed(error),
        }
    }
}

/// The permission to write. Held by the engine's action log and by nothing else.
pub struct Effects {
    repo: Repo,
    store: Box<dyn Store>,
    identity: Identity,
    remote: Option<String>,
}

impl Effects {
    /// Opens the repository of `view` for writing.
    ///
    /// # Errors
    /// When the execution store cannot be opened.
    pub fn open(view: &View) -> Result<Effects, WorldError> {
        let repo = Repo::open_on(view.repo.root(), view.repo.host().cloned())?;
        let store = match repo.host() {
            Some(host) => host.store()?,
            None => store::open(&repo, &view.config)?,
        };
        let deploy = &view.config.deploy;
        let identity = Identity { name: deploy.author_name.clone(), email: deploy.author_email.clone() };
        let remote = Some(deploy.remote.clone()).filter(|remote| !remote.is_empty());
        Ok(Effects { repo, store, identity, remote })
    }

    /// Appends to the decision log.
    ///
    /// # Errors
    /// See [`LogError`].
    pub fn append(&self, id: &ImprovementId, known: usize, records: &[Record], at: Timestamp) -> Result<(), LogError> {
        self.repo.append_log(id, known, records, &self.identity, at)
    }

    /// Writes a commit that nothing points to yet.
    ///
    /// # Errors
    /// When an object cannot be written.
    pub fn write_commit(&self, parent: &CommitId, patch: &Patch, message: &str, at: Timestamp) -> anyhow::Result<CommitId> {
        self.repo.write_commit(parent, patch, message, &self.identity, at)
    }

    /// Removes what a killed run of ours left in everybody's way. For the holder of the loop's lock.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn clear_the_way(&self) -> anyhow::Result<()> {
        self.repo.release_left_index_lock()
    }

    /// Whether outward acts are paused; read immediately before each of them.
    pub fn is_paused(&self) -> bool {
        self.repo.is_paused()
    }

    /// Whether the action has already happened, and finishes what a killed run left half done of it (a work tree that did not
    /// follow its branch).
    ///
    /// # Errors
    /// When that cannot be found out.
    pub fn probe(&self, action: &Action) -> anyhow::Result<bool> {
        let happened = self.has_happened(action)?;
        Ok(self.repo.host().map_or(happened, |host| host.probed(action, happened)))
    }

    fn has_happened(&self, action: &Action) -> anyhow::Result<bool> {
        match &action.kind {
            ActionKind::PutBranch { branch, commit, .. } => Ok(self.repo.resolve(&heads(branch))?.as_ref() == Some(commit)),
            ActionKind::Land { base, expect, commit } | ActionKind::Revert { base, expect, commit, .. } => {
                let tip = self.repo.tip(base)?;
                let happened = self.repo.contains(&tip, commit)?;
                if happened && &tip == commit && self.repo.checks_out(base) && self.repo.can_follow(expect, commit)?.is_none() {
                    self.repo.follow(expect, commit)?;
                }
                Ok(happened)
            }
            ActionKind::Note { commit, text } => Ok(self.repo.note_on(commit).is_some_and(|note| note.trim() == text.trim())),
        }
    }

    /// Does the action once.
    ///
    /// # Errors
    /// See [`ActionError`].
    pub fn perform(&self, action: &Action, at: Timestamp) -> Result<(), ActionError> {
        match &action.kind {
            ActionKind::PutBranch { branch, expect, commit } => {
                self.push(&heads(branch), expect.as_ref(), commit)?;
                Ok(self.repo.move_ref(&heads(branch), expect.as_ref(), commit, "fractal: propose")?)
            }
            ActionKind::Land { base, expect, commit } => self.advance(base, expect, commit, "fractal: land"),
            ActionKind::Revert { base, expect, commit, .. } => self.advance(base, expect, commit, "fractal: revert"),
            ActionKind::Note { commit, text } => {
                self.repo.write_note(commit, text, &self.identity, at)?;
                if let (Some(remote), Some(note)) = (&self.remote, self.repo.resolve(NOTES_REF)?) {
                    let there = self.repo.remote_ref(remote, NOTES_REF)?;
                    self.repo.push(remote, NOTES_REF, there.as_ref(), &note)?;
                }
                Ok(())
            }
        }
    }

    /// Moves the base, and the user's work tree with it when the base is checked out and clean.
    fn advance(&self, base: &str, expect: &CommitId, commit: &CommitId, why: &str) -> Result<(), ActionError> {
        let tip = self.repo.tip(base)?;
        if &tip != expect {
            return Err(ActionError::Stale(format!("`{base}` moved from {} to {}", expect.short(), tip.short())));
        }
        let follows = match self.repo.work_tree(base)? {
            WorkTree::Busy(why) => return Err(ActionError::Wait(why)),
            WorkTree::CleanOnBase => match self.repo.can_follow(expect, commit)? {
                Some(path) => return Err(ActionError::Wait(format!("`{path}` in the work tree is in the way"))),
                None => true,
            },
            WorkTree::Elsewhere => false,
        };
        self.push(&heads(base), Some(expect), commit)?;
        self.repo.move_ref(&heads(base), Some(expect), commit, why)?;
        match follows.then(|| self.repo.follow(expect, commit)) {
            None | Some(Ok(())) => Ok(()),
            // What is pushed stays; the next cycle finds the work tree behind its branch and lets it follow then.
            Some(Err(error)) if self.remote.is_some() => {
                Err(ActionError::Wait(format!("the work tree did not follow: {error:#}")))
            }
            Some(Err(error)) => {
                self.repo.move_ref(&heads(base), Some(commit), expect, "fractal: the work tree did not follow")?;
                // Files that did follow go back; one that cannot is what made it fail.
                let _ = self.repo.follow(commit, expect);
                Err(ActionError::Wait(format!("the work tree did not follow: {error:#}")))
            }
        }
    }

    fn push(&self, name: &str, expect: Option<&CommitId>, commit: &CommitId) -> Result<(), ActionError> {
        let Some(remote) = &self.remote else { return Ok(()) };
        // A remote that cannot be reached may be there later; one that refuses a push said so for a reason.
        let there = self.repo.remote_ref(remote, name).map_err(|error| ActionError::Wait(format!("{error:#}")))?;
        if there.as_ref() == Some(commit) {
            return Ok(());
        }
        if there.as_ref() != expect {
            let at = there.map_or("absent".to_string(), |commit| format!("at {}", commit.short()));
            return Err(ActionError::Stale(format!("`{name}` on `{remote}` is {at}: fetch first")));
        }
        Ok(self.repo.push(remote, name, expect, commit)?)
    }

    /// Remembers how far history was looked through for what people did.
    ///
    /// # Errors
    /// When the ref cannot be written.
    pub fn remember_seen(&self, commit: &CommitId) -> Result<(), MoveError> {
        // A ref that leads nowhere is only a longer look that was lost.
        let now = match self.repo.resolve(SEEN_REF) {
            Ok(now) => now,
            Err(_) => {
                self.repo.remove_own_ref(SEEN_REF).map_err(MoveError::Git)?;
                None
            }
        };
        if now.as_ref() == Some(commit) {
            return Ok(());
        }
        self.repo.move_ref(SEEN_REF, now.as_ref(), commit, "fractal: seen")
    }

    /// Pushes the decision log to the configured remote, where another machine goes on from it.
    ///
    /// # Errors
    /// When the push fails, or the remote's log has records that ours has not.
    pub fn publish_log(&self) -> anyhow::Result<()> {
        let (Some(remote), Some(ours)) = (&self.remote, self.repo.resolve(LOG_REF)?) else { return Ok(()) };
        let there = self.repo.remote_ref(remote, LOG_REF)?;
        match &there {
            Some(there) if there == &ours => Ok(()),
            Some(there) if !self.repo.contains(&ours, there)? => {
                anyhow::bail!("`{LOG_REF}` on `{remote}` has records that are not here; fetch it first")
            }
            _ => self.repo.push(remote, LOG_REF, there.as_ref(), &ours),
        }
    }

    /// Lets live runs be repeated on these proposals, and on no others.
    ///
    /// # Errors
    /// When a file of ours cannot be made or removed.
    pub fn keep_shadows(&self, waiting: &[Waiting]) -> anyhow::Result<()> {
        shadow::keep(&self.repo, waiting).context("the record of live runs beside a proposal")
    }

    /// Lets live runs be drawn for these rollouts, and for no others.
    ///
    /// # Errors
    /// When a file of ours cannot be written or removed.
    pub fn keep_rollouts(&self, rollouts: &[Rollout]) -> anyhow::Result<()> {
        rollout::keep(&self.repo, rollouts).context("the shares of proposals that are rolled out")
    }

    /// Adds up what the loop did.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn count(&mut self, cycles: u64, tools: u64, maintenance: u64, at: Timestamp) -> Result<(), StoreError> {
        self.store.count(cycles, tools, maintenance, at)
    }

    /// Removes old executions.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn prune(&mut self, retention: &Retention) -> Result<u64, StoreError> {
        self.store.prune(retention)
    }

    /// The execution store.
    pub fn store(&mut self) -> &mut dyn Store {
        self.store.as_mut()
    }

    /// Brings the rollups of these tools in order, see [`Store::settle`].
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn settle(&mut self, tools: &[String]) -> Result<u64, StoreError> {
        self.store.settle(tools)
    }

    /// Says which news were looked at, see [`Store::looked`].
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn looked(&mut self, seen: &[Dirty], state: &str, again: &[String]) -> Result<(), StoreError> {
        self.store.looked(seen, state, again)
    }
}

/// The base as it was when people's doings were last looked for. Losing it costs one longer look.
pub const SEEN_REF: &str = "refs/fractal/seen";

fn heads(branch: &str) -> String {
    format!("refs/heads/{branch}")
}
