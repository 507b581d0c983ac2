//! Rust text as the rules of `tidy.rs` see it: comments, strings and tests are blanks, everything else stays where it is.
//!
//! A small lexer and no parser: it knows what rustfmt leaves of the language, and that is what this repository holds.

/// Rust text without what is not code. Lines keep their numbers.
pub struct Source {
    code: Vec<char>,
}

impl Source {
    /// Takes out comments and the content of strings and characters.
    pub fn new(text: &str) -> Source {
        let mut lexer = Lexer { text: text.chars().collect(), at: 0, code: Vec::new() };
        while lexer.at < lexer.text.len() {
            lexer.step();
        }
        Source { code: lexer.code }
    }

    /// Takes out what follows `#[cfg(test)]` and `#[cfg(all(test, …))]` as well.
    pub fn without_tests(text: &str) -> Source {
        let mut source = Source::new(text);
        for mark in ["#[cfg(test)", "#[cfg(all(test,"] {
            let mark: Vec<char> = mark.chars().collect();
            while let Some(start) = source.find(&mark) {
                let attribute = source.code[start..].iter().take_while(|c| **c != ']').count();
                let end = source.end_of_item(start + attribute + 1);
                source.code[start..end].iter_mut().filter(|c| **c != '\n').for_each(|c| *c = ' ');
            }
        }
        source
    }

    fn find(&self, wanted: &[char]) -> Option<usize> {
        (0..self.code.len()).find(|at| self.code[*at..].starts_with(wanted))
    }

    /// Past the `;` or the closing brace of what begins at `from`.
    fn end_of_item(&self, from: usize) -> usize {
        let mut depth = 0_usize;
        for at in from..self.code.len() {
            match self.code[at] {
                '{' | '(' | '[' => depth += 1,
                ')' | ']' => depth = depth.saturating_sub(1),
                '}' if depth <= 1 => return at + 1,
                '}' => depth -= 1,
                ';' if depth == 0 => return at + 1,
                _ => {}
            }
        }
        self.code.len()
    }

    fn line(&self, at: usize) -> usize {
        1 + self.code[..at].iter().filter(|c| **c == '\n').count()
    }

    fn word(&self, from: usize) -> String {
        self.code[from..].iter().take_while(|c| is_word(**c)).collect()
    }

    fn begins_word(&self, at: usize) -> bool {
        is_word(self.code[at]) && (at == 0 || !is_word(self.code[at - 1]))
    }

    fn skip_blanks(&self, mut at: usize) -> usize {
        while self.code.get(at).is_some_and(|c| c.is_whitespace()) {
            at += 1;
        }
        at
    }

    /// Lines on which the word stands by itself.
    pub fn lines_with(&self, wanted: &str) -> Vec<usize> {
        let wanted: Vec<char> = wanted.chars().collect();
        let touches = |a: Option<&char>, b: Option<&char>| a.is_some_and(|c| is_word(*c)) && b.is_some_and(|c| is_word(*c));
        let alone = |at: &usize| {
            let before = at.checked_sub(1).and_then(|before| self.code.get(before));
            !touches(before, wanted.first()) && !touches(wanted.last(), self.code.get(at + wanted.len()))
        };
        let places = (0..self.code.len()).filter(|at| self.code[*at..].starts_with(&wanted));
        places.filter(alone).map(|at| self.line(at)).collect()
    }

    /// Every path with at least two parts and the line it begins on, groups written out: `a::{b, c::d}` is `a::b` and `a::c::d`.
    pub fn paths(&self) -> Vec<(usize, String)> {
        let mut paths = Vec::new();
        let mut at = 0;
        while at < self.code.len() {
            if self.begins_word(at) {
                let (begin, mut found) = (at, Vec::new());
                at = self.path(at, "", &mut found);
                found.retain(|path| path.contains("::"));
                paths.extend(found.into_iter().map(|path| (self.line(begin), path)));
            } else {
                at += 1;
            }
        }
        paths
    }

    /// Reads the path that begins at `at` into `found` and returns where it ends.
    fn path(&self, mut at: usize, prefix: &str, found: &mut Vec<String>) -> usize {
        let mut path = prefix.to_string();
        loop {
            let word = self.word(at);
            at += word.chars().count();
            path.push_str(&word);
            if self.code.get(at..at + 2) != Some(&[':', ':']) {
                found.push(path);
                return at;
            }
            path.push_str("::");
            at = self.skip_blanks(at + 2);
            match self.code.get(at) {
                Some('{') => return self.group(at + 1, &path, found),
                Some(c) if is_word(*c) => {}
                _ => {
                    found.push(path.trim_end_matches(':').to_string());
                    return at;
                }
            }
        }
    }

    fn group(&self, mut at: usize, prefix: &str, found: &mut Vec<String>) -> usize {
        while let Some(c) = self.code.get(at) {
            match c {
                '}' => return at + 1,
                c if is_word(*c) && self.word(at) == "as" => {
                    at = self.skip_blanks(at + 2);
                    at += self.word(at).chars().count();
                }
                c if is_word(*c) => at = self.path(at, prefix, found),
                _ => at += 1,
            }
        }
        at
    }

