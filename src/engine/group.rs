//! One improvement of several tools: the same failure, the same repair, one commit. It lands whole or not at all.
//!
//! It is one when each tool's repair has passed the gate alone, and each again on the tree that holds all of them. Where not all pass
//! together, [`divide`] finds those that do; the others are improvements by themselves, and say why. From then on it is an improvement
//! like any other. When the base moves it is built anew, whole; when that does not work it ends, and each tool is looked at by itself.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::ahead::{Ahead, Chosen, Found};
use super::cycle::Cycle;
use super::divide::{Divided, divide};
use super::progress::Progress;
use super::search::{Next, Wanted};
use super::stage::Stage;
use crate::deploy;
use crate::model::{
    Asking, AttemptSummary, Candidate, Check, CommitId, Conclusion, Cost, End, Event, ImprovementId, Investigation, Judgement,
    Opportunity, Part, Patch, Verdict,
};
use crate::validate::Judged;
use crate::world::View;
use crate::world::bench::BenchError;

/// What was found for one of the tools.
pub(super) struct Member {
    opportunity: Opportunity,
    found: Found,
}

/// Members that passed the gate together, and what it said of each.
pub(super) struct Group {
    members: Vec<Member>,
    judged: Vec<Judged>,
}

impl Member {
    /// The repair and its test.
    fn patch(&self) -> Patch {
        let Some((candidate, judged, _)) = self.found.accepted() else { return Patch::default() };
        candidate.patch.clone().and(judged.test.clone().unwrap_or_default())
    }
}

/// One opportunity for all of them.
fn whole<'m>(members: impl Iterator<Item = &'m Opportunity> + Clone) -> Option<Opportunity> {
    let id = ImprovementId::of_all(members.clone().map(|member| &member.id));
    let (first, each) = (members.clone().next()?.clone(), members.cloned().collect());
    Some(Opportunity { id, each, ..first })
}

impl Group {
    fn whole(&self) -> Option<Opportunity> {
        whole(self.members.iter().map(|member| &member.opportunity))
    }

    /// Leaves each of them to its own turn.
    pub(super) fn part(self, ahead: &mut Ahead) {
        self.members.into_iter().for_each(|member| ahead.keep(&member.opportunity.id, Some(member.found)));
    }

    /// The improvement that it is.
    pub(super) fn id(&self) -> Option<ImprovementId> {
        self.whole().map(|whole| whole.id)
    }
}

fn names(members: &[&Member]) -> Vec<String> {
    members.iter().map(|member| member.found.tool.name.clone()).collect()
}

impl Cycle<'_, '_> {
    /// Whether several tools may be repaired together. Live runs, where they have a say, are of one tool.
    pub(super) fn may_group(&self) -> bool {
        let config = &self.view().config;
        config.engine.group > 1 && config.deploy.shadow_runs == 0 && config.deploy.rollout.canary.is_empty()
    }

