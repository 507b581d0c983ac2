// A library that is built once: it tries candidates one after the other in one process. Each candidate is a number for the switch and
// the tests that it is put to.
// Arguments of the program: the file for the verdicts, the first candidate, milliseconds for a test. Or `alone`, a candidate and a test:
// only that one, as a program of its own.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

pub type Candidate = (usize, &'static [fn()]);

/// A test that waits for something else than the processor is late after so many times its limit.
const IDLE_FACTOR: u32 = 20;

static CANDIDATE: AtomicUsize = AtomicUsize::new(usize::MAX);
/// The candidate in the upper half, the test in the lower one.
static RUNNING: AtomicU64 = AtomicU64::new(u64::MAX);
static SEEN: OnceLock<(Vec<AtomicBool>, File)> = OnceLock::new();

/// Which variant of a function is called.
pub fn candidate() -> usize {
    CANDIDATE.load(Ordering::Relaxed)
}

/// Tells at once: whatever ends the program later, a signal or the end of all memory, takes nothing of it back.
pub fn hit(unit: usize) {
    let Some((seen, file)) = SEEN.get() else { return };
    if !seen[unit].load(Ordering::Relaxed) && !seen[unit].swap(true, Ordering::Relaxed) {
        let mut file = file;
        let _ = file.write_all(format!("{unit}\n").as_bytes());
    }
}

pub fn main(candidates: &'static [Candidate], units: usize) {
    let arguments: Vec<String> = std::env::args().collect();
    let from: usize = arguments[2].parse().unwrap();
    let last: usize = arguments[3].parse().unwrap();
    if arguments[1] == "alone" {
        if units > 0 {
            let seen = (0..units).map(|_| AtomicBool::new(false)).collect();
            let _ = File::create("fractal-units").map(|file| SEEN.set((seen, file)));
        }
        let (number, tests) = candidates[from];
        CANDIDATE.store(number, Ordering::Relaxed);
        tests[last]();
        // A program that ends itself has passed nothing.
        std::process::exit(77);
    }
    let verdicts = OpenOptions::new().create(true).append(true).open(&arguments[1]).unwrap();
    let verdicts: &'static Mutex<File> = Box::leak(Box::new(Mutex::new(verdicts)));
    std::panic::set_hook(Box::new(|_| {}));
    thread::spawn(move || watch(Duration::from_millis(last as u64), verdicts));
    for (at, (number, tests)) in candidates.iter().enumerate().skip(from) {
        CANDIDATE.store(*number, Ordering::Relaxed);
        let failed = tests.iter().enumerate().position(|(place, test)| {
            RUNNING.store((at as u64) << 32 | place as u64, Ordering::Relaxed);
            catch_unwind(AssertUnwindSafe(test)).is_err()
        });
        let mut verdicts = verdicts.lock().unwrap();
        let _ = match failed {
            Some(test) => writeln!(verdicts, "{at} failed {test}"),
            None => writeln!(verdicts, "{at} passed"),
        };
    }
    std::process::exit(0);
}

// Ends the program when a test takes too long. Only the time counts that the tests' own thread had of a processor, where that is told.
fn watch(limit: Duration, verdicts: &Mutex<File>) {
    let (mut seen, mut begun) = (u64::MAX, (spent(), Instant::now()));
    loop {
        thread::park_timeout(limit / 4);
        let running = RUNNING.load(Ordering::Relaxed);
        if running != seen {
            (seen, begun) = (running, (spent(), Instant::now()));
            continue;
        }
        let waited = begun.1.elapsed();
        let used = spent().zip(begun.0).map_or(waited, |(now, before)| now.saturating_sub(before));
        if used > limit || waited > limit * IDLE_FACTOR {
            let mut verdicts = verdicts.lock().unwrap();
            if RUNNING.load(Ordering::Relaxed) == seen {
                let _ = writeln!(verdicts, "{} late {}", seen >> 32, seen as u32);
                std::process::exit(0);
            }
        }
    }
}

// Of the first thread, by Linux.
fn spent() -> Option<Duration> {
    let told = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    Some(Duration::from_nanos(told.split(' ').next()?.parse().ok()?))
}
