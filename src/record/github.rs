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
//! asking GitHub, versions of tools.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::import::{BadDocument, Imported, RUNS};
use super::observed::{Observed, RunName, Said};
use crate::model::{ExecutionId, Exit, Outcome, Version, clean_tool_name, plain_line};

/// A run, a job, a page of either, or a webhook: GitHub's objects hold one kind of key each.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Object {
    workflow_runs: Option<Objects>,
    jobs: Option<Objects>,
    workflow_run: Option<Box<Object>>,
    workflow_job: Option<Box<Object>>,
    id: Option<u64>,
    /// Only a job has it.
    run_id: Option<u64>,
    run_attempt: Option<u64>,
    name: Option<String>,
    path: Option<String>,
    workflow_id: Option<u64>,
    workflow_name: Option<String>,
    head_sha: Option<String>,
    head_branch: Option<String>,
    event: Option<String>,
    status: Option<String>,
    conclusion: Option<String>,
    created_at: Option<Timestamp>,
    run_started_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
    started_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
    html_url: Option<String>,
    steps: Option<Vec<Step>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Step {
    name: Option<String>,
    conclusion: Option<String>,
}

/// One object, or arrays of them in arrays.
#[derive(Debug, Default)]
struct Objects(Vec<Object>);

impl<'de> Deserialize<'de> for Objects {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Objects;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a workflow run, a job, or an array of them")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Objects, A::Error> {
                Object::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(|object| Objects(vec![object]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Objects, A::Error> {
                let mut all = Vec::new();
                while let Some(Objects(more)) = array.next_element()? {
                    all.extend(more);
                }
                Ok(Objects(all))
            }
        }
        deserializer.deserialize_any(Form)
    }
}

/// Reads what GitHub's REST interface answered. The version of each run is its commit.
///
/// # Errors
/// When it is not that.
pub fn read(bytes: &[u8], tool: Option<&str>, caller: Option<&str>) -> Result<Imported, BadDocument> {
    let mut answer = Answer { tool, caller, runs: Vec::new(), left_out: BTreeMap::new() };
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
    tool: Option<&'a str>,
    caller: Option<&'a str>,
    runs: Vec<Observed>,
    left_out: BTreeMap<String, usize>,
}

