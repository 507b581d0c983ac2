//! What is taken to the gate for one opportunity: candidates that a search put to tests, else what the strategies have untried.
//!
//! Owns what the search is given: the seen half of the recordings and the tool's own tests, file by file. Nothing is stored: killed
//! anywhere, the next cycle searches again and finds the same.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use jiff::SignedDuration;

use super::improvement::Improvement;
use super::search::Shortlist;
use super::stage::Stage;
use crate::config::StrategyName;
use crate::deploy;
use crate::improve::{self, Budget, Case, Known, Learned, Oracle, Repaired, Report, SearchError, Suite};
use crate::lang;
use crate::model::{Answer, Candidate, Investigation, Patch, PatchId, Recording, SideEffects, Test, TestBody, Tool, ToolRun};
use crate::validate::Shown;
use crate::world::View;
use crate::world::catalog;
use crate::world::git::RevertError;
use crate::world::sandbox::ScratchFile;

/// Files that are searched, most suspicious first.
const FILES: usize = 3;
/// Candidates that nobody has tried before they come to the gate, where each costs processes.
const UNTRIED: usize = 400;

/// Candidates in the order in which the gate shall see them.
#[derive(Default)]
pub(super) struct Offer {
    pub(super) candidates: Vec<Candidate>,
    /// Candidates that a search has tried, for all files together.
    pub(super) searched: u64,
    /// How many it had tried when it found each of those that pass.
    found_at: BTreeMap<PatchId, u64>,
}

impl Offer {
    /// How many candidates had been looked at when this one, the one at `at`, was chosen.
    pub(super) fn looked_at(&self, at: usize) -> u64 {
        let found = self.candidates.get(at).and_then(|candidate| self.found_at.get(&candidate.patch.id()));
        found.copied().unwrap_or(self.searched + at as u64 + 1)
    }

    /// All that were looked at when none was chosen.
    pub(super) fn all(&self) -> u64 {
        let untried = self.candidates.iter().filter(|candidate| !self.found_at.contains_key(&candidate.patch.id()));
        self.searched + untried.count() as u64
    }
}

/// Who asks, and what is known.
pub(super) struct Asked<'a> {
    pub(super) view: &'a View,
    pub(super) tool: &'a Tool,
    pub(super) improvement: &'a Improvement,
    pub(super) investigation: &'a Investigation,
    pub(super) learned: &'a Learned,
    /// Told the file, and how many candidates were tried and passed.
    pub(super) progress: &'a dyn Fn(&str, u64, u64),
}

/// What became of the repairs that landed or that a person turned down.
pub(super) fn learned<'a>(improvements: impl Iterator<Item = &'a Improvement>) -> Learned {
    let mut learned = Learned::default();
    for improvement in improvements {
        let Some((attempt, _)) = &improvement.accepted else { continue };
        let good = match improvement.stage {
            Stage::Kept => true,
            Stage::Reverted | Stage::Closed => false,
            _ => continue,
        };
        let path = attempt.diff.lines().find_map(|line| line.strip_prefix("+++ b/")).unwrap_or_default();
        learned.record(lang::detect(path, b""), &attempt.source, good);
        if let (true, Some(opportunity)) = (good, &improvement.opportunity) {
            learned.repaired.push(Repaired { class: opportunity.failure.class.clone(), diff: attempt.diff.clone() });
        }
    }
    learned
}

