//! The simulated machine: what happens around each write (people, other loops, kills, a store or a remote that is away), chosen by the
//! dice, and the history of it.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail};
use jiff::Timestamp;

use super::checks::{self, Place};
use super::dice::Dice;
use super::hub::{Hub, SimForge};
use super::people;
use super::script::Script;
use super::store::{Kept, SimStore, away};
use super::{Plant, Tally};
use crate::engine::{CycleError, CycleReport, History, Progress, Wish, cycle_on, wish_on};
use crate::model::{CommitId, ImprovementId, Patch};
use crate::world::clock::Clock;
use crate::world::forge::Shared;
use crate::world::git::LOG_REF;
use crate::world::git::remote::Move;
use crate::world::ground::{Ground, Objects};
use crate::world::host::{Host, Moment};
use crate::world::store::{Store, StoreError};
use crate::world::{SEEN_REF, View};

/// Loops within loops.
const DEPTH: usize = 3;
/// Milliseconds since 1970 at which every history begins.
const BEGIN: i64 = 1_700_000_000_000;

/// How often what happens, of a thousand moments.
#[derive(Clone, Copy, Default)]
pub(super) struct Rates {
    pub(super) kill: u64,
    pub(super) person: u64,
    pub(super) other_loop: u64,
    pub(super) store: u64,
    pub(super) remote: u64,
}

/// What the gate accepted of a tool: this patch on this commit.
pub(super) struct Validated {
    pub(super) tool: String,
    pub(super) parent: CommitId,
    pub(super) patch: Patch,
    /// It may land without a person.
    pub(super) alone: bool,
}

/// A cycle that is running.
pub(super) struct Frame {
    number: usize,
    /// It is in the middle of a write that others can see.
    outward: bool,
    /// It was, when somebody paused everything.
    pub(super) excused: bool,
    /// Where the ref was that is being moved.
    old: Option<CommitId>,
}

/// Everything that changes.
pub(super) struct State {
    pub(super) dice: Dice,
    pub(super) history: Vec<String>,
    pub(super) ground: Ground,
    /// The refs of the remote, when there is one.
    pub(super) remote: Option<BTreeMap<String, CommitId>>,
    /// Pushes of processes that were killed, still under way.
    late: Vec<Vec<Move>>,
    /// The forge on the remote, when there is one.
    pub(super) hub: Option<Hub>,
    pub(super) rates: Rates,
    pub(super) loops: usize,
    pub(super) tools: Vec<String>,
    pub(super) stack: Vec<Frame>,
    /// Commits by people.
    pub(super) people: BTreeSet<CommitId>,
    /// Commits that a loop put on a branch of its own.
    pub(super) ours: BTreeSet<CommitId>,
    pub(super) validated: Vec<Validated>,
    /// How often the watch of a commit was asked.
    pub(super) looks: BTreeMap<CommitId, u32>,
    /// Improvements and changes that a person turned down by deleting or taking the branch, as far as the loop must know.
    pub(super) turned_down: BTreeSet<(String, String)>,
    /// Improvements and changes that a person approved.
    pub(super) approved: BTreeSet<(String, String)>,
    /// Improvements that a loop has reverted once.
    pub(super) undone: BTreeSet<String>,
    /// A person deleted the log, and what was known is known no more.
    pub(super) amnesia: bool,
    pub(super) paused: bool,
    pub(super) store: Kept,
    /// The first invariant that did not hold.
    pub(super) broken: Option<String>,
    pub(super) tally: Tally,
    pub(super) clock: Arc<AtomicI64>,
    plant: Option<Plant>,
}

impl State {
    pub(super) fn tell(&mut self, what: String) {
        self.history.push(format!("{}{what}", "  ".repeat(self.stack.len())));
    }

    pub(super) fn breaks(&mut self, what: String) {
        self.tell(format!("BROKEN: {what}"));
        self.broken.get_or_insert(what);
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.clock.load(Ordering::SeqCst)).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    pub(super) fn pass(&mut self, milliseconds: i64) {
        self.clock.fetch_add(milliseconds, Ordering::SeqCst);
    }

    pub(super) fn store_fails(&mut self) -> bool {
        let fails = self.dice.permille(self.rates.store);
        if fails {
            self.tally.faults += 1;
            self.tell("the store is away".into());
        }
        fails
    }

    fn remote_fails(&mut self) -> bool {
        let fails = self.dice.permille(self.rates.remote);
        if fails {
            self.tally.faults += 1;
            self.tell("the remote cannot be reached".into());
        }
        fails
    }

