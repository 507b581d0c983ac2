//! Questions about a source's syntax tree: does it parse, which functions and loops does it have, what is a statement. Owns
//! no rule of repair, and no name of a node: those are in each language's table.

use std::ops::RangeInclusive;

use ast_grep_core::Node;
use ast_grep_core::tree_sitter::StrDoc;

use super::Grammar;
use crate::model::Language;

/// A function or a loop with the lines it covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The function's name, or the loop's condition.
    pub name: String,
    /// Its first line, 1-based.
    pub first: u32,
    /// Its last line, inclusive.
    pub last: u32,
}

impl Span {
    /// Whether `line` (1-based) lies in it.
    pub fn covers(&self, line: u32) -> bool {
        (self.first..=self.last).contains(&line)
    }
}

/// A node of a syntax tree.
pub type SyntaxNode<'t> = Node<'t, StrDoc<Grammar>>;

/// What the kinds of nodes of one grammar mean. Each language's file holds its own.
pub struct Syntax {
    /// What `return` leaves. Its name is in a field of its own, or is what it is assigned to.
    pub functions: &'static [&'static str],
    /// Loops that a condition ends.
    pub loops: &'static [&'static str],
    /// What holds statements, one after the other.
    pub blocks: &'static [&'static str],
    /// Nodes whose child may be any expression without parentheses.
    pub holders: &'static [&'static str],
    /// One step of indentation in the templates of this language.
    pub indent: &'static str,
    /// Names for the nodes that are only an operator: an ast-grep `kind` is a selector, in which `<` would not be a name.
    pub operators: &'static [(&'static str, &'static str)],
    /// Whether a line that is not indented begins how the program is entered.
    pub begins_entry: fn(&str) -> bool,
}

/// Whether `source` parses. The error says on which line it does not. Languages without a grammar always parse.
pub fn parses(language: Language, source: &[u8]) -> Result<(), String> {
    let Some(grammar) = Grammar::of(language) else { return Ok(()) };
    let text = std::str::from_utf8(source).map_err(|error| format!("not UTF-8 after byte {}", error.valid_up_to()))?;
    let tree = grammar.tree(text).ok_or("the parser gave up")?;
    let root = tree.root();
    match root.dfs().find(|node| node.is_error() || node.is_missing()) {
        None => Ok(()),
        Some(node) => Err(format!("line {} does not parse", first_line(&unfinished(node)))),
    }
}

/// Where an error begins: it may hold all that comes before it, as statements that are complete.
fn unfinished(error: SyntaxNode<'_>) -> SyntaxNode<'_> {
    let token = error.children().find(|child| !child.is_named() || child.is_error());
    token.filter(|_| error.is_error()).unwrap_or(error)
}

/// The functions of `source` that have a name, in the order of their first lines; an inner function comes after the one
/// around it.
pub fn functions(language: Language, source: &str) -> Vec<Span> {
    spans(language, source, |syntax| syntax.functions, function_name)
}

/// The loops of `source` that a condition ends, named by their conditions, outer ones first.
pub fn loops(language: Language, source: &str) -> Vec<Span> {
    spans(language, source, |syntax| syntax.loops, condition)
}

fn spans(
    language: Language,
    source: &str,
    kinds: fn(&Syntax) -> &'static [&'static str],
    name: fn(&SyntaxNode<'_>) -> Option<String>,
) -> Vec<Span> {
    let Some(grammar) = Grammar::of(language) else { return Vec::new() };
    let Some(tree) = grammar.tree(source) else { return Vec::new() };
    let (root, kinds) = (tree.root(), kinds(grammar.syntax()));
    root.dfs()
        .filter(|node| kinds.contains(&&*node.kind()))
        .filter_map(|node| Some(Span { name: name(&node)?, first: first_line(&node), last: last_line(&node) }))
        .collect()
}

/// A function's own name, else that of the variable, the property or the key it is the value of.
fn function_name(function: &SyntaxNode<'_>) -> Option<String> {
    const TARGETS: [&str; 4] = ["name", "left", "key", "property"];
    let named = function.field("name").or_else(|| {
        let holder = function.parent()?;
        let is_value =
            ["value", "right"].iter().any(|field| holder.field(field).is_some_and(|value| value.range() == function.range()));
        TARGETS.iter().filter(|_| is_value).find_map(|field| holder.field(field))
    })?;
    Some(named.text().into_owned())
}

/// A loop's condition without what the grammar counts to it.
fn condition(around: &SyntaxNode<'_>) -> Option<String> {
    let condition = around.field("condition")?;
    let text = condition.text();
    let text = text.trim_end_matches(';');
    let inner =
        text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).filter(|_| condition.kind() == "parenthesized_expression");
    Some(inner.unwrap_or(text).to_string())
}

