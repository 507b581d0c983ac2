//! Workflow runs, jobs and artifacts of GitHub's Actions. [`Object`] is the form that a run and a job have wherever they are from: an
//! answer of ours, a file that somebody brought, a webhook.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{GitHub, escaped};
use crate::world::forge::ForgeError;
use crate::world::forge::ci::{Artifact, CiRun, Ending, Job};

/// Runs and artifacts that are listed at most; GitHub itself ends after a thousand of those that are asked for by time.
const LISTED: usize = 1000;
/// The time that is asked for is rounded down to this, so that the same is asked for again and costs nothing.
const ROUND: SignedDuration = SignedDuration::from_hours(24);

/// A run, a job, a page of either, or a webhook: GitHub's objects hold one kind of key each.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Object {
    pub workflow_runs: Option<Objects>,
    pub jobs: Option<Objects>,
    pub workflow_run: Option<Box<Object>>,
    pub workflow_job: Option<Box<Object>>,
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
    repository: Option<Whose>,
    head_repository: Option<Whose>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Step {
    name: Option<String>,
    conclusion: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Whose {
    id: Option<u64>,
}

/// One object, or arrays of them in arrays.
#[derive(Debug, Default)]
pub struct Objects(pub Vec<Object>);

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

impl Object {
    /// The run or the job.
    ///
    /// # Errors
    /// When it is neither.
    pub fn into_run(self) -> Result<CiRun, String> {
        let is_job = self.run_id.is_some();
        let missing = |key: &str| format!("this is neither a workflow run nor a job: `{key}` is missing");
        let id = self.id.ok_or_else(|| missing("id"))?;
        let commit = self.head_sha.clone().ok_or_else(|| missing("head_sha"))?;
        let ending = self.ending().ok_or_else(|| missing("status"))?;
        let started = if is_job { self.started_at } else { self.run_started_at }.or(self.created_at);
        let started = match &ending {
            // Of what is passed over anyway, nobody asks when.
            Ending::Unfinished(_) | Ending::Void(_) => started.or(self.updated_at).unwrap_or_default(),
            _ => started.ok_or_else(|| missing(if is_job { "started_at" } else { "run_started_at" }))?,
        };
        let failed = |step: &&Step| matches!(step.conclusion.as_deref(), Some("failure" | "timed_out"));
        let step = self.steps.as_ref().and_then(|steps| steps.iter().find(failed));
        let (host, repository) = whence(self.html_url.as_deref().unwrap_or_default());
        let whose = |whose: &Option<Whose>| whose.as_ref().and_then(|whose| whose.id);
        let (job, workflow) = match is_job {
            true => (Some(Job { number: id, name: self.name }), self.workflow_name),
            false => (None, self.name),
        };
        Ok(CiRun {
            place: ["github".to_string(), host.to_string(), repository.to_string()],
            run: self.run_id.unwrap_or(id),
            attempt: self.run_attempt.unwrap_or(1),
            job,
            workflow,
            file: self.path,
            number: self.workflow_id,
            commit,
            branch: self.head_branch,
            event: self.event,
            ending,
            failed_step: step.and_then(|step| step.name.clone()),
            started,
            ended: if is_job { self.completed_at } else { self.updated_at }.unwrap_or(started),
            created: self.created_at.unwrap_or(started),
            from_here: whose(&self.repository).is_some() && whose(&self.repository) == whose(&self.head_repository),
        })
    }

    fn ending(&self) -> Option<Ending> {
        let status = self.status.as_deref()?;
        if status != "completed" {
            return Some(Ending::Unfinished(status.to_string()));
        }
        Some(match self.conclusion.as_deref() {
            Some("success") => Ending::Success,
            Some("failure") => Ending::Failure,
            Some("timed_out") => Ending::TimedOut,
            // The runner interrupts what is cancelled.
            Some("cancelled") => Ending::Cancelled,
            Some("startup_failure") => Ending::NotStarted,
            other => Ending::Void(other.unwrap_or("without a conclusion").to_string()),
        })
    }
}

/// `https://github.com/OWNER/NAME/…` as host and repository.
fn whence(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let end = path.match_indices('/').nth(1).map_or(path.len(), |(at, _)| at);
    (host, &path[..end])
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Artifacts {
    artifacts: Vec<Left>,
}

/// An artifact as GitHub tells of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Left {
    id: u64,
    size_in_bytes: u64,
    expired: bool,
    workflow_run: Option<LeftBy>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LeftBy {
    repository_id: Option<u64>,
    head_repository_id: Option<u64>,
    head_sha: Option<String>,
}

impl Left {
    fn into_artifact(self) -> Artifact {
        let by = self.workflow_run.unwrap_or_default();
        let from_here = by.repository_id.is_some() && by.repository_id == by.head_repository_id;
        Artifact { number: self.id, size: self.size_in_bytes, commit: by.head_sha, from_here }
    }
}

impl GitHub {
    fn actions(&self, rest: &str) -> String {
        self.client.repository(&format!("/actions{rest}"))
    }

    pub(super) fn all_runs(&self, since: Timestamp) -> Result<Vec<CiRun>, ForgeError> {
        let day = Timestamp::from_second(since.as_second() - since.as_second().rem_euclid(ROUND.as_secs())).unwrap_or(since);
        let created = escaped(&format!(">={}", day.strftime("%Y-%m-%dT%H:%M:%SZ")));
        let query = format!("created={created}&exclude_pull_requests=true");
        let page = |page: Object| page.workflow_runs.map(|runs| runs.0).unwrap_or_default();
        let listed = self.client.list_until(&self.actions("/runs"), &query, page, |_, so_far| so_far >= LISTED)?;
        let mut runs = readable(listed);
        runs.sort_by_key(|run| (run.created, run.run));
        Ok(runs)
    }

    pub(super) fn jobs_of(&self, run: &CiRun) -> Result<Vec<CiRun>, ForgeError> {
        let path = self.actions(&format!("/runs/{}/attempts/{}/jobs", run.run, run.attempt));
        let page = |page: Object| page.jobs.map(|jobs| jobs.0).unwrap_or_default();
        Ok(readable(self.client.list_until(&path, "", page, |_, so_far| so_far >= LISTED)?))
    }

    pub(super) fn all_artifacts(&self, name: &str, after: u64) -> Result<Vec<Artifact>, ForgeError> {
        let (path, query) = (self.actions("/artifacts"), format!("name={}", escaped(name)));
        let known = |left: &Left, so_far: usize| left.id <= after || so_far >= LISTED;
        let listed = self.client.list_until(&path, &query, |page: Artifacts| page.artifacts, known)?;
        let news = listed.into_iter().filter(|left| left.id > after && !left.expired);
        let mut artifacts: Vec<Artifact> = news.map(Left::into_artifact).collect();
        artifacts.sort_by_key(|artifact| artifact.number);
        Ok(artifacts)
    }

    pub(super) fn content_of(&self, artifact: &Artifact) -> Result<Vec<u8>, ForgeError> {
        Ok(self.client.download(&self.actions(&format!("/artifacts/{}/zip", artifact.number)))?)
    }
}

/// What can be read of a list; one that cannot keeps nobody from the others.
fn readable(listed: Vec<Object>) -> Vec<CiRun> {
    let read = |object: Object| object.into_run().inspect_err(|why| tracing::warn!("a run of GitHub is left out: {why}")).ok();
    listed.into_iter().filter_map(read).collect()
}
