//! The whole loop with its proposals on GitHub: what is opened, what lands it, what people do with it, and how it is undone.

use std::process::Output;

use serde_json::Value;

use crate::github::{GitHub, PAT, Protection, REPOSITORY, Trouble, WORKFLOW_TOKEN};
use crate::support::{Repository, Told, tell, text};

/// A repository whose remote is the model.
pub struct Hosted {
    pub github: GitHub,
    pub repository: Repository,
    pub token: &'static str,
}

impl Hosted {
    pub fn with(repository: Repository, forge: &str) -> Hosted {
        let github = GitHub::start();
        // The program has the machine's clock.
        github.pass(jiff::Timestamp::now().as_second() - github.now().as_second());
        let address = github.address.replace("http://", &format!("http://x-access-token:{PAT}@"));
        repository.git(&["remote", "add", "origin", &format!("{address}/{REPOSITORY}.git")]);
        let forge = format!(
            "[forge]\nkind = \"github\"\nrepository = \"{REPOSITORY}\"\nurl = \"{}\"\ntoken = \"pat\"\npace = \"1ms\"\n{forge}\n",
            github.address
        );
        let config = repository.read("fractal.toml").replace("[deploy]\n", "[deploy]\nremote = \"origin\"\n");
        repository.configure(&format!("{config}\n{forge}"));
        repository.commit("proposals go to GitHub");
        repository.git(&["push", "--quiet", "--force", "origin", "main"]);
        github.drain();
        Hosted { github, repository, token: PAT }
    }

    /// The same with the token of a workflow, which may report checks with texts.
    pub fn by_workflow(self) -> Hosted {
        let config = self.repository.read("fractal.toml").replace("token = \"pat\"", "token = \"github-token\"");
        self.repository.configure(&config);
        self.repository.commit("by a workflow");
        self.repository.git(&["push", "--quiet", "origin", "main"]);
        self.github.drain();
        Hosted { token: WORKFLOW_TOKEN, ..self }
    }

    pub fn greeter(forge: &str) -> Hosted {
        Hosted::with(Repository::greeter(), forge)
    }

    pub fn fractal(&self, arguments: &[&str]) -> Output {
        let mut command = self.repository.hermetic(env!("CARGO_BIN_EXE_fractal"));
        command.args(arguments).env("FRACTAL_GITHUB_TOKEN", self.token).output().expect("runs")
    }

    pub fn run(&self) -> Told {
        // Ours and theirs go on together.
        self.github.pass((jiff::Timestamp::now().as_second() - self.github.now().as_second()).max(0));
        let done = self.fractal(&["run", "--json"]);
        assert!(done.status.success(), "{}{}", text(&done.stdout), text(&done.stderr));
        Told::parse(&text(&done.stdout))
    }

    pub fn head(&self, number: u64) -> String {
        self.github.change(|repository| repository.head(&repository.pulls[&number]))
    }

    pub fn passes(&self, number: u64) {
        self.github.check(&self.head(number), "tests", Some(true));
    }

    pub fn body(&self, number: u64) -> String {
        self.github.change(|repository| repository.pulls[&number].body.clone().unwrap_or_default())
    }

    pub fn numbers(&self) -> Vec<u64> {
        self.github.change(|repository| repository.pulls.keys().copied().collect())
    }

    pub fn check(&self, sha: &str, name: &str) -> Option<(String, String)> {
        self.github.change(|repository| {
            let of = repository.statuses.iter().rfind(|status| status.sha == sha && status.context == name)?;
            Some((of.state.clone(), of.description.clone().unwrap_or_default()))
        })
    }

    /// As a person does on GitHub's page.
    pub fn close(&self, number: u64) {
        let now = self.github.now();
        let head = self.head(number);
        self.github.change(|repository| {
            let pull = repository.pulls.get_mut(&number).expect("is there");
            (pull.closed, pull.head) = (Some(now), head);
        });
    }

    /// Requests of one cycle, by method.
    pub fn counted(&self) -> (usize, usize) {
        let all = self.github.drain();
        let reads = all.iter().filter(|exchange| exchange.method == "GET").count();
        (reads, all.len() - reads)
    }

