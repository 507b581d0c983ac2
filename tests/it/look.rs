//! Looking at recorded runs: `fractal executions` and `fractal stats`, and what they must never do to a terminal.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use fractal::model::{
    Arg, BlobId, Execution, ExecutionId, Exit, Failure, Fingerprint, Input, Mark, NewExecution, Outcome, Version,
};
use fractal::record::lines::Line;
use fractal::world::store::{HourSummary, Query, SqliteStore, Store, VersionSummary};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::Value;

use crate::common::{World, ended, patiently};

const TOOL: &str = "[[tool]]\nname = \"greet\"\npaths = [\"greet.sh\"]\nrun = [\"sh\", \"greet.sh\"]\neffects = \"none\"\n";

/// A tool that says hello to `$1`, and fails for `bad`.
fn world() -> World {
    let world = World::empty();
    world.write("fractal.toml", TOOL);
    world.write("greet.sh", "echo hello $1; cat >&2; test \"$1\" != bad\n");
    world.commit("greet people");
    world
}

fn database(world: &World) -> PathBuf {
    world.repo().join(".git/fractal/executions.db")
}

fn store(world: &World) -> SqliteStore {
    fs::create_dir_all(world.repo().join(".git/fractal")).expect("makes the folder");
    SqliteStore::open(&database(world)).expect("opens")
}

fn ids(world: &World, args: &[&str]) -> Vec<String> {
    let lines = world.fractal(&[&["executions", "--json"], args].concat()).json_lines();
    lines.iter().map(|line| line["id"].as_str().expect("an id").to_string()).collect()
}

/// A run with everything given; its identity ends in that millisecond.
fn execution(tool: &str, version: &str, ended: i64, n: u64, outcome: Outcome) -> NewExecution {
    let at = Timestamp::from_millisecond(ended - 5).expect("valid");
    let exit = Exit::Code(i32::from(outcome != Outcome::Success));
    let stdout = format!("answer {n}\n").into_bytes();
    let execution = Execution {
        id: ExecutionId::derived(Timestamp::from_millisecond(ended).expect("valid"), &[&n.to_le_bytes(), tool.as_bytes()]),
        tool: tool.into(),
        version: Version(version.into()),
        at,
        duration: Duration::from_micros(5_000 + n),
        input: Input { args: vec![Arg::from(n.to_string().as_str())], stdin: None, cwd: None, truncated: false, withheld: None },
        failure: (outcome == Outcome::Failure).then(|| Failure::new(&exit, Some("KeyError".into()), "KeyError: 'x'", vec![])),
        exit,
        outcome,
        stdout: Some(BlobId::of(&stdout)),
        stderr: None,
        caller: "exec".into(),
        mark: None,
    };
    NewExecution { execution, stdin: None, stdout: Some(stdout), stderr: None, expected: None }
}

fn milliseconds_ago(milliseconds: i64) -> i64 {
    Timestamp::now().as_millisecond() - milliseconds
}

// ---- the list ----

#[test]
fn the_list_is_newest_first_and_every_filter_narrows_it() {
    let world = world();
    for name in ["ann", "bad", "bob"] {
        world.exec("greet", &[name]);
    }
    world.run(world.fractal_command().env("FRACTAL_CALLER", "ci").args(["exec", "greet", "--", "carl"])).ok();
    let listed = world.fractal(&["executions", "--json"]).json_lines();
    let names: Vec<&Value> = listed.iter().map(|line| &line["args"][0]).collect();
    assert_eq!(names, ["carl", "bob", "bad", "ann"]);
    let of = |args: &[&str]| ids(&world, args).len();
    let (version, like) =
        (listed[0]["version"].as_str().expect("text"), listed[2]["failure"]["fingerprint"].as_str().expect("text"));
    assert_eq!(of(&["greet", "-n", "2"]), 2);
    assert_eq!((of(&["--outcome", "failure"]), of(&["--outcome", "success"]), of(&["--outcome", "error"])), (1, 3, 0));
    assert_eq!((of(&["--version", &version[..6]]), of(&["--like", like]), of(&["--caller", "ci"])), (4, 1, 1));
    assert_eq!(
        (of(&["--since", "1h"]), of(&["--until", "1h"]), of(&["--since", "2000-01-01", "--until", "2001-01-01"])),
        (4, 0, 0)
    );
    let table = world.fractal(&["executions"]).ok();
    let columns: Vec<&str> = table.lines().next().expect("a head").split_whitespace().collect();
    assert_eq!(columns, ["id", "when", "tool", "version", "outcome", "exit", "took", "failure", "input"]);
    assert_eq!(table.lines().count(), 5);
    // Every id of the table can be used.
    for line in table.lines().skip(1) {
        world.fractal(&["executions", "show", line.split_whitespace().next().expect("an id")]).ok();
    }
    // A line of the list is not all of a run, and cannot be taken for one.
    assert!(Line::parse(&listed[0].to_string()).is_err());
}

