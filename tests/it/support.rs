//! A small repository of tools, in an environment of its own, and the real program in it. For the tests of the engine.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// Divides without looking at the divisor.
pub const CALCULATOR: &str = r#"#!/usr/bin/env python3
"""Usage: calculator.py OP A B     (OP is add, sub or div)"""
import sys


def add(a, b):
    return a + b


def subtract(a, b):
    return a - b


def divide(a, b):
    return a / b


OPERATIONS = {"add": add, "sub": subtract, "div": divide}


def calculate(name, left, right):
    operation = OPERATIONS.get(name)
    if operation is None:
        raise ValueError(f"unknown operation: {name}")
    return operation(float(left), float(right))


def main(argv):
    if len(argv) != 3:
        print("usage: calculator.py OP A B", file=sys.stderr)
        return 2
    try:
        print(calculate(*argv))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"#;

pub const CALCULATOR_TEST: &str = r#"import unittest
from tools import calculator


class CalculatorTest(unittest.TestCase):
    def test_operations(self):
        self.assertEqual(calculator.calculate("add", "2", "3"), 5)
        self.assertEqual(calculator.calculate("sub", "2", "3"), -1)
        self.assertEqual(calculator.calculate("div", "9", "4"), 2.25)
        self.assertEqual(calculator.calculate("div", "0", "4"), 0)

    def test_bad_input_is_refused(self):
        with self.assertRaises(ValueError):
            calculator.calculate("add", "two", "3")
"#;

/// Reads quantities and references alike. The obvious repair of the one (`int(float(text))`) breaks long ones of the other.
pub const ORDERS: &str = r#"#!/usr/bin/env python3
"""Usage: orders.py QUANTITY REFERENCE     (a valid reference leaves 1 when divided by 97)"""
import sys


def number(text):
    return int(text)


def is_valid(reference):
    return number(reference) % 97 == 1


def main(argv):
    quantity, reference = argv
    if not is_valid(reference):
        print("reference check failed", file=sys.stderr)
        return 1
    print(f"{number(quantity)} pieces")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"#;

const ORDERS_TEST: &str = r#"import unittest
from tools import orders


class OrdersTest(unittest.TestCase):
    def test_numbers(self):
        self.assertEqual(orders.number("3"), 3)
        self.assertEqual(orders.number("0012"), 12)

    def test_references(self):
        self.assertTrue(orders.is_valid("98"))
        self.assertFalse(orders.is_valid("99"))
"#;

/// What every repository here begins with.
/// The gate with fewer inputs, so that many loops can be tested; all of it is run by the story and the benchmark.
pub const SETTINGS: &str = "[detect]\nminimum_executions = 5\n\n[validate]\nstable_runs = 2\nmutants = 3\nshadow_inputs = 6\nsynthetic_inputs = 4\n\n[monitor]\nexecutions = 5\nminimum_executions = 3\n";

/// The same for tests in which only moments count: a gate that costs next to nothing, and what it accepts lands.
pub const MOMENTS: &str = "profile = \"development\"\n\n[investigate]\ninputs = 2\nruns = 1\n\n[validate]\ngood_inputs = 3\n\
    incident_runs = 1\nstable_runs = 1\nreplays = 4\nmutants = 0\nshadow_inputs = 0\nsynthetic_inputs = 0\nlive_shadow = 0.0\n\n\
    [monitor]\nexecutions = 5\nminimum_executions = 3\n\n";

/// A committed repository in a folder with a home of its own beside it.
pub struct Repository {
    folder: TempDir,
}

impl Repository {
    /// Committed, never run.
    pub fn of(tool: &str, program: &str, test: &str) -> Repository {
        let repository = Repository { folder: tempfile::tempdir().expect("a temporary folder") };
        for folder in ["home", "repository/tools", "repository/tests"] {
            fs::create_dir_all(repository.folder.path().join(folder)).expect("makes a folder");
        }
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.write(&format!("tools/{tool}.py"), program);
        repository.write("tools/__init__.py", "");
        repository.write("tests/__init__.py", "");
        repository.write(&format!("tests/test_{tool}.py"), test);
        repository.write(".gitignore", "__pycache__/\n");
        repository.write("README.md", "Tools.\n");
        repository.configure(&format!(
            "{SETTINGS}\n[[tool]]\nname = \"{tool}\"\npaths = [\"tools/{tool}.py\"]\nrun = [\"python3\", \"tools/{tool}.py\"]\n\
             test = [\"python3\", \"-m\", \"unittest\", \"tests.test_{tool}\"]\ntests = [\"tests/test_{tool}.py\"]\n\
             needs = [\"tools/__init__.py\", \"tests/__init__.py\"]\nsuccess = {{ exit = [0, 2] }}\neffects = \"none\"\n"
        ));
        repository.commit("tools");
        repository
    }

