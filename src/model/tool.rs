//! A tool: something in the repository that can be run.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Exit, Outcome};

/// Something in the repository that can be run, with what we need to run, test and watch it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// Unique in the repository; also part of branch names, see [`check_tool_name`].
    pub name: String,
    /// Repository-relative files and folders that belong to the tool: only these may a candidate change.
    pub paths: Vec<String>,
    /// How to run it: `{root}` stands for the root of the checkout, and an element that equals one of `paths` or `tests`
    /// is taken relative to that root. The caller's arguments follow.
    pub run: Vec<String>,
    /// How to run its own tests, in the root of a checkout; success is exit code 0.
    pub test: Option<Vec<String>>,
    /// Its test files and folders. They may be added to, never edited.
    pub tests: Vec<String>,
    /// What a checkout needs besides `paths` and `tests`; empty means the whole repository, within the configured limit.
    pub needs: Vec<String>,
    /// A run that takes longer is ended and counts as a failure. Nothing is ended when unset.
    pub timeout: Option<Duration>,
    /// Whether standard input that is a pipe is captured.
    pub stdin: StdinUse,
    /// When a run counts as a success.
    pub success: SuccessRule,
    /// What a run does to the world: decides whether recorded runs may be run again.
    pub effects: SideEffects,
    /// How strictly answers of two versions are compared at most; what varies by itself is compared more loosely.
    pub compare: Comparison,
    /// The language of the main file.
    pub language: Language,
    /// Declared in `fractal.toml`, or found, and why.
    pub origin: Origin,
}

impl Tool {
    /// A tool of which nothing else is known: no tests, no limits, unknown effects.
    pub fn known_by(name: &str, paths: Vec<String>, run: Vec<String>, language: Language, origin: Origin) -> Tool {
        Tool {
            name: name.to_string(),
            paths,
            run,
            test: None,
            tests: Vec::new(),
            needs: Vec::new(),
            timeout: None,
            stdin: StdinUse::default(),
            success: SuccessRule::default(),
            effects: SideEffects::Unknown,
            compare: Comparison::Exact,
            language,
            origin,
        }
    }

    /// Whether `path` belongs to the tool.
    pub fn owns(&self, path: &str) -> bool {
        covers(&self.paths, path)
    }

    /// Whether `path` is one of its tests.
    pub fn tests_own(&self, path: &str) -> bool {
        covers(&self.tests, path)
    }

    /// Why another version of it cannot be run in passing, from another folder than the user's checkout.
    pub fn stays_put(&self) -> Option<&'static str> {
        if self.language == Language::Rust {
            return Some("it is built before it runs");
        }
        let here = |root| self.command(&self.run, root);
        (here("/a") == here("/b")).then_some("its command does not name its files, so that it would run those of the work tree")
    }

    /// The command line of `template` (its `run` or `test`) for a checkout at `root`.
    pub fn command(&self, template: &[String], root: &str) -> Vec<String> {
        let known = |element: &String| self.paths.contains(element) || self.tests.contains(element);
        template
            .iter()
            .map(|element| if known(element) { format!("{root}/{element}") } else { element.replace("{root}", root) })
            .collect()
    }
}

fn covers(paths: &[String], path: &str) -> bool {
    paths.iter().any(|own| {
        let own = own.trim_end_matches('/');
        path == own || path.strip_prefix(own).is_some_and(|rest| rest.starts_with('/'))
    })
}

/// Where we know a tool from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A `[[tool]]` table of `fractal.toml`.
    Declared,
    /// Found in the repository; the text says by what.
    Found(String),
}

/// What running a tool does to the world. Unknown counts as unsafe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SideEffects {
    /// Nobody has said. Recorded runs are not run again unless `[validate] unknown_effects = "run"`.
    #[default]
    Unknown,
    /// Reads its arguments and standard input, writes its output: may be run again freely.
    None,
    /// Reads or writes files below its working directory: may be run again in a scratch checkout.
    Files,
    /// Talks to the network: never run again by us.
    Network,
    /// Deletes, sends or spends: never run again by us.
    Destructive,
}

