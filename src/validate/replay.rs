//! Replay: recorded good runs must stay good and give the same output.
//!
//! Both versions are run here and now, so that what changed in the world since the recording is not blamed on the patch; the old
//! version is run twice, and what it varies in by itself is not compared (Diffy's trick).

use super::{failed, passed, skipped};
use crate::model::{Check, Outcome, Recording};
use crate::world::bench::{Bench, Run};

/// What the untouched version does with one recorded good input.
pub(super) enum OldRun {
    /// Succeeds, twice with the same output.
    Steady(Vec<u8>),
    /// Succeeds with outputs that differ: only success is compared.
    Varying,
    /// Does not succeed any more, so it says nothing about a patch.
    NotRepeatable,
}

pub(super) fn run_old(bench: &Bench<'_>, good: &[Recording]) -> Vec<OldRun> {
    let look = |recording: &Recording| {
        let first = bench.replay(recording);
        if first.outcome != Outcome::Success {
            return OldRun::NotRepeatable;
        }
        let second = bench.replay(recording);
        match second.outcome == Outcome::Success {
            true if second.stdout == first.stdout => OldRun::Steady(first.stdout),
            true => OldRun::Varying,
            false => OldRun::NotRepeatable,
        }
    };
    bench.each(good, look, |_| false).into_iter().map(|answer| answer.unwrap_or(OldRun::NotRepeatable)).collect()
}

pub(super) fn check(name: &str, bench: &Bench<'_>, recordings: &[(&Recording, &OldRun)]) -> Check {
    let usable: Vec<&(&Recording, &OldRun)> =
        recordings.iter().filter(|(_, old)| !matches!(old, OldRun::NotRepeatable)).collect();
    if usable.is_empty() {
        let detail = format!("none of {} recorded good inputs can be repeated on the untouched version", recordings.len());
        return skipped(name, detail);
    }
    let difference = |(recording, old): &&(&Recording, &OldRun)| {
        let run = bench.replay(recording);
        differs(&run, old).map(|how| format!("`{}` {how}", recording.shown(60)))
    };
    let answers = bench.each(&usable, difference, Option::is_some);
    match answers.into_iter().flatten().flatten().next() {
        Some(difference) => failed(name, difference),
        None => {
            let varying = usable.iter().filter(|(_, old)| matches!(old, OldRun::Varying)).count();
            let unusable = recordings.len() - usable.len();
            let mut detail = format!("{} distinct good inputs give the same output", usable.len() - varying);
            if varying > 0 {
                detail.push_str(&format!(", {varying} succeed as before (their output varies by itself)"));
            }
            if unusable > 0 {
                detail.push_str(&format!("; {unusable} could not be repeated on the untouched version"));
            }
            passed(name, detail)
        }
    }
}

fn differs(run: &Run, old: &OldRun) -> Option<String> {
    if run.outcome != Outcome::Success {
        return Some(format!("succeeded before and now ends with {}", run.exit));
    }
    match old {
        OldRun::Steady(stdout) if stdout != &run.stdout => Some("gives another output".to_string()),
        _ => None,
    }
}
