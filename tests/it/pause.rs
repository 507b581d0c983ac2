//! The kill switch: wherever it is set, and between whichever two steps, the next effect does not happen.

use std::process::Stdio;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde_json::Value;

use crate::remote::with_origin;
use crate::support::{Repository, lines, tell, text, word};

/// Where it can be set while a loop runs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Level {
    Ref,
    File,
    Configuration,
    Remote,
}

fn set(repository: &Repository, level: Level) {
    match level {
        Level::Ref => drop(repository.says(&["pause", "stop"])),
        Level::File => {
            std::fs::create_dir_all(repository.root().join(".fractal")).expect("makes a folder");
            repository.write(".fractal/paused", "stop\n");
        }
        Level::Configuration => {
            repository.configure(&format!("{}\n[engine]\npaused = true\n", repository.read("fractal.toml")));
        }
        Level::Remote => {
            let blob = repository.git(&["--git-dir", "../origin.git", "rev-parse", "main:greet.sh"]);
            repository.git(&["--git-dir", "../origin.git", "update-ref", "refs/fractal/paused", &blob]);
        }
    }
}

/// What others can see: every ref of the remote, or branches and notes where there is none.
fn outward(repository: &Repository) -> Vec<String> {
    let refs = match repository.git(&["remote"]).is_empty() {
        true => repository.git(&["for-each-ref", "refs/heads", "refs/notes"]),
        false => repository.git(&["--git-dir", "../origin.git", "for-each-ref"]),
    };
    lines(&refs).into_iter().filter(|line| !line.ends_with("refs/fractal/paused")).collect()
}

/// Stops a cycle after its first, second, … write, sets a switch, and lets it go on.
fn between_all_steps(ready: &Repository, levels: &[Level], fewest: usize) {
    let (mut steps, mut held_back) = (0, 0);
    for n in 1.. {
        let repository = ready.copy();
        let mut command = repository.hermetic(env!("CARGO_BIN_EXE_fractal"));
        command.args(["run", "--json"]).env("FRACTAL_STOP_AT", n.to_string());
        // A file, because nobody reads a pipe while the cycle stands still.
        let said = std::fs::File::create(repository.beside("said")).expect("makes a file");
        let child = command.stdout(said).stderr(Stdio::piped()).spawn().expect("starts");
        let pid = Pid::from_child(&child);
        let (_, status) = waitpid(Some(pid), WaitOptions::UNTRACED).expect("is a child").expect("changes its state");
        if !status.stopped() {
            assert_eq!(status.exit_status(), Some(0), "{:#?}", child.wait_with_output());
            break;
        }
        let level = levels[n % levels.len()];
        set(&repository, level);
        let before = outward(&repository);
        kill_process(pid, Signal::CONT).expect("is there");
        let done = child.wait_with_output().expect("ends");
        let said = std::fs::read_to_string(repository.beside("said")).expect("reads");
        let errors = text(&done.stderr);
        assert!(done.status.success(), "{errors}");
        let after = errors.lines().find(|line| line.starts_with("here: ")).unwrap_or_default();
        assert_eq!(outward(&repository), before, "paused by {level:?} {after}");
        tell(&format!("{n:4}  {level:?}: {after}"));
        (steps, held_back) = (steps + 1, held_back + usize::from(said.contains("paused")));
    }
    assert!(steps >= fewest && held_back * 3 > steps, "{steps} steps, held back in {held_back}");
}

fn doctor(repository: &Repository) -> String {
    text(&repository.fractal(&["doctor", "--json"]).stdout)
}

#[test]
fn a_switch_set_between_any_two_steps_stops_before_the_next_effect() {
    between_all_steps(&Repository::greeter(), &[Level::Ref, Level::File, Level::Configuration], 14);
}

#[test]
fn a_switch_set_between_any_two_steps_stops_before_the_next_push() {
    let ready = with_origin(Repository::greeter());
    between_all_steps(&ready, &[Level::Remote, Level::Ref, Level::File, Level::Configuration], 14);
}

#[test]
fn every_switch_is_told_by_its_name_and_lifted_where_it_was_set() {
    let repository = with_origin(Repository::greeter());
    let before = outward(&repository);
    let names = || {
        let status: Value = serde_json::from_str(&repository.says(&["status", "--json"])).expect("JSON");
        status["stats"]["pauses"].as_array().expect("a list").iter().map(|pause| word(&pause["level"])).collect::<Vec<_>>()
    };
    assert!(names().is_empty() && doctor(&repository).contains("is not set"));
    // The environment, for a whole cycle.
    let mut run = repository.hermetic(env!("CARGO_BIN_EXE_fractal"));
    let done = run.args(["run"]).env("FRACTAL_PAUSE", "by hand").output().expect("runs");
    let said = text(&done.stdout);
    assert!(said.contains("by hand") && said.contains("FRACTAL_PAUSE"), "{said}");
    assert_eq!((outward(&repository), repository.stage().as_str()), (before.clone(), "accepted"));
    // The ref here and at the remote, and a file.
    repository.says(&["pause", "--remote", "everybody"]);
    set(&repository, Level::File);
    assert_eq!(names(), ["ref", "remote", "file"]);
    assert!(doctor(&repository).contains("fractal resume --remote"));
    assert!(repository.says(&["resume"]).contains("still paused (everybody)"));
    assert!(repository.says(&["resume", "--remote"]).contains("remove the file `.fractal/paused`"));
    repository.run();
    assert_eq!(outward(&repository), before);
    std::fs::remove_file(repository.root().join(".fractal/paused")).expect("removes it");
    assert!(names().is_empty());
    repository.run();
    assert_eq!((repository.stage().as_str(), repository.bot_commits().len()), ("watching", 1));
}

#[test]
fn what_cannot_be_read_counts_as_a_switch_that_is_set() {
    let repository = Repository::greeter();
    let before = outward(&repository);
    repository.git(&["update-ref", "refs/fractal/paused", "HEAD"]);
    let told = repository.run();
    assert!(told.waiting().contains("does not lead to a blob"), "{}", told.waiting());
    assert_eq!((outward(&repository), repository.stage().as_str()), (before, "accepted"));
    repository.says(&["resume"]);
    repository.run();
    assert_eq!(repository.stage(), "watching");
}
