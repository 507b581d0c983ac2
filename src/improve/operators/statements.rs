//! Statements: taken away, moved, doubled, put in; guards before them; loops for branches and branches for loops.
//!
//! Every edit is one span: from the first byte that changes to the last.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::lang::{Class, Syntax};

use super::conditions::questions;
use super::view::View;
use super::{Edit, Operator, Sink, fill};

static DELETED: Operator = Operator { id: "statement-deleted", class: "statement", weight: 0.05, doc: "Takes a statement away." };
static SWAPPED: Operator = Operator {
    id: "statements-swapped",
    class: "statement",
    weight: 0.12,
    doc: "Lets two statements that follow one another change places.",
};
static MOVED: Operator = Operator {
    id: "statement-moved",
    class: "statement",
    weight: 0.12,
    doc: "Moves a statement out of its block or into the one before it.",
};
static COPIED: Operator = Operator {
    id: "statement-copied",
    class: "statement",
    weight: 0.04,
    doc: "Does what the function does elsewhere also here.",
};
static INSERTED: Operator = Operator {
    id: "statement-inserted",
    class: "statement",
    weight: 0.05,
    doc: "Puts a value into a list, tidies a list, or gives a name another name's value.",
};
static GUARD: Operator = Operator {
    id: "guard-inserted",
    class: "guard",
    weight: 0.04,
    doc: "Answers at once, or leaves the loop, in a case that was not thought of.",
};
static ASKED: Operator =
    Operator { id: "statement-guarded", class: "guard", weight: 0.03, doc: "Does something only under a condition." };
static LOOPED: Operator =
    Operator { id: "branch-or-loop", class: "loop", weight: 0.12, doc: "Asks again and again, or only once." };
static ADDED: Operator = Operator {
    id: "assignment-updates",
    class: "assignment",
    weight: 0.1,
    doc: "Updates a value instead of replacing it, or the other way round.",
};
static LEAVES: Operator = Operator {
    id: "leaving-replaced",
    class: "loop",
    weight: 0.12,
    doc: "Leaves a loop instead of going on with it, or the other way round.",
};
static ANSWERED: Operator =
    Operator { id: "answer-returned", class: "statement", weight: 0.1, doc: "Returns what a statement computes and forgets." };
static UNGUARDED: Operator =
    Operator { id: "condition-removed", class: "guard", weight: 0.08, doc: "Does under all conditions what was done under one." };

pub(super) static OPERATORS: &[&Operator] =
    &[&DELETED, &SWAPPED, &MOVED, &COPIED, &INSERTED, &GUARD, &ASKED, &LOOPED, &ADDED, &LEAVES, &ANSWERED, &UNGUARDED];

/// Guards are made with so many questions.
const GUARD_QUESTIONS: usize = 14;
/// Statements of the function that are copied to one place.
const COPIES: usize = 16;

/// The statements of one block, in order.
struct Block {
    statements: Vec<usize>,
}

pub(super) fn all(view: &View<'_>, syntax: &Syntax, sink: &mut Sink<'_>) {
    for at in 0..view.tree.items().len() {
        let item = view.item(at);
        if !syntax.blocks.contains(&item.kind) {
            continue;
        }
        let block = Block { statements: view.tree.named(at) };
        for (place, statement) in block.statements.iter().enumerate() {
            let lines = view.item(*statement).lines;
            if (sink.wanted)(lines.0, lines.1) || (sink.wanted)(lines.0, lines.0) {
                one(view, at, &block, place, sink);
            }
        }
    }
}

fn one(view: &View<'_>, parent: usize, block: &Block, place: usize, sink: &mut Sink<'_>) {
    let statement = block.statements[place];
    if is_definition(view, statement) {
        return;
    }
    deleted(view, block, statement, sink);
    moved(view, parent, block, place, sink);
    kept_form(view, statement, sink);
    answered(view, statement, sink);
    if view.in_function(statement) || view.shape.simple.contains(&view.item(statement).kind) {
        let here = Gap { at: statement, before: true };
        inserted(view, here, sink);
        if place + 1 == block.statements.len() && !leaves(view, statement) {
            inserted(view, Gap { at: statement, before: false }, sink);
        }
        guards(view, statement, sink);
    }
}

/// What is no step of a program: its place does not matter.
fn is_definition(view: &View<'_>, at: usize) -> bool {
    let kind = view.item(at).kind;
    const WORDS: [&str; 5] = ["import", "definition", "class", "_item", "use_declaration"];
    view.grammar_functions().contains(&kind) || WORDS.iter().any(|word| kind.contains(word))
}

/// The white space before a statement that begins its line.
fn indent<'s>(view: &View<'s>, at: usize) -> Option<&'s str> {
    let start = view.item(at).span.start;
    let line = view.source.get(..start)?.rfind('\n').map_or(0, |newline| newline + 1);
    view.source.get(line..start).filter(|indent| indent.chars().all(char::is_whitespace))
}

