//! kill -9 is a normal event: whenever a cycle is killed, the next one goes on, nothing happens twice, nothing is lost.

use std::process::{Command, Stdio};

use super::support::{Repository, Told, kill_after_line};

/// Cycles until nothing is left to do, at most.
const CYCLES_MAX: usize = 4;

fn cycle(repository: &Repository) -> Command {
    let mut command = repository.hermetic(env!("CARGO_BIN_EXE_fractal"));
    command.args(["run", "--json"]);
    command
}

/// Kills a cycle right after the decision log moved for the `n`-th time; whether it got that far. The file of the ref is
/// watched without a pause, so the kill comes between an append and what follows it.
fn kill_after_append(repository: &Repository, n: usize) -> bool {
    let file = repository.root().join(".git/refs/fractal/log");
    let read = || std::fs::read(&file).unwrap_or_default();
    let mut last = read();
    let mut child = cycle(repository).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
    let mut moves = 0;
    let ended = loop {
        let now = read();
        // A ref that is being replaced may be seen empty.
        if !now.is_empty() && now != last {
            moves += 1;
            last = now;
        }
        if moves >= n {
            break false;
        }
        if child.try_wait().expect("is a child").is_some() {
            break true;
        }
        std::thread::yield_now();
    };
    child.kill().expect("may kill it");
    child.wait().expect("is a child");
    !ended
}

/// Runs cycles to the end and says what the repository looks like then.
fn end_state(repository: &Repository) -> Vec<String> {
    for _ in 0..CYCLES_MAX {
        let report = Told::parse(&repository.says(&["run", "--json"])).report().clone();
        if report["actions"] == 0 && report["opportunities"] == 0 {
            break;
        }
    }
    repository.assert_clean();
    let notes = repository.git(&["notes", "--ref=fractal", "list"]);
    vec![
        repository.stage(),
        repository.git(&["rev-parse", "main:tools"]),
        repository.git(&["ls-tree", "-r", "--name-only", "main", "tests"]),
        format!("{} commits of the bot", repository.bot_commits().len()),
        format!("{} notes", notes.lines().count()),
        repository.branches().join(" "),
    ]
}

/// The same tool with a gate that runs less: it is the moments that count here.
fn quick(repository: Repository) -> Repository {
    let less = "[investigate]\ninputs = 2\nruns = 1\n\n[validate]\nincident_runs = 1\nreplays = 4\n\n[monitor]";
    repository.edit("fractal.toml", "[monitor]", less);
    repository.commit("look at less");
    repository
}

/// Kills at the first, second, … moment until a cycle gets to its end unharmed; every time the same end must follow.
fn whenever_it_is_killed(ready: &Repository, fewest: usize) {
    let undisturbed = end_state(&ready.copy());
    let lines = (1..).take_while(|n| {
        let repository = ready.copy();
        let killed = kill_after_line(cycle(&repository), *n);
        assert_eq!(end_state(&repository), undisturbed, "killed after line {n}");
        killed
    });
    assert!(lines.count() >= fewest);
    let appends = (1..).take_while(|n| {
        let repository = ready.copy();
        let killed = kill_after_append(&repository, *n);
        assert_eq!(end_state(&repository), undisturbed, "killed after append {n}");
        killed
    });
    assert!(appends.count() >= fewest);
}

#[test]
fn a_repair_that_is_killed_anywhere_is_finished_once() {
    whenever_it_is_killed(&quick(Repository::failing()), 5);
}

#[test]
fn keeping_an_improvement_that_is_killed_anywhere_is_finished_once() {
    let repository = Repository::landed();
    repository.calculates_well();
    whenever_it_is_killed(&repository, 3);
}

#[test]
fn a_revert_that_is_killed_anywhere_is_finished_once() {
    let repository = Repository::landed_orders();
    repository.orders_with_long_references();
    whenever_it_is_killed(&repository, 3);
    assert_eq!(end_state(&repository)[0], "reverted");
}
