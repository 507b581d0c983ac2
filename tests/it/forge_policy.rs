//! How GitHub is asked when things go wrong: what is sent again, what never is, what is waited for. Counted in the model's log.

use std::time::Duration;

use fractal::config::TokenMode;
use fractal::model::{CommitId, SplitMix};
use fractal::world::forge::github::{Credentials, GitHub as Client, Secret};
use fractal::world::forge::{Draft, Forge, ForgeError, Landable, Later, May, Message, Report, State, Verdict, Way};
use jiff::SignedDuration;

use crate::github::{Comment, GitHub, PAT, Protection, Trouble, WORKFLOW_TOKEN};
use crate::peers::or_not_run;

fn draft() -> Draft {
    Draft { branch: "fractal/t/1".into(), base: "main".into(), title: "t".into(), text: "x".into(), draft: false }
}

/// A model with a branch that can be proposed.
fn ready() -> (GitHub, CommitId) {
    let github = GitHub::start();
    let head = github.push("fractal/t/1", "main", &[("tool.py", "1")], "a change");
    (github, CommitId(head))
}

/// Requests of a method whose path contains a text.
fn sent(github: &GitHub, method: &str, path: &str) -> usize {
    github.world().log.iter().filter(|exchange| exchange.method == method && exchange.path.contains(path)).count()
}

const LOST: [Trouble; 3] =
    [Trouble::Error { status: 500, obeyed: true }, Trouble::Error { status: 502, obeyed: true }, Trouble::Drop { obeyed: true }];

#[test]
fn a_change_that_happened_although_the_answer_was_lost_is_found_and_not_sent_again() {
    for trouble in LOST {
        let (github, head) = ready();
        let client = github.client();
        github.trouble("POST", "/pulls", trouble.clone());
        let opened = client.open(&draft()).expect("it is there");
        github.trouble("POST", "/comments", trouble.clone());
        client.say(opened.number, "status", "hello").expect("it is there");
        github.trouble("POST", "/statuses", trouble.clone());
        let report = Report { name: "fractal/gate".into(), verdict: Verdict::Passed, title: "t".into(), text: String::new() };
        client.report(&head, &report).expect("it is there");
        github.trouble("PUT", "/merge", trouble.clone());
        client.merge(opened.number, &head, Way::Squash, &Message::default()).expect("it has landed");
        for (method, path) in [("POST", "/pulls"), ("POST", "/comments"), ("POST", "/statuses"), ("PUT", "/merge")] {
            assert_eq!(sent(&github, method, path), 1, "{method} {path} {trouble:?}");
        }
        let world = github.world();
        assert_eq!((world.repository.pulls.len(), world.repository.comments.len(), world.repository.statuses.len()), (1, 1, 1));
    }
}

#[test]
fn a_change_of_which_nothing_is_seen_is_unclear_and_not_sent_again() {
    for trouble in [Trouble::Error { status: 503, obeyed: false }, Trouble::Drop { obeyed: false }, Trouble::Garbage] {
        let (github, head) = ready();
        let client = github.client();
        let opened = client.open(&draft()).expect("opens");
        let rest = [("POST", "/comments"), ("PUT", "/merge"), ("PATCH", "/pulls/"), ("POST", "/statuses"), ("POST", "/graphql")];
        for (method, path) in rest {
            github.trouble(method, path, trouble.clone());
        }
        let report = Report { name: "g".into(), verdict: Verdict::Passed, title: "t".into(), text: String::new() };
        let results = [
            client.say(opened.number, "status", "hello").map(drop),
            client.merge(opened.number, &head, Way::Squash, &Message::default()).map(drop),
            client.close(opened.number),
            client.report(&head, &report),
            client.move_branch("fractal/t/1", Some(&head), None),
        ];
        for result in results {
            assert!(matches!(result, Err(ForgeError::Unclear(_))), "{trouble:?}: {result:?}");
        }
        for (method, path) in &rest[..3] {
            assert_eq!(sent(&github, method, path), 1, "{method} {path} {trouble:?}");
        }
        // The next time it is simply done.
        client.merge(opened.number, &head, Way::Squash, &Message::default()).expect("lands");
    }
}

