//! Executions as JSON lines: the form in which they are exported, imported, spooled and exchanged. Version 1.
//!
//! One object a line. Only `tool`, `at` and one of `exit` and `outcome` are required of a line from elsewhere; keys that are not
//! listed are an error, so that a misspelt one loses nothing silently.
//!
//! The keys are the fields of [`Line`]; `fractal import --schema` prints them.

mod schema;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::observed::{Bytes, Intake, Observed, RunName, Said, Told, has_mask};
use crate::model::{
    Arg, BlobId, Execution, ExecutionId, Exit, Failure, Fingerprint, Frame, Input, Mark, NewExecution, Outcome, SuccessRule,
    Version, check_tool_name,
};

/// The version of the form that is written, and the newest that is read.
pub const VERSION: u32 = 1;

/// One execution. Of a line from elsewhere only `tool`, `at` and one of `exit` and `outcome` are required.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Line<'a> {
    /// The version of the form: 1.
    #[serde(default = "first")]
    v: u32,
    /// What names the run: our identity (a UUID), or any text that is unique with `tool` and `at`. Made from the rest if absent.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    id: Option<Cow<'a, str>>,
    /// The tool's name.
    #[serde(borrow)]
    tool: Cow<'a, str>,
    /// The version of the tool that ran; `unknown` if absent.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    version: Option<Cow<'a, str>>,
    /// When it started: RFC 3339, or Unix milliseconds as a whole number.
    at: At,
    /// How long it ran, in milliseconds, fractions allowed.
    #[serde(default, skip_serializing_if = "is_zero")]
    duration_ms: f64,
    /// The arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::argument")]
    args: Vec<Arg>,
    /// Working directory relative to the root of the repository; absent when it was outside.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    cwd: Option<Cow<'a, str>>,
    /// What went in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stdin: Option<Content>,
    /// What came out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stdout: Option<Content>,
    /// What came out as standard error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stderr: Option<Content>,
    /// Part of `stdin` is missing: it was too long, or a secret was taken out.
    #[serde(default, skip_serializing_if = "is_false")]
    truncated: bool,
    /// Digest of the input, where it is not kept.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    input: Option<Cow<'a, str>>,
    /// Digest of `stdout`, where it is not kept.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    stdout_digest: Option<Cow<'a, str>>,
    /// Digest of `stderr`, where it is not kept.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    stderr_digest: Option<Cow<'a, str>>,
    /// An exit code, `{"signal": 9}`, `"timed_out"`, or `{"not_started": "why"}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exit: Option<Ending>,
    /// By the tool's rule if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    /// What went wrong; read from `stderr` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<FailureLine>,
    /// Who ran it; `import` if absent.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    caller: Option<Cow<'a, str>>,
    /// Somebody said that the answer was wrong.
    #[serde(default, skip_serializing_if = "is_false")]
    marked: bool,
    /// What standard output should have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expected: Option<Content>,
    /// Digest of `expected`, where it is not kept.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    expected_digest: Option<Cow<'a, str>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FailureLine {
    /// Only from us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    /// `ZeroDivisionError`, `panic`, `exit 3`: what kind of failure.
    #[serde(default)]
    class: String,
    /// In one line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    message: String,
    /// Only from us.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    frames: Vec<Frame>,
}

/// Text, or bytes in base64.
#[derive(Clone, Debug, PartialEq)]
struct Content(Vec<u8>);

#[derive(Clone, Copy, Debug, Default)]
struct At(Timestamp);

#[derive(Clone, Debug)]
struct Ending(Exit);