    fn here(&self) -> String {
        self.stack.last().map_or("nobody".into(), |frame| format!("loop {}", frame.number))
    }

    /// Moves a ref of the remote under a lease.
    fn deliver(&mut self, moves: &[Move]) -> Result<()> {
        let Some(remote) = &self.remote else { bail!("there is no such remote") };
        let stale = moves.iter().find(|one| remote.get(&one.name) != one.from.as_ref());
        if let Some(one) = stale.filter(|_| self.plant != Some(Plant::BlindLease)) {
            bail!("`{}` (stale info)", one.name);
        }
        for one in moves {
            let Some(remote) = &mut self.remote else { continue };
            let Some(to) = &one.to else {
                remote.remove(&one.name);
                self.tell(format!("`{}` is gone on the remote", one.name));
                continue;
            };
            let old = remote.insert(one.name.clone(), to.clone());
            self.tell(format!("`{}` on the remote is {}", one.name, to.short()));
            checks::moved(self, Place::Remote, &one.name, old.as_ref(), to);
        }
        Ok(())
    }

    /// What a killed process had sent arrives.
    fn deliver_late(&mut self) {
        // It was sent before whatever was said since.
        let paused = std::mem::replace(&mut self.paused, false);
        for moves in std::mem::take(&mut self.late) {
            let arrived = self.deliver(&moves).is_ok();
            self.tell(format!("a push of a killed process comes late and {}", if arrived { "arrives" } else { "is refused" }));
        }
        self.paused = paused;
    }
}

/// What happens at a moment.
enum Happening {
    Nothing,
    Kill,
    Person,
    OtherLoop(usize),
}

/// A simulated kill, as it unwinds.
struct Killed;

/// How a cycle went.
#[derive(Default)]
pub(super) struct Cycled {
    pub(super) report: Option<CycleReport>,
    pub(super) error: Option<String>,
    /// Improvements that said what they wait for.
    pub(super) waiting: BTreeMap<ImprovementId, String>,
}

/// One simulation.
pub(super) struct Sim {
    pub(super) seed: u64,
    clock: Clock,
    path: PathBuf,
    objects: Objects,
    pub(super) plant: Option<Plant>,
    state: Mutex<State>,
}

impl Sim {
    pub(super) fn new(
        seed: u64,
        plant: Option<Plant>,
        begin: impl FnOnce(&mut Dice, Timestamp) -> Result<Begin>,
    ) -> Result<Arc<Sim>> {
        let mut dice = Dice::new(seed);
        let clock = Arc::new(AtomicI64::new(BEGIN));
        let Begin { ground, remote, forge, rates, loops, tools, told } = begin(&mut dice, Timestamp::from_millisecond(BEGIN)?)?;
        let main = ground.resolve("refs/heads/main");
        let state = State {
            dice,
            history: vec![told],
            remote: remote.then(|| main.iter().map(|main| ("refs/heads/main".to_string(), main.clone())).collect()),
            people: main.into_iter().collect(),
            ground,
            late: Vec::new(),
            hub: forge.then(Hub::default),
            rates,
            loops,
            store: Kept { dirty: tools.iter().map(|tool| (tool.clone(), 1)).collect(), ..Kept::default() },
            tools,
            stack: Vec::new(),
            ours: BTreeSet::new(),
            validated: Vec::new(),
            looks: BTreeMap::new(),
            turned_down: BTreeSet::new(),
            approved: BTreeSet::new(),
            undone: BTreeSet::new(),
            amnesia: false,
            paused: false,
            broken: None,
            tally: Tally::default(),
            clock: clock.clone(),
            plant,
        };
        let (path, objects) = (state.ground.path().to_path_buf(), state.ground.objects());
        Ok(Arc::new(Sim { seed, clock: Clock::Fixed(clock), path, objects, plant, state: Mutex::new(state) }))
    }

