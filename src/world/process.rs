//! Starting processes that we wait for: bounded in time, memory and output, ended with all that they started.
//!
//! What runs tools, tests and candidates is confined besides (`src/world/sandbox/`). What the user runs through `fractal exec` is not
//! started here: that is `passthrough`, which must not stand in the tool's way.

use std::ffi::OsString;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use super::sandbox::{Breach, Confined, EVERY, Inside, Program};
use crate::model::Exit;

/// What to run, and its limits.
#[derive(Clone, Debug)]
pub struct Spawn {
    pub argv: Vec<OsString>,
    pub cwd: PathBuf,
    pub stdin: Vec<u8>,
    /// Set over the environment, or over nothing when `clear_env` or `inside`.
    pub env: Vec<(OsString, OsString)>,
    pub clear_env: bool,
    pub time: Duration,
    /// Bytes kept of standard output and of standard error; the rest is read and thrown away.
    pub output: usize,
    /// What confines it; none for programs of our own, such as git.
    pub inside: Option<Inside>,
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
            output: 1 << 20,
            inside: None,
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
    /// Processor time of the process and of those of its children that were waited for; the duration where nobody tells. To about 10 ms
    /// where it was not confined.
    pub cpu: Duration,
    /// Most bytes of memory that one of its processes held at once, or we when it started; only where it was confined. To 1 MiB.
    pub memory: Option<u64>,
    /// The limit for which it was ended.
    pub breach: Option<Breach>,
}

/// What a process that has ended took.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    pub cpu: Duration,
    pub memory: Option<u64>,
}

impl Finished {
    /// Nothing ran, and why.
    pub fn not_started(why: String) -> Finished {
        let (exit, none) = (Exit::NotStarted(why), Duration::ZERO);
        Finished { exit, stdout: Vec::new(), stderr: Vec::new(), duration: none, cpu: none, memory: None, breach: None }
    }
}

/// Time given to readers after the process has ended, for grandchildren that keep its pipes open.
const DRAIN: Duration = Duration::from_millis(500);
/// Time between asking a process to show where it hangs (SIGABRT) and killing it.
const GRACE: Duration = Duration::from_millis(300);

/// Runs a process to its end. It leads a group of its own, and all of the group is killed at the time limit and after the end; of a
/// confined one, everything that it started.
pub fn run(spawn: &Spawn) -> Finished {
    let started = Instant::now();
    let (mut living, pipes) = match Living::start(spawn, Some(spawn.time)) {
        Ok(both) => both,
        Err(error) => {
            let program = spawn.argv.first().map(|program| program.to_string_lossy().into_owned()).unwrap_or_default();
            return Finished::not_started(format!("`{program}`: {error}"));
        }
    };
    let mut streams = Streams::new(pipes, spawn);
    let mut breach = None;
    let mut patience = Patience::new(started, spawn.time);
    loop {
        let ended = streams.turn(&mut living, patience.left().min(EVERY));
        if ended {
            break;
        }
        breach = breach.or_else(|| if streams.flood { Some(Breach::Output) } else { living.look() });
        if !patience.go_on(&mut living, breach.is_some()) {
            break;
        }
    }
    let (exit, used) = living.end();
    let until = Instant::now() + DRAIN;
    while streams.open() && Instant::now() < until {
        streams.read(until.saturating_duration_since(Instant::now()), None);
    }
    let exit = if patience.asked && breach.is_none() { Exit::TimedOut } else { exit };
    let duration = started.elapsed();
    let [stdout, stderr] = streams.outputs.map(|output| output.kept);
    let cpu = used.map_or(duration, |used| used.cpu);
    Finished { exit, stdout, stderr, duration, cpu, memory: used.and_then(|used| used.memory), breach }
}

/// What is done when the time is over, one after the other.
struct Patience {
    until: Option<Instant>,
    asked: bool,
    killed: bool,
}

