//! `fractal executions show`: one run with everything that is kept of it.

use std::path::Path;
use std::process::ExitCode;

use super::super::plain::{quoted, stream, visible};
use super::{Failure, Outcome, Paint, ended, now, outcome, render, short_ids};
use crate::config::Config;
use crate::model::{self, BlobId, Execution, NewExecution, Tool, plain_line};
use crate::record::lines::Line;
use crate::world::catalog::{catalog, declared};
use crate::world::git::{Repo, difference};
use crate::world::read_config;
use crate::world::store;

#[derive(clap::Args)]
#[command(disable_version_flag = true, after_help = SAFE)]
pub(super) struct Show {
    /// The run's id, or the beginning of it
    id: String,
    /// Write only this, byte for byte
    #[arg(long, value_enum, value_name = "WHAT")]
    raw: Option<Raw>,
    /// Print the run as one JSON value: a line of `export`, with everything
    #[arg(long, conflicts_with = "raw")]
    json: bool,
}

const SAFE: &str = "Text is shown so that it cannot steer the terminal (\\x1b for an escape), and long or binary output in part. \
`--raw` writes the bytes as they are.";

#[derive(Clone, Copy, clap::ValueEnum)]
enum Raw {
    Stdin,
    Stdout,
    Stderr,
    /// What standard output should have been
    Expected,
}

impl Show {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        let repo = Repo::open(repo)?;
        let config = read_config(&repo)?;
        let store = store::open_to_read(&repo, &config)?;
        let execution = store.find(self.id.trim())?;
        let short = short_ids(store.as_ref(), std::slice::from_ref(&execution))?.remove(0);
        let new = store.whole(execution)?;
        if let Some(raw) = self.raw {
            return write_raw(&new, raw, &short);
        }
        if self.json {
            render::say_json_pretty(&Line::of(&new));
            return Ok(ExitCode::SUCCESS);
        }
        let paint = Paint::for_stdout();
        let tool = find_tool(&repo, &config, &new.execution.tool);
        let shown = Shown { new: &new, short: &short, paint, root: &repo.root().to_string_lossy(), tool: tool.as_ref() };
        let parts = [shown.facts(), shown.failure(), shown.streams(), shown.judgement()?, shown.next()];
        parts.iter().flatten().all(|line| render::goes_on(line));
        Ok(ExitCode::SUCCESS)
    }
}

fn find_tool(repo: &Repo, config: &Config, name: &str) -> Option<Tool> {
    let declared = declared(config).into_iter().find(|tool| tool.name == name);
    declared.or_else(|| catalog(repo, config, &repo.head().ok()?).ok()?.get(name).cloned())
}

fn write_raw(new: &NewExecution, raw: Raw, short: &str) -> Outcome {
    let execution = &new.execution;
    let expected = execution.mark.as_ref().and_then(|mark| mark.expected.as_ref());
    let (name, id, bytes) = match raw {
        Raw::Stdin => ("standard input", execution.input.stdin.as_ref(), &new.stdin),
        Raw::Stdout => ("standard output", execution.stdout.as_ref(), &new.stdout),
        Raw::Stderr => ("standard error", execution.stderr.as_ref(), &new.stderr),
        Raw::Expected => ("the expected output", expected, &new.expected),
    };
    match Kept::of(execution, id, bytes.as_deref()) {
        Kept::Bytes(bytes) => render::write_bytes(bytes),
        Kept::Empty if matches!(raw, Raw::Expected) => {
            let hint = format!("`fractal mark {short} --bad --expect FILE` says what was expected");
            return Err(Failure::mistake("nobody said what was expected of this run", hint));
        }
        Kept::Empty => {}
        Kept::Not(_) => {
            let hint = "only a digest of it was recorded: `capture` in fractal.toml says what is kept of a tool's runs";
            return Err(Failure::mistake(format!("{name} of this run was not kept"), hint));
        }
    }
    if matches!(raw, Raw::Stdin) && execution.input.truncated {
        render::note("this is not all of it: standard input was longer than `[record] limit_kib`");
    }
    Ok(ExitCode::SUCCESS)
}

/// What there is of a stream.
enum Kept<'a> {
    Bytes(&'a [u8]),
    /// Nothing went through it.
    Empty,
    /// Something or nothing did; why it is not here.
    Not(String),
}

