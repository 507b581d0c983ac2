//! Whether two versions of a tool give the same answer.
//!
//! A tool may vary in what it prints without being asked anything else: the time of day, the order of a set, the tenth digit. How
//! strictly answers are compared is therefore not a matter of taste: it is the strictest way under which the untouched version agrees
//! with itself (after Diffy, which runs the same code twice and takes for noise what differs then).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::Comparison;

/// Numbers that differ by no more than this part of the larger one are the same in [`Comparison::Semantic`].
const TOLERANCE: f64 = 1e-9;

/// What an answer must agree with.
#[derive(Clone, Debug)]
pub struct Expected {
    comparison: Comparison,
    first: Vec<u8>,
    second: Vec<u8>,
}

impl Expected {
    /// From two runs of the untouched version: the strictest comparison under which they agree, no stricter than `strictest`.
    pub fn of(first: Vec<u8>, second: Vec<u8>, strictest: Comparison) -> Expected {
        let agreeing = |comparison: &Comparison| *comparison >= strictest && agree(*comparison, &first, &second, &first);
        let comparison = Comparison::ALL.into_iter().find(agreeing).unwrap_or(Comparison::Schema);
        Expected { comparison, first, second }
    }

    /// How answers are compared.
    pub fn comparison(&self) -> Comparison {
        self.comparison
    }

    /// Whether `answer` is as expected.
    pub fn agrees(&self, answer: &[u8]) -> bool {
        agree(self.comparison, &self.first, &self.second, answer)
    }

    /// What was answered at first.
    pub fn first(&self) -> &[u8] {
        &self.first
    }
}

/// Whether `answer` agrees with `first`; `second` tells what varies.
fn agree(comparison: Comparison, first: &[u8], second: &[u8], answer: &[u8]) -> bool {
    let steady = |same: &dyn Fn(&[u8], &[u8]) -> bool| same(first, second) && same(first, answer);
    match comparison {
        Comparison::Exact => steady(&|one, other| one == other),
        Comparison::Json => steady(&|one, other| json(one).is_some_and(|one| Some(one) == json(other))),
        Comparison::Semantic => steady(&same_items),
        Comparison::Masked => match (json(first), json(second), json(answer)) {
            (Some(first), Some(second), answer) => answer.is_some_and(|answer| masked(&first, &second, &answer)),
            _ => masked_words(first, second, answer),
        },
        Comparison::Schema => same_form(first, answer),
    }
}

fn json(bytes: &[u8]) -> Option<Value> {
    // A lone word or number is a text that happens to be JSON.
    serde_json::from_slice(bytes).ok().filter(|value| matches!(value, Value::Object(_) | Value::Array(_)))
}

fn same_items(one: &[u8], other: &[u8]) -> bool {
    match (json(one), json(other)) {
        (Some(one), Some(other)) => equivalent(&canonical(one), &canonical(other)),
        (None, None) => {
            let lines = |bytes: &[u8]| {
                let mut lines: Vec<String> = String::from_utf8_lossy(bytes).lines().map(str::to_string).collect();
                lines.sort_unstable();
                lines
            };
            let (one, other) = (lines(one), lines(other));
            one.len() == other.len() && one.iter().zip(&other).all(|(one, other)| same_words(one, other))
        }
        _ => false,
    }
}

fn same_words(one: &str, other: &str) -> bool {
    let (one, other) = (words(one), words(other));
    one.len() == other.len() && one.iter().zip(&other).all(|(one, other)| one == other || near(one, other))
}

fn near(one: &str, other: &str) -> bool {
    matches!((one.parse::<f64>(), other.parse::<f64>()), (Ok(one), Ok(other)) if close(one, other))
}

fn close(one: f64, other: f64) -> bool {
    one == other || (one - other).abs() <= TOLERANCE * one.abs().max(other.abs())
}

