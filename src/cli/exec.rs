//! `fractal exec`: run a tool as if it were run directly, and record the run.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Failure, Outcome, now};
use crate::config::Config;
use crate::engine::{rollout, shadow};
use crate::model::{Exit, Tool};
use crate::record::{self, Recorded};
use crate::world::catalog::{catalog, declared};
use crate::world::git::Repo;
use crate::world::{files, passthrough, read_config};

/// Standard streams, signals, working directory and exit code are the tool's. Tools are declared in fractal.toml or found in the
/// repository (`fractal tools`).
#[derive(clap::Args)]
pub(super) struct Exec {
    /// The tool's name
    tool: String,
    /// Its arguments, after `--`
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<OsString>,
    /// Write the id of the recorded execution into this file (for `fractal mark`)
    #[arg(long, value_name = "FILE")]
    id_file: Option<PathBuf>,
}

impl Exec {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        let repo = Repo::open(repo)?;
        let config = read_config(&repo)?;
        let tool = find(&repo, &config, &self.tool)?;
        let choice = rollout::choose(&repo, &config, &tool, &now());
        if let Some(said) = &choice.said {
            say_once(said);
        }
        let executed = record::exec(&repo, &config, &tool, &self.args, &choice.start);
        if let Exit::NotStarted(why) = &executed.exit {
            say_once(why);
        }
        match &executed.recorded {
            Ok(recorded @ Recorded { id, waits, repeatable, .. }) => {
                if let Some(why) = waits {
                    say_once(&format!("this run waits on disk until it can be stored: {why}"));
                }
                if let Some(file) = &self.id_file
                    && let Err(error) = files::overwrite(file, format!("{id}\n").as_bytes(), false)
                {
                    say_once(&format!("the id was not written: {error:#}"));
                }
                let is_own = executed.fell_back || !choice.is_other();
                if !executed.fell_back {
                    choice.ended(&repo, &config, recorded);
                }
                if is_own && *repeatable && shadow::is_wanted(&repo, &config, &tool, id) {
                    let arguments =
                        ["-C".as_ref(), repo.root().as_os_str(), "shadow".as_ref(), tool.name.as_ref(), id.as_str().as_ref()];
                    // What it would have shown is lost, and nobody waits for it.
                    let _ = passthrough::leave_behind(&arguments);
                }
            }
            Err(why) => say_once(&format!("this run was not recorded: {why}")),
        }
        passthrough::end_like(&executed.ending)
    }
}

/// The tool of that name.
pub(super) fn find(repo: &Repo, config: &Config, name: &str) -> Result<Tool, Failure> {
    if let Some(tool) = declared(config).into_iter().find(|tool| tool.name == name) {
        return Ok(tool);
    }
    // What runs is the work tree, so its commit is asked and not the base: it may be detached, as on a build server.
    let found = catalog(repo, config, &repo.head()?)?;
    if let Some(tool) = found.get(name) {
        return Ok(tool.clone());
    }
    let hint = match found.nearest(name) {
        Some(nearest) => format!("did you mean `{nearest}`? `fractal tools` lists them all"),
        None => {
            "`fractal tools` lists the tools; a new one is found once it is committed, or declare it in fractal.toml".to_string()
        }
    };
    Err(Failure::mistake(format!("there is no tool `{name}`"), hint))
}

/// For a process whose standard error is somebody else's.
pub(super) fn say_once(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "fractal: {text}");
}
