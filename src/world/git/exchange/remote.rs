//! The exchange and its remotes: everything that crosses a network goes through the `git` command, with leases, time limits and no
//! questions asked. What was fetched is not looked into here.

use std::collections::BTreeMap;
use std::ffi::OsString;

use anyhow::{Context, Result};

use super::{EXECUTIONS, Exchange, ExchangeError, OUTBOX, is_writer, mirror_of};
use crate::model::{Exit, plain_line};
use crate::world::git::Repo;
use crate::world::process::{self, Spawn};

/// Writers that are read.
const WRITERS_MAX: usize = 10_000;
/// Bytes of what git answers.
const ANSWER_MAX: usize = 8 << 20;

/// What of a push did not happen.
enum Refusal {
    Moved,
    Said(String),
}

impl Exchange {
    /// Pushes the outbox as `writer`, whose mirror says what the remote must have, and removes the writers that it takes the place
    /// of; all of it or nothing.
    ///
    /// # Errors
    /// [`ExchangeError::Moved`] when the remote has something else by now.
    pub fn push(&self, remote: &str, writer: &str, replaces: &[String]) -> Result<(), ExchangeError> {
        let commit = self.inner.refname_to_id(OUTBOX).context("nothing to push")?;
        let tips = self.tips(remote)?;
        let known = |writer: &str| tips.get(writer).map(git2::Oid::to_string).unwrap_or_default();
        // Before: if we are killed and git is not, the commit is known to be ours.
        self.offer(&commit.to_string())?;
        let own = (writer, known(writer), commit.to_string());
        let mut moves = vec![own.clone()];
        moves.extend(replaces.iter().map(|gone| (gone.as_str(), known(gone), String::new())));
        let mut pushed = self.try_push(remote, &moves);
        if !replaces.is_empty() && !matches!(pushed, Ok(None | Some(Refusal::Moved))) {
            // A server that takes no removals, or not all or nothing: they stay, and are there twice.
            pushed = self.try_push(remote, &[own]);
        }
        match pushed? {
            None => {}
            Some(Refusal::Moved) => return Err(ExchangeError::Moved(remote.to_string())),
            Some(Refusal::Said(why)) => return Err(ExchangeError::Remote(format!("`{remote}` refused the push: {why}"))),
        }
        let known = self.remotes();
        if !known.iter().any(|known| known == remote) {
            self.write("remotes", &format!("{}{remote}\n", known.iter().map(|known| format!("{known}\n")).collect::<String>()))?;
        }
        self.point(&format!("{}{writer}", mirror_of(remote)), commit)?;
        for gone in replaces {
            self.remove(&format!("{}{gone}", mirror_of(remote)))?;
        }
        Ok(())
    }

    fn try_push(&self, remote: &str, moves: &[(&str, String, String)]) -> Result<Option<Refusal>, ExchangeError> {
        let mut arguments: Vec<String> = ["push", "--porcelain", "--no-verify"].map(String::from).into();
        if moves.len() > 1 {
            arguments.push("--atomic".into());
        }
        arguments.extend(moves.iter().map(|(writer, from, _)| format!("--force-with-lease={EXECUTIONS}{writer}:{from}")));
        arguments.extend(["--".to_string(), remote.to_string()]);
        arguments.extend(moves.iter().map(|(writer, _, to)| format!("{to}:{EXECUTIONS}{writer}")));
        let finished = self.git(&arguments, Vec::new());
        if finished.exit == Exit::Code(0) {
            return Ok(None);
        }
        let answer = String::from_utf8_lossy(&finished.stdout).into_owned();
        let said = said(&finished);
        let moved = [
            "(stale info)",
            "(fetch first)",
            "failed to update ref",
            "cannot lock ref",
            "reference already exists",
            "failed to lock",
        ];
        let refusal = match answer.lines().filter(|line| line.starts_with('!')).map(str::to_string).reduce(|a, b| a + &b) {
            Some(line) if moved.iter().any(|word| line.contains(word) || said.contains(word)) => Refusal::Moved,
            Some(line) => {
                let why = line.rsplit('\t').next().unwrap_or_default();
                Refusal::Said(if said.is_empty() { why.to_string() } else { format!("{why}: {said}") })
            }
            None => return Err(ExchangeError::Remote(format!("pushing to `{remote}`: {said}"))),
        };
        Ok(Some(refusal))
    }

    /// Brings the mirror of a remote up to date. What could not be fetched of which writer is said; the rest is there.
    ///
    /// # Errors
    /// [`ExchangeError::Remote`] when the remote cannot be reached.
    pub fn fetch(&self, remote: &str) -> Result<Vec<(String, String)>, ExchangeError> {
        let there = self.listing(remote)?;
        let here = self.tips(remote)?;
        let news: Vec<&str> = there
            .iter()
            .filter(|(writer, tip)| here.get(*writer).is_none_or(|known| known.to_string() != **tip))
            .map(|(writer, _)| writer.as_str())
            .collect();
        let mut missed = Vec::new();
        if !news.is_empty()
            && let Err(all) = self.fetch_these(remote, &news, !here.is_empty())
        {
            // One that cannot be had must not stand in the way of the others.
            for writer in &news {
                // One that went in the meantime was taken over.
                if let Err(why) = self.fetch_these(remote, &[writer], !here.is_empty())
                    && !why.contains("couldn't find remote ref")
                {
                    missed.push((writer.to_string(), why));
                }
            }
            if missed.len() == news.len() && news.len() > 1 {
                return Err(ExchangeError::Remote(format!("fetching from `{remote}`: {all}")));
            }
        }
        for gone in here.keys().filter(|writer| !there.contains_key(*writer)) {
            self.remove(&format!("{}{gone}", mirror_of(remote)))?;
        }
        Ok(missed)
    }

