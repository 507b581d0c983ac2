//! One cycle in three zones: what lands is what a plain cycle lands, the zone that writes runs nothing, and what was changed on its way
//! leads to nothing at all.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use fractal::model::Exit;
use fractal::world::sandbox::Sandbox;
use serde_json::{Value, json};

use crate::common::Said;
use crate::support::{MOMENTS, Repository, Told, executable, lines, text};

const PROGRAM: &str = env!("CARGO_BIN_EXE_fractal");
const OUTDATED: [&str; 2] = ["the bundle is left", "the next run begins anew"];

fn path(repository: &Repository, name: &str) -> String {
    repository.beside(name).to_str().expect("UTF-8").to_string()
}

fn propose(repository: &Repository) -> Told {
    Told::parse(&repository.says(&["run", "--zone", "propose", "--out", &path(repository, "proposed"), "--json"]))
}

fn verify(repository: &Repository) -> Told {
    let (bundle, out) = (path(repository, "proposed"), path(repository, "verified"));
    Told::parse(&repository.says(&["run", "--zone", "verify", "--bundle", &bundle, "--out", &out, "--json"]))
}

/// Programs of the machine, each of which leaves a mark when it is started and goes on as the real one; git leaves none.
fn marking(repository: &Repository) -> PathBuf {
    let (folder, mark) = (repository.beside("programs"), path(repository, "mark"));
    if folder.exists() {
        return folder;
    }
    fs::create_dir(&folder).expect("makes a folder");
    let real = |name: &str| {
        let folders = std::env::var_os("PATH").expect("is set");
        let mut found = std::env::split_paths(&folders).map(|folder| folder.join(name)).filter(|file| file.is_file());
        found.next().unwrap_or_else(|| panic!("{name} is not there"))
    };
    std::os::unix::fs::symlink(real("git"), folder.join("git")).expect("makes a link");
    for name in ["python3", "sh", "env", "cargo"] {
        let script = format!("#!/bin/bash\necho {name} >>{mark}\nexec {} \"$@\"\n", real(name).display());
        executable(&folder.join(name), &script);
    }
    folder
}

fn apply_command(repository: &Repository) -> Command {
    let mut command = repository.hermetic(PROGRAM);
    command.args(["run", "--zone", "apply", "--json", "--bundle", &path(repository, "verified")]);
    command
}

/// The zone that writes, on a machine that tells when anything but git is started.
fn apply(repository: &Repository) -> Told {
    let mut command = apply_command(repository);
    command.env("PATH", marking(repository));
    let told = Told::parse(&Said::of(&command.output().expect("runs")).ok());
    assert_eq!(fs::read_to_string(repository.beside("mark")).unwrap_or_default(), "", "something was started");
    told
}

/// What must be the same afterwards, but for the lock of whoever looks.
struct Before<'r>(&'r Repository, BTreeMap<PathBuf, Vec<u8>>);

impl<'r> Before<'r> {
    fn of(repository: &'r Repository) -> Before<'r> {
        let mut everything = repository.everything();
        everything.retain(|path, _| !path.ends_with(".git/fractal/lock"));
        Before(repository, everything)
    }

    #[track_caller]
    fn is_now(&self) {
        let Before(repository, before) = self;
        let Before(_, now) = Before::of(repository);
        let changed: Vec<_> = before.keys().chain(now.keys()).filter(|path| before.get(*path) != now.get(*path)).collect();
        assert!(changed.is_empty(), "{changed:?}");
    }
}

/// What was recorded of the only improvement, without what is another one each time: times, and ids that are made of times.
fn recorded(repository: &Repository) -> Vec<String> {
    let id = repository.id();
    let log = repository.git(&["show", &format!("refs/fractal/log:improvements/{id}.jsonl")]);
    let records = log.lines().map(|line| without_times(serde_json::from_str(line).expect("JSON")));
    records.flat_map(|record| lines(&format!("{record:#}"))).collect()
}

/// Line by line, because all of it is long.
#[track_caller]
fn same_records(one: &Repository, other: &Repository) {
    let (one, other) = (recorded(one), recorded(other));
    for (at, line) in one.iter().enumerate() {
        let before = &one[at.saturating_sub(8)..at];
        assert_eq!(Some(line), other.get(at), "after {before:#?}");
    }
    assert_eq!(one.len(), other.len());
}

fn without_times(value: Value) -> Value {
    let own = |name: &str| {
        matches!(name, "at" | "milliseconds" | "key" | "commit" | "score" | "summary" | "detail" | "checks" | "message")
    };
    match value {
        Value::Object(fields) => Value::Object(
            fields.into_iter().filter(|(name, _)| !own(name)).map(|(name, value)| (name, without_times(value))).collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_times).collect()),
        Value::String(id) if id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) => Value::Null,
        other => other,
    }
}

