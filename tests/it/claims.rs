//! Claims on tools: one suite for every place where they can be kept, and for every way to a remote.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::time::Duration;

use fractal::world::claims::{Claim, Claims, Taken, Terms};
use fractal::world::git::claims::RefClaims;
use fractal::world::git::{Identity, Repo};
use fractal::world::store::{PostgresStore, Store as _};
use jiff::Timestamp;
use tempfile::TempDir;

use crate::store::server;
use crate::support::{Repository, executable, hermetic};

/// Loops that come at the same time.
const LOOPS: usize = 6;

/// Where claims are, as one of several loops sees it.
trait Place: Sync {
    fn with(&self, number: usize, ask: &mut dyn FnMut(&dyn Claims));
}

/// Clones of one bare repository, reached in some way; or one repository without a remote.
struct Clones {
    folder: TempDir,
    remote: Option<&'static str>,
}

impl Clones {
    /// `address` says how the clones reach the bare repository in a folder.
    fn of(address: Option<&dyn Fn(&Path) -> String>) -> Clones {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let remote = address.map(|_| "origin");
        let clones = Clones { folder, remote };
        std::fs::create_dir(clones.path("home")).expect("makes a folder");
        clones.git("", &["init", "--quiet", "--bare", "--initial-branch=main", "origin.git"]);
        clones.git("", &["-C", "origin.git", "config", "http.receivepack", "true"]);
        // Servers may take no forced pushes.
        clones.git("", &["-C", "origin.git", "config", "receive.denyNonFastForwards", "true"]);
        for number in 0..LOOPS {
            let name = clones.name(number);
            clones.git("", &["init", "--quiet", "--initial-branch=main", &name]);
            if let Some(address) = address {
                clones.git(&name, &["remote", "add", "origin", &address(&clones.path("origin.git"))]);
            }
        }
        clones
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn name(&self, number: usize) -> String {
        // Without a remote there is one repository.
        if self.remote.is_some() { format!("c{number}") } else { "c0".to_string() }
    }

    fn git(&self, folder: &str, arguments: &[&str]) {
        let done = hermetic("git", &self.path("home"), &self.path(folder)).args(arguments).output().expect("git runs");
        assert!(done.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

impl Place for Clones {
    fn with(&self, number: usize, ask: &mut dyn FnMut(&dyn Claims)) {
        let repo = Repo::open(&self.path(&self.name(number))).expect("opens");
        let by = Identity { name: "Fractal".into(), email: "fractal@localhost".into() };
        ask(&RefClaims { repo: &repo, remote: self.remote, by: &by });
    }
}

/// A database that several machines know.
struct Database(String);

impl Place for Database {
    fn with(&self, _number: usize, ask: &mut dyn FnMut(&dyn Claims)) {
        let store = PostgresStore::open(&self.0).expect("opens");
        ask(store.claims().expect("keeps claims"));
    }
}

fn terms(number: usize, lease: u64, skew: u64) -> Terms {
    let (lease, skew) = (Duration::from_secs(lease), Duration::from_secs(skew));
    Terms { holder: format!("loop {number}"), now: Timestamp::now(), lease, skew }
}

fn take(place: &dyn Place, number: usize, work: &str, terms: &Terms) -> Taken {
    let mut taken = None;
    let intended = std::cell::RefCell::new(Vec::new());
    place.with(number, &mut |claims| {
        let intend = |token: &str| {
            intended.borrow_mut().push(token.to_string());
            Ok(())
        };
        taken = Some(claims.take(work, terms, &intend).expect("takes"));
    });
    let taken = taken.expect("asked");
    if let Taken::Ours(claim) = &taken {
        assert_eq!(intended.borrow().last(), Some(&claim.token), "written down before");
    }
    taken
}

fn ours(taken: Taken) -> Claim {
    match taken {
        Taken::Ours(claim) => claim,
        Taken::Theirs(theirs) => panic!("{theirs} has it"),
    }
}

fn theirs(taken: Taken) -> Claim {
    match taken {
        Taken::Theirs(claim) => claim,
        Taken::Ours(claim) => panic!("{claim} was given to a second one"),
    }
}

fn renew(place: &dyn Place, number: usize, claim: &Claim, terms: &Terms) -> Option<Claim> {
    let mut renewed = None;
    place.with(number, &mut |claims| renewed = claims.renew(claim, terms, &|_| Ok(())).expect("renews"));
    renewed
}

fn release(place: &dyn Place, number: usize, claim: &Claim) {
    place.with(number, &mut |claims| claims.release(&claim.work, &claim.token).expect("releases"));
}

fn all(place: &dyn Place) -> Vec<(String, String)> {
    let mut found = Vec::new();
    place.with(0, &mut |claims| {
        found = claims.all().expect("lists").into_iter().map(|claim| (claim.work, claim.holder)).collect();
    });
    found
}

/// What holds wherever claims are kept.
fn conforms(place: &dyn Place) {
    // One has it, the other is told who; another tool is another claim.
    let first = ours(take(place, 0, "calc", &terms(0, 600, 0)));
    assert_eq!(theirs(take(place, 1, "calc", &terms(1, 600, 0))).holder, "loop 0");
    let other = ours(take(place, 1, "other.sh", &terms(1, 600, 0)));
    assert_eq!(all(place), [("calc".to_string(), "loop 0".to_string()), ("other.sh".to_string(), "loop 1".to_string())]);
    release(place, 1, &other);

    // Prolonged it has another token, and the old one is worth nothing.
    let second = renew(place, 0, &first, &terms(0, 600, 0)).expect("is ours");
    assert!(second.token != first.token && second.until >= first.until);
    assert_eq!(renew(place, 0, &first, &terms(0, 600, 0)), None);
    release(place, 0, &first);
    assert_eq!(theirs(take(place, 1, "calc", &terms(1, 600, 0))).token, second.token);

    // Given back it is anybody's.
    release(place, 0, &second);
    assert!(all(place).is_empty());
    let short = ours(take(place, 1, "calc", &terms(1, 0, 0)));

    // Over it is anybody's, but not before clocks that differ agree on that; whoever lost it notices and harms nobody.
    theirs(take(place, 2, "calc", &terms(2, 600, 3600)));
    let over = ours(take(place, 2, "calc", &terms(2, 600, 0)));
    assert_eq!(renew(place, 1, &short, &terms(1, 600, 0)), None);
    release(place, 1, &short);
    assert_eq!(theirs(take(place, 1, "calc", &terms(1, 600, 0))).token, over.token);

    // One that is over and that nobody took can still be prolonged by whoever made it.
    let late = renew(place, 2, &over, &terms(2, 0, 0)).expect("is ours");
    let late = renew(place, 2, &late, &terms(2, 600, 0)).expect("is still ours");
    release(place, 2, &late);
    one_of_many_gets_it(place);
}

/// The first time there is none, the second time there is one that is over.
fn one_of_many_gets_it(place: &dyn Place) {
    for _ in 0..2 {
        let together = Barrier::new(LOOPS);
        let won: Vec<Claim> = std::thread::scope(|scope| {
            let attempt = |number: usize| {
                let together = &together;
                scope.spawn(move || {
                    together.wait();
                    match take(place, number, "race", &terms(number, 600, 0)) {
                        Taken::Ours(claim) => Some(claim),
                        Taken::Theirs(_) => None,
                    }
                })
            };
            let attempts: Vec<_> = (0..LOOPS).map(attempt).collect();
            attempts.into_iter().filter_map(|attempt| attempt.join().expect("does not panic")).collect()
        });
        assert_eq!(won.len(), 1, "{won:#?}");
        let over = renew(place, 0, &won[0], &terms(0, 0, 0));
        assert!(over.is_some(), "the winner's token is the one that is there");
    }
}

#[test]
fn claims_in_a_repository_without_a_remote() {
    conforms(&Clones::of(None));
}

#[test]
fn claims_in_a_bare_repository_beside() {
    conforms(&Clones::of(Some(&|bare| bare.display().to_string())));
}

#[test]
fn claims_through_ssh() {
    let clones = Clones::of(Some(&|bare| format!("ssh://server{}", bare.display())));
    // What a server's shell would do with the command, and no server.
    let script = clones.path("ssh");
    executable(&script, "#!/bin/sh\nfor last; do :; done\nexec sh -c \"$last\"\n");
    for number in 0..LOOPS {
        let name = clones.name(number);
        clones.git(&name, &["config", "core.sshCommand", &script.display().to_string()]);
        clones.git(&name, &["config", "ssh.variant", "simple"]);
    }
    conforms(&clones);
}

#[test]
fn claims_through_smart_http() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("has an address").port();
    let clones = Clones::of(Some(&|_| format!("http://127.0.0.1:{port}/origin.git")));
    let root = clones.folder.path().to_path_buf();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let root = root.clone();
            std::thread::spawn(move || serve(stream, &root, None));
        }
    });
    conforms(&clones);
}

