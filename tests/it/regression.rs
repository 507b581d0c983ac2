//! Generated regression tests with the real test runners: the form they take, who runs them, and that recorded text stays text.

use std::process::{Command, Stdio};
use std::time::Duration;

use fractal::model::{Arg, FileEdit, Mark, Patch, Recording, Tool};
use fractal::validate::regression_test::{Answer, Asked, Proven, again, check};
use fractal::world::View;
use fractal::world::bench::Bench;
use fractal::world::catalog::catalog;
use fractal::world::clock::Clock;
use fractal::world::store::Query;

use crate::languages::found;
use crate::peers;
use crate::support::{Repository, text};

/// A tool with a bug, its tests, and its repair.
struct Case<'c> {
    files: &'c [(&'c str, &'c str)],
    /// The first file of `files` is the tool; this is its content when it is repaired.
    repaired: &'c str,
    run: &'c [&'c str],
    test: &'c [&'c str],
    tests: &'c [&'c str],
}

/// What a failing run was given, and what it should have said.
#[derive(Default)]
struct Given<'g> {
    args: &'g [&'g str],
    stdin: &'g str,
    expected: Option<&'g str>,
    cwd: &'g str,
    /// Of the failure, when it shall be another than it is.
    class: Option<&'g str>,
}

impl Case<'_> {
    fn repository(&self) -> Repository {
        let list = |words: &[&str]| format!("{words:?}");
        Repository::holding(
            self.files,
            &format!(
                "name = \"share-out\"\npaths = [{:?}]\nrun = {}\ntest = {}\ntests = {}\nstdin = \"capture\"\n",
                self.files[0].0,
                list(self.run),
                list(self.test),
                list(self.tests)
            ),
        )
    }

    /// The answer for a run that was really recorded, and the repository.
    fn check(&self, given: &Given<'_>) -> (Repository, Tool, Answer) {
        let repository = self.repository();
        let recording = recorded(&repository, given);
        let view = View::open(&repository.root(), Clock::System).expect("opens");
        let tip = view.repo.tip(&view.base).expect("has a tip");
        let tools = catalog(&view.repo, &view.config, &tip).expect("has tools");
        let tool = tools.get("share-out").expect("is there").clone();
        let old = Bench::at(&view, &tool, &tip, Duration::ZERO).expect("a bench");
        let new = old.with(&Patch::write(self.files[0].0, self.repaired.into()));
        let suite_is_red = old.suite().is_some_and(|run| run.exit != fractal::model::Exit::Code(0));
        let asked = Asked { tool: &tool, recording: &recording, id8: "1a2b3c4d", old: &old, new: &new, suite_is_red };
        let answer = check(&asked);
        if let Answer::Proven(proven) = &answer {
            // Somewhere else, where nothing is run, the same test comes of it.
            assert_eq!(again(&asked.subject(), &proven.recipe).as_ref(), Some(&proven.test), "{:#?}", proven.recipe);
        }
        drop((old, new));
        (repository, tool, answer)
    }

    /// The proven test's path and text, after making sure by hand that its command tells the versions apart, and that the tool's own
    /// test command does or does not, as the proof says.
    #[track_caller]
    fn proven(&self, given: &Given<'_>, in_suite: bool) -> (String, String) {
        let (repository, tool, answer) = self.check(given);
        let Answer::Proven(Proven { test, command, in_suite: seen, detail, .. }) = answer else { panic!("{answer:?}") };
        let (path, edit) = test.edits.into_iter().next().expect("one file");
        let FileEdit::Write(content) = edit else { panic!("deletes {path}") };
        let content = text(&content);
        assert_eq!(seen, Some(in_suite), "{detail}\n{content}");
        let suite = tool.test.expect("has tests");
        assert!(passes(&repository, &suite).0, "the suite is green before");
        std::fs::create_dir_all(repository.root().join(&path).parent().expect("a folder")).expect("makes a folder");
        repository.write(&path, &content);
        let (alone, said) = passes(&repository, &command);
        assert!(!alone, "{command:?} is green on the untouched version\n{said}\n{content}");
        assert_eq!(passes(&repository, &suite).0, !in_suite, "{suite:?} on the untouched version with\n{content}");
        repository.write(self.files[0].0, self.repaired);
        for command in [&command, &suite] {
            let (green, said) = passes(&repository, command);
            assert!(green, "{command:?} is red on the repaired version\n{said}\n{content}");
        }
        (path, content)
    }
}

