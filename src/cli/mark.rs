//! `fractal mark`: say that a run which looked like a success gave a wrong answer.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{Failure, Outcome, Output, render};
use crate::record::Intake;
use crate::world::git::Repo;
use crate::world::{files, read_config, store};

/// The run counts as a failure from then on. With the right answer, a repair has something to aim at.
#[derive(clap::Args)]
pub(super) struct Mark {
    /// The execution's id, or the beginning of it
    execution: String,
    /// The answer was wrong
    #[arg(long, required = true)]
    bad: bool,
    /// What standard output should have been
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

impl Mark {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        let repo = Repo::open(repo)?;
        let config = read_config(&repo)?;
        let answer = self.expect.as_deref().map(files::read).transpose()?;
        if store::open_to_read(&repo, &config)?.is_empty()? {
            return Err(Failure::mistake("no execution was ever recorded here", "`fractal exec TOOL -- ARGS…` records one"));
        }
        let mut store = store::open(&repo, &config)?;
        let execution = store.find(self.execution.trim())?;
        let intake = Intake::new(&config, &repo.root().to_string_lossy()).knowing(&files::environment());
        let expected = answer.as_deref().and_then(|answer| intake.expected(&execution.tool, answer));
        store.mark_bad(&execution.id, expected.as_deref())?;
        if self.output.json {
            let kept = expected.is_some();
            render::say_json(
                &serde_json::json!({ "execution": execution.id, "tool": execution.tool, "marked": "bad", "expected_kept": kept }),
            );
        } else {
            let lost = if answer.is_some() && expected.is_none() { "; its capture level keeps no right answer" } else { "" };
            render::say(&format!(
                "{}: {} {} is marked as wrong{lost}",
                execution.id.short(),
                execution.tool,
                execution.input.display(60)
            ));
        }
        Ok(ExitCode::SUCCESS)
    }
}
