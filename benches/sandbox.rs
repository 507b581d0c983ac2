//! What confinement costs: a process started plainly beside the same one in the sandbox, in turns, at every level of protection.
//!
//! `cargo bench --bench sandbox -- [PAIRS] [MIB]` (200 pairs, and no memory of ours, when not given). MIB of memory are filled first: a
//! process that was copied from ours would cost more for each of them. Python runs without `site`: what packages add there differs inside.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use fractal::model::Exit;
use fractal::world::process::{self, Spawn};
use fractal::world::sandbox::{Offer, Sandbox, direct_path};

const LONG: Duration = Duration::from_secs(60);
const LEVELS: [(&str, Offer); 3] = [
    ("namespaces", Offer::ALL),
    ("no namespaces", Offer { namespaces: false, ..Offer::ALL }),
    ("older kernel", Offer { landlock: 4, seccomp: true, namespaces: false }),
];

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
    let (pairs, mebibytes) = (numbers.next().unwrap_or(200), numbers.next().unwrap_or(0));
    let ballast = vec![1_u8; mebibytes << 20];
    println!("{pairs} pairs, {mebibytes} MiB; repeat with: cargo bench --bench sandbox -- {pairs} {mebibytes}\n");
    println!("{:14} {:18} {:>9} {:>9} {:>11}", "level", "program", "plain", "sandbox", "difference");
    for (level, offer) in LEVELS {
        let sandbox = Sandbox::new("bench", &[], 2 << 30).offered(offer);
        sandbox.ready().expect("what is required is in force");
        for argv in [&["true"][..], &["python3", "-S", "-c", "pass"]] {
            let mut argv: Vec<OsString> = argv.iter().map(OsString::from).collect();
            let name = argv.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
            // Nobody looks for it, so that both find the same.
            let path = direct_path();
            let found = std::env::split_paths(&path).map(|folder| folder.join(&argv[0])).find(|file| file.is_file());
            argv[0] = found.expect("is in `PATH`").into();
            let (plain, inside, differences) = measure(&sandbox, &argv, pairs);
            println!("{level:14} {name:18} {plain:6.2} ms {inside:6.2} ms {differences:8.2} ms");
        }
    }
    assert!(ballast.iter().all(|byte| *byte == 1));
}

/// Medians in milliseconds: plain, inside, and of the differences of pairs.
fn measure(sandbox: &Sandbox, argv: &[OsString], pairs: usize) -> (f64, f64, f64) {
    let scratch = sandbox.checkout(&[]).expect("a scratch folder");
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..pairs + 10 {
        let plain = time(|| plainly(argv, scratch.root()));
        let inside = time(|| sandbox.run(&scratch, argv.to_vec(), Vec::new(), "", LONG));
        for (times, time) in times.iter_mut().zip([plain, inside, inside - plain]) {
            times.push(time);
        }
    }
    // The first ones also read the programs from disk.
    let [plain, inside, differences] = times.map(|mut times| {
        times.drain(..10);
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    (plain, inside, differences)
}

fn plainly(argv: &[OsString], folder: &Path) -> process::Finished {
    // What a run has too: without it Python reads more than inside.
    let env = [("LANG", "C.UTF-8".into()), ("HOME", folder.into()), ("PATH", direct_path())];
    let env = env.map(|(name, value)| (name.into(), value)).to_vec();
    process::run(&Spawn { env, clear_env: true, ..Spawn::new(argv.to_vec(), folder, LONG) })
}

fn time(run: impl Fn() -> process::Finished) -> f64 {
    let started = Instant::now();
    let finished = run();
    let took = started.elapsed().as_secs_f64() * 1e3;
    assert_eq!(finished.exit, Exit::Code(0), "{finished:?}");
    took
}
