//! Calls that a tool refuses are no fault of the tool, unless it took them before; and calls that cannot be repeated here say nothing.

use crate::support::{MOMENTS, Repository};

const BODY: &str = "\
import argparse

if __name__ == \"__main__\":
    parser = argparse.ArgumentParser()
    parser.add_argument(\"-n\", required=True, dest=\"number\", type=int)
    parser.add_argument(\"text\")
    given = parser.parse_args()
    print(given.text[given.number])
";

fn tool(path: &str, program: &str) -> Repository {
    let repository = Repository::holding(&[(path, program)], "name = \"none\"\npaths = [\"none\"]\nrun = [\"true\"]\n");
    repository.configure(&format!(
        "{MOMENTS}[[tool]]\nname = \"tool\"\npaths = [\"{path}\"]\nrun = [\"python3\", \"{path}\"]\neffects = \"none\"\n"
    ));
    repository.commit("a tool");
    repository
}

/// Runs it with these arguments again and again, well and badly, and tells what a cycle made of it: the stage, and all that is shown.
#[track_caller]
fn after(repository: &Repository, good: &[&str], bad: &[&str], code: i32) -> (String, String) {
    for _ in 0..6 {
        assert_eq!(repository.exec("tool", good), 0);
        assert_eq!(repository.exec("tool", bad), code);
    }
    repository.run();
    (repository.stage(), repository.says(&["show", &repository.id()]))
}

#[test]
fn a_tool_that_says_how_it_is_called_is_left_as_it_is() {
    let (stage, said) = after(&tool("body.py", BODY), &["-n", "1", "abc"], &["abc"], 2);
    assert_eq!(stage, "declined");
    assert!(said.contains("it says itself that it was called in another way than it wants: `usage: body.py"), "{said}");
}

#[test]
fn an_argument_that_nobody_gave_is_not_made_up() {
    let program = "import sys\n\nprint(len(open(sys.argv[1]).read()))\n";
    let (stage, said) = after(&tool("longest.py", program), &["longest.py"], &[], 1);
    assert!(stage == "declined" && said.contains("it was called with 0 arguments and needs 1"), "{stage}: {said}");
}

#[test]
fn a_call_that_a_commit_made_a_wrong_one_is_taken_back_to_the_version_that_took_it() {
    let repository = tool("body.py", &BODY.replace("required=True, ", "default=0, "));
    for _ in 0..6 {
        assert_eq!(repository.exec("tool", &["abc"]), 0);
    }
    repository.edit("body.py", "default=0, ", "required=True, ");
    repository.commit("body: the number must be given");
    let (stage, said) = after(&repository, &["-n", "1", "abc"], &["abc"], 2);
    assert!(stage == "proposed" && said.contains("improvable on commit"), "{stage}: {said}");
    assert!(said.contains("revert \"body: the number must be given\""), "{said}");
}

#[test]
fn a_no_without_a_reason_is_not_searched_a_way_around() {
    let program = "import sys\n\nnames = sys.argv[1:]\nif \"root\" in names:\n    sys.exit(4)\nprint(\"hello\", *names)\n";
    let repository = tool("greet.py", program);
    let config = repository.read("fractal.toml");
    repository.configure(&format!("{config}\n[improve]\ngate_attempts = 40\n"));
    repository.commit("all that a search finds is looked at");
    let (stage, said) = after(&repository, &["ann"], &["root"], 4);
    assert!(stage == "unsolved" && said.contains("improvable on commit"), "{stage}: {said}");
    assert!(
        said.contains("failed  answers          the tool says no, and nobody has said what it should answer instead"),
        "{said}"
    );
    assert!(repository.branches().is_empty());
}

#[test]
fn held_out_inputs_that_name_files_of_another_machine_do_not_turn_a_repair_down() {
    let program = "import sys\n\nfor line in open(sys.argv[1]):\n    print(line.strip())\n";
    let repository = tool("lines.py", program);
    let config = repository.read("fractal.toml").replace("inputs = 2", "inputs = 20");
    repository.configure(&config);
    std::fs::create_dir_all(repository.root().join("data")).expect("makes a folder");
    std::fs::create_dir_all(repository.beside("elsewhere")).expect("makes a folder");
    for number in 0..16 {
        repository.write(&format!("data/good{number}"), "plain\n");
        std::fs::write(repository.root().join(format!("data/bad{number}")), b"caf\xe9\n").expect("writes");
        std::fs::write(repository.beside(&format!("elsewhere/bad{number}")), b"caf\xe9\n").expect("writes");
    }
    repository.commit("data");
    for number in 0..16 {
        assert_eq!(repository.exec("tool", &[&format!("data/good{number}")]), 0);
        assert_eq!(repository.exec("tool", &[&format!("data/bad{number}")]), 1);
    }
    for number in 0..8 {
        let path = repository.beside(&format!("elsewhere/bad{number}"));
        assert_eq!(repository.exec("tool", &[path.to_str().expect("UTF-8")]), 1);
    }
    repository.run();
    let said = repository.says(&["show", &repository.id()]);
    assert!(said.contains("  passed  incident"), "{said}");
    assert!(!repository.branches().is_empty(), "{}: {said}", repository.stage());
}
