//! `fractal log` and `fractal show`: improvements, and the whole story of one.

use std::path::Path;
use std::process::ExitCode;

use super::render::{self, Paint};
use super::{Failure, Outcome, Output, now};
use crate::engine::account::{Beside, account};
use crate::engine::{History, Improvement, Notable, Shadowed};
use crate::model::{Analysis, Asking, Event, Record, plain_line};

/// Read from `refs/fractal/log`, newest first.
#[derive(clap::Args)]
pub(super) struct Log {
    /// Show at most so many
    #[arg(short = 'n', long, default_value_t = 50)]
    limit: usize,
    /// Only improvements of this tool
    #[arg(long)]
    tool: Option<String>,
    #[command(flatten)]
    output: Output,
}

impl Log {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        let history = History::open(repo, now())?;
        let wanted = |improvement: &&Improvement| self.tool.as_ref().is_none_or(|tool| improvement.is_about(tool));
        let chosen: Vec<&Improvement> = history.improvements().into_iter().filter(wanted).take(self.limit).collect();
        if self.output.json {
            for improvement in chosen {
                render::say_json(&summary(improvement));
            }
            return Ok(ExitCode::SUCCESS);
        }
        if chosen.is_empty() {
            render::say("no improvements yet; `fractal run` looks for opportunities");
            return Ok(ExitCode::SUCCESS);
        }
        let rows = chosen.into_iter().map(|improvement| {
            let last = improvement.records.last().map_or_else(|| "-".to_string(), time);
            let commit = improvement.landed.as_ref().map_or_else(|| "-".to_string(), |landed| landed.commit.short().to_string());
            [
                improvement.id.short().to_string(),
                last,
                improvement.tools(),
                improvement.stage.word().to_string(),
                improvement.accepted.as_ref().map_or_else(|| class(improvement), |(attempt, _)| attempt.title.clone()),
                commit,
            ]
        });
        render::say(&render::table(["id", "last event", "tool", "stage", "what", "commit"], rows));
        Ok(ExitCode::SUCCESS)
    }
}

fn class(improvement: &Improvement) -> String {
    improvement.opportunity.as_ref().map_or_else(String::new, |opportunity| format!("({})", opportunity.failure.class))
}

