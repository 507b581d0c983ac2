//! Rust: one build holds all candidates of a batch. Most are variants of a function behind a switch (`rust/switch.rs`), the others modules
//! of their own. Candidates that do not type-check are dropped by mapping the compiler's messages back to them. What passes is run
//! alone, in a process for every test.
//!
//! For files that stand alone: a file that names `crate::` or modules beside it is not tried this way.

mod lines;
mod messages;
mod switch;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use self::lines::Instrumented;
pub(super) use self::lines::forced;
use self::switch::{Base, Lines, Switched, Variant};
use super::{Baseline, Subject, Trials, batch, programs};
use crate::lang;
use crate::model::{Exit, Language, Test, TestBody, TestOutcome, TestRun, Triaged};
use crate::world::process::Finished;
use crate::world::sandbox::{Sandbox, Scratch, ScratchFile};

/// Runs the candidates of a batch. A library, so that it is compiled once.
const RUNNER: &str = include_str!("../../../templates/trial/rust.rs");
const RUNNER_LIBRARY: &str = "libfractal_runner.rlib";
/// How a test that was run alone says that it came to its end.
const ALONE_PASSED: i32 = 77;
/// Where a test that was built for it tells which units ran, beside the program.
const UNITS_FILE: &str = "fractal-units";
/// A build that takes longer has gone wrong.
const BUILD: Duration = Duration::from_secs(120);
/// A program that looks at answers keeps its own time; this is for one that does not.
const PROBE: Duration = Duration::from_secs(5);
/// Messages of one kind hide those of the next: parsing, names, types, borrows.
const ROUNDS: usize = 8;
/// Tests that the first build of a candidate with a module of its own holds: most fail the first test they meet, and there tests cost
/// more to compile than candidates.
const FIRST_TESTS: usize = 2;
/// More survivors of the first tests than this are put to the others in one build.
const FEW: usize = 2;
/// Candidates of one build, and the bytes of those that need modules.
const BATCH: usize = 512;
const BATCH_BYTES: usize = 2 << 20;
/// A test gets so many times what it needed on the untouched source, at least [`FLOOR`].
const TIME_FACTOR: u32 = 10;
const FLOOR: Duration = Duration::from_millis(60);
/// A test alone gets so many times its limit in a batch: it has to start first, and nobody counts only its own time.
const ALONE_FACTOR: u32 = 4;

/// The first look at a test on the untouched source ends after this time. One test that does not end is waited for as long as is allowed,
/// the others are believed to be endless then.
const SHORT: Duration = Duration::from_millis(250);

/// See the module.
pub struct Rust {
    sandbox: Sandbox,
    /// The tool's file.
    path: String,
    tests: Vec<Test>,
    baseline: Baseline,
    /// What candidates are thought to differ from: the source that was covered.
    base: Option<Base>,
    /// [`RUNNER`], built.
    runner: Option<ScratchFile>,
    /// The last program, and the candidates in it that can be put to all of its tests, by the hashes of their sources.
    last: Option<(Built, HashMap<blake3::Hash, usize>)>,
    /// The most that a test may take at all, and in a batch.
    longest: Duration,
    limit: Duration,
    used: Duration,
}

/// What is built together.
struct Job<'a> {
    candidates: &'a [String],
    /// Those that have none get modules.
    variants: Vec<Option<Variant>>,
    /// Numbers among all tests; modules get only the first ones.
    tests: &'a [usize],
    module_tests: usize,
    /// How many units [`lines`] counts in the candidates.
    units: usize,
}

