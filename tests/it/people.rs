//! What people do with our work is noticed and respected: taken branches, deleted ones, merges, reverts, resets, approvals.

use crate::support::{CALCULATOR, CALCULATOR_TEST, Repository, word};

/// A repair that waits on its branch for a person.
fn proposed() -> Repository {
    let repository = Repository::failing();
    repository.configure(&format!("{}\n[deploy]\nland = false\n", repository.read("fractal.toml")));
    repository.commit("a person lands");
    let told = repository.run();
    assert!(told.waiting().contains("`[deploy] land = false`"), "{}", told.waiting());
    assert_eq!(repository.stage(), "proposed");
    repository
}

/// The failure comes back on a version that differs somewhere else.
fn fails_again_on_another_version(repository: &Repository) {
    repository.edit("tools/calculator.py", "(OP is add, sub or div)", "(OP is one of add, sub, div)");
    repository.commit("better words");
    repository.calculates_well();
    for number in 1..=5 {
        assert_eq!(repository.exec("calculator", &["div", &number.to_string(), "0"]), 1);
    }
}

/// Neither on the base nor on the way to it without a person.
fn assert_the_same_change_is_not_made_again(repository: &Repository, change: &str) {
    let tip = repository.tip("main");
    repository.run();
    repository.run();
    assert_eq!(repository.tip("main"), tip, "landed by itself");
    for branch in repository.branches() {
        let diff = repository.git(&["diff", &format!("main...{branch}"), "--", "tools"]);
        assert!(!diff.contains(change), "{branch} proposes it again: {diff}");
    }
}

/// The first line that the repair adds.
fn added_line(repository: &Repository, commit: &str) -> String {
    let diff = repository.git(&["show", "--format=", commit, "--", "tools"]);
    let added = diff.lines().find(|line| line.starts_with('+') && !line.starts_with("+++"));
    added.expect("adds a line").to_string()
}

#[test]
fn a_branch_that_a_person_committed_on_is_theirs() {
    let repository = proposed();
    let branch = repository.branches().remove(0);
    let before = repository.tip("main");
    repository.git(&["switch", "--quiet", &branch]);
    repository.write("README.md", "a person was here");
    repository.git(&["commit", "--quiet", "-am", "mine"]);
    let theirs = repository.tip(&branch);
    repository.git(&["switch", "--quiet", "main"]);
    let told = repository.run();
    assert!(told.reconciled().contains("theirs now"), "{}", told.reconciled());
    assert_eq!(repository.stage(), "closed");
    repository.run();
    assert_eq!((repository.tip(&branch), repository.tip("main"), repository.branches().len()), (theirs, before, 1));
}

#[test]
fn a_change_whose_branch_a_person_deleted_is_never_proposed_again() {
    let repository = proposed();
    let branch = repository.branches().remove(0);
    let change = added_line(&repository, &branch);
    repository.git(&["branch", "--quiet", "-D", &branch]);
    let told = repository.run();
    assert!(told.reconciled().contains("deleted"), "{}", told.reconciled());
    assert_eq!((repository.stage().as_str(), repository.branches().len()), ("closed", 0));
    repository.run();
    assert_eq!(repository.branches().len(), 0);
    fails_again_on_another_version(&repository);
    assert_the_same_change_is_not_made_again(&repository, &change);
}

#[test]
fn a_change_that_a_person_turned_down_does_not_land_by_itself_later() {
    let repository = proposed();
    let branch = repository.branches().remove(0);
    let change = added_line(&repository, &branch);
    repository.git(&["branch", "--quiet", "-D", &branch]);
    repository.run();
    repository.edit("fractal.toml", "land = false", "land = true");
    repository.commit("land by yourself");
    fails_again_on_another_version(&repository);
    assert_the_same_change_is_not_made_again(&repository, &change);
}

#[test]
fn a_branch_that_a_person_merged_is_watched() {
    for arguments in [&["merge", "--quiet", "--no-ff", "-m", "merge the repair"][..], &["cherry-pick"]] {
        let repository = proposed();
        repository.write("README.md", "something else in between");
        repository.commit("something else");
        repository.git(&[arguments, &[repository.branches()[0].as_str()]].concat());
        let told = repository.run();
        assert!(told.reconciled().contains("a person merged it"), "{}", told.reconciled());
        assert_eq!(repository.stage(), "watching");
        repository.calculates_well();
        repository.run();
        assert_eq!(repository.stage(), "kept", "{arguments:?}");
    }
}

#[test]
fn a_merge_that_a_person_reverted_is_noticed() {
    let repository = proposed();
    repository.git(&["merge", "--quiet", "--no-ff", "-m", "merge the repair", &repository.branches()[0]]);
    repository.run();
    repository.git(&["revert", "--no-edit", "-m", "1", "main"]);
    let told = repository.run();
    assert!(told.reconciled().contains("a person reverted it"), "{}", told.reconciled());
    assert_eq!(repository.stage(), "reverted");
}

