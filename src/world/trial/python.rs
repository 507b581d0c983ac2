//! Trials of Python sources in a warm interpreter: it imports once, forks for every batch, and tells what came of it. Its program is
//! in `templates/trial/`, whose first part tells of isolation.
//!
//! Owns the order of work and what an answer is worth. The verdict of a batch is that of each source alone: whatever may have been
//! touched by another source is tried again, and what reaches out of the interpreter is tried alone.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Baseline, Processes, Subject, Trials, programs};
use crate::lang;
use crate::model::{Answer, Exit, Language, Test, TestBody, TestOutcome, TestRun, Triaged};
use crate::world::process::Kept;
use crate::world::sandbox::{Sandbox, Scratch, ScratchFile};

/// One program, in the order in which its parts go on from one another.
const PROGRAM: &str = concat!(
    include_str!("../../../templates/trial/subject.py"),
    include_str!("../../../templates/trial/state.py"),
    include_str!("../../../templates/trial/child.py"),
    include_str!("../../../templates/trial/parent.py"),
);

/// A test gets so many times what it needed on the first source, at least [`FLOOR`].
const TIME_FACTOR: u32 = 10;
const FLOOR: Duration = Duration::from_millis(20);
/// The limit of a test that did not end on the first source, unless the others need longer.
const ENDLESS_FLOOR: Duration = Duration::from_millis(30);
/// A test alone gets so many times its limit in a batch: a pass there must be one here.
const ALONE_FACTOR: u32 = 2;
/// And at least this when it is confirmed: what was late in a batch may be looked at again.
const CONFIRM_FLOOR: Duration = Duration::from_millis(250);
/// Tracing makes a test so many times slower, at least by [`TRACE_FLOOR`].
const TRACE_FACTOR: u32 = 30;
const TRACE_FLOOR: Duration = Duration::from_millis(500);
/// The first look at a test ends after this time: a loop has shown its lines by then.
const SHORT: Duration = Duration::from_millis(150);
/// A test that is over so soon needs no second run to know its time.
const CHEAP: Duration = Duration::from_millis(5);
/// So many tests that do not end are waited for as long as is allowed. The others are believed to be endless after [`SHORT`].
const ENDLESS_TESTS: u32 = 2;
/// Sources of one batch.
const BATCH: usize = 256;
/// Their bytes.
const BATCH_BYTES: usize = 8 << 20;
/// Beyond the limits that the interpreter keeps itself.
const PATIENCE: Duration = Duration::from_secs(20);
/// Interpreters that a single test may end before we believe that it is the test.
const LOSSES: usize = 2;

/// See the module.
pub struct Python {
    sandbox: Sandbox,
    command: &'static str,
    subject: Subject,
    /// Support and the tests' own programs.
    files: Vec<ScratchFile>,
    /// The tool's file as it is in the scratch folder.
    tool: ScratchFile,
    programs: Vec<String>,
    scratch: Option<Scratch>,
    interpreter: Option<Kept>,
    /// For programs that are not tests.
    plain: Option<Box<Processes>>,
    /// The most that each test may take in a batch.
    limits: Vec<Duration>,
    longest: Duration,
    baseline: Baseline,
    /// Processor time of interpreters that are gone, and of the one that is there.
    used: (Duration, Duration),
}

#[derive(Deserialize)]
struct Batch {
    /// A verdict and a test for each source that came to an end.
    results: Vec<(u8, usize)>,
    /// How many of them were followed by a thorough look that found nothing changed.
    believed: usize,
    /// Why the child ended at the source after the results.
    reason: u8,
    test: usize,
    total_cpu: f64,
}

#[derive(Deserialize)]
struct Single {
    ended: bool,
    passed: bool,
    late: bool,
    same: bool,
    code: Option<i32>,
    signal: Option<i32>,
    said: String,
    cpu: f64,
    lines: BTreeSet<u32>,
    total_cpu: f64,
}

#[derive(Deserialize)]
struct Ready {
    total_cpu: f64,
}

