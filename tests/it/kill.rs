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
    let less = "[investigate]\ninputs = 2\nruns = 1\n\n[validate]\nincident_runs = 1\nreplays = 4\n";
    repository.edit("fractal.toml", "[validate]\n", less);
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

/// The narrowest moments lie between two lines: here a ref is what a kill would have left, and the rest is not.
#[test]
fn a_base_that_moved_before_the_files_followed_is_followed_by_the_next_cycle() {
    let repository = Repository::failing();
    repository.write("README.md", "busy");
    repository.run();
    repository.git(&["checkout", "--quiet", "README.md"]);
    let blob = repository.git(&["hash-object", "-w", "README.md"]);
    repository.git(&["update-ref", "refs/fractal/paused", &blob]);
    repository.run();
    assert_eq!(repository.stage(), "landing");
    let ours = repository.tip(&repository.branches()[0]);
    repository.git(&["update-ref", "refs/heads/main", &ours]);
    repository.git(&["update-ref", "-d", "refs/fractal/paused"]);
    assert!(!repository.git(&["status", "--porcelain"]).is_empty(), "the files are still the old ones");
    repository.run();
    assert_eq!((repository.stage().as_str(), repository.bot_commits().len()), ("watching", 1));
    repository.assert_clean();
}

#[test]
fn a_lock_that_a_killed_run_left_on_a_ref_of_ours_does_not_stop_the_next_run() {
    let repository = Repository::failing();
    repository.write("README.md", "busy");
    repository.run();
    repository.git(&["checkout", "--quiet", "README.md"]);
    for name in ["refs/fractal/log", "refs/fractal/seen", "refs/notes/fractal"] {
        let lock = repository.root().join(format!(".git/{name}.lock"));
        std::fs::create_dir_all(lock.parent().expect("has a folder")).expect("makes the folder");
        std::fs::write(lock, "").expect("writes the lock");
    }
    repository.run();
    repository.calculates_well();
    repository.run();
    assert_eq!((repository.stage().as_str(), repository.bot_commits().len()), ("kept", 1));
    assert_eq!(repository.git(&["notes", "--ref=fractal", "list"]).lines().count(), 1);
}

#[test]
fn a_lock_on_a_persons_branch_is_a_persons_to_remove() {
    let repository = Repository::failing();
    let before = repository.tip("main");
    repository.write(".git/refs/heads/main.lock", "");
    let told = repository.run();
    assert!(told.waiting().contains("refs/heads/main.lock` exists"), "{:#?}", told.0);
    assert_eq!((repository.tip("main"), repository.stage().as_str()), (before, "proposed"));
    std::fs::remove_file(repository.root().join(".git/refs/heads/main.lock")).expect("removes the lock");
    repository.run();
    assert_eq!(repository.stage(), "watching");
}

#[test]
fn a_lock_on_the_index_that_a_killed_run_of_ours_left_is_told_from_anybody_elses() {
    let repository = Repository::failing();
    let (own, lock) = (repository.root().join(".git/fractal-index"), repository.root().join(".git/index.lock"));
    std::fs::write(&lock, "").expect("somebody locks the index");
    std::fs::write(&own, "").expect("an old mark of ours");
    assert!(repository.run().waiting().contains("index.lock"));
    assert!(lock.exists() && repository.bot_commits().is_empty());
    std::fs::remove_file(&lock).expect("somebody is done");
    std::fs::write(&own, "").expect("our mark");
    std::fs::hard_link(&own, &lock).expect("our lock");
    for draft in ["fractal-index.new", "fractal-index.new.lock"] {
        std::fs::write(repository.root().join(".git").join(draft), "half").expect("half a draft of ours");
    }
    repository.run();
    assert_eq!((repository.stage().as_str(), repository.bot_commits().len()), ("watching", 1));
    repository.assert_clean();
    assert!(!lock.exists() && !own.exists());
}
