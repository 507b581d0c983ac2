//! Recorded text as a literal of a language: nothing but text, on one line wherever the language can say it, and harmless to look at.

use crate::model::steers;

/// In whose literals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notation {
    /// Python and JavaScript, with the quote that their tests prefer.
    Quoted(char),
    Rust,
    /// Any POSIX shell.
    Shell,
    /// Bash, which has escapes.
    Bash,
}

impl Notation {
    /// `None` for what cannot be written: NUL in a shell, and in a POSIX shell what steers a terminal.
    pub(super) fn literal(self, text: &str) -> Option<String> {
        match self {
            Notation::Quoted(preferred) => Some(quoted(text, preferred)),
            // `Debug` of text is defined as a literal of Rust. Characters that turn the direction of text are escaped by it.
            Notation::Rust => Some(format!("{text:?}")),
            Notation::Shell | Notation::Bash if text.contains('\0') => None,
            Notation::Bash if text.chars().any(steers) => Some(format!("$'{}'", escaped(text, |c| matches!(c, '\'' | '\\')))),
            Notation::Shell if text.chars().any(|c| steers(c) && !matches!(c, '\n' | '\t')) => None,
            // Single quotes end nowhere but at a quote, which is written outside of them.
            Notation::Shell | Notation::Bash => Some(format!("'{}'", text.replace('\'', r"'\''"))),
        }
    }
}

/// The format of a `printf` that prints the text, quoted for any shell.
pub(super) fn printf(text: &str) -> String {
    // A leading dash would be an option.
    let (dash, rest) = match text.strip_prefix('-') {
        Some(rest) => ("\\055", rest),
        None => ("", text),
    };
    format!("'{dash}{}'", escaped(&rest.replace('%', "%%"), |c| c == '\\').replace('\'', r"'\''"))
}

/// With a backslash before what `special` names, and bytes in octal for what steers a terminal.
fn escaped(text: &str, special: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if steers(c) => {
                let mut buffer = [0; 4];
                c.encode_utf8(&mut buffer).bytes().for_each(|byte| out.push_str(&format!("\\{byte:03o}")));
            }
            c => {
                if special(c) {
                    out.push('\\');
                }
                out.push(c);
            }
        }
    }
    out
}

/// What Python and JavaScript both read as this text. The other quote is taken where that spares backslashes.
fn quoted(text: &str, preferred: char) -> String {
    let other = if preferred == '"' { '\'' } else { '"' };
    let quote = if text.contains(preferred) && !text.contains(other) { other } else { preferred };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c if steers(c) || c == '\u{feff}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_text_cannot_leave_its_literal() {
        let literal = |notation: Notation, text| notation.literal(text).expect("can be written");
        assert_eq!(literal(Notation::Shell, "a'; rm -rf /; '"), r"'a'\''; rm -rf /; '\'''");
        assert_eq!(literal(Notation::Bash, "@test \"x\" {\n'\\\u{1b}"), r#"$'@test "x" {\n\'\\\033'"#);
        assert_eq!(literal(Notation::Quoted('"'), "\"\"\"\n\\'"), r#""\"\"\"\n\\'""#);
        assert_eq!(literal(Notation::Quoted('\''), "it's\0"), "\"it's\\u0000\"");
        assert_eq!(literal(Notation::Quoted('\''), "'\"\u{2028}${x}`"), r#"'\'"\u2028${x}`'"#);
        assert_eq!(literal(Notation::Rust, "\"#\n\\\u{202e}"), r##""\"#\n\\\u{202e}""##);
        assert_eq!(printf("-%s\n'\\"), r"'\055%%s\n'\''\\'");
        assert_eq!(Notation::Shell.literal("\u{1b}[2J"), None);
        assert_eq!(Notation::Bash.literal("\0"), None);
    }
}
