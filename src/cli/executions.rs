//! `fractal executions`: what was recorded, as a list, one by one, as it comes, or all of it for elsewhere.

mod export;
pub(super) mod filter;
mod follow;
mod show;

use std::path::Path;
use std::process::ExitCode;

use jiff::Timestamp;
use serde_json::Value;

use self::filter::Filter;
use super::columns::{Cell, Column, Columns, LEFT_OUT};
use super::plain::inert;
use super::render::{self, Paint};
use super::{Failure, Outcome, Output, now};
use crate::model::{self, Execution, Exit, NewExecution, plain_line};
use crate::record::lines::Line;
use crate::world::files;
use crate::world::git::Repo;
use crate::world::read_config;
use crate::world::store::{self, Store, StoreError};

#[derive(clap::Args)]
#[command(disable_version_flag = true, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub(super) struct Executions {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: List,
}

const EXAMPLES: &str = r#"Without a command it is `list`. The first 13 characters of an id name the millisecond in which the run ended.

Examples:
  fractal executions backup --since 2h       the runs of `backup` of the last two hours
  fractal executions -f --outcome failure    failures as they come
  fractal executions show 0199abcd-ef01      one run, with input and output
  fractal executions export -o runs.jsonl    all of them, to read in again elsewhere

With --json each run is one line, with the keys of `export` but without what
went in and came out; `input` is the digest of what went in:
  {"id":"0199abcd-ef01-7…","tool":"backup","version":"77aa…",
   "at":"2026-03-01T09:30:00.125Z","ended":"2026-03-01T09:30:02.5Z",
   "duration_ms":2375.0,"args":["--full"],"cwd":"","exit":1,"outcome":"failure",
   "failure":{"fingerprint":"f1-…","class":"OSError","message":"…","frames":[…]},
   "caller":"exec","input":"9f3c…"}"#;

#[derive(clap::Subcommand)]
enum Command {
    /// List runs, newest first
    List(List),
    /// Show one run with its input and output
    Show(show::Show),
    /// Write runs as JSON lines or CSV
    Export(export::Export),
}

#[derive(clap::Args)]
#[command(disable_version_flag = true)]
struct List {
    #[command(flatten)]
    filter: Filter,
    /// At most so many [default: 20, with --follow 10]
    #[arg(short = 'n', long)]
    limit: Option<usize>,
    /// Then wait, and print each run when it ends, until interrupted. Oldest first, times in UTC. Runs that arrive long after
    /// they ended (imported, or brought from another machine) are not printed
    #[arg(short, long, conflicts_with = "until")]
    follow: bool,
    #[command(flatten)]
    output: Output,
}

impl Executions {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        match &self.command {
            None => self.list.run(repo),
            Some(Command::List(list)) => list.run(repo),
            Some(Command::Show(show)) => show.run(repo),
            Some(Command::Export(export)) => export.run(repo),
        }
    }
}

