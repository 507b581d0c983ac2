//! What people read: commit messages, notes, reverts. Wording lives in `templates/text`, facts come from here.

use anyhow::{Context, Result};
use jiff::Timestamp;
use minijinja::{Environment, context};

use super::markdown::{block, cell, code, inert};
use super::marks::sealed;
use crate::model::{
    Analysis, Asking, AttemptSummary, Check, CheckStatus, CommitId, Counts, Finding, ImprovementId, Investigation, Opportunity,
    Patch, Rival, Signal, Tool, Verdict, plain_line,
};

/// Characters of a subject line's own text.
const SUBJECT_MAX: usize = 60;

/// Everything that the texts of one proposal tell.
pub(super) struct Story<'a> {
    pub tool: &'a Tool,
    pub opportunity: &'a Opportunity,
    pub investigation: &'a Investigation,
    pub attempt: &'a AttemptSummary,
    pub verdict: &'a Verdict,
    pub test: Option<&'a Patch>,
    /// Who was asked for it, oldest first.
    pub asked: &'a [Asking],
    pub now: Timestamp,
}

impl Story<'_> {
    pub(super) fn commit_message(&self) -> Result<String> {
        render(include_str!("../../templates/text/commit.txt"), self.facts()?)
    }

    pub(super) fn notes(&self) -> Result<String> {
        render(include_str!("../../templates/text/investigation.md"), self.facts()?)
    }

    fn facts(&self) -> Result<minijinja::Value> {
        let (opportunity, investigation) = (self.opportunity, self.investigation);
        let reproduced = investigation.reproductions.iter().filter(|r| r.failed == r.runs).count();
        let location = investigation.locations.first();
        Ok(context! {
            tool => self.tool.name,
            id => opportunity.id,
            id8 => opportunity.id.short(),
            version => opportunity.version.short(),
            title => inert(&plain_line(&self.attempt.title, SUBJECT_MAX)),
            class => inert(&plain_line(&investigation.failure.class, 60)),
            message => inert(&plain_line(&investigation.failure.message, 200)),
            fingerprint => opportunity.failure.fingerprint,
            failures => opportunity.failures,
            runs => opportunity.counts.runs,
            rate => percent(opportunity.counts),
            distinct => opportunity.distinct_inputs,
            signals => opportunity.signals.iter().map(signal).collect::<Vec<_>>(),
            priority => format!("{:?}", opportunity.priority).to_lowercase(),
            score => opportunity.score,
            reproduced => reproduced,
            examined => investigation.reproductions.len(),
            reproductions => investigation.reproductions.iter().map(|r| context! { shown => code(&r.shown), failed => r.failed, runs => r.runs }).collect::<Vec<_>>(),
            location => location.map(|l| format!("{}:{}", l.path, l.line)),
            function => location.and_then(|l| l.function.clone()),
            locations => investigation.locations.iter().map(|l| context! { path => l.path, line => l.line, function => l.function, suspicion => format!("{:.2}", l.suspicion) }).collect::<Vec<_>>(),
            culprit => investigation.culprit.as_ref().map(|c| context! { commit => c.commit, short => c.commit.short(), summary => inert(&plain_line(&c.summary, 80)), author => inert(&plain_line(&c.author, 60)), tried => c.versions_tried }),
            remarks => investigation.remarks.iter().map(|remark| inert(remark)).collect::<Vec<_>>(),
            strategy => self.attempt.strategy,
            source => self.attempt.source,
            trust => format!("{:?}", self.attempt.trust).to_lowercase(),
            tried => self.attempt.tried,
            diff => self.attempt.diff,
            beside => self.attempt.beside.iter().map(beside).collect::<Vec<_>>(),
            checks => checks(self.verdict),
            verdict => verdict(self.verdict).unwrap_or_default(),
            passed => self.verdict.checks.iter().filter(|c| c.status == CheckStatus::Passed).count(),
            checks_run => self.verdict.checks.iter().filter(|c| c.status != CheckStatus::Skipped).count(),
            test => self.test.and_then(|test| test.edits.keys().next()),
            base => investigation.commit,
            prose => self.attempt.prose,
            outside => outside(self.attempt, self.asked)?,
            date => self.now.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        })
    }
}

