//! Executions come in: `fractal exec` runs a tool as if it had been run directly, and records what happened.
//!
//! Recording never changes the outcome of the run and never delays its output. What cannot be recorded is said once.

pub mod ci;
pub mod collect;
pub mod exchange;
pub mod github;
pub mod import;
pub mod junit;
pub mod lines;
pub mod mcp;
mod observed;
pub mod otlp;
pub mod redact;
pub mod serve;
pub mod spool;
mod versions;
mod writer;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, UNIX_EPOCH};

use jiff::Timestamp;

pub use self::observed::{Bytes, Intake, Observed, RunName, Said};
pub use self::versions::Versions;
use crate::config::Config;
use crate::model::{Execution, ExecutionId, Exit, Fingerprint, NewExecution, Outcome, StdinUse, Tool, Version};
use crate::world::files;
use crate::world::git::Repo;
use crate::world::passthrough::{self, Captured, Passthrough, Stream};
use crate::world::store::{self, Store, StoreError};
use crate::world::versions::Held;

/// A run that has ended.
#[derive(Debug)]
pub struct Executed {
    /// How we must end to look like the tool.
    pub ending: Exit,
    /// How the tool ended.
    pub exit: Exit,
    /// The other version could not be started, so the one in the work tree ran.
    pub fell_back: bool,
    /// The recorded execution, or why there is none.
    pub recorded: Result<Recorded, String>,
}

/// A run that will not be lost.
#[derive(Debug)]
pub struct Recorded {
    pub id: ExecutionId,
    pub outcome: Outcome,
    /// The kind of failure.
    pub failure: Option<Fingerprint>,
    /// Why it waits on disk instead of being stored.
    pub waits: Option<String>,
    /// It is stored with all of its input, and says something about the tool.
    pub repeatable: bool,
}

/// Runs that waited and that `exec` stores along with its own; the loop stores the rest.
const ALSO_STORED: usize = 64;
/// So long a store is held open for a tool that runs.
const HELD_OPEN: Duration = Duration::from_secs(1);

/// What is settled of a run before it starts.
#[derive(Debug)]
pub struct Start {
    /// Of its identity.
    pub random: [u8; 10],
    /// The version in the work tree, where somebody has looked already.
    pub own: Option<Version>,
    /// Another version than that of the work tree.
    pub instead: Option<Instead>,
}

/// A version in a folder of its own.
#[derive(Debug)]
pub struct Instead {
    pub held: Held,
    pub version: Version,
}

/// Who started this process, as it says itself.
pub fn caller() -> String {
    files::variable("FRACTAL_CALLER").unwrap_or_else(|| "exec".into())
}

/// Runs `tool` with `args` in the current directory with our standard streams, and records it.
pub fn exec(repo: &Repo, config: &Config, tool: &Tool, args: &[OsString], start: &Start) -> Executed {
    let command = |root: &Path| {
        let own = tool.command(&tool.run, &root.to_string_lossy());
        own.into_iter().map(OsString::from).chain(args.iter().cloned()).collect::<Vec<_>>()
    };
    let own = || start.own.clone().map_or_else(|| repo.version_in_work_tree(&tool.paths), |own| Ok(Some(own)));
    // Before the run: a tool may change its own files.
    let version = start.instead.as_ref().map_or_else(own, |instead| Ok(Some(instead.version.clone())));
    let argv = command(start.instead.as_ref().map_or(repo.root(), |instead| instead.held.root()));
    let otherwise = start.instead.as_ref().map(|_| command(repo.root()));
    let cwd = files::current_dir().ok();
    let mut ready = None;
    let spec = Passthrough {
        argv: &argv,
        otherwise: otherwise.as_deref(),
        limit: config.record.limit_kib << 10,
        timeout: tool.timeout,
        capture_stdin: tool.stdin == StdinUse::Capture,
    };
    let captured = passthrough::run(&spec, || ready = Ready::meanwhile(repo, config));
    let version = if captured.fell_back { own() } else { version };
    let instead = start.instead.as_ref().filter(|_| !captured.fell_back);
    let recorded = match (version, &captured.lost) {
        (_, Some(lost)) => Err(lost.clone()),
        (Ok(Some(version)), None) => {
            let cwd = cwd.as_deref().and_then(|cwd| inside(cwd, repo.root()));
            let observed = describe(tool, version, args, cwd, &captured, start.random);
            let root = instead.map_or(repo.root(), |instead| instead.held.root()).to_string_lossy();
            let new = Intake::new(config, &root).knowing(&files::environment()).admit(&tool.success, observed);
            keep(repo, config, ready, &new)
        }
        (Ok(None), None) => Err(format!("none of the paths of `{}` exist", tool.name)),
        (Err(error), None) => Err(format!("{error:#}")),
    };
    Executed { ending: captured.ending(), exit: captured.exit, fell_back: captured.fell_back, recorded }
}