/// Whether `child`, a child of `parent`, is a statement: beside it there is room for another one.
pub fn is_statement(child: &SyntaxNode<'_>, parent: &SyntaxNode<'_>) -> bool {
    // A shell's `if` holds its condition and its commands side by side.
    let asked = || parent.field_children("condition").any(|condition| condition.range() == child.range());
    parent.lang().syntax().blocks.contains(&&*parent.kind()) && !asked()
}

/// The lines in which the program is entered (`if __name__ == "__main__":` and what is below it): nothing to search in.
pub fn entry(language: Language, source: &str) -> Vec<RangeInclusive<u32>> {
    let Some(grammar) = Grammar::of(language) else { return Vec::new() };
    let mut found = Vec::new();
    let mut lines = source.lines().zip(1u32..).peekable();
    while let Some((line, first)) = lines.next() {
        if (grammar.syntax().begins_entry)(line) {
            let below = |line: &str| line.is_empty() || line.starts_with([' ', '\t', '}']) || line.starts_with("fi");
            let mut last = first;
            while let Some((_, next)) = lines.next_if(|(line, _)| below(line)) {
                last = next;
            }
            found.push(first..=last);
        }
    }
    found
}

/// The 1-based line on which `node` begins.
pub(super) fn first_line(node: &SyntaxNode<'_>) -> u32 {
    u32::try_from(node.start_pos().line() + 1).unwrap_or(u32::MAX)
}

