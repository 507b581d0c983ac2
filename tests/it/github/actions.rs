//! The model's Actions: workflow runs and jobs that somebody says there were, and artifacts, which are kept at another address.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::World;
use super::server::{Asked, Reply, not_found};
use super::shape::{Shape, time};
use super::state::Repository;

/// A workflow run with its jobs.
#[derive(Clone, Debug)]
pub struct Run {
    pub id: u64,
    pub attempt: u64,
    pub name: String,
    /// The file of the workflow.
    pub file: String,
    pub sha: String,
    pub branch: String,
    pub event: String,
    pub status: String,
    pub conclusion: Option<String>,
    pub created: Timestamp,
    pub started: Timestamp,
    pub updated: Timestamp,
    /// The commit is one of somebody's copy.
    pub fork: bool,
    /// Names, conclusions, and the step that failed.
    pub jobs: Vec<(String, String, Option<String>)>,
}

/// What a run left behind.
#[derive(Clone, Debug)]
pub struct Artifact {
    pub id: u64,
    pub name: String,
    /// As it is served.
    pub content: Vec<u8>,
    pub sha: String,
    pub fork: bool,
    pub expired: bool,
    pub created: Timestamp,
}

/// What lets one read where artifacts are kept.
const SIGNATURE: &str = "sig=s1gned";

/// The answer to a request below a repository, if it is about any of this.
pub fn answer(world: &World, asked: &Asked, rest: &[&str]) -> Option<Reply> {
    let repository = &world.repository;
    match (asked.method.as_str(), rest) {
        ("GET", ["actions", "runs"]) => {
            let since =
                asked.query.get("created").map(|text| text.trim_start_matches(">=").parse::<Timestamp>().expect("a time"));
            let mut runs: Vec<&Run> =
                repository.runs.iter().filter(|run| since.is_none_or(|since| run.created >= since)).collect();
            runs.sort_by_key(|run| std::cmp::Reverse((run.created, run.id)));
            // GitHub ends there.
            let shown = runs.into_iter().take(1000).map(|run| world.shape.run(repository, run)).collect();
            Some(Reply::List(shown, Some("workflow_runs")))
        }
        ("GET", ["actions", "runs", id, "attempts", attempt, "jobs"]) => {
            let run = repository.runs.iter().find(|run| run.id.to_string() == *id && run.attempt.to_string() == *attempt);
            let Some(run) = run else { return Some(not_found()) };
            let job = |(index, job)| world.shape.job(repository, run, index, job);
            Some(Reply::List(run.jobs.iter().enumerate().map(job).collect(), Some("jobs")))
        }
        ("GET", ["actions", "artifacts"]) => {
            let name = asked.query.get("name");
            let named = repository.artifacts.iter().rev().filter(|artifact| name.is_none_or(|name| artifact.name == *name));
            Some(Reply::List(named.map(|artifact| world.shape.artifact(repository, artifact)).collect(), Some("artifacts")))
        }
        ("GET", ["actions", "artifacts", id, "zip"]) => {
            let artifact = repository.artifacts.iter().find(|artifact| artifact.id.to_string() == *id);
            Some(match artifact {
                None => not_found(),
                Some(artifact) if artifact.expired => super::server::refusal(410, "Artifact has expired"),
                // By another name it is another place, and nobody who has a token for us is to bring it along.
                Some(_) => {
                    let elsewhere = world.shape.api.replace("127.0.0.1", "localhost");
                    let host = elsewhere.split('/').take(3).collect::<Vec<_>>().join("/");
                    Reply::Elsewhere(format!("{host}/kept/{id}?{SIGNATURE}"))
                }
            })
        }
        _ => None,
    }
}

/// What is answered where artifacts are kept: status and bytes.
pub fn kept(world: &World, path: &str, query: &str, token: Option<&String>) -> (u16, Vec<u8>) {
    let artifact =
        path.strip_prefix("/kept/").and_then(|id| world.repository.artifacts.iter().find(|one| one.id.to_string() == id));
    match artifact {
        Some(artifact) if query == SIGNATURE && token.is_none() => (200, artifact.content.clone()),
        _ => (403, b"<Error>AuthenticationFailed</Error>".to_vec()),
    }
}

