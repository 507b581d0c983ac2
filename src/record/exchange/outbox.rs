//! What we publish: segments, and what was forgotten. Changed in memory, and saved as one commit.
//!
//! What leaves the machine is redacted once more, by the rules of today, also where the tool's level of capture is `full`.

use jiff::{SignedDuration, Timestamp};

use super::super::lines::Line;
use super::super::observed::Intake;
use super::segment::{self, Head, LINE_MAX, Lines, NEW_MAX, Name, Segment, unpack};
use super::{Step, Synced, Terms, author, forgotten, oldest};
use crate::config::Config;
use crate::model::{CaptureLevel, ExecutionId, NewExecution, SuccessRule};
use crate::world::clock::Stopwatch;
use crate::world::files;
use crate::world::git::exchange::{Exchange, ExchangeError, Published, SegmentFile};
use crate::world::store::{Forgotten, Store};

use super::SyncError;

/// Executions that are taken from the store at once.
const BATCH: usize = 500;

type Done<T = ()> = Result<T, ExchangeError>;

pub(super) struct Outbox<'a> {
    exchange: &'a Exchange,
    terms: &'a Terms<'a>,
    segments: Vec<Segment>,
    /// Everything of this was taken out.
    forgotten: Forgotten,
    /// The file of it.
    text: String,
    saved: (Vec<Segment>, String),
    /// The commit as saved, and when; empty when nothing was ever saved.
    pub(super) commit: String,
    pub(super) at: Timestamp,
    /// Executions that were taken out, and those of them that nobody forgot.
    pub(super) removed: u64,
    pub(super) dropped: u64,
    /// Executions of other writers that are published here now.
    pub(super) adopted: u64,
}

