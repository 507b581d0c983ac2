//! Starting a process in confinement, and ending it with all that it started.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io::{self, IoSliceMut, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, Resource, WaitOptions, getrlimit, waitpid};

use super::calls::{Beside, Filters};
use super::cgroup::Group;
use super::observe::Observed;
use super::raw::{Pair, Plan, Strings};
use super::report::{self, Report};
use super::view::View;
use super::watch::Watched;
use crate::model::Exit;
use crate::world::process::Used;

/// Bytes of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Of addresses, for each process; none where it is to reserve as many as it likes, as engines that compile at run time do.
    pub addresses: Option<u64>,
    /// What all processes together may really use.
    pub together: u64,
}

/// The most that a run may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub memory: Memory,
    /// Processes and threads at a time.
    pub processes: u64,
    /// Bytes below the scratch folder, and of any one file.
    pub disk: u64,
    /// Bytes of output, kept or not.
    pub output: u64,
}

/// Files that one process may have open.
const OPEN_FILES: u64 = 4096;
/// Bytes of each private folder that is kept in memory.
const PRIVATE: &str = "size=64m,mode=1777";

/// What confines runs, prepared once.
#[derive(Debug)]
pub struct Confinement {
    pub(super) view: View,
    pub(super) beside: Beside,
    /// Filters of system calls, and whether the last one asks: of a plain run, and of one that is observed. None without seccomp.
    pub(super) filters: Option<[Filters; 2]>,
    pub(super) limits: Limits,
    /// Processes and threads that the user may have: inside of a run's own namespace, or all of them.
    pub(super) of_user: Option<u64>,
    pub(super) ids: (u32, u32),
    /// Where control groups can be made.
    pub(super) groups: Option<PathBuf>,
}

/// Confinement to one scratch folder.
#[derive(Clone, Debug)]
pub struct Inside {
    pub confinement: Arc<Confinement>,
    /// The folder around the checkout, with everything that may be written to.
    pub scratch: PathBuf,
    /// Where it is noted what the run does.
    pub observed: Option<Arc<Mutex<Observed>>>,
    /// Through this a listener in the run's own network is sent; only with namespaces.
    pub outlet: Option<Arc<OwnedFd>>,
}

/// Folders in private ones that a run may read: programs that are installed below `/tmp`. More of them are not there.
pub(super) const SHOWN_MAX: usize = 16;

/// What a run gets of its own where that is allowed.
pub(super) struct Namespaces {
    /// Files and what is written to them: who we are inside.
    pub maps: [(&'static CStr, Vec<u8>); 3],
    /// Folders that are empty and private inside, with options for their `tmpfs`.
    pub private: Vec<(CString, CString)>,
    /// Folders in private ones that a run may read, at most [`SHOWN_MAX`].
    pub shown: Vec<CString>,
    /// Folders that lead to those and to the scratch folder and have to be made again in a private one, from the outside in.
    pub lead: Vec<CString>,
    /// The scratch folder: the only thing of the outside that can be written to.
    pub scratch: CString,
}

/// What is started: names as the kernel wants them.
pub struct Program<'a> {
    pub argv: &'a [OsString],
    /// All of the environment.
    pub env: &'a [(OsString, OsString)],
    pub folder: &'a Path,
    /// Processor time of each process.
    pub time: Option<Duration>,
}

/// A process in confinement. When the value goes, so does all that it started.
pub struct Confined {
    pair: Option<Pair>,
    control: Option<PipeWriter>,
    reports: PipeReader,
    pub(super) listener: Option<OwnedFd>,
    pub(super) pid: i32,
    pub(super) inside: Inside,
    pub(super) watched: Watched,
    /// Goes after the processes in it.
    _group: Option<Group>,
}

impl Inside {
    /// Bytes of output after which a run is ended.
    pub fn output(&self) -> u64 {
        self.confinement.limits.output
    }

