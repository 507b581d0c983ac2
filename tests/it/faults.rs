//! What can be wrong outside: every fault ends with a clear message, the documented exit code, and nothing lost or half-written.
//!
//! Deliberately not here: what the loop decides when nothing is wrong.

mod loops;
mod printed;
mod state;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::process::Child;

use fractal::model::{Arg, Execution, Exit, Outcome};
use fractal::world::store::{Query, SqliteStore, Store};
use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};

use crate::common::World;

/// A tool that greets everyone.
const GOOD: &str = "#!/bin/sh\necho \"hello $1\"\n";
/// The same after a commit that broke it for names that begin with `crash`.
const BAD: &str = "#!/bin/sh\ncase \"$1\" in crash*) echo 'boom: no such name' >&2; exit 3;; esac\necho \"hello $1\"\n";
/// Names that the broken tool fails on, then names that it greets.
const NAMES: [&str; 6] = ["crash1", "crash2", "crash3", "ann", "bob", "eve"];
const TOOL: &str = "[[tool]]\nname = \"greet\"\npaths = [\"greet.sh\"]\nrun = [\"sh\", \"greet.sh\"]\neffects = \"none\"\n";
/// Three runs are enough, and what is accepted lands.
const BOLD: &str = "profile = \"development\"\n[validate]\ngood_inputs = 3\nshadow_inputs = 4\nsynthetic_inputs = 4\n[deploy]\nland_reverts = true\n";
const STORE: &str = ".git/fractal/executions.db";
const LOG: &str = "refs/fractal/log";

/// A repository with the tool `greet`, good at first and then broken by a person's commit. Nothing has run yet.
fn broken_with(config: &str) -> World {
    let world = World::empty();
    world.write("fractal.toml", format!("{config}{TOOL}"));
    world.write("greet.sh", GOOD);
    world.commit("greet: the first version");
    world.write("greet.sh", BAD);
    world.commit("greet: look at the name first");
    world
}

fn broken() -> World {
    broken_with(BOLD)
}

/// The broken tool runs for everyone.
fn recorded_with(config: &str) -> World {
    let world = broken_with(config);
    record(&world);
    world
}

fn recorded() -> World {
    recorded_with(BOLD)
}

fn record(world: &World) {
    for name in NAMES {
        let said = world.exec("greet", &[name]);
        assert_eq!(said.code, Some(if name.starts_with("crash") { 3 } else { 0 }), "{said:#?}");
        assert!(!said.err.contains("recorded"), "{said:#?}");
    }
}

/// The same after a cycle that landed the repair, which is now watched.
fn landed() -> World {
    let world = recorded();
    world.fractal(&["run"]).ok();
    assert_eq!(stages(&world), ["watching"]);
    world
}

fn improvements(world: &World) -> Vec<serde_json::Value> {
    world.fractal(&["log", "--json"]).json_lines()
}

fn stages(world: &World) -> Vec<String> {
    improvements(world).iter().map(|one| word(&one["stage"])).collect()
}

/// The id of the only improvement.
fn only(world: &World) -> String {
    let all = improvements(world);
    assert_eq!(all.len(), 1, "{all:?}");
    word(&all[0]["id"])
}

#[track_caller]
fn word(value: &serde_json::Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not text")).to_string()
}

fn runs_recorded(world: &World) -> i64 {
    let store = Connection::open(world.repo().join(STORE)).expect("opens");
    store.query_row("select count(*) from execution", [], |row| row.get(0)).expect("counts")
}

/// The ids of the recorded runs, oldest first.
fn executions(world: &World) -> Vec<String> {
    recorded_runs(world).into_iter().map(|run| run.id.0).collect()
}

/// The recorded runs, oldest first.
fn recorded_runs(world: &World) -> Vec<Execution> {
    let store = SqliteStore::open(&world.repo().join(STORE)).expect("opens");
    let mut runs = store.executions(&Query { limit: 1_000, ..Query::default() }).expect("reads");
    runs.reverse();
    runs
}

