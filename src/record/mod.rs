//! Executions come in: `fractal exec` runs a tool as if it had been run directly, and records what happened.
//!
//! Recording never changes the outcome of the run and never delays its output. What cannot be recorded is said once.

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
mod writer;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use jiff::Timestamp;

pub use self::observed::{Bytes, Intake, Observed, RunName, Said};
use crate::config::Config;
use crate::model::{ExecutionId, Exit, NewExecution, StdinUse, Tool, Version};
use crate::world::git::Repo;
use crate::world::passthrough::{self, Captured, Passthrough, Stream};
use crate::world::{files, store};

/// A run that has ended.
#[derive(Debug)]
pub struct Executed {
    /// How we must end to look like the tool.
    pub ending: Exit,
    /// How the tool ended.
    pub exit: Exit,
    /// The recorded execution, or why there is none.
    pub recorded: Result<Recorded, String>,
}

/// A run that will not be lost.
#[derive(Debug)]
pub struct Recorded {
    pub id: ExecutionId,
    /// Why it waits on disk instead of being stored.
    pub waits: Option<String>,
}

/// Runs that waited and that `exec` stores along with its own; the loop stores the rest.
const ALSO_STORED: usize = 64;

/// Runs `tool` with `args` in the current directory with our standard streams, and records it.
pub fn exec(repo: &Repo, config: &Config, tool: &Tool, args: &[OsString]) -> Executed {
    let root = repo.root().to_string_lossy().into_owned();
    let mut argv: Vec<OsString> = tool.command(&tool.run, &root).into_iter().map(OsString::from).collect();
    argv.extend_from_slice(args);
    // Before the run: a tool may change its own files.
    let version = repo.version_in_work_tree(&tool.paths);
    let cwd = files::current_dir().ok();
    let captured = passthrough::run(&Passthrough {
        argv: &argv,
        limit: config.record.limit_kib << 10,
        timeout: tool.timeout,
        capture_stdin: tool.stdin == StdinUse::Capture,
    });
    let recorded = match (version, &captured.lost) {
        (_, Some(lost)) => Err(lost.clone()),
        (Ok(Some(version)), None) => {
            let cwd = cwd.as_deref().and_then(|cwd| inside(cwd, repo.root()));
            let observed = describe(tool, version, args, cwd, &captured);
            let new = Intake::new(config, &root).knowing(&files::environment()).admit(&tool.success, observed);
            keep(repo, config, &new)
        }
        (Ok(None), None) => Err(format!("none of the paths of `{}` exist", tool.name)),
        (Err(error), None) => Err(format!("{error:#}")),
    };
    Executed { ending: captured.ending(), exit: captured.exit, recorded }
}

/// Stores the execution after those that wait, or lets it wait too.
fn keep(repo: &Repo, config: &Config, new: &NewExecution) -> Result<Recorded, String> {
    let stored = store::open_briefly(repo, config).map_err(anyhow::Error::from).and_then(|mut store| {
        spool::drain(repo, store.as_mut(), ALSO_STORED)?;
        Ok(store.record(new)?)
    });
    let id = new.execution.id.clone();
    match stored {
        Ok(()) => Ok(Recorded { id, waits: None }),
        Err(away) => match spool::put(repo, config, new) {
            Ok(()) => Ok(Recorded { id, waits: Some(format!("{away:#}")) }),
            Err(error) => Err(format!("{away:#}; and it cannot wait on disk: {error:#}")),
        },
    }
}

fn inside(cwd: &Path, root: &Path) -> Option<String> {
    cwd.canonicalize().ok()?.strip_prefix(root).ok()?.to_str().map(str::to_string)
}

/// The captured run as a source tells it.
fn describe(tool: &Tool, version: Version, args: &[OsString], cwd: Option<String>, captured: &Captured) -> Observed {
    let bytes = |stream: &Option<Stream>| {
        stream.as_ref().map(|stream| Bytes { bytes: stream.bytes.clone(), truncated: stream.truncated })
    };
    let since = captured.started.duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = Timestamp::UNIX_EPOCH.saturating_add(since).unwrap_or_default();
    let ended = at.saturating_add(captured.duration).unwrap_or(at);
    Observed {
        tool: tool.name.clone(),
        version,
        source: RunName::Ours(ExecutionId::fresh(ended, files::random())),
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
        caller: files::variable("FRACTAL_CALLER").unwrap_or_else(|| "exec".into()),
        marked: None,
    }
}
