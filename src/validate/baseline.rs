//! What the untouched version does with an input: run twice, once for all candidates, so that what it varies in by itself is known
//! and what changed in the world since the recording is not blamed on a patch.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::compare::Expected;
use crate::model::{Comparison, Outcome, ToolInput};
use crate::world::bench::{Bench, Run};

/// The untouched version with one input.
pub(super) struct Old {
    pub run: Run,
    /// What the answer must agree with; `None` when it did not succeed both times.
    pub expected: Option<Expected>,
    /// Whether both runs ended alike.
    pub steady: bool,
}

impl Old {
    /// Whether it answers, always with the very same bytes.
    pub(super) fn is_exact(&self) -> bool {
        self.expected.as_ref().is_some_and(|expected| expected.comparison() == Comparison::Exact)
    }
}

/// See the module.
pub(super) struct Baseline<'a> {
    pub bench: Bench<'a>,
    strictest: Comparison,
    known: Mutex<BTreeMap<ToolInput, Arc<Old>>>,
}

impl<'a> Baseline<'a> {
    pub(super) fn new(bench: Bench<'a>, strictest: Comparison) -> Self {
        Baseline { bench, strictest, known: Mutex::default() }
    }

    /// What it does with `input`.
    pub(super) fn of(&self, input: &ToolInput) -> Arc<Old> {
        if let Some(known) = self.known.lock().ok().and_then(|known| known.get(input).cloned()) {
            return known;
        }
        let old = Arc::new(self.look(input));
        if let Ok(mut known) = self.known.lock() {
            known.insert(input.clone(), old.clone());
        }
        old
    }

    fn look(&self, input: &ToolInput) -> Old {
        let (run, second) = (self.bench.run(input, &[]), self.bench.run(input, &[]));
        let class = |run: &Run| run.failure.as_ref().map(|failure| failure.class.clone());
        let steady = run.outcome == second.outcome && class(&run) == class(&second);
        let both = run.outcome == Outcome::Success && second.outcome == Outcome::Success;
        let expected = both.then(|| Expected::of(run.stdout.clone(), second.stdout, self.strictest));
        Old { run, expected, steady }
    }
}
