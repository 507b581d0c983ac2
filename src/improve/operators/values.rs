//! One value in place of another: names, literals, members, what the function computes elsewhere; something around a value, beside it,
//! or a part of it.

use crate::lang::Class;

use super::view::View;
use super::{Operator, Sink, fill, placed, tight};

static NAME: Operator =
    Operator { id: "name-replaced", class: "variable", weight: 0.16, doc: "Uses another name that is in scope." };
static PIECE: Operator = Operator {
    id: "value-replaced",
    class: "expression",
    weight: 0.06,
    doc: "Uses a value that the function computes elsewhere.",
};
static PART: Operator = Operator {
    id: "value-by-part",
    class: "expression",
    weight: 0.05,
    doc: "Uses the length, an item or an end of a value in scope.",
};
static CONSTANT: Operator = Operator {
    id: "constant-replaced",
    class: "constant",
    weight: 0.16,
    doc: "Uses another constant: a usual one, or one of the file.",
};
static ANSWER: Operator =
    Operator { id: "value-by-constant", class: "constant", weight: 0.03, doc: "Uses a constant instead of what is computed." };
static MEMBER: Operator =
    Operator { id: "attribute-replaced", class: "attribute", weight: 0.16, doc: "Reads another attribute that the file knows." };
static WRAP: Operator =
    Operator { id: "call-wrapped", class: "wrap", weight: 0.1, doc: "Passes a value through a function or a method." };
static SLICE: Operator = Operator { id: "slice-taken", class: "slice", weight: 0.07, doc: "Takes a part of a list or a text." };
static WHOLE: Operator = Operator {
    id: "item-dropped",
    class: "slice",
    weight: 0.1,
    doc: "Uses a value itself and not an item, a part or a member of it.",
};

pub(super) static OPERATORS: &[&Operator] = &[&NAME, &PIECE, &PART, &CONSTANT, &ANSWER, &MEMBER, &WRAP, &SLICE, &WHOLE];

/// Integers that are often the right one.
const USUAL: [&str; 6] = ["0", "1", "2", "-1", "10", "3"];
/// Characters of a text that is tried without each of them.
const SHORT_TEXT: usize = 12;
/// What does not fit as far as is known is worth so much of what may.
const UNFIT: f64 = 0.2;
/// What is known to fit.
const FIT: f64 = 1.5;

pub(super) fn at(view: &View<'_>, at: usize, sink: &mut Sink<'_>) {
    names(view, at, sink);
    members(view, at, sink);
    if view.is_callee(at) {
        return;
    }
    constants(view, at, sink);
    whole(view, at, sink);
    if !view.is_target(at) {
        wraps(view, at, sink);
        keyed(view, at, sink);
        slices(view, at, sink);
    }
}

pub(super) fn fit(wanted: Class, offered: Class) -> f64 {
    match (wanted, offered) {
        (Class::Unknown, _) | (_, Class::Unknown) => 1.0,
        _ if wanted == offered => FIT,
        _ => UNFIT,
    }
}

fn names(view: &View<'_>, at: usize, sink: &mut Sink<'_>) {
    let (text, class, scope) = (view.text(at), view.class(at), view.scope(at));
    let kind = view.item(at).kind;
    let is_name = view.shape.names.contains(&kind);
    if view.is_callee(at) || kind == "parenthesized_expression" {
        return;
    }
    let simple = is_name || view.shape.numbers.contains(&kind) || view.shape.strings.contains(&kind);
    let base = match () {
        () if is_name => 1.0,
        () if simple => 0.3,
        () => 0.45,
    };
    // The name of a type or a function of the language, where it is a value.
    let kin = view.shape.functions.iter().filter(|group| is_name && group.contains(&text)).flat_map(|group| group.iter());
    for other in kin {
        sink.replace(view, &NAME, at, (*other).to_string(), 0.6);
    }
    for name in &scope.names {
        if !is_name && text.len() > 160 {
            continue;
        }
        let operator = if is_name { &NAME } else { &PIECE };
        sink.replace(view, operator, at, name.text.to_string(), base * fit(class, name.class) * if is_name { 1.0 } else { 2.0 });
    }
    for piece in &scope.pieces {
        if piece.text.contains(text) && !is_name {
            continue;
        }
        let same = if view.is_target(at) { 0.8 } else { 0.5 };
        sink.replace(view, &PIECE, at, placed_piece(view, at, piece.text), same * fit(class, piece.class));
    }
    parts(view, at, sink);
}

/// Values of the function are put in parentheses only where they are made of operands.
fn placed_piece(view: &View<'_>, at: usize, text: &str) -> String {
    let plain = text.chars().all(|c| c.is_alphanumeric() || "_.()[]'\"".contains(c));
    if plain { text.to_string() } else { placed(view, at, text.to_string()) }
}

