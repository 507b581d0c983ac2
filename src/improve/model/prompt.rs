//! What is asked: the templates in `templates/text/prompts/`, and what is quoted in them. Everything that was read or recorded is marked as
//! data, has its share of the room and no more, and comes from the seen half of the recordings.

use std::collections::BTreeMap;

use minijinja::{Environment, context};

use super::language;
use crate::improve::{Case, Repaired};
use crate::model::{Conclusion, Counts, Recording, beginning, ending, plain_line};

const SYSTEM: &str = include_str!("../../../templates/text/prompts/system.md");
const REPAIR: &str = include_str!("../../../templates/text/prompts/repair.md");
const AGAIN: &str = include_str!("../../../templates/text/prompts/again.md");
const BRIEF: &str = include_str!("../../../templates/text/prompts/agent.md");

/// Runs of each kind that are shown.
const RUNS: usize = 6;
/// Bytes of each part of a run, of a message, of an earlier repair.
const PART: usize = 1200;
const MESSAGE: usize = 1500;
const SIMILAR: usize = 3;
/// Bytes of what is said of an answer before the next question.
const FINDINGS: usize = 6000;

/// What is known, for one question. All of it may be shown.
pub struct Asked<'a> {
    pub case: &'a Case<'a>,
    /// Tells one failure from another.
    pub id: &'a str,
    /// Runs that failed so, of how many.
    pub counts: Counts,
    pub failing: &'a [Example],
    pub good: &'a [Example],
    /// The tool's tests, by path.
    pub tests: &'a BTreeMap<String, Vec<u8>>,
    /// Answers as JSON instead of text.
    pub json: bool,
    /// Room for all of it.
    pub bytes: usize,
}

/// A run, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The arguments for people.
    pub input: String,
    pub stdin: Vec<u8>,
    /// How it ended, and what it said.
    pub ended: String,
    pub stdout: Vec<u8>,
    /// What standard output should have been.
    pub expected: Option<Vec<u8>>,
}

impl Example {
    /// A recorded run of the seen half; `None` for one that is held out.
    pub fn of(recording: &Recording) -> Option<Example> {
        let input = &recording.execution.input;
        let failure = recording.execution.failure.as_ref();
        (!input.is_held_out()).then(|| Example {
            input: recording.shown(400),
            stdin: recording.stdin.clone(),
            ended: failure.map_or_else(|| "succeeds".to_string(), |failure| format!("{}: {}", failure.class, failure.message)),
            stdout: recording.stdout.clone(),
            expected: recording.expected.clone(),
        })
    }
}

/// A question without its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    pub system: String,
    pub question: String,
    /// `repair-` and a digest of the templates.
    pub version: String,
}

/// The name of the prompts.
pub fn version(json: bool) -> String {
    let form = if json { "json" } else { "text" };
    named("repair", &[SYSTEM, REPAIR, AGAIN, form])
}

/// Another text, another name.
pub(super) fn named(name: &str, texts: &[&str]) -> String {
    format!("{name}-{}", &blake3::hash(texts.join("\n").as_bytes()).to_hex()[..8])
}

/// The first question.
///
/// # Errors
/// Why nobody is asked: nothing is known that could tell a right answer from a wrong one, or there is nothing to change.
pub fn prompt(asked: &Asked<'_>) -> Result<Prompt, String> {
    may_help(asked)?;
    let paths: Vec<&String> = asked.case.sources.keys().collect();
    let mark = mark(asked);
    let system = render(SYSTEM, context! { mark => mark, paths => paths, json => asked.json });
    Ok(Prompt { system, question: render(REPAIR, facts(asked, &mark)), version: version(asked.json) })
}

/// What an agent is told: the same facts, in a file of its own.
///
/// # Errors
/// As [`prompt`].
pub fn agent_brief(asked: &Asked<'_>) -> Result<Prompt, String> {
    may_help(asked)?;
    let mark = mark(asked);
    let facts = context! { mark => mark, paths => asked.case.sources.keys().collect::<Vec<_>>(), ..facts(asked, &mark) };
    let version = named("brief", &[BRIEF, REPAIR]);
    let question = format!("{}\n{}", render(BRIEF, facts.clone()), render(REPAIR, facts));
    Ok(Prompt { system: String::new(), question, version })
}

