//! Fractal, a git-native improvement bot: it watches how the tools of a repository run, repairs the ones that fail, and reverts
//! what made them worse.
//!
//! To embed the loop, see [`Loop`]. The modules in reading order; each may use the ones before it, and the stages of the loop
//! (`detect` to `monitor`) never use each other. `src/ARCHITECTURE.md` tells why.

pub mod model;

pub mod compare;
pub mod stats;

pub mod config;
pub mod lang;
pub mod world;

pub mod record;

pub mod detect;
pub mod prioritize;

pub mod investigate;

pub mod improve;

pub mod validate;

pub mod deploy;

pub mod monitor;

pub mod engine;

// The command line; not part of the public API.
#[doc(hidden)]
pub mod cli;

pub use engine::{Builder, CycleError, CycleReport, Loop, Progress, Stats, Zone};

/// The example in the README is compiled, so that it cannot rot.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