/// A program that was built.
struct Built {
    scratch: Scratch,
    program: OsString,
    tests: Vec<usize>,
    /// Candidates that do not compile, and why.
    wrong: BTreeMap<usize, String>,
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
        let Subject { path, tests, .. } = subject;
        let (sandbox, baseline, used) = (sandbox.clone(), Baseline::default(), Duration::ZERO);
        Ok(Rust { sandbox, path, tests, baseline, base: None, runner: None, last: None, longest, limit: longest, used })
    }

    /// A source with the tests behind it, where they see everything and move no line.
    fn module(&self, source: &str, tests: &[usize]) -> Result<String> {
        let mut module = format!("{source}\n");
        let mut names = String::new();
        for (at, test) in tests.iter().enumerate() {
            let Some(Test { body: TestBody::Program(code), .. }) = self.tests.get(*test) else {
                bail!("there is no test {test}")
            };
            write!(module, "fn fractal_test_{at}() {{\n{code}\n}}\n")?;
            write!(names, "fractal_test_{at}, ")?;
        }
        writeln!(module, "pub const FRACTAL_TESTS: &[fn()] = &[{names}];")?;
        Ok(module)
    }

    /// Builds what compiles; the inner error says why that cannot be told from the rest.
    fn build(&mut self, job: &Job<'_>) -> Result<Result<Built, String>> {
        let runner = self.runner()?;
        let mut wrong: BTreeMap<usize, String> = BTreeMap::new();
        for _ in 0..ROUNDS {
            let (mut files, lines) = self.files(job, &wrong)?;
            files.push(runner.clone());
            let scratch = self.sandbox.checkout(&files)?;
            let program = scratch.root().join("fractal-trial").into_os_string();
            if wrong.len() == job.candidates.len() {
                return Ok(Ok(Built { scratch, program, tests: job.tests.to_vec(), wrong }));
            }
            let argv = COMPILER.iter().chain(&["-Ccodegen-units=1", "main.rs", "-o", "fractal-trial", "--extern"]);
            let told = OsString::from(format!("fractal_runner={RUNNER_LIBRARY}"));
            let argv = argv.map(OsString::from).chain([told]).collect();
            let finished = self.run(&scratch, argv, BUILD)?;
            if finished.exit == Exit::Code(0) {
                return Ok(Ok(Built { scratch, program, tests: job.tests.to_vec(), wrong }));
            }
            match messages::refused(&finished.stderr, &lines) {
                Ok(found) => wrong.extend(found),
                Err(why) => return Ok(Err(why)),
            }
        }
        Ok(Err(format!("after {ROUNDS} builds there are still candidates that do not compile")))
    }

    /// The runner's library.
    fn runner(&mut self) -> Result<ScratchFile> {
        if let Some(runner) = &self.runner {
            return Ok(runner.clone());
        }
        let scratch = self.sandbox.checkout(&[ScratchFile::plain("fractal_runner.rs", RUNNER)])?;
        let argv = COMPILER.iter().chain(&["--crate-type=rlib", "fractal_runner.rs", "-o", RUNNER_LIBRARY]);
        let finished = self.run(&scratch, argv.map(OsString::from).collect(), BUILD)?;
        let said = || String::from_utf8_lossy(&finished.stderr).into_owned();
        ensure!(finished.exit == Exit::Code(0), "`rustc` started, but cannot build what runs the tests: {}", said());
        let library = scratch.read(RUNNER_LIBRARY).context("reading what runs the tests")?;
        Ok(self.runner.insert(ScratchFile::plain(RUNNER_LIBRARY, library)).clone())
    }

    /// The program's files, and the lines of the candidates that share one.
    fn files(&self, job: &Job<'_>, wrong: &BTreeMap<usize, String>) -> Result<(Vec<ScratchFile>, Lines)> {
        let (mut files, mut lines) = (Vec::new(), Lines::new());
        let mut main =
            "#![allow(warnings)]\nuse fractal_runner::{candidate as fractal_candidate, hit as fractal_hit};\n".to_string();
        let mut variants = Vec::new();
        let mut list = String::new();
        for (at, (source, variant)) in job.candidates.iter().zip(&job.variants).enumerate() {
            if wrong.contains_key(&at) {
                list.push_str("(0, &[]), ");
            } else if let Some(variant) = variant {
                variants.push((at, variant.clone()));
                write!(list, "({at}, base::FRACTAL_TESTS), ")?;
            } else {
                let tests = &job.tests[..job.module_tests];
                files.push(ScratchFile::plain(&messages::module(at), self.module(source, tests)?));
                writeln!(main, "mod c{at};")?;
                write!(list, "({at}, c{at}::FRACTAL_TESTS), ")?;
            }
        }
        if let Some(base) = self.base.as_ref().filter(|_| !variants.is_empty()) {
            let switched: Switched = base.switched(&variants);
            files.push(ScratchFile::plain(messages::BASE, self.module(&switched.text, job.tests)?));
            lines = switched.lines;
            main.push_str("mod base;\n");
        }
        writeln!(main, "fn main() {{ fractal_runner::main(&[{list}], {}) }}", job.units)?;
        files.push(ScratchFile::plain("main.rs", main));
        Ok((files, lines))
    }

    /// One source alone.
    fn only(&mut self, source: &str, tests: &[usize], units: usize) -> Result<Built> {
        let candidates = [source.to_string()];
        let built =
            self.build(&Job { candidates: &candidates, variants: vec![None], tests, module_tests: tests.len(), units })?;
        let mut built = built.map_err(|why| anyhow::anyhow!("it cannot be built: {why}"))?;
        match built.wrong.remove(&0) {
            Some(why) => bail!("it does not compile: {why}"),
            None => Ok(built),
        }
    }

    /// One test on one candidate of a build, in a process of its own. Places are told of the tool's file, which holds `source`.
    fn alone(&mut self, built: &Built, candidate: usize, test: usize, source: &str, limit: Duration) -> Result<TestRun> {
        let at = built.tests.iter().position(|known| *known == test).with_context(|| format!("there is no test {test}"))?;
        let root = built.scratch.root().to_string_lossy().into_owned();
        let argv = vec![built.program.clone(), "alone".into(), candidate.to_string().into(), at.to_string().into()];
        let finished = self.run(&built.scratch, argv, limit)?;
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
        Ok(TestRun { outcome, failure, cpu: finished.duration, lines: Default::default() })
    }

    /// Every test on `source`, with the lines that ran, unless the calls that tell of them are in the compiler's way.
    fn covered(&mut self, source: &str) -> Result<Vec<TestRun>> {
        let tests: Vec<usize> = (0..self.tests.len()).collect();
        let (built, units) = match lines::instrument(source) {
            Some(Instrumented { source: calling, units }) => (self.only(&calling, &tests, units.len()), units),
            None => (self.only(source, &tests, 0), Vec::new()),
        };
        let (built, units) = match built {
            Ok(built) => (built, units),
            Err(_) => (self.only(source, &tests, 0)?, Vec::new()),
        };
        let mut patience = self.longest;
        let mut runs = Vec::with_capacity(tests.len());
        for test in tests {
            let mut run = self.listened(&built, test, source, &units, SHORT.min(self.longest))?;
            if run.outcome == TestOutcome::TimedOut && !patience.is_zero() {
                let whole = self.listened(&built, test, source, &units, self.longest)?;
                patience = if whole.outcome == TestOutcome::TimedOut { Duration::ZERO } else { patience };
                run = whole;
            }
            runs.push(run);
        }
        Ok(runs)
    }

    /// One test, and the lines of the `units` that it told of.
    fn listened(&mut self, built: &Built, test: usize, source: &str, units: &[Vec<u32>], limit: Duration) -> Result<TestRun> {
        let _ = std::fs::remove_file(built.scratch.root().join(UNITS_FILE));
        let mut run = self.alone(built, 0, test, source, limit)?;
        let told = built.scratch.text(UNITS_FILE);
        let ran = told.lines().filter_map(|unit| units.get(unit.parse::<usize>().ok()?));
        run.lines = ran.flatten().copied().collect();
        Ok(run)
    }

    fn run(&mut self, scratch: &Scratch, argv: Vec<OsString>, time: Duration) -> Result<Finished> {
        let finished = self.sandbox.run(scratch, argv, Vec::new(), "", time);
        self.used += finished.cpu;
        if let Exit::NotStarted(why) = &finished.exit {
            bail!("a trial could not be started: {why}");
        }
        Ok(finished)
    }

    /// How the candidates do on the job's tests, up to the first that each does not pass; `None` when they cannot be built together.
    fn batch(&mut self, job: &Job<'_>) -> Result<Option<Vec<Triaged>>> {
        let Some(first) = job.tests.first().copied() else { return Ok(Some(vec![Triaged::Passed; job.candidates.len()])) };
        self.last = None;
        let Ok(built) = self.build(job)? else { return Ok(None) };
        let failed = Triaged::Failed { test: first };
        let mut verdicts: Vec<Option<Triaged>> =
            (0..job.candidates.len()).map(|at| built.wrong.contains_key(&at).then_some(failed)).collect();
        let results = built.scratch.root().join("fractal-verdicts");
        let limit = self.limit.as_millis().to_string();
        let runs = u32::try_from(job.tests.len() * job.candidates.len()).unwrap_or(u32::MAX);
        let whole = self.limit.saturating_mul(runs).saturating_mul(2) + BUILD;
        if built.wrong.len() < job.candidates.len() {
            batch::fill(&mut verdicts, job.tests, |from| {
                let argv = vec![built.program.clone(), results.clone().into(), from.to_string().into(), limit.clone().into()];
                self.run(&built.scratch, argv, whole)?;
                Ok(built.scratch.text(&results))
            })?;
        }
        let is_whole = |at: usize| job.variants[at].is_some() || job.module_tests == job.tests.len();
        let ready = (0..job.candidates.len()).filter(|at| is_whole(*at) && !built.wrong.contains_key(at));
        let places = ready.map(|at| (blake3::hash(job.candidates[at].as_bytes()), at)).collect();
        self.last = Some((built, places));
        Ok(Some(verdicts.into_iter().map(|verdict| verdict.unwrap_or(failed)).collect()))
    }

    /// The source's place in the last program.
    fn last_place(&self, source: &str) -> Option<usize> {
        self.last.as_ref()?.1.get(&blake3::hash(source.as_bytes())).copied()
    }

    /// Candidates of one build. What cannot be built together is built without the switch, then in halves.
    fn together(
        &mut self,
        candidates: &[String],
        variants: &[Option<Variant>],
        tests: &[usize],
        first: usize,
    ) -> Result<Vec<Triaged>> {
        let module_tests = first.min(tests.len());
        let job = |variants: &[Option<Variant>]| Job { candidates, variants: variants.to_vec(), tests, module_tests, units: 0 };
        let none = vec![None; candidates.len()];
        let variants = if self.base.is_some() { variants } else { &none };
        let mut told = self.batch(&job(variants))?;
        if told.is_none() && variants.iter().any(Option::is_some) {
            self.base = None;
            told = self.batch(&job(&none))?;
        }
        match (told, candidates) {
            (Some(verdicts), _) => Ok(verdicts),
            (None, [_]) => Ok(vec![Triaged::Failed { test: tests[0] }]),
            (None, _) => {
                let half = candidates.len() / 2;
                let (left, right) = (vec![None; half], vec![None; candidates.len() - half]);
                let mut verdicts = self.together(&candidates[..half], &left, tests, first)?;
                verdicts.extend(self.together(&candidates[half..], &right, tests, first)?);
                Ok(verdicts)
            }
        }
    }

    /// One batch of a triage.
    fn some(&mut self, candidates: &[String], variants: &[Option<Variant>], order: &[usize]) -> Result<Vec<Triaged>> {
        let mut verdicts = self.together(candidates, variants, order, FIRST_TESTS)?;
        let passed: Vec<usize> = (0..candidates.len()).filter(|at| verdicts[*at] == Triaged::Passed).collect();
        let half_way = passed.iter().filter(|at| self.last_place(&candidates[**at]).is_none()).count();
        if half_way > FEW && order.len() > FIRST_TESTS {
            let sources: Vec<String> = passed.iter().map(|at| candidates[*at].clone()).collect();
            let variants: Vec<Option<Variant>> = passed.iter().map(|at| variants[*at].clone()).collect();
            for (at, verdict) in passed.into_iter().zip(self.together(&sources, &variants, order, order.len())?) {
                verdicts[at] = verdict;
            }
        }
        Ok(verdicts)
    }
}

