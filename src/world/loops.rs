//! What several loops share: claims on tools, and the log, the branches, the base and the notes at the remote.
//!
//! At the beginning of a cycle, and whenever a claim was made, what the remote has is brought here ([`Effects::meet`]). Every outward act
//! is one atomic push of what it moves, of the log with the intent, and of the claim, which it prolongs: a loop whose claim is gone moves
//! nothing, and no act is ever there without its intent. Where claims are rows of a database or refs of this repository, the claim is
//! prolonged immediately before instead.

use std::collections::BTreeMap;

use anyhow::Result;
use jiff::Timestamp;

use super::View;
use super::claims::{Claim, Claims, Elsewhere, Taken, Terms};
use super::effects::{ActionError, Effects, heads};
use super::git::claims::{CLAIMS, RefClaims, claim_ref};
use super::git::remote::{Hooks, Move};
use super::git::{Identity, LOG_REF, NOTES_REF};
use super::hold::{Heart, Held, terms};
use super::pause::{PAUSE_REF, Pause, paused};
use crate::model::{CommitId, ImprovementId};

/// Lost races on one ref before we give up for this cycle.
const RETRIES: usize = 32;
/// Branches of ours.
const BRANCHES: &str = "refs/heads/fractal/";

impl View {
    /// Which loops work on which tools, as far as that is known without asking the remote. Claims that are over are left out.
    ///
    /// # Errors
    /// When the store or the refs cannot be read.
    pub fn claims(&self) -> Result<Vec<Claim>> {
        let (deploy, terms) = (&self.config.deploy, terms(&self.repo, &self.config.engine, self.clock.now()));
        let by = Identity { name: deploy.author_name.clone(), email: deploy.author_email.clone() };
        let mut claims = match self.store.claims() {
            Some(rows) => rows.all()?,
            None => [RefClaims { repo: &self.repo, remote: None, by: &by }.all()?, self.repo.claims_seen(&by)?].concat(),
        };
        claims.retain(|claim| !claim.is_over(&terms));
        claims.sort_by(|one, other| one.work.cmp(&other.work).then(other.until.cmp(&one.until)));
        claims.dedup_by(|later, first| later.work == first.work);
        Ok(claims)
    }
}

impl Effects {
    /// The switch that keeps us from acting, if one is set.
    pub fn paused(&self) -> Option<Pause> {
        paused(&self.repo)
    }

    /// Sets the switch here, and at the remote if that can be reached.
    ///
    /// # Errors
    /// When it cannot be set here.
    pub fn pause(&self, reason: &str) -> Result<()> {
        let to = self.repo.set_text(PAUSE_REF, reason)?;
        self.switch_there(Some(to))
    }

    /// Lifts the switch here, and at the remote if that can be reached.
    ///
    /// # Errors
    /// When it cannot be lifted here.
    pub fn resume(&self) -> Result<()> {
        self.repo.remove_own_ref(PAUSE_REF)?;
        self.switch_there(None)
    }

    fn switch_there(&self, to: Option<CommitId>) -> Result<()> {
        let Some(remote) = &self.remote else { return Ok(()) };
        let there = || -> Result<()> {
            let from = self.repo.remote_refs(remote, &[PAUSE_REF])?.remove(PAUSE_REF);
            let one = Move { name: PAUSE_REF.to_string(), from, to };
            if one.from == one.to { Ok(()) } else { self.repo.push(remote, &[one], Hooks::Skip) }
        };
        if let Err(why) = there() {
            tracing::warn!("the switch was not set at `{remote}`: {why:#}");
        }
        Ok(())
    }

    /// Whether nothing is pushed now, because a switch is set here or at the remote, or because the remote did not answer.
    pub fn holds_back(&self) -> bool {
        let Some(remote) = &self.remote else { return false };
        let there = || self.repo.remote_refs(remote, &[PAUSE_REF]).is_ok_and(|there| there.contains_key(PAUSE_REF));
        self.away.get() || self.paused().is_some() || there()
    }

