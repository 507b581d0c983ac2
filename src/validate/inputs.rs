//! Inputs that nobody has recorded: recorded ones with one thing changed, and new ones of the recorded shapes.
//!
//! Knows the structure of what it changes: numbers, words, lists, options, dates, JSON, lines and their fields. The same inputs and
//! seed always give the same answer. Nothing is made up that could name something outside: new words are made of recorded ones.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::model::{Arg, SplitMix, ToolInput};

/// Inputs with more bytes are left alone: what differs in them nobody would read.
const BYTES_MAX: usize = 64 << 10;
/// Tries for each input that is wanted, when most of what comes up is known already.
const TRIES: usize = 8;

/// What is drawn from the seed of a gate.
struct Dice(SplitMix);

impl Dice {
    fn new(seed: &str) -> Dice {
        let mix = |state: u64, byte| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Dice(SplitMix(seed.bytes().fold(0x9e37_79b9_7f4a_7c15, mix)))
    }

    /// A number below `end`; 0 when there is none.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.0.draw() % (end.max(1) as u64)).unwrap_or(0)
    }

    fn pick<'t, T>(&mut self, from: &'t [T]) -> Option<&'t T> {
        from.get(self.below(from.len()))
    }
}

/// Up to `limit` inputs that differ from one of `recorded` in one thing, none of them recorded. Every recorded input has its turn.
pub(super) fn varied(recorded: &[ToolInput], seed: &str, limit: usize) -> Vec<(usize, ToolInput)> {
    let mut dice = Dice::new(seed);
    let mut known: BTreeSet<ToolInput> = recorded.iter().cloned().collect();
    let mut found = Vec::new();
    let sources: Vec<usize> = (0..recorded.len()).filter(|at| recorded[*at].size() <= BYTES_MAX).collect();
    for turn in 0..limit * TRIES {
        let Some(&at) = (!sources.is_empty()).then(|| &sources[turn % sources.len()]) else { break };
        if let Some(input) = change(&recorded[at], &mut dice).filter(|input| known.insert(input.clone())) {
            found.push((at, input));
        }
        if found.len() == limit {
            break;
        }
    }
    found
}

/// Up to `limit` inputs of the recorded shapes: the parts of several recorded ones put together, then changed a few times.
pub(super) fn synthetic(recorded: &[ToolInput], seed: &str, limit: usize) -> Vec<ToolInput> {
    let mut dice = Dice::new(seed);
    let mut known: BTreeSet<ToolInput> = recorded.iter().cloned().collect();
    let sources: Vec<&ToolInput> = recorded.iter().filter(|input| input.size() <= BYTES_MAX).collect();
    let mut found = Vec::new();
    for _ in 0..limit * TRIES {
        let Some(mut input) = crossed(&sources, &mut dice) else { break };
        for _ in 0..=dice.below(3) {
            input = change(&input, &mut dice).unwrap_or(input);
        }
        if known.insert(input.clone()) {
            found.push(input);
        }
        if found.len() == limit {
            break;
        }
    }
    found
}

/// One input with parts of others that have the same shape.
fn crossed(sources: &[&ToolInput], dice: &mut Dice) -> Option<ToolInput> {
    let mut input = (*dice.pick(sources)?).clone();
    let alike: Vec<&&ToolInput> = sources.iter().filter(|other| shape(other) == shape(&input)).collect();
    for at in 0..input.args.len() {
        if let Some(other) = dice.pick(&alike).and_then(|other| other.args.get(at)) {
            input.args[at] = other.clone();
        }
    }
    if let Some(other) = dice.pick(&alike) {
        input.stdin.clone_from(&other.stdin);
    }
    Some(input)
}

/// What a recorded input looks like: how many arguments, which options, and what the others are.
pub(super) fn shape(input: &ToolInput) -> String {
    let mut shape: Vec<String> = input.args.iter().map(|arg| kind(&arg.to_string())).collect();
    shape.push(match input.stdin.as_slice() {
        [] => "no input".into(),
        text => match serde_json::from_slice::<Value>(text) {
            Ok(Value::Object(_)) => "object".into(),
            Ok(Value::Array(items)) => if items.is_empty() { "no items" } else { "items" }.into(),
            _ => match String::from_utf8_lossy(text).lines().count() {
                0 | 1 => "line".into(),
                _ => "lines".into(),
            },
        },
    });
    shape.join(" ")
}

fn kind(text: &str) -> String {
    match text {
        "" => "empty".into(),
        _ if text.parse::<i64>().is_ok() => "integer".into(),
        _ if text.parse::<f64>().is_ok() => "number".into(),
        _ if text.starts_with('-') => text.split('=').next().unwrap_or(text).to_string(),
        _ if text.contains(char::is_whitespace) => "text".into(),
        _ if text.contains('/') => "path".into(),
        _ => "word".into(),
    }
}

