//! What people do between two steps of a loop: everything that git lets them do.

use anyhow::Result;

use super::checks::{OURS, change_of, is_proposed, parts};
use super::hub::Pull;
use super::sim::State;
use crate::deploy::HOLD_LABEL;
use crate::engine::{Improvement, Stage, Wish};
use crate::model::{CommitId, ImprovementId};
use crate::world::SEEN_REF;
use crate::world::forge::{Proposal, State as Became};
use crate::world::git::{LOG_REF, NOTES_REF};
use crate::world::ground::Edits;
use crate::world::pause::PAUSE_REF;

const BASE: &str = "refs/heads/main";
const WHO: [&str; 3] = ["Ana", "Bo", "Cy"];

type Wished = Option<(ImprovementId, Wish)>;

/// One act; a wish is carried out by the caller.
pub(super) fn act(state: &mut State, improvements: &[&Improvement], when: &str) -> Result<Wished> {
    // Clocks are set back, too.
    let minutes = if state.dice.permille(50) { -90 } else { 10 * state.dice.below(6) as i64 };
    state.pass(minutes * 60_000);
    state.tell(format!("{when}, a person comes by"));
    if state.hub.is_some() && state.dice.permille(350) {
        return on_forge(state, improvements).map(|()| None);
    }
    match state.dice.below(20) {
        0..4 => commit(state)?,
        4 => break_a_tool(state)?,
        5..7 => commit_on_branch(state, improvements)?,
        7..9 => merge(state)?,
        9..11 => delete(state, improvements)?,
        11..13 => revert(state)?,
        13 => reset(state)?,
        14 => forget(state)?,
        15 => pause(state)?,
        16 => disturb(state)?,
        17 => exchange(state)?,
        _ => return Ok(wish(state, improvements)),
    }
    Ok(None)
}

fn write(state: &mut State, name: &str, parents: &[&CommitId], edits: &Edits, message: &str) -> Result<CommitId> {
    let who = WHO[state.dice.below(3) as usize];
    let commit = state.ground.commit(parents, edits, message, who, state.now())?;
    state.people.insert(commit.clone());
    put(state, name, Some(&commit))?;
    let subject = message.lines().next().unwrap_or_default();
    state.tell(format!("{who} commits {} on `{name}`: {subject}", commit.short()));
    Ok(commit)
}

/// Moves a branch, and mostly pushes it too, if the remote lets that be.
fn put(state: &mut State, name: &str, to: Option<&CommitId>) -> Result<()> {
    take_away(state, name, to)?;
    state.ground.put(name, to)?;
    if state.dice.permille(750) {
        push(state, name, to, false)?;
    }
    Ok(())
}

/// What a person takes off a branch needs not be kept, unless another branch of people's has it.
fn take_away(state: &mut State, name: &str, to: Option<&CommitId>) -> Result<()> {
    let here = state.ground.resolve(name);
    let there = state.remote.as_ref().and_then(|remote| remote.get(name)).cloned();
    let before = state.ground.ancestors(here.iter().chain(&there))?;
    let others = state.ground.branches()?.into_iter().filter(|(other, head)| other != name && state.people.contains(head));
    let kept: Vec<CommitId> = others.map(|(_, head)| head).chain(to.cloned()).collect();
    let kept = state.ground.ancestors(&kept)?;
    state.people.retain(|commit| kept.contains(commit) || !before.contains(commit));
    Ok(())
}

fn push(state: &mut State, name: &str, to: Option<&CommitId>, force: bool) -> Result<()> {
    let Some(there) = state.remote.as_ref().map(|remote| remote.get(name).cloned()) else { return Ok(()) };
    let forward = match (&there, to) {
        (Some(there), Some(to)) => state.ground.ancestors([to])?.contains(there),
        _ => true,
    };
    if !forward && !force {
        state.tell(format!("the remote refuses `{name}`, which is not forward"));
        return Ok(());
    }
    if let Some(remote) = &mut state.remote {
        match to {
            Some(to) => drop(remote.insert(name.to_string(), to.clone())),
            None => drop(remote.remove(name)),
        }
    }
    Ok(())
}

