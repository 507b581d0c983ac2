//! What a forge lands, by our asking or by itself, is what was tested; where it is not, everything stops and everybody is told.

use crate::action::{Step, obeyed};
use crate::github::{Protection, Trouble};
use crate::hosted::Hosted;
use crate::support::text;

const WAYS: [&str; 3] = ["merge", "squash", "rebase"];

impl Hosted {
    /// One whose proposal the forge was asked to land when its checks have passed; its branch.
    fn asked_to_land(forge: &str) -> (Hosted, String) {
        let hosted = Hosted::greeter(&format!("automatic = true\ndashboard = true\n{forge}"));
        let rules = Protection { checks: ["tests".to_string()].into(), ..Protection::default() };
        hosted.github.change(|repository| drop(repository.protections.insert("main".into(), rules)));
        hosted.run();
        assert!(hosted.lands_by_itself(), "it was asked to");
        let branch = hosted.github.change(|repository| repository.pulls[&1].branch.clone());
        (hosted, branch)
    }

    fn lands_by_itself(&self) -> bool {
        self.github.change(|repository| repository.pulls[&1].auto.is_some())
    }

    fn is_merged(&self) -> bool {
        self.github.change(|repository| repository.pulls[&1].merged.is_some())
    }

    fn said_on(&self, number: u64) -> String {
        self.github.change(|repository| {
            let on = repository.comments.iter().filter(|comment| comment.on == number);
            on.map(|comment| comment.body.clone()).collect::<Vec<_>>().join("\n")
        })
    }

    /// Everything has stopped, and everybody can read why and what to do.
    fn everybody_is_told(&self, what: &str) {
        self.github.pass((jiff::Timestamp::now().as_second() - self.github.now().as_second()).max(0));
        let done = self.fractal(&["run"]);
        let (code, out) = (done.status.code(), text(&done.stdout) + &text(&done.stderr));
        assert_eq!(code, Some(1), "{what}: {out}");
        assert_eq!(self.repository.stage(), "stuck", "{what}: {:#?}", self.repository.improvement());
        let there = self.github.world().repository.bare.ask(&["rev-parse", "--verify", "refs/fractal/paused"]);
        assert!(there.is_some(), "{what}: everybody stops");
        let landed = self.github.world().repository.bare.text(&["rev-parse", "--short=8", "main"]);
        let landed = landed.trim().get(..7).expect("a commit").to_string();
        let board = self.github.change(|repository| repository.issues.first().map(|issue| issue.body.clone()));
        let board = board.unwrap_or_default();
        let status = text(&self.fractal(&["status"]).stdout);
        for (place, told) in [("the run", &out), ("the proposal", &self.said_on(1)), ("the board", &board), ("status", &status)] {
            assert!(told.contains("was tested") && told.contains(&landed) && told.contains("resume"), "{what}, {place}: {told}");
        }
        // A machine that knows nothing yet knows it from the remote.
        let log = self.github.world().repository.bare.text(&["log", "-1", "-p", "--format=", "refs/fractal/log"]);
        assert!(log.contains("\"end\":\"stuck\""), "{what}: {log}");
        self.github.drain();
        let again = self.fractal(&["run"]);
        assert!(again.status.success(), "{what}: it was said once");
        assert_eq!(self.counted().1, 0, "{what}");
    }
}

#[test]
fn what_a_person_pushes_to_while_it_is_to_land_by_itself_does_not_land_by_itself() {
    for trouble in [
        None,
        Some(Trouble::Error { status: 500, obeyed: false }),
        Some(Trouble::Error { status: 502, obeyed: true }),
        Some(Trouble::Drop { obeyed: true }),
        Some(Trouble::SecondaryOfGraphql { retry_after: Some(3600) }),
    ] {
        let (hosted, branch) = Hosted::asked_to_land("");
        hosted.github.push(&branch, &branch, &[("mine.sh", "echo mine")], "mine");
        if let Some(trouble) = trouble.clone() {
            hosted.github.trouble("POST", "/graphql", trouble);
        }
        for _ in 0..3 {
            hosted.run();
        }
        assert!(!hosted.lands_by_itself(), "{trouble:?}: {}", text(&hosted.fractal(&["show", &hosted.repository.id()]).stdout));
        hosted.passes(1);
        hosted.run();
        assert_eq!((hosted.is_merged(), hosted.repository.stage().as_str()), (false, "closed"), "{trouble:?}");
        let said = hosted.said_on(1);
        assert!(said.matches("it no longer lands by itself").count() == 1, "{trouble:?}: {said}");
        let story = text(&hosted.fractal(&["show", &hosted.repository.id()]).stdout);
        assert!(story.contains("have #1 not landed by itself any more"), "{story}");
        // Whoever wants it all the same says so to the forge, and is left alone.
        hosted.github.check(&hosted.head(1), "tests", None);
        hosted.wants_it_landed("ana");
        hosted.run();
        assert!(hosted.lands_by_itself(), "{trouble:?}");
    }
}

