//! Pull requests.

use hyper::Method;
use serde_json::{Map, Value, json};

use super::{GitHub, escaped, found, wire};
use crate::model::CommitId;
use crate::world::forge::{Change, Draft, Forge as _, ForgeError, Later, Message, Proposal, State, Way};

const ENABLE_AUTO_MERGE: &str = include_str!("../../../../templates/github/enable_auto_merge.graphql");
const DISABLE_AUTO_MERGE: &str = include_str!("../../../../templates/github/disable_auto_merge.graphql");
const ENQUEUE: &str = include_str!("../../../../templates/github/enqueue.graphql");
const IN_QUEUE: &str = include_str!("../../../../templates/github/in_queue.graphql");
const DEQUEUE: &str = include_str!("../../../../templates/github/dequeue.graphql");

impl GitHub {
    fn pulls(&self, rest: &str) -> String {
        self.client.repository(&format!("/pulls{rest}"))
    }

    pub(super) fn pull(&self, number: u64) -> Result<wire::Pull, ForgeError> {
        Ok(self.client.get(&self.pulls(&format!("/{number}")))?)
    }

    fn list(&self, query: &str) -> Result<Vec<Proposal>, ForgeError> {
        let query = format!("sort=created&direction=desc&{query}");
        let pulls = self.client.list(&self.pulls(""), &query, |page: Vec<wire::Pull>| page)?;
        let proposals = pulls.into_iter().map(|pull| pull.into_proposal(&self.repository));
        Ok(proposals.filter(|proposal| proposal.from_here).collect())
    }

    pub(super) fn all_proposals(&self, base: &str) -> Result<Vec<Proposal>, ForgeError> {
        self.list(&format!("state=open&base={}", escaped(base)))
    }

    pub(super) fn newest_from(&self, branch: &str) -> Result<Option<Proposal>, ForgeError> {
        let owner = self.repository.split('/').next().unwrap_or_default();
        let all = self.list(&format!("state=all&head={}", escaped(&format!("{owner}:{branch}"))))?;
        Ok(all.into_iter().filter(|proposal| proposal.branch == branch).max_by_key(|proposal| proposal.number))
    }

    /// The one that is open from a branch.
    fn open_from(&self, branch: &str) -> Result<Option<Proposal>, ForgeError> {
        Ok(self.newest_from(branch)?.filter(|proposal| proposal.state == State::Open))
    }

    pub(super) fn open_pull(&self, draft: &Draft) -> Result<Proposal, ForgeError> {
        if let Some(open) = self.open_from(&draft.branch)? {
            return Ok(open);
        }
        let body = json!({
            "title": draft.title, "body": draft.text, "head": draft.branch, "base": draft.base, "draft": draft.draft,
            // What a proposal changes is what was tested: nobody else's commits.
            "maintainer_can_modify": false,
        });
        match self.client.change::<wire::Pull>(Method::POST, &self.pulls(""), &body) {
            Ok(pull) => Ok(pull.into_proposal(&self.repository)),
            // Somebody else was faster.
            Err(failure) if failure.says(422, "already exists") => self.open_from(&draft.branch)?.ok_or(failure.error),
            Err(failure) => found(failure, || self.open_from(&draft.branch)),
        }
    }

    pub(super) fn update_pull(&self, number: u64, change: &Change) -> Result<Proposal, ForgeError> {
        let mut body = Map::new();
        body.extend(change.title.iter().map(|title| ("title".to_string(), json!(title))));
        body.extend(change.text.iter().map(|text| ("body".to_string(), json!(text))));
        let is_so = |proposal: &Proposal| {
            let title = change.title.as_ref().is_none_or(|title| *title == proposal.title);
            title && change.text.as_ref().is_none_or(|text| *text == proposal.text)
        };
        match self.client.change::<wire::Pull>(Method::PATCH, &self.pulls(&format!("/{number}")), &Value::Object(body)) {
            Ok(pull) => Ok(pull.into_proposal(&self.repository)),
            Err(failure) => found(failure, || {
                let now = self.pull(number)?.into_proposal(&self.repository);
                Ok(is_so(&now).then_some(now))
            }),
        }
    }