    /// Every function with a body: its line, its name, and its lines from `fn` to the closing brace.
    pub fn functions(&self) -> Vec<(usize, String, usize)> {
        let mut functions = Vec::new();
        for at in (0..self.code.len()).filter(|at| self.begins_word(*at) && self.word(*at) == "fn") {
            let name = self.word(self.skip_blanks(at + 2));
            // Without a name it is the type of a function.
            let end = if name.is_empty() { at } else { self.end_of_item(at) };
            if self.code[at..end].last() == Some(&'}') {
                functions.push((self.line(at), name, self.line(end) - self.line(at) + 1));
            }
        }
        functions
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

struct Lexer {
    text: Vec<char>,
    at: usize,
    code: Vec<char>,
}

impl Lexer {
    fn looking_at(&self, wanted: &str) -> bool {
        let mut here = self.text[self.at..].iter();
        wanted.chars().all(|c| here.next() == Some(&c))
    }

    /// Keeps `count` characters as they are.
    fn keep(&mut self, count: usize) {
        let end = (self.at + count).min(self.text.len());
        self.code.extend_from_slice(&self.text[self.at..end]);
        self.at = end;
    }

    /// Blanks everything up to `end`.
    fn blank(&mut self, end: usize) {
        let end = end.min(self.text.len());
        self.code.extend(self.text[self.at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        self.at = end;
    }

    fn step(&mut self) {
        match self.text[self.at] {
            '/' if self.looking_at("//") => {
                let line = self.text[self.at..].iter().take_while(|c| **c != '\n').count();
                self.blank(self.at + line);
            }
            '/' if self.looking_at("/*") => self.block_comment(),
            '"' => self.string(),
            '\'' => self.character(),
            c if is_word(c) => self.word(),
            _ => self.keep(1),
        }
    }

    fn block_comment(&mut self) {
        let (mut depth, mut end) = (0, self.at);
        while end < self.text.len() {
            match self.text.get(end..end + 2) {
                Some(['/', '*']) => (depth, end) = (depth + 1, end + 2),
                Some(['*', '/']) => (depth, end) = (depth - 1, end + 2),
                _ => end += 1,
            }
            if depth == 0 {
                break;
            }
        }
        self.blank(end);
    }

    fn string(&mut self) {
        let mut end = self.at + 1;
        while end < self.text.len() && self.text[end] != '"' {
            end += if self.text[end] == '\\' { 2 } else { 1 };
        }
        self.blank(end + 1);
    }

    /// A character in quotes, or the quote of a lifetime.
    fn character(&mut self) {
        let rest = &self.text[self.at + 1..];
        match (rest.first(), rest.get(1)) {
            (Some('\\'), _) => {
                let length = rest.iter().skip(2).take_while(|c| **c != '\'').count();
                self.blank(self.at + length + 4);
            }
            (Some(_), Some('\'')) => self.blank(self.at + 3),
            _ => self.keep(1),
        }
    }

    /// A word, or a raw string that begins like one.
    fn word(&mut self) {
        let word: String = self.text[self.at..].iter().take_while(|c| is_word(**c)).collect();
        let after = self.at + word.chars().count();
        let hashes = self.text[after..].iter().take_while(|c| **c == '#').count();
        let raw = matches!(word.as_str(), "r" | "br" | "cr") && self.text.get(after + hashes) == Some(&'"');
        if !raw {
            return self.keep(word.chars().count());
        }
        let closing: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
        let content = after + hashes + 1;
        let end = (content..self.text.len()).find(|at| self.text[*at..].starts_with(&closing));
        self.blank(end.map_or(self.text.len(), |end| end + closing.len()));
    }
}

#[test]
fn comments_and_strings_are_blanks_and_lines_keep_their_numbers() {
    let text = "a /* b /* c */ d */ e // f\n\"g \\\" h\" r#\"i \" j\"# 'k' '\\'' &'l m\nn";
    let source = Source::new(text);
    let words: String = source.code.iter().collect();
    assert_eq!(words.split_whitespace().collect::<Vec<_>>(), ["a", "e", "&'l", "m", "n"]);
    assert_eq!(source.lines_with("n"), [3]);
}

#[test]
fn paths_are_written_out() {
    let paths = |text| Source::new(text).paths().into_iter().map(|(_, path)| path).collect::<Vec<_>>();
    assert_eq!(paths("use a::{self, b as x, c::{d, e}};"), ["a::self", "a::b", "a::c::d", "a::c::e"]);
    assert_eq!(paths("let x: fn(u8) = f(a::b::<T>(y), z);"), ["a::b"]);
}

#[test]
fn tests_are_taken_out_and_what_follows_them_stays() {
    let words = |text| Source::without_tests(text).code.iter().collect::<String>().split_whitespace().collect::<String>();
    assert_eq!(words("a\n#[cfg(test)]\nmod tests { fn b() {} }\nc"), "ac");
    assert_eq!(words("a\n#[cfg(all(test, feature = \"x\"))]\nmod tests {}\nc\n#[cfg(test)]\nmod tests;\nd"), "acd");
    assert_eq!(words("#[cfg(not(test))] a"), "#[cfg(not(test))]a");
}
