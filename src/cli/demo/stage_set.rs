//! The demo's stage set: the sample repository, its history, and the calls of its tools. Everything in it can be repeated.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};
use include_dir::{Dir, include_dir};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::cli::now;
use crate::model::{Counts, Exit, Outcome};
use crate::world::process::{self, Spawn};
use crate::world::store::{self, Query, SqliteStore, Store, Which};
use crate::world::{files, git, sandbox};

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates/demo");
const STEP_TIME: std::time::Duration = std::time::Duration::from_secs(120);
/// Ending of a step that a person commits after the tools have run.
const LATER: &str = "-later";

/// When a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Phase {
    /// Before anything is improved.
    Recorded,
    /// After a person's commit broke a tool.
    Broken,
    /// After improvements have landed.
    Live,
}

impl Phase {
    fn caller(self) -> &'static str {
        match self {
            Phase::Recorded => "demo:recorded:",
            Phase::Broken => "demo:broken:",
            Phase::Live => "demo:live:",
        }
    }
}

#[derive(Deserialize)]
struct Call {
    phase: Phase,
    tool: String,
    args: Vec<String>,
    stdin: Option<String>,
    mark: Option<MarkCall>,
}

#[derive(Deserialize)]
struct MarkCall {
    expect: Option<String>,
}

/// See the module.
pub(super) struct StageSet {
    dir: PathBuf,
    repository: PathBuf,
    calls: Vec<Call>,
    missing: BTreeMap<String, String>,
    pub(super) commits: usize,
}

impl StageSet {
    /// Makes the repository in `dir`, or takes the one that an earlier demo left there.
    pub(super) fn unpack(dir: &Path) -> Result<StageSet> {
        let repository = dir.join("repository");
        if dir.exists() && !repository.exists() && files::is_full(dir) {
            bail!("`{}` exists and is not a demo's folder; name another with `--dir`", dir.display());
        }
        let calls = FILES.get_file("traffic.jsonl").and_then(|file| file.contents_utf8()).context("the demo has no traffic")?;
        let calls = calls.lines().map(serde_json::from_str).collect::<Result<Vec<Call>, _>>()?;
        if let Some(data) = FILES.get_dir("data") {
            for file in data.files() {
                files::overwrite(&dir.join(file.path()), file.contents(), false)?;
            }
        }
        files::make_folder(&repository)?;
        let mut set = StageSet { dir: dir.to_path_buf(), repository, calls, missing: BTreeMap::new(), commits: 0 };
        set.dir = set.dir.canonicalize()?;
        set.repository = set.repository.canonicalize()?;
        set.git(&["init", "--quiet", "--initial-branch=main"], &[])?;
        let steps = steps();
        set.commits = steps.iter().filter(|step| !step.ends_with(LATER)).count();
        for (age, step) in (1..=steps.len() as i64).rev().zip(&steps) {
            if !step.ends_with(LATER) {
                set.commit(step, now().now() - SignedDuration::from_hours(24 * 3 * age))?;
            }
        }
        set.find_missing()?;
        Ok(set)
    }

    pub(super) fn repository(&self) -> &Path {
        &self.repository
    }

    /// Tools that cannot run here, and why.
    pub(super) fn left_out(&self) -> impl Iterator<Item = &String> {
        self.missing.values()
    }

    /// The commits of people that come after the tools have run.
    pub(super) fn commit_of_a_person(&self) -> Result<()> {
        for step in steps().iter().filter(|step| step.ends_with(LATER)) {
            self.commit(step, now().now())?;
        }
        Ok(())
    }

