//! One thread that stores what many requests bring: whatever waits goes into one transaction, and each is told when it is safe.
//!
//! While the store is away, runs go to the spool, which is as safe. Only when that is full too is anybody told to come back later.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::serve::{Event, Tell};
use super::spool;
use crate::config::Config;
use crate::model::NewExecution;
use crate::world::clock::Stopwatch;
use crate::world::git::Repo;
use crate::world::http::Room;
use crate::world::store::{self, Ingested, Store, StoreError};

/// Executions that go into one transaction, not counting the rest of the last request.
const TOGETHER: usize = 5_000;
/// How often it is looked whether something waits on disk.
const TIDY: Duration = Duration::from_secs(1);
/// How often it is looked whether a store that is away came back. A look may take as long as a busy store is waited for, and whoever
/// sends waits with it.
const LOOK_AGAIN: Duration = Duration::from_secs(3);
/// Runs that waited on disk and are stored at a time.
const DRAINED: usize = 5_000;

/// A request's executions are not safe, neither in the store nor on disk.
#[derive(Clone, Copy, Debug)]
pub struct Lost;

/// See the module.
pub struct Writer {
    send: mpsc::Sender<Message>,
    waiting: Arc<AtomicUsize>,
    limit: usize,
    thread: JoinHandle<Ingested>,
}

enum Message {
    Store(Batch),
    Stop,
}

/// The executions of a request.
struct Batch {
    runs: Vec<NewExecution>,
    done: oneshot::Sender<Result<(), Lost>>,
    /// Free once they are safe.
    _room: Room,
}

impl Writer {
    /// Starts the thread. At most `limit` executions may wait.
    pub fn start(repo: Repo, config: Config, limit: usize, tell: Tell) -> Self {
        let (send, receive) = mpsc::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let count = waiting.clone();
        let keeper = Keeper {
            repo,
            config,
            tell,
            store: None,
            away: None,
            trouble: None,
            tidied: Stopwatch::start(),
            ingested: Ingested::default(),
        };
        let thread = std::thread::spawn(move || keeper.run(&receive, &count));
        Writer { send, waiting, limit, thread }
    }

    /// Executions that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Whether anything is stored any more.
    pub fn is_alive(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Whether nothing more can wait now.
    pub fn is_full(&self) -> bool {
        self.waiting() >= self.limit.max(1)
    }

    /// Lets executions wait until they are stored; `None` when there are too many. More than may ever wait are taken alone.
    pub fn store(&self, runs: Vec<NewExecution>, room: Room) -> Option<oneshot::Receiver<Result<(), Lost>>> {
        let more = |waiting: usize| (waiting == 0 || waiting + runs.len() <= self.limit).then_some(waiting + runs.len());
        self.waiting.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).ok()?;
        let (done, stored) = oneshot::channel();
        self.send.send(Message::Store(Batch { runs, done, _room: room })).ok()?;
        Some(stored)
    }

    /// Stores what waits, and ends; what became of everything.
    pub fn stop(self) -> Ingested {
        let _ = self.send.send(Message::Stop);
        self.thread.join().unwrap_or_default()
    }
}

/// What the thread has.
struct Keeper {
    repo: Repo,
    config: Config,
    tell: Tell,
    store: Option<Box<dyn Store>>,
    /// Why the store is away.
    away: Option<String>,
    /// Why runs cannot wait on disk, or not be fetched from there.
    trouble: Option<String>,
    tidied: Stopwatch,
    ingested: Ingested,
}

impl Keeper {
    fn run(mut self, receive: &mpsc::Receiver<Message>, waiting: &AtomicUsize) -> Ingested {
        self.tidy();
        loop {
            let first = match receive.recv_timeout(TIDY) {
                Ok(Message::Store(batch)) => Some(batch),
                Ok(Message::Stop) | Err(mpsc::RecvTimeoutError::Disconnected) => return self.ingested,
                Err(mpsc::RecvTimeoutError::Timeout) => None,
            };
            let mut stops = false;
            if let Some(first) = first {
                let mut batches = vec![first];
                let mut count = batches[0].runs.len();
                while count < TOGETHER {
                    match receive.try_recv() {
                        Ok(Message::Store(batch)) => {
                            count += batch.runs.len();
                            batches.push(batch);
                        }
                        Ok(Message::Stop) => {
                            stops = true;
                            break;
                        }
                        Err(_) => break,
                    }
                }
                self.store_together(batches, waiting);
            }
            if stops {
                return self.ingested;
            }
            if self.tidied.elapsed() >= if self.store.is_some() { TIDY } else { LOOK_AGAIN } {
                self.tidy();
            }
        }
    }

    fn store_together(&mut self, mut batches: Vec<Batch>, waiting: &AtomicUsize) {
        let runs: Vec<NewExecution> = batches.iter_mut().flat_map(|batch| std::mem::take(&mut batch.runs)).collect();
        let kept = self.keep(&runs);
        waiting.fetch_sub(runs.len(), Ordering::SeqCst);
        for batch in batches {
            // Nobody may listen any more; what was stored stays stored.
            let _ = batch.done.send(kept);
        }
    }

    /// In the store, or on disk.
    fn keep(&mut self, runs: &[NewExecution]) -> Result<(), Lost> {
        let stored = match &mut self.store {
            Some(store) => store.record_all(runs).map_err(|error| error.to_string()),
            None => Err(self.away.clone().unwrap_or_else(|| "it is not open".into())),
        };
        match stored {
            Ok(ingested) => {
                self.ingested += ingested;
                (self.tell)(&Event::Stored { new: ingested.new, known: ingested.known });
                Ok(())
            }
            Err(why) => {
                self.is_away(&why);
                let spooled = spool::put_all(&self.repo, &self.config, runs);
                self.spool_works(spooled).ok_or(Lost)
            }
        }
    }

    /// Tells of trouble with the disk when it begins, or is another.
    fn spool_works<T>(&mut self, result: anyhow::Result<T>) -> Option<T> {
        let why = result.as_ref().err().map(|error| format!("{error:#}"));
        if let Some(why) = why.clone().filter(|_| why != self.trouble) {
            (self.tell)(&Event::SpoolTrouble { why });
        }
        self.trouble = why;
        result.ok()
    }

    fn is_away(&mut self, why: &str) {
        self.store = None;
        if self.away.is_none() {
            (self.tell)(&Event::StoreAway { why: why.to_string() });
        }
        self.away = Some(why.to_string());
    }

    /// Opens the store when it is closed, and stores what waits on disk.
    fn tidy(&mut self) {
        if self.store.is_none() {
            match store::open_briefly(&self.repo, &self.config) {
                Ok(store) => self.store = Some(store),
                Err(error) => self.is_away(&error.to_string()),
            }
        }
        if let Some(store) = &mut self.store {
            match spool::drain(&self.repo, store.as_mut(), DRAINED) {
                Err(error) if error.is::<StoreError>() => self.is_away(&format!("{error:#}")),
                drained => {
                    let waited = self.spool_works(drained).unwrap_or_default();
                    if self.away.take().is_some() || waited > 0 {
                        (self.tell)(&Event::StoreBack { waited });
                    }
                }
            }
        }
        self.tidied = Stopwatch::start();
    }
}
