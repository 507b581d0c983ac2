//! The template strategy: every fix template and every operator that is for this failure, wherever it fits in the tool's own files,
//! ranked by suspicion × weight × size. The templates are data, see `rules.rs`; the operators are in `operators/`.

use std::rc::Rc;
use std::sync::LazyLock;

use regex::Regex;

use super::edit::{self, Edit};
use super::operators::{self, Operator};
use super::rules::{Template, templates};
use super::suspicion::Suspicion;
use super::{Case, Strategy, regex};
use crate::lang::{self, Grammar, Span, SyntaxNode, Tree};
use crate::model::{Candidate, Failure, Language, Patch, Trust};

/// Candidates of one proposal, each with a whole file.
const CANDIDATES: usize = 2000;
/// Drafts of one file, the best ones by rank.
const DRAFTS: usize = 40_000;
/// Larger files are not searched, in bytes.
const SOURCE: usize = 2 << 20;
/// An edit of so many characters counts half.
const HALF_SIZE: f64 = 120.0;
/// Each further text of one template counts so much of the one before it.
const FURTHER_FIX: f64 = 0.95;
/// A place that does not mention what the message quotes.
const UNMENTIONED: f64 = 0.7;
/// Characters of an edit's texts in a title.
const TITLE: usize = 48;

static QUOTED: LazyLock<Regex> = LazyLock::new(|| {
    // A shell does not quote the name it complains about.
    regex(r#"'([^']{1,80})'|"([^"]{1,80})"|: \$?(\w{1,80}): (?:unbound variable|parameter not set)"#)
});

/// Proposes edits from the fix templates and the operators.
pub(super) struct Templates;

impl Strategy for Templates {
    fn name(&self) -> &'static str {
        "template"
    }

    fn propose(&self, case: &Case<'_>) -> Vec<Candidate> {
        drafts(case, CANDIDATES).into_iter().filter_map(|draft| draft.candidate()).collect()
    }
}

/// What the strategy would try, best first, at most `limit`.
pub(super) fn drafts(case: &Case<'_>, limit: usize) -> Vec<Draft> {
    let mut drafts: Vec<Draft> = Vec::new();
    for (path, content) in case.sources {
        if let Some(file) = File::read(path, content, case) {
            file.templates(&case.investigation.failure, &mut drafts);
            file.operators(&mut drafts);
        }
    }
    if let Some(learned) = case.learned {
        drafts.iter_mut().for_each(|draft| draft.rank *= learned.factor(draft.file.language, draft.maker.name()));
    }
    drafts.sort_by(|a, b| b.rank.total_cmp(&a.rank));
    drafts.truncate(limit.min(DRAFTS));
    drafts
}

/// Who made an edit.
#[derive(Clone)]
enum Maker {
    /// With what it says it does.
    Template(&'static Template, String),
    Operator(&'static Operator),
}

impl Maker {
    fn name(&self) -> &'static str {
        match self {
            Maker::Template(template, _) => &template.id,
            Maker::Operator(operator) => operator.id,
        }
    }
}

/// One edit before the file with it is made.
#[derive(Clone)]
pub(super) struct Draft {
    file: Rc<Text>,
    maker: Maker,
    pub(super) edit: Edit,
    pub(super) rank: f64,
}

/// A file's text, shared by all its drafts.
struct Text {
    path: String,
    language: Language,
    source: String,
    functions: Vec<Span>,
}

impl Draft {
    /// The file that it changes.
    pub(super) fn path(&self) -> &str {
        &self.file.path
    }

    /// The file's text before it.
    pub(super) fn before(&self) -> &str {
        &self.file.source
    }

    /// The whole file with the edit made.
    pub(super) fn text(&self) -> Option<String> {
        self.edit.apply(&self.file.source)
    }

    /// The first line that it changes, 1-based, and how many lines it adds or takes away.
    pub(super) fn shift(&self) -> (u32, i64) {
        let source = &self.file.source;
        let newlines = |text: &str| text.bytes().filter(|byte| *byte == b'\n').count();
        let line = newlines(source.get(..self.edit.span.start).unwrap_or_default()) + 1;
        let gone = newlines(source.get(self.edit.span.clone()).unwrap_or_default());
        let added = i64::try_from(newlines(&self.edit.text)).unwrap_or(0) - i64::try_from(gone).unwrap_or(0);
        (u32::try_from(line).unwrap_or(u32::MAX), added)
    }