impl Shape {
    fn run(&self, repository: &Repository, run: &Run) -> Value {
        let (id, api) = (run.id, format!("{}/repos/{}/actions", self.api, repository.name));
        let url = format!("{api}/runs/{id}");
        let place = Value::Object(self.short_repository(repository));
        let mut head = place.clone();
        if run.fork {
            (head["id"], head["full_name"]) = (json!(4711), json!("eve/tools"));
        }
        json!({
            "id": id, "name": run.name, "node_id": format!("WFR_{id}"), "check_suite_id": 1, "check_suite_node_id": "CS_1",
            "head_branch": run.branch, "head_sha": run.sha, "path": run.file, "run_number": 1, "run_attempt": run.attempt,
            "event": run.event, "display_title": "x", "status": run.status, "conclusion": run.conclusion, "workflow_id": 7,
            "url": url, "html_url": format!("https://github.com/{}/actions/runs/{id}", repository.name), "pull_requests": [],
            "created_at": time(run.created), "updated_at": time(run.updated), "run_started_at": time(run.started),
            "jobs_url": format!("{url}/jobs"), "logs_url": format!("{url}/logs"), "artifacts_url": format!("{url}/artifacts"),
            "cancel_url": format!("{url}/cancel"), "rerun_url": format!("{url}/rerun"), "check_suite_url": format!("{api}/x"),
            "workflow_url": format!("{api}/workflows/7"), "previous_attempt_url": null, "head_commit": null,
            "repository": place, "head_repository": head, "actor": self.user("ana"), "triggering_actor": self.user("ana"),
        })
    }

    fn job(&self, repository: &Repository, run: &Run, index: usize, job: &(String, String, Option<String>)) -> Value {
        let (id, api) = (run.id * 100 + run.attempt * 10 + index as u64, format!("{}/repos/{}", self.api, repository.name));
        let (name, conclusion, step) = job;
        let step = step.as_ref().map(|name| {
            json!({"name": name, "status": "completed", "conclusion": conclusion, "number": 2, "started_at": time(run.started)})
        });
        let setup = json!({"name": "Set up job", "status": "completed", "conclusion": "success", "number": 1});
        let steps: Vec<Value> = std::iter::once(setup).chain(step).collect();
        json!({
            "id": id, "run_id": run.id, "run_url": format!("{api}/actions/runs/{}", run.id), "run_attempt": run.attempt,
            "node_id": format!("CR_{id}"), "head_sha": run.sha, "url": format!("{api}/actions/jobs/{id}"),
            "html_url": format!("https://github.com/{}/actions/runs/{}/job/{id}", repository.name, run.id), "status": "completed",
            "conclusion": conclusion, "created_at": time(run.created), "started_at": time(run.started),
            "completed_at": time(run.updated), "name": name, "steps": steps, "check_run_url": format!("{api}/check-runs/{id}"),
            "labels": ["ubuntu-24.04"], "runner_id": 1, "runner_name": "x", "runner_group_id": 2, "runner_group_name": "x",
            "workflow_name": run.name, "head_branch": run.branch,
        })
    }

    fn artifact(&self, repository: &Repository, artifact: &Artifact) -> Value {
        let url = format!("{}/repos/{}/actions/artifacts/{}", self.api, repository.name, artifact.id);
        let head = if artifact.fork { 4711 } else { repository.id };
        let run = json!({
            "id": 1, "repository_id": repository.id, "head_repository_id": head, "head_branch": "main", "head_sha": artifact.sha,
        });
        json!({
            "id": artifact.id, "node_id": format!("A_{}", artifact.id), "name": artifact.name, "size_in_bytes": artifact.content.len(),
            "archive_download_url": format!("{url}/zip"), "url": url, "expired": artifact.expired, "digest": null,
            "created_at": time(artifact.created), "expires_at": time(artifact.created), "updated_at": time(artifact.created),
            "workflow_run": run,
        })
    }
}

/// What Python packs these texts in.
pub fn packed(files: &[(&str, &str)]) -> Vec<u8> {
    let script = "
import io, json, sys, zipfile
packed = io.BytesIO()
with zipfile.ZipFile(packed, 'w', zipfile.ZIP_DEFLATED) as archive:
    for name, text in json.load(sys.stdin):
        archive.writestr(name, text)
sys.stdout.buffer.write(packed.getvalue())";
    let mut python = std::process::Command::new("python3");
    python.args(["-c", script]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut running = python.spawn().expect("python runs");
    let input: Value = files.iter().map(|(name, text)| json!([name, text])).collect();
    std::io::Write::write_all(&mut running.stdin.take().expect("piped"), input.to_string().as_bytes()).expect("python reads");
    let done = running.wait_with_output().expect("python ends");
    assert!(done.status.success());
    done.stdout
}
