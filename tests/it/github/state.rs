//! What the model of GitHub remembers, and what follows from it: whether a pull request can be merged, and what merges by itself.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use super::actions::{Artifact, Run};
use super::git::{Bare, Made};
use super::issues::Issue;

/// Who asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Actor {
    pub login: String,
    /// Of an App, or of the App that workflows are.
    pub slug: Option<String>,
    /// What the token may write: `contents`, `pull_requests`, `issues`, `checks`, `statuses`, `workflows`.
    pub writes: BTreeSet<&'static str>,
    /// Of a token that has them.
    pub scopes: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Protection {
    pub checks: BTreeSet<String>,
    pub strict: bool,
    pub approvals: u32,
    pub linear: bool,
    pub queue: bool,
}

#[derive(Clone, Debug)]
pub struct Pull {
    pub number: u64,
    pub title: String,
    pub body: Option<String>,
    pub author: String,
    pub branch: String,
    pub base: String,
    /// As it was when it was closed; while it is open, the branch says it.
    pub head: String,
    pub base_sha: String,
    pub draft: bool,
    pub closed: Option<Timestamp>,
    pub merged: Option<(Timestamp, String, String)>,
    pub labels: BTreeSet<String>,
    pub created: Timestamp,
    pub updated: Timestamp,
    /// Way, title, text.
    pub auto: Option<(String, String, String)>,
    /// Who wanted that.
    pub auto_by: String,
    pub queued: bool,
    /// The fork it came from is gone.
    pub orphan: bool,
    /// Who, and what.
    pub reactions: BTreeSet<(String, String)>,
}

#[derive(Clone, Debug)]
pub struct Comment {
    pub id: u64,
    pub on: u64,
    pub author: String,
    pub body: String,
    pub created: Timestamp,
    pub updated: Timestamp,
    /// Who, and what.
    pub reactions: BTreeSet<(String, String)>,
}

#[derive(Clone, Debug)]
pub struct CheckRun {
    pub id: u64,
    pub name: String,
    pub sha: String,
    pub app: String,
    pub status: String,
    pub conclusion: Option<String>,
    pub title: Option<String>,
    pub summary: Option<String>,
    pub started: Timestamp,
}

#[derive(Clone, Debug)]
pub struct Status {
    pub id: u64,
    pub sha: String,
    pub context: String,
    pub state: String,
    pub description: Option<String>,
    pub creator: String,
    pub at: Timestamp,
}

#[derive(Clone, Debug)]
pub struct Review {
    pub id: u64,
    pub on: u64,
    pub author: String,
    pub state: &'static str,
    pub body: String,
    pub sha: String,
    pub at: Timestamp,
}

pub struct Repository {
    pub id: u64,
    /// `ana/tools`
    pub name: String,
    pub bare: Bare,
    pub ways: BTreeSet<&'static str>,
    pub auto_merge: bool,
    pub protections: BTreeMap<String, Protection>,
    pub collaborators: BTreeMap<String, &'static str>,
    pub pulls: BTreeMap<u64, Pull>,
    pub comments: Vec<Comment>,
    pub check_runs: Vec<CheckRun>,
    pub statuses: Vec<Status>,
    pub reviews: Vec<Review>,
    pub issues: Vec<Issue>,
    pub runs: Vec<Run>,
    pub artifacts: Vec<Artifact>,
    /// Reads of a pull request for which GitHub does not know yet whether it can be merged.
    pub unsure: u32,
    /// What the next merge gets besides.
    pub slip: Option<(&'static str, &'static str)>,
    /// Lists of pull requests that do not show the newest yet.
    pub lag: u32,
    next: u64,
}

impl Repository {
    pub fn new(id: u64, name: &str, bare: Bare) -> Repository {
        Repository {
            id,
            name: name.to_string(),
            bare,
            ways: ["merge", "squash", "rebase"].into(),
            auto_merge: true,
            protections: BTreeMap::new(),
            collaborators: BTreeMap::from([("ana".to_string(), "admin"), ("ben".to_string(), "read")]),
            pulls: BTreeMap::new(),
            comments: Vec::new(),
            check_runs: Vec::new(),
            statuses: Vec::new(),
            reviews: Vec::new(),
            issues: Vec::new(),
            runs: Vec::new(),
            artifacts: Vec::new(),
            unsure: 0,
            slip: None,
            lag: 0,
            next: 0,
        }
    }

    pub fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub fn protection(&self, base: &str) -> Protection {
        self.protections.get(base).cloned().unwrap_or_default()
    }

    pub fn head(&self, pull: &Pull) -> String {
        if pull.closed.is_some() || pull.orphan {
            return pull.head.clone();
        }
        self.bare.branch(&pull.branch).unwrap_or_else(|| pull.head.clone())
    }

    /// The newest of each name, runs and statuses: name, and whether it is good, if it has ended.
    pub fn checks(&self, sha: &str) -> BTreeMap<String, Option<bool>> {
        let mut checks = BTreeMap::new();
        for run in self.check_runs.iter().filter(|run| run.sha == sha) {
            let good = |conclusion: &String| matches!(conclusion.as_str(), "success" | "neutral" | "skipped");
            checks.insert(run.name.clone(), run.conclusion.as_ref().map(good));
        }
        for status in self.statuses.iter().filter(|status| status.sha == sha) {
            checks.insert(status.context.clone(), (status.state != "pending").then(|| status.state == "success"));
        }
        checks
    }

