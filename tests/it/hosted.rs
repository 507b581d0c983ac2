//! The whole loop with its proposals on GitHub: what is opened, what lands it, what people do with it, and how it is undone.

use std::process::Output;

use serde_json::Value;

use crate::github::{GitHub, PAT, Protection, REPOSITORY, Trouble};
use crate::support::{Repository, Told, text};

/// A repository whose remote is the model.
struct Hosted {
    github: GitHub,
    repository: Repository,
}

impl Hosted {
    fn with(repository: Repository, forge: &str) -> Hosted {
        let github = GitHub::start();
        // The program has the machine's clock.
        github.pass(jiff::Timestamp::now().as_second() - github.now().as_second());
        let address = github.address.replace("http://", &format!("http://x-access-token:{PAT}@"));
        repository.git(&["remote", "add", "origin", &format!("{address}/{REPOSITORY}.git")]);
        let forge = format!(
            "[forge]\nkind = \"github\"\nrepository = \"{REPOSITORY}\"\nurl = \"{}\"\ntoken = \"pat\"\n{forge}\n",
            github.address
        );
        let config = repository.read("fractal.toml").replace("[deploy]\n", "[deploy]\nremote = \"origin\"\n");
        repository.configure(&format!("{config}\n{forge}"));
        repository.commit("proposals go to GitHub");
        repository.git(&["push", "--quiet", "--force", "origin", "main"]);
        github.drain();
        Hosted { github, repository }
    }

    fn greeter(forge: &str) -> Hosted {
        Hosted::with(Repository::greeter(), forge)
    }

    fn fractal(&self, arguments: &[&str]) -> Output {
        let mut command = self.repository.hermetic(env!("CARGO_BIN_EXE_fractal"));
        command.args(arguments).env("FRACTAL_GITHUB_TOKEN", PAT).output().expect("runs")
    }

    fn run(&self) -> Told {
        // Ours and theirs go on together.
        self.github.pass((jiff::Timestamp::now().as_second() - self.github.now().as_second()).max(0));
        let done = self.fractal(&["run", "--json"]);
        assert!(done.status.success(), "{}{}", text(&done.stdout), text(&done.stderr));
        Told::parse(&text(&done.stdout))
    }

    fn head(&self, number: u64) -> String {
        self.github.change(|repository| repository.head(&repository.pulls[&number]))
    }

    fn passes(&self, number: u64) {
        self.github.check(&self.head(number), "tests", Some(true));
    }

    fn body(&self, number: u64) -> String {
        self.github.change(|repository| repository.pulls[&number].body.clone().unwrap_or_default())
    }

    fn numbers(&self) -> Vec<u64> {
        self.github.change(|repository| repository.pulls.keys().copied().collect())
    }

    fn check(&self, sha: &str, name: &str) -> Option<(String, String)> {
        self.github.change(|repository| {
            let of = repository.statuses.iter().rfind(|status| status.sha == sha && status.context == name)?;
            Some((of.state.clone(), of.description.clone().unwrap_or_default()))
        })
    }

    /// As a person does on GitHub's page.
    fn close(&self, number: u64) {
        let now = self.github.now();
        let head = self.head(number);
        self.github.change(|repository| {
            let pull = repository.pulls.get_mut(&number).expect("is there");
            (pull.closed, pull.head) = (Some(now), head);
        });
    }

    /// Requests of one cycle, by method.
    fn counted(&self) -> (usize, usize) {
        let all = self.github.drain();
        let reads = all.iter().filter(|exchange| exchange.method == "GET").count();
        (reads, all.len() - reads)
    }

    /// What the base is, here and there.
    fn tips(&self) -> (String, String) {
        let there = self.github.world().repository.bare.branch("main").expect("has a base");
        (self.repository.tip("main"), there)
    }
}

