//! Looking after a run from outside: what limits of the kernel do not bound. Processes, memory of all of them together, the disk.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::confine::{Confined, Limits};

/// Which limit a run has broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Breach {
    Memory,
    Processes,
    Disk,
    Output,
}

impl Breach {
    /// In a message.
    pub fn word(self) -> &'static str {
        match self {
            Breach::Memory => "memory",
            Breach::Processes => "processes",
            Breach::Disk => "disk",
            Breach::Output => "output",
        }
    }
}

/// Between two looks.
pub const EVERY: Duration = Duration::from_millis(25);
/// The scratch folder is gone through again after so many times what it took the last time.
const REST: u32 = 20;

/// When to look.
#[derive(Debug)]
pub struct Watched {
    next: Instant,
    /// At the folder.
    folder: Instant,
}

impl Watched {
    pub(super) fn new() -> Watched {
        let next = Instant::now() + EVERY;
        Watched { next, folder: next }
    }
}

impl Confined {
    /// Looks at everything, if it is time to: the limit that is broken, if one is.
    pub fn look(&mut self) -> Option<Breach> {
        if Instant::now() < self.watched.next {
            return None;
        }
        self.watched.next = Instant::now() + EVERY;
        let Limits { memory, processes: allowed, disk, .. } = self.inside.confinement.limits;
        let own = processes(self.pid);
        if threads(&own) > allowed {
            return Some(Breach::Processes);
        }
        // What is shared is counted once only where it may matter.
        let used: u64 = own.iter().filter_map(|pid| resident(*pid)).sum();
        let most = memory.together;
        if used > most && own.iter().filter_map(|pid| proportional(*pid)).sum::<u64>() > most {
            return Some(Breach::Memory);
        }
        let now = Instant::now();
        if self.watched.folder <= now {
            let size = nameless(&own).saturating_add(below(&self.inside.scratch, disk));
            self.watched.folder = Instant::now() + (now.elapsed() * REST).max(EVERY * 2);
            return (size > disk).then_some(Breach::Disk);
        }
        None
    }
}

/// The processes that came from this one, without it.
pub(super) fn processes(root: i32) -> Vec<i32> {
    let (mut found, mut open) = (Vec::new(), vec![root]);
    while let Some(pid) = open.pop() {
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for task in tasks.flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            open.extend(children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
        }
        found.push(pid);
    }
    found.retain(|pid| *pid != root);
    found
}

/// The threads of all of them.
pub(super) fn threads(processes: &[i32]) -> u64 {
    processes.iter().filter_map(|pid| stat(*pid, 17)).map(|count| count.max(1) as u64).sum()
}

/// The threads of all processes of a user.
pub(super) fn threads_of(user: u32) -> u64 {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let own = entries.filter(|entry| entry.metadata().is_ok_and(|data| data.uid() == user));
    threads(&own.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect::<Vec<i32>>())
}

/// The process of a thread.
pub(super) fn process_of(thread: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

pub(super) fn group_of(pid: i32) -> Option<i32> {
    stat(pid, 2).and_then(|group| group.try_into().ok())
}

/// A field of `stat` (proc(5)), counted from the state, which is 0.
fn stat(pid: i32, field: usize) -> Option<i64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(field)?.parse().ok()
}

/// Bytes of memory that are a process's own, or that it shares with where it was forked from.
fn resident(pid: i32) -> Option<u64> {
    let pages = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let mut pages = pages.split_whitespace().skip(1).map_while(|count| count.parse::<u64>().ok());
    let own = pages.next()?.saturating_sub(pages.next()?);
    Some(own * rustix::param::page_size() as u64)
}

/// Bytes of memory, of what several share only a part.
fn proportional(pid: i32) -> Option<u64> {
    let all = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let kibibytes: u64 =
        all.lines().find_map(|line| line.strip_prefix("Pss:"))?.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

/// Bytes of files that are open and have no name: they take room and are in no folder.
fn nameless(processes: &[i32]) -> u64 {
    let (mut seen, mut size) = (BTreeSet::new(), 0_u64);
    for pid in processes {
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let Ok(file) = fs::metadata(entry.path()) else { continue };
            if file.nlink() == 0 && file.is_file() && seen.insert((file.dev(), file.ino())) {
                size = size.saturating_add(file.blocks() * 512);
            }
        }
    }
    size
}

/// Bytes on disk below a folder; stops counting beyond `enough`.
fn below(folder: &Path, enough: u64) -> u64 {
    let (mut open, mut size) = (vec![folder.to_path_buf()], 0_u64);
    while let Some(entries) = open.pop().map(fs::read_dir) {
        for entry in entries.into_iter().flatten().flatten() {
            let Ok(file) = entry.metadata() else { continue };
            size = size.saturating_add(file.blocks() * 512);
            if file.is_dir() {
                open.push(entry.path());
            }
            if size > enough {
                return size;
            }
        }
    }
    size
}
