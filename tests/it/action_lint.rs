//! What linters say of the workflows, of `action.yml` and its scripts, and of what `fractal init --workflow` writes. The linters are not ours;
//! each at its strictest, so that there is nothing to choose.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::{Said, World};
use crate::peers::{python, python_program};

/// A commit that somebody might name.
pub const ACTION: &str = "owner/fractal@27d5ce7f107fe9357f9df03efb73ab90386fccae";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Without whatever the environment tells linters.
fn said(folder: &Path, program: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).current_dir(folder).args(arguments);
    Said::of(&command.output().expect("the linter runs"))
}

struct Linters {
    zizmor: PathBuf,
    jactionlint: PathBuf,
    shellcheck: PathBuf,
}

impl Linters {
    #[track_caller]
    fn found() -> Option<Linters> {
        Some(Linters {
            zizmor: python_program("zizmor")?,
            jactionlint: python_program("jactionlint")?,
            shellcheck: python_program("shellcheck")?,
        })
    }

    /// On what is below a folder. `auditor` is the strictest persona.
    fn zizmor(&self, folder: &Path, inputs: &[&str]) -> Said {
        said(folder, &self.zizmor, &[&["--offline", "--no-progress", "--persona", "auditor"], inputs].concat())
    }

    /// On all that is in the repository around a folder. `pedantic` has every rule, and warnings count.
    fn jactionlint(&self, folder: &Path, more: &[&str]) -> Said {
        let shellcheck = format!("--shellcheck={}", self.shellcheck.display());
        let all = ["--oneline", "--no-online", "--profile=pedantic", "--strict-exit", "--no-ignores", &shellcheck];
        said(folder, &self.jactionlint, &[&all, more].concat())
    }
}

/// A repository with a workflow and a copy of `action.yml`, as they are or with something planted.
fn planted(workflow: &str, action: (&str, &str)) -> World {
    let world = World::empty();
    world.write(".github/workflows/some.yml", workflow);
    let text = fs::read_to_string(root().join("action.yml")).expect("is there");
    assert!(text.contains(action.0));
    world.write("action.yml", text.replacen(action.0, action.1, 1));
    world
}

#[test]
fn the_workflows_the_action_and_its_scripts_satisfy_the_linters() {
    let Some(linters) = Linters::found() else { return };
    linters.zizmor(root(), &["action.yml", ".github/workflows"]).ok();
    // One exception, that `zones.yml` argues: what may be written is for its caller to say, and this linter wants it at the top of the file.
    let told = linters.jactionlint(root(), &[]).out;
    let told: Vec<&str> = told.lines().collect();
    let excepted = [".github/workflows/zones.yml", "no top-level \"permissions:\"", "[excessive-permissions]"];
    assert!(matches!(told[..], [only] if excepted.iter().all(|part| only.contains(part))), "{told:#?}");
    let scripts = [".github/action/get", ".github/action/cycle", ".ci/run", ".ci/peers"];
    said(root(), &linters.shellcheck, &scripts).ok();
}

#[test]
fn the_workflows_that_init_writes_satisfy_the_linters() {
    let Some(linters) = Linters::found() else { return };
    for options in [&[][..], &["--zones"]] {
        let world = World::empty();
        world.write("report.sh", "#!/bin/sh\necho report\n");
        world.commit("a tool");
        world.fractal(&[&["init", "--workflow", "--action", ACTION], options].concat()).ok();
        linters.zizmor(world.repo(), &["."]).ok();
        // A comment with the version belongs beside a commit. Only a released program knows of which version its commit is, and writes that;
        // here a person names the commit, and knows what it is.
        assert_eq!(linters.jactionlint(world.repo(), &["--ignore=missing-version-comment"]).ok(), "");
    }
}

