//! How a matched template becomes an edit: one span of the source and its new text. Every byte outside the span stays.
//!
//! The texts of the templates are filled in here and not by ast-grep, which indents captured text anew when it has several
//! lines: that would change lines nobody meant to touch, and the content of strings. Owns no order and no belief.

use std::ops::Range;
use std::sync::LazyLock;

use ast_grep_core::NodeMatch;
use ast_grep_core::tree_sitter::StrDoc;
use regex::{Captures, Regex};

use super::regex;
use super::rules::{Fix, Place, Template};
use crate::lang::{self, Grammar, SyntaxNode};

type Matched<'t> = NodeMatch<'t, StrDoc<Grammar>>;

static VARIABLE: LazyLock<Regex> = LazyLock::new(|| regex(r"(\$\$\$|\$)([A-Z][A-Z0-9_]*)"));
static STEP: LazyLock<Regex> = LazyLock::new(|| regex(r"^(-?\d{1,15}) ([+-]) 1$"));
static BACK: LazyLock<Regex> = LazyLock::new(|| regex(r"^(?s)(.*\S) (?:- 1 \+ 1|\+ 1 - 1)$"));
/// Characters of captured text in a title.
const TITLE_CAPTURE: usize = 40;
/// The span of a source and its new text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) span: Range<usize>,
    pub(super) text: String,
}

impl Edit {
    /// The whole source with the edit made.
    pub(super) fn apply(&self, source: &str) -> Option<String> {
        let (before, after) = (source.get(..self.span.start)?, source.get(self.span.end..)?);
        Some(format!("{before}{}{after}", self.text))
    }

    /// Lets the new text's lines end as those of the source do.
    pub(super) fn follow_ends(&mut self, source: &str) {
        if self.text.contains('\n') && source.split_once('\n').is_some_and(|(first, _)| first.ends_with('\r')) {
            self.text = self.text.replace("\r\n", "\n").replace('\n', "\r\n");
        }
    }

    /// What it does, in words; each text in at most `longest` characters.
    pub(super) fn describe(&self, source: &str, longest: usize) -> String {
        let short = |text: &str| {
            let text = text.trim();
            let line = text.lines().next().unwrap_or_default();
            let cut: String = line.chars().take(longest).collect();
            let more = if cut.len() < text.len() { "\u{2026}" } else { "" };
            format!("{}{more}", cut.replace('`', "'"))
        };
        match (short(source.get(self.span.clone()).unwrap_or_default()), short(&self.text)) {
            (old, new) if old.is_empty() => format!("insert `{new}`"),
            (old, new) if new.is_empty() => format!("remove `{old}`"),
            (old, new) if old == new => format!("change `{old}`"),
            (old, new) => format!("replace `{old}` by `{new}`"),
        }
    }

    /// Bytes taken away and put in, after what both have in common at either end.
    pub(super) fn size(&self, source: &str) -> usize {
        let old = source.get(self.span.clone()).unwrap_or_default().as_bytes();
        let new = self.text.as_bytes();
        let shorter = old.len().min(new.len());
        let front = old.iter().zip(new).take_while(|(a, b)| a == b).count();
        let back = old.iter().rev().zip(new.iter().rev()).take(shorter - front).take_while(|(a, b)| a == b).count();
        old.len() + new.len() - 2 * (front + back)
    }
}

/// The edit that `fix` of `template` makes at `matched`; `None` where it does not fit.
pub(super) fn render(template: &Template, fix: &Fix, matched: &Matched<'_>, source: &str) -> Option<Edit> {
    let filled = fill(&fix.template, matched, source)?;
    let mut edit = match template.place {
        Place::Node => {
            let node = matched.get_node();
            Edit { span: node.range(), text: unwrapped(fold(filled.trim_end_matches('\n')), node) }
        }
        Place::BeforeStatement => before_statement(filled.trim_end(), matched.get_node(), source)?,
    };
    edit.follow_ends(source);
    Some(edit)
}

/// The fix's title with short captured texts filled in.
pub(super) fn title(fix: &Fix, matched: &Matched<'_>, source: &str) -> String {
    VARIABLE
        .replace_all(&fix.title, |found: &Captures<'_>| {
            let text = captured(found, matched, source).unwrap_or_default();
            let plain = text.chars().count() <= TITLE_CAPTURE && !text.contains(['\n', '`']);
            if plain { text } else { "\u{2026}".to_string() }
        })
        .into_owned()
}

