//! One cycle in three zones, so that what runs code that nobody has read never stands where something can be written.
//!
//! *Propose* looks for repairs, and may hold what a strategy needs to think. *Verify* takes what came to the gate through the gate again,
//! and holds nothing. *Apply* may write, and runs no tool, no test and no candidate: its sandbox is closed. What passes from one to the
//! next is a bundle (`src/engine/zones/bundle.rs`).
//!
//! In each zone it is the ordinary cycle that goes on. In the first two it is a dry run whose stages are written down; in the last one the
//! stages answer from what was written. A question that has no answer there is left for the next time, and so is all of a bundle when the
//! base or the log have moved since.

mod arrival;
mod bundle;
mod recording;
mod replaying;
mod verifying;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use self::bundle::{Answers, Bundle, MadeFor};
pub use self::bundle::{BundleError, Maker};
use self::recording::Recorder;
use self::replaying::Replayer;
use self::verifying::Verifier;
use super::progress::{CycleReport, Progress};
use super::stages::Real;
use super::{CycleError, Forges, cycle_on};
use crate::world::View;

/// Where a cycle stands, and the files through which the zones hand on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Zone {
    /// Looks for repairs; writes a bundle, and nothing else.
    Propose { out: PathBuf },
    /// Takes them through the gate again; writes a bundle, and nothing else.
    Verify { bundle: PathBuf, out: PathBuf },
    /// Does what a verified bundle leads to.
    Apply { bundle: PathBuf },
}

impl Zone {
    /// Whether something may be written to the repository from there.
    pub(super) fn may_write(&self) -> bool {
        matches!(self, Zone::Apply { .. })
    }
}

/// Why nothing runs in the zone that writes.
const CLOSED: &str = "this is the zone `apply`, which runs no tool, no test and no candidate";

/// What a zone needs besides its view.
pub(super) struct Surroundings<'a> {
    pub dry_run: bool,
    pub listener: &'a (dyn Fn(Progress) + Sync),
    pub stop: &'a AtomicBool,
    pub forges: &'a Forges,
}

/// Runs one cycle in a zone.
///
/// # Errors
/// As any cycle; and when a bundle cannot be read, written or used. Nothing was written to the repository then.
pub(super) fn run(view: View, zone: &Zone, around: &Surroundings<'_>) -> Result<CycleReport, CycleError> {
    match zone {
        Zone::Propose { out } => {
            Bundle::can_be_written(out)?;
            let recorder = Recorder::of(&Real, true);
            let made_for = MadeFor::here(&view)?;
            let report = cycle_on(&view, &recorder, true, around.listener, around.stop)?;
            let bundle = Bundle { zone: Maker::Propose, made_for, answers: recorder.answers() };
            hand_on(&bundle, out, around)?;
            Ok(report)
        }
        Zone::Verify { bundle, out } => {
            let proposed = taken(bundle, "verify", Maker::Propose)?;
            Bundle::can_be_written(out)?;
            let made_for = proposed.made_for.clone();
            if is_left(&view, &made_for, around)? {
                // Made for what is no more, so that the next zone leaves it as well.
                hand_on(&Bundle { zone: Maker::Verify, made_for, answers: Answers::default() }, out, around)?;
                return Ok(CycleReport::default());
            }
            let verifier = Verifier::of(&proposed.answers)?;
            let recorder = Recorder::of(&verifier, false);
            let report = cycle_on(&view, &recorder, true, around.listener, around.stop)?;
            hand_on(&Bundle { zone: Maker::Verify, made_for, answers: recorder.answers() }, out, around)?;
            Ok(report)
        }
        Zone::Apply { bundle } => {
            let verified = taken(bundle, "apply", Maker::Verify)?;
            let mut view = view;
            view.sandbox = view.sandbox.closed(CLOSED);
            if is_left(&view, &verified.made_for, around)? {
                return Ok(CycleReport::default());
            }
            arrival::check(&view, &verified)?;
            cycle_on(&view, &Replayer::of(verified), around.dry_run, around.listener, around.stop)
        }
    }
}

/// A bundle of the zone before.
fn taken(path: &Path, here: &'static str, wanted: Maker) -> Result<Bundle, BundleError> {
    let bundle = Bundle::read(path)?;
    match bundle.zone == wanted {
        true => Ok(bundle),
        false => Err(BundleError::WrongZone { made: bundle.zone, here, wanted }),
    }
}

/// Whether a bundle is left, which is told.
fn is_left(view: &View, made_for: &MadeFor, around: &Surroundings<'_>) -> Result<bool, CycleError> {
    let outdated = made_for.fits(&MadeFor::here(view)?)?;
    if let Some(reason) = &outdated {
        (around.listener)(Progress::Left { reason: reason.clone() });
    }
    Ok(outdated.is_some())
}

fn hand_on(bundle: &Bundle, out: &Path, around: &Surroundings<'_>) -> Result<(), BundleError> {
    let digest = bundle.write(out)?;
    let (file, answers) = (out.display().to_string(), bundle.answers.count());
    (around.listener)(Progress::Bundled { file, answers, digest });
    Ok(())
}
