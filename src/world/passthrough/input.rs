//! What the child reads: our standard input itself, or a copy of it that a thread makes.
//!
//! Deliberately not here: whether to capture it at all, which the caller of the parent module knows.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::{Arc, Mutex, Weak};
use std::thread;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::keep::Keep;
use super::{CHUNK, Passthrough, Stream, lock, null, wait};

/// Where the child's standard input comes from.
pub(super) enum Intake {
    /// Ours, and nothing is kept of it.
    Inherited,
    /// Ours, a file: the child moves the offset that we share, and what it passed over is read again afterwards.
    File { start: u64, limit: usize },
    /// A pipe that a thread fills from ours.
    Copied { child: Option<OwnedFd>, writer: Arc<OwnedFd>, given: Arc<Mutex<Given>> },
    /// The same, once the thread runs. The pipe's writing end is the thread's alone: its end is the child's end of input.
    Copying { writer: Weak<OwnedFd>, given: Arc<Mutex<Given>> },
}

/// What the thread has put into the child's pipe.
pub(super) struct Given {
    keep: Keep,
    /// An end of the pipe by which to see what the child has left in it, once the writing end is closed.
    rest: Option<Arc<OwnedFd>>,
}

impl Intake {
    pub(super) fn prepare(spec: &Passthrough<'_>) -> Intake {
        let stdin = rustix::stdio::stdin();
        let kind = rustix::fs::fstat(stdin).map(|stat| FileType::from_raw_mode(stat.st_mode));
        match kind {
            Ok(FileType::RegularFile) if spec.capture_stdin => match rustix::fs::tell(stdin) {
                Ok(start) => Intake::File { start, limit: spec.limit },
                Err(_) => Intake::Inherited,
            },
            Ok(FileType::Fifo | FileType::Socket) if spec.capture_stdin => {
                let Ok((child, writer)) = io::pipe() else { return Intake::Inherited };
                // Only this end: the thread must never sleep in a write while it holds the lock.
                if rustix::fs::fcntl_setfl(&writer, OFlags::NONBLOCK).is_err() {
                    return Intake::Inherited;
                }
                let given = Given { keep: Keep::head(spec.limit), rest: None };
                let given = Arc::new(Mutex::new(given));
                Intake::Copied { child: Some(child.into()), writer: Arc::new(writer.into()), given }
            }
            _ => Intake::Inherited,
        }
    }

    pub(super) fn child_end(&mut self) -> Option<OwnedFd> {
        if let Intake::Copied { child, .. } = self { child.take() } else { None }
    }

    /// The child runs: from now on, and not before, our standard input may be read.
    pub(super) fn begin(self) -> Intake {
        let Intake::Copied { writer, given, .. } = self else { return self };
        let weak = Arc::downgrade(&writer);
        let theirs = Arc::clone(&given);
        let _ = thread::Builder::new().spawn(move || feed(writer, &theirs));
        Intake::Copying { writer: weak, given }
    }

    /// What the child has consumed.
    pub(super) fn take(self) -> Option<Stream> {
        match self {
            Intake::Inherited | Intake::Copied { .. } => None,
            Intake::File { start, limit } => {
                let end = rustix::fs::tell(rustix::stdio::stdin()).ok()?;
                read_again(start, end.saturating_sub(start), limit).ok()
            }
            Intake::Copying { writer, given } => {
                let mut given = lock(&given);
                let end = writer.upgrade().or_else(|| given.rest.clone());
                let left = end.and_then(|end| rustix::io::ioctl_fionread(&*end).ok()).unwrap_or(0);
                given.keep.forget_last(left);
                Some(given.keep.take())
            }
        }
    }
}

/// Copies our standard input into the child's pipe, until it ends or nobody reads it any more.
fn feed(writer: Arc<OwnedFd>, given: &Mutex<Given>) {
    let stdin = rustix::stdio::stdin();
    let mut buffer = vec![0; CHUNK];
    loop {
        let length = match rustix::io::read(stdin, &mut buffer) {
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => {
                wait(&mut [PollFd::new(&stdin, PollFlags::IN)], None);
                continue;
            }
            Ok(0) | Err(_) => break,
            Ok(length) => length,
        };
        let mut bytes = &buffer[..length];
        while !bytes.is_empty() {
            wait(&mut [PollFd::new(&*writer, PollFlags::OUT)], None);
            let mut given = lock(given);
            match rustix::io::write(&*writer, bytes) {
                Ok(length) => {
                    given.keep.add(&bytes[..length]);
                    bytes = &bytes[length..];
                }
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => {
                    given.rest = Some(Arc::clone(&writer));
                    // Whoever writes to us has to learn that nobody reads.
                    let _ = null().and_then(rustix::stdio::dup2_stdin);
                    return;
                }
            }
        }
    }
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let reader = rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
    lock(given).rest = reader.ok().map(Arc::new);
    // Last of all, so that one of the two ends can always be found.
    drop(writer);
}

/// `total` bytes of the file that is our standard input, without moving its offset.
fn read_again(start: u64, total: u64, limit: usize) -> io::Result<Stream> {
    let wanted = usize::try_from(total).unwrap_or(usize::MAX).min(limit);
    let mut bytes = Vec::with_capacity(wanted);
    while bytes.len() < wanted {
        let mut buffer = vec![0; CHUNK.min(wanted - bytes.len())];
        match rustix::io::pread(rustix::stdio::stdin(), &mut buffer, start + bytes.len() as u64)? {
            0 => break,
            length => bytes.extend_from_slice(&buffer[..length]),
        }
    }
    let truncated = (bytes.len() as u64) < total;
    Ok(Stream { bytes, total, truncated })
}