    /// Committed, with these files and this tool, never run.
    pub fn holding(files: &[(&str, &str)], tool: &str) -> Repository {
        let repository = Repository { folder: tempfile::tempdir().expect("a temporary folder") };
        fs::create_dir_all(repository.beside("home")).expect("makes a folder");
        fs::create_dir_all(repository.root()).expect("makes a folder");
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        for (path, content) in files {
            fs::create_dir_all(repository.root().join(path).parent().expect("a folder")).expect("makes a folder");
            repository.write(path, content);
        }
        repository.configure(&format!("{SETTINGS}\n[[tool]]\n{tool}effects = \"none\"\n"));
        repository.commit("tools");
        repository
    }

    /// Tools in shell that greet, each broken by a commit of its own for names that begin with `crash`, and what was recorded since.
    pub fn greeting(tools: &[&str], config: &str) -> Repository {
        let good = "#!/bin/sh\necho \"hello $1\"\n";
        let bad = "#!/bin/sh\ncase \"$1\" in crash*) echo 'boom: no such name' >&2; exit 3;; esac\necho \"hello $1\"\n";
        let files: Vec<(String, &str)> = tools.iter().map(|tool| (format!("{tool}.sh"), good)).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(path, content)| (path.as_str(), *content)).collect();
        let tool = |name: &&str| {
            format!("[[tool]]\nname = \"{name}\"\npaths = [\"{name}.sh\"]\nrun = [\"sh\", \"{name}.sh\"]\neffects = \"none\"\n")
        };
        let repository = Repository::holding(&files, "name = \"none\"\npaths = [\"none\"]\nrun = [\"true\"]\n");
        repository.configure(&format!("{config}{}", tools.iter().map(tool).collect::<String>()));
        repository.commit("the tools that there are");
        for name in tools {
            repository.write(&format!("{name}.sh"), bad);
            repository.commit(&format!("{name}: look at the name first"));
        }
        for name in tools {
            for who in ["crash1", "crash2", "crash3", "ann", "bob", "eve"] {
                assert_eq!(repository.exec(name, &[who]), if who.starts_with("crash") { 3 } else { 0 });
            }
        }
        repository
    }

    /// One such tool, which is about to be repaired.
    pub fn greeter() -> Repository {
        static ONCE: OnceLock<Repository> = OnceLock::new();
        let made = || Repository::greeting(&["greet"], &format!("{MOMENTS}[deploy]\nland_reverts = true\n\n"));
        ONCE.get_or_init(made).copy()
    }

    pub fn greets_well(&self) {
        for who in ["ann", "bob", "eve", "joe", "sue"] {
            assert_eq!(self.exec("greet", &[who]), 0);
        }
    }

    /// A calculator that has failed often enough to be repaired.
    pub fn failing() -> Repository {
        static ONCE: OnceLock<Repository> = OnceLock::new();
        let made = || {
            let repository = Repository::of("calculator", CALCULATOR, CALCULATOR_TEST);
            repository.calculates_well();
            for number in 1..=5 {
                assert_eq!(repository.exec("calculator", &["div", &number.to_string(), "0"]), 1);
            }
            repository
        };
        ONCE.get_or_init(made).copy()
    }

    /// The repair of the calculator is on the base and being watched.
    pub fn landed() -> Repository {
        static ONCE: OnceLock<Repository> = OnceLock::new();
        let made = || {
            let repository = Repository::failing();
            repository.run();
            assert_eq!(repository.stage(), "watching");
            repository
        };
        ONCE.get_or_init(made).copy()
    }

    /// The repair of the calculator has proved itself.
    pub fn kept() -> Repository {
        static ONCE: OnceLock<Repository> = OnceLock::new();
        let made = || {
            let repository = Repository::landed();
            repository.calculates_well();
            repository.run();
            assert_eq!(repository.stage(), "kept");
            repository
        };
        ONCE.get_or_init(made).copy()
    }

    /// The repair of the orders tool is on the base, and breaks what no recording had.
    pub fn landed_orders() -> Repository {
        static ONCE: OnceLock<Repository> = OnceLock::new();
        let made = || {
            let repository = Repository::of("orders", ORDERS, ORDERS_TEST);
            // The repair is wrong, and new inputs would show it: it gets through so that there is something to revert.
            let settings = repository
                .read("fractal.toml")
                .replace("shadow_inputs = 6\nsynthetic_inputs = 4", "shadow_inputs = 0\nsynthetic_inputs = 0\nlive_shadow = 0.0");
            repository.configure(&settings);
            repository.commit("fewer checks");
            for number in 1..=8_u64 {
                assert_eq!(repository.exec("orders", &[&number.to_string(), &(97 * 1234 * number + 1).to_string()]), 0);
            }
            for number in 1..=5_u64 {
                assert_eq!(repository.exec("orders", &[&format!("{number}.0"), &(97 * 4321 * number + 1).to_string()]), 1);
            }
            repository.run();
            assert_eq!(repository.stage(), "watching", "{:#?}", repository.improvement());
            assert!(repository.read("tools/orders.py").contains("int(float(text))"));
            repository
        };
        ONCE.get_or_init(made).copy()
    }

    /// An exact copy, recordings and all.
    pub fn copy(&self) -> Repository {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let status = Command::new("cp").arg("-a").arg(self.folder.path().join(".")).arg(folder.path()).status();
        assert!(status.expect("cp runs").success());
        Repository { folder }
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("repository")
    }

    /// A place beside the repository.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn hermetic(&self, program: &str) -> Command {
        hermetic(program, &self.beside("home"), &self.root())
    }

    pub fn try_git(&self, arguments: &[&str]) -> Output {
        self.hermetic("git").args(arguments).output().expect("git runs")
    }

    /// What git prints, without the last end of line.
    pub fn git(&self, arguments: &[&str]) -> String {
        let done = self.try_git(arguments);
        assert!(done.status.success(), "git {arguments:?}: {}", text(&done.stderr));
        text(&done.stdout).trim_end().to_string()
    }

    pub fn write(&self, path: &str, content: &str) {
        fs::write(self.root().join(path), content).unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Replaces in a file of the work tree what must be there.
    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let before = self.read(path);
        assert!(before.contains(from), "{path} has no {from:?}: {before}");
        self.write(path, &before.replace(from, to));
    }

    pub fn configure(&self, text: &str) {
        self.write("fractal.toml", text);
    }

    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "-m", message]);
        self.tip("main")
    }

    pub fn tip(&self, name: &str) -> String {
        self.git(&["rev-parse", "--verify", name])
    }

    /// Runs a tool under the recorder; its exit code.
    pub fn exec(&self, tool: &str, arguments: &[&str]) -> i32 {
        let done = self.fractal(&[&["exec", tool, "--"], arguments].concat());
        assert!(!text(&done.stderr).contains("fractal:"), "{}", text(&done.stderr));
        done.status.code().expect("not killed")
    }

    pub fn calculates_well(&self) {
        for number in 1..=7 {
            assert_eq!(self.exec("calculator", &[["add", "sub", "div"][number % 3], &number.to_string(), "4"]), 0);
        }
    }

    /// References that are valid, and too long for a float.
    pub fn orders_with_long_references(&self) {
        for number in 1..=5_u64 {
            let reference = 97 * (100_000_000_000_000_000 + 1_234_567 * number) + 1;
            self.exec("orders", &["3", &reference.to_string()]);
        }
    }

    pub fn fractal(&self, arguments: &[&str]) -> Output {
        self.hermetic(env!("CARGO_BIN_EXE_fractal")).args(arguments).output().expect("fractal runs")
    }

    /// What a command says that must succeed.
    pub fn says(&self, arguments: &[&str]) -> String {
        let done = self.fractal(arguments);
        assert!(done.status.success(), "fractal {arguments:?}: {}{}", text(&done.stdout), text(&done.stderr));
        text(&done.stdout)
    }

    /// One cycle, with everything it tells.
    pub fn run(&self) -> Told {
        Told::parse(&self.says(&["run", "--json"]))
    }

    /// All improvements, newest first.
    pub fn improvements(&self) -> Vec<Value> {
        json_lines(&self.says(&["log", "--json"]))
    }

    /// The only one.
    pub fn improvement(&self) -> Value {
        let mut all = self.improvements();
        assert_eq!(all.len(), 1, "{all:#?}");
        all.remove(0)
    }

    pub fn stage(&self) -> String {
        word(&self.improvement()["stage"])
    }

    pub fn id(&self) -> String {
        word(&self.improvement()["id"])
    }

    /// The bot's branches.
    pub fn branches(&self) -> Vec<String> {
        lines(&self.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads/fractal/"]))
    }

    /// Commits of the bot on the base, newest first.
    pub fn bot_commits(&self) -> Vec<String> {
        lines(&self.git(&["log", "--format=%H", "--author=Fractal", "main"]))
    }

    /// Every ref with what it points to.
    pub fn refs(&self) -> String {
        self.git(&["for-each-ref", "--format=%(refname) %(objectname)"])
    }

    /// Nothing staged, changed or untracked.
    pub fn assert_clean(&self) {
        assert_eq!(self.git(&["status", "--porcelain"]), "");
    }

    /// Every file of the repository and of its home, with its content.
    pub fn everything(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        gather(self.folder.path(), &mut found);
        found
    }
}

