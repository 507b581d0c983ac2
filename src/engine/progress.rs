//! What the loop tells while it works: for people who watch, and for programs that embed it.

use serde::Serialize;

use super::stage::Stage;
use crate::model::{
    Analysis, Asking, Conclusion, Counts, Finding, ImprovementId, Investigation, Opportunity, Priority, RolloutEvidence, Verdict,
};
use crate::record::collect::Collected;
use crate::record::exchange::Synced;

/// Something happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Progress {
    CycleStarted {
        base: String,
        commit: String,
        dry_run: bool,
    },
    /// Executions were exchanged with others.
    Synced {
        report: Synced,
    },
    /// Executions came from the forge.
    Collected {
        report: Collected,
    },
    /// What people did since the last cycle, or what a killed run had left open.
    Reconciled {
        id: ImprovementId,
        tool: String,
        what: String,
    },
    Detected {
        id: ImprovementId,
        tool: String,
        priority: Priority,
        score: f64,
        summary: String,
        opportunity: Box<Opportunity>,
    },
    Investigating {
        id: ImprovementId,
        tool: String,
    },
    Investigated {
        id: ImprovementId,
        tool: String,
        conclusion: &'static str,
        summary: String,
        investigation: Box<Investigation>,
    },
    /// Candidates for a file are put to tests: so many so far, and so many of them pass.
    Searching {
        id: ImprovementId,
        tool: String,
        path: String,
        tried: u64,
        passed: u64,
    },
    /// Candidates are taken to the gate.
    Trying {
        id: ImprovementId,
        tool: String,
        candidates: u64,
    },
    /// A model was asked, or an agent was run.
    Asked {
        id: ImprovementId,
        tool: String,
        asking: Asking,
    },
    Judged {
        id: ImprovementId,
        tool: String,
        title: String,
        source: String,
        tried: u64,
        verdict: Verdict,
        diff: String,
    },
    /// What was validated was validated on another base: on this one it goes through the gate again.
    Rebuilding {
        id: ImprovementId,
        tool: String,
        commit: String,
    },
    /// Repairs of several tools went through the gate on one tree; why they do not pass, if they do not.
    Together {
        id: ImprovementId,
        tool: String,
        tools: Vec<String>,
        refused: Option<String>,
    },
    Unsolved {
        id: ImprovementId,
        tool: String,
        tried: u64,
        reason: String,
    },
    /// An outward act was done, or in a dry run would be done.
    Action {
        id: ImprovementId,
        tool: String,
        action: String,
        dry_run: bool,
    },
    /// Something waits, and for what.
    Waiting {
        id: ImprovementId,
        tool: String,
        stage: Stage,
        reason: String,
    },
    Analysed {
        id: ImprovementId,
        tool: String,
        summary: String,
        analysis: Analysis,
    },
    /// A proposal has another share of the live runs: 100 when it lands, 0 when it is stopped.
    RolledOut {
        id: ImprovementId,
        tool: String,
        percent: u8,
        evidence: RolloutEvidence,
    },
    Ended {
        id: ImprovementId,
        tool: String,
        stage: Stage,
        reason: String,
    },
    Maintained {
        executions_removed: u64,
        scratch_removed: usize,
    },
    /// Nothing outward is done, and what lifts that.
    Paused {
        reason: String,
        lift: String,
    },
    /// What a zone found out is in a file for the next one.
    Bundled {
        file: String,
        answers: usize,
        digest: String,
    },
    /// What another zone found out does not fit any more; nothing was done.
    Left {
        reason: String,
    },
    CycleEnded {
        report: CycleReport,
    },
}

/// What one cycle did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CycleReport {
    pub tools_analysed: u64,
    pub opportunities: u64,
    pub investigated: u64,
    pub proposed: u64,
    pub landed: u64,
    pub kept: u64,
    pub reverted: u64,
    pub declined: u64,
    pub waiting: u64,
    /// What landed and is not what was tested: everything stops until a person has looked.
    pub faults: u64,
    /// Outward acts of this cycle: none means that another cycle now would do nothing new.
    pub actions: u64,
}

/// One line for people about an opportunity.
pub(super) fn describe_opportunity(opportunity: &Opportunity) -> String {
    use crate::model::Signal;
    let signals: Vec<String> = opportunity
        .signals
        .iter()
        .map(|signal| match signal {
            Signal::LowSuccess { rate, threshold } => format!("{rate:.2} < {threshold:.2}, n = {}", opportunity.counts.runs),
            Signal::RecentFailures { failures, hours } => format!("{failures} failures in {hours} h"),
            Signal::Regression { before, after, .. } => {
                format!("{:.2} before, {:.2} now", before.success_rate(), after.success_rate())
            }
            Signal::Burst { failures, runs, hours, expected, .. } => {
                format!("{failures} failures in {runs} runs within {hours} h, {expected:.1} expected")
            }
            Signal::Drift { before, after, .. } => {
                format!("{:.2} until it drifted, {:.2} since", before.success_rate(), after.success_rate())
            }
            Signal::Forecast { now, then, hours, .. } => format!("{now:.2} now, {then:.2} foretold in {hours} h"),
            Signal::Slower { before, after, .. } => format!("{before:.1} ms before, {after:.1} ms now"),
        })
        .collect();
    if !opportunity.each.is_empty() {
        let tools: Vec<&str> = opportunity.members().map(|member| member.tool.as_str()).collect();
        return format!("{} with the same repair in {}", opportunity.failure.class, tools.join(", "));
    }
    if opportunity.failures == 0 {
        return format!("{}: {}", opportunity.failure.class, signals.join("; "));
    }
    format!("{} × {}: {}", opportunity.failures, opportunity.failure.class, signals.join("; "))
}

/// One line for people about an investigation.
pub(super) fn describe_investigation(investigation: &Investigation) -> String {
    if let Some(reason) = investigation.conclusion.why_not() {
        return format!("{}: {reason}", investigation.conclusion.word());
    }
    let certain = investigation.reproductions.iter().filter(|r| r.failed == r.runs).count();
    let mut text = format!("reproduced {certain} of {}", investigation.reproductions.len());
    if let Some(location) = investigation.locations.first() {
        text.push_str(&format!(", at {}:{}", location.path, location.line));
    }
    if let Some(remark) = investigation.remarks.get(1) {
        text.push_str(&format!(", {remark}"));
    }
    if let Some(culprit) = &investigation.culprit {
        text.push_str(&format!(", since {} \"{}\" by {}", culprit.commit.short(), culprit.summary, culprit.author));
    }
    debug_assert!(matches!(investigation.conclusion, Conclusion::Improvable));
    text
}

/// One line for people about an analysis.
pub(super) fn describe_analysis(analysis: &Analysis) -> String {
    let rate = |counts: Counts| format!("{:.2} of {}", counts.success_rate(), counts.runs);
    let counts = format!("{} before, {} after", rate(analysis.before), rate(analysis.after));
    match &analysis.finding {
        Finding::Regression { p } => {
            format!("ALARM confirmed: {counts}; {} inputs replayed on both versions, p = {p:.1e}", analysis.replays.len())
        }
        Finding::FalseAlarm { reason } | Finding::Unconfirmed { reason } => format!("alarm: {counts}; {reason}"),
        Finding::Inconclusive { reason } => format!("{counts}; {reason}"),
        Finding::Waiting { .. } if !analysis.replays.is_empty() => {
            format!(
                "alarm: {counts}; {} failing inputs run again on both versions do not decide, more are awaited",
                analysis.replays.len()
            )
        }
        Finding::Good | Finding::Waiting { .. } => counts,
    }
}
