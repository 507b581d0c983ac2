//! What a store must say, computed from the executions themselves in the plainest way; and made-up executions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fractal::model::{
    Arg, BlobId, Counts, Execution, ExecutionId, Exit, Failure, Input, Mark, NewExecution, Outcome, Sketch, Version,
};
use fractal::world::store::row::caller_class;
use fractal::world::store::{Query, Store};
use jiff::Timestamp;

pub const HOUR: i64 = 3_600_000;
/// The beginning of an hour.
pub const BEGIN: i64 = 472_222 * HOUR;

pub fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).expect("a time")
}

/// A run of a tool that ended at a time. Equal arguments make equal executions.
pub fn run(tool: &str, version: &str, ended: i64, number: u64, outcome: Outcome) -> NewExecution {
    let duration = Duration::from_micros(1_500 + number * 977 % 100_000);
    let id = ExecutionId::derived(at(ended), &[tool.as_bytes(), version.as_bytes(), &number.to_le_bytes()]);
    let input = Input {
        args: vec![Arg::from("--limit"), Arg::from((number % 7).to_string().as_str())],
        stdin: None,
        cwd: Some(String::new()),
        truncated: false,
        withheld: None,
    };
    let failed = outcome == Outcome::Failure;
    let exit = Exit::Code(if outcome == Outcome::Success { 0 } else { 1 });
    let failure = failed.then(|| Failure::new(&exit, Some(format!("Error{}", number % 3)), "it broke", Vec::new()));
    let stdout = format!("answer {}\n", number % 5).into_bytes();
    NewExecution {
        execution: Execution {
            id,
            tool: tool.into(),
            version: Version(version.into()),
            at: at(ended - 1 - i64::try_from(number % 50).expect("small")),
            duration,
            input,
            exit,
            outcome,
            failure,
            stdout: Some(BlobId::of(&stdout)),
            stderr: None,
            caller: ["exec", "ci-1", "ci-22"][number as usize % 3].into(),
            mark: None,
        },
        stdin: None,
        stdout: Some(stdout),
        stderr: None,
        expected: None,
    }
}

/// Runs in the order of time, a minute apart, every third a failure.
pub fn runs(tool: &str, version: &str, begin: i64, count: u64) -> Vec<NewExecution> {
    let outcome = |number: u64| [Outcome::Success, Outcome::Failure, Outcome::Success][number as usize % 3];
    let ended = |number: u64| begin + i64::try_from(number).expect("small") * 60_000;
    (0..count).map(|number| run(tool, version, ended(number), number, outcome(number))).collect()
}

pub fn with_mark(mut new: NewExecution, expected: Option<&str>) -> NewExecution {
    new.execution.mark = Some(Mark { expected: expected.map(|text| BlobId::of(text.as_bytes())) });
    new.expected = expected.map(|text| text.as_bytes().to_vec());
    new.execution.outcome = Outcome::Failure;
    // One that failed by itself keeps its failure.
    new.execution.failure.get_or_insert_with(Failure::wrong_output);
    new
}

/// Every execution of a store, newest first.
pub fn all(store: &dyn Store) -> Vec<Execution> {
    store.executions(&Query { limit: 1_000_000, ..Query::default() }).expect("reads")
}

type Hour = (i64, String);

/// The sums of one version of one tool.
#[derive(Debug, Default, PartialEq)]
pub struct Sums {
    pub counts: Counts,
    pub ends: Option<(Timestamp, Timestamp)>,
    /// By hour and class of caller: runs and failures, errors, episodes, runs in the sketch, sum of logarithms.
    pub hours: BTreeMap<Hour, (Counts, u64, u64, u64, i64)>,
    /// By fingerprint: failures, distinct inputs, the newest.
    pub failures: BTreeMap<String, (u64, u64, Timestamp)>,
    /// By fingerprint and input: failures, the newest.
    pub inputs: BTreeMap<(String, String), (u64, ExecutionId)>,
}

