//! The versions of a tool that somebody may want to run or to compare: those that ran, those of the base's history, what is proposed,
//! what is pinned; and what names them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};
use jiff::Timestamp;
use serde::Serialize;

use super::figures::{self, Change, Rate, ToolFigures, changes, milliseconds};
use super::stage::Stage;
use super::status::History;
use crate::model::{CommitId, Counts, ImprovementId, Sketch, Tool, Version};
use crate::world::{pin, rollout};

/// Bytes of a diff that are shown.
const DIFF_MAX: usize = 1 << 20;
/// Of fewer runs nobody knows how long the slowest twentieth takes.
const P95_RUNS: u64 = 20;
/// Fewer characters name no version.
const PREFIX_MIN: usize = 4;

/// What a version is just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// On the base.
    Base,
    /// In the work tree, where that is another one.
    WorkTree,
    /// A person said that it runs.
    Pinned,
    /// So many per cent of the live runs get it.
    Canary(u8),
    /// It waits on a branch.
    Proposed,
}

/// One version of a tool.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KnownVersion {
    pub version: Version,
    /// `None` for files that were never committed.
    pub commit: Option<CommitId>,
    pub summary: Option<String>,
    /// The improvement that made it.
    pub improvement: Option<ImprovementId>,
    pub roles: Vec<Role>,
    /// Its first run, or when it was committed.
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
    #[serde(flatten)]
    pub counts: Counts,
    pub success: Option<Rate>,
    #[serde(rename = "mean_ms", serialize_with = "of_milliseconds")]
    pub mean: Option<Duration>,
    /// From 20 runs on.
    #[serde(rename = "p95_ms", serialize_with = "of_milliseconds")]
    pub p95: Option<Duration>,
}

/// Two versions side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    pub before: KnownVersion,
    pub after: KnownVersion,
    /// By the factor of the alarm, and by the medians.
    pub changes: Vec<Change>,
    pub diff: String,
}

fn of_milliseconds<S: serde::Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => milliseconds(duration, serializer),
        None => serializer.serialize_none(),
    }
}

impl KnownVersion {
    fn unseen(version: Version) -> KnownVersion {
        KnownVersion {
            version,
            commit: None,
            summary: None,
            improvement: None,
            roles: Vec::new(),
            first: None,
            last: None,
            counts: Counts::default(),
            success: None,
            mean: None,
            p95: None,
        }
    }
}

/// The versions that ran.
fn ran(figures: &ToolFigures) -> BTreeMap<Version, KnownVersion> {
    let known = |ran: &figures::VersionFigures| {
        let hours = figures.hours.iter().filter(|hour| hour.version == ran.version);
        let durations = hours.fold(Sketch::default(), |mut sum, hour| {
            sum.merge(&hour.durations);
            sum
        });
        KnownVersion {
            commit: ran.commit.clone(),
            summary: ran.summary.clone(),
            first: Some(ran.first),
            last: Some(ran.last),
            counts: ran.counts,
            success: ran.success,
            mean: durations.mean(),
            p95: durations.quantile(0.95).filter(|_| durations.count() >= P95_RUNS),
            ..KnownVersion::unseen(ran.version.clone())
        }
    };
    figures.versions.iter().map(|ran| (ran.version.clone(), known(ran))).collect()
}

/// The newest first; only so many of those that are nothing just now.
fn newest(all: BTreeMap<Version, KnownVersion>, limit: usize) -> Vec<KnownVersion> {
    let mut all: Vec<KnownVersion> = all.into_values().collect();
    all.sort_by_key(|known| std::cmp::Reverse(known.last.max(known.first)));
    let mut room = limit;
    all.retain(|known| {
        let stays = !known.roles.is_empty() || room > 0;
        room -= usize::from(known.roles.is_empty() && room > 0);
        stays
    });
    all
}

impl History {
    /// The versions of a tool, newest first: at most `limit` of those that are nothing just now.
    ///
    /// # Errors
    /// When the repository or the store cannot be read.
    pub fn versions(&self, tool: &Tool, limit: usize) -> Result<Vec<KnownVersion>> {
        let figures = self.figures(tool)?;
        self.versions_in(tool, limit, &figures)
    }

    fn figures(&self, tool: &Tool) -> Result<ToolFigures> {
        let view = self.view();
        figures::of_tool(&view.repo, &view.config, view.store.as_ref(), &tool.name, Timestamp::UNIX_EPOCH, view.clock.now())
    }