fn fill(text: &str, matched: &Matched<'_>, source: &str) -> Option<String> {
    let mut complete = true;
    let filled = VARIABLE.replace_all(text, |found: &Captures<'_>| {
        captured(found, matched, source).unwrap_or_else(|| {
            complete = false;
            String::new()
        })
    });
    let filled = filled.into_owned();
    complete.then_some(filled)
}

/// The source text of a variable; several nodes are taken with everything between them.
fn captured(found: &Captures<'_>, matched: &Matched<'_>, source: &str) -> Option<String> {
    let name = found.get(2)?.as_str();
    let env = matched.get_env();
    let span = if found.get(1)?.as_str() == "$" {
        match env.get_match(name) {
            Some(node) => node.range(),
            None => return env.get_transformed(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
        }
    } else {
        let nodes = env.get_multiple_matches(name);
        match (nodes.first(), nodes.last()) {
            (Some(first), Some(last)) => first.range().start..last.range().end,
            _ => 0..0,
        }
    };
    source.get(span).map(str::to_string)
}

/// `7 + 1` becomes `8`, and `n - 1 + 1` becomes `n`: what a person would write.
fn fold(text: &str) -> String {
    if let Some(step) = STEP.captures(text) {
        let by = if &step[2] == "+" { 1 } else { -1 };
        return step[1].parse::<i64>().map_or_else(|_| text.to_string(), |number| (number + by).to_string());
    }
    BACK.captures(text).map_or_else(|| text.to_string(), |back| back[1].to_string())
}

/// Takes off the outer parentheses of a template where the place does not need them.
fn unwrapped(text: String, node: &SyntaxNode<'_>) -> String {
    let needless = node.parent().is_some_and(|parent| parent.lang().syntax().holders.contains(&&*parent.kind()));
    let inner = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    match inner {
        Some(inner) if needless && !inner.contains('\n') && closes_at_end(&text) => inner.to_string(),
        _ => text,
    }
}

/// Whether the parenthesis that opens the text is closed only at its end. Brackets in strings are counted too, which at worst
/// keeps a needless pair.
fn closes_at_end(text: &str) -> bool {
    let mut depth = 0i32;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1 == text.len();
        }
    }
    false
}

/// An insertion before the statement around `node`, with its indentation. Only where the statement begins its line.
fn before_statement(text: &str, node: &SyntaxNode<'_>, source: &str) -> Option<Edit> {
    let syntax = node.lang().syntax();
    let ancestors: Vec<SyntaxNode<'_>> = node.ancestors().collect();
    let mut path = std::iter::once(node).chain(&ancestors).zip(&ancestors);
    let statement = path.find(|(child, parent)| lang::is_statement(child, parent)).map(|(child, _)| child)?;
    let in_function = ancestors.iter().any(|ancestor| syntax.functions.contains(&&*ancestor.kind()));
    if !in_function && text.lines().any(|line| line.trim_start().starts_with("return")) {
        return None;
    }
    let start = statement.range().start;
    let line_start = source.get(..start)?.rfind('\n').map_or(0, |newline| newline + 1);
    let indent = source.get(line_start..start).filter(|indent| indent.chars().all(|c| c == ' ' || c == '\t'))?;
    let step = if indent.contains('\t') { "\t" } else { indentation(source).unwrap_or(syntax.indent) };
    let mut inserted = String::new();
    for line in text.lines() {
        let own = line.trim_start_matches(' ');
        let line = format!("{}{own}", step.repeat((line.len() - own.len()) / syntax.indent.len()));
        inserted.push_str(&format!("{line}\n{indent}"));
    }
    Some(Edit { span: start..start, text: inserted })
}

/// What the first line below one that opens a block is indented by.
fn indentation(source: &str) -> Option<&str> {
    let opens = |line: &str| line.ends_with(['{', ':']) || line.ends_with("then") || line.ends_with("do");
    source.lines().zip(source.lines().skip(1)).filter(|(line, _)| opens(line.trim_end())).find_map(|(line, below)| {
        let indent = |line: &str| line.len() - line.trim_start().len();
        below.get(indent(line)..indent(below)).filter(|step| !step.is_empty() && step.len() <= 8)
    })
}
