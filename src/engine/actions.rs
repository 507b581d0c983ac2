//! The action log: every fact is appended before the next step, and every outward act goes Intended → Approved → Started →
//! Done | Failed. The only holder of [`Effects`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::CycleError;
use super::improvement::{self, Improvement};
use super::news::News;
use super::progress::Progress;
use super::spending;
use crate::improve::Till;
use crate::model::{Action, ActionKind, Approver, CommitId, Event, ImprovementId, Made, Patch, Record};
use crate::record::collect;
use crate::record::exchange::{self, SyncError, Terms};
use crate::world::git::LogError;
use crate::world::rollout::Rollout;
use crate::world::store::Retention;
use crate::world::{ActionError, Effects, View, Word};

/// For one answer of the remote through which executions are exchanged, and for reading and packing them within one cycle.
const SYNC_PATIENCE: Duration = Duration::from_secs(60);

/// How an outward act went.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Acted {
    Done,
    /// Nothing happened; why, and it is worth trying again later.
    Waits(String),
    /// The world is not what the decision saw; nothing happened.
    Stale(String),
    /// Refused for good; recorded.
    Failed(String),
    /// A dry run: said, not done.
    Planned,
}

/// All improvements, and the permission to write about them.
pub(super) struct Journal<'a> {
    pub view: &'a View,
    /// `None` in a dry run.
    pub(super) effects: Option<Effects>,
    pub improvements: BTreeMap<ImprovementId, Improvement>,
    listener: &'a (dyn Fn(Progress) + Sync),
    stop: &'a AtomicBool,
    pub actions_done: u64,
    till: Arc<Till>,
}

impl<'a> Journal<'a> {
    /// Reads the log. With `dry_run` nothing will be written.
    pub(super) fn open(
        view: &'a View,
        dry_run: bool,
        listener: &'a (dyn Fn(Progress) + Sync),
        stop: &'a AtomicBool,
    ) -> Result<Self> {
        let mut improvements = BTreeMap::new();
        for (id, records) in view.repo.read_log()? {
            let folded = Improvement::fold(id.clone(), records)
                .map_err(|error| LogError::Foreign(format!("improvements/{id}.jsonl: {error}")))?;
            improvements.insert(id, folded);
        }
        // Last: a log that is refused leaves nothing behind.
        let effects = if dry_run { None } else { Some(Effects::open(view)?) };
        if let Some(effects) = &effects {
            effects.clear_the_way()?;
        }
        Ok(Journal { view, effects, improvements, listener, stop, actions_done: 0, till: Arc::default() })
    }

    pub(super) fn tell(&self, progress: Progress) {
        (self.listener)(progress);
    }

