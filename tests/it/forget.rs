//! `fractal forget`: what goes, everywhere, and stays away.

use std::fs;

use fractal::world::store::Store as _;
use rusqlite::Connection;

use crate::fleet::{Fleet, files_below, holds, synced};
use crate::support::{Repository, executable};

const SECRET: &str = "the-plan-of-the-bank";

fn tools(fleet: &Fleet, clone: usize) -> Vec<String> {
    fleet.executions(clone).into_iter().map(|execution| execution.tool).collect()
}

/// Nothing of the text is on a clone's disk in what is ours: store, spool, the exchange's objects.
#[track_caller]
fn is_nowhere_at(fleet: &Fleet, clone: usize, text: &str) {
    let state = fleet.at(clone).join(".git/fractal");
    assert!(!holds(&files_below(&state), text), "clone {clone}: a file");
    if state.join("exchange.git").is_dir() {
        assert!(!holds(&fleet.everything_of(&state.join("exchange.git"), false), text), "clone {clone}: an object");
    }
}

fn is_at_origin(fleet: &Fleet, text: &str) -> bool {
    holds(&fleet.everything_of(&fleet.origin(), true), text)
}

#[test]
fn nothing_goes_without_a_yes_and_what_would_go_is_said() {
    let fleet = Fleet::of(1, "");
    fleet.exec(0, SECRET);
    fleet.exec(0, "x");
    fleet.record(0, "other", &[SECRET.into()]);
    let forget = |args: &[&str]| fleet.fractal(0, &[&["forget"], args].concat());
    forget(&[]).refused(2, &["nothing says which executions to forget", "--tool"]);
    forget(&["--matching", SECRET]).refused(2, &["2 executions (greet 1, other 1) would be forgotten for good", "--yes"]);
    forget(&["--matching", "(", "--yes"]).refused(2, &["no regular expression: unclosed group"]);
    forget(&["--since", "soon", "--yes"]).refused(2, &["invalid value 'soon'", "how long ago"]);
    forget(&["--since", "1h", "--until", "2h", "--yes"]).refused(2, &["no execution can have ended within that time"]);
    forget(&["--until", "2999-01-01", "--yes"]).refused(2, &["no execution can have ended within that time"]);
    forget(&["--id", "ffffffff", "--yes"]).refused(2, &["no execution `ffffffff` is recorded"]);
    forget(&["--tool", "../x", "--yes"]).refused(2, &["only letters, digits"]);
    assert_eq!(forget(&["--tool", "greet", "--dry-run"]).ok(), "would forget 2 executions (greet 2)\n");
    assert_eq!(fleet.executions(0).len(), 3);
    assert!(!fleet.at(0).join(".git/fractal/exchange.git").exists(), "nothing was ever exchanged, and is not now");
}

#[test]
fn a_secret_goes_from_the_store_the_segments_and_every_clone_and_stays_away() {
    let fleet = Fleet::of(3, &synced("segments = 2"));
    for clone in 0..3 {
        fleet.record(clone, "greet", &[format!("{SECRET} {clone}"), format!("harmless {clone}")]);
    }
    for clone in [0, 1, 2, 0, 1] {
        fleet.sync(clone);
    }
    fleet.all_have(3, 6);
    assert!(is_at_origin(&fleet, SECRET));
    let (writer, before) = (fleet.segments().into_keys().next().expect("a writer"), fleet.at(9));
    fleet.git_in(&fleet.origin(), &["clone", "-q", "--mirror", ".", &before.display().to_string()]);
    let said = fleet.fractal(0, &["forget", "--matching", "plan-of-.*bank", "--yes"]).ok();
    for part in
        ["forgot 3 executions (greet 3)", "taken out of the segments at origin", "git gc --prune=now", "on this machine only"]
    {
        assert!(said.contains(part), "{said}");
    }
    // The others' segments are theirs to rewrite; they hear of it at their next exchange.
    for clone in [1, 2, 0, 1, 2] {
        fleet.sync(clone);
    }
    assert!(!is_at_origin(&fleet, SECRET));
    (0..3).for_each(|clone| is_nowhere_at(&fleet, clone, SECRET));
    fleet.all_have(3, 3);
    assert!(!is_at_origin(&fleet, "plan"), "the pattern is not told either");
    // Somebody who was away brings all of it back, under another name.
    let old = fleet.git_in(&before, &["rev-parse", &format!("refs/fractal/executions/{writer}")]);
    fleet.git_in(
        &before,
        &[
            "push",
            "-q",
            &fleet.origin().display().to_string(),
            &format!("{}:refs/fractal/executions/{}", old.trim(), "e".repeat(32)),
        ],
    );
    (0..3).for_each(|clone| drop(fleet.sync(clone)));
    fleet.all_have(3, 3);
    // A newcomer hears of it before reading anything.
    fleet.clone_again("c3");
    fleet.sync(3);
    fleet.all_have(4, 3);
}

#[test]
fn what_waits_on_disk_is_forgotten_too() {
    let fleet = Fleet::of(1, "");
    fleet.exec(0, "first");
    let database = fleet.at(0).join(".git/fractal/executions.db");
    let set_format =
        |format: i64| Connection::open(&database).expect("opens").pragma_update(None, "user_version", format).expect("writes");
    let format: i64 =
        Connection::open(&database).expect("opens").pragma_query_value(None, "user_version", |row| row.get(0)).expect("reads");
    set_format(99);
    fleet.exec(0, SECRET);
    let spool = fleet.at(0).join(".git/fractal/spool");
    fs::write(spool.join("x.unreadable"), format!("half a line with {SECRET}")).expect("writes");
    fs::write(spool.join("y.unreadable"), "half a line").expect("writes");
    set_format(format);
    assert!(fleet.fractal(0, &["forget", "--matching", SECRET, "--yes"]).ok().starts_with("forgot 1 execution (greet 1)\n"));
    is_nowhere_at(&fleet, 0, SECRET);
    assert!(spool.join("y.unreadable").is_file());
    assert_eq!(fleet.executions(0).len(), 1);
}

