//! After the landing: what made a tool worse is reverted, what did not is not, and a person has the last word.

use crate::support::{Repository, lines, text, word};

#[test]
fn a_landed_improvement_that_made_the_tool_worse_is_reverted_with_the_evidence() {
    let repository = Repository::landed_orders();
    let landed = repository.tip("main");
    repository.orders_with_long_references();
    let told = repository.run();
    assert_eq!(told.report()["reverted"], 1, "{:#?}", told.0);
    assert_eq!((repository.stage().as_str(), repository.tip("main^")), ("reverted", landed.clone()));
    assert_eq!(repository.read("tools/orders.py"), crate::support::ORDERS);
    assert_eq!(repository.git(&["diff", "--stat", "main", "main~2"]), "", "its test and its notes go with it");
    let subject = repository.git(&["log", "-1", "--format=%s", &landed]);
    let message = repository.git(&["log", "-1", "--format=%B", "main"]);
    assert!(message.starts_with(&format!("Revert \"{subject}\"\n")), "{message}");
    assert!(
        message.contains(&format!("\nThis reverts commit {landed}.\n"))
            && message.contains("run again on both versions (combined p = "),
        "{message}"
    );
    let note = repository.git(&["notes", "--ref=fractal", "show", &landed]);
    assert!(note.contains("reverted"), "{note}");
    repository.assert_clean();
    // Nothing that comes later undoes the revert.
    repository.orders_with_long_references();
    repository.run();
    assert_eq!(repository.bot_commits().len(), 2);
    assert_eq!(repository.improvement()["reverted_before"], true);
}

#[test]
fn what_was_reverted_does_not_land_by_itself_on_another_version_and_its_change_is_not_made_again() {
    let repository = Repository::landed_orders();
    repository.orders_with_long_references();
    repository.run();
    repository.edit("tools/orders.py", "pieces", "items");
    let theirs = repository.commit("other words");
    for number in 1..=8_u64 {
        repository.exec("orders", &[&number.to_string(), &(97 * 1234 * number + 1).to_string()]);
        repository.exec("orders", &[&format!("{number}.0"), &(97 * 4321 * number + 1).to_string()]);
    }
    let told = repository.run();
    assert_eq!(repository.tip("main"), theirs, "{:#?}", told.actions());
    let titles: Vec<String> = told.of("judged").map(|judged| word(&judged["diff"])).collect();
    assert!(titles.iter().all(|diff| !diff.contains("+    return int(float(text))")), "{titles:#?}");
    if repository.stage() == "proposed" {
        assert!(told.waiting().contains("an earlier attempt was reverted"), "{}", told.waiting());
    }
}

#[test]
fn inputs_that_fail_on_both_versions_do_not_revert() {
    let repository = Repository::landed_orders();
    let landed = repository.tip("main");
    for number in 1..=5 {
        assert_eq!(repository.exec("orders", &["some", &(97 * number + 1).to_string()]), 1);
    }
    let told = repository.run();
    let finding = told.of("analysed").next().expect("there is an alarm")["analysis"].clone();
    assert_eq!(finding["finding"], "false_alarm", "{finding}");
    assert_eq!((repository.tip("main"), repository.stage().as_str()), (landed, "watching"));
}

#[test]
fn few_failing_inputs_that_do_not_decide_are_not_left_to_a_person_but_waited_for() {
    let repository = Repository::landed_orders();
    repository.configure(&repository.read("fractal.toml").replace("[monitor]\nexecutions = 5", "[monitor]\nexecutions = 50"));
    repository.commit("a longer watch");
    let long = |number: u64| (97 * (100_000_000_000_000_000 + 1_234_567 * number) + 1).to_string();
    let fails = |reference: &str| assert_eq!(repository.exec("orders", &["3", reference]), 1, "{reference}");
    // Two that fail on both versions, and between them one that only the new one fails.
    fails("other");
    fails(&long(1));
    fails("some");
    let told = repository.run();
    let analysis = told.of("analysed").next().expect("there is an alarm")["analysis"].clone();
    assert_eq!(
        (&analysis["finding"], analysis["replays"].as_array().map(Vec::len)),
        (&"waiting".into(), Some(3)),
        "{analysis:#}"
    );
    assert_eq!(repository.stage(), "watching");
    let again = repository.run();
    assert_eq!(again.of("analysed").count(), 0, "without news nothing is run again");
    (2..=5).for_each(|number| fails(&long(number)));
    let told = repository.run();
    assert_eq!((told.report()["reverted"].as_u64(), repository.stage().as_str()), (Some(1), "reverted"), "{:#?}", told.0);
}

