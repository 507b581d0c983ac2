//! How a Python failure reads: tracebacks (of a chain the last one), syntax errors, and the dumps of `faulthandler`.
//! Owns what the kinds of its nodes mean, and no rule about what a failure means.

use std::sync::LazyLock;

use regex::Regex;

#[cfg(feature = "lang-python")]
use super::Syntax;
#[cfg(feature = "lang-python")]
use super::shape::{Class, Shape, wrap};
use super::{FRAMES, Trace, frame, regex};
use crate::model::Frame;

#[cfg(feature = "lang-python")]
pub(super) static SYNTAX: Syntax = Syntax {
    functions: &["function_definition"],
    loops: &["while_statement"],
    blocks: &["block", "module"],
    holders: &[
        "assignment",
        "return_statement",
        "expression_statement",
        "argument_list",
        "keyword_argument",
        "parenthesized_expression",
        "subscript",
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
        ("op_floor_divide", "//"),
        ("op_modulo", "%"),
        ("op_power", "**"),
        ("op_plus_assign", "+="),
        ("op_minus_assign", "-="),
        ("op_times_assign", "*="),
        ("op_and", "and"),
        ("op_or", "or"),
    ],
    begins_entry: |line| line.starts_with("if ") && line.contains("__name__"),
};

#[cfg(feature = "lang-python")]
pub(super) static SHAPE: Shape = Shape {
    names: &["identifier"],
    values: &[
        "integer",
        "float",
        "string",
        "true",
        "false",
        "none",
        "call",
        "attribute",
        "subscript",
        "binary_operator",
        "boolean_operator",
        "comparison_operator",
        "not_operator",
        "unary_operator",
        "list",
        "tuple",
        "set",
        "dictionary",
        "list_comprehension",
        "set_comprehension",
        "dictionary_comprehension",
        "generator_expression",
        "conditional_expression",
        "parenthesized_expression",
        "lambda",
    ],
    numbers: &["integer", "float"],
    strings: &["string"],
    lists: &["list", "tuple", "list_comprehension", "set", "set_comprehension"],
    maps: &["dictionary", "dictionary_comprehension"],
    truths: &["comparison_operator", "not_operator", "true", "false"],
    binaries: &["binary_operator", "comparison_operator", "boolean_operator"],
    unaries: &["unary_operator", "not_operator"],
    calls: &["call"],
    members: &[("attribute", "object", "attribute")],
    items: &[("subscript", "value")],
    rows: &["argument_list", "tuple", "list", "expression_list", "subscript", "pattern_list"],
    conditions: &[
        ("if_statement", "condition"),
        ("elif_clause", "condition"),
        ("while_statement", "condition"),
        ("if_clause", ""),
    ],
    naming: &[
        ("function_definition", "name"),
        ("class_definition", "name"),
        ("attribute", "attribute"),
        ("keyword_argument", "name"),
        ("parameters", ""),
        ("lambda_parameters", ""),
        ("default_parameter", "name"),
        ("typed_parameter", ""),
        ("typed_default_parameter", "name"),
        ("list_splat_pattern", ""),
        ("dictionary_splat_pattern", ""),
        ("for_statement", "left"),
        ("for_in_clause", "left"),
        ("tuple_pattern", ""),
        ("dotted_name", ""),
        ("aliased_import", ""),
        ("global_statement", ""),
        ("nonlocal_statement", ""),
        ("type", ""),
        ("as_pattern_target", ""),
        ("decorator", ""),
    ],
    making: &[
        ("parameters", ""),
        ("lambda_parameters", ""),
        ("default_parameter", "name"),
        ("typed_parameter", ""),
        ("typed_default_parameter", "name"),
        ("list_splat_pattern", ""),
        ("for_statement", "left"),
        ("for_in_clause", "left"),
        ("tuple_pattern", ""),
        ("pattern_list", ""),
        ("assignment", "left"),
        ("as_pattern_target", ""),
    ],
    assigns: &[("assignment", "left", "right"), ("augmented_assignment", "left", "right")],
    simple: &[
        "expression_statement",
        "return_statement",
        "break_statement",
        "continue_statement",
        "pass_statement",
        "delete_statement",
    ],
    leaving: &["return_statement", "break_statement", "continue_statement", "raise_statement"],
    asking: &[("if_statement", "if"), ("while_statement", "while")],
    and: " and ",
    or: " or ",
    not: "not ",
    end: "",
    guard: "if {0}:\n    {1}",
    indents: true,
    nothing: &["{} is None", "{} is not None"],
    empty: &["not {}", "{}"],
    compared: &["{0} < {1}", "{0} <= {1}", "{0} == {1}", "{0} != {1}"],
    member: &["{0} in {1}", "{0} not in {1}"],
    length: "len({})",
    parts: &["{0}[1:]", "{0}[:-1]", "{0}[::-1]", "{0}[:]"],
    parts_by: &["{0}[{1}:]", "{0}[:{1}]", "{0}[{1} + 1:]", "{0}[:{1} + 1]"],
    ends: &["{0}[0]", "{0}[-1]"],
    item: "{0}[{1}]",
    bounds: &["max({0}, {1})", "min({0}, {1})"],
    keyed: &["sorted({0}, key={1}.get)", "sorted({0}, key=lambda x: {1}[x])"],
    inserts: &["{0}.append({1})", "{0}.add({1})"],
    tidying: &["{0}.sort()", "{0}.reverse()", "{0}.pop()", "{0} = sorted({0})", "{0} = list(set({0}))"],
    answers: &["None", "0", "1", "-1", "[]", "''", "True", "False", "[[]]", "{}"],
    wraps: &[
        wrap("abs({})", Class::Number, Class::Number, 1.0),
        wrap("len({})", Class::List, Class::Number, 0.8),
        wrap("sorted({})", Class::List, Class::List, 0.9),
        wrap("set({})", Class::List, Class::List, 0.8),
        wrap("list({})", Class::List, Class::List, 0.5),
        wrap("sum({})", Class::List, Class::Number, 0.4),
        wrap("max({})", Class::List, Class::Number, 0.4),
        wrap("min({})", Class::List, Class::Number, 0.4),
        wrap("list(reversed({}))", Class::List, Class::List, 0.4),
        wrap("[{}]", Class::Unknown, Class::List, 0.5),
        wrap("int({})", Class::Number, Class::Number, 0.7),
        wrap("round({})", Class::Number, Class::Number, 0.4),
        wrap("float({})", Class::Number, Class::Number, 0.3),
        wrap("str({})", Class::Unknown, Class::Text, 0.6),
        wrap("{}.lower()", Class::Text, Class::Text, 0.8),
        wrap("{}.upper()", Class::Text, Class::Text, 0.6),
        wrap("{}.strip()", Class::Text, Class::Text, 0.7),
        wrap("{}.split()", Class::Text, Class::List, 0.4),
        wrap("{}.copy()", Class::List, Class::List, 0.4),
        wrap("str({})[::-1]", Class::Number, Class::Text, 0.2),
        wrap("''.join({})", Class::List, Class::Text, 0.4),
        wrap("-{}", Class::Number, Class::Number, 0.5),
        wrap("not {}", Class::Truth, Class::Truth, 0.6),
        wrap("bool({})", Class::Unknown, Class::Truth, 0.2),
        wrap("{} ** 2", Class::Number, Class::Number, 0.4),
    ],
    functions: &[
        &["min", "max", "sum", "len"],
        &["any", "all"],
        &["int", "float", "str", "round", "abs", "bool"],
        &["list", "set", "tuple", "sorted", "reversed"],
        &["range", "enumerate"],
        &["ord", "chr"],
        &["floor", "ceil", "sqrt"],
    ],
    methods: &[
        &["append", "extend", "add", "insert", "push", "remove"],
        &["startswith", "endswith"],
        &["lower", "upper", "swapcase", "title", "capitalize"],
        &["strip", "lstrip", "rstrip"],
        &["split", "rsplit", "splitlines"],
        &["find", "rfind", "index", "count"],
        &["keys", "values", "items"],
        &["pop", "popleft"],
        &["isalpha", "isdigit", "isalnum", "isupper", "islower", "isspace", "isnumeric"],
        &["union", "intersection", "difference"],
        &["issubset", "issuperset"],
        &["appendleft", "append"],
    ],
    extras: &[
        ("sorted", &["reverse=True", "key=len", "key=abs", "key=str"]),
        ("sort", &["reverse=True", "key=len", "key=abs", "key=str"]),
        ("max", &["key=len", "key=abs", "default=0"]),
        ("min", &["key=len", "key=abs", "default=0"]),
        ("split", &["','", "' '"]),
    ],
    gives: &[
        ("len", Class::Number),
        ("abs", Class::Number),
        ("int", Class::Number),
        ("float", Class::Number),
        ("round", Class::Number),
        ("sum", Class::Number),
        ("ord", Class::Number),
        ("sqrt", Class::Number),
        ("count", Class::Number),
        ("find", Class::Number),
        ("str", Class::Text),
        ("chr", Class::Text),
        ("join", Class::Text),
        ("lower", Class::Text),
        ("upper", Class::Text),
        ("strip", Class::Text),
        ("replace", Class::Text),
        ("format", Class::Text),
        ("sorted", Class::List),
        ("list", Class::List),
        ("set", Class::List),
        ("tuple", Class::List),
        ("range", Class::List),
        ("split", Class::List),
        ("reversed", Class::List),
        ("any", Class::Truth),
        ("all", Class::Truth),
        ("isinstance", Class::Truth),
        ("startswith", Class::Truth),
        ("endswith", Class::Truth),
    ],
};

