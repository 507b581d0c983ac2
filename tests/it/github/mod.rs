//! A model of GitHub: real HTTP, real git behind it, state that changes as GitHub's does, and what goes wrong on demand.
//!
//! Which fields an answer has is checked against GitHub's own description (`contract.rs`); how GitHub behaves is from its documentation
//! and from recordings. It does not run workflows, and of the merge queue it knows only one proposal at a time.

mod actions;
mod git;
mod graphql;
mod issues;
mod pulls;
mod server;
mod shape;
mod state;
mod talk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use fractal::config::TokenMode;
use fractal::world::clock::Clock;
use fractal::world::forge::github::{Credentials, GitHub as Client, Secret, Settings};
use jiff::Timestamp;
use tempfile::TempDir;

pub use self::actions::{Artifact, Run, packed};
pub use self::git::Bare;
pub use self::issues::Issue;
use self::shape::Shape;
pub use self::state::{Actor, CheckRun, Comment, Exchange, Knob, Protection, Repository, Review, Trouble};
use crate::contract;

/// The repository that there is.
pub const REPOSITORY: &str = "ana/tools";
/// When it begins.
const BEGINNING: i64 = 1_790_000_000;
pub const PAT: &str = "ghp_0123456789abcdefghijklmnopqrstuvwxyz";
pub const WORKFLOW_TOKEN: &str = "ghs_workflow23456789abcdefghijklmnopqrst";
const ALL: [&str; 6] = ["contents", "pull_requests", "issues", "checks", "statuses", "workflows"];

/// Everything there is.
pub struct World {
    pub repository: Repository,
    pub tokens: BTreeMap<String, Actor>,
    /// Made for installations, with their ends.
    pub minted: BTreeMap<String, Timestamp>,
    pub knobs: Vec<Knob>,
    pub log: Vec<Exchange>,
    /// What was taken out of the log.
    drained: Vec<Exchange>,
    /// What the installation may write.
    pub app_writes: Vec<&'static str>,
    /// The public key of the App, as PEM.
    pub app_key: Option<String>,
    /// Requests that are left, and when there are new ones.
    pub remaining: u64,
    pub reset: i64,
    /// The same of GraphQL, which has its own.
    pub points: u64,
    /// The most that a page has.
    pub page_max: usize,
    shape: Shape,
    /// The path below which the interface is.
    root: String,
    next: u64,
}

/// A running model. It ends with the value.
pub struct GitHub {
    world: Arc<Mutex<World>>,
    time: Arc<AtomicI64>,
    pub address: String,
    root: String,
    folder: TempDir,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl GitHub {
    pub fn start() -> GitHub {
        GitHub::start_below("")
    }

    /// One whose interface is below a path, as on a server of one's own.
    pub fn start_below(root: &str) -> GitHub {
        let folder = TempDir::new().expect("a folder");
        let bare = Bare::new(&folder.path().join(format!("{REPOSITORY}.git")), BEGINNING);
        let time = Arc::new(AtomicI64::new(BEGINNING * 1000));
        let person = Actor {
            login: "carl".into(),
            slug: None,
            writes: BTreeSet::from(["contents", "pull_requests", "issues", "statuses", "workflows"]),
            scopes: Some("repo, workflow".into()),
        };
        let workflow = Actor {
            login: "github-actions[bot]".into(),
            slug: Some("github-actions".into()),
            writes: BTreeSet::from(["contents", "pull_requests", "issues", "checks", "statuses"]),
            scopes: None,
        };
        let mut repository = Repository::new(42, REPOSITORY, bare);
        repository.collaborators.insert("carl".into(), "write");
        let world = World {
            repository,
            tokens: BTreeMap::from([(PAT.to_string(), person), (WORKFLOW_TOKEN.to_string(), workflow)]),
            minted: BTreeMap::new(),
            knobs: Vec::new(),
            log: Vec::new(),
            drained: Vec::new(),
            app_writes: ALL.to_vec(),
            app_key: None,
            remaining: 5000,
            reset: BEGINNING + 3600,
            points: 5000,
            page_max: 100,
            shape: Shape { api: String::new() },
            root: root.to_string(),
            next: 100,
        };
        let world = Arc::new(Mutex::new(world));
        let (address, stop) = server::serve(world.clone(), time.clone(), folder.path().to_path_buf());
        world.lock().expect("whole").shape.api = format!("{address}{root}");
        GitHub { world, time, address, root: root.to_string(), folder, stop: Some(stop) }
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("whole")
    }

    /// Changes what there is, as people do on the pages of GitHub; what follows by itself follows.
    pub fn change<T>(&self, change: impl FnOnce(&mut Repository) -> T) -> T {
        let (mut world, now) = (self.world(), self.now());
        let done = change(&mut world.repository);
        world.repository.settle(now);
        done
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.time.load(Ordering::SeqCst)).expect("a time")
    }

    /// The model's clock, which stands still unless somebody waits.
    pub fn clock(&self) -> Clock {
        Clock::Fixed(self.time.clone())
    }

