//! A model in the loop: what it may do, what it costs, and that the gate decides and not the model.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fractal::model::{Arg, Input};
use serde_json::Value;

use crate::oracle::{KEY, Oracle, Say};
use crate::support::{MOMENTS, Repository, Told, text, word};

/// Does not know hours. No template knows how many seconds they have.
pub const DURATION: &str = r#"#!/usr/bin/env python3
"""Usage: duration.py TEXT     (such as 2m10s)"""
import re
import sys

UNITS = {"s": 1, "m": 60}


def seconds(text):
    total = 0
    for number, unit in re.findall(r"(\d+)([a-z])", text):
        total += int(number) * UNITS[unit]
    return total


def minutes(text):
    total = 0
    total += seconds(text) // 60
    return total


if __name__ == "__main__":
    print(seconds(sys.argv[1]))
"#;
pub const RIGHT: &str = "UNITS = {\"s\": 1, \"m\": 60, \"h\": 3600}\n";
pub const TEST: &str = "import unittest\nfrom tools import duration\n\n\nclass DurationTest(unittest.TestCase):\n    \
    def test_minutes(self):\n        self.assertEqual(duration.seconds(\"2m10s\"), 130)\n";

/// An answer that edits one file.
pub fn edit(path: &str, search: &str, replace: &str) -> String {
    format!("TITLE: know hours\nFILE: {path}\n<<<<<<< SEARCH\n{search}\n=======\n{replace}\n>>>>>>> REPLACE\n")
}

pub fn right() -> String {
    edit("tools/duration.py", "UNITS = {\"s\": 1, \"m\": 60}", RIGHT.trim_end())
}

/// Runs of a tool that is such a program, half of them failing; with what those should have said, if somebody says it.
pub fn recorded(repository: &Repository, tool: &str, marked: bool) {
    for input in ["5m", "30s", "2m10s", "7s", "12m", "1m1s", "9m", "44s", "3m3s", "8m"] {
        assert_eq!(repository.exec(tool, &[input]), 0);
    }
    for (input, seconds) in [("2h", 7200), ("1h30m", 5400), ("3h5s", 10805), ("10h", 36000), ("4h4m", 14640), ("6h", 21600)] {
        assert_eq!(repository.exec(tool, &[input]), 1);
        if !marked {
            continue;
        }
        mark_last(repository, &format!("{seconds}\n"));
    }
}

/// Somebody says what the last run should have printed.
pub fn mark_last(repository: &Repository, right: &str) {
    let expected = repository.beside("expected");
    std::fs::write(&expected, right).expect("writes");
    let last = repository.says(&["executions", "--json", "--limit", "1"]);
    let last: Value = serde_json::from_str(last.lines().next().expect("a line")).expect("JSON");
    repository.says(&["mark", &word(&last["id"]), "--bad", "--expect", expected.to_str().expect("text")]);
}

/// A tool that has failed, and of which the right answers are known.
pub fn failing() -> Repository {
    static ONCE: std::sync::OnceLock<Repository> = std::sync::OnceLock::new();
    let made = || {
        let repository = Repository::of("duration", DURATION, TEST);
        recorded(&repository, "duration", true);
        repository
    };
    ONCE.get_or_init(made).copy()
}

/// Only models and agents are asked, once, unless the test says otherwise.
pub fn settings(address: &str, more: &str) -> String {
    format!(
        "{MOMENTS}[improve]\nstrategies = [\"model\", \"agent\"]\n\n[model]\nprovider = \"compatible\"\nname = \"gpt-4o-mini\"\n\
         url = \"{address}\"\ntimeout = \"4s\"\nsamples = 1\nrounds = 1\n{more}\n"
    )
}

/// The tool's declaration under other settings.
pub fn configure(repository: &Repository, settings: &str) {
    let before = repository.read("fractal.toml");
    let tool = &before[before.find("[[tool]]").expect("a tool")..];
    repository.configure(&format!("{settings}\n{tool}"));
    repository.commit("settings");
}

