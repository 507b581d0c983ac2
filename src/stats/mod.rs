//! Statistics: when counts, durations and replays are evidence, and of what.
//!
//! Owns the formulas, their thresholds and (as tests) how often each of them is wrong. Deliberately does not choose which runs count,
//! replay anything or decide to revert: an alarm is cheap evidence that asks for a paired replay, and only the replay is a verdict.
//! Everything here is a pure function of its arguments, without panics, and so gives the same answer after a restart or a second
//! delivery. One file per question.

mod alarm;
mod episodes;
mod intervals;
mod paired;
mod special;

pub use self::alarm::{
    ALARM_BAYES_FACTOR, BASELINE_RUNS_MAX, DISTINCT_INPUTS_MIN, UNREPLAYABLE_BAYES_FACTOR, alarms, log_bayes_factor,
};
pub use self::episodes::collapse_episodes;
pub use self::intervals::wilson;
pub use self::paired::{CONFIRM_P, combine_fisher, permutation_p};
pub use self::special::{ln_beta, ln_gamma};
