//! Rust: one build holds all candidates of a batch, each as a module of its own. Candidates that do not type-check are dropped
//! by mapping the compiler's messages back to their files. What passes is built and run alone.
//!
//! For files that stand alone: a file that names `crate::` or modules beside it is not tried this way.

mod lines;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde::Deserialize;

use self::lines::Instrumented;
use super::{Subject, Trials, batch};
use crate::lang;
use crate::model::{Exit, Test, TestBody, TestOutcome, TestRun, Triaged};
use crate::world::process::Finished;
use crate::world::sandbox::{Sandbox, Scratch, ScratchFile};

/// Runs the candidates of a batch.
const RUNNER: &str = include_str!("../../../templates/trial/rust.rs");
/// How a test that was run alone says that it came to its end.
const ALONE_PASSED: i32 = 77;
/// Where a test that was built for it tells which units ran, beside the program.
const UNITS_FILE: &str = "fractal-units";
/// A build that takes longer has gone wrong.
const BUILD: Duration = Duration::from_secs(120);
/// Messages of one kind hide those of the next: parsing, names, types, borrows.
const ROUNDS: usize = 6;
/// Tests that a first build holds: most candidates fail the first test they meet, and tests cost more to compile than candidates.
const FIRST_TESTS: usize = 2;
/// More survivors of the first tests than this are put to the others in one build.
const FEW: usize = 2;
/// A test gets so many times what it needed on the untouched source, at least [`FLOOR`].
const TIME_FACTOR: u32 = 10;
const FLOOR: Duration = Duration::from_millis(200);

/// See the module.
pub struct Rust {
    sandbox: Sandbox,
    /// The tool's file.
    path: String,
    tests: Vec<Test>,
    limit: Duration,
    used: Duration,
}

/// A message of the compiler, as far as we read it.
#[derive(Deserialize)]
struct Message {
    level: String,
    message: String,
    #[serde(default)]
    spans: Vec<MessageSpan>,
    #[serde(default)]
    children: Vec<Message>,
}

#[derive(Deserialize)]
struct MessageSpan {
    file_name: String,
    line_start: u32,
    #[serde(default)]
    expansion: Option<Box<Expansion>>,
}

#[derive(Deserialize)]
struct Expansion {
    span: MessageSpan,
}

/// A program that was built.
struct Built {
    scratch: Scratch,
    program: OsString,
}

impl Rust {
    /// Tests of `subject`, none of which may take longer than `longest`.
    ///
    /// # Errors
    /// When a test is not the body of a function.
    pub fn new(sandbox: &Sandbox, subject: Subject, longest: Duration) -> Result<Self> {
        for test in &subject.tests {
            ensure!(
                matches!(test.body, TestBody::Program(_)),
                "the test `{}` is a run of the tool, not a piece of Rust",
                test.name
            );
        }
        Ok(Rust { sandbox: sandbox.clone(), path: subject.path, tests: subject.tests, limit: longest, used: Duration::ZERO })
    }

    fn code(&self, test: usize) -> Result<&str> {
        match self.tests.get(test).map(|test| &test.body) {
            Some(TestBody::Program(code)) => Ok(code),
            _ => bail!("there is no test {test}"),
        }
    }

    /// A candidate with the tests behind it, where they see everything and move no line.
    fn module(&self, source: &str, tests: &[usize]) -> Result<String> {
        let mut module = format!("{source}\n");
        let mut names = String::new();
        for (at, test) in tests.iter().enumerate() {
            write!(module, "fn fractal_test_{at}() {{\n{}\n}}\n", self.code(*test)?)?;
            write!(names, "fractal_test_{at}, ")?;
        }
        writeln!(module, "pub const FRACTAL_TESTS: &[fn()] = &[{names}];")?;
        Ok(module)
    }

