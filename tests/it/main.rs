//! The only integration-test binary: one file per subject, sentence names.

mod catalog;
mod common;
mod docs;
mod engine;
mod exec;
mod faults;
mod import;
mod import_github;
mod import_junit;
mod kill;
mod landing;
mod library;
mod look;
mod mcp;
mod monitor;
mod otlp;
mod peers;
mod people;
mod remote;
mod scans;
mod source;
mod spool;
mod stages;
mod story;
mod support;
mod tidy;
