//! `fractal bench repair --strategy model`: the same talk with a model as in the loop, judged by the case's tests.

use std::collections::BTreeMap;
use std::path::Path;

use super::cases::Case;
use crate::cli::now;
use crate::config::{AnswerForm, Config, Recordings};
use crate::engine::asking::{Dialogue, Purse};
use crate::engine::redact_by;
use crate::improve::model::{self, Example};
use crate::improve::{self, Till};
use crate::model::{
    Candidate, CommitId, Conclusion, Cost, Counts, Failure, FileEdit, Investigation, SuiteRun, Test, TestBody, TestRun, Tool,
};
use crate::world::provider::Models;
use crate::world::trial::Trials;

/// What asking came to.
pub(super) struct Answered {
    /// A patch that passes every test that was shown, with the file after it.
    pub found: Option<(Candidate, String)>,
    pub cost: Cost,
    /// Why there is none.
    pub why: String,
    /// Patches that were tried.
    pub tried: usize,
}

/// Asks about one case; `trials` holds the tests that may be seen.
///
/// # Errors
/// When nobody can be asked, or a test cannot be run.
pub(super) fn ask(
    config: &Config,
    recordings: Option<&Path>,
    (case, tool, sources): (&Case, &Tool, &BTreeMap<String, Vec<u8>>),
    seen: &[Test],
    trials: &mut dyn Trials,
) -> anyhow::Result<Answered> {
    let mut model = config.model.clone();
    if recordings.is_none() {
        model.recordings = Recordings::Off;
    }
    let state = recordings.unwrap_or(Path::new("."));
    let models = Models::open(&model, state, now(), redact_by(config))?;
    let models = models.ok_or_else(|| anyhow::anyhow!("`[model] provider` is `none`: name a configuration with `--config`"))?;
    let order: Vec<usize> = (0..seen.len()).collect();
    let baseline = trials.confirm(&case.source, &order)?;
    let prompt = match prompt(config, (case, tool, sources), seen, &baseline) {
        Ok(prompt) => prompt,
        Err(why) => return Ok(Answered { found: None, cost: Cost::default(), why, tried: 0 }),
    };
    let till = Till::default();
    let mut purse = Purse::new(config, &till);
    let mut talk = Dialogue::new(models, prompt);
    let (mut found, mut tried) = (None, 0);
    loop {
        if talk.asks(config) {
            talk.ask(config, &mut purse, now().now(), sources);
            continue;
        }
        let Some(sampled) = talk.candidate() else { break };
        tried += 1;
        let text = match sampled.candidate.patch.edits.get(&case.path) {
            Some(FileEdit::Write(content)) => String::from_utf8_lossy(content).into_owned(),
            Some(FileEdit::Delete) | None => continue,
        };
        let runs = trials.confirm(&text, &order)?;
        if runs.iter().all(TestRun::passed) {
            found = Some((sampled.candidate, text));
            break;
        }
        let passed = runs.iter().filter(|run| run.passed()).count();
        talk.note(sampled, failing(seen, &runs), passed);
    }
    let why = if found.is_some() { String::new() } else { talk.reason() };
    Ok(Answered { found, cost: purse.spent(), why, tried })
}

fn prompt(
    config: &Config,
    (case, tool, sources): (&Case, &Tool, &BTreeMap<String, Vec<u8>>),
    seen: &[Test],
    baseline: &[TestRun],
) -> Result<model::Prompt, String> {
    let example = |(test, run): (&Test, &TestRun)| Example {
        input: test.name.clone(),
        stdin: match &test.body {
            TestBody::Program(code) => code.clone().into_bytes(),
            TestBody::Run(_) | TestBody::Command(_) => Vec::new(),
        },
        ended: run.failure.as_ref().map_or_else(|| "passes".to_string(), |it| format!("{}: {}", it.class, it.message)),
        stdout: Vec::new(),
        expected: None,
    };
    let both = || seen.iter().zip(baseline);
    let failing: Vec<Example> = both().filter(|(_, run)| !run.passed()).map(example).collect();
    let good: Vec<Example> = both().filter(|(_, run)| run.passed()).map(example).collect();
    let failure = baseline.iter().find_map(|run| run.failure.clone()).unwrap_or_else(Failure::wrong_output);
    let suite = Some(SuiteRun { passed: false, summary: String::new(), milliseconds: 0 });
    let investigation = Investigation {
        commit: CommitId(String::new()),
        failure,
        reproductions: Vec::new(),
        locations: Vec::new(),
        culprit: None,
        suite,
        remarks: Vec::new(),
        others: Vec::new(),
        conclusion: Conclusion::Improvable,
    };
    let facts = improve::Case { tool, investigation: &investigation, sources, revert: None, learned: None };
    model::prompt(&model::Asked {
        case: &facts,
        id: &case.id,
        counts: Counts { runs: seen.len() as u64, failures: failing.len() as u64 },
        failing: &failing,
        good: &good,
        tests: &BTreeMap::new(),
        json: config.model.answers == AnswerForm::Json,
        bytes: config.model.prompt_kib << 10,
    })
}

/// Tests that are told of one answer.
const TOLD: usize = 4;

fn failing(seen: &[Test], runs: &[TestRun]) -> String {
    let said = |run: &TestRun| run.failure.as_ref().map(|it| format!("{}: {}", it.class, it.message)).unwrap_or_default();
    let failing = seen.iter().zip(runs).filter(|(_, run)| !run.passed()).take(TOLD);
    let lines: Vec<String> = failing.map(|(test, run)| format!("- `{}` fails: {}", test.name, said(run))).collect();
    format!("These tests fail:\n{}", lines.join("\n"))
}