impl<'a> Kept<'a> {
    fn of(execution: &Execution, id: Option<&BlobId>, bytes: Option<&'a [u8]>) -> Self {
        match (bytes, id) {
            (Some(bytes), _) => Kept::Bytes(bytes),
            (None, Some(id)) => Kept::Not(format!("not kept, digest {}", plain_line(&id.0, 40))),
            // The capture level `none` does not even tell an empty stream from a full one.
            (None, None) if execution.input.withheld.as_ref().is_some_and(String::is_empty) => Kept::Not("not recorded".into()),
            (None, None) => Kept::Empty,
        }
    }
}

/// A run on its way to people.
struct Shown<'a> {
    new: &'a NewExecution,
    short: &'a str,
    paint: Paint,
    root: &'a str,
    tool: Option<&'a Tool>,
}

impl Shown<'_> {
    fn facts(&self) -> Vec<String> {
        let (execution, paint) = (&self.new.execution, self.paint);
        let (word, colour) = outcome(execution.outcome);
        let tool = plain_line(&execution.tool, 64);
        let mut lines = vec![format!("{}  {}  {}", paint.bold(&tool), colour(paint, word), paint.cyan(&execution.id.0))];
        let mut fact = |name: &str, value: String| lines.push(format!("  {} {value}", paint.dim(&format!("{name:<9}"))));
        let at = execution.at.strftime("%Y-%m-%d %H:%M:%S%.3f UTC");
        fact("started", format!("{at}, {}", render::ago(ended(execution), now().now())));
        fact("took", render::took(execution.duration));
        fact("ended", plain_line(&execution.exit.to_string(), 300));
        fact("version", plain_line(&execution.version.0, 64));
        fact("caller", plain_line(&execution.caller, 200));
        let folder = match execution.input.cwd.as_deref() {
            Some("") => "the root of the repository".to_string(),
            Some(folder) => visible(folder).replace(['\n', '\t'], " "),
            None if execution.input.withheld.is_some() => "not recorded".into(),
            None => "outside of the repository, or not known".into(),
        };
        fact("folder", folder);
        fact("command", self.command());
        if execution.input.withheld.is_none() {
            fact(
                "input",
                format!(
                    "{}, {}",
                    execution.input.digest(),
                    if execution.input.is_held_out() { "held out from repairs" } else { "seen by repairs" }
                ),
            );
        }
        lines
    }

    /// Ready to paste, from the folder it ran in.
    fn command(&self) -> String {
        let input = &self.new.execution.input;
        if input.withheld.is_some() {
            return input.display(80);
        }
        let in_root = input.cwd.as_deref() == Some("");
        let root = if in_root { "." } else { self.root };
        let program = match self.tool {
            // Paths of the tool as its declaration has them, where they lead to it.
            Some(tool) if in_root => tool.run.iter().map(|word| word.replace("{root}", root)).collect(),
            Some(tool) => tool.command(&tool.run, root),
            None => vec![self.new.execution.tool.clone()],
        };
        let program = program.iter().map(|word| quoted(&model::Arg::from(word.as_str())));
        let words: Vec<String> = program.chain(self.arguments()).collect();
        let stdin = if input.stdin.is_some() { " < INPUT" } else { "" };
        format!("{}{stdin}", words.join(" "))
    }

    fn arguments(&self) -> impl Iterator<Item = String> {
        self.new.execution.input.args.iter().map(quoted)
    }

    fn failure(&self) -> Vec<String> {
        let Some(failure) = &self.new.execution.failure else { return Vec::new() };
        let paint = self.paint;
        let what = if failure.message.is_empty() || failure.message.starts_with(&failure.class) {
            plain_line(if failure.message.is_empty() { &failure.class } else { &failure.message }, 300)
        } else {
            format!("{}: {}", plain_line(&failure.class, 80), plain_line(&failure.message, 300))
        };
        let mut lines = vec![String::new(), format!("{}  {}", paint.bold("failure"), paint.red(&what))];
        for frame in &failure.frames {
            let function =
                frame.function.as_deref().map(|function| format!(" in {}", plain_line(function, 80))).unwrap_or_default();
            let line = format!("  {}:{}{function}", plain_line(&frame.path, 200), frame.line);
            lines.push(if frame.in_repo { line } else { paint.dim(&line) });
        }
        lines.push(format!("  {} {}", paint.dim("kind"), plain_line(failure.fingerprint.as_str(), 40)));
        lines
    }

    fn streams(&self) -> Vec<String> {
        let (new, execution) = (self.new, &self.new.execution);
        let all = [
            ("stdin", Kept::of(execution, execution.input.stdin.as_ref(), new.stdin.as_deref())),
            ("stdout", Kept::of(execution, execution.stdout.as_ref(), new.stdout.as_deref())),
            ("stderr", Kept::of(execution, execution.stderr.as_ref(), new.stderr.as_deref())),
        ];
        let mut lines = Vec::new();
        for (name, kept) in all {
            let title = self.paint.bold(name);
            match kept {
                Kept::Empty if name == "stdin" && execution.input.truncated => {
                    lines.extend([String::new(), format!("{title}  too long, not kept")]);
                }
                Kept::Empty => {}
                Kept::Not(why) => lines.extend([String::new(), format!("{title}  {why}")]),
                Kept::Bytes(bytes) => {
                    let binary = if std::str::from_utf8(bytes).is_err() || bytes.contains(&0) { ", binary" } else { "" };
                    let cut = if name == "stdin" && execution.input.truncated { ", the rest is not kept" } else { "" };
                    let size = self.paint.dim(&format!("{} bytes{binary}{cut}", bytes.len()));
                    lines.extend([String::new(), format!("{title}  {size}")]);
                    lines.extend(stream(bytes).into_iter().map(|line| format!("  {line}")));
                    if bytes.last().is_some_and(|last| *last != b'\n') && binary.is_empty() {
                        lines.push(self.paint.dim("  (no end of line)"));
                    }
                }
            }
        }
        lines
    }

    /// What somebody said of the answer.
    fn judgement(&self) -> Result<Vec<String>, Failure> {
        let Some(mark) = &self.new.execution.mark else { return Ok(Vec::new()) };
        let title = self.paint.bold("marked");
        let said = "somebody said that the answer was wrong";
        let Some(expected) = &self.new.expected else {
            let what = if mark.expected.is_some() { ", and what was expected, of which only the digest is kept" } else { "" };
            return Ok(vec![String::new(), format!("{title}  {said}{what}")]);
        };
        let mut lines =
            vec![String::new(), format!("{title}  {said}: {} printed, {} expected", self.paint.red("-"), self.paint.green("+"))];
        let printed = self.new.stdout.as_deref().unwrap_or_default();
        if std::str::from_utf8(printed).is_err() || std::str::from_utf8(expected).is_err() {
            lines.push(format!("  {} bytes printed, {} bytes expected", printed.len(), expected.len()));
            return Ok(lines);
        }
        for line in stream(difference(printed, expected)?.as_bytes()) {
            lines.push(format!(
                "  {}",
                match line.as_bytes().first() {
                    Some(b'+') => self.paint.green(&line),
                    Some(b'-') => self.paint.red(&line),
                    _ => line,
                }
            ));
        }
        Ok(lines)
    }

    fn next(&self) -> Vec<String> {
        let (execution, short) = (&self.new.execution, self.short);
        let tool = plain_line(&execution.tool, 64);
        let mut steps = Vec::new();
        if self.tool.is_some() && execution.input.is_whole() {
            let arguments: Vec<String> = [format!("fractal exec {tool} --")].into_iter().chain(self.arguments()).collect();
            let folder = match execution.input.cwd.as_deref() {
                Some("") | None => String::new(),
                Some(folder) => format!("cd {} && ", quoted(&model::Arg::from(format!("{}/{folder}", self.root).as_str()))),
            };
            let stdin = match execution.input.stdin {
                Some(_) => format!("fractal executions show {short} --raw stdin | "),
                None => String::new(),
            };
            steps.push(("run it again", format!("{folder}{stdin}{}", arguments.join(" "))));
        }
        match &execution.failure {
            Some(failure) => {
                let kind = plain_line(failure.fingerprint.as_str(), 40);
                steps.push(("others like it", format!("fractal executions {tool} --like {kind}")));
            }
            None if execution.outcome == model::Outcome::Success => {
                steps.push(("if it is wrong", format!("fractal mark {short} --bad --expect FILE")));
            }
            None => {}
        }
        steps.push(("how the tool does", format!("fractal stats {tool}")));
        let lines = steps.into_iter().map(|(what, command)| format!("{}  {command}", self.paint.dim(&format!("{what:<17}"))));
        [String::new()].into_iter().chain(lines).collect()
    }
}
