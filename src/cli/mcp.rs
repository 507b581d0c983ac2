//! `fractal mcp`: stand between a client and an MCP server, and record the calls of its tools.

use std::ffi::OsString;
use std::path::Path;

use super::exec::say_once;
use super::{Failure, Outcome};
use crate::model::{Exit, check_tool_name};
use crate::record::mcp::{self, SERVER_NAME_CHARACTERS};
use crate::world::git::Repo;
use crate::world::{passthrough, read_config};

/// Standard streams, signals and exit code are the server's, and what both sides write is passed on unchanged. Every `tools/call` is
/// recorded as an execution of the tool `SERVER.TOOL`.
#[derive(clap::Args)]
#[command(
    after_help = "In the configuration of a client, `fractal` is the command, and `-C`, `REPOSITORY`, `mcp`, `--` come before what \
starts the server. The calls of its tools are recorded as runs of `NAME.TOOL`; for the settings of one of them, declare it \
in fractal.toml and give `--name`."
)]
pub(super) struct Mcp {
    /// What the names of its tools begin with [default: what the server calls itself]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The server's command, after `--`
    #[arg(last = true, required = true, value_name = "SERVER")]
    server: Vec<OsString>,
}

impl Mcp {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        if let Some(name) = &self.name {
            let hint = format!("up to {SERVER_NAME_CHARACTERS} letters, digits, `_` and `-`, such as `--name files`");
            check_tool_name(name).map_err(|error| Failure::mistake(error.to_string(), &hint))?;
            if name.len() > SERVER_NAME_CHARACTERS {
                return Err(Failure::mistake(format!("`{name}` is too long to name a server"), hint));
            }
        }
        let repo = Repo::open(repo)?;
        let config = read_config(&repo)?;
        let served = mcp::serve(&repo, &config, self.name.clone(), &self.server);
        if let Exit::NotStarted(why) = &served.exit {
            say_once(why);
        }
        served.remarks.iter().for_each(|remark| say_once(remark));
        passthrough::end_like(&served.exit)
    }
}
