//! The bench: a tool's files at one commit, with or without a patch, on which recorded runs and test suites are run.
//!
//! Every stage that must run something gets a bench; what the runs mean is for the stage to say.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::View;
use super::git::Repo;
use super::process::Finished;
use super::sandbox::{Observed, Sandbox, Scratch, ScratchFile, Unprotected};
use super::trial::Limits;
use crate::config::{UnknownEffects, ValidateConfig};
use crate::lang;
use crate::model::{CommitId, Exit, Failure, FileEdit, Language, Outcome, Patch, Recording, SideEffects, Tool, ToolInput};

/// Why a tool cannot be put on a bench.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("the tool's files are not in commit {0}")]
    Vanished(String),
    #[error(
        "a checkout would hold {files} files and {mib} MiB, more than `[validate] checkout_files` or `checkout_mib` allow; declare what the tool `needs`"
    )]
    TooLarge { files: usize, mib: u64 },
    #[error("{0}")]
    Unsafe(String),
    #[error(transparent)]
    Unprotected(#[from] Unprotected),
    #[error(transparent)]
    World(#[from] anyhow::Error),
}

/// One run on a bench.
#[derive(Clone, Debug)]
pub struct Run {
    pub exit: Exit,
    pub outcome: Outcome,
    pub failure: Option<Failure>,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub duration: Duration,
    /// Processor time, as [`Finished::cpu`] has it.
    pub cpu: Duration,
    /// Most bytes of memory that it held at once, where that is known.
    pub memory: Option<u64>,
}

impl Run {
    /// Whether this run gives what the recorded one should have given: success, and the expected output where a mark says it;
    /// without an expectation a marked output must at least have changed.
    pub fn solves(&self, recording: &Recording) -> bool {
        let answer = match (&recording.expected, &recording.execution.mark) {
            (Some(expected), _) => &self.stdout == expected,
            (None, Some(_)) => self.stdout != recording.stdout,
            (None, None) => true,
        };
        self.outcome == Outcome::Success && answer
    }

    /// Whether this run fails as the recorded one did: the same class of failure, or the same wrong answer.
    pub fn repeats(&self, recording: &Recording) -> bool {
        match (&recording.execution.mark, &recording.execution.failure, &self.failure) {
            (_, Some(recorded), Some(now)) => recorded.class == now.class,
            (Some(_), _, None) => !self.solves(recording),
            _ => false,
        }
    }
}

/// See the module.
#[derive(Clone)]
pub struct Bench<'a> {
    sandbox: &'a Sandbox,
    tool: &'a Tool,
    files: Vec<ScratchFile>,
    time: Duration,
    suite_time: Duration,
    pool: Arc<Pool>,
}

/// Checkouts that are not in use, shared by a bench and its patched variants.
#[derive(Default)]
struct Pool {
    idle: Mutex<Vec<Scratch>>,
    /// Compiled tools run one after the other in one checkout, so that what was built is used again.
    turn: Option<Mutex<()>>,
}

impl<'a> Bench<'a> {
    /// The tool as `commit` has it. `longest` is the longest recorded good run: trials get five times that, at least the floor,
    /// and never more than the tool's own limit.
    ///
    /// # Errors
    /// See [`BenchError`].
    pub fn at(view: &'a View, tool: &'a Tool, commit: &CommitId, longest: Duration) -> Result<Self, BenchError> {
        if let Some(reason) = forbidden(tool, view.config.validate.unknown_effects) {
            return Err(BenchError::Unsafe(reason));
        }
        view.sandbox.ready()?;
        let limits = &view.config.validate;
        let files = checkout(&view.repo, limits, tool, commit)?;
        let time = limits.time_floor.0.max(longest * 5);
        let turn = (tool.language == Language::Rust).then(Mutex::default);
        Ok(Bench {
            sandbox: &view.sandbox,
            tool,
            files,
            time: tool.timeout.map_or(time, |limit| limit.min(time)),
            suite_time: limits.suite_time.0,
            pool: Arc::new(Pool { idle: Mutex::default(), turn }),
        })
    }

    /// The files of the checkout.
    pub fn files(&self) -> &[ScratchFile] {
        &self.files
    }

    /// How long a run, and a test command, may take.
    pub fn limits(&self) -> Limits {
        // A compiled tool may have to be built first.
        let test = if self.pool.turn.is_some() { self.time.max(self.suite_time) } else { self.time };
        Limits { test, command: self.suite_time }
    }

