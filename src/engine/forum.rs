//! Proposals on a forge: opened for what was accepted, kept in words with the facts, landed when the forge's facts allow it, closed when
//! nothing more comes of them. What people do with them is noticed before anything else is decided.

use anyhow::Result;
use jiff::SignedDuration;

use super::account::{Beside, account};
use super::actions::Acted;
use super::cycle::Cycle;
use super::improvement::{Improvement, OnForge};
use super::landed::lands_by_our_wish;
use super::shadow;
use super::stage::Stage;
use crate::deploy::{self, Decision, ForgeFacts, HOLD_LABEL, Landing};
use crate::model::{
    Action, ActionKind, Approver, CommitId, End, Event, ImprovementId, Level, Observation, ReportVerdict, Way, plain_line,
};
use crate::world::Word;
use crate::world::forge::{Change, Check, ForgeError, Opinion, Proposal, Report, Review, Rules, Shared, State, Verdict};

/// The check that says why something does not land.
const GATE_CHECK: &str = "fractal/gate";
/// The check that says what became of what landed.
const MONITOR_CHECK: &str = "fractal/monitor";
/// Signs of the line that a check shows.
const LINE_MAX: usize = 130;
/// Times that a report is tried.
const REPORTS_MAX: usize = 3;
/// How the branch of a revert ends.
pub(super) const REVERT: &str = "-revert";

/// What the forge shows at the beginning of a cycle.
pub(super) struct Forum {
    pub(super) open: Vec<Proposal>,
    /// Asked when something is to land.
    rules: Option<Rules>,
}

/// The forge as this cycle sees it.
pub(super) enum Seen {
    /// There is none but git.
    Git,
    /// It has not been asked yet.
    NotYet,
    Away(String),
    There(Forum),
}

/// Everything that is read about one proposal just before something is decided.
pub(super) struct Facts {
    pub(super) proposal: Proposal,
    pub(super) checks: Vec<Check>,
    pub(super) reviews: Vec<Review>,
}

impl Facts {
    fn read(forge: &Shared, number: u64) -> Result<Facts, ForgeError> {
        let proposal = forge.proposal(number)?;
        let (checks, reviews) = (forge.checks(&proposal.head)?, forge.reviews(number)?);
        Ok(Facts { proposal, checks, reviews })
    }
}

impl Cycle<'_, '_> {
    /// The forge of this cycle, asked when it is first needed. `Err`: why it cannot be asked now.
    pub(super) fn forum(&mut self) -> Result<Option<&Forum>, String> {
        if let (Seen::NotYet, Some(forge)) = (&self.seen, &self.view().forge) {
            let base = &self.view().base;
            let read = forge.proposals(base).map(|open| Forum { open, rules: None });
            self.seen = read.map_or_else(|error| Seen::Away(error.to_string()), Seen::There);
        }
        match &self.seen {
            Seen::Git | Seen::NotYet => Ok(None),
            Seen::Away(why) => Err(why.clone()),
            Seen::There(forum) => Ok(Some(forum)),
        }
    }

    /// What the forge demands of whatever lands on the base.
    fn rules(&mut self) -> Result<Rules, String> {
        self.forum()?;
        let Seen::There(forum) = &mut self.seen else { return Err("there is no forge".into()) };
        let (None, Some(forge)) = (&forum.rules, &self.journal.view.forge) else {
            return Ok(forum.rules.clone().unwrap_or_default());
        };
        let rules = forge.rules(&self.journal.view.base).map_err(|why| why.to_string())?;
        forum.rules = Some(rules.clone());
        Ok(rules)
    }

    /// Remembers that the forge is not to land this one by itself any more.
    pub(super) fn forget_wish(&mut self, number: u64) {
        if let Seen::There(forum) = &mut self.seen {
            forum.open.iter_mut().filter(|open| open.number == number).for_each(|open| open.automatic = None);
        }
    }

    pub(super) fn has_forge(&self) -> bool {
        self.view().forge.is_some()
    }

    // ---- what people did ----