/// One cycle with the key in the environment.
pub fn run(repository: &Repository) -> Told {
    let done = with_key(repository).output().expect("runs");
    assert!(done.status.success(), "{}{}", text(&done.stdout), text(&done.stderr));
    assert!(!text(&done.stdout).contains(KEY) && !text(&done.stderr).contains(KEY));
    Told::parse(&text(&done.stdout))
}

fn with_key(repository: &Repository) -> Command {
    let mut command = repository.hermetic(env!("CARGO_BIN_EXE_fractal"));
    command.env("FRACTAL_MODEL_KEY", KEY).args(["run", "--json"]);
    command
}

/// The events of the only improvement.
pub fn events(repository: &Repository, name: &str) -> Vec<Value> {
    let shown: Value = serde_json::from_str(&repository.says(&["show", &repository.id(), "--json"])).expect("JSON");
    let records = shown["records"].as_array().expect("a list").iter();
    records.filter(|record| record["event"] == name).cloned().collect()
}

/// What the questions led to.
pub fn outcomes(repository: &Repository) -> Vec<String> {
    events(repository, "asked").iter().map(|event| word(&event["asking"]["outcome"])).collect()
}

#[test]
fn the_loop_repairs_with_a_model_what_no_template_reaches_and_says_what_it_cost() {
    let repository = failing();
    let oracle = Oracle::always(Say::Text(right()));
    configure(
        &repository,
        &settings(&oracle.address, "samples = 2")
            .replace("strategies = [\"model\", \"agent\"]\n", "candidates = 400\ncpu = \"15s\"\n")
            .replace("samples = 1\n", ""),
    );
    let tip = repository.tip("main");
    run(&repository);
    // A person lands what a model wrote.
    assert_eq!((repository.stage(), repository.tip("main")), ("proposed".to_string(), tip), "{:#?}", repository.improvement());
    assert!(repository.says(&["status"]).contains("this kind of change is for review"), "{}", repository.says(&["status"]));
    let [branch] = &repository.branches()[..] else { panic!("{:?}", repository.branches()) };
    assert!(repository.git(&["show", &format!("{branch}:tools/duration.py")]).contains(RIGHT));
    let files = repository.git(&["show", "--name-only", "--format=", branch]);
    let notes = files.lines().find(|path| path.starts_with(".fractal/notes/")).expect("notes");
    let notes = repository.git(&["show", &format!("{branch}:{notes}")]);
    let cost: f64 =
        events(&repository, "asked").iter().map(|event| event["asking"]["cost"]["micro_usd"].as_f64().expect("a number")).sum();
    assert!(cost > 0.0 && oracle.asked().len() == 2);
    for part in ["## Asked", "model `gpt-4o-mini`", "repair-", "proposes patch", &format!("${:.4}", cost / 1e6)] {
        assert!(notes.contains(part), "no `{part}` in {notes}");
    }
    let status: Value = serde_json::from_str(&repository.says(&["status", "--json"])).expect("JSON");
    assert_eq!(status["spending"]["today"]["micro_usd"], cost, "{status:#}");
    let rows = status["strategies"].as_array().expect("a list");
    let model = rows.iter().find(|row| row["strategy"] == "model").expect("a row");
    assert_eq!((&model["judged"], &model["accepted"], &model["class"]), (&1.into(), &1.into(), &"KeyError".into()));
    assert!(repository.says(&["status"]).contains("spent today $0.00"), "{}", repository.says(&["status"]));
    let shown = repository.says(&["show", &repository.id(), "--markdown"]);
    assert!(shown.contains("Others than this program were asked for it: 2 asked"), "{shown}");
}

#[test]
fn what_a_person_trusts_lands_when_the_right_answers_are_known() {
    let repository = failing();
    let oracle = Oracle::always(Say::Text(right()));
    configure(&repository, &settings(&oracle.address, "trust = \"land\""));
    run(&repository);
    assert_eq!(repository.stage(), "watching", "{:#?}", events(&repository, "judged"));
    assert!(repository.read("tools/duration.py").contains(RIGHT));
}

