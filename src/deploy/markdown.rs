//! Text from outside in Markdown that a forge renders: it stays text. Opens no link, no markup but code spans, no comment, and mentions nobody.

use crate::model::plain_line;

/// In a cell of a table or a line of a list: one line. What stands between backquotes stays code.
pub(super) fn cell(text: &str) -> String {
    // A space of no width keeps what follows from being a name, a number or an address.
    let line = plain_line(text, 300);
    // A backquote without a partner would swallow what follows.
    let paired = line.matches('`').count() / 2 * 2;
    let (mut seen, mut escaped) = (0, String::with_capacity(line.len() + 8));
    for c in line.chars() {
        let is_code = seen % 2 == 1;
        match c {
            '`' if seen == paired => escaped.push('\''),
            '`' => {
                seen += 1;
                escaped.push('`');
            }
            '|' => escaped.push_str("\\|"),
            '<' if !is_code => escaped.push_str("&lt;"),
            '&' if !is_code => escaped.push_str("&amp;"),
            '\\' | '[' | ']' | '*' | '_' | '~' | '!' if !is_code => escaped.extend(['\\', c]),
            '@' | '#' if !is_code => escaped.extend([c, '\u{200b}']),
            '-' if !is_code && refers(&escaped) => escaped.push_str("-\u{200b}"),
            '/' if !is_code && escaped.ends_with(':') => escaped.push_str("\u{200b}/"),
            '.' if !is_code && escaped.ends_with("www") => escaped.push_str("\u{200b}."),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Text of ours with text from outside in it, in a comment on a forge: one line, as in a cell.
pub fn shown(text: &str) -> String {
    cell(text)
}

/// In a commit message, a title or the line of a check: one line that mentions nobody and closes nothing, by number or by address.
pub fn inert(text: &str) -> String {
    let mut inert = String::new();
    for c in plain_line(text, 300).chars() {
        let breaks = match c {
            '@' | '#' => true,
            '-' => refers(&inert),
            '/' => inert.ends_with(':'),
            _ => false,
        };
        if c == '/' && breaks {
            inert.push('\u{200b}');
        }
        inert.push(c);
        if c != '/' && breaks {
            inert.push('\u{200b}');
        }
    }
    inert
}

/// Whether a hyphen and a number after this would be one of the forge's references: `GH-12`.
fn refers(before: &str) -> bool {
    let mut last = before.chars().rev();
    let gh =
        last.next().is_some_and(|c| c.eq_ignore_ascii_case(&'h')) && last.next().is_some_and(|c| c.eq_ignore_ascii_case(&'g'));
    gh && !last.next().is_some_and(char::is_alphanumeric)
}

/// In a code span.
pub(super) fn code(text: &str) -> String {
    plain_line(text, 120).replace('`', "'").replace('|', "\\|")
}

/// How the lines begin that mark a text of ours as ours.
pub(super) const MARK: &str = "<!-- fractal:";

/// As a block of code: the fence is longer than any within, and no line looks like a mark of ours.
pub(super) fn block(language: &str, text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(3.max(longest + 1));
    let text: String = text.chars().map(|c| if crate::model::steers(c) && !matches!(c, '\n' | '\t') { '·' } else { c }).collect();
    let text = text.replace(MARK, "<!\u{200b}-- fractal:");
    format!("{fence}{language}\n{}\n{fence}", text.trim_end_matches('\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_stays_text() {
        let rows = [
            ("plain words", "plain words"),
            ("`a|b` and |", "`a\\|b` and \\|"),
            ("see [here](http://x)", "see \\[here\\](http:\u{200b}//x)"),
            ("`http://x` or www.x", "`http://x` or www\u{200b}.x"),
            ("\\[here](x)", "\\\\\\[here\\](x)"),
            ("<img src=x> &lt;", "&lt;img src=x> &amp;lt;"),
            ("<!-- fractal:end -->", "&lt;\\!-- fractal:end -->"),
            ("ask @someone about #12", "ask @\u{200b}someone about #\u{200b}12"),
            ("closes GH-12, high-12", "closes GH-\u{200b}12, high-12"),
            ("`@someone` in code", "`@someone` in code"),
            ("one ` alone <b>", "one ' alone &lt;b>"),
            ("`a` and ` alone @x", "`a` and ' alone @\u{200b}x"),
            ("two\nlines\u{202e}x", "two lines x"),
            ("::set-env name=A::b", "::set-env name=A::b"),
        ];
        for (text, expected) in rows {
            assert_eq!(cell(text), expected, "{text}");
        }
        assert_eq!(code("a `b` | c"), "a 'b' \\| c");
        assert_eq!(inert("fixes #12, `@x`\n"), "fixes #\u{200b}12, `@\u{200b}x`");
    }

    #[test]
    fn nothing_within_ends_a_block() {
        assert_eq!(block("diff", "+a\n"), "```diff\n+a\n```");
        assert_eq!(block("", "+```\n+````js\n"), "`````\n+```\n+````js\n`````");
        assert_eq!(block("text", "a\u{1b}[31mb\tc"), "```text\na·[31mb\tc\n```");
    }
}
