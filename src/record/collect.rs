//! Executions from the forge itself: what it ran and what its runs left behind, since the last time. Each run is asked for its jobs once,
//! each artifact is read once; a kill in between costs an answer, because what is stored already is known by its identity.
//!
//! How far it was read is in the store (`bookmark`): of runs a time before which all had ended and were read, of artifacts the newest
//! that were read. Runs of the last days are listed again, because a run can be run again.
//! Deliberately not here: which workflow is which tool (`ci.rs`), how a forge is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::import::{self, NextLine};
use super::lines::Line;
use super::observed::{Intake, Observed};
use super::{Versions, ci};
use crate::config::Config;
use crate::model::{ExecutionId, NewExecution, plain_line};
use crate::world::files;
use crate::world::forge::ci::{Artifact, CiRun, Ending};
use crate::world::forge::{ForgeError, Shared};
use crate::world::git::Repo;
use crate::world::incoming::unpacked;
use crate::world::store::{Ingested, Query, Store, StoreError};

/// The first time, runs of so long are read.
const FIRST: SignedDuration = SignedDuration::from_hours(24 * 14);
/// Runs are listed again for so long after they were read: somebody may run them again.
const AGAIN: SignedDuration = SignedDuration::from_hours(48);
/// A run that goes on for longer is not waited for: GitHub ends runs after 35 days.
const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 35);
/// Runs that are asked for their jobs, and artifacts that are read, at a time; the rest follows the next time.
const RUNS_AT_ONCE: u64 = 50;
const ARTIFACTS_AT_ONCE: u64 = 20;
/// Executions of one tool that are looked through for known runs.
const KNOWN: usize = 5000;
/// Artifacts that are remembered as read; older ones count as read.
const REMEMBERED: usize = 100;
/// Bytes of an artifact, and of each of its files unpacked.
const PACKED: u64 = 32 << 20;
const UNPACKED: u64 = 256 << 20;
/// Executions that are stored in one transaction, or fewer when they are as large as that.
const BATCH: usize = 1000;
const BATCH_BYTES: usize = 8 << 20;
/// Bad lines of an artifact that are named.
const NAMED: u64 = 3;

/// What is collected, and for whom.
pub struct Terms<'a> {
    pub repo: &'a Repo,
    pub config: &'a Config,
    pub forge: &'a Shared,
    pub now: Timestamp,
}

/// What came.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Collected {
    pub place: String,
    /// Runs with their jobs.
    pub runs: u64,
    pub artifacts: u64,
    #[serde(flatten)]
    pub stored: Ingested,
    /// There is more, which the next time brings.
    pub unfinished: bool,
    /// The forge could not be asked to the end; nothing is lost.
    pub failed: Option<String>,
    pub warnings: Vec<String>,
}

impl Collected {
    /// Whether there is anything to tell.
    pub fn is_news(&self) -> bool {
        self.stored.new > 0 || self.artifacts > 0
    }
}

/// Whether the configuration has anything collected.
pub fn is_wanted(config: &Config) -> bool {
    !config.forge.runs.is_empty() || !config.forge.artifacts.is_empty()
}

/// Stores what the forge has that is new. A forge that cannot be asked is told in the report.
///
/// # Errors
/// When the store cannot be read or written; what was stored before stays.
pub fn collect(terms: &Terms<'_>, store: &mut dyn Store) -> Result<Collected, StoreError> {
    let root = terms.repo.root().to_string_lossy().into_owned();
    let mut collector = Collector {
        terms,
        store,
        intake: Intake::new(terms.config, &root).knowing(&files::environment()),
        versions: Versions::new(terms.repo, terms.config),
        report: Collected { place: terms.forge.place(), ..Collected::default() },
    };
    let done = collector.runs().and_then(|()| {
        let names = terms.config.forge.artifacts.iter();
        names.into_iter().try_for_each(|name| collector.artifacts(name))
    });
    match done {
        Ok(()) => {}
        Err(Stop::Store(error)) => return Err(error),
        Err(Stop::Forge(error)) => collector.report.failed = Some(error.to_string()),
    }
    Ok(collector.report)
}

