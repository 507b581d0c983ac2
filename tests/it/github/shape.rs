//! The model's answers as GitHub writes them, with every field that its description demands.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::state::{CheckRun, Comment, Protection, Pull, Repository, Review, Status};

/// Fields of a repository that are addresses.
const REPOSITORY_URLS: &str = "archive assignees blobs branches collaborators comments commits compare contents contributors \
    deployments downloads events forks git_commits git_refs git_tags hooks issue_comment issue_events issues keys labels languages \
    merges milestones notifications pulls releases stargazers statuses subscribers subscription tags teams trees";
const USER_URLS: &str = "avatar events followers following gists organizations received_events repos starred subscriptions";

/// Where the interface is, for addresses in answers.
#[derive(Clone, Debug)]
pub struct Shape {
    pub api: String,
}

pub fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn number_of(name: &str) -> u64 {
    name.bytes().fold(7, |sum, byte| (sum * 31 + u64::from(byte)) % 1_000_003)
}

impl Shape {
    fn urls(&self, below: &str, names: &str) -> Map<String, Value> {
        let url = |name: &str| (format!("{name}_url"), json!(format!("{}{below}/{name}", self.api)));
        names.split_whitespace().map(url).collect()
    }

    pub fn user(&self, login: &str) -> Value {
        let mut user = self.urls(&format!("/users/{}", login.replace(['[', ']'], "_")), USER_URLS);
        let kind = if login.ends_with("[bot]") { "Bot" } else { "User" };
        let rest = json!({
            "login": login, "id": number_of(login), "node_id": format!("U_{login}"), "gravatar_id": "", "type": kind,
            "site_admin": false, "html_url": "https://github.com/x", "url": format!("{}/users/x", self.api),
        });
        user.extend(rest.as_object().expect("an object").clone());
        Value::Object(user)
    }

    /// The answer to `GET /user`.
    pub fn myself(&self, login: &str) -> Value {
        let mut user = self.user(login);
        let more = json!({
            "bio": null, "blog": "", "company": null, "email": null, "followers": 1, "following": 1, "hireable": null,
            "location": null, "name": "x", "public_gists": 0, "public_repos": 1, "created_at": "2020-01-01T00:00:00Z",
            "updated_at": "2020-01-01T00:00:00Z",
        });
        user.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        user
    }

    pub fn short_repository(&self, repository: &Repository) -> Map<String, Value> {
        let (owner, name) = repository.name.split_once('/').expect("has an owner");
        let below = format!("/repos/{}", repository.name);
        let mut all = self.urls(&below, REPOSITORY_URLS);
        let rest = json!({
            "id": repository.id, "node_id": format!("R_{}", repository.id), "name": name, "full_name": repository.name,
            "owner": self.user(owner), "private": false, "fork": false, "description": null,
            "html_url": format!("https://github.com/{}", repository.name), "url": format!("{}{below}", self.api),
            "clone_url": "https://github.com/x.git", "git_url": "git://github.com/x.git", "ssh_url": "git@github.com:x.git",
            "svn_url": "https://github.com/x", "mirror_url": null, "homepage": null, "language": null, "default_branch": "main",
            "forks": 0, "forks_count": 0, "stargazers_count": 0, "watchers": 0, "watchers_count": 0, "size": 1,
            "open_issues": 0, "open_issues_count": 0, "has_issues": true, "has_projects": false, "has_wiki": false,
            "has_pages": false, "has_downloads": false, "has_discussions": false, "archived": false, "disabled": false,
            "license": null, "pushed_at": "2026-01-01T00:00:00Z", "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z",
        });
        all.extend(rest.as_object().expect("an object").clone());
        all
    }

    pub fn repository(&self, repository: &Repository, push: bool) -> Value {
        let mut all = self.short_repository(repository);
        let rest = json!({
            "network_count": 0, "subscribers_count": 0, "allow_auto_merge": repository.auto_merge,
            "allow_merge_commit": repository.ways.contains("merge"), "allow_squash_merge": repository.ways.contains("squash"),
            "allow_rebase_merge": repository.ways.contains("rebase"), "delete_branch_on_merge": false,
            "permissions": {"admin": false, "maintain": false, "push": push, "triage": push, "pull": true},
        });
        all.extend(rest.as_object().expect("an object").clone());
        Value::Object(all)
    }

    fn label(&self, name: &str) -> Value {
        json!({
            "id": number_of(name), "node_id": format!("LA_{name}"), "url": format!("{}/labels/x", self.api), "name": name,
            "description": null, "color": "ededed", "default": false,
        })
    }

