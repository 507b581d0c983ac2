//! How a shell's own complaint reads. A program that the script called speaks for itself and is not read here.
//! Owns what the kinds of its nodes mean, no rule of repair.

use std::sync::LazyLock;

use regex::Regex;

#[cfg(feature = "lang-shell")]
use super::Syntax;
use super::{Trace, frame, regex};

#[cfg(feature = "lang-shell")]
pub(super) static SYNTAX: Syntax = Syntax {
    functions: &["function_definition"],
    loops: &["while_statement", "c_style_for_statement"],
    blocks: &["program", "compound_statement", "subshell", "do_group", "if_statement", "elif_clause", "else_clause", "case_item"],
    holders: &[],
    indent: "    ",
    operators: &[
        ("op_less", "<"),
        ("op_less_equal", "<="),
        ("op_greater", ">"),
        ("op_greater_equal", ">="),
        ("op_assign", "="),
        ("op_equal", "=="),
        ("op_not_equal", "!="),
        ("op_matches", "=~"),
        ("op_plus", "+"),
        ("op_minus", "-"),
        ("op_times", "*"),
        ("op_divide", "/"),
        ("op_modulo", "%"),
        ("op_power", "**"),
        ("op_plus_assign", "+="),
        ("op_minus_assign", "-="),
        ("op_and", "&&"),
        ("op_or", "||"),
    ],
    begins_entry: |line| line.starts_with("main \"$@\"") || (line.starts_with("if ") && line.contains("BASH_SOURCE")),
};

/// `bash` says `x.sh: line 3: …`, `dash` says `x.sh: 3: …`.
static COMPLAINT: LazyLock<Regex> = LazyLock::new(|| regex(r"^(\S+): (line )?(\d+): (?:\S.*)$"));

pub(super) fn read(text: &str, root: &str) -> Option<Trace> {
    let (line, complaint) = text.lines().map(str::trim_end).rev().find_map(|line| {
        let complaint = COMPLAINT.captures(line)?;
        let path = &complaint[1];
        let is_script = complaint.get(2).is_some() || path.contains('/') || path.ends_with("sh");
        is_script.then_some((line, complaint))
    })?;
    Some(Trace { error_type: None, message: line.to_string(), frames: vec![frame(&complaint[1], &complaint[3], None, root)] })
}

#[cfg(test)]
mod tests {
    use super::super::read_failure;

    #[test]
    fn both_shells_say_where_a_command_was_missing() {
        for stderr in ["/r/t/x.sh: line 3: jq: command not found\n", "/r/t/x.sh: 3: jq: not found\n"] {
            let trace = read_failure(stderr.as_bytes(), "/r");
            assert_eq!((trace.frames[0].path.as_str(), trace.frames[0].line), ("t/x.sh", 3));
            assert_eq!((trace.error_type, trace.message.as_str()), (None, stderr.trim()));
        }
        assert!(read_failure(b"report: 3: bad line\n", "/r").frames.is_empty());
    }
}