#[test]
fn a_change_that_is_not_answered_in_time_is_looked_for() {
    let (github, head) = ready();
    let mut settings = github.settings(Credentials::Token { mode: TokenMode::Pat, token: Secret::new(PAT) });
    settings.patience = Duration::from_secs(4);
    let client = Client::connect(settings, github.clock()).expect("connects");
    let opened = client.open(&draft()).expect("opens");
    github.trouble("PUT", "/merge", Trouble::Hang { obeyed: true });
    let landed = client.merge(opened.number, &head, Way::Squash, &Message::default()).expect("it has landed");
    assert_eq!(github.world().repository.bare.branch("main"), Some(landed.0));
    assert_eq!(sent(&github, "PUT", "/merge"), 1);
    github.trouble("GET", "/git/ref", Trouble::Hang { obeyed: false });
    assert!(client.branch("main").expect("the second time").is_some());
}

#[test]
fn a_read_is_tried_three_times_with_growing_pauses() {
    for trouble in [Trouble::Error { status: 502, obeyed: false }, Trouble::Drop { obeyed: false }] {
        let (github, head) = ready();
        let client = github.client();
        github.trouble_times(2, "GET", "/git/ref", trouble.clone());
        let before = github.now();
        assert_eq!(client.branch("fractal/t/1"), Ok(Some(head)));
        assert_eq!(sent(&github, "GET", "/git/ref"), 3);
        assert_eq!(github.now().duration_since(before), SignedDuration::from_secs(3));
        github.drain();
        github.trouble_times(9, "GET", "/git/ref", trouble);
        assert!(matches!(client.branch("fractal/t/1"), Err(ForgeError::Unreachable(_))));
        assert_eq!(sent(&github, "GET", "/git/ref"), 3);
    }
}

#[test]
fn where_nobody_listens_nothing_has_happened() {
    let (github, head) = ready();
    let (client, address) = (github.client(), github.address.clone());
    drop(github);
    // The port is free as soon as its thread has seen the end.
    while std::net::TcpStream::connect(address.trim_start_matches("http://")).is_ok() {
        std::thread::yield_now();
    }
    let done = client.merge(1, &head, Way::Squash, &Message::default());
    assert!(matches!(done, Err(ForgeError::Unreachable(_))), "{done:?}");
}

#[test]
fn between_two_changes_is_a_second() {
    let (github, head) = ready();
    let client = github.client();
    let opened = client.open(&draft()).expect("opens");
    client.say(opened.number, "a", "1").expect("says");
    client.say(opened.number, "b", "2").expect("says");
    client.merge(opened.number, &head, Way::Squash, &Message::default()).expect("lands");
    let log = github.drain();
    let times: Vec<_> = log.iter().filter(|exchange| exchange.method != "GET").map(|exchange| exchange.at).collect();
    assert_eq!(times.len(), 4);
    assert!(times.windows(2).all(|two| two[1].duration_since(two[0]) >= SignedDuration::from_secs(1)), "{times:?}");
}

