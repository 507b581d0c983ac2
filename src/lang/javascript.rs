//! How a failure under Node.js reads. Owns what the kinds of its nodes mean, no rule.

use std::sync::LazyLock;

use regex::Regex;

#[cfg(feature = "lang-javascript")]
use super::Syntax;
#[cfg(feature = "lang-javascript")]
use super::shape::{Class, Shape, wrap};
use super::{FRAMES, Trace, frame, regex};

#[cfg(feature = "lang-javascript")]
pub(super) static SYNTAX: Syntax = Syntax {
    functions: &[
        "function_declaration",
        "generator_function_declaration",
        "function_expression",
        "generator_function",
        "arrow_function",
        "method_definition",
    ],
    loops: &["while_statement", "do_statement", "for_statement"],
    blocks: &["statement_block", "program"],
    holders: &[
        "variable_declarator",
        "assignment_expression",
        "return_statement",
        "expression_statement",
        "arguments",
        "parenthesized_expression",
        "template_substitution",
    ],
    indent: "  ",
    operators: &[
        ("op_less", "<"),
        ("op_less_equal", "<="),
        ("op_greater", ">"),
        ("op_greater_equal", ">="),
        ("op_equal", "=="),
        ("op_not_equal", "!="),
        ("op_same", "==="),
        ("op_not_same", "!=="),
        ("op_plus", "+"),
        ("op_minus", "-"),
        ("op_times", "*"),
        ("op_divide", "/"),
        ("op_modulo", "%"),
        ("op_power", "**"),
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
        ("op_nullish", "??"),
        ("op_increment", "++"),
        ("op_decrement", "--"),
        ("keyword_const", "const"),
    ],
    begins_entry: |line| {
        line.starts_with("if (require.main ") || line.starts_with("if (import.meta.") || line.starts_with("main(")
    },
};

