//! The tool's own tests, with the regression test beside them.

use super::last_line;
use super::trial::{Found, Trial};
use crate::model::Exit;

pub(super) fn check(trial: &Trial<'_, '_>) -> Found {
    let gate = trial.gate;
    let Some(run) = gate.bench().with(&trial.patch()).suite() else {
        return Found::skipped("the tool has no tests of its own");
    };
    let before = if gate.suite_is_red() { "they failed without it" } else { "as without it" };
    match run.exit {
        Exit::Code(0) => Found::passed(format!("the tool's own tests pass, {before}")),
        exit => Found::failed(format!("the tool's own tests fail ({exit}), {before}: {}", last_line(&run.stderr))),
    }
}