/// Both limits of GraphQL come with the status of success; the first one may also be 403 or 429.
#[test]
fn what_graphql_says_of_its_limits_is_obeyed_and_leaves_the_rest_alone() {
    let (github, head) = ready();
    let client = github.client();
    let rules = Protection { checks: ["tests".to_string()].into(), ..Protection::default() };
    github.change(|repository| drop(repository.protections.insert("main".into(), rules)));
    let opened = client.open(&draft()).expect("opens");
    let later = || client.merge_when_ready(opened.number, &head, Way::Squash, &Message::default());
    // A short one is waited for, and nothing was done before.
    for kind in [Trouble::SecondaryOfGraphql { retry_after: Some(7) }, Trouble::Secondary { retry_after: Some(7) }] {
        github.drain();
        let before = github.now();
        github.trouble("POST", "/graphql", kind);
        assert_eq!(later(), Ok(Later::Automatic));
        assert!(github.now().duration_since(before) >= SignedDuration::from_secs(7));
        assert_eq!(sent(&github, "POST", "/graphql"), 2);
        client.merge_not(opened.number).expect("takes it back");
    }
    for (kind, wanted) in [
        (Trouble::SecondaryOfGraphql { retry_after: Some(120) }, 120),
        (Trouble::SecondaryOfGraphql { retry_after: None }, 60),
        (Trouble::Secondary { retry_after: Some(300) }, 300),
        (Trouble::Secondary { retry_after: None }, 60),
    ] {
        github.trouble("POST", "/graphql", kind.clone());
        let Err(ForgeError::Limited { until, .. }) = later() else { panic!("{kind:?}") };
        assert_eq!(until.duration_since(github.now()), SignedDuration::from_secs(wanted), "{kind:?}");
        github.drain();
        // No other document is sent; what is no GraphQL goes on.
        assert!(matches!(later(), Err(ForgeError::Limited { .. })));
        assert!(client.proposal(opened.number).expect("reads").automatic.is_none());
        assert_eq!(sent(&github, "POST", "/graphql"), 0);
        github.pass(wanted + 1);
    }
    // No points are left: until there are new ones, as the header says.
    github.world().points = 0;
    let reset = github.world().reset;
    let Err(ForgeError::Limited { until, why }) = later() else { panic!("is limited") };
    assert_eq!((until.as_second(), why.contains("rate limit")), (reset, true), "{why}");
    github.pass(reset - github.now().as_second() + 1);
    assert_eq!(later(), Ok(Later::Automatic));
    // The last point is good, and then nothing is sent.
    client.merge_not(opened.number).expect("takes it back");
    github.world().points = 1;
    assert_eq!(later(), Ok(Later::Automatic));
    github.drain();
    assert!(matches!(client.merge_not(opened.number), Err(ForgeError::Limited { .. })));
    assert_eq!(sent(&github, "POST", "/graphql"), 0);
}

#[test]
fn a_short_limit_is_waited_for_and_a_long_one_is_told() {
    let (github, _) = ready();
    let client = github.client();
    github.trouble("POST", "/pulls", Trouble::Secondary { retry_after: Some(5) });
    let before = github.now();
    let opened = client.open(&draft()).expect("waits");
    assert!(github.now().duration_since(before) >= SignedDuration::from_secs(5));
    assert_eq!(sent(&github, "POST", "/pulls"), 2, "the first was refused, so that nothing has happened");
    for (told, wanted) in [(Some(120), 120), (None, 60)] {
        github.trouble("POST", "/comments", Trouble::Secondary { retry_after: told });
        let Err(ForgeError::Limited { until, .. }) = client.say(opened.number, "k", "x") else { panic!("is limited") };
        assert_eq!(until.duration_since(github.now()), SignedDuration::from_secs(wanted));
        github.drain();
        // Until then nothing is sent at all, whatever it is.
        assert!(matches!(client.proposal(opened.number), Err(ForgeError::Limited { .. })));
        assert!(matches!(client.close(opened.number), Err(ForgeError::Limited { .. })));
        assert_eq!(github.drain().len(), 0);
        github.pass(wanted);
        assert!(client.proposal(opened.number).is_ok());
    }
}

#[test]
fn a_token_whose_requests_are_used_up_waits_for_new_ones() {
    let (github, _) = ready();
    let client = github.client();
    github.world().remaining = 1;
    assert!(client.branch("main").is_ok());
    let Err(ForgeError::Limited { until, .. }) = client.branch("main") else { panic!("is limited") };
    assert_eq!(until.as_second(), github.world().reset);
    assert_eq!(github.drain().len(), 1, "the second was not sent");
    github.pass(3600);
    assert!(client.branch("main").is_ok());
}

#[test]
fn what_has_not_changed_costs_no_request() {
    let (github, _) = ready();
    let client = github.client();
    client.open(&draft()).expect("opens");
    let first = client.proposals("main").expect("lists");
    let left = github.world().remaining;
    for _ in 0..5 {
        assert_eq!(client.proposals("main").expect("lists"), first);
    }
    assert_eq!(github.world().remaining, left);
    assert_eq!(github.world().log.iter().filter(|exchange| exchange.status == 304).count(), 5);
    github.push("fractal/t/1", "fractal/t/1", &[("tool.py", "2")], "more");
    assert_ne!(client.proposals("main").expect("lists"), first);
}

