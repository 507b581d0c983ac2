//! What the recorded runs tell of one tool, by version and over time, or of all tools in short. From rollups: its cost does not
//! grow with the number of runs.
//!
//! Deliberately not here: opinions. Which version is judged worse, and what follows, is `monitor`'s; a change is shown here when the
//! same factor says so, whatever the inputs.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, Serializer};

use crate::config::Config;
use crate::model::{CommitId, Counts, Fingerprint, Sketch, Tool, Version, hour_begins, hour_of};
use crate::stats::{ALARM_BAYES_FACTOR, log_bayes_factor, wilson};
use crate::world::catalog::{catalog, declared};
use crate::world::git::{Repo, Revision};
use crate::world::store::{Store, VersionSummary};

/// Kinds of failure that are told.
const KINDS_MAX: usize = 50;
/// A median that changed by less is not called a change, nor one of fewer runs.
const LATENCY_FACTOR: f64 = 1.5;
const LATENCY_RUNS: u64 = 10;

/// A success rate with Wilson's 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rate {
    pub rate: f64,
    pub low: f64,
    pub high: f64,
}

/// How long runs took. In JSON: milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    #[serde(rename = "p50_ms", serialize_with = "milliseconds")]
    pub p50: std::time::Duration,
    #[serde(rename = "p90_ms", serialize_with = "milliseconds")]
    pub p90: std::time::Duration,
    #[serde(rename = "p99_ms", serialize_with = "milliseconds")]
    pub p99: std::time::Duration,
}

/// The runs of a tool since some hour.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ToolFigures {
    pub tool: String,
    /// Rounded down to the hour.
    pub since: Timestamp,
    pub until: Timestamp,
    #[serde(flatten)]
    pub counts: Counts,
    /// Of the environment; they count nowhere else.
    pub errors: u64,
    pub success: Option<Rate>,
    pub latency: Option<Latency>,
    /// When the last run ended.
    pub last: Option<Timestamp>,
    /// Most frequent first.
    pub kinds: Vec<KindFigures>,
    /// In the order in which they first ran.
    pub versions: Vec<VersionFigures>,
    /// Hours in which a version ran, oldest first.
    pub hours: Vec<HourFigures>,
}

/// One kind of failure, whatever the version.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KindFigures {
    pub fingerprint: Fingerprint,
    pub class: String,
    pub message: String,
    pub failures: u64,
    pub distinct_inputs: u64,
    pub last: Timestamp,
}

/// One version of a tool.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VersionFigures {
    pub version: Version,
    /// The commit that made it, where the base's history has it, and the first line of its message.
    pub commit: Option<CommitId>,
    pub summary: Option<String>,
    pub first: Timestamp,
    pub last: Timestamp,
    #[serde(flatten)]
    pub counts: Counts,
    pub errors: u64,
    pub success: Option<Rate>,
    pub latency: Option<Latency>,
    /// Compared with the version that ran before it.
    pub changes: Vec<Change>,
}

/// What changed with a version.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It succeeds less often: the factor of the alarm says so.
    Worse,
    Better,
    /// Its median takes so many times as long.
    Slower(f64),
    /// The median before took so many times as long.
    Faster(f64),
}

/// The runs of one version within one hour.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HourFigures {
    /// When the hour begins.
    pub at: Timestamp,
    pub version: Version,
    #[serde(flatten)]
    pub counts: Counts,
    pub errors: u64,
    pub latency: Option<Latency>,
    #[serde(skip)]
    pub hour: i64,
    #[serde(skip)]
    pub durations: Sketch,
}

/// A tool in one line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Overview {
    pub tool: String,
    #[serde(flatten)]
    pub counts: Counts,
    pub errors: u64,
    pub success: Option<Rate>,
    pub latency: Option<Latency>,
    pub versions: usize,
    pub last: Timestamp,
    pub failures_24h: u64,
    /// A cycle has not looked at all of its failures yet.
    pub news: bool,
    #[serde(skip)]
    pub hours: Vec<(i64, Counts)>,
}

pub(super) fn milliseconds<S: Serializer>(duration: &std::time::Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_micros() as f64 / 1e3)
}

impl Rate {
    /// `None` without runs.
    pub fn of(counts: Counts) -> Option<Rate> {
        let (low, high) = wilson(counts.successes(), counts.runs);
        (counts.runs > 0).then(|| Rate { rate: counts.success_rate(), low, high })
    }
}

