//! Answers that a patch knows by heart: literals that are a recorded input or output. Owns when a literal is one, and what is so
//! common that it says nothing; a tool may always ask for nothing, zero, one or an option.

use std::collections::{BTreeMap, BTreeSet};

use super::Tree;
use super::capability::{Finding, Grade, is_text, text_of};
use crate::model::Language;

/// What was recorded, and so could be learned by heart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whole arguments and standard inputs.
    pub inputs: Vec<String>,
    /// What runs printed, and what they should have printed. One that is there three times is an answer of a kind, and may be written down.
    pub outputs: Vec<String>,
}

/// Characters of a literal that says something by itself.
const TELLING: usize = 3;
/// Literals that anybody may need.
const COMMON: [&str; 32] = [
    "true",
    "false",
    "null",
    "none",
    "undefined",
    "nan",
    "inf",
    "yes",
    "no",
    "ok",
    "error",
    "0.0",
    "1.0",
    "0.5",
    "100",
    "1000",
    "10000",
    "1024",
    "255",
    "256",
    "360",
    "365",
    "366",
    "3600",
    "1e-9",
    "utf-8",
    "[[]]",
    "main",
    "(0,0)",
    "[0]",
    "[1]",
    "test",
];

/// Recorded words that one comparison may name before a person has to look at it.
const NAMED_MAX: usize = 2;
/// What is added to a number only to have it rounded otherwise is smaller than this.
const FUDGE: f64 = 1e-5;

/// Comparisons with recorded inputs that are answered with constants, or that name several of them, lists and tables that do, tiny numbers
/// that are added, and recorded outputs as literals, that `before` does not have.
pub fn hard_coded(language: Language, before: &str, after: &str, seen: &Seen) -> Vec<Finding> {
    let (Some(old), Some(new)) = (Tree::of(language, before), Tree::of(language, after)) else { return Vec::new() };
    let known = Known::of(seen);
    let (old, new) = (Reader { tree: &old, source: before }, Reader { tree: &new, source: after });
    let literals: BTreeSet<String> = old.literals().map(|(_, value)| value).collect();
    let mut asked: BTreeMap<String, usize> = BTreeMap::new();
    // Cases and entries of tables that the tool has: a fix may change what it answers there.
    let mut cases: BTreeSet<String> = BTreeSet::new();
    for question in (0..old.tree.items().len()).filter(|at| old.is_question(*at)) {
        *asked.entry(bare(old.text(question))).or_default() += 1;
        cases.extend(old.case(question));
    }
    let mut found = Vec::new();
    for question in (0..new.tree.items().len()).filter(|at| new.is_question(*at)) {
        match asked.get_mut(&bare(new.text(question))) {
            Some(count) if *count > 0 => *count -= 1,
            _ if new.case(question).is_some_and(|case| cases.contains(&case)) => {}
            _ => found.extend(new.judge(question, &known, &literals)),
        }
    }
    for (at, value) in new.literals() {
        let Some(grade) = known.output(&value).filter(|_| !literals.contains(&value) && new.is_answer(at)) else { continue };
        found.push(Finding::new(grade, new.tree.item(at).lines.0, "a literal is what a recorded run printed".into()));
    }
    found.extend((0..new.tree.items().len()).filter_map(|at| new.list_of_seen(at, &known, &literals)));
    let fudged = |reader: &Reader<'_>| -> Vec<(u32, String)> {
        (0..reader.tree.items().len())
            .filter(|at| reader.is_fudge(*at))
            .map(|at| (reader.tree.item(at).lines.0, bare(reader.text(at))))
            .collect()
    };
    let known_fudges: BTreeSet<String> = fudged(&old).into_iter().map(|(_, text)| text).collect();
    for (line, _) in fudged(&new).into_iter().filter(|(_, text)| !known_fudges.contains(text)) {
        found.push(Finding::new(Grade::Doubt, line, "a tiny number is added, which only large ones swallow".into()));
    }
    found.sort_by_key(|finding| (finding.line, std::cmp::Reverse(finding.grade)));
    found.dedup_by_key(|finding| finding.line);
    found
}

/// Recorded texts without white space.
struct Known {
    whole: BTreeSet<String>,
    tokens: BTreeSet<String>,
    /// Letters and digits between other characters.
    words: BTreeSet<String>,
    /// What stands between white space, brackets, quotes, and the like, and slashes.
    parts: BTreeSet<String>,
    outputs: BTreeMap<String, usize>,
    lines: BTreeSet<String>,
}

