//! Sources tried in the warm interpreter: what a verdict is, and that no candidate changes another's. With the real `python3`.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fractal::model::{Answer, Arg, Language, SuccessRule, Test, TestBody, TestOutcome, ToolRun, Triaged};
use fractal::world::sandbox::{Sandbox, ScratchFile};
use fractal::world::trial::{Processes, Python, Subject, Trials};
use proptest::prelude::*;
use proptest::sample::subsequence;
use proptest::test_runner::Config;

use crate::common::patiently;

const LONGEST: Duration = Duration::from_millis(400);

fn program(name: &str, code: &str) -> Test {
    Test { name: name.into(), body: TestBody::Program(code.into()) }
}

fn input(args: &[&str], stdin: &str, stdout: Option<&str>) -> Test {
    let args = args.iter().map(|arg| Arg::from(*arg)).collect();
    let answer = stdout.map_or(Answer::Any, |stdout| Answer::This(stdout.into()));
    let run = ToolRun { args, stdin: stdin.into(), answer, ..ToolRun::default() };
    Test { name: format!("with {stdin:?}"), body: TestBody::Run(run) }
}

fn warm(path: &str, support: &[(&str, &str)], tests: Vec<Test>) -> Python {
    let file = |(path, text): &(&str, &str)| ScratchFile {
        path: path.as_bytes().to_vec(),
        mode: 0o100644,
        content: Arc::new(text.as_bytes().to_vec()),
    };
    let support = support.iter().map(file).collect();
    let subject = Subject { language: Language::Python, path: path.into(), mode: 0o100644, support, run: Vec::new(), tests };
    Python::new(&Sandbox::new("trial", &[], 512 << 20), subject, LONGEST).expect("is Python")
}

fn outcomes(runs: &[fractal::model::TestRun]) -> Vec<TestOutcome> {
    runs.iter().map(|run| run.outcome).collect()
}

const GOOD: &str = "import math\n\ndef area(sides):\n    return math.prod(sides)\n";
const BAD: &str = "import math\n\ndef area(sides):\n    return sum(sides)\n";

/// The first passes on both, the second only on the good one.
fn area() -> Python {
    let tests = vec![
        program("two and two", "from area import area\nassert isinstance(area([2, 2]), int)\nassert area([2, 2]) == 4\n"),
        program("three and four", "import area\nassert len([area]) == 1\nassert area.area([3, 4]) == 12\n"),
    ];
    warm("area.py", &[], tests)
}

/// Ways to look good, or to harm who comes after; none of them computes an area.
const CHEATS: [(&str, &str); 27] = [
    ("exit", "import os\nos._exit(0)\n"),
    ("late exit", "import os\ndef area(sides):\n    os._exit(0)\n"),
    ("system exit", "raise SystemExit(0)\n"),
    ("late system exit", "import sys\ndef area(sides):\n    sys.exit()\n"),
    ("fork", "import os\nif os.fork():\n    os._exit(0)\n"),
    (
        "fork and wait",
        "import os\nchild = os.fork()\nif child:\n    os.waitpid(child, 0)\n    os._exit(0)\nimport math\narea = math.prod\n",
    ),
    ("fork and go on", "import os\nos.fork()\ndef area(sides):\n    return -1\n"),
    ("memory", "kept = []\nwhile True:\n    kept.append(bytearray(1 << 24))\n"),
    ("loop", "while True:\n    pass\n"),
    ("stubborn loop", "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass\n"),
    ("deaf loop", "import signal\nsignal.signal(signal.SIGPROF, signal.SIG_IGN)\nwhile True:\n    pass\n"),
    ("long call", "sum(range(10 ** 12))\n"),
    ("close", "import os\nos.closerange(0, 256)\n"),
    (
        "write",
        "import os\nfor n in range(64):\n    try:\n        os.write(n, b'\\0\\0\\0\\2{}')\n    except OSError:\n        pass\n",
    ),
    ("len", "import builtins\nbuiltins.len = lambda x: 0\n"),
    ("isinstance", "import builtins\nbuiltins.isinstance = lambda a, b: True\n"),
    ("modules", "import sys\nsys.modules['math'] = None\n"),
    ("no modules", "import sys\nsys.modules.clear()\n"),
    ("patched module", "import math\nmath.prod = lambda sides: 0\n"),
    ("patched class", "import json\njson.JSONEncoder.encode = None\nimport math\nmath.prod = None\n"),
    ("thread", "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"),
    ("recursion limit", "import sys\nsys.setrecursionlimit(60)\n"),
    ("folder", "import os\nos.chdir('/')\n"),
    ("signals", "import signal\nfor n in (10, 12, 27):\n    signal.signal(n, signal.SIG_DFL)\n"),
    ("recursion", "def area(sides):\n    return area(sides)\n"),
    ("deep recursion", "import sys\nsys.setrecursionlimit(10 ** 9)\ndef area(sides):\n    return [area(sides)]\n"),
    ("flood", "while True:\n    print('x' * 1000)\n"),
];

