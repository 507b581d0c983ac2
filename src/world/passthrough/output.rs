//! What the child writes: passed on by one thread per stream, and kept on the way.
//!
//! Deliberately not here: which part is kept (`keep`), and seeing the child end (the parent module, which tells).

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Signal;
use rustix::pty::OpenptFlags;
use rustix::termios::{OptionalActions, OutputModes};

use super::keep::Keep;
use super::{CHUNK, Running, Stream, lock, null, wait};

/// Sees what is passed on.
pub(super) trait Witness: Send {
    /// These bytes were read then, and go out when this returns.
    fn read(&mut self, _bytes: &[u8], _at: Instant) {}
    /// They have gone out.
    fn passed(&mut self, _bytes: &[u8]) {}
    /// No more is passed on.
    fn ended(&mut self, why: Stop);
}

/// Why no more is passed on.
pub(super) enum Stop {
    /// No more comes.
    AtEnd,
    /// Nobody reads it.
    Unread,
    /// It could not be, although somebody wanted it.
    Lost(String),
}

impl Witness for Keep {
    fn passed(&mut self, bytes: &[u8]) {
        self.add(bytes);
    }

    fn ended(&mut self, why: Stop) {
        if let Stop::Lost(why) = why {
            self.lost = Some(why);
        }
    }
}

/// After the child's end its background processes may still write: silence this long ends our part.
const IDLE: Duration = Duration::from_millis(100);
/// … and so does this much time, however much they write.
const LINGER: Duration = Duration::from_secs(1);

/// One of our output streams and the child's end of it.
pub(super) struct Outlet {
    pub(super) window: Option<Window>,
    child: Option<OwnedFd>,
    pub(super) keep: Arc<Mutex<Keep>>,
}

impl Outlet {
    /// A pseudo terminal where `to` is a terminal, else a pipe. A reader that has already gone is gone for the child too.
    pub(super) fn open(to: BorrowedFd<'static>, keep: Keep, flow: &Flow) -> io::Result<Outlet> {
        let terminal = rustix::termios::isatty(to);
        let (from, child) = if terminal {
            pseudo_terminal(to)?
        } else {
            io::pipe().map(|(from, child)| (OwnedFd::from(from), OwnedFd::from(child)))?
        };
        let (from, keep) = (Arc::new(from), Arc::new(Mutex::new(keep)));
        let window = terminal.then(|| Window { ours: Arc::downgrade(&from), real: to });
        if !has_no_reader(to) {
            flow.pump(from, to, Arc::<Mutex<Keep>>::clone(&keep))?;
        }
        Ok(Outlet { window, child: Some(child), keep })
    }

    pub(super) fn take(self) -> Stream {
        lock(&self.keep).take()
    }
}

pub(super) fn child_end(outlet: &mut Option<Outlet>) -> Option<OwnedFd> {
    outlet.as_mut().and_then(|outlet| outlet.child.take())
}

/// A pseudo terminal that has the size of a real one.
pub(super) struct Window {
    ours: Weak<OwnedFd>,
    real: BorrowedFd<'static>,
}

impl Window {
    pub(super) fn copy_size(&self) {
        if let (Some(ours), Ok(size)) = (self.ours.upgrade(), rustix::termios::tcgetwinsize(self.real)) {
            let _ = rustix::termios::tcsetwinsize(&*ours, size);
        }
    }
}

/// Our end and the child's, which changes no bytes (the real terminal turns line feeds into what it needs) and is nobody's
/// controlling terminal.
fn pseudo_terminal(like: BorrowedFd<'_>) -> io::Result<(OwnedFd, OwnedFd)> {
    let ours = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    rustix::pty::grantpt(&ours)?;
    rustix::pty::unlockpt(&ours)?;
    let name = rustix::pty::ptsname(&ours, Vec::new())?;
    let child = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    let mut modes = rustix::termios::tcgetattr(like)?;
    modes.output_modes.remove(OutputModes::OPOST);
    rustix::termios::tcsetattr(&child, OptionalActions::Now, &modes)?;
    rustix::termios::tcsetwinsize(&child, rustix::termios::tcgetwinsize(like)?)?;
    Ok((ours, child))
}

/// The threads that pass output on, one per stream: a slow reader of one must not hold up the other.
pub(super) struct Flow {
    /// Hangs up when the last holder of `pumping` is gone.
    done: PipeReader,
    pumping: Arc<PipeWriter>,
    /// Hangs up when `running` is dropped, which tells the pumps that the child has ended.
    ended: Arc<PipeReader>,
    running: PipeWriter,
}

impl Flow {
    pub(super) fn new() -> io::Result<Flow> {
        let ((done, pumping), (ended, running)) = (io::pipe()?, io::pipe()?);
        Ok(Flow { done, pumping: Arc::new(pumping), ended: Arc::new(ended), running })
    }

