//! The strategy `model`: what a language model is asked, and what its answers are: edits of the tool's own files, or nothing. Pure: who
//! asks, and how often, is the engine's.
//!
//! What comes back is text from outside. It can become edits of files that are the tool's, and a title; nothing else of it is used.

mod answer;
mod apply;
mod prompt;
mod prose;

use std::collections::BTreeMap;

pub use self::answer::schema;
pub use self::prompt::{Asked, Example, Prompt, again, agent_brief, prompt, version};
pub use self::prose::{prose, prose_prompt};
use crate::model::{Candidate, Language, Patch, Trust, plain_line};

/// What an answer comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Proposed {
    Patch(Box<Candidate>),
    /// It says that it proposes nothing, and why.
    Abstains(String),
    /// It cannot be used, and why: to be told in the next question.
    Unusable(String),
}

/// Who answered, and how far that may go.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    /// `model` or `agent`.
    pub strategy: &'a str,
    /// Its name, with the version of the prompt.
    pub source: &'a str,
    pub trust: Trust,
}

/// Characters of a title.
const TITLE: usize = 60;

/// Reads an answer as edits of `sources`, the tool's own files.
pub fn proposed(answer: &str, sources: &BTreeMap<String, Vec<u8>>, author: Author<'_>) -> Proposed {
    let read = match answer::read(answer) {
        Ok(read) => read,
        Err(why) => return Proposed::Unusable(why),
    };
    if let Some(why) = read.abstains {
        return Proposed::Abstains(plain_line(&why, 200));
    }
    match apply::apply(&read.edits, sources) {
        Ok(patch) => Proposed::Patch(Box::new(candidate(patch, &read.title, author))),
        Err(why) => Proposed::Unusable(why),
    }
}

/// A patch as a candidate like any other.
pub fn candidate(patch: Patch, title: &str, author: Author<'_>) -> Candidate {
    Candidate {
        strategy: author.strategy.to_string(),
        source: author.source.to_string(),
        title: title_of(title, &patch),
        trust: author.trust,
        patch,
        rank: 1.0,
    }
}

/// The title as plain words: what forges and git read as orders (`fixes #1`, `@name`, trailers, marks) is not in it.
fn title_of(title: &str, patch: &Patch) -> String {
    let plain = |c: char| c.is_alphanumeric() || " .,_-'()/=<>+*%\"".contains(c);
    let line: String = plain_line(title, 4 * TITLE).chars().filter(|c| plain(*c)).collect();
    let line = plain_line(&line.split_whitespace().collect::<Vec<_>>().join(" "), TITLE);
    let first = patch.edits.keys().next().map_or("the tool", String::as_str);
    if line.chars().filter(|c| c.is_alphabetic()).count() < 3 { format!("change {first}") } else { line }
}

/// The languages as prompts call them.
pub(super) fn language(language: Language) -> &'static str {
    match language {
        Language::Python => "Python",
        Language::Rust => "Rust",
        Language::Javascript => "JavaScript",
        Language::Shell => "shell",
        Language::Other => "another language",
    }
}

#[cfg(test)]
mod tests;
