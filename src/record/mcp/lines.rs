//! Messages in a stream of bytes: one a line. A line that is too long to keep is skimmed for what tells which call it belongs to.
//!
//! Deliberately not here: what a message means. The memory that this takes is bounded whatever flows.

use memchr::{memchr, memchr2};

/// Longer lines are not kept.
const LONGEST: usize = 4 << 20;
/// Of a value that is skimmed, quotes included. Longer ones are no identities or names that we could use.
const LONGEST_VALUE: usize = 300;

/// A line without its line feed.
#[derive(Debug, PartialEq)]
pub(super) enum Line {
    Whole(Vec<u8>),
    Long(Skimmed),
}

impl Line {
    /// Bytes that it holds.
    pub(super) fn held(&self) -> usize {
        if let Line::Whole(bytes) = self { bytes.len() } else { 0 }
    }
}

/// What was seen of a line that is too long: values as JSON text, when the line is one well-formed object.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Skimmed {
    pub(super) length: usize,
    pub(super) id: Option<Vec<u8>>,
    pub(super) method: Option<Vec<u8>>,
    /// `params.name`
    pub(super) name: Option<Vec<u8>>,
    pub(super) error: bool,
    /// `result.isError`
    pub(super) failed: bool,
}

/// One side's stream.
#[derive(Default)]
pub(super) struct Lines {
    open: Vec<u8>,
    long: Option<Skim>,
}

impl Lines {
    /// Takes the next bytes, and hands out the lines that end in them. Empty ones are left out.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut emit: impl FnMut(Line)) {
        while let Some(end) = memchr(b'\n', bytes) {
            self.add(&bytes[..end]);
            bytes = &bytes[end + 1..];
            self.finish().into_iter().for_each(&mut emit);
        }
        self.add(bytes);
    }

    /// The line that is open, as if it ended here.
    pub(super) fn finish(&mut self) -> Option<Line> {
        if let Some(skim) = self.long.take() {
            return Some(Line::Long(skim.finish()));
        }
        Some(std::mem::take(&mut self.open)).filter(|line| !line.is_empty()).map(Line::Whole)
    }

    fn add(&mut self, bytes: &[u8]) {
        if let Some(skim) = &mut self.long {
            skim.feed(bytes);
        } else if self.open.len() + bytes.len() <= LONGEST {
            self.open.extend_from_slice(bytes);
        } else {
            let mut skim = Skim::default();
            skim.feed(&std::mem::take(&mut self.open));
            skim.feed(bytes);
            self.long = Some(skim);
        }
    }
}

/// Reads JSON as it flows by, and remembers scalar values of the outermost object and of the objects in it.
#[derive(Default)]
struct Skim {
    found: Skimmed,
    /// Brackets that are open.
    depth: usize,
    /// Of the two outermost brackets.
    levels: [Level; 2],
    string: bool,
    escaped: bool,
    /// The string or scalar that is being read, down to the second level.
    token: Vec<u8>,
    /// The outermost bracket has been closed.
    closed: bool,
    /// Something stands outside of the outermost brackets.
    malformed: bool,
}

#[derive(Default)]
struct Level {
    object: bool,
    at_key: bool,
    key: Vec<u8>,
}

