//! Several loops on one remote: real processes in clones of their own, some of them killed. All work is done, once.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use fractal::model::{ActionKey, Approver, Event, ImprovementId, Observation, Record};
use fractal::world::git::{Identity, LOG_REF, Repo};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{MOMENTS, Repository, lines, tell, word};

const LOOPS: usize = 4;
const TOOLS: [&str; 5] = ["ash", "birch", "cedar", "elm", "fir"];
/// For all of the work of all loops, on a machine that has other things to do.
const DEADLINE: Duration = Duration::from_secs(540);

/// A repository in which all tools fail, and its remote.
fn failing() -> Repository {
    let config = format!(
        "{MOMENTS}[engine]\ninterval = \"1s\"\nlease = \"6s\"\nclock_skew = \"1s\"\n\n\
         [deploy]\nland_reverts = true\nremote = \"origin\"\n\n"
    );
    let repository = Repository::greeting(&TOOLS, &config);
    repository.git(&["init", "--quiet", "--bare", "--initial-branch=main", "../origin.git"]);
    repository.git(&["remote", "add", "origin", "../origin.git"]);
    repository.git(&["push", "--quiet", "origin", "main"]);
    repository
}

/// A running loop; it ends with the value.
struct Running {
    child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The clone of a loop: the repository itself, or a copy of it beside.
fn clone_of(repository: &Repository, number: usize) -> PathBuf {
    let path = if number == 0 { repository.root() } else { repository.beside(&format!("clone{number}")) };
    if number > 0 {
        let copied = Command::new("cp").arg("-a").arg(repository.root()).arg(&path).status();
        assert!(copied.expect("cp runs").success());
    }
    path
}

/// Starts a loop that tells what happens in it.
fn start(repository: &Repository, folder: &PathBuf, number: usize, told: &Sender<(usize, Value)>) -> Running {
    let mut command = repository.hermetic(env!("CARGO_BIN_EXE_fractal"));
    command.args(["watch", "--json"]).current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    let (output, told) = (child.stdout.take().expect("has an output"), told.clone());
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = told.send((number, serde_json::from_str(&line).expect("JSON")));
        }
    });
    let errors = child.stderr.take().expect("has errors");
    std::thread::spawn(move || {
        for line in BufReader::new(errors).lines().map_while(Result::ok) {
            tell(&format!("loop {number}: {line}"));
        }
    });
    Running { child }
}

/// What the log at the remote says, by tool: every record of every improvement.
fn published(repository: &Repository) -> BTreeMap<String, Vec<Value>> {
    let at = |arguments: &[&str]| repository.git(&[&["--git-dir", "../origin.git"], arguments].concat());
    let listed = repository.try_git(&["--git-dir", "../origin.git", "ls-tree", "-r", "--name-only", LOG_REF, "improvements"]);
    let mut all = BTreeMap::new();
    for file in lines(&String::from_utf8_lossy(&listed.stdout)) {
        let records: Vec<Value> = lines(&at(&["show", &format!("{LOG_REF}:{file}")]))
            .iter()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        let tool = word(&records[0]["opportunity"]["tool"]);
        assert!(all.insert(tool.clone(), records).is_none(), "two improvements of {tool}");
    }
    all
}

fn is_landed(records: &[Value]) -> bool {
    let lands = records.iter().filter(|record| record["event"] == "intended" && record["action"]["action"] == "land");
    let keys: BTreeSet<String> = lands.map(|land| word(&land["action"]["key"])).collect();
    records.iter().any(|record| record["event"] == "done" && keys.contains(record["key"].as_str().unwrap_or_default()))
}

/// Waits for something that a loop tells.
fn until(
    told: &Receiver<(usize, Value)>,
    seen: &mut Vec<(usize, Value)>,
    since: Instant,
    mut enough: impl FnMut(usize, &Value) -> bool,
) -> usize {
    loop {
        let left = DEADLINE.saturating_sub(since.elapsed());
        match told.recv_timeout(left) {
            Ok((number, event)) => {
                let is_enough = enough(number, &event);
                seen.push((number, event));
                if is_enough {
                    return number;
                }
            }
            Err(RecvTimeoutError::Timeout) => panic!("not within {DEADLINE:?}: {seen:#?}"),
            Err(RecvTimeoutError::Disconnected) => panic!("all loops ended: {seen:#?}"),
        }
    }
}

