//! An execution as both stores write it: fixed columns, digests instead of bytes.

use std::time::Duration;

use jiff::Timestamp;

use super::StoreError;
use crate::model::{BlobId, Execution, ExecutionId, Exit, Failure, Input, Mark, Outcome, RollupRun, Version};

/// 128 bits: an identity or a digest.
pub type Bits = [u8; 16];

/// The columns that need no look-up.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub id: Bits,
    /// Milliseconds from the end, by start and duration, to what the identity says is the end: almost always 0.
    pub lag: i64,
    /// Microseconds.
    pub duration: i64,
    /// Digest of the input; `None` when nothing is known of it.
    pub input: Option<Bits>,
    /// An exit code, or see `exit_number`.
    pub exit: i64,
    /// Why it was not started.
    pub exit_note: Option<String>,
    /// 0 success, 1 failure, 2 error.
    pub outcome: i16,
    pub stdout: Option<Bits>,
    pub stderr: Option<Bits>,
    pub marked: bool,
    pub expected: Option<Bits>,
}

/// What the dictionaries of a store say about a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Names {
    pub tool: String,
    pub version: String,
    pub caller: String,
    /// JSON of the failure.
    pub failure: Option<String>,
    /// JSON of the input, when it is kept.
    pub input: Option<String>,
}

// Exits that are not codes lie beyond every code.
const SIGNAL: i64 = 1 << 40;
const TIMED_OUT: i64 = 1 << 41;
const NOT_STARTED: i64 = 1 << 42;

fn milliseconds(microseconds: i64) -> i64 {
    microseconds / 1000
}

fn exit_number(exit: &Exit) -> (i64, Option<String>) {
    match exit {
        Exit::Code(code) => (i64::from(*code), None),
        Exit::Signal(signal) => (SIGNAL + i64::from(*signal), None),
        Exit::TimedOut => (TIMED_OUT, None),
        Exit::NotStarted(why) => (NOT_STARTED, Some(why.clone())),
    }
}

fn exit_of(number: i64, note: Option<String>) -> Exit {
    match number {
        NOT_STARTED => Exit::NotStarted(note.unwrap_or_default()),
        TIMED_OUT => Exit::TimedOut,
        signal if signal >= SIGNAL - (1 << 32) => Exit::Signal(i32::try_from(signal - SIGNAL).unwrap_or(0)),
        code => Exit::Code(i32::try_from(code).unwrap_or(-1)),
    }
}

/// The class of a caller: its name with every number as `<n>`, so that callers that count themselves are one.
pub fn caller_class(name: &str) -> String {
    let mut class = String::with_capacity(name.len());
    let mut in_number = false;
    for c in name.chars() {
        if !c.is_ascii_digit() {
            class.push(c);
        } else if !in_number {
            class.push_str("<n>");
        }
        in_number = c.is_ascii_digit();
    }
    class
}

/// The number that stands for an outcome.
pub fn outcome_number(outcome: Outcome) -> i16 {
    match outcome {
        Outcome::Success => 0,
        Outcome::Failure => 1,
        Outcome::Error => 2,
    }
}

/// The outcome that a number stands for.
pub fn outcome_of(number: i16) -> Outcome {
    match number {
        0 => Outcome::Success,
        1 => Outcome::Failure,
        _ => Outcome::Error,
    }
}

/// 32 hexadecimal digits as bits.
pub fn bits(hex: &str) -> Option<Bits> {
    let mut bytes = [0; 16];
    let digits = hex.as_bytes();
    if digits.len() != 32 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (char::from(pair[0]).to_digit(16)? << 4 | char::from(pair[1]).to_digit(16)?) as u8;
    }
    Some(bytes)
}

/// Bits as 32 hexadecimal digits.
pub fn hex(bits: &Bits) -> String {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let mut text = String::with_capacity(32);
    for byte in bits {
        text.push(DIGITS[usize::from(byte >> 4)].into());
        text.push(DIGITS[usize::from(byte & 15)].into());
    }
    text
}

/// The identity's bits.
///
/// # Errors
/// When it is no UUID: nothing that came through our door has such a one.
pub fn id_bits(id: &ExecutionId) -> Result<Bits, StoreError> {
    id.bytes().ok_or_else(|| StoreError::NoSuchExecution(id.0.chars().take(80).collect()))
}

/// When the run with this identity ended, in Unix milliseconds.
pub fn ended(id: &Bits) -> i64 {
    id[..6].iter().fold(0, |sum, byte| sum << 8 | i64::from(*byte))
}

