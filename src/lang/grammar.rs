//! The tree-sitter grammars that are built in, as ast-grep wants them. Owns how a pattern's `$NAME` becomes an identifier
//! that the grammar accepts; which rules there are is data in `templates/fixes`.

use std::borrow::Cow;

use ast_grep_core::matcher::{PatternBuilder, PatternError};
use ast_grep_core::tree_sitter::{LanguageExt, StrDoc, TSLanguage};
use ast_grep_core::{AstGrep, Pattern};
use serde::{Deserialize, Deserializer};

use super::Syntax;
use crate::model::Language;

/// Stands for `$` in a pattern while it is parsed: a letter that the grammars accept in identifiers and nobody writes
/// (the choice of the ast-grep project).
const EXPANDO: char = '\u{b5}';

/// A syntax we can parse and match. Each variant is behind the Cargo feature `lang-…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grammar {
    /// Python 3.
    #[cfg(feature = "lang-python")]
    Python,
    /// JavaScript, modules and scripts alike, with JSX.
    #[cfg(feature = "lang-javascript")]
    Javascript,
    /// Rust.
    #[cfg(feature = "lang-rust")]
    Rust,
    /// Bash, and what POSIX shells have in common with it.
    #[cfg(feature = "lang-shell")]
    Shell,
}

impl Grammar {
    /// The grammar of `language`, when it is built in.
    pub fn of(language: Language) -> Option<Self> {
        match language {
            #[cfg(feature = "lang-python")]
            Language::Python => Some(Grammar::Python),
            #[cfg(feature = "lang-javascript")]
            Language::Javascript => Some(Grammar::Javascript),
            #[cfg(feature = "lang-rust")]
            Language::Rust => Some(Grammar::Rust),
            #[cfg(feature = "lang-shell")]
            Language::Shell => Some(Grammar::Shell),
            _ => None,
        }
    }

    /// What the kinds of its nodes mean.
    pub fn syntax(self) -> &'static Syntax {
        match self {
            #[cfg(feature = "lang-python")]
            Grammar::Python => &super::python::SYNTAX,
            #[cfg(feature = "lang-javascript")]
            Grammar::Javascript => &super::javascript::SYNTAX,
            #[cfg(feature = "lang-rust")]
            Grammar::Rust => &super::rust::SYNTAX,
            #[cfg(feature = "lang-shell")]
            Grammar::Shell => &super::shell::SYNTAX,
        }
    }

    /// The syntax tree of `source`. `None` only when the parser gives up; a tree may still hold errors, see [`super::parses`].
    pub fn tree(self, source: &str) -> Option<AstGrep<StrDoc<Self>>> {
        AstGrep::try_new(source, self).ok()
    }
}

/// A rule file names its language as `fractal.toml` does.
impl<'de> Deserialize<'de> for Grammar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let language = Language::deserialize(deserializer)?;
        Grammar::of(language).ok_or_else(|| serde::de::Error::custom("no grammar is built in for this language"))
    }
}

impl ast_grep_core::Language for Grammar {
    fn pre_process_pattern<'q>(&self, query: &'q str) -> Cow<'q, str> {
        let mut ready = String::with_capacity(query.len());
        let mut dollars = 0;
        for c in query.chars().chain(std::iter::once('\n')) {
            if c == '$' {
                dollars += 1;
                continue;
            }
            let sigil = if matches!(c, 'A'..='Z' | '_') || dollars == 3 { EXPANDO } else { '$' };
            ready.extend(std::iter::repeat_n(sigil, dollars));
            dollars = 0;
            ready.push(c);
        }
        ready.pop();
        Cow::Owned(ready)
    }

    fn expando_char(&self) -> char {
        EXPANDO
    }

    /// Also finds operators alone: a rule calls them by the names in [`Syntax::operators`].
    fn kind_to_id(&self, kind: &str) -> u16 {
        let grammar = self.get_ts_language();
        match self.syntax().operators.iter().find(|(name, _)| *name == kind) {
            Some((_, token)) => grammar.id_for_node_kind(token, false),
            None => grammar.id_for_node_kind(kind, true),
        }
    }

    fn field_to_id(&self, field: &str) -> Option<u16> {
        self.get_ts_language().field_id_for_name(field).map(|id| id.get())
    }

    fn build_pattern(&self, builder: &PatternBuilder) -> Result<Pattern, PatternError> {
        builder.build(|source| StrDoc::try_new(source, *self))
    }
}

impl LanguageExt for Grammar {
    fn get_ts_language(&self) -> TSLanguage {
        match *self {
            #[cfg(feature = "lang-python")]
            Grammar::Python => tree_sitter_python::LANGUAGE.into(),
            #[cfg(feature = "lang-javascript")]
            Grammar::Javascript => tree_sitter_javascript::LANGUAGE.into(),
            #[cfg(feature = "lang-rust")]
            Grammar::Rust => tree_sitter_rust::LANGUAGE.into(),
            #[cfg(feature = "lang-shell")]
            Grammar::Shell => tree_sitter_bash::LANGUAGE.into(),
        }
    }
}
