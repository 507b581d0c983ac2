//! Executions exchanged through git, without a server: each writer publishes segments below `refs/fractal/executions/`, and reads
//! everyone else's.
//!
//! A writer writes its own ref and no other, always from the commit that it has seen there, so that any number of them push at the
//! same time. An execution is marked as sent once it is in our outbox, which is a ref too; a push that fails leaves it there. What
//! was read of others is marked in the transaction that stores it. So a kill anywhere costs nothing but doing it again, and doing it
//! again changes nothing: identities decide what is new.
//!
//! The commit of a writer has no parent: what is left out of it is gone, as soon as git tidies up. Whoever may push to the remote
//! may write there, so everything that is read is bounded and goes through the same door as any other source; what cannot be read
//! is said, remembered, and stands in nobody's way.
//!
//! How the remote is reached is `world::git::exchange`; what a segment is, `segment`; what was forgotten, `forgotten`.

mod forgotten;
mod inbox;
mod outbox;
mod segment;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use self::inbox::Inbox;
use self::outbox::Outbox;
use self::segment::Name;
use super::redact::Rules;
use crate::config::Config;
use crate::model::{ExecutionId, plain_line};
use crate::world::clock::Stopwatch;
use crate::world::git::exchange::{Exchange, ExchangeError, Published};
use crate::world::git::{Identity, Repo};
use crate::world::pause::paused;
use crate::world::store::{Forget, Forgotten, Store, StoreError};

/// Times we begin again because the remote has moved.
const ATTEMPTS: u32 = 12;
/// Warnings that are said one by one.
const WARNINGS_MAX: usize = 20;
/// A writer that lives says so at least this often.
const SIGN_OF_LIFE: SignedDuration = SignedDuration::from_hours(3 * 24);
/// A writer that has not for so long has its segments taken over by another.
const ABANDONED: SignedDuration = SignedDuration::from_hours(14 * 24);
/// Writers that are taken over at once.
const ADOPTED_MAX: usize = 32;

/// Why executions were not exchanged.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<anyhow::Error> for SyncError {
    fn from(error: anyhow::Error) -> Self {
        SyncError::Exchange(error.into())
    }
}

/// What an exchange did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Synced {
    pub remote: String,
    /// Our name among writers.
    pub writer: String,
    /// Executions that others can read now and could not before.
    pub sent: u64,
    /// Segments pushed, and their bytes.
    pub segments: u64,
    pub bytes: u64,
    /// Executions that are new here, and the writers they came from.
    pub received: u64,
    pub writers: u64,
    /// Executions removed here because others forgot them.
    pub forgotten: u64,
    /// Executions that are not published any more, for want of room or because of their age.
    pub dropped: u64,
    /// Writers that were given up, whose segments we publish now.
    pub adopted: u64,
    /// Nothing was sent, because somebody paused us.
    pub paused: bool,
    /// There was no time for everything; the next exchange goes on.
    pub unfinished: bool,
    /// What was skipped, and why.
    pub warnings: Vec<String>,
}

impl Synced {
    /// Whether there is anything to tell.
    pub fn is_news(&self) -> bool {
        self.sent + self.received + self.forgotten + self.dropped + self.adopted > 0 || !self.warnings.is_empty()
    }

    fn warn(&mut self, text: &str) {
        let text = clean(text);
        if self.warnings.len() < WARNINGS_MAX && !self.warnings.contains(&text) {
            self.warnings.push(text);
        }
    }
}

/// One line, without what others must not see: an address may hold a password.
pub fn clean(text: &str) -> String {
    plain_line(&String::from_utf8_lossy(&Rules::default().redact(text.as_bytes())), 500)
}

/// What is going on, for a progress bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Fetching,
    /// Segments read, of so many.
    Receiving(u64, u64),
    /// Executions packed so far.
    Packing(u64),
    Pushing,
}

/// How an exchange is done.
pub struct Terms<'a> {
    pub config: &'a Config,
    /// The name or the address of a remote.
    pub remote: &'a str,
    pub now: Timestamp,
    /// For one answer of the remote, and for another process that exchanges.
    pub patience: Duration,
    /// For reading what others sent, and for packing what they were not sent; the rest follows the next time.
    pub work: Duration,
}

