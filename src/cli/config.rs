//! `fractal config`: check the file, or print what can be in it.

use std::path::Path;
use std::process::ExitCode;

use super::{Outcome, Output, render};
use crate::config;
use crate::world::git::Repo;
use crate::world::read_config;

/// Without an option: the configuration in force, as TOML.
#[derive(clap::Args)]
pub(super) struct Config {
    /// Read fractal.toml and say whether it is right
    #[arg(long, conflicts_with_all = ["schema", "reference"])]
    check: bool,
    /// Print the JSON schema of fractal.toml
    #[arg(long, conflicts_with = "reference")]
    schema: bool,
    /// Print every key with its meaning and default
    #[arg(long)]
    reference: bool,
    #[command(flatten)]
    output: Output,
}

impl Config {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        if self.schema {
            render::say_json_pretty(&config::Config::schema());
            return Ok(ExitCode::SUCCESS);
        }
        if self.reference {
            render::say(config::reference().trim_end());
            return Ok(ExitCode::SUCCESS);
        }
        let config = read_config(&Repo::open(repo)?)?;
        match (self.check, self.output.json) {
            (_, true) => render::say_json_pretty(&config),
            (true, false) => render::say(&format!(
                "{} is right: {} tools declared, profile {:?}",
                config::FILE,
                config.tools.len(),
                config.profile
            )),
            (false, false) => render::say(toml::to_string(&config).map_err(anyhow::Error::new)?.trim_end()),
        }
        Ok(ExitCode::SUCCESS)
    }
}
