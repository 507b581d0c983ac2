//! How fast executions get into PostgreSQL with their rollups, beside a plain binary `COPY` of the same rows into a table with the
//! same key.
//!
//! `cargo bench --bench copy -- [RUNS]` (half a million when not given). Starts a server of its own, with the settings that it is
//! installed with but for room for the write-ahead log. The rows for `COPY` are encoded
//! beforehand and read by the server itself: it is given nothing to do but to copy.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod common;
#[path = "../tests/it/server.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod server;

use std::time::{Duration, Instant};

use fractal::model::{CaptureLevel, NewExecution};
use fractal::world::store::{PostgresStore, Store};

const BATCH: u64 = 20_000;
/// Each is measured so often, in turn; the middle counts.
const ROUNDS: usize = 3;

fn main() {
    let runs = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(500_000);
    let Some(server) = server::Server::start(&["max_wal_size=8GB"]) else {
        println!("not run: no PostgreSQL found");
        return;
    };
    println!("{runs} executions into PostgreSQL, in batches of {BATCH}; repeat with: cargo bench --bench copy -- {runs}\n");
    for capture in [CaptureLevel::Digest, CaptureLevel::Redacted] {
        let fleet = common::Fleet { tools: 1_000, runs, capture };
        let (mut ours_all, mut plain_all) = (Vec::new(), Vec::new());
        let mut size = 0;
        for _ in 0..ROUNDS {
            let address = server.socket_address(&server.database());
            ours_all.push(ours(&fleet, &address));
            size = PostgresStore::open(&address).expect("opens").size().expect("reads").1;
            plain_all.push(plain(&server, &address));
        }
        let (ours, plain) = (middle(ours_all), middle(plain_all));
        println!("{capture:?}: {:.0} executions/s with rollups, {} bytes each on disk", runs as f64 / ours, size / runs);
        println!("        {:.0} rows/s by a plain COPY: we reach {:.2} of it\n", runs as f64 / plain, plain / ours);
    }
}

fn middle(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// Seconds from executions to the committed store.
fn ours(fleet: &common::Fleet, address: &str) -> f64 {
    let mut store = PostgresStore::open(address).expect("opens");
    let mut spent = Duration::ZERO;
    for begin in (0..fleet.runs).step_by(BATCH as usize) {
        let batch: Vec<NewExecution> = (begin..(begin + BATCH).min(fleet.runs)).map(|number| fleet.run(number)).collect();
        let started = Instant::now();
        let stored = store.record_all(&batch).expect("stores");
        spent += started.elapsed();
        assert_eq!(stored.new, batch.len() as u64);
    }
    spent.as_secs_f64()
}

/// Seconds of a `COPY` of what is in the store, in the order of time, into a table like that of executions. The server reads the rows
/// from a file: nobody has to send them.
fn plain(server: &server::Server, address: &str) -> f64 {
    let file = server.file("rows");
    let prepare = format!(
        "create table plain (like fractal.execution, primary key (series, id));
         copy (select * from fractal.execution order by id) to '{file}' binary; checkpoint"
    );
    server::ask(address, &prepare).expect("prepares");
    let started = Instant::now();
    server::ask(address, &format!("copy plain from '{file}' binary")).expect("copies");
    started.elapsed().as_secs_f64()
}
