//! How things look: lines, tables, colours, progress. Plain where nobody watches.

use std::borrow::Cow;
use std::io::Write;
use std::sync::{Mutex, OnceLock};

use comfy_table::{Cell, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::plain::{inert, uncommanding, visible_in_colour};
use crate::engine::{CycleReport, Progress, Stage};
use crate::model::{CheckStatus, Counts, Level, Priority, Verdict};
use crate::world::files;

/// Width of tables where there is no terminal to ask.
const WIDTH: u16 = 120;

/// Why output was lost, the first time.
static LOST: OnceLock<String> = OnceLock::new();

/// Writes to standard output. A reader that went away is no error, and ends nothing: a cycle goes on to its end unseen.
pub(super) fn say(text: &str) {
    goes_on(text);
}

/// Writes to standard output; whether anybody reads on.
pub(super) fn goes_on(text: &str) -> bool {
    let text = visible_in_colour(text);
    let text = quiet(&text);
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    written.map_err(lose).is_ok()
}

/// Writes bytes to standard output as they are.
pub(super) fn write_bytes(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush()).map_err(lose);
}

/// Says something on standard error that is no error.
pub(super) fn note(text: &str) {
    let paint = Paint::for_stderr();
    let _ = std::io::stderr().write_all(quiet(&format!("{} {text}\n", paint.cyan("note:"))).as_bytes());
}

/// Remembers why output was lost, unless its reader went away.
pub(super) fn lose(error: std::io::Error) {
    if error.kind() != std::io::ErrorKind::BrokenPipe {
        let _ = LOST.set(error.to_string());
    }
}

/// Why something that was said did not reach standard output.
pub(super) fn lost() -> Option<&'static str> {
    LOST.get().map(String::as_str)
}

/// Writes one JSON value on one line.
pub(super) fn say_json(value: &impl serde::Serialize) {
    say(&inert(&serde_json::to_string(value).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))));
}

/// Writes one JSON value for reading.
pub(super) fn say_json_pretty(value: &impl serde::Serialize) {
    say(&inert(&serde_json::to_string_pretty(value).unwrap_or_default()));
}

/// An error on standard error, with what to do about it.
pub(super) fn complain(message: &str, hint: Option<&str>) {
    let paint = Paint::for_stderr();
    let mut text = format!("{} {message}\n", paint.with("1;31", "error:"));
    if let Some(hint) = hint {
        text.push_str(&format!("{} {hint}\n", paint.cyan("hint:")));
    }
    let _ = std::io::stderr().write_all(quiet(&text).as_bytes());
}

/// Text as it may stand in the log of a job on GitHub, where some lines command the runner; anywhere else as it is.
fn quiet(text: &str) -> Cow<'_, str> {
    static RUNNER: OnceLock<bool> = OnceLock::new();
    match *RUNNER.get_or_init(|| files::variable("GITHUB_ACTIONS").is_some_and(|value| value == "true")) {
        true => Cow::Owned(uncommanding(text)),
        false => Cow::Borrowed(text),
    }
}