#[test]
fn a_failure_becomes_a_pull_request_that_lands_when_its_checks_pass_and_is_watched_to_its_end() {
    let hosted = Hosted::greeter("");
    let told = hosted.run();
    assert_eq!(hosted.numbers(), [1], "{:#?}", told.0);
    assert!(told.waiting().contains("#1: no check has looked at it"), "{}", told.waiting());
    let body = hosted.body(1);
    for wanted in ["### Evidence", "### Controls", "`git revert ", "lands by itself when the checks here pass"] {
        assert!(body.contains(wanted), "{wanted}: {body}");
    }
    let head = hosted.head(1);
    assert_eq!(hosted.check(&head, "fractal/gate").map(|(_, said)| said.starts_with("no check has looked")), Some(true));
    // Nothing has changed: nothing is said again.
    hosted.github.drain();
    hosted.run();
    let (_, changes) = hosted.counted();
    assert_eq!(changes, 0);
    hosted.github.check(&head, "tests", None);
    assert!(hosted.run().waiting().contains("#1: still to come: `tests`"));
    hosted.passes(1);
    hosted.run();
    assert_eq!(hosted.repository.stage(), "watching", "{:#?}", hosted.repository.improvement());
    let (here, there) = hosted.tips();
    assert_eq!(here, there);
    // The commit that was validated is below a merge commit with the same tree.
    assert_eq!(hosted.repository.git(&["rev-parse", "main^2"]), head);
    assert_eq!(hosted.repository.git(&["rev-parse", "main^{tree}"]), hosted.repository.git(&["rev-parse", &format!("{head}^{{tree}}")]));
    assert_eq!(hosted.check(&head, "fractal/monitor").map(|(state, _)| state).as_deref(), Some("pending"));
    hosted.repository.greets_well();
    hosted.run();
    assert_eq!(hosted.repository.stage(), "kept");
    assert_eq!(hosted.check(&head, "fractal/monitor").map(|(state, _)| state).as_deref(), Some("success"));
    hosted.github.drain();
    hosted.run();
    let (reads, changes) = hosted.counted();
    assert_eq!(changes, 0);
    assert!(reads <= 4, "{reads} requests of an idle cycle");
}

#[test]
fn a_revert_is_a_pull_request_too_and_each_names_the_other() {
    let hosted = Hosted::greeter("without_checks = true\n");
    hosted.run();
    assert_eq!(hosted.repository.stage(), "watching", "{:#?}", hosted.repository.improvement());
    let landed = hosted.repository.tip("main");
    let done = hosted.fractal(&["revert", &hosted.repository.id(), "--json"]);
    assert!(done.status.success(), "{}{}", text(&done.stdout), text(&done.stderr));
    assert_eq!(hosted.repository.stage(), "reverted", "{:#?}", hosted.repository.improvement());
    assert_eq!(hosted.numbers(), [1, 2]);
    let (here, there) = hosted.tips();
    assert!(here == there && here != landed);
    assert_eq!(
        hosted.repository.git(&["rev-parse", "main^{tree}"]),
        hosted.repository.git(&["rev-parse", &format!("{landed}^1^{{tree}}")])
    );
    assert!(hosted.body(2).contains("by #1"), "{}", hosted.body(2));
    let said = hosted.github.change(|repository| {
        repository.comments.iter().filter(|comment| comment.on == 1).map(|comment| comment.body.clone()).collect::<String>()
    });
    assert!(said.contains("#2 reverts this"), "{said}");
    assert!(hosted.repository.git(&["log", "--format=%B", "main"]).contains("This reverts commit"));
    hosted.run();
    assert_eq!(hosted.numbers(), [1, 2]);
}

#[test]
fn what_a_person_closes_stays_closed_and_what_they_commit_makes_it_theirs() {
    let hosted = Hosted::greeter("");
    hosted.run();
    hosted.close(1);
    let told = hosted.run();
    assert!(told.reconciled().contains("a person closed #1"), "{}", told.reconciled());
    assert_eq!(hosted.repository.stage(), "closed");
    hosted.repository.exec("greet", &["crash9"]);
    hosted.run();
    assert_eq!(hosted.numbers(), [1], "closed, it stays closed");

    let hosted = Hosted::greeter("");
    hosted.run();
    let branch = hosted.repository.branches().into_iter().find(|name| name.starts_with("fractal/")).expect("a branch");
    hosted.github.push(&branch, &branch, &[("greet.sh", "echo mine")], "mine");
    hosted.passes(1);
    hosted.run();
    assert_eq!(hosted.repository.stage(), "closed");
    assert!(hosted.github.change(|repository| repository.pulls[&1].closed.is_none()), "it is theirs, and nobody closes it");
}

