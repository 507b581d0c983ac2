//! Calculations: another operator, an operand more or less, another grouping, a bound.

use crate::lang::Class;

use super::values::fit;
use super::view::View;
use super::{Operator, Sink, fill, placed, tight};

static STEP: Operator = Operator { id: "step-added", class: "constant", weight: 0.13, doc: "Adds or takes away one." };
static OPERAND: Operator =
    Operator { id: "operand-added", class: "arithmetic", weight: 0.05, doc: "Adds an operand: another name by an operator." };
static DROPPED: Operator =
    Operator { id: "operand-dropped", class: "arithmetic", weight: 0.16, doc: "Keeps one of two operands." };
static ROTATED: Operator = Operator {
    id: "operands-regrouped",
    class: "arithmetic",
    weight: 0.06,
    doc: "Calculates in another order: `a - b + c` as `a - (b + c)`.",
};
static SIGN: Operator =
    Operator { id: "operator-replaced", class: "arithmetic", weight: 0.1, doc: "Calculates or compares with another operator." };
static BOUND: Operator =
    Operator { id: "value-bounded", class: "arithmetic", weight: 0.05, doc: "Takes the smaller or the larger of two values." };

pub(super) static OPERATORS: &[&Operator] = &[&STEP, &OPERAND, &DROPPED, &ROTATED, &SIGN, &BOUND];

/// Operators that may stand in one another's place; also before the `=` of an update.
const KIN: [&[&str]; 5] = [
    &["+", "-", "*", "/", "//", "%", "**"],
    &["&", "|", "^", "<<", ">>", ">>>"],
    &["<", "<=", ">", ">=", "==", "!=", "===", "!=="],
    &["and", "or"],
    &["&&", "||", "??"],
];

pub(super) fn at(view: &View<'_>, at: usize, sink: &mut Sink<'_>) {
    if view.is_callee(at) {
        return;
    }
    dropped(view, at, sink);
    if !view.is_target(at) {
        operands(view, at, sink);
        bounded(view, at, sink);
    }
}

/// Another operator in a binary node, or in an update.
pub(super) fn sign(view: &View<'_>, at: usize, sink: &mut Sink<'_>) {
    let item = view.item(at);
    let update = view.shape.assigns.iter().any(|(kind, ..)| *kind == item.kind);
    if !update && !view.shape.binaries.contains(&item.kind) {
        return;
    }
    let Some(node) = view.operator_node(at) else { return };
    let own = view.text(node);
    let (sign, end) = match own.strip_suffix('=') {
        Some(sign) if update && !sign.is_empty() => (sign, "="),
        _ if update => return,
        _ => (own, ""),
    };
    let spaced =
        |text: &str| text == "//" && !view.shape.indents || matches!(text, "===" | "!==" | ">>>" | "??") && view.shape.indents;
    for other in KIN.iter().filter(|kin| kin.contains(&sign)).flat_map(|kin| kin.iter()).filter(|other| !spaced(other)) {
        sink.replace(view, &SIGN, node, format!("{other}{end}"), 1.0);
    }
    if let (false, Some(right)) = (update, view.tree.child(at, "right")) {
        for other in KIN[1].iter().filter(|_| matches!(sign, "+" | "-" | "*" | "/") && view.class(right).fits(Class::Number)) {
            sink.replace(view, &SIGN, node, (*other).to_string(), 0.2);
        }
    }
}

/// The smaller or larger of a value and another one.
fn bounded(view: &View<'_>, at: usize, sink: &mut Sink<'_>) {
    let (class, kind) = (view.class(at), view.item(at).kind);
    if !class.fits(Class::Number) || view.text(at).len() > 80 || kind == "parenthesized_expression" {
        return;
    }
    let names: Vec<&str> =
        view.scope(at).names.iter().filter(|name| name.class.fits(Class::Number)).map(|name| name.text).take(8).collect();
    let literal = view.shape.numbers.contains(&kind);
    for form in view.shape.bounds {
        let head = form.split(['{', '(']).find(|part| !part.is_empty() && !part.ends_with('}')).unwrap_or(form);
        for other in ["0", "1"].iter().chain(&names).filter(|other| **other != view.text(at)) {
            let own = if form.starts_with('{') { tight(view, at) } else { view.text(at).to_string() };
            sink.replace(view, &BOUND, at, fill(form, &own, other), if literal { 0.2 } else { 0.7 * fit(class, Class::Number) });
        }
        if view.shape.calls.contains(&kind) && view.text(at).starts_with(head) {
            for (place, first) in names.iter().enumerate() {
                for second in &names[place + 1..] {
                    sink.replace(view, &BOUND, at, fill(form, first, second), 1.0);
                }
            }
        }
    }
}