/// The files of the base, but for the note, which tells when.
fn landed_files(repository: &Repository) -> String {
    let files = repository.git(&["ls-tree", "-r", "main"]);
    files.lines().filter(|line| !line.contains(".fractal/notes/")).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_lands_through_three_zones_is_what_a_plain_cycle_lands_and_the_last_one_runs_nothing() {
    let (zones, plain) = (Repository::failing(), Repository::failing());
    let (refs, base) = (zones.refs(), zones.tip("main"));
    assert_eq!(propose(&zones).of("bundled").count(), 1);
    let told = verify(&zones);
    assert!(told.of("judged").any(|judged| judged["verdict"]["judgement"] == "accepted"));
    assert_eq!((zones.refs(), zones.tip("main")), (refs, base), "the first two zones write nothing");
    let told = apply(&zones);
    plain.run();
    assert_eq!((zones.stage(), plain.stage()), ("watching".to_string(), "watching".to_string()));
    assert_eq!(told.actions().len(), 2, "{:?}", told.actions());
    assert_eq!(landed_files(&zones), landed_files(&plain));
    same_records(&zones, &plain);
    zones.assert_clean();
    assert_eq!(zones.exec("calculator", &["div", "1", "0"]), 2);
}

/// Two repositories that are the same, one cycle in three zones and one in none: what both say afterwards.
#[track_caller]
fn alike(zones: Repository) -> (Repository, Told) {
    let plain = zones.copy();
    let zones = through_two_zones(zones);
    let told = apply(&zones);
    plain.run();
    assert_eq!((zones.stage(), zones.branches()), (plain.stage(), plain.branches()), "{:#?}", told.0);
    assert_eq!(landed_files(&zones), landed_files(&plain));
    same_records(&zones, &plain);
    (zones, told)
}

#[test]
fn a_regression_is_reverted_through_three_zones_as_by_a_plain_cycle() {
    let repository = Repository::landed_orders();
    repository.orders_with_long_references();
    let lying = through_two_zones(repository.copy());
    let mut bundle = content(&lying.beside("verified"));
    // An input that has not failed here speaks against nothing.
    bundle["answers"]["analyses"][0]["answer"]["replays"][0]["input"] = json!("another");
    seal(&lying.beside("verified"), &bundle);
    let told = apply(&lying);
    assert!(told.of("action").next().is_none() && lying.stage() == "watching", "{:#?}", told.0);
    let (zones, told) = alike(repository);
    assert_eq!(zones.stage(), "reverted");
    assert_eq!(told.report()["reverted"], 1);
}

/// What a bundle says of a watch counts only where the counts that are here raise an alarm, and only about inputs that failed here.
#[test]
fn a_bundle_that_lies_about_a_watch_reverts_nothing() {
    let repository = Repository::greeter();
    repository.run();
    repository.greets_well();
    let repository = through_two_zones(repository);
    let mut bundle = content(&repository.beside("verified"));
    let analysis = &mut bundle["answers"]["analyses"][0]["answer"];
    assert_eq!(analysis["finding"], "good", "{analysis:#}");
    let replay = |input: &str| json!({ "execution": "x", "input": input, "shown": input, "runs_each": 5, "old_failures": 0, "new_failures": 5 });
    analysis["replays"] = json!([replay("a"), replay("b"), replay("c")]);
    (analysis["finding"], analysis["p"]) = (json!("regression"), json!(1e-9));
    seal(&repository.beside("verified"), &bundle);
    let told = apply(&repository);
    assert_eq!((repository.stage(), repository.bot_commits().len()), ("kept".to_string(), 1), "{:#?}", told.0);
}

#[test]
fn several_tools_are_repaired_at_once_through_three_zones_as_by_a_plain_cycle() {
    let (zones, _) = alike(crate::group::sharers());
    let improvement = zones.improvement();
    assert_eq!((zones.stage(), improvement["tools"].as_array().map(Vec::len)), ("proposed".to_string(), Some(2)));
}

/// What was found for the base before is not known to be right for the base after. Branches do not move it.
#[test]
fn of_two_repairs_one_lands_in_a_run_and_the_other_in_the_next_but_both_have_branches_at_once() {
    for lands in [true, false] {
        let settings = format!("{MOMENTS}[engine]\nparallel = 2\n\n[deploy]\nland = {lands}\nland_reverts = {lands}\n\n");
        let repository = through_two_zones(Repository::greeting(&["greet", "wave"], &settings));
        let told = apply(&repository);
        let (landed, branches) = (repository.bot_commits().len(), repository.branches().len());
        if !lands {
            assert_eq!((landed, branches), (0, 2), "{:#?}", told.0);
            continue;
        }
        assert_eq!(landed, 1, "{:#?}", told.0);
        assert!(told.waiting().contains("its answer is not in the bundle"), "{}", told.waiting());
        let repository = through_two_zones(repository);
        apply(&repository);
        assert_eq!(repository.bot_commits().len(), 2);
    }
}

#[test]
fn a_commit_that_broke_a_tool_is_undone_through_three_zones_as_by_a_plain_cycle() {
    let (zones, _) = alike(Repository::greeter());
    assert_eq!((zones.stage(), zones.bot_commits().len()), ("watching".to_string(), 1));
}

#[test]
fn the_marks_tell_when_something_is_started() {
    let repository = Repository::failing();
    let mut command = repository.hermetic(PROGRAM);
    let said = command.args(["run", "--dry-run"]).env("PATH", marking(&repository)).output().expect("runs");
    assert!(said.status.success(), "{}", text(&said.stderr));
    assert!(fs::read_to_string(repository.beside("mark")).expect("a mark").contains("python3"));
}

/// Puts a bundle in the place of the verified one, sealed as it would be.
fn seal(file: &Path, content: &Value) {
    let content = content.to_string();
    let digest = blake3::hash(content.as_bytes()).to_hex().to_string();
    let seal = json!({ "fractal_bundle": 1, "bytes": content.len(), "digest": digest });
    fs::write(file, format!("{seal}\n{content}\n")).expect("writes");
}

fn content(file: &Path) -> Value {
    let text = fs::read_to_string(file).expect("is there");
    serde_json::from_str(text.lines().nth(1).expect("two lines")).expect("JSON")
}

/// A repository with a verified bundle that is about to be applied.
fn verified() -> Repository {
    static ONCE: OnceLock<Repository> = OnceLock::new();
    ONCE.get_or_init(|| through_two_zones(Repository::failing())).copy()
}

/// The same with a commit of a person that is to be undone, and a gate that costs little.
fn quickly_verified() -> Repository {
    static ONCE: OnceLock<Repository> = OnceLock::new();
    ONCE.get_or_init(|| through_two_zones(Repository::greeter())).copy()
}

fn through_two_zones(repository: Repository) -> Repository {
    propose(&repository);
    verify(&repository);
    repository
}

/// Changes the bundle and applies it: refused with this, and nothing is written.
#[track_caller]
fn refused(repository: &Repository, change: impl FnOnce(&mut Value), parts: &[&str]) {
    let file = repository.beside("verified");
    let before = fs::read(&file).expect("is there");
    let mut changed = content(&file);
    change(&mut changed);
    seal(&file, &changed);
    let before_it = Before::of(repository);
    Said::of(&apply_command(repository).output().expect("runs")).refused(1, parts);
    before_it.is_now();
    fs::write(&file, before).expect("writes");
}

/// The candidate of the only search.
fn judged(bundle: &mut Value) -> &mut Value {
    let came = bundle["answers"]["searches"][0]["answer"].as_array_mut().expect("a list");
    let accepted = came.last_mut().expect("one came");
    &mut accepted["judged"]
}

#[test]
fn a_bundle_that_was_changed_on_its_way_is_refused_and_nothing_is_written() {
    let repository = verified();
    let file = repository.beside("verified");
    let whole = fs::read(&file).expect("is there");
    let everything = |change: &dyn Fn(&mut Vec<u8>), parts: &[&str]| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        fs::write(&file, bytes).expect("writes");
        let before = Before::of(&repository);
        Said::of(&apply_command(&repository).output().expect("runs")).refused(1, parts);
        before.is_now();
    };
    let middle = whole.len() / 2;
    everything(&|bytes| bytes[middle] ^= 1, &["not what was sealed", "digest"]);
    everything(&|bytes| bytes.truncate(middle), &["not what was sealed"]);
    everything(&|bytes| bytes.extend(b"more"), &["not what was sealed"]);
    everything(&|bytes| bytes.clear(), &["is not a bundle of Fractal"]);
    everything(&|bytes| bytes.resize(33 << 20, b' '), &["larger than it may be", "32 MiB"]);
    let newer =
        |bytes: &mut Vec<u8>| *bytes = text(bytes).replacen("\"fractal_bundle\":1", "\"fractal_bundle\":2", 1).into_bytes();
    everything(&newer, &["format 2", "newer", "same version of Fractal in all three zones"]);
    fs::copy(repository.beside("proposed"), &file).expect("copies");
    Said::of(&apply_command(&repository).output().expect("runs")).refused(1, &["made in the zone `propose`", "`verify`"]);
}