#[test]
fn four_loops_on_one_remote_of_which_two_are_killed_do_all_work_once() {
    let repository = failing();
    let since = Instant::now();
    let (sender, told) = mpsc::channel();
    let folders: Vec<PathBuf> = (0..LOOPS).map(|number| clone_of(&repository, number)).collect();
    let mut running: BTreeMap<usize, Running> =
        folders.iter().enumerate().map(|(number, folder)| (number, start(&repository, folder, number, &sender))).collect();
    drop(sender);
    let mut seen = Vec::new();
    // In the middle: one while it looks into a failure that it has claimed, one right after it did something that others see.
    for middle in ["investigating", "action"] {
        let victim = until(&told, &mut seen, since, |number, event| event["event"] == middle && running.contains_key(&number));
        drop(running.remove(&victim));
    }
    until(&told, &mut seen, since, |_, event| {
        event["event"] == "cycle_ended" && {
            let all = published(&repository);
            all.len() == TOOLS.len() && all.values().all(|records| is_landed(records))
        }
    });
    for one in running.values_mut() {
        kill_process(Pid::from_child(&one.child), Signal::TERM).expect("is there");
    }
    for one in running.values_mut() {
        assert!(one.child.wait().expect("is a child").success());
    }
    tell(&format!("four loops, two killed, {} improvements landed in {:.0?}", TOOLS.len(), since.elapsed()));
    assert_all_was_done_once(&repository);
    let went_on = running.keys().next().expect("two are left");
    // It may not have met the others since the last of them landed something.
    let mut once_more = repository.hermetic(env!("CARGO_BIN_EXE_fractal"));
    assert!(once_more.arg("run").current_dir(&folders[*went_on]).output().expect("runs").status.success());
    assert_what_a_loop_knows_is_what_is_published(&repository, &folders[*went_on]);
}

fn assert_all_was_done_once(repository: &Repository) {
    let at = |arguments: &[&str]| repository.git(&[&["--git-dir", "../origin.git"], arguments].concat());
    // One commit and one branch for each improvement, nothing else of ours.
    let landed =
        lines(&at(&["log", "--format=%(trailers:key=Fractal-Tool,valueonly,separator=%x2C)", "--author=Fractal", "main"]));
    let mut tools: Vec<&str> = landed.iter().map(|tool| tool.trim()).collect();
    tools.sort_unstable();
    assert_eq!(tools, TOOLS);
    let branches = lines(&at(&["for-each-ref", "--format=%(refname)", "refs/heads/fractal/"]));
    assert_eq!(branches.len(), TOOLS.len(), "{branches:?}");
    assert_eq!(at(&["for-each-ref", "refs/fractal/claims/"]), "", "every claim was given back");
    for (tool, records) in published(repository) {
        let count = |event: &str| records.iter().filter(|record| record["event"] == event).count();
        assert_eq!(count("detected"), 1, "{tool}");
        let done: Vec<&Value> = records.iter().filter(|record| record["event"] == "done").collect();
        let keys: BTreeSet<String> = done.iter().map(|done| word(&done["key"])).collect();
        assert_eq!(keys.len(), done.len(), "{tool}: something was done twice: {done:#?}");
        let lands: Vec<&Value> =
            records.iter().filter(|record| record["event"] == "intended" && record["action"]["action"] == "land").collect();
        let landed = lands.iter().filter(|land| keys.contains(land["action"]["key"].as_str().unwrap_or_default())).count();
        assert_eq!(landed, 1, "{tool} landed once");
        // Whatever was done was intended before, in the same file.
        for key in &keys {
            let intended =
                records.iter().position(|record| record["event"] == "intended" && record["action"]["key"] == *key.as_str());
            let done = records.iter().position(|record| record["event"] == "done" && record["key"] == *key.as_str());
            assert!(intended.is_some() && intended < done, "{tool}: {key}");
        }
        // And it is on the base.
        let commit = word(&lands.last().expect("one")["action"]["commit"]);
        assert!(
            repository.try_git(&["--git-dir", "../origin.git", "merge-base", "--is-ancestor", &commit, "main"]).status.success()
        );
    }
}

