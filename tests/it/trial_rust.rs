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
    let test = |name: &str, code: &str| Test { name: name.into(), body: TestBody::Program(code.into()) };
    let subject = Subject {
        language: Language::Rust,
        path: "src/lib.rs".into(),
        mode: 0o100644,
        support: Vec::new(),
        tests: vec![
            test("six", "assert_eq!(half(6), 3);"),
            test("one", "assert_eq!(half(1), 0);"),
            test("big", "assert_eq!(half(98), 49);"),
        ],
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
