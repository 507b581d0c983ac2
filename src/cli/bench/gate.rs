//! `fractal bench gate`: right and wrong patches through the gate, on tools whose bugs are known.
//!
//! Each case becomes a repository with recorded runs; detection, investigation and gate are those of the loop. Owns the form of the
//! cases and the counting.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::in_parallel;
use crate::cli::{Failure, Outcome, Output, now, render};
use crate::config::{Config, NewAnswers, ToolConfig};
use crate::model::{
    Arg, Candidate, CommitId, FileEdit, Investigation, Language, Level, Opportunity, Patch, Tool, ToolInput, Trust, Verdict,
    Version,
};
use crate::record::{Intake, Observed, RunName};
use crate::validate::Gate;
use crate::world::bench::{Bench, Run};
use crate::world::clock::Clock;
use crate::world::git::{Identity, Repo};
use crate::world::sandbox::{Sandbox, Scratch};
use crate::world::store;
use crate::world::{View, catalog, character, files};
use crate::{detect, investigate};

/// Take right and wrong patches through the gate, and count which of them would land
///
/// A case is a TOML file: a tool with a bug, the runs that were recorded of it, one right patch and several wrong ones, each with the
/// kind of its mistake. Every case becomes a repository of its own; its runs are recorded, detected and investigated as in the loop.
#[derive(Args)]
pub(super) struct GateBench {
    /// Files of cases
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only cases whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Only patches of this kind, such as `correct` or `overfits`; may be given again
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,
    /// Leave out what runs that failed by themselves should have answered, as if nobody had said it
    #[arg(long)]
    unmarked: bool,
    /// Judge as with `[validate] new_answers = "review"`
    #[arg(long)]
    strict: bool,
    /// Cases at the same time
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: usize,
    #[command(flatten)]
    output: Output,
}

/// A tool with a bug, and patches for it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(skip)]
    name: String,
    title: String,
    language: Language,
    tool: ToolConfig,
    #[serde(default)]
    other: Vec<ToolConfig>,
    files: BTreeMap<String, String>,
    run: Vec<RunLine>,
    correct: PatchLine,
    #[serde(default)]
    wrong: Vec<PatchLine>,
}

/// One recorded run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RunLine {
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    stdin: String,
    tool: Option<String>,
    /// The run failed, or its answer was wrong; this is the right one.
    expected: Option<String>,
    /// Only where the answer looked good.
    #[serde(skip)]
    unmarked: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PatchLine {
    /// What is wrong with it.
    #[serde(default)]
    kind: String,
    why: String,
    edit: Vec<EditLine>,
}

/// `old`, which occurs once, becomes `new`; without `old` the file is new, without `new` it is removed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EditLine {
    path: String,
    old: Option<String>,
    new: Option<String>,
}

/// What became of one case.
#[derive(Clone, Debug, Serialize)]
struct Answer {
    case: String,
    language: Language,
    /// Why the case could not be judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    patches: Vec<Judged>,
}

#[derive(Clone, Debug, Serialize)]
struct Judged {
    /// `correct`, or the kind of mistake.
    kind: String,
    why: String,
    level: Level,
    verdict: Verdict,
    seconds: f64,
}

/// A tool's run when it is recorded may take this long.
const LONGEST: Duration = Duration::from_secs(5);

