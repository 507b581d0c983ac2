//! Sums are those of the executions, whatever came when.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use fractal::model::{Mark, NewExecution, Outcome, Version};
use fractal::world::store::{Query, Store};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::Subject;
use super::truth::{BEGIN, HOUR, all, audit, run, told, truth, with_mark};

fn property<S: Strategy>(cases: u32, strategy: S, check: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    runner.run(&strategy, check).expect("holds");
}

/// Some runs of three hours: when they ended, a number, how.
fn some() -> impl Strategy<Value = Vec<(i64, u64, u8)>> {
    prop::collection::vec((0..3 * HOUR, 0u64..40, 0u8..4), 1..40)
}

/// Each element with a key to sort by, and whether it comes twice; and how large the batches are.
fn disorder() -> impl Strategy<Value = (Vec<u16>, Vec<bool>, usize)> {
    (prop::collection::vec(any::<u16>(), 80), prop::collection::vec(any::<bool>(), 40), 1usize..30)
}

fn made(tool: &str, raw: &[(i64, u64, u8)]) -> Vec<NewExecution> {
    let outcome = |kind: u8| [Outcome::Success, Outcome::Failure, Outcome::Failure, Outcome::Error][usize::from(kind)];
    let mut made: Vec<NewExecution> =
        raw.iter().map(|(ended, number, kind)| run(tool, "v", BEGIN + ended, *number, outcome(*kind))).collect();
    // The same identity is the same execution.
    made.sort_by_key(|new| new.execution.id.clone());
    made.dedup_by_key(|new| new.execution.id.clone());
    made
}

pub fn sums_are_those_of_the_executions_in_whatever_order_and_however_often_they_come(subject: &Subject) {
    let (store, number) = (RefCell::new(subject.open()), Cell::new(0));
    property(48, (some(), disorder()), |(raw, (order, twice, size))| {
        let tool = format!("tool-{}", number.replace(number.get() + 1));
        let runs = made(&tool, &raw);
        let again = runs.iter().zip(&twice).filter(|(_, twice)| **twice).map(|(run, _)| run.clone());
        let mut delivered: Vec<(NewExecution, u16)> = runs.iter().cloned().chain(again).zip(order).collect();
        delivered.sort_by_key(|(_, key)| *key);
        let delivered: Vec<NewExecution> = delivered.into_iter().map(|(run, _)| run).collect();
        let mut store = store.borrow_mut();
        let mut new = 0;
        for batch in delivered.chunks(size) {
            new += store.record_all(batch).expect("stores").new;
        }
        prop_assert_eq!(new, runs.len() as u64);
        store.settle(std::slice::from_ref(&tool)).expect("settles");
        let executions: Vec<_> = runs.iter().map(|new| &new.execution).collect();
        let expected = truth(executions).remove(&(tool.clone(), "v".into())).unwrap_or_default();
        prop_assert_eq!(told(store.as_ref(), &tool, "v"), expected);
        prop_assert_eq!(store.settle(&[tool]).expect("settles"), 0);
        Ok(())
    });
    audit(store.borrow_mut().as_mut());
}

pub fn marks_may_come_in_any_order(subject: &Subject) {
    let (store, number) = (RefCell::new(subject.open()), Cell::new(0));
    property(12, (some(), prop::collection::vec(0u8..4, 40), any::<bool>()), |(raw, marks, backwards)| {
        let tool = |way: &str| format!("{way}-{}", number.get());
        number.set(number.get() + 1);
        // The same runs and marks of two tools: in order, and in another one.
        let delivered = |tool: &str| {
            let runs = made(tool, &raw);
            let marked: Vec<NewExecution> = runs
                .iter()
                .zip(&marks)
                .filter_map(|(run, mark)| {
                    let expected = [None, Some("right"), Some("also right")];
                    Some(with_mark(run.clone(), *expected.get(usize::from(*mark))?))
                })
                .collect();
            [runs, marked]
        };
        let mut store = store.borrow_mut();
        for batch in delivered(&tool("forth")) {
            store.record_all(&batch).expect("stores");
        }
        let mut other: Vec<NewExecution> = delivered(&tool("back")).into_iter().flatten().collect();
        if backwards {
            other.reverse();
        }
        for new in &other {
            store.record(new).expect("stores");
        }
        prop_assert_eq!(judged(store.as_ref(), &tool("forth")), judged(store.as_ref(), &tool("back")));
        Ok(())
    });
    audit(store.borrow_mut().as_mut());
}

/// What is said of each run, whatever its identity.
fn judged(store: &dyn Store, tool: &str) -> BTreeMap<(Timestamp, Timestamp, Duration), (Outcome, Option<Mark>)> {
    let runs = store.executions(&Query { tool: Some(tool), limit: 1_000, ..Query::default() }).expect("reads");
    runs.into_iter().map(|run| ((run.id.ended(), run.at, run.duration), (run.outcome, run.mark))).collect()
}

