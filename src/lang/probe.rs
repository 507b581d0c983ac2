//! Programs that call a tool's functions with given arguments and print what each call answers: how patches that pass the same tests
//! are told apart. Text in, text out; the calls are taken from tests, with other literals.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::model::Language;

const PYTHON: &str = include_str!("../../templates/trial/probe.py");
const JAVASCRIPT: &str = include_str!("../../templates/trial/probe.js");
const RUST: &str = include_str!("../../templates/trial/probe.rs");

/// Longer calls are left alone, in bytes.
const CALL: usize = 240;

/// Words that mean the same wherever they stand.
fn known_words(language: Language) -> &'static [&'static str] {
    match language {
        Language::Python => &["None", "True", "False", "set", "list", "tuple", "dict"],
        Language::Javascript => &["null", "undefined", "true", "false", "new", "Set", "Map"],
        Language::Rust => &["vec", "to_string", "String", "from", "true", "false", "Some", "None"],
        Language::Shell | Language::Other => &[],
    }
}

/// The name by which a file is imported beside it.
fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split('.').next().unwrap_or(name)
}

/// Calls of one of the `functions` of the file `path` in a test's code whose arguments are nothing but literals, in the order of the
/// text.
pub fn calls(language: Language, path: &str, code: &str, functions: &[String]) -> Vec<String> {
    let of_module = format!("{}.", stem(path));
    let mut found = Vec::new();
    for function in functions {
        let opening = format!("{function}(");
        let mut from = 0;
        while let Some(at) = code.get(from..).and_then(|rest| rest.find(&opening)).map(|at| from + at) {
            from = at + opening.len();
            let before = code[..at].strip_suffix(&of_module).unwrap_or(&code[..at]).chars().last();
            let begins = !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '.');
            if let Some(end) = closing(language, code, from - 1).filter(|end| begins && end - at <= CALL)
                && let Some(call) = code.get(at..end)
                && is_literal(language, call, functions)
            {
                found.push((at, call.to_string()));
            }
        }
    }
    found.sort();
    found.into_iter().map(|(_, call)| call).collect()
}

/// Behind the bracket that closes the one at `open`.
fn closing(language: Language, code: &str, open: usize) -> Option<usize> {
    let mut depth = 0;
    for (token, span) in tokens(language, code.get(open..)?) {
        match token {
            Token::Open => depth += 1,
            Token::Close => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(open + span.end);
        }
    }
    None
}

fn is_literal(language: Language, call: &str, functions: &[String]) -> bool {
    tokens(language, call).into_iter().all(|(token, span)| match token {
        Token::Word => {
            let word = &call[span];
            known_words(language).contains(&word) || functions.iter().any(|function| function == word)
        }
        _ => true,
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Word,
    Number,
    Text,
    Open,
    Close,
    Comma,
    Other,
}

/// Good enough for literals: not a lexer of any of the languages.
fn tokens(language: Language, code: &str) -> Vec<(Token, Range<usize>)> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        at += 1;
        let run = |at: usize, more: fn(u8) -> bool| bytes[at..].iter().take_while(|byte| more(**byte)).count();
        let token = match byte {
            b'\'' if language == Language::Rust && bytes.get(at + 1) != Some(&b'\'') => Token::Other,
            b'"' | b'\'' | b'`' => {
                while let Some(next) = bytes.get(at).filter(|next| **next != byte) {
                    at += if *next == b'\\' { 2 } else { 1 };
                }
                at = (at + 1).min(bytes.len());
                Token::Text
            }
            b'0'..=b'9' => {
                at += run(at, |byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_');
                Token::Number
            }
            b'(' | b'[' | b'{' => Token::Open,
            b')' | b']' | b'}' => Token::Close,
            b',' => Token::Comma,
            _ if byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80 => {
                at += run(at, |byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80);
                Token::Word
            }
            _ => Token::Other,
        };
        if !byte.is_ascii_whitespace() {
            found.push((token, start..at));
        }
    }
    found
}

/// The call with one of its literals changed, each way that is known: shorter, longer, empty and reversed lists and texts, numbers
/// beside the number and nought.
pub fn varied(language: Language, call: &str) -> Vec<String> {
    let mut found = BTreeSet::new();
    let all = tokens(language, call);
    let mut ways: Vec<String> = Vec::new();
    let mut put = |span: &Range<usize>, text: &str| {
        let varied = format!("{}{text}{}", &call[..span.start], &call[span.end..]);
        if varied != call && found.insert(varied.clone()) {
            ways.push(varied);
        }
    };
    for (at, (token, span)) in all.iter().enumerate() {
        let text = &call[span.clone()];
        match token {
            Token::Number => numbers(text).iter().for_each(|number| put(span, number)),
            Token::Text => texts(language, text).iter().for_each(|text| put(span, text)),
            Token::Open if text == "[" => lists(call, &all, at, &mut put),
            _ => {}
        }
    }
    ways
}

fn numbers(text: &str) -> Vec<String> {
    if let Ok(number) = text.parse::<i64>() {
        let mut near = vec![(number + 1).to_string(), "0".into(), number.saturating_mul(2).to_string()];
        near.extend((number > 0).then(|| (number - 1).to_string()));
        return near;
    }
    match text.parse::<f64>() {
        Ok(number) => [number + 0.5, number * 2.0, 0.0].iter().map(|number| format!("{number:?}")).collect(),
        Err(_) => Vec::new(),
    }
}

fn texts(language: Language, text: &str) -> Vec<String> {
    let quote = &text[..1];
    let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
    if inner.contains('\\') || language == Language::Rust && quote == "'" {
        return Vec::new();
    }
    let reversed: String = inner.chars().rev().collect();
    let shorter: String = inner.chars().skip(1).collect();
    let cased: String =
        inner.chars().map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }).collect();
    [String::new(), reversed, shorter, format!("{inner}{inner}"), cased].map(|inner| format!("{quote}{inner}{quote}")).to_vec()
}

