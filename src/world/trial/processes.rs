//! The plain way to try sources: a process for every test. Slow, isolated, and the same for every language that has an
//! interpreter; the faster ways are measured against it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::{Baseline, Limits, Subject, Trials, programs, shell};
use crate::lang;
use crate::model::{Exit, Language, Test, TestBody, TestOutcome, TestRun, Triaged};
use crate::world::process::Finished;
use crate::world::sandbox::{Sandbox, Scratch, ScratchFile};

/// A test gets so many times what it needed on the untouched source, at least [`FLOOR`].
const TIME_FACTOR: u32 = 10;
const FLOOR: Duration = Duration::from_millis(500);
/// A program that looks at answers keeps its own time; this is for one that does not.
const PROBE: Duration = Duration::from_secs(5);
/// Nothing is won by more at once, and a budget is looked at after each batch.
const BATCH: usize = 16;

/// The first look at a test on the untouched source ends after this time. One test that does not end is waited for as long as is allowed,
/// the others are believed to be endless then.
const SHORT: Duration = Duration::from_secs(1);
/// A run that is only for its lines ends after this time.
const TRACED: Duration = Duration::from_secs(5);

/// See the module.
pub struct Processes {
    sandbox: Sandbox,
    subject: Subject,
    interpreter: Option<&'static str>,
    /// Where the tests' own programs are, relative to the root.
    programs: Vec<String>,
    /// Where a program that looks at answers is.
    probe: String,
    scratch: Option<Scratch>,
    /// The most that one test may take, in the order of the tests.
    limits: Vec<Duration>,
    baseline: Baseline,
    used: Duration,
}

impl Processes {
    /// Tests of `subject`, none of which may take longer than `longest`.
    pub fn new(sandbox: &Sandbox, subject: Subject, longest: Duration) -> Self {
        Processes::limited(sandbox, subject, longest.into())
    }

    /// Tests of `subject`, each within its limit.
    pub(super) fn limited(sandbox: &Sandbox, subject: Subject, limits: Limits) -> Self {
        let (interpreter, extension) = match subject.language {
            Language::Python => (Some("python3"), "py"),
            Language::Javascript => (Some("node"), "js"),
            Language::Shell => (Some("bash"), "sh"),
            Language::Rust | Language::Other => (None, "txt"),
        };
        let folder = subject.path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let programs = (0..subject.tests.len()).map(|at| format!("{folder}fractal_test_{at}.{extension}")).collect();
        let probe = format!("{folder}fractal_probe.{extension}");
        let limit = |test: &Test| if matches!(test.body, TestBody::Command(_)) { limits.command } else { limits.test };
        let limits = subject.tests.iter().map(limit).collect();
        let (sandbox, baseline, used) = (sandbox.clone(), Baseline::default(), Duration::ZERO);
        Processes { sandbox, subject, interpreter, programs, probe, scratch: None, limits, baseline, used }
    }

    fn files(&self, source: &str) -> Vec<ScratchFile> {
        let mut files = self.subject.support.clone();
        let tool = ScratchFile::plain(&self.subject.path, source);
        files.push(ScratchFile { mode: self.subject.mode, ..tool });
        for (program, test) in self.programs.iter().zip(&self.subject.tests) {
            if let TestBody::Program(code) = &test.body {
                files.push(ScratchFile::plain(program, code.as_str()));
            }
        }
        files
    }

    /// The folder with `source` as the tool's file.
    fn settle(&mut self, source: &str) -> Result<Scratch> {
        let files = self.files(source);
        match self.scratch.take() {
            Some(used) => self.sandbox.refresh(used, &files),
            None => self.sandbox.checkout(&files),
        }
    }

    fn run(&mut self, source: &str, at: usize, limit: Duration) -> Result<TestRun> {
        let scratch = self.settle(source)?;
        let run = self.start(&scratch, at, limit, Vec::new());
        self.scratch = Some(scratch);
        run
    }

    /// The lines of the tool's file that one test runs, where that can be known.
    fn lines(&mut self, source: &str, at: usize, limit: Duration) -> Result<BTreeSet<u32>> {
        if self.subject.language != Language::Shell {
            return Ok(BTreeSet::new());
        }
        let scratch = self.settle(source)?;
        let (before, trace) = shell::prepare(scratch.root())?;
        self.start(&scratch, at, limit, before)?;
        let lines = scratch.open(&trace).map(|trace| shell::lines(trace, scratch.root(), &self.subject.path)).unwrap_or_default();
        self.scratch = Some(scratch);
        Ok(lines)
    }

    /// One test; `before` is put before its command.
    fn start(&mut self, scratch: &Scratch, at: usize, limit: Duration, before: Vec<OsString>) -> Result<TestRun> {
        let Some(test) = self.subject.tests.get(at) else { bail!("there is no test {at}") };
        let script = |path: &str| -> Result<Vec<OsString>> {
            let Some(interpreter) = self.interpreter else {
                bail!("`{path}` is in a language that is not run by a command we know")
            };
            Ok(vec![interpreter.into(), scratch.root().join(path).into()])
        };
        let root = scratch.root().to_string_lossy().into_owned();
        let command = |words: &[String]| words.iter().map(|word| word.replace("{root}", &root).into()).collect::<Vec<OsString>>();
        let (argv, stdin, cwd) = match &test.body {
            TestBody::Program(_) => (script(&self.programs[at])?, Vec::new(), ""),
            TestBody::Run(run) => {
                let mut argv = match self.subject.run.is_empty() {
                    true => script(&self.subject.path)?,
                    false => command(&self.subject.run),
                };
                argv.extend(run.args.iter().map(|arg| OsString::from_vec(arg.0.clone())));
                (argv, run.stdin.clone(), run.cwd.as_str())
            }
            TestBody::Command(words) => (command(words), Vec::new(), ""),
        };
        let argv = before.into_iter().chain::<Vec<OsString>>(argv).collect();
        let finished = self.sandbox.run(scratch, argv, stdin, cwd, limit);
        self.used += finished.cpu;
        match &finished.exit {
            Exit::NotStarted(why) => bail!("the test `{}` could not be started: {why}", test.name),
            // A shell's way to say the same (POSIX).
            Exit::Code(126 | 127) if matches!(test.body, TestBody::Command(_)) => {
                bail!("the test `{}` could not be started: {}", test.name, String::from_utf8_lossy(&finished.stderr).trim())
            }
            _ => {}
        }
        Ok(judge(&test.body, &finished, &root))
    }
}

