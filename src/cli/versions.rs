//! `fractal versions` and `fractal diff`: the versions of a tool, how each of them does, and how two of them differ.

use std::path::Path;
use std::process::ExitCode;

use super::log::diff_line;
use super::render::{self, Paint};
use super::{Failure, Outcome, Output, exec, now};
use crate::engine::figures::{Change, Rate};
use crate::engine::{Compared, History, KnownVersion, Role};
use crate::model::plain_line;
use crate::world::git::Repo;
use crate::world::read_config;

/// Newest first: versions that ran, those of the base's history, what is proposed and what is pinned. Success has its 95 % interval
/// (Wilson); the last time is exceeded by the slowest twentieth, from 20 runs on.
#[derive(clap::Args)]
pub(super) struct Versions {
    /// The tool's name
    tool: String,
    /// Show at most so many, besides those that are on the base, pinned or proposed
    #[arg(short = 'n', long, default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    output: Output,
}

/// The tool's files alone, and the figures of both versions.
#[derive(clap::Args)]
pub(super) struct Diff {
    /// The tool's name
    tool: String,
    /// A commit, a branch, a tag, or the beginning of the id of an improvement or of a version (`fractal versions TOOL`)
    before: String,
    /// The same
    after: String,
    #[command(flatten)]
    output: Output,
}

impl Versions {
    pub(super) fn run(&self, path: &Path) -> Outcome {
        let repo = Repo::open(path)?;
        let tool = exec::find(&repo, &read_config(&repo)?, &self.tool)?;
        let history = History::open(path, now())?;
        let all = history.versions(&tool, self.limit)?;
        if self.output.json {
            render::say_json_pretty(&all);
        } else {
            say_rows(&all, history.view().clock.now());
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Diff {
    pub(super) fn run(&self, path: &Path) -> Outcome {
        let repo = Repo::open(path)?;
        let tool = exec::find(&repo, &read_config(&repo)?, &self.tool)?;
        let history = History::open(path, now())?;
        let hint = || format!("`fractal versions {}` lists them", tool.name);
        let compared = history.compared(&tool, &self.before, &self.after);
        let compared = compared.map_err(|error| Failure::mistake(format!("{error:#}"), hint()))?;
        if self.output.json {
            render::say_json_pretty(&compared);
            return Ok(ExitCode::SUCCESS);
        }
        let paint = Paint::for_stdout();
        let Compared { before, after, changes, diff } = compared;
        say_rows(&[before, after], history.view().clock.now());
        if let Some(change) = changes.first() {
            render::say(&format!("the second one is {}", word(*change)));
        }
        if diff.is_empty() {
            render::say("their files are the same");
        }
        diff.lines().all(|line| render::goes_on(&diff_line(line, paint)));
        Ok(ExitCode::SUCCESS)
    }
}

fn say_rows(all: &[KnownVersion], now: jiff::Timestamp) {
    let took = |duration: Option<std::time::Duration>| duration.map_or_else(|| "-".to_string(), render::took);
    let rows = all.iter().map(|known| {
        [
            known.version.short().to_string(),
            known.commit.as_ref().map_or("-", |commit| commit.short()).to_string(),
            known.roles.iter().map(|role| role_of(*role)).collect::<Vec<_>>().join(", "),
            known.first.map_or_else(|| "-".to_string(), |first| render::ago(first, now)),
            known.counts.runs.to_string(),
            known.success.map_or_else(|| "-".to_string(), |Rate { rate, low, high }| format!("{rate:.2} ({low:.2}–{high:.2})")),
            took(known.mean),
            took(known.p95),
            what(known),
        ]
    });
    render::say(&render::table(["version", "commit", "is", "first seen", "runs", "success", "mean", "95 %", "what"], rows));
}

fn what(known: &KnownVersion) -> String {
    let summary = plain_line(known.summary.as_deref().unwrap_or("(never committed)"), 60);
    let by = known.improvement.as_ref().map(|id| format!(" [{}]", id.short()));
    format!("{summary}{}", by.unwrap_or_default())
}

fn role_of(role: Role) -> String {
    match role {
        Role::Base => "base".into(),
        Role::WorkTree => "work tree".into(),
        Role::Pinned => "pinned".into(),
        Role::Canary(percent) => format!("canary {percent} %"),
        Role::Proposed => "proposed".into(),
    }
}

fn word(change: Change) -> String {
    match change {
        Change::Worse => "worse".into(),
        Change::Better => "better".into(),
        Change::Slower(factor) => format!("{factor:.1} × slower"),
        Change::Faster(factor) => format!("{factor:.1} × faster"),
    }
}
