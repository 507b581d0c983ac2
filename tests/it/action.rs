//! The action: its scripts by themselves, and all of it below act, the runner front end that people use at home, with nothing between it and
//! this machine.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::action_lint::ACTION;
use crate::common::Said;
use crate::peers::python_program;
use crate::support::{Repository, executable, text};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_fractal");
/// `x-access-token:s3cret` in Base64.
pub const CREDENTIAL: &str = "eC1hY2Nlc3MtdG9rZW46czNjcmV0";
/// The commit that broke the tool: a subject for whatever reads workflow commands or Markdown.
const HOSTILE: &str = "::error title=gotcha::gotcha ##[error]gotcha ```</pre>";

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A tool that a commit broke, whose runs are at the remote, and a fresh clone of that: what a runner has.
pub struct Runner {
    pub repository: Repository,
    pub origin: String,
    /// Where the forge says that it is, and the token that it gives to a job.
    pub server: String,
    pub token: &'static str,
}

impl Runner {
    /// With git over HTTP, for those who have the token.
    pub fn over_http(options: &[&str]) -> Runner {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("has an address").port();
        let runner = Runner::with(format!("http://127.0.0.1:{port}/origin.git"), options);
        let root = runner.repository.beside("");
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let root = root.clone();
                let credential = format!("basic {CREDENTIAL}");
                std::thread::spawn(move || crate::claims::serve(stream, &root, Some(&credential)));
            }
        });
        runner
    }

    pub fn at(origin: String) -> Runner {
        Runner::with(origin, &[])
    }

    /// `options` are more ones for the workflow that is written.
    pub fn with(origin: String, options: &[&str]) -> Runner {
        let repository = Repository::greeter();
        repository.git(&["commit", "--quiet", "--amend", "-m", HOSTILE]);
        repository.git(&["init", "--quiet", "--bare", "--initial-branch=main", "../origin.git"]);
        repository.git(&["remote", "add", "origin", "../origin.git"]);
        let config = repository.read("fractal.toml");
        let config = config.replace("[deploy]\n", "[deploy]\nland = false\nremote = \"origin\"\n");
        repository.configure(&format!("{config}\n[sync]\nremote = \"origin\"\n"));
        let said = Said::of(&repository.fractal(&[&["init", "--workflow", "--action", ACTION], options].concat()));
        assert_eq!(said.code, Some(0), "{said:#?}");
        let server = origin.trim_end_matches("/origin.git").to_string();
        Runner { repository, origin, server, token: "s3cret" }
    }

    /// Commits what is there with the workflow, changed, and sends it and the recorded runs.
    pub fn publish(&self, changes: &[(&str, &str)]) {
        let path = ".github/workflows/fractal.yml";
        let mut workflow = self.repository.read(path);
        for (from, to) in changes {
            assert!(workflow.contains(from), "{workflow}");
            workflow = workflow.replace(from, to);
        }
        self.repository.write(path, &workflow);
        self.repository.commit("look after the tools");
        self.repository.git(&["push", "--quiet", "origin", "main"]);
        self.repository.says(&["sync"]);
        self.repository.git(&["clone", "--quiet", "../origin.git", "../runner"]);
        self.repository.git(&["-C", "../runner", "remote", "set-url", "origin", &self.origin]);
    }

    pub fn clone(&self) -> PathBuf {
        self.repository.beside("runner")
    }

    /// Names of refs at the remote.
    pub fn at_origin(&self) -> Vec<String> {
        let refs = self.repository.git(&["ls-remote", "../origin.git"]);
        refs.lines().filter_map(|line| Some(line.split_once('\t')?.1.to_string())).collect()
    }

    /// The workflow below act, as it would be started by hand on GitHub.
    pub fn act(&self, act: &Path) -> Said {
        Said::of(&self.act_command(act).output().expect("act runs"))
    }

    pub fn act_command(&self, act: &Path) -> Command {
        let beside = |name: &str| self.repository.beside(name);
        copy_of_the_action(&beside("action"));
        // It is resolved although the program is brought along and it is not needed; that it is not run is seen by its failing.
        fs::create_dir_all(beside("cache")).expect("makes a folder");
        let failing =
            "name: none\ndescription: none\nruns:\n  using: composite\n  steps:\n    - run: exit 9\n      shell: bash\n";
        fs::write(beside("cache/action.yml"), failing).expect("writes");
        fs::write(beside("event.json"), r#"{"repository":{"fork":false}}"#).expect("writes");
        let cached = fs::read_to_string(root().join("action.yml")).expect("is there");
        let cached = cached.split_once("uses: actions/cache@").expect("is used").1.split(' ').next().expect("a commit");
        let mut command = self.repository.hermetic(act.to_str().expect("UTF-8"));
        command.current_dir(self.clone()).args(["workflow_dispatch", "-P", "ubuntu-24.04=-self-hosted"]);
        command.arg("-e").arg(beside("event.json")).args(["-s", &format!("GITHUB_TOKEN={}", self.token)]);
        command.args(["--no-cache-server", "--use-new-action-cache"]);
        command.arg("--action-cache-path").arg(beside("act")).args(["--env", &format!("GITHUB_SERVER_URL={}", self.server)]);
        command.args(["--local-repository", &format!("{ACTION}={}", beside("action").display())]);
        command.args(["--local-repository", &format!("actions/cache@{cached}={}", beside("cache").display())]);
        command
    }

    /// Stands for the actions that hand files from job to job, which need GitHub: a folder for each, as they would have it.
    pub fn artifacts(&self, command: &mut Command, workflow: &str) {
        let (put, get) = (
            "mkdir -p \"$ARTIFACTS/$NAME\" && cp \"$FROM\" \"$ARTIFACTS/$NAME\" && echo \"artifact-id=$NAME\" >>\"$GITHUB_OUTPUT\"",
            "mkdir -p \"$TO\" && cp \"$ARTIFACTS/$NAME\"/* \"$TO\"",
        );
        let action = |inputs: &str, outputs: &str, env: &str, script: &str| {
            format!(
                "name: x\ndescription: x\ninputs: {{{inputs}}}\n{outputs}runs:\n  using: composite\n  steps:\n    - id: put\n      \
                 shell: bash\n      env: {{{env}}}\n      run: |\n        {script}\n"
            )
        };
        let out = "outputs:\n  artifact-id: {description: x, value: \"${{ steps.put.outputs.artifact-id }}\"}\n";
        let upload = action(
            "name: {}, path: {}, if-no-files-found: {}, retention-days: {}",
            out,
            "NAME: \"${{ inputs.name }}\", FROM: \"${{ inputs.path }}\"",
            put,
        );
        let download = action(
            "artifact-ids: {}, path: {}, merge-multiple: {}",
            "",
            "NAME: \"${{ inputs.artifact-ids }}\", TO: \"${{ inputs.path }}\"",
            get,
        );
        for (name, text) in [("upload-artifact", upload), ("download-artifact", download)] {
            let folder = self.repository.beside(name);
            fs::create_dir_all(&folder).expect("makes a folder");
            fs::write(folder.join("action.yml"), text).expect("writes");
            let used = workflow.split_once(&format!("uses: actions/{name}@")).expect("is used").1;
            let commit = used.split(' ').next().expect("a commit");
            command.args(["--local-repository", &format!("actions/{name}@{commit}={}", folder.display())]);
        }
        command.args(["--env", &format!("ARTIFACTS={}", self.repository.beside("artifacts").display())]);
    }

    /// A program that writes down how it is started, with its whole environment, and goes on as ours.
    pub fn told_on(&self) -> PathBuf {
        let (program, told) = (self.repository.beside("told-on"), self.repository.beside("told"));
        let script = format!("#!/bin/bash\n{{ echo \"started: $*\"; env; }} >>{}\nexec {PROGRAM} \"$@\"\n", told.display());
        executable(&program, &script);
        program
    }
}

