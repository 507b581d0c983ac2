//! Landing beside a person who works in the same repository: their files, their index, their branches, their pause.

use std::fs;

use crate::support::{Repository, executable, hermetic, text};

#[test]
fn a_clean_work_tree_on_the_base_follows_with_its_index() {
    let repository = Repository::failing();
    repository.run();
    repository.assert_clean();
    assert!(repository.read("tools/calculator.py") != crate::support::CALCULATOR);
    assert_eq!(repository.git(&["diff", "--cached", "--name-only", "HEAD"]), "");
    assert_eq!(repository.git(&["symbolic-ref", "--short", "HEAD"]), "main");
}

#[test]
fn a_person_in_the_middle_of_a_change_is_waited_for() {
    for staged in [false, true] {
        let repository = Repository::failing();
        let before = repository.tip("main");
        repository.write("README.md", "Tools, and more of them.\n");
        if staged {
            repository.git(&["add", "README.md"]);
        }
        let status = repository.git(&["status", "--porcelain"]);
        let told = repository.run();
        assert!(told.waiting().contains("uncommitted changes (README.md)"), "{}", told.waiting());
        assert_eq!((repository.tip("main"), repository.git(&["status", "--porcelain"])), (before, status));
        assert_eq!(repository.read("README.md"), "Tools, and more of them.\n");
        assert_eq!(repository.stage(), "proposed");
        repository.git(&["stash", "--quiet"]);
        repository.run();
        assert_eq!(repository.stage(), "watching");
        repository.git(&["stash", "pop", "--quiet"]);
        assert_eq!(repository.read("README.md"), "Tools, and more of them.\n");
    }
}

#[test]
fn what_a_person_committed_meanwhile_is_built_upon() {
    let repository = Repository::failing();
    repository.write("README.md", "Tools, and more of them.\n");
    repository.run();
    let theirs = repository.commit("more words");
    repository.run();
    assert_eq!((repository.stage().as_str(), repository.tip("main^")), ("watching", theirs));
    assert_eq!(repository.branches().len(), 1);
    assert_eq!(repository.tip(&repository.branches()[0]), repository.tip("main"));
    repository.assert_clean();
}

#[test]
fn with_another_branch_checked_out_only_the_base_moves() {
    let repository = Repository::failing();
    let base = format!("base = \"main\"\n{}", repository.read("fractal.toml"));
    repository.configure(&base);
    let before = repository.commit("the base is main");
    repository.git(&["switch", "--quiet", "-c", "mine"]);
    repository.write("tools/calculator.py", "half a thought");
    repository.write("README.md", "staged");
    repository.git(&["add", "README.md"]);
    let status = repository.git(&["status", "--porcelain=v2"]);
    repository.run();
    assert_eq!(
        (repository.stage().as_str(), repository.tip("main^"), repository.tip("mine")),
        ("watching", before.clone(), before)
    );
    assert_eq!(repository.git(&["status", "--porcelain=v2"]), status);
    assert_eq!(
        (repository.read("tools/calculator.py"), repository.read("README.md")),
        ("half a thought".into(), "staged".into())
    );
}

/// `repository` with another work tree beside it, on another branch.
fn with_linked_work_tree(branch_here: &str, branch_there: &str) -> Repository {
    let repository = Repository::failing();
    repository.configure(&format!("base = \"main\"\n{}", repository.read("fractal.toml")));
    repository.commit("the base is main");
    repository.git(&["branch", "--quiet", "mine"]);
    repository.git(&["switch", "--quiet", "--ignore-other-worktrees", branch_here]);
    repository.git(&["worktree", "add", "--quiet", "../linked", branch_there]);
    repository
}

#[test]
fn a_base_that_is_checked_out_in_a_linked_work_tree_is_waited_for() {
    let repository = with_linked_work_tree("mine", "main");
    let before = repository.tip("main");
    let told = repository.run();
    assert!(told.waiting().contains("linked work tree `linked`"), "{}", told.waiting());
    assert_eq!((repository.stage().as_str(), repository.tip("main")), ("proposed", before));
    repository.git(&["worktree", "remove", "../linked"]);
    repository.run();
    assert_eq!(repository.stage(), "watching");
}

#[test]
fn a_loop_in_a_linked_work_tree_waits_for_the_base_that_is_checked_out_in_the_main_one() {
    let repository = with_linked_work_tree("main", "mine");
    let before = repository.tip("main");
    let linked = repository.beside("linked");
    let mut run = hermetic(env!("CARGO_BIN_EXE_fractal"), &repository.beside("home"), &linked);
    let done = run.args(["run", "--json"]).output().expect("fractal runs");
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(text(&done.stdout).contains("main work tree"), "{}", text(&done.stdout));
    assert_eq!(repository.tip("main"), before);
    repository.assert_clean();
}

