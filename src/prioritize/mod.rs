//! The backlog: opportunities in the order in which they are taken on. Pure.

use std::cmp::Ordering;

use crate::model::Opportunity;

/// An opportunity in its place, and why it stands before an equal one.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    pub opportunity: Opportunity,
    /// Set when the score alone did not decide between this and the next one.
    pub tie: Option<&'static str>,
}

type Rule = fn(&Opportunity, &Opportunity) -> Ordering;

/// What decides between equal scores, in this order.
const TIES: [(&str, Rule); 4] = [
    ("higher priority", |a, b| b.priority.cmp(&a.priority)),
    ("larger share of failures", |a, b| share(b).total_cmp(&share(a))),
    ("seen more recently", |a, b| b.last_seen.cmp(&a.last_seen)),
    ("first by name", |a, b| (&a.tool, &a.id).cmp(&(&b.tool, &b.id))),
];

/// Merges duplicates (same id: the one with more failures stays), and orders by score, then by the tie rules.
pub fn prioritize(mut opportunities: Vec<Opportunity>) -> Vec<Ranked> {
    opportunities.sort_by(|a, b| a.id.cmp(&b.id).then(b.failures.cmp(&a.failures)));
    opportunities.dedup_by(|a, b| a.id == b.id);
    opportunities.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| by_ties(a, b).0));
    let ties: Vec<Option<&'static str>> = opportunities
        .windows(2)
        .map(|pair| (pair[0].score == pair[1].score).then(|| by_ties(&pair[0], &pair[1]).1))
        .chain([None])
        .collect();
    opportunities.into_iter().zip(ties).map(|(opportunity, tie)| Ranked { opportunity, tie }).collect()
}

fn by_ties(a: &Opportunity, b: &Opportunity) -> (Ordering, &'static str) {
    let decided = TIES.iter().map(|(name, rule)| (rule(a, b), *name)).find(|(order, _)| *order != Ordering::Equal);
    decided.unwrap_or((Ordering::Equal, "equal in everything"))
}

fn share(opportunity: &Opportunity) -> f64 {
    opportunity.failures as f64 / opportunity.counts.runs.max(1) as f64
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::model::{Counts, Exit, Failure, ImprovementId, Priority, Version};

    fn opportunity(tool: &str, score: f64, priority: Priority, failures: u64) -> Opportunity {
        Opportunity {
            id: ImprovementId(tool.into()),
            tool: tool.into(),
            version: Version("v".into()),
            counts: Counts { runs: 50, failures },
            failure: Failure::new(&Exit::Code(1), None, "x", vec![]),
            failures,
            distinct_inputs: 1,
            signals: vec![],
            priority,
            score,
            last_seen: Timestamp::UNIX_EPOCH,
            each: Vec::new(),
        }
    }

    #[test]
    fn the_score_decides_and_ties_say_what_decided_them() {
        let ranked = prioritize(vec![
            opportunity("c", 10.0, Priority::Low, 20),
            opportunity("b", 10.0, Priority::Medium, 20),
            opportunity("a", 20.0, Priority::Low, 20),
        ]);
        let order: Vec<(&str, Option<&str>)> = ranked.iter().map(|r| (r.opportunity.tool.as_str(), r.tie)).collect();
        assert_eq!(order, [("a", None), ("b", Some("higher priority")), ("c", None)]);
    }

    #[test]
    fn one_id_is_one_opportunity() {
        let twice = vec![opportunity("a", 1.0, Priority::Low, 2), opportunity("a", 2.0, Priority::Low, 9)];
        let ranked = prioritize(twice);
        assert_eq!(ranked.len(), 1);
        assert_eq!(ranked[0].opportunity.failures, 9);
    }
}
