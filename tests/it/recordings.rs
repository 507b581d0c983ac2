//! Answers that the real GitHub has given, through our client: recorded for the tests of PyGithub, in its source package (LGPL; fetched by
//! `.ci/peers`, not copied).
//!
//! They are older than GitHub's description and in places they say what it says they never do: what reads them is lenient.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};

use fractal::config::TokenMode;
use fractal::model::CommitId;
use fractal::world::clock::Clock;
use fractal::world::forge::github::{Credentials, GitHub as Client, Secret, Settings};
use fractal::world::forge::{Draft, Forge, ForgeError, Later, May, Message, State, Way};
use jiff::SignedDuration;

use crate::peers::or_not_run;

/// One recorded exchange.
#[derive(Clone, Debug)]
struct Recorded {
    method: String,
    path: String,
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

#[track_caller]
fn folder() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/pygithub/tests/ReplayData");
    or_not_run(path.is_dir().then_some(path), "recordings of PyGithub (`.ci/peers` fetches them)")
}

/// The texts between quotes in what Python prints of tuples of texts.
fn quoted(line: &str) -> Vec<String> {
    let (mut all, mut signs) = (Vec::new(), line.chars());
    while let Some(quote) = signs.by_ref().find(|sign| matches!(sign, '\'' | '"')) {
        let mut text = String::new();
        while let Some(sign) = signs.next().filter(|sign| *sign != quote) {
            text.push(if sign == '\\' { signs.next().unwrap_or('\\') } else { sign });
        }
        all.push(text);
    }
    all
}

/// The exchanges of a file: ten lines each, and an empty one between them.
fn read(path: &Path) -> Vec<Recorded> {
    let text = String::from_utf8_lossy(&std::fs::read(path).expect("reads")).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let blocks = lines.split(|line| line.is_empty()).filter(|block| block.len() >= 9);
    let one = |block: &[&str]| {
        let headers = quoted(block[8]).chunks_exact(2).map(|pair| (pair[0].to_lowercase(), pair[1].clone())).collect();
        let body = block.get(9).unwrap_or(&"").to_string();
        Some(Recorded { method: block[1].into(), path: block[4].into(), status: block[7].parse().ok()?, headers, body })
    };
    blocks.filter_map(one).collect()
}

fn file(name: &str) -> Option<Vec<Recorded>> {
    let found = read(&folder()?.join(format!("{name}.txt")));
    assert!(!found.is_empty(), "{name} has no exchange");
    Some(found)
}

fn plain(body: &str) -> Recorded {
    Recorded { method: "GET".into(), path: String::new(), status: 200, headers: Vec::new(), body: body.into() }
}

/// Answers what was recorded, in its order, whatever is asked; what was asked is kept with its headers.
struct Replay {
    address: String,
    asked: Arc<Mutex<Vec<Vec<String>>>>,
    left: Arc<Mutex<VecDeque<Recorded>>>,
}

impl Replay {
    fn of(recorded: impl IntoIterator<Item = Recorded>) -> Replay {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("has one"));
        let left: Arc<Mutex<VecDeque<Recorded>>> = Arc::new(Mutex::new(recorded.into_iter().collect()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let replay = Replay { address: address.clone(), asked: asked.clone(), left: left.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let next = left.lock().expect("whole").pop_front();
                // Who goes away in the middle has its reasons.
                let _ = answer(stream, next, &address, &asked);
            }
        });
        replay
    }

    fn client(&self, repository: &str) -> Client {
        let token = Secret::new("ghp_0123456789abcdefghijklmnopqrstuvwxyz");
        let settings = Settings {
            repository: repository.into(),
            url: self.address.clone(),
            credentials: Credentials::Token { mode: TokenMode::GithubToken, token },
            patience: std::time::Duration::from_secs(20),
            pace: std::time::Duration::from_secs(1),
        };
        Client::connect(settings, clock()).expect("connects")
    }

    /// The first line and the headers of each request so far.
    fn asked(&self) -> Vec<Vec<String>> {
        self.asked.lock().expect("whole").clone()
    }

    fn is_over(&self) -> bool {
        self.left.lock().expect("whole").is_empty()
    }
}

const NOW: i64 = 1_790_000_000;

fn clock() -> Clock {
    Clock::Fixed(Arc::new(AtomicI64::new(NOW * 1000)))
}

fn answer(mut stream: TcpStream, recorded: Option<Recorded>, address: &str, asked: &Mutex<Vec<Vec<String>>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().expect("clones"));
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim() {
            "" => break,
            line => lines.push(line.to_lowercase()),
        }
    }
    let length = lines.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    reader.read_exact(&mut vec![0; length]).ok()?;
    asked.lock().expect("whole").push(lines);
    let recorded = recorded.unwrap_or(Recorded { status: 418, ..plain("") });
    let mut head = format!("HTTP/1.1 {} X\r\nconnection: close\r\ncontent-length: {}\r\n", recorded.status, recorded.body.len());
    let leave_out = ["content-length", "transfer-encoding", "content-encoding", "connection", "status", "server", "date"];
    for (name, value) in recorded.headers.iter().filter(|(name, _)| !leave_out.contains(&name.as_str())) {
        // They lead to where they were recorded.
        head.push_str(&format!("{name}: {}\r\n", value.replace("https://api.github.com", address)));
    }
    stream.write_all(format!("{head}\r\n{}", recorded.body).as_bytes()).ok()
}

