//! One loop per repository: a lock that the operating system releases however we end.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Holding it is the permission to run the loop.
#[derive(Debug)]
pub struct LoopLock {
    file: File,
    pub holder: Holder,
}

/// Who runs the loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    pub pid: u32,
    /// `run`, `watch` or `library`.
    pub mode: String,
    pub since: Timestamp,
}

/// Why the loop cannot run here.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another loop is running on this repository{}", .0.as_ref().map(|holder| format!(
        " (`fractal {}`, process {}, since {})", holder.mode, holder.pid, holder.since.strftime("%Y-%m-%d %H:%M:%S UTC"))).unwrap_or_default())]
    Held(Option<Holder>),
    #[error("the lock `{0}`: {1}")]
    Io(String, std::io::Error),
}

impl LoopLock {
    /// Takes the lock or says who has it.
    ///
    /// # Errors
    /// [`LockError::Held`]; never waits.
    pub fn take(state_dir: &Path, mode: &str, now: Timestamp) -> Result<LoopLock, LockError> {
        let path = state_dir.join("lock");
        let io = |error| LockError::Io(path.display().to_string(), error);
        std::fs::create_dir_all(state_dir).map_err(io)?;
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held(read(&mut file))),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        let holder = Holder { pid: std::process::id(), mode: mode.to_string(), since: now };
        let text = serde_json::to_vec(&holder).unwrap_or_default();
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(&text)).map_err(io)?;
        Ok(LoopLock { file, holder })
    }

    /// Who holds the lock now; nobody when it is free.
    pub fn holder(state_dir: &Path) -> Option<Holder> {
        let mut file = File::open(state_dir.join("lock")).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => read(&mut file),
            _ => None,
        }
    }
}

impl Drop for LoopLock {
    /// Closing the file would do, were it not for children that are about to become other programs: they have it for a moment too.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

fn read(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}