/// How many of these sizes, one at least, make a build.
fn fitting(sizes: impl Iterator<Item = usize>) -> usize {
    let mut whole = 0;
    let fits = |size: &usize| {
        whole += size;
        whole <= BATCH_BYTES
    };
    sizes.take(BATCH).take_while(fits).count().max(1)
}

/// What all builds have in common.
const COMPILER: [&str; 5] = ["rustc", "--edition=2021", "--error-format=json", "-Cdebuginfo=0", "-Coverflow-checks=on"];

impl Trials for Rust {
    fn cover(&mut self, source: &str) -> Result<Vec<TestRun>> {
        ensure!(!self.tests.is_empty(), "there is no test to try a repair on");
        let runs = self.covered(source)?;
        self.baseline = Baseline::new(source, &runs);
        self.base = Some(Base::new(source));
        let longest = runs.iter().filter(|run| run.outcome != TestOutcome::TimedOut).map(|run| run.cpu).max();
        self.limit = self.limit.min((longest.unwrap_or_default() * TIME_FACTOR).max(FLOOR));
        Ok(runs)
    }

    fn triage(&mut self, candidates: &[String], order: &[usize]) -> Result<Vec<Triaged>> {
        let variant = |source: &String| self.base.as_ref().and_then(|base| base.variant(source));
        let variants: Vec<Option<Variant>> = candidates.iter().map(variant).collect();
        let mut verdicts = Vec::with_capacity(candidates.len());
        while verdicts.len() < candidates.len() {
            let from = verdicts.len();
            let sizes = candidates[from..].iter().zip(&variants[from..]).map(|(source, variant)| match variant {
                Some(variant) if self.base.is_some() => variant.len(),
                _ => source.len(),
            });
            let until = from + fitting(sizes);
            verdicts.extend(self.some(&candidates[from..until], &variants[from..until], order)?);
        }
        Ok(verdicts)
    }

