//! What goes, and what is passed on.

use std::collections::{BTreeMap, BTreeSet};

use fractal::model::{Arg, BlobId, ExecutionId, NewExecution, Outcome, Version};
use fractal::world::store::{Forget, Forgotten, ForgottenRange, Retention, Store};
use jiff::Timestamp;

use super::Subject;
use super::truth::{BEGIN, HOUR, all, at, audit, run, runs, with_mark};

fn count(store: &dyn Store, tool: &str) -> usize {
    all(store).iter().filter(|execution| execution.tool == tool).count()
}

pub fn old_hours_go_and_each_tool_may_have_its_own_limit(subject: &Subject) {
    let mut store = subject.open();
    // Two runs an hour apart each: 60 in an hour.
    store.record_all(&runs("a", "v", BEGIN, 180)).expect("stores");
    store.record_all(&runs("b", "v", BEGIN, 180)).expect("stores");
    store.record_all(&runs("old", "v", BEGIN - 50 * HOUR, 10)).expect("stores");
    let mut before_of = BTreeMap::new();
    before_of.insert("b".to_string(), at(BEGIN + 2 * HOUR));
    // Whole hours that are over: the one in the middle stays.
    let retention = Retention { before: at(BEGIN + HOUR + HOUR / 2), before_of, ..Retention::default() };
    assert_eq!(store.prune(&retention).expect("prunes"), 60 + 120 + 10);
    assert_eq!((count(store.as_ref(), "a"), count(store.as_ref(), "b"), count(store.as_ref(), "old")), (120, 60, 0));
    assert!(!store.dirty().expect("reads").iter().any(|dirty| dirty.tool == "old"));
    audit(store.as_mut());
    assert_eq!(store.prune(&retention).expect("prunes"), 0);
    // What newer runs have in common with older ones is still there.
    let newest = all(store.as_ref()).into_iter().find(|e| e.outcome == Outcome::Success).expect("there is one");
    assert!(!store.load(newest).expect("reads").stdout.is_empty());
    // A writer that remembers names that are gone makes them again.
    store.record_all(&runs("old", "v", BEGIN + 3 * HOUR, 10)).expect("stores");
    assert_eq!(count(store.as_ref(), "old"), 10);
    audit(store.as_mut());
}

pub fn the_oldest_hours_go_when_there_is_no_room(subject: &Subject) {
    let mut store = subject.open();
    for (tool, hours) in [("large", 6), ("small", 6)] {
        let mut batch = runs(tool, "v", BEGIN, hours * 60);
        for (number, new) in batch.iter_mut().enumerate().filter(|_| tool == "large") {
            let bytes = format!("{number} ").repeat(1_000).into_bytes();
            (new.execution.stdout, new.stdout) = (Some(BlobId::of(&bytes)), Some(bytes));
        }
        store.record_all(&batch).expect("stores");
    }
    let nothing = Retention { before: Timestamp::UNIX_EPOCH, ..Retention::default() };
    assert_eq!(store.prune(&nothing).expect("prunes"), 0);
    // A million bytes an hour would be 240,000 characters; there is room for about two hours.
    let mut bytes_of = BTreeMap::new();
    bytes_of.insert("large".to_string(), 600_000);
    let gone = store.prune(&Retention { bytes_of, ..nothing.clone() }).expect("prunes");
    let left = count(store.as_ref(), "large");
    assert!(gone as usize == 360 - left && left.is_multiple_of(60) && (60..=180).contains(&left), "{gone} {left}");
    assert_eq!(count(store.as_ref(), "small"), 360);
    let newest = all(store.as_ref()).into_iter().find(|execution| execution.tool == "large").expect("some are left");
    assert!(newest.id.ended() >= at(BEGIN + 5 * HOUR));
    audit(store.as_mut());
    store.prune(&Retention { bytes: Some(1), ..nothing }).expect("prunes");
    assert_eq!(all(store.as_ref()).len(), 0);
    audit(store.as_mut());
}

fn forget(store: &mut dyn Store, what: Forget) -> usize {
    store.forget(&what).expect("forgets").len()
}

