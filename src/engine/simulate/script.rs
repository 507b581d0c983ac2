//! The stages as a script: which failures there are stands in the tools' files, and everything else follows from hashes, so that the same
//! question has the same answer however often it is asked.
//!
//! A line `fault K` of a tool's file is a failure; `fixed K by J` is repair J of it, and `fixed K by J badly` one that makes the tool
//! worse.

use std::sync::Arc;

use anyhow::Result;

use super::Plant;
use super::dice::percent_of;
use super::sim::{Sim, Validated};
use crate::detect::Detected;
use crate::engine::improvement::Improvement;
use crate::engine::search::{Attempts, Next, Shortlist, Wanted};
use crate::engine::stages::{Real, Stages, Work};
use crate::model::{
    Analysis, Candidate, Character, CommitId, Conclusion, Counts, Exit, Failure, Finding, ImprovementId, Investigation,
    Judgement, Level, Opportunity, Patch, Priority, Recording, Signal, Tool, Trust, Verdict,
};
use crate::monitor::Watch;
use crate::validate::Judged;
use crate::world::View;
use crate::world::bench::BenchError;

/// Repairs that there are of one failure.
const REPAIRS: u32 = 4;

pub(super) struct Script(pub(super) Arc<Sim>);

/// The failures that a tool's file has.
pub(super) fn faults(content: &str) -> Vec<u32> {
    content.lines().filter_map(|line| line.strip_prefix("fault ")?.parse().ok()).collect()
}

fn failure_of(fault: u32) -> Failure {
    Failure::new(&Exit::Code(1), Some(format!("Fault{fault}")), "it failed", Vec::new())
}

/// The improvement that is about a failure.
pub(super) fn id_of(tool: &str, fault: u32) -> ImprovementId {
    ImprovementId::of(tool, &failure_of(fault).fingerprint)
}

fn content(view: &View, tool: &Tool, commit: &CommitId) -> Result<String> {
    let file = view.repo.file_at(commit, &tool.paths[0])?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&file).into_owned())
}

impl Script {
    fn chance(&self, parts: &[&str]) -> u64 {
        let seed = self.0.seed.to_string();
        percent_of(&[&[seed.as_str()], parts].concat())
    }
}

fn verdict(judgement: Judgement, level: Level) -> Verdict {
    Verdict { judgement, level, doubts: Vec::new(), plan: String::new(), checks: Vec::new() }
}

impl Script {
    /// A candidate with its test; `whole` is what it is validated with, all that there is besides `parent`.
    fn judged(
        &self,
        wanted: &Wanted<'_>,
        parent: &CommitId,
        (candidate, whole): (&Candidate, Patch),
        verdict: Verdict,
    ) -> Judged {
        let id = &wanted.opportunity.id;
        let with_test = self.chance(&["test", id.as_str()]) < 50;
        let tests = format!("tests/{}.txt", id.short());
        let test = with_test.then(|| Patch::write(tests, format!("{}\n", candidate.title).into_bytes()));
        if verdict.accepted() {
            let validated = Validated {
                tool: wanted.tool.name.clone(),
                parent: parent.clone(),
                patch: whole.and(test.clone().unwrap_or_default()),
                alone: verdict.level == Level::Land && self.0.plant != Some(Plant::Unasked),
            };
            self.0.with(|state| state.validated.push(validated));
        }
        Judged { verdict, test, recipe: None }
    }
}

impl Stages for Script {
    fn detect(&self, view: &View, tools: &[Tool], tip: &CommitId) -> Result<Detected> {
        let mut detected = Detected::default();
        for tool in tools {
            let Some(version) = view.repo.version_at(tip, &tool.paths)? else { continue };
            detected.analysed += 1;
            for fault in faults(&content(view, tool, tip)?) {
                detected.opportunities.push(Opportunity {
                    id: id_of(&tool.name, fault),
                    tool: tool.name.clone(),
                    version: version.clone(),
                    counts: Counts { runs: 20, failures: 10 },
                    failure: failure_of(fault),
                    failures: 10,
                    distinct_inputs: 3,
                    signals: vec![Signal::LowSuccess { rate: 0.5, threshold: 0.7 }],
                    priority: Priority::Medium,
                    score: f64::from(fault),
                    last_seen: view.clock.now(),
                    each: Vec::new(),
                });
            }
        }
        Ok(detected)
    }

    fn character(&self, _: &View, tool: &Tool, _: &CommitId) -> Result<Character> {
        Ok(Character { effects: tool.effects, because: "the script says so".into() })
    }

    fn investigate(&self, view: &View, tool: &Tool, opportunity: &Opportunity, tip: &CommitId) -> Result<Investigation> {
        self.0.work(view.repo.root());
        anyhow::ensure!(self.0.plant != Some(Plant::Endless), "the investigation never ends");
        let found = faults(&content(view, tool, tip)?).into_iter().any(|fault| id_of(&tool.name, fault) == opportunity.id);
        let reason = "the script says so".to_string();
        let conclusion = match self.chance(&["investigate", opportunity.id.as_str()]) {
            _ if !found => Conclusion::NotReproducible { reason },
            0..5 => Conclusion::Flaky { reason },
            _ => Conclusion::Improvable,
        };
        Ok(Investigation {
            commit: tip.clone(),
            failure: opportunity.failure.clone(),
            reproductions: Vec::new(),
            locations: Vec::new(),
            culprit: None,
            suite: None,
            remarks: Vec::new(),
            others: Vec::new(),
            conclusion,
        })
    }

    fn search<'a>(&'a self, wanted: Wanted<'a>) -> Result<Box<dyn Attempts + 'a>, BenchError> {
        Ok(Box::new(Repairs { script: self, wanted, next: 0 }))
    }