#[test]
fn a_page_that_was_full_and_the_last_is_read_again() {
    let (github, _) = ready();
    let client = github.client();
    let opened = client.open(&draft()).expect("opens");
    let say = |from: u64, to: u64| {
        let (author, at) = ("ana".to_string(), github.now());
        let one = |id| Comment {
            id,
            on: opened.number,
            author: author.clone(),
            body: "x".into(),
            created: at,
            updated: at,
            reactions: Default::default(),
        };
        github.change(|repository| repository.comments.extend((from..to).map(one)));
    };
    let count = || client.comments(Some(opened.number), None).expect("reads").len();
    say(1000, 1100);
    assert_eq!((count(), count()), (100, 100));
    // The first page is what it was, and its mark too.
    say(1100, 1101);
    assert_eq!(count(), 101);
}

#[test]
fn what_is_sent_says_who_asks_and_which_version_of_the_interface_is_meant() {
    let (github, _) = ready();
    github.client().open(&draft()).expect("opens");
    let sent = github.drain();
    assert_eq!(sent.len(), 2);
    for exchange in sent {
        let header = |name: &str| exchange.headers.get(name).map(String::as_str).unwrap_or_default();
        assert_eq!(header("user-agent"), concat!("fractal/", env!("CARGO_PKG_VERSION")));
        assert_eq!((header("x-github-api-version"), header("accept")), ("2022-11-28", "application/vnd.github+json"));
        assert_eq!(header("authorization"), format!("Bearer {PAT}"));
    }
}

#[test]
fn a_base_that_moves_in_the_middle_of_a_merge_is_told_apart_from_a_refusal() {
    let (github, head) = ready();
    let client = github.client();
    let opened = client.open(&draft()).expect("opens");
    github.trouble("PUT", "/merge", Trouble::BaseMoves);
    let done = client.merge(opened.number, &head, Way::Squash, &Message::default());
    assert!(matches!(done, Err(ForgeError::Moved(_))), "{done:?}");
    assert_eq!(sent(&github, "PUT", "/merge"), 1);
    for (status, message) in [(422, "Update is not a fast forward"), (405, "Pull Request is not mergeable")] {
        github.trouble("PUT", "/merge", Trouble::Refuse { status, message });
        let done = client.merge(opened.number, &head, Way::Squash, &Message::default());
        assert!(matches!(&done, Err(ForgeError::Refused(why)) if why.contains(message)), "{done:?}");
    }
}

#[test]
fn a_base_with_a_queue_lands_through_it_and_in_no_other_way() {
    let (github, head) = ready();
    let rules = Protection { checks: ["tests".to_string()].into(), queue: true, ..Protection::default() };
    github.change(|repository| repository.protections.insert("main".into(), rules));
    let client = github.client();
    let opened = client.open(&draft()).expect("opens");
    let before = client.branch("main");
    let later = || client.merge_when_ready(opened.number, &head, Way::Squash, &Message::default());
    let stale = CommitId("1".repeat(40));
    let refused = client.merge_when_ready(opened.number, &stale, Way::Squash, &Message::default());
    assert!(matches!(refused, Err(ForgeError::Moved(_))), "{refused:?}");
    github.trouble("POST", "/graphql", Trouble::Drop { obeyed: false });
    assert!(matches!(later(), Err(ForgeError::Unclear(_))));
    github.trouble("POST", "/graphql", Trouble::Drop { obeyed: true });
    assert_eq!((later(), later()), (Ok(Later::Queued), Ok(Later::Queued)));
    client.merge_not(opened.number).expect("leaves the queue");
    github.check(&head.0, "tests", Some(true));
    assert_eq!(client.branch("main"), before);
    let direct = client.merge(opened.number, &head, Way::Squash, &Message::default());
    assert!(matches!(&direct, Err(ForgeError::Refused(why)) if why.contains("merge queue")), "{direct:?}");
    later().expect("goes in");
    assert!(matches!(client.proposal(opened.number).expect("reads").state, State::Landed { .. }));
}