fn tip(state: &State) -> Option<CommitId> {
    state.ground.resolve(BASE)
}

fn edits(path: String, content: String) -> Edits {
    Edits::from([(path, Some(content.into_bytes()))])
}

fn commit(state: &mut State) -> Result<()> {
    let Some(tip) = tip(state) else { return Ok(()) };
    let (number, path) = (state.dice.below(1_000_000), ["notes.txt", "other.txt"][state.dice.below(2) as usize]);
    write(state, BASE, &[&tip], &edits(path.into(), format!("{number}\n")), &format!("note {number}"))?;
    Ok(())
}

/// A new failure, a change beside it, or a repair by hand.
fn break_a_tool(state: &mut State) -> Result<()> {
    let (Some(tip), Some(tool)) = (tip(state), state.dice.one(&state.tools).cloned()) else { return Ok(()) };
    let path = format!("tools/{tool}.txt");
    let text = String::from_utf8_lossy(&state.ground.file(&tip, &path).unwrap_or_default()).into_owned();
    let number = state.dice.below(3) + 1;
    let (text, message) = match state.dice.below(3) {
        0 => (format!("{text}fault {number}\n"), format!("{tool}: something new")),
        1 => (format!("# {number}\n{text}"), format!("{tool}: a remark")),
        _ => (text.replace(&format!("fault {number}\n"), "by hand\n"), format!("{tool}: repaired by hand")),
    };
    write(state, BASE, &[&tip], &edits(path, text), &message)?;
    state.store.dirty.insert(tool, number as i64);
    Ok(())
}

/// One of the loops' branches.
fn branch(state: &mut State) -> Result<Option<(String, CommitId)>> {
    let ours: Vec<_> = state.ground.branches()?.into_iter().filter(|(name, _)| name.starts_with(OURS)).collect();
    Ok(state.dice.one(&ours).cloned())
}

/// What the loop proposes on a branch, a person does not want.
fn turn_down(state: &mut State, improvements: &[&Improvement], name: &str, head: &CommitId) -> Result<()> {
    for improvement in improvements.iter().filter(|improvement| is_proposed(improvement, name, head)) {
        let change = change_of(state, head)?;
        state.turned_down.insert((improvement.id.to_string(), change));
        let parts = parts(state, head)?;
        state.turned_down.extend(parts);
    }
    Ok(())
}

fn commit_on_branch(state: &mut State, improvements: &[&Improvement]) -> Result<()> {
    let Some((name, head)) = branch(state)? else { return Ok(()) };
    let number = state.dice.below(1_000_000);
    turn_down(state, improvements, &name, &head)?;
    write(state, &name, &[&head], &edits("mine.txt".into(), format!("{number}\n")), &format!("mine {number}"))?;
    Ok(())
}

/// In one of the ways in which people merge.
fn merge(state: &mut State) -> Result<()> {
    let (Some(tip), Some((name, head))) = (tip(state), branch(state)?) else { return Ok(()) };
    if state.ground.ancestors([&tip])?.contains(&head) {
        return Ok(());
    }
    let way = state.dice.below(4);
    if way == 0 && state.ground.ancestors([&head])?.contains(&tip) {
        put(state, BASE, Some(&head))?;
        state.tell(format!("a person merges `{name}` by moving the base to {}", head.short()));
        return Ok(());
    }
    let merged = if way == 2 { state.ground.picked(&head, &tip)? } else { state.ground.merged(&tip, &head)? };
    let Some(merged) = merged else { return Ok(()) };
    let message = state.ground.message(&head);
    match way {
        2 => write(state, BASE, &[&tip], &merged, &message)?,
        3 => write(state, BASE, &[&tip], &merged, &format!("squashed: {message}"))?,
        _ => write(state, BASE, &[&tip, &head], &merged, &format!("Merge branch '{name}'\n"))?,
    };
    Ok(())
}

fn delete(state: &mut State, improvements: &[&Improvement]) -> Result<()> {
    let Some((name, head)) = branch(state)? else { return Ok(()) };
    turn_down(state, improvements, &name, &head)?;
    put(state, &name, None)?;
    state.tell(format!("a person deletes `{name}`"));
    Ok(())
}