    pub fn labels(&self, pull: &Pull) -> Vec<Value> {
        // In pull requests the description has a text, where labels by themselves have none.
        let label = |name: &String| {
            let mut label = self.label(name);
            label["description"] = json!("");
            label
        };
        pull.labels.iter().map(label).collect()
    }

    fn side(&self, repository: &Repository, branch: &str, sha: &str, gone: bool) -> Value {
        let owner = repository.name.split('/').next().expect("has an owner");
        if gone {
            // As it is on GitHub, whatever the description says.
            return json!({"label": null, "ref": branch, "sha": sha, "user": null, "repo": null});
        }
        json!({
            "label": format!("{owner}:{branch}"), "ref": branch, "sha": sha, "user": self.user(owner),
            "repo": self.short_repository(repository),
        })
    }

    /// A pull request as it is in lists.
    pub fn pull_in_list(&self, repository: &Repository, pull: &Pull) -> Map<String, Value> {
        let (url, number) = (format!("{}/repos/{}", self.api, repository.name), pull.number);
        let head = repository.head(pull);
        let base = match pull.closed {
            Some(_) => pull.base_sha.clone(),
            None => repository.bare.branch(&pull.base).unwrap_or_default(),
        };
        let auto = pull.auto.as_ref().map(|(way, title, text)| {
            json!({"enabled_by": self.user(&pull.auto_by), "merge_method": way, "commit_title": title, "commit_message": text})
        });
        let link = |rest: &str| json!({"href": format!("{url}/{rest}")});
        let links = json!({
            "comments": link("c"), "commits": link("c"), "statuses": link("s"), "html": link("h"), "issue": link("i"),
            "review_comments": link("r"), "review_comment": link("r"), "self": link("p"),
        });
        let all = json!({
            "_links": links, "assignee": null, "assignees": [], "requested_reviewers": [], "requested_teams": [],
            "labels": self.labels(pull), "base": self.side(repository, &pull.base, &base, false),
            "head": self.side(repository, &pull.branch, &head, pull.orphan), "body": pull.body,
            "closed_at": pull.closed.map(time), "created_at": time(pull.created), "updated_at": time(pull.updated),
            "merged_at": pull.merged.as_ref().map(|(at, ..)| time(*at)),
            "merge_commit_sha": pull.merged.as_ref().map(|(_, commit, _)| commit.as_str()),
            "id": 1_000_000 + number, "node_id": format!("PR_{}_{number}", repository.id), "milestone": null, "number": number,
            "state": if pull.closed.is_some() { "closed" } else { "open" }, "locked": false, "title": pull.title,
            "user": self.user(&pull.author), "author_association": "COLLABORATOR", "auto_merge": auto, "draft": pull.draft,
            "html_url": format!("https://github.com/{}/pull/{number}", repository.name),
            "url": format!("{url}/pulls/{number}"), "issue_url": format!("{url}/issues/{number}"),
            "diff_url": format!("{url}/d"), "patch_url": format!("{url}/p"), "comments_url": format!("{url}/c"),
            "commits_url": format!("{url}/c"), "statuses_url": format!("{url}/s"), "review_comment_url": format!("{url}/r"),
            "review_comments_url": format!("{url}/r"),
        });
        all.as_object().expect("an object").clone()
    }

    /// A pull request by itself.
    pub fn pull(&self, repository: &Repository, pull: &Pull, unsure: bool) -> Value {
        let mut all = self.pull_in_list(repository, pull);
        let state = if unsure { "unknown" } else { repository.mergeable_state(pull) };
        let mergeable = match state {
            "unknown" => Value::Null,
            state => json!(state != "dirty"),
        };
        let base = repository.bare.branch(&pull.base).unwrap_or_else(|| pull.base_sha.clone());
        let commits = repository.bare.commits(&base, &repository.head(pull)).len();
        let rest = json!({
            "additions": 1, "deletions": 1, "changed_files": 1, "comments": 0, "review_comments": 0, "commits": commits,
            "mergeable": mergeable, "mergeable_state": state, "merged": pull.merged.is_some(), "rebaseable": mergeable,
            "maintainer_can_modify": false, "merged_by": pull.merged.as_ref().map(|(.., by)| self.user(by)),
        });
        all.extend(rest.as_object().expect("an object").clone());
        Value::Object(all)
    }

    pub fn comment(&self, repository: &Repository, comment: &Comment) -> Value {
        let url = format!("{}/repos/{}", self.api, repository.name);
        json!({
            "id": comment.id, "node_id": format!("IC_{}", comment.id), "body": comment.body, "user": self.user(&comment.author),
            "url": format!("{url}/issues/comments/{}", comment.id), "issue_url": format!("{url}/issues/{}", comment.on),
            "html_url": format!("https://github.com/{}/pull/{}#issuecomment-{}", repository.name, comment.on, comment.id),
            "created_at": time(comment.created), "updated_at": time(comment.updated), "author_association": "NONE",
            "reactions": self.rollup(&format!("{url}/issues/comments/{}", comment.id), &comment.reactions),
        })
    }