impl Latency {
    /// `None` without runs.
    pub fn of(durations: &Sketch) -> Option<Latency> {
        let quantile = |q| durations.quantile(q);
        Some(Latency { p50: quantile(0.5)?, p90: quantile(0.9)?, p99: quantile(0.99)? })
    }
}

/// The figures of one tool; all empty when nothing that counts ran since.
///
/// # Errors
/// When the store cannot be read. Without the tool's history its commits are left out.
pub fn of_tool(
    repo: &Repo,
    config: &Config,
    store: &dyn Store,
    tool: &str,
    since: Timestamp,
    now: Timestamp,
) -> Result<ToolFigures> {
    let mut summaries = store.versions(Some(&[tool.to_string()]), since)?;
    summaries.sort_by_key(|summary| (summary.first, summary.last));
    let mut figures = ToolFigures {
        tool: tool.to_string(),
        since: begin(since),
        until: now,
        counts: Counts::default(),
        errors: 0,
        success: None,
        latency: None,
        last: summaries.iter().map(|summary| summary.last).max(),
        kinds: kinds(store, &summaries, since)?,
        versions: Vec::new(),
        hours: Vec::new(),
    };
    let mut durations = Sketch::default();
    let wanted = summaries.iter().map(|summary| summary.version.clone()).collect();
    let revisions = revisions(repo, config, tool, wanted).unwrap_or_default();
    for summary in &summaries {
        let hours = hours(store, summary, since)?;
        let all = hours.iter().fold(Sketch::default(), |mut sum, hour| {
            sum.merge(&hour.durations);
            sum
        });
        let errors = hours.iter().map(|hour| hour.errors).sum();
        let revision = revisions.iter().find(|revision| revision.version == summary.version);
        figures.versions.push(VersionFigures {
            version: summary.version.clone(),
            commit: revision.map(|revision| revision.commit.clone()),
            summary: revision.map(|revision| revision.summary.clone()),
            first: summary.first,
            last: summary.last,
            counts: summary.counts,
            errors,
            success: Rate::of(summary.counts),
            latency: Latency::of(&all),
            changes: Vec::new(),
        });
        add(&mut figures.counts, summary.counts);
        figures.errors += errors;
        figures.hours.extend(hours);
        durations.merge(&all);
    }
    figures.hours.sort_by_key(|hour| hour.hour);
    (figures.success, figures.latency) = (Rate::of(figures.counts), Latency::of(&durations));
    for at in 1..figures.versions.len() {
        figures.versions[at].changes = changes(&figures.versions[at - 1], &figures.versions[at]);
    }
    Ok(figures)
}

/// All tools that ran since, the one that is surely worst first: by the upper end of the interval of its success rate.
///
/// # Errors
/// When the store cannot be read.
pub fn of_all(store: &dyn Store, since: Timestamp, now: Timestamp) -> Result<Vec<Overview>> {
    let dirty: BTreeSet<String> = store.dirty()?.into_iter().map(|dirty| dirty.tool).collect();
    let yesterday = hour_of(now.saturating_sub(SignedDuration::from_hours(24))?.as_millisecond());
    let mut tools: BTreeMap<String, (Overview, Sketch)> = BTreeMap::new();
    for summary in store.versions(None, since)? {
        let new = || Overview {
            tool: summary.tool.clone(),
            counts: Counts::default(),
            errors: 0,
            success: None,
            latency: None,
            versions: 0,
            last: summary.last,
            failures_24h: 0,
            news: dirty.contains(&summary.tool),
            hours: Vec::new(),
        };
        let (tool, durations) = tools.entry(summary.tool.clone()).or_insert_with(|| (new(), Sketch::default()));
        tool.versions += 1;
        tool.last = tool.last.max(summary.last);
        add(&mut tool.counts, summary.counts);
        for hour in hours(store, &summary, since)? {
            tool.errors += hour.errors;
            tool.failures_24h += if hour.hour >= yesterday { hour.counts.failures } else { 0 };
            tool.hours.push((hour.hour, hour.counts));
            durations.merge(&hour.durations);
        }
    }
    let rated = |(mut tool, durations): (Overview, Sketch)| {
        (tool.success, tool.latency) = (Rate::of(tool.counts), Latency::of(&durations));
        tool
    };
    let mut all: Vec<Overview> = tools.into_values().map(rated).collect();
    let high = |tool: &Overview| tool.success.map_or(1.0, |success| success.high);
    all.sort_by(|a, b| high(a).total_cmp(&high(b)).then(b.counts.runs.cmp(&a.counts.runs)).then(a.tool.cmp(&b.tool)));
    Ok(all)
}

