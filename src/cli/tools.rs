//! `fractal tools`: the catalog, and why each tool is in it; what MCP servers say of theirs.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use super::render::{self, Paint};
use super::{Failure, Outcome, Output, now};
use crate::engine::History;
use crate::model::{Hints, Origin, SideEffects, plain_line};
use crate::world::git::Repo;
use crate::world::{read_config, store};

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
        let hints = hints(repo).unwrap_or_else(|failure| {
            tracing::warn!("what MCP servers say of their tools is not shown: {}", failure.message);
            BTreeMap::new()
        });
        if self.output.json {
            render::say_json_pretty(&serde_json::json!({ "tools": catalog.tools, "remarks": catalog.remarks, "hints": hints }));
            return Ok(ExitCode::SUCCESS);
        }
        if catalog.tools.is_empty() {
            render::say(
                "no tools; declare them in fractal.toml (`fractal init` writes one), or commit a script with `#!` and the executable bit",
            );
            say_hints(&hints);
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
        say_hints(&hints);
        Ok(ExitCode::SUCCESS)
    }
}

/// What MCP servers said of their tools whose calls were recorded.
fn hints(repo: &Path) -> Result<BTreeMap<String, Hints>, Failure> {
    let repo = Repo::open(repo)?;
    Ok(store::open_to_read(&repo, &read_config(&repo)?)?.hints()?)
}

fn say_hints(hints: &BTreeMap<String, Hints>) {
    if hints.is_empty() {
        return;
    }
    let rows = hints.iter().map(|(tool, hints)| {
        let words = [
            (hints.read_only, "read-only", "changes something"),
            (hints.destructive, "destructive", "not destructive"),
            (hints.idempotent, "idempotent", "not idempotent"),
            (hints.open_world, "open world", "closed world"),
        ];
        let said = words.iter().filter_map(|(said, yes, no)| said.map(|said| if said { *yes } else { *no }));
        [plain_line(tool, 64), said.collect::<Vec<_>>().join(", ")]
    });
    render::say(&render::table(["tool of an MCP server", "what the server says of it"], rows));
}
