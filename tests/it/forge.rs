//! One suite of scenarios for every forge. What differs between them is how a world is set up and looked at from outside.

use std::collections::BTreeSet;

use fractal::model::CommitId;
use fractal::world::forge::{
    Change, Draft, File, Files, Forge, ForgeError, Landable, Later, Level, Message, Proposal, Reaction, Report, State, Verdict,
    Way,
};

use crate::github::{GitHub, Protection};

/// A forge with a repository behind it, and the people who use it.
trait Ground {
    fn forge(&self) -> Box<dyn Forge>;
    /// A branch with one commit of these files on top of another branch.
    fn push(&self, branch: &str, on: &str, files: &[(&str, &str)]) -> CommitId;
    /// Where a branch is, and the names of the files there.
    fn at(&self, branch: &str) -> Option<CommitId>;
    fn git(&self, arguments: &[&str]) -> String;
    /// A check of a commit by somebody else; `None`: it runs.
    fn check(&self, commit: &CommitId, name: &str, passed: Option<bool>);
    /// Landing on `main` demands these checks.
    fn demand(&self, checks: &[&str]);
    /// A person says something.
    fn says(&self, person: &str, on: u64, text: &str);
    fn pass(&self, seconds: i64);
    /// Lists come in small parts.
    fn short_pages(&self);
}

impl Ground for GitHub {
    fn forge(&self) -> Box<dyn Forge> {
        Box::new(self.client())
    }

    fn push(&self, branch: &str, on: &str, files: &[(&str, &str)]) -> CommitId {
        CommitId(GitHub::push(self, branch, on, files, "a change"))
    }

    fn at(&self, branch: &str) -> Option<CommitId> {
        self.world().repository.bare.branch(branch).map(CommitId)
    }

    fn git(&self, arguments: &[&str]) -> String {
        self.world().repository.bare.text(arguments)
    }

    fn check(&self, commit: &CommitId, name: &str, passed: Option<bool>) {
        GitHub::check(self, &commit.0, name, passed);
    }

    fn demand(&self, checks: &[&str]) {
        let checks = checks.iter().map(ToString::to_string).collect();
        self.change(|repository| repository.protections.insert("main".into(), Protection { checks, ..Protection::default() }));
    }

    fn says(&self, person: &str, on: u64, text: &str) {
        GitHub::says(self, person, on, text);
    }

    fn pass(&self, seconds: i64) {
        GitHub::pass(self, seconds);
    }

    fn short_pages(&self) {
        self.world().page_max = 2;
    }
}

/// Every forge there is, each with a new world.
fn everywhere(scenario: impl Fn(&dyn Ground)) {
    scenario(&GitHub::start());
}

fn draft(branch: &str) -> Draft {
    Draft { branch: branch.into(), base: "main".into(), title: "a title".into(), text: "what and why".into(), draft: false }
}

fn proposed(ground: &dyn Ground, branch: &str) -> (Proposal, CommitId) {
    let head = ground.push(branch, "main", &[("tool.py", branch)]);
    let opened = ground.forge().open(&draft(branch)).expect("opens");
    (opened, head)
}

fn message() -> Message {
    Message { title: "land it".into(), text: "Fractal-Id: 1".into() }
}

#[test]
fn a_proposal_is_opened_listed_read_and_landed_as_it_was_seen() {
    everywhere(|ground| {
        let forge = ground.forge();
        let (opened, head) = proposed(ground, "fractal/tool/1");
        assert_eq!((opened.branch.as_str(), opened.base.as_str(), &opened.head), ("fractal/tool/1", "main", &head));
        assert!(opened.from_here && opened.state == State::Open);
        let listed = forge.proposals("main").expect("lists");
        assert_eq!(listed.iter().map(|one| one.number).collect::<Vec<_>>(), [opened.number]);
        let read = forge.proposal(opened.number).expect("reads");
        assert_eq!((read.title.as_str(), read.text.as_str(), read.landable), ("a title", "what and why", Landable::Yes));
        let landed = forge.merge(opened.number, &head, Way::Squash, &message()).expect("lands");
        assert_eq!(ground.at("main"), Some(landed.clone()));
        assert_eq!(ground.git(&["log", "-1", "--format=%B", "main"]), "land it\n\nFractal-Id: 1");
        // What landed is what was proposed: one commit, the same tree.
        assert_eq!(ground.git(&["rev-parse", "main^{tree}"]), ground.git(&["rev-parse", &format!("{}^{{tree}}", head.0)]));
        let after = forge.proposal(opened.number).expect("reads");
        assert!(matches!(after.state, State::Landed { commit: Some(commit), .. } if commit == landed));
        assert!(forge.proposals("main").expect("lists").is_empty());
    });
}

