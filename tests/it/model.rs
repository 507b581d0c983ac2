//! A model in the loop: what it may do, what it costs, and that the gate decides and not the model.

use serde_json::Value;

use crate::oracle::{KEY, Oracle, Say};
use crate::support::{MOMENTS, Repository, Told, text, word};

/// Does not know hours. No template knows how many seconds they have.
pub const DURATION: &str = r#"#!/usr/bin/env python3
"""Usage: duration.py TEXT     (such as 2m10s)"""
import re
import sys

UNITS = {"s": 1, "m": 60}


def seconds(text):
    total = 0
    for number, unit in re.findall(r"(\d+)([a-z])", text):
        total += int(number) * UNITS[unit]
    return total


if __name__ == "__main__":
    print(seconds(sys.argv[1]))
"#;
pub const RIGHT: &str = "UNITS = {\"s\": 1, \"m\": 60, \"h\": 3600}\n";
const TEST: &str = "import unittest\nfrom tools import duration\n\n\nclass DurationTest(unittest.TestCase):\n    \
    def test_minutes(self):\n        self.assertEqual(duration.seconds(\"2m10s\"), 130)\n";

/// An answer that edits one file.
pub fn edit(path: &str, search: &str, replace: &str) -> String {
    format!("TITLE: know hours\nFILE: {path}\n<<<<<<< SEARCH\n{search}\n=======\n{replace}\n>>>>>>> REPLACE\n")
}

pub fn right() -> String {
    edit("tools/duration.py", "UNITS = {\"s\": 1, \"m\": 60}", RIGHT.trim_end())
}

/// A tool that has failed, with what some of its failing runs should have said.
pub fn failing() -> Repository {
    static ONCE: std::sync::OnceLock<Repository> = std::sync::OnceLock::new();
    let made = || {
        let repository = Repository::of("duration", DURATION, TEST);
        for input in ["5m", "30s", "2m10s", "7s", "12m", "1m1s", "9m", "44s", "3m3s", "8m"] {
            assert_eq!(repository.exec("duration", &[input]), 0);
        }
        for (input, seconds) in [("2h", 7200), ("1h30m", 5400), ("3h5s", 10805), ("10h", 36000), ("4h4m", 14640), ("6h", 21600)] {
            assert_eq!(repository.exec("duration", &[input]), 1);
            let expected = repository.beside("expected");
            std::fs::write(&expected, format!("{seconds}\n")).expect("writes");
            let last = repository.says(&["executions", "--json", "--limit", "1"]);
            let last: Value = serde_json::from_str(last.lines().next().expect("a line")).expect("JSON");
            repository.says(&["mark", &word(&last["id"]), "--bad", "--expect", expected.to_str().expect("text")]);
        }
        repository
    };
    ONCE.get_or_init(made).copy()
}

pub fn settings(address: &str, more: &str) -> String {
    format!(
        "{MOMENTS}[improve]\ncandidates = 60\ncpu = \"10s\"\n\n[model]\nprovider = \"compatible\"\nname = \"gpt-4o-mini\"\nurl = \"{address}\"\n{more}\n"
    )
}

/// The tool's declaration under other settings.
pub fn configure(repository: &Repository, settings: &str) {
    let before = repository.read("fractal.toml");
    let tool = &before[before.find("[[tool]]").expect("a tool")..];
    repository.configure(&format!("{settings}\n{tool}"));
    repository.commit("settings");
}

/// One cycle with the key in the environment.
pub fn run(repository: &Repository) -> Told {
    let done = repository
        .hermetic(env!("CARGO_BIN_EXE_fractal"))
        .env("FRACTAL_MODEL_KEY", KEY)
        .args(["run", "--json"])
        .output()
        .expect("runs");
    assert!(done.status.success(), "{}{}", text(&done.stdout), text(&done.stderr));
    Told::parse(&text(&done.stdout))
}

#[test]
fn the_loop_repairs_with_a_model_what_no_template_reaches() {
    let repository = failing();
    let oracle = Oracle::always(Say::Text(right()));
    configure(&repository, &settings(&oracle.address, ""));
    let told = run(&repository);
    assert_eq!(repository.stage(), "proposed", "{:#?}", repository.improvement());
}