    /// Whether a person closed the proposal of an improvement; it ends then.
    pub(super) fn notice_on_forge(&mut self, id: &ImprovementId) -> Result<bool> {
        let improvement = self.journal.get(id)?;
        let known = match improvement.stage {
            Stage::Proposed | Stage::Landing => improvement.proposal.as_ref(),
            Stage::Reverting => improvement.undoing.as_ref().and_then(|undoing| undoing.proposal.as_ref()),
            _ => None,
        };
        let Some(number) = known.map(|known| known.number) else { return Ok(false) };
        let Some(forge) = self.view().forge.clone() else { return Ok(false) };
        let Ok(Some(forum)) = self.forum() else { return Ok(false) };
        if forum.open.iter().any(|open| open.number == number) {
            return Ok(false);
        }
        match forge.proposal(number) {
            Ok(proposal) if matches!(proposal.state, State::Closed { .. }) => self.closed_by_a_person(id, number).map(|()| true),
            Ok(_) => Ok(false),
            Err(why) => {
                tracing::warn!("#{number} could not be looked at: {why}");
                Ok(false)
            }
        }
    }

    fn closed_by_a_person(&mut self, id: &ImprovementId, number: u64) -> Result<()> {
        let is_revert = self.journal.get(id)?.stage == Stage::Reverting;
        self.observe(id, Observation::Closed { number }, format!("a person closed #{number}"))?;
        if is_revert {
            let reason = format!("a person closed #{number}, which would have reverted it");
            return self.end(id, End::Stuck { reason });
        }
        self.end(id, End::Closed { reason: format!("a person closed #{number}; the patch is not proposed again") })
    }

    /// Records what people judged of a proposal.
    fn note_reviews(&mut self, id: &ImprovementId, reviews: &[Review]) -> Result<()> {
        let known = self.journal.get(id)?;
        let is_new = |by: &str, at| {
            !known.records.iter().any(
                |record| matches!(&record.event, Event::Observed { what: Observation::Reviewed { by: known, at: when, .. } } if known == by && *when == at),
            )
        };
        let news: Vec<Event> = reviews
            .iter()
            .filter_map(|review| Some((review, review.at?)))
            .filter(|(review, at)| is_new(&review.author, *at))
            .map(|(review, at)| {
                let opinion = match review.opinion {
                    Opinion::Approved => "approved",
                    Opinion::ChangesWanted => "wants changes",
                    Opinion::Commented => "commented",
                    Opinion::Dismissed => "dismissed",
                };
                Event::Observed { what: Observation::Reviewed { by: review.author.clone(), opinion: opinion.into(), at } }
            })
            .collect();
        self.journal.append(id, news)
    }

    // ---- proposals ----

    /// Lands what was accepted by way of the forge, or says what it waits for. `decision` is what the gate and the configuration say.
    pub(super) fn land_on_forge(&mut self, id: &ImprovementId, decision: Decision, rebuilt: u32) -> Result<()> {
        let policy = match &decision {
            Decision::Wait(reason) => reason.clone(),
            _ => "The gate accepted it, and it lands by itself when the checks here pass".to_string(),
        };
        let Some(OnForge { number, .. }) = self.opened(id, &policy)? else { return Ok(()) };
        let Some(facts) = self.facts(id, number)? else { return Ok(()) };
        match facts.proposal.state {
            State::Open => {}
            State::Closed { .. } => return self.closed_by_a_person(id, number),
            State::Landed { .. } => return self.waits(id, format!("#{number} was landed; the next cycle notes that")),
        }
        self.note_reviews(id, &facts.reviews)?;
        let landing = self.landing(id, &facts)?;
        self.show(id, &facts, &policy, &decision, &landing)?;
        if lands_by_our_wish(&facts.proposal) && !(decision == Decision::Merge && matches!(landing, Landing::WhenReady(_))) {
            self.take_back(id, &facts.proposal)?;
        }
        if let Decision::Wait(reason) = &decision {
            return if self.is_stale(&facts.proposal) {
                self.close_stale(id, number)
            } else {
                self.waits_there(id, number, reason)
            };
        }
        if self.rolls_out(id)? {
            return Ok(());
        }
        match landing {
            Landing::Now(way) => self.merge(id, number, Some(way), rebuilt),
            Landing::Push => self.merge(id, number, None, rebuilt),
            Landing::WhenReady(_) if facts.proposal.automatic.is_some() => {
                self.waits_there(id, number, "the forge lands it when its rules allow")
            }
            Landing::WhenReady(way) => {
                let (title, text) = self.merge_message(id, number, way)?;
                let (base, commit) = (self.view().base.clone(), facts.proposal.head.clone());
                let kind = ActionKind::MergeWhenReady { number, base, commit, way, title, text };
                let policy = "only the forge's own rules keep it from landing (`[forge] automatic`)";
                match self.journal.act(id, Vec::new(), kind, Approver::Policy(policy.into()))? {
                    Acted::Done | Acted::Planned => self.waits_there(id, number, "the forge lands it when its rules allow"),
                    Acted::Waits(why) | Acted::Stale(why) | Acted::Failed(why) => self.waits_there(id, number, &why),
                }
            }
            Landing::Wait(reason) | Landing::Refuse(reason) => self.waits_there(id, number, &reason),
        }
    }

