//! The only integration-test binary: one file per subject, sentence names.

mod catalog;
mod exec;
