//! The harness: a git repository in a temporary folder, and the real programs in an environment that is the same everywhere.
//!
//! Deliberately not here: anything about one subject. What only one file of tests needs stays in that file.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

/// Nothing here takes longer unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The value of `work`, which must come before our patience ends.
pub fn patiently<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || send.send(work()));
    receive.recv_timeout(PATIENCE).expect("ends in time")
}

/// Bytes for reading in an assertion.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// How a program ended and what it said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn of(output: &Output) -> Said {
        Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// It succeeded; its output.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.out
    }

    /// It ended with `code`, and standard error has every one of `parts`.
    #[track_caller]
    pub fn refused(self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for part in parts {
            assert!(self.err.contains(part), "`{part}` is not in {self:#?}");
        }
        assert!(!self.err.contains("panicked"), "{self:#?}");
        assert_eq!(self.out, "", "a refusal says nothing on standard output");
    }

    /// It succeeded and printed one JSON value.
    #[track_caller]
    pub fn json(self) -> serde_json::Value {
        let out = self.ok();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error} in {out}"))
    }

    /// It succeeded and printed JSON values, one a line.
    #[track_caller]
    pub fn json_lines(self) -> Vec<serde_json::Value> {
        let out = self.ok();
        out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))).collect()
    }
}

/// A folder with a repository (`repo`), a home (`home`) and a place for temporary files (`tmp`), gone with the value.
pub struct World {
    folder: TempDir,
    repo: PathBuf,
}

impl World {
    /// An empty repository on the branch `main`: no commit, no identity.
    pub fn empty() -> World {
        let world = World::without_repository();
        world.git(&["init", "-q", "-b", "main"]);
        world
    }

    /// Only folders.
    pub fn without_repository() -> World {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["repo", "home", "tmp"] {
            fs::create_dir(folder.path().join(name)).expect("makes a folder");
        }
        let repo = folder.path().join("repo").canonicalize().expect("is there");
        World { folder, repo }
    }

    /// Goes on in another folder below [`World::outside`].
    pub fn moved_to(mut self, repo: PathBuf) -> World {
        self.repo = repo;
        self
    }

    pub fn repo(&self) -> &Path {
        &self.repo
    }

    /// A path beside the repository.
    pub fn outside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of the work tree; one that begins with `#!` becomes executable.
    pub fn write(&self, name: impl AsRef<OsStr>, content: impl AsRef<[u8]>) {
        let path = self.repo.join(name.as_ref());
        fs::create_dir_all(path.parent().expect("has a folder")).expect("makes folders");
        fs::write(&path, content.as_ref()).expect("writes");
        let mode = if content.as_ref().starts_with(b"#!") { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("sets the mode");
    }

    /// Commits everything in the work tree as a person; the commit's id.
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["-c", "user.name=A Person", "-c", "user.email=person@example.com", "commit", "-q", "-m", message]);
        self.git(&["rev-parse", "HEAD"]).trim().to_string()
    }

    /// A program in the repository with nothing of the environment of whoever runs the tests but `PATH`.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", path());
        command.env("HOME", self.outside("home")).env("TMPDIR", self.outside("tmp"));
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        command.current_dir(&self.repo).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What git prints; it must succeed.
    #[track_caller]
    pub fn git(&self, args: &[&str]) -> String {
        let said = self.run(self.command("git").args(args));
        assert_eq!(said.code, Some(0), "git {args:?}: {said:#?}");
        said.out
    }

    /// The real program with these arguments.
    pub fn fractal<S: AsRef<OsStr>>(&self, args: &[S]) -> Said {
        self.run(self.fractal_command().args(args))
    }

    pub fn fractal_command(&self) -> Command {
        self.command(env!("CARGO_BIN_EXE_fractal"))
    }

    /// `fractal exec TOOL -- ARGS…`
    pub fn exec<S: AsRef<OsStr>>(&self, tool: &str, args: &[S]) -> Said {
        self.run(self.fractal_command().args(["exec", tool, "--"]).args(args))
    }

    /// Runs a command to its end, which must come before our patience ends.
    pub fn run(&self, command: &mut Command) -> Said {
        let child = command.spawn().expect("starts");
        ended(child)
    }

    /// Every ref with what it points to, and every file of the repository with its bytes, those in `.git` too. Not the lock:
    /// it only says who came last.
    pub fn snapshot(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(&self.repo, &mut files);
        files.remove(&self.repo.join(".git/fractal/lock"));
        let refs = self.command("git").args(["for-each-ref"]).output().expect("git runs");
        files.insert(PathBuf::from("(refs)"), refs.stdout);
        files
    }

    /// What `act` must not change is the same afterwards.
    #[track_caller]
    pub fn unchanged_by<T>(&self, act: impl FnOnce() -> T) -> T {
        let before = self.snapshot();
        let value = act();
        let after = self.snapshot();
        let changed: Vec<&PathBuf> =
            before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path)).collect();
        assert!(changed.is_empty(), "changed: {changed:?}");
        value
    }

    /// Names of what is in the folder for temporary files: nothing, once no loop runs.
    pub fn left_behind(&self) -> Vec<PathBuf> {
        fs::read_dir(self.outside("tmp")).expect("is there").flatten().map(|entry| entry.path()).collect()
    }
}

/// `PATH` with the real Python in front: version managers put a script in its place that takes longer than a whole test.
fn path() -> &'static OsStr {
    static PATH: OnceLock<OsString> = OnceLock::new();
    PATH.get_or_init(|| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let asked = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
        let python = asked.map(|answer| PathBuf::from(text(&answer.stdout).trim())).unwrap_or_default();
        let folders = python.parent().map(Path::to_path_buf).into_iter().chain(std::env::split_paths(&path));
        std::env::join_paths(folders.filter(|folder| folder.is_absolute())).unwrap_or(path)
    })
}

/// The end of a child, which must come before our patience ends.
pub fn ended(child: Child) -> Said {
    Said::of(&patiently(move || child.wait_with_output().expect("is a child")))
}

fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("is a folder").flatten() {
        let path = entry.path();
        match entry.file_type().expect("has a type") {
            kind if kind.is_dir() => collect(&path, files),
            kind if kind.is_file() => drop(files.insert(path.clone(), fs::read(&path).expect("reads"))),
            _ => drop(files.insert(path, Vec::new())),
        }
    }
}
