//! `fractal import` of what GitHub's REST interface answers about workflow runs and jobs.

use fractal::model::Execution;

use crate::common::World;
use crate::import::{data, import, piped, recorded, seen, world};

fn runs(world: &World) -> Vec<String> {
    let show = |run: &Execution| {
        let args: Vec<String> = run.input.args.iter().map(ToString::to_string).collect();
        let class = run.failure.as_ref().map(|failure| format!(": {}", failure.class)).unwrap_or_default();
        let (outcome, seconds) = (format!("{:?}", run.outcome).to_lowercase(), run.duration.as_secs());
        format!(
            "{} [{}] {outcome}, {}{class}, {seconds} s, {} {}",
            run.tool,
            args.join(", "),
            run.exit,
            run.caller,
            &run.version.0[..7]
        )
    };
    let mut lines: Vec<String> = recorded(world).iter().map(show).collect();
    lines.sort();
    lines
}

fn path(name: &str) -> String {
    data("github").join(name).to_str().expect("UTF-8").to_string()
}

#[test]
fn what_github_documents_is_read_and_a_second_time_nothing_changes() {
    let world = world("");
    let files = ["jobs.json", "webhooks.jsonl", "runs.json"].map(path);
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let said = import(&world, &files).ok();
    assert!(said.contains("left out: 1 queued"), "{said}");
    assert!(said.contains("left out: 1 action_required, 1 in_progress"), "{said}");
    let expected = [
        "CI.build [build, main] success, exit 0, 119 s, github f83a356",
        "CodeQL.linters [linters, main] failure, exit 1: step Run yarn run format-check, 198 s, github 3484a3f",
        "test [repository_dispatch, master] success, exit 0, 0 s, github/repository_dispatch 3484a3f",
    ];
    assert_eq!(runs(&world), expected);
    let before = seen(&world);
    import(&world, &files).ok();
    assert_eq!(seen(&world), before);
}

/// A run as GitHub answers it, without what nobody reads.
fn run(id: u32, conclusion: &str, more: &str) -> String {
    format!(
        "{{\"id\":{id},\"name\":\"CI / Build\",\"workflow_id\":7,\"head_sha\":\"{}\",\"head_branch\":\"main\",\"event\":\"push\",\
         \"status\":\"completed\",\"conclusion\":\"{conclusion}\",\"run_started_at\":\"2026-01-01T00:00:00Z\",\
         \"updated_at\":\"2026-01-01T00:02:00Z\",\"html_url\":\"https://github.com/o/r/actions/runs/{id}\"{more}}}",
        "a".repeat(40)
    )
}

#[test]
fn every_conclusion_is_read_as_what_it_says_about_the_workflow() {
    let world = world("");
    let all: Vec<String> =
        ["success", "failure", "timed_out", "cancelled", "startup_failure", "skipped", "neutral", "stale", "brand_new"]
            .iter()
            .zip(1..)
            .map(|(conclusion, id)| run(id, conclusion, ",\"x\":{\"y\":[1]}"))
            .collect();
    // As `gh api --paginate --slurp` prints it.
    let pages = format!("[{{\"total_count\":9,\"workflow_runs\":[{}]}},\n{{\"workflow_runs\":[]}}]", all.join(",\n"));
    let said = piped(&world, &[], pages.as_bytes()).ok();
    assert!(said.contains("5 runs of CI-Build (GitHub workflow runs): 5 new"), "{said}");
    assert!(said.contains("left out: 1 brand_new, 1 neutral, 1 skipped, 1 stale"), "{said}");
    let found = runs(&world);
    let endings: Vec<&str> = found.iter().filter_map(|line| line.split("main] ").nth(1)?.split(", 120 s").next()).collect();
    let expected = [
        "error, not started: GitHub could not start it",
        "error, signal 2",
        "failure, exit 1: exit 1",
        "failure, time-out: time-out",
        "success, exit 0",
    ];
    assert_eq!(endings, expected);
    // One after the other, as `--jq '.workflow_runs[]'` prints them, they are the same runs.
    let before = seen(&world);
    assert!(piped(&world, &[], all.join("\n").as_bytes()).ok().contains("0 new, 5 known before"));
    assert_eq!(seen(&world), before);
}

#[test]
fn an_attempt_is_a_run_of_its_own_and_a_late_update_is_none() {
    let world = world("");
    piped(&world, &[], run(1, "failure", ",\"run_attempt\":1").as_bytes()).ok();
    let second = run(1, "success", ",\"run_attempt\":2").replace("2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z");
    piped(&world, &[], second.as_bytes()).ok();
    assert_eq!(recorded(&world).len(), 2);
    let updated = run(1, "failure", ",\"run_attempt\":1").replace("00:02:00Z", "09:00:00Z");
    assert!(piped(&world, &[], updated.as_bytes()).ok().contains("0 new, 1 known before"));
    let elsewhere = run(1, "failure", "").replace("github.com/o/r", "github.example.com/o/r");
    assert!(piped(&world, &[], elsewhere.as_bytes()).ok().contains("1 new"));
}