/// The next question: what the gate found wrong with the answer.
pub fn again(findings: &str) -> String {
    render(AGAIN, context! { findings => cut(findings, FINDINGS) })
}

fn may_help(asked: &Asked<'_>) -> Result<(), String> {
    let investigation = asked.case.investigation;
    if investigation.conclusion != Conclusion::Improvable {
        return Err(investigation.conclusion.why_not().unwrap_or("it is not improvable").to_string());
    }
    let red = investigation.suite.as_ref().is_some_and(|suite| !suite.passed);
    if asked.failing.is_empty() && !red {
        return Err("no failing input may be shown, and no test fails: nothing could tell a right answer from a wrong one".into());
    }
    let is_text = |content: &&Vec<u8>| std::str::from_utf8(content).is_ok();
    if !asked.case.sources.values().any(|content| is_text(&content)) {
        return Err("the tool has no file that is text".into());
    }
    Ok(())
}

fn facts(asked: &Asked<'_>, mark: &str) -> minijinja::Value {
    let Asked { case, counts, .. } = asked;
    let (tool, investigation) = (case.tool, case.investigation);
    let data = |name: &str, text: &str, bytes: usize| data(mark, name, text, bytes);
    let runs = |all: &[Example], bytes: usize| -> Vec<String> {
        let shown = all.iter().take(RUNS);
        shown.map(|example| data("run", &told(example), bytes / RUNS.min(all.len()).max(1))).collect()
    };
    let share = |percent: usize| asked.bytes * percent / 100;
    let frames = investigation.failure.frames.iter().filter(|frame| frame.in_repo).take(8);
    let place = |path: &str, line: u32, function: Option<&String>| {
        let function = function.map(|name| format!(" in {}", plain_line(name, 60))).unwrap_or_default();
        format!("{}:{line}{function}", plain_line(path, 120)).replace('`', "'")
    };
    let test = |(path, content): (&String, &Vec<u8>)| data(path, &String::from_utf8_lossy(content), share(12));
    let repaired = |known: &&Repaired| known.class == investigation.failure.class;
    let similar = case.learned.map(|learned| learned.repaired.as_slice()).unwrap_or_default();
    let culprit = investigation.culprit.as_ref().map(|culprit| data("commit", &culprit.summary, MESSAGE));
    context! {
        tool => tool.name,
        language => language(tool.language),
        command => plain_line(&tool.run.join(" "), 200),
        failures => counts.failures,
        runs => counts.runs,
        class => plain_line(&investigation.failure.class, 60),
        message => data("message", &investigation.failure.message, MESSAGE),
        frames => frames.map(|frame| place(&frame.path, frame.line, frame.function.as_ref())).collect::<Vec<_>>(),
        locations => investigation.locations.iter().take(8).map(|at| place(&at.path, at.line, at.function.as_ref())).collect::<Vec<_>>(),
        culprit => culprit,
        remarks => (!investigation.remarks.is_empty()).then(|| data("remarks", &investigation.remarks.join("\n"), MESSAGE)),
        files => files(asked, mark, share(55)),
        failing => runs(asked.failing, share(14)),
        good => runs(asked.good, share(9)),
        tests => asked.tests.iter().take(1).map(test).collect::<Vec<_>>(),
        similar => similar.iter().rev().filter(repaired).take(SIMILAR).map(|it| data("repair", &it.diff, PART)).collect::<Vec<_>>(),
    }
}

