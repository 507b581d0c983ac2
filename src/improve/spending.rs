//! What asking models and agents has cost so far, and whether there is room for more. What was spent is derived from the log; what is
//! being spent, and what is spent and not in the log yet, is in the [`Till`] of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::config::{BudgetConfig, LimitsConfig};
use crate::model::{Asking, Cost};

const DAY: i64 = 86_400;

/// What was spent as the log has it, by day (UTC) and in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    days: BTreeMap<i64, Cost>,
    all: Cost,
    /// Questions that are paid.
    paid: BTreeSet<String>,
}

impl Ledger {
    /// Counts something that was asked.
    pub fn record(&mut self, at: Timestamp, asking: &Asking) {
        let day = self.days.entry(at.as_second().div_euclid(DAY)).or_default();
        *day = day.and(asking.cost);
        self.all = self.all.and(asking.cost);
        // Where nobody answered, the answer is still to be paid.
        if asking.cost.output_tokens > 0 {
            self.paid.insert(asking.question.clone());
        }
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
    /// Later there may be room again.
    pub is_for_now: bool,
}

/// What all who ask at the same time spend from: room is taken before a question goes out, and what it cost is put down afterwards, so that
/// no limit is passed by what is under way.
#[derive(Debug, Default)]
pub struct Till(Mutex<Inside>);

#[derive(Debug, Default)]
struct Inside {
    log: Ledger,
    /// Spent here, and not in the log yet.
    unrecorded: Cost,
    /// Questions that were paid here.
    paid: BTreeSet<String>,
    /// What is under way may cost at most.
    reserved: Cost,
}

impl Till {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the log as it is now, with what others have published of theirs.
    pub fn read(&self, log: Ledger) {
        self.inside().log = log;
    }

    /// Something that was spent here is in the log now.
    pub fn recorded(&self, at: Timestamp, asking: &Asking) {
        let mut inside = self.inside();
        inside.unrecorded = inside.unrecorded.without(asking.cost);
        inside.log.record(at, asking);
    }

    /// Puts down what an answer that was there already cost when it was given, unless that is known: what is to be counted of it.
    pub fn count(&self, question: &str, cost: Cost) -> Cost {
        let mut inside = self.inside();
        if inside.log.paid.contains(question) || !inside.paid.insert(question.to_string()) {
            return Cost::default();
        }
        inside.unrecorded = inside.unrecorded.and(cost);
        cost
    }

    /// Takes room for something that costs at most `most`. `opportunity` is what one opportunity took so far.
    ///
    /// # Errors
    /// The limit that it would pass.
    pub fn reserve(&self, budget: &BudgetConfig, opportunity: Cost, now: Timestamp, most: Cost) -> Result<Reserved<'_>, Spent> {
        let mut inside = self.inside();
        let (unrecorded, reserved) = (inside.unrecorded, inside.reserved);
        let levels = [
            ("opportunity", &budget.opportunity, opportunity, Cost::default()),
            ("day", &budget.day, inside.log.day(now).and(unrecorded), reserved),
            ("repository", &budget.repository, inside.log.all().and(unrecorded), reserved),
        ];
        for (name, limits, used, reserved) in levels {
            let Some(limit) = passed(limits, used.and(reserved).and(most)) else { continue };
            let is_of_day = name == "day";
            let beside = if reserved == Cost::default() { String::new() } else { format!("; under way at most {reserved}") };
            let until = if is_of_day { "; it waits for tomorrow (UTC)" } else { "" };
            let why = format!("the budget is used up (`[budget.{name}] {limit}`; so far {used}{beside}){until}");
            return Err(Spent { why, is_for_now: is_of_day || passed(limits, used.and(most)).is_none() });
        }
        inside.reserved = reserved.and(most);
        Ok(Reserved { till: self, most })
    }
}

/// Room for something that is under way. Let go of, nothing was spent.
#[must_use]
#[derive(Debug)]
pub struct Reserved<'t> {
    till: &'t Till,
    most: Cost,
}

