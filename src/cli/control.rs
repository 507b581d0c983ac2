//! `fractal approve`, `revert`, `pause`, `resume`: what a person can say to the loop.

use std::path::Path;
use std::process::ExitCode;

use super::render::{self, Teller};
use super::{Outcome, Output, now, person, run};
use crate::engine::{Loop, Wish, wish};
use crate::model::CommitId;
use crate::world::git::Repo;
use crate::world::git::remote::{Hooks, Move};
use crate::world::lock::LockError;
use crate::world::pause::{Level, PAUSE_REF, pauses};
use crate::world::read_config;

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

/// A ref, `refs/fractal/paused`, that every outward act reads first. The same do a file `.fractal/paused`, `[engine] paused` and the
/// environment variable `FRACTAL_PAUSE`, each with the reason.
#[derive(clap::Args)]
pub(super) struct Pause {
    /// Why, for the others
    #[arg(default_value = "")]
    reason: String,
    /// Every loop that pushes to the same remote (`[deploy] remote`)
    #[arg(long)]
    remote: bool,
    #[command(flatten)]
    output: Output,
}

/// Removes the ref that `pause` wrote.
#[derive(clap::Args)]
pub(super) struct Resume {
    /// Every loop that pushes to the same remote, too
    #[arg(long)]
    remote: bool,
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
        let blob = repo.set_text(PAUSE_REF, &reason)?;
        if self.remote {
            at_remote(&repo, Some(blob))?;
        }
        told(self.output.json, true, &format!("paused: {reason}; nothing outward is done until `fractal resume`"));
        Ok(ExitCode::SUCCESS)
    }
}

impl Resume {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        let repo = Repo::open(repo)?;
        let was = pauses(&repo).iter().any(|pause| pause.level == Level::Ref);
        repo.remove_own_ref(PAUSE_REF)?;
        if self.remote {
            at_remote(&repo, None)?;
        }
        let left = pauses(&repo);
        let text = match left.first() {
            Some(other) => format!("still {other}"),
            None if was || self.remote => "resumed".to_string(),
            None => "it was not paused".to_string(),
        };
        told(self.output.json, !left.is_empty(), &text);
        Ok(ExitCode::SUCCESS)
    }
}

/// Sets the switch at the remote, or removes it there.
fn at_remote(repo: &Repo, to: Option<CommitId>) -> anyhow::Result<()> {
    let remote = read_config(repo)?.deploy.remote;
    anyhow::ensure!(!remote.is_empty(), "there is no `[deploy] remote` in fractal.toml");
    let from = repo.remote_refs(&remote, &[PAUSE_REF])?.remove(PAUSE_REF);
    if from == to {
        return repo.saw(PAUSE_REF, to.as_ref());
    }
    repo.push(&remote, &[Move { name: PAUSE_REF.to_string(), from, to }], Hooks::Skip)
}

fn told(json: bool, paused: bool, text: &str) {
    if json { render::say_json(&serde_json::json!({ "paused": paused })) } else { render::say(text) }
}
