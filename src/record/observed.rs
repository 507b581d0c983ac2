//! A run as a source told it, and the one door through which it becomes an execution: redaction, capture level, identity.

use std::time::Duration;

use jiff::Timestamp;

use super::redact::{Kept, Redactor, Rules};
use crate::config::Config;
use crate::lang;
use crate::model::{
    Arg, BlobId, CaptureLevel, Execution, ExecutionId, Exit, Failure, Fingerprint, Frame, Input, MASK, Mark, NewExecution,
    Outcome, SuccessRule, Version, check_tool_name, plain_line,
};

/// A run as its source told it: nothing is redacted yet, and nothing of it may be stored or shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    pub tool: String,
    pub version: Version,
    /// What the source names the run with; the same each time it tells of it. Two runs never share it.
    pub source: RunName,
    /// When it started.
    pub at: Timestamp,
    pub duration: Duration,
    pub args: Vec<Vec<u8>>,
    /// Working directory relative to the root of the repository.
    pub cwd: Option<String>,
    pub stdin: Option<Bytes>,
    pub stdout: Option<Bytes>,
    pub stderr: Option<Bytes>,
    pub exit: Exit,
    /// What the source says of the outcome; otherwise the tool's rule decides by the exit.
    pub outcome: Option<Outcome>,
    /// What the source says of a failure; otherwise it is read from standard error.
    pub failure: Option<Said>,
    pub caller: String,
    /// The answer was wrong although it looked like a success; with what it should have been, if known.
    pub marked: Option<Option<Vec<u8>>>,
}

/// What tells one run of a source from another.
#[derive(Clone, Debug, PartialEq)]
pub enum RunName {
    /// An identity of ours, kept as it is.
    Ours(ExecutionId),
    /// Names that are unique together: the kind of source first (`otlp`, trace, span).
    Parts(Vec<Vec<u8>>),
}

impl RunName {
    /// A name of several texts.
    pub fn of(parts: &[&str]) -> Self {
        RunName::Parts(parts.iter().map(|part| part.as_bytes().to_vec()).collect())
    }
}

/// Bytes of a stream; some may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    pub bytes: Vec<u8>,
    pub truncated: bool,
}

impl From<&str> for Bytes {
    fn from(text: &str) -> Self {
        Bytes { bytes: text.as_bytes().to_vec(), truncated: false }
    }
}

/// What an earlier reader of the run has made of it, where its words are not kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// The failure's fingerprint, and the frames behind it.
    pub failure: Option<(Fingerprint, Vec<Frame>)>,
    /// The digest of the input; empty when nothing is known of it.
    pub input: Option<String>,
}

/// A failure in a source's words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    /// `AssertionError`, `timeout`; the exit when unknown.
    pub class: Option<String>,
    pub message: String,
    /// Text that may hold a stack trace.
    pub trace: String,
}

/// Turns what sources tell into executions.
pub struct Intake<'a> {
    config: &'a Config,
    rules: Rules,
    /// The root of the checkout, which paths in traces are relative to.
    root: String,
}

impl<'a> Intake<'a> {
    /// For runs in the checkout at `root`.
    pub fn new(config: &'a Config, root: &str) -> Self {
        Intake { config, rules: Rules::of(&config.record), root: root.to_string() }
    }

    /// The same, knowing the environment in which the tools run: the values of its secret variables are taken out.
    pub fn knowing(self, environment: &[(Vec<u8>, Vec<u8>)]) -> Self {
        Intake { rules: self.rules.knowing(environment), ..self }
    }

    /// The execution that a run is: redacted, cut, and reduced to the tool's capture level.
    pub fn admit(&self, success: &SuccessRule, run: Observed) -> NewExecution {
        self.admit_known(success, run, Told::default())
    }

