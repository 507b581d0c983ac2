//! Detection: which tools need attention, from counts alone. No tool is run here.
//!
//! A detector looks at one tool's [`Figures`] and may raise a signal; `DETECTORS` is the registry.

mod burst;
mod drift;
mod forecast;
mod latency;
mod low_success;
mod recent_failures;
mod regression;

use std::collections::BTreeMap;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};

use crate::config::DetectConfig;
use crate::model::{
    CommitId, Counts, Exit, Failure, ImprovementId, Opportunity, Priority, Signal, Sketch, Tool, Version, hour_begins, hour_of,
};
use crate::world::View;
use crate::world::git;
use crate::world::store::{FailureSummary, HourSummary, VersionSummary};

/// What detectors look at: one tool at the base.
pub struct Figures<'a> {
    pub tool: &'a Tool,
    pub version: Version,
    pub counts: Counts,
    /// Whether the success rate is low, by the configured rule.
    pub is_low: bool,
    pub before: Option<Before>,
    pub failures: &'a [FailureSummary],
    /// Of this version, oldest first.
    pub hours: &'a [HourSummary],
    /// The first hour that is recent.
    pub recent: i64,
    pub now: Timestamp,
    pub config: &'a DetectConfig,
}

/// The version before that ran.
pub struct Before {
    pub counts: Counts,
    pub durations: Sketch,
    /// The commit that replaced it.
    pub since: CommitId,
}

impl Figures<'_> {
    /// Runs and failures of each hour that had some, where a row of failures of one kind counts once: outages are not many failures.
    fn trials(&self) -> Vec<(i64, Counts)> {
        let mut hours: BTreeMap<i64, Counts> = BTreeMap::new();
        for hour in self.hours {
            let sum = hours.entry(hour.hour).or_default();
            let trials = trials(hour);
            (sum.runs, sum.failures) = (sum.runs + trials.runs, sum.failures + trials.failures);
        }
        hours.into_iter().filter(|(_, counts)| counts.runs > 0).collect()
    }

    /// Whether a kind of failure is more than a single sighting.
    fn is_repeated(&self, failure: &FailureSummary) -> bool {
        failure.failures >= self.config.minimum_failures
    }
}

fn trials(hour: &HourSummary) -> Counts {
    let failures = hour.episodes.min(hour.counts.failures);
    Counts { runs: hour.counts.successes() + failures, failures }
}

