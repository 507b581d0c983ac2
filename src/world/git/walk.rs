//! One walk through history for many tools: a commit costs what it changes, however many tools there are.

use std::collections::BTreeMap;

use anyhow::Result;
use git2::Oid;

use super::{Repo, id_of};
use crate::model::{CommitId, Version};

/// Commits walked through when looking for versions.
pub(super) const COMMITS_MAX: usize = 20_000;

/// What is asked about one tool.
pub struct Before<'a> {
    pub paths: &'a [String],
    /// No more earlier versions than that are looked at.
    pub limit: usize,
    /// Whether this is the one looked for.
    pub wanted: &'a dyn Fn(&Version) -> bool,
}

/// The paths that are asked about, by folder, with the numbers of those who ask.
#[derive(Default)]
struct Interest {
    /// Of who has a path that ends here.
    own: Vec<usize>,
    below: BTreeMap<Vec<u8>, Interest>,
}

/// Where the walk is with one tool.
struct State {
    version: Option<Version>,
    /// The commit that made the version that the walk began with.
    since: Option<CommitId>,
    /// Versions looked at.
    seen: usize,
}

impl Repo {
    /// For each that asks: the newest earlier version, along the first parents of `from`, that is wanted, and the commit that made the
    /// version that `from` has.
    ///
    /// # Errors
    /// When history cannot be read.
    pub fn versions_before(&self, from: &CommitId, asked: &[Before<'_>]) -> Result<Vec<Option<(CommitId, Version)>>> {
        let mut answers = vec![None; asked.len()];
        let (mut interest, mut states) = (Interest::default(), Vec::new());
        for (number, one) in asked.iter().enumerate() {
            interest.add(number, one.paths);
            states.push(State { version: self.version_at(from, one.paths)?, since: None, seen: 0 });
        }
        let mut open = asked.len();
        let mut commit = self.commit(from)?;
        for _ in 0..COMMITS_MAX {
            if open == 0 {
                break;
            }
            let Ok(parent) = commit.parent(0) else { break };
            let mut touched = Vec::new();
            self.touched(&interest, Some(parent.tree_id()), Some(commit.tree_id()), &mut touched)?;
            touched.sort_unstable();
            touched.dedup();
            for number in touched {
                let (one, state) = (&asked[number], &mut states[number]);
                let before = self.version_at(&id_of(parent.id()), one.paths)?;
                if before == state.version {
                    continue;
                }
                let since = state.since.get_or_insert_with(|| id_of(commit.id()));
                state.seen += 1;
                let found = before.as_ref().filter(|before| (one.wanted)(before));
                answers[number] = found.map(|found| (since.clone(), found.clone()));
                let is_answered = found.is_some() || state.seen == one.limit;
                state.version = before;
                if is_answered {
                    interest.remove(number, one.paths);
                    open -= 1;
                }
            }
            commit = parent;
        }
        Ok(answers)
    }

    /// Who has a path at or below which two trees differ; `None` is a tree without entries.
    fn touched(&self, interest: &Interest, before: Option<Oid>, after: Option<Oid>, touched: &mut Vec<usize>) -> Result<()> {
        if before == after {
            return Ok(());
        }
        touched.extend(&interest.own);
        if interest.below.is_empty() {
            return Ok(());
        }
        let tree = |oid: Option<Oid>| oid.map(|oid| self.inner.find_tree(oid)).transpose();
        let (before, after) = (tree(before)?, tree(after)?);
        for (name, interest) in &interest.below {
            let (before, after) = (entry(before.as_ref(), name), entry(after.as_ref(), name));
            if before == after {
                continue;
            }
            let folder = |entry: Option<(i32, Oid)>| entry.filter(|(mode, _)| *mode == FOLDER).map(|(_, oid)| oid);
            match (folder(before), folder(after)) {
                // Something else than a folder came, went or is different.
                (before, after) if before == after => touched.extend(&interest.own),
                (before, after) => self.touched(interest, before, after, touched)?,
            }
        }
        Ok(())
    }
}

/// The mode of a tree.
const FOLDER: i32 = 0o040_000;

fn entry(tree: Option<&git2::Tree<'_>>, name: &[u8]) -> Option<(i32, Oid)> {
    // No entry of a tree has such a name, and libgit2 cannot be asked for it.
    let is_possible = !name.contains(&0);
    tree.filter(|_| is_possible)?.get_name_bytes(name).map(|entry| (entry.filemode(), entry.id()))
}

impl Interest {
    /// Without paths, everything is meant.
    fn add(&mut self, number: usize, paths: &[String]) {
        if paths.is_empty() {
            self.own.push(number);
        }
        for path in paths {
            let mut at = &mut *self;
            for part in path.trim_end_matches('/').split('/') {
                at = at.below.entry(part.as_bytes().to_vec()).or_default();
            }
            at.own.push(number);
        }
    }

    fn remove(&mut self, number: usize, paths: &[String]) {
        if paths.is_empty() {
            self.own.retain(|own| *own != number);
        }
        for path in paths {
            self.remove_below(number, path.trim_end_matches('/'));
        }
    }

    fn remove_below(&mut self, number: usize, path: &str) {
        let (part, rest) = path.split_once('/').map_or((path, None), |(part, rest)| (part, Some(rest)));
        let Some(below) = self.below.get_mut(part.as_bytes()) else { return };
        match rest {
            Some(rest) => below.remove_below(number, rest),
            None => below.own.retain(|own| *own != number),
        }
        if below.own.is_empty() && below.below.is_empty() {
            self.below.remove(part.as_bytes());
        }
    }
}