/// What a runner has of the action, without the source that it would build.
fn copy_of_the_action(folder: &Path) {
    fs::create_dir_all(folder.join(".github/action")).expect("makes folders");
    for name in ["action.yml", "Cargo.toml", ".github/action/get", ".github/action/cycle"] {
        fs::copy(root().join(name), folder.join(name)).expect("copies");
    }
}

#[test]
fn under_act_the_workflow_that_init_wrote_pushes_the_branch_of_a_repair() {
    let Some(act) = python_program("act") else { return };
    let runner = Runner::over_http(&[]);
    let run = format!("mode: run\n          binary: {PROGRAM}");
    runner.publish(&[("mode: dry-run", &run), ("contents: read", "contents: write")]);
    let said = runner.act(&act);
    assert_eq!(said.code, Some(0), "{said:#?}");
    let refs = runner.at_origin();
    let branch = refs.iter().find(|name| name.starts_with("refs/heads/fractal/greet/")).expect("a branch at the remote");
    assert!(refs.iter().any(|name| name == "refs/fractal/log"), "{refs:#?}");
    let message = runner.repository.git(&["-C", "../origin.git", "log", "-1", "--format=%an %P%n%B", branch]);
    let main = runner.repository.git(&["-C", "../origin.git", "rev-parse", "main"]);
    assert!(message.starts_with(&format!("Fractal {main}")) && message.contains("Fractal-Tool: greet"), "{message}");
    for told in ["detected     greet", "accepted     greet", "waits        greet", "### Fractal: run", "Job succeeded"] {
        assert!(said.out.contains(told), "`{told}` is not in {}", said.out);
    }
    assert!(!said.out.contains(CREDENTIAL) && !said.out.contains("s3cret"), "{}", said.out);
}

