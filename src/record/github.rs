//! Executions from GitHub's REST interface: workflow runs and their jobs, as `gh api` prints them.
//!
//! Read are the pages of `…/actions/runs` and `…/actions/runs/ID/jobs`, single runs and jobs, the webhooks `workflow_run` and
//! `workflow_job`, arrays of all that (`gh api --paginate --slurp`), and any number of them one after the other. What GitHub adds to
//! its objects is ignored.
//!
//! | in the file | here |
//! |---|---|
//! | the name of the workflow | the tool of a run, unless `--tool` names it |
//! | the name of the workflow and of the job without its matrix, `WORKFLOW.JOB` | the tool of a job |
//! | `event` and `head_branch` of a run; `name` and `head_branch` of a job | the arguments |
//! | `success` | success |
//! | `failure`, `timed_out` | failure, by the first step that failed |
//! | `cancelled`, `startup_failure` | error: it says nothing about the tool |
//! | `skipped`, `neutral`, `action_required`, `stale`, what is not completed or not known | left out, and counted |
//! | `head_sha` | the version, until somebody knows better |
//!
//! What names a run is the host, the repository, the number of the run, the attempt, and the number of the job. Deliberately not here:
//! asking GitHub, versions of tools, and what a run means: that is in `ci.rs`.

use std::collections::BTreeMap;

use super::ci::{Names, execution};
use super::import::{BadDocument, Imported, RUNS};
use super::observed::Observed;
use crate::model::plain_line;
use crate::world::forge::ci::Ending;
use crate::world::forge::github::{Object, Objects};

/// Reads what GitHub's REST interface answered. The version of each run is its commit.
///
/// # Errors
/// When it is not that.
pub fn read(bytes: &[u8], tool: Option<&str>, caller: Option<&str>) -> Result<Imported, BadDocument> {
    let mut answer = Answer { names: Names { tool, caller }, runs: Vec::new(), left_out: BTreeMap::new() };
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<Objects>();
    loop {
        let white = bytes[values.byte_offset()..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let offset = values.byte_offset() + white;
        match values.next() {
            None => break,
            Some(Ok(Objects(objects))) => {
                let several = objects.len() > 1;
                for (index, object) in objects.into_iter().enumerate() {
                    let place = if several { format!("[{index}]") } else { String::new() };
                    answer.take(object, &place).map_err(|message| BadDocument::at(bytes, offset, &message))?;
                }
            }
            Some(Err(error)) => {
                let text = error.to_string();
                let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
                let (line, column) = (error.line().max(1), error.column().max(1));
                return Err(BadDocument { line, column, message: plain_line(message, 300), hint: None });
            }
        }
    }
    let left_out: Vec<String> = answer.left_out.iter().map(|(why, count)| format!("{count} {why}")).collect();
    let remarks = if left_out.is_empty() { Vec::new() } else { vec![format!("left out: {}", left_out.join(", "))] };
    Ok(Imported { runs: answer.runs, remarks })
}

struct Answer<'a> {
    names: Names<'a>,
    runs: Vec<Observed>,
    left_out: BTreeMap<String, usize>,
}

impl Answer<'_> {
    /// Takes an object and what is in it; `place` says where it is.
    fn take(&mut self, mut object: Object, place: &str) -> Result<(), String> {
        let pages = [("workflow_runs", object.workflow_runs.take()), ("jobs", object.jobs.take())];
        let is_page = pages.iter().any(|(_, page)| page.is_some());
        for (key, page) in pages {
            for (index, inner) in page.map(|page| page.0).unwrap_or_default().into_iter().enumerate() {
                self.take(inner, &format!("{place}.{key}[{index}]"))?;
            }
        }
        if is_page {
            return Ok(());
        }
        if let Some(inner) = object.workflow_run.take().or(object.workflow_job.take()) {
            return self.take(*inner, place);
        }
        let place = place.trim_start_matches('.');
        let at = if place.is_empty() { String::new() } else { format!("{place}: ") };
        if self.runs.len() >= RUNS {
            return Err(format!("{at}more than {RUNS} runs in one file"));
        }
        let run = self.observe(object).map_err(|why| format!("{at}{why}"))?;
        self.runs.extend(run);
        Ok(())
    }

    /// The execution of a run or a job; `None` when it is none, which is counted.
    fn observe(&mut self, object: Object) -> Result<Option<Observed>, String> {
        let run = object.into_run()?;
        if let Ending::Unfinished(word) | Ending::Void(word) = &run.ending {
            *self.left_out.entry(plain_line(word, 40)).or_default() += 1;
        }
        execution(&run, self.names)
    }
}
