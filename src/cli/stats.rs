//! `fractal stats`: how one tool does, by version and over time, or how all of them do. For looking at.

mod timeline;

use std::path::Path;
use std::process::ExitCode;

use jiff::Timestamp;

use self::timeline::Timeline;
use super::chart::{self, Glyphs};
use super::columns::{Cell, Column, Columns};
use super::executions::filter::known;
use super::moment::{FORMS, Moment};
use super::render::{self, Paint};
use super::{Outcome, Output, now};
use crate::engine::figures::{self, Change, Latency, Overview, Rate, ToolFigures, VersionFigures};
use crate::model::{hour_of, plain_line};
use crate::world::git::Repo;
use crate::world::store::{self, Query};
use crate::world::{files, read_config};

#[derive(clap::Args)]
#[command(after_help = FIGURES)]
pub(super) struct Stats {
    /// The tool [default: all of them, a line each, the one that is surely worst first]
    tool: Option<String>,
    #[arg(long, value_parser = Moment::parse, value_name = "WHEN", default_value = "30d", help = format!("Runs since, rounded down to the hour: {FORMS}"))]
    since: Moment,
    /// Draw with ASCII only [default: where LC_ALL, LC_CTYPE or LANG name another character set than UTF-8]
    #[arg(long)]
    ascii: bool,
    /// Draw for so many columns [default: the terminal's, or 120]
    #[arg(long, value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(60..=500))]
    width: Option<u16>,
    #[command(flatten)]
    output: Output,
}

const FIGURES: &str = r#"Success has its 95 % interval (Wilson), time taken is exact to 1 %. Errors of
the environment do not count. A version is worse or better when the factor of
the alarm says so, slower or faster when its median changed by half. News are
"new" until a cycle has looked at them.

With --json, for one tool:
  {"tool":"backup","since":"…","until":"…","runs":50,"failures":10,"errors":2,
   "success":{"rate":0.8,"low":0.67,"high":0.89},
   "latency":{"p50_ms":21.3,"p90_ms":34.0,"p99_ms":120.9},"last":"…",
   "kinds":[{"fingerprint":"f1-…","class":"OSError","message":"…","failures":8,
             "distinct_inputs":3,"last":"…"}],
   "versions":[{"version":"77aa…","commit":"1f2e…","summary":"read all at once",
                "first":"…","last":"…","runs":20,"failures":8,"errors":0,
                "success":{…},"latency":{…},"changes":["worse",{"slower":1.8}]}],
   "hours":[{"at":"…","version":"77aa…","runs":5,"failures":1,"errors":0,"latency":{…}}]}
For all tools, one a line:
  {"tool":"backup","runs":50,"failures":10,"errors":2,"success":{…},"latency":{…},
   "versions":2,"last":"…","failures_24h":3,"news":true}"#;

/// How and how wide to draw.
#[derive(Clone, Copy)]
struct Look {
    width: usize,
    glyphs: Glyphs,
    paint: Paint,
}