#[test]
fn under_act_the_workflow_that_init_wrote_begins_with_a_dry_run_and_changes_nothing_at_the_remote() {
    let Some(act) = python_program("act") else { return };
    let runner = Runner::over_http(&[]);
    runner.publish(&[("mode: dry-run", &format!("binary: {PROGRAM}\n          mode: dry-run"))]);
    let before = runner.repository.git(&["ls-remote", "../origin.git"]);
    let said = runner.act(&act);
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert_eq!(runner.repository.git(&["ls-remote", "../origin.git"]), before);
    assert!(said.out.contains("detected     greet") && said.out.contains("### Fractal: dry-run"), "{}", said.out);
}

#[test]
fn under_act_a_mistake_in_the_configuration_fails_the_job_and_says_so_once() {
    let Some(act) = python_program("act") else { return };
    let runner = Runner::over_http(&[]);
    runner.publish(&[("mode: dry-run", &format!("binary: {PROGRAM}\n          mode: doctor"))]);
    fs::write(runner.clone().join("fractal.toml"), "[detect]\nthreshhold = 1\n").expect("writes");
    let said = runner.act(&act);
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.out.contains("threshhold"), "{}", said.out);
    let errors: Vec<&str> = said.out.lines().filter(|line| line.contains("::error")).collect();
    assert!(matches!(errors[..], [only] if only.contains("it did not work")), "{errors:#?}");
}

#[test]
fn under_act_three_jobs_push_the_branch_of_a_repair_and_only_the_one_that_runs_nothing_has_the_token() {
    let Some(act) = python_program("act") else { return };
    let runner = Runner::over_http(&["--zones"]);
    let binary = format!("\n          binary: {}", runner.told_on().display());
    let mode = |name: &str| format!("mode: {name}{binary}");
    runner.publish(&[
        ("mode: propose", &mode("propose")),
        ("mode: verify", &mode("verify")),
        ("mode: apply-dry-run", &mode("apply")),
        ("contents: read # 1.", "contents: write # 1."),
    ]);
    let mut command = runner.act_command(&act);
    runner.artifacts(&mut command, &runner.repository.read(".github/workflows/fractal.yml"));
    let said = Said::of(&command.output().expect("act runs"));
    assert_eq!(said.code, Some(0), "{said:#?}");
    let refs = runner.at_origin();
    let branch = refs.iter().find(|name| name.starts_with("refs/heads/fractal/greet/")).expect("a branch at the remote");
    let message = runner.repository.git(&["-C", "../origin.git", "log", "-1", "--format=%an%n%B", branch]);
    assert!(message.starts_with("Fractal\n") && message.contains("Fractal-Tool: greet"), "{message}");
    assert_eq!(said.out.matches("Job succeeded").count(), 3, "{}", said.out);
    let told = fs::read_to_string(runner.repository.beside("told")).expect("was started");
    let (mut zones, mut knew) = (Vec::new(), Vec::new());
    for started in told.split("started: ").filter(|started| started.starts_with("run --zone ")) {
        let zone = started.split(' ').nth(2).expect("a zone");
        zones.push(zone);
        // Who applies needs it for pull requests.
        let plain = started.replace("\nFRACTAL_GITHUB_TOKEN=s3cret\n", "\n");
        assert!(!plain.contains("s3cret") && (plain == started || started.starts_with("run --zone apply")), "{started}");
        if started.contains(CREDENTIAL) {
            knew.push(zone);
        }
    }
    assert_eq!((zones, knew), (vec!["propose", "verify", "apply"], vec!["apply"]), "{told}");
    assert!(!said.out.contains(CREDENTIAL) && !said.out.contains("s3cret"), "{}", said.out);
}

