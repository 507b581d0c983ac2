//! Programs that nobody here wrote: where they are, and what a test says that needs one which is not there.
//!
//! `.ci/peers` installs the ones from registries. On a build server (`CI=true`) a missing one is a failure; elsewhere the test says
//! so by name, and checks nothing.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The value, or the test says why it does not run.
#[track_caller]
pub fn or_not_run<T>(found: Option<T>, what: &str) -> Option<T> {
    if found.is_none() {
        let test = std::thread::current().name().unwrap_or_default().to_string();
        assert!(std::env::var_os("CI").is_none(), "{test}: no {what} found");
        // Not a macro: those are hidden for tests that pass.
        let _ = writeln!(std::io::stderr(), "{test}: not run: no {what} found");
    }
    found
}

/// The Python with the packages of `.ci/peers`.
#[track_caller]
pub fn python() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/python/bin/python");
    or_not_run(path.is_file().then_some(path), "target/peers/python (`.ci/peers` makes it)")
}

/// A program of the packages for Python of `.ci/peers`.
#[track_caller]
pub fn python_program(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/python/bin").join(name);
    or_not_run(path.is_file().then_some(path), &format!("target/peers/python with `{name}` (`.ci/peers` makes it)"))
}

/// A program of the packages for Node.js of `.ci/peers`.
#[track_caller]
pub fn node_program(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/node/node_modules/.bin").join(name);
    or_not_run(path.is_file().then_some(path), &format!("target/peers/node with `{name}` (`.ci/peers` makes it)"))
}
