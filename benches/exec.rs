//! What `fractal exec` adds to a run: time beside running the program directly, and memory whatever the program prints.
//!
//! `cargo bench --bench exec -- [RUNS]` (300 when not given). Direct and recorded runs alternate.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const FRACTAL: &str = env!("CARGO_BIN_EXE_fractal");
const CONFIG: &str = r#"
[deploy]
rollout = { canary = [50, 100] }

[[tool]]
name = "true"
paths = ["tool.sh"]
run = ["true"]
effects = "none"

[[tool]]
name = "script"
paths = ["tool.sh"]
run = ["sh", "tool.sh"]
effects = "none"

[[tool]]
name = "gibibyte"
paths = ["tool.sh"]
run = ["sh", "-c", "yes 'a line of text like many others' | head -c 1073741824"]

[[tool]]
name = "line"
paths = ["tool.sh"]
run = ["sh", "-c", "head -c 209715200 /dev/zero | tr '\\0' x"]
"#;

fn main() {
    let runs = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(300);
    let folder = tempfile::tempdir().expect("a folder");
    let repo = folder.path();
    std::fs::write(repo.join("fractal.toml"), CONFIG).expect("writes");
    std::fs::write(repo.join("tool.sh"), "true\n").expect("writes");
    git(repo, &["init", "-q", "-b", "main"]);
    git(repo, &["add", "."]);
    git(repo, &["-c", "user.name=A", "-c", "user.email=a@example.com", "commit", "-q", "-m", "tools"]);
    println!("{runs} pairs of `true` and `fractal exec true`; repeat with: cargo bench --bench exec -- {runs}\n");
    let record = repo.join(".git/fractal/shadow/true").join(format!("{0}-{0}.jsonl", "0".repeat(32)));
    std::fs::create_dir_all(record.parent().expect("a folder")).expect("makes a folder");
    let share = rolled_out(repo);
    let mut times: [Vec<Duration>; 5] = Default::default();
    for _ in 0..runs + 10 {
        times[0].push(time(&mut Command::new("true"), repo));
        times[1].push(time(Command::new(FRACTAL).args(["exec", "true"]), repo));
        // As while a proposal waits: a process is left behind, which finds out that none does.
        std::fs::write(&record, "").expect("writes");
        times[2].push(time(Command::new(FRACTAL).args(["exec", "true"]), repo));
        std::fs::remove_file(&record).expect("removes");
        // As while half of the runs get a proposal.
        times[3].push(time(Command::new(FRACTAL).args(["exec", "script"]), repo));
        std::fs::write(&share.0, &share.1).expect("writes");
        times[4].push(time(Command::new(FRACTAL).args(["exec", "script"]), repo));
        std::fs::remove_file(&share.0).expect("removes");
        std::thread::sleep(Duration::from_millis(30));
    }
    let [direct, recorded, beside, script, canary] = times.map(|mut times| {
        // The first ones also read the programs from disk and make the store.
        times.drain(..10);
        times.sort();
        times
    });
    println!("              median      p99");
    for (name, times) in
        [("true", &direct), ("fractal exec", &recorded), ("a proposal", &beside), ("a script", &script), ("its canary", &canary)]
    {
        println!("{name:12} {:5.2} ms {:5.2} ms", at(times, 50), at(times, 99));
    }
    println!(
        "{:12} {:5.2} ms {:5.2} ms\n",
        "difference",
        at(&recorded, 50) - at(&direct, 50),
        at(&recorded, 99) - at(&direct, 99)
    );
    for (tool, what) in [("true", "nothing"), ("gibibyte", "1 GiB in lines"), ("line", "200 MiB without a line end")] {
        println!("peak memory of the recorder of a tool that prints {what}: {:.1} MiB", peak(tool, repo));
    }
}

/// The file that says that half of the runs of `script` get another version, which is there, and what it says.
fn rolled_out(repo: &Path) -> (PathBuf, String) {
    let said = |program: &str, args: &[&str]| {
        let done = Command::new(program).args(args).current_dir(repo).output().expect("runs");
        assert!(done.status.success(), "{program} {args:?}: {done:?}");
        String::from_utf8(done.stdout).expect("text").trim().to_string()
    };
    git(repo, &["checkout", "-q", "-b", "proposal"]);
    std::fs::write(repo.join("tool.sh"), "true # 2\n").expect("writes");
    git(repo, &["-c", "user.name=A", "-c", "user.email=a@example.com", "commit", "-q", "-a", "-m", "proposal"]);
    git(repo, &["checkout", "-q", "main"]);
    said(FRACTAL, &["pin", "script", "proposal"]);
    said(FRACTAL, &["pin", "script", "--off"]);
    let version = |commit: &str| {
        let listing = format!("git ls-tree -r -z --full-tree {commit} tool.sh | git hash-object --stdin");
        said("sh", &["-c", &listing])
    };
    let share = serde_json::json!({
        "tool": "script", "id": "0".repeat(32), "base": said("git", &["rev-parse", "main"]), "old": version("main"),
        "commit": said("git", &["rev-parse", "proposal"]), "version": version("proposal"), "percent": 50, "sticky": "none",
        "incident": [], "until": "2100-01-01T00:00:00Z",
    });
    let folder = repo.join(".git/fractal/rollout/script");
    std::fs::create_dir_all(&folder).expect("makes a folder");
    (folder.join("arm.json"), share.to_string())
}

fn git(repo: &Path, args: &[&str]) {
    assert!(Command::new("git").args(args).current_dir(repo).status().expect("git runs").success(), "git {args:?}");
}

fn time(command: &mut Command, repo: &Path) -> Duration {
    command.current_dir(repo).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
    let started = Instant::now();
    assert!(command.status().expect("runs").success());
    started.elapsed()
}

/// The percentile of sorted times, in milliseconds.
fn at(times: &[Duration], percentile: usize) -> f64 {
    times[(times.len() * percentile / 100).min(times.len() - 1)].as_secs_f64() * 1e3
}

/// The most memory that the recorder had at any time, in MiB, as the kernel tells while it still runs: the highest of what is seen.
fn peak(tool: &str, repo: &Path) -> f64 {
    let mut command = Command::new(FRACTAL);
    command.args(["exec", tool]).current_dir(repo).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
    let mut child = command.spawn().expect("starts");
    let status = format!("/proc/{}/status", child.id());
    let mut highest = 0;
    while child.try_wait().expect("is a child").is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        highest = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0).max(highest);
        std::thread::sleep(Duration::from_micros(200));
    }
    highest as f64 / 1024.0
}
