//! One repair by the whole loop for each language that templates are for: recorded crashes, a fix that passed every check, and
//! the commit that carries it. Python's are in the other files.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use crate::peers;
use crate::support::{Repository, text};

pub fn found(program: &str) -> Option<()> {
    peers::or_not_run(Command::new(program).arg("--version").output().is_ok().then_some(()), program)
}

/// Fractal in the repository, with the toolchain of whoever runs the tests: Rust's is below their home.
pub fn fractal(repository: &Repository, arguments: &[&str]) -> Output {
    let mut command = repository.hermetic(env!("CARGO_BIN_EXE_fractal"));
    for (name, folder) in [("RUSTUP_HOME", ".rustup"), ("CARGO_HOME", ".cargo")] {
        let below_home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(folder).into_os_string());
        if let Some(place) = std::env::var_os(name).or_else(below_home) {
            command.env(name, place);
        }
    }
    command.args(arguments).output().expect("fractal runs")
}

/// Runs the tool on what works and on what crashes, then one cycle; the improvement that landed.
fn repaired(repository: &Repository, tool: &str, good: &[&[&str]], bad: &[&[&str]]) -> Value {
    let exec = |arguments: &[&str]| fractal(repository, &[&["exec", tool, "--"], arguments].concat());
    for arguments in good {
        let done = exec(arguments);
        assert!(done.status.success(), "{arguments:?}: {}", text(&done.stderr));
    }
    for arguments in bad {
        assert!(!exec(arguments).status.success(), "{arguments:?} succeeds");
    }
    let told = fractal(repository, &["run", "--json"]);
    assert!(told.status.success(), "{}", text(&told.stderr));
    let improvement = repository.improvement();
    assert_eq!(improvement["stage"], "watching", "{improvement:#}\n{}", text(&told.stdout));
    assert_eq!(repository.bot_commits().len(), 1);
    repository.assert_clean();
    for arguments in bad {
        let done = exec(arguments);
        assert!(matches!(done.status.code(), Some(0 | 2)), "{arguments:?}: {}", text(&done.stderr));
    }
    improvement
}

/// What the log tells of the repair: its template, and the checks of the gate, which passed.
fn checks(repository: &Repository) -> String {
    let shown = text(&fractal(repository, &["show", &repository.id()]).stdout);
    for check in ["policy", "parse", "incident", "regression test", "suite", "replay", "held-out replay"] {
        let line = format!("passed  {check} ");
        assert!(shown.lines().any(|shown| shown.trim_start().starts_with(&line)), "{check}: {shown}");
    }
    // These have nothing to look at in a repository of one tool; no other check may be skipped or doubt anything.
    let excused = ["callers", "rivals", "mutation"];
    for line in shown.lines().map(str::trim_start).filter(|line| line.starts_with("skipped ") || line.starts_with("weak ")) {
        assert!(excused.iter().any(|check| line.starts_with(&format!("skipped {check} "))), "{line}\n{shown}");
    }
    shown
}

#[test]
fn a_crash_of_javascript_is_repaired() {
    let Some(()) = found("node") else { return };
    let tool = "#!/usr/bin/env node\n\"use strict\";\n\nfunction labels(item) {\n  return item.tags.map((tag) => tag.toUpperCase()).join(\", \");\n}\n\n\
        function main(argv) {\n  const item = JSON.parse(argv[0]);\n  console.log(`${item.name}: ${labels(item)}`);\n}\n\n\
        module.exports = { labels };\n\nif (require.main === module) {\n  main(process.argv.slice(2));\n}\n";
    let test = "const assert = require(\"node:assert\");\nconst test = require(\"node:test\");\nconst { labels } = require(\"../tools/labels.js\");\n\n\
        test(\"labels are in capitals\", () => {\n  assert.strictEqual(labels({ tags: [\"a\", \"b\"] }), \"A, B\");\n});\n";
    let repository = Repository::holding(
        &[("tools/labels.js", tool), ("tests/labels.test.js", test)],
        "name = \"labels\"\npaths = [\"tools/labels.js\"]\nrun = [\"node\", \"tools/labels.js\"]\n\
         test = [\"node\", \"--test\", \"tests/labels.test.js\"]\ntests = [\"tests/labels.test.js\"]\n",
    );
    let good: [&[&str]; 6] = [
        &["{\"name\": \"a\", \"tags\": [\"x\"]}"],
        &["{\"name\": \"b\", \"tags\": [\"x\", \"y\"]}"],
        &["{\"name\": \"c\", \"tags\": []}"],
        &["{\"name\": \"d\", \"tags\": [\"z\"]}"],
        &["{\"name\": \"e\", \"tags\": [\"u\", \"v\", \"w\"]}"],
        &["{\"name\": \"f\", \"tags\": [\"t\"]}"],
    ];
    let bad: [&[&str]; 5] =
        [&["{\"name\": \"g\"}"], &["{\"name\": \"h\"}"], &["{\"name\": \"i\"}"], &["{\"name\": \"j\"}"], &["{\"name\": \"k\"}"]];
    repaired(&repository, "labels", &good, &bad);
    assert!(repository.read("tools/labels.js").contains("(item.tags ?? []).map("), "{}", repository.read("tools/labels.js"));
    let shown = checks(&repository);
    assert!(shown.contains("undefined-list"), "{shown}");
}

