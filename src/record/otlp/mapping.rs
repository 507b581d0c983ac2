//! Which spans and log records are executions, and what their attributes say of them. The table is in the module above.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::program::Tools;
use super::proto::{AnyValue, KeyValue, LogRecord, Span, Value};
use crate::model::{CommitId, Exit, Outcome, Version, check_tool_name, plain_line};
use crate::record::{Bytes, Observed, RunName, Said};

/// A run that ends later than this from now has a wrong clock.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);
/// Nothing runs longer: 31 years, which is also what a line of `lines.rs` takes.
const DURATION_MAX: Duration = Duration::from_secs(1_000_000_000);
/// Whoever names itself longer is cut.
const CALLER_CHARACTERS: usize = 64;
const STATUS_ERROR: i32 = 2;
/// Set in a span's flags when it is known whether its parent is in another process, and when it is.
const PARENT_IS_KNOWN: u32 = 0x100;
const PARENT_IS_REMOTE: u32 = 0x200;

/// An execution as it was told.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Its version is `unknown`.
    pub run: Observed,
    /// The commit that it says it ran at.
    pub revision: Option<CommitId>,
}

/// An execution, or nothing of ours, or why it cannot be one.
pub type Reading = Result<Option<Told>, String>;

/// What is known about whatever sent spans and log records.
pub struct Sender<'a> {
    pub tools: &'a Tools,
    /// The root of our checkout.
    pub root: &'a str,
    pub now: Timestamp,
    /// The attributes of its resource.
    pub resource: &'a [KeyValue],
}

/// Attributes; the first of a name counts.
#[derive(Clone, Copy)]
struct Attributes<'a>(&'a [KeyValue]);

/// The tool that ran, and with what.
struct Named {
    tool: String,
    args: Vec<String>,
    /// Nothing of the input is missing, as far as anybody said.
    is_whole: bool,
}

/// What only spans, or only log records, say.
struct Moment<'a> {
    name: RunName,
    start: u64,
    end: u64,
    failed: bool,
    /// In words.
    message: String,
    exception: Attributes<'a>,
}

