//! When a failure is the environment's fault: a file, a module, a command, a host or room on the disk is missing or refused.
//! Owns these signs and nothing else: whether a failure reproduces is found by running it.

use std::sync::LazyLock;

use regex::Regex;

use super::regex;
use crate::model::Failure;

static QUOTED: LazyLock<Regex> = LazyLock::new(|| regex("'([^']{1,200})'|\"([^\"]{1,200})\"|`([^`]{1,200})`"));
static COMMAND: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"(?:^|: )(?:line )?\d+: ([^:]{1,200}): (?:command )?not found$|(?:^|: )([^:\s]{1,200}): command not found$")
});
static REFUSED: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(?:^|: )([^:]{1,200}): (No such file or directory|Permission denied)$"));
static NODE: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"\b(ENOENT|EACCES|EPERM|ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|ENOSPC|MODULE_NOT_FOUND)\b")
});
static NODE_MODULE: LazyLock<Regex> = LazyLock::new(|| regex(r"Cannot find (?:module|package) '([^']{1,200})'"));
/// How Python answers `-m` with a module that is not there.
static RUN_MODULE: LazyLock<Regex> = LazyLock::new(|| regex(r"^\S*python[\d.]*: No module named ([\w.]+)$"));
static SAID: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)connection refused|connection reset|timed out|temporary failure in name resolution|could not resolve host|network is unreachable|no space left on device",
    )
});

/// Why the environment is at fault, as a sentence that quotes what is missing; `None` when nothing says so.
/// A time-out and a wrong output are never the environment's.
pub fn environment_reason(failure: &Failure) -> Option<String> {
    if matches!(failure.class.as_str(), "time-out" | "wrong output" | "panic") {
        return SAID.find(&failure.message).filter(|_| failure.class == "panic").map(|_| said(failure));
    }
    python(failure).or_else(|| node(failure)).or_else(|| shell(failure)).or_else(|| {
        let is_logic = matches!(failure.class.as_str(), "ValueError" | "KeyError" | "AssertionError" | "IndexError");
        (!is_logic && SAID.is_match(&failure.message)).then(|| said(failure))
    })
}

fn said(failure: &Failure) -> String {
    format!("`{}`: {}", failure.message.trim(), failure.class)
}

/// The first quoted text of a message.
fn quoted(message: &str) -> Option<&str> {
    let found = QUOTED.captures(message)?;
    (1..=3).find_map(|group| found.get(group)).map(|text| text.as_str())
}

fn python(failure: &Failure) -> Option<String> {
    let class = failure.class.as_str();
    let about = |what: &str| match quoted(&failure.message) {
        Some(name) => format!("`{name}` {what}: {class}"),
        None => said(failure),
    };
    match class {
        "FileNotFoundError" => Some(about("does not exist")),
        "PermissionError" => Some(about("may not be used")),
        "NotADirectoryError" => Some(about("is not a folder")),
        "ModuleNotFoundError" => missing_module(failure),
        "ConnectionError"
        | "ConnectionRefusedError"
        | "ConnectionResetError"
        | "ConnectionAbortedError"
        | "BrokenPipeError"
        | "TimeoutError"
        | "gaierror"
        | "herror"
        | "URLError"
        | "SSLError"
        | "SSLCertVerificationError"
        | "RemoteDisconnected"
        | "ReadTimeout"
        | "ConnectTimeout" => Some(said(failure)),
        "OSError" if failure.message.contains("[Errno 28]") => Some(said(failure)),
        "exit 1" => {
            let module = RUN_MODULE.captures(&failure.message)?;
            Some(format!("the module `{}` is not installed: {class}", &module[1]))
        }
        _ => None,
    }
}

/// A module whose name is a file or folder of a frame in the repository is the tool's own, and its absence a defect.
fn missing_module(failure: &Failure) -> Option<String> {
    let module = quoted(&failure.message)?;
    let top = module.split('.').next().unwrap_or(module);
    let own = failure
        .frames
        .iter()
        .filter(|frame| frame.in_repo)
        .any(|frame| frame.path.split('/').any(|part| part.strip_suffix(".py").unwrap_or(part) == top));
    (!own).then(|| format!("the module `{module}` is not installed: ModuleNotFoundError"))
}