fn time(record: &Record) -> String {
    record.at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn summary(improvement: &Improvement) -> serde_json::Value {
    serde_json::json!({
        "id": improvement.id,
        "tool": improvement.tool(),
        "tools": improvement.members().map(|member| &member.tool).collect::<Vec<_>>(),
        "stage": improvement.stage,
        "title": improvement.accepted.as_ref().map(|(attempt, _)| &attempt.title),
        "branch": improvement.branch.as_ref().map(|(branch, _)| branch),
        "landed": improvement.landed.as_ref().map(|landed| &landed.commit),
        "reason": improvement.end_reason,
        "reverted_before": improvement.reverted_before,
        "signs": improvement.signs.iter().map(|(number, comment, by, sign)| serde_json::json!({
            "number": number, "comment": comment, "by": by, "sign": sign,
        })).collect::<Vec<_>>(),
        "records": improvement.records.len(),
        "last": improvement.records.last().map(|record| record.at),
    })
}

/// Every event, in order, with its evidence.
#[derive(clap::Args)]
pub(super) struct Show {
    /// The improvement's id, or the beginning of it
    id: String,
    /// Print what a reviewer needs, in Markdown: evidence, investigation, change, verdict, and how to undo it
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    #[command(flatten)]
    output: Output,
}

impl Show {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        let history = History::open(repo, now())?;
        let improvement = history
            .find(&self.id)
            .map_err(|error| Failure::mistake(error.to_string(), "`fractal log` lists the improvements"))?;
        let shadow = history.shadowed(improvement);
        let rollout = history.rolled_out(improvement)?;
        if self.output.json {
            let value = serde_json::json!({ "summary": summary(improvement), "records": improvement.records, "shadow": shadow,
                "rollout": rollout.map(|(_, evidence)| evidence) });
            render::say_json_pretty(&value);
            return Ok(ExitCode::SUCCESS);
        }
        if self.markdown {
            return markdown(&history, improvement, shadow.as_ref());
        }
        let paint = Paint::for_stdout();
        render::say(&format!("{} {} ({})", paint.bold(&improvement.tools()), paint.stage(improvement.stage), improvement.id));
        if let Some(reason) = &improvement.end_reason {
            render::say(&format!("  {reason}"));
        }
        if !improvement.signs.is_empty() {
            let signs: Vec<String> = improvement.signs.iter().map(|(.., by, sign)| format!("{sign} {by}")).collect();
            render::say(&format!("  signs of people: {}", plain_line(&signs.join(", "), 300)));
        }
        for record in &improvement.records {
            render::say(&format!("\n{} {}", paint.dim(&time(record)), paint.cyan(record.event.name())));
            for line in tell(&record.event, improvement, paint) {
                render::say(&format!("  {line}"));
            }
        }
        if let Some(Shadowed { counts, notable }) = &shadow {
            render::say(&format!("\n{} {counts}", paint.bold("live shadow")));
            notable.iter().for_each(|notable| render::say(&format!("  {}", beside(notable))));
        }
        if let Some((reason, _)) = &rollout {
            render::say(&format!("\n{} {reason}", paint.bold("rollout")));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// One live run beside a proposal.
fn beside(notable: &Notable) -> String {
    let Notable { run, input } = notable;
    let input =
        input.as_ref().map_or_else(|| "(no longer recorded)".to_string(), |input| format!("`{}`", input.replace('`', "'")));
    format!("{} {input} {}", run.execution, plain_line(run.seen.told(), 200))
}

/// What a reviewer is told of the newest candidate.
fn markdown(history: &History, improvement: &Improvement, shadow: Option<&Shadowed>) -> Outcome {
    let view = history.view();
    let open = history.open_items()?.into_iter().find(|item| item.id == improvement.id).map(|item| item.reason);
    let told = open.or_else(|| improvement.end_reason.clone()).unwrap_or_else(|| improvement.stage.to_string());
    let beside: Vec<String> = shadow.iter().flat_map(|shadow| shadow.notable.iter().map(beside)).collect();
    let catalog = history.catalog()?;
    let told = Beside {
        tool: catalog.get(improvement.tool()),
        policy: &told,
        outcome: None,
        shadow: shadow.map(|shadow| &shadow.counts),
        notable: &beside,
        on_forge: false,
    };
    let Some(request) = account(view, improvement, &told)? else {
        let hint = "without `--markdown` it shows how far the improvement came";
        return Err(Failure::mistake("no candidate has been at the gate", hint));
    };
    render::say(&format!("# {}\n\n{}", request.title, request.body.trim_end()));
    Ok(ExitCode::SUCCESS)
}

fn tell(event: &Event, improvement: &Improvement, paint: Paint) -> Vec<String> {
    match event {
        Event::Detected { opportunity } => vec![
            match opportunity.failures {
                0 => format!(
                    "{} in {} runs of version {}",
                    opportunity.failure.class,
                    opportunity.counts.runs,
                    opportunity.version.short()
                ),
                failures => format!(
                    "{failures} × {} in {} runs of version {}",
                    opportunity.failure.class,
                    opportunity.counts.runs,
                    opportunity.version.short()
                ),
            },
            format!(
                "success {}, priority {:?}, score {}",
                render::rate(opportunity.counts),
                opportunity.priority,
                opportunity.score
            )
            .to_lowercase(),
            format!("fingerprint {}: {}", opportunity.failure.fingerprint, opportunity.failure.message),
        ],
        Event::Investigated { investigation } => {
            let mut lines = vec![format!("{} on commit {}", investigation.conclusion.word(), investigation.commit.short())];
            lines.extend(investigation.conclusion.why_not().map(str::to_string));
            lines
                .extend(investigation.reproductions.iter().map(|r| format!("{} of {} runs fail: {}", r.failed, r.runs, r.shown)));
            lines.extend(investigation.locations.iter().map(|l| format!("suspicion {:.2}: {}:{}", l.suspicion, l.path, l.line)));
            lines.extend(
                investigation.culprit.iter().map(|c| format!("culprit {} \"{}\" by {}", c.commit.short(), c.summary, c.author)),
            );
            lines.extend(investigation.remarks.iter().cloned());
            lines
        }
        Event::Judged { attempt, verdict } => {
            let word = paint.level(verdict.level);
            let mut lines = vec![format!(
                "{word}: {} ({} `{}`, candidate {})",
                attempt.title, attempt.strategy, attempt.source, attempt.tried
            )];
            lines.extend(attempt.diff.lines().filter(|line| !line.is_empty()).map(|line| diff_line(line, paint)));
            lines.extend(
                render::verdict(verdict, paint).lines().map(|line| line.strip_prefix("    ").unwrap_or(line).to_string()),
            );
            lines
        }
        Event::Asked { asking } => asked(asking),
        Event::NoCandidate { tried, reason } => vec![format!("{tried} candidates: {reason}")],
        Event::Intended { action } => vec![action.to_string()],
        Event::Approved { key, by } => vec![format!("{}, by {}", named(improvement, key), who(by))],
        Event::Started { key } | Event::Done { key, .. } => vec![named(improvement, key)],
        Event::Failed { key, error } => vec![named(improvement, key), error.clone()],
        Event::Observed { what } => vec![plain_line(&what.to_string(), 300)],
        Event::Analysed { analysis, .. } => analysed(analysis),
        Event::RolledOut { percent: 0, evidence, .. } => vec!["stopped".to_string(), evidence.to_string()],
        Event::RolledOut { percent: 100, evidence, .. } => vec!["lands".to_string(), evidence.to_string()],
        Event::RolledOut { version, percent, evidence } => {
            let mut lines = vec![format!("{percent} % of the live runs get version {}", version.short())];
            lines.extend((!evidence.steps.is_empty()).then(|| evidence.to_string()));
            lines
        }
        Event::Ended { how } => vec![serde_json::to_string(how).unwrap_or_default()],
    }
}

fn asked(asking: &Asking) -> Vec<String> {
    let free = if asking.recorded { ", answered from a recording" } else { "" };
    let about = if asking.estimated { " (estimated)" } else { "" };
    let mut lines = vec![
        format!("{} `{}`, prompt {}: {}", asking.strategy, asking.by, asking.prompt, asking.outcome),
        format!("{}{about}{free}", asking.cost),
    ];
    let said = asking.said.iter().flat_map(|said| said.lines());
    lines.extend(said.map(|line| format!("| {}", plain_line(line, 200))));
    lines
}

fn analysed(analysis: &Analysis) -> Vec<String> {
    let mut lines = vec![
        format!(
            "before {} of {} runs, after {} of {}",
            render::rate(analysis.before),
            analysis.before.runs,
            render::rate(analysis.after),
            analysis.after.runs
        ),
        format!("Bayes factor for \"worse\": {:.3e}", analysis.log_bayes_factor.exp()),
    ];
    lines.extend(analysis.replays.iter().map(|r| {
        format!("old fails {} of {}, new fails {} of {}: {}", r.old_failures, r.runs_each, r.new_failures, r.runs_each, r.shown)
    }));
    lines
}

pub(super) fn diff_line(line: &str, paint: Paint) -> String {
    let line = &line.chars().map(|c| if c.is_control() && c != '\t' { '·' } else { c }).collect::<String>();
    match line.as_bytes().first() {
        Some(b'+') => paint.green(line),
        Some(b'-') => paint.red(line),
        _ => line.to_string(),
    }
}

fn named(improvement: &Improvement, key: &crate::model::ActionKey) -> String {
    improvement.actions.get(key).map_or_else(|| key.to_string(), |(action, _)| action.to_string())
}

fn who(by: &crate::model::Approver) -> String {
    match by {
        crate::model::Approver::Policy(rule) => format!("policy: {rule}"),
        crate::model::Approver::Person(name) => name.clone(),
    }
}
