//! Rollouts, pins, and the versions that runs get from folders of their own: real repositories, real tools.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::{Duration, Instant};

use fractal::Loop;
use fractal::world::clock::Clock;
use serde_json::Value;

use crate::common::PATIENCE;
use crate::support::{CALCULATOR, CALCULATOR_TEST, ORDERS, Repository, text, word};

const ORDERS_TEST: &str = "import unittest\nfrom tools import orders\n\n\nclass OrdersTest(unittest.TestCase):\n    \
                           def test_numbers(self):\n        self.assertEqual(orders.number(\"0012\"), 12)\n";

fn with(repository: Repository, settings: &str) -> Repository {
    repository.edit("fractal.toml", "[validate]\n", "[validate]\nlive_shadow = 0.0\n");
    repository.configure(&format!("{}\n{settings}", repository.read("fractal.toml")));
    repository.commit("settings");
    repository
}

/// The calculator's repair is rolled out.
fn rolled_out(settings: &str) -> Repository {
    let repository = with(Repository::failing(), settings);
    let told = repository.run();
    assert_eq!(told.of("rolled_out").count(), 1, "{}", told.waiting());
    assert_eq!(repository.stage(), "proposed");
    repository
}

/// The runs that were drawn.
fn drawn(repository: &Repository) -> Vec<Value> {
    let tools = fs::read_dir(repository.root().join(".git/fractal/rollout")).into_iter().flatten().flatten();
    let files = tools.flat_map(|tool| fs::read_dir(tool.path()).expect("a folder")).map(|file| file.expect("a file").path());
    let lines = files.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    let text: String = lines.map(|path| fs::read_to_string(path).expect("reads")).collect();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn of_arm(repository: &Repository, arm: &str) -> usize {
    drawn(repository).iter().filter(|run| run["arm"] == arm).count()
}

fn newest(repository: &Repository) -> Value {
    let told = repository.says(&["executions", "--json", "-n", "1"]);
    serde_json::from_str(told.lines().next().expect("a run")).expect("JSON")
}

fn versions(repository: &Repository, tool: &str) -> Vec<Value> {
    let told = repository.says(&["versions", tool, "--json"]);
    serde_json::from_str::<Vec<Value>>(&told).expect("JSON")
}

/// The version that is this just now.
fn that_is<'v>(versions: &'v [Value], role: &Value) -> &'v Value {
    let found = versions.iter().find(|version| version["roles"].as_array().expect("roles").contains(role));
    found.unwrap_or_else(|| panic!("none is {role}: {versions:#?}"))
}

#[test]
fn a_proposal_whose_live_runs_do_well_gets_more_of_them_step_by_step_and_lands() {
    let repository = rolled_out("[deploy]\nrollout = { canary = [40, 70, 100], runs = 2 }\n");
    let tip = repository.tip("main");
    let known = versions(&repository, "calculator");
    let (old, new) = (that_is(&known, &"base".into()), that_is(&known, &serde_json::json!({ "canary": 40 })));
    let (old, new) = (word(&old["version"]), word(&new["version"]));
    let mut seen = BTreeSet::new();
    for share in [40, 70] {
        for number in 1.. {
            assert!(number < 100, "nothing is drawn: {:#?}", drawn(&repository));
            let done = repository.fractal(&["exec", "calculator", "--", "add", "2", &number.to_string()]);
            assert_eq!((text(&done.stdout), text(&done.stderr)), (format!("{}.0\n", number + 2), String::new()));
            let run = newest(&repository);
            let line = drawn(&repository).pop().expect("was drawn");
            assert_eq!((&line["execution"], &line["percent"]), (&run["id"], &share.into()));
            assert_eq!(word(&run["version"]), if line["arm"] == "new" { new.clone() } else { old.clone() });
            seen.insert(word(&run["version"]));
            let of_step = |arm| drawn(&repository).iter().filter(|line| line["arm"] == arm && line["percent"] == share).count();
            if of_step("new") >= 2 && of_step("old") >= 1 {
                break;
            }
        }
        assert_eq!(repository.tip("main"), tip, "it waits");
        let status = repository.says(&["status"]);
        let wanted = if share == 40 { "gets 70 % of the live runs" } else { "lands in the next cycle" };
        assert!(status.split_whitespace().collect::<Vec<_>>().join(" ").contains(wanted), "{status}");
        repository.run();
    }
    assert_eq!(seen.len(), 2, "both versions ran");
    assert_eq!(repository.stage(), "watching");
    assert!(repository.read("tools/calculator.py") != CALCULATOR, "the work tree followed");
    let shown = repository.says(&["show", &repository.id()]);
    let steps = [format!("40 % of the live runs get version {}", &new[..8]), "lands".into(), "40 %: 0 of ".into()];
    assert!(steps.iter().all(|step| shown.contains(step)), "{shown}");
    assert!(!repository.root().join(".git/fractal/rollout/calculator").exists(), "left behind");
    repository.assert_clean();
}

