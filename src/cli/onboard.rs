//! `fractal init --pull-request`: what `init` would write as a pull request, so that nothing happens before somebody has merged it.

use anyhow::Context as _;

use super::Failure;
use crate::config::ForgeKind;
use crate::model::Patch;
use crate::world::clock::Clock;
use crate::world::forge::{self, Draft};
use crate::world::git::remote::{Hooks, Move};
use crate::world::git::{Identity, Repo};
use crate::world::read_config;

/// The branch that asks to be merged: none of those that the loop takes for its own.
const BRANCH: &str = "fractal-init";
const TITLE: &str = "Let Fractal look after the tools of this repository";

/// Commits these files on a branch of the remote and opens the pull request; its address.
pub(super) fn onboard(repo: &Repo, repository: &str, files: &[(&str, &String)]) -> Result<String, Failure> {
    let mut config = read_config(repo)?;
    config.forge.kind = ForgeKind::GitHub;
    config.forge.repository = repository.to_string();
    let forge = forge::open(&config.forge, Clock::System).map_err(|why| Failure::mistake(why.to_string(), TOKEN))?;
    let forge = forge.context("there is no forge")?;
    let remote = if config.deploy.remote.is_empty() { "origin" } else { &config.deploy.remote };
    let base = repo.base(&config.base)?;
    let (name, branch) = (format!("refs/heads/{base}"), format!("refs/heads/{BRANCH}"));
    let there = repo.remote_refs(remote, &[&name, &branch])?;
    if there.contains_key(&branch) {
        let hint = format!("look at the pull request that it has, or remove it: `git push {remote} :{BRANCH}`");
        return Err(Failure::mistake(format!("`{BRANCH}` is on `{remote}` already"), hint));
    }
    let tip = there.get(&name).with_context(|| format!("`{remote}` has no branch `{base}`"))?;
    if !repo.contains(&repo.tip(&base)?, tip)? {
        return Err(Failure::mistake(format!("`{base}` on `{remote}` has commits that are not here"), "`git pull` brings them"));
    }
    let patch =
        files.iter().fold(Patch::default(), |patch, (path, text)| patch.and(Patch::write(*path, text.as_bytes().to_vec())));
    let by = Identity { name: config.deploy.author_name.clone(), email: config.deploy.author_email.clone() };
    let message = format!("{TITLE}\n\nIt begins with dry runs, which say what they would do and change nothing.\n");
    let commit = repo.write_commit(tip, &patch, &message, &by, Clock::System.now())?;
    repo.push(remote, &[Move { name: branch, from: None, to: Some(commit) }], Hooks::Run)?;
    let text = text(files);
    let draft = Draft { branch: BRANCH.into(), base, title: TITLE.into(), text, draft: false };
    let opened = forge.open(&draft).map_err(|why| {
        Failure::mistake(format!("the branch `{BRANCH}` is pushed, and no pull request could be opened: {why}"), TOKEN)
    })?;
    Ok(opened.url)
}

const TOKEN: &str =
    "`FRACTAL_GITHUB_TOKEN` holds a token that may push, change workflows and open pull requests; `fractal doctor` checks it";

fn text(files: &[(&str, &String)]) -> String {
    let listed: Vec<String> = files.iter().map(|(path, _)| format!("- `{path}`")).collect();
    format!(
        "This adds:\n\n{}\n\nNothing happens before this is merged; closed, nothing ever does. Afterwards a workflow begins with dry runs: the \
         summary of each says what would be done, and nothing is changed until two marked lines of the workflow are.\n\nWorth a look: what \
         each tool does to the world (`effects`), because only then may its runs be repeated.\n",
        listed.join("\n")
    )
}
