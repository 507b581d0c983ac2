//! How each protocol says the same thing, and what its servers refuse. Written from the providers' documents, not from our client.

use serde_json::{Value, json};

use super::{Asked, KEY};

/// How an answer ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    Done,
    Length,
    Refused,
}

/// Everything that a request says to the model.
pub fn told(body: &Value) -> String {
    let said = |value: &Value| value.as_str().map(str::to_string).unwrap_or_default();
    let mut parts = vec![said(&body["system"]), said(&body["instructions"])];
    for list in [&body["messages"], &body["input"]] {
        parts.extend(list.as_array().into_iter().flatten().map(|message| said(&message["content"])));
    }
    parts.join("\n")
}

/// What the real servers say no to.
pub fn refused(asked: &Asked) -> Option<(u16, &'static str)> {
    let header = |name: &str| asked.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let body = &asked.body;
    let anthropic = asked.path.ends_with("/messages");
    let key = if anthropic { header("x-api-key") } else { header("authorization").and_then(|it| it.strip_prefix("Bearer ")) };
    if key != Some(KEY) {
        return Some((401, "Incorrect API key provided"));
    }
    if !body["model"].is_string() {
        return Some((400, "you must provide a model parameter"));
    }
    let list = if asked.path.ends_with("/responses") { &body["input"] } else { &body["messages"] };
    let Some(messages) = list.as_array().filter(|list| !list.is_empty()) else { return Some((400, "messages: required")) };
    if messages.iter().any(|message| !message["content"].is_string() || !message["role"].is_string()) {
        return Some((400, "a message needs a role and content"));
    }
    match asked.path.as_str() {
        "/v1/messages" => {
            let roles: Vec<&str> = messages.iter().filter_map(|message| message["role"].as_str()).collect();
            let alternate = roles.iter().enumerate().all(|(at, role)| *role == ["user", "assistant"][at % 2]);
            match () {
                () if header("anthropic-version") != Some("2023-06-01") => Some((400, "anthropic-version: header is required")),
                () if !body["max_tokens"].is_u64() => Some((400, "max_tokens: Field required")),
                () if !alternate => Some((400, "messages: roles must alternate between user and assistant")),
                () if body["temperature"].as_f64().is_some_and(|it| it > 1.0) => Some((400, "temperature: range 0..1")),
                () => None,
            }
        }
        "/v1/chat/completions" => {
            let both = body["max_tokens"].is_u64() && body["max_completion_tokens"].is_u64();
            both.then_some((400, "only one of max_tokens and max_completion_tokens"))
        }
        "/v1/responses" => body["messages"].is_array().then_some((400, "Unsupported parameter: messages")),
        _ => Some((404, "no such path")),
    }
}

/// The whole answer, as bytes.
pub fn answer(asked: &Asked, text: &str, end: End) -> Vec<u8> {
    let streams = asked.body["stream"] == true;
    let input = asked.told.len().div_ceil(4);
    let output = text.len().div_ceil(4);
    let events = match (asked.path.as_str(), streams) {
        ("/v1/messages", false) => return messages(asked, text, end, input, output).to_string().into_bytes(),
        ("/v1/responses", false) => return response(text, end, input, output).to_string().into_bytes(),
        (_, false) => return completion(text, end, input, output).to_string().into_bytes(),
        ("/v1/messages", true) => message_events(asked, text, end, input, output),
        ("/v1/responses", true) => response_events(text, end, input, output),
        (_, true) => return chat_stream(asked, text, end, input, output),
    };
    let event = |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().expect("a type"));
    events.iter().map(event).collect::<String>().into_bytes()
}

/// Pieces of some signs each.
fn parts(text: &str) -> Vec<String> {
    let signs: Vec<char> = text.chars().collect();
    let size = if text.len() > 1 << 16 { 4096 } else { 7 };
    signs.chunks(size).map(|piece| piece.iter().collect()).collect()
}

fn completion(text: &str, end: End, input: usize, output: usize) -> Value {
    let message = match end {
        End::Refused => json!({"role": "assistant", "content": null, "refusal": text}),
        _ => json!({"role": "assistant", "content": text, "refusal": null}),
    };
    let reason = if end == End::Length { "length" } else { "stop" };
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": null}],
        "usage": {"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output},
    })
}