/// Runs the tool on what is given, which must fail, and takes the recording from the store.
fn recorded(repository: &Repository, given: &Given<'_>) -> Recording {
    let mut command = with_toolchain(repository, env!("CARGO_BIN_EXE_fractal"));
    command.args(["exec", "share-out", "--"]).args(given.args).current_dir(repository.root().join(given.cwd));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("fractal runs");
    std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), given.stdin.as_bytes()).expect("writes");
    let done = child.wait_with_output().expect("ends");
    assert!(!done.status.success(), "{:?} succeeds: {}", given.args, text(&done.stdout));
    let view = View::open(&repository.root(), Clock::System).expect("opens");
    let mut all = view.store.executions(&Query { limit: 10, ..Query::default() }).expect("reads");
    assert_eq!(all.len(), 1, "{all:#?}");
    let mut recording = view.store.load(all.remove(0)).expect("loads");
    assert_eq!(recording.execution.input.args, given.args.iter().map(|arg| Arg::from(*arg)).collect::<Vec<_>>());
    // What the tool did not read was not captured.
    recording.stdin = given.stdin.into();
    if let Some(expected) = given.expected {
        recording.execution.mark = Some(Mark { expected: None });
        recording.expected = Some(expected.into());
    }
    if let (Some(class), Some(failure)) = (given.class, &mut recording.execution.failure) {
        failure.class = class.to_string();
    }
    recording
}

fn with_toolchain(repository: &Repository, program: &str) -> Command {
    let mut command = repository.hermetic(program);
    for (name, folder) in [("RUSTUP_HOME", ".rustup"), ("CARGO_HOME", ".cargo")] {
        let home = std::env::var_os("HOME").map(|home| std::path::PathBuf::from(home).join(folder).into_os_string());
        if let Some(place) = std::env::var_os(name).or(home) {
            command.env(name, place);
        }
    }
    command
}

fn passes(repository: &Repository, command: &[String]) -> (bool, String) {
    let mut started = with_toolchain(repository, &command[0]);
    let done = started.args(&command[1..]).env("PYTHONDONTWRITEBYTECODE", "1").output().expect("runs");
    (done.status.success(), format!("{}{}", text(&done.stdout), text(&done.stderr)))
}

const BUGGY: &str = "import sys\n\ntotal, people = map(int, sys.argv[1:])\nprint(total // people)\n";
const REPAIRED: &str = "import sys\n\ntotal, people = map(int, sys.argv[1:])\nprint(total // people if people else 0)\n";
const DIVIDED: Given<'_> = Given { args: &["7", "0"], stdin: "", expected: None, cwd: "", class: None };

#[test]
fn beside_functions_of_pytest_it_is_a_function_in_their_style() {
    let Some(python) = peers::python() else { return };
    let existing = "import subprocess\nimport sys\n\n\ndef test_halves():\n  out = subprocess.check_output([sys.executable, 'tools/share.py', '8', '2'])\n  assert out == b'4\\n'\n";
    let case = Case {
        files: &[("tools/share.py", BUGGY), ("checks/share_test.py", existing), ("checks/conftest.py", "FOUR = \"4\"\n")],
        repaired: REPAIRED,
        run: &["python3", "tools/share.py"],
        test: &[python.to_str().expect("UTF-8"), "-m", "pytest", "-q", "-p", "no:cacheprovider", "checks"],
        tests: &["checks"],
    };
    let (path, text) = case.proven(&DIVIDED, true);
    assert_eq!(path, "checks/share_out_1a2b3c4d_test.py");
    assert!(text.contains("\ndef test_share_out_zero_division_error_1a2b3c4d():\n  done = answer()\n"), "{text}");
    assert!(text.contains("[sys.executable, 'tools/share.py', '7', '0']") && !text.contains("unittest"), "{text}");
    assert!(text.contains("failed (ZeroDivisionError).\n"), "{text}");
}