    fn commit(&self, step: &str, at: Timestamp) -> Result<()> {
        let text = |file: &str| FILES.get_file(format!("history/{step}/{file}")).and_then(|file| file.contents_utf8());
        let message = text("message.txt").with_context(|| format!("step {step} has no message"))?;
        let (author, message) = message.split_once("\n\n").context("a message needs an author line")?;
        let author = author.trim_start_matches("author: ");
        let subject = message.lines().next().unwrap_or_default();
        let known = self.git(&["log", "--all", "--format=%s"], &[]).unwrap_or_default();
        if known.lines().any(|line| line == subject) {
            return Ok(());
        }
        let root = format!("history/{step}/files");
        let folder = FILES.get_dir(&root).with_context(|| format!("step {step} has no files"))?;
        self.write_files(folder, &root)?;
        self.git(&["add", "--all"], &[])?;
        let (name, mail) = author.split_once('<').context("an author needs a mail address")?;
        let (name, mail, date) = (name.trim(), mail.trim_end_matches('>'), format!("{} +0000", at.as_second()));
        let who = [
            ("GIT_AUTHOR_NAME", name),
            ("GIT_AUTHOR_EMAIL", mail),
            ("GIT_AUTHOR_DATE", &date),
            ("GIT_COMMITTER_NAME", name),
            ("GIT_COMMITTER_EMAIL", mail),
            ("GIT_COMMITTER_DATE", &date),
        ];
        self.git(&["commit", "--quiet", "-m", message.trim()], &who)?;
        Ok(())
    }

    fn write_files(&self, folder: &Dir<'_>, root: &str) -> Result<()> {
        for file in folder.files() {
            let path = file.path().strip_prefix(root)?;
            // A manifest of the sample must not look like one of ours.
            let path = path.to_str().map(|path| path.trim_end_matches(".in")).context("a sample's path is not UTF-8")?;
            files::overwrite(&self.repository.join(path), file.contents(), file.contents().starts_with(b"#!"))?;
        }
        folder.dirs().try_for_each(|inner| self.write_files(inner, root))
    }

