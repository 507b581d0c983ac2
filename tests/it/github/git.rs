//! The bare repositories behind the model, through the `git` command: what GitHub does to branches is really done.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

/// One bare repository.
#[derive(Debug)]
pub struct Bare {
    path: PathBuf,
    /// Answers to questions about commits: what those are never changes.
    known: Mutex<BTreeMap<String, Option<String>>>,
}

/// How a commit came to be.
pub struct Made<'a> {
    pub tree: &'a str,
    pub parents: &'a [&'a str],
    pub message: &'a str,
    /// Name and address.
    pub author: (&'a str, &'a str),
    /// Seconds since 1970.
    pub at: i64,
}

fn hermetic(command: &mut Command) -> &mut Command {
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null").env("LC_ALL", "C")
}

impl Bare {
    /// A new one with a first commit on `main`.
    pub fn new(path: &Path, at: i64) -> Bare {
        let bare = Bare { path: path.to_path_buf(), known: Mutex::default() };
        let mut init = Command::new("git");
        let made = hermetic(&mut init).args(["init", "-q", "--bare", "-b", "main"]).arg(path).status().expect("git runs");
        assert!(made.success());
        bare.text(&["config", "http.receivepack", "true"]);
        bare.text(&["config", "gc.auto", "0"]);
        let first = bare.commit_files(None, &[("README.md", "first\n")], "first", at);
        bare.text(&["update-ref", "refs/heads/main", &first]);
        bare
    }

    fn run(&self, arguments: &[&str], input: &[u8], environment: &[(&str, String)]) -> Output {
        let mut command = Command::new("git");
        hermetic(&mut command).arg("-C").arg(&self.path).args(arguments);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let mut running = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("git runs");
        running.stdin.take().expect("piped").write_all(input).expect("git reads");
        running.wait_with_output().expect("git ends")
    }

    /// What git prints, or nothing when it refuses.
    pub fn ask(&self, arguments: &[&str]) -> Option<String> {
        let done = self.run(arguments, b"", &[]);
        done.status.success().then(|| String::from_utf8_lossy(&done.stdout).trim_end().to_string())
    }

    pub fn text(&self, arguments: &[&str]) -> String {
        self.ask(arguments).unwrap_or_else(|| panic!("git {arguments:?}"))
    }

    /// Pushes through git to these branches are refused, with the words that GitHub has for it.
    pub fn protect(&self, branches: &[String]) {
        let refused = |name: &String| {
            let said = format!("error: GH006: Protected branch update failed for refs/heads/{name}.");
            format!("    refs/heads/{name}) echo '{said}' >&2; exit 1;;\n")
        };
        let cases: String = branches.iter().map(refused).collect();
        let script = format!("#!/bin/sh\nwhile read -r old new name; do\n  case \"$name\" in\n{cases}    *) ;;\n  esac\ndone\n");
        crate::support::executable(&self.path.join("hooks/pre-receive"), &script);
    }

    /// What git says of commits that are named by their ids.
    fn known(&self, arguments: &[&str]) -> Option<String> {
        let mut known = self.known.lock().expect("whole");
        known.entry(arguments.join(" ")).or_insert_with(|| self.ask(arguments)).clone()
    }

    /// Where a branch is. Nothing here packs refs, so that they are files.
    pub fn branch(&self, name: &str) -> Option<String> {
        let plain = !name.split('/').any(|part| matches!(part, "" | "." | ".."));
        let text = std::fs::read_to_string(self.path.join("refs/heads").join(name)).ok().filter(|_| plain)?;
        Some(text.trim().to_string())
    }

    /// Moves a branch that is where it should be; nothing as a place is absence.
    pub fn move_branch(&self, name: &str, from: Option<&str>, to: Option<&str>) -> bool {
        let zero = "0".repeat(40);
        let name = format!("refs/heads/{name}");
        match to {
            Some(to) => self.ask(&["update-ref", &name, to, from.unwrap_or(&zero)]).is_some(),
            None => self.ask(&["update-ref", "-d", &name, from.unwrap_or(&zero)]).is_some(),
        }
    }

    pub fn is_ancestor(&self, old: &str, new: &str) -> bool {
        self.known(&["merge-base", "--is-ancestor", old, new]).is_some()
    }

    /// Commits of `head` that `base` lacks, oldest first.
    pub fn commits(&self, base: &str, head: &str) -> Vec<String> {
        let all = self.known(&["rev-list", "--reverse", &format!("{base}..{head}")]);
        all.unwrap_or_default().lines().map(String::from).collect()
    }

    /// The tree of a merge; none when it conflicts.
    pub fn merged_tree(&self, base: &str, head: &str) -> Option<String> {
        self.known(&["merge-tree", "--write-tree", base, head])
    }

    pub fn blob(&self, content: &[u8]) -> String {
        let done = self.run(&["hash-object", "-w", "--stdin"], content, &[]);
        String::from_utf8_lossy(&done.stdout).trim_end().to_string()
    }

