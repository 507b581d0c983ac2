//! What a cycle costs: with no news, and with news of 50 tools, over a short and a long history. And the room that the history takes.
//!
//! `cargo bench --bench cycle -- [RUNS…]` (100000 and 10000000 when not given).

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod common;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use fractal::Loop;
use fractal::model::{CaptureLevel, CommitId, ExecutionId, Exit, Failure, NewExecution, Outcome, Version};
use fractal::world::clock::Clock;
use fractal::world::git::Repo;
use fractal::world::store::{SqliteStore, Store};
use jiff::Timestamp;

const TOOLS: u64 = 1_000;
const DIRTY: u64 = 50;
const TIMES: usize = 21;
const BATCH: u64 = 100_000;

fn main() {
    let asked: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let histories = if asked.is_empty() { vec![100_000, 10_000_000] } else { asked };
    let list: Vec<String> = histories.iter().map(u64::to_string).collect();
    println!("a cycle over {TOOLS} tools, median of {TIMES}; repeat with: cargo bench --bench cycle -- {}\n", list.join(" "));
    let quiet: Vec<Duration> = histories.iter().map(|runs| measure(*runs)).collect();
    if let [first, .., last] = quiet.as_slice() {
        let ratio = last.as_secs_f64() / first.as_secs_f64();
        println!("\nthe longest history takes {ratio:.2} times as long as the shortest, without news");
    }
}

/// Prints the figures of a history of that length; the time of a cycle without news.
fn measure(runs: u64) -> Duration {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("repo");
    make_repository(&root);
    let repo = Repo::open(&root).expect("opens");
    let database = root.join(".git/fractal/executions.db");
    let mut store = SqliteStore::open(&database).expect("opens");
    let versions = versions(&repo);
    let fleet = common::Fleet { tools: TOOLS, runs, capture: CaptureLevel::Digest };
    let started = Instant::now();
    for first in (0..runs).step_by(BATCH as usize) {
        let batch: Vec<NewExecution> = (first..(first + BATCH).min(runs)).map(|number| run(&fleet, number, &versions)).collect();
        store.record_all(&batch).expect("stores");
    }
    let (stored, bytes) = store.size().expect("counts");
    println!(
        "{stored} executions, stored in {:.0} s, {:.1} bytes each on disk ({:?})",
        started.elapsed().as_secs_f64(),
        bytes as f64 / stored as f64,
        fleet.capture
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let clock = Clock::Fixed(std::sync::Arc::new(std::sync::atomic::AtomicI64::new(common::now().as_millisecond())));
    let cycle = || {
        let engine = Loop::builder(&root).clock(clock.clone()).build().expect("builds");
        let started = Instant::now();
        let report = runtime.block_on(engine.run_cycle()).expect("runs");
        (started.elapsed(), report.tools_analysed)
    };
    let (first, analysed) = cycle();
    println!("    first cycle      {:>7.1} ms, {analysed} tools looked at", milliseconds(first));
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    let quiet = median((0..TIMES).map(|_| looked_at(cycle(), 0)).collect());
    println!("    no news          {:>7.1} ms", milliseconds(quiet));
    let busy = |round: usize| {
        let news: Vec<NewExecution> = (0..DIRTY).map(|tool| failure(&fleet, tool * 17 % TOOLS, round, &versions)).collect();
        store.record_all(&news).expect("stores");
        looked_at(cycle(), DIRTY)
    };
    let busy = median((0..TIMES).map(busy).collect());
    let more = milliseconds(busy.saturating_sub(quiet));
    println!("    news of {DIRTY} tools {:>7.1} ms, {more:.1} ms more", milliseconds(busy));
    quiet
}

fn looked_at((time, analysed): (Duration, u64), wanted: u64) -> Duration {
    assert_eq!(analysed, wanted, "the cycle looks at the tools with news");
    time
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A thousand declared tools, and thresholds that let no opportunity arise: the cost of looking is measured, not that of repairs.
fn make_repository(root: &Path) {
    std::fs::create_dir_all(root.join("tools")).expect("makes a folder");
    let mut config = String::from("[detect]\nrecent_failures = 1000000000\nthreshold = 0.01\nhigh_below = 0.01\n");
    for tool in 0..TOOLS {
        let path = format!("tools/t{tool}.py");
        std::fs::write(root.join(&path), format!("# tool {tool}\n")).expect("writes");
        config.push_str(&format!("[[tool]]\nname = \"tool-{tool:04}\"\npaths = [\"{path}\"]\nrun = [\"python3\", \"{path}\"]\n"));
    }
    std::fs::write(root.join("fractal.toml"), config).expect("writes");
    for args in [
        &["init", "-q", "-b", "main"][..],
        &["add", "-A"],
        &["-c", "user.name=A", "-c", "user.email=a@localhost", "commit", "-q", "-m", "tools"],
    ] {
        assert!(Command::new("git").current_dir(root).args(args).status().expect("git runs").success());
    }
}

/// What each tool is at the tip.
fn versions(repo: &Repo) -> Vec<Version> {
    let tip = CommitId(repo.tip("main").expect("a commit").0);
    let of = |tool: u64| repo.version_at(&tip, &[format!("tools/t{tool}.py")]).expect("reads").expect("is there");
    (0..TOOLS).map(of).collect()
}

fn run(fleet: &common::Fleet, number: u64, versions: &[Version]) -> NewExecution {
    let mut new = fleet.run(number);
    if new.execution.version.0.starts_with("after") {
        let tool: usize = new.execution.tool.trim_start_matches("tool-").parse().expect("a number");
        new.execution.version = versions[tool].clone();
    }
    new
}

/// A failure of a kind that was not seen before.
fn failure(fleet: &common::Fleet, tool: u64, round: usize, versions: &[Version]) -> NewExecution {
    let mut new = fleet.run(fleet.runs - 1);
    let ended: Timestamp = common::now() - Duration::from_secs(60);
    let execution = &mut new.execution;
    execution.id = ExecutionId::derived(ended, &[b"news", &tool.to_le_bytes(), &round.to_le_bytes()]);
    execution.tool = format!("tool-{tool:04}");
    execution.version = versions[tool as usize].clone();
    (execution.exit, execution.outcome, execution.stdout) = (Exit::Code(1), Outcome::Failure, None);
    execution.failure = Some(Failure::new(&Exit::Code(1), Some(format!("NewError{}", round % 3)), "", Vec::new()));
    new
}
