//! What the forge ran becomes executions: runs and jobs of the workflows that are named, and artifacts, each once.

use serde_json::Value;

use crate::github::{Trouble, packed};
use crate::hosted::Hosted;
use crate::support::text;

impl Hosted {
    /// What is recorded of a tool, oldest first: outcome, class of the failure, caller.
    fn recorded(&self, tool: &str) -> Vec<String> {
        let shown = text(&self.fractal(&["executions", "export", tool]).stdout);
        let lines = shown.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let mut told: Vec<(String, String)> = lines
            .map(|line| {
                let class = line["failure"]["class"].as_str().unwrap_or("-").to_string();
                let said =
                    format!("{} {class} {}", line["outcome"].as_str().expect("has one"), line["caller"].as_str().unwrap_or("-"));
                (line["at"].to_string(), said)
            })
            .collect();
        told.sort();
        told.into_iter().map(|(_, said)| said).collect()
    }

    fn collect(&self) -> (i32, Value) {
        let done = self.fractal(&["sync", "--forge", "--json"]);
        let line = text(&done.stdout);
        (done.status.code().expect("ended"), serde_json::from_str(&line).unwrap_or(Value::Null))
    }

    /// Paths that were asked for since the last time.
    fn asked(&self, words: &str) -> usize {
        self.github.drain().iter().filter(|exchange| exchange.path.contains(words)).count()
    }
}

const CI: &str = "runs = [\"CI\"]\nper_hour = 9\n";

#[test]
fn a_cycle_brings_in_runs_and_jobs_of_the_workflows_that_are_named_once_each() {
    let hosted = Hosted::greeter(CI);
    hosted.github.ran("CI", "main", "success");
    hosted.github.pass(60);
    hosted.github.ran("CI", "main", "failure");
    hosted.github.ran("Docs", "main", "failure");
    let (copied, running, skipped) = (
        hosted.github.ran("CI", "main", "failure"),
        hosted.github.ran("CI", "main", "success"),
        hosted.github.ran("CI", "main", "skipped"),
    );
    hosted.github.change(|repository| {
        for run in &mut repository.runs {
            run.fork = run.id == copied;
            if run.id == running {
                (run.status, run.conclusion) = ("in_progress".into(), None);
            }
        }
    });
    let told = hosted.run();
    let report = told.of("collected").next().unwrap_or_else(|| panic!("{:#?}", told.0));
    assert_eq!((&report["report"]["runs"], &report["report"]["new"]), (&2.into(), &4.into()), "{report}");
    assert_eq!(hosted.recorded("CI"), ["success - github/push", "failure exit 1 github/push"]);
    assert_eq!(hosted.recorded("CI.test"), ["success - github", "failure step Run tests github"]);
    assert!(hosted.recorded("Docs").is_empty());
    // Nothing new: one conditional request.
    hosted.github.drain();
    hosted.run();
    assert_eq!(hosted.asked("/actions/"), 1);
    // What ended since is new, and what was run again is another run; what says nothing stays out.
    hosted.github.change(|repository| {
        let run = repository.runs.iter_mut().find(|run| run.id == running).expect("is there");
        (run.status, run.conclusion) = ("completed".into(), Some("success".into()));
        let run = repository.runs.iter_mut().find(|run| run.conclusion.as_deref() == Some("failure")).expect("is there");
        (run.attempt, run.conclusion) = (2, Some("success".into()));
        run.started += jiff::SignedDuration::from_secs(100);
    });
    hosted.run();
    assert_eq!(hosted.asked("/jobs"), 2);
    assert_eq!(hosted.recorded("CI").len(), 4);
    assert!(hosted.github.change(|repository| repository.runs.iter().any(|run| run.id == skipped)));
}

#[test]
fn what_was_asked_for_is_the_same_as_what_is_imported() {
    let hosted = Hosted::greeter(CI);
    hosted.github.ran("CI", "main", "failure");
    assert_eq!(hosted.collect().0, 0);
    let answers: Vec<String> = hosted
        .github
        .drain()
        .iter()
        .filter(|exchange| exchange.path.contains("/actions/"))
        .map(|exchange| exchange.answer.to_string())
        .collect();
    hosted.repository.write("../pages.json", &answers.join("\n"));
    let said = hosted.repository.says(&["import", "../pages.json"]);
    assert!(said.contains("2 runs of CI, CI.test") && said.contains("0 new, 2 known before"), "{said}");
    assert_eq!(hosted.recorded("CI").len(), 1);
}

