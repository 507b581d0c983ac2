//! What a reader notices at the place of a failure: a divisor nobody looked at, a key nobody asked for, a loop that may not
//! end. Remarks are for people; no strategy depends on them.

use std::sync::LazyLock;

use regex::Regex;

use super::syntax::{SyntaxNode, first_line, last_line};
use super::{Grammar, loops, regex};
use crate::model::{Failure, Language};

static NAME: LazyLock<Regex> = LazyLock::new(|| regex(r"[A-Za-z_]\w*"));
/// Remarks about one place.
const REMARKS: usize = 5;

/// Remarks about `line` (1-based) of `source`, where `failure` happened: "no validation of `b` in `divide` before line 12".
/// Empty when there is nothing to say; only languages with a grammar are looked at.
pub fn observe(language: Language, source: &str, line: u32, failure: &Failure) -> Vec<String> {
    let Some(tree) = Grammar::of(language).and_then(|grammar| grammar.tree(source)) else { return Vec::new() };
    if failure.class == "time-out" {
        return endless(language, source, line).into_iter().collect();
    }
    let root = tree.root();
    let Some(scope) = scope(&root, line) else { return Vec::new() };
    let place = match scope.field("name") {
        Some(name) if is_function(&scope) => format!("in `{}` before line {line}", name.text()),
        _ => format!("before line {line}"),
    };
    let mut remarks: Vec<String> = root
        .dfs()
        .filter(|node| node.is_named() && first_line(node) == line)
        .filter_map(|node| subject(&node, failure))
        .filter(|(_, checked)| !is_checked(&scope, line, checked))
        .map(|(remark, _)| format!("{remark} {place}"))
        .collect();
    remarks.dedup();
    remarks.truncate(REMARKS);
    remarks
}

/// The innermost function around `line`, else the whole file.
fn scope<'t>(root: &SyntaxNode<'t>, line: u32) -> Option<SyntaxNode<'t>> {
    let around = |node: &SyntaxNode<'_>| first_line(node) <= line && line <= last_line(node);
    let innermost = root.dfs().filter(|node| is_function(node) && around(node)).last();
    innermost.or_else(|| Some(root.clone()))
}

fn is_function(node: &SyntaxNode<'_>) -> bool {
    node.lang().syntax().functions.contains(&&*node.kind())
}

fn endless(language: Language, source: &str, line: u32) -> Option<String> {
    let spans = loops(language, source);
    let around = spans.iter().rfind(|span| span.covers(line))?;
    Some(match around.name.as_str() {
        "True" | "1" => format!("the loop at line {} ends only by `break`, `return` or an exception", around.first),
        condition => format!("the loop at line {} ends only when `{condition}` becomes false", around.first),
    })
}

/// What a node risks under this class of failure: the remark, and the text whose mention in a condition would be a check.
fn subject(node: &SyntaxNode<'_>, failure: &Failure) -> Option<(String, String)> {
    let text = |name: &str| node.field(name).map(|field| field.text().into_owned());
    match (failure.class.as_str(), &*node.kind()) {
        ("ZeroDivisionError", "binary_operator" | "augmented_assignment") => {
            let operator = text("operator")?;
            let divisor = text("right").filter(|_| operator.starts_with(['/', '%']))?;
            NAME.is_match(&divisor).then(|| (format!("no validation of `{divisor}`"), divisor))
        }
        ("KeyError", "subscript") => {
            let (map, key) = (text("value")?, text("subscript")?);
            let literal = key.starts_with(['"', '\'']);
            let other = literal && !failure.message.contains(&format!("'{}'", key.trim_matches(['"', '\''])));
            (!other).then(|| (format!("no check that `{map}` has `{key}`"), key))
        }
        ("IndexError", "subscript") => {
            let list = text("value")?;
            Some((format!("no check of the length of `{list}`"), list))
        }
        ("AttributeError", "attribute") if failure.message.contains("NoneType") => {
            let (object, attribute) = (text("object")?, text("attribute")?);
            let meant = failure.message.contains(&format!("'{attribute}'"));
            meant.then(|| (format!("no check of `{object}` for None"), object))
        }
        ("TypeError", "subscript") if failure.message.contains("NoneType") => {
            let value = text("value")?;
            Some((format!("no check of `{value}` for None"), value))
        }
        ("ValueError", "call") => {
            let function = text("function").filter(|name| name == "int" || name == "float")?;
            let arguments = text("arguments")?;
            let given = arguments.trim_start_matches('(').trim_end_matches(')').to_string();
            Some((format!("no check that `{given}` is a number that {function}() reads"), given))
        }
        _ => None,
    }
}

