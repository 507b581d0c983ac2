//! Calls: another function or method, arguments in another order, one more or one less, the call itself taken away or doubled.

use super::view::View;
use super::{Operator, Sink};

static FUNCTION: Operator = Operator {
    id: "function-replaced",
    class: "function",
    weight: 0.16,
    doc: "Calls another function: one of the file, or a usual mistake.",
};
static METHOD: Operator = Operator {
    id: "method-replaced",
    class: "method",
    weight: 0.16,
    doc: "Calls another method: one of the file, or a usual mistake.",
};
static ORDER: Operator =
    Operator { id: "places-changed", class: "arguments", weight: 0.16, doc: "Lets two values of a row change places." };
static LESS: Operator = Operator { id: "argument-dropped", class: "arguments", weight: 0.1, doc: "Drops one value of a row." };
static MORE: Operator =
    Operator { id: "argument-added", class: "arguments", weight: 0.05, doc: "Adds a name in scope to a row." };
static RECEIVER: Operator = Operator {
    id: "receiver-swapped",
    class: "arguments",
    weight: 0.16,
    doc: "Lets the receiver and the argument change places.",
};
static UNWRAPPED: Operator =
    Operator { id: "call-dropped", class: "wrap", weight: 0.12, doc: "Uses the argument, or the receiver, without the call." };
static DOUBLED: Operator =
    Operator { id: "call-doubled", class: "wrap", weight: 0.06, doc: "Calls a function on its own result." };
static BY_MINE: Operator =
    Operator { id: "call-of-file", class: "wrap", weight: 0.06, doc: "Passes a value through a function of the file." };

pub(super) static OPERATORS: &[&Operator] =
    &[&FUNCTION, &METHOD, &ORDER, &LESS, &MORE, &RECEIVER, &UNWRAPPED, &DOUBLED, &BY_MINE];

/// Rows longer than this are data.
const ROW: usize = 8;

pub(super) fn at(view: &View<'_>, at: usize, sink: &mut Sink<'_>) {
    if view.shape.calls.contains(&view.item(at).kind) {
        called(view, at, sink);
    } else if !view.is_callee(at) && !view.is_target(at) && view.text(at).len() <= 60 {
        for function in view.functions.iter().take(6) {
            sink.replace(view, &BY_MINE, at, format!("{function}({})", view.text(at)), 0.6);
        }
    }
    for child in view.tree.children(at).chain([at]) {
        if view.shape.rows.contains(&view.item(child).kind) && (child == at || !view.is_value(child)) {
            row(view, child, sink);
        }
    }
}

fn called(view: &View<'_>, at: usize, sink: &mut Sink<'_>) {
    let (Some(function), Some(arguments)) = (view.tree.child(at, "function"), view.tree.child(at, "arguments")) else { return };
    let given = view.tree.named(arguments);
    let name = view.last_name(function);
    if name == function {
        let own = view.text(name);
        let kin = view.shape.functions.iter().filter(|group| group.contains(&own)).flat_map(|group| group.iter());
        for other in kin {
            sink.replace(view, &FUNCTION, name, (*other).to_string(), 1.0);
        }
        for other in &view.functions {
            sink.replace(view, &FUNCTION, name, (*other).to_string(), 0.7);
        }
    } else {
        method(view, at, function, name, &given, sink);
    }
    if let [only] = given[..] {
        sink.replace(view, &UNWRAPPED, at, view.text(only).to_string(), 1.0);
        let doubled = format!("{}({})", view.text(function), view.text(at));
        sink.replace(view, &DOUBLED, at, doubled, if name == function { 1.0 } else { 0.1 });
    } else {
        for argument in given.iter().take(3) {
            sink.replace(view, &UNWRAPPED, at, view.text(*argument).to_string(), 0.5);
        }
    }
}

