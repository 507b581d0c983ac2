//! Candidates in JavaScript that share one process, and what each of them may do to the others: nothing.

use std::time::Duration;

use fractal::model::{Language, Test, TestBody, TestOutcome, Triaged};
use fractal::world::files::has_program;
use fractal::world::sandbox::Sandbox;
use fractal::world::trial::{self, Subject, Trials};

use crate::peers;

/// Right, and fast.
const GOOD: &str = "function half(n) {\n  if (n < 0) {\n    return -half(-n);\n  }\n  return Math.floor(n / 2);\n}\n\nmodule.exports = { half };\n";

fn body(expression: &str) -> String {
    GOOD.replace("Math.floor(n / 2)", expression)
}

fn trials(more: &[&str]) -> Option<Box<dyn Trials>> {
    let checks = ["assert.strictEqual(half(6), 3);", "assert.deepStrictEqual([half(1)], [0]);", "assert.ok(half(-98) === -49);"];
    let whole =
        |code: &&str| format!("const assert = require('node:assert');\nconst {{ half }} = require('./tool.js');\n{code}\n");
    let whole: Vec<String> = checks.iter().chain(more).map(whole).collect();
    trials_of(&whole.iter().map(String::as_str).collect::<Vec<_>>())
}

fn trials_of(programs: &[&str]) -> Option<Box<dyn Trials>> {
    peers::or_not_run(has_program("node").then_some(()), "node")?;
    let test = |code: &&str| Test { name: (*code).into(), body: TestBody::Program((*code).into()) };
    let subject = Subject {
        language: Language::Javascript,
        path: "lib/tool.js".into(),
        mode: 0o100644,
        support: Vec::new(),
        run: Vec::new(),
        tests: programs.iter().map(test).collect(),
    };
    let sandbox = Sandbox::new("trial-test", &[], 8 << 30);
    Some(trial::open(&sandbox, subject, Duration::from_secs(10)).expect("opens"))
}

#[test]
fn every_candidate_gets_its_own_verdict_whatever_the_others_do() {
    let Some(mut trials) = trials(&[]) else { return };
    let baseline = trials.cover(&body("Math.floor(n / 3)")).expect("runs");
    let outcomes: Vec<TestOutcome> = baseline.iter().map(|run| run.outcome).collect();
    assert_eq!(outcomes, [TestOutcome::Failed, TestOutcome::Passed, TestOutcome::Failed]);
    let late = |test| Triaged::TimedOut { test };
    let failed = |test| Triaged::Failed { test };
    let all = [
        (GOOD.to_string(), Triaged::Passed),
        (body("Math.ceil(n / 2)"), failed(1)),
        (body("(() => { for (;;) {} })()"), late(0)),
        (body("nothing(n)"), failed(0)),
        (body("process.exit(1)"), failed(0)),
        (body("(Math.floor = () => 3, Array.prototype.map = null, 3)"), failed(1)),
        (body("(n -"), failed(0)),
        (body("half(n + 1)"), failed(0)),
        (body("(globalThis.Object = null, n >> 1)"), Triaged::Passed),
        (body("(() => { const all = []; for (;;) all.push(new Array(1e6).fill(n)); })()"), failed(0)),
        (body("n >> 1"), Triaged::Passed),
        (body("n === 98 ? 0 : n >> 1"), failed(2)),
    ];
    let sources: Vec<String> = all.iter().map(|(source, _)| source.clone()).collect();
    let wanted: Vec<Triaged> = all.iter().map(|(_, verdict)| *verdict).collect();
    let is_late_or_dead = |verdict: &Triaged| !matches!(verdict, Triaged::Passed);
    for turned in [false, true] {
        let (mut sources, mut wanted) = (sources.clone(), wanted.clone());
        if turned {
            sources.reverse();
            wanted.reverse();
        }
        let found = trials.triage(&sources, &[0, 1, 2]).expect("runs");
        for ((found, wanted), source) in found.iter().zip(&wanted).zip(&sources) {
            // Whoever eats all memory is stopped by the one limit or the other.
            let same = if source.contains("1e6") { is_late_or_dead(found) } else { found == wanted };
            assert!(same, "{found:?}, not {wanted:?}:\n{source}");
        }
    }
}

