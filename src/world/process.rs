//! Starting processes that we wait for: bounded in time, memory and output, killed as a group.
//!
//! Everything that runs tools, tests or candidates comes through [`run`]. What the user runs through `fractal exec` does not:
//! that is `passthrough`, which must not stand in the tool's way.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};

use crate::model::Exit;

/// What to run, and its limits.
#[derive(Clone, Debug)]
pub struct Spawn {
    pub argv: Vec<OsString>,
    pub cwd: PathBuf,
    pub stdin: Vec<u8>,
    /// Set over the environment, or over nothing when `clear_env`.
    pub env: Vec<(OsString, OsString)>,
    pub clear_env: bool,
    pub time: Duration,
    /// Address space in bytes; `None` for no limit.
    pub memory: Option<u64>,
    /// Bytes kept of standard output and of standard error; the rest is read and thrown away.
    pub output: usize,
}

impl Spawn {
    /// A process with an empty standard input, the inherited environment and 1 MiB of output.
    pub fn new(argv: Vec<OsString>, cwd: &Path, time: Duration) -> Self {
        Spawn {
            argv,
            cwd: cwd.to_path_buf(),
            stdin: Vec::new(),
            env: Vec::new(),
            clear_env: false,
            time,
            memory: None,
            output: 1 << 20,
        }
    }
}

/// How it ended.
#[derive(Clone, Debug)]
pub struct Finished {
    pub exit: Exit,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub duration: Duration,
    /// Processor time of the process and of those of its children that it waited for; the duration where nobody tells. To about 10 ms.
    pub cpu: Duration,
}

/// Time given to readers after the process has ended, for grandchildren that keep its pipes open.
const DRAIN: Duration = Duration::from_millis(500);
/// Time between asking a process to show where it hangs (SIGABRT) and killing it.
const GRACE: Duration = Duration::from_millis(300);

/// Runs a process to its end. The process leads a group of its own, and the whole group is killed at the time limit and after
/// the end, so nothing is left behind that did not leave the group.
pub fn run(spawn: &Spawn) -> Finished {
    let started = Instant::now();
    let ended = |exit, stdout, stderr, cpu: Option<Duration>| {
        let duration = started.elapsed();
        Finished { exit, stdout, stderr, duration, cpu: cpu.unwrap_or(duration) }
    };
    let mut child = match command(spawn).spawn() {
        Ok(child) => child,
        Err(error) => {
            let program = spawn.argv.first().map(|program| program.to_string_lossy().into_owned()).unwrap_or_default();
            return ended(Exit::NotStarted(format!("`{program}`: {error}")), Vec::new(), Vec::new(), None);
        }
    };
    let group = Pid::from_child(&child);
    limit_memory(group, spawn.memory);
    feed(child.stdin.take(), spawn.stdin.clone());
    let stdout = collect(child.stdout.take(), spawn.output);
    let stderr = collect(child.stderr.take(), spawn.output);
    let (status, waiter) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        // What it used is told until it has been waited for.
        let _ = waitid(WaitId::Pid(group), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        let cpu = used(group);
        let _ = status.send((child.wait(), cpu));
        child
    });
    let (exit, cpu) = match waiter.recv_timeout(spawn.time) {
        Ok((Ok(status), cpu)) => {
            (status.code().map(Exit::Code).or(status.signal().map(Exit::Signal)).unwrap_or(Exit::Code(-1)), cpu)
        }
        Ok((Err(error), cpu)) => (Exit::NotStarted(error.to_string()), cpu),
        Err(_) => {
            let _ = rustix::process::kill_process_group(group, Signal::ABORT);
            let told = waiter.recv_timeout(GRACE).or_else(|_| {
                let _ = rustix::process::kill_process_group(group, Signal::KILL);
                waiter.recv_timeout(GRACE)
            });
            (Exit::TimedOut, told.ok().and_then(|(_, cpu)| cpu))
        }
    };
    let _ = rustix::process::kill_process_group(group, Signal::KILL);
    if exit != Exit::TimedOut {
        let _: Result<Child, _> = thread.join();
    }
    let take = |receiver: mpsc::Receiver<Vec<u8>>| receiver.recv_timeout(DRAIN).unwrap_or_default();
    ended(exit, take(stdout), take(stderr), cpu)
}

