//! Several clones of one repository of tools, and the bare repository between them. For the tests of `fractal sync` and `forget`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fractal::config::Config;
use fractal::model::{Execution, Exit, Outcome, SuccessRule, Version};
use fractal::record::{Bytes, Intake, Observed, RunName};
use fractal::world::store::{Query, SqliteStore, Store};
use jiff::Timestamp;

use crate::common::{Said, World, ended};

/// Says what it is given; fails on `bad`.
pub const TOOLS: &str = "[[tool]]\nname = \"greet\"\npaths = [\"greet.sh\"]\nrun = [\"sh\", \"greet.sh\"]\neffects = \"none\"\n\n\
                         [[tool]]\nname = \"other\"\npaths = [\"other.sh\"]\nrun = [\"sh\", \"other.sh\"]\neffects = \"none\"\n";

/// `[sync]` with these further keys.
pub fn synced(keys: &str) -> String {
    format!("[sync]\nremote = \"origin\"\n{keys}\n")
}

pub struct Fleet {
    world: World,
}

impl Fleet {
    /// So many clones: `c0`, `c1`, …
    pub fn of(clones: usize, config: &str) -> Fleet {
        let fleet = Fleet { world: World::without_repository() };
        fleet.git_in(&fleet.folder(), &["init", "-q", "--bare", "-b", "main", "origin.git"]);
        fleet.clone_again("c0");
        let first = fleet.at(0);
        fs::write(first.join("fractal.toml"), format!("{config}{TOOLS}")).expect("writes");
        fs::write(first.join("greet.sh"), "echo hello $1; test \"$1\" != bad\n").expect("writes");
        fs::write(first.join("other.sh"), "echo other $1\n").expect("writes");
        fleet.git(0, &["add", "-A"]);
        fleet.git(0, &["-c", "user.name=Ana", "-c", "user.email=ana@example.com", "commit", "-q", "-m", "tools"]);
        fleet.git(0, &["push", "-q", "origin", "HEAD:main"]);
        (1..clones).for_each(|at| fleet.clone_again(&format!("c{at}")));
        fleet
    }

    pub fn clone_again(&self, name: &str) {
        self.git_in(&self.folder(), &["clone", "-q", "origin.git", name]);
    }

    fn folder(&self) -> PathBuf {
        self.world.outside("")
    }

    pub fn beside(&self, name: &str) -> PathBuf {
        self.world.outside(name)
    }

    pub fn at(&self, clone: usize) -> PathBuf {
        self.world.outside(&format!("c{clone}"))
    }

    pub fn origin(&self) -> PathBuf {
        self.world.outside("origin.git")
    }

    #[track_caller]
    pub fn git_in(&self, folder: &Path, args: &[&str]) -> String {
        let said = self.world.run(self.world.command("git").current_dir(folder).args(args));
        assert_eq!(said.code, Some(0), "git {args:?}: {said:#?}");
        said.out
    }

    #[track_caller]
    pub fn git(&self, clone: usize, args: &[&str]) -> String {
        self.git_in(&self.at(clone), args)
    }

    /// What git makes of bytes: an object in the bare repository.
    #[track_caller]
    pub fn object(&self, args: &[&str], stdin: &[u8]) -> String {
        let mut command = self.world.command("git");
        let mut child = command.current_dir(self.origin()).args(args).stdin(Stdio::piped()).spawn().expect("starts");
        child.stdin.take().expect("is piped").write_all(stdin).expect("writes");
        ended(child).ok().trim().to_string()
    }

    /// A writer with these entries of `segments`, each a mode, an object and a name; dated as git dates.
    pub fn publish(&self, writer: &str, entries: &[(&str, String, &[u8])], format: &str, date: &str) {
        let mut tree = Vec::new();
        for (mode, object, name) in entries {
            tree.extend_from_slice(format!("{mode} ").as_bytes());
            tree.extend_from_slice(name);
            tree.push(0);
            tree.extend((0..40).step_by(2).map(|at| u8::from_str_radix(&object[at..at + 2], 16).expect("digits")));
        }
        let segments = self.object(&["hash-object", "-t", "tree", "-w", "--literally", "--stdin"], &tree);
        let format = self.object(&["hash-object", "-w", "--stdin"], format.as_bytes());
        let listing = format!("100644 blob {format}\tformat\n040000 tree {segments}\tsegments\n");
        let root = self.object(&["mktree"], listing.as_bytes());
        self.point(writer, &root, date);
    }

