//! The plain way to try sources: a process for every test. Slow, isolated, and the same for every language that has an
//! interpreter; the faster ways are measured against it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::{Subject, Trials};
use crate::lang;
use crate::model::{Exit, Language, TestBody, TestOutcome, TestRun, Triaged};
use crate::world::process::Finished;
use crate::world::sandbox::{Sandbox, Scratch, ScratchFile};

/// A test gets so many times what it needed on the untouched source, at least [`FLOOR`].
const TIME_FACTOR: u32 = 10;
const FLOOR: Duration = Duration::from_millis(500);

/// See the module.
pub struct Processes {
    sandbox: Sandbox,
    subject: Subject,
    interpreter: &'static str,
    /// Where the tests' own programs are, relative to the root.
    programs: Vec<String>,
    scratch: Option<Scratch>,
    /// The most that one test may take, in the order of the tests.
    limits: Vec<Duration>,
    used: Duration,
}

impl Processes {
    /// Tests of `subject`, none of which may take longer than `longest`.
    ///
    /// # Errors
    /// When the language has no interpreter that we know.
    pub fn new(sandbox: &Sandbox, subject: Subject, longest: Duration) -> Result<Self> {
        let (interpreter, extension) = match subject.language {
            Language::Python => ("python3", "py"),
            Language::Javascript => ("node", "js"),
            Language::Shell => ("bash", "sh"),
            Language::Rust | Language::Other => bail!("`{}` is in a language whose tests cannot be run one by one", subject.path),
        };
        let folder = subject.path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let programs = (0..subject.tests.len()).map(|at| format!("{folder}fractal_test_{at}.{extension}")).collect();
        let limits = vec![longest; subject.tests.len()];
        Ok(Processes { sandbox: sandbox.clone(), subject, interpreter, programs, scratch: None, limits, used: Duration::ZERO })
    }

    fn files(&self, source: &str) -> Vec<ScratchFile> {
        let file = |path: &str, content: &[u8], mode| ScratchFile {
            path: path.as_bytes().to_vec(),
            mode,
            content: Arc::new(content.to_vec()),
        };
        let mut files: Vec<ScratchFile> =
            self.subject.support.iter().map(|(path, content)| file(path, content, 0o100644)).collect();
        files.push(file(&self.subject.path, source.as_bytes(), 0o100755));
        for (program, test) in self.programs.iter().zip(&self.subject.tests) {
            if let TestBody::Program(code) = &test.body {
                files.push(file(program, code.as_bytes(), 0o100644));
            }
        }
        files
    }

    fn run(&mut self, source: &str, at: usize) -> Result<TestRun> {
        let files = self.files(source);
        let scratch = match self.scratch.take() {
            Some(used) => self.sandbox.refresh(used, &files)?,
            None => self.sandbox.checkout(&files)?,
        };
        let Some(test) = self.subject.tests.get(at) else { bail!("there is no test {at}") };
        let (script, args, stdin) = match &test.body {
            TestBody::Program(_) => (&self.programs[at], Vec::new(), Vec::new()),
            TestBody::Run { args, stdin, .. } => (&self.subject.path, args.clone(), stdin.clone()),
        };
        let mut argv: Vec<OsString> = vec![self.interpreter.into(), scratch.root().join(script).into()];
        argv.extend(args.into_iter().map(|arg| OsString::from_vec(arg.0)));
        let finished = self.sandbox.run(&scratch, argv, stdin, "", self.limits[at]);
        self.used += finished.duration;
        let root = scratch.root().to_string_lossy().into_owned();
        self.scratch = Some(scratch);
        if let Exit::NotStarted(why) = &finished.exit {
            bail!("the test `{}` could not be started: {why}", test.name);
        }
        Ok(judge(&test.body, &finished, &root))
    }
}

fn judge(body: &TestBody, finished: &Finished, root: &str) -> TestRun {
    let said = match body {
        TestBody::Run { stdout: Some(expected), .. } => &finished.stdout == expected,
        _ => true,
    };
    let outcome = match finished.exit {
        Exit::Code(0) if said => TestOutcome::Passed,
        Exit::TimedOut => TestOutcome::TimedOut,
        _ => TestOutcome::Failed,
    };
    let failure = (outcome != TestOutcome::Passed).then(|| lang::failure(&finished.exit, &finished.stderr, root));
    TestRun { outcome, failure, cpu: finished.duration, lines: BTreeSet::new() }
}

impl Trials for Processes {
    fn cover(&mut self, source: &str) -> Result<Vec<TestRun>> {
        ensure!(!self.subject.tests.is_empty(), "there is no test to try a repair on");
        let runs = (0..self.subject.tests.len()).map(|at| self.run(source, at)).collect::<Result<Vec<_>>>()?;
        for (limit, run) in self.limits.iter_mut().zip(&runs) {
            if run.outcome != TestOutcome::TimedOut {
                *limit = (*limit).min((run.cpu * TIME_FACTOR).max(FLOOR));
            }
        }
        Ok(runs)
    }

    fn triage(&mut self, candidates: &[String], order: &[usize]) -> Result<Vec<Triaged>> {
        let one = |source: &String| {
            for &test in order {
                match self.run(source, test)?.outcome {
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
        order.iter().map(|at| self.run(source, *at)).collect()
    }

    fn cpu(&self) -> Duration {
        self.used
    }
}