#[test]
fn a_wrong_call_names_the_next_step() {
    let world = world();
    let said = world.fractal(&["executions"]).ok();
    assert!(said.contains("fractal exec TOOL"), "{said}");
    assert!(world.fractal(&["stats", "greet"]).ok().contains("`fractal exec greet -- ARGS…` records one"));
    world.exec("greet", &["ann"]).ok();
    store(&world).record(&execution("imported-tool", "unknown", milliseconds_ago(10), 1, Outcome::Success)).expect("stores");
    for command in ["executions", "stats"] {
        world.fractal(&[command, "greeet"]).refused(2, &["no tool `greeet`", "did you mean `greet`?"]);
        world.fractal(&[command, "importd-tool"]).refused(2, &["did you mean `imported-tool`?"]);
    }
    let id = &ids(&world, &["greet"])[0];
    world.fractal(&["executions", &id[..13]]).refused(2, &[&format!("`fractal executions show {}`", &id[..13])]);
    world.fractal(&["executions", "show", "zz"]).refused(2, &["no execution `zz`", "`fractal executions` lists"]);
    world.fractal(&["executions", "--version", "zz"]).refused(2, &["no recorded run has a version", "fractal stats"]);
    world.fractal(&["executions", "--like", "zz"]).refused(2, &["`zz` is no fingerprint"]);
    world.fractal(&["executions", "--since", "yesterday"]).refused(2, &["2026-03-01", "90m, 2h, 7d"]);
}

// ---- one run ----

#[test]
fn bytes_come_out_as_they_went_in() {
    let world = world();
    let input = b"\x1b[2J\0\xff\nlast".to_vec();
    fs::write(world.outside("input"), &input).expect("writes");
    let stdin = fs::File::open(world.outside("input")).expect("opens");
    world.run(world.fractal_command().args(["exec", "greet", "--", "ann"]).stdin(stdin)).ok();
    let id = ids(&world, &[]).remove(0);
    for (what, wanted) in [("stdin", &input[..]), ("stderr", &input), ("stdout", b"hello ann\n")] {
        let output = world.fractal_command().args(["executions", "show", &id, "--raw", what]).output().expect("runs");
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), wanted), "{what}");
    }
    world.fractal(&["executions", "show", &id, "--raw", "expected"]).refused(2, &["fractal mark"]);
    let shown = world.fractal(&["executions", "show", &id]).ok();
    assert!(shown.contains("00000000  1b 5b 32 4a 00 ff 0a"), "{shown}");
    let json = world.fractal(&["executions", "show", &id, "--json"]).json();
    let line = Line::parse(&json.to_string()).expect("a line of an export").restore();
    assert_eq!((line.stdin.as_deref(), line.stderr.as_deref()), (Some(&input[..]), Some(&input[..])));
}

#[test]
fn a_marked_run_shows_how_the_answer_differs() {
    let world = world();
    world.exec("greet", &["ann"]).ok();
    let id = ids(&world, &[]).remove(0);
    let wanted = world.outside("wanted");
    fs::write(&wanted, "hello Ann\n").expect("writes");
    world.fractal(&["mark", &id, "--bad", "--expect", wanted.to_str().expect("UTF-8")]).ok();
    let shown = world.fractal(&["executions", "show", &id]).ok();
    assert!(shown.contains("-hello ann\n  +hello Ann"), "{shown}");
    // Nothing was expected at all, which is something else than not having said.
    world.exec("greet", &["bob"]).ok();
    let id = ids(&world, &[]).remove(0);
    fs::write(&wanted, "").expect("writes");
    world.fractal(&["mark", &id, "--bad", "--expect", wanted.to_str().expect("UTF-8")]).ok();
    let json = world.fractal(&["executions", "show", &id, "--json"]).json();
    assert_eq!(json["expected"], "");
}

