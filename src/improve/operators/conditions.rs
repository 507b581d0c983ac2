//! Conditions: made stronger, weaker, or another one; what is asked comes from the function itself and from the names in scope.

use std::collections::BTreeSet;

use crate::lang::Class;

use super::view::View;
use super::{Operator, Sink, fill, placed};

static WEAKER: Operator =
    Operator { id: "condition-or", class: "condition", weight: 0.05, doc: "Adds a case in which the condition holds." };
static STRONGER: Operator =
    Operator { id: "condition-and", class: "condition", weight: 0.05, doc: "Adds something that has to hold as well." };
static OTHER: Operator = Operator { id: "condition-replaced", class: "condition", weight: 0.05, doc: "Asks something else." };
static NEGATED: Operator =
    Operator { id: "condition-negated-part", class: "condition", weight: 0.1, doc: "Asks for the opposite." };

static FILTERED: Operator = Operator {
    id: "filter-added",
    class: "condition",
    weight: 0.05,
    doc: "Takes only some of the items of a list that is made of another.",
};

pub(super) static OPERATORS: &[&Operator] = &[&WEAKER, &STRONGER, &OTHER, &NEGATED, &FILTERED];

/// Questions that are tried at one place.
const QUESTIONS: usize = 120;

/// What may be asked of a number, and the number that is in it.
const ASKED_OF_NUMBERS: [(&str, &str); 8] = [
    ("{} == 0", "0"),
    ("{} < 0", "0"),
    ("{} > 0", "0"),
    ("{} == 1", "1"),
    ("{} <= 1", "1"),
    ("{} > 1", "1"),
    ("{} % 2 == 0", "2"),
    ("{} % 2 == 1", "2"),
];

/// Something that can be asked, with how likely it is to matter.
pub(super) struct Question {
    pub(super) text: String,
    pub(super) share: f64,
}

pub(super) fn at(view: &View<'_>, at: usize, sink: &mut Sink<'_>) {
    let kind = view.item(at).kind;
    let asked = view.is_condition(at);
    filtered(view, at, sink);
    if kind == "parenthesized_expression" || kind == "let_condition" || !asked && view.class(at) != Class::Truth {
        return;
    }
    // An operand of a longer condition is part of that one.
    let inner = view.shape.binaries.contains(&view.item(view.item(at).parent).kind);
    if inner || view.text(at).len() > 160 {
        return;
    }
    let shape = view.shape;
    let own = operand(view, at);
    let weight = if asked { 1.0 } else { 0.4 };
    for question in questions(view, at, asked) {
        if question.text == view.text(at) {
            continue;
        }
        let loose = question.text.contains(shape.and) || question.text.contains(shape.or);
        let other = if loose { format!("({})", question.text) } else { question.text.clone() };
        let share = question.share * weight;
        sink.replace(view, &WEAKER, at, placed(view, at, format!("{own}{}{other}", shape.or)), share);
        sink.replace(view, &WEAKER, at, placed(view, at, format!("{other}{}{own}", shape.or)), share * 0.7);
        sink.replace(view, &STRONGER, at, placed(view, at, format!("{own}{}{other}", shape.and)), share);
        sink.replace(view, &STRONGER, at, placed(view, at, format!("{other}{}{own}", shape.and)), share * 0.7);
        sink.replace(view, &OTHER, at, question.text, share);
    }
    if shape.binaries.contains(&kind) {
        sink.replace(view, &NEGATED, at, placed(view, at, format!("{}({})", shape.not, view.text(at))), 0.5);
    }
}

/// A list that is made of another one, with a condition.
fn filtered(view: &View<'_>, at: usize, sink: &mut Sink<'_>) {
    let children = view.tree.named(at);
    let is_made = matches!(view.item(at).kind, "list_comprehension" | "set_comprehension" | "generator_expression");
    let (Some(last), true) = (children.last(), is_made) else { return };
    if view.item(*last).kind != "for_in_clause" {
        return;
    }
    let item = view.tree.child(*last, "left").map(|left| view.text(left)).unwrap_or_default();
    let end = view.item(*last).span.end;
    for question in questions(view, at, true).into_iter().filter(|question| mentions(&question.text, item)) {
        let edit = super::Edit { span: end..end, text: format!(" if {}", question.text) };
        sink.put(&FILTERED, edit, view.item(at).lines, question.share);
    }
}

/// Whether a name of `names` stands in `text` as a word.
fn mentions(text: &str, names: &str) -> bool {
    let words = |text: &str| text.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_string).collect::<Vec<_>>();
    let asked = words(text);
    words(names).iter().any(|name| !name.is_empty() && asked.contains(name))
}

/// A condition as an operand of `and` and `or`.
fn operand(view: &View<'_>, at: usize) -> String {
    let is_joined = matches!(view.operator(at), Some("and" | "or" | "&&" | "||" | "if"));
    let loose =
        is_joined || matches!(view.item(at).kind, "conditional_expression" | "ternary_expression" | "lambda" | "arrow_function");
    if loose && !view.shape.names.contains(&view.item(at).kind) {
        format!("({})", view.text(at))
    } else {
        view.text(at).to_string()
    }
}

/// What may be asked at a place, most likely first.
pub(super) fn questions(view: &View<'_>, at: usize, many: bool) -> Vec<Question> {
    let (scope, shape) = (view.scope(at), view.shape);
    let mut found: Vec<Question> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut add = |text: String, share: f64| {
        if seen.insert(text.clone()) {
            found.push(Question { text, share });
        }
    };
    for truth in &scope.truths {
        add((*truth).to_string(), 1.0);
        add(format!("{}({truth})", shape.not), 0.5);
    }
    let values = scope.names.iter().map(|name| (name.text, name.class)).take(10);
    let members = scope.pieces.iter().filter(|piece| piece.class == Class::Unknown && is_path(piece.text));
    let values: Vec<(&str, Class)> = values.chain(members.map(|piece| (piece.text, piece.class)).take(6)).collect();
    for (text, class) in &values {
        let usual = if shape.names.len() == 1 { 1.0 } else { 0.5 };
        for form in shape.empty.iter().filter(|_| class.fits(Class::List)) {
            add(fill(form, text, ""), 0.9 * usual);
        }
        for form in shape.nothing.iter().filter(|_| *class == Class::Unknown) {
            add(fill(form, text, ""), 0.8 * usual);
        }
        for (form, number) in ASKED_OF_NUMBERS {
            let known = if *class == Class::Number { 0.7 } else { 0.3 };
            if class.fits(Class::Number) && (many || number == "0") {
                add(fill(form, text, ""), known);
            }
        }
    }
    for (a, a_class) in values.iter().filter(|_| many) {
        for (b, b_class) in values.iter().filter(|(b, _)| b != a) {
            let known = a_class == b_class && *a_class != Class::Unknown;
            for form in shape.compared.iter().filter(|_| a_class.fits(*b_class)) {
                add(fill(form, a, b), if known { 0.5 } else { 0.25 });
            }
            for form in shape.member.iter().filter(|_| b_class.fits(Class::List) && *a_class != Class::Truth) {
                add(fill(form, a, b), if *b_class == Class::List { 0.5 } else { 0.25 });
            }
        }
    }
    found.sort_by(|a, b| b.share.total_cmp(&a.share));
    found.truncate(QUESTIONS);
    found
}

/// `a.b.c`: something that can be asked about without harm.
fn is_path(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.')
}
