//! The story that the demo tells must be true, also when the demo is killed and goes on.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use super::support::{hermetic, kill_after_line, lines, text};

/// Lines after which the demo is killed, one after the other: in the traffic, in the engine's work, in its watch.
const KILLS: [usize; 3] = [4, 25, 60];

struct Story {
    folder: TempDir,
    told: Vec<Value>,
}

impl Story {
    /// One demo for all tests: killed three times, then told to its end.
    fn told() -> &'static Story {
        static ONCE: OnceLock<Story> = OnceLock::new();
        ONCE.get_or_init(|| {
            let folder = tempfile::tempdir().expect("a temporary folder");
            for folder in ["home", "demo"].map(|name| folder.path().join(name)) {
                std::fs::create_dir(folder).expect("makes a folder");
            }
            let demo = || {
                let mut command = Story::command(folder.path(), folder.path());
                command.args(["demo", "--json", "--dir"]).arg(folder.path().join("demo"));
                command
            };
            for n in KILLS {
                kill_after_line(demo(), n);
            }
            let done = demo().stdin(Stdio::null()).output().expect("runs");
            assert!(done.status.success(), "{}", text(&done.stderr));
            let told = lines(&text(&done.stdout)).iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
            Story { folder, told }
        })
    }

    fn command(folder: &Path, at: &Path) -> Command {
        hermetic(env!("CARGO_BIN_EXE_fractal"), &folder.join("home"), at)
    }

    fn repository(&self) -> std::path::PathBuf {
        self.folder.path().join("demo/repository")
    }

    fn git(&self, arguments: &[&str]) -> String {
        let done =
            hermetic("git", &self.folder.path().join("home"), &self.repository()).args(arguments).output().expect("git runs");
        assert!(done.status.success(), "git {arguments:?}: {}", text(&done.stderr));
        text(&done.stdout).trim().to_string()
    }

    fn fractal(&self, arguments: &[&str]) -> String {
        let done = Story::command(self.folder.path(), &self.repository()).args(arguments).output().expect("fractal runs");
        assert!(done.status.success(), "fractal {arguments:?}: {}", text(&done.stderr));
        text(&done.stdout)
    }

    fn result(&self) -> &Value {
        self.told.iter().find(|told| told["event"] == "demo_result").expect("the demo tells its result")
    }

    fn tool(&self, name: &str) -> &Value {
        let tools = self.result()["tools"].as_array().expect("a list");
        tools.iter().find(|tool| tool["tool"] == name).unwrap_or_else(|| panic!("no {name} in {tools:#?}"))
    }

    fn rate(&self, name: &str, when: &str) -> f64 {
        let counts = &self.tool(name)[when];
        let (runs, failures) = (counts["runs"].as_f64().expect("runs"), counts["failures"].as_f64().expect("failures"));
        assert!(runs > 0.0);
        1.0 - failures / runs
    }

    /// The improvement's events.
    fn events(&self, name: &str) -> Vec<Value> {
        let id = self.tool(name)["id"].as_str().expect("has an improvement").to_string();
        let shown: Value = serde_json::from_str(&self.fractal(&["show", &id, "--json"])).expect("JSON");
        shown["records"].as_array().expect("a list").clone()
    }

    fn event(&self, name: &str, event: &str) -> Value {
        let all = self.events(name);
        all.iter().find(|record| record["event"] == event).cloned().unwrap_or_else(|| panic!("{name} has no {event}"))
    }
}

#[test]
fn the_calculator_is_detected_investigated_repaired_and_kept() {
    let story = Story::told();
    assert_eq!(story.tool("buggy_calculator")["before"], serde_json::json!({ "runs": 50, "failures": 20 }));
    assert!(story.rate("buggy_calculator", "after") >= 0.95);
    assert_eq!(story.tool("buggy_calculator")["stage"], "kept");
    let opportunity = &story.event("buggy_calculator", "detected")["opportunity"];
    assert_eq!((&opportunity["priority"], &opportunity["failures"]), (&"medium".into(), &20.into()));
    assert_eq!(opportunity["signals"][0]["rate"], 0.6);
    let investigation = &story.event("buggy_calculator", "investigated")["investigation"];
    assert_eq!(investigation["failure"]["class"], "ZeroDivisionError");
    assert_eq!(investigation["locations"][0]["path"], "tools/buggy_calculator.py");
    assert!(investigation["remarks"].to_string().contains("no validation of `b` in `divide`"));
    let id = story.tool("buggy_calculator")["id"].as_str().expect("an id");
    let commit = story.git(&["rev-parse", &format!("fractal/buggy_calculator/{id}")]);
    let message = story.git(&["log", "-1", "--notes=fractal", &commit]);
    for part in
        ["Fractal-Id:", "Fractal-Tool:", "Fractal-Opportunity:", "Fractal-Strategy:", "Fractal-Evidence:", "Fractal: kept"]
    {
        assert!(message.contains(part), "no `{part}` in {message}");
    }
    let files = story.git(&["show", "--name-only", "--format=", &commit]);
    let wanted = [".fractal/notes/", "tests/test_buggy_calculator_", "tools/buggy_calculator.py"];
    assert!(lines(&files).len() == 3 && wanted.iter().all(|part| files.contains(part)), "{files}");
}