#[test]
fn a_proposal_of_which_github_does_not_know_yet_says_so() {
    let (github, _) = ready();
    let client = github.client();
    let opened = client.open(&draft()).expect("opens");
    github.change(|repository| repository.unsure = 2);
    let seen: Vec<_> = (0..3).map(|_| client.proposal(opened.number).expect("reads").landable).collect();
    assert_eq!(seen, [Landable::Unknown, Landable::Unknown, Landable::Yes]);
}

#[test]
fn what_others_opened_a_moment_ago_and_no_list_shows_yet_is_not_opened_twice() {
    let (github, _) = ready();
    let first = github.client().open(&draft()).expect("opens");
    github.change(|repository| repository.lag = 1);
    let again = github.client().open(&draft()).expect("is the same");
    assert_eq!((again.number, github.world().repository.pulls.len()), (first.number, 1));
}

#[test]
fn a_request_that_arrives_twice_leaves_one_proposal_and_comments_stay_one() {
    let (github, _) = ready();
    let client = github.client();
    github.trouble("POST", "/pulls", Trouble::Twice);
    let opened = client.open(&draft()).expect("opens");
    github.trouble("POST", "/comments", Trouble::Twice);
    client.say(opened.number, "k", "one").expect("says");
    let twice = client.comments(Some(opened.number), None).expect("reads");
    client.say(opened.number, "k", "two").expect("says");
    assert_eq!(client.comments(Some(opened.number), None).expect("reads").len(), twice.len());
    assert_eq!(github.world().repository.pulls.len(), 1);
}

#[test]
fn a_proposal_whose_fork_is_gone_is_nobodys_of_ours_and_breaks_no_list() {
    let (github, _) = ready();
    let client = github.client();
    let opened = client.open(&draft()).expect("opens");
    github.change(|repository| repository.pulls.get_mut(&opened.number).expect("is there").orphan = true);
    assert_eq!(client.proposals("main"), Ok(Vec::new()));
    assert!(!client.proposal(opened.number).expect("reads").from_here);
}

#[test]
fn a_token_that_may_not_is_told_so_and_nothing_is_sent_again() {
    let (github, head) = ready();
    github.world().tokens.get_mut(WORKFLOW_TOKEN).expect("is there").writes.clear();
    let client = github.client_as(TokenMode::GithubToken, WORKFLOW_TOKEN);
    let report = Report { name: "g".into(), verdict: Verdict::Passed, title: "t".into(), text: String::new() };
    let results =
        [client.open(&draft()).map(drop), client.report(&head, &report), client.move_branch("fractal/t/1", Some(&head), None)];
    for result in results {
        assert!(matches!(result, Err(ForgeError::NotPermitted(_))), "{result:?}");
    }
    assert_eq!(github.count("POST"), 3);
    let access = client.access().expect("reads");
    assert_eq!((access.push, access.propose, access.starts_checks), (May::No, May::No, May::No));
    let stranger = github.client_as(TokenMode::Pat, "ghp_nobody");
    let Err(ForgeError::NotPermitted(why)) = stranger.access() else { panic!("is unknown") };
    assert!(why.contains("Bad credentials") && !why.contains("ghp_nobody"), "{why}");
}

#[test]
fn what_a_token_may_do_is_known_before_it_is_used() {
    let (github, _) = ready();
    let person = github.client().access().expect("reads");
    assert_eq!(person.me, "carl");
    assert_eq!((person.push, person.propose, person.comment, person.starts_checks), (May::Yes, May::Yes, May::Yes, May::Yes));
    assert_eq!((person.report, person.change_workflows), (May::No, May::Yes));
    github.world().tokens.get_mut(PAT).expect("is there").scopes = Some("read:org".into());
    let less = github.client().access().expect("reads");
    assert_eq!((less.push, less.propose, less.change_workflows), (May::No, May::No, May::No));
    github.world().tokens.get_mut(PAT).expect("is there").scopes = None;
    assert_eq!(github.client().access().expect("reads").propose, May::Unknown);
}