    pub(super) fn close_pull(&self, number: u64) -> Result<(), ForgeError> {
        let path = self.pulls(&format!("/{number}"));
        match self.client.change::<wire::Pull>(Method::PATCH, &path, &json!({"state": "closed"})) {
            Ok(_) => Ok(()),
            Err(failure) => found(failure, || {
                let now = self.pull(number)?.into_proposal(&self.repository);
                Ok((now.state != State::Open).then_some(()))
            }),
        }
    }

    pub(super) fn merge_pull(&self, number: u64, head: &CommitId, way: Way, message: &Message) -> Result<CommitId, ForgeError> {
        let body = match way {
            Way::Rebase => json!({"sha": head.0, "merge_method": wire::way_word(way)}),
            _ => json!({
                "sha": head.0, "merge_method": wire::way_word(way),
                "commit_title": message.title, "commit_message": message.text,
            }),
        };
        let path = self.pulls(&format!("/{number}/merge"));
        let failure = match self.client.change::<wire::Merged>(Method::PUT, &path, &body) {
            Ok(merged) => return Ok(CommitId(merged.sha)),
            Err(failure) => failure,
        };
        // What has landed with this head has landed, whoever asked for it.
        let landed = || {
            let now = self.pull(number)?.into_proposal(&self.repository);
            Ok(match now.state {
                State::Landed { commit, .. } if now.head == *head => commit,
                _ => None,
            })
        };
        match failure.status {
            // The words of a base that moved while it was being merged, and of a head that is another one.
            405 if failure.says(405, "base branch was modified") => Err(ForgeError::Moved(failure.error.to_string())),
            405 | 409 => match landed() {
                Ok(Some(commit)) => Ok(commit),
                Ok(None) | Err(_) => Err(failure.error),
            },
            _ => found(failure, landed),
        }
    }

    pub(super) fn ask_to_merge(&self, number: u64, head: &CommitId, way: Way, message: &Message) -> Result<Later, ForgeError> {
        let pull = self.pull(number)?;
        if pull.head.sha != head.0 {
            return Err(ForgeError::Moved(format!("the head of #{number} is `{}`", pull.head.sha)));
        }
        let node = pull.node_id.clone();
        let base = pull.into_proposal(&self.repository).base;
        if self.rules(&base)?.queue {
            let variables = json!({"id": node, "head": head.0});
            let Err(failure) = self.client.graphql(ENQUEUE, &variables) else { return Ok(Later::Queued) };
            // What is in it is refused, and may be in it because of us.
            return match failure.error {
                ForgeError::Refused(_) if self.is_queued(&node)? => Ok(Later::Queued),
                _ => found(failure, || Ok(self.is_queued(&node)?.then_some(Later::Queued))),
            };
        }
        let variables = json!({
            "id": node, "head": head.0, "method": wire::way_word(way).to_uppercase(),
            "title": (way != Way::Rebase).then_some(&message.title), "text": (way != Way::Rebase).then_some(&message.text),
        });
        match self.client.graphql(ENABLE_AUTO_MERGE, &variables) {
            Ok(_) => Ok(Later::Automatic),
            Err(failure) => found(failure, || {
                let now = self.pull(number)?.into_proposal(&self.repository);
                let asked = now.automatic.is_some() || matches!(now.state, State::Landed { .. });
                Ok((asked && now.head == *head).then_some(Later::Automatic))
            }),
        }
    }

    fn is_queued(&self, node: &str) -> Result<bool, ForgeError> {
        Ok(self.client.graphql(IN_QUEUE, &json!({"id": node}))?["node"]["isInMergeQueue"] == true)
    }

    pub(super) fn ask_not_to_merge(&self, number: u64) -> Result<(), ForgeError> {
        let pull = self.pull(number)?;
        let variables = json!({"id": pull.node_id});
        let before = pull.into_proposal(&self.repository);
        if before.automatic.is_some() {
            return match self.client.graphql(DISABLE_AUTO_MERGE, &variables) {
                Ok(_) => Ok(()),
                Err(failure) => {
                    found(failure, || Ok(self.pull(number)?.into_proposal(&self.repository).automatic.is_none().then_some(())))
                }
            };
        }
        if before.state == State::Open && self.rules(&before.base)?.queue {
            self.client.graphql(DEQUEUE, &variables)?;
        }
        Ok(())
    }
}