    pub(super) fn pump(&self, from: Arc<OwnedFd>, to: BorrowedFd<'static>, witness: Arc<Mutex<dyn Witness>>) -> io::Result<()> {
        let (pumping, ended) = (Arc::clone(&self.pumping), Arc::clone(&self.ended));
        let work = move || {
            pump(from, to, &witness, &ended);
            drop(pumping);
        };
        thread::Builder::new().spawn(work).map(drop)
    }

    /// The child has ended: waits until what it wrote has gone out. A reader that does not read holds us up, as it would
    /// have held up the child; a signal to end, or a time limit that has passed, ends that.
    pub(super) fn finish(self, running: &mut Running, timed_out: bool) {
        let Flow { done, pumping, running: told, .. } = self;
        drop((pumping, told));
        let until = timed_out.then(|| Instant::now() + LINGER);
        let to_end = [Signal::TERM, Signal::HUP, Signal::QUIT, Signal::INT, Signal::ALARM];
        while until.is_none_or(|until| Instant::now() < until) {
            let mut fds = vec![PollFd::new(&done, PollFlags::IN)];
            fds.extend(running.signals.iter().map(|signals| PollFd::new(signals.get_read(), PollFlags::IN)));
            wait(&mut fds, until);
            if !fds[0].revents().is_empty() || running.received().iter().any(|(signal, _)| to_end.contains(signal)) {
                break;
            }
        }
    }
}

/// Passes on what comes out of `from` until its end, or until nobody reads `to` any more: then `from` is closed at once, so
/// that the child learns it with its next write, as it would have directly.
fn pump(from: Arc<OwnedFd>, to: BorrowedFd<'static>, witness: &Mutex<dyn Witness>, ended: &PipeReader) {
    let mut buffer = vec![0; CHUNK];
    let mut why = Stop::AtEnd;
    // Since the child's end: the bytes that it has left behind, and until when others may add to them.
    let mut rest: Option<(u64, Instant)> = None;
    loop {
        let idle = rest.map(|_| Instant::now() + IDLE);
        let mut fds = vec![PollFd::new(&*from, PollFlags::IN), PollFd::new(&to, PollFlags::empty())];
        fds.extend(rest.is_none().then(|| PollFd::new(ended, PollFlags::IN)));
        wait(&mut fds, idle);
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if ready[1] {
            why = Stop::Unread;
            break;
        }
        if ready.get(2) == Some(&true) {
            rest = Some((rustix::io::ioctl_fionread(&*from).unwrap_or(0), Instant::now() + LINGER));
        }
        if let Some((0, until)) = rest
            && (!ready[0] || Instant::now() >= until)
            && ready.len() == 2
        {
            hand_over(&from, to);
            break;
        }
        if !ready[0] {
            continue;
        }
        let length = match rustix::io::read(&*from, &mut buffer) {
            Err(Errno::INTR | Errno::AGAIN) => continue,
            // A pseudo terminal says EIO when its last user has gone.
            Ok(0) | Err(_) => break,
            Ok(length) => length,
        };
        lock(witness).read(&buffer[..length], Instant::now());
        rest = rest.map(|(owed, until)| (owed.saturating_sub(length as u64), until));
        let passed = pass_on(to, &buffer[..length]);
        lock(witness).passed(&buffer[..length]);
        if let Err(error) = passed {
            why = match error {
                Errno::PIPE => Stop::Unread,
                error => Stop::Lost(format!("output could not be passed on: {}", io::Error::from(error))),
            };
            break;
        }
    }
    lock(witness).ended(why);
    drop(from);
    if to.as_raw_fd() == rustix::stdio::raw_stdout() {
        // Whoever waits for the end of our output need not wait for the recording.
        let _ = null().and_then(rustix::stdio::dup2_stdout);
    }
}

/// Background processes of the tool still hold its output: `cat` stays with them in our place, as long as they live. It
/// outlives us, so it is not waited for; without it they get SIGPIPE, as from any reader that goes.
fn hand_over(from: &OwnedFd, to: BorrowedFd<'_>) {
    let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone_to_owned()) else { return };
    let _ = Command::new("cat").stdin(from).stdout(to).stderr(Stdio::null()).process_group(0).spawn();
}

/// Writes all of it, also to a descriptor that somebody else has made non-blocking.
pub(super) fn pass_on(to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait(&mut [PollFd::new(&to, PollFlags::OUT)], None),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(super) fn has_no_reader(to: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(&to, PollFlags::empty())];
    wait(&mut fds, Some(Instant::now()));
    !fds[0].revents().is_empty()
}
