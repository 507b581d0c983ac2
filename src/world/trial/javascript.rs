//! JavaScript: one Node.js process tries a batch of candidates, each in a context of its own (`node:vm`). What passes is run alone, in
//! a process for every test. Lines come from V8's own counts.
//!
//! A context is not a process: tests that need more of one than a context offers judge the untouched source differently there. Then every
//! candidate gets processes.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{Processes, Subject, Trials, batch};
use crate::lang;
use crate::model::{Exit, TestBody, TestOutcome, TestRun, Triaged};
use crate::world::sandbox::{Sandbox, ScratchFile};

/// Tries the candidates of a batch.
const RUNNER: &str = include_str!("../../../templates/trial/javascript.js");
/// Starting Node.js, and compiling.
const START: Duration = Duration::from_secs(20);
/// A test in a context gets so many times what it took there on the untouched source, at least [`FLOOR`].
const TIME_FACTOR: f64 = 10.0;
const FLOOR: Duration = Duration::from_millis(30);
/// While lines are counted, a test gets so many times what the longest took in a process, at least [`COVER_FLOOR`].
const COVER_FACTOR: u32 = 3;
const COVER_FLOOR: Duration = Duration::from_millis(400);
/// A test that fails after this time, of the processor, is taken for one that does not end.
const LATE_FAILURE: Duration = Duration::from_millis(800);

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
    /// Which of the tests it was.
    place: usize,
    outcome: String,
    /// How a process would have ended, and what it would have said.
    code: i32,
    said: String,
    milliseconds: f64,
    lines: BTreeSet<u32>,
}

impl Javascript {
    /// Tests of `subject`, none of which may take longer than `longest`.
    pub fn new(sandbox: &Sandbox, subject: Subject, longest: Duration) -> Self {
        let alone = Processes::new(sandbox, subject.clone(), longest);
        Javascript { alone, sandbox: sandbox.clone(), subject, limit: longest, used: Duration::ZERO, fit: BTreeSet::new() }
    }

    /// What starts the runner on the job, from a candidate on; with the time that a test may take when lines are asked for.
    fn start(
        &mut self,
        candidates: &[String],
        order: &[usize],
        cover: Option<Duration>,
    ) -> Result<impl FnMut(usize) -> Result<String>> {
        let code = |body: &TestBody| match body {
            TestBody::Program(code) => code.clone(),
            TestBody::Run(_) | TestBody::Command(_) => String::new(),
        };
        let codes: Vec<String> = self.subject.tests.iter().map(|test| code(&test.body)).collect();
        let limit = cover.unwrap_or(self.limit);
        let milliseconds = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let tests = codes.iter().map(String::as_str).collect();
        let job = serde_json::to_vec(&Job {
            path: &self.subject.path,
            tests,
            candidates,
            order,
            limit: milliseconds,
            cover: cover.is_some(),
        })?;
        let mut files = self.subject.support.clone();
        files.push(ScratchFile::plain("fractal-runner.cjs", RUNNER));
        files.push(ScratchFile::plain("fractal-job.json", job));
        let mut scratch = Some(self.sandbox.checkout(&files)?);
        let whole = START + limit * u32::try_from(order.len() * candidates.len()).unwrap_or(u32::MAX);
        let (sandbox, used) = (self.sandbox.clone(), &mut self.used);
        let mut told = String::new();
        Ok(move |from: usize| {
            // What an earlier process left behind is no business of the next.
            let clean = match scratch.take() {
                Some(used) => sandbox.refresh(used, &files)?,
                None => sandbox.checkout(&files)?,
            };
            // Nobody writes there by accident.
            let result = format!("fractal-{}", uuid::Uuid::new_v4());
            let argv = ["node", "--max-old-space-size=512", "fractal-runner.cjs", "fractal-job.json", &result, &from.to_string()]
                .map(OsString::from);
            let finished = sandbox.run(&clean, argv.to_vec(), Vec::new(), "", whole);
            *used += finished.cpu;
            told += &clean.text(&result);
            scratch = Some(clean);
            Ok(told.clone())
        })
    }
}