impl Answer<'_> {
    /// Takes an object and what is in it; `place` says where it is.
    fn take(&mut self, object: Object, place: &str) -> Result<(), String> {
        let Object { workflow_runs, jobs, workflow_run, workflow_job, .. } = object;
        let pages = [("workflow_runs", workflow_runs), ("jobs", jobs)];
        let is_page = pages.iter().any(|(_, page)| page.is_some());
        for (key, page) in pages {
            for (index, inner) in page.map(|page| page.0).unwrap_or_default().into_iter().enumerate() {
                self.take(inner, &format!("{place}.{key}[{index}]"))?;
            }
        }
        if is_page {
            return Ok(());
        }
        if let Some(inner) = workflow_run.or(workflow_job) {
            return self.take(*inner, place);
        }
        let object = Object { workflow_runs: None, jobs: None, workflow_run: None, workflow_job: None, ..object };
        let place = place.trim_start_matches('.');
        let at = if place.is_empty() { String::new() } else { format!("{place}: ") };
        if self.runs.len() >= RUNS {
            return Err(format!("{at}more than {RUNS} runs in one file"));
        }
        let run = self.observe(&object).map_err(|why| format!("{at}{why}"))?;
        self.runs.extend(run);
        Ok(())
    }

    /// The execution of a run or a job; `None` when it is none, which is counted.
    fn observe(&mut self, object: &Object) -> Result<Option<Observed>, String> {
        let is_job = object.run_id.is_some();
        let missing = |key: &str| format!("this is neither a workflow run nor a job: `{key}` is missing");
        let id = object.id.ok_or_else(|| missing("id"))?;
        let sha = object.head_sha.as_deref().ok_or_else(|| missing("head_sha"))?;
        let status = object.status.as_deref().ok_or_else(|| missing("status"))?;
        let Some((exit, outcome)) = ending(object.conclusion.as_deref()).filter(|_| status == "completed") else {
            let why = if status == "completed" { object.conclusion.as_deref().unwrap_or("without a conclusion") } else { status };
            *self.left_out.entry(plain_line(why, 40)).or_default() += 1;
            return Ok(None);
        };
        let started = if is_job { object.started_at } else { object.run_started_at }.or(object.created_at);
        let at = started.ok_or_else(|| missing(if is_job { "started_at" } else { "run_started_at" }))?;
        let ended = if is_job { object.completed_at } else { object.updated_at }.unwrap_or(at);
        let (host, repository) = whence(object.html_url.as_deref().unwrap_or_default());
        let tool = self.tool(object, is_job)?;
        let attempt = object.run_attempt.unwrap_or(1).to_string();
        let (run, job) = (object.run_id.unwrap_or(id).to_string(), if is_job { id.to_string() } else { String::new() });
        let parts = ["github", host, repository, &run, &attempt, &job];
        // A run's `updated_at` may move after its end; its identity must not.
        let source = match is_job {
            true => RunName::of(&parts),
            false => RunName::Ours(ExecutionId::derived(at, &parts.map(str::as_bytes))),
        };
        let input = if is_job { object.name.clone() } else { object.event.clone() };
        let args = [input, object.head_branch.clone()].into_iter().flatten().map(String::into_bytes).collect();
        let caller = self.caller.map(str::to_string);
        Ok(Some(Observed {
            tool,
            version: Version(sha.to_string()),
            source,
            at,
            duration: Duration::try_from(ended.duration_since(at)).unwrap_or_default(),
            args,
            cwd: None,
            stdin: None,
            stdout: None,
            stderr: None,
            exit,
            outcome: Some(outcome),
            failure: (outcome == Outcome::Failure).then(|| object.said()),
            caller: caller.unwrap_or_else(|| {
                let event = object.event.as_deref().filter(|event| clean_tool_name(event).as_deref() == Some(event));
                event.map_or_else(|| "github".to_string(), |event| format!("github/{event}"))
            }),
            marked: None,
        }))
    }

    fn tool(&self, object: &Object, is_job: bool) -> Result<String, String> {
        if let Some(tool) = self.tool {
            return Ok(tool.to_string());
        }
        let clean = |name: Option<&str>| name.and_then(clean_tool_name);
        // A workflow without a usable name is called by its file, `.github/workflows/build.yml@main`, or by its number.
        let file = object.path.as_deref().and_then(|path| path.rsplit('/').next()?.split(['.', '@']).next());
        let name = if is_job { object.workflow_name.as_deref() } else { object.name.as_deref() };
        let number = object.workflow_id.map(|id| format!("workflow-{id}"));
        let workflow = clean(name).or_else(|| clean(file)).or(number);
        let job = is_job.then(|| clean(object.name.as_deref().map(without_matrix)).unwrap_or_else(|| "job".to_string()));
        let parts: Vec<String> = workflow.into_iter().chain(job).collect();
        clean_tool_name(&parts.join("."))
            .ok_or_else(|| "the workflow has no name that can name a tool; `--tool NAME` does".into())
    }
}

/// How a conclusion reads; `None` when it is none that says anything.
fn ending(conclusion: Option<&str>) -> Option<(Exit, Outcome)> {
    Some(match conclusion? {
        "success" => (Exit::Code(0), Outcome::Success),
        "failure" => (Exit::Code(1), Outcome::Failure),
        "timed_out" => (Exit::TimedOut, Outcome::Failure),
        // The runner interrupts what is cancelled.
        "cancelled" => (Exit::Signal(2), Outcome::Error),
        "startup_failure" => (Exit::NotStarted("GitHub could not start it".into()), Outcome::Error),
        _ => return None,
    })
}

/// `https://github.com/OWNER/NAME/…` as host and repository.
fn whence(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let end = path.match_indices('/').nth(1).map_or(path.len(), |(at, _)| at);
    (host, &path[..end])
}

/// `test (ubuntu, 3.11)` is the job `test`.
fn without_matrix(name: &str) -> &str {
    match name.split_once(" (") {
        Some((job, matrix)) if matrix.ends_with(')') && !job.trim().is_empty() => job,
        _ => name,
    }
}

impl Object {
    /// A failure in the words that there are: the step that failed.
    fn said(&self) -> Said {
        let failed = |step: &&Step| matches!(step.conclusion.as_deref(), Some("failure" | "timed_out"));
        let step = self.steps.as_ref().and_then(|steps| steps.iter().find(failed));
        let (class, message) = match (step.and_then(|step| step.name.as_deref()), &self.run_id) {
            (Some(step), _) => (Some(format!("step {step}")), format!("the step `{step}` failed")),
            (None, Some(_)) => (None, "the job failed, and says of no step that it did".to_string()),
            (None, None) => (None, "the workflow failed; its jobs say why".to_string()),
        };
        Said { class, message, trace: String::new() }
    }
}
