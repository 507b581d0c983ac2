//! How suspicious each line of a file is, from an investigation's locations. Owns the three factors below; where locations
//! come from (traces, coverage) is `investigate`'s business.

use std::collections::BTreeMap;

use crate::lang;
use crate::model::{Investigation, Language};

/// A line beside a suspicious one.
const BESIDE: f64 = 0.6;
/// A line of the same function.
const SAME_FUNCTION: f64 = 0.3;
/// Any line of a file when nothing points into the tool at all.
const UNKNOWN: f64 = 0.2;
/// Any other line when something does.
const FLOOR: f64 = 0.02;
/// Without locations the frames of the failure stand in: each further out counts so much of the one before it.
const OUTER_FRAME: f64 = 0.7;
/// A node that covers more lines than this counts by its first line.
const NODE_LINES: u32 = 3;

/// The suspicion of every line of one file, between 0 and 1.
pub(super) struct Suspicion {
    lines: BTreeMap<u32, f64>,
    otherwise: f64,
}

impl Suspicion {
    /// For the file `path` with the text `source`; `sources` are all files of the tool.
    pub(super) fn of<V>(
        path: &str,
        language: Language,
        source: &str,
        sources: &BTreeMap<String, V>,
        found: &Investigation,
    ) -> Self {
        let places = places(sources, found);
        let informed = !places.is_empty();
        let mut suspicion = Suspicion { lines: BTreeMap::new(), otherwise: if informed { FLOOR } else { UNKNOWN } };
        let functions = lang::functions(language, source);
        let loops = if found.failure.class == "time-out" { lang::loops(language, source) } else { Vec::new() };
        for (_, line, value) in places.into_iter().filter(|(place, ..)| *place == path) {
            suspicion.raise(line, value);
            suspicion.raise(line.saturating_sub(1), value * BESIDE);
            suspicion.raise(line.saturating_add(1), value * BESIDE);
            if let Some(function) = functions.iter().rfind(|function| function.covers(line)) {
                (function.first..=function.last).for_each(|line| suspicion.raise(line, value * SAME_FUNCTION));
            }
            // A time-out is seen anywhere in the loop: the condition is as suspicious as the place.
            loops.iter().filter(|around| around.covers(line)).for_each(|around| suspicion.raise(around.first, value));
        }
        suspicion
    }

    fn raise(&mut self, line: u32, value: f64) {
        let entry = self.lines.entry(line).or_insert(self.otherwise);
        *entry = entry.max(value);
    }

    /// Whether a node on the lines `first` to `last` is more suspicious than the rest; without any hint every one is.
    pub(super) fn points_at(&self, first: u32, last: u32) -> bool {
        let last = if last.saturating_sub(first) >= NODE_LINES { first } else { last };
        self.points_into(first, last)
    }

    /// Whether any line of `first` to `last` is.
    pub(super) fn points_into(&self, first: u32, last: u32) -> bool {
        self.lines.is_empty() || self.lines.range(first..=last).next().is_some()
    }

    /// The suspicion of a node on the lines `first` to `last`.
    pub(super) fn at(&self, first: u32, last: u32) -> f64 {
        let last = if last.saturating_sub(first) >= NODE_LINES { first } else { last };
        (first..=last).filter_map(|line| self.lines.get(&line).copied()).fold(self.otherwise, f64::max)
    }
}

/// Path, line and suspicion of every place in the tool's files that the investigation names.
fn places<'a, V>(sources: &BTreeMap<String, V>, found: &'a Investigation) -> Vec<(&'a str, u32, f64)> {
    let own = |path: &str| sources.contains_key(path);
    let located = found.locations.iter().filter(|location| own(&location.path));
    let places: Vec<_> =
        located.map(|location| (location.path.as_str(), location.line, location.suspicion.clamp(0.0, 1.0))).collect();
    if !places.is_empty() {
        return places;
    }
    let frames = found.failure.frames.iter().filter(|frame| frame.in_repo && own(&frame.path));
    let mut value = 1.0 / OUTER_FRAME;
    frames
        .map(|frame| {
            value *= OUTER_FRAME;
            (frame.path.as_str(), frame.line, value)
        })
        .collect()
}