fn chat_stream(asked: &Asked, text: &str, end: End, input: usize, output: usize) -> Vec<u8> {
    let field = if end == End::Refused { "refusal" } else { "content" };
    let reason = if end == End::Length { "length" } else { "stop" };
    let chunk = |delta: Value, reason: Value| json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
    let mut events = vec![chunk(json!({"role": "assistant", "content": ""}), Value::Null)];
    events.extend(parts(text).into_iter().map(|part| chunk(json!({ field: part }), Value::Null)));
    events.push(chunk(json!({}), json!(reason)));
    if asked.body["stream_options"]["include_usage"] == true {
        events.push(json!({"choices": [], "usage": {"prompt_tokens": input, "completion_tokens": output}}));
    }
    let mut bytes: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    bytes.push_str("data: [DONE]\n\n");
    bytes.into_bytes()
}

fn response(text: &str, end: End, input: usize, output: usize) -> Value {
    let content = match end {
        End::Refused => json!({"type": "refusal", "refusal": text}),
        _ => json!({"type": "output_text", "text": text, "annotations": []}),
    };
    let (status, details) = match end {
        End::Length => ("incomplete", json!({"reason": "max_output_tokens"})),
        _ => ("completed", Value::Null),
    };
    json!({
        "id": "resp_1", "object": "response", "status": status, "error": null, "incomplete_details": details,
        "output": [{"type": "reasoning", "id": "rs_1", "summary": []}, {"type": "message", "role": "assistant", "content": [content]}],
        "usage": {"input_tokens": input, "output_tokens": output, "total_tokens": input + output},
    })
}

fn response_events(text: &str, end: End, input: usize, output: usize) -> Vec<Value> {
    let mut events = vec![json!({"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}})];
    events.extend(parts(text).into_iter().map(|part| json!({"type": "response.output_text.delta", "delta": part})));
    let last = if end == End::Length { "response.incomplete" } else { "response.completed" };
    events.push(json!({"type": last, "response": response(text, end, input, output)}));
    events
}

fn stop_reason(asked: &Asked, end: End) -> &'static str {
    match end {
        End::Length => "max_tokens",
        End::Refused => "refusal",
        End::Done if asked.body["tool_choice"].is_object() => "tool_use",
        End::Done => "end_turn",
    }
}

/// A tool that has to be called is called with the text, which is JSON then.
fn messages(asked: &Asked, text: &str, end: End, input: usize, output: usize) -> Value {
    let content = match (asked.body["tool_choice"]["name"].as_str(), serde_json::from_str::<Value>(text)) {
        (Some(name), Ok(value)) => json!({"type": "tool_use", "id": "toolu_1", "name": name, "input": value}),
        _ => json!({"type": "text", "text": text}),
    };
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "content": [content],
        "stop_reason": stop_reason(asked, end), "usage": {"input_tokens": input, "output_tokens": output},
    })
}

fn message_events(asked: &Asked, text: &str, end: End, input: usize, output: usize) -> Vec<Value> {
    let (block, kind, field) = match asked.body["tool_choice"]["name"].as_str() {
        Some(name) => {
            (json!({"type": "tool_use", "id": "toolu_1", "name": name, "input": {}}), "input_json_delta", "partial_json")
        }
        None => (json!({"type": "text", "text": ""}), "text_delta", "text"),
    };
    let start = json!({"id": "msg_1", "type": "message", "content": [], "usage": {"input_tokens": input, "output_tokens": 1}});
    let mut events = vec![
        json!({"type": "message_start", "message": start}),
        json!({"type": "content_block_start", "index": 0, "content_block": block}),
        json!({"type": "ping"}),
    ];
    let delta = |part: String| json!({"type": "content_block_delta", "index": 0, "delta": {"type": kind, field: part}});
    events.extend(parts(text).into_iter().map(delta));
    events.push(json!({"type": "content_block_stop", "index": 0}));
    let reason = stop_reason(asked, end);
    events.push(json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": output}}));
    events.push(json!({"type": "message_stop"}));
    events
}