// As in the program.
const PASSED: u8 = 1;
const FAILED: u8 = 2;
const TIMED_OUT: u8 = 3;
const DONE: u8 = 6;

impl Python {
    /// Tests of `subject`, none of which may take longer than `longest`. Starts nothing yet.
    ///
    /// # Errors
    /// When the subject is not in Python.
    pub fn new(sandbox: &Sandbox, subject: Subject, longest: Duration) -> Result<Self> {
        ensure!(subject.language == Language::Python, "`{}` is not Python", subject.path);
        let folder = subject.path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let programs: Vec<String> = (0..subject.tests.len()).map(|at| format!("{folder}fractal_test_{at}.py")).collect();
        let other = subject.tests.iter().find(|test| !Self::can_run(&subject, test));
        ensure!(other.is_none(), "`{}` is no test for a warm interpreter", other.map_or("", |test| &test.name));
        let mut files = subject.support.clone();
        for (program, test) in programs.iter().zip(&subject.tests) {
            if let TestBody::Program(code) = &test.body {
                files.push(file(program, code.as_bytes()));
            }
        }
        Ok(Python {
            sandbox: sandbox.clone(),
            command: "python3",
            tool: ScratchFile { mode: subject.mode, ..file(&subject.path, b"") },
            limits: vec![longest; subject.tests.len()],
            subject,
            files,
            programs,
            scratch: None,
            interpreter: None,
            plain: None,
            longest,
            baseline: Baseline::default(),
            used: (Duration::ZERO, Duration::ZERO),
        })
    }

    /// Whether a test is one for a warm interpreter: a program, or the repaired file as a program.
    pub(super) fn can_run(subject: &Subject, test: &Test) -> bool {
        match &test.body {
            TestBody::Program(_) => true,
            TestBody::Run(run) => main_file(subject).is_some() && run.cwd.is_empty() && run.success.stdout.is_none(),
            TestBody::Command(_) => false,
        }
    }

    /// Brings the scratch folder to what it should be, with `source` as the tool's file, and the interpreter to life.
    fn settle(&mut self, source: &str) -> Result<()> {
        if self.tool.content.as_slice() != source.as_bytes() {
            self.tool.content = Arc::new(source.as_bytes().to_vec());
        }
        let files: Vec<ScratchFile> = self.files.iter().chain([&self.tool]).cloned().collect();
        let scratch = match self.scratch.take() {
            Some(used) => {
                let before = used.root().to_path_buf();
                let scratch = self.sandbox.refresh(used, &files)?;
                if scratch.root() != before {
                    self.lose();
                }
                scratch
            }
            None => self.sandbox.checkout(&files)?,
        };
        let root = scratch.root().to_str().context("the scratch folder's name is not UTF-8")?.to_string();
        let scratch = self.scratch.insert(scratch);
        if self.interpreter.is_none() {
            let argv = [self.command, "-s", "-S", "-c", PROGRAM].map(Into::into).to_vec();
            // Sets have one order: what passes today passes tomorrow.
            let fixed = vec![("PYTHONHASHSEED".into(), "0".into())];
            let started = self.sandbox.keep(scratch, argv, fixed);
            self.interpreter =
                Some(started.with_context(|| format!("`{}` cannot be started, and the tests need it", self.command))?);
            let main = main_file(&self.subject).filter(|main| *main != self.subject.path);
            let setup = json!({
                "op": "setup", "root": root, "path": self.subject.path, "source": source,
                "support": self.subject.support.iter().filter_map(module).collect::<Vec<_>>(),
                "tests": self.subject.tests.iter().zip(&self.programs).map(|(test, program)| told(test, program, main)).collect::<Vec<_>>(),
            });
            match self.ask::<Ready>(&setup, PATIENCE) {
                Ok(ready) => self.used.1 = seconds(ready.total_cpu),
                Err(error) => {
                    let words = self.interpreter.take().map(Kept::last_words).unwrap_or_default();
                    let last = words.lines().last().unwrap_or_default();
                    bail!("`{}` started, but cannot run tests: {error} {last}", self.command);
                }
            }
        }
        Ok(())
    }