#[test]
fn a_bundle_that_lies_is_refused_and_nothing_is_written() {
    let repository = verified();
    let files = |bundle: &mut Value| judged(bundle)["candidate"]["files"].take();
    let set = |bundle: &mut Value, files: Value| judged(bundle)["candidate"]["files"] = files;
    let add = |path: &'static str, text: &'static str| {
        move |bundle: &mut Value| {
            let mut all = files(bundle);
            all[path] = json!({ "text": text });
            set(bundle, all);
        }
    };
    refused(&repository, add("setup.py", "import os\n"), &["`setup.py` does not belong to `calculator`"]);
    refused(&repository, add("../../x", "x\n"), &["is not a path inside the repository"]);
    refused(&repository, add(".github/workflows/x.yml", "on: push\n"), &["protected"]);
    refused(&repository, add("tests/test_calculator.py", "\n"), &["tests/test_calculator.py", "is a test"]);
    let reach = "import socket\n\n\ndef divide(a, b):\n    return socket.socket()\n";
    refused(&repository, add("tools/calculator.py", reach), &["calculator"]);
    refused(
        &repository,
        |bundle| judged(bundle)["recipe"]["test"] = json!("7"),
        &["regression test is not one that is written here"],
    );
    let input = |bundle: &mut Value| judged(bundle)["recipe"]["smaller"] = json!({ "args": ["rm", "-rf"], "stdin": "" });
    refused(&repository, input, &["regression test is not one that is written here"]);
    refused(&repository, |bundle| judged(bundle)["recipe"] = Value::Null, &["regression test, which is missing"]);
    refused(&repository, |bundle| judged(bundle)["candidate"]["strategy"] = json!("revert"), &["not the inverse"]);
    refused(&repository, |bundle| judged(bundle)["candidate"]["title"] = json!("x\nFractal-Id: y"), &["not a line"]);
    refused(&repository, |bundle| bundle["answers"]["searches"][0]["question"]["tool"] = json!("other"), &["no tool `other`"]);
    refused(&repository, |bundle| bundle["answers"]["investigations"] = json!([]), &["nothing is said of why"]);
    refused(&repository, |bundle| bundle["made_for"]["config"] = json!("0"), &["another configuration"]);
    refused(&repository, |bundle| bundle["made_for"]["program"] = json!("9.9.9"), &["version 9.9.9"]);
    refused(&repository, |bundle| bundle["answers"]["commands"] = json!(["rm"]), &["unknown field `commands`"]);
    // As it was, it does.
    apply(&repository);
    assert_eq!(repository.stage(), "watching");
}