/// Whether a condition, an assertion or a `try` before or around `line` mentions a name of `subject`.
fn is_checked(scope: &SyntaxNode<'_>, line: u32, subject: &str) -> bool {
    let mentions = |text: &str| {
        if subject.starts_with(['"', '\'']) {
            return text.contains(subject);
        }
        NAME.find_iter(subject).any(|name| NAME.find_iter(text).any(|word| word.as_str() == name.as_str()))
    };
    scope.dfs().filter(|node| first_line(node) <= line).any(|node| match &*node.kind() {
        "if_statement" | "elif_clause" | "while_statement" => node.field("condition").is_some_and(|c| mentions(&c.text())),
        "conditional_expression" => node.child(2).is_some_and(|condition| mentions(&condition.text())),
        "assert_statement" => mentions(&node.text()),
        "try_statement" => line <= last_line(&node),
        _ => false,
    })
}

#[cfg(all(test, feature = "lang-python"))]
mod tests {
    use super::super::failure;
    use super::*;
    use crate::model::Exit;

    fn remarks(source: &str, line: u32, raised: &str) -> Vec<String> {
        let stderr = format!("Traceback (most recent call last):\n  File \"a.py\", line {line}, in f\n{raised}\n");
        observe(Language::Python, source, line, &failure(&Exit::Code(1), stderr.as_bytes(), ""))
    }

    #[test]
    fn a_divisor_that_nobody_looked_at_is_remarked() {
        let zero = "ZeroDivisionError: division by zero";
        let source = "def divide(a, b):\n    return a / b\n";
        assert_eq!(remarks(source, 2, zero), ["no validation of `b` in `divide` before line 2"]);
        let checked = "def divide(a, b):\n    if not b:\n        return 0\n    return a / b\n";
        assert_eq!(remarks(checked, 4, zero), Vec::<String>::new());
    }

    #[test]
    fn only_the_key_that_was_missing_is_remarked() {
        let source = "def describe(m):\n    return m[\"name\"] + m[\"nickname\"]\n";
        let expected = ["no check that `m` has `\"nickname\"` in `describe` before line 2"];
        assert_eq!(remarks(source, 2, "KeyError: 'nickname'"), expected);
    }

    #[test]
    fn a_loop_that_does_not_end_is_quoted() {
        let source = "def f(n):\n    while n != 0:\n        n -= 2\n    return n\n";
        let timed_out = failure(&Exit::TimedOut, b"", "");
        let seen = |line| observe(Language::Python, source, line, &timed_out);
        assert_eq!(seen(3), ["the loop at line 2 ends only when `n != 0` becomes false"]);
        assert_eq!(seen(4), Vec::<String>::new());
    }

    #[test]
    fn text_and_none_are_remarked_with_their_names() {
        let number = remarks("def f(t):\n    return int(t)\n", 2, "ValueError: invalid literal for int() with base 10: '2.5'");
        assert_eq!(number, ["no check that `t` is a number that int() reads in `f` before line 2"]);
        let none = remarks("def f(t):\n    return t.x\n", 2, "AttributeError: 'NoneType' object has no attribute 'x'");
        assert_eq!(none, ["no check of `t` for None in `f` before line 2"]);
    }
}
