//! Questions and answers that are kept, a file for each, so that a run can be repeated offline, a killed one goes on without asking
//! again, and people can see what was said. What comes here is redacted already, and has no key in it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Reply, Stop};
use crate::config::{ModelConfig, Recordings};
use crate::model::Cost;
use crate::world::files;

/// The version of the form.
const VERSION: u32 = 1;
/// Bytes of a file that is read.
const FILE_MAX: u64 = 16 << 20;

/// Keeps and finds.
pub(super) struct Recorder {
    folder: PathBuf,
    mode: Recordings,
    bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    provider: Value,
    model: String,
    question: Value,
    answer: String,
    stop: Stop,
    cost: Cost,
    #[serde(default)]
    estimated: bool,
}

impl Recorder {
    pub fn new(config: &ModelConfig, state: &Path) -> Recorder {
        Recorder { folder: state.join("asked"), mode: config.recordings, bytes: config.recordings_mib << 20 }
    }

    fn place(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{digest}.json"))
    }

    /// The answer to a question that was asked before. What is damaged, or of another version, is none.
    pub fn find(&self, digest: &str) -> Option<Reply> {
        if self.mode == Recordings::Off {
            return None;
        }
        let place = self.place(digest);
        let fits = place.metadata().is_ok_and(|data| data.len() <= FILE_MAX);
        let kept: Kept = serde_json::from_slice(&files::read(&place).ok().filter(|_| fits)?).ok()?;
        (kept.version == VERSION).then(|| Reply {
            text: kept.answer,
            stop: kept.stop,
            cost: kept.cost,
            estimated: kept.estimated,
            question: digest.to_string(),
            recorded: true,
        })
    }

    /// Keeps an answer: whole or not at all. That it cannot is no reason to stop.
    pub fn keep(&self, config: &ModelConfig, question: &Value, reply: &Reply) {
        if self.mode == Recordings::Off {
            return;
        }
        let kept = Kept {
            version: VERSION,
            provider: serde_json::to_value(config.provider).unwrap_or_default(),
            model: config.name.clone(),
            question: question.clone(),
            answer: reply.text.clone(),
            stop: reply.stop,
            cost: reply.cost,
            estimated: reply.estimated,
        };
        if let Err(error) = self.write(&self.place(&reply.question), &kept) {
            tracing::warn!("what was asked is not kept: {error:#}");
        }
        self.forget();
    }

    fn write(&self, place: &Path, kept: &Kept) -> anyhow::Result<()> {
        files::make_folder(&self.folder)?;
        let mut draft = files::Draft::of(place)?;
        serde_json::to_writer_pretty(&mut draft, kept)?;
        draft.finish()
    }

    /// Removes the oldest until the rest has room.
    fn forget(&self) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        let known = |entry: std::fs::DirEntry| {
            let data = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            Some((data.modified().ok()?, data.len(), entry.path()))
        };
        let mut all: Vec<_> = entries.flatten().filter_map(known).collect();
        all.sort();
        let mut sum: u64 = all.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, place) in all {
            if sum <= self.bytes {
                return;
            }
            sum -= bytes;
            let _ = std::fs::remove_file(place);
        }
    }
}
