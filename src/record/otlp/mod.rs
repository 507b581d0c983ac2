//! OTLP: spans and log records of OpenTelemetry that tell of runs of tools. Bytes in, runs and bytes out.
//!
//! Deliberately not here: HTTP, the repository, the store.
//!
//! A span is an execution when its own attributes name a tool. Everything else is accepted and left alone: a trace is full of spans
//! that are none of our business. In the order in which they count:
//!
//! | the tool is | attribute | notes |
//! |---|---|---|
//! | named for us | `fractal.tool` | on a resource, it names the first span of the process: the one without a parent in it |
//! | a program of the repository | `process.command_args`, `process.command`, `process.executable.path`, `process.executable.name` | the one tool with that file; of an interpreter's arguments, the script |
//! | a tool that was called | `gen_ai.tool.name` with `gen_ai.operation.name` = `execute_tool`, or with `mcp.method.name` = `tools/call` | |
//! | any other program | as above | the name of the program |
//!
//! | what | attribute |
//! |---|---|
//! | arguments | `process.command_args` after the program; else `gen_ai.tool.call.arguments` as one argument |
//! | standard input, output, error | `fractal.stdin`, `fractal.stdout` (else `gen_ai.tool.call.result`), `fractal.stderr`: text or bytes |
//! | working directory | `process.working_directory`, when it is below the root of our checkout |
//! | how it ended | `process.exit.code` (`process.exit_code`), a negative one is a signal; else status `ERROR` or `error.type` is a failure |
//! | the failure | event `exception` with `exception.type`, `exception.message`, `exception.stacktrace`; else `error.type` and the status |
//! | version | `vcs.ref.head.revision` (`vcs.repository.ref.revision`, `service.version`), on the span or the resource, when it is a commit of the repository: the version of the tool there; else `unknown` |
//! | caller | `fractal.caller`, on the span or the resource; else `service.name`; else `otlp` |
//! | when, how long | start and end of the span |
//! | identity | trace and span: what is sent again is known |
//!
//! With `process.command_args` or `fractal.stdin` the input is known, and the run may be repeated; arguments of a call by an agent say
//! nothing of how the program was run, so such a run never is.
//!
//! A run that both its caller and the tool tell of is two spans, and two executions: let one of them send.
//!
//! A log record is an execution when it names a tool and has `process.exit.code` or `fractal.tool`. It ends at its time, and took
//! `fractal.duration_ms`. A call that a span tells of is told once, so log records that only belong to one are left alone.

mod json;
mod mapping;
mod program;
pub mod proto;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use prost::Message;

pub use self::mapping::{Reading, Sender, Told};
pub use self::program::{Program, Tools};
use self::proto::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse, ExportTracePartialSuccess,
    ExportTraceServiceRequest, ExportTraceServiceResponse, KeyValue, Resource, Status,
};
use crate::model::plain_line;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Traces,
    Logs,
}

/// How it is encoded, and the answer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Protobuf,
    Json,
}

/// What a request tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delivery {
    pub told: Vec<Told>,
    pub refused: Refused,
}

/// What is refused for good, and why the first of it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    pub count: u64,
    pub why: String,
}

const REASON_CHARACTERS: usize = 300;

impl Signal {
    /// The signal of a path.
    pub fn of_path(path: &str) -> Option<Self> {
        match path {
            "/v1/traces" => Some(Signal::Traces),
            "/v1/logs" => Some(Signal::Logs),
            _ => None,
        }
    }
}

impl Encoding {
    /// Of a content type.
    pub fn of_content_type(text: &str) -> Option<Self> {
        let essence = text.split(';').next().unwrap_or_default().trim();
        let all = [Encoding::Protobuf, Encoding::Json];
        all.into_iter().find(|encoding| essence.eq_ignore_ascii_case(encoding.content_type()))
    }

    /// As a content type.
    pub fn content_type(self) -> &'static str {
        match self {
            Encoding::Protobuf => "application/x-protobuf",
            Encoding::Json => "application/json",
        }
    }

    fn read<T: Message + Default + for<'de> serde::Deserialize<'de>>(self, body: &[u8]) -> Result<T, String> {
        match self {
            Encoding::Protobuf => T::decode(body).map_err(|error| error.to_string()),
            Encoding::Json => serde_json::from_slice(body).map_err(|error| error.to_string()),
        }
    }

    fn write(self, message: &(impl Message + serde::Serialize)) -> Vec<u8> {
        match self {
            Encoding::Protobuf => message.encode_to_vec(),
            Encoding::Json => serde_json::to_vec(message).unwrap_or_default(),
        }
    }
}

/// Reads a request.
///
/// # Errors
/// When the body is not the message that the signal asks for.
pub fn read(
    signal: Signal,
    encoding: Encoding,
    body: &[u8],
    tools: &Tools,
    root: &str,
    now: Timestamp,
) -> Result<Delivery, String> {
    let mut delivery = Delivery::default();
    let sender = |resource| Sender { tools, root, now, resource };
    match signal {
        Signal::Traces => {
            let request: ExportTraceServiceRequest = encoding.read(body)?;
            for from in &request.resource_spans {
                let sender = sender(attributes(from.resource.as_ref()));
                let spans = from.scope_spans.iter().flat_map(|scope| &scope.spans);
                spans.for_each(|span| delivery.add(sender.span(span)));
            }
        }
        Signal::Logs => {
            let request: ExportLogsServiceRequest = encoding.read(body)?;
            for from in &request.resource_logs {
                let sender = sender(attributes(from.resource.as_ref()));
                let records = from.scope_logs.iter().flat_map(|scope| &scope.log_records);
                records.for_each(|record| delivery.add(sender.log(record)));
            }
        }
    }
    Ok(delivery)
}

fn attributes(resource: Option<&Resource>) -> &[KeyValue] {
    resource.map_or(&[], |resource| &resource.attributes)
}

impl Delivery {
    fn add(&mut self, reading: Reading) {
        match reading {
            Ok(told) => self.told.extend(told),
            Err(why) => {
                if self.refused.count == 0 {
                    self.refused.why = plain_line(&why, REASON_CHARACTERS);
                }
                self.refused.count += 1;
            }
        }
    }
}

/// The answer to a request that was accepted, but for what was refused.
pub fn accepted(signal: Signal, encoding: Encoding, refused: &Refused) -> Vec<u8> {
    let count = i64::try_from(refused.count).unwrap_or(i64::MAX);
    let partly = count > 0;
    let error_message = match count {
        1 => refused.why.clone(),
        _ => format!("{count} are refused; the first: {}", refused.why),
    };
    match signal {
        Signal::Traces => {
            let partial_success = partly.then_some(ExportTracePartialSuccess { rejected_spans: count, error_message });
            encoding.write(&ExportTraceServiceResponse { partial_success })
        }
        Signal::Logs => {
            let partial_success = partly.then_some(ExportLogsPartialSuccess { rejected_log_records: count, error_message });
            encoding.write(&ExportLogsServiceResponse { partial_success })
        }
    }
}

/// The answer to a request that failed.
pub fn failed(encoding: Encoding, message: &str) -> Vec<u8> {
    encoding.write(&Status { message: message.to_string() })
}