    /// The same bench with a patch applied.
    pub fn with(&self, patch: &Patch) -> Bench<'a> {
        let mut bench = self.clone();
        bench.files.retain(|file| !patch.edits.contains_key(String::from_utf8_lossy(&file.path).as_ref()));
        for (path, edit) in &patch.edits {
            let FileEdit::Write(content) = edit else { continue };
            let mode = self.files.iter().find(|file| file.path == path.as_bytes()).map_or(0o100644, |file| file.mode);
            bench.files.push(ScratchFile { path: path.clone().into_bytes(), mode, content: Arc::new(content.clone()) });
        }
        bench
    }

    /// Runs what was recorded.
    pub fn replay(&self, recording: &Recording) -> Run {
        self.run(&recording.given(), &[])
    }

    /// Runs the tool with an input; `surroundings` are environment variables set over the sandbox's.
    pub fn run(&self, input: &ToolInput, surroundings: &[(&str, &str)]) -> Run {
        let args = input.args.iter().map(|arg| OsString::from_vec(arg.0.clone())).collect();
        let start = Start { args, stdin: input.stdin.clone(), cwd: input.cwd.as_deref().unwrap_or_default(), surroundings };
        self.start(&self.tool.run, start, self.time)
    }

    /// What the tool does with an input, seen by its system calls. Slower than a run.
    pub fn observe(&self, input: &ToolInput) -> Observed {
        let Ok(scratch) = self.sandbox.checkout(&self.files) else { return Observed::default() };
        let root = scratch.root().to_string_lossy().into_owned();
        let mut argv: Vec<OsString> = self.tool.command(&self.tool.run, &root).into_iter().map(OsString::from).collect();
        argv.extend(input.args.iter().map(|arg| OsString::from_vec(arg.0.clone())));
        let cwd = input.cwd.as_deref().unwrap_or_default();
        self.sandbox.observe(&scratch, argv, input.stdin.clone(), cwd, self.time * 4).1
    }

    /// Runs the tool's own tests; `None` when it has none.
    pub fn suite(&self) -> Option<Run> {
        let test = self.tool.test.as_ref()?;
        Some(self.start(test, Start::default(), self.suite_time))
    }

    /// Runs another command in the checkout, such as one new test.
    pub fn command(&self, argv: &[String]) -> Run {
        self.start(argv, Start::default(), self.suite_time)
    }

    /// Calls `run` for every item, as many at a time as the machine has processors, in the order of the items. Once an answer
    /// makes `enough` true no further item is begun; those are `None`.
    pub fn each<T: Sync, R: Send>(
        &self,
        items: &[T],
        run: impl Fn(&T) -> R + Sync,
        enough: impl Fn(&R) -> bool + Sync,
    ) -> Vec<Option<R>> {
        let next = AtomicUsize::new(0);
        let answers: Mutex<Vec<Option<R>>> = Mutex::new(items.iter().map(|_| None).collect());
        let work = || {
            while let Some((at, item)) =
                Some(next.fetch_add(1, Ordering::SeqCst)).and_then(|at| items.get(at).map(|item| (at, item)))
            {
                let answer = run(item);
                if enough(&answer) {
                    next.store(items.len(), Ordering::SeqCst);
                }
                if let Ok(mut answers) = answers.lock() {
                    answers[at] = Some(answer);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.sandbox.workers.min(items.len()) {
                scope.spawn(work);
            }
            work();
        });
        answers.into_inner().unwrap_or_default()
    }

    fn start(&self, template: &[String], start: Start<'_>, time: Duration) -> Run {
        let _turn = self.pool.turn.as_ref().map(Mutex::lock);
        let time = if self.pool.turn.is_some() { time.max(self.suite_time) } else { time };
        let idle = self.pool.idle.lock().ok().and_then(|mut idle| idle.pop());
        let scratch = match idle {
            Some(used) => self.sandbox.refresh(used, &self.files),
            None => self.sandbox.checkout(&self.files),
        };
        let scratch = match scratch {
            Ok(scratch) => scratch,
            Err(error) => return not_started(&error),
        };
        let run = self.run_in(&scratch, template, start, time);
        if let Ok(mut idle) = self.pool.idle.lock() {
            idle.push(scratch);
        }
        run
    }

    fn run_in(&self, scratch: &Scratch, template: &[String], start: Start<'_>, time: Duration) -> Run {
        let root = scratch.root().to_string_lossy().into_owned();
        let mut argv: Vec<OsString> = self.tool.command(template, &root).into_iter().map(OsString::from).collect();
        argv.extend(start.args);
        let finished = self.sandbox.run_with(scratch, argv, start.stdin, start.cwd, start.surroundings, time);
        let Finished { exit, stdout, stderr, duration, cpu, memory, .. } = finished;
        let outcome = match &exit {
            // Nobody interrupts a trial: a signal here is the tool's own doing.
            Exit::Signal(_) => Outcome::Failure,
            exit => self.tool.success.judge(exit, &stdout),
        };
        let failure = (outcome == Outcome::Failure).then(|| lang::failure(&exit, &stderr, &root));
        Run { exit, outcome, failure, stdout, stderr, duration, cpu, memory }
    }
}

