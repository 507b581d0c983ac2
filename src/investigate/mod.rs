//! Investigation: is it the tool's fault, where, since when? Every answer is something that was run and seen.
//!
//! Works on the untouched version in scratch checkouts. Only inputs of the seen half are used while there are any, because what
//! is found here is shown to strategies.

mod culprit;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};

use crate::lang;
use crate::model::{
    CommitId, Conclusion, Execution, Failure, Frame, Investigation, Location, Opportunity, Outcome, Recording, Reproduction,
    SuiteRun, Tool, plain_line,
};
use crate::world::View;
use crate::world::bench::{Bench, BenchError, Run};
use crate::world::store::{Query, Which};

/// Executions looked through for distinct inputs.
const EXECUTIONS_MAX: usize = 500;
const LOCATIONS_MAX: usize = 8;
/// How much less suspicious each frame is than the one it called.
const FRAME_DECAY: f64 = 0.8;
/// Characters of an input shown to people.
const SHOWN: usize = 70;

/// Looks into one opportunity as the tool is at `commit`.
///
/// # Errors
/// When the repository or the store cannot be read. A tool that cannot be run is a conclusion, not an error.
pub fn investigate(view: &View, tool: &Tool, opportunity: &Opportunity, commit: &CommitId) -> Result<Investigation> {
    if opportunity.failures == 0 {
        let reason = format!(
            "{}; no run fails, so no patch could be judged: `fractal stats {}` shows since when",
            opportunity.failure.message, tool.name
        );
        return Ok(bare(opportunity, commit, Conclusion::NoFailure { reason }));
    }
    let evidence = Evidence::gather(view, tool, opportunity)?;
    let bench = match Bench::at(view, tool, commit, evidence.longest) {
        Ok(bench) => bench,
        Err(BenchError::World(error)) => return Err(error),
        Err(error) => {
            let conclusion = match lang::environment_reason(&opportunity.failure) {
                Some(reason) => Conclusion::Environment { reason },
                None => Conclusion::NotRunnable { reason: error.to_string() },
            };
            return Ok(bare(opportunity, commit, conclusion));
        }
    };
    let sightings = reproduce(view, &bench, &evidence);
    let conclusion = conclude(opportunity, &evidence, &sightings);
    let mut investigation = bare(opportunity, commit, conclusion);
    investigation.reproductions = sightings.iter().map(Sighting::reproduction).collect();
    investigation.suite = bench.suite().map(|run| suite_run(&run));
    let failure = sightings.iter().find_map(|sighting| sighting.failure.clone()).unwrap_or_else(|| opportunity.failure.clone());
    investigation.locations = locations(tool, &failure);
    investigation.remarks = remarks(view, tool, commit, opportunity, &failure, &investigation)?;
    if investigation.conclusion == Conclusion::Improvable {
        let certain: Vec<&Sighting<'_>> = sightings.iter().filter(|sighting| sighting.is_certain()).collect();
        let recordings: Vec<&Recording> = certain.iter().map(|sighting| sighting.recording).collect();
        investigation.culprit = culprit::find(view, tool, &recordings, commit, evidence.longest)?;
        if investigation.culprit.is_none() && view.repo.is_shallow() {
            investigation.remarks.push("history is cut off (a shallow clone), so the culprit commit may lie before it".into());
        }
        let misuse = misuse(view, commit, &investigation, &certain)?.filter(|_| investigation.culprit.is_none());
        if let Some(reason) = misuse {
            investigation.conclusion = Conclusion::Misuse { reason };
        }
    }
    investigation.failure = failure;
    Ok(investigation)
}

fn bare(opportunity: &Opportunity, commit: &CommitId, conclusion: Conclusion) -> Investigation {
    Investigation {
        commit: commit.clone(),
        failure: opportunity.failure.clone(),
        reproductions: Vec::new(),
        locations: Vec::new(),
        culprit: None,
        suite: None,
        remarks: Vec::new(),
        others: Vec::new(),
        conclusion,
    }
}

/// Recorded runs that an investigation works with.
struct Evidence {
    /// Distinct failing inputs, newest first.
    failing: Vec<Recording>,
    /// Digests of inputs that also succeeded on this version.
    also_succeeded: BTreeSet<String>,
    longest: Duration,
}