impl Hosted {
    /// Somebody turns on auto-merge on the page.
    fn wants_it_landed(&self, who: &str) {
        self.github.change(|repository| {
            let pull = repository.pulls.get_mut(&1).expect("is there");
            (pull.auto, pull.auto_by) = (Some(("merge".into(), "t".into(), String::new())), who.into());
        });
    }
}

#[test]
fn a_person_who_asks_the_forge_to_land_it_is_not_overruled() {
    let hosted = Hosted::greeter("");
    let config = hosted.repository.read("fractal.toml").replace("land_reverts = true", "land_reverts = false");
    hosted.repository.configure(&config);
    hosted.repository.commit("a person decides");
    hosted.repository.git(&["push", "--quiet", "origin", "main"]);
    let rules = Protection { checks: ["tests".to_string()].into(), ..Protection::default() };
    hosted.github.change(|repository| drop(repository.protections.insert("main".into(), rules)));
    hosted.run();
    hosted.wants_it_landed("ana");
    hosted.run();
    assert!(hosted.lands_by_itself());
    hosted.passes(1);
    let told = hosted.run();
    assert!(told.reconciled().contains("a person merged it"), "{}", told.reconciled());
    assert_eq!(hosted.repository.stage(), "watching");
}

#[test]
fn what_the_forge_landed_with_somebodys_push_in_it_stops_everything() {
    for way in WAYS {
        let (hosted, branch) = Hosted::asked_to_land(&format!("way = \"{way}\"\n"));
        hosted.github.push(&branch, &branch, &[("mine.sh", "echo mine")], "mine");
        hosted.passes(1);
        assert!(hosted.is_merged(), "{way}: it was faster than we");
        hosted.everybody_is_told(way);
    }
}

#[test]
fn what_is_merged_is_compared_whatever_the_way_and_wherever_the_base_is_by_then() {
    for way in WAYS {
        let hosted = Hosted::greeter(&format!("without_checks = true\nway = \"{way}\"\ndashboard = true\n"));
        hosted.github.trouble("PUT", "/merge", Trouble::BaseMovesUnseen { path: "README.md", content: "words\n" });
        hosted.run();
        assert_eq!(hosted.repository.stage(), "watching", "{way}: {:#?}", hosted.repository.improvement());
        assert_eq!(hosted.repository.git(&["show", "main:README.md"]), "words", "{way}");

        let wrongly = |kind: Trouble, moves: bool| {
            let hosted = Hosted::greeter(&format!("without_checks = true\nway = \"{way}\"\ndashboard = true\n"));
            if moves {
                hosted.github.change(|repository| repository.slip = Some(("greet.sh", "echo other\n")));
            }
            hosted.github.trouble("PUT", "/merge", kind);
            hosted
        };
        // Another file, on the base that was tested; the same file with other contents, on a base that moved elsewhere.
        let more = wrongly(Trouble::MergesWrongly { path: "more.sh", content: "x\n" }, false);
        more.everybody_is_told(&format!("{way}, another file"));
        let other = wrongly(Trouble::BaseMovesUnseen { path: "README.md", content: "words\n" }, true);
        other.everybody_is_told(&format!("{way}, other contents"));
    }
}

/// Also where the improvement itself takes back what a person had committed.
#[test]
fn what_a_person_lands_on_the_page_of_the_forge_is_noticed_whatever_the_way() {
    for way in WAYS {
        let hosted = Hosted::greeter("");
        hosted.run();
        let (head, now) = (hosted.head(1), hosted.github.now());
        let message = hosted.repository.git(&["log", "-1", "--format=%B", &head]);
        let (title, text) = message.split_once('\n').expect("has a text");
        hosted.github.change(|repository| repository.merge(1, way, title, text.trim(), "ana", now)).expect("lands");
        let told = hosted.run();
        assert!(told.reconciled().contains("a person merged it"), "{way}: {:#?}", told.0);
        assert_eq!(hosted.repository.stage(), "watching", "{way}");
    }
}

#[test]
fn a_revert_that_lands_as_something_else_stops_everything_too() {
    let hosted = Hosted::greeter("without_checks = true\ndashboard = true\n");
    hosted.run();
    assert_eq!(hosted.repository.stage(), "watching");
    hosted.github.trouble("PUT", "/pulls/3/merge", Trouble::MergesWrongly { path: "more.sh", content: "x\n" });
    let done = hosted.fractal(&["revert", &hosted.repository.id(), "--json"]);
    let said = text(&done.stdout) + &text(&done.stderr);
    assert_eq!(hosted.repository.stage(), "stuck", "{said}");
    let on_revert = hosted.said_on(3);
    assert!(on_revert.contains("What landed is not what was tested"), "{on_revert}");
    assert!(hosted.github.world().repository.bare.ask(&["rev-parse", "--verify", "refs/fractal/paused"]).is_some());
}