/// The commit message and the notes of one improvement of several tools.
pub(super) fn together(
    whole: &Opportunity,
    stories: &[Story<'_>],
    attempt: &AttemptSummary,
    asked: &[Asking],
) -> Result<(String, String)> {
    let tools: Vec<&str> = stories.iter().map(|story| story.tool.name.as_str()).collect();
    let facts = context! {
        id => whole.id,
        id8 => whole.id.short(),
        tools => tools.join(", "),
        title => inert(&plain_line(&attempt.title, SUBJECT_MAX)),
        class => inert(&plain_line(&whole.failure.class, 60)),
        strategy => attempt.strategy,
        source => attempt.source,
        parts => stories.iter().map(Story::facts).collect::<Result<Vec<_>>>()?,
        outside => outside(attempt, asked)?,
        notes => stories.iter().map(Story::notes).collect::<Result<Vec<_>>>()?,
    };
    let message = render(include_str!("../../templates/text/group.txt"), facts.clone())?;
    Ok((message, render(include_str!("../../templates/text/group.md"), facts)?))
}

/// A verdict in Markdown: how far it goes, why not further, and every check; good to paste into a review.
///
/// # Errors
/// When the text cannot be rendered.
pub fn verdict(verdict: &Verdict) -> Result<String> {
    render(
        include_str!("../../templates/text/verdict.md"),
        context! {
            level => verdict.level.to_string(),
            doubts => verdict.doubts.iter().map(|doubt| cell(doubt)).collect::<Vec<_>>(),
            plan => verdict.plan,
            checks => checks(verdict),
        },
    )
}

fn beside(other: &Rival) -> minijinja::Value {
    let Rival { strategy, source, title, patch } = other;
    context! { strategy => code(strategy), source => code(source), title => cell(title), patch => patch.short() }
}

/// Who else was asked, what that led to and what it cost; nothing where nobody was.
fn outside(attempt: &AttemptSummary, asked: &[Asking]) -> Result<String> {
    if asked.is_empty() {
        return Ok(String::new());
    }
    let (cost, asked) = (attempt.cost.unwrap_or_default().to_string(), asked.iter().map(asking).collect::<Vec<_>>());
    render(include_str!("../../templates/text/asked.md"), context! { cost => cost, asked => asked })
}

fn asking(asking: &Asking) -> minijinja::Value {
    let Asking { strategy, by, prompt, cost, recorded, outcome, said, .. } = asking;
    let said = said.as_ref().filter(|_| strategy == "agent").map(|said| block("text", said));
    context! {
        strategy => strategy, by => code(by), prompt => prompt, outcome => cell(outcome), recorded => recorded, said => said,
        tokens => format!("{} + {}", cost.input_tokens, cost.output_tokens), usd => format!("{:.4}", cost.usd()),
        seconds => format!("{:.1}", cost.milliseconds as f64 / 1000.0),
    }
}

fn checks(verdict: &Verdict) -> Vec<minijinja::Value> {
    let listed = |check: &Check| check.listed.iter().map(|line| cell(line)).collect::<Vec<_>>();
    let check = |check: &Check| context! { name => check.name, status => check.status.to_string(), detail => cell(&check.detail), plain => inert(&check.detail), listed => listed(check) };
    verdict.checks.iter().map(check).collect()
}

/// The message of a commit that reverts an improvement, in git's own form, with the evidence.
///
/// # Errors
/// When the text cannot be rendered.
pub fn revert_message(
    landed: &CommitId,
    subject: &str,
    opportunity: &Opportunity,
    why: &str,
    analysis: Option<&Analysis>,
) -> Result<String> {
    let replays = analysis.map(|analysis| analysis.replays.as_slice()).unwrap_or_default();
    render(
        include_str!("../../templates/text/revert.txt"),
        context! {
            subject => inert(&plain_line(subject, 100)),
            commit => landed,
            why => why,
            tools => tools(opportunity),
            id => opportunity.id,
            before => analysis.map(|a| counts(a.before)),
            after => analysis.map(|a| counts(a.after)),
            factor => analysis.map(|a| factor(a.log_bayes_factor)),
            p => analysis.and_then(|a| match a.finding { Finding::Regression { p } => Some(format!("{p:.2e}")), _ => None }),
            replays => replays.iter().map(|r| context! { shown => inert(&plain_line(&r.shown, 80)), old => r.old_failures, new => r.new_failures, runs => r.runs_each }).collect::<Vec<_>>(),
        },
    )
}

/// Title and text of the proposal that reverts an improvement, from the message of its commit. `reverted`: the proposal by which it landed.
///
/// # Errors
/// When the text cannot be rendered.
pub fn revert_request(id: &ImprovementId, message: &str, reverted: Option<u64>) -> Result<(String, String)> {
    let (subject, evidence) = message.trim_start().split_once('\n').unwrap_or((message.trim_start(), ""));
    let facts = context! {
        id => id,
        id8 => id.short(),
        reverted => reverted,
        evidence => block("text", evidence.trim()),
    };
    let body = sealed(&render(include_str!("../../templates/text/revert_request.md"), facts)?);
    Ok((inert(&plain_line(subject, 100)), body))
}

/// What is said on a proposal when what landed is not what was tested, and everything stops.
///
/// # Errors
/// When the text cannot be rendered.
pub fn fault(reason: &str, tested: &CommitId, landed: &CommitId) -> Result<String> {
    let facts = context! { reason => cell(reason), tested => tested, landed => landed };
    render(include_str!("../../templates/text/fault.md"), facts)
}

/// The note on an improvement's commit: `outcome` is `kept`, `reverted`, `inconclusive`, ….
///
/// # Errors
/// When the text cannot be rendered.
pub fn note(outcome: &str, reason: &str, opportunity: &Opportunity, analysis: Option<&Analysis>) -> Result<String> {
    render(
        include_str!("../../templates/text/note.txt"),
        context! {
            outcome => outcome,
            reason => inert(&plain_line(reason, 300)),
            id => opportunity.id,
            tools => tools(opportunity),
            first => counts(opportunity.counts),
            before => analysis.map(|a| counts(a.before)),
            after => analysis.map(|a| counts(a.after)),
            factor => analysis.map(|a| factor(a.log_bayes_factor)),
        },
    )
}

/// The tools that an improvement is about.
fn tools(opportunity: &Opportunity) -> Vec<&str> {
    opportunity.members().map(|member| member.tool.as_str()).collect()
}

pub(super) fn render(template: &str, facts: minijinja::Value) -> Result<String> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_keep_trailing_newline(true);
    environment.render_str(template, facts).context("rendering a text")
}

