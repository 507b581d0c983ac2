//! Tests that are only added to: a test file after a patch, without the tests that are new in it, is the file before.
//! Owns what a new test may be and what decides which tests run; nothing of what tests say.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::lang::{Kind, Tree, capabilities};
use crate::model::Language;

/// Files that decide which tests run, and how, by the beginning of their names.
const RUNNERS: [&str; 24] = [
    "conftest.py",
    "pytest.ini",
    ".pytest.ini",
    "setup.cfg",
    "setup.py",
    "tox.ini",
    "noxfile.py",
    "pyproject.toml",
    "sitecustomize.py",
    "usercustomize.py",
    ".coveragerc",
    "package.json",
    "jest.config",
    "vitest.config",
    "karma.conf",
    ".mocharc",
    ".babelrc",
    "babel.config",
    "Makefile",
    "makefile",
    "GNUmakefile",
    "justfile",
    "Cargo.toml",
    "build.rs",
];

/// Words that have no place in a test that a patch adds: they leave tests out, or change what other tests find.
const FORBIDDEN: [&str; 13] = [
    "skip",
    "xfail",
    "only",
    "todo",
    "ignore",
    "autouse",
    "monkeypatch",
    "expectedFailure",
    "mock",
    "cfg_attr",
    "should_panic",
    "exec(",
    "setattr",
];

/// Whether a file of this name decides which tests run.
pub(super) fn decides_tests(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    RUNNERS.iter().any(|known| name.starts_with(known)) || name.ends_with(".pth")
}

/// Whether the name of a file says that it holds tests.
pub(super) fn is_test(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let folder = path.split('/').rev().skip(1).any(|folder| matches!(folder, "tests" | "test" | "__tests__" | "spec"));
    folder
        || name.ends_with(".bats")
        || stem.starts_with("test_")
        || stem.ends_with("_test")
        || stem.ends_with(".test")
        || stem.ends_with(".spec")
}

/// Why this is more than new tests; `before` is `None` for a new file.
pub(super) fn edited(language: Language, before: Option<&str>, after: &str) -> Option<String> {
    let old = before.unwrap_or_default();
    let ends = |source: &str| capabilities(language, source).iter().filter(|found| found.kind == Kind::Exit).count();
    if ends(after) > ends(old) {
        return Some("its new tests end the run with success".into());
    }
    let Some(before) = before else { return forbidden(after) };
    if before.contains("@test ") {
        return bats(before, after);
    }
    let Some(new) = added(language, before, after) else { return Some("only tests in a known language may be added to".into()) };
    let rest = without(after, &new);
    let lines =
        |text: &str| text.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(str::to_string).collect::<Vec<_>>();
    if lines(&rest) != lines(before) {
        return Some("tests may be added to, never edited".into());
    }
    new.iter().find_map(|span| forbidden(after.get(span.clone()).unwrap_or_default()))
}

fn forbidden(text: &str) -> Option<String> {
    FORBIDDEN.iter().find(|word| text.contains(**word)).map(|word| format!("a new test says `{word}`"))
}

fn without(text: &str, spans: &[Range<usize>]) -> String {
    let mut rest = String::new();
    let mut at = 0;
    for span in spans {
        rest.push_str(text.get(at..span.start).unwrap_or_default());
        at = at.max(span.end);
    }
    rest.push_str(text.get(at..).unwrap_or_default());
    rest
}

/// Where the tests stand that only `after` has, by their names.
fn added(language: Language, before: &str, after: &str) -> Option<Vec<Range<usize>>> {
    let (old, new) = (Tree::of(language, before)?, Tree::of(language, after)?);
    let known: BTreeSet<&str> = tests(language, &old, before).into_iter().map(|(name, _)| name).collect();
    let mut spans: Vec<Range<usize>> = Vec::new();
    let mut names = known.clone();
    for (name, span) in tests(language, &new, after) {
        let is_inside = spans.last().is_some_and(|last| span.start < last.end);
        // A second test of one name would take the place of the first.
        if !is_inside && names.insert(name) {
            spans.push(span);
        }
    }
    Some(spans)
}

/// Tests with their names and all that belongs to them.
fn tests<'s>(language: Language, tree: &Tree, source: &'s str) -> Vec<(&'s str, Range<usize>)> {
    (0..tree.items().len())
        .filter_map(|at| match language {
            Language::Python => python(tree, at, source),
            Language::Javascript => javascript(tree, at, source),
            Language::Rust => rust(tree, at, source),
            _ => None,
        })
        .collect()
}

