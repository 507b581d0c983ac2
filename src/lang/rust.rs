//! How a Rust panic reads. Owns what the kinds of its nodes mean, no rule.

use std::sync::LazyLock;

use regex::Regex;

#[cfg(feature = "lang-rust")]
use super::Syntax;
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
