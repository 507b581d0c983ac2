//! A syntax tree as a flat list, for whoever looks at every node: parents, fields and lines without a walk from the root.
//! Owns no meaning of any node; that is in each language's tables.

use std::ops::Range;

use ast_grep_core::tree_sitter::LanguageExt;
use tree_sitter::{InputEdit, Node, Parser, Point, TreeCursor};

use super::Grammar;
use crate::model::Language;

/// One node, in the order of the text; a node comes before its children.
#[derive(Clone, Debug)]
pub struct Item {
    /// As the grammar calls it.
    pub kind: &'static str,
    /// What it is to its parent.
    pub field: Option<&'static str>,
    /// Not only a piece of punctuation.
    pub named: bool,
    /// Bytes of the source.
    pub span: Range<usize>,
    /// 1-based, inclusive.
    pub lines: (u32, u32),
    pub parent: usize,
    /// The number of the first node behind this one's subtree.
    pub after: usize,
}

/// All nodes of a source. Number 0 is the root.
#[derive(Clone, Debug)]
pub struct Tree {
    items: Vec<Item>,
    broken: bool,
}

impl Tree {
    /// `None` for a language without a grammar. A source that does not parse has a tree all the same, see [`Tree::is_broken`].
    pub fn of(language: Language, source: &str) -> Option<Tree> {
        let grammar = Grammar::of(language)?;
        let mut parser = Parser::new();
        parser.set_language(&grammar.get_ts_language()).ok()?;
        let parsed = parser.parse(source, None)?;
        let mut tree = Tree { items: Vec::new(), broken: parsed.root_node().has_error() };
        tree.fill(&mut parsed.walk());
        Some(tree)
    }

    /// Without recursion: a source may be nested as deeply as it likes.
    fn fill(&mut self, cursor: &mut TreeCursor<'_>) {
        let mut open: Vec<usize> = Vec::new();
        loop {
            let at = self.items.len();
            self.items.push(item(cursor, open.last().copied().unwrap_or(0)));
            if cursor.goto_first_child() {
                open.push(at);
                continue;
            }
            self.items[at].after = at + 1;
            while !cursor.goto_next_sibling() {
                if !cursor.goto_parent() {
                    return;
                }
                let Some(closed) = open.pop() else { return };
                self.items[closed].after = self.items.len();
            }
        }
    }

    /// Whether it holds errors.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The node with this number.
    pub fn item(&self, at: usize) -> &Item {
        &self.items[at]
    }

    /// Numbers of the children, punctuation too.
    pub fn children(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        let end = self.items[at].after;
        let mut next = at + 1;
        std::iter::from_fn(move || {
            let child = next;
            (child < end).then(|| {
                next = self.items[child].after;
                child
            })
        })
    }

    /// Numbers of the children that are not punctuation or comments.
    pub fn named(&self, at: usize) -> Vec<usize> {
        self.children(at).filter(|child| self.items[*child].named && !self.items[*child].kind.contains("comment")).collect()
    }

    /// The child in this field.
    pub fn child(&self, at: usize, field: &str) -> Option<usize> {
        self.children(at).find(|child| self.items[*child].field == Some(field))
    }

    /// The parents, innermost first, up to the root.
    pub fn ancestors(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        let mut inner = at;
        std::iter::from_fn(move || {
            (inner != 0).then(|| {
                inner = self.items[inner].parent;
                inner
            })
        })
    }

    /// The text of a node; `source` is what the tree was made of.
    pub fn text<'s>(&self, at: usize, source: &'s str) -> &'s str {
        source.get(self.items[at].span.clone()).unwrap_or_default()
    }
}

fn item(cursor: &TreeCursor<'_>, parent: usize) -> Item {
    let node = cursor.node();
    let line = |row: usize| u32::try_from(row + 1).unwrap_or(u32::MAX);
    Item {
        kind: node.kind(),
        field: cursor.field_name(),
        named: node.is_named(),
        span: node.byte_range(),
        lines: (line(node.start_position().row), line(node.end_position().row)),
        parent,
        after: 0,
    }
}

/// A source that is edited again and again: what an edit changes is parsed anew, the rest is not.
pub struct Editable {
    parser: Parser,
    parsed: tree_sitter::Tree,
}

impl Editable {
    /// `None` for a language without a grammar.
    pub fn of(language: Language, source: &str) -> Option<Editable> {
        let grammar = Grammar::of(language)?;
        let mut parser = Parser::new();
        parser.set_language(&grammar.get_ts_language()).ok()?;
        let parsed = parser.parse(source, None)?;
        Some(Editable { parser, parsed })
    }

    /// A digest of the source in which `span` has become `length` bytes: the same for sources that differ in white space, comments
    /// and needless parentheses alone. `None` when `edited`, the whole new source, does not parse.
    pub fn digest(&mut self, source: &str, span: &Range<usize>, length: usize, edited: &str) -> Option<[u8; 32]> {
        let mut old = self.parsed.clone();
        let end = span.start + length;
        old.edit(&InputEdit {
            start_byte: span.start,
            old_end_byte: span.end,
            new_end_byte: end,
            start_position: point(source, span.start),
            old_end_position: point(source, span.end),
            new_end_position: point(edited, end),
        });
        let parsed = self.parser.parse(edited, Some(&old))?;
        let root = parsed.root_node();
        (!root.has_error()).then(|| digest(root, span.start, end, edited))
    }
}