#[test]
fn beside_classes_that_pytest_runs_it_is_a_class() {
    let Some(python) = peers::python() else { return };
    let existing = "import unittest\n\n\nclass TestNothing(unittest.TestCase):\n    def test_nothing(self):\n        self.assertEqual(1, 1)\n";
    let case = Case {
        files: &[("tools/share.py", BUGGY), ("tests/test_share.py", existing)],
        repaired: REPAIRED,
        run: &["python3", "tools/share.py"],
        test: &[python.to_str().expect("UTF-8"), "-m", "pytest", "-p", "no:cacheprovider"],
        tests: &["tests/test_share.py"],
    };
    let (path, text) = case.proven(&DIVIDED, true);
    assert_eq!(path, "tests/test_share_out_1a2b3c4d.py");
    assert!(
        text.contains("class TestShareOutZeroDivisionError1a2b3c4d(unittest.TestCase):\n    def test_share_out_zero"),
        "{text}"
    );
    assert!(!text.contains("unittest.main"), "{text}");
}

const UNITTEST: &str = "import unittest\n\n\nclass NothingTest(unittest.TestCase):\n\tdef test_nothing(self):\n\t\tself.assertEqual(1, 1)\n\n\nif __name__ == \"__main__\":\n\tunittest.main()\n";

#[test]
fn unittest_discovers_a_class_with_the_indentation_of_the_others() {
    let case = Case {
        files: &[("tools/share.py", BUGGY), ("tests/test_share.py", UNITTEST)],
        repaired: REPAIRED,
        run: &["python3", "tools/share.py"],
        test: &["python3", "-m", "unittest", "discover", "-s", "tests"],
        tests: &["tests/test_share.py"],
    };
    let (path, text) = case.proven(&DIVIDED, true);
    assert_eq!(path, "tests/test_share_out_1a2b3c4d.py");
    assert!(
        text.contains("class ShareOutZeroDivisionError1a2b3c4dTest(unittest.TestCase):\n\tdef test_share_out_zero"),
        "{text}"
    );
    assert!(text.ends_with("\n\n\nif __name__ == \"__main__\":\n\tunittest.main()\n"), "{text}");
}

#[test]
fn a_test_that_the_own_test_command_does_not_run_has_its_own_command() {
    let case = Case {
        files: &[("tools/share.py", BUGGY), ("tests/test_share.py", UNITTEST)],
        repaired: REPAIRED,
        run: &["python3", "tools/share.py"],
        test: &["python3", "-m", "unittest", "tests/test_share.py"],
        tests: &["tests/test_share.py"],
    };
    let (_, text) = case.proven(&DIVIDED, false);
    assert!(text.contains("\nAlone: python3 -m unittest tests/test_share_out_1a2b3c4d.py\n"), "{text}");
}

#[test]
fn where_the_framework_does_not_work_a_plain_test_runs_itself() {
    let existing = "def test_nothing():\n    assert True\n";
    let case = Case {
        files: &[("tools/share.py", BUGGY), ("tests/test_share.py", existing), ("bin/pytest", "exit ${1:+4}\n")],
        repaired: REPAIRED,
        run: &["python3", "tools/share.py"],
        test: &["sh", "bin/pytest"],
        tests: &["tests/test_share.py"],
    };
    let (_, text) = case.proven(&DIVIDED, false);
    assert!(text.contains("\nAlone: python3 tests/test_share_out_1a2b3c4d.py\n"), "{text}");
}

