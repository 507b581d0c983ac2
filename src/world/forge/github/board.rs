//! The board: an issue of ours that begins with a hidden mark.

use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{GitHub, escaped, found, wire};
use crate::world::forge::{Board, ForgeError};

/// Issues of ours that are looked through, pull requests among them; the board is one of the first.
const LISTED: usize = 1000;
/// Signs of a text; GitHub takes 65,536.
const TEXT_MAX: usize = 60_000;

/// An issue; also a pull request, which then says so.
#[derive(Deserialize)]
struct Issue {
    number: u64,
    state: String,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    user: Option<wire::User>,
    #[serde(default)]
    pull_request: Option<Value>,
}

impl Issue {
    /// The board of that mark, if it is one by `me`.
    fn into_board(self, mark: &str, me: &str) -> Option<Board> {
        let ours = self.user.is_some_and(|user| user.login == me) && self.pull_request.is_none();
        let body = self.body.unwrap_or_default().replace("\r\n", "\n");
        let text = body.strip_prefix(mark).filter(|_| ours)?.to_string();
        Some(Board { number: self.number, text, open: self.state == "open" })
    }
}

impl GitHub {
    pub(super) fn board_of(&self, key: &str) -> Result<Option<Board>, ForgeError> {
        let (mark, me) = (mark(key), self.me()?.name);
        let query = format!("creator={}&state=all&sort=created&direction=asc", escaped(&me));
        let path = self.client.repository("/issues");
        let listed = self.client.list_until(&path, &query, |page: Vec<Issue>| page, |_, so_far| so_far >= LISTED)?;
        Ok(listed.into_iter().find_map(|issue| issue.into_board(&mark, &me)))
    }

    pub(super) fn post_on(&self, key: &str, title: &str, text: &str) -> Result<Option<Board>, ForgeError> {
        let text: String = text.chars().take(TEXT_MAX).collect();
        let (mark, me) = (mark(key), self.me()?.name);
        let body = format!("{mark}{text}");
        let (method, path, sent) = match self.board_of(key)? {
            Some(there) if !there.open => return Ok(None),
            Some(there) if there.text == text => return Ok(Some(there)),
            Some(there) => (Method::PATCH, format!("/issues/{}", there.number), json!({"body": body})),
            None => (Method::POST, "/issues".to_string(), json!({"title": title, "body": body})),
        };
        match self.client.change::<Issue>(method, &self.client.repository(&path), &sent) {
            Ok(issue) => Ok(issue.into_board(&mark, &me)),
            Err(failure) => found(failure, || Ok(self.board_of(key)?.filter(|there| there.text == text))).map(Some),
        }
    }
}

/// The line that a board begins with.
fn mark(key: &str) -> String {
    format!("<!-- fractal:{key} -->\n")
}
