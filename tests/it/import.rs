//! `fractal import`: JSON lines, and what holds for every format.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use fractal::model::{Execution, Outcome};
use fractal::world::store::{Query, SqliteStore, Store};
use jiff::Timestamp;

use crate::common::{PATIENCE, Said, World, ended};
use crate::peers;

const TOOL: &str =
    "[[tool]]\nname = \"greet\"\npaths = [\"greet.sh\"]\nrun = [\"sh\", \"greet.sh\"]\nsuccess = { exit = [0, 3] }\n";

/// A repository with one tool.
pub fn world(config: &str) -> World {
    let world = World::empty();
    world.write("fractal.toml", format!("{config}{TOOL}"));
    world.write("greet.sh", "echo hello $1\n");
    world.commit("greet");
    world
}

/// A file of `tests/data`.
pub fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// `fractal import`
pub fn import(world: &World, args: &[&str]) -> Said {
    world.run(world.fractal_command().arg("import").args(args))
}

/// The same from standard input.
pub fn piped(world: &World, args: &[&str], content: &[u8]) -> Said {
    let mut command = world.fractal_command();
    let mut child = command.arg("import").args(args).arg("-").stdin(Stdio::piped()).spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("is a pipe");
    // Who refuses the beginning does not read the end.
    let _ = stdin.write_all(content);
    drop(stdin);
    ended(child)
}

fn store(world: &World) -> SqliteStore {
    SqliteStore::open(&world.repo().join(".git/fractal/executions.db")).expect("opens")
}

/// The recorded runs, oldest first.
pub fn recorded(world: &World) -> Vec<Execution> {
    let mut runs = store(world).executions(&Query { limit: 100_000, ..Query::default() }).expect("reads");
    runs.reverse();
    runs
}

/// What the loop sees: executions, versions, failures, hours.
pub fn seen(world: &World) -> BTreeMap<String, String> {
    let store = store(world);
    let mut seen = BTreeMap::new();
    let since = Timestamp::UNIX_EPOCH;
    for execution in recorded(world) {
        let key = format!("{} {} {}", execution.tool, execution.version, execution.id);
        let stderr = store.stderr(&execution).expect("reads");
        seen.insert(key, format!("{execution:?} {stderr:?}"));
    }
    for version in store.versions(None, since).expect("reads") {
        let of = (version.tool.clone(), version.version.clone());
        let failures = store.failures(&of.0, &of.1, since, since).expect("reads");
        let hours = store.hours(&of.0, &of.1, since).expect("reads");
        let inputs = store.failing_inputs(&of.0, &of.1, since).expect("reads");
        seen.insert(format!("{} {}", of.0, of.1), format!("{version:?} {failures:?} {hours:?} {inputs:?}"));
    }
    seen
}

fn line(number: usize) -> String {
    format!(
        "{{\"tool\":\"greet\",\"at\":{},\"exit\":{},\"args\":[\"{}\"]}}\n",
        1_790_000_000_000_u64 + number as u64,
        number % 5,
        number % 7
    )
}

#[test]
fn lines_become_executions_by_the_rules_of_the_repository_and_a_second_time_nothing_changes() {
    let world = world("[record]\ncapture = \"digest\"\n");
    let text: String = (0..100).map(line).collect();
    world.write("runs.jsonl", &text);
    let said = import(&world, &["runs.jsonl"]).ok();
    assert_eq!(said, "runs.jsonl: 100 runs (JSON lines): 100 new\n");
    let runs = recorded(&world);
    // Exit codes 0 and 3 of five are successes; the level keeps no input.
    assert_eq!(runs.iter().filter(|run| run.outcome == Outcome::Failure).count(), 60);
    assert!(runs.iter().all(|run| run.input.withheld.is_some() && run.version.0 == "unknown" && run.caller == "import"));
    let before = seen(&world);
    let again = piped(&world, &["--json"], text.as_bytes()).json();
    assert_eq!((again["runs"].as_u64(), again["new"].as_u64(), again["known"].as_u64()), (Some(100), Some(0), Some(100)));
    assert_eq!(seen(&world), before);
}

