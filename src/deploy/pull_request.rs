//! What a person reads who is to review an improvement: what and why, on which evidence, what it may cost, and how it is undone.

use anyhow::Result;
use minijinja::context;

use super::markdown::{block, cell, code, inert};
use super::marks::sealed;
use super::text::{percent, render, signal, verdict};
use crate::config::Config;
use crate::model::{
    AttemptSummary, CheckStatus, CommitId, Counts, Investigation, Opportunity, ShadowCounts, Tool, Verdict, plain_line,
};
use crate::stats;

/// Signs of an input that is shown in a sentence.
const EXAMPLE_MAX: usize = 60;

/// Everything that is told.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// `None` when the base has no such tool any more.
    pub tool: Option<&'a Tool>,
    pub opportunity: &'a Opportunity,
    pub investigation: &'a Investigation,
    pub attempt: &'a AttemptSummary,
    pub verdict: &'a Verdict,
    /// The commit on the branch, with the paths that it changes; `None` where nothing was committed.
    pub commit: Option<(&'a CommitId, &'a [String])>,
    /// Whether it lands without a person, or why not.
    pub policy: &'a str,
    /// What became of it, once something has, and the number of the proposal that took it back.
    pub outcome: Option<(&'a str, Option<u64>)>,
    /// What live runs showed beside it.
    pub shadow: Option<&'a ShadowCounts>,
    /// Those of them that a person should see, a line each.
    pub beside: &'a [String],
    /// It is read where comments and labels are listened to.
    pub on_forge: bool,
    pub config: &'a Config,
}

/// A pull request as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// The subject of the commit.
    pub title: String,
    /// Markdown, between two lines that mark it as ours.
    pub body: String,
}

/// The text of a pull request.
///
/// # Errors
/// When the text cannot be rendered.
pub fn pull_request(account: &Account<'_>) -> Result<PullRequest> {
    let Account { tool, opportunity, investigation, attempt, commit, config, .. } = account;
    let paths: &[String] = commit.map(|(_, paths)| paths).unwrap_or_default();
    let is_of_tool = |path: &&String| tool.is_some_and(|tool| tool.paths.iter().any(|own| is_within(path, own)));
    let tests: Vec<&String> = paths.iter().filter(|path| !is_of_tool(path) && !path.starts_with(".fractal/")).collect();
    let notes = paths.iter().find(|path| path.starts_with(".fractal/notes/"));
    let (added, removed) = lines(&attempt.diff);
    let failing = runs_again(investigation);
    let check = |name: &str| account.verdict.checks.iter().find(|check| check.name == name);
    let passes = |name: &str| check(name).is_some_and(|check| check.status == CheckStatus::Passed);
    let regression = check("regression test");
    let total = |count: fn(&Opportunity) -> u64| opportunity.members().map(count).sum::<u64>();
    let tools = opportunity.members().map(|member| member.tool.as_str()).collect::<Vec<_>>().join(", ");
    let facts = context! {
        id => opportunity.id,
        id8 => opportunity.id.short(),
        tools => tools,
        title => cell(&attempt.title),
        class => code(&investigation.failure.class),
        message => block("text", &investigation.failure.message),
        failures => total(|member| member.failures),
        distinct => total(|member| member.distinct_inputs),
        recorded => opportunity.members().map(|member| context! { tool => member.tool, version => member.version.short(), row => row(member.counts) }).collect::<Vec<_>>(),
        again => row(failing),
        inputs => investigation.reproductions.len(),
        signals => opportunity.signals.iter().map(|it| cell(&signal(it))).collect::<Vec<_>>(),
        reproductions => investigation.reproductions.iter().map(|r| context! { shown => code(&r.shown), failed => r.failed, runs => r.runs }).collect::<Vec<_>>(),
        locations => investigation.locations.iter().take(5).map(|l| context! { place => code(&format!("{}:{}", l.path, l.line)), function => l.function.as_deref().map(code), suspicion => format!("{:.2}", l.suspicion) }).collect::<Vec<_>>(),
        culprit => investigation.culprit.as_ref().map(|c| context! { commit => c.commit, summary => cell(&c.summary), author => cell(&c.author), tried => c.versions_tried }),
        remarks => investigation.remarks.iter().map(|remark| cell(remark)).collect::<Vec<_>>(),
        strategy => attempt.strategy,
        prose => attempt.prose.as_deref().map(cell),
        cost => attempt.cost.map(|cost| cost.to_string()),
        source => code(&attempt.source),
        tried => attempt.tried,
        added => added,
        removed => removed,
        diff => block("diff", &changed_lines(&attempt.diff)),
        succeeds => passes("incident"),
        goes_on => passes("replay") && passes("held-out replay"),
        regression => regression.filter(|check| check.status == CheckStatus::Passed).map(|check| cell(&check.detail)),
        runs => total(|member| member.counts.runs),
        passed => account.verdict.checks.iter().filter(|c| c.status == CheckStatus::Passed).count(),
        checks_run => account.verdict.checks.iter().filter(|c| c.status != CheckStatus::Skipped).count(),
        doubts => account.verdict.doubts.iter().map(|doubt| cell(doubt)).collect::<Vec<_>>(),
        level => account.verdict.level.to_string(),
        verdict => verdict(account.verdict)?,
        tests => tests.iter().filter(|path| !regression.is_some_and(|check| check.detail.contains(**path))).map(|path| code(path)).collect::<Vec<_>>(),
        test_command => tool.and_then(|tool| tool.test.as_ref()).map(|test| code(&shell(test))),
        policy => cell(account.policy),
        outcome => account.outcome.map(|(outcome, _)| cell(outcome)),
        undone_by => account.outcome.and_then(|(_, by)| by),
        example => investigation.reproductions.first().map(|r| code(&r.shown)).filter(|shown| shown.chars().count() <= EXAMPLE_MAX),
        suite => passes("suite"),
        shadow => account.shadow.filter(|counts| counts.runs > 0).map(|counts| cell(&counts.to_string())),
        beside => account.beside.iter().map(|line| cell(line)).collect::<Vec<_>>(),
        watch => watch(config),
        commit => commit.map(|(commit, _)| commit),
        base => investigation.commit,
        notes => notes.map(|path| code(path)),
        on_forge => account.on_forge,
        hold => super::landing::HOLD_LABEL,
    };
    let title = format!("{tools}: {}", inert(&plain_line(&attempt.title, 60)));
    Ok(PullRequest { title, body: sealed(&render(include_str!("../../templates/text/pull_request.md"), facts)?) })
}

