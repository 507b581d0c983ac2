//! What a cycle asks the execution store: rollups, and executions only through their key.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::server::ask;
use crate::store;
use crate::support::{CALCULATOR, CALCULATOR_TEST, Repository, text};

/// The statements that a cycle runs.
fn statements(repository: &Repository) -> BTreeSet<String> {
    let mut command = repository.hermetic(env!("CARGO_BIN_EXE_fractal"));
    let done = command.args(["run", "--json"]).env("FRACTAL_LOG", "trace").output().expect("runs");
    assert!(done.status.success(), "{done:?}");
    let told = text(&done.stderr);
    told.lines().filter_map(|line| Some(line.split_once("fractal::sql: ")?.1.to_string())).collect()
}

/// The steps of a statement's plan that go through all executions.
fn scans(database: &Connection, sql: &str) -> Vec<String> {
    let plan = database.prepare(&format!("explain query plan {sql}"));
    let mut plan = plan.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let count = plan.parameter_count();
    let nothing = rusqlite::params_from_iter((0..count).map(|_| rusqlite::types::Null));
    let steps: Vec<String> =
        plan.query_map(nothing, |row| row.get("detail")).expect("is planned").map(|step| step.expect("reads")).collect();
    let of_executions = |step: &String| {
        let table = step.split_whitespace().nth(1).unwrap_or_default();
        step.starts_with("SCAN") && (table == "execution" || table == "e" && sql.contains("execution e"))
    };
    steps.into_iter().filter(of_executions).collect()
}

/// Not planned: a transaction's beginning and end, and settings.
fn is_query(sql: &str) -> bool {
    ["select", "insert", "delete", "update", "replace"].iter().any(|word| sql.to_lowercase().starts_with(word))
}

#[test]
fn no_query_on_the_path_of_a_cycle_goes_through_all_executions() {
    let mut asked = BTreeSet::new();
    // One that finds and repairs, one that counts for a watch, one that confirms an alarm, one with nothing to do.
    let repositories = [Repository::failing(), Repository::landed(), Repository::landed_orders(), Repository::kept()];
    repositories[2].orders_with_long_references();
    for repository in &repositories {
        asked.extend(statements(repository));
    }
    let database = Connection::open(repositories[0].root().join(".git/fractal/executions.db")).expect("opens");
    let queries: Vec<&String> = asked.iter().filter(|sql| is_query(sql)).collect();
    assert!(queries.iter().filter(|sql| sql.contains("from execution")).count() >= 2, "{queries:#?}");
    for table in ["rollup", "day", "failing", "dirty"] {
        assert!(queries.iter().any(|sql| sql.contains(table)), "nothing asked of `{table}`: {queries:#?}");
    }
    let wrong: Vec<_> = queries.iter().map(|sql| (sql, scans(&database, sql))).filter(|(_, scans)| !scans.is_empty()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_scan_of_executions_would_be_noticed() {
    let repository = Repository::failing();
    let database = Connection::open(repository.root().join(".git/fractal/executions.db")).expect("opens");
    assert_eq!(scans(&database, "select count(*) from execution where exit = ?1").len(), 1);
    assert_eq!(scans(&database, "select e.exit from execution e where e.outcome = 1").len(), 1);
    assert_eq!(scans(&database, "select e.exit from execution e where e.series = ?1 and e.id > ?2").len(), 0);
}

/// Times that the server went through all of a table.
fn scans_of(address: &str, table: &str) -> u64 {
    // A connection's counts are told when it ends, which the server does in its own time after the client has gone.
    let others = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() \
                  and backend_type = 'client backend'";
    let deadline = Instant::now() + Duration::from_secs(60);
    while ask(address, others).expect("answers")[0][0] != "0" {
        assert!(Instant::now() < deadline, "a connection does not end");
    }
    let sql = format!("select seq_scan from pg_stat_user_tables where schemaname = 'fractal' and relname = '{table}'");
    ask(address, &sql).expect("answers")[0][0].parse().expect("a number")
}

#[test]
fn nor_does_a_cycle_on_postgresql() {
    let Some(server) = store::server() else { return };
    let database = server.database();
    let address = server.address(&database);
    // Small tables are read whole because that is cheaper. Here they are only when nothing else is possible.
    ask(&address, &format!("alter database {database} set enable_seqscan = off")).expect("sets");
    let repository = Repository::of("calculator", CALCULATOR, CALCULATOR_TEST);
    let fractal = |arguments: &[&str]| {
        let mut command = repository.hermetic(env!("CARGO_BIN_EXE_fractal"));
        command.args(arguments).env("FRACTAL_STORE", &address).output().expect("runs")
    };
    for number in 1..=5 {
        fractal(&["exec", "calculator", "--", "add", &number.to_string(), "4"]);
        fractal(&["exec", "calculator", "--", "div", &number.to_string(), "0"]);
    }
    // One repairs, and one counts for the watch.
    for stage in ["watching", "kept"] {
        let before = scans_of(&address, "execution");
        let told = fractal(&["run", "--json"]);
        assert!(told.status.success(), "{told:?}");
        assert_eq!(scans_of(&address, "execution"), before, "in the cycle until {stage}");
        assert!(text(&fractal(&["log"]).stdout).contains(stage));
        for number in 1..=7 {
            fractal(&["exec", "calculator", "--", "add", &number.to_string(), "5"]);
        }
    }
    let before = scans_of(&address, "execution");
    ask(&address, "select count(*) from fractal.execution where exit = 1").expect("answers");
    assert!(scans_of(&address, "execution") > before, "a scan is noticed");
}
