//! `fractal executions --follow`: runs as they end, until somebody stops it.
//!
//! A run is stored a moment after it ended, and not always in the order in which runs ended. So each look asks for what ended in
//! the last seconds, and leaves out what was seen. What arrives later than that (imported, brought from another machine, kept
//! waiting on disk) is not new, and not shown.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::super::run::{runtime, stop_signal};
use super::filter::Wanted;
use super::{Cell, Columns, Failure, Outcome, Paint, columns, ended, json, now, render, row, rows, short_ids};
use crate::config::Config;
use crate::model::{Execution, ExecutionId};
use crate::world::files;
use crate::world::git::Repo;
use crate::world::store::{self, Query, Store};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// How much later than its end a run may be stored and is new all the same: `exec` waits 3 s for the store, then lets the run wait.
const LATE: SignedDuration = SignedDuration::from_secs(10);
/// A time of day needs no date.
const TODAY: SignedDuration = SignedDuration::from_hours(12);
/// Runs that are read in one look.
const LOOK: usize = 10_000;

/// Prints the newest runs, oldest first, and then each new one. Ends with 0 when it is stopped or nobody reads on.
pub(super) fn follow(repo: &Repo, config: &Config, wanted: &Wanted, last: usize, with_tool: bool, as_json: bool) -> Outcome {
    let runtime = runtime()?;
    runtime.block_on(async {
        let stop = stop_signal()?;
        let mut store = Opened::of(repo, config)?;
        // What is there is seen, whether it is printed or not.
        let mut seen: BTreeSet<ExecutionId> = recent(store.get()?, wanted)?.into_iter().map(|execution| execution.id).collect();
        let mut newest = store.get()?.executions(&wanted.query(last))?;
        newest.reverse();
        seen.extend(newest.iter().map(|execution| execution.id.clone()));
        let printer = Printer::new(store.get()?, &newest, with_tool, as_json)?;
        if !printer.print(store.get()?, newest)? {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return Ok(ExitCode::SUCCESS),
                () = tokio::time::sleep(PAUSE) => {}
            }
            if files::nobody_reads_stdout() {
                return Ok(ExitCode::SUCCESS);
            }
            let mut new = recent(store.get()?, wanted)?;
            new.retain(|execution| !seen.contains(&execution.id));
            new.reverse();
            let horizon = horizon();
            seen.retain(|id| *id > horizon);
            seen.extend(new.iter().map(|execution| execution.id.clone()));
            if !printer.print(store.get()?, new)? {
                return Ok(ExitCode::SUCCESS);
            }
        }
    })
}

/// What ended in the last seconds, newest first.
fn recent(store: &dyn Store, wanted: &Wanted) -> Result<Vec<Execution>, Failure> {
    let horizon = horizon();
    Ok(store.executions(&Query { after: Some(&horizon), ..wanted.query(LOOK) })?)
}

fn horizon() -> ExecutionId {
    let since = now().now().saturating_sub(LATE).unwrap_or(Timestamp::UNIX_EPOCH);
    ExecutionId::first_of(since)
}

/// The store, which may not be there yet: then it is looked for again.
struct Opened<'a> {
    repo: &'a Repo,
    config: &'a Config,
    store: Box<dyn Store>,
}

impl<'a> Opened<'a> {
    fn of(repo: &'a Repo, config: &'a Config) -> Result<Self, Failure> {
        Ok(Opened { repo, config, store: store::open_to_read(repo, config)? })
    }

    fn get(&mut self) -> Result<&dyn Store, Failure> {
        if self.store.is_empty()? {
            self.store = store::open_to_read(self.repo, self.config)?;
        }
        Ok(self.store.as_ref())
    }
}

/// Prints runs as they come.
struct Printer {
    columns: Option<Columns>,
}

impl Printer {
    fn new(store: &dyn Store, first: &[Execution], with_tool: bool, as_json: bool) -> Result<Self, Failure> {
        if as_json {
            return Ok(Printer { columns: None });
        }
        let mut rows = rows(store, first, now().now())?;
        // Room for what usually comes.
        rows.push(["0199abcd-ef01", "00:00:00", "", "00000000", "success", "0", "999 ms", "", ""].map(Cell::plain).to_vec());
        if first.is_empty() {
            rows.push(["", "", "a_longer_name", "", "", "", "", "ZeroDivisionError", ""].map(Cell::plain).to_vec());
        }
        let columns = Columns::of(&columns(with_tool), &rows, usize::from(render::terminal_width()), Paint::for_stdout());
        render::say(&columns.head());
        Ok(Printer { columns: Some(columns) })
    }

    /// Whether anybody reads on.
    fn print(&self, store: &dyn Store, executions: Vec<Execution>) -> Result<bool, Failure> {
        let Some(columns) = &self.columns else {
            for execution in executions {
                if !render::goes_on(&json(execution)?) {
                    return Ok(false);
                }
            }
            return Ok(true);
        };
        let ids = short_ids(store, &executions)?;
        // "3 s ago" would be wrong as soon as it is there.
        let today = now().now().saturating_sub(TODAY).unwrap_or(Timestamp::UNIX_EPOCH);
        let form = |at: Timestamp| if at >= today { "%H:%M:%S" } else { "%m-%d %H:%M" };
        let when = |execution: &Execution| ended(execution).strftime(form(ended(execution))).to_string();
        Ok(executions.iter().zip(ids).all(|(execution, id)| render::goes_on(&columns.line(&row(execution, id, when(execution))))))
    }
}