fn node(failure: &Failure) -> Option<String> {
    if let Some(module) = NODE_MODULE.captures(&failure.message) {
        let name = &module[1];
        return (!name.starts_with(['.', '/'])).then(|| format!("the module `{name}` is not installed: MODULE_NOT_FOUND"));
    }
    let code = NODE.captures(&failure.message)?;
    Some(match (&code[1], quoted(&failure.message)) {
        ("ENOENT", Some(path)) => format!("`{path}` does not exist: ENOENT"),
        ("EACCES" | "EPERM", Some(path)) => format!("`{path}` may not be used: {}", &code[1]),
        _ => said(failure),
    })
}

fn shell(failure: &Failure) -> Option<String> {
    if !failure.class.starts_with("exit ") && !failure.class.starts_with("not started") {
        return None;
    }
    if let Some(command) = COMMAND.captures(&failure.message) {
        let name = command.get(1).or_else(|| command.get(2))?.as_str();
        return Some(format!("the command `{name}` is not installed: {}", failure.class));
    }
    if let Some(refused) = REFUSED.captures(&failure.message) {
        let what = if &refused[2] == "Permission denied" { "may not be used" } else { "does not exist" };
        return Some(format!("`{}` {what}: {}", &refused[1], failure.class));
    }
    match failure.class.as_str() {
        "exit 126" => Some(format!("something could not be executed: exit 126, `{}`", failure.message)),
        "exit 127" => Some(format!("a command was not found: exit 127, `{}`", failure.message)),
        class if class.starts_with("not started") => Some(class.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::failure;
    use super::*;
    use crate::model::Exit;

    fn reason(code: i32, stderr: &str) -> Option<String> {
        environment_reason(&failure(&Exit::Code(code), stderr.as_bytes(), "/r"))
    }

    fn python_reason(last: &str) -> Option<String> {
        reason(1, &format!("Traceback (most recent call last):\n  File \"/r/tools/a.py\", line 1, in f\n{last}\n"))
    }

    #[test]
    fn what_python_misses_is_quoted() {
        let missing = "FileNotFoundError: [Errno 2] No such file or directory: '/data/x.csv'";
        assert_eq!(python_reason(missing).as_deref(), Some("`/data/x.csv` does not exist: FileNotFoundError"));
        let module = python_reason("ModuleNotFoundError: No module named 'yaml'");
        assert_eq!(module.as_deref(), Some("the module `yaml` is not installed: ModuleNotFoundError"));
        assert!(python_reason("OSError: [Errno 28] No space left on device").is_some());
        assert!(python_reason("socket.gaierror: [Errno -3] Temporary failure in name resolution").is_some());
    }

    #[test]
    fn a_defect_of_the_tool_is_not_the_environment() {
        for own in [
            "ModuleNotFoundError: No module named 'tools.parts'",
            "MemoryError",
            "KeyError: 'timed out'",
            "ZeroDivisionError: division by zero",
            "OSError: [Errno 22] Invalid argument",
        ] {
            assert_eq!(python_reason(own), None, "{own}");
        }
        assert_eq!(environment_reason(&failure(&Exit::TimedOut, b"request timed out", "/r")), None);
        assert_eq!(reason(1, "Error: Cannot find module './own'\n    at x (/r/a.js:1:2)\n"), None);
    }

    #[test]
    fn a_shell_and_node_are_understood_too() {
        let jq = reason(127, "/r/x.sh: line 3: jq: command not found\n");
        assert_eq!(jq.as_deref(), Some("the command `jq` is not installed: exit 127"));
        let dash = reason(127, "/r/x.sh: 3: jq: not found\n");
        assert_eq!(dash.as_deref(), Some("the command `jq` is not installed: exit 127"));
        let cat = reason(1, "cat: /data/in.txt: No such file or directory\n");
        assert_eq!(cat.as_deref(), Some("`/data/in.txt` does not exist: exit 1"));
        let node = reason(1, "Error: ENOENT: no such file or directory, open '/d/x'\n    at x (/r/a.js:1:2)\n");
        assert_eq!(node.as_deref(), Some("`/d/x` does not exist: ENOENT"));
        assert_eq!(reason(1, "pick_mirror: upstream timed out").as_deref(), Some("`pick_mirror: upstream timed out`: exit 1"));
        let module = reason(1, "/usr/bin/python3.11: No module named pytest\n");
        assert_eq!(module.as_deref(), Some("the module `pytest` is not installed: exit 1"));
        assert!(reason(126, "sh: x: cannot execute").is_some());
    }
}