#[test]
fn a_kept_improvement_that_a_person_reverted_is_noticed_and_not_proposed_again() {
    let repository = Repository::kept();
    let landed = repository.tip("main");
    let change = added_line(&repository, &landed);
    repository.git(&["revert", "--no-edit", &landed]);
    let theirs = repository.tip("main");
    let told = repository.run();
    assert!(told.reconciled().contains(&format!("a person reverted it in {}", &theirs[..8])), "{}", told.reconciled());
    assert_eq!(repository.stage(), "reverted");
    let note = repository.git(&["notes", "--ref=fractal", "show", &landed]);
    assert!(note.contains("reverted") && !note.contains("kept"), "{note}");
    fails_again_on_another_version(&repository);
    assert_the_same_change_is_not_made_again(&repository, &change);
}

/// Runs a cycle that must find the improvement on the base once more, and must not count what ran before.
fn assert_is_watched_anew(repository: &Repository, says: &str) {
    let told = repository.run();
    assert!(told.reconciled().contains(says), "{}", told.reconciled());
    assert_eq!(repository.stage(), "watching");
    assert!(told.waiting().contains("the watch needs"), "{}", told.waiting());
}

/// The commits that revert something, newest first.
fn reverting(repository: &Repository) -> Vec<String> {
    let found = repository.git(&["log", "--format=%H", "--grep=^This reverts commit", "main"]);
    found.lines().map(str::to_string).collect()
}

#[test]
fn who_takes_a_revert_back_has_the_improvement_watched_again_and_can_have_it_reverted_again() {
    let repository = Repository::kept();
    let (landed, id) = (repository.tip("main"), repository.id());
    repository.says(&["revert", &id[..8]]);
    repository.git(&["revert", "--no-edit", "main"]);
    let back = repository.tip("main");
    assert_is_watched_anew(&repository, &format!("took its revert back in {}", &back[..8]));
    assert_eq!(repository.tip("main"), back, "nothing lands");
    repository.calculates_well();
    repository.run();
    assert_eq!(repository.stage(), "kept");
    let note = repository.git(&["notes", "--ref=fractal", "show", &landed]);
    assert!(note.contains("kept") && !note.contains("reverted"), "{note}");
    repository.says(&["revert", &id[..8]]);
    assert_eq!((repository.stage().as_str(), repository.read("tools/calculator.py").as_str()), ("reverted", CALCULATOR));
    repository.run();
    assert_eq!(reverting(&repository).len(), 3, "none is reverted twice");
}

#[test]
fn a_revert_that_was_taken_back_and_made_again_before_we_looked_counts_as_made() {
    let repository = Repository::kept();
    for _ in 0..3 {
        repository.git(&["revert", "--no-edit", "main"]);
    }
    repository.run();
    assert_eq!(repository.stage(), "reverted");
    repository.git(&["revert", "--no-edit", "main"]);
    repository.git(&["update-ref", "-d", "refs/fractal/seen"]);
    assert_is_watched_anew(&repository, "took its revert back");
    repository.git(&["update-ref", "-d", "refs/fractal/seen"]);
    repository.run();
    assert_eq!((repository.stage().as_str(), reverting(&repository).len()), ("watching", 4), "it is no news a second time");
}

#[test]
fn what_was_reverted_and_is_picked_again_is_watched_again() {
    let repository = Repository::kept();
    let landed = repository.tip("main");
    repository.git(&["revert", "--no-edit", "main"]);
    repository.run();
    assert_eq!(repository.stage(), "reverted");
    repository.git(&["cherry-pick", &landed]);
    assert_is_watched_anew(&repository, "a person merged it as");
    repository.git(&["revert", "--no-edit", "main"]);
    repository.run();
    assert_eq!(repository.stage(), "reverted");
}

#[test]
fn what_went_with_a_reset_and_comes_back_is_watched_again() {
    let repository = Repository::kept();
    let landed = repository.tip("main");
    repository.git(&["reset", "--quiet", "--hard", "main^"]);
    repository.run();
    assert_eq!(repository.stage(), "reverted");
    repository.git(&["merge", "--quiet", "--ff-only", &landed]);
    assert_is_watched_anew(&repository, "stands in the base again");
    repository.git(&["revert", "--no-edit", "main"]);
    repository.run();
    assert_eq!(repository.stage(), "reverted");
    repository.git(&["reset", "--quiet", "--hard", "main^"]);
    assert_is_watched_anew(&repository, "stands in the base again");
}

