//! The generated regression test: a recorded failing input, run as its caller ran it, in the framework and the style of the tool's own tests.
//!
//! Owns its proof: red every time on the untouched version, green every time with the patch, and who runs it. The test is a file of its
//! own beside the tool's tests; existing tests are never edited. Text that came from outside goes in as a literal of the language and
//! nowhere else; of the failure's class, letters and digits also name the test.

mod cargo;
mod literal;
mod name;
mod place;
mod smaller;
mod style;

mod write;

use serde::{Deserialize, Serialize};

use self::style::Style;
use self::write::Draft;
use super::last_line;
use crate::model::{Arg, Exit, Outcome, Patch, PatchId, Recording, Tool};
use crate::world::bench::{Bench, Run};
use crate::world::sandbox::ScratchFile;

/// Runs on the untouched version, all of which must be red.
const RED_RUNS: usize = 3;
/// Runs with the patch, all of which must be green.
const GREEN_RUNS: usize = 5;

/// What a test is made of, and on what it is proven.
#[derive(Clone, Copy)]
pub struct Asked<'a, 'b> {
    pub tool: &'a Tool,
    /// A failing input that the patch answers well.
    pub recording: &'a Recording,
    /// The improvement's short id.
    pub id8: &'a str,
    /// The untouched version.
    pub old: &'a Bench<'b>,
    /// The version with the patch.
    pub new: &'a Bench<'b>,
    /// Whether the tool's own tests fail on the untouched version.
    pub suite_is_red: bool,
}

/// What a test tells of, whoever has run it.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub tool: &'a Tool,
    pub recording: &'a Recording,
    pub id8: &'a str,
    /// The untouched version's checkout.
    pub files: &'a [ScratchFile],
}

/// What a test is made of that only running things tells: with the recording it is enough to write the same test again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The input in the place of the recorded one, where a smaller one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smaller: Option<SmallerInput>,
    /// How the right answer ends, and how many seconds it took.
    pub code: i32,
    pub seconds: u64,
    /// What came of it.
    pub test: PatchId,
}

/// A smaller input: text, because no other can be written into a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmallerInput {
    pub args: Vec<String>,
    pub stdin: String,
}

/// What came of it.
#[derive(Debug)]
pub enum Answer {
    Proven(Proven),
    /// A test could be written, and it speaks against the patch.
    Refuted(String),
    /// No test can be written, and why.
    Impossible(String),
}

/// A test that is red without the patch and green with it.
#[derive(Debug)]
pub struct Proven {
    /// The test's file.
    pub test: Patch,
    /// Runs it alone, in the root of a checkout.
    pub command: Vec<String>,
    /// Whether the tool's own test command runs it; `None` when that cannot be seen: there is none, or it was red before.
    pub in_suite: Option<bool>,
    /// For the verdict.
    pub detail: String,
    pub recipe: Recipe,
}

/// Why one form of the test does not do.
enum Refusal {
    /// It does not work here; another form may.
    Form(String),
    /// It tells something about the patch: no form may hide it.
    Patch(String),
}

/// Writes the test in the style of the tool's tests, or else in a plain one that needs no framework, and proves it. It is made of the
/// smallest input that tells the versions apart, or else of the recorded one.
pub fn check(asked: &Asked<'_, '_>) -> Answer {
    let answer = asked.new.replay(asked.recording);
    if answer.outcome != Outcome::Success || !matches!(answer.exit, Exit::Code(_)) {
        return Answer::Refuted(format!("the input does not succeed with the patch: {}", answer.exit));
    }
    let smaller = smaller::input(asked);
    let mut refused = None;
    let recordings = smaller.iter().map(|smaller| &smaller.recording).chain([asked.recording]);
    for recording in recordings {
        let asked = Asked { recording, ..*asked };
        let answer = asked.new.replay(recording);
        let smaller = smaller.as_ref().filter(|smaller| std::ptr::eq(&smaller.recording, recording));
        for style in Style::forms(asked.tool, asked.old.files()) {
            let Exit::Code(code) = answer.exit else { continue };
            let facts = (code, answer.duration.as_secs());
            let Some(draft) = write::draft(&asked.subject(), &style, facts, smaller.is_some()) else { continue };
            match prove(&asked, &draft, Recipe::of(smaller.map(|smaller| &smaller.recording), facts, &draft)) {
                Ok(mut proven) => {
                    proven.detail.extend(smaller.map(|smaller| format!("; {}", smaller.how)));
                    return Answer::Proven(proven);
                }
                Err(Refusal::Patch(why)) => return Answer::Refuted(why),
                Err(Refusal::Form(why)) => refused = Some(why),
            }
        }
    }
    match refused {
        Some(why) => Answer::Refuted(why),
        None => Answer::Impossible("no test can be generated for this language or input".into()),
    }
}

