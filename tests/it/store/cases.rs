//! What goes in comes out: executions, queries, news, what is kept beside.

use fractal::model::{Arg, BlobId, Execution, ExecutionId, Exit, Hints, Input, NewExecution, Outcome, Version};
use fractal::world::store::{Dirty, Ingested, LoopCounters, Query, StoreError, Which};
use jiff::Timestamp;

use super::Subject;
use super::truth::{BEGIN, HOUR, all, at, audit, run, runs, with_mark};

/// One of every kind.
fn every_kind() -> Vec<NewExecution> {
    let exits =
        [Exit::Code(-1), Exit::Code(i32::MAX), Exit::Signal(11), Exit::TimedOut, Exit::NotStarted("`x`: not found".into())];
    let mut all: Vec<NewExecution> = Vec::new();
    for (number, exit) in (0u64..).zip(exits) {
        let mut new = run("t", "v", BEGIN + number as i64, number, Outcome::Failure);
        new.execution.exit = exit;
        new.execution.input.args.push(Arg(vec![0xff, 0, b'"']));
        new.execution.input.cwd = (number != 2).then(|| "sub/folder".into());
        new.stdin = Some(format!("in {number}\0\u{1f}").into_bytes());
        new.execution.input.stdin = new.stdin.as_deref().map(BlobId::of);
        new.stderr = Some(vec![0xff; 70_000]);
        new.execution.stderr = new.stderr.as_deref().map(BlobId::of);
        all.push(new);
    }
    let mut error = run("t", "v", BEGIN + 10, 10, Outcome::Error);
    error.execution.input = Input::unknown();
    (error.stdout, error.execution.stdout) = (None, None);
    let mut digest = run("t", "v", BEGIN + 11, 11, Outcome::Success);
    digest.execution.input = digest.execution.input.to_digest();
    (digest.stdout, digest.execution.stdout) = (None, Some(BlobId::of(b"not kept")));
    let mut silent = run("t", "v", BEGIN + 13, 13, Outcome::Success);
    (silent.stdout, silent.execution.stdout) = (Some(Vec::new()), Some(BlobId::of(b"")));
    all.extend([error, digest, with_mark(run("t", "w", BEGIN + 12, 12, Outcome::Success), Some("right\n")), silent]);
    all
}

pub fn an_execution_comes_back_as_it_was(subject: &Subject) {
    let kinds = every_kind();
    let mut store = subject.open();
    assert!(store.is_empty().expect("reads"));
    let ingested = store.record_all(&kinds).expect("stores");
    assert_eq!(ingested, Ingested { new: kinds.len() as u64, known: 0, forgotten: 0 });
    assert!(!store.is_empty().expect("reads"));
    drop(store);
    let store = subject.open();
    for new in &kinds {
        let execution = store.find(&new.execution.id.0).expect("is there");
        assert_eq!(&store.whole(execution.clone()).expect("reads"), new);
        let (tool, version) = (&new.execution.tool, &new.execution.version);
        assert_eq!(store.execution(tool, version, &execution.id).expect("reads").as_ref(), Some(&new.execution));
        assert_eq!(store.execution(tool, &Version("x".into()), &execution.id).expect("reads"), None);
    }
    let mut newest_first: Vec<Execution> = kinds.into_iter().map(|new| new.execution).collect();
    newest_first.reverse();
    assert_eq!(all(store.as_ref()), newest_first);
}

pub fn delivering_again_changes_nothing(subject: &Subject) {
    let batch = runs("t", "v", BEGIN, 50);
    let mut store = subject.open();
    let twice: Vec<NewExecution> = batch.iter().chain(&batch[..3]).cloned().collect();
    assert_eq!(store.record_all(&twice).expect("stores"), Ingested { new: 50, known: 3, forgotten: 0 });
    audit(store.as_mut());
    let before = (all(store.as_ref()), store.dirty().expect("reads"));
    for other in [store.as_mut(), subject.open().as_mut()] {
        assert_eq!(other.record_all(&batch).expect("stores"), Ingested { new: 0, known: 50, forgotten: 0 });
    }
    assert_eq!((all(store.as_ref()), store.dirty().expect("reads")), before);
    audit(store.as_mut());
    assert_eq!(store.record_all(&[]).expect("stores"), Ingested::default());
}