fn begin(since: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(hour_begins(hour_of(since.as_millisecond()))).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn add(sum: &mut Counts, counts: Counts) {
    sum.runs += counts.runs;
    sum.failures += counts.failures;
}

/// The hours of a version, whoever called it.
fn hours(store: &dyn Store, summary: &VersionSummary, since: Timestamp) -> Result<Vec<HourFigures>> {
    let mut merged: Vec<HourFigures> = Vec::new();
    for hour in store.hours(&summary.tool, &summary.version, since)? {
        if merged.last().is_none_or(|last| last.hour != hour.hour) {
            merged.push(HourFigures {
                at: Timestamp::from_millisecond(hour_begins(hour.hour)).unwrap_or(Timestamp::UNIX_EPOCH),
                version: summary.version.clone(),
                counts: Counts::default(),
                errors: 0,
                latency: None,
                hour: hour.hour,
                durations: Sketch::default(),
            });
        }
        if let Some(last) = merged.last_mut() {
            add(&mut last.counts, hour.counts);
            last.errors += hour.errors;
            last.durations.merge(&hour.durations);
        }
    }
    merged.iter_mut().for_each(|hour| hour.latency = Latency::of(&hour.durations));
    Ok(merged)
}

fn kinds(store: &dyn Store, summaries: &[VersionSummary], since: Timestamp) -> Result<Vec<KindFigures>> {
    let mut kinds: BTreeMap<Fingerprint, KindFigures> = BTreeMap::new();
    let mut inputs: BTreeSet<(Fingerprint, String)> = BTreeSet::new();
    for VersionSummary { tool, version, .. } in summaries.iter().filter(|summary| summary.counts.failures > 0) {
        for found in store.failures(tool, version, since, since)? {
            let kind = kinds.entry(found.failure.fingerprint.clone()).or_insert_with(|| KindFigures {
                fingerprint: found.failure.fingerprint.clone(),
                class: String::new(),
                message: String::new(),
                failures: 0,
                distinct_inputs: 0,
                last: Timestamp::UNIX_EPOCH,
            });
            kind.failures += found.failures;
            if found.last >= kind.last {
                (kind.class, kind.message, kind.last) = (found.failure.class, found.failure.message, found.last);
            }
        }
        let failing = store.failing_inputs(tool, version, since)?;
        inputs.extend(
            failing.into_iter().filter(|failing| !failing.input.is_empty()).map(|failing| (failing.fingerprint, failing.input)),
        );
    }
    for (fingerprint, _) in &inputs {
        kinds.entry(fingerprint.clone()).and_modify(|kind| kind.distinct_inputs += 1);
    }
    let mut kinds: Vec<KindFigures> = kinds.into_values().collect();
    kinds.sort_by(|a, b| b.failures.cmp(&a.failures).then(b.last.cmp(&a.last)));
    kinds.truncate(KINDS_MAX);
    Ok(kinds)
}

/// The commits that made these versions, from the base or, where there is none, from what is checked out.
fn revisions(repo: &Repo, config: &Config, tool: &str, wanted: BTreeSet<Version>) -> Result<Vec<Revision>> {
    let base = repo.base(&config.base).ok().and_then(|base| repo.tip(&base).ok());
    let from = base.map_or_else(|| repo.head(), Ok)?;
    let declared: Option<Tool> = declared(config).into_iter().find(|known| known.name == tool);
    let found = declared.map_or_else(|| Ok(catalog(repo, config, &from)?.get(tool).cloned()), |tool| anyhow::Ok(Some(tool)))?;
    match found {
        Some(tool) => repo.revisions_of(&from, &tool.paths, wanted),
        None => Ok(Vec::new()),
    }
}

pub(super) fn changes(before: &VersionFigures, after: &VersionFigures) -> Vec<Change> {
    let mut changes = Vec::new();
    if log_bayes_factor(before.counts, after.counts) > ALARM_BAYES_FACTOR.ln() {
        let worse = after.counts.success_rate() < before.counts.success_rate();
        changes.push(if worse { Change::Worse } else { Change::Better });
    }
    if let (Some(old), Some(new)) = (before.latency, after.latency)
        && before.counts.runs.min(after.counts.runs) >= LATENCY_RUNS
    {
        let factor = new.p50.as_secs_f64() / old.p50.as_secs_f64();
        if factor >= LATENCY_FACTOR {
            changes.push(Change::Slower(factor));
        } else if factor.recip() >= LATENCY_FACTOR {
            changes.push(Change::Faster(factor.recip()));
        }
    }
    changes
}