    fn git(&self, arguments: &[&str], env: &[(&str, &str)]) -> Result<String> {
        let argv = std::iter::once("git").chain(arguments.iter().copied()).map(Into::into).collect();
        // The user's own settings (signing, hooks) are not the demo's business.
        let own = [("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_SYSTEM", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")];
        let env = own.iter().chain(env).map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let done = process::run(&Spawn { env, ..Spawn::new(argv, &self.repository, STEP_TIME) });
        if done.exit != Exit::Code(0) {
            bail!("git {}: {}: {}", arguments[0], done.exit, String::from_utf8_lossy(&done.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    fn find_missing(&mut self) -> Result<()> {
        let config = crate::world::read_config(&git::Repo::open(&self.repository)?)?;
        for tool in &config.tools {
            let program = tool.run.first().map(String::as_str).unwrap_or_default();
            if !files::has_program(program) {
                self.missing.insert(tool.name.clone(), format!("{}: `{program}` is not installed", tool.name));
            }
        }
        Ok(())
    }

    fn of(&self, phase: Phase) -> Vec<(usize, &Call)> {
        let wanted = |(_, call): &(usize, &Call)| call.phase == phase && !self.missing.contains_key(&call.tool);
        self.calls.iter().enumerate().filter(wanted).collect()
    }

    /// How many calls a phase has.
    pub(super) fn calls(&self, phase: Phase) -> usize {
        self.of(phase).len()
    }

    /// Makes the calls of a phase that were not made yet; returns how many those were.
    pub(super) fn play(&self, phase: Phase, made: &(dyn Fn() + Sync)) -> Result<usize> {
        let known = self.callers(phase)?;
        let open: Vec<(usize, &Call)> = self.of(phase).into_iter().filter(|(line, _)| !known.contains(line)).collect();
        let next = AtomicUsize::new(0);
        let failed: Mutex<Option<anyhow::Error>> = Mutex::new(None);
        let work = || {
            while let Some((line, call)) = open.get(next.fetch_add(1, Ordering::SeqCst)) {
                if let Err(error) = self.call(*line, call) {
                    next.store(open.len(), Ordering::SeqCst);
                    if let Ok(mut failed) = failed.lock() {
                        failed.get_or_insert(error);
                    }
                }
                made();
            }
        };
        let workers = std::thread::available_parallelism().map_or(2, usize::from).clamp(1, 4);
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(work);
            }
        });
        match failed.into_inner() {
            Ok(Some(error)) => Err(error),
            _ => self.mark(phase).map(|()| open.len()),
        }
    }

    fn call(&self, line: usize, call: &Call) -> Result<()> {
        let data = self.dir.join("data");
        let args = call.args.iter().map(|arg| arg.replace("{data}", &data.to_string_lossy()));
        let own = files::own_executable()?;
        let mut argv: Vec<std::ffi::OsString> = vec![own.into(), "exec".into(), call.tool.clone().into(), "--".into()];
        argv.extend(args.map(Into::into));
        let env = vec![
            ("FRACTAL_CALLER".into(), format!("{}{line}", call.phase.caller()).into()),
            ("PATH".into(), sandbox::direct_path()),
        ];
        let stdin = call.stdin.clone().unwrap_or_default().into_bytes();
        let done = process::run(&Spawn { env, stdin, ..Spawn::new(argv, &self.repository, STEP_TIME) });
        let said = String::from_utf8_lossy(&done.stderr);
        if let Some(problem) = said.lines().find(|line| line.starts_with("fractal: ")) {
            bail!("running `{}`: {problem}", call.tool);
        }
        Ok(())
    }

    /// What people say about answers that were wrong although they looked right.
    fn mark(&self, phase: Phase) -> Result<()> {
        let wanted: BTreeMap<String, &MarkCall> = self
            .of(phase)
            .into_iter()
            .filter_map(|(line, call)| Some((format!("{}{line}", phase.caller()), call.mark.as_ref()?)))
            .collect();
        let mut store = self.store()?;
        for tool in self.tools() {
            for execution in store.executions(&everything(&tool))? {
                if let Some(mark) = wanted.get(&execution.caller)
                    && execution.mark.is_none()
                {
                    store.mark_bad(&execution.id, mark.expect.as_ref().map(|text| text.as_bytes()))?;
                }
            }
        }
        Ok(())
    }

    fn tools(&self) -> BTreeSet<String> {
        self.calls.iter().map(|call| call.tool.clone()).collect()
    }

    fn store(&self) -> Result<SqliteStore> {
        Ok(SqliteStore::open(&store::path(&git::Repo::open(&self.repository)?))?)
    }

    fn callers(&self, phase: Phase) -> Result<BTreeSet<usize>> {
        let store = self.store()?;
        let mut lines = BTreeSet::new();
        for tool in self.tools() {
            let callers = store.executions(&everything(&tool))?;
            lines.extend(callers.iter().filter_map(|e| e.caller.strip_prefix(phase.caller())?.parse::<usize>().ok()));
        }
        Ok(lines)
    }

    /// Runs and failures of a phase by tool.
    pub(super) fn counts(&self, phase: Phase) -> Result<BTreeMap<String, Counts>> {
        let store = self.store()?;
        let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
        for tool in self.tools() {
            for execution in store.executions(&everything(&tool))?.iter().filter(|e| e.caller.starts_with(phase.caller())) {
                let own = counts.entry(tool.clone()).or_default();
                own.runs += 1;
                own.failures += u64::from(execution.outcome == Outcome::Failure);
            }
        }
        Ok(counts)
    }

    /// The history as plain git shows it.
    pub(super) fn graph(&self) -> Result<String> {
        let format = "--format=%h %an: %s%d%n%N";
        let text = self.git(&["log", "--graph", "--notes=fractal", format, "--branches"], &[])?;
        // Of a note, only what it says first: `git log --notes=fractal` shows all of it.
        let is_detail = |line: &str| {
            let rest = line.trim_start_matches(['|', ' ', '*', '\\', '/']);
            rest.is_empty()
                || ["When detected", "Before, without", "After:", "Fractal-Id:"].iter().any(|detail| rest.starts_with(detail))
        };
        Ok(text.lines().filter(|line| !is_detail(line)).collect::<Vec<_>>().join("\n"))
    }
}

fn everything(tool: &str) -> Query<'_> {
    Query { tool: Some(tool), which: Which::Counted, limit: 100_000, ..Query::default() }
}

fn steps() -> Vec<String> {
    let mut steps: Vec<String> = FILES
        .get_dir("history")
        .into_iter()
        .flat_map(Dir::dirs)
        .filter_map(|dir| Some(dir.path().file_name()?.to_str()?.to_string()))
        .collect();
    steps.sort();
    steps
}
