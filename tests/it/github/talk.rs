//! The model's conversation: comments, reactions, reviews, labels, checks, statuses, who may do what.

use serde_json::{Value, json};

use super::World;
use super::server::{Asked, Reply, invalid, not_found, refusal};
use super::state::{CheckRun, Comment, Status};

/// The answer to a request below a repository, if it is about any of this.
pub fn answer(world: &mut World, asked: &Asked, rest: &[&str]) -> Option<Reply> {
    let number = |text: &str| text.parse::<u64>().ok();
    let reply = match (asked.method.as_str(), rest) {
        ("GET", ["issues", "comments"]) => Ok(comments(world, asked, None)),
        ("GET", ["issues", text, "comments"]) => Ok(comments(world, asked, Some(number(text)?))),
        ("POST", ["issues", text, "comments"]) => comment(world, asked, number(text)?),
        ("PATCH", ["issues", "comments", text]) => edit(world, asked, number(text)?),
        ("POST", ["issues", "comments", text, "reactions"]) => react(world, asked, number(text)?),
        ("GET", ["issues", "comments", text, "reactions"]) => reactions(world, asked, None, number(text)?),
        ("GET", ["issues", text, "reactions"]) => reactions(world, asked, Some(number(text)?), 0),
        ("POST", ["issues", text, "labels"]) => label(world, asked, number(text)?),
        ("DELETE", ["issues", text, "labels", name]) => unlabel(world, asked, number(text)?, name),
        ("GET", ["pulls", text, "reviews"]) => Ok(reviews(world, number(text)?)),
        ("GET", ["collaborators", login, "permission"]) => Ok(permission(world, login)),
        ("GET", ["commits", sha, "check-runs"]) => Ok(check_runs(world, asked, sha)),
        ("POST", ["check-runs"]) => report(world, asked),
        ("PATCH", ["check-runs", text]) => change_report(world, asked, number(text)?),
        ("GET", ["commits", sha, "status"]) => Ok(statuses(world, sha)),
        ("POST", ["statuses", sha]) => state(world, asked, sha),
        _ => return None,
    };
    Some(reply.unwrap_or_else(|reply| reply))
}

fn comments(world: &World, asked: &Asked, on: Option<u64>) -> Reply {
    let since = asked.query.get("since").and_then(|since| since.parse::<jiff::Timestamp>().ok());
    let mut found: Vec<&Comment> = world.repository.comments.iter().collect();
    found.retain(|comment| on.is_none_or(|on| comment.on == on) && since.is_none_or(|since| comment.updated >= since));
    if asked.query.get("sort").is_some_and(|sort| sort == "updated") {
        found.sort_by_key(|comment| comment.updated);
    }
    Reply::List(found.into_iter().map(|comment| world.shape.comment(&world.repository, comment)).collect(), None)
}

fn may_comment(asked: &Asked) -> Result<(), Reply> {
    asked.may_write("issues").or_else(|_| asked.may_write("pull_requests"))
}

fn comment(world: &mut World, asked: &Asked, on: u64) -> Result<Reply, Reply> {
    may_comment(asked)?;
    if !world.repository.pulls.contains_key(&on) {
        return Err(not_found());
    }
    let body = asked.text("body").ok_or_else(|| invalid("IssueComment", "body", "body is missing"))?.to_string();
    let comment = Comment {
        id: world.next(),
        on,
        author: asked.actor.login.clone(),
        body,
        created: asked.now,
        updated: asked.now,
        reactions: Default::default(),
    };
    let shown = world.shape.comment(&world.repository, &comment);
    world.repository.comments.push(comment);
    Ok(Reply::Json(201, shown))
}

fn edit(world: &mut World, asked: &Asked, id: u64) -> Result<Reply, Reply> {
    may_comment(asked)?;
    let comment = world.repository.comments.iter_mut().find(|comment| comment.id == id).ok_or_else(not_found)?;
    comment.body = asked.text("body").unwrap_or_default().to_string();
    comment.updated = asked.now;
    let comment = comment.clone();
    Ok(Reply::Json(200, world.shape.comment(&world.repository, &comment)))
}

fn react(world: &mut World, asked: &Asked, id: u64) -> Result<Reply, Reply> {
    may_comment(asked)?;
    let comment = world.repository.comments.iter_mut().find(|comment| comment.id == id).ok_or_else(not_found)?;
    let content = asked.text("content").unwrap_or_default().to_string();
    let new = comment.reactions.insert((asked.actor.login.clone(), content.clone()));
    let shown = world.shape.reaction(&asked.actor.login, &content, asked.now);
    Ok(Reply::Json(if new { 201 } else { 200 }, shown))
}

/// Under a pull request, or under a comment.
fn reactions(world: &World, asked: &Asked, on: Option<u64>, comment: u64) -> Result<Reply, Reply> {
    let repository = &world.repository;
    let found = match on {
        Some(on) => repository.pulls.get(&on).map(|pull| &pull.reactions),
        None => repository.comments.iter().find(|known| known.id == comment).map(|known| &known.reactions),
    };
    let shown = |(who, content): &(String, String)| world.shape.reaction(who, content, asked.now);
    Ok(Reply::List(found.ok_or_else(not_found)?.iter().map(shown).collect(), None))
}