#[test]
fn the_version_is_that_of_the_tool_at_the_commit_where_both_are_known() {
    let world = world("");
    let commit = world.git(&["rev-parse", "HEAD"]).trim().to_string();
    let listing = "git ls-tree -r -z --full-tree HEAD greet.sh | git hash-object --stdin";
    let version = world.run(world.command("sh").args(["-c", listing])).ok().trim().to_string();
    let here = run(1, "failure", "").replace(&"a".repeat(40), &commit);
    let both = format!("{here}\n{}", run(2, "success", ""));
    piped(&world, &["--tool", "greet"], both.as_bytes()).ok();
    let mut versions: Vec<String> = recorded(&world).into_iter().map(|run| run.version.0).collect();
    versions.sort();
    let mut expected = vec![version, "a".repeat(40)];
    expected.sort();
    assert_eq!(versions, expected);
    // A workflow that is declared later keeps the versions of its runs.
    piped(&world, &[], both.as_bytes()).ok();
    let before = seen(&world);
    let config = std::fs::read_to_string(world.repo().join("fractal.toml")).expect("reads");
    world.write("fractal.toml", config.replace("\"greet\"", "\"CI-Build\""));
    assert!(piped(&world, &[], both.as_bytes()).ok().contains("0 new, 2 known before"));
    assert_eq!(seen(&world), before);
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_nothing_of_the_file_is_stored() {
    let world = world("");
    let good = run(1, "success", "");
    for (answer, wanted) in [
        (format!("{good}\n{{\"workflow_id\":1}}"), "2: column 1: this is neither a workflow run nor a job: `id` is missing"),
        (format!("{{\"workflow_runs\":[\n{good},\n{{\"id\":2}}]}}"), "1: column 1: workflow_runs[1]: this is neither"),
        (format!("{good}\n{{\"id\":\"two\"}}"), "2: column 11: invalid type: string \"two\", expected u64"),
        (format!("{good}\n{{\"id\":2"), "2: column 7: EOF while parsing an object"),
        (format!("[{good},\n 7]"), "2: column 2: invalid type: integer `7`, expected a workflow run, a job, or an array of them"),
        (run(1, "success", ",\"run_attempt\":-1"), "1: column"),
        (good.replace("2026-01-01T00:00:00Z", "soon"), "1: column"),
        (good.replace("\"run_started_at\":\"2026-01-01T00:00:00Z\",", ""), "`run_started_at` is missing"),
        ("[".repeat(500), "recursion limit"),
        ("{\"message\":\"Not Found\",\"status\":\"404\"}".to_string(), "neither a workflow run nor a job"),
    ] {
        piped(&world, &["--format", "github"], answer.as_bytes())
            .refused(2, &["error: standard input:", wanted, "nothing of it is stored"]);
    }
    piped(&world, &["--version", "HEAD"], good.as_bytes()).refused(2, &["GitHub's files say which commit ran"]);
    assert!(!world.repo().join(".git/fractal/executions.db").exists());
}

#[test]
fn jobs_of_a_matrix_are_one_tool_with_several_inputs_and_names_are_cleaned() {
    let world = world("");
    let job = |id: u32, name: &str, workflow: &str| {
        format!(
            "{{\"id\":{id},\"run_id\":5,\"name\":\"{name}\",\"workflow_name\":\"{workflow}\",\"head_sha\":\"{}\",\"status\":\"completed\",\
             \"conclusion\":\"failure\",\"started_at\":\"2026-01-01T00:00:0{id}Z\",\"completed_at\":\"2026-01-01T00:01:00Z\",\"steps\":null}}",
            "b".repeat(40)
        )
    };
    let jobs = [job(1, "test (ubuntu, 3.11)", "CI"), job(2, "test (macos, 3.12)", "CI"), job(3, "../..", "\u{65e5}\u{672c}")];
    piped(&world, &[], format!("{{\"jobs\":[{}]}}", jobs.join(",")).as_bytes()).ok();
    let expected = [
        "CI.test [test (macos, 3.12)] failure, exit 1: exit 1, 58 s, github bbbbbbb",
        "CI.test [test (ubuntu, 3.11)] failure, exit 1: exit 1, 59 s, github bbbbbbb",
        "job [../..] failure, exit 1: exit 1, 57 s, github bbbbbbb",
    ];
    assert_eq!(runs(&world), expected);
}
