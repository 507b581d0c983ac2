//! The smallest input that still does something: delta debugging over arguments, lines, JSON and characters.
//!
//! Owns the order in which parts are left out, and a bound on the tries. What an input is tried on is the caller's. The algorithm is ddmin
//! (A. Zeller, R. Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE TSE 28(2), 2002); JSON is reduced level by level,
//! so that it stays JSON (G. Misherghi, Z. Su, "HDD: Hierarchical Delta Debugging", ICSE 2006).

mod json;

use std::collections::BTreeSet;
use std::ops::Range;

use self::json::Json;
use crate::model::ToolInput;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minimised {
    pub input: ToolInput,
    /// Calls of the predicate.
    pub tries: usize,
    /// Whether no single part of it can be left out any more: all of standard input, an argument, a line or a character of standard input, a character of an
    /// argument that is no option, a member or an element of JSON, a character of a text in it. False when the budget ended first.
    pub minimal: bool,
}

/// Leaves out of `input` what `holds` does not need; it holds for the input itself, which is not tried. Calls `holds` at most `budget` times,
/// never twice with the same input, and always in the same order.
pub fn minimise(input: &ToolInput, budget: usize, holds: impl FnMut(&ToolInput) -> bool) -> Minimised {
    let mut search = Search { best: input.clone(), budget, tries: 0, ended: false, refuted: BTreeSet::new(), holds };
    let minimal = loop {
        let before = search.best.size();
        search.round();
        if search.ended {
            break false;
        }
        if search.best.size() == before {
            break true;
        }
    };
    Minimised { input: search.best, tries: search.tries, minimal }
}

struct Search<F> {
    best: ToolInput,
    budget: usize,
    tries: usize,
    /// Whether a try was wanted that the budget did not allow.
    ended: bool,
    refuted: BTreeSet<ToolInput>,
    holds: F,
}

/// One text of an input.
#[derive(Clone, Copy)]
enum Part {
    Arg(usize),
    Stdin,
}

impl<F: FnMut(&ToolInput) -> bool> Search<F> {
    /// Coarse parts first: they take the most away for one try.
    fn round(&mut self) {
        self.reduce(vec![()], |best, stdin| best.stdin.truncate(if stdin.is_empty() { 0 } else { usize::MAX }));
        let args = self.best.args.clone();
        self.reduce(args, |best, args| best.args = args.to_vec());
        self.structure(Part::Stdin);
        for at in 0..self.best.args.len() {
            self.structure(Part::Arg(at));
        }
        for at in 0..self.best.args.len() {
            self.characters(Part::Arg(at));
        }
        self.characters(Part::Stdin);
    }

    fn bytes(&self, part: Part) -> &[u8] {
        match part {
            Part::Arg(at) => self.best.args.get(at).map_or(&[], |arg| arg.0.as_slice()),
            Part::Stdin => &self.best.stdin,
        }
    }

    /// Members and elements of JSON; lines of other standard input.
    fn structure(&mut self, part: Part) {
        if let Some(json) = Json::read(self.bytes(part)) {
            self.json(part, json, &|json| json.items().is_some());
        } else if let Part::Stdin = part {
            let lines: Vec<Vec<u8>> = self.best.stdin.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            self.reduce(lines, |best, lines| best.stdin = lines.concat());
        }
    }

    /// Characters of texts in JSON; of other text all. The name of an option is one piece: half of it is another option.
    fn characters(&mut self, part: Part) {
        let bytes = self.bytes(part);
        if let Some(json) = Json::read(bytes) {
            return self.json(part, json, &|json| json.characters().is_some());
        }
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let name = if let Part::Arg(_) = part { option_name(text) } else { 0 };
        let (name, rest) = text.split_at(name);
        let (name, characters) = (name.to_string(), rest.chars().collect::<Vec<char>>());
        self.reduce(characters, |best, rest| {
            set(best, part, (name.clone() + &rest.iter().collect::<String>()).into_bytes());
        });
    }

