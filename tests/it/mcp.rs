//! `fractal mcp` between real clients and real servers: nothing that they write changes, every call is recorded, and it ends as the
//! server ends.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use fractal::model::{Execution, Exit, Hints, Outcome};
use fractal::world::store::{Query, SqliteStore, Store};
use serde_json::{Value, json};

use crate::common::{PATIENCE, Said, World, ended, patiently, text};
use crate::peers;

/// Writes what it reads into the file that its first argument names, and what the second one names to its output.
const RECORDING: &str = "import os, sys
heard = open(sys.argv[1], 'wb')
sys.stdout.buffer.write(open(sys.argv[2], 'rb').read())
sys.stdout.flush()
while piece := os.read(0, 65536):
    heard.write(piece)
    heard.flush()
";

/// Answers every request with what a Python expression makes of it (`m`), which may do anything else instead.
const ANSWERING: &str = "import json, os, signal, sys, time
for line in sys.stdin:
    m = json.loads(line)
    answer = eval(sys.argv[1])
    if answer is not None:
        print(json.dumps({'jsonrpc': '2.0', 'id': m['id'], 'result': answer}), flush=True)
";

fn world() -> World {
    let world = World::empty();
    world.write("fractal.toml", "");
    world.write("tools/recording.py", RECORDING);
    world.write("tools/answering.py", ANSWERING);
    world.write("tools/server.py", fs::read(data("server.py")).expect("reads"));
    world.commit("servers");
    world
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/mcp").join(name)
}

/// `fractal mcp --name s -- python3 tools/SCRIPT ARGS…`
fn mcp(world: &World, script: &str, args: &[&str]) -> Command {
    let mut command = world.fractal_command();
    command.args(["mcp", "--name", "s", "--", "python3", script]).args(args).stdin(Stdio::piped());
    command
}

fn answering(world: &World, expression: &str) -> Child {
    mcp(world, "tools/answering.py", &[expression]).spawn().expect("starts")
}

fn store(world: &World) -> SqliteStore {
    SqliteStore::open(&world.repo().join(".git/fractal/executions.db")).expect("opens")
}

/// The recorded calls, in the order in which they ended.
fn recorded(world: &World) -> Vec<Execution> {
    let mut calls = store(world).executions(&Query { limit: 10_000, ..Query::default() }).expect("reads");
    calls.reverse();
    calls
}

/// Tool, outcome, arguments, and what was said: the message of a failure, else the output.
fn told(world: &World) -> Vec<(String, Outcome, String, String)> {
    let store = store(world);
    let tell = |call: Execution| {
        let message = call.failure.as_ref().map(|failure| format!("{}: {}", failure.class, failure.message));
        let stderr = text(&store.stderr(&call).expect("reads"));
        let arguments = call.input.args.first().map(ToString::to_string).unwrap_or_default();
        let (tool, outcome) = (call.tool.clone(), call.outcome);
        let said = message.unwrap_or_else(|| text(&store.load(call).expect("loads").stdout) + &stderr);
        (tool, outcome, arguments, said)
    };
    recorded(world).into_iter().map(tell).collect()
}

fn call(id: impl Into<Value>, tool: &str, arguments: Value) -> String {
    let params = json!({"name": tool, "arguments": arguments});
    format!("{}\n", json!({"jsonrpc": "2.0", "id": id.into(), "method": "tools/call", "params": params}))
}

fn say(child: &mut Child, lines: &str) {
    child.stdin.as_mut().expect("is piped").write_all(lines.as_bytes()).expect("is read");
}

fn hear(child: &mut Child, lines: usize) -> Vec<Value> {
    let mut stdout = child.stdout.take().expect("is piped");
    let (heard, stdout) = patiently(move || {
        // Byte by byte: nothing beyond the last line may be taken away.
        let mut heard = vec![String::new(); lines];
        for line in &mut heard {
            let mut bytes = Vec::new();
            let mut byte = [0];
            while byte != *b"\n" && stdout.read(&mut byte).expect("reads") == 1 {
                bytes.extend_from_slice(&byte);
            }
            *line = text(&bytes);
        }
        (heard, stdout)
    });
    child.stdout = Some(stdout);
    heard.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}"))).collect()
}

