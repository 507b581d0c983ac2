//! Small wrong changes of a source, to see whether anybody would notice: the mutants of mutation testing (DeMillo, Lipton, Sayward 1978), in
//! the lines that a patch brings. Text in, text out.

use std::collections::BTreeMap;

use super::tree::Tree;
use crate::model::Language;

/// A source with one small wrong change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    pub source: String,
    /// 1-based.
    pub line: u32,
    /// What was changed, for people: "`<` became `<=`".
    pub what: String,
}

/// Operators that are mistaken for one another.
const OPERATORS: [(&str, &str); 26] = [
    ("<", "<="),
    ("<=", "<"),
    (">", ">="),
    (">=", ">"),
    ("==", "!="),
    ("!=", "=="),
    ("===", "!=="),
    ("!==", "==="),
    ("=", "!="),
    ("-lt", "-le"),
    ("-le", "-lt"),
    ("-gt", "-ge"),
    ("-ge", "-gt"),
    ("-eq", "-ne"),
    ("-ne", "-eq"),
    ("-z", "-n"),
    ("-n", "-z"),
    ("+", "-"),
    ("-", "+"),
    ("*", "+"),
    ("/", "*"),
    ("//", "*"),
    ("%", "*"),
    ("and", "or"),
    ("or", "and"),
    ("&&", "||"),
];

/// Kinds of nodes that hold two operands and an operator, in the four grammars.
const BINARY: [&str; 9] = [
    "binary_expression",
    "binary_operator",
    "boolean_operator",
    "comparison_operator",
    "unary_expression",
    "test_command",
    "list",
    "augmented_assignment",
    "compound_assignment_expr",
];

/// Kinds of statements that can be left out, and of those that stand in a body of their own.
const STATEMENTS: [&str; 13] = [
    "expression_statement",
    "return_statement",
    "raise_statement",
    "continue_statement",
    "break_statement",
    "throw_statement",
    "command",
    "if_statement",
    "for_statement",
    "while_statement",
    "variable_assignment",
    "assert_statement",
    "delete_statement",
];

/// Names that are mistaken for one another.
const NAMES: [(&str, &str); 16] = [
    ("min", "max"),
    ("max", "min"),
    ("floor", "ceil"),
    ("ceil", "floor"),
    ("round", "floor"),
    ("any", "all"),
    ("all", "any"),
    ("some", "every"),
    ("every", "some"),
    ("startswith", "endswith"),
    ("startsWith", "endsWith"),
    ("lstrip", "rstrip"),
    ("push", "unshift"),
    ("append", "remove"),
    ("first", "last"),
    ("lower", "upper"),
];

/// Kinds of nodes that hold the arguments of a call.
const ARGUMENTS: [&str; 2] = ["argument_list", "arguments"];

/// Conditions that can be turned round: the kind of the parent and the field.
const CONDITIONS: [(&str, &str); 9] = [
    ("if_statement", "condition"),
    ("elif_clause", "condition"),
    ("while_statement", "condition"),
    ("conditional_expression", "condition"),
    ("ternary_expression", "condition"),
    ("if_expression", "condition"),
    ("while_expression", "condition"),
    ("do_statement", "condition"),
    ("if_clause", ""),
];

/// Up to `limit` mutants of the given 1-based lines, spread over them. Empty for a language without a grammar, and where nothing can be
/// changed. A mutant that does not parse is none.
pub fn mutants(language: Language, source: &str, lines: &[u32], limit: usize) -> Vec<Mutant> {
    let Some(tree) = Tree::of(language, source).filter(|tree| !tree.is_broken()) else { return Vec::new() };
    let mut by_line: BTreeMap<u32, Vec<Mutant>> = BTreeMap::new();
    for at in 0..tree.items().len() {
        let item = tree.item(at);
        if !lines.contains(&item.lines.0) {
            continue;
        }
        for (span, text, what) in changes(language, &tree, at, source) {
            let mutated = format!("{}{text}{}", &source[..span.start], &source[span.end..]);
            let parses = Tree::of(language, &mutated).is_some_and(|tree| !tree.is_broken());
            let known = by_line.values().flatten().any(|mutant| mutant.source == mutated);
            if parses && !known {
                by_line.entry(item.lines.0).or_default().push(Mutant { source: mutated, line: item.lines.0, what });
            }
        }
    }
    // One of each line in turn.
    let mut queues: Vec<std::vec::IntoIter<Mutant>> = by_line.into_values().map(Vec::into_iter).collect();
    let mut chosen = Vec::new();
    while chosen.len() < limit {
        let before = chosen.len();
        chosen.extend(queues.iter_mut().filter_map(Iterator::next).take(limit - before));
        if chosen.len() == before {
            break;
        }
    }
    chosen
}

