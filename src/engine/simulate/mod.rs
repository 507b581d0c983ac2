//! `fractal simulate`: random histories of the whole engine, each from a seed and the same every time.
//!
//! The cycle, the log, the actions, the probes and the refs are the real ones, in a real repository; the stages answer from a script, and
//! around every move of a ref people, other loops, kills, and a store or a remote that is away may come in between.

mod checks;
mod dice;
mod hub;
mod people;
mod script;
mod sim;
mod store;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;

use self::dice::{Dice, percent_of};
use self::sim::{Begin, Cycled, Rates, Sim};
use crate::world::ground::{Edits, Ground};

/// Cycles after the faults have stopped within which everything must come to rest.
const QUIET_MAX: usize = 24;
/// Cycles that change nothing, after which it is at rest: some watches have to be asked three times.
const STILL: usize = 4;

/// A bug that is put into a simulated machine on purpose, to show that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The remote takes every push, whatever the lease says.
    BlindLease,
    /// What is proposed is not what was validated.
    OtherTree,
    /// What the gate wants a person for is said to need none.
    Unasked,
    /// An investigation never ends.
    Endless,
}

/// How much happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub cycles: u64,
    pub kills: u64,
    /// Acts of people.
    pub acts: u64,
    /// Times that the store or the remote was away or that a push got lost.
    pub faults: u64,
    /// Branches that loops moved, here or on the remote.
    pub moves: u64,
    pub proposed: u64,
    pub landed: u64,
    /// Of those, with several tools.
    pub groups: u64,
    pub reverted: u64,
    /// Proposals on a forge.
    pub opened: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.cycles += other.cycles;
        self.kills += other.kills;
        self.acts += other.acts;
        self.faults += other.faults;
        self.moves += other.moves;
        self.proposed += other.proposed;
        self.landed += other.landed;
        self.groups += other.groups;
        self.reverted += other.reverted;
        self.opened += other.opened;
    }
}

/// One history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Case {
    pub seed: u64,
    /// The first invariant that did not hold.
    pub broken: Option<String>,
    pub tally: Tally,
    /// What happened, a line each.
    pub history: Vec<String>,
}

/// Plays one history; with `forge`, one in which improvements are proposed on a forge.
///
/// # Errors
/// When the temporary folder cannot be used; what the engine does wrong is in the case.
pub fn play(seed: u64, plant: Option<Plant>, forge: bool) -> Result<Case> {
    let sim = Sim::new(seed, plant, |dice, at| begin((seed, forge), dice, at))?;
    storm(&sim);
    let last = calm(&sim)?;
    match sim.log() {
        _ if sim.with(|state| state.broken.is_some()) => {}
        Ok(history) => sim.with(|state| checks::at_rest(state, &history, &last))?,
        Err(error) => sim.with(|state| state.breaks(format!("the log cannot be read: {error}"))),
    }
    Ok(sim.with(|state| Case {
        seed,
        broken: state.broken.clone(),
        tally: state.tally,
        history: std::mem::take(&mut state.history),
    }))
}