#[test]
fn only_the_seen_half_of_the_recordings_is_told() {
    let repository = failing();
    let oracle = Oracle::in_turn(vec![Say::Text(edit(
        "tools/duration.py",
        "UNITS = {\"s\": 1, \"m\": 60}",
        "UNITS = {\"s\": 1, \"m\": 60, \"h\": 60}",
    ))]);
    configure(&repository, &settings(&oracle.address, "").replace("rounds = 1", "rounds = 3"));
    run(&repository);
    let told: Vec<String> = oracle.asked().into_iter().map(|asked| asked.told).collect();
    assert_eq!(told.len(), 2, "the same wrong patch again is known, and then nothing is new: {:?}", outcomes(&repository));
    let held_out = |input: &str| {
        let input =
            Input { args: vec![Arg(input.into())], stdin: None, cwd: Some(String::new()), truncated: false, withheld: None };
        input.is_held_out()
    };
    let all = ["5m", "30s", "2m10s", "7s", "12m", "1m1s", "9m", "44s", "3m3s", "8m", "2h", "1h30m", "3h5s", "10h", "4h4m", "6h"];
    let (hidden, seen): (Vec<&str>, Vec<&str>) = all.iter().partition(|input| held_out(input));
    assert!(hidden.len() > 3 && seen.len() > 3, "{hidden:?} {seen:?}");
    for input in hidden {
        let shown =
            told.iter().any(|told| told.contains(&format!("arguments: {input}\n")) || told.contains(&format!("`{input}`")));
        assert!(!shown, "{input} is held out: {}", told.join("\n----\n"));
    }
    assert!(seen.iter().filter(|input| told[0].contains(&format!("arguments: {input}\n"))).count() > 3, "{}", told[0]);
    // What was found wrong is told, of inputs that were shown.
    assert!(told[1].contains("These inputs still fail:") && told[1].contains("and should print"), "{}", told[1]);
    assert!(told[0].contains("[data ") && told[0].contains("It is data."), "{}", told[0]);
}

#[test]
fn a_second_answer_that_takes_up_what_the_gate_found_is_accepted() {
    let repository = failing();
    let wrong = edit("tools/duration.py", "UNITS = {\"s\": 1, \"m\": 60}", "UNITS = {\"s\": 1, \"m\": 60, \"h\": 60}");
    let oracle = Oracle::saying(move |asked| {
        Say::Text(if asked.told.contains("These inputs still fail") { right() } else { wrong.clone() })
    });
    configure(&repository, &settings(&oracle.address, "").replace("rounds = 1", "rounds = 2"));
    run(&repository);
    assert_eq!((repository.stage().as_str(), oracle.asked().len()), ("proposed", 2), "{:?}", outcomes(&repository));
    let judged = events(&repository, "judged");
    assert_eq!(judged.iter().map(|event| word(&event["verdict"]["judgement"])).collect::<Vec<_>>(), ["rejected", "accepted"]);
}

#[test]
fn answers_that_disagree_where_nobody_said_what_is_right_are_not_proposed() {
    let stage = |second: i32| {
        let repository = Repository::of("duration", DURATION, TEST);
        recorded(&repository, "duration", false);
        let oracle = Oracle::saying(move |asked| {
            let hours = if asked.number == 0 { 3600 } else { second };
            let units = format!("UNITS = {{\"s\": 1, \"m\": 60, \"h\": {hours}}}");
            Say::Text(edit("tools/duration.py", "UNITS = {\"s\": 1, \"m\": 60}", &units))
        });
        configure(&repository, &settings(&oracle.address, "").replace("samples = 1", "samples = 2"));
        run(&repository);
        let reason = repository.improvement()["reason"].as_str().unwrap_or_default().to_string();
        (repository.stage(), reason)
    };
    assert_eq!(stage(3600).0, "proposed");
    let (stage, reason) = stage(86_400);
    assert!(
        stage == "unsolved" && reason.contains("disagree on inputs where nobody has said what is right"),
        "{stage}: {reason}"
    );
}

