//! What a repair is tried on: tests, and how a source does on them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Arg, Exit, Failure, Outcome, SuccessRule};

/// One thing that a candidate must pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    pub name: String,
    pub body: TestBody,
}

/// How a test is run.
#[derive(Clone, Debug, PartialEq)]
pub enum TestBody {
    /// A program of its own, put beside the tool's file and run there; exit code 0 passes.
    Program(String),
    /// The tool itself with an input.
    Run(ToolRun),
    /// A command in the root of the checkout, which `{root}` in it stands for; exit code 0 passes.
    Command(Vec<String>),
}

/// One run of the tool, and when it counts as passed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolRun {
    pub args: Vec<Arg>,
    pub stdin: Vec<u8>,
    /// Where it runs, relative to the root of the checkout.
    pub cwd: String,
    /// What counts as a success of this tool.
    pub success: SuccessRule,
    pub answer: Answer,
}

/// What a run should print.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// Nobody has said.
    #[default]
    Any,
    /// Exactly this.
    This(Vec<u8>),
    /// Anything else than this, which somebody has called wrong.
    Other(Vec<u8>),
}

impl ToolRun {
    /// Whether a run that ended with `exit` and printed `stdout` passes.
    pub fn passes(&self, exit: &Exit, stdout: &[u8]) -> bool {
        let said = match &self.answer {
            Answer::Any => true,
            Answer::This(wanted) => stdout == wanted,
            Answer::Other(wrong) => stdout != wrong,
        };
        said && self.success.judge(exit, stdout) == Outcome::Success
    }
}

/// How one test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestOutcome {
    Passed,
    Failed,
    TimedOut,
}

/// One test on one source.
#[derive(Clone, Debug, PartialEq)]
pub struct TestRun {
    pub outcome: TestOutcome,
    /// What a test that did not pass said.
    pub failure: Option<Failure>,
    pub cpu: Duration,
    /// The lines of the tool's file that ran, 1-based; empty unless they were asked for and can be known.
    pub lines: BTreeSet<u32>,
}

impl TestRun {
    /// Whether the test passed.
    pub fn passed(&self) -> bool {
        self.outcome == TestOutcome::Passed
    }
}

/// How a candidate did in a batch. The number is of the first test that it did not pass, among all tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Triaged {
    Passed,
    Failed { test: usize },
    TimedOut { test: usize },
}

impl Triaged {
    /// The first test that was not passed.
    pub fn stopped_at(self) -> Option<usize> {
        match self {
            Triaged::Passed => None,
            Triaged::Failed { test } | Triaged::TimedOut { test } => Some(test),
        }
    }
}
