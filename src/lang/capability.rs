//! What a source can do to the world, found by its syntax: comments and texts do not count, other names for the same thing do.
//! Owns the kinds and how two sources are compared; which names mean which kind is a table in each language's file below
//! `src/lang/capability/`.
//!
//! This is no proof. A source that computes its names at run time is itself a capability ([`Kind::Evaluation`]), but a language
//! has more ways than a table; the sandbox is what holds when this does not see something.

mod javascript;
mod literal;
mod names;
mod python;
mod rust;
mod shell;

pub(super) use literal::{is_text, text_of};

use std::collections::BTreeMap;

use super::Tree;
use crate::model::Language;

/// What a piece of syntax reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A module or a command of which we do not know what it does.
    Import,
    Network,
    /// Other programs, signals, threads of control beside ours.
    Process,
    FileWrite,
    FileDeletion,
    /// Text that becomes code, names that are computed.
    Evaluation,
    /// A check of identity or integrity that is switched off.
    Unverified,
    /// What differs between the real world and a trial: variables, host, user, own path, who is watching.
    Environment,
    Clock,
    Random,
    /// Code that no rule of the language holds.
    Native,
    /// Ending with success, wherever we are.
    Exit,
}

/// One place where a source reaches something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    pub kind: Kind,
    /// What is reached, by its full name: `subprocess.run`, whatever the source calls it.
    pub what: String,
    /// 1-based.
    pub line: u32,
}

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// A person decides.
    Doubt,
    /// No patch of ours does this.
    Refuse,
}

/// Something in a patched source that a patch should not bring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub grade: Grade,
    /// 1-based, in the patched source.
    pub line: u32,
    /// A sentence without its full stop.
    pub text: String,
}

impl Finding {
    pub(super) fn new(grade: Grade, line: u32, text: String) -> Self {
        Finding { grade, line, text }
    }
}

impl Kind {
    /// As the end of "the patch …".
    fn says(self) -> &'static str {
        match self {
            Kind::Import => "uses what the file did not use",
            Kind::Network => "reaches the network",
            Kind::Process => "reaches other processes",
            Kind::FileWrite => "writes files",
            Kind::FileDeletion => "deletes files",
            Kind::Evaluation => "runs text as code or computes names",
            Kind::Unverified => "switches a check off",
            Kind::Environment => "asks where it runs",
            Kind::Clock => "asks for the time",
            Kind::Random => "depends on chance",
            Kind::Native => "leaves the rules of the language",
            Kind::Exit => "ends the program with success",
        }
    }

    /// What one more of a kind is worth. A tool that already deletes files may have to delete one more, but a person looks at it.
    fn grade(self, what: &str, is_known: bool) -> Grade {
        match self {
            // Ends without telling anybody, whatever the code.
            Kind::Exit if what == "os._exit" => Grade::Refuse,
            Kind::Evaluation | Kind::Unverified => Grade::Refuse,
            Kind::Import | Kind::Clock | Kind::Random | Kind::Exit => Grade::Doubt,
            _ if is_known => Grade::Doubt,
            _ => Grade::Refuse,
        }
    }
}

/// Everything that `source` reaches, in the order of the text; nothing for a language without a grammar.
pub fn capabilities(language: Language, source: &str) -> Vec<Capability> {
    let Some(tree) = Tree::of(language, source) else { return Vec::new() };
    match language {
        Language::Python => python::read(&tree, source),
        Language::Javascript => javascript::read(&tree, source),
        Language::Rust => rust::read(&tree, source),
        Language::Shell => shell::read(&tree, source),
        Language::Other => Vec::new(),
    }
}

/// What `after` reaches more often than `before`, a finding for each kind and name. What only moves is nothing new.
pub fn gained(language: Language, before: &str, after: &str) -> Vec<Finding> {
    let old = capabilities(language, before);
    let mut left: BTreeMap<(Kind, &str), usize> = BTreeMap::new();
    for capability in &old {
        *left.entry((capability.kind, &capability.what)).or_default() += 1;
    }
    let mut found: BTreeMap<(Kind, String), Finding> = BTreeMap::new();
    let new = capabilities(language, after);
    for Capability { kind, what, line } in &new {
        let (kind, line) = (*kind, *line);
        match left.get_mut(&(kind, what.as_str())) {
            Some(count) if *count > 0 => *count -= 1,
            _ => {
                let grade = kind.grade(what, old.iter().any(|known| known.kind == kind));
                let text = format!("`{what}` {}, which the file did not do before", kind.says());
                found.entry((kind, what.clone())).or_insert(Finding { grade, line, text });
            }
        }
    }
    let mut found: Vec<Finding> = found.into_values().collect();
    found.sort_by_key(|finding| (finding.line, std::cmp::Reverse(finding.grade)));
    found
}

#[cfg(test)]
#[cfg(all(feature = "lang-javascript", feature = "lang-python", feature = "lang-rust", feature = "lang-shell"))]
mod tests;
