//! The driver: one bounded cycle over everything that is open, once or again and again.
//!
//! [`Loop`] is the public way in, for the command line and for programs that embed it.

pub mod account;
mod actions;
mod agent;
mod ahead;
pub mod asking;
mod board;
mod claims;
mod cycle;
mod divide;
mod feedback;
pub mod figures;
mod fold;
mod forum;
mod group;
mod hear;
mod improvement;
mod landed;
mod maintenance;
mod news;
mod offer;
mod outside;
mod progress;
mod reconcile;
mod revert;
pub mod rollout;
mod search;
pub mod shadow;
pub mod simulate;
mod spending;
mod stage;
mod stages;
mod status;
mod undoing;
mod versions;
mod watch;
mod zones;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_stream::Stream;

use self::actions::Journal;
pub use self::feedback::FeedbackRow;
pub use self::figures::{Change, Overview, ToolFigures, VersionFigures};
pub use self::improvement::{Improvement, Landed, Rollout};
pub use self::outside::redact_by;
pub use self::progress::{CycleReport, Progress};
pub use self::spending::{Spending, StrategyRow};
pub use self::stage::{IllegalEvent, Stage, next};
use self::stages::{Real, Stages};
pub use self::status::{Funnel, History, Notable, OpenItem, Shadowed, Stats, ToolRow};
pub use self::versions::{Compared, KnownVersion, Role};
use self::zones::Surroundings;
pub use self::zones::{BundleError, Maker, Zone};
use crate::config::{ForgeConfig, ForgeKind};
use crate::model::{Event, ImprovementId, Observation};
use crate::record::collect;
use crate::world::clock::Clock;
use crate::world::forge;
use crate::world::git::{LogError, Repo};
use crate::world::lock::{LockError, LoopLock};
use crate::world::store::StoreError;
use crate::world::{View, WorldError, read_config};

/// Why a cycle could not run or not finish. Whatever it had done is in the log.
#[derive(Debug, thiserror::Error)]
pub enum CycleError {
    #[error(transparent)]
    World(#[from] WorldError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What another zone handed on is of no use; nothing was done.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// What a person asked for does not fit; nothing was done.
    #[error("{0}")]
    Refused(String),
    #[error("{0:#}")]
    Other(anyhow::Error),
}

impl From<anyhow::Error> for CycleError {
    fn from(error: anyhow::Error) -> Self {
        let error = match error.downcast::<LogError>() {
            Ok(error) => return CycleError::Log(error),
            Err(error) => error,
        };
        let error = match error.downcast::<WorldError>() {
            Ok(error) => return CycleError::World(error),
            Err(error) => error,
        };
        let error = match error.downcast::<BundleError>() {
            Ok(error) => return CycleError::Bundle(error),
            Err(error) => error,
        };
        match error.downcast::<StoreError>() {
            Ok(error) => CycleError::Store(error),
            Err(error) => CycleError::Other(error),
        }
    }
}

type Listener = Arc<dyn Fn(Progress) + Send + Sync>;

/// Sets up a [`Loop`].
pub struct Builder {
    repo: PathBuf,
    mode: String,
    clock: Clock,
    dry_run: bool,
    zone: Option<Zone>,
    listener: Option<Listener>,
}

impl Builder {
    /// Nothing is written anywhere: the cycle tells what it would do.
    #[must_use]
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Runs only what belongs into one of three zones; in the first two of them nothing is written but a bundle.
    #[must_use]
    pub fn zone(mut self, zone: Zone) -> Self {
        self.dry_run |= !zone.may_write();
        self.zone = Some(zone);
        self
    }

    /// Tells the time instead of the machine's clock.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// What `fractal status` shows as the kind of loop that is running.
    #[must_use]
    pub fn mode(mut self, mode: &str) -> Self {
        self.mode = mode.to_string();
        self
    }

