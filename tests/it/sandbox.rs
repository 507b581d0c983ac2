//! What a run in the sandbox may do, and what is in force of it.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use fractal::config::SandboxConfig;
use fractal::model::Exit;
use fractal::world::process::Finished;
use fractal::world::sandbox::{Offer, Sandbox, ScratchFile};

use crate::common::{PATIENCE, World};

/// A kernel like that of a hosted runner: no namespaces, Landlock before it knew signals and abstract sockets.
pub const OLDER: Offer = Offer { landlock: 4, seccomp: true, namespaces: false };
pub const NO_NAMESPACES: Offer = Offer { namespaces: false, ..Offer::ALL };

/// Every level of protection that there is, with its name.
pub fn levels() -> [(&'static str, Sandbox); 3] {
    let level = |name, offer| (name, Sandbox::new("levels", &[], 1 << 30).offered(offer));
    [level("namespaces", Offer::ALL), level("no namespaces", NO_NAMESPACES), level("older kernel", OLDER)]
}

pub fn shell(sandbox: &Sandbox, script: &str, time: Duration) -> Finished {
    let scratch = sandbox.checkout(&[ScratchFile::plain("a.txt", "a")]).expect("a scratch folder");
    sandbox.run(&scratch, ["sh", "-c", script].map(OsString::from).to_vec(), Vec::new(), "", time)
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn an_honest_run_does_what_it_always_did() {
    let script = "cat a.txt && echo b > b.txt && chmod 751 b.txt && stat -c %a b.txt && touch -d @1000 b.txt && stat -c %Y b.txt \
                  && ln b.txt c.txt && mkdir d && mv c.txt d/ && test -w $HOME && test -w $TMPDIR && python3 -c 'import subprocess as s
print(s.run([\"echo\", \"hi\"], capture_output=True).stdout.decode().strip())' && node -e 'console.log(6*7)' && sleep 0 & wait $!";
    for (level, sandbox) in levels() {
        assert!(sandbox.ready().is_ok(), "{level}: {:?}", sandbox.shields());
        let began = Instant::now();
        let finished = shell(&sandbox, script, LONG);
        let said = String::from_utf8_lossy(&finished.stdout).into_owned();
        assert_eq!((&finished.exit, said.as_str()), (&Exit::Code(0), "a751\n1000\nhi\n42\n"), "{level}: {finished:?}");
        assert!(began.elapsed() < LONG, "{level}");
    }
}

#[test]
fn a_program_that_is_installed_below_a_private_folder_runs_and_stays_as_it_is() {
    for place in ["/tmp", "/var/tmp", "/dev/shm"] {
        let folder = tempfile::tempdir_in(place).expect("a folder");
        let bin = folder.path().join("installed/bin");
        std::fs::create_dir_all(&bin).expect("makes a folder");
        std::fs::write(folder.path().join("secret"), "secret").expect("writes");
        let program = bin.join("greet");
        std::fs::write(&program, "#!/bin/sh\necho hello\n").expect("writes");
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("sets");
        let (program, around) = (program.display().to_string(), folder.path().display().to_string());
        // Whatever is written beside it inside is gone outside.
        let script = format!(
            "{program}; cat {around}/secret; echo broken >{program}; echo new >{around}/installed/bin/new; chmod 700 {program}; \
             echo mine >{around}/mine; rm -f {program}; {program}; mv {around}/installed {around}/away"
        );
        for (level, sandbox) in levels() {
            let finished = shell(&sandbox.naming([program.as_str()].into_iter()), &script, LONG);
            assert_eq!(String::from_utf8_lossy(&finished.stdout), "hello\nhello\n", "{place}, {level}: {finished:?}");
            let mut there: Vec<String> = std::fs::read_dir(folder.path())
                .expect("lists")
                .map(|entry| entry.expect("is there").file_name().to_string_lossy().into_owned())
                .collect();
            there.sort();
            assert_eq!(there, ["installed", "secret"], "{place}, {level}");
            assert_eq!(std::fs::read_to_string(&program).expect("reads"), "#!/bin/sh\necho hello\n", "{place}, {level}");
            assert_eq!(std::fs::read_dir(&bin).expect("lists").count(), 1, "{place}, {level}");
        }
    }
}

#[test]
fn nothing_runs_where_a_required_protection_is_missing() {
    let sandbox = Sandbox::new("levels", &[], 1 << 30).offered(Offer { landlock: 0, seccomp: false, namespaces: false });
    let finished = shell(&sandbox, "echo ran", LONG);
    let Exit::NotStarted(why) = &finished.exit else { panic!("{finished:?}") };
    for part in ["`[sandbox] require`", "`files`: the kernel has no Landlock", "`network`: ", "fractal doctor"] {
        assert!(why.contains(part), "{part} in {why}");
    }
    let trusted = sandbox.with(&SandboxConfig { require: Vec::new(), ..SandboxConfig::default() });
    assert_eq!(shell(&trusted, "echo ran", LONG).stdout, b"ran\n");
}

#[test]
fn the_doctor_says_what_is_in_force_tries_it_and_refuses_what_is_missing() {
    let world = World::empty();
    world.write("fractal.toml", "[sandbox]\nnamespaces = false\n");
    world.commit("a repository");
    let said = world.fractal(&["doctor", "--json"]).json();
    let of = |list: &str, key: &str, name: &str| {
        let all = said[list].as_array().expect("a list").clone();
        all.into_iter().find(|one| one[key] == name).unwrap_or_else(|| panic!("{name} in {said:#}"))
    };
    assert_eq!(said["ready"], true, "{said:#}");
    for name in ["files", "network", "signals", "calls", "limits"] {
        let found = of("protections", "protection", name);
        assert!(found["in_force"] == true && found["required"] == true, "{found:#}");
    }
    assert_eq!(of("protections", "protection", "namespaces")["how"], "`[sandbox] namespaces` is `false`");
    let attempts = said["attempts"].as_array().expect("a list");
    assert!(attempts.len() >= 6 && attempts.iter().all(|attempt| attempt["stopped"] == true), "{attempts:#?}");
    for program in ["git", "bash", "python3", "node"] {
        assert_eq!(of("programs", "name", program)["runs"], true, "{:#}", of("programs", "name", program));
    }
    let shown = world.fractal(&["doctor"]).ok();
    assert!(shown.contains("in force") && shown.contains("read a file outside") && shown.contains("ready: "), "{shown}");

    world.write("fractal.toml", "[sandbox]\nnamespaces = false\nrequire = [\"files\", \"namespaces\"]\n");
    let refused = world.fractal(&["doctor"]);
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(refused.out.contains("missing") && refused.out.contains("not ready"), "{refused:#?}");
    world.write("tools/x.py", "def f():\n    return 1\n");
    world.commit("a tool");
    let repair = world.fractal(&["repair", "tools/x.py", "--test", "false"]);
    repair.refused(1, &["`namespaces`: `[sandbox] namespaces` is `false`", "`[sandbox] require`", "fractal doctor"]);
}

#[test]
fn what_a_run_does_is_observed_whether_it_is_allowed_or_not() {
    let outside = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a file");
    let place = outside.path().display().to_string();
    for (level, sandbox) in levels() {
        let files = [ScratchFile::plain("a.txt", "a"), ScratchFile::plain("b.txt", "b"), ScratchFile::plain("d/c.txt", "c")];
        let scratch = sandbox.checkout(&files).expect("a scratch folder");
        let observed = |script: &str| {
            let argv = ["bash", "-c", script].map(OsString::from).to_vec();
            let (finished, mut observed) = sandbox.observe(&scratch, argv, Vec::new(), "", LONG);
            assert_eq!(finished.exit, Exit::Code(0), "{level}: {finished:?}");
            assert!(observed.complete, "{level}");
            let programs = std::mem::take(&mut observed.programs);
            let programs = programs.iter().filter_map(|program| program.rsplit('/').next());
            let programs: Vec<String> = programs.map(str::to_string).collect();
            let list = |names: &std::collections::BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(" ");
            let seen =
                [&observed.read, &observed.wrote, &observed.deleted, &observed.read_outside, &observed.write_outside].map(list);
            (seen, observed.network, programs)
        };
        let (seen, sockets, programs) = observed("true");
        assert_eq!((seen, sockets, programs), (["", "", "", "", ""].map(String::from), 0, vec!["bash".to_string()]), "{level}");
        let (seen, sockets, programs) = observed(&format!(
            "cat a.txt d/../d/c.txt; echo x > new.txt; rm b.txt; echo y >> d/c.txt; cat {place}; echo z > {place}; \
             exec 3<>/dev/tcp/127.0.0.1/9 || true"
        ));
        let expected = ["a.txt d/c.txt", "d/c.txt new.txt", "b.txt", &place, &place].map(String::from);
        assert_eq!((seen, sockets), (expected, 1), "{level}");
        assert_eq!(programs, ["bash", "cat", "rm"], "{level}");
    }
}

#[test]
fn when_we_are_killed_what_runs_ends_too() {
    for namespaces in [true, false] {
        let world = World::empty();
        world.write("fractal.toml", format!("[sandbox]\nnamespaces = {namespaces}\n"));
        world.write("tools/x.py", "def f():\n    return 1\n");
        let mark = format!("3{}.5", std::process::id() * 2 + u32::from(namespaces));
        world.write("hang.sh", format!("(setsid sleep {mark} &)\nsleep {mark}\n"));
        world.commit("a tool");
        let arguments = ["repair", "tools/x.py", "--test", "sh hang.sh", "--time", "600"];
        let mut child = world.fractal_command().args(arguments).spawn().expect("starts");
        let running = || {
            let lines = std::fs::read_dir("/proc")
                .expect("is there")
                .flatten()
                .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
            lines.filter(|line| line.starts_with(b"sleep") && String::from_utf8_lossy(line).contains(&mark)).count()
        };
        let until = |wanted: usize| {
            let began = Instant::now();
            while running() != wanted {
                assert!(began.elapsed() < PATIENCE, "{} of {wanted} run, namespaces {namespaces}", running());
                std::thread::yield_now();
            }
        };
        until(2);
        child.kill().expect("is a child");
        child.wait().expect("is a child");
        until(0);
    }
}

#[test]
fn many_runs_side_by_side_end_as_they_do_alone() {
    for (level, sandbox) in levels() {
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let sandbox = &sandbox;
                scope.spawn(move || {
                    let mut scratch = sandbox.checkout(&[ScratchFile::plain("a.txt", "a")]).expect("a scratch folder");
                    for run in 0..50 {
                        // Children end while others begin, and dash takes an interrupted fork for none.
                        let script =
                            "cat a.txt -; for i in 1 2 3; do x=$(printf '%s' '' | sh -c :; echo $i); test $x = $i || exit 1; done
                                      (sleep 60 &) ; echo err >&2; exit 7";
                        let argv = ["sh", "-c", script].map(OsString::from).to_vec();
                        let finished = sandbox.run(&scratch, argv, b"input".to_vec(), "", LONG);
                        let said = (finished.exit.clone(), finished.stdout.as_slice(), finished.stderr.as_slice());
                        assert_eq!(said, (Exit::Code(7), &b"ainput"[..], &b"err\n"[..]), "{level} {worker} {run} {finished:?}");
                        scratch = sandbox.refresh(scratch, &[ScratchFile::plain("a.txt", "a")]).expect("a scratch folder");
                    }
                });
            }
        });
    }
}