impl Evidence {
    fn gather(view: &View, tool: &Tool, opportunity: &Opportunity) -> Result<Evidence> {
        let window = SignedDuration::from_hours(24 * i64::from(view.config.detect.window_days));
        let since = view.clock.now().saturating_sub(window).unwrap_or(Timestamp::UNIX_EPOCH);
        let query = |which| Query {
            tool: Some(&tool.name),
            version: Some(&opportunity.version),
            which,
            since,
            limit: EXECUTIONS_MAX,
            ..Query::default()
        };
        let failures = view.store.executions(&query(Which::FailuresLike(opportunity.failure.fingerprint.as_str())))?;
        let successes = view.store.executions(&query(Which::Only(Outcome::Success)))?;
        let mut distinct: BTreeMap<String, Execution> = BTreeMap::new();
        for execution in failures.into_iter().filter(|execution| execution.input.is_whole()) {
            distinct.entry(execution.input.digest()).or_insert(execution);
        }
        let mut chosen: Vec<Execution> = distinct.into_values().collect();
        chosen.sort_by_key(|execution| (execution.input.is_held_out(), std::cmp::Reverse(execution.at)));
        if chosen.iter().any(|execution| !execution.input.is_held_out()) {
            chosen.retain(|execution| !execution.input.is_held_out());
        }
        chosen.truncate(view.config.investigate.inputs);
        let failing = chosen.into_iter().map(|execution| view.store.load(execution)).collect::<Result<Vec<_>, _>>()?;
        let longest = successes.iter().map(|execution| execution.duration).max().unwrap_or_default();
        Ok(Evidence { failing, also_succeeded: successes.iter().map(|execution| execution.input.digest()).collect(), longest })
    }
}

/// What running one failing input again showed.
struct Sighting<'a> {
    recording: &'a Recording,
    failed: u32,
    runs: u32,
    failure: Option<Failure>,
    /// On its standard error, when it failed the last time.
    said: Vec<u8>,
    also_succeeded: bool,
}

impl Sighting<'_> {
    /// Fails every time, and never did otherwise.
    fn is_certain(&self) -> bool {
        self.failed == self.runs && self.runs > 0 && !self.also_succeeded
    }

    fn reproduction(&self) -> Reproduction {
        Reproduction {
            execution: self.recording.execution.id.clone(),
            input: self.recording.execution.input.digest(),
            shown: self.recording.shown(SHOWN),
            failed: self.failed,
            runs: self.runs,
        }
    }
}

fn reproduce<'a>(view: &View, bench: &Bench<'_>, evidence: &'a Evidence) -> Vec<Sighting<'a>> {
    let wanted = view.config.investigate.runs.max(1);
    let look = |recording: &&'a Recording| {
        let mut sighting = Sighting {
            recording,
            failed: 0,
            runs: 0,
            failure: None,
            said: Vec::new(),
            also_succeeded: evidence.also_succeeded.contains(&recording.execution.input.digest()),
        };
        for _ in 0..wanted {
            let run = bench.replay(recording);
            sighting.runs += 1;
            if run.repeats(recording) {
                sighting.failed += 1;
                sighting.failure = sighting.failure.or(run.failure);
                sighting.said = run.stderr;
            }
        }
        sighting
    };
    let recordings: Vec<&Recording> = evidence.failing.iter().collect();
    bench.each(&recordings, look, |_| false).into_iter().flatten().collect()
}

