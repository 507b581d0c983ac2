//! `fractal serve`: what programs tell by OpenTelemetry arrives once, whatever happens, and nobody can make it fall over.
//!
//! The real program, the real SDK, and bytes on sockets. What attributes mean is tested beside `src/record/otlp/mapping.rs`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use fractal::model::{Execution, Outcome};
use fractal::world::git::Repo;
use fractal::world::store::{Query, SqliteStore, Store};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::common::{PATIENCE, Said, World, ended, patiently};
use crate::peers;

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

fn world(config: &str) -> World {
    let world = World::empty();
    let tool = "[[tool]]\nname = \"report\"\npaths = [\"tools/report.py\"]\nrun = [\"python3\", \"tools/report.py\"]\n";
    world.write("fractal.toml", format!("{config}{tool}"));
    world.write("tools/report.py", "import sys\nprint(1 / int(sys.argv[-1]))\n");
    world.commit("report");
    world
}

/// A running `fractal serve`, killed with the value.
struct Serving {
    child: Option<Child>,
    address: SocketAddr,
    events: mpsc::Receiver<Value>,
    /// Events that came before the one that was waited for.
    passed: RefCell<Vec<Value>>,
}

impl Serving {
    fn start(world: &World) -> Serving {
        let mut command = world.fractal_command();
        let mut child = command.args(["serve", "--listen", "127.0.0.1:0", "--json"]).spawn().expect("starts");
        let events = lines(child.stdout.take().expect("is piped"), |line| serde_json::from_str(line).expect("JSON"));
        let address = SocketAddr::from(([0; 4], 0));
        let mut serving = Serving { child: Some(child), address, events, passed: RefCell::default() };
        let listening = serving.event("listening");
        serving.address = listening["address"].as_str().expect("text").parse().expect("an address");
        serving
    }

    /// The next event of that name that nobody has seen.
    fn event(&self, name: &str) -> Value {
        let mut passed = self.passed.borrow_mut();
        loop {
            if let Some(at) = passed.iter().position(|event| event["event"] == name) {
                return passed.remove(at);
            }
            passed.push(self.events.recv_timeout(PATIENCE).expect("comes in time"));
        }
    }

    fn id(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(self.child.as_ref().expect("runs"))
    }

    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.id(), signal).expect("runs");
    }

    /// Ends it as a service manager does.
    fn stop(mut self) -> Said {
        self.signal(rustix::process::Signal::TERM);
        ended(self.child.take().expect("runs"))
    }

    /// A line of `/proc/PID/status`, as a number.
    fn status(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id().as_raw_nonzero())).expect("runs");
        let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("has it");
        line.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a number")
    }

    fn waiting(&self) -> u64 {
        get(self.address, "/healthz").json()["waiting"].as_u64().expect("a number")
    }

    fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a stream says, line by line.
fn lines<T: Send + 'static>(
    stream: impl std::io::Read + Send + 'static,
    read: impl Fn(&str) -> T + Send + 'static,
) -> mpsc::Receiver<T> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let _ = send.send(read(&line));
        }
    });
    receive
}

#[derive(Debug)]
struct Reply {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("sets it");
    stream
}

/// Everything that comes until the other side is done; `None` when nothing came.
fn reply(stream: &mut TcpStream) -> Option<Reply> {
    let mut bytes = Vec::new();
    // A connection that is reset after the answer has answered.
    let _ = stream.read_to_end(&mut bytes);
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let pairs = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let headers = pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.to_string())).collect();
    Some(Reply { status, headers, body: bytes[end + 4..].to_vec() })
}

fn request(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Reply> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    let mut stream = connect(address);
    // It may answer before it has read everything.
    let _ = stream.write_all(&[head.as_bytes(), b"\r\n", body].concat());
    reply(&mut stream)
}

fn get(address: SocketAddr, path: &str) -> Reply {
    request(address, "GET", path, &[], b"").expect("answers")
}

fn post(address: SocketAddr, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    request(address, "POST", path, headers, body).expect("answers")
}