#[test]
fn a_branch_has_one_open_proposal_and_a_closed_one_stays_closed() {
    everywhere(|ground| {
        let forge = ground.forge();
        let (first, _) = proposed(ground, "fractal/tool/1");
        let again = forge.open(&draft("fractal/tool/1")).expect("gives back the one that is open");
        assert_eq!(again.number, first.number);
        forge.close(first.number).expect("closes");
        forge.close(first.number).expect("a closed one stays closed");
        assert!(matches!(forge.proposal(first.number).expect("reads").state, State::Closed { .. }));
        let newest = forge.proposal_from("fractal/tool/1").expect("asks").expect("is remembered");
        assert_eq!((newest.number, matches!(newest.state, State::Closed { .. })), (first.number, true));
        let second = forge.open(&draft("fractal/tool/1")).expect("opens");
        assert_ne!(second.number, first.number);
        assert_eq!(forge.proposal_from("fractal/tool/1").expect("asks").map(|one| one.number), Some(second.number));
        assert_eq!(forge.proposal_from("fractal/tool").expect("asks"), None);
    });
}

#[test]
fn what_is_not_said_about_a_proposal_stays_as_it_is() {
    everywhere(|ground| {
        let forge = ground.forge();
        let (opened, _) = proposed(ground, "fractal/tool/1");
        let changed = forge.update(opened.number, &Change { title: Some("another".into()), text: None }).expect("changes");
        assert_eq!((changed.title.as_str(), changed.text.as_str()), ("another", "what and why"));
        let changed = forge.update(opened.number, &Change { title: None, text: Some("more\nlines".into()) }).expect("changes");
        assert_eq!((changed.title.as_str(), changed.text.as_str()), ("another", "more\nlines"));
    });
}

#[test]
fn nothing_but_the_head_that_was_seen_is_landed() {
    everywhere(|ground| {
        let forge = ground.forge();
        let (opened, seen) = proposed(ground, "fractal/tool/1");
        let base = ground.at("main");
        let newer = ground.push("fractal/tool/1", "fractal/tool/1", &[("tool.py", "by a person")]);
        let refused = forge.merge(opened.number, &seen, Way::Squash, &message()).expect_err("is another head");
        assert!(matches!(refused, ForgeError::Moved(_)), "{refused}");
        assert_eq!(ground.at("main"), base);
        forge.merge(opened.number, &newer, Way::Squash, &message()).expect("lands what is there");
        // Whoever asks again is told what has landed.
        let again = forge.merge(opened.number, &newer, Way::Squash, &message()).expect("has landed");
        assert_eq!(ground.at("main"), Some(again));
        assert!(forge.merge(opened.number, &seen, Way::Squash, &message()).is_err());
    });
}

#[test]
fn each_way_of_landing_makes_the_commits_that_it_says() {
    everywhere(|ground| {
        let forge = ground.forge();
        for (way, parents, commits) in [(Way::Merge, 2, 3), (Way::Squash, 1, 1), (Way::Rebase, 1, 2)] {
            let branch = format!("fractal/tool/{way:?}");
            let name = format!("{way:?}.py");
            ground.push(&branch, "main", &[(name.as_str(), "1")]);
            let head = ground.push(&branch, &branch, &[(name.as_str(), "2")]);
            let before = ground.at("main").expect("main");
            let opened = forge.open(&draft(&branch)).expect("opens");
            // The base has gone on, without touching the same file.
            ground.push("main", "main", &[(format!("{way:?}.txt").as_str(), "x")]);
            let landed = forge.merge(opened.number, &head, way, &message()).expect("lands");
            let all = ground.git(&["rev-list", "--count", &format!("{}..{}", before.0, landed.0)]);
            assert_eq!(all, (commits + 1).to_string(), "{way:?}");
            let line = ground.git(&["rev-list", "--parents", "-n", "1", &landed.0]);
            assert_eq!(line.split(' ').count() - 1, parents, "{way:?}");
            assert_eq!(ground.git(&["show", &format!("main:{name}")]), "2", "{way:?}");
        }
    });
}

