//! OpenAI's responses: what is sent, and how answers read. <https://platform.openai.com/docs/api-reference/responses>

use serde::Deserialize;
use serde_json::{Value, json};

use super::chat::word;
use super::{Question, Said, Stop};
use crate::config::ModelConfig;

pub(super) const PATH: &str = "/responses";

pub(super) fn body(config: &ModelConfig, question: &Question) -> Value {
    let input: Vec<Value> = question.messages.iter().map(|(role, text)| json!({"role": word(*role), "content": text})).collect();
    let mut body = json!({
        "model": config.name, "instructions": question.system, "input": input,
        "max_output_tokens": question.answer_tokens, "store": false,
    });
    if let Some(temperature) = question.temperature {
        body["temperature"] = json!(temperature);
    }
    if let Some((name, schema)) = &question.form {
        body["text"] = json!({"format": {"type": "json_schema", "name": name, "strict": true, "schema": schema}});
    }
    if config.stream {
        body["stream"] = json!(true);
    }
    body
}

#[derive(Deserialize)]
struct Response {
    status: Option<String>,
    #[serde(default)]
    output: Vec<Item>,
    usage: Option<Usage>,
    error: Option<Value>,
    incomplete_details: Option<Incomplete>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    content: Vec<Content>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    input_tokens: u64,
    output_tokens: u64,
}

#[derive(Deserialize)]
struct Incomplete {
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    response: Option<Value>,
    message: Option<String>,
    error: Option<Value>,
}

/// A whole answer.
pub(super) fn read(bytes: &[u8]) -> Result<Said, String> {
    let response: Response = serde_json::from_slice(bytes).map_err(|error| format!("the answer cannot be read: {error}"))?;
    if let Some(error) = response.error.filter(|error| !error.is_null()) {
        return Err(super::http::told(&error));
    }
    let mut said = Said { tokens: response.usage.map(|usage| (usage.input_tokens, usage.output_tokens)), ..Said::default() };
    let reason = response.incomplete_details.and_then(|details| details.reason);
    said.stop = match (response.status.as_deref(), reason.as_deref()) {
        (Some("incomplete"), Some("content_filter")) => Some(Stop::Refused),
        (Some("incomplete"), _) => Some(Stop::Length),
        (Some("completed") | None, _) => Some(Stop::End),
        (Some(other), _) => return Err(format!("the answer ended as `{}`", crate::model::plain_line(other, 40))),
    };
    for content in response.output.into_iter().flat_map(|item| item.content) {
        match content.kind.as_str() {
            "output_text" => said.text.push_str(&content.text.unwrap_or_default()),
            "refusal" => {
                said.text.push_str(&content.refusal.unwrap_or_default());
                said.stop = Some(Stop::Refused);
            }
            _ => {}
        }
    }
    Ok(said)
}

/// A piece of one: whether it was the last. The last one has everything, so the others are only waited through.
pub(super) fn event(data: &str, said: &mut Said) -> Result<bool, String> {
    let event: Event = serde_json::from_str(data).map_err(|error| format!("the answer cannot be read: {error}"))?;
    match event.kind.as_str() {
        "response.completed" | "response.incomplete" | "response.failed" => {
            *said = read(event.response.unwrap_or_default().to_string().as_bytes())?;
            Ok(true)
        }
        "error" => {
            let error = event.error.unwrap_or_else(|| json!({"message": event.message}));
            Err(super::http::told(&error))
        }
        _ => Ok(false),
    }
}