#[test]
fn under_act_three_jobs_begin_with_a_dry_run_and_run_for_no_pull_request_and_no_fork() {
    let Some(act) = python_program("act") else { return };
    let runner = Runner::over_http(&["--zones"]);
    let binary = format!("\n          binary: {PROGRAM}");
    let mode = |name: &str| format!("mode: {name}{binary}");
    let modes = ["propose", "verify", "apply-dry-run"].map(|name| (format!("mode: {name}"), mode(name)));
    let mut changes: Vec<(&str, &str)> = modes.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
    changes.push(("  workflow_dispatch:\n", "  workflow_dispatch:\n  pull_request_target:\n"));
    runner.publish(&changes);
    let before = runner.repository.git(&["ls-remote", "../origin.git"]);
    let run = |event: &str, payload: &str| {
        let mut command = runner.act_command(&act);
        runner.artifacts(&mut command, &runner.repository.read(".github/workflows/fractal.yml"));
        fs::write(runner.repository.beside("event.json"), payload).expect("writes");
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let mut command = runner.repository.hermetic(act.to_str().expect("UTF-8"));
        command.current_dir(runner.clone()).arg(event).args(&arguments[1..]);
        let said = Said::of(&command.output().expect("act runs"));
        assert_eq!(said.code, Some(0), "{said:#?}");
        assert_eq!(runner.repository.git(&["ls-remote", "../origin.git"]), before);
        said.out
    };
    for (event, fork) in [("pull_request_target", false), ("workflow_dispatch", true)] {
        let said = run(event, &format!(r#"{{"repository":{{"fork":{fork}}}}}"#));
        assert!(!said.contains("Fractal") && !said.contains("Job succeeded"), "{event}: {said}");
        assert!(!runner.repository.beside("artifacts").exists());
    }
    let said = run("workflow_dispatch", r#"{"repository":{"fork":false}}"#);
    assert_eq!(said.matches("Job succeeded").count(), 3, "{said}");
    assert!(said.contains("### Fractal: apply-dry-run") && said.contains("would        greet"), "{said}");
}

/// A script of the action with its environment, and what it gave to the runner.
pub struct Step<'a> {
    folder: &'a Path,
    files: PathBuf,
}

impl Step<'_> {
    pub fn new<'a>(repository: &Repository, folder: &'a Path) -> Step<'a> {
        let files = repository.beside("step");
        fs::create_dir_all(&files).expect("makes a folder");
        Step { folder, files }
    }

    fn command(&self, repository: &Repository, script: &str) -> Command {
        let mut command = repository.hermetic("bash");
        command.arg(root().join(".github/action").join(script)).current_dir(self.folder);
        command.env("RUNNER_TEMP", &self.files).env("GITHUB_SERVER_URL", "https://github.example");
        for name in ["GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_PATH"] {
            fs::write(self.files.join(name), "").expect("writes");
            command.env(name, self.files.join(name));
        }
        command
    }

    pub fn given(&self, name: &str) -> String {
        fs::read_to_string(self.files.join(name)).expect("is there")
    }

    pub fn cycle(&self, repository: &Repository, inputs: &[(&str, &str)]) -> Said {
        let mut command = self.command(repository, "cycle");
        command.envs([("BINARY", PROGRAM), ("MODE", "run"), ("FOLDER", "."), ("REMOTE", "origin")]);
        Said::of(&command.envs(inputs.iter().copied()).output().expect("bash runs"))
    }

    fn get(&self, repository: &Repository, inputs: &[(&str, &str)]) -> Said {
        let mut command = self.command(repository, "get");
        command.env("ACTION_PATH", root());
        command.envs(["ACTION_REPOSITORY", "ACTION_REF", "BINARY", "VERSION", "GH_TOKEN"].map(|name| (name, "")));
        command.envs([("RUNNER_OS", "Linux"), ("RUNNER_ARCH", "X64")]);
        Said::of(&command.envs(inputs.iter().copied()).output().expect("bash runs"))
    }
}