/// The first identity of a millisecond.
pub fn first_id(milliseconds: i64) -> Bits {
    let mut id = [0; 16];
    id[..6].copy_from_slice(&(milliseconds.clamp(0, (1 << 48) - 1) as u64).to_be_bytes()[2..]);
    id
}

/// The identities that begin with these hexadecimal digits (hyphens do not count), from and to; `None` for anything else.
pub fn range_of_prefix(prefix: &str) -> Option<(Bits, Bits)> {
    let digits: String = prefix.chars().filter(|c| *c != '-').collect();
    if digits.is_empty() || digits.len() > 32 {
        return None;
    }
    let digits = digits.to_lowercase();
    Some((bits(&format!("{digits:0<32}"))?, bits(&format!("{digits:f<32}"))?))
}

/// A timestamp of Unix milliseconds.
pub fn timestamp(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

impl Row {
    /// The columns of an execution.
    ///
    /// # Errors
    /// When its identity is no UUID.
    pub fn of(execution: &Execution) -> Result<Row, StoreError> {
        let id = id_bits(&execution.id)?;
        let (exit, exit_note) = exit_number(&execution.exit);
        let duration = i64::try_from(execution.duration.as_micros()).unwrap_or(i64::MAX);
        let blob = |blob: &Option<BlobId>| blob.as_ref().and_then(|blob| bits(&blob.0));
        Ok(Row {
            id,
            lag: ended(&id) - execution.at.as_millisecond() - milliseconds(duration),
            duration,
            input: bits(&execution.input.digest()),
            exit,
            exit_note,
            outcome: outcome_number(execution.outcome),
            stdout: blob(&execution.stdout),
            stderr: blob(&execution.stderr),
            marked: execution.mark.is_some(),
            expected: execution.mark.as_ref().and_then(|mark| blob(&mark.expected)),
        })
    }

    /// The run as rollups see it.
    pub fn as_run(&self, fingerprint: Option<i64>) -> RollupRun {
        let duration = Duration::from_micros(u64::try_from(self.duration).unwrap_or(0));
        RollupRun { id: self.id, duration, outcome: outcome_of(self.outcome), fingerprint, input: self.input }
    }

    /// The execution again.
    ///
    /// # Errors
    /// When what is stored beside the columns cannot be read.
    pub fn execution(self, names: Names) -> Result<Execution, StoreError> {
        let input = match (names.input, &self.input) {
            (Some(json), _) => serde_json::from_str(&json)?,
            (None, Some(digest)) => Input { withheld: Some(hex(digest)), ..Input::unknown() },
            (None, None) => Input::unknown(),
        };
        let blob = |bits: Option<Bits>| bits.map(|bits| BlobId(hex(&bits)));
        Ok(Execution {
            id: ExecutionId::from_bytes(self.id),
            tool: names.tool,
            version: Version(names.version),
            at: timestamp(ended(&self.id) - self.lag - milliseconds(self.duration)),
            duration: Duration::from_micros(u64::try_from(self.duration).unwrap_or(0)),
            input,
            exit: exit_of(self.exit, self.exit_note),
            outcome: outcome_of(self.outcome),
            failure: names.failure.map(|json| serde_json::from_str::<Failure>(&json)).transpose()?,
            stdout: blob(self.stdout),
            stderr: blob(self.stderr),
            caller: names.caller,
            mark: self.marked.then(|| Mark { expected: blob(self.expected) }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_survives() {
        let exits =
            [Exit::Code(0), Exit::Code(-1), Exit::Code(i32::MAX), Exit::Signal(11), Exit::TimedOut, Exit::NotStarted("x".into())];
        for exit in exits {
            let (number, note) = exit_number(&exit);
            assert_eq!(exit_of(number, note), exit);
        }
    }

    #[test]
    fn callers_that_count_themselves_are_one_class() {
        assert_eq!((caller_class("ci-run-17/2"), caller_class("exec")), ("ci-run-<n>/<n>".to_string(), "exec".to_string()));
        assert_eq!(caller_class(&caller_class("a1")), caller_class("a1"));
    }

    #[test]
    fn bits_and_digits_are_the_same_thing() {
        let digits = "00ff10a0000000000000000000000001";
        assert_eq!(hex(&bits(digits).expect("32 digits")), digits);
        assert_eq!((bits("0"), bits(&"g".repeat(32))), (None, None));
        let (from, to) = range_of_prefix("0190-ABc").expect("digits");
        assert!(hex(&from).starts_with("0190abc0") && hex(&to).starts_with("0190abcf"));
        assert_eq!(range_of_prefix("xyz"), None);
    }
}
