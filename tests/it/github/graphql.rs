//! The model's GraphQL: the mutations that a client may send, by name. Whether documents are valid is GitHub's schema's to say
//! (`contract.rs`).

use serde_json::{Value, json};

use super::World;
use super::server::{Asked, Reply};
use super::state::Pull;

/// What GitHub says when there are no points left: with the status of success.
pub fn used_up() -> Reply {
    refused("RATE_LIMITED", "API rate limit exceeded for user ID 1.")
}

/// What it says when it was too much at once, which has no type.
pub fn too_much() -> Reply {
    let message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
    Reply::Json(200, json!({"data": null, "errors": [{"message": message}]}))
}

fn refused(kind: &str, message: &str) -> Reply {
    Reply::Json(200, json!({"data": null, "errors": [{"type": kind, "path": ["x"], "message": message}]}))
}

pub fn answer(world: &mut World, asked: &Asked) -> Reply {
    let document = asked.text("query").unwrap_or_default();
    let id = asked.body["variables"]["id"].as_str().unwrap_or_default();
    let number = id.rsplit('_').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
    if document.contains("isInMergeQueue") {
        let queued = world.repository.pulls.get(&number).is_some_and(|pull| pull.queued);
        return Reply::Json(200, json!({"data": {"node": {"__typename": "PullRequest", "isInMergeQueue": queued}}}));
    }
    let known =
        ["enablePullRequestAutoMerge", "disablePullRequestAutoMerge", "enqueuePullRequest", "dequeuePullRequest", "updateRefs"];
    let Some(name) = known.iter().find(|name| document.contains(&format!(" {name}("))) else {
        return refused("undefinedField", "Field doesn't exist on type 'Mutation'");
    };
    let variables = &asked.body["variables"];
    let text = |field: &str| variables[field].as_str().unwrap_or_default().to_string();
    if *name == "updateRefs" {
        return update_refs(world, asked, &text("name"), &text("before"), &text("after"));
    }
    if asked.may_write("pull_requests").is_err() {
        return refused("FORBIDDEN", "Resource not accessible by integration");
    }
    let Some(pull) = world.repository.pulls.get(&number).cloned() else {
        return refused("NOT_FOUND", &format!("Could not resolve to a node with the global id of '{id}'"));
    };
    let head = text("head");
    if !head.is_empty() && head != world.repository.head(&pull) {
        return refused("UNPROCESSABLE", "Expected head oid does not match the pull request's head oid");
    }
    let done = match *name {
        "enablePullRequestAutoMerge" => enable(world, &pull, variables, &asked.actor.login),
        "enqueuePullRequest" if !world.repository.protection(&pull.base).queue => {
            Err("Merge queue is not enabled for this branch".to_string())
        }
        "enqueuePullRequest" if pull.queued => Err("Pull request is already in the queue".to_string()),
        _ => {
            let pull = world.repository.pulls.get_mut(&number).expect("is there");
            pull.queued = *name == "enqueuePullRequest";
            pull.auto = None;
            Ok(())
        }
    };
    match done {
        Ok(()) if name.contains("queue") => Reply::Json(200, json!({"data": {*name: {"mergeQueueEntry": {"position": 1}}}})),
        Ok(()) => Reply::Json(200, json!({"data": {*name: {"pullRequest": {"number": number}}}})),
        Err(message) => refused("UNPROCESSABLE", &message),
    }
}

fn enable(world: &mut World, pull: &Pull, variables: &Value, by: &str) -> Result<(), String> {
    if !world.repository.auto_merge {
        return Err("Pull request Auto merge is not allowed for this repository".into());
    }
    match world.repository.mergeable_state(pull) {
        "clean" => return Err("Pull request Pull request is in clean status".into()),
        "unstable" => return Err("Pull request Pull request is in unstable status".into()),
        _ => {}
    }
    let text = |field: &str| variables[field].as_str().unwrap_or_default().to_string();
    let asked = (text("method").to_lowercase(), text("title"), text("text"));
    let pull = world.repository.pulls.get_mut(&pull.number).expect("is there");
    (pull.auto, pull.auto_by) = (Some(asked), by.to_string());
    Ok(())
}

fn update_refs(world: &mut World, asked: &Asked, name: &str, before: &str, after: &str) -> Reply {
    if asked.may_write("contents").is_err() {
        return refused("FORBIDDEN", "Resource not accessible by integration");
    }
    let place = |sha: &str| (!sha.bytes().all(|byte| byte == b'0')).then(|| sha.to_string());
    let branch = name.strip_prefix("refs/heads/").unwrap_or_default();
    if !world.repository.bare.move_branch(branch, place(before).as_deref(), place(after).as_deref()) {
        return refused("UNPROCESSABLE", &format!("Reference update failed: {name} is not at {before}"));
    }
    Reply::Json(200, json!({"data": {"updateRefs": {"clientMutationId": null}}}))
}