/// Every place of a bundle where a value is, as JSON pointers.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, inner)| {
            places(inner, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), found);
        }),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, inner)| places(inner, &format!("{at}/{index}"), found)),
        _ => found.push(at.to_string()),
    }
}

/// Whatever a single value of it is instead: it is refused, left, waited for or does what it is about; it is never obeyed beyond that.
#[test]
fn whatever_stands_in_a_bundle_at_most_the_files_of_the_tool_change_and_nothing_runs() {
    let ready = quickly_verified();
    let whole = content(&ready.beside("verified"));
    let mut all = Vec::new();
    places(&whole, "", &mut all);
    let odd = [json!("../../etc/passwd\n--exec=x"), json!(null), json!(-1), json!({ "text": "x" }), json!("main")];
    let (mut refused, mut landed) = (0, 0);
    for (n, place) in all.iter().enumerate().filter(|(n, _)| n % 2 == 0) {
        let repository = ready.copy();
        let (before, mut changed) = (repository.tip("main"), whole.clone());
        *changed.pointer_mut(place).expect("is there") = odd[(n / 2) % odd.len()].clone();
        seal(&repository.beside("verified"), &changed);
        let mut command = apply_command(&repository);
        let said = Said::of(&command.env("PATH", marking(&repository)).output().expect("runs"));
        assert!(matches!(said.code, Some(0 | 1)), "{place}: {said:#?}");
        assert_eq!(fs::read_to_string(repository.beside("mark")).unwrap_or_default(), "", "{place}: something was started");
        refused += usize::from(said.code == Some(1));
        if repository.tip("main") != before {
            landed += 1;
            let files = repository.git(&["diff", "--name-only", &before, "main"]);
            let own = |path: &str| path == "greet.sh" || path.starts_with("tests/greet_") || path.starts_with(".fractal/notes/");
            assert!(files.lines().all(own), "{place}: {files}");
            assert_eq!(repository.git(&["show", "main:greet.sh"]), repository.git(&["show", "main~2:greet.sh"]), "{place}");
        }
        let refs = repository.refs();
        let own = |name: &str| {
            ["refs/heads/main", "refs/heads/fractal/greet/", "refs/fractal/", "refs/notes/fractal"]
                .iter()
                .any(|own| name.starts_with(own))
        };
        assert!(refs.lines().all(own), "{place}: {refs}");
    }
    assert!(refused > 10 && landed > 0, "{refused} of {} refused, {landed} landed", all.len());
}