fn python<'s>(tree: &Tree, at: usize, source: &'s str) -> Option<(&'s str, Range<usize>)> {
    let item = tree.item(at);
    let parent = tree.item(item.parent);
    let around = if parent.kind == "decorated_definition" { item.parent } else { at };
    // At the top, or in the body of a class.
    let holder = tree.item(tree.item(around).parent);
    let is_placed = holder.kind == "module" || (holder.kind == "block" && tree.item(holder.parent).kind == "class_definition");
    let name = tree.text(tree.child(at, "name")?, source);
    let is_test = match item.kind {
        "function_definition" => name.starts_with("test"),
        "class_definition" => name.starts_with("Test"),
        _ => false,
    };
    (is_test && is_placed).then(|| (name, tree.item(around).span.clone()))
}

fn javascript<'s>(tree: &Tree, at: usize, source: &'s str) -> Option<(&'s str, Range<usize>)> {
    if tree.item(at).kind != "expression_statement" {
        return None;
    }
    let call = *tree.named(at).first()?;
    let function = tree.text(tree.child(call, "function")?, source);
    let name = *tree.named(tree.child(call, "arguments")?).first()?;
    let holder = tree.item(tree.item(at).parent).kind;
    let is_placed = matches!(holder, "program" | "statement_block");
    (matches!(function, "test" | "it") && is_placed && tree.item(name).kind == "string")
        .then(|| (tree.text(name, source), tree.item(at).span.clone()))
}

fn rust<'s>(tree: &Tree, at: usize, source: &'s str) -> Option<(&'s str, Range<usize>)> {
    let item = tree.item(at);
    if item.kind != "function_item" {
        return None;
    }
    let before: Vec<usize> = tree.children(item.parent).take_while(|child| *child < at).collect();
    let attributes: Vec<usize> =
        before.into_iter().rev().take_while(|child| tree.item(*child).kind == "attribute_item").collect();
    let is_test = attributes.iter().any(|attribute| tree.text(*attribute, source) == "#[test]");
    let start = attributes.last().map_or(item.span.start, |first| tree.item(*first).span.start);
    is_test.then(|| (tree.child(at, "name").map(|name| tree.text(name, source)).unwrap_or_default(), start..item.span.end))
}

/// The grammar of shells does not know these tests: whole blocks may follow the old text.
fn bats(before: &str, after: &str) -> Option<String> {
    let Some(rest) = after.strip_prefix(before.trim_end()) else { return Some("tests may be added to, never edited".into()) };
    let mut inside = false;
    for line in rest.lines() {
        match (inside, line) {
            (false, line) if line.starts_with("@test \"") && line.ends_with('{') => inside = true,
            (true, "}") => inside = false,
            (true, _) => {}
            (false, line) if line.trim().is_empty() => {}
            (false, _) => return Some("only whole tests may be added".into()),
        }
    }
    if inside { Some("a new test does not end".into()) } else { forbidden(rest) }
}

/// Why a source does not keep the tests that it holds itself, as Rust has them beside the code.
pub(super) fn own_tests_edited(language: Language, before: &str, after: &str) -> Option<String> {
    if language != Language::Rust {
        return None;
    }
    let (old, new) = (own_tests(before)?, own_tests(after)?);
    edited(language, Some(&old), &new).filter(|_| !old.is_empty())
}

/// The modules that only tests see, and the tests outside of them.
fn own_tests(source: &str) -> Option<String> {
    let tree = Tree::of(Language::Rust, source)?;
    let mut text = String::new();
    let mut end = 0;
    for at in 0..tree.items().len() {
        let item = tree.item(at);
        let attributed = item.kind == "attribute_item" && matches!(tree.text(at, source), "#[cfg(test)]" | "#[test]");
        if item.span.start < end || !attributed {
            continue;
        }
        let what = tree.children(item.parent).find(|next| *next > at && tree.item(*next).kind != "attribute_item");
        let Some(what) = what else { continue };
        end = tree.item(what).span.end;
        text.push_str(source.get(item.span.start..end).unwrap_or_default());
        text.push('\n');
    }
    Some(text)
}

#[cfg(test)]
#[cfg(all(feature = "lang-javascript", feature = "lang-python", feature = "lang-rust"))]
mod tests {
    use super::*;

    fn allows(language: Language, before: &str, after: &str) -> bool {
        edited(language, Some(before), after).is_none()
    }