#[test]
fn a_budget_ends_the_asking_and_is_counted_over_days_and_failures() {
    let repository = failing();
    let oracle = Oracle::always(Say::Text("ABSTAIN".into()));
    let asked = |limits: &str, wanted: &str| {
        configure(
            &repository,
            &settings(&oracle.address, "recordings = \"off\"")
                .replace("samples = 1", "samples = 5")
                .replace("\n[model]", &format!("\n[budget]\n{limits}\n\n[model]")),
        );
        let before = oracle.asked().len();
        let waiting = run(&repository).waiting();
        let reason = repository.improvement()["reason"].as_str().unwrap_or_default().to_string();
        assert!(reason.contains(wanted) || waiting.contains(wanted), "{limits}: {reason} {waiting}");
        oracle.asked().len() - before
    };
    assert_eq!(asked("opportunity = { attempts = 2 }", "[budget.opportunity] attempts"), 2);
    // The settings are another commit, and the tool is as it was: what was found is not looked for again before somebody fails again.
    let status: Value = serde_json::from_str(&repository.says(&["status", "--json"])).expect("JSON");
    assert_eq!(status["spending"]["all"]["attempts"], 2);
    repository.edit("tools/duration.py", "import re\n", "import re  # again\n");
    repository.commit("another version");
    recorded(&repository, "duration", true);
    assert_eq!(asked("day = { attempts = 5 }", "[budget.day] attempts"), 3);
    assert_eq!(repository.says(&["status"]).matches("(5 asked").count(), 2);
}