    pub(super) fn listener(&self) -> &'a (dyn Fn(Progress) + Sync) {
        self.listener
    }

    /// Whether nothing new should be begun.
    pub(super) fn should_stop(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    pub(super) fn is_dry_run(&self) -> bool {
        self.effects.is_none()
    }

    pub(super) fn get(&self, id: &ImprovementId) -> Result<&Improvement> {
        self.improvements.get(id).with_context(|| format!("improvement {id} is not in the log"))
    }

    /// The same with what became of groups that it was in: what was turned down there is turned down.
    pub(super) fn known(&self, id: &ImprovementId) -> Cow<'_, Improvement> {
        improvement::known(&self.improvements, id)
    }

    /// Appends facts, all or none of them, and folds them.
    pub(super) fn append(&mut self, id: &ImprovementId, events: Vec<Event>) -> Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        let before = self.improvements.get(id).map_or(0, |known| known.records.len());
        self.hold(&tool_of(self.improvements.get(id), &events))?;
        if self.improvements.get(id).map_or(0, |known| known.records.len()) != before {
            return Err(LogError::Raced(id.clone()).into());
        }
        let at = self.view.clock.now();
        let known = self.improvements.entry(id.clone()).or_insert_with(|| Improvement::new(id.clone()));
        let mut folded = known.clone();
        let records: Vec<Record> = events.into_iter().map(|event| Record { at, event }).collect();
        for record in &records {
            folded.apply(record.clone()).context("a bug: the engine wanted to record something impossible")?;
        }
        if let Some(effects) = &self.effects {
            effects.append(id, known.records.len(), &records, at)?;
        }
        for record in &records {
            if let Event::Asked { asking } = &record.event {
                self.till.recorded(at, asking);
            }
        }
        self.improvements.insert(id.clone(), folded);
        Ok(())
    }

    /// What all who ask now spend from, with what the log has by now.
    pub(super) fn till(&self) -> Arc<Till> {
        self.till.read(spending::ledger(self.improvements.values()));
        self.till.clone()
    }

    /// Writes a commit that nothing points to yet; in a dry run it stays in memory.
    pub(super) fn write_commit(&self, parent: &CommitId, patch: &Patch, message: &str) -> Result<CommitId> {
        let at = self.view.clock.now();
        match &self.effects {
            Some(effects) => effects.write_commit(parent, patch, message, at),
            None => self.rehearse_commit(parent, patch, message),
        }
    }

    /// Makes a commit that is only looked at, in memory.
    pub(super) fn rehearse_commit(&self, parent: &CommitId, patch: &Patch, message: &str) -> Result<CommitId> {
        let deploy = &self.view.config.deploy;
        let by = crate::world::git::Identity { name: deploy.author_name.clone(), email: deploy.author_email.clone() };
        self.view.repo.write_commit(parent, patch, message, &by, self.view.clock.now())
    }

    /// Records the intent together with the facts that led to it, and does it.
    pub(super) fn act(&mut self, id: &ImprovementId, mut facts: Vec<Event>, kind: ActionKind, by: Approver) -> Result<Acted> {
        let action = Action::new(kind);
        facts.push(Event::Intended { action: action.clone() });
        facts.push(Event::Approved { key: action.key.clone(), by });
        self.append(id, facts)?;
        self.carry_out(id, &action)
    }

    /// Does an intended action, or finds that it was done.
    pub(super) fn carry_out(&mut self, id: &ImprovementId, action: &Action) -> Result<Acted> {
        let tool = self.get(id)?.tool().to_string();
        let Some(effects) = &self.effects else {
            self.tell(Progress::Action { id: id.clone(), tool, action: action.to_string(), dry_run: true });
            self.append(id, vec![Event::Started { key: action.key.clone() }, done(action, Made::AsSaid)])?;
            return Ok(Acted::Planned);
        };
        if let Some(pause) = effects.paused() {
            return Ok(Acted::Waits(pause.to_string()));
        }
        if let Some(made) = effects.probe(action)? {
            self.append(id, vec![done(action, made)])?;
            return Ok(Acted::Done);
        }
        self.append(id, vec![Event::Started { key: action.key.clone() }])?;
        let at = self.view.clock.now();
        // Read again immediately before: a pause between the record and the act still stops the act.
        let Some(effects) = &self.effects else { return Ok(Acted::Planned) };
        if let Some(pause) = effects.paused() {
            return Ok(Acted::Waits(pause.to_string()));
        }
        let performed = effects.perform(action, at);
        let before = self.get(id)?.records.len();
        self.absorb()?;
        if self.get(id)?.records.len() != before {
            // What is published of it came here on the way to the remote, and is something else than what led to this act.
            return Err(LogError::Raced(id.clone()).into());
        }
        self.performed(id, action, performed)
    }

    /// Records what came of an act.
    fn performed(&mut self, id: &ImprovementId, action: &Action, performed: Result<(), ActionError>) -> Result<Acted> {
        let Some(effects) = &self.effects else { return Ok(Acted::Planned) };
        // Nobody else did it, and nothing is begun that may have happened.
        if let Err(ActionError::Wait(why)) = performed {
            return self.failed(id, action, why).map(Acted::Waits);
        }
        // Somebody who pulled at the same moment brought here what we had pushed: it happened. When the ref moved and the work tree
        // could not follow, asking finishes it; or the action stays begun, and the next cycle asks.
        let there = match &performed {
            Ok(()) => effects.probe(action)?,
            Err(why) => effects.probe(action).with_context(|| why.to_string())?,
        };
        match (performed, there) {
            (Ok(()), None) if !may_be_repeated(&action.kind) => bail!("{action} seemed to work, but its effect is not there"),
            (Ok(()), made) => {
                self.actions_done += 1;
                let tool = self.get(id)?.tool().to_string();
                self.tell(Progress::Action { id: id.clone(), tool, action: action.to_string(), dry_run: false });
                self.append(id, vec![done(action, made.unwrap_or_default())])?;
                Ok(Acted::Done)
            }
            (Err(_), Some(made)) => {
                self.append(id, vec![done(action, made)])?;
                Ok(Acted::Done)
            }
            (Err(ActionError::Wait(why) | ActionError::Unclear(why)), None) => self.failed(id, action, why).map(Acted::Waits),
            (Err(ActionError::Stale(why)), None) => self.failed(id, action, why).map(Acted::Stale),
            (Err(ActionError::Failed(error)), None) => self.failed(id, action, format!("{error:#}")).map(Acted::Failed),
        }
    }

    /// Says something on the forge. What cannot be said now is no reason not to go on: it is said when it still holds in the next cycle.
    pub(super) fn say(&mut self, id: &ImprovementId, word: &Word) -> Result<bool> {
        if self.is_dry_run() {
            return Ok(false);
        }
        let tool = self.get(id)?.tool().to_string();
        self.hold(&tool)?;
        let Some(effects) = &self.effects else { return Ok(false) };
        Ok(effects.say(word).unwrap_or_else(|why| {
            tracing::warn!("improvement {}: something was not said on the forge: {why}", id.short());
            false
        }))
    }

    /// Says something that is about no single tool, and claims none.
    pub(super) fn announce(&self, word: &Word) {
        if let Some(Err(why)) = self.effects.as_ref().map(|effects| effects.say(word)) {
            tracing::warn!("something was not said on the forge: {why}");
        }
    }

    /// Sets the switch, here and at the remote: nothing outward is done until a person has looked.
    pub(super) fn pause(&self, reason: &str) -> Result<()> {
        tracing::error!("{reason}");
        self.effects.as_ref().map_or(Ok(()), |effects| effects.pause(reason))
    }

    /// Lifts the switch, here and at the remote.
    pub(super) fn resume(&self) -> Result<()> {
        self.effects.as_ref().map_or(Ok(()), Effects::resume)
    }

    /// Drops an intended action that no longer fits the facts.
    pub(super) fn abandon(&mut self, id: &ImprovementId, action: &Action, why: &str) -> Result<Acted> {
        self.failed(id, action, why.to_string()).map(Acted::Stale)
    }

    fn failed(&mut self, id: &ImprovementId, action: &Action, why: String) -> Result<String> {
        self.append(id, vec![Event::Failed { key: action.key.clone(), error: why.clone() }])?;
        Ok(why)
    }

    /// Remembers how far history was looked through.
    pub(super) fn remember_seen(&self, commit: &CommitId) -> Result<()> {
        if let Some(effects) = &self.effects {
            effects.remember_seen(commit)?;
        }
        Ok(())
    }

    /// Lets live runs be repeated on the proposals that wait.
    pub(super) fn keep_shadows(&self) -> Result<()> {
        let waiting: Vec<_> = self.improvements.values().filter_map(Improvement::waiting).collect();
        self.effects.as_ref().map_or(Ok(()), |effects| effects.keep_shadows(&waiting))
    }

    /// Lets live runs be drawn for these rollouts.
    pub(super) fn keep_rollouts(&self, rollouts: &[Rollout]) -> Result<()> {
        self.effects.as_ref().map_or(Ok(()), |effects| effects.keep_rollouts(rollouts))
    }

    /// Adds up what the loop did.
    pub(super) fn count(&mut self, cycles: u64, tools: u64, maintenance: u64) -> Result<()> {
        let at = self.view.clock.now();
        match &mut self.effects {
            Some(effects) => Ok(effects.count(cycles, tools, maintenance, at)?),
            None => Ok(()),
        }
    }

    /// Stores the runs that wait on disk.
    pub(super) fn drain(&mut self) -> Result<()> {
        match &mut self.effects {
            Some(effects) => crate::record::spool::drain(&self.view.repo, effects.store(), usize::MAX).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Exchanges executions with others, when a remote is named for that. One that is away, or another process that is at it, is no
    /// reason not to go on.
    pub(super) fn sync(&mut self) -> Result<()> {
        let config = &self.view.config;
        let (Some(effects), remote) = (&mut self.effects, config.sync.remote.as_str()) else { return Ok(()) };
        if remote.is_empty() {
            return Ok(());
        }
        let now = self.view.clock.now();
        let terms = Terms { config, remote, now, patience: SYNC_PATIENCE, work: SYNC_PATIENCE };
        match exchange::sync(&self.view.repo, &terms, effects.store(), &mut |_| ()) {
            Ok(report) => {
                report.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                if report.is_news() {
                    self.tell(Progress::Synced { report });
                }
            }
            Err(SyncError::Store(error)) => return Err(error.into()),
            Err(SyncError::Exchange(error)) => tracing::warn!("executions were not exchanged: {error}"),
        }
        Ok(())
    }

    /// Stores what the forge ran since the last time, where the configuration wants that. A forge that is away is no reason not to go on.
    pub(super) fn collect(&mut self) -> Result<()> {
        let View { repo, config, .. } = self.view;
        let (Some(effects), Some(forge)) = (&mut self.effects, &self.view.forge) else { return Ok(()) };
        if !collect::is_wanted(config) {
            return Ok(());
        }
        let terms = collect::Terms { repo, config, forge, now: self.view.clock.now() };
        let report = collect::collect(&terms, effects.store())?;
        report.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        if let Some(why) = &report.failed {
            tracing::warn!("what {} ran was not read to the end: {why}", report.place);
        }
        if report.is_news() {
            self.tell(Progress::Collected { report });
        }
        Ok(())
    }

    /// Removes executions that need not be kept.
    pub(super) fn prune(&mut self, retention: &Retention) -> Result<u64> {
        match &mut self.effects {
            Some(effects) => Ok(effects.prune(retention)?),
            None => Ok(0),
        }
    }

    /// Brings the rollups of these tools in order.
    pub(super) fn settle(&mut self, tools: &[String]) -> Result<()> {
        match &mut self.effects {
            Some(effects) if !tools.is_empty() => Ok(effects.settle(tools).map(|_| ())?),
            _ => Ok(()),
        }
    }

    /// Says which news were looked at.
    pub(super) fn looked(&mut self, news: &News, again: &[String]) -> Result<()> {
        match &mut self.effects {
            Some(effects) => Ok(effects.looked(&news.dirty, &news.state, again)?),
            None => Ok(()),
        }
    }
}

fn done(action: &Action, made: Made) -> Event {
    Event::Done { key: action.key.clone(), made }
}

/// Acts of which only the forge knows that they happened, and that happen once however often they are done.
fn may_be_repeated(kind: &ActionKind) -> bool {
    matches!(kind, ActionKind::Report { .. } | ActionKind::MergeWhenReady { .. } | ActionKind::MergeNot { .. })
}

/// Appends one fact outside of a cycle; only facts, never an act.
pub(super) fn append_one(view: &View, improvement: &Improvement, event: Event) -> Result<(), CycleError> {
    let at = view.clock.now();
    Effects::open(view)?.append(&improvement.id, improvement.records.len(), &[Record { at, event }], at)?;
    Ok(())
}

/// The tool that an improvement is about, which its first record says.
fn tool_of(known: Option<&Improvement>, events: &[Event]) -> String {
    let detected = events.iter().find_map(|event| match event {
        Event::Detected { opportunity } => Some(opportunity.tool.clone()),
        _ => None,
    });
    detected.unwrap_or_else(|| known.map_or("?", Improvement::tool).to_string())
}