    /// Lets a writer's ref point to a commit of a tree.
    pub fn point(&self, writer: &str, tree: &str, date: &str) {
        let mut command = self.world.command("git");
        command.current_dir(self.origin()).args(["commit-tree", tree, "-m", "executions"]);
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "x").env(format!("GIT_{who}_EMAIL"), "x@x");
            command.env(format!("GIT_{who}_DATE"), date);
        }
        let commit = self.world.run(&mut command).ok();
        self.git_in(&self.origin(), &["update-ref", &format!("refs/fractal/executions/{writer}"), commit.trim()]);
    }

    pub fn command(&self, clone: usize, args: &[&str]) -> Command {
        let mut command = self.world.fractal_command();
        command.current_dir(self.at(clone)).args(args);
        command
    }

    pub fn fractal(&self, clone: usize, args: &[&str]) -> Said {
        self.world.run(&mut self.command(clone, args))
    }

    pub fn exec(&self, clone: usize, argument: &str) {
        self.fractal(clone, &["exec", "greet", "--", argument]);
    }

    /// One exchange, and what it says of itself.
    #[track_caller]
    pub fn sync(&self, clone: usize) -> serde_json::Value {
        self.fractal(clone, &["sync", "--json"]).json()
    }

    pub fn store(&self, clone: usize) -> SqliteStore {
        SqliteStore::open(&self.at(clone).join(".git/fractal/executions.db")).expect("opens")
    }

    /// Records runs as another source does: `said` is what each of them wrote, a second apart until now.
    pub fn record(&self, clone: usize, tool: &str, said: &[String]) {
        let config = Config::default();
        let intake = Intake::new(&config, "");
        let start = Timestamp::now().as_second() - said.len() as i64;
        let run = |(at, said): (usize, &String)| {
            intake.admit(
                &SuccessRule::default(),
                Observed {
                    tool: tool.into(),
                    version: Version("v1".into()),
                    source: RunName::of(&["test", &clone.to_string(), said]),
                    at: Timestamp::from_second(start + at as i64).expect("valid"),
                    duration: Duration::from_millis(3),
                    args: vec![said.as_bytes()[..said.len().min(40)].to_vec()],
                    cwd: None,
                    stdin: None,
                    stdout: Some(Bytes::from(said.as_str())),
                    stderr: None,
                    exit: Exit::Code(0),
                    outcome: None,
                    failure: None,
                    caller: "test".into(),
                    marked: None,
                },
            )
        };
        let batch: Vec<_> = said.iter().enumerate().map(run).collect();
        self.store(clone).record_all(&batch).expect("records");
    }

    /// Every execution of a clone, oldest first.
    pub fn executions(&self, clone: usize) -> Vec<Execution> {
        let store = self.store(clone);
        let mut all = store.executions(&Query { limit: 100_000, ..Query::default() }).expect("reads");
        all.reverse();
        let counted: u64 =
            store.versions(None, Timestamp::UNIX_EPOCH).expect("reads").iter().map(|version| version.counts.runs).sum();
        let counts = all.iter().filter(|execution| execution.outcome != Outcome::Error).count();
        assert_eq!(counted, counts as u64, "rollups of clone {clone}");
        all
    }

    /// Every clone has the same executions, so many; nothing is waiting.
    #[track_caller]
    pub fn all_have(&self, clones: usize, wanted: usize) {
        let first = self.executions(0);
        assert_eq!(first.len(), wanted);
        for clone in 1..clones {
            let other = self.executions(clone);
            assert_eq!(other.len(), wanted, "clone {clone}");
            assert!(other == first, "clone {clone} has other executions than clone 0");
        }
    }

    /// The segments at the bare repository by writer: names and sizes.
    pub fn segments(&self) -> BTreeMap<String, Vec<(String, u64)>> {
        let mut all = BTreeMap::new();
        for line in self.git_in(&self.origin(), &["for-each-ref", "--format=%(refname)", "refs/fractal/executions"]).lines() {
            let listing = self.git_in(&self.origin(), &["ls-tree", "-l", &format!("{line}:segments")]);
            let entry = |entry: &str| {
                let (meta, name) = entry.split_once('\t').expect("an entry");
                (name.to_string(), meta.split_whitespace().last().expect("a size").parse().expect("a number"))
            };
            let writer = line.rsplit('/').next().expect("a name").to_string();
            all.insert(writer, listing.lines().map(entry).collect());
        }
        all
    }

    /// Everything that a clone's folder for our state, or the refs of the bare repository, hold: objects unpacked.
    pub fn everything_of(&self, git_dir: &Path, reachable: bool) -> Vec<u8> {
        let mut found = Vec::new();
        let listing = match reachable {
            true => self.git_in(git_dir, &["rev-list", "--objects", "--all"]),
            false => self.git_in(git_dir, &["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"]),
        };
        for object in listing.lines().filter_map(|line| line.split(' ').next()) {
            let output =
                self.world.command("git").current_dir(git_dir).args(["cat-file", "--batch"]).stdin(Stdio::piped()).spawn();
            let mut child = output.expect("starts");
            child.stdin.take().expect("is piped").write_all(format!("{object}\n").as_bytes()).expect("writes");
            let bytes = child.wait_with_output().expect("ends").stdout;
            let content = bytes.iter().position(|byte| *byte == b'\n').map_or(&bytes[..], |at| &bytes[at + 1..]);
            let _ = flate2::read::GzDecoder::new(content).read_to_end(&mut found);
            found.extend(bytes);
        }
        found
    }
}

/// Bytes of every file below a folder.
pub fn files_below(folder: &Path) -> Vec<u8> {
    let mut found = Vec::new();
    for path in fs::read_dir(folder).expect("is a folder").flatten().map(|entry| entry.path()) {
        match path.is_dir() {
            true => found.extend(files_below(&path)),
            false => found.extend(fs::read(&path).unwrap_or_default()),
        }
    }
    found
}

pub fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The same numbers each time, evenly below `limit`.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Kills a child at a moment that the dice choose; one that has ended by then has ended.
pub fn kill_within(child: &mut Child, dice: &mut Dice, milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(dice.below(milliseconds)));
    let _ = child.kill();
    child.wait().expect("is a child");
}