/// A statement with another indentation for the lines below its first.
fn indented(text: &str, from: &str, to: &str) -> String {
    let mut lines = text.split('\n');
    let mut whole = lines.next().unwrap_or_default().to_string();
    for line in lines {
        whole.push('\n');
        whole.push_str(&line.strip_prefix(from).map_or_else(|| line.to_string(), |rest| format!("{to}{rest}")));
    }
    whole
}

/// The statement with what ends it on its line.
fn whole(view: &View<'_>, at: usize) -> Range<usize> {
    let span = view.item(at).span.clone();
    match view.source.get(span.end..) {
        Some(rest) if rest.starts_with(';') => span.start..span.end + 1,
        _ => span,
    }
}

/// From the beginning of the statement's line to the next line's beginning.
fn lines(view: &View<'_>, at: usize) -> Option<Range<usize>> {
    let start = whole(view, at).start - indent(view, at)?.len();
    let end = whole(view, at).end;
    let newline = view.source.get(end..)?.find('\n').map_or(view.source.len(), |newline| end + newline + 1);
    let rest = view.source.get(end..newline)?.trim();
    (rest.is_empty() || rest.starts_with(['#', '/'])).then_some(start..newline)
}

fn leaves(view: &View<'_>, at: usize) -> bool {
    let kind = view.item(at).kind;
    view.shape.leaving.contains(&kind)
        || view.tree.named(at).first().is_some_and(|inner| view.shape.leaving.contains(&view.item(*inner).kind))
}

fn deleted(view: &View<'_>, block: &Block, at: usize, sink: &mut Sink<'_>) {
    let item = view.item(at);
    let edit = match (block.statements.len(), lines(view, at)) {
        (1, _) if view.shape.indents => Edit { span: item.span.clone(), text: "pass".into() },
        (_, Some(span)) => Edit { span, text: String::new() },
        (_, None) => Edit { span: whole(view, at), text: String::new() },
    };
    sink.put(&DELETED, edit, item.lines, if item.lines.0 == item.lines.1 { 1.0 } else { 0.6 });
}

fn moved(view: &View<'_>, parent: usize, block: &Block, place: usize, sink: &mut Sink<'_>) {
    let at = block.statements[place];
    let Some(own) = lines(view, at) else { return };
    let text = view.source.get(own.clone()).unwrap_or_default();
    if let Some(next) = block.statements.get(place + 1)
        && let Some(other) = lines(view, *next)
        && own.end <= other.start
        && !is_definition(view, *next)
        && (sink.wanted)(view.item(*next).lines.0, view.item(*next).lines.0)
    {
        let between = view.source.get(own.end..other.start).unwrap_or_default();
        let after = view.source.get(other.clone()).unwrap_or_default();
        let (after, text) = if after.ends_with('\n') { (after.to_string(), text) } else { (format!("{after}\n"), text) };
        let edit = Edit { span: own.start..other.end, text: format!("{after}{between}{text}") };
        sink.put(&SWAPPED, edit, (view.item(at).lines.0, view.item(*next).lines.1), 1.0);
    }
    // The last statement of a block, behind the block; or before it.
    let Some(outer) = view.tree.ancestors(parent).find(|outer| indent(view, *outer).is_some() && *outer != 0) else { return };
    let (Some(from), Some(to)) = (indent(view, at), indent(view, outer)) else { return };
    let Some(around) = lines(view, outer) else { return };
    if from.len() <= to.len() || !around.contains(&own.start) || around.end < own.end {
        return;
    }
    let shifted = format!("{to}{}", indented(view.source.get(whole(view, at)).unwrap_or_default(), from, to));
    let alone = if block.statements.len() == 1 && view.shape.indents { format!("{from}pass\n") } else { String::new() };
    let before = view.source.get(around.start..own.start).unwrap_or_default();
    let behind = view.source.get(own.end..around.end).unwrap_or_default();
    let newline = if behind.is_empty() || behind.ends_with('\n') { "" } else { "\n" };
    let out = Edit { span: own.start..around.end, text: format!("{alone}{behind}{newline}{shifted}\n") };
    sink.put(&MOVED, out, view.item(at).lines, 1.0);
    let ahead = Edit { span: around.start..own.end, text: format!("{shifted}\n{before}{alone}") };
    sink.put(&MOVED, ahead, view.item(at).lines, 0.7);
    into_block(view, outer, from, sink);
}