fn post_json(address: SocketAddr, body: &Value) -> Reply {
    post(address, "/v1/traces", &[("Content-Type", JSON)], body.to_string().as_bytes())
}

/// A request with one run of `report` for each of these numbers.
fn runs(numbers: impl IntoIterator<Item = u32>) -> Value {
    let spans: Vec<Value> = numbers.into_iter().map(span).collect();
    json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] })
}

fn span(number: u32) -> Value {
    let args = ["tools/report.py", &number.to_string()].map(|arg| json!({ "stringValue": arg }));
    json!({
        "traceId": format!("{:032x}", 7), "spanId": format!("{:016x}", number + 1), "name": "report.py",
        "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000000250000000",
        "attributes": [
            { "key": "process.command_args", "value": { "arrayValue": { "values": args } } },
            { "key": "process.exit.code", "value": { "intValue": "0" } },
        ],
    })
}

fn database(world: &World) -> std::path::PathBuf {
    world.repo().join(".git/fractal/executions.db")
}

/// The recorded runs, oldest first.
fn recorded(world: &World) -> Vec<Execution> {
    let store = SqliteStore::open(&database(world)).expect("opens");
    let mut runs = store.executions(&Query { limit: 100_000, ..Query::default() }).expect("reads");
    runs.reverse();
    runs
}

/// The arguments of the recorded runs, sorted.
fn arguments(world: &World) -> Vec<String> {
    let mut arguments: Vec<String> = recorded(world).iter().map(|run| run.input.display(80)).collect();
    arguments.sort();
    arguments
}

/// Waits until something is so.
#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn sender(python: &std::path::Path, world: &World, serving: &Serving, compression: &str, wanted: &[&str]) -> Command {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/otlp/send.py");
    let commit = world.git(&["rev-parse", "HEAD"]);
    let mut command = world.command(python);
    command.args(["-P", script, &serving.endpoint(), compression, commit.trim()]).args(wanted);
    command
}

#[test]
fn the_sdk_tells_of_processes_and_calls_in_every_compression_and_again_changes_nothing() {
    let Some(python) = peers::python() else { return };
    let world = world("");
    let serving = Serving::start(&world);
    for compression in ["none", "gzip", "deflate"] {
        let wanted = ["process", "call", "broken", "misnamed"];
        let said = world.run(&mut sender(&python, &world, &serving, compression, &wanted));
        assert_eq!(said.ok(), "SUCCESS\n", "{compression}");
        assert!(serving.event("refused")["why"].as_str().expect("text").contains("`a b` cannot name a tool"));
    }
    serving.stop().ok();
    let runs = recorded(&world);
    assert_eq!(runs.len(), 9);
    let commit = fractal::model::CommitId(world.git(&["rev-parse", "HEAD"]).trim().into());
    let version = Repo::open(world.repo()).expect("opens").version_at(&commit, &["tools/report.py".into()]);
    let report = runs.iter().find(|run| run.tool == "report").expect("is there");
    assert_eq!((Some(report.version.clone()), report.caller.as_str()), (version.expect("reads"), "nightly"));
    assert_eq!((report.outcome, report.input.display(80).as_str()), (Outcome::Failure, "--token '[redacted]' 0"));
    assert!(!report.input.is_whole(), "a secret was taken out");
    let failure = report.failure.as_ref().expect("failed");
    assert_eq!((failure.class.as_str(), failure.message.contains("hunter22")), ("ZeroDivisionError", false));
    let flights: Vec<&Execution> = runs.iter().filter(|run| run.tool == "flights").collect();
    let (good, bad): (Vec<&Execution>, Vec<&Execution>) = flights.into_iter().partition(|run| run.outcome == Outcome::Success);
    assert_eq!((good.len(), bad.len(), good[0].input.display(80).as_str()), (3, 3, "'{\"to\": \"LIS\"}'"));
    assert!(good[0].stdout.is_some() && !good[0].input.is_whole());
    let failure = bad[0].failure.as_ref().expect("failed");
    assert_eq!((failure.class.as_str(), failure.message.as_str()), ("TimeoutError", "no answer from LIS"));
}