impl Javascript {
    /// What each of the tests did in a context, by its place among `programs`; one that took the process with it is not there.
    fn covered(&mut self, source: &str, programs: &[usize], limit: Duration) -> Result<BTreeMap<usize, Covered>> {
        let candidates = [source.to_string()];
        let mut start = self.start(&candidates, programs, Some(limit))?;
        let mut covered: BTreeMap<usize, Covered> = BTreeMap::new();
        let mut from = 0;
        while from < programs.len() {
            let told = start(from)?;
            let read = told.lines().filter_map(|line| serde_json::from_str::<Covered>(line).ok());
            covered.extend(read.map(|covered| (covered.place, covered)));
            from = covered.keys().next_back().map_or(0, |last| last + 1).max(from) + 1;
            if covered.contains_key(&(programs.len() - 1)) {
                break;
            }
        }
        Ok(covered)
    }
}

/// Whether a context and a process have the same opinion of a test, for the same reason.
fn is_same(covered: &Covered, run: &TestRun, limit: Duration) -> bool {
    match (covered.outcome.as_str(), &run.failure) {
        ("passed", None) => true,
        // A process that does not end may end for want of memory.
        ("late", Some(_)) => run.outcome == TestOutcome::TimedOut || run.cpu >= limit,
        ("failed", Some(failure)) if run.outcome == TestOutcome::Failed => {
            let class = lang::failure(&Exit::Code(covered.code), covered.said.as_bytes(), "").class;
            // Where the process's own words could not be read, the code has to do.
            class == failure.class || failure.class == format!("exit {}", covered.code)
        }
        _ => false,
    }
}

impl Trials for Javascript {
    fn cover(&mut self, source: &str) -> Result<Vec<TestRun>> {
        let mut runs = self.alone.cover(source)?;
        let programs: Vec<usize> =
            (0..runs.len()).filter(|at| matches!(self.subject.tests[*at].body, TestBody::Program(_))).collect();
        // A process has to start first, so what ends there ends here.
        // One that fails so late may only have run out of memory.
        let in_time = |run: &&TestRun| run.passed() || run.outcome == TestOutcome::Failed && run.cpu < LATE_FAILURE;
        let ended = runs.iter().filter(in_time).map(|run| run.cpu).max();
        let limit = (ended.unwrap_or_default() * COVER_FACTOR).max(COVER_FLOOR);
        let covered = self.covered(source, &programs, limit)?;
        let ended = covered.values().filter(|covered| covered.outcome != "late").map(|covered| covered.milliseconds);
        let longest = Duration::from_secs_f64(ended.fold(0.0, f64::max) * TIME_FACTOR / 1e3);
        self.limit = self.limit.min(longest.max(FLOOR));
        for (place, at) in programs.into_iter().enumerate() {
            let Some(covered) = covered.get(&place) else {
                // It took a process of more memory with it than it was to have; before that it was late.
                self.fit.extend((!runs[at].passed() && runs[at].cpu >= limit).then_some(at));
                continue;
            };
            if is_same(covered, &runs[at], limit) {
                self.fit.insert(at);
            }
            runs[at].lines.clone_from(&covered.lines);
        }
        Ok(runs)
    }

    fn triage(&mut self, candidates: &[String], order: &[usize]) -> Result<Vec<Triaged>> {
        let fit: Vec<usize> = order.iter().copied().filter(|test| self.fit.contains(test)).collect();
        if fit.is_empty() {
            return self.alone.triage(candidates, order);
        }
        let mut verdicts = vec![None; candidates.len()];
        let mut doubted = BTreeSet::new();
        let mut start = self.start(candidates, &fit, None)?;
        batch::fill(&mut verdicts, &fit, |from| {
            let told = start(from)?;
            doubted.extend(told.lines().filter_map(|line| line.strip_prefix("doubt ")?.parse::<usize>().ok()));
            Ok(told)
        })?;
        drop(start);
        for at in doubted.into_iter().filter(|at| *at < candidates.len()) {
            verdicts[at] = self.alone.triage(&candidates[at..=at], order)?.pop();
        }
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

    fn is_reached(&mut self) -> Result<bool> {
        self.alone.is_reached()
    }

    fn cpu(&self) -> Duration {
        self.used + self.alone.cpu()
    }
}
