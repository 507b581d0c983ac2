//! The only integration-test binary: one file per subject, sentence names.

mod catalog;
mod common;
mod docs;
mod exec;
mod faults;
mod kill;
mod library;
mod source;
mod story;
mod support;
mod tidy;