impl Reserved<'_> {
    /// What it cost in the end.
    pub fn settle(self, question: &str, cost: Cost) {
        let mut inside = self.till.inside();
        inside.unrecorded = inside.unrecorded.and(cost);
        inside.paid.insert(question.to_string());
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut inside = self.till.inside();
        inside.reserved = inside.reserved.without(self.most);
    }
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
    use proptest::prelude::*;

    use super::*;

    fn cost(attempts: u64, tokens: u64, micro_usd: u64) -> Cost {
        Cost { attempts, input_tokens: 0, output_tokens: tokens, micro_usd, milliseconds: 1000 }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn asking(cost: Cost, question: &str) -> Asking {
        Asking {
            strategy: "model".into(),
            by: "m".into(),
            prompt: "p".into(),
            question: question.into(),
            cost,
            recorded: false,
            estimated: false,
            outcome: String::new(),
            said: None,
        }
    }

    fn of_day(day: LimitsConfig) -> BudgetConfig {
        BudgetConfig { opportunity: LimitsConfig::default(), day, repository: LimitsConfig::default() }
    }

    #[test]
    fn the_first_limit_that_would_be_passed_is_named() {
        let mut ledger = Ledger::default();
        ledger.record(at(10), &asking(cost(1, 100, 10), "a"));
        ledger.record(at(DAY + 10), &asking(cost(2, 200, 20), "b"));
        let till = Till::default();
        till.read(ledger);
        assert_eq!(till.count("c", cost(1, 50, 0)), cost(1, 50, 0));
        let budget = |opportunity, day, repository| BudgetConfig { opportunity, day, repository };
        let none = LimitsConfig::default();
        let asked = |budget: &BudgetConfig| {
            let reserved = till.reserve(budget, cost(2, 50, 0), at(DAY + 99), cost(1, 10, 5));
            reserved.err().map(|spent| spent.why).unwrap_or_default()
        };
        assert_eq!(asked(&budget(none, none, none)), "");
        assert!(asked(&budget(LimitsConfig { attempts: 2, ..none }, none, none)).contains("[budget.opportunity] attempts"));
        // 200 of today, 50 that is not in the log yet, and the next one.
        assert_eq!(asked(&budget(none, LimitsConfig { tokens: 260, ..none }, none)), "");
        assert!(asked(&budget(none, LimitsConfig { tokens: 259, ..none }, none)).contains("[budget.day] tokens"));
        assert!(asked(&budget(none, none, LimitsConfig { usd: 0.000_034, ..none })).contains("[budget.repository] usd"));
        assert_eq!(asked(&budget(none, none, LimitsConfig { usd: 0.000_035, ..none })), "");
    }

    #[test]
    fn what_is_under_way_takes_room_until_it_is_known_what_it_cost() {
        let till = Till::default();
        let repository = LimitsConfig { attempts: 1, ..LimitsConfig::default() };
        let budget = BudgetConfig { repository, ..of_day(LimitsConfig::default()) };
        let reserve = || till.reserve(&budget, Cost::default(), at(0), cost(1, 0, 0));
        let first = reserve().expect("there is room");
        let refused = reserve().expect_err("there is room for one");
        assert!(refused.is_for_now && refused.why.contains("under way at most 1 asked"), "{refused:?}");
        drop(first);
        reserve().expect("nothing was spent").settle("q", cost(1, 10, 1));
        assert!(!reserve().expect_err("it is spent").is_for_now);
        // Once it is in the log it is counted there, and only there.
        till.recorded(at(0), &asking(cost(1, 10, 1), "q"));
        let two = BudgetConfig { repository: LimitsConfig { attempts: 2, ..repository }, ..budget.clone() };
        assert!(till.reserve(&two, Cost::default(), at(0), cost(1, 0, 0)).is_ok());
        assert_eq!(till.count("q", cost(1, 10, 1)), Cost::default());
    }

    proptest! {
        /// However the steps of several who ask interleave: what was spent and what may still be never passes a limit.
        #[test]
        fn no_limit_is_passed_in_whatever_order_things_happen(
            steps in prop::collection::vec((0_usize..4, 1_u64..40, 0_u64..40, any::<bool>()), 1..60),
            limit in 1_u64..120,
        ) {
            let (till, budget) = (Till::default(), of_day(LimitsConfig { tokens: limit, ..LimitsConfig::default() }));
            let mut under_way: Vec<Option<(Reserved<'_>, u64)>> = (0..4).map(|_| None).collect();
            let (mut spent, mut refused) = (0, false);
            for (who, most, real, fails) in steps {
                match under_way[who].take() {
                    Some((reserved, most)) if !fails => {
                        let real = real.min(most);
                        spent += real;
                        reserved.settle("q", cost(1, real, 0));
                    }
                    Some(_) => {}
                    None => match till.reserve(&budget, Cost::default(), at(0), cost(1, most, 0)) {
                        Ok(reserved) => under_way[who] = Some((reserved, most)),
                        Err(_) => refused = true,
                    },
                }
                let held: u64 = under_way.iter().flatten().map(|(_, most)| most).sum();
                prop_assert!(spent + held <= limit);
            }
            under_way.clear();
            // What is left can be spent to the last token.
            let left = limit - spent;
            prop_assert!(left == 0 || till.reserve(&budget, Cost::default(), at(0), cost(1, left, 0)).is_ok(), "{refused}");
        }
    }
}