/// The statement behind a block becomes its last one.
fn into_block(view: &View<'_>, outer: usize, inner_indent: &str, sink: &mut Sink<'_>) {
    let siblings = view.tree.named(view.item(outer).parent);
    let next = siblings.iter().skip_while(|sibling| **sibling != outer).nth(1).copied();
    let Some(next) = next.filter(|next| view.shape.indents && !is_definition(view, *next)) else { return };
    let (Some(span), Some(from)) = (lines(view, next), indent(view, next)) else { return };
    let text = indented(view.source.get(whole(view, next)).unwrap_or_default(), from, inner_indent);
    let item = view.item(next);
    sink.put(&MOVED, Edit { span, text: format!("{inner_indent}{text}\n") }, item.lines, 0.7);
}

/// A place between two statements.
#[derive(Clone, Copy)]
struct Gap {
    at: usize,
    before: bool,
}

impl Gap {
    /// The insertion of statements, one a line, without an indentation of their own.
    fn edit(self, view: &View<'_>, text: &str) -> Option<Edit> {
        let indent = indent(view, self.at)?;
        let step = if indent.contains('\t') {
            "\t"
        } else if view.shape.indents {
            "    "
        } else {
            "  "
        };
        let mut laid = String::new();
        for line in text.lines() {
            let own = line.trim_start_matches(' ');
            let deeper = if own.len() < line.len() { step } else { "" };
            laid.push_str(&format!("{indent}{deeper}{own}\n"));
        }
        if self.before {
            let start = view.item(self.at).span.start - indent.len();
            return Some(Edit { span: start..start, text: laid });
        }
        let end = whole(view, self.at).end;
        Some(Edit { span: end..end, text: format!("\n{}", laid.trim_end_matches('\n')) })
    }

    fn lines(self, view: &View<'_>) -> (u32, u32) {
        view.item(self.at).lines
    }
}

/// A new statement at a place: one of the function's own, or one that is made of its names.
fn inserted(view: &View<'_>, gap: Gap, sink: &mut Sink<'_>) {
    let (scope, shape, lines) = (view.scope(gap.at), view.shape, gap.lines(view));
    let own = view.text(gap.at);
    let put = |sink: &mut Sink<'_>, operator: &'static Operator, text: &str, share: f64| {
        if text != own
            && let Some(edit) = gap.edit(view, text)
        {
            sink.put(operator, edit, (lines.0, lines.0.max(lines.1.min(lines.0 + 2))), share);
        }
    };
    for statement in scope.statements.iter().take(COPIES) {
        let leaving = shape.leaving.iter().any(|kind| kind.split('_').next().is_some_and(|word| statement.starts_with(word)));
        put(sink, &COPIED, statement, if leaving { 0.6 } else { 1.0 });
    }
    for list in scope.names.iter().filter(|name| name.class.fits(Class::List)).take(8) {
        let known = if list.class == Class::List { 1.0 } else { 0.4 };
        for form in shape.inserts {
            let ends = scope.names.iter().filter(|other| other.class.fits(Class::List) && other.text != list.text).take(3);
            let ends = ends.flat_map(|other| shape.ends.iter().map(|end| fill(end, other.text, "")));
            let values = scope.names.iter().filter(|value| value.text != list.text).map(|value| value.text.to_string()).take(10);
            for value in values.chain(ends) {
                put(sink, &INSERTED, &format!("{}{}", fill(form, list.text, &value), shape.end), 0.8 * known);
            }
        }
        for form in shape.tidying {
            put(sink, &INSERTED, &format!("{}{}", fill(form, list.text, ""), shape.end), 0.8 * known);
        }
    }
    let mut names: Vec<&str> = scope.names.iter().map(|name| name.text).take(8).collect();
    names.dedup();
    for target in &names {
        for value in names.iter().filter(|value| *value != target) {
            put(sink, &INSERTED, &format!("{target} = {value}{}", shape.end), 0.5);
        }
        if scope.names.iter().any(|name| name.text == *target && name.class == Class::Number) {
            for form in ["{} += 1", "{} -= 1", "{} = 0"] {
                put(sink, &INSERTED, &format!("{}{}", fill(form, target, ""), shape.end), 0.7);
            }
        }
    }
    for piece in scope.pieces.iter().filter(|piece| piece.class == Class::List || is_slice(piece.text)).take(6) {
        for wrap in shape.wraps.iter().filter(|wrap| wrap.takes == Class::List && wrap.gives == Class::List).take(3) {
            put(sink, &INSERTED, &format!("{} = {}{}", piece.text, fill(wrap.text, piece.text, ""), shape.end), 0.5);
        }
    }
}

fn is_slice(text: &str) -> bool {
    text.ends_with(']') && text.contains(':') && !text.starts_with('[')
}