    fn waits_there(&mut self, id: &ImprovementId, number: u64, reason: &str) -> Result<()> {
        self.waits(id, format!("#{number}: {reason}"))
    }

    /// What the forge's facts allow.
    pub(super) fn landing(&mut self, id: &ImprovementId, facts: &Facts) -> Result<Landing> {
        let improvement = self.journal.known(id);
        let head = match (&improvement.undoing, improvement.stage) {
            (Some(undoing), Stage::Reverting) => Some(undoing.commit.clone()),
            _ => improvement.branch.as_ref().map(|(_, commit)| commit.clone()),
        };
        let approved = match improvement.stage {
            Stage::Reverting => improvement.revert_wanted_by.is_some(),
            _ => improvement.approved_by.is_some(),
        };
        let Some(head) = head else {
            return Ok(Landing::Wait("its branch is not there yet".into()));
        };
        let config = self.view().config.forge.clone();
        let rules = match self.rules() {
            Ok(rules) => rules,
            Err(why) => return Ok(Landing::Wait(why)),
        };
        Ok(deploy::landing(&ForgeFacts {
            proposal: &facts.proposal,
            head: &head,
            checks: &facts.checks,
            reviews: &facts.reviews,
            rules: &rules,
            by: config.way,
            without_checks: config.without_checks,
            automatic: config.automatic,
            approved,
        }))
    }

    /// Reads one proposal; `None` when it cannot be read now, which is told.
    pub(super) fn facts(&mut self, id: &ImprovementId, number: u64) -> Result<Option<Facts>> {
        let Some(forge) = self.view().forge.clone() else { return Ok(None) };
        match Facts::read(&forge, number) {
            Ok(facts) => Ok(Some(facts)),
            Err(why) => self.waits_there(id, number, &why.to_string()).map(|()| None),
        }
    }

    /// The open proposal of an improvement, opened if it may be; otherwise what it waits for is told.
    fn opened(&mut self, id: &ImprovementId, policy: &str) -> Result<Option<OnForge>> {
        if let Some(known) = self.journal.get(id)?.proposal.clone() {
            return Ok(Some(known));
        }
        if let Err(why) = self.forum().map(drop) {
            return self.waits(id, format!("the forge: {why}")).map(|()| None);
        }
        if let Some(why) = self.too_many() {
            return self.waits(id, why).map(|()| None);
        }
        let improvement = self.journal.known(id).into_owned();
        let (Some((branch, commit)), Some(account)) = (improvement.branch.clone(), self.account(&improvement, policy, None)?)
        else {
            return Ok(None);
        };
        let draft = improvement.accepted.as_ref().is_some_and(|(_, verdict)| verdict.level == Level::Draft);
        let base = self.view().base.clone();
        let kind = ActionKind::Open { branch, commit, base, title: account.title, text: account.body, draft };
        match self.journal.act(id, Vec::new(), kind, Approver::Policy("what the gate accepted is proposed".into()))? {
            Acted::Done => {
                let known = self.journal.get(id)?.proposal.clone();
                let labels = self.view().config.forge.labels.iter().cloned().collect::<std::collections::BTreeSet<_>>();
                if let (Some(OnForge { number, .. }), false) = (&known, labels.is_empty()) {
                    self.journal.say(id, &Word::Label { number: *number, labels })?;
                }
                Ok(known)
            }
            Acted::Planned => Ok(None),
            Acted::Waits(why) | Acted::Stale(why) => self.waits(id, format!("its proposal waits: {why}")).map(|()| None),
            Acted::Failed(why) => {
                self.end(id, End::Stuck { reason: format!("its proposal could not be opened: {why}") }).map(|()| None)
            }
        }
    }

