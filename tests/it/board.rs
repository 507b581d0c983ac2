//! The board on a forge: one issue, made once, changed only when there is something else to say, and people's when they close it.

use crate::github::{Issue, Trouble};
use crate::hosted::Hosted;

impl Hosted {
    fn boards(&self) -> Vec<Issue> {
        self.github.change(|repository| repository.issues.clone())
    }

    fn board(&self) -> String {
        let boards = self.boards();
        assert_eq!(boards.len(), 1, "{boards:#?}");
        boards[0].body.clone()
    }

    fn close_board(&self, closed: bool) {
        let now = self.github.now();
        self.github.change(|repository| repository.issues[0].closed = closed.then_some(now));
    }

    /// Changes of issues that were sent since the last time.
    fn posted(&self) -> usize {
        let all = self.github.drain();
        all.iter().filter(|one| one.method != "GET" && one.path.contains("/issues") && !one.path.contains("comments")).count()
    }
}

#[test]
fn one_issue_says_how_everything_stands_and_changes_only_with_it() {
    let hosted = Hosted::greeter("dashboard = true\nlabels = []\n");
    hosted.run();
    let body = hosted.board();
    assert!(body.starts_with("<!-- fractal:board -->\n") && body.contains("### Open") && body.contains("**greet**"), "{body}");
    hosted.github.drain();
    hosted.run();
    assert_eq!(hosted.posted(), 0, "nothing else is to be said");
    hosted.passes(1);
    hosted.run();
    assert!(hosted.board().contains("### Watched") && !hosted.board().contains("### Open"), "{}", hosted.board());
    // A person closes it: it is left alone, and goes on when it is opened.
    hosted.close_board(true);
    let before = hosted.board();
    hosted.fractal(&["revert", &hosted.repository.id(), "--json"]);
    hosted.passes(hosted.numbers()[1]);
    hosted.github.drain();
    hosted.run();
    assert_eq!((hosted.repository.stage().as_str(), hosted.board(), hosted.posted()), ("reverted", before, 0));
    hosted.close_board(false);
    hosted.run();
    assert!(hosted.board().contains("### Reverted"), "{}", hosted.board());
}

#[test]
fn why_it_is_paused_stands_there_until_it_is_resumed() {
    let hosted = Hosted::greeter("dashboard = true\n");
    hosted.run();
    hosted.says("ana", 1, "/fractal pause");
    hosted.run();
    assert!(hosted.board().contains("**Paused**: ana said so in a comment"), "{}", hosted.board());
    hosted.says("ana", 1, "/fractal resume");
    hosted.run();
    hosted.run();
    assert!(!hosted.board().contains("Paused"), "{}", hosted.board());
}

#[test]
fn whatever_goes_wrong_there_is_one_and_what_others_write_is_none() {
    for kind in [
        Trouble::Error { status: 500, obeyed: true },
        Trouble::Error { status: 500, obeyed: false },
        Trouble::Drop { obeyed: true },
    ] {
        let hosted = Hosted::greeter("dashboard = true\n");
        let now = hosted.github.now();
        let theirs = Issue {
            number: 900,
            title: "x".into(),
            body: "<!-- fractal:board -->\nmine".into(),
            author: "eve".into(),
            closed: None,
            created: now,
            updated: now,
        };
        hosted.github.change(|repository| repository.issues.push(theirs));
        hosted.github.trouble("POST", "/tools/issues", kind.clone());
        hosted.run();
        hosted.run();
        let boards = hosted.boards();
        let (ours, theirs): (Vec<_>, Vec<_>) = boards.iter().partition(|issue| issue.author == "carl");
        assert_eq!((ours.len(), theirs[0].body.as_str()), (1, "<!-- fractal:board -->\nmine"), "{kind:?}: {boards:#?}");
    }
}
