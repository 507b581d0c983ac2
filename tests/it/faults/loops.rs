//! Loops at the same time, and loops that are stopped or paused.
//!
//! Nothing waits for time to pass: a tool's test command that waits at a gate holds a cycle where the test wants it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use super::*;
use crate::common::{ended, patiently, text};

/// A recorded repository whose tool's test command waits at a gate, as long as that is shut: a pipe in its scratch folder, since it sees
/// nothing else of ours.
struct Gate {
    world: World,
    over: Arc<AtomicBool>,
}

impl Gate {
    fn shut() -> Gate {
        let world = World::empty();
        let wait = "mkfifo go && read -r line < go";
        world.write("fractal.toml", format!("{BOLD}{TOOL}test = [\"sh\", \"-c\", {wait:?}]\n"));
        world.write("greet.sh", GOOD);
        world.commit("greet: the first version");
        world.write("greet.sh", BAD);
        world.commit("greet: look at the name first");
        record(&world);
        Gate { world, over: Arc::default() }
    }

    /// Comes back when the test command has come to the gate.
    fn reached(&self) {
        let tmp = self.world.outside("tmp");
        patiently(move || {
            while pipes(&tmp).is_empty() {
                thread::yield_now();
            }
        });
    }

    /// Whoever comes to the gate from now on may pass.
    fn open(&self) {
        let (tmp, over) = (self.world.outside("tmp"), self.over.clone());
        thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                for pipe in pipes(&tmp) {
                    // Nobody reads yet, or the run is over.
                    let flags = OFlags::WRONLY | OFlags::NONBLOCK;
                    let _ = rustix::fs::open(pipe, flags, Mode::empty()).and_then(|pipe| rustix::io::write(pipe, b"go\n"));
                }
                thread::park_timeout(Duration::from_millis(1));
            }
        });
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

/// The pipes of all scratch folders.
fn pipes(tmp: &Path) -> Vec<PathBuf> {
    let scratch = fs::read_dir(tmp).into_iter().flatten().flatten();
    scratch.map(|folder| folder.path().join("root/go")).filter(|pipe| pipe.exists()).collect()
}

#[test]
fn a_second_loop_ends_at_once_and_names_the_first() {
    let gate = Gate::shut();
    let first = gate.world.fractal_command().arg("run").spawn().expect("starts");
    gate.reached();
    let pid = format!("process {}", first.id());
    for args in [&["run"][..], &["watch"]] {
        gate.world.fractal(args).refused(3, &["another loop is running", "`fractal run`", &pid, "fractal status"]);
    }
    let status = gate.world.fractal(&["status", "--json"]).json();
    assert_eq!(status["stats"]["holder"]["pid"], first.id());
    gate.open();
    ended(first).ok();
    assert_eq!(stages(&gate.world), ["watching"]);
    assert_eq!(gate.world.left_behind(), Vec::<PathBuf>::new());
}

#[test]
fn a_wish_while_a_loop_runs_is_noted_and_the_next_cycle_acts_on_it() {
    let gate = Gate::shut();
    gate.open();
    gate.world.fractal(&["run"]).ok();
    let id = only(&gate.world);
    let mut watch = gate.world.fractal_command();
    let (watch, output) = until(watch.args(["watch", "--json"]).spawn().expect("starts"), "cycle_ended");
    let noted = gate.world.fractal(&["revert", &id, "--json"]).json();
    assert_eq!(noted["noted"], true);
    terminate(&watch);
    drop(output);
    ended(watch).ok();
    gate.world.fractal(&["run"]).ok();
    assert_eq!(stages(&gate.world), ["reverted"]);
}

/// The child once it has printed a line with `word`, and what is left of its output.
fn until(mut child: Child, word: &'static str) -> (Child, thread::JoinHandle<String>) {
    let mut output = BufReader::new(child.stdout.take().expect("has an output"));
    let output = patiently(move || {
        let mut line = String::new();
        while !line.contains(word) {
            line.clear();
            assert_ne!(output.read_line(&mut line).expect("reads"), 0, "it ended without `{word}`");
        }
        output
    });
    // Somebody has to go on reading.
    let rest = thread::spawn(move || {
        let (mut output, mut rest) = (output, Vec::new());
        output.read_to_end(&mut rest).expect("reads");
        text(&rest)
    });
    (child, rest)
}

#[test]
fn watch_ends_cleanly_when_it_is_told_to_while_it_waits() {
    let world = recorded();
    let mut watch = world.fractal_command();
    let (watch, rest) = until(watch.args(["watch", "--json"]).spawn().expect("starts"), "cycle_ended");
    terminate(&watch);
    let said = ended(watch);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:#?}");
    assert_eq!(rest.join().expect("reads"), "");
    stopped_cleanly(&world);
}

#[test]
fn watch_finishes_the_cycle_it_is_in_when_it_is_told_to_end() {
    let gate = Gate::shut();
    let mut watch = gate.world.fractal_command();
    let watch = watch.args(["watch", "--json"]).spawn().expect("starts");
    gate.reached();
    terminate(&watch);
    gate.open();
    ended(watch).ok();
    stopped_cleanly(&gate.world);
}

fn stopped_cleanly(world: &World) {
    assert_eq!(stages(world), ["watching"]);
    assert_eq!(world.fractal(&["status", "--json"]).json()["stats"]["running"], false);
    assert_eq!(world.left_behind(), Vec::<PathBuf>::new());
    assert_eq!(world.git(&["status", "--porcelain"]), "");
    world.fractal(&["run"]).ok();
}

#[test]
fn while_paused_nothing_outward_is_done_and_afterwards_it_goes_on_where_it_was() {
    let world = recorded();
    world.fractal(&["pause", "lunch"]).ok();
    let outward = || world.git(&["for-each-ref", "refs/heads", "refs/notes"]);
    let before = outward();
    for _ in 0..2 {
        let told = world.fractal(&["run"]).ok();
        assert!(told.contains("paused (lunch); `fractal resume` goes on"), "{told}");
        assert_eq!((stages(&world), outward()), (vec!["accepted".to_string()], before.clone()));
    }
    world.fractal(&["resume"]).ok();
    world.fractal(&["run"]).ok();
    assert_eq!((stages(&world), world.git(&["status", "--porcelain"])), (vec!["watching".to_string()], String::new()));
}
