//! Check runs and statuses. Check runs carry texts, and only Apps may write them; statuses are for everybody.

use hyper::Method;
use serde_json::{Value, json};

use super::{GitHub, escaped, found, wire};
use crate::model::{CommitId, plain_line};
use crate::world::forge::{Check, ForgeError, Report, Verdict};

/// Signs of the text of a check run, and of the line of a status.
const TEXT_MAX: usize = 60_000;
const LINE_MAX: usize = 140;

impl GitHub {
    fn of_commit(&self, commit: &CommitId, rest: &str) -> String {
        self.client.repository(&format!("/commits/{}/{rest}", escaped(&commit.0)))
    }

    fn check_runs(&self, commit: &CommitId, query: &str) -> Result<Vec<wire::CheckRun>, ForgeError> {
        let path = self.of_commit(commit, "check-runs");
        Ok(self.client.list(&path, &format!("filter=latest{query}"), |page: wire::CheckRuns| page.check_runs)?)
    }

    fn statuses(&self, commit: &CommitId) -> Result<Vec<wire::Status>, ForgeError> {
        Ok(self.client.list(&self.of_commit(commit, "status"), "", |page: wire::Combined| page.statuses)?)
    }

    pub(super) fn all_checks(&self, commit: &CommitId) -> Result<Vec<Check>, ForgeError> {
        let mut checks: Vec<Check> = self.check_runs(commit, "")?.into_iter().map(wire::CheckRun::into_check).collect();
        checks.extend(self.statuses(commit)?.into_iter().map(wire::Status::into_check));
        Ok(checks)
    }

    pub(super) fn report_check(&self, commit: &CommitId, report: &Report) -> Result<(), ForgeError> {
        match self.me()?.app {
            Some(app) => self.report_check_run(commit, report, &app),
            None => self.report_status(commit, report),
        }
    }

    fn report_check_run(&self, commit: &CommitId, report: &Report, app: &str) -> Result<(), ForgeError> {
        let own = || -> Result<Option<wire::CheckRun>, ForgeError> {
            let runs = self.check_runs(commit, &format!("&check_name={}", escaped(&report.name)))?;
            let is_own = |run: &wire::CheckRun| run.app.as_ref().is_some_and(|by| by.slug == app) && run.name == report.name;
            Ok(runs.into_iter().filter(is_own).max_by_key(|run| run.id))
        };
        let text: String = report.text.chars().take(TEXT_MAX).collect();
        let mut body = json!({"name": report.name, "output": {"title": report.title, "summary": text}});
        let ended = match report.verdict {
            Verdict::Pending => None,
            Verdict::Passed => Some("success"),
            Verdict::Failed => Some("failure"),
            Verdict::Skipped => Some("skipped"),
            Verdict::Void => Some("neutral"),
        };
        body["status"] = Value::from(if ended.is_some() { "completed" } else { "in_progress" });
        if let Some(conclusion) = ended {
            body["conclusion"] = Value::from(conclusion);
        }
        let path = self.client.repository("/check-runs");
        let sent = match own()? {
            Some(run) => self.client.change_only(Method::PATCH, &format!("{path}/{}", run.id), &body),
            None => {
                body["head_sha"] = Value::from(commit.0.as_str());
                self.client.change_only(Method::POST, &path, &body)
            }
        };
        let Err(failure) = sent else { return Ok(()) };
        // Texts are not compared: who reports again replaces them.
        found(failure, || Ok(own()?.filter(|run| is_so(run, report)).map(drop)))
    }

    fn report_status(&self, commit: &CommitId, report: &Report) -> Result<(), ForgeError> {
        let state = match report.verdict {
            Verdict::Pending => "pending",
            Verdict::Passed | Verdict::Skipped => "success",
            Verdict::Failed => "failure",
            Verdict::Void => "error",
        };
        let body = json!({"state": state, "context": report.name, "description": plain_line(&report.title, LINE_MAX)});
        let path = self.client.repository(&format!("/statuses/{}", escaped(&commit.0)));
        let Err(failure) = self.client.change_only(Method::POST, &path, &body) else { return Ok(()) };
        found(failure, || {
            let now = self.statuses(commit)?.into_iter().map(wire::Status::into_check);
            let wanted = |check: &Check| check.name == report.name && check.verdict == status_verdict(report.verdict);
            Ok(now.into_iter().any(|check| wanted(&check)).then_some(()))
        })
    }
}

/// What a status can say of it.
fn status_verdict(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Skipped => Verdict::Passed,
        Verdict::Void => Verdict::Failed,
        other => other,
    }
}

/// Whether GitHub shows what was reported.
fn is_so(run: &wire::CheckRun, report: &Report) -> bool {
    let shown = run.clone().into_check().verdict;
    shown == report.verdict || report.verdict == Verdict::Void && shown == Verdict::Skipped
}
