//! The search: candidates in the order of their rank put to the tests, single edits first, then two together.
//!
//! It is anytime (what it has found is in the report whatever made it stop) and deterministic: nothing in it depends on how long
//! anything took, except when the budget of processor time ends it. Owns the order of trials; what is proposed comes from the
//! strategies, and how a source is run is in `world::trial`.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;

use super::answers::{self, Difference};
use super::localize::{locate, telling};
use super::template::{Draft, drafts};
use super::{Case, Learned};
use crate::lang::{self, Editable};
use crate::model::{Candidate, CommitId, Conclusion, Exit, Failure, Investigation, Language, Location, TestRun, Tool, Triaged};
use crate::world::trial::Trials;

/// Where the search ends if it has not found what it looks for.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Candidates that are tried.
    pub candidates: usize,
    /// Processor time of all trials.
    pub cpu: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { candidates: 60_000, cpu: Duration::from_secs(120) }
    }
}

/// What is known of the fault before anything is run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// How the tool fails; else the tests tell.
    pub failure: Option<&'a Failure>,
    /// Suspicious places in any file.
    pub locations: &'a [Location],
    /// How earlier repairs did.
    pub learned: Option<&'a Learned>,
    /// Whether the tool may be run on inputs that nobody has chosen: it must be harmless whatever it is given.
    pub may_vary: bool,
}

/// Why a search cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    #[error("`{path}` does not parse: {why}")]
    DoesNotParse { path: String, why: String },
    #[error("every test passes: there is nothing to repair")]
    Green,
    #[error("no test begins: {why}")]
    Broken { why: String },
    #[error(transparent)]
    Trials(#[from] anyhow::Error),
}

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Enough was found, and enough more was looked at.
    Found,
    /// There was nothing more to try.
    Exhausted,
    /// The budget was used up.
    Budget,
}

/// A patch that passes every test it was shown.
#[derive(Clone, Debug)]
pub struct Plausible {
    pub candidate: Candidate,
    pub source: String,
    /// How many candidates had been tried when it was found, itself included.
    pub tried: usize,
    /// Bytes that it takes away and puts in.
    pub size: usize,
    /// Patches with the same number answer alike to other inputs than the tests'; 0 is the likeliest. `None` when it was not
    /// looked at.
    pub cluster: Option<usize>,
}

/// What a search found.
#[derive(Debug)]
pub struct Report {
    /// The untouched source on every test.
    pub baseline: Vec<TestRun>,
    /// Best first.
    pub plausible: Vec<Plausible>,
    /// Where the likeliest patches differ.
    pub difference: Option<Difference>,
    pub tried: usize,
    pub stopped: Stopped,
    /// Whether the tests run the file at all, when no patch was found.
    pub is_reached: bool,
}

/// Candidates that are tried together: few at first, so that a good guess is cheap.
const BATCHES: [usize; 4] = [16, 64, 128, 256];
/// The same where each batch is a build, which costs as much as many candidates.
const BATCHES_COMPILED: [usize; 4] = [64, 256, 256, 256];
/// After the first plausible patch so many more candidates are tried, or as many again as it took, whichever is more.
const MORE: usize = 400;
/// But not more than this many.
const MORE_MAX: usize = 3000;
/// The same where each candidate has to be compiled.
const MORE_COMPILED: usize = 128;
/// The same where each candidate has processes of its own.
const MORE_ALONE: usize = 48;
/// Plausible patches that are kept.
const KEPT: usize = 40;
/// Single edits of one source.
const SINGLES: usize = 40_000;
/// Single edits that are looked at again, to see which other failing tests they pass.
const HELPFUL: usize = 1500;
/// Failing tests that are looked at for that.
const OTHER_TESTS: usize = 4;
/// Candidates that were late in a batch and are waited for longer when nothing else was found.
const LATE: usize = 24;
/// First edits of pairs.
const FIRST_EDITS: usize = 40;
/// Second edits tried with each of them.
const SECOND_EDITS: usize = 400;