#[test]
fn what_a_line_leaves_open_is_said_on_the_command_line() {
    let world = world("");
    let commit = world.git(&["rev-parse", "HEAD"]);
    let listing = "git ls-tree -r -z --full-tree HEAD greet.sh | git hash-object --stdin";
    let version = world.run(world.command("sh").args(["-c", listing])).ok();
    world.write("greet.sh", "echo changed\n");
    let other = "{\"tool\":\"other\",\"at\":0,\"exit\":0}\n{\"tool\":\"greet\",\"at\":0,\"exit\":0,\"version\":\"v1\",\"caller\":\"me\"}\n";
    let said = piped(&world, &["--version", "HEAD", "--caller", "nightly"], format!("{}{other}", line(1)).as_bytes());
    said.ok();
    let mut known: Vec<String> =
        recorded(&world).iter().map(|run| format!("{} {} {}", run.tool, run.version, run.caller)).collect();
    known.sort();
    let expected =
        ["greet v1 me".to_string(), format!("greet {} nightly", version.trim()), format!("other {} nightly", commit.trim())];
    let mut expected = expected.to_vec();
    expected.sort();
    assert_eq!(known, expected);
}

#[test]
fn a_bad_line_stops_the_import_after_what_was_before_it_and_mending_it_stores_nothing_twice() {
    let world = world("");
    for (bad, wanted) in [
        ("{\"tool\":\"greet\",\"at\":0,\"exit\":0,\"argv\":[]}", "column 38: unknown field `argv`"),
        ("{\"tool\":\"greet\",\"at\":0,", "column 23: EOF while parsing"),
        ("[1]", "column"),
        ("{\"tool\":\"greet\",\"at\":\"now\",\"exit\":0}", "`at`"),
        ("{\"tool\":\"../x\",\"at\":0,\"exit\":0}", "cannot name a tool"),
        ("{\"v\":7,\"tool\":\"greet\",\"at\":0,\"exit\":0}", "form 7 of an execution"),
        ("{\"tool\":\"greet\",\"at\":0}", "neither `exit` nor `outcome`"),
        ("{\"tool\":\"gr\0eet\",\"at\":0,\"exit\":0}", "control character"),
        ("\u{1b}[31m{", "expected value"),
    ] {
        world.write("runs.jsonl", format!("{}\n{}{bad}\n{}", line(1), line(2), line(3)));
        let said = import(&world, &["runs.jsonl"]);
        assert!(!said.err.contains('\u{1b}'), "{said:#?}");
        said.refused(2, &["error: runs.jsonl:4: ", wanted, "the 2 runs before it are stored", "stores nothing twice"]);
    }
    assert_eq!(recorded(&world).len(), 2);
    world.write("runs.jsonl", (1..4).map(line).collect::<String>());
    assert!(import(&world, &["runs.jsonl"]).ok().ends_with("1 new, 2 known before\n"));
}

#[test]
fn bad_lines_can_be_left_out_and_are_counted() {
    let world = world("");
    let mut bytes = b"\xef\xbb\xbf".to_vec();
    bytes.extend(line(1).bytes());
    bytes.extend(b"not json\n\xff\xfe\n\r\n");
    bytes.extend(line(2).trim_end().bytes());
    let said = piped(&world, &["--skip-bad"], &bytes);
    assert!(said.err.contains("standard input:2: column 2: expected ident: left out"), "{said:#?}");
    assert!(said.err.contains("standard input:3: column 1: this is not UTF-8: left out"), "{said:#?}");
    assert_eq!(said.ok(), "standard input: 2 runs (JSON lines): 2 new, 2 bad lines left out\n");
    let many = "x\n".repeat(1_000);
    let said = piped(&world, &["--skip-bad", "--format", "lines"], many.as_bytes());
    assert!(said.err.lines().count() < 50 && said.out.contains("1000 bad lines left out"), "{said:#?}");
}

#[test]
fn a_bad_line_behind_many_batches_has_its_number_and_all_before_it_are_stored() {
    let world = world("");
    let mut text: String = (0..10_500).map(line).collect();
    text.push_str("{}\n");
    piped(&world, &[], text.as_bytes())
        .refused(2, &["standard input:10501: column 2: missing field `tool`", "the 10500 runs before"]);
    let counts = store(&world).versions(None, Timestamp::UNIX_EPOCH).expect("reads");
    assert_eq!(counts.iter().map(|version| version.counts.runs).sum::<u64>(), 10_500);
}