fn guards(view: &View<'_>, at: usize, sink: &mut Sink<'_>) {
    let (shape, lines) = (view.shape, view.item(at).lines);
    let gap = Gap { at, before: true };
    let mut questions = questions(view, at, false);
    questions.truncate(GUARD_QUESTIONS);
    let in_loop = view.tree.ancestors(at).any(|outer| matches!(view.item(outer).kind.split('_').next(), Some("for" | "while")));
    let mut answers: Vec<String> = Vec::new();
    if view.in_function(at) {
        let names = view.scope(at).names.iter().take(4).map(|name| name.text);
        answers.extend(shape.answers.iter().copied().take(8).chain(names).map(|answer| format!("return {answer}{}", shape.end)));
    }
    if in_loop {
        answers.extend(["break", "continue"].map(|word| format!("{word}{}", shape.end)));
    }
    for question in &questions {
        for (place, answer) in answers.iter().enumerate() {
            if let Some(edit) = gap.edit(view, &fill(shape.guard, &question.text, answer)) {
                sink.put(&GUARD, edit, (lines.0, lines.0), question.share * 0.97_f64.powi(i32::try_from(place).unwrap_or(9)));
            }
        }
        let simple = shape.simple.contains(&view.item(at).kind);
        if let (true, Some(indent)) = (simple, indent(view, at)) {
            let guarded = fill(shape.guard, &question.text, view.source.get(whole(view, at)).unwrap_or_default());
            let text = guarded.replace('\n', &format!("\n{indent}"));
            sink.put(&ASKED, Edit { span: whole(view, at), text }, lines, question.share);
        }
    }
}

/// The statement with one of its own words replaced.
fn kept_form(view: &View<'_>, at: usize, sink: &mut Sink<'_>) {
    let item = view.item(at);
    // Rust's expressions are inside of statements.
    let inner = view.tree.named(at);
    let core = if view.shape.asking.iter().any(|(kind, _)| *kind == item.kind) || inner.len() != 1 { at } else { inner[0] };
    let kind = view.item(core).kind;
    for (own, word) in view.shape.asking.iter().filter(|(own, _)| *own == kind) {
        let start = view.item(core).span.start;
        for (_, other) in view.shape.asking.iter().filter(|(other, _)| other != own) {
            let edit = Edit { span: start..start + word.len(), text: (*other).to_string() };
            sink.put(&LOOPED, edit, (item.lines.0, item.lines.0), 1.0);
        }
        unguarded(view, core, sink);
    }
    let text = view.text(core);
    let swapped = match text.trim_end_matches(';') {
        "break" => Some("continue"),
        "continue" => Some("break"),
        _ => None,
    };
    if let Some(word) = swapped {
        sink.replace(view, &LEAVES, core, text.replace(text.trim_end_matches(';'), word), 1.0);
    }
    updates(view, core, sink);
}

/// A statement that only computes something, as the answer of the function.
fn answered(view: &View<'_>, at: usize, sink: &mut Sink<'_>) {
    let item = view.item(at);
    let computes = matches!(view.tree.named(at)[..], [inner] if view.is_value(inner));
    if item.kind == "expression_statement" && computes && view.in_function(at) {
        sink.put(&ANSWERED, Edit { span: item.span.start..item.span.start, text: "return ".into() }, item.lines, 1.0);
    }
}

fn updates(view: &View<'_>, at: usize, sink: &mut Sink<'_>) {
    let item = view.item(at);
    let assigns =
        view.shape.assigns.iter().find(|(kind, target, _)| *kind == item.kind && *target != "name" && *target != "pattern");
    let Some((_, target, value)) = assigns else { return };
    let (Some(target), Some(value)) = (view.tree.child(at, target), view.tree.child(at, value)) else { return };
    let between = view.item(target).span.end..view.item(value).span.start;
    let now = view.source.get(between.clone()).unwrap_or_default().trim();
    let text_or_list = matches!(view.class(value), Class::Text | Class::List);
    let forms: &[&str] = if text_or_list { &["+=", "="] } else { &["=", "+=", "-=", "*="] };
    for form in forms.iter().filter(|form| **form != now) {
        sink.put(&ADDED, Edit { span: between.clone(), text: format!(" {form} ") }, item.lines, 1.0);
    }
}

/// The body of a condition without the condition, where it has no other branch.
fn unguarded(view: &View<'_>, at: usize, sink: &mut Sink<'_>) {
    let body = view.tree.child(at, "consequence").filter(|_| view.tree.child(at, "alternative").is_none());
    let (Some(body), Some(to)) = (body, indent(view, at)) else { return };
    let statements: BTreeSet<usize> = view.tree.named(body).into_iter().collect();
    let (Some(first), Some(last)) = (statements.first(), statements.last()) else { return };
    let Some(from) = indent(view, *first) else { return };
    let text = view.source.get(view.item(*first).span.start..whole(view, *last).end).unwrap_or_default();
    sink.put(&UNGUARDED, Edit { span: view.item(at).span.clone(), text: indented(text, from, to) }, view.item(at).lines, 1.0);
}