    fn listing(&self, remote: &str) -> Result<BTreeMap<String, String>, ExchangeError> {
        let arguments = ["ls-remote", "--refs", "--", remote, &format!("{EXECUTIONS}*")].map(String::from);
        let finished = self.git(&arguments, Vec::new());
        if finished.exit != Exit::Code(0) {
            let why = match &finished.exit {
                Exit::TimedOut => format!("no answer within {} s", self.patience.as_secs()),
                _ => said(&finished),
            };
            return Err(ExchangeError::Remote(format!("`{remote}` cannot be reached: {why}")));
        }
        let answer = String::from_utf8_lossy(&finished.stdout);
        let writers = answer.lines().filter_map(|line| {
            let (tip, name) = line.split_once('\t')?;
            name.strip_prefix(EXECUTIONS).filter(|name| is_writer(name)).map(|name| (name.to_string(), tip.to_string()))
        });
        Ok(writers.take(WRITERS_MAX).collect())
    }

    fn fetch_these(&self, remote: &str, writers: &[&str], negotiate: bool) -> Result<(), String> {
        let mirror = mirror_of(remote);
        // Nothing of it is checked out, and each object is looked at before it is used: one that git does not like is one writer's.
        let mut arguments: Vec<String> =
            ["-c", "fetch.fsckObjects=false", "-c", "transfer.fsckObjects=false", "fetch", "--quiet", "--no-tags", "--force"]
                .map(String::from)
                .into();
        arguments.extend(["--no-write-fetch-head", "--no-auto-maintenance", "--no-recurse-submodules"].map(String::from));
        if negotiate {
            arguments.push(format!("--negotiation-tip={mirror}*"));
        }
        arguments.extend(["--stdin", "--", remote].map(String::from));
        let wanted: String = writers.iter().map(|writer| format!("+{EXECUTIONS}{writer}:{mirror}{writer}\n")).collect();
        let finished = self.git(&arguments, wanted.into_bytes());
        if finished.exit == Exit::Code(0) { Ok(()) } else { Err(said(&finished)) }
    }

    pub(super) fn git(&self, arguments: &[String], stdin: Vec<u8>) -> process::Finished {
        let mut argv: Vec<OsString> = vec!["git".into(), "--git-dir".into(), self.folder.clone().into()];
        argv.extend(arguments.iter().map(OsString::from));
        let mut spawn = Spawn::new(argv, &self.root, self.patience);
        (spawn.stdin, spawn.output) = (stdin, ANSWER_MAX);
        // In the user's folder, because a remote may be a path from there; with our own repository all the same.
        spawn.env = [("GIT_TERMINAL_PROMPT", "0"), ("LC_ALL", "C")].map(|(name, value)| (name.into(), value.into())).into();
        spawn.env.extend(self.settings.clone());
        process::run(&spawn)
    }
}

pub(super) fn said(finished: &process::Finished) -> String {
    let text = String::from_utf8_lossy(&finished.stderr);
    let advice = ["hint:", "Please make sure", "and the repository exists", "error: failed to push some refs", "remote: hint:"];
    let says = |line: &&str| !line.is_empty() && !advice.iter().any(|advice| line.starts_with(advice));
    let lines: Vec<&str> = text.lines().map(|line| line.trim().trim_start_matches("fatal: ")).filter(says).collect();
    let text = plain_line(&lines.join("; "), 400);
    if text.is_empty() { finished.exit.to_string() } else { text }
}

/// What the user has set for this repository about reaching remotes, as environment variables: an argument could be read by everybody
/// on the machine, and there may be a token in it. Settings for all repositories are read by git itself.
pub(super) fn settings_of(repo: &Repo) -> Result<Vec<(OsString, OsString)>> {
    const KEYS: [&str; 7] = ["url.", "http.", "credential.", "ssh.", "protocol.", "core.sshcommand", "core.gitproxy"];
    // What is fetched and pushed is said each time, and always all of it.
    const OF_REMOTE: [&str; 7] = [".url", ".pushurl", ".proxy", ".proxyauthmethod", ".uploadpack", ".receivepack", ".vcs"];
    let mut found = Vec::new();
    let config = repo.inner.config().context("reading git's settings")?;
    let entries = config.entries(None).context("reading git's settings")?;
    entries
        .for_each(|entry| {
            let local = matches!(entry.level(), git2::ConfigLevel::Local | git2::ConfigLevel::Worktree);
            let name = String::from_utf8_lossy(entry.name_bytes()).into_owned();
            let of_remote = name.starts_with("remote.") && OF_REMOTE.iter().any(|key| name.ends_with(key));
            if local && (of_remote || KEYS.iter().any(|key| name.starts_with(key))) {
                let value = if entry.has_value() { entry.value_bytes().to_vec() } else { b"true".to_vec() };
                found.push((name, value));
            }
        })
        .context("reading git's settings")?;
    let before: usize = crate::world::files::variable("GIT_CONFIG_COUNT").and_then(|count| count.parse().ok()).unwrap_or(0);
    let mut variables = Vec::new();
    for (at, (name, value)) in found.iter().enumerate() {
        use std::os::unix::ffi::OsStringExt;
        variables.push((format!("GIT_CONFIG_KEY_{}", before + at).into(), name.into()));
        variables.push((format!("GIT_CONFIG_VALUE_{}", before + at).into(), OsString::from_vec(value.clone())));
    }
    variables.push(("GIT_CONFIG_COUNT".into(), (before + found.len()).to_string().into()));
    Ok(variables)
}