    /// What keeps another proposal from being opened now.
    fn too_many(&mut self) -> Option<String> {
        let (open_max, per_hour) = (self.view().config.forge.open_max as usize, self.view().config.forge.per_hour as usize);
        let ours = |open: &&Proposal| open.branch.starts_with("fractal/") && !open.branch.ends_with(REVERT);
        // Opened in this cycle, it is not in the list of its beginning.
        let listed: Vec<u64> = match self.forum() {
            Ok(Some(forum)) => forum.open.iter().filter(ours).map(|open| open.number).collect(),
            _ => Vec::new(),
        };
        // One that ended counts as long as it is listed.
        let under_way = self.journal.improvements.values().filter(|one| one.landed.is_none() && !one.stage.is_end());
        let opened: Vec<&OnForge> = under_way.filter_map(|one| one.proposal.as_ref()).collect();
        let open = listed.len() + opened.iter().filter(|one| !listed.contains(&one.number)).count();
        if open >= open_max {
            return Some(format!("{open} proposals are open, and `[forge] open_max` is {open_max}"));
        }
        let hour_ago = self.view().clock.now().saturating_sub(SignedDuration::from_hours(1)).unwrap_or_default();
        let all = self.journal.improvements.values().filter_map(|one| one.proposal.as_ref());
        let lately = all.filter(|one| one.at > hour_ago).count();
        (lately >= per_hour).then(|| format!("{lately} opened within an hour, and `[forge] per_hour` is {per_hour}"))
    }

    fn account(
        &self,
        improvement: &Improvement,
        policy: &str,
        outcome: Option<(&str, Option<u64>)>,
    ) -> Result<Option<deploy::PullRequest>> {
        let shadow = shadow::counts(self.view(), improvement);
        let tool = self.tools.get(improvement.tool());
        let beside = Beside { tool, policy, outcome, shadow: Some(&shadow), notable: &[], on_forge: true };
        account(self.view(), improvement, &beside)
    }

    /// Brings the text and the check of ours in words with the facts; what says so already is left alone.
    fn show(&mut self, id: &ImprovementId, facts: &Facts, policy: &str, decision: &Decision, landing: &Landing) -> Result<()> {
        let improvement = self.journal.known(id).into_owned();
        let number = facts.proposal.number;
        let told = match (decision, landing) {
            (Decision::Merge | Decision::Rebuild, Landing::Refuse(reason)) => {
                format!("The gate accepted it, and it does not land by itself: {reason}")
            }
            _ => policy.to_string(),
        };
        if let Some(account) = self.account(&improvement, &told, None)?
            && let Some(text) = deploy::renewed(&facts.proposal.text, &account.body)
        {
            self.journal.say(id, &Word::Text { number, change: Change { title: None, text: Some(text) } })?;
        }
        let (verdict, reason) = match (decision, landing) {
            (Decision::Wait(reason), _) => (Verdict::Skipped, reason.as_str()),
            (_, Landing::Refuse(reason)) => (Verdict::Skipped, reason.as_str()),
            (_, Landing::Wait(reason)) => (Verdict::Passed, reason.as_str()),
            (_, Landing::WhenReady(_)) => (Verdict::Passed, "the forge lands it when its rules allow"),
            (_, Landing::Now(_) | Landing::Push) => (Verdict::Passed, "it lands now"),
        };
        let (policy, reason_shown) = (deploy::shown(policy), deploy::shown(reason));
        let text = format!("{policy}.\n\nNow: {reason_shown}. `fractal show {}` tells everything.", id.short());
        self.report_check(id, facts, verdict, reason, text)
    }

    pub(super) fn report_check(
        &mut self,
        id: &ImprovementId,
        facts: &Facts,
        verdict: Verdict,
        line: &str,
        text: String,
    ) -> Result<()> {
        let title = plain_line(&deploy::inert(line), LINE_MAX);
        let said = facts.checks.iter().any(|check| check.name == GATE_CHECK && check.title == title);
        if said {
            return Ok(());
        }
        let report = Report { name: GATE_CHECK.into(), verdict, title, text };
        self.journal.say(id, &Word::Report { commit: facts.proposal.head.clone(), report }).map(drop)
    }

    // ---- landing ----