#[test]
fn a_killed_cycle_goes_on_without_asking_or_paying_twice() {
    let repository = failing();
    let (killed, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (is_killed, count) = (killed.clone(), answered.clone());
    // What is under way when it is killed is never answered.
    let oracle = Oracle::saying(move |_| {
        if count.load(Ordering::SeqCst) == 2 && !is_killed.load(Ordering::SeqCst) {
            return Say::Never;
        }
        Say::Text(if count.fetch_add(1, Ordering::SeqCst) < 3 { "ABSTAIN".into() } else { right() })
    });
    let wrong = "samples = 4\nrounds = 1";
    configure(&repository, &settings(&oracle.address, "").replace("samples = 1\nrounds = 1", wrong));
    let mut child = with_key(&repository).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
    let lines = BufReader::new(child.stdout.take().expect("has an output")).lines();
    let asked = lines.map_while(Result::ok).filter(|line| line.contains("\"event\":\"asked\"")).take(2).count();
    child.kill().expect("may kill it");
    child.wait().expect("is a child");
    assert_eq!(asked, 2);
    killed.store(true, Ordering::SeqCst);
    run(&repository);
    assert_eq!(answered.load(Ordering::SeqCst), 4, "each sample was answered once");
    drop(oracle);
    let events = events(&repository, "asked");
    let cost = |event: &Value| event["asking"]["cost"]["micro_usd"].as_u64().expect("a number");
    let paid: Vec<&Value> = events.iter().filter(|event| cost(event) > 0).collect();
    let mut questions: Vec<String> = paid.iter().map(|event| word(&event["asking"]["question"])).collect();
    questions.sort();
    questions.dedup();
    assert_eq!((paid.len(), questions.len()), (4, 4), "{events:#?}");
}

#[test]
fn a_run_is_repeated_offline_from_its_recording() {
    let (first, second) = (failing(), failing());
    let oracle = Oracle::always(Say::Text(right()));
    configure(&first, &settings(&oracle.address, ""));
    let same = first.copy();
    run(&first);
    drop(oracle);
    for other in [&second, &same] {
        let (from, to) = (first.root().join(".git/fractal/asked"), other.root().join(".git/fractal/"));
        assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp runs").success());
    }
    // Nobody is at the address any more. But for what is measured, and for notes that say that the answer was recorded, the commit is the
    // same.
    run(&same);
    let commit = |repository: &Repository| {
        let [branch] = &repository.branches()[..] else { panic!("{:?}", repository.branches()) };
        let files = repository.git(&["ls-tree", "-r", branch]);
        let files: Vec<&str> = files.lines().filter(|line| !line.contains(".fractal/notes/")).collect();
        let message = repository.git(&["log", "-1", "--format=%P %an %ae%n%B", branch]);
        // What processor time was used is measured anew.
        let message: Vec<&str> = message.lines().filter(|line| !line.starts_with("passed: cost: ")).collect();
        (files.join("\n"), message.join("\n"))
    };
    assert_eq!(commit(&first), commit(&same));
    configure(&second, &settings("http://127.0.0.1:9/v1", "recordings = \"replay\""));
    second.run();
    assert_eq!((first.stage(), second.stage()), ("proposed".to_string(), "proposed".to_string()), "{:#?}", second.improvement());
    let patch = |repository: &Repository| events(repository, "judged")[0]["attempt"]["patch"].clone();
    let asked = |repository: &Repository| events(repository, "asked")[0]["asking"].clone();
    assert_eq!(patch(&first), patch(&second));
    assert_eq!((&asked(&first)["cost"], asked(&second)["recorded"].as_bool()), (&asked(&second)["cost"], Some(true)));
    // What was kept has no key in it, and neither has anything else.
    assert!(first.everything().values().all(|content| !text(content).contains(KEY)));
}

#[test]
fn without_a_key_and_without_a_network_the_loop_works_as_ever() {
    let repository = Repository::failing();
    let plain = repository.read("fractal.toml");
    let model = "[model]\nprovider = \"openai\"\nname = \"gpt-4o-mini\"\n\n[[tool]]";
    repository.configure(&plain.replacen("[[tool]]", model, 1));
    repository.commit("a model that nobody can ask");
    repository.run();
    assert_eq!((repository.stage().as_str(), events(&repository, "asked").len()), ("watching", 0));
    let repository = failing();
    configure(&repository, &settings("http://127.0.0.1:9/v1", "").replace("\"compatible\"", "\"openai\""));
    repository.run();
    let improvement = repository.improvement();
    let reason = improvement["reason"].as_str().expect("a reason");
    assert_eq!(improvement["stage"], "unsolved");
    assert!(reason.contains("the model was not asked: there is no key; set `FRACTAL_MODEL_KEY`"), "{reason}");
}

#[test]
fn a_model_may_say_in_words_what_changes_and_gives_no_figures() {
    let said = |words: &'static str| {
        let repository = failing();
        let oracle = Oracle::saying(move |asked| {
            Say::Text(if asked.told.contains("Say for its reviewers") { words.to_string() } else { right() })
        });
        configure(&repository, &settings(&oracle.address, "prose = true"));
        run(&repository);
        assert_eq!(repository.stage(), "proposed");
        (repository.says(&["show", &repository.id(), "--markdown"]), outcomes(&repository))
    };
    let (shown, outcomes) = said("The table of units did not know hours; now it does.");
    assert!(shown.contains("In the words of a model, which are not evidence: The table of units"), "{shown}");
    assert_eq!(outcomes.len(), 2);
    let (shown, outcomes) = said("All 16 of 16 runs pass now, merge at once!");
    assert!(
        !shown.contains("In the words of a model") && outcomes[1].contains("figures, which are ours to give"),
        "{outcomes:?}"
    );
}

#[test]
fn who_cannot_be_asked_now_is_asked_in_a_later_cycle() {
    let repository = failing();
    let oracle = Oracle::in_turn(vec![Say::Status(429, Some("3600")), Say::Status(429, Some("3600")), Say::Text(right())]);
    configure(&repository, &settings(&oracle.address, ""));
    assert!(run(&repository).waiting().contains("it wants to be asked again in 3600 s"));
    run(&repository);
    // That nobody answers is in the log once.
    assert_eq!((repository.stage().as_str(), events(&repository, "asked").len()), ("investigated", 1));
    run(&repository);
    assert_eq!((repository.stage().as_str(), oracle.asked().len()), ("proposed", 3));
}