#[test]
fn what_is_not_kept_is_said_to_be_not_kept() {
    for (capture, wanted) in [("digest", "not kept, digest"), ("none", "not recorded")] {
        let world = world();
        world.write("fractal.toml", format!("{TOOL}capture = \"{capture}\"\n"));
        world.exec("greet", &["ann"]).ok();
        let id = ids(&world, &[]).remove(0);
        let shown = world.fractal(&["executions", "show", &id]).ok();
        assert!(shown.contains(wanted) && !shown.contains("ann") && !shown.contains("run it again"), "{shown}");
        world.fractal(&["executions", "show", &id, "--raw", "stdout"]).refused(2, &["was not kept", "capture"]);
    }
}

#[test]
fn a_shell_that_gets_the_shown_command_runs_the_same() {
    let world = world();
    let argument = "it's $HOME\t\u{1b}[2J\u{202e}";
    let said = world.exec("greet", &[argument]).ok();
    let id = ids(&world, &[]).remove(0);
    let shown = world.fractal(&["executions", "show", &id]).ok();
    let command = shown.lines().find_map(|line| line.trim().strip_prefix("command")).expect("a command").trim();
    assert_eq!(world.run(world.command("bash").args(["-c", command])).ok(), said);
}

// ---- the terminal ----

/// Everything that may steer one, in every place that recorded text comes from.
fn hostile() -> NewExecution {
    let evil = "\u{1b}[2J\u{9b}31m\u{7}\u{7f}\u{202e}x\r";
    let mut new = execution("greet", "1234567890", milliseconds_ago(1_000), 7, Outcome::Failure);
    let bytes = || Some(format!("{evil}\n{evil}").into_bytes());
    (new.stdin, new.stdout, new.stderr, new.expected) = (bytes(), bytes(), bytes(), Some(b"\x1b[H".to_vec()));
    let run = &mut new.execution;
    let blob = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(BlobId::of);
    run.input.args = vec![Arg::from(evil), Arg(b"\xff\x1b]0;title\x07".to_vec())];
    (run.input.stdin, run.stdout, run.stderr) = (blob(&new.stdin), blob(&new.stdout), blob(&new.stderr));
    run.mark = Some(Mark { expected: blob(&new.expected) });
    run.input.cwd = Some(evil.into());
    (run.caller, run.version) = (evil.into(), Version(evil.into()));
    run.exit = Exit::NotStarted(evil.into());
    run.failure = Some(Failure {
        fingerprint: Fingerprint::known(format!("f1-{evil}")),
        class: evil.into(),
        message: evil.into(),
        frames: vec![fractal::model::Frame { path: evil.into(), function: Some(evil.into()), line: 1, in_repo: false }],
    });
    new
}

#[test]
fn nothing_recorded_steers_a_terminal() {
    let world = world();
    store(&world).record(&hostile()).expect("stores");
    let id = ids(&world, &[]).remove(0);
    let calls: [&[&str]; 9] = [
        &["executions"],
        &["executions", "--json"],
        &["executions", "show", &id],
        &["executions", "show", &id, "--json"],
        &["executions", "export"],
        &["executions", "export", "--format", "csv"],
        &["stats"],
        &["stats", "greet"],
        &["stats", "greet", "--json"],
    ];
    // On a terminal, so that what is for terminals only is seen too. The only escapes are colours of ours.
    const SCREEN: &str =
        "import os, pty, sys\nos.environ['NO_COLOR'] = '1'\nsys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    for call in calls {
        let program = env!("CARGO_BIN_EXE_fractal");
        let said = world.run(world.command("python3").args(["-c", SCREEN, program]).args(call)).ok();
        let steering: Vec<char> = said.chars().filter(|c| fractal::model::steers(*c) && !"\r\n".contains(*c)).collect();
        assert!(said.len() > 20 && steering.is_empty(), "{call:?}: {steering:?} in {said}");
        // Returns come from the terminal, and from CSV: right before an end of line, and nowhere else.
        assert!(!said.replace("\r\r\n", "\n").replace("\r\n", "\n").contains('\r'), "{call:?}: {said}");
    }
}

