//! Which lines of a Rust source run, without tools of the compiler: calls are put into the source, each on the line that it tells of,
//! so that no line moves.
//!
//! Owns where calls may stand. What is evaluated to find out what runs counts as running: the conditions of `else if`, the patterns of the
//! arms before the one that is taken.

use std::ops::Range;

use crate::lang::{Grammar, SyntaxNode};
use crate::model::Language;

/// A source with calls of `crate::fractal_hit(unit)` in it.
pub(super) struct Instrumented {
    pub(super) source: String,
    /// The lines of each unit, 1-based.
    pub(super) units: Vec<Vec<u32>>,
}

/// What is never instrumented: constants, which cannot call, and macros, which are not what they seem.
const CLOSED: [&str; 9] = [
    "const_item",
    "static_item",
    "const_block",
    "macro_definition",
    "macro_invocation",
    "attribute_item",
    "inner_attribute_item",
    "array_type",
    "enum_item",
];

/// Puts the calls into `source`; `None` when it does not parse.
pub(super) fn instrument(source: &str) -> Option<Instrumented> {
    let tree = Grammar::of(Language::Rust)?.tree(source)?;
    let root = tree.root();
    let mut work = Work::new(source);
    let mut waiting = vec![root];
    while let Some(node) = waiting.pop() {
        if node.is_error() || node.is_missing() {
            return None;
        }
        if is_closed(&node) {
            continue;
        }
        work.look_at(&node);
        let length = node.field("length").map(|length| length.range());
        let before = waiting.len();
        waiting.extend(node.children().filter(|child| length.as_ref() != Some(&child.range())));
        waiting[before..].reverse();
    }
    Some(work.done(source))
}

/// `source` with functions that panic at once; `None` when it does not parse. What they would do stands behind that, so that types stay.
pub(in super::super) fn forced(source: &str) -> Option<String> {
    let tree = Grammar::of(Language::Rust)?.tree(source)?;
    let root = tree.root();
    let mut forced = source.to_string();
    let is_function = |node: &SyntaxNode<'_>| node.kind() == "function_item" && !is_const_function(node);
    let bodies = root.dfs().filter(is_function).filter_map(|function| Some(function.field("body")?.range().start + 1));
    let mut places: Vec<usize> = bodies.collect();
    places.sort_unstable();
    for place in places.into_iter().rev() {
        forced.insert_str(place, " panic!(\"forced failure\");");
    }
    (!root.dfs().any(|node| node.is_error() || node.is_missing())).then_some(forced)
}

fn is_closed(node: &SyntaxNode<'_>) -> bool {
    CLOSED.contains(&&*node.kind()) || is_const_function(node)
}

/// Whether it is a `const fn`.
fn is_const_function(node: &SyntaxNode<'_>) -> bool {
    let is_const = |child: SyntaxNode<'_>| {
        child.kind() == "function_modifiers" && child.text().split_whitespace().any(|word| word == "const")
    };
    node.kind() == "function_item" && node.children().any(is_const)
}

struct Work {
    /// Where the text of each line begins that says something; the others belong to nothing.
    begins: Vec<Option<usize>>,
    /// Where each line starts in the source.
    starts: Vec<usize>,
    /// The unit that each line belongs to.
    owners: Vec<Option<usize>>,
    /// Lines that a unit tells of beside those it owns.
    more: Vec<Vec<u32>>,
    /// Places and texts; those that close come before those that open.
    insertions: Vec<(usize, bool, String)>,
}

impl Work {
    fn new(source: &str) -> Self {
        let (mut starts, mut begins, mut offset) = (Vec::new(), Vec::new(), 0);
        for line in source.split_inclusive('\n') {
            starts.push(offset);
            let says = says_something(line).then(|| offset + line.len() - line.trim_start().len());
            begins.push(says);
            offset += line.len();
        }
        let owners = vec![None; starts.len()];
        Work { begins, starts, owners, more: Vec::new(), insertions: Vec::new() }
    }

    /// The number of the line, from 0.
    fn line(&self, place: usize) -> usize {
        self.starts.partition_point(|start| *start <= place).saturating_sub(1)
    }

    /// The lines that begin in `range` belong to `owner` now.
    fn take(&mut self, range: &Range<usize>, owner: Option<usize>) {
        let (first, last) = (self.line(range.start), self.line(range.end.saturating_sub(1)));
        for line in first..=last {
            if self.begins[line].is_some_and(|begin| range.contains(&begin)) {
                self.owners[line] = owner;
            }
        }
    }