/// The test of a recipe, written again; nothing is run. `None` when no form of the test is the one that the recipe names.
pub fn again(subject: &Subject<'_>, recipe: &Recipe) -> Option<Patch> {
    let mut recording = subject.recording.clone();
    if let Some(smaller) = &recipe.smaller {
        recording.execution.input.args = smaller.args.iter().map(|arg| Arg(arg.clone().into_bytes())).collect();
        recording.stdin = smaller.stdin.clone().into_bytes();
        if !is_left_of(&recording, subject.recording) {
            return None;
        }
    }
    let subject = Subject { recording: &recording, ..*subject };
    let mut forms = Style::forms(subject.tool, subject.files).into_iter();
    forms.find_map(|style| {
        let draft = write::draft(&subject, &style, (recipe.code, recipe.seconds), recipe.smaller.is_some())?;
        Some(draft.patch()).filter(|patch| patch.id() == recipe.test)
    })
}

/// Whether an input is what is left of another one when parts of it are left out, which is all that makes inputs smaller.
fn is_left_of(part: &Recording, whole: &Recording) -> bool {
    let args = |recording: &Recording| {
        recording.execution.input.args.iter().flat_map(|arg| arg.0.iter().copied().chain([0])).collect::<Vec<u8>>()
    };
    let left = |part: &[u8], whole: &[u8]| {
        let mut whole = whole.iter();
        part.iter().all(|byte| whole.any(|other| other == byte))
    };
    left(&args(part), &args(whole)) && left(&part.stdin, &whole.stdin)
}

impl Asked<'_, '_> {
    /// What the test will tell of.
    pub fn subject(&self) -> Subject<'_> {
        Subject { tool: self.tool, recording: self.recording, id8: self.id8, files: self.old.files() }
    }
}

impl Recipe {
    fn of(smaller: Option<&Recording>, (code, seconds): (i32, u64), draft: &Draft) -> Recipe {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let input = |recording: &Recording| SmallerInput {
            args: recording.execution.input.args.iter().map(|arg| text(&arg.0)).collect(),
            stdin: text(&recording.stdin),
        };
        Recipe { smaller: smaller.map(input), code, seconds, test: draft.patch().id() }
    }
}

fn prove(asked: &Asked<'_, '_>, draft: &Draft, recipe: Recipe) -> Result<Proven, Refusal> {
    let (path, test) = (&draft.path, draft.patch());
    let (old, new) = (asked.old.with(&test), asked.new.with(&test));
    let (green, run) = passes(&new, draft, GREEN_RUNS, true);
    if let Some(red) = run {
        let why = format!("`{path}` fails with the patch: {}", said(&red));
        return Err(if green == 0 { Refusal::Form(why) } else { Refusal::Patch(format!("{why} (but not always)")) });
    }
    let (green, run) = passes(&old, draft, RED_RUNS, false);
    if run.is_some() {
        let why = format!("`{path}` passes without the patch ({green} times in {RED_RUNS}), so it tests nothing");
        return Err(if green == RED_RUNS { Refusal::Form(why) } else { Refusal::Patch(why) });
    }
    let in_suite = in_suite(asked, &old, &new).map_err(Refusal::Form)?;
    let command = shown(&draft.command);
    let who = match in_suite {
        Some(true) => "the tool's own test command".to_string(),
        Some(false) => format!("`{command}`, not by the tool's own test command"),
        None => format!("`{command}`"),
    };
    let detail = format!(
        "`{path}` ({}) fails {RED_RUNS} of {RED_RUNS} times without the patch and passes {GREEN_RUNS} of {GREEN_RUNS} times with it; \
         run by {who}",
        draft.framework
    );
    Ok(Proven { test, command: draft.command.clone(), in_suite, detail, recipe })
}

/// How often the test passes in `runs` runs, and a run that did not end as `wanted`, if there is one. When green is wanted, no more
/// runs than needed.
fn passes(bench: &Bench<'_>, draft: &Draft, runs: usize, wanted: bool) -> (usize, Option<Run>) {
    let is_green = |run: &Run| run.exit == Exit::Code(0);
    let ended = bench.each(&vec![(); runs], |()| bench.command(&draft.command), |run| wanted && !is_green(run));
    let ended: Vec<Run> = ended.into_iter().flatten().collect();
    let green = ended.iter().filter(|run| is_green(run)).count();
    (green, ended.into_iter().find(|run| is_green(run) != wanted))
}

/// Whether the tool's own test command runs the new test: it was green without it, and is red with it.
fn in_suite(asked: &Asked<'_, '_>, old: &Bench<'_>, new: &Bench<'_>) -> Result<Option<bool>, String> {
    if asked.suite_is_red {
        return Ok(None);
    }
    let Some(run) = old.suite() else { return Ok(None) };
    if run.exit == Exit::Code(0) {
        return Ok(Some(false));
    }
    match new.suite() {
        Some(run) if run.exit != Exit::Code(0) => {
            Err(format!("the tool's own test command does not go well with the generated test: {}", said(&run)))
        }
        _ => Ok(Some(true)),
    }
}

/// What a red run said. Some runners speak on standard output.
fn said(run: &Run) -> String {
    last_line(if run.stderr.trim_ascii().is_empty() { &run.stdout } else { &run.stderr })
}

/// A command for people, as it is typed in the root of the repository.
fn shown(command: &[String]) -> String {
    command.iter().map(|word| word.replace("{root}/", "")).collect::<Vec<_>>().join(" ")
}