#[test]
fn what_has_not_changed_is_asked_for_with_its_mark_and_taken_from_what_is_kept() {
    let (Some(first), Some(second)) = (file("ConditionalRequestUpdate.setUp"), file("ConditionalRequestUpdate.testDidNotUpdate"))
    else {
        return;
    };
    assert_eq!(second[0].status, 304);
    let replay = Replay::of(first.into_iter().chain(second));
    let client = replay.client("akfish/PyGithub");
    let before = client.access().expect("reads");
    assert_eq!((before.push, client.access()), (May::Yes, Ok(before)));
    let asked = replay.asked();
    assert!(!asked[0].iter().any(|line| line.starts_with("if-none-match")));
    assert!(asked[1].contains(&"if-none-match: \"8600bedcb7fed1d8065e1693e05529ce\"".to_string()), "{:?}", asked[1]);
}

#[test]
fn a_limit_that_names_its_seconds_is_kept() {
    let Some(recorded) = file("SpecificExceptions.testAuthenticatedRateLimitExceeded") else { return };
    let replay = Replay::of(recorded.into_iter().filter(|one| one.status == 403).take(1));
    let client = replay.client("PyGithub/PyGithub");
    for _ in 0..2 {
        let Err(ForgeError::Limited { until, why }) = client.branch("main") else { panic!("is limited") };
        assert_eq!(until.as_second(), NOW + 60);
        assert!(why.contains("abuse detection mechanism"), "{why}");
    }
    assert_eq!(replay.asked().len(), 1);
    let Some(old) = file("SpecificExceptions.testRateLimitExceeded") else { return };
    let replay = Replay::of(old.into_iter().filter(|one| one.status == 403).take(1));
    let Err(ForgeError::Limited { until, .. }) = replay.client("PyGithub/PyGithub").branch("main") else { panic!("is limited") };
    assert_eq!(until, jiff::Timestamp::from_second(NOW).expect("a time") + SignedDuration::from_secs(60));
}

#[test]
fn a_server_that_stumbles_is_asked_again_as_often_as_we_say() {
    let (Some(once), Some(thrice)) = (file("Retry.testReturnsRepoAfter1Retry"), file("Retry.testReturnsRepoAfter3Retries"))
    else {
        return;
    };
    assert_eq!(once.iter().map(|one| one.status).collect::<Vec<_>>(), [500, 200]);
    let replay = Replay::of(once);
    replay.client("PyGithub/PyGithub").access().expect("the second time");
    assert!(replay.is_over());
    assert_eq!(thrice.iter().map(|one| one.status).collect::<Vec<_>>(), [502, 502, 502, 200]);
    let replay = Replay::of(thrice);
    let client = replay.client("PyGithub/PyGithub");
    assert!(matches!(client.access(), Err(ForgeError::Unreachable(_))));
    assert_eq!(replay.asked().len(), 3);
    client.access().expect("the next time");
}

#[test]
fn refusals_say_what_github_said() {
    let (Some(conflict), Some(invalid)) = (file("Repository.testMergeWithConflict"), file("Exceptions.testInvalidInput")) else {
        return;
    };
    let conflict = conflict.into_iter().find(|one| one.status == 409).expect("is recorded");
    let Some(pull) = file("PullRequest.setUp") else { return };
    let pull = pull.into_iter().find(|one| one.path.contains("/pulls/31")).expect("is recorded");
    let replay = Replay::of([conflict, pull]);
    let head = CommitId("0".repeat(40));
    let done = replay.client("PyGithub/PyGithub").merge(31, &head, Way::Merge, &Message::default());
    assert!(matches!(&done, Err(ForgeError::Moved(why)) if why.contains("Merge conflict")), "{done:?}");
    let invalid = invalid.into_iter().find(|one| one.status == 422).expect("is recorded");
    let replay = Replay::of([plain("[]"), invalid]);
    let draft = Draft { branch: "x".into(), base: "main".into(), title: "t".into(), text: "x".into(), draft: false };
    let done = replay.client("PyGithub/PyGithub").open(&draft);
    assert!(matches!(&done, Err(ForgeError::Refused(why)) if why.contains("key is invalid")), "{done:?}");
}