#[test]
fn claims_in_a_database() {
    let Some(server) = server() else { return };
    conforms(&Database(server.address(&server.database())));
}

/// One request, answered by git's own program for web servers; refused without this `Authorization`, if there is one.
pub fn serve(stream: TcpStream, root: &Path, credential: Option<&str>) {
    let mut lines = BufReader::new(stream.try_clone().expect("clones"));
    let mut line = String::new();
    let mut read = || {
        line.clear();
        lines.read_line(&mut line).ok()?;
        Some(line.trim().to_string()).filter(|line| !line.is_empty())
    };
    let Some(request) = read() else { return };
    let mut words = request.split(' ');
    let (method, target) = (words.next().unwrap_or_default().to_string(), words.next().unwrap_or_default().to_string());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut backend = Command::new("git");
    backend.arg("http-backend").env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    backend
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REMOTE_USER", "ana")
        .env("REMOTE_ADDR", "127.0.0.1");
    backend.env("REQUEST_METHOD", method).env("PATH_INFO", path).env("QUERY_STRING", query);
    backend.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "safe.directory").env("GIT_CONFIG_VALUE_0", "*");
    let (mut length, mut known) = (0, credential.is_none());
    while let Some(header) = read() {
        let Some((name, value)) = header.split_once(": ") else { continue };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().expect("a number"),
            "authorization" => known = known || credential == Some(value),
            "content-type" => drop(backend.env("CONTENT_TYPE", value)),
            "content-encoding" => drop(backend.env("HTTP_CONTENT_ENCODING", value)),
            "git-protocol" => drop(backend.env("HTTP_GIT_PROTOCOL", value)),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    lines.read_exact(&mut body).expect("reads the body");
    let mut stream = stream;
    if !known {
        let refusal = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return drop(stream.write_all(refusal.as_bytes()));
    }
    backend.env("CONTENT_LENGTH", length.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = backend.spawn().expect("starts");
    let mut input = running.stdin.take().expect("has an input");
    std::thread::spawn(move || drop(input.write_all(&body)));
    let answer = running.wait_with_output().expect("ends").stdout;
    let status = answer.starts_with(b"Status: ").then(|| {
        let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
        String::from_utf8_lossy(&line[8..]).into_owned()
    });
    let _ = write!(stream, "HTTP/1.1 {}\r\nConnection: close\r\n", status.unwrap_or("200 OK".into()));
    let _ = stream.write_all(&answer);
}

#[test]
fn status_tells_which_loop_works_on_what() {
    let repository = Repository::failing();
    let repo = Repo::open(&repository.root()).expect("opens");
    let by = Identity { name: "Fractal".into(), email: "fractal@localhost".into() };
    let claims = RefClaims { repo: &repo, remote: None, by: &by };
    let terms = |holder: &str, now| Terms { holder: holder.into(), now, lease: Duration::from_secs(900), skew: Duration::ZERO };
    let now = Timestamp::now();
    let hour = jiff::SignedDuration::from_hours(1);
    claims.take("calculator", &terms("a machine", now), &|_| Ok(())).expect("claims");
    claims.take("other", &terms("a machine that is gone", now - hour), &|_| Ok(())).expect("claims");
    let shown = repository.says(&["status"]);
    assert!(shown.contains("claimed the loop of a machine works on `calculator`, until ") && !shown.contains("gone"), "{shown}");
    let told: serde_json::Value = serde_json::from_str(&repository.says(&["status", "--json"])).expect("JSON");
    let claims = told["claims"].as_array().expect("a list");
    assert_eq!(
        (claims.len(), claims[0]["work"].as_str(), claims[0]["holder"].as_str()),
        (1, Some("calculator"), Some("a machine"))
    );
}