impl Sender<'_> {
    /// Reads a span.
    ///
    /// # Errors
    /// When it names a tool and is no run of one all the same.
    pub fn span(&self, span: &Span) -> Reading {
        let own = Attributes(&span.attributes);
        let remote = span.flags & (PARENT_IS_KNOWN | PARENT_IS_REMOTE) == PARENT_IS_KNOWN | PARENT_IS_REMOTE;
        let Some(named) = self.named(own, span.parent_span_id.is_empty() || remote) else { return Ok(None) };
        let is_identity = |bytes: &[u8], length: usize| bytes.len() == length && bytes.iter().any(|byte| *byte != 0);
        if !is_identity(&span.trace_id, 16) || !is_identity(&span.span_id, 8) {
            return Err("a trace id has 16 bytes and a span id 8, not all of them 0".into());
        }
        let exception = span.events.iter().rev().find(|event| event.name == "exception");
        let status = span.status.clone().unwrap_or_default();
        let moment = Moment {
            name: RunName::Parts(vec![b"otlp".to_vec(), span.trace_id.clone(), span.span_id.clone()]),
            start: span.start_time_unix_nano,
            end: span.end_time_unix_nano,
            failed: status.code == STATUS_ERROR,
            message: status.message,
            exception: Attributes(exception.map_or(&[], |event| &event.attributes)),
        };
        self.told(named, own, moment).map(Some)
    }

    /// Reads a log record.
    ///
    /// # Errors
    /// As [`Sender::span`].
    pub fn log(&self, record: &LogRecord) -> Reading {
        let own = Attributes(&record.attributes);
        if exit_code(own).is_none() && own.text("fractal.tool").is_none() {
            return Ok(None);
        }
        let Some(named) = self.named(own, false) else { return Ok(None) };
        let end = if record.time_unix_nano > 0 { record.time_unix_nano } else { record.observed_time_unix_nano };
        let milliseconds = own.number("fractal.duration_ms").unwrap_or(0.0);
        if !(0.0..=1e12).contains(&milliseconds) {
            return Err(format!("`fractal.duration_ms` is {milliseconds}, which is no length of time"));
        }
        // A record has no identity of its own: all of it is one.
        let whole = [prost::Message::encode_to_vec(record), encoded(self.resource)];
        let moment = Moment {
            name: RunName::Parts([b"otlp log".to_vec()].into_iter().chain(whole).collect()),
            start: end.saturating_sub((milliseconds * 1e6) as u64),
            end,
            failed: false,
            message: record.body.as_ref().map(text_of).unwrap_or_default(),
            exception: own,
        };
        self.told(named, own, moment).map(Some)
    }

    /// The tool that attributes name. A command that an agent runs is the command when it is a tool of the repository.
    fn named(&self, own: Attributes<'_>, is_first_of_process: bool) -> Option<Named> {
        let resource = Attributes(if is_first_of_process { self.resource } else { &[] });
        let ours = own.text("fractal.tool");
        let theirs = || resource.text("fractal.tool").map(|tool| (tool, own.command().or_else(|| resource.command())));
        let whole_by_words = own.get("fractal.stdin").is_some();
        if let Some((tool, command)) = ours.map(|tool| (tool, own.command())).or_else(theirs) {
            let args = command.filter(|(_, known)| *known).and_then(|(line, _)| Some(self.tools.program(&line)?.args));
            let is_whole = args.is_some() || whole_by_words;
            return Some(Named { tool, args: args.or_else(|| own.call_arguments()).unwrap_or_default(), is_whole });
        }
        let program = own.command().and_then(|(line, known)| Some((self.tools.program(&line)?, known)));
        match (program, own.call()) {
            (Some((program, known)), call) if program.is_known || call.is_none() => {
                Some(Named { tool: program.name, args: program.args, is_whole: known || whole_by_words })
            }
            (_, Some(tool)) => Some(Named { tool, args: own.call_arguments().unwrap_or_default(), is_whole: whole_by_words }),
            _ => None,
        }
    }

    fn told(&self, named: Named, own: Attributes<'_>, moment: Moment<'_>) -> Result<Told, String> {
        check_tool_name(&named.tool).map_err(|error| error.to_string())?;
        let (at, duration) = self.time(&moment)?;
        let error = own.text("error.type");
        let (exit, outcome) = ending(exit_code(own), moment.failed || error.is_some())?;
        let kept = |key: &str| own.get(key).map(|value| Bytes { bytes: bytes_of(value), truncated: false });
        let stderr = kept("fractal.stderr");
        let resource = Attributes(self.resource);
        let service = resource.text("service.name").filter(|name| !name.starts_with("unknown_service"));
        let caller = own.text("fractal.caller").or_else(|| resource.text("fractal.caller")).or(service);
        let said = said(&moment, error, stderr.as_ref());
        let run = Observed {
            tool: named.tool,
            version: Version("unknown".into()),
            source: moment.name,
            at,
            duration,
            args: named.args.into_iter().map(String::into_bytes).collect(),
            cwd: own.text("process.working_directory").and_then(|folder| inside(&folder, self.root)),
            // An input of which a part is missing is never run again.
            stdin: kept("fractal.stdin").or((!named.is_whole).then(|| Bytes { bytes: Vec::new(), truncated: true })),
            stdout: kept("fractal.stdout").or_else(|| kept("gen_ai.tool.call.result")),
            stderr,
            exit,
            outcome,
            failure: said,
            caller: caller.map(|caller| plain_line(&caller, CALLER_CHARACTERS)).unwrap_or_else(|| "otlp".into()),
            marked: None,
        };
        Ok(Told { run, revision: own.revision().or_else(|| resource.revision()) })
    }

    fn time(&self, moment: &Moment<'_>) -> Result<(Timestamp, Duration), String> {
        let when = |nanoseconds: u64| Timestamp::from_nanosecond(nanoseconds.into()).ok().filter(|_| nanoseconds > 0);
        let (Some(start), Some(end)) = (when(moment.start), when(moment.end)) else {
            return Err("it does not say when it began and ended".into());
        };
        if moment.end < moment.start {
            return Err(format!("it ended ({end}) before it began ({start})"));
        }
        if end > self.now.saturating_add(AHEAD).unwrap_or(self.now) {
            return Err(format!("it ended at {end}, which has not come yet"));
        }
        let duration = Duration::from_nanos(moment.end - moment.start);
        if duration > DURATION_MAX {
            return Err(format!("it began at {start} and ended at {end}, which is too long for a run"));
        }
        Ok((start, duration))
    }
}

/// How a run ended, and what is to be believed of its outcome whatever the tool's rule says.
fn ending(code: Option<i64>, failed: bool) -> Result<(Exit, Option<Outcome>), String> {
    let Some(code) = code else {
        return Ok(if failed { (Exit::Code(1), Some(Outcome::Failure)) } else { (Exit::Code(0), None) });
    };
    let exit = match (i32::try_from(code), u32::try_from(code)) {
        // What Python's `subprocess` says of a signal.
        (Ok(signal @ i32::MIN..0), _) => Exit::Signal(signal.saturating_neg()),
        (Ok(code), _) => Exit::Code(code),
        (_, Ok(code)) => Exit::Code(code.cast_signed()),
        _ => return Err(format!("`process.exit.code` is {code}, which is no exit code")),
    };
    Ok((exit, (failed && code == 0).then_some(Outcome::Failure)))
}

