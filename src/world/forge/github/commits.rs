//! Branches and commits through GitHub itself, which signs what an App commits without naming an author.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::Method;
use serde_json::{Value, json};

use super::{GitHub, found, wire};
use crate::model::CommitId;
use crate::world::forge::{File, Files, ForgeError};

const UPDATE_REFS: &str = include_str!("../../../../templates/github/update_refs.graphql");
/// What GitHub calls a branch that is not there.
const NOWHERE: &str = "0000000000000000000000000000000000000000";
/// Text that goes with the tree; what is larger, or no text, is sent before.
const INLINE_MAX: usize = 64 << 10;

impl GitHub {
    pub(super) fn branch_at(&self, name: &str) -> Result<Option<CommitId>, ForgeError> {
        let path = format!("/git/ref/heads/{}", name.split('/').map(super::escaped).collect::<Vec<_>>().join("/"));
        let found = self.client.find::<wire::Ref>(&self.client.repository(&path))?;
        Ok(found.map(|there| CommitId(there.object.sha)))
    }

    pub(super) fn make_commit(&self, parent: &CommitId, files: &Files, message: &str) -> Result<CommitId, ForgeError> {
        let git = |rest: &str| self.client.repository(&format!("/git/{rest}"));
        let below: wire::GitCommit = self.client.get(&git(&format!("commits/{}", super::escaped(&parent.0))))?;
        let mut tree = Vec::with_capacity(files.len());
        for (path, file) in files {
            tree.push(match file {
                None => json!({"path": path, "mode": "100644", "type": "blob", "sha": null}),
                Some(file) => self.entry(path, file)?,
            });
        }
        // Objects are named by what they hold, and nobody sees them: none of these does harm when it is made for nothing.
        let body = json!({"base_tree": below.tree.sha, "tree": tree});
        let tree: wire::Object = self.client.change(Method::POST, &git("trees"), &body)?;
        let body = json!({"message": message, "tree": tree.sha, "parents": [parent.0]});
        let commit: wire::Object = self.client.change(Method::POST, &git("commits"), &body)?;
        Ok(CommitId(commit.sha))
    }

    fn entry(&self, path: &str, file: &File) -> Result<Value, ForgeError> {
        let mode = if file.executable { "100755" } else { "100644" };
        if let Some(text) = std::str::from_utf8(&file.content).ok().filter(|text| text.len() <= INLINE_MAX) {
            return Ok(json!({"path": path, "mode": mode, "type": "blob", "content": text}));
        }
        let body = json!({"content": BASE64_STANDARD.encode(&file.content), "encoding": "base64"});
        let blob: wire::Object = self.client.change(Method::POST, &self.client.repository("/git/blobs"), &body)?;
        Ok(json!({"path": path, "mode": mode, "type": "blob", "sha": blob.sha}))
    }

    pub(super) fn move_branch_of(&self, name: &str, from: Option<&CommitId>, to: Option<&CommitId>) -> Result<(), ForgeError> {
        let at = |commit: Option<&CommitId>| commit.map_or(NOWHERE.to_string(), |commit| commit.0.clone());
        let variables = json!({
            "repository": self.repository()?.node_id, "name": format!("refs/heads/{name}"), "before": at(from), "after": at(to),
        });
        let Err(failure) = self.client.graphql(UPDATE_REFS, &variables) else { return Ok(()) };
        match failure.error {
            // GitHub has no word of its own for a branch that is elsewhere.
            ForgeError::Refused(why) => match self.branch_at(name)? {
                there if there.as_ref() == from => Err(ForgeError::Refused(why)),
                there => Err(ForgeError::Moved(format!("`{name}` is at {}: {why}", at(there.as_ref())))),
            },
            _ => found(failure, || Ok((self.branch_at(name)?.as_ref() == to).then_some(()))),
        }
    }
}
