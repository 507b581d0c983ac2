//! GitHub as a forge: which requests a question is, over octocrab. How they are sent is in `http.rs`.
//!
//! After a change of which it is not known whether it happened, GitHub is asked; the change itself is not sent again.

mod actions;
mod board;
mod cache;
mod checks;
mod commits;
mod connect;
mod http;
mod proposals;
mod talk;
mod token;
mod wire;

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

pub use self::actions::{Object, Objects};
use self::http::Client;
pub use self::token::{Credentials, Secret};
use super::ci::{Artifact, CiRun};
use super::{
    Access, Board, Change, Check, Comment, Draft, Files, Forge, ForgeError, Later, Level, May, Message, Proposal, Reaction,
    Report, Review, Rules, Signs, Way,
};
use crate::config::{ForgeConfig, TokenMode};
use crate::model::{CommitId, Sign};
use crate::world::clock::Clock;

/// Time for one answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The author of what a workflow's own token does.
const WORKFLOW: &str = "github-actions";

/// Which repository, where, as whom.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `OWNER/NAME`
    pub repository: String,
    /// Address of the interface: `https://api.github.com`.
    pub url: String,
    pub credentials: Credentials,
    /// Time for one answer.
    pub patience: Duration,
    /// At least so long from one change to the next.
    pub pace: Duration,
}

/// One repository on GitHub.
pub struct GitHub {
    client: Client,
    repository: String,
    host: String,
    me: OnceCell<Identity>,
}

/// Our name as an author, and as an App if we are one.
#[derive(Clone, Debug)]
struct Identity {
    name: String,
    app: Option<String>,
}

impl GitHub {
    /// The repository of the configuration, with a token of the environment. Nothing is asked yet.
    ///
    /// # Errors
    /// When a setting is missing or means nothing.
    pub fn open(config: &ForgeConfig, clock: Clock) -> Result<GitHub, ForgeError> {
        GitHub::connect(Settings::of(config)?, clock)
    }

    /// The same with settings of one's own.
    ///
    /// # Errors
    /// When the address means nothing.
    pub fn connect(settings: Settings, clock: Clock) -> Result<GitHub, ForgeError> {
        let host = settings.url.split("://").nth(1).unwrap_or_default().split('/').next().unwrap_or_default();
        let host = host.strip_prefix("api.").unwrap_or(host).to_string();
        let repository = settings.repository.clone();
        Ok(GitHub { client: Client::new(settings, clock)?, repository, host, me: OnceCell::new() })
    }

    /// Who we are: asked once.
    fn me(&self) -> Result<Identity, ForgeError> {
        if let Some(known) = self.me.get() {
            return Ok(known.clone());
        }
        let (name, app) = match self.client.credentials() {
            Credentials::Token { mode: TokenMode::GithubToken, .. } => (format!("{WORKFLOW}[bot]"), Some(WORKFLOW.to_string())),
            Credentials::Token { .. } => (self.client.get::<wire::User>("/user")?.login, None),
            Credentials::App { app, key } => {
                let slug = self.client.installation(*app, key)?.app_slug;
                (format!("{slug}[bot]"), Some(slug))
            }
        };
        Ok(self.me.get_or_init(|| Identity { name, app }).clone())
    }

    fn repository(&self) -> Result<wire::Repository, ForgeError> {
        Ok(self.client.get(&self.client.repository(""))?)
    }

    /// What a person's token may do: its scopes, where it is of the kind that has them.
    fn access_of_person(&self, push: May) -> Result<Access, ForgeError> {
        let (user, scopes) = self.client.get_with_scopes::<wire::User>("/user")?;
        let has = |wanted: &[&str]| match scopes.as_deref().filter(|scopes| !scopes.is_empty()) {
            None => May::Unknown,
            Some(scopes) if scopes.split(',').any(|scope| wanted.contains(&scope.trim())) => May::Yes,
            Some(_) => May::No,
        };
        let write = has(&["repo", "public_repo"]);
        let both = if push == May::No { May::No } else { write };
        let access = Access {
            me: user.login,
            push: both,
            propose: write,
            comment: write,
            report: May::No,
            starts_checks: May::Yes,
            change_workflows: has(&["workflow"]),
            signs: May::No,
        };
        Ok(access)
    }
}

impl Forge for GitHub {
    fn place(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }

    fn access(&self) -> Result<Access, ForgeError> {
        let may = |yes: bool| if yes { May::Yes } else { May::No };
        match self.client.credentials() {
            Credentials::Token { mode: TokenMode::GithubToken, .. } => {
                let push = may(self.repository()?.permissions.push);
                // Whether a workflow may open pull requests is a setting that it cannot read.
                let propose = if push == May::No { May::No } else { May::Unknown };
                let me = self.me()?.name;
                Ok(Access {
                    me,
                    push,
                    propose,
                    comment: May::Unknown,
                    report: May::Unknown,
                    starts_checks: May::No,
                    change_workflows: May::No,
                    signs: May::Yes,
                })
            }
            Credentials::Token { .. } => self.access_of_person(may(self.repository()?.permissions.push)),
            Credentials::App { app, key } => {
                let installation = self.client.installation(*app, key)?;
                let write = |name: &str| may(installation.permissions.get(name).is_some_and(|level| level == "write"));
                Ok(Access {
                    me: self.me()?.name,
                    push: write("contents"),
                    propose: write("pull_requests"),
                    comment: may(write("issues") == May::Yes || write("pull_requests") == May::Yes),
                    report: write("checks"),
                    starts_checks: May::Yes,
                    change_workflows: write("workflows"),
                    signs: May::Yes,
                })
            }
        }
    }