fn label(world: &mut World, asked: &Asked, number: u64) -> Result<Reply, Reply> {
    may_comment(asked)?;
    let pull = world.repository.pulls.get_mut(&number).ok_or_else(not_found)?;
    let labels = asked.body["labels"].as_array().cloned().unwrap_or_default();
    pull.labels.extend(labels.iter().filter_map(Value::as_str).map(String::from));
    Ok(Reply::Json(200, Value::Array(world.shape.labels(&world.repository.pulls[&number]))))
}

fn unlabel(world: &mut World, asked: &Asked, number: u64, name: &str) -> Result<Reply, Reply> {
    may_comment(asked)?;
    let pull = world.repository.pulls.get_mut(&number).ok_or_else(not_found)?;
    if !pull.labels.remove(name) {
        return Err(refusal(404, "Label does not exist"));
    }
    Ok(Reply::Json(200, Value::Array(world.shape.labels(&world.repository.pulls[&number]))))
}

fn reviews(world: &World, number: u64) -> Reply {
    let found = world.repository.reviews.iter().filter(|review| review.on == number);
    Reply::List(found.map(|review| world.shape.review(&world.repository, review)).collect(), None)
}

fn permission(world: &World, login: &str) -> Reply {
    // In a public repository everybody may read; who does not exist is not found.
    if login.starts_with("nobody") {
        return not_found();
    }
    let permission = world.repository.collaborators.get(login).copied().unwrap_or("read");
    let mut user = world.shape.user(login);
    user["role_name"] = json!(permission);
    Reply::Json(200, json!({"permission": permission, "role_name": permission, "user": user}))
}

fn check_runs(world: &World, asked: &Asked, sha: &str) -> Reply {
    let named = asked.query.get("check_name");
    let of_commit = || world.repository.check_runs.iter().filter(|run| run.sha == sha);
    let newest = |run: &&CheckRun| !of_commit().any(|other| other.id > run.id && other.name == run.name && other.app == run.app);
    let runs = of_commit().filter(newest).filter(|run| named.is_none_or(|name| *name == run.name));
    Reply::List(runs.map(|run| world.shape.check_run(&world.repository, run)).collect(), Some("check_runs"))
}

/// What a request says of a check run.
fn told(asked: &Asked, run: &mut CheckRun) {
    let output = |field: &str| asked.body["output"][field].as_str().map(String::from);
    if let Some(status) = asked.text("status") {
        (run.status, run.conclusion) = (status.to_string(), asked.text("conclusion").map(String::from));
    }
    (run.title, run.summary) = (output("title").or(run.title.take()), output("summary").or(run.summary.take()));
}

fn report(world: &mut World, asked: &Asked) -> Result<Reply, Reply> {
    asked.may_write("checks")?;
    let Some(app) = asked.actor.slug.clone() else {
        return Err(refusal(403, "You must authenticate via a GitHub App."));
    };
    let needed = |name: &'static str| asked.text(name).ok_or_else(|| invalid("CheckRun", name, &format!("{name} is missing")));
    let (name, sha) = (needed("name")?.to_string(), needed("head_sha")?.to_string());
    if world.repository.bare.ask(&["cat-file", "-e", &format!("{sha}^{{commit}}")]).is_none() {
        return Err(invalid("CheckRun", "head_sha", &format!("No commit found for SHA: {sha}")));
    }
    let (status, started) = ("queued".to_string(), asked.now);
    let mut run = CheckRun { id: world.next(), name, sha, app, status, conclusion: None, title: None, summary: None, started };
    told(asked, &mut run);
    let shown = world.shape.check_run(&world.repository, &run);
    world.repository.check_runs.push(run);
    Ok(Reply::Json(201, shown))
}

fn change_report(world: &mut World, asked: &Asked, id: u64) -> Result<Reply, Reply> {
    asked.may_write("checks")?;
    let run = world.repository.check_runs.iter_mut().find(|run| run.id == id).ok_or_else(not_found)?;
    if Some(&run.app) != asked.actor.slug.as_ref() {
        return Err(refusal(403, "Resource not accessible by integration"));
    }
    told(asked, run);
    let run = run.clone();
    Ok(Reply::Json(200, world.shape.check_run(&world.repository, &run)))
}

fn statuses(world: &World, sha: &str) -> Reply {
    let of_commit = || world.repository.statuses.iter().filter(|status| status.sha == sha);
    let newest = |status: &&Status| !of_commit().any(|other| other.id > status.id && other.context == status.context);
    Reply::List(of_commit().filter(newest).map(|status| world.shape.status(status)).collect(), Some("statuses"))
}

fn state(world: &mut World, asked: &Asked, sha: &str) -> Result<Reply, Reply> {
    asked.may_write("statuses")?;
    let status = Status {
        id: world.next(),
        sha: sha.to_string(),
        context: asked.text("context").unwrap_or("default").to_string(),
        state: asked.text("state").ok_or_else(|| invalid("Status", "state", "state is missing"))?.to_string(),
        description: asked.text("description").map(String::from),
        creator: asked.actor.login.clone(),
        at: asked.now,
    };
    let shown = world.shape.status(&status);
    world.repository.statuses.push(status);
    Ok(Reply::Json(201, shown))
}
