//! OpenAI's chat completions, as many servers speak them: what is sent, and how answers read.
//! <https://platform.openai.com/docs/api-reference/chat>

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Question, Role, Said, Stop};
use crate::config::{ModelConfig, Provider};

pub(super) const PATH: &str = "/chat/completions";

pub(super) fn body(config: &ModelConfig, question: &Question) -> Value {
    let mut messages = vec![json!({"role": "system", "content": question.system})];
    messages.extend(question.messages.iter().map(|(role, text)| json!({"role": word(*role), "content": text})));
    // OpenAI's newer models take only the newer name, and other servers often only the older.
    let limit = if config.provider == Provider::OpenAi { "max_completion_tokens" } else { "max_tokens" };
    let mut body = json!({"model": config.name, "messages": messages, limit: question.answer_tokens});
    if let Some(temperature) = question.temperature {
        body["temperature"] = json!(temperature);
    }
    if let Some((name, schema)) = &question.form {
        body["response_format"] = json!({"type": "json_schema", "json_schema": {"name": name, "strict": true, "schema": schema}});
    }
    if config.stream {
        body["stream"] = json!(true);
        body["stream_options"] = json!({"include_usage": true});
    }
    body
}

pub(super) fn word(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(alias = "delta")]
    message: Option<Message>,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Message {
    content: Option<String>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

/// A whole answer.
pub(super) fn read(bytes: &[u8]) -> Result<Said, String> {
    let mut said = Said::default();
    piece(bytes, &mut said)?;
    match said.stop {
        Some(_) => Ok(said),
        None => Err("the answer has no choice that was finished".into()),
    }
}

/// A piece of one: whether it was the last.
pub(super) fn event(data: &str, said: &mut Said) -> Result<bool, String> {
    if data == "[DONE]" {
        return Ok(true);
    }
    piece(data.as_bytes(), said).map(|()| false)
}

fn piece(bytes: &[u8], said: &mut Said) -> Result<(), String> {
    let answer: Answer = serde_json::from_slice(bytes).map_err(|error| format!("the answer cannot be read: {error}"))?;
    if let Some(error) = answer.error.filter(|error| !error.is_null()) {
        return Err(super::http::told(&error));
    }
    if let Some(usage) = answer.usage {
        said.tokens = usage.prompt_tokens.zip(usage.completion_tokens);
    }
    let Some(choice) = answer.choices.into_iter().next() else { return Ok(()) };
    let message = choice.message.unwrap_or_default();
    said.text.push_str(&message.content.unwrap_or_default());
    let stop = match choice.finish_reason.as_deref() {
        None => None,
        Some("length") => Some(Stop::Length),
        Some("content_filter") => Some(Stop::Refused),
        Some(_) => Some(Stop::End),
    };
    // A refusal comes in pieces, and ends as any answer.
    said.stop = said.stop.filter(|known| *known == Stop::Refused).or(stop).or(said.stop);
    if let Some(refusal) = message.refusal.filter(|text| !text.is_empty()) {
        said.text.push_str(&refusal);
        said.stop = Some(Stop::Refused);
    }
    Ok(())
}