/// Exchanges executions with everyone who uses `terms.remote`.
///
/// # Errors
/// When the remote cannot be reached or refuses, or the store cannot be written. Nothing is lost then, and the next exchange goes on.
pub fn sync(repo: &Repo, terms: &Terms<'_>, store: &mut dyn Store, tell: &mut dyn FnMut(Step)) -> Result<Synced, SyncError> {
    let exchange = Exchange::open(repo, terms.patience)?;
    // Begins to keep track, before anything of others is there.
    store.unsent(0)?;
    let before = exchange.present()?;
    let report = Synced { remote: clean(terms.remote), ..Synced::default() };
    let mut sync = Sync { exchange, repo, terms, store, tell, report, clock: Stopwatch::start() };
    let mut attempt = 1;
    loop {
        match sync.once(attempt < ATTEMPTS) {
            Err(SyncError::Exchange(ExchangeError::Moved(_))) if attempt < ATTEMPTS => sync.exchange.pause(attempt),
            Err(SyncError::Exchange(ExchangeError::Remote(why))) => return Err(ExchangeError::Remote(clean(&why)).into()),
            Err(error) => return Err(error),
            Ok(()) => break,
        }
        attempt += 1;
    }
    sync.tidy(&before)?;
    Ok(sync.report)
}

struct Sync<'a> {
    exchange: Exchange,
    repo: &'a Repo,
    terms: &'a Terms<'a>,
    store: &'a mut dyn Store,
    tell: &'a mut dyn FnMut(Step),
    report: Synced,
    clock: Stopwatch,
}

type Mirror = BTreeMap<String, Result<Published>>;

