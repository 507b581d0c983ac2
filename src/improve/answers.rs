//! Patches that pass the same tests, told apart by what they answer to other inputs: those of the tests with a literal changed.
//!
//! Patches that answer alike are one cluster. What many patches do, and likely ones, is more likely meant than what one does; a patch
//! that goes on for ever where others end is less so. To refuse an input is an answer. Owns the order of plausible patches; how answers are got is the trials' business.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;

use super::regex;
use super::search::Plausible;
use crate::lang;
use crate::model::Language;
use crate::world::trial::Trials;

/// Patches that are looked at, the first by rank.
const PATCHES: usize = 16;
/// The same where each has to be compiled.
const PATCHES_COMPILED: usize = 6;
/// Inputs that are tried.
const INPUTS: usize = 60;
/// A cluster loses so much for each input on which it goes on for ever and another does not.
const ENDLESS: f64 = 0.85;

/// Where values live, which is different in every process.
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| regex("0x[0-9a-fA-F]{6,}"));

/// An input on which patches that pass all tests answer differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// A call of one of the tool's functions.
    pub input: String,
    /// An answer for each cluster that was looked at, the largest first.
    pub answers: Vec<String>,
}

/// Orders `plausible`: the likeliest cluster first, of those that answer alike the most trusted, and then by rank, in which the size of
/// the edit counts: the smallest alone may be an odd one. Also says on which input the two largest differ. What cannot be
/// told apart stays in the order of ranks, and so does everything unless the tool `may_vary` its inputs.
pub(super) fn order(
    trials: &mut dyn Trials,
    path: &str,
    source: &str,
    may_vary: bool,
    plausible: &mut Vec<Plausible>,
) -> Option<Difference> {
    plausible.sort_by(|a, b| b.candidate.rank.total_cmp(&a.candidate.rank).then(a.tried.cmp(&b.tried)));
    if plausible.len() < 2 || !may_vary {
        return None;
    }
    let language = lang::detect(path, source.as_bytes());
    let programs = trials.programs();
    let inputs = inputs(language, path, source, &programs);
    let tests: Vec<&str> = programs.iter().map(String::as_str).collect();
    let program = lang::probe(language, path, &tests, &inputs).filter(|_| !inputs.is_empty())?;
    let looked_at = if language == Language::Rust { PATCHES_COMPILED } else { PATCHES };
    let mut answers: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (at, patch) in plausible.iter().enumerate().take(looked_at) {
        let told = trials.probe(&patch.source, &program).ok().flatten()?;
        let lines = told.lines().map(|line| ADDRESS.replace_all(line, "0x").into_owned());
        let lines: Vec<String> = lines.chain(std::iter::repeat("nothing".to_string())).take(inputs.len()).collect();
        answers.insert(at, lines);
    }
    let clusters = clusters(&answers, plausible);
    let difference = difference(&clusters, &answers, &inputs);
    let mut place: BTreeMap<usize, usize> = BTreeMap::new();
    for (number, members) in clusters.iter().enumerate() {
        place.extend(members.iter().map(|member| (*member, number)));
    }
    let mut ordered: Vec<(usize, Plausible)> = std::mem::take(plausible).into_iter().enumerate().collect();
    for (at, patch) in &mut ordered {
        patch.cluster = place.get(at).copied();
    }
    ordered.sort_by_key(|(at, patch)| (place.get(at).copied().unwrap_or(usize::MAX), Reverse(patch.candidate.trust), *at));
    plausible.extend(ordered.into_iter().map(|(_, patch)| patch));
    difference
}

/// Patches that answer alike, by their numbers; the likeliest cluster first.
fn clusters(answers: &BTreeMap<usize, Vec<String>>, plausible: &[Plausible]) -> Vec<Vec<usize>> {
    let mut members: BTreeMap<&[String], Vec<usize>> = BTreeMap::new();
    for (at, lines) in answers {
        members.entry(lines).or_default().push(*at);
    }
    let endless = |lines: &[String]| lines.iter().filter(|line| *line == "late").count();
    let least = members.keys().map(|lines| endless(lines)).min().unwrap_or(0);
    let mut scored: Vec<(f64, Vec<usize>)> = members
        .into_iter()
        .map(|(lines, members)| {
            // Squares: one that is very likely counts more than several that are not.
            let ranks: f64 = members.iter().map(|at| plausible[*at].candidate.rank.powi(2)).sum();
            let more = i32::try_from(endless(lines) - least).unwrap_or(i32::MAX);
            (ranks * ENDLESS.powi(more), members)
        })
        .collect();
    scored.sort_by(|(a, first), (b, second)| b.total_cmp(a).then(first.cmp(second)));
    scored.into_iter().map(|(_, members)| members).collect()
}

fn difference(clusters: &[Vec<usize>], answers: &BTreeMap<usize, Vec<String>>, inputs: &[String]) -> Option<Difference> {
    let of: Vec<&Vec<String>> = clusters.iter().filter_map(|members| answers.get(members.first()?)).collect();
    let [first, second, ..] = &of[..] else { return None };
    let differs = |at: &usize| first.get(*at) != second.get(*at);
    // One that both answer says more than one at which something breaks down.
    let both = |at: &usize| [first, second].iter().all(|lines| lines.get(*at).is_some_and(|line| line.starts_with('=')));
    let at = (0..inputs.len()).find(|at| differs(at) && both(at)).or_else(|| (0..inputs.len()).find(differs))?;
    let said = |lines: &&Vec<String>| lines.get(at).map(|line| line.trim_start_matches("= ").to_string());
    Some(Difference { input: inputs[at].clone(), answers: of.iter().filter_map(said).collect() })
}

/// Calls with other literals than the tests', evenly from all that there are.
fn inputs(language: Language, path: &str, source: &str, tests: &[String]) -> Vec<String> {
    let functions: Vec<String> = lang::functions(language, source).into_iter().map(|function| function.name).collect();
    let calls: BTreeSet<String> = tests.iter().flat_map(|test| lang::calls(language, path, test, &functions)).collect();
    let mut varied: Vec<Vec<String>> = calls.iter().map(|call| lang::varied(language, call)).collect();
    varied.iter_mut().for_each(|ways| ways.reverse());
    let mut found: Vec<String> = Vec::new();
    while found.len() < INPUTS && varied.iter().any(|ways| !ways.is_empty()) {
        for way in varied.iter_mut().filter_map(Vec::pop) {
            if !calls.contains(&way) && !found.contains(&way) && found.len() < INPUTS {
                found.push(way);
            }
        }
    }
    found
}
