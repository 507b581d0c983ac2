//! Rollouts as `fractal exec` sees them: a file for each tool with the version that takes a share of its runs, and beside it what became
//! of the runs that were drawn, as JSON lines.
//!
//! As with `src/world/shadow.rs`: a cycle makes and removes these files, that they are there is all that a run looks for, and losing
//! them loses evidence and nothing else. The second file is named after the proposal and the version, so that a proposal that is made
//! again on a moved base goes on where it was.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::PathBuf;

use anyhow::Result;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::git::Repo;
use super::pin::put;
use crate::config::Sticky;
use crate::model::{ArmRun, CommitId, Fingerprint, ImprovementId, Version};

/// Bytes of the record of one rollout: some 30,000 runs. When it is full, no more runs are drawn.
const SIZE_MAX: u64 = 4 << 20;
const ARM: &str = "arm.json";

/// A proposed version that takes a share of a tool's live runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    pub tool: String,
    pub id: ImprovementId,
    /// What must be checked out, and the version of the tool there, for a run to be drawn.
    pub base: CommitId,
    pub old: Version,
    /// What is proposed.
    pub commit: CommitId,
    pub version: Version,
    pub percent: u8,
    pub sticky: Sticky,
    /// The kinds of failure that are to be repaired.
    pub incident: Vec<Fingerprint>,
    /// Nobody is drawn any more once no cycle has looked for so long.
    pub until: Timestamp,
}

impl Share {
    /// What draws of this rollout have in common, and no other's.
    pub fn salt(&self) -> String {
        format!("{} {}", self.id, self.version)
    }
}

/// What a rollout is kept by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    pub tool: String,
    pub id: ImprovementId,
    /// `None`: no runs are drawn for now, and what is known stays.
    pub share: Option<Share>,
}

fn folder(repo: &Repo) -> PathBuf {
    repo.state_dir().join("rollout")
}

fn record(repo: &Repo, tool: &str, id: &ImprovementId, version: &Version) -> PathBuf {
    folder(repo).join(tool).join(format!("{id}-{version}.jsonl"))
}

/// Lets runs be drawn for these rollouts, and removes everything of others.
///
/// # Errors
/// When a file cannot be written or removed.
pub(super) fn keep(repo: &Repo, rollouts: &[Rollout]) -> Result<()> {
    for share in rollouts.iter().filter_map(|rollout| rollout.share.as_ref()) {
        put(&folder(repo).join(&share.tool).join(ARM), &serde_json::to_vec(share)?)?;
    }
    let drawn: BTreeSet<&str> =
        rollouts.iter().filter(|rollout| rollout.share.is_some()).map(|rollout| rollout.tool.as_str()).collect();
    let known: BTreeSet<(&str, &str)> = rollouts.iter().map(|rollout| (rollout.tool.as_str(), rollout.id.as_str())).collect();
    let tools = match fs::read_dir(folder(repo)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        tools => tools?,
    };
    for folder in tools.flatten().map(|tool| tool.path()) {
        let tool = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        for file in fs::read_dir(&folder)?.flatten() {
            let name = file.file_name();
            let name = name.to_str().unwrap_or_default();
            let stays = match name.split_once('-') {
                None => name == ARM && drawn.contains(tool),
                Some((id, _)) => known.contains(&(tool, id)),
            };
            if !stays {
                fs::remove_file(file.path())?;
            }
        }
        // Not when something is left in it.
        let _ = fs::remove_dir(&folder);
    }
    Ok(())
}

/// The version that takes a share of a tool's runs, if any does.
pub fn share(repo: &Repo, tool: &str) -> Option<Share> {
    serde_json::from_slice(&fs::read(folder(repo).join(tool).join(ARM)).ok()?).ok()
}

/// Draws no more runs of a tool, until a cycle says otherwise.
///
/// # Errors
/// When the file cannot be removed.
pub fn withdraw(repo: &Repo, tool: &str) -> io::Result<()> {
    match fs::remove_file(folder(repo).join(tool).join(ARM)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The record of a rollout, open for one more run.
#[derive(Debug)]
pub struct Record(File);

impl Record {
    /// `None` when there is no room or no folder.
    pub fn open(repo: &Repo, share: &Share) -> Option<Record> {
        let path = record(repo, &share.tool, &share.id, &share.version);
        let file = OpenOptions::new().append(true).create(true).open(path).ok()?;
        file.metadata().is_ok_and(|data| data.len() < SIZE_MAX).then_some(Record(file))
    }

    /// Adds what became of a run. One write at the end of the file: any number of processes may do it at once.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note(mut self, run: &ArmRun) -> io::Result<()> {
        // The first line end is for a line that was not written to its end.
        self.0.write_all(format!("\n{}\n", serde_json::to_string(run)?).as_bytes())
    }
}

/// What became of the runs that were drawn. A line that a killed process left half written is none.
pub fn runs(repo: &Repo, tool: &str, id: &ImprovementId, version: &Version) -> Vec<ArmRun> {
    let mut text = Vec::new();
    if let Ok(file) = File::open(record(repo, tool, id, version)) {
        let _ = file.take(SIZE_MAX * 2).read_to_end(&mut text);
    }
    text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}