/// Why it ends early.
enum Stop {
    Store(StoreError),
    Forge(ForgeError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Stop::Store(error)
    }
}

impl From<ForgeError> for Stop {
    fn from(error: ForgeError) -> Self {
        Stop::Forge(error)
    }
}

struct Collector<'a> {
    terms: &'a Terms<'a>,
    store: &'a mut dyn Store,
    intake: Intake<'a>,
    versions: Versions<'a>,
    report: Collected,
}

impl Collector<'_> {
    fn warn(&mut self, what: &str) {
        self.report.warnings.push(plain_line(what, 300));
    }

    // ---- runs ----

    fn runs(&mut self) -> Result<(), Stop> {
        let (now, names) = (self.terms.now, &self.terms.config.forge.runs);
        if names.is_empty() {
            return Ok(());
        }
        let source = format!("runs of {}", self.report.place);
        let ago = |time: SignedDuration| now.saturating_sub(time).unwrap_or_default();
        let before: Option<Timestamp> = self.store.bookmark(&source)?.and_then(|text| text.parse().ok());
        let from = before.unwrap_or_else(|| ago(FIRST)).max(ago(LONGEST));
        let since = from.saturating_sub(AGAIN).unwrap_or_default();
        let listed = self.terms.forge.runs(since)?;
        let wanted = |run: &&CiRun| run.created >= since && names.iter().any(|name| run.is_called(name));
        let mut reached = listed.last().map_or(from, |run| run.created.max(from));
        let mut known: BTreeMap<String, BTreeSet<ExecutionId>> = BTreeMap::new();
        let forgotten = self.store.forgotten()?.ids;
        let mut done = Ok(());
        for run in listed.iter().filter(wanted) {
            if matches!(run.ending, Ending::Unfinished(_)) {
                reached = reached.min(run.created);
                continue;
            }
            let Some(new) = self.admitted(run).filter(|_| run.from_here) else { continue };
            let (tool, id) = (&new.execution.tool, &new.execution.id);
            if !known.contains_key(tool) {
                known.insert(tool.clone(), self.ids(tool, since)?);
            }
            if known[tool].contains(id) || forgotten.contains(id) {
                continue;
            }
            if self.report.runs == RUNS_AT_ONCE {
                self.report.unfinished = true;
            } else {
                done = self.take(run, new);
            }
            if self.report.unfinished || done.is_err() {
                reached = reached.min(run.created);
                break;
            }
        }
        if before != Some(reached) {
            self.store.set_bookmark(&source, &reached.to_string())?;
        }
        done
    }

    /// A run with its jobs, all or nothing.
    fn take(&mut self, run: &CiRun, new: NewExecution) -> Result<(), Stop> {
        let jobs = self.terms.forge.jobs(run)?;
        let batch: Vec<NewExecution> = std::iter::once(new).chain(jobs.iter().filter_map(|job| self.admitted(job))).collect();
        self.report.stored += self.store.record_all(&batch)?;
        self.report.runs += 1;
        Ok(())
    }

    fn admitted(&mut self, run: &CiRun) -> Option<NewExecution> {
        let observed = match ci::execution(run, ci::Names::default()) {
            Ok(observed) => observed?,
            Err(why) => {
                self.warn(&format!("run {}: {why}", run.run));
                return None;
            }
        };
        let version = self.versions.at(&observed.tool, &run.commit);
        let rule = self.versions.rule(&observed.tool);
        Some(self.intake.admit(rule, Observed { version, ..observed }))
    }

    fn ids(&self, tool: &str, since: Timestamp) -> Result<BTreeSet<ExecutionId>, StoreError> {
        let query = Query { tool: Some(tool), since, limit: KNOWN, ..Query::default() };
        Ok(self.store.executions(&query)?.into_iter().map(|execution| execution.id).collect())
    }

    // ---- artifacts ----

    fn artifacts(&mut self, name: &str) -> Result<(), Stop> {
        let source = format!("artifacts {name} of {}", self.report.place);
        let text = self.store.bookmark(&source)?.unwrap_or_default();
        let mut read: BTreeSet<u64> = text.split(' ').filter_map(|number| number.parse().ok()).collect();
        let oldest = read.first().copied().filter(|_| read.len() >= REMEMBERED).unwrap_or_default();
        let listed = self.terms.forge.artifacts(name, oldest)?;
        let mut taken = 0;
        for artifact in listed.iter().filter(|artifact| artifact.from_here) {
            if read.contains(&artifact.number) {
                continue;
            }
            if taken == ARTIFACTS_AT_ONCE {
                self.report.unfinished = true;
                break;
            }
            taken += 1;
            self.artifact(name, artifact)?;
            read.insert(artifact.number);
            while read.len() > REMEMBERED {
                read.pop_first();
            }
            let numbers: Vec<String> = read.iter().map(ToString::to_string).collect();
            self.store.set_bookmark(&source, &numbers.join(" "))?;
        }
        Ok(())
    }

    fn artifact(&mut self, name: &str, artifact: &Artifact) -> Result<(), Stop> {
        let called = format!("artifact {name} ({})", artifact.number);
        if artifact.size > PACKED {
            self.warn(&format!("{called} is larger than {} MiB, and left out", PACKED >> 20));
            return Ok(());
        }
        let files = match self.terms.forge.content(artifact) {
            Ok(bytes) => unpacked(bytes, UNPACKED),
            Err(ForgeError::Gone(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let files = match files {
            Ok(files) => files,
            Err(why) => {
                self.warn(&format!("{called}: {why}"));
                return Ok(());
            }
        };
        for mut file in files {
            self.lines(&called, artifact.commit.as_deref(), file.as_mut())?;
        }
        self.report.artifacts += 1;
        Ok(())
    }

    /// Stores the lines that can be read; the others are counted.
    fn lines(&mut self, called: &str, commit: Option<&str>, file: &mut dyn BufRead) -> Result<(), Stop> {
        let (mut batch, mut buffer, mut bytes, mut number, mut bad) = (Vec::new(), Vec::new(), 0, 0_u64, 0_u64);
        loop {
            number += 1;
            let read = match import::next_line(file, &mut buffer, import::LINE) {
                Ok(NextLine::End) => break,
                Ok(NextLine::TooLong) => Err(format!("longer than {} MiB", import::LINE >> 20)),
                Ok(NextLine::Line) => self.line(&buffer, commit),
                Err(why) => {
                    self.warn(&format!("{called}: {why}; the {} lines before were read", number - 1));
                    break;
                }
            };
            match read {
                Ok(new) => batch.extend(new),
                Err(why) => {
                    bad += 1;
                    if bad <= NAMED {
                        self.warn(&format!("{called}: line {number}: {why}: left out"));
                    }
                }
            }
            bytes += buffer.len();
            if batch.len() >= BATCH || bytes >= BATCH_BYTES {
                self.report.stored += self.store.record_all(&std::mem::take(&mut batch))?;
                bytes = 0;
            }
        }
        if bad > NAMED {
            self.warn(&format!("{called}: {bad} lines could not be read"));
        }
        if !batch.is_empty() {
            self.report.stored += self.store.record_all(&batch)?;
        }
        Ok(())
    }

    fn line(&mut self, bytes: &[u8], commit: Option<&str>) -> Result<Option<NewExecution>, String> {
        let bytes = bytes.strip_prefix(import::BYTE_ORDER).unwrap_or(bytes);
        let text = std::str::from_utf8(bytes).map_err(|_| "this is not UTF-8".to_string())?;
        if text.trim_ascii().is_empty() {
            return Ok(None);
        }
        let line = Line::parse(text).map_err(|error| plain_line(&error.to_string(), 200))?;
        let rule = self.versions.rule(line.tool());
        let mut new = line.admit(&self.intake, rule);
        if let Some(commit) = commit.filter(|_| new.execution.version.0 == "unknown") {
            new.execution.version = self.versions.at(&new.execution.tool, commit);
        }
        // Nothing comes from the future.
        if new.execution.at > self.terms.now.saturating_add(SignedDuration::from_hours(1)).unwrap_or(Timestamp::MAX) {
            return Err("it has not happened yet".into());
        }
        Ok(Some(new))
    }
}