static PLACE: LazyLock<Regex> = LazyLock::new(|| regex(r#"^\s*File "([^"]+)", line (\d+)(?:,? in (.+))?$"#));
static RAISED: LazyLock<Regex> = LazyLock::new(|| regex(r"^(?:(?:[A-Za-z_]\w*|<locals>)\.)*([A-Za-z_]\w*)(?::(?: .*)?)?$"));

struct Reader<'a> {
    root: &'a str,
    /// Frames of the traceback that is being read, outermost first.
    open: Vec<Frame>,
    /// Reading the frames of a `faulthandler` dump.
    in_dump: bool,
    /// The dump of the thread that failed has been seen: those of the others do not count.
    seen_current: bool,
    fatal: Option<String>,
    found: Option<Trace>,
}

pub(super) fn read(text: &str, root: &str) -> Option<Trace> {
    let mut reader = Reader { root, open: Vec::new(), in_dump: false, seen_current: false, fatal: None, found: None };
    for line in text.lines().map(str::trim_end) {
        // Inside an exception group every line has a bar before it.
        reader.line(line.trim_start().strip_prefix("| ").unwrap_or(line));
    }
    reader.found
}

impl Reader<'_> {
    fn line(&mut self, line: &str) {
        if line.ends_with("Traceback (most recent call last):") {
            self.open.clear();
            self.in_dump = false;
        } else if line.ends_with("(most recent call first):") {
            self.dump(line);
        } else if line.starts_with("Fatal Python error: ") || line.starts_with("Timeout (") {
            self.fatal = Some(line.to_string());
        } else if let Some(place) = PLACE.captures(line) {
            let part = |index: usize| place.get(index).map(|found| found.as_str());
            self.place(frame(part(1).unwrap_or_default(), part(2).unwrap_or_default(), part(3), self.root));
        } else if line.is_empty() {
            self.in_dump = false;
        } else if !self.in_dump && !self.open.is_empty() {
            self.raised(line);
        }
    }

    fn dump(&mut self, line: &str) {
        let current = line.starts_with("Current thread");
        self.in_dump = current || !self.seen_current;
        if self.in_dump {
            let message = self.fatal.clone().unwrap_or_else(|| line.to_string());
            self.found = Some(Trace { error_type: None, message, frames: Vec::new() });
        }
        self.seen_current |= current;
    }

    fn place(&mut self, frame: Frame) {
        match &mut self.found {
            Some(trace) if self.in_dump => {
                if trace.frames.len() < FRAMES {
                    trace.frames.push(frame);
                }
            }
            _ => {
                if self.open.len() >= FRAMES {
                    self.open.remove(0);
                }
                self.open.push(frame);
            }
        }
    }

    fn raised(&mut self, line: &str) {
        let Some(raised) = RAISED.captures(line) else { return };
        let error_type = raised.get(1).map(|name| name.as_str().to_string());
        let mut frames = std::mem::take(&mut self.open);
        frames.reverse();
        self.found = Some(Trace { error_type, message: line.to_string(), frames });
    }
}

