//! `fractal bench repair`: cases that are repaired, cases that are not, and files that are wrong.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::oracle::{KEY, Oracle, Say};
use crate::support::{hermetic, text};

/// Counts one too few: the bound of the range.
const TOTAL: &str = "def total(n):\n    result = 0\n    for i in range(n):\n        result += i\n    return result\n";

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn of(cases: &[Value]) -> (Bench, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("cases.jsonl");
        let lines: Vec<String> = cases.iter().map(Value::to_string).collect();
        fs::write(&file, lines.join("\n")).expect("writes");
        (Bench { folder }, file)
    }

    fn run(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = hermetic(env!("CARGO_BIN_EXE_fractal"), self.folder.path(), self.folder.path());
        command.args(["bench", "repair"]).args(arguments).output().expect("runs")
    }
}

fn case(id: &str, source: &str, checks: &[&str]) -> Value {
    let tests: Vec<Value> = checks
        .iter()
        .enumerate()
        .map(|(at, check)| json!({ "name": format!("t{at}"), "code": format!("from tool import *\nimport helper\n{check}\n") }))
        .collect();
    json!({ "id": id, "language": "python", "path": "tool.py", "source": source, "support": { "helper.py": "" }, "tests": tests })
}

fn answers(cases: &[Value], arguments: &[&str]) -> Vec<Value> {
    let (bench, file) = Bench::of(cases);
    let done = bench.run(&[&[file.to_str().expect("UTF-8"), "--json"], arguments].concat());
    assert!(done.status.success(), "{done:?}");
    // They come as they are found, one for each case.
    let told: Vec<Value> = text(&done.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(told.len(), cases.len(), "{told:?}");
    let of = |case: &Value| told.iter().find(|answer| answer["id"] == case["id"]).expect("is told").clone();
    cases.iter().map(of).collect()
}

#[test]
fn a_wrong_bound_is_repaired_and_the_patch_is_named_with_what_it_took() {
    let all = answers(&[case("sum/up", TOTAL, &["assert total(3) == 6", "assert total(0) == 0", "assert total(10) == 55"])], &[]);
    assert_eq!((&all[0]["id"], &all[0]["result"]), (&json!("sum/up"), &json!("correct")), "{all:?}");
    assert!(all[0]["template"].is_string() && all[0]["rank"].as_u64() <= all[0]["tried"].as_u64(), "{all:?}");
    assert!(all[0]["cpu_seconds"].as_f64() > Some(0.0));
}

#[test]
fn tests_that_are_hidden_judge_and_are_not_shown() {
    // Whatever the shown half is, the hidden one demands something that no program satisfies.
    let impossible: Vec<String> = (0..24).map(|at| format!("assert total(3) == 6\nassert total(4) == {at}")).collect();
    let half = |id: &str, name: &str| blake3::hash(format!("{id}{name}").as_bytes()).as_bytes()[31].is_multiple_of(2);
    let checks: Vec<&str> = impossible
        .iter()
        .enumerate()
        .map(|(at, check)| if half("sum/half", &format!("t{at}")) { "assert total(3) == 6" } else { check.as_str() })
        .collect();
    let all = answers(&[case("sum/half", TOTAL, &checks)], &["--seen", "half"]);
    assert_eq!(all[0]["result"], "plausible", "{all:?}");
}

#[test]
fn what_cannot_be_repaired_says_why() {
    let good = TOTAL.replace("range(n)", "range(n + 1)");
    let cases = [
        case("green", &good, &["assert total(3) == 6"]),
        case("broken", "def total(n:\n    return 0\n", &["assert total(3) == 6"]),
        case("never", TOTAL, &["assert total(3) == 'no'"]),
    ];
    let all = answers(&cases, &["--candidates", "40", "--jobs", "2"]);
    let results: Vec<&str> = all.iter().filter_map(|answer| answer["result"].as_str()).collect();
    assert!(results[0].contains("every test passes"), "{results:?}");
    assert!(results[1].contains("`tool.py` does not parse: line 1"), "{results:?}");
    assert!(results[2].starts_with("no patch"), "{results:?}");
}

#[test]
fn a_wrong_file_is_told_with_its_line_and_leads_nowhere() {
    let good = case("a", TOTAL, &["assert total(3) == 6"]);
    let with = |key: &str, value: Value| {
        let mut wrong = good.clone();
        wrong[key] = value;
        wrong
    };
    let wrong = [
        (with("language", json!("cobol")), "unknown variant"),
        (with("path", json!("../../outside.py")), "is not a path below"),
        (with("path", json!("/outside.py")), "is not a path below"),
        (with("support", json!({ "../x": "" })), "is not a path below"),
        (with("tests", json!([])), "a case needs tests"),
    ];
    for (wrong, why) in wrong {
        let (bench, file) = Bench::of(&[good.clone(), wrong]);
        let done = bench.run(&[file.to_str().expect("UTF-8")]);
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{said}");
        assert!(said.contains("cases.jsonl:2: ") && said.contains(why), "{said}");
    }
}

#[test]
fn a_model_is_measured_beside_the_templates_with_what_it_adds_and_costs() {
    let hours = "UNITS = {'s': 1, 'm': 60}\n\n\ndef seconds(number, unit):\n    return number * UNITS[unit]\n";
    let hours_checks: Vec<String> =
        (1..9).map(|n| format!("assert seconds({n}, 'h') == {}\nassert seconds({n}, 'm') == {}", n * 3600, n * 60)).collect();
    let hours_checks: Vec<&str> = hours_checks.iter().map(String::as_str).collect();
    let sums: Vec<String> = (0..9).map(|n| format!("assert total({n}) == {}", n * (n + 1) / 2)).collect();
    let sums: Vec<&str> = sums.iter().map(String::as_str).collect();
    let cases = [case("hours", hours, &hours_checks), case("sum", TOTAL, &sums)];
    // It knows hours, and of sums only those that it was shown.
    let oracle = Oracle::saying(|asked| {
        let edit = |search: &str, replace: &str| {
            format!("TITLE: x\nFILE: tool.py\n<<<<<<< SEARCH\n{search}\n=======\n{replace}\n>>>>>>> REPLACE\n")
        };
        if asked.told.contains("def seconds") {
            return Say::Text(edit("UNITS = {'s': 1, 'm': 60}", "UNITS = {'s': 1, 'm': 60, 'h': 3600}"));
        }
        let shown = (0..9_u32).filter(|n| asked.told.contains(&format!("assert total({n}) ==")));
        let known: Vec<String> = shown.map(|n| format!("{n}: {}", n * (n + 1) / 2)).collect();
        Say::Text(edit("    result = 0", &format!("    return {{{}}}.get(n, 0)", known.join(", "))))
    });
    let (bench, file) = Bench::of(&cases);
    let config = bench.folder.path().join("fractal.toml");
    let model =
        format!("[model]\nprovider = \"compatible\"\nname = \"gpt-4o-mini\"\nurl = \"{}\"\nsamples = 1\n", oracle.address);
    fs::write(&config, model).expect("writes");
    let arguments = ["--seen", "half", "--strategy", "template,model", "--candidates", "300", "--config"];
    let arguments: Vec<&str> = [file.to_str().expect("UTF-8")].into_iter().chain(arguments).collect();
    let run = |more: &[&str]| {
        let mut command = hermetic(env!("CARGO_BIN_EXE_fractal"), bench.folder.path(), bench.folder.path());
        command.env("FRACTAL_MODEL_KEY", KEY).args(["bench", "repair"]).args(&arguments).arg(&config).args(more);
        let done = command.output().expect("runs");
        assert!(done.status.success(), "{done:?}");
        text(&done.stdout)
    };
    let told: Vec<Value> = run(&["--json"]).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |id: &str, strategy: &str| {
        told.iter().find(|answer| answer["id"] == id && answer["strategy"] == strategy).expect("is told")["result"].clone()
    };
    assert_eq!((of("hours", "model"), of("sum", "template")), (json!("correct"), json!("correct")), "{told:#?}");
    // What passes everything that was shown is not right for that.
    assert_eq!(of("sum", "model"), "plausible", "{told:#?}");
    assert_ne!(of("hours", "template"), "correct", "{told:#?}");
    let table = run(&[]);
    crate::support::tell(&table);
    let row = table.lines().find(|line| line.contains("model") && line.contains("0.00")).expect("a row of the comparison");
    let words: Vec<&str> = row.split(|c: char| !c.is_alphanumeric() && c != '.').filter(|word| !word.is_empty()).collect();
    assert_eq!(words[..3], ["model", "1", "1"], "{table}");
}