/// Looks for patches of `path`, one of the tool's `sources`, that pass all tests of `trials`. `progress` is told how many candidates were
/// tried and found.
///
/// # Errors
/// See [`SearchError`].
pub fn search(
    tool: &Tool,
    sources: &BTreeMap<String, Vec<u8>>,
    path: &str,
    known: Known<'_>,
    trials: &mut dyn Trials,
    budget: Budget,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Report, SearchError> {
    let source = readable(path, sources.get(path).map(Vec::as_slice).unwrap_or_default())?;
    let baseline = trials.cover(source)?;
    let order = order_of(&baseline);
    if baseline.iter().all(TestRun::passed) {
        return Err(SearchError::Green);
    }
    let is_compiled = lang::detect(path, source.as_bytes()) == Language::Rust;
    let more = match is_compiled {
        _ if trials.batch() < MORE_ALONE => (MORE_ALONE, MORE_ALONE),
        true => (MORE_COMPILED, MORE_COMPILED),
        false => (MORE, MORE_MAX),
    };
    let mut search = Search {
        tool,
        sources,
        path,
        known,
        budget,
        batches: if is_compiled { BATCHES_COMPILED } else { BATCHES },
        more,
        order,
        baseline: &baseline,
        trials: &mut *trials,
        progress,
        seen: HashSet::new(),
        kills: vec![0; baseline.len()],
        half_way: Vec::new(),
        late: Vec::new(),
        plausible: Vec::new(),
        tried: 0,
    };
    let stopped = search.run(source)?;
    let Search { mut plausible, tried, .. } = search;
    let difference = answers::order(trials, path, source, known.may_vary, &mut plausible);
    let is_run = baseline.iter().any(|run| !run.lines.is_empty());
    // In a language without a source that fails, nothing says that it is not.
    let is_reached = is_run || !plausible.is_empty() || trials.is_reached().unwrap_or(true);
    Ok(Report { baseline, plausible, difference, tried, stopped, is_reached })
}

/// The text of a file in which something can be looked for.
///
/// # Errors
/// When it is not UTF-8, or does not parse.
pub fn readable<'s>(path: &str, content: &'s [u8]) -> Result<&'s str, SearchError> {
    let unreadable = |why: String| SearchError::DoesNotParse { path: path.to_string(), why };
    lang::parses(lang::detect(path, content), content).map_err(unreadable)?;
    std::str::from_utf8(content).map_err(|error| unreadable(error.to_string()))
}

/// Failing tests first, the fastest of each first.
fn order_of(baseline: &[TestRun]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..baseline.len()).collect();
    order.sort_by_key(|at| (baseline[*at].passed(), baseline[*at].cpu, *at));
    order
}

/// Edits of one text: of the untouched source, or of one that has an edit already.
struct Round {
    source: String,
    first: Option<Draft>,
    editable: Editable,
    drafts: Rc<[Draft]>,
}

/// An edit with the text that it makes.
type Made = (Draft, String);

struct Search<'a> {
    tool: &'a Tool,
    sources: &'a BTreeMap<String, Vec<u8>>,
    path: &'a str,
    known: Known<'a>,
    budget: Budget,
    batches: [usize; 4],
    /// Candidates after the first plausible one, at least and at most.
    more: (usize, usize),
    /// Numbers of the tests in the order in which a candidate meets them.
    order: Vec<usize>,
    baseline: &'a [TestRun],
    trials: &'a mut dyn Trials,
    progress: &'a mut dyn FnMut(usize, usize),
    /// Texts and digests of what was tried.
    seen: HashSet<[u8; 32]>,
    /// Candidates that each test has stopped.
    kills: Vec<usize>,
    /// Edits that pass a test which the untouched source fails, with how far they got: half of a pair, perhaps.
    half_way: Vec<(usize, Draft)>,
    /// Edits of the untouched source that were late.
    late: Vec<Made>,
    plausible: Vec<Plausible>,
    tried: usize,
}

