//! Patches that must not get through, of the kinds that are seen in practice, and patches that must.

use super::*;
use crate::model::{Check, CheckStatus, Comparison, Origin, Patch, SideEffects, StdinUse, SuccessRule, Trust};

const SOURCE: &str = "import os\nimport sys\n\n\ndef mean(xs):\n    return sum(xs) / len(xs)\n\n\nif __name__ == '__main__':\n    \
    print(mean([float(x) for x in sys.argv[1:]]))\n";
const TEST: &str = "from a import mean\n\n\ndef test_mean():\n    assert mean([1, 2]) == 1.5\n";

fn tool() -> Tool {
    Tool {
        name: "a".into(),
        paths: vec!["tools/a.py".into(), "tools/b.js".into(), "tools/c.sh".into(), "tools/lib".into(), "tools/link".into()],
        run: vec![],
        test: None,
        tests: vec!["tools/lib/tests".into()],
        needs: vec![],
        timeout: None,
        stdin: StdinUse::default(),
        success: SuccessRule::default(),
        effects: SideEffects::None,
        compare: Comparison::Exact,
        language: Language::Python,
        origin: Origin::Declared,
    }
}

fn before(path: &str) -> Option<Before> {
    let (text, mode) = match path {
        "tools/a.py" | "tools/lib/part.py" => (SOURCE, 0o100755),
        "tools/b.js" => ("function f(x) { return g(x); }\n", 0o100644),
        "tools/c.sh" => ("sort \"$1\" | uniq -c\n", 0o100644),
        "tools/lib/tests/test_a.py" => (TEST, 0o100644),
        "tools/lib/conftest.py" | "tools/lib/data.txt" => ("x\n", 0o100644),
        "tools/link" | "tools/lib/link.py" => ("elsewhere", 0o120000),
        "tools/lib/module" => ("", 0o160000),
        _ => return None,
    };
    Some(Before { content: text.into(), mode })
}

fn answer(strategy: &str, patch: Patch, lines: usize) -> Check {
    let candidate =
        Candidate { strategy: strategy.into(), source: "x".into(), title: "x".into(), trust: Trust::Land, patch, rank: 1.0 };
    let seen = Seen { inputs: vec!["4".into(), "10.5".into()], outputs: vec!["7.25\n".into()] };
    let question = Question { tool: &tool(), candidate: &candidate, before: &before, lines, lines_max: 40, seen: &seen };
    check(&question).named("policy")
}

fn judged(path: &str, content: &str) -> Check {
    answer("template", Patch::write(path, content.as_bytes().to_vec()), 2)
}

fn is_refused(path: &str, content: &str, because: &str) {
    let policy = judged(path, content);
    assert_eq!(policy.status, CheckStatus::Failed, "{path}: {content}");
    assert!(policy.detail.contains(because), "{}", policy.detail);
}

#[test]
fn a_fix_of_the_tools_own_file_passes_without_a_doubt() {
    for fixed in [
        SOURCE.replace("    return sum", "    if not xs:\n        return 0.0\n    return sum"),
        SOURCE.replace("    return sum", "    if len(xs) == 0:\n        raise ValueError('no numbers')\n    return sum"),
        SOURCE.replace("/ len(xs)", "/ max(1, len(xs))"),
        SOURCE.replace("import os\n", "import math\nimport os\n").replace("sum(xs)", "math.fsum(xs)"),
    ] {
        let policy = judged("tools/a.py", &fixed);
        assert_eq!((policy.status, policy.listed.as_slice()), (CheckStatus::Passed, &[][..]), "{}", policy.detail);
    }
}