/// In a job on GitHub the summary and the annotation say it, and the job is red: that is what people get mail about.
#[test]
fn a_job_whose_landing_went_wrong_is_red_and_its_summary_says_what_to_do() {
    let hosted = Hosted::greeter("without_checks = true\ndashboard = true\n");
    hosted.github.trouble("PUT", "/merge", Trouble::MergesWrongly { path: "more.sh", content: "x\n" });
    let root = hosted.repository.root().to_path_buf();
    let step = Step::new(&hosted.repository, &root);
    let said = step.cycle(&hosted.repository, &[("FRACTAL_GITHUB_TOKEN", hosted.token), ("GITHUB_ACTIONS", "true")]);
    assert_eq!(said.code, Some(1), "{said:#?}");
    let commands = obeyed(&said.out);
    assert!(matches!(commands.as_slice(), [("error", told)] if told.contains("summary")), "{commands:#?}");
    let summary = step.given("GITHUB_STEP_SUMMARY");
    for wanted in ["what landed is not what was tested", "compare", "`fractal resume`", "stuck"] {
        assert!(summary.contains(wanted), "{wanted}: {summary}");
    }
}

#[test]
fn after_a_person_has_resumed_it_goes_on_and_stops_for_the_same_no_more() {
    let hosted = Hosted::greeter("without_checks = true\ndashboard = true\n");
    hosted.github.trouble("PUT", "/merge", Trouble::MergesWrongly { path: "more.sh", content: "x\n" });
    hosted.everybody_is_told("at first");
    hosted.says("ana", 1, "/fractal resume");
    hosted.run();
    hosted.run();
    assert!(hosted.github.world().repository.bare.ask(&["rev-parse", "--verify", "refs/fractal/paused"]).is_none());
    assert_eq!(hosted.repository.stage(), "stuck");
    let board = hosted.github.change(|repository| repository.issues[0].body.clone());
    assert!(!board.contains("Paused") && board.contains("was tested"), "{board}");
}

/// Kills a run after its first, second, … write or request that changes something, goes on, and looks.
fn killed_anywhere(ready: impl Fn() -> Hosted, fewest: usize, look: impl Fn(&Hosted, &str)) {
    let mut survived = 0;
    for n in 1.. {
        let hosted = ready();
        let mut command = hosted.repository.hermetic(env!("CARGO_BIN_EXE_fractal"));
        command.args(["run"]).env("FRACTAL_GITHUB_TOKEN", hosted.token).env("FRACTAL_DIE_AT", n.to_string());
        let errors = text(&command.output().expect("runs").stderr);
        let Some(after) = errors.lines().find_map(|line| line.strip_prefix("here: ")) else { break };
        for _ in 0..3 {
            hosted.fractal(&["run"]);
        }
        look(&hosted, &format!("killed at {n}, after {after}"));
        survived = n;
    }
    assert!(survived >= fewest, "only {survived} writes");
}

#[test]
fn a_run_that_is_killed_while_it_takes_its_wish_back_takes_it_back_all_the_same() {
    let ready = || {
        let (hosted, branch) = Hosted::asked_to_land("");
        hosted.github.push(&branch, &branch, &[("mine.sh", "echo mine")], "mine");
        hosted
    };
    killed_anywhere(ready, 4, |hosted, at| {
        assert!(!hosted.lands_by_itself(), "{at}");
        assert_eq!(hosted.repository.stage(), "closed", "{at}");
    });
}

#[test]
fn a_run_that_is_killed_while_it_stops_everything_leaves_it_stopped() {
    let ready = || {
        let hosted = Hosted::greeter("way = \"squash\"\ndashboard = true\n");
        hosted.run();
        hosted.passes(1);
        hosted.github.trouble("PUT", "/merge", Trouble::MergesWrongly { path: "more.sh", content: "x\n" });
        hosted
    };
    killed_anywhere(ready, 6, |hosted, at| {
        assert_eq!(hosted.repository.stage(), "stuck", "{at}: {:#?}", hosted.repository.improvement());
        let there = hosted.github.world().repository.bare.ask(&["rev-parse", "--verify", "refs/fractal/paused"]);
        assert!(there.is_some(), "{at}");
        assert!(hosted.said_on(1).contains("What landed is not what was tested"), "{at}: {}", hosted.said_on(1));
    });
}