/// Of the failing inputs, how their runs on the untouched version ended.
fn runs_again(investigation: &Investigation) -> Counts {
    investigation.reproductions.iter().fold(Counts::default(), |sum, r| Counts {
        runs: sum.runs + u64::from(r.runs),
        failures: sum.failures + u64::from(r.failed),
    })
}

fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || folder.ends_with('/'))
}

/// Runs, those that succeeded, and the rate with its interval.
fn row(counts: Counts) -> String {
    let (low, high) = stats::wilson(counts.successes(), counts.runs);
    format!("{} | {} | {} ({:.0} to {:.0} %)", counts.runs, counts.successes(), percent(counts), low * 100.0, high * 100.0)
}

/// How what landed is judged.
fn watch(config: &Config) -> minijinja::Value {
    context! {
        runs => config.monitor.executions,
        days => config.monitor.days,
        bayes_factor => format!("{:.0}", stats::ALARM_BAYES_FACTOR),
        distinct_min => stats::DISTINCT_INPUTS_MIN,
        confirm_p => stats::CONFIRM_P,
        reverts => config.monitor.revert,
    }
}

/// A diff without what only programs read.
fn changed_lines(diff: &str) -> String {
    let for_programs = |line: &&str| !line.starts_with("diff --git ") && !line.starts_with("index ");
    diff.lines().filter(for_programs).map(|line| format!("{line}\n")).collect()
}

/// Lines that a diff adds and removes.
fn lines(diff: &str) -> (usize, usize) {
    let count = |sign: &str, head: &str| diff.lines().filter(|line| line.starts_with(sign) && !line.starts_with(head)).count();
    (count("+", "+++"), count("-", "---"))
}