/// Something that a loop landed, or its revert, or a merge.
fn revert(state: &mut State) -> Result<()> {
    let Some(tip) = tip(state) else { return Ok(()) };
    let mut ours = Vec::new();
    let mut at = Some(tip.clone());
    while let Some(commit) = at {
        let message = state.ground.message(&commit);
        if message.contains("\nFractal-Id: ") || message.starts_with("Merge branch") || message.starts_with("Revert ") {
            ours.push(commit.clone());
        }
        at = state.ground.parents(&commit).into_iter().next();
    }
    let Some(chosen) = state.dice.one(&ours).cloned() else { return Ok(()) };
    let Some(undone) = state.ground.undone(&chosen, &tip)?.filter(|undone| !undone.is_empty()) else { return Ok(()) };
    let message = format!(
        "Revert \"{}\"\n\nThis reverts commit {chosen}.\n",
        state.ground.message(&chosen).lines().next().unwrap_or_default()
    );
    write(state, BASE, &[&tip], &undone, &message)?;
    Ok(())
}

/// Takes the newest commits off the base, or writes the newest one anew.
fn reset(state: &mut State) -> Result<()> {
    let Some(tip) = tip(state) else { return Ok(()) };
    let Some(before) = state.ground.parents(&tip).into_iter().next() else { return Ok(()) };
    if state.dice.permille(500) {
        let changes = state.ground.changes(&tip)?;
        let message = state.ground.message(&tip);
        let amended = state.ground.commit(&[&before], &changes, &format!("{message}\nAmended\n"), "Bo", state.now())?;
        state.people.insert(amended.clone());
        take_away(state, BASE, Some(&amended))?;
        state.ground.put(BASE, Some(&amended))?;
        push(state, BASE, Some(&amended), true)?;
        state.tell(format!("Bo amends {} to {}", tip.short(), amended.short()));
    } else {
        take_away(state, BASE, Some(&before))?;
        state.ground.put(BASE, Some(&before))?;
        push(state, BASE, Some(&before), true)?;
        state.tell(format!("Bo resets the base to {}", before.short()));
    }
    Ok(())
}

/// Removes what nobody promised to keep.
fn forget(state: &mut State) -> Result<()> {
    let name = [SEEN_REF, NOTES_REF, SEEN_REF, NOTES_REF, LOG_REF][state.dice.below(5) as usize];
    state.ground.put(name, None)?;
    if name == LOG_REF {
        state.amnesia = true;
        state.turned_down.clear();
    }
    state.tell(format!("a person deletes `{name}`"));
    Ok(())
}

fn pause(state: &mut State) -> Result<()> {
    let paused = !state.paused;
    state.ground.pause(paused)?;
    state.pause(paused);
    state.tell(format!("a person {}", if paused { "pauses everything" } else { "lets everything go on" }));
    Ok(())
}

fn disturb(state: &mut State) -> Result<()> {
    match state.dice.permille(600) {
        true => state.ground.disturb("notes.txt", "half a thought\n")?,
        false => state.ground.tidy()?,
    }
    state.tell("a person works on a file".into());
    Ok(())
}

/// Brings the base here and the base of the remote together.
pub(super) fn exchange(state: &mut State) -> Result<()> {
    let Some(there) = state.remote.as_ref().and_then(|remote| remote.get(BASE)).cloned() else { return Ok(()) };
    let Some(here) = tip(state) else { return Ok(()) };
    if here == there {
        return Ok(());
    }
    if state.ground.ancestors([&there])?.contains(&here) {
        state.ground.put(BASE, Some(&there))?;
        state.tell(format!("a person pulls {}", there.short()));
    } else if state.ground.ancestors([&here])?.contains(&there) {
        push(state, BASE, Some(&here), false)?;
        state.tell(format!("a person pushes {}", here.short()));
    } else {
        let merged = state.ground.merged(&here, &there)?.unwrap_or_default();
        let commit = write(state, BASE, &[&here, &there], &merged, "Merge the remote's main\n")?;
        push(state, BASE, Some(&commit), false)?;
    }
    Ok(())
}

