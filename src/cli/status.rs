//! `fractal status`: what the loop did, what it waits for, what it would take on next.

use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use super::render::{self, Paint};
use super::{Outcome, Output, now};
use crate::config::LimitsConfig;
use crate::engine::{FeedbackRow, Funnel, History, OpenItem, Spending, Stats, StrategyRow, ToolRow};
use crate::model::{Cost, ShadowCounts};
use crate::prioritize::Ranked;
use crate::world::claims::Claim;

/// Of so many tools only those are listed that are run.
const MANY: usize = 20;

/// Everything shown is derived from the log in git and from the recorded executions.
#[derive(clap::Args)]
pub(super) struct Status {
    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Everything {
    stats: Stats,
    /// Which loops work on which tools now.
    claims: Vec<Claim>,
    funnel: Funnel,
    /// What models and agents have cost.
    spending: Spending,
    /// What each way to repair came to.
    strategies: Vec<StrategyRow>,
    /// What people let us know of its work.
    feedback: Vec<FeedbackRow>,
    tools: Vec<ToolRow>,
    open: Vec<OpenItem>,
    backlog: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    tool: String,
    id: String,
    priority: crate::model::Priority,
    score: f64,
    failures: u64,
    class: String,
    /// What decided between this and the next one, where the score did not.
    tie: Option<&'static str>,
    /// What was already found out about it on this version.
    known: Option<String>,
}

impl Status {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        let history = History::open(repo, now())?;
        let catalog = history.catalog()?;
        let everything = Everything {
            stats: history.stats()?,
            claims: history.view().claims()?,
            funnel: history.funnel(),
            spending: history.spending(),
            strategies: history.strategies(),
            feedback: history.feedback(),
            tools: history.tool_rows(&catalog)?,
            open: history.open_items()?,
            backlog: history.backlog(&catalog)?.into_iter().map(|ranked| item(&history, ranked)).collect(),
        };
        if self.output.json {
            render::say_json_pretty(&everything);
        } else {
            show(&everything, history.view().clock.now());
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn item(history: &History, ranked: Ranked) -> Item {
    let opportunity = ranked.opportunity;
    let known = history
        .improvements()
        .into_iter()
        .find(|known| known.id == opportunity.id && known.version() == Some(&opportunity.version));
    Item {
        known: known.map(|known| match &known.end_reason {
            Some(reason) => format!("{}: {reason}", known.stage),
            None => known.stage.word().to_string(),
        }),
        tool: opportunity.tool,
        id: opportunity.id.short().to_string(),
        priority: opportunity.priority,
        score: opportunity.score,
        failures: opportunity.failures,
        class: opportunity.failure.class,
        tie: ranked.tie,
    }
}

fn show(everything: &Everything, now: jiff::Timestamp) {
    let paint = Paint::for_stdout();
    show_stats(&everything.stats, now, paint);
    for claim in &everything.claims {
        render::say(&format!("{} {claim}", paint.bold("claimed")));
    }
    let funnel = &everything.funnel;
    render::say(&format!(
        "{} {} detected → {} improvable → {} accepted → {} landed → {} kept; {} reverted, {} declined, {} waiting",
        paint.bold("funnel"),
        funnel.detected,
        funnel.improvable,
        funnel.accepted,
        funnel.landed,
        funnel.kept,
        funnel.reverted,
        funnel.declined,
        funnel.waiting
    ));
    show_strategies(everything, paint);
    show_feedback(&everything.feedback, paint);
    // A library of scripts has many that nobody runs through us.
    let is_quiet = |row: &&ToolRow| row.counts.runs == 0 && row.doing.is_none();
    let quiet = everything.tools.iter().filter(is_quiet).count();
    let quiet = if (MANY..).contains(&everything.tools.len()) && quiet < everything.tools.len() { quiet } else { 0 };
    let rows = everything.tools.iter().filter(|row| quiet == 0 || !is_quiet(row)).map(|row| {
        [
            row.tool.clone(),
            row.version.clone(),
            row.counts.runs.to_string(),
            row.counts.failures.to_string(),
            render::rate(row.counts),
            row.last_run.map_or_else(|| "-".into(), |at| render::ago(at, now)),
            row.doing.clone().unwrap_or_default(),
        ]
    });
    render::say(&render::table(["tool", "version", "runs", "failed", "success", "last run", "improvement"], rows));
    if quiet > 0 {
        render::say(&format!("{quiet} more tools have no recorded runs; `fractal tools` lists all"));
    }
    if !everything.open.is_empty() {
        render::say(&paint.bold("open"));
        let rows = everything.open.iter().map(|item| {
            [item.id.short().to_string(), item.tool.clone(), item.stage.word().to_string(), item.title.clone(), waits_for(item)]
        });
        render::say(&render::table(["id", "tool", "stage", "what", "waits for"], rows));
    }
    if !everything.backlog.is_empty() {
        render::say(&paint.bold("backlog"));
        let rows = everything.backlog.iter().map(|item| {
            [
                item.tool.clone(),
                format!("{:?}", item.priority).to_lowercase(),
                format!("{:.1}", item.score),
                format!("{} × {}", item.failures, item.class),
                item.tie.map(|tie| format!("before the next: {tie}")).unwrap_or_default(),
                item.known.clone().unwrap_or_else(|| "taken on in the next cycle".into()),
            ]
        });
        render::say(&render::table(["tool", "priority", "score", "failures", "tie", "state"], rows));
    }
}

/// What others were asked and what it cost, where anybody was.
fn show_strategies(everything: &Everything, paint: Paint) {
    let Spending { today, all, budget } = &everything.spending;
    if *all == Cost::default() {
        return;
    }
    let of = |limits: &LimitsConfig| match limits.usd > 0.0 {
        true => format!(" of ${:.2}", limits.usd),
        false => String::new(),
    };
    let told = |cost: &Cost, limits: &LimitsConfig| {
        format!("${:.4}{} ({} asked, {} tokens)", cost.usd(), of(limits), cost.attempts, cost.tokens())
    };
    let (day, ever) = (told(today, &budget.day), told(all, &budget.repository));
    render::say(&format!("{} today {day}, in all {ever}", paint.bold("spent")));
    let mut together: Vec<StrategyRow> = Vec::new();
    for row in &everything.strategies {
        match together.iter_mut().find(|known| known.strategy == row.strategy && known.source == row.source) {
            Some(known) => {
                (known.judged, known.accepted) = (known.judged + row.judged, known.accepted + row.accepted);
                (known.compared, known.preferred) = (known.compared + row.compared, known.preferred + row.preferred);
                (known.landed, known.kept) = (known.landed + row.landed, known.kept + row.kept);
                (known.reverted, known.cost) = (known.reverted + row.reverted, known.cost.and(row.cost));
            }
            None => together.push(row.clone()),
        }
    }
    let rows = together.into_iter().map(|row| {
        let counts = [row.judged, row.accepted, row.landed, row.kept, row.reverted].map(|count| count.to_string());
        let [judged, accepted, landed, kept, reverted] = counts;
        let better = format!("{} of {}", row.preferred, row.compared);
        [row.strategy, row.source, judged, accepted, better, landed, kept, reverted, format!("{:.4}", row.cost.usd())]
    });
    let names = ["strategy", "who, prompt", "judged", "accepted", "preferred", "landed", "kept", "reverted", "dollars"];
    render::say(&render::table(names, rows));
}

/// What people let us know, where they did.
fn show_feedback(rows: &[FeedbackRow], paint: Paint) {
    if rows.is_empty() {
        return;
    }
    render::say(&paint.bold("people"));
    let rows = rows.iter().map(|row| {
        let signs: Vec<String> = row.signs.iter().map(|(sign, count)| format!("{sign} {count}")).collect();
        let counts =
            [row.edited, row.approved, row.changes_wanted, row.commented, row.merged, row.closed, row.taken_over, row.reverted];
        let mut cells = vec![row.strategy.clone(), row.source.clone(), signs.join(" ")];
        cells.extend(counts.map(|count| if count == 0 { String::new() } else { count.to_string() }));
        <[String; 11]>::try_from(cells).unwrap_or_default()
    });
    let names = [
        "strategy",
        "template",
        "signs",
        "edited",
        "approved",
        "changes wanted",
        "commented",
        "merged",
        "closed",
        "taken over",
        "reverted",
    ];
    render::say(&render::table(names, rows));
}

/// The reason, and what live runs showed where that is not the reason itself.
fn waits_for(item: &OpenItem) -> String {
    let shadow = item.shadow.as_ref().filter(|shadow| !item.reason.contains(&shadow.to_string()));
    let rollout = item.rollout.as_ref().filter(|rollout| !item.reason.contains(&rollout.to_string()));
    let rollout = rollout.map(|rollout| format!("; canary: {rollout}")).unwrap_or_default();
    format!("{}{}{rollout}", item.reason, shadow.map(ShadowCounts::told).unwrap_or_default())
}

fn show_stats(stats: &Stats, now: jiff::Timestamp, paint: Paint) {
    let when = |at: Option<jiff::Timestamp>| at.map_or_else(|| "never".to_string(), |at| render::ago(at, now));
    let running = match (&stats.holder, stats.uptime_seconds) {
        (Some(holder), Some(seconds)) => format!("yes, `fractal {}` as process {} for {seconds} s", holder.mode, holder.pid),
        _ => "no".to_string(),
    };
    render::say(&format!("{} {running}", paint.bold("running")));
    for pause in &stats.pauses {
        render::say(&paint.yellow(&format!("paused  {} ({})", pause.reason, pause.how_to_lift())));
    }
    render::say(&format!(
        "{} {} completed, last check {}; {} maintenance runs, last {}; {} tools analysed",
        paint.bold("cycles"),
        stats.cycles_completed,
        when(stats.last_check),
        stats.maintenance_runs,
        when(stats.last_maintenance),
        stats.tools_analysed
    ));
    render::say(&format!(
        "{} {} opportunities detected, {} attempted, {} deployed, {} kept, {} failed, {} reverted",
        paint.bold("improvements"),
        stats.opportunities_detected,
        stats.improvements_attempted,
        stats.improvements_deployed,
        stats.improvements_kept,
        stats.improvements_failed,
        stats.improvements_reverted
    ));
}