#[cfg(test)]
mod tests {
    use super::super::read_failure;
    use super::*;

    fn places(trace: &Trace) -> Vec<(&str, u32, Option<&str>, bool)> {
        trace.frames.iter().map(|f| (f.path.as_str(), f.line, f.function.as_deref(), f.in_repo)).collect()
    }

    #[test]
    fn the_last_traceback_of_a_chain_is_the_failure() {
        let stderr = b"Traceback (most recent call last):\n  File \"/r/tools/a.py\", line 4, in parse\n    int(x)\n    ~~~^^^\n\
            ValueError: invalid literal\n\nDuring handling of the above exception, another exception occurred:\n\n\
            Traceback (most recent call last):\n  File \"/r/tools/a.py\", line 20, in <module>\n    main()\n  \
            File \"/usr/lib/python3.11/json/decoder.py\", line 355, in raw_decode\n    raise\n\
            json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)\nbye\n";
        let trace = read_failure(stderr, "/r");
        assert_eq!(trace.error_type.as_deref(), Some("JSONDecodeError"));
        assert_eq!(trace.message, "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)");
        let expected =
            [("/usr/lib/python3.11/json/decoder.py", 355, Some("raw_decode"), false), ("tools/a.py", 20, Some("<module>"), true)];
        assert_eq!(places(&trace), expected);
    }

