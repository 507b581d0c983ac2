//! How many candidates a processor second tries: in a batch, beside a process (in Rust: a build) for each.
//!
//! `cargo bench --bench trial -- [LANGUAGE] [CANDIDATES]` (all three and 1,000 when not given). The work is done by Python, Node.js and rustc: a
//! build without optimisation measures as well. Candidates are honest variants of small functions, of which few pass, as in a search.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use fractal::model::{Language, Test, TestBody, Triaged};
use fractal::world::sandbox::{Sandbox, direct_path};
use fractal::world::trial::{self, Subject};

/// A function with tests, and a place where a number is put.
struct Case {
    language: Language,
    name: &'static str,
    source: &'static str,
    /// What must be true.
    claims: &'static [&'static str],
}

const CASES: [Case; 9] = [
    Case {
        language: Language::Python,
        name: "divisor",
        source: "def f(a, b):\n    while b:\n        a, b = b, a % b\n    return a + @\n",
        claims: &["f(12, 18) == 6", "f(7, 0) == 7", "f(35, 21) == 7", "f(1, 1) == 1"],
    },
    Case {
        language: Language::Python,
        name: "sorted",
        source: "def f(values):\n    if not values:\n        return []\n    first = values[0]\n    below = f([v for v in values[1:] if v < first])\n    \
         above = f([v for v in values[1:] if v >= first])\n    return below + [first] * (@ + 1) + above\n",
        claims: &["f([3, 1, 2]) == [1, 2, 3]", "f([]) == []", "f([2, 2, 1, 9, 5, 5, 0]) == [0, 1, 2, 2, 5, 5, 9]"],
    },
    Case {
        language: Language::Python,
        name: "wrapped",
        source: "def f(text, width):\n    lines = []\n    while len(text) > width:\n        end = text.rfind(' ', 0, width + 1)\n        \
         end = width if end == -1 else end\n        lines.append(text[:end + @])\n        text = text[end:].lstrip()\n    \
         lines.append(text)\n    return lines\n",
        claims: &["f('aa bb cc', 5) == ['aa bb', 'cc']", "f('abcdef', 3) == ['abc', 'def']", "f('', 3) == ['']"],
    },
    Case {
        language: Language::Javascript,
        name: "divisor",
        source: "function f(a, b) {\n  while (b) {\n    [a, b] = [b, a % b];\n  }\n  return a + @;\n}\nmodule.exports = { f };\n",
        claims: &["f(12, 18) === 6", "f(7, 0) === 7", "f(35, 21) === 7", "f(1, 1) === 1"],
    },
    Case {
        language: Language::Javascript,
        name: "sorted",
        source: "function f(values) {\n  if (values.length === 0) return [];\n  const [first, ...rest] = values;\n  const below = f(rest.filter((v) => v < first));\n  \
         const above = f(rest.filter((v) => v >= first));\n  return [...below, ...Array(@ + 1).fill(first), ...above];\n}\nmodule.exports = { f };\n",
        claims: &["`${f([3, 1, 2])}` === '1,2,3'", "f([]).length === 0", "`${f([2, 2, 1, 9, 5, 5, 0])}` === '0,1,2,2,5,5,9'"],
    },
    Case {
        language: Language::Javascript,
        name: "wrapped",
        source: "function f(text, width) {\n  const lines = [];\n  while (text.length > width) {\n    let end = text.lastIndexOf(' ', width);\n    \
         end = end === -1 ? width : end;\n    lines.push(text.slice(0, end + @));\n    text = text.slice(end).trimStart();\n  }\n  \
         lines.push(text);\n  return lines;\n}\nmodule.exports = { f };\n",
        claims: &["`${f('aa bb cc', 5)}` === 'aa bb,cc'", "`${f('abcdef', 3)}` === 'abc,def'", "f('', 3).length === 1"],
    },
    Case {
        language: Language::Rust,
        name: "divisor",
        source: "pub fn f(mut a: u64, mut b: u64) -> u64 {\n    while b != 0 {\n        (a, b) = (b, a % b);\n    }\n    a + @\n}\n",
        claims: &["f(12, 18) == 6", "f(7, 0) == 7", "f(35, 21) == 7", "f(1, 1) == 1"],
    },
    Case {
        language: Language::Rust,
        name: "sorted",
        source: "pub fn f(values: &[i32]) -> Vec<i32> {\n    let Some((first, rest)) = values.split_first() else { return Vec::new() };\n    \
         let below: Vec<i32> = rest.iter().copied().filter(|v| v < first).collect();\n    \
         let above: Vec<i32> = rest.iter().copied().filter(|v| v >= first).collect();\n    \
         [f(&below), vec![*first; @ + 1], f(&above)].concat()\n}\n",
        claims: &["f(&[3, 1, 2]) == [1, 2, 3]", "f(&[]) == []", "f(&[2, 2, 1, 9, 5, 5, 0]) == [0, 1, 2, 2, 5, 5, 9]"],
    },
    Case {
        language: Language::Rust,
        name: "wrapped",
        source: "pub fn f(text: &str, width: usize) -> Vec<String> {\n    let (mut text, mut lines) = (text, Vec::new());\n    while text.len() > width {\n        \
         let end = text[..width + 1].rfind(' ').unwrap_or(width);\n        lines.push(text[..end + @].to_string());\n        \
         text = text[end..].trim_start();\n    }\n    lines.push(text.to_string());\n    lines\n}\n",
        claims: &["f(\"aa bb cc\", 5) == [\"aa bb\", \"cc\"]", "f(\"abcdef\", 3) == [\"abc\", \"def\"]", "f(\"\", 3) == [\"\"]"],
    },
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let many = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(1_000);
    let named = |case: &Case| format!("{:?}", case.language).to_lowercase();
    let picked: Vec<&Case> = CASES.iter().filter(|case| arguments.contains(&named(case))).collect();
    let picked = if picked.is_empty() { CASES.iter().collect() } else { picked };
    println!("candidates per processor second, {many} of each\n");
    for case in picked {
        let candidates: Vec<String> = (0..many).map(|at| case.source.replace('@', &(many - 1 - at).to_string())).collect();
        let plain = plain(case, &candidates);
        let (batched, passed) = batched(case, &candidates);
        let ratio = batched / plain;
        println!(
            "{:>10} {:>8}: {batched:.0} in a batch, {plain:.1} each alone: {ratio:.0} times as many ({passed} passed)",
            named(case),
            case.name
        );
    }
}