#[test]
fn a_rollout_that_never_gets_its_runs_says_when_a_person_is_asked_and_then_asks_one() {
    let repository = rolled_out("[deploy]\nrollout = { canary = [5, 100], runs = 50 }\n");
    let told = repository.run();
    let said = "0 of 50 runs so far (`[deploy.rollout]`); a person is asked after 30 days (`[monitor] days`)";
    assert!(told.waiting().contains(said), "{}", told.waiting());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let runs_after = |days: i64| {
        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
        let clock = Clock::Fixed(Arc::new(AtomicI64::new(at.as_millisecond())));
        runtime.block_on(Loop::builder(repository.root()).clock(clock).build().expect("builds").run_cycle()).expect("runs");
        repository.stage()
    };
    assert_eq!(runs_after(29), "proposed");
    let tip = repository.tip("main");
    assert_eq!((runs_after(31).as_str(), repository.tip("main")), ("stuck", tip));
    let reason = word(&repository.improvement()["reason"]);
    let branch = repository.branches().remove(0);
    assert!(reason.contains("0 of 50 runs") && reason.contains(&format!("merge `{branch}`")), "{reason}");
    assert!(!repository.root().join(".git/fractal/rollout/calculator").exists(), "no run is drawn");
    repository.git(&["merge", "--quiet", "--ff-only", &branch]);
    repository.run();
    assert_eq!(repository.stage(), "watching");
}

#[test]
fn where_a_tool_cannot_have_a_canary_its_landing_says_so() {
    let repository = Repository::failing();
    repository.edit("fractal.toml", "effects = \"none\"", "effects = \"files\"");
    let repository = with(repository, "[deploy]\nrollout = { canary = [5, 100], runs = 50 }\n");
    repository.run();
    assert_eq!(repository.stage(), "watching");
    let shown = repository.says(&["show", &repository.id()]);
    assert_eq!(shown.matches("without a canary, because what it writes may depend on where it lies").count(), 1, "{shown}");
}

/// The repair of the orders tool answers whatever was recorded and tested, and breaks on long references.
#[test]
fn a_proposal_whose_live_runs_fail_is_stopped_at_once_and_remembered_with_the_evidence() {
    let repository = Repository::of("orders", ORDERS, ORDERS_TEST);
    repository.edit("fractal.toml", "shadow_inputs = 6\nsynthetic_inputs = 4", "shadow_inputs = 0\nsynthetic_inputs = 0");
    let repository = with(repository, "[deploy]\nrollout = { canary = [25, 100], runs = 50 }\n");
    for number in 1..=8_u64 {
        assert_eq!(repository.exec("orders", &[&number.to_string(), &(97 * 1234 * number + 1).to_string()]), 0);
    }
    for number in 1..=5_u64 {
        assert_eq!(repository.exec("orders", &[&format!("{number}.0"), &(97 * 4321 * number + 1).to_string()]), 1);
    }
    repository.run();
    let tip = repository.tip("main");
    let arm = repository.root().join(".git/fractal/rollout/orders/arm.json");
    let mut failed = 0;
    for number in 1..=150_u64 {
        let reference = (97 * (100_000_000_000_000_000 + 1_234_567 * number) + 1).to_string();
        failed += repository.exec("orders", &["3", &reference]);
        if !arm.exists() {
            break;
        }
    }
    // Before any cycle: 5 failures of 5, and none beside them.
    assert_eq!((arm.exists(), failed, of_arm(&repository, "new")), (false, 5, 5), "{:#?}", drawn(&repository));
    assert_eq!(repository.exec("orders", &["3", &(97 * 100_000_000_000_777_777_u64 + 1).to_string()]), 0);
    let told = repository.run();
    let stopped = told.of("rolled_out").next().expect("is told");
    assert_eq!((&stopped["percent"], &stopped["evidence"]["steps"][0]["new"]["failures"]), (&0.into(), &5.into()));
    assert_eq!((repository.stage().as_str(), repository.tip("main")), ("closed", tip.clone()));
    let improvement = repository.improvement();
    assert!(word(&improvement["reason"]).contains("its live runs fail more"), "{improvement}");
    let shown = repository.says(&["show", &repository.id()]);
    assert!(shown.contains("stopped") && shown.contains("25 %: 5 of 5 runs failed, 0 of "), "{shown}");
    assert_eq!(repository.branches().len(), 1, "the branch stays for people");
    // Nothing of it is tried again.
    let told = repository.run();
    assert_eq!((told.of("rolled_out").count(), told.of("judged").count(), repository.tip("main")), (0, 0, tip));
    assert!(!arm.parent().expect("a folder").exists(), "left behind");
}