#[test]
fn pictures_are_plain_in_a_pipe_and_ascii_where_the_terminal_is() {
    let world = world();
    for hour in 0..6 {
        let runs: Vec<_> = (0..9)
            .map(|n| {
                execution(
                    "greet",
                    "v1",
                    milliseconds_ago(hour * 3_600_000 + n),
                    n as u64,
                    if n < hour { Outcome::Failure } else { Outcome::Success },
                )
            })
            .collect();
        store(&world).record_all(&runs).expect("stores");
    }
    let drawn = world.fractal(&["stats", "greet"]).ok();
    assert!(drawn.contains('█') && drawn.contains('⣀') && !drawn.contains('\u{1b}'), "{drawn}");
    let run =
        |variable: &str, value: &str, args: &[&str]| world.run(world.fractal_command().env(variable, value).args(args)).ok();
    assert!(run("LANG", "C", &["stats", "greet"]).is_ascii() && run("LC_ALL", "POSIX", &["stats"]).is_ascii());
    assert!(run("LANG", "C.UTF-8", &["stats", "greet"]).contains('█'));
    assert!(
        world
            .fractal(&["stats", "greet", "--ascii", "--width", "60"])
            .ok()
            .lines()
            .all(|line| line.is_ascii() && line.len() <= 60)
    );
    let json = world.fractal(&["stats", "greet", "--json"]).json();
    assert_eq!(
        (json["runs"].as_u64(), json["failures"].as_u64(), json["versions"][0]["runs"].as_u64()),
        (Some(54), Some(15), Some(54))
    );
    assert!(json["hours"].as_array().expect("hours").len() >= 6);
    assert_eq!(world.fractal(&["stats", "--json"]).json_lines()[0]["failures_24h"], 15);
}

#[test]
fn versions_are_told_with_the_commits_that_made_them() {
    let world = world();
    world.exec("greet", &["ann"]).ok();
    world.write("greet.sh", "echo good day $1; test \"$1\" != bad\n");
    world.commit("be polite");
    world.exec("greet", &["ann"]).ok();
    let json = world.fractal(&["stats", "greet", "--json"]).json();
    let summaries: Vec<&Value> =
        json["versions"].as_array().expect("versions").iter().map(|version| &version["summary"]).collect();
    assert_eq!(summaries, ["greet people", "be polite"]);
    assert!(world.fractal(&["stats", "greet"]).ok().contains("be polite"));
}

// ---- following ----

/// `fractal executions --follow`, and its lines.
fn follow(world: &World, args: &[&str]) -> (Child, std::io::Lines<BufReader<ChildStdout>>) {
    let mut child = world.fractal_command().args(["executions", "--follow"]).args(args).spawn().expect("starts");
    let lines = BufReader::new(child.stdout.take().expect("has an output")).lines();
    (child, lines)
}

fn next_line(mut lines: std::io::Lines<BufReader<ChildStdout>>) -> (String, std::io::Lines<BufReader<ChildStdout>>) {
    patiently(move || (lines.next().expect("a line").expect("reads"), lines))
}

#[test]
fn following_shows_what_was_there_and_each_new_run_and_ends_when_interrupted() {
    let world = world();
    world.exec("greet", &["old"]).ok();
    let (child, lines) = follow(&world, &["--json", "greet"]);
    let (first, lines) = next_line(lines);
    assert!(first.contains("\"old\""), "{first}");
    let at = milliseconds_ago(0);
    // The one that ended first is stored last: it is new all the same, and shown once.
    store(&world).record(&execution("greet", "v", at, 2, Outcome::Success)).expect("stores");
    let (second, lines) = next_line(lines);
    store(&world).record(&execution("greet", "v", at - 2_000, 1, Outcome::Success)).expect("stores");
    let (third, lines) = next_line(lines);
    // What arrives with an old time, and what is filtered out, is not shown.
    store(&world).record(&execution("greet", "v", at - 3_600_000, 3, Outcome::Success)).expect("stores");
    store(&world).record(&execution("other", "v", milliseconds_ago(0), 4, Outcome::Success)).expect("stores");
    world.exec("greet", &["new"]).ok();
    let (fourth, lines) = next_line(lines);
    let args = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["args"][0].clone();
    assert_eq!([args(&second), args(&third), args(&fourth)], ["2", "1", "new"]);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("may signal it");
    let said = ended(child);
    assert_eq!((said.code, said.err.as_str(), lines.count()), (Some(0), "", 0));
}

#[test]
fn following_begins_before_anything_was_recorded_and_ends_when_nobody_reads() {
    let world = world();
    let (child, lines) = follow(&world, &[]);
    let (head, lines) = next_line(lines);
    assert!(head.starts_with("id "), "{head}");
    world.exec("greet", &["ann"]).ok();
    let (line, lines) = next_line(lines);
    assert!(line.contains("success") && line.ends_with("ann"), "{line}");
    drop(lines);
    // Nothing is printed any more, and it ends all the same.
    assert_eq!(ended(child).code, Some(0));
}

// ---- exports ----

/// What the rollups of a store tell.
type Told = (Vec<VersionSummary>, BTreeMap<String, Vec<HourSummary>>, Vec<String>);

