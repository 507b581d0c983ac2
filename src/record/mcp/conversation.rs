//! Follows what a client and an MCP server say to each other, and tells the calls of tools in it. Lines with their times go in,
//! finished calls come out.
//!
//! Deliberately not here: the bytes' way, redaction, storing. How a call ends:
//!
//! | what comes | outcome |
//! |---|---|
//! | a result | success, or what the success rule of a declared tool says |
//! | a result with `isError` | failure: the tool says that it failed, in the words of its content |
//! | a JSON-RPC error that blames the request: invalid request or parameters, unknown method or tool, a missing capability | error: the caller's doing |
//! | any other JSON-RPC error | failure: the server's |
//! | `notifications/cancelled` from the client | error: the caller's, as for an interrupted run |
//! | a result that asks for more input (`resultType`, revision of 2026-07-28) | error: the caller has to call again |
//! | a result that promises one (a task, revision of 2025-11-25) | what `tasks/result` brings |
//! | nothing, and the server ends | failure; error when a signal that people send ended it |
//! | nothing, and the client has gone before | error; failure when the server crashed |

use std::collections::{BTreeMap, HashMap};

use super::lines::{Line, Skimmed};
use super::message::{About, CallParams, CallResult, Message, RpcError, Speaker, canonical, hints, id_of, messages, read};
use super::names::Names;
use crate::lang;
use crate::model::{ExecutionId, Exit, Hints, Outcome, SuccessRule, Version, plain_line};
use crate::record::observed::{Bytes, Observed, RunName, Said};
use crate::world::clock::Moment;

/// Requests that may wait for an answer, and what they may hold.
const WAITING: usize = 10_000;
const HELD: usize = 8 << 20;
/// Tools of which hints are kept.
const HINTED: usize = 10_000;
const CALLER_CHARACTERS: usize = 64;

/// The errors of JSON-RPC and MCP that are the caller's: parse error, invalid request, unknown method, invalid parameters (an unknown
/// tool too); headers, a capability or a version that do not fit; an elicitation that has to come first.
const CALLERS: [i64; 8] = [-32700, -32600, -32601, -32602, -32020, -32021, -32022, -32042];

/// The two who speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// What is known before the conversation begins.
pub(super) struct Setting {
    pub(super) names: Names,
    /// Of the files of the server, when they are in the repository.
    pub(super) version: Option<Version>,
    /// Who the caller is, when the environment says so.
    pub(super) caller: Option<String>,
    /// Bytes kept of arguments, of results and of errors, each.
    pub(super) limit: usize,
    /// The root of the repository, which paths in traces are relative to.
    pub(super) root: String,
    pub(super) random: fn() -> [u8; 10],
}

/// See the module.
pub(super) struct Conversation {
    setting: Setting,
    client: Option<String>,
    server_version: Option<Version>,
    waiting: HashMap<String, Waiting>,
    /// Calls whose result was promised, by task.
    promised: HashMap<String, Call>,
    held: usize,
    /// Who closed first.
    left: Option<Side>,
    /// Until then, messages went by that were not understood or not seen.
    unseen: Option<Moment>,
    /// Calls that ended, oldest first.
    pub(super) ended: Vec<Observed>,
    /// What the server said of its tools since somebody took it.
    pub(super) hints: BTreeMap<String, Hints>,
    /// Calls that are not recorded.
    pub(super) lost: u64,
}

enum Waiting {
    Call(Call),
    Tools,
    Greeting,
    /// `tasks/result`
    Promised(String),
}

struct Call {
    tool: String,
    /// As canonical JSON; `None` when they were too long.
    arguments: Option<String>,
    length: usize,
    begun: Moment,
}

/// How a call ended.
struct Ending {
    exit: Exit,
    outcome: Option<Outcome>,
    stdout: Option<Bytes>,
    stderr: Option<Bytes>,
    failure: Option<Said>,
}

impl Conversation {
    pub(super) fn new(setting: Setting) -> Self {
        Conversation {
            setting,
            client: None,
            server_version: None,
            waiting: HashMap::new(),
            promised: HashMap::new(),
            held: 0,
            left: None,
            unseen: None,
            ended: Vec::new(),
            hints: BTreeMap::new(),
            lost: 0,
        }
    }

