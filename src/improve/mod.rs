//! Candidates for one investigation: every strategy proposes, this module orders, removes duplicates and what does not parse.
//!
//! Owns no belief: a candidate is tried by `validate`. Reads no file and runs nothing; all it may know is in [`Case`], and
//! the held-out recordings are not.

mod answers;
mod edit;
mod learned;
mod localize;
pub mod model;
mod operators;
mod oracle;
mod revert;
mod rules;
mod search;
mod spending;
mod suspicion;
mod template;

use std::collections::{BTreeMap, BTreeSet};

pub use answers::Difference;
pub use learned::{Learned, Repaired};
pub use operators::{CASES as OPERATOR_CASES, Operator, OperatorCase, operators};
pub use oracle::{Oracle, Suite};
pub use rules::{Template, TemplateCase, templates};
pub use search::{Budget, Known, Plausible, Report, SearchError, Stopped, readable, search};
pub use spending::{Ledger, Reserved, Spent, Till};

use regex::Regex;

use crate::lang;
use crate::model::{Candidate, FileEdit, Investigation, Patch, Tool};

/// Everything a strategy may know.
pub struct Case<'a> {
    pub tool: &'a Tool,
    pub investigation: &'a Investigation,
    /// The tool's own files at the base, by repository-relative path.
    pub sources: &'a BTreeMap<String, Vec<u8>>,
    /// The inverse of the culprit for the tool's paths; `None` when there is no culprit or it does not revert cleanly.
    pub revert: Option<&'a Patch>,
    /// How earlier repairs did; nothing is known without it.
    pub learned: Option<&'a Learned>,
}

/// One way to produce candidates.
pub trait Strategy {
    /// As written in the log and in commit trailers.
    fn name(&self) -> &'static str;
    /// Candidates for `case`, in any order; [`candidates`] sorts them by rank.
    fn propose(&self, case: &Case<'_>) -> Vec<Candidate>;
}

/// The registry, most trusted strategy first.
pub fn strategies() -> Vec<Box<dyn Strategy>> {
    vec![Box::new(revert::Revert), Box::new(template::Templates)]
}

/// What all strategies propose, at most `limit`: strategies in the order of [`strategies`], within one by descending rank.
/// Left out are patches that were proposed before in the list, that change nothing, or that leave a file that does not parse.
/// Where the templates' candidates were put to tests before, `passed` are those that passed, best first, and no others are proposed.
pub fn candidates(case: &Case<'_>, limit: usize, mut passed: Option<Vec<Candidate>>) -> Vec<Candidate> {
    let mut seen = BTreeSet::new();
    let mut chosen = Vec::new();
    for strategy in strategies() {
        let passed = if strategy.name() == template::Templates.name() { passed.take() } else { None };
        let proposed = passed.unwrap_or_else(|| {
            let mut proposed = strategy.propose(case);
            proposed.sort_by(|a, b| b.rank.total_cmp(&a.rank));
            proposed
        });
        for candidate in proposed {
            if chosen.len() >= limit {
                return chosen;
            }
            if changes(&candidate.patch, case.sources) && parses(&candidate.patch) && seen.insert(candidate.patch.id()) {
                chosen.push(candidate);
            }
        }
    }
    chosen
}

fn changes(patch: &Patch, sources: &BTreeMap<String, Vec<u8>>) -> bool {
    patch.edits.iter().any(|(path, edit)| match edit {
        FileEdit::Write(content) => sources.get(path) != Some(content),
        FileEdit::Delete => sources.contains_key(path),
    })
}

fn parses(patch: &Patch) -> bool {
    patch.edits.iter().all(|(path, edit)| match edit {
        FileEdit::Write(content) => lang::parses(lang::detect(path, content), content).is_ok(),
        FileEdit::Delete => true,
    })
}

/// A pattern that is part of the program.
fn regex(pattern: &'static str) -> Regex {
    Regex::new(pattern).expect("a constant pattern compiles")
}

#[cfg(test)]
mod tests;