/// A check that failed cannot be called passed by what is said of all of them: the verdict follows from the checks.
#[test]
fn a_verdict_is_not_taken_from_the_bundle_but_follows_from_its_checks() {
    let repository = verified();
    let file = repository.beside("verified");
    let mut bundle = content(&file);
    let checks = judged(&mut bundle)["checks"].as_array_mut().expect("a list");
    let suite = checks.iter_mut().find(|check| check["name"] == "suite").expect("was run");
    suite["status"] = json!("failed");
    seal(&file, &bundle);
    let told = apply(&repository);
    assert!(told.of("judged").all(|judged| judged["verdict"]["judgement"] == "rejected"), "{:#?}", told.0);
    assert_eq!((repository.bot_commits().len(), repository.branches().len()), (0, 0));
}

#[test]
fn a_bundle_for_what_is_no_more_is_left_for_the_next_run_and_nothing_is_written() {
    let moved = quickly_verified();
    moved.write("README", "moved\n");
    moved.commit("somebody was faster");
    let logged = quickly_verified();
    logged.run();
    for (repository, why) in [(&moved, "it was made for `main` at"), (&logged, "")] {
        let before = Before::of(repository);
        let said = Said::of(&repository.fractal(&["run", "--zone", "apply", "--bundle", &path(repository, "verified")])).ok();
        for part in [why].iter().chain(&OUTDATED) {
            assert!(said.contains(part), "{part} is not in {said}");
        }
        before.is_now();
    }
    // In the middle it is left as well, and what is handed on says so to the last zone.
    verify(&moved);
    assert_eq!(apply(&moved).of("left").count(), 1);
    // The next run does it.
    propose(&moved);
    verify(&moved);
    apply(&moved);
    assert_eq!(moved.stage(), "watching");
}

#[test]
fn a_dry_run_of_the_last_zone_says_what_it_would_do_and_changes_nothing() {
    let repository = quickly_verified();
    let before = Before::of(&repository);
    let said = Said::of(&apply_command(&repository).arg("--dry-run").output().expect("runs")).ok();
    assert_eq!(Told::parse(&said).of("action").filter(|action| action["dry_run"] == true).count(), 2);
    before.is_now();
}

#[test]
fn what_is_not_in_the_bundle_is_left_and_says_so() {
    let repository = quickly_verified();
    let file = repository.beside("verified");
    let mut bundle = content(&file);
    bundle["answers"]["searches"] = json!([]);
    seal(&file, &bundle);
    let told = apply(&repository);
    assert!(told.waiting().contains("its answer is not in the bundle"), "{}", told.waiting());
    assert_eq!((repository.stage(), repository.bot_commits().len()), ("investigated".to_string(), 0));
    propose(&repository);
    verify(&repository);
    apply(&repository);
    assert_eq!(repository.stage(), "watching");
}

#[test]
fn killed_anywhere_in_the_last_zone_the_next_run_of_all_three_ends_in_the_same() {
    let whole = quickly_verified();
    apply(&whole);
    for n in 1.. {
        let repository = quickly_verified();
        let died = apply_command(&repository).env("FRACTAL_DIE_AT", n.to_string()).output().expect("runs");
        if died.status.success() {
            assert!(n > 5, "only {n} moments");
            break;
        }
        // The bundle may be out of date by what was recorded; then it is left.
        apply(&repository);
        propose(&repository);
        verify(&repository);
        apply(&repository);
        assert_eq!(repository.stage(), "watching", "killed at {n}");
        assert_eq!(landed_files(&repository), landed_files(&whole), "killed at {n}");
        assert_eq!(repository.bot_commits().len(), 1, "killed at {n}");
        repository.assert_clean();
    }
}