/// A store that is opened while the tool runs, because that takes as long as many a tool. It is closed again when the tool takes
/// longer: a server's connections are few.
struct Ready {
    opener: JoinHandle<Option<Opened>>,
    /// Hangs up when the tool has ended.
    running: Sender<()>,
}

type Opened = Result<Box<dyn Store>, StoreError>;

impl Ready {
    /// `None` when there is no thread to be had.
    fn meanwhile(repo: &Repo, config: &Config) -> Option<Ready> {
        let open = store::opening(repo, config);
        let (running, ended) = channel();
        let opener = thread::Builder::new().spawn(move || {
            redact::prepare();
            let opened = open();
            (ended.recv_timeout(HELD_OPEN) != Err(RecvTimeoutError::Timeout)).then_some(opened)
        });
        Some(Ready { opener: opener.ok()?, running })
    }

    /// `None` when it was closed again.
    fn store(self) -> Option<Opened> {
        drop(self.running);
        self.opener.join().ok().flatten()
    }
}

/// Stores the execution after those that wait, or lets it wait too.
fn keep(repo: &Repo, config: &Config, ready: Option<Ready>, new: &NewExecution) -> Result<Recorded, String> {
    let store = ready.and_then(Ready::store).unwrap_or_else(|| store::open_briefly(repo, config));
    let stored = store.map_err(anyhow::Error::from).and_then(|mut store| {
        spool::drain(repo, store.as_mut(), ALSO_STORED)?;
        Ok(store.record(new)?)
    });
    let Execution { id, input, outcome, failure, .. } = &new.execution;
    let failure = failure.as_ref().map(|failure| failure.fingerprint.clone());
    let recorded = |waits: Option<String>| {
        let repeatable = waits.is_none() && input.is_whole() && *outcome != Outcome::Error;
        Recorded { id: id.clone(), outcome: *outcome, failure, waits, repeatable }
    };
    match stored {
        Ok(()) => Ok(recorded(None)),
        Err(away) => match spool::put(repo, config, new) {
            Ok(()) => Ok(recorded(Some(format!("{away:#}")))),
            Err(error) => Err(format!("{away:#}; and it cannot wait on disk: {error:#}")),
        },
    }
}

fn inside(cwd: &Path, root: &Path) -> Option<String> {
    cwd.canonicalize().ok()?.strip_prefix(root).ok()?.to_str().map(str::to_string)
}

/// The captured run as a source tells it.
fn describe(
    tool: &Tool,
    version: Version,
    args: &[OsString],
    cwd: Option<String>,
    captured: &Captured,
    random: [u8; 10],
) -> Observed {
    let bytes = |stream: &Option<Stream>| {
        stream.as_ref().map(|stream| Bytes { bytes: stream.bytes.clone(), truncated: stream.truncated })
    };
    let since = captured.started.duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = Timestamp::UNIX_EPOCH.saturating_add(since).unwrap_or_default();
    let ended = at.saturating_add(captured.duration).unwrap_or(at);
    Observed {
        tool: tool.name.clone(),
        version,
        source: RunName::Ours(ExecutionId::fresh(ended, random)),
        at,
        duration: captured.duration,
        args: args.iter().map(|arg| arg.as_bytes().to_vec()).collect(),
        cwd,
        stdin: bytes(&captured.stdin),
        stdout: bytes(&captured.stdout),
        stderr: bytes(&captured.stderr),
        exit: captured.exit.clone(),
        outcome: None,
        failure: None,
        caller: caller(),
        marked: None,
    }
}
