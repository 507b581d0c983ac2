//! `fractal shadow`: what `fractal exec` leaves behind while a proposal waits. Not for people, so the help does not list it.

use std::path::Path;
use std::process::ExitCode;

use super::{Outcome, now};
use crate::engine::shadow;
use crate::model::ExecutionId;
use crate::world::passthrough;

/// Repeats a recorded run on the version of its tool that waits on a branch, and notes what it shows.
#[derive(clap::Args)]
pub(super) struct Shadow {
    /// The tool's name
    tool: String,
    /// The execution's id
    execution: String,
}

impl Shadow {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        passthrough::withdraw();
        shadow::run(repo, now(), &self.tool, &ExecutionId(self.execution.clone()))?;
        Ok(ExitCode::SUCCESS)
    }
}