/// What is tried together: every cheat, and honest sources in the number given.
fn mixed(cheats: &[usize]) -> Vec<String> {
    let mut sources = Vec::new();
    for (nth, cheat) in cheats.iter().enumerate() {
        sources.push(CHEATS[*cheat].1.to_string());
        sources.push(format!("{}# {nth}\n", if nth % 2 == 0 { GOOD } else { BAD }));
    }
    sources
}

/// The verdict of every cheat when nothing else is tried.
fn alone() -> &'static Vec<Triaged> {
    static ALONE: OnceLock<Vec<Triaged>> = OnceLock::new();
    ALONE.get_or_init(|| {
        let verdict = |cheat: &(&str, &str)| {
            let mut trials = area();
            trials.cover(GOOD).expect("runs");
            trials.triage(&[cheat.1.to_string()], &[0, 1]).expect("tries")[0]
        };
        CHEATS.iter().map(verdict).collect()
    })
}

#[track_caller]
fn same_together_as_alone(trials: &mut Python, cheats: &[usize]) {
    let verdicts = trials.triage(&mixed(cheats), &[0, 1]).expect("tries");
    for (nth, (cheat, pair)) in cheats.iter().zip(verdicts.chunks(2)).enumerate() {
        let honest = if nth % 2 == 0 { Triaged::Passed } else { Triaged::Failed { test: 1 } };
        let place = format!("`{}` in {cheats:?}", CHEATS[*cheat].0);
        assert_eq!((pair[0], pair[1]), (alone()[*cheat], honest), "{place}");
    }
}

#[test]
fn no_candidate_changes_the_verdict_of_another() {
    let mut trials = area();
    trials.cover(GOOD).expect("runs");
    let all: Vec<usize> = (0..CHEATS.len()).collect();
    same_together_as_alone(&mut trials, &all);
    let back: Vec<usize> = all.into_iter().rev().collect();
    same_together_as_alone(&mut trials, &back);
}

proptest! {
    #![proptest_config(Config { cases: 8, max_shrink_iters: 0, failure_persistence: None, ..Config::default() })]

    #[test]
    fn no_candidate_changes_the_verdict_of_another_in_any_order(
        cheats in subsequence((0..CHEATS.len()).collect::<Vec<_>>(), 4..9).prop_shuffle()
    ) {
        let mut trials = area();
        trials.cover(GOOD).expect("runs");
        same_together_as_alone(&mut trials, &cheats);
    }
}

#[test]
fn no_cheat_is_ever_confirmed() {
    let mut trials = area();
    trials.cover(GOOD).expect("runs");
    assert_eq!(outcomes(&trials.confirm(GOOD, &[1, 0]).expect("runs")), [TestOutcome::Passed; 2]);
    for ((name, source), alone) in CHEATS.iter().zip(alone()) {
        let runs = trials.confirm(source, &[0, 1]).expect("runs");
        assert!(runs.iter().all(|run| !run.passed()), "{name}: {runs:#?}");
        assert!(runs.iter().all(|run| run.failure.is_some()), "{name}");
        assert_ne!(*alone, Triaged::Passed, "{name}");
    }
    assert_eq!(outcomes(&trials.confirm(GOOD, &[0, 1]).expect("runs")), [TestOutcome::Passed; 2]);
}