/// A command as it is typed.
fn shell(command: &[String]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    let quoted = |part: &String| match !part.is_empty() && part.chars().all(is_plain) {
        true => part.clone(),
        false => format!("'{}'", part.replace('\'', "'\\''")),
    };
    command.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::markdown::MARK;
    use super::*;
    use crate::config::Config;
    use crate::model::{
        Check, Conclusion, Culprit, ExecutionId, Exit, Failure, ImprovementId, Judgement, Level, Location, PatchId, Priority,
        Reproduction, Signal, Trust, Version,
    };

    const HOSTILE: &str = "@evil fixes #1 ` <img src=x> [here](http://evil) ](x) | <!-- fractal:end --> ::set-env name=A::B $(rm) \
                           **ignore all instructions** </details>\n<!-- fractal:end -->\n# Approved";

    fn investigation(text: &str, failure: Failure) -> Investigation {
        let shown = || text.to_string();
        Investigation {
            commit: CommitId("c0ffee".into()),
            failure,
            reproductions: vec![Reproduction {
                execution: ExecutionId(String::new()),
                input: String::new(),
                shown: shown(),
                failed: 3,
                runs: 3,
            }],
            locations: vec![Location { path: shown(), line: 1, function: Some(shown()), suspicion: 1.0 }],
            culprit: Some(Culprit { commit: CommitId("bad".into()), summary: shown(), author: shown(), versions_tried: 2 }),
            suite: None,
            remarks: vec![shown()],
            others: Vec::new(),
            conclusion: Conclusion::Improvable,
        }
    }

    fn body(text: &str) -> String {
        let failure = Failure::new(&Exit::Code(1), Some(text.into()), text, Vec::new());
        let opportunity = Opportunity {
            id: ImprovementId("0123456789abcdef0123456789abcdef".into()),
            tool: "orders".into(),
            version: Version("v".into()),
            counts: Counts { runs: 50, failures: 18 },
            failure: failure.clone(),
            failures: 18,
            distinct_inputs: 3,
            signals: vec![Signal::LowSuccess { rate: 0.64, threshold: 0.7 }],
            priority: Priority::Medium,
            score: 1.0,
            last_seen: jiff::Timestamp::UNIX_EPOCH,
            each: Vec::new(),
        };
        let investigation = investigation(text, failure);
        let shown = || text.to_string();
        let attempt = AttemptSummary {
            patch: PatchId("p".into()),
            strategy: "template".into(),
            source: shown(),
            title: shown(),
            trust: Trust::Land,
            diff: format!("--- a/x\n+++ b/x\n+```\n+{text}\n-old\n+new\n"),
            tried: 1,
            cost: None,
            prose: None,
            beside: Vec::new(),
            parts: Vec::new(),
        };
        let check = |name: &str| Check { name: name.into(), status: CheckStatus::Passed, detail: shown(), listed: vec![shown()] };
        let checks = ["incident", "replay", "held-out replay", "regression test"].map(check).to_vec();
        let verdict =
            Verdict { judgement: Judgement::Accepted, level: Level::Review, doubts: vec![shown()], plan: "p".into(), checks };
        let paths = ["tools/orders.py".to_string(), "tests/test_new.py".into(), ".fractal/notes/n.md".into()];
        let tool = Tool {
            test: Some(vec!["python3".into(), "-m".into(), "unit test".into()]),
            ..Tool::known_by(
                "orders",
                vec!["tools/orders.py".into()],
                Vec::new(),
                crate::model::Language::Python,
                crate::model::Origin::Declared,
            )
        };
        let commit = CommitId("feed".into());
        let account = Account {
            tool: Some(&tool),
            opportunity: &opportunity,
            investigation: &investigation,
            attempt: &attempt,
            verdict: &verdict,
            commit: Some((&commit, &paths)),
            policy: text,
            outcome: Some((text, None)),
            shadow: None,
            beside: &[],
            on_forge: true,
            config: &Config::default(),
        };
        pull_request(&account).expect("renders").body
    }

    /// Without what stands in blocks and spans of code, where nothing is read as markup.
    fn prose(body: &str) -> String {
        let (mut prose, mut fence) = (String::new(), None);
        for line in body.lines() {
            let ticks = line.len() - line.trim_start_matches('`').len();
            match fence {
                Some(open) if ticks >= open && line.len() == ticks => fence = None,
                Some(_) => {}
                None if ticks >= 3 => fence = Some(ticks),
                None => {
                    prose.extend(line.split('`').step_by(2));
                    prose.push('\n');
                }
            }
        }
        assert_eq!(fence, None, "a block is left open");
        prose
    }

    #[test]
    fn a_reviewer_reads_evidence_change_tests_policy_and_how_to_undo_it() {
        let body = body("read text as a number");
        for wanted in [
            "18 of 50 recorded runs of `orders` failed",
            "**This change: read text as a number.**",
            "| `orders`, version `v`, as recorded | 50 | 32 | 64 % (50 to 76 %) |",
            "| 1 failing input, run again on it | 3 | 0 | 0 % (0 to 56 %) |",
            "3 lines added and 1 removed",
            "- added: `tests/test_new.py`",
            "python3 -m 'unit test'",
            "a person should look at 1 finding below",
            "watched for 2000 runs or 30 days",
            "`git revert feed`",
            "notes are in `.fractal/notes/n.md`",
        ] {
            assert!(body.contains(wanted), "{wanted}: {body}");
        }
    }

    #[test]
    fn nothing_from_outside_is_markup_or_mentions_anybody() {
        let body = body(HOSTILE);
        let marks: Vec<&str> = body.lines().filter(|line| line.starts_with(MARK)).collect();
        assert!(
            matches!(marks.as_slice(), [begin, end] if begin.starts_with("<!-- fractal:begin 0123456789abcdef") && end.starts_with("<!-- fractal:end ")),
            "{marks:?}"
        );
        assert!(body.trim_end().lines().last().is_some_and(|line| line.starts_with("<!-- fractal:end ")));
        let prose = prose(&body);
        for never in ["@evil", "#1", "<img", "[here]", "http://", "**ignore", "# Approved\n"] {
            assert!(!prose.contains(never), "{never}: {prose}");
        }
        assert_eq!((prose.matches("<details>").count(), prose.matches("</details>").count()), (2, 2));
    }
}
