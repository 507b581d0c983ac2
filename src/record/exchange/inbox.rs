//! What others publish, read as what it is: text from anybody who may push.
//!
//! It goes through the same door as every other source, so it is redacted by our rules too, and reduced to our level of capture. Where
//! segments come from, and which were read already, is not known here.

use jiff::Timestamp;

use super::super::lines::Line;
use super::super::observed::Intake;
use super::segment::{LINE_MAX, Name, PACKED_MAX, unpack};
use super::{Terms, is_from_the_future};
use crate::model::{NewExecution, SuccessRule};
use crate::world::git::Repo;
use crate::world::git::exchange::{Exchange, SegmentFile};

/// Segments of one writer that are read.
pub(super) const SEGMENTS_MAX: usize = 4096;

/// Bytes of a version, a caller or a fingerprint: the store keeps each of them for ever.
const NAME_MAX: usize = 512;

pub(super) struct Inbox<'a> {
    intake: Intake<'a>,
    now: Timestamp,
}

impl<'a> Inbox<'a> {
    pub(super) fn new(terms: &Terms<'a>, repo: &Repo) -> Self {
        Inbox { intake: Intake::new(terms.config, &repo.root().to_string_lossy()), now: terms.now }
    }

    /// The executions of a segment, and why some of them are missing.
    ///
    /// # Errors
    /// Why it cannot be read at all.
    pub(super) fn read(&self, exchange: &Exchange, file: &SegmentFile) -> Result<(Vec<NewExecution>, Option<String>), String> {
        let name = Name::parse(&file.name).ok_or("its name is not that of a segment")?;
        if file.size == u64::MAX {
            return Err("it is not a plain file".into());
        }
        if file.size > PACKED_MAX {
            return Err(format!("it has {} bytes, more than {PACKED_MAX}", file.size));
        }
        if !file.object.starts_with(&name.digits) {
            return Err("its name is that of another segment".into());
        }
        let content = exchange.content(&file.object).map_err(|error| format!("{error:#}"))?;
        let text = unpack(&name, &content).map_err(|error| error.to_string())?;
        let (mut batch, mut refused, mut why) = (Vec::new(), 0, String::new());
        for line in text.lines() {
            match self.execution(line, &name) {
                Ok(new) => batch.push(new),
                Err(reason) => {
                    refused += 1;
                    why = reason;
                }
            }
        }
        let refused = (refused > 0).then(|| format!("{refused} of its {} executions, the last because it {why}", name.runs));
        Ok((batch, refused))
    }

    fn execution(&self, line: &str, name: &Name) -> Result<NewExecution, String> {
        if line.len() > LINE_MAX {
            return Err(format!("has {} bytes, more than {LINE_MAX}", line.len()));
        }
        let line = Line::parse(line).map_err(|error| {
            let why = error.to_string();
            format!("is not of the form: {}", why.split(", expected one of").next().unwrap_or_default())
        })?;
        let id = line.identity().ok_or("has no identity")?;
        if !(name.first..=name.last).contains(&id.ended().as_millisecond()) {
            return Err("ended at another time than the segment's name says".into());
        }
        if is_from_the_future(&id, self.now) {
            return Err(format!("says that it ended at {}, which is yet to come", id.ended()));
        }
        // What is admitted would be cut, and two names might become one.
        if line.names().iter().any(|name| name.len() > NAME_MAX) {
            return Err(format!("has a name of more than {NAME_MAX} bytes"));
        }
        let mut new = line.admit(&self.intake, &SuccessRule::default());
        new.execution.id = id;
        Ok(new)
    }
}