/// What a process gets besides its command.
#[derive(Default)]
struct Start<'s> {
    args: Vec<OsString>,
    stdin: Vec<u8>,
    cwd: &'s str,
    surroundings: &'s [(&'s str, &'s str)],
}

fn not_started(error: &anyhow::Error) -> Run {
    Run {
        exit: Exit::NotStarted(format!("{error:#}")),
        outcome: Outcome::Error,
        failure: None,
        stdout: Vec::new(),
        stderr: Vec::new(),
        duration: Duration::ZERO,
        cpu: Duration::ZERO,
        memory: None,
    }
}

/// What a checkout of the tool needs: nothing named means everything.
pub(super) fn wanted(tool: &Tool) -> Vec<String> {
    match tool.needs.is_empty() {
        true => Vec::new(),
        false => tool.paths.iter().chain(&tool.tests).chain(&tool.needs).cloned().collect(),
    }
}

/// The files of a checkout of the tool as `commit` has it.
///
/// # Errors
/// When the tool is not there, or the checkout is larger than it may be.
pub(super) fn checkout(
    repo: &Repo,
    limits: &ValidateConfig,
    tool: &Tool,
    commit: &CommitId,
) -> Result<Vec<ScratchFile>, BenchError> {
    if repo.files_at(commit, &tool.paths)?.is_empty() {
        return Err(BenchError::Vanished(commit.short().to_string()));
    }
    let listed = repo.files_at(commit, &wanted(tool))?;
    let (mut files, mut size) = (Vec::with_capacity(listed.len()), 0_u64);
    for file in listed.iter().take(limits.checkout_files + 1) {
        let content = if file.mode == 0o160000 { Vec::new() } else { repo.blob(file.oid)? };
        size += content.len() as u64;
        if files.len() == limits.checkout_files || size > limits.checkout_mib << 20 {
            return Err(BenchError::TooLarge { files: listed.len(), mib: size >> 20 });
        }
        files.push(ScratchFile { path: file.path.clone(), mode: file.mode, content: Arc::new(content) });
    }
    Ok(files)
}

/// The files that a bench of the tool would have; nothing is run.
///
/// # Errors
/// When the tool is not there, or the checkout is larger than it may be.
pub fn files(view: &View, tool: &Tool, commit: &CommitId) -> Result<Vec<ScratchFile>, BenchError> {
    checkout(&view.repo, &view.config.validate, tool, commit)
}

/// Why recorded runs of this tool may not be repeated.
pub fn forbidden(tool: &Tool, unknown: UnknownEffects) -> Option<String> {
    match (tool.effects, unknown) {
        (SideEffects::None | SideEffects::Files, _) | (SideEffects::Unknown, UnknownEffects::Run) => None,
        (SideEffects::Unknown, _) => Some(format!(
            "nobody has said what `{}` does to the world, so its recorded runs are not repeated; declare `effects = \"none\"` or \
             `\"files\"` for it in fractal.toml, or set `[validate] unknown_effects = \"observe\"`",
            tool.name
        )),
        (SideEffects::Network, _) => {
            Some(format!("`{}` talks to the network, so its recorded runs are never repeated", tool.name))
        }
        (SideEffects::Destructive, _) => Some(format!("`{}` is destructive, so its recorded runs are never repeated", tool.name)),
    }
}