/// The length, the ends and the items of the lists in scope.
fn parts(view: &View<'_>, at: usize, sink: &mut Sink<'_>) {
    let (class, scope, shape) = (view.class(at), view.scope(at), view.shape);
    if view.is_target(at) || view.text(at).len() > 40 {
        return;
    }
    for list in scope.names.iter().filter(|name| matches!(name.class, Class::List | Class::Text | Class::Unknown)).take(8) {
        let known = if list.class == Class::Unknown { 0.5 } else { 1.0 };
        sink.replace(view, &PART, at, fill(shape.length, list.text, ""), known * fit(class, Class::Number));
        for end in shape.ends {
            sink.replace(view, &PART, at, fill(end, list.text, ""), 0.6 * known);
        }
        for index in scope.names.iter().filter(|name| name.class.fits(Class::Number) && name.text != list.text).take(6) {
            let index_known = if index.class == Class::Unknown { 0.4 } else { 0.8 };
            sink.replace(view, &PART, at, fill(shape.item, list.text, index.text), known * index_known);
        }
    }
}

fn constants(view: &View<'_>, at: usize, sink: &mut Sink<'_>) {
    let (kind, shape) = (view.item(at).kind, view.shape);
    let is_float = |text: &str| text.contains('.');
    if view.is_target(at) {
        return;
    }
    if shape.numbers.contains(&kind) {
        let floats = is_float(view.text(at)) && !shape.indents;
        for number in USUAL {
            let text = if is_float(view.text(at)) && floats { format!("{number}.0") } else { number.to_string() };
            sink.replace(view, &CONSTANT, at, text, 1.0);
        }
        if let Ok(number) = view.text(at).parse::<i64>() {
            for (near, share) in [(number.checked_neg(), 0.4), (number.checked_mul(2), 0.3), (number.checked_add(2), 0.3)] {
                near.into_iter().for_each(|near| sink.replace(view, &CONSTANT, at, near.to_string(), share));
            }
        }
        for number in view.numbers.iter().filter(|number| !USUAL.contains(number)) {
            sink.replace(view, &CONSTANT, at, (*number).to_string(), 0.6);
        }
    } else if shape.strings.contains(&kind) {
        let quote = view.text(at).chars().last().unwrap_or('\'');
        if view.text(at).starts_with(quote) && quote != '`' && kind != "char_literal" {
            for text in ["", " ", ",", ", ", "\\n"] {
                sink.replace(view, &CONSTANT, at, format!("{quote}{text}{quote}"), 0.8);
            }
        }
        let inner = view.text(at).trim_matches(['\'', '"']);
        if inner.len() + 2 == view.text(at).len() && inner.contains(' ') {
            sink.replace(view, &CONSTANT, at, view.text(at).replace(' ', ""), 0.6);
            sink.replace(view, &CONSTANT, at, format!("{quote}{}{quote}", inner.trim()), 0.6);
        }
        let (upper, lower) = (inner.to_uppercase(), inner.to_lowercase());
        if inner.len() + 2 == view.text(at).len() && !inner.contains(['\\', '{', '%']) && quote != '`' {
            for text in [&upper, &lower, &format!("{inner}{upper}"), &format!("{inner}{lower}")] {
                sink.replace(view, &CONSTANT, at, format!("{quote}{text}{quote}"), 0.4);
            }
            shorter(view, at, inner, quote, sink);
        }
        for string in &view.strings {
            sink.replace(view, &CONSTANT, at, (*string).to_string(), 0.8);
        }
        return;
    }
    let class = view.class(at);
    let is_answer = view.item(view.item(at).parent).kind.starts_with("return") || view.is_assigned(at);
    for answer in shape.answers {
        let share = match (is_answer, shape.lists.contains(&kind) || shape.truths.contains(&kind)) {
            (true, true) => 3.0,
            (true, false) | (false, true) => 1.5,
            (false, false) => 0.5,
        };
        sink.replace(view, &ANSWER, at, (*answer).to_string(), share * fit(class, answer_class(answer)));
    }
}

/// A short text without one of its characters.
fn shorter(view: &View<'_>, at: usize, inner: &str, quote: char, sink: &mut Sink<'_>) {
    for (gone, _) in inner.char_indices().filter(|_| (2..=SHORT_TEXT).contains(&inner.chars().count())) {
        let left: String = inner.char_indices().filter(|(place, _)| *place != gone).map(|(_, c)| c).collect();
        sink.replace(view, &CONSTANT, at, format!("{quote}{left}{quote}"), 0.3);
    }
}

fn answer_class(answer: &str) -> Class {
    match answer.chars().next() {
        Some('0'..='9' | '-') => Class::Number,
        Some('[') => Class::List,
        Some('\'' | '"') => Class::Text,
        Some('T' | 'F' | 't' | 'f') => Class::Truth,
        _ => Class::Unknown,
    }
}

