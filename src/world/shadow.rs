//! What live runs show of a proposal that waits: a file of JSON lines for each proposal, in our folder of the git directory.
//!
//! The cycle after which a proposal waits makes the file, and one after which it does not wait removes it: that it is there is all
//! that `fractal exec` looks for. It is named after the patch, so one that is made again on a moved base goes on where it was, and another
//! one begins again. Losing it loses evidence and nothing else. Locking it, which the operating system undoes however we end, is the permission to repeat a live run.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::PathBuf;

use super::git::Repo;
use crate::model::{ImprovementId, PatchId, ShadowRun};

/// Bytes of one file, some two thousand runs: enough to know.
const SIZE_MAX: u64 = 256 << 10;

/// A proposal that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub tool: String,
    pub id: ImprovementId,
    /// What is proposed: the edited files as they would be.
    pub patch: PatchId,
}

impl Waiting {
    fn path(&self, repo: &Repo) -> PathBuf {
        folder(repo).join(&self.tool).join(format!("{}-{}.jsonl", self.id, self.patch))
    }
}

fn folder(repo: &Repo) -> PathBuf {
    repo.state_dir().join("shadow")
}

/// Makes files for these proposals, and removes all others.
///
/// # Errors
/// When a file cannot be made or removed.
pub(super) fn keep(repo: &Repo, waiting: &[Waiting]) -> io::Result<()> {
    let wanted: Vec<PathBuf> = waiting.iter().map(|waiting| waiting.path(repo)).collect();
    for path in &wanted {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        OpenOptions::new().append(true).create(true).open(path)?;
    }
    let tools = match fs::read_dir(folder(repo)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        tools => tools?,
    };
    for tool in tools {
        let tool = tool?.path();
        for file in fs::read_dir(&tool)? {
            let file = file?.path();
            if !wanted.contains(&file) {
                fs::remove_file(file)?;
            }
        }
        // Not when something is left in it.
        let _ = fs::remove_dir(tool);
    }
    Ok(())
}

/// The proposals of a tool that live runs may be repeated on now: nobody else does it, and there is room for one more.
pub fn open_to(repo: &Repo, tool: &str) -> Vec<Waiting> {
    let Ok(files) = fs::read_dir(folder(repo).join(tool)) else { return Vec::new() };
    let named = files.flatten().filter_map(|file| {
        let name = file.file_name().into_string().ok()?;
        let (id, patch) = name.strip_suffix(".jsonl")?.split_once('-')?;
        Some(Waiting { tool: tool.to_string(), id: ImprovementId(id.into()), patch: PatchId(patch.into()) })
    });
    named.filter(|waiting| Turn::take(repo, waiting).is_some()).collect()
}

/// What live runs showed of a proposal, oldest first. A line that a killed process left half written is none.
pub fn read(repo: &Repo, waiting: &Waiting) -> Vec<ShadowRun> {
    let mut text = Vec::new();
    if let Ok(file) = File::open(waiting.path(repo)) {
        let _ = file.take(SIZE_MAX * 2).read_to_end(&mut text);
    }
    text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

/// The permission to repeat one live run on a proposal.
pub struct Turn(File);

impl Turn {
    /// `None` when somebody else has it, when enough is known, or when the proposal does not wait any more.
    pub fn take(repo: &Repo, waiting: &Waiting) -> Option<Turn> {
        let file = OpenOptions::new().append(true).open(waiting.path(repo)).ok()?;
        let is_free = match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
        };
        (is_free && file.metadata().is_ok_and(|data| data.len() < SIZE_MAX)).then_some(Turn(file))
    }

    /// Adds what the run showed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note(mut self, run: &ShadowRun) -> io::Result<()> {
        // The first line end is for a line that was not written to its end.
        let line = format!("\n{}\n", serde_json::to_string(run)?);
        self.0.write_all(line.as_bytes())
    }
}