/// Ways to compare two outputs, strictest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Comparison {
    /// Byte for byte.
    #[default]
    Exact,
    /// Equal as JSON: white space and the order of keys do not count.
    Json,
    /// Equal but for the order of the items of a collection (of the lines of a text), and for the last digits of numbers.
    Semantic,
    /// Equal but for the fields (in a text: the words) in which two runs of the untouched version differ.
    Masked,
    /// Of the same form: the same keys and types in JSON; in a text only whether there is any.
    Schema,
}

impl Comparison {
    /// From the strictest to the loosest.
    pub const ALL: [Comparison; 5] =
        [Comparison::Exact, Comparison::Json, Comparison::Semantic, Comparison::Masked, Comparison::Schema];

    /// For people: how the answers were compared.
    pub fn words(self) -> &'static str {
        match self {
            Comparison::Exact => "the same output",
            Comparison::Json => "the same JSON",
            Comparison::Semantic => "the same items, whatever their order",
            Comparison::Masked => "the same output but for what varies by itself",
            Comparison::Schema => "output of the same form",
        }
    }
}

/// What `exec` does with standard input that is a pipe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StdinUse {
    /// Copies it to the tool and keeps it, so that the run can be repeated. Reads ahead of the tool.
    #[default]
    Capture,
    /// Leaves it to the tool.
    Inherit,
}

/// The language of a tool's main file, by what the loop can do with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    Python,
    Javascript,
    Rust,
    Shell,
    /// Anything else: watched and reverted, never repaired from templates.
    #[default]
    Other,
}

/// When a run counts as a success: the exit code is listed, and the predicate holds if there is one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SuccessRule {
    /// Exit codes that mean success.
    #[serde(default = "SuccessRule::default_exit")]
    pub exit: Vec<i32>,
    /// A condition on standard output read as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<JsonPredicate>,
}

/// `pointer` (RFC 6901) into standard output read as JSON must equal `equals`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonPredicate {
    /// A JSON pointer, such as `/status`.
    pub pointer: String,
    /// The value that means success.
    pub equals: serde_json::Value,
}

impl Default for SuccessRule {
    fn default() -> Self {
        SuccessRule { exit: Self::default_exit(), stdout: None }
    }
}

impl SuccessRule {
    fn default_exit() -> Vec<i32> {
        vec![0]
    }

    /// The outcome of a run that ended with `exit` and printed `stdout`.
    ///
    /// A run that never started, or that its caller interrupted (SIGINT, SIGTERM, SIGHUP, SIGKILL), says nothing about the
    /// tool: [`Outcome::Error`].
    pub fn judge(&self, exit: &Exit, stdout: &[u8]) -> Outcome {
        const INTERRUPTIONS: [i32; 4] = [1, 2, 9, 15];
        match exit {
            Exit::NotStarted(_) => Outcome::Error,
            Exit::Signal(signal) if INTERRUPTIONS.contains(signal) => Outcome::Error,
            Exit::Code(code) if self.exit.contains(code) && self.output_agrees(stdout) => Outcome::Success,
            Exit::Code(_) | Exit::Signal(_) | Exit::TimedOut => Outcome::Failure,
        }
    }

    fn output_agrees(&self, stdout: &[u8]) -> bool {
        let Some(predicate) = &self.stdout else { return true };
        serde_json::from_slice::<serde_json::Value>(stdout)
            .is_ok_and(|json| json.pointer(&predicate.pointer) == Some(&predicate.equals))
    }
}

/// Why a name cannot be a tool's.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{name}` cannot name a tool: {why}")]
pub struct ToolNameError {
    name: String,
    why: &'static str,
}

/// A tool's name becomes part of a git branch and of file names, so it is 1 to 64 of `A-Z a-z 0-9 . _ -`, does not begin with
/// `.` or `-`, and has no `..` and no final `.` or `.lock` (the rules of `git check-ref-format`).
pub fn check_tool_name(name: &str) -> Result<(), ToolNameError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let why = if name.is_empty() || name.len() > 64 {
        "it must have 1 to 64 characters"
    } else if !name.chars().all(allowed) {
        "only letters, digits, `.`, `_` and `-` are allowed"
    } else if name.starts_with(['.', '-']) || name.ends_with('.') || name.ends_with(".lock") || name.contains("..") {
        "git does not allow it in a branch name"
    } else {
        return Ok(());
    };
    Err(ToolNameError { name: name.chars().take(80).collect(), why })
}

