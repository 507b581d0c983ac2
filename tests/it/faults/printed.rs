//! What is printed and where it goes, and what must never be written anywhere.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use super::*;
use crate::common::{ended, patiently, text};

// ---- What is printed, and where it goes ----

#[test]
fn a_reader_that_is_gone_is_no_error_and_stops_no_cycle() {
    let world = recorded();
    let without_reader = |args: &[&str]| {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let said = world.run(world.fractal_command().args(args).stdout(Stdio::from(writer)));
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{args:?}: {said:#?}");
    };
    without_reader(&["run"]);
    assert_eq!(stages(&world), ["watching"], "the cycle went on to its end");
    assert_eq!(world.left_behind(), Vec::<PathBuf>::new());
    let id = only(&world);
    for args in
        [&["log"][..], &["log", "--json"], &["show", &id], &["status"], &["tools"], &["config", "--reference"], &["--help"]]
    {
        without_reader(args);
    }
    let mut shell = world.command("sh");
    shell.args(["-c", "\"$F\" log | head -0"]).env("F", env!("CARGO_BIN_EXE_fractal"));
    assert_eq!(world.run(&mut shell).err, "");
}

#[test]
fn output_that_could_not_be_written_is_no_success() {
    let world = recorded();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("is there");
    let said = world.run(world.fractal_command().arg("status").stdout(full));
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.err.contains("No space left"), "{said:#?}");
}

/// What a command prints on a terminal, on both of its outputs.
fn on_a_terminal(world: &World, args: &[&str], no_color: bool) -> String {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("is ours");
    let name = ptsname(&ours, Vec::new()).expect("has a name");
    let theirs = fs::OpenOptions::new().read(true).write(true).open(OsStr::from_bytes(name.as_bytes())).expect("opens");
    let mut command = world.fractal_command();
    command.args(args).stdout(theirs.try_clone().expect("a copy")).stderr(theirs).env("TERM", "xterm-256color");
    if no_color {
        command.env("NO_COLOR", "1");
    }
    let child = command.spawn().expect("starts");
    drop(command);
    let said = patiently(move || {
        let (mut ours, mut said, mut part) = (fs::File::from(ours), Vec::new(), [0; 4096]);
        // A terminal says EIO when its last user has gone.
        while let Ok(length @ 1..) = ours.read(&mut part) {
            said.extend_from_slice(&part[..length]);
        }
        text(&said)
    });
    ended(child);
    said
}

#[test]
fn escape_codes_are_only_for_terminals_and_not_for_those_that_want_no_colour() {
    let world = landed();
    let id = only(&world);
    for args in [&["show", id.as_str()][..], &["status"], &["nonsense"], &["show", "zzzz"]] {
        assert!(on_a_terminal(&world, args, false).contains('\u{1b}'), "{args:?} has colours on a terminal");
        assert!(!on_a_terminal(&world, args, true).contains('\u{1b}'), "{args:?} has none with NO_COLOR");
        let said = world.fractal(args);
        assert!(!format!("{}{}", said.out, said.err).contains('\u{1b}'), "{args:?} has none elsewhere: {said:#?}");
    }
    let help = world.fractal(&["--help"]).ok();
    assert!(!help.contains('\u{1b}'), "{help}");
}

#[test]
fn an_error_that_watch_logs_has_no_escape_codes_in_a_file() {
    let world = recorded();
    world.git(&["update-ref", LOG, "main"]);
    let mut child = world.fractal_command().arg("watch").spawn().expect("starts");
    let mut errors = BufReader::new(child.stderr.take().expect("has an output"));
    let line = patiently(move || {
        let mut line = String::new();
        errors.read_line(&mut line).expect("reads");
        line
    });
    terminate(&child);
    assert_eq!(ended(child).code, Some(0));
    assert!(line.contains("the cycle failed") && line.contains("has no `format` file"), "{line}");
    assert!(!line.contains('\u{1b}'), "{line:?}");
}

