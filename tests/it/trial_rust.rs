//! Candidates in Rust that share one build and one process, and what each of them may do to the others: nothing.

use std::time::Duration;

use fractal::model::{Language, Test, TestBody, TestOutcome, Triaged};
use fractal::world::sandbox::Sandbox;
use fractal::world::trial::{self, Subject, Trials};

/// Right, and fast.
const GOOD: &str = "pub fn half(n: u32) -> u32 {\n    n / 2\n}\n";

fn body(expression: &str) -> String {
    GOOD.replace("n / 2", expression)
}

fn trials() -> Box<dyn Trials> {
    trials_of(&["assert_eq!(half(6), 3);", "assert_eq!(half(1), 0);", "assert_eq!(half(98), 49);"])
}

fn trials_of(tests: &[&str]) -> Box<dyn Trials> {
    let test = |code: &&str| Test { name: (*code).into(), body: TestBody::Program((*code).into()) };
    let subject = Subject {
        language: Language::Rust,
        path: "src/lib.rs".into(),
        mode: 0o100644,
        support: Vec::new(),
        run: Vec::new(),
        tests: tests.iter().map(test).collect(),
    };
    let sandbox = Sandbox::new("trial-test", &[], 2 << 30);
    trial::open(&sandbox, subject, Duration::from_secs(5)).expect("opens")
}

#[test]
fn every_candidate_gets_its_own_verdict_whatever_the_others_do() {
    let mut trials = trials();
    let baseline = trials.cover(&body("n / 3")).expect("is built");
    let outcomes: Vec<TestOutcome> = baseline.iter().map(|run| run.outcome).collect();
    assert_eq!(outcomes, [TestOutcome::Failed, TestOutcome::Passed, TestOutcome::Failed]);
    assert!(baseline[0].failure.as_ref().is_some_and(|failure| failure.message.contains("left == right")), "{baseline:?}");
    let late = |test| Triaged::TimedOut { test };
    let failed = |test| Triaged::Failed { test };
    let all = [
        (GOOD.to_string(), Triaged::Passed),
        (body("n.to_string()"), failed(0)),
        (body("n - 3"), failed(1)),
        (body("{ let s = vec![n]; let r = &s; drop(s); r[0] / 2 }"), failed(0)),
        (body("loop {}"), late(0)),
        (body("half(n + 1)"), failed(0)),
        (body("{ std::process::exit(0) }"), failed(0)),
        (body("{ std::process::abort() }"), failed(0)),
        (body("n >> 1"), Triaged::Passed),
        (body("nothing(n)"), failed(0)),
        (body("if n == 98 { 0 } else { n / 2 }"), failed(2)),
        (body("(n + 1) / 2"), failed(1)),
    ];
    let sources: Vec<String> = all.iter().map(|(source, _)| source.clone()).collect();
    let wanted: Vec<Triaged> = all.iter().map(|(_, verdict)| *verdict).collect();
    let order = [0, 1, 2];
    assert_eq!(trials.triage(&sources, &order).expect("runs"), wanted);
    let backwards: Vec<String> = sources.iter().rev().cloned().collect();
    let reversed: Vec<Triaged> = wanted.iter().rev().copied().collect();
    assert_eq!(trials.triage(&backwards, &order).expect("runs"), reversed);
}

#[test]
fn a_program_that_ends_itself_is_not_confirmed() {
    let mut trials = trials();
    let runs = trials.confirm(&body("{ std::process::exit(0) }"), &[0, 1]).expect("is built");
    assert!(runs.iter().all(|run| !run.passed()), "{runs:?}");
    assert!(trials.confirm(GOOD, &[2, 0, 1]).expect("is built").iter().all(|run| run.passed()));
    assert!(trials.cpu() > Duration::ZERO);
}

#[test]
fn a_source_that_does_not_compile_says_where() {
    let error = trials().cover("pub fn half(n: u32) -> u32 {\n    m / 2\n}\n").expect_err("does not compile");
    assert!(format!("{error:#}").contains("line 2: cannot find value `m`"), "{error:#}");
}

/// Every form in which lines are told apart.
const FORMS: &str = "\
use std::collections::BTreeMap;

const LIMIT: usize = { 3 };

const fn least() -> usize {
    1
}

macro_rules! twice {
    ($e:expr) => {
        $e * 2
    };
}