#[test]
fn only_the_tools_own_files_may_change_and_nothing_that_is_protected() {
    for (path, because) in [
        ("tools/other.py", "does not belong"),
        ("../a.py", "not a path inside"),
        ("tools/lib/../../x", "not a path inside"),
        ("tools/lib/.GIT/config", "not a path inside"),
        ("/etc/passwd", "not a path inside"),
        ("tools/lib/fractal.toml", "protected"),
        (".github/workflows/ci.yml", "protected"),
        ("tools/lib/conftest.py", "decides which tests run"),
        ("tools/lib/package.json", "decides which tests run"),
        ("tools/lib/new.py", "new file"),
        ("tools/lib/link.py", "symlink or a submodule"),
        ("tools/lib/module", "symlink or a submodule"),
        ("tools/link/x.py", "leads elsewhere"),
    ] {
        is_refused(path, "x = 1\n", because);
    }
    is_refused("tools/a.py", "x = '\0'\n", "binary");
    assert_eq!(answer("template", Patch::default(), 0).status, CheckStatus::Failed);
    let deletes = Patch { edits: [("tools/a.py".to_string(), FileEdit::Delete)].into() };
    assert_eq!(answer("template", deletes.clone(), 3).status, CheckStatus::Failed);
    assert_eq!(answer("revert", deletes, 300).status, CheckStatus::Passed);
    let large = answer("template", Patch::write("tools/a.py", b"x = 1\n".to_vec()), 41);
    assert!(large.detail.contains("41 lines"));
}

#[test]
fn tests_are_added_to_and_never_edited() {
    let path = "tools/lib/tests/test_a.py";
    assert_eq!(judged(path, &format!("{TEST}\n\ndef test_one():\n    assert mean([1]) == 1\n")).status, CheckStatus::Passed);
    assert_eq!(judged("tools/lib/tests/test_b.py", "def test_b():\n    assert True\n").status, CheckStatus::Passed);
    is_refused(path, &TEST.replace("1.5", "2"), "never edited");
    is_refused(path, &TEST.replace("def test", "@pytest.mark.skip\ndef test"), "never edited");
    is_refused(path, "", "never edited");
    is_refused(path, &TEST.replace("    assert", "    if mean is None: return\n    assert"), "never edited");
    is_refused("tools/lib/tests/conftest.py", "collect_ignore = ['test_a.py']\n", "decides which tests run");
}

#[test]
fn wrong_patches_of_every_kind_are_refused() {
    let inside = |body: &str| SOURCE.replace("    return sum(xs) / len(xs)", body);
    let rest = "    return sum(xs) / len(xs)";
    for (patched, because) in [
        (inside(&format!("    if xs == [10.5]:\n        return 7.25\n{rest}")), "constant"),
        (inside(&format!("    if sys.argv[1] == '10.5':\n        return 1.5\n{rest}")), "constant"),
        (inside("    return 7.25"), "recorded run printed"),
        (inside("    try:\n        return sum(xs) / len(xs)\n    except Exception:\n        return 0"), "hides it"),
        (inside(&format!("    try:\n    {rest}\n    except:\n        sys.exit(0)")), "hides it"),
        (inside(&format!("    import urllib.request as r\n    r.urlopen('http://x')\n{rest}")), "reaches the network"),
        (inside(&format!("    getattr(os, 'system')('x')\n{rest}")), "other processes"),
        (inside(&format!("    if os.environ.get('CI'):\n        return 0\n{rest}")), "asks where it runs"),
        (inside(&format!("    if 'scratch' in __file__:\n        return 0\n{rest}")), "asks where it runs"),
        (inside(&format!("    os.remove('x')\n{rest}")), "deletes files"),
        (inside("    return eval('sum(xs)')"), "runs text as code"),
        (inside(&format!("    os._exit(0)\n{rest}")), "ends the program"),
    ] {
        is_refused("tools/a.py", &patched, because);
    }
    is_refused("tools/b.js", "function f(x) { try { return g(x); } catch { return null; } }\n", "hides it");
    is_refused("tools/b.js", "function f(x) { fetch('http://x'); return g(x); }\n", "network");
    is_refused("tools/c.sh", "sort \"$1\" | uniq -c || true\n", "counts as a success");
    is_refused("tools/c.sh", "[ \"$1\" = 10.5 ] && echo 7\nsort \"$1\" | uniq -c\n", "constant");
}

#[test]
fn what_a_person_must_look_at_is_told_with_its_place() {
    let patched = SOURCE.replace("    return sum(xs)", "    import random\n    return sum(xs)");
    let policy = judged("tools/a.py", &patched);
    assert_eq!(policy.status, CheckStatus::Weak);
    assert_eq!(policy.listed, ["`tools/a.py` line 6: `random` depends on chance, which the file did not do before"]);
    assert_eq!(policy.detail, policy.listed[0]);
    assert_eq!(judged("tools/lib/data.txt", "y\n").listed, ["`tools/lib/data.txt` is in a language that is not read"]);
}
