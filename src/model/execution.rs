//! Executions: recorded runs of one version of a tool.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::id::digest;
use super::{ExecutionId, Failure, Version, plain_line};

/// What stands in the place of a secret.
pub const MASK: &str = "[redacted]";

/// One argument or any other text from outside that need not be UTF-8. In JSON: a string, or `{"hex": "…"}` when it is not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arg(pub Vec<u8>);

impl Serialize for Arg {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => {
                let hex: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("hex", &hex)?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Arg {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ArgForm)
    }
}

struct ArgForm;

impl<'de> Visitor<'de> for ArgForm {
    type Value = Arg;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, or `{\"hex\": \"…\"}`")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Arg, E> {
        Ok(Arg::from(text))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Arg, A::Error> {
        use serde::de::Error;
        let Some((_, hex)) = map.next_entry::<String, String>()?.filter(|(key, _)| key == "hex") else {
            return Err(A::Error::custom("expected the key `hex`"));
        };
        (0..hex.len())
            .step_by(2)
            .map(|at| hex.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
            .collect::<Option<Vec<u8>>>()
            .map(Arg)
            .ok_or_else(|| A::Error::custom("an argument's `hex` is not pairs of hexadecimal digits"))
    }
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Arg(text.as_bytes().to_vec())
    }
}

impl fmt::Display for Arg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// How much of a run is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CaptureLevel {
    /// That it ran, how long, and how it ended; nothing of what went in or came out.
    None,
    /// Also digests of input and output (after redaction): equal ones are recognised, none can be read or repeated.
    Digest,
    /// Also input and output, without secrets.
    #[default]
    Redacted,
    /// Input and output as they were, secrets included.
    Full,
}

/// The name of a stored blob: the first 32 hexadecimal digits of blake3 of its bytes as stored (redacted, possibly truncated).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlobId(pub String);

impl BlobId {
    /// The name of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        BlobId(blake3::hash(bytes).to_hex()[..32].to_string())
    }

    /// One that somebody else tells of; `None` when it cannot be one.
    pub fn read(text: &str) -> Option<Self> {
        let digest = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        digest.then(|| BlobId(text.to_string()))
    }
}

/// What a run was given. Two runs with equal input are the same test of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The caller's arguments, without the tool's own command.
    pub args: Vec<Arg>,
    /// Standard input, when it was captured; `None` when it was a terminal, empty or closed.
    pub stdin: Option<BlobId>,
    /// Working directory relative to the root of the repository; `None` when it was outside.
    pub cwd: Option<String>,
    /// Part of the captured standard input is missing: it was cut at the limit, or a secret was taken out. So the run cannot be
    /// repeated.
    pub truncated: bool,
    /// The capture level kept nothing of the input but this digest, or not even that (empty).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld: Option<String>,
}

impl Input {
    /// Whether a run can be repeated with it: nothing is missing, and no secret was taken out.
    pub fn is_whole(&self) -> bool {
        let masked = |text: &[u8]| text.windows(MASK.len()).any(|window| window == MASK.as_bytes());
        let redacted = self.args.iter().any(|arg| masked(&arg.0)) || self.cwd.as_ref().is_some_and(|cwd| masked(cwd.as_bytes()));
        !self.truncated && self.withheld.is_none() && !redacted
    }

    /// The same input with nothing but its digest.
    pub fn to_digest(&self) -> Input {
        Input { args: Vec::new(), stdin: None, cwd: None, truncated: self.truncated, withheld: Some(self.digest()) }
    }

    /// Nothing is known of the input.
    pub fn unknown() -> Input {
        Input { args: Vec::new(), stdin: None, cwd: None, truncated: false, withheld: Some(String::new()) }
    }

    /// Identity of the input, 32 hexadecimal digits; empty when nothing is known of it.
    pub fn digest(&self) -> String {
        if let Some(digest) = &self.withheld {
            return digest.clone();
        }
        let mut parts: Vec<&[u8]> = self.args.iter().map(|arg| arg.0.as_slice()).collect();
        parts.push(b"\0stdin");
        parts.push(self.stdin.as_ref().map_or(b"", |blob| blob.0.as_bytes()));
        parts.push(self.cwd.as_ref().map_or(b"\0outside", |cwd| cwd.as_bytes()));
        digest(&parts)
    }

    /// Whether the input belongs to the half that no strategy may see. Chosen by hash, so nobody can tune the choice.
    pub fn is_held_out(&self) -> bool {
        let first = self.digest().as_bytes().first().copied().unwrap_or(b'0');
        char::from(first).to_digit(16).unwrap_or(0) % 2 == 1
    }

    /// The arguments for people, each in the shell's quotes where it needs them, at most `limit` characters.
    pub fn display(&self, limit: usize) -> String {
        if let Some(digest) = &self.withheld {
            return if digest.is_empty() {
                "(not recorded)".into()
            } else {
                format!("(input {})", &digest[..digest.len().min(8)])
            };
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
        let words: Vec<String> = self
            .args
            .iter()
            .map(|arg| {
                let text = arg.to_string();
                if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
            })
            .collect();
        let mut line = words.join(" ");
        if self.stdin.is_some() {
            line.push_str(if line.is_empty() { "< stdin" } else { " < stdin" });
        }
        plain_line(&line, limit)
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// The program returned this code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// It ran longer than the tool's time limit and was ended.
    TimedOut,
    /// It could not be started; the text says why.
    NotStarted(String),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit {code}"),
            Exit::Signal(signal) => write!(f, "signal {signal}"),
            Exit::TimedOut => f.write_str("time-out"),
            Exit::NotStarted(why) if why.is_empty() => f.write_str("not started"),
            Exit::NotStarted(why) => write!(f, "not started: {why}"),
        }
    }
}

