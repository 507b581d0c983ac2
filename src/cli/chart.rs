//! Pictures of figures in text: bars, bands, intervals and sparklines, in Unicode or in ASCII. A gap is a gap, and never zero.
//!
//! Deliberately not here: colours (a picture is a grid of characters, whoever prints it knows what a column is), axes with words.
//! Crates for this draw lines through gaps, know one series, or bring a whole screen with them.

use std::time::Duration;

/// What pictures are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Glyphs {
    Unicode,
    Ascii,
}

/// Rows of characters, the top one first. All are equally long.
pub(super) type Grid = Vec<Vec<char>>;

/// Heights that one character can have.
const STEPS: usize = 8;
const BLOCKS: [char; STEPS + 1] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const MARKS: [char; STEPS + 1] = [' ', '.', '.', ':', ':', '|', '|', '#', '#'];
/// Dots of a braille character from the bottom: the left column, and both.
const LEFT: [u32; 4] = [0x40, 0x04, 0x02, 0x01];
const BOTH: [u32; 4] = [0xc0, 0x24, 0x12, 0x09];

impl Glyphs {
    pub(super) fn pick(self, unicode: char, ascii: char) -> char {
        match self {
            Glyphs::Unicode => unicode,
            Glyphs::Ascii => ascii,
        }
    }

    /// A character filled to so many of `STEPS`.
    fn step(self, step: usize) -> char {
        self.pick(BLOCKS[step.min(STEPS)], MARKS[step.min(STEPS)])
    }

    /// Text with nothing in it that an ASCII terminal cannot show.
    pub(super) fn text(self, text: &str) -> String {
        match self {
            Glyphs::Unicode => text.to_string(),
            Glyphs::Ascii => text.chars().map(ascii).collect(),
        }
    }
}

fn ascii(c: char) -> char {
    match c {
        c if c.is_ascii() => c,
        '×' => 'x',
        '–' | '—' | '─' => '-',
        '…' => '~',
        'µ' => 'u',
        _ => '?',
    }
}

/// Bars from the bottom, one for each value between 0 and 1. The smallest has a little height: it is there.
pub(super) fn bars(values: &[Option<f64>], height: usize, glyphs: Glyphs) -> Grid {
    let most = height * STEPS;
    let filled = |value: &Option<f64>| value.map_or(0, |value| ((value * most as f64).round() as usize).clamp(1, most));
    let rows = (0..height).rev();
    rows.map(|row| values.iter().map(|value| glyphs.step(filled(value).saturating_sub(row * STEPS))).collect()).collect()
}

/// One row of bars, relative to the greatest value.
pub(super) fn sparkline(values: &[Option<f64>], glyphs: Glyphs) -> String {
    let most = values.iter().flatten().fold(0.0_f64, |most, value| most.max(*value));
    let share = |value: &Option<f64>| value.map(|value| if most > 0.0 { value / most } else { 0.0 });
    let shares: Vec<Option<f64>> = values.iter().map(share).collect();
    bars(&shares, 1, glyphs).concat().into_iter().collect()
}

/// The middle one of durations and how far up most of the others reach.
pub(super) type Span = (Duration, Duration);

/// Spans on a logarithmic scale from `low` to `high`: a double dot (`o`) where they begin, and a line up to where they end.
pub(super) fn bands(spans: &[Option<Span>], (low, high): Span, height: usize, glyphs: Glyphs) -> Grid {
    let levels = height * LEFT.len();
    let ln = |duration: Duration| (duration.as_nanos().max(1) as f64).ln();
    let (low, range) = (ln(low), (ln(high) - ln(low)).max(f64::MIN_POSITIVE));
    let level =
        |duration: Duration| (((ln(duration) - low) / range * (levels - 1) as f64).round().max(0.0) as usize).min(levels - 1);
    let cell = |span: &Option<Span>, row: usize| -> char {
        let Some((from, to)) = span.map(|(from, to)| (level(from), level(to))) else { return ' ' };
        let own = row * LEFT.len()..(row + 1) * LEFT.len();
        if glyphs == Glyphs::Ascii {
            return match own {
                own if own.contains(&from) => 'o',
                own if from < own.start && own.start <= to => '|',
                _ => ' ',
            };
        }
        let dots = own.enumerate().map(|(dot, level)| match level {
            level if level == from => BOTH[dot],
            level if (from..=to).contains(&level) => LEFT[dot],
            _ => 0,
        });
        match dots.fold(0, |sum, dot| sum | dot) {
            0 => ' ',
            dots => char::from_u32(0x2800 + dots).unwrap_or(' '),
        }
    };
    (0..height).rev().map(|row| spans.iter().map(|span| cell(span, row)).collect()).collect()
}