#[cfg(feature = "lang-javascript")]
pub(super) static SHAPE: Shape = Shape {
    names: &["identifier"],
    values: &[
        "number",
        "string",
        "template_string",
        "true",
        "false",
        "null",
        "undefined",
        "call_expression",
        "new_expression",
        "member_expression",
        "subscript_expression",
        "binary_expression",
        "unary_expression",
        "update_expression",
        "ternary_expression",
        "parenthesized_expression",
        "array",
        "object",
        "arrow_function",
        "function_expression",
        "this",
    ],
    numbers: &["number"],
    strings: &["string", "template_string"],
    lists: &["array"],
    maps: &["object"],
    truths: &["true", "false"],
    binaries: &["binary_expression"],
    unaries: &["unary_expression"],
    calls: &["call_expression"],
    members: &[("member_expression", "object", "property")],
    items: &[("subscript_expression", "object")],
    rows: &["arguments", "array", "array_pattern", "formal_parameters"],
    conditions: &[
        ("if_statement", "condition"),
        ("while_statement", "condition"),
        ("do_statement", "condition"),
        ("for_statement", "condition"),
        ("ternary_expression", "condition"),
    ],
    naming: &[
        ("function_declaration", "name"),
        ("function_expression", "name"),
        ("class_declaration", "name"),
        ("variable_declarator", "name"),
        ("formal_parameters", ""),
        ("arrow_function", "parameter"),
        ("for_in_statement", "left"),
        ("import_specifier", ""),
        ("import_clause", ""),
        ("assignment_pattern", "left"),
        ("array_pattern", ""),
        ("object_pattern", ""),
        ("rest_pattern", ""),
        ("catch_clause", "parameter"),
    ],
    making: &[
        ("variable_declarator", "name"),
        ("formal_parameters", ""),
        ("arrow_function", "parameter"),
        ("for_in_statement", "left"),
        ("assignment_pattern", "left"),
        ("array_pattern", ""),
        ("rest_pattern", ""),
    ],
    assigns: &[
        ("variable_declarator", "name", "value"),
        ("assignment_expression", "left", "right"),
        ("augmented_assignment_expression", "left", "right"),
    ],
    simple: &["expression_statement", "return_statement", "break_statement", "continue_statement"],
    leaving: &["return_statement", "break_statement", "continue_statement", "throw_statement"],
    asking: &[("if_statement", "if"), ("while_statement", "while")],
    and: " && ",
    or: " || ",
    not: "!",
    end: ";",
    guard: "if ({0}) {\n  {1}\n}",
    indents: false,
    nothing: &["{} == null", "{} != null", "{} === undefined"],
    empty: &["{}.length === 0", "{}.length > 0", "!{}", "{}"],
    compared: &["{0} < {1}", "{0} <= {1}", "{0} === {1}", "{0} !== {1}"],
    member: &["{1}.includes({0})", "!{1}.includes({0})"],
    length: "{}.length",
    parts: &["{0}.slice(1)", "{0}.slice(0, -1)", "{0}.slice()"],
    parts_by: &["{0}.slice({1})", "{0}.slice(0, {1})", "{0}.slice({1} + 1)", "{0}.slice(0, {1} + 1)"],
    ends: &["{0}[0]", "{0}[{0}.length - 1]"],
    item: "{0}[{1}]",
    bounds: &["Math.max({0}, {1})", "Math.min({0}, {1})"],
    keyed: &["{0}.sort((a, b) => {1}[a] - {1}[b])"],
    inserts: &["{0}.push({1})"],
    tidying: &["{0}.sort()", "{0}.sort((a, b) => a - b)", "{0}.reverse()", "{0}.pop()", "{0}.shift()", "{0} = [...new Set({0})]"],
    answers: &["null", "0", "1", "-1", "[]", "''", "true", "false", "undefined", "{}"],
    wraps: &[
        wrap("Math.abs({})", Class::Number, Class::Number, 1.0),
        wrap("{}.length", Class::List, Class::Number, 0.8),
        wrap("Math.floor({})", Class::Number, Class::Number, 0.9),
        wrap("Math.ceil({})", Class::Number, Class::Number, 0.5),
        wrap("Math.round({})", Class::Number, Class::Number, 0.5),
        wrap("Math.trunc({})", Class::Number, Class::Number, 0.4),
        wrap("Number({})", Class::Text, Class::Number, 0.5),
        wrap("parseInt({})", Class::Text, Class::Number, 0.5),
        wrap("String({})", Class::Unknown, Class::Text, 0.5),
        wrap("{}.toString()", Class::Number, Class::Text, 0.4),
        wrap("{}.toLowerCase()", Class::Text, Class::Text, 0.8),
        wrap("{}.toUpperCase()", Class::Text, Class::Text, 0.6),
        wrap("{}.trim()", Class::Text, Class::Text, 0.7),
        wrap("{}.split('')", Class::Text, Class::List, 0.4),
        wrap("{}.join('')", Class::List, Class::Text, 0.4),
        wrap("{}.sort()", Class::List, Class::List, 0.7),
        wrap("{}.sort((a, b) => a - b)", Class::List, Class::List, 0.8),
        wrap("{}.reverse()", Class::List, Class::List, 0.5),
        wrap("[...new Set({})]", Class::List, Class::List, 0.6),
        wrap("new Set({})", Class::List, Class::List, 0.4),
        wrap("[{}]", Class::Unknown, Class::List, 0.5),
        wrap("Math.max(...{})", Class::List, Class::Number, 0.3),
        wrap("Math.min(...{})", Class::List, Class::Number, 0.3),
        wrap("-{}", Class::Number, Class::Number, 0.5),
        wrap("!{}", Class::Truth, Class::Truth, 0.6),
        wrap("{} ** 2", Class::Number, Class::Number, 0.3),
        wrap("{}.flat()", Class::List, Class::List, 0.2),
    ],
    functions: &[&["parseInt", "parseFloat", "Number", "String", "Boolean"]],
    methods: &[
        &["push", "unshift", "concat"],
        &["pop", "shift"],
        &["floor", "ceil", "round", "trunc", "abs", "sqrt"],
        &["min", "max"],
        &["some", "every", "filter", "find"],
        &["startsWith", "endsWith", "includes"],
        &["toLowerCase", "toUpperCase"],
        &["indexOf", "lastIndexOf"],
        &["slice", "substring", "splice"],
        &["keys", "values", "entries"],
        &["map", "forEach", "flatMap", "filter"],
        &["trim", "trimStart", "trimEnd"],
        &["padStart", "padEnd"],
        &["charAt", "charCodeAt"],
        &["has", "get", "add", "delete"],
    ],
    extras: &[
        ("sort", &["(a, b) => a - b", "(a, b) => b - a", "(a, b) => a.length - b.length"]),
        ("join", &["''", "' '", "','"]),
        ("split", &["''", "' '", "','"]),
    ],
    gives: &[
        ("length", Class::Number),
        ("floor", Class::Number),
        ("ceil", Class::Number),
        ("round", Class::Number),
        ("abs", Class::Number),
        ("sqrt", Class::Number),
        ("pow", Class::Number),
        ("parseInt", Class::Number),
        ("parseFloat", Class::Number),
        ("Number", Class::Number),
        ("indexOf", Class::Number),
        ("charCodeAt", Class::Number),
        ("String", Class::Text),
        ("toString", Class::Text),
        ("join", Class::Text),
        ("toLowerCase", Class::Text),
        ("toUpperCase", Class::Text),
        ("trim", Class::Text),
        ("substring", Class::Text),
        ("charAt", Class::Text),
        ("split", Class::List),
        ("map", Class::List),
        ("filter", Class::List),
        ("sort", Class::List),
        ("reverse", Class::List),
        ("concat", Class::List),
        ("includes", Class::Truth),
        ("every", Class::Truth),
        ("some", Class::Truth),
        ("startsWith", Class::Truth),
        ("endsWith", Class::Truth),
        ("isInteger", Class::Truth),
        ("isArray", Class::Truth),
    ],
};

