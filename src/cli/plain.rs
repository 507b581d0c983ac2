//! Recorded text on its way to people: whatever it holds, it is shown and does nothing to the terminal.
//!
//! Deliberately not here: text of one line, which `model::plain_line` makes; bytes that go to a pipe as they are.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::model::{Arg, steers};

/// Lines of one stream that are shown: from the beginning, and from the end.
const FIRST: usize = 60;
const LAST: usize = 20;
/// Characters of one line that are shown.
const LINE: usize = 2_000;
/// Bytes of what is not text that are shown.
const BYTES: usize = 64;

/// Text with everything that would steer a terminal written out, as `\x1b`. Ends of lines and tabs stay.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            c if !steers(c) => shown.push(c),
            '\r' => shown.push_str("\\r"),
            c if u32::from(c) < 0x100 => drop(write!(shown, "\\x{:02x}", u32::from(c))),
            c => drop(write!(shown, "\\u{{{:x}}}", u32::from(c))),
        }
    }
    shown
}

/// The same for text of ours with colours in it.
pub(super) fn visible_in_colour(text: &str) -> Cow<'_, str> {
    match text.chars().any(|c| steers(c) && !matches!(c, '\n' | '\t' | '\x1b')) {
        true => Cow::Owned(text.split('\x1b').map(visible).collect::<Vec<_>>().join("\x1b")),
        false => Cow::Borrowed(text),
    }
}

/// The lines in which a stream is shown, and what is left out of them.
pub(super) fn stream(bytes: &[u8]) -> Vec<String> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => text,
        _ => return dump(bytes),
    };
    let lines: Vec<&str> = text.lines().collect();
    let shown = |line: &&str| match line.char_indices().nth(LINE) {
        Some((end, _)) => format!("{}… ({} bytes more)", visible(&line[..end]), line.len() - end),
        None => visible(line),
    };
    if lines.len() <= FIRST + LAST {
        return lines.iter().map(shown).collect();
    }
    let (first, rest) = lines.split_at(FIRST);
    let (left_out, last) = rest.split_at(rest.len() - LAST);
    let gap = format!("… ({} lines left out)", left_out.len());
    first.iter().map(shown).chain([gap]).chain(last.iter().map(shown)).collect()
}

/// Bytes that are not text, as `hexdump -C` shows them.
fn dump(bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    for (row, part) in bytes.chunks(16).take(BYTES / 16).enumerate() {
        let hex: Vec<String> = part.iter().map(|byte| format!("{byte:02x}")).collect();
        let text: String = part.iter().map(|byte| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' }).collect();
        lines.push(format!("{:08x}  {:<47}  |{text}|", row * 16, hex.join(" ")));
    }
    if bytes.len() > BYTES {
        lines.push(format!("… ({} bytes more)", bytes.len() - BYTES));
    }
    lines
}

/// An argument as a shell reads it back, exactly: bare, in quotes, or in `$'…'` (bash, zsh, POSIX.1-2024) when it holds what
/// cannot be shown.
pub(super) fn quoted(arg: &Arg) -> String {
    let bare = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./:=,+@%".contains(byte);
    if !arg.0.is_empty() && arg.0.iter().all(bare) {
        return String::from_utf8_lossy(&arg.0).into_owned();
    }
    match std::str::from_utf8(&arg.0) {
        Ok(text) if !text.chars().any(steers) => format!("'{}'", text.replace('\'', r"'\''")),
        _ => {
            let mut quoted = String::from("$'");
            for byte in &arg.0 {
                match byte {
                    b'\'' | b'\\' => drop(write!(quoted, "\\{}", char::from(*byte))),
                    0x20..0x7f => quoted.push(char::from(*byte)),
                    _ => drop(write!(quoted, "\\x{byte:02x}")),
                }
            }
            quoted + "'"
        }
    }
}

/// JSON that says the same and does nothing to a terminal either: serde leaves DEL and the controls above it as they are, and
/// outside of its strings JSON has none of these characters.
pub(super) fn inert(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            ' '..='~' | '\n' => shown.push(c),
            c if steers(c) => drop(write!(shown, "\\u{:04x}", u32::from(c))),
            c => shown.push(c),
        }
    }
    // What commands a runner wherever it stands in a line.
    shown.replace("##[", "##\\u005b")
}

