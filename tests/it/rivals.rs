//! Candidates of several strategies for one failure: who is asked, how many come to the gate, and which one is taken.

use serde_json::Value;

use crate::agent::{SAMPLE, program};
use crate::model::{configure, edit, events, failing, mark_last, outcomes, run, settings};
use crate::oracle::{Oracle, Say};
use crate::support::{Repository, lines, word};

/// Knows the squares of a few numbers, and that of others not at all.
const SQUARE: &str = r#"#!/usr/bin/env python3
"""Usage: square.py NUMBER"""
import sys

TABLE = {1: 1, 2: 4, 3: 9, 4: 16, 6: 36, 7: 49, 8: 64, 9: 81}


def square(n):
    return TABLE[n]


def cube(n):
    return square(n) * n


if __name__ == "__main__":
    print(square(int(sys.argv[1])))
"#;
const TEST: &str = "import unittest\nfrom tools import square\n\n\nclass SquareTest(unittest.TestCase):\n    \
    def test_cube(self):\n        self.assertEqual(square.cube(3), 27)\n";
/// Right for everything.
const MULTIPLIES: &str = r#"#!/usr/bin/env python3
import json, os, pathlib
tool = pathlib.Path("tools/square.py")
tool.write_text(tool.read_text().replace("return TABLE[n]", "return n * n"))
pathlib.Path(os.environ["FRACTAL_ANSWER"]).write_text(json.dumps({"title": "multiply"}))
"#;

/// Fails for all numbers that are not in its table; it is known what is right for those that were asked for.
fn squares() -> Repository {
    static ONCE: std::sync::OnceLock<Repository> = std::sync::OnceLock::new();
    let made = || {
        let repository = Repository::of("square", SQUARE, TEST);
        for number in [1, 2, 3, 4, 6, 7, 8, 9] {
            assert_eq!(repository.exec("square", &[&number.to_string()]), 0);
        }
        for number in [20, 30, 40, 60, 70, 90] {
            assert_eq!(repository.exec("square", &[&number.to_string()]), 1);
            mark_last(&repository, &format!("{}\n", number * number));
        }
        repository
    };
    ONCE.get_or_init(made).copy()
}

/// A model whose answer is right for what was recorded and for little else, and an agent that is right, in this order; both may land.
fn both(order: &str, beside: &str) -> (Repository, Oracle) {
    let repository = squares();
    let half = "    if n % 10 == 0:\n        return n * n\n    return TABLE[n]";
    let oracle = Oracle::always(Say::Text(edit("tools/square.py", "    return TABLE[n]", half)));
    let program = program(&repository, MULTIPLIES);
    let agent =
        format!("trust = \"land\"\n\n[agent]\ncommand = [\"{}\"]\nname = \"sample\"\ntrust = \"land\"\n", program.display());
    let ways = format!("strategies = {order}\nbeside = {beside}");
    let settings = settings(&oracle.address, &agent).replace("strategies = [\"model\", \"agent\"]", &ways);
    configure(&repository, &settings);
    (repository, oracle)
}

fn rivals(repository: &Repository) -> String {
    let judged = events(repository, "judged").pop().expect("a verdict");
    let checks = judged["verdict"]["checks"].as_array().expect("a list").clone();
    let of: Vec<&Value> = checks.iter().filter(|check| check["name"] == "rivals").collect();
    assert_eq!(of.len(), 1, "{checks:#?}");
    word(&of[0]["detail"])
}

#[test]
fn of_what_a_model_and_an_agent_propose_the_better_one_lands_and_the_notes_tell_of_both() {
    for (order, beside) in [("[\"model\", \"agent\"]", "[\"agent\"]"), ("[\"agent\", \"model\"]", "[\"model\"]")] {
        let (repository, oracle) = both(order, beside);
        run(&repository);
        let detail = rivals(&repository);
        assert_eq!((repository.stage().as_str(), oracle.asked().len()), ("watching", 1), "{:#?}", events(&repository, "judged"));
        assert!(detail.contains("1 given up as worse (model `gpt-4o-mini repair-"), "{detail}");
        assert!(repository.read("tools/square.py").contains("return n * n\n\n\ndef cube"));
        let [commit] = &repository.bot_commits()[..] else { panic!("one lands") };
        let files = lines(&repository.git(&["show", "--name-only", "--format=", commit]));
        let notes = files.iter().find(|path| path.starts_with(".fractal/notes/")).expect("notes");
        let notes = repository.git(&["show", &format!("{commit}:{notes}")]);
        for part in
            ["Strategy `agent` (`sample brief-", "| `model` (`gpt-4o-mini repair-", "model `gpt-4o-mini`", "agent `sample`"]
        {
            assert!(notes.contains(part), "no `{part}` in {notes}");
        }
        let status: Value = serde_json::from_str(&repository.says(&["status", "--json"])).expect("JSON");
        let rows = status["strategies"].as_array().expect("a list");
        let of = |strategy: &str| {
            let row = rows.iter().find(|row| row["strategy"] == strategy).expect("a row");
            (row["preferred"].as_u64().expect("a number"), row["compared"].as_u64().expect("a number"))
        };
        assert_eq!((of("agent"), of("model")), ((1, 1), (0, 1)), "{rows:#?}");
        assert!(repository.says(&["status"]).contains("1 of 1"));
    }
}