impl Sync<'_> {
    fn once(&mut self, may_adopt: bool) -> Result<(), SyncError> {
        (self.tell)(Step::Fetching);
        for (writer, why) in self.exchange.fetch(self.terms.remote)? {
            self.report.warn(&format!("writer {writer} was skipped: {why}"));
        }
        let mirror = self.exchange.mirror(self.terms.remote)?;
        let writer = self.identity(&mirror)?;
        self.learn(&mirror, &writer)?;
        self.receive(&mirror, &writer)?;
        self.report.writer = writer.clone();
        self.report.paused = paused(self.repo).is_some();
        if self.report.paused {
            return Ok(());
        }
        self.send(&mirror, &writer, may_adopt)
    }

    /// Our name. When somebody else has published under it, this clone is a copy (or the other one is), and takes a new name; what it
    /// has not published yet goes with it.
    fn identity(&mut self, mirror: &Mirror) -> Result<String, SyncError> {
        let writer = self.exchange.writer()?;
        let Some(there) = mirror.get(&writer) else { return Ok(writer) };
        match there {
            Ok(published) if self.exchange.was_offered(&published.commit) => return Ok(writer),
            Ok(published) => {
                let mut outbox = Outbox::open(&self.exchange, self.terms)?;
                outbox.remove(&published.files);
                outbox.save()?;
            }
            Err(_) => {}
        }
        self.report
            .warn("another clone publishes under the name of this one (was one of them copied?): this one takes a new name");
        Ok(self.exchange.new_writer()?)
    }

    /// Forgets what others forgot.
    fn learn(&mut self, mirror: &Mirror, own: &str) -> Result<(), SyncError> {
        let mut learned = Forgotten::default();
        for (writer, published) in mirror.iter().filter(|(writer, _)| *writer != own) {
            let Ok(published) = published else { continue };
            let read = match &published.forgotten {
                Some(text) if text.len() as u64 <= forgotten::BYTES_MAX => forgotten::read(text, self.terms.now),
                _ => Err("it is too large, or no text".into()),
            };
            match read {
                Ok(theirs) => learned.add(theirs),
                Err(why) => self.report.warn(&format!("what writer {writer} forgot was skipped: {why}")),
            }
        }
        let news = learned.without(&self.store.forgotten()?);
        self.report.forgotten += forget_all(self.store, &news)?;
        Ok(())
    }

    fn receive(&mut self, mirror: &Mirror, own: &str) -> Result<(), SyncError> {
        let inbox = Inbox::new(self.terms, self.repo);
        let mut waiting = Vec::new();
        for (writer, published) in mirror.iter().filter(|(writer, _)| *writer != own) {
            match published {
                Ok(published) => {
                    let most = inbox::SEGMENTS_MAX;
                    if published.files.len() > most {
                        self.report.warn(&format!("writer {writer} has more than {most} segments; the rest was skipped"));
                    }
                    for file in published.files.iter().take(most) {
                        if !self.store.is_received(&file.object)? {
                            waiting.push((writer, file));
                        }
                    }
                }
                Err(why) => self.report.warn(&format!("writer {writer} was skipped: {why:#}")),
            }
        }
        let all = waiting.len() as u64;
        let mut from = BTreeSet::new();
        for (at, (writer, file)) in waiting.into_iter().enumerate() {
            if self.clock.elapsed() > self.terms.work {
                self.report.unfinished = true;
                break;
            }
            (self.tell)(Step::Receiving(at as u64, all));
            let name = plain_line(&file.name, 100);
            let batch = match inbox.read(&self.exchange, file) {
                Ok((batch, None)) => batch,
                Ok((batch, Some(without))) => {
                    self.report.warn(&format!("segment `{name}` of writer {writer} was read without {without}"));
                    batch
                }
                Err(why) => {
                    self.report.warn(&format!("segment `{name}` of writer {writer} was skipped: {why}"));
                    Vec::new()
                }
            };
            // Also what cannot be read is remembered: it will not get better.
            let ingested = self.store.receive(&file.object, &batch)?;
            self.report.received += ingested.new;
            if ingested.new > 0 {
                from.insert(writer);
            }
        }
        self.report.writers += from.len() as u64;
        Ok(())
    }

    fn send(&mut self, mirror: &Mirror, writer: &str, may_adopt: bool) -> Result<(), SyncError> {
        let there = match mirror.get(writer) {
            Some(Ok(published)) => published.clone(),
            _ => Published::default(),
        };
        let mut outbox = Outbox::open(&self.exchange, self.terms)?;
        outbox.pack(self.store, &self.clock, self.tell, &mut self.report)?;
        let forgotten = self.store.forgotten()?;
        outbox.scrub(&forgotten)?;
        let abandoned = if may_adopt { self.abandoned(mirror, writer)? } else { BTreeMap::new() };
        for published in abandoned.values() {
            outbox.adopt(published, &forgotten)?;
        }
        outbox.keep_within();
        outbox.join()?;
        outbox.save()?;
        let stale = self.terms.now.duration_since(outbox.at) > SIGN_OF_LIFE;
        if stale && !outbox.is_empty() {
            outbox.save_again()?;
        }
        let known = there.commit == outbox.commit || (there.commit.is_empty() && outbox.is_empty());
        if known && abandoned.is_empty() {
            return Ok(());
        }
        (self.tell)(Step::Pushing);
        // Read again immediately before.
        if paused(self.repo).is_some() {
            self.report.paused = true;
            return Ok(());
        }
        let replaced: Vec<String> = abandoned.keys().cloned().collect();
        self.exchange.push(self.terms.remote, writer, &replaced)?;
        self.report.dropped += outbox.dropped;
        self.report.adopted += replaced.len() as u64;
        let before = outbox::runs(&there.files);
        self.report.sent += (outbox.runs() + outbox.removed).saturating_sub(before + outbox.adopted);
        let new = outbox.files().into_iter().filter(|file| !there.files.contains(file));
        for file in new {
            self.report.segments += 1;
            self.report.bytes += file.size;
        }
        Ok(())
    }

    /// Writers that have not been heard of for a long time, and everything of whom was read here.
    fn abandoned(&self, mirror: &Mirror, own: &str) -> Result<BTreeMap<String, Published>, SyncError> {
        let mut found = BTreeMap::new();
        for (writer, published) in mirror.iter().filter(|(writer, _)| *writer != own) {
            let Ok(published) = published else { continue };
            let silent = self.terms.now.duration_since(published.at) > ABANDONED;
            if !silent || found.len() == ADOPTED_MAX {
                continue;
            }
            let mut read = true;
            for file in &published.files {
                read = read && self.store.is_received(&file.object)?;
            }
            if read {
                found.insert(writer.clone(), published.clone());
            }
        }
        Ok(found)
    }

    /// Removes from the disk what is not published any more, at once when something forgotten may be in it.
    fn tidy(&mut self, before: &BTreeMap<String, String>) -> Result<(), SyncError> {
        let after = self.exchange.present()?;
        if &after == before {
            return Ok(());
        }
        let gone: Vec<&String> = before.iter().filter(|(object, _)| !after.contains_key(*object)).map(|(_, name)| name).collect();
        if !gone.is_empty() {
            self.store.keep_received(&after.keys().cloned().collect())?;
        }
        let forgotten = self.store.forgotten()?;
        let holds = |name: &&String| Name::parse(name).is_some_and(|name| forgotten.may_be_in(&name));
        // What was exchanged is exchanged, whatever becomes of the disk.
        let must = gone.into_iter().any(|name| holds(&name));
        if let Err(why) = self.exchange.tidy(must) {
            let what = if must { "what was forgotten may still be on this disk" } else { "the exchange was not tidied up" };
            self.report.warn(&format!("{what}: {why:#}"));
        }
        Ok(())
    }
}

