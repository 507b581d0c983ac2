//! How a Rust panic reads. Owns what the kinds of its nodes mean, no rule.

use std::sync::LazyLock;

use regex::Regex;

#[cfg(feature = "lang-rust")]
use super::Syntax;
#[cfg(feature = "lang-rust")]
use super::shape::{Class, Shape, wrap};
use super::{FRAMES, Trace, frame, regex};

#[cfg(feature = "lang-rust")]
pub(super) static SYNTAX: Syntax = Syntax {
    // Closures are part of the function around them: a panic in one is told with that function's name.
    functions: &["function_item"],
    loops: &["while_expression"],
    blocks: &["block"],
    holders: &[
        "let_declaration",
        "assignment_expression",
        "return_expression",
        "expression_statement",
        "arguments",
        "parenthesized_expression",
    ],
    indent: "    ",
    operators: &[
        ("op_less", "<"),
        ("op_less_equal", "<="),
        ("op_greater", ">"),
        ("op_greater_equal", ">="),
        ("op_equal", "=="),
        ("op_not_equal", "!="),
        ("op_plus", "+"),
        ("op_minus", "-"),
        ("op_times", "*"),
        ("op_divide", "/"),
        ("op_modulo", "%"),
        ("op_bit_and", "&"),
        ("op_bit_or", "|"),
        ("op_bit_xor", "^"),
        ("op_shift_left", "<<"),
        ("op_shift_right", ">>"),
        ("op_plus_assign", "+="),
        ("op_minus_assign", "-="),
        ("op_times_assign", "*="),
        ("op_and", "&&"),
        ("op_or", "||"),
        ("op_range", ".."),
        ("op_range_inclusive", "..="),
        ("op_try", "?"),
    ],
    begins_entry: |_| false,
};