    #[test]
    fn a_syntax_error_has_a_place_without_a_traceback() {
        let trace =
            read_failure(b"  File \"/r/t.py\", line 3\n    def f(\n         ^\nSyntaxError: '(' was never closed\n", "/r");
        assert_eq!(trace.error_type.as_deref(), Some("SyntaxError"));
        assert_eq!(places(&trace), [("t.py", 3, None, true)]);
    }

    #[test]
    fn a_fault_dump_tells_where_the_current_thread_was() {
        let stderr =
            b"Fatal Python error: Aborted\n\nThread 0x1 (most recent call first):\n  File \"/r/w.py\", line 1 in wait\n\n\
            Current thread 0x00007f (most recent call first):\n  File \"/r/t.py\", line 19 in schedule\n  \
            File \"/r/t.py\", line 33 in main\n\nExtension modules: x (total: 1)\n";
        let trace = read_failure(stderr, "/r");
        assert_eq!((trace.error_type.as_deref(), trace.message.as_str()), (None, "Fatal Python error: Aborted"));
        assert_eq!(places(&trace), [("t.py", 19, Some("schedule"), true), ("t.py", 33, Some("main"), true)]);
    }

    #[test]
    fn the_last_member_of_an_exception_group_is_the_failure() {
        let stderr =
            b"  + Exception Group Traceback (most recent call last):\n  |   File \"/r/t.py\", line 9, in main\n  |     run()\n  \
            | ExceptionGroup: two (1 sub-exception)\n  +-+---------------- 1 ----------------\n    \
            | Traceback (most recent call last):\n    |   File \"/r/t.py\", line 3, in part\n    | f.<locals>.Odd: x\n    \
            +------------------------------------\n";
        let trace = read_failure(stderr, "/r");
        assert_eq!((trace.error_type.as_deref(), places(&trace)), (Some("Odd"), vec![("t.py", 3, Some("part"), true)]));
    }

    #[test]
    fn an_exception_without_a_message_is_still_one() {
        let trace = read_failure(b"Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nAssertionError\n", "");
        assert_eq!(trace.error_type.as_deref(), Some("AssertionError"));
        assert_eq!(places(&trace), [("a.py", 1, Some("f"), true)]);
    }
}
