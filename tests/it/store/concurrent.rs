//! Several writers at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fractal::model::{ExecutionId, NewExecution, Outcome, Version};
use fractal::world::store::{Forget, Retention, Store};
use jiff::Timestamp;

use super::Subject;
use super::truth::{BEGIN, HOUR, all, at, audit, run, runs};

const WRITERS: u64 = 8;
const EACH: u64 = 40;

fn outcome(number: u64) -> Outcome {
    [Outcome::Success, Outcome::Failure, Outcome::Error, Outcome::Success, Outcome::Failure][number as usize % 5]
}

pub fn many_writers_at_once_lose_nothing_and_count_nothing_twice(subject: &Subject) {
    drop(subject.open());
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                let mut store = subject.open();
                // Everybody runs the same two tools in the same hour; some one at a time, some in batches.
                let made: Vec<NewExecution> = (0..EACH)
                    .map(|n| {
                        let number = writer * EACH + n;
                        run(["a", "b"][n as usize % 2], "v", BEGIN + (number * 7_919 % 3_000_000) as i64, number, outcome(number))
                    })
                    .collect();
                let size = if writer % 2 == 0 { 1 } else { 7 };
                made.chunks(size).for_each(|batch| assert_eq!(store.record_all(batch).expect("stores").new, batch.len() as u64));
            });
        }
    });
    let mut store = subject.open();
    assert_eq!(all(store.as_ref()).len() as u64, WRITERS * EACH);
    assert_eq!(store.dirty().expect("reads").len(), 2);
    audit(store.as_mut());
}

pub fn the_same_executions_from_many_writers_are_stored_once(subject: &Subject) {
    drop(subject.open());
    let batch: Vec<NewExecution> = (0..4).flat_map(|tool| runs(&format!("tool-{tool}"), "v", BEGIN, 150)).collect();
    let new: u64 = thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS as usize)
            .map(|writer| {
                let batch = &batch;
                scope.spawn(move || {
                    let mut store = subject.open();
                    // In batches of other sizes, from other places, some of them large.
                    let turned = [&batch[writer * 60..], &batch[..writer * 60]].concat();
                    let size = [turned.len(), 250, 9, 100][writer % 4];
                    turned.chunks(size).map(|batch| store.record_all(batch).expect("stores").new).sum::<u64>()
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().expect("ends")).sum()
    });
    let mut store = subject.open();
    assert_eq!((new, all(store.as_ref()).len()), (batch.len() as u64, batch.len()));
    audit(store.as_mut());
}

pub fn writers_go_on_while_hours_are_settled_marked_and_removed(subject: &Subject) {
    let mut store = subject.open();
    store.record_all(&runs("old", "v", BEGIN - 9 * HOUR, 60)).expect("stores");
    let done = AtomicBool::new(false);
    let marked = thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                scope.spawn(move || {
                    let mut store = subject.open();
                    for n in (0..EACH).rev() {
                        let number = writer * EACH + n;
                        let mut new = run("t", "v", BEGIN + (number * 1_000) as i64, number, outcome(number));
                        new.execution.caller = format!("caller-{}", ["x", "y", "z"][n as usize % 3]);
                        store.record(&new).expect("stores");
                    }
                })
            })
            .collect();
        let busy = scope.spawn(|| {
            let (mut store, mut marked) = (subject.open(), 0);
            let before = at(BEGIN - 8 * HOUR);
            while !done.load(Ordering::SeqCst) {
                store.settle(&["t".into()]).expect("settles");
                marked += mark_one(store.as_mut());
                // Names go with the last run that has them, while others look them up.
                store.record_all(&runs("old", "v", BEGIN - 9 * HOUR, 3)).expect("stores");
                store.prune(&Retention { before, ..Retention::default() }).expect("prunes");
                store.forget(&Forget { ids: Some([gone()].into()), ..Forget::default() }).expect("forgets");
            }
            marked
        });
        writers.into_iter().for_each(|writer| writer.join().expect("ends"));
        done.store(true, Ordering::SeqCst);
        busy.join().expect("ends")
    });
    let executions = all(store.as_ref());
    assert_eq!(executions.len() as u64, 4 * EACH);
    assert_eq!(executions.iter().filter(|execution| execution.mark.is_some()).count(), marked);
    audit(store.as_mut());
}

/// Marks the newest success.
fn mark_one(store: &mut dyn Store) -> usize {
    let newest = all(store).into_iter().find(|e| e.tool == "t" && e.outcome == Outcome::Success);
    newest.map_or(0, |execution| {
        store.mark_bad(&execution.id, None).expect("marks");
        1
    })
}

fn gone() -> ExecutionId {
    ExecutionId::derived(Timestamp::UNIX_EPOCH, &[b"gone", Version("v".into()).as_str().as_bytes()])
}
