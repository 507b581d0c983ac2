//! The outside: git, executions, processes, time. The only code that touches any of it.
//!
//! It hands out two values. [`View`] reads, tells the time and runs things in scratch checkouts. [`Effects`] writes what others
//! can see. The stages of the loop get a `&View` and return intentions; only `engine/actions.rs` holds `Effects`, so a dry run
//! is the engine not having any.

pub mod agent;
pub mod bench;
mod blocking;
pub mod catalog;
pub mod character;
pub mod claims;
pub mod clock;
mod effects;
mod fault;
pub mod files;
pub mod forge;
pub mod git;
pub mod ground;
mod hold;
pub mod host;
pub mod http;
pub mod incoming;
pub mod lock;
mod loops;
pub mod passthrough;
pub mod pause;
pub mod pin;
pub mod process;
mod proposals;
pub mod provider;
pub mod rollout;
pub mod sandbox;
pub mod shadow;
pub mod spool;
pub mod store;
pub mod trial;
pub mod versions;
mod way;

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
pub use claims::{Claim, Elsewhere};
use clock::Clock;
pub use effects::{ActionError, Effects, SEEN_REF};
use git::{OpenError, Repo};
use host::Host;
pub use proposals::Word;
use sandbox::Sandbox;
use store::Store;

use crate::config::{Config, ConfigError};

/// Why a repository cannot be opened for work.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("{file}: {error}")]
    Config { file: String, error: ConfigError },
    #[error(transparent)]
    Store(#[from] store::StoreError),
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

/// Reads, the clock and the sandbox.
pub struct View {
    pub repo: Repo,
    pub store: Box<dyn Store>,
    pub clock: Clock,
    pub sandbox: Sandbox,
    pub config: Config,
    /// The branch that improvements land on.
    pub base: String,
    /// Where proposals are looked at and landed, where that is not git alone.
    pub forge: Option<forge::Shared>,
}

impl View {
    /// Opens the repository around `path` with its configuration.
    ///
    /// # Errors
    /// See [`WorldError`].
    pub fn open(path: &Path, clock: Clock) -> Result<View, WorldError> {
        View::open_on(path, clock, None)
    }

    /// The same on a simulated machine.
    ///
    /// # Errors
    /// See [`WorldError`].
    pub fn open_on(path: &Path, clock: Clock, host: Option<Arc<dyn Host>>) -> Result<View, WorldError> {
        let repo = Repo::open_on(path, host)?;
        let config = read_config(&repo)?;
        let base = repo.base(&config.base)?;
        View::of(repo, config, base, clock)
    }

    /// The same view for another thread, which has as much of the machine as one of `share` gets. What somebody changes in the
    /// configuration meanwhile is for the next cycle.
    ///
    /// # Errors
    /// See [`WorldError`].
    pub fn beside(&self, share: usize) -> Result<View, WorldError> {
        let repo = Repo::open_on(self.repo.root(), self.repo.host().cloned())?;
        let mut view = View::of(repo, self.config.clone(), self.base.clone(), self.clock.clone())?;
        view.sandbox = self.sandbox.clone();
        view.sandbox.workers = (self.sandbox.workers / share.max(1)).max(1);
        Ok(view)
    }

    fn of(repo: Repo, config: Config, base: String, clock: Clock) -> Result<View, WorldError> {
        // What a view builds (a diff, the inverse of a commit) is for looking at: none of it reaches the disk.
        repo.keep_objects_in_memory()?;
        let store = match repo.host() {
            Some(host) => host.store()?,
            None => store::open_to_read(&repo, &config)?,
        };
        let owner = blake3::hash(repo.root().as_os_str().as_encoded_bytes()).to_hex()[..12].to_string();
        let sandbox = Sandbox::configured(&owner, &config);
        let forge = repo.host().and_then(|host| host.forge());
        Ok(View { repo, store, clock, sandbox, config, base, forge })
    }
}

/// Reads `fractal.toml` from the root of the work tree; the defaults when there is none.
///
/// # Errors
/// When it cannot be read or is wrong.
pub fn read_config(repo: &Repo) -> Result<Config, WorldError> {
    let path = repo.root().join(crate::config::FILE);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Config::default()),
        Err(error) => return Err(WorldError::Other(anyhow::Error::new(error).context(format!("reading `{}`", path.display())))),
    };
    Config::read(&bytes).map_err(|error| WorldError::Config { file: crate::config::FILE.into(), error })
}