impl<'a> Outbox<'a> {
    pub(super) fn open(exchange: &'a Exchange, terms: &'a Terms<'a>) -> Done<Self> {
        let published = exchange.outbox()?;
        let segments = segments(&published.files);
        let text = published.forgotten.unwrap_or_default();
        Ok(Outbox {
            exchange,
            terms,
            forgotten: forgotten::read(&text, terms.now).unwrap_or_default(),
            saved: (segments.clone(), text.clone()),
            segments,
            text,
            commit: published.commit,
            at: published.at,
            removed: 0,
            dropped: 0,
            adopted: 0,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.text.is_empty()
    }

    pub(super) fn runs(&self) -> u64 {
        self.segments.iter().map(|segment| segment.name.runs).sum()
    }

    pub(super) fn files(&self) -> Vec<SegmentFile> {
        let file = |segment: &Segment| SegmentFile {
            name: segment.name.to_string(),
            object: segment.object.clone(),
            size: segment.packed,
        };
        self.segments.iter().map(file).collect()
    }

    /// Makes it the commit that is pushed next, when anything has changed.
    pub(super) fn save(&mut self) -> Done {
        self.segments.sort_by(|a, b| a.name.cmp(&b.name));
        if self.saved.0 != self.segments || self.saved.1 != self.text {
            self.save_again()?;
        }
        Ok(())
    }

    pub(super) fn save_again(&mut self) -> Done {
        let by = author(self.terms.config);
        self.commit = self.exchange.publish_here(&self.files(), &self.text, &by, self.terms.now)?;
        self.at = self.terms.now;
        self.saved = (self.segments.clone(), self.text.clone());
        Ok(())
    }

    /// Leaves out what is published elsewhere.
    pub(super) fn remove(&mut self, files: &[SegmentFile]) {
        self.segments.retain(|segment| !files.iter().any(|file| file.object == segment.object));
    }

    // ---- in ----

    /// Packs what others have not been sent. Each batch is in the outbox before it is marked as sent.
    pub(super) fn pack(
        &mut self,
        store: &mut dyn Store,
        clock: &Stopwatch,
        tell: &mut dyn FnMut(Step),
        report: &mut Synced,
    ) -> Result<(), SyncError> {
        let shared = shared(self.terms.config);
        let intake = Intake::new(&shared, "").knowing(&files::environment());
        let mut packed = 0;
        loop {
            tell(Step::Packing(packed));
            let batch = store.unsent(BATCH)?;
            if batch.is_empty() {
                return Ok(());
            }
            let mut lines = Lines::default();
            let mut bytes = 0;
            for new in &batch {
                let line = match outgoing(new, &intake) {
                    Ok(line) => line,
                    Err(why) => {
                        report.warn(&format!("execution {} of `{}` was not sent: {why}", new.execution.id, new.execution.tool));
                        continue;
                    }
                };
                if bytes + line.len() as u64 > NEW_MAX && bytes > 0 {
                    self.add(std::mem::take(&mut lines))?;
                    bytes = 0;
                }
                bytes += line.len() as u64;
                lines.add(&line);
            }
            self.add(lines)?;
            self.join()?;
            self.save()?;
            let ids: Vec<ExecutionId> = batch.iter().map(|new| new.execution.id.clone()).collect();
            store.sent(&ids)?;
            packed += ids.len() as u64;
            if batch.len() < BATCH {
                return Ok(());
            }
            if clock.elapsed() > self.terms.work {
                report.unfinished = true;
                return Ok(());
            }
        }
    }

    fn add(&mut self, lines: Lines) -> Done {
        let Some(packed) = lines.pack().map_err(anyhow::Error::from)? else { return Ok(()) };
        let object = self.exchange.keep(&packed.content)?;
        if !self.segments.iter().any(|segment| segment.object == object) {
            let (name, packed) = (packed.name(&object), packed.content.len() as u64);
            self.segments.push(Segment { name, object, packed });
        }
        Ok(())
    }

    /// Publishes what a writer that was given up has published.
    pub(super) fn adopt(&mut self, published: &Published, forgotten: &Forgotten) -> Done {
        for segment in segments(&published.files) {
            if self.segments.iter().any(|known| known.object == segment.object) {
                continue;
            }
            let before = self.runs();
            self.segments.push(segment);
            self.scrub_one(self.segments.len() - 1, forgotten)?;
            self.adopted += self.runs() - before.min(self.runs());
        }
        Ok(())
    }

    // ---- out ----

    /// Takes out what was forgotten since the last time, and says so to others.
    pub(super) fn scrub(&mut self, all: &Forgotten) -> Done {
        let text = forgotten::write(all, oldest(self.terms.config, self.terms.now));
        let news = all.without(&self.forgotten);
        if !news.is_empty() {
            for at in (0..self.segments.len()).rev() {
                let before = self.runs();
                self.scrub_one(at, &news)?;
                self.removed += before - self.runs();
            }
        }
        self.forgotten.add(news);
        self.text = text;
        Ok(())
    }

    fn scrub_one(&mut self, at: usize, forgotten: &Forgotten) -> Done {
        if forgotten.may_be_in(&self.segments[at].name) {
            self.rewrite(&[at], |head| !forgotten.holds(head))?;
        }
        Ok(())
    }

    /// Leaves out what need not be kept: what is too old, and the oldest of what takes too much room.
    pub(super) fn keep_within(&mut self) {
        let config = self.terms.config;
        let oldest = oldest(config, self.terms.now).as_millisecond();
        let before = self.runs();
        self.segments.retain(|segment| segment.name.last >= oldest);
        self.segments = segment::within(std::mem::take(&mut self.segments), config.sync.size_mib << 20);
        self.dropped += before - self.runs();
        self.removed += before - self.runs();
    }

    /// Joins small segments while there are too many. What is joined loses what its tool does not keep so long.
    pub(super) fn join(&mut self) -> Done {
        let config = self.terms.config;
        let oldest = |tool: &str| {
            let own = config.tools.iter().find(|declared| declared.name == tool).and_then(|declared| declared.retention_days);
            let days = own.unwrap_or(config.record.retention_days);
            self.terms.now.saturating_sub(SignedDuration::from_hours(24 * i64::from(days))).unwrap_or(Timestamp::UNIX_EPOCH)
        };
        while let Some(joined) = segment::to_join(&self.segments, config.sync.segments) {
            let before = self.runs();
            self.rewrite(&joined, |head| head.id.ended() >= oldest(&head.tool))?;
            self.removed += before - self.runs();
        }
        Ok(())
    }

    /// Puts one segment with what is to stay in the place of these. One that cannot be read goes.
    fn rewrite(&mut self, places: &[usize], stays: impl Fn(&Head) -> bool) -> Done {
        let mut lines = Lines::default();
        let mut all = true;
        for at in places {
            let segment = &self.segments[*at];
            let text = self.exchange.content(&segment.object).and_then(|content| Ok(unpack(&segment.name, &content)?));
            let Ok(text) = text else {
                all = false;
                continue;
            };
            for line in text.lines() {
                match serde_json::from_str::<Head>(line) {
                    Ok(head) if stays(&head) => lines.add(line),
                    _ => all = false,
                }
            }
        }
        if places.len() == 1 && all {
            return Ok(());
        }
        let mut at = 0..;
        self.segments.retain(|_| !places.contains(&at.next().unwrap_or(usize::MAX)));
        self.add(lines)
    }
}

/// The segments among a writer's files.
fn segments(files: &[SegmentFile]) -> Vec<Segment> {
    let segment = |file: &SegmentFile| {
        let name = Name::parse(&file.name).filter(|name| file.object.starts_with(&name.digits))?;
        Some(Segment { name, object: file.object.clone(), packed: file.size })
    };
    files.iter().filter_map(segment).collect()
}

/// How many executions a writer's files hold, by their names.
pub(super) fn runs(files: &[SegmentFile]) -> u64 {
    segments(files).iter().map(|segment| segment.name.runs).sum()
}

/// The configuration by which executions leave the machine: no secrets, whatever is kept here.
fn shared(config: &Config) -> Config {
    let mut shared = config.clone();
    let levels = shared.tools.iter_mut().filter_map(|tool| tool.capture.as_mut());
    levels.chain([&mut shared.record.capture]).for_each(|level| *level = CaptureLevel::Redacted.min(*level));
    shared
}

/// The line of an execution that leaves the machine.
///
/// # Errors
/// Why nobody would take it.
fn outgoing(new: &NewExecution, intake: &Intake<'_>) -> Result<String, String> {
    let text = Line::of(new).text().map_err(|error| error.to_string())?;
    let line = Line::parse(&text).map_err(|error| error.to_string())?;
    let id = line.identity().ok_or("its identity is none of ours")?;
    let mut again = line.admit(intake, &SuccessRule::default());
    again.execution.id = id;
    let text = Line::of(&again).text().map_err(|error| error.to_string())?;
    if text.len() > LINE_MAX { Err(format!("it has {} bytes, more than {LINE_MAX}", text.len())) } else { Ok(text) }
}