#[test]
fn a_crash_of_a_shell_script_is_repaired() {
    let Some(()) = found("bash") else { return };
    let tool = "#!/bin/bash\nset -u\nname=$1\ntitle=$2\necho \"Dear ${title:+$title }$name\"\n";
    let test = "#!/bin/bash\ncd \"$(dirname \"$0\")/..\" || exit 1\n[ \"$(bash tools/greet.sh Ana Dr.)\" = 'Dear Dr. Ana' ]\n";
    let repository = Repository::holding(
        &[("tools/greet.sh", tool), ("tests/greet_test.sh", test)],
        "name = \"greet\"\npaths = [\"tools/greet.sh\"]\nrun = [\"bash\", \"tools/greet.sh\"]\n\
         test = [\"bash\", \"tests/greet_test.sh\"]\ntests = [\"tests/greet_test.sh\"]\n",
    );
    let good: [&[&str]; 6] = [&["Ana", "Dr."], &["Bo", "Ms"], &["Cy", "Mr"], &["Di", "Dr."], &["Ed", "Prof."], &["Flo", "Ms"]];
    let bad: [&[&str]; 5] = [&["Gus"], &["Hal"], &["Ida"], &["Jo"], &["Kim"]];
    repaired(&repository, "greet", &good, &bad);
    assert!(repository.read("tools/greet.sh").contains("title=${2:-}\n"), "{}", repository.read("tools/greet.sh"));
    let shown = checks(&repository);
    assert!(shown.contains("unset-as-empty"), "{shown}");
}

#[test]
fn a_panic_of_rust_is_repaired() {
    let Some(()) = found("cargo") else { return };
    let tool = "use std::process::ExitCode;\n\nfn share(total: u64, people: u64) -> Result<u64, String> {\n    Ok(total / people)\n}\n\n\
        fn number(text: Option<&String>) -> Result<u64, String> {\n    let text = text.ok_or(\"two numbers are needed\")?;\n    \
        text.parse().map_err(|error| format!(\"`{text}`: {error}\"))\n}\n\n\
        fn main() -> ExitCode {\n    let args: Vec<String> = std::env::args().skip(1).collect();\n    \
        let shared = number(args.first()).and_then(|total| share(total, number(args.get(1))?));\n    match shared {\n        \
        Ok(each) => {\n            println!(\"{each}\");\n            ExitCode::SUCCESS\n        }\n        \
        Err(error) => {\n            eprintln!(\"{error}\");\n            ExitCode::from(2)\n        }\n    }\n}\n\n\
        #[cfg(test)]\nmod tests {\n    #[test]\n    fn what_is_shared_is_rounded_down() {\n        \
        assert_eq!(super::share(7, 2), Ok(3));\n    }\n}\n";
    let repository = Repository::holding(
        &[
            ("src/main.rs", tool),
            ("Cargo.toml", "[package]\nname = \"share\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
            (".gitignore", "target/\nCargo.lock\n"),
        ],
        "name = \"share\"\npaths = [\"src\"]\nrun = [\"cargo\", \"run\", \"--quiet\", \"--offline\", \"--\"]\n\
         test = [\"cargo\", \"test\", \"--quiet\", \"--offline\"]\nneeds = [\"Cargo.toml\"]\nsuccess = { exit = [0, 2] }\n",
    );
    let good: [&[&str]; 6] = [&["9", "3"], &["7", "2"], &["1", "1"], &["0", "4"], &["8", "5"], &["6", "x"]];
    let bad: [&[&str]; 5] = [&["1", "0"], &["2", "0"], &["3", "0"], &["4", "0"], &["5", "0"]];
    // The sixth is refused with 2, which is what the tool promises.
    assert_eq!(fractal(&repository, &["exec", "share", "--", "6", "x"]).status.code(), Some(2));
    repaired(&repository, "share", &good[..5], &bad);
    assert!(
        repository.read("src/main.rs").contains("if people == 0 {\n        return Err("),
        "{}",
        repository.read("src/main.rs")
    );
    let shown = checks(&repository);
    assert!(shown.contains("zero-divisor-refused"), "{shown}");
}