fn members(view: &View<'_>, at: usize, sink: &mut Sink<'_>) {
    let Some((_, object, name)) = view.shape.members.iter().find(|(kind, ..)| *kind == view.item(at).kind) else { return };
    let Some(name) = view.tree.child(at, name) else { return };
    if view.is_callee(at) {
        return;
    }
    for attribute in &view.attributes {
        sink.replace(view, &MEMBER, name, (*attribute).to_string(), 1.0);
    }
    if let Some(object) = view.tree.child(at, object) {
        sink.replace(view, &WHOLE, at, view.text(object).to_string(), 0.6);
    }
}

fn wraps(view: &View<'_>, at: usize, sink: &mut Sink<'_>) {
    let (class, kind) = (view.class(at), view.item(at).kind);
    if kind == "parenthesized_expression"
        || view.text(at).len() > 160
        || view.shape.truths.contains(&kind) && view.text(at).len() < 6
    {
        return;
    }
    let literal = view.shape.numbers.contains(&kind) || view.shape.strings.contains(&kind);
    for wrap in view.shape.wraps {
        let leads = wrap.text.starts_with("{}");
        if wrap.text.starts_with("{}.") && view.shape.numbers.contains(&kind) {
            continue;
        }
        let inner = if leads || wrap.text.starts_with(['-', '!', '*', '&']) { tight(view, at) } else { bare(view, at) };
        let text = fill(wrap.text, &inner, "");
        let text = if wrap.text.contains(' ') && !wrap.text.ends_with(')') { placed(view, at, text) } else { text };
        let fits = match (wrap.takes, class) {
            (Class::Unknown, _) => 0.6,
            (_, Class::Unknown) => 0.6,
            (takes, class) if takes == class => 1.2,
            (Class::List, Class::Text) | (Class::Text, Class::Number) => 0.5,
            _ => 0.05,
        };
        sink.replace(view, &WRAP, at, text, wrap.share * fits * if literal { 0.2 } else { 1.0 });
    }
}

/// A value without the parentheses around it.
fn bare(view: &View<'_>, at: usize) -> String {
    match view.tree.named(at)[..] {
        [inner] if view.item(at).kind == "parenthesized_expression" => view.text(inner).to_string(),
        _ => view.text(at).to_string(),
    }
}

/// The list or the text itself in place of its item.
fn whole(view: &View<'_>, at: usize, sink: &mut Sink<'_>) {
    let (item, shape) = (view.item(at), view.shape);
    if let Some((_, object)) = shape.items.iter().find(|(kind, _)| *kind == item.kind) {
        let object = if object.is_empty() { view.tree.named(at).first().copied() } else { view.tree.child(at, object) };
        if let Some(object) = object.filter(|_| !view.is_target(at)) {
            sink.replace(view, &WHOLE, at, view.text(object).to_string(), 1.0);
        }
    }
}

/// A list in the order that a table of the function gives.
fn keyed(view: &View<'_>, at: usize, sink: &mut Sink<'_>) {
    let class = view.class(at);
    if !class.fits(Class::List) || view.text(at).len() > 120 || view.item(at).kind == "parenthesized_expression" {
        return;
    }
    for table in view.scope(at).names.iter().filter(|name| name.class == Class::Map).take(3) {
        for form in view.shape.keyed {
            sink.replace(view, &WRAP, at, fill(form, view.text(at), table.text), 0.8 * fit(class, Class::List));
        }
    }
}

fn slices(view: &View<'_>, at: usize, sink: &mut Sink<'_>) {
    let (class, kind, shape) = (view.class(at), view.item(at).kind, view.shape);
    let is_place = shape.names.contains(&kind)
        || shape.calls.contains(&kind)
        || shape.members.iter().any(|(member, ..)| *member == kind)
        || shape.items.iter().any(|(item, _)| *item == kind);
    if !is_place || matches!(class, Class::Number | Class::Truth) || view.text(at).len() > 60 {
        return;
    }
    let own = view.text(at);
    let known = if class == Class::Unknown { 0.6 } else { 1.0 };
    for part in shape.parts.iter().chain(shape.ends) {
        sink.replace(view, &SLICE, at, fill(part, own, ""), known);
    }
    for name in view.scope(at).names.iter().filter(|name| name.class.fits(Class::Number) && name.text != own).take(8) {
        let index_known = if name.class == Class::Number { 1.0 } else { 0.5 };
        for part in shape.parts_by {
            sink.replace(view, &SLICE, at, fill(part, own, name.text), 0.6 * known * index_known);
        }
        sink.replace(view, &SLICE, at, fill(shape.item, own, name.text), 0.7 * known * index_known);
    }
}
