//! Whether the forge's facts allow a proposal to land now: a pure function of what was read just before.

use crate::config::LandBy;
use crate::model::{CommitId, Way};
use crate::world::forge::{Check, Landable, Opinion, Proposal, Review, Rules, Verdict};

/// Checks whose names begin so are ours: what they say is what we said.
pub const OWN_CHECKS: &str = "fractal/";
/// Who puts this label on a proposal keeps us from landing or closing it.
pub const HOLD_LABEL: &str = "fractal:hold";

/// What the decision sees.
#[derive(Clone, Debug)]
pub struct ForgeFacts<'a> {
    pub proposal: &'a Proposal,
    /// What was validated.
    pub head: &'a CommitId,
    /// The newest of each name.
    pub checks: &'a [Check],
    /// Oldest first.
    pub reviews: &'a [Review],
    pub rules: &'a Rules,
    /// `[forge] way`.
    pub by: LandBy,
    /// `[forge] without_checks`.
    pub without_checks: bool,
    /// `[forge] automatic`.
    pub automatic: bool,
    /// A person allowed it.
    pub approved: bool,
}

/// What to do with a proposal on a forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Landing {
    /// Land it now.
    Now(Way),
    /// Move the base to it now.
    Push,
    /// Ask the forge to land it when its own rules allow.
    WhenReady(Way),
    /// It may land later by itself.
    Wait(String),
    /// Not without a person.
    Refuse(String),
}

impl Landing {
    /// Why it does not land now, if it does not.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Landing::Wait(reason) | Landing::Refuse(reason) => Some(reason),
            Landing::Now(_) | Landing::Push | Landing::WhenReady(_) => None,
        }
    }
}

/// The decision. A check that is pending, was cancelled or never began is not green, and no checks at all are none.
pub fn landing(facts: &ForgeFacts<'_>) -> Landing {
    if let Some(held) = held_by_a_person(facts) {
        return held;
    }
    // What is pushed is not merged, but the rest is the same.
    let way = if facts.by == LandBy::Push { Some(Way::Merge) } else { way(facts) };
    let Some(way) = way else {
        return Landing::Refuse("the forge allows no way of landing that `[forge] way` allows".into());
    };
    let checks = checks(facts);
    match checks {
        Some(Landing::Wait(_)) if facts.automatic && facts.by != LandBy::Push && only_rules_are_missing(facts) => {
            return Landing::WhenReady(way);
        }
        Some(not_yet) => return not_yet,
        None => {}
    }
    match facts.proposal.landable {
        Landable::Conflicts => Landing::Wait("the forge sees conflicts with the base".into()),
        Landable::Behind => Landing::Wait("the forge wants the newest commit of the base in it".into()),
        Landable::Unknown => Landing::Wait("the forge has not found out yet whether it can be landed".into()),
        Landable::Blocked if facts.rules.queue && facts.by != LandBy::Push => Landing::WhenReady(way),
        Landable::Blocked if facts.rules.approvals > 0 => {
            let approvals = facts.rules.approvals;
            Landing::Wait(format!("the base wants {approvals} approval{}", if approvals == 1 { "" } else { "s" }))
        }
        Landable::Blocked => Landing::Wait("the forge's rules for the base keep it from landing".into()),
        Landable::Yes if facts.by == LandBy::Push => Landing::Push,
        Landable::Yes if facts.rules.queue => Landing::WhenReady(way),
        Landable::Yes => Landing::Now(way),
    }
}

fn held_by_a_person(facts: &ForgeFacts<'_>) -> Option<Landing> {
    let ForgeFacts { proposal, .. } = facts;
    if proposal.labels.contains(HOLD_LABEL) {
        return Some(Landing::Refuse(format!("a person holds it by the label `{HOLD_LABEL}`")));
    }
    if proposal.head != *facts.head {
        return Some(Landing::Wait("the forge does not show the newest commit of the branch yet".into()));
    }
    if proposal.draft && !facts.approved {
        return Some(Landing::Refuse("it is a draft, until a person says that it is ready".into()));
    }
    // Who looked twice has the second opinion; a mere comment takes nothing back.
    let mut wanting: Vec<&str> = Vec::new();
    for review in facts.reviews {
        match review.opinion {
            Opinion::ChangesWanted => wanting.push(&review.author),
            Opinion::Approved | Opinion::Dismissed => wanting.retain(|author| *author != review.author),
            Opinion::Commented => {}
        }
    }
    let wanting = wanting.first()?;
    Some(Landing::Refuse(format!("{wanting} wants changes")))
}