    fn merge_message(&self, id: &ImprovementId, number: u64, way: Way) -> Result<(String, String)> {
        let improvement = self.journal.get(id)?;
        let commit = match (&improvement.undoing, improvement.stage) {
            (Some(undoing), Stage::Reverting) => Some(&undoing.commit),
            _ => improvement.branch.as_ref().map(|(_, commit)| commit),
        };
        let message = commit.map_or(Ok(String::new()), |commit| self.view().repo.message(commit))?;
        let (subject, text) = message.split_once('\n').unwrap_or((&message, ""));
        Ok(match way {
            // Its trailers stand in the commit below it.
            Way::Merge => (format!("Merge #{number}: {subject}"), String::new()),
            Way::Squash | Way::Rebase => (format!("{subject} (#{number})"), text.trim().to_string()),
        })
    }

    /// By the forge in one of its ways, or by a push.
    fn merge(&mut self, id: &ImprovementId, number: u64, way: Option<Way>, rebuilt: u32) -> Result<()> {
        let improvement = self.journal.get(id)?;
        let (Some((_, commit)), Some(expect)) =
            (improvement.branch.clone(), improvement.investigation.as_ref().map(|found| found.commit.clone()))
        else {
            return Ok(());
        };
        let approved = improvement.approved_by.clone();
        let by = approved.map_or(Approver::Policy("the gate and the checks accepted it".into()), Approver::Person);
        let base = self.view().base.clone();
        let kind = match way {
            Some(way) => {
                let (title, text) = self.merge_message(id, number, way)?;
                ActionKind::Merge { number, base, expect, commit: commit.clone(), way, title, text, reverts: None }
            }
            None => ActionKind::Land { base, expect, commit: commit.clone() },
        };
        match self.journal.act(id, Vec::new(), kind, by)? {
            Acted::Done => {
                self.report.landed += 1;
                self.check_landed(id)?;
                self.report_outcome(id)
            }
            Acted::Planned => Ok(()),
            Acted::Stale(_) if rebuilt == 0 => {
                self.journal.look_again()?;
                self.land(id, rebuilt + 1)
            }
            Acted::Waits(why) | Acted::Stale(why) => self.waits_there(id, number, &format!("landing waits: {why}")),
            Acted::Failed(why) => self.end(id, End::Stuck { reason: format!("landing failed: {why}") }),
        }
    }

    /// Says on the landed commit what becomes of it, once for each outcome.
    pub(super) fn report_outcome(&mut self, id: &ImprovementId) -> Result<()> {
        let improvement = self.journal.get(id)?;
        let (true, Some(landed), Some(_)) = (self.has_forge(), &improvement.landed, &improvement.proposal) else { return Ok(()) };
        let monitor = &self.view().config.monitor;
        let (verdict, title) = match improvement.stage {
            Stage::Watching => {
                (ReportVerdict::Pending, format!("watched for {} runs or {} days", monitor.executions, monitor.days))
            }
            Stage::Kept => (ReportVerdict::Passed, "kept: it did what it was to do".to_string()),
            Stage::Reverted => (ReportVerdict::Failed, "reverted".to_string()),
            Stage::Inconclusive => (ReportVerdict::Neutral, "too few runs to tell".to_string()),
            Stage::Stuck => (ReportVerdict::Neutral, "a person has to decide".to_string()),
            _ => return Ok(()),
        };
        let text = improvement.end_reason.clone().unwrap_or_else(|| title.clone());
        let (commit, name) = (landed.commit.clone(), MONITOR_CHECK.to_string());
        let kind = ActionKind::Report { commit, name, verdict, title, text: deploy::shown(&text) };
        let key = Action::new(kind.clone()).key;
        let is_this = |event: &Event| matches!(event, Event::Failed { key: known, .. } if *known == key);
        let tried = improvement.records.iter().filter(|record| is_this(&record.event)).count();
        if improvement.is_settled(&kind) || tried >= REPORTS_MAX {
            return Ok(());
        }
        match self.journal.act(id, Vec::new(), kind, Approver::Policy("outcomes are reported".into()))? {
            Acted::Done => self.show_outcome(id),
            Acted::Planned => Ok(()),
            Acted::Waits(why) | Acted::Stale(why) | Acted::Failed(why) => self.waits(id, format!("the report waits: {why}")),
        }
    }

