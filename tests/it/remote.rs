//! With a remote, what lands is pushed through the git command: hooks and the server decide, and nothing moves here that did not there.

use std::fs;

use crate::support::{Repository, executable, word};

/// The same repository, whose improvements go to a bare repository beside it from now on.
pub fn with_origin(repository: Repository) -> Repository {
    repository.git(&["init", "--quiet", "--bare", "--initial-branch=main", "../origin.git"]);
    repository.git(&["remote", "add", "origin", "../origin.git"]);
    let config = repository.read("fractal.toml");
    repository.configure(&match config.contains("[deploy]\n") {
        true => config.replace("[deploy]\n", "[deploy]\nremote = \"origin\"\n"),
        false => format!("{config}\n[deploy]\nremote = \"origin\"\n"),
    });
    repository.commit("push to origin");
    repository.git(&["push", "--quiet", "origin", "main"]);
    repository
}

fn at_origin(repository: &Repository, name: &str) -> String {
    repository.git(&["ls-remote", "origin", name]).split('\t').next().unwrap_or_default().to_string()
}

#[test]
fn what_lands_is_pushed_with_its_branch_its_note_and_the_log() {
    let repository = with_origin(Repository::failing());
    repository.run();
    let branch = repository.branches().remove(0);
    for name in ["refs/heads/main", "refs/fractal/log", &format!("refs/heads/{branch}")] {
        assert_eq!(at_origin(&repository, name), repository.tip(name), "{name}");
    }
    repository.calculates_well();
    repository.run();
    assert_eq!(repository.stage(), "kept");
    for name in ["refs/notes/fractal", "refs/fractal/log"] {
        assert_eq!(at_origin(&repository, name), repository.tip(name), "{name}");
    }
}

#[test]
fn a_server_that_refuses_the_base_stops_the_landing_and_nothing_moves_here() {
    let repository = with_origin(Repository::failing());
    let before = repository.tip("main");
    let hook = "#!/bin/sh\nwhile read -r old new name; do\n\
                test \"$name\" != refs/heads/main || { echo 'main is protected'; exit 1; }\ndone\n";
    executable(&repository.beside("origin.git/hooks/pre-receive"), hook);
    repository.run();
    let reason = word(&repository.improvement()["reason"]);
    assert!(reason.contains("landing failed") && reason.contains("main is protected"), "{reason}");
    assert_eq!(
        (repository.stage().as_str(), repository.tip("main"), at_origin(&repository, "refs/heads/main")),
        ("stuck", before.clone(), before)
    );
    repository.assert_clean();
}

#[test]
fn a_local_hook_that_refuses_stops_everything_with_its_words() {
    let repository = with_origin(Repository::failing());
    let before = repository.tip("main");
    executable(&repository.root().join(".git/hooks/pre-push"), "#!/bin/sh\necho 'not on a Friday' >&2\nexit 1\n");
    repository.run();
    let reason = word(&repository.improvement()["reason"]);
    assert!(reason.contains("not on a Friday"), "{reason}");
    assert_eq!((repository.tip("main"), repository.branches().len()), (before.clone(), 0));
    assert_eq!(repository.git(&["ls-remote", "origin"]).lines().filter(|line| line.contains("fractal")).count(), 0);
    repository.assert_clean();
}

/// A person pushes a commit from elsewhere; its id.
fn pushed_from_elsewhere(repository: &Repository) -> String {
    repository.git(&["clone", "--quiet", "../origin.git", "../other"]);
    repository.git(&["-C", "../other", "commit", "--quiet", "--allow-empty", "-m", "meanwhile"]);
    repository.git(&["-C", "../other", "push", "--quiet", "origin", "main"]);
    at_origin(repository, "refs/heads/main")
}

#[test]
fn a_base_that_went_on_at_the_remote_is_followed_and_landed_on() {
    let repository = with_origin(Repository::failing());
    let theirs = pushed_from_elsewhere(&repository);
    repository.run();
    assert_eq!((repository.stage().as_str(), repository.tip("main^")), ("watching", theirs));
    assert_eq!(at_origin(&repository, "refs/heads/main"), repository.tip("main"));
    repository.assert_clean();
}

#[test]
fn a_base_that_went_on_at_the_remote_and_another_way_here_is_a_persons_to_bring_together() {
    let repository = with_origin(Repository::failing());
    let theirs = pushed_from_elsewhere(&repository);
    repository.git(&["commit", "--quiet", "--allow-empty", "-m", "here"]);
    let ours = repository.tip("main");
    let told = repository.run();
    assert!(told.waiting().contains("fetch first"), "{}", told.waiting());
    assert_eq!(
        (repository.stage().as_str(), repository.tip("main"), at_origin(&repository, "refs/heads/main")),
        ("proposed", ours, theirs.clone())
    );
    repository.git(&["pull", "--quiet", "--rebase", "origin", "main"]);
    repository.git(&["push", "--quiet", "origin", "main"]);
    repository.run();
    assert_eq!((repository.stage().as_str(), repository.tip("main~2")), ("watching", theirs));
    assert_eq!(at_origin(&repository, "refs/heads/main"), repository.tip("main"));
    repository.assert_clean();
}

#[test]
fn a_remote_that_cannot_be_reached_is_tried_again() {
    let repository = with_origin(Repository::failing());
    let before = repository.tip("main");
    fs::rename(repository.beside("origin.git"), repository.beside("away.git")).expect("renames");
    for _ in 0..2 {
        let told = repository.run();
        assert!(told.waiting().contains("ls-remote"), "{:#?}", told.0);
        assert_eq!(
            (repository.stage().as_str(), repository.tip("main"), repository.branches().len()),
            ("accepted", before.clone(), 0)
        );
    }
    fs::rename(repository.beside("away.git"), repository.beside("origin.git")).expect("renames");
    repository.run();
    assert_eq!((repository.stage().as_str(), repository.bot_commits().len()), ("watching", 1));
    assert_eq!(at_origin(&repository, "refs/heads/main"), repository.tip("main"));
}