#[test]
fn a_file_that_is_there_is_never_written_over() {
    let case = Case {
        files: &[("tools/share.py", BUGGY), ("tests/test_share_out_1a2b3c4d.py", UNITTEST)],
        repaired: REPAIRED,
        run: &["python3", "tools/share.py"],
        test: &["python3", "-m", "unittest", "discover", "-s", "tests"],
        tests: &["tests"],
    };
    let (_, _, answer) = case.check(&DIVIDED);
    assert!(matches!(answer, Answer::Impossible(_)), "{answer:?}");
}

#[test]
fn a_patch_that_repairs_something_else_is_refuted() {
    let case = Case {
        files: &[("tools/share.py", BUGGY), ("tests/test_share.py", UNITTEST)],
        repaired: BUGGY,
        run: &["python3", "tools/share.py"],
        test: &["python3", "-m", "unittest", "discover", "-s", "tests"],
        tests: &["tests"],
    };
    let (_, _, answer) = case.check(&DIVIDED);
    assert!(matches!(&answer, Answer::Refuted(why) if why.contains("does not succeed with the patch")), "{answer:?}");
}

const BUGGY_JS: &str = "const [total, people] = process.argv.slice(2).map(BigInt);\nconsole.log(String(total / people));\n";
const REPAIRED_JS: &str =
    "const [total, people] = process.argv.slice(2).map(BigInt);\nconsole.log(String(people ? total / people : 0n));\n";

#[test]
fn beside_tests_of_node_it_is_a_test_of_node() {
    let Some(()) = found("node") else { return };
    let existing = "\"use strict\";\nconst assert = require(\"node:assert\");\nconst test = require(\"node:test\");\n\ntest(\"nothing\", () => {\n\tassert.ok(true);\n});\n";
    let case = Case {
        files: &[("tools/share.js", BUGGY_JS), ("tools/share.test.js", existing)],
        repaired: REPAIRED_JS,
        run: &["node", "tools/share.js"],
        test: &["node", "--test"],
        tests: &["tools/share.test.js"],
    };
    let (path, text) = case.proven(&DIVIDED, true);
    assert_eq!(path, "tools/share_out_1a2b3c4d.test.js");
    assert!(text.contains("\ntest(\"share-out: range error (1a2b3c4d)\", () => {\n\tconst done"), "{text}");
    assert!(text.contains("require(\"node:test\");\n"), "{text}");
}

#[test]
fn beside_suites_in_modules_it_is_a_suite_in_a_module() {
    let Some(()) = found("node") else { return };
    let existing = "import assert from 'node:assert'\nimport { describe, it } from 'node:test'\n\ndescribe('nothing', () => {\n    it('is there', () => {\n        assert.ok(true)\n    })\n})\n";
    let case = Case {
        files: &[
            ("tools/share.js", BUGGY_JS),
            ("test/share.spec.js", existing),
            ("package.json", "{\"type\": \"module\", \"scripts\": {\"test\": \"node --test\"}}\n"),
        ],
        repaired: REPAIRED_JS,
        run: &["node", "tools/share.js"],
        test: &["node", "--test"],
        tests: &["test"],
    };
    let (path, text) = case.proven(&DIVIDED, true);
    assert_eq!(path, "test/share_out_1a2b3c4d.spec.js");
    assert!(text.contains("import { describe, it } from 'node:test'\n"), "{text}");
    assert!(text.contains("\ndescribe('share-out', () => {\n    it('share-out: range error (1a2b3c4d)', () => {\n"), "{text}");
    assert!(!text.contains(';') && !text.contains('"'), "{text}");
}

const BUGGY_RS: &str = "fn main() {\n    let numbers: Vec<u64> = std::env::args().skip(1).map(|arg| arg.parse().unwrap()).collect();\n    println!(\"{}\", numbers[0] / numbers[1]);\n}\n";

