//! `fractal executions export`: runs as JSON lines, which `import` reads, or as CSV for spreadsheets.
//!
//! A page of runs is in memory at a time. A file is there whole, or it is as it was.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use super::super::plain::inert;
use super::filter::{Filter, Wanted};
use super::{Failure, Outcome, Output, ended, render};
use crate::model::{self, Execution, Exit, steers};
use crate::record::lines::Line;
use crate::world::files::{self, Draft};
use crate::world::git::Repo;
use crate::world::read_config;
use crate::world::store::{self, Store, StoreError};

#[derive(clap::Args)]
#[command(disable_version_flag = true, after_help = FORMS)]
pub(super) struct Export {
    #[command(flatten)]
    filter: Filter,
    /// At most so many [default: all]
    #[arg(short = 'n', long)]
    limit: Option<usize>,
    /// [default: csv for a FILE that ends in .csv, otherwise lines]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write into this file, which is replaced when all is written [default: standard output]
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

const FORMS: &str = "\
lines: one JSON object a line, with everything that is kept of a run; `fractal import` reads it, and the runs are the same again. \
The keys are v, id, tool, version, at, duration_ms, args, cwd, stdin, stdout, stderr (each a text, or {\"base64\": \"…\"}), \
truncated (stdin is not whole), input, stdout_digest, stderr_digest, expected_digest (where the content is not kept), exit (a code, \
{\"signal\": 9}, \"timed_out\" or {\"not_started\": \"why\"}), outcome, failure, caller, marked, expected.

csv: RFC 4180 with a header, without what went in and came out. The columns are id, tool, version, at and ended (RFC 3339), \
duration_ms, outcome, exit (`1`, `signal 11`, `time-out`, `not started: why`), class, message and fingerprint of a failure, caller, \
marked (true or false), cwd, args (a JSON array), input (the digest of arguments, standard input and folder). A text that a \
spreadsheet would take for a formula (it begins with = + - @, a tab or a return) has a ' before it.

Newest first. A run that is recorded meanwhile is not in it.";

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Format {
    /// JSON lines: everything, exactly
    Lines,
    /// For spreadsheets: one row a run, without what went in and came out
    Csv,
}

impl Export {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        let repo = Repo::open(repo)?;
        let config = read_config(&repo)?;
        let store = store::open_to_read(&repo, &config)?;
        let wanted = self.filter.resolve(&repo, &config, store.as_ref())?;
        let file = self.file.as_deref().filter(|file| *file != Path::new("-"));
        let is_csv = file.and_then(Path::extension).is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        let format = self.format.unwrap_or(if is_csv { Format::Csv } else { Format::Lines });
        let bar = self.bar(store.as_ref(), file.is_some())?;
        let Some(file) = file else {
            let mut out = io::BufWriter::with_capacity(1 << 16, io::stdout().lock());
            let plain = files::stdout_is_terminal();
            let writing = Writing { store: store.as_ref(), format, plain, bar: &bar, stopped: Arc::default() };
            let count = writing.all(&wanted, self.limit, &mut out)?;
            if count == Some(0) && format == Format::Lines {
                render::note("no recorded run is like that");
            }
            return Ok(ExitCode::SUCCESS);
        };
        let stopped = stop_flag().map_err(anyhow::Error::from)?;
        let mut draft = Draft::of(file)?;
        let writing = Writing { store: store.as_ref(), format, plain: false, bar: &bar, stopped: stopped.clone() };
        let Some(count) = writing.all(&wanted, self.limit, &mut draft)? else {
            return Err(Failure {
                message: format!("stopped; `{}` is as it was", file.display()),
                hint: None,
                code: super::super::OUTSIDE,
            });
        };
        draft.finish()?;
        if self.output.json {
            render::say_json(&serde_json::json!({ "written": file, "executions": count }));
        } else {
            render::say(&format!("wrote {} executions to {}", HumanCount(count), file.display()));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// A bar where somebody watches and the output goes elsewhere.
    fn bar(&self, store: &dyn Store, to_file: bool) -> Result<ProgressBar, Failure> {
        if !files::stderr_is_terminal() || (!to_file && files::stdout_is_terminal()) {
            return Ok(ProgressBar::hidden());
        }
        let total =
            (self.filter.is_plain() && self.filter.tool.is_none() && self.limit.is_none()).then(|| store.size()).transpose()?;
        let (bar, template) = match total {
            Some((total, _)) => (ProgressBar::new(total), "{bar:30} {human_pos} of {human_len} executions, {eta} left"),
            None => (ProgressBar::new_spinner(), "{spinner} {human_pos} executions"),
        };
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        Ok(bar)
    }
}

/// Set by a signal that would end us: the draft of a file is removed first.
fn stop_flag() -> io::Result<Arc<AtomicBool>> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, stopped.clone())?;
    }
    Ok(stopped)
}