    /// The same for a run that somebody has read before.
    pub(super) fn admit_known(&self, success: &SuccessRule, run: Observed, told: Told) -> NewExecution {
        let capture = self.config.capture_of(&run.tool);
        let cut = |stream: Option<Bytes>| stream.map_or((Vec::new(), Kept::Whole), |stream| stream.cut(self.limit()));
        let (stdin, stdout, stderr) = (cut(run.stdin), cut(run.stdout), cut(run.stderr));
        let (args, dropped) = bounded(run.args);
        let expected = run.marked.clone().flatten().filter(|expected| expected.len() <= self.limit());
        let parts = [&stdin.0[..], &stdout.0, &stderr.0, expected.as_deref().unwrap_or_default()];
        let redactor = Redactor::of(&self.rules, capture, &run.tool, &args, &parts);
        let seen = run.outcome.unwrap_or_else(|| success.judge(&run.exit, &stdout.0));
        let outcome = if run.marked.is_some() { Outcome::Failure } else { seen };
        let part = |(bytes, kept): (Vec<u8>, Kept)| Some(redactor.part(bytes, kept)).filter(|bytes| !bytes.is_empty());
        let missing = stdin.1 != Kept::Whole || dropped;
        let (stdin, stdout, stderr) = (part(stdin), part(stdout), part(stderr));
        let failure = (outcome == Outcome::Failure).then(|| match (&run.marked, &run.failure) {
            // One that failed by itself keeps its failure; the mark then only says what it should have answered.
            (Some(_), _) if seen != Outcome::Failure => Failure::wrong_output(),
            (_, Some(said)) => said.failure(&run.exit, &redactor, &self.root, told.failure),
            (_, None) => lang::failure(&run.exit, stderr.as_deref().unwrap_or_default(), &self.root),
        });
        let expected = expected.map(|bytes| redactor.part(bytes, Kept::Whole));
        let ended = run.at.saturating_add(jiff::SignedDuration::try_from(run.duration).unwrap_or_default()).unwrap_or(run.at);
        let id = match &run.source {
            RunName::Ours(id) => id.clone(),
            RunName::Parts(parts) => ExecutionId::derived(ended, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>()),
        };
        let line = |text: &str, limit: usize| plain_line(&redactor.text(text), limit);
        let truncated = missing || stdin.as_deref().is_some_and(has_mask);
        let known = |digest| Input { truncated, withheld: Some(digest), ..Input::unknown() };
        let input = told.input.map(known).unwrap_or_else(|| Input {
            args: redactor.arguments(args).into_iter().map(Arg).collect(),
            stdin: stdin.as_deref().map(BlobId::of),
            cwd: run.cwd.filter(|cwd| cwd.len() <= PATH_MAX).map(|cwd| redactor.text(&cwd)),
            truncated,
            withheld: None,
        });
        let execution = Execution {
            id,
            tool: name(run.tool, &redactor),
            version: Version(line(&run.version.0, VERSION_MAX)),
            at: run.at,
            duration: run.duration,
            input,
            exit: match redactor.exit(run.exit) {
                Exit::NotStarted(why) => Exit::NotStarted(plain_line(&why, NOTE_MAX)),
                exit => exit,
            },
            outcome,
            failure,
            stdout: stdout.as_deref().map(BlobId::of),
            stderr: stderr.as_deref().map(BlobId::of),
            caller: line(&run.caller, CALLER_MAX),
            mark: run.marked.is_some().then(|| Mark { expected: expected.as_deref().map(BlobId::of) }),
        };
        keep(capture, NewExecution { execution, stdin, stdout, stderr, expected })
    }

    /// What standard output of a run of `tool` should have been, as it may be kept; `None` when nothing of it may.
    pub fn expected(&self, tool: &str, bytes: &[u8]) -> Option<Vec<u8>> {
        match self.config.capture_of(tool) {
            CaptureLevel::None | CaptureLevel::Digest => None,
            CaptureLevel::Redacted => Some(self.rules.redact(bytes).into_owned()),
            CaptureLevel::Full => Some(bytes.to_vec()),
        }
    }

    /// Whether digests of input and output of `tool` are kept.
    pub(super) fn keeps_digests(&self, tool: &str) -> bool {
        self.config.capture_of(tool) >= CaptureLevel::Digest
    }

    /// Bytes kept of each stream.
    fn limit(&self) -> usize {
        self.config.record.limit_kib << 10
    }
}

/// Bytes of all arguments together; Linux starts no program with more.
const ARGS_MAX: usize = 2 << 20;
const PATH_MAX: usize = 4096;
/// Characters of texts that are one line.
const VERSION_MAX: usize = 512;
const CALLER_MAX: usize = 512;
const NOTE_MAX: usize = 300;
const TOOL_MAX: usize = 64;
/// Frames of a failure that was told apart elsewhere.
const FRAMES_MAX: usize = 200;
const FRAME_MAX: usize = 300;

/// As many arguments as a program can have, and whether some were dropped.
fn bounded(mut args: Vec<Vec<u8>>) -> (Vec<Vec<u8>>, bool) {
    let mut total = 0;
    let fitting = args.iter().take_while(|arg| {
        total += arg.len() + 1;
        total <= ARGS_MAX
    });
    let fitting = fitting.count();
    let dropped = fitting < args.len();
    args.truncate(fitting);
    (args, dropped)
}

/// A tool's name, also from a source that takes any text for one.
fn name(tool: String, redactor: &Redactor<'_>) -> String {
    let redacted = redactor.text(&tool);
    if redacted == tool && check_tool_name(&tool).is_ok() {
        return tool;
    }
    let fits = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = redacted.chars().map(fits).take(TOOL_MAX).collect();
    if check_tool_name(&name).is_ok() { name } else { "unnamed".into() }
}

/// Whether a secret was taken out of it.
pub(super) fn has_mask(bytes: &[u8]) -> bool {
    bytes.windows(MASK.len()).any(|window| window == MASK.as_bytes())
}