/// The input with one thing changed; `None` when there is nothing to change.
fn change(input: &ToolInput, dice: &mut Dice) -> Option<ToolInput> {
    let mut new = input.clone();
    let in_stdin = !input.stdin.is_empty() && (input.args.is_empty() || dice.below(3) > 0);
    if in_stdin {
        new.stdin = changed_stdin(std::str::from_utf8(&input.stdin).ok()?, dice)?.into_bytes();
        return Some(new);
    }
    let at = dice.below(input.args.len());
    let text = std::str::from_utf8(&input.args.get(at)?.0).ok()?.to_string();
    // An option is rarely what matters; what stands behind it is.
    let is_option = text.starts_with('-') && text.parse::<f64>().is_err();
    match dice.below(10) {
        0 => drop(new.args.remove(at)),
        1 => new.args.insert(at, Arg::from(text.as_str())),
        2 if input.args.len() > 1 => new.args.swap(at, (at + 1) % input.args.len()),
        _ if is_option => {
            let (name, value) = text.split_once('=')?;
            new.args[at] = Arg::from(format!("{name}={}", changed(value, dice)?).as_str());
        }
        _ => new.args[at] = Arg::from(changed(&text, dice)?.as_str()),
    }
    Some(new)
}

fn changed_stdin(text: &str, dice: &mut Dice) -> Option<String> {
    if let Ok(value) = serde_json::from_str::<Value>(text)
        && matches!(value, Value::Object(_) | Value::Array(_))
    {
        let mut value = value;
        changed_json(&mut value, dice);
        let end = if text.ends_with('\n') { "\n" } else { "" };
        return Some(format!("{value}{end}"));
    }
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_string).collect();
    let at = dice.below(lines.len());
    match dice.below(9) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(at, lines.get(at)?.clone()),
        2 if lines.len() > 1 => lines.swap(at, (at + 1) % text.lines().count().max(1)),
        3 => lines.insert(at, "\n".into()),
        4 => return Some(text.strip_suffix('\n').map_or_else(|| format!("{text}\n"), str::to_string)),
        _ => lines[at] = changed_line(&lines[at], dice)?,
    }
    Some(lines.concat())
}

/// A line with one of its fields changed.
fn changed_line(line: &str, dice: &mut Dice) -> Option<String> {
    let (body, end) = line.strip_suffix('\n').map_or((line, ""), |body| (body, "\n"));
    let separator = [',', ';', '\t', '|', '=', ' '].into_iter().find(|separator| body.contains(*separator));
    let Some(separator) = separator else { return Some(format!("{}{end}", changed(body, dice)?)) };
    let mut fields: Vec<String> = body.split(separator).map(str::to_string).collect();
    let at = dice.below(fields.len());
    match dice.below(6) {
        0 => drop(fields.remove(at)),
        1 => fields[at] = String::new(),
        _ => fields[at] = changed(&fields[at], dice)?,
    }
    Some(format!("{}{end}", fields.join(&separator.to_string())))
}