/// What a run says about the tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Success,
    Failure,
    /// The environment's or the caller's fault: never counted against the tool.
    Error,
}

/// A later judgement by a person or a caller: this run's answer was wrong although it looked like a success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// What standard output should have been, if known.
    pub expected: Option<BlobId>,
}

/// One recorded run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    pub id: ExecutionId,
    pub tool: String,
    pub version: Version,
    /// When it started.
    pub at: Timestamp,
    pub duration: Duration,
    pub input: Input,
    pub exit: Exit,
    pub outcome: Outcome,
    /// Present exactly when the outcome is a failure.
    pub failure: Option<Failure>,
    pub stdout: Option<BlobId>,
    pub stderr: Option<BlobId>,
    /// Who ran it: `exec`, or what the caller named itself with `FRACTAL_CALLER`.
    pub caller: String,
    pub mark: Option<Mark>,
}

/// An execution on its way into a store, with its bytes (already redacted and cut; absent where the capture level keeps none).
#[derive(Clone, Debug, PartialEq)]
pub struct NewExecution {
    pub execution: Execution,
    pub stdin: Option<Vec<u8>>,
    pub stdout: Option<Vec<u8>>,
    pub stderr: Option<Vec<u8>>,
    /// What standard output should have been, when a mark says so.
    pub expected: Option<Vec<u8>>,
}

/// An execution with the bytes behind its blobs: what a trial needs to run it again.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    pub execution: Execution,
    /// Empty when none was captured.
    pub stdin: Vec<u8>,
    pub stdout: Vec<u8>,
    /// What standard output should have been, when a mark says so.
    pub expected: Option<Vec<u8>>,
}

/// What a run of a tool is given, with the bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ToolInput {
    pub args: Vec<Arg>,
    pub stdin: Vec<u8>,
    /// Relative to the root of the checkout; `None` for the root.
    pub cwd: Option<String>,
}

impl ToolInput {
    /// Bytes of it.
    pub fn size(&self) -> usize {
        self.stdin.len() + self.args.iter().map(|arg| arg.0.len() + 1).sum::<usize>()
    }

    /// For people, at most `limit` characters.
    pub fn shown(&self, limit: usize) -> String {
        let stdin = (!self.stdin.is_empty()).then(|| BlobId::of(&self.stdin));
        let line = Input { args: self.args.clone(), stdin, cwd: None, truncated: false, withheld: None }.display(limit);
        with_stdin(line, &self.stdin, limit)
    }
}

/// The arguments for people with the beginning of standard input, where there is any.
fn with_stdin(line: String, stdin: &[u8], limit: usize) -> String {
    let Some(arguments) = line.strip_suffix("< stdin") else { return line };
    plain_line(&format!("{arguments}<<< '{}'", String::from_utf8_lossy(stdin).trim()), limit)
}

impl Recording {
    /// What the run was given.
    pub fn given(&self) -> ToolInput {
        let input = &self.execution.input;
        ToolInput { args: input.args.clone(), stdin: self.stdin.clone(), cwd: input.cwd.clone() }
    }

    /// The input for people: the arguments, and the beginning of standard input, at most `limit` characters.
    pub fn shown(&self, limit: usize) -> String {
        with_stdin(self.execution.input.display(limit), &self.stdin, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_are_not_utf8_survive_json() {
        let args = vec![Arg(vec![0xff, 0x00]), Arg::from("plain"), Arg::from("")];
        let json = serde_json::to_string(&args).expect("serialises");
        assert_eq!(json, r#"[{"hex":"ff00"},"plain",""]"#);
        assert_eq!(serde_json::from_str::<Vec<Arg>>(&json).expect("parses"), args);
        assert!(serde_json::from_str::<Arg>(r#"{"hex":"f"}"#).is_err());
    }

    #[test]
    fn inputs_that_differ_only_in_where_an_argument_ends_have_different_digests() {
        let input = |args: &[&str]| Input {
            args: args.iter().map(|arg| Arg::from(*arg)).collect(),
            stdin: None,
            cwd: None,
            truncated: false,
            withheld: None,
        };
        assert_ne!(input(&["ab", "c"]).digest(), input(&["a", "bc"]).digest());
        assert_eq!(input(&["div", "1", "a b"]).display(80), "div 1 'a b'");
    }

    #[test]
    fn a_run_whose_arguments_lost_a_secret_cannot_be_repeated() {
        let input = |arg: &str| Input { args: vec![Arg::from(arg)], withheld: None, ..Input::unknown() };
        assert!(input("--user=bob").is_whole());
        assert!(!input("--password=[redacted]").is_whole());
        assert!(!Input { cwd: Some("of/[redacted]".into()), ..input("a") }.is_whole());
    }
}