/// A rate and its interval between 0 and 1, on a line of `width` characters.
pub(super) fn interval(low: f64, value: f64, high: f64, width: usize, glyphs: Glyphs) -> String {
    let at = |value: f64| (value.clamp(0.0, 1.0) * (width - 1) as f64).round() as usize;
    let (low, value, high) = (at(low), at(value), at(high));
    let mark = |column: usize| match column {
        column if column == value => glyphs.pick('●', 'o'),
        column if column == low => glyphs.pick('├', '['),
        column if column == high => glyphs.pick('┤', ']'),
        column if (low..high).contains(&column) => glyphs.pick('─', '-'),
        _ => glyphs.pick('·', '.'),
    };
    (0..width).map(mark).collect()
}

/// Every character of each row so many times.
pub(super) fn stretched(grid: Grid, times: usize) -> Grid {
    grid.into_iter().map(|row| row.into_iter().flat_map(|c| std::iter::repeat_n(c, times)).collect()).collect()
}

/// Labels below columns, each where it belongs if it fits after the one before.
pub(super) fn labels(labels: &[(usize, String)], width: usize) -> String {
    let mut line: Vec<char> = Vec::new();
    for (column, label) in labels {
        let after_gap = if line.is_empty() { 0 } else { line.len() + 2 };
        if *column >= after_gap && column + label.chars().count() <= width {
            line.resize(*column, ' ');
            line.extend(label.chars());
        }
    }
    line.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(grid: &Grid) -> Vec<String> {
        grid.iter().map(|row| row.iter().collect()).collect()
    }

    #[test]
    fn nothing_is_a_gap_and_zero_is_a_low_bar() {
        let values = [Some(1.0), Some(0.5), None, Some(0.0), Some(0.75), Some(0.95)];
        assert_eq!(text(&bars(&values, 2, Glyphs::Unicode)), ["█   ▄▇", "██ ▁██"]);
        assert_eq!(text(&bars(&values, 2, Glyphs::Ascii)), ["#   :#", "## .##"]);
        assert_eq!(text(&bars(&[], 2, Glyphs::Unicode)), ["", ""]);
    }

    #[test]
    fn a_sparkline_is_relative_to_its_greatest_value() {
        let values = [Some(0.0), Some(5.0), None, Some(10.0)];
        assert_eq!(sparkline(&values, Glyphs::Unicode), "▁▄ █");
        assert_eq!(sparkline(&values, Glyphs::Ascii), ".: #");
        assert_eq!(sparkline(&[Some(0.0), None], Glyphs::Unicode), "▁ ");
    }

    #[test]
    fn bands_lie_on_a_logarithmic_scale() {
        let ms = Duration::from_millis;
        let spans = [Some((ms(1), ms(1))), Some((ms(10), ms(100))), None, Some((ms(1), ms(1_000)))];
        let drawn = bands(&spans, (ms(1), ms(1_000)), 2, Glyphs::Unicode);
        assert_eq!(text(&drawn), [" ⡄ ⡇", "⣀⠓ ⣇"]);
        let drawn = bands(&spans, (ms(1), ms(1_000)), 2, Glyphs::Ascii);
        assert_eq!(text(&drawn), [" | |", "oo o"]);
        assert_eq!(text(&bands(&spans[..1], (ms(1), ms(1)), 1, Glyphs::Unicode)), ["⣀"]);
    }

    #[test]
    fn an_interval_has_two_ends_and_a_value_between() {
        assert_eq!(interval(0.2, 0.5, 0.9, 11, Glyphs::Unicode), "··├──●───┤·");
        assert_eq!(interval(0.2, 0.5, 0.9, 11, Glyphs::Ascii), "..[--o---].");
        assert_eq!(interval(0.9, 1.0, 1.0, 11, Glyphs::Ascii), ".........[o");
    }

    #[test]
    fn labels_stand_below_their_columns_or_not_at_all() {
        let at = |column: usize, text: &str| (column, text.to_string());
        assert_eq!(labels(&[at(0, "11-23"), at(4, "11-24"), at(8, "11-25"), at(18, "11-26")], 20), "11-23   11-25");
    }
}
