//! GitHub as it is used: `fractal doctor` with every kind of token, pushes through git, and what looking costs.

use std::process::Command;

use fractal::model::CommitId;
use fractal::world::forge::{Draft, Forge, Message, State, Way};
use serde_json::Value;

use crate::between::tls_front;
use crate::github::{GitHub, PAT, Protection, REPOSITORY, WORKFLOW_TOKEN};
use crate::peers::or_not_run;
use crate::server::make_certificates;
use crate::support::{Repository, tell, text};

/// What the doctor says of a part of the forge: what it is about, whether it is good, and why.
type Said = (String, bool, String);

fn doctor(github: &GitHub, token: &str, environment: &[(&str, &str)]) -> (Option<i32>, Vec<Said>) {
    doctor_at(&github.address, token, environment)
}

fn doctor_at(url: &str, token: &str, environment: &[(&str, &str)]) -> (Option<i32>, Vec<Said>) {
    let url = format!("url = \"{url}\"\ntoken = \"{token}\"\napp = 7");
    doctor_of(&format!("[forge]\nkind = \"github\"\nrepository = \"{REPOSITORY}\"\n{url}\n"), environment)
}

fn doctor_of(config: &str, environment: &[(&str, &str)]) -> (Option<i32>, Vec<Said>) {
    let repository = Repository::greeter();
    repository.configure(config);
    let mut command = repository.hermetic(env!("CARGO_BIN_EXE_fractal"));
    let done = command.args(["doctor", "--json"]).envs(environment.iter().copied()).output().expect("runs");
    let printed = text(&done.stdout) + &text(&done.stderr);
    for (_, secret) in environment.iter().filter(|(name, _)| !name.ends_with("_FILE")) {
        assert!(!printed.contains(secret), "a secret is shown");
    }
    let said: Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {printed}"));
    let own = ["repository", "configuration", "base branch", "kill switch", "store"];
    let states = said["state"].as_array().expect("a list").iter();
    let states = states.map(|state| {
        let text = |key: &str| state[key].as_str().expect("text").to_string();
        (text("what"), state["good"] == true, text("said"))
    });
    (done.status.code(), states.filter(|(what, ..)| !own.contains(&what.as_str())).collect())
}

fn demand(github: &GitHub, check: &str) {
    let rules = Protection { checks: [check.to_string()].into(), ..Protection::default() };
    github.change(|repository| repository.protections.insert("main".into(), rules));
}

fn bad(states: &[Said]) -> Vec<&str> {
    states.iter().filter(|(_, good, _)| !good).map(|(what, ..)| what.as_str()).collect()
}

#[test]
fn the_doctor_names_what_a_token_may_not_and_what_the_branch_does_not_demand() {
    let github = GitHub::start();
    let (code, states) = doctor(&github, "pat", &[("FRACTAL_GITHUB_TOKEN", PAT)]);
    assert_eq!((code, bad(&states)), (Some(1), vec!["checks"]), "{states:#?}");
    assert!(states[0].2.ends_with("/ana/tools, as carl"), "{states:#?}");
    demand(&github, "tests");
    let (code, states) = doctor(&github, "pat", &[("GITHUB_TOKEN", PAT)]);
    assert_eq!((code, bad(&states)), (Some(0), Vec::new()), "{states:#?}");
    // A workflow's own token starts no checks.
    let (code, states) = doctor(&github, "github-token", &[("GITHUB_TOKEN", WORKFLOW_TOKEN)]);
    assert_eq!((code, bad(&states)), (Some(1), vec!["their start"]), "{states:#?}");
    github.world().tokens.get_mut(PAT).expect("is there").scopes = Some("read:org".into());
    let (_, states) = doctor(&github, "pat", &[("FRACTAL_GITHUB_TOKEN", PAT)]);
    assert_eq!(bad(&states), ["branches", "proposals", "comments"], "{states:#?}");
    assert!(github.drain().iter().all(|exchange| exchange.method == "GET"), "it only looks");
}

