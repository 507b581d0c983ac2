//! `fractal init`: a fractal.toml for this repository, with the tools that were found in it.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use super::{Failure, Outcome, Output, render};
use crate::config::{self, Config};
use crate::model::{Origin, Tool};
use crate::world::catalog::catalog;
use crate::world::files;
use crate::world::git::Repo;

/// Writes every key with its default, and a table for each tool that was found. Nothing else is changed.
#[derive(clap::Args)]
pub(super) struct Init {
    /// Print it instead of writing it
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    output: Output,
}

impl Init {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        let repo = Repo::open(repo)?;
        let defaults = Config::default();
        let found = catalog(&repo, &defaults, &repo.head()?)?;
        let mut text = config::reference();
        for tool in found.tools.iter().filter(|tool| tool.origin != Origin::Declared) {
            describe(&mut text, tool);
        }
        if self.print {
            render::say(text.trim_end());
            return Ok(ExitCode::SUCCESS);
        }
        let path = repo.root().join(config::FILE);
        if path.exists() {
            return Err(Failure::mistake(
                format!("`{}` exists already", path.display()),
                "edit it, or print a fresh one with `fractal init --print`",
            ));
        }
        files::write_new(&path, text.as_bytes(), false)?;
        if self.output.json {
            render::say_json(&serde_json::json!({ "written": path, "tools": found.tools.len() }));
            return Ok(ExitCode::SUCCESS);
        }
        render::say(&format!("wrote {} with {} tools", config::FILE, found.tools.len()));
        render::say("next:");
        render::say(
            "  1. say for each tool what it does to the world (`effects`), so that its runs may be repeated; commit the file",
        );
        render::say("  2. run tools through `fractal exec TOOL -- ARGS…`");
        render::say("  3. `fractal run --dry-run` says what a cycle would do, `fractal run` does it");
        Ok(ExitCode::SUCCESS)
    }
}

fn describe(text: &mut String, tool: &Tool) {
    let list = |items: &[String]| toml::Value::from(items.to_vec()).to_string();
    let Origin::Found(how) = &tool.origin else { return };
    let how: String = how.chars().filter(|c| !c.is_control()).collect();
    let _ =
        writeln!(text, "\n# {how}\n[[tool]]\nname = \"{}\"\npaths = {}\nrun = {}", tool.name, list(&tool.paths), list(&tool.run));
    if let Some(test) = &tool.test {
        let _ = writeln!(text, "test = {}\ntests = {}", list(test), list(&tool.tests));
    }
    let _ = writeln!(text, "effects = \"unknown\" # none, files, network or destructive");
}