    /// As the other stages take it.
    pub(super) fn candidate(&self) -> Option<Candidate> {
        let (trust, what) = match &self.maker {
            Maker::Template(template, title) => (template.trust, title.clone()),
            Maker::Operator(_) => (Trust::Review, self.edit.describe(&self.file.source, TITLE)),
        };
        Some(Candidate {
            strategy: Templates.name().to_string(),
            source: self.maker.name().to_string(),
            title: format!("{what} in `{}`", self.place()),
            trust,
            patch: Patch::write(&self.file.path, self.text()?.into_bytes()),
            rank: self.rank,
        })
    }

    /// The innermost function around the edit, else the file's name.
    fn place(&self) -> &str {
        let (line, _) = self.shift();
        let around = self.file.functions.iter().rfind(|function| function.covers(line));
        around.map_or_else(|| self.file.path.rsplit('/').next().unwrap_or(&self.file.path), |function| &function.name)
    }
}

/// One of the tool's files that can be repaired.
struct File {
    text: Rc<Text>,
    language: Language,
    grammar: Grammar,
    suspicion: Suspicion,
}

impl File {
    /// `None` for tests, for what is not text of a language with templates, and for what does not parse.
    fn read(path: &str, content: &[u8], case: &Case<'_>) -> Option<Self> {
        if case.tool.tests_own(path) || !case.tool.owns(path) || content.len() > SOURCE {
            return None;
        }
        let language = lang::detect(path, content);
        let grammar = Grammar::of(language)?;
        let source = std::str::from_utf8(content).ok()?;
        lang::parses(language, content).ok()?;
        let suspicion = Suspicion::of(path, language, source, case.sources, case.investigation);
        let functions = lang::functions(language, source);
        let text = Text { path: path.to_string(), language, source: source.to_string(), functions };
        Some(File { text: Rc::new(text), language, grammar, suspicion })
    }

    fn rank(&self, worth: f64, edit: &Edit) -> f64 {
        worth / (1.0 + edit.size(&self.text.source) as f64 / HALF_SIZE)
    }

    fn draft(&self, maker: Maker, edit: Edit, worth: f64) -> Draft {
        let rank = self.rank(worth, &edit);
        Draft { file: Rc::clone(&self.text), maker, edit, rank }
    }

    fn operators(&self, drafts: &mut Vec<Draft>) {
        let source = &self.text.source;
        let Some((shape, tree)) = lang::shape(self.language).zip(Tree::of(self.language, source)) else { return };
        let entry = lang::entry(self.language, source);
        let wanted =
            |first: u32, last: u32| self.suspicion.points_at(first, last) && !entry.iter().any(|lines| lines.contains(&first));
        for mut made in operators::made(self.grammar, shape, &tree, source, &wanted) {
            made.edit.follow_ends(source);
            let worth = self.suspicion.at(made.lines.0, made.lines.1) * made.worth;
            drafts.push(self.draft(Maker::Operator(made.operator), made.edit, worth));
        }
    }

    fn templates(&self, failure: &Failure, drafts: &mut Vec<Draft>) {
        let source = self.text.source.as_str();
        let Some(tree) = self.grammar.tree(source) else { return };
        let entry = lang::entry(self.language, source);
        let tops: Vec<SyntaxNode<'_>> = tree.root().children().filter(|top| self.is_suspicious(top)).collect();
        let known = templates().iter().filter(|template| template.language == self.language);
        for template in known.filter(|template| template.is_for(failure)) {
            for matched in tops.iter().flat_map(|top| top.find_all(&template.rule.matcher)) {
                let (first, last) = (line_of(matched.start_pos().line()), line_of(matched.end_pos().line()));
                let generic = template.is_generic();
                if generic && entry.iter().any(|lines| lines.contains(&first)) {
                    continue;
                }
                let focus = if generic { 1.0 } else { focus(failure, &matched.text()) };
                let worth = self.suspicion.at(first, last) * template.weight * focus;
                for (index, fix) in template.fixes.iter().enumerate() {
                    let Some(edit) = edit::render(template, fix, &matched, source) else { continue };
                    let share = FURTHER_FIX.powi(i32::try_from(index).unwrap_or(i32::MAX));
                    let maker = Maker::Template(template, edit::title(fix, &matched, source));
                    drafts.push(self.draft(maker, edit, worth * share));
                }
            }
        }
    }

    /// Whether anything points into a top-level node: in a large file most are of no interest.
    fn is_suspicious(&self, top: &SyntaxNode<'_>) -> bool {
        let (first, last) = (line_of(top.start_pos().line()), line_of(top.end_pos().line()));
        self.suspicion.points_into(first, last)
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