#[test]
fn a_revert_of_a_revert_that_is_written_anew_stays_one_and_one_that_is_reset_away_is_none() {
    let repository = Repository::kept();
    repository.git(&["revert", "--no-edit", "main"]);
    repository.run();
    repository.git(&["revert", "--no-edit", "main"]);
    assert_is_watched_anew(&repository, "took its revert back");
    repository.git(&["commit", "--quiet", "--amend", "--no-edit", "--reset-author", "--date=2026-01-01T00:00:00Z"]);
    repository.run();
    assert_eq!(repository.stage(), "watching");
    repository.git(&["reset", "--quiet", "--hard", "main^"]);
    let told = repository.run();
    assert_eq!(repository.stage(), "reverted", "{}", told.reconciled());
}

#[test]
fn a_base_that_was_reset_away_from_the_landed_commit_is_noticed() {
    let repository = Repository::landed();
    repository.git(&["reset", "--quiet", "--hard", "main^"]);
    let before = repository.tip("main");
    let told = repository.run();
    assert!(told.reconciled().contains("no longer in the base's history"), "{}", told.reconciled());
    assert_eq!((repository.stage().as_str(), repository.tip("main")), ("reverted", before.clone()));
    let reason = word(&repository.improvement()["reason"]);
    assert!(!reason.contains(&before[..8]), "that commit reverts nothing: {reason}");
    repository.run();
    assert_eq!(repository.tip("main"), before);
    repository.assert_clean();
}

/// A person's commit breaks a calculator that worked, and it goes on running.
fn broken_by_a_person() -> (Repository, String) {
    let good = CALCULATOR.replace("return a / b", "return a / b if b else 0.0");
    let repository = Repository::of("calculator", &good, CALCULATOR_TEST);
    for number in 1..=6 {
        repository.exec("calculator", &["add", &number.to_string(), "4"]);
        repository.exec("calculator", &["div", &number.to_string(), "0"]);
    }
    repository.edit("README.md", "Tools.", "Tools!");
    repository.commit("innocent");
    repository.edit("tools/calculator.py", "return a - b", "return a + (-b)");
    repository.commit("innocent too");
    repository.edit("tools/calculator.py", "return a / b if b else 0.0", "return a / b");
    let culprit = repository.commit("shorter");
    repository.calculates_well();
    for number in 1..=6 {
        assert_eq!(repository.exec("calculator", &["div", &number.to_string(), "0"]), 1);
    }
    (repository, culprit)
}

#[test]
fn a_commit_that_broke_a_tool_is_found_and_its_revert_waits_for_a_person() {
    let (repository, culprit) = broken_by_a_person();
    let told = repository.run();
    assert!(told.waiting().contains("it undoes a person's commit"), "{:#?}", told.0);
    let found = &told.of("investigated").next().expect("investigated")["investigation"]["culprit"];
    assert_eq!(found["commit"], culprit.as_str());
    assert_eq!((repository.stage().as_str(), repository.tip("main")), ("proposed", culprit.clone()));
    let id = repository.id();
    repository.says(&["approve", &id[..8]]);
    assert_eq!((repository.stage().as_str(), repository.tip("main^")), ("watching", culprit));
    assert_eq!(repository.exec("calculator", &["div", "8", "0"]), 0);
    assert!(repository.read("tools/calculator.py").contains("return a + (-b)"), "innocent commits stay");
    repository.assert_clean();
}

#[test]
fn reverts_of_peoples_commits_land_unasked_where_that_is_allowed() {
    let (repository, _) = broken_by_a_person();
    repository.configure(&format!("{}\n[deploy]\nland_reverts = true\n", repository.read("fractal.toml")));
    let before = repository.commit("reverts may land");
    let told = repository.run();
    assert_eq!((repository.stage().as_str(), repository.tip("main^")), ("watching", before), "{}", told.waiting());
    assert_eq!(repository.exec("calculator", &["div", "8", "0"]), 0);
}

#[test]
fn an_approval_is_for_what_was_proposed_and_only_fits_what_waits() {
    let repository = proposed();
    let id = repository.id();
    repository.says(&["approve", &id]);
    assert_eq!(repository.stage(), "watching");
    let refused = repository.fractal(&["approve", &id]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(crate::support::text(&refused.stderr).contains("is watching; only one that waits on its branch can be approved"));
    assert_eq!(repository.fractal(&["approve", "no-such-id"]).status.code(), Some(2));
}

/// Found by simulation: nobody looked at what people did while a revert of ours waited.
#[test]
fn a_revert_that_a_person_makes_while_ours_waits_is_not_made_again() {
    let repository = Repository::kept();
    let landed = repository.tip("main");
    repository.says(&["pause"]);
    repository.says(&["revert", &repository.id()]);
    assert_eq!(repository.stage(), "reverting");
    repository.git(&["revert", "--no-edit", &landed]);
    let theirs = repository.tip("main");
    repository.run();
    repository.says(&["resume"]);
    repository.run();
    repository.run();
    assert_eq!((repository.stage().as_str(), repository.tip("main")), ("reverted", theirs));
}