fn terminate(child: &Child) {
    kill_process(Pid::from_child(child), Signal::TERM).expect("the child is there");
}

// ---- The repository ----

#[test]
fn outside_of_a_repository_every_command_says_so() {
    let world = World::without_repository();
    for args in
        [&["status"][..], &["run"], &["log"], &["exec", "x"], &["init"], &["mark", "x", "--bad"], &["pause"], &["approve", "x"]]
    {
        world.fractal(args).refused(2, &["is not in a git repository", "`git init`"]);
    }
    world.fractal(&["-C", "/nowhere", "status"]).refused(2, &["`/nowhere` is not in a git repository"]);
    assert_eq!(fs::read_dir(world.repo()).expect("is there").count(), 0);
}

#[test]
fn a_bare_repository_is_refused_and_stays_as_it_is() {
    let world = World::empty();
    world.git(&["init", "-q", "--bare", "../bare.git"]);
    let bare = world.outside("bare.git");
    let world = world.moved_to(bare);
    for args in [&["status"][..], &["run"], &["exec", "x"]] {
        world.unchanged_by(|| world.fractal(args)).refused(2, &["bare repository", "bare.git", "clone it"]);
    }
}

#[test]
fn a_repository_of_an_unknown_format_is_refused() {
    let world = World::without_repository();
    world.git(&["init", "-q", "--object-format=sha256"]);
    world.unchanged_by(|| world.fractal(&["status"])).refused(1, &["a format that Fractal cannot read", "sha256", "SHA-1"]);
    let world = broken();
    let config = fs::read_to_string(world.repo().join(".git/config")).expect("reads");
    let config = config.replace("repositoryformatversion = 0", "repositoryformatversion = 1");
    fs::write(world.repo().join(".git/config"), config + "[extensions]\n\tfromthefuture = true\n").expect("writes");
    for args in [&["run"][..], &["exec", "greet"]] {
        world.fractal(args).refused(1, &["a format that Fractal cannot read", "fromthefuture"]);
    }
}

#[test]
fn a_repository_without_a_commit_is_refused_but_a_declared_tool_runs_and_is_recorded() {
    let world = World::empty();
    world.write("fractal.toml", TOOL);
    world.write("greet.sh", GOOD);
    for args in [&["status"][..], &["run"], &["watch"], &["init"]] {
        world.unchanged_by(|| world.fractal(args)).refused(2, &["no commit yet", "commit something first"]);
    }
    assert_eq!(world.exec("greet", &["ann"]).ok(), "hello ann\n");
    assert_eq!(runs_recorded(&world), 1);
}

#[test]
fn with_a_detached_head_and_no_base_nothing_is_done_but_tools_run() {
    let world = broken();
    world.git(&["checkout", "-q", "--detach"]);
    for args in [&["status"][..], &["run"], &["watch"]] {
        world.unchanged_by(|| world.fractal(args)).refused(2, &["HEAD is detached", "base = \"main\"", "fractal.toml"]);
    }
    assert_eq!(world.exec("greet", &["ann"]).ok(), "hello ann\n");
}

#[test]
fn with_a_detached_head_a_tool_that_is_not_declared_runs_too() {
    let world = broken();
    world.write("farewell.sh", GOOD.replace("hello", "bye"));
    world.commit("farewell: new");
    world.git(&["checkout", "-q", "--detach"]);
    assert_eq!(world.exec("farewell", &["ann"]).ok(), "bye ann\n");
    assert_eq!(runs_recorded(&world), 1);
}

#[test]
fn with_a_detached_head_and_a_base_only_the_ref_moves() {
    let world = recorded_with(&format!("base = \"main\"\n{BOLD}"));
    world.git(&["checkout", "-q", "--detach"]);
    let head = world.git(&["rev-parse", "HEAD"]);
    world.fractal(&["run"]).ok();
    assert_eq!(stages(&world), ["watching"]);
    assert_eq!(world.git(&["show", "main:greet.sh"]), GOOD);
    assert_eq!(world.git(&["rev-parse", "HEAD"]), head);
    assert_eq!(fs::read_to_string(world.repo().join("greet.sh")).expect("reads"), BAD);
    assert_eq!(world.git(&["status", "--porcelain"]), "");
}