#[test]
fn the_sdk_tells_of_executions_in_log_records_and_other_records_are_left_alone() {
    let Some(python) = peers::python() else { return };
    let world = world("");
    let serving = Serving::start(&world);
    for _ in 0..2 {
        let said = world.run(&mut sender(&python, &world, &serving, "gzip", &["log"]));
        assert_eq!(said.ok(), "SUCCESS\n");
    }
    serving.stop().ok();
    let runs = recorded(&world);
    let [run, _] = runs.as_slice() else { panic!("{runs:#?}") };
    assert_eq!((run.tool.as_str(), run.outcome, run.duration), ("report", Outcome::Failure, Duration::from_millis(20)));
    assert_eq!(run.failure.as_ref().map(|failure| failure.message.as_str()), Some("it is late"));
}

#[test]
fn a_request_is_answered_in_its_own_encoding_and_what_is_sent_again_is_known() {
    let world = world("");
    let serving = Serving::start(&world);
    let mut body = runs(0..3);
    body["resourceSpans"][0]["scopeSpans"][0]["spans"][2]["endTimeUnixNano"] = json!(1);
    for (new, known) in [(2, 0), (0, 2)] {
        let reply = post_json(serving.address, &body);
        assert_eq!((reply.status, reply.header("content-type")), (200, JSON));
        let partial = &reply.json()["partialSuccess"];
        assert_eq!(partial["rejectedSpans"], "1");
        assert!(partial["errorMessage"].as_str().expect("text").contains("before it began"), "{partial}");
        let stored = serving.event("stored");
        assert_eq!((stored["new"].as_u64(), stored["known"].as_u64()), (Some(new), Some(known)));
    }
    let empty = post(serving.address, "/v1/logs", &[("Content-Type", PROTOBUF)], b"");
    assert_eq!((empty.status, empty.header("content-type"), empty.body.as_slice()), (200, PROTOBUF, &b""[..]));
    let said = serving.stop();
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert_eq!(arguments(&world), ["0", "1"]);
}

#[test]
fn what_is_wrong_with_a_request_is_said_with_the_right_status() {
    let world = world("[serve]\nbody_mib = 1\n");
    let serving = Serving::start(&world);
    let at = serving.address;
    let status = |path: &str, headers: &[(&str, &str)], body: &[u8]| {
        let reply = post(at, path, headers, body);
        (reply.status, reply.header("content-type").to_string(), String::from_utf8_lossy(&reply.body).into_owned())
    };
    #[track_caller]
    fn is(found: (u16, String, String), status: u16, content_type: &str, message: &str) {
        assert_eq!((found.0, found.1.as_str()), (status, content_type), "{found:?}");
        assert!(found.2.contains(message), "{found:?}");
    }
    let large = vec![b' '; 1_100_000];
    is(status("/v1/traces", &[("Content-Type", JSON)], b"{\"resourceSpans\": 1}"), 400, JSON, "invalid type");
    is(status("/v1/traces", &[("Content-Type", PROTOBUF)], b"\xff\xff"), 400, PROTOBUF, "Protobuf");
    is(status("/v1/traces", &[("Content-Type", PROTOBUF), ("Content-Encoding", "gzip")], b"x"), 400, PROTOBUF, "damaged");
    is(status("/v1/traces", &[("Content-Type", PROTOBUF), ("Content-Encoding", "zstd")], b"x"), 415, PROTOBUF, "`zstd`");
    is(status("/v1/traces", &[("Content-Type", "text/plain")], b"{}"), 415, JSON, "content type");
    is(status("/v1/traces", &[("Content-Type", JSON), ("Origin", "https://x.example")], b"{}"), 403, JSON, "browsers");
    is(status("/v1/metrics", &[("Content-Type", PROTOBUF)], b""), 404, PROTOBUF, "/v1/traces");
    is(status("/v1/traces", &[("Content-Type", JSON)], &large), 413, JSON, "body_mib");
    let get = get(at, "/v1/traces");
    assert_eq!((get.status, get.header("allow")), (405, "POST"));
    assert_eq!(request(at, "GET", "/healthz", &[], b"").expect("answers").json()["status"], "ok");
    let long = "x".repeat(200_000);
    let many = request(at, "POST", "/v1/traces", &[("X", &long)], b"").map_or(431, |reply| reply.status);
    assert_eq!(many, 431);
    // A bomb: most of a gibibyte in less than a mebibyte, of which little is ever unpacked.
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(&vec![0; 1 << 20]).expect("writes");
    let bomb = &bomb.finish().expect("ends").repeat(900);
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());
    is(status("/v1/traces", &[("Content-Type", PROTOBUF), ("Content-Encoding", "gzip")], bomb), 413, PROTOBUF, "body_mib");
    assert!(serving.status("VmHWM:") < 120_000, "{} KiB", serving.status("VmHWM:"));
    serving.stop().ok();
    assert!(!database(&world).exists() || recorded(&world).is_empty());
}

