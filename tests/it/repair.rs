//! `fractal repair`: one file, one command that fails, and the patches that make it pass.

use serde_json::Value;

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