#[test]
fn a_run_is_only_drawn_where_the_work_tree_is_what_the_proposal_was_validated_on() {
    let repository = rolled_out("[deploy]\nrollout = { canary = [50, 100], runs = 200 }\n");
    let add = |wanted: &str| {
        let done = repository.fractal(&["exec", "calculator", "--", "add", "2", "5"]);
        assert_eq!((text(&done.stdout).as_str(), text(&done.stderr).as_str()), (wanted, ""));
    };
    add("7.0\n");
    assert_eq!(drawn(&repository).len(), 1);
    // Somebody is at work on the tool: what they see is what they wrote.
    let before = repository.read("tools/calculator.py");
    repository.edit("tools/calculator.py", "return a + b", "return a + b + 100");
    (0..6).for_each(|_| add("107.0\n"));
    repository.write("tools/calculator.py", &before);
    // Or on what it needs, on another branch, or has paused the loop.
    repository.write("tools/__init__.py", "# x\n");
    add("7.0\n");
    repository.write("tools/__init__.py", "");
    repository.git(&["checkout", "--quiet", "-b", "topic"]);
    repository.git(&["commit", "--quiet", "--allow-empty", "-m", "x"]);
    add("7.0\n");
    repository.git(&["checkout", "--quiet", "main"]);
    repository.says(&["pause"]);
    add("7.0\n");
    repository.says(&["resume"]);
    let settings = repository.read("fractal.toml");
    repository.edit("fractal.toml", "effects = \"none\"", "effects = \"files\"");
    add("7.0\n");
    repository.configure(&settings.replace("canary = [50, 100]", "canary = []"));
    add("7.0\n");
    repository.configure(&settings);
    assert_eq!(drawn(&repository).len(), 1);
    // Nor where its version is not there any more: no run waits for it.
    fs::remove_dir_all(repository.root().join(".git/fractal/versions")).expect("removes");
    add("7.0\n");
    assert_eq!(drawn(&repository).len(), 1);
    repository.run();
    add("7.0\n");
    assert_eq!(drawn(&repository).len(), 2, "the cycle made it again");
}

#[test]
fn sticky_runs_of_one_caller_stay_with_one_version() {
    let repository = rolled_out("[deploy]\nrollout = { canary = [50, 100], runs = 200, sticky = \"caller\" }\n");
    for caller in 0..8 {
        for number in ["1", "2"] {
            let mut command = repository.hermetic(env!("CARGO_BIN_EXE_fractal"));
            command.env("FRACTAL_CALLER", format!("agent-{caller}")).args(["exec", "calculator", "--", "add", "1", number]);
            assert!(command.output().expect("runs").status.success());
        }
    }
    let mut arms: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for run in drawn(&repository) {
        arms.entry(word(&run["unit"])).or_default().insert(word(&run["arm"]));
    }
    assert_eq!(arms.len(), 8);
    assert!(arms.values().all(|arms| arms.len() == 1), "{arms:#?}");
}

/// Two committed versions of a tool, one of them tagged.
fn two_versions() -> Repository {
    let repository = Repository::of("calculator", CALCULATOR, CALCULATOR_TEST);
    repository.git(&["tag", "-a", "-m", "one", "one"]);
    repository.edit("tools/calculator.py", "return a + b", "return a + b + 100");
    repository.commit("add a hundred");
    repository
}

