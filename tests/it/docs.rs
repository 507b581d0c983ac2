//! Documents that are made from the code must say what the code says.
//!
//! `FRACTAL_UPDATE=1 cargo test --test it docs` writes them; without it a stale one is a failure.

use std::path::Path;

const BEGIN: &str = "<!-- help -->";
const END: &str = "<!-- /help -->";

/// Compares the file with what it should be, or writes it.
fn up_to_date(name: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    if found == wanted {
        return;
    }
    if std::env::var_os("FRACTAL_UPDATE").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("makes the folder");
        return std::fs::write(&path, wanted).expect("writes the file");
    }
    let line = found.lines().zip(wanted.lines()).take_while(|(a, b)| a == b).count() + 1;
    panic!("`{name}` is stale from line {line} on; `FRACTAL_UPDATE=1 cargo test --test it docs` writes it again");
}

/// The document with `help` between the markers; `None` when they are not there, once and in this order.
fn with_help(document: &str, help: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    let help: Vec<&str> = help.trim().lines().map(str::trim_end).collect();
    (!after.contains(BEGIN)).then(|| format!("{before}{BEGIN}\n\n```text\n{}\n```\n\n{END}{after}", help.join("\n")))
}

#[test]
fn the_readme_holds_the_help_of_the_command() {
    let readme = include_str!("../../README.md");
    up_to_date("README.md", &with_help(readme, &fractal::cli::help()).expect("the markers of the help"));
}

#[test]
fn the_reference_of_the_configuration_is_up_to_date() {
    up_to_date("templates/init/fractal.toml", &fractal::config::reference());
}

#[test]
fn the_schema_of_the_configuration_is_up_to_date() {
    let schema = serde_json::to_string_pretty(&fractal::config::Config::schema()).expect("JSON");
    up_to_date("templates/init/fractal.schema.json", &format!("{schema}\n"));
}

/// The workflow in three zones for callers in other repositories: what `init` writes, with the action of the same commit, the permissions of
/// the caller, and what changes from caller to caller as inputs.
fn called(template: &str) -> String {
    let told = "\
# Fractal in three zones, for a workflow of your own to call, pinned to a commit; README.md (Three zones) has the few lines. Made from
# `templates/init/zones.yml`, where each part is explained. The action is the one of the same commit as this file.
#
# `propose` and `verify` may only read, whatever the caller grants. `apply` may do what the caller grants: `contents: read` for dry runs.
name: zones

on:
  workflow_call:
    inputs:
      apply:
        description: Do what was found out, and not only say what would be done
        type: boolean
        required: false
        default: false
    secrets:
      model-key:
        description: A key for the model of `[model]`; only `propose` sees it
        required: false

";
    let (_, rest) = template.split_once("permissions: {}\n\n").expect("nothing is granted at first");
    let grants = "    permissions:\n      contents: read # 1.";
    let from_caller = "    # What the caller grants: it is the caller who says whether anything may be written. A job of a called workflow that names more
    # than its caller grants is not started at all, so this one names nothing.
    # zizmor: ignore[excessive-permissions]\n";
    let mut lines = Vec::new();
    let (before, after) = rest.split_once(grants).expect("apply has permissions");
    let (_, after) = after.split_once('\n').expect("steps");
    lines.extend([told, before, from_caller, after]);
    let changes = [
        ("        uses: ACTION\n", "        uses: $/\n"),
        ("      - uses: ACTION\n", "      - uses: $/\n"),
        ("mode: apply-dry-run # 2. `apply`", "mode: ${{ inputs.apply && 'apply' || 'apply-dry-run' }}"),
        (
            "env: # a key for a model belongs here, and nowhere else\n",
            "env:\n          FRACTAL_MODEL_KEY: ${{ secrets.model-key }}\n",
        ),
    ];
    changes.into_iter().fold(lines.concat(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    })
}

#[test]
fn the_workflow_for_callers_is_the_one_that_init_writes() {
    up_to_date(".github/workflows/zones.yml", &called(include_str!("../../templates/init/zones.yml")));
}

#[test]
fn a_stale_help_is_replaced_and_missing_markers_are_noticed() {
    let document = format!("a\n{BEGIN}\nold\n{END}\nb");
    assert_eq!(with_help(&document, "new \n"), Some(format!("a\n{BEGIN}\n\n```text\nnew\n```\n\n{END}\nb")));
    assert_eq!(with_help("a", "new"), None);
    assert_eq!(with_help(&format!("{document}{BEGIN}"), "new"), None);
}
