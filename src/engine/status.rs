//! What the log and the store tell about the loop so far. Reads only; every figure is derived.

use std::path::Path;

use anyhow::{Result, bail};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::cycle::decision;
use super::improvement::{Improvement, known};
use super::stage::Stage;
use super::{CycleError, Improvements, rollout, shadow};
use crate::deploy::Decision;
use crate::detect::detect;
use crate::model::{Counts, End, Event, ImprovementId, Observation, RolloutEvidence, Seen, ShadowCounts, ShadowRun};
use crate::prioritize::{Ranked, prioritize};
use crate::world::View;
use crate::world::catalog::{Catalog, catalog};
use crate::world::clock::Clock;
use crate::world::git::LogError;
use crate::world::lock::{Holder, LoopLock};
use crate::world::pause::{Pause, pauses};
use crate::world::shadow::read;

/// The figures of the loop.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stats {
    pub cycles_completed: u64,
    pub opportunities_detected: u64,
    /// Opportunities for which candidates were tried.
    pub improvements_attempted: u64,
    /// Landed on the base.
    pub improvements_deployed: u64,
    /// Ended without landing, or with a person being needed.
    pub improvements_failed: u64,
    pub improvements_reverted: u64,
    pub improvements_kept: u64,
    /// Adds up over cycles.
    pub tools_analysed: u64,
    pub maintenance_runs: u64,
    pub running: bool,
    pub holder: Option<Holder>,
    pub last_check: Option<Timestamp>,
    pub last_maintenance: Option<Timestamp>,
    /// Seconds since the running loop started.
    pub uptime_seconds: Option<i64>,
    /// The reason, while outward acts are paused.
    pub paused: Option<String>,
    /// Every switch that is set.
    pub pauses: Vec<Pause>,
}

/// How many opportunities got how far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Funnel {
    pub detected: u64,
    pub improvable: u64,
    pub accepted: u64,
    pub landed: u64,
    pub kept: u64,
    pub reverted: u64,
    pub declined: u64,
    pub waiting: u64,
}

/// A tool with the runs of its version on the base.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ToolRow {
    pub tool: String,
    pub version: String,
    pub counts: Counts,
    pub last_run: Option<Timestamp>,
    /// What the loop says or does about it.
    pub doing: Option<String>,
}

/// An improvement that is open or waits, and for what.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OpenItem {
    pub id: ImprovementId,
    pub tool: String,
    pub stage: Stage,
    pub title: String,
    pub reason: String,
    /// What live runs showed beside it, where any did.
    pub shadow: Option<ShadowCounts>,
    /// What the runs showed that got it, where it is rolled out.
    pub rollout: Option<RolloutEvidence>,
}

/// A live run beside a proposal that does not simply agree.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Notable {
    #[serde(flatten)]
    pub run: ShadowRun,
    /// For people; `None` when the execution is no longer stored.
    pub input: Option<String>,
}

/// What live runs showed beside a proposal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shadowed {
    #[serde(flatten)]
    pub counts: ShadowCounts,
    /// The first ones that speak against it, or else do not simply agree.
    pub notable: Vec<Notable>,
}

/// Live runs beside a proposal that are told one by one.
const NOTABLE: usize = 10;

/// A repository's log and store, opened for reading.
pub struct History {
    view: View,
    improvements: Improvements,
}

impl History {
    /// Opens the repository around `path`.
    ///
    /// # Errors
    /// When the repository, the log or the store cannot be read.
    pub fn open(path: &Path, clock: Clock) -> Result<Self, CycleError> {
        History::of(View::open(path, clock)?)
    }

    /// What `view` has.
    pub(super) fn of(view: View) -> Result<Self, CycleError> {
        let mut improvements = Improvements::new();
        for (id, records) in view.repo.read_log()? {
            let folded = Improvement::fold(id.clone(), records);
            let folded = folded.map_err(|error| LogError::Foreign(format!("improvements/{id}.jsonl: {error}")))?;
            improvements.insert(id, folded);
        }
        Ok(History { view, improvements })
    }

    /// The repository behind it.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// All improvements, the one with the newest record first.
    pub fn improvements(&self) -> Vec<&Improvement> {
        let mut all: Vec<&Improvement> = self.improvements.values().collect();
        all.sort_by_key(|improvement| std::cmp::Reverse(improvement.records.last().map(|record| record.at)));
        all
    }