#[test]
fn when_too_much_waits_the_sdk_comes_back_later_and_nothing_is_lost_or_twice() {
    let Some(python) = peers::python() else { return };
    let world = world("[serve]\nqueue = 1\n");
    let serving = Serving::start(&world);
    assert_eq!(post_json(serving.address, &runs([0])).status, 200);
    let mut child = sender(&python, &world, &serving, "none", &["wait", "2"]).stdin(Stdio::piped()).spawn().expect("starts");
    let out = lines(child.stdout.take().expect("is piped"), str::to_string);
    let warnings = lines(child.stderr.take().expect("is piped"), str::to_string);
    assert_eq!(out.recv_timeout(PATIENCE).expect("starts in time"), "ready");
    let other = Connection::open(database(&world)).expect("opens");
    other.execute_batch("begin immediate").expect("locks");
    let address = serving.address;
    let first = thread::spawn(move || post_json(address, &runs([7])));
    until("it waits", || serving.waiting() == 1);
    let refused = post_json(address, &runs([8]));
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"));
    assert!(refused.json()["message"].as_str().expect("text").contains("wait to be stored"));
    child.stdin.take().expect("is piped").write_all(b"\n").expect("listens");
    let warning = warnings.recv_timeout(PATIENCE).expect("is told to come back");
    assert!(warning.contains("Service Unavailable") && warning.contains("retrying"), "{warning}");
    other.execute_batch("rollback").expect("unlocks");
    assert_eq!(patiently(move || first.join().expect("answers")).status, 200);
    assert_eq!(out.recv_timeout(PATIENCE).expect("ends in time"), "SUCCESS");
    assert_eq!(ended(child).code, Some(0));
    until("everything is stored", || arguments(&world).len() >= 4);
    serving.stop().ok();
    assert_eq!(arguments(&world), ["0", "0", "1", "7"]);
}

#[test]
fn while_the_store_is_away_runs_wait_on_disk_and_come_in_by_themselves() {
    let world = world("");
    let serving = Serving::start(&world);
    assert_eq!(post_json(serving.address, &runs([0])).status, 200);
    let store = Connection::open(database(&world)).expect("opens");
    let format: i64 = store.pragma_query_value(None, "user_version", |row| row.get(0)).expect("reads");
    // Somebody else writes for longer than anybody waits.
    store.execute_batch("begin exclusive").expect("locks");
    assert_eq!(post_json(serving.address, &runs(1..700)).status, 200);
    assert!(serving.event("store_away")["why"].as_str().expect("text").contains("locked"));
    store.execute_batch("rollback").expect("unlocks");
    assert_eq!(serving.event("store_back")["waited"], 699);
    // And one that nobody can open.
    store.pragma_update(None, "user_version", 99).expect("writes");
    drop(serving);
    let serving = Serving::start(&world);
    assert!(serving.event("store_away")["why"].as_str().expect("text").contains("format 99"));
    assert_eq!(post_json(serving.address, &runs(700..703)).status, 200);
    store.pragma_update(None, "user_version", format).expect("writes");
    assert_eq!(serving.event("store_back")["waited"], 3);
    serving.stop().ok();
    assert_eq!(recorded(&world).len(), 703);
}

