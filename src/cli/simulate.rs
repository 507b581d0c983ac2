//! `fractal simulate`: random histories of the whole engine, and the one that went wrong.

use std::process::ExitCode;

use serde_json::json;

use super::{BROKEN, Outcome, Output, render};
use crate::engine::simulate::{Case, Tally, play};
use crate::world::clock::Stopwatch;

/// Play random histories of the whole engine, and check what must hold whatever happens
///
/// A history is a small repository, one to three loops, and what may come in between: kills around every write, people who commit, merge,
/// revert, reset, delete, pause, and a store and a remote that are away, slow, or do things twice. Everything follows from the seed: the
/// same seed is the same history. It ends with 5 when something did not hold, and shows the first such history.
#[derive(clap::Args)]
pub(super) struct Simulate {
    /// The first case; the others follow by counting up
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How many cases
    #[arg(long, value_name = "M", default_value_t = 100)]
    cases: u64,
    /// Improvements are proposed on a forge, with people and faults there, too
    #[arg(long)]
    forge: bool,
    /// Show every history, not only one that went wrong
    #[arg(long)]
    histories: bool,
    /// Go on after a history that went wrong
    #[arg(long)]
    keep_going: bool,
    #[command(flatten)]
    output: Output,
}

impl Simulate {
    pub(super) fn run(&self) -> Outcome {
        let (mut tally, mut played, mut broken) = (Tally::default(), 0, Vec::new());
        let started = Stopwatch::start();
        for seed in self.seed..self.seed.saturating_add(self.cases) {
            let case = play(seed, None, self.forge)?;
            (tally, played) = (added(tally, case.tally), played + 1);
            if self.histories || case.broken.is_some() {
                self.show(&case);
            }
            if case.broken.is_some() {
                broken.push(seed);
                if !self.keep_going {
                    break;
                }
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        match self.output.json {
            true => render::say_json(&json!({ "histories": played, "broken": broken, "seconds": seconds, "tally": tally })),
            false => render::say(&format!(
                "{played} histories in {seconds:.1} s: {} cycles, {} kills, {} acts of people, {} faults; {} branches moved, {} proposed, \
                 {} on a forge, {} landed, {} of them of several tools, {} reverted; {} broken",
                tally.cycles,
                tally.kills,
                tally.acts,
                tally.faults,
                tally.moves,
                tally.proposed,
                tally.opened,
                tally.landed,
                tally.groups,
                tally.reverted,
                broken.len()
            )),
        }
        Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(BROKEN) })
    }

    fn show(&self, case: &Case) {
        if self.output.json {
            return render::say_json(case);
        }
        render::say(&format!("case {}:", case.seed));
        for line in &case.history {
            render::say(&format!("  {line}"));
        }
        if let Some(broken) = &case.broken {
            render::say(&format!(
                "broken: {broken}\nplay it again: fractal simulate --seed {} --cases 1{}\n",
                case.seed,
                if self.forge { " --forge" } else { "" }
            ));
        }
    }
}

fn added(mut sum: Tally, more: Tally) -> Tally {
    sum += more;
    sum
}