    /// A side has written a line.
    pub(super) fn wrote(&mut self, side: Side, line: &Line, at: Moment) {
        match (side, line) {
            (Side::Client, Line::Whole(bytes)) => messages(bytes).iter().for_each(|message| self.asked(message, at)),
            (Side::Client, Line::Long(skimmed)) => self.asked_at_length(skimmed, at),
            (Side::Server, Line::Whole(bytes)) => messages(bytes).iter().for_each(|message| self.answered(message, at)),
            (Side::Server, Line::Long(skimmed)) => self.answered_at_length(skimmed, at),
        }
    }

    /// A side has closed its end, or the client reads no more.
    pub(super) fn left(&mut self, side: Side) {
        self.left.get_or_insert(side);
    }

    /// Some message went by unseen, then at the latest: a call that is still open may have had its answer.
    pub(super) fn unseen(&mut self, at: Moment) {
        self.unseen = Some(at);
    }

    /// The server has ended: nothing is answered any more.
    pub(super) fn server_ended(&mut self, exit: &Exit, at: Moment) {
        let waiting = std::mem::take(&mut self.waiting).into_values();
        let calls = waiting.filter_map(|waiting| if let Waiting::Call(call) = waiting { Some(call) } else { None });
        let mut calls: Vec<Call> = calls.chain(std::mem::take(&mut self.promised).into_values()).collect();
        calls.sort_by_key(|call| call.begun.steady);
        for call in calls {
            if self.unseen.is_some_and(|unseen| unseen.steady >= call.begun.steady) {
                self.lost += 1;
            } else {
                self.end(call, Ending::unanswered(exit, self.left == Some(Side::Client)), at);
            }
        }
    }

    fn asked(&mut self, message: &Message<'_>, at: Moment) {
        let Some(method) = &message.method else { return };
        if self.client.is_none() {
            let speaker = read::<Speaker<'_>>(message.params).and_then(|speaker| speaker.client());
            self.client = speaker.map(|client| plain_line(&client.name, CALLER_CHARACTERS)).filter(|name| !name.is_empty());
        }
        let about = || read::<About<'_>>(message.params);
        let request = match (method.as_str(), message.id()) {
            ("notifications/cancelled", _) => return about().into_iter().for_each(|about| self.cancelled(&about, at)),
            (_, None) => return,
            ("tools/call", Some(_)) => {
                let Some(params) = read::<CallParams<'_>>(message.params) else { return };
                Waiting::Call(self.begin(params, at))
            }
            ("tools/list", Some(_)) => Waiting::Tools,
            ("initialize" | "server/discover", Some(_)) => Waiting::Greeting,
            ("tasks/result", Some(_)) => {
                let Some(task) = about().and_then(|about| about.task_id) else { return };
                Waiting::Promised(task)
            }
            _ => return,
        };
        self.wait(message.id().unwrap_or_default(), request, at);
    }

    fn asked_at_length(&mut self, line: &Skimmed, at: Moment) {
        let text = |json: &Option<Vec<u8>>| serde_json::from_slice::<String>(json.as_deref()?).ok();
        if text(&line.method).as_deref() != Some("tools/call") {
            return;
        }
        match (line.id.as_deref().and_then(id_of), text(&line.name)) {
            (Some(id), Some(tool)) => {
                self.wait(id, Waiting::Call(Call { tool, arguments: None, length: line.length, begun: at }), at);
            }
            _ => self.lost += 1,
        }
    }

    fn begin(&self, params: CallParams<'_>, at: Moment) -> Call {
        let length = params.arguments.map_or(0, |json| json.get().len());
        let kept = length <= self.setting.limit && self.held + length <= HELD;
        let arguments = match params.arguments {
            Some(json) => kept.then(|| canonical(json)).flatten(),
            None => Some("{}".to_string()),
        };
        Call { tool: params.name, arguments, length, begun: at }
    }