impl Known {
    fn of(seen: &Seen) -> Known {
        let apart = |c: char| c.is_whitespace() || ",;:=[](){}\"'".contains(c);
        let mut outputs = BTreeMap::new();
        for output in &seen.outputs {
            *outputs.entry(bare(output)).or_default() += 1;
        }
        let lines = seen.outputs.iter().filter(|output| output.trim().contains('\n'));
        Known {
            whole: seen.inputs.iter().map(|input| bare(input)).collect(),
            tokens: seen.inputs.iter().flat_map(|input| input.split(apart)).map(bare).collect(),
            parts: seen.inputs.iter().flat_map(|input| input.split(|c| apart(c) || c == '/')).map(bare).collect(),
            words: seen.inputs.iter().flat_map(|input| input.split(|c: char| !c.is_alphanumeric())).map(str::to_string).collect(),
            outputs,
            lines: lines.flat_map(|output| output.lines()).map(bare).collect(),
        }
    }

    fn is_input(&self, value: &str) -> bool {
        let says = value.chars().any(char::is_alphanumeric) && !value.starts_with('-') && !matches!(value, "0" | "1" | "2");
        says && !self.is_common(value) && (self.whole.contains(value) || self.tokens.contains(value))
    }

    /// Whether a text is a part of recorded inputs, or put together of nothing but such parts.
    fn names(&self, value: &str) -> bool {
        let mut words = value.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).peekable();
        let is_made_of = words.peek().is_some() && words.all(|word| self.words.contains(word));
        value.chars().count() > 1 && !self.is_common(value) && (is_made_of || self.parts.contains(value))
    }

    fn is_common(&self, value: &str) -> bool {
        COMMON.contains(&value.to_lowercase().as_str())
    }

    fn output(&self, value: &str) -> Option<Grade> {
        if value.chars().count() < TELLING || self.is_common(value) {
            return None;
        }
        match self.outputs.get(value) {
            // An answer to several inputs is one of a kind, such as "nothing found".
            Some(count) if *count >= 3 => None,
            Some(2) => Some(Grade::Doubt),
            Some(_) => Some(Grade::Refuse),
            None => self.lines.contains(value).then_some(Grade::Doubt),
        }
    }
}

/// One digit says nothing by itself: days of the week, columns, halves.
fn is_digit(value: &str) -> bool {
    value.len() == 1 && value.bytes().all(|byte| byte.is_ascii_digit())
}

/// Without white space and with one kind of quotes.
fn bare(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).map(|c| if c == '\'' { '"' } else { c }).collect()
}

struct Reader<'s> {
    tree: &'s Tree,
    source: &'s str,
}

