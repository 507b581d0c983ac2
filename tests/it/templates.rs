//! The fix templates: what `fractal templates` tells of them, and cases of theirs that are run for real.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::common::World;
use crate::peers;

fn listed(arguments: &[&str]) -> Vec<Value> {
    let world = World::without_repository();
    let said = world.fractal(&[&["templates", "--json"], arguments].concat()).json();
    said["templates"].as_array().expect("a list").clone()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

#[test]
fn templates_are_listed_by_language_without_a_repository() {
    let all = listed(&[]);
    let of = |language: &str| all.iter().filter(|template| template["language"] == language).count();
    let counts = ["javascript", "python", "rust", "shell"].map(of);
    assert!(counts.iter().all(|count| *count >= 40), "{counts:?}");
    assert_eq!(counts.iter().sum::<usize>(), all.len());
    assert_eq!(listed(&["--language", "shell"]).len(), counts[3]);
    for template in &all {
        assert!(["land", "review"].contains(&text(&template["safety"])), "{template}");
        assert!(!template["cases"].as_array().expect("cases").is_empty(), "{template}");
    }
    let table = World::without_repository().fractal(&["templates", "--language", "rust"]).ok();
    assert!(table.contains("overflow-subtract") && !table.contains("unset-as-empty"), "{table}");
    assert!(table.contains("what it does"), "{table}");
}

#[test]
fn one_template_is_shown_with_its_cases_before_and_after() {
    let said = World::without_repository().fractal(&["templates", "unset-as-empty"]).ok();
    for part in ["unset-as-empty (shell)", "safety land", "unbound variable", "- name=$1\n", "+ name=${1:-}\n"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let same_name = listed(&["boundary-less"]);
    assert!(same_name.len() >= 3, "{same_name:?}");
    assert_eq!(listed(&["boundary-less", "--language", "rust"]).len(), 1);
}

#[test]
fn an_unknown_template_or_language_is_a_mistake_that_names_what_there_is() {
    let world = World::without_repository();
    world.fractal(&["templates", "boundary-les"]).refused(2, &["no template `boundary-les`", "did you mean `boundary-less`?"]);
    world.fractal(&["templates", "zzzzzzzzzzzz"]).refused(2, &["no template", "`fractal templates` lists"]);
    world.fractal(&["templates", "--language", "cobol"]).refused(2, &["javascript, python, rust, shell"]);
}

/// A template, which of its cases, and what makes the program fail: code after it, or its arguments.
type Run<'a> = (&'a str, usize, &'a [&'a str]);

/// A folder in which programs are run.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Bench {
        Bench(tempfile::tempdir().expect("a temporary folder"))
    }

    fn write(&self, name: &str, program: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, program).expect("writes");
        path
    }

    /// Whether the command succeeds, and what it says.
    fn runs(&self, command: &mut Command) -> (bool, String) {
        let done = command.current_dir(self.0.path()).env("LC_ALL", "C").env("RUST_BACKTRACE", "0").output().expect("runs");
        (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
    }
}

/// Each case fails before with what the template is for, and succeeds after.
fn each_case_is_repaired(language: &str, cases: &[Run<'_>], run: impl Fn(&str, &[&str]) -> (bool, String)) {
    let all = listed(&["--language", language]);
    for (name, index, with) in cases {
        let template = all.iter().find(|template| template["name"] == *name).unwrap_or_else(|| panic!("no `{name}`"));
        let case = &template["cases"][index];
        let (succeeded, said) = run(text(&case["before"]), with);
        assert!(!succeeded, "{name} succeeds before: {said}");
        let message = regex::Regex::new(template["message"].as_str().unwrap_or("")).expect("a pattern");
        assert!(message.is_match(&said), "{name}: {said}");
        let errors: Vec<&str> = template["errors"].as_array().expect("a list").iter().map(text).collect();
        let named = errors.is_empty() || errors.iter().any(|error| said.contains(&error.replace("panic", "panicked")));
        assert!(named, "{name} {errors:?}: {said}");
        let (succeeded, said) = run(text(&case["after"]), with);
        assert!(succeeded, "{name} fails after: {said}");
    }
}

fn found(program: &str) -> Option<()> {
    peers::or_not_run(Command::new(program).arg("--version").output().is_ok().then_some(()), program)
}

#[test]
fn cases_of_javascript_fail_before_and_succeed_after() {
    let Some(()) = found("node") else { return };
    let bench = Bench::new();
    let cases: [Run<'_>; 9] = [
        ("undefined-list", 0, &["f({}, (x) => x);"]),
        ("undefined-text", 0, &["f({});"]),
        ("undefined-property", 0, &["f(null);"]),
        ("undefined-destructured", 0, &["f(undefined);"]),
        ("keys-of-nothing", 0, &["f(undefined);"]),
        ("first-value-missing", 0, &["f([]);"]),
        ("constant-assigned", 0, &["f(1, 2);"]),
        ("negative-repeat", 0, &["f('x', -1);"]),
        ("json-of-nothing", 0, &["f('');"]),
    ];
    each_case_is_repaired("javascript", &cases, |program, with| {
        let path = bench.write("program.js", &format!("{program}\n{}\n", with.join("\n")));
        bench.runs(Command::new("node").arg(path))
    });
}

#[test]
fn cases_of_a_shell_fail_before_and_succeed_after() {
    let Some(()) = found("bash") else { return };
    let bench = Bench::new();
    bench.write("-x", "one\n");
    let cases: [Run<'_>; 8] = [
        ("unset-as-empty", 0, &[]),
        ("tested-value-quoted", 0, &["two words"]),
        ("redirect-quoted", 0, &["two words"]),
        ("decimal-digits", 0, &["08"]),
        ("zero-divisor-neutral", 0, &["1", "0"]),
        ("folder-may-exist", 0, &["."]),
        ("missing-removed-quietly", 0, &["nothing"]),
        ("operands-after-options", 0, &["-x"]),
    ];
    each_case_is_repaired("shell", &cases, |program, with| {
        let path = bench.write("program.sh", program);
        bench.runs(Command::new("bash").arg(path).args(with))
    });
}

#[test]
fn cases_of_rust_fail_before_and_succeed_after() {
    let Some(()) = found("rustc") else { return };
    let bench = Bench::new();
    let cases: [Run<'_>; 7] = [
        ("index-with-default", 0, &["f(&[1], 5)"]),
        ("overflow-subtract", 0, &["f(1, 2)"]),
        ("overflow-add-handed-on", 0, &["f(usize::MAX, 2)"]),
        ("zero-divisor-refused", 0, &["f(1, 0)"]),
        ("failure-handed-on", 0, &["f(\"x\")"]),
        ("default-for-nothing", 0, &["f(&[])"]),
        ("slice-head-clipped", 0, &["f(&[1], 5)"]),
    ];
    each_case_is_repaired("rust", &cases, |program, with| {
        let main = format!("{program}\nfn main() {{\n    println!(\"{{:?}}\", {});\n}}\n", with.join(""));
        let path = bench.write("program.rs", &main);
        compiled(&bench, &path).unwrap_or_else(|| bench.runs(&mut Command::new(bench.0.path().join("program"))))
    });
}

/// `None` when it was compiled, else why not.
fn compiled(bench: &Bench, path: &Path) -> Option<(bool, String)> {
    let (compiled, said) = bench.runs(Command::new("rustc").args(["--edition", "2021", "--cap-lints", "allow"]).arg(path));
    (!compiled).then_some((false, said))
}
