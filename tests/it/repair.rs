//! `fractal repair`: one file, one command that fails, and the patches that make it pass.

use serde_json::Value;

use crate::languages::{found, fractal};
use crate::support::{Repository, text};

const TOTAL: &str = "def total(n):\n    result = 0\n    for i in range(n):\n        result += i\n    return result\n";
const TEST: &str =
    "import sys\nsys.path.insert(0, 'tools')\nfrom total import total\nassert total(3) == 6, total(3)\nassert total(0) == 0\n";
const COMMAND: &str = "python3 tests/check.py";

fn repository() -> Repository {
    let repository = Repository::of("total", TOTAL, "");
    repository.write("tests/check.py", TEST);
    repository.write("tools/total.py", TOTAL);
    repository.commit("a check");
    repository
}

#[test]
fn a_failing_command_is_made_to_pass_and_nothing_is_changed() {
    let repository = repository();
    // What is in the work tree counts, committed or not.
    repository.edit("tests/check.py", "assert total(0) == 0", "assert total(10) == 55");
    let before = repository.everything();
    let told: Value =
        serde_json::from_str(&repository.says(&["repair", "tools/total.py", "--test", COMMAND, "--json"])).expect("JSON");
    assert_eq!(repository.everything(), before);
    let diff = told["patches"][0]["diff"].as_str().expect("a patch");
    assert!(diff.contains("-    for i in range(n):\n+    for i in range(n + 1):\n"), "{told:#}");
    let shown = repository.says(&["repair", "tools/total.py", "--test", COMMAND]);
    assert!(shown.contains("+    for i in range(n + 1):") && shown.contains("the command pass"), "{shown}");
}