/// All candidates by the way that a search takes; and how many passed.
fn batched(case: &Case, candidates: &[String]) -> (f64, usize) {
    let test = |claim: &&str| Test { name: (*claim).into(), body: TestBody::Program(program(case.language, &[claim])) };
    let tests: Vec<Test> = case.claims.iter().map(test).collect();
    let order: Vec<usize> = (0..tests.len()).collect();
    let subject = Subject {
        language: case.language,
        path: file(case.language).into(),
        mode: 0o100644,
        support: Vec::new(),
        run: Vec::new(),
        tests,
    };
    let sandbox = Sandbox::new("bench", &[], 8 << 30);
    let mut trials = trial::open(&sandbox, subject, Duration::from_secs(2)).expect("opens");
    trials.cover(&case.source.replace('@', "1")).expect("runs");
    let before = (children(), trials.cpu());
    let mut passed = 0;
    for some in candidates.chunks(256) {
        let verdicts = trials.triage(some, &order).expect("tries");
        passed += verdicts.iter().filter(|verdict| **verdict == Triaged::Passed).count();
    }
    // A warm interpreter has not ended, and says itself what it used.
    let spent = match case.language {
        Language::Python => trials.cpu() - before.1,
        _ => children() - before.0,
    };
    (candidates.len() as f64 / spent.as_secs_f64(), passed)
}

fn file(language: Language) -> &'static str {
    match language {
        Language::Python => "tool.py",
        Language::Javascript => "tool.js",
        _ => "tool.rs",
    }
}

/// A test that all these claims are true.
fn program(language: Language, claims: &[&str]) -> String {
    let (head, foot): (&str, fn(&str) -> String) = match language {
        Language::Python => ("from tool import f\n", |claim| format!("assert {claim}\n")),
        Language::Javascript => ("const assert = require('node:assert');\nconst { f } = require('./tool.js');\n", |claim| {
            format!("assert.ok({claim});\n")
        }),
        _ => ("", |claim| format!("assert!({claim});\n")),
    };
    claims.iter().fold(head.to_string(), |text, claim| text + &foot(claim))
}

/// A fresh process runs the candidate with its tests, one after the other; of a few candidates.
fn plain(case: &Case, candidates: &[String]) -> f64 {
    const SAMPLE: usize = 20;
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("writes");
    let tests = program(case.language, case.claims);
    let before = children();
    for candidate in candidates.iter().rev().take(SAMPLE) {
        match case.language {
            Language::Rust => {
                write("tool.rs", &format!("{candidate}\nfn main() {{\n{tests}}}\n"));
                let built = run(
                    folder.path(),
                    "rustc",
                    &["--edition=2021", "-Cdebuginfo=0", "-Coverflow-checks=on", "-Awarnings", "tool.rs"],
                );
                assert!(built, "a candidate that can be built");
                run(folder.path(), "./tool", &[]);
            }
            Language::Javascript => {
                write("test.js", &tests);
                write("tool.js", candidate);
                run(folder.path(), "node", &["test.js"]);
            }
            _ => {
                write("test.py", &tests);
                write("tool.py", candidate);
                run(folder.path(), "python3", &["-B", "test.py"]);
            }
        }
    }
    SAMPLE as f64 / (children() - before).as_secs_f64()
}

fn run(folder: &Path, program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(if program.starts_with('.') { folder.join(program).into_os_string() } else { program.into() });
    command.args(arguments).current_dir(folder).env("PATH", direct_path()).stderr(Stdio::null());
    command.status().expect("runs").success()
}

/// Processor time of children that have ended, from the fields 16 and 17 of `/proc/self/stat`, in hundredths of a second.
fn children() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields[13..15].iter().map(|field| field.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}