#[test]
fn people_hold_it_by_a_label_and_what_they_write_around_our_text_stays() {
    let hosted = Hosted::greeter("");
    hosted.run();
    hosted.passes(1);
    let ours = hosted.body(1);
    hosted.github.change(|repository| {
        let pull = repository.pulls.get_mut(&1).expect("is there");
        pull.labels.insert("fractal:hold".into());
        pull.body = Some(format!("Ana: wait for me\r\n\r\n{}", ours.replace("### Evidence", "### Old evidence")));
    });
    let told = hosted.run();
    assert!(told.waiting().contains("a person holds it"), "{}", told.waiting());
    assert_eq!(hosted.body(1), format!("Ana: wait for me\n\n{ours}"));
    hosted.github.change(|repository| repository.pulls.get_mut(&1).expect("is there").labels.clear());
    hosted.run();
    assert_eq!(hosted.repository.stage(), "watching");
}

#[test]
fn whatever_goes_wrong_on_the_way_it_is_opened_and_landed_once() {
    for (method, path, kind) in [
        ("POST", "/pulls", Trouble::Error { status: 500, obeyed: true }),
        ("POST", "/pulls", Trouble::Error { status: 500, obeyed: false }),
        ("POST", "/pulls", Trouble::Drop { obeyed: true }),
        ("PUT", "/merge", Trouble::Error { status: 502, obeyed: true }),
        ("PUT", "/merge", Trouble::Error { status: 500, obeyed: false }),
        ("PUT", "/merge", Trouble::BaseMoves),
        ("PUT", "/merge", Trouble::Drop { obeyed: true }),
    ] {
        let hosted = Hosted::greeter("without_checks = true\n");
        hosted.github.trouble(method, path, kind.clone());
        for _ in 0..3 {
            hosted.run();
        }
        assert_eq!(hosted.repository.stage(), "watching", "{method} {path} {kind:?}: {:#?}", hosted.repository.improvement());
        assert_eq!(hosted.numbers(), [1], "{method} {path} {kind:?}");
        let (here, there) = hosted.tips();
        assert_eq!(here, there, "{method} {path} {kind:?}");
    }
}

#[test]
fn a_base_that_moves_is_built_upon_and_the_pull_request_lives_on() {
    let hosted = Hosted::greeter("");
    hosted.run();
    let before = hosted.head(1);
    let theirs = hosted.github.push("main", "main", &[("README.md", "more words")], "more words");
    hosted.run();
    assert_eq!(hosted.numbers(), [1]);
    assert_ne!(hosted.head(1), before);
    assert_eq!(hosted.repository.git(&["rev-parse", &format!("{}^", hosted.head(1))]), theirs);
    hosted.passes(1);
    hosted.run();
    assert_eq!(hosted.repository.stage(), "watching");
}

#[test]
fn no_more_are_open_than_people_want() {
    let tools = ["ash", "birch", "cedar"];
    let config = format!("{}[deploy]\nland_reverts = true\n\n", crate::support::MOMENTS);
    let hosted = Hosted::with(Repository::greeting(&tools, &config), "per_hour = 9\n");
    let told = hosted.run();
    let waiting: Vec<&Value> = told.of("waiting").filter(|event| event["reason"].to_string().contains("open_max")).collect();
    assert_eq!((hosted.numbers().len(), waiting.len()), (2, 1), "{:#?}", told.0);
    hosted.passes(1);
    hosted.run();
    hosted.run();
    assert_eq!(hosted.numbers().len(), 3, "one has landed, so another one may be opened");
}

#[test]
fn the_forge_lands_by_itself_what_only_waits_for_demanded_checks() {
    let hosted = Hosted::greeter("automatic = true\n");
    let rules = Protection { checks: ["tests".to_string()].into(), ..Protection::default() };
    hosted.github.change(|repository| {
        repository.protections.insert("main".into(), rules);
    });
    hosted.run();
    assert!(hosted.github.change(|repository| repository.pulls[&1].auto.is_some()), "it was asked to");
    hosted.passes(1);
    let told = hosted.run();
    assert!(told.reconciled().contains("the forge landed it"), "{}", told.reconciled());
    assert_eq!(hosted.repository.stage(), "watching");
}