    /// The improvement whose id begins with `prefix`.
    ///
    /// # Errors
    /// When none or several begin with it.
    pub fn find(&self, prefix: &str) -> Result<&Improvement> {
        let found: Vec<&Improvement> = self
            .improvements
            .values()
            .filter(|improvement| !prefix.is_empty() && improvement.id.as_str().starts_with(prefix))
            .collect();
        match found.as_slice() {
            [one] => Ok(one),
            [] => bail!("no improvement's id begins with `{prefix}`; `fractal log` lists them"),
            several => bail!("{} improvements' ids begin with `{prefix}`; write more of it", several.len()),
        }
    }

    /// The figures.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn stats(&self) -> Result<Stats> {
        let counters = self.view.store.counters()?;
        let count = |wanted: &dyn Fn(&Event) -> bool| self.events().filter(|event| wanted(event)).count() as u64;
        let holder = LoopLock::holder(&self.view.repo.state_dir());
        let pauses = pauses(&self.view.repo);
        let now = self.view.clock.now();
        let failed = |event: &Event| {
            matches!(event, Event::NoCandidate { .. } | Event::Ended { how: End::Stuck { .. } | End::Closed { .. } })
        };
        Ok(Stats {
            cycles_completed: counters.cycles_completed,
            opportunities_detected: count(&|event| matches!(event, Event::Detected { .. })),
            improvements_attempted: self.improvements.values().filter(|improvement| attempted(improvement)).count() as u64,
            improvements_deployed: self.improvements.values().filter(|improvement| was_landed(improvement)).count() as u64,
            improvements_failed: count(&failed),
            improvements_reverted: count(&is_revert),
            improvements_kept: count(&|event| matches!(event, Event::Ended { how: End::Kept })),
            tools_analysed: counters.tools_analysed,
            maintenance_runs: counters.maintenance_runs,
            running: holder.is_some(),
            uptime_seconds: holder.as_ref().map(|holder| now.duration_since(holder.since).as_secs()),
            holder,
            last_check: counters.last_check,
            last_maintenance: counters.last_maintenance,
            paused: pauses.first().map(|pause| pause.reason.clone()),
            pauses,
        })
    }

    fn events(&self) -> impl Iterator<Item = &Event> {
        self.improvements.values().flat_map(|improvement| improvement.records.iter().map(|record| &record.event))
    }

    /// How far opportunities got.
    pub fn funnel(&self) -> Funnel {
        let mut funnel = Funnel::default();
        for improvement in self.improvements.values() {
            let has = |wanted: fn(&Event) -> bool| u64::from(improvement.records.iter().any(|record| wanted(&record.event)));
            funnel.detected += 1;
            funnel.improvable += has(
                |event| matches!(event, Event::Investigated { investigation } if investigation.conclusion.why_not().is_none()),
            );
            funnel.accepted += has(|event| matches!(event, Event::Judged { verdict, .. } if verdict.accepted()));
            funnel.landed += u64::from(was_landed(improvement));
            funnel.kept += u64::from(improvement.stage == Stage::Kept);
            funnel.reverted += u64::from(improvement.stage == Stage::Reverted);
            funnel.declined += u64::from(improvement.stage == Stage::Declined);
            funnel.waiting += u64::from(matches!(improvement.stage, Stage::Proposed | Stage::Stuck));
        }
        funnel
    }

    /// What is open, with the reason for waiting read from the facts as they are now.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub fn open_items(&self) -> Result<Vec<OpenItem>> {
        let tip = self.view.repo.tip(&self.view.base)?;
        let mut items = Vec::new();
        for improvement in self.improvements() {
            let rollout = self.rolled_out(improvement)?;
            let reason = match improvement.stage {
                Stage::Proposed => match decision(&self.view, &known(&self.improvements, &improvement.id), &tip)? {
                    Decision::Wait(reason) => reason,
                    Decision::Merge => match &rollout {
                        Some((reason, _)) => reason.clone(),
                        None => "lands in the next cycle".to_string(),
                    },
                    Decision::Rebuild => "is validated again on the moved base in the next cycle".to_string(),
                },
                Stage::Watching => "is being watched".to_string(),
                Stage::Stuck => improvement.end_reason.clone().unwrap_or_default(),
                stage if stage.is_end() => continue,
                _ => "continues in the next cycle".to_string(),
            };
            items.push(OpenItem {
                id: improvement.id.clone(),
                tool: improvement.tools(),
                stage: improvement.stage,
                title: improvement.accepted.as_ref().map(|(attempt, _)| attempt.title.clone()).unwrap_or_default(),
                reason,
                shadow: Some(shadow::counts(&self.view, improvement)).filter(|counts| counts.runs > 0),
                rollout: rollout.map(|(_, evidence)| evidence).filter(|evidence| !evidence.steps.is_empty()),
            });
        }
        Ok(items)
    }

    /// What a proposal waits for that is rolled out, and what its live runs showed; `None` for any other.
    ///
    /// # Errors
    /// When the repository or the store cannot be read.
    pub fn rolled_out(&self, improvement: &Improvement) -> Result<Option<(String, RolloutEvidence)>> {
        if improvement.stage != Stage::Proposed || self.view.config.deploy.rollout.canary.is_empty() {
            return Ok(None);
        }
        self.catalog()?.get(improvement.tool()).map_or(Ok(None), |tool| rollout::told(&self.view, tool, improvement))
    }

    /// What live runs showed of a proposal while it waits; `None` where none did.
    pub fn shadowed(&self, improvement: &Improvement) -> Option<Shadowed> {
        let mut runs = read(&self.view.repo, &improvement.waiting()?);
        let counts = ShadowCounts::of(&runs);
        runs.retain(|run| run.seen != Seen::Agrees);
        runs.sort_by_key(|run| run.seen.doubt().is_none());
        let input = |run: &ShadowRun| {
            let found = self.view.store.find(run.execution.as_str()).and_then(|execution| self.view.store.load(execution));
            found.ok().map(|recording| recording.shown(60))
        };
        let notable = runs.into_iter().take(NOTABLE).map(|run| Notable { input: input(&run), run }).collect();
        (counts.runs > 0).then_some(Shadowed { counts, notable })
    }

    /// The tools of the base.
    ///
    /// # Errors
    /// When the base cannot be read.
    pub fn catalog(&self) -> Result<Catalog> {
        let tip = self.view.repo.tip(&self.view.base)?;
        catalog(&self.view.repo, &self.view.config, &tip)
    }

    /// The tools of the base with the runs of their present versions.
    ///
    /// # Errors
    /// When the base or the store cannot be read.
    pub fn tool_rows(&self, catalog: &Catalog) -> Result<Vec<ToolRow>> {
        let tip = self.view.repo.tip(&self.view.base)?;
        let window = SignedDuration::from_hours(24 * i64::from(self.view.config.detect.window_days));
        let summaries = self.view.store.versions(None, self.view.clock.now().saturating_sub(window)?)?;
        let mut rows = Vec::new();
        for tool in &catalog.tools {
            let version = self.view.repo.version_at(&tip, &tool.paths)?;
            let summary =
                summaries.iter().find(|summary| summary.tool == tool.name && Some(&summary.version) == version.as_ref());
            let newest = self.improvements().into_iter().find(|improvement| improvement.is_about(&tool.name));
            rows.push(ToolRow {
                tool: tool.name.clone(),
                version: version.map_or_else(|| "-".to_string(), |version| version.short().to_string()),
                counts: summary.map(|summary| summary.counts).unwrap_or_default(),
                last_run: summary.map(|summary| summary.last),
                doing: newest.map(|improvement| format!("{} {}", improvement.stage, improvement.id.short())),
            });
        }
        Ok(rows)
    }

    /// Opportunities as they would be taken on now, with what decided ties.
    ///
    /// # Errors
    /// When the base or the store cannot be read.
    pub fn backlog(&self, catalog: &Catalog) -> Result<Vec<Ranked>> {
        let tip = self.view.repo.tip(&self.view.base)?;
        Ok(prioritize(detect(&self.view, &catalog.tools, &tip)?.opportunities))
    }
}

fn attempted(improvement: &Improvement) -> bool {
    improvement.records.iter().any(|record| matches!(record.event, Event::Judged { .. } | Event::NoCandidate { .. }))
}

pub(super) fn was_landed(improvement: &Improvement) -> bool {
    let merged =
        |event: &Event| matches!(event, Event::Observed { what: Observation::Merged { .. } | Observation::Restored { .. } });
    improvement.landed.is_some() || improvement.records.iter().any(|record| merged(&record.event))
}

fn is_revert(event: &Event) -> bool {
    matches!(
        event,
        Event::Ended { how: End::Reverted { .. } }
            | Event::Observed { what: Observation::Reverted { .. } | Observation::Gone { .. } }
    )
}