/// What the checks say against it.
fn checks(facts: &ForgeFacts<'_>) -> Option<Landing> {
    let others: Vec<&Check> = facts.checks.iter().filter(|check| !check.name.starts_with(OWN_CHECKS)).collect();
    let named = |wanted: &[Verdict]| {
        let names: Vec<String> =
            others.iter().filter(|check| wanted.contains(&check.verdict)).map(|check| format!("`{}`", check.name)).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    if let Some(failed) = named(&[Verdict::Failed]) {
        return Some(Landing::Refuse(format!("failed: {failed}")));
    }
    let demanded = |check: &&Check| facts.rules.checks.contains(&check.name);
    if let Some(void) = named(&[Verdict::Void]) {
        return Some(Landing::Refuse(format!("without a result: {void}")));
    }
    if let Some(pending) = named(&[Verdict::Pending]) {
        return Some(Landing::Wait(format!("still to come: {pending}")));
    }
    // Our own may be demanded too.
    let missing: Vec<String> = facts
        .rules
        .checks
        .iter()
        .filter(|name| !facts.checks.iter().any(|check| check.name == **name && check.verdict != Verdict::Pending))
        .map(|name| format!("`{name}`"))
        .collect();
    if !missing.is_empty() {
        return Some(Landing::Wait(format!("not begun: {}", missing.join(", "))));
    }
    let passed = others.iter().any(|check| check.verdict == Verdict::Passed || demanded(check));
    if !passed && !facts.without_checks && !facts.approved {
        return Some(Landing::Refuse(
            "no check has looked at it, so a person decides (`[forge] without_checks` lets the gate's word be enough)".into(),
        ));
    }
    None
}

/// Whether the forge itself would land it at the right moment: with no rule it would land at once.
fn only_rules_are_missing(facts: &ForgeFacts<'_>) -> bool {
    let undemanded = |check: &Check| !check.name.starts_with(OWN_CHECKS) && !facts.rules.checks.contains(&check.name);
    let waits_for_others = facts.checks.iter().any(|check| check.verdict == Verdict::Pending && undemanded(check));
    (facts.rules.automatic || facts.rules.queue) && !facts.rules.checks.is_empty() && !waits_for_others
}

fn way(facts: &ForgeFacts<'_>) -> Option<Way> {
    let wanted = match facts.by {
        LandBy::Any => vec![Way::Merge, Way::Squash, Way::Rebase],
        LandBy::Merge => vec![Way::Merge],
        LandBy::Squash => vec![Way::Squash],
        LandBy::Rebase => vec![Way::Rebase],
        LandBy::Push => Vec::new(),
    };
    wanted.into_iter().find(|way| facts.rules.ways.contains(way) && !(facts.rules.linear && *way == Way::Merge))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::world::forge::State;

    fn proposal(labels: &[&str], draft: bool, landable: Landable) -> Proposal {
        Proposal {
            number: 1,
            branch: "fractal/t/1".into(),
            from_here: true,
            base: "main".into(),
            head: CommitId("head".into()),
            title: String::new(),
            text: String::new(),
            state: State::Open,
            draft,
            author: "fractal".into(),
            labels: labels.iter().map(ToString::to_string).collect(),
            landable,
            automatic: None,
            updated: Timestamp::UNIX_EPOCH,
            url: String::new(),
        }
    }

    fn check(name: &str, verdict: Verdict) -> Check {
        Check { name: name.into(), source: "ci".into(), verdict, title: String::new() }
    }

    fn rules(checks: &[&str]) -> Rules {
        Rules {
            checks: checks.iter().map(ToString::to_string).collect(),
            ways: BTreeSet::from([Way::Merge, Way::Squash]),
            automatic: true,
            ..Rules::default()
        }
    }

    fn decide(proposal: &Proposal, checks: &[Check], rules: &Rules, change: impl Fn(&mut ForgeFacts<'_>)) -> Landing {
        judged(proposal, checks, &[], rules, change)
    }

    fn judged(
        proposal: &Proposal,
        checks: &[Check],
        reviews: &[Review],
        rules: &Rules,
        change: impl Fn(&mut ForgeFacts<'_>),
    ) -> Landing {
        let head = CommitId("head".into());
        let mut facts = ForgeFacts {
            proposal,
            head: &head,
            checks,
            reviews,
            rules,
            by: LandBy::Any,
            without_checks: false,
            automatic: false,
            approved: false,
        };
        change(&mut facts);
        landing(&facts)
    }

    #[test]
    fn it_lands_when_every_check_passed_and_never_without_any() {
        let (open, rules) = (proposal(&[], false, Landable::Yes), rules(&[]));
        let passed = [check("tests", Verdict::Passed), check("docs", Verdict::Skipped)];
        assert_eq!(decide(&open, &passed, &rules, |_| ()), Landing::Now(Way::Merge));
        let none: [&[Check]; 3] = [&[], &[check("fractal/gate", Verdict::Passed)], &[check("docs", Verdict::Skipped)]];
        for checks in none {
            assert!(matches!(decide(&open, checks, &rules, |_| ()), Landing::Refuse(why) if why.contains("without_checks")));
            assert_eq!(decide(&open, checks, &rules, |facts| facts.without_checks = true), Landing::Now(Way::Merge));
        }
    }

    #[test]
    fn people_keep_it_from_landing_by_a_label_a_review_or_a_draft() {
        let passed = [check("tests", Verdict::Passed)];
        let rules = rules(&["tests"]);
        let held = decide(&proposal(&[HOLD_LABEL], false, Landable::Yes), &passed, &rules, |facts| facts.approved = true);
        assert!(matches!(held, Landing::Refuse(why) if why.contains(HOLD_LABEL)));
        let draft = proposal(&[], true, Landable::Yes);
        assert!(matches!(decide(&draft, &passed, &rules, |_| ()), Landing::Refuse(_)));
        let review = |opinion| Review { author: "ana".into(), opinion, text: String::new(), head: None, at: None };
        let (open, wanted) = (proposal(&[], false, Landable::Yes), [review(Opinion::ChangesWanted), review(Opinion::Commented)]);
        let answer = judged(&open, &passed, &wanted, &rules, |_| ());
        assert!(matches!(answer, Landing::Refuse(why) if why.contains("ana wants changes")));
        let settled = [review(Opinion::ChangesWanted), review(Opinion::Approved)];
        assert_eq!(judged(&open, &passed, &settled, &rules, |_| ()), Landing::Now(Way::Merge));
    }

    #[test]
    fn what_only_waits_for_demanded_checks_is_left_to_the_forge_where_that_is_wanted() {
        let (open, rules) = (proposal(&[], false, Landable::Blocked), rules(&["tests"]));
        let pending = [check("tests", Verdict::Pending)];
        assert!(matches!(decide(&open, &pending, &rules, |_| ()), Landing::Wait(_)));
        assert_eq!(decide(&open, &pending, &rules, |facts| facts.automatic = true), Landing::WhenReady(Way::Merge));
        // The forge would not wait for this one.
        let more = [check("tests", Verdict::Pending), check("slow", Verdict::Pending)];
        assert!(matches!(decide(&open, &more, &rules, |facts| facts.automatic = true), Landing::Wait(_)));
    }

    #[test]
    fn the_way_is_one_that_the_forge_allows_and_a_linear_base_has_no_merge_commits() {
        let open = proposal(&[], false, Landable::Yes);
        let passed = [check("tests", Verdict::Passed)];
        let linear = Rules { linear: true, ..rules(&[]) };
        assert_eq!(decide(&open, &passed, &linear, |_| ()), Landing::Now(Way::Squash));
        assert!(matches!(decide(&open, &passed, &linear, |facts| facts.by = LandBy::Rebase), Landing::Refuse(_)));
        assert_eq!(decide(&open, &passed, &linear, |facts| facts.by = LandBy::Push), Landing::Push);
    }

    proptest! {
        #[test]
        fn nothing_lands_while_any_check_is_not_green(
            verdicts in prop::collection::vec(0_usize..5, 0..6),
            demanded in prop::collection::btree_set(0_usize..6, 0..3),
            landable in 0_usize..5,
            (automatic, approved, without_checks, queue) in any::<(bool, bool, bool, bool)>(),
        ) {
            let all = [Verdict::Passed, Verdict::Skipped, Verdict::Pending, Verdict::Failed, Verdict::Void];
            let names = ["a", "b", "c", "d", "e", "f"];
            let checks: Vec<Check> = verdicts.iter().zip(names).map(|(at, name)| check(name, all[*at])).collect();
            let demanded: Vec<&str> = demanded.iter().map(|at| names[*at]).collect();
            let landables = [Landable::Yes, Landable::Conflicts, Landable::Behind, Landable::Blocked, Landable::Unknown];
            let open = proposal(&[], false, landables[landable]);
            let rules = Rules { queue, ..rules(&demanded) };
            let decision = decide(&open, &checks, &rules, |facts| {
                (facts.automatic, facts.approved, facts.without_checks) = (automatic, approved, without_checks);
            });
            let green = checks.iter().all(|check| matches!(check.verdict, Verdict::Passed | Verdict::Skipped));
            let complete = demanded.iter().all(|name| checks.iter().any(|check| check.name == **name));
            if let Landing::Now(_) = decision {
                prop_assert!(green && complete && landables[landable] == Landable::Yes && !queue);
                prop_assert!(approved || without_checks || checks.iter().any(|check| check.verdict == Verdict::Passed
                    || demanded.contains(&check.name.as_str())));
            }
            if let Landing::WhenReady(_) = decision {
                prop_assert!(queue || automatic);
                prop_assert!(checks.iter().all(|check| check.verdict != Verdict::Failed && check.verdict != Verdict::Void));
            }
        }
    }
}