    fn versions_in(&self, tool: &Tool, limit: usize, figures: &ToolFigures) -> Result<Vec<KnownVersion>> {
        let (repo, paths) = (&self.view().repo, &tool.paths);
        let mut all = ran(figures);
        let tip = repo.tip(&self.view().base)?;
        for revision in repo.revisions(&tip, paths, limit)? {
            let known = all.entry(revision.version.clone()).or_insert_with(|| KnownVersion::unseen(revision.version));
            known.first = known.first.or(Some(revision.at));
            known.commit = known.commit.take().or(Some(revision.commit));
            known.summary = known.summary.take().or(Some(revision.summary));
        }
        let mut is = |version: Option<Version>, commit: Option<&CommitId>, role: Option<Role>| -> Result<()> {
            let Some(version) = version else { return Ok(()) };
            let known = all.entry(version.clone()).or_insert_with(|| KnownVersion::unseen(version));
            if known.commit.is_none()
                && let Some(commit) = commit
            {
                known.summary = repo.message(commit)?.lines().next().map(str::to_string);
                known.commit = Some(commit.clone());
            }
            known.roles.extend(role);
            Ok(())
        };
        let base = repo.version_at(&tip, paths)?;
        is(base.clone(), Some(&tip), Some(Role::Base))?;
        if let Some(own) = repo.version_in_work_tree(paths)?.filter(|own| Some(own) != base.as_ref()) {
            is(Some(own), None, Some(Role::WorkTree))?;
        }
        if let Some(pin) = pin::of(repo, &tool.name)? {
            is(repo.version_at(&pin.commit, paths)?, Some(&pin.commit), Some(Role::Pinned))?;
        }
        let share = rollout::share(repo, &tool.name);
        let mut made = Vec::new();
        for improvement in self.improvements().into_iter().filter(|improvement| improvement.is_about(&tool.name)) {
            let carried = improvement.landed.as_ref().map(|landed| &landed.commit);
            let Some(commit) = carried.or(improvement.branch.as_ref().map(|(_, commit)| commit)) else { continue };
            // Objects of a branch that somebody deleted go some day.
            let Ok(Some(version)) = repo.version_at(commit, paths) else { continue };
            let role = match &share {
                Some(share) if share.id == improvement.id && share.version == version => Some(Role::Canary(share.percent)),
                _ if improvement.stage == Stage::Proposed => Some(Role::Proposed),
                _ => None,
            };
            made.push((version.clone(), improvement.id.clone()));
            is(Some(version), Some(commit), role)?;
        }
        for (version, id) in made {
            all.entry(version).and_modify(|known| known.improvement = Some(id));
        }
        Ok(newest(all, limit))
    }

    /// The commit that has the version that a person names: what git knows by that name (a branch, a tag, the beginning of a commit's
    /// id), or the beginning of the id of an improvement or of a version.
    ///
    /// # Errors
    /// When nothing has that name, or the tool is not there.
    pub fn commit_of(&self, tool: &Tool, name: &str) -> Result<(CommitId, Version)> {
        let repo = &self.view().repo;
        let found = match repo.commit_named(name)? {
            Some(commit) => commit,
            None => match self.otherwise_named(tool, name)?.as_slice() {
                [one] => one.clone(),
                [] => bail!("`{name}` is no commit, branch, tag, improvement or version of `{}`", tool.name),
                _ => bail!("`{name}` is the beginning of several ids; write more of it"),
            },
        };
        match repo.version_at(&found, &tool.paths)? {
            Some(version) => Ok((found, version)),
            None => bail!("the files of `{}` are not in commit {}", tool.name, found.short()),
        }
    }

    fn otherwise_named(&self, tool: &Tool, name: &str) -> Result<Vec<CommitId>> {
        if name.len() < PREFIX_MIN {
            return Ok(Vec::new());
        }
        let own = self.improvements().into_iter().filter(|improvement| improvement.is_about(&tool.name));
        let named = own.filter(|improvement| improvement.id.as_str().starts_with(name));
        let commits = named.filter_map(|improvement| match (&improvement.landed, &improvement.branch) {
            (Some(landed), _) => Some(landed.commit.clone()),
            (None, Some((_, commit))) => Some(commit.clone()),
            (None, None) => None,
        });
        let found: Vec<CommitId> = commits.collect();
        if !found.is_empty() {
            return Ok(found);
        }
        let versions = self.versions(tool, usize::MAX)?;
        let named = versions.into_iter().filter(|known| known.version.as_str().starts_with(name));
        Ok(named.filter_map(|known| known.commit).collect())
    }

    /// Two versions of a tool side by side.
    ///
    /// # Errors
    /// As [`History::commit_of`], and when the repository or the store cannot be read.
    pub fn compared(&self, tool: &Tool, before: &str, after: &str) -> Result<Compared> {
        let (before, after) = (self.commit_of(tool, before)?, self.commit_of(tool, after)?);
        let figures = self.figures(tool)?;
        let all = self.versions_in(tool, usize::MAX, &figures)?;
        let known = |(commit, version): &(CommitId, Version)| {
            let found = all.iter().find(|known| known.version == *version).cloned();
            KnownVersion { commit: Some(commit.clone()), ..found.unwrap_or_else(|| KnownVersion::unseen(version.clone())) }
        };
        let ran = |(_, version): &(CommitId, Version)| figures.versions.iter().find(|ran| ran.version == *version);
        Ok(Compared {
            before: known(&before),
            after: known(&after),
            changes: ran(&before).zip(ran(&after)).map(|(before, after)| changes(before, after)).unwrap_or_default(),
            diff: self.view().repo.diff_between(&before.0, &after.0, &tool.paths, DIFF_MAX)?,
        })
    }
}