#[test]
fn nobody_is_asked_beside_an_accepted_candidate_who_is_not_wanted_there() {
    let (repository, oracle) = both("[\"agent\", \"model\"]", "[]");
    run(&repository);
    assert_eq!((repository.stage().as_str(), oracle.asked().len(), outcomes(&repository).len()), ("watching", 0, 1));
}

/// A model that refuses a zero divisor.
fn refuses() -> Oracle {
    let refused = "    if b == 0:\n        raise ValueError(\"the divisor is zero\")\n    return a / b";
    Oracle::always(Say::Text(edit("tools/calculator.py", "    return a / b", refused)))
}

#[test]
fn what_a_model_proposes_can_be_put_beside_an_accepted_template() {
    let repository = Repository::failing();
    let oracle = refuses();
    let settings = settings(&oracle.address, "").replace("strategies = [\"model\", \"agent\"]\n", "beside = [\"model\"]\n");
    configure(&repository, &settings);
    run(&repository);
    let judged = events(&repository, "judged").pop().expect("a verdict");
    let detail = rivals(&repository);
    assert_eq!(outcomes(&repository).len(), 1);
    assert!(judged["verdict"]["judgement"] == "accepted" && detail.contains("other candidate"), "{detail}");
}

#[test]
fn templates_can_be_put_beside_what_a_model_proposes() {
    let repository = Repository::failing();
    let oracle = refuses();
    let order = "strategies = [\"model\", \"template\"]\nbeside = [\"template\"]\n";
    configure(&repository, &settings(&oracle.address, "").replace("strategies = [\"model\", \"agent\"]\n", order));
    run(&repository);
    let judged = events(&repository, "judged").pop().expect("a verdict");
    let others = judged["attempt"]["beside"].as_array().expect("others").clone();
    assert!(others.len() <= 2 && others.iter().all(|other| other["strategy"] == "template"), "{others:#?}");
    // The first of equals stays.
    assert_eq!((word(&judged["attempt"]["strategy"]), oracle.asked().len()), ("model".into(), 1), "{}", rivals(&repository));
}

#[test]
fn each_strategy_brings_as_many_candidates_to_the_gate_as_it_may() {
    let repository = failing();
    let wrong = |hour: usize| {
        let units = format!("UNITS = {{\"s\": 1, \"m\": 60, \"h\": {hour}}}");
        Say::Text(edit("tools/duration.py", "UNITS = {\"s\": 1, \"m\": 60}", &units))
    };
    let oracle = Oracle::saying(move |asked| wrong(asked.number + 1));
    let program = program(&repository, &SAMPLE.replace("3600}'", "99}'"));
    let agent = format!("\n[agent]\ncommand = [\"{}\"]\nname = \"sample\"\n", program.display());
    let settings = settings(&oracle.address, &agent)
        .replace("samples = 1\nrounds = 1", "samples = 2\nrounds = 9")
        .replace("[improve]\n", "[improve]\ngate_attempts = 3\n");
    configure(&repository, &settings);
    run(&repository);
    let of = |strategy: &str| {
        let judged = events(&repository, "judged").into_iter();
        judged.filter(|event| event["attempt"]["strategy"] == strategy).count()
    };
    // Two samples, then one that takes up what was found; the agent has visits of its own.
    assert_eq!((of("model"), of("agent"), oracle.asked().len()), (3, 1, 3), "{:?}", outcomes(&repository));
    let reason = word(&repository.improvement()["reason"]);
    let why = "`model` has brought as many candidates to the gate as it may (`[improve] gate_attempts`, 3), and none passed";
    assert!(reason.contains(why) && !reason.contains("`agent` has brought"), "{reason}");
}

#[test]
fn who_wants_to_see_new_answers_decides_between_defaults_that_do_equally_well() {
    let program = "#!/usr/bin/env python3\nimport sys\n\nUNITS = {\"s\": 1, \"m\": 60}\n\n\ndef seconds(text):\n    \
        return int(text[:-1]) * UNITS[text[-1]]\n\n\nif __name__ == \"__main__\":\n    print(seconds(sys.argv[1]))\n";
    let test = "import unittest\nfrom tools import duration\n\n\nclass DurationTest(unittest.TestCase):\n    \
        def test_minutes(self):\n        self.assertEqual(duration.seconds(\"2m\"), 120)\n";
    let recorded = Repository::of("duration", program, test);
    for (text, code) in [("5s", 0), ("2m", 0), ("7s", 0), ("3m", 0), ("9m", 0), ("4h", 1), ("6h", 1), ("8h", 1), ("2d", 1)] {
        assert_eq!(recorded.exec("duration", &[text]), code);
    }
    for (wanted, stage, told) in [("land", "watching", false), ("review", "proposed", true)] {
        let repository = recorded.copy();
        let config = repository.read("fractal.toml");
        let config = config.replace("[validate]\n", &format!("[validate]\nnew_answers = \"{wanted}\"\n"));
        repository.configure(&format!("profile = \"development\"\n{config}"));
        repository.commit("who decides");
        repository.run();
        assert_eq!(repository.stage(), stage, "{wanted}: {}", repository.says(&["show", &repository.id()]));
        assert_eq!(rivals(&repository).contains("nobody has said which of them is right"), told, "{wanted}");
    }
}