#[test]
fn the_linters_catch_an_unpinned_action_and_an_expression_in_a_script() {
    let Some(linters) = Linters::found() else { return };
    let good = fs::read_to_string(root().join(".github/workflows/ci.yml")).expect("is there");
    let as_it_is = ("name: Fractal", "name: Fractal");
    let world = planted(&good, as_it_is);
    linters.zizmor(world.repo(), &["."]).ok();
    linters.jactionlint(world.repo(), &[]).ok();

    let pin = "@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1";
    assert!(good.contains(pin) && good.contains("run: bash .ci/run"));
    let unpinned = good.replace(pin, "@v7");
    let injected = good.replace("run: bash .ci/run", "run: echo ${{ github.head_ref }}");
    let in_action = ("run: bash \"$ACTION_PATH/.github/action/cycle\"", "run: echo ${{ inputs.mode }}");
    let unpinned_in_action = ("@27d5ce7f107fe9357f9df03efb73ab90386fccae # v5.0.5", "@v5");
    for (workflow, action, rule) in [
        (&unpinned, as_it_is, "unpinned-uses"),
        (&injected, as_it_is, "template-injection"),
        (&good, unpinned_in_action, "unpinned-uses"),
        (&good, in_action, "template-injection"),
    ] {
        let world = planted(workflow, action);
        for told in [linters.zizmor(world.repo(), &["."]), linters.jactionlint(world.repo(), &[])] {
            assert!(told.code != Some(0) && told.out.contains(&format!("[{rule}]")), "{told:#?}");
        }
    }
}

#[test]
fn init_writes_a_workflow_once_and_only_one_that_is_pinned() {
    let world = World::empty();
    world.write("report.sh", "#!/bin/sh\necho report\n");
    world.commit("a tool");
    for action in ["owner/fractal@v1", "owner/fractal", "owner/fractal@27D5", "../elsewhere", "./a b", "./a\n    - run: x"] {
        world.fractal(&["init", "--workflow", "--action", action]).refused(2, &["is no action that stays what it is"]);
    }
    world.fractal(&["init", "--workflow"]).refused(2, &["--action OWNER/NAME@COMMIT"]);
    assert!(!world.repo().join("fractal.toml").exists());

    world.fractal(&["init"]).ok();
    let configured = fs::read(world.repo().join("fractal.toml")).expect("is there");
    let said = world.fractal(&["init", "--workflow", "--action", ACTION]).ok();
    assert!(said.contains("fractal.toml is there and stays as it is"), "{said}");
    let written = fs::read_to_string(world.repo().join(".github/workflows/fractal.yml")).expect("is there");
    assert!(written.contains(&format!("uses: {ACTION}\n")) && written.contains("mode: dry-run"), "{written}");
    assert_eq!(fs::read(world.repo().join("fractal.toml")).expect("is there"), configured);
    world.unchanged_by(|| {
        world.fractal(&["init", "--workflow", "--action", ACTION]).refused(2, &["fractal.yml", "exists already"]);
    });
}

/// Reads from standard input and ends with 1 when the schema of CycloneDX is not kept.
const JUDGE: &str = "import sys\nfrom cyclonedx.schema import SchemaVersion\nfrom cyclonedx.validation.json import JsonStrictValidator\n\
    sys.exit(1 if JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read()) else 0)\n";

#[test]
fn what_a_release_is_made_of_is_told_as_cyclonedx_demands_and_leaves_out_what_only_tests_need() {
    let Some(python) = python() else { return };
    let told = Said::of(&Command::new(&python).arg(root().join(".ci/sbom")).output().expect("runs")).ok();
    let judge = |told: &str| {
        let mut judge = Command::new(&python);
        let mut judge = judge.args(["-c", JUDGE]).stdin(Stdio::piped()).spawn().expect("runs");
        judge.stdin.take().expect("is piped").write_all(told.as_bytes()).expect("is read");
        judge.wait().expect("ends").code()
    };
    assert_eq!((judge(&told), judge(&told.replace("\"bom-ref\"", "\"ref\""))), (Some(0), Some(1)));
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    let crates = told["components"].as_array().expect("a list");
    let named = |name: &str| crates.iter().find(|one| one["name"] == name);
    assert_eq!((named("proptest"), &told["metadata"]["component"]["name"]), (None, &serde_json::json!("fractal")));
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("is there");
    for name in ["git2", "cc"] {
        let checksum = named(name).expect("is used")["hashes"][0]["content"].as_str().expect("a checksum");
        assert!(lock.contains(&format!("checksum = \"{checksum}\"")), "{name}");
    }
}