#[cfg(feature = "lang-rust")]
pub(super) static SHAPE: Shape = Shape {
    names: &["identifier"],
    values: &[
        "integer_literal",
        "float_literal",
        "string_literal",
        "char_literal",
        "boolean_literal",
        "call_expression",
        "field_expression",
        "index_expression",
        "binary_expression",
        "unary_expression",
        "reference_expression",
        "type_cast_expression",
        "parenthesized_expression",
        "tuple_expression",
        "array_expression",
        "macro_invocation",
        "try_expression",
        "range_expression",
        "closure_expression",
        "self",
    ],
    numbers: &["integer_literal", "float_literal"],
    strings: &["string_literal", "char_literal"],
    lists: &["array_expression"],
    maps: &[],
    truths: &["boolean_literal"],
    binaries: &["binary_expression"],
    unaries: &["unary_expression"],
    calls: &["call_expression"],
    members: &[("field_expression", "value", "field")],
    items: &[("index_expression", "")],
    rows: &["arguments", "array_expression", "tuple_expression"],
    conditions: &[("if_expression", "condition"), ("while_expression", "condition"), ("match_pattern", "condition")],
    naming: &[
        ("function_item", "name"),
        ("let_declaration", "pattern"),
        ("parameter", "pattern"),
        ("closure_parameters", ""),
        ("for_expression", "pattern"),
        ("let_condition", "pattern"),
        ("match_pattern", ""),
        ("scoped_identifier", ""),
        ("scoped_type_identifier", ""),
        ("macro_invocation", "macro"),
        ("tuple_pattern", ""),
        ("tuple_struct_pattern", ""),
        ("struct_pattern", ""),
        ("ref_pattern", ""),
        ("mut_pattern", ""),
        ("captured_pattern", ""),
        ("reference_pattern", ""),
        ("or_pattern", ""),
        ("slice_pattern", ""),
        ("use_declaration", ""),
        ("use_list", ""),
        ("scoped_use_list", ""),
        ("use_as_clause", ""),
        ("const_item", "name"),
        ("static_item", "name"),
        ("mod_item", "name"),
        ("attribute", ""),
        ("enum_variant", "name"),
        ("shorthand_field_initializer", ""),
        ("lifetime", ""),
        ("label", ""),
    ],
    making: &[
        ("let_declaration", "pattern"),
        ("parameter", "pattern"),
        ("closure_parameters", ""),
        ("for_expression", "pattern"),
        ("tuple_pattern", ""),
        ("tuple_struct_pattern", ""),
        ("ref_pattern", ""),
        ("mut_pattern", ""),
        ("reference_pattern", ""),
        ("const_item", "name"),
        ("static_item", "name"),
    ],
    assigns: &[
        ("let_declaration", "pattern", "value"),
        ("assignment_expression", "left", "right"),
        ("compound_assignment_expr", "left", "right"),
    ],
    simple: &["expression_statement"],
    leaving: &["return_expression", "break_expression", "continue_expression"],
    asking: &[("if_expression", "if"), ("while_expression", "while")],
    and: " && ",
    or: " || ",
    not: "!",
    end: ";",
    guard: "if {0} {\n    {1}\n}",
    indents: false,
    nothing: &["{}.is_none()", "{}.is_some()"],
    empty: &["{}.is_empty()", "!{}.is_empty()"],
    compared: &["{0} < {1}", "{0} <= {1}", "{0} == {1}", "{0} != {1}"],
    member: &["{1}.contains(&{0})", "!{1}.contains(&{0})"],
    length: "{}.len()",
    parts: &["{0}[1..].to_vec()", "{0}[..{0}.len() - 1].to_vec()", "{0}.clone()"],
    parts_by: &["{0}[{1}..]", "{0}[..{1}]", "{0}[{1}..].to_vec()", "{0}[..{1}].to_vec()"],
    ends: &["{0}[0]", "{0}[{0}.len() - 1]"],
    item: "{0}[{1}]",
    bounds: &["{0}.max({1})", "{0}.min({1})"],
    keyed: &[],
    inserts: &["{0}.push({1})", "{0}.insert({1})", "{0}.push({1}.clone())", "{0}.push({1}.unwrap())"],
    tidying: &["{0}.sort()", "{0}.reverse()", "{0}.pop()", "{0}.dedup()", "{0}.remove(0)", "{0}.clear()"],
    answers: &["0", "1", "-1", "vec![]", "None", "true", "false", "String::new()", "0.0"],
    wraps: &[
        wrap("{}.abs()", Class::Number, Class::Number, 1.0),
        wrap("{}.len()", Class::List, Class::Number, 0.7),
        wrap("{}.len() as i32", Class::List, Class::Number, 0.4),
        wrap("{}.clone()", Class::Unknown, Class::Unknown, 0.5),
        wrap("*{}", Class::Unknown, Class::Unknown, 0.3),
        wrap("&{}", Class::Unknown, Class::Unknown, 0.3),
        wrap("-{}", Class::Number, Class::Number, 0.5),
        wrap("!{}", Class::Truth, Class::Truth, 0.6),
        wrap("{}.to_lowercase()", Class::Text, Class::Text, 0.8),
        wrap("{}.to_uppercase()", Class::Text, Class::Text, 0.5),
        wrap("{}.trim()", Class::Text, Class::Text, 0.6),
        wrap("{}.to_string()", Class::Unknown, Class::Text, 0.4),
        wrap("{} as i32", Class::Number, Class::Number, 0.3),
        wrap("{} as usize", Class::Number, Class::Number, 0.3),
        wrap("{} as f64", Class::Number, Class::Number, 0.2),
        wrap("{}.rev()", Class::List, Class::List, 0.3),
        wrap("{}.floor()", Class::Number, Class::Number, 0.4),
        wrap("{}.round()", Class::Number, Class::Number, 0.4),
        wrap("{}.sqrt()", Class::Number, Class::Number, 0.2),
        wrap("{}.pow(2)", Class::Number, Class::Number, 0.3),
    ],
    functions: &[&["Some", "Ok", "Err"]],
    methods: &[
        &["min", "max"],
        &["push", "push_str", "insert", "push_back", "push_front"],
        &["pop", "pop_back", "pop_front", "clear"],
        &["starts_with", "ends_with", "contains"],
        &["to_lowercase", "to_uppercase", "to_ascii_lowercase", "to_ascii_uppercase"],
        &["is_ascii_lowercase", "is_ascii_uppercase", "is_ascii_digit", "is_alphabetic", "is_numeric", "is_alphanumeric"],
        &["is_positive", "is_negative"],
        &["floor", "ceil", "round", "trunc", "abs", "sqrt"],
        &["any", "all"],
        &["is_some", "is_none"],
        &["keys", "values"],
        &["first", "last"],
        &["trim", "trim_start", "trim_end"],
        &["find", "rfind", "position"],
        &["sum", "product"],
        &["take", "skip"],
        &["unwrap", "unwrap_or_default"],
    ],
    extras: &[],
    gives: &[
        ("len", Class::Number),
        ("abs", Class::Number),
        ("sqrt", Class::Number),
        ("floor", Class::Number),
        ("round", Class::Number),
        ("count", Class::Number),
        ("to_string", Class::Text),
        ("to_lowercase", Class::Text),
        ("to_uppercase", Class::Text),
        ("trim", Class::Text),
        ("format", Class::Text),
        ("vec", Class::List),
        ("collect", Class::List),
        ("to_vec", Class::List),
        ("is_empty", Class::Truth),
        ("contains", Class::Truth),
        ("starts_with", Class::Truth),
        ("ends_with", Class::Truth),
        ("any", Class::Truth),
        ("all", Class::Truth),
    ],
};