    fn wait(&mut self, id: String, request: Waiting, at: Moment) {
        if let Some(Waiting::Call(before)) = self.waiting.remove(&id) {
            self.end(before, Ending::error("its id was used again before it was answered".into()), at);
        }
        if self.waiting.len() + self.promised.len() >= WAITING {
            self.lost += u64::from(matches!(request, Waiting::Call(_)));
            return;
        }
        if let Waiting::Call(call) = &request {
            self.held += call.held();
        }
        self.waiting.insert(id, request);
    }

    fn cancelled(&mut self, about: &About<'_>, at: Moment) {
        let Some(id) = about.request() else { return };
        if let Some(Waiting::Call(call)) = self.waiting.remove(&id) {
            let reason = about.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            self.end(call, Ending::error(format!("cancelled by the client{reason}")), at);
        }
    }

    fn answered(&mut self, message: &Message<'_>, at: Moment) {
        // Requests of the server have ids of their own, which may be the same.
        if message.method.is_some() {
            return;
        }
        let Some(waiting) = message.id().and_then(|id| self.waiting.remove(&id)) else { return };
        if self.server_version.is_none()
            && let Some(server) = read::<Speaker<'_>>(message.result).and_then(|speaker| speaker.server())
        {
            self.setting.names.learn(&server.name);
            self.server_version = Some(version_of(&server.version));
        }
        match waiting {
            Waiting::Greeting => {}
            Waiting::Tools => {
                for (tool, hints) in hints(message.result) {
                    if self.hints.len() < HINTED {
                        self.hints.insert(self.setting.names.of(&tool), hints);
                    }
                }
            }
            Waiting::Call(call) => self.returned(call, message, at),
            Waiting::Promised(task) => {
                if let Some(call) = self.promised.remove(&task) {
                    self.returned(call, message, at);
                }
            }
        }
    }

    fn answered_at_length(&mut self, line: &Skimmed, at: Moment) {
        let Some(id) = line.id.as_deref().and_then(id_of) else {
            // A batch, or no JSON: whose answers are in it is not known.
            return self.unseen(at);
        };
        let call = match self.waiting.remove(&id) {
            Some(Waiting::Call(call)) if line.method.is_none() => call,
            Some(Waiting::Promised(task)) if line.method.is_none() => match self.promised.remove(&task) {
                Some(call) => call,
                None => return,
            },
            Some(other) if line.method.is_some() => return drop(self.waiting.insert(id, other)),
            _ => return,
        };
        let words = format!("[a result of {} bytes, not kept]", line.length);
        let stdout = Some(Bytes { bytes: words.clone().into_bytes(), truncated: false });
        let ending = match line.failed || line.error {
            true => Ending { stdout, ..Ending::failure(None, words) },
            false => Ending { stdout, ..Ending::success() },
        };
        self.end(call, ending, at);
    }

    /// A call has its answer.
    fn returned(&mut self, call: Call, message: &Message<'_>, at: Moment) {
        let limit = self.setting.limit;
        if let Some(error) = read::<RpcError<'_>>(message.error) {
            return self.end(call, Ending::rpc(&error, limit), at);
        }
        let Some(result) = read::<CallResult<'_>>(message.result) else {
            return self.end(
                call,
                Ending::failure(Some("malformed result".into()), "the answer is no result of a tool".into()),
                at,
            );
        };
        if let Some(task) = result.task {
            self.promised.insert(task.task_id, call);
            return;
        }
        let text = result.text();
        let ending = match (result.result_type.as_deref(), result.is_error) {
            (Some(kind), _) if kind != "complete" => Ending::error(format!("the server answered with `{kind}`")),
            (_, Some(true)) => Ending::failed(&text, &self.setting.root),
            _ => Ending::success(),
        };
        self.end(call, Ending { stdout: cut(text, limit), ..ending }, at);
    }

    fn end(&mut self, call: Call, ending: Ending, at: Moment) {
        self.held = self.held.saturating_sub(call.held());
        let duration = at.steady.saturating_sub(call.begun.steady);
        let ended = call.begun.at.saturating_add(jiff::SignedDuration::try_from(duration).unwrap_or_default());
        let truncated = call.arguments.is_none();
        let arguments = call.arguments.unwrap_or_else(|| format!("[{} bytes, not kept]", call.length));
        let setting = &self.setting;
        let version = setting.version.as_ref().or(self.server_version.as_ref());
        self.ended.push(Observed {
            tool: setting.names.of(&call.tool),
            version: version.cloned().unwrap_or_else(|| Version("unknown".into())),
            source: RunName::Ours(ExecutionId::fresh(ended.unwrap_or(call.begun.at), (setting.random)())),
            at: call.begun.at,
            duration,
            args: vec![arguments.into_bytes()],
            cwd: None,
            stdin: truncated.then(|| Bytes { bytes: Vec::new(), truncated }),
            stdout: ending.stdout,
            stderr: ending.stderr,
            exit: ending.exit,
            outcome: ending.outcome,
            failure: ending.failure,
            caller: setting.caller.clone().or_else(|| self.client.clone()).unwrap_or_else(|| "mcp".into()),
            marked: None,
        });
    }
}

