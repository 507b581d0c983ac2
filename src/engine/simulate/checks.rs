//! What must hold whatever happens. Most of it is looked at each time a loop has moved a ref, the rest when all has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::script::{faults, id_of};
use super::sim::{Cycled, State, Validated};
use crate::engine::improvement::Undone;
use crate::engine::{History, Improvement, Stage};
use crate::model::{CommitId, FileEdit, ImprovementId};
use crate::world::git::{LOG_REF, NOTES_REF, reverted_by};
use crate::world::ground::Edits;

/// Where a ref is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Here,
    Remote,
}

const BASE: &str = "refs/heads/main";
/// Where a loop's own branches are.
pub(super) const OURS: &str = "refs/heads/fractal/";

/// A loop moved a ref.
pub(super) fn moved(state: &mut State, place: Place, name: &str, old: Option<&CommitId>, new: &CommitId) {
    let found = look(state, place, name, old, new).unwrap_or_else(|error| Some(format!("the check itself failed: {error:#}")));
    if let Some(what) = found {
        let remote = if place == Place::Remote { " on the remote" } else { "" };
        state.breaks(format!(
            "{what} (`{name}`{remote} moved from {} to {})",
            old.map_or("nothing", CommitId::short),
            new.short()
        ));
    }
    if name.starts_with(OURS) && !follows(state, place, name, new) {
        state.ours.insert(new.clone());
    }
}

fn look(state: &mut State, place: Place, name: &str, old: Option<&CommitId>, new: &CommitId) -> Result<Option<String>> {
    if name == LOG_REF {
        if place == Place::Here
            && let Some(frame) = state.stack.last_mut()
        {
            // What comes next is another act.
            frame.excused = false;
        }
        return log_is_appended(state, place, old, new);
    }
    let excused = state.stack.last().is_some_and(|frame| frame.excused);
    let outward = name.starts_with("refs/heads/") || name == NOTES_REF;
    let follows = follows(state, place, name, new);
    if state.paused && outward && !excused && !follows {
        return Ok(Some("an act was begun although everything was paused".into()));
    }
    if !name.starts_with("refs/heads/") {
        return Ok(None);
    }
    state.tally.moves += 1;
    if let Some(lost) = lost(state, place, name, old, new)? {
        return Ok(Some(format!("a person's commit {} is lost", lost.short())));
    }
    match name {
        _ if follows => Ok(None),
        BASE => base(state, old, new),
        ours if ours.starts_with(OURS) => branch(state, place, ours, old, new),
        _ => Ok(Some("somebody's branch was moved".into())),
    }
}

/// Whether a ref here goes where it is at the remote. That was looked at when it came there, or is a person's: to bring it here is no act,
/// and makes nothing ours.
fn follows(state: &State, place: Place, name: &str, new: &CommitId) -> bool {
    place == Place::Here && state.remote.as_ref().and_then(|remote| remote.get(name)) == Some(new)
}

/// A person's commit that a ref led to, and that nothing leads to any more.
fn lost(state: &State, place: Place, name: &str, old: Option<&CommitId>, new: &CommitId) -> Result<Option<CommitId>> {
    let Some(old) = old else { return Ok(None) };
    let now = state.ground.ancestors([new])?;
    let gone: Vec<CommitId> = state
        .ground
        .ancestors([old])?
        .into_iter()
        .filter(|commit| state.people.contains(commit) && !now.contains(commit))
        .collect();
    if gone.is_empty() {
        return Ok(None);
    }
    let refs = match (place, &state.remote) {
        (Place::Remote, Some(remote)) => remote.clone(),
        _ => state.ground.branches()?,
    };
    let elsewhere = refs.iter().filter(|(other, _)| other.starts_with("refs/heads/") && *other != name).map(|(_, commit)| commit);
    let kept = state.ground.ancestors(elsewhere)?;
    Ok(gone.into_iter().find(|commit| !kept.contains(commit)))
}

