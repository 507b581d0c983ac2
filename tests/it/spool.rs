//! Runs that wait on disk while the execution store is away.

use std::fs;
use std::path::PathBuf;

use fractal::model::Execution;
use fractal::world::store::{Query, SqliteStore, Store};
use rusqlite::Connection;

use crate::common::World;

const TOOL: &str = "[[tool]]\nname = \"greet\"\npaths = [\"greet.sh\"]\nrun = [\"sh\", \"greet.sh\"]\neffects = \"none\"\n";

fn world(config: &str) -> World {
    let world = World::empty();
    world.write("fractal.toml", format!("{config}{TOOL}"));
    world.write("greet.sh", "echo hello $1; test \"$1\" != bad\n");
    world.commit("greet");
    world
}

fn database(world: &World) -> PathBuf {
    world.repo().join(".git/fractal/executions.db")
}

fn waiting(world: &World) -> Vec<PathBuf> {
    let entries = fs::read_dir(world.repo().join(".git/fractal/spool")).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// The recorded runs, oldest first.
fn recorded(world: &World) -> Vec<Execution> {
    let store = SqliteStore::open(&database(world)).expect("opens");
    let mut runs = store.executions(&Query { limit: 1_000, ..Query::default() }).expect("reads");
    runs.reverse();
    runs
}

fn arguments(runs: &[Execution]) -> Vec<String> {
    runs.iter().map(|run| run.input.display(80)).collect()
}

/// Makes the store one of a newer Fractal, or ours again.
fn set_format(world: &World, format: i64) -> i64 {
    let store = Connection::open(database(world)).expect("opens");
    let before = store.pragma_query_value(None, "user_version", |row| row.get(0)).expect("reads");
    store.pragma_update(None, "user_version", format).expect("writes");
    before
}

#[test]
fn runs_wait_while_the_store_is_away_and_are_stored_in_order_exactly_once() {
    let world = world("");
    world.exec("greet", &["first"]).ok();
    let format = set_format(&world, 99);
    for name in ["a", "bad", "c"] {
        let said = world.exec("greet", &[name]);
        assert!(said.err.contains("waits on disk") && said.err.contains("format 99"), "{said:#?}");
    }
    assert_eq!(waiting(&world).len(), 3);
    let before = waiting(&world)[0].clone();
    let copy = fs::read(&before).expect("reads");
    set_format(&world, format);
    let said = world.exec("greet", &["last"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    assert_eq!(arguments(&recorded(&world)), ["first", "a", "bad", "c", "last"]);
    assert!(waiting(&world).is_empty());
    // A kill between storing and removing leaves the file: it is known by its identity.
    fs::write(&before, copy).expect("writes");
    world.fractal(&["run"]).ok();
    assert_eq!(arguments(&recorded(&world)), ["first", "a", "bad", "c", "last"]);
    assert!(waiting(&world).is_empty());
}

#[test]
fn a_cycle_stores_what_waits_before_it_looks_and_secrets_do_not_wait_either() {
    let world = world("");
    world.exec("greet", &["first"]).ok();
    let format = set_format(&world, 99);
    let token = format!("ghp_{}", "a1B2".repeat(9));
    world.exec("greet", &[&token]).ok();
    for path in waiting(&world) {
        assert!(!String::from_utf8_lossy(&fs::read(path).expect("reads")).contains(&token));
    }
    set_format(&world, format);
    world.fractal(&["run"]).ok();
    assert_eq!(arguments(&recorded(&world)), ["first", "'[redacted]'"]);
}

#[test]
fn what_waits_is_bounded_and_what_nobody_can_read_is_put_aside() {
    let world = world("[record]\nspool_mib = 0\n");
    world.exec("greet", &["first"]).ok();
    let format = set_format(&world, 99);
    let said = world.exec("greet", &["lost"]);
    assert!(said.err.contains("was not recorded") && said.err.contains("spool_mib"), "{said:#?}");
    set_format(&world, format);
    let spool = world.repo().join(".git/fractal/spool");
    fs::write(spool.join("x.json"), "half a li").expect("writes");
    world.exec("greet", &["last"]).ok();
    assert_eq!(arguments(&recorded(&world)), ["first", "last"]);
    assert!(spool.join("x.unreadable").is_file());
}
