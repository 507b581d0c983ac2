//! `fractal bench repair`: every case repaired by the search that the loop uses, and judged by the tests that it was not shown.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::asked;
use super::cases::{self, Case};
use super::in_parallel;
use crate::cli::render::{self, Paint};
use crate::cli::{Failure, Outcome, Output, now};
use crate::config::{Config, ToolConfig};
use crate::improve::{self, Budget, Known, Oracle, SearchError, Stopped};
use crate::model::{CommitId, Cost, FileEdit, Patch, SideEffects, Test, TestRun, Tool};
use crate::world::clock::thread_cpu;
use crate::world::git::{Identity, Repo};
use crate::world::sandbox::{Sandbox, Scratch, ScratchFile};
use crate::world::{catalog, files, trial};

const FORM: &str = "A file has one JSON object a line: `id`, `language`, `path`, `source` (with a bug), `support` (other files, by path) and \
`tests` (each with `name` and `code`). The code of a test is a program beside the tool that ends with 0 when it passes; in Rust, the body of a \
function behind the tool's own code.\n\nA patch is plausible when it passes every test that was shown, and correct when it also passes the others.";

/// Repairs every case, and counts.
#[derive(clap::Args)]
#[command(after_help = FORM)]
pub(in crate::cli) struct Repair {
    /// Files of cases
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Which tests the search may see
    #[arg(long, value_enum, default_value_t = Seen::All)]
    seen: Seen,
    /// Cases that are repaired side by side
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: usize,
    /// Only the cases whose id contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Candidates that are tried for each case
    #[arg(long, value_name = "N", default_value_t = Budget::default().candidates)]
    candidates: usize,
    /// Processor time for each case, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = Budget::default().cpu.as_secs())]
    cpu: u64,
    /// Strategies that repair each case, each by itself; what one adds to those before it is counted
    #[arg(long = "strategy", value_enum, value_delimiter = ',', value_name = "STRATEGY", default_values_t = [Way::Template])]
    strategies: Vec<Way>,
    /// A fractal.toml whose `[model]` and `[budget]` count; for each case, the budget is an opportunity's
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A folder in which questions and answers are kept, and found again
    #[arg(long, value_name = "FOLDER")]
    recordings: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Way {
    /// Fix templates and operators, and the search over them
    Template,
    /// A language model
    Model,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Seen {
    /// Every test
    All,
    /// Half of the tests, chosen by hash
    Half,
}

/// What became of one case.
#[derive(Clone, Debug, Serialize)]
struct Answer {
    id: String,
    strategy: Way,
    /// What it cost to ask somebody else.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<Cost>,
    /// `correct`, `plausible` (passes what was shown, not the rest), or why there is no patch.
    result: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// Candidates that had been tried when the patch was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    rank: Option<usize>,
    /// Plausible patches that were found.
    plausible: usize,
    tried: usize,
    cpu_seconds: f64,
    /// The plausible patches, best first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    patches: Vec<Ranked>,
}

/// One plausible patch.
#[derive(Clone, Debug, Serialize)]
struct Ranked {
    template: String,
    /// Suspicion, weight and size together.
    worth: f64,
    size: usize,
    /// Patches that answer alike to other inputs have the same number.
    cluster: Option<usize>,
    /// Whether it also passes the tests that were not shown.
    correct: bool,
}

/// A test that a case brings may take this long on the untouched program.
const LONGEST: Duration = Duration::from_secs(5);

impl Repair {
    pub(super) fn run(self) -> Outcome {
        let mut all = Vec::new();
        for file in &self.files {
            all.extend(cases::read(file).map_err(|why| Failure::mistake(why, "see `fractal bench repair --help` for the form"))?);
        }
        all.retain(|case| self.only.as_ref().is_none_or(|text| case.id.contains(text)));
        let config = self.read_config()?;
        let all: Vec<(Case, Way)> =
            all.into_iter().flat_map(|case| self.strategies.iter().map(move |way| (case.clone(), *way))).collect();
        let answered = |(case, way): &(Case, Way)| {
            let answer = self.answer(case, *way, &config);
            if self.output.json {
                render::say_json(&answer);
            }
            answer
        };
        let answers = in_parallel(&all, self.jobs, answered, |answer| format!("{}: {}", answer.id, answer.result));
        if !self.output.json {
            for way in &self.strategies {
                let own: Vec<Answer> = answers.iter().filter(|answer| answer.strategy == *way).cloned().collect();
                say(&own, self.seen);
            }
            self.compare(&answers);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn answer(&self, case: &Case, way: Way, config: &Config) -> Answer {
        let (seen, hidden) = match self.seen {
            Seen::All => (case.tests.clone(), Vec::new()),
            Seen::Half => case.halves(),
        };
        let before = thread_cpu();
        let mut answer = Answer {
            id: case.id.clone(),
            strategy: way,
            cost: None,
            result: String::new(),
            template: None,
            title: None,
            rank: None,
            plausible: 0,
            tried: 0,
            cpu_seconds: 0.0,
            patches: Vec::new(),
        };
        let mut outside = Duration::ZERO;
        let done = match way {
            Way::Template => self.repair(case, seen, &hidden, &mut answer, &mut outside).map_err(|error| error.to_string()),
            Way::Model => self.ask(case, seen, &hidden, &mut answer, config).map_err(|error| error.to_string()),
        };
        if let Err(why) = done {
            answer.result = why;
        }
        answer.cpu_seconds = (thread_cpu().saturating_sub(before) + outside).as_secs_f64();
        answer
    }

    fn read_config(&self) -> Result<Config, Failure> {
        let Some(file) = &self.config else { return Ok(Config::default()) };
        let wrong = |why: String| Failure::mistake(format!("`{}`: {why}", file.display()), "`fractal config` shows the form");
        let bytes = files::read(file).map_err(|error| wrong(format!("{error:#}")))?;
        Config::read(&bytes).map_err(|error| wrong(error.to_string()))
    }

    /// What each strategy adds to those before it, and what it cost.
    fn compare(&self, answers: &[Answer]) {
        if self.strategies.len() < 2 {
            return;
        }
        let solved = |way: &Way| -> BTreeSet<&str> {
            let own = answers.iter().filter(|answer| answer.strategy == *way && answer.result == "correct");
            own.map(|answer| answer.id.as_str()).collect()
        };
        let mut before: BTreeSet<&str> = BTreeSet::new();
        let rows = self.strategies.iter().map(|way| {
            let own = solved(way);
            let added = own.difference(&before).count();
            before.extend(&own);
            let cost: Cost = answers.iter().filter(|answer| answer.strategy == *way).filter_map(|answer| answer.cost).sum();
            let word = format!("{way:?}").to_lowercase();
            let each = if own.is_empty() { "-".to_string() } else { format!("{:.4}", cost.usd() / own.len() as f64) };
            [word, own.len().to_string(), added.to_string(), cost.tokens().to_string(), format!("{:.4}", cost.usd()), each]
        });
        let rows: Vec<[String; 6]> = rows.collect();
        render::say(&render::table(["strategy", "correct", "added", "tokens", "dollars", "dollars each"], rows));
    }

    /// The same with a model instead of the search.
    fn ask(&self, case: &Case, seen: Vec<Test>, hidden: &[Test], answer: &mut Answer, config: &Config) -> anyhow::Result<()> {
        let sandbox = Sandbox::new("bench", &[], 2 << 30);
        let scene = Scene::set(case, &sandbox)?;
        let oracle = scene.oracle(case, seen.clone())?;
        let mut trials = oracle.open(&sandbox, &case.source)?;
        let facts = (case, &scene.tool, &scene.sources);
        let asked = asked::ask(config, self.recordings.as_deref(), facts, &seen, trials.as_mut())?;
        (answer.cost, answer.tried) = (Some(asked.cost), asked.tried);
        let Some((candidate, source)) = asked.found else {
            answer.result = asked.why;
            return Ok(());
        };
        (answer.plausible, answer.rank) = (1, Some(asked.tried));
        (answer.template, answer.title) = (Some(candidate.source), Some(candidate.title));
        let order: Vec<usize> = (0..hidden.len()).collect();
        let correct = match hidden {
            [] => true,
            _ => {
                let mut judge = trial::open(&sandbox, oracle.subject(hidden.to_vec()), LONGEST)?;
                judge.confirm(&source, &order)?.iter().all(TestRun::passed)
            }
        };
        answer.result = if correct { "correct" } else { "plausible" }.into();
        Ok(())
    }

    fn repair(
        &self,
        case: &Case,
        seen: Vec<Test>,
        hidden: &[Test],
        answer: &mut Answer,
        outside: &mut Duration,
    ) -> Result<(), SearchError> {
        let sandbox = Sandbox::new("bench", &[], 2 << 30);
        sandbox.remove_lost();
        let scene = Scene::set(case, &sandbox)?;
        let oracle = scene.oracle(case, seen)?;
        let source = improve::readable(&case.path, scene.sources.get(&case.path).map(Vec::as_slice).unwrap_or_default())?;
        let mut trials = oracle.open(&sandbox, source)?;
        let budget = Budget { candidates: self.candidates, cpu: Duration::from_secs(self.cpu) };
        let none = &mut |_, _| {};
        let found = improve::search(
            &scene.tool,
            &scene.sources,
            &case.path,
            Known { may_vary: true, ..Known::default() },
            trials.as_mut(),
            budget,
            none,
        );
        *outside = trials.cpu();
        let report = found?;
        answer.tried = report.tried;
        answer.plausible = report.plausible.len();
        let Some(best) = report.plausible.first() else {
            answer.result = match report.stopped {
                Stopped::Budget => "no patch within the budget".into(),
                Stopped::Exhausted | Stopped::Found => "no patch among all candidates".into(),
            };
            return Ok(());
        };
        answer.template = Some(best.candidate.source.clone());
        answer.title = Some(best.candidate.title.clone());
        answer.rank = Some(best.tried);
        let mut judge = match hidden {
            [] => None,
            _ => Some(trial::open(&sandbox, oracle.subject(hidden.to_vec()), LONGEST)?),
        };
        let order: Vec<usize> = (0..hidden.len()).collect();
        for found in &report.plausible {
            let correct = match &mut judge {
                Some(judge) => judge.confirm(&found.source, &order)?.iter().all(TestRun::passed),
                None => true,
            };
            let (template, worth) = (found.candidate.source.clone(), found.candidate.rank);
            answer.patches.push(Ranked { template, worth, size: found.size, cluster: found.cluster, correct });
        }
        let correct = answer.patches.first().is_some_and(|first| first.correct);
        answer.result = if correct { "correct" } else { "plausible" }.into();
        Ok(())
    }
}

/// A case as the loop would find it: a repository with one commit, and a tool that is declared in it.
struct Scene {
    /// Holds the repository, and goes away with it.
    _folder: Scratch,
    repo: Repo,
    commit: CommitId,
    tool: Tool,
    /// The tool's own files at the commit.
    sources: BTreeMap<String, Vec<u8>>,
}

impl Scene {
    fn set(case: &Case, sandbox: &Sandbox) -> anyhow::Result<Scene> {
        let folder = sandbox.checkout(&[])?;
        let files = case.support.iter().map(|(path, content)| (path.clone(), content.clone()));
        let files = files.chain([(case.path.clone(), case.source.clone().into_bytes())]);
        let patch = Patch { edits: files.map(|(path, content)| (path, FileEdit::Write(content))).collect() };
        let by = Identity { name: "Fractal".into(), email: "fractal@localhost".into() };
        let (repo, commit) = Repo::begin(folder.root(), &patch, &case.id, &by, now().now())?;
        let mut config = Config::default();
        config.tools.push(ToolConfig {
            name: "case".into(),
            paths: vec![case.path.clone()],
            run: vec![case.path.clone()],
            effects: SideEffects::Files,
            ..ToolConfig::default()
        });
        let mut tools = catalog::declared(&config);
        anyhow::ensure!(!tools.is_empty(), "a bug: the declared tool is not in the catalog");
        let tool = Tool { language: case.language, ..tools.remove(0) };
        let sources = catalog::sources(&repo, &tool, &commit)?;
        Ok(Scene { _folder: folder, repo, commit, tool, sources })
    }

    fn oracle(&self, case: &Case, tests: Vec<Test>) -> anyhow::Result<Oracle> {
        let mut support = Vec::new();
        for file in self.repo.files_at(&self.commit, &[])? {
            if file.path != case.path.as_bytes() {
                support.push(ScratchFile { content: self.repo.blob(file.oid)?.into(), path: file.path, mode: file.mode });
            }
        }
        Ok(Oracle {
            language: case.language,
            path: case.path.clone(),
            mode: 0o100644,
            support,
            run: Vec::new(),
            given: tests,
            failing: Vec::new(),
            good: Vec::new(),
            suite: None,
            limits: LONGEST.into(),
        })
    }
}

fn say(answers: &[Answer], seen: Seen) {
    let dash = || "-".to_string();
    let rows = answers.iter().map(|answer| {
        [
            answer.id.clone(),
            answer.result.clone(),
            answer.rank.map_or_else(dash, |rank| rank.to_string()),
            answer.template.clone().unwrap_or_else(dash),
            answer.tried.to_string(),
            format!("{:.1}", answer.cpu_seconds),
        ]
    });
    render::say(&render::table(["case", "result", "found at", "template", "tried", "CPU s"], rows));
    let count = |wanted: &[&str]| answers.iter().filter(|answer| wanted.contains(&answer.result.as_str())).count();
    let mut seconds: Vec<f64> = answers.iter().map(|answer| answer.cpu_seconds).collect();
    seconds.sort_by(f64::total_cmp);
    let at = |share: f64| seconds.get(((seconds.len() as f64 * share).ceil() as usize).saturating_sub(1)).copied().unwrap_or(0.0);
    let correct = match seen {
        Seen::All => String::new(),
        Seen::Half => format!(", {} pass the tests that were not shown", count(&["correct"])),
    };
    render::say(&format!(
        "{} of {} have a plausible patch{correct}; CPU seconds: median {:.1}, 95 % {:.1}",
        count(&["correct", "plausible"]),
        answers.len(),
        at(0.5),
        at(0.95)
    ));
    let paint = Paint::for_stdout();
    for answer in answers.iter().filter(|answer| answer.plausible == 0) {
        render::say(&paint.dim(&format!("{}: {}", answer.id, answer.result)));
    }
}
