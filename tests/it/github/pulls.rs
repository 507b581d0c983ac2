//! The model's repository: pull requests, branches, rules, and objects of git.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::World;
use super::git::Made;
use super::server::{Asked, Reply, invalid, not_found, refusal};
use super::state::Pull;

/// The answer to a request below a repository, if it is about any of this.
pub fn answer(world: &mut World, asked: &Asked, rest: &[&str]) -> Option<Reply> {
    let number = |text: &str| text.parse::<u64>().ok();
    Some(match (asked.method.as_str(), rest) {
        ("GET", []) => Reply::Json(200, world.shape.repository(&world.repository, asked.actor.writes.contains("contents"))),
        ("GET", ["branches", name]) => match world.repository.bare.branch(name) {
            Some(sha) => Reply::Json(200, world.shape.branch(&world.repository, name, &sha)),
            None => refusal(404, "Branch not found"),
        },
        ("GET", ["rules", "branches", name]) => {
            let rules = world.repository.protection(name);
            Reply::List(world.shape.rules(&world.repository, &rules), None)
        }
        ("GET", ["pulls"]) => list(world, asked),
        ("POST", ["pulls"]) => open(world, asked).unwrap_or_else(|reply| reply),
        ("GET", ["pulls", text]) => read(world, number(text)?),
        ("PATCH", ["pulls", text]) => edit(world, asked, number(text)?).unwrap_or_else(|reply| reply),
        ("PUT", ["pulls", text, "merge"]) => merge(world, asked, number(text)?).unwrap_or_else(|reply| reply),
        ("GET", ["git", "ref", "heads", name @ ..]) => {
            let name = name.join("/");
            match world.repository.bare.branch(&name) {
                Some(sha) => Reply::Json(200, world.shape.git_ref(&world.repository, &format!("refs/heads/{name}"), &sha)),
                None => not_found(),
            }
        }
        ("GET", ["git", "commits", sha]) => match world.shape.git_commit(&world.repository, sha, false) {
            Some(commit) => Reply::Json(200, commit),
            None => not_found(),
        },
        ("POST", ["git", "blobs"]) => write(asked, || blob(world, asked)),
        ("POST", ["git", "trees"]) => write(asked, || tree(world, asked)),
        ("POST", ["git", "commits"]) => write(asked, || commit(world, asked)),
        _ => return None,
    })
}

fn write(asked: &Asked, make: impl FnOnce() -> Option<Reply>) -> Reply {
    if let Err(reply) = asked.may_write("contents") {
        return reply;
    }
    make().unwrap_or_else(|| refusal(422, "Problems parsing JSON"))
}

fn list(world: &mut World, asked: &Asked) -> Reply {
    let wanted = |name: &str| asked.query.get(name).map(String::as_str);
    let state = wanted("state").unwrap_or("open");
    let owner = world.repository.name.split('/').next().expect("has an owner").to_string();
    let mut pulls: Vec<&Pull> = world.repository.pulls.values().collect();
    if world.repository.lag > 0 {
        world.repository.lag -= 1;
        pulls.pop();
    }
    pulls.retain(|pull| {
        let fits = state == "all" || (state == "closed") == pull.closed.is_some();
        let head = wanted("head").is_none_or(|head| head == format!("{owner}:{}", pull.branch) && !pull.orphan);
        fits && head && wanted("base").is_none_or(|base| base == pull.base)
    });
    if wanted("direction").unwrap_or("desc") == "desc" {
        pulls.reverse();
    }
    let shown = pulls.into_iter().map(|pull| Value::Object(world.shape.pull_in_list(&world.repository, pull))).collect();
    Reply::List(shown, None)
}

fn open(world: &mut World, asked: &Asked) -> Result<Reply, Reply> {
    asked.may_write("pull_requests")?;
    let needed = |name: &'static str| asked.text(name).ok_or_else(|| invalid("PullRequest", name, &format!("{name} is missing")));
    let (title, head, base) = (needed("title")?, needed("head")?, needed("base")?);
    let branch = head.split_once(':').map_or(head, |(_, branch)| branch);
    let repository = &mut world.repository;
    let sha = repository.bare.branch(branch).ok_or_else(|| invalid("PullRequest", "head", "head is invalid"))?;
    let there = repository.bare.branch(base).ok_or_else(|| invalid("PullRequest", "base", "base is invalid"))?;
    let open = |pull: &Pull| pull.closed.is_none() && pull.branch == branch && pull.base == base && !pull.orphan;
    if repository.pulls.values().any(open) {
        let owner = repository.name.split('/').next().expect("has an owner");
        return Err(invalid("PullRequest", "head", &format!("A pull request already exists for {owner}:{branch}.")));
    }
    if repository.bare.commits(&there, &sha).is_empty() {
        return Err(invalid("PullRequest", "head", &format!("No commits between {base} and {branch}")));
    }
    let number = repository.next();
    let pull = Pull {
        number,
        title: title.to_string(),
        body: asked.text("body").map(String::from),
        author: asked.actor.login.clone(),
        branch: branch.to_string(),
        base: base.to_string(),
        head: sha,
        base_sha: there,
        draft: asked.body["draft"] == true,
        closed: None,
        merged: None,
        labels: BTreeSet::new(),
        created: asked.now,
        updated: asked.now,
        auto: None,
        auto_by: String::new(),
        queued: false,
        orphan: false,
        reactions: BTreeSet::new(),
    };
    let reply = Reply::Json(201, world.shape.pull(repository, &pull, true));
    repository.pulls.insert(number, pull);
    Ok(reply)
}