fn hangs_up(mut child: Child) -> Said {
    drop(child.stdin.take());
    ended(child)
}

/// Plays a story of `tests/data/mcp/client.py` against a server, with us in between; what the client got.
fn play(world: &World, python: &Path, story: &str, between: &[&str], server: &[&str]) -> Said {
    let mut command = world.command(python);
    command.arg(data("client.py")).arg(story);
    if !between.is_empty() {
        command.arg(env!("CARGO_BIN_EXE_fractal")).args(between);
    }
    world.run(command.args(server))
}

// ---- the bytes ----

#[test]
fn both_sides_get_every_byte_as_it_was_written() {
    let world = world();
    let odd = b"  {\"jsonrpc\" :\t\"2.0\",\"id\":1.0e0, \"method\":\"tools/call\",\"params\":{\"name\":\"\\u0061\",\"arguments\":{\"n\":123456789012345678901234567890.10,\"n\":2}}}\r\n\
\r\n\n\xff\xfe not JSON \x00\n{\"id\":\"\\ud800\",\"method\":\"x\"}\n[1,2\n{\"b\":1,\"a\":2}   \nno line feed at the end";
    let (from_client, from_server) = (world.outside("from-client"), world.outside("from-server"));
    let heard = world.outside("heard");
    fs::write(&from_client, odd).expect("writes");
    fs::write(&from_server, [odd.as_slice(), b"\n", &[0, 1, 2, 255].repeat(100_000)].concat()).expect("writes");
    let paths = [heard.to_str().expect("UTF-8"), from_server.to_str().expect("UTF-8")];
    let mut command = mcp(&world, "tools/recording.py", &paths);
    let output = command.stdin(fs::File::open(&from_client).expect("opens")).output().expect("runs");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    assert!(output.stdout == fs::read(&from_server).expect("reads"), "the server's bytes are changed");
    assert!(fs::read(&heard).expect("reads") == odd, "the client's bytes are changed");
}

#[test]
fn bytes_are_passed_on_before_the_line_ends() {
    let world = world();
    let script = "import os\nos.write(1, b'{\"half')\nassert os.read(0, 1) == b'x'\nos.write(1, b'\": 1}\\n')\n";
    world.write("tools/half.py", script);
    let mut child = mcp(&world, "tools/half.py", &[]).spawn().expect("starts");
    let mut stdout = child.stdout.take().expect("is piped");
    let mut half = [0; 6];
    let (stdout, half) = patiently(move || {
        stdout.read_exact(&mut half).expect("comes before the rest");
        (stdout, half)
    });
    assert_eq!(&half, b"{\"half");
    say(&mut child, "x");
    child.stdout = Some(stdout);
    let said = hangs_up(child);
    assert_eq!((said.code, said.out.as_str()), (Some(0), "\": 1}\n"));
}

#[test]
fn a_result_of_100_mb_in_one_line_passes_in_bounded_memory_and_its_call_is_recorded() {
    let world = world();
    let mut child = answering(&world, "{'content': [{'type': 'text', 'text': 'x' * 100_000_000}], 'isError': m['id'] == 2}");
    let pid = child.id();
    let mut stdout = BufReader::new(child.stdout.take().expect("is piped"));
    say(&mut child, &(call(1, "big", json!({})) + &call(2, "big", json!({}))));
    let (lengths, peak, stdout) = patiently(move || {
        let mut line = Vec::new();
        let mut length = || {
            line.clear();
            stdout.read_until(b'\n', &mut line).expect("reads")
        };
        let lengths = [length(), length()];
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("is there");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak").trim().to_string();
        (lengths, peak, stdout)
    });
    assert!(lengths.iter().all(|length| *length > 100_000_000), "{lengths:?}");
    let kib: u64 = peak.split(' ').next().and_then(|kib| kib.parse().ok()).expect("a number");
    assert!(kib < 64 << 10, "{peak}");
    child.stdout = Some(stdout.into_inner());
    assert_eq!(hangs_up(child).code, Some(0));
    let outcomes: Vec<Outcome> = recorded(&world).iter().map(|call| call.outcome).collect();
    assert_eq!(outcomes, [Outcome::Success, Outcome::Failure]);
    assert!(told(&world)[0].3.starts_with("[a result of 10000"), "{:?}", told(&world));
}

