//! What the candidates for one file must pass: recorded runs that failed and that must stay good, and the tool's own tests. A test that tells
//! nothing of a repair is left out: a failing run that does not fail here, a good one that does not repeat, and what fails only because it was
//! run alone.
//!
//! Owns the choice of tests. Where recordings come from, and that none of them is held out, is the caller's business.

use super::SearchError;
use crate::lang::{self, Files, OwnTest};
use crate::model::{Language, Test, TestBody, TestRun};
use crate::world::sandbox::{Sandbox, ScratchFile};
use crate::world::trial::{self, Chosen, Limits, Subject, Trials};

/// More single tests than this are not tried by a process each: the whole command is.
const SINGLE_COMMANDS: usize = 60;
/// Good runs that a candidate must repeat where each of them costs a process.
const GOOD_PROCESSES: usize = 12;
/// More single tests than this are not tried one by one at all.
const SINGLE_PROGRAMS: usize = 600;
/// Classes of failures of a test that was not found where it was looked for.
const NOT_IMPORTED: [&str; 2] = ["ModuleNotFoundError", "ImportError"];

/// The tool's own tests.
#[derive(Clone, Debug)]
pub struct Suite {
    /// `{root}` stands for the root of the checkout.
    pub command: Vec<String>,
    /// Whether they pass on the untouched source, when that is known.
    pub passes: Option<bool>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Oracle {
    pub language: Language,
    /// The file that is repaired.
    pub path: String,
    /// Its mode, as git has it.
    pub mode: u32,
    /// The other files of the checkout.
    pub support: Vec<ScratchFile>,
    /// As in [`Subject`].
    pub run: Vec<String>,
    /// Tests that somebody brings, all of which must pass.
    pub given: Vec<Test>,
    /// Runs of the tool that fail and should not.
    pub failing: Vec<Test>,
    /// Runs of the tool that should stay as they are.
    pub good: Vec<Test>,
    pub suite: Option<Suite>,
    pub limits: Limits,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Given,
    Failing,
    Good,
    /// One of the tool's own tests.
    Single,
    /// The command that runs them all.
    Whole,
}

impl Oracle {
    /// The tests that tell something, ready to be put to candidates for `source`.
    ///
    /// # Errors
    /// When the tests cannot be started, or none of them can begin.
    pub fn open(&self, sandbox: &Sandbox, source: &str) -> Result<Box<dyn Trials>, SearchError> {
        let own = self.own_tests(source);
        let mut found = self.cover(sandbox, source, self.tests(&own, true))?;
        if found.is_lost() {
            found = self.cover(sandbox, source, self.tests(&own, false))?;
        }
        let suite_passes = self.suite.as_ref().and_then(|suite| suite.passes) == Some(true) || found.whole_passes();
        if let Some(why) = found.why_none_begins(&self.path) {
            return Err(SearchError::Broken { why });
        }
        let chosen = (0..found.runs.len()).filter(|at| found.tells(*at, suite_passes)).collect();
        Ok(Box::new(Chosen::new(found.trials, chosen, source, &found.runs)))
    }

    fn own_tests(&self, source: &str) -> Vec<OwnTest> {
        let Some(suite) = &self.suite else { return Vec::new() };
        let others =
            self.support.iter().filter_map(|file| Some((std::str::from_utf8(&file.path).ok()?, file.content.as_slice())));
        let files: Files<'_> = others.chain([(self.path.as_str(), source.as_bytes())]).collect();
        lang::own_tests(&suite.command, &files)
    }