#[test]
fn a_base_that_does_not_exist_is_named() {
    let world = broken_with("base = \"mian\"\n");
    world.unchanged_by(|| world.fractal(&["run"])).refused(2, &["the base branch `mian` does not exist", "fractal.toml"]);
}

#[test]
fn a_shallow_clone_is_worked_on_and_the_investigation_remarks_where_history_ends() {
    let origin = broken();
    let from = format!("file://{}", origin.repo().display());
    origin.git(&["clone", "-q", "--depth", "1", &from, "../shallow"]);
    let shallow = origin.outside("shallow");
    let world = origin.moved_to(shallow);
    record(&world);
    world.fractal(&["run"]).ok();
    assert_eq!(stages(&world), ["unsolved"]);
    assert!(world.fractal(&["show", &only(&world)]).ok().contains("history is cut off (a shallow clone)"));
    world.fractal(&["run"]).ok();
    world.git(&["fsck", "--connectivity-only"]);
    assert_eq!(world.git(&["rev-list", "--count", "HEAD"]), "1\n");
}

#[test]
fn without_any_identity_the_bot_commits_as_itself() {
    let world = landed();
    assert!(world.run(world.command("git").args(["config", "user.email"])).code == Some(1), "nobody is configured");
    for commit in ["main", LOG] {
        let who = world.git(&["log", "-1", "--format=%an <%ae>, %cn <%ce>", commit]);
        assert_eq!(who, "Fractal <fractal@localhost>, Fractal <fractal@localhost>\n");
    }
    world.fractal(&["revert", &only(&world)]).ok();
    assert_eq!(stages(&world), ["reverted"]);
    assert_eq!(world.git(&["log", "-1", "--format=%an", "refs/notes/fractal"]), "Fractal\n");
    assert_eq!(world.git(&["status", "--porcelain"]), "");
}

// ---- The configuration ----

#[test]
fn a_wrong_configuration_is_refused_with_its_place_and_what_to_do() {
    let (world, tool) = (broken(), TOOL);
    for (config, parts) in [
        (
            "[detect]\nthreshhold = 0.9\n".to_string(),
            &["line 2, column 1", "unknown field `threshhold`", "did you mean `threshold`"][..],
        ),
        ("[detcet]\n".to_string(), &["line 1", "`detcet`", "did you mean `detect`"]),
        ("profile = \"wild\"\n".to_string(), &["line 1", "`wild`", "`production`"]),
        (format!("{tool}{tool}"), &["tool `greet` is declared twice", "its own `name`"]),
        (format!("{tool}efects = \"none\"\n"), &["line 6", "`efects`", "did you mean `effects`"]),
        ("[detect]\nthreshold = 1.5\n".to_string(), &["`detect.threshold` is 1.5", "between 0 and 1"]),
        ("[detect]\nminimum_failures = -1\n".to_string(), &["line 2", "-1"]),
        ("[detect]\nrecent_hours = 9223372036854775807\n".to_string(), &["`detect.recent_hours`", "at most"]),
        ("[record]\nlimit_kib = 9223372036854775807\n".to_string(), &["`record.limit_kib`", "at most"]),
        ("[validate]\nmemory_mib = 9223372036854775807\n".to_string(), &["`validate.memory_mib`", "at most"]),
        ("[validate]\ncheckout_mib = 9223372036854775807\n".to_string(), &["`validate.checkout_mib`", "at most"]),
        ("[engine]\ninterval = \"0s\"\n".to_string(), &["`engine.interval`", "at least"]),
        ("[validate]\ntime_floor = \"0s\"\n".to_string(), &["`validate.time_floor`", "at least"]),
        ("[engine]\ninterval = \"5 fortnights\"\n".to_string(), &["line 2", "`5 fortnights`", "ms, s, m, h or d"]),
        ("[deploy]\nauthor_name = \"\"\n".to_string(), &["`deploy.author_name`"]),
        (tool.replace("\"greet.sh\"]\nrun", "\"../greet.sh\"]\nrun"), &["tool `greet`", "`../greet.sh` is not a path inside"]),
        (tool.replace("\"greet.sh\"]\nrun", "\"/etc/passwd\"]\nrun"), &["`/etc/passwd` is not a path inside"]),
        (tool.replace("\"greet.sh\"]\nrun", "\".git/hooks\"]\nrun"), &["`.git/hooks` is not a path inside"]),
        (tool.replace("\"greet.sh\"]\nrun", "\"./greet.sh\"]\nrun"), &["`./greet.sh`", "write `greet.sh`"]),
        (tool.replace("\"greet\"", "\"gre et\""), &["gre et"]),
        ("[detect\n".to_string(), &["line 1"]),
    ] {
        world.write("fractal.toml", &config);
        let parts: Vec<&str> = ["fractal.toml"].iter().chain(parts).copied().collect();
        world.unchanged_by(|| {
            for args in [&["run"][..], &["exec", "greet"]] {
                world.fractal(args).refused(2, &parts);
            }
        });
    }
    for args in [&["status"][..], &["watch"], &["config", "--check"], &["log"], &["tools"], &["approve", "x"]] {
        world.unchanged_by(|| world.fractal(args)).refused(2, &["fractal.toml", "line 1"]);
    }
}