impl List {
    fn run(&self, repo: &Path) -> Outcome {
        let repo = Repo::open(repo)?;
        let config = read_config(&repo)?;
        let store = store::open_to_read(&repo, &config)?;
        let wanted = self.filter.resolve(&repo, &config, store.as_ref())?;
        if self.follow {
            return follow::follow(
                &repo,
                &config,
                &wanted,
                self.limit.unwrap_or(10),
                self.filter.tool.is_none(),
                self.output.json,
            );
        }
        let limit = self.limit.unwrap_or(20);
        if self.output.json {
            wanted.each(store.as_ref(), limit, |execution| Ok(render::goes_on(&json(execution)?)))?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut executions = Vec::new();
        wanted.each(store.as_ref(), limit, |execution| {
            executions.push(execution);
            Ok(true)
        })?;
        if executions.is_empty() {
            render::say(&none(self, store.as_ref())?);
            return Ok(ExitCode::SUCCESS);
        }
        let now = now().now();
        let rows = rows(store.as_ref(), &executions, now)?;
        let paint = Paint::for_stdout();
        let columns = Columns::of(&columns(self.filter.tool.is_none()), &rows, usize::from(render::terminal_width()), paint);
        render::say(&columns.head());
        let shown = rows.iter().all(|row| render::goes_on(&columns.line(row)));
        if shown && files::stdout_is_terminal() && executions.len() == limit && self.limit.is_none() {
            render::say(
                &paint
                    .dim(&format!("the newest {limit}; `-n` shows more, `fractal executions show ID` one with input and output")),
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Why there is nothing to list.
fn none(list: &List, store: &dyn Store) -> Result<String, StoreError> {
    let tool = list.filter.tool.as_deref();
    Ok(match (store.is_empty()?, list.filter.is_plain(), tool) {
        (true, ..) => "no execution was ever recorded here; `fractal exec TOOL -- ARGS…` records one".into(),
        (_, true, Some(tool)) => format!("no run of `{tool}` is recorded; `fractal exec {tool} -- ARGS…` records one"),
        _ => "no recorded run is like that; leave out a condition".into(),
    })
}

// ---- rows ----

const COLUMNS: [Column; 9] = [
    Column::left("id", 0),
    Column::right("when", 1),
    Column::left("tool", 2),
    Column::left("version", 6),
    Column::left("outcome", 0),
    Column::left("exit", 5),
    Column::right("took", 4),
    Column::left("failure", 3),
    Column::rest("input"),
];
/// Characters of a failure's class.
const CLASS: usize = 24;
/// Where a tool is named, and where not.
const TOOL: usize = 2;

/// The columns; all runs of one tool need not name it.
fn columns(with_tool: bool) -> Vec<Column> {
    let mut columns = COLUMNS.to_vec();
    if !with_tool {
        columns[TOOL].order = LEFT_OUT;
    }
    columns
}

fn rows(store: &dyn Store, executions: &[Execution], now: Timestamp) -> Result<Vec<Vec<Cell>>, StoreError> {
    let ids = short_ids(store, executions)?;
    Ok(executions.iter().zip(ids).map(|(execution, id)| row(execution, id, render::ago(ended(execution), now))).collect())
}

fn row(execution: &Execution, id: String, when: String) -> Vec<Cell> {
    let (word, colour) = outcome(execution.outcome);
    let exit = match &execution.exit {
        Exit::Code(code) => code.to_string(),
        Exit::NotStarted(_) => "not started".into(),
        exit => exit.to_string(),
    };
    let class = execution.failure.as_ref().map(|failure| plain_line(&failure.class, CLASS)).unwrap_or_default();
    vec![
        Cell::of(id, Paint::cyan),
        Cell::plain(when),
        Cell::of(plain_line(&execution.tool, 64), Paint::bold),
        Cell::of(plain_line(execution.version.short(), 8), Paint::dim),
        Cell::of(word, colour),
        Cell::plain(exit),
        Cell::plain(render::took(execution.duration)),
        Cell::plain(class),
        Cell::plain(execution.input.display(400)),
    ]
}

/// The word for an outcome, and its colour.
fn outcome(outcome: model::Outcome) -> (&'static str, fn(Paint, &str) -> String) {
    match outcome {
        model::Outcome::Success => ("success", Paint::green),
        model::Outcome::Failure => ("failure", Paint::red),
        model::Outcome::Error => ("error", Paint::yellow),
    }
}

fn ended(execution: &Execution) -> Timestamp {
    execution.id.ended()
}

/// The beginnings of ids that `show` and `mark` take, all of one length: the millisecond, which later runs do not make ambiguous,
/// and more where it is not enough.
fn short_ids(store: &dyn Store, executions: &[Execution]) -> Result<Vec<String>, StoreError> {
    /// Longer lists are for programs: nobody types an id from one.
    const LOOKED_UP: usize = 500;
    const LENGTHS: [usize; 3] = [13, 18, 36];
    let beginning = |execution: &Execution, length: usize| execution.id.0.get(..length).unwrap_or(&execution.id.0).to_string();
    let mut lengths = LENGTHS.iter().copied().skip(usize::from(executions.len() > LOOKED_UP));
    let mut length = lengths.next().unwrap_or(36);
    for execution in executions.iter().take(LOOKED_UP) {
        while matches!(store.find(&beginning(execution, length)), Err(StoreError::Ambiguous(_))) {
            match lengths.next() {
                Some(longer) => length = longer,
                None => break,
            }
        }
    }
    Ok(executions.iter().map(|execution| beginning(execution, length)).collect())
}

/// The line of `--json`: what `export` says, without what went in and came out.
fn json(execution: Execution) -> Result<String, Failure> {
    let (input, ended) = (execution.input.digest(), ended(&execution));
    let new = NewExecution { execution, stdin: None, stdout: None, stderr: None, expected: None };
    let mut value = serde_json::to_value(Line::of(&new)).map_err(StoreError::from)?;
    if let Value::Object(keys) = &mut value {
        // It is no line of an export: the input is not whole. A key that `import` does not know says so.
        keys.remove("v");
        keys.insert("ended".into(), Value::String(ended.to_string()));
        keys.insert("input".into(), Value::String(input));
    }
    Ok(inert(&value.to_string()))
}
