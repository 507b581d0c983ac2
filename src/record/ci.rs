//! Executions from what a forge ran by itself: which tool a workflow and a job are, and what their endings mean.
//! Deliberately not here: asking a forge, versions of tools.

use std::time::Duration;

use super::observed::{Observed, RunName, Said};
use crate::model::{ExecutionId, Exit, Outcome, Version, clean_tool_name};
use crate::world::forge::ci::{CiRun, Ending};

/// What of an execution the reader chooses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names<'a> {
    pub tool: Option<&'a str>,
    pub caller: Option<&'a str>,
}

/// The execution of a run or a job, of the version that is its commit; `None` when it has not ended, or its end says nothing.
///
/// # Errors
/// When the workflow has no name that can be a tool's.
pub fn execution(run: &CiRun, names: Names<'_>) -> Result<Option<Observed>, String> {
    let Some((exit, outcome)) = ending(&run.ending) else { return Ok(None) };
    let attempt = run.attempt.to_string();
    let (number, job) = (run.run.to_string(), run.job.as_ref().map(|job| job.number.to_string()).unwrap_or_default());
    let [kind, host, repository] = &run.place;
    let parts = [kind.as_str(), host, repository, &number, &attempt, &job];
    // The end of a whole run may move after it has ended; its identity must not.
    let source = match run.job {
        Some(_) => RunName::of(&parts),
        None => RunName::Ours(ExecutionId::derived(run.started, &parts.map(str::as_bytes))),
    };
    let input = run.job.as_ref().map_or_else(|| run.event.clone(), |job| job.name.clone());
    let args = [input, run.branch.clone()].into_iter().flatten().map(String::into_bytes).collect();
    let event = run.event.as_deref().filter(|event| clean_tool_name(event).as_deref() == Some(event));
    Ok(Some(Observed {
        tool: tool(run, names.tool)?,
        version: Version(run.commit.clone()),
        source,
        at: run.started,
        duration: Duration::try_from(run.ended.duration_since(run.started)).unwrap_or_default(),
        args,
        cwd: None,
        stdin: None,
        stdout: None,
        stderr: None,
        exit,
        outcome: Some(outcome),
        failure: (outcome == Outcome::Failure).then(|| said(run)),
        caller: match (names.caller, event) {
            (Some(caller), _) => caller.to_string(),
            (None, Some(event)) => format!("{kind}/{event}"),
            (None, None) => kind.clone(),
        },
        marked: None,
    }))
}

fn tool(run: &CiRun, wanted: Option<&str>) -> Result<String, String> {
    if let Some(tool) = wanted {
        return Ok(tool.to_string());
    }
    let clean = |name: Option<&str>| name.and_then(clean_tool_name);
    // A workflow without a usable name is called by its file, `.github/workflows/build.yml@main`, or by its number.
    let file = run.file.as_deref().and_then(|path| path.rsplit('/').next()?.split(['.', '@']).next());
    let number = run.number.map(|id| format!("workflow-{id}"));
    let workflow = clean(run.workflow.as_deref()).or_else(|| clean(file)).or(number);
    let job = run.job.as_ref().map(|job| clean(job.name.as_deref().map(without_matrix)).unwrap_or_else(|| "job".to_string()));
    let parts: Vec<String> = workflow.into_iter().chain(job).collect();
    clean_tool_name(&parts.join(".")).ok_or_else(|| "the workflow has no name that can name a tool; `--tool NAME` does".into())
}

/// What an ending says of the tool; `None`: nothing.
fn ending(ending: &Ending) -> Option<(Exit, Outcome)> {
    Some(match ending {
        Ending::Success => (Exit::Code(0), Outcome::Success),
        Ending::Failure => (Exit::Code(1), Outcome::Failure),
        Ending::TimedOut => (Exit::TimedOut, Outcome::Failure),
        Ending::Cancelled => (Exit::Signal(2), Outcome::Error),
        Ending::NotStarted => (Exit::NotStarted("GitHub could not start it".into()), Outcome::Error),
        Ending::Unfinished(_) | Ending::Void(_) => return None,
    })
}

/// `test (ubuntu, 3.11)` is the job `test`.
fn without_matrix(name: &str) -> &str {
    match name.split_once(" (") {
        Some((job, matrix)) if matrix.ends_with(')') && !job.trim().is_empty() => job,
        _ => name,
    }
}

/// A failure in the words that there are: the step that failed.
fn said(run: &CiRun) -> Said {
    let (class, message) = match (&run.failed_step, &run.job) {
        (Some(step), _) => (Some(format!("step {step}")), format!("the step `{step}` failed")),
        (None, Some(_)) => (None, "the job failed, and says of no step that it did".to_string()),
        (None, None) => (None, "the workflow failed; its jobs say why".to_string()),
    };
    Said { class, message, trace: String::new() }
}
