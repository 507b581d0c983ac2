//! Conversations as text, and the calls that are told of them.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::conversation::{Conversation, Setting, Side};
use super::lines::{Line, Lines};
use super::names::Names;
use super::{News, Queue};
use crate::model::{Exit, Outcome, Version};
use crate::record::Observed;
use crate::world::clock::Moment;
use crate::world::passthrough::relay::Heard;

/// A conversation whose clock moves a millisecond with each line.
struct Talk {
    conversation: Conversation,
    now: u64,
}

impl Talk {
    fn of(version: Option<&str>) -> Talk {
        let conversation = Conversation::new(Setting {
            names: Names::new(None, b"server", BTreeSet::new()),
            version: version.map(|version| Version(version.into())),
            caller: None,
            limit: 1 << 10,
            root: "/r".into(),
            random: || [7; 10],
        });
        Talk { conversation, now: 0 }
    }

    fn new() -> Talk {
        Talk::of(None)
    }

    fn moment(&mut self) -> Moment {
        self.now += 1;
        let steady = Duration::from_millis(self.now);
        Moment { at: Timestamp::UNIX_EPOCH + steady, steady }
    }

    fn says(&mut self, side: Side, line: &[u8]) {
        let at = self.moment();
        let mut lines = Lines::default();
        lines.feed(line, |line| self.conversation.wrote(side, &line, at));
        lines.finish().into_iter().for_each(|line| self.conversation.wrote(side, &line, at));
    }

    fn client(mut self, line: Value) -> Talk {
        self.says(Side::Client, line.to_string().as_bytes());
        self
    }

    fn server(mut self, line: Value) -> Talk {
        self.says(Side::Server, line.to_string().as_bytes());
        self
    }

    fn call(self, id: impl Into<Value>, tool: &str, arguments: Value) -> Talk {
        let params = json!({"name": tool, "arguments": arguments});
        self.client(json!({"jsonrpc": "2.0", "id": id.into(), "method": "tools/call", "params": params}))
    }

    fn result(self, id: impl Into<Value>, result: Value) -> Talk {
        self.server(json!({"jsonrpc": "2.0", "id": id.into(), "result": result}))
    }

    fn error(self, id: i64, code: i64, message: &str) -> Talk {
        self.server(json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}))
    }

    fn greeting(self) -> Talk {
        let hello = json!({"protocolVersion": "2025-11-25", "clientInfo": {"name": "a\u{1b}client", "version": "1"}});
        self.client(json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}))
            .result(0, json!({"protocolVersion": "2025-11-25", "serverInfo": {"name": "calc", "version": "1.2.0"}}))
    }

    fn left(mut self, side: Side) -> Talk {
        self.conversation.left(side);
        self
    }

    fn exits(mut self, exit: Exit) -> Talk {
        let at = self.moment();
        self.conversation.server_ended(&exit, at);
        self
    }

    #[track_caller]
    fn only(self) -> Observed {
        let [call] = <[Observed; 1]>::try_from(self.conversation.ended).expect("one call");
        call
    }
}

fn said(call: &Observed) -> (Option<Outcome>, String) {
    let text = |bytes: &Option<super::super::Bytes>| {
        bytes.as_ref().map(|bytes| String::from_utf8_lossy(&bytes.bytes).into_owned()).unwrap_or_default()
    };
    let failure =
        call.failure.as_ref().map(|said| format!("{}: {}{}", said.class.as_deref().unwrap_or("-"), said.message, said.trace));
    (call.outcome, failure.unwrap_or_else(|| text(&call.stdout) + &text(&call.stderr)))
}

fn text_result(text: &str) -> Value {
    json!({"content": [{"type": "text", "text": text}]})
}

