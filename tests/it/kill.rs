//! kill -9 is a normal event: whenever a cycle is killed, the next one goes on, nothing happens twice, nothing is lost.

use std::process::Command;

use super::group::sharers;
use super::remote::with_origin;
use super::support::{Repository, Told, tell, text};

/// Cycles until nothing is left to do, at most.
const CYCLES_MAX: usize = 4;

fn cycle(repository: &Repository) -> Command {
    let mut command = repository.hermetic(env!("CARGO_BIN_EXE_fractal"));
    command.args(["run", "--json"]);
    command
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
    let mut there = String::new();
    if !repository.git(&["remote"]).is_empty() {
        // The same as here, and no claim is left.
        let at = |arguments: &[&str]| repository.git(&[&["--git-dir", "../origin.git"], arguments].concat());
        assert_eq!(at(&["rev-parse", "main"]), repository.tip("main"));
        if !notes.is_empty() {
            assert_eq!(at(&["rev-parse", "refs/notes/fractal"]), repository.tip("refs/notes/fractal"));
        }
        assert_eq!(at(&["rev-parse", "refs/fractal/log^{tree}"]), repository.tip("refs/fractal/log^{tree}"));
        there = at(&["for-each-ref", "--format=%(refname)"]).replace('\n', " ");
    }
    vec![
        repository.stage(),
        there,
        repository.git(&["ls-tree", "main", "--", "greet.sh", "sharer.sh", "splitter.sh"]),
        repository.git(&["ls-tree", "-r", "--name-only", "main", "tests"]),
        format!("{} commits of the bot", repository.bot_commits().len()),
        format!("{} notes", notes.lines().count()),
        repository.branches().join(" "),
    ]
}

/// Kills a cycle right after its first, second, … write that outlives it, until one gets to its end unharmed; every time the same end
/// must follow.
fn whenever_it_is_killed(what: &str, ready: &Repository, fewest: usize, end: &str) {
    let undisturbed = end_state(&ready.copy());
    assert_eq!(undisturbed[0], end);
    let mut table = Vec::new();
    for n in 1.. {
        let repository = ready.copy();
        let killed = cycle(&repository).env("FRACTAL_DIE_AT", n.to_string()).output().expect("runs");
        let (errors, signal) = (text(&killed.stderr), std::os::unix::process::ExitStatusExt::signal(&killed.status));
        if signal.is_none() {
            assert!(killed.status.success() && !errors.contains("here: "), "{errors}");
            break;
        }
        let after = errors.lines().find_map(|line| line.strip_prefix("here: ")).expect("says where").to_string();
        assert_eq!((signal, end_state(&repository)), (Some(9), undisturbed.clone()), "killed at {n}, after {after}: {errors}");
        table.push(after);
    }
    tell(&format!("{what}: SIGKILL after each of {} writes, the same end each time", table.len()));
    for (n, after) in table.iter().enumerate() {
        tell(&format!("{:4}  {after}", n + 1));
    }
    assert!(table.len() >= fewest, "{table:#?}");
}

/// Its repair has landed and proved itself since.
fn to_be_kept(repository: Repository) -> Repository {
    repository.run();
    repository.greets_well();
    repository
}

/// Its repair has landed, and a person wants it reverted: the run that was to do it died after that was written down.
fn to_be_reverted(repository: Repository) -> Repository {
    repository.run();
    let mut revert = repository.hermetic(env!("CARGO_BIN_EXE_fractal"));
    let died = revert.args(["revert", &repository.id()]).env("FRACTAL_DIE_AT", "1").output().expect("runs");
    assert!(text(&died.stderr).contains("`refs/fractal/log` moved"), "{}", text(&died.stderr));
    repository
}

#[test]
fn a_repair_that_is_killed_anywhere_is_finished_once() {
    whenever_it_is_killed("repair", &Repository::greeter(), 14, "watching");
}

#[test]
fn keeping_an_improvement_that_is_killed_anywhere_is_finished_once() {
    whenever_it_is_killed("keep", &to_be_kept(Repository::greeter()), 6, "kept");
}

#[test]
fn a_revert_that_is_killed_anywhere_is_finished_once() {
    whenever_it_is_killed("revert", &to_be_reverted(Repository::greeter()), 10, "reverted");
}

#[test]
fn a_group_that_is_killed_anywhere_is_proposed_and_lands_whole_and_once() {
    let sharers = sharers();
    whenever_it_is_killed("repair of two tools", &sharers, 6, "proposed");
    sharers.run();
    // Who was to land it died after the approval was written down.
    let mut approve = sharers.hermetic(env!("CARGO_BIN_EXE_fractal"));
    let died = approve.args(["approve", &sharers.id()]).env("FRACTAL_DIE_AT", "1").output().expect("runs");
    assert!(text(&died.stderr).contains("`refs/fractal/log` moved"), "{}", text(&died.stderr));
    whenever_it_is_killed("landing of two tools", &sharers, 5, "watching");
}

#[test]
fn a_repair_that_is_pushed_and_killed_anywhere_is_finished_once() {
    whenever_it_is_killed("repair, with a remote", &with_origin(Repository::greeter()), 18, "watching");
}

#[test]
fn keeping_a_pushed_improvement_that_is_killed_anywhere_is_finished_once() {
    whenever_it_is_killed("keep, with a remote", &to_be_kept(with_origin(Repository::greeter())), 8, "kept");
}

#[test]
fn a_pushed_revert_that_is_killed_anywhere_is_finished_once() {
    whenever_it_is_killed("revert, with a remote", &to_be_reverted(with_origin(Repository::greeter())), 14, "reverted");
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