#[test]
fn every_json_output_can_be_read_by_a_program() {
    let world = recorded();
    assert!(world.fractal(&["run", "--dry-run", "--json"]).json_lines().iter().all(|line| line["event"].is_string()));
    let told = world.fractal(&["run", "--json"]).json_lines();
    assert_eq!(told.last().map(|line| &line["event"]), Some(&"cycle_ended".into()));
    assert_eq!(improvements(&world).len(), 1);
    let id = only(&world);
    assert_eq!(world.fractal(&["show", &id, "--json"]).json()["summary"]["id"], id.as_str());
    assert_eq!(world.fractal(&["status", "--json"]).json()["stats"]["improvements_deployed"], 1);
    assert_eq!(world.fractal(&["tools", "--json"]).json()["tools"][0]["name"], "greet");
    assert_eq!(world.fractal(&["config", "--json"]).json()["profile"], "development");
    assert_eq!(world.fractal(&["config", "--check", "--json"]).json()["deploy"]["land_reverts"], true);
    assert!(world.fractal(&["config", "--schema", "--json"]).json()["properties"].is_object());
    let execution = executions(&world)[5].clone();
    assert_eq!(world.fractal(&["mark", &execution, "--bad", "--json"]).json()["marked"], "bad");
    assert_eq!(world.fractal(&["pause", "lunch", "--json"]).json()["paused"], true);
    assert_eq!(world.fractal(&["status", "--json"]).json()["stats"]["paused"], "lunch");
    assert_eq!(world.fractal(&["resume", "--json"]).json()["paused"], false);
    world.fractal(&["revert", &id, "--json"]).json_lines();
    assert_eq!(stages(&world), ["reverted"]);
}

// ---- Secrets ----

#[test]
fn secrets_reach_neither_the_store_nor_anything_in_git() {
    let world = World::empty();
    world.write("fractal.toml", format!("{BOLD}[record]\nlimit_kib = 1\n{TOOL}"));
    world.write("greet.sh", "#!/bin/sh\ncat > /dev/null; echo \"hello $*\"\n");
    world.commit("greet: the first version");
    world.write("greet.sh", "#!/bin/sh\ncat >&2\necho \"cannot log in with ${GREET_PASSWORD-$2}\" >&2; exit 3\n");
    world.commit("greet: log in first");
    let token = format!("ghp_{}", "a1B2".repeat(9));
    let password = "correct-horse-battery";
    for (at, padding) in [0_usize, 490, 980, 1000].into_iter().enumerate() {
        fs::write(world.outside("input"), format!("{} {token} and\n{}", "x".repeat(padding), "y\n".repeat(700))).expect("writes");
        let input = fs::File::open(world.outside("input")).expect("opens");
        let mut command = world.fractal_command();
        command.args(["exec", "greet", "--", "--password", password, &format!("user{at}")]).stdin(input);
        let said = world.run(&mut command);
        assert!(said.err.contains(&token) && said.err.contains(password), "the caller sees everything: {said:#?}");
        assert!(!said.err.contains("was not recorded"), "{said:#?}");
    }
    for (at, name) in NAMES.into_iter().enumerate() {
        // Given in the environment: a run of whose input something was taken out is not repeated, and would not be looked into.
        let mut command = world.fractal_command();
        command.args(["exec", "greet", "--", &format!("{name}{at}")]).env("GREET_PASSWORD", password);
        let said = world.run(&mut command);
        assert_eq!((said.code, said.err.contains(password)), (Some(3), true));
    }
    world.fractal(&["run", "--verbose"]).ok();
    world.fractal(&["approve", &only(&world)]).ok();
    assert_eq!(stages(&world), ["watching"]);
    assert_eq!(runs_recorded(&world), 10);
    let mut everything: Vec<(String, Vec<u8>)> =
        world.snapshot().into_iter().map(|(path, bytes)| (path.display().to_string(), bytes)).collect();
    let objects = world.git(&["cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)"]);
    for line in objects.lines() {
        let (id, kind) = line.split_once(' ').expect("an id and a type");
        everything.push((line.to_string(), world.git(&["cat-file", kind, id]).into_bytes()));
    }
    assert!(everything.iter().any(|(_, bytes)| text(bytes).contains("[redacted]")), "something was taken out");
    for (name, bytes) in &everything {
        let found = text(bytes);
        for secret in [&token[..16], password] {
            assert!(!found.contains(secret), "`{secret}` is in {name}");
        }
    }
    let shown = world.fractal(&["show", &only(&world)]).ok();
    assert!(!shown.contains(password) && !shown.contains(&token), "{shown}");
}
