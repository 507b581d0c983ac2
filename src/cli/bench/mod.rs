//! `fractal bench`: how good the parts of the loop are, measured on cases that people bring.

mod cases;
mod repair;

use super::Outcome;

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
}

impl Bench {
    pub(super) fn run(self) -> Outcome {
        match self.what {
            What::Repair(repair) => repair.run(),
        }
    }
}