impl<'s> Reader<'s> {
    fn kind(&self, at: usize) -> &'static str {
        self.tree.item(at).kind
    }

    fn text(&self, at: usize) -> &'s str {
        self.tree.text(at, self.source)
    }

    /// The value of a literal, or of a list of nothing but literals.
    fn literal(&self, at: usize) -> Option<String> {
        const NUMBERS: [&str; 5] = ["integer", "float", "number", "integer_literal", "float_literal"];
        const LISTS: [&str; 6] = ["list", "tuple", "set", "array", "array_expression", "dictionary"];
        let kind = self.kind(at);
        if is_text(kind) {
            return text_of(self.tree, at, self.source).map(|text| bare(&text));
        }
        let is_minus = matches!(kind, "unary_operator" | "unary_expression") && self.text(at).starts_with('-');
        if NUMBERS.contains(&kind) || (is_minus && self.tree.named(at).iter().all(|inner| NUMBERS.contains(&self.kind(*inner)))) {
            return Some(bare(self.text(at)));
        }
        let computes = |item: &super::Item| {
            matches!(
                item.kind,
                "identifier" | "call" | "call_expression" | "binary_operator" | "binary_expression" | "interpolation"
            )
        };
        let inner = &self.tree.items()[at..self.tree.item(at).after];
        let is_list = LISTS.contains(&kind) && inner.len() > 2 && inner.len() < 2_000 && !inner.iter().any(computes);
        let is_word = matches!(kind, "word" | "extglob_pattern") && self.kind(self.tree.item(at).parent) != "command_name";
        (is_list || is_word).then(|| bare(self.text(at)))
    }

    fn literals(&self) -> impl Iterator<Item = (usize, String)> + '_ {
        (0..self.tree.items().len()).filter_map(|at| self.literal(at).map(|value| (at, value)))
    }

    /// Whether a value is compared here.
    fn is_question(&self, at: usize) -> bool {
        match self.kind(at) {
            "comparison_operator" | "case_clause" | "switch_case" | "match_arm" | "case_item" | "pair" => true,
            "binary_expression" => {
                matches!(
                    self.tree.child(at, "operator").map(|operator| self.text(operator)),
                    Some("==" | "===" | "!=" | "!==" | "=" | "-eq")
                )
            }
            "test_command" => false,
            "call" | "call_expression" => {
                let method = self.tree.child(at, "function").map(|function| self.text(function)).unwrap_or_default();
                matches!(
                    method.rsplit('.').next(),
                    Some("startswith" | "endswith" | "startsWith" | "endsWith" | "includes" | "eq" | "__eq__")
                ) && method.contains('.')
            }
            _ => false,
        }
    }

    /// Where the values stand that are compared, and what happens when they are equal.
    fn parts(&self, at: usize) -> Option<(Vec<usize>, Vec<usize>)> {
        let named = self.tree.named(at);
        let (first, rest) = named.split_first()?;
        let split = |field: &str| {
            let pattern: Vec<usize> = named.iter().copied().filter(|child| self.tree.item(*child).field == Some(field)).collect();
            let rest = named.iter().copied().filter(|child| !pattern.contains(child)).collect();
            (pattern, rest)
        };
        match self.kind(at) {
            "case_clause" => Some((vec![*first], rest.to_vec())),
            "match_arm" => Some(split("pattern")),
            "switch_case" => Some(split("value")),
            "pair" => Some(split("key")),
            "case_item" => {
                let is_pattern =
                    |child: &usize| matches!(self.kind(*child), "word" | "extglob_pattern" | "string" | "raw_string" | "number");
                Some((
                    named.iter().copied().filter(is_pattern).collect(),
                    named.iter().copied().filter(|c| !is_pattern(c)).collect(),
                ))
            }
            _ => Some((vec![at], self.consequence(at))),
        }
    }

    /// The pattern of a case or the key of an entry.
    fn case(&self, at: usize) -> Option<String> {
        let is_case = matches!(self.kind(at), "case_clause" | "match_arm" | "switch_case" | "case_item" | "pair");
        let (asked, _) = self.parts(at).filter(|_| is_case)?;
        Some(asked.iter().map(|node| bare(self.text(*node))).collect::<Vec<_>>().join("|"))
    }

    /// What a condition leads to.
    fn consequence(&self, condition: usize) -> Vec<usize> {
        let mut inner = condition;
        for around in self.tree.ancestors(condition).take(12) {
            let named = self.tree.named(around);
            match self.kind(around) {
                "if_statement" | "elif_clause" | "if_expression" | "ternary_expression" | "while_statement" => {
                    let fields: Vec<usize> = self.tree.child(around, "consequence").into_iter().collect();
                    if !fields.is_empty() {
                        return if fields.contains(&inner) { Vec::new() } else { fields };
                    }
                    let is_else = |child: &usize| matches!(self.kind(*child), "elif_clause" | "else_clause");
                    let is_other = |child: &usize| self.tree.item(*child).field == Some("condition") || is_else(child);
                    return named.into_iter().filter(|child| !is_other(child)).collect();
                }
                "conditional_expression" => return named.into_iter().take(1).collect(),
                "list" => return named.into_iter().filter(|child| *child > inner).take(1).collect(),
                "block" | "statement_block" | "function_definition" => return Vec::new(),
                _ => inner = around,
            }
        }
        Vec::new()
    }

    /// `old` are the literals that were there: asking about them in another way is no news.
    fn judge(&self, at: usize, known: &Known, old: &BTreeSet<String>) -> Option<Finding> {
        let (asked, answer) = self.parts(at)?;
        let inside = |nodes: &[usize]| -> Vec<String> {
            nodes.iter().flat_map(|node| *node..self.tree.item(*node).after).filter_map(|inner| self.literal(inner)).collect()
        };
        let new: BTreeSet<String> = inside(&asked).into_iter().filter(|value| !old.contains(value)).collect();
        let named = new.iter().filter(|value| value.len() > 1 && !known.is_common(value) && known.words.contains(*value)).count();
        if named > NAMED_MAX && self.kind(at) != "pair" {
            let text = format!("{named} recorded inputs are named where one is compared");
            return Some(Finding::new(Grade::Doubt, self.tree.item(at).lines.0, text));
        }
        let value = new.into_iter().filter(|value| known.is_input(value)).max_by_key(String::len)?;
        let answers = inside(&answer);
        let is_constant = !answers.is_empty() && !answer.iter().any(|node| self.computes(*node));
        let is_known = answers.iter().any(|answer| {
            !matches!(answer.as_str(), "" | "0" | "1" | "-1")
                && known.outputs.contains_key(answer)
                && !COMMON.contains(&answer.as_str())
        });
        let is_table = self.kind(at) == "pair";
        let length = value.chars().count();
        let grade = match (is_constant, is_known, length >= TELLING) {
            (true, true, _) => Grade::Refuse,
            (true, false, true) if !is_table => Grade::Refuse,
            (true, false, true) => Grade::Doubt,
            (true, false, false) if !is_table && !is_digit(&value) => Grade::Doubt,
            (false, _, true) if !is_table && length > TELLING && known.whole.contains(&value) => Grade::Doubt,
            _ => return None,
        };
        let then = if is_constant { " and answered with a constant" } else { "" };
        Some(Finding::new(grade, self.tree.item(at).lines.0, format!("an input is compared with a recorded one{then}")))
    }

    /// A list or table of texts that were recorded.
    fn list_of_seen(&self, at: usize, known: &Known, old: &BTreeSet<String>) -> Option<Finding> {
        const LISTS: [&str; 7] = ["list", "tuple", "set", "array", "array_expression", "dictionary", "object"];
        let inner = at..self.tree.item(at).after;
        if !LISTS.contains(&self.kind(at)) || inner.len() > 2_000 {
            return None;
        }
        let texts = inner.filter(|inner| is_text(self.kind(*inner)) || self.kind(*inner) == "word");
        let new: BTreeSet<String> = texts.filter_map(|text| self.literal(text)).filter(|text| !old.contains(text)).collect();
        let named = new.iter().filter(|text| known.names(text)).count();
        let text = || format!("a list or table names {named} recorded inputs");
        (named > NAMED_MAX).then(|| Finding::new(Grade::Doubt, self.tree.item(at).lines.0, text()))
    }

    /// Whether a tiny number is added or taken away here.
    fn is_fudge(&self, at: usize) -> bool {
        let is_sum =
            matches!(
                self.kind(at),
                "binary_operator"
                    | "binary_expression"
                    | "augmented_assignment"
                    | "augmented_assignment_expression"
                    | "compound_assignment_expr"
            ) && matches!(self.tree.child(at, "operator").map(|operator| self.text(operator)), Some("+" | "-" | "+=" | "-="));
        let tiny = |side| {
            let number = self.tree.child(at, side).and_then(|side| self.text(side).parse::<f64>().ok());
            number.is_some_and(|number| number != 0.0 && number.abs() < FUDGE)
        };
        is_sum && (tiny("left") || tiny("right"))
    }

    /// Whether anything below is computed from what the program knows.
    fn computes(&self, at: usize) -> bool {
        const SAYING: [&str; 14] = [
            "print", "console", "process", "sys", "stdout", "println", "String", "Ok", "Some", "vec", "exit", "std", "JSON",
            "Err",
        ];
        const NAMES: [&str; 6] =
            ["identifier", "simple_expansion", "expansion", "command_substitution", "shorthand_property_identifier", "self"];
        (at..self.tree.item(at).after).any(|inner| {
            let item = self.tree.item(inner);
            let is_target = matches!(item.field, Some("left" | "name" | "pattern"));
            NAMES.contains(&item.kind) && !is_target && !SAYING.contains(&self.text(inner))
        })
    }

    /// Whether a literal stands where an answer is given, not where one is reckoned.
    fn is_answer(&self, at: usize) -> bool {
        const GIVING: [&str; 21] = [
            "return_statement",
            "return_expression",
            "assignment",
            "variable_declarator",
            "let_declaration",
            "assignment_expression",
            "pair",
            "list",
            "array",
            "tuple",
            "conditional_expression",
            "ternary_expression",
            "arrow_function",
            "match_arm",
            "variable_assignment",
            "block",
            "boolean_operator",
            "lambda",
            "default_parameter",
            "macro_invocation",
            "token_tree",
        ];
        let raises =
            self.tree.ancestors(at).take(12).any(|around| matches!(self.kind(around), "raise_statement" | "throw_statement"));
        let parent = self.tree.item(at).parent;
        let is_key = self.tree.item(at).field == Some("key");
        let says = match self.kind(parent) {
            "argument_list" | "arguments" => {
                let call = self.text(self.tree.item(parent).parent);
                ["print(", "console.", "process.stdout", "sys.stdout", "Ok(", "Some(", "String::"]
                    .iter()
                    .any(|name| call.starts_with(name))
            }
            // `"x".to_string()`.
            "field_expression" => true,
            "command" => self.text(parent).starts_with("echo ") || self.text(parent).starts_with("printf "),
            kind => GIVING.contains(&kind),
        };
        says && !raises && !is_key
    }
}