#[test]
fn a_configuration_that_is_not_utf8_is_refused_with_its_line() {
    let world = broken();
    world.write("fractal.toml", b"# tools\nbase = \"caf\xe9\"\n");
    for args in [&["run"][..], &["exec", "greet"], &["config"]] {
        world.unchanged_by(|| world.fractal(args)).refused(2, &["fractal.toml", "line 2", "UTF-8"]);
    }
}

#[test]
fn init_never_writes_over_a_configuration_even_a_damaged_one() {
    let world = broken();
    for config in [TOOL, "[[["] {
        world.write("fractal.toml", config);
        world.unchanged_by(|| world.fractal(&["init"])).refused(2, &["fractal.toml` exists already", "fractal init --print"]);
    }
}

// ---- Tools that vanish or hang ----

#[test]
fn a_tool_that_vanished_after_its_runs_were_recorded_is_left_alone() {
    let world = recorded();
    world.git(&["rm", "-q", "greet.sh"]);
    world.commit("greet: nobody needs it");
    let head = world.git(&["rev-parse", "main"]);
    world.fractal(&["run"]).ok();
    assert_eq!((stages(&world).len(), world.git(&["rev-parse", "main"])), (0, head.clone()));
    let status = world.fractal(&["status", "--json"]).json();
    assert_eq!((&status["tools"][0]["tool"], &status["tools"][0]["version"]), (&"greet".into(), &"-".into()));
    let said = world.exec("greet", &["ann"]);
    assert_ne!(said.code, Some(0));
    assert!(said.err.contains("none of the paths of `greet` exist"), "{said:#?}");
    world.write("fractal.toml", BOLD);
    world.commit("greet: no declaration either");
    world.fractal(&["run"]).ok();
    assert_eq!((stages(&world).len(), runs_recorded(&world)), (0, 6));
}

#[test]
fn a_watch_ends_without_a_verdict_when_its_tool_vanishes() {
    for declared in [true, false] {
        let world = landed();
        world.git(&["rm", "-q", "greet.sh"]);
        if !declared {
            world.write("fractal.toml", BOLD);
        }
        world.commit("greet: nobody needs it");
        let head = world.git(&["rev-parse", "main"]);
        world.fractal(&["run"]).ok();
        let improvement = &improvements(&world)[0];
        assert_eq!(improvement["stage"], "inconclusive", "{improvement}");
        let reason = word(&improvement["reason"]);
        assert!(reason.contains(if declared { "changed the tool again" } else { "the tool `greet` is gone" }), "{reason}");
        assert_eq!(world.git(&["rev-parse", "main"]), head, "nothing is reverted");
        assert!(world.git(&["log", "--notes=fractal", "--format=%N", "main"]).contains("inconclusive"));
    }
}

