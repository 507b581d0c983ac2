//! The charts over time: success, runs and time taken, in buckets of some hours, with the versions below.

use jiff::Timestamp;

use super::super::chart::{self, Glyphs, Grid, Span};
use super::super::render;
use super::{Look, letter};
use crate::engine::figures::ToolFigures;
use crate::model::{Counts, Sketch, hour_begins, hour_of};

/// Hours of a bucket.
const SIZES: [i64; 10] = [1, 2, 3, 6, 12, 24, 48, 168, 720, 8_760];
/// Buckets have so many runs on average, or there are no more than these.
const RUNS: u64 = 5;
const BUCKETS: usize = 24;
/// Columns of a bucket.
const STRETCH: usize = 6;
const HEIGHT: usize = 5;
const DAY: i64 = 24;

#[derive(Clone, Default)]
struct Bucket {
    counts: Counts,
    durations: Sketch,
    /// Runs by version.
    versions: Vec<(usize, u64)>,
    /// Versions that ran for the first time.
    new: Vec<usize>,
}

/// Buckets from the first run to now.
pub(super) struct Timeline {
    /// Hours since the Unix epoch.
    begin: i64,
    size: i64,
    stretch: usize,
    versions: usize,
    buckets: Vec<Bucket>,
}

/// The size of buckets, the hour in which the first begins, and how many there are: the smallest ones that fit and have something
/// to tell.
fn sizes(first: i64, last: i64, runs: u64, columns: usize) -> (i64, i64, usize) {
    let count = |size: i64| usize::try_from(last.div_euclid(size) - first.div_euclid(size) + 1).unwrap_or(usize::MAX);
    let tells = |size: i64| count(size) <= BUCKETS || count(size) as u64 * RUNS <= runs;
    let size = SIZES.into_iter().find(|size| count(*size) <= columns && tells(*size));
    let size = size.unwrap_or(last - first + 1);
    (size, first.div_euclid(size) * size, count(size).min(columns))
}

impl Timeline {
    /// Columns to the left of a chart.
    pub(super) const MARGIN: usize = 10;

    /// `None` when there is not more than one hour to tell of.
    pub(super) fn of(figures: &ToolFigures, columns: usize) -> Option<Timeline> {
        let (first, now) = (figures.hours.first()?.hour, hour_of(figures.until.as_millisecond()));
        let last = now.max(figures.hours.last()?.hour);
        if first == last || columns == 0 {
            return None;
        }
        let (size, begin, count) = sizes(first, last, figures.counts.runs, columns);
        let mut buckets = vec![Bucket::default(); count];
        let mut known = vec![false; figures.versions.len()];
        for hour in &figures.hours {
            let at = usize::try_from((hour.hour - begin).div_euclid(size)).ok()?;
            let (Some(bucket), Some(version)) =
                (buckets.get_mut(at), figures.versions.iter().position(|version| version.version == hour.version))
            else {
                continue;
            };
            bucket.counts.runs += hour.counts.runs;
            bucket.counts.failures += hour.counts.failures;
            bucket.durations.merge(&hour.durations);
            match bucket.versions.iter_mut().find(|(known, _)| *known == version) {
                Some((_, runs)) => *runs += hour.counts.runs,
                None => bucket.versions.push((version, hour.counts.runs)),
            }
            if !std::mem::replace(&mut known[version], true) {
                bucket.new.push(version);
            }
        }
        let stretch = (columns / count).clamp(1, STRETCH);
        Some(Timeline { begin, size, stretch, versions: figures.versions.len(), buckets })
    }

    pub(super) fn draw(&self, look: Look) -> Vec<String> {
        let every = match self.size {
            1 => "hour".to_string(),
            24 => "day".to_string(),
            size if size % 24 == 0 => format!("{} days", size / 24),
            size => format!("{size} hours"),
        };
        let paint = look.paint;
        let rate = |bucket: &Bucket| (bucket.counts.runs > 0).then(|| bucket.counts.success_rate());
        let rates: Vec<Option<f64>> = self.buckets.iter().map(rate).collect();
        let mut lines = vec![String::new(), format!("{}  {}", paint.bold("success"), paint.dim(&format!("each {every}, UTC")))];
        lines.extend(self.chart(chart::bars(&rates, HEIGHT, look.glyphs), "1.00", "0.00", look));
        lines.push(self.below("version", self.marks(), look));
        lines.push(self.below("", chart::labels(&self.times(), self.width()), look));
        let runs = |bucket: &Bucket| (bucket.counts.runs > 0).then_some(bucket.counts.runs as f64);
        let runs: Vec<Option<f64>> = self.buckets.iter().map(runs).collect();
        let most = runs.iter().flatten().fold(0.0_f64, |most, runs| most.max(*runs));
        let line: Grid = vec![chart::sparkline(&runs, look.glyphs).chars().collect()];
        lines.push(self.below("runs", self.coloured(&chart::stretched(line, self.stretch)[0], look), look));
        lines.push(self.below("", paint.dim(&format!("at most {most} in one")), look));
        lines.extend(self.latency(look));
        lines
    }

