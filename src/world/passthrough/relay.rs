//! Stands between a client on our standard streams and a server that we start: what either writes reaches the other unchanged and
//! at once. Standard error is the server's own.
//!
//! Listeners hear of bytes just before they go out: nothing that is caused by them can be heard of earlier, so requests come before
//! their answers. A listener holds up the conversation and must never wait.
//!
//! Deliberately not here: what the bytes mean.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use super::output::{Flow, Stop, Witness, has_no_reader, pass_on};
use super::{CHUNK, Running, lock, null, receive_signals, start, wait};
use crate::model::Exit;
use crate::world::clock::Moment;

/// Listens to one side.
pub type Listener = Box<dyn FnMut(Heard<'_>, Moment) + Send>;

/// What is heard of one side.
pub enum Heard<'a> {
    /// It wrote these bytes.
    Bytes(&'a [u8]),
    /// It has closed its end.
    Closed,
    /// The other side reads no more of it.
    Unread,
}

/// How the conversation ended.
pub struct Relayed {
    /// How the server ended.
    pub exit: Exit,
    /// When.
    pub ended: Moment,
}

/// Runs the server to its end. Like `passthrough::run`, it takes over the standard streams and the signals of the whole process.
pub fn run(argv: &[OsString], client: Listener, server: Listener) -> Relayed {
    let begun = Instant::now();
    let exit = converse(argv, Ear { begun, listener: client }, Ear { begun, listener: server });
    Relayed { exit, ended: moment(begun, Instant::now()) }
}

fn converse(argv: &[OsString], client: Ear, server: Ear) -> Exit {
    let begin = || -> Result<_, String> {
        let plain = |error: io::Error| format!("no pipe to the server: {error}");
        let signals = receive_signals().map_err(plain)?;
        let ((input, to_server), (from_server, output)) = (io::pipe().map_err(plain)?, io::pipe().map_err(plain)?);
        let flow = Flow::new().map_err(plain)?;
        let ends = [Some(input.into()), Some(output.into()), None];
        Ok((signals, flow, OwnedFd::from(to_server), OwnedFd::from(from_server), start(argv, &ends, false, false)?))
    };
    let (signals, flow, to_server, from_server, child) = match begin() {
        Ok(parts) => parts,
        Err(why) => return Exit::NotStarted(why),
    };
    let mut running = Running { child, own_group: false, signals: Some(signals), windows: Vec::new() };
    let stdout = rustix::stdio::stdout();
    let server = Arc::new(Mutex::new(server));
    if has_no_reader(stdout) {
        // The server's next write has to fail, as it would directly.
        drop(from_server);
        lock(&server).ended(Stop::Unread);
    } else {
        let _ = flow.pump(Arc::new(from_server), stdout, server);
    }
    let _ = thread::Builder::new().spawn(move || feed(&to_server, client));
    let exit = running.until_end(None, false);
    flow.finish(&mut running, false);
    exit
}

struct Ear {
    begun: Instant,
    listener: Listener,
}

impl Witness for Ear {
    fn read(&mut self, bytes: &[u8], at: Instant) {
        (self.listener)(Heard::Bytes(bytes), moment(self.begun, at));
    }

    fn ended(&mut self, why: Stop) {
        let heard = if let Stop::AtEnd = why { Heard::Closed } else { Heard::Unread };
        (self.listener)(heard, moment(self.begun, Instant::now()));
    }
}

fn moment(begun: Instant, read: Instant) -> Moment {
    Moment { at: Timestamp::now(), steady: read.saturating_duration_since(begun) }
}

/// Carries what the client writes to the server, until the client's end of input, or until the server reads no more: then the client
/// learns it with its next write, as it would directly.
fn feed(to: &OwnedFd, mut client: Ear) {
    let stdin = rustix::stdio::stdin();
    let mut buffer = vec![0; CHUNK];
    let why = loop {
        let mut fds = [PollFd::new(&stdin, PollFlags::IN), PollFd::new(to, PollFlags::empty())];
        wait(&mut fds, None);
        if !fds[1].revents().is_empty() {
            break Stop::Unread;
        }
        let length = match rustix::io::read(stdin, &mut buffer) {
            Err(Errno::INTR | Errno::AGAIN) => continue,
            Ok(0) | Err(_) => break Stop::AtEnd,
            Ok(length) => length,
        };
        client.read(&buffer[..length], Instant::now());
        if pass_on(to.as_fd(), &buffer[..length]).is_err() {
            break Stop::Unread;
        }
    };
    client.ended(why);
    let _ = null().and_then(rustix::stdio::dup2_stdin);
}
