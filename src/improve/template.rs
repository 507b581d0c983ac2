//! The template strategy: every fix template that is for this failure, wherever it matches in the tool's own files, ranked by
//! suspicion × weight × size. The templates themselves are data, see `rules.rs`.

use std::sync::LazyLock;

use regex::Regex;

use super::edit::{self, Edit};
use super::rules::{Template, templates};
use super::suspicion::Suspicion;
use super::{Case, Strategy, regex};
use crate::lang::{self, Grammar, Span};
use crate::model::{Candidate, Failure, Language, Patch};

/// Candidates of one proposal. The best ones by rank; each holds a whole file.
const CANDIDATES: usize = 2000;
/// Larger files are not searched, in bytes.
const SOURCE: usize = 512 * 1024;
/// An edit of so many characters counts half.
const HALF_SIZE: f64 = 120.0;
/// Each further text of one template counts so much of the one before it.
const FURTHER_FIX: f64 = 0.95;
/// A place that does not mention what the message quotes.
const UNMENTIONED: f64 = 0.7;

static QUOTED: LazyLock<Regex> = LazyLock::new(|| {
    // A shell does not quote the name it complains about.
    regex(r#"'([^']{1,80})'|"([^"]{1,80})"|: \$?(\w{1,80}): (?:unbound variable|parameter not set)"#)
});

/// Proposes edits from the fix templates.
pub(super) struct Templates;

impl Strategy for Templates {
    fn name(&self) -> &'static str {
        "template"
    }

    fn propose(&self, case: &Case<'_>) -> Vec<Candidate> {
        let mut drafts: Vec<Draft<'_>> = Vec::new();
        for (path, content) in case.sources {
            if let Some(file) = File::read(path, content, case) {
                file.drafts(&case.investigation.failure, &mut drafts);
            }
        }
        drafts.sort_by(|a, b| b.rank.total_cmp(&a.rank));
        drafts.truncate(CANDIDATES);
        drafts.into_iter().filter_map(|draft| draft.candidate(self.name())).collect()
    }
}

/// One edit before the file with it is made.
struct Draft<'a> {
    path: &'a str,
    source: &'a str,
    template: &'static Template,
    edit: Edit,
    title: String,
    rank: f64,
}

impl Draft<'_> {
    fn candidate(self, strategy: &str) -> Option<Candidate> {
        let text = self.edit.apply(self.source)?;
        Some(Candidate {
            strategy: strategy.to_string(),
            source: self.template.id.clone(),
            title: self.title,
            trust: self.template.trust,
            patch: Patch::write(self.path, text.into_bytes()),
            rank: self.rank,
        })
    }
}

/// One of the tool's files that can be repaired.
struct File<'a> {
    path: &'a str,
    source: &'a str,
    language: Language,
    grammar: Grammar,
    functions: Vec<Span>,
    suspicion: Suspicion,
}

impl<'a> File<'a> {
    /// `None` for tests, for what is not text of a language with templates, and for what does not parse.
    fn read(path: &'a str, content: &'a [u8], case: &Case<'_>) -> Option<Self> {
        if case.tool.tests_own(path) || !case.tool.owns(path) || content.len() > SOURCE {
            return None;
        }
        let language = lang::detect(path, content);
        let grammar = Grammar::of(language)?;
        let source = std::str::from_utf8(content).ok()?;
        lang::parses(language, content).ok()?;
        let suspicion = Suspicion::of(path, language, source, case.sources, case.investigation);
        Some(File { path, source, language, grammar, functions: lang::functions(language, source), suspicion })
    }

    fn drafts(&self, failure: &Failure, drafts: &mut Vec<Draft<'a>>) {
        let Some(tree) = self.grammar.tree(self.source) else { return };
        let root = tree.root();
        let entry = lang::entry(self.language, self.source);
        let known = templates().iter().filter(|template| template.language == self.language);
        for template in known.filter(|template| template.is_for(failure)) {
            for matched in root.find_all(&template.rule.matcher) {
                let (first, last) = (line_of(matched.start_pos().line()), line_of(matched.end_pos().line()));
                let generic = template.is_generic();
                if generic && entry.iter().any(|lines| lines.contains(&first)) {
                    continue;
                }
                let focus = if generic { 1.0 } else { focus(failure, &matched.text()) };
                let worth = self.suspicion.at(first, last) * template.weight * focus;
                for (index, fix) in template.fixes.iter().enumerate() {
                    let Some(edit) = edit::render(template, fix, &matched, self.source) else { continue };
                    let size = edit.size(self.source) as f64;
                    let rank = worth * FURTHER_FIX.powi(i32::try_from(index).unwrap_or(i32::MAX)) / (1.0 + size / HALF_SIZE);
                    let title = format!("{} in `{}`", edit::title(fix, &matched, self.source), self.place(first));
                    drafts.push(Draft { path: self.path, source: self.source, template, edit, title, rank });
                }
            }
        }
    }

    /// The innermost function around `line`, else the file's name.
    fn place(&self, line: u32) -> &str {
        let around = self.functions.iter().rfind(|function| function.covers(line));
        around.map_or_else(|| self.path.rsplit('/').next().unwrap_or(self.path), |function| &function.name)
    }
}

fn line_of(row: usize) -> u32 {
    u32::try_from(row + 1).unwrap_or(u32::MAX)
}

/// A message that quotes something (`KeyError: 'nickname'`) points at the places that mention it.
fn focus(failure: &Failure, text: &str) -> f64 {
    let mut quotes =
        QUOTED.captures_iter(&failure.message).filter_map(|found| (1..=3).find_map(|group| found.get(group))).peekable();
    if quotes.peek().is_none() || quotes.any(|quote| text.contains(quote.as_str())) { 1.0 } else { UNMENTIONED }
}
