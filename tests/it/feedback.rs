//! What people let us know without commanding: signs, and changes of our texts. Each change is in the log once, and counted by template.

use serde_json::Value;

use crate::github::Trouble;
use crate::hosted::Hosted;
use crate::support::text;

impl Hosted {
    fn json(&self, arguments: &[&str]) -> Value {
        let done = self.fractal(arguments);
        assert!(done.status.success(), "{}{}", text(&done.stdout), text(&done.stderr));
        serde_json::from_slice(&done.stdout).expect("JSON")
    }

    /// Observations of a kind, in the order of the log.
    fn observed(&self, kind: &str) -> Vec<Value> {
        let shown = self.json(&["show", &self.repository.id(), "--json"]);
        let records = shown["records"].as_array().expect("a list").iter();
        records.map(|record| record["what"].clone()).filter(|what| what["observation"] == kind).collect()
    }

    fn asked_for(&self, words: &str) -> usize {
        self.github.drain().iter().filter(|one| one.path.contains(words)).count()
    }
}

#[test]
fn a_sign_is_recorded_once_and_so_is_its_being_taken_away() {
    let hosted = Hosted::greeter("");
    hosted.run();
    hosted.says("ana", 1, "/fractal why");
    hosted.run();
    let answer = hosted.github.change(|repository| repository.comments.last().expect("an answer").id);
    hosted.github.drain();
    hosted.run();
    assert_eq!(hosted.asked_for("/reactions"), 0, "nobody has said anything by a sign");
    for (who, on, sign) in
        [("ana", None, "+1"), ("ben", None, "-1"), ("a-program[bot]", None, "rocket"), ("ben", Some(answer), "confused")]
    {
        hosted.github.reacts(who, 1, on, sign, true);
    }
    hosted.run();
    let told = |what: &Value| format!("{} {} {}", what["by"], what["sign"], what["comment"]).replace('"', "");
    let first = [format!("ben confused {answer}"), "ana thumbs_up null".into(), "ben thumbs_down null".into()];
    let mut seen: Vec<String> = hosted.observed("signed").iter().map(told).collect();
    seen.sort();
    let mut wanted = first.to_vec();
    wanted.sort();
    assert_eq!(seen, wanted);
    hosted.github.drain();
    hosted.run();
    let (_, changes) = hosted.counted();
    assert_eq!((hosted.observed("signed").len(), changes), (3, 0), "it is no news");
    hosted.github.reacts("ana", 1, None, "+1", false);
    hosted.run();
    hosted.run();
    let taken: Vec<Value> = hosted.observed("signed").into_iter().filter(|what| what["taken_back"] == true).collect();
    assert_eq!(taken.iter().map(told).collect::<Vec<_>>(), ["ana thumbs_up null"]);
    let shown = text(&hosted.fractal(&["show", &hosted.repository.id()]).stdout);
    for wanted in [
        "ana put 👍 under #1",
        "ana took away 👍 under #1",
        "ben put 😕 under a comment of ours on #1",
        "signs of people: 👎 ben",
    ] {
        assert!(shown.contains(wanted), "{wanted}: {shown}");
    }
    let status = hosted.json(&["status", "--json"]);
    let row = &status["feedback"][0];
    assert_eq!((&row["signs"]["thumbs_down"], &row["signs"]["confused"]), (&1.into(), &1.into()), "{row:#}");
    assert_eq!(row["signs"]["thumbs_up"], Value::Null, "{row:#}");
    // A strategy in itself, with what became of it.
    assert_eq!(row["strategy"], "revert", "{row:#}");
    assert!(text(&hosted.fractal(&["status"]).stdout).contains("👎 1"));
}

#[test]
fn what_somebody_changes_in_our_texts_is_recorded_once_wherever_it_stands() {
    let hosted = Hosted::greeter("");
    hosted.run();
    let ours = hosted.body(1);
    hosted.run();
    assert_eq!(hosted.observed("edited").len(), 0, "we wrote it all");
    let change = |title: Option<&str>, body: String| {
        hosted.github.change(|repository| {
            let pull = repository.pulls.get_mut(&1).expect("is there");
            pull.title = title.map_or_else(|| pull.title.clone(), String::from);
            pull.body = Some(body.replace('\n', "\r\n"));
        });
    };
    change(Some("Ana's title"), format!("Ana: wait for me\n\n{}", ours.replace("### Evidence", "### No evidence")));
    hosted.run();
    let parts = |all: Vec<Value>| all.iter().map(|what| what["part"].as_str().expect("text").to_string()).collect::<Vec<_>>();
    assert_eq!(parts(hosted.observed("edited")), ["title", "inside", "outside"]);
    assert_eq!(hosted.body(1).replace("\r\n", "\n"), format!("Ana: wait for me\n\n{ours}"), "ours is put back, theirs stays");
    hosted.run();
    assert_eq!(hosted.observed("edited").len(), 3, "and that is no news");
    change(None, format!("Ana: go on\n\n{ours}"));
    hosted.run();
    assert_eq!(parts(hosted.observed("edited")), ["title", "inside", "outside", "outside"]);
    let row = hosted.json(&["status", "--json"])["feedback"][0].clone();
    assert_eq!(row["edited"], 4, "{row:#}");
    // Whoever takes our marks out has the text to themselves.
    change(None, "Ana: mine\n".into());
    hosted.run();
    hosted.run();
    assert_eq!(parts(hosted.observed("edited"))[4..], ["inside".to_string(), "outside".into()]);
    assert_eq!(hosted.body(1), "Ana: mine\r\n");
}

#[test]
fn signs_that_cannot_be_read_now_are_read_later_and_stop_nothing() {
    let hosted = Hosted::greeter("");
    hosted.run();
    hosted.github.reacts("ana", 1, None, "heart", true);
    hosted.github.trouble_times(3, "GET", "/issues/1/reactions", Trouble::Error { status: 500, obeyed: false });
    hosted.passes(1);
    hosted.run();
    assert_eq!((hosted.repository.stage().as_str(), hosted.observed("signed").len()), ("watching", 0));
    // What landed is asked about for as long as it is watched.
    hosted.run();
    assert_eq!(hosted.observed("signed").len(), 1);
    hosted.repository.greets_well();
    hosted.run();
    assert_eq!(hosted.repository.stage(), "kept");
    hosted.github.drain();
    hosted.run();
    assert_eq!(hosted.asked_for("/issues/1"), 0, "then it is over");
}