    fn latency(&self, look: Look) -> Vec<String> {
        let span = |bucket: &Bucket| -> Option<Span> { Some((bucket.durations.quantile(0.5)?, bucket.durations.quantile(0.9)?)) };
        let spans: Vec<Option<Span>> = self.buckets.iter().map(span).collect();
        let low = spans.iter().flatten().map(|span| span.0).min();
        let high = spans.iter().flatten().map(|span| span.1).max();
        let (Some(low), Some(high)) = (low, high) else { return Vec::new() };
        let dot = look.glyphs.pick('⣀', 'o');
        let title = look.paint.dim(&format!("median ({dot}) up to p90, logarithmic"));
        let mut lines = vec![String::new(), format!("{}  {title}", look.paint.bold("took"))];
        let drawn = chart::bands(&spans, (low, high), HEIGHT, look.glyphs);
        lines.extend(self.chart(drawn, &render::took(high), &render::took(low), look));
        lines.push(self.below("version", self.marks(), look));
        lines
    }

    fn width(&self) -> usize {
        self.buckets.len() * self.stretch
    }

    /// A grid with its scale to the left and a line below.
    fn chart(&self, grid: Grid, top: &str, bottom: &str, look: Look) -> Vec<String> {
        let (tick, side, corner, floor) =
            (look.glyphs.pick('┤', '+'), look.glyphs.pick('│', '|'), look.glyphs.pick('└', '+'), look.glyphs.pick('─', '-'));
        let label = Self::MARGIN - 2;
        let rows = chart::stretched(grid, self.stretch);
        let last = rows.len() - 1;
        let line = |(at, row): (usize, &Vec<char>)| {
            let (text, side) = match at {
                0 => (top, tick),
                at if at == last => (bottom, tick),
                _ => ("", side),
            };
            format!("{text:>label$} {side}{}", self.coloured(row, look)).trim_end().to_string()
        };
        let mut lines: Vec<String> = rows.iter().enumerate().map(line).collect();
        lines.push(format!("{:>label$} {corner}{}", "", floor.to_string().repeat(self.width())));
        lines
    }

    /// A row in the colours of the versions that ran most.
    fn coloured(&self, row: &[char], look: Look) -> String {
        let mut text = String::new();
        let columns: Vec<(Option<usize>, char)> =
            row.iter().enumerate().map(|(at, c)| (self.buckets.get(at / self.stretch).and_then(version), *c)).collect();
        for part in columns.chunk_by(|a, b| a.0 == b.0) {
            let part_text: String = part.iter().map(|(_, c)| *c).collect();
            match part[0].0 {
                Some(version) => text.push_str(&look.paint.hue(version, &part_text)),
                None => text.push_str(&part_text),
            }
        }
        text
    }

    fn below(&self, name: &str, text: String, look: Look) -> String {
        let name = format!("{name:>width$}  ", width = Self::MARGIN - 2);
        format!("{}{text}", look.paint.dim(&name)).trim_end().to_string()
    }

    /// The letter of each version where it first ran; `+` where several did.
    fn marks(&self) -> String {
        let mut line = vec![' '; self.width()];
        for (at, bucket) in self.buckets.iter().enumerate() {
            let room = &mut line[at * self.stretch..(at + 1) * self.stretch];
            let letters: Vec<char> = bucket.new.iter().map(|version| letter(*version, self.versions)).collect();
            match letters.len() {
                several if several > room.len() => room[0] = '+',
                _ => room.iter_mut().zip(letters).for_each(|(place, letter)| *place = letter),
            }
        }
        line.into_iter().collect::<String>().trim_end().to_string()
    }

    /// Days, hours within few days, months within many.
    fn times(&self) -> Vec<(usize, String)> {
        let hours = self.size * self.buckets.len() as i64;
        let form = match hours {
            ..=48 => "%H:%M",
            49..=7_200 => "%m-%d",
            _ => "%Y-%m",
        };
        let begins = |at: usize| self.begin + self.size * at as i64;
        let is_tick = |hour: i64| hours <= 48 || hour.rem_euclid(DAY) < self.size;
        let label = |hour: i64| {
            Timestamp::from_millisecond(hour_begins(hour)).map(|at| at.strftime(form).to_string()).unwrap_or_default()
        };
        let ticks = (0..self.buckets.len()).filter(|at| is_tick(begins(*at)));
        ticks.map(|at| (at * self.stretch, label(begins(at)))).collect()
    }
}

/// The version that ran most in a bucket.
fn version(bucket: &Bucket) -> Option<usize> {
    bucket.versions.iter().max_by_key(|(_, runs)| *runs).map(|(version, _)| *version)
}

/// The success of a tool from the first hour to the last, in one line of at most `columns`.
pub(super) fn sparkline(hours: &[(i64, Counts)], (first, last): (i64, i64), columns: usize, glyphs: Glyphs) -> String {
    let span = (last - first + 1).max(1);
    let columns = usize::try_from(span).map_or(columns, |span| span.min(columns));
    let mut buckets = vec![Counts::default(); columns];
    for (hour, counts) in hours {
        let at = usize::try_from((hour - first) * columns as i64 / span).unwrap_or(0).min(columns - 1);
        buckets[at].runs += counts.runs;
        buckets[at].failures += counts.failures;
    }
    let rates: Vec<Option<f64>> = buckets.iter().map(|counts| (counts.runs > 0).then(|| counts.success_rate())).collect();
    let drawn = chart::bars(&rates, 1, glyphs).concat();
    drawn.into_iter().map(|c| if c == ' ' { glyphs.pick('·', '_') } else { c }).collect()
}