    /// Builds the candidates, each with `tests`; also says which of them do not compile, and why the first does not.
    /// `units` are counted by what [`lines`] put into the candidates.
    fn build(&mut self, candidates: &[String], tests: &[usize], units: usize) -> Result<(Built, BTreeMap<usize, String>)> {
        let mut wrong: BTreeMap<usize, String> = BTreeMap::new();
        for _ in 0..ROUNDS {
            let good: Vec<usize> = (0..candidates.len()).filter(|at| !wrong.contains_key(at)).collect();
            let scratch = self.sandbox.checkout(&self.files(candidates, &good, tests, units)?)?;
            let program = scratch.root().join("fractal-trial").into_os_string();
            let argv = ["rustc", "--edition=2021", "--error-format=json", "-Cdebuginfo=0", "-Coverflow-checks=on"]
                .into_iter()
                .chain(["-Ccodegen-units=1", "main.rs", "-o", "fractal-trial"])
                .map(OsString::from);
            let finished = self.run(&scratch, argv.collect(), BUILD)?;
            if finished.exit == Exit::Code(0) {
                return Ok((Built { scratch, program }, wrong));
            }
            let found = refused(&finished.stderr);
            ensure!(!found.is_empty(), "the candidates cannot be built: {}", first_error(&finished.stderr));
            wrong.extend(found);
        }
        bail!("after {ROUNDS} builds there are still candidates that do not compile")
    }

    fn files(&self, candidates: &[String], good: &[usize], tests: &[usize], units: usize) -> Result<Vec<ScratchFile>> {
        let mut files = Vec::with_capacity(good.len() + 1);
        let mut main = "#![allow(warnings)]\n".to_string();
        for at in good {
            files.push(ScratchFile::plain(&format!("c{at}.rs"), self.module(&candidates[*at], tests)?));
            writeln!(main, "mod c{at};")?;
        }
        main.push_str("const CANDIDATES: &[&[fn()]] = &[");
        for at in 0..candidates.len() {
            match good.binary_search(&at) {
                Ok(_) => write!(main, "c{at}::FRACTAL_TESTS, ")?,
                Err(_) => main.push_str("&[], "),
            }
        }
        writeln!(main, "];\nconst UNITS: usize = {units};\n{RUNNER}")?;
        files.push(ScratchFile::plain("main.rs", main));
        Ok(files)
    }

    /// One source alone.
    fn only(&mut self, source: &str, tests: &[usize], units: usize) -> Result<Built> {
        let (built, wrong) = self.build(&[source.to_string()], tests, units)?;
        match wrong.get(&0) {
            Some(why) => bail!("it does not compile: {why}"),
            None => Ok(built),
        }
    }

    /// The test at this place of the build's tests, in a process of its own; with the lines of `source` when it was built for that.
    fn alone(&mut self, built: &Built, at: usize, source: &str) -> Result<TestRun> {
        let root = built.scratch.root().to_string_lossy().into_owned();
        let argv = vec![built.program.clone(), "alone".into(), at.to_string().into()];
        let finished = self.run(&built.scratch, argv, self.limit)?;
        let outcome = match finished.exit {
            Exit::Code(ALONE_PASSED) => TestOutcome::Passed,
            Exit::TimedOut => TestOutcome::TimedOut,
            _ => TestOutcome::Failed,
        };
        let mut failure = (outcome != TestOutcome::Passed).then(|| lang::failure(&finished.exit, &finished.stderr, &root));
        let length = source.lines().count();
        for frame in failure.iter_mut().flat_map(|failure| &mut failure.frames).filter(|frame| frame.path == "c0.rs") {
            // The tests stand behind the tool's own code.
            match usize::try_from(frame.line).is_ok_and(|line| line <= length) {
                true => frame.path.clone_from(&self.path),
                false => frame.in_repo = false,
            }
        }
        Ok(TestRun { outcome, failure, cpu: finished.duration, lines: BTreeSet::new() })
    }

    /// Every test on `source`, with the lines that ran, unless the calls that tell of them are in the compiler's way.
    fn covered(&mut self, source: &str) -> Result<Vec<TestRun>> {
        let tests: Vec<usize> = (0..self.tests.len()).collect();
        let Some(Instrumented { source: instrumented, units }) = lines::instrument(source) else {
            return self.confirm(source, &tests);
        };
        let Ok(built) = self.only(&instrumented, &tests, units.len()) else { return self.confirm(source, &tests) };
        let told = built.scratch.root().join(UNITS_FILE);
        let mut runs = Vec::with_capacity(tests.len());
        for at in tests {
            let _ = std::fs::remove_file(&told);
            let mut run = self.alone(&built, at, source)?;
            let told = std::fs::read_to_string(&told).unwrap_or_default();
            let ran = told.lines().filter_map(|unit| units.get(unit.parse::<usize>().ok()?));
            run.lines = ran.flatten().copied().collect();
            runs.push(run);
        }
        Ok(runs)
    }

