//! Questions about a source's syntax tree: does it parse, which functions and loops does it have. Owns no rule of repair.

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

pub(super) type Syntax<'t> = Node<'t, StrDoc<Grammar>>;

/// Whether `source` parses. The error says on which line it does not. Languages without a grammar always parse.
pub fn parses(language: Language, source: &[u8]) -> Result<(), String> {
    let Some(grammar) = Grammar::of(language) else { return Ok(()) };
    let text = std::str::from_utf8(source).map_err(|error| format!("not UTF-8 after byte {}", error.valid_up_to()))?;
    let tree = grammar.tree(text).ok_or("the parser gave up")?;
    let root = tree.root();
    match root.dfs().find(|node| node.is_error() || node.is_missing()) {
        None => Ok(()),
        Some(node) => Err(format!("line {} does not parse", first_line(&node))),
    }
}

/// The functions of `source` in the order of their first lines; an inner function comes after the one around it.
pub fn functions(language: Language, source: &str) -> Vec<Span> {
    spans(language, source, "function_definition", "name")
}

/// The `while` loops of `source`, named by their conditions, outer ones first.
pub fn loops(language: Language, source: &str) -> Vec<Span> {
    spans(language, source, "while_statement", "condition")
}

fn spans(language: Language, source: &str, kind: &str, named_by: &str) -> Vec<Span> {
    let Some(tree) = Grammar::of(language).and_then(|grammar| grammar.tree(source)) else { return Vec::new() };
    let root = tree.root();
    root.dfs()
        .filter(|node| node.kind() == kind)
        .filter_map(|node| {
            let name = node.field(named_by)?.text().into_owned();
            Some(Span { name, first: first_line(&node), last: last_line(&node) })
        })
        .collect()
}

/// The 1-based line on which `node` begins.
pub(super) fn first_line(node: &Syntax<'_>) -> u32 {
    u32::try_from(node.start_pos().line() + 1).unwrap_or(u32::MAX)
}

/// The 1-based line on which `node` ends.
pub(super) fn last_line(node: &Syntax<'_>) -> u32 {
    u32::try_from(node.end_pos().line() + 1).unwrap_or(u32::MAX)
}

#[cfg(all(test, feature = "lang-python"))]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_does_not_parse_is_refused_with_its_line() {
        assert_eq!(parses(Language::Python, b"x = 1\n"), Ok(()));
        assert_eq!(parses(Language::Python, b"x = 1\ny = )\n"), Err("line 2 does not parse".into()));
        assert!(parses(Language::Python, b"\xff").is_err());
        assert_eq!(parses(Language::Shell, b"if ("), Ok(()));
    }

    #[test]
    fn functions_and_loops_are_found_with_their_lines() {
        let source = "def f(a):\n    def g():\n        pass\n    while a != 0:\n        a -= 1\n\n\nx = 1\n";
        let names: Vec<(String, u32, u32)> =
            functions(Language::Python, source).into_iter().map(|span| (span.name, span.first, span.last)).collect();
        assert_eq!(names, [("f".to_string(), 1, 5), ("g".to_string(), 2, 3)]);
        assert_eq!(loops(Language::Python, source), [Span { name: "a != 0".into(), first: 4, last: 5 }]);
    }
}
