//! `fractal init`: a fractal.toml for this repository, with the tools that were found in it, and perhaps a workflow that runs Fractal.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use super::onboard::onboard;
use super::{Failure, Outcome, Output, render};
use crate::config::{self, Config};
use crate::model::{Origin, Tool};
use crate::world::catalog::catalog;
use crate::world::files;
use crate::world::git::Repo;

const WORKFLOW: &str = ".github/workflows/fractal.yml";
const TEMPLATE: &str = include_str!("../../templates/init/workflow.yml");
const ZONES: &str = include_str!("../../templates/init/zones.yml");
/// `owner/name@COMMIT` of the release that this program was built for; `.github/workflows/release.yml` sets it.
const RELEASED: Option<&str> = option_env!("FRACTAL_ACTION");

/// Writes every key with its default, and a table for each tool that was found. Nothing that is
/// there is changed.
#[derive(clap::Args)]
pub(super) struct Init {
    /// Print it instead of writing it
    #[arg(long)]
    print: bool,
    /// Write a workflow for GitHub Actions as well, which begins with dry runs
    #[arg(long)]
    workflow: bool,
    /// Have it in three jobs: what runs tools cannot write, and what writes runs none
    #[arg(long, requires = "workflow")]
    zones: bool,
    /// What the workflow uses: `owner/name@COMMIT`, or a folder of the repository [default: the release that this program is of]
    #[arg(long, value_name = "ACTION", requires = "workflow")]
    action: Option<String>,
    /// Open a pull request with them in this repository on GitHub, and write nothing here
    #[arg(long, value_name = "OWNER/NAME", conflicts_with = "print")]
    pull_request: Option<String>,
    #[command(flatten)]
    output: Output,
}

impl Init {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        let repo = Repo::open(repo)?;
        let template = if self.zones { ZONES } else { TEMPLATE };
        let workflow = if self.workflow { Some(workflow(template, self.action.as_deref(), RELEASED)?) } else { None };
        let defaults = Config::default();
        let found = catalog(&repo, &defaults, &repo.head()?)?;
        let mut text = config::reference();
        for tool in found.tools.iter().filter(|tool| tool.origin != Origin::Declared) {
            describe(&mut text, tool);
        }
        if self.print {
            [Some(text), workflow].iter().flatten().for_each(|text| render::say(text.trim_end()));
            return Ok(ExitCode::SUCCESS);
        }
        let path = |name: &str| repo.root().join(name);
        let there = |name: &str| path(name).symlink_metadata().is_ok();
        // A configuration that is there stays, where it is the workflow that is asked for.
        let configured = self.workflow && there(config::FILE);
        let text = (!configured).then_some(text);
        let written: Vec<(&str, &String)> = [(config::FILE, &text), (WORKFLOW, &workflow)]
            .into_iter()
            .filter_map(|(name, text)| Some((name, text.as_ref()?)))
            .collect();
        if let Some((name, _)) = written.iter().find(|(name, _)| there(name)) {
            return Err(Failure::mistake(
                format!("`{}` exists already", path(name).display()),
                "edit it, or print a fresh one with `fractal init --print`",
            ));
        }
        if let Some(repository) = &self.pull_request {
            let url = onboard(&repo, repository, &written)?;
            match self.output.json {
                true => render::say_json(&serde_json::json!({ "pull_request": url })),
                false => render::say(&format!("{url}\nnothing happens before it is merged")),
            }
            return Ok(ExitCode::SUCCESS);
        }
        for (name, text) in &written {
            files::write_new(&path(name), text.as_bytes(), false)?;
        }
        let tools = found.tools.len();
        if self.output.json {
            let (written, workflow) = (text.map(|_| path(config::FILE)), workflow.map(|_| path(WORKFLOW)));
            render::say_json(&serde_json::json!({ "written": written, "workflow": workflow, "tools": tools }));
            return Ok(ExitCode::SUCCESS);
        }
        match configured {
            true => render::say(&format!("{} is there and stays as it is", config::FILE)),
            false => render::say(&format!("wrote {} with {tools} tools", config::FILE)),
        }
        if self.workflow {
            render::say(&format!("wrote {WORKFLOW}, which says what it would do and changes nothing"));
        }
        render::say("next:");
        render::say(
            "  1. say for each tool what it does to the world (`effects`), so that its runs may be repeated; commit the file",
        );
        render::say("  2. run tools through `fractal exec TOOL -- ARGS…`");
        render::say("  3. `fractal run --dry-run` says what a cycle would do, `fractal run` does it");
        Ok(ExitCode::SUCCESS)
    }
}

/// The workflow, with the action that it uses: the one that was asked for, or the release that this program is of.
fn workflow(template: &str, action: Option<&str>, released: Option<&str>) -> Result<String, Failure> {
    let (action, comment) = match (action, released) {
        (Some(action), _) => (action, String::new()),
        (None, Some(released)) => (released, format!(" # v{}", env!("CARGO_PKG_VERSION"))),
        (None, None) => {
            return Err(Failure::mistake(
                "this program is of no release, so it does not know which action the workflow is to use",
                "name it: `--action OWNER/NAME@COMMIT`, with all 40 digits of the commit",
            ));
        }
    };
    if !is_pinned(action) {
        return Err(Failure::mistake(
            format!("`{action}` is no action that stays what it is"),
            "`OWNER/NAME@COMMIT` with all 40 digits of the commit (a tag or a branch can be moved), or `./FOLDER`",
        ));
    }
    Ok(template.replace("uses: ACTION\n", &format!("uses: {action}{comment}\n")))
}

/// `owner/name@COMMIT` or `owner/name/folder@COMMIT`, or a folder of the repository itself; in letters that mean nothing in YAML.
fn is_pinned(action: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty() && part != ".." && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    if let Some(folder) = action.strip_prefix("./") {
        return folder.is_empty() || folder.split('/').all(plain);
    }
    let Some((name, commit)) = action.split_once('@') else { return false };
    let parts = name.split('/').count();
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    parts >= 2 && name.split('/').all(plain) && commit.len() == 40 && commit.chars().all(hex)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_released_program_names_its_own_commit_and_version_unless_another_action_is_named() {
        let released = "owner/fractal@27d5ce7f107fe9357f9df03efb73ab90386fccae";
        let uses = |action| {
            let text = workflow(TEMPLATE, action, Some(released)).ok()?;
            text.lines()
                .find_map(|line| line.trim().strip_prefix("- uses: ").filter(|uses| !uses.starts_with("actions/")))
                .map(String::from)
        };
        assert_eq!(uses(None), Some(format!("{released} # v{}", env!("CARGO_PKG_VERSION"))));
        assert_eq!(uses(Some("./tools/fractal")), Some("./tools/fractal".to_string()));
        let zones = workflow(ZONES, None, Some(released)).expect("is released");
        assert_eq!(zones.matches(&format!("uses: {released} # v{}\n", env!("CARGO_PKG_VERSION"))).count(), 3);
        assert_eq!((uses(Some("owner/fractal@v1")), workflow(TEMPLATE, None, None).is_ok()), (None, false));
    }
}
