//! Replays per second: recorded inputs on a version of a tool, each in a checkout and in the sandbox, beside the same program started
//! plainly on them, as many at a time.
//!
//! `cargo bench --bench replay -- [RUNS]` (400 of each program when not given). Both take turns, in batches of 40.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fractal::model::{Arg, Exit, ToolInput};
use fractal::world::View;
use fractal::world::bench::Bench;
use fractal::world::catalog::catalog;
use fractal::world::clock::Clock;
use fractal::world::process::{self, Spawn};
use fractal::world::sandbox::direct_path;

const BATCH: usize = 40;
const LONG: Duration = Duration::from_secs(60);
const PYTHON: &str = "import sys\nprint(sum(map(int, sys.argv[1:])))\n";
const SHELL: &str = "total=0\nfor number; do total=$((total + number)); done\necho $total\n";
const CONFIG: &str = r#"
[[tool]]
name = "python"
paths = ["sum.py"]
run = ["python3", "sum.py"]
effects = "none"

[[tool]]
name = "shell"
paths = ["sum.sh"]
run = ["sh", "sum.sh"]
effects = "none"
"#;

fn main() {
    let runs: usize = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(400);
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    for (path, text) in [("fractal.toml", CONFIG), ("sum.py", PYTHON), ("sum.sh", SHELL)] {
        std::fs::write(root.join(path), text).expect("writes");
    }
    for number in 0..200 {
        std::fs::write(root.join(format!("other-{number}.txt")), "a file of another tool\n".repeat(50)).expect("writes");
    }
    git(root, &["init", "-q", "-b", "main"]);
    git(root, &["add", "."]);
    git(root, &["-c", "user.name=A", "-c", "user.email=a@example.com", "commit", "-q", "-m", "tools"]);
    let view = View::open(root, Clock::System).expect("opens");
    let tip = view.repo.tip("main").expect("has a tip");
    let tools = catalog(&view.repo, &view.config, &tip).expect("has tools");
    println!(
        "{runs} runs of each, {} at a time, a checkout of 203 files; repeat with: cargo bench --bench replay -- {runs}\n",
        view.sandbox.workers
    );
    println!("{:8} {:>12} {:>12} {:>7}", "tool", "plain /s", "replays /s", "ratio");
    for name in ["python", "shell"] {
        let tool = tools.get(name).expect("is there");
        let bench = Bench::at(&view, tool, &tip, Duration::ZERO).expect("a bench");
        let (mut plain, mut replayed, mut done) = (Duration::ZERO, Duration::ZERO, 0);
        // The first batch also reads the programs from disk and makes the checkouts.
        for batch in 0..=runs.div_ceil(BATCH) {
            let inputs: Vec<[String; 3]> = (0..BATCH).map(|at| [batch, at, 7].map(|number| number.to_string())).collect();
            let times = [
                time(|| all(bench.each(&inputs, |args| plainly(&tool.run, args, root), |_| false))),
                time(|| all(bench.each(&inputs, |args| bench.run(&given(args), &[]).exit == Exit::Code(0), |_| false))),
            ];
            if batch > 0 {
                (plain, replayed, done) = (plain + times[0], replayed + times[1], done + BATCH);
            }
        }
        let rate = |time: Duration| done as f64 / time.as_secs_f64();
        println!("{name:8} {:12.0} {:12.0} {:7.2}", rate(plain), rate(replayed), rate(replayed) / rate(plain));
    }
}

fn given(args: &[String]) -> ToolInput {
    ToolInput { args: args.iter().map(|arg| Arg::from(arg.as_str())).collect(), stdin: Vec::new(), cwd: None }
}

fn plainly(run: &[String], args: &[String], root: &Path) -> bool {
    // As in the sandbox: the interpreter itself, not what a version manager puts in its place.
    let env = vec![("PATH".into(), direct_path())];
    let argv = run.iter().chain(args).map(Into::into).collect();
    process::run(&Spawn { env, ..Spawn::new(argv, root, LONG) }).exit == Exit::Code(0)
}

fn all(succeeded: Vec<Option<bool>>) {
    assert!(succeeded.into_iter().all(|one| one == Some(true)));
}

fn time(run: impl FnOnce()) -> Duration {
    let started = Instant::now();
    run();
    started.elapsed()
}

fn git(repo: &Path, args: &[&str]) {
    let status = Command::new("git").arg("-C").arg(repo).args(args).stdout(Stdio::null()).status().expect("git runs");
    assert!(status.success(), "{args:?}");
}
