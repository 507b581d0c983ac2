//! Runs a program in our place, as if it had been run directly, and keeps a copy of what went in and came out.
//!
//! Owns: the child process, its three streams, the signals meant for it, its time limit, and ending as it ended.
//! Deliberately not here: which program a tool is, redaction, storing, messages to people. Nothing is printed.
//!
//! [`run`] takes over the standard streams and the signals of the whole process, so it belongs into a process that does
//! nothing else: it is called once, by `fractal exec`. Only safe code: the kernel is reached through `rustix`, `signal-hook`
//! and `std`.
//!
//! What cannot be hidden from the tool:
//! - It writes to a pipe or to a pseudo terminal of ours, one per stream: where both end in the same place, what it writes
//!   to the two in quick succession may swap, and modes set on a pseudo terminal do not reach the real one.
//! - A captured pipe on standard input is read ahead of the tool. In `producer | while read x; do fractal exec …; done`
//!   the tool's declaration has to say `stdin = "inherit"`, as with `ssh -n`.
//! - The Rust runtime has opened `/dev/null` for a standard stream that was closed, and forgets that SIGPIPE was ignored.

mod input;
mod keep;
mod output;
pub mod relay;

use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::WithRawSiginfo;

use self::input::Intake;
use self::keep::Keep;
use self::output::{Flow, Outlet, Window, child_end};
use crate::model::Exit;

/// Bytes moved at once.
const CHUNK: usize = 64 * 1024;
/// Between SIGABRT, which makes Python say where it hangs, and SIGTERM.
const ABORT_GRACE: Duration = Duration::from_millis(300);
/// Between SIGTERM and SIGKILL.
const TERM_GRACE: Duration = Duration::from_secs(1);
/// `si_code` of a signal that the Linux kernel sent by itself: for SIGINT and SIGQUIT, a key pressed at the terminal.
const SENT_BY_KERNEL: i32 = 0x80;
/// Passed on to the child. SIGALRM: `perl -e 'alarm 9; exec @ARGV'` is a common time limit.
const RELAYED: [Signal; 7] = [Signal::TERM, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2, Signal::INT, Signal::ALARM];
/// How the reason in [`Exit::NotStarted`] ends when there is no such program; [`end_like`] gives 127 for it.
const NOT_FOUND: &str = "not found";

/// What to run and how much of it to keep.
pub struct Passthrough<'a> {
    /// The program and its arguments; the program is looked up in `PATH` as a shell does.
    pub argv: &'a [OsString],
    /// What to run instead when that cannot be started.
    pub otherwise: Option<&'a [OsString]>,
    /// Bytes kept of each stream.
    pub limit: usize,
    /// The child is ended after this long.
    pub timeout: Option<Duration>,
    /// Whether to keep standard input; otherwise it is inherited untouched.
    pub capture_stdin: bool,
}

/// What was seen of the run.
pub struct Captured {
    pub exit: Exit,
    /// What ran is [`Passthrough::otherwise`].
    pub fell_back: bool,
    /// From the start of the child to its end.
    pub duration: Duration,
    pub started: SystemTime,
    /// What the child consumed; `None` when it was a terminal or a device, or not to be captured.
    pub stdin: Option<Stream>,
    /// `None` when it could not be captured or nothing was started; the child then had ours.
    pub stdout: Option<Stream>,
    pub stderr: Option<Stream>,
    /// Why some output could not be passed on although somebody wanted it (a full disk), which the child cannot know.
    pub lost: Option<String>,
}

impl Captured {
    /// How our own process has to end: as the child did, but never with success when output was lost.
    pub fn ending(&self) -> Exit {
        match (&self.exit, &self.lost) {
            (Exit::Code(0), Some(_)) => Exit::Code(1),
            (exit, _) => exit.clone(),
        }
    }
}

/// The kept part of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The first `limit` bytes. Of a longer standard error the first and the last half of that, with a line between them
    /// that says how much is missing: what a program says last explains its end.
    pub bytes: Vec<u8>,
    /// Bytes that passed.
    pub total: u64,
    /// Some are missing from `bytes`.
    pub truncated: bool,
}

