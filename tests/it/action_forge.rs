//! The workflow that `init` wrote, below act, against the model of GitHub: from a recorded failure to a pull request in one job, with nothing
//! but the job's own token.

use crate::action::{PROGRAM, Runner};
use crate::github::{GitHub, REPOSITORY, WORKFLOW_TOKEN};
use crate::peers::python_program;

#[test]
fn under_act_the_workflow_that_init_wrote_opens_a_pull_request_with_the_token_of_its_job() {
    let Some(act) = python_program("act") else { return };
    let github = GitHub::start();
    // The program has the machine's clock.
    github.pass(jiff::Timestamp::now().as_second() - github.now().as_second());
    let mut runner = Runner::at(format!("{}/{REPOSITORY}.git", github.address));
    (runner.server, runner.token) = (github.address.clone(), WORKFLOW_TOKEN);
    let config = runner.repository.read("fractal.toml");
    let forge = format!("[forge]\nkind = \"github\"\nrepository = \"{REPOSITORY}\"\nurl = \"{}\"\n", github.address);
    runner.repository.configure(&format!("{config}\n{forge}"));
    let run = format!("mode: run\n          binary: {PROGRAM}");
    let permissions = "contents: write\n      pull-requests: write\n      issues: write\n      checks: write";
    runner.publish(&[("mode: dry-run", &run), ("contents: read", permissions)]);
    // What is at the remote so far is on GitHub, as if it had been pushed there all along.
    let there = github.folder().join(format!("{REPOSITORY}.git"));
    let refs = ["+refs/heads/main:refs/heads/main", "+refs/fractal/*:refs/fractal/*"];
    runner.repository.git(&["-C", "../origin.git", "push", "--quiet", there.to_str().expect("UTF-8"), refs[0], refs[1]]);
    let said = runner.act(&act);
    assert_eq!(said.code, Some(0), "{said:#?}");
    for told in ["detected     greet", "accepted     greet", "#1: ", "### Fractal: run", "Job succeeded"] {
        assert!(said.out.contains(told), "`{told}` is not in {}", said.out);
    }
    assert!(!said.out.contains(WORKFLOW_TOKEN), "{}", said.out);
    let (pull, head, checks) = github.change(|repository| {
        assert_eq!(repository.pulls.len(), 1);
        let pull = repository.pulls[&1].clone();
        let head = repository.head(&pull);
        let checks: Vec<String> =
            repository.check_runs.iter().filter(|run| run.sha == head).map(|run| run.name.clone()).collect();
        (pull, head, checks)
    });
    assert_eq!((pull.author.as_str(), pull.base.as_str(), pull.closed), ("github-actions[bot]", "main", None));
    assert!(pull.branch.starts_with("fractal/greet/"), "{pull:#?}");
    assert!(pull.body.is_some_and(|body| body.contains("### Evidence") && body.contains("`greet`")));
    assert_eq!(checks, ["fractal/gate"]);
    // One commit on the base that was tested, and nothing has landed.
    let world = github.world();
    let bare = &world.repository.bare;
    let main = bare.branch("main").expect("has a base");
    assert_eq!(bare.ask(&["rev-parse", &format!("{head}^")]).map(|parent| parent.trim().to_string()), Some(main));
    assert!(bare.ask(&["rev-parse", "--verify", "refs/fractal/log"]).is_some());
}