/// What somebody else calls a tool, as a name that a tool can have: other characters become `-`. `None` when nothing is left.
pub fn clean_tool_name(name: &str) -> Option<String> {
    let mut clean = String::new();
    for c in name.chars() {
        let c = if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
        let repeats = clean.ends_with(c) && matches!(c, '-' | '.');
        if clean.len() < 64 && !repeats {
            clean.push(c);
        }
    }
    let mut clean = clean.trim_matches(['.', '-']);
    while let Some(rest) = clean.strip_suffix(".lock") {
        clean = rest.trim_end_matches(['.', '-']);
    }
    check_tool_name(clean).is_ok().then(|| clean.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_run_is_never_counted_against_the_tool() {
        let rule = SuccessRule::default();
        assert_eq!(rule.judge(&Exit::Signal(2), b""), Outcome::Error);
        assert_eq!(rule.judge(&Exit::Signal(11), b""), Outcome::Failure);
        assert_eq!(rule.judge(&Exit::TimedOut, b""), Outcome::Failure);
    }

    #[test]
    fn a_predicate_on_the_output_can_turn_exit_zero_into_a_failure() {
        let rule =
            SuccessRule { exit: vec![0], stdout: Some(JsonPredicate { pointer: "/ok".into(), equals: serde_json::json!(true) }) };
        assert_eq!(rule.judge(&Exit::Code(0), br#"{"ok":true}"#), Outcome::Success);
        assert_eq!(rule.judge(&Exit::Code(0), br#"{"ok":false}"#), Outcome::Failure);
        assert_eq!(rule.judge(&Exit::Code(0), b"not json"), Outcome::Failure);
    }

    #[test]
    fn only_a_tool_whose_command_names_its_files_can_run_from_elsewhere() {
        let tool = |run: &[&str], language| {
            let run = run.iter().map(ToString::to_string).collect();
            Tool::known_by("t", vec!["tools/t.py".into()], run, language, Origin::Declared)
        };
        assert_eq!(tool(&["python3", "tools/t.py"], Language::Python).stays_put(), None);
        assert_eq!(tool(&["{root}/tools/t.py"], Language::Python).stays_put(), None);
        assert!(tool(&["python3", "-m", "tools.t"], Language::Python).stays_put().is_some());
        assert!(tool(&["cargo", "run", "--manifest-path", "{root}/Cargo.toml"], Language::Rust).stays_put().is_some());
    }

    #[test]
    fn names_that_git_would_refuse_in_a_branch_are_refused() {
        for bad in ["", "a b", "../x", "a..b", ".hidden", "-x", "x.lock", "x.", "caf\u{e9}"] {
            assert!(check_tool_name(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "buggy_calculator", "disk-units", "v1.2"] {
            assert_eq!(check_tool_name(good), Ok(()));
        }
    }

    #[test]
    fn what_others_call_their_tools_becomes_a_name_that_git_allows() {
        let clean = |name: &str| clean_tool_name(name);
        assert_eq!(clean("CI / Build & test (ubuntu)").as_deref(), Some("CI-Build-test-ubuntu"));
        assert_eq!(clean("../../.hidden.lock").as_deref(), Some("hidden"));
        assert_eq!(clean("a..b.lock.lock").as_deref(), Some("a.b"));
        assert_eq!(clean(&"x".repeat(100)).map(|name| name.len()), Some(64));
        for nothing in ["", " ", "../", "\u{65e5}\u{672c}", "--", "..."] {
            assert_eq!(clean(nothing), None, "{nothing:?}");
        }
        assert_eq!(clean("buggy_calculator").as_deref(), Some("buggy_calculator"));
    }

    #[test]
    fn a_folder_owns_what_is_below_it_and_not_its_namesakes() {
        let paths = vec!["tools/a".to_string()];
        assert!(covers(&paths, "tools/a/x.py"));
        assert!(covers(&paths, "tools/a"));
        assert!(!covers(&paths, "tools/ab"));
    }
}