fn operands(view: &View<'_>, at: usize, sink: &mut Sink<'_>) {
    let (class, kind) = (view.class(at), view.item(at).kind);
    if kind == "parenthesized_expression" || view.text(at).len() > 120 || class == Class::Truth {
        return;
    }
    let own = tight(view, at);
    let number = view.shape.numbers.contains(&kind);
    if class.fits(Class::Number) && !number {
        let known = if class == Class::Number { 1.2 } else { 0.7 };
        for (operator, share) in [("+", 1.0), ("-", 0.9)] {
            sink.replace(view, &STEP, at, placed(view, at, format!("{} {operator} 1", sum_operand(view, at))), share * known);
        }
    }
    let float = number && view.text(at).contains('.');
    for name in view.scope(at).names.iter().filter(|name| name.class.fits(class) && name.class != Class::Truth).take(10) {
        let share = fit(class, name.class) * if number { 0.5 } else { 0.8 };
        let mut operators: Vec<(&str, f64)> = vec![("+", 1.0)];
        if class.fits(Class::Number) && name.class.fits(Class::Number) && !float {
            operators.extend([("-", 1.0), ("*", 0.8), ("%", 0.4), ("/", 0.4)]);
        }
        for (operator, often) in operators {
            sink.replace(view, &OPERAND, at, placed(view, at, format!("{own} {operator} {}", name.text)), share * often);
            if operator == "+" && class != Class::Number || operator == "-" {
                sink.replace(
                    view,
                    &OPERAND,
                    at,
                    placed(view, at, format!("{} {operator} {own}", name.text)),
                    share * often * 0.7,
                );
            }
        }
    }
    if class.fits(Class::Number) && !number {
        sink.replace(view, &OPERAND, at, placed(view, at, format!("{own} * 2")), 0.4);
        sink.replace(view, &OPERAND, at, placed(view, at, format!("{own} * {own}")), 0.6);
    }
    // Each value that the function computes, in front or behind, where lists and texts are joined.
    if matches!(class, Class::List | Class::Text) && view.text(at).len() <= 60 {
        for piece in view.scope(at).pieces.iter().filter(|piece| piece.class == class) {
            sink.replace(view, &OPERAND, at, placed(view, at, format!("{own} + {}", piece.text)), 0.5);
        }
    }
}

/// A sum needs no parentheses in front of another summand.
fn sum_operand(view: &View<'_>, at: usize) -> String {
    match view.operator(at) {
        Some("+" | "-" | "*" | "/" | "//" | "%") if view.shape.binaries.contains(&view.item(at).kind) => {
            view.text(at).to_string()
        }
        _ => tight(view, at),
    }
}

fn dropped(view: &View<'_>, at: usize, sink: &mut Sink<'_>) {
    let (item, shape) = (view.item(at), view.shape);
    if shape.binaries.contains(&item.kind) {
        let (Some(left), Some(right)) = (view.tree.child(at, "left"), view.tree.child(at, "right")) else { return };
        for side in [left, right] {
            sink.replace(view, &DROPPED, at, view.text(side).to_string(), 1.0);
        }
        regrouped(view, at, left, right, sink);
    }
    if shape.unaries.contains(&item.kind)
        && let Some(inner) = view.tree.named(at).last()
    {
        sink.replace(view, &DROPPED, at, view.text(*inner).to_string(), 1.0);
    }
}

fn regrouped(view: &View<'_>, at: usize, left: usize, right: usize, sink: &mut Sink<'_>) {
    let Some(operator) = view.operator(at) else { return };
    // `(a o b) p c` as `a o (b p c)`, and the other way round.
    let inside = |side: usize| match view.tree.named(side)[..] {
        [inner] if view.item(side).kind == "parenthesized_expression" => inner,
        _ => side,
    };
    let parts = |side: usize| {
        let inner = inside(side);
        if !view.shape.binaries.contains(&view.item(inner).kind) {
            return None;
        }
        Some((view.tree.child(inner, "left")?, view.operator(inner)?, view.tree.child(inner, "right")?))
    };
    if let Some((a, first, b)) = parts(left) {
        let text = format!("{} {first} ({} {operator} {})", tight(view, a), tight(view, b), tight(view, right));
        sink.replace(view, &ROTATED, at, placed(view, at, text), 1.0);
    }
    if let Some((b, second, c)) = parts(right) {
        let text = format!("({} {operator} {}) {second} {}", tight(view, left), tight(view, b), tight(view, c));
        sink.replace(view, &ROTATED, at, placed(view, at, text), 1.0);
    }
}
