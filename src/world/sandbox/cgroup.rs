//! Control groups (version 2), where a part of their tree is ours: the kernel then counts the processes and the memory of a whole run.
//!
//! They are made beside our own group or in it, whichever is delegated to us with the controllers `pids` and `memory`
//! (`Delegate=yes`, `DelegateSubgroup=…` of systemd). Where they are not, everything here is bounded otherwise.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The group of one run. Everything in it ends with the value.
#[derive(Debug)]
pub(super) struct Group {
    folder: PathBuf,
}

/// Looks at a group that may not be empty yet, at most.
const TRIES: usize = 1000;

/// Where groups can be made.
///
/// # Errors
/// Why nowhere.
pub(super) fn parent() -> Result<PathBuf, String> {
    let (top, own) = own().ok_or("there is no hierarchy of version 2")?;
    let mut why = String::new();
    // Not the file system that its mount stands in.
    for folder in own.ancestors().take(2).filter(|folder| folder.starts_with(&top)) {
        // Where it is done already, or somebody else decides, this fails and does no harm.
        let _ = set(folder, "cgroup.subtree_control", "+pids +memory");
        match Group::new(folder, 64, 64 << 20) {
            Ok(_) => return Ok(folder.to_path_buf()),
            Err(error) => why = format!("`pids` and `memory` are not delegated to us in `{}`: {error}", folder.display()),
        }
    }
    Err(why)
}

/// Writes to a file that the kernel has made.
fn set(folder: &Path, file: &str, value: &str) -> io::Result<()> {
    File::options().write(true).open(folder.join(file))?.write_all(value.as_bytes())
}

/// Where the hierarchy begins, and the folder of our own group in it (cgroups(7)).
fn own() -> Option<(PathBuf, PathBuf)> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
    let mut fields = mount.split(' ').skip(3);
    let (root, at) = (fields.next()?, fields.next()?);
    let inner = Path::new(path).strip_prefix(root).ok()?;
    Some((at.into(), Path::new(at).join(inner)))
}

impl Group {
    /// A new one below `parent` with these limits.
    pub fn new(parent: &Path, processes: u64, memory: u64) -> io::Result<Group> {
        let group = Group { folder: parent.join(format!("run-{}", uuid::Uuid::new_v4().simple())) };
        fs::create_dir(&group.folder)?;
        set(&group.folder, "pids.max", &processes.to_string())?;
        set(&group.folder, "memory.max", &memory.to_string())?;
        Ok(group)
    }

    /// Who writes `0` to it is in the group.
    pub fn door(&self) -> io::Result<File> {
        File::options().write(true).open(self.folder.join("cgroup.procs"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = set(&self.folder, "cgroup.kill", "1");
        // What was killed leaves the group when it is gone, which nobody tells us who are not its parent.
        for _ in 0..TRIES {
            match fs::remove_dir(&self.folder) {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => std::thread::yield_now(),
                _ => break,
            }
        }
    }
}
