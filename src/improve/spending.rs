//! What asking models and agents has cost so far, and whether there is room for more. Derived from the log, never stored. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::config::{BudgetConfig, LimitsConfig};
use crate::model::Cost;

const DAY: i64 = 86_400;

/// What was spent, by day (UTC) and in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    days: BTreeMap<i64, Cost>,
    all: Cost,
}

impl Ledger {
    /// Counts something that was asked.
    pub fn record(&mut self, at: Timestamp, cost: Cost) {
        let day = self.days.entry(at.as_second().div_euclid(DAY)).or_default();
        *day = day.and(cost);
        self.all = self.all.and(cost);
    }

    /// Of the day around a moment.
    pub fn day(&self, now: Timestamp) -> Cost {
        self.days.get(&now.as_second().div_euclid(DAY)).copied().unwrap_or_default()
    }

    /// Of all time.
    pub fn all(&self) -> Cost {
        self.all
    }
}

/// A limit that is reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Spent {
    pub why: String,
    /// Tomorrow there is room again.
    pub is_for_today: bool,
}

/// Whether `next` may be spent too: the limit that it would pass, if not. `opportunity` is what one opportunity took so far, `own` what of
/// it is not in the ledger yet.
///
/// # Errors
/// The limit.
pub fn room(
    budget: &BudgetConfig,
    ledger: &Ledger,
    (opportunity, own): (Cost, Cost),
    now: Timestamp,
    next: Cost,
) -> Result<(), Spent> {
    let levels = [
        ("opportunity", &budget.opportunity, opportunity),
        ("day", &budget.day, ledger.day(now).and(own)),
        ("repository", &budget.repository, ledger.all().and(own)),
    ];
    for (name, limits, used) in levels {
        if let Some(limit) = passed(limits, used.and(next)) {
            let why = format!("the budget is used up (`[budget.{name}] {limit}`; so far {used})");
            return Err(Spent { why, is_for_today: name == "day" });
        }
    }
    Ok(())
}

/// The first limit that is passed.
fn passed(limits: &LimitsConfig, cost: Cost) -> Option<&'static str> {
    let over = |limit: u64, used: u64| limit > 0 && used > limit;
    let usd = limits.usd > 0.0 && cost.usd() > limits.usd;
    let minutes = over(limits.minutes.saturating_mul(60_000), cost.milliseconds);
    let limits = [
        (over(limits.attempts, cost.attempts), "attempts"),
        (over(limits.tokens, cost.tokens()), "tokens"),
        (usd, "usd"),
        (minutes, "minutes"),
    ];
    limits.into_iter().find(|(is_over, _)| *is_over).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(attempts: u64, tokens: u64, micro_usd: u64) -> Cost {
        Cost { attempts, input_tokens: tokens, output_tokens: 0, micro_usd, milliseconds: 1000 }
    }

    #[test]
    fn the_first_limit_that_would_be_passed_is_named() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let mut ledger = Ledger::default();
        ledger.record(at(10), cost(1, 100, 10));
        ledger.record(at(DAY + 10), cost(2, 200, 20));
        let budget = |opportunity, day, repository| BudgetConfig { opportunity, day, repository };
        let none = LimitsConfig::default();
        let asked = |budget: &BudgetConfig| {
            room(budget, &ledger, (cost(2, 50, 0), cost(1, 50, 0)), at(DAY + 99), cost(1, 10, 5))
                .err()
                .map(|spent| spent.why)
                .unwrap_or_default()
        };
        assert_eq!(asked(&budget(none, none, none)), "");
        assert!(asked(&budget(LimitsConfig { attempts: 2, ..none }, none, none)).contains("[budget.opportunity] attempts"));
        // 200 of today, 50 that is not in the log yet, and the next one.
        assert_eq!(asked(&budget(none, LimitsConfig { tokens: 260, ..none }, none)), "");
        assert!(asked(&budget(none, LimitsConfig { tokens: 259, ..none }, none)).contains("[budget.day] tokens"));
        assert!(asked(&budget(none, none, LimitsConfig { usd: 0.000_034, ..none })).contains("[budget.repository] usd"));
        assert_eq!(asked(&budget(none, none, LimitsConfig { usd: 0.000_035, ..none })), "");
    }
}
