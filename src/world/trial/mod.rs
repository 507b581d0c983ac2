//! Trials: a tool's file in many versions, each put to the same tests. How fast that goes decides how far a repair can search.
//!
//! Owns how a source is run and what came of it; which sources are worth a trial is `improve`'s business.

mod batch;
mod javascript;
mod parts;
mod processes;
mod python;
mod rust;
mod shell;

use std::time::Duration;

use anyhow::{Context, Result, bail};

pub use self::javascript::Javascript;
pub use self::parts::Chosen;
use self::parts::{Part, Parts};
pub use self::processes::Processes;
pub use self::python::Python;
pub use self::rust::Rust;
use super::sandbox::{Sandbox, ScratchFile};
use crate::model::{Language, Test, TestBody, TestRun, Triaged};

/// What is tried: one file of a tool, with what stands beside it and the tests.
#[derive(Clone, Debug)]
pub struct Subject {
    pub language: Language,
    /// The file that is repaired, relative to the root of the checkout.
    pub path: String,
    /// The mode of that file, as git has it.
    pub mode: u32,
    /// The other files of the checkout.
    pub support: Vec<ScratchFile>,
    /// How the tool is run, with `{root}` for the root of the checkout; empty when the repaired file is the program.
    pub run: Vec<String>,
    pub tests: Vec<Test>,
}

/// Test files that are read for their code, and the bytes of one at most.
const TEST_FILES: usize = 20;
const TEST_FILE: usize = 256 * 1024;

/// How long tests may take at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A run of the tool, or a program.
    pub test: Duration,
    /// A command, which may have to build first.
    pub command: Duration,
}

impl From<Duration> for Limits {
    fn from(each: Duration) -> Self {
        Limits { test: each, command: each }
    }
}

/// Whether there is a faster way to put this test to candidates than a process for each.
pub fn is_fast(subject: &Subject, test: &Test) -> bool {
    match subject.language {
        Language::Python => Python::can_run(subject, test),
        Language::Rust | Language::Javascript => matches!(test.body, TestBody::Program(_)),
        Language::Shell | Language::Other => false,
    }
}

/// The fastest way to try sources of the subject's language: tests that can be run in a fast way are, the others get a process
/// each.
///
/// # Errors
/// When there is no way.
pub fn open(sandbox: &Sandbox, subject: Subject, limits: impl Into<Limits>) -> Result<Box<dyn Trials>> {
    let limits = limits.into();
    let (fast, slow): (Vec<usize>, Vec<usize>) = (0..subject.tests.len()).partition(|at| is_fast(&subject, &subject.tests[*at]));
    if fast.is_empty() {
        return Ok(Box::new(Processes::limited(sandbox, subject, limits)));
    }
    let with =
        |numbers: &[usize]| Subject { tests: numbers.iter().map(|at| subject.tests[*at].clone()).collect(), ..subject.clone() };
    let quick: Box<dyn Trials> = match subject.language {
        Language::Python => Box::new(Python::new(sandbox, with(&fast), limits.test)?),
        Language::Rust => Box::new(Rust::new(sandbox, with(&fast), limits.test)?),
        _ => Box::new(Javascript::new(sandbox, with(&fast), limits.test)),
    };
    if slow.is_empty() {
        return Ok(quick);
    }
    let others = Box::new(Processes::limited(sandbox, with(&slow), limits));
    Ok(Box::new(Parts(vec![Part { trials: quick, numbers: fast }, Part { trials: others, numbers: slow }])))
}

/// The code of the tests: of those that are programs, and of the files that are called tests.
fn programs(tests: &[Test], support: &[ScratchFile]) -> Vec<String> {
    let code = |test: &Test| match &test.body {
        TestBody::Program(code) => Some(code.clone()),
        _ => None,
    };
    let is_test = |file: &&ScratchFile| {
        let path = String::from_utf8_lossy(&file.path).into_owned();
        path.rsplit('/').next().is_some_and(|name| name.contains("test")) && file.content.len() <= TEST_FILE
    };
    let files = support.iter().filter(is_test).filter_map(|file| String::from_utf8(file.content.to_vec()).ok());
    tests.iter().filter_map(code).chain(files.take(TEST_FILES)).collect()
}

