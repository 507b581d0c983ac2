//! Several tools are looked into at the same time, and everything is as if it had been one after the other.

use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::sync::mpsc;

use crate::support::{MOMENTS, Repository, Told, lines, word};

/// Two tools, each with tests that, once it is repaired, wait at its gate until somebody lets them through.
fn gated() -> Repository {
    let repository = Repository::greeting(&["alpha", "beta"], &format!("{MOMENTS}[deploy]\nland_reverts = true\n\n"));
    fs::create_dir(repository.beside("gates")).expect("makes a folder");
    for tool in ["alpha", "beta"] {
        let gate = repository.beside("gates").join(tool);
        let test = format!("if sh {tool}.sh crash1 >&2; then cat '{}' || exit 9; fi\n", gate.display());
        repository.write(&format!("{tool}_test.sh"), &format!("{test}test \"$(sh {tool}.sh ann)\" = \"hello ann\"\n"));
        let run = format!("run = [\"sh\", \"{tool}.sh\"]\n");
        repository.edit(
            "fractal.toml",
            &run,
            &format!("{run}test = [\"sh\", \"{tool}_test.sh\"]\ntests = [\"{tool}_test.sh\"]\nneeds = [\"{tool}_test.sh\"]\n"),
        );
    }
    let gates = repository.beside("gates");
    let settings =
        format!("[sandbox]\nnamespaces = false\nread = [\"{}\"]\n\n[discover]\nenabled = false\n\n[deploy]\n", gates.display());
    repository.edit("fractal.toml", "[deploy]\n", &settings);
    repository.commit("tests");
    repository
}

/// The gates stand open.
fn open(repository: &Repository) {
    for tool in ["alpha", "beta"] {
        fs::write(repository.beside("gates").join(tool), "").expect("opens a gate");
    }
}

/// Both gates are closed until both tools' tests stand before them; whether they did at the same time is said then.
fn meeting(repository: &Repository) -> mpsc::Receiver<bool> {
    let gates = ["alpha", "beta"].map(|tool| repository.beside("gates").join(tool));
    for gate in &gates {
        assert!(Command::new("mkfifo").arg(gate).status().expect("mkfifo runs").success());
    }
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        // Each waits for somebody who reads.
        let [mut first, mut second] =
            gates.each_ref().map(|gate| fs::OpenOptions::new().write(true).open(gate).expect("opens a gate"));
        // Who comes later finds it open.
        for gate in &gates {
            let aside = gate.with_extension("open");
            fs::write(&aside, "").and_then(|()| fs::rename(&aside, gate)).expect("leaves the gate open");
        }
        // A reader that has gone meanwhile breaks the pipe.
        let both = first.write_all(b"go\n").is_ok() && second.write_all(b"go\n").is_ok();
        let _ = sender.send(both);
    });
    receiver
}

fn in_parallel(repository: &Repository, number: usize) {
    repository.configure(&format!("{}\n[engine]\nparallel = {number}\n", repository.read("fractal.toml")));
    repository.commit("so many at once");
}

/// What the log says happened to each tool's improvement, and what the base holds of the tools.
fn outcome(repository: &Repository) -> (Vec<(String, String, Vec<String>)>, String) {
    let mut all: Vec<_> = repository
        .improvements()
        .iter()
        .map(|improvement| {
            let id = word(&improvement["id"]);
            let log = repository.git(&["cat-file", "-p", &format!("refs/fractal/log:improvements/{id}.jsonl")]);
            let events = lines(&log).into_iter().map(|line| {
                let record: serde_json::Value = serde_json::from_str(&line).expect("a record");
                word(&record["event"])
            });
            (word(&improvement["tool"]), word(&improvement["stage"]), events.collect())
        })
        .collect();
    all.sort();
    (all, repository.git(&["ls-tree", "main", "--", "alpha.sh", "beta.sh"]))
}

#[test]
fn two_tools_are_validated_at_the_same_time_and_land_as_if_one_after_the_other() {
    let (together, alone) = (gated(), gated());
    in_parallel(&together, 2);
    in_parallel(&alone, 1);
    open(&alone);
    alone.run();
    let met = meeting(&together);
    let told = together.run();
    assert_eq!(met.try_recv(), Ok(true), "{:#?}", told.0);
    assert_eq!(told.report()["landed"], 2, "{:#?}", told.0);
    let (improvements, tools) = outcome(&together);
    assert_eq!((&improvements, &tools), (&outcome(&alone).0, &outcome(&alone).1));
    assert!(improvements.iter().all(|(_, stage, _)| stage == "watching"), "{improvements:?}");
    // Each on top of the one before, and each tree is one that was validated.
    assert_eq!(together.bot_commits().len(), 2);
    let detected: Vec<String> = told.of("detected").map(|told| word(&told["tool"])).collect();
    assert_eq!(rebuilt(&told), detected[1..]);
    for commit in together.bot_commits() {
        let id = together.git(&["log", "-1", "--format=%(trailers:key=Fractal-Id,valueonly)", &commit]);
        let log = together.git(&["cat-file", "-p", &format!("refs/fractal/log:improvements/{}.jsonl", id.trim())]);
        let investigated =
            lines(&log).into_iter().find(|line| line.contains("\"event\":\"investigated\"")).expect("investigated");
        let parent = together.git(&["rev-parse", &format!("{commit}^")]);
        assert!(investigated.contains(&format!("\"commit\":\"{parent}\"")), "{investigated}");
    }
    together.assert_clean();
}

fn rebuilt(told: &Told) -> Vec<String> {
    told.of("rebuilding").map(|told| word(&told["tool"])).collect()
}

#[test]
fn tools_that_use_one_another_are_looked_into_one_after_the_other() {
    let repository = gated();
    open(&repository);
    in_parallel(&repository, 2);
    repository.write("beta_test.sh", &format!("{}# as alpha does it\n", repository.read("beta_test.sh")));
    repository.edit("fractal.toml", "needs = [\"beta_test.sh\"]", "needs = [\"beta_test.sh\", \"alpha.sh\"]");
    repository.commit("beta needs alpha");
    let told = repository.run();
    assert_eq!((told.report()["landed"].as_u64(), rebuilt(&told)), (Some(2), Vec::new()), "{:#?}", told.0);
}

#[test]
fn a_rehearsal_of_several_at_once_tells_the_same_and_changes_nothing() {
    let repository = gated();
    open(&repository);
    in_parallel(&repository, 2);
    let (refs, tip) = (repository.refs(), repository.tip("main"));
    let told = Told::parse(&repository.says(&["run", "--dry-run", "--json"]));
    assert_eq!((repository.refs(), repository.tip("main")), (refs, tip));
    let landed = told.actions().iter().filter(|action| action.starts_with("land ")).count();
    assert_eq!(landed, 2, "{:#?}", told.0);
}
