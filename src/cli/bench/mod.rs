//! `fractal bench`: how good the parts of the loop are, measured on cases that people bring.

mod asked;
mod cases;
mod gate;
mod monitor;
mod repair;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use super::Outcome;
use crate::world::files;

/// Measures parts of the loop on cases with known answers.
#[derive(clap::Args)]
pub(super) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Repair programs with known bugs, and count how many of the patches are right
    Repair(repair::Repair),
    /// Take right and wrong patches through the gate, and count which of them would land
    Gate(gate::GateBench),
    /// Watch healthy and broken versions by our rule and by those of other tools, and count false reverts and delays
    Monitor(monitor::MonitorBench),
}

impl Bench {
    pub(super) fn run(self) -> Outcome {
        match self.what {
            What::Repair(repair) => repair.run(),
            What::Gate(gate) => gate.run(),
            What::Monitor(monitor) => monitor.run(),
        }
    }
}

/// Answers every case, so many at the same time, in the order of the cases; a bar on a terminal shows what `told` says of each.
fn in_parallel<C: Sync, A: Send>(
    cases: &[C],
    jobs: usize,
    answer: impl Fn(&C) -> A + Sync,
    told: impl Fn(&A) -> String + Sync,
) -> Vec<A> {
    let bar = files::stderr_is_terminal().then(|| {
        let style = ProgressStyle::with_template("{bar:32} {pos}/{len} {msg}");
        ProgressBar::new(cases.len() as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    });
    let next = AtomicUsize::new(0);
    let answers: Mutex<BTreeMap<usize, A>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, cases.len().max(1)) {
            scope.spawn(|| {
                while let Some((at, case)) = Some(next.fetch_add(1, Ordering::SeqCst)).and_then(|at| Some((at, cases.get(at)?))) {
                    let answer = answer(case);
                    if let Some(bar) = &bar {
                        bar.set_message(told(&answer));
                        bar.inc(1);
                    }
                    if let Ok(mut answers) = answers.lock() {
                        answers.insert(at, answer);
                    }
                }
            });
        }
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    answers.into_inner().unwrap_or_default().into_values().collect()
}