#[test]
fn the_doctor_says_what_is_missing_before_anything_can_be_asked() {
    let github = GitHub::start();
    for (mode, environment, words) in [
        ("pat", vec![], "`FRACTAL_GITHUB_TOKEN`"),
        ("app", vec![("FRACTAL_GITHUB_APP_KEY", "no key at all")], "private key"),
        ("app", vec![("FRACTAL_GITHUB_APP_KEY_FILE", "/nowhere/key.pem")], "/nowhere/key.pem"),
        ("pat", vec![("FRACTAL_GITHUB_TOKEN", "ghp_somebody_else")], "Bad credentials"),
    ] {
        let (code, states) = doctor(&github, mode, &environment);
        assert_eq!((code, states.len()), (Some(1), 1), "{states:#?}");
        assert!(states[0].0 == "forge" && states[0].2.contains(words), "{states:#?}");
    }
}

#[test]
fn an_app_is_known_by_its_name_and_its_installation() {
    let github = GitHub::start();
    // The program has the machine's clock.
    let now = jiff::Timestamp::now();
    github.pass(now.as_second() - github.now().as_second());
    let Some(key) = or_not_run(github.make_app(), "openssl") else { return };
    demand(&github, "tests");
    let (code, states) = doctor(&github, "app", &[("FRACTAL_GITHUB_APP_KEY_FILE", &key)]);
    assert_eq!((code, bad(&states)), (Some(0), Vec::new()), "{states:#?}");
    assert!(states[0].2.ends_with("as fractal-bot[bot]"), "{states:#?}");
    github.world().app_writes = vec!["contents"];
    let (_, states) = doctor(&github, "app", &[("FRACTAL_GITHUB_APP_KEY_FILE", &key)]);
    assert_eq!(bad(&states), ["proposals", "comments"], "{states:#?}");
}