    #[test]
    fn tests_of_python_may_be_added_and_nothing_else() {
        let old = "import f\n\n\ndef test_a():\n    assert f.g(1) == 2\n\n\nclass TestB:\n    def test_c(self):\n        assert f.g(0) == 0\n";
        let ok = |after: &str| allows(Language::Python, old, after);
        assert!(ok(old));
        assert!(ok(&format!("{old}\n\ndef test_new():\n    assert f.g(3) == 4\n")));
        assert!(ok(&format!("{old}\n    def test_d(self):\n        assert f.g(5) == 6\n")));
        assert!(ok(
            &old.replace("\n\nclass", "\n\n@pytest.mark.parametrize('x', [1])\ndef test_new(x):\n    assert x\n\n\nclass")
        ));
        for bad in [
            old.replace("== 2", "== 3"),
            old.replace("    assert f.g(1) == 2", "    pass"),
            old.replace("def test_a", "@pytest.mark.skip\ndef test_a"),
            old.replace("def test_a", "def no_test_a"),
            format!("{old}\n\ndef test_a():\n    pass\n"),
            format!("{old}\n\n@pytest.mark.xfail\ndef test_new():\n    assert False\n"),
            format!("{old}\n\ntest_a = None\n"),
            format!("{old}\n\npytestmark = pytest.mark.skip\n"),
            format!("{old}\n\ndef setup_module():\n    f.g = lambda x: x\n"),
            format!("{old}\n\ndef test_new():\n    import os\n    os._exit(0)\n"),
            old.replace("def test_a():\n", "def test_a():\n    return\n"),
            String::new(),
        ] {
            assert!(!ok(&bad), "{bad}");
        }
    }

    #[test]
    fn tests_of_javascript_and_of_bats_may_be_added_and_nothing_else() {
        let old = "const { f } = require('./f');\ndescribe('f', () => {\n  it('a', () => { expect(f(1)).toBe(2); });\n});\n";
        let ok = |after: &str| allows(Language::Javascript, old, after);
        assert!(ok(&format!("{old}test('b', () => {{ expect(f(2)).toBe(3); }});\n")));
        assert!(ok(&old.replace("});\n});", "});\n  it('b', () => { expect(f(2)).toBe(3); });\n});")));
        for bad in [
            old.replace("it('a'", "it.skip('a'"),
            old.replace("describe(", "describe.only("),
            old.replace("toBe(2)", "toBe(3)"),
            format!("{old}it.only('b', () => {{}});\n"),
            format!("{old}test('b', () => {{ process.exit(0); }});\n"),
            format!("{old}it('a', () => {{}});\n"),
        ] {
            assert!(!ok(&bad), "{bad}");
        }
        let old = "@test \"a\" {\n  run f\n}\n";
        let ok = |after: &str| allows(Language::Shell, old, after);
        assert!(ok(&format!("{old}\n@test \"b\" {{\n  run g\n}}\n")));
        assert!(!ok(&old.replace("run f", "true")) && !ok(&format!("{old}exit 0\n")));
        assert!(!ok(&format!("{old}\n@test \"b\" {{\n  skip\n}}\n")));
    }

    #[test]
    fn tests_that_stand_beside_the_code_are_kept() {
        let old = "fn f() -> u8 { 1 }\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn a() {\n        assert_eq!(super::f(), 2);\n    }\n}\n";
        let kept = |after: &str| own_tests_edited(Language::Rust, old, after).is_none();
        assert!(kept(&old.replace("{ 1 }", "{ 2 }")));
        assert!(kept(&old.replace("    }\n}\n", "    }\n\n    #[test]\n    fn b() {\n        assert!(true);\n    }\n}\n")));
        for bad in [
            old.replace(", 2)", ", 1)"),
            old.replace("#[test]", "#[test]\n    #[ignore]"),
            old.replace("#[test]", ""),
            old.replace("cfg(test)", "cfg(any())"),
            "fn f() -> u8 { 1 }\n".to_string(),
        ] {
            assert!(!kept(&bad), "{bad}");
        }
        assert!(own_tests_edited(Language::Rust, "fn f() {}\n", old).is_none());
    }

    #[test]
    fn files_that_hold_tests_or_decide_about_them_are_known_by_their_names() {
        for path in ["tests/a.py", "a/test_x.py", "x_test.py", "b.test.js", "c.spec.js", "d.bats", "src/__tests__/a.js"] {
            assert!(is_test(path), "{path}");
        }
        for path in ["tools/a.py", "latest.py", "contest.js", "tools/testing.rs"] {
            assert!(!is_test(path), "{path}");
        }
        assert!(decides_tests("a/conftest.py") && decides_tests("jest.config.js") && !decides_tests("a/config.py"));
    }
}