static AT: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^\s+at (?:(?:async )?(.+?) \()?(?:async )?(?:file://)?(.+?):(\d+):\d+\)?$"));
/// Between the frames with a place.
static NOWHERE: LazyLock<Regex> = LazyLock::new(|| regex(r"^\s+at .+ \((?:<anonymous>|index \d+|native)\)$"));
static THROWN: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^(?:Uncaught |\[)?((?:[A-Za-z_$][\w$]*)?(?:Error|Exception))(?: \[\w+\])?(?:: .*)?$"));
static PREFACE: LazyLock<Regex> = LazyLock::new(|| regex(r"^(?:file://)?(/[^:]+|[^\s:]+\.[cm]?js):(\d+)$"));
/// Lines that a message may have between its first one and the frames.
const MESSAGE_LINES: usize = 30;

pub(super) fn read(text: &str, root: &str) -> Option<Trace> {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let last_at = lines.iter().rposition(|line| AT.is_match(line))?;
    let begin =
        lines[..=last_at].iter().rposition(|line| !AT.is_match(line) && !NOWHERE.is_match(line)).map_or(0, |before| before + 1);
    let earliest = begin.saturating_sub(MESSAGE_LINES);
    let header = (earliest..begin).rev().find(|at| THROWN.is_match(lines[*at]))?;
    let error_type = THROWN.captures(lines[header])?.get(1).map(|name| name.as_str().to_string());
    let mut frames: Vec<_> = lines[begin..=last_at]
        .iter()
        .filter_map(|line| AT.captures(line))
        .take(FRAMES)
        .map(|at| {
            let part = |index: usize| at.get(index).map(|found| found.as_str());
            frame(part(2).unwrap_or_default(), part(3).unwrap_or_default(), part(1), root)
        })
        .collect();
    if !frames.iter().any(|frame| frame.in_repo) {
        // A syntax error names its place only in the lines before the message.
        let preface = lines[..header].iter().rev().take(MESSAGE_LINES).find_map(|line| PREFACE.captures(line));
        if let Some((path, line)) = preface.and_then(|place| Some((place.get(1)?.as_str(), place.get(2)?.as_str()))) {
            frames.insert(0, frame(path, line, None, root));
        }
    }
    Some(Trace { error_type, message: lines[header].trim_start_matches("Uncaught ").to_string(), frames })
}

#[cfg(test)]
mod tests {
    use super::super::read_failure;

    #[test]
    fn a_frame_without_a_place_does_not_hide_those_before_it() {
        let stderr = b"Error: expect(received)\n\nExpected: 90\n    at Object.toBe (/r/t/shop.test.js:5:52)\n    \
            at new Promise (<anonymous>)\n    at run (/r/node_modules/x.js:1:2)\n";
        let trace = read_failure(stderr, "/r");
        assert_eq!((trace.error_type.as_deref(), trace.frames.len()), (Some("Error"), 2));
        assert_eq!((trace.frames[0].path.as_str(), trace.frames[0].in_repo), ("t/shop.test.js", true));
    }

    #[test]
    fn an_uncaught_error_has_its_type_its_message_and_its_frames() {
        let stderr = b"/r/js/x.js:3\n  throw new TypeError('x');\n  ^\n\nTypeError: x\n    at f (/r/js/x.js:3:9)\n    \
            at async main (file:///r/js/m.mjs:7:1)\n    at /r/js/x.js:9:2\n    at node:internal/main:1:2\n\nNode.js v20.1.0\n";
        let trace = read_failure(stderr, "/r");
        assert_eq!((trace.error_type.as_deref(), trace.message.as_str()), (Some("TypeError"), "TypeError: x"));
        let places: Vec<_> = trace.frames.iter().map(|f| (f.path.as_str(), f.line, f.function.as_deref(), f.in_repo)).collect();
        let expected = [
            ("js/x.js", 3, Some("f"), true),
            ("js/m.mjs", 7, Some("main"), true),
            ("js/x.js", 9, None, true),
            ("node:internal/main", 1, None, false),
        ];
        assert_eq!(places, expected);
    }

    #[test]
    fn a_syntax_error_takes_its_place_from_the_lines_before_it() {
        let stderr =
            b"/r/js/x.js:3\nfoo(\n   ^\n\nSyntaxError: missing ) after argument list\n    at wrapSafe (node:internal/x:1:2)\n";
        let trace = read_failure(stderr, "/r");
        assert_eq!((trace.frames[0].path.as_str(), trace.frames[0].line), ("js/x.js", 3));
    }

    #[test]
    fn a_missing_module_is_named_although_lines_stand_between() {
        let stderr = b"Error: Cannot find module 'left-pad'\nRequire stack:\n- /r/x.js\n    at Module._load (node:internal/x:1:2)\n  code: 'MODULE_NOT_FOUND',\n";
        assert_eq!(read_failure(stderr, "/r").message, "Error: Cannot find module 'left-pad'");
    }
}