static PANIC: LazyLock<Regex> = LazyLock::new(|| regex(r"^thread '.*' (?:\(\d+\) )?panicked at (.+):(\d+):\d+:$"));
/// The form before Rust 1.73.
static OLD_PANIC: LazyLock<Regex> = LazyLock::new(|| regex(r"^thread '.*' panicked at '(.*)', (.+):(\d+):\d+$"));
static NAME: LazyLock<Regex> = LazyLock::new(|| regex(r"^\s+\d+: (?:0x[0-9a-f]+ - )?(.+)$"));
static AT: LazyLock<Regex> = LazyLock::new(|| regex(r"^\s+at (.+?):(\d+)(?::\d+)?$"));

pub(super) fn read(text: &str, root: &str) -> Option<Trace> {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let (header, message, path, line) = lines.iter().enumerate().rev().find_map(|(at, line)| {
        if let Some(panic) = PANIC.captures(line) {
            let message = lines[at + 1..].iter().find(|line| !line.is_empty()).copied().unwrap_or("panicked");
            return Some((at, message.trim().to_string(), panic[1].to_string(), panic[2].to_string()));
        }
        let panic = OLD_PANIC.captures(line)?;
        Some((at, panic[1].to_string(), panic[2].to_string(), panic[3].to_string()))
    })?;
    let mut frames = vec![frame(&path, &line, None, root)];
    let mut name = None;
    for line in &lines[header + 1..] {
        if let Some(at) = AT.captures(line) {
            let next = frame(&at[1], &at[2], name.take(), root);
            if next.path == frames[0].path && next.line == frames[0].line {
                frames[0].function = next.function;
            } else if frames.len() < FRAMES && !next.path.starts_with("/rustc/") {
                frames.push(next);
            }
        } else if let Some(named) = NAME.captures(line) {
            name = named.get(1).map(|name| name.as_str());
        }
    }
    Some(Trace { error_type: Some("panic".into()), message, frames })
}

#[cfg(test)]
mod tests {
    use super::super::read_failure;

    #[test]
    fn a_panic_has_its_message_on_the_next_line_and_its_place_first() {
        let stderr = b"thread 'main' (77) panicked at src/main.rs:3:5:\nattempt to divide by zero\nstack backtrace:\n   \
            0: core::panicking::panic\n             at /rustc/abc/core/panicking.rs:7:1\n   1: disk::scale\n             \
            at ./src/main.rs:3:5\n   2: disk::main\n             at ./src/main.rs:9:1\nnote: run with\n";
        let trace = read_failure(stderr, "/r");
        assert_eq!((trace.error_type.as_deref(), trace.message.as_str()), (Some("panic"), "attempt to divide by zero"));
        let places: Vec<_> = trace.frames.iter().map(|f| (f.path.as_str(), f.line, f.function.as_deref())).collect();
        assert_eq!(places, [("src/main.rs", 3, Some("disk::scale")), ("src/main.rs", 9, Some("disk::main"))]);
        assert!(trace.frames[0].in_repo);
    }

    #[test]
    fn the_old_form_of_a_panic_is_read_too() {
        let trace = read_failure(b"thread 'main' panicked at 'boom', src/lib.rs:8:1\nnote: x\n", "/r");
        assert_eq!((trace.message.as_str(), trace.frames[0].line), ("boom", 8));
    }
}