    fn unit(&mut self, range: &Range<usize>) -> usize {
        let unit = self.more.len();
        self.take(range, Some(unit));
        self.more.push(vec![number(self.line(range.start))]);
        unit
    }

    fn open(&mut self, place: usize, unit: usize, brace: &str) {
        self.insertions.push((place, true, format!("{brace}crate::fractal_hit({unit}); ")));
    }

    fn wrap(&mut self, range: &Range<usize>, unit: usize) {
        self.open(range.start, unit, "{ ");
        self.insertions.push((range.end, false, " }".into()));
    }

    fn look_at(&mut self, node: &SyntaxNode<'_>) {
        match &*node.kind() {
            "block" => self.block(node),
            "match_block" => self.arms(node),
            "else_clause" => {
                if let Some(asks) = node.children().find(|child| child.kind() == "if_expression") {
                    let unit = self.unit(&asks.range());
                    self.wrap(&asks.range(), unit);
                }
            }
            "closure_expression" => self.closure(node),
            "function_item" => self.take(&node.range(), None),
            _ => {}
        }
    }

    fn block(&mut self, block: &SyntaxNode<'_>) {
        let (mut attributes, mut may_vanish) = (None, false);
        for child in block.children().filter(|child| child.is_named()) {
            let kind = child.kind();
            if kind == "attribute_item" {
                attributes.get_or_insert(child.range().start);
                may_vanish |= child.text().contains("cfg");
            } else if !kind.ends_with("comment") {
                let place = attributes.take().unwrap_or(child.range().start);
                // What vanishes may leave the one before it as the block's value.
                if is_statement(&kind) && !std::mem::take(&mut may_vanish) {
                    let unit = self.unit(&child.range());
                    self.open(place, unit, "");
                }
            }
        }
    }

    /// An arm was taken, so the patterns before it were looked at.
    fn arms(&mut self, block: &SyntaxNode<'_>) {
        let mut looked_at = Vec::new();
        for arm in block.children().filter(|child| child.kind() == "match_arm") {
            let (Some(pattern), Some(value)) = (arm.field("pattern"), arm.field("value")) else { continue };
            let unit = self.unit(&arm.range());
            let own = self.line(pattern.range().start)..=self.line(pattern.range().end.saturating_sub(1));
            self.more[unit].extend(&looked_at);
            looked_at.extend(own.map(number));
            let first = value.children().nth(1);
            match first.filter(|_| value.kind() == "block" && !starts_with_label(&value)) {
                Some(first) if first.kind() != "inner_attribute_item" => {
                    let place = value.range().start + 1;
                    self.insertions.push((place, true, format!(" crate::fractal_hit({unit});")));
                }
                _ => self.wrap(&value.range(), unit),
            }
        }
    }

    /// What a closure does happens later, or never: it is told apart where it has a line of its own.
    fn closure(&mut self, closure: &SyntaxNode<'_>) {
        let Some(body) = closure.field("body") else { return };
        let line = self.line(body.range().start);
        if body.kind() != "block" && self.begins[line] == Some(body.range().start) {
            let unit = self.unit(&body.range());
            self.wrap(&body.range(), unit);
        }
    }

    fn done(mut self, source: &str) -> Instrumented {
        self.insertions.sort_by_key(|(place, opens, _)| (*place, *opens));
        let mut written = String::with_capacity(source.len() + self.insertions.len() * 32);
        let mut from = 0;
        for (place, _, text) in &self.insertions {
            written.push_str(&source[from..*place]);
            written.push_str(text);
            from = *place;
        }
        written.push_str(&source[from..]);
        let mut units = self.more;
        for (line, owner) in self.owners.iter().enumerate() {
            if let Some(unit) = owner {
                units[*unit].push(number(line));
            }
        }
        Instrumented { source: written, units }
    }
}

fn number(line: usize) -> u32 {
    u32::try_from(line + 1).unwrap_or(u32::MAX)
}

fn starts_with_label(block: &SyntaxNode<'_>) -> bool {
    block.child(0).is_some_and(|first| first.kind() != "{")
}

/// Whether a line is more than a comment, an attribute, or the end of something.
fn says_something(line: &str) -> bool {
    let rest = line.trim().trim_start_matches(['{', '}', '(', ')', '[', ']', ';', ',']).trim_start();
    let is_else = rest.strip_prefix("else").is_some_and(|more| more.trim().is_empty() || more.starts_with([' ', '{']));
    !rest.is_empty() && !rest.starts_with("//") && !rest.starts_with("#[") && !is_else
}