#[test]
fn a_workflows_token_reports_checks_with_texts_and_a_persons_a_line() {
    let (github, head) = ready();
    let report = Report { name: "fractal/gate".into(), verdict: Verdict::Failed, title: "why".into(), text: "**long**".into() };
    let client = github.client_as(TokenMode::GithubToken, WORKFLOW_TOKEN);
    github.trouble("POST", "/check-runs", Trouble::Error { status: 500, obeyed: true });
    client.report(&head, &report).expect("it is there");
    client.report(&head, &Report { verdict: Verdict::Passed, ..report.clone() }).expect("reports");
    assert_eq!((github.count("POST"), github.count("PATCH")), (1, 1));
    let runs = github.world().repository.check_runs.clone();
    assert_eq!((runs.len(), runs[0].summary.as_deref(), runs[0].conclusion.as_deref()), (1, Some("**long**"), Some("success")));
    github.client().report(&head, &report).expect("reports");
    assert_eq!(github.world().repository.statuses[0].description.as_deref(), Some("why"));
}

#[test]
fn another_place_gets_no_token() {
    let (github, _) = ready();
    let client = github.client();
    let to = |path: &str| format!("{}{path}", github.address);
    let there = to("/repositories/42/git/ref/heads/main");
    github.trouble("GET", "/repos/ana/tools/git/ref", Trouble::Redirect { status: 301, to: there });
    assert!(client.branch("main").expect("follows").is_some());
    let elsewhere = GitHub::start();
    let there = format!("{}/repositories/42/git/ref/heads/two", elsewhere.address);
    github.trouble("GET", "/git/ref", Trouble::Redirect { status: 302, to: there });
    assert!(matches!(client.branch("two"), Err(ForgeError::Setup(_))));
    assert_eq!(elsewhere.drain().len(), 0);
    github.trouble("POST", "/pulls", Trouble::Redirect { status: 307, to: to("/repositories/42/pulls") });
    assert!(matches!(client.open(&draft()), Err(ForgeError::Setup(_))));
    assert_eq!(github.count("POST"), 1);
}

#[test]
fn a_server_of_ones_own_is_asked_below_its_path_and_for_graphql_beside_it() {
    let github = GitHub::start_below("/api/v3");
    let head = CommitId(github.push("fractal/t/1", "main", &[("tool.py", "1")], "a change"));
    github.world().page_max = 1;
    let client = github.client();
    let opened = client.open(&draft()).expect("opens");
    github.says("ana", opened.number, "1");
    github.says("ana", opened.number, "2");
    assert_eq!(client.comments(Some(opened.number), None).expect("reads").len(), 2);
    client.move_branch("fractal/t/2", None, Some(&head)).expect("moves");
    client.merge(opened.number, &head, Way::Squash, &Message::default()).expect("lands");
    assert!(github.drain().iter().all(|exchange| exchange.status < 300));
}

#[test]
fn an_app_makes_tokens_that_last_an_hour_and_new_ones_in_time() {
    let Some((github, client)) = or_not_run(app(), "openssl") else { return };
    let head = CommitId(github.push("fractal/t/1", "main", &[("tool.py", "1")], "a change"));
    let opened = client.open(&draft()).expect("opens");
    assert_eq!(opened.author, "fractal-bot[bot]");
    let report = Report { name: "fractal/gate".into(), verdict: Verdict::Passed, title: "t".into(), text: "x".into() };
    client.report(&head, &report).expect("reports");
    assert_eq!(sent(&github, "POST", "/access_tokens"), 1, "one token for everything");
    github.pass(56 * 60);
    assert!(client.branch("main").is_ok());
    assert_eq!(sent(&github, "POST", "/access_tokens"), 2, "before the first has ended");
    // Somebody takes the token back.
    github.world().minted.clear();
    client.say(opened.number, "k", "x").expect("with a new one");
    assert_eq!(github.world().repository.comments.len(), 1);
    assert!(!format!("{:?}", github.settings(key(&github))).contains("PRIVATE"));
    github.world().app_writes = vec!["checks"];
    let fresh = Client::connect(github.settings(key(&github)), github.clock()).expect("connects");
    let access = fresh.access().expect("reads");
    assert_eq!((access.me.as_str(), access.push, access.report), ("fractal-bot[bot]", May::No, May::Yes));
}