#[test]
fn three_more_kinds_of_defects_end_in_kept_improvements() {
    let story = Story::told();
    for (tool, class) in [("member_report", "KeyError"), ("page_slice", "wrong output"), ("retry_schedule", "time-out")] {
        assert_eq!(story.tool(tool)["stage"], "kept", "{tool}");
        assert_eq!(story.event(tool, "detected")["opportunity"]["failure"]["class"], class);
        assert!(story.rate(tool, "before") < 0.7 && story.rate(tool, "after") >= 0.95, "{tool}");
    }
}

#[test]
fn failures_of_the_environment_and_of_chance_get_no_patch_and_a_reason() {
    let story = Story::told();
    for (tool, conclusion, why) in
        [("import_feed", "environment", "does not exist"), ("pick_mirror", "flaky", "the same inputs failed")]
    {
        assert_eq!(story.tool(tool)["stage"], "declined", "{tool}");
        let investigation = &story.event(tool, "investigated")["investigation"];
        assert_eq!(investigation["conclusion"], conclusion, "{investigation:#}");
        assert!(investigation["reason"].as_str().expect("a reason").contains(why));
        assert!(!story.git(&["for-each-ref", "refs/heads"]).contains(tool));
    }
}

#[test]
fn a_persons_commit_that_broke_a_tool_is_found_and_its_revert_proposed() {
    let story = Story::told();
    assert_eq!(story.tool("slugify")["stage"], "proposed");
    let culprit = &story.event("slugify", "investigated")["investigation"]["culprit"];
    assert_eq!((&culprit["summary"], &culprit["author"]), (&"slugify: support accents".into(), &"Tom Berg".into()));
    let id = story.tool("slugify")["id"].as_str().expect("an id");
    let parent = format!("{}^", culprit["commit"].as_str().expect("a commit"));
    let proposed = format!("fractal/slugify/{id}");
    assert_eq!(story.git(&["diff", &parent, &proposed, "--", "tools/slugify.py"]), "");
    assert_ne!(story.git(&["diff", "main", &proposed, "--", "tools/slugify.py"]), "");
}

#[test]
fn an_improvement_that_live_inputs_break_is_reverted_with_its_evidence() {
    let story = Story::told();
    assert_eq!(story.tool("order_check")["stage"], "reverted");
    let analysis = &story.event("order_check", "analysed")["analysis"];
    assert_eq!(analysis["finding"], "regression");
    let replays = analysis["replays"].as_array().expect("a list");
    assert!(replays.len() >= 3 && replays.iter().all(|replay| replay["old_failures"] == 0));
    let revert = story.git(&["log", "-1", "--format=%B", "--grep=^Revert \"order_check", "main"]);
    assert!(revert.contains("This reverts commit ") && revert.contains("old fails 0 of 4, new fails 4 of 4"), "{revert}");
    let log: Vec<Value> =
        lines(&story.fractal(&["log", "--json"])).iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let own = log.iter().find(|improvement| improvement["tool"] == "order_check").expect("is in the log");
    assert_eq!(own["reverted_before"], true, "it lost automatic landing");
}

#[test]
fn whatever_was_killed_nothing_happened_twice_and_nothing_was_lost() {
    let story = Story::told();
    let subjects = story.git(&["log", "--format=%s", "--author=Fractal", "main"]);
    let mut subjects = lines(&subjects);
    assert_eq!(subjects.len(), 6, "five landed, one reverted: {subjects:#?}");
    subjects.sort();
    subjects.dedup();
    assert_eq!(subjects.len(), 6);
    assert_eq!(story.git(&["status", "--porcelain"]), "");
    let runs: i64 =
        story.result()["tools"].as_array().expect("a list").iter().filter_map(|tool| tool["after"]["runs"].as_i64()).sum();
    assert_eq!(runs, 230, "every live call was made and recorded once");
    assert_eq!(story.git(&["notes", "--ref=fractal", "list"]).lines().count(), 5);
}

#[test]
fn a_kept_improvement_that_a_person_reverts_is_noticed_and_not_proposed_again() {
    let story = Story::told();
    // In a copy, because the others look at the original.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let copied = Command::new("cp").arg("-a").arg(story.folder.path().join(".")).arg(folder.path()).status().expect("cp runs");
    assert!(copied.success());
    let copy = Story { folder, told: story.told.clone() };
    let commit = copy.git(&["log", "-1", "--format=%H", "--grep=^buggy_calculator: ", "main"]);
    copy.git(&["revert", "--no-edit", &commit]);
    let tip = copy.git(&["rev-parse", "main"]);
    let told = copy.fractal(&["run"]);
    assert!(told.contains("a person reverted it") && told.contains("not proposed again"), "{told}");
    assert_eq!(copy.git(&["rev-parse", "main"]), tip);
    assert!(copy.git(&["notes", "--ref=fractal", "show", &commit]).contains("Fractal: reverted"));
    assert!(copy.fractal(&["run"]).contains("0 proposed, 0 landed"));
}