    /// Is called with everything that happens, as it happens, by one thread at a time.
    #[must_use]
    pub fn on_progress(mut self, listener: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// Checks the repository and takes its lock (not in a dry run).
    ///
    /// # Errors
    /// When the repository cannot be worked on, or another loop runs on it.
    pub fn build(self) -> Result<Loop, CycleError> {
        let view = View::open(&self.repo, self.clock.clone())?;
        let lock = match self.dry_run {
            true => None,
            false => Some(LoopLock::take(&view.repo.state_dir(), &self.mode, self.clock.now())?),
        };
        Ok(Loop {
            repo: view.repo.root().to_path_buf(),
            clock: self.clock,
            dry_run: self.dry_run,
            zone: self.zone,
            shared: Arc::new(Shared {
                listener: self.listener,
                subscribers: std::sync::Mutex::default(),
                stop: AtomicBool::new(false),
                wake: Notify::new(),
                forges: Forges::default(),
                _lock: lock,
            }),
        })
    }
}

struct Shared {
    listener: Option<Listener>,
    subscribers: std::sync::Mutex<Vec<mpsc::UnboundedSender<Progress>>>,
    stop: AtomicBool,
    wake: Notify,
    forges: Forges,
    _lock: Option<LoopLock>,
}

impl Shared {
    fn tell(&self, progress: Progress) {
        if let Some(listener) = &self.listener {
            listener(progress.clone());
        }
        if let Ok(mut subscribers) = self.subscribers.lock() {
            subscribers.retain(|subscriber| subscriber.send(progress.clone()).is_ok());
        }
    }
}

/// The improvement loop of one repository. Holds the repository's lock while it lives.
///
/// ```
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # runtime.block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let git = git2::Repository::init(folder.path())?;
/// # let who = git2::Signature::now("Ana", "ana@localhost")?;
/// # let tree = git.find_tree(git.treebuilder(None)?.write()?)?;
/// # git.commit(Some("HEAD"), &who, &who, "begin", &tree, &[])?;
/// # let repository = folder.path();
/// let engine = fractal::Loop::builder(repository).build()?;
/// let report = engine.run_cycle().await?;
/// println!("{} improvements landed", report.landed);
/// assert_eq!(engine.stats()?.cycles_completed, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Loop {
    repo: PathBuf,
    clock: Clock,
    dry_run: bool,
    zone: Option<Zone>,
    shared: Arc<Shared>,
}

impl Loop {
    /// Begins to set up a loop on the repository around `repo`.
    pub fn builder(repo: impl Into<PathBuf>) -> Builder {
        Builder { repo: repo.into(), mode: "library".into(), clock: Clock::System, dry_run: false, zone: None, listener: None }
    }

    /// Runs one cycle and returns what it did. The work happens on a thread of its own.
    ///
    /// # Errors
    /// See [`CycleError`].
    pub async fn run_cycle(&self) -> Result<CycleReport, CycleError> {
        let (repo, clock, dry_run, shared) = (self.repo.clone(), self.clock.clone(), self.dry_run, self.shared.clone());
        let zone = self.zone.clone();
        let work = move || {
            let tell = |progress| shared.tell(progress);
            run_cycle(
                &repo,
                clock,
                zone.as_ref(),
                &Surroundings { dry_run, listener: &tell, stop: &shared.stop, forges: &shared.forges },
            )
        };
        tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|error| Err(CycleError::Other(anyhow::anyhow!("the cycle panicked: {error}"))))
    }

    /// Everything that happens from now on, as a stream that ends with the loop.
    pub fn events(&self) -> impl Stream<Item = Progress> + Unpin + use<> {
        let (sender, receiver) = mpsc::unbounded_channel();
        if let Ok(mut subscribers) = self.shared.subscribers.lock() {
            subscribers.push(sender);
        }
        tokio_stream::wrappers::UnboundedReceiverStream::new(receiver)
    }

    /// Runs cycles on the configured interval until [`Loop::stop`]. A cycle that fails is told and tried again at the next interval.
    pub fn spawn(self: Arc<Self>) -> JoinHandle<()> {
        tokio::spawn(async move {
            while !self.shared.stop.load(Ordering::SeqCst) {
                if let Err(error) = self.run_cycle().await {
                    tracing::error!("the cycle failed: {error}");
                }
                let config = Repo::open(&self.repo).ok().and_then(|repo| read_config(&repo).ok());
                let interval = config.map_or(std::time::Duration::from_secs(300), |config| config.engine.interval.0);
                tokio::select! {
                    () = tokio::time::sleep(interval) => {}
                    () = self.shared.wake.notified() => {}
                }
            }
        })
    }

    /// Asks a spawned loop to end: it finishes what it is working on, and takes nothing else on.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.wake.notify_one();
    }

    /// The figures that `fractal status` shows.
    ///
    /// # Errors
    /// When the repository, the log or the store cannot be read.
    pub fn stats(&self) -> Result<Stats, CycleError> {
        Ok(History::open(&self.repo, self.clock.clone())?.stats()?)
    }
}