#[test]
fn what_an_app_commits_is_signed_by_github() {
    let Some((github, client)) = or_not_run(app(), "openssl") else { return };
    let main = CommitId(github.world().repository.bare.branch("main").expect("main"));
    let file = fractal::world::forge::File { content: b"x".to_vec(), executable: true };
    client.commit(&main, &[("run".to_string(), Some(file))].into(), "a commit").expect("commits");
    let log = github.drain();
    let made = log.iter().rfind(|exchange| exchange.path.ends_with("/git/commits")).expect("was sent");
    assert_eq!(made.answer["verification"]["verified"], true);
}

/// A model with an App, and a client that is it; none without `openssl`, which makes its key.
fn app() -> Option<(GitHub, Client)> {
    let github = GitHub::start();
    github.make_app()?;
    let client = Client::connect(github.settings(key(&github)), github.clock()).expect("connects");
    Some((github, client))
}

fn key(github: &GitHub) -> Credentials {
    let key = std::fs::read_to_string(github.folder().join("app.pem")).expect("was made");
    Credentials::App { app: 7, key: Secret::new(key) }
}

/// Asks again, as a loop does in its next cycles, until it is done; what is limited waits.
fn insist<T>(github: &GitHub, what: &str, act: impl Fn() -> Result<T, ForgeError>) -> T {
    for _ in 0..40 {
        match act() {
            Ok(done) => return done,
            Err(ForgeError::Limited { until, .. }) => github.pass(until.duration_since(github.now()).as_secs().max(0)),
            Err(ForgeError::Unclear(_) | ForgeError::Unreachable(_) | ForgeError::Moved(_)) => {}
            Err(error) => panic!("{what}: {error}"),
        }
    }
    panic!("{what} never ends");
}

#[test]
fn whatever_goes_wrong_on_the_way_each_act_happens_once() {
    for seed in 0..40 {
        let (github, head) = ready();
        let client = github.client_as(TokenMode::GithubToken, WORKFLOW_TOKEN);
        let mut chance = SplitMix(seed);
        let mut stir = || {
            for _ in 0..chance.draw() % 6 {
                let method = ["GET", "GET", "POST", "PUT", "PATCH"][(chance.draw() % 5) as usize];
                let obeyed = chance.draw().is_multiple_of(2);
                let kind = match chance.draw() % 6 {
                    0 => Trouble::Error { status: 500, obeyed },
                    1 => Trouble::Error { status: 502, obeyed },
                    2 => Trouble::Secondary { retry_after: Some(chance.draw() % 30) },
                    3 => Trouble::Secondary { retry_after: None },
                    4 => Trouble::Garbage,
                    _ => Trouble::Drop { obeyed },
                };
                github.trouble(method, "", kind);
            }
        };
        let report = |verdict| Report { name: "fractal/gate".into(), verdict, title: "t".into(), text: "x".into() };
        stir();
        let opened = insist(&github, "open", || client.open(&draft()));
        stir();
        insist(&github, "say", || client.say(opened.number, "status", "one"));
        stir();
        insist(&github, "report", || client.report(&head, &report(Verdict::Pending)));
        stir();
        insist(&github, "say again", || client.say(opened.number, "status", "two"));
        stir();
        insist(&github, "report again", || client.report(&head, &report(Verdict::Passed)));
        stir();
        let landed = insist(&github, "merge", || client.merge(opened.number, &head, Way::Squash, &Message::default()));
        let world = github.world();
        let repository = &world.repository;
        assert_eq!((repository.pulls.len(), repository.comments.len()), (1, 1), "seed {seed}");
        assert!(repository.comments[0].body.ends_with("two"), "seed {seed}");
        let runs: Vec<_> = repository.check_runs.iter().map(|run| run.conclusion.as_deref()).collect();
        assert_eq!(runs, [Some("success")], "seed {seed}");
        assert_eq!(repository.bare.branch("main"), Some(landed.0), "seed {seed}");
        assert_eq!(repository.bare.text(&["rev-list", "--count", "main"]), "2", "seed {seed}");
    }
}