/// From the executions.
pub fn truth<'a>(executions: impl IntoIterator<Item = &'a Execution>) -> BTreeMap<(String, String), Sums> {
    let mut sorted: Vec<&Execution> = executions.into_iter().collect();
    sorted.sort_by_key(|execution| execution.id.clone());
    let mut sums: BTreeMap<(String, String), Sums> = BTreeMap::new();
    let mut before: BTreeMap<(String, String, Hour), Option<String>> = BTreeMap::new();
    let mut distinct: BTreeMap<(String, String, String), BTreeSet<String>> = BTreeMap::new();
    for e in sorted {
        let (tool, version) = (e.tool.clone(), e.version.0.clone());
        let of = sums.entry((tool.clone(), version.clone())).or_default();
        let hour = (e.id.ended().as_millisecond().div_euclid(HOUR), caller_class(&e.caller));
        let figures = of.hours.entry(hour.clone()).or_default();
        if e.outcome == Outcome::Error {
            figures.1 += 1;
            continue;
        }
        let ended = e.id.ended();
        of.counts.runs += 1;
        of.ends = Some((of.ends.map_or(ended, |(first, _)| first), ended));
        figures.0.runs += 1;
        figures.3 += 1;
        let micros = e.duration.as_micros() as f64;
        figures.4 += (micros.clamp(100.0, 3.6e9).ln() * 1e6).round() as i64;
        let print = e.failure.as_ref().map(|failure| failure.fingerprint.as_str().to_string());
        let last = before.insert((tool.clone(), version.clone(), hour), print.clone()).flatten();
        let Some(print) = print else { continue };
        of.counts.failures += 1;
        figures.0.failures += 1;
        figures.2 += u64::from(last.as_ref() != Some(&print));
        let input = e.input.digest();
        let inputs = distinct.entry((tool, version, print.clone())).or_default();
        if !input.is_empty() {
            inputs.insert(input.clone());
        }
        let kind = of.failures.entry(print.clone()).or_insert((0, 0, ended));
        *kind = (kind.0 + 1, inputs.len() as u64, ended);
        let kept = of.inputs.entry((print, input)).or_insert((0, e.id.clone()));
        *kept = (kept.0 + 1, e.id.clone());
    }
    sums
}

/// From the rollups.
pub fn told(store: &dyn Store, tool: &str, version: &str) -> Sums {
    let (epoch, of) = (Timestamp::UNIX_EPOCH, Version(version.into()));
    let summary = store.versions(Some(&[tool.to_string()]), epoch).expect("reads").into_iter().find(|v| v.version == of);
    let mut sums = Sums::default();
    if let Some(summary) = summary {
        (sums.counts, sums.ends) = (summary.counts, Some((summary.first, summary.last)));
    }
    for hour in store.hours(tool, &of, epoch).expect("reads") {
        assert!(hour.settled, "{hour:#?}");
        let figures = (hour.counts, hour.errors, hour.episodes, Sketch::count(&hour.durations), hour.log_sum);
        assert!(sums.hours.insert((hour.hour, hour.caller), figures).is_none(), "an hour is told twice");
    }
    for kind in store.failures(tool, &of, epoch, epoch).expect("reads") {
        assert_eq!(kind.failures, kind.recent);
        let print = kind.failure.fingerprint.as_str().to_string();
        assert!(sums.failures.insert(print, (kind.failures, kind.distinct_inputs, kind.last)).is_none());
    }
    for input in store.failing_inputs(tool, &of, epoch).expect("reads") {
        let place = (input.fingerprint.as_str().to_string(), input.input);
        assert!(sums.inputs.insert(place, (input.failures, input.newest)).is_none());
    }
    sums
}

/// What a store tells is what its executions say.
#[track_caller]
pub fn audit(store: &mut dyn Store) {
    let executions = all(store);
    let tools: BTreeSet<String> = executions.iter().map(|execution| execution.tool.clone()).collect();
    store.settle(&tools.into_iter().collect::<Vec<_>>()).expect("settles");
    let truth = truth(&executions);
    let versions = store.versions(None, Timestamp::UNIX_EPOCH).expect("reads");
    let counted = truth.iter().filter(|(_, sums)| sums.counts.runs > 0).map(|(place, _)| place.clone());
    let told_of: BTreeSet<(String, String)> = versions.into_iter().map(|v| (v.tool, v.version.0)).collect();
    assert_eq!(told_of, counted.collect::<BTreeSet<_>>());
    for ((tool, version), sums) in &truth {
        assert_eq!(&told(store, tool, version), sums, "{tool} {version}");
    }
    assert_eq!(store.size().expect("reads").0, executions.len() as u64);
}
