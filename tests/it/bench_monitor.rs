//! `fractal bench monitor`: the same seed gives the same table, ours is seldom wrong, and it fits a terminal.

use serde_json::Value;

use crate::support::{hermetic, text};

fn bench(arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = hermetic(env!("CARGO_BIN_EXE_fractal"), folder.path(), folder.path());
    let done = command.args(["bench", "monitor"]).args(arguments).output().expect("runs");
    assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");
    text(&done.stdout)
}

#[test]
fn a_seed_gives_one_table_however_many_work_at_it() {
    let one = bench(&["--runs", "24", "--seed", "3", "--json"]);
    assert_eq!(one, bench(&["--runs", "24", "--seed", "3", "--jobs", "2", "--json"]));
    assert_ne!(one, bench(&["--runs", "24", "--seed", "4", "--json"]));
    let lines: Vec<Value> = one.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |rule: &str, before: f64, after: f64, outages: bool| {
        let is_it = |line: &&Value| {
            line["rule"] == rule && line["before"] == before && line["after"] == after && line["outages"] == outages
        };
        let found: Vec<&Value> = lines.iter().filter(is_it).collect();
        assert_eq!(found.len(), 1, "{rule} {before} {after} {outages}");
        let share = |name: &str| found[0][name].as_f64().expect("a share");
        (share("reverted"), share("unconfirmed"), found[0]["runs_until"].as_f64())
    };
    assert_eq!(of("Fractal", 0.95, 0.95, true).0, 0.0);
    assert!(of("  nor episodes", 0.95, 0.95, true).0 > 0.1);
    assert!(of("Argo-like windows", 0.95, 0.95, false).0 > 0.8);
    let (reverted, unconfirmed, delay) = of("Fractal", 0.95, 0.5, false);
    assert!(reverted > 0.9 && reverted + unconfirmed > 0.99 && delay < Some(30.0), "{reverted} {unconfirmed} {delay:?}");
}

#[test]
fn the_tables_fit_a_hundred_columns() {
    let told = bench(&["--runs", "2"]);
    assert!(told.contains("0.95→0.85") && told.contains("0.99, outages") && told.contains("z-test at 1 %"), "{told}");
    let tables = told.lines().filter(|line| line.starts_with(['│', '┌', '╞', '└']));
    tables.for_each(|line| assert!(line.chars().count() <= 100, "{} columns: {line}", line.chars().count()));
}
