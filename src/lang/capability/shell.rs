//! What a shell script reaches: commands where commands stand (behind `command`, `xargs`, in pipes and `$(…)` too), redirections
//! and variables.

use std::collections::{BTreeMap, BTreeSet};

use super::literal::text_of;
use super::{Capability, Kind};
use crate::lang::Tree;

/// Commands that read, compute and print.
const HARMLESS: &[&str] = &[
    "[",
    "[[",
    "test",
    "true",
    "false",
    ":",
    "echo",
    "printf",
    "cat",
    "grep",
    "egrep",
    "fgrep",
    "sed",
    "awk",
    "gawk",
    "mawk",
    "cut",
    "sort",
    "uniq",
    "tr",
    "head",
    "tail",
    "wc",
    "basename",
    "dirname",
    "seq",
    "expr",
    "bc",
    "jq",
    "read",
    "mapfile",
    "readarray",
    "local",
    "declare",
    "typeset",
    "readonly",
    "export",
    "unset",
    "shift",
    "set",
    "shopt",
    "return",
    "exit",
    "break",
    "continue",
    "let",
    "cd",
    "pushd",
    "popd",
    "rev",
    "paste",
    "join",
    "comm",
    "diff",
    "cmp",
    "fold",
    "fmt",
    "nl",
    "od",
    "xxd",
    "tac",
    "column",
    "getopts",
    "getopt",
    "wait",
    "yes",
    "factor",
    "dc",
    "strings",
    "md5sum",
    "sha256sum",
    "sha1sum",
    "cksum",
    "base64",
    "test",
    "type",
    "command",
    "builtin",
    "env",
    "exec",
    "xargs",
    "time",
    "find",
    "ls",
    "expand",
    "unexpand",
    "numfmt",
    "tsort",
    "split",
    "csplit",
    "iconv",
    "trap",
    "alias",
    "nice",
    "timeout",
    "hash",
    "ulimit",
];

const POWERS: &[(Kind, &[&str])] = &[
    (
        Kind::Network,
        &[
            "curl", "wget", "nc", "ncat", "netcat", "socat", "ssh", "scp", "sftp", "rsync", "ftp", "tftp", "telnet", "dig",
            "nslookup", "host", "ping", "openssl", "mail", "sendmail", "lynx", "w3m", "aria2c", "http", "https", "gh", "aws",
            "gcloud", "kubectl", "docker", "podman", "pip", "pip3", "npm", "npx", "yarn", "pnpm", "cargo", "gem", "apt",
            "apt-get", "yum", "dnf", "apk", "brew", "git", "ip", "ifconfig", "ss", "netstat",
        ],
    ),
    (
        Kind::Process,
        &[
            "kill",
            "pkill",
            "killall",
            "setsid",
            "disown",
            "at",
            "batch",
            "crontab",
            "su",
            "sudo",
            "doas",
            "systemctl",
            "service",
            "nohup",
            "screen",
            "tmux",
            "chroot",
            "unshare",
            "nsenter",
            "strace",
            "gdb",
            "make",
            "coproc",
            "reboot",
            "shutdown",
        ],
    ),
    (
        Kind::FileWrite,
        &[
            "tee", "mv", "cp", "mkdir", "touch", "install", "ln", "dd", "chmod", "chown", "chgrp", "mktemp", "mkfifo", "tar",
            "unzip", "zip", "gzip", "gunzip", "patch", "mount", "umount", "sponge", "ed", "ex", "vi", "vim",
        ],
    ),
    (Kind::FileDeletion, &["rm", "rmdir", "unlink", "shred", "truncate", "wipe"]),
    (
        Kind::Evaluation,
        &[
            "eval",
            "source",
            ".",
            "bash",
            "sh",
            "dash",
            "zsh",
            "ksh",
            "python",
            "python3",
            "python2",
            "perl",
            "ruby",
            "node",
            "nodejs",
            "php",
            "lua",
            "osascript",
            "busybox",
            "expect",
            "enable",
        ],
    ),
    (
        Kind::Environment,
        &[
            "hostname", "whoami", "id", "uname", "printenv", "tty", "logname", "pwd", "ps", "pgrep", "pidof", "uptime", "who",
            "w", "users", "groups", "getent", "nproc", "df", "free", "lsof", "caller", "stty", "lscpu", "which",
        ],
    ),
    (Kind::Clock, &["date", "sleep", "usleep"]),
    (Kind::Random, &["shuf"]),
];