fn told(store: &mut SqliteStore) -> Told {
    let versions = store.versions(None, Timestamp::UNIX_EPOCH).expect("reads");
    let mut tools: Vec<String> = versions.iter().map(|summary| summary.tool.clone()).collect();
    tools.dedup();
    store.settle(&tools).expect("settles");
    let mut hours = BTreeMap::new();
    let mut failures = Vec::new();
    for VersionSummary { tool, version, .. } in &versions {
        hours.insert(format!("{tool} {version}"), store.hours(tool, version, Timestamp::UNIX_EPOCH).expect("reads"));
        failures.push(format!("{:?}", store.failing_inputs(tool, version, Timestamp::UNIX_EPOCH).expect("reads")));
    }
    (versions, hours, failures)
}

fn all(store: &SqliteStore) -> Vec<NewExecution> {
    let runs = store.executions(&Query { limit: usize::MAX, ..Query::default() }).expect("reads");
    runs.into_iter().map(|run| store.whole(run).expect("reads")).collect()
}

/// Many runs that end in few milliseconds, so that pages end in the middle of one.
fn crowded(world: &World) {
    let at = milliseconds_ago(100_000);
    let outcomes = [Outcome::Success, Outcome::Failure, Outcome::Success, Outcome::Error];
    let run = |n: u64| {
        let (tool, version) = (["a", "b", "c"][n as usize % 3], ["v1", "v2"][n as usize % 2]);
        execution(tool, version, at + n as i64 % 4, n, outcomes[n as usize % 4])
    };
    let runs: Vec<NewExecution> = (0..2_500).map(run).chain([hostile()]).collect();
    store(world).record_all(&runs).expect("stores");
}

#[test]
fn an_export_has_every_run_once_and_makes_the_same_store() {
    let world = world();
    crowded(&world);
    world.exec("greet", &["bad"]);
    world.exec("greet", &["ann"]).ok();
    let id = ids(&world, &["greet", "-n", "1"]).remove(0);
    world.fractal(&["mark", &id, "--bad"]).ok();
    let exported = world.fractal(&["executions", "export"]).ok();
    let restored: Vec<NewExecution> = exported.lines().map(|line| Line::parse(line).expect("a line").restore()).collect();
    let mut original = store(&world);
    assert_eq!(restored, all(&original));
    let mut copy = SqliteStore::in_memory().expect("opens");
    for batch in restored.chunks(700) {
        copy.record_all(batch).expect("stores");
    }
    assert_eq!(all(&copy), all(&original));
    assert_eq!(told(&mut copy), told(&mut original));
    assert_eq!(world.fractal(&["executions", "export", "-n", "1500"]).ok().lines().count(), 1_500);
    assert_eq!(ids(&world, &["-n", "2400"]).len(), 2_400);
}

#[test]
fn python_reads_the_csv_as_it_was_meant() {
    let world = world();
    crowded(&world);
    let mut formula = execution("a", "v1", milliseconds_ago(5), 9_999, Outcome::Failure);
    formula.execution.caller = "=cmd()".into();
    formula.execution.failure = Some(Failure {
        class: "a \"quoted\", class".into(),
        message: "two\nlines".into(),
        ..formula.execution.failure.expect("failed")
    });
    store(&world).record(&formula).expect("stores");
    let file = world.outside("runs.csv");
    world.fractal(&["executions", "export", "-o", file.to_str().expect("UTF-8")]).ok();
    const READ: &str =
        "import csv, json, sys\nprint(json.dumps(list(csv.DictReader(open(sys.argv[1], newline='', encoding='utf-8')))))";
    let rows = world.run(world.command("python3").args(["-c", READ]).arg(&file)).json();
    let rows = rows.as_array().expect("rows");
    let runs = store(&world).executions(&Query { limit: usize::MAX, ..Query::default() }).expect("reads");
    assert_eq!(rows.len(), runs.len());
    let unlike_a_formula =
        |text: &str| if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.into() };
    for (row, run) in rows.iter().zip(&runs) {
        let failure = run.failure.as_ref();
        let wanted = [
            ("id", run.id.0.clone()),
            ("tool", run.tool.clone()),
            ("at", run.at.to_string()),
            ("ended", run.id.ended().to_string()),
            ("duration_ms", (run.duration.as_micros() as f64 / 1e3).to_string()),
            ("outcome", format!("{:?}", run.outcome).to_lowercase()),
            ("class", unlike_a_formula(failure.map_or("", |failure| &failure.class))),
            ("message", unlike_a_formula(failure.map_or("", |failure| &failure.message))),
            ("caller", unlike_a_formula(&run.caller)),
            ("cwd", unlike_a_formula(run.input.cwd.as_deref().unwrap_or_default())),
            ("args", serde_json::to_string(&run.input.args).expect("JSON")),
            ("marked", run.mark.is_some().to_string()),
        ];
        for (column, wanted) in wanted {
            assert_eq!(row[column].as_str(), Some(wanted.as_str()), "{column} of {row}");
        }
    }
    assert_eq!((rows[0]["caller"].as_str(), rows[0]["message"].as_str()), (Some("'=cmd()"), Some("two\nlines")));
}

