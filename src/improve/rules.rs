//! The fix templates as data: ast-grep rules from `templates/fixes/<language>/`, built into the program, with what their
//! `metadata` says about them. How a rule becomes an edit is in `edit.rs`, when it is used in `template.rs`.

use std::sync::LazyLock;

use ast_grep_config::{GlobalRules, RuleConfig, SerializableRuleConfig};
use include_dir::{Dir, include_dir};
use regex::Regex;
use serde::Deserialize;

use crate::lang::Grammar;
use crate::model::{Failure, Language, Trust};

static FILES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/templates/fixes");
static TEMPLATES: LazyLock<Vec<Template>> = LazyLock::new(|| load_all().into_iter().filter_map(Result::ok).collect());

/// A program before and after a template: its documentation and its test.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateCase {
    pub before: String,
    /// One of the sources that the template makes of `before`.
    pub after: String,
}

/// One fix template.
pub struct Template {
    /// The name of its file, and of a candidate's source.
    pub id: String,
    pub language: Language,
    /// The family: `zero-division`, `operator`, …
    pub class: String,
    /// One sentence for people.
    pub doc: String,
    /// Between 0 and 1: how likely it is right where it fits.
    pub weight: f64,
    /// Failure classes it is for; empty means any.
    pub errors: Vec<String>,
    /// How far its candidates may go without a person.
    pub trust: Trust,
    pub cases: Vec<TemplateCase>,
    pub(super) message: Option<Regex>,
    pub(super) place: Place,
    pub(super) fixes: Vec<Fix>,
    pub(super) rule: RuleConfig<Grammar>,
}

/// Where the text of a fix goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Place {
    /// In place of the matched node.
    #[default]
    Node,
    /// As statements of their own before the statement that holds the matched node.
    BeforeStatement,
}

/// One of the texts a template tries.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Fix {
    pub(super) title: String,
    pub(super) template: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Safety {
    Land,
    Review,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    class: String,
    #[serde(default)]
    errors: Vec<String>,
    message: Option<String>,
    weight: f64,
    safety: Safety,
    doc: String,
    #[serde(default)]
    place: Place,
    cases: Vec<TemplateCase>,
}

#[derive(Deserialize)]
struct RuleFile {
    language: Language,
    fix: Vec<Fix>,
    metadata: Metadata,
}

/// All templates, in the order of their languages and names.
pub fn templates() -> &'static [Template] {
    &TEMPLATES
}

impl Template {
    /// What a failure's message must match, where that matters.
    pub fn message(&self) -> Option<&str> {
        self.message.as_ref().map(Regex::as_str)
    }

    /// The texts that it tries, each with what it does.
    pub fn fixes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fixes.iter().map(|fix| (fix.title.as_str(), fix.template.as_str()))
    }

    /// Whether it is for any failure, also for an answer that is merely wrong.
    pub(super) fn is_generic(&self) -> bool {
        self.errors.is_empty() && self.message.is_none()
    }

    /// Whether it is for such a failure. One that is for certain classes and knows a message is also for a tool that caught
    /// the error itself and ended with a code of its own and that message.
    pub(super) fn is_for(&self, failure: &Failure) -> bool {
        let said = self.message.as_ref().map(|message| message.is_match(&failure.message));
        let named = self.errors.contains(&failure.class);
        match said {
            None => self.errors.is_empty() || named,
            Some(said) => said && (named || failure.class.starts_with("exit ")),
        }
    }
}

/// Every file below `templates/fixes`, read; an error names its file.
pub(super) fn load_all() -> Vec<Result<Template, String>> {
    let mut files: Vec<_> = FILES.dirs().flat_map(Dir::files).collect();
    files.sort_by_key(|file| file.path());
    files
        .into_iter()
        .map(|file| {
            let id = file.path().file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let text = file.contents_utf8().ok_or_else(|| format!("`{id}` is not UTF-8"))?;
            load(id, text).map_err(|error| format!("`{id}`: {error}"))
        })
        .collect()
}

fn load(id: &str, text: &str) -> Result<Template, String> {
    let file: RuleFile = ast_grep_config::from_str(text).map_err(|error| error.to_string())?;
    let rule: SerializableRuleConfig<Grammar> = ast_grep_config::from_str(text).map_err(|error| error.to_string())?;
    if rule.id != id {
        return Err(format!("its id is `{}`", rule.id));
    }
    let rule = RuleConfig::try_from(rule, &GlobalRules::default()).map_err(|error| chain(&error))?;
    let about = file.metadata;
    let message = about.message.as_deref().map(Regex::new).transpose().map_err(|error| error.to_string())?;
    Ok(Template {
        id: id.to_string(),
        language: file.language,
        class: about.class,
        doc: about.doc,
        weight: about.weight.clamp(0.0, 1.0),
        errors: about.errors,
        trust: match about.safety {
            Safety::Land => Trust::Land,
            Safety::Review => Trust::Review,
        },
        cases: about.cases,
        message,
        place: about.place,
        fixes: file.fix,
        rule,
    })
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
