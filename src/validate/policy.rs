//! Policy: what a patch may touch at all, whatever it achieves.

use super::trial::Found;
use crate::model::{Candidate, FileEdit, Language, Tool};

/// Paths that no candidate may change, by their beginning or their file name: checks, locks, ownership, our own configuration.
const PROTECTED_FOLDERS: [&str; 5] = [".github/", ".git/", ".ci/", ".fractal/", ".gitlab/"];
const PROTECTED_FILES: [&str; 9] = [
    "fractal.toml",
    "Cargo.lock",
    "package-lock.json",
    "poetry.lock",
    "uv.lock",
    "CODEOWNERS",
    ".gitattributes",
    ".gitmodules",
    "AGENTS.md",
];
/// Bytes of one changed file.
const FILE_BYTES_MAX: usize = 1 << 20;

/// Text whose first appearance in a file is a new capability: network, processes, deleting files, evaluating text.
const CAPABILITIES: [(Language, &[&str]); 3] = [
    (
        Language::Python,
        &[
            "import socket",
            "import subprocess",
            "import urllib",
            "import requests",
            "import shutil",
            "import ctypes",
            "os.system",
            "os.popen",
            "os.remove",
            "os.unlink",
            "os.kill",
            "os.exec",
            "eval(",
            "exec(",
            "__import__(",
            "verify=False",
            "os.environ",
        ],
    ),
    (
        Language::Javascript,
        &["child_process", "require('net')", "require(\"net\")", "fetch(", "eval(", "new Function(", "unlinkSync", "rmSync"],
    ),
    (Language::Shell, &["curl ", "wget ", "eval ", "rm -", "nc ", "ssh "]),
];

/// `sources` gives a file's content before the patch; `lines` is how many lines the patch adds and removes.
pub(super) fn check(
    tool: &Tool,
    candidate: &Candidate,
    sources: &dyn Fn(&str) -> Option<Vec<u8>>,
    lines: usize,
    lines_max: usize,
) -> Found {
    if candidate.patch.edits.is_empty() {
        return Found::failed("the patch is empty");
    }
    for (path, edit) in &candidate.patch.edits {
        // The exact inverse of a commit, made by us from git: it may take back the tests and files that came with the commit.
        let why = match candidate.strategy == "revert" {
            true => misplaced(path).or_else(|| (!tool.owns(path) && !tool.tests_own(path)).then(|| foreign(tool, path))),
            false => refused(tool, path, edit, sources(path).as_deref()),
        };
        if let Some(why) = why {
            return Found::failed(why);
        }
    }
    // Undoing a commit is as large as the commit was.
    if lines > lines_max && candidate.strategy != "revert" {
        return Found::failed(format!("the patch changes {lines} lines, more than {lines_max} (`[validate] patch_lines`)"));
    }
    Found::passed(format!("only the tool's own paths, {lines} changed lines, no new capability"))
}

fn misplaced(path: &str) -> Option<String> {
    let name = path.rsplit('/').next().unwrap_or(path);
    if path.starts_with('/') || path.split('/').any(|part| matches!(part, ".." | "." | "" | ".git")) {
        return Some(format!("`{path}` is not a path inside the repository"));
    }
    if PROTECTED_FILES.contains(&name) || PROTECTED_FOLDERS.iter().any(|folder| path.starts_with(folder)) {
        return Some(format!("`{path}` is protected"));
    }
    None
}

fn foreign(tool: &Tool, path: &str) -> String {
    format!("`{path}` does not belong to `{}`", tool.name)
}

fn refused(tool: &Tool, path: &str, edit: &FileEdit, before: Option<&[u8]>) -> Option<String> {
    if let Some(why) = misplaced(path) {
        return Some(why);
    }
    if tool.tests_own(path) {
        return Some(format!("`{path}` is a test: tests may be added to, never edited"));
    }
    if !tool.owns(path) {
        return Some(foreign(tool, path));
    }
    let FileEdit::Write(content) = edit else { return Some(format!("it deletes `{path}`")) };
    if content.len() > FILE_BYTES_MAX || content.contains(&0) {
        return Some(format!("`{path}` becomes binary or larger than {} KiB", FILE_BYTES_MAX >> 10));
    }
    let Some(before) = before else { return Some(format!("`{path}` is a new file")) };
    new_capability(tool.language, before, content).map(|what| format!("`{path}` gains a new capability: `{what}`"))
}

fn new_capability(language: Language, before: &[u8], after: &[u8]) -> Option<&'static str> {
    let (before, after) = (String::from_utf8_lossy(before), String::from_utf8_lossy(after));
    let words = CAPABILITIES.iter().find(|(known, _)| *known == language).map(|(_, words)| *words)?;
    words.iter().find(|word| after.matches(**word).count() > before.matches(**word).count()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Check, CheckStatus, Origin, Patch, SideEffects, StdinUse, SuccessRule, Trust};

    fn tool() -> Tool {
        Tool {
            name: "a".into(),
            paths: vec!["tools/a.py".into(), "tools/lib".into()],
            run: vec![],
            test: None,
            tests: vec!["tools/lib/tests".into()],
            needs: vec![],
            timeout: None,
            stdin: StdinUse::default(),
            success: SuccessRule::default(),
            effects: SideEffects::None,
            compare: crate::model::Comparison::Exact,
            language: Language::Python,
            origin: Origin::Declared,
        }
    }

    fn judged(path: &str, content: &str) -> Check {
        let candidate = Candidate {
            strategy: "template".into(),
            source: "x".into(),
            title: "x".into(),
            trust: Trust::Land,
            patch: Patch::write(path, content.as_bytes().to_vec()),
            rank: 1.0,
        };
        check(&tool(), &candidate, &|_| Some(b"import os\nx = 1\n".to_vec()), 2, 40).named("policy")
    }

    #[test]
    fn only_the_tools_own_files_may_change_and_never_its_tests() {
        assert_eq!(judged("tools/a.py", "import os\nx = 2\n").status, CheckStatus::Passed);
        for path in
            ["tools/b.py", "tools/lib/tests/t.py", "../a.py", "tools/lib/fractal.toml", ".github/workflows/ci.yml", "/etc/passwd"]
        {
            assert_eq!(judged(path, "x").status, CheckStatus::Failed, "{path}");
        }
    }

    #[test]
    fn a_patch_that_brings_a_new_capability_is_refused() {
        let check = judged("tools/a.py", "import os\nimport subprocess\nx = 1\n");
        assert_eq!(check.status, CheckStatus::Failed);
        assert!(check.detail.contains("import subprocess"));
    }
}
