//! What a run in the sandbox may do, and what is in force of it.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use fractal::config::SandboxConfig;
use fractal::model::Exit;
use fractal::world::process::Finished;
use fractal::world::sandbox::{Offer, Sandbox, ScratchFile};

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
