//! Which lines of a shell script run, as bash tells with `set -x`: on a descriptor of its own, so that neither standard error nor what the
//! script does changes. Also of every other bash that the test starts, and of nothing else: other shells cannot tell it apart from errors.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Result;

/// What a shell that is not interactive reads first (`BASH_ENV`).
const BEGIN: &str = "fractal-begin.sh";
const TRACE: &str = "fractal-trace";
/// Begins each line of ours.
const MARK: &str = "fractal:";
/// A loop without end repeats itself: so much of a trace is read, in bytes.
const READ: u64 = 32 << 20;

/// Lets bash trace what it runs from now on. Returns what a command must begin with, and the file that will hold the trace. Both files lie
/// beside the checkout at `root`, where no tool looks.
///
/// # Errors
/// When the files cannot be written.
pub(super) fn prepare(root: &Path) -> Result<(Vec<OsString>, PathBuf)> {
    let beside = root.parent().unwrap_or(root);
    let (begin, trace) = (beside.join(BEGIN), beside.join(TRACE));
    File::create(&trace)?;
    let quoted = trace.to_string_lossy().replace('\'', r"'\''");
    std::fs::write(
        &begin,
        format!("exec {{BASH_XTRACEFD}}>>'{quoted}'\nPS4='+{MARK}${{LINENO-}}:${{BASH_SOURCE-}}:'\nset -x\n"),
    )?;
    let mut variable = OsString::from("BASH_ENV=");
    variable.push(&begin);
    Ok((vec!["env".into(), variable], trace))
}

/// The lines of `path`, a file below `root`, that a trace tells of.
pub(super) fn lines(trace: File, root: &Path, path: &str) -> BTreeSet<u32> {
    let real = root.canonicalize().unwrap_or_else(|_| root.to_path_buf());
    let own = |source: &str| match Path::new(source) {
        whole if whole.is_absolute() => whole == root.join(path) || whole == real.join(path),
        // The folder may have changed since: what is known must fit.
        _ => {
            let told = source.trim_start_matches("../").trim_start_matches("./");
            !told.is_empty() && Path::new(path).ends_with(told)
        }
    };
    let read = BufReader::new(trace.take(READ));
    read.split(b'\n')
        .map_while(Result::ok)
        .filter_map(|line| told(&line))
        .filter(|(_, source)| own(source))
        .map(|(line, _)| line)
        .collect()
}

/// The line and the file that a line of the trace tells of.
fn told(line: &[u8]) -> Option<(u32, String)> {
    let text = String::from_utf8_lossy(line);
    let mut parts = text.trim_start_matches('+').strip_prefix(MARK)?.splitn(3, ':');
    Some((parts.next()?.parse().ok()?, parts.next()?.to_string()))
}
