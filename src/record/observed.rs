//! A run as a source told it, and the one door through which it becomes an execution: redaction, capture level, identity.

use std::time::Duration;

use jiff::Timestamp;

use super::redact::{Redactor, Rules};
use crate::config::Config;
use crate::lang;
use crate::model::{
    Arg, BlobId, CaptureLevel, Execution, ExecutionId, Exit, Failure, Input, Mark, NewExecution, Outcome, SuccessRule, Version,
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

    /// The execution that a run is: redacted, cut, and reduced to the tool's capture level.
    pub fn admit(&self, success: &SuccessRule, run: Observed) -> NewExecution {
        let capture = self.config.capture_of(&run.tool);
        let redactor = Redactor::of(&self.rules, &run.args, capture);
        let cut = |stream: Option<Bytes>| stream.map(|stream| stream.cut(self.config.record.limit_kib << 10));
        let (stdin, raw_stdout, stderr) = (cut(run.stdin), cut(run.stdout), cut(run.stderr));
        let outcome = match (&run.marked, run.outcome) {
            (Some(_), _) => Outcome::Failure,
            (None, Some(outcome)) => outcome,
            (None, None) => success.judge(&run.exit, raw_stdout.as_ref().map_or(b"", |stream| &stream.bytes)),
        };
        let truncated = stdin.as_ref().is_some_and(|stream| stream.truncated);
        let redacted = |stream: Option<Bytes>| stream.map(|s| redactor.stream(&s.bytes, s.truncated)).filter(|b| !b.is_empty());
        let (stdin, stdout, stderr) = (redacted(stdin), redacted(raw_stdout), redacted(stderr));
        let failure = (outcome == Outcome::Failure).then(|| match (&run.marked, &run.failure) {
            (Some(_), _) => Failure::wrong_output(),
            (None, Some(said)) => said.failure(&run.exit, &redactor, &self.root),
            (None, None) => lang::failure(&run.exit, stderr.as_deref().unwrap_or_default(), &self.root),
        });
        let expected = run.marked.as_ref().and_then(Option::as_ref).map(|bytes| redactor.stream(bytes, false));
        let ended = run.at.saturating_add(jiff::SignedDuration::try_from(run.duration).unwrap_or_default()).unwrap_or(run.at);
        let id = match &run.source {
            RunName::Ours(id) => id.clone(),
            RunName::Parts(parts) => ExecutionId::derived(ended, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>()),
        };
        let input = Input {
            args: redactor.arguments(&run.args).into_iter().map(Arg).collect(),
            stdin: stdin.as_deref().map(BlobId::of),
            cwd: run.cwd,
            truncated,
            withheld: None,
        };
        let execution = Execution {
            id,
            tool: run.tool,
            version: run.version,
            at: run.at,
            duration: run.duration,
            input,
            exit: redactor.exit(run.exit),
            outcome,
            failure,
            stdout: stdout.as_deref().map(BlobId::of),
            stderr: stderr.as_deref().map(BlobId::of),
            caller: run.caller,
            mark: run.marked.is_some().then(|| Mark { expected: expected.as_deref().map(BlobId::of) }),
        };
        keep(capture, NewExecution { execution, stdin, stdout, stderr, expected })
    }
}

/// Leaves out what the capture level does not keep.
fn keep(capture: CaptureLevel, mut new: NewExecution) -> NewExecution {
    if capture >= CaptureLevel::Redacted {
        return new;
    }
    (new.stdin, new.stdout, new.stderr, new.expected) = (None, None, None, None);
    let execution = &mut new.execution;
    if let Some(failure) = &mut execution.failure {
        // The fingerprint identifies the failure; its words may quote the input.
        failure.message.clear();
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
    fn cut(mut self, limit: usize) -> Self {
        if !self.truncated && self.bytes.len() > limit {
            self.bytes.truncate(limit);
            self.truncated = true;
        }
        self
    }
}

impl Said {
    fn failure(&self, exit: &Exit, redactor: &Redactor<'_>, root: &str) -> Failure {
        let plain = |text: &str| String::from_utf8_lossy(&redactor.stream(text.as_bytes(), false)).into_owned();
        let trace = lang::read_failure(plain(&self.trace).as_bytes(), root);
        let message = if self.message.is_empty() { trace.message } else { plain(&self.message) };
        Failure::new(exit, self.class.as_deref().map(plain).or(trace.error_type), &message, trace.frames)
    }
}