    /// Starts a program with these standard streams.
    ///
    /// # Errors
    /// When it cannot be started, with the reason as the kernel has it.
    pub fn start(&self, program: &Program<'_>, streams: [BorrowedFd<'_>; 3]) -> io::Result<Confined> {
        let Confinement { view, beside, filters, groups, .. } = &*self.confinement;
        let (control, to_control) = io::pipe()?;
        let (reports, to_reports) = io::pipe()?;
        let (ours, theirs) = UnixStream::pair()?;
        let ruleset = view.ruleset(&self.scratch, beside.namespaces).map_err(io::Error::other)?;
        let kind = usize::from(self.observed.is_some());
        let (filters, asks) = filters.as_ref().and_then(|both| both.get(kind)).cloned().unwrap_or_default();
        let Limits { processes, memory, .. } = self.confinement.limits;
        let group = groups.as_ref().map(|parent| Group::new(parent, processes, memory.together)).transpose()?;
        let door = group.as_ref().map(Group::door).transpose()?;
        let strings = |all: &mut dyn Iterator<Item = OsString>| all.map(|one| c_string(&one)).collect::<io::Result<Vec<_>>>();
        let variable = |(name, value): &(OsString, OsString)| [name.as_os_str(), OsStr::new("="), value].into_iter().collect();
        let plan = Plan {
            programs: strings(&mut places(program).into_iter().map(PathBuf::into_os_string))?,
            arguments: Strings::new(strings(&mut program.argv.iter().cloned())?),
            environment: Strings::new(strings(&mut program.env.iter().map(variable))?),
            folder: c_string(program.folder.as_os_str())?,
            streams: streams.map(|stream| stream.as_raw_fd()),
            control: control.as_raw_fd(),
            report: to_reports.as_raw_fd(),
            limits: self.limits(program.time),
            ruleset: ruleset.as_ref().map(AsRawFd::as_raw_fd),
            late_rules: self.late_rules(),
            filters,
            listener: asks.then(|| theirs.as_raw_fd()),
            namespaces: beside.namespaces.then(|| self.namespaces()).transpose()?,
            cgroup: door.as_ref().map(AsRawFd::as_raw_fd),
            outlet: self.outlet.as_deref().map(AsRawFd::as_raw_fd),
        };
        let pair = Pair::start(plan)?;
        // From here on only the processes have these.
        drop((control, to_reports, theirs, ruleset, door));
        let pid = pair.pid;
        let confined = Confined {
            pair: Some(pair),
            control: Some(to_control),
            reports,
            listener: None,
            pid,
            inside: self.clone(),
            watched: Watched::new(),
            _group: group,
        };
        confined.begun(asks.then_some(ours))
    }

    fn limits(&self, time: Option<Duration>) -> Vec<(u32, u64)> {
        let Limits { memory, disk, .. } = self.confinement.limits;
        let seconds = time.map(|time| time.as_secs().saturating_mul(cores()).saturating_add(2));
        let all = [
            (Resource::As, memory.addresses),
            (Resource::Core, Some(0)),
            (Resource::Fsize, Some(disk)),
            (Resource::Nofile, Some(OPEN_FILES)),
            (Resource::Cpu, seconds),
            (Resource::Nproc, self.confinement.of_user),
        ];
        let bounded = |(resource, value): (Resource, Option<u64>)| {
            let most = getrlimit(resource).maximum.unwrap_or(u64::MAX);
            Some((resource as u32, value?.min(most)))
        };
        all.into_iter().filter_map(bounded).collect()
    }

    fn late_rules(&self) -> Vec<(CString, u64)> {
        let Confinement { view, beside, .. } = &*self.confinement;
        let (read, write) = (view.late(false), view.late(true));
        match beside.namespaces {
            true => {
                vec![(c"/proc".into(), read), (c"/tmp".into(), write), (c"/var/tmp".into(), write), (c"/dev/shm".into(), write)]
            }
            // Other processes are seen there too: only what a program may know of itself.
            false => vec![(c"/proc/self".into(), read)],
        }
    }

    fn namespaces(&self) -> io::Result<Namespaces> {
        let (user, group) = self.confinement.ids;
        let map = |id: u32| format!("{id} {id} 1").into_bytes();
        let private: Vec<&Path> =
            ["/tmp", "/var/tmp", "/dev/shm"].iter().map(Path::new).filter(|folder| is_folder(folder)).collect();
        let around = |path: &Path| private.iter().copied().find(|folder| path.starts_with(folder));
        let mut shown: Vec<&Path> =
            self.confinement.view.folders().filter(|folder| around(folder).is_some() && folder.is_dir()).collect();
        shown.truncate(SHOWN_MAX);
        let to = |path: &'_ Path| -> Vec<PathBuf> {
            path.ancestors()
                .take_while(|folder| around(path).is_some_and(|around| *folder != around))
                .map(Path::to_path_buf)
                .collect()
        };
        let lead: BTreeSet<PathBuf> = shown.iter().copied().chain([self.scratch.as_path()]).flat_map(to).collect();
        let lead: Vec<&Path> = lead.iter().map(PathBuf::as_path).collect();
        let c_strings = |paths: &[&Path]| paths.iter().map(|path| c_string(path.as_os_str())).collect::<io::Result<Vec<_>>>();
        Ok(Namespaces {
            maps: [
                (c"/proc/self/setgroups", b"deny".to_vec()),
                (c"/proc/self/uid_map", map(user)),
                (c"/proc/self/gid_map", map(group)),
            ],
            private: c_strings(&private)?
                .into_iter()
                .map(|folder| Ok((folder, c_string(OsStr::new(PRIVATE))?)))
                .collect::<io::Result<_>>()?,
            shown: c_strings(&shown)?,
            lead: c_strings(&lead)?,
            scratch: c_string(self.scratch.as_os_str())?,
        })
    }
}