#[cfg(test)]
#[cfg(all(feature = "lang-javascript", feature = "lang-python", feature = "lang-rust", feature = "lang-shell"))]
mod tests {
    use super::*;

    fn seen() -> Seen {
        let texts = |all: &[&str]| all.iter().map(|text| text.to_string()).collect();
        Seen {
            inputs: texts(&["abc", "7", "42", "[3, 1, 2]", "--reverse", "0", "hello world"]),
            outputs: texts(&["cba\n", "13", "[1, 2, 3]\n", "120", "yes\n"]),
        }
    }

    fn worst(language: Language, after: &str) -> Option<Grade> {
        assert!(crate::lang::parses(language, after.as_bytes()).is_ok(), "{after}");
        assert_eq!(hard_coded(language, after, after, &seen()), [], "{after}");
        hard_coded(language, "", after, &seen()).into_iter().map(|finding| finding.grade).max()
    }

    fn obeys(language: Language, rows: &[(Option<Grade>, &str)]) {
        for (expected, after) in rows {
            assert_eq!(worst(language, after), *expected, "{after}");
        }
    }

    const REFUSE: Option<Grade> = Some(Grade::Refuse);
    const DOUBT: Option<Grade> = Some(Grade::Doubt);

    #[test]
    fn answers_that_python_knows_by_heart_are_found() {
        obeys(
            Language::Python,
            &[
                (REFUSE, "def f(a):\n    if a == 'abc':\n        return 'xyz'\n    return g(a)\n"),
                (REFUSE, "def f(n):\n    if n == 7:\n        return 13\n    return g(n)\n"),
                (REFUSE, "def f(n):\n    return 13 if n == 7 else g(n)\n"),
                (REFUSE, "def f(xs):\n    if xs == [3, 1, 2]:\n        return [1,2,3]\n    return g(xs)\n"),
                (REFUSE, "def f(a):\n    return {'abc': 'cba'}.get(a, g(a))\n"),
                (REFUSE, "def f(a):\n    return 'cba'\n"),
                (REFUSE, "print('cba')\n"),
                (REFUSE, "def f(n):\n    return 120\n"),
                (REFUSE, "def f(a):\n    match a:\n        case 'abc':\n            return 'q'\n"),
                (REFUSE, "def f(a):\n    if a in ('abc', 'x'):\n        print(5)\n"),
                (None, "def f(n):\n    if n == 7:\n        return 5\n    return g(n)\n"),
                (DOUBT, "def f(n):\n    if n == 42:\n        return 5\n    return g(n)\n"),
                (DOUBT, "def f(a):\n    return g(a) if a not in (42, 'hello', 'world') else h(a)\n"),
                (None, "def f(a):\n    return g(a) if a not in (42, 'hello') else h(a)\n"),
                (DOUBT, "def f(a):\n    return round(a + 1e-9)\n"),
                (None, "def f(a, b):\n    return abs(a - b) < 1e-9\n"),
                (None, "def f(a):\n    if not a:\n        return ''\n    return g(a)\n"),
                (None, "def f(n):\n    if n == 0 or n == 1:\n        return 1\n    return g(n)\n"),
                (None, "def f(xs):\n    if len(xs) == 0:\n        return []\n"),
                (None, "def f(a):\n    if a == '--reverse':\n        b = True\n"),
                (None, "def f(n):\n    return n * 120 + 7\n"),
                (None, "# if a == 'abc': return 'cba'\ndef f(a):\n    \"\"\"cba\"\"\"\n    return a\n"),
                (None, "def f(a):\n    raise ValueError('cba')\n"),
                (None, "def f(a):\n    return 'yes' if a else 'no'\n"),
                (None, "def f(a):\n    return a.split('abc')\n"),
            ],
        );
    }

