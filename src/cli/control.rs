//! `fractal approve`, `revert`, `pause`, `resume`: what a person can say to the loop.

use std::path::Path;
use std::process::ExitCode;

use super::render::{self, Teller};
use super::{Outcome, Output, now, person, run};
use crate::engine::{Loop, Wish, wish};
use crate::world::git::{PAUSE_REF, Repo};
use crate::world::lock::LockError;

/// Lifts what is a matter of trust, never what is a matter of fact: the improvement is validated again if the base has moved.
#[derive(clap::Args)]
pub(super) struct Approve {
    /// The improvement's id, or the beginning of it
    id: String,
    #[command(flatten)]
    output: Output,
}

/// Makes a commit that undoes it; the same patch is never proposed again.
#[derive(clap::Args)]
pub(super) struct Revert {
    /// The improvement's id, or the beginning of it
    id: String,
    #[command(flatten)]
    output: Output,
}

/// A ref, `refs/fractal/paused`, that every outward act reads first; pushing or fetching it pauses elsewhere too.
#[derive(clap::Args)]
pub(super) struct Pause {
    /// Why, for the others
    #[arg(default_value = "")]
    reason: String,
    #[command(flatten)]
    output: Output,
}

/// Removes the ref that `pause` wrote.
#[derive(clap::Args)]
pub(super) struct Resume {
    #[command(flatten)]
    output: Output,
}

impl Approve {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        wish_and_cycle(repo, &self.id, Wish::Approve, self.output.json)
    }
}

impl Revert {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        wish_and_cycle(repo, &self.id, Wish::Revert, self.output.json)
    }
}

/// Records the wish, then runs a cycle that acts on it; a loop that is running acts on it instead.
fn wish_and_cycle(repo: &Path, id: &str, what: Wish, json: bool) -> Outcome {
    let teller = Teller::new(json, false);
    let engine = Loop::builder(repo).mode("run").on_progress(move |progress| teller.tell(&progress)).build();
    wish(repo, now(), id, what, &person())?;
    match engine {
        Ok(engine) => {
            run::runtime()?.block_on(engine.run_cycle())?;
        }
        Err(crate::CycleError::Lock(LockError::Held(_))) if json => render::say_json(&serde_json::json!({ "noted": true })),
        Err(crate::CycleError::Lock(LockError::Held(_))) => {
            render::say("noted; the loop that is running acts on it in its next cycle");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(ExitCode::SUCCESS)
}

impl Pause {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        let repo = Repo::open(repo)?;
        let reason = if self.reason.is_empty() { format!("paused by {}", person()) } else { self.reason.clone() };
        repo.pause(&reason)?;
        told(self.output.json, true, &format!("paused: {reason}; nothing outward is done until `fractal resume`"));
        Ok(ExitCode::SUCCESS)
    }
}

impl Resume {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        let repo = Repo::open(repo)?;
        let was = repo.is_paused();
        repo.remove_own_ref(PAUSE_REF)?;
        told(self.output.json, false, if was { "resumed" } else { "it was not paused" });
        Ok(ExitCode::SUCCESS)
    }
}

fn told(json: bool, paused: bool, text: &str) {
    if json { render::say_json(&serde_json::json!({ "paused": paused })) } else { render::say(text) }
}
