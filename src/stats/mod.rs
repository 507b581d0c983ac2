//! Statistics: when counts, durations and replays are evidence, and of what.
//!
//! Owns the formulas, their thresholds and (as tests) how often each of them is wrong. Deliberately does not choose which runs count,
//! replay anything or decide to revert: an alarm is cheap evidence that asks for a paired replay, and only the replay is a verdict.
//! Everything here is a pure function of its arguments, without panics, and so gives the same answer after a restart or a second
//! delivery. One file per question.

mod alarm;
mod burst;
pub mod concurrent;
mod discovery;
mod drift;
mod episodes;
mod forecast;
mod intervals;
mod latency;
mod paired;
mod shadow;
mod special;
pub mod streams;

pub use self::alarm::{
    ALARM_BAYES_FACTOR, BASELINE_RUNS_MAX, DISTINCT_INPUTS_MIN, UNREPLAYABLE_BAYES_FACTOR, alarms, log_bayes_factor,
};
pub use self::burst::{BURST_P, Burst, burst, poisson_binomial_tail};
pub use self::discovery::{FALSE_DISCOVERIES, benjamini_hochberg, e_benjamini_hochberg, low_rate_log_e, low_rate_p};
pub use self::drift::{DRIFT_ALARM, Drift};
pub use self::episodes::collapse_episodes;
pub use self::forecast::{CROSSING_LIKELY, Forecast, forecast};
pub use self::intervals::{cautious_failure_rate, clopper_pearson_lower, clopper_pearson_upper, wilson};
pub use self::latency::{LATENCY_RATIO, LATENCY_RUNS, Slower, slower};
pub use self::paired::{ACQUIT_P, CONFIRM_P, combine_fisher, permutation_p, replays_p};
pub use self::shadow::{SHADOW_CERTAIN, log_evidence};
pub use self::special::{ln_at_least, ln_at_most, ln_beta, ln_beta_inc, ln_gamma, normal_above};