/// Arrays in an order that depends on their items alone.
fn canonical(value: Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<(String, Value)> =
                items.into_iter().map(canonical).map(|item| (rounded(&item).to_string(), item)).collect();
            items.sort_by(|one, other| one.0.cmp(&other.0));
            Value::Array(items.into_iter().map(|(_, item)| item).collect())
        }
        Value::Object(fields) => Value::Object(fields.into_iter().map(|(key, value)| (key, canonical(value))).collect()),
        other => other,
    }
}

/// The value with fewer digits, to sort by.
fn rounded(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::String(number.as_f64().map_or(number.to_string(), |number| format!("{number:.6e}"))),
        Value::Array(items) => Value::Array(items.iter().map(rounded).collect()),
        Value::Object(fields) => Value::Object(fields.iter().map(|(key, value)| (key.clone(), rounded(value))).collect()),
        other => other.clone(),
    }
}

fn equivalent(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => a == b || matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if close(a, b)),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equivalent(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| equivalent(value, other)))
        }
        (a, b) => a == b,
    }
}

/// Whether `answer` equals `first` wherever `first` and `second` are equal, and has the same fields.
fn masked(first: &Value, second: &Value, answer: &Value) -> bool {
    match (first, second, answer) {
        (Value::Object(a), Value::Object(b), Value::Object(c)) => {
            let keys = |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<Vec<_>>();
            keys(a) == keys(b)
                && a.len() == c.len()
                && a.iter().zip(b.values()).all(|((key, a), b)| c.get(key).is_some_and(|c| masked(a, b, c)))
        }
        (Value::Array(a), Value::Array(b), Value::Array(c)) => {
            a.len() == b.len() && a.len() == c.len() && a.iter().zip(b).zip(c).all(|((a, b), c)| masked(a, b, c))
        }
        (a, b, c) if a == b => a == c,
        (a, b, c) => same_type(a, b) && same_type(a, c),
    }
}

fn masked_words(first: &[u8], second: &[u8], answer: &[u8]) -> bool {
    let texts = [first, second, answer].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let [first, second, answer] = texts.each_ref().map(|text| words(text));
    let same_length = first.len() == second.len() && first.len() == answer.len();
    // A text of which nothing is steady says nothing.
    let steady = first.iter().zip(&second).any(|(a, b)| a == b && a.chars().any(char::is_alphanumeric));
    same_length && steady && first.iter().zip(&second).zip(&answer).all(|((a, b), c)| a != b || a == c)
}

/// Words and what stands between them, together the whole text.
fn words(text: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
    let mut found = Vec::new();
    let mut start = 0;
    let mut before: Option<bool> = None;
    for (at, c) in text.char_indices() {
        let now = is_word(c);
        if before.is_some_and(|before| before != now || !now) {
            found.push(&text[start..at]);
            start = at;
        }
        before = Some(now);
    }
    if start < text.len() {
        found.push(&text[start..]);
    }
    found
}

fn same_type(one: &Value, other: &Value) -> bool {
    std::mem::discriminant(one) == std::mem::discriminant(other)
}

fn same_form(one: &[u8], other: &[u8]) -> bool {
    match (json(one), json(other)) {
        (Some(one), Some(other)) => form(&one) == form(&other),
        (None, None) => one.iter().all(u8::is_ascii_whitespace) == other.iter().all(u8::is_ascii_whitespace),
        _ => false,
    }
}