#[test]
fn the_lines_that_each_test_ran_are_known_also_of_one_that_never_ends() {
    let Some(mut trials) = trials(&["for (;;) half(4);"]) else { return };
    let runs = trials.cover(GOOD).expect("runs");
    let lines: Vec<Vec<u32>> =
        runs.iter().map(|run| run.lines.iter().copied().filter(|line| (2..6).contains(line)).collect()).collect();
    assert_eq!(lines[0], [2, 5]);
    assert_eq!(lines[2], [2, 3, 4, 5]);
    assert_eq!((runs[3].outcome, &lines[3][..]), (TestOutcome::TimedOut, &[2, 5][..]));
}

#[test]
fn tests_that_need_more_than_a_context_get_processes() {
    // Passes in a process, where time goes on; in a context nothing is ever called back.
    let waits = "let called = false;\nsetTimeout(() => { called = true; }, 1);\nprocess.on('exit', () => { if (!called) process.exitCode = 3; });";
    let Some(mut trials) = trials(&[waits, "setTimeout(() => { throw new Error('late'); }, 1);"]) else { return };
    let baseline = trials.cover(GOOD).expect("runs");
    assert_eq!(baseline.iter().map(|run| run.passed()).collect::<Vec<_>>(), [true, true, true, true, false]);
    // The last one is judged wrongly in a context, so a candidate's pass there means nothing, and its verdict comes from a process.
    assert_eq!(trials.triage(&[GOOD.to_string()], &[4, 0]).expect("runs"), [Triaged::Passed]);
    assert!(!trials.confirm(GOOD, &[4, 0]).expect("runs")[0].passed());
    assert_eq!(trials.triage(&[GOOD.to_string()], &[4]).expect("runs"), [Triaged::Failed { test: 4 }]);
}

/// What a candidate may do on its way, each with what follows for itself: `None` where either is right.
const HOSTILE: [(&str, Option<Triaged>); 30] = [
    ("(Array.prototype.map = null, Math.floor(n / 2))", Some(Triaged::Passed)),
    ("(Object.prototype.polluted = 1, Math.floor(n / 2))", None),
    ("(module.exports.__proto__.polluted = 1, Math.floor(n / 2))", None),
    ("(require.constructor.prototype.call = null, Math.floor(n / 2))", None),
    ("(console.log.constructor.prototype.apply = null, Math.floor(n / 2))", None),
    ("(require('assert').strictEqual = () => {}, n === 6 ? 3 : 7)", Some(FAILED_1)),
    ("(require('node:assert').deepStrictEqual = () => {}, Math.floor(n / 2))", Some(Triaged::Passed)),
    ("(require('assert').AssertionError.prototype.name = 'x', Math.floor(n / 2))", Some(Triaged::Passed)),
    ("(require('fs').readFileSync = () => '', Math.floor(n / 2))", Some(Triaged::Passed)),
    ("(require('fs').writeFileSync = require('fs').writeSync = null, Math.floor(n / 2))", Some(Triaged::Passed)),
    ("(require('fs').Stats.prototype.isFile = () => false, Math.floor(n / 2))", Some(Triaged::Passed)),
    ("(require('path').resolve = () => '/', Math.floor(n / 2))", Some(Triaged::Passed)),
    ("(require('util').inspect.custom = 1, require('events').prototype.on = null, Math.floor(n / 2))", None),
    ("(require('fs').writeFileSync('lib/tool.js', ''), require('fs').writeFileSync('left', ''), Math.floor(n / 2))", None),
    ("(require('fs').rmSync('fractal-job.json'), Math.floor(n / 2))", None),
    ("(Buffer.prototype.toString = null, Buffer.from = null, Math.floor(n / 2))", Some(Triaged::Passed)),
    ("(URL.prototype.polluted = structuredClone.polluted = 1, Math.floor(n / 2))", Some(Triaged::Passed)),
    ("(require('fs').constructor.prototype.polluted = 1, Math.floor(n / 2))", None),
    ("require('fs').constructor.constructor('return process')().exit(0)", None),
    ("require('assert').constructor('return process')().exit(1)", None),
    ("(require('assert').constructor('return globalThis')().Array.prototype.push = null, Math.floor(n / 2))", None),
    ("require('process').exit(3)", Some(FAILED_0)),
    ("(process.exitCode = 3, Math.floor(n / 2))", Some(FAILED_0)),
    ("(Promise.reject(new Error('nobody')), Math.floor(n / 2))", Some(FAILED_0)),
    ("(Promise.resolve().then(() => { for (;;); }), Math.floor(n / 2))", Some(LATE_0)),
    ("(queueMicrotask(() => { for (;;); }), Math.floor(n / 2))", Some(LATE_0)),
    ("(() => { for (;;) { try { for (;;); } catch {} } })()", Some(LATE_0)),
    ("(() => { throw { get code() { for (;;); }, get message() { for (;;); } }; })()", Some(FAILED_0)),
    ("(() => { throw new Proxy(new Error(), { get() { for (;;); }, getPrototypeOf() { for (;;); } }); })()", Some(FAILED_0)),
    ("require('child_process').execSync('exit 0') && Math.floor(n / 2)", Some(FAILED_0)),
];
const FAILED_0: Triaged = Triaged::Failed { test: 0 };
const FAILED_1: Triaged = Triaged::Failed { test: 1 };
const LATE_0: Triaged = Triaged::TimedOut { test: 0 };

