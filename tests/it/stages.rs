//! Stages are folded from events: whatever the order in which events come, folding never panics and never depends on when it is done.

use fractal::engine::{IllegalEvent, Improvement, Stage, next};
use fractal::model::{Event, ImprovementId, Record};
use proptest::prelude::*;
use serde_json::{Value, json};

const ENDS: [Stage; 7] =
    [Stage::Declined, Stage::Unsolved, Stage::Kept, Stage::Reverted, Stage::Inconclusive, Stage::Stuck, Stage::Closed];

fn failure() -> Value {
    json!({ "fingerprint": "f1-0", "class": "ValueError", "message": "ValueError: x", "frames": [] })
}

fn investigation(conclusion: &str) -> Value {
    json!({ "commit": "c0", "failure": failure(), "reproductions": [], "locations": [], "culprit": null, "suite": null,
        "remarks": [], "conclusion": conclusion, "reason": "because" })
}

fn attempt(judgement: &str, patch: &str) -> Value {
    let attempt = json!({ "patch": patch, "strategy": "template", "source": "x", "title": "x", "trust": "land",
        "diff": format!("--- a\n+++ b\n-old\n+{patch}\n"), "tried": 1 });
    json!({ "event": "judged", "attempt": attempt, "verdict": { "judgement": judgement, "reason": "because", "checks": [] } })
}

fn intended(action: Value, key: &str) -> Value {
    let mut action = action;
    action["key"] = key.into();
    json!({ "event": "intended", "action": action })
}

/// At least one event of every kind.
fn events() -> Vec<Event> {
    let counts = json!({ "runs": 10, "failures": 5 });
    let opportunity = json!({ "id": "i", "tool": "t", "version": "v", "counts": counts, "failure": failure(), "failures": 5,
        "distinct_inputs": 5, "signals": [], "priority": "high", "score": 1.0, "last_seen": "2026-01-01T00:00:00Z" });
    let analysed = |finding: Value| {
        let mut analysis = json!({ "before": counts, "after": counts, "log_bayes_factor": 0.0, "replays": [] });
        analysis.as_object_mut().expect("an object").extend(finding.as_object().expect("an object").clone());
        json!({ "event": "analysed", "analysis": analysis })
    };
    let mut all = vec![
        json!({ "event": "detected", "opportunity": opportunity }),
        attempt("accepted", "p1"),
        attempt("accepted", "p2"),
        attempt("rejected", "p3"),
        json!({ "event": "no_candidate", "tried": 3, "reason": "none" }),
        intended(json!({ "action": "put_branch", "branch": "b", "expect": null, "commit": "c1" }), "branch"),
        intended(json!({ "action": "land", "base": "main", "expect": "c0", "commit": "c1" }), "land"),
        intended(json!({ "action": "revert", "base": "main", "expect": "c1", "commit": "c2", "reverts": "c1" }), "revert"),
        intended(json!({ "action": "note", "commit": "c1", "text": "kept" }), "note"),
        analysed(json!({ "finding": "good" })),
        analysed(json!({ "finding": "regression", "p": 0.001 })),
        analysed(json!({ "finding": "false_alarm", "reason": "flaky" })),
    ];
    for percent in [0, 5, 100] {
        let counts = json!({ "runs": 1, "failures": 0 });
        let steps = json!([{ "percent": 5, "old": counts, "new": counts }]);
        all.push(json!({ "event": "rolled_out", "version": "v", "percent": percent, "evidence": { "steps": steps, "e": 0.5 } }));
    }
    for conclusion in ["improvable", "flaky", "environment"] {
        all.push(json!({ "event": "investigated", "investigation": investigation(conclusion) }));
    }
    for key in ["branch", "land", "revert", "note", "unknown"] {
        all.push(json!({ "event": "approved", "key": key, "by": { "person": "ana" } }));
        all.push(json!({ "event": "started", "key": key }));
        all.push(json!({ "event": "done", "key": key }));
        all.push(json!({ "event": "failed", "key": key, "error": "no" }));
    }
    let observations = [
        json!({ "observation": "merged", "commit": "c1" }),
        json!({ "observation": "restored", "commit": "c1", "by": "c6" }),
        json!({ "observation": "reverted", "by": "c3" }),
        json!({ "observation": "gone", "tip": "c0" }),
        json!({ "observation": "branch_taken", "head": "c4" }),
        json!({ "observation": "branch_deleted" }),
        json!({ "observation": "base_moved", "to": "c5" }),
        json!({ "observation": "approved", "by": "ana" }),
        json!({ "observation": "revert_requested", "by": "ana" }),
    ];
    all.extend(observations.map(|what| json!({ "event": "observed", "what": what })));
    for end in ["kept", "reverted", "inconclusive", "stuck", "closed"] {
        all.push(json!({ "event": "ended", "how": { "end": end, "by": "c2", "reason": "because" } }));
    }
    all.into_iter()
        .map(|event| serde_json::from_value(event.clone()).unwrap_or_else(|error| panic!("{error}: {event}")))
        .collect()
}