type Change = (std::ops::Range<usize>, String, String);

fn changes(language: Language, tree: &Tree, at: usize, source: &str) -> Vec<Change> {
    let item = tree.item(at);
    let text = tree.text(at, source);
    let parent = tree.item(item.parent);
    let became = |new: String, what: String| vec![(item.span.clone(), new, what)];
    let swapped = |new: &str| became(new.to_string(), format!("`{text}` became `{new}`"));
    let is_operator = BINARY.contains(&parent.kind) && (!item.named || item.kind == "test_operator");
    if is_operator && let Some((_, other)) = OPERATORS.iter().find(|(known, _)| *known == text) {
        return swapped(other);
    }
    let negated = CONDITIONS
        .iter()
        .any(|(kind, field)| parent.kind == *kind && (item.field == Some(*field) || field.is_empty() && item.named));
    let mut found = Vec::new();
    if negated && language != Language::Shell {
        let not = if language == Language::Python { "not " } else { "!" };
        let inner = if text.starts_with('(') { text.to_string() } else { format!("({text})") };
        // JavaScript's condition is in parentheses already.
        let new = if text.starts_with('(') && language == Language::Javascript {
            format!("(!{inner})")
        } else {
            format!("{not}{inner}")
        };
        found.extend(became(new, format!("the condition `{}` was turned round", short(text))));
    }
    match item.kind {
        "true" | "false" | "True" | "False" => found.extend(swapped(match text {
            "true" => "false",
            "false" => "true",
            "True" => "False",
            _ => "True",
        })),
        "integer" | "number" | "integer_literal" => {
            if let Ok(number) = text.parse::<i64>() {
                found.extend(swapped(&number.saturating_add(1).to_string()));
            }
        }
        "identifier" | "property_identifier" | "field_identifier" => {
            if let Some((_, other)) = NAMES.iter().find(|(known, _)| *known == text) {
                found.extend(swapped(other));
            }
        }
        "null" | "None" => found.extend(swapped("0")),
        kind if ARGUMENTS.contains(&kind) => found.extend(fewer_arguments(tree, at, source)),
        "string_content" | "string_fragment" | "string_literal_content" if !text.is_empty() => {
            found.extend(became(format!("{text}~"), format!("the text `{}` got one more character", short(text))));
        }
        kind if STATEMENTS.contains(&kind) && !is_in_a_condition(tree, at) => {
            let nothing = match language {
                Language::Python => "pass",
                Language::Shell => ":",
                _ => "",
            };
            found.extend(became(nothing.to_string(), format!("`{}` was left out", short(text))));
        }
        _ => {}
    }
    found
}

/// The call without its last argument.
fn fewer_arguments(tree: &Tree, at: usize, source: &str) -> Option<Change> {
    let arguments = tree.named(at);
    let (last, before) = arguments.split_last()?;
    let start = before.last().map_or(tree.item(*last).span.start, |before| tree.item(*before).span.end);
    let what = format!("`{}` was left out of a call", short(tree.text(*last, source)));
    Some((start..tree.item(*last).span.end, String::new(), what))
}

/// Commands of the shell are conditions too.
fn is_in_a_condition(tree: &Tree, at: usize) -> bool {
    let item = tree.item(at);
    item.field == Some("condition") || tree.ancestors(at).take(2).any(|outer| tree.item(outer).field == Some("condition"))
}