/// A person's approval is for the change that is proposed.
pub(super) fn approve(state: &mut State, improvement: &Improvement) {
    if let Some((_, commit)) = &improvement.branch
        && let Ok(change) = change_of(state, commit)
    {
        state.approved.insert((improvement.id.to_string(), change));
    }
}

/// What people do on the pages of a forge.
fn on_forge(state: &mut State, improvements: &[&Improvement]) -> Result<()> {
    let now = state.now();
    let open = |pull: &&Pull| pull.proposal.state == Became::Open;
    let all: Vec<Proposal> =
        state.hub.iter().flat_map(|hub| hub.pulls.values()).filter(open).map(|pull| pull.proposal.clone()).collect();
    let Some(proposal) = state.dice.one(&all).cloned() else { return Ok(()) };
    let (number, name) = (proposal.number, format!("refs/heads/{}", proposal.branch));
    match state.dice.below(8) {
        0 => {
            turn_down(state, improvements, &name, &proposal.head)?;
            change(state, number, |one| one.state = Became::Closed { at: now });
            state.tell(format!("a person closes #{number}"));
        }
        1 => {
            change(state, number, |one| {
                if !one.labels.remove(HOLD_LABEL) {
                    one.labels.insert(HOLD_LABEL.to_string());
                }
            });
            state.tell(format!("a person puts a label on #{number}, or takes it off"));
        }
        2 => {
            change(state, number, |one| one.text = format!("Please look.\n\n{}", one.text));
            state.tell(format!("a person writes in #{number}"));
        }
        3 => {
            let Some(main) = state.remote.as_ref().and_then(|remote| remote.get(BASE)).cloned() else { return Ok(()) };
            let Some(merged) = state.ground.merged(&main, &proposal.head)? else { return Ok(()) };
            let message = format!("Merge pull request #{number}\n");
            let commit = state.ground.commit(&[&main, &proposal.head], &merged, &message, "Ana", now)?;
            state.people.insert(commit.clone());
            push(state, BASE, Some(&commit), false)?;
            change(state, number, |one| one.state = Became::Landed { at: now, commit: Some(commit.clone()) });
            state.tell(format!("a person merges #{number} as {}", commit.short()));
        }
        _ => {
            let word = ["approve", "revert", "ignore", "retry", "rebase", "hold", "unhold", "why", "nonsense"];
            let word = word[state.dice.below(9) as usize];
            let who = ["Ana", "Eve"][usize::from(state.dice.permille(200))];
            if let Some(hub) = &mut state.hub {
                hub.say(number, who, &format!("/fractal {word}"), now);
            }
            if word == "approve" && who == "Ana" {
                let about = |one: &&&Improvement| one.proposal.as_ref().is_some_and(|known| known.number == number);
                if let Some(improvement) = improvements.iter().find(about) {
                    approve(state, improvement);
                }
            }
            state.tell(format!("{who} says `/fractal {word}` on #{number}"));
        }
    }
    Ok(())
}

fn change(state: &mut State, number: u64, change: impl FnOnce(&mut Proposal)) {
    if let Some(pull) = state.hub.as_mut().and_then(|hub| hub.pulls.get_mut(&number)) {
        change(&mut pull.proposal);
    }
}

/// The switch at the remote is lifted, too.
pub(super) fn lift(state: &mut State) {
    if let Some(remote) = &mut state.remote {
        remote.remove(PAUSE_REF);
    }
}

fn wish(state: &mut State, improvements: &[&Improvement]) -> Wished {
    let fits = |improvement: &&&Improvement| match improvement.stage {
        Stage::Proposed => Some(Wish::Approve),
        Stage::Watching | Stage::Kept | Stage::Inconclusive | Stage::Stuck => Some(Wish::Revert),
        _ => None,
    };
    let possible: Vec<(ImprovementId, Wish)> =
        improvements.iter().filter_map(|improvement| Some((improvement.id.clone(), fits(&improvement)?))).collect();
    state.dice.one(&possible).cloned()
}
