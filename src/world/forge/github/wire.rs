//! GitHub's answers, as far as they are read. What GitHub adds is ignored: unknown words of an enumeration are one word here, and
//! what its description says is always there may be missing, as in recordings it is.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use crate::model::{CommitId, Sign};
use crate::world::forge::{Check, Comment, Landable, Level, Opinion, Proposal, Review, Rules, State, Verdict, Way};

/// A value that is missing or null is its default.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    message: String,
    errors: Vec<serde_json::Value>,
}

/// What an answer that is a refusal says.
pub(super) fn said(body: &[u8]) -> String {
    let Ok(said) = serde_json::from_slice::<Said>(body) else {
        return "GitHub says nothing that can be read".into();
    };
    let detail = |error: &serde_json::Value| match error {
        serde_json::Value::String(text) => text.clone(),
        other => match (other["message"].as_str(), other["field"].as_str(), other["code"].as_str()) {
            (Some(message), ..) => message.to_string(),
            (None, Some(field), Some(code)) => format!("`{field}`: {code}"),
            (None, _, code) => code.unwrap_or_default().to_string(),
        },
    };
    let details: Vec<String> = said.errors.iter().map(detail).filter(|detail| !detail.is_empty()).collect();
    if details.is_empty() { said.message } else { format!("{}: {}", said.message, details.join("; ")) }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct GraphqlAnswer {
    #[serde(default)]
    pub data: serde_json::Value,
    #[serde(default, deserialize_with = "or_default")]
    pub errors: Vec<GraphqlError>,
}

#[derive(Debug, Deserialize)]
pub(super) struct GraphqlError {
    pub message: String,
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct User {
    pub login: String,
    #[serde(default, rename = "type")]
    pub kind: String,
}

/// Who did something; accounts can be gone.
fn login(user: Option<User>) -> (String, bool) {
    user.map_or(("ghost".into(), false), |user| (user.login, user.kind == "Bot"))
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct App {
    pub slug: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Installation {
    pub id: u64,
    pub app_slug: String,
    #[serde(default)]
    pub permissions: BTreeMap<String, String>,
}

#[derive(Deserialize)]
pub(super) struct InstallationToken {
    pub token: String,
    pub expires_at: Timestamp,
}

#[derive(Debug, Deserialize)]
pub(super) struct Repository {
    #[serde(default)]
    pub node_id: String,
    #[serde(default)]
    pub permissions: Permissions,
    #[serde(default)]
    allow_merge_commit: Option<bool>,
    #[serde(default)]
    allow_squash_merge: Option<bool>,
    #[serde(default)]
    allow_rebase_merge: Option<bool>,
    #[serde(default)]
    pub allow_auto_merge: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Permissions {
    #[serde(default)]
    pub push: bool,
}

impl Repository {
    /// The ways of merging that are on; what is not said to be off is.
    pub fn ways(&self) -> BTreeSet<Way> {
        let said = [
            (self.allow_merge_commit, Way::Merge),
            (self.allow_squash_merge, Way::Squash),
            (self.allow_rebase_merge, Way::Rebase),
        ];
        said.into_iter().filter(|(on, _)| *on != Some(false)).map(|(_, way)| way).collect()
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Branch {
    #[serde(default)]
    protection: Protection,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Protection {
    #[serde(deserialize_with = "or_default")]
    required_status_checks: RequiredChecks,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RequiredChecks {
    #[serde(deserialize_with = "or_default")]
    contexts: BTreeSet<String>,
}

/// A rule of a ruleset that counts for a branch.
#[derive(Debug, Deserialize)]
pub(super) struct Rule {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, deserialize_with = "or_default")]
    parameters: Parameters,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Parameters {
    required_status_checks: Vec<RequiredCheck>,
    strict_required_status_checks_policy: bool,
    required_approving_review_count: u32,
    #[serde(deserialize_with = "or_default")]
    allowed_merge_methods: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RequiredCheck {
    context: String,
}

/// What a repository, its branch and the rules for that one demand together.
pub(super) fn rules(repository: &Repository, branch: Branch, rulesets: Vec<Rule>) -> Rules {
    let mut rules = Rules {
        checks: branch.protection.required_status_checks.contexts,
        ways: repository.ways(),
        automatic: repository.allow_auto_merge == Some(true),
        ..Rules::default()
    };
    for rule in rulesets {
        match rule.kind.as_str() {
            "required_status_checks" => {
                rules.checks.extend(rule.parameters.required_status_checks.into_iter().map(|check| check.context));
                rules.up_to_date |= rule.parameters.strict_required_status_checks_policy;
            }
            "pull_request" => {
                rules.approvals = rules.approvals.max(rule.parameters.required_approving_review_count);
                let allowed = rule.parameters.allowed_merge_methods;
                if !allowed.is_empty() {
                    rules.ways.retain(|way| allowed.iter().any(|word| word == way_word(*way)));
                }
            }
            "required_signatures" => rules.signed = true,
            "required_linear_history" => rules.linear = true,
            "merge_queue" => rules.queue = true,
            _ => {}
        }
    }
    if rules.linear {
        rules.ways.remove(&Way::Merge);
    }
    rules
}

/// As GitHub writes it.
pub(super) fn way_word(way: Way) -> &'static str {
    match way {
        Way::Merge => "merge",
        Way::Squash => "squash",
        Way::Rebase => "rebase",
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Pull {
    pub number: u64,
    #[serde(default)]
    pub node_id: String,
    state: String,
    #[serde(default)]
    draft: Option<bool>,
    title: String,
    #[serde(default, deserialize_with = "or_default")]
    body: String,
    #[serde(default)]
    user: Option<User>,
    #[serde(default, deserialize_with = "or_default")]
    labels: Vec<Label>,
    pub head: Side,
    base: Side,
    updated_at: Timestamp,
    #[serde(default)]
    closed_at: Option<Timestamp>,
    #[serde(default)]
    merged_at: Option<Timestamp>,
    #[serde(default)]
    merge_commit_sha: Option<String>,
    #[serde(default)]
    mergeable_state: Mergeable,
    #[serde(default)]
    auto_merge: Option<AutoMerge>,
    #[serde(default)]
    html_url: String,
}

/// What the forge was asked to do by itself.
#[derive(Debug, Deserialize)]
struct AutoMerge {
    #[serde(default)]
    enabled_by: Option<User>,
}

/// A branch with its repository, which may be gone.
#[derive(Debug, Deserialize)]
pub(super) struct Side {
    #[serde(rename = "ref")]
    name: String,
    pub sha: String,
    #[serde(default)]
    repo: Option<Place>,
}

#[derive(Debug, Deserialize)]
struct Place {
    full_name: String,
}

#[derive(Debug, Deserialize)]
struct Label {
    name: String,
}

/// `mergeable_state`. GitHub does not document all of its words.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mergeable {
    Clean,
    /// Checks that are not demanded have failed or are pending.
    Unstable,
    HasHooks,
    Dirty,
    Behind,
    Blocked,
    Draft,
    #[default]
    #[serde(other)]
    Unknown,
}

impl Pull {
    /// Ours to look at, as a proposal; `repository` is where we are.
    pub fn into_proposal(self, repository: &str) -> Proposal {
        let state = match (self.merged_at, self.closed_at, self.state.as_str()) {
            (Some(at), ..) => State::Landed { at, commit: self.merge_commit_sha.map(CommitId) },
            (None, Some(at), _) => State::Closed { at },
            (None, None, "closed") => State::Closed { at: self.updated_at },
            _ => State::Open,
        };
        Proposal {
            number: self.number,
            branch: self.head.name,
            from_here: self.head.repo.is_some_and(|place| place.full_name.eq_ignore_ascii_case(repository)),
            base: self.base.name,
            head: CommitId(self.head.sha),
            title: self.title,
            text: self.body,
            state,
            draft: self.draft.unwrap_or(false),
            author: login(self.user).0,
            labels: self.labels.into_iter().map(|label| label.name).collect(),
            landable: match self.mergeable_state {
                Mergeable::Clean | Mergeable::Unstable | Mergeable::HasHooks => Landable::Yes,
                Mergeable::Dirty => Landable::Conflicts,
                Mergeable::Behind => Landable::Behind,
                Mergeable::Blocked | Mergeable::Draft => Landable::Blocked,
                Mergeable::Unknown => Landable::Unknown,
            },
            automatic: self.auto_merge.map(|asked| login(asked.enabled_by).0),
            updated: self.updated_at,
            url: self.html_url,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Merged {
    pub sha: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct CheckRuns {
    pub check_runs: Vec<CheckRun>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct CheckRun {
    pub id: u64,
    pub name: String,
    status: String,
    #[serde(default)]
    conclusion: Option<Conclusion>,
    #[serde(default)]
    pub app: Option<App>,
    #[serde(default, deserialize_with = "or_default")]
    output: Output,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Output {
    #[serde(default, deserialize_with = "or_default")]
    title: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Conclusion {
    Success,
    Failure,
    TimedOut,
    Skipped,
    Neutral,
    ActionRequired,
    /// `cancelled`, `stale`, `startup_failure`, and what comes.
    #[serde(other)]
    Other,
}

impl CheckRun {
    pub fn into_check(self) -> Check {
        let verdict = match (self.status.as_str(), self.conclusion) {
            ("completed", Some(conclusion)) => match conclusion {
                Conclusion::Success => Verdict::Passed,
                Conclusion::Failure | Conclusion::TimedOut => Verdict::Failed,
                Conclusion::Skipped | Conclusion::Neutral => Verdict::Skipped,
                Conclusion::ActionRequired => Verdict::Pending,
                Conclusion::Other => Verdict::Void,
            },
            ("completed", None) => Verdict::Void,
            _ => Verdict::Pending,
        };
        Check { name: self.name, source: self.app.map_or(String::new(), |app| app.slug), verdict, title: self.output.title }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Combined {
    pub statuses: Vec<Status>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Status {
    context: String,
    state: String,
    #[serde(default, deserialize_with = "or_default")]
    description: String,
}

impl Status {
    pub fn into_check(self) -> Check {
        let verdict = match self.state.as_str() {
            "success" => Verdict::Passed,
            "failure" | "error" => Verdict::Failed,
            "pending" => Verdict::Pending,
            _ => Verdict::Void,
        };
        Check { name: self.context, source: "status".into(), verdict, title: self.description }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct IssueComment {
    pub id: u64,
    #[serde(default, deserialize_with = "or_default")]
    body: String,
    #[serde(default)]
    user: Option<User>,
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(default)]
    issue_url: String,
    #[serde(default, deserialize_with = "or_default")]
    reactions: Rollup,
}

/// How many reactions of each kind; what else stands there is no number of ours.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Rollup(BTreeMap<String, serde_json::Value>);

impl Rollup {
    pub fn counts(&self) -> BTreeMap<Sign, u64> {
        let counted = Sign::ALL.into_iter().map(|sign| (sign, self.0.get(sign_word(sign)).and_then(|count| count.as_u64())));
        counted.filter_map(|(sign, count)| Some((sign, count?))).filter(|(_, count)| *count > 0).collect()
    }
}

/// A pull request as the issue that it is too.
#[derive(Debug, Deserialize)]
pub(super) struct SignedIssue {
    #[serde(default)]
    pub comments: u64,
    #[serde(default, deserialize_with = "or_default")]
    pub reactions: Rollup,
}

/// One reaction.
#[derive(Debug, Deserialize)]
pub(super) struct Signed {
    #[serde(default)]
    user: Option<User>,
    content: String,
}

impl Signed {
    /// As a sign of a person; programs have none.
    pub fn into_sign(self) -> Option<(String, Sign)> {
        let sign = Sign::ALL.into_iter().find(|sign| sign_word(*sign) == self.content)?;
        let (by, bot) = login(self.user);
        (!bot).then_some((by, sign))
    }
}

/// As GitHub writes it.
fn sign_word(sign: Sign) -> &'static str {
    match sign {
        Sign::ThumbsUp => "+1",
        Sign::ThumbsDown => "-1",
        Sign::Heart => "heart",
        Sign::Hooray => "hooray",
        Sign::Rocket => "rocket",
        Sign::Laugh => "laugh",
        Sign::Confused => "confused",
        Sign::Eyes => "eyes",
    }
}

impl IssueComment {
    /// As a comment; `key` finds the one in a text of `me`.
    pub fn into_comment(self, me: &str, key: impl Fn(&str) -> Option<String>) -> Comment {
        let (author, bot) = login(self.user);
        Comment {
            id: self.id,
            on: self.issue_url.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or(0),
            key: if author == me { key(&self.body) } else { None },
            author,
            bot,
            signs: self.reactions.counts(),
            text: self.body,
            at: self.created_at,
            updated: self.updated_at,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct PullReview {
    #[serde(default)]
    user: Option<User>,
    #[serde(default, deserialize_with = "or_default")]
    body: String,
    state: String,
    #[serde(default)]
    submitted_at: Option<Timestamp>,
    #[serde(default)]
    commit_id: Option<String>,
}

impl PullReview {
    /// As a review; one that nobody has sent yet is none.
    pub fn into_review(self) -> Option<Review> {
        let opinion = match self.state.as_str() {
            "APPROVED" => Opinion::Approved,
            "CHANGES_REQUESTED" => Opinion::ChangesWanted,
            "DISMISSED" => Opinion::Dismissed,
            "PENDING" => return None,
            _ => Opinion::Commented,
        };
        let (author, _) = login(self.user);
        Some(Review { author, opinion, text: self.body, head: self.commit_id.map(CommitId), at: self.submitted_at })
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Collaborator {
    permission: String,
}

impl Collaborator {
    pub fn level(&self) -> Level {
        match self.permission.as_str() {
            "admin" => Level::Admin,
            "write" | "maintain" => Level::Write,
            "read" | "triage" => Level::Read,
            _ => Level::None,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Object {
    pub sha: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Ref {
    pub object: Object,
}

#[derive(Debug, Deserialize)]
pub(super) struct GitCommit {
    pub tree: Object,
}