fn counts(counts: Counts) -> String {
    format!("{} of {} runs succeed ({})", counts.successes(), counts.runs, percent(counts))
}

pub(super) fn percent(counts: Counts) -> String {
    format!("{:.0} %", counts.success_rate() * 100.0)
}

fn factor(log: f64) -> String {
    match log {
        _ if log > 14.0 => format!("about 10^{:.0}", log / std::f64::consts::LN_10),
        _ if log > 2.3 => format!("{:.0}", log.exp()),
        _ => format!("{:.2}", log.exp()),
    }
}

/// One signal for people: "0.60 < 0.70, n = 50".
pub(super) fn signal(signal: &Signal) -> String {
    match signal {
        Signal::LowSuccess { rate, threshold } => format!("success rate {rate:.2} < {threshold:.2}"),
        Signal::RecentFailures { failures, hours } => format!("{failures} failures of one kind within {hours} h"),
        Signal::Regression { before, after, log_bayes_factor, since } => format!(
            "worse than the version before: {} then {} (Bayes factor {}){}",
            percent(*before),
            percent(*after),
            factor(*log_bayes_factor),
            since.as_ref().map(|commit| format!(", since {}", commit.short())).unwrap_or_default()
        ),
        Signal::Burst { failures, runs, hours, expected, p } => format!(
            "{failures} failures in {runs} runs within {hours} h, where {expected:.1} would be usual (probability {p:.1e})"
        ),
        Signal::Drift { before, after, since, log_evidence } => format!(
            "it fails more than it did: {} then {} since {since:.0} (evidence {})",
            percent(*before),
            percent(*after),
            factor(*log_evidence)
        ),
        Signal::Forecast { now, then, threshold, hours, probability } => format!(
            "the success rate falls: {now:.2} now, {then:.2} in {hours} h, below {threshold:.2} with probability {probability:.2}"
        ),
        Signal::Slower { quantile, before, after, log_bayes_factor, since } => format!(
            "slower than the version before: {before:.1} ms then {after:.1} ms at the quantile {quantile} (Bayes factor {}), since {}",
            factor(*log_bayes_factor),
            since.short()
        ),
    }
}
