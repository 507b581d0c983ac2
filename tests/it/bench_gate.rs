//! `fractal bench gate` on a case of one tool: what the verdicts make of patches that leave, or change, what somebody said is wrong.

use serde_json::Value;

use crate::support::{Repository, text};

const CASE: &str = r#"
title = "the second part of a text without one"
language = "python"

[tool]
name = "second"
paths = ["tools/second.py"]
run = ["python3", "tools/second.py"]
effects = "none"

[files]
"tools/second.py" = '''
import sys


def second(text):
    return text.split(",")[1]


print(second(sys.argv[1]))
'''

[correct]
why = "no part and an empty one are both shown as a dash"
[[correct.edit]]
path = "tools/second.py"
old = '''
    return text.split(",")[1]
'''
new = '''
    parts = text.split(",")
    return parts[1] or "-" if len(parts) > 1 else "-"
'''

[[wrong]]
kind = "overfits"
why = "an empty part is shown as it is, though somebody said how it should be"
[[wrong.edit]]
path = "tools/second.py"
old = '''
    return text.split(",")[1]
'''
new = '''
    parts = text.split(",")
    return parts[1] if len(parts) > 1 else "-"
'''

[[wrong]]
kind = "swallows-error"
why = "an empty part is shown in another way, and not as it should be"
[[wrong.edit]]
path = "tools/second.py"
old = '''
    return text.split(",")[1]
'''
new = '''
    parts = text.split(",")
    return parts[1] or "none" if len(parts) > 1 else "-"
'''
"#;

/// The case, with runs that print a part, crash, and print nothing where a dash is wanted.
fn case() -> String {
    let run = |argument: &str, expected: &str| format!("\n[[run]]\nargs = [{argument:?}]\n{expected}\n");
    let dash = "expected = \"-\\n\"";
    let good = ["a,b", "c,d,e", "1,2", "x,y,", ",z", "k,l", "m,nn", "o,p,q,r", "s,t", "u,v", "w,7", "8,9"];
    let crashing = ["a", "bc", "", "d e", "12", "x.y", "f", "gh"];
    let empty = ["a,", "bb,,c", ",", "1,,"];
    let runs = good.map(|argument| run(argument, "")).join("");
    let wrong = crashing.map(|argument| run(argument, dash)).join("") + &empty.map(|argument| run(argument, dash)).join("");
    format!("{CASE}{runs}{wrong}")
}

/// What became of each patch of the case: the level, and the doubts.
fn judged(strict: &[&str]) -> Vec<(String, String)> {
    let repository =
        Repository::holding(&[("case/python-second.toml", &case())], "name = \"none\"\npaths = [\"case\"]\nrun = [\"true\"]\n");
    let file = repository.root().join("case/python-second.toml");
    let done = repository.fractal(&[&["bench", "gate", "--json", file.to_str().expect("UTF-8")], strict].concat());
    assert!(done.status.success(), "{}", text(&done.stderr));
    let answer: Value = serde_json::from_slice(&done.stdout).expect("is JSON");
    let patches = answer["patches"].as_array().expect("patches").iter();
    patches
        .map(|patch| (patch["level"].as_str().unwrap_or_default().to_string(), patch["verdict"]["doubts"].to_string()))
        .collect()
}

#[test]
fn what_somebody_said_of_other_inputs_counts_too() {
    let found = judged(&[]);
    let [(correct, doubts), (left, why_left), (changed, why_changed)] = &found[..] else { panic!("{found:#?}") };
    assert_eq!(correct, "land", "{doubts}");
    assert!(left == "review" && why_left.contains("which is still not answered as somebody said"), "{left}: {why_left}");
    assert!(changed == "draft" && why_changed.contains("and still not as somebody said"), "{changed}: {why_changed}");
}

#[test]
fn who_wants_to_see_new_answers_first_sees_them() {
    let found = judged(&["--strict", "--kind", "correct"]);
    let [(correct, doubts)] = &found[..] else { panic!("{found:#?}") };
    assert!(correct == "review" && doubts.contains("nobody has said whether those are right"), "{correct}: {doubts}");
}