impl Call {
    fn held(&self) -> usize {
        self.tool.len() + self.arguments.as_ref().map_or(0, String::len)
    }
}

impl Ending {
    /// The success rule decides.
    fn success() -> Self {
        Ending { exit: Exit::Code(0), outcome: None, stdout: None, stderr: None, failure: None }
    }

    fn error(why: String) -> Self {
        let stderr = Some(Bytes { bytes: why.into_bytes(), truncated: false });
        Ending { exit: Exit::Code(1), outcome: Some(Outcome::Error), stderr, ..Ending::success() }
    }

    fn failure(class: Option<String>, message: String) -> Self {
        let class = class.or_else(|| Some("tool error".into()));
        let failure = Some(Said { class, message, trace: String::new() });
        Ending { exit: Exit::Code(1), outcome: Some(Outcome::Failure), failure, ..Ending::success() }
    }

    /// The tool says that it failed: with a stack trace, or in its words.
    fn failed(text: &str, root: &str) -> Self {
        let trace = lang::read_failure(text.as_bytes(), root);
        let mut ending = Ending::failure(None, text.to_string());
        if trace.error_type.is_some() {
            ending.failure = Some(Said { class: None, message: String::new(), trace: text.to_string() });
        }
        ending
    }

    /// A JSON-RPC error.
    fn rpc(error: &RpcError<'_>, limit: usize) -> Self {
        let data = error.data.map(|data| format!("\n{}", data.get())).unwrap_or_default();
        let stderr = cut(format!("error {}: {}{data}", error.code, error.message), limit);
        if CALLERS.contains(&error.code) {
            return Ending { stderr, ..Ending::error(String::new()) };
        }
        Ending { stderr, ..Ending::failure(Some(format!("error {}", error.code)), error.message.clone()) }
    }

    /// The server ended first.
    fn unanswered(exit: &Exit, client_left: bool) -> Self {
        // Who writes to a client that has gone gets SIGPIPE.
        let unread = client_left && *exit == Exit::Signal(13);
        let crashed = matches!(exit, Exit::Signal(_)) && SuccessRule::default().judge(exit, b"") == Outcome::Failure && !unread;
        let why = format!("the server ended before it answered: {exit}");
        let ending = match exit {
            _ if crashed => Ending::failure(Some(exit.to_string()), why),
            Exit::Code(_) if !client_left => Ending::failure(Some("server exited".into()), why),
            _ if client_left => Ending::error("the client went away before it was answered".into()),
            _ => Ending::error(why),
        };
        Ending { exit: exit.clone(), ..ending }
    }
}

fn cut(text: String, limit: usize) -> Option<Bytes> {
    let mut bytes = text.into_bytes();
    let truncated = bytes.len() > limit;
    bytes.truncate(limit);
    Some(Bytes { bytes, truncated }).filter(|bytes| !bytes.bytes.is_empty())
}

/// What a server calls its version, when that can be one.
fn version_of(said: &str) -> Version {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
    let usable = (1..=64).contains(&said.len()) && said.chars().all(plain);
    Version(if usable { said.into() } else { "unknown".into() })
}