    fn tests(&self, own: &[OwnTest], as_programs: bool) -> Vec<(Kind, Test)> {
        let runs = |kind, tests: &[Test]| tests.iter().cloned().map(|test| (kind, test)).collect::<Vec<_>>();
        let (given, failing) = (runs(Kind::Given, &self.given), runs(Kind::Failing, &self.failing));
        let subject = self.subject(Vec::new());
        let is_fast = |test: &Test| trial::is_fast(&subject, test);
        let good = if self.good.iter().all(is_fast) { self.good.len() } else { self.good.len().min(GOOD_PROCESSES) };
        let mut tests = [given, failing, runs(Kind::Good, &self.good[..good])].concat();
        let Some(suite) = &self.suite else { return tests };
        let passes = suite.passes == Some(true);
        let fit = as_programs && self.language == Language::Python && own.len() <= SINGLE_PROGRAMS;
        let mut all = !own.is_empty();
        for test in own {
            let body = match &test.program {
                Some(program) if fit => TestBody::Program(program.clone()),
                // While all pass, one command for all of them says as much as one for each.
                _ if passes || own.len() > SINGLE_COMMANDS => {
                    all = false;
                    continue;
                }
                _ => TestBody::Command(test.command.clone()),
            };
            tests.push((Kind::Single, Test { name: test.name.clone(), body }));
        }
        if !(passes && all) {
            tests.push((Kind::Whole, Test { name: suite.command.join(" "), body: TestBody::Command(suite.command.clone()) }));
        }
        tests
    }

    /// The file with other tests.
    pub fn subject(&self, tests: Vec<Test>) -> Subject {
        Subject {
            language: self.language,
            path: self.path.clone(),
            mode: self.mode,
            support: self.support.clone(),
            run: self.run.clone(),
            tests,
        }
    }

    fn cover(&self, sandbox: &Sandbox, source: &str, tests: Vec<(Kind, Test)>) -> Result<Covered, SearchError> {
        let (kinds, tests): (Vec<Kind>, Vec<Test>) = tests.into_iter().unzip();
        let programs = tests.iter().map(|test| matches!(test.body, TestBody::Program(_))).collect();
        let mut trials = trial::open(sandbox, self.subject(tests), self.limits)?;
        let runs = trials.cover(source)?;
        Ok(Covered { trials, kinds, programs, runs })
    }
}

/// How the untouched source did.
struct Covered {
    trials: Box<dyn Trials>,
    kinds: Vec<Kind>,
    /// Which tests are programs.
    programs: Vec<bool>,
    runs: Vec<TestRun>,
}

impl Covered {
    /// Whether a test that was made into a program does not find what its runner finds.
    fn is_lost(&self) -> bool {
        let not_imported =
            |run: &TestRun| run.failure.as_ref().is_some_and(|failure| NOT_IMPORTED.contains(&failure.class.as_str()));
        (0..self.runs.len()).any(|at| self.programs[at] && not_imported(&self.runs[at]))
    }

    fn whole_passes(&self) -> bool {
        self.kinds.iter().zip(&self.runs).any(|(kind, run)| *kind == Kind::Whole && run.passed())
    }

    fn tells(&self, at: usize, suite_passes: bool) -> bool {
        let passed = self.runs[at].passed();
        match self.kinds[at] {
            Kind::Given => true,
            Kind::Failing => !passed,
            Kind::Good => passed,
            Kind::Single => passed == suite_passes || passed && self.programs[at],
            Kind::Whole => passed == suite_passes,
        }
    }

    /// What keeps every test of the tool from beginning, when it does not lie in the file at `path`.
    fn why_none_begins(&self, path: &str) -> Option<String> {
        let mut own = self.kinds.iter().zip(&self.runs).filter(|(kind, _)| matches!(kind, Kind::Single | Kind::Whole)).peekable();
        own.peek()?;
        if self.kinds.contains(&Kind::Failing) {
            return None;
        }
        let mut why = None;
        for (_, run) in own {
            let failure = run.failure.as_ref()?;
            let in_file = failure.frames.iter().any(|frame| frame.path == path);
            let unread = matches!(failure.class.as_str(), "SyntaxError" | "IndentationError" | "TabError");
            let reason =
                lang::environment_reason(failure).or_else(|| unread.then(|| failure.message.clone())).filter(|_| !in_file)?;
            why.get_or_insert(reason);
        }
        why
    }
}