#[test]
fn what_the_base_has_changed_too_is_a_conflict_and_does_not_land() {
    everywhere(|ground| {
        let forge = ground.forge();
        let (opened, head) = proposed(ground, "fractal/tool/1");
        ground.push("main", "main", &[("tool.py", "otherwise")]);
        assert_eq!(forge.proposal(opened.number).expect("reads").landable, Landable::Conflicts);
        let refused = forge.merge(opened.number, &head, Way::Merge, &message()).expect_err("conflicts");
        assert!(matches!(refused, ForgeError::Refused(_)), "{refused}");
    });
}

#[test]
fn checks_are_the_newest_of_each_name_and_block_while_they_are_demanded() {
    everywhere(|ground| {
        let forge = ground.forge();
        ground.demand(&["tests"]);
        let rules = forge.rules("main").expect("reads");
        assert_eq!(rules.checks, BTreeSet::from(["tests".to_string()]));
        assert_eq!(rules.ways, BTreeSet::from([Way::Merge, Way::Squash, Way::Rebase]));
        let (opened, head) = proposed(ground, "fractal/tool/1");
        let landable = || forge.proposal(opened.number).expect("reads").landable;
        let verdicts = || {
            let all = forge.checks(&head).expect("reads").into_iter();
            all.map(|check| (check.name, check.verdict)).collect::<Vec<_>>()
        };
        assert_eq!((verdicts(), landable()), (Vec::new(), Landable::Blocked));
        ground.check(&head, "tests", None);
        assert_eq!((verdicts(), landable()), (vec![("tests".into(), Verdict::Pending)], Landable::Blocked));
        ground.check(&head, "tests", Some(false));
        assert_eq!((verdicts(), landable()), (vec![("tests".into(), Verdict::Failed)], Landable::Blocked));
        let refused = forge.merge(opened.number, &head, Way::Squash, &message()).expect_err("is blocked");
        assert!(matches!(refused, ForgeError::Refused(_)), "{refused}");
        ground.check(&head, "tests", Some(true));
        assert_eq!((verdicts(), landable()), (vec![("tests".into(), Verdict::Passed)], Landable::Yes));
        forge.merge(opened.number, &head, Way::Squash, &message()).expect("lands");
    });
}

#[test]
fn what_is_asked_to_land_when_it_is_ready_lands_then_and_not_before() {
    everywhere(|ground| {
        let forge = ground.forge();
        ground.demand(&["tests"]);
        let (opened, head) = proposed(ground, "fractal/tool/1");
        let base = ground.at("main");
        let later = || forge.merge_when_ready(opened.number, &head, Way::Squash, &message());
        assert_eq!(later(), Ok(Later::Automatic));
        assert_eq!(forge.proposal(opened.number).expect("reads").automatic.as_deref(), Some("carl"));
        forge.merge_not(opened.number).expect("takes it back");
        ground.check(&head, "tests", Some(true));
        assert_eq!(ground.at("main"), base, "nobody wants it any more");
        ground.check(&head, "tests", None);
        later().expect("asks again");
        assert_eq!(ground.at("main"), base);
        ground.check(&head, "tests", Some(true));
        let landed = forge.proposal(opened.number).expect("reads");
        assert!(matches!(&landed.state, State::Landed { commit, .. } if *commit == ground.at("main")));
        assert_eq!(ground.git(&["log", "-1", "--format=%s", "main"]), "land it");
        // What is ready is landed directly.
        let (ready, head) = proposed(ground, "fractal/tool/2");
        ground.check(&head, "tests", Some(true));
        let refused = forge.merge_when_ready(ready.number, &head, Way::Squash, &message()).expect_err("is ready");
        assert!(matches!(refused, ForgeError::Refused(_)), "{refused}");
    });
}