/// The list that opens at token `at`: empty, without its first and its last item, reversed, with its last item twice.
fn lists(call: &str, all: &[(Token, Range<usize>)], at: usize, put: &mut impl FnMut(&Range<usize>, &str)) {
    let begin = all[at].1.end;
    let (mut depth, mut starts, mut end) = (0, vec![begin], None);
    for (token, span) in &all[at..] {
        match token {
            Token::Open => depth += 1,
            Token::Close => depth -= 1,
            Token::Comma if depth == 1 => starts.push(span.end),
            _ => {}
        }
        if depth == 0 {
            end = Some(span.start);
            break;
        }
    }
    let Some(end) = end.filter(|end| !call[begin..*end].trim().is_empty()) else { return };
    let ends = starts.iter().skip(1).map(|start| start - 1).chain([end]);
    let items: Vec<&str> = starts.iter().zip(ends).filter_map(|(start, end)| call.get(*start..end).map(str::trim)).collect();
    let whole = begin..end;
    let mut lay = |items: &[&str]| put(&whole, &items.join(", "));
    lay(&[]);
    lay(&items[1..]);
    lay(&items[..items.len() - 1]);
    lay(&items.iter().rev().copied().collect::<Vec<_>>());
    lay(&[&items[..], &items[items.len() - 1..]].concat());
}

/// The lines of a test that bring names into scope.
fn prelude(language: Language, code: &str) -> Vec<&str> {
    let brings = |line: &&str| match language {
        Language::Python => line.starts_with("import ") || line.starts_with("from "),
        Language::Rust => line.trim_start().starts_with("use "),
        // The file's own exports are enough.
        Language::Javascript | Language::Shell | Language::Other => false,
    };
    code.lines().filter(brings).collect()
}

/// A program that makes the `calls`, for a trial's `probe`: it lies beside the tool's file `path`. `None` in a language that has none.
/// `tests` are where the calls come from.
pub fn probe(language: Language, path: &str, tests: &[&str], calls: &[String]) -> Option<String> {
    let mut lines: Vec<&str> = Vec::new();
    for line in tests.iter().flat_map(|test| prelude(language, test)) {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    let stem = stem(path);
    let file = path.rsplit('/').next().unwrap_or(path);
    // What a test imports from elsewhere may not be found from here, and need not be.
    let tried = |line: &&str| format!("try:\n    {line}\nexcept Exception:\n    pass\n");
    let imports: String = lines.iter().map(tried).collect();
    let lines = lines.join("\n");
    let list = |before: &str| calls.iter().map(|call| format!("    {before}{call},\n")).collect::<String>();
    Some(match language {
        Language::Python => {
            let import =
                format!("from importlib import import_module as fractal_import\nfractal_tool = vars(fractal_import({stem:?}))\n");
            let names = "globals().update({name: value for name, value in fractal_tool.items() if not name.startswith('__')})\n";
            format!("{import}{names}{imports}fractal_calls = [\n{}]\n{PYTHON}", list("lambda: "))
        }
        Language::Javascript => {
            let import = format!("Object.assign(globalThis, require({:?}));\n", format!("./{file}"));
            format!("{import}const fractalCalls = [\n{}];\n{JAVASCRIPT}", list("() => "))
        }
        Language::Rust => {
            let calls: String = calls.iter().map(|call| format!("    fractal_answer(|| {call});\n")).collect();
            format!("{RUST}\npub fn fractal_probe() {{\n{lines}\n{calls}}}\n")
        }
        Language::Shell | Language::Other => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_a_test_with_nothing_but_literals_are_found() {
        let functions = ["f".to_string(), "g".to_string()];
        let code = "from tool import *\nassert f([1, (2, 3)], ')') == 4\nassert h.f(1) == g(x) and g(f(2))\nif(tool.f(3))";
        assert_eq!(calls(Language::Python, "a/tool.py", code, &functions), ["f([1, (2, 3)], ')')", "g(f(2))", "f(2)", "f(3)"]);
        assert_eq!(
            calls(Language::Rust, "src/lib.rs", "assert!(f(vec![1, 2], \"a\".to_string()) == 3)", &functions),
            ["f(vec![1, 2], \"a\".to_string())"]
        );
        assert!(calls(Language::Python, "a.py", "f(1", &functions).is_empty());
    }

    #[test]
    fn each_literal_is_varied_alone() {
        let ways = varied(Language::Python, "f([1, 2, 3], 'ab', 0.5)");
        for way in [
            "f([], 'ab', 0.5)",
            "f([2, 3], 'ab', 0.5)",
            "f([1, 2], 'ab', 0.5)",
            "f([3, 2, 1], 'ab', 0.5)",
            "f([1, 2, 3, 3], 'ab', 0.5)",
        ] {
            assert!(ways.iter().any(|known| known == way), "{way}: {ways:?}");
        }
        for way in ["f([1, 2, 4], 'ab', 0.5)", "f([1, 2, 3], '', 0.5)", "f([1, 2, 3], 'ba', 0.5)", "f([1, 2, 3], 'ab', 1.0)"] {
            assert!(ways.iter().any(|known| known == way), "{way}: {ways:?}");
        }
        assert!(varied(Language::Rust, "f(-1)").iter().all(|way| way.contains("-")));
        assert!(varied(Language::Python, "f('a\\n')").is_empty());
    }
}