/// What the runner knows as commands (`ActionCommandManager.cs` of actions/runner).
const COMMANDS: [&str; 17] = [
    "set-env",
    "set-output",
    "save-state",
    "add-path",
    "add-mask",
    "add-matcher",
    "remove-matcher",
    "debug",
    "warning",
    "error",
    "notice",
    "group",
    "endgroup",
    "echo",
    "stop-commands",
    "internal-set-repo-path",
    "internal-set-env",
];

/// What a line of a log commands: `::name …::` after whitespace, or `##[name …]` anywhere (`ActionCommand.cs` there). `more` is another name.
fn command_of<'a>(line: &'a str, more: Option<&str>) -> Option<(&'a str, &'a str)> {
    let known = |name: &str| COMMANDS.contains(&name) || more == Some(name);
    let named = |told: &'a str| told.split(' ').next().filter(|name| known(name));
    let second = || {
        let (told, data) = line.trim_start().strip_prefix("::")?.split_once("::")?;
        Some((named(told)?, data))
    };
    let first = || {
        let (told, data) = line.split_once("##[")?.1.split_once(']')?;
        Some((named(told)?, data))
    };
    second().or_else(first)
}

/// The lines of a log that the runner obeys, with what they command.
pub fn obeyed(output: &str) -> Vec<(&str, &str)> {
    let mut ends: Option<&str> = None;
    let mut obeyed = Vec::new();
    for line in output.split(['\n', '\r']) {
        match (command_of(line, ends), ends) {
            (Some((name, _)), Some(end)) if name == end => ends = None,
            (Some(("stop-commands", word)), None) => {
                assert!(word.len() >= 16, "anybody could guess {word}");
                ends = Some(word);
            }
            (Some(command), None) => obeyed.push(command),
            _ => {}
        }
    }
    assert_eq!(ends, None, "commands stay switched off:\n{output}");
    obeyed
}

#[test]
fn the_runner_of_these_tests_obeys_what_the_real_one_obeys() {
    let word = "0123456789abcdef";
    let log = format!(
        "x\n::error title=a::b\n \t::add-mask::c\nx ##[group]d\n::unknown::e\nx ::error::f\n::error\r::notice::g\n\
         ::stop-commands::{word}\n::error::h\n##[error]i\n::{word}x::\n::{word}::\n\u{200b}::error::j\n##\u{200b}[error]k\n"
    );
    assert_eq!(obeyed(&log), [("error", "b"), ("add-mask", "c"), ("group", "d"), ("notice", "g")]);
}

#[test]
fn what_people_and_tools_say_is_no_workflow_command_and_no_markdown() {
    let runner = Runner::at("../origin.git".into());
    runner.publish(&[]);
    let clone = runner.clone();
    let step = Step::new(&runner.repository, &clone);
    let said = step.cycle(&runner.repository, &[]).ok();
    assert!(said.contains("gotcha"), "{said}");
    assert_eq!(obeyed(&said), []);
    let summary = step.given("GITHUB_STEP_SUMMARY");
    assert!(summary.contains("gotcha") && summary.contains("#### fractal status"), "{summary}");
    for line in summary.lines().filter(|line| !line.is_empty() && !line.starts_with("###")) {
        assert!(line.starts_with("    "), "{line:?} in {summary}");
    }
    assert!(runner.at_origin().iter().any(|name| name.starts_with("refs/heads/fractal/greet/")));
}

#[test]
fn a_run_in_another_clone_goes_on_where_the_last_one_ended() {
    let runner = Runner::at("../origin.git".into());
    runner.publish(&[]);
    let repository = &runner.repository;
    for name in ["runner", "later"] {
        if name == "later" {
            repository.git(&["clone", "--quiet", "../origin.git", "../later"]);
        }
        let clone = repository.beside(name);
        let said = Step::new(repository, &clone).cycle(repository, &[]).ok();
        assert_eq!(said.contains("put branch fractal/greet/"), name == "runner", "{name}: {said}");
        assert!(said.contains("waits        greet"), "{name}: {said}");
    }
    assert_eq!(runner.at_origin().iter().filter(|name| name.starts_with("refs/heads/fractal/")).count(), 1);
}

