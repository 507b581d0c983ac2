//! System calls that only looking can decide, answered: modes and times of files, signals.
//!
//! Where we do ourselves what was asked for, the file is opened first and then looked at: whoever changes names meanwhile changes nothing.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, Timespec, Timestamps, openat2, utimensat};
use rustix::io::Errno;

use super::calls;
use super::confine::Confined;
use super::raw;
use super::watch;

/// What was asked: the thread, the call and its arguments.
pub(super) struct Asked {
    thread: u32,
    pub call: i64,
    pub arguments: [u64; 6],
}

/// The call goes on, or returns a value that we made, or an error.
pub(super) type Answer = Result<Option<i64>, Errno>;

/// As `execve` and others have it (limits.h).
const PATH_MAX: usize = 4096;
/// Modes that are given: not those that lend somebody's rights to others.
const MODES: u32 = 0o1777;

impl Confined {
    /// Answers one question; to be called when the listener is readable.
    pub fn answer(&mut self) {
        let Some(listener) = &self.listener else { return };
        let Some(notice) = raw::asked(listener.as_fd()) else { return };
        let asked = Asked { thread: notice.pid, call: i64::from(notice.data.nr), arguments: notice.data.args };
        let still = || raw::still_asks(listener.as_fd(), notice.id);
        let observed = self.inside.observe(&asked);
        let answer = match asked.call {
            _ if observed.is_some() => observed.unwrap_or(Err(Errno::PERM)),
            call if calls::SIGNALS.contains(&call) => self.may_signal(&asked),
            _ => asked.change(&self.inside.scratch, &still),
        };
        raw::answer(listener.as_fd(), notice.id, answer.map_err(Errno::raw_os_error));
    }

    /// Signals to processes of this run.
    fn may_signal(&self, asked: &Asked) -> Answer {
        let target = asked.arguments[0] as i32;
        let own = watch::processes(self.pid);
        let inside = match target {
            0 => true,
            1.. => own.contains(&target) || watch::process_of(target).is_some_and(|process| own.contains(&process)),
            -1 | i32::MIN => false,
            group => own.iter().any(|pid| watch::group_of(*pid) == Some(-group)),
        };
        if inside { Ok(None) } else { Err(Errno::PERM) }
    }
}

impl Asked {
    /// Changes the mode or the times of a file below `scratch`.
    fn change(&self, scratch: &Path, still: &dyn Fn() -> bool) -> Answer {
        let [a, b, c, d, ..] = self.arguments;
        let here = libc::AT_FDCWD as u64;
        match self.call {
            #[cfg(target_arch = "x86_64")]
            libc::SYS_chmod => self.set_mode(self.open(here, a, 0)?, b, scratch, still),
            libc::SYS_fchmod => self.set_mode(self.descriptor(a)?, b, scratch, still),
            libc::SYS_fchmodat => self.set_mode(self.open(a, b, 0)?, c, scratch, still),
            libc::SYS_fchmodat2 => self.set_mode(self.open(a, b, d)?, c, scratch, still),
            libc::SYS_utimensat if b == 0 => self.set_times(self.descriptor(a)?, self.times(c, 1)?, scratch, still),
            libc::SYS_utimensat => self.set_times(self.open(a, b, d)?, self.times(c, 1)?, scratch, still),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_utimes => self.set_times(self.open(here, a, 0)?, self.times(b, 1000)?, scratch, still),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_futimesat => self.set_times(self.open(a, b, 0)?, self.times(c, 1000)?, scratch, still),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_utime => self.set_times(self.open(here, a, 0)?, self.seconds(b)?, scratch, still),
            _ => Err(Errno::NOSYS),
        }
    }

    fn set_mode(&self, file: OwnedFd, mode: u64, scratch: &Path, still: &dyn Fn() -> bool) -> Answer {
        let place = own(&file, scratch)?;
        ensure(still(), Errno::INTR)?;
        fs::set_permissions(place, Permissions::from_mode(mode as u32 & MODES)).map_err(number)?;
        Ok(Some(0))
    }

    fn set_times(&self, file: OwnedFd, times: Timestamps, scratch: &Path, still: &dyn Fn() -> bool) -> Answer {
        let place = own(&file, scratch)?;
        ensure(still(), Errno::INTR)?;
        utimensat(CWD, place, &times, AtFlags::empty())?;
        Ok(Some(0))
    }

