//! How many candidates a processor second tries: in the warm interpreter, beside a `python3` process for each.
//!
//! `cargo bench --bench trial -- [CANDIDATES]` (2,000 when not given). The work is Python's: a build without optimisation measures as
//! well. Candidates are honest variants of small functions, of which few pass, as in a search.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::time::Duration;

use fractal::model::{Language, Test, TestBody, Triaged};
use fractal::world::sandbox::Sandbox;
use fractal::world::trial::{Python, Subject, Trials};

/// A function with tests, and a place where a number is put.
const CASES: [(&str, &str, &[&str]); 3] = [
    (
        "divisor",
        "def f(a, b):\n    while b:\n        a, b = b, a % b\n    return a + @\n",
        &["f(12, 18) == 6", "f(7, 0) == 7", "f(35, 21) == 7", "f(1, 1) == 1"],
    ),
    (
        "sorted",
        "def f(values):\n    if not values:\n        return []\n    first = values[0]\n    below = f([v for v in values[1:] if v < first])\n    \
         above = f([v for v in values[1:] if v >= first])\n    return below + [first] * (@ + 1) + above\n",
        &["f([3, 1, 2]) == [1, 2, 3]", "f([]) == []", "f([2, 2, 1, 9, 5, 5, 0]) == [0, 1, 2, 2, 5, 5, 9]"],
    ),
    (
        "wrapped",
        "def f(text, width):\n    lines = []\n    while len(text) > width:\n        end = text.rfind(' ', 0, width + 1)\n        \
         end = width if end == -1 else end\n        lines.append(text[:end + @])\n        text = text[end:].lstrip()\n    \
         lines.append(text)\n    return lines\n",
        &["f('aa bb cc', 5) == ['aa bb', 'cc']", "f('abcdef', 3) == ['abc', 'def']", "f('', 3) == ['']"],
    ),
];

fn main() {
    let many = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(2_000);
    println!("candidates per processor second; repeat with: cargo bench --bench trial -- {many}\n");
    for (name, source, asserts) in CASES {
        let test = |claim: &&str| Test {
            name: (*claim).into(),
            body: TestBody::Program(format!("from tool import f\nassert {claim}\n")),
        };
        let tests: Vec<Test> = asserts.iter().map(test).collect();
        let order: Vec<usize> = (0..tests.len()).collect();
        let subject = || Subject {
            language: Language::Python,
            path: "tool.py".into(),
            mode: 0o100644,
            support: Vec::new(),
            tests: tests.clone(),
        };
        let candidates: Vec<String> = (0..many).map(|at| source.replace('@', &(many - 1 - at).to_string())).collect();
        let sandbox = Sandbox::new("bench", &[], 1 << 30);
        let plain = plain(&candidates, asserts);
        let mut warm = Python::new(&sandbox, subject(), Duration::from_secs(2)).expect("is Python");
        warm.cover(&source.replace('@', "1")).expect("runs");
        let before = warm.cpu();
        let verdicts = warm.triage(&candidates, &order).expect("tries");
        let warm = candidates.len() as f64 / (warm.cpu() - before).as_secs_f64();
        let passed = verdicts.iter().filter(|verdict| **verdict == Triaged::Passed).count();
        println!(
            "{name:>8}: {warm:.0} warm, {plain:.1} with a process each: {:.0} times as many ({passed} passed)",
            warm / plain
        );
    }
}

/// A fresh process runs the candidate with its tests, one after the other; of a few candidates.
fn plain(candidates: &[String], asserts: &[&str]) -> f64 {
    const SAMPLE: usize = 20;
    let folder = tempfile::tempdir().expect("a folder");
    let claims: String = asserts.iter().map(|claim| format!("assert {claim}\n")).collect();
    std::fs::write(folder.path().join("test.py"), format!("from tool import f\n{claims}")).expect("writes");
    let path = fractal::world::sandbox::direct_path();
    let before = children();
    for candidate in candidates.iter().rev().take(SAMPLE) {
        std::fs::write(folder.path().join("tool.py"), candidate).expect("writes");
        let mut python = std::process::Command::new("python3");
        python.env("PATH", &path).arg("-B").arg(folder.path().join("test.py")).stderr(std::process::Stdio::null());
        python.status().expect("runs");
    }
    SAMPLE as f64 / (children() - before).as_secs_f64()
}

/// Processor time of children that have ended, from the fields 16 and 17 of `/proc/self/stat`, in hundredths of a second.
fn children() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields[13..15].iter().map(|field| field.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}