pub fn a_marked_run_is_a_failure_in_every_sum(subject: &Subject) {
    let mut store = subject.open();
    let runs: Vec<NewExecution> = (0..6).map(|n| run("t", "v", BEGIN + n * 1_000, n as u64, Outcome::Success)).collect();
    store.record_all(&runs).expect("stores");
    assert!(store.dirty().expect("reads").is_empty());
    store.mark_bad(&runs[2].execution.id, Some(b"right")).expect("marks");
    store.mark_bad(&runs[4].execution.id, None).expect("marks");
    // The one without an expected output adds nothing to the one with.
    store.mark_bad(&runs[2].execution.id, None).expect("marks");
    let version = Version("v".into());
    let marked = store.execution("t", &version, &runs[2].execution.id).expect("reads").expect("is there");
    assert_eq!(marked.outcome, Outcome::Failure);
    assert_eq!(store.load(marked).expect("reads").expected, Some(b"right".to_vec()));
    let kinds = store.failures("t", &version, Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH).expect("reads");
    assert_eq!((kinds.len(), kinds[0].failures, kinds[0].failure.class.as_str()), (1, 2, "wrong output"));
    assert_eq!(store.dirty().expect("reads").len(), 1);
    assert!(store.mark_bad(&run("t", "v", 1, 1, Outcome::Success).execution.id, None).is_err());
    audit(store.as_mut());
    // A mark that is delivered with the run, before and after it.
    let late = run("t", "v", BEGIN + 9_000, 9, Outcome::Success);
    store.record(&with_mark(late.clone(), Some("better"))).expect("stores");
    store.record(&late).expect("stores");
    store.record(&with_mark(runs[0].clone(), Some("better"))).expect("stores");
    assert_eq!(all(store.as_ref()).iter().filter(|execution| execution.mark.is_some()).count(), 4);
    audit(store.as_mut());
}

pub fn quantiles_of_durations_come_from_the_hours(subject: &Subject) {
    let mut store = subject.open();
    let runs: Vec<NewExecution> = (0..300).map(|n| run("t", "v", BEGIN + n * 1_000, n as u64, Outcome::Success)).collect();
    for batch in runs.chunks(7) {
        store.record_all(batch).expect("stores");
    }
    let mut durations = fractal::model::Sketch::default();
    let hours = store.hours("t", &Version("v".into()), Timestamp::UNIX_EPOCH).expect("reads");
    assert!(hours.iter().all(|hour| hour.hour == BEGIN / HOUR) && hours.len() == 2, "{hours:#?}");
    hours.iter().for_each(|hour| durations.merge(&hour.durations));
    let mut exact: Vec<u128> = runs.iter().map(|run| run.execution.duration.as_micros()).collect();
    exact.sort_unstable();
    let median = durations.quantile(0.5).expect("not empty").as_micros() as f64;
    assert!((median / exact[149] as f64 - 1.0).abs() < 0.0101, "{median} for {}", exact[149]);
    // Later hours only.
    let since = Timestamp::from_millisecond(BEGIN + HOUR).expect("a time");
    assert!(store.hours("t", &Version("v".into()), since).expect("reads").is_empty());
}

pub fn sums_since_a_time_begin_with_its_hour(subject: &Subject) {
    let mut store = subject.open();
    // Three days, a run every quarter of an hour, of two tools; in some disorder.
    let made: Vec<NewExecution> = (0..288)
        .flat_map(|n| {
            ["a", "b"]
                .map(|tool| run(tool, "v", BEGIN + n * HOUR / 4, n as u64, [Outcome::Success, Outcome::Failure][n as usize % 2]))
        })
        .collect();
    store.record_all(&made[300..]).expect("stores");
    for batch in made[..300].chunks(11) {
        store.record_all(batch).expect("stores");
    }
    let version = Version("v".into());
    for hours in [0, 1, 7, 23, 24, 25, 40, 48, 71, 72, 90] {
        let since = Timestamp::from_millisecond(BEGIN + hours * HOUR + HOUR / 2).expect("a time");
        let begin = Timestamp::from_millisecond(BEGIN + hours * HOUR).expect("a time");
        let of = |tool: &'static str| {
            made.iter().map(|new| &new.execution).filter(move |run| run.tool == tool && run.id.ended() >= begin)
        };
        let counted = |tool: &'static str| (of(tool).count() as u64, of(tool).filter(|run| run.failure.is_some()).count() as u64);
        let told = store.versions(None, since).expect("reads");
        let told: Vec<_> = told.iter().map(|v| (v.tool.as_str(), v.counts.runs, v.counts.failures, v.first, v.last)).collect();
        let expected: Vec<_> = ["a", "b"]
            .into_iter()
            .filter_map(|tool| Some((tool, of(tool).map(|run| run.id.ended()).min()?, of(tool).map(|run| run.id.ended()).max()?)))
            .map(|(tool, first, last)| (tool, counted(tool).0, counted(tool).1, first, last))
            .collect();
        assert_eq!(told, expected, "{hours}");
        let kinds = store.failures("a", &version, Timestamp::UNIX_EPOCH, since).expect("reads");
        assert_eq!(kinds.iter().map(|kind| kind.recent).sum::<u64>(), counted("a").1);
        let inputs = store.failing_inputs("b", &version, since).expect("reads");
        assert_eq!(inputs.iter().map(|input| input.failures).sum::<u64>(), counted("b").1);
        let hours = store.hours("a", &version, since).expect("reads");
        assert_eq!(hours.iter().map(|hour| hour.counts.runs).sum::<u64>(), counted("a").0);
    }
    audit(store.as_mut());
    let order = ["b", "none", "a"].map(String::from);
    let told = store.versions(Some(&order), Timestamp::UNIX_EPOCH).expect("reads");
    assert_eq!(told.iter().map(|version| version.tool.as_str()).collect::<Vec<_>>(), ["b", "a"]);
}