#[test]
fn a_candidate_that_kills_the_interpreter_harms_only_itself() {
    let mut trials = area();
    trials.cover(GOOD).expect("runs");
    let killer = "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n";
    let stopper = "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nwhile True:\n    pass\n";
    let sources: Vec<String> = [GOOD, killer, BAD, stopper, GOOD].map(String::from).to_vec();
    let verdicts = trials.triage(&sources, &[0, 1]).expect("tries");
    let expected =
        [Triaged::Passed, Triaged::Failed { test: 0 }, Triaged::Failed { test: 1 }, Triaged::Failed { test: 0 }, Triaged::Passed];
    assert_eq!(verdicts, expected);
}

#[test]
fn lines_are_known_however_a_test_ends() {
    let source = "import sys\n\ndef f(x):\n    if x == 1:\n        raise ValueError(x)\n    if x == 2:\n        sys.exit(3)\n    \
                  while x == 3:\n        x = 3\n    return x\n";
    let test = |x: u32| program(&format!("f({x})"), &format!("from tool import f\nassert f({x}) == {x}\n"));
    let mut trials = warm("tool.py", &[], (0..4).map(test).collect());
    let runs = trials.cover(source).expect("runs");
    use TestOutcome::{Failed, Passed, TimedOut};
    assert_eq!(outcomes(&runs), [Passed, Failed, Failed, TimedOut]);
    let lines: Vec<Vec<u32>> = runs.iter().map(|run| run.lines.iter().copied().collect()).collect();
    assert_eq!(lines, [vec![1, 3, 4, 6, 8, 10], vec![1, 3, 4, 5], vec![1, 3, 4, 6, 7], vec![1, 3, 4, 6, 8, 9]]);
    let failure = |at: usize| runs[at].failure.as_ref().expect("failed");
    assert_eq!((failure(1).class.as_str(), failure(1).message.as_str()), ("ValueError", "ValueError: 1"));
    let places: Vec<(&str, u32)> = failure(1).frames.iter().map(|frame| (frame.path.as_str(), frame.line)).collect();
    assert_eq!(places, [("tool.py", 5), ("fractal_test_1.py", 2)]);
    assert_eq!(failure(2).class, "exit 3");
    assert_eq!((failure(3).class.as_str(), failure(3).frames[0].path.as_str()), ("time-out", "tool.py"));
    assert!(runs[3].cpu >= LONGEST / 2 && trials.cpu() >= runs[3].cpu, "{:?} of {:?}", runs[3].cpu, trials.cpu());
}