    /// How many reactions of each kind there are at an address.
    pub fn rollup(&self, url: &str, reactions: &BTreeSet<(String, String)>) -> Value {
        let count = |kind: &str| reactions.iter().filter(|(_, content)| content == kind).count();
        let mut rollup = json!({"url": format!("{url}/reactions"), "total_count": reactions.len()});
        for kind in ["+1", "-1", "laugh", "confused", "heart", "hooray", "eyes", "rocket"] {
            rollup[kind] = json!(count(kind));
        }
        rollup
    }

    pub fn reaction(&self, who: &str, content: &str, at: Timestamp) -> Value {
        json!({"id": number_of(who), "node_id": "REA_1", "user": self.user(who), "content": content, "created_at": time(at)})
    }

    fn app(&self, slug: &str) -> Value {
        json!({
            "id": number_of(slug), "slug": slug, "node_id": format!("A_{slug}"), "owner": self.user("ana"), "name": slug,
            "description": null, "external_url": "https://example.com", "html_url": "https://github.com/apps/x",
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z", "permissions": {}, "events": [],
        })
    }

    pub fn check_run(&self, repository: &Repository, run: &CheckRun) -> Value {
        let url = format!("{}/repos/{}/check-runs/{}", self.api, repository.name, run.id);
        json!({
            "id": run.id, "node_id": format!("CR_{}", run.id), "head_sha": run.sha, "name": run.name, "url": url, "html_url": null,
            "details_url": null, "status": run.status, "conclusion": run.conclusion, "started_at": time(run.started),
            "completed_at": run.conclusion.as_ref().map(|_| time(run.started)), "external_id": "", "check_suite": {"id": 5},
            "output": {"title": run.title, "summary": run.summary, "text": null, "annotations_count": 0, "annotations_url": url},
            "app": self.app(&run.app), "pull_requests": [],
        })
    }

    pub fn status(&self, status: &Status) -> Value {
        json!({
            "url": format!("{}/statuses/{}", self.api, status.sha), "avatar_url": null, "id": status.id,
            "node_id": format!("SC_{}", status.id), "state": status.state, "description": status.description, "target_url": null,
            "context": status.context, "created_at": time(status.at), "updated_at": time(status.at),
            "creator": self.user(&status.creator),
        })
    }

    pub fn combined(&self, repository: &Repository, sha: &str, statuses: &[Value], all: usize) -> Value {
        let states: Vec<&str> = statuses.iter().filter_map(|status| status["state"].as_str()).collect();
        let state = if states.iter().any(|state| matches!(*state, "failure" | "error")) {
            "failure"
        } else if states.is_empty() || states.contains(&"pending") {
            "pending"
        } else {
            "success"
        };
        let url = format!("{}/repos/{}/commits/{sha}", self.api, repository.name);
        let mut brief = statuses.to_vec();
        for status in &mut brief {
            let _ = status.as_object_mut().and_then(|status| status.remove("creator"));
        }
        json!({
            "state": state, "sha": sha, "total_count": all, "statuses": brief, "repository": self.short_repository(repository),
            "commit_url": url, "url": format!("{url}/status"),
        })
    }

    pub fn review(&self, repository: &Repository, review: &Review) -> Value {
        let url = format!("{}/repos/{}/pulls/{}", self.api, repository.name, review.on);
        json!({
            "id": review.id, "node_id": format!("PRR_{}", review.id), "user": self.user(&review.author), "body": review.body,
            "state": review.state, "commit_id": review.sha, "submitted_at": time(review.at), "html_url": url,
            "pull_request_url": url, "_links": {"html": {"href": url}, "pull_request": {"href": url}}, "author_association": "NONE",
        })
    }