#[test]
fn when_nothing_can_be_kept_the_sender_is_told_to_come_back() {
    let world = world("[record]\nspool_mib = 0\n");
    let serving = Serving::start(&world);
    assert_eq!(post_json(serving.address, &runs([0])).status, 200);
    let store = Connection::open(database(&world)).expect("opens");
    store.execute_batch("begin exclusive").expect("locks");
    let reply = post_json(serving.address, &runs([1]));
    assert_eq!((reply.status, reply.header("retry-after")), (503, "1"), "{reply:?}");
    assert!(!String::from_utf8_lossy(&reply.body).contains(&*world.repo().to_string_lossy()), "{reply:?}");
    assert!(serving.event("spool_trouble")["why"].as_str().expect("text").contains("spool_mib"));
    store.execute_batch("rollback").expect("unlocks");
    until("it takes runs again", || post_json(serving.address, &runs([1])).status == 200);
    serving.stop().ok();
    assert_eq!(arguments(&world), ["0", "1"]);
}

#[test]
fn a_stop_lets_what_is_under_way_end_and_takes_nothing_new() {
    let world = world("");
    let serving = Serving::start(&world);
    assert_eq!(post_json(serving.address, &runs([0])).status, 200);
    let store = Connection::open(database(&world)).expect("opens");
    store.execute_batch("begin immediate").expect("locks");
    let address = serving.address;
    let open = connect(address);
    let waits = thread::spawn(move || post_json(address, &runs([1])));
    until("it waits", || serving.waiting() == 1);
    let began = Instant::now();
    serving.signal(rustix::process::Signal::TERM);
    until("it listens no more", || TcpStream::connect(address).is_err());
    store.execute_batch("rollback").expect("unlocks");
    assert_eq!(patiently(move || waits.join().expect("answers")).status, 200);
    assert_eq!(serving.event("stopped")["new"], 2);
    let mut serving = serving;
    assert_eq!(ended(serving.child.take().expect("runs")).code, Some(0));
    assert!(began.elapsed() < Duration::from_secs(15), "a connection that asks nothing is not waited for");
    drop(open);
    assert_eq!(arguments(&world), ["0", "1"]);
}

#[test]
fn a_kill_loses_nothing_that_was_answered() {
    let world = world("");
    for round in 0..3u32 {
        let serving = Serving::start(&world);
        let address = serving.address;
        let (answered, answers) = mpsc::channel();
        let senders: Vec<_> = (0..4u32)
            .map(|sender| {
                let answered = answered.clone();
                thread::spawn(move || {
                    for number in (0..).map(|n| 1_000_000 * round + 100_000 * sender + n) {
                        let body = runs([number]).to_string();
                        match request(address, "POST", "/v1/traces", &[("Content-Type", JSON)], body.as_bytes()) {
                            Some(reply) if reply.status == 200 => answered.send(number).expect("listens"),
                            _ => return,
                        }
                    }
                })
            })
            .collect();
        drop(answered);
        let mut safe: Vec<u32> = (0..20).map(|_| answers.recv_timeout(PATIENCE).expect("comes in time")).collect();
        drop(serving);
        safe.extend(answers);
        senders.into_iter().for_each(|sender| drop(sender.join()));
        let stored = arguments(&world);
        let lost: Vec<&u32> = safe.iter().filter(|number| stored.binary_search(&number.to_string()).is_err()).collect();
        assert!(lost.is_empty(), "round {round}: {lost:?} of {}", safe.len());
    }
}