impl Search<'_> {
    fn run(&mut self, source: &str) -> Result<Stopped, SearchError> {
        self.seen.insert(*blake3::hash(source.as_bytes()).as_bytes());
        let Some(mut round) = self.round(source.to_string(), None, SINGLES) else { return Ok(Stopped::Exhausted) };
        if let Some(stopped) = self.try_all(&mut round)? {
            return Ok(stopped);
        }
        self.wait_longer(&round)?;
        if !self.plausible.is_empty() {
            return Ok(Stopped::Found);
        }
        self.pairs(&round)
    }

    /// Tries what was late in a batch alone, where it gets more time.
    fn wait_longer(&mut self, round: &Round) -> Result<(), SearchError> {
        let order = self.order.clone();
        for (draft, text) in std::mem::take(&mut self.late) {
            let Some(first) = order.first().filter(|_| self.plausible.is_empty()) else { break };
            if self.trials.confirm(&text, &[*first])?.iter().all(TestRun::passed) {
                self.confirm(round, &draft, text)?;
            }
        }
        Ok(())
    }

    fn confirm(&mut self, round: &Round, draft: &Draft, text: String) -> Result<(), SearchError> {
        let runs = self.trials.confirm(&text, &self.order)?;
        if let (true, Some(candidate)) = (runs.iter().all(TestRun::passed), whole(round, draft)) {
            let size = draft.edit.size(&round.source) + round.first.as_ref().map_or(0, |first| first.edit.size(first.before()));
            self.plausible.push(Plausible { candidate, source: text, tried: self.tried, size, cluster: None });
        }
        Ok(())
    }

    /// Second edits on sources that already have one: those that got furthest first, then those that rank highest.
    fn pairs(&mut self, singles: &Round) -> Result<Stopped, SearchError> {
        self.find_helpful(singles)?;
        let mut helpful = std::mem::take(&mut self.half_way);
        helpful.sort_by(|(a, first), (b, second)| b.cmp(a).then(second.rank.total_cmp(&first.rank)));
        let mut texts = HashSet::new();
        let ranked = singles.drafts.iter().cloned();
        for first in helpful.into_iter().map(|(_, draft)| draft).chain(ranked) {
            let Some(source) = first.text().filter(|text| texts.insert(text.clone())) else { continue };
            if texts.len() > FIRST_EDITS {
                break;
            }
            let Some(mut round) = self.round(source, Some(first), SECOND_EDITS) else { continue };
            if let Some(stopped) = self.try_all(&mut round)? {
                return Ok(stopped);
            }
            if !self.plausible.is_empty() {
                return Ok(Stopped::Found);
            }
        }
        Ok(Stopped::Exhausted)
    }

    /// Which single edits pass another failing test than the one that they met first.
    fn find_helpful(&mut self, singles: &Round) -> Result<(), SearchError> {
        let failing: Vec<usize> = self.order.iter().copied().filter(|at| !self.baseline[*at].passed()).collect();
        let top: Vec<Made> =
            singles.drafts.iter().take(HELPFUL).filter_map(|draft| Some((draft.clone(), draft.text()?))).collect();
        let texts: Vec<String> = top.iter().map(|(_, text)| text.clone()).collect();
        for test in failing.into_iter().skip(1).take(OTHER_TESTS) {
            let size = self.trials.batch().min(texts.len().max(1));
            for (top, texts) in top.chunks(size).zip(texts.chunks(size)) {
                if self.is_used_up() {
                    break;
                }
                for ((draft, _), verdict) in top.iter().zip(self.trials.triage(texts, &[test])?) {
                    if verdict == Triaged::Passed {
                        self.half_way.push((1, draft.clone()));
                    }
                }
            }
        }
        Ok(())
    }

    fn is_used_up(&self) -> bool {
        self.tried >= self.budget.candidates || self.trials.cpu() >= self.budget.cpu
    }

    /// Edits of `source`, by descending rank.
    fn round(&self, source: String, first: Option<Draft>, limit: usize) -> Option<Round> {
        let mut sources = self.sources.clone();
        sources.insert(self.path.to_string(), source.as_bytes().to_vec());
        let failure = self.known.failure.or_else(|| telling(self.baseline)).cloned();
        let mut locations = locate(self.path, self.baseline, self.known.locations);
        if let Some((line, added)) = first.as_ref().map(Draft::shift) {
            // What stood below the first edit stands elsewhere now.
            for location in locations.iter_mut().filter(|location| location.line > line) {
                location.line = u32::try_from(i64::from(location.line) + added).unwrap_or(1).max(1);
            }
        }
        let investigation = Investigation {
            commit: CommitId(String::new()),
            failure: failure.unwrap_or_else(|| Failure::new(&Exit::Code(1), None, "", Vec::new())),
            reproductions: Vec::new(),
            locations,
            culprit: None,
            suite: None,
            remarks: Vec::new(),
            others: Vec::new(),
            conclusion: Conclusion::Improvable,
        };
        let case =
            Case { tool: self.tool, investigation: &investigation, sources: &sources, revert: None, learned: self.known.learned };
        let mut drafts = drafts(&case, limit);
        drafts.retain(|draft| draft.path() == self.path);
        let editable = Editable::of(lang::detect(self.path, source.as_bytes()), &source)?;
        Some(Round { source, first, editable, drafts: drafts.into() })
    }

    /// Tries the edits of a round in batches. `None` when all were tried and the search may go on.
    fn try_all(&mut self, round: &mut Round) -> Result<Option<Stopped>, SearchError> {
        let drafts = Rc::clone(&round.drafts);
        let mut rest = drafts.iter();
        let mut found_at = None;
        for turn in 0.. {
            let size = self.batches[turn.min(self.batches.len() - 1)];
            let batch = self.batch(round, &mut rest, size.min(self.trials.batch()));
            if batch.is_empty() {
                return Ok(None);
            }
            self.try_batch(round, batch)?;
            (self.progress)(self.tried, self.plausible.len());
            if !self.plausible.is_empty() {
                let since = *found_at.get_or_insert(self.tried);
                if self.tried >= since + since.clamp(self.more.0, self.more.1) || self.plausible.len() >= KEPT {
                    return Ok(Some(Stopped::Found));
                }
            }
            if self.is_used_up() {
                return Ok(Some(if self.plausible.is_empty() { Stopped::Budget } else { Stopped::Found }));
            }
        }
        Ok(None)
    }

    /// The next candidates that parse and were not tried before.
    fn batch<'d>(&mut self, round: &mut Round, rest: &mut impl Iterator<Item = &'d Draft>, size: usize) -> Vec<Made> {
        let mut batch = Vec::with_capacity(size);
        for draft in rest {
            let Some(text) = draft.text() else { continue };
            if self.is_new(round, draft, &text) {
                batch.push((draft.clone(), text));
            }
            if batch.len() == size {
                break;
            }
        }
        batch
    }

    /// Whether a text parses and says something that nothing tried before said.
    fn is_new(&mut self, round: &mut Round, draft: &Draft, text: &str) -> bool {
        if !self.seen.insert(*blake3::hash(text.as_bytes()).as_bytes()) {
            return false;
        }
        let digest = round.editable.digest(&round.source, &draft.edit.span, draft.edit.text.len(), text);
        let of_round = |digest: [u8; 32]| {
            let first = round.first.as_ref().map(|first| blake3::hash(first.edit.text.as_bytes()));
            let mut hasher = blake3::Hasher::new();
            hasher.update(&digest).update(first.as_ref().map_or(&[], |first| first.as_bytes()));
            *hasher.finalize().as_bytes()
        };
        digest.is_some_and(|digest| self.seen.insert(of_round(digest)))
    }

    fn try_batch(&mut self, round: &Round, batch: Vec<Made>) -> Result<(), SearchError> {
        let texts: Vec<String> = batch.iter().map(|(_, text)| text.clone()).collect();
        let verdicts = self.trials.triage(&texts, &self.order)?;
        for ((draft, text), verdict) in batch.into_iter().zip(verdicts) {
            self.tried += 1;
            match verdict.stopped_at() {
                Some(test) => self.stopped(round, (draft, text), verdict, test),
                None => self.confirm(round, &draft, text)?,
            }
        }
        self.reorder();
        Ok(())
    }

    fn stopped(&mut self, round: &Round, made: Made, verdict: Triaged, test: usize) {
        if let Some(kills) = self.kills.get_mut(test) {
            *kills += 1;
        }
        let place = self.order.iter().position(|at| *at == test).unwrap_or(0);
        match verdict {
            _ if round.first.is_some() => {}
            Triaged::TimedOut { .. } if self.late.len() < LATE => self.late.push(made),
            Triaged::Failed { .. } if place > 0 => self.half_way.push((place, made.0)),
            _ => {}
        }
    }

    /// Of the tests that pass without a patch, those that have stopped most candidates come first.
    fn reorder(&mut self) {
        let (baseline, kills) = (self.baseline, &self.kills);
        let key = |at: &usize| {
            let passed = baseline[*at].passed();
            (passed, if passed { usize::MAX - kills[*at] } else { 0 }, baseline[*at].cpu, *at)
        };
        self.order.sort_by_key(key);
    }
}

/// The draft with the first edit of its round, as the other stages take it.
fn whole(round: &Round, draft: &Draft) -> Option<Candidate> {
    let second = draft.candidate()?;
    let Some(first) = round.first.as_ref().and_then(Draft::candidate) else { return Some(second) };
    Some(Candidate {
        strategy: second.strategy,
        source: format!("{} + {}", first.source, second.source),
        title: format!("{}; {}", first.title, second.title),
        trust: first.trust.min(second.trust),
        patch: second.patch,
        rank: first.rank * second.rank,
    })
}