// ---- real peers ----

#[test]
fn a_client_and_a_server_of_the_python_sdk_notice_nothing_and_every_call_is_recorded() {
    let Some(python) = peers::python() else { return };
    for story in ["everyday", "modern everyday"] {
        let world = world();
        let server = [python.to_str().expect("UTF-8"), "tools/server.py"];
        let directly = play(&world, &python, story, &[], &server).ok();
        assert_eq!(play(&world, &python, story, &["mcp", "--"], &server).ok(), directly);
        let told = told(&world);
        let short: Vec<(&str, Outcome, &str)> =
            told.iter().map(|(tool, outcome, args, _)| (tool.as_str(), *outcome, args.as_str())).collect();
        let expected = [
            ("calculator.divide", Outcome::Success, r#"{"a":1,"b":4}"#),
            ("calculator.divide", Outcome::Failure, r#"{"a":1,"b":0}"#),
            ("calculator.login", Outcome::Success, r#"{"password":"[redacted]"}"#),
            ("calculator.picture", Outcome::Success, "{}"),
            ("calculator.broken", Outcome::Failure, "{}"),
        ];
        assert_eq!(short, expected, "{story}");
        let words: Vec<&str> = told.iter().map(|(.., said)| said.as_str()).collect();
        assert_eq!(words[0], "0.25");
        assert_eq!(words[1], "tool error: Error executing tool divide");
        assert_eq!(words[2..4], ["welcome [redacted]", "[image, image/png, 300 bytes]"]);
        assert_eq!(words[4], "error -32603: the disk is full");
        let calls = recorded(&world);
        let committed = world.git(&["ls-tree", "-r", "-z", "--full-tree", "HEAD", "tools/server.py"]);
        world.write("listing", committed);
        let version = world.git(&["hash-object", "listing"]);
        assert!(calls.iter().all(|call| call.version.as_str() == version.trim()), "{calls:#?}");
        assert!(calls.iter().all(|call| call.caller == "test client" && !call.duration.is_zero()), "{calls:#?}");
        let hints = store(&world).hints().expect("reads");
        let divide = Hints { read_only: Some(true), idempotent: Some(true), open_world: Some(false), destructive: None };
        assert_eq!(hints.get("calculator.divide"), Some(&divide));
        let tools = world.fractal(&["tools", "--json"]).json();
        assert_eq!(tools["hints"]["calculator.login"], json!({"read_only": false, "destructive": true}));
        let shown = world.fractal(&["tools"]).ok();
        assert!(shown.contains("calculator.divide") && shown.contains("read-only, idempotent, closed world"), "{shown}");
    }
}

#[test]
fn two_hundred_calls_at_once_are_told_apart() {
    let Some(python) = peers::python() else { return };
    let world = world();
    let server = ["mcp", "--", python.to_str().expect("UTF-8"), "tools/server.py"];
    assert_eq!(play(&world, &python, "many", &server, &[]).ok().lines().count(), 201);
    let told = told(&world);
    assert_eq!(told.len(), 200);
    for (tool, outcome, arguments, said) in told {
        let arguments: Value = serde_json::from_str(&arguments).expect("is JSON");
        assert_eq!(
            (tool.as_str(), outcome, arguments["text"].as_str()),
            ("calculator.later", Outcome::Success, Some(said.as_str()))
        );
    }
}

#[test]
fn a_call_that_the_client_gives_up_is_nobodys_failure() {
    let Some(python) = peers::python() else { return };
    let world = world();
    let server = ["mcp", "--", python.to_str().expect("UTF-8"), "tools/server.py"];
    play(&world, &python, "cancelled", &server, &[]).ok();
    let outcomes: Vec<Outcome> = recorded(&world).iter().map(|call| call.outcome).collect();
    assert_eq!(outcomes, [Outcome::Error, Outcome::Success]);
    assert!(told(&world)[0].3.starts_with("cancelled by the client"), "{:?}", told(&world));
}

#[test]
fn a_server_that_ends_or_crashes_in_a_call_has_failed() {
    let Some(python) = peers::python() else { return };
    for (story, exit, class) in [("leaves", Exit::Code(7), "server exited"), ("crashes", Exit::Signal(11), "signal 11")] {
        let world = world();
        let server = ["mcp", "--", python.to_str().expect("UTF-8"), "tools/server.py"];
        let seen = play(&world, &python, story, &server, &[]).ok();
        assert!(seen.ends_with("{\"error\": -32000, \"message\": \"Connection closed\"}\n"), "{seen}");
        let calls = recorded(&world);
        assert_eq!(calls.iter().map(|call| call.outcome).collect::<Vec<_>>(), [Outcome::Success, Outcome::Failure]);
        assert_eq!(calls[1].exit, exit);
        assert_eq!(calls[1].failure.as_ref().expect("failed").class, class);
    }
}

#[test]
fn a_server_of_the_typescript_sdk_is_recorded_too() {
    let Some(python) = peers::python() else { return };
    let Some(server) = peers::node_program("mcp-server-everything") else { return };
    let world = world();
    let command = [server.to_str().expect("UTF-8")];
    let directly = play(&world, &python, "everything", &[], &command).ok();
    assert_eq!(play(&world, &python, "everything", &["mcp", "--name", "everything", "--"], &command).ok(), directly);
    let short: Vec<(String, Outcome)> = told(&world).into_iter().map(|(tool, outcome, ..)| (tool, outcome)).collect();
    let expected = [
        ("everything.echo", Outcome::Success),
        ("everything.get-sum", Outcome::Success),
        ("everything.get-sum", Outcome::Failure),
        ("everything.get-tiny-image", Outcome::Success),
        ("everything.no-such-tool", Outcome::Failure),
    ];
    assert_eq!(short, expected.map(|(tool, outcome)| (tool.to_string(), outcome)));
    assert!(recorded(&world).iter().all(|call| call.version.as_str() != "unknown"));
    assert!(!store(&world).hints().expect("reads").is_empty());
}

// ---- how it ends ----

#[test]
fn it_ends_with_the_servers_exit_code_or_signal() {
    let world = world();
    let mut child = answering(&world, "os._exit(9)");
    say(&mut child, &call(1, "t", json!({})));
    // Waiting must not close its input: the server goes first.
    let _open = child.stdin.take();
    assert_eq!(ended(child).code, Some(9));
    let mut child = answering(&world, "os.kill(os.getpid(), signal.SIGABRT)");
    say(&mut child, &call(2, "t", json!({})));
    let _open = child.stdin.take();
    let status = patiently(move || child.wait().expect("ends"));
    assert_eq!(status.signal(), Some(6));
    let outcomes: Vec<(Outcome, Exit)> = recorded(&world).into_iter().map(|call| (call.outcome, call.exit)).collect();
    assert_eq!(outcomes, [(Outcome::Failure, Exit::Code(9)), (Outcome::Failure, Exit::Signal(6))]);
}

#[test]
fn a_signal_reaches_the_server_and_what_it_interrupts_is_nobodys_failure() {
    let world = world();
    let mut child = answering(&world, "{'content': []} if m['id'] == 1 else time.sleep(600)");
    say(&mut child, &(call(1, "t", json!({})) + &call(2, "t", json!({}))));
    hear(&mut child, 1);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("is there");
    let _open = child.stdin.take();
    let status = patiently(move || child.wait().expect("ends"));
    assert_eq!(status.signal(), Some(15));
    assert_eq!(recorded(&world).iter().map(|call| call.outcome).collect::<Vec<_>>(), [Outcome::Success, Outcome::Error]);
}

#[test]
fn a_client_that_goes_early_ends_the_server_and_is_not_counted_against_the_tool() {
    let world = world();
    let mut child = answering(&world, "None");
    say(&mut child, &call(1, "t", json!({})));
    assert_eq!(hangs_up(child).code, Some(0));
    let [(_, outcome, _, said)] = <[_; 1]>::try_from(told(&world)).expect("one call");
    assert_eq!((outcome, said.as_str()), (Outcome::Error, "the client went away before it was answered"));
}

#[test]
fn a_client_that_stops_reading_is_felt_by_the_server() {
    let world = world();
    let mut child = answering(&world, "{'content': [{'type': 'text', 'text': 'x' * 1000}]}");
    drop(child.stdout.take());
    // The server dies of its next write, as it would directly: Python says so and ends with 120 or 1.
    let mut stdin = child.stdin.take().expect("is piped");
    patiently(move || while stdin.write_all(call(1, "t", json!({})).as_bytes()).is_ok() {});
    let said = ended(child);
    assert!(said.code != Some(0) && said.err.contains("BrokenPipe"), "{said:#?}");
}

#[test]
fn a_server_that_never_reads_holds_up_the_client_and_ends_when_it_wants() {
    let world = world();
    world.write("tools/deaf.py", "import sys\nopen(sys.argv[1]).read()\n");
    let pipe = world.outside("go");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0)
        .expect("makes");
    let mut child = mcp(&world, "tools/deaf.py", &[pipe.to_str().expect("UTF-8")]).spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("is piped");
    rustix::fs::fcntl_setfl(&stdin, rustix::fs::OFlags::NONBLOCK).expect("sets");
    let mut written = 0;
    patiently(move || {
        let line = call(1, "t", json!({"text": "x".repeat(1000)}));
        // Full, and full again after a while of nobody reading: two pipes and a buffer are all that there is.
        let mut full_since = None::<std::time::Instant>;
        while full_since.is_none_or(|since| since.elapsed() < std::time::Duration::from_millis(300)) {
            match stdin.write(line.as_bytes()) {
                Ok(length) => (written, full_since) = (written + length, None),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    full_since.get_or_insert_with(std::time::Instant::now);
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(written < 1 << 20, "{written} bytes went somewhere");
        fs::write(pipe, "go").expect("writes");
    });
    assert_eq!(ended(child).code, Some(0));
}

#[test]
fn a_server_that_cannot_be_started_is_a_plain_error() {
    let world = world();
    let said = world.fractal(&["mcp", "--", "no-such-server"]);
    assert_eq!((said.code, said.err.as_str()), (Some(127), "fractal: `no-such-server` was not found\n"));
    world.fractal(&["mcp", "--name", "a/b", "--", "true"]).refused(2, &["`a/b` cannot name a tool", "--name files"]);
    world.fractal(&["mcp"]).refused(2, &["<SERVER>"]);
    assert_eq!(world.fractal(&["mcp", "--", "sh", "-c", "exit 5"]).code, Some(5));
}

// ---- the recording ----

#[test]
fn answers_may_come_in_any_order_and_the_tool_of_each_is_known() {
    let world = world();
    let mut child = answering(
        &world,
        "globals().setdefault('kept', []).append(m) or (None if len(kept) < 3 else [print(json.dumps({'jsonrpc': '2.0', 'id': k['id'], 'result': {'content': [{'type': 'text', 'text': k['params']['name']}]}}), flush=True) for k in kept[::-1]] and None)",
    );
    say(&mut child, &(call(1, "one", json!({})) + &call("1", "two", json!({})) + &call(3, "three", json!({}))));
    hear(&mut child, 3);
    assert_eq!(hangs_up(child).code, Some(0));
    let said: Vec<(String, String)> = told(&world).into_iter().map(|(tool, .., said)| (tool, said)).collect();
    let expected = ["three", "two", "one"].map(|tool| (format!("s.{tool}"), tool.to_string()));
    assert!(said.iter().all(|call| expected.contains(call)) && said.len() == 3, "{said:?}");
}

#[test]
fn calls_are_stored_while_the_conversation_goes_on() {
    let world = world();
    let mut child = answering(&world, "{'content': []}");
    say(&mut child, &call(1, "t", json!({})));
    hear(&mut child, 1);
    let database = world.repo().join(".git/fractal/executions.db");
    let begun = std::time::Instant::now();
    while !database.is_file() || recorded(&world).is_empty() {
        assert!(begun.elapsed() < PATIENCE, "is not stored");
        std::thread::yield_now();
    }
    // A kill now loses nothing.
    child.kill().expect("is there");
    child.wait().expect("ends");
    assert_eq!(recorded(&world).len(), 1);
}

#[test]
fn secrets_in_arguments_results_and_errors_are_not_kept() {
    let world = world();
    let token = format!("ghp_{}", "a1B2".repeat(9));
    let mut child =
        answering(&world, "{'content': [{'type': 'text', 'text': 'no ' + json.dumps(m['params'])}], 'isError': m['id'] == 2}");
    say(&mut child, &(call(1, "t", json!({"token": token})) + &call(2, "t", json!({"url": "https://a:hunter22@example.com"}))));
    hear(&mut child, 2);
    assert_eq!(hangs_up(child).code, Some(0));
    assert!(told(&world).iter().all(|call| call.3.contains("[redacted]")), "{:?}", told(&world));
    for entry in fs::read_dir(world.repo().join(".git/fractal")).expect("is there").flatten() {
        let bytes = fs::read(entry.path()).unwrap_or_default();
        let holds = |secret: &str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!holds(&token) && !holds("hunter22"), "{:?}", entry.path());
    }
}

#[test]
fn calls_wait_on_disk_while_the_store_is_away_and_that_is_said_once() {
    let world = world();
    let database = world.repo().join(".git/fractal/executions.db");
    drop(store(&world));
    let connection = rusqlite::Connection::open(&database).expect("opens");
    let format: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).expect("reads");
    connection.pragma_update(None, "user_version", 99).expect("writes");
    let mut child = answering(&world, "{'content': []}");
    say(&mut child, &(call(1, "t", json!({"n": 1})) + &call(2, "t", json!({"n": 2}))));
    hear(&mut child, 2);
    let said = hangs_up(child);
    assert_eq!(said.code, Some(0));
    assert!(
        said.err.starts_with("fractal: waiting on disk until they can be stored: 2 calls: ") && said.err.contains("format 99"),
        "{said:#?}"
    );
    assert_eq!(said.err.lines().count(), 1, "{said:#?}");
    connection.pragma_update(None, "user_version", format).expect("writes");
    let mut child = answering(&world, "{'content': []}");
    say(&mut child, &call(3, "t", json!({"n": 3})));
    hear(&mut child, 1);
    assert_eq!(hangs_up(child).err, "");
    let mut arguments: Vec<String> = told(&world).into_iter().map(|(_, _, arguments, _)| arguments).collect();
    // Calls that end in one millisecond are in no order.
    arguments.sort();
    assert_eq!(arguments, [r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#]);
}

#[test]
fn the_capture_level_and_the_success_rule_of_a_declared_tool_hold_for_its_calls() {
    let world = world();
    let tool = "name = \"s.t\"\npaths = [\"tools/answering.py\"]\nrun = [\"true\"]\ncapture = \"digest\"\nsuccess = { exit = [0], stdout = { pointer = \"/ok\", equals = true } }\n";
    world.write("fractal.toml", format!("[[tool]]\n{tool}"));
    let mut child = answering(&world, "{'content': [{'type': 'text', 'text': json.dumps({'ok': m['id'] == 1})}]}");
    for id in [1, 2] {
        say(&mut child, &call(id, "t", json!({})));
        hear(&mut child, 1);
    }
    assert_eq!(hangs_up(child).code, Some(0));
    let calls = recorded(&world);
    let failed = calls.iter().filter(|call| call.outcome == Outcome::Failure).count();
    assert_eq!((calls.len(), failed), (2, 1), "{calls:#?}");
    assert!(calls.iter().all(|call| call.input.withheld.is_some() && call.input.args.is_empty()), "{calls:#?}");
}