fn method(view: &View<'_>, at: usize, function: usize, name: usize, given: &[usize], sink: &mut Sink<'_>) {
    let own = view.text(name);
    let kin = view.shape.methods.iter().filter(|group| group.contains(&own)).flat_map(|group| group.iter());
    for other in kin {
        sink.replace(view, &METHOD, name, (*other).to_string(), 1.0);
    }
    for other in &view.methods {
        sink.replace(view, &METHOD, name, (*other).to_string(), 0.5);
    }
    let object = view.shape.members.iter().find(|(kind, ..)| *kind == view.item(function).kind);
    let Some(object) = object.and_then(|(_, object, _)| view.tree.child(function, object)) else { return };
    sink.replace(view, &UNWRAPPED, at, view.text(object).to_string(), 1.0);
    if let [only] = *given {
        // A borrowed argument is no longer borrowed where it is the receiver, and the other way round.
        let (receiver, argument) = match view.text(only).strip_prefix('&') {
            Some(inner) => (inner.to_string(), format!("&{}", view.text(object))),
            None => (super::tight(view, only), view.text(object).to_string()),
        };
        sink.replace(view, &RECEIVER, at, format!("{receiver}.{own}({argument})"), 1.0);
    }
}

/// Values between commas.
fn row(view: &View<'_>, at: usize, sink: &mut Sink<'_>) {
    let members: Vec<usize> = match view.item(at).kind {
        // The value of a subscript is not one of its indices.
        "subscript" => view.tree.named(at).into_iter().skip(1).collect(),
        _ => view.tree.named(at),
    };
    if members.len() > ROW {
        return;
    }
    for (first, second) in pairs(&members) {
        let (a, b) = (view.item(first), view.item(second));
        let between = view.source.get(a.span.end..b.span.start).unwrap_or_default();
        let text = format!("{}{between}{}", view.text(second), view.text(first));
        let edit = super::Edit { span: a.span.start..b.span.end, text };
        if view.text(first) != view.text(second) {
            sink.put(&ORDER, edit, (a.lines.0, b.lines.1), 1.0);
        }
    }
    let is_call = view.item(at).kind.starts_with("argument");
    let dropping = view.item(at).kind != "subscript" && (members.len() > 1 || is_call);
    for (place, member) in members.iter().enumerate().filter(|_| dropping) {
        let span = match members.get(place + 1) {
            Some(next) => view.item(*member).span.start..view.item(*next).span.start,
            None if place == 0 => view.item(*member).span.clone(),
            None => view.item(members[place - 1]).span.end..view.item(*member).span.end,
        };
        sink.put(&LESS, super::Edit { span, text: String::new() }, view.item(*member).lines, 1.0);
    }
    if !matches!(view.item(at).kind, "pattern_list" | "array_pattern" | "formal_parameters" | "subscript") {
        added(view, at, &members, sink);
    }
}

/// What the function that a row of arguments is for may be told besides values.
fn extras<'v>(view: &View<'v>, arguments: usize) -> impl Iterator<Item = &'static str> + use<'v> {
    let call = view.item(arguments).parent;
    let function = view.tree.child(call, "function").filter(|_| view.shape.calls.contains(&view.item(call).kind));
    let name = function.map(|function| view.text(view.last_name(function)));
    view.shape.extras.iter().filter(move |(known, _)| name == Some(*known)).flat_map(|(_, extras)| extras.iter().copied())
}

fn added(view: &View<'_>, at: usize, members: &[usize], sink: &mut Sink<'_>) {
    let item = view.item(at);
    let names = view.scope(at).names.iter().take(8).map(|name| name.text);
    let usual = ["0", "1", "2", "-1"].into_iter().chain(extras(view, at));
    for text in names.map(str::to_string).chain(usual.map(str::to_string)) {
        let (front, back) = match (members.first(), members.last()) {
            (Some(first), Some(last)) => (view.item(*first).span.start, view.item(*last).span.end),
            _ => (item.span.start + 1, item.span.start + 1),
        };
        let is_call = item.kind.starts_with("argument");
        let share = if is_call { 0.6 } else { 0.8 };
        if members.is_empty() {
            sink.put(&MORE, super::Edit { span: front..front, text }, item.lines, share);
        } else {
            sink.put(&MORE, super::Edit { span: back..back, text: format!(", {text}") }, item.lines, share);
            sink.put(&MORE, super::Edit { span: front..front, text: format!("{text}, ") }, item.lines, share * 0.6);
        }
    }
}

fn pairs(members: &[usize]) -> impl Iterator<Item = (usize, usize)> + '_ {
    members.iter().enumerate().flat_map(|(at, first)| members[at + 1..].iter().map(|second| (*first, *second)))
}