    pub fn pass(&self, seconds: i64) {
        self.time.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    pub fn settings(&self, credentials: Credentials) -> Settings {
        Settings {
            repository: REPOSITORY.into(),
            url: format!("{}{}", self.address, self.root),
            credentials,
            patience: std::time::Duration::from_secs(20),
            pace: std::time::Duration::from_secs(1),
        }
    }

    /// A client with a person's token.
    pub fn client(&self) -> Client {
        self.client_as(TokenMode::Pat, PAT)
    }

    pub fn client_as(&self, mode: TokenMode, token: &str) -> Client {
        let settings = self.settings(Credentials::Token { mode, token: Secret::new(token) });
        Client::connect(settings, self.clock()).expect("connects")
    }

    /// Makes something go wrong once.
    pub fn trouble(&self, method: &'static str, path: &'static str, kind: Trouble) {
        self.trouble_times(1, method, path, kind);
    }

    pub fn trouble_times(&self, times: u32, method: &'static str, path: &'static str, kind: Trouble) {
        self.world().knobs.push(Knob { method, path, times, kind });
    }

    /// What was sent since the last time.
    pub fn drain(&self) -> Vec<Exchange> {
        let mut world = self.world();
        let sent = std::mem::take(&mut world.log);
        world.drained.extend(sent.iter().cloned());
        sent
    }

    /// Requests of this method so far.
    pub fn count(&self, method: &str) -> usize {
        self.world().log.iter().filter(|exchange| exchange.method == method).count()
    }

    /// A branch with one commit on top of another one, as somebody pushes it.
    pub fn push(&self, branch: &str, on: &str, files: &[(&str, &str)], message: &str) -> String {
        let at = self.now().as_second();
        self.change(|repository| {
            let bare = &repository.bare;
            let parent = bare.branch(on).expect("a branch");
            let commit = bare.commit_files(Some(&parent), files, message, at);
            assert!(bare.move_branch(branch, bare.branch(branch).as_deref(), Some(&commit)));
            commit
        })
    }

    /// A check of a commit, as a workflow reports it; `None`: it runs.
    pub fn check(&self, sha: &str, name: &str, passed: Option<bool>) {
        let id = self.world().next();
        let conclusion = passed.map(|passed| if passed { "success" } else { "failure" }.to_string());
        let status = if passed.is_some() { "completed" } else { "in_progress" }.to_string();
        let (started, sha, name) = (self.now(), sha.to_string(), name.to_string());
        let app = "github-actions".to_string();
        let run = CheckRun { id, name, sha, app, status, conclusion, title: None, summary: None, started };
        self.change(|repository| repository.check_runs.push(run));
    }

    /// Somebody judges a pull request.
    pub fn reviews(&self, on: u64, person: &str, state: &'static str) {
        let (id, at, author) = (self.world().next(), self.now(), person.to_string());
        self.change(|repository| {
            let sha = repository.head(&repository.pulls[&on]);
            repository.reviews.push(Review { id, on, author, state, body: "so".into(), sha, at });
        });
    }

    /// Somebody says something on a pull request.
    pub fn says(&self, person: &str, on: u64, text: &str) {
        let (id, at) = (self.world().next(), self.now());
        let (author, body) = (person.to_string(), text.to_string());
        let comment = Comment { id, on, author, body, created: at, updated: at, reactions: BTreeSet::new() };
        self.change(|repository| repository.comments.push(comment));
    }

    /// Somebody puts a reaction under a pull request or, with its number, a comment; or takes it away.
    pub fn reacts(&self, person: &str, on: u64, comment: Option<u64>, content: &str, there: bool) {
        let reaction = (person.to_string(), content.to_string());
        self.change(|repository| {
            let reactions = match comment {
                None => &mut repository.pulls.get_mut(&on).expect("is there").reactions,
                Some(id) => &mut repository.comments.iter_mut().find(|comment| comment.id == id).expect("is there").reactions,
            };
            if there {
                reactions.insert(reaction);
            } else {
                reactions.remove(&reaction);
            }
        });
    }

    /// A run of a workflow with one job that ended now, and how; it is there to be changed.
    pub fn ran(&self, name: &str, branch: &str, conclusion: &str) -> u64 {
        let (id, now) = (self.world().next(), self.now());
        let failed = (conclusion == "failure").then(|| "Run tests".to_string());
        self.change(|repository| {
            let sha = repository.bare.branch(branch).expect("a branch");
            repository.runs.push(Run {
                id,
                attempt: 1,
                name: name.into(),
                file: format!(".github/workflows/{}.yml", name.to_lowercase()),
                sha,
                branch: branch.into(),
                event: "push".into(),
                status: "completed".into(),
                conclusion: Some(conclusion.into()),
                created: now,
                started: now,
                updated: now + jiff::SignedDuration::from_secs(9),
                fork: false,
                jobs: vec![("test (3.11)".into(), conclusion.into(), failed)],
            });
        });
        id
    }

    /// An artifact of a run on the base.
    pub fn left(&self, name: &str, content: Vec<u8>) -> u64 {
        let (id, created, name) = (self.world().next(), self.now(), name.to_string());
        self.change(|repository| {
            let sha = repository.bare.branch("main").expect("a branch");
            repository.artifacts.push(Artifact { id, name, content, sha, fork: false, expired: false, created });
        });
        id
    }

    /// Installs the App, whose key is made for it: the file with that. None without `openssl`.
    pub fn make_app(&self) -> Option<String> {
        let file = self.folder.path().join("app.pem");
        let openssl = |arguments: &[&str]| {
            let mut command = std::process::Command::new("openssl");
            Some(command.args(arguments).arg(&file).output().ok()?).filter(|done| done.status.success())
        };
        openssl(&["genrsa", "-traditional", "-out"])?;
        let public = openssl(&["rsa", "-pubout", "-in"])?.stdout;
        self.world().app_key = Some(String::from_utf8(public).expect("PEM"));
        Some(file.display().to_string())
    }

    /// A folder of the model's own.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A test that fails says so itself.
        if !std::thread::panicking() {
            let mut world = self.world();
            let mut all = std::mem::take(&mut world.drained);
            all.append(&mut world.log);
            drop(world);
            let complaints = contract::complaints(&all);
            assert!(complaints.is_empty(), "not as GitHub describes it:\n{}", complaints.join("\n"));
        }
    }
}
