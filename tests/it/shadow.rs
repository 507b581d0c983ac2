//! Shadow on live runs: while a proposal waits, what people run is repeated on it behind their backs.

use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::PATIENCE;
use crate::support::{CALCULATOR, CALCULATOR_TEST, ORDERS, Repository, text, word};

const ORDERS_TEST: &str = "import unittest\nfrom tools import orders\n\n\nclass OrdersTest(unittest.TestCase):\n    \
                           def test_numbers(self):\n        self.assertEqual(orders.number(\"0012\"), 12)\n";

/// What lives in the record of the only proposal.
fn record(repository: &Repository) -> PathBuf {
    let tools = fs::read_dir(repository.root().join(".git/fractal/shadow")).expect("a proposal waits");
    let mut files = tools.flat_map(|tool| fs::read_dir(tool.expect("an entry").path()).expect("a folder"));
    files.next().expect("a file").expect("an entry").path()
}

fn recorded(repository: &Repository) -> Vec<Value> {
    let text = fs::read_to_string(record(repository)).expect("reads");
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The records, once there are so many.
#[track_caller]
fn until(repository: &Repository, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let recorded = recorded(repository);
        if recorded.len() >= count && running(repository).is_empty() {
            return recorded;
        }
        assert!(Instant::now() < deadline, "{} of {count} came: {recorded:#?}", recorded.len());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Processes that were left behind for this repository.
fn running(repository: &Repository) -> Vec<u32> {
    let root = repository.root().canonicalize().expect("is there");
    let ours = format!("-C\0{}\0shadow\0", root.display());
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let all = processes.filter_map(|process| process.file_name().to_str()?.parse::<u32>().ok());
    all.filter(|pid| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| text(&line).contains(&ours))).collect()
}

fn with(repository: Repository, settings: &str) -> Repository {
    repository.configure(&format!("{}\n{settings}", repository.read("fractal.toml")));
    repository.commit("settings");
    repository
}

/// The calculator's repair waits for live runs.
fn waiting(runs: u32) -> Repository {
    let repository = with(Repository::failing(), &format!("[deploy]\nshadow_runs = {runs}\n"));
    let told = repository.run();
    let wanted = format!("0 of {runs} live runs beside it agree so far (`[deploy] shadow_runs`)");
    assert!(told.waiting().contains(&wanted), "{}", told.waiting());
    repository
}

/// Runs the tool, and waits for what it shows of the proposal.
fn exec_beside(repository: &Repository, arguments: &[&str]) -> (Output, Value) {
    let before = recorded(repository).len();
    let done = repository.fractal(&[&["exec", "calculator", "--"], arguments].concat());
    (done, until(repository, before + 1).pop().expect("one more"))
}

#[test]
fn live_runs_give_the_old_answer_and_let_a_proposal_land_that_agrees() {
    let repository = waiting(3);
    let (done, seen) = exec_beside(&repository, &["add", "2", "5"]);
    assert_eq!((text(&done.stdout).as_str(), text(&done.stderr).as_str(), &seen["result"]), ("7.0\n", "", &"agrees".into()));
    // As a kill in the middle of a line leaves it.
    let file = record(&repository);
    fs::write(&file, fs::read_to_string(&file).expect("reads") + "{\"execution\":\"01").expect("writes");
    let (done, seen) = exec_beside(&repository, &["div", "2", "0"]);
    assert_eq!((done.status.code(), &seen["result"]), (Some(1), &"repaired".into()));
    assert!(text(&done.stderr).contains("ZeroDivisionError"), "{done:?}");
    let told = repository.run();
    assert!(told.waiting().contains("2 of 3 live runs"), "{}", told.waiting());
    let (done, seen) = exec_beside(&repository, &["nonsense"]);
    assert_eq!((done.status.code(), &seen["result"]), (Some(2), &"agrees".into()));
    let shown = repository.says(&["show", &repository.id()]);
    assert!(shown.contains("live shadow 3 runs, 2 agree, 1 no longer fails"), "{shown}");
    assert!(repository.says(&["status", "--json"]).contains("\"repaired\": 1"));
    repository.run();
    assert_eq!(repository.stage(), "watching");
    let shown = repository.says(&["show", &repository.id()]);
    assert!(shown.contains("it may land; live shadow: 3 runs, 2 agree, 1 no longer fails"), "{shown}");
    assert!(!file.exists() && !file.parent().expect("a folder").exists(), "left behind");
    repository.assert_clean();
}

/// The repair of the orders tool answers whatever was recorded and tested, and breaks on long references.
#[test]
fn one_live_run_that_only_the_proposal_fails_keeps_it_from_landing_until_a_person_allows_it() {
    let repository = Repository::of("orders", ORDERS, ORDERS_TEST);
    for number in 1..=8_u64 {
        assert_eq!(repository.exec("orders", &[&number.to_string(), &(97 * 1234 * number + 1).to_string()]), 0);
    }
    for number in 1..=5_u64 {
        assert_eq!(repository.exec("orders", &[&format!("{number}.0"), &(97 * 4321 * number + 1).to_string()]), 1);
    }
    let repository = with(repository, "[deploy]\nshadow_runs = 1\n");
    repository.run();
    let reference = (97 * 100_000_000_001_234_567_u64 + 1).to_string();
    assert_eq!(repository.exec("orders", &["3", &reference]), 0);
    let seen = until(&repository, 1).remove(0);
    assert_eq!((&seen["result"], &seen["how"]), (&"broken".into(), &"succeeded before and now ends with exit 1".into()));
    assert!(!fs::read_to_string(record(&repository)).expect("reads").contains(&reference), "the record holds what was recorded");
    assert_eq!(repository.exec("orders", &["3", &(97 * 5 + 1).to_string()]), 0);
    until(&repository, 2);
    let counts = "2 runs, 1 agrees, 1 fails only now: succeeded before and now ends with exit 1";
    let told = repository.run();
    assert!(
        told.waiting().contains(&format!("a person decides, because of live runs beside it: {counts}")),
        "{}",
        told.waiting()
    );
    assert_eq!(repository.stage(), "proposed");
    let id = repository.id();
    let beside = format!("{} `3 {reference}` succeeded before and now ends with exit 1", word(&seen["execution"]));
    for arguments in [&["show", &id][..], &["show", "--markdown", &id]] {
        let shown = repository.says(arguments);
        assert!(shown.contains(counts) && shown.contains(&beside), "{arguments:?}: {shown}");
    }
    let shown: Value = serde_json::from_str(&repository.says(&["show", "--json", &id])).expect("JSON");
    let notable = &shown["shadow"]["notable"][0];
    assert_eq!((&shown["shadow"]["broken"], &notable["result"]), (&1.into(), &"broken".into()));
    assert_eq!(notable["input"], format!("3 {reference}"));
    repository.says(&["approve", &id]);
    assert_eq!(repository.stage(), "watching");
}

/// Sleeps on one number where the environment is cleared, and fails where it is told to.
fn slow() -> Repository {
    let lazy = "def add(a, b):\n    import os\n    if a == 77 and \"QUICK\" not in os.environ:\n        import time\n        \
                time.sleep(10)\n    if \"BROKEN\" in os.environ:\n        raise SystemExit(1)\n    return a + b\n";
    let program = CALCULATOR.replace("def add(a, b):\n    return a + b\n", lazy);
    let repository = Repository::of("calculator", &program, CALCULATOR_TEST);
    repository.calculates_well();
    for number in 1..=5 {
        assert_eq!(repository.exec("calculator", &["div", &number.to_string(), "0"]), 1);
    }
    repository.edit("fractal.toml", "[validate]\n", "[validate]\ntime_floor = \"60 s\"\n");
    let repository = with(repository, "[deploy]\nland = false\n");
    repository.run();
    assert_eq!(repository.stage(), "proposed");
    repository
}

fn exec_where(repository: &Repository, variable: &str, arguments: &str) -> Output {
    let fractal = env!("CARGO_BIN_EXE_fractal");
    // A shell that has a second descriptor for its standard output: whoever inherits that keeps the reader of the output waiting.
    let script = format!("exec 7>&1; exec {fractal} exec calculator -- {arguments}");
    repository.hermetic("sh").env(variable, "1").args(["-c", &script]).output().expect("runs")
}

#[test]
fn a_live_run_waits_for_nothing_and_only_one_is_repeated_at_a_time() {
    let repository = slow();
    for number in 1..=3 {
        let done = exec_where(&repository, "QUICK", &format!("add 77 {number}"));
        assert_eq!(text(&done.stdout), format!("{}.0\n", 77 + number));
    }
    // Whichever of them is repeated takes ten seconds, and all have returned.
    assert_eq!(recorded(&repository).len(), 0);
    let pid = *running(&repository).first().expect("is at it");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("runs");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let own: Vec<&str> = vec![fields[3], fields[16]];
    assert_eq!(own, [pid.to_string().as_str(), "19"], "its session and its priority: {stat}");
    // Killed in the middle, it leaves the turn to the next one.
    assert!(repository.hermetic("kill").args(["-9", &pid.to_string()]).status().expect("runs").success());
    let deadline = Instant::now() + PATIENCE;
    while running(&repository).contains(&pid) {
        assert!(Instant::now() < deadline, "does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
    exec_where(&repository, "QUICK", "add 77 9");
    let seen = until(&repository, 1);
    assert_eq!((seen.len(), &seen[0]["result"]), (1, &"agrees".into()), "{seen:#?}");
    // What the sandbox does not repeat is not blamed on the proposal.
    assert_eq!(exec_where(&repository, "BROKEN", "add 1 1").status.code(), Some(1));
    let seen = until(&repository, 2);
    assert_eq!(seen[1]["result"], "nothing");
}

#[test]
fn nothing_is_repeated_without_a_proposal_or_where_it_must_not_be() {
    let repository = Repository::failing();
    repository.exec("calculator", &["add", "1", "1"]);
    assert!(!repository.root().join(".git/fractal/shadow").exists());
    let repository = waiting(3);
    let settings = repository.read("fractal.toml");
    for (from, to) in [
        ("effects = \"none\"", "effects = \"network\""),
        ("effects = \"none\"", ""),
        ("[validate]\n", "[validate]\nlive_shadow = 0.0\n"),
    ] {
        repository.edit("fractal.toml", from, to);
        repository.exec("calculator", &["add", "1", "1"]);
        assert_eq!(running(&repository), Vec::<u32>::new(), "{to}");
        repository.configure(&settings);
    }
    // Another version than the one that would be replaced.
    let program = repository.read("tools/calculator.py");
    repository.edit("tools/calculator.py", "return a + b", "return b + a");
    repository.exec("calculator", &["add", "1", "1"]);
    repository.write("tools/calculator.py", &program);
    let deadline = Instant::now() + PATIENCE;
    while !running(&repository).is_empty() {
        assert!(Instant::now() < deadline, "does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
    // A secret in the input, which cannot be repeated.
    repository.exec("calculator", &["add", "1", "--password=hunter2hunter2"]);
    repository.exec("calculator", &["add", "1", "1"]);
    let seen = until(&repository, 1);
    let newest: Value =
        serde_json::from_str(repository.says(&["executions", "--json", "-n", "1"]).lines().next().expect("one")).expect("JSON");
    assert_eq!((seen.len(), &seen[0]["execution"]), (1, &newest["id"]), "{seen:#?}");
}

#[test]
fn a_proposal_that_is_made_again_goes_on_where_it_was_unless_the_tool_has_changed() {
    let repository = waiting(2);
    exec_beside(&repository, &["add", "2", "5"]);
    repository.write("README.md", "Tools, and more of them.\n");
    repository.commit("more words");
    let told = repository.run();
    assert!(told.waiting().contains("1 of 2 live runs"), "{}", told.waiting());
    repository.edit("tools/calculator.py", "(OP is add, sub or div)", "(OP is one of add, sub, div)");
    repository.commit("better words");
    let told = repository.run();
    assert!(told.waiting().contains("0 of 2 live runs"), "{}", told.waiting());
    for number in ["6", "7"] {
        exec_beside(&repository, &["add", "2", number]);
    }
    repository.run();
    assert_eq!(repository.stage(), "watching");
}
