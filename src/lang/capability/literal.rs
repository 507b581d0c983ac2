//! The values of texts as a source writes them. Owns quotes and escapes; nothing about what a text means.

use super::super::Tree;

/// Whether this kind of node is a text, in any of the languages.
pub(in crate::lang) fn is_text(kind: &str) -> bool {
    const TEXTS: [&str; 8] = [
        "string",
        "concatenated_string",
        "template_string",
        "string_literal",
        "raw_string_literal",
        "char_literal",
        "raw_string",
        "ansi_c_string",
    ];
    TEXTS.contains(&kind)
}

/// The value of a text without parts that are computed; `None` for any other node.
pub(in crate::lang) fn text_of(tree: &Tree, at: usize, source: &str) -> Option<String> {
    const COMPUTED: [&str; 7] = [
        "interpolation",
        "template_substitution",
        "simple_expansion",
        "expansion",
        "command_substitution",
        "arithmetic_expansion",
        "process_substitution",
    ];
    let item = tree.item(at);
    if !is_text(item.kind) || tree.items()[at..item.after].iter().any(|inner| COMPUTED.contains(&inner.kind)) {
        return None;
    }
    if item.kind == "concatenated_string" {
        let parts: Option<Vec<String>> = tree.named(at).into_iter().map(|part| text_of(tree, part, source)).collect();
        return parts.map(|parts| parts.concat());
    }
    Some(unquoted(tree.text(at, source)))
}

/// Without prefix and quotes, escapes resolved.
fn unquoted(text: &str) -> String {
    let inner = text.trim_start_matches(|c: char| c.is_ascii_alphabetic() || c == '$');
    let is_raw = text[..text.len() - inner.len()].contains(['r', 'R']);
    let inner = inner.trim_start_matches('#').trim_end_matches('#');
    let inner = ["\"\"\"", "'''", "\"", "'", "`"]
        .iter()
        .find_map(|quote| inner.strip_prefix(quote).map(|rest| rest.strip_suffix(quote).unwrap_or(rest)))
        .unwrap_or(inner);
    if is_raw { inner.to_string() } else { unescaped(inner) }
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match rest.next() {
            Some('n') => plain.push('\n'),
            Some('t') => plain.push('\t'),
            Some('r') => plain.push('\r'),
            Some('0') => plain.push('\0'),
            Some('\n') => {}
            Some('x') => plain.extend(code(&mut rest, 2)),
            Some('u') => plain.extend(code(&mut rest, 4)),
            Some('U') => plain.extend(code(&mut rest, 8)),
            Some(other) => plain.push(other),
            None => {}
        }
    }
    plain
}

/// The character of `length` hexadecimal digits, or of those between braces.
fn code(rest: &mut std::str::Chars<'_>, length: usize) -> Option<char> {
    let text = rest.as_str();
    let (digits, used) = match text.strip_prefix('{').and_then(|inner| inner.find('}').map(|end| &inner[..end])) {
        Some(inner) => (inner, inner.len() + 2),
        None => (text.get(..length)?, length),
    };
    let value = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
    *rest = text.get(used..).unwrap_or_default().chars();
    value
}