/// Leaves out what the capture level does not keep.
fn keep(capture: CaptureLevel, mut new: NewExecution) -> NewExecution {
    if capture >= CaptureLevel::Redacted {
        return new;
    }
    (new.stdin, new.stdout, new.stderr, new.expected) = (None, None, None, None);
    let execution = &mut new.execution;
    if let Exit::NotStarted(why) = &mut execution.exit {
        why.clear();
    }
    if let Some(failure) = &mut execution.failure {
        // The fingerprint identifies the failure. Its words may quote the input, and so may the places that a trace names.
        failure.message.clear();
        failure.frames.clear();
        let is_name = |class: &str| !class.is_empty() && class.chars().all(|c| c.is_ascii_alphanumeric() || "_.:-".contains(c));
        if execution.mark.is_none() && (capture == CaptureLevel::None || !is_name(&failure.class)) {
            failure.class = execution.exit.to_string();
        }
    }
    match capture {
        CaptureLevel::None => {
            execution.input = Input::unknown();
            (execution.stdout, execution.stderr) = (None, None);
            if let Some(mark) = &mut execution.mark {
                mark.expected = None;
            }
        }
        _ => execution.input = execution.input.to_digest(),
    }
    new
}

impl Bytes {
    /// What a source has already cut stays as it is: it may have kept both ends.
    fn cut(mut self, limit: usize) -> (Vec<u8>, Kept) {
        let whole = self.bytes.len();
        if !self.truncated && whole > limit {
            self.bytes.truncate(limit);
            return (self.bytes, Kept::Beginning);
        }
        (self.bytes, if self.truncated { Kept::Parts } else { Kept::Whole })
    }
}

impl Said {
    fn failure(&self, exit: &Exit, redactor: &Redactor<'_>, root: &str, told: Option<(Fingerprint, Vec<Frame>)>) -> Failure {
        let trace = lang::read_failure(redactor.text(&self.trace).as_bytes(), root);
        let message = if self.message.is_empty() { trace.message } else { redactor.text(&self.message) };
        let class = self.class.as_deref().map(|class| redactor.text(class)).or(trace.error_type);
        let mut failure = Failure::new(exit, class, &message, trace.frames);
        if let Some((fingerprint, frames)) = told {
            let line = |text: &str| plain_line(&redactor.text(text), FRAME_MAX);
            let redact = |frame: Frame| Frame { path: line(&frame.path), function: frame.function.as_deref().map(line), ..frame };
            failure.frames = frames.into_iter().take(FRAMES_MAX).map(redact).collect();
            failure.fingerprint = fingerprint;
        }
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed() -> Observed {
        Observed {
            tool: "t".into(),
            version: Version("v1".into()),
            source: RunName::of(&["test", "1"]),
            at: Timestamp::UNIX_EPOCH,
            duration: Duration::ZERO,
            args: Vec::new(),
            cwd: None,
            stdin: None,
            stdout: None,
            stderr: None,
            exit: Exit::Code(0),
            outcome: None,
            failure: None,
            caller: "ci".into(),
            marked: None,
        }
    }

    fn admit(run: Observed) -> NewExecution {
        let config = Config::default();
        Intake::new(&config, "/nowhere").admit(&SuccessRule::default(), run)
    }

    #[test]
    fn what_comes_from_outside_is_bounded() {
        let long = "é".repeat(10_000);
        let run = admit(Observed {
            tool: format!("a b/{long}"),
            version: Version(long.clone()),
            caller: format!("{long}\n"),
            cwd: Some(long.clone()),
            args: vec![vec![b'a'; ARGS_MAX], b"b".to_vec()],
            exit: Exit::NotStarted(long),
            marked: Some(Some(vec![b'x'; 300 << 10])),
            ..observed()
        });
        let execution = run.execution;
        assert!(check_tool_name(&execution.tool).is_ok() && execution.tool.starts_with("a-b-"), "{}", execution.tool);
        assert!(execution.version.0.chars().count() <= VERSION_MAX && execution.caller.chars().count() <= CALLER_MAX);
        assert!(execution.input.cwd.is_none() && execution.input.args.is_empty() && !execution.input.is_whole());
        assert!(matches!(execution.exit, Exit::NotStarted(why) if why.chars().count() <= NOTE_MAX));
        assert_eq!((run.expected, execution.mark), (None, Some(Mark { expected: None })));
    }

    #[test]
    fn an_input_that_lost_a_secret_is_not_whole() {
        let stdin = |text: &str| Observed { stdin: Some(text.into()), ..observed() };
        assert!(admit(stdin("max_tokens=5")).execution.input.is_whole());
        assert!(!admit(stdin("password=hunter22")).execution.input.is_whole());
        let args = |args: &[&str]| Observed { args: args.iter().map(|arg| arg.as_bytes().to_vec()).collect(), ..observed() };
        assert!(admit(args(&["--limit", "5"])).execution.input.is_whole());
        assert!(!admit(args(&["--password", "hunter22"])).execution.input.is_whole());
    }

    #[test]
    fn a_stream_that_we_cut_loses_the_word_at_its_end() {
        let limit = Config::default().record.limit_kib << 10;
        let text = format!("{}\n[9 bytes not kept]\nb secret-half", "a ".repeat(limit / 2 - 16));
        let run = admit(Observed { stderr: Some(format!("{text}{}", "x".repeat(limit)).as_str().into()), ..observed() });
        let stderr = String::from_utf8(run.stderr.expect("is kept")).expect("UTF-8");
        assert!(stderr.ends_with("b [redacted]"), "{}", &stderr[stderr.len() - 60..]);
    }
}
