// Tries candidates one after the other in one process. Each is a module; `tests` names what a candidate is put to.
// Arguments: the file for the verdicts, the first candidate, milliseconds for each. Or `alone` and the number of a test: that one
// test of the first candidate, as a program of its own.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::Duration;

static SEEN: [AtomicBool; UNITS] = [const { AtomicBool::new(false) }; UNITS];
static UNITS_FILE: OnceLock<std::fs::File> = OnceLock::new();

// Tells at once: whatever ends the program later, a signal or the end of all memory, takes nothing of it back.
fn fractal_hit(unit: usize) {
    if !SEEN[unit].load(Ordering::Relaxed) && !SEEN[unit].swap(true, Ordering::Relaxed) {
        if let Some(mut file) = UNITS_FILE.get() {
            let _ = file.write_all(format!("{unit}\n").as_bytes());
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let from: usize = arguments[2].parse().unwrap();
    if arguments[1] == "alone" {
        if UNITS > 0 {
            let _ = std::fs::File::create("fractal-units").map(|file| UNITS_FILE.set(file));
        }
        CANDIDATES[0][from]();
        // A program that ends itself has passed nothing.
        std::process::exit(77);
    }
    let limit = Duration::from_millis(arguments[3].parse().unwrap());
    let verdicts = std::fs::OpenOptions::new().create(true).append(true).open(&arguments[1]).unwrap();
    let verdicts = Arc::new(Mutex::new(verdicts));
    std::panic::set_hook(Box::new(|_| {}));
    let (next, begun) = mpsc::channel::<usize>();
    let late = Arc::clone(&verdicts);
    std::thread::spawn(move || {
        let mut candidate = from;
        loop {
            match begun.recv_timeout(limit) {
                Ok(following) => candidate = following,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let mut verdicts = late.lock().unwrap();
                    let _ = writeln!(verdicts, "{candidate} late");
                    std::process::exit(0);
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
        }
    });
    for (at, tests) in CANDIDATES.iter().enumerate().skip(from) {
        let _ = next.send(at);
        let failed = tests.iter().position(|test| catch_unwind(AssertUnwindSafe(test)).is_err());
        let mut verdicts = verdicts.lock().unwrap();
        let _ = match failed {
            Some(test) => writeln!(verdicts, "{at} failed {test}"),
            None => writeln!(verdicts, "{at} passed"),
        };
    }
}