/// Keys and types, one form for all items of an array that share it.
fn form(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "boolean".into(),
        Value::Number(_) => "number".into(),
        Value::String(_) => "text".into(),
        Value::Array(items) => {
            let forms: BTreeMap<String, ()> = items.iter().map(|item| (form(item), ())).collect();
            format!("[{}]", forms.into_keys().collect::<Vec<_>>().join("|"))
        }
        Value::Object(fields) => {
            let fields: BTreeMap<&String, String> = fields.iter().map(|(key, value)| (key, form(value))).collect();
            let fields: Vec<String> = fields.into_iter().map(|(key, form)| format!("{key:?}:{form}")).collect();
            format!("{{{}}}", fields.join(","))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(first: &str, second: &str) -> Expected {
        Expected::of(first.into(), second.into(), Comparison::Exact)
    }

    #[test]
    fn what_never_varies_is_compared_byte_for_byte() {
        let expected = of("a 1\n", "a 1\n");
        assert_eq!(expected.comparison(), Comparison::Exact);
        assert!(expected.agrees(b"a 1\n") && !expected.agrees(b"a 1") && !expected.agrees(b"a  1\n"));
    }

    #[test]
    fn a_looser_way_can_be_asked_for() {
        let one = r#"{"a": 1, "b": [1, 2]}"#;
        let expected = Expected::of(one.into(), one.into(), Comparison::Json);
        assert!(expected.agrees(br#"{"b":[1,2],"a":1}"#) && !expected.agrees(br#"{"b":[2,1],"a":1}"#));
        let expected = Expected::of(one.into(), one.into(), Comparison::Semantic);
        assert!(expected.agrees(br#"{"b":[2,1.0000000000001],"a":1}"#) && !expected.agrees(br#"{"b":[2,1.1],"a":1}"#));
        assert!(!expected.agrees(br#"{"b":[2,1,1],"a":1}"#));
    }

    #[test]
    fn the_order_of_keys_and_items_does_not_count_where_it_varies_by_itself() {
        assert_eq!(of(r#"{"a":1,"b":2}"#, r#"{"b":2, "a":1}"#).comparison(), Comparison::Json);
        let expected = of(r#"{"a":["x","y"]}"#, r#"{"a":["y","x"]}"#);
        assert_eq!(expected.comparison(), Comparison::Semantic);
        assert!(expected.agrees(br#"{"a":["y","x"]}"#) && !expected.agrees(br#"{"a":["y","z"]}"#));
        let lines = of("b 0.1\na 0.30000000000000004\n", "a 0.3\nb 0.1\n");
        assert_eq!(lines.comparison(), Comparison::Semantic);
        assert!(lines.agrees(b"a 0.3\nb 0.1\n") && !lines.agrees(b"a 0.3\nb 0.2\n") && !lines.agrees(b"a 0.3\n"));
    }

    #[test]
    fn only_what_varies_by_itself_is_masked() {
        let expected = of("took 12 ms: 3 files\n", "took 15 ms: 3 files\n");
        assert_eq!(expected.comparison(), Comparison::Masked);
        assert!(expected.agrees(b"took 99 ms: 3 files\n") && !expected.agrees(b"took 12 ms: 4 files\n"));
        let json = of(r#"{"at":"10:00","n":3}"#, r#"{"at":"10:01","n":3}"#);
        assert_eq!(json.comparison(), Comparison::Masked);
        assert!(json.agrees(br#"{"n":3,"at":"11:11"}"#));
        assert!(!json.agrees(br#"{"n":4,"at":"11:11"}"#) && !json.agrees(br#"{"n":3}"#) && !json.agrees(br#"{"n":3,"at":7}"#));
    }

    #[test]
    fn of_what_is_never_the_same_only_the_form_is_compared() {
        let expected = of("8f3a\n", "17cc\n");
        assert_eq!(expected.comparison(), Comparison::Schema);
        assert!(expected.agrees(b"zzz\n") && !expected.agrees(b"\n"));
        let json = of(r#"[{"id":1}]"#, r#"[{"id":2},{"id":3}]"#);
        assert_eq!(json.comparison(), Comparison::Schema);
        assert!(json.agrees(br#"[{"id":9}]"#) && !json.agrees(br#"[{"id":"9"}]"#) && !json.agrees(br#"{"id":9}"#));
    }

    #[test]
    fn a_strategy_always_agrees_with_both_of_the_runs_that_chose_it() {
        let outputs = ["", "a\n", "a b\n", "1\n2\n", "2\n1\n", "[1,2]", "[2,1]", "{\"a\":1}", "{\"a\":2}", "\u{fffd}x"];
        for first in outputs {
            for second in outputs {
                let expected = of(first, second);
                assert!(expected.agrees(first.as_bytes()), "{first:?} {second:?}");
                if expected.comparison() != Comparison::Schema {
                    assert!(expected.agrees(second.as_bytes()), "{first:?} {second:?}");
                }
            }
        }
    }
}