impl Skim {
    fn feed(&mut self, mut bytes: &[u8]) {
        self.found.length += bytes.len();
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.string && !self.escaped && !self.is_kept() {
                let Some(end) = memchr2(b'"', b'\\', bytes) else { return };
                self.in_string(bytes[end]);
                bytes = &bytes[end + 1..];
                continue;
            }
            bytes = rest;
            if self.string { self.in_string(byte) } else { self.outside(byte) }
        }
    }

    fn is_kept(&self) -> bool {
        self.depth <= 2 && self.token.len() < LONGEST_VALUE
    }

    fn in_string(&mut self, byte: u8) {
        self.keep(byte);
        if std::mem::take(&mut self.escaped) {
        } else if byte == b'\\' {
            self.escaped = true;
        } else if byte == b'"' {
            self.string = false;
            match self.depth {
                depth @ 1..=2 if self.levels[depth - 1].at_key => self.levels[depth - 1].key = std::mem::take(&mut self.token),
                _ => self.value(),
            }
        }
    }

    fn outside(&mut self, byte: u8) {
        let first = !self.closed && matches!(byte, b'{' | b'[');
        self.malformed |= self.depth == 0 && !first && !byte.is_ascii_whitespace();
        match byte {
            b'"' => {
                self.token.clear();
                self.keep(byte);
                self.string = true;
            }
            b'{' | b'[' => self.open(byte == b'{'),
            b'}' | b']' => {
                self.value();
                self.closed |= self.depth == 1;
                self.depth = self.depth.saturating_sub(1);
            }
            b',' => {
                self.value();
                if let Some(level) = self.level() {
                    level.at_key = level.object;
                }
            }
            b':' => {
                if let Some(level) = self.level() {
                    level.at_key = false;
                }
            }
            b' ' | b'\t' | b'\r' => self.value(),
            byte => self.keep(byte),
        }
    }

    fn open(&mut self, object: bool) {
        self.found.error |= self.depth == 1 && self.levels[0].key == b"\"error\"";
        if let Some(level) = self.levels.get_mut(self.depth) {
            *level = Level { object, at_key: object, key: Vec::new() };
        }
        self.depth += 1;
        self.token.clear();
    }

    fn keep(&mut self, byte: u8) {
        if self.is_kept() {
            self.token.push(byte);
        }
    }

    /// The innermost open bracket, if it is one of the two outermost.
    fn level(&mut self) -> Option<&mut Level> {
        self.levels.get_mut(self.depth.checked_sub(1)?)
    }

    /// A scalar value has ended.
    fn value(&mut self) {
        let token = std::mem::take(&mut self.token);
        if token.is_empty() || token.len() >= LONGEST_VALUE || !self.levels[0].object {
            return;
        }
        let [outer, inner] = &self.levels;
        match (self.depth, outer.key.as_slice(), inner.key.as_slice()) {
            (1, b"\"id\"", _) => self.found.id = Some(token),
            (1, b"\"method\"", _) => self.found.method = Some(token),
            (2, b"\"params\"", b"\"name\"") if inner.object => self.found.name = Some(token),
            (2, b"\"result\"", b"\"isError\"") if inner.object => self.found.failed = token == b"true",
            _ => {}
        }
    }

    fn finish(self) -> Skimmed {
        if self.malformed || self.depth > 0 || self.string {
            return Skimmed { length: self.found.length, ..Skimmed::default() };
        }
        self.found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<Line> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        chunks.iter().for_each(|chunk| lines.feed(chunk, |line| found.push(line)));
        found.extend(lines.finish());
        found
    }

    fn skimmed(text: &[u8], chunk: usize) -> Skimmed {
        let mut skim = Skim::default();
        text.chunks(chunk).for_each(|chunk| skim.feed(chunk));
        skim.finish()
    }

    #[test]
    fn lines_are_cut_at_line_feeds_wherever_the_chunks_end() {
        let whole = |text: &str| Line::Whole(text.as_bytes().to_vec());
        assert_eq!(lines(&[b"a\r\n\nb", b"c\n", b"d"]), [whole("a\r"), whole("bc"), whole("d")]);
        assert_eq!(lines(&[b"\n\n", b""]), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_skimmed_and_the_next_one_is_kept() {
        let text = "x".repeat(LONGEST);
        let long =
            format!(r#"{{"result":{{"content":[{{"isError":1,"text":"{text}"}}],"isError":true}},"jsonrpc":"2.0","id":7}}"#);
        let found = Skimmed { length: long.len(), id: Some(b"7".to_vec()), failed: true, ..Skimmed::default() };
        let all = format!("{long}\n{{}}\n");
        for size in [1 << 16, all.len()] {
            let chunks: Vec<&[u8]> = all.as_bytes().chunks(size).collect();
            assert_eq!(lines(&chunks), [Line::Long(skimmed(long.as_bytes(), 1000)), Line::Whole(b"{}".to_vec())]);
        }
        assert_eq!(skimmed(long.as_bytes(), 1000), found);
    }

    #[test]
    fn what_is_no_object_tells_nothing() {
        for text in
            [r#"[{"id":1}]"#, r#"{"id":1"#, r#"{"id":1}x"#, r#"x{"id":1}"#, r#"{"id":1}{"id":2}"#, r#"{"id":1,"a":"}"#, "}{"]
        {
            assert_eq!(skimmed(text.as_bytes(), 3), Skimmed { length: text.len(), ..Skimmed::default() }, "{text}");
        }
        let long_key = format!(r#"{{"id":1,"{}":{{"a":2}},"b":"{}"}}"#, "k".repeat(400), "v\\\"".repeat(400));
        assert_eq!(skimmed(long_key.as_bytes(), 7).id, Some(b"1".to_vec()));
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let keys = prop::sample::select(vec!["id", "method", "params", "result", "error", "isError", "name", "x\"y", "\\"]);
        let text = prop::sample::select(vec!["", "id", "\"", "\\", "\":{", "}],\"id\":9", "ä\u{1}\n"]).prop_map(Value::from);
        let scalar =
            prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), any::<i32>().prop_map(Value::from), text];
        scalar.prop_recursive(4, 40, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map(keys.clone(), inner, 0..6)
                    .prop_map(|map| map.into_iter().map(|(key, value)| (key.to_string(), value)).collect::<Value>()),
            ]
        })
    }

    proptest! {
        #[test]
        fn skimming_finds_what_a_parser_finds(value in json_value(), chunk in 1..20_usize, pretty: bool) {
            let text = if pretty { format!(" {value:#}\r").replace('\n', " ") } else { value.to_string() };
            let scalar = |value: Option<&Value>| value.filter(|v| !v.is_object() && !v.is_array()).map(|v| v.to_string().into_bytes());
            let found = match &value {
                Value::Object(_) => Skimmed {
                    length: text.len(),
                    id: scalar(value.get("id")),
                    method: scalar(value.get("method")),
                    name: scalar(value.pointer("/params/name")),
                    error: value.get("error").is_some_and(|error| error.is_object() || error.is_array()),
                    failed: value.pointer("/result/isError") == Some(&json!(true)),
                },
                _ => Skimmed { length: text.len(), ..Skimmed::default() },
            };
            prop_assert_eq!(skimmed(text.as_bytes(), chunk), found);
        }
    }
}