impl Patience {
    fn new(started: Instant, time: Duration) -> Patience {
        Patience { until: started.checked_add(time), asked: false, killed: false }
    }

    fn left(&self) -> Duration {
        self.until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()))
    }

    /// Ends what has no time left, or is to end at `once`; false when it does not end.
    fn go_on(&mut self, living: &mut Living, once: bool) -> bool {
        let over = self.left().is_zero();
        match (self.asked, self.killed) {
            (_, false) if once => {
                living.kill();
                (self.killed, self.until) = (true, Some(Instant::now() + GRACE * 10));
            }
            (false, false) if over => {
                living.abort();
                (self.asked, self.until) = (true, Some(Instant::now() + GRACE));
            }
            (true, false) if over => {
                living.kill();
                (self.killed, self.until) = (true, Some(Instant::now() + GRACE * 10));
            }
            (_, true) if over => return false,
            _ => {}
        }
        true
    }
}

/// A process that runs.
enum Living {
    /// With a descriptor that is readable when it has ended.
    Free(Child, OwnedFd),
    Confined(Box<Confined>),
}

/// Our ends of the standard streams.
struct Pipes {
    stdin: PipeWriter,
    stdout: PipeReader,
    stderr: PipeReader,
}

impl Living {
    fn start(spawn: &Spawn, time: Option<Duration>) -> io::Result<(Living, Pipes)> {
        let ((theirs_in, stdin), (stdout, theirs_out), (stderr, theirs_err)) = (io::pipe()?, io::pipe()?, io::pipe()?);
        for descriptor in [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()] {
            rustix::io::ioctl_fionbio(descriptor, true)?;
        }
        let living = match &spawn.inside {
            Some(inside) => {
                let program = Program { argv: &spawn.argv, env: &spawn.env, folder: &spawn.cwd, time };
                Living::Confined(Box::new(inside.start(&program, [theirs_in.as_fd(), theirs_out.as_fd(), theirs_err.as_fd()])?))
            }
            None => {
                let child = command(spawn).stdin(theirs_in).stdout(theirs_out).stderr(theirs_err).spawn()?;
                let ended = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
                Living::Free(child, ended)
            }
        };
        Ok((living, Pipes { stdin, stdout, stderr }))
    }

    fn ended(&self) -> BorrowedFd<'_> {
        match self {
            Living::Free(_, ended) => ended.as_fd(),
            Living::Confined(confined) => confined.ended(),
        }
    }

    fn listener(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Living::Free(..) => None,
            Living::Confined(confined) => confined.listener(),
        }
    }

    /// Looks whether it keeps its limits.
    fn look(&mut self) -> Option<Breach> {
        match self {
            Living::Free(..) => None,
            Living::Confined(confined) => confined.look(),
        }
    }

    fn abort(&mut self) {
        match self {
            Living::Free(child, _) => drop(rustix::process::kill_process_group(Pid::from_child(child), Signal::ABORT)),
            Living::Confined(confined) => confined.abort(),
        }
    }

    fn kill(&mut self) {
        match self {
            Living::Free(child, _) => drop(rustix::process::kill_process_group(Pid::from_child(child), Signal::KILL)),
            Living::Confined(confined) => confined.kill(),
        }
    }

    /// Ends what is left of it.
    fn end(&mut self) -> (Exit, Option<Used>) {
        match self {
            Living::Free(child, _) => {
                // What it used is told until it has been waited for.
                let cpu = used(Pid::from_child(child));
                let _ = rustix::process::kill_process_group(Pid::from_child(child), Signal::KILL);
                let exit = match child.wait() {
                    Ok(status) => status.code().map(Exit::Code).or(status.signal().map(Exit::Signal)).unwrap_or(Exit::Code(-1)),
                    Err(error) => Exit::NotStarted(error.to_string()),
                };
                (exit, cpu.map(|cpu| Used { cpu, memory: None }))
            }
            Living::Confined(confined) => confined.end(),
        }
    }

    /// Waits for one of these descriptors or for news of the process, and answers what it asks. Whether it has ended, and which of the
    /// descriptors are ready.
    fn wait(&mut self, others: &[PollFd<'_>], patience: Duration) -> (bool, Vec<bool>) {
        let mut all: Vec<PollFd<'_>> = others.to_vec();
        all.push(PollFd::from_borrowed_fd(self.ended(), PollFlags::IN));
        all.extend(self.listener().map(|listener| PollFd::from_borrowed_fd(listener, PollFlags::IN)));
        let _ = rustix::event::poll(&mut all, timespec(patience).as_ref());
        let mut ready: Vec<PollFlags> = all.iter().map(PollFd::revents).collect();
        drop(all);
        let mut own = ready.split_off(others.len()).into_iter();
        let ended = own.next().is_some_and(|flags| !flags.is_empty());
        if let (Living::Confined(confined), Some(asks)) = (self, own.next()) {
            match asks {
                asks if asks.contains(PollFlags::IN) => confined.answer(),
                asks if asks.is_empty() => {}
                _ => confined.forget_listener(),
            }
        }
        (ended, ready.into_iter().map(|flags| !flags.is_empty()).collect())
    }
}

