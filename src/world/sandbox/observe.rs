//! What a run does, seen from outside: the system calls that it asks us about, and its folder afterwards.
//!
//! Good for learning what a tool does, not for confining it: while we read a path, the tool may change it. What is denied was tried,
//! and counts.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use serde::Serialize;

use super::asked::{Answer, Asked};
use super::calls;
use super::confine::Inside;

/// What a run did or tried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Observed {
    /// Whether system calls could be seen; without, only `wrote` and `deleted` are known.
    pub complete: bool,
    /// Files of the checkout that it opened to read, from the root.
    pub read: BTreeSet<String>,
    /// Files of the checkout that are new or not what they were, and those that are gone.
    pub wrote: BTreeSet<String>,
    pub deleted: BTreeSet<String>,
    /// What is there outside, no part of the system, and was opened; and what was to be written, made or removed there.
    pub read_outside: BTreeSet<String>,
    pub write_outside: BTreeSet<String>,
    /// Sockets that it asked for, but for Unix sockets: the C library asks one whenever it wants to know who a user is.
    pub network: u64,
    /// Programs that it started, itself the first.
    pub programs: BTreeSet<String>,
}

/// Names that are remembered of each kind.
const MOST: usize = 1000;

/// How a call looks at a file, and where its folder and its path stand among the arguments.
struct Look {
    writes: bool,
    folder: Option<usize>,
    path: usize,
}

impl Inside {
    /// Takes note of a call; the answer to those that are only allowed when nobody looks.
    pub(super) fn observe(&self, asked: &Asked) -> Option<Answer> {
        let observed = self.observed.as_ref()?;
        let mut observed = observed.lock().ok()?;
        if asked.call == libc::SYS_socket {
            observed.network += u64::from(asked.arguments[0] as i32 != libc::AF_UNIX);
            return Some(calls::socket(self.confinement.beside, asked.arguments[0]));
        }
        let looks = looks(asked);
        let known = !looks.is_empty();
        for Look { writes, folder, path } in looks {
            let Some(place) = asked.place(folder.map(|at| asked.arguments[at]), asked.arguments[path]) else { continue };
            self.note(&mut observed, asked, writes, &plain(&place));
        }
        known.then_some(Ok(None))
    }

    fn note(&self, observed: &mut Observed, asked: &Asked, writes: bool, place: &Path) {
        let add = |names: &mut BTreeSet<String>, name: &Path| {
            if names.len() < MOST {
                names.insert(name.to_string_lossy().into_owned());
            }
        };
        if matches!(asked.call, libc::SYS_execve | libc::SYS_execveat) {
            if place.is_file() {
                add(&mut observed.programs, place);
            }
            return;
        }
        let root = self.scratch.join("root");
        match (place.strip_prefix(&root), writes) {
            (Ok(inner), false) if place.is_file() => add(&mut observed.read, inner),
            (Ok(_), _) => {}
            _ if place.starts_with(&self.scratch) || place.starts_with("/dev") || place.starts_with("/proc") => {}
            (_, true) => add(&mut observed.write_outside, place),
            (_, false) if self.confinement.view.shows(place) => {}
            (_, false) if place.is_file() || place.is_dir() => add(&mut observed.read_outside, place),
            _ => {}
        }
    }
}

/// The files that a call looks at.
fn looks(asked: &Asked) -> Vec<Look> {
    let arguments = asked.arguments;
    let look = |writes, folder, path| Look { writes, folder, path };
    let changes = libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
    let opens = |flags: u64| flags as i32 & changes != 0;
    match asked.call {
        libc::SYS_openat => vec![look(opens(arguments[2]), Some(0), 1)],
        libc::SYS_openat2 => {
            let flags = asked.numbers::<1>(arguments[2]).map_or(0, |[flags]| flags as u64);
            vec![look(opens(flags), Some(0), 1)]
        }
        libc::SYS_execve => vec![look(false, None, 0)],
        libc::SYS_execveat => vec![look(false, Some(0), 1)],
        libc::SYS_unlinkat | libc::SYS_mkdirat => vec![look(true, Some(0), 1)],
        libc::SYS_renameat | libc::SYS_renameat2 | libc::SYS_linkat => vec![look(true, Some(0), 1), look(true, Some(2), 3)],
        libc::SYS_symlinkat => vec![look(true, Some(1), 2)],
        libc::SYS_truncate => vec![look(true, None, 0)],
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open => vec![look(opens(arguments[1]), None, 0)],
        #[cfg(target_arch = "x86_64")]
        libc::SYS_creat | libc::SYS_unlink | libc::SYS_rmdir | libc::SYS_mkdir => vec![look(true, None, 0)],
        #[cfg(target_arch = "x86_64")]
        libc::SYS_rename | libc::SYS_link => vec![look(true, None, 0), look(true, None, 1)],
        #[cfg(target_arch = "x86_64")]
        libc::SYS_symlink => vec![look(true, None, 1)],
        _ => Vec::new(),
    }
}

/// The path without `.` and `..`, as it is written.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}