impl Asked<'_> {
    /// Adds what is most trusted and costs nothing to find: undoing the culprit.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub(super) fn trusted(&self, mut offer: Offer) -> Result<Offer> {
        self.add(&mut offer, StrategyName::Revert, &self.sources()?, usize::MAX, Some(Vec::new()))?;
        Ok(offer)
    }

    /// What came to the gate on another base, without what was turned down meanwhile.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub(super) fn shortlisted(&self, shortlist: &Shortlist) -> Result<Offer> {
        let mut offer = Offer::default();
        for (candidate, tried) in &shortlist.candidates {
            if !self.is_turned_down(candidate)? {
                offer.found_at.insert(candidate.patch.id(), *tried);
                offer.candidates.push(candidate.clone());
            }
        }
        Ok(offer)
    }

    /// Adds what a search finds, or when nothing can be searched, what the strategies have untried.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub(super) fn searched(&self, mut offer: Offer, shown: &Shown<'_>) -> Result<Offer> {
        let sources = self.sources()?;
        let passed = self.search(&sources, shown, &mut offer);
        let limit = if passed.is_some() { usize::MAX } else { UNTRIED.min(self.view.config.improve.candidates) };
        self.add(&mut offer, StrategyName::Template, &sources, limit, passed)?;
        Ok(offer)
    }

    /// Of this strategy, without what is there, what was refused before, and what a person turned down on whatever version.
    fn add(
        &self,
        offer: &mut Offer,
        strategy: StrategyName,
        sources: &BTreeMap<String, Vec<u8>>,
        limit: usize,
        passed: Option<Vec<Candidate>>,
    ) -> Result<()> {
        let revert = if strategy == StrategyName::Revert { self.culprit_undone()? } else { None };
        let case = Case { revert: revert.as_ref(), ..self.case(sources) };
        for candidate in improve::candidates(&case, limit, passed) {
            if !offer.candidates.contains(&candidate) && !self.is_turned_down(&candidate)? {
                offer.candidates.push(candidate);
            }
        }
        Ok(())
    }

    /// What strategies may know.
    pub(super) fn case<'c>(&'c self, sources: &'c BTreeMap<String, Vec<u8>>) -> Case<'c> {
        let (tool, investigation, learned) = (self.tool, self.investigation, Some(self.learned));
        Case { tool, investigation, sources, revert: None, learned }
    }

    /// By the gate or by a person.
    pub(super) fn is_turned_down(&self, candidate: &Candidate) -> Result<bool> {
        let (refused, turned_down) = (&self.improvement.refused, &self.improvement.turned_down);
        if turned_down.is_empty() || refused.contains(&candidate.patch.id()) {
            return Ok(refused.contains(&candidate.patch.id()));
        }
        let change = deploy::summarise(self.view, &self.investigation.commit, candidate, 0)?.change();
        Ok(turned_down.contains(&change))
    }

    /// The candidates that pass what a search put them to, in the first file that has any. `None` when nothing could be searched, or
    /// when what was demanded of them may be too much: then the gate sees them untried.
    fn search(&self, sources: &BTreeMap<String, Vec<u8>>, shown: &Shown<'_>, offer: &mut Offer) -> Option<Vec<Candidate>> {
        let red = self.investigation.suite.as_ref().is_some_and(|suite| !suite.passed);
        if shown.failing.is_empty() && !red {
            return None;
        }
        let paths = self.suspicious(sources);
        let config = &self.view.config.improve;
        let (mut candidates, mut cpu) = (config.candidates, config.cpu.0);
        let mut searched = false;
        for (at, path) in paths.iter().enumerate() {
            let files_left = paths.len() - at;
            let budget = Budget { candidates: candidates / files_left, cpu: cpu / u32::try_from(files_left).unwrap_or(u32::MAX) };
            let Ok((report, used)) = self.search_in(path, sources, shown, budget) else { continue };
            searched = true;
            (candidates, cpu) = (candidates.saturating_sub(report.tried), cpu.saturating_sub(used));
            if !report.plausible.is_empty() {
                let before = offer.searched;
                let found_at = report.plausible.iter().map(|found| (found.candidate.patch.id(), before + found.tried as u64));
                offer.found_at = found_at.collect();
                offer.searched += report.tried as u64;
                return Some(report.plausible.into_iter().map(|found| found.candidate).collect());
            }
            offer.searched += report.tried as u64;
        }
        // A suite that was red before may hold tests that no repair of this failure satisfies.
        (searched && !red).then(Vec::new)
    }

    fn search_in(
        &self,
        path: &str,
        sources: &BTreeMap<String, Vec<u8>>,
        shown: &Shown<'_>,
        budget: Budget,
    ) -> Result<(Report, Duration), SearchError> {
        let source = improve::readable(path, &sources[path])?;
        let mut trials = self.oracle(path, source, shown).open(&self.view.sandbox, source)?;
        // A call with other literals is a run that nobody has seen: only for tools that are declared harmless.
        let may_vary = self.tool.effects == SideEffects::None;
        let known = Known {
            failure: Some(&self.investigation.failure),
            locations: &self.investigation.locations,
            learned: Some(self.learned),
            may_vary,
        };
        let mut last = (0, 0);
        let mut told = |tried: usize, passed: usize| {
            if tried >= 2 * last.0 || passed > last.1 {
                (self.progress)(path, tried as u64, passed as u64);
                last = (tried, passed);
            }
        };
        let report = improve::search(self.tool, sources, path, known, trials.as_mut(), budget, &mut told)?;
        Ok((report, trials.cpu()))
    }

    fn oracle(&self, path: &str, source: &str, shown: &Shown<'_>) -> Oracle {
        let tool = self.tool;
        let own = |file: &&ScratchFile| file.path == path.as_bytes();
        let language = lang::detect(path, source.as_bytes());
        let test = |recording: &&Recording, answer| {
            let input = &recording.execution.input;
            let run = ToolRun {
                args: input.args.clone(),
                stdin: recording.stdin.clone(),
                cwd: input.cwd.clone().unwrap_or_default(),
                success: tool.success.clone(),
                answer,
            };
            Test { name: recording.shown(60), body: TestBody::Run(run) }
        };
        let wanted = |recording: &&Recording| match (&recording.expected, &recording.execution.mark) {
            (Some(expected), _) => Answer::This(expected.clone()),
            (None, Some(_)) => Answer::Other(recording.stdout.clone()),
            (None, None) => Answer::Any,
        };
        let command = |words: &[String]| tool.command(words, "{root}");
        Oracle {
            language,
            path: path.to_string(),
            mode: shown.files.iter().find(own).map_or(0o100644, |file| file.mode),
            support: shown.files.iter().filter(|file| !own(file)).cloned().collect(),
            run: command(&tool.run),
            failing: shown.failing.iter().map(|recording| test(recording, wanted(recording))).collect(),
            given: Vec::new(),
            good: shown.good.iter().map(|recording| test(recording, Answer::This(recording.stdout.clone()))).collect(),
            suite: tool.test.as_ref().map(|words| Suite {
                command: command(words),
                passes: self.investigation.suite.as_ref().map(|suite| suite.passed),
            }),
            limits: shown.limits,
        }
    }

    /// The tool's files in which a repair is looked for: those that the investigation names, else all, those with a main part first.
    fn suspicious(&self, sources: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
        let mut paths: Vec<String> = Vec::new();
        let located = self.investigation.locations.iter().map(|location| &location.path);
        let run = self.tool.run.iter();
        let searchable =
            |path: &&String| sources.get(*path).is_some_and(|content| lang::Grammar::of(lang::detect(path, content)).is_some());
        for path in located.chain(run).chain(sources.keys()).filter(searchable) {
            if !paths.contains(path) {
                paths.push(path.clone());
            }
        }
        paths.truncate(FILES);
        paths
    }

    /// The tool's own files.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub(super) fn sources(&self) -> Result<BTreeMap<String, Vec<u8>>> {
        catalog::sources(&self.view.repo, self.tool, &self.investigation.commit)
    }

    fn culprit_undone(&self) -> Result<Option<Patch>> {
        culprit_undone(self.view, self.tool, self.investigation)
    }
}

/// What undoes the culprit in the tool's own paths and tests; nothing when it is ours, too old, or later changes conflict.
///
/// # Errors
/// When the repository cannot be read.
pub(super) fn culprit_undone(view: &View, tool: &Tool, investigation: &Investigation) -> Result<Option<Patch>> {
    let Some(culprit) = &investigation.culprit else { return Ok(None) };
    let revisions = view.repo.revisions(&culprit.commit, &tool.paths, 1)?;
    let oldest = SignedDuration::from_hours(24 * i64::from(view.config.improve.revert_days));
    let too_old = revisions.first().is_none_or(|revision| view.clock.now().duration_since(revision.at) > oldest);
    if too_old || view.repo.message(&culprit.commit)?.contains("\nFractal-Id: ") {
        return Ok(None);
    }
    // The tests that came with the commit go with it.
    let own: Vec<String> = tool.paths.iter().chain(&tool.tests).cloned().collect();
    match view.repo.inverse_of(&culprit.commit, &investigation.commit, &own) {
        Ok(patch) => Ok(Some(patch).filter(|patch| !patch.edits.is_empty())),
        Err(RevertError::Conflict(_) | RevertError::Name(_)) => Ok(None),
        Err(RevertError::Git(error)) => Err(error),
    }
}
