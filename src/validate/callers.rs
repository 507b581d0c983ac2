//! Callers: the other tools of the repository that may feel the patch, by their tests and their recorded good runs.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};

use super::last_line;
use super::trial::{Found, Trial};
use crate::compare::Expected;
use crate::model::{CommitId, Exit, Outcome, Recording, Tool};
use crate::world::View;
use crate::world::bench::Bench;
use crate::world::catalog;
use crate::world::store::{Query, Which};

/// Tools that are looked at, and good inputs of each.
const TOOLS: usize = 6;
const INPUTS: usize = 8;
/// Recorded runs that are looked through for them.
const RUNS: usize = 100;

pub(super) fn check(trial: &Trial<'_, '_>) -> Found {
    let callers = match callers(trial) {
        Ok(callers) => callers,
        Err(error) => return Found::weak(format!("the other tools could not be read: {error:#}")),
    };
    if callers.is_empty() {
        return Found::skipped("no other tool names the changed files");
    }
    let (mut checked, mut untried) = (Vec::new(), Vec::new());
    for tool in &callers {
        match one(trial, tool) {
            Ok(Some(how)) => return Found::failed(format!("`{}`, which uses what is changed: {how}", tool.name)),
            Ok(None) => checked.push(format!("`{}`", tool.name)),
            Err(why) => untried.push(format!("`{}`: {why}", tool.name)),
        }
    }
    match untried.first() {
        Some(first) => {
            Found::weak(format!("{} that use what is changed could not be tried: {first}", untried.len())).listing(untried)
        }
        None => Found::passed(format!("{} answer and pass their tests as before", checked.join(", "))),
    }
}

/// The other tools that use what is changed.
fn callers(trial: &Trial<'_, '_>) -> Result<Vec<Tool>> {
    let gate = trial.gate;
    let changed: Vec<&str> = trial.candidate.patch.edits.keys().map(String::as_str).collect();
    let tools = catalog::catalog(&gate.view.repo, &gate.view.config, &gate.commit)?.tools;
    let mut found = Vec::new();
    for tool in tools.into_iter().filter(|tool| tool.name != gate.tool.name) {
        if Reading::of(gate.view, &tool, &gate.commit)?.uses(&changed) {
            found.push(tool);
        }
    }
    found.truncate(TOOLS);
    Ok(found)
}

/// What a tool's checkout holds and its sources say.
pub struct Reading<'t> {
    tool: &'t Tool,
    sources: BTreeMap<String, Vec<u8>>,
}

impl<'t> Reading<'t> {
    /// Reads the tool's sources.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn of(view: &View, tool: &'t Tool, commit: &CommitId) -> Result<Reading<'t>> {
        Ok(Reading { tool, sources: catalog::sources(&view.repo, tool, commit)? })
    }

    /// Whose they are.
    pub fn tool(&self) -> &Tool {
        self.tool
    }

    /// Its files, without its tests.
    pub fn paths(&self) -> Vec<&str> {
        self.sources.keys().map(String::as_str).collect()
    }

    /// Whether it may feel that these files change: its files, tests or needs hold one of them, or a source of it names one.
    pub fn uses(&self, changed: &[&str]) -> bool {
        let tool = self.tool;
        let needs = |path: &str| tool.needs.iter().any(|need| path == need || path.starts_with(&format!("{need}/")));
        let holds = |path: &&str| tool.owns(path) || tool.tests_own(path) || needs(path);
        changed.iter().any(holds) || self.sources.values().any(|text| changed.iter().any(|path| mentions(text, path)))
    }
}

/// Whether a source says the file's name without its extension as a word of its own.
fn mentions(text: &[u8], path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let stem = name.split('.').next().unwrap_or(name);
    let text = String::from_utf8_lossy(text);
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    stem.len() > 2
        && text.match_indices(stem).any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + stem.len()..].starts_with(is_part))
}

/// What went wrong with one of them. `Err`: it could not be tried.
fn one(trial: &Trial<'_, '_>, tool: &Tool) -> Result<Option<String>, String> {
    let gate = trial.gate;
    let recordings = recordings(trial, tool).map_err(|error| format!("{error:#}"))?;
    let longest = recordings.iter().map(|recording| recording.execution.duration).max().unwrap_or(Duration::ZERO);
    let old = Bench::at(gate.view, tool, &gate.commit, longest).map_err(|error| error.to_string())?;
    let new = old.with(&trial.candidate.patch);
    if old.suite().is_some_and(|run| run.exit == Exit::Code(0))
        && let Some(run) = new.suite().filter(|run| run.exit != Exit::Code(0))
    {
        return Ok(Some(format!("its tests fail ({}): {}", run.exit, last_line(&run.stderr))));
    }
    let differs = |recording: &Recording| {
        let (first, second, now) = (old.replay(recording), old.replay(recording), new.replay(recording));
        let good = first.outcome == Outcome::Success && second.outcome == Outcome::Success;
        let expected = Expected::of(first.stdout, second.stdout, tool.compare);
        let fine = !good || now.outcome == Outcome::Success && expected.agrees(&now.stdout);
        (!fine).then(|| format!("`{}` is not answered as before ({})", recording.shown(60), now.exit))
    };
    Ok(old.each(&recordings, differs, Option::is_some).into_iter().flatten().flatten().next())
}

fn recordings(trial: &Trial<'_, '_>, tool: &Tool) -> Result<Vec<Recording>> {
    let view = trial.gate.view;
    let window = SignedDuration::from_hours(24 * i64::from(view.config.detect.window_days));
    let since = view.clock.now().saturating_sub(window).unwrap_or(Timestamp::UNIX_EPOCH);
    let which = Which::Only(Outcome::Success);
    let query = Query { tool: Some(&tool.name), which, since, limit: RUNS, ..Query::default() };
    let mut distinct = std::collections::BTreeMap::new();
    for execution in view.store.executions(&query)?.into_iter().filter(|execution| execution.input.is_whole()) {
        distinct.entry(execution.input.digest()).or_insert(execution);
    }
    distinct.into_values().take(INPUTS).map(|execution| Ok(view.store.load(execution)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_by_its_stem_as_a_word() {
        assert!(mentions(b"from lib.money import cents", "tools/lib/money.py"));
        assert!(mentions(b". \"$here/money.sh\"", "money.sh"));
        assert!(!mentions(b"moneybag = 1; my_money = 2", "money.py"));
        assert!(!mentions(b"a b c", "a.py"));
    }
}
