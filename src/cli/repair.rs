//! `fractal repair`: one file repaired outside the loop. Nothing is changed; the patches are shown.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::log::diff_line;
use super::render::{self, Paint};
use super::{Failure, NO_PATCH, OUTSIDE, Outcome, Output};
use crate::improve::{self, Budget, Known, Oracle, Plausible, Report, SearchError, Stopped, Suite};
use crate::lang;
use crate::model::{Origin, SideEffects, Tool, plain_line};
use crate::world::git::{Repo, difference};
use crate::world::sandbox::{Sandbox, ScratchFile};
use crate::world::{catalog, files, read_config};

const ABOUT: &str = "What was found is shown, best first. The command runs in copies of the files that git knows, as they are in the work \
tree; the work tree itself is not touched. Where the single tests of the command can be told apart (unittest, pytest, node --test, cargo test), \
each is a test of its own: the failing ones come first. The same files and command give the same patches: nothing is left to chance. \
Exit code 4: no patch was found.";

/// Shows patches of one file.
#[derive(clap::Args)]
#[command(after_help = ABOUT)]
pub(super) struct Repair {
    /// The file to repair
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// The command that fails, and that shall succeed; run by `sh` in the root of the repository
    #[arg(long, value_name = "COMMAND")]
    test: String,
    /// Seconds that the command may take at most
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    time: u64,
    /// Candidates that are tried
    #[arg(long, value_name = "N", default_value_t = 2000)]
    candidates: usize,
    /// Seconds that all trials together may take, after which the search stops
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    cpu: u64,
    /// Patches that are shown
    #[arg(long, value_name = "N", default_value_t = 3)]
    show: usize,
    #[command(flatten)]
    output: Output,
}

impl Repair {
    pub(super) fn run(self, repo: &Path) -> Outcome {
        let repo = Repo::open(repo)?;
        let config = read_config(&repo)?;
        let path = self.inside(&repo)?;
        let known = repo.files_at(&repo.head()?, &[])?;
        let mut sources = BTreeMap::new();
        let (mut support, mut mode) = (Vec::new(), 0o100644);
        for file in known.iter().filter(|file| file.mode != 0o160000) {
            let Some(name) = file.utf8() else { continue };
            if name == path {
                mode = file.mode;
            } else if let Ok(content) = files::read(&repo.root().join(name)) {
                support.push(ScratchFile { mode: file.mode, ..ScratchFile::plain(name, content) });
            }
        }
        let content = files::read(&repo.root().join(&path))?;
        let language = lang::detect(&path, &content);
        sources.insert(path.clone(), content);
        let shell = || vec!["sh".into(), "-c".into(), self.test.clone()];
        let suite = Suite { command: plain_words(&self.test).unwrap_or_else(shell), passes: None };
        let programs: Vec<String> = suite.command.first().cloned().into_iter().collect();
        let oracle = Oracle {
            language,
            path: path.clone(),
            mode,
            support,
            run: Vec::new(),
            given: Vec::new(),
            failing: Vec::new(),
            good: Vec::new(),
            suite: Some(suite),
            limits: Duration::from_secs(self.time).into(),
        };
        let sandbox = Sandbox::configured("repair", &config).naming(programs.iter().map(String::as_str));
        sandbox.ready().map_err(|missing| Failure { message: missing.to_string(), hint: None, code: OUTSIDE })?;
        sandbox.remove_lost();
        let mut trials = oracle.open(&sandbox, improve::readable(&path, &sources[&path])?)?;
        let tool = Tool::known_by("file", vec![path.clone()], Vec::new(), language, Origin::Declared);
        let budget = Budget { candidates: self.candidates, cpu: Duration::from_secs(self.cpu) };
        // Calls with other literals than the tests' are for nothing that is declared to do harm.
        let harms = |tool: &Tool| tool.owns(&path) && matches!(tool.effects, SideEffects::Network | SideEffects::Destructive);
        let may_vary = !catalog::declared(&config).iter().any(harms);
        let bar = render::spinner();
        let report = improve::search(
            &tool,
            &sources,
            &path,
            Known { may_vary, ..Known::default() },
            trials.as_mut(),
            budget,
            &mut |tried, found| {
                if let Some(bar) = &bar {
                    bar.set_message(format!("{} tried, {found} passed", render::count(tried as u64, "candidate")));
                    bar.tick();
                }
            },
        );
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        self.tell(&path, &sources[&path], &report?, trials.cpu())
    }

    /// The path relative to the root of the repository.
    fn inside(&self, repo: &Repo) -> Result<String, Failure> {
        let full = files::current_dir()?.join(&self.path);
        let in_root = repo.root().join(&self.path);
        let found = [full, in_root].into_iter().find(|path| path.is_file());
        let outside = || {
            let message = format!("`{}` is not a file of the repository at `{}`", self.path.display(), repo.root().display());
            Failure::mistake(message, "name a file below its root")
        };
        let found = found.and_then(|path| path.canonicalize().ok()).ok_or_else(outside)?;
        let root = repo.root().canonicalize().map_err(|_| outside())?;
        let relative = found.strip_prefix(&root).map_err(|_| outside())?;
        let plain = relative.components().all(|part| matches!(part, Component::Normal(name) if name != ".git"));
        relative.to_str().filter(|_| plain).map(str::to_string).ok_or_else(outside)
    }

