//! JSON as text that parts can be left out of: numbers, names and escapes stay as they were written, blanks between tokens go.

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Json {
    /// Elements; members with their name and colon.
    List { open: char, close: char, items: Vec<(String, Json)> },
    /// Characters as they are written, each escape a piece.
    Text(Vec<String>),
    /// A number or a word.
    Atom(String),
}

impl Json {
    /// `None` for what is no JSON, or is one plain value: that is text like any other.
    pub(super) fn read(bytes: &[u8]) -> Option<Json> {
        // Also bounds the depth.
        serde_json::from_slice::<serde_json::Value>(bytes).ok()?;
        let mut reader = Reader { rest: std::str::from_utf8(bytes).ok()? };
        Some(reader.value()?).filter(|json| json.items().is_some())
    }

    pub(super) fn items(&self) -> Option<&[(String, Json)]> {
        match self {
            Json::List { items, .. } => Some(items),
            _ => None,
        }
    }

    pub(super) fn characters(&self) -> Option<&[String]> {
        match self {
            Json::Text(pieces) => Some(pieces),
            _ => None,
        }
    }

    /// The same kind of list with other items.
    pub(super) fn with_items(&self, items: &[(String, Json)]) -> Json {
        match self {
            Json::List { open, close, .. } => Json::List { open: *open, close: *close, items: items.to_vec() },
            other => other.clone(),
        }
    }

    /// The value that the positions in lists lead to.
    pub(super) fn at(&self, path: &[usize]) -> Option<&Json> {
        path.iter().try_fold(self, |json, at| json.items()?.get(*at).map(|(_, value)| value))
    }

    /// The same with another value there.
    pub(super) fn replaced(&self, path: &[usize], by: Json) -> Json {
        let Some((first, rest)) = path.split_first() else { return by };
        let mut json = self.clone();
        if let Json::List { items, .. } = &mut json
            && let Some((_, value)) = items.get_mut(*first)
        {
            *value = value.replaced(rest, by);
        }
        json
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = String::new();
        self.write(&mut out);
        out.into_bytes()
    }

    fn write(&self, out: &mut String) {
        match self {
            Json::Atom(text) => out.push_str(text),
            Json::Text(pieces) => {
                out.push('"');
                pieces.iter().for_each(|piece| out.push_str(piece));
                out.push('"');
            }
            Json::List { open, close, items } => {
                out.push(*open);
                for (at, (name, value)) in items.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    out.push_str(name);
                    value.write(out);
                }
                out.push(*close);
            }
        }
    }
}

/// Reads text that is known to be JSON; `None` would mean that it is not.
struct Reader<'t> {
    rest: &'t str,
}

impl<'t> Reader<'t> {
    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn take(&mut self, bytes: usize) -> Option<&'t str> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(taken)
    }

    fn value(&mut self) -> Option<Json> {
        self.blanks();
        match self.rest.chars().next()? {
            '{' => self.list('{', '}'),
            '[' => self.list('[', ']'),
            '"' => Some(Json::Text(self.string()?)),
            _ => {
                let end = self.rest.find([',', ']', '}', ' ', '\t', '\n', '\r']).unwrap_or(self.rest.len());
                Some(Json::Atom(self.take(end)?.to_string()))
            }
        }
    }

    fn list(&mut self, open: char, close: char) -> Option<Json> {
        self.take(1)?;
        let mut items = Vec::new();
        loop {
            self.blanks();
            if self.rest.starts_with([close, ',']) && self.take(1)?.starts_with(close) {
                return Some(Json::List { open, close, items });
            }
            self.blanks();
            let mut name = String::new();
            if open == '{' {
                name = format!("\"{}\":", self.string()?.concat());
                self.blanks();
                self.take(1)?;
            }
            items.push((name, self.value()?));
        }
    }

    /// The pieces of a string: characters and escapes, a pair of surrogates as one.
    fn string(&mut self) -> Option<Vec<String>> {
        self.take(1)?;
        let mut pieces: Vec<String> = Vec::new();
        loop {
            let first = self.rest.chars().next()?;
            let length = match first {
                '"' => {
                    self.take(1)?;
                    return Some(pieces);
                }
                '\\' if self.rest[1..].starts_with('u') => 6,
                '\\' => 2,
                _ => first.len_utf8(),
            };
            let piece = self.take(length)?;
            let low = |piece: &str| {
                piece.len() == 6
                    && piece.as_bytes().get(2).is_some_and(|c| c.eq_ignore_ascii_case(&b'd'))
                    && piece.as_bytes().get(3).is_some_and(|c| matches!(c.to_ascii_lowercase(), b'c'..=b'f'))
            };
            match pieces.last_mut() {
                Some(before) if low(piece) && before.starts_with("\\u") => before.push_str(piece),
                _ => pieces.push(piece.to_string()),
            }
        }
    }
}