    fn tell_requests(&self, what: &str) {
        let (reads, changes) = self.counted();
        tell(&format!("{what}: {reads} reads, {changes} changes"));
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
    hosted.tell_requests("a cycle that opens a pull request");
    assert_eq!(hosted.numbers(), [1], "{:#?}", told.0);
    assert!(told.waiting().contains("#1: no check has looked at it"), "{}", told.waiting());
    let body = hosted.body(1);
    for wanted in ["### Evidence", "### Controls", "`git revert ", "does not land by itself: no check has looked at it"] {
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
    assert!(hosted.body(1).contains("lands by itself when the checks here pass"), "{}", hosted.body(1));
    hosted.passes(1);
    hosted.github.drain();
    hosted.run();
    hosted.tell_requests("a cycle that lands it");
    assert_eq!(hosted.repository.stage(), "watching", "{:#?}", hosted.repository.improvement());
    let (here, there) = hosted.tips();
    assert_eq!(here, there);
    // The commit that was validated is below a merge commit with the same tree.
    assert_eq!(hosted.repository.git(&["rev-parse", "main^2"]), head);
    assert_eq!(
        hosted.repository.git(&["rev-parse", "main^{tree}"]),
        hosted.repository.git(&["rev-parse", &format!("{head}^{{tree}}")])
    );
    assert_eq!(hosted.check(&head, "fractal/monitor").map(|(state, _)| state).as_deref(), Some("pending"));
    hosted.repository.greets_well();
    hosted.run();
    assert_eq!(hosted.repository.stage(), "kept");
    assert_eq!(hosted.check(&head, "fractal/monitor").map(|(state, _)| state).as_deref(), Some("success"));
    assert!(hosted.body(1).contains("and was kept: it did what it was to do"), "{}", hosted.body(1));
    hosted.github.drain();
    hosted.run();
    let (reads, changes) = hosted.counted();
    assert_eq!(changes, 0);
    assert!(reads <= 3, "{reads} requests of an idle cycle");
    tell(&format!("an idle cycle: {reads} reads, {changes} changes"));
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
    assert!(hosted.body(1).contains("#2 took it back"), "{}", hosted.body(1));
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
fn what_is_over_takes_no_place_from_what_is_to_come() {
    let tools = ["ash", "birch"];
    let config = format!("{}[deploy]\nland_reverts = true\n\n", crate::support::MOMENTS);
    let hosted = Hosted::with(Repository::greeting(&tools, &config), "open_max = 1\nper_hour = 9\n");
    hosted.run();
    assert_eq!(hosted.numbers(), [1]);
    // A person makes it theirs, and is done with it.
    let branch = hosted.github.change(|repository| repository.pulls[&1].branch.clone());
    hosted.github.push(&branch, &branch, &[("mine.sh", "echo mine")], "mine");
    hosted.run();
    assert_eq!(hosted.numbers(), [1], "it is open, whoever it belongs to");
    hosted.close(1);
    hosted.run();
    assert_eq!(hosted.numbers(), [1, 2]);
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
    // What it waits for is another thing now, and said in its place; so the digest of the text is another one too.
    let changes = |line: &&str| line.starts_with("- The gate accepted it") || line.starts_with("<!-- fractal:end ");
    let lines = |text: &str| text.lines().filter(|line| !changes(line)).map(str::to_string).collect::<Vec<_>>();
    let is = hosted.body(1);
    assert_eq!(lines(&is), lines(&format!("Ana: wait for me\n\n{ours}")));
    assert!(is.contains("it does not land by itself: a person holds it by the label `fractal:hold`"), "{is}");
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

impl Hosted {
    pub fn says(&self, person: &str, number: u64, text: &str) -> u64 {
        self.github.pass((jiff::Timestamp::now().as_second() - self.github.now().as_second()).max(0));
        self.github.says(person, number, text);
        self.github.change(|repository| repository.comments.last().expect("is there").id)
    }

    /// Signs that a comment got.
    fn signs(&self, comment: u64) -> Vec<String> {
        self.github.change(|repository| {
            let comment = repository.comments.iter().find(|known| known.id == comment).expect("is there");
            comment.reactions.iter().map(|(_, sign)| sign.clone()).collect()
        })
    }

    /// What we answered on a pull request.
    fn answers(&self, number: u64) -> Vec<String> {
        self.github.change(|repository| {
            let ours = repository.comments.iter().filter(|comment| comment.on == number && comment.author == "carl");
            ours.map(|comment| comment.body.clone()).collect()
        })
    }
}

#[test]
fn only_people_who_may_write_command_it_and_everybody_gets_an_answer() {
    let hosted = Hosted::greeter("");
    hosted.run();
    let (stranger, reader) = (hosted.says("eve", 1, "/fractal merge"), hosted.says("ben", 1, "/fractal merge"));
    let talk = hosted.says("ana", 1, "I would not `/fractal merge` this yet");
    let unknown = hosted.says("ana", 1, "/fractal $(touch /tmp/x) @ben");
    hosted.run();
    assert_eq!(hosted.repository.stage(), "proposed");
    for comment in [stranger, reader, unknown] {
        assert_eq!(hosted.signs(comment), ["confused", "eyes"]);
    }
    assert!(hosted.signs(talk).is_empty());
    // The answers to what was refused take each other's place.
    let answers = hosted.answers(1);
    assert!(answers.len() == 1 && answers[0].contains("That is no command") && !answers[0].contains("touch"), "{answers:?}");
    let why = hosted.says("ana", 1, "/fractal why");
    hosted.run();
    let answers = hosted.answers(1);
    assert!(answers.iter().any(|answer| answer.contains("no check has looked at it")), "{answers:?}");
    assert_eq!(hosted.signs(why), ["+1", "eyes"]);
    // Without a check, ana's word is enough.
    hosted.says("ana", 1, "/fractal approve");
    hosted.run();
    assert_eq!(hosted.repository.stage(), "watching");
    hosted.says("ana", 1, "/fractal revert");
    hosted.run();
    assert_eq!((hosted.repository.stage().as_str(), hosted.numbers().len()), ("reverted", 2));
    // Everything was heard once.
    hosted.github.drain();
    hosted.run();
    assert_eq!(hosted.counted().1, 0);
}

#[test]
fn a_comment_pauses_the_loop_and_another_one_resumes_it() {
    let hosted = Hosted::greeter("without_checks = true\nper_hour = 9\n[deploy.rollout]\n");
    let config = hosted.repository.read("fractal.toml").replace("land_reverts = true", "land_reverts = false");
    hosted.repository.configure(&config);
    hosted.repository.commit("a person decides");
    hosted.repository.git(&["push", "--quiet", "origin", "main"]);
    hosted.run();
    hosted.says("ana", 1, "/fractal pause");
    hosted.run();
    let there = hosted.github.world().repository.bare.ask(&["rev-parse", "--verify", "refs/fractal/paused"]);
    assert!(there.is_some(), "everybody sees it");
    hosted.says("ana", 1, "/fractal approve");
    hosted.github.drain();
    let told = hosted.run();
    assert!(told.waiting().contains("paused"), "{}", told.waiting());
    assert_eq!((hosted.tips().0, hosted.counted().1), (hosted.tips().1, 0));
    assert!(hosted.github.change(|repository| repository.pulls[&1].merged.is_none()));
    hosted.says("ana", 1, "/fractal resume");
    hosted.run();
    assert_eq!(hosted.repository.stage(), "watching", "{:#?}", hosted.repository.improvement());
}

#[test]
fn what_a_person_does_not_want_is_closed_and_never_proposed_again() {
    for word in ["ignore", "retry"] {
        let hosted = Hosted::greeter("");
        hosted.run();
        let before = hosted.head(1);
        hosted.says("ana", 1, &format!("/fractal {word}"));
        hosted.run();
        let improvement = hosted.repository.improvement();
        let closed = hosted.github.change(|repository| repository.pulls[&1].closed.is_some());
        match word {
            "ignore" => assert!(closed && improvement["stage"] == "closed", "{improvement:#?}"),
            _ => assert!(closed || hosted.head(1) != before, "another repair, or none: {improvement:#?}"),
        }
    }
}

#[test]
fn a_proposal_that_nobody_touches_is_closed_in_the_end() {
    let hosted = Hosted::greeter("stale_days = 3\n");
    let config = hosted.repository.read("fractal.toml").replace("land_reverts = true", "land_reverts = false");
    hosted.repository.configure(&config);
    hosted.repository.commit("a person decides");
    hosted.repository.git(&["push", "--quiet", "origin", "main"]);
    hosted.run();
    hosted.run();
    assert_eq!(hosted.repository.stage(), "proposed");
    let long_ago = hosted.github.now() - jiff::SignedDuration::from_hours(24 * 4);
    hosted.github.change(|repository| repository.pulls.get_mut(&1).expect("is there").updated = long_ago);
    hosted.run();
    assert_eq!(hosted.repository.stage(), "closed");
    assert!(hosted.answers(1).iter().any(|said| said.contains("nobody has touched it for 3 days")), "{:?}", hosted.answers(1));
}

#[test]
fn pushed_instead_of_merged_the_base_is_the_very_commit_that_was_validated() {
    let hosted = Hosted::greeter("without_checks = true\nway = \"push\"\n");
    hosted.run();
    assert_eq!(hosted.repository.stage(), "watching", "{:#?}", hosted.repository.improvement());
    assert_eq!(hosted.tips(), (hosted.head(1), hosted.head(1)));
    assert!(hosted.github.change(|repository| repository.pulls[&1].merged.is_some()), "GitHub sees that it has landed");
    let done = hosted.fractal(&["revert", &hosted.repository.id(), "--json"]);
    assert!(done.status.success(), "{}{}", text(&done.stdout), text(&done.stderr));
    assert_eq!((hosted.repository.stage().as_str(), hosted.tips().1), ("reverted", hosted.head(2)));
}

#[test]
fn fractal_is_set_up_by_a_pull_request_that_somebody_merges() {
    let hosted = Hosted::greeter("");
    let heads = || hosted.repository.git(&["for-each-ref", "refs/heads"]);
    let before = heads();
    let action = "owner/fractal@27d5ce7f107fe9357f9df03efb73ab90386fccae";
    let init = ["init", "--workflow", "--action", action, "--pull-request", REPOSITORY, "--json"];
    let done = hosted.fractal(&init);
    assert!(done.status.success(), "{}{}", text(&done.stdout), text(&done.stderr));
    assert_eq!(hosted.numbers(), [1]);
    let changed = hosted.github.world().repository.bare.text(&["diff", "--name-only", "main", "fractal-init"]);
    assert_eq!(changed, ".github/workflows/fractal.yml");
    assert!(hosted.body(1).contains("Nothing happens before this is merged"), "{}", hosted.body(1));
    assert!(!hosted.repository.root().join(".github").exists(), "nothing is written here");
    assert_eq!(heads(), before);
    // Once is enough.
    let again = hosted.fractal(&init);
    assert!(!again.status.success() && text(&again.stderr).contains("already"), "{}", text(&again.stderr));
    assert_eq!(hosted.numbers(), [1]);
}

/// Kills a run after its first, second, … write or request that changes something; the same end must follow every time.
fn killed_anywhere(ready: impl Fn() -> Hosted, arguments: impl Fn(&Hosted) -> Vec<String>, fewest: usize, end: &str) {
    let mut table = Vec::new();
    for n in 1.. {
        let hosted = ready();
        let mut command = hosted.repository.hermetic(env!("CARGO_BIN_EXE_fractal"));
        command.args(arguments(&hosted)).env("FRACTAL_GITHUB_TOKEN", PAT).env("FRACTAL_DIE_AT", n.to_string());
        let killed = command.output().expect("runs");
        let errors = text(&killed.stderr);
        let Some(after) = errors.lines().find_map(|line| line.strip_prefix("here: ")) else {
            assert!(killed.status.success(), "{errors}");
            break;
        };
        for _ in 0..4 {
            hosted.run();
            if hosted.repository.stage() == end {
                break;
            }
        }
        hosted.run();
        let at = format!("killed at {n}, after {after}: {:#?}", hosted.repository.improvement());
        assert_eq!(hosted.repository.stage(), end, "{at}");
        let proposals = if end == "reverted" { 2 } else { 1 };
        let all = hosted.github.change(|repository| repository.pulls.values().cloned().collect::<Vec<_>>());
        assert_eq!((all.len(), all.iter().filter(|pull| pull.merged.is_some()).count()), (proposals, proposals), "{at}");
        let (here, there) = hosted.tips();
        assert_eq!(here, there, "{at}");
        table.push(after.to_string());
    }
    tell(&format!("to {end}, on GitHub: SIGKILL after each of {} writes, the same end each time", table.len()));
    for (n, after) in table.iter().enumerate() {
        tell(&format!("{:4}  {after}", n + 1));
    }
    assert!(table.iter().filter(|after| after.contains("forge")).count() >= fewest, "{table:#?}");
}

#[test]
fn a_repair_on_a_forge_that_is_killed_anywhere_is_proposed_and_lands_once() {
    let ready = || Hosted::greeter("without_checks = true\n");
    killed_anywhere(ready, |_| vec!["run".into(), "--json".into()], 4, "watching");
}

#[test]
fn a_revert_on_a_forge_that_is_killed_anywhere_is_proposed_and_lands_once() {
    let ready = || {
        let hosted = Hosted::greeter("without_checks = true\n");
        hosted.run();
        hosted
    };
    killed_anywhere(ready, |hosted| vec!["revert".into(), hosted.repository.id(), "--json".into()], 4, "reverted");
}