#[test]
fn a_person_has_an_improvement_reverted_while_it_is_watched_and_after_it_was_kept() {
    for repository in [Repository::landed(), Repository::kept()] {
        let (id, landed) = (repository.id(), repository.tip("main"));
        repository.says(&["revert", &id[..8]]);
        assert_eq!((repository.stage().as_str(), repository.tip("main^")), ("reverted", landed.clone()));
        assert_eq!(repository.read("tools/calculator.py"), crate::support::CALCULATOR);
        assert!(word(&repository.improvement()["reason"]).contains("Ana asked for it"));
        let message = repository.git(&["log", "-1", "--format=%B", "main"]);
        assert!(message.contains(&format!("This reverts commit {landed}.")) && message.contains("Ana asked for it"), "{message}");
        repository.assert_clean();
        assert_eq!(repository.fractal(&["revert", &id]).status.code(), Some(2), "there is nothing left to revert");
        repository.run();
        assert_eq!(repository.bot_commits().len(), 2);
    }
}

#[test]
fn a_revert_that_conflicts_with_later_changes_waits_for_a_person_with_the_paths() {
    let repository = Repository::landed();
    repository.edit("tools/calculator.py", "    return a / b\n", "    return (a / b)  # mine\n");
    let theirs = repository.commit("brackets");
    repository.says(&["revert", &repository.id()]);
    let reason = word(&repository.improvement()["reason"]);
    assert_eq!(repository.stage(), "stuck");
    assert!(reason.contains("later changes in `tools/calculator.py` are in the way of the inverse"), "{reason}");
    assert_eq!(repository.tip("main"), theirs);
    repository.assert_clean();
    repository.run();
    assert_eq!((repository.stage().as_str(), repository.tip("main")), ("stuck", theirs));
}

#[test]
fn more_reverts_in_a_day_than_allowed_wait_for_a_person() {
    let repository = Repository::landed_orders();
    let tools = lines(&repository.git(&["show", "HEAD:fractal.toml"]));
    let declared: String = tools.iter().skip_while(|line| *line != "[[tool]]").map(|line| format!("{line}\n")).collect();
    repository.configure(&format!("{}reverts_per_day = 0\n\n{declared}", crate::support::SETTINGS));
    let before = repository.commit("no reverts by yourself");
    let id = repository.id();
    let known = || repository.improvements().into_iter().find(|known| known["id"] == id.as_str()).expect("is known");
    repository.orders_with_long_references();
    repository.run();
    let reason = word(&known()["reason"]);
    assert!(known()["stage"] == "stuck" && reason.contains("reverts_per_day"), "{reason}");
    assert_eq!(repository.tip("main"), before);
    repository.says(&["revert", &id]);
    assert_eq!((word(&known()["stage"]).as_str(), repository.tip("main^")), ("reverted", before));
}

#[test]
fn a_watch_that_a_later_version_cuts_short_claims_nothing() {
    let repository = Repository::landed();
    repository.edit("tools/calculator.py", "(OP is add, sub or div)", "(OP is one of add, sub, div)");
    repository.commit("better words");
    repository.run();
    assert_eq!(repository.stage(), "inconclusive");
    let note = repository.git(&["log", "--notes=fractal", "--format=%N", "main"]);
    assert!(note.contains("inconclusive"), "{note}");
}