/// The 1-based line on which `node` ends.
pub(super) fn last_line(node: &SyntaxNode<'_>) -> u32 {
    u32::try_from(node.end_pos().line() + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[cfg(all(feature = "lang-javascript", feature = "lang-python", feature = "lang-rust", feature = "lang-shell"))]
mod tests {
    use super::*;

    const ALL: [Language; 4] = [Language::Javascript, Language::Python, Language::Rust, Language::Shell];

    fn named(found: Vec<Span>) -> Vec<(String, u32, u32)> {
        found.into_iter().map(|span| (span.name, span.first, span.last)).collect()
    }

    fn expected(spans: &[(&str, u32, u32)]) -> Vec<(String, u32, u32)> {
        spans.iter().map(|(name, first, last)| (name.to_string(), *first, *last)).collect()
    }

    #[test]
    fn a_source_that_does_not_parse_is_refused_with_its_line() {
        for (language, good, bad) in [
            (Language::Python, "x = 1\n", "x = 1\ny = )\n"),
            (Language::Javascript, "const x = a?.b ?? 1;\n", "const x = 1;\nlet y = );\n"),
            (Language::Rust, "fn f() -> u8 { 1 }\n", "fn f() {}\nfn g( { }\n"),
            (Language::Shell, "f() { echo \"${1:-}\"; }\n", "x=1\nif ( ; fi )\n"),
        ] {
            assert_eq!(parses(language, good.as_bytes()), Ok(()), "{language:?}");
            assert_eq!(parses(language, bad.as_bytes()), Err("line 2 does not parse".into()), "{language:?}");
            assert!(parses(language, b"\xff").is_err());
        }
        assert_eq!(parses(Language::Other, b"if ("), Ok(()));
    }

    #[test]
    fn functions_and_loops_are_found_with_their_lines() {
        let source = "def f(a):\n    def g():\n        pass\n    while a != 0:\n        a -= 1\n\n\nx = 1\n";
        assert_eq!(named(functions(Language::Python, source)), expected(&[("f", 1, 5), ("g", 2, 3)]));
        assert_eq!(loops(Language::Python, source), [Span { name: "a != 0".into(), first: 4, last: 5 }]);
    }

    #[test]
    fn a_function_of_javascript_has_the_name_of_what_it_is_assigned_to() {
        let source = "function f() {}\nconst g = (a) => a;\nexports.h = function () {\n};\nclass A {\n  m() {}\n  n = () => 1;\n}\n\
            const o = { k: async () => 2, l() {} };\nxs.map((x) => x);\nfor (let i = 0; i < n; i++) {}\nwhile (i != 0) {\n}\n";
        let names: Vec<String> = functions(Language::Javascript, source).into_iter().map(|span| span.name).collect();
        assert_eq!(names, ["f", "g", "exports.h", "m", "n", "k", "l"]);
        assert_eq!(named(loops(Language::Javascript, source)), expected(&[("i < n", 11, 11), ("i != 0", 12, 13)]));
    }

    #[test]
    fn functions_of_rust_and_of_a_shell_are_found() {
        let rust = "impl A {\n    fn m(&self) {\n        let c = |x| x;\n        while a > b {}\n    }\n}\n";
        assert_eq!(named(functions(Language::Rust, rust)), expected(&[("m", 2, 5)]));
        assert_eq!(named(loops(Language::Rust, rust)), expected(&[("a > b", 4, 4)]));
        let shell = "one() {\n  :\n}\nfunction two {\n  while [ $i -lt 3 ]; do\n    :\n  done\n}\n";
        assert_eq!(named(functions(Language::Shell, shell)), expected(&[("one", 1, 3), ("two", 4, 8)]));
        assert_eq!(named(loops(Language::Shell, shell)), expected(&[("[ $i -lt 3 ]", 5, 7)]));
    }

    #[test]
    fn how_a_program_is_entered_is_known_in_each_language() {
        let lines = |language, source: &str| entry(language, source).into_iter().flatten().collect::<Vec<_>>();
        assert_eq!(lines(Language::Python, "f()\nif __name__ == \"__main__\":\n    f()\nx = 1\n"), [2, 3]);
        assert_eq!(lines(Language::Javascript, "f();\nif (require.main === module) {\n  f();\n}\nf();\n"), [2, 3, 4]);
        assert_eq!(lines(Language::Shell, "f\nmain \"$@\"\n"), [2]);
        assert_eq!(lines(Language::Rust, "fn main() {}\n"), Vec::<u32>::new());
    }

    #[test]
    fn a_mark_at_the_beginning_line_ends_of_windows_and_tabs_parse() {
        for (language, source) in [
            (Language::Python, "if a:\n\tb = 1\n"),
            (Language::Javascript, "if (a) {\n\tb = 1;\n}\n"),
            (Language::Rust, "fn f() {\n\tg();\n}\n"),
            (Language::Shell, "if a; then\n\tb\nfi\n"),
        ] {
            assert_eq!(parses(language, source.as_bytes()), Ok(()));
            assert_eq!(parses(language, format!("\u{feff}{source}").as_bytes()), Ok(()), "{language:?}");
            // A shell itself takes the carriage return for a part of the word.
            if language != Language::Shell {
                assert_eq!(parses(language, source.replace('\n', "\r\n").as_bytes()), Ok(()), "{language:?}");
            }
        }
    }

    #[test]
    fn what_is_nested_very_deeply_or_very_long_is_answered() {
        for language in ALL {
            let deep = format!("x = {}1{}\n", "(".repeat(20_000), ")".repeat(20_000));
            let _ = (parses(language, deep.as_bytes()), functions(language, &deep), loops(language, &deep));
            let long = match language {
                Language::Python => "def f(a):\n    return a\n",
                Language::Javascript => "function f(a) {\n  return a; }\n",
                Language::Rust => "fn f(a: u8) -> u8 {\n    a }\n",
                _ => "f() {\n    echo \"$1\"; }\n",
            };
            let long = long.repeat(10_000);
            assert_eq!((parses(language, long.as_bytes()), functions(language, &long).len()), (Ok(()), 10_000), "{language:?}");
        }
    }
}