#[test]
fn tools_and_commits_that_come_later_are_known_without_a_restart() {
    let world = world("");
    let serving = Serving::start(&world);
    world.write("tools/extra.py", "#!/usr/bin/env python3\nprint(1)\n");
    let later = world.commit("another tool");
    let mut number = 0;
    let mut known = || {
        let mut body = runs([number]);
        let args = json!([{ "stringValue": "tools/extra.py" }, { "stringValue": number.to_string() }]);
        let span = &mut body["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        span["attributes"][0]["value"]["arrayValue"]["values"] = args;
        let revision = json!({ "key": "vcs.ref.head.revision", "value": { "stringValue": later.clone() } });
        span["attributes"].as_array_mut().expect("a list").push(revision);
        assert_eq!(post_json(serving.address, &body).status, 200);
        number += 1;
        let runs = recorded(&world);
        let newest = runs.iter().find(|run| run.input.display(80) == (number - 1).to_string()).expect("is there");
        (newest.tool.clone(), newest.version.as_str() != "unknown")
    };
    assert_eq!(known(), ("extra.py".into(), false));
    until("the tool is known", || known() == ("extra".into(), true));
    serving.stop().ok();
}

#[test]
fn clients_that_are_slow_or_silent_or_too_many_are_let_go_and_others_are_served() {
    let world = world("");
    let serving = Serving::start(&world);
    let address = serving.address;
    // One header byte at a time, for as long as it is listened to.
    let slow = thread::spawn(move || {
        let mut stream = connect(address);
        let began = Instant::now();
        stream.set_read_timeout(Some(Duration::from_millis(200))).expect("sets it");
        stream.write_all(b"POST /v1/traces HTTP/1.1\r\nX: ").expect("writes");
        loop {
            let _ = stream.write_all(b"x");
            match stream.read(&mut [0; 1024]) {
                Ok(0) => return began.elapsed(),
                Err(error) if !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                    return began.elapsed();
                }
                _ => assert!(began.elapsed() < PATIENCE, "is listened to for ever"),
            }
        }
    });
    let silent = thread::spawn(move || {
        let mut stream = connect(address);
        let head = format!("POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nContent-Length: 10\r\n\r\n{{");
        stream.write_all(head.as_bytes()).expect("writes");
        reply(&mut stream).expect("is told")
    });
    until("others are served", || get(address, "/healthz").status == 200);
    let idle: Vec<TcpStream> = (0..600).map(|_| connect(address)).collect();
    let files = || std::fs::read_dir(format!("/proc/{}/fd", serving.id().as_raw_nonzero())).expect("runs").count();
    until("connections are taken", || files() >= 500);
    assert_eq!(post_json(address, &runs([1])).status, 200);
    assert!(files() < 560, "{}", files());
    drop(idle);
    assert!(patiently(move || slow.join().expect("ends")) < Duration::from_secs(30));
    assert_eq!(patiently(move || silent.join().expect("ends")).status, 408);
    serving.stop().ok();
    assert_eq!(arguments(&world), ["1"]);
}

#[test]
fn where_it_cannot_listen_it_says_so_and_beyond_this_machine_it_warns() {
    let world = world("");
    let serving = Serving::start(&world);
    let taken = serving.address.to_string();
    world.fractal(&["serve", "--listen", &taken]).refused(1, &[&format!("listening at `{taken}`"), "--listen"]);
    world.fractal(&["serve", "--listen", "nonsense"]).refused(1, &["listening at `nonsense`"]);
    let mut open = world.fractal_command().args(["serve", "--listen", "0.0.0.0:0"]).spawn().expect("starts");
    let warnings = lines(open.stderr.take().expect("is piped"), str::to_string);
    let warning = warnings.recv_timeout(PATIENCE).expect("warns");
    assert!(warning.contains("nothing is encrypted or authenticated"), "{warning}");
    let out = lines(open.stdout.take().expect("is piped"), str::to_string);
    let first = out.recv_timeout(PATIENCE).expect("says where");
    assert!(first.starts_with("listening on http://0.0.0.0:") && !first.contains(":0 "), "{first}");
    open.kill().expect("runs");
    open.wait().expect("ends");
    world.write("fractal.toml", "[serve]\nbody_mib = 0\n");
    world.fractal(&["serve"]).refused(2, &["serve.body_mib"]);
}