    fn judge(&self, wanted: Wanted<'_>, candidate: &Candidate) -> Result<Judged, BenchError> {
        let Wanted { view, opportunity, investigation, .. } = wanted;
        self.0.work(view.repo.root());
        let base = &investigation.commit;
        let Some(parent) = view.repo.parent(base)? else { return Err(BenchError::Vanished(base.to_string())) };
        let others = view.repo.changed_paths(&parent, base)?.unwrap_or_default();
        let reason = "the script says so".to_string();
        let (judgement, level) = match self.chance(&["together", opportunity.id.as_str(), &others.join(" ")]) {
            0..25 => (Judgement::Rejected { reason }, Level::Abstain),
            25..35 => (Judgement::Accepted, Level::Review),
            _ => (Judgement::Accepted, Level::Land),
        };
        let mut whole = candidate.patch.clone();
        for path in others {
            let content = view.repo.file_at(base, &path)?.unwrap_or_default();
            whole = whole.and(Patch::write(path, content));
        }
        Ok(self.judged(&wanted, &parent, (candidate, whole), verdict(judgement, level)))
    }

    fn analyse(&self, view: &View, watch: &Watch<'_>) -> Result<Analysis> {
        let looks = self.0.with(|state| {
            let looks = state.looks.entry(watch.after.clone()).or_default();
            *looks += 1;
            *looks
        });
        let is_bad = content(view, watch.tool, watch.after)?.lines().any(|line| line.ends_with("badly"));
        let reason = "the script says so".to_string();
        let (patience, kind) = (self.chance(&["looks", watch.after.as_str()]) % 3, self.chance(&["kind", watch.after.as_str()]));
        let finding = match kind {
            _ if u64::from(looks) <= patience => Finding::Waiting { needed: 3 },
            0..10 if looks < 4 => Finding::FalseAlarm { reason },
            10..20 => Finding::Inconclusive { reason },
            20..28 => Finding::Unconfirmed { reason },
            _ if is_bad => Finding::Regression { p: 1e-6 },
            _ => Finding::Good,
        };
        let counts = Counts { runs: 20, failures: 2 };
        Ok(Analysis { before: counts, after: counts, log_bayes_factor: 0.0, replays: Vec::new(), finding })
    }

    fn not_repaired(
        &self,
        view: &View,
        tool: &Tool,
        tip: &CommitId,
        undo: &Patch,
        confirmed: &[Recording],
    ) -> Result<Vec<String>> {
        Real.not_repaired(view, tool, tip, undo, confirmed)
    }

    /// One after the other, in an order that the dice choose: the same seed is the same history.
    fn at_once<'a>(&self, mut works: Vec<Work<'a>>) {
        while !works.is_empty() {
            let next = self.0.with(|state| state.dice.below(works.len() as u64)) as usize;
            works.remove(next)();
        }
    }
}

/// The repairs of one failure.
struct Repairs<'a> {
    script: &'a Script,
    wanted: Wanted<'a>,
    next: u32,
}

impl Repairs<'_> {
    fn candidate(&self, repair: u32) -> Result<Option<Candidate>> {
        let Wanted { view, tool, opportunity, investigation, .. } = self.wanted;
        let content = content(view, tool, &investigation.commit)?;
        let Some(fault) = faults(&content).into_iter().find(|fault| id_of(&tool.name, *fault) == opportunity.id) else {
            return Ok(None);
        };
        let badly =
            if self.script.chance(&["bad", &tool.name, &fault.to_string(), &repair.to_string()]) < 40 { " badly" } else { "" };
        let fixed = format!("fixed {fault} by {repair}{badly}");
        let lines = content.lines().map(|line| if line == format!("fault {fault}") { fixed.as_str() } else { line });
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        Ok(Some(Candidate {
            strategy: "template".into(),
            source: format!("repair-{repair}"),
            title: fixed.clone(),
            trust: Trust::Land,
            patch: Patch::write(tool.paths[0].clone(), text.into_bytes()),
            rank: 1.0,
        }))
    }

    fn verdict(&self, repair: u32) -> Verdict {
        let id = self.wanted.opportunity.id.as_str();
        match self.script.chance(&["verdict", id, &repair.to_string()]) {
            0..20 => verdict(Judgement::Rejected { reason: "the script says so".into() }, Level::Abstain),
            20..45 => verdict(Judgement::Accepted, Level::Review),
            _ => verdict(Judgement::Accepted, Level::Land),
        }
    }
}

impl Attempts for Repairs<'_> {
    fn next(&mut self, improvement: &Improvement) -> Result<Next> {
        let Wanted { view, investigation, .. } = self.wanted;
        while self.next < REPAIRS {
            self.next += 1;
            let Some(candidate) = self.candidate(self.next)? else { break };
            let change = crate::deploy::summarise(view, &investigation.commit, &candidate, 0)?.change();
            if improvement.refused.contains(&candidate.patch.id()) || improvement.turned_down.contains(&change) {
                continue;
            }
            self.script.0.work(view.repo.root());
            let verdict = self.verdict(self.next);
            let whole = (&candidate, candidate.patch.clone());
            let judged = Box::new(self.script.judged(&self.wanted, &investigation.commit, whole, verdict));
            let candidate = match self.script.0.plant {
                Some(Plant::OtherTree) => {
                    Candidate { patch: candidate.patch.and(Patch::write("other.txt", Vec::new())), ..candidate }
                }
                _ => candidate,
            };
            let tried = u64::from(self.next);
            let shortlist =
                Shortlist { commit: investigation.commit.clone(), candidates: vec![(candidate.clone(), tried)], only: false };
            return Ok(Next::Judged { candidate, judged, tried, shortlist, beside: Vec::new() });
        }
        Ok(Next::Over { tried: u64::from(self.next), reason: "the script has no other repair".into() })
    }
}