/// Commands that run the command behind their options.
const WRAPPERS: &[&str] = &[
    "command", "builtin", "exec", "env", "xargs", "time", "timeout", "nice", "nohup", "sudo", "doas", "setsid", "busybox",
    "stdbuf",
];

/// Variables that a shell sets by itself and that tell where it runs.
const TELLING: &[(Kind, &[&str])] = &[
    (
        Kind::Environment,
        &[
            "0",
            "$",
            "!",
            "PPID",
            "UID",
            "EUID",
            "BASH_SOURCE",
            "BASHPID",
            "LINENO",
            "FUNCNAME",
            "HOSTNAME",
            "SHLVL",
            "BASH_VERSION",
        ],
    ),
    (Kind::Clock, &["SECONDS", "EPOCHSECONDS", "EPOCHREALTIME"]),
    (Kind::Random, &["RANDOM", "SRANDOM"]),
];
/// Variables of the shell that tell nothing.
const PLAIN: &[&str] = &["IFS", "OPTARG", "OPTIND", "REPLY", "PIPESTATUS", "BASH_REMATCH", "LC_ALL", "LANG"];

struct Reader<'s> {
    tree: &'s Tree,
    source: &'s str,
    functions: BTreeSet<&'s str>,
    /// Variables that are given one fixed text somewhere, and all that are given anything.
    texts: BTreeMap<&'s str, String>,
    given: BTreeSet<&'s str>,
    found: Vec<Capability>,
}

pub(super) fn read(tree: &Tree, source: &str) -> Vec<Capability> {
    let mut reader =
        Reader { tree, source, functions: BTreeSet::new(), texts: BTreeMap::new(), given: BTreeSet::new(), found: Vec::new() };
    for at in 0..tree.items().len() {
        reader.made(at);
    }
    for at in 0..tree.items().len() {
        match tree.item(at).kind {
            "command" => reader.command(at),
            "file_redirect" => reader.redirect(at),
            "variable_name" | "special_variable_name" => reader.variable(at),
            "test_operator" if reader.text(at) == "-t" => reader.note(at, Kind::Environment, "test -t"),
            "&" => reader.note(at, Kind::Process, "&"),
            "word" | "string" | "raw_string" | "string_content" => reader.word(at),
            _ => {}
        }
    }
    reader.found
}

impl<'s> Reader<'s> {
    fn note(&mut self, at: usize, kind: Kind, what: impl Into<String>) {
        let line = self.tree.item(at).lines.0;
        self.found.push(Capability { kind, what: what.into(), line });
    }