    pub(super) fn with<T>(&self, what: impl FnOnce(&mut State) -> T) -> T {
        what(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn view(self: &Arc<Self>, quiet: bool) -> Result<View, CycleError> {
        let host = Arc::new(Machine { sim: self.clone(), quiet });
        Ok(View::open_on(&self.path, self.clock.clone(), Some(host))?)
    }

    /// The log, folded; nothing happens meanwhile.
    pub(super) fn log(self: &Arc<Self>) -> Result<History, CycleError> {
        let rates = self.with(|state| std::mem::take(&mut state.rates));
        let history = self.view(true).and_then(History::of);
        self.with(|state| state.rates = rates);
        history
    }

    /// Runs a cycle of one loop, to its end or until it is killed.
    pub(super) fn cycle(self: &Arc<Self>, number: usize) -> Cycled {
        let depth = self.with(|state| {
            state.tell(format!("loop {number} begins a cycle"));
            state.stack.push(Frame { number, outward: false, excused: false, old: None });
            state.tally.cycles += 1;
            state.stack.len()
        });
        let told: Mutex<BTreeMap<ImprovementId, String>> = Mutex::default();
        let listener = |progress: Progress| {
            if let Progress::Waiting { id, reason, .. } = progress {
                told.lock().unwrap_or_else(PoisonError::into_inner).insert(id, reason);
            }
        };
        let run = || cycle_on(&self.view(false)?, &Script(self.clone()), false, &listener, &AtomicBool::new(false));
        let ended = catch_unwind(AssertUnwindSafe(run));
        let waiting = std::mem::take(&mut *told.lock().unwrap_or_else(PoisonError::into_inner));
        let mut cycled = Cycled { waiting, ..Cycled::default() };
        self.with(|state| {
            state.stack.truncate(depth - 1);
            match ended {
                Ok(Ok(report)) => {
                    for (id, reason) in &cycled.waiting {
                        state.tell(format!("loop {number} waits with {}: {reason}", id.short()));
                    }
                    state.tell(format!("loop {number} ends its cycle"));
                    cycled.report = Some(report);
                }
                Ok(Err(error)) => {
                    let error = error.to_string();
                    state.tell(format!("loop {number} gives up its cycle: {error}"));
                    if error.contains("a bug:") || error.contains("cannot follow on stage") {
                        state.breaks(error.clone());
                    }
                    cycled.error = Some(error);
                }
                Err(payload) => died(state, number, payload.as_ref()),
            }
        });
        cycled
    }

    /// Something long is going on.
    pub(super) fn work(self: &Arc<Self>, _: &Path) {
        self.with(|state| {
            let minutes = state.dice.below(90) as i64;
            state.pass(minutes * 60_000);
        });
        self.happen("while it works");
    }

    pub(super) fn happen(self: &Arc<Self>, when: &str) {
        let happening = self.with(|state| {
            state.pass(1_000);
            let rates = state.rates;
            if state.stack.is_empty() {
                return Happening::Nothing;
            }
            if state.dice.permille(rates.kill) {
                return Happening::Kill;
            }
            if state.dice.permille(rates.person) {
                return Happening::Person;
            }
            if state.stack.len() < DEPTH && state.loops > 1 && state.dice.permille(rates.other_loop) {
                let number = state.dice.below(state.loops as u64) as usize;
                // A loop is one process.
                if state.stack.iter().all(|frame| frame.number != number) {
                    return Happening::OtherLoop(number);
                }
            }
            Happening::Nothing
        });
        match happening {
            Happening::Nothing => {}
            Happening::Kill => {
                self.with(|state| {
                    state.tally.kills += 1;
                    let who = state.here();
                    state.tell(format!("{who} is killed {when}"));
                });
                resume_unwind(Box::new(Killed));
            }
            Happening::Person => self.person(when),
            Happening::OtherLoop(number) => {
                self.with(|state| state.tell(format!("meanwhile, {when}:")));
                self.cycle(number);
            }
        }
    }

    /// A person does something.
    pub(super) fn person(self: &Arc<Self>, when: &str) {
        let log = self.log();
        let wish = self.with(|state| {
            state.tally.acts += 1;
            let improvements = log.as_ref().map(History::improvements).unwrap_or_default();
            let wish = people::act(state, &improvements, when);
            wish.unwrap_or_else(|error| {
                state.breaks(format!("the simulation itself failed: {error:#}"));
                None
            })
        });
        if let Some((id, wish)) = wish {
            let said = self.view(true).and_then(|view| wish_on(view, id.as_str(), wish, "Ana"));
            if let (Wish::Approve, Ok(improvement)) = (wish, &said) {
                self.with(|state| people::approve(state, improvement));
            }
            let name = if wish == Wish::Approve { "approves" } else { "wants the revert of" };
            let how = said.map_or_else(|error| format!(": {error}"), |_| String::new());
            self.with(|state| state.tell(format!("Ana {name} {}{how}", id.short())));
        }
        self.with(State::deliver_late);
    }
}

fn died(state: &mut State, number: usize, payload: &(dyn Any + Send)) {
    if payload.is::<Killed>() {
        return;
    }
    let text = payload.downcast_ref::<String>().cloned();
    let text = text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_string())).unwrap_or_default();
    state.breaks(format!("loop {number} panicked: {text}"));
}