/// The tool's files, most suspicious first, as far as there is room.
fn files(asked: &Asked<'_>, mark: &str, bytes: usize) -> Vec<String> {
    let Case { investigation, sources, .. } = asked.case;
    let lines_of = |path: &str| -> Vec<u32> {
        let located = investigation.locations.iter().map(|at| (&at.path, at.line));
        let frames = investigation.failure.frames.iter().filter(|frame| frame.in_repo).map(|frame| (&frame.path, frame.line));
        located.chain(frames).filter(|(at, _)| *at == path).map(|(_, line)| line).collect()
    };
    let rank = |path: &str| investigation.locations.iter().position(|at| at.path == path).unwrap_or(usize::MAX);
    let mut paths: Vec<&String> = sources.keys().collect();
    paths.sort_by_key(|path| (rank(path), *path));
    let mut left = bytes;
    let mut shown = Vec::new();
    for path in paths {
        let Ok(text) = std::str::from_utf8(&sources[path]) else { continue };
        if left < 400 {
            break;
        }
        let text = excerpt(text, &lines_of(path), left);
        left = left.saturating_sub(text.len());
        shown.push(data(mark, path, &text, usize::MAX));
    }
    shown
}

/// The whole text, or the lines that are nearest to those that matter.
fn excerpt(text: &str, matter: &[u32], bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_string();
    }
    let lines: Vec<&str> = text.lines().collect();
    let distance = |at: usize| matter.iter().map(|line| at.abs_diff(line.saturating_sub(1) as usize)).min().unwrap_or(at);
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by_key(|at| distance(*at));
    let mut left = bytes;
    let fits = |at: &usize| {
        let enough = left > lines[*at].len();
        left = left.saturating_sub(lines[*at].len() + 1);
        enough
    };
    let mut kept: Vec<usize> = order.into_iter().take_while(fits).collect();
    kept.sort_unstable();
    let mut shown = String::new();
    let mut next = 0;
    for at in kept {
        if at > next {
            shown.push_str(&format!("… {} lines are left out here …\n", at - next));
        }
        shown.push_str(lines[at]);
        shown.push('\n');
        next = at + 1;
    }
    if next < lines.len() {
        shown.push_str(&format!("… {} lines are left out here …\n", lines.len() - next));
    }
    shown
}

fn told(example: &Example) -> String {
    let mut text = format!("arguments: {}\n", example.input);
    let mut part = |name: &str, bytes: &[u8]| {
        if !bytes.is_empty() {
            text.push_str(&format!("{name}:\n{}\n", cut(&String::from_utf8_lossy(bytes), PART)));
        }
    };
    part("standard input", &example.stdin);
    part("standard output", &example.stdout);
    if let Some(expected) = &example.expected {
        part("standard output should have been", if expected.is_empty() { b"(nothing)" } else { expected });
    }
    text.push_str(&format!("ended: {}\n", example.ended));
    text
}

/// A word that nothing quoted can have in it, because it depends on all of it.
fn mark(asked: &Asked<'_>) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(asked.id.as_bytes());
    for content in asked.case.sources.values().chain(asked.tests.values()) {
        hasher.update(content);
    }
    for example in asked.failing.iter().chain(asked.good) {
        hasher.update(told(example).as_bytes());
    }
    hasher.finalize().to_hex()[..12].to_string()
}

fn data(mark: &str, name: &str, text: &str, bytes: usize) -> String {
    let name = plain_line(name, 120).replace(['[', ']'], "(");
    let text = cut(text, bytes).replace(mark, "…");
    format!("[data {mark} {name}]\n{}\n[end {mark}]", text.trim_end_matches('\n'))
}

/// At most so many bytes: the beginning, and the end, which often says most.
pub(super) fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_string();
    }
    let (start, end) = (beginning(text, bytes * 2 / 3), ending(text, bytes / 3));
    format!("{start}\n… {} bytes are left out here …\n{end}", text.len() - start.len() - end.len())
}

/// A template of ours; one that cannot be rendered says so where it would have stood, and a test renders all of them.
pub(super) fn render(template: &str, facts: minijinja::Value) -> String {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.render_str(template, facts).unwrap_or_else(|error| format!("(a bug: {error})"))
}