pub fn what_is_forgotten_is_gone_and_stays_away(subject: &Subject) {
    let mut store = subject.open();
    let (a, b) = (runs("a", "v", BEGIN, 120), runs("b", "v", BEGIN, 120));
    let deliver = |store: &mut dyn Store| {
        let again: Vec<NewExecution> = a.iter().chain(&b).cloned().collect();
        store.record_all(&again).expect("stores")
    };
    deliver(store.as_mut());
    let first_hour = Forget { tool: Some("a".into()), until: Some(at(BEGIN + HOUR)), ..Forget::default() };
    assert_eq!(forget(store.as_mut(), first_hour), 60);
    let ids: BTreeSet<ExecutionId> = b[..5].iter().map(|new| new.execution.id.clone()).collect();
    assert_eq!(forget(store.as_mut(), Forget { ids: Some(ids), ..Forget::default() }), 5);
    let late = Forget { since: Some(at(BEGIN + HOUR + HOUR / 2)), tool: Some("b".into()), ..Forget::default() };
    assert_eq!(forget(store.as_mut(), late), 30);
    audit(store.as_mut());
    let again = deliver(store.as_mut());
    assert_eq!((again.new, again.known, again.forgotten), (0, 60 + 85, 60 + 5 + 30));
    audit(store.as_mut());
    // What is new in the same hours of other tools, or later, comes in.
    assert_eq!(store.record_all(&runs("c", "v", BEGIN, 10)).expect("stores").new, 10);
    assert_eq!(forget(store.as_mut(), Forget::default()), 60 + 85 + 10);
    assert_eq!((all(store.as_ref()).len(), deliver(store.as_mut()).forgotten), (0, 240));
}

pub fn a_pattern_is_looked_for_in_everything_that_is_kept(subject: &Subject) {
    let mut store = subject.open();
    let secret = || b"x hunter22 y".to_vec();
    let mut batch: Vec<NewExecution> = (0..8).map(|n| run("t", "v", BEGIN + n, n as u64, Outcome::Failure)).collect();
    batch[0].execution.input.args.push(Arg(b"--password=hunter22".to_vec()));
    (batch[1].execution.input.stdin, batch[1].stdin) = (Some(BlobId::of(&secret())), Some(secret()));
    (batch[2].execution.stdout, batch[2].stdout) = (Some(BlobId::of(&secret())), Some(secret()));
    (batch[3].execution.stderr, batch[3].stderr) = (Some(BlobId::of(&secret())), Some(secret()));
    batch[4].execution.failure.as_mut().expect("failed").message = "no hunter22".into();
    batch[5] = with_mark(batch[5].clone(), Some("hunter22"));
    // The same output as one that is forgotten, in another tool: it is that one's.
    batch.push(run("other", "v", BEGIN, 0, Outcome::Success));
    store.record_all(&batch).expect("stores");
    let pattern = || regex::bytes::Regex::new("hunter[0-9]{2}").ok();
    assert_eq!(forget(store.as_mut(), Forget { pattern: pattern(), tool: Some("other".into()), ..Forget::default() }), 0);
    assert_eq!(forget(store.as_mut(), Forget { pattern: pattern(), ..Forget::default() }), 6);
    assert_eq!(forget(store.as_mut(), Forget { pattern: pattern(), ..Forget::default() }), 0);
    let left: Vec<u64> = (0..batch.len() as u64).filter(|n| store.find(&batch[*n as usize].execution.id.0).is_ok()).collect();
    assert_eq!(left, [6, 7, 8]);
    for number in [6, 7] {
        let execution = batch[number].execution.clone();
        assert_eq!(Some(store.load(execution).expect("reads").stdout), batch[number].stdout);
    }
    // Its bytes are nobody's any more.
    let gone = batch[2].execution.clone();
    assert!(store.load(gone).expect("reads").stdout.is_empty());
    audit(store.as_mut());
    assert_eq!(store.record_all(&batch).expect("stores").forgotten, 6);
}