/// What others did between the first look at the bundle and the work is seen as well: the cycle meets them when it begins.
#[test]
fn what_others_push_at_the_same_moment_makes_the_bundle_out_of_date() {
    let repository = through_two_zones(crate::remote::with_origin(Repository::greeter()));
    repository.git(&["clone", "--quiet", "../origin.git", "../other"]);
    let other = |arguments: &[&str]| repository.git(&[&["-C", "../other"], arguments].concat());
    other(&["commit", "--quiet", "--allow-empty", "-m", "somebody was faster"]);
    other(&["push", "--quiet", "origin", "main"]);
    let told = apply(&repository);
    assert!(told.waiting().contains("the bundle is out of date: it was made for `main` at"), "{:#?}", told.0);
    assert_eq!((repository.bot_commits().len(), repository.branches().len()), (0, 0));
    assert_eq!(repository.tip("main"), other(&["rev-parse", "HEAD"]));
}

/// The gate of the second zone is asked by itself: what the first one says of a candidate has no say.
#[test]
fn a_candidate_that_does_not_pass_again_goes_no_further() {
    let repository = Repository::failing();
    propose(&repository);
    let file = repository.beside("proposed");
    let mut bundle = content(&file);
    let judged = judged(&mut bundle);
    let beside = judged["beside"].as_array_mut().expect("a list");
    for rival in beside.iter_mut() {
        let path = "tools/calculator.py";
        let wrong = repository.read(path).replace("return a / b", "return a / b if b else 0");
        rival[0]["files"][path] = json!({ "text": wrong.replace("return a - b", "return b - a") });
    }
    seal(&file, &bundle);
    let told = verify(&repository);
    assert!(told.of("judged").all(|judged| judged["verdict"]["judgement"] != "accepted"), "{:#?}", told.0);
    let told = apply(&repository);
    assert_eq!((repository.bot_commits().len(), repository.branches().len()), (0, 0), "{:#?}", told.0);
}

#[test]
fn in_a_closed_sandbox_nothing_starts_whoever_asks() {
    let open = Sandbox::new("zones", &[], 1 << 30);
    let closed = open.clone().closed("not here");
    let folder = tempfile::tempdir().expect("a folder");
    let mark = folder.path().join("mark");
    let touch: Vec<OsString> = vec!["touch".into(), mark.clone().into()];
    let scratch = closed.checkout(&[]).expect("a folder");
    let why = Exit::NotStarted("nothing is run here: not here".into());
    let second = Duration::from_secs(1);
    assert_eq!(closed.run(&scratch, touch.clone(), Vec::new(), "", second).exit, why);
    assert_eq!(closed.observe(&scratch, touch.clone(), Vec::new(), "", second).0.exit, why);
    assert!(closed.keep(&scratch, touch, Vec::new()).is_err_and(|error| error.to_string().contains("nothing is run here")));
    assert!(closed.ready().is_err() && !mark.exists());
    assert_eq!(open.run(&scratch, vec!["true".into()], Vec::new(), "", second).exit, Exit::Code(0));
}

#[test]
fn a_zone_and_files_that_do_not_go_together_are_a_mistake() {
    let repository = Repository::failing();
    for arguments in [
        &["--zone", "propose"][..],
        &["--zone", "propose", "--bundle", "x", "--out", "y"],
        &["--zone", "verify", "--out", "y"],
        &["--zone", "apply"],
        &["--zone", "apply", "--bundle", "x", "--out", "y"],
    ] {
        let said = Said::of(&repository.fractal(&[&["run"][..], arguments].concat()));
        said.refused(2, &["the zone and the files do not go together", "--zone apply --bundle FILE"]);
    }
    let said = Said::of(&repository.fractal(&["run", "--bundle", "x"]));
    assert_eq!(said.code, Some(2), "{said:#?}");
    let said = Said::of(&repository.fractal(&["run", "--zone", "apply", "--bundle", "nowhere"]));
    said.refused(1, &["nowhere"]);
    // Nothing is looked for when it could not be handed on.
    let said = Said::of(&repository.fractal(&["run", "--zone", "propose", "--out", "nowhere/bundle"]));
    assert!(said.out.is_empty(), "{said:#?}");
    said.refused(1, &["nowhere/bundle"]);
}