/// Runs the program to its end; `meanwhile` is called when it has started and must not take long. Standard output may be closed (it is
/// `/dev/null` then) when this returns.
pub fn run(spec: &Passthrough<'_>, meanwhile: impl FnOnce()) -> Captured {
    let signals = receive_signals().ok();
    let flow = Flow::new().ok();
    let open = |to, keep| flow.as_ref().and_then(|flow| Outlet::open(to, keep, flow).ok());
    let mut stdin = Intake::prepare(spec);
    let mut stdout = open(rustix::stdio::stdout(), Keep::head(spec.limit));
    let mut stderr = open(rustix::stdio::stderr(), Keep::both_ends(spec.limit));
    let ends = [stdin.child_end(), child_end(&mut stdout), child_end(&mut stderr)];
    let python = spec.timeout.is_some() && is_python(spec.argv);
    let own_group = spec.timeout.is_some() && !in_foreground();

    let (started, clock) = (SystemTime::now(), Instant::now());
    let first = start(spec.argv, &ends, python, own_group).map(|child| (child, false));
    let begun = first.or_else(|why| match spec.otherwise {
        Some(argv) => start(argv, &ends, python, own_group).map(|child| (child, true)),
        None => Err(why),
    });
    let (child, fell_back) = match begun {
        Ok(begun) => begun,
        Err(why) => {
            let (exit, duration, fell_back) = (Exit::NotStarted(why), clock.elapsed(), spec.otherwise.is_some());
            return Captured { exit, fell_back, duration, started, stdin: None, stdout: None, stderr: None, lost: None };
        }
    };
    drop(ends);
    let stdin = stdin.begin();
    meanwhile();
    let windows = [&mut stdout, &mut stderr].into_iter().flatten().filter_map(|outlet| outlet.window.take()).collect();
    let mut running = Running { child, own_group, signals, windows };
    let exit = running.until_end(spec.timeout.and_then(|limit| clock.checked_add(limit)), python);
    let duration = clock.elapsed();
    let stdin = stdin.take();
    if let Some(flow) = flow {
        flow.finish(&mut running, exit == Exit::TimedOut);
    }
    let lost = [&stdout, &stderr].into_iter().flatten().find_map(|outlet| lock(&outlet.keep).lost.take());
    let (stdout, stderr) = (stdout.map(Outlet::take), stderr.map(Outlet::take));
    Captured { exit, fell_back, duration, started, stdin, stdout, stderr, lost }
}

/// Ends this process as `exit` says: with the same code, or by the same signal but without a core dump; 124 for a time-out,
/// 127 when the program was not found and 126 when it could not be executed.
#[expect(clippy::exit, reason = "ending the process is what this function is for, and its caller has nothing left to do")]
pub fn end_like(exit: &Exit) -> ! {
    let code = match exit {
        Exit::Code(code) => *code,
        Exit::TimedOut => 124,
        Exit::NotStarted(why) if why.ends_with(NOT_FOUND) => 127,
        Exit::NotStarted(_) => 126,
        Exit::Signal(signal) => {
            // The limit for files, the flag for systems that pipe core dumps to a program.
            let _ = rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
            #[cfg(target_os = "linux")]
            let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
            if signal_hook::low_level::emulate_default_handler(*signal).is_err() {
                let _ = signal_hook::low_level::raise(*signal);
            }
            128 + signal
        }
    };
    std::process::exit(code)
}

/// Starts this program with other arguments and does not wait for it: it has none of our descriptors, streams or folders, and must
/// call [`withdraw`] first of all. Ours are closed in whatever else this process starts from now on.
///
/// # Errors
/// When it cannot be started.
pub fn leave_behind(arguments: &[&OsStr]) -> io::Result<()> {
    // What our caller gave us open (a lock, a pipe that somebody reads to its end) is not to be held for longer than the tool ran.
    close_fds::set_fds_cloexec(3, &[]);
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map(drop)
}

/// Leaves our caller's session and terminal, and gives way to everybody who wants the processor.
pub fn withdraw() {
    // It fails for the leader of a group, which is alone already.
    let _ = rustix::process::setsid();
    let _ = rustix::process::nice(19);
}

// Starting.

