//! Policy: what a patch may touch at all, whatever it achieves. What a source reaches, hides or knows by heart is found in
//! `lang`; this decides what of it is refused and what a person must look at.

mod appended;

use super::trial::Found;
use crate::lang::{self, Grade, Seen};
use crate::model::{Candidate, FileEdit, Language, Tool};

/// Paths that no candidate may change, by their beginning or their file name: checks, locks, ownership, our own configuration.
const PROTECTED_FOLDERS: [&str; 5] = [".github/", ".git/", ".ci/", ".fractal/", ".gitlab/"];
const PROTECTED_FILES: [&str; 13] = [
    "fractal.toml",
    "Cargo.lock",
    "package-lock.json",
    "pnpm-lock.yaml",
    "yarn.lock",
    "poetry.lock",
    "uv.lock",
    "CODEOWNERS",
    ".gitattributes",
    ".gitmodules",
    ".gitignore",
    ".gitlab-ci.yml",
    "AGENTS.md",
];
/// Strategies whose patches were written by somebody else than this program and the tool's own people.
const OUTSIDE: [&str; 2] = ["model", "agent"];
/// Bytes of one changed file.
const FILE_BYTES_MAX: usize = 1 << 20;

/// A file as the untouched version has it.
pub(super) struct Before {
    pub content: Vec<u8>,
    /// As git has it: `0o100644`, `0o100755`, `0o120000` (symlink), `0o160000` (submodule).
    pub mode: u32,
}

/// What the policy is asked.
pub(super) struct Question<'a> {
    pub tool: &'a Tool,
    pub candidate: &'a Candidate,
    /// What lies at a path before the patch; `None` for nothing and for a folder.
    pub before: &'a dyn Fn(&str) -> Option<Before>,
    /// Lines that the patch adds and removes, and how many it may.
    pub lines: usize,
    pub lines_max: usize,
    pub seen: &'a Seen,
}

/// Judges a patch by what it touches: failed with what is refused, weak with what a person must look at.
pub(super) fn check(question: &Question<'_>) -> Found {
    let mut doubts = Vec::new();
    if let Some(why) = refused(question, &mut doubts) {
        return Found::failed(why);
    }
    match doubts.first() {
        Some(first) => Found::weak(first.clone()).listing(doubts),
        None => Found::passed(format!("only the tool's own paths, {} changed lines, no new capability", question.lines)),
    }
}

fn refused(question: &Question<'_>, doubts: &mut Vec<String>) -> Option<String> {
    let Question { tool, candidate, lines, lines_max, .. } = question;
    let is_revert = candidate.strategy == "revert";
    if candidate.patch.edits.is_empty() {
        return Some("the patch is empty".into());
    }
    for (path, edit) in &candidate.patch.edits {
        // The exact inverse of a commit, made by us from git: it may take back the tests and files that came with the commit.
        let foreign =
            || (!tool.owns(path) && !tool.tests_own(path)).then(|| format!("`{path}` does not belong to `{}`", tool.name));
        let why = misplaced(path).or_else(foreign);
        let why = why.or_else(|| if is_revert { None } else { edited(question, path, edit, doubts) });
        if why.is_some() {
            return why;
        }
    }
    // Undoing a commit is as large as the commit was.
    let is_large = lines > lines_max && !is_revert;
    is_large.then(|| format!("the patch changes {lines} lines, more than {lines_max} (`[validate] patch_lines`)"))
}

fn misplaced(path: &str) -> Option<String> {
    let name = path.rsplit('/').next().unwrap_or(path);
    if path.starts_with('/') || path.contains(['\\', '\0']) || path.split('/').any(is_no_name) {
        return Some(format!("`{path}` is not a path inside the repository"));
    }
    if PROTECTED_FILES.contains(&name) || PROTECTED_FOLDERS.iter().any(|folder| path.starts_with(folder)) {
        return Some(format!("`{path}` is protected"));
    }
    None
}

/// Parts of a path that lead elsewhere; file systems that do not tell cases apart have `.GIT` too.
fn is_no_name(part: &str) -> bool {
    matches!(part, ".." | "." | "") || part.eq_ignore_ascii_case(".git")
}

fn edited(question: &Question<'_>, path: &str, edit: &FileEdit, doubts: &mut Vec<String>) -> Option<String> {
    let tool = question.tool;
    if appended::decides_tests(path) {
        return Some(format!("`{path}` decides which tests run"));
    }
    let FileEdit::Write(content) = edit else { return Some(format!("it deletes `{path}`")) };
    let before = (question.before)(path);
    if before.as_ref().is_some_and(|before| !matches!(before.mode, 0o100644 | 0o100755)) {
        return Some(format!("`{path}` is a symlink or a submodule"));
    }
    let folders = path.match_indices('/').map(|(end, _)| &path[..end]);
    if let Some(link) = folders.into_iter().find(|folder| before.is_none() && (question.before)(folder).is_some()) {
        return Some(format!("`{link}` is no folder, so `{path}` leads elsewhere"));
    }
    let text = std::str::from_utf8(content).ok().filter(|text| content.len() <= FILE_BYTES_MAX && !text.contains('\0'));
    let Some(after) = text else {
        return Some(format!("`{path}` becomes binary or larger than {} KiB", FILE_BYTES_MAX >> 10));
    };
    let before = before.map(|before| String::from_utf8_lossy(&before.content).into_owned());
    let language = match lang::detect(path, content) {
        Language::Other if path.contains('.') => Language::Other,
        Language::Other => tool.language,
        known => known,
    };
    if tool.tests_own(path) || appended::is_test(path) {
        if let Some(why) = appended::edited(language, before.as_deref(), after) {
            return Some(format!("`{path}` is a test: {why}"));
        }
        let new = lang::gained(language, before.as_deref().unwrap_or_default(), after);
        doubts.extend(new.iter().map(|finding| format!("`{path}` line {}: {}", finding.line, finding.text)));
        return None;
    }
    let Some(before) = before else { return Some(format!("`{path}` is a new file")) };
    if let Some(why) = appended::own_tests_edited(language, &before, after) {
        return Some(format!("`{path}` holds tests: {why}"));
    }
    source(question, path, language, (&before, after), doubts)
}

/// The first thing in the patched source that is refused; what is doubted is told.
fn source(
    question: &Question<'_>,
    path: &str,
    language: Language,
    (before, after): (&str, &str),
    doubts: &mut Vec<String>,
) -> Option<String> {
    if language == Language::Other {
        doubts.push(format!("`{path}` is in a language that is not read"));
        return None;
    }
    let mut findings = lang::gained(language, before, after);
    // What somebody else wrote gets no new ability, however harmless it looks.
    if OUTSIDE.contains(&question.candidate.strategy.as_str())
        && let Some(gained) = findings.first()
    {
        return Some(format!("`{path}` line {}: {}", gained.line, gained.text));
    }
    findings.extend(lang::swallowed(language, before, after));
    findings.extend(lang::hard_coded(language, before, after, question.seen));
    let said = |finding: &lang::Finding| format!("`{path}` line {}: {}", finding.line, finding.text);
    let refused = findings.iter().find(|finding| finding.grade == Grade::Refuse).map(said);
    doubts.extend(findings.iter().map(said).filter(|_| refused.is_none()));
    refused
}

#[cfg(test)]
#[cfg(all(feature = "lang-javascript", feature = "lang-python", feature = "lang-shell"))]
mod tests;