/// The conclusion. At least half of the inputs must fail every time for the tool to be at fault: one input that happens to fail
/// a few times in a row proves nothing about a tool that fails now and then.
fn conclude(opportunity: &Opportunity, evidence: &Evidence, sightings: &[Sighting<'_>]) -> Conclusion {
    let contradicted = sightings.iter().filter(|sighting| sighting.also_succeeded).count();
    let outside = lang::environment_reason(&opportunity.failure);
    if let Some(reason) = outside.clone().filter(|_| contradicted == 0) {
        return Conclusion::Environment { reason };
    }
    if evidence.failing.is_empty() {
        let reason = "no failing run was recorded with its whole input, so none can be run again".to_string();
        return Conclusion::NotRunnable { reason };
    }
    let certain = sightings.iter().filter(|sighting| sighting.is_certain()).count();
    if certain > 0 && 2 * certain >= sightings.len() {
        return Conclusion::Improvable;
    }
    let (failed, runs) = sightings.iter().fold((0, 0), |(failed, runs), s| (failed + s.failed, runs + s.runs));
    if failed == 0 && contradicted == 0 {
        let reason = format!("none of {runs} runs of {} failing inputs failed again on the untouched version", sightings.len());
        return Conclusion::NotReproducible { reason };
    }
    let mut reason = format!("the same inputs failed in {failed} of {runs} runs of the untouched version");
    if contradicted > 0 {
        reason.push_str(&format!("; {contradicted} of {} of them are also recorded as successes", sightings.len()));
    }
    if let Some(outside) = outside {
        reason.push_str(&format!("; {outside}"));
    }
    Conclusion::Flaky { reason }
}

/// Why the callers are at fault, when they are in all of these runs; an example.
fn misuse(view: &View, commit: &CommitId, found: &Investigation, certain: &[&Sighting<'_>]) -> Result<Option<String>> {
    let location = found.locations.first();
    let source = location.map(|location| view.repo.file_at(commit, &location.path)).transpose()?.flatten();
    let source = source.map(|source| String::from_utf8_lossy(&source).into_owned());
    let at = location.and_then(|location| usize::try_from(location.line).ok()?.checked_sub(1));
    let line = source.as_deref().zip(at).and_then(|(source, at)| source.lines().nth(at));
    let mut first = None;
    for sighting in certain {
        let Some(failure) = &sighting.failure else { return Ok(None) };
        let args = sighting.recording.execution.input.args.len();
        let Some(reason) = lang::misuse_reason(failure, &sighting.said, args, line) else { return Ok(None) };
        first = first.or(Some(reason));
    }
    Ok(first)
}

fn suite_run(run: &Run) -> SuiteRun {
    let said = [run.stderr.as_slice(), run.stdout.as_slice()].concat();
    let text = String::from_utf8_lossy(&said).into_owned();
    let telling =
        |line: &&str| ["FAILED", "OK", "failed", "passed", "# fail", "test result"].iter().any(|word| line.contains(word));
    let summary =
        text.lines().rev().map(str::trim).find(telling).or_else(|| text.lines().rev().find(|line| !line.trim().is_empty()));
    SuiteRun {
        passed: run.exit == crate::model::Exit::Code(0),
        summary: plain_line(summary.unwrap_or(""), 200),
        milliseconds: u64::try_from(run.duration.as_millis()).unwrap_or(u64::MAX),
    }
}

/// The tool's own frames of the failure, innermost first and most suspicious.
fn locations(tool: &Tool, failure: &Failure) -> Vec<Location> {
    let own = |frame: &&Frame| frame.in_repo && tool.owns(&frame.path);
    let mut locations: Vec<Location> = Vec::new();
    for frame in failure.frames.iter().filter(own) {
        if locations.len() < LOCATIONS_MAX
            && !locations.iter().any(|known| (known.line, &known.path) == (frame.line, &frame.path))
        {
            locations.push(Location {
                path: frame.path.clone(),
                line: frame.line,
                function: frame.function.clone(),
                suspicion: FRAME_DECAY.powi(i32::try_from(locations.len()).unwrap_or(i32::MAX)),
            });
        }
    }
    locations
}

fn remarks(
    view: &View,
    tool: &Tool,
    commit: &CommitId,
    opportunity: &Opportunity,
    failure: &Failure,
    investigation: &Investigation,
) -> Result<Vec<String>> {
    let mut remarks = vec![format!(
        "{} × {} in {} recorded runs of this version, {} distinct inputs",
        opportunity.failures, failure.class, opportunity.counts.runs, opportunity.distinct_inputs
    )];
    if let Some(location) = investigation.locations.first()
        && let Some(source) = view.repo.file_at(commit, &location.path)?
    {
        let source = String::from_utf8_lossy(&source);
        remarks.extend(lang::observe(tool.language, &source, location.line, failure));
    }
    if let Some(suite) = &investigation.suite {
        let state = if suite.passed { "pass" } else { "fail" };
        remarks.push(format!("the tool's own tests {state} on the untouched version: {}", suite.summary));
    }
    Ok(remarks)
}