#[test]
fn a_file_is_replaced_whole_or_not_at_all() {
    let world = world();
    crowded(&world);
    let (folder, file) = (world.outside("out"), world.outside("out/runs.jsonl"));
    fs::create_dir(&folder).expect("makes a folder");
    fs::write(&file, "before").expect("writes");
    let export = |to: &str| world.fractal(&["executions", "export", "a", "-o", to]);
    export("/nowhere/at/all").refused(1, &["writing `/nowhere/at/all`"]);
    let path = file.to_str().expect("UTF-8");
    world.fractal(&["executions", "export", "a", "--version", "zz", "-o", path]).refused(2, &["version"]);
    assert_eq!(fs::read_to_string(&file).expect("reads"), "before");
    assert!(export(path).ok().contains("wrote 834 executions"));
    assert_eq!(fs::read_to_string(&file).expect("reads").lines().count(), 834);
    assert_eq!(fs::read_dir(&folder).expect("is there").count(), 1, "nothing is left beside it");
    // A device stays one.
    export("/dev/null").ok();
    assert!(!fs::metadata("/dev/null").expect("is there").is_file());
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("opens");
    let said = world.run(world.fractal_command().args(["executions", "export"]).stdout(full));
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.err.contains("writing the export: No space left"), "{said:#?}");
}

#[test]
fn an_export_that_nobody_reads_on_ends_quietly() {
    let world = world();
    crowded(&world);
    let mut child = world.fractal_command().args(["executions", "export"]).stdout(Stdio::piped()).spawn().expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("has an output")).lines();
    lines.next().expect("a line").expect("reads");
    drop(lines);
    let said = ended(child);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// Pages by identity against all at once.
    #[test]
    fn pages_neither_skip_nor_repeat(
        raw in prop::collection::vec((0i64..6, 0usize..3, 0usize..3), 0..60), size in 1usize..8, since in 0i64..8, tool in 0usize..4,
    ) {
        const TOOLS: [&str; 3] = ["a", "b", "c"];
        let mut store = SqliteStore::in_memory().expect("opens");
        let runs: Vec<NewExecution> = raw.iter().enumerate().map(|(n, (ended, tool, version))| {
            let mut new = execution(TOOLS[*tool], ["v1", "v2", "v3"][*version], 1_000_000 + ended, n as u64, Outcome::Success);
            // Some ran long: they ended late and started early.
            new.execution.at = Timestamp::from_millisecond(1_000_000 + ended - (n as i64 % 5)).expect("valid");
            new
        }).collect();
        store.record_all(&runs).expect("stores");
        let since = Timestamp::from_millisecond(1_000_000 + since - 2).expect("valid");
        let query = Query { tool: TOOLS.get(tool).copied(), since, limit: size, ..Query::default() };
        let mut wanted: Vec<ExecutionId> = runs.iter().map(|new| &new.execution)
            .filter(|run| run.at >= since && query.tool.is_none_or(|tool| run.tool == tool)).map(|run| run.id.clone()).collect();
        wanted.sort_by(|a, b| b.cmp(a));
        let mut found: Vec<ExecutionId> = Vec::new();
        loop {
            let page = store.executions(&Query { before: found.last(), ..query.clone() }).expect("reads");
            found.extend(page.iter().map(|run| run.id.clone()));
            if page.len() < size {
                break;
            }
        }
        prop_assert_eq!(&found, &wanted);
        if let Some(middle) = wanted.get(wanted.len() / 2) {
            let later = store.executions(&Query { after: Some(middle), limit: usize::MAX, ..query }).expect("reads");
            let later: Vec<&ExecutionId> = later.iter().map(|run| &run.id).collect();
            prop_assert_eq!(later, wanted[..wanted.len() / 2].iter().collect::<Vec<_>>());
        }
    }
}