#[test]
fn a_tool_that_never_ends_is_ended_at_its_time_limit_and_recorded_as_a_failure() {
    let world = World::empty();
    world.write("fractal.toml", format!("{TOOL}timeout = \"1s\"\n"));
    world.write("greet.sh", "#!/bin/sh\necho begun\nexec tail -f /dev/null\n");
    world.commit("greet: waits for ever");
    let said = world.exec("greet", &["ann"]);
    assert_eq!((said.code, said.out.as_str()), (Some(124), "begun\n"), "{said:#?}");
    let run = &recorded_runs(&world)[0];
    assert_eq!((&run.exit, run.outcome), (&Exit::TimedOut, Outcome::Failure));
}

#[test]
fn a_trial_that_never_ends_is_bounded_by_the_configured_floor() {
    let world = World::empty();
    world.write("fractal.toml", format!("profile = \"development\"\n[validate]\ntime_floor = \"100ms\"\n{TOOL}"));
    // Trials do not see the variable.
    world.write("greet.sh", "#!/bin/sh\n[ -n \"$QUICK\" ] || exec tail -f /dev/null\necho boom >&2; exit 3\n");
    world.commit("greet: quick only for some");
    for name in NAMES {
        let said = world.run(world.fractal_command().args(["exec", "greet", "--", name]).env("QUICK", "1"));
        assert_eq!(said.code, Some(3), "{said:#?}");
    }
    world.fractal(&["run"]).ok();
    assert_eq!(stages(&world), ["declined"]);
    let shown = world.fractal(&["show", &only(&world)]).ok();
    assert!(shown.contains("failed again on the untouched version"), "{shown}");
    assert_eq!(world.left_behind(), Vec::<PathBuf>::new());
}

// ---- Bytes that are not UTF-8, and bytes that move the cursor ----

#[test]
fn file_names_that_are_not_utf8_do_not_stop_the_loop() {
    let world = World::empty();
    let name = |text: &[u8]| OsString::from_vec(text.to_vec());
    world.write("fractal.toml", format!("{BOLD}{TOOL}"));
    world.write("greet.sh", GOOD);
    world.write(name(b"caf\xe9/m\xfcsli.sh"), GOOD);
    world.commit("greet: the first version");
    // The commit that breaks the tool also changes files that have no name in UTF-8.
    world.write("greet.sh", BAD);
    world.write(name(b"caf\xe9/m\xfcsli.sh"), BAD);
    world.write(name(b"r\xe9sum\xe9.txt"), "x");
    world.commit("greet: look at the name first");
    record(&world);
    world.fractal(&["tools"]).ok();
    world.fractal(&["status"]).ok();
    world.fractal(&["run"]).ok();
    assert_eq!(stages(&world), ["watching"]);
    assert_eq!(world.git(&["show", "main:greet.sh"]), GOOD);
    assert_eq!(world.git(&["status", "--porcelain"]), "");
    assert_eq!(fs::read(world.repo().join(name(b"r\xe9sum\xe9.txt"))).expect("is there"), b"x");
    world.fractal(&["revert", &only(&world)]).ok();
    assert_eq!((stages(&world), world.git(&["show", "main:greet.sh"])), (vec!["reverted".into()], BAD.to_string()));
}