/// Whether a child of a block does something when its turn comes. Declarations do nothing.
fn is_statement(kind: &str) -> bool {
    const STILL: [&str; 6] =
        ["use_declaration", "macro_definition", "extern_crate_declaration", "empty_statement", "label", "inner_attribute_item"];
    !kind.ends_with("_item") && !STILL.contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The source with `<unit>` for each call, and the lines of each unit.
    fn instrumented(source: &str) -> (String, Vec<Vec<u32>>) {
        let Instrumented { source, units } = instrument(source).expect("parses");
        let mut shown = source;
        for unit in 0..units.len() {
            shown = shown.replace(&format!("crate::fractal_hit({unit});"), &format!("<{unit}>"));
        }
        let sorted = |mut lines: Vec<u32>| {
            lines.sort_unstable();
            lines.dedup();
            lines
        };
        (shown, units.into_iter().map(sorted).collect())
    }

    #[test]
    fn a_call_stands_before_each_statement_and_moves_no_line() {
        let (shown, units) = instrumented(
            "fn f(n: u32) -> u32 {\n    // note\n    let a = n\n        .max(3);\n    #[allow(unused)]\n    let b = 1;\n    if a > 4 { return a; } else if n == 2 {\n        a\n    } else {\n        7\n    }\n}\n",
        );
        assert_eq!(
            shown,
            "fn f(n: u32) -> u32 {\n    // note\n    <0> let a = n\n        .max(3);\n    <1> #[allow(unused)]\n    let b = 1;\n    <2> if a > 4 { <3> return a; } else { <4> if n == 2 {\n        <5> a\n    } else {\n        <6> 7\n    } }\n}\n"
        );
        assert_eq!(units, [vec![3, 4], vec![6], vec![7], vec![7], vec![7], vec![8], vec![10]]);
    }

    #[test]
    fn an_arm_tells_of_the_patterns_before_it() {
        let (shown, units) = instrumented(
            "fn f(n: u32) -> u32 {\n    match n {\n        1 => 3,\n        2 => {\n            4\n        }\n        _ => 5,\n    }\n}\n",
        );
        assert_eq!(
            shown,
            "fn f(n: u32) -> u32 {\n    <0> match n {\n        1 => { <1> 3 },\n        2 => { <2>\n            <4> 4\n        }\n        _ => { <3> 5 },\n    }\n}\n"
        );
        assert_eq!(units, [vec![2], vec![3], vec![3, 4], vec![3, 4, 7], vec![5]]);
    }

    #[test]
    fn a_block_that_may_vanish_leaves_the_value_to_another() {
        let source =
            "fn f() -> u32 {\n    #[cfg(test)]\n    {\n        1\n    }\n    #[cfg(not(test))]\n    {\n        2\n    }\n}\n";
        let (shown, units) = instrumented(source);
        assert_eq!((shown, units), (source.replace("1\n", "<0> 1\n").replace("2\n", "<1> 2\n"), vec![vec![4], vec![8]]));
    }

    #[test]
    fn nothing_is_put_where_nothing_may_be_called() {
        for closed in [
            "const A: u32 = { let b = 2; b };\n",
            "static A: u32 = { 3 };\n",
            "const fn f() -> u32 { 4 }\n",
            "macro_rules! m { () => { { 1 } } }\n",
            "enum E { A = { 1 } }\n",
            "struct S { a: [u8; { 2 }] }\n",
        ] {
            assert_eq!(instrumented(closed), (closed.to_string(), Vec::new()));
        }
        assert!(instrument("fn f( {").is_none());
    }

    #[test]
    fn our_own_sources_still_parse_and_keep_their_lines() {
        let mut waiting = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        let mut seen = 0;
        while let Some(path) = waiting.pop() {
            if path.is_dir() {
                waiting.extend(std::fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry").path()));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let source = std::fs::read_to_string(&path).expect("reads");
                let Some(done) = instrument(&source) else { continue };
                seen += done.units.len();
                assert_eq!(done.source.lines().count(), source.lines().count(), "{path:?}");
                crate::lang::parses(Language::Rust, done.source.as_bytes()).unwrap_or_else(|why| panic!("{path:?}: {why}"));
            }
        }
        assert!(seen > 1000, "{seen}");
    }
}