#[test]
fn many_runs_come_in_parts_and_a_forge_that_fails_in_between_loses_none() {
    let hosted = Hosted::greeter(CI);
    hosted.github.world().page_max = 7;
    for _ in 0..60 {
        hosted.github.pass(60);
        hosted.github.ran("CI", "main", "success");
    }
    let (code, first) = hosted.collect();
    assert_eq!((code, &first["runs"], &first["unfinished"]), (0, &50.into(), &true.into()), "{first}");
    hosted.github.trouble_times(3, "GET", "/jobs", Trouble::Error { status: 500, obeyed: false });
    let (code, second) = hosted.collect();
    assert!(code == 1 && second["runs"] == 0 && second["failed"].as_str().is_some_and(|why| why.contains("500")), "{second}");
    let (code, third) = hosted.collect();
    assert_eq!(
        (code, &third["runs"], &third["new"], &third["unfinished"]),
        (0, &10.into(), &20.into(), &false.into()),
        "{third}"
    );
    assert_eq!((hosted.recorded("CI").len(), hosted.recorded("CI.test").len()), (60, 60));
    // Read weeks later, only what came since is asked for.
    hosted.github.drain();
    assert_eq!(hosted.collect().1["runs"], 0);
    let asked = hosted.github.drain();
    assert!(
        asked.iter().all(|exchange| !exchange.path.contains("/jobs")) && asked[0].path.contains("created=%3E%3D"),
        "{asked:#?}"
    );
}

#[test]
fn artifacts_are_read_once_and_are_text_from_outside() {
    let hosted = Hosted::greeter("artifacts = [\"fractal-executions\"]\n");
    let line = |tool: &str, more: &str| format!("{{\"tool\":\"{tool}\",\"at\":\"2026-01-02T03:04:05Z\",\"exit\":0{more}}}\n");
    let secret = "ghp_abcdefghijklmnopqrstuvwxyz0123456789";
    let files = [
        ("../../../../etc/evil.jsonl", format!("{}{}", line("greet", ",\"args\":[\"sue\"]"), line("odd", ",\"version\":\"v7\""))),
        ("b", format!("nonsense\n\n{}", line("greet", &format!(",\"args\":[\"--token\",\"{secret}\"]")))),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    hosted.github.left("fractal-executions", packed(&files));
    hosted.github.left("others", packed(&[("x", "y")]));
    hosted.github.left("fractal-executions", b"PK\x03\x04 is none".to_vec());
    for (fork, expired, tool) in [(true, false, "copied"), (false, true, "gone")] {
        let id = hosted.github.left("fractal-executions", packed(&[("x", &line(tool, ""))]));
        hosted.github.change(|repository| {
            let left = repository.artifacts.iter_mut().find(|left| left.id == id).expect("is there");
            (left.fork, left.expired) = (fork, expired);
        });
    }
    let (code, told) = hosted.collect();
    assert_eq!((code, &told["artifacts"], &told["new"]), (0, &1.into(), &3.into()), "{told:#}");
    let warnings = told["warnings"].to_string();
    assert!(warnings.contains("line 1") && warnings.contains("cannot be read: its directory has no end"), "{warnings}");
    let known = text(&hosted.fractal(&["executions", "export", "--output", "none"]).stdout);
    assert!(!known.contains(secret));
    let shown = text(&hosted.fractal(&["executions", "export", "greet"]).stdout);
    assert!(!shown.contains(secret) && shown.contains("sue"), "{shown}");
    // Without a version of its own, it is the tool's at the commit of the run.
    let version = hosted.repository.git(&["rev-parse", "main"]);
    assert!(!shown.contains("unknown") && !shown.contains(&version), "{shown}");
    assert!(hosted.recorded("copied").is_empty() && hosted.recorded("gone").is_empty());
    hosted.github.drain();
    let (code, again) = hosted.collect();
    assert_eq!((code, &again["artifacts"], hosted.asked("/zip")), (0, &0.into(), 0));
    hosted.github.left("fractal-executions", line("late", "").into_bytes());
    assert_eq!(hosted.collect().1["artifacts"], 1);
    assert_eq!(hosted.recorded("late").len(), 1);
}

#[test]
fn nothing_is_asked_for_where_the_configuration_says_nothing() {
    let hosted = Hosted::greeter("");
    hosted.github.ran("CI", "main", "failure");
    hosted.github.drain();
    hosted.run();
    assert_eq!(hosted.asked("/actions/"), 0);
    let done = hosted.fractal(&["sync", "--forge"]);
    assert_eq!(done.status.code(), Some(2));
    assert!(text(&done.stderr).contains("[forge] runs"), "{}", text(&done.stderr));
}