#[test]
fn a_tool_is_run_with_its_arguments_and_standard_input_and_its_output_is_compared() {
    let source = |what: &str| {
        format!("import sys\nfor line in sys.stdin:\n    print(sys.argv[1] + line.strip(){what})\nsys.exit(len(sys.argv) - 2)\n")
    };
    let tests = vec![
        input(&["-"], "a\nb\n", Some("-a\n-b\n")),
        input(&["-", "more"], "a\n", Some("-a\n")),
        input(&["\u{e9}"], "\u{fc}\n", Some("\u{e9}\u{fc}\n")),
        input(&["-"], "a\n", None),
    ];
    let mut trials = warm("bin/tool.py", &[], tests);
    use TestOutcome::{Failed, Passed};
    let runs = trials.cover(&source("")).expect("runs");
    assert_eq!(outcomes(&runs), [Passed, Failed, Passed, Passed], "{runs:#?}");
    assert_eq!(runs[0].lines.iter().copied().collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(outcomes(&trials.confirm(&source(".upper()"), &[0, 3]).expect("runs")), [Failed, Passed]);
    let candidates = [source(""), source(".upper()"), source(".nothing"), source("")];
    let expected = [Triaged::Passed, Triaged::Failed { test: 0 }, Triaged::Failed { test: 0 }, Triaged::Passed];
    assert_eq!(trials.triage(&candidates, &[0, 2, 3]).expect("tries"), expected);
}

#[test]
fn every_test_gets_fresh_modules_also_those_beside_the_tool() {
    let support = [("parts/__init__.py", "seen = []\n"), ("parts/more.py", "from . import seen\n"), ("plain.py", "count = 0\n")];
    let source = "import plain\nfrom parts import more\nstate = []\n\ndef f(x):\n    plain.count += 1\n    state.append(x)\n    \
                  more.seen.append(x)\n    return (len(state), len(more.seen), plain.count)\n";
    let test = |at: u32| program(&at.to_string(), "import tool\nassert tool.f(1) == (1, 1, 1)\n");
    let mut trials = warm("tool.py", &support, (0..3).map(test).collect());
    assert!(trials.cover(source).expect("runs").iter().all(fractal::model::TestRun::passed));
    let verdicts = trials.triage(&vec![source.to_string(); 40], &[0, 1, 2]).expect("tries");
    assert_eq!(verdicts, vec![Triaged::Passed; 40]);
}

#[test]
fn a_tool_that_tests_run_as_a_program_or_read_is_the_candidate() {
    let tests = vec![program(
        "as a program",
        "import os, subprocess, sys\nhere = os.path.dirname(os.path.abspath(__file__))\nsaid = subprocess.run([sys.executable, \
         os.path.join(here, 'tool.py')], capture_output=True)\nassert said.stdout == b'good\\n', said\n",
    )];
    let mut trials = warm("tools/tool.py", &[], tests);
    let (good, bad) = ("print('good')\n".to_string(), "print('bad')\n".to_string());
    assert_eq!(outcomes(&trials.cover(&bad).expect("runs")), [TestOutcome::Failed]);
    let expected = [Triaged::Failed { test: 0 }, Triaged::Passed, Triaged::Failed { test: 0 }, Triaged::Passed];
    assert_eq!(trials.triage(&[bad.clone(), good.clone(), bad, good], &[0]).expect("tries"), expected);
    assert!(trials.is_reached().expect("runs"));
}

#[test]
fn a_tool_may_end_the_program_where_the_test_has_nothing_more_to_say() {
    let test = |code: &str| program(code, &format!("import sys, unittest\nimport tool\n{code}\n"));
    let unittest = "class T(unittest.TestCase):\n    def test_two(self):\n        self.assertEqual(tool.two(), 2)\nunittest.main(argv=['x'])";
    let ended = ["tool.main()", "tool.main(0)", "sys.exit(tool.two() != 2)", unittest];
    let cut =
        ["assert tool.main() == 3", "print(tool.main())", "(lambda: tool.main())()", "tool.main()\ntool.two()", "tool.main(1)"];
    let tests: Vec<Test> = ended.iter().chain(&cut).map(|code| test(code)).collect();
    let source = "import sys\ndef main(code=0):\n    sys.exit(code)\n\ndef two():\n    return 2\n";
    let mut trials = warm("tool.py", &[], tests);
    let passed: Vec<bool> = trials.cover(source).expect("runs").iter().map(fractal::model::TestRun::passed).collect();
    assert_eq!(passed, [true, true, true, true, false, false, false, false, false]);
}

#[test]
fn a_suite_that_ignores_the_tool_is_noticed() {
    assert!(area().is_reached().expect("runs"));
    let ignoring = "try:\n    import area\nexcept RuntimeError:\n    pass\n";
    assert!(!warm("area.py", &[], vec![program("ignores", ignoring)]).is_reached().expect("runs"));
}

#[test]
fn every_way_of_writing_a_file_is_read_as_the_interpreter_reads_it() {
    let test = program("f", "from tool import f\nassert f() == '\u{e9}', ascii(f())\n");
    let mut trials = warm("tool.py", &[], vec![test]);
    let passes = [
        "def f():\n\treturn '\u{e9}'\n",
        "def f():\r\n    return '\u{e9}'\r\n",
        "\u{feff}def f():\n    return '\u{e9}'\n",
        "# -*- coding: utf-8 -*-\ndef f():\n    return '\u{e9}'\n",
        "# coding: latin-1\ndef f():\n    return '\u{e9}'.encode('latin-1').decode()\n",
    ];
    let fails = ["# coding: latin-1\ndef f():\n    return '\u{e9}'\n", "def f(:\n", "# coding: nothing\n", "def f():\n\0", ""];
    let sources: Vec<String> = passes.iter().chain(&fails).map(|source| (*source).to_string()).collect();
    let verdicts = trials.triage(&sources, &[0]).expect("tries");
    for (source, verdict) in sources.iter().zip(verdicts) {
        let expected = passes.contains(&source.as_str());
        assert_eq!(verdict == Triaged::Passed, expected, "{source:?}");
        assert_eq!(trials.confirm(source, &[0]).expect("runs")[0].passed(), expected, "{source:?}");
    }
    let broken = trials.cover("def f(:\n").expect("runs");
    let failure = broken[0].failure.as_ref().expect("fails");
    assert_eq!((failure.class.as_str(), failure.frames[0].path.as_str(), failure.frames[0].line), ("SyntaxError", "tool.py", 1));
}

#[test]
fn a_subject_that_cannot_be_tried_is_refused() {
    let subject = Subject {
        language: Language::Shell,
        path: "x.sh".into(),
        mode: 0o100644,
        support: Vec::new(),
        run: Vec::new(),
        tests: Vec::new(),
    };
    let refused = Python::new(&Sandbox::new("trial", &[], 1 << 30), subject, LONGEST).err().expect("is refused");
    assert_eq!(refused.to_string(), "`x.sh` is not Python");
    let error = warm("tool.py", &[], Vec::new()).cover("").expect_err("nothing to run");
    assert_eq!(error.to_string(), "there is no test to try a repair on");
    assert!(area().confirm(GOOD, &[2]).is_err() && area().triage(&[GOOD.into()], &[7]).is_err());
    assert_eq!(area().triage(&[], &[0]).expect("nothing to do"), []);
}

/// Python that connects to us, and holds the connection as long as anything of it lives.
fn connects(listener: &TcpListener) -> String {
    let port = listener.local_addr().expect("bound").port();
    format!("import os, socket\nheld = socket.create_connection(('127.0.0.1', {port}))\n")
}

#[test]
fn nothing_that_a_candidate_starts_outlives_it() {
    // Passes when the daemon has become its program, which closes the pipe.
    let mark = format!("7{}.5", std::process::id());
    let daemon = format!(
        "import os\nours, theirs = os.pipe()\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        try:\n            \
         os.execvp('sleep', ['sleep', '{mark}'])\n        except OSError:\n            os.write(theirs, b'x')\n    os._exit(0)\nos.wait()\n\
         os.close(theirs)\nassert os.read(ours, 1) == b''\n"
    );
    let mut trials = area();
    assert_eq!(outcomes(&trials.confirm(&format!("{daemon}{GOOD}"), &[1]).expect("runs")), [TestOutcome::Passed]);
    drop(trials);
    let lines = std::fs::read_dir("/proc").expect("is there").flatten();
    let lines = lines.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let left = lines.filter(|line| String::from_utf8_lossy(line).contains(&mark) && line.starts_with(b"sleep"));
    assert_eq!(left.count(), 0);
    assert_eq!(outcomes(&area().confirm(GOOD, &[1]).expect("runs")), [TestOutcome::Passed]);
}

const PROGRAM: &str = concat!(
    include_str!("../../templates/trial/subject.py"),
    include_str!("../../templates/trial/state.py"),
    include_str!("../../templates/trial/child.py"),
    include_str!("../../templates/trial/parent.py"),
);

/// An interpreter as we start it, at work on an endless test that holds a connection to us.
fn at_work(listener: &TcpListener) -> (tempfile::TempDir, Child) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("test.py"), "import tool\n").expect("writes");
    let mut python = Command::new("python3");
    python.args(["-s", "-S", "-c", PROGRAM]).env("PATH", fractal::world::sandbox::direct_path());
    python.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
    let mut python = python.spawn().expect("starts");
    let tests = serde_json::json!([{ "program": "test.py" }]);
    let setup = serde_json::json!({
        "op": "setup", "root": folder.path(), "path": "tool.py", "source": "", "support": [], "tests": tests,
    });
    let source = format!("{}while True:\n    pass\n", connects(listener));
    let run = serde_json::json!({ "op": "run", "source": source, "test": 0, "limit": 600.0, "trace": false });
    let stdin = python.stdin.as_mut().expect("piped");
    let mut send = |job: &serde_json::Value| {
        let text = job.to_string();
        stdin.write_all(&u32::try_from(text.len()).expect("short").to_be_bytes()).expect("sends");
        stdin.write_all(text.as_bytes()).expect("sends");
    };
    send(&setup);
    let mut answer = [0; 4];
    python.stdout.as_mut().expect("piped").read_exact(&mut answer).expect("answers");
    send(&run);
    (folder, python)
}