fn point(source: &str, at: usize) -> Point {
    let before = source.as_bytes().get(..at).unwrap_or_default();
    let line = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
    Point { row: memchr::memchr_iter(b'\n', before).count(), column: at - line }
}

/// Of the top-level nodes that the edit touches, with how many come before and after them: the rest is as it was.
fn digest(root: Node<'_>, start: usize, end: usize, source: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let mut cursor = root.walk();
    if !cursor.goto_first_child() {
        return *hasher.finalize().as_bytes();
    }
    let (mut before, mut after) = (0u32, 0u32);
    loop {
        let child = cursor.node();
        if child.end_byte() < start {
            before += u32::from(!child.is_extra());
        } else if child.start_byte() > end {
            after += u32::from(!child.is_extra());
        } else {
            subtree(child, source, &mut hasher);
        }
        if !cursor.goto_next_sibling() {
            break;
        }
    }
    hasher.update(&before.to_le_bytes()).update(&after.to_le_bytes());
    *hasher.finalize().as_bytes()
}

fn subtree(top: Node<'_>, source: &str, hasher: &mut blake3::Hasher) {
    let mut cursor = top.walk();
    loop {
        let node = cursor.node();
        let needless = node.kind() == "parenthesized_expression" && node.named_child_count() == 1;
        let is_leaf = node.child_count() == 0;
        if is_leaf && !is_parenthesis(&node) && !node.is_extra() {
            hasher.update(source.as_bytes().get(node.byte_range()).unwrap_or_default()).update(b"\0");
        } else if !is_leaf && !needless {
            hasher.update(&node.kind_id().to_le_bytes()).update(b"(");
        }
        if cursor.goto_first_child() {
            continue;
        }
        loop {
            if cursor.node() == top || cursor.goto_next_sibling() {
                break;
            }
            if !cursor.goto_parent() {
                return;
            }
            let closed = cursor.node();
            if !(closed.kind() == "parenthesized_expression" && closed.named_child_count() == 1) {
                hasher.update(b")");
            }
        }
        if cursor.node() == top {
            return;
        }
    }
}

fn is_parenthesis(node: &Node<'_>) -> bool {
    let around =
        || node.parent().is_some_and(|parent| parent.kind() == "parenthesized_expression" && parent.named_child_count() == 1);
    matches!(node.kind(), "(" | ")") && around()
}

#[cfg(test)]
#[cfg(all(feature = "lang-javascript", feature = "lang-python"))]
mod tests {
    use super::*;

    #[test]
    fn every_node_knows_its_parent_its_children_and_where_it_is() {
        let source = "def f(a):\n    return a + 1\n";
        let tree = Tree::of(Language::Python, source).expect("a grammar");
        let find = |kind: &str| tree.items().iter().position(|item| item.kind == kind).expect("there");
        let (sum, function) = (find("binary_operator"), find("function_definition"));
        assert_eq!((tree.text(sum, source), tree.item(sum).lines), ("a + 1", (2, 2)));
        assert_eq!(tree.child(sum, "right").map(|at| tree.text(at, source)), Some("1"));
        assert_eq!(tree.named(sum).len(), 2);
        assert!(tree.ancestors(sum).any(|at| at == function) && tree.ancestors(sum).last() == Some(0));
        assert_eq!(tree.item(0).after, tree.items().len());
        assert!(!tree.is_broken() && Tree::of(Language::Python, "x = )").expect("a tree").is_broken());
    }

    #[test]
    fn a_digest_does_not_see_spaces_comments_and_needless_parentheses() {
        let source = "let a = b;\nlet c = 1;\n";
        let mut editable = Editable::of(Language::Javascript, source).expect("a grammar");
        let mut of = |text: &str| {
            let edited = source.replacen("b;", text, 1);
            editable.digest(source, &(8..10), text.len(), &edited)
        };
        assert_eq!(of("(b + 1); // c"), of("  b+1;"));
        assert_eq!(of("((b + 1) * 2);"), of("(b+1)*2;"));
        assert_ne!(of("(b + 1) * 2;"), of("b + 1 * 2;"));
        assert_ne!(of("f(b, c);"), of("f(b); c;"));
        assert_ne!(of("f(g(b), c);"), of("f(g(b, c));"));
        assert_ne!(of("b;"), of("c;"));
        assert_eq!(of("f(;"), None);
    }

    #[test]
    fn a_source_that_was_edited_is_read_as_if_it_were_new() {
        let source = "def f(a):\n    return a\n\n\ndef g(b):\n    return b\n";
        let mut editable = Editable::of(Language::Python, source).expect("a grammar");
        let at = source.find("return b").expect("there");
        for (text, good) in [("return b + 1", true), ("b =\n", false), ("if b:\n        return 1", true), ("return (", false)] {
            let edited = format!("{}{text}{}", &source[..at], &source[at + 8..]);
            let digest = editable.digest(source, &(at..at + 8), text.len(), &edited);
            assert_eq!(
                (digest.is_some(), crate::lang::parses(Language::Python, edited.as_bytes()).is_ok()),
                (good, good),
                "{text}"
            );
        }
    }
}
