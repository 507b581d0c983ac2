//! The workflow in three zones that other repositories call, below a runner of workflows on this machine.

use std::fs;

use crate::action::{CREDENTIAL, Runner, root};
use crate::action_lint::ACTION;
use crate::common::Said;
use crate::peers::python_program;

/// Calls the workflow that stands beside `action.yml`.
const CALLER: &str = "\
name: tools
on:
  workflow_dispatch:
permissions: {}
jobs:
  fractal:
    uses: CALLED
    permissions:
      contents: write
    with:
      apply: true
    secrets:
      model-key: ${{ secrets.KEY }}
";

#[test]
fn under_act_a_workflow_that_calls_the_three_zones_gives_a_key_to_the_one_that_asks_and_a_token_to_the_one_that_writes() {
    let Some(act) = python_program("act") else { return };
    let runner = Runner::over_http(&[]);
    let (name, commit) = ACTION.split_once('@').expect("a commit");
    let written = runner.repository.read(".github/workflows/fractal.yml");
    runner.publish(&[(&written, &CALLER.replace("CALLED", &format!("{name}/.github/workflows/zones.yml@{commit}")))]);
    let mut command = runner.act_command(&act);
    // This runner does not know what stands for the repository of a workflow yet.
    let zones = fs::read_to_string(root().join(".github/workflows/zones.yml")).expect("is there");
    assert_eq!(zones.matches("uses: $/\n        with:\n").count(), 3);
    let with = format!("uses: {ACTION}\n        with:\n          binary: {}\n", runner.told_on().display());
    let zones = zones.replace("uses: $/\n        with:\n", &with);
    let called = runner.repository.beside("action/.github/workflows");
    fs::create_dir_all(&called).expect("makes a folder");
    fs::write(called.join("zones.yml"), &zones).expect("writes");
    runner.artifacts(&mut command, &zones);
    let said = Said::of(&command.args(["-s", "KEY=k3y"]).output().expect("act runs"));
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(runner.at_origin().iter().any(|name| name.starts_with("refs/heads/fractal/greet/")), "{said:#?}");
    let told = fs::read_to_string(runner.repository.beside("told")).expect("was started");
    let zones = |secret: &str| -> Vec<String> {
        let started = told.split("started: ").filter_map(|started| started.strip_prefix("run --zone "));
        started.filter(|started| started.contains(secret)).filter_map(|it| Some(it.split_once(' ')?.0.to_string())).collect()
    };
    assert_eq!(zones(""), ["propose", "verify", "apply"], "{told}");
    assert_eq!((zones("k3y"), zones(CREDENTIAL)), (vec!["propose".to_string()], vec!["apply".to_string()]), "{told}");
    assert!(!said.out.contains("k3y") && !said.out.contains(CREDENTIAL), "{}", said.out);
}