    fn text(&self, at: usize) -> &'s str {
        self.tree.text(at, self.source)
    }

    fn made(&mut self, at: usize) {
        let tree = self.tree;
        match tree.item(at).kind {
            "function_definition" => self.functions.extend(tree.child(at, "name").map(|name| self.text(name))),
            "variable_assignment" => {
                let Some(name) = tree.child(at, "name").map(|name| self.text(name)) else { return };
                self.given.insert(name);
                if let Some(value) = tree.child(at, "value").and_then(|value| self.fixed(value)) {
                    self.texts.insert(name, value);
                }
            }
            "for_statement" => self.given.extend(tree.child(at, "variable").map(|name| self.text(name))),
            "declaration_command" => {
                let names = tree.named(at).into_iter().filter(|name| tree.item(*name).kind == "variable_name");
                let names: Vec<&str> = names.map(|name| self.text(name)).collect();
                self.given.extend(names);
            }
            "command" => {
                let words = self.words(at);
                if words
                    .first()
                    .is_some_and(|(_, name)| matches!(name.as_deref(), Some("read" | "mapfile" | "readarray" | "getopts")))
                {
                    let names: Vec<&str> = words.iter().skip(1).map(|(at, _)| self.text(*at)).collect();
                    self.given.extend(names);
                }
            }
            _ => {}
        }
    }

    /// What a word says when nothing of it is computed: quotes and backslashes change nothing.
    fn fixed(&self, at: usize) -> Option<String> {
        let item = self.tree.item(at);
        match item.kind {
            "word" | "number" => Some(self.text(at).replace('\\', "")),
            "concatenation" | "command_name" => {
                let parts: Option<Vec<String>> = self.tree.children(at).map(|part| self.fixed(part)).collect();
                parts.map(|parts| parts.concat())
            }
            "simple_expansion" => {
                let name = self.tree.children(at).last().map(|name| self.text(name))?;
                self.texts.get(name).cloned()
            }
            "string"
                if self.tree.named(at).len() == 1
                    && self.tree.named(at).iter().all(|c| self.tree.item(*c).kind == "simple_expansion") =>
            {
                self.fixed(*self.tree.named(at).first()?)
            }
            _ => text_of(self.tree, at, self.source),
        }
    }

    /// The name of a command and its arguments.
    fn words(&self, at: usize) -> Vec<(usize, Option<String>)> {
        let is_word = |child: &usize| matches!(self.tree.item(*child).field, Some("name" | "argument"));
        self.tree.children(at).filter(is_word).map(|child| (child, self.fixed(child))).collect()
    }

    fn command(&mut self, at: usize) {
        let words = self.words(at);
        let mut rest = words.as_slice();
        while let Some(((place, name), arguments)) = rest.split_first() {
            let Some(name) = name else {
                // A value given as a command: nobody can say which.
                let what = self.text(*place).to_string();
                self.note(*place, Kind::Evaluation, what);
                return;
            };
            let name = name.rsplit('/').next().unwrap_or(name).to_string();
            if self.functions.contains(name.as_str()) {
                return;
            }
            self.named(*place, &name, arguments);
            if !WRAPPERS.contains(&name.as_str()) {
                return;
            }
            rest = behind(arguments);
        }
    }

    fn named(&mut self, at: usize, name: &str, arguments: &[(usize, Option<String>)]) {
        let has = |wanted: &[&str]| arguments.iter().find_map(|(_, text)| text.as_deref().filter(|text| wanted.contains(text)));
        let known = POWERS.iter().find(|(_, commands)| commands.contains(&name)).map(|(kind, _)| *kind);
        match known {
            Some(kind) => self.note(at, kind, name),
            None if !HARMLESS.contains(&name) => self.note(at, Kind::Import, name),
            None => {}
        }
        let off = match name {
            "curl" => has(&["-k", "--insecure", "-sk", "-ks", "-kL", "-Lk", "-fk", "-skL", "-kfsSL"]),
            "wget" => has(&["--no-check-certificate"]),
            "ssh" | "scp" => has(&["StrictHostKeyChecking=no", "-oStrictHostKeyChecking=no"]),
            _ => None,
        };
        if let Some(off) = off.or_else(|| has(&["--no-verify", "--insecure", "--no-check-certificate", "--no-gpg-sign"])) {
            self.note(at, Kind::Unverified, format!("{name} {off}"));
        }
        let first = arguments.first().and_then(|(_, text)| text.as_deref());
        match name {
            "exit" | "return" if first == Some("0") && name == "exit" => self.note(at, Kind::Exit, "exit 0"),
            "trap" => self.note(at, Kind::Evaluation, "trap"),
            "sed"
                if arguments
                    .iter()
                    .any(|(_, text)| text.as_deref().is_some_and(|t| t.starts_with("-i") || t == "--in-place")) =>
            {
                self.note(at, Kind::FileWrite, "sed -i");
            }
            "find" => {
                let deletes = has(&["-delete"]).is_some();
                if deletes {
                    self.note(at, Kind::FileDeletion, "find -delete");
                }
                if let Some(exec) =
                    arguments.iter().position(|(_, text)| matches!(text.as_deref(), Some("-exec" | "-execdir" | "-ok")))
                {
                    let command = arguments.get(exec + 1..).unwrap_or_default();
                    if let Some(((place, Some(name)), rest)) = command.split_first() {
                        let name = name.rsplit('/').next().unwrap_or(name).to_string();
                        self.named(*place, &name, rest);
                    }
                }
            }
            "awk" | "gawk" | "mawk" => {
                let runs = |text: &str| text.contains("system(") || text.contains("getline") || text.contains("| \"");
                if arguments.iter().any(|(_, text)| text.as_deref().is_some_and(runs)) {
                    self.note(at, Kind::Process, "awk system");
                }
            }
            "printf" if first == Some("-v") => {}
            "[" | "test" if has(&["-t"]).is_some() => self.note(at, Kind::Environment, "test -t"),
            _ => {}
        }
    }

    fn redirect(&mut self, at: usize) {
        let tree = self.tree;
        let writes = tree.children(at).any(|c| matches!(self.text(c), ">" | ">>" | ">|" | "&>" | "&>>" | "<>"));
        let Some(target) = tree.child(at, "destination") else { return };
        let text = self.fixed(target);
        let is_stream = text.as_deref().is_some_and(|path| {
            matches!(path, "/dev/null" | "/dev/stderr" | "/dev/stdout" | "/dev/tty" | "1" | "2") || path.starts_with("/dev/fd/")
        });
        if writes
            && !is_stream
            && !text.as_deref().is_some_and(|text| text.starts_with("/dev/tcp") || text.starts_with("/dev/udp"))
        {
            self.note(at, Kind::FileWrite, ">");
        }
    }

    fn variable(&mut self, at: usize) {
        let parent = self.tree.item(self.tree.item(at).parent).kind;
        if !matches!(parent, "simple_expansion" | "expansion" | "subscript") {
            return;
        }
        let name = self.text(at);
        if let Some((kind, _)) = TELLING.iter().find(|(_, names)| names.contains(&name)) {
            self.note(at, *kind, format!("${name}"));
            return;
        }
        let is_outer = name.len() > 1 && name.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit());
        let is_number = name.chars().all(|c| c.is_ascii_digit());
        if is_outer && !is_number && !self.given.contains(name) && !PLAIN.contains(&name) {
            self.note(at, Kind::Environment, format!("${name}"));
        }
    }

    /// Paths that are no files.
    fn word(&mut self, at: usize) {
        if matches!(self.tree.item(self.tree.item(at).parent).kind, "string") && self.tree.item(at).kind != "string_content" {
            return;
        }
        let text = self.text(at).trim_matches(['"', '\'']);
        if matches!(self.tree.item(at).kind, "string") {
            return;
        }
        if text.starts_with("/dev/tcp/") || text.starts_with("/dev/udp/") {
            self.note(at, Kind::Network, "/dev/tcp");
        } else if matches!(text, "/dev/urandom" | "/dev/random") {
            self.note(at, Kind::Random, text);
        } else if text.starts_with("/proc/")
            || text.starts_with("/sys/")
            || text == "/.dockerenv"
            || text.starts_with("/etc/host")
        {
            self.note(at, Kind::Environment, text.chars().take(60).collect::<String>());
        } else if text.starts_with("GIT_SSL_NO_VERIFY") || text.starts_with("NODE_TLS_REJECT_UNAUTHORIZED") {
            self.note(at, Kind::Unverified, text.chars().take(60).collect::<String>());
        }
    }
}

/// The words from the command that a wrapper runs: its options, numbers and assignments are skipped.
fn behind(arguments: &[(usize, Option<String>)]) -> &[(usize, Option<String>)] {
    let is_own =
        |text: &str| text.starts_with(['-', '{']) || text.contains('=') || text.starts_with(|c: char| c.is_ascii_digit());
    let skipped = arguments.iter().take_while(|(_, text)| text.as_deref().is_some_and(is_own)).count();
    arguments.get(skipped..).unwrap_or_default()
}