#[test]
fn a_call_is_recorded_with_its_arguments_result_time_caller_and_version() {
    let call = Talk::new().greeting().call(1, "add", json!({"b": 2, "a": {"y": 1, "x": []}})).result(1, text_result("3")).only();
    assert_eq!((call.tool.as_str(), call.version.as_str()), ("calc.add", "1.2.0"));
    assert_eq!(call.args, [br#"{"a":{"x":[],"y":1},"b":2}"#.to_vec()]);
    assert_eq!((call.at.as_millisecond(), call.duration), (3, Duration::from_millis(1)));
    assert_eq!((call.caller.as_str(), call.exit.clone(), call.stdin.clone()), ("a client", Exit::Code(0), None));
    assert_eq!(said(&call), (None, "3".into()));
    let ours = Talk::of(Some("abc")).greeting().call(1, "add", json!({})).result(1, text_result("3")).only();
    assert_eq!(ours.version.as_str(), "abc");
}

#[test]
fn since_the_revision_of_2026_every_message_says_who_speaks() {
    let params = json!({"name": "add", "_meta": {"io.modelcontextprotocol/clientInfo": {"name": "modern", "version": "1"}}});
    let meta = json!({"io.modelcontextprotocol/serverInfo": {"name": "calc", "version": "2"}});
    let talk = Talk::new().client(json!({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": params}));
    let call = talk.result(5, json!({"content": [], "resultType": "complete", "_meta": meta})).only();
    assert_eq!((call.tool.as_str(), call.version.as_str(), call.caller.as_str()), ("calc.add", "2", "modern"));
    assert_eq!((call.args.as_slice(), said(&call)), ([b"{}".to_vec()].as_slice(), (None, String::new())));
}

#[test]
fn ids_that_differ_in_type_are_two_and_the_servers_own_requests_are_others() {
    let talk = Talk::new().call(1, "a", json!({})).call("1", "b", json!({}));
    let talk = talk.server(json!({"jsonrpc": "2.0", "id": 1, "method": "roots/list"}));
    let talk = talk.client(json!({"jsonrpc": "2.0", "id": 1, "result": {"roots": []}}));
    let talk =
        talk.server(json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}}));
    let talk = talk.result("1", text_result("of b")).result(1, text_result("of a"));
    let told: Vec<_> =
        talk.conversation.ended.iter().map(|call| (call.tool.rsplit('.').next().unwrap_or_default(), said(call).1)).collect();
    assert_eq!(told, [("b", "of b".to_string()), ("a", "of a".to_string())]);
}

#[test]
fn what_the_tool_reports_is_a_failure_and_what_the_protocol_reports_depends_on_whose_fault_it_is() {
    let failed = |result: Value| said(&Talk::new().call(1, "t", json!({})).result(1, result).only());
    let failure = |text: &str| (Some(Outcome::Failure), text.to_string());
    let told = json!({"content": [{"type": "text", "text": "no such city"}], "isError": true});
    assert_eq!(failed(told), failure("tool error: no such city"));
    let trace = "Traceback (most recent call last):\n  File \"/r/s.py\", line 3, in f\n    x()\nKeyError: 'a'";
    assert_eq!(failed(json!({"content": [{"type": "text", "text": trace}], "isError": true})), failure(&format!("-: {trace}")));
    assert_eq!(failed(json!("what")), failure("malformed result: the answer is no result of a tool"));
    let error = |code| said(&Talk::new().call(1, "t", json!({})).error(1, code, "why").only());
    for code in [-32602, -32601, -32600, -32021] {
        assert_eq!(error(code), (Some(Outcome::Error), format!("error {code}: why")));
    }
    for code in [-32603, -32000, 17] {
        assert_eq!(error(code), failure(&format!("error {code}: why")));
    }
}

#[test]
fn content_that_is_no_text_leaves_a_note() {
    let blocks = json!([
        {"type": "image", "mimeType": "image/png", "data": "QUJDQUJD"},
        {"type": "resource", "resource": {"uri": "file:///a", "mimeType": "x/y", "blob": "QUJD"}},
        {"type": "resource", "resource": {"uri": "file:///b", "text": "inside"}},
        {"type": "resource_link", "uri": "file:///c", "name": "c"},
        {"type": "text", "text": "end"}
    ]);
    let shown = |result| said(&Talk::new().call(1, "t", json!({})).result(1, result).only()).1;
    let expected = "[image, image/png, 6 bytes]\n[resource, x/y, file:///a, 3 bytes]\ninside\n[resource_link, file:///c]\nend";
    assert_eq!(shown(json!({"content": blocks})), expected);
    assert_eq!(shown(json!({"content": [], "structuredContent": {"b": 1}})), r#"{"b":1}"#);
    assert_eq!(shown(json!({"content": "odd"})), "[content of another form, 5 bytes]");
}

#[test]
fn a_cancelled_call_is_nobodys_failure_and_a_late_answer_changes_nothing() {
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 4, "reason": "bored"}});
    let call = Talk::new().call(4, "t", json!({})).client(cancel.clone()).client(cancel).result(4, text_result("late")).only();
    assert_eq!(said(&call), (Some(Outcome::Error), "cancelled by the client: bored".into()));
}