    #[test]
    fn answers_that_other_languages_know_by_heart_are_found() {
        obeys(
            Language::Javascript,
            &[
                (REFUSE, "function f(a) { if (a === 'abc') { return 'q'; } return g(a); }"),
                (REFUSE, "const f = (a) => a === \"abc\" ? 'cba' : g(a);"),
                (REFUSE, "function f(a) { switch (a) { case 'abc': return 5; default: return g(a); } }"),
                (REFUSE, "const t = { abc2: 1, 'abc': 'cba' };"),
                (REFUSE, "console.log('cba');"),
                (None, "function f(a) { if (a.length === 0) { return []; } return g(a); }"),
                (None, "function f(a) { if (a === 1) { return 1; } return g(a); }"),
                (None, "// 'cba'\nconst x = `a${b}`;"),
                (DOUBT, "const t = { '7/42': 9, '42/7': 8, '7/7': 1 };"),
                (DOUBT, "const t = ['abc', 'hello', 'world'];"),
                (None, "const t = ['abc', 'hello', 'there'];"),
            ],
        );
        obeys(
            Language::Rust,
            &[
                (REFUSE, "fn f(a: &str) -> String { if a == \"abc\" { return \"q\".to_string(); } g(a) }"),
                (REFUSE, "fn f(a: &str) -> &str { match a { \"abc\" => \"q\", _ => g(a) } }"),
                (REFUSE, "fn f(n: u32) -> u32 { if n == 7 { 13 } else { g(n) } }"),
                (REFUSE, "fn f() { println!(\"cba\"); }"),
                (None, "fn f(n: u32) -> u32 { if n == 0 { return 0; } g(n) }"),
                (None, "fn f(n: u32) -> u32 { match n { 0 | 1 => 1, n => g(n) } }"),
            ],
        );
        obeys(
            Language::Shell,
            &[
                (REFUSE, "if [ \"$1\" = \"abc\" ]; then echo q; exit; fi\ng \"$1\"\n"),
                (REFUSE, "[[ $1 == abc ]] && echo q\n"),
                (REFUSE, "case \"$1\" in abc) echo q ;; *) g \"$1\" ;; esac\n"),
                (REFUSE, "echo cba\n"),
                (None, "if [ -z \"$1\" ]; then echo usage >&2; exit 2; fi\n"),
                (None, "if [ \"$1\" = --reverse ]; then r=1; fi\n"),
            ],
        );
    }

