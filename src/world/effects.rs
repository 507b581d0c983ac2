//! Writes that others can see. Each of them can be probed: asked whether it has already happened.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use anyhow::Context;
use jiff::Timestamp;

use super::clock::Clock;
use super::forge::{ForgeError, Shared};
use super::git::worktree::WorkTree;
use super::git::{Identity, LogError, MoveError, Repo};
use super::hold::Holding;
use super::rollout::Rollout;
use super::shadow::Waiting;
use super::store::{self, Dirty, Retention, Store, StoreError};
use super::{View, WorldError, rollout, shadow};
use crate::config::Config;
use crate::model::{Action, ActionKind, CommitId, ImprovementId, Made, Patch, Record};

/// Why an action did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// Nothing happened; it may work later.
    #[error("{0}")]
    Wait(String),
    /// The world is not what the decision saw; nothing happened.
    #[error("{0}")]
    Stale(String),
    /// It may or may not have happened.
    #[error("{0}")]
    Unclear(String),
    #[error("{0:#}")]
    Failed(anyhow::Error),
}

impl From<ForgeError> for ActionError {
    fn from(error: ForgeError) -> Self {
        match error {
            ForgeError::Limited { .. } | ForgeError::Unreachable(_) => ActionError::Wait(error.to_string()),
            // What is refused now may be in order when the facts are read again.
            ForgeError::Moved(_) | ForgeError::Refused(_) | ForgeError::Gone(_) => ActionError::Stale(error.to_string()),
            ForgeError::Unclear(_) => ActionError::Unclear(error.to_string()),
            ForgeError::NotPermitted(_) | ForgeError::Setup(_) => ActionError::Failed(error.into()),
        }
    }
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
    pub(super) repo: Repo,
    pub(super) store: Box<dyn Store>,
    pub(super) identity: Identity,
    pub(super) remote: Option<String>,
    pub(super) base: String,
    pub(super) config: Config,
    pub(super) clock: Clock,
    pub(super) holding: Holding,
    pub(super) news: RefCell<BTreeSet<ImprovementId>>,
    /// The remote did not answer at the beginning of this cycle.
    pub(super) away: Cell<bool>,
    pub(super) forge: Option<Shared>,
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
        let (base, config, clock) = (view.base.clone(), view.config.clone(), view.clock.clone());
        // Simulated loops share a clone.
        let own = repo.host().map_or(String::new(), |host| host.holder().replace(' ', "-"));
        let holding = Holding::new(repo.state_dir().join(own));
        Ok(Effects {
            repo,
            store,
            identity,
            remote,
            base,
            config,
            clock,
            holding,
            news: RefCell::default(),
            away: Cell::new(false),
            forge: view.forge.clone(),
        })
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

    /// Whether the action has already happened and what it made, and finishes what a killed run left half done of it (a work tree that did not
    /// follow its branch).
    ///
    /// # Errors
    /// When that cannot be found out.
    pub fn probe(&self, action: &Action) -> anyhow::Result<Option<Made>> {
        let as_said = |happened: bool| happened.then_some(Made::AsSaid);
        match &action.kind {
            ActionKind::PutBranch { branch, commit, .. } | ActionKind::ProposeRevert { branch, commit, .. } => {
                Ok(as_said(self.repo.resolve(&heads(branch))?.as_ref() == Some(commit)))
            }
            ActionKind::Land { base, expect, commit } | ActionKind::Revert { base, expect, commit, .. } => {
                let tip = self.repo.tip(base)?;
                let happened = self.repo.contains(&tip, commit)?;
                if happened && &tip == commit && self.repo.checks_out(base) && self.repo.can_follow(expect, commit)?.is_none() {
                    self.repo.follow(expect, commit)?;
                }
                Ok(as_said(happened))
            }
            ActionKind::Note { commit, text } => {
                Ok(as_said(self.repo.note_on(commit).is_some_and(|note| note.trim() == text.trim())))
            }
            ActionKind::Open { .. }
            | ActionKind::Merge { .. }
            | ActionKind::MergeWhenReady { .. }
            | ActionKind::MergeNot { .. }
            | ActionKind::Close { .. }
            | ActionKind::Report { .. } => self.probe_forge(&action.kind),
        }
    }

    /// Does the action once.
    ///
    /// # Errors
    /// See [`ActionError`].
    pub fn perform(&self, action: &Action, at: Timestamp) -> Result<(), ActionError> {
        match &action.kind {
            ActionKind::PutBranch { branch, expect, commit } | ActionKind::ProposeRevert { branch, expect, commit, .. } => {
                // A person's branch here is not overwritten at the remote either.
                let here = self.repo.resolve(&heads(branch))?;
                if here.as_ref() != expect.as_ref() {
                    let at = here.map_or("absent".to_string(), |commit| format!("at {}", commit.short()));
                    return Err(ActionError::Stale(format!("`{branch}` is {at}")));
                }
                self.push(&heads(branch), expect.as_ref(), commit, at)?;
                Ok(self.repo.move_ref(&heads(branch), expect.as_ref(), commit, "fractal: propose")?)
            }
            ActionKind::Land { base, expect, commit } => self.advance(base, expect, commit, at, "fractal: land"),
            ActionKind::Revert { base, expect, commit, .. } => self.advance(base, expect, commit, at, "fractal: revert"),
            ActionKind::Note { commit, text } => self.note(commit, text, at),
            ActionKind::Open { .. }
            | ActionKind::Merge { .. }
            | ActionKind::MergeWhenReady { .. }
            | ActionKind::MergeNot { .. }
            | ActionKind::Close { .. }
            | ActionKind::Report { .. } => self.perform_on_forge(&action.kind, at),
        }
    }

    /// Moves the base at the remote, and here as [`Effects::advance_here`] does, unless that would have to wait.
    fn advance(&self, base: &str, expect: &CommitId, commit: &CommitId, at: Timestamp, why: &str) -> Result<(), ActionError> {
        self.may_advance(base, expect, commit)?;
        self.push(&heads(base), Some(expect), commit, at)?;
        self.advance_here(base, expect, commit, why)
    }

    /// Whether the work tree follows a move of the base.
    pub(super) fn may_advance(&self, base: &str, expect: &CommitId, commit: &CommitId) -> Result<bool, ActionError> {
        let tip = self.repo.tip(base)?;
        if &tip != expect {
            return Err(ActionError::Stale(format!("`{base}` moved from {} to {}", expect.short(), tip.short())));
        }
        match self.repo.work_tree(base)? {
            WorkTree::Busy(why) => Err(ActionError::Wait(why)),
            WorkTree::CleanOnBase => match self.repo.can_follow(expect, commit)? {
                Some(path) => Err(ActionError::Wait(format!("`{path}` in the work tree is in the way"))),
                None => Ok(true),
            },
            WorkTree::Elsewhere => Ok(false),
        }
    }

    /// Moves the base here, and the user's work tree with it when the base is checked out and clean.
    pub(super) fn advance_here(&self, base: &str, expect: &CommitId, commit: &CommitId, why: &str) -> Result<(), ActionError> {
        let follows = self.may_advance(base, expect, commit)?;
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

pub(super) fn heads(branch: &str) -> String {
    format!("refs/heads/{branch}")
}
