//! The only integration-test binary: one file per subject, sentence names.

mod catalog;
mod common;
mod exec;
mod faults;