fn read(world: &mut World, number: u64) -> Reply {
    let unsure = world.repository.unsure > 0;
    world.repository.unsure = world.repository.unsure.saturating_sub(1);
    match world.repository.pulls.get(&number) {
        Some(pull) => Reply::Json(200, world.shape.pull(&world.repository, pull, unsure)),
        None => not_found(),
    }
}

fn edit(world: &mut World, asked: &Asked, number: u64) -> Result<Reply, Reply> {
    asked.may_write("pull_requests")?;
    let pull = world.repository.pulls.get_mut(&number).ok_or_else(not_found)?;
    pull.updated = asked.now;
    if let Some(title) = asked.text("title") {
        pull.title = title.to_string();
    }
    if let Some(body) = asked.text("body") {
        pull.body = Some(body.to_string());
    }
    if asked.text("state") == Some("closed") && pull.closed.is_none() {
        (pull.closed, pull.auto) = (Some(asked.now), None);
    }
    let pull = world.repository.pulls[&number].clone();
    Ok(Reply::Json(200, world.shape.pull(&world.repository, &pull, false)))
}

fn merge(world: &mut World, asked: &Asked, number: u64) -> Result<Reply, Reply> {
    asked.may_write("contents")?;
    let repository = &mut world.repository;
    let pull = repository.pulls.get(&number).cloned().ok_or_else(not_found)?;
    let way = asked.text("merge_method").unwrap_or("merge");
    if pull.closed.is_some() {
        return Err(refusal(405, "Pull Request is not mergeable"));
    }
    let rules = repository.protection(&pull.base);
    if !repository.ways.contains(way) || rules.linear && way == "merge" {
        return Err(refusal(405, &format!("{way} merges are not allowed on this repository.")));
    }
    if asked.text("sha").is_some_and(|sha| sha != repository.head(&pull)) {
        return Err(refusal(409, "Head branch was modified. Review and try the merge again."));
    }
    match repository.mergeable_state(&pull) {
        "dirty" => return Err(refusal(405, "Pull Request has merge conflicts")),
        "draft" => return Err(refusal(405, "Pull Request is still a draft")),
        "behind" => return Err(refusal(405, "Head branch is out of date. Review and try the merge again.")),
        "blocked" => return Err(refusal(405, "Required status check is expected.")),
        _ if rules.queue => return Err(refusal(405, "Changes must be made through the merge queue")),
        _ => {}
    }
    let title = asked.text("commit_title").map_or_else(|| format!("Merge pull request #{number}"), String::from);
    let text = asked.text("commit_message").unwrap_or_default().to_string();
    let merged = repository.merge(number, way, &title, &text, &asked.actor.login, asked.now);
    let commit = merged.ok_or_else(|| refusal(405, "This branch can't be rebased"))?;
    Ok(Reply::Json(200, json!({"sha": commit, "merged": true, "message": "Pull Request successfully merged"})))
}

fn blob(world: &World, asked: &Asked) -> Option<Reply> {
    let content = asked.text("content")?;
    let bytes = match asked.text("encoding") {
        Some("base64") => BASE64_STANDARD.decode(content).ok()?,
        _ => content.as_bytes().to_vec(),
    };
    let sha = world.repository.bare.blob(&bytes);
    Some(Reply::Json(201, json!({"sha": sha, "url": format!("{}/git/blobs/{sha}", world.shape.api)})))
}

fn tree(world: &World, asked: &Asked) -> Option<Reply> {
    let bare = &world.repository.bare;
    let mut lines = String::new();
    for entry in asked.body["tree"].as_array()? {
        let (path, mode) = (entry["path"].as_str()?, entry["mode"].as_str()?);
        let sha = match (&entry["content"], &entry["sha"]) {
            (Value::String(content), _) => bare.blob(content.as_bytes()),
            (_, Value::String(sha)) => bare.ask(&["cat-file", "-e", sha]).map(|_| sha.clone())?,
            _ => "0".repeat(40),
        };
        let mode = if sha.starts_with("0000000") { "0" } else { mode };
        lines.push_str(&format!("{mode} {sha}\t{path}\n"));
    }
    let sha = bare.tree(asked.text("base_tree"), &lines);
    let entries: Vec<Value> = bare
        .text(&["ls-tree", &sha])
        .lines()
        .filter_map(|line| {
            let (meta, path) = line.split_once('\t')?;
            let words: Vec<&str> = meta.split(' ').collect();
            Some(json!({"path": path, "mode": words[0], "type": words[1], "sha": words[2], "url": format!("{}/x", world.shape.api)}))
        })
        .collect();
    Some(Reply::Json(201, json!({"sha": sha, "url": format!("{}/x", world.shape.api), "tree": entries, "truncated": false})))
}

fn commit(world: &World, asked: &Asked) -> Option<Reply> {
    let parents: Vec<&str> = asked.body["parents"].as_array()?.iter().filter_map(Value::as_str).collect();
    // What an App commits without naming an author, GitHub signs.
    let signs = asked.actor.slug.is_some() && asked.body["author"].is_null() && asked.body["committer"].is_null();
    let login = asked.actor.login.as_str();
    let made = Made {
        tree: asked.text("tree")?,
        parents: &parents,
        message: asked.text("message")?,
        author: (login, "x@users.noreply.github.com"),
        at: asked.now.as_second(),
    };
    let sha = world.repository.bare.commit(&made);
    Some(Reply::Json(201, world.shape.git_commit(&world.repository, &sha, signs)?))
}