pub fn a_batch_is_stored_whole_or_not_at_all(subject: &Subject) {
    let mut batch = runs("t", "v", BEGIN, 10);
    batch[7].execution.id = ExecutionId("no identity".into());
    let mut store = subject.open();
    assert!(store.record_all(&batch).is_err());
    assert!(store.receive("s", &batch).is_err());
    assert_eq!((all(store.as_ref()).len(), store.is_received("s").expect("reads")), (0, false));
    assert!(store.dirty().expect("reads").is_empty());
    // Nothing that was looked up for it is remembered wrongly.
    batch.remove(7);
    assert_eq!(store.record_all(&batch).expect("stores").new, 9);
    audit(store.as_mut());
}

pub fn large_batches_are_stored_like_small_ones(subject: &Subject) {
    let batch: Vec<NewExecution> = (0..8).flat_map(|tool| runs(&format!("tool-{tool}"), "v", BEGIN, 100)).collect();
    let mut store = subject.open();
    // All new; then with some that are there; then with half of it in small batches.
    assert_eq!(store.record_all(&batch[..500]).expect("stores").new, 500);
    assert_eq!(store.record_all(&batch[300..]).expect("stores"), Ingested { new: 300, known: 200, forgotten: 0 });
    audit(store.as_mut());
    let more: Vec<NewExecution> = (0..8).flat_map(|tool| runs(&format!("tool-{tool}"), "w", BEGIN, 60)).collect();
    for batch in more.chunks(9).step_by(2) {
        store.record_all(batch).expect("stores");
    }
    store.record_all(&more).expect("stores");
    assert_eq!(all(store.as_ref()).len(), 1_280);
    audit(store.as_mut());
    let loaded = store.load(batch[799].execution.clone()).expect("reads");
    assert_eq!(Some(loaded.stdout), batch[799].stdout);
}

pub fn names_may_be_long_and_hold_any_character(subject: &Subject) {
    let mut store = subject.open();
    let long = "long ' \" \\ % é \u{202e} ".repeat(2_000);
    for (number, name) in (0u64..).zip([long.as_str(), "a\0b", "a\0c", "", "x%_y", "{1,2}", "null"]) {
        let mut new = run("t", name, BEGIN + number as i64, number, Outcome::Failure);
        new.execution.caller = name.into();
        new.execution.exit = Exit::NotStarted(name.into());
        new.execution.input.args = vec![Arg::from(name)];
        store.record(&new).expect("stores");
        let query = Query { version: Some(&new.execution.version), caller: Some(name), limit: 9, ..Query::default() };
        let found = store.executions(&query).expect("reads");
        // What no text may hold is shown as a sign for it, and still told apart.
        let shown = |text: &str| text.replace('\0', "\u{2400}");
        assert_eq!((found.len(), shown(&found[0].caller)), (1, shown(name)));
        assert_eq!(found[0].input, new.execution.input);
        assert_eq!(store.hours("t", &new.execution.version, Timestamp::UNIX_EPOCH).expect("reads").len(), 1);
    }
    assert_eq!(store.versions(None, Timestamp::UNIX_EPOCH).expect("reads").len(), 7);
}

pub fn an_execution_is_found_by_the_beginning_of_its_identity(subject: &Subject) {
    let mut store = subject.open();
    let batch = [run("a", "v", BEGIN, 1, Outcome::Success), run("b", "v", BEGIN, 2, Outcome::Success)];
    store.record_all(&batch).expect("stores");
    let id = &batch[0].execution.id.0;
    for prefix in [id.as_str(), &id.replace('-', "").to_uppercase(), &id[..35]] {
        assert_eq!(store.find(prefix).expect("finds"), batch[0].execution);
    }
    assert!(matches!(store.find(&id[..8]), Err(StoreError::Ambiguous(_))));
    for wrong in ["", "zz", "00000000", &format!("{id}0")] {
        assert!(matches!(store.find(wrong), Err(StoreError::NoSuchExecution(_))), "{wrong}");
    }
}

