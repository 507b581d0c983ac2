//! The loop from recordings to an outcome: what lands, what it carries, what it does not touch.

use crate::support::{Repository, Told, lines, word};

#[test]
fn a_failing_tool_is_repaired_by_one_commit_on_the_base_that_tells_its_story() {
    let repository = Repository::failing();
    let before = repository.tip("main");
    let told = repository.run();
    assert_eq!(told.report()["landed"], 1, "{:#?}", told.0);
    assert_eq!(repository.git(&["rev-parse", "main^"]), before);
    let id = repository.id();
    let changed = lines(&repository.git(&["diff", "--name-status", "main^", "main"]));
    assert_eq!(changed.len(), 3, "{changed:?}");
    assert!(changed[0].starts_with("A\t.fractal/notes/") && changed[0].ends_with(&format!("-calculator-{}.md", &id[..8])));
    assert_eq!(changed[1], format!("A\ttests/test_calculator_{}.py", &id[..8]));
    assert_eq!(changed[2], "M\ttools/calculator.py");
    let message = repository.git(&["log", "-1", "--format=%B", "main"]);
    for trailer in ["Id", "Tool", "Opportunity", "Strategy", "Evidence"] {
        let value = repository.git(&["log", "-1", &format!("--format=%(trailers:key=Fractal-{trailer},valueonly)"), "main"]);
        assert!(!value.trim().is_empty(), "no Fractal-{trailer} in {message}");
    }
    assert!(message.contains(&format!("\nFractal-Id: {id}\n")) && message.contains("\nFractal-Tool: calculator\n"));
    let branch = format!("fractal/calculator/{}", &id[..8]);
    assert_eq!(repository.branches(), [branch.as_str()]);
    assert_eq!(repository.tip(&branch), repository.tip("main"));
    repository.git(&["cat-file", "-e", &format!("refs/fractal/log:improvements/{id}.jsonl")]);
    assert_eq!(repository.exec("calculator", &["div", "77", "0"]), 2);
    repository.assert_clean();
}

#[test]
fn an_improvement_that_proves_itself_is_kept_and_its_commit_carries_the_outcome_as_a_note() {
    let repository = Repository::landed();
    repository.calculates_well();
    let told = repository.run();
    assert_eq!((told.report()["kept"].as_u64(), repository.stage().as_str()), (Some(1), "kept"));
    let noted = repository.git(&["notes", "--ref=fractal", "list"]);
    assert_eq!(noted.split(' ').nth(1), Some(repository.tip("main").as_str()), "one note, on the landed commit: {noted}");
    let note = repository.git(&["log", "-1", "--notes=fractal", "--format=%N", "main"]);
    assert!(note.contains("kept"), "{note}");
}

#[test]
fn a_cycle_without_news_does_nothing() {
    for repository in [Repository::landed(), Repository::kept()] {
        // How far history was looked through is no decision.
        let decisions = || repository.refs().lines().filter(|line| !line.contains("/seen ")).collect::<Vec<_>>().join("\n");
        let before = decisions();
        let told = repository.run();
        assert_eq!((told.actions(), decisions()), (Vec::new(), before));
        repository.assert_clean();
    }
}

/// What `--dry-run` tells, after making sure that not one byte changed.
fn rehearsed(repository: &Repository) -> Told {
    let (refs, files) = (repository.refs(), repository.everything());
    let told = Told::parse(&repository.says(&["run", "--dry-run", "--json"]));
    assert_eq!(repository.refs(), refs);
    let after = repository.everything();
    let differs: Vec<_> =
        after.iter().filter(|(path, content)| files.get(*path) != Some(content)).map(|(path, _)| path).collect();
    assert!(differs.is_empty(), "changed or new: {differs:?}");
    let gone: Vec<_> = files.keys().filter(|path| !after.contains_key(*path)).collect();
    assert!(gone.is_empty(), "gone: {gone:?}");
    assert!(told.of("action").all(|action| action["dry_run"] == true));
    told
}

#[test]
fn a_rehearsal_tells_the_repair_and_changes_nothing() {
    let repository = Repository::failing();
    let told = rehearsed(&repository);
    let actions = told.actions();
    assert!(
        matches!(&actions[..], [put, land] if put.starts_with("put branch fractal/calculator/") && land.starts_with("land ")),
        "{actions:?}"
    );
}

#[test]
fn a_rehearsal_tells_what_would_be_kept_and_changes_nothing() {
    let repository = Repository::landed();
    repository.calculates_well();
    let told = rehearsed(&repository);
    assert_eq!(told.of("ended").map(|ended| word(&ended["stage"])).collect::<Vec<_>>(), ["kept"]);
    assert!(matches!(&told.actions()[..], [note] if note.starts_with("write a note on ")));
}

#[test]
fn a_rehearsal_tells_what_would_be_reverted_and_changes_nothing() {
    let repository = Repository::landed_orders();
    repository.orders_with_long_references();
    let told = rehearsed(&repository);
    assert_eq!(told.of("ended").map(|ended| word(&ended["stage"])).collect::<Vec<_>>(), ["reverted"]);
    assert!(matches!(&told.actions()[..], [revert, ..] if revert.starts_with("revert ")), "{:?}", told.actions());
}

#[test]
fn a_repository_that_never_ran_anything_is_left_alone() {
    let repository = Repository::of("calculator", crate::support::CALCULATOR, "");
    let before = repository.tip("main");
    let told = repository.run();
    assert_eq!((told.actions().len(), repository.tip("main")), (0, before));
    repository.assert_clean();
}
