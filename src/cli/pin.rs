//! `fractal pin`: which version of a tool runs here.

use std::path::Path;
use std::process::ExitCode;

use super::{Failure, Outcome, Output, exec, now, person, render};
use crate::engine::History;
use crate::model::{SideEffects, plain_line};
use crate::world::git::Repo;
use crate::world::{pin, read_config, versions};

/// Holds for `fractal exec` in this clone, also while a proposal is rolled out, until `--off`. The work tree stays as it is: the version
/// runs from a folder of its own, where only committed files are.
#[derive(clap::Args)]
pub(super) struct Pin {
    /// The tool's name
    tool: String,
    /// A commit, a branch, a tag, or the beginning of the id of an improvement or of a version (`fractal versions TOOL`) [default: show
    /// what is pinned]
    #[arg(value_name = "VERSION")]
    wanted: Option<String>,
    /// Run again what is checked out
    #[arg(long, conflicts_with = "wanted")]
    off: bool,
    #[command(flatten)]
    output: Output,
}

impl Pin {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        let path = repo;
        let repo = Repo::open(path)?;
        let config = read_config(&repo)?;
        let tool = exec::find(&repo, &config, &self.tool)?;
        let name = &tool.name;
        if self.off {
            let was = pin::remove(&repo, name)?;
            self.told(
                None,
                &if was { format!("`{name}` runs as it is checked out") } else { format!("`{name}` was not pinned") },
            );
            return Ok(ExitCode::SUCCESS);
        }
        let Some(wanted) = &self.wanted else {
            let pin = pin::of(&repo, name)?;
            let shown = match &pin {
                Some(pin) => {
                    format!("`{name}` is pinned to {} by {}; `fractal pin {name} --off` ends it", pin.commit.short(), pin.by)
                }
                None => format!("`{name}` is not pinned"),
            };
            self.told(pin.as_ref(), &shown);
            return Ok(ExitCode::SUCCESS);
        };
        if let Some(why) = tool.stays_put() {
            let hint = format!("`git worktree add FOLDER {wanted}` makes a checkout to run it in");
            return Err(Failure::mistake(format!("`{name}` cannot run from another folder: {why}"), hint));
        }
        let history = History::open(path, now())?;
        let mistake =
            |error: anyhow::Error| Failure::mistake(format!("{error:#}"), format!("`fractal versions {name}` lists them"));
        let (commit, version) = history.commit_of(&tool, wanted).map_err(mistake)?;
        versions::make(&repo, &config, &tool, &commit).map_err(anyhow::Error::from)?;
        let summary = repo.message(&commit)?;
        let summary = plain_line(summary.lines().next().unwrap_or_default(), 80);
        let pin = pin::Pin { commit, by: person(), at: history.view().clock.now() };
        pin::set(&repo, name, &pin)?;
        self.told(
            Some(&pin),
            &format!("`{name}` runs as {} has it (version {}, \"{summary}\")", pin.commit.short(), version.short()),
        );
        if tool.effects != SideEffects::None && !self.output.json {
            render::note("what the tool writes beside its own program goes into that version's folder, not into the work tree");
        }
        Ok(ExitCode::SUCCESS)
    }

    fn told(&self, pin: Option<&pin::Pin>, text: &str) {
        match self.output.json {
            true => render::say_json(&serde_json::json!({ "tool": self.tool, "pin": pin })),
            false => render::say(text),
        }
    }
}
