//! Detection: which tools need attention, from counts alone. No tool is run here.
//!
//! A detector looks at one tool's [`Figures`] and may raise a signal; `DETECTORS` is the registry.

mod low_success;
mod recent_failures;
mod regression;

use std::collections::BTreeMap;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};

use crate::config::DetectConfig;
use crate::model::{CommitId, Counts, ImprovementId, Opportunity, Priority, Signal, Tool, Version};
use crate::world::View;
use crate::world::store::{FailureSummary, VersionSummary};

/// What detectors look at: one tool at the base.
pub struct Figures<'a> {
    pub tool: &'a Tool,
    pub version: Version,
    pub counts: Counts,
    /// The version before with its runs, and the commit that replaced it.
    pub before: Option<(Counts, CommitId)>,
    pub failures: &'a [FailureSummary],
    pub config: &'a DetectConfig,
}

/// A detector: its name, and what it says of a tool. With `Some(signal)`, `concerns` tells which failures it is about.
struct Detector {
    signal: fn(&Figures<'_>) -> Option<Signal>,
    concerns: fn(&Figures<'_>, &FailureSummary) -> bool,
}

const DETECTORS: [Detector; 3] = [
    Detector { signal: low_success::signal, concerns: low_success::concerns },
    Detector { signal: recent_failures::signal, concerns: recent_failures::concerns },
    Detector { signal: regression::signal, concerns: regression::concerns },
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
    let summaries = view.store.versions(Some(names.as_slice()).filter(|names| names.len() <= ONE_BY_ONE), since)?;
    let mut by_tool: BTreeMap<&str, Vec<&VersionSummary>> = BTreeMap::new();
    for summary in &summaries {
        by_tool.entry(&summary.tool).or_default().push(summary);
    }
    let mut detected = Detected::default();
    for tool in tools {
        let Some(own) = by_tool.get(tool.name.as_str()) else { continue };
        let Some(version) = view.repo.version_at(tip, &tool.paths)? else { continue };
        let Some(current) = own.iter().find(|summary| summary.version == version) else { continue };
        detected.analysed += 1;
        if current.counts.failures == 0 {
            continue;
        }
        let failures = view.store.failures(&tool.name, &version, since, recent)?;
        let before = before(view, tool, tip, own)?;
        let figures = Figures { tool, version, counts: current.counts, before, failures: &failures, config };
        detected.opportunities.extend(opportunities(&figures, current.first, now));
    }
    Ok(detected)
}

/// The counts of the newest earlier version that ran, and the commit that replaced it.
fn before(view: &View, tool: &Tool, tip: &CommitId, own: &[&VersionSummary]) -> Result<Option<(Counts, CommitId)>> {
    if own.len() < 2 {
        return Ok(None);
    }
    const VERSIONS_BACK: usize = 8;
    let revisions = view.repo.revisions(tip, &tool.paths, VERSIONS_BACK)?;
    let Some(newest) = revisions.first() else { return Ok(None) };
    let counts = revisions.iter().skip(1).find_map(|revision| own.iter().find(|summary| summary.version == revision.version));
    Ok(counts.map(|summary| (summary.counts, newest.commit.clone())))
}

fn opportunities(figures: &Figures<'_>, first: Timestamp, now: Timestamp) -> Vec<Opportunity> {
    let raised: Vec<(&Detector, Signal)> =
        DETECTORS.iter().filter_map(|detector| Some((detector, (detector.signal)(figures)?))).collect();
    let opportunity = |failure: &FailureSummary| {
        let signals: Vec<Signal> = raised
            .iter()
            .filter(|(detector, _)| (detector.concerns)(figures, failure))
            .map(|(_, signal)| signal.clone())
            .collect();
        (!signals.is_empty()).then(|| Opportunity {
            id: ImprovementId::of(&figures.tool.name, &failure.failure.fingerprint),
            tool: figures.tool.name.clone(),
            version: figures.version.clone(),
            counts: figures.counts,
            failure: failure.failure.clone(),
            failures: failure.failures,
            distinct_inputs: failure.distinct_inputs,
            signals,
            priority: priority(figures),
            score: score(figures.counts.runs, failure.failures, first, now),
            last_seen: failure.last,
        })
    };
    figures.failures.iter().filter_map(opportunity).collect()
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