#[test]
fn each_zone_has_a_clone_of_its_own_and_only_the_last_one_pushes() {
    let runner = Runner::at("../origin.git".into());
    runner.publish(&[]);
    let repository = &runner.repository;
    let mut bundle = String::new();
    for mode in ["propose", "verify", "apply-dry-run", "apply"] {
        repository.git(&["clone", "--quiet", "../origin.git", &format!("../{mode}")]);
        let (clone, before) = (repository.beside(mode), runner.at_origin());
        let step = Step::new(repository, &clone);
        let said = step.cycle(repository, &[("MODE", mode), ("BUNDLE", &bundle)]).ok();
        assert_eq!(runner.at_origin() == before, mode != "apply", "{mode}: {said}");
        if let Some(handed) = outputs(&step).remove("bundle") {
            // What a job hands on is a file that the next one has elsewhere.
            bundle = format!("{mode}-handed");
            fs::copy(handed, clone.parent().expect("a folder").join(&bundle)).expect("copies");
            bundle = format!("../{bundle}");
        }
    }
    assert_eq!(runner.at_origin().iter().filter(|name| name.starts_with("refs/heads/fractal/")).count(), 1);
}

#[test]
fn what_was_recorded_here_is_sent_only_where_the_configuration_says_so() {
    let runner = Runner::at("../origin.git".into());
    runner.publish(&[]);
    let repository = &runner.repository;
    let clone = runner.clone();
    let step = Step::new(repository, &clone);
    let recorded = || runner.at_origin().iter().filter(|name| name.starts_with("refs/fractal/executions/")).count();
    let configured = fs::read_to_string(clone.join("fractal.toml")).expect("is there");
    let silent = configured.replace("[sync]\nremote = \"origin\"\n", "");
    let own = repository.hermetic(PROGRAM).current_dir(&clone).args(["exec", "greet", "--", "sue"]).status().expect("runs");
    assert!(own.success());
    for (config, mode, writers) in [(&silent, "run", 1), (&configured, "dry-run", 1), (&configured, "run", 2)] {
        fs::write(clone.join("fractal.toml"), config).expect("writes");
        let said = step.cycle(repository, &[("MODE", mode)]).ok();
        assert_eq!(recorded(), writers, "{mode}: {said}");
    }
}

#[test]
fn inputs_that_are_no_mode_no_remote_or_no_folder_are_refused() {
    let runner = Runner::at("../origin.git".into());
    runner.publish(&[]);
    let clone = runner.clone();
    let step = Step::new(&runner.repository, &clone);
    let before = runner.at_origin();
    for (name, value) in [
        ("MODE", "run --json"),
        ("MODE", "$(touch x)"),
        ("MODE", ""),
        ("REMOTE", "--upload-pack=touch x"),
        ("REMOTE", "ext::sh -c touch% x"),
        ("FOLDER", "nowhere"),
        ("BUNDLE", "a\nb"),
    ] {
        let said = step.cycle(&runner.repository, &[(name, value)]);
        assert_eq!(said.code, Some(2), "{name}={value}: {said:#?}");
        assert!(said.out.starts_with("::error title=Fractal::the input `"), "{said:#?}");
    }
    for mode in ["verify", "apply", "apply-dry-run"] {
        let said = step.cycle(&runner.repository, &[("MODE", mode), ("BUNDLE", "nowhere")]);
        assert_eq!(said.code, Some(2), "{mode}: {said:#?}");
        assert!(said.out.starts_with("::error title=Fractal::the input `bundle` names no file"), "{said:#?}");
    }
    assert!(!clone.join("x").exists());
    assert_eq!(runner.at_origin(), before);
    step.cycle(&runner.repository, &[("MODE", "install")]).ok();
    let said =
        Said::of(&Command::new(Path::new(step.given("GITHUB_PATH").trim()).join("fractal")).arg("-V").output().expect("runs"));
    assert!(said.ok().starts_with("fractal "));
}