/// How a simulation begins.
pub(super) struct Begin {
    pub(super) ground: Ground,
    pub(super) remote: bool,
    pub(super) forge: bool,
    pub(super) rates: Rates,
    pub(super) loops: usize,
    pub(super) tools: Vec<String>,
    pub(super) told: String,
}

/// The machine of whoever is on top of the stack.
struct Machine {
    sim: Arc<Sim>,
    /// A person's own program: nothing happens around its writes.
    quiet: bool,
}

impl Host for Machine {
    fn moment(&self, moment: Moment<'_>) {
        if self.quiet {
            return;
        }
        let own = |name: &str| name == LOG_REF || name == SEEN_REF;
        match moment {
            Moment::Before(name) => {
                self.sim.with(|state| outward(state, !own(name)));
                self.sim.happen(&format!("before `{name}` moves"));
                self.sim.with(|state| {
                    let old = state.ground.resolve(name);
                    if let Some(frame) = state.stack.last_mut() {
                        frame.old = old;
                    }
                });
            }
            Moment::After(name, to) => {
                self.sim.with(|state| {
                    let old = state.stack.last_mut().and_then(|frame| frame.old.take());
                    if let Some(to) = to {
                        let said =
                            if name == LOG_REF { state.ground.message(to).trim().to_string() } else { to.short().to_string() };
                        let who = state.here();
                        state.tell(format!("{who}: `{name}` is now {said}"));
                        checks::moved(state, Place::Here, name, old.as_ref(), to);
                    }
                    outward(state, false);
                });
                self.sim.happen(&format!("after `{name}` moved"));
            }
        }
    }

    fn push(&self, moves: &[Move]) -> Result<()> {
        let name = moves.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join("`, `");
        self.sim.with(|state| outward(state, true));
        self.sim.happen(&format!("before `{name}` is pushed"));
        let pushed = self.sim.with(|state| {
            let fate = if state.dice.permille(state.rates.remote) { state.dice.below(4) } else { 4 };
            if fate < 4 {
                state.tally.faults += 1;
            }
            let way = moves.to_vec();
            match fate {
                0 => {
                    state.tell(format!("the push of `{name}` gets lost"));
                    bail!("pushing `{name}`: the remote hung up")
                }
                1 => {
                    let arrived = state.deliver(moves).is_ok();
                    state.tell(format!("the answer to the push of `{name}` gets lost ({arrived})"));
                    bail!("pushing `{name}`: the remote hung up")
                }
                2 => {
                    state.tell(format!("the push of `{name}` is slow"));
                    state.late.push(way);
                    bail!("pushing `{name}`: time out")
                }
                3 => {
                    state.deliver(moves)?;
                    state.late.push(way);
                    Ok(())
                }
                _ => state.deliver(moves),
            }
        });
        self.sim.happen(&format!("after `{name}` was pushed"));
        self.sim.with(|state| outward(state, false));
        pushed
    }

    fn remote_refs(&self) -> Result<BTreeMap<String, CommitId>> {
        self.sim.with(|state| match state.remote_fails() {
            true => bail!("the remote cannot be reached"),
            false => Ok(state.remote.clone().unwrap_or_default()),
        })
    }

    fn holder(&self) -> String {
        self.sim.with(|state| state.here())
    }

    fn salt(&self) -> String {
        self.sim.with(|state| state.dice.below(u64::MAX).to_string())
    }

    fn store(&self) -> Result<Box<dyn Store>, StoreError> {
        match self.sim.with(State::store_fails) {
            true => Err(away()),
            false => Ok(Box::new(SimStore(self.sim.clone()))),
        }
    }

    fn forge(&self) -> Option<Shared> {
        let is_there = self.sim.with(|state| state.hub.is_some());
        is_there.then(|| Shared::new(Box::new(SimForge(self.sim.clone()))))
    }

    fn objects(&self) -> &Objects {
        &self.sim.objects
    }
}

pub(super) fn outward(state: &mut State, outward: bool) {
    if let Some(frame) = state.stack.last_mut() {
        frame.outward = outward;
    }
}

impl State {
    /// Everybody who is in the middle of a write may end it, and nobody may begin one.
    pub(super) fn pause(&mut self, paused: bool) {
        self.paused = paused;
        for frame in &mut self.stack {
            frame.excused = paused && frame.outward;
        }
    }
}