fn first() -> u32 {
    VERSION
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LineError(String);

impl<'a> Line<'a> {
    /// Reads one line.
    ///
    /// # Errors
    /// When it is not the documented form.
    pub fn parse(text: &'a str) -> Result<Line<'a>, LineError> {
        let line: Line<'a> = serde_json::from_str(text).map_err(|error| {
            let message = error.to_string();
            let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
            LineError(format!("column {}: {message}", error.column()))
        })?;
        let refuse = |message: String| Err(LineError(message));
        if line.v == 0 || line.v > VERSION {
            return refuse(format!("this is form {} of an execution; this version of Fractal reads up to {VERSION}", line.v));
        }
        if let Err(error) = check_tool_name(&line.tool) {
            return refuse(error.to_string());
        }
        if line.exit.is_none() && line.outcome.is_none() {
            return refuse("neither `exit` nor `outcome` says how the run ended".into());
        }
        if !(line.duration_ms.is_finite() && (0.0..=1e12).contains(&line.duration_ms)) {
            return refuse(format!("`duration_ms` is {}, which is no length of time", line.duration_ms));
        }
        Ok(line)
    }

    /// The tool that ran.
    pub fn tool(&self) -> &str {
        &self.tool
    }

    /// The identity of ours that it names, when it has the form of one.
    pub fn identity(&self) -> Option<ExecutionId> {
        let text = self.id.as_deref()?;
        // With hyphens and small letters, as we write them: the same run has one name.
        let ours =
            text.len() == 36 && matches!(text.as_bytes()[14], b'7' | b'8') && !text.bytes().any(|byte| byte.is_ascii_uppercase());
        ours.then(|| ExecutionId(text.to_string())).filter(|id| id.bytes().is_some())
    }

    /// What is kept for ever once for many runs: the version, the caller, the fingerprint.
    pub(super) fn names(&self) -> [&str; 3] {
        let fingerprint = self.failure.as_ref().and_then(|failure| failure.fingerprint.as_deref());
        [self.version.as_deref().unwrap_or_default(), self.caller.as_deref().unwrap_or_default(), fingerprint.unwrap_or_default()]
    }

    /// The execution of a line from elsewhere: redacted, and reduced to the tool's capture level.
    pub fn admit(self, intake: &Intake<'_>, success: &SuccessRule) -> NewExecution {
        // A rule about output that nobody has sent demands nothing.
        let exit_alone =
            (self.stdout.is_none() && success.stdout.is_some()).then(|| SuccessRule { stdout: None, ..success.clone() });
        let success = exit_alone.as_ref().unwrap_or(success);
        let bytes = |content: Option<Content>| content.map(|content| Bytes { bytes: content.0, truncated: false });
        let duration = self.duration();
        let source = self.name(duration);
        let exit = self.exit.map_or_else(|| Exit::Code(i32::from(self.outcome != Some(Outcome::Success))), |ending| ending.0);
        let ours = matches!(source, RunName::Ours(_));
        let stdin = bytes(self.stdin).or_else(|| self.truncated.then(Bytes::default));
        // What we have written was redacted at its cuts, and secrets that were taken out are why it counts as cut.
        let cut = self.truncated && !(ours && stdin.as_ref().is_some_and(|stdin| has_mask(&stdin.bytes)));
        let keeps_digests = intake.keeps_digests(&self.tool);
        let said = self.failure.as_ref().map(|failure| Said {
            class: Some(failure.class.clone()).filter(|class| !class.is_empty()),
            message: failure.message.clone(),
            trace: String::new(),
        });
        let is_digest = |text: &Cow<'_, str>| text.is_empty() || BlobId::read(text).is_some();
        let nothing_else = self.args.is_empty() && stdin.as_ref().is_none_or(|stdin| stdin.bytes.is_empty());
        let told = Told {
            failure: self.failure.and_then(|failure| Some((Fingerprint::read(&failure.fingerprint?)?, failure.frames))),
            input: self.input.filter(|digest| nothing_else && is_digest(digest)).map(Cow::into_owned),
        };
        let mut new = intake.admit_known(
            success,
            Observed {
                tool: self.tool.into_owned(),
                version: Version(self.version.map_or_else(|| "unknown".into(), Cow::into_owned)),
                source,
                at: self.at.0,
                duration,
                args: self.args.into_iter().map(|arg| arg.0).collect(),
                cwd: self.cwd.map(Cow::into_owned),
                stdin: stdin.map(|stdin| Bytes { truncated: cut, ..stdin }),
                stdout: bytes(self.stdout),
                stderr: bytes(self.stderr),
                exit,
                outcome: self.outcome,
                failure: said,
                caller: self.caller.map_or_else(|| "import".into(), Cow::into_owned),
                marked: self.marked.then(|| self.expected.map(|content| content.0)),
            },
            told,
        );
        let execution = &mut new.execution;
        if !keeps_digests {
            return new;
        }
        let digest = |digest: Option<Cow<'_, str>>| digest.and_then(|digest| BlobId::read(&digest));
        execution.stdout = execution.stdout.take().or(digest(self.stdout_digest));
        execution.stderr = execution.stderr.take().or(digest(self.stderr_digest));
        if let Some(mark) = &mut execution.mark {
            mark.expected = mark.expected.take().or(digest(self.expected_digest));
        }
        new
    }

    /// The execution of a line that we have written, as it was.
    pub fn restore(self) -> NewExecution {
        let duration = self.duration();
        let id = match self.name(duration) {
            RunName::Ours(id) => id,
            RunName::Parts(parts) => {
                ExecutionId::derived(self.ended(duration), &parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
            }
        };
        let content = |content: Option<Content>| content.map(|content| content.0);
        let (stdin, stdout, stderr) = (content(self.stdin), content(self.stdout), content(self.stderr));
        let expected = content(self.expected);
        let blob = |bytes: &Option<Vec<u8>>, digest: Option<Cow<'_, str>>| {
            bytes.as_deref().map(BlobId::of).or(digest.map(|digest| BlobId(digest.into_owned())))
        };
        let input = Input {
            args: self.args,
            stdin: stdin.as_deref().map(BlobId::of),
            cwd: self.cwd.map(Cow::into_owned),
            truncated: self.truncated,
            withheld: self.input.map(Cow::into_owned),
        };
        let execution = Execution {
            id,
            tool: self.tool.into_owned(),
            version: Version(self.version.map_or_else(|| "unknown".into(), Cow::into_owned)),
            at: self.at.0,
            duration,
            input,
            exit: self.exit.map_or(Exit::Code(0), |ending| ending.0),
            outcome: self.outcome.unwrap_or(Outcome::Error),
            failure: self.failure.map(|failure| Failure {
                fingerprint: Fingerprint::known(failure.fingerprint.unwrap_or_default()),
                class: failure.class,
                message: failure.message,
                frames: failure.frames,
            }),
            stdout: blob(&stdout, self.stdout_digest),
            stderr: blob(&stderr, self.stderr_digest),
            caller: self.caller.map_or_else(|| "import".into(), Cow::into_owned),
            mark: self.marked.then(|| Mark { expected: blob(&expected, self.expected_digest) }),
        };
        NewExecution { execution, stdin, stdout, stderr, expected }
    }

    /// The line of an execution.
    pub fn of(new: &'a NewExecution) -> Line<'a> {
        let execution = &new.execution;
        let content = |bytes: &Option<Vec<u8>>| bytes.clone().map(Content);
        let digest = |id: &'a Option<BlobId>, bytes: &Option<Vec<u8>>| {
            id.as_ref().filter(|_| bytes.is_none()).map(|id| Cow::Borrowed(id.0.as_str()))
        };
        Line {
            v: VERSION,
            id: Some(Cow::Borrowed(&execution.id.0)),
            tool: Cow::Borrowed(&execution.tool),
            version: Some(Cow::Borrowed(&execution.version.0)),
            at: At(execution.at),
            duration_ms: execution.duration.as_micros() as f64 / 1e3,
            args: execution.input.args.clone(),
            cwd: execution.input.cwd.as_deref().map(Cow::Borrowed),
            stdin: content(&new.stdin),
            stdout: content(&new.stdout),
            stderr: content(&new.stderr),
            truncated: execution.input.truncated,
            input: execution.input.withheld.as_deref().map(Cow::Borrowed),
            stdout_digest: digest(&execution.stdout, &new.stdout),
            stderr_digest: digest(&execution.stderr, &new.stderr),
            exit: Some(Ending(execution.exit.clone())),
            outcome: Some(execution.outcome),
            failure: execution.failure.as_ref().map(|failure| FailureLine {
                fingerprint: Some(failure.fingerprint.as_str().to_string()),
                class: failure.class.clone(),
                message: failure.message.clone(),
                frames: failure.frames.clone(),
            }),
            caller: Some(Cow::Borrowed(&execution.caller)),
            marked: execution.mark.is_some(),
            expected: content(&new.expected),
            expected_digest: execution.mark.as_ref().and_then(|mark| digest(&mark.expected, &new.expected)),
        }
    }

    /// The line as text, without its end.
    ///
    /// # Errors
    /// Never for an execution that came through our door.
    pub fn text(&self) -> Result<String, LineError> {
        serde_json::to_string(self).map_err(|error| LineError(error.to_string()))
    }

    fn duration(&self) -> Duration {
        Duration::from_micros((self.duration_ms * 1e3).round() as u64)
    }

    fn ended(&self, duration: Duration) -> Timestamp {
        self.at.0.saturating_add(duration).unwrap_or(self.at.0)
    }

    /// Our own identity when the text is one and its time can be right (recorded within a day of the end), else a name.
    fn name(&self, duration: Duration) -> RunName {
        const DAY: i64 = 86_400_000;
        let ended = self.ended(duration).as_millisecond();
        let ours = self
            .identity()
            .filter(|id| (self.at.0.as_millisecond()..ended.saturating_add(DAY)).contains(&id.ended().as_millisecond()));
        match (ours, &self.id) {
            (Some(ours), _) => RunName::Ours(ours),
            (None, Some(id)) => RunName::of(&["line", &self.tool, id]),
            (None, None) => {
                let args = self.args.iter().map(|arg| arg.0.clone());
                let mut parts: Vec<Vec<u8>> = vec![b"line".to_vec(), self.tool.as_bytes().to_vec()];
                parts.push(self.at.0.as_nanosecond().to_le_bytes().to_vec());
                parts.push(self.caller.as_deref().unwrap_or_default().as_bytes().to_vec());
                parts.extend(args);
                RunName::Parts(parts)
            }
        }
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("base64", &STANDARD.encode(&self.0))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Content;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, or `{\"base64\": \"…\"}`")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Content, E> {
                Ok(Content(text.as_bytes().to_vec()))
            }
            fn visit_string<E: serde::de::Error>(self, text: String) -> Result<Content, E> {
                Ok(Content(text.into_bytes()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
                use serde::de::Error;
                match map.next_entry::<String, String>()? {
                    Some((key, text)) if key == "base64" => {
                        let bytes =
                            STANDARD.decode(text.as_bytes()).map_err(|error| A::Error::custom(format!("base64: {error}")))?;
                        Ok(Content(bytes))
                    }
                    _ => Err(A::Error::custom("expected the key `base64`")),
                }
            }
        }
        deserializer.deserialize_any(Form)
    }
}