/// Standard error for what is logged on the way.
pub(super) struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::io::stderr().write_all(quiet(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// Colours for a terminal; no colours elsewhere or when `NO_COLOR` is set.
#[derive(Clone, Copy)]
pub(super) struct Paint(bool);

impl Paint {
    pub(super) fn for_stdout() -> Self {
        Paint(files::stdout_is_terminal() && files::variable("NO_COLOR").is_none())
    }

    pub(super) fn for_stderr() -> Self {
        Paint(files::stderr_is_terminal() && files::variable("NO_COLOR").is_none())
    }

    /// No colours.
    #[cfg(test)]
    pub(super) fn off() -> Self {
        Paint(false)
    }

    pub(super) fn is_on(self) -> bool {
        self.0
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(super) fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(super) fn red(self, text: &str) -> String {
        self.with("31", text)
    }

    pub(super) fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }

    pub(super) fn cyan(self, text: &str) -> String {
        self.with("36", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    /// One of a few colours that mean nothing, neighbours differ.
    pub(super) fn hue(self, number: usize, text: &str) -> String {
        self.with(["36", "35", "34", "33", "96", "95"][number % 6], text)
    }

    pub(super) fn level(self, level: Level) -> String {
        match level {
            Level::Land => self.green("land"),
            Level::Review => self.yellow("review"),
            Level::Draft | Level::Abstain => self.red(&level.to_string()),
        }
    }

    pub(super) fn stage(self, stage: Stage) -> String {
        match stage {
            Stage::Kept => self.green(stage.word()),
            Stage::Reverted | Stage::Stuck => self.red(stage.word()),
            Stage::Proposed | Stage::Watching | Stage::Inconclusive => self.yellow(stage.word()),
            _ => stage.word().to_string(),
        }
    }
}

/// A table that fits the terminal.
pub(super) fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(terminal_width());
    table.set_header(head.map(Cell::new));
    for row in rows {
        table.add_row(row.map(Cell::new));
    }
    table.to_string()
}

/// Columns that lines may have.
pub(super) fn terminal_width() -> u16 {
    files::terminal_columns().filter(|columns| *columns >= 40).unwrap_or(WIDTH)
}

pub(super) fn rate(counts: Counts) -> String {
    if counts.runs == 0 { "-".into() } else { format!("{:.2}", counts.success_rate()) }
}

pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs().max(0);
    match seconds {
        0..=59 => format!("{seconds} s ago"),
        60..=3599 => format!("{} min ago", seconds / 60),
        3600..=86_399 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// A length of time with two or three digits.
pub(super) fn took(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs_f64();
    let number = |value: f64| if value < 9.95 { format!("{value:.1}") } else { format!("{value:.0}") };
    match seconds {
        ..0.000_999_5 => format!("{} µs", number(seconds * 1e6)),
        ..0.999_5 => format!("{} ms", number(seconds * 1e3)),
        ..119.5 => format!("{} s", number(seconds)),
        ..7_170.0 => format!("{} min", number(seconds / 60.0)),
        ..172_800.0 => format!("{} h", number(seconds / 3_600.0)),
        _ => format!("{} d", number(seconds / 86_400.0)),
    }
}

/// A bar for bytes that are read, where somebody watches and it takes a while.
pub(super) fn bar(bytes: Option<u64>) -> Option<ProgressBar> {
    const A_WHILE: u64 = 8 << 20;
    let bytes = bytes.filter(|bytes| *bytes >= A_WHILE && files::stderr_is_terminal())?;
    let style = ProgressStyle::with_template("{bar:32} {percent:>3} % of {total_bytes}, {eta} left {msg}");
    Some(ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
}

/// Something that turns while it takes as long as it takes, where somebody watches.
pub(super) fn spinner() -> Option<ProgressBar> {
    let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
    files::stderr_is_terminal()
        .then(|| ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner())))
}

/// A number of things, in words: `1 run`, `2 runs`.
pub(super) fn count(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Bytes for people.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..0x0010_0000 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// A verdict as people read it: how far it goes, every check, and what is in the way.
pub(super) fn verdict(verdict: &Verdict, paint: Paint) -> String {
    let mut lines = Vec::new();
    for check in &verdict.checks {
        let mark = format!("{:<7}", check.status);
        let mark = match check.status {
            CheckStatus::Passed => paint.green(&mark),
            CheckStatus::Weak | CheckStatus::Skipped => paint.yellow(&mark),
            CheckStatus::Failed => paint.red(&mark),
        };
        lines.push(format!("    {mark} {:<16} {}", check.name, check.detail));
        lines.extend(check.listed.iter().map(|line| paint.dim(&format!("                             {line}"))));
    }
    let why = match (verdict.level, verdict.doubts.first()) {
        (Level::Land, _) => "it may land without a person".to_string(),
        (_, Some(doubt)) => doubt.clone(),
        (_, None) => "judged by an older version".to_string(),
    };
    lines.push(format!("    {} {why}", paint.level(verdict.level)));
    lines.join("\n")
}

/// Tells a cycle's progress: JSON lines, or lines for people with a spinner on a terminal.
pub(super) struct Teller {
    json: bool,
    /// Say what nothing follows from as well (waiting watches).
    verbose: bool,
    paint: Paint,
    spinner: Option<ProgressBar>,
    told: Mutex<()>,
}

impl Teller {
    pub(super) fn new(json: bool, verbose: bool) -> Self {
        let spinner = (!json && files::stderr_is_terminal()).then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar
        });
        Teller { json, verbose, paint: Paint::for_stdout(), spinner, told: Mutex::new(()) }
    }

    pub(super) fn tell(&self, progress: &Progress) {
        let _one_at_a_time = self.told.lock();
        if self.json {
            return say_json(progress);
        }
        if let Some(activity) = activity(progress) {
            if let Some(spinner) = &self.spinner {
                spinner.enable_steady_tick(std::time::Duration::from_millis(120));
                spinner.set_message(activity);
            }
            return;
        }
        let Some(text) = self.line(progress) else { return };
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
        say(&text);
    }

    fn line(&self, progress: &Progress) -> Option<String> {
        let p = self.paint;
        let row = |word: String, width: usize, tool: &str, text: &str| {
            let pad = " ".repeat(13_usize.saturating_sub(width));
            format!("  {word}{pad}{:<18} {text}", tool)
        };
        let plain = |word: &str, tool: &str, text: &str| row(word.to_string(), word.len(), tool, text);
        Some(match progress {
            Progress::CycleStarted { base, commit, dry_run } => {
                let dry = if *dry_run { " (dry run: nothing is changed)" } else { "" };
                p.bold(&format!("cycle on {base} at {commit}{dry}"))
            }
            Progress::Synced { report } => p.dim(&format!("  sync: {}", super::sync::summary(report))),
            Progress::Collected { report } => p.dim(&format!("  forge: {}", super::sync::collected(report))),
            Progress::Reconciled { tool, what, .. } => plain("noticed", tool, what),
            Progress::Detected { tool, priority, summary, .. } => {
                let priority = match priority {
                    Priority::High => p.red("high"),
                    Priority::Medium => p.yellow("medium"),
                    Priority::Low => "low".to_string(),
                };
                row(p.cyan("detected"), 8, tool, &format!("{priority}: {summary}"))
            }
            Progress::Investigated { tool, summary, .. } => plain("investigated", tool, summary),
            Progress::Asked { tool, asking, .. } => {
                plain("asked", tool, &format!("{}: {} ({})", asking.by, asking.outcome, asking.cost))
            }
            Progress::Judged { tool, title, tried, verdict: judged, .. } => {
                let (word, text) = if judged.accepted() { (p.green("accepted"), 8) } else { (p.yellow("rejected"), 8) };
                format!("{}\n{}", row(word, text, tool, &format!("{title} (candidate {tried})")), verdict(judged, p))
            }
            Progress::Rebuilding { tool, commit, .. } => {
                plain("rebuilding", tool, &format!("on {commit}, the base as it is now"))
            }
            Progress::Together { tools, refused, .. } => plain("together", &tools.join(", "), &told_together(refused)),
            Progress::Unsolved { tool, reason, .. } => row(p.yellow("unsolved"), 8, tool, reason),
            Progress::Action { tool, action, dry_run, .. } => {
                if *dry_run {
                    plain("would", tool, action)
                } else {
                    row(p.bold("did"), 3, tool, action)
                }
            }
            Progress::Waiting { stage: Stage::Watching | Stage::New, .. } if !self.verbose => return None,
            Progress::Waiting { tool, stage: Stage::Watching, reason, .. } => plain("watching", tool, reason),
            Progress::Waiting { tool, reason, .. } => row(p.yellow("waits"), 5, tool, reason),
            Progress::Analysed { tool, summary, .. } => plain("analysed", tool, summary),
            Progress::RolledOut { tool, percent: 0, evidence, .. } => row(p.red("stopped"), 7, tool, &evidence.to_string()),
            Progress::RolledOut { tool, percent, evidence, .. } => {
                let so_far = if evidence.steps.is_empty() { String::new() } else { format!("; so far {evidence}") };
                plain("canary", tool, &format!("from now on {percent} % of the live runs{so_far}"))
            }
            Progress::Ended { tool, stage, reason, .. } => row(p.stage(*stage), stage.word().len(), tool, reason),
            Progress::Maintained { executions_removed, scratch_removed } => {
                p.dim(&maintained(*executions_removed, *scratch_removed)?)
            }
            Progress::Paused { reason, lift } => p.yellow(&format!("  paused: {reason} (nothing outward is done; {lift})")),
            Progress::Bundled { file, answers, digest } => {
                p.dim(&format!("  bundle: {file} ({answers} answers, {})", digest.get(..16).unwrap_or(digest)))
            }
            Progress::Left { reason } => {
                p.yellow(&format!("the bundle is left: {reason}; nothing was done, the next run begins anew"))
            }
            Progress::CycleEnded { report } => p.dim(&ended(report)),
            Progress::Investigating { .. } | Progress::Searching { .. } | Progress::Trying { .. } => return None,
        })
    }
}

fn ended(report: &CycleReport) -> String {
    let CycleReport { tools_analysed, opportunities, proposed, landed, kept, reverted, declined, waiting, .. } = report;
    format!(
        "  {tools_analysed} tools analysed, {opportunities} opportunities, {proposed} proposed, {landed} landed, {kept} kept, \
         {reverted} reverted, {declined} declined, {waiting} waiting"
    )
}

/// `None` when there was nothing to do.
fn maintained(executions: u64, scratch: usize) -> Option<String> {
    let text = format!("  maintenance: {executions} old executions and {scratch} lost scratch folders removed");
    (executions + scratch as u64 > 0).then_some(text)
}

fn told_together(refused: &Option<String>) -> String {
    refused.as_ref().map_or_else(|| "their repairs pass the gate as one tree".into(), |why| format!("not as one tree: {why}"))
}

fn activity(progress: &Progress) -> Option<String> {
    match progress {
        Progress::Investigating { tool, .. } => Some(format!("running {tool}'s failing inputs again")),
        Progress::Searching { tool, path, tried, passed, .. } => {
            Some(format!("{tried} candidates tried for {tool} in {path}, {passed} passed"))
        }
        Progress::Trying { tool, candidates, .. } => Some(format!("trying up to {candidates} candidates for {tool}")),
        _ => None,
    }
}