#[test]
fn whatever_a_candidate_touches_the_next_one_finds_it_untouched() {
    let Some(mut trials) = trials(&[]) else { return };
    trials.cover(&body("Math.floor(n / 3)")).expect("runs");
    let wrong = body("Math.ceil(n / 2)");
    let sources: Vec<String> = HOSTILE.iter().flat_map(|(hostile, _)| [body(hostile), GOOD.to_string(), wrong.clone()]).collect();
    let verdicts = trials.triage(&sources, &[0, 1, 2]).expect("runs");
    for (found, (hostile, own)) in verdicts.chunks(3).zip(HOSTILE) {
        assert_eq!(found[1..], [Triaged::Passed, FAILED_1], "after {hostile}");
        assert!(own.is_none_or(|own| own == found[0]), "{hostile}: {:?}", found[0]);
    }
}

#[test]
fn a_candidate_that_leaves_something_for_its_own_next_test_is_tried_alone() {
    let Some(mut trials) = trials(&["assert.ok(!require('fs').existsSync('left')); assert.strictEqual(half(2), 1);"]) else {
        return;
    };
    trials.cover(&body("Math.floor(n / 3)")).expect("runs");
    let leaves = body("(require('fs').writeFileSync('left', ''), Math.floor(n / 2))");
    let patches = body("(require('assert').deepStrictEqual = () => {}, n === 1 ? 5 : Math.floor(n / 2))");
    let verdicts = trials.triage(&[leaves, patches, GOOD.to_string()], &[0, 3, 1]).expect("runs");
    assert_eq!(verdicts, [Triaged::Passed, FAILED_1, Triaged::Passed]);
}

#[test]
fn a_test_that_waits_for_a_promise_is_judged_in_a_context() {
    let code = "(async () => { await null; assert.strictEqual(half(8), 4); })();";
    let Some(mut trials) = trials(&[code]) else { return };
    let baseline = trials.cover(&body("Math.floor(n / 3)")).expect("runs");
    assert!(!baseline[3].passed());
    let before = trials.cpu();
    let sources: Vec<String> = (0..200).map(|n| body(&format!("Math.floor(n / 2) + {n}"))).collect();
    let verdicts = trials.triage(&sources, &[3]).expect("runs");
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Triaged::Passed).count(), 1);
    // Two hundred processes would need some seconds.
    assert!(trials.cpu() - before < Duration::from_secs(3), "{:?}", trials.cpu() - before);
}

#[test]
fn a_suite_that_ignores_the_module_is_noticed() {
    let Some(mut reached) = trials(&[]) else { return };
    reached.cover(&body("Math.floor(n / 3)")).expect("runs");
    assert!(reached.is_reached().expect("runs"));
    let Some(mut ignored) = trials_of(&[
        "let broken = false;\ntry {\n  require('./tool.js');\n} catch {\n  broken = true;\n}\nif (!broken) process.exit(1);",
    ]) else {
        return;
    };
    assert!(!ignored.cover(GOOD).expect("runs")[0].passed());
    assert!(!ignored.is_reached().expect("runs"));
}