fn exit_code(own: Attributes<'_>) -> Option<i64> {
    own.integer("process.exit.code").or_else(|| own.integer("process.exit_code"))
}

/// The failure in the sender's words; `None` when it has none.
fn said(moment: &Moment<'_>, error: Option<String>, stderr: Option<&Bytes>) -> Option<Said> {
    let exception = moment.exception;
    let says_nothing = |class: &str| class == "_OTHER" || class.bytes().all(|byte| byte.is_ascii_digit());
    let class = exception.text("exception.type").or(error.filter(|class| !says_nothing(class)));
    let message = exception.text("exception.message").unwrap_or_else(|| moment.message.clone());
    let trace = exception.text("exception.stacktrace");
    if class.is_none() && message.is_empty() && trace.is_none() {
        return None;
    }
    let stderr = || stderr.map(|stream| String::from_utf8_lossy(&stream.bytes).into_owned());
    Some(Said { class, message, trace: trace.or_else(stderr).unwrap_or_default() })
}

/// The folder relative to the root; `None` when it is outside, or not plainly inside.
fn inside(folder: &str, root: &str) -> Option<String> {
    let rest = folder.strip_prefix(root.trim_end_matches('/'))?;
    let rest = if rest.is_empty() { rest } else { rest.strip_prefix('/')? };
    let plain = |part: &str| !matches!(part, "" | "." | ".." | ".git") && !part.contains(['\0', '\\']);
    let rest = rest.trim_end_matches('/');
    (rest.is_empty() || rest.split('/').all(plain)).then(|| rest.to_string())
}

impl<'a> Attributes<'a> {
    fn get(self, key: &str) -> Option<&'a AnyValue> {
        self.0.iter().find(|pair| pair.key == key)?.value.as_ref().filter(|value| value.value.is_some())
    }

    /// A text that is not empty; other values as text.
    fn text(self, key: &str) -> Option<String> {
        self.get(key).map(text_of).filter(|text| !text.is_empty())
    }

    fn integer(self, key: &str) -> Option<i64> {
        match self.get(key)?.value.as_ref()? {
            Value::Int(value) => Some(*value),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    fn number(self, key: &str) -> Option<f64> {
        match self.get(key)?.value.as_ref()? {
            Value::Int(value) => Some(*value as f64),
            Value::Double(value) => Some(*value),
            _ => None,
        }
    }

    /// The command line with the program first, and whether the arguments are known.
    fn command(self) -> Option<(Vec<String>, bool)> {
        if let Some(Value::Array(array)) = self.get("process.command_args").and_then(|value| value.value.as_ref())
            && !array.values.is_empty()
        {
            return Some((array.values.iter().map(text_of).collect(), true));
        }
        let keys = ["process.command", "process.executable.path", "process.executable.name"];
        keys.iter().find_map(|key| self.text(key)).map(|program| (vec![program], false))
    }

    /// The name of a tool that an agent or a client of MCP called.
    fn call(self) -> Option<String> {
        let operation = self.text("gen_ai.operation.name");
        let method = self.text("mcp.method.name");
        let is_mcp = method.as_deref() == Some("tools/call");
        let is_call = match operation.as_deref() {
            Some(operation) => operation == "execute_tool",
            None => is_mcp || method.is_none(),
        };
        let name = self.text("gen_ai.tool.name").or_else(|| self.text("mcp.tool.name").filter(|_| is_mcp));
        name.filter(|_| is_call)
    }

    /// What it was called with, as one text.
    fn call_arguments(self) -> Option<Vec<String>> {
        self.text("gen_ai.tool.call.arguments").map(|arguments| vec![arguments])
    }

    /// The commit that ran, by the current name, the one before, and what many put there instead.
    fn revision(self) -> Option<CommitId> {
        let keys = ["vcs.ref.head.revision", "vcs.repository.ref.revision", "service.version"];
        let is_commit = |text: &String| text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let found = keys.iter().find_map(|key| self.text(key).filter(is_commit));
        found.map(|text| CommitId(text.to_ascii_lowercase()))
    }
}

/// Text as it is, other values as JSON.
fn text_of(value: &AnyValue) -> String {
    match &value.value {
        Some(Value::String(text)) => text.clone(),
        None => String::new(),
        _ => value.to_json().to_string(),
    }
}

fn bytes_of(value: &AnyValue) -> Vec<u8> {
    match &value.value {
        Some(Value::Bytes(bytes)) => bytes.clone(),
        _ => text_of(value).into_bytes(),
    }
}

fn encoded(attributes: &[KeyValue]) -> Vec<u8> {
    attributes.iter().flat_map(prost::Message::encode_length_delimited_to_vec).collect()
}