/// A text that means something with its meaning changed a little.
fn changed(text: &str, dice: &mut Dice) -> Option<String> {
    if let Ok(number) = text.parse::<i64>() {
        let near = [number.saturating_add(1), number.saturating_sub(1), 0, number.saturating_neg(), number.saturating_mul(2), 1];
        return dice.pick(&near).map(i64::to_string);
    }
    if let Ok(number) = text.parse::<f64>().map(|number| if number.is_finite() { number } else { 0.0 }) {
        let near = [number + 0.5, number * 2.0, -number, 0.0, number / 3.0];
        return dice.pick(&near).map(|number| format!("{number}"));
    }
    if let Ok(mut value @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str::<Value>(text) {
        changed_json(&mut value, dice);
        return Some(value.to_string());
    }
    // Lists, dates, versions, times: one part of them.
    if let Some(separator) = [',', ';', ':', '/', '-', '.', ' '].into_iter().find(|separator| text.contains(*separator))
        && dice.below(3) > 0
    {
        let mut parts: Vec<String> = text.split(separator).map(str::to_string).collect();
        let at = dice.below(parts.len());
        match dice.below(5) {
            0 => drop(parts.remove(at)),
            1 => parts.insert(at, parts.get(at)?.clone()),
            2 => parts.reverse(),
            _ => parts[at] = simple(&parts[at], dice),
        }
        return Some(parts.join(&separator.to_string()));
    }
    Some(simple(text, dice))
}

/// A word or number without inner structure.
fn simple(text: &str, dice: &mut Dice) -> String {
    if let Ok(number) = text.parse::<i64>() {
        // Zeros in front are part of how dates are written.
        let near = number.saturating_add([1, -1, 10][dice.below(3)]);
        return if text.starts_with('0') { format!("{near:0width$}", width = text.len()) } else { near.to_string() };
    }
    let cased =
        |c: char| if c.is_lowercase() { c.to_uppercase().next().unwrap_or(c) } else { c.to_lowercase().next().unwrap_or(c) };
    match dice.below(7) {
        0 => String::new(),
        1 => text.chars().map(cased).collect(),
        2 => text.chars().skip(1).collect(),
        3 => format!("{text}{text}"),
        4 => format!(" {text}"),
        5 => format!("{text}\u{e9}"),
        _ => text.chars().rev().collect(),
    }
}

fn changed_json(value: &mut Value, dice: &mut Dice) {
    let inside = dice.below(4) > 0;
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let key = fields.keys().nth(dice.below(fields.len())).cloned().unwrap_or_default();
            match fields.get_mut(&key) {
                Some(field) if inside => changed_json(field, dice),
                _ => drop(fields.remove(&key)),
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let at = dice.below(items.len());
            match dice.below(3) {
                _ if inside => changed_json(&mut items[at], dice),
                0 => drop(items.remove(at)),
                1 => items.insert(at, items[at].clone()),
                _ => items.clear(),
            }
        }
        Value::Number(number) => {
            let text = changed(&number.to_string(), dice).unwrap_or_default();
            *value = serde_json::from_str(&text).unwrap_or(Value::Null);
        }
        Value::String(text) => match dice.below(8) {
            0 => *value = Value::Null,
            _ => *text = changed(text, dice).unwrap_or_default(),
        },
        Value::Bool(truth) => *truth = !*truth,
        empty => *empty = Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn input(args: &[&str], stdin: &str) -> ToolInput {
        ToolInput { args: args.iter().map(|arg| Arg::from(*arg)).collect(), stdin: stdin.into(), cwd: None }
    }

    #[test]
    fn each_input_differs_from_its_source_and_none_comes_twice() {
        let recorded =
            [input(&["div", "10", "2"], ""), input(&["--date=2024-01-31"], "a,b\n1,2\n"), input(&[], r#"{"a":[1,2]}"#)];
        let varied = varied(&recorded, "seed", 60);
        let distinct: BTreeSet<&ToolInput> = varied.iter().map(|(_, input)| input).collect();
        assert_eq!((varied.len(), distinct.len()), (60, 60));
        assert!(varied.iter().all(|(at, input)| &recorded[*at] != input));
        for at in 0..recorded.len() {
            assert!(varied.iter().filter(|(from, _)| *from == at).count() >= 10, "{at}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_inputs_and_another_one_others() {
        let recorded = [input(&["7", "abc"], "x y\n")];
        assert_eq!(varied(&recorded, "a", 20), varied(&recorded, "a", 20));
        assert_ne!(varied(&recorded, "a", 20), varied(&recorded, "b", 20));
        assert_eq!(synthetic(&recorded, "a", 20), synthetic(&recorded, "a", 20));
    }

    #[test]
    fn json_stays_json_and_dates_keep_their_width() {
        let recorded = [input(&[], "{\"a\":{\"b\":[1,\"x\",true]}}\n")];
        for (_, input) in varied(&recorded, "s", 30) {
            assert!(serde_json::from_slice::<Value>(&input.stdin).is_ok(), "{input:?}");
        }
        let mut dice = Dice::new("s");
        for _ in 0..50 {
            let part = simple("07", &mut dice);
            assert!(["08", "06", "17"].contains(&part.as_str()), "{part}");
        }
    }

    #[test]
    fn new_inputs_are_put_together_from_recorded_ones_of_one_shape() {
        let recorded = [input(&["add", "1", "2"], ""), input(&["sub", "30", "40"], ""), input(&["--all"], "")];
        let made = synthetic(&recorded, "s", 40);
        assert!(made.len() >= 30);
        assert!(
            made.iter()
                .any(|input| input.args.len() == 3 && input.args[0] == Arg::from("add") && input.args[1] != Arg::from("1"))
        );
    }

    #[test]
    fn of_nothing_nothing_is_made() {
        assert!(varied(&[], "s", 9).is_empty() && synthetic(&[], "s", 9).is_empty());
        assert!(varied(&[input(&[], "")], "s", 9).is_empty());
    }

    proptest! {
        #[test]
        fn any_input_can_be_changed_without_harm(args in prop::collection::vec(any::<Vec<u8>>(), 0..4), stdin: Vec<u8>, seed: String) {
            let recorded = [ToolInput { args: args.into_iter().map(Arg).collect(), stdin, cwd: None }];
            varied(&recorded, &seed, 20);
            synthetic(&recorded, &seed, 20);
        }
    }
}