fn short(text: &str) -> String {
    crate::model::plain_line(text, 40)
}

/// The lines of `after`, 1-based, that are new beside `before`.
pub fn new_lines(before: &str, after: &str) -> Vec<u32> {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let end = old[start..].iter().rev().zip(new[start..].iter().rev()).take_while(|(a, b)| a == b).count();
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for line in &old[start..old.len() - end] {
        *left.entry(line).or_default() += 1;
    }
    let mut found = Vec::new();
    for (at, line) in new.iter().enumerate().take(new.len() - end).skip(start) {
        match left.get_mut(line) {
            Some(count) if *count > 0 => *count -= 1,
            _ if line.trim().is_empty() => {}
            _ => found.push(u32::try_from(at + 1).unwrap_or(u32::MAX)),
        }
    }
    found
}

#[cfg(test)]
#[cfg(all(feature = "lang-javascript", feature = "lang-python", feature = "lang-rust", feature = "lang-shell"))]
mod tests {
    use super::*;

    fn whats(language: Language, source: &str, lines: &[u32]) -> Vec<String> {
        mutants(language, source, lines, 50).into_iter().map(|mutant| mutant.what).collect()
    }

    #[test]
    fn operators_numbers_conditions_and_statements_are_changed_in_every_language() {
        let python = whats(Language::Python, "def f(a):\n    if a <= 0:\n        return 3\n    return a + 1\n", &[2, 3]);
        for what in [
            "`<=` became `<`",
            "the condition `a <= 0` was turned round",
            "`0` became `1`",
            "`3` became `4`",
            "`return 3` was left out",
        ] {
            assert!(python.iter().any(|known| known == what), "{what}: {python:?}");
        }
        assert!(!python.iter().any(|what| what.contains("`+`")), "{python:?}");
        let javascript = whats(Language::Javascript, "function f(a) {\n  if (a === 1 && b) return 'x';\n}\n", &[2]);
        for what in ["`===` became `!==`", "`&&` became `||`", "the text `x` got one more character"] {
            assert!(javascript.iter().any(|known| known == what), "{what}: {javascript:?}");
        }
        let rust = whats(Language::Rust, "fn f(a: u32) -> u32 {\n    if a < 2 { return 1; }\n    a - 1\n}\n", &[2, 3]);
        for what in ["`<` became `<=`", "`-` became `+`", "the condition `a < 2` was turned round"] {
            assert!(rust.iter().any(|known| known == what), "{what}: {rust:?}");
        }
        let shell = whats(Language::Shell, "if [ \"$#\" -lt 1 ]; then\n  echo none\n  exit 2\nfi\n", &[1, 2, 3]);
        for what in ["`-lt` became `-le`", "`1` became `2`", "`exit 2` was left out"] {
            assert!(shell.iter().any(|known| known == what), "{what}: {shell:?}");
        }
    }

    #[test]
    fn every_mutant_parses_and_differs_and_lines_take_turns() {
        let source = "def f(a):\n    x = a + 1 + 2 + 3\n    return x * 4\n";
        let mutants = mutants(Language::Python, source, &[2, 3], 4);
        assert_eq!(mutants.len(), 4);
        assert!(
            mutants
                .iter()
                .all(|mutant| mutant.source != source && crate::lang::parses(Language::Python, mutant.source.as_bytes()).is_ok())
        );
        assert_eq!(mutants.iter().filter(|mutant| mutant.line == 3).count(), 2);
    }

    #[test]
    fn only_lines_that_are_new_are_meant() {
        assert_eq!(new_lines("a\nb\nc\n", "a\nx\nb\nc\n"), [2]);
        assert_eq!(new_lines("a\nb\nc\n", "a\nB\nc\n"), [2]);
        assert_eq!(new_lines("a\nb\nc\n", "a\nc\n"), [] as [u32; 0]);
        assert_eq!(new_lines("a\nb\nc\nd\n", "x\nb\nc\ny\n"), [1, 4]);
        assert_eq!(new_lines("", "a\n\nb\n"), [1, 3]);
    }
}