fn adds(repository: &Repository) -> String {
    let done = repository.fractal(&["exec", "calculator", "--", "add", "2", "5"]);
    assert!(done.status.success(), "{done:?}");
    text(&done.stdout).trim().to_string()
}

#[test]
fn a_pinned_version_runs_whatever_is_checked_out_and_is_recorded_as_itself() {
    let repository = two_versions();
    assert_eq!((adds(&repository).as_str(), repository.exec("calculator", &["div", "1", "0"])), ("107.0", 1));
    let own = newest(&repository);
    let old = word(&that_is(&versions(&repository, "calculator"), &"base".into())["version"]);
    assert_eq!(word(&own["version"]), old);
    let commit = repository.tip("main~1");
    for name in ["one", &commit, &commit[..9], "main~1"] {
        assert!(repository.says(&["pin", "calculator", name]).contains(&format!("runs as {} has it", &commit[..8])));
        assert_eq!(adds(&repository), "7.0", "{name}");
    }
    let known = versions(&repository, "calculator");
    let pinned = that_is(&known, &"pinned".into());
    assert_eq!((&pinned["runs"], &pinned["commit"]), (&4.into(), &commit.clone().into()));
    assert!(pinned["mean_ms"].as_f64().is_some_and(|mean| mean > 0.0) && pinned["success"]["low"].is_f64(), "{pinned:#}");
    // By the beginning of its id too; and a failure there is the same failure.
    repository.says(&["pin", "calculator", &word(&pinned["version"])[..7]]);
    assert_eq!(repository.exec("calculator", &["div", "1", "0"]), 1);
    let failed = newest(&repository);
    assert_eq!((&failed["version"], &failed["failure"]), (&pinned["version"], &own["failure"]));
    let compared = repository.says(&["diff", "calculator", "one", "main"]);
    assert!(
        compared.contains("-    return a + b\n+    return a + b + 100\n") && compared.contains("0.80 (0.38–0.96)"),
        "{compared}"
    );
    assert!(!compared.contains("test_calculator"), "only the tool's own files: {compared}");
    for (name, why) in [("two", "is no commit, branch, tag, improvement or version"), ("refs/fractal/log", "is no commit")] {
        let done = repository.fractal(&["pin", "calculator", name]);
        assert_eq!(done.status.code(), Some(2));
        assert!(text(&done.stderr).contains(why), "{done:?}");
    }
    let settings = repository.read("fractal.toml");
    repository.edit(
        "fractal.toml",
        "run = [\"python3\", \"tools/calculator.py\"]",
        "run = [\"python3\", \"-m\", \"tools.calculator\"]",
    );
    let done = repository.fractal(&["pin", "calculator", "one"]);
    assert_eq!((done.status.code(), text(&done.stderr).contains("does not name its files")), (Some(2), true), "{done:?}");
    let done = repository.fractal(&["exec", "calculator", "--", "add", "2", "5"]);
    assert_eq!(
        (text(&done.stdout).as_str(), text(&done.stderr).contains("does not name its files")),
        ("107.0\n", true),
        "{done:?}"
    );
    repository.configure(&settings);
    assert_eq!(adds(&repository), "7.0", "a mistake changes nothing");
    assert!(repository.says(&["pin", "calculator"]).contains("by Ana"));
    repository.says(&["pin", "calculator", "--off"]);
    assert_eq!((adds(&repository).as_str(), repository.git(&["for-each-ref", "refs/fractal/pins"]).as_str()), ("107.0", ""));
    repository.assert_clean();
}

#[test]
fn a_pin_wins_over_a_rollout_and_its_end_lets_it_go_on() {
    let repository = rolled_out("[deploy]\nrollout = { canary = [50, 100], runs = 200 }\n");
    let id = repository.id();
    repository.says(&["pin", "calculator", "main"]);
    (0..6).for_each(|_| assert_eq!(adds(&repository), "7.0"));
    let base = word(&that_is(&versions(&repository, "calculator"), &"pinned".into())["version"]);
    assert_eq!((drawn(&repository).len(), word(&newest(&repository)["version"])), (0, base.clone()));
    // The proposal itself, by the improvement's id: it answers what fails on the base.
    repository.says(&["pin", "calculator", &id[..8]]);
    assert_eq!(repository.exec("calculator", &["div", "1", "0"]), 2);
    assert!(word(&newest(&repository)["version"]) != base && drawn(&repository).is_empty());
    repository.says(&["pin", "calculator", "--off"]);
    adds(&repository);
    assert_eq!(drawn(&repository).len(), 1);
}

