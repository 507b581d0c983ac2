//! `fractal tools`: the catalog, and why each tool is in it.

use std::path::Path;
use std::process::ExitCode;

use super::render::{self, Paint};
use super::{Outcome, Output, now};
use crate::engine::History;
use crate::model::{Origin, SideEffects};

/// Declared tools come from fractal.toml; the others are found in the last commit of the base branch.
#[derive(clap::Args)]
pub(super) struct Tools {
    #[command(flatten)]
    output: Output,
}

impl Tools {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        let history = History::open(repo, now())?;
        let catalog = history.catalog()?;
        if self.output.json {
            render::say_json_pretty(&serde_json::json!({ "tools": catalog.tools, "remarks": catalog.remarks }));
            return Ok(ExitCode::SUCCESS);
        }
        if catalog.tools.is_empty() {
            render::say(
                "no tools; declare them in fractal.toml (`fractal init` writes one), or commit a script with `#!` and the executable bit",
            );
            return Ok(ExitCode::SUCCESS);
        }
        let rows = catalog.tools.iter().map(|tool| {
            let origin = match &tool.origin {
                Origin::Declared => "declared".to_string(),
                Origin::Found(how) => format!("found: {how}"),
            };
            let test = tool.test.as_ref().map_or_else(|| "-".to_string(), |test| test.join(" "));
            let language = format!("{:?}", tool.language).to_lowercase();
            [tool.name.clone(), language, tool.paths.join(" "), test, format!("{:?}", tool.effects).to_lowercase(), origin]
        });
        render::say(&render::table(["tool", "language", "paths", "tests", "effects", "where from"], rows));
        let paint = Paint::for_stdout();
        for remark in &catalog.remarks {
            render::say(&paint.dim(&format!("left out: {remark}")));
        }
        if catalog.tools.iter().any(|tool| tool.effects == SideEffects::Unknown) {
            render::say(&paint.dim(
                "tools with unknown effects are watched, but their runs are never repeated: declare `effects = \"none\"` or `\"files\"`",
            ));
        }
        Ok(ExitCode::SUCCESS)
    }
}