#[test]
fn whoever_looks_from_outside_sees_the_same_story() {
    let repository = Repository::kept();
    let id = repository.id();
    let shown = repository.says(&["show", &id[..8]]);
    assert!(shown.contains("kept") && shown.contains("calculator"), "{shown}");
    let status = text(&repository.fractal(&["status"]).stdout);
    assert!(status.contains("calculator"), "{status}");
    let clone = repository.beside("clone");
    let clone = clone.to_str().expect("UTF-8");
    repository.git(&["clone", "--quiet", ".", clone]);
    repository.git(&[
        "-C",
        clone,
        "fetch",
        "--quiet",
        "origin",
        "+refs/fractal/log:refs/fractal/log",
        "+refs/notes/*:refs/notes/*",
    ]);
    assert_eq!(repository.says(&["-C", clone, "log", "--json"]), repository.says(&["log", "--json"]));
    let before = repository.git(&["-C", clone, "rev-parse", "main"]);
    repository.says(&["-C", clone, "run", "--json"]);
    assert_eq!(repository.git(&["-C", clone, "rev-parse", "main"]), before);
}

/// What is read where a regression is confirmed and yet not reverted.
fn held(repository: &Repository, id: &str) -> String {
    repository.run();
    let known = repository.improvements().into_iter().find(|known| known["id"] == id).expect("is known");
    assert_eq!(known["stage"], "stuck", "{known:#}");
    word(&known["reason"])
}

#[test]
fn a_regression_that_a_later_change_may_rely_on_waits_for_a_person_with_the_commit_and_the_paths() {
    let repository = Repository::landed_orders();
    let id = repository.id();
    repository.orders_with_long_references();
    let tool = "tools/orders.py";
    repository.edit(tool, "import sys\n", "import sys\n# Orders come from the shop.\n");
    let theirs = repository.commit("Say where orders come from");
    let reason = held(&repository, &id);
    let wanted = format!("`Say where orders come from` ({}) changed `{tool}` since and may rely on it", &theirs[..8]);
    assert!(reason.contains(&wanted) && reason.contains("fractal revert"), "{reason}");
    assert_eq!(repository.tip("main"), theirs);
    repository.says(&["revert", &id]);
    assert!(!repository.git(&["log", "-1", "--format=%B", "main"]).contains("Say where"), "a person's wish is done");
}

#[test]
fn where_reverts_are_for_people_the_reason_says_so() {
    let repository = Repository::landed_orders();
    let id = repository.id();
    let declared = repository.read("fractal.toml");
    repository.configure(&declared.replacen("name = \"orders\"\n", "name = \"orders\"\nrevert = false\n", 1));
    let before = repository.commit("reverts are for people");
    repository.orders_with_long_references();
    let reason = held(&repository, &id);
    assert!(reason.contains("reverts are for people here (`revert = false`)"), "{reason}");
    assert_eq!(repository.tip("main"), before);
}

#[test]
fn the_rules_are_put_to_what_has_been() {
    let repository = Repository::landed_orders();
    let landed = repository.tip("main");
    repository.orders_with_long_references();
    let scores = |arguments: &[&str]| -> Vec<serde_json::Value> {
        let told = repository.says(&[&["backtest", "monitor", "--json"], arguments].concat());
        told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let open = scores(&[]);
    assert_eq!(open[0]["score"].as_str(), Some("open"), "nobody reverted it yet: {open:#?}");
    let [change] = &scores(&["--replay"])[..] else { panic!("one change has runs before and after it") };
    assert_eq!((change["score"].as_str(), change["commit"].as_str()), (Some("true"), Some(landed.as_str())));
    assert_eq!(change["replay"]["finding"], "regression", "{change:#}");
    let alarm = change["alarm"].as_u64().expect("there was an alarm");
    assert!((2..=5).contains(&alarm), "{change:#}");
    repository.run();
    let past = scores(&["orders"]);
    assert_eq!((past[0]["score"].as_str(), past[0]["alarm"].as_u64()), (Some("true"), Some(alarm)), "{past:#?}");
    assert_eq!(past[0]["reverted_by"].as_str(), Some(repository.tip("main").as_str()));
    let shown = repository.says(&["backtest", "monitor"]);
    assert!(
        shown.contains("1 changes: 1 true, 0 open, 0 false, 0 missed, 0 quiet") && shown.contains(&format!("run {alarm}")),
        "{shown}"
    );
    assert_eq!(repository.fractal(&["backtest", "monitor", "nothing"]).status.code(), Some(2));
}