    /// Says in the text of the proposal what became of it, where people look for that; whoever watches it gets no mail for it.
    fn show_outcome(&mut self, id: &ImprovementId) -> Result<()> {
        let improvement = self.journal.known(id).into_owned();
        let (Some(forge), Some(known), Some(landed)) = (self.view().forge.clone(), &improvement.proposal, &improvement.landed)
        else {
            return Ok(());
        };
        let undoing = improvement.undoing.as_ref().and_then(|undoing| undoing.proposal.as_ref());
        let by = undoing.map(|known| known.number).filter(|_| improvement.stage == Stage::Reverted);
        let why = improvement.end_reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let (on, at) = (landed.commit.short(), landed.at.strftime("%Y-%m-%d"));
        let monitor = &self.view().config.monitor;
        let outcome = match improvement.stage {
            Stage::Watching => {
                format!("Landed as {on} on {at}, and is watched for {} runs or {} days.", monitor.executions, monitor.days)
            }
            Stage::Kept => format!("Landed as {on} on {at}, and was kept: it did what it was to do."),
            Stage::Reverted => format!("Landed as {on} on {at}, and was reverted{why}."),
            Stage::Inconclusive => format!("Landed as {on} on {at}; too few runs came to tell whether it helps."),
            _ => format!("Landed as {on} on {at}, and a person has to decide{why}."),
        };
        let number = known.number;
        let proposal = match forge.proposal(number) {
            Ok(proposal) => proposal,
            Err(why) => {
                tracing::warn!("what became of #{number} is not in its text: {why}");
                return Ok(());
            }
        };
        if let Some(account) =
            self.account(&improvement, "It landed, and what became of it stands above", Some((&outcome, by)))?
            && let Some(text) = deploy::renewed(&proposal.text, &account.body)
        {
            self.journal.say(id, &Word::Text { number, change: Change { title: None, text: Some(text) } })?;
        }
        Ok(())
    }

    // ---- closing ----

    fn is_stale(&self, proposal: &Proposal) -> bool {
        let days = i64::from(self.view().config.forge.stale_days);
        let age = self.view().clock.now().duration_since(proposal.updated);
        days > 0 && !proposal.labels.contains(HOLD_LABEL) && age > SignedDuration::from_hours(24 * days)
    }

    fn close_stale(&mut self, id: &ImprovementId, number: u64) -> Result<()> {
        let days = self.view().config.forge.stale_days;
        let reason = format!("nobody has touched it for {days} days (`[forge] stale_days`)");
        if self.close(id, number, format!("Closed: {reason}. The branch stays."))? {
            self.end(id, End::Closed { reason })?;
        }
        Ok(())
    }

    /// Closes what nothing more comes of, as long as nobody else has put anything there.
    pub(super) fn close_what_is_over(&mut self) -> Result<()> {
        if !self.journal.improvements.values().any(|one| one.proposal.is_some() || one.undoing.is_some()) {
            return Ok(());
        }
        let Ok(Some(forum)) = self.forum() else { return Ok(()) };
        let open: Vec<(u64, CommitId)> = forum.open.iter().map(|open| (open.number, open.head.clone())).collect();
        for (number, head) in open {
            let over = self.journal.improvements.values().find(|one| {
                let own = one.proposal.as_ref().is_some_and(|known| known.number == number) && one.put.contains(&head);
                let undoing = one.undoing.as_ref().filter(|undoing| undoing.commit == head);
                let undone = undoing.and_then(|undoing| undoing.proposal.as_ref()).is_some_and(|known| known.number == number);
                (own || undone) && one.stage.is_end()
            });
            let Some(over) = over else { continue };
            let (id, stage) = (over.id.clone(), over.stage);
            let why = over.end_reason.clone().unwrap_or_else(|| stage.to_string());
            let done = self.close(&id, number, format!("Closed: {}.", deploy::shown(&why))).map(drop);
            self.stepped(&id, done)?;
        }
        Ok(())
    }

    fn close(&mut self, id: &ImprovementId, number: u64, reason: String) -> Result<bool> {
        let kind = ActionKind::Close { number, reason };
        match self.journal.act(id, Vec::new(), kind, Approver::Policy("nothing more comes of it".into()))? {
            Acted::Done | Acted::Planned => Ok(true),
            Acted::Waits(why) | Acted::Stale(why) | Acted::Failed(why) => {
                self.waits(id, format!("#{number} is not closed yet: {why}")).map(|()| false)
            }
        }
    }
}
