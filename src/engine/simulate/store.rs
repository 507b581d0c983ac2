//! The execution store of a simulation: which tools have news, what was looked at, and being away. It holds no executions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::sim::{Sim, State};
use crate::model::{Execution, ExecutionId, Hints, NewExecution, Recording, Version};
use crate::world::store::{
    Dirty, FailingInput, FailureSummary, Forget, Forgotten, HourSummary, Ingested, LoopCounters, Query, Retention, Store,
    StoreError, VersionSummary,
};

/// What is in the store.
#[derive(Default)]
pub(super) struct Kept {
    /// Tools with news.
    pub(super) dirty: BTreeMap<String, i64>,
    pub(super) looked_in: Option<String>,
    pub(super) counters: LoopCounters,
}

/// A connection to it.
pub(super) struct SimStore(pub(super) Arc<Sim>);

type Answer<T> = Result<T, StoreError>;

/// Said when the store cannot be reached.
pub(super) fn away() -> StoreError {
    StoreError::Away { address: "simulated".into(), why: "it is away".into() }
}

impl SimStore {
    fn ask<T>(&self, answer: impl FnOnce(&mut Kept) -> T) -> Answer<T> {
        self.0.with(|state: &mut State| match state.store_fails() {
            true => Err(away()),
            false => Ok(answer(&mut state.store)),
        })
    }
}

impl Store for SimStore {
    fn record_all(&mut self, _: &[NewExecution]) -> Answer<Ingested> {
        self.ask(|_| Ingested::default())
    }
    fn mark_bad(&mut self, id: &ExecutionId, _: Option<&[u8]>) -> Answer<()> {
        Err(StoreError::NoSuchExecution(id.to_string()))
    }
    fn find(&self, prefix: &str) -> Answer<Execution> {
        Err(StoreError::NoSuchExecution(prefix.to_string()))
    }
    fn versions(&self, _: Option<&[String]>, _: Timestamp) -> Answer<Vec<VersionSummary>> {
        self.ask(|_| Vec::new())
    }
    fn failures(&self, _: &str, _: &Version, _: Timestamp, _: Timestamp) -> Answer<Vec<FailureSummary>> {
        self.ask(|_| Vec::new())
    }
    fn hours(&self, _: &str, _: &Version, _: Timestamp) -> Answer<Vec<HourSummary>> {
        self.ask(|_| Vec::new())
    }
    fn failing_inputs(&self, _: &str, _: &Version, _: Timestamp) -> Answer<Vec<FailingInput>> {
        self.ask(|_| Vec::new())
    }
    fn execution(&self, _: &str, _: &Version, _: &ExecutionId) -> Answer<Option<Execution>> {
        self.ask(|_| None)
    }
    fn executions(&self, _: &Query<'_>) -> Answer<Vec<Execution>> {
        self.ask(|_| Vec::new())
    }
    fn load(&self, execution: Execution) -> Answer<Recording> {
        Err(StoreError::NoSuchExecution(execution.id.to_string()))
    }
    fn stderr(&self, _: &Execution) -> Answer<Vec<u8>> {
        self.ask(|_| Vec::new())
    }
    fn dirty(&self) -> Answer<Vec<Dirty>> {
        self.ask(|kept| kept.dirty.iter().map(|(tool, news)| Dirty { tool: tool.clone(), news: *news }).collect())
    }
    fn looked(&mut self, seen: &[Dirty], state: &str, again: &[String]) -> Answer<()> {
        self.ask(|kept| {
            kept.looked_in = Some(state.to_string());
            for seen in seen.iter().filter(|seen| !again.contains(&seen.tool)) {
                if kept.dirty.get(&seen.tool) == Some(&seen.news) {
                    kept.dirty.remove(&seen.tool);
                }
            }
            for tool in again {
                kept.dirty.entry(tool.clone()).or_insert(0);
            }
        })
    }
    fn looked_in(&self) -> Answer<Option<String>> {
        self.ask(|kept| kept.looked_in.clone())
    }
    fn settle(&mut self, _: &[String]) -> Answer<u64> {
        self.ask(|_| 0)
    }
    fn count(&mut self, cycles: u64, tools: u64, maintenance: u64, at: Timestamp) -> Answer<()> {
        self.ask(|kept| {
            let counters = &mut kept.counters;
            counters.cycles_completed += cycles;
            counters.tools_analysed += tools;
            counters.maintenance_runs += maintenance;
            counters.last_check = Some(at);
            if maintenance > 0 {
                counters.last_maintenance = Some(at);
            }
        })
    }
    fn counters(&self) -> Answer<LoopCounters> {
        self.ask(|kept| kept.counters.clone())
    }
    fn prune(&mut self, _: &Retention) -> Answer<u64> {
        self.ask(|_| 0)
    }
    fn forget(&mut self, _: &Forget) -> Answer<Vec<ExecutionId>> {
        self.ask(|_| Vec::new())
    }
    fn matching(&self, _: &Forget) -> Answer<Vec<(String, ExecutionId)>> {
        self.ask(|_| Vec::new())
    }
    fn forgotten(&self) -> Answer<Forgotten> {
        self.ask(|_| Forgotten::default())
    }
    fn unsent(&mut self, _: usize) -> Answer<Vec<NewExecution>> {
        self.ask(|_| Vec::new())
    }
    fn sent(&mut self, _: &[ExecutionId]) -> Answer<()> {
        self.ask(|_| ())
    }
    fn receive(&mut self, _: &str, _: &[NewExecution]) -> Answer<Ingested> {
        self.ask(|_| Ingested::default())
    }
    fn is_received(&self, _: &str) -> Answer<bool> {
        self.ask(|_| true)
    }
    fn keep_received(&mut self, _: &BTreeSet<String>) -> Answer<()> {
        self.ask(|_| ())
    }
    fn set_hints(&mut self, _: &str, _: &Hints) -> Answer<()> {
        self.ask(|_| ())
    }
    fn hints(&self) -> Answer<BTreeMap<String, Hints>> {
        self.ask(|_| BTreeMap::new())
    }
    fn bookmark(&self, _: &str) -> Answer<Option<String>> {
        self.ask(|_| None)
    }
    fn set_bookmark(&mut self, _: &str, _: &str) -> Answer<()> {
        self.ask(|_| ())
    }
    fn size(&self) -> Answer<(u64, u64)> {
        self.ask(|_| (0, 0))
    }
    fn is_empty(&self) -> Answer<bool> {
        self.ask(|_| false)
    }
}