/// The log only grows, by lines at the ends of its files.
fn log_is_appended(state: &State, place: Place, old: Option<&CommitId>, new: &CommitId) -> Result<Option<String>> {
    let Some(old) = old else { return Ok(None) };
    if place == Place::Remote {
        let grows = state.ground.ancestors([new])?.contains(old);
        return Ok((!grows).then(|| "the log was rewritten".into()));
    }
    if !state.ground.parents(new).contains(old) {
        return Ok(Some("the log was rewritten".into()));
    }
    let rewritten = state.ground.changes(new)?.into_iter().find(|(path, content)| {
        let before = state.ground.file(old, path).unwrap_or_default();
        !content.as_ref().is_some_and(|content| content.starts_with(&before) && content.ends_with(b"\n"))
    });
    Ok(rewritten.map(|(path, _)| format!("`{path}` of the log was rewritten")))
}

/// The base goes forward by one commit: one that was validated as it is, or one that undoes what landed.
fn base(state: &mut State, old: Option<&CommitId>, new: &CommitId) -> Result<Option<String>> {
    let Some(old) = old else { return Ok(Some("the base was made".into())) };
    if state.ground.parents(old).first() == Some(new) && state.ours.contains(old) {
        // The work tree did not follow, so what had just landed was taken back.
        return Ok(None);
    }
    if state.ground.parents(new) != [old.clone()] {
        return Ok(Some("the base was not moved forward by one commit".into()));
    }
    let message = state.ground.message(new);
    match reverted_by(&message).iter().min() {
        Some(reverted) => revert(state, old, new, reverted),
        None => {
            state.tally.landed += 1;
            state.tally.groups += u64::from(tools_in(&message).len() > 1);
            match validated(state, new)? {
                Err(why) => Ok(Some(format!("what landed is not what was validated: {why}"))),
                Ok(alone) => unasked(state, new, alone),
            }
        }
    }
}

/// The forge lands a proposal of a loop on the base, which is at `main`.
pub(super) fn landed(state: &mut State, main: &CommitId, head: &CommitId) {
    if state.people.contains(head) {
        return state.breaks(format!("{}, which is a person's, was landed", head.short()));
    }
    let Some(parent) = state.ground.parents(head).into_iter().next() else { return };
    if parent != *main {
        // Between the last look and the landing: a forge has no lease on the base.
        state.tell(format!("the base had moved on from {}", parent.short()));
    }
    let found = base(state, Some(&parent), head).unwrap_or_else(|error| Some(format!("the check itself failed: {error:#}")));
    if let Some(what) = found {
        state.breaks(format!("{what} ({} landed by the forge on {})", head.short(), main.short()));
    }
}

/// What must not land without a person's approval, and has none.
fn unasked(state: &State, commit: &CommitId, alone: bool) -> Result<Option<String>> {
    let id = id_in(&state.ground.message(commit)).unwrap_or_default();
    let known = |id: &String| state.undone.contains(id) && !state.amnesia;
    let was_undone = known(&id) || parts(state, commit)?.iter().any(|(id, _)| known(id));
    if (alone && !was_undone) || state.approved.contains(&(id, change_of(state, commit)?)) {
        return Ok(None);
    }
    let why = if was_undone { "after an earlier attempt was reverted" } else { "that the gate wanted a person for" };
    Ok(Some(format!("something landed unasked {why}")))
}

/// Whether a commit is a validated patch on a validated base, with its notes and nothing else: whether it may land without a person, or
/// what is wrong with it.
fn validated(state: &State, commit: &CommitId) -> Result<Result<bool, String>> {
    let parents = state.ground.parents(commit);
    let [parent] = parents.as_slice() else { return Ok(Err("it has not one parent".into())) };
    let mut changes = state.ground.changes(commit)?;
    changes.retain(|path, _| !path.starts_with(".fractal/notes/"));
    let on_parent: Vec<&Validated> = state.validated.iter().filter(|validated| validated.parent == *parent).collect();
    if on_parent.is_empty() {
        return Ok(Err(format!("nothing was validated on {}", parent.short())));
    }
    let wanted = |patch: &crate::model::Patch| -> Edits {
        let edits = patch.edits.iter().map(|(path, edit)| match edit {
            FileEdit::Write(content) => (path.clone(), Some(content.clone())),
            FileEdit::Delete => (path.clone(), None),
        });
        edits.filter(|(path, content)| state.ground.file(parent, path) != *content).collect()
    };
    // Each of its tools was validated on this tree, and not on one with less or more.
    let (mut alone, tools) = (true, tools_in(&state.ground.message(commit)));
    if tools.is_empty() {
        return Ok(Err("it names no tool".into()));
    }
    for tool in tools {
        let own = on_parent.iter().filter(|it| it.tool == tool && wanted(&it.patch) == changes);
        let found: Vec<bool> = own.map(|it| it.alone).collect();
        if found.is_empty() {
            return Ok(Err(format!("`{tool}` was not: it changes {:?}", changes.keys().collect::<Vec<_>>())));
        }
        alone &= found.contains(&true);
    }
    Ok(Ok(alone))
}