pub fn queries_choose_by_tool_version_outcome_caller_and_time(subject: &Subject) {
    let mut store = subject.open();
    let mut batch = runs("a", "v", BEGIN, 30);
    batch.extend(runs("b", "v", BEGIN + 30_000, 30));
    batch.extend((0..5).map(|n| run("a", "w", BEGIN + n * 1_000, 100 + n as u64, Outcome::Error)));
    store.record_all(&batch).expect("stores");
    let mut newest_first: Vec<&Execution> = batch.iter().map(|new| &new.execution).collect();
    newest_first.sort_by(|a, b| b.id.cmp(&a.id));
    let print = batch[1].execution.failure.clone().expect("failed").fingerprint;
    let (v, middle) = (Version("v".into()), &batch[12].execution.id);
    let is = |e: &Execution, wanted: Outcome| e.outcome == wanted;
    type Choice<'a> = (Query<'a>, Box<dyn Fn(&Execution) -> bool + 'a>);
    let base = || Query { limit: 1_000, ..Query::default() };
    let print = print.as_str();
    let like = |e: &Execution| e.failure.as_ref().is_some_and(|failure| failure.fingerprint.as_str() == print);
    let choices: Vec<Choice<'_>> = vec![
        (base(), Box::new(|_| true)),
        (Query { tool: Some("a"), ..base() }, Box::new(|e| e.tool == "a")),
        (Query { tool: Some("a"), version: Some(&v), ..base() }, Box::new(|e| e.tool == "a" && e.version.0 == "v")),
        (Query { version: Some(&v), ..base() }, Box::new(|e| e.version.0 == "v")),
        (Query { tool: Some("none"), ..base() }, Box::new(|_| false)),
        (Query { caller: Some("ci-1"), ..base() }, Box::new(|e| e.caller == "ci-1")),
        (Query { caller: Some("nobody"), ..base() }, Box::new(|_| false)),
        (Query { which: Which::Counted, ..base() }, Box::new(|e| !is(e, Outcome::Error))),
        (Query { which: Which::Only(Outcome::Error), ..base() }, Box::new(|e| is(e, Outcome::Error))),
        (Query { which: Which::Only(Outcome::Success), ..base() }, Box::new(|e| is(e, Outcome::Success))),
        (Query { which: Which::FailuresLike(print), ..base() }, Box::new(like)),
        (Query { which: Which::FailuresLike("f1-none"), ..base() }, Box::new(|_| false)),
        (Query { since: at(BEGIN + 600_000), ..base() }, Box::new(|e| e.at >= at(BEGIN + 600_000))),
        (Query { before: Some(middle), ..base() }, Box::new(|e| e.id < *middle)),
        (Query { after: Some(middle), tool: Some("a"), ..base() }, Box::new(|e| e.id > *middle && e.tool == "a")),
        (Query { until: Some(at(BEGIN + 600_000)), ..base() }, Box::new(|e| e.id.ended() < at(BEGIN + 600_000))),
        (
            Query { tool: Some("b"), which: Which::Only(Outcome::Failure), caller: Some("ci-1"), ..base() },
            Box::new(|e| e.tool == "b" && is(e, Outcome::Failure) && e.caller == "ci-1"),
        ),
    ];
    for (query, wanted) in choices {
        let wanted: Vec<Execution> = newest_first.iter().filter(|e| wanted(e)).map(|e| (*e).clone()).collect();
        assert_eq!(store.executions(&query).expect("reads"), wanted, "{query:?}");
        let few = store.executions(&Query { limit: 2, ..query.clone() }).expect("reads");
        assert_eq!(few, wanted[..wanted.len().min(2)], "{query:?}");
    }
}

fn names(dirty: &[Dirty]) -> Vec<&str> {
    dirty.iter().map(|dirty| dirty.tool.as_str()).collect()
}