    fn tell(&self, path: &str, old: &[u8], report: &Report, cpu: Duration) -> Outcome {
        let shown = apart(&report.plausible)
            .into_iter()
            .take(self.show)
            .map(|found| Ok((found, difference(old, found.source.as_bytes())?)));
        let shown: Vec<(&Plausible, String)> = shown.collect::<Result<_, anyhow::Error>>()?;
        if self.output.json {
            let patch = |(found, diff): &(&Plausible, String)| {
                let Plausible { candidate, tried, cluster, .. } = found;
                serde_json::json!({
                    "title": candidate.title, "template": candidate.source, "trust": candidate.trust, "found_at": tried, "cluster": cluster,
                    "diff": diff
                })
            };
            render::say_json_pretty(&serde_json::json!({
                "path": path,
                "tried": report.tried,
                "plausible": report.plausible.len(),
                "is_reached": report.is_reached,
                "seconds": cpu.as_secs_f64(),
                "difference": report.difference.as_ref().map(|difference| {
                    serde_json::json!({ "input": difference.input, "answers": difference.answers })
                }),
                "patches": shown.iter().map(patch).collect::<Vec<_>>(),
            }));
        } else {
            self.say(path, &shown, report, cpu);
        }
        Ok(if report.plausible.is_empty() { ExitCode::from(NO_PATCH) } else { ExitCode::SUCCESS })
    }

    fn say(&self, path: &str, shown: &[(&Plausible, String)], report: &Report, cpu: Duration) {
        let paint = Paint::for_stdout();
        for (at, (found, diff)) in shown.iter().enumerate() {
            render::say(&format!(
                "{}. {} {}",
                at + 1,
                found.candidate.title,
                paint.dim(&format!("({})", found.candidate.source))
            ));
            diff.lines().for_each(|line| render::say(&diff_line(line, paint)));
        }
        if let Some(difference) = &report.difference {
            let answer =
                |(found, _): &(&Plausible, String)| difference.answers.get(found.cluster?).map(|answer| plain_line(answer, 60));
            let answers = shown.iter().enumerate().filter_map(|(at, found)| Some(format!("{} with {}", answer(found)?, at + 1)));
            let answers = answers.collect::<Vec<_>>().join(", ");
            render::say(&format!("they differ: {} is {answers}", plain_line(&difference.input, 80)));
        }
        let tried = render::count(report.tried as u64, "candidate");
        let took = render::took(cpu);
        let end = match (report.plausible.len(), report.stopped) {
            (0, Stopped::Budget) => format!(
                "no change of `{path}` makes the command pass: {tried} in {took}, then the budget was used up; `--candidates` and `--cpu` raise it"
            ),
            (0, _) => format!("no change of `{path}` makes the command pass: all {tried} were tried, in {took}"),
            (1, _) => format!("1 of {tried} makes the command pass, in {took}"),
            (n, _) => format!("{n} of {tried} make the command pass, in {took}; a command that tests more would tell them apart"),
        };
        render::say(&end);
        if !report.is_reached {
            render::say(&format!(
                "the command may not run `{path}` at all: with a file that fails at once in its place, it ends the same way"
            ));
        }
    }
}

/// The first patch of each cluster, then the others: what behaves differently is worth more room than what behaves alike.
fn apart(plausible: &[Plausible]) -> Vec<&Plausible> {
    let mut seen = Vec::new();
    let (mut first, mut others) = (Vec::new(), Vec::new());
    for found in plausible {
        let is_first = found.cluster.is_none_or(|cluster| !seen.contains(&cluster));
        seen.extend(found.cluster);
        if is_first { &mut first } else { &mut others }.push(found);
    }
    first.extend(others);
    first
}

/// The words of a command in which a shell would change nothing.
fn plain_words(command: &str) -> Option<Vec<String>> {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.' | '/' | ':' | ',' | '=' | '+' | '@');
    let words: Vec<String> = command.split_whitespace().map(str::to_string).collect();
    // A first word with `=` sets a variable.
    let begins = words.first().is_some_and(|first| !first.contains('='));
    (begins && command.chars().all(plain)).then_some(words)
}

impl From<SearchError> for Failure {
    fn from(error: SearchError) -> Self {
        let message = error.to_string();
        match error {
            SearchError::DoesNotParse { .. } => {
                Failure::mistake(message, "mend what the parser trips over first; nothing was changed")
            }
            SearchError::Broken { .. } => Failure::mistake(message, "make the tests begin first; nothing was changed"),
            SearchError::Green => Failure::mistake(message, "name a command that fails"),
            SearchError::Trials(error) => {
                Failure::mistake(format!("{error:#}"), "does the command run in a fresh checkout of what git knows?")
            }
        }
    }
}
