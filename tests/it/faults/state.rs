//! Faults in what the loop keeps: the execution store, the log, and refs that somebody else has in our place.

use super::*;

// ---- The execution store ----

#[test]
fn a_store_of_a_newer_version_is_left_alone_and_tools_still_run() {
    let world = recorded();
    let store = Connection::open(world.repo().join(STORE)).expect("opens");
    store.pragma_update(None, "user_version", 99).expect("writes");
    store.close().expect("closes");
    world.write("seven.sh", "#!/bin/sh\ncat; exit 7\n");
    world.commit("seven");
    for args in [&["run"][..], &["run", "--dry-run"], &["status"], &["log"], &["mark", "0", "--bad"]] {
        let said = world.unchanged_by(|| world.fractal(args));
        said.refused(1, &["executions.db", "format 99", "reads up to 2", "update Fractal"]);
    }
    let before = fs::read(world.repo().join(STORE)).expect("reads");
    let said = world.exec::<&str>("seven", &[]);
    assert_eq!((said.code, said.err.lines().count()), (Some(7), 1), "{said:#?}");
    assert!(said.err.contains("waits on disk") && said.err.contains("format 99"), "{said:#?}");
    assert!(fs::read(world.repo().join(STORE)).expect("reads") == before);
}

#[test]
fn a_damaged_store_is_left_alone_and_tools_still_run() {
    let world = recorded();
    fs::write(world.repo().join(STORE), "not a database, but long enough to look like one\n".repeat(99)).expect("writes");
    for args in [&["run"][..], &["status"], &["mark", "0", "--bad"]] {
        let said = world.unchanged_by(|| world.fractal(args));
        said.refused(1, &["executions.db", "not a database", "move it away"]);
    }
    let said = world.exec("greet", &["crash1"]);
    assert_eq!((said.code, said.err.lines().count()), (Some(3), 2), "{said:#?}");
    assert!(said.err.contains("boom") && said.err.contains("waits on disk"), "{said:#?}");
}

#[test]
fn a_store_that_is_damaged_in_the_middle_is_left_alone_and_tools_still_run() {
    let world = recorded();
    let mut bytes = fs::read(world.repo().join(STORE)).expect("reads");
    assert!(bytes.len() > 2 * 4096, "the schema fills the first page");
    bytes[4096..].fill(0xa5);
    fs::write(world.repo().join(STORE), bytes).expect("writes");
    let before = fs::read(world.repo().join(STORE)).expect("reads");
    let said = world.fractal(&["run"]);
    assert_eq!((said.code, world.git(&["for-each-ref", LOG, "refs/heads/fractal"]).as_str()), (Some(1), ""), "{said:#?}");
    assert!(fs::read(world.repo().join(STORE)).expect("reads") == before);
    for args in [&["status"][..], &["mark", "0", "--bad"]] {
        world.unchanged_by(|| world.fractal(args)).refused(1, &["malformed", "executions.db", "move it away"]);
    }
    let said = world.exec("greet", &["crash1"]);
    assert_eq!((said.code, said.err.lines().count()), (Some(3), 2), "{said:#?}");
    assert!(fs::read(world.repo().join(STORE)).expect("reads") == before);
}

#[test]
fn a_run_that_cannot_be_recorded_or_whose_id_cannot_be_written_is_still_the_tools() {
    let world = broken();
    fs::write(world.repo().join(".git/fractal"), "in the way").expect("writes");
    let said = world.unchanged_by(|| world.exec("greet", &["crash1"]));
    assert_eq!((said.code, said.err.lines().count()), (Some(3), 2), "{said:#?}");
    assert!(said.err.contains("this run was not recorded"), "{said:#?}");
    world.unchanged_by(|| world.fractal(&["run"])).refused(1, &[".git/fractal"]);
    fs::remove_file(world.repo().join(".git/fractal")).expect("removes");
    let said = world.fractal(&["exec", "greet", "--id-file", "greet.sh/id", "--", "ann"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), "hello ann\n"), "{said:#?}");
    assert!(said.err.contains("the id was not written") && said.err.contains("greet.sh"), "{said:#?}");
    assert_eq!(runs_recorded(&world), 1);
}

// ---- What else works on the repository ----

#[test]
fn while_another_git_process_holds_the_index_nothing_lands_and_afterwards_it_does() {
    let world = recorded();
    fs::write(world.repo().join(".git/index.lock"), "").expect("writes");
    let head = world.git(&["rev-parse", "main"]);
    let told = world.fractal(&["run"]).ok();
    assert!(told.contains("index.lock"), "{told}");
    assert_eq!((stages(&world), world.git(&["rev-parse", "main"])), (vec!["proposed".to_string()], head));
    fs::remove_file(world.repo().join(".git/index.lock")).expect("removes");
    world.fractal(&["run"]).ok();
    assert_eq!((stages(&world), world.git(&["status", "--porcelain"])), (vec!["watching".to_string()], String::new()));
}

