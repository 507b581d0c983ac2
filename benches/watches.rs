//! What a cycle costs while many improvements are watched: landed, and not yet judged.
//!
//! `cargo bench --bench watches -- [WATCHES…]` (100 and 1000 when not given).

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod common;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fractal::Loop;
use fractal::engine::{History, Stage};
use fractal::model::{
    Action, ActionKind, AttemptSummary, CaptureLevel, CommitId, Conclusion, Counts, Event, ExecutionId, Exit, Failure,
    ImprovementId, Investigation, Judgement, Level, Made, NewExecution, Opportunity, Patch, Priority, Record, Signal, Trust,
    Verdict, Version,
};
use fractal::world::clock::Clock;
use fractal::world::git::{Identity, Repo};
use fractal::world::store::{SqliteStore, Store};

/// Commits before the first improvement, and runs of each tool before and after its own.
const HISTORY: usize = 5_000;
const BEFORE: u64 = 60;
const AFTER: u64 = 3;
const TIMES: usize = 11;
const NEWS: usize = 50;

fn main() {
    let asked: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let watches = if asked.is_empty() { vec![100, 1_000] } else { asked };
    let list: Vec<String> = watches.iter().map(usize::to_string).collect();
    println!("median of {TIMES} cycles; repeat with: cargo bench --bench watches -- {}\n", list.join(" "));
    for watches in watches {
        measure(watches);
    }
}

fn measure(watches: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("repo");
    make_repository(&root, watches);
    let repo = Repo::open(&root).expect("opens");
    let mut store = SqliteStore::open(&root.join(".git/fractal/executions.db")).expect("opens");
    let commits = commits(&root, watches);
    let versions: Vec<(Version, Version)> = (0..watches)
        .map(|tool| {
            let at = |commit: &CommitId| repo.version_at(commit, &[path(tool)]).expect("reads").expect("is there");
            (at(&commits[tool]), at(&commits[tool + 1]))
        })
        .collect();
    for (tool, (before, after)) in versions.iter().enumerate() {
        let runs =
            (0..BEFORE).map(|number| run(tool, before, number)).chain((0..AFTER).map(|number| run(tool, after, BEFORE + number)));
        store.record_all(&runs.collect::<Vec<_>>()).expect("stores");
    }
    write_log(&repo, &commits, &versions);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let clock = Clock::Fixed(std::sync::Arc::new(std::sync::atomic::AtomicI64::new(common::now().as_millisecond())));
    let cycle = || {
        let engine = Loop::builder(&root).clock(clock.clone()).build().expect("builds");
        let started = Instant::now();
        let report = runtime.block_on(engine.run_cycle()).expect("runs");
        (started.elapsed(), report.actions)
    };
    let (first, _) = cycle();
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1e3
    };
    let quiet = median((0..TIMES).map(|_| cycle().0).collect());
    let busy = median(
        (0..TIMES)
            .map(|round| {
                let number = BEFORE + AFTER + round as u64;
                let news: Vec<_> = (0..NEWS.min(watches)).map(|tool| run(tool, &versions[tool].1, number)).collect();
                store.record_all(&news).expect("stores");
                cycle().0
            })
            .collect(),
    );
    let history = History::open(&root, clock.clone()).expect("reads");
    let open = history.improvements().iter().filter(|improvement| improvement.stage == Stage::Watching).count();
    assert_eq!(open, watches, "all are still watched");
    println!(
        "{watches} watches, {} commits: first cycle {:.1} ms, no news {quiet:.1} ms, news of {} tools {busy:.1} ms",
        HISTORY + watches + 1,
        first.as_secs_f64() * 1e3,
        NEWS.min(watches)
    );
}

fn path(tool: usize) -> String {
    format!("tools/t{tool}.py")
}

fn name(tool: usize) -> String {
    format!("tool-{tool:04}")
}

/// A tool each, a history of other commits, and then a commit that changes one tool after the other.
fn make_repository(root: &Path, watches: usize) {
    let mut config = String::from("[detect]\nrecent_failures = 1000000000\nthreshold = 0.01\nhigh_below = 0.01\n");
    for tool in 0..watches {
        let (name, path) = (name(tool), path(tool));
        let _ = write!(
            config,
            "[[tool]]\nname = \"{name}\"\npaths = [\"{path}\"]\nrun = [\"python3\", \"{path}\"]\neffects = \"none\"\n"
        );
    }
    let mut stream = String::new();
    let mut mark = 0;
    let mut commit = |files: &[(String, String)]| {
        let from = if mark == 0 { String::new() } else { format!("from :{mark}\n") };
        mark += 1;
        let at = 1_780_000_000 + mark;
        let _ =
            write!(stream, "commit refs/heads/main\nmark :{mark}\ncommitter A <a@localhost> {at} +0000\ndata 6\nchange\n{from}");
        for (path, text) in files {
            let _ = write!(stream, "M 100644 inline {path}\ndata {}\n{text}\n", text.len());
        }
    };
    let mut first = vec![("fractal.toml".to_string(), config)];
    first.extend((0..watches).map(|tool| (path(tool), format!("# tool {tool}\n"))));
    commit(&first);
    for number in 0..HISTORY {
        commit(&[("notes.txt".into(), format!("{number}\n"))]);
    }
    for tool in 0..watches {
        commit(&[(path(tool), format!("# tool {tool}, better\n"))]);
    }
    std::fs::create_dir_all(root).expect("makes a folder");
    git(root, &["init", "-q", "-b", "main"]);
    let mut import = Command::new("git");
    import.current_dir(root).args(["fast-import", "--quiet"]).stdin(Stdio::piped());
    let mut import = import.spawn().expect("git runs");
    import.stdin.take().expect("is piped").write_all(stream.as_bytes()).expect("is read");
    assert!(import.wait().expect("ends").success());
    git(root, &["reset", "-q", "--hard"]);
}