#[test]
fn a_report_replaces_the_one_before_and_counts_as_a_check() {
    everywhere(|ground| {
        let forge = ground.forge();
        let (_, head) = proposed(ground, "fractal/tool/1");
        for verdict in [Verdict::Pending, Verdict::Failed, Verdict::Passed] {
            let report = Report { name: "fractal/gate".into(), verdict, title: "because".into(), text: "**so**".into() };
            forge.report(&head, &report).expect("reports");
            let checks = forge.checks(&head).expect("reads");
            assert_eq!(checks.iter().map(|check| check.verdict).collect::<Vec<_>>(), [verdict]);
        }
    });
}

#[test]
fn what_we_say_under_a_key_is_one_comment_and_only_ours_have_keys() {
    everywhere(|ground| {
        let forge = ground.forge();
        let (opened, _) = proposed(ground, "fractal/tool/1");
        let (other, _) = proposed(ground, "fractal/tool/2");
        let first = forge.say(opened.number, "status", "one").expect("says");
        let second = forge.say(opened.number, "status", "two").expect("says");
        assert_eq!((first.id, first.key.as_deref()), (second.id, Some("status")));
        assert!(second.text.contains("two") && !second.text.contains("one"));
        forge.say(opened.number, "gate", "three").expect("says");
        // Somebody repeats our text with its mark.
        ground.says("ben", opened.number, &second.text);
        let all = forge.comments(Some(opened.number), None).expect("reads");
        let keys: Vec<_> = all.iter().map(|comment| (comment.author.as_str(), comment.key.as_deref())).collect();
        assert_eq!(keys.iter().filter(|(author, key)| *author == "ben" && key.is_none()).count(), 1);
        assert_eq!(keys.len(), 3);
        forge.say(opened.number, "status", "four").expect("says");
        assert_eq!(forge.comments(Some(opened.number), None).expect("reads").len(), 3);
        ground.pass(60);
        let now = all.iter().map(|comment| comment.updated).max().expect("some") + jiff::SignedDuration::from_secs(30);
        ground.says("ana", other.number, "/fractal why");
        let news = forge.comments(None, Some(now)).expect("reads");
        assert_eq!(news.iter().map(|comment| (comment.on, comment.author.as_str())).collect::<Vec<_>>(), [(other.number, "ana")]);
        forge.react(news[0].id, Reaction::Seen).expect("reacts");
        forge.react(news[0].id, Reaction::Seen).expect("reacts once");
        assert!(forge.say(opened.number, "a -->", "x").is_err());
    });
}

#[test]
fn who_may_do_what_is_asked_by_name_and_a_name_is_no_path() {
    everywhere(|ground| {
        let forge = ground.forge();
        let levels = ["ana", "carl", "ben", "nobody", "../../../user", "a/b?c=d#e"].map(|person| forge.level(person));
        assert_eq!(levels[..4], [Ok(Level::Admin), Ok(Level::Write), Ok(Level::Read), Ok(Level::None)]);
        assert!(levels[4..].iter().all(|level| matches!(level, Ok(Level::None | Level::Read))), "{levels:?}");
    });
}

#[test]
fn labels_are_put_and_taken_off() {
    everywhere(|ground| {
        let forge = ground.forge();
        let (opened, _) = proposed(ground, "fractal/tool/1");
        let labels = BTreeSet::from(["fractal".to_string(), "fractal:needs human/x".to_string()]);
        forge.label(opened.number, &labels).expect("puts");
        forge.label(opened.number, &labels).expect("puts again");
        assert_eq!(forge.proposal(opened.number).expect("reads").labels, labels);
        forge.unlabel(opened.number, "fractal:needs human/x").expect("takes");
        forge.unlabel(opened.number, "fractal:needs human/x").expect("is off");
        assert_eq!(forge.proposal(opened.number).expect("reads").labels, BTreeSet::from(["fractal".to_string()]));
    });
}