fn begin_of(hour: i64) -> Timestamp {
    Timestamp::from_millisecond(hour_begins(hour)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A detector: what it says of a tool, and which failures its signal is about.
struct Detector {
    signal: fn(&Figures<'_>) -> Option<Signal>,
    concerns: fn(&Figures<'_>, &Signal, &FailureSummary) -> bool,
}

const DETECTORS: [Detector; 6] = [
    Detector { signal: low_success::signal, concerns: low_success::concerns },
    Detector { signal: recent_failures::signal, concerns: recent_failures::concerns },
    Detector { signal: regression::signal, concerns: regression::concerns },
    Detector { signal: burst::signal, concerns: burst::concerns },
    Detector { signal: drift::signal, concerns: drift::concerns },
    Detector { signal: forecast::signal, concerns: forecast::concerns },
];

/// The tools that ran, and what needs attention among them.
#[derive(Debug, Default)]
pub struct Detected {
    /// Tools with executions of their current version.
    pub analysed: u64,
    pub opportunities: Vec<Opportunity>,
}

/// More tools than that are summed up in one go.
const ONE_BY_ONE: usize = 200;

/// Looks at those of `tools` that have executions of their current version. Reads rollups, no executions.
///
/// # Errors
/// When the repository or the store cannot be read.
pub fn detect(view: &View, tools: &[Tool], tip: &CommitId) -> Result<Detected> {
    let now = view.clock.now();
    let config = &view.config.detect;
    let since = now.saturating_sub(SignedDuration::from_hours(24 * i64::from(config.window_days)))?;
    let recent = now.saturating_sub(SignedDuration::from_hours(config.recent_hours as i64))?;
    let names: Vec<String> = tools.iter().map(|tool| tool.name.clone()).collect();
    // A rule over all tools needs all of them, whichever have news.
    let few = names.len() <= ONE_BY_ONE && !low_success::is_over_all(config.rule);
    let summaries = if names.is_empty() { Vec::new() } else { view.store.versions(few.then_some(names.as_slice()), since)? };
    let mut by_tool: BTreeMap<&str, Vec<&VersionSummary>> = BTreeMap::new();
    for summary in &summaries {
        by_tool.entry(&summary.tool).or_default().push(summary);
    }
    let mut current: BTreeMap<&str, &VersionSummary> = BTreeMap::new();
    for tool in tools {
        let Some(own) = by_tool.get(tool.name.as_str()) else { continue };
        let Some(version) = view.repo.version_at(tip, &tool.paths)? else { continue };
        current.extend(own.iter().find(|summary| summary.version == version).map(|summary| (tool.name.as_str(), *summary)));
    }
    let low = low_success::low(config, &by_tool, &current);
    let mut detected = Detected { analysed: current.len() as u64, opportunities: Vec::new() };
    let current: Vec<(&Tool, &VersionSummary)> =
        tools.iter().filter_map(|tool| Some((tool, *current.get(tool.name.as_str())?))).collect();
    let replaced = befores(view, &current, tip, &by_tool)?;
    for ((tool, summary), replaced) in current.into_iter().zip(replaced) {
        let before = replaced.map(|replaced| before(view, tool, replaced, since)).transpose()?;
        if summary.counts.failures == 0 && before.is_none() {
            continue;
        }
        let figures = Figures {
            tool,
            version: summary.version.clone(),
            counts: summary.counts,
            is_low: low.contains(tool.name.as_str()),
            before,
            failures: &view.store.failures(&tool.name, &summary.version, since, recent)?,
            hours: &view.store.hours(&tool.name, &summary.version, since)?,
            recent: hour_of(recent.as_millisecond()),
            now,
            config,
        };
        detected.opportunities.extend(opportunities(&figures, summary));
    }
    Ok(detected)
}

/// The newest earlier version of each that ran, and the commit that replaced it.
fn befores<'a>(
    view: &View,
    current: &[(&Tool, &VersionSummary)],
    tip: &CommitId,
    by_tool: &BTreeMap<&str, Vec<&'a VersionSummary>>,
) -> Result<Vec<Option<(CommitId, &'a VersionSummary)>>> {
    const VERSIONS_BACK: usize = 8;
    let ran = |number: usize, version: &Version| {
        let (tool, now) = current[number];
        let own = by_tool.get(tool.name.as_str())?.iter().find(|summary| summary.version == *version)?;
        Some(*own).filter(|_| *version != now.version)
    };
    // Without another version that ran there is nothing to look for.
    let asking: Vec<usize> = (0..current.len())
        .filter(|number| by_tool.get(current[*number].0.name.as_str()).is_some_and(|own| own.len() > 1))
        .collect();
    let wanted: Vec<_> = asking.iter().map(|number| |version: &Version| ran(*number, version).is_some()).collect();
    let asked: Vec<git::Before<'_>> = asking
        .iter()
        .zip(&wanted)
        .map(|(number, wanted)| git::Before { paths: &current[*number].0.paths, limit: VERSIONS_BACK, wanted })
        .collect();
    let mut befores = vec![None; current.len()];
    for (number, found) in asking.iter().zip(view.repo.versions_before(tip, &asked)?) {
        befores[*number] = found.and_then(|(since, version)| Some((since, ran(*number, &version)?)));
    }
    Ok(befores)
}

fn before(view: &View, tool: &Tool, (replaced_by, summary): (CommitId, &VersionSummary), since: Timestamp) -> Result<Before> {
    let mut durations = Sketch::default();
    if view.config.detect.latency {
        view.store.hours(&tool.name, &summary.version, since)?.iter().for_each(|hour| durations.merge(&hour.durations));
    }
    Ok(Before { counts: summary.counts, durations, since: replaced_by })
}

fn opportunities(figures: &Figures<'_>, summary: &VersionSummary) -> Vec<Opportunity> {
    let raised: Vec<(&Detector, Signal)> =
        DETECTORS.iter().filter_map(|detector| Some((detector, (detector.signal)(figures)?))).collect();
    let about = |failure: &FailureSummary| {
        let concerned = raised.iter().filter(|(detector, signal)| (detector.concerns)(figures, signal, failure));
        let signals: Vec<Signal> = concerned.map(|(_, signal)| signal.clone()).collect();
        (!signals.is_empty()).then(|| opportunity(figures, summary, failure, signals))
    };
    let slower = latency::signal(figures).map(|(signal, message)| {
        let failure = Failure { message, ..Failure::new(&Exit::Code(0), Some(latency::CLASS.into()), "", Vec::new()) };
        let nothing = FailureSummary { failure, failures: 0, recent: 0, distinct_inputs: 0, last: summary.last };
        Opportunity { priority: Priority::Low, ..opportunity(figures, summary, &nothing, vec![signal]) }
    });
    figures.failures.iter().filter_map(about).chain(slower).collect()
}

fn opportunity(figures: &Figures<'_>, summary: &VersionSummary, about: &FailureSummary, signals: Vec<Signal>) -> Opportunity {
    Opportunity {
        id: ImprovementId::of(&figures.tool.name, &about.failure.fingerprint),
        tool: figures.tool.name.clone(),
        version: figures.version.clone(),
        counts: figures.counts,
        failure: about.failure.clone(),
        failures: about.failures,
        distinct_inputs: about.distinct_inputs,
        signals,
        priority: priority(figures),
        score: score(figures.counts.runs, about.failures, summary.first, figures.now),
        last_seen: about.last,
        each: Vec::new(),
    }
}

fn priority(figures: &Figures<'_>) -> Priority {
    match figures.counts.success_rate() {
        _ if figures.counts.runs < figures.config.minimum_executions => Priority::Low,
        rate if rate < figures.config.high_below => Priority::High,
        rate if rate < figures.config.threshold => Priority::Medium,
        _ => Priority::Low,
    }
}

/// Runs per week times the share of runs that fail this way. Runs of less than a week are not extrapolated.
fn score(runs: u64, failures: u64, first: Timestamp, now: Timestamp) -> f64 {
    let days = now.duration_since(first).as_secs_f64() / 86_400.0;
    let per_week = runs as f64 * 7.0 / days.max(7.0);
    let share = failures as f64 / (runs.max(1)) as f64;
    (per_week * share * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_the_runs_that_a_repair_would_save_each_week() {
        let now = Timestamp::from_second(10_000_000).expect("valid");
        let ago = |days: i64| now - SignedDuration::from_hours(24 * days);
        assert_eq!(score(50, 20, ago(1), now), 20.0);
        assert_eq!(score(280, 140, ago(28), now), 35.0);
        assert_eq!(score(0, 0, now, now), 0.0);
    }
}
