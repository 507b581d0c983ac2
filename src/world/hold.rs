//! The claim that a loop holds: written down before anything is done under it, prolonged while the loop works however long a step
//! takes, and given back by the next run when this one is killed.

use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::claims::{Claim, Terms};
use super::clock::Clock;
use super::files::Draft;
use super::git::claims::RefClaims;
use super::git::{Identity, Repo};
use super::pause::paused;
use super::store;
use crate::config::{Config, EngineConfig};

/// The work that we have for ourselves.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub work: String,
    /// `None` when it could not be claimed, because the place of claims is away: then only facts are recorded, and no act succeeds.
    pub claim: Option<Claim>,
}

/// What a killed run needs to give its claim back: the tokens that may be there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Left {
    pub work: String,
    pub tokens: Vec<String>,
}

/// Whatever changes the claim has its turn: an act must not find another token in the middle.
#[derive(Clone, Default)]
pub(super) struct Holding {
    held: Arc<Mutex<Option<Held>>>,
    turn: Arc<Mutex<()>>,
    heart: Arc<Mutex<Option<Sender<()>>>>,
    folder: PathBuf,
}

impl Holding {
    pub(super) fn new(folder: PathBuf) -> Holding {
        Holding { folder, ..Holding::default() }
    }

    /// Keeps the claim from being prolonged until the guard is dropped.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        lock(&self.turn)
    }

    pub(super) fn get(&self) -> Option<Held> {
        lock(&self.held).clone()
    }

    pub(super) fn set(&self, work: &str, claim: Option<Claim>) {
        *lock(&self.held) = Some(Held { work: work.to_string(), claim });
    }

    /// Nothing is held; what was written down stays for the next run when `left`.
    pub(super) fn clear(&self, left: bool) -> Result<()> {
        *lock(&self.held) = None;
        match if left { Ok(()) } else { std::fs::remove_file(self.file()) } {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context("removing what a claim left"),
            _ => Ok(()),
        }
    }

    /// Writes down a token that may be there from now on, beside the one that is.
    pub(super) fn intend(&self, work: &str, token: &str) -> Result<()> {
        let before = self.get().filter(|held| held.work == work).and_then(|held| held.claim);
        let tokens = before.map(|claim| claim.token).into_iter().chain([token.to_string()]).collect();
        std::fs::create_dir_all(&self.folder)?;
        let mut draft = Draft::of(&self.file())?;
        serde_json::to_writer(&mut draft, &Left { work: work.to_string(), tokens })?;
        draft.finish().context("writing down a claim")
    }

    /// What a killed run left.
    pub(super) fn left(&self) -> Option<Left> {
        let left: Left = serde_json::from_slice(&std::fs::read(self.file()).ok()?).ok()?;
        crate::model::check_tool_name(&left.work).ok().map(|()| left)
    }

    fn file(&self) -> PathBuf {
        self.folder.join("claim")
    }

    /// Prolongs the claim from now on whenever less than half of it is left.
    pub(super) fn keep_alive(&self, heart: Heart) {
        let mut beating = lock(&self.heart);
        if beating.is_some() {
            return;
        }
        let (sender, receiver) = mpsc::channel::<()>();
        let (held, turn, folder) = (self.held.clone(), self.turn.clone(), self.folder.clone());
        // Ends with whoever holds the sender. Not waited for: it may be waiting for its turn.
        std::thread::spawn(move || {
            let holding = Holding { held, turn, heart: Arc::default(), folder };
            let every = (heart.config.engine.lease.0 / 4).max(Duration::from_millis(10));
            while receiver.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                if let Err(why) = heart.beat(&holding) {
                    tracing::warn!("a claim was not prolonged: {why:#}");
                }
            }
        });
        *beating = Some(sender);
    }
}

/// What is needed to prolong a claim from another thread.
pub(super) struct Heart {
    pub root: PathBuf,
    pub config: Config,
    pub identity: Identity,
    pub clock: Clock,
}

impl Heart {
    fn beat(&self, holding: &Holding) -> Result<()> {
        let _turn = holding.turn();
        let Some(Held { work, claim: Some(claim) }) = holding.get() else { return Ok(()) };
        let now = self.clock.now();
        if !claim.is_stale(now) {
            return Ok(());
        }
        let repo = Repo::open(&self.root)?;
        let remote = Some(self.config.deploy.remote.as_str()).filter(|remote| !remote.is_empty());
        if remote.is_some() && paused(&repo).is_some() {
            return Ok(());
        }
        let store = store::open(&repo, &self.config)?;
        let refs = RefClaims { repo: &repo, remote, by: &self.identity };
        let claims = store.claims().unwrap_or(&refs);
        match claims.renew(&claim, &terms(&repo, &self.config.engine, now), &|token| holding.intend(&work, token))? {
            Some(next) => holding.set(&work, Some(next)),
            // Another loop has it: the next fact that is to be recorded finds that out.
            None => holding.clear(false)?,
        }
        Ok(())
    }
}

/// On which terms this process claims.
pub(super) fn terms(repo: &Repo, engine: &EngineConfig, now: jiff::Timestamp) -> Terms {
    let holder = repo.host().map_or_else(this_process, |host| host.holder());
    Terms { holder, now, lease: engine.lease.0, skew: engine.clock_skew.0 }
}

fn this_process() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}, process {}", std::process::id())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
