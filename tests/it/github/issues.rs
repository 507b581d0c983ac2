//! The model's issues. Pull requests are listed among them, as GitHub does.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::World;
use super::server::{Asked, Reply, invalid, not_found};
use super::shape::{Shape, time};
use super::state::{Pull, Repository};

/// An issue that is no pull request.
#[derive(Clone, Debug)]
pub struct Issue {
    pub number: u64,
    pub title: String,
    pub body: String,
    pub author: String,
    pub closed: Option<Timestamp>,
    pub created: Timestamp,
    pub updated: Timestamp,
}

/// The answer to a request below a repository, if it is about any of this.
pub fn answer(world: &mut World, asked: &Asked, rest: &[&str]) -> Option<Reply> {
    Some(match (asked.method.as_str(), rest) {
        ("GET", ["issues"]) => list(world, asked),
        ("GET", ["issues", text]) => read(world, text.parse().ok()?).unwrap_or_else(not_found),
        ("POST", ["issues"]) => open(world, asked).unwrap_or_else(|reply| reply),
        ("PATCH", ["issues", text]) => edit(world, asked, text.parse().ok()?).unwrap_or_else(|reply| reply),
        _ => return None,
    })
}

fn list(world: &World, asked: &Asked) -> Reply {
    let repository = &world.repository;
    let mut all: Vec<(u64, &str, bool, Value)> = Vec::new();
    for issue in &repository.issues {
        all.push((issue.number, &issue.author, issue.closed.is_none(), world.shape.issue(repository, issue, false)));
    }
    for pull in repository.pulls.values() {
        let shown = world.shape.issue(repository, &as_issue(pull), true);
        all.push((pull.number, &pull.author, pull.closed.is_none(), shown));
    }
    let state = asked.query.get("state").map_or("open", String::as_str);
    all.retain(|(_, author, open, _)| {
        asked.query.get("creator").is_none_or(|creator| creator == author) && (state == "all" || (state == "open") == *open)
    });
    all.sort_by_key(|(number, ..)| *number);
    if asked.query.get("direction").is_none_or(|direction| direction == "desc") {
        all.reverse();
    }
    Reply::List(all.into_iter().map(|(.., shown)| shown).collect(), None)
}

fn read(world: &World, number: u64) -> Option<Reply> {
    let repository = &world.repository;
    let issue = repository.issues.iter().find(|issue| issue.number == number);
    let shown = match (issue, repository.pulls.get(&number)) {
        (Some(issue), _) => world.shape.issue(repository, issue, false),
        (None, pull) => world.shape.issue(repository, &as_issue(pull?), true),
    };
    Some(Reply::Json(200, shown))
}

/// A pull request as the issue that it is too.
fn as_issue(pull: &Pull) -> Issue {
    let body = pull.body.clone().unwrap_or_default();
    let (number, title, author) = (pull.number, pull.title.clone(), pull.author.clone());
    Issue { number, title, body, author, closed: pull.closed, created: pull.created, updated: pull.updated }
}

fn open(world: &mut World, asked: &Asked) -> Result<Reply, Reply> {
    asked.may_write("issues")?;
    let title = asked.text("title").ok_or_else(|| invalid("Issue", "title", "title is missing"))?.to_string();
    let (body, author) = (asked.text("body").unwrap_or_default().to_string(), asked.actor.login.clone());
    let number = world.repository.next();
    let issue = Issue { number, title, body, author, closed: None, created: asked.now, updated: asked.now };
    let shown = world.shape.issue(&world.repository, &issue, false);
    world.repository.issues.push(issue);
    Ok(Reply::Json(201, shown))
}

fn edit(world: &mut World, asked: &Asked, number: u64) -> Result<Reply, Reply> {
    asked.may_write("issues")?;
    let issue = world.repository.issues.iter_mut().find(|issue| issue.number == number).ok_or_else(not_found)?;
    if let Some(body) = asked.text("body") {
        issue.body = body.to_string();
    }
    issue.updated = asked.now;
    let issue = issue.clone();
    Ok(Reply::Json(200, world.shape.issue(&world.repository, &issue, false)))
}

impl Shape {
    fn issue(&self, repository: &Repository, issue: &Issue, is_pull: bool) -> Value {
        let (number, api) = (issue.number, format!("{}/repos/{}", self.api, repository.name));
        let url = format!("{api}/issues/{number}");
        let state = if issue.closed.is_some() { "closed" } else { "open" };
        let comments = repository.comments.iter().filter(|comment| comment.on == number).count();
        let none = BTreeSet::new();
        let reactions = repository.pulls.get(&number).map_or(&none, |pull| &pull.reactions);
        let mut shown = json!({
            "id": number + 9000, "node_id": format!("I_{number}"), "number": number, "title": issue.title, "body": issue.body,
            "state": state, "locked": false, "assignee": null, "assignees": [], "milestone": null, "comments": comments, "labels": [],
            "user": self.user(&issue.author), "author_association": "CONTRIBUTOR", "active_lock_reason": null, "state_reason": null,
            "created_at": time(issue.created), "updated_at": time(issue.updated), "closed_at": issue.closed.map(time), "url": url,
            "repository_url": api, "labels_url": format!("{url}/labels{{/name}}"), "comments_url": format!("{url}/comments"),
            "events_url": format!("{url}/events"), "html_url": format!("https://github.com/{}/issues/{number}", repository.name), "reactions": self.rollup(&url, reactions),
        });
        if is_pull {
            let pull = format!("{api}/pulls/{number}");
            shown["pull_request"] =
                json!({"url": pull, "html_url": pull, "diff_url": pull, "patch_url": pull, "merged_at": null});
        }
        shown
    }
}