fn gather(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("reads a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => gather(&path, found),
            false => drop(found.insert(path.clone(), fs::read(&path).expect("reads a file"))),
        }
    }
}

/// A command that knows nothing of whoever runs the tests.
pub fn hermetic(program: &str, home: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", home);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").env("USER", "ana");
    command.env("GIT_AUTHOR_NAME", "Ana").env("GIT_AUTHOR_EMAIL", "ana@example.com");
    command.env("GIT_COMMITTER_NAME", "Ana").env("GIT_COMMITTER_EMAIL", "ana@example.com");
    command.env("PYTHONDONTWRITEBYTECODE", "1").current_dir(folder).stdin(Stdio::null());
    command
}

/// The events of a cycle.
pub struct Told(pub Vec<Value>);

impl Told {
    pub fn parse(output: &str) -> Told {
        Told(json_lines(output))
    }

    pub fn of<'a>(&'a self, event: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter(move |told| told["event"] == event)
    }

    /// Why things wait.
    pub fn waiting(&self) -> String {
        self.of("waiting").map(|told| word(&told["reason"])).collect::<Vec<_>>().join("\n")
    }

    /// What people did, or what was left open.
    pub fn reconciled(&self) -> String {
        self.of("reconciled").map(|told| word(&told["what"])).collect::<Vec<_>>().join("\n")
    }

    pub fn actions(&self) -> Vec<String> {
        self.of("action").map(|told| word(&told["action"])).collect()
    }

    pub fn report(&self) -> &Value {
        &self.of("cycle_ended").next().expect("the cycle ended")["report"]
    }
}

/// Starts a command and kills it right after its `n`-th line; whether it got that far.
pub fn kill_after_line(mut command: Command, n: usize) -> bool {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("has an output")).lines();
    let reached = (0..n).all(|_| matches!(lines.next(), Some(Ok(_))));
    child.kill().expect("may kill it");
    child.wait().expect("is a child");
    reached
}

/// Says something to whoever runs the tests with `--nocapture`.
pub fn tell(what: &str) {
    if std::env::args().any(|argument| argument == "--nocapture") {
        let _ = writeln!(std::io::stderr(), "{what}");
    }
}

pub fn executable(path: &Path, script: &str) {
    let mut file = fs::File::create(path).expect("makes the file");
    file.write_all(script.as_bytes()).expect("writes the file");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(path, mode).expect("sets the mode");
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_string).collect()
}

pub fn word(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not text")).to_string()
}

fn json_lines(output: &str) -> Vec<Value> {
    output.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}
