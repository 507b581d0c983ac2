//! `fractal backtest monitor`: what the rules of the watch would have said of every change so far.

use std::path::Path;
use std::process::ExitCode;

use super::columns::{Cell, Column, Columns};
use super::moment::{FORMS, Moment};
use super::render::{self, Paint};
use super::{Failure, Outcome, Output, now};
use crate::engine::History;
use crate::model::{Counts, Finding, Tool, plain_line};
use crate::monitor::{Asked, Past, Score, backtest};

/// Puts rules to what has been.
#[derive(clap::Args)]
pub(super) struct Backtest {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Ask of every change of a tool whether the watch would have raised an alarm, and whether it was reverted
    Monitor(Monitor),
}

const TABLE: &str = "A change is a commit on the base that gave a tool another version, by whomever. Its runs are gone through one by one, \
as the watch would have seen them; before are those of the version before, at most 2,000.\n\n  true    an alarm, and somebody reverted \
the change, or `--replay` confirms it\n  open    an alarm on the version that the tool has now\n  false   any other alarm (the watch \
runs the failing inputs on both versions before\n          it reverts; `--replay` does so now)\n  missed  it was reverted, and there was no alarm\n  quiet   neither\n\nWith --json one line for each change: \
{\"tool\":\"…\",\"commit\":\"…\",\"at\":\"…\",\"before\":{\"runs\":90,\"failures\":2},\"after\":{…},\"alarm\":7,\
\"replay\":{\"finding\":\"…\"},\"reverted_by\":\"…\",\"score\":\"true\"}";

#[derive(clap::Args)]
#[command(after_help = TABLE)]
struct Monitor {
    /// Only this tool
    tool: Option<String>,
    #[arg(long, value_parser = Moment::parse, value_name = "WHEN", default_value = "365d", help = format!("Changes since: {FORMS}"))]
    since: Moment,
    /// Run the failing inputs of every alarm on both versions
    #[arg(long)]
    replay: bool,
    #[command(flatten)]
    output: Output,
}

impl Backtest {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        match &self.what {
            What::Monitor(monitor) => monitor.run(repo),
        }
    }
}

impl Monitor {
    fn run(&self, repo: &Path) -> Outcome {
        let history = History::open(repo, now())?;
        let (view, catalog) = (history.view(), history.catalog()?);
        let chosen: Vec<&Tool> =
            catalog.tools.iter().filter(|tool| self.tool.as_ref().is_none_or(|wanted| &tool.name == wanted)).collect();
        if let (Some(tool), true) = (&self.tool, chosen.is_empty()) {
            return Err(Failure::mistake(format!("there is no tool `{tool}`"), "`fractal tools` lists them"));
        }
        let improvements = history.improvements();
        let incident = |commit: &crate::model::CommitId| {
            let landed =
                improvements.iter().find(|known| known.landed.as_ref().is_some_and(|landed| &landed.commit == commit))?;
            landed.opportunity.as_ref().map(|opportunity| opportunity.failure.fingerprint.clone())
        };
        let asked = Asked { since: self.since.from(view.clock.now()), replay: self.replay, incident: &incident };
        let bar = if self.output.json { None } else { render::spinner() };
        let mut all: Vec<Past> = Vec::new();
        for tool in chosen {
            let past = backtest(view, tool, &asked)?;
            if self.output.json {
                past.iter().for_each(render::say_json);
            }
            all.extend(past);
        }
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        if !self.output.json {
            show(&all);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn show(all: &[Past]) {
    if all.is_empty() {
        render::say("no tool changed while its runs were recorded; `--since` looks further back");
        return;
    }
    const COLUMNS: [Column; 8] = [
        Column::left("SCORE", 0),
        Column::left("TOOL", 0),
        Column::left("COMMIT", 1),
        Column::right("BEFORE", 2),
        Column::right("AFTER", 2),
        Column::right("ALARM", 0),
        Column::left("REVERTED BY", 1),
        Column::rest("CHANGE"),
    ];
    let paint = Paint::for_stdout();
    let rows: Vec<Vec<Cell>> = all.iter().map(row).collect();
    let columns = Columns::of(&COLUMNS, &rows, usize::from(render::terminal_width()), paint);
    render::say(&columns.head());
    for row in &rows {
        render::say(&columns.line(row));
    }
    let count = |score| all.iter().filter(|past| past.score == score).count();
    let (changes, right) = (all.len(), count(Score::True));
    render::say(&format!(
        "\n{changes} changes: {right} true, {} open, {} false, {} missed, {} quiet",
        count(Score::Open),
        count(Score::False),
        count(Score::Missed),
        count(Score::Quiet)
    ));
    let delays: Vec<u64> = all.iter().filter(|past| past.score == Score::True).filter_map(|past| past.alarm).collect();
    if !delays.is_empty() {
        let mean = delays.iter().sum::<u64>() as f64 / delays.len() as f64;
        render::say(&format!("an alarm that was right came after {mean:.1} runs of the new version"));
    }
    for past in all.iter().filter(|past| past.replay.is_some()) {
        let said = match &past.replay {
            Some(Finding::Regression { p }) => format!("confirmed by running the inputs on both versions, p = {p:.1e}"),
            Some(Finding::FalseAlarm { reason } | Finding::Unconfirmed { reason } | Finding::Inconclusive { reason }) => {
                format!("not confirmed: {reason}")
            }
            _ => "not confirmed".to_string(),
        };
        render::say(&format!("{} {}: {said}", past.tool, past.commit.short()));
    }
}

fn row(past: &Past) -> Vec<Cell> {
    let counts = |counts: Counts| format!("{} of {}", counts.successes(), counts.runs);
    let score = match past.score {
        Score::True => Cell::of("true", Paint::green),
        Score::Open => Cell::of("open", Paint::yellow),
        Score::False => Cell::of("false", Paint::red),
        Score::Missed => Cell::of("missed", Paint::red),
        Score::Quiet => Cell::plain("quiet"),
    };
    vec![
        score,
        Cell::plain(past.tool.clone()),
        Cell::plain(past.commit.short()),
        Cell::plain(counts(past.before)),
        Cell::plain(counts(past.after)),
        Cell::plain(past.alarm.map_or_else(|| "-".to_string(), |run| format!("run {run}"))),
        Cell::plain(past.reverted_by.as_ref().map_or("-", |by| by.short())),
        Cell::plain(plain_line(&past.summary, 80)),
    ]
}
