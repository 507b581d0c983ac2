//! `fractal import`: runs that other programs report become executions. The formats are in `record`; here are files, batches, and
//! what is said.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use indicatif::ProgressBar;
use jiff::Timestamp;
use serde::Serialize;

use super::{Failure, MISTAKE, OUTSIDE, Outcome, Output, render};
use crate::config::Config;
use crate::model::{CommitId, NewExecution, check_tool_name, plain_line};
use crate::record::import::{self, BadDocument, Format, Imported, NextLine};
use crate::record::lines::Line;
use crate::record::{Intake, Observed, RunName, Versions, github, junit, spool};
use crate::world::git::Repo;
use crate::world::incoming::Incoming;
use crate::world::store::{Ingested, Store, VersionSummary};
use crate::world::{files, read_config};

/// Runs that are stored in one transaction, or fewer when they are as large as that.
const BATCH: usize = 10_000;
const BATCH_BYTES: usize = 32 << 20;
/// Bad lines that are named with `--skip-bad`.
const NAMED: u64 = 20;
/// Tools that are named.
const TOOLS: usize = 4;

/// JSON lines (`--schema` prints their form), JUnit XML, and workflow runs and jobs of GitHub (`gh api`). Reading a file again
/// changes nothing: what is there already is known. The success rule, the capture level and the redaction of each tool apply.
#[derive(clap::Args)]
#[command(disable_version_flag = true)]
pub(super) struct Import {
    /// Files to read, also gzip; `-` is standard input
    #[arg(required_unless_present = "schema", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What they hold [default: by their first bytes]
    #[arg(long)]
    format: Option<Wanted>,
    /// The tool that ran, instead of the name of the test suite or the workflow
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
    /// The commit that ran, where the file does not say [default for JUnit XML: the work tree]
    #[arg(long, value_name = "REF")]
    version: Option<String>,
    /// Who ran it, where the file does not say
    #[arg(long, value_name = "NAME")]
    caller: Option<String>,
    /// When tests ran, where JUnit XML does not say: a time as in 2026-01-31T12:00:00Z, or `mtime` for the file's
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Go on past JSON lines that cannot be read, and count them
    #[arg(long)]
    skip_bad: bool,
    /// Print the JSON schema of a line
    #[arg(long)]
    schema: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Wanted {
    Lines,
    Junit,
    Github,
}

#[derive(Clone, Copy)]
enum At {
    Time(Timestamp),
    Modified,
}

/// What became of a file.
#[derive(Debug, Serialize)]
struct Report {
    file: String,
    format: Format,
    runs: u64,
    #[serde(flatten)]
    stored: Ingested,
    /// Lines that could not be read.
    bad: u64,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    tools: BTreeSet<String>,
    remarks: Vec<String>,
}

impl Import {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        if self.schema {
            render::say_json_pretty(&Line::schema());
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(Err(error)) = self.tool.as_deref().map(check_tool_name) {
            return Err(Failure::mistake(error.to_string(), "a name like `unit-tests` is one"));
        }
        let at = self.at.as_deref().map(time).transpose()?;
        let repo = Repo::open(repo)?;
        let config = read_config(&repo)?;
        let commit = self.version.as_deref().map(|name| named(&repo, name)).transpose()?;
        let root = repo.root().to_string_lossy().into_owned();
        let mut importer = Importer {
            wish: self,
            at,
            commit,
            repo: &repo,
            config: &config,
            intake: Intake::new(&config, &root).knowing(&files::environment()),
            versions: Versions::new(&repo, &config),
            store: None,
        };
        for file in &self.files {
            let report = importer.file(file)?;
            if self.output.json {
                render::say_json(&report);
            } else {
                report.say();
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn time(text: &str) -> Result<At, Failure> {
    if text == "mtime" {
        return Ok(At::Modified);
    }
    let at = text.parse().map(At::Time);
    at.map_err(|_| Failure::mistake(format!("`--at {text}` is no time"), "write `2026-01-31T12:00:00Z`, or `mtime`"))
}

fn named(repo: &Repo, name: &str) -> Result<CommitId, Failure> {
    repo.commit_named(name)?.ok_or_else(|| {
        Failure::mistake(
            format!("`{name}` is no commit of this repository"),
            "`--version` takes a branch, a tag or a commit's id",
        )
    })
}

struct Importer<'a> {
    wish: &'a Import,
    at: Option<At>,
    /// What `--version` names.
    commit: Option<CommitId>,
    repo: &'a Repo,
    config: &'a Config,
    intake: Intake<'a>,
    versions: Versions<'a>,
    /// Opened when there is something to store.
    store: Option<Box<dyn Store>>,
}

impl Importer<'_> {
    fn file(&mut self, path: &Path) -> Result<Report, Failure> {
        let name = if path == Path::new("-") { "standard input".into() } else { plain_line(&path.to_string_lossy(), 300) };
        let mut incoming = Incoming::open(path).map_err(|error| unreadable(&name, &error))?;
        let format = match self.wish.format {
            Some(Wanted::Lines) => Format::Lines,
            Some(Wanted::Junit) => Format::Junit,
            Some(Wanted::Github) => Format::Github,
            None => import::guess(&incoming.head),
        };
        let (stored, bad) = (Ingested::default(), 0);
        let mut report = Report { file: name, format, runs: 0, stored, bad, tools: BTreeSet::new(), remarks: Vec::new() };
        match format {
            Format::Lines => self.lines(&mut incoming, &mut report)?,
            Format::Junit | Format::Github => self.document(&mut incoming, &mut report)?,
        }
        Ok(report)
    }

    fn store(&mut self, batch: &[NewExecution], report: &mut Report) -> Result<(), Failure> {
        if batch.is_empty() {
            return Ok(());
        }
        report.stored += self.opened()?.record_all(batch)?;
        report.runs += batch.len() as u64;
        Ok(())
    }

    fn opened(&mut self) -> Result<&mut dyn Store, Failure> {
        match &mut self.store {
            Some(store) => Ok(store.as_mut()),
            none => Ok(none.insert(spool::open(self.repo, self.config)?).as_mut()),
        }
    }

    // ---- JSON lines ----

    fn lines(&mut self, incoming: &mut Incoming, report: &mut Report) -> Result<(), Failure> {
        if self.wish.tool.is_some() {
            return Err(Failure::mistake("each JSON line names its tool", "leave `--tool` out"));
        }
        let bar = render::bar(incoming.size);
        let read = self.each_line(incoming, report, bar.as_ref());
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        read
    }

    fn each_line(&mut self, incoming: &mut Incoming, report: &mut Report, bar: Option<&ProgressBar>) -> Result<(), Failure> {
        let mut batch = Vec::with_capacity(BATCH);
        let (mut buffer, mut bytes, mut number) = (Vec::new(), 0, 0);
        loop {
            number += 1;
            let read = match import::next_line(&mut incoming.reader, &mut buffer, import::LINE) {
                Ok(NextLine::End) => return self.store(&batch, report),
                Ok(NextLine::TooLong) => Err(format!("longer than {} MiB", import::LINE >> 20)),
                Ok(NextLine::Line) => self.line(&buffer, number == 1),
                Err(error) => {
                    self.store(&batch, report)?;
                    return Err(stopped(unreadable(&report.file, &error), report));
                }
            };
            match read {
                Ok(new) => batch.extend(new),
                Err(why) if self.wish.skip_bad => {
                    report.bad += 1;
                    if report.bad <= NAMED {
                        aside(bar, &format!("{}:{number}: {why}: left out", report.file));
                    }
                }
                Err(why) => {
                    // What came before is whole.
                    self.store(&batch, report)?;
                    return Err(self.bad_line(number, &why, report));
                }
            }
            bytes += buffer.len();
            if batch.len() == BATCH || bytes >= BATCH_BYTES {
                self.store(&batch, report)?;
                batch.clear();
                bytes = 0;
                bar.inspect(|bar| bar.set_position(incoming.read()));
            }
        }
    }

    /// The execution of a line, none for an empty one.
    fn line(&mut self, bytes: &[u8], first: bool) -> Result<Option<NewExecution>, String> {
        let bytes = if first { bytes.strip_prefix(import::BYTE_ORDER).unwrap_or(bytes) } else { bytes };
        let text =
            std::str::from_utf8(bytes).map_err(|error| format!("column {}: this is not UTF-8", error.valid_up_to() + 1))?;
        if text.trim_ascii().is_empty() {
            return Ok(None);
        }
        let line = Line::parse(text).map_err(|error| plain_line(&error.to_string(), 300))?;
        let rule = self.versions.rule(line.tool());
        let mut new = line.admit(&self.intake, rule);
        let execution = &mut new.execution;
        if let Some(commit) = self.commit.as_ref().filter(|_| execution.version.0 == "unknown") {
            execution.version = self.versions.at(&execution.tool, commit.as_str());
        }
        if let Some(caller) = self.wish.caller.as_ref().filter(|_| execution.caller == "import") {
            execution.caller.clone_from(caller);
        }
        Ok(Some(new))
    }

    fn bad_line(&self, number: u64, why: &str, report: &Report) -> Failure {
        let guessed = self.wish.format.is_none() && report.runs == 0;
        let guessed = if guessed { " (read as JSON lines; `--format` says otherwise)" } else { "" };
        stopped(Failure { message: format!("{}:{number}: {why}{guessed}", report.file), hint: None, code: MISTAKE }, report)
    }

    // ---- documents ----

    fn document(&mut self, incoming: &mut Incoming, report: &mut Report) -> Result<(), Failure> {
        let text = import::document(&mut incoming.reader, import::DOCUMENT).map_err(|error| unreadable(&report.file, &error))?;
        let Some(text) = text else {
            let message = format!("`{}` is larger than {} MiB, unpacked", report.file, import::DOCUMENT >> 20);
            return Err(Failure::mistake(message, "split it; JSON lines may be as large as they like"));
        };
        let modified = incoming.modified;
        let at = self.at.and_then(|at| if let At::Time(at) = at { Some(at) } else { modified });
        let (tool, caller) = (self.wish.tool.as_deref(), self.wish.caller.as_deref());
        let read = match report.format {
            Format::Github => github::read(&text, tool, caller),
            _ => junit::read(&text, &junit::Wishes { tool, at, caller }),
        };
        let mut imported = read.map_err(|bad| self.bad_document(bad, report))?;
        drop(text);
        report.remarks.append(&mut imported.remarks);
        self.set_versions(&mut imported, report)?;
        let admit = |run: Observed| {
            let rule = self.versions.rule(&run.tool);
            self.intake.admit(rule, run)
        };
        let mut batch: Vec<NewExecution> = imported.runs.into_iter().map(admit).collect();
        if self.commit.is_none() {
            self.keep_known_versions(&mut batch, report)?;
        }
        self.store(&batch, report)
    }

    /// Runs that are there already keep their version: what the repository knows of it may have changed since.
    fn keep_known_versions(&mut self, batch: &mut [NewExecution], report: &Report) -> Result<(), Failure> {
        let Some(since) = batch.iter().map(|new| new.execution.id.ended()).min() else { return Ok(()) };
        let tools: Vec<String> = report.tools.iter().cloned().collect();
        let store = self.opened()?;
        let mut others: HashMap<String, Vec<VersionSummary>> = HashMap::new();
        for version in store.versions(Some(&tools), since)? {
            others.entry(version.tool.clone()).or_default().push(version);
        }
        for NewExecution { execution, .. } in batch {
            let ended = execution.id.ended();
            for other in others.get(&execution.tool).into_iter().flatten() {
                let may = other.version != execution.version && (other.first..=other.last).contains(&ended);
                if may && store.execution(&execution.tool, &other.version, &execution.id)?.is_some() {
                    execution.version = other.version.clone();
                    break;
                }
            }
        }
        Ok(())
    }

    fn bad_document(&self, bad: BadDocument, report: &Report) -> Failure {
        let guessed = if self.wish.format.is_none() { ", a guess that `--format` corrects" } else { "" };
        let hint = bad
            .hint
            .map_or_else(|| format!("nothing of it is stored; read as {}{guessed}", report.format.name()), str::to_string);
        Failure::mistake(format!("{}:{bad}", report.file), hint)
    }

    /// Replaces what the file says of versions by what the repository knows.
    fn set_versions(&mut self, imported: &mut Imported, report: &mut Report) -> Result<(), Failure> {
        if report.format == Format::Github && self.commit.is_some() {
            return Err(Failure::mistake("GitHub's files say which commit ran", "leave `--version` out"));
        }
        let mut unknown = BTreeSet::new();
        for run in &mut imported.runs {
            if !report.tools.contains(&run.tool) {
                report.tools.insert(run.tool.clone());
            }
            if report.format == Format::Github {
                run.version = self.versions.at(&run.tool, &run.version.0);
            } else if let Some(commit) = &self.commit {
                run.version = self.versions.at(&run.tool, commit.as_str());
                // The same file may tell of another version elsewhere; of the work tree's it is told once, whatever lies there.
                if let RunName::Parts(parts) = &mut run.source {
                    parts.push(run.version.0.clone().into_bytes());
                }
            } else if let Some(version) = self.versions.in_work_tree(&run.tool) {
                run.version = version;
            } else {
                unknown.insert(run.tool.clone());
            }
        }
        if let Some(first) = unknown.first() {
            let more = unknown.len() - 1;
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            report
                .remarks
                .push(format!("no tool here is called `{first}`{more}: of version `unknown`, unless `--version` says it"));
        }
        Ok(())
    }
}

impl Report {
    fn say(&self) {
        let paint = render::Paint::for_stdout();
        let Ingested { new, known, forgotten } = self.stored;
        let mut parts = vec![format!("{new} new")];
        let rest = [(known, "known before"), (forgotten, "forgotten on somebody's wish"), (self.bad, "bad lines left out")];
        parts.extend(rest.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
        let tools: Vec<&str> = self.tools.iter().take(TOOLS).map(String::as_str).collect();
        let more = if self.tools.len() > TOOLS { ", …" } else { "" };
        let of = if tools.is_empty() { String::new() } else { format!(" of {}{more}", tools.join(", ")) };
        render::say(&format!(
            "{}: {}{of} ({}): {}",
            self.file,
            render::count(self.runs, "run"),
            self.format.name(),
            parts.join(", ")
        ));
        for remark in &self.remarks {
            render::say(&paint.dim(&format!("  {remark}")));
        }
    }
}

/// The failure that ends the reading of lines, with what was stored before it.
fn stopped(failure: Failure, report: &Report) -> Failure {
    let stored = match report.runs {
        0 => "nothing is stored".to_string(),
        1 => "the run before it is stored".to_string(),
        runs => format!("the {runs} runs before it are stored"),
    };
    let advice = failure.hint.unwrap_or_else(|| "mend it, or go on past such lines with `--skip-bad`".to_string());
    Failure { hint: Some(format!("{stored}; {advice}; to import the file again stores nothing twice")), ..failure }
}

fn unreadable(file: &str, error: &io::Error) -> Failure {
    let damaged = "the packed file is damaged or was cut off: fetch it again";
    let (message, hint, code) = match error.kind() {
        io::ErrorKind::NotFound => ("there is no such file".to_string(), None, MISTAKE),
        io::ErrorKind::UnexpectedEof => ("it ends too early".to_string(), Some(damaged), MISTAKE),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => (error.to_string(), Some(damaged), MISTAKE),
        _ => (error.to_string(), None, OUTSIDE),
    };
    Failure { message: format!("`{file}`: {message}"), hint: hint.map(str::to_string), code }
}

/// A line on standard error that leaves the bar alone.
fn aside(bar: Option<&ProgressBar>, text: &str) {
    let tell = || render::complain(text, None);
    bar.map_or_else(tell, |bar| bar.suspend(tell));
}
