//! How fast executions get into PostgreSQL with their rollups, beside a plain binary `COPY` of the same rows into a table with the
//! same key.
//!
//! `cargo bench --bench copy -- [RUNS]` (half a million when not given). Starts a server of its own, with the settings that it is
//! installed with but for room for the write-ahead log. The rows for `COPY` are encoded beforehand: that program has nothing to do but
//! to send them.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod common;
#[path = "../tests/it/server.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod server;

use std::error::Error;
use std::pin::pin;
use std::time::{Duration, Instant};

use fractal::model::{CaptureLevel, NewExecution};
use fractal::world::store::{PostgresStore, Store};
use tokio_postgres::NoTls;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

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
        let (mut ours_all, mut sent_all, mut local_all) = (Vec::new(), Vec::new(), Vec::new());
        let mut size = 0;
        for _ in 0..ROUNDS {
            let address = server.socket_address(&server.database());
            ours_all.push(ours(&fleet, &address));
            size = PostgresStore::open(&address).expect("opens").size().expect("reads").1;
            let (sent, local) = plain(&server, &address);
            sent_all.push(sent);
            local_all.push(local);
        }
        let (ours, sent, local) = (middle(ours_all), middle(sent_all), middle(local_all));
        println!("{capture:?}: {:.0} executions/s with rollups, {} bytes each on disk", runs as f64 / ours, size / runs);
        println!("        {:.0} rows/s by a plain COPY: we reach {:.2} of it", runs as f64 / sent, sent / ours);
        println!("        {:.0} rows/s by a plain COPY of a file on the server: {:.2}\n", runs as f64 / local, local / ours);
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

/// Seconds of a `COPY` of what is in the store, in the order of time, into a table like that of executions; of a program like ours
/// that has the rows, and when the server has them in a file and nobody needs to send them.
fn plain(server: &server::Server, address: &str) -> (f64, f64) {
    let file = server.folder.join("rows").display().to_string();
    let prepare = format!(
        "create table plain (like fractal.execution, primary key (series, id)); create table local (like plain including all);
         copy (select * from fractal.execution order by id) to '{file}' binary; checkpoint"
    );
    server::ask(address, &prepare).expect("prepares");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let sent = runtime.block_on(async {
        let (client, talk) = tokio_postgres::connect(address, NoTls).await.expect("connects");
        tokio::spawn(talk);
        let rows = client.query("select * from fractal.execution order by id", &[]).await.expect("reads");
        let types: Vec<Type> = rows[0].columns().iter().map(|column| column.type_().clone()).collect();
        let rows: Vec<Vec<Value>> = rows.iter().map(|row| (0..types.len()).map(|column| row.get(column)).collect()).collect();
        let started = Instant::now();
        let sink = client.copy_in("copy plain from stdin binary").await.expect("copies");
        let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
        for row in &rows {
            writer.as_mut().write_raw(row).await.expect("copies");
        }
        writer.finish().await.expect("copies");
        started.elapsed().as_secs_f64()
    });
    let started = Instant::now();
    server::ask(address, &format!("copy local from '{file}' binary")).expect("copies");
    (sent, started.elapsed().as_secs_f64())
}

/// A value of any type, as it goes over the line.
#[derive(Debug)]
struct Value(Option<Vec<u8>>);

impl<'a> FromSql<'a> for Value {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Value(Some(raw.to_vec())))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Value(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl ToSql for Value {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let Value(Some(bytes)) = self else { return Ok(IsNull::Yes) };
        out.extend_from_slice(bytes);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