/// Processor time of a process that has ended and was not waited for, with that of its children: fields 14 to 17 of its `stat` (proc(5)), in
/// hundredths of a second, which Linux cuts off.
fn used(pid: Pid) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let fields = stat.rsplit(')').next()?.split_whitespace().skip(11).take(4);
    let ticks: u64 = fields.map_while(|field| field.parse::<u64>().ok()).sum();
    // Half of each of the two that were cut off.
    Some(Duration::from_millis(ticks * 10 + 10))
}

/// A process that stays and is asked through its standard streams: a message is four bytes of length, most significant first, and
/// so many bytes. It leads a group of its own that is killed with the value. Its standard error is kept for [`Kept::last_words`].
pub struct Kept {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
}

/// Bytes of one answer; more is no answer.
const ANSWER: usize = 64 << 20;

impl Kept {
    /// Starts it; time, standard input and output limits of `spawn` have no meaning here.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(spawn: &Spawn) -> io::Result<Kept> {
        let mut child = command(spawn).spawn()?;
        limit_memory(Pid::from_child(&child), spawn.memory);
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("a child without standard streams"));
        };
        rustix::io::ioctl_fionbio(&stdin, true)?;
        rustix::io::ioctl_fionbio(&stdout, true)?;
        Ok(Kept { child, stdin: Some(stdin), stdout })
    }

    /// Sends a message and waits for the answer.
    ///
    /// # Errors
    /// When the process has ended, does not answer in time, or answers more than is sensible.
    pub fn ask(&mut self, message: &[u8], patience: Duration) -> io::Result<Vec<u8>> {
        let until = Instant::now() + patience;
        let length = u32::try_from(message.len()).map_err(io::Error::other)?;
        self.send(&length.to_be_bytes(), until)?;
        self.send(message, until)?;
        let length = self.receive(4, until)?.try_into().map_or(0, u32::from_be_bytes) as usize;
        if length > ANSWER {
            return Err(io::Error::other("an answer without end"));
        }
        self.receive(length, until)
    }

    fn send(&mut self, mut bytes: &[u8], until: Instant) -> io::Result<()> {
        let stdin = self.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        while !bytes.is_empty() {
            wait(stdin, PollFlags::OUT, until)?;
            match stdin.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn receive(&mut self, length: usize, until: Instant) -> io::Result<Vec<u8>> {
        let (mut bytes, mut read) = (vec![0; length], 0);
        while read < length {
            wait(&self.stdout, PollFlags::IN, until)?;
            match self.stdout.read(&mut bytes[read..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }

    /// Ends it, and returns what it wrote on standard error.
    pub fn last_words(mut self) -> String {
        let stderr = collect(self.child.stderr.take(), 1 << 16);
        drop(self);
        String::from_utf8_lossy(&stderr.recv_timeout(DRAIN).unwrap_or_default()).trim().to_string()
    }
}

impl Drop for Kept {
    /// The end of its input is a chance to end what it started; then the whole group is killed.
    fn drop(&mut self) {
        self.stdin = None;
        let until = Instant::now() + GRACE;
        let mut rest = [0_u8; 4096];
        while wait(&self.stdout, PollFlags::IN, until).is_ok() && matches!(self.stdout.read(&mut rest), Ok(1..)) {}
        let _ = rustix::process::kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Waits until the descriptor is ready (or at its end).
fn wait(descriptor: &impl AsFd, what: PollFlags, until: Instant) -> io::Result<()> {
    let left = until.saturating_duration_since(Instant::now());
    let left = Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX), tv_nsec: i64::from(left.subsec_nanos()) };
    match rustix::event::poll(&mut [PollFd::new(descriptor, what)], Some(&left)) {
        Ok(0) => Err(io::ErrorKind::TimedOut.into()),
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn command(spawn: &Spawn) -> Command {
    let mut command = Command::new(spawn.argv.first().cloned().unwrap_or_default());
    command.args(spawn.argv.iter().skip(1)).current_dir(&spawn.cwd).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if spawn.clear_env {
        command.env_clear();
    }
    command.envs(spawn.env.iter().map(|(name, value)| (name, value)));
    command
}

/// The limit is set from outside just after the start: the few instructions before it allocate nothing to speak of.
fn limit_memory(pid: Pid, bytes: Option<u64>) {
    let Some(bytes) = bytes else { return };
    let limit = rustix::process::Rlimit { current: Some(bytes), maximum: Some(bytes) };
    let _ = rustix::process::prlimit(Some(pid), rustix::process::Resource::As, limit);
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::prlimit(Some(pid), rustix::process::Resource::Core, none);
}

fn feed(pipe: Option<impl Write + Send + 'static>, bytes: Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    if bytes.is_empty() {
        return;
    }
    // A process that does not read its input closes the pipe: that is its business, not an error.
    std::thread::spawn(move || {
        let _ = pipe.write_all(&bytes);
    });
}

fn collect(pipe: Option<impl Read + Send + 'static>, limit: usize) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    if let Some(mut pipe) = pipe {
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            let mut chunk = [0_u8; 16 * 1024];
            while let Ok(read @ 1..) = pipe.read(&mut chunk) {
                let room = limit.saturating_sub(kept.len());
                kept.extend_from_slice(&chunk[..read.min(room)]);
            }
            let _ = sender.send(kept);
        });
    }
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, time: Duration) -> Finished {
        run(&Spawn::new(vec!["sh".into(), "-c".into(), script.into()], Path::new("/"), time))
    }

    #[test]
    fn a_process_that_never_ends_is_killed_with_its_children() {
        let finished = shell("sleep 600 & echo $!; wait", Duration::from_millis(200));
        assert_eq!(finished.exit, Exit::TimedOut);
        assert!(finished.duration < Duration::from_secs(10));
    }

    #[test]
    fn a_background_process_that_keeps_the_pipes_open_does_not_keep_us() {
        let finished = shell("sleep 600 & exit 3", Duration::from_secs(60));
        assert_eq!(finished.exit, Exit::Code(3));
        assert!(finished.duration < Duration::from_secs(10));
    }

    #[test]
    fn what_a_process_and_its_children_used_is_told_apart_from_how_long_they_took() {
        let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        let finished = shell(&format!("{busy}; sh -c '{busy}'; sleep 0.4"), Duration::from_secs(60));
        let alone = shell("sleep 0.4", Duration::from_secs(60));
        assert!(finished.cpu > alone.cpu * 2 && alone.cpu < Duration::from_millis(100), "{finished:?}\n{alone:?}");
        let late = shell("while :; do :; done", Duration::from_millis(300));
        assert!(late.exit == Exit::TimedOut && late.cpu >= Duration::from_millis(50), "{late:?}");
    }

    #[test]
    fn a_flood_of_output_is_cut_at_the_limit() {
        let mut spawn =
            Spawn::new(vec!["sh".into(), "-c".into(), "yes | head -c 5000000".into()], Path::new("/"), Duration::from_secs(60));
        spawn.output = 1000;
        let finished = run(&spawn);
        assert_eq!((finished.exit, finished.stdout.len()), (Exit::Code(0), 1000));
    }

    #[test]
    fn a_missing_program_is_not_a_failure_of_the_tool() {
        let finished = run(&Spawn::new(vec!["/no/such/program".into()], Path::new("/"), Duration::from_secs(1)));
        assert!(matches!(finished.exit, Exit::NotStarted(_)));
    }
}
