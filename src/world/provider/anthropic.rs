//! Anthropic's messages: what is sent, and how answers read. <https://docs.anthropic.com/en/api/messages>
//!
//! Structured output is the input of a tool that the model has to call.

use serde::Deserialize;
use serde_json::{Value, json};

use super::chat::word;
use super::{Question, Said, Stop};
use crate::config::ModelConfig;

pub(super) const PATH: &str = "/messages";
/// The version of the protocol.
pub(super) const VERSION: &str = "2023-06-01";

pub(super) fn body(config: &ModelConfig, question: &Question) -> Value {
    let messages: Vec<Value> =
        question.messages.iter().map(|(role, text)| json!({"role": word(*role), "content": text})).collect();
    let mut body =
        json!({"model": config.name, "system": question.system, "messages": messages, "max_tokens": question.answer_tokens});
    if let Some(temperature) = question.temperature {
        // It ends at 1 here.
        body["temperature"] = json!(temperature.min(1.0));
    }
    if let Some((name, schema)) = &question.form {
        body["tools"] = json!([{"name": name, "description": "Takes the answer.", "input_schema": schema}]);
        body["tool_choice"] = json!({"type": "tool", "name": name});
    }
    if config.stream {
        body["stream"] = json!(true);
    }
    body
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    content: Vec<Block>,
    stop_reason: Option<String>,
    usage: Option<Usage>,
    error: Option<Value>,
}

#[derive(Default, Deserialize)]
struct Block {
    #[serde(rename = "type", default)]
    kind: String,
    text: Option<String>,
    input: Option<Value>,
    partial_json: Option<String>,
    stop_reason: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
struct Usage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
}

impl Usage {
    fn input(self) -> Option<u64> {
        let cached = self.cache_creation_input_tokens.unwrap_or(0) + self.cache_read_input_tokens.unwrap_or(0);
        self.input_tokens.map(|tokens| tokens + cached)
    }
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    message: Option<Answer>,
    delta: Option<Block>,
    usage: Option<Usage>,
    error: Option<Value>,
}

fn stop(reason: &str) -> Stop {
    match reason {
        "max_tokens" => Stop::Length,
        "refusal" => Stop::Refused,
        _ => Stop::End,
    }
}

/// A whole answer.
pub(super) fn read(bytes: &[u8]) -> Result<Said, String> {
    let answer: Answer = serde_json::from_slice(bytes).map_err(|error| format!("the answer cannot be read: {error}"))?;
    if let Some(error) = answer.error {
        return Err(super::http::told(&error));
    }
    let mut said = Said { stop: answer.stop_reason.as_deref().map(stop), ..Said::default() };
    if said.stop.is_none() {
        return Err("the answer does not say why it ended".into());
    }
    said.tokens = answer.usage.and_then(|usage| usage.input().zip(usage.output_tokens));
    for block in answer.content {
        match block.kind.as_str() {
            "text" => said.text.push_str(&block.text.unwrap_or_default()),
            // What it says beside the call is not asked for.
            "tool_use" => said.text = block.input.unwrap_or_default().to_string(),
            _ => {}
        }
    }
    Ok(said)
}

/// A piece of one: whether it was the last.
pub(super) fn event(data: &str, said: &mut Said) -> Result<bool, String> {
    let event: Event = serde_json::from_str(data).map_err(|error| format!("the answer cannot be read: {error}"))?;
    match event.kind.as_str() {
        "message_start" => {
            let usage = event.message.and_then(|message| message.usage);
            said.tokens = usage.and_then(Usage::input).map(|input| (input, 0));
        }
        "content_block_delta" => {
            let delta = event.delta.unwrap_or_default();
            said.text.push_str(&delta.text.or(delta.partial_json).unwrap_or_default());
        }
        "message_delta" => {
            let reason = event.delta.and_then(|delta| delta.stop_reason);
            said.stop = reason.as_deref().map(stop).or(said.stop);
            if let (Some((_, output)), Some(told)) = (&mut said.tokens, event.usage.and_then(|usage| usage.output_tokens)) {
                *output = told;
            }
        }
        "message_stop" => return Ok(true),
        "error" => return Err(super::http::told(&event.error.unwrap_or_default())),
        _ => {}
    }
    Ok(false)
}