    fn rules(&self, base: &str) -> Result<Rules, ForgeError> {
        let branch = segment(base);
        let own = self.client.get(&self.client.repository(&format!("/branches/{branch}")))?;
        let path = self.client.repository(&format!("/rules/branches/{branch}"));
        let rulesets = self.client.list(&path, "", |page: Vec<wire::Rule>| page)?;
        Ok(wire::rules(&self.repository()?, own, rulesets))
    }

    fn proposals(&self, base: &str) -> Result<Vec<Proposal>, ForgeError> {
        self.all_proposals(base)
    }

    fn proposal(&self, number: u64) -> Result<Proposal, ForgeError> {
        Ok(self.pull(number)?.into_proposal(&self.repository))
    }

    fn proposal_from(&self, branch: &str) -> Result<Option<Proposal>, ForgeError> {
        self.newest_from(branch)
    }

    fn open(&self, draft: &Draft) -> Result<Proposal, ForgeError> {
        self.open_pull(draft)
    }

    fn update(&self, number: u64, change: &Change) -> Result<Proposal, ForgeError> {
        self.update_pull(number, change)
    }

    fn close(&self, number: u64) -> Result<(), ForgeError> {
        self.close_pull(number)
    }

    fn merge(&self, number: u64, head: &CommitId, way: Way, message: &Message) -> Result<CommitId, ForgeError> {
        self.merge_pull(number, head, way, message)
    }

    fn merge_when_ready(&self, number: u64, head: &CommitId, way: Way, message: &Message) -> Result<Later, ForgeError> {
        self.ask_to_merge(number, head, way, message)
    }

    fn merge_not(&self, number: u64) -> Result<(), ForgeError> {
        self.ask_not_to_merge(number)
    }

    fn checks(&self, commit: &CommitId) -> Result<Vec<Check>, ForgeError> {
        self.all_checks(commit)
    }

    fn report(&self, commit: &CommitId, report: &Report) -> Result<(), ForgeError> {
        self.report_check(commit, report)
    }

    fn comments(&self, on: Option<u64>, since: Option<Timestamp>) -> Result<Vec<Comment>, ForgeError> {
        self.all_comments(on, since)
    }

    fn say(&self, number: u64, key: &str, text: &str) -> Result<Comment, ForgeError> {
        self.say_under(number, key, text)
    }

    fn react(&self, comment: u64, reaction: Reaction) -> Result<(), ForgeError> {
        self.react_to(comment, reaction)
    }

    fn signs(&self, on: u64) -> Result<Vec<Signs>, ForgeError> {
        self.signs_on(on)
    }

    fn signed(&self, on: u64, comment: Option<u64>) -> Result<BTreeSet<(String, Sign)>, ForgeError> {
        self.signed_under(on, comment)
    }

    fn reviews(&self, number: u64) -> Result<Vec<Review>, ForgeError> {
        self.all_reviews(number)
    }

    fn level(&self, person: &str) -> Result<Level, ForgeError> {
        self.level_of(person)
    }

    fn label(&self, number: u64, labels: &BTreeSet<String>) -> Result<(), ForgeError> {
        self.put_labels(number, labels)
    }

    fn unlabel(&self, number: u64, label: &str) -> Result<(), ForgeError> {
        self.take_label(number, label)
    }

    fn board(&self, key: &str) -> Result<Option<Board>, ForgeError> {
        self.board_of(key)
    }

    fn post(&self, key: &str, title: &str, text: &str) -> Result<Option<Board>, ForgeError> {
        self.post_on(key, title, text)
    }

    fn branch(&self, name: &str) -> Result<Option<CommitId>, ForgeError> {
        self.branch_at(name)
    }

    fn commit(&self, parent: &CommitId, files: &Files, message: &str) -> Result<CommitId, ForgeError> {
        self.make_commit(parent, files, message)
    }

    fn move_branch(&self, name: &str, from: Option<&CommitId>, to: Option<&CommitId>) -> Result<(), ForgeError> {
        self.move_branch_of(name, from, to)
    }

    fn runs(&self, since: Timestamp) -> Result<Vec<CiRun>, ForgeError> {
        self.all_runs(since)
    }

    fn jobs(&self, run: &CiRun) -> Result<Vec<CiRun>, ForgeError> {
        self.jobs_of(run)
    }

    fn artifacts(&self, name: &str, after: u64) -> Result<Vec<Artifact>, ForgeError> {
        self.all_artifacts(name, after)
    }

    fn content(&self, artifact: &Artifact) -> Result<Vec<u8>, ForgeError> {
        self.content_of(artifact)
    }
}

/// A name as one part of a path.
fn segment(name: &str) -> String {
    name.split('/').map(escaped).collect::<Vec<_>>().join("%2F")
}

/// A text in which nothing has a meaning in an address (RFC 3986 section 2.3).
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// After a change that may have happened: what a look finds, else that it is not known.
fn found<T>(failure: http::Failure, look: impl FnOnce() -> Result<Option<T>, ForgeError>) -> Result<T, ForgeError> {
    match failure.error {
        ForgeError::Unclear(why) => match look() {
            Ok(Some(there)) => Ok(there),
            Ok(None) | Err(_) => Err(ForgeError::Unclear(why)),
        },
        error => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_choose_no_path() {
        assert_eq!(segment("release/1"), "release%2F1");
        assert_eq!(segment("../../user"), "..%2F..%2Fuser");
        assert_eq!(escaped("a b?c#d&e=%é"), "a%20b%3Fc%23d%26e%3D%25%C3%A9");
        assert_eq!(escaped("fractal[bot]"), "fractal%5Bbot%5D");
    }
}