    /// `mergeable_state`, as far as it is known how GitHub comes to it.
    pub fn mergeable_state(&self, pull: &Pull) -> &'static str {
        if pull.closed.is_some() {
            return "unknown";
        }
        let (head, rules) = (self.head(pull), self.protection(&pull.base));
        let Some(base) = self.bare.branch(&pull.base) else { return "unknown" };
        if self.bare.merged_tree(&base, &head).is_none() {
            return "dirty";
        }
        let checks = self.checks(&head);
        let missing = rules.checks.iter().any(|name| checks.get(name) != Some(&Some(true)));
        let newest = |author: &str| self.reviews.iter().rfind(|review| review.on == pull.number && review.author == author);
        let authors: BTreeSet<&str> =
            self.reviews.iter().filter(|review| review.on == pull.number).map(|review| review.author.as_str()).collect();
        let approvals = authors.iter().filter(|author| newest(author).is_some_and(|review| review.state == "APPROVED")).count();
        if pull.draft {
            "draft"
        } else if missing || approvals < rules.approvals as usize {
            "blocked"
        } else if rules.strict && !self.bare.is_ancestor(&base, &head) {
            "behind"
        } else if checks.values().any(|check| *check != Some(true)) {
            "unstable"
        } else {
            "clean"
        }
    }

    /// Merges in git; the commit on the base.
    pub fn merge(&mut self, number: u64, way: &str, title: &str, text: &str, by: &str, at: Timestamp) -> Option<String> {
        let pull = self.pulls.get(&number)?.clone();
        let (head, base) = (self.head(&pull), self.bare.branch(&pull.base)?);
        let message = if text.is_empty() { title.to_string() } else { format!("{title}\n\n{text}") };
        let seconds = at.as_second();
        let author = ("GitHub", "noreply@github.com");
        let commit = match way {
            "rebase" => self.bare.rebased(&base, &head, seconds)?,
            way => {
                let tree = self.bare.merged_tree(&base, &head)?;
                let both = [base.as_str(), head.as_str()];
                let parents = if way == "squash" { &both[..1] } else { &both[..] };
                self.bare.commit(&Made { tree: &tree, parents, message: &message, author, at: seconds })
            }
        };
        let commit = match self.slip.take() {
            Some((path, content)) => self.bare.with_file(&commit, path, content, seconds),
            None => commit,
        };
        if !self.bare.move_branch(&pull.base, Some(&base), Some(&commit)) {
            return None;
        }
        let pull = self.pulls.get_mut(&number)?;
        pull.merged = Some((at, commit.clone(), by.to_string()));
        (pull.closed, pull.updated, pull.head, pull.base_sha) = (Some(at), at, head, base);
        (pull.auto, pull.queued) = (None, false);
        Some(commit)
    }

    /// What happens by itself after anything has happened: branches that were deleted close, what was pushed to the base is merged, and
    /// what was asked to merge when it is ready merges.
    pub fn settle(&mut self, at: Timestamp) {
        let open: Vec<u64> = self.pulls.values().filter(|pull| pull.closed.is_none()).map(|pull| pull.number).collect();
        for number in open {
            let pull = self.pulls[&number].clone();
            if pull.orphan {
                continue;
            }
            let Some(head) = self.bare.branch(&pull.branch) else {
                self.change(number, |pull| (pull.closed, pull.updated, pull.auto) = (Some(at), at, None));
                continue;
            };
            self.change(number, |pull| pull.head.clone_from(&head));
            let base = self.bare.branch(&pull.base).unwrap_or_default();
            if self.bare.is_ancestor(&head, &base) {
                let merged = Some((at, base.clone(), pull.author.clone()));
                self.change(number, |pull| (pull.merged, pull.closed, pull.updated) = (merged.clone(), Some(at), at));
                continue;
            }
            let ready = matches!(self.mergeable_state(&pull), "clean" | "unstable");
            match (&pull.auto, pull.queued) {
                (Some((way, title, text)), _) if ready => drop(self.merge(number, way, title, text, &pull.author, at)),
                (None, true) if ready => drop(self.merge(number, "merge", &pull.title, "", &pull.author, at)),
                _ => {}
            }
        }
    }

    fn change(&mut self, number: u64, change: impl Fn(&mut Pull)) {
        change(self.pulls.get_mut(&number).expect("is there"));
    }
}

/// What goes wrong, for so many requests of a method whose path contains a text.
#[derive(Clone, Debug)]
pub struct Knob {
    pub method: &'static str,
    pub path: &'static str,
    pub times: u32,
    pub kind: Trouble,
}

#[derive(Clone, Debug)]
pub enum Trouble {
    /// A status; whether the request was obeyed all the same.
    Error { status: u16, obeyed: bool },
    /// The connection ends without an answer.
    Drop { obeyed: bool },
    /// No answer comes while anybody waits.
    Hang { obeyed: bool },
    /// It is obeyed twice, as by a proxy between.
    Twice,
    /// GitHub's limit on how much at once, with the seconds of `Retry-After`.
    Secondary { retry_after: Option<u64> },
    /// The same of GraphQL, which says it with the status of success.
    SecondaryOfGraphql { retry_after: Option<u64> },
    /// Somebody pushes to the base at the moment at which a merge is made: a file, and its content.
    BaseMovesUnseen { path: &'static str, content: &'static str },
    /// What is merged is something else than what was asked for: this file has this content besides.
    MergesWrongly { path: &'static str, content: &'static str },
    /// Any refusal.
    Refuse { status: u16, message: &'static str },
    /// Somebody pushes to the base while a merge is being made.
    BaseMoves,
    /// Something that is no JSON.
    Garbage,
    /// It is somewhere else.
    Redirect { status: u16, to: String },
}

/// A request with its answer, as they were sent.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub method: String,
    /// Below the interface, with its query.
    pub path: String,
    pub request: Value,
    pub headers: BTreeMap<String, String>,
    /// 0: there was none.
    pub status: u16,
    pub answer: Value,
    pub at: Timestamp,
    /// What a knob answered is not the model's.
    pub troubled: bool,
}
