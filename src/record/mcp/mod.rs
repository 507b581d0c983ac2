//! `fractal mcp`: stands between a client and an MCP server on standard streams, and records every call of a tool.
//!
//! The conversation never waits for the recording: what passes is put into a queue, and what finds no room there goes unrecorded,
//! which is said once at the end. Calls are stored in batches; a kill loses those of the last moment.
//!
//! Deliberately not here: the way of the bytes (`src/world/passthrough/relay.rs`). The official Rust SDK is not used: it reads messages
//! into types and writes them anew, and here every byte stays as it is.

mod conversation;
mod lines;
mod message;
mod names;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use self::conversation::{Conversation, Setting, Side};
use self::lines::{Line, Lines};
use self::names::Names;
pub use self::names::SERVER as SERVER_NAME_CHARACTERS;
use super::{ALSO_STORED, Intake, inside, spool};
use crate::config::Config;
use crate::lang;
use crate::model::{Exit, Hints, Language, NewExecution, SuccessRule, Version};
use crate::world::catalog::declared;
use crate::world::clock::{Moment, Stopwatch};
use crate::world::files;
use crate::world::git::Repo;
use crate::world::passthrough::relay::{self, Heard, Listener, Relayed};
use crate::world::store::{self, Store};

/// Lines that wait to be looked at, and what they may hold together.
const QUEUED: usize = 8_192;
const QUEUED_BYTES: usize = 16 << 20;
/// Calls are stored when there are so many, or when the first of them has waited so long.
const BATCH: usize = 100;
const PATIENCE: Duration = Duration::from_millis(200);
/// A store that is away is tried again after this.
const AWAY: Duration = Duration::from_secs(5);

/// A conversation that has ended.
#[derive(Debug)]
pub struct Served {
    /// How the server ended, which is how we must end.
    pub exit: Exit,
    /// What there is to say about the recording.
    pub remarks: Vec<String>,
}

/// Runs the server with our standard streams, and records the calls of its tools. `name` is what its tools' names begin with.
pub fn serve(repo: &Repo, config: &Config, name: Option<String>, server: &[OsString]) -> Served {
    let command: Vec<&[u8]> = server.iter().map(|word| word.as_bytes()).collect();
    let tools = declared(config);
    let root = repo.root().to_string_lossy().into_owned();
    let conversation = Conversation::new(Setting {
        names: Names::new(name, &command.join(&b' '), tools.iter().map(|tool| tool.name.clone()).collect()),
        // Before the server runs: it may change its own files.
        version: version(repo, config, server),
        caller: files::variable("FRACTAL_CALLER"),
        limit: config.record.limit_kib << 10,
        root: root.clone(),
        random: files::random,
    });
    let queue = Queue::default();
    let (send, receive) = sync_channel(QUEUED);
    let mut recorder = Recorder {
        repo,
        config,
        intake: Intake::new(config, &root).knowing(&files::environment()),
        rules: tools.into_iter().map(|tool| (tool.name, tool.success)).collect(),
        store: None,
        away: None,
        batch: Vec::new(),
        hints: BTreeMap::new(),
        waiting: 0,
        lost: 0,
        why: None,
        unseen: 0,
        unjudged: 0,
    };
    thread::scope(|scope| {
        let (client, server_side) = (queue.listener(Side::Client, &send), queue.listener(Side::Server, &send));
        let conversing = scope.spawn(move || {
            let relayed = relay::run(server, client, server_side);
            // The listeners may outlive the conversation, so its end is said and not heard from the queue's end.
            let _ = send.send(News::Ended(relayed.exit.clone(), relayed.ended));
            relayed
        });
        recorder.listen(conversation, &receive, &queue);
        let exit = conversing.join().map_or_else(|_| Exit::NotStarted("the relay panicked".into()), |Relayed { exit, .. }| exit);
        Served { exit, remarks: recorder.remarks() }
    })
}

/// The version of the server's files, when its command names a file of the repository: the program itself, or a script that a program
/// is given. When the file belongs to a declared tool, all of the tool's paths count.
fn version(repo: &Repo, config: &Config, server: &[OsString]) -> Option<Version> {
    let cwd = files::current_dir().ok()?;
    let mut files = server.iter().enumerate().filter_map(|(position, word)| {
        let path = cwd.join(word);
        let inner = inside(&path, repo.root()).filter(|_| path.is_file())?;
        let is_program = match position {
            0 => word.as_bytes().contains(&b'/'),
            _ => lang::detect(&inner, b"") != Language::Other,
        };
        is_program.then_some(inner)
    });
    let file = files.next()?;
    let owner = declared(config).into_iter().find(|tool| tool.owns(&file));
    repo.version_in_work_tree(&owner.map_or_else(|| vec![file], |tool| tool.paths)).ok()?
}

/// What the recorder hears.
enum News {
    Line(Side, Line, Moment),
    Left(Side),
    Ended(Exit, Moment),
}

/// The room for lines on their way to the recorder.
#[derive(Clone, Default)]
struct Queue {
    bytes: Arc<AtomicUsize>,
    overflow: Arc<Mutex<Overflow>>,
}

/// What found no room.
#[derive(Clone, Copy, Default)]
struct Overflow {
    messages: u64,
    last: Option<Moment>,
}

impl Queue {
    fn listener(&self, side: Side, send: &SyncSender<News>) -> Listener {
        let (queue, send) = (self.clone(), send.clone());
        let mut lines = Lines::default();
        Box::new(move |heard, at| {
            let left = match heard {
                Heard::Bytes(bytes) => return lines.feed(bytes, |line| queue.offer(&send, side, line, at)),
                Heard::Closed => side,
                Heard::Unread if matches!(side, Side::Server) => Side::Client,
                Heard::Unread => return,
            };
            lines.finish().into_iter().for_each(|line| queue.offer(&send, side, line, at));
            if send.try_send(News::Left(left)).is_err() {
                queue.overflow(at);
            }
        })
    }