    /// The file that a path of the asking thread leads to; only its place is opened.
    fn open(&self, folder: u64, path: u64, flags: u64) -> Result<OwnedFd, Errno> {
        let path = self.path(path)?;
        if path.as_os_str().is_empty() {
            ensure(flags & libc::AT_EMPTY_PATH as u64 != 0, Errno::NOENT)?;
            return self.descriptor(folder);
        }
        let folder = match folder as i32 {
            libc::AT_FDCWD => self.opened("cwd"),
            _ if path.is_absolute() => self.opened("root"),
            number => self.opened(&format!("fd/{number}")),
        }?;
        let last = if flags & libc::AT_SYMLINK_NOFOLLOW as u64 != 0 { OFlags::NOFOLLOW } else { OFlags::empty() };
        openat2(&folder, &path, OFlags::PATH | OFlags::CLOEXEC | last, Mode::empty(), ResolveFlags::NO_MAGICLINKS)
    }

    fn descriptor(&self, number: u64) -> Result<OwnedFd, Errno> {
        let number = number as i32;
        ensure(number >= 0, Errno::BADF)?;
        self.opened(&format!("fd/{number}"))
    }

    fn opened(&self, what: &str) -> Result<OwnedFd, Errno> {
        let place = format!("/proc/{}/{what}", self.thread);
        rustix::fs::open(place, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(|_| Errno::BADF)
    }

    fn memory(&self, at: u64, bytes: &mut [u8]) -> Result<usize, Errno> {
        let memory = File::open(format!("/proc/{}/mem", self.thread)).map_err(number)?;
        memory.read_at(bytes, at).map_err(|_| Errno::FAULT)
    }

    fn path(&self, at: u64) -> Result<PathBuf, Errno> {
        let mut bytes = vec![0; PATH_MAX];
        let mut read = 0;
        // The next page may not be there.
        while read < PATH_MAX && !bytes[..read].contains(&0) {
            let here = at.checked_add(read as u64).ok_or(Errno::FAULT)?;
            let room = (PATH_MAX - read).min(PATH_MAX - (here as usize % PATH_MAX));
            read += match self.memory(here, &mut bytes[read..read + room])? {
                0 => return Err(Errno::FAULT),
                more => more,
            };
        }
        let end = bytes.iter().position(|byte| *byte == 0).ok_or(Errno::NAMETOOLONG)?;
        Ok(PathBuf::from(std::ffi::OsStr::from_bytes(&bytes[..end])))
    }

    /// The whole path that an argument names, from a folder or the current one.
    pub fn place(&self, folder: Option<u64>, path: u64) -> Option<PathBuf> {
        let path = self.path(path).ok()?;
        let folder = match folder.map(|folder| folder as i32) {
            None | Some(libc::AT_FDCWD) => "cwd".to_string(),
            Some(number) => format!("fd/{number}"),
        };
        if path.is_absolute() {
            return Some(path);
        }
        Some(fs::read_link(format!("/proc/{}/{folder}", self.thread)).ok()?.join(path))
    }

    pub fn numbers<const N: usize>(&self, at: u64) -> Result<[i64; N], Errno> {
        let mut bytes = vec![0; N * 8];
        ensure(self.memory(at, &mut bytes)? == bytes.len(), Errno::FAULT)?;
        let mut numbers = [0; N];
        for (number, bytes) in numbers.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *number = i64::from_ne_bytes(*bytes);
        }
        Ok(numbers)
    }

    /// Two times in seconds and parts of which so many nanoseconds are one; now without an address.
    fn times(&self, at: u64, nanoseconds: i64) -> Result<Timestamps, Errno> {
        let now = Timespec { tv_sec: 0, tv_nsec: libc::UTIME_NOW };
        if at == 0 {
            return Ok(Timestamps { last_access: now, last_modification: now });
        }
        let [access, access_part, change, change_part] = self.numbers(at)?;
        let time = |tv_sec, part: i64| Timespec { tv_sec, tv_nsec: part.saturating_mul(nanoseconds) };
        Ok(Timestamps { last_access: time(access, access_part), last_modification: time(change, change_part) })
    }

    #[cfg(target_arch = "x86_64")]
    fn seconds(&self, at: u64) -> Result<Timestamps, Errno> {
        if at == 0 {
            return self.times(0, 1);
        }
        let [access, change] = self.numbers(at)?;
        let time = |tv_sec| Timespec { tv_sec, tv_nsec: 0 };
        Ok(Timestamps { last_access: time(access), last_modification: time(change) })
    }
}

/// A name for an opened file, when it is one of the run: below its folder, or no file of any folder.
fn own(file: &OwnedFd, scratch: &Path) -> Result<PathBuf, Errno> {
    let name = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let real = fs::read_link(&name).map_err(number)?;
    let nowhere = real.is_relative() || real.as_os_str().as_bytes().starts_with(b"/memfd:");
    ensure(real.starts_with(scratch) || nowhere, Errno::PERM)?;
    Ok(name)
}

fn ensure(holds: bool, error: Errno) -> Result<(), Errno> {
    if holds { Ok(()) } else { Err(error) }
}

fn number(error: io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::PERM)
}
