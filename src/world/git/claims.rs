//! Claims as refs: `refs/fractal/claims/<tool>`, at the remote where there is one. A ref leads to a commit without files whose message
//! is the claim; the commit's id is the token. A prolonged claim is a child of the one before, so that servers which take no forced
//! pushes take it.

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;

use super::commit::signature;
use super::remote::{Hooks, Move, there};
use super::{Identity, Repo, id_of};
use crate::model::CommitId;
use crate::world::claims::{Claim, Claims, Intend, Taken, Terms};

/// Where claims are.
pub const CLAIMS: &str = "refs/fractal/claims/";
/// Bytes of a claim that is read.
const CLAIM_MAX: usize = 4096;

/// The ref of the claim on a tool.
pub fn claim_ref(work: &str) -> String {
    format!("{CLAIMS}{work}")
}

/// Claims as refs of a repository, or of its remote.
pub struct RefClaims<'a> {
    pub repo: &'a Repo,
    pub remote: Option<&'a str>,
    pub by: &'a Identity,
}

impl RefClaims<'_> {
    /// What a claim would be after `before`, and the move that makes it so: it can be pushed together with what it stands for.
    ///
    /// # Errors
    /// When the object cannot be written.
    pub fn next(&self, work: &str, before: Option<&str>, terms: &Terms) -> Result<(Claim, Move)> {
        let claim = self.write(work, before, terms)?;
        let id = |token: &str| CommitId(token.to_string());
        let to = id(&claim.token);
        Ok((claim, Move { name: claim_ref(work), from: before.map(id), to: Some(to) }))
    }

    fn write(&self, work: &str, before: Option<&str>, terms: &Terms) -> Result<Claim> {
        let git = &self.repo.inner;
        let (holder, since, until) = (terms.holder.clone(), terms.now, terms.until());
        let mut claim = Claim { work: work.to_string(), holder, since, until, token: String::new() };
        // The same loop in the same second makes another claim all the same.
        let salt = self.repo.host().map_or_else(|| uuid::Uuid::new_v4().simple().to_string(), |host| host.salt());
        let message = format!("{}\n\n{salt}\n", serde_json::to_string(&claim)?);
        let tree = git.find_tree(git.treebuilder(None)?.write()?)?;
        let by = signature(self.by, terms.now)?;
        let parent = before.map(|token| self.repo.commit(&CommitId(token.to_string()))).transpose()?;
        claim.token = git.commit(None, &by, &by, &message, &tree, &parent.iter().collect::<Vec<_>>())?.to_string();
        Ok(claim)
    }

    /// The claim that a commit is; one that cannot be read is nobody's.
    fn read(&self, work: &str, commit: &CommitId) -> Claim {
        let nobody = || Claim {
            work: work.to_string(),
            holder: "nobody".into(),
            since: Timestamp::UNIX_EPOCH,
            until: Timestamp::UNIX_EPOCH,
            token: String::new(),
        };
        let read = || {
            let message = self.repo.message(commit).ok().filter(|message| message.len() <= CLAIM_MAX)?;
            let claim: Claim = serde_json::from_str(message.lines().next()?).ok()?;
            let holder = crate::model::plain_line(&claim.holder, 80);
            Some(Claim { work: work.to_string(), holder, ..claim })
        };
        Claim { token: commit.to_string(), ..read().unwrap_or_else(nobody) }
    }

    /// The claim that there is now.
    fn current(&self, work: &str) -> Result<Option<Claim>> {
        let name = claim_ref(work);
        let Some(remote) = self.remote else {
            return Ok(self.repo.resolve(&name)?.map(|commit| self.read(work, &commit)));
        };
        let Some(commit) = self.repo.remote_refs(remote, &[&name])?.remove(&name) else {
            self.repo.saw(&name, None)?;
            return Ok(None);
        };
        if self.repo.seen_at(&name).as_ref() != Some(&commit) {
            self.repo.fetch(remote, &[&name]).with_context(|| format!("fetching `{name}`"))?;
        }
        Ok(self.repo.seen_at(&name).map(|commit| self.read(work, &commit)))
    }

    fn make(&self, one: Move) -> Result<()> {
        match (self.remote, &one.to) {
            (Some(remote), _) => self.repo.push(remote, &[one], Hooks::Skip),
            (None, Some(to)) => Ok(self.repo.move_ref(&one.name, one.from.as_ref(), to, "fractal: claim")?),
            (None, None) => {
                let mut reference = self.repo.inner.find_reference(&one.name)?;
                let at = reference.target().map(id_of);
                ensure!(at == one.from, "`{}` is no longer ours", one.name);
                Ok(reference.delete()?)
            }
        }
    }
}

impl Claims for RefClaims<'_> {
    fn take(&self, work: &str, terms: &Terms, intend: Intend<'_>) -> Result<Taken> {
        let before = match self.current(work)? {
            Some(theirs) if !theirs.is_over(terms) => return Ok(Taken::Theirs(theirs)),
            before => before.map(|claim| claim.token),
        };
        let (claim, one) = self.next(work, before.as_deref(), terms)?;
        intend(&claim.token)?;
        let Err(error) = self.make(one) else { return Ok(Taken::Ours(claim)) };
        match self.current(work)? {
            Some(now) if now.token == claim.token => Ok(Taken::Ours(claim)),
            Some(now) if Some(&now.token) != before.as_ref() => Ok(Taken::Theirs(now)),
            _ => Err(error),
        }
    }

    fn renew(&self, claim: &Claim, terms: &Terms, intend: Intend<'_>) -> Result<Option<Claim>> {
        let (next, one) = self.next(&claim.work, Some(&claim.token), terms)?;
        intend(&next.token)?;
        let Err(error) = self.make(one) else { return Ok(Some(next)) };
        match self.current(&claim.work)? {
            Some(now) if now.token == next.token => Ok(Some(next)),
            Some(now) if now.token == claim.token => Err(error),
            _ => Ok(None),
        }
    }

    fn release(&self, work: &str, token: &str) -> Result<()> {
        let one = Move { name: claim_ref(work), from: Some(CommitId(token.to_string())), to: None };
        let Err(error) = self.make(one) else { return Ok(()) };
        match self.current(work)? {
            Some(now) if now.token == token => Err(error),
            _ => Ok(()),
        }
    }

    fn all(&self) -> Result<Vec<Claim>> {
        let found = match self.remote {
            Some(remote) => self.repo.remote_refs(remote, &[&format!("{CLAIMS}*")])?,
            None => self.repo.refs_below(CLAIMS)?,
        };
        let mut claims = Vec::new();
        for (name, commit) in found {
            if self.remote.is_some_and(|_| self.repo.seen_at(&name).as_ref() != Some(&commit)) {
                self.repo.fetch(self.remote.unwrap_or_default(), &[&name])?;
            }
            claims.push(self.read(name.trim_start_matches(CLAIMS), &commit));
        }
        Ok(claims)
    }
}

impl Repo {
    /// The live claims of others at the remote as we last saw them.
    ///
    /// # Errors
    /// When refs cannot be listed.
    pub fn claims_seen(&self, by: &Identity) -> Result<Vec<Claim>> {
        let claims = RefClaims { repo: self, remote: None, by };
        let seen = self.refs_below(&there(CLAIMS))?;
        Ok(seen.iter().map(|(name, commit)| claims.read(name.trim_start_matches(&there(CLAIMS)), commit)).collect())
    }
}
