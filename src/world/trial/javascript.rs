//! JavaScript: one Node.js process tries a batch of candidates, each in a context of its own (`node:vm`). What passes is run alone, in
//! a process for every test. Lines come from V8's own counts.
//!
//! A context is not a process: tests that need more of one than a context offers judge the untouched source differently there. Then every
//! candidate gets processes.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{Processes, Subject, Trials, batch};
use crate::model::{TestBody, TestRun, Triaged};
use crate::world::sandbox::{Sandbox, ScratchFile};

/// Tries the candidates of a batch.
const RUNNER: &str = include_str!("../../../templates/trial/javascript.js");
/// Starting Node.js, and compiling.
const START: Duration = Duration::from_secs(20);
/// A test in a context gets so many times what it took there on the untouched source, at least [`FLOOR`].
const TIME_FACTOR: f64 = 10.0;
const FLOOR: Duration = Duration::from_millis(30);

/// See the module.
pub struct Javascript {
    alone: Processes,
    sandbox: Sandbox,
    subject: Subject,
    /// For one test in a context.
    limit: Duration,
    used: Duration,
    /// Tests that a context judges as a process does: only they are put to candidates there.
    fit: BTreeSet<usize>,
}

#[derive(Serialize)]
struct Job<'a> {
    path: &'a str,
    tests: Vec<&'a str>,
    candidates: &'a [String],
    order: &'a [usize],
    /// Milliseconds.
    limit: u64,
    cover: bool,
}

/// What a test did in a context.
#[derive(Deserialize)]
struct Covered {
    outcome: String,
    milliseconds: f64,
    lines: BTreeSet<u32>,
}

impl Javascript {
    /// Tests of `subject`, none of which may take longer than `longest`.
    pub fn new(sandbox: &Sandbox, subject: Subject, longest: Duration) -> Self {
        let alone = Processes::new(sandbox, subject.clone(), longest);
        Javascript { alone, sandbox: sandbox.clone(), subject, limit: longest, used: Duration::ZERO, fit: BTreeSet::new() }
    }

    /// Starts the runner on the job as often as `again` wants it.
    fn start(&mut self, candidates: &[String], order: &[usize], cover: bool) -> Result<impl FnMut(usize) -> Result<String>> {
        let code = |body: &TestBody| match body {
            TestBody::Program(code) => code.clone(),
            TestBody::Run(_) | TestBody::Command(_) => String::new(),
        };
        let codes: Vec<String> = self.subject.tests.iter().map(|test| code(&test.body)).collect();
        let limit = u64::try_from(self.limit.as_millis()).unwrap_or(u64::MAX);
        let tests = codes.iter().map(String::as_str).collect();
        let job = serde_json::to_vec(&Job { path: &self.subject.path, tests, candidates, order, limit, cover })?;
        let mut files = self.subject.support.clone();
        files.push(ScratchFile::plain("fractal-runner.cjs", RUNNER));
        files.push(ScratchFile::plain("fractal-job.json", job));
        let scratch = self.sandbox.checkout(&files)?;
        let whole = START + self.limit * u32::try_from(order.len() * candidates.len()).unwrap_or(u32::MAX);
        let (sandbox, used) = (self.sandbox.clone(), &mut self.used);
        Ok(move |from: usize| {
            let argv = [
                "node",
                "--max-old-space-size=512",
                "fractal-runner.cjs",
                "fractal-job.json",
                "fractal-result",
                &from.to_string(),
            ]
            .map(OsString::from);
            let finished = sandbox.run(&scratch, argv.to_vec(), Vec::new(), "", whole);
            *used += finished.duration;
            Ok(std::fs::read_to_string(scratch.root().join("fractal-result")).unwrap_or_default())
        })
    }
}

impl Trials for Javascript {
    fn cover(&mut self, source: &str) -> Result<Vec<TestRun>> {
        let mut runs = self.alone.cover(source)?;
        let programs: Vec<usize> =
            (0..runs.len()).filter(|at| matches!(self.subject.tests[*at].body, TestBody::Program(_))).collect();
        let told = self.start(&[source.to_string()], &programs, true)?(0)?;
        let covered: Vec<Covered> = serde_json::from_str(&told).unwrap_or_default();
        let ended = covered.iter().filter(|covered| covered.outcome != "late").map(|covered| covered.milliseconds);
        let longest = Duration::from_secs_f64(ended.fold(0.0, f64::max) * TIME_FACTOR / 1e3);
        self.limit = self.limit.min(longest.max(FLOOR));
        for (at, covered) in programs.into_iter().zip(covered) {
            let passed = covered.outcome == "passed";
            if passed == runs[at].passed() {
                self.fit.insert(at);
            }
            runs[at].lines = covered.lines;
        }
        Ok(runs)
    }

    fn triage(&mut self, candidates: &[String], order: &[usize]) -> Result<Vec<Triaged>> {
        let fit: Vec<usize> = order.iter().copied().filter(|test| self.fit.contains(test)).collect();
        if fit.is_empty() {
            return self.alone.triage(candidates, order);
        }
        let mut verdicts = vec![None; candidates.len()];
        let start = self.start(candidates, &fit, false)?;
        batch::fill(&mut verdicts, &fit, start)?;
        Ok(verdicts.into_iter().map(|verdict| verdict.unwrap_or(Triaged::Failed { test: fit[0] })).collect())
    }

    fn confirm(&mut self, source: &str, order: &[usize]) -> Result<Vec<TestRun>> {
        self.alone.confirm(source, order)
    }

    fn programs(&self) -> Vec<String> {
        self.alone.programs()
    }

    fn probe(&mut self, source: &str, program: &str) -> Result<Option<String>> {
        self.alone.probe(source, program)
    }

    fn cpu(&self) -> Duration {
        self.used + self.alone.cpu()
    }
}
