//! Wrong logic repaired by the whole loop in each language: what fails gives no hint how to repair it, so candidates are searched with
//! the recorded runs and the tool's own tests, one of which is red.

use fractal::model::Recording;
use fractal::validate::Gate;
use fractal::world::View;
use fractal::world::catalog::catalog;
use fractal::world::character;
use fractal::world::clock::Clock;
use fractal::world::store::Query;
use fractal::{detect, investigate};
use serde_json::Value;

use crate::languages::{found, fractal};
use crate::support::{Repository, text, word};

/// Answers of the tool that are right, and inputs that it has no answer for: 90, in every way of writing it.
const GOOD: [&str; 8] = ["95", "100", "91", "70", "50", "89", "10", "49"];
const BAD: [&str; 6] = ["90", "090", "+90", "0090", "+090", "00090"];

/// One cycle over the tool `grade` whose main file is `path`; the events of the cycle.
fn repaired(repository: &Repository, path: &str, before: &str, after: &str) -> Vec<Value> {
    for score in GOOD {
        assert_eq!(fractal(repository, &["exec", "grade", "--", score]).status.code(), Some(0), "{score}");
    }
    for score in BAD {
        assert_ne!(fractal(repository, &["exec", "grade", "--", score]).status.code(), Some(0), "{score}");
    }
    assert!(repository.read(path).contains(before));
    let done = fractal(repository, &["run", "--json"]);
    let told = text(&done.stdout);
    assert!(done.status.success(), "{}", text(&done.stderr));
    if repository.stage() == "proposed" {
        // Some kinds of changes wait for a person.
        for arguments in [&["approve", &repository.id()][..], &["run"]] {
            assert!(fractal(repository, arguments).status.success());
        }
    }
    assert_eq!(repository.stage(), "watching", "{told}");
    let now = repository.read(path);
    assert!(now.contains(after) && !now.contains(before), "{now}");
    repository.assert_clean();
    told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The search was told while it went on, and what was found is told in the log and in the notes with how many candidates it took.
fn assert_told(repository: &Repository, told: &[Value], path: &str) {
    let searching: Vec<&Value> = told.iter().filter(|event| event["event"] == "searching").collect();
    let last = searching.last().unwrap_or_else(|| panic!("nothing was searched: {told:#?}"));
    assert_eq!((word(&last["path"]), word(&last["tool"])), (path.to_string(), "grade".to_string()));
    let tried = last["tried"].as_u64().expect("a number");
    assert!(last["passed"].as_u64() >= Some(1), "{last}");
    let shown: Value = serde_json::from_str(&repository.says(&["show", &repository.id(), "--json"])).expect("JSON");
    let records = shown["records"].as_array().expect("a list");
    let accepted = records.iter().rfind(|record| record["event"] == "judged").expect("a verdict");
    assert_eq!((&accepted["verdict"]["judgement"], &accepted["attempt"]["strategy"]), (&"accepted".into(), &"template".into()));
    let found_at = accepted["attempt"]["tried"].as_u64().expect("a number");
    assert!((1..=tried).contains(&found_at), "{found_at} of {tried}");
    let commit = &repository.bot_commits()[0];
    let notes = repository.git(&["show", "--format=", commit, "--", ".fractal/notes"]);
    assert!(notes.contains(&format!("candidate number {found_at} of those looked at")), "{notes}");
}

const PYTHON: &str = "def grade(score):\n    if score > 90:\n        return \"A\"\n    if 50 <= score < 90:\n        return \"B\"\n    \
    if score < 50:\n        return \"C\"\n    raise LookupError(f\"no grade for {score}\")\n";
const PYTHON_MAIN: &str =
    "import sys\n\nfrom grades import grade\n\nif __name__ == \"__main__\":\n    print(grade(int(sys.argv[1])))\n";
const PYTHON_TEST: &str = "import sys\nimport unittest\n\nsys.path.insert(0, \"tools\")\nimport grades  # noqa: E402\n\n\n\
    class GradesTest(unittest.TestCase):\n    def test_top(self):\n        self.assertEqual(grades.grade(90), \"A\")\n\n    \
    def test_middle(self):\n        self.assertEqual(grades.grade(89), \"B\")\n        self.assertEqual(grades.grade(50), \"B\")\n\n    \
    def test_low(self):\n        self.assertEqual(grades.grade(49), \"C\")\n";

#[test]
fn wrong_logic_of_python_in_a_module_beside_the_program_is_found() {
    let repository = Repository::holding(
        &[
            ("tools/grades.py", PYTHON),
            ("tools/grade.py", PYTHON_MAIN),
            ("tests/test_grades.py", PYTHON_TEST),
            (".gitignore", "__pycache__/\n"),
        ],
        "name = \"grade\"\npaths = [\"tools/grade.py\", \"tools/grades.py\"]\nrun = [\"python3\", \"tools/grade.py\"]\n\
         test = [\"python3\", \"-m\", \"unittest\", \"tests/test_grades.py\"]\ntests = [\"tests/test_grades.py\"]\n",
    );
    let told = repaired(&repository, "tools/grades.py", "score > 90", "score >= 90");
    assert_told(&repository, &told, "tools/grades.py");
}

#[test]
fn wrong_logic_of_javascript_is_found() {
    let Some(()) = found("node") else { return };
    let tool = "#!/usr/bin/env node\n\"use strict\";\n\nfunction grade(score) {\n  if (score > 90) return \"A\";\n  if (score >= 50 && score < 90) return \"B\";\n  \
        if (score < 50) return \"C\";\n  throw new Error(`no grade for ${score}`);\n}\n\nmodule.exports = { grade };\n\n\
        if (require.main === module) {\n  console.log(grade(Number(process.argv[2])));\n}\n";
    let test = "const assert = require(\"node:assert\");\nconst test = require(\"node:test\");\nconst { grade } = require(\"../tools/grade.js\");\n\n\
        test(\"top\", () => assert.strictEqual(grade(90), \"A\"));\ntest(\"middle\", () => assert.strictEqual(grade(89), \"B\"));\n\
        test(\"low\", () => assert.strictEqual(grade(49), \"C\"));\n";
    let repository = Repository::holding(
        &[("tools/grade.js", tool), ("tests/grade.test.js", test)],
        "name = \"grade\"\npaths = [\"tools/grade.js\"]\nrun = [\"node\", \"tools/grade.js\"]\n\
         test = [\"node\", \"--test\", \"tests/grade.test.js\"]\ntests = [\"tests/grade.test.js\"]\n",
    );
    let told = repaired(&repository, "tools/grade.js", "score > 90", "score >= 90");
    assert_told(&repository, &told, "tools/grade.js");
}

#[test]
fn wrong_logic_of_a_shell_script_is_found() {
    let Some(()) = found("bash") else { return };
    let tool = "#!/bin/bash\nset -u\nscore=$((10#${1#+}))\nif [ \"$score\" -gt 90 ]; then\n  echo A\nelif [ \"$score\" -ge 50 ] && [ \"$score\" -lt 90 ]; then\n  \
        echo B\nelif [ \"$score\" -lt 50 ]; then\n  echo C\nelse\n  echo \"no grade for $score\" >&2\n  exit 1\nfi\n";
    let test = "#!/bin/bash\ncd \"$(dirname \"$0\")/..\" || exit 1\n[ \"$(bash tools/grade.sh 90)\" = A ] && [ \"$(bash tools/grade.sh 89)\" = B ]\n";
    let repository = Repository::holding(
        &[("tools/grade.sh", tool), ("tests/grade_test.sh", test)],
        "name = \"grade\"\npaths = [\"tools/grade.sh\"]\nrun = [\"bash\", \"tools/grade.sh\"]\n\
         test = [\"bash\", \"tests/grade_test.sh\"]\ntests = [\"tests/grade_test.sh\"]\n",
    );
    let told = repaired(&repository, "tools/grade.sh", "-gt 90", "-ge 90");
    assert_told(&repository, &told, "tools/grade.sh");
}

#[test]
fn wrong_logic_of_rust_is_found() {
    let Some(()) = found("cargo") else { return };
    let tool = "fn grade(score: i64) -> char {\n    if score > 90 {\n        return 'A';\n    }\n    if score >= 50 && score < 90 {\n        return 'B';\n    }\n    \
        if score < 50 {\n        return 'C';\n    }\n    panic!(\"no grade for {score}\")\n}\n\nfn main() {\n    \
        let score = std::env::args().nth(1).and_then(|text| text.parse().ok()).expect(\"a score\");\n    println!(\"{}\", grade(score));\n}\n\n\
        #[cfg(test)]\nmod tests {\n    use super::grade;\n\n    #[test]\n    fn top() {\n        assert_eq!(grade(90), 'A');\n    }\n\n    \
        #[test]\n    fn middle() {\n        assert_eq!(grade(89), 'B');\n    }\n}\n";
    let repository = Repository::holding(
        &[
            ("src/main.rs", tool),
            ("Cargo.toml", "[package]\nname = \"grade\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
            (".gitignore", "target/\nCargo.lock\n"),
        ],
        "name = \"grade\"\npaths = [\"src\"]\nrun = [\"cargo\", \"run\", \"--quiet\", \"--offline\", \"--\"]\n\
         test = [\"cargo\", \"test\", \"--quiet\", \"--offline\"]\nneeds = [\"Cargo.toml\"]\n",
    );
    let told = repaired(&repository, "src/main.rs", "score > 90", "score >= 90");
    assert_told(&repository, &told, "src/main.rs");
}

#[test]
fn nothing_that_is_held_out_is_shown_to_a_search() {
    let repository = Repository::failing();
    let view = View::open(&repository.root(), Clock::System).expect("opens");
    let tip = view.repo.tip(&view.base).expect("has a tip");
    let tools = catalog(&view.repo, &view.config, &tip).expect("has tools");
    let detected = detect::detect(&view, &tools.tools, &tip).expect("detects");
    let [opportunity] = &detected.opportunities[..] else { panic!("{:#?}", detected.opportunities) };
    let tool = tools.get(&opportunity.tool).expect("is there");
    let investigation = investigate::investigate(&view, tool, opportunity, &tip).expect("investigates");
    let character = character::of(&view, tool, &tip).expect("is observed");
    let gate = Gate::open(&view, (tool, &character), opportunity, &investigation).expect("opens");
    let shown = gate.shown();
    let held_out = |recording: &&Recording| recording.execution.input.is_held_out();
    assert!(!shown.failing.is_empty() && !shown.good.is_empty(), "{shown:#?}");
    assert!(!shown.failing.iter().chain(&shown.good).any(held_out), "{shown:#?}");
    let all = view.store.executions(&Query { limit: 100, ..Query::default() }).expect("reads");
    assert!(all.iter().filter(|execution| execution.input.is_held_out()).count() > 2, "there was something to hold out");
}
