//! What asking may cost, when several ask at once, for several tools, and where nobody knows a price.

use serde_json::Value;

use crate::group::copies;
use crate::model::{DURATION, TEST, configure, edit, recorded, run, settings};
use crate::oracle::{Asked, Oracle, Say};
use crate::support::{Repository, lines, word};

const UNITS: &str = "UNITS = {\"s\": 1, \"m\": 60}";
const HOURS: &str = "UNITS = {\"s\": 1, \"m\": 60, \"h\": 3600}";

/// Two tools with the same failure, which only a model repairs.
fn two() -> Repository {
    static ONCE: std::sync::OnceLock<Repository> = std::sync::OnceLock::new();
    let made = || {
        let repository = copies(&["laps", "pauses"], ("duration", DURATION, TEST), &[]);
        for tool in ["laps", "pauses"] {
            recorded(&repository, tool, true);
        }
        repository
    };
    ONCE.get_or_init(made).copy()
}

/// The right answer for the tool that is asked about.
fn right(asked: &Asked) -> Say {
    let tool = if asked.told.contains("tools/laps.py") { "laps" } else { "pauses" };
    Say::Text(edit(&format!("tools/{tool}.py"), UNITS, HOURS))
}

/// What the log has of each improvement.
fn logged(repository: &Repository) -> Vec<Value> {
    let files = lines(&repository.git(&["ls-tree", "--name-only", "refs/fractal/log:improvements"]));
    let logs = files.iter().map(|file| repository.git(&["cat-file", "-p", &format!("refs/fractal/log:improvements/{file}")]));
    logs.flat_map(|log| lines(&log)).map(|line| serde_json::from_str(&line).expect("a record")).collect()
}

fn paid(repository: &Repository) -> (u64, u64) {
    let asked = logged(repository).into_iter().filter(|record| record["event"] == "asked");
    let micro = |record: &Value| record["asking"]["cost"]["micro_usd"].as_u64().expect("a number");
    let costs: Vec<u64> = asked.map(|record| micro(&record)).collect();
    (costs.iter().filter(|cost| **cost > 0).count() as u64, costs.iter().sum())
}

fn spent(repository: &Repository) -> Value {
    let status: Value = serde_json::from_str(&repository.says(&["status", "--json"])).expect("JSON");
    status["spending"]["all"].clone()
}

#[test]
fn a_budget_for_one_question_is_kept_by_two_who_ask_at_the_same_time() {
    let repository = two();
    let oracle = Oracle::saying(right);
    let budget = "\n[engine]\nparallel = 2\n\n[budget]\nday = { attempts = 1 }\n";
    configure(&repository, &settings(&oracle.address, budget));
    let told = run(&repository);
    assert_eq!(oracle.asked().len(), 1, "{:#?}", told.0);
    let mut stages: Vec<String> = repository.improvements().iter().map(|one| word(&one["stage"])).collect();
    stages.sort();
    assert_eq!(stages, ["investigated", "proposed"]);
    assert!(
        told.waiting().contains("[budget.day] attempts") && told.waiting().contains("it waits for tomorrow"),
        "{}",
        told.waiting()
    );
    assert_eq!((spent(&repository)["attempts"].as_u64(), paid(&repository).0), (Some(1), 1));
}

#[test]
fn what_was_asked_ahead_of_a_turn_is_counted_although_the_base_moves_before_it() {
    let repository = two();
    let oracle = Oracle::saying(right);
    configure(&repository, &settings(&oracle.address, "trust = \"land\"\n\n[engine]\nparallel = 2\n"));
    let told = run(&repository);
    assert_eq!((told.report()["landed"].as_u64(), told.of("rebuilding").count()), (Some(2), 1), "{:#?}", told.0);
    // Each is asked about once, and each has its cost in its own notes.
    let (count, micro) = paid(&repository);
    assert_eq!((oracle.asked().len(), count), (2, 2));
    assert_eq!(spent(&repository)["micro_usd"], micro);
    for commit in repository.bot_commits() {
        let files = lines(&repository.git(&["show", "--name-only", "--format=", &commit]));
        let notes = files.iter().find(|path| path.starts_with(".fractal/notes/")).expect("notes");
        let notes = repository.git(&["show", &format!("{commit}:{notes}")]);
        assert!(notes.contains("were asked for a patch: 1 asked"), "{notes}");
    }
}

