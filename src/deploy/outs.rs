//! What keeps a confirmed regression from being undone by us: the ladder of outs. Pure: facts in, and the first reason in the order of the
//! ladder out, so that it can be shown, stored and tested. A person who asks for a revert is only held up by what nobody can do.

use crate::model::CommitId;

/// What is known when a landed improvement should be undone, read immediately before.
#[derive(Clone, Debug)]
pub struct RevertFacts<'a> {
    /// A person asked for it.
    pub by_person: bool,
    /// The configuration lets regressions of this tool be reverted.
    pub allowed: bool,
    /// Days since it landed, and after how many a revert surprises more than it helps.
    pub days: u32,
    pub days_max: u32,
    /// Reverts within 24 hours: of this tool and of all, and their limits.
    pub of_tool: (usize, usize),
    pub of_all: (usize, usize),
    /// The file in which later changes are in the way of the inverse.
    pub conflict: Option<&'a str>,
    /// Later commits that changed the same files.
    pub dependants: &'a [Dependant],
    /// Confirmed inputs that failed on the version before too, when they were recorded.
    pub red_before: &'a [String],
    /// Confirmed inputs that fail on the base with the inverse too.
    pub not_repaired: &'a [String],
}

/// A later commit that may rely on what should be undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependant {
    pub commit: CommitId,
    pub summary: String,
    pub paths: Vec<String>,
}

/// Named at most so many: who wants all of them has git.
const NAMED: usize = 3;

/// Why it is not reverted by us; `None` when it is.
pub fn out(facts: &RevertFacts<'_>) -> Option<String> {
    if let Some(path) = facts.conflict {
        return Some(format!("later changes in `{path}` are in the way of the inverse"));
    }
    if facts.by_person {
        return None;
    }
    let limit = |(done, limit): (usize, usize), key: &str| {
        (done >= limit).then(|| format!("{done} reverts within 24 hours are as many as may be (`[monitor] {key}`)"))
    };
    let list = |all: &[String]| {
        let more = all.len().saturating_sub(NAMED);
        let named = all.iter().take(NAMED).map(|one| format!("`{one}`")).collect::<Vec<_>>().join(", ");
        if more > 0 { format!("{named} and {more} more") } else { named }
    };
    if !facts.allowed {
        return Some("reverts are for people here (`revert = false`)".into());
    }
    if facts.days > facts.days_max {
        return Some(format!("it landed {} days ago, more than {} (`[monitor] revert_days`)", facts.days, facts.days_max));
    }
    if let Some(why) = limit(facts.of_tool, "reverts_per_day").or_else(|| limit(facts.of_all, "reverts_per_day_all")) {
        return Some(why);
    }
    if let Some(last) = facts.dependants.first() {
        let more = match facts.dependants.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let (commit, paths) = (last.commit.short(), list(&last.paths));
        return Some(format!("`{}` ({commit}){more} changed {paths} since and may rely on it", last.summary));
    }
    if !facts.red_before.is_empty() {
        return Some(format!("{} failed on the version before it too", list(facts.red_before)));
    }
    (!facts.not_repaired.is_empty()).then(|| format!("without it {} fails too", list(facts.not_repaired)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said, and the fact that makes it so.
    type Rung<'a> = (&'a str, &'a dyn Fn(&mut RevertFacts<'static>));

    fn facts() -> RevertFacts<'static> {
        RevertFacts {
            by_person: false,
            allowed: true,
            days: 14,
            days_max: 14,
            of_tool: (0, 1),
            of_all: (2, 3),
            conflict: None,
            dependants: &[],
            red_before: &[],
            not_repaired: &[],
        }
    }

    #[test]
    fn a_confirmed_regression_without_a_reason_against_it_is_reverted() {
        assert_eq!(out(&facts()), None);
    }

    #[test]
    fn every_rung_holds_by_itself_and_the_first_one_is_told() {
        let later = |paths: &[&str]| Dependant {
            commit: CommitId("0123456789".repeat(4)),
            summary: "Faster".into(),
            paths: paths.iter().map(|path| path.to_string()).collect(),
        };
        let (dependants, inputs) = ([later(&["a.py", "b.py"]), later(&["a.py"])], ["x 1".to_string(), "x 2".to_string()]);
        let mut all = facts();
        let rungs: [Rung<'_>; 8] = [
            ("without it `x 1`", &|facts| facts.not_repaired = Box::leak(Box::new(inputs.clone()))),
            ("`x 1`, `x 2` failed on the version before", &|facts| facts.red_before = Box::leak(Box::new(inputs.clone()))),
            ("`Faster` (01234567) and 1 more changed `a.py`, `b.py`", &|facts| {
                facts.dependants = Box::leak(Box::new(dependants.clone()));
            }),
            ("reverts_per_day_all", &|facts| facts.of_all = (3, 3)),
            ("`[monitor] reverts_per_day`", &|facts| facts.of_tool = (1, 1)),
            ("landed 15 days ago", &|facts| facts.days = 15),
            ("revert = false", &|facts| facts.allowed = false),
            ("later changes in `a.py`", &|facts| facts.conflict = Some("a.py")),
        ];
        for (said, apply) in rungs {
            let mut alone = facts();
            apply(&mut alone);
            apply(&mut all);
            for facts in [&alone, &all] {
                assert!(out(facts).is_some_and(|why| why.contains(said)), "{said}: {:?}", out(facts));
            }
        }
    }

    #[test]
    fn a_person_is_only_held_up_by_a_conflict() {
        let held = RevertFacts { by_person: true, allowed: false, days: 99, of_tool: (9, 1), of_all: (9, 3), ..facts() };
        assert_eq!(out(&held), None);
        assert!(out(&RevertFacts { conflict: Some("a.py"), ..held }).is_some());
    }
}