fn assert_what_a_loop_knows_is_what_is_published(repository: &Repository, folder: &PathBuf) {
    let tree = |arguments: &[&str]| {
        let done = repository.hermetic("git").args(arguments).current_dir(folder).output().expect("git runs");
        String::from_utf8_lossy(&done.stdout).trim().to_string()
    };
    assert_eq!(tree(&["rev-parse", "main"]), tree(&["--git-dir", "../origin.git", "rev-parse", "main"]));
    assert_eq!(
        tree(&["rev-parse", &format!("{LOG_REF}^{{tree}}")]),
        tree(&["--git-dir", "../origin.git", "rev-parse", &format!("{LOG_REF}^{{tree}}")])
    );
    assert_eq!(tree(&["status", "--porcelain"]), "");
}

// ---- two logs ----

fn by() -> Identity {
    Identity { name: "Fractal".into(), email: "fractal@localhost".into() }
}

fn record(event: Event) -> Record {
    Record { at: jiff::Timestamp::now(), event }
}

#[test]
fn two_logs_become_one_and_no_record_is_lost() {
    let repository = Repository::greeter();
    let (here, other) = (repository.root(), clone_of(&repository, 1));
    let (here, other) = (Repo::open(&here).expect("opens"), Repo::open(&other).expect("opens"));
    let (both, mine, theirs) = (ImprovementId("b".repeat(32)), ImprovementId("a".repeat(32)), ImprovementId("c".repeat(32)));
    let started = |key: &str| record(Event::Started { key: ActionKey(key.into()) });
    let wish = record(Event::Observed { what: Observation::Approved { by: "Ana".into() } });
    let append = |repo: &Repo, id: &ImprovementId, known: usize, records: &[Record]| {
        repo.append_log(id, known, records, &by(), jiff::Timestamp::now()).expect("appends");
    };
    // Each has one of its own, and both went on with the third, which only one may.
    append(&here, &mine, 0, &[started("mine")]);
    append(&here, &both, 0, &[started("late"), wish.clone()]);
    append(&other, &theirs, 0, &[started("theirs")]);
    append(
        &other,
        &both,
        0,
        &[started("first"), record(Event::Approved { key: ActionKey("first".into()), by: Approver::Person("Bo".into()) })],
    );
    let ours = here.log_tip().expect("reads").expect("is there");
    repository.git(&["fetch", "--quiet", "../clone1", "refs/fractal/log:refs/fractal/there/fractal/log"]);
    let published = here.seen_at(LOG_REF).expect("was fetched");
    let joined = here.join_log(&published, &by(), jiff::Timestamp::now()).expect("joins");
    assert_eq!((joined.changed, joined.late), ([both.clone(), theirs.clone()].into(), [both.clone()].into()));
    let log = here.read_log().expect("reads");
    let names = |id: &ImprovementId| log[id].iter().map(|record| record.event.name()).collect::<Vec<_>>();
    assert_eq!((names(&mine), names(&theirs)), (vec!["started"], vec!["started"]));
    assert_eq!(names(&both), ["started", "approved", "observed"], "the published records, then the person's wish");
    // What came too late is in history, and the published log is continued, not replaced.
    for before in [&ours, &published] {
        assert!(here.contains(&here.log_tip().expect("reads").expect("is there"), before).expect("reads"));
    }
    let again = here.join_log(&published, &by(), jiff::Timestamp::now()).expect("joins");
    assert!(again.changed.is_empty() && again.late.is_empty());
}

#[test]
fn a_tool_that_was_never_served_comes_before_one_that_was() {
    let config = format!("{MOMENTS}[engine]\nopportunities_per_cycle = 1\n\n[deploy]\nland_reverts = true\n\n");
    let repository = Repository::greeting(&["ash", "birch"], &config);
    let taken = || repository.run().of("detected").map(|told| word(&told["tool"])).collect::<Vec<_>>();
    let first = taken();
    assert_eq!(first.len(), 1);
    // Its repair is kept, and it fails again on another version, more recently than the one that waits.
    for who in ["ann", "bob", "eve", "joe", "sue"] {
        assert_eq!(repository.exec(&first[0], &[who]), 0);
    }
    repository.write(&format!("{}.sh", first[0]), "case \"$1\" in crash*) echo bang >&2; exit 4;; esac\necho \"hello $1\"\n");
    repository.commit("another mistake");
    for who in ["crash1", "crash2", "crash3", "ann", "bob", "eve"] {
        repository.exec(&first[0], &[who]);
    }
    let (second, third) = (taken(), taken());
    assert_eq!((second.len(), &third), (1, &first), "{second:?}");
    assert_ne!(second, first);
}