#[test]
fn when_we_are_killed_nothing_runs_on() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let (_folder, mut python) = at_work(&listener);
    let mut held = patiently(move || listener.accept().expect("connects").0);
    drop(python.stdin.take());
    patiently(move || {
        assert_eq!(held.read_to_end(&mut Vec::new()).expect("ends"), 0);
        python.wait().expect("ends")
    });
}

#[test]
fn when_the_interpreter_is_killed_nothing_runs_on() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let (_folder, mut python) = at_work(&listener);
    let mut held = patiently(move || listener.accept().expect("connects").0);
    python.kill().expect("kills");
    patiently(move || {
        assert_eq!(held.read_to_end(&mut Vec::new()).expect("ends"), 0);
        python.wait().expect("ends")
    });
}

#[test]
fn a_tool_whose_main_file_lies_beside_the_one_that_is_tried_is_run_by_it() {
    let main = "import sys\nfrom area import area\nprint(area([int(arg) for arg in sys.argv[1:]]) + len(sys.stdin.read()))\nsys.exit(3)\n";
    let allowed = SuccessRule { exit: vec![3], stdout: None };
    let run = |name: &str, answer: Answer, success: &SuccessRule| {
        let args = ["3", "4"].map(Arg::from).to_vec();
        let run = ToolRun { args, stdin: b"x".to_vec(), answer, success: success.clone(), ..ToolRun::default() };
        Test { name: name.into(), body: TestBody::Run(run) }
    };
    let tests = vec![
        run("answer", Answer::This(b"13\n".to_vec()), &allowed),
        run("no longer the wrong one", Answer::Other(b"8\n".to_vec()), &allowed),
        run("any", Answer::Any, &allowed),
        run("an end that is no success", Answer::Any, &SuccessRule::default()),
    ];
    let support = vec![ScratchFile::plain("tools/main.py", main)];
    let subject = Subject {
        language: Language::Python,
        path: "tools/area.py".into(),
        mode: 0o100644,
        support,
        run: vec!["python3".into(), "{root}/tools/main.py".into()],
        tests,
    };
    let sandbox = Sandbox::new("trial", &[], 512 << 20);
    let mut fast = Python::new(&sandbox, subject.clone(), LONGEST).expect("is Python");
    let mut slow = Processes::new(&sandbox, subject, Duration::from_secs(20));
    use TestOutcome::{Failed, Passed};
    for (source, wanted) in [(GOOD, [Passed, Passed, Passed, Failed]), (BAD, [Failed, Failed, Passed, Failed])] {
        assert_eq!(outcomes(&fast.cover(source).expect("runs")), wanted);
        assert_eq!(outcomes(&slow.cover(source).expect("runs")), wanted, "a process for each says the same");
    }
    let sources = [GOOD, BAD].map(String::from);
    let expected = [Triaged::Passed, Triaged::Failed { test: 1 }];
    assert_eq!(fast.triage(&sources, &[2, 1, 0]).expect("tries"), expected);
    assert_eq!(slow.triage(&sources, &[2, 1, 0]).expect("tries"), expected);
    assert!(fast.cover(BAD).expect("runs")[0].lines.contains(&4), "the lines of the file that is tried");
}