#[test]
fn a_tool_and_a_time_are_forgotten_by_everyone_and_what_runs_afterwards_is_not() {
    let fleet = Fleet::of(2, &synced(""));
    fleet.record(0, "greet", &["a".into(), "b".into()]);
    fleet.record(0, "other", &["c".into()]);
    // Not sent yet when the others forget.
    fleet.record(1, "greet", &["d".into()]);
    fleet.sync(0);
    let report = fleet.fractal(0, &["forget", "--tool", "greet", "--yes", "--json"]).json();
    assert_eq!(
        (&report["executions"], &report["tools"]["greet"], &report["published"][0]),
        (&2.into(), &2.into(), &"origin".into())
    );
    assert_eq!(fleet.sync(1)["forgotten"], 1);
    fleet.sync(0);
    fleet.all_have(2, 1);
    assert_eq!(tools(&fleet, 1), ["other"]);
    fleet.exec(0, "afterwards");
    fleet.exec(1, "afterwards, too");
    for clone in [0, 1, 0] {
        fleet.sync(clone);
    }
    fleet.all_have(2, 3);
    let id = fleet.executions(0).into_iter().find(|execution| execution.tool == "other").expect("is there").id;
    fleet.fractal(1, &["forget", "--id", &id.0[..23], "--yes"]).ok();
    fleet.sync(0);
    fleet.all_have(2, 2);
    assert_eq!(fleet.store(0).forgotten().expect("reads").ids.len(), 1);
}

#[test]
fn a_remote_that_is_away_or_a_pause_delays_it_there_and_that_is_said() {
    let fleet = Fleet::of(1, &synced(""));
    fleet.record(0, "greet", &[SECRET.into(), "x".into()]);
    fleet.sync(0);
    fs::rename(fleet.origin(), fleet.beside("away.git")).expect("renames");
    let said = fleet.fractal(0, &["forget", "--matching", SECRET, "--yes"]);
    assert!(said.code == Some(1) && said.out.contains("still at origin: `origin` cannot be reached"), "{said:#?}");
    is_nowhere_at(&fleet, 0, SECRET);
    fs::rename(fleet.beside("away.git"), fleet.origin()).expect("renames");
    assert!(is_at_origin(&fleet, SECRET));
    fleet.fractal(0, &["pause"]).ok();
    let said = fleet.fractal(0, &["forget", "--tool", "other", "--yes"]);
    assert!(said.code == Some(1) && said.out.contains("still at origin: Fractal is paused"), "{said:#?}");
    fleet.fractal(0, &["resume"]).ok();
    executable(&fleet.origin().join("hooks/pre-receive"), "#!/bin/sh\nexit 1\n");
    fleet.fractal(0, &["sync"]).refused(1, &["refused the push"]);
    fs::remove_file(fleet.origin().join("hooks/pre-receive")).expect("removes");
    fleet.sync(0);
    assert!(!is_at_origin(&fleet, SECRET));
    is_nowhere_at(&fleet, 0, SECRET);
}

#[test]
fn nobody_can_make_others_refuse_what_is_yet_to_come_and_a_damaged_list_is_skipped() {
    let fleet = Fleet::of(1, &synced(""));
    fleet.exec(0, "1");
    let publish = |writer: &str, forgotten: &[u8]| {
        let blob = |bytes: &[u8]| fleet.object(&["hash-object", "-w", "--stdin"], bytes);
        let (format, forgotten) = (blob(b"fractal executions 1\n"), blob(forgotten));
        let listing = format!("100644 blob {format}\tformat\n100644 blob {forgotten}\tforgotten\n");
        let tree = fleet.object(&["mktree"], listing.as_bytes());
        fleet.point(&writer.repeat(32), &tree, "2026-11-20T00:00:00Z");
    };
    publish("a", b"{\"pattern\":\".*\"}\n");
    publish("b", &vec![b'\n'; 9 << 20]);
    let said = fleet.sync(0)["warnings"].to_string();
    assert!(said.contains("line 1 is not of the form") && said.contains("too large"), "{said}");
    assert_eq!(fleet.executions(0).len(), 1);
    publish("c", b"{\"since\":0,\"until\":9223372036854775807}\n");
    assert_eq!(fleet.sync(0)["forgotten"], 0);
    publish("c", format!("{{\"since\":0,\"until\":{}}}\n", jiff::Timestamp::now().as_millisecond()).as_bytes());
    assert_eq!(fleet.sync(0)["forgotten"], 1);
    fleet.exec(0, "2");
    fleet.sync(0);
    assert_eq!(fleet.executions(0).len(), 1);
}

#[test]
fn improvements_that_quote_it_are_named_because_history_is_not_rewritten() {
    let repository = Repository::landed();
    let said = repository.says(&["forget", "--matching", "ZeroDivisionError", "--yes"]);
    let id = repository.id();
    assert!(said.contains(&format!("quoted by improvement {}", &id[..8])), "{said}");
    repository.assert_clean();
}
