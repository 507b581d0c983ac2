//! What a repair is tried on: tests, and how a source does on them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Arg, Failure};

/// One thing that a candidate must pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    pub name: String,
    pub body: TestBody,
}

/// How a test is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestBody {
    /// A program of its own, put beside the tool's file and run there; exit code 0 passes.
    Program(String),
    /// The tool itself with this input: passes when it ends with 0, and prints exactly `stdout` where that is told.
    Run { args: Vec<Arg>, stdin: Vec<u8>, stdout: Option<Vec<u8>> },
    /// A command in the root of the checkout; exit code 0 passes.
    Command(Vec<String>),
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