    /// Forgets an interpreter that is not what it was.
    fn lose(&mut self) {
        self.interpreter = None;
        self.used = (self.used.0 + self.used.1, Duration::ZERO);
    }

    fn ask<T: DeserializeOwned>(&mut self, job: &Value, patience: Duration) -> io::Result<T> {
        let interpreter = self.interpreter.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let answer = interpreter.ask(job.to_string().as_bytes(), patience)?;
        serde_json::from_slice(&answer).map_err(io::Error::other)
    }

    /// One test on one source in a child of its own; `None` when the interpreter itself ends with it, again and again.
    fn single(&mut self, source: &str, test: usize, limit: Duration, trace: bool) -> Result<Option<Single>> {
        ensure!(test < self.subject.tests.len(), "there is no test {test}");
        for _ in 0..LOSSES {
            self.settle(source)?;
            let job = json!({ "op": "run", "source": source, "test": test, "limit": limit.as_secs_f64(), "trace": trace });
            match self.ask::<Single>(&job, limit * 6 + PATIENCE) {
                Ok(single) => {
                    self.used.1 = seconds(single.total_cpu);
                    return Ok(Some(single));
                }
                Err(_) => self.lose(),
            }
        }
        Ok(None)
    }

    fn alone(&mut self, source: &str, test: usize, limit: Duration) -> Result<TestRun> {
        let single = self.single(source, test, limit, false)?;
        Ok(judge(single, &self.root()))
    }

    fn watched(&mut self, source: &str, test: usize, limit: Duration) -> Result<TestRun> {
        let single = self.single(source, test, limit, true)?;
        Ok(judge(single, &self.root()))
    }

