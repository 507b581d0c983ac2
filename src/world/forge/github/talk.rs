//! Comments, signs, reviews, labels, and who may do what.

use std::collections::BTreeSet;

use hyper::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{GitHub, escaped, found, segment, wire};
use crate::model::Sign;
use crate::world::forge::{Comment, ForgeError, Level, Reaction, Review, Signs};

/// Before the key of a comment of ours; nobody sees it.
const MARK: &str = "<!-- fractal:";
const MARK_END: &str = " -->";
/// Signs of a comment; GitHub takes 65,536.
const COMMENT_MAX: usize = 60_000;
/// Signs in one place that are told apart by who put them there: the first ones.
const SIGNS_MAX: usize = 200;

impl GitHub {
    fn issues(&self, rest: &str) -> String {
        self.client.repository(&format!("/issues{rest}"))
    }

    pub(super) fn all_comments(&self, on: Option<u64>, since: Option<Timestamp>) -> Result<Vec<Comment>, ForgeError> {
        let (path, order) = match on {
            Some(number) => (self.issues(&format!("/{number}/comments")), ""),
            None => (self.issues("/comments"), "sort=updated&direction=asc"),
        };
        // Whole seconds, as GitHub counts.
        let since = since.map(|at| format!("since={}", escaped(&at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())));
        let query: Vec<&str> =
            [order, since.as_deref().unwrap_or_default()].into_iter().filter(|part| !part.is_empty()).collect();
        let me = self.me()?.name;
        let found = self.client.list(&path, &query.join("&"), |page: Vec<wire::IssueComment>| page)?;
        let mut comments: Vec<Comment> = found.into_iter().map(|comment| comment.into_comment(&me, key_of)).collect();
        comments.sort_by_key(|comment| (comment.updated, comment.id));
        Ok(comments)
    }

    pub(super) fn say_under(&self, number: u64, key: &str, text: &str) -> Result<Comment, ForgeError> {
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:_-".contains(&byte)) {
            return Err(ForgeError::Setup(format!("`{key}` is no key of a comment")));
        }
        let me = self.me()?.name;
        let text: String = text.chars().take(COMMENT_MAX).collect();
        let whole = format!("{MARK}{key}{MARK_END}\n{text}");
        let said = || -> Result<Option<Comment>, ForgeError> {
            let all = self.all_comments(Some(number), None)?;
            Ok(all.into_iter().find(|comment| comment.key.as_deref() == Some(key)))
        };
        let before = said()?;
        let (method, path) = match &before {
            Some(comment) if comment.text == whole => return Ok(comment.clone()),
            Some(comment) => (Method::PATCH, self.issues(&format!("/comments/{}", comment.id))),
            None => (Method::POST, self.issues(&format!("/{number}/comments"))),
        };
        match self.client.change::<wire::IssueComment>(method, &path, &json!({"body": whole})) {
            Ok(comment) => Ok(comment.into_comment(&me, key_of)),
            Err(failure) => found(failure, || Ok(said()?.filter(|comment| comment.text == whole))),
        }
    }

    pub(super) fn react_to(&self, comment: u64, reaction: Reaction) -> Result<(), ForgeError> {
        let content = match reaction {
            Reaction::Seen => "eyes",
            Reaction::Done => "+1",
            Reaction::Confused => "confused",
        };
        let path = self.issues(&format!("/comments/{comment}/reactions"));
        // GitHub keeps one of each kind and person, so it may be asked for again.
        Ok(self.client.change_only(Method::POST, &path, &json!({"content": content}))?)
    }

    pub(super) fn signs_on(&self, on: u64) -> Result<Vec<Signs>, ForgeError> {
        let issue: wire::SignedIssue = self.client.get(&self.issues(&format!("/{on}")))?;
        // Where nobody has said anything there is nothing of ours to have signs.
        let comments = if issue.comments == 0 { Vec::new() } else { self.all_comments(Some(on), None)? };
        let of_comment = |comment: Comment| Signs { comment: Some(comment.id), counts: comment.signs };
        let ours = comments.into_iter().filter(|comment| comment.key.is_some()).map(of_comment);
        Ok([Signs { comment: None, counts: issue.reactions.counts() }].into_iter().chain(ours).collect())
    }

    pub(super) fn signed_under(&self, on: u64, comment: Option<u64>) -> Result<BTreeSet<(String, Sign)>, ForgeError> {
        let path = match comment {
            Some(comment) => self.issues(&format!("/comments/{comment}/reactions")),
            None => self.issues(&format!("/{on}/reactions")),
        };
        let all = self.client.list_until(&path, "", |page: Vec<wire::Signed>| page, |_, so_far| so_far >= SIGNS_MAX)?;
        let me = self.me()?.name;
        Ok(all.into_iter().filter_map(wire::Signed::into_sign).filter(|(by, _)| *by != me).collect())
    }

    pub(super) fn all_reviews(&self, number: u64) -> Result<Vec<Review>, ForgeError> {
        let path = self.client.repository(&format!("/pulls/{number}/reviews"));
        let reviews = self.client.list(&path, "", |page: Vec<wire::PullReview>| page)?;
        Ok(reviews.into_iter().filter_map(wire::PullReview::into_review).collect())
    }

    pub(super) fn level_of(&self, person: &str) -> Result<Level, ForgeError> {
        let path = self.client.repository(&format!("/collaborators/{}/permission", segment(person)));
        let found = self.client.find::<wire::Collaborator>(&path)?;
        Ok(found.map_or(Level::None, |collaborator| collaborator.level()))
    }

    pub(super) fn put_labels(&self, number: u64, labels: &BTreeSet<String>) -> Result<(), ForgeError> {
        // Labels are a set: putting one twice is putting it once.
        Ok(self.client.change_only(Method::POST, &self.issues(&format!("/{number}/labels")), &json!({"labels": labels}))?)
    }

    pub(super) fn take_label(&self, number: u64, label: &str) -> Result<(), ForgeError> {
        let path = self.issues(&format!("/{number}/labels/{}", segment(label)));
        match self.client.change_only(Method::DELETE, &path, &Value::Null) {
            Err(failure) if matches!(failure.error, ForgeError::Gone(_)) => Ok(()),
            done => Ok(done?),
        }
    }
}

/// The key in the first line of a comment.
fn key_of(text: &str) -> Option<String> {
    let key = text.lines().next()?.strip_prefix(MARK)?.strip_suffix(MARK_END)?;
    Some(key.to_string())
}
