//! What `fractal mcp` adds to one call: the same client and the same server, with us in between and without.
//!
//! `cargo bench --bench mcp -- [CALLS]` (2,000 when not given). The server is this program itself; it answers every call at once with
//! its text, so that nothing but the way is measured. Calls go one after another, in rounds that alternate between the two ways.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The first argument that makes this program the server.
const SERVE: &str = "serve";
const ROUNDS: usize = 10;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == SERVE) {
        return serve();
    }
    let calls = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(2_000);
    let own = std::env::current_exe().expect("is known");
    let folder = tempfile::tempdir().expect("a folder");
    let git = Command::new("git").args(["init", "-q"]).current_dir(folder.path()).status().expect("git runs");
    assert!(git.success());

    println!("{calls} calls of a tool, one after another; repeat with: cargo bench --bench mcp -- {calls}");
    println!("the peer is the same client and server without us in between\n");
    let mut direct = Vec::new();
    let mut through = Vec::new();
    for round in 0..ROUNDS {
        let number = calls / ROUNDS;
        let mut directly = || direct.extend(timed(folder.path(), &[&own, Path::new(SERVE)], number));
        let mut with_us = || {
            let fractal = Path::new(env!("CARGO_BIN_EXE_fractal"));
            through.extend(timed(folder.path(), &[fractal, Path::new("mcp"), Path::new("--"), &own, Path::new(SERVE)], number));
        };
        // Whichever comes first may find a colder machine.
        match round % 2 {
            0 => (directly(), with_us()),
            _ => (with_us(), directly()),
        };
    }
    let (direct, through) = (Times::of(direct), Times::of(through));
    println!("without us  median {}  p99 {}", micros(direct.median), micros(direct.p99));
    println!("with us     median {}  p99 {}", micros(through.median), micros(through.p99));
    println!(
        "we add      median {}  p99 {}",
        micros(through.median.saturating_sub(direct.median)),
        micros(through.p99.saturating_sub(direct.p99))
    );
    println!("\n{} calls were recorded", recorded(folder.path()));
}

struct Times {
    median: Duration,
    p99: Duration,
}

impl Times {
    fn of(mut times: Vec<Duration>) -> Times {
        times.sort_unstable();
        Times { median: times[times.len() / 2], p99: times[times.len() * 99 / 100] }
    }
}

fn micros(time: Duration) -> String {
    format!("{:>7.1} µs", time.as_secs_f64() * 1e6)
}

/// How long each call takes; the first few, in which both sides warm up, are left out.
fn timed(folder: &Path, command: &[&Path], calls: usize) -> Vec<Duration> {
    const WARM_UP: usize = 20;
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut client = Client::of(&mut child);
    client.ask(0, "initialize", &json!({"clientInfo": {"name": "bench", "version": "1"}}));
    let mut times = Vec::with_capacity(calls);
    for number in 1..=WARM_UP + calls {
        let text = format!("call {number}: {}", "x".repeat(200));
        let begun = Instant::now();
        client.ask(number, "tools/call", &json!({"name": "echo", "arguments": {"text": text}}));
        if number > WARM_UP {
            times.push(begun.elapsed());
        }
    }
    drop(client);
    assert!(child.wait().expect("ends").success());
    times
}

struct Client {
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    line: String,
}

impl Client {
    fn of(child: &mut Child) -> Client {
        let to = child.stdin.take().expect("is piped");
        Client { to, from: BufReader::new(child.stdout.take().expect("is piped")), line: String::new() }
    }

    fn ask(&mut self, id: usize, method: &str, params: &Value) {
        let mut request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string();
        request.push('\n');
        self.to.write_all(request.as_bytes()).expect("is read");
        self.line.clear();
        self.from.read_line(&mut self.line).expect("is answered");
        let answer: Value = serde_json::from_str(&self.line).expect("is JSON");
        assert_eq!(answer["id"], id);
    }
}

fn serve() {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line.expect("reads")).expect("is JSON");
        let result = match request["method"].as_str() {
            Some("initialize") => json!({"serverInfo": {"name": "echo", "version": "1"}}),
            _ => json!({"content": [{"type": "text", "text": request["params"]["arguments"]["text"]}]}),
        };
        let mut answer = json!({"jsonrpc": "2.0", "id": request["id"], "result": result}).to_string();
        answer.push('\n');
        out.write_all(answer.as_bytes()).expect("is read");
        out.flush().expect("is read");
    }
}

fn recorded(folder: &Path) -> u64 {
    use fractal::world::store::{SqliteStore, Store};
    let store = SqliteStore::open(&folder.join(".git/fractal/executions.db")).expect("opens");
    store.size().expect("is known").0
}