#[test]
fn a_call_that_asks_for_more_is_called_again_and_a_promised_result_is_waited_for() {
    let more = Talk::new().call(1, "t", json!({})).result(1, json!({"resultType": "input_required", "inputRequests": {}})).only();
    assert_eq!(said(&more), (Some(Outcome::Error), "the server answered with `input_required`".into()));
    let talk = Talk::new().call(1, "t", json!({})).result(1, json!({"task": {"taskId": "x", "status": "working"}}));
    assert!(talk.conversation.ended.is_empty());
    let talk = talk.client(json!({"jsonrpc": "2.0", "id": 2, "method": "tasks/result", "params": {"taskId": "x"}}));
    let call = talk.result(2, text_result("done")).only();
    assert_eq!((said(&call), call.duration), ((None, "done".into()), Duration::from_millis(3)));
}

#[test]
fn calls_without_an_answer_are_judged_by_who_left_first_and_how() {
    let ended = |left: &[Side], exit: Exit| {
        let talk = left.iter().fold(Talk::new().call(1, "t", json!({})), |talk, side| talk.left(*side));
        let call = talk.exits(exit.clone()).only();
        assert_eq!(call.exit, exit);
        call.outcome.expect("is said")
    };
    let (client, server) = (Side::Client, Side::Server);
    for (left, exit, outcome) in [
        (&[][..], Exit::Code(3), Outcome::Failure),
        (&[server, client], Exit::Code(0), Outcome::Failure),
        (&[client, server], Exit::Code(0), Outcome::Error),
        (&[client], Exit::Code(1), Outcome::Error),
        (&[client], Exit::Signal(11), Outcome::Failure),
        (&[client], Exit::Signal(13), Outcome::Error),
        (&[], Exit::Signal(15), Outcome::Error),
        (&[], Exit::Signal(6), Outcome::Failure),
    ] {
        assert_eq!(ended(left, exit.clone()), outcome, "{left:?} {exit}");
    }
}

#[test]
fn calls_whose_answer_may_have_gone_by_unseen_are_not_judged() {
    let mut talk = Talk::new().call(1, "before", json!({}));
    let at = talk.moment();
    talk.conversation.unseen(at);
    let talk = talk.call(2, "after", json!({})).exits(Exit::Code(1));
    assert_eq!(talk.conversation.lost, 1);
    assert!(talk.only().tool.ends_with(".after"));
}

#[test]
fn batches_of_the_revision_of_2025_03_26_are_read() {
    let call =
        |id: u64| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "t", "arguments": {"n": id}}});
    let talk = Talk::new().client(json!([call(1), {"what": 1}, 7, call(2)]));
    let talk = talk.server(json!([{"jsonrpc": "2.0", "id": 2, "result": text_result("two")}]));
    let talk = talk.result(1, text_result("one"));
    assert_eq!(talk.conversation.ended.iter().map(|call| said(call).1).collect::<Vec<_>>(), ["two", "one"]);
}

#[test]
fn arguments_and_results_beyond_the_limit_are_known_to_be_incomplete() {
    let long = "x".repeat(3000);
    let call = Talk::new().call(1, "t", json!({"text": long})).result(1, text_result(&long)).only();
    assert_eq!(call.args, [b"[3011 bytes, not kept]".to_vec()]);
    assert!(call.stdin.as_ref().is_some_and(|stdin| stdin.truncated));
    let stdout = call.stdout.expect("has output");
    assert_eq!((stdout.bytes.len(), stdout.truncated), (1024, true));
    let huge = "x".repeat(5 << 20);
    let call =
        Talk::new().call(1, "t", json!({"text": huge})).result(1, json!({"content": [], "isError": true, "x": huge})).only();
    assert_eq!((call.outcome, call.args[0].starts_with(b"[5242")), (Some(Outcome::Failure), true));
}

