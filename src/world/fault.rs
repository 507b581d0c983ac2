//! Standing still or dying on purpose, for the tests of recovery and of the kill switch: after each write that outlives the process
//! there is a point. With `FRACTAL_DIE_AT=N` in the environment the process is killed, as by `kill -9`, at the N-th of them; with
//! `FRACTAL_STOP_AT=N` it stops there until it is told to go on.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGKILL, SIGSTOP};
use signal_hook::low_level::raise;

use super::files::variable;

/// A write has happened; what, for the tests' table.
pub fn point(what: &str) {
    static AT: OnceLock<Option<(usize, i32)>> = OnceLock::new();
    static PASSED: AtomicUsize = AtomicUsize::new(0);
    let number = |name| variable(name).and_then(|number| number.parse().ok());
    let die = || number("FRACTAL_DIE_AT").map(|at| (at, SIGKILL));
    let at = AT.get_or_init(|| die().or_else(|| number("FRACTAL_STOP_AT").map(|at| (at, SIGSTOP))));
    if let Some((at, signal)) = at
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *at
    {
        let _ = writeln!(std::io::stderr(), "here: {what}");
        // To this thread: sent to the process, another thread could take it, and this one would go on for a while.
        let _ = raise(*signal);
    }
}