impl Serialize for At {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for At {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl Visitor<'_> for Form {
            type Value = At;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time as RFC 3339 text or whole Unix milliseconds")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<At, E> {
                text.parse().map(At).map_err(|error| E::custom(format!("`at`: {error}")))
            }
            fn visit_i64<E: serde::de::Error>(self, milliseconds: i64) -> Result<At, E> {
                Timestamp::from_millisecond(milliseconds).map(At).map_err(|error| E::custom(format!("`at`: {error}")))
            }
            fn visit_u64<E: serde::de::Error>(self, milliseconds: u64) -> Result<At, E> {
                self.visit_i64(i64::try_from(milliseconds).unwrap_or(i64::MAX))
            }
        }
        deserializer.deserialize_any(Form)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
struct OtherEnding {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_started: Option<String>,
}

impl Serialize for Ending {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Exit::Code(code) => serializer.serialize_i32(*code),
            Exit::TimedOut => serializer.serialize_str("timed_out"),
            Exit::Signal(signal) => OtherEnding { signal: Some(*signal), not_started: None }.serialize(serializer),
            Exit::NotStarted(why) => OtherEnding { signal: None, not_started: Some(why.clone()) }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Ending {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Ending;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an exit code, `\"timed_out\"`, `{\"signal\": 9}` or `{\"not_started\": \"why\"}`")
            }
            fn visit_i64<E: serde::de::Error>(self, code: i64) -> Result<Ending, E> {
                i32::try_from(code)
                    .map(|code| Ending(Exit::Code(code)))
                    .map_err(|_| E::custom("`exit`: no exit code is that large"))
            }
            fn visit_u64<E: serde::de::Error>(self, code: u64) -> Result<Ending, E> {
                self.visit_i64(i64::try_from(code).unwrap_or(i64::MAX))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Ending, E> {
                match text {
                    "timed_out" => Ok(Ending(Exit::TimedOut)),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Ending, A::Error> {
                use serde::de::Error;
                let other = OtherEnding::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                match (other.signal, other.not_started) {
                    (Some(signal), None) => Ok(Ending(Exit::Signal(signal))),
                    (None, Some(why)) => Ok(Ending(Exit::NotStarted(why))),
                    _ => Err(A::Error::custom("`exit`: expected one of the keys `signal` and `not_started`")),
                }
            }
        }
        deserializer.deserialize_any(Form)
    }
}

#[cfg(test)]
mod tests;