#[test]
fn a_dry_run_and_a_pause_ask_nobody() {
    let repository = failing();
    let oracle = Oracle::always(Say::Text(right()));
    configure(&repository, &settings(&oracle.address, ""));
    let dry = with_key(&repository).arg("--dry-run").output().expect("runs");
    assert!(text(&dry.stdout).contains("in a dry run nobody is asked"), "{}", text(&dry.stdout));
    repository.says(&["pause", "a holiday"]);
    assert!(run(&repository).waiting().contains("nobody is asked while it is paused"));
    assert_eq!((oracle.asked().len(), repository.stage().as_str()), (0, "investigated"));
    repository.says(&["resume"]);
    run(&repository);
    assert_eq!((oracle.asked().len(), repository.stage().as_str()), (1, "proposed"));
}

#[test]
fn what_is_secret_where_the_loop_runs_is_told_to_nobody() {
    let repository = failing();
    let oracle = Oracle::always(Say::Text(right()));
    configure(&repository, &settings(&oracle.address, ""));
    // A part of the tool's own text is the value of a variable with such a name.
    let done = with_key(&repository).env("DEPLOY_TOKEN", "int(number)").output().expect("runs");
    assert!(done.status.success(), "{}", text(&done.stderr));
    let asked = oracle.asked();
    assert!(asked[0].told.contains("total += ") && !asked[0].told.contains("int(number)"), "{}", asked[0].told);
    let kept: Vec<_> = std::fs::read_dir(repository.root().join(".git/fractal/asked")).expect("a folder").flatten().collect();
    let kept: Vec<String> = kept.iter().map(|file| std::fs::read_to_string(file.path()).expect("text")).collect();
    assert!(kept.len() == 1 && kept[0].contains("total += ") && !kept[0].contains("int(number)"), "{kept:?}");
    assert!(!asked[0].body.to_string().contains(KEY) && repository.stage() == "proposed");
}

#[test]
fn a_route_says_who_is_asked_about_which_failures() {
    let repository = failing();
    let oracle = Oracle::always(Say::Text(right()));
    let route =
        |class: &str| format!("[[improve.route]]\nlanguage = \"python\"\nclass = \"{class}\"\nstrategies = []\n\n[model]");
    configure(&repository, &settings(&oracle.address, "").replace("[model]", &route("KeyError")));
    run(&repository);
    assert_eq!((repository.stage().as_str(), oracle.asked().len()), ("unsolved", 0));
    let repository = failing();
    configure(&repository, &settings(&oracle.address, "").replace("[model]", &route("ValueError")));
    run(&repository);
    assert_eq!((repository.stage().as_str(), oracle.asked().len()), ("proposed", 1));
}

#[test]
fn the_doctor_says_whether_a_model_could_be_asked_and_asks_nobody() {
    let repository = failing();
    let oracle = Oracle::always(Say::Text(right()));
    configure(&repository, &settings(&oracle.address, "").replace("\"compatible\"", "\"openai\""));
    let said = |key: Option<&str>| {
        let mut command = repository.hermetic(env!("CARGO_BIN_EXE_fractal"));
        command.envs(key.map(|key| ("OPENAI_API_KEY", key))).args(["doctor", "--json"]);
        let told: Value = serde_json::from_slice(&command.output().expect("runs").stdout).expect("JSON");
        let mut states = told["state"].as_array().expect("a list").iter();
        word(&states.find(|state| state["what"] == "model" && state["good"] == true).expect("a model")["said"])
    };
    assert!(said(None).contains("the loop works without: there is no key"), "{}", said(None));
    assert_eq!(said(Some(KEY)), "`gpt-4o-mini` can be asked, at $0.15 and $0.6 for a million tokens (by the table of 2025-10)");
    assert!(oracle.asked().is_empty());
}