#[test]
fn what_a_group_cost_is_in_its_notes_and_counted_once() {
    let repository = two();
    let oracle = Oracle::saying(right);
    configure(&repository, &settings(&oracle.address, "\n[engine]\ngroup = 8\nparallel = 2\n"));
    run(&repository);
    let improvement = repository.improvement();
    assert_eq!((word(&improvement["stage"]), improvement["tools"].as_array().map(Vec::len)), ("proposed".into(), Some(2)));
    let (count, micro) = paid(&repository);
    assert_eq!((oracle.asked().len(), count, spent(&repository)["micro_usd"].as_u64()), (2, 2, Some(micro)));
    let [branch] = &repository.branches()[..] else { panic!("{:?}", repository.branches()) };
    let files = lines(&repository.git(&["show", "--name-only", "--format=", branch]));
    let notes = files.iter().find(|path| path.starts_with(".fractal/notes/")).expect("notes");
    let notes = repository.git(&["show", &format!("{branch}:{notes}")]);
    let sum = format!("${:.4}", micro as f64 / 1e6);
    assert_eq!(notes.matches("## Asked").count(), 1, "{notes}");
    assert!(notes.contains("were asked for a patch: 2 asked") && notes.contains(&sum), "{notes}");
    assert_eq!(notes.matches("| model `gpt-4o-mini` | repair-").count(), 2, "{notes}");
    let shown = repository.says(&["show", &repository.id(), "--markdown"]);
    assert!(shown.contains("were asked for it: 2 asked") && shown.contains(&sum), "{shown}");
    let status: Value = serde_json::from_str(&repository.says(&["status", "--json"])).expect("JSON");
    let rows = status["strategies"].as_array().expect("a list");
    let cost: u64 = rows.iter().map(|row| row["cost"]["micro_usd"].as_u64().expect("a number")).sum();
    assert_eq!(cost, micro, "{rows:#?}");
}

#[test]
fn a_model_whose_price_nobody_knows_is_not_asked_where_dollars_are_limited_unless_somebody_says_it() {
    let repository = crate::model::failing();
    let oracle = Oracle::always(Say::Text(crate::model::right()));
    let unknown = |more: &str| settings(&oracle.address, more).replace("\"gpt-4o-mini\"", "\"house-model-7\"");
    let doctor = || {
        let told = repository.fractal(&["doctor", "--json"]).stdout;
        let told: Value = serde_json::from_slice(&told).expect("JSON");
        let mut states = told["state"].as_array().expect("a list").iter();
        word(&states.find(|state| state["what"] == "model").expect("a model")["said"])
    };
    configure(&repository, &unknown(""));
    run(&repository);
    let reason = word(&repository.improvement()["reason"]);
    let why = "nobody knows what `house-model-7` costs, and `[budget.opportunity] usd` is a limit in dollars";
    assert_eq!((repository.stage().as_str(), oracle.asked().len()), ("unsolved", 0));
    assert!(reason.contains(why) && doctor().contains(why), "{reason}\n{}", doctor());
    // Without a limit in dollars the others hold.
    let budget = "\n[budget]\nopportunity = { usd = 0 }\nday = { usd = 0 }\n";
    configure(&repository, &unknown(budget));
    assert!(doctor().contains("at a price that nobody knows; no limit is in dollars"), "{}", doctor());
    // Said, it counts: the longest name that fits.
    configure(
        &repository,
        &unknown("\n[model.prices]\n\"house-\" = { input = 1000.0, output = 2000.0 }\n\"h\" = { input = 0, output = 0 }\n"),
    );
    assert!(doctor().contains("$1000 and $2000 for a million tokens (by `[model.prices]`)"), "{}", doctor());
    repository.edit("tools/duration.py", "import re\n", "import re  # again\n");
    repository.commit("another version");
    recorded(&repository, "duration", true);
    run(&repository);
    // At that price a question and its answer pass what one opportunity may cost.
    let reason = word(&repository.improvement()["reason"]);
    assert!(oracle.asked().is_empty() && reason.contains("[budget.opportunity] usd"), "{reason}");
}

#[test]
fn what_each_version_of_the_prompts_came_to_is_counted_apart() {
    let repository = crate::model::failing();
    let oracle = Oracle::saying(|asked| {
        let minute = "UNITS = {\"s\": 1, \"m\": 60, \"h\": 60}";
        if asked.body["response_format"].is_null() {
            return Say::Text(edit("tools/duration.py", UNITS, minute));
        }
        let edit = serde_json::json!({"path": "tools/duration.py", "search": UNITS, "replace": HOURS});
        Say::Text(serde_json::json!({"title": "know hours", "abstain": "", "edits": [edit]}).to_string())
    });
    configure(&repository, &settings(&oracle.address, ""));
    run(&repository);
    repository.edit("tools/duration.py", "import re\n", "import re  # again\n");
    configure(&repository, &settings(&oracle.address, "answers = \"json\""));
    recorded(&repository, "duration", true);
    run(&repository);
    let status: Value = serde_json::from_str(&repository.says(&["status", "--json"])).expect("JSON");
    let rows: Vec<&Value> =
        status["strategies"].as_array().expect("a list").iter().filter(|row| row["strategy"] == "model").collect();
    let sources: std::collections::BTreeSet<String> = rows.iter().map(|row| word(&row["source"])).collect();
    assert!(sources.len() == 2 && sources.iter().all(|source| source.starts_with("gpt-4o-mini repair-")), "{rows:#?}");
    let mut counts: Vec<(u64, u64, bool)> = Vec::new();
    for row in &rows {
        let number = |name: &str| row[name].as_u64().expect("a number");
        counts.push((number("judged"), number("accepted"), row["cost"]["micro_usd"].as_u64() > Some(0)));
    }
    counts.sort_unstable();
    assert_eq!(counts, [(1, 0, true), (1, 1, true)], "{rows:#?}");
    let shown = repository.says(&["status"]);
    assert!(sources.iter().all(|source| shown.contains(source.as_str())), "{shown}");
}