#[test]
fn a_program_of_cargo_is_tested_by_an_integration_test_that_cargo_builds_it_for() {
    let Some(()) = found("cargo") else { return };
    let case = Case {
        files: &[
            ("src/main.rs", BUGGY_RS),
            ("Cargo.toml", "[package]\nname = \"share\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
            (".gitignore", "target/\nCargo.lock\n"),
        ],
        repaired: &BUGGY_RS.replace("numbers[0] / numbers[1]", "numbers[0].checked_div(numbers[1]).unwrap_or(0)"),
        run: &["cargo", "run", "--quiet", "--offline", "--"],
        test: &["cargo", "test", "--quiet", "--offline"],
        tests: &["tests"],
    };
    let given = Given { args: &["7", "0", "\"{}\\\n\u{202e}"], expected: Some("0\n"), ..Given::default() };
    let case = Case { repaired: &case.repaired.replace("arg.parse().unwrap()", "arg.parse().unwrap_or(0)"), ..case };
    let old = case.files[0].1.replace("arg.parse().unwrap()", "arg.parse().unwrap_or(0)");
    let files = [("src/main.rs", old.as_str()), case.files[1], case.files[2]];
    let (path, text) = Case { files: &files, ..case }.proven(&given, true);
    assert_eq!(path, "tests/regression_share_out_1a2b3c4d.rs");
    assert!(
        text.contains("Command::new(env!(\"CARGO_BIN_EXE_share\"))") && text.contains("\nfn share_out_panic_1a2b3c4d() {"),
        "{text}"
    );
}

const BUGGY_SH: &str = "set -u\nname=$1\ntitle=$2\necho \"Dear $title $name\"\n";
const REPAIRED_SH: &str = "set -u\nname=$1\ntitle=${2:-Friend}\necho \"Dear $title $name\"\n";

#[test]
fn beside_tests_of_bats_it_is_a_test_of_bats() {
    // The package names its program in a way that npm makes no link of.
    let installed = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/node/node_modules/bats/bin/bats");
    let on_path = || Command::new("bats").arg("--version").output().is_ok().then(|| "bats".to_string());
    let bats = installed.is_file().then(|| installed.to_str().expect("UTF-8").to_string()).or_else(on_path);
    let bats = peers::or_not_run(bats, "bats (`.ci/peers` brings it)");
    let Some(bats) = bats else { return };
    let existing =
        "#!/usr/bin/env bats\n\n@test \"greets\" {\n  run sh tools/greet.sh Ana Dr.\n  [ \"$output\" = \"Dear Dr. Ana\" ]\n}\n";
    let case = Case {
        files: &[("tools/greet.sh", BUGGY_SH), ("tests/greet.bats", existing)],
        repaired: REPAIRED_SH,
        run: &["sh", "tools/greet.sh"],
        test: &[&bats, "tests"],
        tests: &["tests/greet.bats"],
    };
    let hostile = "it's\n@test \"$(touch gone)\" {\n`false`\\";
    let expected = format!("Dear Friend {hostile}\n");
    let given = Given { args: &[hostile], stdin: hostile, expected: Some(&expected), ..Given::default() };
    let (path, text) = case.proven(&given, true);
    assert_eq!(path, "tests/share_out_1a2b3c4d.bats");
    assert!(text.contains("\n@test \"share-out: exit ") && text.contains(" {\n  run answer\n"), "{text}");
    assert_eq!(text.matches("\n@test").count(), 1, "{text}");
}

#[test]
fn beside_scripts_it_is_a_script_that_their_runner_finds() {
    let existing = "[ \"$(sh tools/greet.sh Ana Dr.)\" = 'Dear Dr. Ana' ]\n";
    let runner = "for file in tests/test-*.sh; do\n    sh \"$file\" || exit 1\ndone\n";
    let case = Case {
        files: &[("tools/greet.sh", BUGGY_SH), ("tests/test-greet.sh", existing), ("tests/run", runner)],
        repaired: REPAIRED_SH,
        run: &["sh", "tools/greet.sh"],
        test: &["sh", "tests/run"],
        tests: &["tests"],
    };
    let (path, text) = case.proven(&Given { args: &["Gus"], ..Given::default() }, true);
    assert_eq!(path, "tests/test-share_out_1a2b3c4d.sh");
    assert!(text.contains("\ntest_share_out_exit_") && text.contains("sh tools/greet.sh '' </dev/null"), "{text}");
}

/// Text that wants out of its literal, or to be something else than it looks like.
const HOSTILE: [&str; 5] = [
    "\"\"\"\nimport os\n'",
    "'; touch gone; $(touch gone) `touch gone` ${HOME} {{ id }} {% raw %}",
    "%s%d\\n\\",
    "-n",
    "é\u{1f600}\t*",
];

/// What is printed of each argument and of standard input, for all languages the same.
fn echoed(stdin: &str) -> String {
    HOSTILE.iter().chain([&stdin]).map(|text| format!("<{text}>")).collect::<String>() + "\n\n"
}

#[test]
fn recorded_text_arrives_in_the_tool_as_it_was_and_nowhere_else() {
    let stdin = "-e %s \\ \u{202e}\u{1b}[2J\r\n\"\"\" it's\n@test \"x\" {\n";
    let (expected, node) = (echoed(stdin), found("node"));
    let given = Given { args: &HOSTILE, stdin, expected: Some(&expected), class: Some("\"\"\"\n*/`; x"), cwd: "" };
    let python = "import sys\nparts = sys.argv[1:] + [sys.stdin.buffer.read().decode()]\nprint(''.join('<' + part + '>' for part in parts) + '\\n')\n";
    let script = "for part; do printf '<%s>' \"$part\"; done\nprintf '<'\ncat\nprintf '>\\n\\n'\n";
    let javascript = "const parts = [...process.argv.slice(2), require('fs').readFileSync(0, 'utf8')];\nconsole.log(parts.map((part) => `<${part}>`).join('') + '\\n');\n";
    let passing = "exit 0\n";
    for (path, program, good, bad) in [
        ("tools/echo.py", "python3", python, "import sys\nsys.exit(3)\n"),
        ("tools/echo.sh", "sh", script, "exit 3\n"),
        ("tools/echo.js", "node", javascript, "process.exit(3);\n"),
    ] {
        if program == "node" && node.is_none() {
            continue;
        }
        let case = Case {
            files: &[(path, bad), ("run-tests", passing)],
            repaired: good,
            run: &[program, path],
            test: &["sh", "run-tests"],
            tests: &["tests"],
        };
        let (_, text) = case.proven(&given, false);
        assert!(!text.contains(['\u{202e}', '\u{1b}', '\r']), "{text:?}");
        assert!(text.lines().take(2).any(|line| line.ends_with("failed (` x)") || line.ends_with("failed (x).")), "{text}");
    }
}

#[test]
fn a_run_in_a_folder_is_tested_in_that_folder() {
    let tool = "import sys\nwith open('data.txt') as file:\n    print(1 // len(file.read()))\n";
    let repaired = "import sys\nwith open('data.txt') as file:\n    print(len(file.read()))\n";
    let case = Case {
        files: &[("tools/read.py", tool), ("sheets/it's/data.txt", ""), ("tests/test_read.py", UNITTEST)],
        repaired,
        run: &["python3", "{root}/tools/read.py"],
        test: &["python3", "-m", "unittest", "discover", "-s", "tests"],
        tests: &["tests"],
    };
    let (_, text) = case.proven(&Given { cwd: "sheets/it's", ..Given::default() }, true);
    assert!(text.contains("cwd=os.path.join(ROOT, \"sheets/it's\")") && text.contains("\"../../tools/read.py\""), "{text}");
}

#[test]
fn a_tool_without_tests_gets_one_beside_those_of_its_own_folder_and_never_among_those_of_another() {
    let placed = |others: &[(&str, &str)]| {
        let case = Case {
            files: &[&[("text/share.py", BUGGY)], others].concat(),
            repaired: REPAIRED,
            run: &["python3", "text/share.py"],
            test: &["true"],
            tests: &[],
        };
        case.proven(&DIVIDED, false).0
    };
    let elsewhere = ("cloud/test_list.py", UNITTEST);
    assert_eq!(placed(&[elsewhere]), "tests/test_share_out_1a2b3c4d.py");
    assert_eq!(placed(&[elsewhere, ("test/test_all.py", UNITTEST)]), "test/test_share_out_1a2b3c4d.py");
    assert_eq!(
        placed(&[("test/test_all.py", UNITTEST), ("text/tests/test_x.py", UNITTEST)]),
        "text/tests/test_share_out_1a2b3c4d.py"
    );
    assert_eq!(placed(&[elsewhere, ("text/x_test.py", UNITTEST)]), "text/share_out_1a2b3c4d_test.py");
}

#[test]
fn the_input_is_made_as_small_as_the_failure_allows() {
    let tool = "import json\nimport sys\n\norder = json.load(sys.stdin)\nscale = float(sys.argv[sys.argv.index('--scale') + 1])\n\
        print(sum(item['price'] * scale for item in order['items']))\n";
    let case = Case {
        files: &[("tools/total.py", tool), ("tests/test_total.py", UNITTEST)],
        repaired: &tool.replace("item['price']", "item.get('price', 0)"),
        run: &["python3", "tools/total.py"],
        test: &["python3", "-m", "unittest", "discover", "-s", "tests"],
        tests: &["tests"],
    };
    let order = "{\"id\": 17, \"items\": [{\"name\": \"nut\", \"price\": 3}, {\"name\": \"bolt\"}], \"to\": {\"name\": \"Ana\"}}";
    let given = Given { args: &["--verbose", "--scale", "250", "--currency=euro"], stdin: order, ..Given::default() };
    let (_, text) = case.proven(&given, true);
    assert!(text.contains("input='{\"items\":[{}]}'.encode(),"), "{text}");
    assert!(text.contains("\"tools/total.py\", \"--scale\", \"2\"]") || text.contains("\"--scale\", \"0\"]"), "{text}");
    assert!(text.contains("failed (KeyError), made smaller."), "{text}");
}

#[test]
fn when_nobody_has_said_what_is_right_the_wrong_answer_must_not_come_again() {
    let case = Case {
        files: &[("tools/share.py", "print(3)\n"), ("tests/test_share.py", UNITTEST)],
        repaired: "print(4)\n",
        run: &["python3", "tools/share.py"],
        test: &["python3", "-m", "unittest", "discover", "-s", "tests"],
        tests: &["tests"],
    };
    let repository = case.repository();
    assert_eq!(repository.exec("share-out", &[]), 0);
    let view = View::open(&repository.root(), Clock::System).expect("opens");
    let tip = view.repo.tip(&view.base).expect("has a tip");
    let tool = catalog(&view.repo, &view.config, &tip).expect("has tools").get("share-out").expect("is there").clone();
    let all = view.store.executions(&Query { limit: 10, ..Query::default() }).expect("reads");
    let mut recording = view.store.load(all.into_iter().next().expect("one run")).expect("loads");
    recording.execution.mark = Some(Mark { expected: None });
    let old = Bench::at(&view, &tool, &tip, Duration::ZERO).expect("a bench");
    let new = old.with(&Patch::write("tools/share.py", case.repaired.into()));
    let answer = check(&Asked { tool: &tool, recording: &recording, id8: "1a2b3c4d", old: &old, new: &new, suite_is_red: false });
    let Answer::Proven(proven) = &answer else { panic!("{answer:?}") };
    assert!(proven.detail.contains("fails 3 of 3 times without the patch and passes 5 of 5 times"), "{}", proven.detail);
}