/// Starts the program; `Err` is the reason for people. A script without a `#!` line is given to `sh`, as every shell does.
fn start(argv: &[OsString], ends: &[Option<OwnedFd>; 3], python: bool, own_group: bool) -> Result<Child, String> {
    let Some((program, args)) = argv.split_first() else { return Err("the command is empty".to_owned()) };
    let spawn = |program: &OsStr, script: Option<&OsStr>| {
        let [stdin, stdout, stderr] = ends;
        let mut command = Command::new(program);
        command.args(script).args(args).stdin(stdio(stdin)?).stdout(stdio(stdout)?).stderr(stdio(stderr)?);
        if python {
            command.env("PYTHONFAULTHANDLER", "1");
        }
        if own_group {
            command.process_group(0);
        }
        command.spawn()
    };
    let direct = spawn(program, None);
    let is_path = program.as_bytes().contains(&b'/');
    let no_format = |error: &io::Error| error.raw_os_error() == Some(Errno::NOEXEC.raw_os_error());
    let child = match direct {
        Err(error) if is_path && no_format(&error) => spawn(OsStr::new("/bin/sh"), Some(program)),
        other => other,
    };
    let name = program.to_string_lossy();
    child.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound if is_path && Path::new(program).exists() => {
            format!("the interpreter of `{name}` was {NOT_FOUND}")
        }
        io::ErrorKind::NotFound => format!("`{name}` was {NOT_FOUND}"),
        _ => format!("`{name}` could not be executed: {error}"),
    })
}

fn stdio(end: &Option<OwnedFd>) -> io::Result<Stdio> {
    end.as_ref().map_or_else(|| Ok(Stdio::inherit()), |fd| fd.try_clone().map(Stdio::from))
}

/// Whether Python will be the child itself: by the name of the program, or by the first line of a script.
fn is_python(argv: &[OsString]) -> bool {
    let Some(program) = argv.first().map(Path::new) else { return false };
    let in_name = |path: &Path| path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"python"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).filter(|_| program.components().count() == 1);
    let mut places = folders.map(|folder| folder.join(program)).chain([program.to_path_buf()]);
    let found = places.find(|file| file.is_file());
    let mut line = [0; 128];
    let mut read = |file: PathBuf| std::fs::File::open(file).and_then(|mut file| file.read(&mut line));
    let length = found.map_or(0, |file| read(file).unwrap_or(0));
    let first = line[..length].split(|byte| *byte == b'\n').next().unwrap_or_default();
    in_name(program) || first.starts_with(b"#!") && first.windows(6).any(|word| word == b"python")
}

