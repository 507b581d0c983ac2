//! What goes through the `git` command, because hooks, leases and credentials are the user's: listing, fetching, pushing.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Repo, id_of};
use crate::model::{CommitId, Exit};
use crate::world::fault;
use crate::world::process::{self, Finished, Spawn};

const PUSH_TIME: Duration = Duration::from_secs(300);
/// Bytes of what git answers.
const ANSWER_MAX: usize = 8 << 20;
/// Where refs of the remote are kept as we last saw them.
pub const THERE: &str = "refs/fractal/there/";

/// A ref of a remote that is to be somewhere else; `None`: absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    pub name: String,
    pub from: Option<CommitId>,
    pub to: Option<CommitId>,
}

/// Whether the user's `pre-push` hook runs: for everything that carries something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hooks {
    Run,
    Skip,
}

/// The name under which a ref of the remote is kept here.
pub fn there(name: &str) -> String {
    format!("{THERE}{}", name.trim_start_matches("refs/"))
}

impl Repo {
    /// Moves refs on a remote, all of them or none: each must be where its move begins. What was moved is remembered as seen.
    ///
    /// # Errors
    /// What git said when the push was refused or the remote was not reached.
    pub fn push(&self, remote: &str, moves: &[Move], hooks: Hooks) -> Result<()> {
        match self.push_together(remote, moves, hooks) {
            // A server that knows no atomic pushes: one by one, what carries the others' meaning first.
            Err(error) if moves.len() > 1 && format!("{error:#}").contains("--atomic") => {
                for one in moves.iter().rev() {
                    self.push_together(remote, std::slice::from_ref(one), hooks)?;
                }
                Ok(())
            }
            done => done,
        }
    }

    fn push_together(&self, remote: &str, moves: &[Move], hooks: Hooks) -> Result<()> {
        let text = |commit: &Option<CommitId>| commit.as_ref().map_or(String::new(), ToString::to_string);
        let mut arguments: Vec<String> = ["push", "--porcelain"].map(String::from).into();
        arguments.extend((hooks == Hooks::Skip).then(|| "--no-verify".to_string()));
        arguments.extend((moves.len() > 1).then(|| "--atomic".to_string()));
        arguments.extend(moves.iter().map(|one| format!("--force-with-lease={}:{}", one.name, text(&one.from))));
        arguments.extend(["--".to_string(), remote.to_string()]);
        arguments.extend(moves.iter().map(|one| format!("{}:{}", text(&one.to), one.name)));
        let names: Vec<&str> = moves.iter().map(|one| one.name.as_str()).collect();
        let pushed = match self.host() {
            Some(host) => host.push(moves),
            None => self.git(&arguments, Vec::new()).map(drop),
        };
        pushed.with_context(|| format!("pushing `{}` to `{remote}`", names.join("`, `")))?;
        fault::point(&format!("`{}` pushed", names.join("`, `")));
        for one in moves {
            self.saw(&one.name, one.to.as_ref())?;
        }
        Ok(())
    }

    /// Where refs of a remote are now. A pattern is a whole name, or its beginning with a `*`.
    ///
    /// # Errors
    /// When the remote cannot be asked.
    pub fn remote_refs(&self, remote: &str, patterns: &[&str]) -> Result<BTreeMap<String, CommitId>> {
        let mut arguments: Vec<String> = ["ls-remote", "--refs", "--", remote].map(String::from).into();
        arguments.extend(patterns.iter().map(ToString::to_string));
        let wanted = |name: &str| {
            patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning),
                None => name == *pattern,
            })
        };
        if let Some(host) = self.host() {
            return Ok(host.remote_refs()?.into_iter().filter(|(name, _)| wanted(name)).collect());
        }
        let lines = String::from_utf8_lossy(&self.git(&arguments, Vec::new())?.stdout).into_owned();
        let refs = lines.lines().filter_map(|line| line.split_once('\t')).filter(|(_, name)| wanted(name));
        Ok(refs.map(|(id, name)| (name.to_string(), CommitId(id.to_string()))).collect())
    }

    /// Fetches these refs of a remote and remembers them as seen.
    ///
    /// # Errors
    /// When the remote cannot be reached, or has one of them no longer.
    pub fn fetch(&self, remote: &str, names: &[&str]) -> Result<()> {
        if let Some(host) = self.host() {
            let there = host.remote_refs()?;
            return names.iter().try_for_each(|name| match there.get(*name) {
                Some(at) => self.saw(name, Some(at)),
                None => bail!("couldn't find remote ref {name}"),
            });
        }
        let mut arguments: Vec<String> = ["fetch", "--quiet", "--no-tags", "--no-prune", "--force"].map(String::from).into();
        arguments.extend(["--no-write-fetch-head", "--no-auto-maintenance", "--no-recurse-submodules"].map(String::from));
        arguments.extend(["--stdin", "--", remote].map(String::from));
        let wanted: String = names.iter().map(|name| format!("+{name}:{}\n", there(name))).collect();
        self.git(&arguments, wanted.into_bytes()).map(drop)
    }

    /// Where a ref of the remote was when we last saw it.
    pub fn seen_at(&self, name: &str) -> Option<CommitId> {
        self.inner.refname_to_id(&there(name)).ok().map(id_of)
    }

    /// Every ref of the remote as we last saw it, by its name there.
    ///
    /// # Errors
    /// When refs cannot be listed.
    pub fn all_seen(&self) -> Result<BTreeMap<String, CommitId>> {
        let seen = self.refs_below(THERE)?;
        Ok(seen.into_iter().map(|(name, at)| (name.replacen(THERE, "refs/", 1), at)).collect())
    }

    /// Remembers where a ref of the remote is.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn saw(&self, name: &str, at: Option<&CommitId>) -> Result<()> {
        match at {
            Some(at) => {
                self.inner.reference(&there(name), self.oid(at)?, true, "fractal: seen at the remote")?;
                Ok(())
            }
            None => self.remove_own_ref(&there(name)),
        }
    }

    fn git(&self, arguments: &[String], stdin: Vec<u8>) -> Result<Finished> {
        let mut argv: Vec<OsString> = vec!["git".into()];
        argv.extend(arguments.iter().map(OsString::from));
        let mut spawn = Spawn::new(argv, self.root(), PUSH_TIME);
        (spawn.stdin, spawn.output) = (stdin, ANSWER_MAX);
        spawn.env = [("GIT_TERMINAL_PROMPT", "0"), ("LC_ALL", "C")].map(|(name, value)| (name.into(), value.into())).into();
        let finished = process::run(&spawn);
        if finished.exit != Exit::Code(0) {
            let said = String::from_utf8_lossy(&finished.stderr).trim().to_string();
            bail!("git {}: {}: {said}", arguments.first().map_or("", String::as_str), finished.exit);
        }
        Ok(finished)
    }
}