/// The standard streams of a process while it runs.
struct Streams<'a> {
    stdin: Option<PipeWriter>,
    rest: &'a [u8],
    outputs: [Output; 2],
    /// It has written more than a sane program does.
    flood: bool,
    most: u64,
}

struct Output {
    pipe: Option<PipeReader>,
    kept: Vec<u8>,
    limit: usize,
    total: u64,
}

impl<'a> Streams<'a> {
    fn new(pipes: Pipes, spawn: &'a Spawn) -> Streams<'a> {
        let output = |pipe| Output { pipe: Some(pipe), kept: Vec::new(), limit: spawn.output, total: 0 };
        let stdin = Some(pipes.stdin).filter(|_| !spawn.stdin.is_empty());
        let most = spawn.inside.as_ref().map_or(u64::MAX, Inside::output);
        Streams { stdin, rest: &spawn.stdin, outputs: [output(pipes.stdout), output(pipes.stderr)], flood: false, most }
    }

    fn open(&self) -> bool {
        self.outputs.iter().any(|output| output.pipe.is_some())
    }

    /// Moves what can be moved, within this time; true when the process has ended.
    fn turn(&mut self, living: &mut Living, patience: Duration) -> bool {
        self.read(patience, Some(living))
    }

    fn read(&mut self, patience: Duration, living: Option<&mut Living>) -> bool {
        let (ended, ready) = {
            let inputs =
                self.outputs.iter().filter_map(|output| output.pipe.as_ref()).map(|pipe| PollFd::new(pipe, PollFlags::IN));
            let mut all: Vec<PollFd<'_>> =
                inputs.chain(self.stdin.iter().map(|pipe| PollFd::new(pipe, PollFlags::OUT))).collect();
            match living {
                Some(living) => living.wait(&all, patience),
                None => {
                    let _ = rustix::event::poll(&mut all, timespec(patience).as_ref());
                    (false, all.iter().map(|one| !one.revents().is_empty()).collect())
                }
            }
        };
        let mut ready = ready.into_iter();
        for output in self.outputs.iter_mut().filter(|output| output.pipe.is_some()) {
            if ready.next() == Some(true) {
                output.read();
            }
        }
        if self.stdin.is_some() && ready.next() == Some(true) {
            self.write();
        }
        self.flood = self.outputs.iter().map(|output| output.total).sum::<u64>() > self.most;
        ended
    }

    fn write(&mut self) {
        let Some(stdin) = &mut self.stdin else { return };
        match stdin.write(self.rest) {
            Ok(written) => self.rest = &self.rest[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            // A process that does not read its input closes the pipe: that is its business, not an error.
            Err(_) => self.rest = &[],
        }
        if self.rest.is_empty() {
            self.stdin = None;
        }
    }
}

impl Output {
    fn read(&mut self) {
        let mut chunk = [0_u8; 64 * 1024];
        let Some(pipe) = &mut self.pipe else { return };
        match pipe.read(&mut chunk) {
            Ok(read @ 1..) => {
                self.total += read as u64;
                let room = self.limit.saturating_sub(self.kept.len());
                self.kept.extend_from_slice(&chunk[..read.min(room)]);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            _ => self.pipe = None,
        }
    }
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
/// so many bytes. It is ended with the value, and looked after until then. Its standard error is kept for [`Kept::last_words`].
pub struct Kept {
    stdin: Option<PipeWriter>,
    stdout: PipeReader,
    stderr: Option<PipeReader>,
    /// Dropped to end the process.
    stop: Option<PipeWriter>,
    keeper: Option<JoinHandle<()>>,
}

/// Bytes of one answer; more is no answer.
const ANSWER: usize = 64 << 20;

impl Kept {
    /// Starts it; time, standard input and output limits of `spawn` have no meaning here.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(spawn: &Spawn) -> io::Result<Kept> {
        let (living, pipes) = Living::start(spawn, None)?;
        let (stopped, stop) = io::pipe()?;
        let keeper = std::thread::spawn(move || keep(living, &stopped));
        let Pipes { stdin, stdout, stderr } = pipes;
        Ok(Kept { stdin: Some(stdin), stdout, stderr: Some(stderr), stop: Some(stop), keeper: Some(keeper) })
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
        let stderr = self.stderr.take();
        drop(self);
        let mut output = Output { pipe: stderr, kept: Vec::new(), limit: 1 << 16, total: 0 };
        let until = Instant::now() + DRAIN;
        while let Some(pipe) = &output.pipe {
            if wait(pipe, PollFlags::IN, until).is_err() {
                break;
            }
            output.read();
        }
        String::from_utf8_lossy(&output.kept).trim().to_string()
    }
}

impl Drop for Kept {
    /// The end of its input is a chance to end what it started; then everything is killed.
    fn drop(&mut self) {
        self.stdin = None;
        let until = Instant::now() + GRACE;
        let mut rest = [0_u8; 4096];
        while wait(&self.stdout, PollFlags::IN, until).is_ok() && matches!(self.stdout.read(&mut rest), Ok(1..)) {}
        self.stop = None;
        let _ = self.keeper.take().map(JoinHandle::join);
    }
}

/// Looks after a process until it has ended, breaks a limit, or nobody holds the other end of `stopped`.
fn keep(mut living: Living, stopped: &PipeReader) {
    loop {
        let (ended, stop) = living.wait(&[PollFd::new(stopped, PollFlags::IN)], EVERY);
        if ended || stop.contains(&true) || living.look().is_some() {
            break;
        }
    }
    living.kill();
    living.end();
}

/// Waits until the descriptor is ready (or at its end).
fn wait(descriptor: &impl AsFd, what: PollFlags, until: Instant) -> io::Result<()> {
    let left = until.saturating_duration_since(Instant::now());
    match rustix::event::poll(&mut [PollFd::new(descriptor, what)], timespec(left).as_ref()) {
        Ok(0) => Err(io::ErrorKind::TimedOut.into()),
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// None for ever.
fn timespec(time: Duration) -> Option<Timespec> {
    Some(Timespec { tv_sec: i64::try_from(time.as_secs()).ok()?, tv_nsec: i64::from(time.subsec_nanos()) })
}

fn command(spawn: &Spawn) -> Command {
    let mut command = Command::new(spawn.argv.first().cloned().unwrap_or_default());
    command.args(spawn.argv.iter().skip(1)).current_dir(&spawn.cwd).process_group(0);
    if spawn.clear_env {
        command.env_clear();
    }
    command.envs(spawn.env.iter().map(|(name, value)| (name, value)));
    command
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