/// Removes all of it from the store; how many executions went.
fn forget_all(store: &mut dyn Store, what: &Forgotten) -> Result<u64, StoreError> {
    let time = |milliseconds: i64| Timestamp::from_millisecond(milliseconds).ok();
    let mut gone = 0;
    for range in &what.ranges {
        let forget = Forget { tool: range.tool.clone(), since: time(range.since), until: time(range.until), ..Forget::default() };
        gone += store.forget(&forget)?.len();
    }
    if let Some(forget) = exactly(what.ids.clone()) {
        gone += store.forget(&forget)?.len();
    }
    Ok(gone as u64)
}

/// The wish to forget these and no others, looked for only where they can be; `None` when there are none.
pub fn exactly(ids: BTreeSet<ExecutionId>) -> Option<Forget> {
    let (since, last) = (ids.first()?.ended(), ids.last()?.ended());
    let until = Timestamp::from_millisecond(last.as_millisecond() + 1).ok();
    Some(Forget { since: Some(since), until, ids: Some(ids), ..Forget::default() })
}

/// Takes what was forgotten in the store out of what we publish, as far as it is on this machine. The next exchange publishes it; the
/// remotes at which that is still to be done.
///
/// # Errors
/// When another process exchanges for longer than we wait, or the disk cannot be written.
pub fn forget_here(repo: &Repo, terms: &Terms<'_>, store: &dyn Store) -> Result<Vec<String>, SyncError> {
    if !Exchange::exists(repo) {
        return Ok(Vec::new());
    }
    let exchange = Exchange::open(repo, terms.patience)?;
    let mut outbox = Outbox::open(&exchange, terms)?;
    outbox.scrub(&store.forgotten()?)?;
    outbox.save()?;
    // Others may have published it, too; what they publish afterwards is fetched again.
    exchange.drop_mirrors()?;
    exchange.tidy(true)?;
    Ok(exchange.remotes())
}

/// The improvements in whose records, which stay, something is quoted that matches.
///
/// # Errors
/// When the log cannot be read.
pub fn quoted_in_log(repo: &Repo, pattern: &regex::bytes::Regex) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (id, records) in repo.read_log()? {
        let quotes = |value: &serde_json::Value| holds(value, pattern);
        if records.iter().any(|record| serde_json::to_value(record).as_ref().is_ok_and(quotes)) {
            found.push(id.short().to_string());
        }
    }
    Ok(found)
}

fn holds(value: &serde_json::Value, pattern: &regex::bytes::Regex) -> bool {
    match value {
        serde_json::Value::String(text) => pattern.is_match(text.as_bytes()),
        serde_json::Value::Array(all) => all.iter().any(|value| holds(value, pattern)),
        serde_json::Value::Object(all) => all.values().any(|value| holds(value, pattern)),
        _ => false,
    }
}

/// When a run is too old to be kept by anybody: by the longest of the configured times.
fn oldest(config: &Config, now: Timestamp) -> Timestamp {
    let own = config.tools.iter().filter_map(|tool| tool.retention_days);
    let days = own.chain([config.record.retention_days]).max().unwrap_or_default();
    now.saturating_sub(SignedDuration::from_hours(24 * i64::from(days))).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn author(config: &Config) -> Identity {
    Identity { name: config.deploy.author_name.clone(), email: config.deploy.author_email.clone() }
}

/// Whether a run says that it ended when it cannot have.
fn is_from_the_future(id: &ExecutionId, now: Timestamp) -> bool {
    now.saturating_add(forgotten::AHEAD).is_ok_and(|latest| id.ended() > latest)
}