#[test]
fn an_import_that_is_killed_and_done_again_gives_what_one_import_gives() {
    let text: String = (0..10_300).map(line).collect();
    let whole = world("");
    piped(&whole, &[], text.as_bytes()).ok();
    let killed = world("");
    let mut child = killed.fractal_command().args(["import", "-"]).stdin(Stdio::piped()).spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("is a pipe");
    stdin.write_all(text.as_bytes()).expect("is read");
    // The first batch is stored; the rest waits for the end of the input.
    let deadline = Instant::now() + PATIENCE;
    let database = killed.repo().join(".git/fractal/executions.db");
    while !database.exists() || recorded(&killed).is_empty() {
        assert!(Instant::now() < deadline, "nothing is stored");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().expect("is there");
    child.wait().expect("ends");
    assert_eq!(recorded(&killed).len(), 10_000);
    assert!(piped(&killed, &[], text.as_bytes()).ok().contains("300 new, 10000 known before"));
    assert_eq!(seen(&killed), seen(&whole));
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(content).expect("packs");
    packed.finish().expect("packs")
}

#[test]
fn a_packed_file_is_unpacked_and_one_that_was_cut_off_or_damaged_is_said() {
    let world = world("");
    let text: String = (0..3_000).map(line).collect();
    let packed = gzip(text.as_bytes());
    world.write("runs.jsonl.gz", &packed[..packed.len() / 2]);
    import(&world, &["runs.jsonl.gz"]).refused(2, &["`runs.jsonl.gz`: it ends too early", "fetch it again"]);
    let mut damaged = packed.clone();
    damaged[40..60].fill(0xa5);
    world.write("runs.jsonl.gz", &damaged);
    let said = import(&world, &["--format", "lines", "runs.jsonl.gz"]);
    assert_eq!(said.code, Some(2), "{said:#?}");
    // Two members one after the other, as `cat a.gz b.gz` makes them, from a pipe.
    let both = [packed.as_slice(), &gzip(line(3_000).as_bytes())].concat();
    assert!(piped(&world, &[], &both).ok().contains("3001 runs"));
    assert_eq!(recorded(&world).len(), 3_001);
}

/// Runs the import of standard input in so many MiB of address space.
fn narrow(world: &World, mib: u32, args: &str, feed: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>) -> Said {
    let program = env!("CARGO_BIN_EXE_fractal");
    let mut command = world.command("sh");
    command.args(["-c", &format!("ulimit -v {} && exec {program} import {args} -", mib << 10)]).stdin(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    let _ = feed(&mut child.stdin.take().expect("is a pipe"));
    ended(child)
}

#[test]
fn a_line_of_any_length_is_refused_in_little_memory_and_the_next_one_is_read() {
    let world = world("");
    let long = |pipe: &mut dyn std::io::Write| {
        pipe.write_all(line(1).as_bytes())?;
        let piece = vec![b'x'; 1 << 20];
        (0..200).try_for_each(|_| pipe.write_all(&piece))?;
        pipe.write_all(b"\n")?;
        pipe.write_all(line(2).as_bytes())
    };
    let said = narrow(&world, 128, "--skip-bad", long);
    assert!(said.err.contains("standard input:2: longer than 8 MiB: left out"), "{said:#?}");
    assert!(said.ok().contains("2 runs (JSON lines): 2 new, 1 bad lines left out"));
    // 160 MiB in less than one.
    let bomb = gzip(&vec![b' '; 160 << 20]);
    assert!(bomb.len() < 1 << 20);
    narrow(&world, 128, "--format lines", |pipe| pipe.write_all(&bomb)).refused(2, &["standard input:1: longer than 8 MiB"]);
    narrow(&world, 256, "--format junit", |pipe| pipe.write_all(&bomb)).refused(2, &["is larger than 64 MiB, unpacked"]);
}

#[test]
fn mistakes_in_the_call_are_said_and_touch_nothing() {
    let world = world("");
    world.write("runs.jsonl", line(1));
    world.write("report.xml", "<testsuites/>");
    world.unchanged_by(|| {
        import(&world, &[]).refused(2, &["FILE"]);
        import(&world, &["gone.jsonl"]).refused(2, &["`gone.jsonl`: there is no such file"]);
        import(&world, &["."]).refused(1, &["`.`: "]);
        import(&world, &["--tool", "a b", "report.xml"]).refused(2, &["`a b` cannot name a tool", "hint:"]);
        import(&world, &["--tool", "a", "runs.jsonl"]).refused(2, &["each JSON line names its tool"]);
        import(&world, &["--version", "v9", "runs.jsonl"]).refused(2, &["`v9` is no commit of this repository", "hint:"]);
        import(&world, &["--at", "noon", "report.xml"]).refused(2, &["`--at noon` is no time", "mtime"]);
        import(&world, &["--format", "lines", "report.xml"]).refused(2, &["report.xml:1: column 1: expected value"]);
        import(&world, &["--format", "junit", "runs.jsonl"]).refused(2, &["runs.jsonl:1: column", "read as JUnit XML"]);
        piped(&world, &[], b"name,exit\n").refused(2, &["read as JSON lines; `--format` says otherwise"]);
        piped(&world, &["--format", "github", "--version", "HEAD"], b"{}").refused(2, &["column 1"]);
    });
}

#[test]
fn secrets_are_taken_out_of_what_is_imported() {
    let world = world("");
    let token = format!("ghp_{}", "a1B2".repeat(9));
    let line = format!("{{\"tool\":\"greet\",\"at\":0,\"exit\":1,\"args\":[\"{token}\"],\"stderr\":\"bad token {token}\\n\"}}\n");
    piped(&world, &[], line.as_bytes()).ok();
    let report = format!(
        "<testsuite name='greet' timestamp='2026-01-01T00:00:00Z'><testcase name='a'><failure message='no {token}'/>\
         <system-out>{token}</system-out></testcase></testsuite>"
    );
    piped(&world, &[], report.as_bytes()).ok();
    assert_eq!(recorded(&world).len(), 2);
    for (path, bytes) in world.snapshot() {
        assert!(!bytes.windows(token.len()).any(|window| window == token.as_bytes()), "{path:?}");
    }
}

/// Says of each line whether it fits the schema.
const VALIDATE: &str = "import json, sys, jsonschema
validator = jsonschema.Draft202012Validator(json.load(open(sys.argv[1])))
jsonschema.Draft202012Validator.check_schema(validator.schema)
for line in open(sys.argv[2]):
    print(validator.is_valid(json.loads(line)))
";

#[test]
fn the_printed_schema_accepts_what_is_read_and_refuses_what_is_refused() {
    let Some(python) = peers::python() else { return };
    let world = world("");
    let good = [
        line(1),
        "{\"v\":1,\"id\":\"job 17\",\"tool\":\"a\",\"version\":\"v\",\"at\":\"2026-01-02T03:04:05Z\",\"duration_ms\":1.5,\"exit\":{\"signal\":9}}\n".into(),
        "{\"tool\":\"a\",\"at\":0,\"args\":[\"x\",{\"hex\":\"ff\"}],\"stdin\":{\"base64\":\"/w==\"},\"truncated\":true,\"exit\":\"timed_out\"}\n".into(),
        "{\"tool\":\"a\",\"at\":0,\"outcome\":\"failure\",\"failure\":{\"class\":\"E\",\"message\":\"m\"},\"cwd\":\"x\",\"caller\":\"c\"}\n".into(),
        "{\"tool\":\"a\",\"at\":0,\"exit\":{\"not_started\":\"why\"},\"marked\":true,\"expected\":\"x\",\"stdout\":\"o\",\"stderr\":\"e\"}\n".into(),
    ];
    let bad = [
        "{\"tool\":\"a\",\"at\":0}\n",
        "{\"tool\":\"a\",\"exit\":0}\n",
        "{\"tool\":\"a\",\"at\":0,\"exit\":0,\"argv\":[]}\n",
        "{\"tool\":\"a\",\"at\":0,\"exit\":\"late\"}\n",
        "{\"tool\":\"a\",\"at\":0,\"exit\":0,\"args\":[1]}\n",
        "{\"tool\":\"a\",\"at\":0,\"outcome\":\"bad\"}\n",
    ];
    for line in &good {
        piped(&world, &["--format", "lines"], line.as_bytes()).ok();
    }
    for line in bad {
        assert_eq!(piped(&world, &["--format", "lines"], line.as_bytes()).code, Some(2), "{line}");
    }
    // What comes out of the store again, too.
    let mut lines = good.concat();
    let store = store(&world);
    for execution in recorded(&world) {
        let recording = store.load(execution).expect("reads");
        let new = fractal::model::NewExecution {
            stdin: Some(recording.stdin).filter(|bytes| !bytes.is_empty()),
            stdout: Some(recording.stdout).filter(|bytes| !bytes.is_empty()),
            stderr: None,
            expected: recording.expected,
            execution: recording.execution,
        };
        let text = fractal::record::lines::Line::of(&new).text().expect("writes");
        writeln!(lines, "{text}").expect("writes");
    }
    let valid = lines.lines().count();
    lines.push_str(&bad.concat());
    fs::write(world.outside("schema.json"), import(&world, &["--schema"]).ok()).expect("writes");
    fs::write(world.outside("lines.jsonl"), &lines).expect("writes");
    let mut command = world.command(python);
    command.args(["-c", VALIDATE]).args([world.outside("schema.json"), world.outside("lines.jsonl")]);
    let said: Vec<bool> = world.run(&mut command).ok().lines().map(|line| line == "True").collect();
    assert_eq!(said.len(), valid + bad.len());
    for (at, line) in lines.lines().enumerate() {
        assert_eq!(said[at], at < valid, "{line}");
    }
}