#[test]
fn a_repository_that_lands_nothing_by_itself_refuses_and_says_so() {
    for (name, refused) in [("PullRequest.testEnableAutomergeError", true), ("PullRequest.testEnableAutomerge", false)] {
        let (Some(recorded), Some(pull), Some(once)) =
            (file(name), file("PullRequest.setUp"), file("Retry.testReturnsRepoAfter1Retry"))
        else {
            return;
        };
        let graphql = recorded.into_iter().find(|one| one.path.contains("graphql")).expect("is recorded");
        let pull = pull.into_iter().find(|one| one.path.contains("/pulls/31")).expect("is recorded");
        let head = serde_json::from_str::<serde_json::Value>(&pull.body).expect("JSON")["head"]["sha"].clone();
        let head = CommitId(head.as_str().expect("text").into());
        let branch = plain(r#"{"name": "master", "protected": false}"#);
        let replay = Replay::of([pull, branch, plain("[]"), once[1].clone(), graphql]);
        let done = replay.client("PyGithub/PyGithub").merge_when_ready(31, &head, Way::Squash, &Message::default());
        match done {
            Err(ForgeError::Refused(why)) if refused => {
                assert_eq!(why, "Pull request Auto merge is not allowed for this repository");
            }
            Ok(Later::Automatic) if !refused => {}
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn pages_are_followed_where_github_says_they_are() {
    let Some(recorded) = file("PaginatedList.testCustomPerPageIteration") else { return };
    let pages: Vec<Recorded> = recorded.into_iter().filter(|one| one.path.contains("/comments?per_page=3")).collect();
    let wanted: Vec<String> = pages.iter().skip(1).map(|one| one.path.clone()).collect();
    assert!(wanted.len() >= 2, "{wanted:?}");
    let replay = Replay::of(pages);
    let comments = replay.client("PyGithub/PyGithub").comments(Some(1136), None).expect("reads");
    assert!(comments.len() > 6 && comments.iter().all(|comment| comment.on == 1136), "{}", comments.len());
    let asked: Vec<String> =
        replay.asked().iter().skip(1).map(|lines| lines[0].split(' ').nth(1).unwrap_or_default().into()).collect();
    assert_eq!(asked, wanted);
}

#[test]
fn a_pull_request_whose_fork_is_gone_is_read() {
    let Some(pull) = file("PullRequest.setUp") else { return };
    let pull = pull.into_iter().find(|one| one.path.contains("/pulls/31")).expect("is recorded");
    assert!(pull.body.contains("\"repo\":null") || pull.body.contains("\"repo\": null"));
    let read = Replay::of([pull]).client("PyGithub/PyGithub").proposal(31).expect("reads");
    assert!(!read.from_here && matches!(read.state, State::Landed { .. }));
}

/// What of ours reads the answer to a recorded request.
fn read_by_us(client: &Client, one: &Recorded) -> Option<Result<(), ForgeError>> {
    let path = one.path.split('?').next()?;
    let parts: Vec<&str> = path.split('/').skip(4).collect();
    let number = |text: &str| text.parse::<u64>().ok();
    let commit = |text: &str| CommitId(text.to_string());
    Some(match parts.as_slice() {
        [] => client.access().map(drop),
        ["pulls", text] => client.proposal(number(text)?).map(drop),
        ["pulls"] => client.proposals("main").map(drop),
        ["pulls", text, "reviews"] => client.reviews(number(text)?).map(drop),
        ["issues", "comments"] => client.comments(None, None).map(drop),
        ["issues", text, "comments"] => client.comments(Some(number(text)?), None).map(drop),
        ["collaborators", who, "permission"] => client.level(who).map(drop),
        ["git", "ref" | "refs", "heads", name @ ..] if !name.is_empty() => client.branch(&name.join("/")).map(drop),
        ["commits", sha, "check-runs"] => client.checks(&commit(sha)).map(drop),
        _ => return None,
    })
}

#[test]
fn every_recorded_answer_to_a_question_that_we_ask_is_understood() {
    let Some(folder) = folder() else { return };
    let mut names: Vec<PathBuf> = std::fs::read_dir(folder).expect("reads").flatten().map(|entry| entry.path()).collect();
    names.sort();
    let (mut count, mut wrong) = (0, Vec::new());
    for path in &names {
        let good = |one: &Recorded| one.method == "GET" && one.status == 200 && one.path.starts_with("/repos/");
        for mut one in read(path).into_iter().filter(good) {
            one.headers.retain(|(name, _)| !matches!(name.as_str(), "link" | "etag") && !name.starts_with("x-ratelimit"));
            // Addresses of users were replaced by a sign in some, and fields cut out of others.
            let replay = Replay::of([one.clone(), plain(r#"{"statuses": []}"#)]);
            let repository: Vec<&str> = one.path.split(['/', '?']).skip(2).take(2).collect();
            if let Some(read) = read_by_us(&replay.client(&repository.join("/")), &one) {
                count += 1;
                let name = path.file_name().expect("has one").to_string_lossy().into_owned();
                wrong.extend(read.err().map(|error| format!("{name} {}: {error}", one.path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 100, "{count}");
}
