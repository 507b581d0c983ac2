//! What a tool does when it runs: what was declared, what an MCP server says, and what is seen when recorded runs are repeated under
//! observation, all of it confined.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};

use super::View;
use super::bench::{Bench, BenchError};
use super::sandbox::Observed;
use super::store::Query;
use crate::config::UnknownEffects;
use crate::model::{Character, CommitId, Language, Recording, SideEffects, Tool, Traits};

/// Recorded inputs that are repeated: of a tool of which nobody has said anything, and to see whether what was said is true.
const INPUTS: usize = 6;
const INPUTS_DECLARED: usize = 2;
/// Recorded runs that are looked through for distinct inputs.
const RUNS: usize = 60;

/// What may be run of the tool as `commit` has it.
///
/// # Errors
/// When the repository or the store cannot be read.
pub fn of(view: &View, tool: &Tool, commit: &CommitId) -> Result<Character> {
    let hints = view.store.hints()?.remove(&tool.name);
    let wanted = match tool.effects {
        SideEffects::Network | SideEffects::Destructive => 0,
        SideEffects::Unknown if view.config.validate.unknown_effects == UnknownEffects::Observe => INPUTS,
        SideEffects::Unknown => 0,
        // A build opens thousands of files; what it does is Cargo's doing.
        _ if tool.language == Language::Rust => 0,
        SideEffects::None | SideEffects::Files => INPUTS_DECLARED,
    };
    let observed = if wanted > 0 { observe(view, tool, commit, wanted)? } else { None };
    Ok(Character::of(Traits::of(tool.effects), observed, hints.as_ref()))
}

/// `None` when nothing can be repeated, or when system calls cannot be seen here.
fn observe(view: &View, tool: &Tool, commit: &CommitId, wanted: usize) -> Result<Option<Traits>> {
    let recordings = recordings(view, tool, wanted)?;
    let longest = recordings.iter().map(|recording| recording.execution.duration).max().unwrap_or(Duration::ZERO);
    let confined = Tool { effects: SideEffects::Files, ..tool.clone() };
    let bench = match Bench::at(view, &confined, commit, longest) {
        Ok(bench) => bench,
        Err(BenchError::World(error)) => return Err(error),
        Err(_) => return Ok(None),
    };
    let seen: Vec<Observed> =
        bench.each(&recordings, |recording| bench.observe(&recording.given()), |_| false).into_iter().flatten().collect();
    if seen.is_empty() || seen.iter().any(|seen| !seen.complete) {
        return Ok(None);
    }
    let any = |does: fn(&Observed) -> bool| Some(seen.iter().any(does));
    let own: BTreeSet<&str> = tool.paths.iter().chain(&tool.run).map(String::as_str).collect();
    let foreign = |seen: &Observed| seen.read.iter().any(|path| !own.contains(path.as_str()) && !tool.owns(path));
    Ok(Some(Traits {
        network: any(|seen| seen.network > 0),
        destructive: any(|seen| !seen.deleted.is_empty() || !seen.write_outside.is_empty()),
        writes_files: any(|seen| !seen.wrote.is_empty()),
        reads_files: Some(seen.iter().any(foreign) || seen.iter().any(|seen| !seen.read_outside.is_empty())),
        ..Traits::default()
    }))
}

fn recordings(view: &View, tool: &Tool, wanted: usize) -> Result<Vec<Recording>> {
    let window = SignedDuration::from_hours(24 * i64::from(view.config.detect.window_days));
    let since = view.clock.now().saturating_sub(window).unwrap_or(Timestamp::UNIX_EPOCH);
    let query = Query { tool: Some(&tool.name), since, limit: RUNS, ..Query::default() };
    let mut distinct = BTreeSet::new();
    let executions = view.store.executions(&query)?;
    let chosen = executions.into_iter().filter(|run| run.input.is_whole() && distinct.insert(run.input.digest()));
    chosen.take(wanted).map(|execution| Ok(view.store.load(execution)?)).collect()
}