#[test]
fn an_untracked_file_in_the_way_is_not_overwritten() {
    for ignored in [false, true] {
        let repository = Repository::failing();
        if ignored {
            repository.write(".gitignore", "__pycache__/\ntests/test_calculator_*\n");
            repository.commit("ignore some tests");
        }
        let before = repository.tip("main");
        // Its name follows from the failure alone.
        let test = repository.says(&["run", "--dry-run"]);
        let id8 = test.split("fractal/calculator/").nth(1).and_then(|rest| rest.get(..8)).expect("names its branch");
        let path = format!("tests/test_calculator_{id8}.py");
        repository.write(&path, "# mine\n");
        let told = repository.run();
        assert!(told.waiting().contains(&format!("`{path}` in the work tree is in the way")), "{}", told.waiting());
        assert_eq!((repository.read(&path).as_str(), repository.tip("main")), ("# mine\n", before));
        assert_eq!(repository.read("tools/calculator.py"), crate::support::CALCULATOR);
        fs::remove_file(repository.root().join(&path)).expect("removes it");
        repository.run();
        assert_eq!(repository.stage(), "watching");
        repository.assert_clean();
    }
}

#[test]
fn an_index_that_git_is_writing_is_waited_for() {
    let repository = Repository::failing();
    let before = repository.tip("main");
    repository.write(".git/index.lock", "");
    let told = repository.run();
    assert!(told.waiting().contains("index.lock"), "{:#?}", told.0);
    assert_eq!((repository.stage().as_str(), repository.tip("main")), ("proposed", before));
    fs::remove_file(repository.root().join(".git/index.lock")).expect("removes it");
    repository.run();
    assert_eq!(repository.stage(), "watching");
    repository.assert_clean();
}

#[test]
fn while_paused_nothing_outward_happens_and_afterwards_it_goes_on() {
    let repository = Repository::failing();
    let before = repository.tip("main");
    repository.says(&["pause", "moving house"]);
    for _ in 0..2 {
        let told = repository.run();
        assert!(format!("{:?}", told.0).contains("paused (moving house)"), "{:#?}", told.0);
        assert_eq!((told.actions().len(), repository.branches().len(), repository.tip("main")), (0, 0, before.clone()));
        assert_eq!(repository.git(&["log", "-1", "--format=%s", "main"]), "tools");
    }
    repository.says(&["resume"]);
    repository.run();
    assert_eq!((repository.stage().as_str(), repository.bot_commits().len()), ("watching", 1));
    repository.assert_clean();
}

#[test]
fn a_pause_stops_the_revert_and_the_note_as_well() {
    let repository = Repository::landed_orders();
    repository.orders_with_long_references();
    let landed = repository.tip("main");
    repository.says(&["pause"]);
    repository.run();
    assert_eq!(
        (repository.tip("main"), repository.try_git(&["rev-parse", "refs/notes/fractal"]).status.success()),
        (landed, false)
    );
    repository.says(&["resume"]);
    repository.run();
    assert_eq!((repository.stage().as_str(), repository.bot_commits().len()), ("reverted", 2));
}

/// The push of the branch runs a hook, between the intent and the next effect.
#[test]
fn a_pause_that_comes_in_the_middle_of_a_cycle_stops_the_next_effect() {
    let repository = Repository::failing();
    let root = repository.root();
    let blob = repository.git(&["hash-object", "-w", "README.md"]);
    repository.git(&["init", "--quiet", "--bare", "--initial-branch=main", "../origin.git"]);
    repository.git(&["remote", "add", "origin", "../origin.git"]);
    repository.configure(&format!("{}\n[deploy]\nremote = \"origin\"\n", repository.read("fractal.toml")));
    repository.commit("push to origin");
    repository.git(&["push", "--quiet", "origin", "main"]);
    let before = repository.tip("main");
    executable(
        &root.join(".git/hooks/pre-push"),
        &format!("#!/bin/sh\nexec git -C '{}' update-ref refs/fractal/paused {blob}\n", root.display()),
    );
    let told = repository.run();
    assert_eq!(told.actions().len(), 1, "the branch, which was under way: {:?}", told.actions());
    assert_eq!(repository.tip("main"), before);
    assert_eq!(repository.git(&["ls-remote", "origin", "refs/heads/main"]).split('\t').next(), Some(before.as_str()));
    fs::remove_file(root.join(".git/hooks/pre-push")).expect("removes the hook");
    repository.says(&["resume"]);
    repository.run();
    assert_eq!((repository.stage().as_str(), repository.bot_commits().len()), ("watching", 1));
}

#[test]
fn a_branch_that_a_person_took_while_we_were_paused_before_landing_is_theirs() {
    let repository = Repository::failing();
    repository.write("README.md", "busy");
    repository.run();
    // Killed or paused after the intent to land: the log says so, and the base has not moved.
    repository.git(&["checkout", "--quiet", "README.md"]);
    let blob = repository.git(&["hash-object", "-w", "README.md"]);
    repository.git(&["update-ref", "refs/fractal/paused", &blob]);
    repository.run();
    let branch = repository.branches().remove(0);
    let before = repository.tip("main");
    repository.git(&["switch", "--quiet", &branch]);
    repository.write("README.md", "mine");
    let mine = {
        repository.git(&["commit", "--quiet", "-am", "mine"]);
        repository.tip(&branch)
    };
    repository.git(&["switch", "--quiet", "main"]);
    repository.says(&["resume"]);
    repository.run();
    assert_eq!((repository.stage().as_str(), repository.tip("main"), repository.tip(&branch)), ("closed", before, mine));
}