pub fn forms(words: &[&str], kind: Option<usize>) -> usize {
    if words.is_empty() {
        return 0;
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
    let most = counts
        .values()
        .filter(|count| {
            **count > 1
        })
        .map(|count|
            count * 2
        )
        .max();
    let size = match kind {
        Some(n) if n > LIMIT => n,
        Some(0) => least(),
        Some(_) => {
            twice!(2)
        }
        None => 0,
    };
    if let Some(most) = most {
        most + size
    } else if let Some(1) = kind {
        loop {
            std::hint::spin_loop();
        }
    } else {
        #[allow(unused)]
        let unused = 1;
        counts[\"missing\"]
    }
}
";

#[test]
fn the_lines_that_each_test_ran_are_known_also_after_a_panic_and_without_an_end() {
    let mut trials = trials_of(&[
        "assert_eq!(forms(&[], None), 0);",
        "assert_eq!(forms(&[\"a\", \"a\"], None), 4);",
        "assert_eq!(forms(&[\"a\", \"a\"], Some(9)), 0);",
        "assert_eq!(forms(&[\"a\"], Some(1)), 1);",
        "assert_eq!(forms(&[\"a\"], Some(0)), 1);",
    ]);
    let runs = trials.cover(FORMS).expect("is built");
    let outcomes: Vec<TestOutcome> = runs.iter().map(|run| run.outcome).collect();
    use TestOutcome::{Failed, Passed, TimedOut};
    assert_eq!(outcomes, [Passed, Passed, Failed, TimedOut, Failed]);
    let lines = |at: usize| runs[at].lines.iter().copied().collect::<Vec<u32>>();
    let counted = [16, 19, 20, 21, 23, 24, 25, 26];
    let after = |more: &[u32]| [&counted[..], more].concat();
    assert_eq!(lines(0), [16, 17]);
    assert_eq!(lines(1), after(&[28, 29, 31, 32, 33, 34, 35, 38, 40, 41]));
    assert_eq!(lines(2), after(&[28, 29, 31, 32, 33, 40, 41]));
    assert_eq!(lines(3), after(&[28, 31, 32, 33, 34, 35, 36, 40, 42, 43, 44]));
    assert_eq!(lines(4), after(&[28, 31, 32, 33, 34, 40, 42, 48, 49]));
    let frames = |at: usize| &runs[at].failure.as_ref().expect("failed").frames;
    assert!(frames(4).iter().any(|frame| (frame.path.as_str(), frame.line) == ("src/lib.rs", 49)), "{:?}", frames(4));
    assert!(frames(2).iter().all(|frame| frame.path != "src/lib.rs"), "{:?}", frames(2));
}

#[test]
fn without_lines_where_the_calls_are_in_the_way_of_the_compiler() {
    let source = "struct Of<const N: u32>;\n\nimpl<const N: u32> Of<N> {\n    fn number() -> u32 {\n        N\n    }\n}\n\n\
        pub fn half(n: u32) -> u32 {\n    n / Of::<{ 1 + 2 }>::number()\n}\n";
    let runs = trials().cover(source).expect("is built");
    let outcomes: Vec<(bool, usize)> = runs.iter().map(|run| (run.passed(), run.lines.len())).collect();
    assert_eq!(outcomes, [(false, 0), (true, 0), (false, 0)]);
}

/// Functions of every kind that candidates may differ in.
const KINDS: &str = "\
use std::fmt::Display;

pub const STEP: usize = 1;

#[derive(Clone)]
pub struct Stack<T> {
    items: Vec<T>,
}

impl<T: Clone> Stack<T> {
    pub fn new() -> Self {
        Stack { items: Vec::new() }
    }

    pub fn push(&mut self, item: T) -> &mut Self {
        self.items.push(item);
        self
    }

    pub fn map<U, F: Fn(&T) -> U>(self, change: F) -> Vec<U> {
        self.items.iter().map(|item| change(item)).collect()
    }
}

impl<T> Drop for Stack<T> {
    fn drop(&mut self) {
        self.items.truncate(0);
    }
}

pub fn longest<'a>(a: &'a str, (b, _): (&'a str, u8)) -> &'a str {
    if a.len() > b.len() { a } else { b }
}

pub fn sum(mut n: u64, shown: impl Display) -> u64 {
    n += shown.to_string().len() as u64;
    if n > 1 { n + sum(n - 2, \"\") } else { n }
}

pub fn evens() -> impl Iterator<Item = usize> {
    (0..).step_by(2 * STEP)
}
";

#[test]
fn candidates_behind_the_switch_are_what_they_are_alone() {
    let mut trials = trials_of(&[
        "let mut s = Stack::new(); s.push(1).push(2); assert_eq!(s.map(|n| n + 1), [2, 3]);",
        "assert_eq!(longest(\"abc\", (\"ab\", 1)), \"abc\");",
        "assert_eq!(sum(5, \"\"), 9);",
        "assert_eq!(evens().nth(2), Some(4));",
        "assert_eq!(sum(2, \"aa\"), 6);",
    ]);
    let edits = [
        ("self.items.push(item);", "self.items.insert(0, item);"),
        ("change(item)", "item.clone()"),
        ("self.items.truncate(0);", "self.items.truncate(1);"),
        ("self.items.truncate(0);", "panic!();"),
        ("a.len() > b.len()", "a.len() < b.len()"),
        ("a.len() > b.len()", "a.len() >= b.len()"),
        ("n + sum(n - 2, \"\")", "n + sum(n - 1, \"\")"),
        ("sum(n - 2, \"\")", "sum(n, \"\")"),
        ("n > 1", "n > 2"),
        ("2 * STEP", "3 * STEP"),
        ("STEP: usize = 1", "STEP: usize = 2"),
        ("-> u64", "-> u32"),
        ("{ a } else { b }", "{ b } else { a }"),
        ("Vec::new() }", "Vec::with_capacity(8) }"),
        ("n += shown", "n = n + shown"),
        ("Stack { items: Vec::new() }", "Stack { items: vec![] }"),
    ];
    let sources: Vec<String> = edits.iter().map(|(from, to)| KINDS.replacen(from, to, 1)).collect();
    assert!(sources.iter().all(|source| source != KINDS));
    let order = [2, 0, 4, 1, 3];
    let alone = |source: &String| {
        // Nothing was covered, so there is nothing to switch.
        let verdicts = trials_of(&[]).triage(std::slice::from_ref(source), &[]);
        assert_eq!(verdicts.expect("nothing to do"), [Triaged::Passed]);
    };
    sources.iter().take(1).for_each(alone);
    let apart = trials.triage(&sources, &order).expect("runs");
    assert!(trials.cover(KINDS).expect("is built").iter().all(|run| run.passed() && !run.lines.is_empty()));
    let together = trials.triage(&sources, &order).expect("runs");
    assert_eq!(together.iter().filter(|verdict| **verdict == Triaged::Passed).count(), 6, "{together:?}");
    assert_eq!(
        (together[0], together[9], together[11]),
        (Triaged::Failed { test: 0 }, Triaged::Failed { test: 3 }, Triaged::Failed { test: 2 })
    );
    let same = |(apart, together): &(&Triaged, &Triaged)| apart.stopped_at().is_some() == together.stopped_at().is_some();
    assert!(apart.iter().zip(&together).all(|pair| same(&pair)), "{apart:?}\n{together:?}");
    for (source, verdict) in sources.iter().zip(&together) {
        match trials.confirm(source, &order) {
            Ok(runs) => assert_eq!(runs.iter().all(|run| run.passed()), *verdict == Triaged::Passed, "{source}"),
            Err(why) => assert!(verdict.stopped_at().is_some() && why.to_string().contains("compile"), "{why}"),
        }
    }
}

#[test]
fn state_that_one_candidate_leaves_is_not_seen_by_another() {
    let counting = "use std::sync::atomic::{AtomicU32, Ordering};\n\nstatic CALLS: AtomicU32 = AtomicU32::new(0);\n\npub fn half(n: u32) -> u32 {\n    \
        CALLS.fetch_add(1, Ordering::SeqCst);\n    n / 3\n}\n\npub fn calls() -> u32 {\n    CALLS.load(Ordering::SeqCst)\n}\n";
    let mut trials = trials_of(&["assert_eq!((half(6), calls()), (3, 1));"]);
    trials.cover(counting).expect("is built");
    let thrice = counting.replace("n / 3", "{ half(1); 3 }").replace("half(1)", "CALLS.fetch_add(7, Ordering::SeqCst)");
    let right = [counting.replace("n / 3", "n / 2"), counting.replace("n / 3", "n >> 1")];
    let sources = [right[0].clone(), thrice, right[1].clone()];
    assert_eq!(trials.triage(&sources, &[0]).expect("runs"), [Triaged::Passed, Triaged::Failed { test: 0 }, Triaged::Passed]);
}

#[test]
fn a_thread_that_a_candidate_leaves_running_makes_no_other_late() {
    let mut trials = trials();
    trials.cover(&body("n / 3")).expect("is built");
    let spinning = body("{ std::thread::spawn(|| loop {}); n - 3 }");
    let mut sources = vec![spinning; 4];
    sources.push(GOOD.into());
    sources.push(body("{ let n = n / 2; std::thread::park_timeout(std::time::Duration::from_millis(90)); n }"));
    let failed = Triaged::Failed { test: 1 };
    let verdicts = trials.triage(&sources, &[0, 1, 2]).expect("runs");
    assert_eq!(verdicts, [failed, failed, failed, failed, Triaged::Passed, Triaged::Passed]);
}

#[test]
fn a_suite_that_ignores_the_source_is_noticed() {
    let source = "pub const LIMIT: u32 = least() + 1;\n\nconst fn least() -> u32 {\n    1\n}\n\n\
        pub fn up() -> impl Iterator<Item = u32> {\n    0..LIMIT\n}\n";
    let reached = |test: &str| {
        let mut trials = trials_of(&[test, "assert_eq!(LIMIT, 2);"]);
        assert_eq!(trials.cover(source).expect("is built").iter().map(|run| run.passed()).collect::<Vec<_>>(), [false, true]);
        trials.is_reached().expect("is built")
    };
    assert!(reached("assert_eq!(up().count(), 3);"));
    assert!(!reached("assert!(std::panic::catch_unwind(|| up().count()).is_err());"));
}
