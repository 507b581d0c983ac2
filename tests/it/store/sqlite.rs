//! What only the store in a file has: stores of earlier and of newer versions.

use std::path::Path;

use fractal::model::{Arg, BlobId, Exit, Outcome, Version};
use fractal::world::store::{SqliteStore, Store, StoreError};
use jiff::Timestamp;
use rusqlite::Connection;

use super::truth::{all, audit, runs};

/// A store as the first version wrote it: a row of text for each execution, 64 digits for each blob, no rollups.
const FIRST: &str = r#"
create table execution (
  id text primary key, tool text not null, version text not null, at integer not null, duration integer not null,
  input text not null, input_digest text not null, exit text not null, outcome text not null,
  fingerprint text, failure text, stdout text, stderr text, caller text not null, marked integer not null default 0, expected text
) without rowid;
create index execution_by_tool on execution (tool, version, outcome, at);
create index execution_by_time on execution (at);
create table blob (id text primary key, content blob not null) without rowid;
create table counter (name text primary key, value integer not null) without rowid;
insert into counter values ('cycles', 3), ('last_check', 1700000000000);
insert into blob values ('STDIN', cast('in' as blob)), ('STDOUT', cast('out' as blob)), ('RIGHT', cast('right' as blob));
insert into execution values
  ('018bcfe5-6800-7000-8000-000000000001', 'greet', 'v1', 1699999999000, 1500,
   '{"args":["a b",{"hex":"ff00"}],"stdin":"STDIN","cwd":"sub","truncated":false}', 'd1', '{"code":0}', 'success',
   null, null, 'STDOUT', null, 'exec', 0, null),
  ('018bcfe5-6801-7000-8000-000000000002', 'greet', 'v1', 1699999999500, 2500,
   '{"args":["crash"],"stdin":null,"cwd":null,"truncated":false}', 'd2', '{"signal":11}', 'failure',
   'f1-0123456789abcdef', '{"fingerprint":"f1-0123456789abcdef","class":"signal 11","message":"","frames":[]}', null, null, 'ci-7', 0, null),
  ('018bcfe5-6802-7000-8000-000000000003', 'greet', 'v2', 1700000000000, 10,
   '{"args":[],"stdin":null,"cwd":"","truncated":true}', 'd3', '"timed_out"', 'failure',
   'f1-f0f0f0f0f0f0f0f0', '{"fingerprint":"f1-f0f0f0f0f0f0f0f0","class":"wrong output","message":"marked","frames":[]}',
   'STDOUT', 'STDOUT', 'exec', 1, 'RIGHT'),
  ('018bcfe5-6803-7000-8000-000000000004', 'other', 'v1', 1700000000500, 10,
   '{"args":[],"stdin":null,"cwd":"","truncated":false}', 'd4', '{"not_started":"no sh"}', 'error', null, null, null, null, 'exec', 0, null);
pragma user_version = 1;
"#;

fn first(path: &Path) {
    let long = |text: &str| blake3::hash(text.as_bytes()).to_hex().to_string();
    let sql = FIRST.replace("STDIN", &long("in")).replace("STDOUT", &long("out")).replace("RIGHT", &long("right"));
    Connection::open(path).expect("opens").execute_batch(&sql).expect("writes");
}

#[test]
fn a_store_of_the_first_version_is_brought_forward_with_everything_in_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("executions.db");
    for reading in [true, false] {
        let _ = std::fs::remove_file(&path);
        first(&path);
        if reading {
            let store = SqliteStore::open_to_read(&path).expect("opens").expect("is there");
            assert_eq!(all(&store).len(), 4);
        }
        let mut store = SqliteStore::open(&path).expect("opens");
        let [error, marked, failed, good] = all(&store).try_into().expect("four");
        assert_eq!((good.tool.as_str(), good.version.as_str(), good.outcome), ("greet", "v1", Outcome::Success));
        assert_eq!((good.at.as_millisecond(), good.duration.as_micros()), (1_699_999_999_000, 1_500));
        assert_eq!((&good.input.args[1], good.input.cwd.as_deref()), (&Arg(vec![0xff, 0]), Some("sub")));
        assert_eq!(good.stdout, Some(BlobId::of(b"out")));
        let loaded = store.load(good).expect("reads");
        assert_eq!((loaded.stdin.as_slice(), loaded.stdout.as_slice()), (&b"in"[..], &b"out"[..]));
        assert_eq!((failed.exit, failed.caller.as_str()), (Exit::Signal(11), "ci-7"));
        assert_eq!(store.stderr(&marked).expect("reads"), b"out");
        let loaded = store.load(marked).expect("reads");
        assert_eq!(loaded.expected, Some(b"right".to_vec()));
        assert!(loaded.execution.input.truncated && loaded.execution.mark.is_some());
        assert_eq!(error.exit, Exit::NotStarted("no sh".into()));
        let counters = store.counters().expect("reads");
        assert_eq!((counters.cycles_completed, counters.last_check.map(Timestamp::as_second)), (3, Some(1_700_000_000)));
        let hours = store.hours("greet", &Version("v1".into()), Timestamp::UNIX_EPOCH).expect("reads");
        assert_eq!(hours.iter().map(|hour| hour.caller.as_str()).collect::<Vec<_>>(), ["exec", "ci-<n>"]);
        audit(&mut store);
        store.record_all(&runs("greet", "v1", 1_700_000_000_000, 5)).expect("stores");
        audit(&mut store);
    }
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_not_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("executions.db");
    drop(SqliteStore::open(&path).expect("opens"));
    let known: i64 = {
        let connection = Connection::open(&path).expect("opens");
        let known = connection.pragma_query_value(None, "user_version", |row| row.get(0)).expect("reads");
        connection.pragma_update(None, "user_version", known + 1).expect("writes");
        known
    };
    let before = std::fs::read(&path).expect("reads");
    let refusals =
        [SqliteStore::open(&path).err(), SqliteStore::open_briefly(&path).err(), SqliteStore::open_to_read(&path).err()];
    for refusal in refusals {
        let said = refusal.expect("refuses").to_string();
        assert!(said.contains(&format!("format {}", known + 1)) && said.contains(&format!("up to {known}")), "{said}");
    }
    assert!(matches!(SqliteStore::open(&path), Err(StoreError::Newer { .. })));
    assert!(std::fs::read(&path).expect("reads") == before);
}