    /// Puts together what has the same repair, of what was found ahead.
    pub(super) fn form_groups(&mut self, chosen: &[Chosen<'_>]) -> Result<()> {
        let mut alike: BTreeMap<[String; 4], Vec<Member>> = BTreeMap::new();
        if !self.may_group() {
            return Ok(());
        }
        let (view, most) = (self.view(), self.view().config.engine.group);
        for (_, opportunity) in chosen {
            let is_doubtful = self.journal.known(&opportunity.id).reverted_before;
            let Some(place) = self.ahead.found(&opportunity.id) else { continue };
            let accepted = place.as_ref().and_then(|found| Some((found, found.accepted()?.0)));
            // A commit that is undone is one tool's; and what was reverted before is a person's to decide, by itself.
            let Some((found, candidate)) = accepted.filter(|(_, candidate)| candidate.strategy != "revert" && !is_doubtful)
            else {
                continue;
            };
            let (class, message) = opportunity.failure.pattern();
            let kind = kind(view, &found.investigation.commit, candidate)?;
            let key = [class.to_string(), message, candidate.strategy.clone(), kind];
            let members = alike.entry(key).or_default();
            if members.len() < most
                && let Some(found) = place.take()
            {
                members.push(Member { opportunity: (*opportunity).clone(), found });
            }
        }
        alike.into_values().try_for_each(|members| self.form(members))
    }

    fn form(&mut self, members: Vec<Member>) -> Result<()> {
        let mut verdicts: BTreeMap<Vec<usize>, Vec<Judged>> = BTreeMap::new();
        let Divided { together, left } = divide(members.len(), |some| {
            let some_members: Vec<&Member> = some.iter().filter_map(|at| members.get(*at)).collect();
            match self.together(&some_members)? {
                Ok(judged) => {
                    verdicts.insert(some.to_vec(), judged);
                    Ok(None)
                }
                Err(why) => Ok(Some(why)),
            }
        })?;
        let judged = verdicts.remove(&together).unwrap_or_default();
        let mut group = Group { members: Vec::new(), judged };
        for (at, member) in members.into_iter().enumerate() {
            let id = member.opportunity.id.clone();
            if let Some((_, why)) = left.iter().find(|(one, _)| *one == at) {
                let why = format!("it has the repair of other tools and does not pass together with them: {why}");
                self.ahead.left_out.insert(id.clone(), why);
            }
            match together.len() > 1 && together.contains(&at) {
                true => group.members.push(member),
                false => self.ahead.keep(&id, Some(member.found)),
            }
        }
        if let Some(first) = group.members.first() {
            self.ahead.groups.insert(first.opportunity.id.clone(), group);
        }
        Ok(())
    }

    /// Takes each of these through the gate on the tree that holds all of their repairs: what it says of each, or why they do not pass.
    fn together(&self, members: &[&Member]) -> Result<Result<Vec<Judged>, String>> {
        let Some(whole) = whole(members.iter().map(|member| &member.opportunity)) else { return Ok(Ok(Vec::new())) };
        let judged = match self.ended_before(&whole) {
            Some(why) => Err(why),
            None => self.judge_together(members)?,
        };
        let (id, refused) = (whole.id, judged.as_ref().err().cloned());
        self.journal.tell(Progress::Together { id, tool: whole.tool, tools: names(members), refused });
        Ok(judged)
    }

    fn judge_together(&self, members: &[&Member]) -> Result<Result<Vec<Judged>, String>> {
        let (learned, till) = (super::offer::learned(self.journal.improvements.values()), self.journal.till());
        let mut all = Vec::new();
        for (at, member) in members.iter().enumerate() {
            let Member { opportunity, found } = member;
            let Some((candidate, alone, _)) = found.accepted() else { return Ok(Err("a repair is missing".into())) };
            let mut others = Patch::default();
            for (_, other) in members.iter().enumerate().filter(|(other, _)| *other != at) {
                others = others.and(other.patch());
            }
            let refuse = |why: &str| Ok(Err(format!("`{}`: {why}", found.tool.name)));
            if member.patch().edits.keys().any(|path| others.edits.contains_key(path)) {
                return refuse("another one changes the same file");
            }
            let base = self.journal.rehearse_commit(&found.investigation.commit, &others, "the other repairs")?;
            let wanted = Wanted {
                view: self.view(),
                tool: &found.tool,
                character: &found.character,
                opportunity,
                investigation: &Investigation { commit: base, ..found.investigation.clone() },
                learned: &learned,
                till: &till,
                shortlist: None,
                tell: self.journal.listener(),
                spends: false,
            };
            let mut judged = match self.stages.judge(wanted, candidate) {
                Ok(judged) => judged,
                Err(BenchError::World(error)) => return Err(error),
                Err(error) => return refuse(&error.to_string()),
            };
            match &judged.verdict.judgement {
                Judgement::Accepted if judged.test != alone.test => return refuse("its regression test is another one then"),
                Judgement::Accepted => {}
                Judgement::Rejected { reason } | Judgement::Inconclusive { reason } => return refuse(reason),
            }
            // Alone it was put beside its rivals, which has a say too.
            if alone.verdict.level < judged.verdict.level {
                judged.verdict.level = alone.verdict.level;
                judged.verdict.doubts.extend(alone.verdict.doubts.iter().cloned());
            }
            all.push(judged);
        }
        Ok(Ok(all))
    }

    /// Why these were given up together on the same versions.
    fn ended_before(&self, whole: &Opportunity) -> Option<String> {
        let known = self.journal.improvements.get(&whole.id).filter(|known| known.stage.is_end())?;
        let same = known.members().all(|member| whole.members().any(|now| now.id == member.id && now.version == member.version));
        same.then(|| format!("together they were {}: {}", known.stage, known.end_reason.clone().unwrap_or_default()))
    }

    /// Records a group and goes on with it. Nothing is done, and each of them is left to its own turn, when one of them has changed since.
    pub(super) fn take_group(&mut self, group: Group) -> Result<bool> {
        let Some(whole) = group.whole() else { return Ok(false) };
        let unchanged = group.members.iter().all(|Member { opportunity, found }| {
            let records = self.journal.improvements.get(&opportunity.id).map_or(0, |known| known.records.len());
            self.is_news(opportunity) && self.ahead_of(opportunity).is_none() && records == found.records
        });
        let is_open = self.journal.improvements.get(&whole.id).is_some_and(|known| !known.stage.is_end());
        if !unchanged || is_open {
            group.part(&mut self.ahead);
            return Ok(false);
        }
        self.report.opportunities += 1;
        self.tell_detected(&whole);
        let (id, tip) = (whole.id.clone(), self.tip()?);
        self.journal.append(&id, vec![Event::Detected { opportunity: whole }])?;
        if group.members.iter().any(|member| member.found.investigation.commit != tip) {
            self.remember(&group.members);
            self.tell_rebuilding(&id, &tip)?;
            self.record_asked(&id, group.members.iter().map(|member| &member.found))?;
            return self.work_on_group(&id, 0).map(|()| true);
        }
        self.record_group(&id, group, 0).map(|()| true)
    }

    fn remember(&mut self, members: &[Member]) {
        for Member { opportunity, found } in members {
            if let Some(shortlist) = found.shortlist() {
                self.shortlists.insert(opportunity.id.clone(), shortlist.clone());
            }
        }
    }

    /// As [`Cycle::work_on`]: all of it or nothing.
    pub(super) fn work_on_group(&mut self, id: &ImprovementId, rebuilt: u32) -> Result<()> {
        let (tip, improvement) = (self.tip()?, self.journal.get(id)?.clone());
        let opportunities: Vec<&Opportunity> = improvement.members().collect();
        let mut chosen: Vec<Chosen<'_>> = Vec::new();
        for opportunity in &opportunities {
            let Some(tool) = self.tools.get(&opportunity.tool).cloned() else {
                return self.end(id, End::Closed { reason: format!("the tool `{}` is gone", opportunity.tool) });
            };
            chosen.push((tool, opportunity));
        }
        let found: Vec<Found> = self.look_into(&chosen, &tip)?.into_iter().collect::<Result<_>>()?;
        let members = opportunities.iter().zip(found);
        let members: Vec<Member> =
            members.map(|(opportunity, found)| Member { opportunity: (*opportunity).clone(), found }).collect();
        let kinds: Vec<Option<String>> = members
            .iter()
            .map(|member| member.found.accepted().map(|(candidate, ..)| kind(self.view(), &tip, candidate)).transpose())
            .collect::<Result<_>>()?;
        let judged = match kinds.iter().position(Option::is_none) {
            Some(at) => Err(format!("`{}`: {}", opportunities[at].tool, members[at].found.why_not())),
            None if kinds.iter().any(|kind| *kind != kinds[0]) => Err("they no longer have the same repair".to_string()),
            None => self.together(&members.iter().collect::<Vec<_>>())?,
        };
        match judged {
            Ok(judged) => self.record_group(id, Group { members, judged }, rebuilt),
            Err(why) => {
                let tried = members.iter().map(|member| member.found.tried()).sum();
                let goes_on = self.record_investigation(id, &members)?;
                self.record_asked(id, members.iter().map(|member| &member.found))?;
                if !goes_on {
                    return Ok(());
                }
                self.unsolved(id, tried, format!("{why}; each tool is looked at by itself"))
            }
        }
    }

    /// Records what was found out about all of them; whether there may be a patch.
    fn record_investigation(&mut self, id: &ImprovementId, members: &[Member]) -> Result<bool> {
        if self.journal.get(id)?.stage != Stage::Detected {
            return Ok(true);
        }
        let mut investigations = members.iter().map(|member| member.found.investigation.clone());
        let mut first = investigations.next().context("a bug: a group of none")?;
        first.others = investigations.collect();
        if let Some(other) = first.others.iter().find(|other| other.conclusion != Conclusion::Improvable)
            && first.conclusion == Conclusion::Improvable
        {
            first.conclusion = other.conclusion.clone();
        }
        self.investigated(id, first)
    }

    /// Records what was found and accepted; the group gets its commit and its branch, and lands.
    fn record_group(&mut self, id: &ImprovementId, group: Group, rebuilt: u32) -> Result<()> {
        let Group { members, judged } = group;
        if !self.record_investigation(id, &members)? {
            return Ok(());
        }
        // What was validated, wherever the base is by now.
        let base = members.first().map(|member| member.found.investigation.commit.clone()).context("a bug: a group of none")?;
        self.record_refused(id, &members, &base)?;
        let (mut attempts, mut candidates) = (Vec::new(), Vec::new());
        for Member { found, .. } in &members {
            let (candidate, _, tried) = found.accepted().context("a bug: a group without a repair")?;
            let prose = found.asked().filter(|asking| asking.is_prose()).last().and_then(|asking| asking.said.clone());
            let beside = found.beside().to_vec();
            attempts.push(AttemptSummary { prose, beside, ..deploy::summarise(self.view(), &base, candidate, tried)? });
            candidates.push(candidate);
        }
        let mut parts = Vec::new();
        for (at, Member { opportunity, found }) in members.iter().enumerate() {
            parts.push(deploy::Part {
                tool: &found.tool,
                opportunity,
                investigation: &found.investigation,
                candidate: candidates[at],
                attempt: &attempts[at],
                verdict: &judged[at].verdict,
                test: judged[at].test.as_ref(),
            });
        }
        let patch = candidates.iter().fold(Patch::default(), |all, candidate| all.and(candidate.patch.clone()));
        let trust = candidates.iter().map(|candidate| candidate.trust).min().unwrap_or(candidates[0].trust);
        let all = Candidate { patch, trust, title: title(&candidates), ..candidates[0].clone() };
        let tried = attempts.iter().map(|attempt| attempt.tried).sum();
        let mut attempt = deploy::summarise(self.view(), &base, &all, tried)?;
        attempt.cost = Some(self.journal.get(id)?.cost()).filter(|cost| *cost != Cost::default());
        attempt.beside = attempts.iter().flat_map(|attempt| attempt.beside.clone()).collect();
        attempt.parts = members
            .iter()
            .zip(&attempts)
            .map(|(member, attempt)| Part {
                id: member.opportunity.id.clone(),
                patch: attempt.patch.clone(),
                change: attempt.change(),
            })
            .collect();
        let verdict = verdict(&members, &judged);
        self.tell_judged(id, &attempt, &verdict)?;
        let whole = self.journal.get(id)?.opportunity.clone().context("a bug: a group without an opportunity")?;
        let asked: Vec<Asking> = self.journal.get(id)?.asked().cloned().collect();
        let proposal = deploy::propose_together(&whole, &parts, &attempt, (&base, &asked), self.view().clock.now())?;
        self.propose(id, Event::Judged { attempt, verdict }, &proposal)?;
        self.remember(&members);
        self.land(id, rebuilt)
    }

    /// What the gate refused of each of them is not proposed again.
    fn record_refused(&mut self, id: &ImprovementId, members: &[Member], base: &CommitId) -> Result<()> {
        for next in members.iter().flat_map(|member| &member.found.came) {
            let event = match next {
                Next::Judged { candidate, judged, tried, .. } if !judged.verdict.accepted() => {
                    let attempt = deploy::summarise(self.view(), base, candidate, *tried)?;
                    Event::Judged { attempt, verdict: judged.verdict.clone() }
                }
                Next::Asked(asking) => Event::Asked { asking: asking.clone() },
                Next::Judged { .. } | Next::Over { .. } | Next::Later { .. } => continue,
            };
            self.journal.append(id, vec![event])?;
        }
        Ok(())
    }
}

/// What makes repairs the same: the template; and of those who have none, the lines that are taken out and put in, wherever that is.
fn kind(view: &View, base: &CommitId, candidate: &Candidate) -> Result<String> {
    if !matches!(candidate.strategy.as_str(), "model" | "agent") {
        return Ok(candidate.source.clone());
    }
    let diff = deploy::summarise(view, base, candidate, 0)?.diff;
    let is_changed = |line: &&str| line.starts_with(['+', '-']) && !line.starts_with("+++ ") && !line.starts_with("--- ");
    Ok(diff.lines().filter(is_changed).collect::<Vec<_>>().join("\n"))
}

/// What the repair does, without the place where that is another one in each tool.
fn title(candidates: &[&Candidate]) -> String {
    let first = candidates.first().map_or("", |candidate| &candidate.title);
    let same = candidates.iter().all(|candidate| candidate.title == first);
    let cut = if same { None } else { first.split_once(" in `").map(|(what, _)| what) };
    cut.unwrap_or(first).to_string()
}

/// What the gate says of all of them: no better than of any.
fn verdict(members: &[Member], judged: &[Judged]) -> Verdict {
    let mut all = Verdict {
        judgement: Judgement::Accepted,
        level: judged.iter().map(|judged| judged.verdict.level).min().unwrap_or_default(),
        doubts: Vec::new(),
        plan: String::new(),
        checks: Vec::new(),
    };
    let mut plans = Vec::new();
    for (member, judged) in members.iter().zip(judged) {
        let (name, verdict) = (&member.found.tool.name, &judged.verdict);
        all.doubts.extend(verdict.doubts.iter().map(|doubt| format!("`{name}`: {doubt}")));
        plans.push(format!("{name}: {}", verdict.plan));
        all.checks.extend(verdict.checks.iter().map(|check| Check { name: format!("{name}: {}", check.name), ..check.clone() }));
    }
    all.plan = plans.join("; ");
    all
}