impl Stats {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        let repo = Repo::open(repo)?;
        let config = read_config(&repo)?;
        let store = store::open_to_read(&repo, &config)?;
        let now = now().now();
        let since = self.since.from(now);
        let look = Look {
            width: usize::from(self.width.unwrap_or_else(render::terminal_width)),
            glyphs: if self.ascii || !speaks_unicode() { Glyphs::Ascii } else { Glyphs::Unicode },
            paint: Paint::for_stdout(),
        };
        let Some(tool) = &self.tool else {
            let all = figures::of_all(store.as_ref(), since, now)?;
            if self.output.json {
                all.iter().for_each(render::say_json);
            } else if all.is_empty() && store.is_empty()? {
                render::say("no execution was ever recorded here; `fractal exec TOOL -- ARGS…` records one");
            } else if all.is_empty() {
                render::say("no tool ran in that time; `--since` looks further back");
            } else {
                say(&overview(&all, now, look), look);
                if files::stdout_is_terminal() {
                    render::say(&look.paint.dim("`fractal stats TOOL` shows one by version and over time"));
                }
            }
            return Ok(ExitCode::SUCCESS);
        };
        known(&repo, &config, store.as_ref(), tool)?;
        let figures = figures::of_tool(&repo, &config, store.as_ref(), tool, since, now)?;
        if self.output.json {
            render::say_json_pretty(&figures);
        } else if figures.versions.is_empty() {
            let newest = store.executions(&Query { tool: Some(tool), limit: 1, ..Query::default() })?;
            render::say(&match newest.first().map(|newest| newest.id.ended()) {
                Some(at) => format!(
                    "`{tool}` has no run in that time that counts; its last one ended {}: look further back with `--since`",
                    render::ago(at, now)
                ),
                None => format!("no run of `{tool}` is recorded; `fractal exec {tool} -- ARGS…` records one"),
            });
        } else {
            say(&one(&figures, now, look), look);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn say(lines: &[String], look: Look) {
    lines.iter().all(|line| render::goes_on(&look.glyphs.text(line)));
}

/// What the environment says of the terminal's character set; UTF-8 when it says nothing.
fn speaks_unicode() -> bool {
    let said = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(files::variable);
    let is_utf8 = |locale: &String| {
        let locale = locale.to_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    };
    said.as_ref().is_none_or(is_utf8) && files::variable("TERM").is_none_or(|terminal| terminal != "dumb")
}

// ---- one tool ----

fn one(figures: &ToolFigures, now: Timestamp, look: Look) -> Vec<String> {
    let mut lines = head(figures, now, look);
    lines.extend(kinds(figures, now, look));
    lines.extend(versions(figures, now, look));
    let columns = look.width.saturating_sub(Timeline::MARGIN);
    match Timeline::of(figures, columns) {
        Some(timeline) => lines.extend(timeline.draw(look)),
        None => {
            lines.extend([String::new(), look.paint.dim("all of it within one hour: a chart over time begins with the second")])
        }
    }
    lines
}

fn head(figures: &ToolFigures, now: Timestamp, look: Look) -> Vec<String> {
    let paint = look.paint;
    let line = |name: &str, value: String| format!("  {} {value}", paint.dim(&format!("{name:<8}")));
    let plural = |count: u64, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    let since = figures.since.strftime("%Y-%m-%d %H:%M UTC");
    let versions = plural(figures.versions.len() as u64, "version");
    let mut lines = vec![
        format!("{}  since {since}", paint.bold(&plain_line(&figures.tool, 40))),
        line("runs", format!("{}, {} failed, {versions}", figures.counts.runs, figures.counts.failures)),
    ];
    if figures.errors > 0 {
        lines.push(line("errors", format!("{} of the environment, not counted", figures.errors)));
    }
    lines.extend(figures.last.map(|last| line("last", render::ago(last, now))));
    lines.extend(figures.success.map(|success| line("success", format!("{} ({})", rated(success, paint), between(success)))));
    lines.extend(figures.latency.map(|Latency { p50, p90, p99 }| {
        line("took", format!("p50 {}, p90 {}, p99 {}", render::took(p50), render::took(p90), render::took(p99)))
    }));
    lines
}

fn rated(success: Rate, paint: Paint) -> String {
    colour_of(success)(paint, &format!("{:.2}", success.rate))
}

/// By what is sure: red when it surely fails often, green when it surely does not.
fn colour_of(success: Rate) -> fn(Paint, &str) -> String {
    match success {
        Rate { high, .. } if high < 0.7 => Paint::red,
        Rate { low, .. } if low >= 0.9 => Paint::green,
        Rate { rate, .. } if rate < 0.9 => Paint::yellow,
        _ => |_, text| text.to_string(),
    }
}

fn between(success: Rate) -> String {
    format!("{:.2}–{:.2}", success.low, success.high)
}

fn kinds(figures: &ToolFigures, now: Timestamp, look: Look) -> Vec<String> {
    const SHOWN: usize = 5;
    const COLUMNS: [Column; 6] = [
        Column::right("failures", 0),
        Column::right("inputs", 2),
        Column::right("last", 3),
        Column::left("kind", 4),
        Column::left("class", 1),
        Column::rest("message"),
    ];
    if figures.kinds.is_empty() {
        return Vec::new();
    }
    let row = |kind: &figures::KindFigures| {
        // Most messages begin with the class.
        let message =
            kind.message.strip_prefix(&kind.class).map_or(kind.message.as_str(), |rest| rest.trim_start_matches([':', ' ']));
        vec![
            Cell::of(kind.failures.to_string(), Paint::red),
            Cell::plain(kind.distinct_inputs.to_string()),
            Cell::plain(render::ago(kind.last, now)),
            Cell::of(plain_line(kind.fingerprint.as_str(), 40), Paint::dim),
            Cell::plain(plain_line(&kind.class, 24)),
            Cell::plain(plain_line(message, 300)),
        ]
    };
    let rows: Vec<Vec<Cell>> = figures.kinds.iter().take(SHOWN).map(row).collect();
    let columns = Columns::of(&COLUMNS, &rows, look.width, look.paint);
    let mut lines = vec![String::new(), columns.head()];
    lines.extend(rows.iter().map(|row| columns.line(row)));
    if figures.kinds.len() > SHOWN {
        lines.push(look.paint.dim(&format!("and {} more kinds of failure, with `--json`", figures.kinds.len() - SHOWN)));
    }
    lines
}

// ---- versions ----

/// The colours that versions have in the charts.
const HUES: [fn(Paint, &str) -> String; 6] = [
    |paint, text| paint.hue(0, text),
    |paint, text| paint.hue(1, text),
    |paint, text| paint.hue(2, text),
    |paint, text| paint.hue(3, text),
    |paint, text| paint.hue(4, text),
    |paint, text| paint.hue(5, text),
];

/// The letter of a version in tables and charts; the newest 26 have one.
fn letter(at: usize, of: usize) -> char {
    let first = of.saturating_sub(26);
    at.checked_sub(first).and_then(|at| u8::try_from(at).ok()).map_or('.', |at| char::from(b'A' + at))
}

fn versions(figures: &ToolFigures, now: Timestamp, look: Look) -> Vec<String> {
    const SHOWN: usize = 12;
    const COLUMNS: [Column; 13] = [
        Column::left("", 0),
        Column::left("version", 0),
        Column::right("runs", 3),
        Column::left("0 .. success .. 1", 4),
        Column::left("rate", 0),
        Column::left("95 %", 7),
        Column::right("p50", 2),
        Column::right("p90", 5),
        Column::right("p99", 9),
        Column::right("first run", 8),
        Column::right("last run", 6),
        Column::left("change", 1),
        Column::rest("commit"),
    ];
    let of = figures.versions.len();
    let newest = figures.versions.iter().enumerate().rev().take(SHOWN);
    let rows: Vec<Vec<Cell>> = newest.map(|(at, version)| row(version, letter(at, of), at, now, look)).collect();
    let columns = Columns::of(&COLUMNS, &rows, look.width, look.paint);
    let mut lines = vec![String::new(), columns.head()];
    lines.extend(rows.iter().map(|row| columns.line(row)));
    if of > SHOWN {
        lines.push(look.paint.dim(&format!("and {} earlier versions, with `--json`", of - SHOWN)));
    }
    lines
}

fn row(figures: &VersionFigures, letter: char, hue: usize, now: Timestamp, look: Look) -> Vec<Cell> {
    const PICTURE: usize = 17;
    let rate = figures.success.unwrap_or(Rate { rate: 1.0, low: 0.0, high: 1.0 });
    let took = |quantile: fn(&Latency) -> std::time::Duration| {
        figures.latency.as_ref().map_or_else(String::new, |latency| render::took(quantile(latency)))
    };
    let (change, colour) = change(&figures.changes);
    vec![
        Cell::of(letter, HUES[hue % HUES.len()]),
        Cell::of(plain_line(figures.version.short(), 8), Paint::dim),
        Cell::plain(figures.counts.runs.to_string()),
        Cell::of(chart::interval(rate.low, rate.rate, rate.high, PICTURE, look.glyphs), colour_of(rate)),
        Cell::of(format!("{:.2}", rate.rate), colour_of(rate)),
        Cell::plain(between(rate)),
        Cell::plain(took(|latency| latency.p50)),
        Cell::plain(took(|latency| latency.p90)),
        Cell::plain(took(|latency| latency.p99)),
        Cell::plain(render::ago(figures.first, now)),
        Cell::plain(render::ago(figures.last, now)),
        Cell::of(change, colour),
        Cell::plain(plain_line(figures.summary.as_deref().unwrap_or_default(), 200)),
    ]
}

fn change(changes: &[Change]) -> (String, fn(Paint, &str) -> String) {
    let word = |change: &Change| match change {
        Change::Worse => "worse".to_string(),
        Change::Better => "better".to_string(),
        Change::Slower(factor) => format!("{factor:.1} × slower"),
        Change::Faster(factor) => format!("{factor:.1} × faster"),
    };
    let colour: fn(Paint, &str) -> String = match changes.first() {
        Some(Change::Worse | Change::Slower(_)) => Paint::red,
        Some(Change::Better | Change::Faster(_)) => Paint::green,
        None => |_, text| text.to_string(),
    };
    (changes.iter().map(word).collect::<Vec<_>>().join(", "), colour)
}

// ---- all tools ----

fn overview(all: &[Overview], now: Timestamp, look: Look) -> Vec<String> {
    const COLUMNS: [Column; 9] = [
        Column::left("tool", 0),
        Column::left("success over time", 2),
        Column::left("rate", 0),
        Column::left("95 %", 4),
        Column::right("runs", 1),
        Column::right("versions", 6),
        Column::right("p50", 5),
        Column::right("last run", 3),
        Column::rest("news"),
    ];
    let picture = [(130, 30), (100, 20)].into_iter().find(|(width, _)| look.width >= *width).map_or(17, |(_, picture)| picture);
    let now_hour = hour_of(now.as_millisecond());
    let first = all.iter().flat_map(|tool| &tool.hours).map(|(hour, _)| *hour).min().unwrap_or(now_hour);
    let row = |tool: &Overview| {
        let rate = tool.success.unwrap_or(Rate { rate: 1.0, low: 0.0, high: 1.0 });
        let news = match (tool.failures_24h, tool.news) {
            (0, false) => String::new(),
            (0, true) => "new".into(),
            (failures, false) => format!("{failures} failed in 24 h"),
            (failures, true) => format!("{failures} failed in 24 h, new"),
        };
        vec![
            Cell::of(plain_line(&tool.tool, 40), Paint::bold),
            Cell::of(timeline::sparkline(&tool.hours, (first, now_hour), picture, look.glyphs), colour_of(rate)),
            Cell::of(format!("{:.2}", rate.rate), colour_of(rate)),
            Cell::plain(between(rate)),
            Cell::plain(tool.counts.runs.to_string()),
            Cell::plain(tool.versions.to_string()),
            Cell::plain(tool.latency.map_or_else(String::new, |latency| render::took(latency.p50))),
            Cell::plain(render::ago(tool.last, now)),
            Cell::plain(news),
        ]
    };
    let rows: Vec<Vec<Cell>> = all.iter().map(row).collect();
    let columns = Columns::of(&COLUMNS, &rows, look.width, look.paint);
    [columns.head()].into_iter().chain(rows.iter().map(|row| columns.line(row))).collect()
}

#[cfg(test)]
mod tests;
