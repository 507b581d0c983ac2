//! Coded operators: edits that no rule can say, because they take names, values and statements from the rest of the file.
//!
//! Each operator has a weight like a template's; what it makes is ranked with the templates' edits. Owns what an operator makes; the
//! facts are in `view.rs`, and how languages differ in `lang`'s shapes. Weights are a judgement of how often such an edit is
//! right among all that the operator makes at one place.

mod binary;
mod calls;
mod cases;
mod conditions;
mod statements;
mod values;
mod view;

pub use cases::{CASES, OperatorCase};

use super::edit::Edit;
use crate::lang::{Grammar, Shape, Tree};
use view::View;

/// A kind of edit.
#[derive(Debug)]
pub struct Operator {
    /// As a candidate's source.
    pub id: &'static str,
    /// The family, as of templates.
    pub class: &'static str,
    pub weight: f64,
    /// One sentence for people.
    pub doc: &'static str,
}

/// All of them.
pub fn operators() -> Vec<&'static Operator> {
    [values::OPERATORS, binary::OPERATORS, calls::OPERATORS, conditions::OPERATORS, statements::OPERATORS].concat()
}

/// An edit with what it is worth, without the suspicion of its place.
pub(super) struct Made {
    pub(super) operator: &'static Operator,
    pub(super) edit: Edit,
    /// 1-based.
    pub(super) lines: (u32, u32),
    /// The operator's weight and its share, between 0 and 1.
    pub(super) worth: f64,
}

/// Where operators put what they make.
struct Sink<'a> {
    made: Vec<Made>,
    wanted: &'a dyn Fn(u32, u32) -> bool,
}

impl Sink<'_> {
    /// `text` in place of the node `at`; `share` of the operator's weight.
    fn replace(&mut self, view: &View<'_>, operator: &'static Operator, at: usize, text: String, share: f64) {
        let item = view.item(at);
        if view.text(at) != text {
            self.put(operator, Edit { span: item.span.clone(), text }, item.lines, share);
        }
    }

    fn put(&mut self, operator: &'static Operator, edit: Edit, lines: (u32, u32), share: f64) {
        self.made.push(Made { operator, edit, lines, worth: operator.weight * share });
    }
}

/// Every edit of a source at the lines that are `wanted` (first and last of a node).
pub(super) fn made(
    grammar: Grammar,
    shape: &'static Shape,
    tree: &Tree,
    source: &str,
    wanted: &dyn Fn(u32, u32) -> bool,
) -> Vec<Made> {
    let view = View::of(grammar, shape, tree, source);
    let mut sink = Sink { made: Vec::new(), wanted };
    for (at, item) in tree.items().iter().enumerate() {
        if !wanted(item.lines.0, item.lines.1) {
            continue;
        }
        binary::sign(&view, at, &mut sink);
        if view.is_value(at) {
            values::at(&view, at, &mut sink);
            binary::at(&view, at, &mut sink);
            calls::at(&view, at, &mut sink);
            conditions::at(&view, at, &mut sink);
        }
    }
    statements::all(&view, grammar.syntax(), &mut sink);
    sink.made
}

/// A value in parentheses where its form needs them beside an operator.
fn tight(view: &View<'_>, at: usize) -> String {
    let kind = view.item(at).kind;
    let loose = view.shape.binaries.contains(&kind)
        || view.shape.unaries.contains(&kind)
        || matches!(
            kind,
            "conditional_expression"
                | "ternary_expression"
                | "lambda"
                | "arrow_function"
                | "type_cast_expression"
                | "range_expression"
        );
    if loose { format!("({})", view.text(at)) } else { view.text(at).to_string() }
}

/// A text that is made of operands, in parentheses where it stands beside an operator.
fn placed(view: &View<'_>, at: usize, text: String) -> String {
    let item = view.item(at);
    let parent = view.item(item.parent);
    let beside = view.shape.binaries.contains(&parent.kind)
        || view.shape.unaries.contains(&parent.kind)
        || view.shape.members.iter().any(|(kind, object, _)| *kind == parent.kind && item.field == Some(object))
        || matches!(parent.kind, "type_cast_expression" | "try_expression" | "reference_expression")
        || view.shape.items.iter().any(|(kind, object)| *kind == parent.kind && item.field == Some(object) && !object.is_empty());
    if beside { format!("({text})") } else { text }
}

/// `{0}` and `{1}`, or `{}`, filled in.
fn fill(text: &str, first: &str, second: &str) -> String {
    text.replace("{0}", first).replace("{1}", second).replace("{}", first)
}

#[cfg(test)]
#[cfg(all(feature = "lang-javascript", feature = "lang-python", feature = "lang-rust"))]
mod tests;