fn begin((seed, forge): (u64, bool), dice: &mut Dice, at: Timestamp) -> Result<Begin> {
    let tools: Vec<String> =
        ["alpha", "beta", "gamma"].iter().take(1 + dice.below(3) as usize).map(|tool| (*tool).to_string()).collect();
    let remote = dice.permille(500) || forge;
    let loops = [1, 1, 1, 2, 2, 3][dice.below(6) as usize];
    // Not from the dice, which would fall otherwise for all that comes.
    let parallel = 1 + percent_of(&[&seed.to_string(), "parallel"]) % 3;
    let group = if percent_of(&[&seed.to_string(), "group"]) < 80 { 8 } else { 1 };
    let mut config =
        format!("base = \"main\"\n\n[discover]\nenabled = false\n\n[engine]\nparallel = {parallel}\ngroup = {group}\n\n");
    if remote {
        config.push_str("[deploy]\nremote = \"origin\"\n\n");
    }
    if forge {
        let way = if percent_of(&[&seed.to_string(), "push"]) < 25 { "push" } else { "any" };
        let automatic = percent_of(&[&seed.to_string(), "automatic"]) < 30;
        config.push_str(&format!("[forge]\nper_hour = 9\nway = \"{way}\"\nautomatic = {automatic}\n\n"));
    }
    config.push_str(&format!("[monitor]\nreverts_per_day = {}\n\n", [1, 10][dice.below(2) as usize]));
    let mut files = Edits::new();
    for tool in &tools {
        config.push_str(&format!(
            "[[tool]]\nname = \"{tool}\"\npaths = [\"tools/{tool}.txt\"]\nrun = [\"cat\", \"tools/{tool}.txt\"]\neffects = \"none\"\n\n"
        ));
        let faults: String = (1..=1 + dice.below(2)).map(|fault| format!("fault {fault}\n# between\n")).collect();
        files.insert(format!("tools/{tool}.txt"), Some(format!("begin\n{faults}end\n").into_bytes()));
    }
    files.insert("notes.txt".into(), Some(b"notes\n".to_vec()));
    files.insert("fractal.toml".into(), Some(config.into_bytes()));
    let head = if dice.permille(300) { "main" } else { "desk" };
    let mut rate = |most: &[u64]| dice.one(most).copied().unwrap_or_default();
    let rates = Rates {
        kill: rate(&[0, 15, 60]),
        person: rate(&[0, 20, 80]),
        other_loop: rate(&[0, 15, 40]),
        store: rate(&[0, 0, 10, 40]),
        remote: rate(&[0, 30, 150]),
    };
    let told = format!(
        "{} tools, {parallel} at once, {group} together, {loops} loops, {} remote, `{head}` is checked out",
        tools.len(),
        if remote { "a" } else { "no" }
    );
    Ok(Begin { ground: Ground::new(&files, head, "Ana", at)?, remote, forge, rates, loops, tools, told })
}

/// Everything may happen.
fn storm(sim: &Arc<Sim>) {
    let steps = sim.with(|state| 5 + state.dice.below(10));
    for _ in 0..steps {
        let (acts, number) = sim.with(|state| {
            let hours = [0, 1, 7, 30][state.dice.below(4) as usize];
            state.pass(hours * 3_600_000);
            let acts = state.rates.person > 0 && state.dice.permille(350);
            (acts, state.dice.below(state.loops as u64) as usize)
        });
        match acts {
            true => sim.person("in between"),
            false => drop(sim.cycle(number)),
        }
        if sim.with(|state| state.broken.is_some()) {
            return;
        }
    }
}

/// Nothing happens any more, and the loops have to come to rest. Returns the last cycle.
fn calm(sim: &Arc<Sim>) -> Result<Cycled> {
    sim.with(|state| {
        state.tell("the faults stop".into());
        state.rates = Rates::default();
        state.ground.pause(false)?;
        state.pause(false);
        people::lift(state);
        state.ground.tidy()?;
        people::exchange(state)?;
        state.store.dirty = state.tools.iter().map(|tool| (tool.clone(), 99)).collect();
        anyhow::Ok(())
    })?;
    let (mut still, mut before) = (0, BTreeMap::new());
    for turn in 0..QUIET_MAX {
        sim.with(|state| state.pass(3_600_000));
        let number = sim.with(|state| turn % state.loops);
        let cycled = sim.cycle(number);
        let now = sim.with(|state| {
            people::exchange(state)?;
            let mut refs = state.ground.branches()?;
            refs.extend(state.ground.resolve(crate::world::git::LOG_REF).map(|log| ("log".to_string(), log)));
            anyhow::Ok(refs)
        })?;
        still = if now == before && cycled.error.is_none() { still + 1 } else { 0 };
        before = now;
        if still == STILL || sim.with(|state| state.broken.is_some()) {
            return Ok(cycled);
        }
        if turn + 1 == QUIET_MAX {
            let why = cycled.error.unwrap_or_else(|| "something still moves".into());
            sim.with(|state| state.breaks(format!("{QUIET_MAX} quiet cycles do not come to rest: {why}")));
        }
    }
    Ok(Cycled::default())
}