    /// Never waits.
    fn offer(&self, send: &SyncSender<News>, side: Side, line: Line, at: Moment) {
        let held = line.held();
        let before = self.bytes.fetch_add(held, Ordering::SeqCst);
        let fits = before == 0 || before + held <= QUEUED_BYTES;
        if !fits || send.try_send(News::Line(side, line, at)).is_err() {
            self.bytes.fetch_sub(held, Ordering::SeqCst);
            self.overflow(at);
        }
    }

    fn overflow(&self, at: Moment) {
        let mut overflow = self.overflow.lock().unwrap_or_else(PoisonError::into_inner);
        *overflow = Overflow { messages: overflow.messages + 1, last: Some(at) };
    }

    fn took(&self, line: &Line) {
        self.bytes.fetch_sub(line.held(), Ordering::SeqCst);
    }

    fn overflowed(&self) -> Overflow {
        *self.overflow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stores what was said.
struct Recorder<'a> {
    repo: &'a Repo,
    config: &'a Config,
    intake: Intake<'a>,
    rules: BTreeMap<String, SuccessRule>,
    store: Option<Box<dyn Store>>,
    /// Since when the store is away, if it is.
    away: Option<Stopwatch>,
    batch: Vec<NewExecution>,
    hints: BTreeMap<String, Hints>,
    /// Calls that wait on disk, and calls that are lost; why, the first time.
    waiting: u64,
    lost: u64,
    why: Option<String>,
    /// Messages that were not looked at, and calls of which nothing certain is known.
    unseen: u64,
    unjudged: u64,
}

impl Recorder<'_> {
    fn listen(&mut self, mut conversation: Conversation, heard: &Receiver<News>, queue: &Queue) {
        let mut oldest = None::<Stopwatch>;
        loop {
            let left = oldest.map_or(Duration::MAX, |oldest| PATIENCE.saturating_sub(oldest.elapsed()));
            let next = match left {
                Duration::MAX => heard.recv().map_err(|_| RecvTimeoutError::Disconnected),
                left => heard.recv_timeout(left),
            };
            let mut over = false;
            match next {
                Ok(News::Line(side, line, at)) => {
                    conversation.wrote(side, &line, at);
                    queue.took(&line);
                }
                Ok(News::Left(side)) => conversation.left(side),
                Ok(News::Ended(exit, at)) => {
                    let overflow = queue.overflowed();
                    self.unseen = overflow.messages;
                    overflow.last.into_iter().for_each(|at| conversation.unseen(at));
                    conversation.server_ended(&exit, at);
                    over = true;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => over = true,
            }
            self.take(&mut conversation);
            if oldest.is_none() && !(self.batch.is_empty() && self.hints.is_empty()) {
                oldest = Some(Stopwatch::start());
            }
            if over || self.batch.len() >= BATCH || oldest.is_some_and(|oldest| oldest.elapsed() >= PATIENCE) {
                self.store();
                oldest = None;
            }
            if over {
                self.unjudged = conversation.lost;
                return;
            }
        }
    }

    fn take(&mut self, conversation: &mut Conversation) {
        let rule = SuccessRule::default();
        for call in conversation.ended.drain(..) {
            let rule = self.rules.get(&call.tool).unwrap_or(&rule);
            self.batch.push(self.intake.admit(rule, call));
        }
        self.hints.append(&mut conversation.hints);
    }

    /// Stores what there is, or lets it wait on disk.
    fn store(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        if self.away.is_some_and(|away| away.elapsed() < AWAY) {
            return self.put_aside(&batch);
        }
        match self.try_to_store(&batch) {
            Ok(()) => self.away = None,
            Err(error) => {
                self.why.get_or_insert_with(|| format!("{error:#}"));
                (self.store, self.away) = (None, Some(Stopwatch::start()));
                self.put_aside(&batch);
            }
        }
    }

    fn try_to_store(&mut self, batch: &[NewExecution]) -> Result<()> {
        let store = match &mut self.store {
            Some(store) => store,
            empty => {
                let store = empty.insert(store::open_briefly(self.repo, self.config)?);
                spool::drain(self.repo, store.as_mut(), ALSO_STORED)?;
                store
            }
        };
        store.record_all(batch)?;
        while let Some((tool, hints)) = self.hints.first_key_value() {
            store.set_hints(tool, hints)?;
            self.hints.pop_first();
        }
        Ok(())
    }

    fn put_aside(&mut self, batch: &[NewExecution]) {
        match spool::put_all(self.repo, self.config, batch) {
            Ok(()) => self.waiting += batch.len() as u64,
            Err(error) => {
                self.lost += batch.len() as u64;
                self.why.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }

    fn remarks(self) -> Vec<String> {
        let some = |number: u64, what: &str| match number {
            0 => None,
            1 => Some(format!("1 {what}")),
            more => Some(format!("{more} {what}s")),
        };
        let why = self.why.unwrap_or_default();
        let remarks = [
            some(self.waiting, "call").map(|calls| format!("waiting on disk until they can be stored: {calls}: {why}")),
            some(self.lost, "call").map(|calls| format!("not recorded: {calls}: {why}")),
            some(self.unseen, "message")
                .map(|messages| format!("not looked at, because recording could not keep up: {messages}")),
            some(self.unjudged, "call")
                .map(|calls| format!("not recorded, because their answers may have gone by unseen: {calls}")),
        ];
        remarks.into_iter().flatten().collect()
    }
}