fn revert(state: &mut State, old: &CommitId, new: &CommitId, reverted: &CommitId) -> Result<Option<String>> {
    state.tally.reverted += 1;
    let before = state.ground.ancestors([old])?;
    state.undone.extend(id_in(&state.ground.message(reverted)));
    let parts = parts(state, reverted)?;
    state.undone.extend(parts.into_iter().map(|(id, _)| id));
    if !before.contains(reverted) {
        return Ok(Some(format!("{} was reverted and is not there", reverted.short())));
    }
    let message = state.ground.message(reverted);
    if !reverted_by(&message).is_empty() {
        return Ok(Some(format!("{}, a revert, was reverted", reverted.short())));
    }
    if !message.contains("\nFractal-Id: ") {
        return Ok(Some(format!("{} is not a commit of ours", reverted.short())));
    }
    // A revert that a person has taken back counts no more.
    let taken_back: BTreeSet<CommitId> = before.iter().flat_map(|commit| reverted_by(&state.ground.message(commit))).collect();
    for commit in before.iter().filter(|commit| !taken_back.contains(*commit)) {
        for earlier in reverted_by(&state.ground.message(commit)) {
            if undoes(state, &earlier, reverted)? {
                return Ok(Some(format!("{} was reverted twice, first by {}", reverted.short(), commit.short())));
            }
        }
    }
    let wanted = state.ground.undone(reverted, old)?;
    Ok((wanted.as_ref() != Some(&state.ground.changes(new)?)).then(|| "a revert does not undo what it says".into()))
}

/// Whether reverting `commit` takes `what` away: it is that, or a merge that brought it.
fn undoes(state: &State, commit: &CommitId, what: &CommitId) -> Result<bool> {
    let parents = state.ground.parents(commit);
    match parents.as_slice() {
        _ if commit == what => Ok(true),
        [first, _, ..] => {
            Ok(state.ground.ancestors([commit])?.contains(what) && !state.ground.ancestors([first])?.contains(what))
        }
        _ => Ok(false),
    }
}

/// A branch of ours: made, or moved from where we had put it to something that was validated.
fn branch(state: &mut State, place: Place, name: &str, old: Option<&CommitId>, new: &CommitId) -> Result<Option<String>> {
    state.tally.proposed += 1;
    if let Some(old) = old.filter(|old| !state.ours.contains(old)) {
        return Ok(Some(format!("{}, which is not ours, was overwritten", old.short())));
    }
    if let Some(reverted) = reverted_by(&state.ground.message(new)).into_iter().min() {
        return proposed_revert(state, name, new, &reverted);
    }
    if let Err(why) = validated(state, new)? {
        return Ok(Some(format!("what is proposed is not what was validated: {why}")));
    }
    let message = state.ground.message(new);
    let Some(id) = id_in(&message) else {
        return Ok(Some("the commit names no improvement".into()));
    };
    if !name.ends_with(&format!("/{}", &id[..8])) {
        return Ok(Some(format!("it is the branch of another improvement than {id}")));
    }
    let mut changes = parts(state, new)?;
    changes.push((id, change_of(state, new)?));
    // What was done here in the moment of a push is seen afterwards.
    // Two loops in one clone, which the loop's lock forbids, can miss what a person did between them.
    let known = changes.iter().any(|change| state.turned_down.contains(change));
    let again = place == Place::Here && state.loops == 1 && known;
    Ok(again.then(|| "a change that a person turned down is proposed again".into()))
}