/// Which token, what is missing there, what the configuration wants besides, and what must be named for it.
type Case = (&'static str, &'static str, fn(&GitHub), &'static str, &'static [&'static str]);

fn takes(github: &GitHub, token: &str, right: &'static str) {
    github.world().tokens.get_mut(token).expect("is there").writes.remove(right);
}

const CASES: [Case; 15] = [
    ("pat", "nothing", |_| {}, "", &[]),
    ("pat", "the right to push", |github| takes(github, PAT, "contents"), "", &["branches"]),
    ("pat", "the scope `repo`", |github| scope(github, "read:org"), "", &["branches", "proposals", "comments"]),
    ("pat", "a required check", |github| github.change(|all| all.protections.clear()), "", &["checks"]),
    (
        "pat",
        "a required check, without need",
        |github| github.change(|all| all.protections.clear()),
        "without_checks = true",
        &[],
    ),
    ("pat", "auto-merge", |github| github.change(|all| all.auto_merge = false), "automatic = true", &["automatic"]),
    ("pat", "auto-merge, without need", |github| github.change(|all| all.auto_merge = false), "", &[]),
    ("pat", "squashing", |github| github.change(|all| all.ways = ["merge"].into()), "way = \"squash\"", &["landing"]),
    ("github-token", "nothing", |_| {}, "", &["their start"]),
    (
        "github-token",
        "the right to push",
        |github| takes(github, WORKFLOW_TOKEN, "contents"),
        "",
        &["branches", "proposals", "their start"],
    ),
    ("app", "nothing", |_| {}, "automatic = true", &[]),
    ("app", "Contents", |github| github.world().app_writes.retain(|right| *right != "contents"), "", &["branches"]),
    ("app", "Pull requests", |github| github.world().app_writes.retain(|right| *right != "pull_requests"), "", &["proposals"]),
    ("app", "Checks, which it can do without", |github| github.world().app_writes.retain(|right| *right != "checks"), "", &[]),
    (
        "app",
        "Issues and Pull requests",
        |github| github.world().app_writes = vec!["contents", "checks"],
        "",
        &["proposals", "comments"],
    ),
];

fn scope(github: &GitHub, scopes: &str) {
    github.world().tokens.get_mut(PAT).expect("is there").scopes = Some(scopes.into());
}

#[test]
fn whatever_is_missing_for_the_configuration_is_named_with_the_next_step_and_ends_with_1() {
    for (mode, missing, change, config, wanted) in CASES {
        let github = GitHub::start();
        github.pass(jiff::Timestamp::now().as_second() - github.now().as_second());
        demand(&github, "tests");
        let key = if mode == "app" { or_not_run(github.make_app(), "openssl") } else { Some(String::new()) };
        let Some(key) = key else { return };
        change(&github);
        let environment = match mode {
            "pat" => [("FRACTAL_GITHUB_TOKEN", PAT)],
            "app" => [("FRACTAL_GITHUB_APP_KEY_FILE", key.as_str())],
            _ => [("GITHUB_TOKEN", WORKFLOW_TOKEN)],
        };
        let forge = format!("[forge]\nkind = \"github\"\nrepository = \"{REPOSITORY}\"\nurl = \"{}\"", github.address);
        let (code, states) = doctor_of(&format!("{forge}\ntoken = \"{mode}\"\napp = 7\n{config}\n"), &environment);
        let what = format!("{mode} without {missing} ({config})");
        assert_eq!((bad(&states), code), (wanted.to_vec(), Some(i32::from(!wanted.is_empty()))), "{what}: {states:#?}");
        tell(&format!("{what}: exit {}", code.unwrap_or(-1)));
        states
            .iter()
            .for_each(|(what, good, said)| tell(&format!("  {} {what:<12} {said}", if *good { "good " } else { "WRONG" })));
        assert!(
            github.drain().iter().all(|one| one.method == "GET" || one.path.contains("access_tokens")),
            "{what}: it only looks"
        );
    }
    let (code, states) = doctor_of("profile = \"development\"\n", &[]);
    assert_eq!((code, bad(&states), states.len()), (Some(0), Vec::new(), 1), "{states:#?}");
    tell(&format!("local: {}", states[0].2));
}

#[test]
fn a_server_whose_certificate_nobody_vouches_for_gets_no_token() {
    let github = GitHub::start();
    demand(&github, "tests");
    let made = make_certificates(github.folder()).then(|| tls_front(github.folder(), &github.address));
    let Some(port) = or_not_run(made, "openssl") else { return };
    let file = |name: &str| github.folder().join(name).display().to_string();
    let ask = |host: &str, authority: &str| {
        let url = format!("https://{host}:{port}");
        doctor_at(&url, "pat", &[("FRACTAL_GITHUB_TOKEN", PAT), ("SSL_CERT_FILE", &file(authority))])
    };
    for (host, authority) in [("localhost", "other.crt"), ("127.0.0.1", "ca.crt")] {
        let (code, states) = ask(host, authority);
        assert_eq!((code, states.len(), bad(&states)), (Some(1), 1, vec!["forge"]), "{states:#?}");
        assert!(states[0].2.contains("not reached") && states[0].2.contains("certificate"), "{states:#?}");
    }
    assert_eq!(github.drain().len(), 0);
    let (code, states) = ask("localhost", "ca.crt");
    assert_eq!((code, bad(&states)), (Some(0), Vec::new()), "{states:#?}");
    assert!(github.drain().len() > 3);
}

/// Git with a token for the model, in a folder of its own.
fn git(github: &GitHub, token: &str, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new("git");
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("GIT_CONFIG_GLOBAL", "/dev/null");
    command.env("GIT_CONFIG_SYSTEM", "/dev/null").env("GIT_TERMINAL_PROMPT", "0").env("TOKEN", token);
    command.args(["-c", "credential.helper=!f() { echo username=x-access-token; echo \"password=$TOKEN\"; }; f"]);
    command.args(["-c", "user.name=Bot", "-c", "user.email=bot@example.com"]);
    let done = command.args(arguments).current_dir(github.folder()).output().expect("git runs");
    (done.status.success(), text(&done.stdout) + &text(&done.stderr))
}

#[test]
fn what_is_pushed_with_a_token_is_what_is_proposed() {
    let github = GitHub::start();
    let address = format!("{}/{REPOSITORY}.git", github.address);
    let (cloned, said) = git(&github, PAT, &["clone", "-q", &address, "clone"]);
    assert!(cloned, "{said}");
    std::fs::write(github.folder().join("clone/tool.py"), "1\n").expect("writes");
    for arguments in
        [["checkout", "-q", "-b", "fractal/t/1"].as_slice(), &["add", "tool.py"], &["commit", "-q", "-m", "a change"]]
    {
        let (done, said) = git(&github, PAT, &[["-C", "clone"].as_slice(), arguments].concat());
        assert!(done, "{said}");
    }
    let push = ["-C", "clone", "push", "-q", "--force-with-lease=fractal/t/1:", "origin", "fractal/t/1"];
    assert!(!git(&github, "ghp_somebody_else", &push).0);
    github.world().tokens.get_mut(WORKFLOW_TOKEN).expect("is there").writes.remove("contents");
    assert!(!git(&github, WORKFLOW_TOKEN, &push).0);
    let (pushed, said) = git(&github, PAT, &push);
    assert!(pushed, "{said}");
    let head = CommitId(git(&github, PAT, &["-C", "clone", "rev-parse", "HEAD"]).1.trim().to_string());
    let client = github.client();
    assert_eq!(client.branch("fractal/t/1"), Ok(Some(head.clone())));
    let draft = Draft { branch: "fractal/t/1".into(), base: "main".into(), title: "t".into(), text: "x".into(), draft: false };
    let opened = client.open(&draft).expect("opens");
    assert_eq!(opened.head, head);
    // A base that demands checks takes no pushes.
    demand(&github, "tests");
    let (pushed, said) = git(&github, PAT, &["-C", "clone", "push", "-q", "origin", "fractal/t/1:main"]);
    assert!(!pushed && said.contains("GH006: Protected branch update failed for refs/heads/main"), "{said}");
    github.change(|repository| repository.protections.clear());
    // What is pushed to the base has landed, and what loses its branch is closed.
    let (pushed, said) = git(&github, PAT, &["-C", "clone", "push", "-q", "origin", "fractal/t/1:main"]);
    assert!(pushed, "{said}");
    assert!(matches!(client.proposal(opened.number).expect("reads").state, State::Landed { .. }));
    let (_, said) = git(&github, PAT, &["-C", "clone", "commit", "-q", "--allow-empty", "-m", "more"]);
    assert!(git(&github, PAT, &["-C", "clone", "push", "-q", "origin", "fractal/t/1"]).0, "{said}");
    let second = client.open(&draft).expect("opens");
    assert!(git(&github, PAT, &["-C", "clone", "push", "-q", "origin", ":fractal/t/1"]).0);
    assert!(matches!(client.proposal(second.number).expect("reads").state, State::Closed { .. }));
}

#[test]
fn a_look_at_which_nothing_is_new_is_not_counted() {
    let github = GitHub::start();
    let client = github.client();
    for number in 0..2 {
        let branch = format!("fractal/t/{number}");
        github.push(&branch, "main", &[(format!("{number}.py").as_str(), "1")], "a change");
        let draft = Draft { branch, base: "main".into(), title: "t".into(), text: "x".into(), draft: false };
        client.open(&draft).expect("opens");
    }
    let since = github.now();
    let look = || {
        let proposals = client.proposals("main").expect("lists");
        (proposals, client.comments(None, Some(since)).expect("lists"))
    };
    look();
    github.drain();
    let left = github.world().remaining;
    look();
    let idle = github.drain();
    let asked: Vec<(&str, u16)> =
        idle.iter().map(|exchange| (exchange.path.split('?').next().unwrap_or_default(), exchange.status)).collect();
    let wanted = [("/repos/ana/tools/pulls", 304), ("/repos/ana/tools/issues/comments", 304)];
    assert_eq!((asked.as_slice(), github.world().remaining), (wanted.as_slice(), left));
    // One that lands: a look at it, its checks and the rules, and one change.
    let (number, head) = (look().0[0].number, look().0[0].head.clone());
    github.drain();
    client.proposal(number).expect("reads");
    client.checks(&head).expect("reads");
    client.rules("main").expect("reads");
    client.merge(number, &head, Way::Squash, &Message::default()).expect("lands");
    let busy = github.drain();
    let methods: Vec<&str> = busy.iter().map(|exchange| exchange.method.as_str()).collect();
    assert_eq!(methods, ["GET", "GET", "GET", "GET", "GET", "GET", "PUT"]);
}
