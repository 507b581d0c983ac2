//! Executions come in: `fractal exec` runs a tool as if it had been run directly, and records what happened.
//!
//! Recording never changes the outcome of the run and never delays its output. What cannot be recorded is said once.

pub mod redact;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use jiff::Timestamp;

use crate::config::Config;
use crate::lang;
use crate::model::{Arg, BlobId, Execution, ExecutionId, Exit, Input, Outcome, StdinUse, Tool, Version};
use crate::world::git::Repo;
use crate::world::passthrough::{self, Captured, Passthrough, Stream};
use crate::world::store::{NewExecution, SqliteStore, Store};
use crate::world::{files, store_path};

/// A run that has ended.
#[derive(Debug)]
pub struct Executed {
    /// How we must end to look like the tool.
    pub ending: Exit,
    /// How the tool ended.
    pub exit: Exit,
    /// The recorded execution, or why there is none.
    pub recorded: Result<ExecutionId, String>,
}

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
            let new = describe(tool, version, args, cwd.as_deref().and_then(|cwd| inside(cwd, repo.root())), &captured, &root);
            store(repo, &new).map(|()| new.execution.id)
        }
        (Ok(None), None) => Err(format!("none of the paths of `{}` exist", tool.name)),
        (Err(error), None) => Err(format!("{error:#}")),
    };
    Executed { ending: captured.ending(), exit: captured.exit, recorded }
}

fn store(repo: &Repo, new: &NewExecution) -> Result<(), String> {
    SqliteStore::open(&store_path(repo)).and_then(|mut store| store.record(new)).map_err(|error| error.to_string())
}

fn inside(cwd: &Path, root: &Path) -> Option<String> {
    cwd.canonicalize().ok()?.strip_prefix(root).ok()?.to_str().map(str::to_string)
}

/// The execution that a captured run is, redacted.
fn describe(
    tool: &Tool,
    version: Version,
    args: &[OsString],
    cwd: Option<String>,
    captured: &Captured,
    root: &str,
) -> NewExecution {
    let raw: Vec<Vec<u8>> = args.iter().map(|arg| arg.as_bytes().to_vec()).collect();
    let redactor = redact::Redactor::of(&raw);
    let redacted = |stream: &Stream| match stream.truncated {
        true => redactor.cut_bytes(&stream.bytes),
        false => redactor.bytes(&stream.bytes),
    };
    let bytes = |stream: &Option<Stream>| stream.as_ref().map(redacted).filter(|bytes| !bytes.is_empty());
    let (stdin, stdout, stderr) = (bytes(&captured.stdin), bytes(&captured.stdout), bytes(&captured.stderr));
    let outcome = tool.success.judge(&captured.exit, captured.stdout.as_ref().map_or(b"", |stream| &stream.bytes));
    let said = stderr.as_deref().unwrap_or_default();
    let at = captured
        .started
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| Timestamp::from_millisecond(since.as_millis() as i64).ok());
    let execution = Execution {
        id: ExecutionId(uuid::Uuid::now_v7().to_string()),
        tool: tool.name.clone(),
        version,
        at: at.unwrap_or(Timestamp::UNIX_EPOCH),
        duration: captured.duration,
        input: Input {
            args: redactor.arguments(&raw).into_iter().map(Arg).collect(),
            stdin: stdin.as_deref().map(BlobId::of),
            cwd,
            truncated: captured.stdin.as_ref().is_some_and(|stream| stream.truncated),
        },
        failure: (outcome == Outcome::Failure).then(|| lang::failure(&captured.exit, said, root)),
        exit: captured.exit.clone(),
        outcome,
        stdout: stdout.as_deref().map(BlobId::of),
        stderr: stderr.as_deref().map(BlobId::of),
        caller: files::variable("FRACTAL_CALLER").unwrap_or_else(|| "exec".into()),
        mark: None,
    };
    NewExecution { execution, stdin, stdout, stderr }
}