impl GateBench {
    pub(super) fn run(self) -> Outcome {
        let mut cases = Vec::new();
        for file in &self.files {
            cases.push(read(file).map_err(|why| {
                Failure::mistake(format!("{}: {why:#}", file.display()), "see tests/data/gate/README.md for the form")
            })?);
        }
        for run in cases.iter_mut().flat_map(|case: &mut Case| &mut case.run).filter(|_| self.unmarked) {
            run.unmarked = true;
        }
        cases.retain(|case| self.only.as_ref().is_none_or(|text| case.name.contains(text)));
        let answered = |case: &Case| {
            let answer = answer(case, &self.kind, self.strict);
            if self.output.json {
                render::say_json(&answer);
            }
            answer
        };
        let answers = in_parallel(&cases, self.jobs, answered, |answer| answer.case.clone());
        if !self.output.json {
            say(&answers);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn read(path: &Path) -> Result<Case> {
    let text = String::from_utf8(files::read(path)?).context("the text is not UTF-8")?;
    let mut case: Case = toml::from_str(&text)?;
    case.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let edits = case.wrong.iter().chain([&case.correct]).flat_map(|patch| &patch.edit).map(|edit| &edit.path);
    let outside = |path: &&String| path.is_empty() || path.starts_with('/') || path.split('/').any(|part| part == "..");
    if let Some(path) = case.files.keys().chain(edits).find(outside) {
        bail!("`{path}` is not a path below the case's folder");
    }
    for patch in case.wrong.iter().chain([&case.correct]) {
        case.patch(patch).with_context(|| format!("the patch `{}`", patch.kind))?;
    }
    Ok(case)
}

impl Case {
    fn patch(&self, line: &PatchLine) -> Result<Patch> {
        let mut patch = Patch::default();
        for edit in &line.edit {
            let text = match patch.edits.get(&edit.path) {
                Some(FileEdit::Write(content)) => Some(String::from_utf8_lossy(content).into_owned()),
                Some(FileEdit::Delete) => None,
                None => self.files.get(&edit.path).cloned(),
            };
            let written = match (&edit.old, &edit.new, text) {
                (_, None, _) => FileEdit::Delete,
                (None, Some(new), _) => FileEdit::Write(new.clone().into_bytes()),
                (Some(old), Some(new), Some(text)) => {
                    let times = text.matches(old.as_str()).count();
                    ensure!(times == 1, "what is replaced in `{}` occurs {times} times: {old:?}", edit.path);
                    FileEdit::Write(text.replacen(old.as_str(), new, 1).into_bytes())
                }
                (Some(_), Some(_), None) => bail!("there is no `{}` to edit", edit.path),
            };
            patch.edits.insert(edit.path.clone(), written);
        }
        Ok(patch)
    }
}

fn answer(case: &Case, kinds: &[String], strict: bool) -> Answer {
    let mut answer = Answer { case: case.name.clone(), language: case.language, error: None, patches: Vec::new() };
    if let Err(error) = judge_all(case, kinds, strict, &mut answer.patches) {
        answer.error = Some(format!("{error:#}"));
    }
    answer
}

fn judge_all(case: &Case, kinds: &[String], strict: bool, judged: &mut Vec<Judged>) -> Result<()> {
    let scene = Scene::set(case, strict)?;
    let character = character::of(&scene.view, &scene.tool, &scene.investigation.commit)?;
    let gate = Gate::open(&scene.view, (&scene.tool, &character), &scene.opportunity, &scene.investigation)?;
    let all = [(&case.correct, "correct")].into_iter().chain(case.wrong.iter().map(|line| (line, line.kind.as_str())));
    for (line, kind) in all.filter(|(_, kind)| kinds.is_empty() || kinds.iter().any(|wanted| wanted == kind)) {
        let candidate = Candidate {
            strategy: "bench".into(),
            source: kind.into(),
            title: line.why.clone(),
            trust: Trust::Land,
            patch: case.patch(line)?,
            rank: 1.0,
        };
        let begun = crate::world::clock::Stopwatch::start();
        let verdict = gate.judge(&candidate).verdict;
        let seconds = begun.elapsed().as_secs_f64();
        judged.push(Judged { kind: kind.into(), why: line.why.clone(), level: verdict.level, verdict, seconds });
    }
    Ok(())
}

/// A case as the loop would find it after a day.
struct Scene {
    /// Holds the repository, and goes away with it.
    _folder: Scratch,
    view: View,
    tool: Tool,
    opportunity: Opportunity,
    investigation: Investigation,
}

impl Scene {
    fn set(case: &Case, strict: bool) -> Result<Scene> {
        let sandbox = Sandbox::new("bench", &[], 2 << 30);
        sandbox.remove_lost();
        let folder = sandbox.checkout(&[])?;
        let tools = [&case.tool].into_iter().chain(&case.other).cloned().collect();
        let mut config = Config { tools, ..Config::default() };
        if strict {
            config.validate.new_answers = NewAnswers::Review;
        }
        let written = case.files.iter().map(|(path, text)| (path.clone(), FileEdit::Write(text.clone().into_bytes())));
        let patch = Patch { edits: written.collect() };
        let by = Identity { name: "Fractal".into(), email: "fractal@localhost".into() };
        let (repo, commit) = Repo::begin(folder.root(), &patch, &case.title, &by, now().now())?;
        let store = store::open(&repo, &config)?;
        let mut view = View { repo, store, clock: Clock::System, sandbox, config, base: "main".into(), forge: None };
        let tools = catalog::declared(&view.config);
        for tool in &tools {
            record(case, &mut view, tool, &commit)?;
        }
        let tool = tools.first().cloned().context("a bug: the declared tool is not in the catalog")?;
        let mut found = detect::detect(&view, std::slice::from_ref(&tool), &commit)?.opportunities;
        found.sort_by_key(|opportunity| std::cmp::Reverse(opportunity.failures));
        let opportunity = found.into_iter().next().context("the recorded runs raise no opportunity")?;
        let investigation = investigate::investigate(&view, &tool, &opportunity, &commit)?;
        if let Some(why) = investigation.conclusion.why_not() {
            bail!("the investigation ends with: {why}");
        }
        Ok(Scene { _folder: folder, view, tool, opportunity, investigation })
    }
}

/// Runs the recorded inputs of a tool and stores them as executions.
fn record(case: &Case, view: &mut View, tool: &Tool, commit: &CommitId) -> Result<()> {
    let own = |line: &&RunLine| line.tool.as_deref().unwrap_or(&case.tool.name) == tool.name;
    let lines: Vec<&RunLine> = case.run.iter().filter(own).collect();
    let version = view.repo.version_at(commit, &tool.paths)?.context("none of the tool's paths are in the case's files")?;
    let runs: Vec<Run> = {
        let bench = Bench::at(view, tool, commit, LONGEST)?;
        let run = |line: &&RunLine| bench.run(&line.input(), &[]);
        bench.each(&lines, run, |_| false).into_iter().flatten().collect()
    };
    let config = view.config.clone();
    let intake = Intake::new(&config, "");
    for (at, (line, run)) in lines.iter().zip(runs).enumerate() {
        let observed = line.observed(tool, &version, at, run);
        view.store.record(&intake.admit(&tool.success, observed))?;
    }
    Ok(())
}

impl RunLine {
    fn input(&self) -> ToolInput {
        let args = self.args.iter().map(|arg| Arg::from(arg.as_str())).collect();
        ToolInput { args, stdin: self.stdin.clone().into_bytes(), cwd: Some(String::new()) }
    }

    fn observed(&self, tool: &Tool, version: &Version, at: usize, run: Run) -> Observed {
        let text = |bytes: &[u8]| Some(String::from_utf8_lossy(bytes).as_ref().into());
        let failed = tool.success.judge(&run.exit, &run.stdout) == crate::model::Outcome::Failure;
        let wrong =
            self.expected.as_ref().filter(|expected| if failed { !self.unmarked } else { expected.as_bytes() != run.stdout });
        Observed {
            tool: tool.name.clone(),
            version: version.clone(),
            source: RunName::of(&["bench", &tool.name, &at.to_string()]),
            at: now().now(),
            duration: run.duration,
            args: self.args.iter().map(|arg| arg.clone().into_bytes()).collect(),
            cwd: Some(String::new()),
            stdin: (!self.stdin.is_empty()).then(|| self.stdin.as_str().into()),
            stdout: text(&run.stdout),
            stderr: text(&run.stderr),
            exit: run.exit,
            outcome: None,
            failure: None,
            caller: "bench".into(),
            marked: wrong.map(|expected| Some(expected.clone().into_bytes())),
        }
    }
}

fn say(answers: &[Answer]) {
    let mut kinds: BTreeMap<(bool, &str), Vec<Level>> = BTreeMap::new();
    for patch in answers.iter().flat_map(|answer| &answer.patches) {
        kinds.entry((patch.kind != "correct", patch.kind.as_str())).or_default().push(patch.level);
    }
    let rows = kinds.iter().map(|((_, kind), levels)| {
        let count = |wanted: Level| levels.iter().filter(|level| **level == wanted).count().to_string();
        let [land, review, draft, abstain] = [Level::Land, Level::Review, Level::Draft, Level::Abstain].map(count);
        [kind.to_string(), levels.len().to_string(), land, review, draft, abstain]
    });
    render::say(&render::table(["patch", "cases", "land", "review", "draft", "abstain"], rows));
    let is_correct = |patch: &&Judged| patch.kind == "correct";
    let count = |correct: bool, landed: bool| {
        let all = answers.iter().flat_map(|answer| &answer.patches);
        all.filter(|patch| is_correct(patch) == correct && (!landed || patch.level == Level::Land)).count()
    };
    let (right, wrong) = (count(true, false), count(false, false));
    render::say(&format!("{} of {right} right patches land, {} of {wrong} wrong ones do", count(true, true), count(false, true)));
    for answer in answers {
        for patch in answer.patches.iter().filter(|patch| is_correct(patch) != (patch.level == Level::Land)) {
            let doubt = patch.verdict.doubts.first().map_or_else(|| patch.why.clone(), Clone::clone);
            render::say(&format!("{} {}: {}: {doubt}", answer.case, patch.kind, patch.level));
        }
        if let Some(error) = &answer.error {
            render::say(&format!("{}: {error}", answer.case));
        }
    }
}