fn record(event: &Event) -> Record {
    Record { at: "2026-01-01T00:00:00Z".parse().expect("a time"), event: event.clone() }
}

fn folded(records: &[Record]) -> Improvement {
    Improvement::fold(ImprovementId("i".into()), records.to_vec()).expect("what was applied can be folded")
}

/// What is folded besides the stage; `Improvement` has no equality of its own.
fn facts(improvement: &Improvement) -> String {
    format!("{improvement:?}")
}

/// Whether an event may lead from an end to somewhere else: a new round, a revert of what is on the base, or a person's doing.
fn may_leave(end: Stage, event: &Event) -> bool {
    let text = serde_json::to_value(event).expect("can be written");
    let on_the_base = matches!(end, Stage::Kept | Stage::Inconclusive | Stage::Stuck);
    match (text["event"].as_str(), text["what"]["observation"].as_str(), text["action"]["action"].as_str()) {
        (Some("detected"), _, _) => true,
        (Some("intended"), _, Some("revert")) | (Some("observed"), Some("reverted" | "gone"), _) => on_the_base,
        // An earlier attempt, or what was there before: whatever became of the work since.
        (Some("observed"), Some("merged" | "restored"), _) => true,
        _ => false,
    }
}

#[test]
fn an_end_is_only_left_by_a_new_detection_a_revert_or_a_person() {
    for end in ENDS {
        for event in events() {
            if let Ok(stage) = next(end, &event) {
                assert!(stage == end || may_leave(end, &event), "{} leads from {end} to {stage}", event.name());
            }
        }
    }
}

#[test]
fn nothing_happens_to_an_improvement_before_it_was_detected() {
    for event in events() {
        assert_eq!(next(Stage::New, &event).is_ok(), event.name() == "detected", "{}", event.name());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn folding_equals_applying_one_after_the_other_and_what_is_illegal_changes_nothing(picks in prop::collection::vec(any::<prop::sample::Index>(), 0..80)) {
        let events = events();
        let mut improvement = Improvement::new(ImprovementId("i".into()));
        let mut stage = Stage::New;
        for pick in picks {
            let event = pick.get(&events);
            let before = facts(&improvement);
            let step = next(stage, event);
            prop_assert_eq!(improvement.apply(record(event)).err(), step.as_ref().err().map(|error| IllegalEvent { stage: error.stage, event: error.event }));
            match step {
                Ok(reached) => stage = reached,
                Err(_) => prop_assert_eq!(facts(&improvement), before),
            }
            prop_assert_eq!(improvement.stage, stage);
        }
        prop_assert_eq!(facts(&folded(&improvement.records)), facts(&improvement));
    }

    #[test]
    fn whatever_happens_a_change_that_was_turned_down_or_reverted_stays_known(picks in prop::collection::vec(any::<prop::sample::Index>(), 0..120)) {
        let events = events();
        let mut improvement = Improvement::new(ImprovementId("i".into()));
        for pick in picks {
            let known = (improvement.refused.clone(), improvement.turned_down.clone(), improvement.reverted_before);
            let _ = improvement.apply(record(pick.get(&events)));
            prop_assert!(improvement.refused.is_superset(&known.0) && improvement.turned_down.is_superset(&known.1));
            prop_assert!(improvement.reverted_before || !known.2);
        }
    }
}