fn folders(repository: &Repository) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let entries = fs::read_dir(repository.root().join(".git/fractal/versions")).into_iter().flatten().flatten();
    let folders = entries.map(|entry| entry.path()).filter(|path| path.is_dir());
    folders.partition(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')))
}

fn spawn(repository: &Repository) -> Child {
    let mut command = repository.hermetic(env!("CARGO_BIN_EXE_fractal"));
    command.args(["exec", "calculator", "--", "add", "2", "5"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("starts")
}

/// Many files, so that making a version takes a while.
fn pinned_with_many_files() -> Repository {
    let repository = two_versions();
    repository.edit("fractal.toml", "needs = [\"tools/__init__.py\", \"tests/__init__.py\"]\n", "");
    fs::create_dir(repository.root().join("many")).expect("makes a folder");
    for number in 0..1500 {
        repository.write(&format!("many/{number}.txt"), &number.to_string());
    }
    repository.git(&["checkout", "--quiet", "--", "tools"]);
    repository.edit("tools/calculator.py", "return a + b + 100", "return a + b");
    let commit = repository.commit("many files");
    repository.edit("tools/calculator.py", "return a + b", "return a + b + 100");
    repository.says(&["pin", "calculator", &commit]);
    repository
}

#[test]
fn versions_are_made_whole_by_many_at_once_and_after_kills() {
    let repository = pinned_with_many_files();
    let cache = repository.root().join(".git/fractal/versions");
    fs::remove_dir_all(&cache).expect("removes");
    let children: Vec<Child> = (0..6).map(|_| spawn(&repository)).collect();
    for child in children {
        let done = child.wait_with_output().expect("ends");
        assert_eq!((text(&done.stdout).as_str(), text(&done.stderr).as_str()), ("7.0\n", ""));
    }
    let (unfinished, made) = folders(&repository);
    assert_eq!((unfinished, made.len()), (Vec::new(), 1));
    let (mut killed_half_way, deadline) = (0, Instant::now() + PATIENCE);
    while killed_half_way < 3 {
        assert!(Instant::now() < deadline, "{killed_half_way} were caught half way");
        fs::remove_dir_all(&cache).expect("removes");
        let mut child = spawn(&repository);
        let half_made = loop {
            let (unfinished, made) = folders(&repository);
            if !unfinished.is_empty() || !made.is_empty() || Instant::now() > deadline {
                break made.is_empty();
            }
        };
        child.kill().expect("may kill it");
        child.wait().expect("is a child");
        killed_half_way += usize::from(half_made);
        assert_eq!(adds(&repository), "7.0");
        let (_, made) = folders(&repository);
        let files = fs::read_dir(made[0].join("many")).expect("is there").count();
        assert_eq!((made.len(), files), (1, 1500));
    }
    // What the kills left behind goes when the next one is made.
    repository.says(&["pin", "calculator", "one"]);
    assert_eq!(folders(&repository).0, Vec::<PathBuf>::new());
}

#[test]
fn where_a_version_cannot_be_made_the_work_tree_runs_and_says_so() {
    let repository = two_versions();
    repository.says(&["pin", "calculator", "one"]);
    let cache = repository.root().join(".git/fractal/versions");
    fs::remove_dir_all(&cache).expect("removes");
    fs::write(&cache, "in the way").expect("writes");
    let begun = Instant::now();
    let done = repository.fractal(&["exec", "calculator", "--", "add", "2", "5"]);
    assert_eq!((done.status.code(), text(&done.stdout).as_str()), (Some(0), "107.0\n"));
    assert!(
        text(&done.stderr).contains("the pinned version of `calculator` cannot run, so that of the work tree does"),
        "{done:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(newest(&repository)["version"], that_is(&versions(&repository, "calculator"), &"base".into())["version"]);
    fs::remove_file(&cache).expect("removes");
    assert_eq!(adds(&repository), "7.0");
}