fn judge(body: &TestBody, finished: &Finished, root: &str) -> TestRun {
    let passed = match body {
        TestBody::Run(run) => run.passes(&finished.exit, &finished.stdout),
        TestBody::Program(_) | TestBody::Command(_) => finished.exit == Exit::Code(0),
    };
    let outcome = match finished.exit {
        _ if passed => TestOutcome::Passed,
        Exit::TimedOut => TestOutcome::TimedOut,
        _ => TestOutcome::Failed,
    };
    // Test runners tell of failures on standard output.
    let told = match body {
        TestBody::Command(_) => [&finished.stdout[..], b"\n", &finished.stderr].concat(),
        _ => finished.stderr.clone(),
    };
    let failure = (outcome != TestOutcome::Passed).then(|| lang::failure(&finished.exit, &told, root));
    TestRun { outcome, failure, cpu: finished.duration, lines: BTreeSet::new() }
}

impl Trials for Processes {
    fn cover(&mut self, source: &str) -> Result<Vec<TestRun>> {
        ensure!(!self.subject.tests.is_empty(), "there is no test to try a repair on");
        let (mut runs, mut patient) = (Vec::with_capacity(self.subject.tests.len()), true);
        for at in 0..self.subject.tests.len() {
            let longest = self.limits[at];
            let mut run = self.run(source, at, SHORT.min(longest))?;
            if run.outcome == TestOutcome::TimedOut && patient && longest > SHORT {
                run = self.run(source, at, longest)?;
                patient = run.outcome != TestOutcome::TimedOut;
            }
            runs.push(run);
        }
        let ended = |run: &&TestRun| run.outcome != TestOutcome::TimedOut;
        let limit = |run: &TestRun| (run.cpu * TIME_FACTOR).max(FLOOR);
        // What did not end is waited for as long as for the slowest that did; a suite may take its time where nothing tells.
        let slowest = runs.iter().filter(ended).map(limit).max();
        for (at, run) in runs.iter_mut().enumerate() {
            let is_suite = matches!(self.subject.tests[at].body, TestBody::Command(_));
            let endless = slowest.or((!is_suite).then_some(SHORT));
            let wanted = if run.outcome == TestOutcome::TimedOut { endless } else { Some(limit(run)) };
            self.limits[at] = wanted.map_or(self.limits[at], |wanted| wanted.min(self.limits[at]));
            run.lines = self.lines(source, at, self.limits[at].min(TRACED))?;
        }
        self.baseline = Baseline::new(source, &runs);
        Ok(runs)
    }

    fn triage(&mut self, candidates: &[String], order: &[usize]) -> Result<Vec<Triaged>> {
        let one = |source: &String| {
            for &test in order {
                match self.run(source, test, self.limits.get(test).copied().unwrap_or_default())?.outcome {
                    TestOutcome::Passed => {}
                    TestOutcome::Failed => return Ok(Triaged::Failed { test }),
                    TestOutcome::TimedOut => return Ok(Triaged::TimedOut { test }),
                }
            }
            Ok(Triaged::Passed)
        };
        candidates.iter().map(one).collect()
    }

    fn confirm(&mut self, source: &str, order: &[usize]) -> Result<Vec<TestRun>> {
        order.iter().map(|at| self.run(source, *at, self.limits.get(*at).copied().unwrap_or_default())).collect()
    }

    fn is_reached(&mut self) -> Result<bool> {
        let forced = self.baseline.forced(self.subject.language)?;
        let order: Vec<usize> = (0..self.subject.tests.len()).collect();
        let runs = self.confirm(&forced, &order)?;
        Ok(self.baseline.is_reached(&runs))
    }

    fn programs(&self) -> Vec<String> {
        programs(&self.subject.tests, &self.subject.support)
    }

    fn probe(&mut self, source: &str, program: &str) -> Result<Option<String>> {
        let Some(interpreter) = self.interpreter else { return Ok(None) };
        let mut files = self.files(source);
        let path = self.probe.clone();
        files.push(ScratchFile::plain(&path, program));
        let scratch = match self.scratch.take() {
            Some(used) => self.sandbox.refresh(used, &files)?,
            None => self.sandbox.checkout(&files)?,
        };
        let mut argv: Vec<OsString> = vec![interpreter.into()];
        // Without the installed packages it begins sooner; what needs them answers nothing, and nobody is told apart by it.
        argv.extend((self.subject.language == Language::Python).then(|| OsString::from("-S")));
        argv.push(scratch.root().join(&path).into());
        let finished = self.sandbox.run(&scratch, argv, Vec::new(), "", PROBE);
        self.used += finished.duration;
        self.scratch = Some(scratch);
        Ok(Some(String::from_utf8_lossy(&finished.stdout).into_owned()))
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn cpu(&self) -> Duration {
        self.used
    }
}