/// A way to run sources.
pub trait Trials {
    /// Every test on `source`, each alone in a fresh process, with the lines of the tool's file that ran.
    ///
    /// # Errors
    /// When the tests cannot be started.
    fn cover(&mut self, source: &str) -> Result<Vec<TestRun>>;

    /// Each candidate against the tests in `order` (numbers among all tests), up to the first that does not pass. Many may share
    /// a process, so only a rejection is worth anything: a pass has to be confirmed.
    ///
    /// # Errors
    /// When the tests cannot be started.
    fn triage(&mut self, candidates: &[String], order: &[usize]) -> Result<Vec<Triaged>>;

    /// The tests in `order` on `source`, each alone in a fresh process.
    ///
    /// # Errors
    /// When the tests cannot be started.
    fn confirm(&mut self, source: &str, order: &[usize]) -> Result<Vec<TestRun>>;

    /// The code of the tests, as far as it is known.
    fn programs(&self) -> Vec<String> {
        Vec::new()
    }

    /// What `program` prints beside `source`, which passes all tests; `None` where no such program can be run. It is a text of
    /// [`crate::lang::probe`].
    ///
    /// # Errors
    /// When it cannot be started.
    fn probe(&mut self, source: &str, program: &str) -> Result<Option<String>> {
        let _ = (source, program);
        Ok(None)
    }

    /// How many candidates are worth trying together at most: few where each has processes of its own.
    fn batch(&self) -> usize {
        usize::MAX
    }

    /// Whether the tests run the tool's file: with one in its place that fails at once, some test ends or fails otherwise than on the
    /// source which was covered, and none passes that failed there (none at all where nothing was covered).
    ///
    /// # Errors
    /// When the tests cannot be started, or nothing is known that fails in this language.
    fn is_reached(&mut self) -> Result<bool>;

    /// Processor time of everything that ran so far.
    fn cpu(&self) -> Duration;
}

/// The source that was covered, and how it did.
#[derive(Default)]
struct Baseline {
    source: String,
    runs: Vec<TestRun>,
}

impl Baseline {
    fn new(source: &str, runs: &[TestRun]) -> Self {
        Baseline { source: source.to_string(), runs: runs.to_vec() }
    }

    /// See [`Trials::is_reached`]; `forced` is how all tests did on [`Baseline::forced`].
    fn is_reached(&self, forced: &[TestRun]) -> bool {
        if self.runs.is_empty() {
            return forced.iter().all(|run| !run.passed());
        }
        let said = |run: &TestRun| run.failure.as_ref().map(|failure| (failure.class.clone(), failure.message.clone()));
        let pairs = || self.runs.iter().zip(forced);
        pairs().all(|(before, run)| before.passed() || !run.passed())
            && pairs().any(|(before, run)| before.outcome != run.outcome || said(before) != said(run))
    }

    /// A source that fails at once.
    fn forced(&self, language: Language) -> Result<String> {
        // A script is started by what its first line names.
        let first = self.source.lines().next().filter(|line| line.starts_with("#!")).map(|line| format!("{line}\n"));
        let script = |text: &str| format!("{}{text}\n", first.unwrap_or_default());
        Ok(match language {
            Language::Python => script("raise RuntimeError('forced failure')"),
            Language::Javascript => script("throw new Error('forced failure');"),
            Language::Shell => script("echo 'forced failure' >&2\nexit 97"),
            Language::Rust => rust::forced(&self.source).context("the source does not parse")?,
            Language::Other => bail!("nothing is known that fails in this language"),
        })
    }
}
