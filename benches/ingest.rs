//! How fast JSON lines become executions with rollups in SQLite, beside the `sqlite3` shell importing the same rows raw.
//!
//! `cargo bench --bench ingest -- [RUNS]` (a million when not given). Everything runs on one core.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod common;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use fractal::config::Config;
use fractal::model::{CaptureLevel, SuccessRule};
use fractal::record::Intake;
use fractal::record::lines::Line;
use fractal::world::store::{SqliteStore, Store};

const BATCH: usize = 50_000;

fn main() {
    let runs = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    on_one_core();
    let folder = tempfile::tempdir().expect("a folder");
    println!("ingest of {runs} executions as JSON lines, one core; repeat with: cargo bench --bench ingest -- {runs}\n");
    for capture in [CaptureLevel::Digest, CaptureLevel::Redacted] {
        let fleet = common::Fleet { tools: 1_000, runs, capture };
        let lines = folder.path().join("runs.jsonl");
        let csv = folder.path().join("runs.csv");
        write_lines(&fleet, &lines);
        write_csv(&fleet, &csv);
        let database = folder.path().join("executions.db");
        let ours = ours(&fleet, &lines, &database);
        let size = std::fs::metadata(&database).expect("is there").len() as f64 / runs as f64;
        println!("{capture:?}: {:.0} executions/s, {size:.0} bytes each on disk", runs as f64 / ours);
        match raw(&csv, &folder.path().join("raw.db")) {
            Some(raw) => println!(
                "        {:.0} rows/s by the sqlite3 shell, raw, keyed by id: we reach {:.2} of it\n",
                runs as f64 / raw,
                raw / ours
            ),
            None => println!("        no sqlite3 shell found to compare with\n"),
        }
        for name in ["executions.db", "raw.db"] {
            let _ = std::fs::remove_file(folder.path().join(name));
        }
    }
}

/// Puts this process, and whatever it starts, on one core.
fn on_one_core() {
    let mut set = rustix::thread::CpuSet::new();
    set.set(0);
    rustix::thread::sched_setaffinity(None, &set).expect("may choose a core");
}

/// Seconds from text to the committed store.
fn ours(fleet: &common::Fleet, lines: &Path, database: &Path) -> f64 {
    let mut config = Config::default();
    config.record.capture = fleet.capture;
    let intake = Intake::new(&config, "/nowhere");
    let rule = SuccessRule::default();
    let started = Instant::now();
    let text = std::fs::read_to_string(lines).expect("reads");
    let mut store = SqliteStore::open(database).expect("opens");
    let mut batch = Vec::with_capacity(BATCH);
    for line in text.lines() {
        batch.push(Line::parse(line).expect("reads").admit(&intake, &rule));
        if batch.len() == BATCH {
            store.record_all(&batch).expect("stores");
            batch.clear();
        }
    }
    store.record_all(&batch).expect("stores");
    drop(store);
    started.elapsed().as_secs_f64()
}

fn write_lines(fleet: &common::Fleet, path: &Path) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).expect("makes"));
    for number in 0..fleet.runs {
        let new = fleet.run(number);
        writeln!(file, "{}", Line::of(&new).text().expect("writes")).expect("writes");
    }
    file.flush().expect("writes");
}

fn write_csv(fleet: &common::Fleet, path: &Path) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).expect("makes"));
    for number in 0..fleet.runs {
        let e = fleet.run(number).execution;
        let args: Vec<String> = e.input.args.iter().map(ToString::to_string).collect();
        let failure = e.failure.as_ref().map(|f| f.fingerprint.as_str().to_string()).unwrap_or_default();
        let stdout = e.stdout.as_ref().map(|b| b.0.as_str()).unwrap_or_default();
        writeln!(
            file,
            "{},{},{},{},{},{},{},{},{:?},{failure},{stdout},{}",
            e.id,
            e.tool,
            e.version,
            e.at,
            e.duration.as_micros(),
            args.join(" "),
            e.input.digest(),
            e.exit,
            e.outcome,
            e.caller
        )
        .expect("writes");
    }
}

/// Seconds of the `sqlite3` shell, from the file to the committed table; `None` when there is none.
fn raw(csv: &Path, database: &Path) -> Option<f64> {
    let script = format!(
        "pragma journal_mode = wal; pragma synchronous = normal;
create table execution (id text primary key, tool text, version text, at text, duration integer, args text, input text, exit text,
  outcome text, failure text, stdout text, caller text) without rowid;
.mode csv
.import {} execution
",
        csv.display()
    );
    let started = Instant::now();
    let mut child = Command::new("sqlite3").arg(database).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().ok()?;
    child.stdin.take().expect("is piped").write_all(script.as_bytes()).expect("writes");
    assert!(child.wait().expect("ends").success());
    Some(started.elapsed().as_secs_f64())
}