struct Writing<'a> {
    store: &'a dyn Store,
    format: Format,
    /// A terminal shows it.
    plain: bool,
    bar: &'a ProgressBar,
    stopped: Arc<AtomicBool>,
}

impl Writing<'_> {
    /// Writes them all; how many, or nothing when it was stopped. Nobody reading on is an end like another.
    fn all(&self, wanted: &Wanted, limit: Option<usize>, out: &mut dyn Write) -> Result<Option<u64>, Failure> {
        let mut count = 0;
        let mut written = Ok(());
        if self.format == Format::Csv {
            written = out.write_all(row(HEADER.map(String::from)).as_bytes());
        }
        if written.is_ok() {
            wanted.each(self.store, limit.unwrap_or(usize::MAX), |execution| {
                let text = self.text(execution)?;
                written = out.write_all(text.as_bytes());
                count += 1;
                self.bar.inc(1);
                Ok(written.is_ok() && !self.stopped.load(Ordering::Relaxed))
            })?;
        }
        self.bar.finish_and_clear();
        match written.and_then(|()| out.flush()) {
            Ok(()) if self.stopped.load(Ordering::Relaxed) => Ok(None),
            Ok(()) => Ok(Some(count)),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Some(count)),
            Err(error) => Err(anyhow::Error::from(error).context("writing the export").into()),
        }
    }

    fn text(&self, execution: Execution) -> Result<String, Failure> {
        match self.format {
            Format::Lines => {
                let whole = self.store.whole(execution)?;
                let line = serde_json::to_string(&Line::of(&whole)).map_err(StoreError::from)?;
                Ok(inert(&line) + "\n")
            }
            Format::Csv => {
                let mut cells = cells(&execution)?;
                if self.plain {
                    cells.iter_mut().for_each(|cell| *cell = cell.chars().map(|c| if steers(c) { ' ' } else { c }).collect());
                }
                Ok(row(cells))
            }
        }
    }
}

// ---- CSV: a quote rule and a header, for which we need no crate; the tests read it with Python's ----

const HEADER: [&str; 16] = [
    "id",
    "tool",
    "version",
    "at",
    "ended",
    "duration_ms",
    "outcome",
    "exit",
    "class",
    "message",
    "fingerprint",
    "caller",
    "marked",
    "cwd",
    "args",
    "input",
];

fn cells(execution: &Execution) -> Result<[String; 16], Failure> {
    let failure = execution.failure.as_ref();
    let exit = match &execution.exit {
        Exit::Code(code) => code.to_string(),
        exit => exit.to_string(),
    };
    let outcome = match execution.outcome {
        model::Outcome::Success => "success",
        model::Outcome::Failure => "failure",
        model::Outcome::Error => "error",
    };
    let text = |text: &str| unlike_a_formula(text);
    Ok([
        execution.id.0.clone(),
        text(&execution.tool),
        text(&execution.version.0),
        execution.at.to_string(),
        ended(execution).to_string(),
        (execution.duration.as_micros() as f64 / 1e3).to_string(),
        outcome.into(),
        exit,
        text(failure.map_or("", |failure| &failure.class)),
        text(failure.map_or("", |failure| &failure.message)),
        text(failure.map_or("", |failure| failure.fingerprint.as_str())),
        text(&execution.caller),
        execution.mark.is_some().to_string(),
        text(execution.input.cwd.as_deref().unwrap_or_default()),
        serde_json::to_string(&execution.input.args).map_err(StoreError::from)?,
        execution.input.digest(),
    ])
}

/// Spreadsheets run text that begins so, and the text is not ours. Source: OWASP, "CSV Injection".
fn unlike_a_formula(text: &str) -> String {
    let quote = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("{quote}{text}")
}

fn row<const N: usize>(cells: [String; N]) -> String {
    let quoted = |cell: String| match cell.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell,
    };
    cells.map(quoted).join(",") + "\r\n"
}