/// Text in which no line commands a runner of GitHub: it obeys lines that begin with `::` after whitespace, and `##[` anywhere in a line
/// (`ActionCommand.cs` of actions/runner). A space of no width takes that away, and nothing looks different.
pub(super) fn uncommanding(text: &str) -> String {
    let mut quiet = String::with_capacity(text.len() + 8);
    for line in text.replace("##[", "##\u{200b}[").split_inclusive(['\n', '\r']) {
        let command = line.trim_start();
        if command.starts_with("::") {
            quiet.push_str(&line[..line.len() - command.len()]);
            quiet.push('\u{200b}');
            quiet.push_str(command);
        } else {
            quiet.push_str(line);
        }
    }
    quiet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_written_out() {
        assert_eq!(visible("a\tb\n\u{1b}[2J\r\u{9b}1m\u{202e}x"), "a\tb\n\\x1b[2J\\r\\x9b1m\\u{202e}x");
        assert_eq!(visible_in_colour("\u{1b}[2mx\u{202e}\u{1b}[0m\n"), "\u{1b}[2mx\\u{202e}\u{1b}[0m\n");
        let json = serde_json::to_string("\u{1b}[2J \u{7f}\u{9b}\u{202e}ä").expect("JSON");
        assert!(!inert(&json).chars().any(steers));
        assert_eq!(serde_json::from_str::<String>(&inert(&json)).expect("JSON"), "\u{1b}[2J \u{7f}\u{9b}\u{202e}ä");
    }

    #[test]
    fn no_line_commands_a_runner_and_nothing_else_changes() {
        let same = "a :: b\n  # [x]\n#[x] ::\nwarning: x::y\n";
        assert_eq!(uncommanding(same), same);
        let hostile = "::add-mask::x\n \t::error::y\r::z::\n+ ##[set-env name=A]b\n##[group]c";
        let quiet = uncommanding(hostile);
        assert_eq!(quiet.replace('\u{200b}', ""), hostile);
        let commands = |line: &str| line.trim_start().starts_with("::") || line.contains("##[");
        assert!(!quiet.split(['\n', '\r']).any(commands), "{quiet:?}");
        let json = inert(&serde_json::to_string("a ##[error]b").expect("JSON"));
        assert!(!commands(&json) && serde_json::from_str::<String>(&json).is_ok_and(|text| text == "a ##[error]b"), "{json}");
    }

    #[test]
    fn long_streams_are_cut_in_the_middle_and_what_is_no_text_is_dumped() {
        let long: String = (0..200).map(|line| format!("{line}\n")).collect();
        let lines = stream(long.as_bytes());
        assert_eq!((lines.len(), lines[60].as_str(), lines[80].as_str()), (81, "… (120 lines left out)", "199"));
        assert_eq!(stream(b"\xffELF\0")[0], "00000000  ff 45 4c 46 00                                   |.ELF.|");
        assert_eq!(stream(&[0xff; 100])[4], "… (36 bytes more)");
        assert_eq!(stream("é".repeat(2_001).as_bytes())[0].chars().filter(|c| *c == 'é').count(), 2_000);
    }

    #[test]
    fn arguments_are_quoted_so_that_a_shell_reads_the_same_bytes() {
        let quoted = |bytes: &[u8]| super::quoted(&Arg(bytes.to_vec()));
        assert_eq!(quoted(b"--a=b/c.1"), "--a=b/c.1");
        assert_eq!(quoted(b""), "''");
        assert_eq!(quoted(b"it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(b"\x1b[2J'\xff"), r"$'\x1b[2J\'\xff'");
    }
}