pub fn executions_are_sent_once_and_what_was_received_is_not_sent_on(subject: &Subject) {
    let mut store = subject.open();
    let early = runs("t", "v", BEGIN, 30);
    store.record_all(&early).expect("stores");
    assert!(!store.is_received("s-1").expect("reads"));
    assert_eq!(store.receive("s-1", &runs("theirs", "v", BEGIN, 5)).expect("stores").new, 5);
    assert!(store.is_received("s-1").expect("reads"));
    // Nobody asked before: everything is unsent, what others wrote too.
    let first = store.unsent(10).expect("reads");
    assert_eq!(first.len(), 10);
    let everything = store.unsent(1_000).expect("reads");
    assert_eq!(everything.len(), 35);
    assert!(everything.is_sorted_by_key(|new| new.execution.id.clone()));
    assert_eq!(everything.iter().filter(|new| early.contains(new)).count(), 30);
    let ids = |sent: &[NewExecution]| sent.iter().map(|new| new.execution.id.clone()).collect::<Vec<_>>();
    store.sent(&ids(&everything)).expect("stores");
    assert!(store.unsent(10).expect("reads").is_empty());
    let late = runs("t", "v", BEGIN + HOUR, 3);
    subject.open().record_all(&late).expect("stores");
    store.record_all(&late).expect("stores");
    store.receive("s-2", &runs("theirs", "v", BEGIN + HOUR, 5)).expect("stores");
    assert_eq!(store.unsent(10).expect("reads"), late);
    store.sent(&ids(&late[..1])).expect("stores");
    // A mark is something to send again.
    store.mark_bad(&early[0].execution.id, Some(b"right")).expect("marks");
    let unsent = store.unsent(10).expect("reads");
    assert_eq!(ids(&unsent), [ids(&early[..1]), ids(&late[1..])].concat());
    assert_eq!(unsent[0].expected.as_deref(), Some(&b"right"[..]));
    let theirs = Forget { tool: Some("t".into()), ..Forget::default() };
    assert_eq!(forget(store.as_mut(), theirs), 33);
    assert!(store.unsent(10).expect("reads").is_empty());
    assert!(store.versions(None, at(BEGIN)).expect("reads").iter().all(|of| of.version == Version("v".into())));
}

pub fn what_would_be_forgotten_and_what_was_is_told(subject: &Subject) {
    let mut store = subject.open();
    let (a, b) = (runs("a", "v", BEGIN, 5), runs("b", "v", BEGIN, 5));
    store.record_all(&[a.clone(), b.clone()].concat()).expect("stores");
    let of_a = || Forget { tool: Some("a".into()), until: Some(at(BEGIN + HOUR)), ..Forget::default() };
    let wanted: Vec<(String, ExecutionId)> = a.iter().map(|new| ("a".to_string(), new.execution.id.clone())).collect();
    assert_eq!(store.matching(&of_a()).expect("reads"), wanted);
    assert_eq!(store.forgotten().expect("reads"), Forgotten::default());
    let ids: BTreeSet<ExecutionId> = b[..2].iter().map(|new| new.execution.id.clone()).collect();
    forget(store.as_mut(), of_a());
    forget(store.as_mut(), Forget { ids: Some(ids.clone()), ..Forget::default() });
    let range = ForgottenRange { tool: Some("a".into()), since: 0, until: BEGIN + HOUR };
    assert_eq!(store.forgotten().expect("reads"), Forgotten { ids, ranges: [range].into() });
    assert_eq!(store.matching(&of_a()).expect("reads"), []);
}

pub fn segments_that_are_nowhere_any_more_are_not_remembered(subject: &Subject) {
    let mut store = subject.open();
    for segment in ["s-1", "s-2", "s-3"] {
        store.receive(segment, &[]).expect("stores");
    }
    store.keep_received(&["s-2".to_string(), "s-9".to_string()].into()).expect("stores");
    let known = ["s-1", "s-2", "s-3", "s-9"].map(|segment| store.is_received(segment).expect("reads"));
    assert_eq!(known, [false, true, false, false]);
    store.keep_received(&BTreeSet::new()).expect("stores");
    assert!(!store.is_received("s-2").expect("reads"));
}

pub fn a_mark_that_was_received_is_not_sent_on(subject: &Subject) {
    let mut store = subject.open();
    let theirs = runs("t", "v", BEGIN, 3);
    store.unsent(0).expect("begins to keep track");
    store.receive("s-1", &theirs).expect("stores");
    store.receive("s-2", &[with_mark(theirs[0].clone(), Some("right"))]).expect("stores");
    assert!(store.find(&theirs[0].execution.id.0).expect("is there").mark.is_some());
    assert_eq!(store.unsent(10).expect("reads"), []);
    store.mark_bad(&theirs[1].execution.id, None).expect("marks");
    assert_eq!(store.unsent(10).expect("reads").len(), 1);
}