pub fn news_are_failures_and_whatever_runs_in_a_version_that_failed(subject: &Subject) {
    let mut store = subject.open();
    let one = |tool: &str, version: &str, number: u64, outcome| run(tool, version, BEGIN + number as i64, number, outcome);
    store.record(&one("a", "v", 1, Outcome::Success)).expect("stores");
    store.record(&one("a", "v", 2, Outcome::Error)).expect("stores");
    assert!(store.dirty().expect("reads").is_empty());
    store.record(&one("a", "v", 3, Outcome::Failure)).expect("stores");
    store.record(&one("b", "v", 4, Outcome::Failure)).expect("stores");
    let seen = store.dirty().expect("reads");
    assert_eq!(names(&seen), ["a", "b"]);
    assert_eq!(store.looked_in().expect("reads"), None);
    store.looked(&seen, "state 1", &["b".into()]).expect("stores");
    assert_eq!(store.looked_in().expect("reads").as_deref(), Some("state 1"));
    assert_eq!(names(&store.dirty().expect("reads")), ["b"]);
    store.looked(&store.dirty().expect("reads"), "state 2", &[]).expect("stores");
    assert!(store.dirty().expect("reads").is_empty());
    // Another writer knows nothing of what this one remembers.
    let mut other = subject.open();
    store.record(&one("a", "w", 5, Outcome::Success)).expect("stores");
    assert!(store.dirty().expect("reads").is_empty());
    other.record(&one("a", "w", 6, Outcome::Failure)).expect("stores");
    store.looked(&store.dirty().expect("reads"), "state 3", &[]).expect("stores");
    store.record(&one("a", "v", 7, Outcome::Success)).expect("stores");
    assert_eq!(names(&store.dirty().expect("reads")), ["a"]);
    store.looked(&store.dirty().expect("reads"), "state 3", &[]).expect("stores");
    // What is delivered again is no news.
    store.record(&one("a", "v", 3, Outcome::Failure)).expect("stores");
    assert!(store.dirty().expect("reads").is_empty());
}

pub fn news_that_come_during_a_look_stay(subject: &Subject) {
    let (mut store, mut other) = (subject.open(), subject.open());
    let failure = |number: u64| run("a", "v", BEGIN + number as i64, number, Outcome::Failure);
    store.record(&failure(1)).expect("stores");
    let seen = store.dirty().expect("reads");
    other.record(&failure(2)).expect("stores");
    store.looked(&seen, "s", &[]).expect("stores");
    assert_eq!(names(&store.dirty().expect("reads")), ["a"]);
}

pub fn counters_hints_bookmarks_and_size_are_kept(subject: &Subject) {
    let mut store = subject.open();
    assert_eq!(store.counters().expect("reads"), LoopCounters::default());
    store.count(1, 7, 0, at(BEGIN)).expect("stores");
    store.count(2, 0, 1, at(BEGIN + 5)).expect("stores");
    store.count(0, 0, 0, at(BEGIN + 9)).expect("stores");
    let expected = LoopCounters {
        cycles_completed: 3,
        tools_analysed: 7,
        maintenance_runs: 1,
        last_check: Some(at(BEGIN + 5)),
        last_maintenance: Some(at(BEGIN + 5)),
    };
    assert_eq!(store.counters().expect("reads"), expected);
    let hints = |read_only| Hints { read_only, ..Hints::default() };
    store.set_hints("a", &hints(Some(false))).expect("stores");
    store.set_hints("a", &hints(Some(true))).expect("stores");
    store.set_hints("b", &hints(None)).expect("stores");
    assert_eq!(store.bookmark("a").expect("reads"), None);
    for (source, place) in [("a", "1"), ("b", "it's"), ("a", "2")] {
        store.set_bookmark(source, place).expect("stores");
    }
    let bookmark = |source| store.bookmark(source).expect("reads");
    assert_eq!((bookmark("a").as_deref(), bookmark("b").as_deref(), bookmark("c")), (Some("2"), Some("it's"), None));
    let kept = store.hints().expect("reads");
    assert_eq!((kept.len(), &kept["a"], &kept["b"]), (2, &hints(Some(true)), &hints(None)));
    let (none, before) = store.size().expect("reads");
    let mut batch = runs("t", "v", BEGIN, 40);
    batch.push(run("t", "v", BEGIN + HOUR, 99, Outcome::Error));
    for (number, new) in batch.iter_mut().enumerate() {
        // What cannot be made small.
        let bytes: Vec<u8> =
            (0..300).flat_map(|block| *blake3::hash(&[number as u8, block as u8, (block >> 8) as u8]).as_bytes()).collect();
        (new.execution.stdout, new.stdout) = (Some(BlobId::of(&bytes)), Some(bytes));
    }
    store.record_all(&batch).expect("stores");
    let (some, after) = store.size().expect("reads");
    assert_eq!((none, some), (0, 41));
    assert!(after > before + 300_000, "{before} {after}");
    assert_eq!(store.counters().expect("reads"), expected);
}
