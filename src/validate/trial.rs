//! One candidate on its way through the gate: the checkout with its patch, and what it did with each input so far.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::Gate;
use super::baseline::Baseline;
use super::regression_test::Recipe;
use crate::model::{Candidate, Check, CheckStatus, Patch, ToolInput};
use crate::world::bench::{Bench, Run};

/// The old and the new version, side by side. Shared between threads, which what reads the repository cannot be.
pub(super) struct Pair<'g, 'a> {
    pub old: &'g Baseline<'a>,
    pub bench: Bench<'a>,
    runs: Mutex<BTreeMap<ToolInput, Arc<Run>>>,
}

impl Pair<'_, '_> {
    /// What the candidate does with `input`, run once.
    pub(super) fn run(&self, input: &ToolInput) -> Arc<Run> {
        if let Some(known) = self.runs.lock().ok().and_then(|runs| runs.get(input).cloned()) {
            return known;
        }
        let run = Arc::new(self.bench.run(input, &[]));
        if let Ok(mut runs) = self.runs.lock() {
            runs.insert(input.clone(), run.clone());
        }
        run
    }
}

/// See the module.
pub(super) struct Trial<'g, 'a> {
    pub gate: &'g Gate<'a>,
    pub candidate: &'g Candidate,
    pub pair: Pair<'g, 'a>,
    /// The regression test, once there is one.
    pub test: Option<Patch>,
    pub recipe: Option<Recipe>,
}

impl<'g, 'a> Trial<'g, 'a> {
    pub(super) fn new(gate: &'g Gate<'a>, candidate: &'g Candidate) -> Self {
        let bench = gate.bench().with(&candidate.patch);
        let pair = Pair { old: &gate.baseline, bench, runs: Mutex::default() };
        Trial { gate, candidate, pair, test: None, recipe: None }
    }

    /// The patch, with the regression test if there is one.
    pub(super) fn patch(&self) -> Patch {
        match &self.test {
            Some(test) => self.candidate.patch.clone().and(test.clone()),
            None => self.candidate.patch.clone(),
        }
    }
}

/// How a step ended, before it has its name.
pub(super) struct Found {
    status: CheckStatus,
    detail: String,
    listed: Vec<String>,
}

impl Found {
    pub(super) fn passed(detail: impl Into<String>) -> Found {
        Found { status: CheckStatus::Passed, detail: detail.into(), listed: Vec::new() }
    }

    pub(super) fn weak(detail: impl Into<String>) -> Found {
        Found { status: CheckStatus::Weak, ..Found::passed(detail) }
    }

    pub(super) fn failed(detail: impl Into<String>) -> Found {
        Found { status: CheckStatus::Failed, ..Found::passed(detail) }
    }

    pub(super) fn skipped(detail: impl Into<String>) -> Found {
        Found { status: CheckStatus::Skipped, ..Found::passed(detail) }
    }

    /// With more to see, a line each; only the first few are kept.
    pub(super) fn listing(mut self, listed: impl IntoIterator<Item = String>) -> Found {
        self.listed.extend(listed.into_iter().take(LISTED_MAX));
        self
    }

    pub(super) fn named(self, name: &str) -> Check {
        Check { name: name.to_string(), status: self.status, detail: self.detail, listed: self.listed }
    }
}

/// Lines kept of what a check lists.
const LISTED_MAX: usize = 10;