#[test]
fn a_branch_moves_only_from_where_it_was_seen() {
    everywhere(|ground| {
        let forge = ground.forge();
        let main = ground.at("main").expect("main");
        let (one, two) = (ground.push("one", "main", &[("a", "1")]), ground.push("two", "main", &[("a", "2")]));
        assert_eq!(forge.branch("fractal/new"), Ok(None));
        forge.move_branch("fractal/new", None, Some(&one)).expect("makes it");
        assert_eq!(forge.branch("fractal/new"), Ok(Some(one.clone())));
        // Not a descendant: the lease decides, and nothing else.
        forge.move_branch("fractal/new", Some(&one), Some(&two)).expect("moves it");
        for stale in [None, Some(&one), Some(&main)] {
            let refused = forge.move_branch("fractal/new", stale, Some(&main)).expect_err("is elsewhere");
            assert!(matches!(refused, ForgeError::Moved(_)), "{refused}");
        }
        assert_eq!(ground.at("fractal/new"), Some(two.clone()));
        forge.move_branch("fractal/new", Some(&two), None).expect("removes it");
        assert_eq!(ground.at("fractal/new"), None);
    });
}

#[test]
fn a_commit_that_the_forge_makes_has_the_files_with_their_modes_and_nothing_else_changes() {
    everywhere(|ground| {
        let forge = ground.forge();
        ground.push("main", "main", &[("old.txt", "old"), ("bin/run", "#!/bin/sh\n"), ("stays", "x")]);
        let parent = ground.at("main").expect("main");
        let file = |content: &[u8], executable| Some(File { content: content.to_vec(), executable });
        let files = Files::from([
            ("bin/run".to_string(), file(b"#!/bin/sh\necho 1\n", true)),
            ("data.bin".to_string(), file(&[0, 159, 146, 150], false)),
            ("text é.md".to_string(), file("é\n".as_bytes(), false)),
            ("old.txt".to_string(), None),
        ]);
        let commit = forge.commit(&parent, &files, "a title\n\nFractal-Id: 1").expect("commits");
        let listed = ground.git(&["-c", "core.quotePath=false", "ls-tree", "-r", "--format=%(objectmode) %(path)", &commit.0]);
        let wanted = "100644 README.md\n100755 bin/run\n100644 data.bin\n100644 stays\n100644 text é.md";
        assert_eq!(listed, wanted);
        assert_eq!(ground.git(&["cat-file", "-s", &format!("{}:data.bin", commit.0)]), "4");
        assert_eq!(ground.git(&["rev-parse", &format!("{}^", commit.0)]), parent.0);
        assert_eq!(ground.git(&["log", "-1", "--format=%B", &commit.0]), "a title\n\nFractal-Id: 1");
        assert_eq!(ground.at("main"), Some(parent), "no branch has moved");
    });
}

#[test]
fn what_is_not_there_is_said_to_be_gone() {
    everywhere(|ground| {
        let forge = ground.forge();
        let gone = |done: Result<(), ForgeError>| assert!(matches!(done, Err(ForgeError::Gone(_))), "{done:?}");
        gone(forge.proposal(99).map(drop));
        gone(forge.close(99));
        gone(forge.merge(99, &CommitId("0".repeat(40)), Way::Merge, &message()).map(drop));
        gone(forge.rules("no-such-branch").map(drop));
        let refused = forge.open(&draft("no-such-branch")).expect_err("has no branch");
        assert!(matches!(refused, ForgeError::Refused(_)), "{refused}");
    });
}

#[test]
fn long_lists_are_read_to_their_end() {
    everywhere(|ground| {
        ground.short_pages();
        let forge = ground.forge();
        let mut numbers: Vec<u64> = (0..7).map(|number| proposed(ground, &format!("fractal/tool/{number}")).0.number).collect();
        (0..7).for_each(|number| ground.says("ana", numbers[0], &format!("{number}")));
        numbers.reverse();
        assert_eq!(forge.proposals("main").expect("lists").iter().map(|one| one.number).collect::<Vec<_>>(), numbers);
        assert_eq!(forge.comments(Some(numbers[6]), None).expect("lists").len(), 7);
    });
}
