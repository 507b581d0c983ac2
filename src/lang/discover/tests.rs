//! What is found in test files of each language, and when nothing is.

use super::*;

fn found(command: &str, files: &[(&str, &str)]) -> Vec<OwnTest> {
    let command: Vec<String> = command.split(' ').map(str::to_string).collect();
    own_tests(&command, &files.iter().map(|(path, text)| (*path, text.as_bytes())).collect())
}

fn commands(command: &str, files: &[(&str, &str)]) -> Vec<String> {
    found(command, files).into_iter().map(|test| test.command.join(" ")).collect()
}

const CASES: &str = "import unittest\nfrom tools import calc\n\n\nclass CalcTest(unittest.TestCase):\n    def test_add(self):\n        \
    self.assertEqual(calc.add(1, 2), 3)\n\n    @unittest.skip('later')\n    def test_late(self):\n        pass\n\n    def helper(self):\n        \
    pass\n\n\nclass Further(CalcTest):\n    def test_sub(self):\n        pass\n\n\ndef test_alone():\n    pass\n";

#[test]
fn methods_of_test_cases_are_tests_of_unittest() {
    let files = [("tests/test_calc.py", CASES), ("tests/__init__.py", "")];
    let wanted = ["CalcTest.test_add", "CalcTest.test_late", "Further.test_add", "Further.test_late", "Further.test_sub"];
    for command in [
        "python3 -m unittest tests/test_calc.py",
        "python3 -m unittest tests.test_calc",
        "python3 -m unittest",
        "python3 -m unittest discover",
    ] {
        let prefix = "python3 -m unittest tests.test_calc.";
        assert_eq!(commands(command, &files), wanted.map(|name| format!("{prefix}{name}")), "{command}");
    }
    let programs: Vec<bool> =
        found("python3 -m unittest tests.test_calc", &files).iter().map(|test| test.program.is_some()).collect();
    assert_eq!(programs, [true, false, true, false, true], "what is decorated needs its runner");
}

#[test]
fn functions_and_classes_are_tests_of_pytest() {
    let source = "import pytest\n\n\ndef test_plain():\n    pass\n\n\ndef test_with(tmp_path):\n    pass\n\n\n\
        @pytest.mark.parametrize('x', [1])\ndef test_many(x):\n    pass\n\n\nclass TestMore:\n    def test_in(self):\n        pass\n\n\nclass Other:\n    \
        def test_not(self):\n        pass\n";
    let files = [("tests/test_a.py", source), ("lib/a.py", "def test_no():\n    pass\n")];
    let told = found("pytest -q", &files);
    let names: Vec<&str> = told.iter().map(|test| test.name.as_str()).collect();
    assert_eq!(
        names,
        ["test_plain", "test_with", "test_many", "TestMore::test_in"].map(|name| format!("tests/test_a.py::{name}"))
    );
    assert_eq!(told[0].command.join(" "), "pytest -q tests/test_a.py::test_plain");
    assert_eq!(told.iter().map(|test| test.program.is_some()).collect::<Vec<_>>(), [true, false, false, true]);
    // A hook file may do something around every test.
    let hooked = [files[0], ("tests/conftest.py", "")];
    assert!(found("python3 -m pytest tests", &hooked).iter().all(|test| test.program.is_none()));
    let prepared = [("test_a.py", "def setup_function():\n    pass\n\n\ndef test_a():\n    pass\n")];
    assert!(found("pytest", &prepared)[0].program.is_none());
}

#[test]
fn tests_of_node_are_told_apart_by_their_names() {
    let source = "const { test, describe, it } = require('node:test');\ntest('adds (a+b)', () => {});\n\
        describe('lists', () => {\n  it(\"sorts\", async () => {});\n});\n";
    let files = [("test/calc.test.js", source), ("test/loop.test.js", "for (const n of [1, 2]) test(`n ${n}`, () => {});\n")];
    let wanted = [
        "node --test --test-name-pattern=(^| )adds \\(a\\+b\\)$ test/calc.test.js",
        "node --test --test-name-pattern=(^| )sorts$ test/calc.test.js",
        "node --test test/loop.test.js",
    ];
    assert_eq!(commands("node --test", &files), wanted);
    assert_eq!(commands("node --test {root}/test/calc.test.js", &files), wanted[..2]);
}

#[test]
fn tests_of_cargo_are_told_apart_by_their_paths() {
    let files = [
        (
            "x/src/main.rs",
            "mod a;\n#[cfg(test)]\nmod tests {\n    /// Says.\n    #[test]\n    fn one() {}\n    #[test]\n    #[ignore]\n    fn two() {}\n}\n",
        ),
        (
            "x/src/a/mod.rs",
            "#[cfg(test)]\nmod tests {\n    #[tokio::test(flavor = \"x\")]\n    async fn three() {}\n    fn helper() {}\n}\n",
        ),
        ("x/tests/cli.rs", "#[test]\nfn four() {}\n"),
        ("x/tests/it/five.rs", "#[test]\nfn five() {}\n"),
        ("y/src/main.rs", "#[test]\nfn other() {}\n"),
    ];
    let command = "cargo test --quiet --manifest-path {root}/x/Cargo.toml";
    let wanted = ["a::tests::three", "tests::one", "four", "five::five"];
    let names: Vec<String> = found(command, &files).into_iter().map(|test| test.name).collect();
    assert_eq!(names, wanted);
    assert!(commands(command, &files)[0].ends_with("x/Cargo.toml a::tests::three -- --exact"));
    assert_eq!(found("cargo test some_filter", &files), []);
}

#[test]
fn what_cannot_be_told_apart_is_left_whole() {
    let mixed = "import unittest\nfrom helpers import Shared\n\n\nclass A(Shared):\n    pass\n";
    let loaded = "import unittest\n\n\ndef load_tests(loader, tests, pattern):\n    return tests\n";
    let broken = "import unittest\n\nclass A(unittest.TestCase:\n";
    for source in [mixed, loaded, broken] {
        assert_eq!(found("python3 -m unittest test_a.py", &[("test_a.py", source)]), []);
    }
    let files = [("test_a.py", CASES), ("a.sh", ""), ("a.js", "")];
    for command in
        ["sh a.sh", "python3 test_a.py", "pytest -k add", "pytest test_b.py", "node a.js", "npm test", "cargo build", ""]
    {
        assert_eq!(found(command, &files), [], "{command}");
    }
}