    fn terms(&self, now: Timestamp) -> Terms {
        terms(&self.repo, &self.config.engine, now)
    }

    fn in_refs(&self) -> RefClaims<'_> {
        RefClaims { repo: &self.repo, remote: self.remote.as_deref(), by: &self.identity }
    }

    fn with_claims<T>(&self, ask: impl FnOnce(&dyn Claims) -> T) -> T {
        match self.store.claims() {
            Some(rows) => ask(rows),
            None => ask(&self.in_refs()),
        }
    }

    // ---- claims ----

    /// Claims a tool, gives back the one before, and brings here what others did with it. What is held already is only prolonged when
    /// that is due.
    ///
    /// # Errors
    /// [`Elsewhere`] when another loop works on it; what git said when something cannot be written.
    pub fn hold(&self, work: &str, now: Timestamp) -> Result<()> {
        // The log names tools, and the log may come from elsewhere: a name becomes a ref.
        crate::model::check_tool_name(work)?;
        let turn = self.holding.turn();
        match self.holding.get() {
            Some(held) if held.work == work => Ok(()),
            other => {
                if let Some(held) = other {
                    self.give_up(held, now)?;
                }
                drop(turn);
                self.claim(work, now)
            }
        }
    }

    fn claim(&self, work: &str, now: Timestamp) -> Result<()> {
        let terms = self.terms(now);
        if self.store.claims().is_none() && self.remote.is_some() {
            // Others' claims as last seen: asking costs more.
            let seen = self.repo.claims_seen(&self.identity)?;
            if let Some(theirs) = seen.into_iter().find(|claim| claim.work == work && !claim.is_over(&terms)) {
                return Err(Elsewhere::Held(theirs).into());
            }
        }
        let is_away = self.holds_back();
        let intend = |token: &str| self.holding.intend(work, token);
        let taken = match is_away {
            true => Err(anyhow::anyhow!("paused, or the remote is away")),
            false => self.with_claims(|claims| claims.take(work, &terms, &intend)),
        };
        match taken {
            Ok(Taken::Theirs(theirs)) => Err(Elsewhere::Held(theirs).into()),
            Ok(Taken::Ours(claim)) => {
                self.holding.set(work, Some(claim));
                // Simulated time does not pass by itself.
                if (self.remote.is_some() || self.store.claims().is_some()) && self.repo.host().is_none() {
                    let (root, config, identity) = (self.repo.root().to_path_buf(), self.config.clone(), self.identity.clone());
                    self.holding.keep_alive(Heart { root, config, identity, clock: self.clock.clone() });
                }
                if self.remote.is_some() { self.meet(now) } else { Ok(()) }
            }
            Err(why) => {
                if !is_away {
                    tracing::warn!("`{work}` could not be claimed: {why:#}");
                }
                self.holding.set(work, None);
                Ok(())
            }
        }
    }

    /// Lets others see what was recorded, and gives the claim back.
    ///
    /// # Errors
    /// When something cannot be written here.
    pub fn leave(&self, now: Timestamp) -> Result<()> {
        let _turn = self.holding.turn();
        self.holding.get().map_or(Ok(()), |held| self.give_up(held, now))
    }

    fn give_up(&self, held: Held, now: Timestamp) -> Result<()> {
        if self.holds_back() {
            // Nothing outward; the claim ends by itself, or with the next cycle that may act.
            return self.holding.clear(true);
        }
        if let Err(why) = self.publish_log(now) {
            tracing::warn!("the log was not pushed: {why:#}");
        }
        if self.holds_back() {
            return self.holding.clear(true);
        }
        if let Some(claim) = held.claim
            && let Err(why) = self.with_claims(|claims| claims.release(&claim.work, &claim.token))
        {
            tracing::warn!("the claim on `{}` was not given back: {why:#}", claim.work);
            return self.holding.clear(true);
        }
        self.holding.clear(false)
    }

    /// Gives back what a killed run had claimed. For the holder of the loop's lock.
    fn give_back(&self) -> Result<()> {
        let Some(left) = self.holding.left() else { return Ok(()) };
        for token in &left.tokens {
            if let Err(why) = self.with_claims(|claims| claims.release(&left.work, token)) {
                tracing::warn!("a killed run's claim on `{}` was not given back: {why:#}", left.work);
                return Ok(());
            }
        }
        self.holding.clear(false)
    }

    /// The claim has to be ours when we act: prolongs it now, or says how the act's own push does.
    fn fence(&self, now: Timestamp) -> Result<Option<(Claim, Move)>, ActionError> {
        let Some(held) = self.holding.get() else { return Ok(None) };
        let terms = self.terms(now);
        let intend = |token: &str| self.holding.intend(&held.work, token);
        if self.store.claims().is_none() && self.remote.is_some() {
            let token = held.claim.as_ref().map(|claim| claim.token.as_str());
            let (claim, one) = self.in_refs().next(&held.work, token, &terms)?;
            intend(&claim.token)?;
            return Ok(Some((claim, one)));
        }
        let next = self.with_claims(|claims| match &held.claim {
            Some(claim) => claims.renew(claim, &terms, &intend),
            None => claims.take(&held.work, &terms, &intend).map(|taken| match taken {
                Taken::Ours(claim) => Some(claim),
                Taken::Theirs(_) => None,
            }),
        });
        let Some(next) = next.map_err(|error| ActionError::Wait(format!("{error:#}")))? else {
            return Err(self.lost(&held.work)?);
        };
        self.holding.set(&held.work, Some(next));
        Ok(None)
    }

    fn lost(&self, work: &str) -> Result<ActionError> {
        self.holding.clear(false)?;
        Ok(ActionError::Stale(Elsewhere::Lost(work.to_string()).to_string()))
    }

    // ---- what is published ----

    /// Moves a ref at the remote, with the log and the claim, all of it or nothing; see the module.
    pub(super) fn push(&self, name: &str, expect: Option<&CommitId>, to: &CommitId, now: Timestamp) -> Result<(), ActionError> {
        self.push_all(Some(&Move { name: name.to_string(), from: expect.cloned(), to: Some(to.clone()) }), now)
    }

    /// The same without a ref of an act: what is done elsewhere is done with its intent at the remote, and with a claim that is ours.
    pub(super) fn vouch(&self, now: Timestamp) -> Result<(), ActionError> {
        self.push_all(None, now)
    }

    fn push_all(&self, act: Option<&Move>, now: Timestamp) -> Result<(), ActionError> {
        let _turn = self.holding.turn();
        let fence = self.fence(now)?;
        let Some(remote) = &self.remote else { return self.may_act() };
        for _ in 0..RETRIES {
            // A remote that cannot be reached may be there later; one that refuses a push said so for a reason.
            let names: Vec<&str> = act.iter().map(|act| act.name.as_str()).chain([PAUSE_REF]).collect();
            let asked = self.repo.remote_refs(remote, &names);
            let there = asked.map_err(|error| ActionError::Wait(format!("{error:#}")))?;
            if there.contains_key(PAUSE_REF) {
                return Err(ActionError::Wait(format!("paused at `{remote}`; `fractal resume --remote` goes on")));
            }
            if let Some(Move { name, from, to }) = act {
                if there.get(name) == to.as_ref() {
                    return Ok(());
                }
                if there.get(name) != from.as_ref() {
                    let at = there.get(name).map_or("absent".to_string(), |commit| format!("at {}", commit.short()));
                    return Err(ActionError::Stale(format!("`{name}` on `{remote}` is {at}: fetch first")));
                }
            }
            if self.catch_up(now)? {
                return Err(ActionError::Stale("another loop recorded something else at the same time".into()));
            }
            // A server that knows no atomic pushes may have taken some of it before.
            let claim = fence.iter().map(|(_, one)| one.clone()).find(|one| self.repo.seen_at(&one.name) != one.to);
            let with = [self.unpublished()?, claim].into_iter().flatten();
            let moves: Vec<Move> = act.cloned().into_iter().chain(with).collect();
            self.may_act()?;
            if moves.is_empty() {
                return Ok(());
            }
            let Err(error) = self.repo.push(remote, &moves, Hooks::Run) else {
                if let Some((claim, _)) = fence {
                    self.holding.set(&claim.work.clone(), Some(claim));
                }
                return Ok(());
            };
            if self.why_not(&moves, fence.as_ref(), now)? {
                return Err(ActionError::Failed(error));
            }
        }
        Err(ActionError::Wait(format!("`{remote}` is busy with other loops")))
    }

    /// The switch, once more: nothing lies between this and the act.
    fn may_act(&self) -> Result<(), ActionError> {
        self.paused().map_or(Ok(()), |pause| Err(ActionError::Wait(pause.to_string())))
    }

    /// Looks at what stood in the way of a push: whether it was nothing that other loops did. What they recorded is here afterwards.
    fn why_not(&self, moves: &[Move], fence: Option<&(Claim, Move)>, now: Timestamp) -> Result<bool, ActionError> {
        let remote = self.remote.as_deref().unwrap_or_default();
        let names: Vec<&str> = moves.iter().map(|one| one.name.as_str()).collect();
        let there = self.repo.remote_refs(remote, &names).map_err(|error| ActionError::Wait(format!("{error:#}")))?;
        let moved = |one: &Move| there.get(&one.name) != one.from.as_ref();
        if let Some((claim, one)) = fence
            && moved(one)
            && there.get(&one.name) != one.to.as_ref()
        {
            return Err(self.lost(&claim.work)?);
        }
        if moves.iter().any(|one| one.name == LOG_REF && moved(one)) {
            self.repo.fetch(remote, &[LOG_REF])?;
            if !self.join(now)?.is_empty() {
                return Err(ActionError::Stale("another loop recorded something else at the same time".into()));
            }
        }
        Ok(!moves.iter().any(moved))
    }

    /// The log only ever goes on: where the one here was lost, what is published is taken in first. Whether something that was recorded
    /// here came too late by that.
    fn catch_up(&self, now: Timestamp) -> Result<bool> {
        match (self.repo.resolve(LOG_REF)?, self.repo.seen_at(LOG_REF)) {
            (Some(ours), Some(there)) if !self.repo.contains(&ours, &there)? => Ok(!self.join(now)?.is_empty()),
            _ => Ok(false),
        }
    }

    /// The move that publishes the log, when there is something to publish.
    fn unpublished(&self) -> Result<Option<Move>> {
        let (ours, there) = (self.repo.resolve(LOG_REF)?, self.repo.seen_at(LOG_REF));
        Ok(ours.filter(|ours| Some(ours) != there.as_ref()).map(|ours| Move {
            name: LOG_REF.into(),
            from: there,
            to: Some(ours),
        }))
    }

    /// Pushes the log to the remote, where other loops go on from it, together with what they recorded meanwhile.
    ///
    /// # Errors
    /// When the remote cannot be reached or refuses, or has a log that cannot be read.
    pub fn publish_log(&self, now: Timestamp) -> Result<()> {
        let Some(remote) = &self.remote else { return Ok(()) };
        for _ in 0..RETRIES {
            self.catch_up(now)?;
            let Some(one) = self.unpublished()? else { return Ok(()) };
            let Err(error) = self.repo.push(remote, std::slice::from_ref(&one), Hooks::Run) else { return Ok(()) };
            let there = self.repo.remote_refs(remote, &[LOG_REF])?.remove(LOG_REF);
            match there {
                Some(_) if there != one.from => self.repo.fetch(remote, &[LOG_REF])?,
                None if one.from.is_some() => self.repo.saw(LOG_REF, None)?,
                _ => return Err(error),
            }
            self.join(now)?;
        }
        anyhow::bail!("`{LOG_REF}` on `{remote}` is busy with other loops")
    }

    /// Takes what is published into the log here; the improvements whose records here came too late.
    fn join(&self, now: Timestamp) -> Result<Vec<ImprovementId>> {
        let Some(theirs) = self.repo.seen_at(LOG_REF) else { return Ok(Vec::new()) };
        let joined = self.repo.join_log(&theirs, &self.identity, now)?;
        for id in &joined.late {
            tracing::warn!(
                "what was recorded here about improvement {} came too late: another loop has published more",
                id.short()
            );
        }
        self.news.borrow_mut().extend(joined.changed);
        Ok(joined.late.into_iter().collect())
    }

    /// Improvements that got records from elsewhere since this was last asked.
    pub fn news(&self) -> Vec<ImprovementId> {
        std::mem::take(&mut *self.news.borrow_mut()).into_iter().collect()
    }

    // ---- what others did ----

    /// The beginning of a cycle: gives back what a killed run had claimed, and brings here what the remote has. A remote that cannot
    /// be reached is no reason not to go on.
    ///
    /// # Errors
    /// When something cannot be written here, or the remote's log cannot be read.
    pub fn begin(&self, now: Timestamp) -> Result<()> {
        let Some(remote) = &self.remote else { return self.give_back() };
        if let Err(why) = self.repo.remote_refs(remote, &[LOG_REF]) {
            tracing::warn!("`{remote}` could not be looked at: {why:#}");
            self.away.set(true);
            return Ok(());
        }
        self.away.set(false);
        self.meet(now)?;
        if self.holds_back() { Ok(()) } else { self.give_back() }
    }

    /// Brings here what the remote has: the log, our branches, the notes, and the base when it only goes on.
    ///
    /// # Errors
    /// As [`Effects::begin`].
    pub fn meet(&self, now: Timestamp) -> Result<()> {
        // Read before looking there: what somebody does to it meanwhile is not undone.
        let (before, base) = (self.repo.all_seen()?, self.repo.tip(&self.base)?);
        let Some(there) = self.fetch_all(&before)? else { return Ok(()) };
        let gone: Vec<_> = before.iter().filter(|(name, _)| !there.contains_key(*name)).collect();
        for (name, at) in gone {
            // Deleted there by a person: so it is here. Not when the whole remote is another one.
            if name.starts_with(BRANCHES)
                && there.contains_key(&heads(&self.base))
                && self.repo.resolve(name)?.as_ref() == Some(at)
            {
                self.repo.remove_own_branch(name)?;
            }
            self.repo.saw(name, None)?;
        }
        self.join(now)?;
        for (name, at) in there.iter().filter(|(name, at)| name.starts_with(BRANCHES) && before.get(*name) != Some(*at)) {
            let here = self.repo.resolve(name)?;
            let follows = here.is_none() || here.as_ref() == before.get(name);
            if follows && here.as_ref() != Some(at) && !self.repo.checks_out(name.trim_start_matches("refs/heads/")) {
                self.repo.move_ref(name, here.as_ref(), at, "fractal: as at the remote")?;
            }
        }
        if let Some(notes) = there.get(NOTES_REF) {
            let here = self.repo.resolve(NOTES_REF)?;
            let goes_on = here.as_ref().map_or(Ok(true), |here| self.repo.contains(notes, here))?;
            if goes_on && here.as_ref() != Some(notes) {
                self.repo.move_ref(NOTES_REF, here.as_ref(), notes, "fractal: as at the remote")?;
            }
        }
        self.follow_base(&base, there.get(&heads(&self.base)))
    }

    /// Fetches what is not here yet; what the remote has, or `None` when it is away by now.
    fn fetch_all(&self, before: &BTreeMap<String, CommitId>) -> Result<Option<BTreeMap<String, CommitId>>> {
        let Some(remote) = &self.remote else { return Ok(None) };
        let (base, branches, claims) = (heads(&self.base), format!("{BRANCHES}*"), format!("{CLAIMS}*"));
        for _ in 0..RETRIES {
            let there = self.repo.remote_refs(remote, &[LOG_REF, PAUSE_REF, NOTES_REF, &base, &branches, &claims]);
            let there = match there {
                Ok(there) => there,
                Err(why) => {
                    tracing::warn!("`{remote}` could not be looked at: {why:#}");
                    return Ok(None);
                }
            };
            let own = self.holding.get().map(|held| claim_ref(&held.work));
            let news = there.iter().filter(|(name, at)| before.get(*name) != Some(*at) && own.as_ref() != Some(*name));
            let news: Vec<&str> = news.map(|(name, _)| name.as_str()).collect();
            if news.is_empty() {
                return Ok(Some(there));
            }
            match self.repo.fetch(remote, &news) {
                // What came meanwhile is as good.
                Ok(()) => {
                    return Ok(Some(
                        there.into_keys().filter_map(|name| Some((name.clone(), self.repo.seen_at(&name)?))).collect(),
                    ));
                }
                // Another loop has given back its claim in between.
                Err(why) if format!("{why:#}").contains("couldn't find remote ref") => {}
                Err(why) => return Err(why),
            }
        }
        Ok(None)
    }

    /// Brings the base here that the remote has by now.
    pub(super) fn meet_base(&self) -> Result<()> {
        let Some(remote) = &self.remote else { return Ok(()) };
        let (name, here) = (heads(&self.base), self.repo.tip(&self.base)?);
        self.repo.fetch(remote, &[&name])?;
        self.follow_base(&here, self.repo.seen_at(&name).as_ref())
    }

    /// Lets the base here follow the one at the remote when that only goes on, and the work tree with it as when we land.
    fn follow_base(&self, here: &CommitId, there: Option<&CommitId>) -> Result<()> {
        let Some(there) = there else { return Ok(()) };
        if there == here || !self.repo.contains(there, here)? || self.paused().is_some() {
            return Ok(());
        }
        match self.advance_here(&self.base, here, there, "fractal: as at the remote") {
            Ok(()) => Ok(()),
            Err(ActionError::Failed(error)) => Err(error),
            Err(why) => {
                tracing::warn!("`{}` stays behind the remote's: {why}", self.base);
                Ok(())
            }
        }
    }

    /// Writes a note on a commit, on top of the notes of others.
    pub(super) fn note(&self, commit: &CommitId, text: &str, now: Timestamp) -> Result<(), ActionError> {
        for _ in 0..RETRIES {
            let mut there = None;
            if let Some(remote) = &self.remote {
                let asked = self.repo.remote_refs(remote, &[NOTES_REF]);
                there = asked.map_err(|error| ActionError::Wait(format!("{error:#}")))?.remove(NOTES_REF);
                if there != self.repo.seen_at(NOTES_REF) && there.is_some() {
                    self.repo.fetch(remote, &[NOTES_REF])?;
                    there = self.repo.seen_at(NOTES_REF);
                }
            }
            let here = self.repo.resolve(NOTES_REF)?;
            let next = self.repo.next_notes(there.as_ref(), (commit, text), &self.identity, now)?;
            match self.push(NOTES_REF, there.as_ref(), &next, now) {
                Ok(()) => return Ok(self.repo.move_ref(NOTES_REF, here.as_ref(), &next, "fractal: note")?),
                // Another loop's note came first.
                Err(ActionError::Stale(_)) if self.holding.get().is_some() && self.news.borrow().is_empty() => {}
                Err(error) => return Err(error),
            }
        }
        Err(ActionError::Wait(format!("`{NOTES_REF}` is busy with other loops")))
    }
}