/// A branch that would revert something: exactly that, on the base.
fn proposed_revert(state: &State, name: &str, new: &CommitId, reverted: &CommitId) -> Result<Option<String>> {
    let Some(parent) = state.ground.parents(new).into_iter().next() else { return Ok(Some("a revert of nothing".into())) };
    if !name.ends_with("-revert") {
        return Ok(Some("a revert is proposed on the branch of an improvement".into()));
    }
    let wanted = state.ground.undone(reverted, &parent)?;
    Ok((wanted.as_ref() != Some(&state.ground.changes(new)?)).then(|| "a proposed revert does not undo what it says".into()))
}

/// What a commit of ours does to its tool, whatever surrounds it.
pub(super) fn change_of(state: &State, commit: &CommitId) -> Result<String> {
    let changes = state.ground.changes(commit)?;
    let tools = changes.into_iter().filter(|(path, _)| path.starts_with("tools/"));
    let lines = tools.flat_map(|(path, content)| {
        let text = String::from_utf8_lossy(&content.unwrap_or_default()).into_owned();
        let before = state.ground.parents(commit).first().and_then(|parent| state.ground.file(parent, &path)).unwrap_or_default();
        let before = String::from_utf8_lossy(&before).into_owned();
        let known: BTreeSet<&str> = before.lines().collect();
        text.lines().filter(|line| !known.contains(line)).map(str::to_string).collect::<Vec<_>>()
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// What a commit of ours does to each tool, by the improvement that it would be by itself.
pub(super) fn parts(state: &State, commit: &CommitId) -> Result<Vec<(String, String)>> {
    // A tool can have one fault in several places: all of that is one change.
    let mut parts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, content) in state.ground.changes(commit)? {
        let Some(tool) = path.strip_prefix("tools/").and_then(|name| name.strip_suffix(".txt")) else { continue };
        let parent = state.ground.parents(commit).into_iter().next();
        let before = parent.and_then(|parent| state.ground.file(&parent, &path)).unwrap_or_default();
        let (text, before) = (content.unwrap_or_default(), String::from_utf8_lossy(&before).into_owned());
        for line in String::from_utf8_lossy(&text).lines().filter(|line| !before.lines().any(|known| known == *line)) {
            if let Some(fault) = line.strip_prefix("fixed ").and_then(|rest| rest.split(' ').next()?.parse().ok()) {
                parts.entry(id_of(tool, fault).to_string()).or_default().push(line.to_string());
            }
        }
    }
    Ok(parts.into_iter().map(|(id, lines)| (id, lines.join("\n"))).collect())
}

/// When the faults have stopped and nothing moves any more.
pub(super) fn at_rest(state: &mut State, history: &History, last: &Cycled) -> Result<()> {
    let improvements: BTreeMap<_, &Improvement> =
        history.improvements().into_iter().map(|improvement| (improvement.id.clone(), improvement)).collect();
    for (id, improvement) in &improvements {
        let says = last.waiting.contains_key(id);
        if !improvement.stage.is_end() && !says {
            state.breaks(format!("improvement {} is {} and does not say what it waits for", id.short(), improvement.stage));
        }
        if let Some(action) = improvement.unfinished().filter(|_| !says) {
            state.breaks(format!("improvement {} is {} and never ended to {action}", id.short(), improvement.stage));
        }
    }
    let Some(tip) = state.ground.resolve(BASE) else { return Ok(()) };
    let unknown = if state.amnesia { Vec::new() } else { unknown_landings(state, &improvements)? };
    for landed in unknown {
        state.breaks(format!("{} is on the base, and nobody watches it", landed.short()));
    }
    let (on_base, reverts) = (state.ground.ancestors([&tip])?, reverts_on(state, &tip)?);
    for improvement in improvements.values().filter(|improvement| improvement.stage == Stage::Reverted) {
        let Some(Undone { landed, by }) = &improvement.undone else { continue };
        let back = match by.as_ref().filter(|by| on_base.contains(*by)) {
            Some(by) => is_reverted(&reverts, by),
            None => on_base.contains(&landed.commit) && !is_reverted(&reverts, &landed.commit),
        };
        if back {
            state.breaks(format!("{} is on the base again, and nobody watches it", landed.commit.short()));
        }
    }
    for tool in state.tools.clone() {
        let text = state.ground.file(&tip, &format!("tools/{tool}.txt")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let is_open = |improvement: &Improvement| improvement.is_about(&tool) && !improvement.stage.is_end();
        let is_busy = improvements.values().any(|improvement| is_open(improvement));
        for fault in faults(&text).into_iter().filter(|_| !is_busy) {
            let id = id_of(&tool, fault);
            let in_group = |improvement: &&Improvement| improvement.members().any(|member| member.id == id);
            if !improvements.contains_key(&id) && !improvements.values().any(in_group) {
                state.breaks(format!("fault {fault} of `{tool}` was never seen"));
            }
        }
    }
    Ok(())
}

/// What is reverted on the base → what reverts it.
fn reverts_on(state: &State, tip: &CommitId) -> Result<BTreeMap<CommitId, Vec<CommitId>>> {
    let mut reverts: BTreeMap<CommitId, Vec<CommitId>> = BTreeMap::new();
    for commit in state.ground.ancestors([tip])? {
        for reverted in reverted_by(&state.ground.message(&commit)) {
            let mut all = BTreeSet::from([reverted.clone()]);
            if let [first, _, ..] = state.ground.parents(&reverted).as_slice() {
                let before = state.ground.ancestors([first])?;
                all.extend(state.ground.ancestors([&reverted])?.into_iter().filter(|commit| !before.contains(commit)));
            }
            for reverted in all {
                reverts.entry(reverted).or_default().push(commit.clone());
            }
        }
    }
    Ok(reverts)
}

/// Whether something reverts a commit that is not reverted itself.
fn is_reverted(reverts: &BTreeMap<CommitId, Vec<CommitId>>, commit: &CommitId) -> bool {
    reverts.get(commit).is_some_and(|by| by.iter().any(|revert| !is_reverted(reverts, revert)))
}

/// Commits of a loop's branches that are on the base although no record says that their change is.
fn unknown_landings(state: &State, improvements: &BTreeMap<ImprovementId, &Improvement>) -> Result<Vec<CommitId>> {
    let Some(tip) = state.ground.resolve(BASE) else { return Ok(Vec::new()) };
    let on_base = state.ground.ancestors([&tip])?;
    let mut reverted = BTreeSet::new();
    for commit in &on_base {
        reverted.extend(reverted_by(&state.ground.message(commit)));
    }
    let mut known = BTreeSet::new();
    for (id, improvement) in improvements {
        for carrier in &improvement.carriers {
            known.insert((id.to_string(), change_of(state, carrier)?));
        }
    }
    let mut unknown = Vec::new();
    for commit in state.ours.iter().filter(|commit| on_base.contains(*commit) && !reverted.contains(*commit)) {
        let message = state.ground.message(commit);
        // A revert needs no watch.
        if !reverted_by(&message).is_empty() {
            continue;
        }
        let id = id_in(&message).unwrap_or_default();
        if !known.contains(&(id, change_of(state, commit)?)) {
            unknown.push(commit.clone());
        }
    }
    Ok(unknown)
}

/// The tools that a message names.
fn tools_in(message: &str) -> Vec<String> {
    message.lines().filter_map(|line| line.strip_prefix("Fractal-Tool: ")).map(str::to_string).collect()
}

/// The improvement that a message names.
fn id_in(message: &str) -> Option<String> {
    message.lines().find_map(|line| line.strip_prefix("Fractal-Id: ")).map(str::to_string)
}

/// Whether a person who deletes or takes this branch now turns something down that the loop knows to be proposed.
pub(super) fn is_proposed(improvement: &Improvement, name: &str, head: &CommitId) -> bool {
    improvement.stage == Stage::Proposed
        && improvement.branch.as_ref().is_some_and(|(branch, ours)| format!("refs/heads/{branch}") == name && ours == head)
}