#[test]
fn hints_are_taken_from_the_list_of_tools_and_are_nothing_but_what_was_said() {
    let list = json!({"jsonrpc": "2.0", "id": 3, "method": "tools/list"});
    let tools = json!([
        {"name": "read", "annotations": {"title": "Read", "readOnlyHint": true, "openWorldHint": false}},
        {"name": "plain"},
        {"name": "odd", "annotations": {"readOnlyHint": "yes"}}
    ]);
    let hints = Talk::new().greeting().client(list).result(3, json!({"tools": tools})).conversation.hints;
    assert_eq!(serde_json::to_value(&hints).expect("serialises"), json!({"calc.read": {"read_only": true, "open_world": false}}));
}

#[test]
fn what_is_held_for_calls_without_an_answer_is_bounded() {
    let mut talk = Talk::new();
    for id in 0..12_000 {
        talk = talk.call(id, "t", json!({"text": "x".repeat(1000)}));
    }
    let talk = talk.exits(Exit::Code(1));
    assert_eq!((talk.conversation.ended.len(), talk.conversation.lost), (10_000, 2_000));
    let held: usize = talk.conversation.ended.iter().map(|call| call.args[0].len()).sum();
    assert!(held < 9 << 20, "{held} bytes");
}

#[test]
fn a_queue_that_is_full_keeps_nobody_waiting_and_knows_what_it_missed() {
    let queue = Queue::default();
    let (send, receive) = std::sync::mpsc::sync_channel(3);
    let mut listener = queue.listener(Side::Server, &send);
    let mut talk = Talk::new();
    for line in [&b"1\n2\n"[..], b"3\n4\n5\n", b"6"] {
        listener(Heard::Bytes(line), talk.moment());
    }
    listener(Heard::Closed, talk.moment());
    // Lines 4, 5 and 6, and that the server left.
    let overflow = queue.overflowed();
    assert_eq!((overflow.messages, overflow.last.map(|at| at.steady)), (4, Some(Duration::from_millis(4))));
    let kept: Vec<Line> =
        receive.try_iter().filter_map(|news| if let News::Line(_, line, _) = news { Some(line) } else { None }).collect();
    assert_eq!(kept, [b"1", b"2", b"3"].map(|line| Line::Whole(line.to_vec())));
    kept.iter().for_each(|line| queue.took(line));
    // One line may be as long as it likes, many may not.
    let mebibytes = |count: usize| [vec![b'x'; count << 20], vec![b'\n']].concat();
    for _ in 0..3 {
        listener(Heard::Bytes(&mebibytes(4)), talk.moment());
    }
    assert_eq!(queue.overflowed().messages, 4);
    (0..2).for_each(|_| drop(receive.try_recv().expect("was put in")));
    for _ in 0..2 {
        listener(Heard::Bytes(&mebibytes(3)), talk.moment());
    }
    assert_eq!(queue.overflowed().messages, 5);
}

proptest! {
    #[test]
    fn nothing_that_is_written_makes_it_panic(lines in prop::collection::vec((any::<bool>(), any_line()), 0..40)) {
        let mut talk = Talk::new();
        for (client, line) in &lines {
            talk.says(if *client { Side::Client } else { Side::Server }, line);
        }
        talk.exits(Exit::Code(0));
    }
}

fn any_line() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"id\"",
        "1",
        "\"method\"",
        "\"tools/call\"",
        "\"params\"",
        "\"result\"",
        "\"error\"",
        "null",
        "{\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"t\"}}",
        "{\"id\":1,\"result\":{}}",
        "{\"id\":1,\"error\":{\"code\":1}}",
        "\"\\ud800\"",
        "1e999",
        "\u{ff}",
        " ",
    ]);
    let bytes = prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![prop::collection::vec(word, 0..12).prop_map(|words| words.concat().into_bytes()), bytes]
}
