//! Tests of a shell script: which lines they run, and whether they run it at all.

use std::collections::BTreeSet;
use std::time::Duration;

use fractal::model::{Answer, Arg, Language, Test, TestBody, TestOutcome, TestRun, ToolRun, Triaged};
use fractal::world::sandbox::{Sandbox, ScratchFile};
use fractal::world::trial::{self, Subject, Trials};

const TOOL: &str = "\
#!/usr/bin/env bash
set -u
size() {
  local n=$1
  if [ \"$n\" -gt 3 ]; then
    echo big
  else
    echo small
  fi
}
case ${1:-} in
  loop)
    while :; do
      :
    done ;;
  two)
    echo \"a
b\" | while read -r line; do
      size \"${#line}\"
    done ;;
  *) size \"$1\" ;;
esac
";

fn trials(bodies: Vec<TestBody>) -> Box<dyn Trials> {
    let test = |(at, body): (usize, TestBody)| Test { name: at.to_string(), body };
    let subject = Subject {
        language: Language::Shell,
        path: "bin/size.sh".into(),
        mode: 0o100755,
        run: Vec::new(),
        support: vec![ScratchFile::plain("other/size.sh", "echo other\n")],
        tests: bodies.into_iter().enumerate().map(test).collect(),
    };
    let sandbox = Sandbox::new("trial-test", &[], 2 << 30);
    trial::open(&sandbox, subject, Duration::from_secs(2)).expect("opens")
}

fn run(args: &[&str], stdout: &str) -> TestBody {
    let args = args.iter().map(|arg| Arg(arg.as_bytes().to_vec())).collect();
    TestBody::Run(ToolRun { args, answer: Answer::This(stdout.as_bytes().to_vec()), ..ToolRun::default() })
}

fn program(code: &str) -> TestBody {
    TestBody::Program(code.into())
}

fn command(words: &[&str]) -> TestBody {
    TestBody::Command(words.iter().map(ToString::to_string).collect())
}

fn lines(run: &TestRun) -> Vec<u32> {
    run.lines.iter().copied().collect()
}

#[test]
fn the_lines_that_a_run_a_program_and_a_command_ran_are_known() {
    let bodies = vec![
        run(&["5"], "big\n"),
        run(&["two"], "small\nsmall\n"),
        run(&["loop"], ""),
        run(&[], ""),
        program("cd \"$(dirname \"$0\")\"; [ \"$(./size.sh 1 2>&1)\" = small ]"),
        program("set -- 9; . \"${0%/*}/size.sh\" >/dev/null; [ -z \"${BASH_EXECUTION_STRING-}\" ] && false"),
    ];
    let runs = trials(bodies).cover(TOOL).expect("runs");
    let outcomes: Vec<TestOutcome> = runs.iter().map(|run| run.outcome).collect();
    use TestOutcome::{Failed, Passed, TimedOut};
    assert_eq!(outcomes, [Passed, Passed, TimedOut, Failed, Passed, Failed]);
    assert_eq!(lines(&runs[0]), [2, 4, 5, 6, 11, 21]);
    let two: BTreeSet<u32> = runs[1].lines.iter().copied().filter(|line| *line != 17).collect();
    assert_eq!(two.into_iter().collect::<Vec<_>>(), [2, 4, 5, 8, 11, 18, 19]);
    assert_eq!(lines(&runs[2]), [2, 11, 13, 14]);
    assert_eq!(lines(&runs[3])[..2], [2, 11]);
    assert_eq!(lines(&runs[4]), [2, 4, 5, 8, 11, 21]);
    assert_eq!(lines(&runs[5]), [2, 4, 5, 6, 11, 21]);
}

#[test]
fn commands_see_nothing_of_the_trace_and_only_the_tools_own_lines_are_told() {
    let script = "bash bin/size.sh 7 >out 2>err || exit 1; bash other/size.sh || exit 1; [ \"$(cat out)\" = big ] && ! [ -s err ] && sh -c 'exit 0'";
    let same = "case $-$(bash -c 'echo $-') in *e*) exit 1 ;; esac; env | grep -q SHELLOPTS && exit 1; exit 0";
    let runs = trials(vec![command(&["bash", "-c", script]), command(&["bash", "-c", same])]).cover(TOOL).expect("runs");
    assert!(runs.iter().all(TestRun::passed), "{runs:?}");
    assert_eq!(lines(&runs[0]), [2, 4, 5, 6, 11, 21]);
    assert_eq!(lines(&runs[1]), [0_u32; 0]);
}

#[test]
fn a_trial_is_no_different_for_having_been_covered() {
    let mut trials = trials(vec![run(&["3"], "big\n"), run(&["9"], "big\n")]);
    trials.cover(TOOL).expect("runs");
    let sources = ["-gt 2", "-gt 9", "-ge 3"].map(|condition| TOOL.replace("-gt 3", condition));
    let verdicts = trials.triage(&sources, &[0, 1]).expect("runs");
    assert_eq!(verdicts, [Triaged::Passed, Triaged::Failed { test: 0 }, Triaged::Passed]);
}

#[test]
fn a_suite_that_ignores_the_script_is_noticed() {
    let reached = |body: TestBody| {
        let mut trials = trials(vec![body]);
        assert!(!trials.cover(TOOL).expect("runs")[0].passed());
        trials.is_reached().expect("runs")
    };
    assert!(reached(run(&["3"], "big\n")));
    assert!(reached(command(&["bin/size.sh"])));
    // Passes only when the script is broken.
    assert!(!reached(program("! bash \"${0%/*}/size.sh\" 5 >/dev/null")));
}