impl Confined {
    /// Waits until the program runs; the listener comes through `socket` before.
    fn begun(mut self, socket: Option<UnixStream>) -> io::Result<Confined> {
        // None comes when something has failed, which is told.
        self.listener = socket.and_then(|socket| received(&socket).ok());
        while let Some(listener) = &self.listener {
            let mut both = [PollFd::new(&self.reports, PollFlags::IN), PollFd::new(listener, PollFlags::IN)];
            let _ = poll(&mut both, None);
            if !both[0].revents().is_empty() {
                break;
            }
            self.answer();
        }
        match told(&mut self.reports) {
            Some(Report { kind: report::STARTED, .. }) => Ok(self),
            Some(Report { value, extra, .. }) => {
                let error = io::Error::from_raw_os_error(value);
                let step = report::STEPS.get(usize::try_from(extra).unwrap_or(usize::MAX)).copied().unwrap_or_default();
                Err(if extra == 0 { error } else { io::Error::new(error.kind(), format!("{step}: {error}")) })
            }
            None => Err(io::Error::other("it ended before it had begun")),
        }
    }

    /// Readable when the program has ended and all that it started.
    pub fn ended(&self) -> BorrowedFd<'_> {
        self.reports.as_fd()
    }

    /// Readable when a call has to be answered.
    pub fn listener(&self) -> Option<BorrowedFd<'_>> {
        self.listener.as_ref().map(OwnedFd::as_fd)
    }

    /// When nobody is left who could ask.
    pub fn forget_listener(&mut self) {
        self.listener = None;
    }

    /// Asks the program to show where it hangs.
    pub fn abort(&mut self) {
        if let Some(control) = &mut self.control {
            let _ = control.write_all(&[report::ABORT]);
        }
    }

    /// Begins to end everything; [`Confined::ended`] tells when it is done.
    pub fn kill(&mut self) {
        self.control = None;
        // Nobody is left to allow new processes.
        self.listener = None;
    }

    /// How the program ended, and the processor time of everything that ran.
    pub fn end(&mut self) -> (Exit, Option<Used>) {
        self.kill();
        let said = told(&mut self.reports).filter(|report| report.kind == report::ENDED);
        self.reap();
        match said {
            Some(Report { value, extra, .. }) => {
                let cpu = Duration::from_micros(extra & ((1 << 48) - 1));
                (exit(value), Some(Used { cpu, memory: Some((extra >> 48) << 20) }))
            }
            None => (Exit::Signal(libc::SIGKILL), None),
        }
    }

    /// Everything has ended but the first process, which takes its namespaces down: it is waited for when there is time.
    fn reap(&mut self) {
        static ENDING: Mutex<Vec<Pair>> = Mutex::new(Vec::new());
        let Ok(mut ending) = ENDING.lock() else { return };
        ending.extend(self.pair.take());
        let all = std::mem::take(&mut *ending);
        for pair in all {
            let pid = Pid::from_raw(pair.pid);
            // Any answer but none yet means that nobody of this number is our child.
            match pid.map(|pid| waitpid(Some(pid), WaitOptions::NOHANG)) {
                Some(Ok(None) | Err(rustix::io::Errno::INTR)) => ending.push(pair),
                _ => pair.gone(),
            }
        }
    }
}

impl Drop for Confined {
    fn drop(&mut self) {
        if self.pair.is_some() {
            self.end();
        }
    }
}

/// As wait(2) has it.
fn exit(status: i32) -> Exit {
    match status & 0x7f {
        0 => Exit::Code((status >> 8) & 0xff),
        signal => Exit::Signal(signal),
    }
}

/// The next report; none when the first process is gone.
fn told(from: &mut PipeReader) -> Option<Report> {
    let mut bytes = [0; 16];
    from.read_exact(&mut bytes).ok()?;
    Some(Report::of(bytes))
}

/// The descriptor that was sent.
///
/// # Errors
/// When none was, and when nothing was and `socket` does not wait.
pub fn received(socket: &impl AsFd) -> io::Result<OwnedFd> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut passed = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut passed, RecvFlags::CMSG_CLOEXEC)?;
    let descriptors = passed.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    descriptors.flatten().next().ok_or_else(|| io::Error::other("nothing was sent"))
}

/// Where the program may be, in the order of the environment's `PATH`.
fn places(program: &Program<'_>) -> Vec<PathBuf> {
    let name = program.argv.first().cloned().unwrap_or_default();
    if name.as_bytes().contains(&b'/') {
        return vec![name.into()];
    }
    let path =
        program.env.iter().rev().find(|(variable, _)| variable == "PATH").map(|(_, value)| value.clone()).unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(&name)).collect()
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a zero byte in a name or an argument"))
}

fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
}

fn cores() -> u64 {
    std::thread::available_parallelism().map_or(1, |count| count.get() as u64)
}