    pub fn git_commit(&self, repository: &Repository, sha: &str, verified: bool) -> Option<Value> {
        let text = repository.bare.ask(&["log", "-1", "--format=%T%n%P%n%an%n%ae%n%at%n%B", sha])?;
        let mut lines = text.lines();
        let (tree, parents) = (lines.next()?, lines.next()?);
        let (name, email, at) = (lines.next()?, lines.next()?, lines.next()?);
        let date = Timestamp::from_second(at.parse().ok()?).ok().map(time);
        let who = json!({"name": name, "email": email, "date": date});
        let url = |kind: &str, sha: &str| format!("{}/repos/{}/git/{kind}/{sha}", self.api, repository.name);
        let parent = |sha: &str| json!({"sha": sha, "url": url("commits", sha), "html_url": url("commits", sha)});
        Some(json!({
            "sha": sha, "node_id": format!("C_{sha}"), "url": url("commits", sha), "html_url": url("commits", sha), "author": who,
            "committer": who, "tree": {"sha": tree, "url": url("trees", tree)}, "message": lines.collect::<Vec<_>>().join("\n"),
            "parents": parents.split_whitespace().map(parent).collect::<Vec<_>>(),
            "verification": {
                "verified": verified, "reason": if verified { "valid" } else { "unsigned" }, "signature": null, "payload": null,
                "verified_at": null,
            },
        }))
    }

    pub fn git_ref(&self, repository: &Repository, name: &str, sha: &str) -> Value {
        let url = format!("{}/repos/{}/git", self.api, repository.name);
        json!({
            "ref": name, "node_id": format!("REF_{name}"), "url": format!("{url}/{name}"),
            "object": {"type": "commit", "sha": sha, "url": format!("{url}/commits/{sha}")},
        })
    }

    pub fn branch(&self, repository: &Repository, name: &str, sha: &str) -> Value {
        let url = format!("{}/repos/{}/branches/{name}", self.api, repository.name);
        let rules = repository.protection(name);
        let git = self.git_commit(repository, sha, false).unwrap_or_default();
        let commit = json!({
            "sha": sha, "node_id": git["node_id"], "url": url, "html_url": url, "comments_url": url, "author": null,
            "committer": null, "parents": [],
            "commit": {
                "url": url, "author": git["author"], "committer": git["committer"], "message": git["message"], "comment_count": 0,
                "tree": git["tree"], "verification": git["verification"],
            },
        });
        json!({
            "name": name, "commit": commit, "_links": {"html": url, "self": url}, "protected": !rules.checks.is_empty(),
            "protection": {
                "enabled": !rules.checks.is_empty(),
                "required_status_checks": {"enforcement_level": "non_admins", "contexts": rules.checks, "checks": []},
            },
            "protection_url": format!("{url}/protection"),
        })
    }

    /// The rules of rulesets; checks that must pass are in the old protection of branches.
    pub fn rules(&self, repository: &Repository, rules: &Protection) -> Vec<Value> {
        let mut all = Vec::new();
        let mut rule = |kind: &str, parameters: Option<Value>| {
            let source = json!({"ruleset_source_type": "Repository", "ruleset_source": repository.name, "ruleset_id": 1});
            let mut rule = source.as_object().expect("an object").clone();
            rule.insert("type".into(), json!(kind));
            rule.extend(parameters.map(|parameters| ("parameters".to_string(), parameters)));
            all.push(Value::Object(rule));
        };
        if rules.strict {
            let checks: Vec<Value> = rules.checks.iter().map(|name| json!({"context": name})).collect();
            let parameters = json!({"required_status_checks": checks, "strict_required_status_checks_policy": true});
            rule("required_status_checks", Some(parameters));
        }
        if rules.approvals > 0 {
            let parameters = json!({
                "required_approving_review_count": rules.approvals, "dismiss_stale_reviews_on_push": false,
                "require_code_owner_review": false, "require_last_push_approval": false, "required_review_thread_resolution": false,
                "allowed_merge_methods": ["merge", "squash", "rebase"],
            });
            rule("pull_request", Some(parameters));
        }
        if rules.linear {
            rule("required_linear_history", None);
        }
        if rules.queue {
            let parameters = json!({
                "check_response_timeout_minutes": 60, "grouping_strategy": "ALLGREEN", "max_entries_to_build": 5,
                "max_entries_to_merge": 5, "merge_method": "MERGE", "min_entries_to_merge": 1,
                "min_entries_to_merge_wait_minutes": 5,
            });
            rule("merge_queue", Some(parameters));
        }
        all
    }

    pub fn installation(&self, id: u64, app: u64, slug: &str, writes: &[&str]) -> Value {
        let mut permissions: Map<String, Value> = writes.iter().map(|name| (name.to_string(), json!("write"))).collect();
        permissions.insert("metadata".into(), json!("read"));
        json!({
            "id": id, "app_id": app, "app_slug": slug, "target_id": 1, "target_type": "User", "single_file_name": null,
            "repository_selection": "selected", "access_tokens_url": format!("{}/app/installations/{id}/access_tokens", self.api),
            "html_url": "https://github.com/x", "repositories_url": format!("{}/installation/repositories", self.api), "events": [],
            "account": self.user("ana"), "permissions": permissions, "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z", "suspended_by": null, "suspended_at": null,
        })
    }
}