    fn root(&self) -> String {
        self.scratch.as_ref().map(|scratch| scratch.root().to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// One test with the lines that ran, and its time when nobody watches. `patience` is what may be spent on waiting for tests
    /// that do not end.
    fn covered(&mut self, source: &str, test: usize, patience: &mut Duration) -> Result<TestRun> {
        let short = SHORT.min(self.longest);
        let mut traced = self.watched(source, test, short)?;
        if traced.outcome != TestOutcome::TimedOut && traced.cpu <= CHEAP {
            return Ok(traced);
        }
        let limit = if patience.is_zero() { short } else { self.longest };
        let mut run = self.alone(source, test, limit)?;
        if run.outcome == TestOutcome::TimedOut {
            *patience = patience.saturating_sub(limit);
        } else if traced.outcome == TestOutcome::TimedOut {
            traced = self.watched(source, test, run.cpu * TRACE_FACTOR + TRACE_FLOOR)?;
        }
        run.lines = traced.lines;
        Ok(run)
    }

    /// What a batch would have said, by a process for every test.
    fn triaged_alone(&mut self, source: &str, order: &[usize]) -> Result<Triaged> {
        for &test in order {
            match self.alone(source, test, self.limits[test] * ALONE_FACTOR)?.outcome {
                TestOutcome::Passed => {}
                TestOutcome::Failed => return Ok(Triaged::Failed { test }),
                TestOutcome::TimedOut => return Ok(Triaged::TimedOut { test }),
            }
        }
        Ok(Triaged::Passed)
    }

    /// Candidates of which one, nobody knows which, left something behind: tried again in smaller parts, and at last alone.
    fn doubted(
        &mut self,
        candidates: &[String],
        order: &[usize],
        doubted: &[usize],
        waiting: &mut Vec<Vec<usize>>,
        verdicts: &mut [Option<Triaged>],
    ) -> Result<()> {
        if let [only] = *doubted {
            verdicts[only] = Some(self.triaged_alone(&candidates[only], order)?);
            return Ok(());
        }
        let (left, right) = doubted.split_at(doubted.len() / 2);
        waiting.extend([right.to_vec(), left.to_vec()]);
        Ok(())
    }

    /// One child over these candidates; `None` when nothing it says can be used.
    fn batch(&mut self, candidates: &[String], picked: &[usize], order: &[usize]) -> Result<Option<Batch>> {
        let on_disk = String::from_utf8_lossy(&self.tool.content).into_owned();
        self.settle(&on_disk)?;
        let sources: Vec<&String> = picked.iter().map(|at| &candidates[*at]).collect();
        let limits: Vec<f64> = self.limits.iter().map(Duration::as_secs_f64).collect();
        let job = json!({ "op": "triage", "sources": sources, "order": order, "limits": limits });
        let each: Duration = order.iter().map(|test| self.limits[*test] * 6 + Duration::from_secs(1)).sum();
        let patience = each.saturating_mul(u32::try_from(picked.len()).unwrap_or(u32::MAX)) + PATIENCE;
        match self.ask::<Batch>(&job, patience) {
            Ok(batch) => {
                self.used.1 = seconds(batch.total_cpu);
                Ok(is_sound(&batch, picked.len(), order).then_some(batch))
            }
            Err(_) => {
                self.lose();
                Ok(None)
            }
        }
    }
}

impl Trials for Python {
    fn cover(&mut self, source: &str) -> Result<Vec<TestRun>> {
        ensure!(!self.subject.tests.is_empty(), "there is no test to try a repair on");
        let mut patience = self.longest * ENDLESS_TESTS;
        let tests = 0..self.subject.tests.len();
        let runs = tests.map(|test| self.covered(source, test, &mut patience)).collect::<Result<Vec<_>>>()?;
        let limit = |run: &TestRun| (run.cpu * TIME_FACTOR).max(FLOOR).min(self.longest);
        let ended = |run: &&TestRun| run.outcome != TestOutcome::TimedOut;
        let slowest = runs.iter().filter(ended).map(limit).max().unwrap_or_default();
        let endless = slowest.max(ENDLESS_FLOOR).min(self.longest);
        self.limits = runs.iter().map(|run| if ended(&run) { limit(run) } else { endless }).collect();
        self.baseline = Baseline::new(source, &runs);
        Ok(runs)
    }

    fn triage(&mut self, candidates: &[String], order: &[usize]) -> Result<Vec<Triaged>> {
        ensure!(order.iter().all(|test| *test < self.subject.tests.len()), "there is no such test");
        let mut verdicts: Vec<Option<Triaged>> = vec![None; candidates.len()];
        if order.is_empty() {
            verdicts.fill(Some(Triaged::Passed));
        }
        let mut waiting = batches(candidates, &verdicts);
        while let Some(picked) = waiting.pop() {
            if picked.is_empty() {
                continue;
            }
            let Some(batch) = self.batch(candidates, &picked, order)? else {
                self.doubted(candidates, order, &picked, &mut waiting, &mut verdicts)?;
                continue;
            };
            let (believed, rest) = picked.split_at(batch.believed);
            for (at, (verdict, test)) in believed.iter().zip(&batch.results) {
                verdicts[*at] = Some(if *verdict == PASSED { Triaged::Passed } else { Triaged::Failed { test: *test } });
            }
            let (doubted, rest) = rest.split_at(batch.results.len() - batch.believed);
            if batch.reason == DONE {
                waiting.push(rest.to_vec());
                self.doubted(candidates, order, doubted, &mut waiting, &mut verdicts)?;
                continue;
            }
            if let Some((&at, rest)) = rest.split_first() {
                verdicts[at] = Some(match batch.reason {
                    TIMED_OUT if doubted.is_empty() && order.contains(&batch.test) => Triaged::TimedOut { test: batch.test },
                    _ => self.triaged_alone(&candidates[at], order)?,
                });
                waiting.push(rest.to_vec());
            }
            waiting.push(doubted.to_vec());
        }
        verdicts.into_iter().map(|verdict| verdict.ok_or_else(|| anyhow!("a candidate was not tried"))).collect()
    }

    fn confirm(&mut self, source: &str, order: &[usize]) -> Result<Vec<TestRun>> {
        let order = order.iter();
        order
            .map(|&test| {
                let limit = self.limits.get(test).copied().unwrap_or(self.longest);
                self.alone(source, test, (limit * ALONE_FACTOR).max(CONFIRM_FLOOR).min(self.longest))
            })
            .collect()
    }

    fn programs(&self) -> Vec<String> {
        programs(&self.subject.tests, &self.subject.support)
    }

    fn probe(&mut self, source: &str, program: &str) -> Result<Option<String>> {
        let longest = self.longest;
        let plain = || {
            let subject = Subject { tests: Vec::new(), ..self.subject.clone() };
            Box::new(Processes::new(&self.sandbox, subject, longest))
        };
        self.plain.get_or_insert_with(plain).probe(source, program)
    }

    fn is_reached(&mut self) -> Result<bool> {
        let forced = self.baseline.forced(Language::Python)?;
        let order: Vec<usize> = (0..self.subject.tests.len()).collect();
        let runs = self.confirm(&forced, &order)?;
        Ok(self.baseline.is_reached(&runs))
    }

    fn cpu(&self) -> Duration {
        self.used.0 + self.used.1 + self.plain.as_ref().map_or(Duration::ZERO, |plain| plain.cpu())
    }
}

fn file(path: &str, content: &[u8]) -> ScratchFile {
    ScratchFile { path: path.as_bytes().to_vec(), mode: 0o100644, content: Arc::new(content.to_vec()) }
}

/// The path of a file that can be imported.
fn module(file: &ScratchFile) -> Option<&str> {
    let path = std::str::from_utf8(&file.path).ok().filter(|path| path.ends_with(".py"));
    path.filter(|_| matches!(file.mode, 0o100644 | 0o100755))
}

/// The file that is run when the tool is; `None` when more than an interpreter with a file beside the repaired one is needed for that.
fn main_file(subject: &Subject) -> Option<&str> {
    let is_python = |word: &str| word.rsplit('/').next().is_some_and(|name| name.starts_with("python"));
    let file = match subject.run.as_slice() {
        [] => return Some(&subject.path),
        [file] => file,
        [interpreter, file] if is_python(interpreter) => file,
        _ => return None,
    };
    let file = file.strip_prefix("{root}/").unwrap_or(file);
    let known = subject.support.iter().find(|known| known.path == file.as_bytes()).map(|known| known.content.as_slice());
    let folder = |path: &str| path.rfind('/').map_or(0, |at| at + 1);
    let beside = file[..folder(file)] == subject.path[..folder(&subject.path)];
    let is_file = file == subject.path || known.is_some_and(|content| lang::detect(file, content) == Language::Python);
    (beside && is_file).then_some(file)
}

/// A test as the interpreter is told of it; bytes are in hexadecimal digits.
fn told(test: &Test, program: &str, main: Option<&str>) -> Value {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match &test.body {
        TestBody::Program(_) | TestBody::Command(_) => json!({ "program": program }),
        TestBody::Run(run) => {
            let (stdout, wrong) = match &run.answer {
                Answer::Any => (None, None),
                Answer::This(wanted) => (Some(hex(wanted)), None),
                Answer::Other(wrong) => (None, Some(hex(wrong))),
            };
            json!({
                "args": run.args.iter().map(|arg| hex(&arg.0)).collect::<Vec<_>>(),
                "stdin": hex(&run.stdin), "exits": run.success.exit, "stdout": stdout, "wrong": wrong, "main": main,
            })
        }
    }
}

fn seconds(told: f64) -> Duration {
    Duration::try_from_secs_f64(told).unwrap_or_default()
}

/// Whether an answer can be the answer to a batch of so many candidates.
fn is_sound(batch: &Batch, candidates: usize, order: &[usize]) -> bool {
    let known = |(verdict, test): &(u8, usize)| *verdict == PASSED || *verdict == FAILED && order.contains(test);
    let complete = batch.reason != DONE || !batch.results.is_empty();
    batch.results.len() <= candidates && batch.believed <= batch.results.len() && complete && batch.results.iter().all(known)
}

/// Candidates without a verdict in batches, the first of them last.
fn batches(candidates: &[String], verdicts: &[Option<Triaged>]) -> Vec<Vec<usize>> {
    let (mut batches, mut bytes) = (Vec::new(), 0);
    for (at, source) in candidates.iter().enumerate().filter(|(at, _)| verdicts[*at].is_none()) {
        bytes += source.len();
        match batches.last_mut() {
            Some(batch) if bytes <= BATCH_BYTES && Vec::len(batch) < BATCH => batch.push(at),
            _ => {
                batches.push(vec![at]);
                bytes = source.len();
            }
        }
    }
    batches.reverse();
    batches
}

fn judge(single: Option<Single>, root: &str) -> TestRun {
    let Some(single) = single else {
        let failure = lang::failure(
            &Exit::Signal(9),
            b"the interpreter was ended together with the test
",
            root,
        );
        let outcome = TestOutcome::Failed;
        return TestRun { outcome, failure: Some(failure), cpu: Duration::ZERO, lines: BTreeSet::new() };
    };
    let exit = match (single.late, single.signal, single.code) {
        (true, ..) => Exit::TimedOut,
        (false, Some(signal), _) => Exit::Signal(signal),
        (false, None, code) => Exit::Code(code.unwrap_or(-1)),
    };
    let outcome = match exit {
        Exit::TimedOut => TestOutcome::TimedOut,
        Exit::Code(_) if single.ended && single.passed && single.same => TestOutcome::Passed,
        _ => TestOutcome::Failed,
    };
    let mut said = single.said;
    if outcome == TestOutcome::Failed && !single.ended && exit == Exit::Code(0) {
        said.push_str("the program was ended before the test was\n");
    }
    let failure = (outcome != TestOutcome::Passed).then(|| lang::failure(&exit, said.as_bytes(), root));
    TestRun { outcome, failure, cpu: seconds(single.cpu), lines: single.lines }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(command: &'static str) -> String {
        let tests = vec![Test { name: "x".into(), body: TestBody::Program(String::new()) }];
        let subject = Subject {
            language: Language::Python,
            path: "tool.py".into(),
            mode: 0o100644,
            support: Vec::new(),
            run: Vec::new(),
            tests,
        };
        let mut trials = Python::new(&Sandbox::new("trial", &[], 1 << 30), subject, Duration::from_secs(1)).expect("is Python");
        trials.command = command;
        format!("{:#}", trials.cover("").expect_err("there is no such interpreter"))
    }

    #[test]
    fn an_interpreter_that_is_missing_or_no_interpreter_is_told() {
        let missing = with("fractal-no-such-interpreter");
        assert!(missing.starts_with("`fractal-no-such-interpreter` cannot be started, and the tests need it: "), "{missing}");
        let other = with("false");
        assert!(other.starts_with("`false` started, but cannot run tests: "), "{other}");
    }

    #[test]
    fn an_answer_that_cannot_be_one_is_not_believed() {
        let batch = |results: &[(u8, usize)], believed, reason| Batch {
            results: results.to_vec(),
            believed,
            reason,
            test: 0,
            total_cpu: 0.0,
        };
        assert!(is_sound(&batch(&[(PASSED, 0), (FAILED, 3)], 1, DONE), 2, &[0, 3]));
        for wrong in [
            batch(&[(PASSED, 0), (FAILED, 3), (PASSED, 0)], 1, DONE),
            batch(&[(PASSED, 0)], 2, DONE),
            batch(&[(FAILED, 1)], 1, DONE),
            batch(&[(9, 0)], 1, DONE),
            batch(&[], 0, DONE),
        ] {
            assert!(!is_sound(&wrong, 2, &[0, 3]), "{:?}", wrong.results);
        }
    }
}