/// Whether our group is the one that a terminal's keys reach.
fn in_foreground() -> bool {
    rustix::fs::open("/dev/tty", OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
        .and_then(rustix::termios::tcgetpgrp)
        .is_ok_and(|group| group == rustix::process::getpgrp())
}

// Signals.

type Signals = SignalDelivery<UnixStream, WithRawSiginfo>;

/// Catches what has to be passed on. What our parent made us ignore (`nohup`, `cmd &` in a script) stays ignored, so that
/// the child inherits that. SIGXFSZ is caught so that a file size limit cannot end us while we pass on or record.
fn receive_signals() -> io::Result<Signals> {
    let ignored = ignored_signals();
    let wanted = RELAYED.into_iter().chain([Signal::WINCH, Signal::XFSZ]).map(Signal::as_raw);
    let caught = wanted.filter(|signal| ignored >> (signal - 1) & 1 == 0).chain([Signal::CHILD.as_raw()]);
    let (read, write) = UnixStream::pair()?;
    SignalDelivery::with_pipe(read, write, WithRawSiginfo, caught)
}

/// Bit n - 1 stands for signal n; nothing where there is no `/proc`.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// The child and what has to happen while it runs.
struct Running {
    child: Child,
    /// It leads a process group that is ours to end.
    own_group: bool,
    /// `None` when the process has no descriptor left for them: then there is no time limit either.
    signals: Option<Signals>,
    windows: Vec<Window>,
}

impl Running {
    /// Waits for the child's end, passing signals on; from `deadline` on it is asked, then forced, to end.
    fn until_end(&mut self, deadline: Option<Instant>, python: bool) -> Exit {
        let abort = python.then_some((Signal::ABORT, Some(ABORT_GRACE)));
        let mut steps = abort.into_iter().chain([(Signal::TERM, Some(TERM_GRACE)), (Signal::KILL, None)]);
        let (mut due, mut timed_out) = (deadline, false);
        while self.signals.is_some() {
            self.relay();
            if self.has_ended() {
                break;
            }
            if due.is_some_and(|due| Instant::now() >= due) {
                let Some((signal, grace)) = steps.next() else { break };
                due = grace.map(|grace| Instant::now() + grace);
                timed_out = true;
                self.end_by(signal);
                continue;
            }
            if let Some(signals) = &self.signals {
                wait(&mut [PollFd::new(signals.get_read(), PollFlags::IN)], due);
            }
        }
        if timed_out && self.own_group {
            // Before the child is reaped: its number still names the group.
            let _ = rustix::process::kill_process_group(self.pid(), Signal::KILL);
        }
        match self.child.wait() {
            _ if timed_out => Exit::TimedOut,
            Ok(status) => status.code().map_or_else(|| Exit::Signal(status.signal().unwrap_or(0)), Exit::Code),
            Err(error) => Exit::NotStarted(format!("its end could not be seen: {error}")),
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Without reaping it: until then its number cannot become another process's.
    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(rustix::process::waitid(WaitId::Pid(self.pid()), options), Ok(None))
    }

    /// The time limit's doing. SIGABRT is for the interpreter alone, and leaves no core dump.
    fn end_by(&self, signal: Signal) {
        if signal == Signal::ABORT {
            #[cfg(target_os = "linux")]
            let _ = rustix::process::prlimit(Some(self.pid()), Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
            let _ = rustix::process::kill_process(self.pid(), signal);
        } else if self.own_group {
            let _ = rustix::process::kill_process_group(self.pid(), signal);
        } else {
            let _ = rustix::process::kill_process(self.pid(), signal);
        }
    }

    /// Passes on the signals that have come, except those that the terminal has sent to the child as well.
    fn relay(&mut self) {
        for (signal, code) in self.received() {
            if signal == Signal::WINCH {
                // The child may have looked before the new size was there: it is told again.
                self.windows.iter().for_each(Window::copy_size);
            } else if !self.own_group && [Signal::INT, Signal::QUIT].contains(&signal) {
                let by_terminal = if cfg!(target_os = "linux") { code == SENT_BY_KERNEL } else { in_foreground() };
                if by_terminal {
                    continue;
                }
            }
            let _ = rustix::process::kill_process(self.pid(), signal);
        }
    }

    /// The signals since the last call that are the child's business, each with its `si_code`.
    fn received(&mut self) -> Vec<(Signal, i32)> {
        let pending = self.signals.as_mut().map(SignalDelivery::pending).into_iter().flatten();
        let named = |raw: i32| RELAYED.into_iter().chain([Signal::WINCH]).find(|signal| signal.as_raw() == raw);
        pending.filter_map(|info| named(info.si_signo).map(|signal| (signal, info.si_code))).collect()
    }
}

// Shared by the streams.

/// Waits until one of them is ready or the time has come.
fn wait(fds: &mut [PollFd<'_>], until: Option<Instant>) {
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(fds, left.as_ref()) {
            Err(Errno::INTR) => {}
            _ => return,
        }
    }
}

fn null() -> Result<OwnedFd, Errno> {
    rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
}

fn lock<T: ?Sized>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_is_known_by_its_name_or_by_the_first_line_of_a_script() {
        let folder = tempfile::tempdir().expect("a folder");
        let script = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("writes");
            is_python(&[path.into_os_string()])
        };
        assert!(is_python(&["/no/such/python3.12".into(), "x.py".into()]));
        assert!(script("a", "#!/usr/bin/env python3\nprint()\n"));
        assert!(!script("b", "#!/bin/sh\n# not python\n"));
        assert!(!script("c", "") && !is_python(&[]) && !is_python(&["no such program".into()]));
    }

    #[test]
    fn lost_output_is_no_success() {
        let captured = |exit, lost: Option<&str>| Captured {
            exit,
            fell_back: false,
            duration: Duration::ZERO,
            started: SystemTime::UNIX_EPOCH,
            stdin: None,
            stdout: None,
            stderr: None,
            lost: lost.map(str::to_owned),
        };
        assert_eq!(captured(Exit::Code(0), Some("disk full")).ending(), Exit::Code(1));
        assert_eq!(captured(Exit::Signal(9), Some("disk full")).ending(), Exit::Signal(9));
        assert_eq!(captured(Exit::Code(0), None).ending(), Exit::Code(0));
    }
}