#[test]
fn arguments_and_output_that_are_not_utf8_are_recorded_replayed_and_shown() {
    let world = World::empty();
    let bad = "#!/bin/sh\nprintf 'boom \\377 \\033[31m%s\\n' \"$1\" >&2; exit 3\n";
    world.write("fractal.toml", format!("{BOLD}{TOOL}"));
    world.write("greet.sh", GOOD);
    world.commit("greet: the first version");
    world.write("greet.sh", bad);
    world.commit("greet: break it");
    for last in [0xf1, 0xf2, 0xf3, 0xf4] {
        let bytes = [b'n', 0xff, last];
        let said = world.run(world.fractal_command().args(["exec", "greet", "--"]).arg(OsStr::from_bytes(&bytes)));
        assert_eq!(said.code, Some(3));
    }
    let store = SqliteStore::open(&world.repo().join(STORE)).expect("opens");
    let first = &recorded_runs(&world)[0];
    assert_eq!(first.input.args, [Arg(vec![b'n', 0xff, 0xf1])]);
    assert_eq!(store.stderr(first).expect("reads"), b"boom \xff \x1b[31mn\xff\xf1\n");
    drop(store);
    let told = world.fractal(&["run", "--verbose"]).ok();
    assert!(told.contains("reproduced 1 of 1"), "{told}");
    assert_eq!(stages(&world), ["proposed"], "weak evidence waits for a person: {told}");
    let id = only(&world);
    let shown = world.fractal(&["show", &id]).ok();
    assert!(shown.contains('\u{fffd}'), "{shown}");
    for said in [told, shown, world.fractal(&["status"]).ok(), world.fractal(&["log"]).ok()] {
        assert!(!said.contains('\u{1b}'), "a tool must not write to the reader's terminal: {said:?}");
    }
    world.fractal(&["show", &id, "--json"]).json();
}

// ---- Names that do not exist ----

#[test]
fn an_unknown_tool_is_refused_with_the_nearest_name() {
    let world = broken();
    world.unchanged_by(|| world.exec("graet", &["x"])).refused(2, &["there is no tool `graet`", "did you mean `greet`?"]);
    world.unchanged_by(|| world.exec("zzzzzzzz", &["x"])).refused(2, &["there is no tool `zzzzzzzz`", "`fractal tools`"]);
}

#[test]
fn an_execution_that_does_not_exist_or_is_ambiguous_is_not_marked() {
    let world = broken();
    world.unchanged_by(|| world.fractal(&["mark", "0", "--bad"])).refused(2, &["no execution was ever recorded", "fractal exec"]);
    world.exec("greet", &["ann"]).ok();
    world.unchanged_by(|| world.fractal(&["mark", "", "--bad"])).refused(2, &["no execution ``"]);
    world
        .unchanged_by(|| world.fractal(&["mark", "zz", "--bad"]))
        .refused(2, &["no execution `zz` is recorded", "fractal executions"]);
    world.exec("greet", &["bob"]).ok();
    world.unchanged_by(|| world.fractal(&["mark", "0", "--bad"])).refused(2, &["`0` is the beginning of several", "more of it"]);
    let id = &executions(&world)[0];
    world.unchanged_by(|| world.fractal(&["mark", id, "--bad", "--expect", "none.txt"])).refused(1, &["none.txt"]);
    assert_eq!(world.fractal(&["mark", id, "--bad", "--json"]).json()["execution"], id.as_str());
}

#[test]
fn an_improvement_that_does_not_exist_is_neither_shown_nor_reverted_nor_approved() {
    let world = landed();
    for command in ["show", "revert", "approve"] {
        for id in ["zzzz", ""] {
            let said = world.unchanged_by(|| world.fractal(&[command, id]));
            said.refused(2, &[&format!("no improvement's id begins with `{id}`"), "`fractal log` lists"]);
        }
    }
}

#[test]
fn what_does_not_fit_an_improvements_stage_is_refused() {
    let world = recorded_with("profile = \"development\"\n");
    world.fractal(&["run"]).ok();
    assert_eq!(stages(&world), ["proposed"]);
    let id = only(&world);
    world
        .unchanged_by(|| world.fractal(&["revert", &id]))
        .refused(2, &["is proposed", "only one that is on the base", "fractal log"]);
    world.fractal(&["approve", &id]).ok();
    assert_eq!(stages(&world), ["watching"]);
    world.unchanged_by(|| world.fractal(&["approve", &id])).refused(2, &["is watching", "waits on its branch", "fractal log"]);
    world.fractal(&["revert", &id]).ok();
    assert_eq!(stages(&world), ["reverted"]);
    world.unchanged_by(|| world.fractal(&["revert", &id])).refused(2, &["is reverted", "only one that is on the base"]);
}