/// The forge of a process, for as long as its configuration stays: it remembers what it was answered.
#[derive(Default)]
struct Forges(std::sync::Mutex<Option<(ForgeConfig, forge::Shared)>>);

impl Forges {
    fn of(&self, config: &ForgeConfig, clock: Clock) -> Result<Option<forge::Shared>, CycleError> {
        let mut known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, forge)) = known.as_ref().filter(|(of, _)| of == config) {
            return Ok(Some(forge.clone()));
        }
        let opened = forge::open(config, clock).map_err(|why| CycleError::Refused(format!("`[forge]`: {why}")))?;
        *known = opened.map(|forge| (config.clone(), forge::Shared::new(forge)));
        Ok(known.as_ref().map(|(_, forge)| forge.clone()))
    }
}

fn run_cycle(repo: &Path, clock: Clock, zone: Option<&Zone>, around: &Surroundings<'_>) -> Result<CycleReport, CycleError> {
    let mut view = View::open(repo, clock.clone())?;
    if view.config.forge.kind != ForgeKind::Local && view.config.deploy.remote.is_empty() {
        let hint = "name it, such as `remote = \"origin\"`";
        return Err(CycleError::Refused(format!("`[forge]` needs a `[deploy] remote` that branches are pushed to: {hint}")));
    }
    if !around.dry_run && (!view.config.sync.remote.is_empty() || collect::is_wanted(&view.config)) {
        // Where nothing was recorded yet there is no store; what comes from elsewhere is to be seen in this cycle.
        drop(crate::world::store::open(&view.repo, &view.config).map_err(anyhow::Error::from)?);
        view = View::open(repo, clock.clone())?;
    }
    // Zones that may not write have no token for it.
    if zone.is_none_or(Zone::may_write) {
        view.forge = match around.forges.of(&view.config.forge, clock) {
            Err(why) if around.dry_run => {
                tracing::warn!("as if there were no forge: {why}");
                None
            }
            forge => forge?,
        };
    }
    match zone {
        Some(zone) => zones::run(view, zone, around),
        None => cycle_on(&view, &Real, around.dry_run, around.listener, around.stop),
    }
}

fn cycle_on(
    view: &View,
    stages: &dyn Stages,
    dry_run: bool,
    listener: &(dyn Fn(Progress) + Sync),
    stop: &AtomicBool,
) -> Result<CycleReport, CycleError> {
    let mut journal = Journal::open(view, dry_run, listener, stop)?;
    Ok(cycle::run(&mut journal, stages)?)
}

/// What a person can say about one improvement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Land it although policy waits.
    Approve,
    /// Revert it although nothing is wrong with it.
    Revert,
}

/// Records a person's wish about the improvement whose id begins with `id`; the next cycle acts on it.
///
/// # Errors
/// When there is no such improvement, or the wish does not fit its stage; the message says why.
pub fn wish(repo: &Path, clock: Clock, id: &str, wish: Wish, by: &str) -> Result<Improvement, CycleError> {
    wish_on(View::open(repo, clock)?, id, wish, by)
}

fn wish_on(view: View, id: &str, wish: Wish, by: &str) -> Result<Improvement, CycleError> {
    let history = History::of(view)?;
    let improvement = history.find(id).map_err(|error| CycleError::Refused(error.to_string()))?.clone();
    let what = match (wish, improvement.stage) {
        (Wish::Approve, Stage::Proposed) => Observation::Approved { by: by.to_string() },
        (Wish::Revert, Stage::Watching | Stage::Kept | Stage::Inconclusive | Stage::Stuck) if improvement.landed.is_some() => {
            Observation::RevertRequested { by: by.to_string() }
        }
        (wish, stage) => {
            let (can, fits) = match wish {
                Wish::Approve => ("approved", "waits on its branch"),
                Wish::Revert => ("reverted", "is on the base"),
            };
            let id = improvement.id.short();
            return Err(CycleError::Refused(format!("improvement {id} is {stage}; only one that {fits} can be {can}")));
        }
    };
    let event = Event::Observed { what };
    actions::append_one(history.view(), &improvement, event)?;
    Ok(improvement)
}

/// The improvements of a repository by id, newest knowledge.
pub type Improvements = std::collections::BTreeMap<ImprovementId, Improvement>;