#[test]
fn a_branch_of_somebody_else_in_our_place_is_never_moved() {
    for name in ["fractal", "fractal/greet", "fractal/greet/ID"] {
        let world = recorded();
        let planned = world.fractal(&["run", "--dry-run", "--json"]).json_lines();
        let id = planned.iter().find(|line| line["event"] == "detected").map(|line| word(&line["id"])).expect("detected");
        let branch = name.replace("ID", &id[..8]);
        world.git(&["branch", &branch, "HEAD~1"]);
        let (main, theirs) = (world.git(&["rev-parse", "main"]), world.git(&["rev-parse", &branch]));
        world.fractal(&["run"]).ok();
        let improvement = &improvements(&world)[0];
        assert_eq!(improvement["stage"], "stuck", "{improvement}");
        assert!(word(&improvement["reason"]).contains(&branch), "{improvement}");
        assert_eq!((world.git(&["rev-parse", "main"]), world.git(&["rev-parse", &branch])), (main, theirs));
        world.fractal(&["run"]).ok();
    }
}

// ---- The log ----

/// Points the log at a tree of these files, as somebody else might have written it.
fn foreign_log(world: &World, files: &[(&str, String)]) {
    let index = world.outside("index");
    for (path, content) in files {
        fs::write(world.outside("content"), content).expect("writes");
        let blob = world.git(&["hash-object", "-w", "../content"]);
        let info = format!("100644,{},{path}", blob.trim());
        let mut add = world.command("git");
        world.run(add.args(["update-index", "--add", "--cacheinfo", &info]).env("GIT_INDEX_FILE", &index)).ok();
    }
    let tree = world.run(world.command("git").arg("write-tree").env("GIT_INDEX_FILE", &index)).ok();
    let by = ["-c", "user.name=X", "-c", "user.email=x@x", "commit-tree", "-m", "log", tree.trim()];
    let commit = world.git(&by);
    world.git(&["update-ref", LOG, commit.trim()]);
}

/// Every command that reads the log refuses it, says why, and changes nothing.
#[track_caller]
fn log_is_refused(world: &World, why: &[&str]) {
    for args in [&["run"][..], &["run", "--dry-run"], &["status"], &["log"], &["show", "0"], &["approve", "0"], &["revert", "0"]]
    {
        let said = world.unchanged_by(|| world.fractal(args));
        let parts: Vec<&str> = [LOG, "nothing was changed"].iter().chain(why).copied().collect();
        said.refused(1, &parts);
    }
}

#[test]
fn a_log_that_is_an_ordinary_commit_is_refused() {
    // Without a store, to see that none is made.
    let world = broken();
    world.git(&["update-ref", LOG, "main"]);
    log_is_refused(&world, &["has no `format` file"]);
}

#[test]
fn a_log_that_is_a_blob_is_refused() {
    let world = recorded();
    let blob = world.git(&["rev-parse", "main:greet.sh"]);
    world.git(&["update-ref", LOG, blob.trim()]);
    log_is_refused(&world, &["does not lead to a commit"]);
}

#[test]
fn a_log_of_another_format_is_refused() {
    let world = recorded();
    foreign_log(&world, &[("format", "fractal log 2\n".into())]);
    log_is_refused(&world, &["its format is `fractal log 2`", "reads `fractal log 1`"]);
}

#[test]
fn a_log_with_a_stray_file_is_refused() {
    let world = recorded();
    foreign_log(&world, &[("format", "fractal log 1\n".into()), ("improvements/README", "hi".into())]);
    log_is_refused(&world, &["it holds `improvements/README`"]);
}

/// The only improvement's file in the log.
fn log_file(world: &World) -> (String, String) {
    let path = format!("improvements/{}.jsonl", only(world));
    let content = world.git(&["show", &format!("{LOG}:{path}")]);
    (path, content)
}

#[test]
fn a_log_with_a_damaged_line_is_refused_with_its_place() {
    let world = landed();
    let (path, content) = log_file(&world);
    let mut lines: Vec<&str> = content.lines().collect();
    lines[1] = &lines[1][..lines[1].len() / 2];
    foreign_log(&world, &[("format", "fractal log 1\n".into()), (&path, lines.join("\n") + "\n")]);
    log_is_refused(&world, &[path.strip_prefix("improvements/").expect("a file"), "line 2"]);
}

#[test]
fn a_log_with_events_in_an_impossible_order_is_refused() {
    let world = landed();
    let (path, content) = log_file(&world);
    let mut lines: Vec<&str> = content.lines().collect();
    lines.swap(0, 1);
    foreign_log(&world, &[("format", "fractal log 1\n".into()), (&path, lines.join("\n") + "\n")]);
    log_is_refused(&world, &[&path, "`investigated` cannot follow on stage `new`"]);
}

#[test]
fn a_log_whose_file_is_a_folder_is_refused() {
    let world = recorded();
    foreign_log(&world, &[("format", "fractal log 1\n".into()), ("improvements/00.jsonl/x", "hi".into())]);
    log_is_refused(&world, &["improvements/00.jsonl"]);
}