    fn run(&mut self, scratch: &Scratch, argv: Vec<OsString>, time: Duration) -> Result<Finished> {
        let finished = self.sandbox.run(scratch, argv, Vec::new(), "", time);
        self.used += finished.duration;
        if let Exit::NotStarted(why) = &finished.exit {
            bail!("a trial could not be started: {why}");
        }
        Ok(finished)
    }

    /// How the candidates do on `tests`, up to the first that each does not pass.
    fn batch(&mut self, candidates: &[String], tests: &[usize]) -> Result<Vec<Triaged>> {
        let Some(first) = tests.first().copied() else { return Ok(vec![Triaged::Passed; candidates.len()]) };
        let (built, wrong) = self.build(candidates, tests, 0)?;
        let mut verdicts: Vec<Option<Triaged>> =
            (0..candidates.len()).map(|at| wrong.contains_key(&at).then_some(Triaged::Failed { test: first })).collect();
        let results = built.scratch.root().join("fractal-verdicts");
        let limit = (self.limit.as_millis() * tests.len() as u128).to_string();
        let whole = self.limit * u32::try_from(tests.len() * candidates.len()).unwrap_or(u32::MAX) + BUILD;
        batch::fill(&mut verdicts, tests, |from| {
            let argv = vec![built.program.clone(), results.clone().into(), from.to_string().into(), limit.clone().into()];
            self.run(&built.scratch, argv, whole)?;
            Ok(std::fs::read_to_string(&results).unwrap_or_default())
        })?;
        Ok(verdicts.into_iter().map(|verdict| verdict.unwrap_or(Triaged::Failed { test: first })).collect())
    }
}

fn messages(stderr: &[u8]) -> impl Iterator<Item = Message> {
    String::from_utf8_lossy(stderr)
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.level == "error")
        .collect::<Vec<_>>()
        .into_iter()
}

/// The candidates that the compiler refused, with what it said.
fn refused(stderr: &[u8]) -> BTreeMap<usize, String> {
    let mut found = BTreeMap::new();
    for message in messages(stderr) {
        let spans = message.spans.iter().chain(message.children.iter().flat_map(|child| &child.spans));
        for at in spans.filter_map(candidate_of).collect::<BTreeSet<usize>>() {
            found.entry(at).or_insert_with(|| said(&message));
        }
    }
    found
}

/// The candidate in whose file the place is, or the call of the macro that it came from.
fn candidate_of(span: &MessageSpan) -> Option<usize> {
    let own = span.file_name.strip_prefix('c').and_then(|rest| rest.strip_suffix(".rs")).and_then(|number| number.parse().ok());
    own.or_else(|| candidate_of(&span.expansion.as_ref()?.span))
}

fn said(message: &Message) -> String {
    let line = message.spans.first().map_or(0, |span| span.line_start);
    format!("line {line}: {}", message.message)
}

fn first_error(stderr: &[u8]) -> String {
    messages(stderr).next().map_or_else(|| "the compiler did not say why".to_string(), |message| said(&message))
}

impl Trials for Rust {
    fn cover(&mut self, source: &str) -> Result<Vec<TestRun>> {
        ensure!(!self.tests.is_empty(), "there is no test to try a repair on");
        let runs = self.covered(source)?;
        let longest = runs.iter().filter(|run| run.outcome != TestOutcome::TimedOut).map(|run| run.cpu).max();
        self.limit = self.limit.min((longest.unwrap_or_default() * TIME_FACTOR).max(FLOOR));
        Ok(runs)
    }

    fn triage(&mut self, candidates: &[String], order: &[usize]) -> Result<Vec<Triaged>> {
        let (first, rest) = order.split_at(order.len().min(FIRST_TESTS));
        let mut verdicts = self.batch(candidates, first)?;
        let survivors: Vec<usize> = (0..verdicts.len()).filter(|at| verdicts[*at] == Triaged::Passed).collect();
        if survivors.len() > FEW {
            let sources: Vec<String> = survivors.iter().map(|at| candidates[*at].clone()).collect();
            for (at, verdict) in survivors.into_iter().zip(self.batch(&sources, rest)?) {
                verdicts[at] = verdict;
            }
        }
        Ok(verdicts)
    }

    fn confirm(&mut self, source: &str, order: &[usize]) -> Result<Vec<TestRun>> {
        let built = self.only(source, order, 0)?;
        (0..order.len()).map(|at| self.alone(&built, at, source)).collect()
    }

    fn cpu(&self) -> Duration {
        self.used
    }
}
