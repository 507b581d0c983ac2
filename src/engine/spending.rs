//! What models and agents have cost, and what strategies came to: by strategy, prompt, language and failure. Derived from the log.

use std::collections::BTreeMap;

use serde::Serialize;

use super::improvement::Improvement;
use super::stage::Stage;
use super::status::{History, was_landed};
use crate::config::BudgetConfig;
use crate::improve::Ledger;
use crate::lang;
use crate::model::{Cost, Event, Language};

/// What was spent, and what may be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spending {
    /// Today, by UTC.
    pub today: Cost,
    pub all: Cost,
    pub budget: BudgetConfig,
}

/// What one way to repair came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StrategyRow {
    pub strategy: String,
    /// Who, and with which prompt; empty for what needs none.
    pub source: String,
    pub language: Language,
    /// Of the failure.
    pub class: String,
    /// Candidates at the gate, and those that it accepted.
    pub judged: u64,
    pub accepted: u64,
    /// Of those that the gate compared with another strategy's (`[improve] beside`), how many there were, and how many were taken.
    pub compared: u64,
    pub preferred: u64,
    /// What became of those that were accepted.
    pub landed: u64,
    pub kept: u64,
    pub reverted: u64,
    /// Cost of asking for them.
    pub cost: Cost,
}

/// What models and agents have cost, by the log.
pub(super) fn ledger<'a>(improvements: impl Iterator<Item = &'a Improvement>) -> Ledger {
    let mut ledger = Ledger::default();
    for record in improvements.flat_map(|improvement| &improvement.records) {
        if let Event::Asked { asking } = &record.event {
            ledger.record(record.at, asking);
        }
    }
    ledger
}

type Key = (String, String, Language, String);

impl History {
    /// What models and agents have cost.
    pub fn spending(&self) -> Spending {
        let (ledger, view) = (ledger(self.improvements().into_iter()), self.view());
        Spending { today: ledger.day(view.clock.now()), all: ledger.all(), budget: view.config.budget.clone() }
    }

    /// What each way to repair came to, so far.
    pub fn strategies(&self) -> Vec<StrategyRow> {
        let mut rows: BTreeMap<Key, StrategyRow> = BTreeMap::new();
        for improvement in self.improvements() {
            count(improvement, &mut rows);
        }
        rows.into_values().collect()
    }
}

fn count(improvement: &Improvement, rows: &mut BTreeMap<Key, StrategyRow>) {
    let class = improvement.opportunity.as_ref().map(|opportunity| opportunity.failure.class.clone()).unwrap_or_default();
    let language = improvement.records.iter().find_map(|record| match &record.event {
        Event::Judged { attempt, .. } => attempt.diff.lines().find_map(|line| line.strip_prefix("+++ b/")),
        Event::Investigated { investigation } => investigation.locations.first().map(|location| location.path.as_str()),
        _ => None,
    });
    let language = language.map_or(Language::Other, |path| lang::detect(path, b""));
    let mut row = |strategy: &str, source: &str, with: &mut dyn FnMut(&mut StrategyRow)| {
        // A template is one of many of one strategy.
        let source = if matches!(strategy, "model" | "agent") { source } else { "" };
        let key = (strategy.to_string(), source.to_string(), language, class.clone());
        with(rows.entry(key).or_insert_with(|| StrategyRow {
            strategy: strategy.to_string(),
            source: source.to_string(),
            language,
            class: class.clone(),
            ..StrategyRow::default()
        }));
    };
    for record in &improvement.records {
        match &record.event {
            Event::Asked { asking } if !asking.is_prose() => {
                let source = format!("{} {}", asking.by, asking.prompt);
                row(&asking.strategy, &source, &mut |row| row.cost = row.cost.and(asking.cost));
            }
            Event::Judged { attempt, verdict } => {
                let others = || attempt.beside.iter().filter(|other| other.strategy != attempt.strategy);
                let compared = u64::from(others().next().is_some());
                row(&attempt.strategy, &attempt.source, &mut |row| {
                    row.judged += 1;
                    row.accepted += u64::from(verdict.accepted());
                    (row.compared, row.preferred) = (row.compared + compared, row.preferred + compared);
                });
                others().for_each(|other| row(&other.strategy, &other.source, &mut |row| row.compared += 1));
            }
            _ => {}
        }
    }
    if let Some((attempt, _)) = &improvement.accepted {
        row(&attempt.strategy, &attempt.source, &mut |row| {
            row.landed += u64::from(was_landed(improvement));
            row.kept += u64::from(improvement.stage == Stage::Kept);
            row.reverted += u64::from(improvement.stage == Stage::Reverted);
        });
    }
}