fn git(root: &Path, args: &[&str]) -> String {
    let done = Command::new("git").current_dir(root).args(args).output().expect("git runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("UTF-8")
}

/// The base before the first improvement, and each of them.
fn commits(root: &Path, watches: usize) -> Vec<CommitId> {
    let listed = git(root, &["rev-list", "--reverse", &format!("--max-count={}", watches + 1), "main"]);
    listed.lines().map(|line| CommitId(line.into())).collect()
}

/// Of runs before the improvement two in three fail; of those after it none.
fn run(tool: usize, version: &Version, number: u64) -> NewExecution {
    let fleet = common::Fleet { tools: 1, runs: BEFORE + 1_000, capture: CaptureLevel::Digest };
    let mut new = fleet.run(number);
    let execution = &mut new.execution;
    let (landed, minute) = (common::now() - Duration::from_secs(7200), Duration::from_secs(60));
    let ended =
        if number < BEFORE { landed - minute * (BEFORE - number) as u32 } else { landed + minute * (number - BEFORE + 1) as u32 };
    execution.id = ExecutionId::derived(ended, &[&tool.to_le_bytes(), &number.to_le_bytes()]);
    execution.at = ended - execution.duration;
    (execution.tool, execution.version) = (name(tool), version.clone());
    let failed = number < BEFORE && !number.is_multiple_of(3);
    execution.exit = Exit::Code(i32::from(failed));
    execution.outcome = if failed { fractal::model::Outcome::Failure } else { fractal::model::Outcome::Success };
    execution.failure = failed.then(failure);
    execution.stdout = None;
    new
}

fn failure() -> Failure {
    Failure::new(&Exit::Code(1), Some("KeyError".into()), "", Vec::new())
}

/// What the log of the loop would say: each was detected, investigated, accepted, proposed and landed.
fn write_log(repo: &Repo, commits: &[CommitId], versions: &[(Version, Version)]) {
    let by = Identity { name: "Fractal".into(), email: "fractal@localhost".into() };
    let at = common::now() - Duration::from_secs(7200);
    for (tool, (version, _)) in versions.iter().enumerate() {
        let id = ImprovementId(blake3::hash(name(tool).as_bytes()).to_hex()[..32].to_string());
        let (before, commit) = (&commits[tool], &commits[tool + 1]);
        let opportunity = opportunity(&id, tool, version);
        let investigation = Investigation {
            commit: before.clone(),
            failure: failure(),
            reproductions: Vec::new(),
            locations: Vec::new(),
            culprit: None,
            suite: None,
            remarks: Vec::new(),
            others: Vec::new(),
            conclusion: Conclusion::Improvable,
        };
        let attempt = AttemptSummary {
            patch: Patch::write(path(tool), b"better".to_vec()).id(),
            strategy: "template".into(),
            source: "bench".into(),
            title: "better".into(),
            trust: Trust::Land,
            diff: String::new(),
            tried: 1,
            cost: None,
            prose: None,
            beside: Vec::new(),
            parts: Vec::new(),
        };
        let verdict = Verdict {
            judgement: Judgement::Accepted,
            level: Level::Land,
            doubts: Vec::new(),
            plan: String::new(),
            checks: Vec::new(),
        };
        let branch = format!("fractal/{}/{}", name(tool), id.short());
        let put = Action::new(ActionKind::PutBranch { branch, expect: None, commit: commit.clone() });
        let land = Action::new(ActionKind::Land { base: "main".into(), expect: before.clone(), commit: commit.clone() });
        let mut events =
            vec![Event::Detected { opportunity }, Event::Investigated { investigation }, Event::Judged { attempt, verdict }];
        for action in [put, land] {
            let key = action.key.clone();
            events.extend([Event::Intended { action }, Event::Done { key, made: Made::AsSaid }]);
        }
        let records: Vec<Record> = events.into_iter().map(|event| Record { at, event }).collect();
        repo.append_log(&id, 0, &records, &by, at).expect("writes");
    }
}

fn opportunity(id: &ImprovementId, tool: usize, version: &Version) -> Opportunity {
    Opportunity {
        id: id.clone(),
        tool: name(tool),
        version: version.clone(),
        counts: Counts { runs: BEFORE, failures: BEFORE * 2 / 3 },
        failure: failure(),
        failures: BEFORE * 2 / 3,
        distinct_inputs: 2,
        signals: vec![Signal::LowSuccess { rate: 0.33, threshold: 0.7 }],
        priority: Priority::High,
        score: 1.0,
        last_seen: common::now(),
        each: Vec::new(),
    }
}