#[test]
fn what_cannot_be_repaired_says_why_and_ends_with_its_code() {
    let repository = repository();
    repository.write("tools/broken.py", "def f(:\n");
    repository.write("tools/latin.py", "x = 1\n");
    std::fs::write(repository.root().join("tools/latin.py"), b"x = '\xe9'\n").expect("writes");
    for (arguments, code, why) in [
        (&["tools/total.py", "--test", "true"][..], 2, "every test passes"),
        (&["tools/total.py", "--test", "no-such-program-here"][..], 2, "could not be started"),
        (&["tools/total.py", "--test", "false", "--candidates", "20"][..], 4, ""),
        (&["tools/broken.py", "--test", "false"][..], 2, "does not parse: line 1"),
        (&["tools/latin.py", "--test", "false"][..], 2, "not UTF-8"),
        (&["tools/none.py", "--test", "false"][..], 2, "is not a file of the repository"),
        (&["/etc/passwd", "--test", "false"][..], 2, "is not a file of the repository"),
        (&[".git/config", "--test", "false"][..], 2, "is not a file of the repository"),
    ] {
        let done = repository.fractal(&[&["repair"], arguments].concat());
        let said = format!("{}{}", text(&done.stdout), text(&done.stderr));
        assert_eq!(done.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
}

const CASES: &str = "import unittest\n\nfrom tools.total import total\n\n\nclass TotalTest(unittest.TestCase):\n    \
    def test_three(self):\n        self.assertEqual(total(3), 6)\n\n    def test_none(self):\n        self.assertEqual(total(0), 0)\n\n    \
    def test_ten(self):\n        self.assertEqual(total(10), 55)\n";

/// The repository with unit tests that are this.
fn with_cases(cases: &str) -> Repository {
    let repository = repository();
    repository.write("tests/test_total.py", cases);
    repository.commit("unit tests");
    repository
}

/// `fractal repair` of the tool changes nothing, ends with `code` and says all of `parts`.
fn refuses(repository: &Repository, path: &str, test: &str, options: &[&str], code: i32, parts: &[&str]) {
    let before = repository.everything();
    let done = repository.fractal(&[&["repair", path, "--test", test], options].concat());
    assert_eq!(repository.everything(), before, "something was changed");
    let said = format!("{}{}", text(&done.stdout), text(&done.stderr));
    assert_eq!(done.status.code(), Some(code), "{said}");
    for part in parts {
        assert!(said.contains(part), "no `{part}` in {said}");
    }
}

#[test]
fn single_tests_of_a_suite_are_told_apart_and_the_whole_command_passes() {
    let repository = with_cases(CASES);
    let command = "python3 -m unittest tests.test_total";
    let told: Value =
        serde_json::from_str(&repository.says(&["repair", "tools/total.py", "--test", command, "--json"])).expect("JSON");
    let again: Value =
        serde_json::from_str(&repository.says(&["repair", "tools/total.py", "--test", command, "--json"])).expect("JSON");
    assert_eq!(told["patches"], again["patches"], "nothing is left to chance");
    assert!(told["patches"][0]["diff"].as_str().expect("a patch").contains("+    for i in range(n + 1):"), "{told:#}");
    // What a single test accepts, the whole command must accept too.
    repository.write("tests/test_total.py", &CASES.replace("total(10), 55", "total(10), 0"));
    refuses(&repository, "tools/total.py", command, &["--candidates", "60"], 4, &["no change of `tools/total.py`"]);
}

#[test]
fn a_suite_of_which_no_test_begins_is_told_with_what_is_missing() {
    let repository = with_cases(&CASES.replace("import unittest\n", "import unittest\n\nimport no_such_package\n"));
    let missing = ["no test begins", "`no_such_package` is not installed", "nothing was changed"];
    for command in ["python3 -m unittest tests.test_total", "python3 -m unittest tests/test_total.py && true"] {
        refuses(&repository, "tools/total.py", command, &[], 2, &missing);
    }
    repository.write("tests/test_total.py", &CASES.replace("(self):", "(self:"));
    refuses(&repository, "tools/total.py", "python3 -m unittest tests.test_total", &[], 2, &["no test begins", "SyntaxError"]);
    repository.write("tests/test_total.py", CASES);
    refuses(&repository, "tools/total.py", "python3 -m no_such_runner", &[], 2, &["no test begins", "no_such_runner"]);
}

#[test]
fn a_test_that_never_ends_is_ended() {
    let repository = with_cases(&CASES.replace("self.assertEqual(total(3), 6)", "while True:\n            pass"));
    let limits = ["--time", "1", "--cpu", "3", "--candidates", "3"];
    for command in ["python3 -m unittest tests.test_total", "sleep 600; false"] {
        refuses(&repository, "tools/total.py", command, &limits, 4, &["no change of `tools/total.py` makes the command pass"]);
    }
}

#[test]
fn every_byte_around_a_repair_stays_whatever_the_file_looks_like() {
    let repository = repository();
    let command = "python3 tests/check.py";
    let tabs = TOTAL.replace("    ", "\t");
    for (name, source) in [
        ("tabs", tabs.clone()),
        ("CRLF", TOTAL.replace('\n', "\r\n")),
        ("BOM", format!("\u{feff}{TOTAL}")),
        ("all of it, and no last end of line", format!("\u{feff}{}", tabs.replace('\n', "\r\n").trim_end())),
    ] {
        repository.write("tools/total.py", &source);
        let before = repository.everything();
        let told: Value =
            serde_json::from_str(&repository.says(&["repair", "tools/total.py", "--test", command, "--json"])).expect("JSON");
        assert_eq!(repository.everything(), before, "{name}");
        let diff = told["patches"][0]["diff"].as_str().expect("a patch").to_string();
        let changed: Vec<&str> = diff
            .split('\n')
            .filter(|line| line.starts_with(['+', '-']) && !line.starts_with("+++") && !line.starts_with("---"))
            .collect();
        let [old, new] = changed[..] else { panic!("{name}: {diff}") };
        assert_eq!(old[1..].replace("range(n)", "range(n + 1)"), new[1..], "{name}: {diff}");
    }
}

#[test]
fn single_tests_of_node_and_cargo_are_told_apart_too() {
    let node = (
        "tools/grade.js",
        "exports.grade = (score) => {\n  if (score > 90) return \"A\";\n  return \"B\";\n};\n",
        "tests/grade.test.js",
        "const assert = require(\"node:assert\");\nconst { test, describe, it } = require(\"node:test\");\n\
         const { grade } = require(\"../tools/grade.js\");\n\ntest(\"top\", () => assert.strictEqual(grade(90), \"A\"));\n\
         describe(\"rest\", () => {\n  it(\"middle\", () => assert.strictEqual(grade(89), \"B\"));\n});\n",
        "node --test tests/grade.test.js",
    );
    let cargo = (
        "src/lib.rs",
        "pub fn grade(score: i64) -> char {\n    if score > 90 {\n        return 'A';\n    }\n    'B'\n}\n",
        "tests/grade.rs",
        "#[test]\nfn top() {\n    assert_eq!(grade::grade(90), 'A');\n}\n\n#[test]\nfn middle() {\n    assert_eq!(grade::grade(89), 'B');\n}\n",
        "cargo test --quiet --offline",
    );
    for (path, source, test_path, test, command) in [node, cargo] {
        let Some(()) = found(command.split(' ').next().expect("a word")) else { continue };
        let manifest = "[package]\nname = \"grade\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
        let repository = Repository::holding(
            &[(path, source), (test_path, test), ("Cargo.toml", manifest), (".gitignore", "target/\nCargo.lock\n")],
            "name = \"grade\"\npaths = [\"src\"]\nrun = [\"true\"]\n",
        );
        let before = repository.everything();
        let done = fractal(&repository, &["repair", path, "--test", command, "--candidates", "40", "--json"]);
        assert_eq!(repository.everything(), before);
        let told: Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:?}"));
        let diffs: Vec<&str> =
            told["patches"].as_array().expect("a list").iter().filter_map(|patch| patch["diff"].as_str()).collect();
        assert!(diffs.iter().any(|diff| diff.contains("score >= 90")), "{told:#}");
    }
}