    fn confirm(&mut self, source: &str, order: &[usize]) -> Result<Vec<TestRun>> {
        let place = self.last_place(source);
        let holds = |built: &Built| order.iter().all(|test| built.tests.contains(test));
        let (place, last) = match (place, self.last.take()) {
            (Some(place), Some(last)) if holds(&last.0) => (place, last),
            _ => (0, (self.only(source, order, 0)?, HashMap::from([(blake3::hash(source.as_bytes()), 0)]))),
        };
        let limit = (self.limit * ALONE_FACTOR).min(self.longest);
        let runs = order.iter().map(|test| self.alone(&last.0, place, *test, source, limit)).collect();
        self.last = Some(last);
        runs
    }

    fn programs(&self) -> Vec<String> {
        programs(&self.tests, &[])
    }

    fn probe(&mut self, source: &str, program: &str) -> Result<Option<String>> {
        let main = "#![allow(warnings)]\nmod c;\nfn main() {\n    c::fractal_probe();\n    std::process::exit(0);\n}\n";
        let files = [ScratchFile::plain("main.rs", main), ScratchFile::plain("c.rs", format!("{source}\n{program}"))];
        let scratch = self.sandbox.checkout(&files)?;
        let build = ["rustc", "--edition=2021", "-Cdebuginfo=0", "-Coverflow-checks=on", "main.rs", "-o", "probe"];
        if self.run(&scratch, build.map(OsString::from).to_vec(), BUILD)?.exit != Exit::Code(0) {
            return Ok(None);
        }
        let program = scratch.root().join("probe").into_os_string();
        Ok(Some(String::from_utf8_lossy(&self.run(&scratch, vec![program], PROBE)?.stdout).into_owned()))
    }

    fn is_reached(&mut self) -> Result<bool> {
        let forced = self.baseline.forced(Language::Rust)?;
        let order: Vec<usize> = (0..self.tests.len()).collect();
        let runs = self.confirm(&forced, &order)?;
        Ok(self.baseline.is_reached(&runs))
    }

    fn cpu(&self) -> Duration {
        self.used
    }
}