    /// A tree from another one and lines for `git update-index --index-info`.
    pub fn tree(&self, base: Option<&str>, lines: &str) -> String {
        let index = self.path.join(format!("index-{:?}", std::thread::current().id()));
        let environment = [("GIT_INDEX_FILE", index.display().to_string())];
        if let Some(base) = base {
            assert!(self.run(&["read-tree", base], b"", &environment).status.success());
        }
        assert!(self.run(&["update-index", "--index-info"], lines.as_bytes(), &environment).status.success(), "{lines}");
        let written = self.run(&["write-tree"], b"", &environment);
        let _ = std::fs::remove_file(index);
        String::from_utf8_lossy(&written.stdout).trim_end().to_string()
    }

    pub fn commit(&self, made: &Made<'_>) -> String {
        let mut arguments = vec!["commit-tree", made.tree];
        arguments.extend(made.parents.iter().flat_map(|parent| ["-p", parent]));
        let date = format!("{} +0000", made.at);
        let (name, email) = (made.author.0.to_string(), made.author.1.to_string());
        let environment = [
            ("GIT_AUTHOR_NAME", name.clone()),
            ("GIT_AUTHOR_EMAIL", email.clone()),
            ("GIT_AUTHOR_DATE", date.clone()),
            ("GIT_COMMITTER_NAME", name),
            ("GIT_COMMITTER_EMAIL", email),
            ("GIT_COMMITTER_DATE", date),
        ];
        let done = self.run(&arguments, made.message.as_bytes(), &environment);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim_end().to_string()
    }

    /// A commit that writes files, on top of another one.
    pub fn commit_files(&self, parent: Option<&str>, files: &[(&str, &str)], message: &str, at: i64) -> String {
        let lines: String = files.iter().map(|(path, text)| format!("100644 {}\t{path}\n", self.blob(text.as_bytes()))).collect();
        let tree = self.tree(parent, &lines);
        let parents: Vec<&str> = parent.into_iter().collect();
        self.commit(&Made { tree: &tree, parents: &parents, message, author: ("Ana", "ana@example.com"), at })
    }

    /// The commits of `head` one by one on top of `base`; none when one conflicts.
    /// A commit made anew with this content in a file besides.
    pub fn with_file(&self, commit: &str, path: &str, content: &str, at: i64) -> String {
        let blob = self.blob(content.as_bytes());
        let tree = self.tree(Some(&format!("{commit}^{{tree}}")), &format!("100644 {blob}\t{path}\n"));
        let parents = self.text(&["log", "-1", "--format=%P", commit]);
        let parents: Vec<&str> = parents.split_whitespace().collect();
        let message = self.text(&["log", "-1", "--format=%B", commit]);
        self.commit(&Made { tree: &tree, parents: &parents, message: &message, author: ("GitHub", "noreply@github.com"), at })
    }

    /// See [`Bare::commit`].
    pub fn rebased(&self, base: &str, head: &str, at: i64) -> Option<String> {
        let mut top = base.to_string();
        for commit in self.commits(base, head) {
            let tree = self.ask(&["merge-tree", "--write-tree", &format!("--merge-base={commit}^"), &top, &commit])?;
            let message = self.text(&["log", "-1", "--format=%B", &commit]);
            top = self.commit(&Made {
                tree: &tree,
                parents: &[&top],
                message: &message,
                author: ("GitHub", "noreply@github.com"),
                at,
            });
        }
        Some(top)
    }
}

/// One request for git, answered by git's own program for web servers: status, headers, body.
pub fn http_backend(
    root: &Path,
    request: (&str, &str, &str),
    headers: &[(String, String)],
    body: Vec<u8>,
) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let (method, path, query) = request;
    let mut backend = Command::new("git");
    hermetic(&mut backend).arg("http-backend").env("GIT_PROJECT_ROOT", root).env("GIT_HTTP_EXPORT_ALL", "1");
    backend.env("REMOTE_USER", "x-access-token").env("REMOTE_ADDR", "127.0.0.1");
    backend.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "safe.directory").env("GIT_CONFIG_VALUE_0", "*");
    backend.env("REQUEST_METHOD", method).env("PATH_INFO", path).env("QUERY_STRING", query);
    for (header, variable) in
        [("content-type", "CONTENT_TYPE"), ("content-encoding", "HTTP_CONTENT_ENCODING"), ("git-protocol", "HTTP_GIT_PROTOCOL")]
    {
        if let Some((_, value)) = headers.iter().find(|(name, _)| name == header) {
            backend.env(variable, value);
        }
    }
    backend.env("CONTENT_LENGTH", body.len().to_string());
    let mut running =
        backend.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("git http-backend starts");
    let mut input = running.stdin.take().expect("piped");
    let writing = std::thread::spawn(move || drop(input.write_all(&body)));
    let mut answer = Vec::new();
    running.stdout.take().expect("piped").read_to_end(&mut answer).expect("git answers");
    let _ = (writing.join(), running.wait());
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(answer.len());
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let mut headers: Vec<(String, String)> = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    let status = headers.iter().find(|(name, _)| name == "Status").and_then(|(_, value)| value.get(..3)?.parse().ok());
    headers.retain(|(name, _)| name != "Status");
    (status.unwrap_or(200), headers, answer.get(end + 4..).unwrap_or_default().to_vec())
}