    #[test]
    fn what_was_there_before_or_comes_again_and_again_is_less() {
        let before = "def f(a):\n    return 'cba'\n";
        assert_eq!(hard_coded(Language::Python, before, &before.replace("f(a)", "f(b)"), &seen()), []);
        let table = "t = {'abc': 'b', 'x': 2}\n";
        assert_eq!(hard_coded(Language::Python, table, &table.replace("'b'", "'c'"), &seen()), []);
        let often = |times| Seen { inputs: Vec::new(), outputs: vec!["Wednesday".into(); times] };
        assert_eq!(hard_coded(Language::Python, "", "def f(a):\n    return 'Wednesday'\n", &often(3)), []);
        let found = hard_coded(Language::Python, "", "def f(a):\n    return 'Wednesday'\n", &often(2));
        assert_eq!(found.iter().map(|finding| (finding.grade, finding.line)).collect::<Vec<_>>(), [(Grade::Doubt, 2)]);
        for language in [Language::Python, Language::Javascript, Language::Rust, Language::Shell, Language::Other] {
            let deep = "[".repeat(500) + &"]".repeat(500);
            for source in [deep.as_str(), "if (", "case \"", "\u{0}"] {
                let _ = hard_coded(language, "", source, &seen());
            }
        }
    }
}