/// `name=value` lines of a step.
fn outputs(step: &Step<'_>) -> BTreeMap<String, String> {
    let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_string(), value.to_string()));
    step.given("GITHUB_OUTPUT").lines().filter_map(pair).collect()
}

#[test]
fn a_program_is_brought_along_or_built_when_there_is_no_release() {
    let repository = Repository::greeter();
    let folder = repository.root();
    let step = Step::new(&repository, &folder);
    step.get(&repository, &[("BINARY", PROGRAM)]).ok();
    assert_eq!(outputs(&step).get("binary").map(String::as_str), Some(PROGRAM));
    step.get(&repository, &[]).ok();
    let told = outputs(&step);
    assert!(told["root"].starts_with(step.files.to_str().expect("UTF-8")) && !told.contains_key("binary"), "{told:?}");
    let digest = told["key"].strip_prefix("fractal-linux-x64-").expect("names the machine");
    assert!(digest.len() == 64, "{told:?}");
    for (name, value) in [("BINARY", "nowhere"), ("VERSION", "../1"), ("VERSION", "99.0.0")] {
        let said = step.get(&repository, &[(name, value)]);
        assert_eq!(said.code, Some(1), "{name}={value}: {said:#?}");
        assert!(said.out.contains("::error title=Fractal::"), "{said:#?}");
    }
}

/// Stands for GitHub's `gh`, which needs GitHub: gives files, writes down how it was asked, and agrees to attestations or not.
const GH: &str = r#"#!/usr/bin/env bash
case "$1 $2" in
    "release download")
        while [ $# -gt 0 ]; do if [ "$1" = --dir ]; then folder=$2; fi; shift; done
        cp "$RELEASE/$NAME" "$RELEASE/SHA256SUMS" "$folder" ;;
    "attestation verify")
        printf '%s\n' "$@" >"$RELEASE/asked"
        exit "$AGREES" ;;
esac
"#;

#[test]
fn a_release_is_used_only_with_its_checksum_and_its_attestation() {
    let repository = Repository::greeter();
    let (folder, release) = (repository.root(), repository.beside("release"));
    fs::create_dir_all(repository.beside("bin")).expect("makes a folder");
    fs::create_dir_all(&release).expect("makes a folder");
    executable(&repository.beside("bin/gh"), GH);
    let name = "fractal-linux-x64";
    executable(&release.join(name), "#!/bin/sh\necho released\n");
    let sums = Command::new("sha256sum").arg(name).current_dir(&release).output().expect("runs");
    fs::write(release.join("SHA256SUMS"), &sums.stdout).expect("writes");
    let step = Step::new(&repository, &folder);
    let path =
        format!("{}:{}", repository.beside("bin").display(), text(std::env::var_os("PATH").expect("is set").as_encoded_bytes()));
    let commit = "27d5ce7f107fe9357f9df03efb73ab90386fccae";
    let get = |agrees: &str| {
        let inputs = [("ACTION_REPOSITORY", "owner/fractal"), ("ACTION_REF", commit), ("PATH", &path), ("NAME", name)];
        let release = release.to_str().expect("UTF-8");
        step.get(&repository, &[&inputs[..], &[("RELEASE", release), ("AGREES", agrees)]].concat())
    };
    get("0").ok();
    let binary = outputs(&step).remove("binary").expect("a program");
    assert_eq!(Said::of(&Command::new(binary).output().expect("runs")).ok(), "released\n");
    let asked = fs::read_to_string(release.join("asked")).expect("was asked");
    let tag = format!("refs/tags/v{}", env!("CARGO_PKG_VERSION"));
    for wanted in
        ["--repo\nowner/fractal\n", "--deny-self-hosted-runners\n", commit, &tag, "owner/fractal/.github/workflows/release.yml"]
    {
        assert!(asked.contains(wanted), "`{wanted}` is not in {asked}");
    }
    let refused = |said: Said| {
        assert_eq!(said.code, Some(1), "{said:#?}");
        assert!(said.out.contains("nothing of it was run") && outputs(&step).is_empty(), "{said:#?}");
    };
    refused(get("1"));
    executable(&release.join(name), "#!/bin/sh\necho forged\n");
    refused(get("0"));
}