    /// Reduces the values of `json` that are `wanted`, outer ones first.
    fn json(&mut self, part: Part, mut json: Json, wanted: &dyn Fn(&Json) -> bool) {
        let mut open: Vec<Vec<usize>> = vec![Vec::new()];
        while let Some(path) = open.pop() {
            let Some(value) = json.at(&path).cloned() else { continue };
            if wanted(&value) {
                if let Some(items) = value.items() {
                    let made = |items: &[(String, Json)]| json.replaced(&path, value.with_items(items)).to_bytes();
                    self.reduce(items.to_vec(), |best, items| set(best, part, made(items)));
                } else if let Some(pieces) = value.characters() {
                    let made = |pieces: &[String]| json.replaced(&path, Json::Text(pieces.to_vec())).to_bytes();
                    self.reduce(pieces.to_vec(), |best, pieces| set(best, part, made(pieces)));
                }
                // What is left of it; the blanks between tokens went with the first thing that could be left out.
                if let Some(now) = Json::read(self.bytes(part)) {
                    json = now;
                }
            }
            let inner = json.at(&path).and_then(Json::items).map_or(0, <[_]>::len);
            open.extend((0..inner).rev().map(|at| [path.as_slice(), &[at]].concat()));
        }
    }

    /// ddmin: `put` makes an input of some of the items.
    fn reduce<T: Clone>(&mut self, mut items: Vec<T>, put: impl Fn(&mut ToolInput, &[T])) {
        if items.is_empty() {
            return;
        }
        if self.try_with(&[], &put) {
            return;
        }
        let mut parts = 2;
        while items.len() >= 2 && !self.ended {
            let size = items.len().div_ceil(parts);
            let ranges: Vec<Range<usize>> =
                (0..items.len()).step_by(size).map(|start| start..(start + size).min(items.len())).collect();
            let subset = ranges.iter().find(|range| self.try_with(&items[(*range).clone()], &put)).cloned();
            if let Some(range) = subset {
                items = items[range].to_vec();
                parts = 2;
                continue;
            }
            let rest = |range: &Range<usize>| [&items[..range.start], &items[range.end..]].concat();
            // Of two parts each is the rest of the other.
            let complement = ranges.iter().filter(|_| ranges.len() > 2).map(rest).find(|rest| self.try_with(rest, &put));
            match complement {
                Some(rest) => {
                    items = rest;
                    parts = (parts - 1).max(2);
                }
                None if size == 1 => break,
                None => parts = (parts * 2).min(items.len()),
            }
        }
    }

    /// Whether it holds with only these items, which is then the best.
    fn try_with<T>(&mut self, items: &[T], put: &impl Fn(&mut ToolInput, &[T])) -> bool {
        let mut input = self.best.clone();
        put(&mut input, items);
        if input.size() >= self.best.size() || self.refuted.contains(&input) {
            return false;
        }
        if self.tries == self.budget {
            self.ended = true;
        }
        if self.ended {
            return false;
        }
        self.tries += 1;
        let holds = (self.holds)(&input);
        if holds {
            self.best = input;
        } else {
            self.refuted.insert(input);
        }
        holds
    }
}

fn set(input: &mut ToolInput, part: Part, bytes: Vec<u8>) {
    match part {
        Part::Arg(at) => {
            if let Some(arg) = input.args.get_mut(at) {
                arg.0 = bytes;
            }
        }
        Part::Stdin => input.stdin = bytes,
    }
}

/// Bytes at the beginning of an argument that name an option, with the `=` that a value follows; 0 for what is no option.
fn option_name(arg: &str) -> usize {
    let name = arg.trim_start_matches('-');
    if name.len() == arg.len() || !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return 0;
    }
    arg.find('=').map_or(arg.len(), |at| at + 1)
}

#[cfg(test)]
mod tests;
